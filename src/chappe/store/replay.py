"""Callbacks that are to be made once more: those that ended, with all their attempts before them again.

What is pending already is left alone, so nothing is made twice at once. The attempts are counted from the beginning:
the last of them is what a callback fails for good by.
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, case, select, update

from chappe.store.database import Batch, Database, Prepared, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import callback

ENDED = ("done", "failed", "disabled")


class Replay(Struct, frozen=True, kw_only=True):
    """A wish that these callbacks are made again, as far as they are of these accounts (None = whoever's) and in one of
    these states."""

    ids: tuple[int, ...]
    account_ids: frozenset[int] | None
    now_ms: int
    states: tuple[str, ...] = ENDED


class Replays:
    """A verb: how many callbacks were made pending."""

    def __init__(self, database: Database) -> None:
        self.replay = Verb[Replay, int](3, self._replay_many, lambda item: len(item.ids))
        which = Batch(database, id=BigInteger, account_id=BigInteger, state=Text)
        is_ended = callback.c.state.in_([constant(each) for each in ENDED])
        self._replay = Prepared(
            database,
            update(callback)
            .where(
                callback.c.id == which.c.id,
                callback.c.account_id == which.c.account_id,
                callback.c.state == which.c.state,
                is_ended,
            )
            .values(state=constant("pending"), attempt=0, node_id=0, due_ms=bindparam("now")),
            which,
        )
        asked = Batch(database, id=BigInteger)
        self._look = Prepared(
            database,
            select(
                callback.c.id,
                callback.c.account_id,
                callback.c.state,
                case((callback.c.due_ms == bindparam("now"), callback.c.attempt), else_=constant(-1)),
            )
            .where(callback.c.id.in_(select(asked.c.id)))
            .order_by(callback.c.id)
            .with_for_update(),
            asked,
        )

    def _replay_many(self, transaction: Transaction, wishes: Sequence[Replay], is_repeat: bool) -> list[int]:
        return [self._replay_one(transaction, one, is_repeat) for one in wishes]

    def _replay_one(self, transaction: Transaction, wish: Replay, is_repeat: bool) -> int:
        rows = transaction.rows(self._look, [(each,) for each in sorted(set(wish.ids))], now=wish.now_ms)
        theirs = [row for row in rows if wish.account_ids is None or row[1] in wish.account_ids]
        again = [(row[0], row[1], row[2]) for row in theirs if row[2] in wish.states and row[2] in ENDED]
        earlier = [row for row in theirs if row[2] == "pending" and row[3] == 0] if is_repeat else []
        if again:
            transaction.run(self._replay, again, now=wish.now_ms)
        return len(again) + len(earlier)
