"""Which message a receipt means while nobody knows in which digits its carrier writes ids: known early, and learned."""

import pytest

from chappe.carriers.receipt_ids import ANSWERED_MAX, EARLY_MAX, ReceiptIds
from chappe.core.model import Receipt, State
from chappe.dialects.smpp.ids import readings
from chappe.dialects.smpp.words import Ids

PHONE = "447700900123"


def receipt(written: str, recipient: str = PHONE, rule: Ids = Ids.LEARN) -> Receipt:
    reference, spellings = readings(written, "", rule)
    return Receipt(reference=reference, state=State.DELIVERED, recipient=recipient, spellings=spellings)


@pytest.mark.parametrize("answered, written", [("bc614e", "12345678"), ("12345678", "BC614E"), ("bc614e", "00BC614E")])
def test_a_receipt_is_read_by_the_ids_that_were_given(answered: str, written: str) -> None:
    """Of the readings of a receipt the one that was given to a message to its recipient counts."""
    ids = ReceiptIds(Ids.LEARN)
    assert ids.answer(answered, PHONE) is None
    assert ids.read(receipt(written)).reference == answered


def test_a_number_that_was_given_to_another_recipient_does_not_count() -> None:
    """An id in decimal digits that is another message's id in hexadecimal ones is told apart by the recipient."""
    ids = ReceiptIds(Ids.LEARN)
    ids.answer("12345678", "393331234567")
    ids.answer("bc614e", PHONE)
    assert ids.read(receipt("12345678")).reference == "bc614e"
    assert ids.read(receipt("12345678", "3331234567")).reference == "12345678"


@pytest.mark.parametrize("recipient, again", [(PHONE, "bc614e"), ("7700900123", "bc614e"), ("393331234567", None)])
def test_a_receipt_before_its_answer_is_found_by_it(recipient: str, again: str | None) -> None:
    """A receipt that came before any answer is read anew when its message's id is told, once."""
    ids = ReceiptIds(Ids.LEARN)
    ids.park(receipt("12345678", recipient))
    found = ids.answer("bc614e", PHONE)
    assert (found.reference if found else None) == again
    assert ids.answer("bc614e", PHONE) is None


def test_a_receipt_before_its_answer_as_it_was_given_needs_nothing() -> None:
    """Where a receipt is kept under the very id of its answer already, it is not brought a second time."""
    ids = ReceiptIds(Ids.LEARN)
    ids.park(receipt("12345678"))
    assert ids.answer("12345678", PHONE) is None


@pytest.mark.parametrize(
    "pairs, rule",
    [
        ([("12345678", "bc614e")] * 3, Ids.HEX_TO_DECIMAL),
        ([("bc614e", "12345678")] * 3, Ids.DECIMAL_TO_HEX),
        ([("12345678", "12345678")] * 3, Ids.SAME),
        ([("3f-a", "3f-a")] * 3, Ids.SAME),
        ([("12345678", "bc614e")] * 2, Ids.LEARN),
        ([("7", "7")] * 9, Ids.LEARN),
        ([("12345678", "12345678"), *[("12345678", "bc614e")] * 9], Ids.LEARN),
    ],
)
def test_three_that_agree_are_a_rule(pairs: list[tuple[str, str]], rule: Ids) -> None:
    """A rule is learned from three receipts that show it, where none shows another; ids equal in both show none."""
    ids = ReceiptIds(Ids.LEARN)
    for written, matched in pairs:
        assert list(ids.learn(written, matched)) == []
    assert ids.rule is rule


def test_what_came_before_the_rule_is_read_by_it() -> None:
    """Receipts that found nothing are read again under the rule, each once; those that mean the same stay kept."""
    ids = ReceiptIds(Ids.LEARN)
    ids.park(receipt("12345679"))
    ids.park(receipt("5"))
    again = [one for _ in range(3) for one in ids.learn("12345678", "bc614e")]
    assert [one.reference for one in again] == ["bc614f"]
    assert list(ids.learn("12345678", "bc614e")) == []


def test_what_is_kept_is_bounded() -> None:
    """Of very many ids and early receipts the oldest are forgotten."""
    ids = ReceiptIds(Ids.LEARN)
    for number in range(ANSWERED_MAX + 1):
        ids.answer(f"a{number:x}", PHONE)
    assert ids.read(receipt(str(0xA0))).reference == "160"
    assert ids.read(receipt(str(0xA1))).reference == "a1"
    for number in range(EARLY_MAX):
        ids.park(receipt(f"x-{number}"))
    ids.park(receipt("x-last"))
    assert len(ids._early) == EARLY_MAX
