"""Another text for a message that waits, on both databases."""

from typing import Any

import pytest

from chappe.core.model import Coding, State
from chappe.store import schema
from chappe.store.messages import Acceptance, Replacement
from store.givens import ACCOUNT, HOUR_MS, NOW_MS, House, a_message, lose_the_answer, result

TEXT = "Your code is 123456"


def replace(house: House, **changes: Any) -> bool:
    fields: dict[str, Any] = {"text": "Another", "coding": Coding.TEXT, "segments": 1, "message_id": 1} | changes
    return result(house.store, house.store.replace(Replacement(**{"account_id": ACCOUNT} | fields)))


def row_of(house: House) -> tuple[Any, ...]:
    [row] = house.rows(schema.message)
    return row["text"], row["due_ms"], row["expires_ms"], row["state"]


@pytest.mark.parametrize("state", [State.QUEUED, State.SCHEDULED])
def test_a_message_that_waits_gets_another_text(house: House, state: State) -> None:
    """The text changes; when it leaves and ends stays, and so does its money."""
    house.accept(a_message(1, state=state))
    assert replace(house)
    assert row_of(house) == ("Another", NOW_MS, NOW_MS + HOUR_MS, state.value)
    house.check_books()


def test_a_message_gets_another_time(house: House) -> None:
    """Where it is wanted, the message leaves and ends at other times, and the schedule says so."""
    one = a_message(1, state=State.SCHEDULED, due_ms=NOW_MS + 1)
    assert result(house.store, house.store.accept(Acceptance(ACCOUNT, (one,), NOW_MS, "", NOW_MS + 1)))
    assert replace(house, due_ms=NOW_MS + 5, expires_ms=NOW_MS + 9)
    assert row_of(house) == ("Another", NOW_MS + 5, NOW_MS + 9, "scheduled")
    assert [row["scheduled_ms"] for row in house.rows(schema.scheduled_submission)] == [NOW_MS + 5]


@pytest.mark.parametrize("wrong", [{"account_id": ACCOUNT + 1}, {"message_id": 2}, {"segments": 2}])
def test_what_is_not_meant_stays(house: House, wrong: dict[str, int]) -> None:
    """Another account's message, another message and one of another price keep their text."""
    house.accept(a_message(1))
    assert not replace(house, **wrong)
    assert row_of(house)[0] == TEXT


def test_what_is_on_its_way_stays(house: House) -> None:
    """A message that is being sent keeps its text."""
    house.sending(1)
    assert not replace(house)
    assert row_of(house)[0] == TEXT


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_repeat_answers_as_the_first_would_have(house: House, is_kept: bool) -> None:
    """Where nobody knows whether the commit happened, its repeat says that the text is there."""
    house.accept(a_message(1))
    lose_the_answer(house.store, is_kept=is_kept)
    assert replace(house)
    assert row_of(house)[0] == "Another"
