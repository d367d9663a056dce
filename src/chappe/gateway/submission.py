"""THE way in: whatever is submitted, in whatever dialect, is checked, cut, routed, priced, reserved and kept here.

`prepare` decides, without I/O; `Intake` asks the store to keep it and answers only after the commit. The order of the
checks is part of the dialects' behaviour (smsfox 5.2): recipients, originator, text, time, route, money.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from chappe.clock import Clock
from chappe.core.centre import Accepted, Quote, Refusal, Refused, Submit, Ticket, Verdict
from chappe.core.ids import IdMaker
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S, VALIDITY_DEFAULT_S, VALIDITY_MAX_S, spread_delay_s
from chappe.core.model import TEST_CARRIER, Account, Coding, Message, Priority, Route, State, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.duplicates import Duplicates, digest_of
from chappe.gateway.feed import Feed, Step
from chappe.gateway.front import Answers
from chappe.sms.numbers import parse_msisdn, parse_originator
from chappe.sms.segments import SEGMENTS_MAX, count
from chappe.store.database import StoreError, StoreUnavailable
from chappe.store.engine import Store
from chappe.store.messages import Acceptance

FEW = 10  # recipients; a submission to more counts as bulk where nobody said otherwise
AT_ONCE_MAX = 20  # recipients of a submission whose messages leave without queueing
WAITING_MAX = 5_000  # what may wait to be written before new work is refused
ID_TRIES_MAX = 3
NAME_MAX = 200  # characters of a reference by which a submission is found
URL_MAX = 2_000
BINARY_OCTETS = 140  # of one segment, user data header included (3GPP TS 23.040 9.2.3.24)
HEXADECIMAL = re.compile("(?:[0-9A-Fa-f]{2})*").fullmatch
WEB_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE).fullmatch

read_originator = lru_cache(maxsize=4096)(parse_originator)  # an account sends under few names, again and again

IsBlocked = Callable[[int, str, str], bool]  # whether an account (by id) must not write to a recipient as an originator


def nobody_is_blocked(_account_id: int, _recipient: str, _originator: str) -> bool:
    return False


class Known(Protocol):
    """What the intake looks up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...


class Room(Protocol):
    """Room at a carrier, for messages that leave as soon as they are kept."""

    def begin(self, messages: Sequence[Message]) -> None: ...

    def release(self, messages: Sequence[Message], *, is_lost: bool) -> None: ...


class Wake(Protocol):
    """Tells who sends for a carrier that something is due there."""

    def __call__(self, carrier_id: int, *, is_urgent: bool = True) -> None: ...


Reserve = Callable[[int, Sequence[Message]], Room | None]  # by the carrier's id; None where they must queue


def always_queue(_carrier_id: int, _messages: Sequence[Message]) -> None:
    return None


class Intake:
    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        clock: Clock,
        ids: IdMaker,
        wake: Wake,
        feed: Feed,
        is_blocked: IsBlocked = nobody_is_blocked,
        reserve: Reserve = always_queue,
    ) -> None:
        self._reserve = reserve
        self._is_blocked = is_blocked
        self._duplicates = Duplicates(clock)
        self._store = store
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._feed = feed

    @property
    def answers(self) -> Answers:
        return {
            Submit: lambda call, dialect, _network: self.submit(call.account, call.submission, dialect, call.first_id),
            Quote: lambda call, dialect, _network: self.quote(call.account, call.submission, dialect),
        }

    async def submit(self, account: Account, submission: Submission, dialect: Dialect, first_id: int = 0) -> Verdict:
        """Keep a submission, or say why not; a refused one leaves no row and no charge. With `first_id` it is kept and
        charged once, however often it is asked for. Raises StoreError then."""
        lifetime_s = dialect.north.duplicate_s
        verdict = await (
            self._keep_under(account, submission, dialect, first_id)
            if first_id
            else self._keep_once(account, submission, dialect, lifetime_s)
            if lifetime_s
            else self._keep(account, submission, dialect)
        )
        if isinstance(verdict, Refused):
            self._feed.tell(Step.REFUSED, verdict.reason)
        return verdict

    async def submit_once(
        self, account: Account, submission: Submission, dialect: Dialect, message_id: int, *, is_new: bool = False
    ) -> Verdict:
        """The same to one recipient, under an id that it is asked with again where nobody knows whether it was kept: it
        is kept and charged once. `is_new`: it was never asked before. Raises StoreError."""
        if not is_new and await self._is_kept(message_id):
            return Accepted(())
        verdict = await self._keep(account, submission, dialect, message_id)
        # The id may have been taken meanwhile: by another node, or by an attempt of whose commit nothing was heard.
        is_taken = isinstance(verdict, Refused) and verdict.reason is Refusal.INTERNAL
        return Accepted(()) if is_taken and await self._is_kept(message_id) else verdict

    async def _keep_under(self, account: Account, submission: Submission, dialect: Dialect, first_id: int) -> Verdict:
        """The same to any number of recipients, answered as it was when it was kept."""
        kept = await self._kept_before(account, submission, dialect, first_id)
        if kept is not None:
            return kept
        verdict = await self._keep(account, submission, dialect, first_id)
        if not isinstance(verdict, Refused) or verdict.reason is not Refusal.INTERNAL:
            return verdict
        return await self._kept_before(account, submission, dialect, first_id) or verdict

    async def _kept_before(
        self, account: Account, submission: Submission, dialect: Dialect, first_id: int
    ) -> Accepted | None:
        past = await self._store.read(
            lambda transaction: self._store.histories.of_submission(transaction, account.id, first_id)
        )
        if not past:
            return None
        messages = tuple(one.message for one in past)
        draft = prepare(
            account, submission, dialect, self._directory().routing, first_id, self._clock.now_ms(), self._is_blocked
        )
        reasons = draft.refusals if isinstance(draft, Draft) else {}
        return Accepted(
            tickets_of(submission, Draft(messages, refused_besides(submission, messages, reasons))), str(first_id)
        )

    async def _is_kept(self, message_id: int) -> bool:
        return bool(await self._store.read(self._store.of_submission(message_id, 1)))

    async def quote(self, account: Account, submission: Submission, dialect: Dialect) -> Verdict:
        """What a submission would be accepted as, were there money for it; nothing is kept, so nothing is named."""
        draft = prepare(
            account, submission, dialect, self._directory().routing, 0, self._clock.now_ms(), self._is_blocked
        )
        return draft if isinstance(draft, Refused) else Accepted(tickets_of(submission, draft, is_kept=False))

    async def _keep_once(self, account: Account, submission: Submission, dialect: Dialect, lifetime_s: int) -> Verdict:
        digest = digest_of(account, submission, dialect)
        if not self._duplicates.remember(digest, lifetime_s):
            return Refused(Refusal.DUPLICATE)
        verdict = await self._keep(account, submission, dialect)
        if not isinstance(verdict, Accepted):
            self._duplicates.forget(digest)
        return verdict

    async def _keep(self, account: Account, submission: Submission, dialect: Dialect, message_id: int = 0) -> Verdict:
        if self._store.waiting_count > WAITING_MAX:
            return Refused(Refusal.OVERLOADED)
        routing = self._directory().routing
        for _ in range(ID_TRIES_MAX):
            now_ms = self._clock.now_ms()
            first_id = message_id or self._ids.make(now_ms, len(submission.recipients))
            draft = prepare(account, submission, dialect, routing, first_id, now_ms, self._is_blocked)
            if isinstance(draft, Refused):
                return draft
            name = draft.messages[0].reference if submission.is_findable else ""
            scheduled_ms = submission.scheduled_ms or 0
            room, messages = self._room_for(draft.messages)
            acceptance = Acceptance(account.id, messages, now_ms, name, scheduled_ms if scheduled_ms > now_ms else 0)
            try:
                is_kept = await self._store.accept(acceptance)
            except BaseException as error:
                if room is not None:
                    room.release(messages, is_lost=is_fate_unknown(error))
                if isinstance(error, StoreUnavailable):
                    return Refused(Refusal.OVERLOADED)
                if isinstance(error, StoreError):  # another process made the same id in the same millisecond
                    continue
                raise
            if not is_kept:
                if room is not None:
                    room.release(messages, is_lost=False)
                return Refused(Refusal.NO_FUNDS)
            if room is not None:
                room.begin(messages)
            else:
                for carrier_id in {one.carrier_id for one in messages}:
                    self._wake(carrier_id, is_urgent=messages[0].priority is Priority.URGENT)
            return self._accepted(submission, draft, name)
        return Refused(Refusal.INTERNAL)

    def _room_for(self, messages: tuple[Message, ...]) -> tuple[Room | None, tuple[Message, ...]]:
        """Room for messages at their carrier, where they can leave at once, and the messages as they are kept then."""
        first = messages[0]
        if first.state is not State.QUEUED or len(messages) > AT_ONCE_MAX:
            return None, messages
        if len(messages) > 1 and any(
            one.carrier_id != first.carrier_id or one.state != first.state for one in messages
        ):
            return None, messages
        room = self._reserve(first.carrier_id, messages)
        if room is None:
            return None, messages
        return room, tuple([replace(one, state=State.SENDING, attempt=1) for one in messages])

    def _accepted(self, submission: Submission, draft: "Draft", name: str) -> Accepted:
        messages = draft.messages
        if self._feed.watchers:
            for one in messages:
                self._feed.tell(Step.ACCEPTED, one.dialect, one.id, one.recipient)
        else:
            self._feed.tell(Step.ACCEPTED, messages[0].dialect, count=len(messages))
        for reason in draft.refusals.values():
            self._feed.tell(Step.REFUSED, reason)
        return Accepted(tickets_of(submission, draft), name or str(messages[0].submission_id))


def is_fate_unknown(error: BaseException) -> bool:
    """Whether what was to be written may have been written all the same."""
    return isinstance(error, StoreUnavailable) or not isinstance(error, StoreError)


class Draft(Struct, frozen=True):
    """What a submission becomes: its messages, and why some recipients (by their place) get none."""

    messages: tuple[Message, ...]
    refusals: Mapping[int, Refusal]


def tickets_of(submission: Submission, draft: Draft, *, is_kept: bool = True) -> tuple[Ticket, ...]:
    """One for each recipient, in the order asked."""
    tickets = [
        Ticket(
            recipient=one.recipient,
            reference=str(one.id) if is_kept else "",
            segments=one.segments,
            price_micros=one.price_micros,
        )
        for one in draft.messages
    ]
    if not draft.refusals:
        return tuple(tickets)
    kept = iter(tickets)
    return tuple(
        Ticket(recipient=recipient, reference="", segments=0, refusal=draft.refusals[index])
        if index in draft.refusals
        else next(kept)
        for index, recipient in enumerate(submission.recipients)
    )


def refused_besides(
    submission: Submission, messages: Sequence[Message], reasons: Mapping[int, Refusal]
) -> dict[int, Refusal]:
    """Which recipients (by their place) have none of these messages, which are in the recipients' order; and why, as
    far as it is known now."""
    refusals: dict[int, Refusal] = {}
    following = iter(messages)
    one = next(following, None)
    for index, written in enumerate(submission.recipients):
        if one is not None and one.recipient == parse_msisdn(written.removeprefix("+"), strict=True):
            one = next(following, None)
        else:
            refusals[index] = reasons.get(index, Refusal.BAD_RECIPIENT)
    return refusals


def prepare(
    account: Account,
    submission: Submission,
    dialect: Dialect,
    routing: RoutingTable,
    first_id: int,
    now_ms: int,
    is_blocked: IsBlocked = nobody_is_blocked,
) -> Draft | Refused:
    """The messages a submission becomes, numbered from `first_id`; or why it becomes none. Whole or not at all, unless
    it takes part: then only what is wrong with all recipients refuses it."""
    numbers = [parse_msisdn(written.removeprefix("+"), strict=True) for written in submission.recipients]
    if not numbers or (None in numbers and not submission.takes_part):
        return Refused(Refusal.BAD_RECIPIENT)
    if len(numbers) > min(account.recipients_max, dialect.north.recipients_max):
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    originator = allowed_originator(account, submission.originator, dialect.north.default_originator)
    if originator is None:
        return Refused(Refusal.BAD_ORIGINATOR)
    if submission.texts and len(submission.texts) != len(numbers):
        return Refused(Refusal.BAD_REQUEST)
    bodies = bodies_of(submission)
    if not submission.takes_part:
        for body in bodies:
            if body.__class__ is Refusal:
                return Refused(body)
    if not is_possible(submission, now_ms):
        return Refused(Refusal.BAD_REQUEST)
    whole = message_of(account, submission, dialect, originator, first_id, now_ms)
    messages: list[Message] = []
    refusals: dict[int, Refusal] = {}
    for index, (number, body) in enumerate(zip(numbers, bodies, strict=True)):
        way = way_to(account, number, originator, submission, routing, is_blocked)
        if isinstance(way, Refusal) or isinstance(body, Refusal):
            refusal = way if isinstance(way, Refusal) else body
            assert isinstance(refusal, Refusal)
            if not submission.takes_part:
                return Refused(refusal)
            refusals[index] = refusal
            continue
        assert number is not None
        text, segments = body
        one = replace(
            whole,
            id=first_id + len(messages),
            recipient=number,
            text=text,
            segments=segments,
            price_micros=way.price_micros * segments,
            carrier_id=way.carrier_ids[0],
            backups=way.carrier_ids[1:],
        )
        messages.append(delayed(one, account, submission, index, now_ms) if submission.spread_s else one)
    return Draft(tuple(messages), refusals) if messages else Refused(refusals[0])


def message_of(
    account: Account, submission: Submission, dialect: Dialect, originator: str, first_id: int, now_ms: int
) -> Message:
    """What the messages of a submission have in common: all but to whom, what, and which way."""
    due_ms = max(now_ms, submission.scheduled_ms or 0)
    state = state_of(account, due_ms, now_ms)
    return Message(
        id=first_id,
        submission_id=first_id,
        account_id=account.id,
        dialect=dialect.name,
        reference=storable(submission.reference),
        originator=originator,
        recipient="",
        text="",
        segments=0,
        price_micros=0,
        service=submission.service,
        priority=submission.priority or priority_of(account, len(submission.recipients)),
        carrier_id=0,
        backups=(),
        state=state,
        attempt=0,
        failures=0,
        due_ms=due_ms,
        expires_ms=due_ms + min(submission.validity_s or VALIDITY_DEFAULT_S, VALIDITY_MAX_S) * 1000,
        wants_callbacks=submission.wants_callbacks,
        coding=submission.coding,
        is_charged_late=submission.is_charged_late and state is State.SCHEDULED,
        receipt_url=submission.receipt_url,
        memo=submission.memo,
    )


def priority_of(account: Account, recipients_count: int) -> Priority:
    """What a submission has that says nothing of it: its account's, else that of many messages or of a few."""
    if account.priority is not Priority.NORMAL:
        return account.priority
    return Priority.NORMAL if recipients_count <= FEW else Priority.BULK


def state_of(account: Account, due_ms: int, now_ms: int) -> State:
    """Where a message begins."""
    if account.is_virtual and not account.is_test:
        return State.DELIVERED
    return State.SCHEDULED if due_ms > now_ms else State.QUEUED


def delayed(one: Message, account: Account, submission: Submission, index: int, now_ms: int) -> Message:
    """The message to the recipient at this place, of a submission that is spread over time."""
    count = len(submission.recipients)
    delay_ms = 1000 * spread_delay_s(index, count, submission.spread_s, submission.portion_s)
    state = state_of(account, one.due_ms + delay_ms, now_ms)
    return replace(
        one,
        state=state,
        due_ms=one.due_ms + delay_ms,
        expires_ms=one.expires_ms + delay_ms,
        is_charged_late=submission.is_charged_late and state is State.SCHEDULED,
    )


Body = tuple[str, int]  # a text as it is kept, and its segments


def bodies_of(submission: Submission) -> list[Body | Refusal]:
    """What each recipient gets, or why not."""
    if submission.texts:
        return [body_of(text, submission) for text in submission.texts]
    return [body_of(submission.text, submission)] * len(submission.recipients)


def body_of(written: str, submission: Submission) -> Body | Refusal:
    if submission.coding is Coding.BINARY:
        return binary_body_of(written)
    text = storable(written)
    if not text:
        return Refusal.EMPTY_TEXT
    segments = count(text, submission.counting)
    return Refusal.TEXT_TOO_LONG if segments is None else (text, segments)


def binary_body_of(digits: str) -> Body | Refusal:
    """Octets in hexadecimal digits, whole segments of them as they go on air."""
    if not digits:
        return Refusal.EMPTY_TEXT
    if HEXADECIMAL(digits) is None:
        return Refusal.BAD_REQUEST
    segments = -(-len(digits) // (2 * BINARY_OCTETS))
    return Refusal.TEXT_TOO_LONG if segments > SEGMENTS_MAX else (digits, segments)


def is_possible(submission: Submission, now_ms: int) -> bool:
    """Whether what only some submissions ask for can be done."""
    last_ms = max(now_ms, submission.scheduled_ms or 0) + submission.spread_s * 1000
    return (
        last_ms <= now_ms + SCHEDULE_AHEAD_MAX_S * 1000
        and (not submission.spread_s or (submission.spread_s > 0 and submission.portion_s > 0))
        and (not submission.is_findable or len(submission.reference) <= NAME_MAX)
        and (not submission.receipt_url or is_web_url(submission.receipt_url))
    )


def is_web_url(url: str) -> bool:
    return len(url) <= URL_MAX and url.isprintable() and WEB_URL(url) is not None


NOWHERE = Route(prefix="", service=None, carrier_ids=(0,), price_micros=0)
TESTED = Route(prefix="", service=None, carrier_ids=(TEST_CARRIER.id,), price_micros=0)


def way_to(
    account: Account,
    number: str | None,
    originator: str,
    submission: Submission,
    routing: RoutingTable,
    is_blocked: IsBlocked,
) -> Route | Refusal:
    """The route to a recipient, or why there is none; an account without real messages needs none and pays none. In
    test mode what has a route goes to the simulated carrier instead, with no other behind it, and costs nothing; a
    gateway that has no routes at all can be tested, too."""
    if number is None:
        return Refusal.BAD_RECIPIENT
    if is_blocked(account.id, number, originator):
        return Refusal.BLOCKED
    route = routing.find(number, submission.service)
    if account.is_test:
        return TESTED if route is not None or routing.is_empty else Refusal.NO_ROUTE
    if account.is_virtual:
        return replace(route, price_micros=0) if route is not None else NOWHERE
    return route or Refusal.NO_ROUTE


def allowed_originator(account: Account, written: str, default: str) -> str | None:
    """The originator a message gets, or None where the account may not use the one it wrote.

    Nothing written stands for the dialect's default, else the account's first sender or number. An account without
    senders may use any originator that fits on air (3GPP TS 23.040 9.1.2.5).
    """
    if not written:
        return default or next(iter(account.senders + account.numbers), "")
    if written == default or written in account.senders:
        return written
    originator = read_originator(written)
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
