"""The middle of the gateway without doors: real store, real parts, time that is told, carriers and customers by script.

Nothing here waits. The store writes in the calling thread when `settle` says so, and the loop's clock only moves when a
test moves it, so an hour of retries takes as long as it takes to compute.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, select

from chappe.app import DIALECTS
from chappe.carriers.removed import RemovedCarrier
from chappe.carriers.simulated import SimulatedCarrier
from chappe.carriers.unlinked import Unlinked
from chappe.core.centre import (
    Accepted,
    Call,
    Links,
    MessageCentre,
    Outcome,
    Refusal,
    Refused,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Carrier, Receipt, Report, State, Submission
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, Reply
from chappe.dialects.smpp import SMPP
from chappe.gateway.blocks import Blacklist
from chappe.gateway.callbacks import CLAIM_MAX, CallbackDesk
from chappe.gateway.configuration import apply
from chappe.gateway.directory import DirectoryHolder
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
from chappe.gateway.fleet import Fleet
from chappe.gateway.front import Front
from chappe.gateway.gateway_file import Known
from chappe.gateway.queries import QueryDesk
from chappe.gateway.receipts import ReceiptDesk
from chappe.gateway.secrets import Sealer
from chappe.gateway.submission import Intake
from chappe.sms.segments import count
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.messages import Expiry
from chappe.store.migrate import migrate

START_MS = 1_800_000_000_000
ROUNDS_MAX = 10_000
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
SMSFOX, PROOVL = BY_NAME["smsfox"], BY_NAME["proovl"]
KNOWN = Known(kinds=frozenset(BY_NAME) | {"simulated"}, dialects=frozenset(BY_NAME) | {SMPP.name})
OK = HttpResponse(status=200)

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "correct horse"
balance = "100.00"
senders = ["ACME"]
numbers = ["447700900001"]
receipt_url = "http://alice.example/receipt"
"""

Result = TypeVar("Result")


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return START_MS + round(self.now_s * 1000)


class TimedLoop(asyncio.SelectorEventLoop):
    """An event loop on a clock that is told the time."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._told = time

    def time(self) -> float:
        return self._told.monotonic_s()


class ScriptedCarrier(Unlinked):
    """Answers with what the test says; remembers what it was asked, and how many were waiting at once."""

    finds_our_reference = True
    receipts_name_our_reference = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Submission] = []
        self.queried: list[str] = []
        self.waiting: list[asyncio.Future[Verdict]] = []
        self.waiting_max = 0
        self.verdicts: list[Verdict | Exception] = []  # one after the other, then `always`
        self.always: Verdict | None = None  # None = the test answers those who wait
        self.known: Report | Refused | Uncertain = Refused(Refusal.NOT_FOUND)

    async def submit(self, submission: Submission) -> Verdict:
        self.asked.append(submission)
        verdict = self.verdicts.pop(0) if self.verdicts else self.always
        if isinstance(verdict, Exception):
            raise verdict
        if verdict is not None:
            return verdict if not is_yes(verdict) else self.yes(submission)
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.waiting_max = max(self.waiting_max, len(self.waiting))
        return await answer

    def yes(self, submission: Submission) -> Accepted:
        return Accepted((Ticket(recipient=submission.recipients[0], reference=f"{self.name}-{submission.reference}"),))

    def answer(self, verdict: Verdict | None = None, count: int = 1) -> None:
        """Let the longest waiting know; None = accepted."""
        for _ in range(count):
            place = len(self.asked) - len(self.waiting)
            self.waiting.pop(0).set_result(verdict or self.yes(self.asked[place]))

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        self.queried.append(reference)
        return self.known

    async def cancel(self, reference: str, recipient: str = "") -> Any:
        raise NotImplementedError

    async def balance(self) -> Any:
        raise NotImplementedError


class BoundCarrier(ScriptedCarrier):
    """The same by way of binds, each with a window, that come and go as the test says. A submission takes of the window
    what its text has segments for."""

    def __init__(self, name: str, window: int = 100, binds: int = 1) -> None:
        super().__init__(name)
        self.window, self.binds, self.binds_wanted = window, binds, binds
        self._changed: Callable[[], None] = lambda: None
        self.window_used = 0

    def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    @property
    def links(self) -> Links:  # type: ignore[override]
        room = max(0, self.binds * self.window - self.window_used)
        return Links(
            is_up=self.binds > 0,
            room=room,
            binds=self.binds,
            binds_wanted=self.binds_wanted,
            window_used=self.window_used,
        )

    def bind(self, binds: int) -> None:
        """So many binds stand from now on; the submissions under way on those that are lost have no answer."""
        is_lost, self.binds = binds < self.binds, binds
        self._changed()
        if is_lost:
            self.answer(Uncertain("bind lost"), count=len(self.waiting))

    async def submit(self, submission: Submission) -> Verdict:
        taken = count(submission.text, submission.counting) or 1
        self.window_used += taken
        try:
            return await super().submit(submission)
        finally:
            self.window_used -= taken


Scripts = Iterable[str | ScriptedCarrier]  # names, or carriers ready made


def is_yes(verdict: Verdict) -> bool:
    return isinstance(verdict, Accepted) and not verdict.tickets


YES = Accepted(())


class Customers:
    """The way out to the customers' URLs: remembers every request and answers by script."""

    def __init__(self) -> None:
        self.called: list[HttpRequest] = []
        self.replies: dict[str, list[Reply]] = {}  # by origin: one after the other, then OK
        self.hanging: dict[str, list[asyncio.Future[Reply]]] = {}  # by origin: those that get no answer

    def hang(self, origin: str) -> list[asyncio.Future[Reply]]:
        """From now on nobody there answers; the list is of those who wait."""
        return self.hanging.setdefault(origin, [])

    async def send(self, request: HttpRequest, timeout_s: float) -> Reply:
        self.called.append(request)
        if request.origin in self.hanging:
            answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            self.hanging[request.origin].append(answer)
            return await answer
        replies = self.replies.get(request.origin)
        return replies.pop(0) if replies else OK


class Middle:
    """The gateway between its doors, on a database in a folder."""

    def __init__(
        self, folder: Path, time: Time, world: str = WORLD, scripts: Scripts = (), *, database_url: str = ""
    ) -> None:
        self.time = time
        self.database = Database(database_url or f"sqlite:///{folder}/chappe.db")
        migrate(self.database)
        self.sealer = Sealer()
        self.configure(world)
        self.ids = IdMaker(random.Random(len(self.rows(schema.node))).getrandbits)  # another life, other ids
        self.feed = Feed()
        self.store = Store(self.database, has_threads=False)
        self.doubtful_count = self.store.register(self.ids.make(time.now_ms()), "test", time.now_ms(), is_alone=True)
        self.directory = DirectoryHolder(self.sealer)
        self.customers = Customers()
        self.callbacks = CallbackDesk(
            store=self.store,
            directory=lambda: self.directory.current,
            dialects={**BY_NAME, SMPP.name: SMPP},
            send=self.customers.send,
            clock=time,
            ids=self.ids,
            feed=self.feed,
        )
        self.store.set_plan(self.callbacks.plan)
        self.receipts = ReceiptDesk(store=self.store, clock=time, feed=self.feed, announce=self.callbacks.announce)
        made = [one if isinstance(one, ScriptedCarrier) else ScriptedCarrier(one) for one in scripts]
        self.scripts = {one.name: one for one in made}
        self.blacklist = Blacklist(self.store)
        self.fleet = Fleet(self._make_dispatcher)
        self.intake = Intake(
            store=self.store,
            directory=lambda: self.directory.current,
            clock=time,
            ids=self.ids,
            wake=self.fleet.wake,
            feed=self.feed,
            is_blocked=self.blacklist.is_blocked,
            reserve=self.fleet.reserve,
        )
        self.queries = QueryDesk(self.store, time, lambda: self.directory.current)
        self.front = Front(self.intake.answers, self.queries.answers)

    def configure(self, world: str) -> None:
        apply(
            self.database,
            world,
            file_name="world",
            known=KNOWN,
            sealer=self.sealer,
            now_ms=self.time.now_ms(),
        )

    def _make_dispatcher(self, carrier: Carrier) -> Dispatcher:
        return Dispatcher(
            carrier=carrier,
            centre=self._make_centre(carrier),
            store=self.store,
            clock=self.time,
            feed=self.feed,
            announce=self.callbacks.announce,
            wake=self.fleet.wake,
            is_blocked=self.blacklist.is_blocked,
        )

    def _make_centre(self, carrier: Carrier) -> MessageCentre:
        if not carrier.is_active:
            return RemovedCarrier()
        if carrier.name in self.scripts:
            return self.scripts[carrier.name]

        def emit(receipt: Receipt) -> None:
            self.receipts.receive(carrier, receipt)

        return SimulatedCarrier(emit, random.Random(8).getrandbits)

    # What a test does

    async def open(self) -> None:
        """Follow the configuration: dispatchers run from now on."""
        if await self.directory.refresh(self.store):
            self.fleet.follow(self.directory.current.served)
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        quiet_rounds = 0
        for _ in range(ROUNDS_MAX):
            for _ in range(5):
                await asyncio.sleep(0)
            quiet_rounds = 0 if self.store.commit_once() else quiet_rounds + 1
            if quiet_rounds == 3:
                return
        raise AssertionError("the gateway never comes to rest")

    async def result(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(work)
        await self.settle()
        assert task.done(), "it waits for something that does not come"
        return task.result()

    async def pass_time(self, seconds: float, step_s: float = 0.5) -> None:
        """Let time pass, in steps, with the rounds that the gateway's tickers would call in it."""
        end_s = self.time.now_s + seconds
        while self.time.now_s < end_s:
            self.time.now_s = min(end_s, self.time.now_s + step_s)
            await self.settle()
            while await self.result(self.callbacks.run_once()) == CLAIM_MAX:
                pass
            await self.result(self.fleet.settle_doubts_once())
            expired = asyncio.ensure_future(self.store.expire(Expiry(self.time.now_ms(), 500)))
            await self.settle()
            self.callbacks.announce(expired.result())
            await self.settle()

    @property
    def alice(self) -> Account:
        return self.account("alice")

    def account(self, name: str) -> Account:
        return self.directory.current.accounts_by_name[name]

    def carrier(self, name: str) -> Carrier:
        return next(one for one in self.directory.current.carriers if one.name == name)

    def dispatcher(self, name: str) -> Dispatcher:
        return next(one for one in self.fleet.dispatchers if one.carrier.name == name)

    async def submit(
        self, *recipients: str, text: str = "Hello", dialect: Dialect = PROOVL, originator: str = "ACME", **more: Any
    ) -> Outcome:
        submission = Submission(recipients=recipients, text=text, originator=originator, **more)
        return await self.result(self.intake.submit(self.alice, submission, dialect))

    async def ask(self, call: Call, dialect: Dialect = PROOVL, network: str = "n1") -> Any:
        """What a dialect is answered."""
        return await self.result(self.front.answer(call, dialect, network))

    async def told(self, carrier: str, reference: str, state: State) -> Any:
        """A receipt arrives."""
        future = self.receipts.receive(self.carrier(carrier), Receipt(reference=reference, state=state))
        await self.settle()
        return future.result()

    # What a test looks at

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.database.engine.connect() as connection:
            found = connection.execute(select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in found]

    def states(self) -> list[str]:
        """The state of every message, in the order they were submitted."""
        return [row["state"] for row in self.rows(schema.message)]

    def message(self) -> dict[str, Any]:
        [row] = self.rows(schema.message)
        return row

    def money(self) -> tuple[int, int]:
        """What the account `alice` has spent and has reserved, in micros; the books must be right."""
        audit = self.store.ask(self.store.figures.audit)
        assert audit.findings == ()
        return audit.figures["revenue_micros"], audit.figures["reserved_micros"]

    def words_called(self) -> list[str]:
        """The state each Proovl callback told, in the order they were made."""
        return [request.body.rpartition(b"status=")[2].decode() for request in self.customers.called]

    def callback_states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.rows(schema.callback))

    async def close(self) -> None:
        for dispatcher in self.fleet.dispatchers:
            dispatcher.stop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        self.store.stop()


def play(
    folder: Path,
    script: Callable[[Middle], Coroutine[Any, Any, None]],
    world: str = WORLD,
    scripts: Scripts = (),
    *,
    database_url: str = "",
) -> None:
    """Open a gateway on the folder, play the script, close it."""
    time = Time()
    loop = TimedLoop(time)

    async def whole() -> None:
        middle = Middle(folder, time, world, scripts, database_url=database_url)
        try:
            await middle.open()
            await script(middle)
        finally:
            await middle.close()

    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()


def replaced(request: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(request, **changes)
