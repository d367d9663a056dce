"""One life of a gateway process: its real parts on a virtual loop, from its start on a database until it is killed.

The parts are wired as in `app.py`, without sockets and threads: commits happen when the world says so, and may be
struck.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from chappe.clock import Clock
from chappe.core.centre import MessageCentre, Verdict
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Carrier, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect, HttpRequest, Reply
from chappe.gateway.blocks import Blacklist, BlockDesk
from chappe.gateway.callbacks import CallbackDesk
from chappe.gateway.directory import Forwarding
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
from chappe.gateway.fleet import Fleet
from chappe.gateway.front import Front
from chappe.gateway.inbound import DIALECT_DEFAULT, MAIL, PHONE, InboundDesk, Planner, Post, mail_way, phone_way
from chappe.gateway.numbers import NumberDesk
from chappe.gateway.queries import QueryDesk
from chappe.gateway.receipts import ReceiptDesk
from chappe.gateway.submission import Intake
from chappe.store.database import Database, StoreError, StoreUnavailable, Transaction
from chappe.store.engine import Store
from chappe.store.messages import Expiry
from world.virtual_loop import VirtualLoop

EXPIRE_MAX = 50

Result = TypeVar("Result")


class Killed(BaseException):
    """The process is gone."""


LOST = StoreUnavailable("the connection was lost")
GUILTY = StoreError("one of these cannot be written")
FINE = None
# What a commit meets at each try: just before it, and just after it took effect.
FAULTS: dict[str, tuple[tuple[BaseException | None, ...], tuple[BaseException | None, ...]]] = {
    "fine": ((), ()),
    "lost before": ((LOST,), ()),
    "lost after": ((), (LOST,)),
    "lost before, then away": ((LOST, LOST), ()),
    "lost after, then away": ((FINE, LOST), (LOST,)),
    "one is guilty": ((GUILTY,), ()),
    "killed before": ((Killed(),), ()),
    "killed after": ((), (Killed(),)),
}
AWAY = "lost before, then away"


class Known:
    """What the gateway knows of its configuration: a snapshot, as the directory gives."""

    carriers: tuple[Carrier, ...] = ()  # asked for where a phone is played, which none is here

    def __init__(
        self, accounts: Mapping[int, Account], routing: RoutingTable, disabled_urls: frozenset[tuple[int, str]]
    ) -> None:
        self.routing = routing
        self._accounts = accounts
        self._disabled_urls = disabled_urls

    def account(self, account_id: int) -> Account | None:
        return self._accounts.get(account_id)

    def carrier(self, carrier_id: int) -> Carrier | None:
        """Nobody lends numbers here: all are the file's."""
        return None

    def owner(self, number: str) -> Account | None:
        return next((one for one in self._accounts.values() if number in one.numbers), None)

    def forwarding(self, number: str) -> Forwarding | None:
        one = self.owner(number)
        if one is None:
            return None
        return Forwarding(account=one, url=one.inbound_url, email=one.inbound_email, phone=one.inbound_phone)

    def is_disabled(self, account_id: int, url: str) -> bool:
        return (account_id, url) in self._disabled_urls


class Life:
    def __init__(
        self,
        *,
        name: str,
        url: str,
        clock: Clock,
        calendar: Clock,
        ids: IdMaker,
        rental_ids: IdMaker,
        is_alone: bool,
        known: Known,
        carriers: Iterable[Carrier],
        dialects: Mapping[str, Dialect],
        centre: Callable[["Life", Carrier], MessageCentre],
        send: Callable[[HttpRequest, float], Coroutine[Any, Any, Reply]],
        post: Post,
    ) -> None:
        self.name = name
        self.is_stalled = False
        self.is_away = False  # from its database
        self.known = known
        self.loop = VirtualLoop(clock.monotonic_s)  # type: ignore[abstract]
        self._clock = clock
        self._ids = ids
        self._centre = centre
        self._rounds: dict[str, asyncio.Task[Any]] = {}
        self._feed = Feed()
        with self.loop.running():
            self.store = Store(frugal(Database(url)), has_threads=False)
            self.doubtful_count = self._register(is_alone=is_alone)
            self._callbacks = CallbackDesk(
                store=self.store,
                directory=lambda: self.known,
                dialects=dialects,
                send=send,
                clock=clock,
                ids=ids,
                feed=self._feed,
                ways={
                    PHONE: phone_way(lambda: self.known, self._submit, dialects[DIALECT_DEFAULT]),
                    MAIL: mail_way(post),
                },
            )
            self.store.set_plan(self._callbacks.plan)
            self.receipts = ReceiptDesk(
                store=self.store, clock=clock, feed=self._feed, announce=self._callbacks.announce
            )
            self._blacklist = Blacklist(self.store)
            self.inbox = InboundDesk(
                store=self.store,
                clock=clock,
                ids=ids,
                feed=self._feed,
                announce=self._callbacks.announce,
                follow=self._blacklist.follow,
            )
            self.store.inbox.plan = Planner(directory=lambda: self.known, dialects=dialects, clock=clock, ids=ids).plan
            self.fleet = Fleet(self._make_dispatcher)
            self.intake = Intake(
                store=self.store,
                directory=lambda: self.known,
                clock=clock,
                ids=ids,
                wake=self.fleet.wake,
                feed=self._feed,
                is_blocked=self._blacklist.is_blocked,
                reserve=self.fleet.reserve,
            )
            self._numbers = NumberDesk(
                store=self.store,
                directory=lambda: self.known,
                wholesaler=lambda _carrier: None,
                follow=self._look,
                clock=calendar,
                ids=rental_ids,
            )
            self.front = Front(
                QueryDesk(self.store, clock, lambda: self.known).answers,
                self._numbers.answers,
                BlockDesk(self.store, clock, self._blacklist).answers,
            )
            self.loop.create_task(self._blacklist.follow())
            self.fleet.follow(carriers)
        self.loop.settle()

    def _submit(
        self, account: Account, submission: Submission, dialect: Dialect, message_id: int
    ) -> Coroutine[Any, Any, Verdict]:
        return self.intake.submit_once(account, submission, dialect, message_id)

    def _register(self, *, is_alone: bool) -> int:
        now_ms = self._clock.now_ms()
        return self.store.register(self._ids.make(now_ms), self.name, now_ms, is_alone=is_alone)

    def _make_dispatcher(self, carrier: Carrier) -> Dispatcher:
        return Dispatcher(
            carrier=carrier,
            centre=self._centre(self, carrier),
            store=self.store,
            clock=self._clock,
            feed=self._feed,
            announce=self._callbacks.announce,
            wake=self.fleet.wake,
            is_blocked=self._blacklist.is_blocked,
        )

    @property
    def carriers(self) -> list[Carrier]:
        """As this life knows them."""
        return [dispatcher.carrier for dispatcher in self.fleet.dispatchers]

    # What the world makes it do

    def follow(self, known: Known, carriers: Iterable[Carrier]) -> None:
        self.known = known
        with self.loop.running():
            self.fleet.follow(carriers)

    def begin_round(self, name: str) -> None:
        """One of the tickers' rounds begins, unless the last one still waits."""
        rounds: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "callbacks": self._callbacks.run_once,
            "doubts": self.fleet.settle_doubts_once,
            "expiry": self._expire,
            "numbers": self._numbers.renew_once,
            "segments": self.inbox.join_once,
            "blacklist": self._blacklist.follow,
        }
        last = self._rounds.get(name)
        if last is None or last.done():
            self._rounds[name] = self.begin(self._survive(rounds[name]()))

    def begin(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        with self.loop.running():
            return self.loop.create_task(work)

    async def _survive(self, work: Coroutine[Any, Any, object]) -> None:
        """As the ticker does it: a round that the database failed comes again."""
        with contextlib.suppress(StoreError):
            await work

    async def _look(self) -> None:
        """The world tells a life its configuration by itself."""

    async def _expire(self) -> None:
        self._callbacks.announce(await self.store.expire(Expiry(self._clock.now_ms(), EXPIRE_MAX)))

    def renew(self) -> None:
        if not self.store.renew(self._clock.now_ms()):
            self._register(is_alone=False)

    def commit(self, fault: str = "fine") -> int:
        """One round of the group commit, struck as the fault says. Raises Killed; then nobody was told anything."""
        before, after = FAULTS[AWAY if self.is_away else fault]
        commits = self.store._commits
        commits.before_commit, commits.after_commit = striking(before), striking(after)
        with self.loop.running():
            return self.store.commit_once()

    def read(self, question: Callable[[Transaction], Result]) -> Result:
        return self.store.ask(question)

    def kill(self) -> None:
        """Everything in memory is gone; nothing more is written."""
        self.loop.kill()
        self.store.stop()


_compiled: dict[object, Any] = {}


def frugal(database: Database) -> Database:
    """The database with its statements compiled once for all lives: that is half of what starting one costs."""
    whole = database.dialect.statement_compiler

    def compile_once(dialect: Any, statement: Any, **more: Any) -> Any:
        key = statement._generate_cache_key()
        if key is None:
            return whole(dialect, statement, **more)
        named = database.is_sqlite, key.key, tuple(one.value for one in key.bindparams)
        if named not in _compiled:
            _compiled[named] = whole(dialect, statement, **more)
        return _compiled[named]

    database.dialect.statement_compiler = compile_once  # type: ignore[assignment]
    return database


def striking(exceptions: Iterable[BaseException | None]) -> Callable[[], None]:
    """Raises them one by one, call by call; then lets every call pass."""
    left = list(exceptions)

    def strike() -> None:
        exception = left.pop(0) if left else None
        if exception is not None:
            raise exception

    return strike
