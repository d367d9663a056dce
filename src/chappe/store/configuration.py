"""The configuration as rows: what `chappe apply` writes and every running server reads.

Any change raises one number, the revision, which servers look at often and cheaply; they read the rest only when it
moved. Accounts and carriers are never deleted, because messages refer to them: what vanishes from the gateway file is
set inactive, and returns under its old id. What only the gateway understands is one JSON text per row.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Integer, Text, bindparam, delete, insert, literal_column, select, update

from chappe.core.ledger import Kind, entry
from chappe.core.phonebook import APPROVED
from chappe.store.database import Batch, Database, Prepared, Transaction, constant
from chappe.store.group_commit import REVISION_RANK, Verb
from chappe.store.money import Ledger
from chappe.store.numbers import NumberRow, Pool
from chappe.store.schema import account, alias, balance, carrier, disabled_url, revision, route


class AccountRow(Struct, frozen=True, kw_only=True):
    """An account as stored. `settings` is JSON; `limit_micros` is how far its money may go down (negative = credit)."""

    id: int
    name: str
    password_hash: str
    token_sealed: str
    settings: str
    is_active: bool
    limit_micros: int


class NewPassword(Struct, frozen=True, kw_only=True):
    """What an account proves itself with from now on."""

    account_id: int
    password_hash: str
    token_sealed: str


class CarrierRow(Struct, frozen=True, kw_only=True):
    """A carrier as stored. `settings` is JSON."""

    id: int
    name: str
    kind: str
    password_sealed: str
    settings: str
    is_active: bool


class RouteRow(Struct, frozen=True, kw_only=True):
    """A route as stored; an empty service stands for every service class."""

    prefix: str
    service: str
    carrier_ids: tuple[int, ...]
    price_micros: int


class StoredConfiguration(Struct, frozen=True, kw_only=True):
    """Everything that is configured, inactive accounts and carriers included."""

    revision: int = 0
    accounts: tuple[AccountRow, ...] = ()
    carriers: tuple[CarrierRow, ...] = ()
    routes: tuple[RouteRow, ...] = ()
    disabled_urls: frozenset[tuple[int, str]] = frozenset()  # (account id, URL) that answered 410 Gone
    approved_senders: tuple[tuple[int, str], ...] = ()  # (account id, sender) of approved aliases, the oldest first
    rented: tuple[NumberRow, ...] = ()  # numbers that have an owner
    pool: tuple[NumberRow, ...] = ()  # numbers that the gateway file lends; only where they were asked for


class Configuration:
    """Verb: `change_password`, for servers; the rest of what is written here is written by `chappe apply` and by other
    verbs within their own transactions."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._ledger = ledger
        self.pool = Pool(database)
        self._revision = Prepared(database, select(revision.c.revision).where(revision.c.id == constant(1)))
        self._accounts = Prepared(
            database,
            select(
                account.c.id,
                account.c.name,
                account.c.password_hash,
                account.c.token_sealed,
                account.c.settings,
                account.c.is_active,
                balance.c.limit_micros,
            )
            .outerjoin_from(account, balance, balance.c.account_id == account.c.id)
            .order_by(account.c.id),
        )
        self._carriers = Prepared(database, select(*carrier.columns).order_by(carrier.c.id))
        self._routes = Prepared(database, select(*route.columns).order_by(route.c.prefix, route.c.service))
        self._disabled = Prepared(database, select(disabled_url.c.account_id, disabled_url.c.url))
        is_approved = alias.c.state.in_([constant(state.value) for state in sorted(APPROVED)])
        self._approved = Prepared(
            database, select(alias.c.account_id, alias.c.sender).where(is_approved).order_by(alias.c.id)
        )
        new_account = database.insert(account).values(
            name=bindparam("called"),
            password_hash=bindparam("hashed"),
            token_sealed=bindparam("sealed"),
            settings=bindparam("written"),
            is_active=constant(1),
        )
        self._put_account = Prepared(
            database,
            new_account.on_conflict_do_update(
                index_elements=["name"],
                set_={
                    name: new_account.excluded[name]
                    for name in ("password_hash", "token_sealed", "settings", "is_active")
                },
            ).returning(account.c.id),
        )
        new_carrier = database.insert(carrier).values(
            name=bindparam("called"),
            kind=bindparam("of_kind"),
            password_sealed=bindparam("sealed"),
            settings=bindparam("written"),
            is_active=constant(1),
        )
        self._put_carrier = Prepared(
            database,
            new_carrier.on_conflict_do_update(
                index_elements=["name"],
                set_={
                    name: new_carrier.excluded[name] for name in ("kind", "password_sealed", "settings", "is_active")
                },
            ).returning(carrier.c.id),
        )
        self._end_account, self._end_carrier = (
            Prepared(database, update(table).where(table.c.name == bindparam("called")).values(is_active=constant(0)))
            for table in (account, carrier)
        )
        self._set_password = Prepared(
            database,
            update(account)
            .where(account.c.id == bindparam("whose"))
            .values(password_hash=bindparam("hashed"), token_sealed=bindparam("sealed")),
        )
        new_balance = database.insert(balance).values(account_id=bindparam("whose"), limit_micros=bindparam("down_to"))
        self._open_balance = Prepared(database, new_balance.on_conflict_do_nothing())
        self._set_limit = Prepared(
            database,
            update(balance).where(balance.c.account_id == bindparam("whose")).values(limit_micros=bindparam("down_to")),
        )
        self._enable_urls = Prepared(
            database, delete(disabled_url).where(disabled_url.c.account_id == bindparam("whose"))
        )
        routes = Batch(database, prefix=Text, service=Text, carriers=Text, price_micros=BigInteger)
        self._drop_routes = Prepared(database, delete(route))
        self._insert_routes = Prepared(
            database, insert(route).from_select([column.name for column in routes.c], select(routes.table)), routes
        )
        first = database.insert(revision).values(id=constant(1), revision=constant(1))
        self._raise = Prepared(
            database,
            first.on_conflict_do_update(
                index_elements=["id"], set_={"revision": revision.c.revision + literal_column("1", Integer)}
            ).returning(revision.c.revision),
        )

        self.change_password = Verb(REVISION_RANK, self._change_passwords)

    # Reading

    def revision(self, transaction: Transaction) -> int:
        """How often the configuration has changed; 0 for an empty one."""
        rows = transaction.rows(self._revision)
        return int(rows[0][0]) if rows else 0

    def load(self, transaction: Transaction, *, with_pool: bool = False) -> StoredConfiguration:
        return StoredConfiguration(
            revision=self.revision(transaction),
            accounts=tuple(
                AccountRow(
                    id=row[0],
                    name=row[1],
                    password_hash=row[2],
                    token_sealed=row[3],
                    settings=row[4],
                    is_active=bool(row[5]),
                    limit_micros=row[6] or 0,
                )
                for row in transaction.rows(self._accounts)
            ),
            carriers=tuple(
                CarrierRow(
                    id=row[0],
                    name=row[1],
                    kind=row[2],
                    password_sealed=row[3],
                    settings=row[4],
                    is_active=bool(row[5]),
                )
                for row in transaction.rows(self._carriers)
            ),
            routes=tuple(
                RouteRow(
                    prefix=row[0],
                    service=row[1],
                    carrier_ids=tuple(map(int, row[2].split(","))) if row[2] else (),
                    price_micros=row[3],
                )
                for row in transaction.rows(self._routes)
            ),
            disabled_urls=frozenset((row[0], row[1]) for row in transaction.rows(self._disabled)),
            approved_senders=tuple((row[0], row[1]) for row in transaction.rows(self._approved)),
            rented=self.pool.owned(transaction),
            pool=self.pool.of_file(transaction) if with_pool else (),
        )

    def load_newer(self, transaction: Transaction, than: int) -> StoredConfiguration | None:
        """The configuration if it is not of this revision; else None, at the cost of one row."""
        return self.load(transaction) if self.revision(transaction) != than else None

    # Writing

    def put_account(
        self, transaction: Transaction, *, name: str, password_hash: str, token_sealed: str, settings: str
    ) -> int:
        """Add an account, or restate the one of that name; its id. URLs that had answered 410 Gone are called again."""
        rows = transaction.rows(
            self._put_account, called=name, hashed=password_hash, sealed=token_sealed, written=settings
        )
        account_id: int = rows[0][0]
        transaction.run(self._enable_urls, whose=account_id)
        return account_id

    def set_password(self, transaction: Transaction, account_id: int, password_hash: str, token_sealed: str) -> None:
        transaction.run(self._set_password, whose=account_id, hashed=password_hash, sealed=token_sealed)

    def _change_passwords(
        self, transaction: Transaction, wishes: Sequence[NewPassword], _is_repeat: bool
    ) -> list[None]:
        self.raise_revision(transaction)
        for wish in wishes:
            self.set_password(transaction, wish.account_id, wish.password_hash, wish.token_sealed)
        return [None] * len(wishes)

    def open_balance(
        self, transaction: Transaction, account_id: int, *, opening_micros: int, limit_micros: int, now_ms: int
    ) -> bool:
        """Give an account its purse, with the opening credit; where it has one already, only the limit changes (False).

        The opening credit's source is the account's own id, so that the ledger's key refuses a second one.
        """
        if transaction.run(self._open_balance, whose=account_id, down_to=limit_micros) == 0:
            transaction.run(self._set_limit, whose=account_id, down_to=limit_micros)
            return False
        self._ledger.write(transaction, [entry(Kind.CREDIT, account_id, account_id, opening_micros)], now_ms)
        return True

    def put_carrier(
        self, transaction: Transaction, *, name: str, kind: str, password_sealed: str, settings: str
    ) -> int:
        """Add a carrier, or restate the one of that name; its id."""
        rows = transaction.rows(self._put_carrier, called=name, of_kind=kind, sealed=password_sealed, written=settings)
        carrier_id: int = rows[0][0]
        return carrier_id

    def end_account(self, transaction: Transaction, name: str) -> None:
        """Let nobody log in under this name any more; its messages and money stay."""
        transaction.run(self._end_account, called=name)

    def end_carrier(self, transaction: Transaction, name: str) -> None:
        """Send nothing more through this carrier; its receipts still find their messages."""
        transaction.run(self._end_carrier, called=name)

    def put_routes(self, transaction: Transaction, routes: Iterable[RouteRow]) -> None:
        """These and no others: nothing refers to a route."""
        transaction.run(self._drop_routes)
        rows = [(one.prefix, one.service, ",".join(map(str, one.carrier_ids)), one.price_micros) for one in routes]
        if rows:
            transaction.run(self._insert_routes, rows)

    def raise_revision(self, transaction: Transaction) -> int:
        """Tell every running server that something changed; the new revision."""
        rows = transaction.rows(self._raise)
        raised: int = rows[0][0]
        return raised
