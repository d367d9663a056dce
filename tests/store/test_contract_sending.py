"""Sending: a message is in one pair of hands at a time, and only those hands may say what became of it."""

import asyncio
from collections.abc import Callable

import pytest

from chappe.core.centre import Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Message, Priority, State
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.sending import Claim, Reconsideration, Recorded
from store.givens import (
    CARRIER,
    NOW_MS,
    PRICE_MICROS,
    House,
    a_message,
    after,
    ids_of,
    lose_the_answer,
    result,
    sent,
    settle,
)

URGENT, NORMAL, BULK = Priority.URGENT, Priority.NORMAL, Priority.BULK


def test_the_most_urgent_go_first(house: House) -> None:
    """Claims take the higher priority first, within one priority the earlier due time, and never more than asked."""
    house.accept(
        a_message(1, priority=BULK, due_ms=NOW_MS - 9),
        a_message(2, priority=NORMAL, due_ms=NOW_MS - 1),
        a_message(3, priority=NORMAL, due_ms=NOW_MS - 2),
        a_message(4, priority=URGENT, due_ms=NOW_MS),
        a_message(5, priority=BULK, due_ms=NOW_MS - 10),
        a_message(6, priority=URGENT, due_ms=NOW_MS - 3),
    )
    assert [ids_of(house.claim(count_max=2)) for _ in range(4)] == [[6, 4], [3, 2], [5, 1], []]


def test_a_claimed_message_is_on_its_first_attempt(house: House) -> None:
    """A claim answers after `sending`, the attempt and the owner are written down."""
    house.accept(a_message(1))
    [claimed] = house.claim()
    [row] = house.rows(schema.message)
    assert (claimed.state, claimed.attempt) == (State.SENDING, 1)
    assert (row["state"], row["attempt"], row["node_id"]) == ("sending", 1, house.store.node.id)
    assert house.claim() == []


def test_only_what_is_due_is_claimed(house: House) -> None:
    """A later due time, another carrier or an ended validity keeps a message from being claimed."""
    house.accept(
        a_message(1, state=State.SCHEDULED, due_ms=NOW_MS + 1),
        a_message(2, carrier_id=CARRIER + 1),
        a_message(3, expires_ms=NOW_MS),
        a_message(4, state=State.SCHEDULED, due_ms=NOW_MS),
    )
    assert ids_of(house.claim()) == [4]
    assert ids_of(house.claim(now_ms=NOW_MS + 1)) == [1]


@pytest.mark.parametrize("count_max", [1, 3, 50])
def test_the_limit_holds_at_any_size(house: House, count_max: int) -> None:
    """However the database plans the claim, it takes exactly as many as asked for, until nothing is left."""
    house.accept(*(a_message(number) for number in range(1, 121)))
    sizes = [len(house.claim(count_max=count_max)) for _ in range(3)]
    assert sizes == [count_max, count_max, min(count_max, 120 - 2 * count_max)]


def test_a_detour_takes_only_what_has_a_backup(house: House) -> None:
    """While its carrier is down, only messages that another carrier could take are claimed."""
    house.accept(a_message(1), a_message(2, backups=(9,)))
    assert ids_of(result(house.store, house.store.claim(Claim(CARRIER, 10, NOW_MS, is_detour=True)))) == [2]


def test_two_nodes_never_claim_the_same(house: House) -> None:
    """Two nodes that claim at the same time, each in a thread of its own, share the messages without an overlap."""
    house.accept(*(a_message(number) for number in range(1, 301)))
    claimed = asyncio.run(claim_from_threads(house.url, nodes_count=2, count_max=7))
    ids = [message_id for of_one in claimed for message_id in ids_of(of_one)]
    assert sorted(ids) == list(range(1, 301))
    assert all(claimed) or house.database.is_sqlite  # whose lock is unfair


async def claim_from_threads(url: str, nodes_count: int, count_max: int) -> list[list[Message]]:
    stores = [Store(Database(url)) for _ in range(nodes_count)]
    for node_id, store in enumerate(stores, 1_001):
        store.register(node_id, "", NOW_MS, is_alone=False)
        store.start()

    async def drain(store: Store) -> list[Message]:
        taken: list[Message] = []
        while claimed := await store.claim(Claim(CARRIER, count_max, NOW_MS)):
            taken += claimed
        return taken

    try:
        return await asyncio.gather(*map(drain, stores))
    finally:
        for store in stores:
            store.stop()


def test_a_claim_passes_by_what_another_node_is_claiming(postgres_url: str) -> None:
    """On PostgreSQL a claim does not wait for rows another node is just claiming: it takes the next ones."""
    house = House(postgres_url)
    house.accept(*(a_message(number) for number in range(1, 5)))
    other = house.new_store()
    with other.database.transaction() as transaction:
        [held] = other._outbox.claim_many(transaction, [Claim(CARRIER, 2, NOW_MS)], False)
        assert (ids_of(held), ids_of(house.claim())) == ([1, 2], [3, 4])
    house.close()


def test_a_lost_claim_is_answered_again(house: House) -> None:
    """If the answer of a claim was lost, the repeat hands out the same messages at the same attempt."""
    house.accept(a_message(1), a_message(2))
    lose_the_answer(house.store)
    claimed = house.claim()
    assert [(one.id, one.attempt) for one in claimed] == [(1, 1), (2, 1)]


def test_a_claim_that_was_told_unavailable_is_found_again(house: House) -> None:
    """If even the repeat failed, the next claim says so and finds what it holds, but nothing that is in flight."""
    house.accept(a_message(1))
    [in_flight] = house.claim()
    house.accept(a_message(2), a_message(3))
    with house.store.database.transaction() as transaction:  # as the lost commit left it
        house.store._outbox.claim_many(transaction, [Claim(CARRIER, 1, NOW_MS)], False)
    again = Claim(CARRIER, 10, NOW_MS, in_flight=frozenset([in_flight.id]), is_repeat=True)
    first, second = settle(house.store, house.store.claim(again), house.store.claim(again))
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert [ids_of(first), ids_of(second)] == [[2], [3]]


def test_a_repeated_claim_never_takes_a_doubtful_message(house: House) -> None:
    """What was adopted in doubt may have left already: only a repeated adoption finds it."""
    doubtful = house.sending(1)
    result(house.store, house.store.record(after(doubtful, Uncertain())))
    later_ms = doubtful.expires_ms
    wish = Claim(CARRIER, 10, later_ms)
    assert ids_of(result(house.store, house.store.adopt(wish))) == [1]
    again = Claim(CARRIER, 10, later_ms, is_repeat=True)
    assert result(house.store, house.store.claim(again)) == []
    assert ids_of(result(house.store, house.store.adopt(again))) == [1]


VERDICTS = [
    # verdict, the message's state, what happened to its money
    (Accepted(()), "sent", ["available>reserved", "reserved>revenue"]),
    (Refused(Refusal.BAD_RECIPIENT), "rejected", ["available>reserved", "reserved>available"]),
    (Refused(Refusal.OVERLOADED), "queued", ["available>reserved"]),
    (Uncertain(), "sending", ["available>reserved"]),
]


@pytest.mark.parametrize("verdict, state, money", VERDICTS)
def test_a_verdict_moves_state_and_money_together(
    house: House, verdict: Accepted | Refused | Uncertain, state: str, money: list[str]
) -> None:
    """What the carrier said is written once, with its money and its words, and the message has no owner after it."""
    claimed = house.sending(1)
    recorded = result(house.store, house.store.record(after(claimed, verdict, detail="said")))
    [row] = house.rows(schema.message)
    assert recorded.is_made
    assert (row["state"], row["detail"], row["node_id"]) == (state, "said", 0)
    assert house.kinds(1) == money
    assert [one.payload for one in recorded.callbacks] == ([] if state == "sending" else [state])
    house.check_books()


def test_a_refusal_moves_on_to_the_next_carrier(house: House) -> None:
    """A message that another carrier may take is queued for that carrier, with the remaining backups."""
    claimed = house.sending(1, backups=(8, 9))
    result(house.store, house.store.record(after(claimed, Refused(Refusal.NO_ROUTE))))
    [row] = house.rows(schema.message)
    assert (row["state"], row["carrier_id"], row["backups"]) == ("queued", 8, "9")


def test_the_same_verdict_twice_counts_once(house: House) -> None:
    """A second result of the same attempt, in the same round or a later one, changes nothing."""
    claimed = house.sending(1)
    refused = after(claimed, Refused(Refusal.BAD_RECIPIENT))
    futures = [house.store.record(sent(claimed)), house.store.record(refused)]
    first, second = settle(house.store, *futures)
    third = result(house.store, house.store.record(refused))
    assert isinstance(first, Recorded)
    assert (first.is_made, second, third) == (True, Recorded(False), Recorded(False))
    assert house.states() == {1: "sent"}
    house.check_books()


def test_a_repeated_verdict_is_posted_once(house: House) -> None:
    """If the answer of the commit was lost, the repeat posts nothing again and announces nothing again."""
    claimed = house.sending(1)
    lose_the_answer(house.store)
    result(house.store, house.store.record(sent(claimed)))
    assert house.states() == {1: "sent"}
    assert house.kinds(1) == ["available>reserved", "reserved>revenue"]
    assert len(house.rows(schema.callback)) == 1
    house.check_books()


def stale_attempt(house: House, claimed: list[Message]) -> Store:
    """The messages were refused for now and are with the same node again, one attempt further."""
    futures = [house.store.record(after(one, Refused(Refusal.OVERLOADED))) for one in claimed]
    settle(house.store, *futures)
    assert len(house.claim(count_max=1_000, now_ms=NOW_MS + 2_000)) == len(claimed)
    return house.store


def stolen_lease(house: House, claimed: list[Message]) -> Store:
    """The node was fenced off and its messages, held in doubt, are with another node."""
    other = house.new_store()
    fence(house, house.store)
    other.renew(NOW_MS)
    assert len(result(other, other.adopt(Claim(CARRIER, 1_000, NOW_MS)))) == len(claimed)
    return house.store


def born_again(house: House, claimed: list[Message]) -> Store:
    """The node found itself fenced off and registered anew, under another id."""
    fence(house, house.store)
    assert not house.store.renew(NOW_MS)
    assert house.store.register(5_000, "", NOW_MS, is_alone=False) == 0
    return house.store


def fence(house: House, store: Store) -> None:
    """Let the lease of a store's node lapse by the database's own clock."""
    with store.database.transaction() as transaction:
        assert store.nodes.renew(transaction, store.node.id, lease_s=0)
        assert store.node.id in store.nodes.fence_lapsed(transaction)


@pytest.mark.parametrize("steal", [stale_attempt, stolen_lease, born_again])
def test_a_thousand_stolen_leases_change_nothing(house: House, steal: Callable[[House, list[Message]], Store]) -> None:
    """The result of an old attempt, or of a node that lost its lease, moves no state, no money, no callback: 100 %."""
    house.accept(*(a_message(number) for number in range(1, 1_001)))
    claimed = house.claim(count_max=1_000)
    late = steal(house, claimed)
    before = (house.rows(schema.message), house.balance(), house.rows(schema.callback), house.rows(schema.entry))
    verdicts: list[Verdict] = [Accepted(()), Refused(Refusal.BAD_RECIPIENT), Refused(Refusal.OVERLOADED), Uncertain()]
    results = [after(one, verdicts[one.id % 4], f"ref-{one.id}") for one in claimed]
    answers = settle(late, *map(late.record, results))
    assert answers == [Recorded(False)] * 1_000
    assert before == (
        house.rows(schema.message),
        house.balance(),
        house.rows(schema.callback),
        house.rows(schema.entry),
    )
    assert house.rows(schema.carrier_reference) == []


def test_a_stale_result_beside_the_right_one(house: House) -> None:
    """In one round, the result of an old attempt is refused and that of the present attempt is kept."""
    old = house.sending(1)
    result(house.store, house.store.record(after(old, Refused(Refusal.OVERLOADED))))
    [present] = house.claim(now_ms=NOW_MS + 2_000)
    stale = house.store.record(after(old, Refused(Refusal.BAD_RECIPIENT)))
    right = house.store.record(sent(present))
    answers = [answer.is_made for answer in settle(house.store, stale, right) if isinstance(answer, Recorded)]
    assert answers == [False, True]
    assert house.states() == {1: "sent"}


def test_a_lease_lapses_by_the_database_clock(house: House) -> None:
    """A lease of no length has lapsed at once and one of a minute has not, whatever this machine thinks of the time."""
    nodes = house.store.nodes
    with house.store.database.transaction() as transaction:
        nodes.register(transaction, 900, "short", lease_s=0)
        nodes.register(transaction, 901, "long", lease_s=60)
        assert nodes.fence_lapsed(transaction) == [900]
        assert not nodes.renew(transaction, 900)
        assert nodes.renew(transaction, 901)


def test_what_a_dead_node_held_is_doubtful(house: House) -> None:
    """When a node dies, whoever is left frees its messages: they stay `sending`, unpaid and unsent, until adopted."""
    other = house.new_store()
    house.accept(a_message(1), a_message(2))
    house.claim(count_max=1)
    fence(house, house.store)
    assert other.renew(NOW_MS)
    rows = house.rows(schema.message)
    assert [(row["state"], row["node_id"]) for row in rows] == [("sending", 0), ("queued", 0)]
    [adopted] = result(other, other.adopt(Claim(CARRIER, 10, NOW_MS)))
    assert (adopted.id, adopted.attempt) == (1, 1)
    assert result(other, other.record(sent(adopted))).is_made
    assert house.states() == {1: "sent", 2: "queued"}
    house.check_books()


def test_doubts_can_be_looked_at_anew(house: House) -> None:
    """A doubtful message that was to wait comes due at once; what somebody has in hand or another carrier has, not."""
    house.accept(a_message(1), a_message(2), a_message(3, carrier_id=CARRIER + 1), a_message(4, due_ms=NOW_MS + 9))
    elsewhere = result(house.store, house.store.claim(Claim(CARRIER + 1, 1, NOW_MS)))
    for one in house.claim(count_max=1) + elsewhere:
        held = after(one, Uncertain("no answer"))
        assert result(house.store, house.store.record(held)).is_made
    [in_hand] = house.claim()
    before = {row["id"]: row["due_ms"] for row in house.rows(schema.message)}
    assert result(house.store, house.store.adopt(Claim(CARRIER, 10, NOW_MS))) == []
    assert result(house.store, house.store.reconsider(Reconsideration(CARRIER, NOW_MS))) == 1
    assert {row["id"]: row["due_ms"] for row in house.rows(schema.message)} == {**before, 1: NOW_MS}
    assert in_hand.id == 2
    assert ids_of(result(house.store, house.store.adopt(Claim(CARRIER, 10, NOW_MS)))) == [1]


def test_a_claim_that_overlaps_its_own_fencing_is_found(house: House) -> None:
    """A message claimed by a node that was struck off meanwhile belongs to nobody: the next renewal finds it."""
    other = house.new_store()
    house.accept(a_message(1))
    fence(house, house.store)
    assert other.renew(NOW_MS)
    house.claim()  # the old node does not know yet
    assert ids_of(result(other, other.adopt(Claim(CARRIER, 10, NOW_MS)))) == []
    assert other.renew(NOW_MS)
    assert ids_of(result(other, other.adopt(Claim(CARRIER, 10, NOW_MS)))) == [1]


def test_a_lone_process_frees_all_others_at_its_start(house: House) -> None:
    """A process that is alone with its database frees what earlier ones held, without waiting for their leases."""
    house.sending(1)
    other = house.new_store()
    assert other.register(7_000, "", NOW_MS, is_alone=True) == 1
    assert ids_of(result(other, other.adopt(Claim(CARRIER, 10, NOW_MS)))) == [1]


def test_leaving_gives_everything_back(house: House) -> None:
    """A node that leaves in good order leaves nothing under its name."""
    house.sending(1)
    house.store.leave(NOW_MS)
    assert {row["node_id"] for row in house.rows(schema.message)} == {0}
    assert house.store.node.id not in {row["id"] for row in house.rows(schema.node)}
    assert house.balance() == (999 * PRICE_MICROS, PRICE_MICROS)


def test_doubtful_messages_wait_for_their_time(house: House) -> None:
    """A held message is adopted when its time has come, once, and by one node only."""
    claimed = house.sending(1)
    result(house.store, house.store.record(after(claimed, Uncertain())))
    other = house.new_store()
    assert result(other, other.adopt(Claim(CARRIER, 10, claimed.expires_ms - 1))) == []
    assert ids_of(result(other, other.adopt(Claim(CARRIER, 10, claimed.expires_ms)))) == [1]
    assert result(house.store, house.store.adopt(Claim(CARRIER, 10, claimed.expires_ms))) == []
