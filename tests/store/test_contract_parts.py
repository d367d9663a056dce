"""Parts of long messages that are submitted one by one, on both databases: kept, whole or ended at last."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.core.model import State
from chappe.store import parts, schema
from chappe.store.callbacks import CallbackDraft, DueCallback
from chappe.store.parts import (
    COPIES_KEPT_MS,
    PATIENCE_MS,
    Closing,
    Ending,
    Fate,
    KeptPart,
    PartArrival,
    PartKey,
    PartSet,
)
from store.givens import ACCOUNT, HOUR_MS, NOW_MS, House, a_message, lose_the_answer, result

IDS = itertools.count(1_000, 100)
KEY = PartKey(ACCOUNT, "ACME", "447700900123", 7, 2)


def arrival(position: int, content: str = "", *, key: PartKey = KEY, now_ms: int = NOW_MS) -> PartArrival:
    return PartArrival(
        key=key, position=position, content=content or f"part {position}", message_id=next(IDS), now_ms=now_ms
    )


def keep(house: House, *arrivals: PartArrival) -> list[KeptPart]:
    """In one commit."""
    store = house.store
    futures = [store.commit(store.parts.keep, one) for one in arrivals]
    store.commit_once()
    return [future.result() for future in futures]


def close(house: House, whole: PartSet | None, fate: Fate, last_position: int = 0) -> tuple[DueCallback, ...]:
    assert whole is not None
    store = house.store
    closing = Closing(whole=whole, fate=fate, last_position=last_position, now_ms=NOW_MS)
    return result(store, store.commit(store.parts.close, closing))


def end(house: House, now_ms: int) -> list[DueCallback]:
    store = house.store
    return result(store, store.commit(store.parts.end, Ending(now_ms, 100)))


def whole_ones(house: House, now_ms: int, settled_ms: int = 0) -> list[PartSet]:
    with house.database.reading() as transaction:
        return house.store.parts.whole(transaction, now_ms, settled_ms, 100)


def contents(house: House) -> list[str]:
    return [row["content"] for row in house.rows(schema.submission_part)]


def told(house: House) -> list[dict[str, Any]]:
    return [json.loads(row["payload"]) for row in house.rows(schema.callback)]


def plan_for_all(house: House) -> None:
    """Every message that ends is told, with the parts that were there."""

    def plan(ended: PartSet, state: State) -> list[CallbackDraft]:
        payload = json.dumps({"state": state, "parts": [part.content for part in ended.parts]})
        return [
            CallbackDraft(
                id=ended.message_id,
                account_id=ended.key.account_id,
                message_id=ended.message_id,
                kind="smpp_receipt",
                dialect="smpp",
                payload=payload,
                is_bound=True,
            )
        ]

    house.store.parts.plan = plan


def test_the_last_part_brings_all_of_them(house: House) -> None:
    """Whoever brings the last part, whichever that is, gets all of them in their order, under ids that follow."""
    first = arrival(2)
    [kept] = keep(house, first)
    assert (kept.part_id, kept.whole) == (first.message_id + 1, None)
    [last] = keep(house, arrival(1))
    assert last.part_id == first.message_id
    assert last.whole is not None
    assert last.whole.message_id == first.message_id
    assert [(part.position, part.part_id, part.content) for part in last.whole.parts] == [
        (1, first.message_id, "part 1"),
        (2, first.message_id + 1, "part 2"),
    ]


def test_parts_of_one_commit_become_one_message(house: House) -> None:
    """Parts that come at the same moment are put together as others are, and only the last of them brings the whole."""
    kept = keep(house, arrival(1), arrival(2), arrival(1, key=KEY._replace(concatenation=8)))
    assert [one.whole is not None for one in kept] == [False, True, False]
    assert kept[1].part_id == kept[0].part_id + 1


@pytest.mark.parametrize(
    "other",
    [
        {"account_id": ACCOUNT + 1},
        {"originator": "OTHER"},
        {"recipient": "447700900999"},
        {"concatenation": 8},
        {"total": 3},
    ],
)
def test_what_belongs_to_another_message_stays_apart(house: House, other: dict[str, Any]) -> None:
    """Parts that differ in account, originator, recipient, reference or total are never put together."""
    keep(house, arrival(1))
    [kept] = keep(house, arrival(2, key=KEY._replace(**other)))
    assert kept.whole is None


def test_a_copy_of_a_part_has_its_id(house: House) -> None:
    """A part that comes twice is kept once, under the same id, before and after its message was submitted."""
    [first], [again] = keep(house, arrival(1)), keep(house, arrival(1))
    assert (again.part_id, again.is_copy, first.is_copy) == (first.part_id, True, False)
    [last] = keep(house, arrival(2))
    [copy] = keep(house, arrival(2))
    assert (copy.part_id, copy.is_copy, copy.whole) == (last.part_id, True, last.whole)
    close(house, last.whole, Fate.SUBMITTED)
    [late] = keep(house, arrival(1))
    assert (late.part_id, late.is_copy, late.whole) == (first.part_id, True, None)
    assert len(contents(house)) == 2


def test_another_part_at_a_place_begins_a_new_message(house: House) -> None:
    """A different part at a place that is taken ends what waits there, which is told, and waits for others itself."""
    plan_for_all(house)
    [old] = keep(house, arrival(1, "old"))
    [new] = keep(house, arrival(1, "new"))
    assert new.part_id != old.part_id
    assert contents(house) == ["new"]
    assert told(house) == [{"state": "expired", "parts": ["old"]}]
    assert [due.message_id for due in new.callbacks] == [old.part_id]


def test_the_next_message_under_a_reference_is_another_one(house: House) -> None:
    """After a message was submitted, a different part under the same reference begins the next one; nobody is told."""
    plan_for_all(house)
    [_, last] = keep(house, arrival(1), arrival(2))
    close(house, last.whole, Fate.SUBMITTED)
    kept = keep(house, arrival(1, "new"), arrival(2, "newer"))
    assert kept[1].whole is not None
    assert [part.content for part in kept[1].whole.parts] == ["new", "newer"]
    assert told(house) == []


def test_what_was_not_submitted_is_found_again(house: House) -> None:
    """A message whose parts are all there and that nobody submitted is found once its last part has settled."""
    [_, last] = keep(house, arrival(1), arrival(2))
    keep(house, arrival(1, key=KEY._replace(concatenation=8)))
    assert whole_ones(house, NOW_MS, settled_ms=1) == []
    assert whole_ones(house, NOW_MS + 1, settled_ms=1) == [last.whole]
    close(house, last.whole, Fate.SUBMITTED)
    assert whole_ones(house, NOW_MS + 1, settled_ms=1) == []


def test_a_part_that_was_put_back_may_come_again(house: House) -> None:
    """Where the message was refused for now, its last part is expected again, and brings all of them then."""
    keep(house, arrival(1))
    [last] = keep(house, arrival(2))
    assert close(house, last.whole, Fate.PUT_BACK, last_position=2) == ()
    assert contents(house) == ["part 1"]
    [again] = keep(house, arrival(2))
    assert (again.whole, again.part_id) == (last.whole, last.part_id)


def test_a_refused_message_is_told_of_the_parts_that_were_answered(house: House) -> None:
    """Where a message is refused for good its parts go, and whoever asked is told of all but the last one."""
    plan_for_all(house)
    keep(house, arrival(1))
    [last] = keep(house, arrival(2))
    [due] = close(house, last.whole, Fate.REFUSED, last_position=2)
    assert json.loads(due.payload) == {"state": "rejected", "parts": ["part 1"]}
    assert contents(house) == []


def test_who_brought_all_parts_again_is_told_of_all_of_them(house: House) -> None:
    """Where nobody waits for an answer any more, a refusal is told of every part."""
    plan_for_all(house)
    [_, last] = keep(house, arrival(1), arrival(2))
    close(house, last.whole, Fate.REFUSED)
    assert told(house) == [{"state": "rejected", "parts": ["part 1", "part 2"]}]


def test_what_stays_incomplete_ends(house: House) -> None:
    """Parts that wait too long for others go, and whoever asked is told; what is whole or younger stays."""
    plan_for_all(house)
    keep(house, arrival(1, now_ms=NOW_MS - PATIENCE_MS))
    younger, whole = KEY._replace(concatenation=8), KEY._replace(concatenation=9)
    keep(house, arrival(1, "younger", key=younger, now_ms=NOW_MS - PATIENCE_MS + 1))
    keep(house, arrival(1, "a", key=whole, now_ms=NOW_MS - HOUR_MS), arrival(2, "b", key=whole))
    [due] = end(house, NOW_MS)
    assert json.loads(due.payload) == {"state": "expired", "parts": ["part 1"]}
    assert contents(house) == ["younger", "a", "b"]
    assert end(house, NOW_MS) == []


def test_nothing_ends_untold(house: House) -> None:
    """Where the callback cannot be written, the parts stay."""
    plan_for_all(house)
    [kept] = keep(house, arrival(1, now_ms=NOW_MS - PATIENCE_MS))
    other = KEY._replace(concatenation=8)
    [taken] = keep(house, arrival(1, "x", key=other, now_ms=NOW_MS - HOUR_MS))
    whole_plan = house.store.parts.plan

    def plan(ended: PartSet, state: State) -> list[CallbackDraft]:
        [draft] = whole_plan(ended, state)
        return [draft, draft]

    house.store.parts.plan = plan
    store = house.store
    future = store.commit(store.parts.end, Ending(NOW_MS, 100))
    store.commit_once()
    assert future.exception() is not None
    assert len(contents(house)) == 2
    assert kept.part_id != taken.part_id


def test_what_copies_are_known_by_is_forgotten(house: House) -> None:
    """Parts of a message that was submitted go after a while; after that the same parts are another message."""
    [_, last] = keep(house, arrival(1), arrival(2))
    close(house, last.whole, Fate.SUBMITTED)
    end(house, NOW_MS + COPIES_KEPT_MS - 1)
    assert len(contents(house)) == 2
    end(house, NOW_MS + COPIES_KEPT_MS)
    assert contents(house) == []
    [again] = keep(house, arrival(1))
    assert not again.is_copy


def test_parts_of_one_account_have_a_limit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many parts that wait nothing more of the account is kept; copies and other accounts are."""
    monkeypatch.setattr(parts, "WAITING_MAX", 2)
    keys = [KEY._replace(concatenation=each) for each in range(3)]
    kept = keep(house, *(arrival(1, key=key) for key in keys))
    assert [one.part_id > 0 for one in kept] == [True, True, False]
    [copy, other] = keep(house, arrival(1, key=keys[0]), arrival(1, key=KEY._replace(account_id=ACCOUNT + 1)))
    assert copy.is_copy
    assert other.part_id > 0
    assert len(contents(house)) == 3


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_repeat_keeps_each_part_once(house: House, is_kept: bool) -> None:
    """Where nobody knows whether a commit happened, its repeat keeps the parts once, under the same ids."""
    first, second = arrival(1), arrival(2)
    lose_the_answer(house.store, is_kept=is_kept)
    kept = keep(house, first, second)
    assert [one.part_id for one in kept] == [first.message_id, first.message_id + 1]
    assert kept[-1].whole is not None
    assert contents(house) == ["part 1", "part 2"]


def test_a_message_is_found_by_the_ids_of_its_parts(house: House) -> None:
    """Ids close behind a message's own may be its parts'; none further on is, nor another language's or account's."""
    house.accept(a_message(1_000, memo="m", dialect="smpp"), a_message(2_000, dialect="proovl"))

    def before(part_id: int, account_id: int = ACCOUNT) -> tuple[int, str] | None:
        return house.store.ask(
            lambda transaction: house.store.histories.before(transaction, account_id, part_id, "smpp")
        )

    found = [before(part_id) for part_id in (999, 1_000, 1_254, 1_255, 2_001)]
    assert found == [None, (1_000, "m"), (1_000, "m"), None, None]
    assert before(1_001, ACCOUNT + 1) is None


def test_a_crash_after_a_part_was_answered_loses_nothing(house: House) -> None:
    """What one process kept, another that comes after it completes, under the ids that the first one answered."""
    [kept] = keep(house, arrival(1))
    heir = house.new_store()
    last = result(heir, heir.commit(heir.parts.keep, arrival(2)))
    assert last.whole is not None
    assert last.whole.message_id == kept.part_id


@settings(max_examples=30, deadline=None)
@given(order=st.permutations([(which, position) for which in range(3) for position in range(1, 4)]), data=st.data())
def test_any_order_and_any_commits_make_every_message_once(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Parts of several messages, in any order, some twice, in commits of any size, bring each message exactly once."""
    waiting = [
        arrival(position, key=KEY._replace(concatenation=which, total=3))
        for which, position in order
        for _ in range(data.draw(st.integers(1, 2)))
    ]
    folder: Path = tmp_path_factory.mktemp("order")
    house = House(f"sqlite:///{folder}/chappe.db")
    wholes: list[PartSet] = []
    try:
        while waiting:
            count = data.draw(st.integers(1, len(waiting)))
            for kept in keep(house, *waiting[:count]):
                if kept.whole is not None and kept.whole not in wholes:
                    wholes.append(kept.whole)
                    close(house, kept.whole, Fate.SUBMITTED)
            del waiting[:count]
        assert sorted(whole.key.concatenation for whole in wholes) == [0, 1, 2]
        assert all(whole.is_whole for whole in wholes)
    finally:
        house.close()
