"""The SMPP door of the north: ESMEs connect, bind as an account, submit, and hear of their messages.

One port takes SMPP in the clear and, where there is a certificate, in TLS from the first octet. What a connection says
is the business of `esme.py`; here is how many there may be, and which binds hear for which account. An account that
wants to be called itself (outbind, 2.2.1) is connected to once something waits for it and no bind of it hears.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Final, Protocol

import structlog
from msgspec import Struct

from chappe.clock import Clock
from chappe.core.model import Account
from chappe.dialects.base import Dialect
from chappe.gateway.bound import BoundDesk
from chappe.gateway.pace import Throughput
from chappe.gateway.requests import RequestBook
from chappe.listeners.esme import SYSTEM_ID, Ask, Esme
from chappe.smpp.connection import Connection, NotSent, Role, Timers
from chappe.smpp.pdu import Outbind, PduError

log = structlog.get_logger()

BACKLOG: Final = 1024
OUTBIND_PAUSE_S: Final = 30.0  # between two attempts to reach one account
OUTBINDS_MAX: Final = 100  # accounts that one round connects to


class SmppLimits(Struct, frozen=True, kw_only=True):
    """How much strangers may have of this door."""

    connections_max: int = 10_000
    per_address_max: int = 200
    timers: Timers = Timers()


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def revision(self) -> int: ...

    def live_account(self, account_id: int) -> Account | None: ...

    @property
    def outbinds(self) -> Mapping[int, str]: ...


# Opens a connection to HOST:PORT, for the protocol that is made; raises OSError.
Connect = Callable[[str, Callable[[], Connection]], Awaitable[object]]


class SmppListener:
    """`ask` answers contract calls; `bound` has what accounts are to be told."""

    def __init__(
        self,
        *,
        ask: Ask,
        dialect: Dialect,
        directory: Callable[[], Known],
        bound: BoundDesk,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        connect: Connect | None = None,
        limits: SmppLimits = SmppLimits(),  # noqa: B008  # frozen
        requests: RequestBook | None = None,
    ) -> None:
        self.requests = requests if requests is not None and requests.keeps_all else None
        self.ask = ask
        self.dialect = dialect
        self.clock = clock
        self._directory = directory
        self._bound = bound
        self._tls = tls
        self._connect = connect
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._esmes: dict[Connection, Esme] = {}
        self._admitted: dict[Esme, Account] = {}  # those that bound, or are about to
        self._binds_counts: Counter[int] = Counter()  # by account
        self._throughputs: dict[int, tuple[float, Throughput]] = {}  # by account, with what it was made for
        self._per_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reached: dict[int, float] = {}  # by account, when it was last connected to
        self._is_stopping = False
        self.refused_count = 0  # connections beyond the limits

    # What an `Esme` asks of the door

    @property
    def directory(self) -> Known:
        return self._directory()

    def admit(self, esme: Esme, account: Account) -> bool:
        is_full = self._binds_counts[account.id] >= account.smpp.binds_max
        if is_full or self._is_stopping or esme.connection not in self._esmes:
            return False
        self._admitted[esme] = account
        self._binds_counts[account.id] += 1
        return True

    def bound(self, esme: Esme) -> None:
        assert esme.account is not None
        log.info("bound", account_id=esme.account.id, network=esme.connection.peer, state=esme.connection.state)
        if esme.connection.state.can_receive:
            self._bound.join(esme.account.id, esme)

    def throughput_of(self, account: Account) -> Throughput:
        per_s = account.smpp.throughput
        known = self._throughputs.get(account.id)
        if known is None or known[0] != per_s:
            known = self._throughputs[account.id] = per_s, Throughput(per_s, self.clock.monotonic_s())
        return known[1]

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Connections

    def make(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(
            role=Role.MESSAGE_CENTRE,
            clock=self.clock,
            hear=self._hear,
            opened=self._opened,
            closed=self._closed,
            unreadable=self._unreadable,
            timers=self._limits.timers,
            tls=self._tls,
        )

    def _opened(self, connection: Connection) -> None:
        peer = connection.peer
        limits = self._limits
        if (
            self._is_stopping
            or len(self._esmes) >= limits.connections_max
            or self._per_address[peer] >= limits.per_address_max
        ):
            self.refused_count += 1
            connection.abort("too many connections")
            return
        self._per_address[peer] += 1
        self._esmes[connection] = Esme(self, connection)

    def _hear(self, connection: Connection, pdu: Any) -> None:
        self._esmes[connection].hear(connection, pdu)

    def _unreadable(self, connection: Connection, error: PduError) -> None:
        log.info("pdu_unreadable", network=connection.peer, command_id=error.command_id, detail=error.detail)

    def _closed(self, connection: Connection, reason: str) -> None:
        esme = self._esmes.pop(connection, None)
        if esme is None:
            return
        peer = connection.peer
        give_back(self._per_address, peer)
        account = self._admitted.pop(esme, None)
        if account is not None:
            give_back(self._binds_counts, account.id)
            self._bound.leave(account.id, esme)
            log.info("unbound", account_id=account.id, network=peer, reason=reason)

    # Life

    async def start(self, host: str, port: int) -> None:
        """Bind and accept. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.make, host, port, backlog=BACKLOG)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections_count(self) -> int:
        return len(self._esmes)

    def binds(self) -> Iterator[tuple[str, str]]:
        """Of each bind, its account's name and how it is bound."""
        for esme, account in self._admitted.items():
            state = esme.connection.state
            if state.is_bound:
                yield account.name, state.value

    async def stop(self, timeout_s: float) -> None:
        """Accept nothing more, answer what was asked, take leave of everybody; then cut."""
        self._is_stopping = True
        if self._server is not None:
            self._server.close()
        leaving = [connection.unbind(timeout_s) for connection in self._esmes]
        if leaving:
            await asyncio.gather(*leaving, return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Rounds

    async def follow_once(self) -> int:
        """One round over binds: those whose account is ended, or may not bind from there any more, are unbound. Tells
        how many that were."""
        return sum(esme.connection.state.is_bound and esme.current() is None for esme in list(self._admitted))

    async def outbind_once(self) -> int:
        """One round over accounts that are to be connected to; tells how many those were."""
        if self._connect is None or self._is_stopping:
            return 0
        now_s = self.clock.monotonic_s()
        wanting = {
            account_id: place
            for account_id, place in self._directory().outbinds.items()
            if not self._bound.is_listening(account_id)
            and now_s - self._reached.get(account_id, -OUTBIND_PAUSE_S) >= OUTBIND_PAUSE_S
        }
        account_ids = (await self._bound.lying(wanting))[:OUTBINDS_MAX]
        for account_id in account_ids:
            self._reached[account_id] = now_s
            self.run(self._reach(account_id, wanting[account_id]))  # who does not answer lets nobody else wait
        return len(account_ids)

    async def _reach(self, account_id: int, place: str) -> None:
        """Connect to an account and ask it to bind as a receiver."""
        assert self._connect is not None
        connection = self.make()
        try:
            await self._connect(place, lambda: connection)
            connection.tell(Outbind(SYSTEM_ID))
        except (OSError, NotSent) as error:
            log.info("outbind_failed", account_id=account_id, error=type(error).__name__)
            connection.abort("outbind failed")


def give_back(counts: Counter[Any], key: object) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
