"""Subaccounts and their credit: names are given once, money moves whole, and never beyond what is there."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec
import pytest

from chappe.store import schema
from chappe.store.configuration import AccountRow, NewPassword
from chappe.store.database import Database
from chappe.store.messages import Acceptance
from chappe.store.reselling import ChangedSubaccount, NewSubaccount, PurchaseRow, Undoing, Undone
from store.givens import ACCOUNT, NOW_MS, PRICE_MICROS, House, a_message, lose_the_answer, result, settle
from store.moving import move, prepare

CHILD = 8
FUNDS_MICROS = 1_000 * PRICE_MICROS
PROCESSES = 8


def a_subaccount(name: str = "bob", **changes: object) -> NewSubaccount:
    plain = NewSubaccount(
        name=name, password_hash=f"hash of {name}", token_sealed="sealed", settings="{}", is_active=True, now_ms=NOW_MS
    )
    return msgspec.structs.replace(plain, **changes)


def a_purchase(purchase_id: int, amount_micros: int, **changes: object) -> PurchaseRow:
    plain = PurchaseRow(
        id=purchase_id, account_id=ACCOUNT, subaccount_id=CHILD, amount_micros=amount_micros, made_ms=NOW_MS
    )
    return msgspec.structs.replace(plain, **changes)


def an_undoing(purchase_id: int, account_id: int = ACCOUNT, subaccount_id: int = CHILD) -> Undoing:
    return Undoing(account_id=account_id, subaccount_id=subaccount_id, purchase_id=purchase_id, now_ms=NOW_MS)


def made(house: House, *wishes: NewSubaccount) -> list[Any]:
    return answers(house, *(house.store.commit(house.store.reselling.make, one) for one in wishes))


def bought(house: House, *rows: PurchaseRow) -> list[Any]:
    return answers(house, *(house.store.commit(house.store.reselling.buy, one) for one in rows))


def undone(house: House, *wishes: Undoing) -> list[Any]:
    return answers(house, *(house.store.commit(house.store.reselling.undo, one) for one in wishes))


def answers(house: House, *futures: "asyncio.Future[Any]") -> list[Any]:
    return settle(house.store, *futures)


def accounts(house: House) -> dict[str, AccountRow]:
    stored = house.store.ask(house.store.configuration.load)
    return {row.name: row for row in stored.accounts}


def revision(house: House) -> int:
    return house.store.ask(house.store.configuration.revision)


@pytest.fixture
def pair(house: House) -> House:
    """A house whose account has a subaccount without money."""
    house.fund(CHILD, 0)
    return house


# Accounts


def test_a_name_is_given_once(house: House) -> None:
    """A new subaccount gets an id and an empty purse; a name that any account has is refused, even within a round."""
    first, again, other = made(house, a_subaccount(), a_subaccount(password_hash="other"), a_subaccount("carol"))
    assert again == 0
    assert {name: row.id for name, row in accounts(house).items()} == {"bob": first, "carol": other}
    assert isinstance(first, int)
    assert house.balance(first) == (0, 0)
    assert made(house, a_subaccount(password_hash="another")) == [0]
    assert accounts(house)["bob"].password_hash == "hash of bob"


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_subaccount_is_made_once_when_the_answer_was_lost(house: House, is_kept: bool) -> None:
    """Where the connection died in the moment of the commit, the repeat finds its own row, and nobody else's."""
    made(house, a_subaccount("taken"))
    lose_the_answer(house.store, is_kept=is_kept)
    made_id, taken = made(house, a_subaccount(), a_subaccount("taken", password_hash="other"))
    assert (accounts(house)["bob"].id, taken) == (made_id, 0)


def test_a_change_is_followed(house: House) -> None:
    """Name, settings and activity change together, the password only where one is given; each raises the revision."""
    [made_id] = made(house, a_subaccount())
    before = revision(house)
    assert isinstance(made_id, int)
    change = ChangedSubaccount(id=made_id, name="robert", settings='{"made_ms": 5}', is_active=False)
    assert result(house.store, house.store.commit(house.store.reselling.change, change)) is True
    row = accounts(house)["robert"]
    assert (row.id, row.settings, row.is_active, row.password_hash) == (made_id, '{"made_ms": 5}', False, "hash of bob")
    again = msgspec.structs.replace(change, password_hash="new", token_sealed="sealed anew")
    assert result(house.store, house.store.commit(house.store.reselling.change, again)) is True
    row = accounts(house)["robert"]
    assert (row.password_hash, row.token_sealed) == ("new", "sealed anew")
    assert revision(house) == before + 2


def test_nobody_takes_the_name_of_another(house: House) -> None:
    """A subaccount cannot be renamed to a name that is taken, and stays as it was."""
    made(house, a_subaccount(), a_subaccount("carol"))
    before = accounts(house)
    change = ChangedSubaccount(id=before["bob"].id, name="carol", settings="{}", is_active=False)
    assert result(house.store, house.store.commit(house.store.reselling.change, change)) is False
    assert accounts(house) == before


def test_a_new_password_is_one_commit(house: House) -> None:
    """Hash and sealed password change together with the revision, of this account alone."""
    made(house, a_subaccount(), a_subaccount("carol"))
    before, carol = revision(house), accounts(house)["carol"]
    wish = NewPassword(account_id=accounts(house)["bob"].id, password_hash="new", token_sealed="sealed anew")
    result(house.store, house.store.commit(house.store.configuration.change_password, wish))
    bob = accounts(house)["bob"]
    assert (bob.password_hash, bob.token_sealed, revision(house)) == ("new", "sealed anew", before + 1)
    assert accounts(house)["carol"] == carol


# Credit


def test_credit_moves_there_and_back(pair: House) -> None:
    """A positive amount reaches the subaccount, a negative one returns; nothing is in transit after the commit."""
    assert bought(pair, a_purchase(1, 5 * PRICE_MICROS), a_purchase(2, -2 * PRICE_MICROS)) == [True, True]
    assert pair.balance(CHILD) == (3 * PRICE_MICROS, 0)
    assert pair.balance(ACCOUNT) == (FUNDS_MICROS - 3 * PRICE_MICROS, 0)
    assert pair.kinds(1) == ["available>transit", "transit>available"]
    assert pair.store.ask(pair.store.figures.audit).findings == ()
    pair.check_books()


def test_only_what_is_there_moves(pair: House) -> None:
    """A move that the money does not reach for takes nothing and leaves no purchase; those around it are made."""
    made_or_not = bought(
        pair,
        a_purchase(1, FUNDS_MICROS),
        a_purchase(2, 1),
        a_purchase(3, -FUNDS_MICROS - 1),
        a_purchase(4, -1),
        a_purchase(5, 1),
        a_purchase(6, 1, subaccount_id=99),
        a_purchase(7, 0),
    )
    assert made_or_not == [True, False, False, True, True, False, False]
    assert [row["id"] for row in pair.rows(schema.purchase)] == [1, 4, 5]
    pair.check_books()


def test_what_is_reserved_cannot_be_moved(pair: House) -> None:
    """Credit that a message under way has reserved stays where it is."""
    pair.accept(a_message(1))
    assert bought(pair, a_purchase(2, FUNDS_MICROS), a_purchase(3, FUNDS_MICROS - PRICE_MICROS)) == [False, True]
    assert pair.balance() == (0, PRICE_MICROS)


def test_a_limit_counts_for_moves_too(house: House) -> None:
    """Who may owe may give what he may owe, and who must keep something keeps it."""
    house.fund(CHILD, 0)
    house.fund(9, 0, limit_micros=-50)
    house.fund(10, 100, limit_micros=30)
    assert bought(
        house,
        a_purchase(1, 51, account_id=9),
        a_purchase(2, 50, account_id=9),
        a_purchase(3, 71, account_id=10),
        a_purchase(4, 70, account_id=10),
    ) == [False, True, False, True]
    assert (house.balance(9), house.balance(10), house.balance(CHILD)) == ((-50, 0), (30, 0), (120, 0))


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_move_is_made_once_when_the_answer_was_lost(pair: House, is_kept: bool) -> None:
    """Where the connection died in the moment of the commit, the repeat moves nothing twice and answers the same."""
    lose_the_answer(pair.store, is_kept=is_kept)
    assert bought(pair, a_purchase(1, 5), a_purchase(2, 2 * FUNDS_MICROS)) == [True, False]
    assert pair.balance(CHILD) == (5, 0)
    lose_the_answer(pair.store, is_kept=is_kept)
    assert undone(pair, an_undoing(1)) == [Undone.DONE]
    assert pair.balance(CHILD) == (0, 0)
    pair.check_books()


def test_a_purchase_is_undone_once(pair: House) -> None:
    """The first undoing moves the amount back, of several in one round as well; every further one moves nothing."""
    bought(pair, a_purchase(1, 5), a_purchase(2, -2))
    assert undone(pair, an_undoing(2), an_undoing(1), an_undoing(1)) == [Undone.DONE, Undone.DONE, Undone.ALREADY]
    assert undone(pair, an_undoing(1), an_undoing(2)) == [Undone.ALREADY] * 2
    assert pair.balance(CHILD) == (0, 0)
    assert [row["is_undone"] for row in pair.rows(schema.purchase)] == [1, 1]
    assert pair.store.ask(pair.store.figures.audit).findings == ()


def test_moved_credit_is_paid_in(pair: House) -> None:
    """What an account was given counts as paid in, what it gave away or had to give back counts less."""
    bought(pair, a_purchase(1, 5), a_purchase(2, 7), a_purchase(3, -4))
    undone(pair, an_undoing(2))

    def paid_in(account_id: int, from_ms: int) -> int:
        histories = pair.store.histories
        found = pair.store.ask(lambda transaction: histories.spending(transaction, account_id, from_ms, NOW_MS + 1))
        return found.paid_in_micros

    assert (paid_in(CHILD, NOW_MS), paid_in(ACCOUNT, NOW_MS)) == (1, FUNDS_MICROS - 1)
    assert paid_in(CHILD, NOW_MS + 1) == 0


def test_what_was_spent_cannot_be_undone(pair: House) -> None:
    """A purchase whose credit is gone stays as it is, and can be undone once the credit is there again."""
    bought(pair, a_purchase(1, 5), a_purchase(2, -3))
    assert undone(pair, an_undoing(1)) == [Undone.NO_FUNDS]
    bought(pair, a_purchase(3, 3))
    assert undone(pair, an_undoing(1)) == [Undone.DONE]
    assert pair.balance(CHILD) == (0, 0)


@pytest.mark.parametrize("wish", [an_undoing(2), an_undoing(1, account_id=9), an_undoing(1, subaccount_id=9)])
def test_only_its_own_pair_undoes_a_purchase(pair: House, wish: Undoing) -> None:
    """A purchase that is not there, or belongs to others, is not found, and nothing moves."""
    bought(pair, a_purchase(1, 5))
    assert undone(pair, wish) == [Undone.NOT_FOUND]
    assert pair.balance(CHILD) == (5, 0)


def test_purchases_are_listed_newest_first(pair: House) -> None:
    """A page of the purchases of one pair, as they were made, and how many there are in all."""
    pair.fund(9, 0)
    rows = [a_purchase(number, number, details=f'{{"n": "{number}"}}') for number in (1, 2, 3)]
    bought(pair, *rows, a_purchase(4, 4, subaccount_id=9))
    undone(pair, an_undoing(2))
    page, total = pair.store.ask(lambda transaction: pair.store.reselling.purchases(transaction, ACCOUNT, CHILD, 1, 5))
    assert (page, total) == ([msgspec.structs.replace(rows[1], is_undone=True), rows[0]], 3)


def test_spending_and_moving_in_one_round_share_what_is_there(pair: House) -> None:
    """A message and a move of the same round never spend the same money."""
    message = a_message(1, price_micros=FUNDS_MICROS)
    given = answers(
        pair,
        pair.store.accept(Acceptance(ACCOUNT, (message,), NOW_MS)),
        pair.store.commit(pair.store.reselling.buy, a_purchase(2, 1)),
    )
    assert given == [True, False]
    pair.check_books()


def test_eight_processes_move_exactly_what_is_there(pair: House) -> None:
    """Eight processes that move credit to and fro at once overspend neither side, and wait for each other in order."""
    spawn = multiprocessing.get_context("spawn")
    tenth = FUNDS_MICROS // 10
    wishes = [[tenth, tenth, tenth], [-tenth, tenth, -tenth]] * (PROCESSES // 2)
    with ProcessPoolExecutor(PROCESSES, spawn, prepare, (spawn.Barrier(PROCESSES),)) as processes:
        movers = [processes.submit(move, pair.url, ACCOUNT, CHILD, amounts) for amounts in wishes]
        moved = sum(
            amount
            for amounts, mover in zip(wishes, movers, strict=True)
            for amount, is_made in zip(amounts, mover.result(), strict=True)
            if is_made
        )
    assert pair.balance(CHILD) == (moved, 0)
    assert pair.balance(ACCOUNT) == (FUNDS_MICROS - moved, 0)
    assert 0 < moved <= FUNDS_MICROS
    pair.check_books()
    with Database(pair.url).transaction() as transaction:
        assert pair.store.figures.audit(transaction).findings == ()
