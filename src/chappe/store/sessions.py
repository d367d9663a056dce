"""Sessions as rows: by the digest of their key, so that the table is of no use to whoever reads it.

What a node knows of its sessions is in its memory; the rows are for the other nodes and for the next start.
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, func, select, update

from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import session

PER_ACCOUNT_MAX = 1_000


class Opening(Struct, frozen=True):
    """A new session."""

    digest: str
    account_id: int
    now_ms: int


class Use(Struct, frozen=True):
    """A session was used."""

    digest: str
    used_ms: int


class SessionRow(Struct, frozen=True):
    """A session as stored; `used_ms` may be older than its last use."""

    account_id: int
    used_ms: int


class Sessions:
    """Verbs: `open` tells the digests of the account's sessions that had to go, `renew` whether the session is still
    there, `sweep` (an instant) how many sessions were last used before it."""

    def __init__(self, database: Database) -> None:
        opened = Batch(database, digest=Text, account_id=BigInteger, used_ms=BigInteger)
        self._insert = Prepared(
            database,
            database.insert(session)
            .from_select([column.name for column in opened.c], select(opened.table).where(TRUE))
            .on_conflict_do_nothing(),
            opened,
        )
        accounts = Batch(database, account_id=BigInteger)
        place = func.row_number().over(
            partition_by=session.c.account_id, order_by=(session.c.used_ms.desc(), session.c.digest)
        )
        placed = (
            select(session.c.digest, place.label("place"))
            .where(session.c.account_id.in_(select(accounts.c.account_id)))
            .subquery()
        )
        beyond = select(placed.c.digest).where(placed.c.place > constant(PER_ACCOUNT_MAX))
        self._trim = Prepared(
            database,
            delete(session).where(session.c.digest.in_(beyond)).returning(session.c.account_id, session.c.digest),
            accounts,
        )
        uses = Batch(database, digest=Text, used_ms=BigInteger)
        self._use = Prepared(
            database,
            update(session)
            .where(session.c.digest == uses.c.digest, session.c.used_ms < uses.c.used_ms)
            .values(used_ms=uses.c.used_ms),
            uses,
        )
        digests = Batch(database, digest=Text)
        self._present = Prepared(
            database, select(session.c.digest).where(session.c.digest.in_(select(digests.c.digest))), digests
        )
        self._sweep = Prepared(database, delete(session).where(session.c.used_ms < bindparam("before_ms")))
        self._find = Prepared(
            database,
            select(session.c.account_id, session.c.used_ms).where(session.c.digest == bindparam("wanted")),
        )
        self.open = Verb(4, self._open_many)
        self.renew = Verb(4, self._renew_many)
        self.sweep = Verb(4, self._sweep_many)

    def find(self, transaction: Transaction, digest: str) -> SessionRow | None:
        rows = transaction.rows(self._find, wanted=digest)
        return SessionRow(*rows[0]) if rows else None

    def _open_many(
        self, transaction: Transaction, openings: Sequence[Opening], _is_repeat: bool
    ) -> list[tuple[str, ...]]:
        transaction.run(self._insert, [(one.digest, one.account_id, one.now_ms) for one in openings])
        gone: dict[int, list[str]] = {}
        for account_id, digest in transaction.rows(
            self._trim, [(each,) for each in {one.account_id for one in openings}]
        ):
            gone.setdefault(account_id, []).append(digest)
        return [tuple(gone.get(one.account_id, ())) for one in openings]

    def _renew_many(self, transaction: Transaction, uses: Sequence[Use], _is_repeat: bool) -> list[bool]:
        rows = sorted((one.digest, one.used_ms) for one in uses)
        transaction.run(self._use, rows)
        present = {row[0] for row in transaction.rows(self._present, [(digest,) for digest, _ in rows])}
        return [one.digest in present for one in uses]

    def _sweep_many(self, transaction: Transaction, before: Sequence[int], _is_repeat: bool) -> list[int]:
        return [transaction.run(self._sweep, before_ms=each) for each in before]
