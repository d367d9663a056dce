"""What an account asks about its past: its messages, submissions and money, in pages.

Ids grow with time, so a span of time is a span of ids, and every question here walks the index (account, id) within
one: it meets rows of that account only. Pages and totals have an upper limit.
"""

from typing import Any

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    not_,
    or_,
    select,
)

from chappe.core.ids import first_id
from chappe.core.ledger import CREDITS, TRANSFERS, Purse
from chappe.core.model import Message, Service, State
from chappe.store.database import Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.messages import CHARGED, GIVEN_BACK, MESSAGE_COLUMNS, RECIPIENTS_MAX, SERVICES, message_of
from chappe.store.schema import entry, message, named_submission, scheduled_submission

COUNT_MAX = 1_000  # of one page
OFFSET_MAX = 1_000_000
TOTAL_MAX = 1_000_000  # more are not counted


class Past(Struct, frozen=True):
    """A message as it is now. Its price is 0 where it costs nothing (any more)."""

    message: Message
    final_ms: int
    detail: str


class PastSubmission(Struct, frozen=True, kw_only=True):
    """A submission by its first message."""

    id: int
    reference: str
    originator: str
    service: Service
    recipients_count: int
    scheduled_ms: int | None


class Span(Struct, frozen=True, kw_only=True):
    """Which page of an account's past: made from `from_ms` on and before `to_ms`."""

    account_id: int
    from_ms: int = 0
    to_ms: int = 1 << 62
    offset: int = 0
    count_max: int = COUNT_MAX

    @property
    def bounds(self) -> dict[str, int]:
        return {"account": self.account_id, "first": first_id(self.from_ms), "behind": first_id(self.to_ms)}

    @property
    def page(self) -> dict[str, int]:
        return {"count_max": max(0, min(self.count_max, COUNT_MAX)), "skipped": max(0, self.offset)}


class Filters(Struct, frozen=True, kw_only=True):
    """Which messages of a span; empty = all."""

    recipients: tuple[str, ...] = ()
    originators: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    before_id: int = 0


class Spending(Struct, frozen=True, kw_only=True):
    """What was sent and paid in a span of time; credit that was moved away is less paid in."""

    segments_count: int
    spent_micros: int
    paid_in_micros: int


SEGMENTS_MAX = 255  # of one message
# In the index's own words, each phase once: SQLite knows the index by them.
IS_CREDIT = entry.c.phase.in_([constant(one) for one in dict.fromkeys(TRANSFERS[kind].phase for kind in CREDITS)])
FILTERED = {"recipient": message.c.recipient, "originator": message.c.originator, "state": message.c.state}


class Histories:
    def __init__(self, database: Database) -> None:
        past = (
            *(CHARGED if column is message.c.price_micros else column for column in MESSAGE_COLUMNS),
            message.c.final_ms,
            message.c.detail,
        )
        is_own = message.c.account_id == bindparam("account")
        is_in_span = and_(is_own, message.c.id >= bindparam("first"), message.c.id < bindparam("behind"))
        self._named = Prepared(
            database,
            select(named_submission.c.submission_id)
            .where(named_submission.c.account_id == bindparam("account"), named_submission.c.name == bindparam("name"))
            .order_by(named_submission.c.submission_id.desc())
            .limit(1),
        )
        self._one = Prepared(database, select(*past).where(message.c.id == bindparam("which"), is_own))
        self._before = Prepared(
            database,
            select(message.c.id, message.c.memo)
            .where(
                is_own,
                message.c.id <= bindparam("which"),
                message.c.id > bindparam("which") - bindparam("span", type_=BigInteger),
                message.c.dialect == bindparam("dialect", type_=Text),
            )
            .order_by(message.c.id.desc())
            .limit(1),
        )
        self._of_submission = Prepared(
            database,
            select(*past)
            .where(
                or_(bindparam("account", type_=BigInteger) == constant(0), is_own),
                message.c.id >= bindparam("submission"),
                message.c.id < bindparam("submission") + bindparam("span", type_=BigInteger),
                message.c.submission_id == bindparam("submission"),
                or_(bindparam("recipient", type_=Text) == constant(""), message.c.recipient == bindparam("recipient")),
            )
            .order_by(message.c.id),
        )
        wanted = Batch(database, field=Text, value=Text)
        found = and_(is_in_span, *(is_wanted(wanted, name, column) for name, column in FILTERED.items()))
        self._list = Prepared(database, page_of(select(*past).where(found)), wanted)
        self._count = Prepared(database, count_of(found), wanted)
        is_first = and_(is_in_span, message.c.id == message.c.submission_id)
        other = message.alias("other")
        recipients_count = (
            select(func.count())
            .where(
                other.c.account_id == message.c.account_id,
                other.c.id >= message.c.id,
                other.c.id < message.c.id + constant(RECIPIENTS_MAX),
                other.c.submission_id == message.c.id,
            )
            .scalar_subquery()
        )
        self._list_submissions = Prepared(
            database,
            page_of(
                select(
                    message.c.id,
                    message.c.reference,
                    message.c.originator,
                    message.c.service,
                    recipients_count,
                    scheduled_submission.c.scheduled_ms,
                )
                .outerjoin_from(message, scheduled_submission, scheduled_submission.c.submission_id == message.c.id)
                .where(is_first)
            ),
        )
        self._count_submissions = Prepared(database, count_of(is_first))
        is_sent = and_(
            is_in_span,
            message.c.is_charged_late == constant(0),
            message.c.state != constant(State.CANCELLED.value),
            not_(GIVEN_BACK),
        )
        self._spent = Prepared(
            database, select(total(message.c.segments), total(message.c.price_micros)).where(is_sent)
        )
        self._paid_in = Prepared(
            database,
            select(flow(Purse.AVAILABLE)).where(
                entry.c.account_id == bindparam("account"),
                IS_CREDIT,
                entry.c.made_ms >= bindparam("from"),
                entry.c.made_ms < bindparam("to"),
            ),
        )

    def submission_named(self, transaction: Transaction, account_id: int, name: str) -> int | None:
        """The newest submission that its account made findable by this name."""
        rows = transaction.rows(self._named, account=account_id, name=name)
        return rows[0][0] if rows else None

    def one(self, transaction: Transaction, account_id: int, message_id: int) -> Past | None:
        rows = transaction.rows(self._one, account=account_id, which=message_id)
        return past_of(rows[0]) if rows else None

    def before(self, transaction: Transaction, account_id: int, part_id: int, dialect: str) -> tuple[int, str] | None:
        """The message that a part with this id became, if it is a part, and its memo: the ids of parts follow the
        message's own."""
        rows = transaction.rows(self._before, account=account_id, which=part_id, span=SEGMENTS_MAX, dialect=dialect)
        return (rows[0][0], rows[0][1]) if rows else None

    def of_submission(
        self, transaction: Transaction, account_id: int, submission_id: int, recipient: str = ""
    ) -> list[Past]:
        """Its messages in the order of the recipients, at most the 100,000 there can be; of account 0 whoever's."""
        rows = transaction.rows(
            self._of_submission,
            account=account_id,
            submission=submission_id,
            span=RECIPIENTS_MAX,
            recipient=recipient,
        )
        return [past_of(row) for row in rows]

    def messages(self, transaction: Transaction, span: Span, filters: Filters) -> tuple[list[Past], int]:
        """A page of an account's messages, newest first, and how many there are in all."""
        bounds = span.bounds
        if filters.before_id:
            bounds["behind"] = min(bounds["behind"], filters.before_id)
        wanted = [
            *(("recipient", value) for value in filters.recipients),
            *(("originator", value) for value in filters.originators),
            *(("state", state.value) for state in filters.states),
        ]
        counted = {f"all_{name}s": int(not any(field == name for field, _ in wanted)) for name in FILTERED}
        [(total_count,)] = transaction.rows(self._count, wanted, **bounds, **counted)
        rows = transaction.rows(self._list, wanted, **bounds, **counted, **span.page) if is_within(span) else []
        return [past_of(row) for row in rows], total_count

    def submissions(self, transaction: Transaction, span: Span) -> tuple[list[PastSubmission], int]:
        """A page of an account's submissions, newest first, and how many there are in all."""
        [(total_count,)] = transaction.rows(self._count_submissions, **span.bounds)
        rows = transaction.rows(self._list_submissions, **span.bounds, **span.page) if is_within(span) else []
        return [
            PastSubmission(
                id=row[0],
                reference=row[1],
                originator=row[2],
                service=SERVICES[row[3]],
                recipients_count=row[4],
                scheduled_ms=row[5],
            )
            for row in rows
        ], total_count

    def spending(self, transaction: Transaction, account_id: int, from_ms: int, to_ms: int) -> Spending:
        """What an account's messages of a span of time cost, as far as it was not given back, and what it paid in."""
        span = Span(account_id=account_id, from_ms=from_ms, to_ms=to_ms)
        [(segments_count, spent_micros)] = transaction.rows(self._spent, **span.bounds)
        between = {"account": account_id, "from": from_ms, "to": to_ms}
        [(paid_in_micros,)] = transaction.rows(self._paid_in, **between)
        return Spending(segments_count=segments_count, spent_micros=spent_micros, paid_in_micros=paid_in_micros)


def is_within(span: Span) -> bool:
    return span.offset <= OFFSET_MAX


def past_of(row: Row) -> Past:
    return Past(message_of(row), row[-2], row[-1])


def is_wanted(wanted: Batch, name: str, field: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a field has one of the values wanted for it, or all are."""
    values = select(wanted.c.value).where(wanted.c.field == constant(name))
    return or_(bindparam(f"all_{name}s", type_=BigInteger) == constant(1), field.in_(values))


def page_of(question: Select[Any]) -> Executable:
    return (
        question.order_by(message.c.id.desc())
        .limit(bindparam("count_max", type_=BigInteger))
        .offset(bindparam("skipped", type_=BigInteger))
    )


def count_of(condition: ColumnElement[bool]) -> Executable:
    some = select(message.c.id).where(condition).limit(constant(TOTAL_MAX)).subquery()
    return select(func.count()).select_from(some)


def flow(purse: Purse) -> ColumnElement[int]:
    """What entries put into a purse, less what they took from it."""
    name = constant(purse.value)
    return total(
        case((entry.c.credit == name, entry.c.amount_micros), else_=constant(0))
        - case((entry.c.debit == name, entry.c.amount_micros), else_=constant(0))
    )


def total(amount: ColumnElement[int]) -> ColumnElement[int]:
    """A sum that is a 64-bit integer on both databases, and 0 of nothing."""
    return cast(func.coalesce(func.sum(amount), constant(0)), BigInteger)
