"""Listings for people: messages, what came in and callbacks, newest first, filtered, in pages of a bounded cost.

Every page walks an index along the ids, which grow with time. Where a filter has no index of its own, a page looks at
no more than `LOOK_MAX` rows: it tells how far it came, and the next one goes on from there. First the end of that
stretch is found in the index alone, then the stretch is read; so the database cannot choose a dearer way.

Somebody who sees several accounts gets their rows merged: the newest id of each is looked up, then only the accounts
that can stand on the page are walked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import BigInteger, Column, ColumnElement, Text, bindparam, case, or_, select

from chappe.core.ids import ID_MAX
from chappe.core.model import TEST_CARRIER, Coding, Service, State
from chappe.store.database import Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.messages import CHARGED, CODINGS, IS_SCHEDULED, RECIPIENTS_MAX, SERVICES, STATES
from chappe.store.schema import callback, carrier_reference, inbound, message, named_submission

LOOK_MAX = 20_000  # rows that one page looks at
LOOK_EACH_MIN = 200  # of each of several accounts
AT_ONCE_MAX = 100  # accounts that one page is merged from
COUNT_MAX = 1_000  # rows of a page
NAMED_MAX = 20  # submissions of one name

Item = TypeVar("Item")


class Page(Struct, Generic[Item], frozen=True):
    """Rows, newest first. `next_before_id` is where the next page begins; None = there is none. Where
    `is_more_to_search`, this page ended because it had looked at enough rows, not because it was full."""

    items: tuple[Item, ...]
    next_before_id: int | None = None
    is_more_to_search: bool = False


class Stretch(Struct, frozen=True, kw_only=True):
    """The ids that a page is looked for in: from `first_id` on and before `before_id`."""

    first_id: int = 0
    before_id: int = ID_MAX


class Sieve(Struct, frozen=True, kw_only=True):
    """What the rows of a page have in common. `words` and `numbers` name the values that a field may have, `patterns`
    what a text is like, with `%` for anything; a field that is not named may have any value."""

    words: Mapping[str, Sequence[str]] = {}
    numbers: Mapping[str, Sequence[int]] = {}
    patterns: Mapping[str, str] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.numbers or self.patterns)

    def batch(self) -> list[tuple[str, str, int]]:
        named = [(name, value, 0) for name, values in self.words.items() for value in values]
        return named + [(name, "", value) for name, values in self.numbers.items() for value in values]


class Fields(Struct, frozen=True, kw_only=True):
    """What a listing can be sieved by, and the columns that have an index of (column, id)."""

    words: Mapping[str, Column[str]] = {}
    numbers: Mapping[str, ColumnElement[int]] = {}
    patterns: Mapping[str, Column[str]] = {}
    paths: Mapping[str, Column[Any]] = {}


class Path(Struct, frozen=True):
    """Which index is walked: that of a column with one value, or (without a name) the ids themselves."""

    name: str = ""
    value: int | str = 0


class Walk:
    """A table's rows along its ids. `always` is a condition that all of them meet, as an index of theirs demands it."""

    def __init__(
        self,
        database: Database,
        columns: Sequence[ColumnElement[Any]],
        id_column: Column[int],
        fields: Fields,
        always: Sequence[ColumnElement[bool]] = (),
    ) -> None:
        self._fields = fields
        wanted = Batch(database, field=Text, word=Text, number=BigInteger)
        in_stretch = (*always, id_column >= bindparam("first"), id_column < bindparam("behind"))
        sieve = sieve_of(fields, wanted)
        paths: dict[str, tuple[ColumnElement[bool], ...]] = {
            name: (column == bindparam("value", type_=column.type),) for name, column in fields.paths.items()
        }
        paths[""] = ()
        self._ends = {
            name: Prepared(
                database,
                select(id_column)
                .where(*condition, *in_stretch)
                .order_by(id_column.desc())
                .limit(1)
                .offset(bindparam("skipped", type_=BigInteger)),
            )
            for name, condition in paths.items()
        }
        self._pages = {
            name: Prepared(
                database,
                select(*columns)
                .where(*condition, *in_stretch, *sieve)
                .order_by(id_column.desc())
                .limit(bindparam("count_max", type_=BigInteger)),
                wanted,
            )
            for name, condition in paths.items()
        }
        accounts = Batch(database, id=BigInteger)
        newest = (
            select(id_column)
            .where(fields.paths["account"] == accounts.c.id, *in_stretch)
            .order_by(id_column.desc())
            .limit(1)
            .scalar_subquery()
        )
        self._newest = Prepared(database, select(accounts.c.id, newest), accounts)

    def page(
        self,
        transaction: Transaction,
        stretch: Stretch,
        account_ids: Sequence[int] | None,
        sieve: Sieve,
        count_max: int,
        path: Path | None = None,
    ) -> Page[Row]:
        """One page of these accounts' rows (None = of everybody's), or of those on a path; the first column is the
        id."""
        count_max = max(1, min(count_max, COUNT_MAX))
        if account_ids is not None and not account_ids:
            return Page(())
        if path is not None or account_ids is None:
            if account_ids is not None:
                sieve = Sieve(
                    words=sieve.words, numbers={**sieve.numbers, "account": account_ids}, patterns=sieve.patterns
                )
            paths = [path or Path()]
        elif len(account_ids) == 1:
            paths = [Path("account", account_ids[0])]
        else:
            paths, floor = self._of_many(transaction, stretch, account_ids)
            return self._merged(transaction, stretch, floor, paths, sieve, count_max)
        return self._merged(transaction, stretch, stretch.first_id, paths, sieve, count_max)

    def _of_many(
        self, transaction: Transaction, stretch: Stretch, account_ids: Sequence[int]
    ) -> tuple[list[Path], int]:
        """The accounts whose rows are the newest, and from which id on theirs are all there are."""
        rows = transaction.rows(
            self._newest, [(each,) for each in account_ids], first=stretch.first_id, behind=stretch.before_id
        )
        newest = sorted(((newest_id, account_id) for account_id, newest_id in rows if newest_id is not None))[::-1]
        floor = newest[AT_ONCE_MAX][0] + 1 if len(newest) > AT_ONCE_MAX else stretch.first_id
        return [Path("account", account_id) for _, account_id in newest[:AT_ONCE_MAX]], floor

    def _merged(
        self,
        transaction: Transaction,
        stretch: Stretch,
        floor: int,
        paths: Sequence[Path],
        sieve: Sieve,
        count_max: int,
    ) -> Page[Row]:
        """The newest rows of all paths; `floor` is how far down all of them are looked at."""
        look_each = max(LOOK_EACH_MIN, LOOK_MAX // max(1, len(paths)))
        values = self._values(sieve)
        wanted = sieve.batch()
        best: list[Row] = []
        for path in paths:
            along = {"value": path.value} if path.name else {}
            bounds: dict[str, Any] = {"first": floor, "behind": stretch.before_id, **along}
            if not sieve.is_empty:
                end = transaction.rows(self._ends[path.name], **bounds, skipped=look_each - 1)
                if end:
                    bounds["first"] = floor = end[0][0]
            best += transaction.rows(self._pages[path.name], wanted, **bounds, **values, count_max=count_max + 1)
            best.sort(reverse=True, key=first_column)
            del best[count_max + 1 :]
            if len(best) > count_max:
                floor = max(floor, best[count_max][0])
        if len(best) > count_max and best[count_max][0] >= floor:
            return Page(tuple(best[:count_max]), best[count_max - 1][0])
        found = tuple(row for row in best if row[0] >= floor)
        return Page(found, floor, is_more_to_search=True) if floor > stretch.first_id else Page(found)

    def _values(self, sieve: Sieve) -> dict[str, object]:
        values: dict[str, object] = {f"any_{name}": int(name not in sieve.words) for name in self._fields.words}
        values |= {f"any_{name}": int(name not in sieve.numbers) for name in self._fields.numbers}
        return values | {f"like_{name}": sieve.patterns.get(name, "%") for name in self._fields.patterns}


def sieve_of(fields: Fields, wanted: Batch) -> list[ColumnElement[bool]]:
    """The conditions of a sieve. None of them is one that an index answers: the walk has been chosen."""
    conditions: list[ColumnElement[bool]] = []
    for name, column in fields.words.items():
        values = select(wanted.c.word).where(wanted.c.field == constant(name))
        conditions.append(or_(bindparam(f"any_{name}", type_=BigInteger) == constant(1), column.in_(values)))
    for name, number_column in fields.numbers.items():
        numbers = select(wanted.c.number).where(wanted.c.field == constant(name))
        conditions.append(or_(bindparam(f"any_{name}", type_=BigInteger) == constant(1), number_column.in_(numbers)))
    for name, column in fields.patterns.items():
        like = bindparam(f"like_{name}", type_=Text)
        conditions.append(or_(like == constant("%"), (column + constant("")).like(like)))
    return conditions


def first_column(row: Row) -> int:
    found: int = row[0]
    return found


class FoundMessage(Struct, frozen=True, kw_only=True):
    """A message as a listing shows it. Its price is 0 where it costs nothing (any more); the names are the gateway's to
    fill in."""

    id: int
    submission_id: int
    account_id: int
    dialect: str
    reference: str
    originator: str
    recipient: str
    text: str
    segments: int
    price_micros: int
    service: Service
    carrier_id: int
    state: State
    attempt: int
    due_ms: int
    expires_ms: int
    final_ms: int
    sent_ms: int
    detail: str
    coding: Coding
    given: str
    account: str = ""
    carrier: str = ""
    currency: str = ""


class FoundInbound(Struct, frozen=True, kw_only=True):
    """A message from a phone. `account_id` 0 = it came to nobody's number."""

    id: int
    account_id: int
    recipient: str
    originator: str
    text: str
    carrier_id: int
    received_ms: int
    coding: Coding
    account: str = ""
    carrier: str = ""


class FoundCallback(Struct, frozen=True, kw_only=True):
    """A callback and its last attempt. `due_ms` is when a pending one is made next; an empty `url` stands for where the
    account's go."""

    id: int
    account_id: int
    message_id: int
    kind: str
    dialect: str
    state: str
    attempt: int
    due_ms: int
    status: int
    detail: str
    url: str
    made_ms: int
    ended_ms: int
    took_ms: int
    account: str = ""


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
    CHARGED,
    message.c.service,
    message.c.carrier_id,
    message.c.state,
    message.c.attempt,
    message.c.due_ms,
    message.c.expires_ms,
    message.c.final_ms,
    message.c.sent_ms,
    message.c.detail,
    message.c.coding,
    message.c.given,
)
MESSAGE_FIELDS = Fields(
    words={"state": message.c.state, "reference": message.c.reference, "sender": message.c.originator},
    numbers={
        "account": message.c.account_id,
        "carrier": message.c.carrier_id,
        "submission": message.c.submission_id,
        "is_test": case((message.c.carrier_id == constant(TEST_CARRIER.id), constant(1)), else_=constant(0)),
    },
    patterns={"recipient": message.c.recipient},
    paths={"account": message.c.account_id, "recipient": message.c.recipient},
)
SCHEDULED_FIELDS = Fields(numbers={"account": message.c.account_id}, paths={"account": message.c.account_id})
INBOUND_COLUMNS = (
    inbound.c.id,
    inbound.c.account_id,
    inbound.c.recipient,
    inbound.c.originator,
    inbound.c.text,
    inbound.c.carrier_id,
    inbound.c.received_ms,
    inbound.c.coding,
)
INBOUND_FIELDS = Fields(
    numbers={"account": inbound.c.account_id, "carrier": inbound.c.carrier_id},
    patterns={"recipient": inbound.c.recipient, "originator": inbound.c.originator},
    paths={"account": inbound.c.account_id},
)
CALLBACK_COLUMNS = (
    callback.c.id,
    callback.c.account_id,
    callback.c.message_id,
    callback.c.kind,
    callback.c.dialect,
    callback.c.state,
    callback.c.attempt,
    callback.c.due_ms,
    callback.c.status,
    callback.c.detail,
    callback.c.url,
    callback.c.made_ms,
    callback.c.ended_ms,
    callback.c.took_ms,
)
CALLBACK_FIELDS = Fields(
    words={"state": callback.c.state, "kind": callback.c.kind},
    numbers={"account": callback.c.account_id},
    paths={"account": callback.c.account_id, "message": callback.c.message_id},
)


class Search:
    def __init__(self, database: Database) -> None:
        self.messages = Walk(database, MESSAGE_COLUMNS, message.c.id, MESSAGE_FIELDS)
        self.scheduled = Walk(database, MESSAGE_COLUMNS, message.c.id, SCHEDULED_FIELDS, [IS_SCHEDULED])
        self.inbound = Walk(database, INBOUND_COLUMNS, inbound.c.id, INBOUND_FIELDS)
        self.callbacks = Walk(database, CALLBACK_COLUMNS, callback.c.id, CALLBACK_FIELDS)
        accounts = Batch(database, id=BigInteger)
        self._named = Prepared(
            database,
            select(named_submission.c.submission_id)
            .join_from(accounts.table, named_submission, named_submission.c.account_id == accounts.c.id)
            .where(named_submission.c.name == bindparam("name"))
            .order_by(named_submission.c.submission_id.desc())
            .limit(constant(NAMED_MAX)),
            accounts,
        )
        carriers = Batch(database, id=BigInteger)
        self._referenced = Prepared(
            database,
            select(carrier_reference.c.message_id)
            .join_from(carriers.table, carrier_reference, carrier_reference.c.carrier_id == carriers.c.id)
            .where(carrier_reference.c.reference == bindparam("reference"))
            .limit(constant(NAMED_MAX)),
            carriers,
        )

    def named(
        self, transaction: Transaction, account_ids: Sequence[int], carrier_ids: Sequence[int], name: str
    ) -> tuple[list[int], list[int]]:
        """Submissions that one of these accounts made findable by a name, and messages that one of these carriers calls
        by it."""
        submissions = transaction.rows(self._named, [(each,) for each in account_ids], name=name)
        messages = transaction.rows(self._referenced, [(each,) for each in carrier_ids], reference=name)
        return [row[0] for row in submissions], [row[0] for row in messages]


def of_submission(submission_id: int) -> Stretch:
    """Where the messages of a submission are: their ids follow its own."""
    return Stretch(first_id=submission_id, before_id=min(ID_MAX, submission_id + RECIPIENTS_MAX))


def found_message(row: Row) -> FoundMessage:
    return FoundMessage(
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
        carrier_id=row[11],
        state=STATES[row[12]],
        attempt=row[13],
        due_ms=row[14],
        expires_ms=row[15],
        final_ms=row[16],
        sent_ms=row[17],
        detail=row[18],
        coding=CODINGS[row[19]],
        given=row[20],
    )


def found_inbound(row: Row) -> FoundInbound:
    return FoundInbound(
        id=row[0],
        account_id=row[1],
        recipient=row[2],
        originator=row[3],
        text=row[4],
        carrier_id=row[5],
        received_ms=row[6],
        coding=CODINGS[row[7]],
    )


def found_callback(row: Row) -> FoundCallback:
    return FoundCallback(
        id=row[0],
        account_id=row[1],
        message_id=row[2],
        kind=row[3],
        dialect=row[4],
        state=row[5],
        attempt=row[6],
        due_ms=row[7],
        status=row[8],
        detail=row[9],
        url=row[10],
        made_ms=row[11],
        ended_ms=row[12],
        took_ms=row[13],
    )


def page_of(page: Page[Row], read: Callable[[Row], Item]) -> Page[Item]:
    return Page(tuple(map(read, page.items)), page.next_before_id, page.is_more_to_search)
