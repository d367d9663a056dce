"""What a wish for another text becomes, or why it is refused."""

from typing import Any

import msgspec
import pytest

from chappe.core.centre import Refusal, Refused, Replace, Reschedule
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S
from chappe.core.model import Account, Coding, State
from chappe.dialects.smpp import SMPP
from chappe.gateway.replacing import replacement_of, rescheduling_of
from chappe.store.messages import Replacement
from store.givens import ACCOUNT, HOUR_MS, NOW_MS, a_message

ALICE = Account(id=ACCOUNT, name="alice")


def wish(message: dict[str, Any] | None = None, **changes: Any) -> Replacement | Refused:
    call = Replace(account=ALICE, reference="1", originator="ACME", text="Another")
    changed = msgspec.structs.replace(call, **changes)
    return replacement_of(changed, a_message(1, **(message or {})), SMPP, NOW_MS + 1)


def test_only_the_text_changes() -> None:
    """Without another time the message leaves and ends when it did."""
    assert wish() == Replacement(
        account_id=ACCOUNT, message_id=1, text="Another", coding=Coding.TEXT, segments=1, now_ms=NOW_MS + 1
    )


def moved(message: dict[str, Any] | None = None, **changes: Any) -> Replacement | Refused:
    call = msgspec.structs.replace(Reschedule(account=ALICE, reference="1"), **changes)
    return rescheduling_of(call, a_message(1, **(message or {})), NOW_MS + 1)


@pytest.mark.parametrize(
    "changes, due_ms, expires_ms",
    [
        ({"scheduled_ms": NOW_MS + 50}, NOW_MS + 50, NOW_MS + 50 + HOUR_MS),
        ({"scheduled_ms": 0}, NOW_MS + 1, NOW_MS + 1 + HOUR_MS),
        ({"validity_s": 60}, 0, NOW_MS + 1 + 60_000),
    ],
)
def test_only_the_time_changes(changes: dict[str, Any], due_ms: int, expires_ms: int) -> None:
    """A message that is moved keeps its text and the length of its validity; a time that has passed means now."""
    wished = moved({"state": State.SCHEDULED}, **changes)
    assert isinstance(wished, Replacement)
    assert (wished.text, wished.due_ms, wished.expires_ms) == (a_message(1).text, due_ms, expires_ms)


def test_what_left_or_is_too_far_ahead_is_not_moved() -> None:
    """A message that left stays, and none is put off for more than a year."""
    assert moved({"state": State.SENT}, scheduled_ms=NOW_MS + 50) == Refused(Refusal.TOO_LATE)
    refused = moved(scheduled_ms=NOW_MS + 2 + SCHEDULE_AHEAD_MAX_S * 1000)
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.BAD_REQUEST


@pytest.mark.parametrize(
    "changes, due_ms, expires_ms",
    [
        ({"scheduled_ms": NOW_MS + 50}, NOW_MS + 50, NOW_MS + 50 + HOUR_MS),
        ({"validity_s": 60}, 0, NOW_MS + 1 + 60_000),
        ({"scheduled_ms": NOW_MS + 50, "validity_s": 60}, NOW_MS + 50, NOW_MS + 50 + 60_000),
    ],
)
def test_another_time(changes: dict[str, Any], due_ms: int, expires_ms: int) -> None:
    """A new schedule keeps the length of the validity, unless that is new too; a validity counts from then on."""
    wished = wish(**changes)
    assert isinstance(wished, Replacement)
    assert (wished.due_ms, wished.expires_ms) == (due_ms, expires_ms)


@pytest.mark.parametrize(
    "message, changes, reason",
    [
        ({}, {"originator": "OTHER"}, Refusal.NOT_FOUND),
        ({"state": State.SENDING}, {}, Refusal.TOO_LATE),
        ({"state": State.DELIVERED}, {}, Refusal.TOO_LATE),
        ({}, {"text": ""}, Refusal.EMPTY_TEXT),
        ({}, {"text": "x" * 161}, Refusal.BAD_REQUEST),
        ({"segments": 2}, {}, Refusal.BAD_REQUEST),
        ({}, {"scheduled_ms": NOW_MS + 2 + SCHEDULE_AHEAD_MAX_S * 1000}, Refusal.BAD_REQUEST),
    ],
)
def test_what_is_refused(message: dict[str, Any], changes: dict[str, Any], reason: Refusal) -> None:
    """A message of another originator, one that left, another price and an impossible time are refused."""
    refused = wish(message, **changes)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
