"""Keys of the native API as rows: by the digest of the key, so that the table is of no use to whoever reads it."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, func, or_, select, update

from chappe.core.people import ApiKey, Permission
from chappe.store.database import Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import api_key

LIST_MAX = 10_000
PERMISSIONS = {permission.value: permission for permission in Permission}


class KeyDraft(Struct, frozen=True, kw_only=True):
    """A new key; the owner has at most `count_max` that are good."""

    account_id: int
    name: str
    digest: str
    hint: str
    scopes: tuple[Permission, ...]
    is_test: bool
    now_ms: int
    count_max: int


class KeyUse(Struct, frozen=True):
    """A key was used."""

    key_id: int
    now_ms: int


class KeyEnd(Struct, frozen=True):
    """A wish that a key is good no more."""

    key_id: int
    now_ms: int


class Keys:
    """Verbs: `make` tells the key's id, 0 where its owner has too many already; `use` when it was last used, and `end`
    whether it was good until now (or was ended by this very wish)."""

    def __init__(self, database: Database) -> None:
        self.make = Verb[KeyDraft, int](4, self._make_many)
        self.use = Verb[KeyUse, None](4, self._use_many)
        self.end = Verb[KeyEnd, bool](4, self._end_many)
        columns = (
            api_key.c.id,
            api_key.c.account_id,
            api_key.c.name,
            api_key.c.hint,
            api_key.c.scopes,
            api_key.c.is_test,
            api_key.c.made_ms,
            api_key.c.used_ms,
            api_key.c.ended_ms,
        )
        is_it = api_key.c.id == bindparam("which")
        is_good = api_key.c.ended_ms == constant(0)
        self._insert = Prepared(
            database,
            database.insert(api_key)
            .values(
                account_id=bindparam("account"),
                name=bindparam("called"),
                digest=bindparam("kept"),
                hint=bindparam("shown"),
                scopes=bindparam("may"),
                is_test=bindparam("tests"),
                made_ms=bindparam("now"),
            )
            .on_conflict_do_nothing(),
        )
        self._find = Prepared(database, select(*columns).where(api_key.c.digest == bindparam("kept")))
        self._one = Prepared(database, select(*columns).where(is_it))
        self._count = Prepared(
            database,
            select(func.count()).select_from(api_key).where(api_key.c.account_id == bindparam("account"), is_good),
        )
        self._list = Prepared(
            database,
            select(*columns)
            .where(
                or_(
                    bindparam("everybody", type_=BigInteger) == constant(1),
                    api_key.c.account_id == bindparam("account"),
                )
            )
            .order_by(api_key.c.id.desc())
            .limit(constant(LIST_MAX)),
        )
        self._use = Prepared(
            database,
            update(api_key).where(is_it, api_key.c.used_ms < bindparam("now")).values(used_ms=bindparam("now")),
        )
        self._end = Prepared(database, update(api_key).where(is_it, is_good).values(ended_ms=bindparam("now")))

    def find(self, transaction: Transaction, digest: str) -> ApiKey | None:
        rows = transaction.rows(self._find, kept=digest)
        return key_of(rows[0]) if rows else None

    def one(self, transaction: Transaction, key_id: int) -> ApiKey | None:
        rows = transaction.rows(self._one, which=key_id)
        return key_of(rows[0]) if rows else None

    def of_accounts(self, transaction: Transaction, account_ids: Sequence[int] | None) -> list[ApiKey]:
        """The keys of these accounts (None = everybody's, the operators' too), the newest first."""
        if account_ids is None:
            return [key_of(row) for row in transaction.rows(self._list, everybody=1, account=0)]
        found = [
            key_of(row)
            for account_id in account_ids
            for row in transaction.rows(self._list, everybody=0, account=account_id)
        ]
        return sorted(found, key=lambda key: -key.id)

    def _make_many(self, transaction: Transaction, drafts: Sequence[KeyDraft], is_repeat: bool) -> list[int]:
        return [self._make_one(transaction, one) for one in drafts]

    def _make_one(self, transaction: Transaction, draft: KeyDraft) -> int:
        known = self.find(transaction, draft.digest)  # of an earlier commit whose answer was lost
        if known is not None:
            return known.id
        if transaction.rows(self._count, account=draft.account_id)[0][0] >= draft.count_max:
            return 0
        transaction.run(
            self._insert,
            account=draft.account_id,
            called=draft.name,
            kept=draft.digest,
            shown=draft.hint,
            may=" ".join(draft.scopes),
            tests=int(draft.is_test),
            now=draft.now_ms,
        )
        made = self.find(transaction, draft.digest)
        return made.id if made is not None else 0

    def _use_many(self, transaction: Transaction, uses: Sequence[KeyUse], is_repeat: bool) -> list[None]:
        for one in sorted(uses, key=lambda use: use.key_id):
            transaction.run(self._use, which=one.key_id, now=one.now_ms)
        return [None] * len(uses)

    def _end_many(self, transaction: Transaction, ends: Sequence[KeyEnd], is_repeat: bool) -> list[bool]:
        return [self._end_one(transaction, one, is_repeat) for one in ends]

    def _end_one(self, transaction: Transaction, end: KeyEnd, is_repeat: bool) -> bool:
        if transaction.run(self._end, which=end.key_id, now=end.now_ms):
            return True
        known = self.one(transaction, end.key_id) if is_repeat else None
        return known is not None and known.ended_ms == end.now_ms


def key_of(row: Row) -> ApiKey:
    """A scope that this version does not know gives nothing."""
    return ApiKey(
        id=row[0],
        account_id=row[1],
        name=row[2],
        hint=row[3],
        scopes=tuple(PERMISSIONS[word] for word in row[4].split() if word in PERMISSIONS),
        is_test=bool(row[5]),
        made_ms=row[6],
        used_ms=row[7],
        ended_ms=row[8],
    )
