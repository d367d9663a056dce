"""Making callbacks once more, and the desk that people ask for it."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from sqlalchemy import insert, update

from chappe.core.ids import first_id
from chappe.core.model import State
from chappe.core.people import EVERYTHING, Sight
from chappe.gateway.replay import ReplayDesk
from chappe.gateway.search import CallbackFilters, SearchDesk
from chappe.store import schema
from chappe.store.callbacks import CallbackClaim, CallbackResult
from chappe.store.replay import Replay
from store.givens import ACCOUNT, NOW_MS, House, a_receipt, lose_the_answer, result, sent, settle

MINUTE_MS = 60_000
Result = TypeVar("Result")


def at(minute: int) -> int:
    return first_id(NOW_MS + minute * MINUTE_MS)


def put(house: House, *states: str, account_id: int = ACCOUNT, first: int = 0) -> None:
    """Callbacks in these states, a minute apart; each was attempted thirteen times."""
    rows = [
        {
            "id": at(first + index),
            "account_id": account_id,
            "message_id": 1,
            "kind": "receipt",
            "dialect": "smsfox",
            "payload": "{}",
            "state": state,
            "attempt": 13,
            "due_ms": NOW_MS,
        }
        for index, state in enumerate(states)
    ]
    with house.database.engine.begin() as connection:
        connection.execute(insert(schema.callback), rows)


def replay(house: House, *minutes: int, sight: Sight = EVERYTHING, now_ms: int = NOW_MS + 7) -> int:
    wish = Replay(ids=tuple(map(at, minutes)), account_ids=sight.account_ids, now_ms=now_ms)
    return result(house.store, house.store.commit(house.store.replays.replay, wish))


def states(house: House) -> list[tuple[str, int, int]]:
    return [(row["state"], row["attempt"], row["due_ms"]) for row in house.rows(schema.callback)]


def test_what_has_ended_is_made_again(house: House) -> None:
    """Done, failed and disabled callbacks are due at once, with all attempts before them; a pending one stays."""
    put(house, "done", "failed", "disabled", "pending")
    assert replay(house, 0, 1, 2, 3, 99) == 3
    assert states(house) == [("pending", 0, NOW_MS + 7)] * 3 + [("pending", 13, NOW_MS)]


def test_asking_twice_makes_it_once(house: House) -> None:
    """A second wish for the same callback finds it pending, and changes nothing."""
    put(house, "failed")
    assert [replay(house, 0, 0), replay(house, 0, now_ms=NOW_MS + 8)] == [1, 0]
    assert states(house) == [("pending", 0, NOW_MS + 7)]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_lost_answer_replays_once(house: House, is_kept: bool) -> None:
    """Where the fate of the commit was unknown, it is done once and told as done."""
    put(house, "failed", "pending")
    lose_the_answer(house.store, is_kept=is_kept)
    assert replay(house, 0, 1) == 1
    assert states(house) == [("pending", 0, NOW_MS + 7), ("pending", 13, NOW_MS)]


def test_nobody_replays_what_is_not_theirs(house: House) -> None:
    """A sibling's and a stranger's callbacks stay as they were."""
    put(house, "failed")
    assert replay(house, 0, sight=Sight(frozenset({ACCOUNT + 1}))) == 0
    assert replay(house, 0, sight=Sight(frozenset())) == 0
    assert states(house) == [("failed", 13, NOW_MS)]


def test_a_replayed_callback_is_claimed_and_closed_like_a_new_one(house: House) -> None:
    """After its replay a callback has its first attempt again, and the result of that one counts."""
    put(house, "failed")
    replay(house, 0)
    [[due]] = [result(house.store, house.store.claim_callbacks(CallbackClaim(9, NOW_MS + 7, NOW_MS + 99)))]
    assert due.attempt == 1
    done = CallbackResult(id=due.id, attempt=1, state="done", due_ms=NOW_MS, status=200)
    settle(house.store, house.store.close_callback(done))
    assert [state for state, _, _ in states(house)] == ["done"]


class Clock:
    def now_ms(self) -> int:
        return NOW_MS + 7

    def monotonic_s(self) -> float:
        return 0.0


class Directory:
    """One in which nothing is found."""

    accounts = ()
    carriers = ()

    def account(self, account_id: int) -> None:
        return None

    def carrier(self, carrier_id: int) -> None:
        return None


class Looks:
    """How often the desk of callbacks was asked to look."""

    count = 0

    async def look(self) -> None:
        self.count += 1


def desk_of(house: House, looks: Looks) -> ReplayDesk:
    return ReplayDesk(house.store, SearchDesk(house.store, Directory), Clock(), looks.look)


def run(house: House, asking: Awaitable[Result]) -> Result:
    """Let the desk work while the store writes in this thread."""

    async def both() -> Result:
        import asyncio

        task = asyncio.ensure_future(asking)
        while not task.done():
            house.store.commit_once()
            await asyncio.sleep(0)
        return task.result()

    return house._loop.run_until_complete(both())


def test_a_range_is_replayed_in_bounded_steps(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a span of time in the wanted states are made again, so many a call, each once."""
    monkeypatch.setattr("chappe.gateway.replay.REPLAY_MAX", 2)
    put(house, *("failed", "done", "pending", "disabled", "failed", "failed"))
    looks = Looks()
    desk = desk_of(house, looks)
    first = run(house, desk.replay_range(EVERYTHING, NOW_MS, NOW_MS + 5 * MINUTE_MS))
    assert (first.count, first.next_before_id) == (2, at(3))
    assert first.next_before_id is not None
    second = run(house, desk.replay_range(EVERYTHING, NOW_MS, NOW_MS + 5 * MINUTE_MS, before_id=first.next_before_id))
    assert (second.count, second.next_before_id) == (1, None)
    assert [state for state, _, _ in states(house)] == ["pending", "done", "pending", "pending", "pending", "failed"]
    assert looks.count == 2
    assert run(house, desk.replay_range(EVERYTHING, NOW_MS, NOW_MS + MINUTE_MS, ("pending",))).count == 0
    assert run(house, desk.replay(Sight(frozenset({1})), [at(1)])) == 0
    assert looks.count == 2


def test_callbacks_are_listed_by_what_they_are(house: House) -> None:
    """A list of callbacks is of an account, a message, a state and a kind, and only of those in sight."""
    put(house, "done", "failed")
    put(house, "failed", account_id=ACCOUNT + 1, first=10)
    with house.database.engine.begin() as connection:
        connection.execute(update(schema.callback).where(schema.callback.c.id == at(10)).values(message_id=2))
    desk = desk_of(house, Looks())

    def listed(sight: Sight = EVERYTHING, **filters: Any) -> list[int]:
        page = house._loop.run_until_complete(desk.list(sight, CallbackFilters(**filters)))
        return [one.id for one in page.items]

    assert listed() == [at(10), at(1), at(0)]
    assert listed(states=("failed",)) == [at(10), at(1)]
    assert listed(message_id=1) == [at(1), at(0)]
    assert listed(kinds=("inbound",)) == []
    assert listed(account_id=ACCOUNT) == [at(1), at(0)]
    theirs = Sight(frozenset({ACCOUNT + 1}))
    assert listed(theirs) == [at(10)]
    assert listed(theirs, message_id=1) == listed(theirs, account_id=ACCOUNT) == []


def test_who_wants_no_callbacks_gets_none(house: House) -> None:
    """A message whose submission asked for no callbacks causes none, whatever becomes of it."""
    quiet, loud = (house.sending(message_id, wants_callbacks=bool(message_id - 1)) for message_id in (1, 2))
    settle(house.store, house.store.record(sent(quiet)), house.store.record(sent(loud)))
    receipts = [house.store.receive(a_receipt(f"ref-{each}", State.DELIVERED)) for each in (1, 2)]
    settle(house.store, *receipts)
    assert house.states() == {1: "delivered", 2: "delivered"}
    assert {row["message_id"] for row in house.rows(schema.callback)} == {2}
