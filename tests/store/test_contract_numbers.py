"""Numbers for rent, on both databases: who gets one, what a month costs, and what becomes of it when the month ends."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import insert

from chappe.core.centre import Refusal
from chappe.core.numbers import Number, months_later
from chappe.store import schema
from chappe.store.engine import Store
from chappe.store.numbers import Forwarding, NumberRow, Origin, Release, Renewal, Renewed, Rental, Restocking
from store.givens import ACCOUNT, CARRIER, HOUR_MS, NOW_MS, House, lose_the_answer, result, settle

Result = TypeVar("Result")

OTHER = 8
PRICE_MICROS = 2_000_000
FUNDS_MICROS = 5 * PRICE_MICROS
NUMBER, CHEAP, FOREIGN = "447700900001", "447700900002", "390612345678"
POOL = (
    NumberRow(number=NUMBER, country="GB", price_micros=PRICE_MICROS),
    NumberRow(number=CHEAP, country="GB", price_micros=1_000_000),
    NumberRow(number=FOREIGN, country="IT", price_micros=1_500_000),
)
FIRST_END_MS = months_later(NOW_MS, 1)


@pytest.fixture
def house(house: House) -> House:
    """Two accounts, each with money for five months, and a pool of three numbers."""
    with house.database.engine.begin() as connection:
        for account_id in (ACCOUNT, OTHER):
            row = {"id": account_id, "name": f"account {account_id}", "password_hash": "", "settings": "{}"}
            connection.execute(insert(schema.account).values(row))
    house.fund(OTHER, FUNDS_MICROS)
    with house.store.database.transaction() as transaction:
        house.store.numbers.pool.put_file(transaction, POOL)
    return house


def rental(account_id: int = ACCOUNT, number: str = NUMBER, rental_id: int = 901) -> Rental:
    return Rental(account_id, number, rental_id, NOW_MS)


def rent(house: House, item: Rental | None = None) -> Number | Refusal:
    return result(house.store, house.store.commit(house.store.numbers.rent, item or rental()))


def renew(house: House, now_ms: int, store: Store | None = None, count_max: int = 100) -> Renewed:
    chosen = store or house.store
    return result(chosen, chosen.commit(chosen.numbers.renew, Renewal(now_ms, count_max)))


def stored(house: House, number: str = NUMBER) -> NumberRow:
    row = house.store.ask(lambda transaction: house.store.numbers.pool.named(transaction, number))
    assert row is not None
    return row


def revision(house: House) -> int:
    return house.store.ask(house.store.configuration.revision)


def change(house: House, number: str = NUMBER, **values: object) -> None:
    table = schema.rented_number
    with house.database.engine.begin() as connection:
        connection.execute(table.update().where(table.c.number == number).values(**values))


def rents(house: House) -> list[tuple[int, str, int]]:
    return [(one.account_id, one.phase, one.amount_micros) for one in house.entries() if one.phase.startswith("rent")]


def check(house: House) -> None:
    """The books are right, and the audit says so too."""
    house.check_books()
    assert house.store.ask(house.store.figures.audit).findings == ()


def test_renting_pays_the_first_month(house: House) -> None:
    """A rented number is its account's until the same day of the next month, paid for in the same commit."""
    before, _ = house.balance()
    seen = revision(house)
    number = rent(house)
    assert isinstance(number, Number)
    assert (number.account_id, number.expires_ms, number.renews) == (ACCOUNT, FIRST_END_MS, True)
    assert house.balance()[0] == before - PRICE_MICROS
    assert rents(house) == [(ACCOUNT, "rent-1", PRICE_MICROS)]
    assert revision(house) > seen
    check(house)


def test_of_two_who_want_the_same_number_one_gets_it(house: House) -> None:
    """Two accounts in one round, or on two nodes: the first has the number and pays, the other is told not_found."""
    store, verb = house.store, house.store.numbers.rent
    answers = settle(store, *(store.commit(verb, rental(OTHER, NUMBER, 902)), store.commit(verb, rental())))
    other_node = house.new_store()
    late = result(other_node, other_node.commit(other_node.numbers.rent, rental(ACCOUNT, NUMBER, 903)))
    assert isinstance(answers[0], Number)
    assert answers[1:] == [Refusal.NOT_FOUND]
    assert late is Refusal.NOT_FOUND
    assert rents(house) == [(OTHER, "rent-1", PRICE_MICROS)]
    check(house)


@pytest.mark.parametrize("number", ["447700900999", ""])
def test_a_number_that_is_not_in_the_pool_is_not_found(house: House, number: str) -> None:
    """Nobody can rent what is not offered."""
    assert rent(house, rental(number=number)) is Refusal.NOT_FOUND
    change(house, is_active=0)
    assert rent(house) is Refusal.NOT_FOUND
    assert rents(house) == []


def test_without_money_nothing_happens(house: House) -> None:
    """A price one micro above what may be spent is no_funds: the number stays free and the balance as it was."""
    change(house, price_micros=FUNDS_MICROS + 1)
    assert rent(house, rental(OTHER)) is Refusal.NO_FUNDS
    assert stored(house).account_id == 0
    assert house.balance(OTHER) == (FUNDS_MICROS, 0)
    check(house)


def test_two_numbers_of_one_round_are_paid_from_one_balance(house: House) -> None:
    """Money that the first number of a round took is not there for the second."""
    change(house, price_micros=FUNDS_MICROS)
    store, verb = house.store, house.store.numbers.rent
    wishes = (rental(OTHER), rental(OTHER, CHEAP, 902))
    first, second = settle(store, *(store.commit(verb, one) for one in wishes))
    assert isinstance(first, Number)
    assert second is Refusal.NO_FUNDS
    check(house)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_lost_answer_is_neither_paid_twice_nor_refused(house: House, is_kept: bool) -> None:
    """Where the answer of the commit is lost, the repeat finds the rental, or makes it: one month is paid."""
    lose_the_answer(house.store, is_kept=is_kept)
    assert isinstance(rent(house), Number)
    assert rents(house) == [(ACCOUNT, "rent-1", PRICE_MICROS)]
    check(house)


def test_a_month_is_paid_within_its_last_hour(house: House) -> None:
    """Not before: a round an hour and a millisecond before the end does nothing, the next one pays, a third nothing."""
    rent(house)
    assert renew(house, FIRST_END_MS - HOUR_MS - 1) == Renewed()
    [paid] = renew(house, FIRST_END_MS - HOUR_MS).paid
    assert (paid.months, paid.expires_ms) == (2, months_later(NOW_MS, 2))
    assert renew(house, FIRST_END_MS) == Renewed()
    assert rents(house) == [(ACCOUNT, "rent-1", PRICE_MICROS), (ACCOUNT, "rent-2", PRICE_MICROS)]
    assert stored(house) == paid
    check(house)


def test_a_renewal_has_the_price_of_its_day(house: House) -> None:
    """Who changes a price in the pool changes it for the months to come."""
    rent(house)
    change(house, price_micros=1_000)
    renew(house, FIRST_END_MS)
    assert rents(house)[-1] == (ACCOUNT, "rent-2", 1_000)


def end_account(house: House) -> None:
    with house.database.engine.begin() as connection:
        connection.execute(schema.account.update().where(schema.account.c.id == ACCOUNT).values(is_active=0))


ENDS: dict[str, Callable[[House], None]] = {
    "its owner does not renew": lambda house: change(house, renews=0),
    "the money does not reach": lambda house: change(house, price_micros=10**15),
    "it is no longer in the file": lambda house: change(house, is_active=0),
    "its owner's account was ended": end_account,
}


@pytest.mark.parametrize("cause", ENDS.values(), ids=ENDS.keys())
def test_a_number_goes_back_when_its_month_ends(house: House, cause: Callable[[House], None]) -> None:
    """Up to its last millisecond it is its owner's; then it is nobody's, and forgets where its messages went."""
    rent(house)
    change(house, url="https://a.example", email="a@a.example", phone="447700900111")
    cause(house)
    before, seen = stored(house), revision(house)
    assert renew(house, FIRST_END_MS - 1) == Renewed()
    assert (stored(house), revision(house)) == (before, seen)
    assert renew(house, FIRST_END_MS).ended == (before,)
    assert revision(house) > seen
    now = stored(house)
    assert now == NumberRow(
        number=NUMBER, country="GB", price_micros=before.price_micros, carrier_id=0, is_active=before.is_active
    )
    assert renew(house, FIRST_END_MS) == Renewed()
    check(house)


def test_two_nodes_pay_a_month_once(house: House) -> None:
    """The round of another node, also one that runs at once, finds nothing left to pay."""
    rent(house)
    other = house.new_store()
    assert len(renew(house, FIRST_END_MS).paid) == 1
    assert renew(house, FIRST_END_MS, other) == Renewed()
    lose_the_answer(house.store)
    end_ms = months_later(NOW_MS, 2)
    renew(house, end_ms)
    assert [phase for _, phase, _ in rents(house)] == ["rent-1", "rent-2", "rent-3"]
    check(house)


def test_a_round_is_bounded_and_the_rest_comes_next(house: House) -> None:
    """A round settles as many as it may, those that end first before the others."""
    for index, one in enumerate(POOL):
        rent(house, msgspec.structs.replace(rental(), number=one.number, rental_id=901 + index))
    assert [len(renew(house, FIRST_END_MS, count_max=2).paid) for _ in range(3)] == [2, 1, 0]


def test_a_rental_given_back_is_free_at_once(house: House) -> None:
    """Another account may rent it in the same minute; nothing is refunded; a second return is none."""
    rent(house)
    store, verb = house.store, house.store.numbers.release
    assert result(store, store.commit(verb, Release(NUMBER, 901))) is True
    assert result(store, store.commit(verb, Release(NUMBER, 901))) is False
    assert isinstance(rent(house, rental(OTHER, NUMBER, 902)), Number)
    assert result(store, store.commit(verb, Release(NUMBER, 901))) is False
    assert stored(house).account_id == OTHER
    assert len(rents(house)) == 2
    check(house)


def test_what_is_not_stated_of_a_forwarding_stays(house: House) -> None:
    """Only its owner says where a number's messages go, and what they leave out stays as it was."""
    rent(house)
    store, verb = house.store, house.store.numbers.forward
    wishes = [
        Forwarding(account_id=ACCOUNT, number=NUMBER, url="https://a.example", email=None, phone="447700900111"),
        Forwarding(account_id=ACCOUNT, number=NUMBER, url=None, email="a@a.example", phone=""),
        Forwarding(account_id=OTHER, number=NUMBER, url="https://thief.example", email=None, phone=None),
    ]
    answers = settle(store, *(store.commit(verb, one) for one in wishes))
    now = stored(house)
    assert (now.url, now.email, now.phone) == ("https://a.example", "a@a.example", "")
    assert answers[1] == now.as_number
    assert answers[2] is None


def test_the_file_decides_what_is_in_the_pool(house: House) -> None:
    """What it drops is gone if free, and stays its renter's if not; what it brings back is offered on."""
    rent(house)
    seen = stored(house)
    pool = house.store.numbers.pool
    with house.store.database.transaction() as transaction:
        pool.put_file(transaction, ())
        assert pool.offers(transaction, "", 100) == ()
        assert pool.named(transaction, CHEAP) is None
    assert stored(house) == msgspec.structs.replace(seen, is_active=0)
    with house.store.database.transaction() as transaction:
        pool.put_file(transaction, POOL)
    assert stored(house) == seen


@pytest.mark.parametrize("country, numbers", [("", [CHEAP, FOREIGN, NUMBER]), ("GB", [CHEAP, NUMBER]), ("FR", [])])
def test_offers_come_cheapest_first(house: House, country: str, numbers: list[str]) -> None:
    """A country names its own, no country names all."""
    offers = house.store.ask(lambda transaction: house.store.numbers.pool.offers(transaction, country, 100))
    assert [one.number for one in offers] == numbers


def test_a_carrier_restocks_only_what_is_its_own(house: House) -> None:
    """Its offers come and go; what the file or another carrier put there, and what is rented, stays as it is."""

    def offers(*numbers: str, carrier_id: int = CARRIER, price_micros: int = 7) -> Restocking:
        rows = [
            NumberRow(number=one, price_micros=price_micros, carrier_id=carrier_id, origin=Origin.CARRIER.value)
            for one in numbers
        ]
        return Restocking(carrier_id, tuple(rows))

    def stock(item: Restocking) -> None:
        result(house.store, house.store.commit(house.store.numbers.restock, item))

    stock(offers("3311111111", "3322222222", NUMBER))
    stock(offers("3322222222", "3333333333", carrier_id=4, price_micros=9))
    assert stored(house) == POOL[0]
    assert (stored(house, "3322222222").carrier_id, stored(house, "3322222222").price_micros) == (CARRIER, 7)
    assert isinstance(rent(house, rental(number="3311111111")), Number)
    stock(offers())
    assert [row["number"] for row in house.rows(schema.rented_number)] == sorted(
        [NUMBER, CHEAP, FOREIGN, "3311111111", "3333333333"]
    )
    result(house.store, house.store.commit(house.store.numbers.release, Release("3311111111", 901)))
    assert isinstance(rent(house, rental(number="3311111111", rental_id=902)), Refusal)


def test_the_month_of_the_tests_is_the_calendars(house: House) -> None:
    """15 January 2027, 08:00 UTC, and a month later."""
    assert datetime.fromtimestamp(FIRST_END_MS / 1000, UTC) == datetime(2027, 2, 15, 8, tzinfo=UTC)


RACERS = 6


def race(house: House, run: Callable[[Store, int], Result]) -> list[Result]:
    """The same act by several nodes at the same moment, each on a connection of its own."""
    stores = [house.new_store() for _ in range(RACERS)]
    start = threading.Barrier(RACERS)

    def act(index: int) -> Result:
        start.wait()
        return run(stores[index], index)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(act, range(RACERS)))


def test_nodes_that_rent_at_once_share_a_number_out_once(house: House) -> None:
    """Of six nodes that rent the same number for two accounts at the same moment, one gets it and one month is paid."""

    def rent_once(store: Store, index: int) -> Number | Refusal:
        with store.database.transaction() as transaction:
            wish = rental((ACCOUNT, OTHER)[index % 2], NUMBER, 901 + index)
            return store.numbers.rent.run_many(transaction, [wish], False)[0]

    answers = race(house, rent_once)
    assert answers.count(Refusal.NOT_FOUND) == RACERS - 1
    assert len(rents(house)) == 1
    check(house)


def test_nodes_that_renew_at_once_pay_once(house: House) -> None:
    """Six rounds at the same moment pay the months of two numbers once, and end once the one that is too dear."""
    for index, one in enumerate(POOL):
        rent(house, msgspec.structs.replace(rental(OTHER), number=one.number, rental_id=901 + index))
    change(house, FOREIGN, price_micros=FUNDS_MICROS)
    before, _ = house.balance(OTHER)

    def renew_once(store: Store, _index: int) -> Renewed:
        with store.database.transaction() as transaction:
            return store.numbers.renew.run_many(transaction, [Renewal(FIRST_END_MS, 100)], False)[0]

    rounds = race(house, renew_once)
    paid = [one for each in rounds for one in each.paid]
    ended = [one for each in rounds for one in each.ended]
    assert sorted(one.number for one in paid) == [NUMBER, CHEAP]
    assert [one.number for one in ended] == [FOREIGN]
    assert house.balance(OTHER)[0] == before - sum(one.price_micros for one in paid) >= 0
    check(house)
