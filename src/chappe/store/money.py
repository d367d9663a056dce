"""The ledger's rows: entries are only ever added, balances follow them in the same transaction."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Text, insert, select, update

from chappe.core.ledger import Entry, Purse
from chappe.store.database import Batch, Database, Prepared, Transaction
from chappe.store.schema import balance, entry


class Ledger:
    def __init__(self, database: Database) -> None:
        accounts = Batch(database, id=BigInteger)
        self._lock = Prepared(
            database,
            select(balance.c.account_id, balance.c.available_micros - balance.c.limit_micros)
            .where(balance.c.account_id.in_(select(accounts.c.id)))
            .order_by(balance.c.account_id)
            .with_for_update(),
            accounts,
        )
        entries = Batch(
            database,
            source_id=BigInteger,
            phase=Text,
            account_id=BigInteger,
            debit=Text,
            credit=Text,
            amount_micros=BigInteger,
            made_ms=BigInteger,
        )
        names = [column.name for column in entry.columns]
        self._insert = Prepared(database, insert(entry).from_select(names, select(entries.table)), entries)
        changes = Batch(database, account_id=BigInteger, available=BigInteger, reserved=BigInteger)
        self._change = Prepared(
            database,
            update(balance)
            .where(balance.c.account_id == changes.c.account_id)
            .values(
                available_micros=balance.c.available_micros + changes.c.available,
                reserved_micros=balance.c.reserved_micros + changes.c.reserved,
            ),
            changes,
        )

    def lock(self, transaction: Transaction, account_ids: Iterable[int]) -> dict[int, int]:
        """What each account may still spend, in micros, held for the rest of the transaction (lowest id first, so that
        two nodes never wait for each other)."""
        wanted = [(account_id,) for account_id in sorted(set(account_ids))]
        return dict(transaction.rows(self._lock, wanted))

    def write(self, transaction: Transaction, entries: Sequence[Entry], now_ms: int) -> None:
        """Add entries and move the balances with them. A second entry for the same source and phase is refused by the
        table's key, and with it the transaction."""
        entries = [one for one in entries if one.amount_micros]
        if not entries:
            return
        rows = [
            (one.source_id, one.phase, one.account_id, one.debit, one.credit, one.amount_micros, now_ms)
            for one in entries
        ]
        transaction.run(self._insert, rows)
        changes: dict[int, list[int]] = {}
        for one in entries:
            change = changes.setdefault(one.account_id, [0, 0])
            for purse, amount in ((one.debit, -one.amount_micros), (one.credit, one.amount_micros)):
                if purse is Purse.AVAILABLE:
                    change[0] += amount
                elif purse is Purse.RESERVED:
                    change[1] += amount
        transaction.run(self._change, [(account_id, *change) for account_id, change in sorted(changes.items())])
