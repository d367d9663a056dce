"""Money: whatever happens to messages, in whatever order, the books agree with a model of forty lines."""

import itertools
from asyncio import Future
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct
from sqlalchemy import select

from chappe.core.centre import Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.core.ledger import Entry, Kind, Purse, entry
from chappe.core.lifecycle import Money, after_receipt
from chappe.core.model import Message, State
from chappe.store.database import StoreError
from chappe.store.messages import Cancellation, Expiry
from chappe.store.receipts import ReceiptRow
from chappe.store.schema import balance, message
from chappe.store.schema import entry as ledger
from chappe.store.sending import Claim
from store.givens import (
    ACCOUNT,
    NOW_MS,
    PRICE_MICROS,
    House,
    a_message,
    after,
    an_acceptance,
    lose_the_answer,
    result,
    sent,
    settle,
)

Result = TypeVar("Result")
MONEY = ("reserved", "posted", "void")
VERDICTS = [Accepted(()), Refused(Refusal.BAD_RECIPIENT), Refused(Refusal.THROTTLED), Uncertain()]


@pytest.mark.parametrize("first, second", list(itertools.product([Kind.POST, Kind.VOID], repeat=2)))
def test_a_second_settlement_is_refused_by_the_database(house: House, first: Kind, second: Kind) -> None:
    """Post and void share a key: whichever comes second is refused, and its whole transaction with it."""
    house.accept(a_message(1))
    with house.store.database.transaction() as transaction:
        house.store.ledger.write(transaction, [entry(first, 1, ACCOUNT, PRICE_MICROS)], NOW_MS)
    before = (house.balance(), house.entries())
    credit, again = entry(Kind.CREDIT, 5, ACCOUNT, 1), entry(second, 1, ACCOUNT, PRICE_MICROS)
    with pytest.raises(StoreError):
        settle_again(house, credit, again)
    assert (house.balance(), house.entries()) == before


def settle_again(house: House, *entries: Entry) -> None:
    with house.store.database.transaction() as transaction:
        for one in entries:
            house.store.ledger.write(transaction, [one], NOW_MS)


def test_a_double_settlement_fails_alone(house: House) -> None:
    """A verdict whose money was settled behind its back is refused whole; the others of its round are written."""
    house.accept(*(a_message(number) for number in range(1, 10)))
    claimed = house.claim()
    with house.store.database.transaction() as transaction:
        house.store.ledger.write(transaction, [entry(Kind.VOID, 5, ACCOUNT, PRICE_MICROS)], NOW_MS)
    answers = settle(house.store, *(house.store.record(sent(one)) for one in claimed))
    assert [one.id for one, answer in zip(claimed, answers, strict=True) if isinstance(answer, StoreError)] == [5]
    assert house.states() == {number: "sending" if number == 5 else "sent" for number in range(1, 10)}


def test_a_free_message_has_no_entries(house: House) -> None:
    """A message without a price travels like any other and leaves the ledger alone."""
    claimed = house.sending(1, price_micros=0)
    assert result(house.store, house.store.record(sent(claimed))).is_made
    assert house.kinds(1) == []


LOSSES = st.sampled_from([None, None, None, True, False])  # the next commit's answer is lost: kept, not kept
WAITING = (State.QUEUED, State.SCHEDULED)


class Known(Struct):
    """What the model knows of a message."""

    price: int
    submission_id: int
    expires_ms: int
    state: State = State.QUEUED
    money: str = "reserved"  # then posted or void
    attempt: int = 0
    owner: int = 0
    is_referenced: bool = False


class Books(RuleBasedStateMachine):
    """Any history of one account and one carrier, beside a model that knows each message's state and money.

    All histories share a database; each has an account and a carrier of its own. Time is a step a rule.
    """

    house: ClassVar[House]
    numbers: ClassVar = itertools.count(1_000)

    @initialize(funds=st.integers(0, 12))
    def open_account(self, funds: int) -> None:
        self.account_id = self.carrier_id = next(self.numbers)
        self.house.fund(self.account_id, funds)
        self.available = self.paid_in = funds
        self.known: dict[int, Known] = {}
        self.hands: list[Message] = []  # every message ever claimed or adopted: its result may come any time
        self.parked: dict[int, list[State]] = {}
        self.now_ms = NOW_MS

    @rule(
        prices=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        validity_ms=st.sampled_from([5, 1_000_000]),
        is_kept=LOSSES,
    )
    def accept(self, prices: list[int], validity_ms: int, is_kept: bool | None) -> None:
        first = next(self.numbers) * 100
        messages = [
            a_message(
                first + index,
                submission_id=first,
                account_id=self.account_id,
                carrier_id=self.carrier_id,
                price_micros=price,
                expires_ms=self.now_ms + validity_ms,
            )
            for index, price in enumerate(prices)
        ]
        fits = sum(prices) <= self.available or not sum(prices)
        assert self.ask(self.house.store.accept(an_acceptance(*messages)), is_kept) is fits
        if fits:
            self.available -= sum(prices)
            for one in messages:
                self.known[one.id] = Known(one.price_micros, first, one.expires_ms)

    @rule(count_max=st.integers(1, 4), is_kept=LOSSES)
    def claim(self, count_max: int, is_kept: bool | None) -> None:
        flying = frozenset(i for i, one in self.known.items() if one.owner)
        wish = Claim(self.carrier_id, count_max, self.now_ms, in_flight=flying)
        claimed = self.ask(self.house.store.claim(wish), is_kept)
        due = [i for i, one in self.known.items() if one.state in WAITING and one.expires_ms > self.now_ms]
        assert len(claimed) <= count_max
        assert {one.id for one in claimed} <= set(due)
        for one in claimed:
            known = self.known[one.id]
            known.state, known.attempt, known.owner = State.SENDING, known.attempt + 1, self.house.store.node.id
            assert one.attempt == known.attempt
        self.hands += claimed

    @rule(is_kept=LOSSES)
    def adopt(self, is_kept: bool | None) -> None:
        flying = frozenset(i for i, one in self.known.items() if one.owner)
        wish = Claim(self.carrier_id, 100, self.now_ms, in_flight=flying)
        adopted = self.ask(self.house.store.adopt(wish), is_kept)
        for one in adopted:
            known = self.known[one.id]
            assert (known.state, known.owner, known.attempt) == (State.SENDING, 0, one.attempt)
            known.owner = self.house.store.node.id
        self.hands += adopted

    @precondition(lambda self: self.hands)
    @rule(pick=st.integers(0, 99), verdict=st.sampled_from(VERDICTS), is_kept=LOSSES)
    def record(self, pick: int, verdict: Verdict, is_kept: bool | None) -> None:
        one = self.hands[pick % len(self.hands)]
        known = self.known[one.id]
        taken = after(one, verdict, *([str(one.id)] if isinstance(verdict, Accepted) else []), now_ms=self.now_ms)
        is_mine = (known.state, known.attempt) == (State.SENDING, one.attempt) and known.owner
        recorded = self.ask(self.house.store.record(taken), is_kept)
        assert recorded.is_made == bool(is_mine and not is_kept)
        if not is_mine:
            return
        known.state, known.owner = taken.move.state, 0
        self.settle(known, {Money.POST: "posted", Money.VOID: "void"}.get(taken.move.money))
        if taken.references:
            known.is_referenced = True
            for state in self.parked.pop(one.id, []):
                self.believe(known, state)

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99), state=st.sampled_from(State), is_kept=LOSSES)
    def receive(self, pick: int, state: State, is_kept: bool | None) -> None:
        message_id = list(self.known)[pick % len(self.known)]
        row = ReceiptRow(
            carrier_id=self.carrier_id, reference=str(message_id), state=state, detail="", now_ms=self.now_ms
        )
        told = self.ask(self.house.store.receive(row), is_kept)
        known = self.known[message_id]
        assert told.is_parked is not known.is_referenced
        if known.is_referenced:
            self.believe(known, state)
        elif state not in self.parked.setdefault(message_id, []):
            self.parked[message_id].append(state)

    @precondition(lambda self: self.known)
    @rule(pick=st.integers(0, 99), is_kept=LOSSES)
    def cancel(self, pick: int, is_kept: bool | None) -> None:
        submission_id = list(self.known.values())[pick % len(self.known)].submission_id
        count = self.ask(self.house.store.cancel(Cancellation(self.account_id, submission_id, self.now_ms)), is_kept)
        waiting = [one for one in self.known.values() if one.submission_id == submission_id and one.state in WAITING]
        assert count == len(waiting)
        for one in waiting:
            one.state = State.CANCELLED
            self.settle(one, "void")

    @rule(is_kept=LOSSES)
    def expire(self, is_kept: bool | None) -> None:
        self.ask(self.house.store.expire(Expiry(self.now_ms, 1_000_000)), is_kept)
        for one in self.known.values():
            if one.state in WAITING and one.expires_ms <= self.now_ms:
                one.state = State.EXPIRED
                self.settle(one, "void")

    @rule()
    def lose_the_lease(self) -> None:
        self.house.store.leave(self.now_ms)
        self.house.store.register(next(self.numbers), "", self.now_ms, is_alone=False)
        for one in self.known.values():
            one.owner = 0

    @invariant()
    def books_agree(self) -> None:
        self.now_ms += 1
        with self.house.database.engine.connect() as connection:
            states = connection.execute(
                select(message.c.id, message.c.state).where(message.c.account_id == self.account_id)
            )
            assert {row.id: row.state for row in states} == {i: one.state for i, one in self.known.items()}
            [kept] = connection.execute(select(balance).where(balance.c.account_id == self.account_id))
            entries = connection.execute(select(ledger).where(ledger.c.account_id == self.account_id)).all()
        purses = dict.fromkeys(Purse, 0)
        for one in entries:
            purses[Purse(one.debit)] -= one.amount_micros
            purses[Purse(one.credit)] += one.amount_micros
        held = {money: sum(one.price for one in self.known.values() if one.money == money) for money in MONEY}
        assert (kept.available_micros, kept.reserved_micros) == (self.available, held["reserved"])
        assert purses == dict.fromkeys(Purse, 0) | {
            Purse.AVAILABLE: self.available,
            Purse.RESERVED: held["reserved"],
            Purse.REVENUE: held["posted"],
            Purse.FUNDING: -self.paid_in,
        }
        assert self.available >= 0
        assert self.available + held["reserved"] + held["posted"] == self.paid_in

    def ask(self, future: "Future[Result]", is_kept: bool | None) -> Result:
        if is_kept is not None:
            lose_the_answer(self.house.store, is_kept=is_kept)
        return result(self.house.store, future)

    def settle(self, known: Known, money: str | None) -> None:
        if money is not None:
            assert known.money == "reserved"
            known.money = money
            self.available += known.price if money == "void" else 0

    def believe(self, known: Known, state: State) -> None:
        """A receipt that counts."""
        if after_receipt(known.state, state) is not None:
            if known.state is State.SENDING:
                known.owner = 0
                self.settle(known, "posted")
            known.state = state


@pytest.mark.parametrize(
    "kind, histories_count",
    [("sqlite", 150), ("postgresql", 12)],
)
def test_any_history_balances(kind: str, histories_count: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Available, reserved, revenue and funding are zero together and as the model says, after every step."""
    url = f"sqlite:///{tmp_path}/books.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    house = House(url)
    try:
        run_state_machine_as_test(
            type("Histories", (Books,), {"house": house}),
            settings=settings(
                max_examples=histories_count,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
        house.check_books()
    finally:
        house.close()
