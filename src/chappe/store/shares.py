"""Which due messages a claim takes: the most urgent first and, within one priority, every account its equal share.

Accounts with something waiting are found by skipping through the index from one to the next, one look at each, so that
a million messages of one account, due or scheduled, cost what one does. Each account that has something due gets an
equal part of the room, its oldest first; what some do not need goes to those who have more. Where there are more
accounts than room, the next claim begins behind the one that was served last, so that nobody starves. Whose turn it is
stands in memory alone: a new process begins with the first account, which costs nobody more than one claim.

To PostgreSQL the places in the index are written as whole rows, `(carrier, priority, account, due) > (...)`, and not
field by field: only the index of waiting messages can find such a row. Where the statistics say that the table is
small, which they do until they are taken anew, any index with the account in it looks as good.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    ScalarSelect,
    Select,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from chappe.core.model import State
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.messages import IS_WAITING, MESSAGE_COLUMNS, PRIORITY_INDEX
from chappe.store.schema import message

WALK_FIRST = 50  # accounts of each priority that are looked at before any is served
WALK_FURTHER = 1_000  # at a time, where those had nothing due or less than there is room for
FIRST = 0  # accounts count from 1, so this stands before all of them
NOBODY = 2**62  # and this behind
LONG_AGO = 0  # before anything came due
PLACE = (message.c.carrier_id, message.c.priority, message.c.account_id, message.c.due_ms)  # in the index
ACCOUNT_PLACE = next(place for place, each in enumerate(MESSAGE_COLUMNS) if each is message.c.account_id)


class Seen(NamedTuple):
    """A step of the walk along the accounts of a priority: one with something due, or the last step of a long walk."""

    priority: int
    account_id: int
    step: int  # from 1
    is_due: int


class Shares:
    """What a carrier's accounts get of a claim. `conditions` leave only some of the messages."""

    def __init__(self, database: Database, *conditions: ColumnElement[bool]) -> None:
        self._turns: dict[int, list[int]] = {}  # carrier -> by priority, the account that was served last
        self._survey = Prepared(database, survey(database))
        accounts = Batch(database, account_id=BigInteger)
        self._take_many = Prepared(database, taking(of_each(database, accounts, conditions)), accounts)
        self._take_one = Prepared(
            database, taking(oldest_due(database, bindparam("account", type_=BigInteger), conditions))
        )

    def take(
        self, transaction: Transaction, *, carrier_id: int, owner: int, count_max: int, now_ms: int, since_ms: int
    ) -> list[Row]:
        """Up to `count_max` messages of a carrier that came due after `since_ms`, now `sending` and its owner's: rows
        of MESSAGE_COLUMNS, in no order."""
        walk = Walk(transaction, self._survey, carrier_id, now_ms)
        turns = self._turns.setdefault(carrier_id, [FIRST] * len(PRIORITY_INDEX))
        steps = min(WALK_FIRST, count_max + 1)
        seen = walk.look(turns, steps)
        which = {"carrier": carrier_id, "owner": owner, "now": now_ms, "since": since_ms}
        taken: list[Row] = []
        for priority, turn in enumerate(turns):
            turns[priority] = FIRST
            circle = walk.circle(priority, turn, [one for one in seen if one.priority == priority], steps)
            while accounts := list(islice(circle, count_max - len(taken) + 1)):
                room = count_max - len(taken)
                rows, last = self._share_out(transaction, {**which, "priority": priority}, accounts, room)
                taken += rows
                if len(taken) >= count_max:
                    turns[priority] = turn_after(last, accounts)
                    return taken
        return taken

    def _share_out(
        self, transaction: Transaction, which: Mapping[str, int], accounts: Sequence[int], room: int
    ) -> tuple[list[Row], int]:
        """Equal parts for these accounts, again and again until there is no room or they have no more. Also tells which
        account was served last."""
        taken: list[Row] = []
        last = FIRST
        while accounts and len(taken) < room:
            served, others = accounts[: room - len(taken)], accounts[room - len(taken) :]
            share = (room - len(taken)) // len(served)
            rows = self._take(transaction, which, served, share)
            counts = Counter(row[ACCOUNT_PLACE] for row in rows)
            taken += rows
            last = served[-1]
            accounts = [*others, *(each for each in served if counts[each] >= share)]
        return taken, last

    def _take(
        self, transaction: Transaction, which: Mapping[str, int], accounts: Sequence[int], share: int
    ) -> list[Row]:
        if len(accounts) == 1:  # as almost always
            return transaction.rows(self._take_one, **which, share=share, account=accounts[0])
        return transaction.rows(self._take_many, [(each,) for each in accounts], **which, share=share)


class Walk:
    """Finding the accounts of one carrier that have something due now."""

    def __init__(self, transaction: Transaction, statement: Prepared, carrier_id: int, now_ms: int) -> None:
        self._transaction = transaction
        self._statement = statement
        self._carrier_id = carrier_id
        self._now_ms = now_ms

    def look(self, afters: Sequence[int], steps: int) -> list[Seen]:
        """Up to `steps` accounts of each priority, those behind `afters`; only the due ones and the last are told."""
        starts = {f"after_{priority}": after for priority, after in enumerate(afters)}
        rows = self._transaction.rows(
            self._statement, carrier=self._carrier_id, now=self._now_ms, steps=steps, **starts
        )
        return [Seen(*row) for row in rows]

    def circle(self, priority: int, turn: int, seen: Sequence[Seen], steps: int) -> Iterator[int]:
        """The accounts of a priority that have something due, from the one behind `turn` (where the first `steps` have
        been `seen`) once around to it."""
        is_second_half = False
        while True:
            for one in seen:
                if one.is_due and not (is_second_half and one.account_id > turn):
                    yield one.account_id
            is_end = not seen or seen[-1].step < steps
            if (is_end and (is_second_half or turn == FIRST)) or (is_second_half and seen[-1].account_id >= turn):
                return
            after = FIRST if is_end else seen[-1].account_id
            is_second_half = is_second_half or is_end
            steps = WALK_FURTHER
            seen = self.look([after if each == priority else NOBODY for each in PRIORITY_INDEX.values()], steps)


def turn_after(last: int, accounts: Sequence[int]) -> int:
    """Behind whom the next claim begins. `accounts` are in the order of their turns, one more than were served if there
    is one; where the first of all is next, so that the next claim need not look for others in vain."""
    following = accounts[(accounts.index(last) + 1) % len(accounts)]
    return FIRST if following <= last else last


# Statements. Each looks at one (carrier, priority, account) at a time: there the index is in the order of due times.


def survey(database: Database) -> Executable:
    """Rows of `Seen`, in the order of their steps."""
    now, steps = (bindparam(name, type_=BigInteger) for name in ("now", "steps"))
    afters = (bindparam(f"after_{priority}", type_=BigInteger) for priority in PRIORITY_INDEX.values())
    starts = union_all(
        *(select(constant(priority).label("priority"), after.label("after")) for priority, after in enumerate(afters))
    ).subquery("starts")
    first = next_account(database, starts.c.priority, starts.c.after).label("account_id")
    walk = select(starts.c.priority, first, constant(1).label("step")).cte("walk", recursive=True)
    following = next_account(database, walk.c.priority, walk.c.account_id)
    has_another = walk.c.account_id.is_not(None) & (walk.c.step < steps)
    walk = walk.union_all(select(walk.c.priority, following, walk.c.step + constant(1)).where(has_another))
    waits = waiting(database, walk.c.priority, walk.c.account_id, constant(LONG_AGO), now)
    has_due = select(constant(1)).select_from(message).where(*waits).limit(constant(1)).scalar_subquery()
    is_due = func.coalesce(has_due, constant(0)).label("is_due")
    found = select(walk.c.priority, walk.c.account_id, walk.c.step, is_due)
    seen = found.where(walk.c.account_id.is_not(None)).cte("seen").prefix_with("MATERIALIZED")  # each is looked at once
    return select(seen).where(or_(seen.c.is_due == constant(1), seen.c.step == steps)).order_by(seen.c.step)


def next_account(database: Database, priority: ColumnElement[int], after: ColumnElement[int]) -> ScalarSelect[int]:
    carrier = bindparam("carrier", type_=BigInteger)
    if database.is_sqlite:
        conditions = [message.c.carrier_id == carrier, message.c.priority == priority, message.c.account_id > after]
    else:
        conditions = [
            tuple_(*PLACE[:3]) > tuple_(carrier, priority, after),
            tuple_(*PLACE[:2]) <= tuple_(carrier, priority),
        ]
    return (
        select(message.c.account_id)
        .where(IS_WAITING, *conditions)
        .order_by(*PLACE[:3])
        .limit(constant(1))
        .scalar_subquery()
    )


def waiting(
    database: Database,
    priority: ColumnElement[int],
    account: ColumnElement[int],
    since: ColumnElement[int],
    now: ColumnElement[int],
) -> tuple[ColumnElement[bool], ...]:
    """What waits of one carrier, priority and account, and came due after an instant and until another."""
    which = (bindparam("carrier", type_=BigInteger), priority, account)
    if database.is_sqlite:
        same = [column == value for column, value in zip(PLACE, which, strict=False)]
        return IS_WAITING, *same, message.c.due_ms > since, message.c.due_ms <= now
    place = tuple_(*PLACE)
    return IS_WAITING, place > tuple_(*which, since), place <= tuple_(*which, now)


def oldest_due(
    database: Database, account: ColumnElement[int], conditions: Sequence[ColumnElement[bool]]
) -> Select[int]:
    """The messages of one carrier, priority and account that may be sent now, longest due first."""
    priority, since, now = (bindparam(name, type_=BigInteger) for name in ("priority", "since", "now"))
    return (
        select(message.c.id)
        .where(
            *waiting(database, priority, account, since, now),
            message.c.expires_ms > now,
            *conditions,
        )
        .order_by(*PLACE)
        .limit(bindparam("share", type_=BigInteger))
        .with_for_update(skip_locked=True)
    )


def of_each(database: Database, accounts: Batch, conditions: Sequence[ColumnElement[bool]]) -> Select[int]:
    """The same of several accounts, each as many."""
    oldest = oldest_due(database, accounts.c.account_id, conditions)
    if database.is_sqlite:  # which knows no LATERAL, but runs a list like this once for each account
        chosen = message.alias("chosen")
        return select(chosen.c.id).join_from(accounts.table, chosen, chosen.c.id.in_(oldest))
    found = oldest.lateral("found")
    return select(found.c.id).join_from(accounts.table, found, TRUE)


def taking(chosen: Select[int]) -> Executable:
    # A common table expression runs once; PostgreSQL may run a plain subquery more often, beyond the limit.
    found = chosen.cte("found_ids")
    return (
        update(message)
        .where(message.c.id.in_(select(found.c.id)))
        .values(state=constant(State.SENDING.value), attempt=message.c.attempt + 1, node_id=bindparam("owner"))
        .returning(*MESSAGE_COLUMNS)
    )
