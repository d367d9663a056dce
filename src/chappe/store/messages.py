"""Messages as rows: accepted, looked up, cancelled, expired. What a carrier has to do with is in `sending.py`."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, structs
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Text,
    and_,
    bindparam,
    case,
    exists,
    insert,
    or_,
    select,
    update,
)

from chappe.core.ledger import TRANSFERS, Entry, Kind, grant
from chappe.core.lifecycle import RECEIPT_PATIENCE_S, WAITING
from chappe.core.model import VIRTUAL, Coding, Message, Priority, Service, State
from chappe.core.story import Happening, Tallied
from chappe.core.story import Kind as Chapter
from chappe.store.callbacks import Callbacks
from chappe.store.database import Batch, Database, Prepared, Row, StoreError, Transaction, constant, kinds_of
from chappe.store.happenings import Happenings
from chappe.store.money import Ledger
from chappe.store.nodes import Node
from chappe.store.schema import entry as entry_row
from chappe.store.schema import message, named_submission, scheduled_submission
from chappe.store.tallies import note, note_ended

STATES = {state.value: state for state in State}
CODINGS = {coding.value: coding for coding in Coding}
SERVICES = {service.value: service for service in Service}
PRIORITIES = tuple(Priority)  # stored as its place here, so that an index can order by it
PRIORITY_INDEX = {priority: index for index, priority in enumerate(PRIORITIES)}

MESSAGE_COLUMNS = (
    message.c.id,
    message.c.submission_id,
    message.c.account_id,
    message.c.dialect,
    message.c.reference,
    message.c.originator,
    message.c.recipient,
    message.c.text,
    message.c.segments,
    message.c.price_micros,
    message.c.service,
    message.c.priority,
    message.c.carrier_id,
    message.c.backups,
    message.c.state,
    message.c.attempt,
    message.c.failures,
    message.c.due_ms,
    message.c.expires_ms,
    message.c.wants_callbacks,
    message.c.coding,
    message.c.is_charged_late,
    message.c.receipt_url,
    message.c.memo,
)
RECIPIENTS_MAX = 100_000  # of one submission
IS_WAITING = message.c.state.in_([constant(state.value) for state in WAITING])
IS_SCHEDULED = message.c.state == constant(State.SCHEDULED.value)

IS_OF_VOID = (
    entry_row.c.source_id == message.c.id,
    entry_row.c.phase == constant(TRANSFERS[Kind.VOID].phase),
    entry_row.c.credit == constant(TRANSFERS[Kind.VOID].credit.value),
)
GIVEN_BACK = exists().where(*IS_OF_VOID)
# For what is told of single messages: an EXISTS there PostgreSQL may answer by reading the whole ledger first.
WAS_GIVEN_BACK = select(constant(1)).where(*IS_OF_VOID).scalar_subquery().is_not(None)
NEVER_CHARGED = and_(message.c.is_charged_late == constant(1), message.c.final_ms != constant(0))
CHARGED = case((or_(WAS_GIVEN_BACK, NEVER_CHARGED), 0), else_=message.c.price_micros)


def message_of(row: Row) -> Message:
    """A row of MESSAGE_COLUMNS as the record the other rooms know."""
    return Message(
        id=row[0],
        submission_id=row[1],
        account_id=row[2],
        dialect=row[3],
        reference=row[4],
        originator=row[5],
        recipient=row[6],
        text=row[7],
        segments=row[8],
        price_micros=row[9],
        service=SERVICES[row[10]],
        priority=PRIORITIES[row[11]],
        carrier_id=row[12],
        backups=tuple(map(int, row[13].split(","))) if row[13] else (),
        state=STATES[row[14]],
        attempt=row[15],
        failures=row[16],
        due_ms=row[17],
        expires_ms=row[18],
        wants_callbacks=bool(row[19]),
        coding=CODINGS[row[20]],
        is_charged_late=bool(row[21]),
        receipt_url=row[22],
        memo=row[23],
    )


def row_of(one: Message) -> Row:
    """The reverse of `message_of`."""
    return (
        one.id,
        one.submission_id,
        one.account_id,
        one.dialect,
        one.reference,
        one.originator,
        one.recipient,
        one.text,
        one.segments,
        one.price_micros,
        one.service.value,
        PRIORITY_INDEX[one.priority],
        one.carrier_id,
        backups_text(one.backups),
        one.state.value,
        one.attempt,
        one.failures,
        one.due_ms,
        one.expires_ms,
        int(one.wants_callbacks),
        one.coding.value,
        int(one.is_charged_late),
        one.receipt_url,
        one.memo,
    )


def backups_text(backups: Iterable[int]) -> str:
    return ",".join(map(str, backups))


class Acceptance(Struct, frozen=True):
    """A submission ready to be kept: its messages, all of one account. It is kept whole or not at all. What is in
    `sending` already, this node sends as soon as it is kept."""

    account_id: int
    messages: tuple[Message, ...]
    now_ms: int
    name: str = ""  # by which its account will ask for it
    scheduled_ms: int = 0  # when its first message is to be sent, if not at once

    @property
    def total_micros(self) -> int:
        """What has to be there now."""
        return sum([one.price_micros for one in self.messages if not one.is_charged_late])


class Cancellation(Struct, frozen=True):
    """A wish that the waiting messages of a submission are not sent: all of them, those to a recipient, or one."""

    account_id: int
    submission_id: int
    now_ms: int
    recipient: str = ""
    message_id: int = 0


class Recall(Struct, frozen=True):
    """A wish that up to `count_max` of an account's scheduled messages are not sent."""

    account_id: int
    now_ms: int
    count_max: int


class Replacement(Struct, frozen=True, kw_only=True):
    """Another text for a message that waits, of as many segments. `due_ms` and `expires_ms`: 0 = as it was."""

    account_id: int
    message_id: int
    text: str
    coding: Coding
    segments: int
    due_ms: int = 0
    expires_ms: int = 0
    now_ms: int = 0


class Expiry(Struct, frozen=True):
    """A wish to close up to `count_max` messages whose time ran out at `now_ms`."""

    now_ms: int
    count_max: int


class Messages:
    def __init__(
        self, database: Database, ledger: Ledger, callbacks: Callbacks, happenings: Happenings, node: Node
    ) -> None:
        self._node = node
        self._happenings = happenings
        self._ledger = ledger
        self._callbacks = callbacks
        kinds = kinds_of((*MESSAGE_COLUMNS, message.c.node_id))
        fresh = Batch(database, **kinds)
        self._insert = Prepared(database, insert(message).from_select(list(kinds), select(fresh.table)), fresh)
        ids = Batch(database, id=BigInteger)
        self._existing = Prepared(
            database,
            select(message.c.id, message.c.account_id, message.c.recipient).where(message.c.id.in_(select(ids.c.id))),
            ids,
        )
        names = Batch(database, account_id=BigInteger, name=Text, submission_id=BigInteger)
        self._name = Prepared(
            database, insert(named_submission).from_select([each.name for each in names.c], select(names.table)), names
        )
        schedules = Batch(database, submission_id=BigInteger, scheduled_ms=BigInteger)
        self._schedule = Prepared(
            database,
            insert(scheduled_submission).from_select([each.name for each in schedules.c], select(schedules.table)),
            schedules,
        )
        done = Batch(database, id=BigInteger, now_ms=BigInteger)
        self._finish = Prepared(
            database,
            update(message).where(message.c.id == done.c.id).values(final_ms=done.c.now_ms, detail=constant(VIRTUAL)),
            done,
        )
        which = (
            message.c.id >= bindparam("submission"),
            message.c.id < bindparam("submission") + bindparam("span", type_=BigInteger),
            message.c.submission_id == bindparam("submission"),
            message.c.account_id == bindparam("account"),
            or_(bindparam("recipient", type_=Text) == constant(""), message.c.recipient == bindparam("recipient")),
            or_(bindparam("only", type_=BigInteger) == constant(0), message.c.id == bindparam("only")),
        )
        is_cancelled_now = and_(
            message.c.state == constant(State.CANCELLED.value), message.c.final_ms == bindparam("now")
        )
        self._cancel = Prepared(database, cancelling(and_(IS_WAITING, *which)))
        self._cancelled = Prepared(database, select(message.c.id).where(is_cancelled_now, *which))
        chosen = (
            select(message.c.id)
            .where(message.c.account_id == bindparam("account"), IS_SCHEDULED)
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
            .cte("chosen")
        )
        self._recall = Prepared(database, cancelling(message.c.id.in_(select(chosen.c.id))))
        self._recalled = Prepared(
            database, select(message.c.id).where(message.c.account_id == bindparam("account"), is_cancelled_now)
        )
        anew = Batch(
            database,
            id=BigInteger,
            account_id=BigInteger,
            segments=BigInteger,
            text=Text,
            coding=Text,
            due_ms=BigInteger,
            expires_ms=BigInteger,
        )
        is_meant = (
            message.c.id == anew.c.id,
            message.c.account_id == anew.c.account_id,
            message.c.segments == anew.c.segments,
        )
        self._replace = Prepared(
            database,
            update(message)
            .where(*is_meant, IS_WAITING)
            .values(
                text=anew.c.text,
                coding=anew.c.coding,
                due_ms=case((anew.c.due_ms == constant(0), message.c.due_ms), else_=anew.c.due_ms),
                expires_ms=case((anew.c.expires_ms == constant(0), message.c.expires_ms), else_=anew.c.expires_ms),
            )
            .returning(message.c.id),
            anew,
        )
        self._before = Prepared(
            database,
            select(message.c.text, message.c.coding, message.c.due_ms, message.c.carrier_id).where(
                message.c.id == bindparam("which")
            ),
        )
        self._replaced = Prepared(
            database,
            select(message.c.id)
            .join_from(anew.table, message, and_(*is_meant))
            .where(message.c.text == anew.c.text, message.c.coding == anew.c.coding),
            anew,
        )
        moved = Batch(database, submission_id=BigInteger, scheduled_ms=BigInteger)
        self._reschedule = Prepared(
            database,
            update(scheduled_submission)
            .where(scheduled_submission.c.submission_id == moved.c.submission_id)
            .values(scheduled_ms=moved.c.scheduled_ms),
            moved,
        )
        self._expire = Prepared(
            database,
            update(message)
            .where(
                message.c.id.in_(
                    select(message.c.id)
                    .where(IS_WAITING, message.c.expires_ms <= bindparam("now"))
                    .limit(bindparam("count_max", type_=BigInteger))
                    .with_for_update(skip_locked=True)
                )
            )
            .values(state=constant(State.EXPIRED.value), final_ms=bindparam("now"))
            .returning(*MESSAGE_COLUMNS),
        )
        self._give_up = Prepared(
            database,
            update(message)
            .where(
                message.c.id.in_(
                    select(message.c.id)
                    .where(message.c.state == constant(State.SENT.value), message.c.expires_ms <= bindparam("long_ago"))
                    .limit(bindparam("count_max", type_=BigInteger))
                    .with_for_update(skip_locked=True)
                )
            )
            .values(state=constant(State.UNKNOWN.value), final_ms=bindparam("now"))
            .returning(*MESSAGE_COLUMNS),
        )

    def accept_many(self, transaction: Transaction, acceptances: Sequence[Acceptance], is_repeat: bool) -> list[bool]:
        """Keep submissions with their reservations, in the order asked; False where the money does not reach.

        Raises StoreError where an id is taken by another message (the caller makes new ids).
        """
        kept = self._already_kept(transaction, acceptances) if is_repeat else frozenset()
        fresh = [one for one in acceptances if one.messages[0].id not in kept]
        spendable = self._ledger.lock(transaction, (one.account_id for one in fresh))
        granted = grant(spendable, ((one.account_id, one.total_micros) for one in fresh))
        accepted = [one for one, is_granted in zip(fresh, granted, strict=True) if is_granted]
        if accepted:
            messages = [each for one in accepted for each in one.messages]
            node_id = self._node.id  # of what leaves as soon as it is kept
            transaction.run(
                self._insert, [(*row_of(one), node_id if one.state is State.SENDING else 0) for one in messages]
            )
            self._ledger.write(transaction, entries(Kind.RESERVE, messages), accepted[0].now_ms)
            for each in messages:
                note(transaction, Tallied.ACCEPTED, each, accepted[0].now_ms, each.price_micros)
            self._keep_more(transaction, accepted)
        if len(accepted) == len(acceptances):
            return [True] * len(acceptances)
        kept |= {one.messages[0].id for one in accepted}
        return [one.messages[0].id in kept for one in acceptances]

    def _keep_more(self, transaction: Transaction, accepted: Sequence[Acceptance]) -> None:
        """What only some submissions have: a name, a schedule, or messages that are delivered already."""
        named = [(one.account_id, one.name, one.messages[0].id) for one in accepted if one.name]
        if named:
            transaction.run(self._name, named)
        scheduled = [(one.messages[0].id, one.scheduled_ms) for one in accepted if one.scheduled_ms]
        if scheduled:
            transaction.run(self._schedule, scheduled)
        done = [each for one in accepted if one.messages[0].state is State.DELIVERED for each in one.messages]
        if done:
            now_ms = accepted[0].now_ms
            transaction.run(self._finish, [(each.id, now_ms) for each in done])
            note_ended(transaction, done, now_ms)
            self._callbacks.leave(transaction, [(each, each.state, VIRTUAL) for each in done], now_ms)

    def _already_kept(self, transaction: Transaction, acceptances: Sequence[Acceptance]) -> frozenset[int]:
        firsts = {one.messages[0].id: one.messages[0] for one in acceptances}
        kept = set()
        for message_id, account_id, recipient in transaction.rows(self._existing, [(first,) for first in firsts]):
            if (account_id, recipient) != (firsts[message_id].account_id, firsts[message_id].recipient):
                raise StoreError("a message id is taken")
            kept.add(message_id)
        return frozenset(kept)

    def cancel_many(
        self, transaction: Transaction, cancellations: Sequence[Cancellation], is_repeat: bool
    ) -> list[int]:
        """Cancel what has not been sent yet and give its money back: how many messages that were."""
        counts = []
        for one in cancellations:
            which = {
                "submission": one.submission_id,
                "span": RECIPIENTS_MAX,
                "account": one.account_id,
                "now": one.now_ms,
                "recipient": one.recipient,
                "only": one.message_id,
            }
            earlier = transaction.rows(self._cancelled, **which) if is_repeat else []
            rows = transaction.rows(self._cancel, **which)
            counts.append(len(earlier) + self._close(transaction, rows, one.now_ms))
        return counts

    def recall_many(self, transaction: Transaction, recalls: Sequence[Recall], is_repeat: bool) -> list[int]:
        """The same for whatever an account has scheduled."""
        counts = []
        for one in recalls:
            which = {"account": one.account_id, "now": one.now_ms}
            earlier = transaction.rows(self._recalled, **which) if is_repeat else []
            rows = transaction.rows(self._recall, **which, count_max=max(0, one.count_max - len(earlier)))
            counts.append(len(earlier) + self._close(transaction, rows, one.now_ms))
        return counts

    def replace_many(
        self, transaction: Transaction, replacements: Sequence[Replacement], is_repeat: bool
    ) -> list[bool]:
        """Give waiting messages another text; whether it was done. One after the other: of two for one message the
        later counts."""
        return [self._replace_one(transaction, one, is_repeat) for one in replacements]

    def _replace_one(self, transaction: Transaction, one: Replacement, is_repeat: bool) -> bool:
        row = (
            one.message_id,
            one.account_id,
            one.segments,
            one.text,
            one.coding.value,
            one.due_ms,
            one.expires_ms,
        )
        before = transaction.rows(self._before, which=one.message_id)
        is_done = bool(transaction.rows(self._replace, [row]))
        if is_done and one.due_ms:
            transaction.run(self._reschedule, [(one.message_id, one.due_ms)])
        if is_done:
            self._happenings.write(transaction, changed_by(one, *before[0]))
        return is_done or (is_repeat and bool(transaction.rows(self._replaced, [row])))

    def _close(self, transaction: Transaction, rows: Sequence[Row], now_ms: int) -> int:
        """Money back for messages that were cancelled just now, and the callbacks about it."""
        messages = [message_of(row) for row in rows]
        self._ledger.write(transaction, entries(Kind.VOID, messages), now_ms)
        note_ended(transaction, messages, now_ms)
        self._callbacks.leave(transaction, [(each, each.state, "") for each in messages], now_ms)
        return len(messages)

    def expire_many(self, transaction: Transaction, expiries: Sequence[Expiry], is_repeat: bool) -> list[list[Message]]:
        """Close messages that waited beyond their validity (money back), and sent ones whose receipt never came
        (`unknown`; the carrier took them, so the money stays). Returns them in their new state."""
        closed = []
        for one in expiries:
            expired = transaction.rows(self._expire, now=one.now_ms, count_max=one.count_max)
            messages = [message_of(row) for row in expired]
            self._ledger.write(transaction, entries(Kind.VOID, messages), one.now_ms)
            long_ago = one.now_ms - RECEIPT_PATIENCE_S * 1000
            silent = transaction.rows(self._give_up, now=one.now_ms, long_ago=long_ago, count_max=one.count_max)
            messages += [message_of(row) for row in silent]
            note_ended(transaction, messages, one.now_ms)
            closed.append(messages)
        return closed


def changed_by(one: Replacement, text: str, coding: str, due_ms: int, carrier_id: int) -> list[Happening]:
    """What the story of a message tells of another text or time; as it was before."""
    befell = []
    if (text, coding) != (one.text, one.coding.value):
        befell.append((Chapter.REPLACED, text))
    if one.due_ms and one.due_ms != due_ms:
        befell.append((Chapter.RESCHEDULED, str(due_ms)))
    return [
        Happening(message_id=one.message_id, made_ms=one.now_ms, kind=kind, carrier_id=carrier_id, words=words)
        for kind, words in befell
    ]


def cancelling(condition: ColumnElement[bool]) -> Executable:
    return (
        update(message)
        .where(condition)
        .values(state=constant(State.CANCELLED.value), final_ms=bindparam("now"))
        .returning(*MESSAGE_COLUMNS)
    )


def entries(kind: Kind, messages: Iterable[Message]) -> list[Entry]:
    """The same movement for the price of each message; of one that was not charged yet nothing is moved."""
    phase, debit, credit = structs.astuple(TRANSFERS[kind])  # looked up once: this is on the way of every message
    return [
        Entry(
            source_id=one.id,
            phase=phase,
            account_id=one.account_id,
            debit=debit,
            credit=credit,
            amount_micros=one.price_micros,
        )
        for one in messages
        if not one.is_charged_late
    ]
