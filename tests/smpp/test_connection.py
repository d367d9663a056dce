"""Connections on real sockets: both ends ours, peers that misbehave written by hand, and hours that take no time."""

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from chappe.clock import SystemClock
from chappe.listeners.tls import make_self_signed, server_context
from chappe.smpp.connection import (
    READ_PAUSE_BYTES,
    WRITE_BYTES_MAX,
    WRITE_PAUSE_BYTES,
    Connection,
    LinkLost,
    NotSent,
    Overdue,
    Role,
    Timers,
)
from chappe.smpp.pdu import (
    BODIES,
    HEADER,
    HEADER_OCTETS,
    RESPONSE,
    BindTransceiver,
    BindTransceiverResponse,
    DataSm,
    DataSmResponse,
    DeliverSm,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Outbind,
    Pdu,
    PduError,
    Status,
    SubmitSm,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
    decode,
    encode,
)
from chappe.smpp.session import BindState

ROUNDS_MAX = 20_000
ASYNCIO_READ_BYTES = 256 * 1024  # at most so much per turn
PATIENCE_S = 20.0  # on a real clock
SECRET = "correct horse"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class ToldTime:
    """A clock that stands still until it is moved."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self.now_s * 1000)


class ToldLoop(asyncio.SelectorEventLoop):
    """An event loop that goes by such a clock."""

    def __init__(self, clock: ToldTime) -> None:
        super().__init__()
        self._clock = clock

    def time(self) -> float:
        return self._clock.now_s


class End:
    """One end of a link, and all that its owner was told."""

    def __init__(self, role: Role, clock: ToldTime | SystemClock, **options: Any) -> None:
        self.heard: list[Pdu] = []
        self.answers_at_once = True
        self.opened_count = 0
        self.reasons: list[str] = []
        self.unreadable: list[PduError] = []
        self.connection = Connection(
            role=role,
            clock=clock,
            hear=self.hear,
            closed=lambda _, reason: self.reasons.append(reason),
            opened=self.open,
            unreadable=lambda _, error: self.unreadable.append(error),
            **options,
        )

    def open(self, _: Connection) -> None:
        self.opened_count += 1

    def hear(self, connection: Connection, pdu: Pdu) -> None:
        assert connection is self.connection
        self.heard.append(pdu)
        kind = BODIES.get(pdu.body.command_id | RESPONSE)
        if self.answers_at_once and kind is not None:
            connection.answer(pdu, kind())

    async def bind(self) -> None:
        assert (await self.connection.ask(BindTransceiver("me", "secret"))).status == Status.OK


class Stand:
    """A loop, its clock and what was set up on it."""

    def __init__(self, clock: ToldTime | SystemClock) -> None:
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self.servers: list[asyncio.AbstractServer] = []
        self.ends: list[End] = []
        self.strangers: list[Stranger] = []
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def end(self, role: Role, **options: Any) -> End:
        self.ends.append(End(role, self.clock, **options))
        return self.ends[-1]

    def stranger(self, port: int) -> "Stranger":
        self.strangers.append(Stranger(port))
        return self.strangers[-1]

    async def clear(self) -> None:
        """Let everything go."""
        for server in self.servers:
            server.close()
        for stranger in self.strangers:
            stranger.socket.close()
        for end in self.ends:
            end.connection.abort("the scene is over")
        await self.until(lambda: all(end.reasons for end in self.ends))

    async def listen(self, make: Callable[[], Connection], **options: Any) -> int:
        server = await self.loop.create_server(make, "127.0.0.1", 0, **options)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def connect(self, make: Callable[[], Connection], port: int, **options: Any) -> None:
        await self.loop.create_connection(make, "127.0.0.1", port, **options)

    async def link(self, **options: Any) -> tuple[End, End]:
        """An ESME bound as transceiver, and its message centre."""
        esme, centre = self.end(Role.ESME, **options), self.end(Role.MESSAGE_CENTRE, **options)
        port = await self.listen(lambda: centre.connection)
        await self.connect(lambda: esme.connection, port)
        await esme.bind()
        return esme, centre

    async def beside_stranger(self, role: Role, is_bound: bool = True, **options: Any) -> tuple[End, "Stranger"]:
        """Our end, bound where that is wanted, and a peer that does as it is told."""
        end = self.end(role, **options)
        stranger = self.stranger(await self.listen(lambda: end.connection))
        await self.until(lambda: end.opened_count == 1)
        if is_bound and role is Role.ESME:
            bound = end.connection.ask(BindTransceiver())
            await self.hear(stranger)
            stranger.say(Pdu(BindTransceiverResponse(), 1))
            await bound
        elif is_bound:
            stranger.say(Pdu(BindTransceiver(), 1))
            await self.hear(stranger)
        end.heard.clear()
        return end, stranger

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Let the loop turn until it is so. No time passes: all that is waited for is on its way already."""
        for _ in range(ROUNDS_MAX):
            if is_so():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to that")

    async def hear(self, stranger: "Stranger", pdus_count: int = 1) -> list[Pdu]:
        await self.until(lambda: len(stranger.read()) >= pdus_count)
        heard, stranger.heard = stranger.heard[:pdus_count], stranger.heard[pdus_count:]
        return heard

    async def pass_time(self, seconds: float) -> None:
        """Move the clock second by second, and let everything happen that is due."""
        assert isinstance(self.clock, ToldTime)
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.clock.now_s = min(end_s, self.clock.now_s + 1)
            await self.turn()

    async def turn(self) -> None:
        """Let everything happen that is on its way."""
        for _ in range(20):
            await asyncio.sleep(0)


class Stranger:
    """A peer without manners: a bare socket that says what it is told and reads when it is told."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.heard: list[Pdu] = []
        self.rest = b""
        self.is_ended = False

    def say(self, *pdus: Pdu) -> None:
        self.socket.sendall(b"".join(map(encode, pdus)))

    def read(self) -> list[Pdu]:
        """Whatever has come so far, besides what was taken."""
        try:
            while received := self.socket.recv(1 << 20):
                self.rest += received
            self.is_ended = True
        except BlockingIOError:
            pass
        except ConnectionError:
            self.is_ended = True
        start = 0
        while len(self.rest) - start >= HEADER_OCTETS:
            end = start + HEADER.unpack_from(self.rest, start)[0]
            if len(self.rest) < end:
                break
            self.heard.append(decode(self.rest[start:end]))
            start = end
        self.rest = self.rest[start:]
        return self.heard

    def has_ended(self) -> bool:
        self.read()
        return self.is_ended


Play = Callable[[Stand], Coroutine[Any, Any, None]]


async def play(scene: Play, clock: ToldTime | SystemClock) -> None:
    stand = Stand(clock)
    try:
        await scene(stand)
    finally:
        await stand.clear()
    gc.collect()
    assert stand.complaints == []
    assert [end.reasons for end in stand.ends if len(end.reasons) != 1] == []  # each end is told of once


async def within_rounds(scene: Coroutine[Any, Any, None], rounds_max: int) -> None:
    """Where no time passes nothing times out: what hangs is ended after so many turns of the loop."""
    playing = asyncio.create_task(scene)
    for _ in range(rounds_max):
        if playing.done():
            return playing.result()
        await asyncio.sleep(0)
    raise AssertionError("it never ended")


def run_told(scene: Play) -> None:
    """Play a scene on a clock that only the scene moves."""
    clock = ToldTime()
    with asyncio.Runner(loop_factory=lambda: ToldLoop(clock)) as runner:
        runner.run(within_rounds(play(scene, clock), 50 * ROUNDS_MAX))


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Play], None]:
    """Play a scene on a real loop, on each of them."""

    def run_on(scene: Play) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(play(scene, SystemClock()), PATIENCE_S))

    return run_on


Run = Callable[[Play], None]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_self_signed(tmp_path_factory.mktemp("tls"))


# Conversations


@pytest.mark.parametrize("way", ["plain", "plain on a port for both", "TLS", "TLS on a port for both"])
def test_two_ends_talk(run: Run, certificate: tuple[Path, Path], way: str) -> None:
    """Bind, messages in both directions and unbind, in the clear and in TLS, on one port for both as well."""
    context = server_context(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    client = {"ssl": trust, "server_hostname": "127.0.0.1"} if way.startswith("TLS") else {}

    async def scene(stand: Stand) -> None:
        esme = stand.end(Role.ESME)
        centre = stand.end(Role.MESSAGE_CENTRE, tls=context if "both" in way else None)
        port = await stand.listen(lambda: centre.connection, **({"ssl": context} if way == "TLS" else {}))
        await stand.connect(lambda: esme.connection, port, **client)
        await esme.bind()
        submitted = [esme.connection.ask(SubmitSm(source=str(number))) for number in range(1000)]
        delivered = [centre.connection.ask(DataSm(tlvs=((0x0424, bytes(60_000)),))) for _ in range(50)]
        for answer in await asyncio.gather(*submitted, *delivered):
            assert answer.status == Status.OK
        assert [pdu.body for pdu in centre.heard[1:]] == [SubmitSm(source=str(number)) for number in range(1000)]
        assert (esme.connection.peer, centre.connection.peer) == ("127.0.0.1", "127.0.0.1")
        assert (esme.opened_count, centre.opened_count) == (1, 1)
        await esme.connection.unbind(5.0)
        await stand.until(lambda: centre.reasons)
        assert (esme.reasons, centre.reasons) == (["unbound by us"], ["unbound by the peer"])
        assert esme.connection.state is centre.connection.state is BindState.CLOSED

    run(scene)


def test_the_centre_may_unbind(run: Run) -> None:
    """The message centre takes its leave in the same way."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link()
        answer = esme.connection.ask(SubmitSm())
        await centre.connection.unbind(5.0)
        await stand.until(lambda: esme.reasons)
        assert (await answer).status == Status.OK
        assert (esme.reasons, centre.reasons) == (["unbound by the peer"], ["unbound by us"])

    run(scene)


def test_an_outbind_invites_a_bind(run: Run) -> None:
    """A message centre that connects to an ESME says so first, and is bound to as ever."""

    async def scene(stand: Stand) -> None:
        esme, centre = stand.end(Role.ESME), stand.end(Role.MESSAGE_CENTRE)
        port = await stand.listen(lambda: esme.connection)
        await stand.connect(lambda: centre.connection, port)
        centre.connection.tell(Outbind("carrier", "secret"))
        await stand.until(lambda: esme.heard)
        assert esme.heard == [Pdu(Outbind("carrier", "secret"), 1)]
        await esme.bind()
        assert (await centre.connection.ask(DeliverSm())).status == Status.OK

    run(scene)


def test_a_refused_bind_is_answered_and_closed(run: Run) -> None:
    """The ESME learns why before the message centre hangs up."""

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE, is_bound=False)
        centre.answers_at_once = False
        stranger.say(Pdu(BindTransceiver(), 1))
        await stand.until(lambda: centre.heard)
        centre.connection.answer(centre.heard[0], BindTransceiverResponse(), Status.INVALID_PASSWORD)
        assert await stand.hear(stranger) == [Pdu(BindTransceiverResponse(), 1, Status.INVALID_PASSWORD)]
        await stand.until(stranger.has_ended)
        assert centre.reasons == ["bind refused"]

    run(scene)


def test_answers_come_before_requests(run: Run) -> None:
    """Within one read answers come first, and those who waited for them have run before a request is heard."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        order: list[str] = []

        async def submit(name: str) -> None:
            await esme.connection.ask(SubmitSm(source=name))
            order.append(name)

        esme.hear = lambda connection, pdu: order.append(type(pdu.body).__name__)  # type: ignore[method-assign]
        esme.connection._hear = esme.hear
        tasks = [asyncio.create_task(submit(name)) for name in ("first", "second")]
        await stand.hear(stranger, 2)
        stranger.say(Pdu(DeliverSm(), 1), Pdu(SubmitSmResponse(), 3), Pdu(DeliverSm(), 2), Pdu(SubmitSmResponse(), 2))
        await stand.until(lambda: len(order) == 4)
        assert order == ["second", "first", "DeliverSm", "DeliverSm"]
        await asyncio.gather(*tasks)

    run(scene)


def test_requests_keep_their_order(run: Run) -> None:
    """Requests that had to wait for answers are heard before those of the next read."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        for first in range(0, 300, 3):
            answer = esme.connection.ask(SubmitSm())
            (request,) = await stand.hear(stranger)
            stranger.say(*[Pdu(DeliverSm(source=str(first + more)), more) for more in range(2)])
            stranger.say(Pdu(SubmitSmResponse(), request.sequence), Pdu(DeliverSm(source=str(first + 2)), 2))
            await answer
            await stand.hear(stranger, 3)
        assert [int(pdu.body.source) for pdu in esme.heard] == list(range(300))  # type: ignore[attr-defined]

    run(scene)


def test_reads_of_one_turn_keep_their_order() -> None:
    """A loop may hand over several reads before anybody runs: the second does not overtake what the first put off."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        order: list[str] = []
        esme.connection._hear = lambda _, pdu: order.append(pdu.body.source)  # type: ignore[attr-defined]
        answer = esme.connection.ask(SubmitSm())
        answer.add_done_callback(lambda _: order.append("answer"))
        await stand.hear(stranger)
        esme.connection.data_received(encode(Pdu(SubmitSmResponse(), 2)) + encode(Pdu(DeliverSm(source="1"), 1)))
        esme.connection.data_received(encode(Pdu(DeliverSm(source="2"), 2)))
        await stand.turn()
        assert order == ["answer", "1", "2"]

    run_told(scene)


def test_what_cannot_be_answered_is_not_heard() -> None:
    """Requests that were put off when the link broke go nowhere: the peer will ask again, and once is enough."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        answer = esme.connection.ask(SubmitSm())
        await stand.hear(stranger)
        esme.connection.data_received(encode(Pdu(SubmitSmResponse(), 2)) + encode(Pdu(DeliverSm(), 1)))
        esme.connection.abort("cut")
        assert (await answer).status == Status.OK
        await stand.until(lambda: esme.reasons)
        assert esme.heard == []

    run_told(scene)


def test_the_reason_is_what_came_first() -> None:
    """A link that breaks while it is being ended was ended for the reason that there was."""

    async def scene(stand: Stand) -> None:
        centre, _ = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        centre.connection.data_received(b"\0\0\0\0")
        centre.connection.connection_lost(ConnectionResetError())
        assert centre.reasons == ["no such command_length"]

    run_told(scene)


def test_a_turn_leaves_in_one_write() -> None:
    """What is asked and answered during one turn of the loop is one write, and one read for the peer."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        stranger.say(*[Pdu(DeliverSm(), number) for number in range(10)])
        await stand.until(lambda: len(esme.heard) == 10)
        waiting = [esme.connection.ask(SubmitSm()) for _ in range(10)]
        assert stranger.read() == []
        await asyncio.sleep(0)
        assert len(stranger.read()) == 20
        esme.connection.abort("enough")
        assert all(future.done() for future in waiting)

    run_told(scene)


def test_a_mistake_of_the_owner_is_answered(run: Run) -> None:
    """A request on which the owner fails gets a system error, nothing of it is logged, and the next is heard."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link()

        def fail(connection: Connection, pdu: Pdu) -> None:
            if pdu.body.short_message == SECRET.encode():  # type: ignore[attr-defined]
                raise RuntimeError("whatever")
            connection.answer(pdu, SubmitSmResponse("fine"))

        centre.connection._hear = fail
        with structlog.testing.capture_logs() as events:
            bad, good = (esme.connection.ask(SubmitSm(short_message=text)) for text in (SECRET.encode(), b"fine"))
            assert (await bad).status == Status.SYSTEM_ERROR
            assert (await good).body == SubmitSmResponse("fine")
        assert [event["event"] for event in events] == ["smpp_request_broke"]
        assert SECRET not in str(events)

    run(scene)


def test_an_answer_that_does_not_fit_is_a_system_error(run: Run) -> None:
    """An owner that answers with too long an id does not leave the peer waiting."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link()
        centre.connection._hear = lambda connection, pdu: connection.answer(pdu, SubmitSmResponse("x" * 65))
        with structlog.testing.capture_logs() as events:
            assert (await esme.connection.ask(SubmitSm())).status == Status.SYSTEM_ERROR
        assert [event["event"] for event in events] == ["smpp_answer_does_not_fit"]

    run(scene)


def test_who_no_longer_waits_does_no_harm(run: Run) -> None:
    """A request whose owner gave up still holds its place until it is answered, and the answer goes nowhere."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        given_up, waiting = esme.connection.ask(SubmitSm()), esme.connection.ask(SubmitSm())
        given_up.cancel()
        await stand.hear(stranger, 2)
        assert esme.connection.window_used == 2
        stranger.say(Pdu(SubmitSmResponse(), 2), Pdu(SubmitSmResponse("id"), 3))
        assert (await waiting).body == SubmitSmResponse("id")
        assert esme.connection.window_used == 0

    run(scene)


# Octets that are no PDU


def test_rubbish_is_answered_and_ends_the_connection(run: Run) -> None:
    """A length that cannot be gets generic_nack, then the end; requests before it are heard and answered."""

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        stranger.socket.sendall(encode(Pdu(SubmitSm(), 2)) + b"GET / HTTP/1.1\r\n\r\n")
        nack, answer = await stand.hear(stranger, 2)
        assert (nack, answer) == (
            Pdu(GenericNack(), 0, Status.INVALID_COMMAND_LENGTH),
            Pdu(SubmitSmResponse(), 2),
        )
        await stand.until(stranger.has_ended)
        assert centre.reasons == ["no such command_length"]

    run(scene)


def test_a_malformed_request_is_told_to_the_owner_and_the_link_lives(run: Run) -> None:
    """The peer gets its error, the owner the octets, and the next request is heard."""

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        bad = HEADER.pack(20, SubmitSm.command_id, 0, 2) + b"\xff" * 4
        stranger.socket.sendall(bad + encode(Pdu(SubmitSm(), 3)))
        refusal, answer = await stand.hear(stranger, 2)
        assert (refusal.sequence, refusal.status != 0) == (2, True)
        assert answer == Pdu(SubmitSmResponse(), 3)
        assert [error.raw for error in centre.unreadable] == [bad]
        assert centre.connection.counts.unreadable == 1

    run(scene)


@pytest.mark.parametrize("has_certificate", [False, True])
def test_a_tls_hello_that_leads_nowhere_is_closed(
    run: Run, certificate: tuple[Path, Path], has_certificate: bool
) -> None:
    """Without a certificate, or with rubbish for a hello, the connection ends and its owner is told once."""

    async def scene(stand: Stand) -> None:
        context = server_context(*certificate) if has_certificate else None
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE, is_bound=False, tls=context)
        stranger.socket.sendall(b"\x16\x03\x01\x02\x00" + b"rubbish" * 100)
        await stand.until(lambda: centre.reasons)
        assert centre.reasons == ["TLS handshake failed" if has_certificate else "no such command_length"]
        assert centre.opened_count == 1

    run(scene)


def test_only_the_first_octet_may_begin_a_hello(run: Run, certificate: tuple[Path, Path]) -> None:
    """On a port for both, a later read that begins with 0x16 is part of a PDU."""

    async def scene(stand: Stand) -> None:
        context = server_context(*certificate)
        _, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE, tls=context)
        octets = encode(Pdu(SubmitSm(short_message=b"\x16" * 100), 3))
        stranger.socket.sendall(encode(Pdu(EnquireLink(), 2)) + octets[:60])
        assert await stand.hear(stranger) == [Pdu(EnquireLinkResponse(), 2)]
        stranger.socket.sendall(octets[60:])
        assert await stand.hear(stranger) == [Pdu(SubmitSmResponse(), 3)]

    run(scene)


def test_a_tls_hello_that_stops_is_closed(certificate: tuple[Path, Path]) -> None:
    """Half a handshake has no longer than half a bind."""

    async def scene(stand: Stand) -> None:
        context = server_context(*certificate)
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE, is_bound=False, tls=context)
        stranger.socket.sendall(b"\x16\x03\x01\x02\x00\x01")
        await stand.pass_time(9)
        assert centre.reasons == []
        await stand.pass_time(5)
        assert len(centre.reasons) == 1
        assert stranger.has_ended()

    run_told(scene)


# Links that break


def test_a_broken_link_tells_what_left(run: Run) -> None:
    """Requests that were written are lost, those that were not are known not to have been sent."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME, window=2)
        written = [esme.connection.ask(SubmitSm()) for _ in range(2)]
        held = esme.connection.ask(SubmitSm())
        await stand.hear(stranger, 2)
        stranger.socket.close()
        await stand.until(lambda: esme.reasons)
        assert [type(future.exception()) for future in (*written, held)] == [LinkLost, LinkLost, NotSent]
        assert type(esme.connection.ask(SubmitSm()).exception()) is NotSent
        assert esme.reasons in (["closed by the peer"], ["connection lost"])
        await esme.connection.unbind(5.0)  # nothing is left to do

    run(scene)


def test_what_was_asked_in_the_last_turn_was_not_sent(run: Run) -> None:
    """A connection that is cut before its write leaves no doubt about what was to be written."""

    async def scene(stand: Stand) -> None:
        esme, _ = await stand.link()
        waiting = esme.connection.ask(SubmitSm())
        esme.connection.abort("no longer wanted")
        assert type(waiting.exception()) is NotSent
        await stand.until(lambda: esme.reasons)
        assert esme.reasons == ["no longer wanted"]

    run(scene)


def test_what_is_asked_before_the_link_is_not_sent() -> None:
    """A connection without a socket, and one that was given up before it had one, send nothing and end once."""

    async def scene(stand: Stand) -> None:
        esme = stand.end(Role.ESME)
        assert type(esme.connection.ask(SubmitSm()).exception()) is NotSent
        esme.connection.abort("given up")
        assert esme.reasons == ["given up"]
        stranger = stand.stranger(await stand.listen(lambda: esme.connection))
        await stand.until(stranger.has_ended)
        assert (esme.reasons, esme.opened_count) == (["given up"], 0)

    run_told(scene)


def test_who_says_goodbye_and_goes_is_still_answered(run: Run) -> None:
    """A peer that closes its sending half behind its last words gets the answers of that turn."""

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        stranger.say(Pdu(SubmitSm(), 2), Pdu(Unbind(), 3))
        stranger.socket.shutdown(socket.SHUT_WR)
        assert await stand.hear(stranger, 2) == [Pdu(SubmitSmResponse(), 2), Pdu(UnbindResponse(), 3)]
        await stand.until(lambda: centre.reasons)
        assert centre.reasons == ["unbound by the peer"]

    run(scene)


def test_a_half_open_link_is_found_out() -> None:
    """A peer that has vanished is asked after 30 s of silence and given up 30 s later; its answers are lost."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        waiting = esme.connection.ask(SubmitSm())
        await stand.pass_time(30)
        assert [type(pdu.body) for pdu in await stand.hear(stranger, 2)] == [SubmitSm, EnquireLink]
        await stand.pass_time(29)
        assert not waiting.done()
        await stand.pass_time(1)
        assert type(waiting.exception()) is LinkLost
        await stand.until(stranger.has_ended)
        assert esme.reasons == ["no answer to enquire_link"]

    run_told(scene)


def test_two_ends_keep_a_quiet_link() -> None:
    """Two of us with nothing to say to one another stay bound for a day."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link()
        for _ in range(24 * 60):
            stand.clock.now_s += 59  # type: ignore[union-attr]
            await stand.pass_time(1)
        assert (esme.reasons, centre.reasons) == ([], [])
        assert (await esme.connection.ask(SubmitSm())).status == Status.OK

    run_told(scene)


def test_late_answers_under_a_flood_are_answers() -> None:
    """While receipts flood in, answers that take nearly two minutes are in time; not one request is overdue."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link()
        centre.answers_at_once = False
        waiting = [esme.connection.ask(SubmitSm()) for _ in range(500)]
        for _ in range(118):
            flood = [centre.connection.ask(DeliverSm()) for _ in range(50)]
            await stand.pass_time(1)
            await asyncio.gather(*flood)
        last = [centre.connection.ask(DeliverSm()) for _ in range(500)]
        for request in centre.heard[1:]:
            centre.connection.answer(request, SubmitSmResponse("late"))
        await stand.until(lambda: all(future.done() for future in (*waiting, *last)))
        assert {future.result().body for future in waiting} == {SubmitSmResponse("late")}
        assert (esme.connection.counts.overdue, esme.reasons) == (0, [])

    run_told(scene)


def test_answers_that_came_while_we_stood_still_are_answers() -> None:
    """After a process was stopped for minutes, what lies in its socket is read before anything counts as overdue."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        waiting = [esme.connection.ask(SubmitSm()) for _ in range(6_000)]
        await stand.hear(stranger, 6_000)
        octets = b"".join(encode(Pdu(SubmitSmResponse("x" * 64), 2 + number)) for number in range(6_000))
        assert len(octets) > 1.5 * ASYNCIO_READ_BYTES
        while octets:
            with suppress(BlockingIOError):
                octets = octets[stranger.socket.send(octets) :]
                stand.clock.now_s = 500.0  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await stand.until(lambda: all(future.done() for future in waiting))
        assert (esme.connection.counts.overdue, esme.reasons) == (0, [])
        await asyncio.gather(*waiting)

    run_told(scene)


def test_an_answer_that_never_comes_is_overdue() -> None:
    """On a link that lives a request is given up after twice the response time; what comes then is counted."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link(timers=Timers(response_s=5, enquire_link_s=3))
        centre.answers_at_once = False
        waiting = esme.connection.ask(SubmitSm())
        await stand.pass_time(9)
        assert not waiting.done()
        await stand.pass_time(1)
        assert type(waiting.exception()) is Overdue
        centre.connection.answer(centre.heard[1], SubmitSmResponse("too late"))
        await stand.until(lambda: esme.connection.counts.stray)
        assert esme.reasons == []

    run_told(scene)


def test_what_waits_too_long_is_not_sent() -> None:
    """A request that found no room in the window for as long as an answer may take never leaves."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link(timers=Timers(response_s=5, enquire_link_s=3), window=1)
        centre.answers_at_once = False
        waiting, held = esme.connection.ask(SubmitSm()), esme.connection.ask(SubmitSm())
        await stand.pass_time(6)
        assert (waiting.done(), type(held.exception())) == (False, NotSent)

    run_told(scene)


@pytest.mark.parametrize("role", Role)
def test_who_never_binds_is_let_go(role: Role) -> None:
    """Ten seconds after the connection without a bind either end hangs up."""

    async def scene(stand: Stand) -> None:
        end, stranger = await stand.beside_stranger(role, is_bound=False)
        await stand.pass_time(9)
        assert end.reasons == []
        await stand.pass_time(1)
        await stand.until(stranger.has_ended)
        assert end.reasons == ["not bound in time"]

    run_told(scene)


def test_half_a_pdu_ends_the_connection() -> None:
    """A peer that stops within a PDU is closed after 15 s."""

    async def scene(stand: Stand) -> None:
        timers = Timers(enquire_link_s=0, response_s=0)
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE, timers=timers)
        await stand.pass_time(20)
        stranger.socket.sendall(encode(Pdu(SubmitSm(), 2))[:20])
        await stand.pass_time(14)
        assert centre.reasons == []
        await stand.pass_time(2)
        assert centre.reasons == ["the rest of a PDU did not come"]

    run_told(scene)


def test_inactivity_ends_with_an_unbind() -> None:
    """A session on which nothing is done is unbound in good order."""

    async def scene(stand: Stand) -> None:
        esme, centre = await stand.link(timers=Timers(inactivity_s=100))
        await stand.pass_time(101)
        await stand.until(lambda: esme.reasons and centre.reasons)
        assert {*esme.reasons, *centre.reasons} <= {"unbound by us", "unbound by the peer"}

    run_told(scene)


def test_unbind_does_not_wait_for_ever() -> None:
    """A peer that answers neither requests nor the unbind is left when the time is up."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        waiting = esme.connection.ask(SubmitSm())
        leaving = asyncio.create_task(esme.connection.unbind(3.0))
        await asyncio.sleep(0)
        await stand.pass_time(2)
        assert (leaving.done(), waiting.done(), esme.connection.state) == (False, False, BindState.UNBOUND)
        await stand.pass_time(1)
        await leaving
        assert [type(pdu.body) for pdu in await stand.hear(stranger, 2)] == [SubmitSm, Unbind]
        assert (type(waiting.exception()), esme.reasons) == (LinkLost, ["unbound by us"])

    run_told(scene)


# Peers that do not read

LONG = DataSm(tlvs=((0x0424, bytes(60_000)),))


def narrow(end: End, stranger: Stranger) -> asyncio.Transport:
    """Leave the kernel little room, so that what is not read stays with us."""
    transport = end.connection._transport
    assert transport is not None
    for side in (transport.get_extra_info("socket"), stranger.socket):
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            side.setsockopt(socket.SOL_SOCKET, buffer, 65_536)
    return transport


def test_requests_wait_for_a_peer_that_does_not_read(run: Run) -> None:
    """However much is asked, about a mebibyte is written; once the peer reads, everything comes, answers or not."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        transport = narrow(esme, stranger)
        waiting = []
        for _ in range(60):
            waiting.append(esme.connection.ask(LONG))
            await asyncio.sleep(0)
        assert WRITE_PAUSE_BYTES * 0.9 < transport.get_write_buffer_size() < WRITE_PAUSE_BYTES * 1.3
        requests = await stand.hear(stranger, 60)
        assert not any(future.done() for future in waiting)
        stranger.say(*[Pdu(DataSmResponse(), request.sequence) for request in requests])
        await asyncio.gather(*waiting)
        assert esme.reasons == []

    run(scene)


def test_whatever_is_asked_in_one_turn_leaves(run: Run) -> None:
    """What did not fit into the first write follows by itself."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME)
        for _ in range(12):
            esme.connection.ask(LONG)
        await stand.hear(stranger, 12)

    run(scene)


def test_a_peer_that_does_not_read_is_not_read_either(run: Run) -> None:
    """Who asks and asks and never reads an answer is stopped within bounds, and served when it reads again."""
    count = 25_000

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        transport = narrow(centre, stranger)
        long = ((0x1400, bytes(200)),)
        centre.connection._hear = lambda connection, pdu: connection.answer(pdu, SubmitSmResponse(tlvs=long))
        octets = b"".join(encode(Pdu(SubmitSm(short_message=bytes(200)), number)) for number in range(count))
        sent = unmoved = answers = 0
        while unmoved < 100 and sent < len(octets):
            try:
                sent += stranger.socket.send(octets[sent : sent + 20_000])
                unmoved = 0
            except BlockingIOError:
                unmoved += 1
            await asyncio.sleep(0)
        assert READ_PAUSE_BYTES < transport.get_write_buffer_size() < WRITE_BYTES_MAX
        assert sent < len(octets)
        while answers < count:
            with suppress(BlockingIOError):
                sent += stranger.socket.send(octets[sent : sent + 20_000])
            answers, stranger.heard = answers + len(stranger.read()), []
            await asyncio.sleep(0)
        assert centre.reasons == []

    run(scene)


def test_a_peer_that_never_reads_is_given_up(run: Run) -> None:
    """When even the answers are too many, the connection is cut."""

    async def scene(stand: Stand) -> None:
        centre, stranger = await stand.beside_stranger(Role.MESSAGE_CENTRE)
        centre.answers_at_once = False
        stranger.say(*[Pdu(SubmitSm(), number) for number in range(300)])
        await stand.until(lambda: len(centre.heard) == 300)
        for request in centre.heard:
            centre.connection.answer(request, SubmitSmResponse(tlvs=((0x1400, bytes(60_000)),)))
            await asyncio.sleep(0)
        await stand.until(lambda: centre.reasons)
        assert centre.reasons == ["the peer does not read"]

    run(scene)


def test_the_last_words_do_not_take_for_ever() -> None:
    """A peer that does not read our goodbye is cut after a moment."""

    async def scene(stand: Stand) -> None:
        esme, stranger = await stand.beside_stranger(Role.ESME, window=15)
        narrow(esme, stranger)
        waiting = [esme.connection.ask(LONG) for _ in range(20)]
        await stand.turn()
        leaving = asyncio.create_task(esme.connection.unbind(3.0))
        await asyncio.sleep(0)
        await stand.pass_time(4)
        assert not leaving.done()
        await stand.pass_time(1)
        await leaving
        assert {type(future.exception()) for future in waiting} == {NotSent, LinkLost}
        assert esme.reasons == ["unbound by us"]

    run_told(scene)
