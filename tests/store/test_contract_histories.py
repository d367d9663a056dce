"""Histories: an account finds its messages by id, name and time, page by page, and nobody else's."""

from typing import Any

import pytest

from chappe.core.centre import Refusal, Refused
from chappe.core.ids import first_id
from chappe.core.model import Message, Service, State
from chappe.store import schema
from chappe.store.histories import COUNT_MAX, OFFSET_MAX, Filters, Past, Span, Spending
from chappe.store.messages import Acceptance, Cancellation, Recall
from store.givens import (
    ACCOUNT,
    NOW_MS,
    PRICE_MICROS,
    House,
    a_message,
    after,
    an_acceptance,
    ids_of,
    lose_the_answer,
    result,
    sent,
)

OTHER = 8
FIRST = first_id(NOW_MS)
MINUTE_MS = 60_000


def at(minute: int, index: int = 0) -> int:
    """An id that was made so many minutes after NOW_MS."""
    return first_id(NOW_MS + minute * MINUTE_MS) + index


def keep(house: House, *messages: Message, name: str = "", scheduled_ms: int = 0) -> None:
    acceptance = Acceptance(messages[0].account_id, messages, NOW_MS, name, scheduled_ms)
    assert result(house.store, house.store.accept(acceptance)) is True


def listed(house: House, filters: Filters = Filters(), **span: Any) -> tuple[list[int], int]:  # noqa: B008
    asked = Span(**({"account_id": ACCOUNT} | span))
    past, total = house.store.ask(lambda transaction: house.store.histories.messages(transaction, asked, filters))
    return [one.message.id for one in past], total


def fill(house: House) -> None:
    """A message a minute for ten minutes: every third to another recipient, every other from another originator."""
    house.fund(OTHER, 100 * PRICE_MICROS)
    house.accept(
        *(
            a_message(
                at(minute),
                recipient="447700900777" if minute % 3 == 0 else "447700900123",
                originator="SHOP" if minute % 2 else "ACME",
            )
            for minute in range(10)
        ),
        *(a_message(at(minute, 1), account_id=OTHER) for minute in range(10)),
    )


# Which minutes are found, newest first, and how many there are in all

LISTINGS: list[tuple[str, dict[str, Any], dict[str, Any], list[int], int]] = [
    ("all", {}, {}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 10),
    ("a page", {"offset": 2, "count_max": 3}, {}, [7, 6, 5], 10),
    ("behind the end", {"offset": 10}, {}, [], 10),
    ("further than anybody pages", {"offset": OFFSET_MAX + 1}, {}, [], 10),
    ("none at all", {"count_max": 0}, {}, [], 10),
    ("a span", {"from_ms": NOW_MS + 2 * MINUTE_MS, "to_ms": NOW_MS + 5 * MINUTE_MS}, {}, [4, 3, 2], 3),
    ("before an id", {}, {"before_id": at(3)}, [2, 1, 0], 3),
    ("one recipient", {}, {"recipients": ("447700900777",)}, [9, 6, 3, 0], 4),
    ("two recipients", {"count_max": 2}, {"recipients": ("447700900777", "447700900123")}, [9, 8], 10),
    ("one originator", {}, {"originators": ("SHOP",)}, [9, 7, 5, 3, 1], 5),
    ("both", {}, {"originators": ("SHOP",), "recipients": ("447700900777",)}, [9, 3], 2),
    ("a state none is in", {}, {"states": (State.SENT, State.DELIVERED)}, [], 0),
    ("their state", {"count_max": 1}, {"states": (State.QUEUED, State.SENT)}, [9], 10),
    ("a name that is another field's", {}, {"recipients": ("SHOP",)}, [], 0),
]


@pytest.mark.parametrize("name, span, filters, minutes, total", LISTINGS, ids=[row[0] for row in LISTINGS])
def test_messages_are_listed(
    house: House, name: str, span: dict[str, Any], filters: dict[str, Any], minutes: list[int], total: int
) -> None:
    """An account's messages come newest first, by span, page and filter, with the number of all that fit."""
    fill(house)
    assert listed(house, Filters(**filters), **span) == ([at(minute) for minute in minutes], total)


def test_a_page_has_a_limit(house: House) -> None:
    """No page is longer than a thousand, whatever is asked for."""
    messages = [a_message(at(0, index), submission_id=at(0), price_micros=0) for index in range(COUNT_MAX + 5)]
    keep(house, *messages)
    ids, total = listed(house, count_max=1 << 40)
    assert (len(ids), total) == (COUNT_MAX, COUNT_MAX + 5)


def test_a_listing_walks_the_accounts_own_index(sqlite_house: House) -> None:
    """The list and its total are read through the index of the account, not through everybody's rows."""
    house = sqlite_house  # PostgreSQL plans by size: an empty table tells nothing
    histories = house.store.histories
    for prepared in (histories._list, histories._count, histories._list_submissions, histories._count_submissions):
        with house.database.connect() as connection, connection.transaction() as transaction:
            names = ("account", "first", "behind", "count_max", "skipped")
            filters = ("all_recipients", "all_originators", "all_states")
            values = dict.fromkeys((*names, *filters), 1) | prepared.defaults | {"batch": "[]"}
            transaction._cursor.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", values)
            plan = " ".join(str(row[-1]) for row in transaction._cursor.fetchall())
        assert "message_account (account_id=? AND id>? AND id<?)" in plan
        assert "SCAN message" not in plan


def test_money_paid_in_is_found_by_its_index(sqlite_house: House) -> None:
    """What was paid in is read through the index of credits, however many messages an account has paid for."""
    prepared = sqlite_house.store.histories._paid_in
    with sqlite_house.database.connect() as connection, connection.transaction() as transaction:
        values = dict.fromkeys(("account", "from", "to"), 1) | prepared.defaults
        transaction._cursor.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", values)
        [plan] = [str(row[-1]) for row in transaction._cursor.fetchall()]
    assert "entry_credits (account_id=? AND made_ms>? AND made_ms<?)" in plan


def test_a_submission_is_found_by_its_name(house: House) -> None:
    """The newest submission of that name is meant, and only its account's; the name is kept with the submission."""
    house.fund(OTHER, 100 * PRICE_MICROS)
    keep(house, a_message(at(1)), name="order")
    keep(house, a_message(at(2)), name="order")
    keep(house, a_message(at(3), account_id=OTHER), name="order")
    keep(house, a_message(at(4)), name="other")
    named = house.store.histories.submission_named
    assert house.store.ask(lambda transaction: named(transaction, ACCOUNT, "order")) == at(2)
    assert house.store.ask(lambda transaction: named(transaction, OTHER, "order")) == at(3)
    assert house.store.ask(lambda transaction: named(transaction, OTHER, "other")) is None


def test_a_name_is_kept_once(house: House) -> None:
    """If the answer of an acceptance was lost its name and schedule are there once, and with a refused one never."""
    house.fund(OTHER, 0)
    lose_the_answer(house.store)
    keep(house, a_message(at(1)), name="order", scheduled_ms=NOW_MS + 1)
    refused = Acceptance(OTHER, (a_message(at(2), account_id=OTHER),), NOW_MS, "order", NOW_MS + 1)
    assert result(house.store, house.store.accept(refused)) is False
    assert [row["submission_id"] for row in house.rows(schema.named_submission)] == [at(1)]
    assert [row["submission_id"] for row in house.rows(schema.scheduled_submission)] == [at(1)]


def test_one_message_and_one_submission(house: House) -> None:
    """A message is found by id by its account alone; a submission's messages in order, or only those to a recipient."""
    recipients = ("447700900001", "447700900002", "447700900001")
    messages = [
        a_message(at(0, index), submission_id=at(0), recipient=recipient) for index, recipient in enumerate(recipients)
    ]
    keep(house, *messages)
    histories = house.store.histories
    assert house.store.ask(lambda transaction: histories.one(transaction, ACCOUNT, at(0, 1))) == Past(
        messages[1], 0, ""
    )
    assert house.store.ask(lambda transaction: histories.one(transaction, OTHER, at(0, 1))) is None

    def found(account_id: int, recipient: str = "") -> list[int]:
        ask = lambda transaction: histories.of_submission(transaction, account_id, at(0), recipient)  # noqa: E731
        return [one.message.id for one in house.store.ask(ask)]

    assert found(ACCOUNT) == ids_of(messages)
    assert found(ACCOUNT, "447700900001") == [at(0), at(0, 2)]
    assert found(OTHER) == []


def test_submissions_are_listed(house: House) -> None:
    """Each submission is one item however many recipients it has, newest first, with when it is to be sent."""
    house.fund(OTHER, 100 * PRICE_MICROS)
    keep(house, *(a_message(at(1, index), submission_id=at(1), reference="order 1") for index in range(3)))
    keep(house, a_message(at(1, 3)))  # made in the same moment
    keep(house, a_message(at(2), service=Service.ECONOMY), scheduled_ms=NOW_MS + 7)
    keep(house, a_message(at(3), account_id=OTHER))
    histories = house.store.histories
    past, total = house.store.ask(lambda transaction: histories.submissions(transaction, Span(account_id=ACCOUNT)))
    assert total == 3
    assert [(one.id, one.recipients_count, one.scheduled_ms, one.reference) for one in past] == [
        (at(2), 1, NOW_MS + 7, ""),
        (at(1, 3), 1, None, ""),
        (at(1), 3, None, "order 1"),
    ]
    assert past[0].service is Service.ECONOMY
    second = Span(account_id=ACCOUNT, offset=1, count_max=1)
    page, total = house.store.ask(lambda transaction: histories.submissions(transaction, second))
    assert ([one.id for one in page], total) == ([at(1, 3)], 3)


def test_spending_is_what_was_not_given_back(house: House) -> None:
    """Sent and waiting messages of a span count with their price, cancelled, refused and never charged ones do not."""
    house.fund(OTHER, 100 * PRICE_MICROS)
    house.accept(*(a_message(at(minute), segments=2) for minute in (1, 2, 3)))
    by_id = {one.id: one for one in house.claim()}
    result(house.store, house.store.record(sent(by_id[at(1)])))
    result(house.store, house.store.record(after(by_id[at(2)], Refused(Refusal.BAD_RECIPIENT))))
    house.accept(
        a_message(at(4)),
        a_message(at(5), is_charged_late=True, state=State.SCHEDULED),
        a_message(at(6)),
        a_message(at(3, 1), account_id=OTHER),
    )
    assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, at(4), NOW_MS))) == 1
    histories = house.store.histories

    def spent(from_ms: int, to_ms: int) -> Spending:
        return house.store.ask(lambda transaction: histories.spending(transaction, ACCOUNT, from_ms, to_ms))

    paid_in = 1_000 * PRICE_MICROS
    assert spent(NOW_MS, NOW_MS + 10 * MINUTE_MS) == Spending(
        segments_count=5, spent_micros=3 * PRICE_MICROS, paid_in_micros=paid_in
    )
    assert spent(NOW_MS + 1, NOW_MS + 3 * MINUTE_MS) == Spending(
        segments_count=2, spent_micros=PRICE_MICROS, paid_in_micros=0
    )


CANCELLATIONS = [
    ({}, [0, 1, 2]),
    ({"recipient": "447700900001"}, [0, 2]),
    ({"recipient": "447700900009"}, []),
    ({"message_id": at(0, 1)}, [1]),
    ({"message_id": at(0, 1), "recipient": "447700900001"}, []),
]


@pytest.mark.parametrize("which, cancelled", CANCELLATIONS)
def test_a_part_of_a_submission_is_taken_back(house: House, which: dict[str, Any], cancelled: list[int]) -> None:
    """All of a submission, its messages to one recipient, or one message are cancelled and told, and no others."""
    recipients = ("447700900001", "447700900002", "447700900001")
    keep(house, *(a_message(at(0, i), submission_id=at(0), recipient=to) for i, to in enumerate(recipients)))
    wish = Cancellation(ACCOUNT, at(0), NOW_MS, **which)
    lose_the_answer(house.store)
    assert result(house.store, house.store.cancel(wish)) == len(cancelled)
    ids = [at(0, index) for index in cancelled]
    assert [key for key, state in house.states().items() if state == "cancelled"] == ids
    assert sorted(row["message_id"] for row in house.rows(schema.callback)) == ids
    assert {row["due_ms"] for row in house.rows(schema.callback)} <= {NOW_MS}
    house.check_books()


def test_everything_scheduled_is_taken_back(house: House) -> None:
    """What an account has scheduled is cancelled, as many at once as asked; what is queued and others' is not."""
    house.fund(OTHER, 100 * PRICE_MICROS)
    later = {"state": State.SCHEDULED, "due_ms": NOW_MS + 1_000}
    house.accept(*(a_message(number, **later) for number in (1, 2, 3)), a_message(4))
    house.accept(a_message(5, account_id=OTHER, **later))
    lose_the_answer(house.store)
    assert result(house.store, house.store.recall(Recall(ACCOUNT, NOW_MS, 2))) == 2
    assert result(house.store, house.store.recall(Recall(ACCOUNT, NOW_MS + 1, 2))) == 1
    assert result(house.store, house.store.recall(Recall(ACCOUNT, NOW_MS + 2, 2))) == 0
    assert list(house.states().values()) == ["cancelled"] * 3 + ["queued", "scheduled"]
    house.check_books()


def test_what_is_delivered_at_acceptance_is_told_soon(house: House) -> None:
    """A message that is not to be sent is kept with its end and detail, and its callback is due for anybody at once."""
    virtual = a_message(1, state=State.DELIVERED, price_micros=0, carrier_id=0)
    lose_the_answer(house.store)
    assert result(house.store, house.store.accept(an_acceptance(virtual))) is True
    [row] = house.rows(schema.message)
    assert (row["state"], row["final_ms"], row["detail"]) == ("delivered", NOW_MS, "virtual")
    [told] = house.rows(schema.callback)
    assert (told["payload"], told["attempt"], told["due_ms"], told["node_id"]) == ("delivered", 0, NOW_MS, 0)
    assert house.claim() == []
