"""Answers to requests with an Idempotency-Key, and before there is an answer, the ids of the messages it will make.

The ids are committed before anything is done under them. Whoever is asked again after a crash finds them, and makes the
same messages or finds them made.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, bindparam, delete, select, tuple_, update

from chappe.store.database import Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import kept_answer


class Intent(Struct, frozen=True, kw_only=True):
    """A request that is about to be carried out, and the ids it will use if it is the first of its key."""

    account_id: int
    key: str
    request_digest: str
    first_id: int
    now_ms: int
    oldest_ms: int  # what was kept before counts no more


class KeptAnswer(Struct, frozen=True, kw_only=True):
    """What is kept under a key: whose request, its ids, and its answer once there is one (a status)."""

    request_digest: str
    first_id: int
    made_ms: int
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


class GivenAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the request that has this id."""

    account_id: int
    key: str
    first_id: int
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


class Withdrawal(Struct, frozen=True, kw_only=True):
    """The request with this id did nothing, so that its key is free again."""

    account_id: int
    key: str
    first_id: int


class AnswerSweep(Struct, frozen=True):
    """A wish to forget up to `count_max` answers to requests made before `before_ms`."""

    before_ms: int
    count_max: int


class KeptAnswers:
    """Verbs: `begin` tells what is kept under the key from now on (its own ids: it is the first), `finish` the answer
    that counts (the first that was given), `withdraw` nothing, `sweep` how many were forgotten."""

    def __init__(self, database: Database) -> None:
        self.begin = Verb[Intent, KeptAnswer](4, self._begin_many)
        self.finish = Verb[GivenAnswer, KeptAnswer | None](4, self._finish_many)
        self.withdraw = Verb[Withdrawal, None](4, self._withdraw_many)
        self.sweep = Verb[AnswerSweep, int](4, self._sweep_many)
        is_it = (kept_answer.c.account_id == bindparam("account")) & (kept_answer.c.key == bindparam("called"))
        is_theirs = kept_answer.c.first_id == bindparam("first")
        is_open = kept_answer.c.status == constant(0)
        self._insert = Prepared(
            database,
            database.insert(kept_answer)
            .values(
                account_id=bindparam("account"),
                key=bindparam("called"),
                request_digest=bindparam("asked"),
                first_id=bindparam("first"),
                made_ms=bindparam("now"),
            )
            .on_conflict_do_nothing(),
        )
        self._find = Prepared(
            database,
            select(
                kept_answer.c.request_digest,
                kept_answer.c.first_id,
                kept_answer.c.made_ms,
                kept_answer.c.status,
                kept_answer.c.headers,
                kept_answer.c.body,
            ).where(is_it),
        )
        self._finish = Prepared(
            database,
            update(kept_answer)
            .where(is_it, is_theirs, is_open)
            .values(status=bindparam("said"), headers=bindparam("named"), body=bindparam("told")),
        )
        self._forget = Prepared(database, delete(kept_answer).where(is_it, kept_answer.c.made_ms < bindparam("oldest")))
        self._withdraw = Prepared(database, delete(kept_answer).where(is_it, is_theirs, is_open))
        key = (kept_answer.c.account_id, kept_answer.c.key)
        old = (
            select(*key)
            .where(kept_answer.c.made_ms < bindparam("before"))
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._sweep = Prepared(database, delete(kept_answer).where(tuple_(*key).in_(old)))

    def _one(self, transaction: Transaction, account_id: int, key: str) -> KeptAnswer | None:
        rows = transaction.rows(self._find, account=account_id, called=key)
        return kept_answer_of(rows[0]) if rows else None

    def _begin_many(self, transaction: Transaction, intents: Sequence[Intent], is_repeat: bool) -> list[KeptAnswer]:
        # In the order of the keys, so that two nodes never wait for each other.
        places = sorted(range(len(intents)), key=lambda place: (intents[place].account_id, intents[place].key))
        kept = {place: self._begin_one(transaction, intents[place]) for place in places}
        return [kept[place] for place in range(len(intents))]

    def _begin_one(self, transaction: Transaction, intent: Intent) -> KeptAnswer:
        transaction.run(self._forget, account=intent.account_id, called=intent.key, oldest=intent.oldest_ms)
        transaction.run(
            self._insert,
            account=intent.account_id,
            called=intent.key,
            asked=intent.request_digest,
            first=intent.first_id,
            now=intent.now_ms,
        )
        kept = self._one(transaction, intent.account_id, intent.key)
        assert kept is not None
        return kept

    def _finish_many(
        self, transaction: Transaction, answers: Sequence[GivenAnswer], is_repeat: bool
    ) -> list[KeptAnswer | None]:
        return [self._finish_one(transaction, one) for one in answers]

    def _finish_one(self, transaction: Transaction, answer: GivenAnswer) -> KeptAnswer | None:
        transaction.run(
            self._finish,
            account=answer.account_id,
            called=answer.key,
            first=answer.first_id,
            said=answer.status,
            named=msgspec.json.encode(answer.headers).decode(),
            told=answer.body,
        )
        return self._one(transaction, answer.account_id, answer.key)

    def _withdraw_many(
        self, transaction: Transaction, withdrawals: Sequence[Withdrawal], is_repeat: bool
    ) -> list[None]:
        for one in withdrawals:
            transaction.run(self._withdraw, account=one.account_id, called=one.key, first=one.first_id)
        return [None] * len(withdrawals)

    def _sweep_many(self, transaction: Transaction, sweeps: Sequence[AnswerSweep], is_repeat: bool) -> list[int]:
        return [transaction.run(self._sweep, before=one.before_ms, count_max=one.count_max) for one in sweeps]


def kept_answer_of(row: Row) -> KeptAnswer:
    return KeptAnswer(
        request_digest=row[0],
        first_id=row[1],
        made_ms=row[2],
        status=row[3],
        headers=msgspec.json.decode(row[4], type=tuple[tuple[str, str], ...]) if row[4] else (),
        body=row[5],
    )
