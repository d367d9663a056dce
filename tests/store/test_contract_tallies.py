"""What is counted is what happened: sums of tallies beside the tables, their pages, and that minutes are forgotten."""

import threading
from collections import Counter
from random import Random
from typing import Any

import pytest

from chappe.core.centre import Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Inbound, Message, State
from chappe.core.story import Tallied
from chappe.store import schema
from chappe.store.inbox import Arrival
from chappe.store.messages import Cancellation, Expiry, Recall
from chappe.store.tallies import HOUR_S, MINUTE_S, MINUTES_KEPT_MS, TallyRow, TallySweep, note
from store.givens import (
    ACCOUNT,
    CARRIER,
    HOUR_MS,
    NOW_MS,
    PRICE_MICROS,
    House,
    a_message,
    a_receipt,
    after,
    an_acceptance,
    result,
    settle,
)

FIRST_MS, LAST_MS = NOW_MS - 100 * HOUR_MS, NOW_MS + 100 * HOUR_MS
OTHER = 8


def series(house: House, span_s: int = HOUR_S, **changes: Any) -> list[TallyRow]:
    wanted = {"from_ms": FIRST_MS, "to_ms": LAST_MS, "account_ids": None, **changes}
    return house.store.ask(lambda transaction: house.store.tallies.series(transaction, span_s, **wanted))


def sums(house: House, span_s: int = HOUR_S, **changes: Any) -> list[TallyRow]:
    wanted = {"from_ms": FIRST_MS, "to_ms": LAST_MS, "account_ids": None, **changes}
    return house.store.ask(lambda transaction: house.store.tallies.sums(transaction, span_s, **wanted))


def counts(rows: list[TallyRow]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row.what] += row.count
    return found


def one(house: House, what: Tallied) -> TallyRow:
    [found] = [row for row in series(house) if row.what is what]
    return found


def test_an_ordinary_message_is_counted_at_each_step(house: House) -> None:
    """Accepted, sent and delivered are counted once each, with segments, money and how long each step took."""
    house.accept(a_message(1, segments=2))
    [claimed] = house.claim()
    result(house.store, house.store.record(after(claimed, Accepted(()), "ref", now_ms=NOW_MS + 40)))
    result(house.store, house.store.receive(a_receipt("ref", now_ms=NOW_MS + 2_540)))
    accepted, sent, delivered = (one(house, what) for what in (Tallied.ACCEPTED, Tallied.SENT, Tallied.DELIVERED))
    assert (accepted.count, accepted.segments, accepted.amount_micros) == (1, 2, PRICE_MICROS)
    assert (sent.count, sent.segments, sent.amount_micros, sent.lag_ms) == (1, 2, PRICE_MICROS, 40)
    assert (delivered.count, delivered.amount_micros, delivered.lag_ms) == (1, 0, 2_500)
    assert {(row.account_id, row.carrier_id) for row in series(house)} == {(ACCOUNT, CARRIER)}
    assert house.rows(schema.happening) == []
    [row] = house.rows(schema.message)
    assert (row["sent_ms"], row["given"]) == (NOW_MS + 40, "ref")


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_tallies_are_what_the_tables_say(house: House, seed: int) -> None:
    """After a random history the tallies by the minute and by the hour both equal the messages and the entries."""
    random = Random(seed)
    house.fund(OTHER, 1_000 * PRICE_MICROS)
    put_off = 0
    verdicts: list[Verdict] = [
        Accepted(()),
        Accepted(()),
        Refused(Refusal.THROTTLED),
        Refused(Refusal.BAD_RECIPIENT),
        Refused(Refusal.FORBIDDEN),
        Uncertain("no answer"),
    ]
    now_ms, message_id = NOW_MS, 0
    for _ in range(12):
        now_ms += random.randrange(0, 90_000)
        fresh = []
        for _ in range(random.randrange(1, 8)):
            message_id += 1
            fresh.append(
                a_message(
                    message_id,
                    account_id=random.choice((ACCOUNT, OTHER)),
                    state=random.choice((State.QUEUED, State.SCHEDULED)),
                    segments=random.randrange(1, 4),
                    due_ms=now_ms - random.randrange(0, 500),
                    expires_ms=now_ms + random.choice((60_000, HOUR_MS)),
                    backups=random.choice(((), (CARRIER,))),
                    wants_callbacks=False,
                )
            )
        settle(house.store, *(house.store.accept(an_acceptance(each)) for each in fresh))
        recorded = []
        for claimed in house.claim(count_max=5, now_ms=now_ms):
            sending = after(claimed, random.choice(verdicts), f"ref-{claimed.id}", now_ms=now_ms)
            put_off += sending.move.state is State.QUEUED
            recorded.append(house.store.record(sending))
        receipts = [
            house.store.receive(a_receipt(f"ref-{random.randrange(1, message_id + 1)}", state, now_ms=now_ms))
            for state in (State.DELIVERED, State.UNDELIVERABLE, State.SENT)
        ]
        assert all(getattr(each, "is_made", False) for each in settle(house.store, *recorded))
        assert not [each for each in settle(house.store, *receipts) if isinstance(each, BaseException)]
        chosen = random.randrange(1, message_id + 1)
        result(house.store, house.store.cancel(Cancellation(ACCOUNT, chosen, now_ms)))
        result(house.store, house.store.expire(Expiry(now_ms, 3)))
    result(house.store, house.store.recall(Recall(OTHER, now_ms, 100)))
    result(house.store, house.store.expire(Expiry(now_ms + 100 * HOUR_MS, 100)))
    house.check_books()
    messages = house.rows(schema.message)
    for span_s in (MINUTE_S, HOUR_S):
        rows = series(house, span_s, to_ms=LAST_MS + 100 * HOUR_MS)
        found = counts(rows)
        assert found[Tallied.ACCEPTED] == len(messages)
        states = Counter(row["state"] for row in messages)
        for ended in ("delivered", "undeliverable", "expired", "rejected", "cancelled", "unknown"):
            assert found[ended] == states[ended], ended
        assert found[Tallied.PUT_OFF] + found[Tallied.REROUTED] == put_off
        paid = sum(each.amount_micros for each in house.entries() if each.credit == "revenue")
        assert sum(row.amount_micros for row in rows if row.what is Tallied.SENT) == paid
        for account_id in (ACCOUNT, OTHER):
            own = [row for row in messages if row["account_id"] == account_id]
            accepted = [row for row in rows if (row.account_id, row.what) == (account_id, Tallied.ACCEPTED)]
            assert sum(row.segments for row in accepted) == sum(row["segments"] for row in own)
            assert sum(row.amount_micros for row in accepted) == sum(row["price_micros"] for row in own)


def count_some(house: House, account_id: int, now_ms: int, times: int = 1) -> None:
    """As a round would, whatever was accepted."""
    message: Message = a_message(1, account_id=account_id)
    with house.store.database.transaction() as transaction:
        for _ in range(times):
            note(transaction, Tallied.ACCEPTED, message, now_ms, PRICE_MICROS)
        house.store.tallies.write(transaction)


def test_a_page_is_of_its_span_and_its_accounts(house: House) -> None:
    """Only what began within the span is told, in order, of the accounts that were asked for; sums add them up."""
    for hour in range(5):
        for account_id in (1, 2, 3):
            count_some(house, account_id, NOW_MS + hour * HOUR_MS, account_id)
    start_ms = NOW_MS // HOUR_MS * HOUR_MS
    page = series(house, from_ms=start_ms + HOUR_MS, to_ms=start_ms + 3 * HOUR_MS, account_ids=[2, 3])
    assert [(row.start_ms - start_ms, row.account_id, row.count) for row in page] == [
        (HOUR_MS, 2, 2),
        (HOUR_MS, 3, 3),
        (2 * HOUR_MS, 2, 2),
        (2 * HOUR_MS, 3, 3),
    ]
    assert series(house, account_ids=[]) == []
    assert series(house, account_ids=[99]) == []
    added = sums(house, from_ms=start_ms, to_ms=start_ms + 4 * HOUR_MS, step_s=2 * HOUR_S)
    assert [(row.start_ms - start_ms, row.account_id, row.count) for row in added] == [(0, 0, 12), (2 * HOUR_MS, 0, 12)]
    few = sums(house, from_ms=start_ms, to_ms=start_ms + 4 * HOUR_MS, account_ids=[1, 2])
    assert [row.count for row in few] == [3] * 4
    many = sums(house, from_ms=start_ms - 1_000 * HOUR_MS, account_ids=range(1, 40), step_s=10_000 * HOUR_S)
    assert [(row.count, row.amount_micros) for row in many] == [(30, 30 * PRICE_MICROS)]


def test_old_minutes_are_forgotten_a_portion_at_a_time(house: House) -> None:
    """Minutes of two days ago go, as many as were asked for at a time; later ones and all hours stay."""
    for minute in range(10):
        count_some(house, ACCOUNT, NOW_MS + minute * 60_000)
    later_ms = NOW_MS // 60_000 * 60_000 + 5 * 60_000 + MINUTES_KEPT_MS
    swept = [result(house.store, sweep(house, later_ms)) for _ in range(3)]
    assert swept == [3, 2, 0]
    assert counts(series(house, MINUTE_S)) == {Tallied.ACCEPTED: 5}
    assert counts(series(house)) == {Tallied.ACCEPTED: 10}


def sweep(house: House, now_ms: int) -> Any:
    return house.store.commit(house.store.tallies.sweep, TallySweep(now_ms, 3))


def test_what_comes_in_is_counted_once(house: House) -> None:
    """A message from a phone is counted under nobody or its owner; a copy of it is not counted again."""
    brought = Inbound(reference="r1", originator="447700900999", recipient="447700900001", text="Hi")
    arrivals = [Arrival(id=number, carrier_id=CARRIER, inbound=brought, now_ms=NOW_MS) for number in (1, 2)]
    settle(house.store, *(house.store.commit(house.store.inbox.keep, each) for each in arrivals))
    row = one(house, Tallied.INBOUND)
    assert (row.count, row.account_id, row.carrier_id) == (1, 0, CARRIER)


def test_what_was_refused_is_not_counted(house: House) -> None:
    """A submission that the money does not reach, or whose round fails, leaves no tally."""
    dear = a_message(1, price_micros=10**12)
    assert result(house.store, house.store.accept(an_acceptance(dear))) is False
    taken, again = house.store.accept(an_acceptance(a_message(2))), house.store.accept(an_acceptance(a_message(2)))
    outcomes = settle(house.store, taken, again)
    assert outcomes[0] is True
    assert isinstance(outcomes[1], Exception)
    assert one(house, Tallied.ACCEPTED).count == 1


def test_two_nodes_that_count_the_same_never_wait_in_a_ring(house: House) -> None:
    """Many rounds of two nodes over the same rows, noted in opposite order, all end, and nothing is lost."""
    rounds, accounts = 60, range(1, 30)
    failures: list[BaseException] = []

    def work(places: list[int]) -> None:
        try:
            with house.database.connect() as connection:
                for _ in range(rounds):
                    with connection.transaction() as transaction:
                        for account_id in places:
                            note(transaction, Tallied.ACCEPTED, a_message(1, account_id=account_id), NOW_MS)
                        house.store.tallies.write(transaction)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(places,)) for places in (list(accounts), list(accounts)[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {row.count for row in series(house)} == {2 * rounds}
