"""What the configuration was after each change, so that one can see who changed what, and go back.

Everything that `chappe apply` and the panel change is one verb, `rewrite`: it writes the rows and, in the same
transaction, a version. A version holds only the rows that it changed; what was in force at one is those of all up to
it, laid over each other, and the oldest that is kept is whole. Rows that others changed meanwhile (accounts set their
own passwords) are taken into the next version, so that each one is exact when it is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, func, insert, select, update

from chappe.store.configuration import AccountRow, CarrierRow, Configuration, RouteRow, StoredConfiguration
from chappe.store.database import Database, Prepared, StoreError, Transaction, constant
from chappe.store.group_commit import REVISION_RANK, Verb
from chappe.store.numbers import NumberRow
from chappe.store.schema import configuration_version as version

VERSIONS_MAX = 1_000
PRUNED_TOGETHER = 50  # the oldest is whole, and may be large: it is not written anew with each change
BEFORE = "chappe"  # the author of the first version, which nobody made
BEFORE_REMARK = "as it was before the first version"

Row = TypeVar("Row", AccountRow, CarrierRow, RouteRow, NumberRow)


class Overtaken(StoreError):
    """Somebody else changed the configuration between the look and the write; nothing was written."""


class AccountPut(Struct, frozen=True, kw_only=True):
    """An account to be added or restated. The opening balance is credited where it has no purse yet."""

    name: str
    password_hash: str
    token_sealed: str
    settings: str
    opening_micros: int = 0
    limit_micros: int = 0


class CarrierPut(Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    password_sealed: str
    settings: str


class RoutePut(Struct, frozen=True, kw_only=True):
    """Carriers by name: some are made in the same transaction."""

    prefix: str
    service: str
    carriers: tuple[str, ...]
    price_micros: int


class NumberPut(Struct, frozen=True, kw_only=True):
    number: str
    country: str
    price_micros: int
    carrier: str  # empty = any


class Rewrite(Struct, frozen=True, kw_only=True):
    """A change of the configuration, everything slow done. `revision` is the one that it was planned on: where it is no
    longer the latest, nothing is written. `changes` is JSON, for people."""

    revision: int
    now_ms: int
    author: str
    remark: str = ""
    changes: str = "[]"
    accounts: tuple[AccountPut, ...] = ()
    ended_accounts: tuple[str, ...] = ()
    carriers: tuple[CarrierPut, ...] = ()
    ended_carriers: tuple[str, ...] = ()
    routes: tuple[RoutePut, ...] | None = None  # None = as they are; else these and no others
    numbers: tuple[NumberPut, ...] | None = None  # likewise, of the file's part of the pool


class VersionRow(Struct, frozen=True, kw_only=True):
    """A version as it is listed. `changes` is JSON."""

    revision: int
    made_ms: int
    author: str
    remark: str
    changes: str


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows as they became, by name; None = there is none any more. Only what is in force, and no subaccounts."""

    accounts: dict[str, AccountRow | None] = {}
    carriers: dict[str, CarrierRow | None] = {}
    routes: dict[str, RouteRow | None] = {}
    numbers: dict[str, NumberRow | None] = {}
    own_passwords: tuple[str, ...] = ()  # accounts that had set theirs themselves since the version before

    @property
    def is_empty(self) -> bool:
        return not (self.accounts or self.carriers or self.routes or self.numbers)


class Standing(Struct, kw_only=True):
    """What is in force, by name, and whose passwords in it they chose themselves."""

    accounts: dict[str, AccountRow] = msgspec.field(default_factory=dict)
    carriers: dict[str, CarrierRow] = msgspec.field(default_factory=dict)
    routes: dict[str, RouteRow] = msgspec.field(default_factory=dict)
    numbers: dict[str, NumberRow] = msgspec.field(default_factory=dict)
    own_passwords: set[str] = msgspec.field(default_factory=set)

    def follow(self, content: Content) -> None:
        """Take in the next version."""
        own = set(content.own_passwords)
        for name, row in content.accounts.items():
            before = self.accounts.get(name)
            if name in own:
                self.own_passwords.add(name)
            elif row is None or before is None or row.password_hash != before.password_hash:
                self.own_passwords.discard(name)
        lay_over(self.accounts, content.accounts)
        lay_over(self.carriers, content.carriers)
        lay_over(self.routes, content.routes)
        lay_over(self.numbers, content.numbers)


class Versions:
    """Verb: `rewrite` tells the new revision. Raises Overtaken."""

    def __init__(self, database: Database, configuration: Configuration) -> None:
        self._configuration = configuration
        listed = (version.c.revision, version.c.made_ms, version.c.author, version.c.remark, version.c.changes)
        is_it = version.c.revision == bindparam("which")
        self._put = Prepared(
            database,
            insert(version).values(
                revision=bindparam("which"),
                made_ms=bindparam("now"),
                author=bindparam("by"),
                remark=bindparam("said"),
                changes=bindparam("what"),
                content=bindparam("rows"),
            ),
        )
        self._list = Prepared(
            database,
            select(*listed)
            .where(version.c.revision < bindparam("before", type_=BigInteger))
            .order_by(version.c.revision.desc())
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._one = Prepared(database, select(*listed).where(is_it))
        self._contents = Prepared(
            database,
            select(version.c.content)
            .where(version.c.revision <= bindparam("until", type_=BigInteger))
            .order_by(version.c.revision),
        )
        self._moment = Prepared(
            database,
            select(func.max(version.c.revision)).where(version.c.made_ms <= bindparam("at", type_=BigInteger)),
        )
        self._count = Prepared(database, select(func.count()).select_from(version))
        self._nth = Prepared(
            database,
            select(version.c.revision)
            .order_by(version.c.revision.desc())
            .limit(constant(1))
            .offset(bindparam("skipped", type_=BigInteger)),
        )
        self._drop = Prepared(
            database, delete(version).where(version.c.revision < bindparam("oldest", type_=BigInteger))
        )
        self._set_content = Prepared(
            database, update(version).where(is_it).values(content=bindparam("rows", type_=Text))
        )
        self.rewrite = Verb(REVISION_RANK, self._rewrite_many)

    # Reading

    def page(self, transaction: Transaction, before: int, count_max: int) -> list[VersionRow]:
        """Newest first, of smaller revisions than `before`."""
        count_max = min(count_max, VERSIONS_MAX)
        return [version_of(row) for row in transaction.rows(self._list, before=before, count_max=count_max)]

    def find(self, transaction: Transaction, revision: int) -> VersionRow | None:
        rows = transaction.rows(self._one, which=revision)
        return version_of(rows[0]) if rows else None

    def standing(self, transaction: Transaction, revision: int) -> Standing:
        """What was in force at a revision: at that version, or the last before it."""
        standing = Standing()
        for (content,) in transaction.rows(self._contents, until=revision):
            standing.follow(msgspec.json.decode(content, type=Content))
        return standing

    def in_force(self, transaction: Transaction, made_ms: int) -> int:
        """The newest version that was there at an instant; 0 where none reaches back so far."""
        return transaction.rows(self._moment, at=made_ms)[0][0] or 0

    # Writing

    def _rewrite_many(self, transaction: Transaction, wishes: Sequence[Rewrite], is_repeat: bool) -> list[int]:
        return [self.rewrite_one(transaction, wish, is_repeat=is_repeat) for wish in wishes]

    def rewrite_one(self, transaction: Transaction, wish: Rewrite, *, is_repeat: bool = False) -> int:
        """Raising the revision first locks it: whoever else changes something waits, and then sees it was overtaken."""
        revision = self._configuration.raise_revision(transaction)
        if revision != wish.revision + 1:
            if is_repeat and self._is_done(transaction, wish):
                return wish.revision + 1
            raise Overtaken("the configuration was changed meanwhile")
        latest = self.standing(transaction, revision)
        before = standing_of(self._configuration.load(transaction, with_pool=True))
        if not transaction.rows(self._count)[0][0] and revision > 1:
            self._keep(transaction, revision - 1, wish.now_ms, BEFORE, BEFORE_REMARK, "[]", difference(latest, before))
            latest = before
        self._write(transaction, wish)
        after = standing_of(self._configuration.load(transaction, with_pool=True))
        own = own_passwords(latest, before, after)
        content = msgspec.structs.replace(difference(latest, after), own_passwords=own)
        self._keep(transaction, revision, wish.now_ms, wish.author, wish.remark, wish.changes, content)
        self._prune(transaction)
        return revision

    def _is_done(self, transaction: Transaction, wish: Rewrite) -> bool:
        """Whether a commit whose answer was lost did this."""
        row = self.find(transaction, wish.revision + 1)
        return row is not None and (row.made_ms, row.author, row.remark, row.changes) == (
            wish.now_ms,
            wish.author,
            wish.remark,
            wish.changes,
        )

    def _write(self, transaction: Transaction, wish: Rewrite) -> None:
        configuration = self._configuration
        for one in wish.carriers:
            configuration.put_carrier(
                transaction,
                name=one.name,
                kind=one.kind,
                password_sealed=one.password_sealed,
                settings=one.settings,
            )
        for each in wish.accounts:
            account_id = configuration.put_account(
                transaction,
                name=each.name,
                password_hash=each.password_hash,
                token_sealed=each.token_sealed,
                settings=each.settings,
            )
            configuration.open_balance(
                transaction,
                account_id,
                opening_micros=each.opening_micros,
                limit_micros=each.limit_micros,
                now_ms=wish.now_ms,
            )
        for name in wish.ended_accounts:
            configuration.end_account(transaction, name)
        for name in wish.ended_carriers:
            configuration.end_carrier(transaction, name)
        if wish.routes is None and wish.numbers is None:
            return
        ids = {row.name: row.id for row in configuration.load(transaction).carriers}
        if wish.routes is not None:
            configuration.put_routes(transaction, [route_row(route, ids) for route in wish.routes])
        if wish.numbers is not None:
            configuration.pool.put_file(transaction, [number_row(number, ids) for number in wish.numbers])

    def _keep(
        self,
        transaction: Transaction,
        revision: int,
        now_ms: int,
        author: str,
        remark: str,
        changes: str,
        content: Content,
    ) -> None:
        transaction.run(
            self._put,
            which=revision,
            now=now_ms,
            by=author,
            said=remark,
            what=changes,
            rows=msgspec.json.encode(content).decode(),
        )

    def _prune(self, transaction: Transaction) -> None:
        """Let the oldest go, and make the one after them whole."""
        if transaction.rows(self._count)[0][0] < VERSIONS_MAX + PRUNED_TOGETHER:
            return
        oldest = transaction.rows(self._nth, skipped=VERSIONS_MAX - 1)[0][0]
        standing = self.standing(transaction, oldest)
        whole = difference(Standing(), standing)
        whole = msgspec.structs.replace(whole, own_passwords=tuple(sorted(standing.own_passwords)))
        transaction.run(self._set_content, which=oldest, rows=msgspec.json.encode(whole).decode())
        transaction.run(self._drop, oldest=oldest)


def version_of(row: Sequence[object]) -> VersionRow:
    return msgspec.convert(dict(zip(VersionRow.__struct_fields__, row, strict=True)), type=VersionRow, strict=False)


def standing_of(stored: StoredConfiguration) -> Standing:
    """What is in force, without the subaccounts: they are their parents' business."""
    return Standing(
        accounts={row.name: row for row in stored.accounts if row.is_active and not is_subaccount(row)},
        carriers={row.name: row for row in stored.carriers if row.is_active},
        routes={f"{row.prefix} {row.service}".strip(): row for row in stored.routes},
        numbers={row.number: stock_of(row) for row in stored.pool},
    )


class Parentage(Struct, frozen=True):
    """What of an account's settings tells whose it is."""

    parent_id: int = 0


def is_subaccount(row: AccountRow) -> bool:
    return msgspec.json.decode(row.settings, type=Parentage).parent_id > 0


def stock_of(row: NumberRow) -> NumberRow:
    """What the file says of a number; who rents it is not the configuration's business."""
    return NumberRow(number=row.number, country=row.country, price_micros=row.price_micros, carrier_id=row.carrier_id)


def difference(before: Standing, after: Standing) -> Content:
    """What one has to be told to come from one to the other."""
    return Content(
        accounts=dict(changed(before.accounts, after.accounts)),
        carriers=dict(changed(before.carriers, after.carriers)),
        routes=dict(changed(before.routes, after.routes)),
        numbers=dict(changed(before.numbers, after.numbers)),
    )


def changed(before: Mapping[str, Row], after: Mapping[str, Row]) -> Iterator[tuple[str, Row | None]]:
    for name, row in after.items():
        if before.get(name) != row:
            yield name, row
    for name in before:
        if name not in after:
            yield name, None


def lay_over(rows: dict[str, Row], changes: Mapping[str, Row | None]) -> None:
    for name, row in changes.items():
        if row is None:
            rows.pop(name, None)
        else:
            rows[name] = row


def own_passwords(latest: Standing, before: Standing, after: Standing) -> tuple[str, ...]:
    """Accounts whose password was set by nobody's version, and is not set by the one that is being written."""
    return tuple(
        name
        for name, row in after.accounts.items()
        if name in latest.accounts
        and name in before.accounts
        and row.password_hash == before.accounts[name].password_hash != latest.accounts[name].password_hash
    )


def route_row(wish: RoutePut, carrier_ids: Mapping[str, int]) -> RouteRow:
    return RouteRow(
        prefix=wish.prefix,
        service=wish.service,
        carrier_ids=tuple(carrier_ids[name] for name in wish.carriers),
        price_micros=wish.price_micros,
    )


def number_row(wish: NumberPut, carrier_ids: Mapping[str, int]) -> NumberRow:
    return NumberRow(
        number=wish.number,
        country=wish.country,
        price_micros=wish.price_micros,
        carrier_id=carrier_ids[wish.carrier] if wish.carrier else 0,
    )
