"""Callbacks are rows: written with the change they tell of, claimed with the next time already set, closed by a result.

A new callback is born claimed by the node that writes it, which will make the first attempt at once; should that node
die, the row comes due again like any other. What goes to a bind of its account is claimed account by account, by
whoever has such a bind; while nobody has, it lies.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Select, Text, bindparam, case, exists, insert, select, update

from chappe.core.model import Message, State
from chappe.core.story import Happening
from chappe.core.story import Kind as Chapter
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.happenings import Happenings
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
    is_bound: bool = False  # only who has a bind of the account can make it
    is_left: bool = False  # whoever claims next makes it: nobody here can now


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


class BoundClaim(Struct, frozen=True):
    """A wish for up to `count_max` callbacks to the binds of one account, those longest due first."""

    account_id: int
    count_max: int
    now_ms: int
    again_ms: int


class Resignation(Struct, frozen=True):
    """A wish to give up callbacks to binds that came due before `long_ago_ms` and that no bind came for."""

    long_ago_ms: int
    count_max: int


class CallbackResult(Struct, frozen=True, kw_only=True):
    """How an attempt went. `state` is pending (again at `due_ms`), done, failed or disabled."""

    id: int
    attempt: int
    state: str
    due_ms: int
    status: int = 0
    detail: str = ""
    is_tried: bool = True  # False where the attempt was put off unmade: it does not count
    message_id: int = 0  # what it is about
    ended_ms: int = 0  # when the attempt ended ...
    took_ms: int = 0  # ... and how long it took


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
IS_PENDING = callback.c.state == PENDING
FREE, BOUND = constant(0), constant(1)  # is_bound
NO_BIND = "no bind came for it"


Change = tuple[Message, State, str]  # a message, the state it came into, and what is kept as its detail
Plan = Callable[[Message, State, str], CallbackDraft | None]
FIRST_RETRY_S = 30


def tell_nobody(one: Message, state: State, detail: str) -> None:
    """The plan of a store that has no gateway around it."""


class Callbacks:
    def __init__(self, database: Database, happenings: Happenings, node: Node) -> None:
        self._node = node
        self._happenings = happenings
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
            is_bound=BigInteger,
        )
        names = [*(column.name for column in drafts.c), "state", "made_ms"]
        made = select(*drafts.c, PENDING, bindparam("made", type_=BigInteger))
        self._insert = Prepared(database, insert(callback).from_select(names, made), drafts)
        due = (
            select(callback.c.id)
            .where(IS_PENDING, callback.c.is_bound == FREE, callback.c.due_ms <= bindparam("now"))
            .order_by(callback.c.due_ms)
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._claim = claiming(database, due)
        bound = (
            select(callback.c.id)
            .where(
                IS_PENDING,
                callback.c.is_bound == BOUND,
                callback.c.account_id == bindparam("account"),
                callback.c.due_ms <= bindparam("now"),
            )
            .order_by(callback.c.due_ms)
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._claim_bound = claiming(database, bound)
        accounts = Batch(database, id=BigInteger)
        is_lying = exists().where(
            IS_PENDING,
            callback.c.is_bound == BOUND,
            callback.c.account_id == accounts.c.id,
            callback.c.due_ms <= bindparam("now"),
        )
        self._lying = Prepared(database, select(accounts.c.id).where(is_lying), accounts)
        forlorn = (
            select(callback.c.id)
            .where(IS_PENDING, callback.c.is_bound == BOUND, callback.c.due_ms <= bindparam("long_ago"))
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
        )
        self._resign = Prepared(
            database,
            update(callback)
            .where(callback.c.id.in_(forlorn))
            .values(state=constant("failed"), detail=constant(NO_BIND), node_id=0),
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
            ended_ms=BigInteger,
            took_ms=BigInteger,
        )
        is_tried = results.c.tries == constant(1)
        self._record = Prepared(
            database,
            update(callback)
            .where(
                callback.c.id == results.c.id,
                callback.c.attempt == results.c.attempt,
                IS_PENDING,
            )
            .values(
                state=results.c.state,
                due_ms=results.c.due_ms,
                status=results.c.status,
                detail=results.c.detail,
                attempt=callback.c.attempt - 1 + results.c.tries,
                ended_ms=case((is_tried, results.c.ended_ms), else_=callback.c.ended_ms),
                took_ms=case((is_tried, results.c.took_ms), else_=callback.c.took_ms),
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
        self._releases = [
            Prepared(
                database,
                update(callback)
                .where(IS_PENDING, callback.c.is_bound == kind, callback.c.node_id == bindparam("node"))
                .values(node_id=0, due_ms=bindparam("now")),
            )
            for kind in (FREE, BOUND)  # each has an index of its own
        ]

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
            transaction.run(self._insert, [row_of(one, 0, now_ms, 0) for one in drafts], made=now_ms)

    def write(self, transaction: Transaction, drafts: Sequence[CallbackDraft], now_ms: int) -> list[DueCallback]:
        """Write callbacks, claimed by this node for their first attempt; a process that is no node leaves that to
        whichever looks next."""
        if not drafts:
            return []
        node_id, again_ms = self._node.id, now_ms + FIRST_RETRY_S * 1000
        ours = [one for one in drafts if not one.is_left] if node_id else []
        rows = [row_of(one, node_id, again_ms, 1) for one in ours]
        if len(ours) < len(drafts):
            rows += [row_of(one, 0, now_ms, 0) for one in drafts if one.is_left or not node_id]
        transaction.run(self._insert, rows, made=now_ms)
        return [first_attempt(one, again_ms) for one in ours]

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

    def claim_bound_many(
        self, transaction: Transaction, claims: Sequence[BoundClaim], is_repeat: bool
    ) -> list[list[DueCallback]]:
        """The same of single accounts, for who has a bind of them."""
        return [
            [
                due_callback(row)
                for row in transaction.rows(
                    self._claim_bound,
                    account=one.account_id,
                    now=one.now_ms,
                    count_max=one.count_max,
                    again=one.again_ms,
                    node=self._node.id,
                )
            ]
            for one in claims
        ]

    def bound_accounts(self, transaction: Transaction, account_ids: Sequence[int], now_ms: int) -> list[int]:
        """Which of these accounts have callbacks to their binds that are due."""
        return [row[0] for row in transaction.rows(self._lying, [(each,) for each in account_ids], now=now_ms)]

    def resign_many(self, transaction: Transaction, wishes: Sequence[Resignation], is_repeat: bool) -> list[int]:
        """Give up what waited too long for a bind; how many callbacks that were."""
        return [transaction.run(self._resign, long_ago=one.long_ago_ms, count_max=one.count_max) for one in wishes]

    def record_many(self, transaction: Transaction, results: Sequence[CallbackResult], is_repeat: bool) -> list[None]:
        """Close attempts; a result whose attempt is no longer the latest changes nothing."""
        rows = [
            (
                one.id,
                one.attempt,
                one.state,
                one.due_ms,
                one.status,
                one.detail,
                int(one.is_tried),
                one.ended_ms,
                one.took_ms,
            )
            for one in results
        ]
        transaction.run(self._record, rows)
        in_vain = [one for one in results if one.state == "pending" and one.is_tried and one.message_id]
        if in_vain and not is_repeat:
            self._happenings.write(transaction, [attempt_in_vain(one) for one in in_vain])
        return [None] * len(results)

    def disable_many(self, transaction: Transaction, urls: Sequence[DisabledUrl], is_repeat: bool) -> list[None]:
        transaction.run(self._raise_revision)  # so that every node looks at the configuration anew
        transaction.run(self._disable, [(one.account_id, one.url, one.now_ms) for one in urls])
        return [None] * len(urls)

    def release(self, transaction: Transaction, node_id: int, now_ms: int) -> int:
        """Make what a dead node had claimed due again."""
        return sum(transaction.run(release, node=node_id, now=now_ms) for release in self._releases)


def attempt_in_vain(one: CallbackResult) -> Happening:
    """An attempt that is made again: the row itself will tell only of the last one."""
    return Happening(
        message_id=one.message_id,
        made_ms=one.ended_ms,
        kind=Chapter.CALLBACK,
        carrier_id=0,
        attempt=one.attempt,
        words=f"{one.id} {one.status} {one.took_ms} {one.detail}".rstrip(),
    )


def claiming(database: Database, due: Select[tuple[int]]) -> Prepared:
    """One attempt more of these callbacks, by this node."""
    return Prepared(
        database,
        update(callback)
        .where(callback.c.id.in_(due))
        .values(attempt=callback.c.attempt + 1, due_ms=bindparam("again"), node_id=bindparam("node"))
        .returning(*COLUMNS),
    )


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
        int(one.is_bound),
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
