"""Subaccounts and the credit that moves between them and their parents.

A subaccount is a row of `account` like any other, so making or changing one raises the revision, which every running
server follows. Raising it first locks it: names are given out one after the other, on whichever node. A move is two
entries under the id of its purchase, written while both balances are locked.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, func, insert, select, update

from chappe.core.ledger import Move, grant_moves, move_entries
from chappe.store.configuration import Configuration
from chappe.store.database import Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import REVISION_RANK, Verb
from chappe.store.money import Ledger
from chappe.store.schema import account, purchase


class NewSubaccount(Struct, frozen=True, kw_only=True):
    """`settings` is JSON and names the parent."""

    name: str
    password_hash: str  # has a salt of its own, so it also tells whether a row is this one
    token_sealed: str
    settings: str
    is_active: bool
    now_ms: int


class ChangedSubaccount(Struct, frozen=True, kw_only=True):
    """What becomes of a subaccount; an empty hash leaves its password alone."""

    id: int
    name: str
    settings: str
    is_active: bool
    password_hash: str = ""
    token_sealed: str = ""


class PurchaseRow(Struct, frozen=True, kw_only=True):
    """Credit that an account gave its subaccount, or took back where the amount is negative. `details` is JSON."""

    id: int
    account_id: int
    subaccount_id: int
    amount_micros: int
    made_ms: int
    is_undone: bool = False
    details: str = "{}"

    @property
    def move(self) -> Move:
        is_gift = self.amount_micros > 0
        return Move(
            source_id=self.id,
            giver_id=self.account_id if is_gift else self.subaccount_id,
            taker_id=self.subaccount_id if is_gift else self.account_id,
            amount_micros=abs(self.amount_micros),
        )

    @property
    def move_back(self) -> Move:
        there = self.move
        return Move(
            source_id=self.id,
            giver_id=there.taker_id,
            taker_id=there.giver_id,
            amount_micros=there.amount_micros,
            is_back=True,
        )


class Undoing(Struct, frozen=True, kw_only=True):
    account_id: int
    subaccount_id: int
    purchase_id: int
    now_ms: int


class Undone(StrEnum):
    """What came of undoing a purchase."""

    DONE = "done"
    NOT_FOUND = "not found"
    ALREADY = "already undone"
    NO_FUNDS = "no funds"


COLUMNS = (
    purchase.c.id,
    purchase.c.account_id,
    purchase.c.subaccount_id,
    purchase.c.amount_micros,
    purchase.c.made_ms,
    purchase.c.is_undone,
    purchase.c.details,
)


class Reselling:
    """Verbs: `make` tells the new id, or 0 where the name is taken; `change` whether the name could be given; `buy`
    whether the money reached; `undo` what came of it."""

    def __init__(self, database: Database, ledger: Ledger, configuration: Configuration) -> None:
        self._ledger = ledger
        self._configuration = configuration
        self._make = Prepared(
            database,
            database.insert(account)
            .values(
                name=bindparam("called"),
                password_hash=bindparam("hashed"),
                token_sealed=bindparam("sealed"),
                settings=bindparam("written"),
                is_active=bindparam("active"),
            )
            .on_conflict_do_nothing()
            .returning(account.c.id),
        )
        self._named = Prepared(
            database, select(account.c.id, account.c.password_hash).where(account.c.name == bindparam("called"))
        )
        self._change = Prepared(
            database,
            update(account)
            .where(account.c.id == bindparam("whose"))
            .values(name=bindparam("called"), settings=bindparam("written"), is_active=bindparam("active")),
        )
        bought = Batch(
            database,
            id=BigInteger,
            account_id=BigInteger,
            subaccount_id=BigInteger,
            amount_micros=BigInteger,
            made_ms=BigInteger,
            is_undone=BigInteger,
            details=Text,
        )
        self._insert = Prepared(
            database, insert(purchase).from_select([column.name for column in COLUMNS], select(bought.table)), bought
        )
        ids = Batch(database, id=BigInteger)
        self._lock = Prepared(
            database,
            select(*COLUMNS).where(purchase.c.id.in_(select(ids.c.id))).order_by(purchase.c.id).with_for_update(),
            ids,
        )
        self._undo = Prepared(
            database,
            update(purchase).where(purchase.c.id.in_(select(ids.c.id))).values(is_undone=constant(1)),
            ids,
        )
        is_of_pair = (
            purchase.c.account_id == bindparam("giver"),
            purchase.c.subaccount_id == bindparam("taker"),
        )
        self._list = Prepared(
            database,
            select(*COLUMNS)
            .where(*is_of_pair)
            .order_by(purchase.c.id.desc())
            .limit(bindparam("count_max"))
            .offset(bindparam("begin")),
        )
        self._count = Prepared(database, select(func.count()).select_from(purchase).where(*is_of_pair))
        self.make = Verb(REVISION_RANK, self._make_many)
        self.change = Verb(REVISION_RANK, self._change_many)
        self.buy = Verb(5, self._buy_many)  # with the intake, which locks balances too
        self.undo = Verb(5, self._undo_many)

    def purchases(
        self, transaction: Transaction, account_id: int, subaccount_id: int, offset: int, count_max: int
    ) -> tuple[list[PurchaseRow], int]:
        """Newest first, and how many there are in all."""
        pair = {"giver": account_id, "taker": subaccount_id}
        rows = transaction.rows(self._list, **pair, count_max=count_max, begin=offset)
        return [purchase_of(row) for row in rows], transaction.rows(self._count, **pair)[0][0]

    # Accounts

    def _make_many(self, transaction: Transaction, wishes: Sequence[NewSubaccount], is_repeat: bool) -> list[int]:
        self._configuration.raise_revision(transaction)
        return [self._make_one(transaction, wish, is_repeat) for wish in wishes]

    def _make_one(self, transaction: Transaction, wish: NewSubaccount, is_repeat: bool) -> int:
        rows = transaction.rows(
            self._make,
            called=wish.name,
            hashed=wish.password_hash,
            sealed=wish.token_sealed,
            written=wish.settings,
            active=int(wish.is_active),
        )
        if rows:
            account_id: int = rows[0][0]
            self._configuration.open_balance(
                transaction, account_id, opening_micros=0, limit_micros=0, now_ms=wish.now_ms
            )
            return account_id
        [(taken_id, password_hash)] = transaction.rows(self._named, called=wish.name)
        return taken_id if is_repeat and password_hash == wish.password_hash else 0

    def _change_many(
        self, transaction: Transaction, wishes: Sequence[ChangedSubaccount], _is_repeat: bool
    ) -> list[bool]:
        self._configuration.raise_revision(transaction)
        return [self._change_one(transaction, wish) for wish in wishes]

    def _change_one(self, transaction: Transaction, wish: ChangedSubaccount) -> bool:
        if any(row[0] != wish.id for row in transaction.rows(self._named, called=wish.name)):
            return False
        transaction.run(
            self._change, whose=wish.id, called=wish.name, written=wish.settings, active=int(wish.is_active)
        )
        if wish.password_hash:
            self._configuration.set_password(transaction, wish.id, wish.password_hash, wish.token_sealed)
        return True

    # Money

    def _buy_many(self, transaction: Transaction, wishes: Sequence[PurchaseRow], _is_repeat: bool) -> list[bool]:
        """Asked for twice, or again because the answer was lost, a purchase is made once; another one under its id is
        an error of the database."""
        kept = {one.move for one in self._locked(transaction, [one.id for one in wishes])}
        new = list({one.move: one for one in wishes if one.move not in kept}.values())
        granted = self._move_all(transaction, [one.move for one in new], wishes[-1].made_ms)
        made = [one for one in new if one.id in granted]
        if made:
            transaction.run(self._insert, [row_of(one) for one in made])
        return [one.move in kept or one.id in granted for one in wishes]

    def _undo_many(self, transaction: Transaction, wishes: Sequence[Undoing], is_repeat: bool) -> list[Undone]:
        found = {one.id: one for one in self._locked(transaction, [wish.purchase_id for wish in wishes])}
        asked: dict[int, Undoing] = {}
        results = []
        for wish in wishes:
            one = found.get(wish.purchase_id)
            if one is None or (one.account_id, one.subaccount_id) != (wish.account_id, wish.subaccount_id):
                results.append(Undone.NOT_FOUND)
            elif one.is_undone:  # by the commit whose answer was lost, for all we know
                results.append(Undone.DONE if is_repeat else Undone.ALREADY)
            else:
                results.append(Undone.ALREADY if one.id in asked else Undone.NO_FUNDS)
                asked.setdefault(one.id, wish)
        granted = self._move_all(transaction, [found[each].move_back for each in asked], wishes[-1].now_ms)
        if granted:
            transaction.run(self._undo, [(each,) for each in sorted(granted)])
        return [
            Undone.DONE if asked.get(wish.purchase_id) is wish and wish.purchase_id in granted else result
            for wish, result in zip(wishes, results, strict=True)
        ]

    def _locked(self, transaction: Transaction, ids: Iterable[int]) -> list[PurchaseRow]:
        return [purchase_of(row) for row in transaction.rows(self._lock, [(each,) for each in sorted(set(ids))])]

    def _move_all(self, transaction: Transaction, moves: Sequence[Move], now_ms: int) -> set[int]:
        """Make the moves that the money reaches for, in their order; their source ids."""
        if not moves:
            return set()
        owners = {owner for one in moves for owner in (one.giver_id, one.taker_id)}
        fits = grant_moves(self._ledger.lock(transaction, owners), moves)
        made = [one for one, is_granted in zip(moves, fits, strict=True) if is_granted]
        self._ledger.write(transaction, [each for one in made for each in move_entries(one)], now_ms)
        return {one.source_id for one in made}


def purchase_of(row: Row) -> PurchaseRow:
    return PurchaseRow(
        id=row[0],
        account_id=row[1],
        subaccount_id=row[2],
        amount_micros=row[3],
        made_ms=row[4],
        is_undone=bool(row[5]),
        details=row[6],
    )


def row_of(one: PurchaseRow) -> Row:
    return (
        one.id,
        one.account_id,
        one.subaccount_id,
        one.amount_micros,
        one.made_ms,
        int(one.is_undone),
        one.details,
    )
