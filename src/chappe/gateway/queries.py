"""What became of messages, what they cost, and what is left to spend; and taking back what still waits.

A reference names a submission (by our id, or by the name under which its customer made it findable), or one of its
messages. A wrong one and somebody else's look the same. That the database is away is told by the front.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from chappe.clock import Clock
from chappe.core.centre import (
    Balance,
    Cancel,
    CancelAll,
    Cancelled,
    FetchBalance,
    FetchPrices,
    FetchStatistics,
    FetchTime,
    FindMessages,
    Instant,
    ListMessages,
    ListSubmissions,
    Prices,
    Query,
    Refusal,
    Refused,
    Reports,
    Statistics,
    SubmissionReport,
    SubmissionReports,
)
from chappe.core.ids import made_ms, read_id
from chappe.core.model import Account, Message, Report, Service
from chappe.core.routing import RoutingTable
from chappe.gateway.accounts import Delays, network_of
from chappe.gateway.front import Answers
from chappe.gateway.reports import report_of_past, together
from chappe.store.database import Transaction
from chappe.store.engine import Store
from chappe.store.histories import Filters, Past, PastSubmission, Span
from chappe.store.messages import Cancellation, Recall

GUESSES_FREE = 100  # ids that an application may have wrong in a quarter of an hour; a guesser needs millions
RECALL_MAX = 5_000  # messages that one commit takes back
RECALLS_MAX = 200  # a million in all
NOT_FOUND = Refused(Refusal.NOT_FOUND)


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...


class Found(Struct, frozen=True):
    """What a reference names: a submission, and the one message of it that is meant, if not all."""

    submission_id: int
    message_id: int
    past: Sequence[Past]


class QueryDesk:
    def __init__(self, store: Store, clock: Clock, directory: Callable[[], Known]) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._guesses = Delays(clock, GUESSES_FREE)

    @property
    def answers(self) -> Answers:
        return {
            Query: lambda call, _dialect, network: self.query(call, network),
            FindMessages: lambda call, _dialect, _network: self.find(call),
            ListMessages: lambda call, _dialect, _network: self.list_messages(call),
            ListSubmissions: lambda call, _dialect, _network: self.list_submissions(call),
            Cancel: lambda call, _dialect, _network: self.cancel(call),
            CancelAll: lambda call, _dialect, _network: self.cancel_all(call),
            FetchBalance: lambda call, _dialect, _network: self.balance(call),
            FetchPrices: lambda call, _dialect, _network: self.prices(call),
            FetchStatistics: lambda call, _dialect, _network: self.statistics(call),
            FetchTime: lambda _call, _dialect, _network: self.time(),
        }

    async def time(self) -> Instant:
        return Instant(self._clock.now_ms())

    # Messages

    async def query(self, query: Query, network: str = "") -> Report | Refused:
        """The report on a submission: of its one message, or of all of them together (the least finished state, the
        sum of prices). Who asks without an account, and misses again and again, is slowed down (proovl 2.4)."""
        if query.account is not None:
            return await self._look_up(query)
        guesser = network_of(network)
        wait_s = self._guesses.wait_s(guesser)
        if wait_s:
            return Refused(Refusal.THROTTLED, retry_after_s=wait_s)
        found = await self._look_up(query)
        if isinstance(found, Refused) and found.reason is Refusal.NOT_FOUND:
            self._guesses.charge(guesser)
        return found

    async def _look_up(self, query: Query) -> Report | Refused:
        submission_id = read_id(query.reference)
        if submission_id is None:
            return NOT_FOUND
        parts = await self._store.read(
            lambda transaction: self._store.histories.of_submission(transaction, 0, submission_id)
        )
        if not parts or not may_see(query, parts[0].message):
            return NOT_FOUND
        return together(parts, self._clock.now_ms())

    async def find(self, call: FindMessages) -> Reports | Refused:
        """Each message on its own; that a submission has none to the recipient asked for is `not_found` too."""
        found = await self._store.read(self._finding(call.account.id, call.reference, call.recipient))
        if found is None:
            return NOT_FOUND
        return Reports(items=self._reports(found.past), total=len(found.past))

    def _finding(self, account_id: int, reference: str, recipient: str) -> Callable[[Transaction], Found | None]:
        histories = self._store.histories

        def look(transaction: Transaction) -> Found | None:
            submission_id = histories.submission_named(transaction, account_id, reference)
            if submission_id is None:
                message_id = read_id(reference)
                one = histories.one(transaction, account_id, message_id) if message_id is not None else None
                if one is None:
                    return None
                submission_id = one.message.submission_id
                if one.message.id != submission_id:
                    is_meant = recipient in ("", one.message.recipient)
                    return Found(submission_id, one.message.id, [one]) if is_meant else None
            past = histories.of_submission(transaction, account_id, submission_id, recipient)
            return Found(submission_id, 0, past) if past else None

        return look

    async def list_messages(self, call: ListMessages) -> Reports:
        filters = Filters(
            recipients=call.recipients, originators=call.originators, states=call.states, before_id=call.before_id
        )
        past, total = await self._store.read(
            lambda transaction: self._store.histories.messages(transaction, span_of(call), filters)
        )
        return Reports(items=self._reports(past), total=total)

    def _reports(self, past: Sequence[Past]) -> tuple[Report, ...]:
        now_ms = self._clock.now_ms()
        return tuple(report_of_past(one, now_ms) for one in past)

    async def list_submissions(self, call: ListSubmissions) -> SubmissionReports:
        past, total = await self._store.read(
            lambda transaction: self._store.histories.submissions(transaction, span_of(call))
        )
        return SubmissionReports(items=tuple(map(submission_report_of, past)), total=total)

    # Taking back

    async def cancel(self, cancel: Cancel) -> Cancelled | Refused:
        """Take back what still waits. Money reserved for it is given back in the same commit."""
        account_id = cancel.account.id
        found = await self._store.read(self._finding(account_id, cancel.reference, cancel.recipient))
        if found is None:
            return NOT_FOUND
        message_id = read_id(cancel.reference) or 0 if cancel.is_alone else found.message_id
        count = await self._store.cancel(
            Cancellation(account_id, found.submission_id, self._clock.now_ms(), cancel.recipient, message_id)
        )
        return Cancelled(count) if count else Refused(Refusal.TOO_LATE)

    async def cancel_all(self, call: CancelAll) -> Cancelled:
        """The same for everything that is scheduled; that there is nothing is no failure."""
        count = 0
        for _ in range(RECALLS_MAX):
            recalled = await self._store.recall(Recall(call.account.id, self._clock.now_ms(), RECALL_MAX))
            count += recalled
            if recalled < RECALL_MAX:
                break
        return Cancelled(count)

    # Money

    async def balance(self, call: FetchBalance) -> Balance:
        available_micros = await self._store.read(
            lambda transaction: self._store.figures.available_micros(transaction, call.account.id)
        )
        return Balance(amount_micros=available_micros, currency=call.account.currency)

    async def prices(self, call: FetchPrices) -> Prices:
        return Prices(by_service=prices_of(call.account, self._directory().routing))

    async def statistics(self, call: FetchStatistics) -> Statistics:
        spending = await self._store.read(
            lambda transaction: self._store.histories.spending(transaction, call.account.id, call.from_ms, call.to_ms)
        )
        return Statistics(
            segments_count=spending.segments_count,
            spent_micros=spending.spent_micros,
            paid_in_micros=spending.paid_in_micros,
        )


def may_see(query: Query, message: Message) -> bool:
    """Its account may; so may whoever names its originator beside the id, where the dialect has it so (proovl 2.4)."""
    if query.account is not None:
        return message.account_id == query.account.id
    return bool(query.originator) and query.originator.removeprefix("+") == message.originator


def span_of(call: ListMessages | ListSubmissions) -> Span:
    return Span(
        account_id=call.account.id,
        from_ms=call.from_ms,
        to_ms=call.to_ms,
        offset=call.offset,
        count_max=call.count_max,
    )


def submission_report_of(past: PastSubmission) -> SubmissionReport:
    return SubmissionReport(
        id=past.id,
        reference=past.reference,
        originator=past.originator,
        recipients_count=past.recipients_count,
        service=past.service,
        submitted_ms=made_ms(past.id),
        scheduled_ms=past.scheduled_ms,
    )


def prices_of(account: Account, routing: RoutingTable) -> dict[Service, int]:
    """What one segment to the account's own country costs, as a number of which only its calling code is known."""
    routes = {service: routing.find(account.country, service) for service in Service}
    return {
        service: 0 if account.is_virtual else route.price_micros
        for service, route in routes.items()
        if route is not None
    }
