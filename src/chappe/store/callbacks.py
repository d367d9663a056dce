"""Callbacks are rows: written with the change they tell of, claimed with the next time already set, closed by a result.

A new callback is born claimed by the node that writes it, which will make the first attempt at once; should that node
die, the row comes due again like any other.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, insert, select, update

from chappe.core.model import Message, State
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.nodes import Node
from chappe.store.schema import callback, disabled_url, revision


class CallbackDraft(Struct, frozen=True, kw_only=True):
    """Somebody is to be told something. `payload` is the JSON of a core.model.Report or Inbound; an empty `url` stands
    for where the account's callbacks of this kind go."""

    id: int
    account_id: int
    message_id: int
    kind: str
    dialect: str
    payload: str
    url: str = ""


class DueCallback(Struct, frozen=True, kw_only=True):
    """A callback to be made now, by whoever claimed it as this attempt."""

    id: int
    account_id: int
    message_id: int
    kind: str
    dialect: str
    payload: str
    attempt: int
    due_ms: int  # when it comes due again if nothing is heard of this attempt
    url: str = ""


class CallbackClaim(Struct, frozen=True):
    """A wish for up to `count_max` callbacks that are due; they come due again at `again_ms`."""

    count_max: int
    now_ms: int
    again_ms: int


class CallbackResult(Struct, frozen=True, kw_only=True):
    """How an attempt went. `state` is pending (again at `due_ms`), done, failed or disabled."""

    id: int
    attempt: int
    state: str
    due_ms: int
    status: int = 0
    detail: str = ""
    is_tried: bool = True  # False where the attempt was put off unmade: it does not count


class DisabledUrl(Struct, frozen=True):
    """An account's URL that answered 410 Gone."""

    account_id: int
    url: str
    now_ms: int


COLUMNS = (
    callback.c.id,
    callback.c.account_id,
    callback.c.message_id,
    callback.c.kind,
    callback.c.dialect,
    callback.c.payload,
    callback.c.attempt,
    callback.c.due_ms,
    callback.c.url,
)
PENDING = constant("pending")


Change = tuple[Message, State, str]  # a message, the state it came into, and what is kept as its detail
Plan = Callable[[Message, State, str], CallbackDraft | None]
FIRST_RETRY_S = 30


def tell_nobody(one: Message, state: State, detail: str) -> None:
    """The plan of a store that has no gateway around it."""


class Callbacks:
    def __init__(self, database: Database, node: Node) -> None:
        self._node = node
        self.plan: Plan = tell_nobody  # who is to be told that a message came into a state, in which words
        drafts = Batch(
            database,
            id=BigInteger,
            account_id=BigInteger,
            message_id=BigInteger,
            kind=Text,
            dialect=Text,
            payload=Text,
            url=Text,
            node_id=BigInteger,
            due_ms=BigInteger,
            attempt=BigInteger,
        )
        names = [*(column.name for column in drafts.c), "state"]
        self._insert = Prepared(database, insert(callback).from_select(names, select(*drafts.c, PENDING)), drafts)
        due = (
            select(callback.c.id)
            .where(callback.c.state == PENDING, callback.c.due_ms <= bindparam("now"))
            .order_by(callback.c.due_ms)
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._claim = Prepared(
            database,
            update(callback)
            .where(callback.c.id.in_(due))
            .values(attempt=callback.c.attempt + 1, due_ms=bindparam("again"), node_id=bindparam("node"))
            .returning(*COLUMNS),
        )
        results = Batch(
            database,
            id=BigInteger,
            attempt=BigInteger,
            state=Text,
            due_ms=BigInteger,
            status=BigInteger,
            detail=Text,
            tries=BigInteger,
        )
        self._record = Prepared(
            database,
            update(callback)
            .where(
                callback.c.id == results.c.id,
                callback.c.attempt == results.c.attempt,
                callback.c.state == PENDING,
            )
            .values(
                state=results.c.state,
                due_ms=results.c.due_ms,
                status=results.c.status,
                detail=results.c.detail,
                attempt=callback.c.attempt - 1 + results.c.tries,
                node_id=0,
            ),
            results,
        )
        self._raise_revision = Prepared(database, update(revision).values(revision=revision.c.revision + 1))
        urls = Batch(database, account_id=BigInteger, url=Text, disabled_ms=BigInteger)
        self._disable = Prepared(
            database,
            database.insert(disabled_url)
            .from_select([column.name for column in urls.c], select(urls.table).where(TRUE))
            .on_conflict_do_nothing(),
            urls,
        )
        self._release = Prepared(
            database,
            update(callback)
            .where(callback.c.state == PENDING, callback.c.node_id == bindparam("node"))
            .values(node_id=0, due_ms=bindparam("now")),
        )

    def announce(
        self, transaction: Transaction, changes: Sequence[Change], now_ms: int
    ) -> dict[int, tuple[DueCallback, ...]]:
        """Write the callbacks that changes of state call for, claimed by this node for their first attempt; by
        message."""
        announced: dict[int, tuple[DueCallback, ...]] = {}
        for one in self.write(transaction, self._planned(changes), now_ms):
            announced[one.message_id] = (*announced.get(one.message_id, ()), one)
        return announced

    def leave(self, transaction: Transaction, changes: Sequence[Change], now_ms: int) -> None:
        """Write the same for whichever node looks next, where nobody waits for them."""
        drafts = self._planned(changes)
        if drafts:
            transaction.run(self._insert, [row_of(one, 0, now_ms, 0) for one in drafts])

    def write(self, transaction: Transaction, drafts: Sequence[CallbackDraft], now_ms: int) -> list[DueCallback]:
        """Write callbacks, claimed by this node for their first attempt; a process that is no node leaves that to
        whichever looks next."""
        if not drafts:
            return []
        if not self._node.id:
            transaction.run(self._insert, [row_of(one, 0, now_ms, 0) for one in drafts])
            return []
        again_ms = now_ms + FIRST_RETRY_S * 1000
        transaction.run(self._insert, [row_of(one, self._node.id, again_ms, 1) for one in drafts])
        return [first_attempt(one, again_ms) for one in drafts]

    def _planned(self, changes: Sequence[Change]) -> list[CallbackDraft]:
        planned = (self.plan(one, state, detail) for one, state, detail in changes if one.wants_callbacks)
        return [draft for draft in planned if draft is not None]

    def claim_many(
        self, transaction: Transaction, claims: Sequence[CallbackClaim], is_repeat: bool
    ) -> list[list[DueCallback]]:
        return [
            [
                due_callback(row)
                for row in transaction.rows(
                    self._claim, now=one.now_ms, count_max=one.count_max, again=one.again_ms, node=self._node.id
                )
            ]
            for one in claims
        ]

    def record_many(self, transaction: Transaction, results: Sequence[CallbackResult], is_repeat: bool) -> list[None]:
        """Close attempts; a result whose attempt is no longer the latest changes nothing."""
        rows = [
            (one.id, one.attempt, one.state, one.due_ms, one.status, one.detail, int(one.is_tried)) for one in results
        ]
        transaction.run(self._record, rows)
        return [None] * len(results)

    def disable_many(self, transaction: Transaction, urls: Sequence[DisabledUrl], is_repeat: bool) -> list[None]:
        transaction.run(self._raise_revision)  # so that every node looks at the configuration anew
        transaction.run(self._disable, [(one.account_id, one.url, one.now_ms) for one in urls])
        return [None] * len(urls)

    def release(self, transaction: Transaction, node_id: int, now_ms: int) -> int:
        """Make what a dead node had claimed due again."""
        return transaction.run(self._release, node=node_id, now=now_ms)


def row_of(one: CallbackDraft, node_id: int, due_ms: int, attempt: int) -> Row:
    return (
        one.id,
        one.account_id,
        one.message_id,
        one.kind,
        one.dialect,
        one.payload,
        one.url,
        node_id,
        due_ms,
        attempt,
    )


def first_attempt(draft: CallbackDraft, again_ms: int) -> DueCallback:
    return DueCallback(
        id=draft.id,
        account_id=draft.account_id,
        message_id=draft.message_id,
        kind=draft.kind,
        dialect=draft.dialect,
        payload=draft.payload,
        attempt=1,
        due_ms=again_ms,
        url=draft.url,
    )


def due_callback(row: Row) -> DueCallback:
    return DueCallback(
        id=row[0],
        account_id=row[1],
        message_id=row[2],
        kind=row[3],
        dialect=row[4],
        payload=row[5],
        attempt=row[6],
        due_ms=row[7],
        url=row[8],
    )
