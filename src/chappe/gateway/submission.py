"""THE way in: whatever is submitted, in whatever dialect, is checked, cut, routed, priced, reserved and kept here.

`prepare` decides, without I/O; `Intake` asks the store to keep it and answers only after the commit. The order of the
checks is part of the dialects' behaviour (smsfox 5.2): recipients, originator, text, route, money.
"""

from collections.abc import Callable
from typing import Protocol

from chappe.clock import Clock
from chappe.core.centre import Accepted, Refusal, Refused, Submit, Ticket, Verdict
from chappe.core.ids import IdMaker
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S, VALIDITY_DEFAULT_S, VALIDITY_MAX_S
from chappe.core.model import Account, Message, State, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.feed import Feed, Step
from chappe.gateway.front import Answers
from chappe.sms.numbers import parse_msisdn, parse_originator
from chappe.sms.segments import count
from chappe.store.database import StoreError, StoreUnavailable
from chappe.store.engine import Store
from chappe.store.messages import Acceptance

WAITING_MAX = 5_000  # what may wait to be written before new work is refused
ID_TRIES_MAX = 3


class Known(Protocol):
    """What the intake looks up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...


class Intake:
    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        clock: Clock,
        ids: IdMaker,
        wake: Callable[[int], None],
        feed: Feed,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._feed = feed

    @property
    def answers(self) -> Answers:
        return {Submit: lambda call, dialect, _network: self.submit(call.account, call.submission, dialect)}

    async def submit(self, account: Account, submission: Submission, dialect: Dialect) -> Verdict:
        """Keep a submission, or say why not; a refused one leaves no row and no charge."""
        verdict = await self._keep(account, submission, dialect)
        if isinstance(verdict, Refused):
            self._feed.tell(Step.REFUSED, verdict.reason)
        return verdict

    async def _keep(self, account: Account, submission: Submission, dialect: Dialect) -> Verdict:
        if self._store.waiting_count > WAITING_MAX:
            return Refused(Refusal.OVERLOADED)
        routing = self._directory().routing
        for _ in range(ID_TRIES_MAX):
            now_ms = self._clock.now_ms()
            first_id = self._ids.make(now_ms, len(submission.recipients))
            messages = prepare(account, submission, dialect, routing, first_id, now_ms)
            if isinstance(messages, Refused):
                return messages
            try:
                is_kept = await self._store.accept(Acceptance(account.id, messages, now_ms))
            except StoreUnavailable:
                return Refused(Refusal.OVERLOADED)
            except StoreError:  # another process made the same id in the same millisecond
                continue
            return self._accepted(messages) if is_kept else Refused(Refusal.NO_FUNDS)
        return Refused(Refusal.INTERNAL)

    def _accepted(self, messages: tuple[Message, ...]) -> Accepted:
        for carrier_id in {one.carrier_id for one in messages}:
            self._wake(carrier_id)
        if self._feed.watchers:
            for one in messages:
                self._feed.tell(Step.ACCEPTED, one.dialect, one.id, one.recipient)
        else:
            self._feed.tell(Step.ACCEPTED, messages[0].dialect, count=len(messages))
        return Accepted(
            tuple(
                Ticket(
                    recipient=one.recipient,
                    reference=str(one.id),
                    segments=one.segments,
                    price_micros=one.price_micros,
                )
                for one in messages
            ),
            reference=str(messages[0].submission_id),
        )


def prepare(
    account: Account, submission: Submission, dialect: Dialect, routing: RoutingTable, first_id: int, now_ms: int
) -> tuple[Message, ...] | Refused:
    """The messages a submission becomes, numbered from `first_id`; or why it becomes none. Whole or not at all."""
    recipients = [parse_msisdn(written.removeprefix("+"), strict=True) for written in submission.recipients]
    if not recipients or None in recipients:
        return Refused(Refusal.BAD_RECIPIENT)
    if len(recipients) > min(account.recipients_max, dialect.north.recipients_max):
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    originator = allowed_originator(account, submission.originator, dialect.north.default_originator)
    if originator is None:
        return Refused(Refusal.BAD_ORIGINATOR)
    text = storable(submission.text)
    if not text:
        return Refused(Refusal.EMPTY_TEXT)
    segments = count(text, submission.counting)
    if segments is None:
        return Refused(Refusal.TEXT_TOO_LONG)
    reference = storable(submission.reference)
    due_ms = max(now_ms, submission.scheduled_ms or 0)
    if due_ms > now_ms + SCHEDULE_AHEAD_MAX_S * 1000:
        return Refused(Refusal.BAD_REQUEST)
    validity_s = min(submission.validity_s or VALIDITY_DEFAULT_S, VALIDITY_MAX_S)
    state = State.SCHEDULED if due_ms > now_ms else State.QUEUED
    messages = []
    for index, recipient in enumerate(recipients):
        assert recipient is not None
        route = routing.find(recipient, submission.service)
        if route is None:
            return Refused(Refusal.NO_ROUTE)
        messages.append(
            Message(
                id=first_id + index,
                submission_id=first_id,
                account_id=account.id,
                dialect=dialect.name,
                reference=reference,
                originator=originator,
                recipient=recipient,
                text=text,
                segments=segments,
                price_micros=route.price_micros * segments,
                service=submission.service,
                priority=submission.priority,
                carrier_id=route.carrier_ids[0],
                backups=route.carrier_ids[1:],
                state=state,
                attempt=0,
                failures=0,
                due_ms=due_ms,
                expires_ms=due_ms + validity_s * 1000,
                wants_callbacks=submission.wants_callbacks,
            )
        )
    return tuple(messages)


def allowed_originator(account: Account, written: str, default: str) -> str | None:
    """The originator a message gets, or None where the account may not use the one it wrote.

    Nothing written stands for the dialect's default, else the account's first sender or number. An account without
    senders may use any originator that fits on air (3GPP TS 23.040 9.1.2.5).
    """
    if not written:
        return default or next(iter(account.senders + account.numbers), "")
    if written == default or written in account.senders:
        return written
    originator = parse_originator(written)
    if originator is None:
        return None
    is_allowed = not account.senders or originator.value in account.senders or originator.value in account.numbers
    return originator.value if is_allowed else None


def storable(text: str) -> str:
    """The text without U+0000, which no database keeps and no phone shows, and with lone surrogates, which no encoding
    carries, as U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
