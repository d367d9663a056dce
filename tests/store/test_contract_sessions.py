"""Sessions as rows: bounded for each account, renewed and swept by digest, found by every node."""

import asyncio
from itertools import count
from typing import Any

import pytest

from chappe.store import schema, sessions
from chappe.store.sessions import Opening, SessionRow, Use
from store.givens import ACCOUNT, NOW_MS, House, lose_the_answer, result, settle


def found(house: House, digest: str) -> SessionRow | None:
    return house.store.ask(lambda transaction: house.store.sessions.find(transaction, digest))


def opened(house: House, *openings: Opening) -> list[Any]:
    futures: list[asyncio.Future[Any]] = [house.store.commit(house.store.sessions.open, one) for one in openings]
    return settle(house.store, *futures)


def test_what_was_opened_is_found_by_its_digest_alone(house: House) -> None:
    """A session is found under its own digest on every node, with its account and its last use; under no other."""
    assert opened(house, Opening("one", ACCOUNT, NOW_MS), Opening("two", 8, NOW_MS + 1)) == [(), ()]
    assert found(house, "two") == SessionRow(8, NOW_MS + 1)
    assert found(house, "three") is None
    other = house.new_store()
    assert other.ask(lambda transaction: other.sessions.find(transaction, "one")) == SessionRow(ACCOUNT, NOW_MS)


def test_the_oldest_sessions_of_an_account_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit an account loses the sessions used least recently, and no other account does."""
    monkeypatch.setattr(sessions, "PER_ACCOUNT_MAX", 3)
    house.store.sessions = sessions.Sessions(house.store.database)
    opened(house, Opening("others", 8, NOW_MS - 99))
    opened(house, *(Opening(f"s{index}", ACCOUNT, NOW_MS + index) for index in range(3)))
    result(house.store, house.store.commit(house.store.sessions.renew, Use("s0", NOW_MS + 50)))
    assert opened(house, Opening("s4", ACCOUNT, NOW_MS + 60)) == [("s1",)]
    assert opened(house, Opening("s5", ACCOUNT, NOW_MS + 61), Opening("o2", 8, NOW_MS)) == [("s2",), ()]
    assert {row["digest"] for row in house.rows(schema.session)} == {"others", "o2", "s0", "s4", "s5"}


def test_a_use_never_goes_back_in_time(house: House) -> None:
    """The latest use stands, whichever is written last; a session that is gone is told to be so."""
    opened(house, Opening("one", ACCOUNT, NOW_MS))
    uses = [Use("one", NOW_MS + 20), Use("gone", NOW_MS + 20)]
    assert settle(house.store, *(house.store.commit(house.store.sessions.renew, one) for one in uses)) == [True, False]
    assert result(house.store, house.store.commit(house.store.sessions.renew, Use("one", NOW_MS + 10))) is True
    assert found(house, "one") == SessionRow(ACCOUNT, NOW_MS + 20)


def test_what_was_not_used_for_long_is_swept(house: House) -> None:
    """A sweep removes the sessions last used before its instant, and tells how many."""
    opened(house, *(Opening(f"s{index}", ACCOUNT, NOW_MS + index) for index in range(4)))
    assert result(house.store, house.store.commit(house.store.sessions.sweep, NOW_MS + 2)) == 2
    assert {row["digest"] for row in house.rows(schema.session)} == {"s2", "s3"}


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_session_is_opened_once_when_the_answer_was_lost(house: House, is_kept: bool) -> None:
    """Where the connection died in the moment of the commit, the repeat leaves exactly one session."""
    numbers = count()
    lose_the_answer(house.store, is_kept=is_kept)
    assert opened(house, *(Opening(f"s{next(numbers)}", ACCOUNT, NOW_MS) for _ in range(2))) == [(), ()]
    assert [row["digest"] for row in house.rows(schema.session)] == ["s0", "s1"]
