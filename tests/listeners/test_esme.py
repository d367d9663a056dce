"""What the SMPP door decides without a socket: whence one may bind, what an answer means, and work without a task."""

import asyncio

import pytest

from chappe.eagerly import run_eagerly
from chappe.gateway.bound import LOST, TAKEN, Answer, Heard
from chappe.listeners.esme import NO_WORDS, answer_of, heard_all, is_within, utf8_of
from chappe.smpp.connection import LinkLost, NotSent, Overdue
from chappe.smpp.pdu import DeliverSmResponse, Pdu, Status
from chappe.smpp.session import Unfit


@pytest.mark.parametrize(
    "peer, networks, is_allowed",
    [
        ("192.0.2.7", (), True),
        ("192.0.2.7", ("192.0.2.0/24",), True),
        ("::ffff:192.0.2.7", ("192.0.2.0/24",), True),
        ("192.0.3.7", ("192.0.2.0/24", "198.51.100.1/32"), False),
        ("2001:db8::1", ("192.0.2.0/24", "2001:db8::/32"), True),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("", ("192.0.2.0/24",), False),
    ],
)
def test_whence_one_may_bind(peer: str, networks: tuple[str, ...], is_allowed: bool) -> None:
    """An address is in one of the networks, however it is written; without networks any will do."""
    assert is_within(peer, networks) is is_allowed


@pytest.mark.parametrize(
    "written, meant", [("secret8", "secret8"), ("pÃ¤ss", "päss"), ("päss", "päss")]
)  # fmt: skip
def test_a_field_that_is_utf8_is_read_as_such(written: str, meant: str) -> None:
    """Octets that are UTF-8 are the text they were meant as; others stay as Latin-1."""
    assert utf8_of(written) == meant


@pytest.mark.parametrize(
    "outcome, answer",
    [
        (Status.OK, TAKEN),
        (Status.QUEUE_FULL, Answer(Heard.FULL, "0x00000014")),
        (Status.THROTTLED, Answer(Heard.FULL, "0x00000058")),
        (Status.TEMPORARY_ERROR, Answer(Heard.LATER, "0x00000064")),
        (Status.SYSTEM_ERROR, Answer(Heard.LATER, "0x00000008")),
        (Status.PERMANENT_ERROR, Answer(Heard.NEVER, "0x00000065")),
        (Status.REJECTED, Answer(Heard.NEVER, "0x00000066")),
        (NotSent("x"), LOST),
        (Unfit("x"), NO_WORDS),
        (LinkLost("x"), LOST),
        (Overdue("x"), Answer(Heard.LATER, "no answer")),
    ],
)
def test_what_an_answer_to_a_delivery_means(outcome: Status | Exception, answer: Answer) -> None:
    """Taken, later, all later, never, or nobody knows; of several parts, the first that was not taken counts."""

    async def story() -> None:
        asked, fine = (asyncio.get_running_loop().create_future() for _ in range(2))
        fine.set_result(Pdu(DeliverSmResponse(), 1))
        if isinstance(outcome, Exception):
            asked.set_exception(outcome)
        else:
            asked.set_result(Pdu(DeliverSmResponse(), 1, outcome))
        assert answer_of(asked) == answer
        heard: list[Answer] = []
        heard_all([fine, asked, fine], heard.append, None)
        assert heard == [answer]

    asyncio.run(story())


def test_work_without_a_task_goes_on_as_with_one() -> None:
    """A coroutine runs at once up to the first future that is not done, and on from there; failures arrive in it."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        steps: list[object] = []

        async def work() -> None:
            steps.append("begun")
            steps.append(await first)
            await asyncio.sleep(0)
            try:
                await second
            except ValueError as error:
                steps.append(str(error))

        run_eagerly(work())
        assert steps == ["begun"]
        first.set_result("first")
        second.set_exception(ValueError("second"))
        for _ in range(4):
            await asyncio.sleep(0)
        assert steps == ["begun", "first", "second"]

    asyncio.run(story())
