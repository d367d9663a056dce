"""Listings against a brute-force search of the same rows, page by page, on both databases."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from chappe.core.ids import ID_MAX, first_id
from chappe.core.model import TEST_CARRIER, State
from chappe.store import schema, search
from chappe.store.database import Row
from chappe.store.search import Page, Path, Sieve, Stretch, Walk, of_submission
from store.givens import NOW_MS, House

MINUTE_MS = 60_000
ACCOUNTS = (1, 2, 3, 4, 5)
CARRIERS = (1, 2, TEST_CARRIER.id)
RECIPIENTS = ("447700900001", "447700900002", "393331234567", "393331234568")
ROWS_COUNT = 400


def at(index: int) -> int:
    """Ids a minute apart."""
    return first_id(NOW_MS + index * MINUTE_MS)


def message_row(index: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": at(index),
        "submission_id": at(index),
        "account_id": 1,
        "dialect": "smsfox",
        "recipient": RECIPIENTS[0],
        "text": "hello",
        "segments": 1,
        "price_micros": 0,
        "service": "standard",
        "priority": 1,
        "carrier_id": 1,
        "state": "delivered",
        "due_ms": NOW_MS,
        "expires_ms": NOW_MS,
    }
    return plain | changes


def some_messages() -> list[dict[str, Any]]:
    choose = random.Random(7).choice
    return [
        message_row(
            index,
            account_id=choose((1, 1, 1, 1, 2, 2, 3, 4)),  # 5 has none
            recipient=choose(RECIPIENTS),
            carrier_id=choose(CARRIERS),
            state=choose(("delivered", "delivered", "sent", "scheduled", "rejected")),
            reference=choose(("", "", "order")),
        )
        for index in range(ROWS_COUNT)
    ]


def put(house: House, table: Any, rows: list[dict[str, Any]]) -> None:
    with house.database.engine.begin() as connection:
        connection.execute(insert(table), rows)


def page_of(house: House, walk: Walk, *given: Any, **named: Any) -> Page[Row]:
    return house.store.ask(lambda transaction: walk.page(transaction, *given, **named))


def every_row(fetch: Callable[[int], Page[Row]]) -> tuple[list[int], int]:
    """The ids on all pages in turn, and how many pages there were."""
    ids: list[int] = []
    before_id, pages_count = ID_MAX, 0
    while True:
        page = fetch(before_id)
        ids += [row[0] for row in page.items]
        pages_count += 1
        if page.next_before_id is None:
            return ids, pages_count
        assert page.next_before_id < before_id
        before_id = page.next_before_id


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little is looked at for one page that four hundred rows are many."""
    monkeypatch.setattr(search, "LOOK_MAX", 60)
    monkeypatch.setattr(search, "LOOK_EACH_MIN", 7)
    monkeypatch.setattr(search, "AT_ONCE_MAX", 2)


questions = st.fixed_dictionaries(
    {
        "accounts": st.none() | st.sets(st.sampled_from(ACCOUNTS)).map(sorted),
        "recipient": st.none() | st.sampled_from(RECIPIENTS),
        "pattern": st.none() | st.sampled_from(("44%", "%67", "39%8", "%", "1%")),
        "states": st.none() | st.sets(st.sampled_from(("delivered", "sent", "rejected")), min_size=1).map(sorted),
        "carrier": st.none() | st.sampled_from(CARRIERS),
        "is_test": st.none() | st.booleans(),
        "span": st.tuples(st.integers(0, ROWS_COUNT), st.integers(0, ROWS_COUNT)).map(sorted),
        "count": st.integers(1, 50),
    }
)


def is_meant(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    begin, _, end = (asked["pattern"] or "%").partition("%")
    return (
        (asked["accounts"] is None or row["account_id"] in asked["accounts"])
        and asked["recipient"] in (None, row["recipient"])
        and row["recipient"].startswith(begin)
        and row["recipient"].endswith(end)
        and (asked["states"] is None or row["state"] in asked["states"])
        and asked["carrier"] in (None, row["carrier_id"])
        and asked["is_test"] in (None, row["carrier_id"] == TEST_CARRIER.id)
        and at(asked["span"][0]) <= row["id"] < at(asked["span"][1])
    )


def test_pages_hold_every_row_that_is_meant_once(house: House) -> None:
    """Whatever is asked for in whatever pages, all pages together are what reading everything would find, in order."""
    rows = some_messages()
    put(house, schema.message, rows)
    walk = house.store.search.messages

    @given(questions)
    @settings(max_examples=120)
    def check(asked: dict[str, Any]) -> None:
        sieve = Sieve(
            words={"state": asked["states"]} if asked["states"] else {},
            numbers={name: [int(asked[name])] for name in ("carrier", "is_test") if asked[name] is not None},
            patterns={"recipient": asked["pattern"]} if asked["pattern"] else {},
        )
        path = Path("recipient", asked["recipient"]) if asked["recipient"] else None
        first, behind = map(at, asked["span"])

        def fetch(before_id: int) -> Page[Row]:
            stretch = Stretch(first_id=first, before_id=min(before_id, behind))
            return page_of(house, walk, stretch, asked["accounts"], sieve, asked["count"], path)

        found, _ = every_row(fetch)
        assert found == sorted((row["id"] for row in rows if is_meant(row, asked)), reverse=True)

    check()


def test_what_is_scheduled_is_found_for_many_accounts(house: House) -> None:
    """Scheduled messages of several accounts come merged, each once, through the index of what is scheduled."""
    rows = some_messages()
    put(house, schema.message, rows)
    walk = house.store.search.scheduled
    found, _ = every_row(lambda before_id: page_of(house, walk, Stretch(before_id=before_id), ACCOUNTS, Sieve(), 3))
    assert found == [row["id"] for row in reversed(rows) if row["state"] == State.SCHEDULED]


def test_a_rare_find_is_searched_for_in_steps(house: House) -> None:
    """A page that has looked at enough returns what it has, says how far it came, and the next goes on from there."""
    put(
        house, schema.message, [message_row(index, state="sent" if index == 3 else "delivered") for index in range(200)]
    )
    walk, sieve = house.store.search.messages, Sieve(words={"state": ["sent"]})
    first = page_of(house, walk, Stretch(), None, sieve, 10)
    assert first == Page((), at(140), is_more_to_search=True)
    found, pages_count = every_row(
        lambda before_id: page_of(house, walk, Stretch(before_id=before_id), None, sieve, 10)
    )
    assert found == [at(3)]
    assert pages_count == 4


def test_new_rows_do_not_disturb_the_pages(house: House) -> None:
    """While messages keep arriving, whoever turns the pages sees each earlier row exactly once."""
    put(house, schema.message, [message_row(index, account_id=1 + index % 3) for index in range(30)])
    arrived = iter(range(30, 60))
    walk = house.store.search.messages

    def fetch(before_id: int) -> Page[Row]:
        page = page_of(house, walk, Stretch(before_id=before_id), (1, 2, 3), Sieve(), 4)
        put(house, schema.message, [message_row(next(arrived))])
        return page

    found, _ = every_row(fetch)
    assert found == [at(index) for index in reversed(range(30))]


def test_nobody_sees_more_by_a_number_or_an_id(house: House) -> None:
    """A walk along a number or a submission meets everybody's rows and shows only those of the accounts in sight."""
    submission = [message_row(0, id=at(0) + index, submission_id=at(0), account_id=1 + index % 2) for index in range(6)]
    put(house, schema.message, submission)
    walk = house.store.search.messages
    path = Path("recipient", RECIPIENTS[0])
    theirs = [row["id"] for row in reversed(submission) if row["account_id"] == 2]
    assert [row[0] for row in page_of(house, walk, Stretch(), (2,), Sieve(), 10, path).items] == theirs
    assert [row[0] for row in page_of(house, walk, of_submission(at(0)), (2,), Sieve(), 10, Path()).items] == theirs
    assert page_of(house, walk, Stretch(), (9,), Sieve(), 10, path).items == ()
    assert page_of(house, walk, Stretch(), (), Sieve(), 10, path).items == ()


def test_every_walk_has_an_index(sqlite_house: House) -> None:
    """No page, and no end of a stretch, is found by reading a table from end to end or by sorting it."""
    house = sqlite_house  # PostgreSQL plans by size: an empty table tells nothing
    found = house.store.search
    values: dict[str, Any] = {"first": 0, "behind": 1, "value": 1, "skipped": 1, "count_max": 1, "batch": "[]"}
    for walk in (found.messages, found.scheduled, found.inbound, found.callbacks):
        everything = walk is not found.scheduled
        chosen = [*walk._ends.items(), *walk._pages.items(), ("account", walk._newest)]
        for prepared in (one for name, one in chosen if name or everything):
            with house.database.connect() as connection, connection.transaction() as transaction:
                named = {**values, **walk._values(Sieve()), **prepared.defaults}
                transaction._cursor.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", named)
                plan = [str(row[-1]) for row in transaction._cursor.fetchall()]
            assert not any("SCAN message" in step or "SCAN inbound" in step or "SCAN callback" in step for step in plan)
            assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), (prepared.sql, plan)
