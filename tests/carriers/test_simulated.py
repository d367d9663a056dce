"""The endings of the simulated carrier, through the whole gateway: what a message comes to, costs and tells."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from chappe.carriers.simulated import ANSWER_MAX, FATES, REMEMBERED_MAX, SimulatedCarrier
from chappe.core.centre import Accepted, Refusal, Refused, Uncertain
from chappe.core.model import Inbound, Receipt, Report, State, Submission
from chappe.store import schema
from gateway.middle import PROOVL, Middle, play

PRICE = 10_000


class Ending(NamedTuple):
    """What becomes of a message to a number with this ending."""

    ending: str
    passing_s: float  # how long it takes
    state: str
    spent: int
    reserved: int
    told: tuple[str, ...]  # the words the customer is called with


ENDINGS = [
    Ending("0000", 0, "delivered", PRICE, 0, ("Sent", "Delivered")),
    Ending("9001", 0, "undeliverable", PRICE, 0, ("Sent", "Undelivered")),
    Ending("9002", 0, "rejected", 0, 0, ("Failed",)),
    Ending("9003", 60, "sending", 0, PRICE, ()),
    Ending("9004", 0, "expired", PRICE, 0, ("Sent", "Undelivered")),
    Ending("9005", 5, "delivered", PRICE, 0, ("Sent", "Delivered")),
    Ending("9006", 0, "delivered", PRICE, 0, ("Sent", "Delivered")),
    Ending("9007", 0, "delivered", PRICE, 0, ("Sent", "Delivered")),
    Ending("9008", 0, "sent", PRICE, 0, ("Sent",)),
    Ending("9008", 59, "sent", PRICE, 0, ("Sent",)),
    Ending("9008", 60, "delivered", PRICE, 0, ("Sent", "Delivered")),
    Ending("9009", 3600, "sent", PRICE, 0, ("Sent",)),
    Ending("9010", 0, "delivered", PRICE, 0, ("Sent", "Delivered")),
]


@pytest.mark.parametrize("row", ENDINGS, ids=lambda row: f"{row.ending} after {row.passing_s} s")
def test_each_ending_keeps_its_word(tmp_path: Path, row: Ending) -> None:
    """A number's ending decides state, money and callbacks, as the table in the documents says."""

    async def script(middle: Middle) -> None:
        assert isinstance(await middle.submit(f"44770090{row.ending}"), Accepted)
        await middle.pass_time(row.passing_s, step_s=max(0.5, row.passing_s / 40))
        assert middle.states() == [row.state]
        assert middle.money() == (row.spent, row.reserved)
        assert tuple(middle.words_called()) == row.told

    play(tmp_path, script)


def test_every_ending_is_in_the_table() -> None:
    """No ending of the carrier is left out above."""
    assert {row.ending for row in ENDINGS} == {*FATES, "0000"}


def test_an_unanswered_message_is_unknown_when_its_validity_ends(tmp_path: Path) -> None:
    """A message nobody answered for is held, then ends as `unknown`, and its money goes back."""

    async def script(middle: Middle) -> None:
        await middle.submit("447700909003")
        await middle.pass_time(48 * 3600 - 100, step_s=12_000)
        assert middle.states() == ["sending"]
        await middle.pass_time(200, step_s=100)
        assert middle.states() == ["unknown"]
        assert middle.money() == (0, 0)

    play(tmp_path, script)


def test_a_receipt_that_comes_before_the_answer_is_parked_and_matched(tmp_path: Path) -> None:
    """Ending 9006: the receipt is kept in a commit before the verdict's, and finds the message all the same."""

    async def script(middle: Middle) -> None:
        task = asyncio.create_task(middle.intake.submit(middle.alice, to("447700909006"), PROOVL))
        seen = []
        while not task.done() or middle.states() != ["delivered"]:
            # One item a commit: the receipt is written while the verdict has not even been asked for.
            await asyncio.sleep(0)
            middle.store.commit_once()
            seen.append(len(middle.rows(schema.parked_receipt)))
        assert max(seen) == 1
        assert seen[-1] == 0
        assert middle.money() == (PRICE, 0)

    play(tmp_path, script)


def test_it_is_a_message_centre_that_knows_what_it_took() -> None:
    """It finds what it took by our reference, nothing else, and gives each message a reference of its own."""

    async def converse() -> None:
        received: list[Receipt] = []
        carrier = SimulatedCarrier(received.append, lambda bits: 5)
        first, second = await carrier.submit(to("447700900000", "1")), await carrier.submit(to("447700900000", "2"))
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert first.tickets[0].reference != second.tickets[0].reference
        found = await carrier.query("1")
        assert isinstance(found, Report)
        assert found.reference == first.tickets[0].reference
        assert await carrier.query("3") == Refused(Refusal.NOT_FOUND)
        assert isinstance(await carrier.cancel("1"), Refused)
        assert isinstance(await carrier.balance(), Refused)
        assert isinstance(await carrier.submit(to("447700909003", "4")), Uncertain)
        assert isinstance(await carrier.query("4"), Report)
        await asyncio.sleep(0)
        assert [one.state for one in received] == [State.DELIVERED] * 2

    asyncio.run(converse())


def test_a_phone_that_answers() -> None:
    """Ending 9010 answers to the sender with what it read, at most a segment long, once; a name gets no answer."""

    async def converse() -> None:
        answers: list[Inbound] = []
        carrier = SimulatedCarrier(lambda _: None, lambda bits: 5, answers.append)
        for originator, text in (("447700900001", "a" * 200), ("ACME", "Hello")):
            await carrier.submit(
                Submission(recipients=("447700909010",), text=text, originator=originator, reference=originator)
            )
        await asyncio.sleep(0)
        [answer] = answers
        assert (answer.originator, answer.recipient) == ("447700909010", "447700900001")
        assert answer.text == ("You wrote: " + "a" * 200)[:ANSWER_MAX]
        assert answer.reference

    asyncio.run(converse())


def test_its_memory_has_a_limit() -> None:
    """It forgets the oldest of more than ten thousand messages, so a long demo does not grow."""

    async def converse() -> None:
        carrier = SimulatedCarrier(lambda _: None, lambda bits: 5)
        for number in range(REMEMBERED_MAX + 1):
            await carrier.submit(to("447700909009", str(number)))
        assert await carrier.query("0") == Refused(Refusal.NOT_FOUND)
        assert isinstance(await carrier.query("1"), Report)

    asyncio.run(converse())


def to(recipient: str, reference: str = "") -> Submission:
    return Submission(recipients=(recipient,), text="Hello", originator="ACME", reference=reference)
