"""Claims are fair: within one priority every account gets an equal share, whoever has how much waiting."""

from collections import Counter

import pytest
from sqlalchemy import insert

from chappe.core.model import Message, Priority, State
from chappe.store import schema
from chappe.store.database import Prepared
from chappe.store.messages import MESSAGE_COLUMNS, row_of
from chappe.store.sending import Claim
from chappe.store.shares import WALK_FIRST, Shares
from store.givens import CARRIER, HOUR_MS, NOW_MS, House, a_message, ids_of, result

URGENT, NORMAL, BULK = Priority.URGENT, Priority.NORMAL, Priority.BULK


def lay(house: House, *messages: Message) -> None:
    """Messages as if they had been accepted long ago, whoever's."""
    names = [each.name for each in MESSAGE_COLUMNS]
    rows = [dict(zip(names, row_of(one), strict=False)) for one in messages]
    with house.database.engine.begin() as connection:
        for start in range(0, len(rows), 1_000):
            connection.execute(insert(schema.message), rows[start : start + 1_000])


def owners_of(claimed: list[Message]) -> Counter[int]:
    return Counter(one.account_id for one in claimed)


def test_a_small_account_is_not_behind_a_big_one(house: House) -> None:
    """Three messages of one account leave with the first claim although five hundred of another were due before."""
    lay(house, *(a_message(number, account_id=1, due_ms=NOW_MS - 9_000) for number in range(1, 501)))
    lay(house, *(a_message(1_000 + number, account_id=2) for number in range(3)))
    claimed = house.claim(count_max=10)
    assert owners_of(claimed) == {1: 7, 2: 3}


def test_shares_are_equal_and_leftovers_go_to_those_who_have_more(house: House) -> None:
    """Of twelve places, one account needs one; the others get the rest in equal parts, each its oldest first."""
    lay(house, a_message(1, account_id=5))
    for account_id in (6, 7, 8):
        first = account_id * 100
        lay(house, *(a_message(first + at, account_id=account_id, due_ms=NOW_MS - at) for at in range(20)))
    claimed = house.claim(count_max=13)
    assert owners_of(claimed) == {5: 1, 6: 4, 7: 4, 8: 4}
    assert sorted(one.id for one in claimed if one.account_id == 7) == [716, 717, 718, 719]


@pytest.mark.parametrize("count_max, claims", [(1, 150), (7, 22), (50, 3), (60, 3)])
def test_nobody_starves_where_there_are_more_accounts_than_room(house: House, count_max: int, claims: int) -> None:
    """However small the claims are, each of many accounts has had one message before any has had three."""
    accounts = range(1, 151)
    assert len(accounts) > 2 * WALK_FIRST
    lay(house, *(a_message(owner * 100 + at, account_id=owner) for owner in accounts for at in range(5)))
    got = Counter[int]()
    for _ in range(claims):
        got += owners_of(house.claim(count_max=count_max))
    assert set(got) == set(accounts)
    assert max(got.values()) <= 2


def test_two_accounts_take_turns_where_one_message_may_leave_at_a_time(house: House) -> None:
    """Claims of a single message serve the accounts in turn, and come back to the first after the last."""
    lay(house, *(a_message(owner * 100 + at, account_id=owner) for owner in (3, 5, 8) for at in range(4)))
    turns = [one.account_id for _ in range(7) for one in house.claim(count_max=1)]
    assert turns == [3, 5, 8, 3, 5, 8, 3]


def test_an_urgent_message_of_anybody_goes_before_everybodys_bulk(house: House) -> None:
    """Priorities come before shares: a claim takes what is urgent, then what is normal, and bulk with what is left."""
    lay(house, *(a_message(owner * 100 + at, account_id=owner, priority=BULK) for owner in (1, 2) for at in range(9)))
    lay(house, *(a_message(300 + at, account_id=3, priority=URGENT) for at in range(4)))
    lay(house, a_message(400, account_id=1, priority=NORMAL))
    claimed = house.claim(count_max=7)
    assert [one.priority for one in claimed] == [URGENT] * 4 + [NORMAL] + [BULK] * 2
    assert owners_of(claimed) == {3: 4, 1: 2, 2: 1}


def test_accounts_that_wait_for_later_take_no_share(house: House) -> None:
    """Accounts whose messages are all scheduled or out of time are passed by, however many there are."""
    lay(house, *(a_message(at, account_id=at, state=State.SCHEDULED, due_ms=NOW_MS + 1) for at in range(1, 200)))
    lay(house, *(a_message(300 + at, account_id=300 + at, expires_ms=NOW_MS) for at in range(60)))
    lay(house, *(a_message(500 + at, account_id=900) for at in range(5)), a_message(600, account_id=901))
    assert owners_of(house.claim(count_max=3)) == {900: 2, 901: 1}
    assert owners_of(house.claim(count_max=200)) == {900: 3}
    assert house.claim(count_max=200) == []


def test_a_detour_is_fair_too_and_looks_only_at_what_came_due_since(house: House) -> None:
    """A detour takes only messages with a backup, in equal shares, and none that was due before it was told to look."""
    old_ms, new_ms = NOW_MS - HOUR_MS, NOW_MS - 1
    lay(house, *(a_message(100 + at, account_id=1, due_ms=new_ms, backups=(9,)) for at in range(9)))
    lay(house, *(a_message(200 + at, account_id=2, due_ms=new_ms) for at in range(9)))
    lay(house, *(a_message(300 + at, account_id=3, due_ms=new_ms, backups=(9,)) for at in range(9)))
    lay(house, *(a_message(400 + at, account_id=4, due_ms=old_ms, backups=(9,)) for at in range(9)))
    wish = Claim(CARRIER, 4, NOW_MS, is_detour=True, since_ms=old_ms)
    assert owners_of(result(house.store, house.store.claim(wish))) == {1: 2, 3: 2}


def test_a_repeated_claim_is_no_second_share(house: House) -> None:
    """What one claim left to others is taken by the next, until nothing waits, and nothing is taken twice."""
    lay(house, *(a_message(owner * 100 + at, account_id=owner) for owner in (1, 2, 3) for at in range(10 * owner)))
    taken = [each for _ in range(20) for each in ids_of(house.claim(count_max=7))]
    assert len(taken) == len(set(taken)) == 60


@pytest.mark.parametrize("known", ["nothing", "one row", "everything"])
@pytest.mark.parametrize("waiting", ["due", "scheduled"])
def test_no_claim_reads_the_table_or_what_is_not_due(house: House, waiting: str, known: str) -> None:
    """A claim finds its rows through the index of waiting messages alone, whatever waits and the statistics say."""
    if known == "one row":
        lay(house, a_message(30_000))
        analyze(house)
    due_ms = NOW_MS - HOUR_MS if waiting == "due" else NOW_MS + HOUR_MS
    lay(house, *(a_message(at, account_id=1 + at % 3, due_ms=due_ms) for at in range(1, 20_001)))
    if known == "everything":
        analyze(house)
    shares = house.store._outbox._shares
    assert isinstance(shares, Shares)
    for prepared in (shares._survey, shares._take_one, shares._take_many):
        plan = plan_of(house, prepared)
        scans = [line for line in plan if "SCAN message" in line or "Seq Scan on message" in line]
        others = [line for line in plan if "INDEX" in line.upper() and "message" in line]
        others = [line for line in others if "message_waiting" not in line and "message_pkey" not in line]
        assert not scans
        assert not [line for line in others if "PRIMARY KEY" not in line]
        assert any("message_waiting" in line for line in plan)


def analyze(house: House) -> None:
    """Let the database look at what is there now. SQLite is never asked to."""
    if not house.database.is_sqlite:
        with house.database.transaction() as transaction:
            transaction._cursor.execute("ANALYZE message")


def plan_of(house: House, prepared: Prepared) -> list[str]:
    explain = "EXPLAIN QUERY PLAN " if house.database.is_sqlite else "EXPLAIN "
    values: dict[str, object] = {
        **dict.fromkeys(("carrier", "owner", "priority", "account", "share", "steps", "since"), 1),
        **{f"after_{priority}": 0 for priority in range(3)},
        **prepared.defaults,
        "now": NOW_MS,
    }
    if prepared.batch is not None:
        values |= prepared.batch.parameters([(1,), (2,)])
    with house.database.transaction() as transaction:
        named = {name: value for name, value in values.items() if name in prepared.sql}
        transaction._cursor.execute(explain + prepared.sql, named)
        return [str(row[-1]) for row in transaction._cursor.fetchall()]
