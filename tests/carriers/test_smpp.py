"""Carriers over SMPP, on real sockets through the outbound door: what each way of answering means for a message."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chappe.carriers.binds import AWAY, LOST, REFUSED, REFUSED_FOR_GOOD, waits_for, words_of
from chappe.carriers.smpp import SmppCarrier, option_objection
from chappe.clock import SystemClock
from chappe.core.centre import Accepted, Cancelled, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Carrier, Inbound, Receipt, Report, Secret, State, Submission
from chappe.listeners.tls import make_self_signed, server_context
from chappe.networks import OPEN, Networks
from chappe.outbound import Outbound
from chappe.smpp.connection import Connection
from chappe.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    Body,
    CancelSm,
    CancelSmResponse,
    DataSm,
    DataSmResponse,
    DeliverSm,
    GenericNack,
    Pdu,
    QuerySm,
    QuerySmResponse,
    Status,
    SubmitSm,
    SubmitSmResponse,
)
from chappe.smpp.tlv import Tag, number, text
from message_centres import PASSWORD, RECEIPT, Centre, Script, accept, nothing, receipt
from whole import PATIENCE_S, eventually

MESSAGE = Submission(recipients=("447700900123",), text="Hello", originator="ACME", reference="9001")
LONG = Submission(recipients=("447700900123",), text="x" * 400, originator="ACME", reference="9002")
SEGMENTS = 3  # of LONG


class Told(NamedTuple):
    """What the store says of a receipt."""

    is_parked: bool = False
    spelling: int = -1
    is_to_recipient: bool = True


class Kept:
    """What a carrier brought, and whether it was kept: `keep` makes the fate of each."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.inbound: list[Inbound] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.is_kept_at_once = True
        self.tell: Callable[[Receipt], Told] = lambda receipt: Told()

    def emit(self, receipt: Receipt) -> "asyncio.Future[Any]":
        self.receipts.append(receipt)
        return self._future(self.tell(receipt))

    def emit_inbound(self, inbound: Inbound) -> "asyncio.Future[Any]":
        self.inbound.append(inbound)
        return self._future()

    def _future(self, told: object = None) -> "asyncio.Future[Any]":
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        if self.is_kept_at_once:
            future.set_result(told)
        return future


@contextlib.asynccontextmanager
async def carrying(
    centre: Centre,
    *,
    is_up: bool = True,
    scheme: str = "smpp",
    host: str = "127.0.0.1",
    authorities: bytes = b"",
    networks: Networks = OPEN,
    kept: Kept | None = None,
    changed: Callable[[], None] = lambda: None,
    **settings: Any,
) -> AsyncIterator[SmppCarrier]:
    """A carrier of ours that sends through this message centre; `is_up`: once it has all its binds."""
    kept = kept or Kept()
    outbound = Outbound(networks, authorities_pem=authorities)
    is_changed = asyncio.Event()

    def note() -> None:
        is_changed.set()
        changed()

    values: dict[str, Any] = {
        "login": "chappe",
        "password": Secret(PASSWORD),
        "window": 10,
        "timeout_s": PATIENCE_S,
    } | settings
    carrier = SmppCarrier(
        Carrier(id=1, name="acme", kind="smpp", url=f"{scheme}://{host}:{centre.port}", **values),
        connect=outbound.connect,
        emit=kept.emit,
        emit_inbound=kept.emit_inbound,
        clock=SystemClock(),
        random_bits=lambda count: (1 << count) - 1,
    )
    carrier.start(note)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while is_up and carrier.links.binds < carrier.links.binds_wanted:
                is_changed.clear()
                await is_changed.wait()
        yield carrier
    finally:
        await carrier.close()
        await outbound.close()


def run(story: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(2 * PATIENCE_S):
            await story

    asyncio.run(within())


async def until(is_so: Callable[[], bool]) -> None:
    async def look() -> bool:
        return is_so()

    await eventually(look)


def asked(carrier: SmppCarrier, submission: Submission = MESSAGE) -> "asyncio.Future[Verdict]":
    return asyncio.ensure_future(carrier.submit(submission))


# Binds


@pytest.mark.parametrize(
    "options, requests, is_up",
    [
        ({}, [BindTransceiver], True),
        ({"bind": "transmitter"}, [BindTransmitter], True),
        ({"bind": "receiver"}, [BindReceiver], False),
        ({"bind": "pair"}, [BindTransmitter, BindReceiver], True),
        ({"bind": "transceiver", "binds": "3"}, [BindTransceiver] * 3, True),
        ({"bind": "pair", "binds": "2"}, [BindTransmitter, BindReceiver] * 2, True),
    ],
)
def test_the_binds_that_are_wanted_are_made(options: dict[str, str], requests: list[type[Body]], is_up: bool) -> None:
    """Each kind of bind, as often as it is wanted, is asked for with our system_id; only transmitting ones submit."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre, options=options) as carrier:
            assert [type(bind) for bind in centre.binds] == requests
            assert {(bind.system_id, bind.interface_version) for bind in centre.binds} == {("chappe", 0x34)}
            links = carrier.links
            assert (links.is_up, links.binds, links.binds_wanted) == (is_up, len(requests), len(requests))
            assert links.detail == ("" if is_up else "receives only")

    run(story())


def test_a_bind_says_what_the_options_want() -> None:
    """system_type and address range of a bind are the operator's."""

    async def story() -> None:
        options = {"system_type": "VMS", "address_range": "^4477", "address_ton": "1", "address_npi": "0x01"}
        async with Centre().listening() as centre, carrying(centre, options=options):
            (bind,) = centre.binds
            assert (bind.system_type, bind.address_range) == ("VMS", "^4477")
            assert (bind.address_ton, bind.address_npi) == (1, 1)

    run(story())


def test_a_refused_bind_says_why() -> None:
    """With a wrong password nothing can be submitted, certainly so, and the operator reads the reason."""

    async def story() -> None:
        wrong = Secret("wrong")
        async with Centre().listening() as centre, carrying(centre, is_up=False, password=wrong) as carrier:
            await until(lambda: carrier.links.detail != "not bound yet")
            links = carrier.links
            assert (links.is_up, links.room, links.binds) == (False, 0, 0)
            assert links.detail == "bind refused: invalid password (0x0e)"
            verdict = await carrier.submit(MESSAGE)
            assert verdict == Refused(Refusal.UNREACHABLE, "bind refused: invalid password (0x0e)")

    run(story())


def test_a_carrier_that_is_not_there_is_certain() -> None:
    """Where nobody listens every submission is refused as unreachable, and one bind knocks for all of them."""

    async def story() -> None:
        centre = Centre()
        async with centre.listening():
            centre.close()
            async with carrying(centre, is_up=False, options={"binds": "4"}) as carrier:
                verdict = await carrier.submit(MESSAGE)
                assert isinstance(verdict, Refused)
                assert verdict.reason is Refusal.UNREACHABLE
                await centre.open()
                await centre.until(lambda: len(centre.bound) == 4)
                assert isinstance(await carrier.submit(MESSAGE), Accepted)

    run(story())


def test_a_forbidden_network_is_not_connected_to() -> None:
    """SMPP leaves by the outbound door: an address the operator did not allow is never knocked at."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre, is_up=False, networks=Networks()) as carrier:
            await until(lambda: carrier.links.detail != "not bound yet")
            assert carrier.links.detail == "forbidden network: loopback"
            assert centre.made_count == 0

    run(story())


def test_waits_grow_and_end() -> None:
    """Waits double up to their limit, whatever chance cuts off; a wrong password waits longest, a lost link least."""
    for waits in (LOST, AWAY, REFUSED, REFUSED_FOR_GOOD):
        longest = [waits.after(failures, lambda count: 0) for failures in range(1, 40)]
        shortest = [waits.after(failures, lambda count: (1 << count) - 1) for failures in range(1, 40)]
        assert longest[0] == waits.first_s
        assert longest[-1] == waits.longest_s
        assert longest == sorted(longest)
        assert all(wait / 2 < cut <= wait for wait, cut in zip(longest, shortest, strict=True))
    assert LOST.longest_s + 1 <= 5  # R6: back within five seconds
    assert waits_for(Status.INVALID_PASSWORD) is REFUSED_FOR_GOOD
    assert waits_for(Status.ALREADY_BOUND) is waits_for(0x4F0) is REFUSED
    assert words_of(0x4F0) == "status 0x4f0"


def test_a_lost_link_comes_back() -> None:
    """After the carrier cut every connection all binds stand again, and messages go through."""

    async def story() -> None:
        changes: list[bool] = []
        async with (
            Centre().listening() as centre,
            carrying(centre, options={"binds": "2"}, changed=lambda: changes.append(True)) as carrier,
        ):
            before = len(changes)
            centre.drop()
            await centre.until(lambda: len(centre.binds) == 4 and len(centre.bound) == 2)
            await until(lambda: carrier.links.binds == 2)
            assert len(changes) - before >= 4  # two went, two came
            assert len(carrier._binds._transmitters) == 2  # and nothing is left of the others
            assert isinstance(await carrier.submit(MESSAGE), Accepted)

    run(story())


def test_a_carrier_that_unbinds_is_bound_again() -> None:
    """An unbind of the carrier is answered, nothing is submitted meanwhile, and we come back."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre) as carrier:
            await centre.connections[0].unbind(PATIENCE_S)
            await centre.until(lambda: len(centre.binds) == 2 and len(centre.bound) == 1)
            await until(lambda: carrier.links.is_up)
            assert isinstance(await carrier.submit(MESSAGE), Accepted)

    run(story())


def test_a_half_open_link_is_noticed() -> None:
    """A carrier that is silent though its connection stands is asked, given up and connected to anew."""

    async def story() -> None:
        async with (
            Centre(nothing).listening() as centre,
            carrying(centre, options={"enquire_link_s": "1"}) as carrier,
        ):
            transport = centre.connections[0]._transport
            assert transport is not None
            transport.pause_reading()  # as if its host were gone
            verdict = asked(carrier)
            await centre.until(lambda: len(centre.binds) == 2)
            assert await verdict == Uncertain("no answer to enquire_link")

    run(story())


def test_leaving_is_said() -> None:
    """Closing waits for the answers that are due, unbinds, and refuses what comes later."""

    async def story() -> None:
        async with Centre(nothing).listening() as centre, carrying(centre) as carrier:
            verdict = asked(carrier)
            await centre.until(lambda: len(centre.requests) == 1)
            closing = asyncio.ensure_future(carrier.close())
            await asyncio.sleep(0)
            centre.answer(0, "1")
            await closing
            assert isinstance(await verdict, Accepted)
            await centre.until(lambda: centre.reasons == ["unbound by the peer"])
            refused = await carrier.submit(MESSAGE)
            assert isinstance(refused, Refused)
            assert refused.reason is Refusal.UNREACHABLE

    run(story())


def test_tls_is_checked(tmp_path: Path) -> None:
    """Over TLS a carrier is bound to under the name in its certificate, and not at all where nobody vouches for it."""
    certificate, key = make_self_signed(tmp_path)

    async def story() -> None:
        async with Centre().listening(server_context(certificate, key)) as centre:
            trusted = certificate.read_bytes()
            async with carrying(centre, scheme="smpps", host="localhost", authorities=trusted) as carrier:
                assert isinstance(await carrier.submit(MESSAGE), Accepted)
            async with carrying(centre, scheme="smpps", host="localhost", is_up=False) as carrier:
                await until(lambda: carrier.links.detail != "not bound yet")
                assert carrier.links.detail == "certificate not trusted"
            assert len(centre.binds) == 1

    run(story())


# Messages


def test_a_message_is_submitted() -> None:
    """One submit_sm carries the message, asks for a receipt, and its id comes back in the one spelling that is kept."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, SubmitSmResponse("00BC614E"))

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            verdict = await carrier.submit(MESSAGE)
            assert isinstance(verdict, Accepted)
            (ticket,) = verdict.tickets
            assert (ticket.recipient, ticket.reference) == ("447700900123", "bc614e")
            (body,) = centre.submitted
            assert (body.source, body.destination, body.short_message) == ("ACME", "447700900123", b"Hello")
            assert (body.source_ton, body.destination_ton, body.registered_delivery) == (5, 1, 1)

    run(story())


STATUSES = [
    # status, options, the refusal
    (Status.THROTTLED, {}, Refusal.THROTTLED),
    (Status.QUEUE_FULL, {}, Refusal.THROTTLED),
    (Status.INVALID_DESTINATION, {}, Refusal.BAD_RECIPIENT),
    (Status.SYSTEM_ERROR, {}, Refusal.INTERNAL),
    (0x45, {"0x45": "throttled"}, Refusal.THROTTLED),
    (0x40B, {"0x40B": "no_funds"}, Refusal.NO_FUNDS),
]


@pytest.mark.parametrize("status, options, reason", STATUSES)
def test_a_status_is_a_refusal(status: int, options: dict[str, str], reason: Refusal) -> None:
    """Any status but 0 is a clear no, for the reason the tables name, or the operator for this carrier."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, SubmitSmResponse(), status)

        async with Centre(script).listening() as centre, carrying(centre, options=options) as carrier:
            verdict = await carrier.submit(MESSAGE)
            assert isinstance(verdict, Refused)
            assert verdict.reason is reason

    run(story())


def test_a_generic_nack_is_a_refusal() -> None:
    """A request that the carrier did not understand was certainly not taken."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, GenericNack(), Status.INVALID_COMMAND_ID)

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            assert isinstance(await carrier.submit(MESSAGE), Refused)

    run(story())


def test_an_answer_of_another_kind_is_a_doubt() -> None:
    """Whether a carrier took what it answers with another kind of response nobody knows, so it is not sent again."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, DataSmResponse("1"))

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            assert await carrier.submit(MESSAGE) == Uncertain("an answer of another kind")

    run(story())


def test_what_does_not_fit_is_refused_for_good() -> None:
    """A number too long for its field is refused for what it is, so that it neither slows the link nor comes again."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre) as carrier:
            verdict = await carrier.submit(Submission(recipients=("4" * 30,), text="Hello", originator="ACME"))
            assert isinstance(verdict, Refused)
            assert verdict.reason is Refusal.BAD_REQUEST
            assert centre.requests == []

    run(story())


def test_the_window_is_kept_on_each_bind() -> None:
    """On each of two binds only so many submissions are without an answer; an answer makes room for the next."""

    async def story() -> None:
        async with (
            Centre(nothing).listening() as centre,
            carrying(centre, window=2, options={"binds": "2"}) as carrier,
        ):
            assert carrier.links.room == 4
            verdicts = [asked(carrier) for _ in range(6)]
            await centre.until(lambda: len(centre.requests) == 4)
            assert (carrier.links.room, carrier.links.window_used) == (0, 6)
            by_bind = [sum(one is connection for one, _ in centre.requests) for connection in centre.connections]
            assert by_bind == [2, 2]
            first_of_each = [[one for one, _ in centre.requests].index(connection) for connection in centre.connections]
            for index in first_of_each:
                centre.answer(index, str(index))
            await centre.until(lambda: len(centre.requests) == 6)
            for index in set(range(6)).difference(first_of_each):
                centre.answer(index, str(index))
            assert all([isinstance(await verdict, Accepted) for verdict in verdicts])
            assert carrier.links.room == 4

    run(story())


def test_a_link_lost_before_the_answer_leaves_a_doubt() -> None:
    """What left and was not answered is uncertain; what waited for room did not leave and is refused, certainly so."""

    async def story() -> None:
        async with Centre(nothing).listening() as centre, carrying(centre, window=1) as carrier:
            left, waited = asked(carrier), asked(carrier)
            await centre.until(lambda: len(centre.requests) == 1)
            centre.drop()
            assert isinstance(await left, Uncertain)
            refused = await waited
            assert isinstance(refused, Refused)
            assert refused.reason is Refusal.UNREACHABLE

    run(story())


def test_a_link_lost_behind_the_answer_leaves_none() -> None:
    """An answer that came with the end of the connection counts."""
    leaving = []

    async def story() -> None:
        def script(centre: Centre, connection: Connection, request: Pdu) -> None:
            accept(centre, connection, request)
            leaving.append(asyncio.ensure_future(connection.unbind(PATIENCE_S)))

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            assert isinstance(await carrier.submit(MESSAGE), Accepted)

    run(story())


def test_a_late_answer_changes_nothing() -> None:
    """An answer that takes too long leaves a doubt; when it comes after all, nobody else gets it."""

    async def story() -> None:
        async with Centre(nothing).listening() as centre, carrying(centre, timeout_s=0.05) as carrier:
            assert await carrier.submit(MESSAGE) == Uncertain("no answer in time")
            centre.answer(0, "1")
            other = asked(carrier)
            await centre.until(lambda: len(centre.requests) == 2)
            centre.answer(1, "2")
            verdict = await other
            assert isinstance(verdict, Accepted)
            assert verdict.tickets[0].reference == "2"
            assert len(centre.binds) == 1

    run(story())


def test_answers_belong_to_their_requests() -> None:
    """Answers out of order and given twice reach each its own message, once."""

    async def story() -> None:
        async with Centre(nothing).listening() as centre, carrying(centre) as carrier:
            verdicts = [asked(carrier) for _ in range(5)]
            await centre.until(lambda: len(centre.requests) == 5)
            for index in (3, 3, 1, 4, 0, 4, 2):
                centre.answer(index, str(index))
            references = [verdict.tickets[0].reference for verdict in await asyncio.gather(*verdicts)]  # type: ignore[union-attr]
            assert references == ["0", "1", "2", "3", "4"]

    run(story())


# Long messages


def scripted(*fates: int | str | None) -> Script:
    """What becomes of each submit_sm in turn: an id, a status, or None, which cuts the link."""
    remaining = iter(fates)

    def script(centre: Centre, connection: Connection, request: Pdu) -> None:
        if not isinstance(request.body, SubmitSm):
            return
        fate = next(remaining)
        if fate is None:
            asyncio.get_running_loop().call_soon(connection.abort, "scripted")  # behind what was answered just now
        elif isinstance(fate, str):
            connection.answer(request, SubmitSmResponse(fate))
        else:
            connection.answer(request, SubmitSmResponse(), fate)

    return script


def parts_of(bodies: list[SubmitSm]) -> list[int]:
    """Which segment each is, by its user data header."""
    return [body.short_message[5] for body in bodies]


LONG_FATES: list[tuple[str, tuple[int | str | None, ...], type[Any], str, list[int]]] = [
    ("all taken", ("a", "b", "c"), Accepted, "a b c", [1, 2, 3]),
    ("one id for all", ("a", "a", "a"), Accepted, "a", [1, 2, 3]),
    ("the first refused", (Status.INVALID_DESTINATION,), Refused, "bad_recipient", [1]),
    ("the first throttled", (Status.THROTTLED,), Refused, "throttled", [1]),
    ("the first lost", (None,), Uncertain, "", [1]),
    ("one throttled once", ("a", Status.THROTTLED, "c", "b"), Accepted, "a b c", [1, 2, 3, 2]),
    ("one refused for good", ("a", "b", Status.REJECTED), Refused, "forbidden", [1, 2, 3]),
    ("the link lost behind the second", ("a", "b", None), Uncertain, "segment 3 of 3", [1, 2, 3]),
    ("throttled for long", ("a", "b", *[Status.THROTTLED] * 7, "c"), Accepted, "a b c", [1, 2, *[3] * 8]),
    ("throttled to the end", ("a", "b", *[Status.THROTTLED] * 8), Uncertain, "segment 3 of 3", [1, 2, *[3] * 8]),
]


@pytest.mark.parametrize("name, fates, kind, words, parts", LONG_FATES, ids=[row[0] for row in LONG_FATES])
def test_a_long_message_has_one_verdict(
    name: str,
    fates: tuple[int | str | None, ...],
    kind: type[Any],
    words: str,
    parts: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first segment goes ahead, what is refused for now is asked again, and a doubt about one is about all."""
    monkeypatch.setattr("chappe.carriers.smpp.ROUND_LONGEST_S", 0.001)

    async def story() -> None:
        async with Centre(scripted(*fates)).listening() as centre, carrying(centre) as carrier:
            verdict = await carrier.submit(LONG)
            assert isinstance(verdict, kind)
            if isinstance(verdict, Accepted):
                assert " ".join(ticket.reference for ticket in verdict.tickets) == words
            elif isinstance(verdict, Refused):
                assert verdict.reason.value == words
            else:
                assert isinstance(verdict, Uncertain)
                assert verdict.detail.startswith(words)
            assert parts_of(centre.submitted) == parts

    run(story())


def test_long_messages_are_told_apart() -> None:
    """Two long messages to one phone have different references, and each one reference in all its segments."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre) as carrier:
            await asyncio.gather(asked(carrier, LONG), asked(carrier, LONG))
            references = [body.short_message[3] for body in centre.submitted]
            assert len(references) == 2 * SEGMENTS
            assert len(set(references)) == 2

    run(story())


@pytest.mark.parametrize(
    "states, kind",
    [((5, 2), Report), ((2, 8), Report), ((2, 2), Uncertain), ((1, 6), Uncertain), ((None, None), Uncertain)],
)
def test_a_doubt_about_a_part_is_asked_about(states: tuple[int | None, int | None], kind: type[Any]) -> None:
    """query_sm asks for the parts that were taken, by the ids as they were given: one that failed settles the doubt."""

    async def story() -> None:
        remaining = iter(states)
        first = scripted("00AB", "00AC", None)

        def script(centre: Centre, connection: Connection, request: Pdu) -> None:
            first(centre, connection, request)
            if isinstance(request.body, QuerySm):
                state = next(remaining)
                status = Status.QUERY_FAILED if state is None else Status.OK
                connection.answer(request, QuerySmResponse(request.body.message_id, "", state or 0), status)

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            assert isinstance(await carrier.submit(LONG), Uncertain)
            await until(lambda: carrier.links.is_up)
            answer = await carrier.query("9002", "ACME", "447700900123")
            assert isinstance(answer, kind)
            bodies = [request.body for _, request in centre.requests if isinstance(request.body, QuerySm)]
            assert {(body.source_ton, body.source) for body in bodies} == {(5, "ACME")}
            assert bodies[0].message_id == "00AB"
            if isinstance(answer, Report):
                assert (answer.reference, answer.state) in (("ab", State.UNDELIVERABLE), ("ac", State.REJECTED))

    run(story())


def test_a_doubt_without_an_id_stays_one() -> None:
    """What was never answered cannot be asked about: nothing is sent for it."""

    async def story() -> None:
        async with Centre().listening() as centre, carrying(centre) as carrier:
            assert isinstance(await carrier.query("9001", "ACME", "447700900123"), Uncertain)
            assert centre.requests == []

    run(story())


@pytest.mark.parametrize("status, kind", [(Status.OK, Cancelled), (Status.CANCEL_FAILED, Refused)])
def test_a_message_is_taken_back_by_its_id(status: int, kind: type[Any]) -> None:
    """cancel_sm names the carrier's id and the recipient, and its answer is believed."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, CancelSmResponse(), status)

        async with Centre(script).listening() as centre, carrying(centre) as carrier:
            assert isinstance(await carrier.cancel("ab", "447700900123"), kind)
            ((_, request),) = centre.requests
            assert isinstance(request.body, CancelSm)
            assert (request.body.message_id, request.body.destination) == ("ab", "447700900123")
            assert isinstance(await carrier.balance(), Refused)

    run(story())


# What a carrier brings


def test_a_receipt_is_answered_once_it_is_kept() -> None:
    """deliver_sm has no answer before the commit; then it is positive, or a temporary error where nothing was kept."""

    async def story() -> None:
        kept = Kept()
        kept.is_kept_at_once = False
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            first, second = centre.deliver(receipt("00AB")), centre.deliver(receipt("00AC", "UNDELIV"))
            await until(lambda: len(kept.futures) == 2)
            assert not first.done()
            kept.futures[0].set_result(Told())
            kept.futures[1].set_exception(OSError("disk full"))
            assert ((await first).status, (await second).status) == (Status.OK, Status.TEMPORARY_ERROR)
            states = [(one.reference, one.state, one.recipient) for one in kept.receipts]
            assert states == [
                ("ab", State.DELIVERED, "447700900123"),
                ("ac", State.UNDELIVERABLE, "447700900123"),
            ]

    run(story())


def test_a_delivery_that_breaks_us_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot even be begun is sent back for later and does not wait, and what came with it is kept."""
    monkeypatch.setattr("chappe.carriers.smpp.DELIVERIES_MAX", 1)

    async def story() -> None:
        def tell(found: Receipt) -> Told:
            if found.reference == "ab":
                raise RuntimeError("broken")
            return Told()

        kept = Kept()
        kept.tell = tell
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            answers = await asyncio.gather(centre.deliver(receipt("AB")), centre.deliver(receipt("AC")))
            assert [answer.status for answer in answers] == [Status.TEMPORARY_ERROR, Status.OK]

    run(story())


def test_a_receipt_behind_its_answer_comes_behind_its_verdict() -> None:
    """Of an answer and a receipt that come in one piece the verdict is heard first, so that no receipt is parked."""
    heard: list[str] = []

    def tell(found: Receipt) -> Told:
        heard.append("receipt")
        return Told()

    async def story() -> None:
        def script(centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, SubmitSmResponse("AB"))
            connection.ask(receipt("AB"))

        kept = Kept()
        kept.tell = tell
        async with Centre(script).listening() as centre, carrying(centre, kept=kept) as carrier:
            asked(carrier).add_done_callback(lambda _verdict: heard.append("verdict"))
            await until(lambda: len(heard) == 2)
            assert heard == ["verdict", "receipt"]

    run(story())


def test_deliveries_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of what waits to be kept a receipt is sent back for later, at once."""
    monkeypatch.setattr("chappe.carriers.smpp.DELIVERIES_MAX", 2)

    async def story() -> None:
        kept = Kept()
        kept.is_kept_at_once = False
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            answers = [centre.deliver(receipt(str(number))) for number in range(3)]
            assert (await answers[2]).status == Status.TEMPORARY_ERROR
            assert len(kept.receipts) == 2
            for future in kept.futures:
                future.set_result(Told())
            assert [(await answer).status for answer in answers[:2]] == [0, 0]
            again = centre.deliver(receipt("2"))
            await until(lambda: len(kept.futures) == 3)
            kept.futures[2].set_result(Told())
            assert (await again).status == Status.OK

    run(story())


def test_receipts_by_data_sm_count() -> None:
    """A receipt that comes as data_sm with TLVs is one, and is answered in kind."""

    async def story() -> None:
        kept = Kept()
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            tlvs = (text(Tag.RECEIPTED_MESSAGE_ID, "00AB"), number(Tag.MESSAGE_STATE, 2))
            body = DataSm(source_ton=1, source="447700900123", esm_class=RECEIPT, tlvs=tlvs)
            answer = await centre.connections[0].ask(body)
            assert (type(answer.body), answer.status) == (DataSmResponse, Status.OK)
            assert [(one.reference, one.state) for one in kept.receipts] == [("ab", State.DELIVERED)]

    run(story())


def test_a_malformed_receipt_is_taken_and_dropped() -> None:
    """A receipt that names no message is answered, so that it does not come for ever, and brings nothing."""

    async def story() -> None:
        kept = Kept()
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            broken = DeliverSm(source="447700900123", esm_class=RECEIPT, short_message=b"stat:DELIVRD but whose?")
            assert (await centre.deliver(broken)).status == Status.OK
            assert (kept.receipts, kept.inbound) == ([], [])
            centre.connections[0].tell(AlertNotification(source="447700900123"))
            assert (await centre.deliver(receipt("1"))).status == Status.OK

    run(story())


@pytest.mark.parametrize(
    "rule, written, reference, spelling",
    [
        ("same", "00012345678", "12345678", ""),
        ("hex-to-decimal", "12345678", "bc614e", ""),
        ("decimal-to-hex", "0BC614E", "12345678", ""),
        ("learn", "12345678", "12345678", "bc614e"),
        ("learn", "BC614E", "bc614e", "12345678"),
    ],
)
def test_ids_are_read_by_the_rule_of_the_carrier(rule: str, written: str, reference: str, spelling: str) -> None:
    """Padding and case never matter; decimal and hexadecimal are turned into each other as declared, or both tried."""

    async def story() -> None:
        kept = Kept()
        async with Centre().listening() as centre, carrying(centre, kept=kept, options={"receipt_ids": rule}):
            await centre.deliver(receipt(written))
            (found,) = kept.receipts
            assert found.reference == reference
            assert not spelling or spelling in found.spellings

    run(story())


@pytest.mark.parametrize("given, written", [("{:X}", "{:d}"), ("{:d}", "{:x}")])
def test_the_rule_of_a_carrier_is_learned(given: str, written: str) -> None:
    """Three receipts found by one rule, and none by another, show it, and what had found nothing is read again."""
    numbers = range(3_000_000_001, 3_000_000_006)
    known = {given.format(number).lower() for number in numbers[1:]}

    def tell(found: Receipt) -> Told:
        readings = (found.reference, *found.spellings)
        places = [place for place, reading in enumerate(readings) if reading in known]
        return Told(spelling=places[0] - 1) if places else Told(is_parked=True)

    async def story() -> None:
        kept = Kept()
        kept.tell = tell
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            for number in numbers:
                await centre.deliver(receipt(written.format(number)))
            *_, again, last = (one.reference for one in kept.receipts)
            assert (again, last) == (given.format(numbers[0]).lower(), given.format(numbers[-1]).lower())
            assert len(kept.receipts) == len(numbers) + 1

    run(story())


def test_a_receipt_before_its_answer_in_other_digits_is_brought_again() -> None:
    """A receipt before its answer and in other digits is brought once more, under the id and ahead of the verdict."""
    heard: list[str] = []

    def tell(found: Receipt) -> Told:
        heard.append(found.reference)
        return Told(is_parked=True)

    async def story() -> None:
        kept = Kept()
        kept.tell = tell
        async with Centre(nothing).listening() as centre, carrying(centre, kept=kept) as carrier:
            verdict = asked(carrier)
            verdict.add_done_callback(lambda _verdict: heard.append("verdict"))
            await centre.until(lambda: len(centre.requests) == 1)
            await centre.deliver(receipt("12345678"))
            centre.answer(0, "00BC614E")
            await until(lambda: len(heard) == 3)
            assert heard == ["12345678", "bc614e", "verdict"]

    run(story())


def test_a_receipt_that_is_read_again_is_answered_once_that_is_kept() -> None:
    """While a receipt is parked the rule is learned: it is kept by that too before the carrier may forget it."""

    async def story() -> None:
        kept = Kept()
        kept.is_kept_at_once = False
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            first, *others = [centre.deliver(receipt(str(3_000_000_001 + number))) for number in range(4)]
            await until(lambda: len(kept.futures) == 4)
            for future in kept.futures[1:]:
                future.set_result(Told(spelling=0))
            await asyncio.gather(*others)
            kept.futures[0].set_result(Told(is_parked=True))
            await until(lambda: len(kept.futures) == 5)
            assert kept.receipts[4].reference == f"{3_000_000_001:x}"
            await centre.deliver(DeliverSm(esm_class=RECEIPT, short_message=b"nonsense"))  # answered at once
            assert not first.done()
            kept.futures[4].set_result(Told())
            assert (await first).status == Status.OK

    run(story())


def test_a_rule_that_is_contradicted_is_not_learned() -> None:
    """Where receipts were right under two rules every further one is still read in both ways."""
    known = {"bc614e", "12345679", "bc6150", "bc6151", "bc6152"}

    def tell(found: Receipt) -> Told:
        return Told(
            spelling=[found.reference, *found.spellings].index(next(iter(known & {found.reference, *found.spellings})))
            - 1
        )

    async def story() -> None:
        kept = Kept()
        kept.tell = tell
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            for number in range(12345678, 12345683):
                await centre.deliver(receipt(str(number)))
            assert [one.reference for one in kept.receipts] == [str(number) for number in range(12345678, 12345683)]

    run(story())


def test_a_message_to_another_shows_no_rule() -> None:
    """An id that is found, but of a message to somebody else, may be so by chance: nothing is learned from it."""

    async def story() -> None:
        kept = Kept()
        kept.tell = lambda _receipt: Told(is_to_recipient=False)
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            for number in range(12345678, 12345682):
                await centre.deliver(receipt(str(number)))
            assert all(one.spellings for one in kept.receipts)

    run(story())


def test_messages_from_phones_arrive() -> None:
    """A message and the segments of a long one are brought with their numbers, texts and places."""

    async def story() -> None:
        kept = Kept()
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            short = DeliverSm(source_ton=1, source="447700900123", destination="12345", short_message=b"STOP")
            assert (await centre.deliver(short)).status == Status.OK
            for position in (2, 1):
                header = bytes((5, 0, 3, 77, 2, position))
                text = header + f"part {position}".encode()
                body = DeliverSm(source="447700900123", destination="12345", esm_class=0x40, short_message=text)
                assert (await centre.deliver(body)).status == Status.OK
            texts = [(one.originator, one.recipient, one.text) for one in kept.inbound]
            assert texts == [("447700900123", "12345", text) for text in ("STOP", "part 2", "part 1")]
            places = [
                (one.concatenation.reference, one.concatenation.total, one.concatenation.position)
                for one in kept.inbound
                if one.concatenation
            ]
            assert places == [(77, 2, 2), (77, 2, 1)]

    run(story())


def test_octets_that_are_no_pdu_do_not_end_the_link() -> None:
    """A deliver_sm that cannot be read is refused with its error, and what follows on the same connection is heard."""

    async def story() -> None:
        kept = Kept()
        async with Centre().listening() as centre, carrying(centre, kept=kept):
            transport = centre.connections[0]._transport
            assert transport is not None
            transport.write(bytes.fromhex("0000001200000005000000000000006300ff"))
            assert (await centre.deliver(receipt("1"))).status == Status.OK
            assert len(kept.receipts) == 1
            assert len(centre.binds) == 1

    run(story())


OBJECTIONS = [
    ({}, ""),
    ({"long": "sar", "0x45": "throttled", "enquire_link_s": "60"}, ""),
    ({"bind": "pair"}, "'bind' is none of"),
    ({"lang": "it"}, "'lang' is none of"),
    ({"long": "cut"}, "long = 'cut': one of"),
    ({"0x45": "slow"}, "0x45 = 'slow': one of"),
    ({"enquire_link_s": "soon"}, "enquire_link_s = 'soon': a number up to 3600"),
    ({"service_type": "toolong"}, "service_type has 7 octets, at most 5 fit"),
    ({"address_range": "4" * 41}, "address_range has 41 octets, at most 40 fit"),
]


@pytest.mark.parametrize("options, words", OBJECTIONS)
def test_wrong_options_are_named(options: dict[str, str], words: str) -> None:
    """An option that nobody knows, or with a value it cannot have, is told before anything is built with it."""
    assert option_objection(options).startswith(words)
    assert bool(option_objection(options)) == bool(words)
