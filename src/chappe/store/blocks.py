"""Numbers that accounts must not write to, as rows that stay when they are taken off the list again.

Every change of a row gives it the next change id, so that a running server follows the list by asking for what is
newer than what it knows. Change ids are made one transaction after the other: with gaps in what is committed, a server
would step over the smaller id for good.
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, Executable, Text, bindparam, func, or_, select, tuple_, update

from chappe.core.phonebook import Block, BlockOrigin, Blocks
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import block

LOCK = 0x63686170706501  # of PostgreSQL: whoever holds it makes change ids
ORIGINS = {origin.value: origin for origin in BlockOrigin}


class BlockChange(Struct, frozen=True, kw_only=True):
    """Numbers to be put on an account's list under an originator (empty = any), or taken off it.

    Off it from under every originator and whoever put them there, unless that is named.
    """

    account_id: int
    numbers: tuple[str, ...]
    is_blocked: bool
    now_ms: int
    originators: tuple[str, ...] = ()
    origin: BlockOrigin | None = None


class BlockRow(Struct, frozen=True):
    """One row as a server follows it."""

    account_id: int
    number: str
    originator: str
    is_active: bool
    change_id: int


BEFORE_ALL = BlockRow(0, "", "", False, 0)
PLACE = (block.c.change_id, block.c.account_id, block.c.number, block.c.originator)  # one change may have many rows


class BlockQuestion(Struct, frozen=True, kw_only=True):
    """Which part of an account's list."""

    account_id: int
    number: str
    origins: tuple[str, ...]
    from_ms: int
    to_ms: int
    offset: int
    count_max: int


class BlockList:
    def __init__(self, database: Database) -> None:
        self.change = Verb[BlockChange, int](4, self.change_many, lambda item: len(item.numbers))
        self._lock = None if database.is_sqlite else Prepared(database, select(func.pg_advisory_xact_lock(LOCK)))
        self._newest = Prepared(database, select(func.coalesce(func.max(block.c.change_id), 0)))
        rows = Batch(
            database,
            account_id=BigInteger,
            number=Text,
            originator=Text,
            origin=Text,
            made_ms=BigInteger,
            is_active=BigInteger,
            change_id=BigInteger,
        )
        fresh = database.insert(block).from_select([column.name for column in rows.c], select(rows.table).where(TRUE))
        self._put = Prepared(
            database,
            fresh.on_conflict_do_update(
                index_elements=[block.c.account_id, block.c.number, block.c.originator],
                set_={name: fresh.excluded[name] for name in ("origin", "made_ms", "is_active", "change_id")},
                where=block.c.is_active == constant(0),
            ).returning(block.c.number),
            rows,
        )
        named = Batch(database, number=Text, originator=Text)
        its = (named.c.number == block.c.number) & or_(
            named.c.originator == block.c.originator, bindparam("everywhere", type_=BigInteger) == constant(1)
        )
        self._take_off = Prepared(
            database,
            update(block)
            .where(
                block.c.account_id == bindparam("account"),
                block.c.is_active == constant(1),
                or_(bindparam("only", type_=Text) == constant(""), block.c.origin == bindparam("only", type_=Text)),
                select(constant(1)).select_from(named.table).where(its).correlate(block).exists(),
            )
            .values(is_active=0, made_ms=bindparam("now"), change_id=bindparam("change"))
            .returning(block.c.number),
            named,
        )
        self._changed_then = Prepared(
            database,
            select(named.c.number)
            .distinct()
            .join_from(named.table, block, its)
            .where(
                block.c.account_id == bindparam("account"),
                block.c.made_ms == bindparam("now"),
                block.c.is_active == bindparam("active"),
            ),
            named,
        )
        self._since = Prepared(
            database,
            select(block.c.account_id, block.c.number, block.c.originator, block.c.is_active, block.c.change_id)
            .where(
                block.c.change_id >= bindparam("change", type_=BigInteger),  # what the index can tell
                tuple_(*PLACE) > tuple_(*(bindparam(f"after_{one.name}", type_=one.type) for one in PLACE)),
            )
            .order_by(*PLACE)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        origins = Batch(database, origin=Text)
        is_meant = (
            block.c.account_id == bindparam("account"),
            block.c.is_active == constant(1),
            block.c.made_ms >= bindparam("from"),
            block.c.made_ms <= bindparam("to"),
            or_(bindparam("number", type_=Text) == constant(""), block.c.number == bindparam("number", type_=Text)),
            block.c.origin.in_(select(origins.c.origin)),
        )
        listed: list[ColumnElement[str] | ColumnElement[int]] = [
            block.c.number,
            block.c.originator,
            block.c.origin,
            block.c.made_ms,
        ]
        page: Executable = (
            select(*listed)
            .where(*is_meant)
            .order_by(block.c.change_id.desc(), block.c.number)
            .limit(bindparam("count_max", type_=BigInteger))
            .offset(bindparam("offset", type_=BigInteger))
        )
        self._page = Prepared(database, page, origins)
        self._total = Prepared(database, select(func.count()).select_from(block).where(*is_meant), origins)

    # Changing

    def change_many(self, transaction: Transaction, changes: Sequence[BlockChange], is_repeat: bool) -> list[int]:
        """How many numbers each change put on the list, or took off it."""
        if not changes:
            return []
        if self._lock is not None:
            transaction.rows(self._lock)
        newest_id = transaction.rows(self._newest)[0][0]
        counts = []
        for change_id, one in enumerate(changes, newest_id + 1):
            put_or_take = self._put_on if one.is_blocked else self._take_numbers_off
            changed = put_or_take(transaction, one, change_id)
            counts.append(len(changed | (self._earlier(transaction, one) if is_repeat else set())))
        return counts

    def _put_on(self, transaction: Transaction, one: BlockChange, change_id: int) -> set[str]:
        origin = (one.origin or BlockOrigin.API).value
        rows = [
            (one.account_id, number, originator, origin, one.now_ms, 1, change_id)
            for number in dict.fromkeys(one.numbers)
            for originator in one.originators or ("",)
        ]
        return {row[0] for row in transaction.rows(self._put, rows)}

    def _take_numbers_off(self, transaction: Transaction, one: BlockChange, change_id: int) -> set[str]:
        rows = transaction.rows(
            self._take_off,
            pairs(one),
            account=one.account_id,
            everywhere=int(not one.originators),
            only=one.origin.value if one.origin else "",
            now=one.now_ms,
            change=change_id,
        )
        return {row[0] for row in rows}

    def _earlier(self, transaction: Transaction, one: BlockChange) -> set[str]:
        """What the commit of which nobody heard has changed, if it happened."""
        rows = transaction.rows(
            self._changed_then,
            pairs(one),
            account=one.account_id,
            everywhere=int(not one.is_blocked and not one.originators),
            now=one.now_ms,
            active=int(one.is_blocked),
        )
        return {row[0] for row in rows}

    # Looking

    def since(self, transaction: Transaction, last: BlockRow, count_max: int) -> list[BlockRow]:
        """Rows that changed after the last one that is known, in the order of their changes."""
        rows = transaction.rows(
            self._since,
            change=last.change_id,
            after_change_id=last.change_id,
            after_account_id=last.account_id,
            after_number=last.number,
            after_originator=last.originator,
            count_max=count_max,
        )
        return [BlockRow(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]

    def blocks(self, transaction: Transaction, question: BlockQuestion) -> Blocks:
        which = {
            "account": question.account_id,
            "number": question.number,
            "from": question.from_ms,
            "to": question.to_ms,
        }
        origins = [(origin,) for origin in question.origins or ORIGINS]
        rows = transaction.rows(self._page, origins, **which, offset=question.offset, count_max=question.count_max)
        total = transaction.rows(self._total, origins, **which)[0][0]
        items = (Block(number=row[0], originator=row[1], origin=ORIGINS[row[2]], made_ms=row[3]) for row in rows)
        return Blocks(items=tuple(items), total=total)


def pairs(one: BlockChange) -> list[tuple[str, str]]:
    return [(number, originator) for number in one.numbers for originator in one.originators or ("",)]
