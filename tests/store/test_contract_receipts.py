"""Receipts: each one finds its message whenever it comes, and a final state stays what it is."""

from collections.abc import Iterable

import pytest
from msgspec import structs

from chappe.core.centre import Uncertain
from chappe.core.model import State
from chappe.store import schema
from chappe.store.database import Transaction
from chappe.store.messages import Expiry
from chappe.store.receipts import PARKED_KEPT_S, Matches, Receipts, Reference, Told
from chappe.store.sending import Recorded
from store.givens import (
    CARRIER,
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

REFERENCES = ["ref-1", "0012", "12", "a'b\"c", "é€", " x ", "x" * 300]


def told(house: House, reference: str, state: State = State.DELIVERED, now_ms: int = NOW_MS) -> Told:
    return result(house.store, house.store.receive(a_receipt(reference, state, now_ms)))


@pytest.mark.parametrize("state", ["delivered", "undeliverable", "expired", "rejected", "unknown"])
def test_a_receipt_finds_its_message(house: House, state: str) -> None:
    """A receipt moves its message by the carrier's reference, with the carrier's word and one callback; money stays."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "R1")))
    answer = told(house, "R1", State(state))
    [row] = house.rows(schema.message)
    assert (answer.is_parked, answer.message_id, answer.state) == (False, 1, State(state))
    assert (row["state"], row["detail"]) == (state, "word")
    assert [one.payload for one in answer.callbacks] == [state]
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]


def test_references_are_compared_as_given(house: House) -> None:
    """Every reference, however it looks, belongs to its own message and to none other."""
    house.accept(*(a_message(number) for number, _ in enumerate(REFERENCES)))
    claimed = {one.id: one for one in house.claim()}
    settle(house.store, *(house.store.record(sent(claimed[i], each)) for i, each in enumerate(REFERENCES)))
    answers = settle(house.store, *(house.store.receive(a_receipt(each)) for each in REFERENCES))
    assert [one.message_id for one in answers if isinstance(one, Told)] == list(range(len(REFERENCES)))


def test_carriers_may_use_the_same_reference(house: House) -> None:
    """A reference belongs to its carrier: another carrier's receipt under the same reference is parked."""
    house.accept(a_message(1, carrier_id=CARRIER + 1))
    claimed = house.sending(2)
    result(house.store, house.store.record(sent(claimed, "R")))
    assert told(house, "R").message_id == 2
    assert house.states()[1] == "queued"


def test_a_reference_used_again_belongs_to_the_latest(house: House) -> None:
    """A carrier that gives one reference twice, even within one round, is taken at its last word."""
    house.accept(a_message(1), a_message(2))
    first, second = house.claim()
    answers = settle(house.store, house.store.record(sent(first, "R")), house.store.record(sent(second, "R")))
    assert [one.is_made for one in answers if isinstance(one, Recorded)] == [True, True]
    assert house.store._commits.rounds_count == 3
    assert told(house, "R").message_id == 2


def spelled(house: House, reference: str, *spellings: str, recipient: str) -> Told:
    receipt = structs.replace(a_receipt(reference), recipient=recipient, spellings=spellings)
    return result(house.store, house.store.receive(receipt))


@pytest.mark.parametrize(
    "written, is_found",
    [
        ("447700900123", True),
        ("+44 7700 900123", True),
        ("00447700900123", True),
        ("07700900123", True),
        ("900123", False),
        ("447700900124", False),
        ("", False),
    ],
)
def test_another_spelling_counts_only_for_the_same_recipient(house: House, written: str, is_found: bool) -> None:
    """A receipt finds its message under another reading of its reference if the number agrees, in any writing."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "1f")))
    answer = spelled(house, "31", "49", "1f", recipient=written)
    assert (answer.is_parked, answer.message_id, answer.spelling) == ((False, 1, 1) if is_found else (True, 0, -1))
    assert house.states() == {1: "delivered" if is_found else "sent"}
    assert [row["reference"] for row in house.rows(schema.parked_receipt)] == ([] if is_found else ["31"])


def test_a_reading_that_fits_the_recipient_is_believed_over_one_that_does_not(house: House) -> None:
    """Where the reference as given is another message's, the reading that names a message to the recipient is taken."""
    house.accept(a_message(1, recipient="447700900001"), a_message(2, recipient="447700900002"))
    first, second = house.claim()
    settle(house.store, house.store.record(sent(first, "10")), house.store.record(sent(second, "a")))
    answers = [spelled(house, "10", "16", "a", recipient=to) for to in ("447700900002", "447700900001", "1")]
    assert [(one.message_id, one.spelling, one.state) for one in answers] == [
        (2, 1, State.DELIVERED),
        (1, -1, State.DELIVERED),
        (1, -1, None),
    ]
    assert [one.is_to_recipient for one in answers] == [True, True, False]


def test_spellings_of_segments_are_marked_under_the_reference_that_is_kept(house: House) -> None:
    """The segments of a long message are told apart under other readings of their references too."""
    claimed = house.sending(1, segments=2)
    result(house.store, house.store.record(sent(claimed, "a", "b")))
    to = claimed.recipient
    answers = [
        spelled(house, decimal, hexadecimal, recipient=to) for decimal, hexadecimal in (("10", "a"), ("11", "b"))
    ]
    assert [(one.message_id, one.spelling, one.state) for one in answers] == [(1, 0, None), (1, 0, State.DELIVERED)]


def test_no_second_look_where_nothing_is_spelled_otherwise(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts that are found as given, or have no other reading, are looked for once."""
    looks: list[object] = []
    whole = Receipts._matches

    def look(self: Receipts, transaction: Transaction, references: Iterable[Reference]) -> Matches:
        looks.append(references)
        return whole(self, transaction, references)

    monkeypatch.setattr(Receipts, "_matches", look)
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "1f")))
    assert spelled(house, "1f", "31", recipient=claimed.recipient).message_id == 1
    assert told(house, "unknown").is_parked
    assert looks == [{(CARRIER, "1f")}, {(CARRIER, "unknown")}]


def test_an_empty_reference_is_none(house: House) -> None:
    """A carrier that names nothing leaves nothing for a stray receipt to find."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "")))
    assert told(house, "").is_parked
    assert house.states() == {1: "sent"}


@pytest.mark.parametrize("is_same_round", [False, True])
def test_a_receipt_before_the_answer_is_parked_and_met(house: House, is_same_round: bool) -> None:
    """A receipt that overtakes the carrier's answer waits and is brought home by it: sent, then delivered."""
    claimed = house.sending(1)
    receipt = house.store.receive(a_receipt("R"))
    if not is_same_round:
        assert result(house.store, receipt) == Told(is_parked=True)
        assert len(house.rows(schema.parked_receipt)) == 1
    recorded = result(house.store, house.store.record(sent(claimed, "R")))
    announced = [*recorded.callbacks, *receipt.result().callbacks]
    assert [one.payload for one in announced] == ["sent", "delivered"]
    assert house.states() == {1: "delivered"}
    assert house.rows(schema.parked_receipt) == []
    house.check_books()


def test_of_several_parked_receipts_the_first_final_one_counts(house: House) -> None:
    """Parked receipts are brought home in the order in which they came."""
    claimed = house.sending(1)
    for later, state in enumerate([State.UNKNOWN, State.UNDELIVERABLE, State.DELIVERED]):
        assert told(house, "R", state, NOW_MS + later).is_parked
    result(house.store, house.store.record(sent(claimed, "R")))
    assert house.states() == {1: "undeliverable"}


def test_a_receipt_parked_behind_another_nodes_back_is_met(house: House) -> None:
    """A receipt parked in the moment in which another node wrote the reference is found by the next look around."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "R")))
    with house.store.database.transaction() as transaction:  # as a node leaves it that could not see the reference yet
        house.store._receipts._park_all(transaction, [a_receipt("R")])
    callbacks = result(house.store, house.store.expire(Expiry(NOW_MS, 100)))
    assert [one.payload for one in callbacks] == ["delivered"]
    assert (house.states(), house.rows(schema.parked_receipt)) == ({1: "delivered"}, [])


@pytest.mark.parametrize(
    "states, end, changes",
    [
        # what the carrier reports in turn, where the message ends, how many of the receipts change it
        (["delivered", "delivered"], "delivered", 1),
        (["delivered", "undeliverable"], "delivered", 1),
        (["delivered", "sent", "unknown"], "delivered", 1),
        (["undeliverable", "delivered"], "undeliverable", 1),
        (["unknown", "delivered"], "delivered", 2),
        (["sent", "sent", "expired"], "expired", 1),
        (["queued", "sending", "cancelled", "scheduled"], "sent", 0),
    ],
)
@pytest.mark.parametrize("is_same_round", [False, True])
def test_a_final_state_is_never_overwritten(
    house: House, states: list[str], end: str, changes: int, is_same_round: bool
) -> None:
    """Twice, late or contradicting, in one round or in several: the first final word stands and is told once."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "R")))
    receipts = [a_receipt("R", State(state)) for state in states]
    answers = []
    if is_same_round:
        answers = settle(house.store, *map(house.store.receive, receipts))
    else:
        answers = [result(house.store, house.store.receive(one)) for one in receipts]
    assert house.states() == {1: end}
    assert sum(one.state is not None for one in answers if isinstance(one, Told)) == changes
    assert sum(row["payload"] == end for row in house.rows(schema.callback)) == 1
    house.check_books()


def test_a_repeated_receipt_changes_once(house: House) -> None:
    """If the answer of its commit was lost, a receipt is written and announced once all the same."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "R")))
    lose_the_answer(house.store)
    told(house, "R")
    assert house.states() == {1: "delivered"}
    assert len(house.rows(schema.callback)) == 2


def test_unknown_references_are_kept_for_a_week(house: House) -> None:
    """What belongs to no message stays visible for seven days, once however often it comes, and is then forgotten."""
    for _ in range(3):
        assert told(house, "nobody's") == Told(is_parked=True)
    week_ms = PARKED_KEPT_S * 1_000
    assert week_ms == 7 * 24 * 3_600_000
    result(house.store, house.store.expire(Expiry(NOW_MS + week_ms, 100)))
    assert [row["reference"] for row in house.rows(schema.parked_receipt)] == ["nobody's"]
    result(house.store, house.store.expire(Expiry(NOW_MS + week_ms + 1, 100)))
    assert house.rows(schema.parked_receipt) == []


def test_a_receipt_proves_that_a_doubtful_message_was_taken(house: House) -> None:
    """A receipt for a message still in doubt ends the doubt: the carrier is paid, and nobody may send it again."""
    claimed = house.sending(1)
    result(house.store, house.store.record(after(claimed, Uncertain(), "R")))
    answer = told(house, "R")
    assert [one.payload for one in answer.callbacks] == ["delivered"]
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]
    house.check_books()


def test_an_early_receipt_ends_a_doubt_at_once(house: House) -> None:
    """If the receipt is there when the verdict is uncertain, the message is delivered and paid in one commit."""
    claimed = house.sending(1)
    assert told(house, "R").is_parked
    result(house.store, house.store.record(after(claimed, Uncertain(), "R")))
    assert house.states() == {1: "delivered"}
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]
    house.check_books()


SEGMENTS = [
    # receipts as segment:state, the message's states after each
    (["1:delivered", "2:delivered", "3:delivered"], ["sent", "sent", "delivered"]),
    (["3:delivered", "1:undeliverable", "2:delivered"], ["sent", "sent", "undeliverable"]),
    (["1:delivered", "1:delivered", "2:delivered", "3:delivered"], ["sent", "sent", "sent", "delivered"]),
    (["1:delivered", "2:delivered", "1:sent", "3:delivered"], ["sent", "sent", "sent", "delivered"]),
    (["1:delivered", "1:undeliverable", "2:delivered", "3:delivered"], ["sent", "sent", "sent", "delivered"]),
    (["1:expired", "2:rejected", "3:undeliverable", "3:delivered"], ["sent", "sent", "rejected", "rejected"]),
    (["1:unknown", "2:delivered", "3:delivered", "1:delivered"], ["sent", "sent", "unknown", "delivered"]),
]


@pytest.mark.parametrize("receipts, states", SEGMENTS)
def test_a_message_is_the_sum_of_its_segments(house: House, receipts: list[str], states: list[str]) -> None:
    """Where each segment has a reference of its own, the message's state follows from all of theirs."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed, "R1", "R2", "R3")))
    seen = []
    for one in receipts:
        segment, state = one.split(":")
        assert not told(house, f"R{segment}", State(state)).is_parked
        seen.append(house.states()[1])
    assert seen == states
    announced = [row["payload"] for row in house.rows(schema.callback)]
    assert len(announced) == len(set(announced))


@pytest.mark.parametrize("receipts, states", SEGMENTS)
def test_segments_may_all_come_at_once(house: House, receipts: list[str], states: list[str]) -> None:
    """The same, when all receipts of the segments share one round with another message's."""
    house.accept(a_message(1), a_message(2))
    first, second = house.claim()
    settle(house.store, house.store.record(sent(first, "R1", "R2", "R3")), house.store.record(sent(second, "S1", "S2")))
    said = [(f"R{one[0]}", one[2:]) for one in receipts]
    rows = [a_receipt("S2"), *(a_receipt(reference, State(state)) for reference, state in said)]
    settle(house.store, *map(house.store.receive, rows))
    assert house.states() == {1: states[-1], 2: "sent"}


def test_early_segments_are_met_too(house: House) -> None:
    """Receipts of segments that came before the answer count like those that come after it."""
    claimed = house.sending(1)
    assert told(house, "R2").is_parked
    result(house.store, house.store.record(sent(claimed, "R1", "R2")))
    assert house.states() == {1: "sent"}
    told(house, "R1")
    assert house.states() == {1: "delivered"}
