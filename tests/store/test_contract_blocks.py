"""The list of numbers that an account must not write to, on both databases: changed, followed, listed."""

import itertools
import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from chappe.core.phonebook import BlockOrigin, Blocks
from chappe.store import schema
from chappe.store.blocks import BEFORE_ALL, BlockChange, BlockQuestion, BlockRow
from chappe.store.engine import Store
from store.givens import ACCOUNT, NOW_MS, House, lose_the_answer, result, settle

OTHER = 8
ONE, TWO, THREE = "447700900001", "447700900002", "447700900003"
PATIENCE_S = 10.0
MOMENTS = itertools.count(NOW_MS)


def a_change(is_blocked: bool, *numbers: str, **changes: Any) -> BlockChange:
    fields = {"account_id": ACCOUNT, "now_ms": next(MOMENTS)} | changes
    return BlockChange(numbers=numbers, is_blocked=is_blocked, **fields)


def change(house: House, is_blocked: bool, *numbers: str, **changes: Any) -> int:
    store = house.store
    return result(store, store.commit(store.blocks.change, a_change(is_blocked, *numbers, **changes)))


def block(house: House, *numbers: str, **changes: Any) -> int:
    return change(house, True, *numbers, **changes)


def unblock(house: House, *numbers: str, **changes: Any) -> int:
    return change(house, False, *numbers, **changes)


def since(store: Store, last: BlockRow = BEFORE_ALL, count_max: int = 100) -> list[BlockRow]:
    return store.ask(lambda transaction: store.blocks.since(transaction, last, count_max))


def active(house: House) -> set[tuple[int, str, str]]:
    return {(one.account_id, one.number, one.originator) for one in since(house.store) if one.is_active}


def listed(house: House, **changes: Any) -> Blocks:
    fields: dict[str, Any] = {"account_id": ACCOUNT, "number": "", "origins": (), "from_ms": 0, "to_ms": 1 << 62}
    asked = BlockQuestion(**({"offset": 0, "count_max": 10} | fields | changes))
    return house.store.ask(lambda transaction: house.store.blocks.blocks(transaction, asked))


def test_numbers_are_put_on_and_taken_off(house: House) -> None:
    """Each change tells how many numbers it changed; what is as it should be already does not count."""
    assert block(house, ONE, TWO, TWO) == 2
    assert block(house, TWO, THREE) == 1
    assert block(house, ONE, account_id=OTHER) == 1
    assert unblock(house, ONE, "447700900009") == 1
    assert unblock(house, ONE) == 0
    assert active(house) == {(ACCOUNT, TWO, ""), (ACCOUNT, THREE, ""), (OTHER, ONE, "")}
    assert block(house, ONE) == 1


def test_what_a_word_put_there_it_takes_off(house: House) -> None:
    """Taken off under named originators and of one origin, all else stays; taken off plainly, nothing does."""
    stop = BlockOrigin.STOP
    block(house, ONE, origin=stop, originators=("111111",))
    block(house, ONE, origin=stop, originators=("222222",))
    block(house, ONE, TWO)
    assert unblock(house, ONE, origin=stop, originators=("", "111111")) == 1
    assert active(house) == {(ACCOUNT, ONE, ""), (ACCOUNT, ONE, "222222"), (ACCOUNT, TWO, "")}
    assert unblock(house, ONE) == 1
    assert active(house) == {(ACCOUNT, TWO, "")}


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_change_without_an_answer_counts_the_same(house: House, is_kept: bool) -> None:
    """A commit whose answer was lost is repeated and tells what it changed, whether it had happened or not."""
    block(house, ONE)
    lose_the_answer(house.store, is_kept=is_kept)
    assert block(house, ONE, TWO, THREE) == 2
    lose_the_answer(house.store, is_kept=is_kept)
    assert unblock(house, ONE, TWO) == 2
    assert active(house) == {(ACCOUNT, THREE, "")}


def test_the_list_is_followed_by_its_changes(house: House) -> None:
    """Whoever asks for what is newer than what it knows misses nothing, though a change is parted by a page."""
    numbers = [f"44770090{index:04}" for index in range(25)]
    block(house, *numbers)
    last, seen = BEFORE_ALL, []
    while rows := since(house.store, last, 10):
        seen += rows
        last = rows[-1]
    assert [one.number for one in seen] == numbers
    unblock(house, numbers[3])
    [row] = since(house.store, last)
    assert (row.number, row.is_active) == (numbers[3], False)
    assert since(house.store, row) == []


def test_two_nodes_make_one_order_of_changes(house: House) -> None:
    """Changes of two nodes get ids one after the other: what one commits is newer than all that was seen before."""
    other = house.new_store()
    last = BEFORE_ALL
    for index in range(6):
        store = (house.store, other)[index % 2]
        assert settle(store, store.commit(store.blocks.change, a_change(True, f"44770090{index:04}"))) == [1]
        [last] = since(house.store, last)
        assert last.number == f"44770090{index:04}"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_smaller_id_never_comes_later(house: House) -> None:
    """While one node's change is not committed, another's waits for it: whoever follows steps over neither."""
    other = house.new_store()
    ours = threading.Thread(target=lambda: settle(other, other.commit(other.blocks.change, a_change(True, TWO))))
    with house.database.transaction() as transaction:
        house.store.blocks.change_many(transaction, [a_change(True, ONE)], False)
        ours.start()
        until_somebody_waits(house)
        assert since(house.store) == []
    ours.join()
    assert [one.number for one in since(house.store)] == [ONE, TWO]


def until_somebody_waits(house: House) -> None:
    """Wait for a lock that is asked for and not granted."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    ends_s = time.monotonic() + PATIENCE_S
    with house.database.engine.connect() as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < ends_s, "nobody waits"


def test_lists(house: House) -> None:
    """Newest first; by number, origin and time; a part of them, and how many in all."""
    for number, origin, now_ms in ((ONE, BlockOrigin.API, 1), (TWO, BlockOrigin.STOP, 2), (THREE, BlockOrigin.WEB, 3)):
        block(house, number, origin=origin, now_ms=now_ms)
    block(house, "447700900004")
    unblock(house, "447700900004")
    block(house, ONE, account_id=OTHER)
    cases: list[tuple[dict[str, Any], list[str], int]] = [
        ({}, [THREE, TWO, ONE], 3),
        ({"number": TWO}, [TWO], 1),
        ({"origins": ("API", "STOPSMS")}, [TWO, ONE], 2),
        ({"from_ms": 2, "to_ms": 2}, [TWO], 1),
        ({"offset": 1, "count_max": 1}, [TWO], 3),
    ]
    for changes, numbers, total in cases:
        found = listed(house, **changes)
        assert ([one.number for one in found.items], found.total) == (numbers, total), changes
    assert {row["origin"] for row in house.rows(schema.block)} == {"API", "STOPSMS", "WEB"}
