"""Requests as they came, secrets hidden, each beside its answer: for whoever looks for a mistake in what was asked.

They are written some time after their answers, and are gone after a while; nothing depends on them.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, delete, select

from chappe.core.ids import ID_MAX, made_ms
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant, kinds_of
from chappe.store.group_commit import Verb
from chappe.store.schema import kept_request

OF_SUBMISSION_MAX = 20
PAGE_MAX = 200
NAMES = tuple(str(column.name) for column in kept_request.columns)
RANK = 7  # after everything that somebody waits for


class KeptRequest(Struct, frozen=True, kw_only=True):
    """A request and what it was answered. `id` grows with time; of nobody we know the account is 0."""

    id: int
    account_id: int
    submission_id: int  # 0 = it led to none
    dialect: str
    method: str
    target: str  # path and query
    headers: tuple[tuple[str, str], ...]
    body: str
    status: int
    answer: str
    took_us: int
    expires_ms: int

    @property
    def made_ms(self) -> int:
        """When it came."""
        return made_ms(self.id)


class RequestSweep(Struct, frozen=True):
    """A wish to forget up to `count_max` requests that expired at `now_ms`, and of what is beyond the newest
    `kept_max`."""

    now_ms: int
    count_max: int
    kept_max: int


class Requests:
    def __init__(self, database: Database) -> None:
        self.keep = Verb[KeptRequest, None](RANK, self._keep_many)
        self.sweep = Verb[RequestSweep, int](RANK, self._sweep_many)
        columns = kept_request.columns
        fresh = Batch(database, **kinds_of(columns))
        self._insert = Prepared(
            database,
            database.insert(kept_request)
            .from_select([each.name for each in columns], select(fresh.table).where(TRUE))
            .on_conflict_do_nothing(),
            fresh,
        )
        self._of_submission = Prepared(
            database,
            select(*columns)
            .where(kept_request.c.submission_id == bindparam("submission"))
            .order_by(kept_request.c.id)
            .limit(OF_SUBMISSION_MAX),
        )
        page = (kept_request.c.id < bindparam("before"),)
        count = bindparam("count", type_=BigInteger)
        self._latest = Prepared(database, select(*columns).where(*page).order_by(kept_request.c.id.desc()).limit(count))
        self._latest_of = Prepared(
            database,
            select(*columns)
            .where(kept_request.c.account_id == bindparam("account"), *page)
            .order_by(kept_request.c.id.desc())
            .limit(count),
        )
        expired = (
            select(kept_request.c.id)
            .where(kept_request.c.expires_ms <= bindparam("now"))
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._forget = Prepared(database, delete(kept_request).where(kept_request.c.id.in_(expired)))
        self._beyond = Prepared(
            database,
            select(kept_request.c.id)
            .order_by(kept_request.c.id.desc())
            .limit(constant(1))
            .offset(bindparam("kept_max", type_=BigInteger)),
        )
        oldest = (
            select(kept_request.c.id)
            .where(kept_request.c.id <= bindparam("last"))
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._forget_oldest = Prepared(database, delete(kept_request).where(kept_request.c.id.in_(oldest)))

    def _keep_many(self, transaction: Transaction, requests: Sequence[KeptRequest], is_repeat: bool) -> list[None]:
        transaction.run(self._insert, [row_of(one) for one in requests])
        return [None] * len(requests)

    def _sweep_many(self, transaction: Transaction, sweeps: Sequence[RequestSweep], is_repeat: bool) -> list[int]:
        return [self._sweep(transaction, one) for one in sweeps]

    def _sweep(self, transaction: Transaction, sweep: RequestSweep) -> int:
        count = transaction.run(self._forget, now=sweep.now_ms, count_max=sweep.count_max)
        beyond = transaction.rows(self._beyond, kept_max=sweep.kept_max)
        if beyond:
            count += transaction.run(self._forget_oldest, last=beyond[0][0], count_max=sweep.count_max)
        return count

    def of_submission(self, transaction: Transaction, submission_id: int) -> list[KeptRequest]:
        """The requests that led to a submission, whoever's, the first one first."""
        rows = transaction.rows(self._of_submission, submission=submission_id) if submission_id else []
        return [request_of(row) for row in rows]

    def latest(
        self, transaction: Transaction, account_ids: frozenset[int] | None, before_id: int = 0, count: int = 50
    ) -> list[KeptRequest]:
        """The newest requests, or those before one; of these accounts, None = of everybody and nobody."""
        page = {"before": before_id or ID_MAX, "count": max(0, min(count, PAGE_MAX))}
        if account_ids is None:
            return [request_of(row) for row in transaction.rows(self._latest, **page)]
        found = [
            request_of(row)
            for account_id in account_ids
            for row in transaction.rows(self._latest_of, **page, account=account_id)
        ]
        return sorted(found, key=lambda one: one.id, reverse=True)[: page["count"]]


def row_of(one: KeptRequest) -> tuple[object, ...]:
    """In the order of the table's columns."""
    fields = msgspec.structs.asdict(one) | {"headers": msgspec.json.encode(one.headers).decode()}
    return tuple(fields[name] for name in NAMES)


def request_of(row: Sequence[object]) -> KeptRequest:
    fields = dict(zip(NAMES, row, strict=True))
    return msgspec.convert(fields | {"headers": msgspec.json.decode(str(fields["headers"]))}, KeptRequest)
