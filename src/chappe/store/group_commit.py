"""Group commit: everybody who is waiting is written in one transaction and told together.

Callers put an item under a verb and get a future. A round takes everything that is waiting, runs each verb once over
all its items, commits once, and answers all. If the transaction fails through the fault of one item, it is halved
until that one stands alone, so that only the guilty one fails; if the database is away, all are told so.

In the gateway a writer thread runs the rounds; tests run them by hand.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from chappe.store.database import Connection, Database, StoreBroken, StoreUnavailable, Transaction

WEIGHT_MAX = 500  # rows of one round
WAITING_MAX = 20_000
# Of verbs that raise the configuration's revision, which is one row: they come first in a round, so that whoever waits
# for it holds nothing that its holder may want.
REVISION_RANK = -1
GATHER_S = 0.003  # how long the first of a round waits for company: fewer, larger commits cost less for everybody
GATHER_FROM = 32  # items since the wait before; where fewer come, waiting for company only costs time

Item = TypeVar("Item")
Result = TypeVar("Result")


class Verb(Generic[Item, Result]):
    """Something the store can do to many items at once. `run_many` answers in the order of its items; on a repeat (the
    fate of an earlier commit is unknown) it must leave alone what is already there."""

    def __init__(
        self,
        rank: int,
        run_many: Callable[[Transaction, Sequence[Item], bool], Sequence[Result]],
        weigh: Callable[[Item], int] | None = None,
    ) -> None:
        self.rank = rank  # in which order verbs run within a round
        self.run_many = run_many
        self.weigh = weigh  # how many rows an item is; None = one


Waiting = tuple[Verb[Any, Any], Any, "asyncio.Future[Any]"]
Settled = tuple["asyncio.Future[Any]", Any]


class GroupCommit:
    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = Connection(database)
        self._loop = loop
        self._waiting: deque[Waiting] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._broken: StoreBroken | None = None  # once set, nothing is written or acknowledged any more
        self.on_broken: Callable[[StoreBroken], None] | None = None
        self.finish: Callable[[Transaction], None] | None = None  # what is written last, once all verbs have run
        self.before_commit: Callable[[], None] | None = None  # where the simulator strikes ...
        self.after_commit: Callable[[], None] | None = None  # ... and here, before anybody is told
        self.rounds_count = 0
        self.items_count = 0

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def put(self, verb: Verb[Item, Result], item: Item) -> "asyncio.Future[Result]":
        """Ask for an item to be written; the future answers after the commit that holds it."""
        future: asyncio.Future[Result] = self._loop.create_future()
        if self._is_stopping or len(self._waiting) >= WAITING_MAX:
            future.set_exception(StoreUnavailable("too much is waiting to be written"))
            return future
        self._waiting.append((verb, item, future))
        if not self._wake.is_set():
            self._wake.set()
        return future

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="chappe-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end. Answers reach the callers once the loop runs again."""
        self._is_stopping = True
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        taken_count = 0
        while True:
            self._wake.wait()
            if taken_count >= GATHER_FROM:
                self._stopping.wait(GATHER_S)
            self._wake.clear()
            taken_count = 0
            while self._waiting:
                try:
                    settled = self._round()
                except BaseException as error:  # a mistake of ours: nothing can be acknowledged without this thread
                    self._stop_for_good(StoreBroken(f"the writer broke: {type(error).__name__}"))
                    raise
                taken_count += len(settled)
                self._loop.call_soon_threadsafe(settle, settled)
            if self._is_stopping:
                return

    def run_once(self) -> int:
        """One round in the calling thread; tells how many items it took."""
        settled = self._round()
        settle(settled)
        return len(settled)

    def _round(self) -> list[Settled]:
        taken = self._take()
        if not taken:
            return []
        self.rounds_count += 1
        self.items_count += len(taken)
        return self._write(sorted(taken, key=lambda waiting: waiting[0].rank), is_repeat=False)

    def _take(self) -> list[Waiting]:
        """What has waited longest, up to the weight of a round; one heavy item is a round of its own."""
        taken: list[Waiting] = []
        weight = 0
        while self._waiting and weight < WEIGHT_MAX:
            taken.append(self._waiting.popleft())
            verb, item, _ = taken[-1]
            weight += verb.weigh(item) if verb.weigh is not None else 1
        return taken

    def _write(self, items: Sequence[Waiting], *, is_repeat: bool) -> list[Settled]:
        """Commit items together, or find out which of them cannot be; answers for all of them."""
        if self._broken is not None:
            return answer_all(items, self._broken)
        try:
            return self._commit(items, is_repeat)
        except StoreBroken as error:
            self._stop_for_good(error)
            return answer_all(items, error)
        except StoreUnavailable as error:
            if is_repeat:
                return answer_all(items, error)
            # Once more, on a new connection if need be: the commit whose answer was lost may have happened.
            return self._write(items, is_repeat=True)
        except Exception as error:
            if len(items) == 1:
                return answer_all(items, error)
            middle = len(items) // 2
            return self._write(items[:middle], is_repeat=is_repeat) + self._write(items[middle:], is_repeat=is_repeat)

    def _commit(self, items: Sequence[Waiting], is_repeat: bool) -> list[Settled]:
        settled: list[Settled] = []
        by_verb: dict[Verb[Any, Any], list[Waiting]] = {}
        for waiting in items:
            by_verb.setdefault(waiting[0], []).append(waiting)
        with self._connection.transaction() as transaction:
            for verb, group in by_verb.items():
                results = verb.run_many(transaction, [item for _, item, _ in group], is_repeat)
                settled += zip((future for _, _, future in group), results, strict=True)
            if self.finish is not None:
                self.finish(transaction)
            if self.before_commit is not None:
                self.before_commit()
        if self.after_commit is not None:
            self.after_commit()
        return settled

    def _stop_for_good(self, error: StoreBroken) -> None:
        self._broken = error
        if self.on_broken is not None:
            self._loop.call_soon_threadsafe(self.on_broken, error)


def answer_all(items: Sequence[Waiting], error: Exception) -> list[Settled]:
    return [(future, error) for _, _, future in items]


def settle(settled: Sequence[Settled]) -> None:
    """Answer everybody of a round, in the loop's thread."""
    for future, result in settled:
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
