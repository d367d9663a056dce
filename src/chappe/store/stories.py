"""Everything that the tables know of one message, read at one moment."""

from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, select

from chappe.core.model import Message, State
from chappe.core.story import Happening, Kind
from chappe.store.database import Database, Prepared, Transaction, constant
from chappe.store.messages import MESSAGE_COLUMNS, STATES, message_of
from chappe.store.schema import (
    callback,
    carrier_reference,
    entry,
    happening,
    message,
    scheduled_submission,
)

HAPPENINGS_MAX = 500  # of one message that are told of: the latest
CALLBACKS_MAX = 100


class SegmentSeen(Struct, frozen=True):
    """A segment that the carrier gave a reference of its own."""

    segment: int
    reference: str
    state: State


class EntrySeen(Struct, frozen=True, kw_only=True):
    made_ms: int
    phase: str
    debit: str
    credit: str
    amount_micros: int


class CallbackSeen(Struct, frozen=True, kw_only=True):
    """A callback about a message, with how its last attempt went."""

    id: int
    kind: str
    dialect: str
    payload: str
    state: str
    attempt: int
    due_ms: int
    status: int
    detail: str
    url: str
    made_ms: int
    ended_ms: int
    took_ms: int


class StoredStory(Struct, frozen=True, kw_only=True):
    """Everything that the tables know of one message."""

    message: Message
    final_ms: int
    detail: str
    sent_ms: int
    given: str
    scheduled_ms: int  # when its submission was to be sent first; 0 = at once
    happenings: tuple[Happening, ...]
    segments: tuple[SegmentSeen, ...]
    entries: tuple[EntrySeen, ...]
    callbacks: tuple[CallbackSeen, ...]


class StoryBook:
    def __init__(self, database: Database) -> None:
        which = bindparam("which", type_=BigInteger)
        self._message = Prepared(
            database,
            select(
                *MESSAGE_COLUMNS,
                message.c.final_ms,
                message.c.detail,
                message.c.sent_ms,
                message.c.given,
                scheduled_submission.c.scheduled_ms,
            )
            .outerjoin_from(
                message, scheduled_submission, scheduled_submission.c.submission_id == message.c.submission_id
            )
            .where(message.c.id == which),
        )
        self._of_message = Prepared(
            database,
            select(
                happening.c.message_id,
                happening.c.made_ms,
                happening.c.kind,
                happening.c.carrier_id,
                happening.c.attempt,
                happening.c.words,
            )
            .where(happening.c.message_id == which)
            .order_by(happening.c.id.desc())
            .limit(constant(HAPPENINGS_MAX)),
        )
        self._segments = Prepared(
            database,
            select(carrier_reference.c.segment, carrier_reference.c.reference, carrier_reference.c.state)
            .where(carrier_reference.c.message_id == which, carrier_reference.c.segment > constant(0))
            .order_by(carrier_reference.c.segment),
        )
        self._entries = Prepared(
            database,
            select(entry.c.made_ms, entry.c.phase, entry.c.debit, entry.c.credit, entry.c.amount_micros).where(
                entry.c.source_id == which
            ),
        )
        self._callbacks = Prepared(
            database,
            select(*(callback.c[name] for name in CallbackSeen.__struct_fields__))
            .where(callback.c.message_id == which)
            .order_by(callback.c.id)
            .limit(constant(CALLBACKS_MAX)),
        )

    def story(self, transaction: Transaction, message_id: int) -> StoredStory | None:
        rows = transaction.rows(self._message, which=message_id)
        if not rows:
            return None
        row = rows[0]
        happenings = [
            Happening(
                message_id=each[0],
                made_ms=each[1],
                kind=Kind(each[2]),
                carrier_id=each[3],
                attempt=each[4],
                words=each[5],
            )
            for each in transaction.rows(self._of_message, which=message_id)
        ]
        return StoredStory(
            message=message_of(row[: len(MESSAGE_COLUMNS)]),
            final_ms=row[-5],
            detail=row[-4],
            sent_ms=row[-3],
            given=row[-2],
            scheduled_ms=row[-1] or 0,
            happenings=tuple(reversed(happenings)),
            segments=tuple(
                SegmentSeen(each[0], each[1], STATES[each[2]] if each[2] else State.SENT)
                for each in transaction.rows(self._segments, which=message_id)
            ),
            entries=tuple(
                EntrySeen(made_ms=each[0], phase=each[1], debit=each[2], credit=each[3], amount_micros=each[4])
                for each in sorted(transaction.rows(self._entries, which=message_id))
            ),
            callbacks=tuple(
                CallbackSeen(**dict(zip(CallbackSeen.__struct_fields__, each, strict=True)))
                for each in transaction.rows(self._callbacks, which=message_id)
            ),
        )
