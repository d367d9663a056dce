"""The binds to one message centre, kept up: opened one after the other, and again when they are lost.

One task opens all of them, so a carrier that is away is knocked at by one bind at a time, however many are wanted. What
goes wrong on the way there (no connection, no TLS, no answer) makes all of them wait, a little longer each time but
never for long: it may be back at any moment. A bind that is refused waits by itself, for longer where the reason is one
that only the operator can remove. A bind that was lost is opened again soon, unless it was lost as soon as it stood.
All waits are cut by up to a half at random, so that many gateways do not come back in step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from chappe.clock import Clock
from chappe.core.centre import Links
from chappe.outbound import Unsent
from chappe.smpp.connection import Connection, LinkLost, NotSent, Role, Timers
from chappe.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter, Pdu, Status

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 10.0
UNBIND_TIMEOUT_S = 2.0
STEADY_S = 5.0  # a bind that stood for so long was a good one


class Waits(NamedTuple):
    """How long is waited before the next try: the first time, and at most, doubling between them. In seconds."""

    first_s: float
    longest_s: float

    def after(self, failures: int, random_bits: Callable[[int], int]) -> float:
        longest_s: float = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 16))
        return longest_s * (1 - random_bits(10) / 2048)


LOST = Waits(0.2, 3.0)
AWAY = Waits(0.2, 3.0)
REFUSED = Waits(1.0, 30.0)
REFUSED_FOR_GOOD = Waits(10.0, 300.0)

# What only the operator can remove: who knocks with a wrong password every second is locked out.
FOR_GOOD = frozenset(
    {
        Status.INVALID_PASSWORD,
        Status.INVALID_SYSTEM_ID,
        Status.INVALID_SYSTEM_TYPE,
        Status.SERVICE_NOT_AUTHORISED,
        Status.PROHIBITED,
        Status.SERVICE_DENIED,
    }
)
# How an operator says which binds there shall be; so many of each.
BIND_KINDS: dict[str, tuple[type[Bind], ...]] = {
    "transceiver": (BindTransceiver,),
    "transmitter": (BindTransmitter,),
    "receiver": (BindReceiver,),
    "pair": (BindTransmitter, BindReceiver),
}


class Connect(Protocol):
    """The outbound door: an open connection to an `smpp` or `smpps` URL; raises Unsent with why there is none."""

    def __call__(self, url: str, make: Callable[[], Connection], *, timeout_s: float) -> Awaitable[Connection]: ...


class Way:
    """One bind that is wanted: as it is asked for, and how it fares."""

    def __init__(self, request: Bind) -> None:
        self.request = request
        self.connection: Connection | None = None  # from the moment it is bound
        self.bound_s = 0.0
        self.failures = 0  # in a row
        self.next_s = 0.0  # not to be tried before
        self.detail = "not bound yet"  # why it does not stand


class Binds:
    """`requests` are the binds that are wanted, `hear` takes what the message centre asks of us on any of them, and
    `changed` is told when one came or went."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        requests: Sequence[Bind],
        connect: Connect,
        clock: Clock,
        random_bits: Callable[[int], int],
        timers: Timers,
        window: int,
        hear: Callable[[Connection, Pdu], None],
    ) -> None:
        self._name = name
        self._url = url
        self._ways = [Way(request) for request in requests]
        self._is_transmitting = any(not isinstance(request, BindReceiver) for request in requests)
        self._connect = connect
        self._clock = clock
        self._random_bits = random_bits
        self._timers = timers
        self._window = window
        self._hear = hear
        self._changed: Callable[[], None] = lambda: None
        self._transmitters: list[Connection] = []
        self.detail = ""  # why a bind does not stand, in words for the operator; empty where all do
        self._standing_count = 0
        self._failures = 0  # in a row, on the way there
        self._next_s = 0.0  # no bind is tried before
        self._is_stirred = asyncio.Event()  # a bind was lost: it may be due before what is waited for
        self._keeper: asyncio.Task[None] | None = None
        self._is_closing = False
        self._look()

    def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        if self._keeper is None and not self._is_closing:
            self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Take leave on every bind."""
        self._is_closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        standing = [way.connection for way in self._ways if way.connection is not None]
        await asyncio.gather(*(connection.unbind(UNBIND_TIMEOUT_S) for connection in standing))

    def freest(self) -> Connection | None:
        """The bind to submit on: of those that stand, the one with the most room."""
        freest, least = None, 0
        for connection in self._transmitters:
            if connection.state.can_transmit and (freest is None or connection.window_used < least):
                freest, least = connection, connection.window_used
        return freest

    @property
    def links(self) -> Links:
        is_up, room, used = False, 0, 0
        for connection in self._transmitters:
            if connection.state.can_transmit:
                in_use = connection.window_used
                is_up, room, used = True, room + self._window - in_use, used + in_use
        return Links(
            is_up=is_up,
            room=max(0, room),
            binds=self._standing_count,
            binds_wanted=len(self._ways),
            window_used=used,
            detail=self.detail,
        )

    def _look(self) -> None:
        """Sum up how the binds stand: this changes seldom and is asked for all the time."""
        self._standing_count = sum(way.connection is not None for way in self._ways)
        down = "" if self._is_transmitting else "receives only"
        self.detail = down or next((way.detail for way in self._ways if way.connection is None), "")

    # Keeping them up

    async def _keep(self) -> None:
        while True:
            self._is_stirred.clear()
            missing = [way for way in self._ways if way.connection is None]
            way = min(missing, key=lambda way: way.next_s, default=None)
            if way is None:
                await self._is_stirred.wait()
                continue
            wait_s = max(way.next_s, self._next_s) - self._clock.monotonic_s()
            if wait_s > 0:
                await self._rest(wait_s)
            else:
                await self._open(way)

    async def _rest(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._is_stirred.wait()
        except TimeoutError:
            pass

    async def _open(self, way: Way) -> None:
        """Try once to connect and bind."""
        connection: Connection | None = None
        try:
            connection = await self._connect(self._url, partial(self._make, way), timeout_s=CONNECT_TIMEOUT_S)
            answer = await connection.ask(way.request)
        except Unsent as unsent:
            self._note_away(way, str(unsent))
        except (NotSent, LinkLost) as error:
            self._note_away(way, f"no answer to the bind: {error}")
        except Exception as error:  # ours; the other binds and the next try are not to blame
            log.exception("bind_broke", carrier=self._name)
            self._note_away(way, type(error).__name__)
        else:
            self._failures, self._next_s = 0, 0.0
            if answer.status:
                self._note_refused(way, answer.status)
            else:
                self._note_bound(way, connection)
        finally:
            if connection is not None and way.connection is not connection:
                connection.abort("not bound")

    def _make(self, way: Way) -> Connection:
        return Connection(
            role=Role.ESME,
            clock=self._clock,
            hear=self._hear,
            closed=partial(self._lose, way),
            timers=self._timers,
            window=self._window,
        )

    def _note_bound(self, way: Way, connection: Connection) -> None:
        if not connection.state.is_bound:  # and lost in the same moment
            self._note_away(way, "lost as soon as it was bound")
            return
        way.connection, way.bound_s, way.detail = connection, self._clock.monotonic_s(), ""
        if connection.state.can_transmit:
            self._transmitters.append(connection)
        self._look()
        log.info("bind_up", carrier=self._name, kind=connection.state.value)
        self._changed()

    def _note_refused(self, way: Way, status: int) -> None:
        way.failures += 1
        way.next_s = self._clock.monotonic_s() + waits_for(status).after(way.failures, self._random_bits)
        self._note(way, "bind_refused", f"bind refused: {words_of(status)}")

    def _note_away(self, way: Way, detail: str) -> None:
        self._failures += 1
        self._next_s = self._clock.monotonic_s() + AWAY.after(self._failures, self._random_bits)
        self._note(way, "bind_failed", detail)

    def _note(self, way: Way, event: str, detail: str) -> None:
        """Keep the reason, and log it when it is a new one."""
        if way.detail != detail:
            log.warning(event, carrier=self._name, detail=detail)
        way.detail = detail
        self._look()

    def _lose(self, way: Way, connection: Connection, reason: str) -> None:
        if way.connection is not connection:  # it never stood
            return
        way.connection = None
        if connection in self._transmitters:
            self._transmitters.remove(connection)
        now_s = self._clock.monotonic_s()
        way.failures = 1 if now_s - way.bound_s >= STEADY_S else way.failures + 1
        way.next_s = now_s + LOST.after(way.failures, self._random_bits)
        way.detail = f"bind lost: {reason}"
        self._look()
        if not self._is_closing:
            log.warning("bind_lost", carrier=self._name, reason=reason)
        self._is_stirred.set()
        self._changed()


def waits_for(status: int) -> Waits:
    """How long a bind waits that was refused with this status."""
    return REFUSED_FOR_GOOD if status in FOR_GOOD else REFUSED


def words_of(status: int) -> str:
    """A command_status for people: its name where it has one, and its number."""
    try:
        return f"{Status(status).name.lower().replace('_', ' ')} (0x{status:02x})"
    except ValueError:
        return f"status 0x{status:02x}"
