"""What is written of a message besides its course: only what departs from the ordinary, and within bounds."""

from typing import Any

import pytest

from chappe.core.centre import Accepted, Refusal, Refused
from chappe.core.model import State
from chappe.core.story import Kind, Sense
from chappe.store import schema
from chappe.store.callbacks import CallbackClaim, CallbackResult
from chappe.store.happenings import WORDS_MAX
from chappe.store.messages import Replacement
from chappe.store.sending import Sending
from store.givens import (
    CARRIER,
    HOUR_MS,
    NOW_MS,
    House,
    a_message,
    a_receipt,
    after,
    lose_the_answer,
    result,
    sent,
    settle,
)


def words(house: House) -> list[tuple[str, str]]:
    return [(row["kind"], row["words"]) for row in house.rows(schema.happening)]


def unusual(sending: Sending, kind: Kind) -> Sending:
    fields = {name: getattr(sending, name) for name in sending.__struct_fields__}
    return Sending(**{**fields, "unusual": kind})


def test_a_verdict_out_of_the_ordinary_is_written_with_its_words(house: House) -> None:
    """The carrier's words are kept with carrier and attempt, cut to a limit, once although the round is repeated."""
    claimed = house.sending(1)
    refused = after(claimed, Refused(Refusal.THROTTLED), detail="x" * 2 * WORDS_MAX)
    future = house.store.record(unusual(refused, Kind.PUT_OFF))
    lose_the_answer(house.store)
    settle(house.store, future)
    [row] = house.rows(schema.happening)
    assert (row["message_id"], row["kind"], row["carrier_id"], row["attempt"]) == (1, "put_off", CARRIER, 1)
    assert row["words"] == "x" * WORDS_MAX
    assert house.rows(schema.message)[0]["sent_ms"] == 0


def test_what_befell_one_message_in_one_instant_is_kept_whole_and_in_order(house: House) -> None:
    """Many receipts of one round, all out of the ordinary, are kept in the order in which they came."""
    house.sending(1)
    result(house.store, house.store.record(sent(a_message(1, attempt=1))))
    receipts = [State.DELIVERED, State.UNDELIVERABLE, State.SENT, State.DELIVERED]
    settle(house.store, *(house.store.receive(a_receipt("ref-1", state)) for state in receipts))
    assert sorted(told.split()[:2] for _, told in words(house)) == [
        [Sense.AGAIN, "delivered"],
        [Sense.AGAINST, "undeliverable"],
        [Sense.MEANWHILE, "sent"],
    ]


@pytest.mark.parametrize("later_ms, count", [(HOUR_MS // 2, 1), (HOUR_MS, 2)])
def test_repeated_receipts_take_a_row_an_hour(house: House, later_ms: int, count: int) -> None:
    """However often a carrier repeats what it said, one row an hour is kept of it."""
    base_ms = NOW_MS // HOUR_MS * HOUR_MS
    result(house.store, house.store.record(sent(house.sending(1))))
    for now_ms in (base_ms, base_ms, base_ms + 1, base_ms + later_ms):
        result(house.store, house.store.receive(a_receipt("ref-1", now_ms=now_ms)))
    assert len(house.rows(schema.happening)) == count


def test_a_receipt_for_a_message_in_doubt_says_when_it_was_sent(house: House) -> None:
    """It is early, and from then on the message has been sent; the answer that comes later changes nothing of that."""
    claimed = house.sending(1)
    doubtful = after(claimed, Accepted(()), "ref-1")
    result(house.store, house.store.receive(a_receipt("ref-1", now_ms=NOW_MS + 5)))
    assert words(house) == []
    result(house.store, house.store.record(doubtful))
    assert words(house) == [("receipt", "early delivered word")]
    [row] = house.rows(schema.message)
    assert (row["state"], row["sent_ms"], row["given"]) == ("delivered", NOW_MS, "ref-1")
    [story] = [house.store.ask(lambda transaction: house.store.stories.story(transaction, 1))]
    assert story is not None
    assert [one.made_ms for one in story.happenings] == [NOW_MS + 5]


def test_another_text_keeps_the_one_before(house: House) -> None:
    """A replaced text and a moved time are kept as they were; what was replaced by itself leaves nothing."""
    house.accept(a_message(1, state=State.SCHEDULED, due_ms=NOW_MS + HOUR_MS))
    same: dict[str, Any] = {
        "account_id": 7,
        "message_id": 1,
        "text": "Your code is 123456",
        "coding": a_message(1).coding,
        "segments": 1,
        "now_ms": NOW_MS + 1,
    }
    assert result(house.store, house.store.replace(Replacement(**same))) is True
    assert words(house) == []
    other = Replacement(**{**same, "text": "Другой", "due_ms": NOW_MS + 2 * HOUR_MS})
    assert result(house.store, house.store.replace(other)) is True
    assert words(house) == [("replaced", "Your code is 123456"), ("rescheduled", str(NOW_MS + HOUR_MS))]


def test_a_callback_tells_when_it_was_made_and_how_long_it_took(house: House) -> None:
    """The row has the last attempt's end and latency, untouched by what was put off unmade; those in vain are kept."""
    result(house.store, house.store.record(sent(house.sending(1))))
    [row] = house.rows(schema.callback)
    assert (row["made_ms"], row["ended_ms"], row["took_ms"]) == (NOW_MS, 0, 0)
    tried: dict[str, Any] = {"id": row["id"], "message_id": 1, "state": "pending", "due_ms": NOW_MS + 10}
    in_vain = CallbackResult(**tried, attempt=1, status=503, detail="busy", ended_ms=NOW_MS + 7, took_ms=70)
    result(house.store, house.store.close_callback(in_vain))
    result(house.store, house.store.claim_callbacks(CallbackClaim(9, NOW_MS + 10, NOW_MS + 99)))
    put_off = CallbackResult(**tried, attempt=2, is_tried=False)
    result(house.store, house.store.close_callback(put_off))
    [row] = house.rows(schema.callback)
    assert (row["made_ms"], row["ended_ms"], row["took_ms"], row["attempt"]) == (NOW_MS, NOW_MS + 7, 70, 1)
    assert words(house) == [("callback", f"{row['id']} 503 70 busy")]
