"""Numbers for rent as rows: who has which, until when it is paid, and the pool of those that nobody has.

Whatever changes an owner raises the configuration's revision first, as `chappe apply` does, so that running servers
follow. That is one row, hence also the lock under which two who want the same number, on any node, come one after the
other; money and numbers are locked after it. What then happens to a number is decided on records, and whole rows are
written back.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, or_, select, update

from chappe.core.centre import Refusal
from chappe.core.ledger import Entry, rent
from chappe.core.numbers import Number, months_later
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import REVISION_RANK, Verb
from chappe.store.money import Ledger
from chappe.store.schema import account, rented_number

RENEWAL_HORIZON_MS = 3_600_000  # how long before its end the next month is paid
NOBODY = constant(0)


class Origin(StrEnum):
    """Who put a number into the pool."""

    FILE = "file"
    CARRIER = "carrier"


class NumberRow(Struct, frozen=True):
    """A number as stored; its fields are the table's columns, in their order."""

    number: str
    country: str = ""
    price_micros: int = 0
    carrier_id: int = 0
    account_id: int = 0
    rental_id: int = 0  # the ledger's source of its rents, phase after phase
    rented_ms: int = 0
    months: int = 0  # that are paid
    expires_ms: int = 0
    renews: int = 1
    origin: str = Origin.FILE.value
    url: str = ""
    email: str = ""
    phone: str = ""
    is_active: int = 1

    @property
    def as_number(self) -> Number:
        return Number(
            number=self.number,
            country=self.country,
            price_micros=self.price_micros,
            carrier_id=self.carrier_id,
            account_id=self.account_id,
            expires_ms=self.expires_ms,
            renews=bool(self.renews),
            url=self.url,
            email=self.email,
            phone=self.phone,
        )

    def taken(self, account_id: int, rental_id: int, now_ms: int) -> "NumberRow":
        """In the hands of an account, nothing paid yet."""
        return msgspec.structs.replace(
            self, account_id=account_id, rental_id=rental_id, rented_ms=now_ms, months=0, renews=1
        )

    def paid(self) -> "NumberRow":
        """With one more month."""
        months = self.months + 1
        return msgspec.structs.replace(self, months=months, expires_ms=months_later(self.rented_ms, months))

    def free(self) -> "NumberRow":
        """Back in the pool. What a carrier lent goes back there instead, until it is offered again."""
        return NumberRow(
            number=self.number,
            country=self.country,
            price_micros=self.price_micros,
            carrier_id=self.carrier_id,
            origin=self.origin,
            is_active=int(self.is_active and self.origin == Origin.FILE),
        )


class Rental(Struct, frozen=True):
    """A wish for a number; `rental_id` is new, and names the rental in the ledger."""

    account_id: int
    number: str
    rental_id: int
    now_ms: int


class Release(Struct, frozen=True):
    """A wish to give a rental back."""

    number: str
    rental_id: int


class Forwarding(Struct, frozen=True, kw_only=True):
    """Where a rental's messages shall go; what is None stays."""

    account_id: int
    number: str
    url: str | None
    email: str | None
    phone: str | None


class Renewal(Struct, frozen=True):
    """A wish to settle up to `count_max` of the rentals whose month ends within the hour."""

    now_ms: int
    count_max: int


class Renewed(Struct, frozen=True):
    """What that came to: the rentals that were paid on, and those that ended, as they were before."""

    paid: tuple[NumberRow, ...] = ()
    ended: tuple[NumberRow, ...] = ()


class Restocking(Struct, frozen=True):
    """What a carrier offers now, with our prices, and nothing else."""

    carrier_id: int
    offers: tuple[NumberRow, ...]


COLUMNS = list(rented_number.columns)
KINDS = {one.name: BigInteger if isinstance(one.type, BigInteger) else Text for one in COLUMNS}
NAMES = list(KINDS)
IS_OWNED = rented_number.c.account_id > NOBODY
IS_FREE = rented_number.c.account_id == NOBODY
IS_FILES = rented_number.c.origin == constant(Origin.FILE.value)
IS_CARRIERS = rented_number.c.origin == constant(Origin.CARRIER.value)
STOCK = ("country", "price_micros", "carrier_id", "origin", "is_active")  # what a pool's source says of a number


class Pool:
    """What is asked about numbers, and the file's part of the pool."""

    def __init__(self, database: Database) -> None:
        named = Batch(database, number=Text)
        is_named = rented_number.c.number.in_(select(named.c.number))
        rows = Batch(database, **KINDS)
        self._owned = Prepared(database, select(*COLUMNS).where(IS_OWNED).order_by(rented_number.c.number))
        self._of_file = Prepared(
            database,
            select(*COLUMNS).where(IS_FILES, rented_number.c.is_active == constant(1)).order_by(rented_number.c.number),
        )
        self._of_account = Prepared(
            database,
            select(*COLUMNS)
            .where(IS_OWNED, rented_number.c.account_id == bindparam("whose"))
            .order_by(rented_number.c.number),
        )
        self._of_carrier = Prepared(
            database, select(*COLUMNS).where(rented_number.c.carrier_id == bindparam("carrier"))
        )
        self._offers = Prepared(
            database,
            select(*COLUMNS)
            .where(
                IS_FREE,
                rented_number.c.is_active == constant(1),
                or_(bindparam("country", type_=Text) == constant(""), rented_number.c.country == bindparam("country")),
            )
            .order_by(rented_number.c.price_micros, rented_number.c.number)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._named = Prepared(database, select(*COLUMNS).where(rented_number.c.number == bindparam("called")))
        self._due_count = Prepared(
            database,
            select(rented_number.c.number)
            .where(IS_OWNED, rented_number.c.expires_ms <= bindparam("horizon"))
            .limit(constant(1)),
        )
        stocked = database.insert(rented_number).from_select(NAMES, select(rows.table).where(TRUE))
        self._put = Prepared(
            database,
            stocked.on_conflict_do_update(
                index_elements=["number"], set_={name: stocked.excluded[name] for name in STOCK}
            ),
            rows,
        )
        self._drop = Prepared(database, delete(rented_number).where(IS_FILES, IS_FREE, ~is_named), named)
        self._retire = Prepared(
            database, update(rented_number).where(IS_FILES, IS_OWNED, ~is_named).values(is_active=constant(0)), named
        )

    def owned(self, transaction: Transaction) -> tuple[NumberRow, ...]:
        """Every number that somebody rents."""
        return rows_of(transaction.rows(self._owned))

    def of_file(self, transaction: Transaction) -> tuple[NumberRow, ...]:
        """What the file put into the pool, rented or not."""
        return rows_of(transaction.rows(self._of_file))

    def of_account(self, transaction: Transaction, account_id: int) -> tuple[NumberRow, ...]:
        return rows_of(transaction.rows(self._of_account, whose=account_id))

    def of_carrier(self, transaction: Transaction, carrier_id: int) -> tuple[NumberRow, ...]:
        """Every number whose messages come from a carrier, whoever put it into the pool."""
        return rows_of(transaction.rows(self._of_carrier, carrier=carrier_id))

    def offers(self, transaction: Transaction, country: str, count_max: int) -> tuple[NumberRow, ...]:
        """What is free in a country, or (empty) anywhere, cheapest first."""
        return rows_of(transaction.rows(self._offers, country=country, count_max=count_max))

    def named(self, transaction: Transaction, number: str) -> NumberRow | None:
        return next(iter(rows_of(transaction.rows(self._named, called=number))), None)

    def has_due(self, transaction: Transaction, now_ms: int) -> bool:
        """Whether a round of renewal has anything to do."""
        return bool(transaction.rows(self._due_count, horizon=now_ms + RENEWAL_HORIZON_MS))

    def put_file(self, transaction: Transaction, rows: Sequence[NumberRow]) -> None:
        """These and no others stand in the file. A rented one that is gone stays until its month ends."""
        names = [(one.number,) for one in rows]
        transaction.run(self._drop, names)
        transaction.run(self._retire, names)
        if rows:
            transaction.run(self._put, [msgspec.structs.astuple(one) for one in rows])


class Numbers:
    """The verbs. Each answers in the order of its items."""

    def __init__(
        self, database: Database, ledger: Ledger, pool: Pool, raise_revision: Callable[[Transaction], int]
    ) -> None:
        self.pool = pool
        self._ledger = ledger
        self._raise_revision = raise_revision
        named = Batch(database, number=Text)
        is_named = rented_number.c.number.in_(select(named.c.number))
        rows = Batch(database, **KINDS)
        self._lock = Prepared(
            database,
            select(*COLUMNS).where(is_named).order_by(rented_number.c.number).with_for_update(),
            named,
        )
        self._write = Prepared(
            database,
            update(rented_number)
            .where(rented_number.c.number == rows.c.number)
            .values({name: rows.c[name] for name in NAMES if name != "number"}),
            rows,
        )
        self._due = Prepared(
            database,
            select(*COLUMNS)
            .where(IS_OWNED, rented_number.c.expires_ms <= bindparam("horizon"))
            .order_by(rented_number.c.expires_ms, rented_number.c.number)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        owners = Batch(database, id=BigInteger)
        self._active = Prepared(
            database,
            select(account.c.id).where(account.c.is_active == constant(1), account.c.id.in_(select(owners.c.id))),
            owners,
        )
        offered = database.insert(rented_number).from_select(NAMES, select(rows.table).where(TRUE))
        self._put_offers = Prepared(
            database,
            offered.on_conflict_do_update(
                index_elements=["number"],
                set_={name: offered.excluded[name] for name in STOCK},
                where=IS_CARRIERS & (rented_number.c.carrier_id == offered.excluded.carrier_id),
            ),
            rows,
        )
        self._drop_offers = Prepared(
            database,
            delete(rented_number).where(
                IS_CARRIERS, rented_number.c.carrier_id == bindparam("carrier"), IS_FREE, ~is_named
            ),
            named,
        )
        self.rent = Verb(REVISION_RANK, self._rent_many)
        self.release = Verb(REVISION_RANK, self._release_many)
        self.forward = Verb(REVISION_RANK, self._forward_many)
        # It raises the revision only where something ends, so it comes after those that do in any case.
        self.renew = Verb(REVISION_RANK + 1, self._renew_many)
        self.restock = Verb(4, self._restock_many, lambda item: len(item.offers))

    def _rent_many(
        self, transaction: Transaction, rentals: Sequence[Rental], is_repeat: bool
    ) -> list[Number | Refusal]:
        """The number with its first month paid; NOT_FOUND where it is not free, NO_FUNDS where money does not reach."""
        self._raise_revision(transaction)
        spendable = self._ledger.lock(transaction, (one.account_id for one in rentals))
        rows = self._locked(transaction, (one.number for one in rentals))
        answers: list[Number | Refusal] = []
        changed: dict[str, NumberRow] = {}
        for one in rentals:
            row = rows.get(one.number)
            if row is not None and row.rental_id == one.rental_id:  # a repeat
                answers.append(row.as_number)
            elif row is None or row.account_id or not row.is_active:
                answers.append(Refusal.NOT_FOUND)
            elif not reaches(spendable, one.account_id, row.price_micros):
                answers.append(Refusal.NO_FUNDS)
            else:
                spendable[one.account_id] = spendable.get(one.account_id, 0) - row.price_micros
                row = rows[one.number] = row.taken(one.account_id, one.rental_id, one.now_ms).paid()
                changed[one.number] = row
                answers.append(row.as_number)
        self._keep(transaction, changed.values())
        if changed:
            self._ledger.write(transaction, [rent_of(row) for row in changed.values()], rentals[0].now_ms)
        return answers

    def _release_many(self, transaction: Transaction, releases: Sequence[Release], is_repeat: bool) -> list[bool]:
        """Whether the rental was still going on; on a repeat, one that has ended ended by us."""
        self._raise_revision(transaction)
        rows = self._locked(transaction, (one.number for one in releases))
        ended = [(one.number in rows and rows[one.number].rental_id == one.rental_id, one.number) for one in releases]
        self._keep(transaction, [rows[number].free() for number in {number for is_ours, number in ended if is_ours}])
        return [is_ours or is_repeat for is_ours, _ in ended]

    def _forward_many(
        self, transaction: Transaction, wishes: Sequence[Forwarding], is_repeat: bool
    ) -> list[Number | None]:
        """The number as it is now; None where the account does not rent it."""
        self._raise_revision(transaction)
        rows = self._locked(transaction, (one.number for one in wishes))
        answers: list[Number | None] = []
        for one in wishes:
            row = rows.get(one.number)
            if row is None or row.account_id != one.account_id:
                answers.append(None)
                continue
            ways = {"url": one.url, "email": one.email, "phone": one.phone}
            stated = {name: value for name, value in ways.items() if value is not None}
            rows[one.number] = msgspec.structs.replace(row, **stated)
            answers.append(rows[one.number].as_number)
        self._keep(transaction, rows.values())
        return answers

    def _renew_many(self, transaction: Transaction, rounds: Sequence[Renewal], is_repeat: bool) -> list[Renewed]:
        """Pay another month for what renews, if the money reaches; end what is over. The rest waits for its end."""
        return [self._renew(transaction, one) for one in rounds]

    def _renew(self, transaction: Transaction, renewal: Renewal) -> Renewed:
        horizon_ms = renewal.now_ms + RENEWAL_HORIZON_MS
        due = rows_of(transaction.rows(self._due, horizon=horizon_ms, count_max=renewal.count_max))
        if not due:
            return Renewed()
        if any(one.expires_ms <= renewal.now_ms for one in due):
            self._raise_revision(transaction)
        owner_ids = {one.account_id for one in due}
        spendable = self._ledger.lock(transaction, owner_ids)
        active = {row[0] for row in transaction.rows(self._active, [(owner_id,) for owner_id in owner_ids])}
        rows = self._locked(transaction, (one.number for one in due))
        paid, ended = [], []
        for one in due:
            row = rows.get(one.number)
            if row != one:  # another node was quicker
                continue
            renews = row.renews and row.is_active and row.account_id in active
            if renews and reaches(spendable, row.account_id, row.price_micros):
                spendable[row.account_id] = spendable.get(row.account_id, 0) - row.price_micros
                paid.append(row.paid())
            elif row.expires_ms <= renewal.now_ms:
                ended.append(row)
        self._keep(transaction, [*paid, *(row.free() for row in ended)])
        self._ledger.write(transaction, [rent_of(row) for row in paid], renewal.now_ms)
        return Renewed(tuple(paid), tuple(ended))

    def _restock_many(self, transaction: Transaction, stocks: Sequence[Restocking], is_repeat: bool) -> list[None]:
        """Make a carrier's free part of the pool what it offers. What others put there stays theirs."""
        for one in stocks:
            names = [(row.number,) for row in one.offers]
            transaction.run(self._drop_offers, names, carrier=one.carrier_id)
            if one.offers:
                transaction.run(self._put_offers, [msgspec.structs.astuple(row) for row in one.offers])
        return [None] * len(stocks)

    def _locked(self, transaction: Transaction, numbers: Iterable[str]) -> dict[str, NumberRow]:
        rows = transaction.rows(self._lock, [(number,) for number in sorted(set(numbers))])
        return {row.number: row for row in rows_of(rows)}

    def _keep(self, transaction: Transaction, rows: Iterable[NumberRow]) -> None:
        values = [msgspec.structs.astuple(row) for row in rows]
        if values:
            transaction.run(self._write, values)


def reaches(spendable_micros: dict[int, int], account_id: int, price_micros: int) -> bool:
    return price_micros <= max(0, spendable_micros.get(account_id, 0))


def rent_of(row: NumberRow) -> Entry:
    """What the newest month of a rental costs."""
    return rent(row.rental_id, row.months, row.account_id, row.price_micros)


def rows_of(rows: Iterable[Row]) -> tuple[NumberRow, ...]:
    return tuple(NumberRow(*row) for row in rows)
