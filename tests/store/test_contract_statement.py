"""Statements of random histories, held against the entries that were written."""

import itertools
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from chappe.core.ids import first_id
from chappe.core.ledger import Entry, Kind, Purse, entry, rent
from chappe.core.model import Account
from chappe.gateway.statement import BadCursor, StatementDesk, StatementPage
from chappe.store import schema, statement
from chappe.store.messages import MESSAGE_COLUMNS, row_of
from chappe.store.statement import Totals
from store.givens import NOW_MS, House, a_message

MINUTE_MS = 60_000
accounts = itertools.count(1_000)
happenings = st.one_of(
    st.tuples(st.just("message"), st.integers(0, 3), st.sampled_from((None, Kind.POST, Kind.VOID)), st.integers(0, 9)),
    st.tuples(
        st.sampled_from(("credit", "debit", "rent", "give", "take", "give_back", "take_back")), st.integers(1, 9)
    ),
)
histories = st.lists(st.tuples(st.integers(0, 3), happenings), max_size=25)


class Clock:
    """What the desk asks the time."""

    def now_ms(self) -> int:
        return NOW_MS + 1_000 * MINUTE_MS

    def monotonic_s(self) -> float:
        return 0.0


class Directory:
    """Nobody that has a name."""

    def account(self, account_id: int) -> None:
        return None


def write(house: House, account_id: int, history: list[Any]) -> list[tuple[int, Entry]]:
    """Put a history into the books; its entries, each with the moment that it stands at."""
    entries: list[tuple[int, int, Entry]] = []  # stands at, written at, what
    messages = []
    now_ms = NOW_MS
    for index, (minutes, what) in enumerate(history):
        now_ms += minutes * MINUTE_MS
        source_id = first_id(now_ms) + account_id * 100 + index
        if what[0] == "message":
            _, price_micros, end, delay = what
            messages.append(a_message(source_id, account_id=account_id, price_micros=price_micros))
            entries.append((now_ms, now_ms, entry(Kind.RESERVE, source_id, account_id, price_micros)))
            if end is not None:
                entries.append((now_ms, now_ms + delay * MINUTE_MS, entry(end, source_id, account_id, price_micros)))
        elif what[0] == "rent":
            entries.append((now_ms, now_ms, rent(source_id, 1 + index, account_id, what[1])))
        else:
            entries.append((now_ms, now_ms, entry(Kind(what[0]), source_id, account_id, what[1])))
    with house.database.engine.begin() as connection:
        connection.execute(insert(schema.balance).values(account_id=account_id, limit_micros=-(10**9)))
        if messages:
            names = [column.name for column in MESSAGE_COLUMNS]
            rows = [dict(zip(names, row_of(one), strict=True)) for one in messages]
            connection.execute(insert(schema.message), rows)
    with house.database.transaction() as transaction:
        for _, written_ms, one in entries:
            house.store.ledger.write(transaction, [one], written_ms)
    return [(at_ms, one) for at_ms, _, one in entries if one.amount_micros]


def effect(one: Entry, purse: Purse) -> int:
    return one.amount_micros * ((one.credit is purse) - (one.debit is purse))


def totals(entries: list[Entry]) -> Totals:
    return Totals(
        available_micros=sum(effect(one, Purse.AVAILABLE) for one in entries),
        reserved_micros=sum(effect(one, Purse.RESERVED) for one in entries),
    )


def run(house: House, asking: Coroutine[Any, Any, StatementPage]) -> StatementPage:
    return house._loop.run_until_complete(asking)


def desk_of(house: House) -> StatementDesk:
    return StatementDesk(house.store, Clock(), Directory)


def all_pages(house: House, account_id: int, from_ms: int, to_ms: int, count: int) -> list[StatementPage]:
    desk, account = desk_of(house), Account(id=account_id, name="whoever")
    pages = [run(house, desk.page(account, from_ms, to_ms, "", count))]
    while pages[-1].next_cursor is not None:
        pages.append(run(house, desk.page(account, from_ms, to_ms, pages[-1].next_cursor, count)))
    return pages


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little is looked at in one read that a handful of messages are many."""
    monkeypatch.setattr(statement, "LOOK_MAX", 5)
    monkeypatch.setattr(statement, "SUM_MAX", 3)


def test_a_statement_tells_each_entry_once_and_its_balances_add_up(house: House) -> None:
    """All pages together hold every entry of the span once, newest first, from one balance to the other."""

    @given(histories, st.integers(1, 7), st.tuples(st.integers(-1, 40), st.integers(0, 80)).map(sorted))
    @settings(max_examples=30)
    def check(history: list[Any], count: int, span: list[int]) -> None:
        account_id = next(accounts)
        entries = write(house, account_id, history)
        from_ms, to_ms = (NOW_MS + minutes * MINUTE_MS for minutes in span)
        pages = all_pages(house, account_id, from_ms, to_ms, count)
        lines = [one.line for page in pages for one in page.lines]
        within = [one for at_ms, one in entries if from_ms <= at_ms < to_ms]
        told = sorted((line.source_id, line.available_micros, line.reserved_micros) for line in lines)
        assert told == sorted(
            (one.source_id, effect(one, Purse.AVAILABLE), effect(one, Purse.RESERVED)) for one in within
        )
        assert [line.at_ms for line in lines] == sorted((line.at_ms for line in lines), reverse=True)
        assert pages[0].closing == totals([one for at_ms, one in entries if at_ms < to_ms])
        assert pages[-1].opening == totals([one for at_ms, one in entries if at_ms < from_ms])
        for page, following in itertools.pairwise(pages):
            assert page.opening == following.closing
        for page in pages:
            balance = page.closing
            for one in page.lines:
                assert one.balance == balance
                balance = balance.less(
                    Totals(available_micros=one.line.available_micros, reserved_micros=one.line.reserved_micros)
                )
            assert balance == page.opening

    check()


def test_a_whole_statement_begins_with_nothing_and_ends_with_the_balance(house: House) -> None:
    """Told back to its first entry an account had nothing; told from now on it has what its purse says."""

    @given(histories, st.integers(1, 7))
    @settings(max_examples=30)
    def check(history: list[Any], count: int) -> None:
        account_id = next(accounts)
        write(house, account_id, history)
        pages = all_pages(house, account_id, 0, 1 << 60, count)
        closing = pages[0].closing
        assert (closing.available_micros, closing.reserved_micros) == house.balance(account_id)
        assert pages[-1].opening == Totals()

    check()


def test_what_is_booked_while_pages_are_turned_changes_no_later_page(house: House) -> None:
    """A message that is settled after the first page was read does not upset the balances of the next ones."""
    history = [(1, ("message", 2, None, 0)) for _ in range(6)]
    entries = write(house, 7_000, history)
    desk, account = desk_of(house), Account(id=7_000, name="whoever")
    first = run(house, desk.page(account, count=2))
    oldest = entries[0][1]
    with house.database.transaction() as transaction:
        later_ms = Clock().now_ms() + 1
        house.store.ledger.write(transaction, [entry(Kind.VOID, oldest.source_id, 7_000, 2)], later_ms)
    pages = [first]
    while pages[-1].next_cursor is not None:
        pages.append(run(house, desk.page(account, cursor=pages[-1].next_cursor, count=2)))
    assert pages[-1].opening == Totals()
    assert sum(len(page.lines) for page in pages) == 6


@pytest.mark.parametrize("cursor", ["x", "1.2.3", "1.2.3.4.5.6", f"{1 << 70}.1.1.1.1", "1.2.3.4.", "٣.1.1.1.x"])
def test_a_cursor_that_is_none_is_refused(sqlite_house: House, cursor: str) -> None:
    """What no page gave is refused as such, whatever it is."""
    with pytest.raises(BadCursor):
        run(sqlite_house, desk_of(sqlite_house).page(Account(id=7, name="whoever"), cursor=cursor))


def test_moves_and_rents_say_what_they_were_for(house: House) -> None:
    """A move names the other account, a rent the number and the month, a message its recipient."""
    with house.database.engine.begin() as connection:
        connection.execute(
            insert(schema.purchase).values(
                id=5, account_id=8_000, subaccount_id=8_001, amount_micros=1, made_ms=NOW_MS, details="{}"
            )
        )
        connection.execute(
            insert(schema.rented_number).values(
                number="447700900001", carrier_id=1, account_id=8_000, rental_id=6, origin="file"
            )
        )
    write(house, 8_000, [(0, ("message", 2, None, 0))])
    with house.database.transaction() as transaction:
        house.store.ledger.write(transaction, [entry(Kind.GIVE, 5, 8_000, 1), rent(6, 3, 8_000, 1)], NOW_MS + MINUTE_MS)
    [page] = all_pages(house, 8_000, 0, 1 << 60, 10)
    told = {one.line.kind: one.line for one in page.lines}
    assert told[Kind.GIVE].other_id == 8_001
    assert (told[Kind.RENT].number, told[Kind.RENT].month) == ("447700900001", 3)
    assert told[Kind.RESERVE].recipient == "447700900123"


def test_statements_walk_indexes(sqlite_house: House) -> None:
    """Neither a page nor a sum reads a whole table: messages by their account, what is none by the indexes of it."""
    found = sqlite_house.store.statements
    names = ("account", "first", "behind", "as_of", "count_max", "skipped", "from", "at", "source")
    expected = {
        "message_account (account_id=?": [found._end, found._of_messages, found._sum_of_messages],
        "entry_credits (account_id=?": [found._others[0], found._sums_of_others[0]],
        "entry_rents (account_id=?": [found._others[1], found._sums_of_others[1]],
    }
    for words, statements in expected.items():
        for prepared in statements:
            with sqlite_house.database.connect() as connection, connection.transaction() as transaction:
                values = dict.fromkeys(names, 1) | prepared.defaults
                transaction._cursor.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", values)
                plan = [str(row[-1]) for row in transaction._cursor.fetchall()]
            assert any(words in step for step in plan), plan
            assert not any(step.startswith("SCAN") for step in plan), plan
