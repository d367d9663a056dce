"""Late charges: a scheduled message may cost its price only when it leaves, once, and never more than there is."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Message, State
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.messages import Cancellation, Expiry, Recall
from chappe.store.sending import Claim
from store.givens import (
    ACCOUNT,
    CARRIER,
    HOUR_MS,
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

DUE_MS = NOW_MS + 60_000
POOR = 8


def late(message_id: int, account_id: int = ACCOUNT, **changes: object) -> Message:
    return a_message(
        message_id,
        account_id=account_id,
        is_charged_late=True,
        state=State.SCHEDULED,
        due_ms=DUE_MS + message_id,
        expires_ms=DUE_MS + HOUR_MS,
        **changes,
    )


def claim(house: House, store: Store | None = None, count_max: int = 100) -> list[Message]:
    return house.claim(store, count_max, now_ms=DUE_MS + 1_000)


def test_what_is_charged_late_costs_nothing_before_it_leaves(house: House) -> None:
    """Nothing is reserved at acceptance, the whole price when it is claimed, and it is spent once it was sent."""
    house.fund(POOR, PRICE_MICROS)
    house.accept(late(1, POOR))
    assert (house.balance(POOR), house.kinds(1)) == ((PRICE_MICROS, 0), [])
    house.check_books()
    [claimed] = claim(house)
    assert not claimed.is_charged_late
    assert (house.balance(POOR), house.kinds(1)) == ((0, PRICE_MICROS), ["available>reserved"])
    result(house.store, house.store.record(sent(claimed)))
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]
    house.check_books()


def test_acceptance_needs_no_money_for_what_is_charged_late(house: House) -> None:
    """An account without money may schedule what is charged late, though not what is charged at once."""
    house.fund(POOR, 0)
    assert result(house.store, house.store.accept(an_acceptance(late(1, POOR), late(2, POOR)))) is True
    assert result(house.store, house.store.accept(an_acceptance(a_message(3, account_id=POOR)))) is False


def test_what_cannot_be_paid_does_not_leave(house: House) -> None:
    """Where the money does not reach, the latest messages are rejected, with a callback due now, and never leave."""
    house.fund(POOR, 2 * PRICE_MICROS)
    house.accept(*(late(number, POOR) for number in (1, 2, 3)), late(4))
    assert ids_of(claim(house)) == [1, 2, 4]
    assert house.states() == {1: "sending", 2: "sending", 3: "rejected", 4: "sending"}
    [row] = [row for row in house.rows(schema.message) if row["id"] == 3]
    assert (row["detail"], row["attempt"], row["node_id"], row["final_ms"]) == ("no_funds", 0, 0, DUE_MS + 1_000)
    assert house.kinds(3) == []
    [told] = house.rows(schema.callback)
    assert (told["message_id"], told["payload"], told["due_ms"], told["node_id"]) == (3, "rejected", DUE_MS + 1_000, 0)
    assert house.balance(POOR) == (0, 2 * PRICE_MICROS)
    house.check_books()


def test_what_cannot_be_paid_holds_up_nobody(house: House) -> None:
    """A claim that finds only what cannot be paid looks further, to what can."""
    house.fund(POOR, 0)
    house.accept(*(late(number, POOR) for number in range(1, 8)), late(9))
    assert ids_of(claim(house, count_max=2)) == [9]


def test_a_second_attempt_is_not_charged_again(house: House) -> None:
    """A message that comes back from its carrier and leaves once more is charged once."""
    house.accept(late(1))
    [claimed] = claim(house)
    result(house.store, house.store.record(after(claimed, Refused(Refusal.THROTTLED), now_ms=DUE_MS)))
    [again] = house.claim(now_ms=DUE_MS + 30_000)
    assert (again.attempt, house.kinds(1)) == (2, ["available>reserved"])
    house.check_books()


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_claim_whose_answer_was_lost_charges_once(house: House, is_kept: bool) -> None:
    """Whether the lost commit happened or not, what leaves is charged once, and what cannot be paid stays rejected."""
    house.fund(POOR, PRICE_MICROS)
    house.accept(late(1, POOR), late(2, POOR))
    lose_the_answer(house.store, is_kept=is_kept)
    assert ids_of(claim(house)) == [1]
    assert house.states() == {1: "sending", 2: "rejected"}
    assert (house.kinds(1), house.kinds(2)) == (["available>reserved"], [])
    assert len(house.rows(schema.callback)) == 1
    house.check_books()


@pytest.mark.parametrize("end", ["cancel", "recall", "expire"])
def test_what_was_never_charged_is_not_paid_back(house: House, end: str) -> None:
    """A message that ends before it left moves no money, and costs nothing in the account's history."""
    house.accept(late(1))
    if end == "cancel":
        assert result(house.store, house.store.cancel(Cancellation(ACCOUNT, 1, NOW_MS))) == 1
    elif end == "recall":
        assert result(house.store, house.store.recall(Recall(ACCOUNT, NOW_MS, 10))) == 1
    else:
        assert result(house.store, house.store.expire(Expiry(DUE_MS + HOUR_MS, 10)))
    assert (house.kinds(1), house.balance()) == ([], (1_000 * PRICE_MICROS, 0))
    [message] = house.store.ask(house.store.of_submission(1, 1))
    assert message.price_micros == 0
    house.check_books()
    assert house.store.ask(house.store.figures.audit).findings == ()


def test_many_nodes_claim_no_more_than_there_is(house: House) -> None:
    """Nodes that claim at once, while others accept, together spend exactly what there is, and nothing twice."""
    house.fund(POOR, 50 * PRICE_MICROS)
    house.accept(*(late(number, POOR, recipient=str(447_700_900_000 + number)) for number in range(1, 101)))
    with ThreadPoolExecutor(4) as threads:
        rounds = list(threads.map(lambda node: asyncio.run(drain(house.url, node)), range(1_001, 1_005)))
    claimed = [message_id for ids in rounds for message_id in ids]
    assert len(claimed) == len(set(claimed)) == 50
    assert sorted(house.states().values()) == ["rejected"] * 50 + ["sending"] * 50
    assert house.balance(POOR) == (0, 50 * PRICE_MICROS)
    house.check_books()


async def drain(url: str, node_id: int) -> list[int]:
    store = Store(Database(url))
    store.register(node_id, "", NOW_MS, is_alone=False)
    store.start()
    taken: list[int] = []
    try:
        while claimed := await store.claim(Claim(CARRIER, 7, DUE_MS + 1_000)):
            taken += ids_of(claimed)
    finally:
        store.stop()
    return taken
