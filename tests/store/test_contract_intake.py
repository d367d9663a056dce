"""Intake: what is accepted is kept with its money in one commit, what is refused leaves nothing, waiting has an end."""

from typing import Any

import pytest

from chappe.core.lifecycle import RECEIPT_PATIENCE_S
from chappe.core.model import Priority, Service, State
from chappe.store.database import StoreError, StoreUnavailable
from chappe.store.messages import Acceptance, Cancellation, Expiry
from store.givens import (
    ACCOUNT,
    HOUR_MS,
    NOW_MS,
    PRICE_MICROS,
    House,
    a_message,
    an_acceptance,
    ids_of,
    lose_the_answer,
    result,
    sent,
    settle,
)


def test_accepted_is_kept_with_its_reservation(house: House) -> None:
    """An accepted message is there exactly as it was given, and its price moved from available to reserved."""
    given = a_message(
        1,
        reference="order 7",
        service=Service.PREMIUM,
        priority=Priority.URGENT,
        backups=(5, 9),
        state=State.SCHEDULED,
        due_ms=NOW_MS + 1,
        wants_callbacks=False,
        segments=3,
    )
    assert result(house.store, house.store.accept(an_acceptance(given))) is True
    assert house.store.ask(house.store.of_submission(1, 10)) == [given]
    assert house.balance() == (999 * PRICE_MICROS, PRICE_MICROS)
    assert house.kinds(1) == ["available>reserved"]


def test_an_acceptance_is_one_commit(house: House) -> None:
    """Whatever strikes before the commit takes message, entry and reservation away together."""

    def strike() -> None:
        raise RuntimeError("struck")

    house.store._commits.before_commit = strike
    [answer] = settle(house.store, house.store.accept(an_acceptance(a_message(1))))
    assert isinstance(answer, RuntimeError)
    assert (house.states(), house.kinds(1), house.balance()) == ({}, [], (1_000 * PRICE_MICROS, 0))


def test_refused_leaves_nothing(house: House) -> None:
    """Where the money does not reach, no row and no entry is left, not even of the part that could be paid."""
    house.fund(8, 2 * PRICE_MICROS)
    messages = [a_message(number, account_id=8, submission_id=1) for number in (1, 2, 3)]
    assert result(house.store, house.store.accept(an_acceptance(*messages))) is False
    assert (house.states(), house.kinds(1), house.balance(8)) == ({}, [], (2 * PRICE_MICROS, 0))


@pytest.mark.parametrize(
    "funds, limit, wishes, granted",
    [
        # what is there, how far it may go down, submissions in messages; prices are 1
        (3, 0, [2, 2, 1], [True, False, True]),
        (3, 0, [1, 1, 1, 1], [True, True, True, False]),
        (0, 0, [1], [False]),
        (0, -2, [1, 1, 1], [True, True, False]),
        (3, 2, [1, 1], [True, False]),
    ],
)
def test_money_is_granted_in_the_order_asked(
    house: House, funds: int, limit: int, wishes: list[int], granted: list[bool]
) -> None:
    """Within one round money goes to whoever asked first, and never below the account's limit."""
    house.fund(8, funds * PRICE_MICROS, limit * PRICE_MICROS)
    futures = []
    for number, count in enumerate(wishes, 1):
        messages = [a_message(number * 100 + index, account_id=8) for index in range(count)]
        futures.append(house.store.accept(an_acceptance(*messages)))
    assert settle(house.store, *futures) == granted
    assert house.store._commits.rounds_count == 1
    house.check_books()


def test_an_account_without_a_balance_may_only_spend_nothing(house: House) -> None:
    """No balance, no message; a free one is nobody's loss."""
    futures = [
        house.store.accept(an_acceptance(a_message(1, account_id=99))),
        house.store.accept(an_acceptance(a_message(2, account_id=99, price_micros=0))),
    ]
    assert settle(house.store, *futures) == [False, True]


def test_a_repeated_acceptance_charges_once(house: House) -> None:
    """If the answer of a commit was lost, the repeat finds the message and answers success without a second charge."""
    house.fund(8, PRICE_MICROS)
    lose_the_answer(house.store)
    futures = [house.store.accept(an_acceptance(a_message(number, account_id=8))) for number in (1, 2)]
    assert settle(house.store, *futures) == [True, False]
    assert house.kinds(1) == ["available>reserved"]
    assert house.balance(8) == (0, PRICE_MICROS)


def test_a_foreign_message_under_the_same_id_is_an_error(house: House) -> None:
    """An id that belongs to another message is refused, and everybody else in the round is served."""
    house.accept(a_message(1))
    futures = [
        house.store.accept(an_acceptance(a_message(number, recipient=f"44770090000{number}"))) for number in (1, 2, 3)
    ]
    foreign, *others = settle(house.store, *futures)
    assert isinstance(foreign, StoreError)
    assert not isinstance(foreign, StoreUnavailable)
    assert others == [True, True]
    assert house.balance() == (997 * PRICE_MICROS, 3 * PRICE_MICROS)
    house.check_books()


@pytest.mark.parametrize("changes", [{"recipient": "447700900999"}, {"account_id": 8}])
def test_a_repeat_takes_no_foreign_message_for_its_own(house: House, changes: dict[str, Any]) -> None:
    """On a repeat, too, an id that belongs to another message is an error and not a success."""
    house.accept(a_message(1))
    foreign = an_acceptance(a_message(1, **changes))
    with pytest.raises(StoreError):
        repeat(house, foreign)
    repeat(house, an_acceptance(a_message(1)))
    assert len(house.kinds(1)) == 1


def repeat(house: House, acceptance: Acceptance) -> None:
    with house.store.database.transaction() as transaction:
        assert house.store._messages.accept_many(transaction, [acceptance], True) == [True]


AWKWARD = {
    "quotes": """it's "quoted" `thus` \\ and \\" so""",
    "percent": "100 % %s %(name)s %% :name ?1 $1 {0}",
    "json": '["a", {"b": null}] \\u0041',
    "array": "{a,b} NULL \\N ,",
    "comment": "'; -- DROP /* */ ;",
    "lines": "\r\n\t\x0b\x0c\x1b\x7f\x01 end ",
    "extension": "€[]{}\\^~|",
    "greek": "ΔΦΓΛΩΠΨΣΘΞ",
    "emoji": "👩‍👩‍👧‍👦🇫🇷✨ é e\u0301",
    "marks": "\ufeff\u200b\u202e\u2028\uffff\U0010ffff",
    "empty": "",
    "digits": "00123",
    "number": "1e5",
    "null": "null",
    "long": "x" * 70_000,
}


def test_texts_are_kept_as_they_are(house: House) -> None:
    """Every text comes back character by character, from a look-up and from a claim, in whichever field it stood."""
    texts = dict(enumerate(AWKWARD.values(), 1))
    house.accept(*(a_message(number, text=text, reference=text, originator=text) for number, text in texts.items()))
    looked_up = [one for number in texts for one in house.store.ask(house.store.of_submission(number, 1))]
    for found in (looked_up, house.claim()):
        assert {one.id: one.text for one in found} == texts
        assert {one.id: one.reference for one in found} == texts
        assert {one.id: one.originator for one in found} == texts


@pytest.mark.parametrize("text", ["half a pair: \ud83d"])
def test_text_that_is_no_unicode_is_refused_alone(house: House, text: str) -> None:
    """A lone surrogate cannot be stored; only its own message is refused."""
    futures = [
        house.store.accept(an_acceptance(a_message(1, text=text))),
        house.store.accept(an_acceptance(a_message(2))),
    ]
    refused, kept = settle(house.store, *futures)
    assert isinstance(refused, ValueError)
    assert kept is True
    assert house.states() == {2: "queued"}


def test_nul_is_refused_by_postgresql_and_kept_by_sqlite(house: House) -> None:
    """PostgreSQL has no NUL in texts and refuses that message alone (the gateway takes NUL away before); SQLite has."""
    futures = [
        house.store.accept(an_acceptance(a_message(1, text="a\0b"))),
        house.store.accept(an_acceptance(a_message(2))),
    ]
    first, second = settle(house.store, *futures)
    assert second is True
    if house.database.is_sqlite:
        assert first is True
        assert [one.text for one in house.store.ask(house.store.of_submission(1, 1))] == ["a\0b"]
    else:
        assert isinstance(first, StoreError)
        assert house.states() == {2: "queued"}


def test_many_recipients_are_one_acceptance(house: House) -> None:
    """A hundred messages of one submission are kept together, and looked up in order, as many as asked for."""
    messages = [a_message(1_000 + index, submission_id=1_000, recipient=f"4477009{index:05}") for index in range(100)]
    assert result(house.store, house.store.accept(an_acceptance(*messages))) is True
    assert house.store.ask(house.store.of_submission(1_000, 500)) == messages
    assert house.store.ask(house.store.of_submission(1_000, 7)) == messages[:7]
    assert house.balance() == (900 * PRICE_MICROS, 100 * PRICE_MICROS)
    house.check_books()


def test_cancelling_gives_the_money_back(house: House) -> None:
    """What still waits of a submission is cancelled and its money available again; what is on its way goes on."""
    messages = [
        a_message(10 + index, submission_id=10, state=State.SCHEDULED if index else State.QUEUED, due_ms=NOW_MS + index)
        for index in range(3)
    ]
    assert result(house.store, house.store.accept(an_acceptance(*messages)))
    house.claim()
    assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, 10, NOW_MS))) == 2
    assert house.states() == {10: "sending", 11: "cancelled", 12: "cancelled"}
    assert house.balance() == (999 * PRICE_MICROS, PRICE_MICROS)
    assert house.kinds(11) == ["available>reserved", "reserved>available"]
    assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, 10, NOW_MS + 1))) == 0
    house.check_books()


@pytest.mark.parametrize("account_id, submission_id", [(8, 10), (ACCOUNT, 9), (ACCOUNT, 11)])
def test_only_the_owner_cancels_only_what_is_named(house: House, account_id: int, submission_id: int) -> None:
    """Another account's wish, or another submission's id, cancels nothing."""
    messages = [a_message(10 + index, submission_id=10) for index in range(2)]
    assert result(house.store, house.store.accept(an_acceptance(*messages)))
    assert result(house.store, house.store.cancel(Cancellation(account_id, submission_id, NOW_MS))) == 0
    assert set(house.states().values()) == {"queued"}


def test_a_repeated_cancellation_tells_the_same_count(house: House) -> None:
    """If the answer of the commit was lost, the repeat still tells how many messages this wish cancelled."""
    house.accept(a_message(1))
    lose_the_answer(house.store)
    assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, 1, NOW_MS))) == 1
    house.check_books()


def test_waiting_too_long_expires_with_money_back(house: House) -> None:
    """At the end of its validity a waiting message expires, is paid back and announced, and is not claimed any more."""
    house.accept(a_message(1), a_message(2, expires_ms=NOW_MS + 1), a_message(3, wants_callbacks=False))
    assert result(house.store, house.store.expire(Expiry(NOW_MS, 100))) == []
    assert ids_of(house.claim(now_ms=NOW_MS + HOUR_MS)) == []
    told = result(house.store, house.store.expire(Expiry(NOW_MS + HOUR_MS, 100)))
    assert sorted((one.message_id, one.payload) for one in told) == [(1, "expired"), (2, "expired")]
    assert set(house.states().values()) == {"expired"}
    assert house.balance() == (1_000 * PRICE_MICROS, 0)
    house.check_books()


def test_expiry_keeps_to_its_count(house: House) -> None:
    """One expiry closes no more messages than it was asked to."""
    house.accept(*(a_message(number) for number in range(1, 8)))
    told = result(house.store, house.store.expire(Expiry(NOW_MS + HOUR_MS, 5)))
    assert len(told) == 5
    assert sorted(house.states().values()) == ["expired"] * 5 + ["queued"] * 2


def test_sent_without_receipt_becomes_unknown_and_stays_paid(house: House) -> None:
    """A sent message whose receipt never came is unknown after its validity and our patience; the carrier was paid."""
    claimed = house.sending(1)
    result(house.store, house.store.record(sent(claimed)))
    patience_ms = RECEIPT_PATIENCE_S * 1_000
    assert result(house.store, house.store.expire(Expiry(claimed.expires_ms + patience_ms - 1, 100))) == []
    told = result(house.store, house.store.expire(Expiry(claimed.expires_ms + patience_ms, 100)))
    assert [one.payload for one in told] == ["unknown"]
    assert house.states() == {1: "unknown"}
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]
    house.check_books()


def test_what_is_being_sent_does_not_expire(house: House) -> None:
    """While nobody knows whether the carrier took it, neither expiry nor cancellation touches a message."""
    house.sending(1)
    assert result(house.store, house.store.expire(Expiry(NOW_MS + 1_000 * HOUR_MS, 100))) == []
    assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, 1, NOW_MS))) == 0
    assert house.states() == {1: "sending"}


def test_a_reader_sees_one_moment(house: House) -> None:
    """Two looks within one question see the same, whatever is committed in between."""
    lookup = house.store.of_submission(1, 1)
    with house.store.database.reading() as transaction:
        assert lookup(transaction) == []
        house.accept(a_message(1))
        assert lookup(transaction) == []
    assert len(house.store.ask(lookup)) == 1
