"""Callbacks to binds: what accounts are told over connections that they made themselves.

Who is not there cannot be called that way, so these rows lie until a bind of their account comes (see
`store/callbacks.py`). Then they are claimed, a bounded number at a time, and delivered through whichever bind of the
account has room in its window, as many at once as there is room for: no task and no lane for each. Of one message only
one callback is under way; the others wait behind it, also while it waits to be tried again, so they keep their order.
What a lost link leaves without an answer is delivered again: at least once is what callbacks promise.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from chappe.clock import Clock
from chappe.core.ids import made_ms
from chappe.gateway.callbacks import STEPS, TIMEOUT_S, backoff_s, forget, is_last
from chappe.gateway.earlier import Earlier
from chappe.gateway.feed import Feed
from chappe.gateway.pace import Link
from chappe.store.callbacks import BoundClaim, CallbackResult, DueCallback, Resignation
from chappe.store.database import StoreError
from chappe.store.engine import Store

log = structlog.get_logger()

IN_HAND_S = 180  # longer than a bind may take to answer
IN_HAND_MAX = 20_000  # callbacks to the binds of one account
WINDOWS_IN_HAND = 4  # how many windows full of them wait in memory
CLAIM_MAX = 500
KEPT_S = 7 * 24 * 3600  # how long a callback waits for a bind
LOST_S = 14 * 24 * 3600  # how old one may become whose links are lost again and again
RESIGN_MAX = 5_000
SUBJECT = "bind"


class Heard(StrEnum):
    """What became of a callback that was delivered through a bind."""

    TAKEN = "taken"
    LATER = "later"  # the other side has trouble with this one
    FULL = "full"  # the other side has trouble with all of them
    NEVER = "never"
    LOST = "lost"  # the link ended without an answer


class Answer(NamedTuple):
    heard: Heard
    detail: str = ""


TAKEN = Answer(Heard.TAKEN)
LOST = Answer(Heard.LOST, "the link was lost")


class Bind(Protocol):
    """A bind through which an account hears of its messages."""

    @property
    def window(self) -> int:
        """How many callbacks may be under way at once."""
        ...

    @property
    def room(self) -> int:
        """How many more may be under way now."""
        ...

    def deliver(self, kind: str, payload: str, reference: int, hear: Callable[[Answer], None]) -> None:
        """Put a callback into words and send it; what becomes of it is told once, later. `reference` (16 bits) is what
        its parts are known by, if it takes several."""
        ...


class Listening:
    """An account with binds: what waits for them, and how it fares."""

    def __init__(self) -> None:
        self.binds: list[Bind] = []
        self.link = Link()
        self.earlier = Earlier()
        self.waiting: deque[DueCallback] = deque()
        self.behind: dict[int, deque[DueCallback]] = {}  # by message: what waits for its callback under way
        self.in_hand_count = 0
        self.has_more = False  # in the table
        self.is_claiming = False
        self.pause: asyncio.TimerHandle | None = None  # until the link may be used again

    @property
    def capacity(self) -> int:
        return min(IN_HAND_MAX, WINDOWS_IN_HAND * sum(bind.window for bind in self.binds))

    @property
    def room(self) -> int:
        return self.capacity - self.in_hand_count

    def bind_with_room(self) -> Bind | None:
        """The binds take turns."""
        binds = self.binds
        for _ in range(len(binds)):
            bind = binds[0]
            if bind.room > 0:
                if len(binds) > 1:
                    binds.append(binds.pop(0))
                return bind
            binds.append(binds.pop(0))
        return None


class BoundDesk:
    def __init__(self, *, store: Store, clock: Clock, feed: Feed) -> None:
        self._store = store
        self._clock = clock
        self._feed = feed
        self._listening: dict[int, Listening] = {}
        self._in_hand: dict[int, DueCallback] = {}
        self._tasks: set[asyncio.Task[int]] = set()
        self._is_stopping = False

    @property
    def in_hand_count(self) -> int:
        return len(self._in_hand)

    @property
    def binds_counts(self) -> Mapping[int, int]:
        """How many binds hear, by account."""
        return {account_id: len(one.binds) for account_id, one in self._listening.items()}

    def is_listening(self, account_id: int) -> bool:
        return account_id in self._listening

    def takes(self, account_id: int) -> bool:
        """Whether a callback to the binds of an account can be taken in hand at once. Also asked in the writer's
        thread."""
        listening = self._listening.get(account_id)
        return listening is not None and not listening.has_more and listening.room > 0

    # Binds come and go

    def join(self, account_id: int, bind: Bind) -> None:
        """A bind is there: what lies is claimed."""
        self._listening.setdefault(account_id, Listening()).binds.append(bind)
        self._claim_soon(account_id)

    def leave(self, account_id: int, bind: Bind) -> None:
        """A bind is gone; what is under way on it answers by itself. After the last one, all that waits goes back."""
        listening = self._listening.get(account_id)
        if listening is None or bind not in listening.binds:
            return
        listening.binds.remove(bind)
        if listening.binds:
            return
        if listening.pause is not None:
            listening.pause.cancel()
        del self._listening[account_id]
        for due in listening.waiting:
            self._give_back(listening, due)
        listening.waiting.clear()

    # Callbacks

    def take(self, due: DueCallback) -> None:
        """Take a callback in hand that this node has claimed."""
        if self._hold(due):
            self.pump(due.account_id)

    def _hold(self, due: DueCallback) -> bool:
        """Whether it is in hand now, and was not before."""
        if due.id in self._in_hand:  # it came due again while it is under way: the answer closes the latest attempt
            self._in_hand[due.id] = due
            return False
        listening = self._listening.get(due.account_id)
        if listening is None or self._is_stopping:
            self._close(due, self._clock.now_ms())
            return False
        if listening.room <= 0:
            listening.has_more = True
            self._close(due, self._clock.now_ms())
            return False
        self._in_hand[due.id] = due
        listening.in_hand_count += 1
        listening.waiting.append(due)
        return True

    def pump(self, account_id: int) -> None:
        """Deliver as much of what waits as there is room for."""
        listening = self._listening.get(account_id)
        if listening is None or not listening.waiting or self._is_stopping:
            return
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if self._is_paused(listening, account_id, now_s):
            return
        waiting, behind = listening.waiting, listening.behind
        while waiting:
            due = waiting[0]
            if due.message_id in behind:
                behind[due.message_id].append(waiting.popleft())
                continue
            wait_s = listening.earlier.wait_s(due, now_ms)
            if wait_s or now_ms >= due.due_ms - TIMEOUT_S * 1000:
                self._put_off(listening, waiting.popleft(), wait_s, now_ms)
                continue
            bind = listening.bind_with_room() if len(behind) < listening.link.allowance(IN_HAND_MAX, now_s) else None
            if bind is None:
                return
            waiting.popleft()
            behind[due.message_id] = deque()
            bind.deliver(due.kind, due.payload, due.id & 0xFFFF, partial(self._hear, listening, due, now_s))

    def _is_paused(self, listening: Listening, account_id: int, now_s: float) -> bool:
        """Whether the other side needs time; then it is looked at again after that."""
        wait_s = listening.link.wait_s(now_s)
        if wait_s and listening.pause is None:
            listening.pause = asyncio.get_running_loop().call_later(wait_s, self._resume, listening, account_id)
        return wait_s > 0

    def _resume(self, listening: Listening, account_id: int) -> None:
        listening.pause = None
        if self._listening.get(account_id) is listening:
            self.pump(account_id)

    def _hear(self, listening: Listening, due: DueCallback, began_s: float, answer: Answer) -> None:
        latest = self._drop(listening, due)
        now_ms = self._clock.now_ms()
        took_ms = round((self._clock.monotonic_s() - began_s) * 1000)
        result = self._judge(listening, latest, answer, now_ms, took_ms)
        self._store.close_callback(result).add_done_callback(forget)
        if result.is_tried:
            self._feed.tell(STEPS[result.state], SUBJECT if answer is TAKEN else answer.detail, due.message_id)
        followers = listening.behind.pop(due.message_id, None)
        if self._listening.get(due.account_id) is not listening:  # the last bind is gone
            for follower in followers or ():
                self._give_back(listening, follower)
            return
        if followers:
            listening.waiting.extendleft(reversed(followers))
        self.pump(due.account_id)
        if listening.has_more and 2 * listening.in_hand_count < listening.capacity:
            self._claim_soon(due.account_id)

    def _judge(
        self, listening: Listening, due: DueCallback, answer: Answer, now_ms: int, took_ms: int
    ) -> CallbackResult:
        heard = answer.heard
        if heard is Heard.TAKEN:
            listening.earlier.forget(due)
            listening.link.succeed()
            return attempted(due, "done", now_ms, now_ms, took_ms)
        is_lost = heard is Heard.LOST
        if is_lost and now_ms - made_ms(due.id) < LOST_S * 1000:
            listening.earlier.remember(due, now_ms, now_ms)
            return returned(due, now_ms)
        if is_lost or heard is Heard.NEVER or is_last(due):
            listening.earlier.forget(due)
            log.warning("callback_failed", account_id=due.account_id, callback_id=due.id)
            return attempted(due, "failed", now_ms, now_ms, took_ms, answer.detail)
        again_ms = now_ms + round(backoff_s(due.attempt, due.id) * 1000)
        listening.earlier.remember(due, again_ms, now_ms)
        trouble = listening.link.fail if heard is Heard.FULL else listening.link.doubt
        trouble(self._clock.monotonic_s())
        return attempted(due, "pending", again_ms, now_ms, took_ms, answer.detail)

    def _put_off(self, listening: Listening, due: DueCallback, wait_s: float, now_ms: int) -> None:
        later_ms = now_ms + round(wait_s * 1000)
        latest = self._drop(listening, due)
        if wait_s:
            listening.earlier.remember(latest, later_ms, now_ms)
        self._close(latest, later_ms)

    def _give_back(self, listening: Listening, due: DueCallback) -> None:
        self._close(self._drop(listening, due), self._clock.now_ms())

    def _drop(self, listening: Listening, due: DueCallback) -> DueCallback:
        """It is no longer in hand; its latest attempt."""
        listening.in_hand_count -= 1
        return self._in_hand.pop(due.id, due)

    def _close(self, due: DueCallback, due_ms: int) -> None:
        """It was not made: it lies in the table until then, and this was no attempt."""
        self._store.close_callback(returned(due, due_ms)).add_done_callback(forget)

    # Rounds

    async def run_once(self) -> int:
        """One round over accounts with binds for which something lies; tells how many those are. Each is claimed for by
        itself: one with much to hear keeps no other waiting."""
        accounts = [account_id for account_id, one in self._listening.items() if not one.is_claiming and one.room > 0]
        lying = await self.lying(accounts)
        for account_id in lying:
            self._claim_soon(account_id)
        return len(lying)

    async def lying(self, account_ids: Collection[int]) -> list[int]:
        """For which of these accounts something lies that is due."""
        if not account_ids or self._is_stopping:
            return []
        return await self._store.read(self._store.bound_accounts(tuple(account_ids), self._clock.now_ms()))

    async def resign_once(self) -> int:
        """One round over what waited for too long; tells how much that was."""
        count = await self._store.resign(Resignation(self._clock.now_ms() - KEPT_S * 1000, RESIGN_MAX))
        if count:
            log.warning("callbacks_without_bind", count=count, waited_s=KEPT_S)
        return count

    def _claim_soon(self, account_id: int) -> None:
        if self._is_stopping:
            return
        task = asyncio.ensure_future(self._claim(account_id))
        self._tasks.add(task)
        task.add_done_callback(self._claimed)

    def _claimed(self, task: "asyncio.Task[int]") -> None:
        self._tasks.discard(task)
        error = task.exception() if not task.cancelled() else None
        if isinstance(error, StoreError):
            log.warning("round_put_off", round="bound callbacks")
        elif error is not None:
            log.error("round_broke", round="bound callbacks", exc_info=error)

    async def _claim(self, account_id: int) -> int:
        """Claim what lies for an account, as long as there is room and more; how many that was."""
        listening = self._listening.get(account_id)
        if listening is None or listening.is_claiming:
            return 0
        listening.is_claiming = True
        count = 0
        try:
            while listening.binds and listening.room > 0 and not self._is_stopping:
                now_ms = self._clock.now_ms()
                count_max = min(CLAIM_MAX, listening.room)
                claim = BoundClaim(account_id, count_max, now_ms, now_ms + IN_HAND_S * 1000)
                claimed = await self._store.claim_bound(claim)
                count += len(claimed)
                for due in sorted(claimed, key=id_of):  # a claim has no order; ids grow with time
                    self._hold(due)
                listening.has_more = len(claimed) == count_max
                self.pump(account_id)
                if not listening.has_more:
                    break
        finally:
            listening.is_claiming = False
        return count

    def close(self) -> None:
        """Take nothing more in hand; what is there lies in the table."""
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()


def attempted(due: DueCallback, state: str, due_ms: int, now_ms: int, took_ms: int, detail: str = "") -> CallbackResult:
    return CallbackResult(
        id=due.id,
        attempt=due.attempt,
        state=state,
        due_ms=due_ms,
        detail=detail,
        message_id=due.message_id,
        ended_ms=now_ms,
        took_ms=took_ms,
    )


def returned(due: DueCallback, due_ms: int) -> CallbackResult:
    return CallbackResult(id=due.id, attempt=due.attempt, state="pending", due_ms=due_ms, is_tried=False)


def id_of(due: DueCallback) -> int:
    return due.id
