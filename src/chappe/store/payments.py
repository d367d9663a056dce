"""Money that is paid in for an account, or paid back, by whoever runs the gateway: each payment with who and why.

A payment is a row of `purchase` whose giver is nobody's account, and one entry under its id.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Text, bindparam, insert, select

from chappe.core.ledger import Kind, entry
from chappe.store.database import Batch, Database, Prepared, Transaction, constant
from chappe.store.figures import Funds
from chappe.store.group_commit import Verb
from chappe.store.money import Ledger
from chappe.store.reselling import COLUMNS, PurchaseRow, purchase_of, row_of
from chappe.store.schema import balance, purchase

HOUSE = 0  # whose money it is that is paid in


class Payments:
    """Verb: `pay`; whether the money reaches for it. The amount is negative where it is paid back."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._ledger = ledger
        made = Batch(
            database,
            id=BigInteger,
            account_id=BigInteger,
            subaccount_id=BigInteger,
            amount_micros=BigInteger,
            made_ms=BigInteger,
            is_undone=BigInteger,
            details=Text,
        )
        names = [column.name for column in COLUMNS]
        self._insert = Prepared(database, insert(purchase).from_select(names, select(made.table)), made)
        self._found = Prepared(database, select(purchase.c.id).where(purchase.c.id == bindparam("which")))
        self._list = Prepared(
            database,
            select(*COLUMNS)
            .where(purchase.c.subaccount_id == bindparam("whose"), purchase.c.account_id == constant(HOUSE))
            .order_by(purchase.c.id.desc())
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        accounts = Batch(database, id=BigInteger)
        self._funds = Prepared(
            database,
            select(
                balance.c.account_id, balance.c.available_micros, balance.c.reserved_micros, balance.c.limit_micros
            ).where(balance.c.account_id.in_(select(accounts.c.id))),
            accounts,
        )
        self.pay = Verb(5, self._pay_many)  # with the intake, which locks balances too

    def latest(self, transaction: Transaction, account_id: int, count_max: int) -> list[PurchaseRow]:
        """The payments of an account, newest first."""
        return [purchase_of(row) for row in transaction.rows(self._list, whose=account_id, count_max=count_max)]

    def funds(self, transaction: Transaction, account_ids: Iterable[int]) -> dict[int, Funds]:
        """What many accounts have."""
        rows = transaction.rows(self._funds, [(account_id,) for account_id in sorted(set(account_ids))])
        return {row[0]: Funds(available_micros=row[1], reserved_micros=row[2], limit_micros=row[3]) for row in rows}

    def _pay_many(self, transaction: Transaction, payments: Sequence[PurchaseRow], is_repeat: bool) -> list[bool]:
        left = self._ledger.lock(transaction, (one.subaccount_id for one in payments))
        outcomes = []
        for one in payments:
            if transaction.rows(self._found, which=one.id):  # asked for twice, or its answer was lost
                outcomes.append(True)
                continue
            is_made = one.subaccount_id in left and (
                one.amount_micros > 0 or -one.amount_micros <= left[one.subaccount_id]
            )
            outcomes.append(is_made)
            if is_made:
                left[one.subaccount_id] += one.amount_micros
                kind = Kind.CREDIT if one.amount_micros > 0 else Kind.DEBIT
                transaction.run(self._insert, [row_of(one)])
                made = entry(kind, one.id, one.subaccount_id, abs(one.amount_micros))
                self._ledger.write(transaction, [made], one.made_ms)
        return outcomes
