"""An account's money, entry by entry, the newest first.

The ledger has no index by time: its entries are found by what they are for. So a statement walks the account's
messages, whose ids grow with time, and meets each one's entries; what is no price of a message (credit, moves, rents)
has indexes of its own. What belongs to one message stands together, at the moment it was accepted.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import BigInteger, Select, and_, bindparam, not_, select

from chappe.core.ids import ID_MAX, first_id, made_ms
from chappe.core.ledger import TRANSFERS, Kind, Purse
from chappe.store.database import Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.figures import Figures
from chappe.store.histories import IS_CREDIT, flow
from chappe.store.schema import RENTS as IS_RENT
from chappe.store.schema import entry, message, purchase, rented_number

LOOK_MAX = 5_000  # messages that one page looks at: most cost nothing in a virtual account
SUM_MAX = 50_000  # messages that are added up in one read
LINES_MAX = 1_000
NUMBERS_MAX = 1_000  # rented numbers whose rents are told by name


class Key(Struct, frozen=True, order=True):
    """Where something stands in a statement: when what it is for was made, and its id."""

    at_ms: int
    source_id: int


BEHIND_ALL = Key(1 << 52, ID_MAX)


class Line(Struct, frozen=True, kw_only=True):
    """One entry. The two amounts are what it adds to what is available and to what is reserved."""

    at_ms: int  # where it stands
    made_ms: int  # when it was written
    kind: Kind
    source_id: int
    available_micros: int
    reserved_micros: int
    recipient: str = ""  # of a message
    segments: int = 0
    other_id: int = 0  # the account that credit came from or went to; 0 = the house
    details: str = "{}"  # JSON: what was said about a payment or a move
    number: str = ""  # that is rented
    month: int = 0  # of the rent, from 1

    @property
    def key(self) -> Key:
        return Key(self.at_ms, self.source_id)


class Lines(Struct, frozen=True, kw_only=True):
    """Some lines, newest first, complete down to `floor`; None = down to where the statement begins."""

    lines: tuple[Line, ...]
    floor: Key | None = None


class Totals(Struct, frozen=True, kw_only=True):
    """What an account has, or what entries add to it."""

    available_micros: int = 0
    reserved_micros: int = 0

    def less(self, other: "Totals") -> "Totals":
        return Totals(
            available_micros=self.available_micros - other.available_micros,
            reserved_micros=self.reserved_micros - other.reserved_micros,
        )


class Statements:
    def __init__(self, database: Database, figures: Figures) -> None:
        self._figures = figures
        in_stretch = (
            message.c.account_id == bindparam("account"),
            message.c.id >= bindparam("first"),
            message.c.id < bindparam("behind"),
        )
        is_known = entry.c.made_ms <= bindparam("as_of")
        self._end = Prepared(
            database,
            select(message.c.id)
            .where(*in_stretch)
            .order_by(message.c.id.desc())
            .limit(1)
            .offset(bindparam("skipped", type_=BigInteger)),
        )
        self._of_messages = Prepared(
            database,
            select(*ENTRY_COLUMNS, message.c.recipient, message.c.segments)
            .join_from(message, entry, entry.c.source_id == message.c.id)
            .where(*in_stretch, is_known)
            .order_by(message.c.id.desc(), entry.c.phase.desc())
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._sum_of_messages = Prepared(
            database,
            select(flow(Purse.AVAILABLE), flow(Purse.RESERVED))
            .join_from(message, entry, entry.c.source_id == message.c.id)
            .where(*in_stretch, is_known),
        )
        self._others = [Prepared(database, others(condition)) for condition in (IS_CREDIT, IS_RENT)]
        self._sums_of_others = [
            Prepared(
                database,
                select(flow(Purse.AVAILABLE), flow(Purse.RESERVED)).where(
                    entry.c.account_id == bindparam("account"),
                    condition,
                    entry.c.made_ms >= bindparam("from"),
                    is_known,
                ),
            )
            for condition in (IS_CREDIT, IS_RENT)
        ]
        ids = Batch(database, id=BigInteger)
        self._purchases = Prepared(
            database,
            select(purchase.c.id, purchase.c.account_id, purchase.c.subaccount_id, purchase.c.details).where(
                purchase.c.id.in_(select(ids.c.id))
            ),
            ids,
        )
        self._numbers = Prepared(
            database,
            select(rented_number.c.rental_id, rented_number.c.number)
            .where(rented_number.c.account_id == bindparam("account"), rented_number.c.account_id > constant(0))
            .limit(constant(NUMBERS_MAX)),
        )

    def balance(self, transaction: Transaction, account_id: int) -> Totals:
        """What an account has now; nothing where it has no purse."""
        funds = self._figures.funds(transaction, account_id)
        if funds is None:
            return Totals()
        return Totals(available_micros=funds.available_micros, reserved_micros=funds.reserved_micros)

    def since(
        self, transaction: Transaction, account_id: int, from_ms: int, before_id: int, as_of_ms: int
    ) -> tuple[Totals, int | None]:
        """What messages accepted from an instant on, with ids before one, add up to: of up to `SUM_MAX` of them, and
        the id to go on before, if there are more."""
        bounds: dict[str, Any] = {"account": account_id, "first": first_id(from_ms), "behind": before_id}
        end = transaction.rows(self._end, **bounds, skipped=SUM_MAX - 1)
        if end:
            bounds["first"] = end[0][0]
        [(available, reserved)] = transaction.rows(self._sum_of_messages, **bounds, as_of=as_of_ms)
        return Totals(available_micros=available, reserved_micros=reserved), end[0][0] if end else None

    def others_since(self, transaction: Transaction, account_id: int, from_ms: int, as_of_ms: int) -> Totals:
        """The same of what is no price of a message: all of it."""
        values = {"account": account_id, "from": from_ms, "as_of": as_of_ms}
        sums = [transaction.rows(each, **values)[0] for each in self._sums_of_others]
        return Totals(available_micros=sum(one[0] for one in sums), reserved_micros=sum(one[1] for one in sums))

    def lines(
        self,
        transaction: Transaction,
        account_id: int,
        from_ms: int,
        before: Key,
        as_of_ms: int,
        count_max: int,
    ) -> Lines:
        """About `count_max` lines before a place: what is for one thing is not parted."""
        count_max = max(1, min(count_max, LINES_MAX))
        bounds: dict[str, Any] = {
            "account": account_id,
            "first": first_id(from_ms),
            "behind": ids_before(before),
        }
        end = transaction.rows(self._end, **bounds, skipped=LOOK_MAX - 1)
        if end:
            bounds["first"] = end[0][0]
        of_messages = transaction.rows(self._of_messages, **bounds, as_of=as_of_ms, count_max=count_max + 2)
        runs = [[line_of_message(row) for row in of_messages]]
        floors = [floor_of(runs[0], count_max + 2) or (Key(made_ms(end[0][0]), end[0][0]) if end else None)]
        names = self._names(transaction, account_id)
        for prepared in self._others:
            rows = transaction.rows(
                prepared,
                **{
                    "account": account_id,
                    "from": from_ms,
                    "at": before.at_ms,
                    "source": before.source_id,
                    "as_of": as_of_ms,
                    "count_max": count_max + 2,
                },
            )
            runs.append([line_of_other(row, names) for row in rows])
            floors.append(floor_of(runs[-1], count_max + 2))
        floor = max((one for one in floors if one is not None), default=None)
        merged = sorted((line for run in runs for line in run), key=lambda line: (line.key, line.made_ms), reverse=True)
        complete = [line for line in merged if floor is None or line.key >= floor]
        page: list[Line] = []
        for _, group in groupby(complete, key=lambda line: line.key):
            if len(page) >= count_max:
                return Lines(lines=self._told(transaction, page, account_id), floor=page[-1].key)
            page += sorted(group, key=lambda line: (line.made_ms, ORDER[line.kind]), reverse=True)
        return Lines(lines=self._told(transaction, page, account_id), floor=floor)

    def _names(self, transaction: Transaction, account_id: int) -> dict[int, str]:
        """The numbers it rents now, by the rental; an earlier rental's has been forgotten."""
        return dict(transaction.rows(self._numbers, account=account_id))

    def _told(self, transaction: Transaction, page: Sequence[Line], account_id: int) -> tuple[Line, ...]:
        """With the other account of each move, and what was said about it."""
        moves = sorted({line.source_id for line in page if line.kind in MOVES})
        if not moves:
            return tuple(page)
        known = {row[0]: row[1:] for row in transaction.rows(self._purchases, [(each,) for each in moves])}
        return tuple(with_purchase(line, known.get(line.source_id), account_id) for line in page)


MOVES = frozenset({Kind.CREDIT, Kind.DEBIT, Kind.GIVE, Kind.TAKE, Kind.GIVE_BACK, Kind.TAKE_BACK})
ORDER = {kind: index for index, kind in enumerate(Kind)}  # of entries of one thing in one moment
ENTRY_COLUMNS = (
    entry.c.source_id,
    entry.c.phase,
    entry.c.debit,
    entry.c.credit,
    entry.c.amount_micros,
    entry.c.made_ms,
)
KINDS = {(one.phase, one.debit.value, one.credit.value): kind for kind, one in TRANSFERS.items()}


def others(condition: Any) -> Select[Any]:
    """The entries that are no price of a message, and stand before a place."""
    return (
        select(*ENTRY_COLUMNS)
        .where(
            entry.c.account_id == bindparam("account"),
            condition,
            entry.c.made_ms >= bindparam("from"),
            entry.c.made_ms <= bindparam("at"),
            not_(and_(entry.c.made_ms == bindparam("at"), entry.c.source_id >= bindparam("source"))),
            entry.c.made_ms <= bindparam("as_of"),
        )
        .order_by(entry.c.made_ms.desc(), entry.c.source_id.desc())
        .limit(bindparam("count_max", type_=BigInteger))
    )


def ids_before(before: Key) -> int:
    """The messages that stand before a place have ids below this one."""
    of_that_moment = first_id(before.at_ms), first_id(before.at_ms + 1)
    return max(of_that_moment[0], min(before.source_id, of_that_moment[1]))


def floor_of(run: Sequence[Line], count_max: int) -> Key | None:
    """How far down a run of lines is complete: to before its last thing, where it was cut off."""
    if len(run) < count_max:
        return None
    last = run[-1].key
    whole = [line.key for line in run if line.key != last]
    return whole[-1] if whole else last


def line_of_message(row: Row) -> Line:
    return Line(
        at_ms=made_ms(row[0]), source_id=row[0], made_ms=row[5], **amounts_of(row), recipient=row[6], segments=row[7]
    )


def line_of_other(row: Row, numbers: dict[int, str]) -> Line:
    phase, _, month = row[1].partition("-")
    is_rent = phase == TRANSFERS[Kind.RENT].phase
    return Line(
        at_ms=row[5],
        source_id=row[0],
        made_ms=row[5],
        **amounts_of(row),
        number=numbers.get(row[0], "") if is_rent else "",
        month=int(month) if is_rent and month.isdigit() else 0,
    )


def amounts_of(row: Row) -> dict[str, Any]:
    _, phase, debit, credit, amount_micros = row[:5]
    return {
        "kind": KINDS[phase.partition("-")[0], debit, credit],
        "available_micros": effect(Purse.AVAILABLE, debit, credit, amount_micros),
        "reserved_micros": effect(Purse.RESERVED, debit, credit, amount_micros),
    }


def effect(purse: Purse, debit: str, credit: str, amount_micros: int) -> int:
    return amount_micros * ((credit == purse.value) - (debit == purse.value))


def with_purchase(line: Line, known: Row | None, account_id: int) -> Line:
    if line.kind not in MOVES or known is None:
        return line
    giver_id, taker_id, details = known
    return structs.replace(line, other_id=taker_id if giver_id == account_id else giver_id, details=details)
