"""The outbox towards customers: callback rows become HTTP requests (or go another way), results go back into the rows.

A callback is written in the commit that makes it necessary, already claimed for its first attempt by the node that
writes it; later attempts are claimed by a poll, with the time after that already set. How a kind of callback is made
stands in a table of ways. In memory each place (a URL) has its own lanes and its own link, so a dead one delays nobody
else. One message's callbacks share a lane, and while one of them has failed the later ones wait for it, so they keep
their order. Whatever memory has no room for comes due again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from chappe.clock import Clock
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Inbound, Message, Report, State
from chappe.dialects.base import (
    CallbackTarget,
    Dialect,
    Failure,
    HttpRequest,
    HttpResponse,
    Reply,
    detail_of,
    retry_after,
)
from chappe.gateway.earlier import IN_HAND_S, Earlier
from chappe.gateway.feed import Feed, Step
from chappe.gateway.pace import Change, Link
from chappe.gateway.reports import report_of
from chappe.store.callbacks import CallbackClaim, CallbackDraft, CallbackResult, DisabledUrl, DueCallback
from chappe.store.database import StoreError
from chappe.store.engine import Store

log = structlog.get_logger()

RECEIPT, INBOUND = "receipt", "inbound"
SMPP = "smpp"  # the dialect of binds
SMPP_RECEIPT, SMPP_INBOUND = "smpp_receipt", "smpp_inbound"
BOUND_KINDS = frozenset({SMPP_RECEIPT, SMPP_INBOUND})
TIMEOUT_S = 10.0
# Seconds until the next attempt after the 1st, 2nd, ... one: three and a half days in all, each cut by up to a tenth.
BACKOFF_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 86400)
LANES = 32  # callbacks to one URL at once
WAITING_PER_URL_MAX = 20_000
WAITING_MAX = 50_000
OVERFLOW_S = 5.0  # what memory has no room for comes due again after this
CLAIM_MAX = 500
URLS_MAX = 10_000
PROBE_S = 5.0  # while one callback finds out whether a URL is back, the others come due again after this
RETRY_AFTER_STATUSES = (429, 503)
GONE = 410

_report_decoder = msgspec.json.Decoder(Report)
_inbound_decoder = msgspec.json.Decoder(Inbound)
_encoder = msgspec.json.Encoder()


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    def account(self, account_id: int) -> Account | None: ...

    def is_disabled(self, account_id: int, url: str) -> bool: ...


class Declined(NamedTuple):
    """The place of a callback answered that it will never take it."""

    detail: str


class Way(NamedTuple):
    """How callbacks of one kind are made."""

    place: Callable[[Account], str]  # where the account wants them, where the callback itself says nothing
    # To that place; None = there are no words.
    make: Callable[[DueCallback, Account, str], Awaitable[Reply | Declined | None]]


Write = Callable[[Dialect, CallbackTarget, str], HttpRequest | None]  # of a payload


class Destination:
    """One URL: its lanes, and how it fares."""

    def __init__(self) -> None:
        self.link = Link()
        self.lanes: list[deque[DueCallback]] = [deque() for _ in range(LANES)]
        self.waiting_count = 0
        self.earlier = Earlier()

    def wait_s(self, due: DueCallback, now_ms: int, now_s: float) -> float:
        """How long a callback must wait: for the URL to recover, and for an earlier callback of the same message."""
        return max(self.link.wait_s(now_s), self.earlier.wait_s(due, now_ms))

    def has_room(self, now_s: float) -> bool:
        """Whether one more may wait here: all that memory holds, or one alone to find out whether the URL is back."""
        return self.waiting_count < self.link.allowance(WAITING_PER_URL_MAX, now_s)

    def learn(
        self, due: DueCallback, result: CallbackResult, reply: Reply | Declined, now_ms: int, now_s: float
    ) -> None:
        """How an attempt went, for those that come after it. One failure alone is bad luck, unless the receiver asks
        for time."""
        if result.state == "pending":
            self.earlier.remember(due, result.due_ms, now_ms)
        else:
            self.earlier.forget(due)
        asked_s = retry_after_s(reply)
        if result.state not in ("pending", "failed") or isinstance(reply, Declined):
            self.link.succeed()
        elif asked_s:
            self.link.fail(now_s, asked_s)
        else:
            self.link.doubt(now_s)


class Bound(Protocol):
    """What makes callbacks to binds."""

    def takes(self, account_id: int) -> bool: ...

    def take(self, due: DueCallback) -> None: ...


class CallbackDesk:
    """`bound` makes those to binds."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        dialects: Mapping[str, Dialect],
        send: Callable[[HttpRequest, float], Awaitable[Reply]],
        clock: Clock,
        ids: IdMaker,
        feed: Feed,
        ways: Mapping[str, Way] | None = None,
        bound: Bound | None = None,
    ) -> None:
        self._ways = {
            RECEIPT: Way(lambda account: account.receipt_url, self._by_http(write_receipt)),
            INBOUND: Way(lambda account: account.inbound_url, self._by_http(write_inbound)),
            **(ways or {}),
        }
        self._bound = bound
        self._store = store
        self._directory = directory
        self._dialects = dialects
        self._send = send
        self._clock = clock
        self._ids = ids
        self._feed = feed
        self._destinations: dict[str, Destination] = {}
        self._in_hand: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def waiting_count(self) -> int:
        return len(self._in_hand)

    def plan(self, message: Message, state: State, detail: str) -> CallbackDraft | None:
        """Whether the customer is to be told that a message came into a state; asked in the commit that changes it."""
        account = self._directory().account(message.account_id)
        if account is None:
            return None
        own_url = message.receipt_url
        words = account.receipt_dialect or message.dialect
        if words == SMPP and own_url:  # nobody is called in words of binds
            words = message.dialect
        is_bound = words == SMPP
        if not (is_bound or own_url or account.receipt_url):
            return None
        dialect = self._dialects.get(words)
        if dialect is None or state not in dialect.north.reported_states:
            return None
        if not self._is_asked(words, message, state):
            return None
        if words != message.dialect and not self._is_asked(message.dialect, message, state):
            return None
        now_ms = self._clock.now_ms()
        report = report_of(message, state=state, changed_ms=now_ms, detail=detail)
        return CallbackDraft(
            id=self._ids.make(now_ms),
            account_id=account.id,
            message_id=message.id,
            kind=SMPP_RECEIPT if is_bound else RECEIPT,
            dialect=dialect.name,
            payload=_encoder.encode(report).decode(),
            url=own_url,
            is_bound=is_bound,
            is_left=is_bound and (self._bound is None or not self._bound.takes(account.id)),
        )

    def _is_asked(self, name: str, message: Message, state: State) -> bool:
        """Whether those who submitted it want to hear of a state, as far as a dialect lets them choose."""
        dialect = self._dialects.get(name)
        is_asked = dialect.north.is_asked if dialect is not None else None
        return is_asked is None or is_asked(message.memo, state)

    def announce(self, callbacks: Iterable[DueCallback]) -> None:
        """Take callbacks in hand that this node has claimed. What does not fit comes due again by itself."""
        for due in callbacks:
            if due.kind not in BOUND_KINDS:
                self._take(due)
            elif self._bound is not None:
                self._bound.take(due)

    async def run_once(self) -> int:
        """One round over callbacks that are due (again); tells how many were claimed."""
        room = min(CLAIM_MAX, WAITING_MAX - len(self._in_hand))
        if room <= 0 or self._is_stopping:
            return 0
        now_ms = self._clock.now_ms()
        claimed = await self._store.claim_callbacks(CallbackClaim(room, now_ms, now_ms + IN_HAND_S * 1000))
        self.announce(sorted(claimed, key=lambda due: due.id))  # a claim has no order; ids grow with time
        return len(claimed)

    async def drain(self, timeout_s: float) -> None:
        """Finish what is under way; the rest stays in the table."""
        self._is_stopping = True
        for destination in self._destinations.values():
            for lane in destination.lanes:
                lane.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, due: DueCallback) -> None:
        if due.id in self._in_hand or self._is_stopping:
            return
        url = self._place_of(due)
        if not url or self._directory().is_disabled(due.account_id, url):
            self._end(due)
            return
        destination = self._destination(url)
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        wait_s = destination.wait_s(due, now_ms, now_s)
        if wait_s:
            self._put_off(destination, due, wait_s)
        elif not destination.has_room(now_s):
            self._put_off(destination, due, PROBE_S if destination.link.is_down else OVERFLOW_S)
        elif len(self._in_hand) >= WAITING_MAX:
            self._put_off(destination, due, OVERFLOW_S)
        else:
            self._in_hand.add(due.id)
            destination.waiting_count += 1
            lane = destination.lanes[due.message_id % LANES]
            lane.append(due)
            if len(lane) == 1:
                task = asyncio.create_task(self._work(destination, lane, url))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _place_of(self, due: DueCallback) -> str:
        """Where a callback goes; empty = nowhere (any more)."""
        account, way = self._directory().account(due.account_id), self._ways.get(due.kind)
        return "" if account is None or way is None else due.url or way.place(account)

    def _destination(self, url: str) -> Destination:
        destination = self._destinations.get(url)
        if destination is None:
            if len(self._destinations) >= URLS_MAX:
                idle = next((key for key, known in self._destinations.items() if not known.waiting_count), None)
                self._destinations.pop(idle or "", None)
            destination = self._destinations[url] = Destination()
        return destination

    async def _work(self, destination: Destination, lane: deque[DueCallback], url: str) -> None:
        """Empty one lane, one callback after the other. The one being made stays at its head."""
        while lane:
            due = lane[0]
            now_ms = self._clock.now_ms()
            try:
                wait_s = destination.wait_s(due, now_ms, self._clock.monotonic_s())
                if self._directory().is_disabled(due.account_id, url):  # since it is in hand
                    self._end(due)
                elif not wait_s and now_ms < due.due_ms - TIMEOUT_S * 1000:
                    await self._attempt(destination, due, url)
                else:  # what waited too long comes due in a moment, here or at another node
                    self._put_off(destination, due, wait_s or (due.due_ms - now_ms) / 1000)
            finally:
                destination.waiting_count -= 1
                self._in_hand.discard(due.id)
                if lane:
                    lane.popleft()

    async def _attempt(self, destination: Destination, due: DueCallback, url: str) -> None:
        began_s = self._clock.monotonic_s()
        reply = await self._make(due, url)
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        result = judge(due, reply or NO_WORDS, now_ms, round((now_s - began_s) * 1000))
        if reply is not None:
            destination.learn(due, result, reply, now_ms, now_s)
        if result.state == "disabled" and not due.url:  # a URL of one submission's own ends with its callbacks
            self._store.disable_url(DisabledUrl(due.account_id, url, now_ms)).add_done_callback(forget)
        change = destination.link.change(now_s)
        if change is not None or result.state in ("disabled", "failed"):
            self._log(due, result, change, url)
        self._close(due, result)
        self._feed.tell(STEPS[result.state], str(result.status or result.detail), due.message_id)

    def _log(self, due: DueCallback, result: CallbackResult, change: Change | None, url: str) -> None:
        """What an operator wants to know. Of the URL only the host: the rest may hold a secret."""
        host = urlsplit(url).hostname
        if result.state == "disabled":
            log.warning("callback_url_disabled", account_id=due.account_id, host=host)
        elif result.state == "failed":
            log.warning("callback_failed", account_id=due.account_id, host=host, callback_id=due.id)
        if change is Change.SHUT:
            log.warning("callback_url_down", account_id=due.account_id, host=host, status=result.status)
        elif change is Change.BACK:
            log.info("callback_url_back", account_id=due.account_id, host=host)

    async def _make(self, due: DueCallback, url: str) -> Reply | Declined | None:
        """One attempt; None where it cannot be put into words (any more)."""
        account = self._directory().account(due.account_id)
        if account is None:
            return None
        try:
            return await self._ways[due.kind].make(due, account, url)
        except Exception:  # one callback that breaks a dialect must not stop the lane
            log.exception("callback_broke", callback_id=due.id, dialect=due.dialect)
            return None

    def _by_http(self, write: Write) -> Callable[[DueCallback, Account, str], Awaitable[Reply | None]]:
        """The way of a request in the customer's dialect."""

        async def make(due: DueCallback, account: Account, url: str) -> Reply | None:
            dialect = self._dialects.get(due.dialect)
            target = CallbackTarget(
                url=url,
                method=account.receipt_method,
                token=account.token,
                timezone=account.timezone,
                currency=account.currency,
                webhook_secret=account.webhook_secret,
                callback_id=str(due.id),
                signed_s=self._clock.now_ms() // 1000,
            )
            request = write(dialect, target, due.payload) if dialect is not None else None
            return await self._send(request, TIMEOUT_S) if request is not None else None

        return make

    def _put_off(self, destination: Destination, due: DueCallback, wait_s: float) -> None:
        now_ms = self._clock.now_ms()
        later_ms = now_ms + max(0, int(wait_s * 1000)) + due.id % 1000
        destination.earlier.remember(due, later_ms, now_ms)
        self._close(
            due,
            CallbackResult(
                id=due.id,
                attempt=due.attempt,
                state="pending",
                due_ms=later_ms,
                detail="put off",
                is_tried=False,
            ),
        )

    def _end(self, due: DueCallback) -> None:
        """There is nowhere to go (any more)."""
        self._close(due, CallbackResult(id=due.id, attempt=due.attempt, state="disabled", due_ms=due.due_ms))

    def _close(self, due: DueCallback, result: CallbackResult) -> None:
        # Where the result cannot be written the row comes due again: at least once is what callbacks promise.
        self._store.close_callback(result).add_done_callback(forget)


NO_WORDS = Failure(is_certain=True, detail="cannot be written in its dialect")
STEPS = {
    "done": Step.CALLBACK,
    "pending": Step.CALLBACK_RETRIED,
    "failed": Step.CALLBACK_FAILED,
    "disabled": Step.CALLBACK_FAILED,
}


def forget(future: "asyncio.Future[None]") -> None:
    """Nobody waits for this one; a failure to write it was told to everybody else already."""
    if not future.cancelled():
        error = future.exception()
        if error is not None and not isinstance(error, StoreError):
            raise error


def write_receipt(dialect: Dialect, target: CallbackTarget, payload: str) -> HttpRequest | None:
    """The request in the customer's dialect; None where that has no words for it."""
    write = dialect.north.receipt
    return write(target, _report_decoder.decode(payload)) if write is not None else None


def write_inbound(dialect: Dialect, target: CallbackTarget, payload: str) -> HttpRequest | None:
    write = dialect.north.inbound
    return write(target, _inbound_decoder.decode(payload)) if write is not None else None


def judge(due: DueCallback, reply: Reply | Declined, now_ms: int, took_ms: int = 0) -> CallbackResult:
    """What a reply means that took so long: only 2xx is success, 410 and what was declined are for good, all else is
    tried again until the attempts end."""
    status = reply.status if isinstance(reply, HttpResponse) else 0
    detail = "" if isinstance(reply, HttpResponse) else detail_of(reply.detail)
    if 200 <= status < 300:
        state, due_ms = "done", now_ms
    elif status == GONE:
        state, due_ms = "disabled", now_ms
    elif isinstance(reply, Declined) or is_last(due):
        state, due_ms = "failed", now_ms
    else:
        wait_s = max(backoff_s(due.attempt, due.id), retry_after_s(reply))
        state, due_ms = "pending", now_ms + round(wait_s * 1000)
    return CallbackResult(
        id=due.id,
        attempt=due.attempt,
        state=state,
        due_ms=due_ms,
        status=status,
        detail=detail,
        message_id=due.message_id,
        ended_ms=now_ms,
        took_ms=took_ms,
    )


def is_last(due: DueCallback) -> bool:
    """Whether no attempt follows this one."""
    return due.attempt > len(BACKOFF_S)


def backoff_s(attempt: int, spread: int) -> float:
    return BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1] * (1 - (spread % 100) / 1000)


def retry_after_s(reply: Reply | Declined) -> float:
    """What the receiver asks for, in seconds (RFC 9110 10.2.3; the date form is rare and left to the back-off)."""
    if not isinstance(reply, HttpResponse) or reply.status not in RETRY_AFTER_STATUSES:
        return 0.0
    return retry_after(reply) or 0.0
