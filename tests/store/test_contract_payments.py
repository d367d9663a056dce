"""Money paid in and paid back: once, as far as it reaches, with who and why; the audit misses none of it."""

import pytest
from sqlalchemy import delete

from chappe.store import schema
from chappe.store.reselling import PurchaseRow
from store.givens import ACCOUNT, NOW_MS, House, settle

OPENING = 10_000_000


def payment(number: int, amount_micros: int, account_id: int = ACCOUNT) -> PurchaseRow:
    return PurchaseRow(
        id=number, account_id=0, subaccount_id=account_id, amount_micros=amount_micros, made_ms=NOW_MS, details="{}"
    )


def test_money_is_paid_in_and_back(house: House) -> None:
    """The balance follows each payment, the books add up, and payments are told newest first."""
    store = house.store
    before = store.ask(lambda transaction: store.payments.funds(transaction, [ACCOUNT]))[ACCOUNT]
    outcomes = settle(
        store,
        store.commit(store.payments.pay, payment(1001, 5_000_000)),
        store.commit(store.payments.pay, payment(1002, -2_000_000)),
    )
    assert outcomes == [True, True]
    after = store.ask(lambda transaction: store.payments.funds(transaction, [ACCOUNT, 99]))
    assert after[ACCOUNT].available_micros == before.available_micros + 3_000_000
    assert 99 not in after
    latest = store.ask(lambda transaction: store.payments.latest(transaction, ACCOUNT, 10))
    assert [one.amount_micros for one in latest] == [-2_000_000, 5_000_000]
    assert store.ask(store.figures.audit).findings == ()


def test_nobody_is_paid_back_more_than_there_is(house: House) -> None:
    """A payment that the money does not reach for moves nothing, beside others in the same commit too."""
    store = house.store
    have = store.ask(lambda transaction: store.payments.funds(transaction, [ACCOUNT]))[ACCOUNT].spendable_micros
    outcomes = settle(
        store,
        store.commit(store.payments.pay, payment(1001, -have)),
        store.commit(store.payments.pay, payment(1002, -1)),
        store.commit(store.payments.pay, payment(1003, 1, account_id=99)),
    )
    assert outcomes == [True, False, False]
    assert store.ask(store.figures.audit).findings == ()


def test_a_payment_is_made_once(house: House) -> None:
    """Asked again because the answer was lost, it is told as made, and no money moves twice."""
    store = house.store
    assert settle(store, store.commit(store.payments.pay, payment(1001, 5))) == [True]
    before = store.ask(lambda transaction: store.payments.funds(transaction, [ACCOUNT]))
    with house.database.transaction() as transaction:
        assert store.payments.pay.run_many(transaction, [payment(1001, 5)], True) == [True]
    assert store.ask(lambda transaction: store.payments.funds(transaction, [ACCOUNT])) == before


@pytest.mark.parametrize("table, words", [("purchase", "money paid back without a payment"), ("entry", "not moved")])
def test_the_audit_holds_payments_against_money(house: House, table: str, words: str) -> None:
    """A payment without its money, and money paid back without a payment, are found."""
    store = house.store
    settle(store, store.commit(store.payments.pay, payment(1001, -5)))
    column = {"purchase": schema.purchase.c.id, "entry": schema.entry.c.source_id}[table]
    with house.database.engine.begin() as connection:
        connection.execute(delete(column.table).where(column == 1001))
    findings = store.ask(store.figures.audit).findings
    assert any(words in one for one in findings)
