"""One of several processes that move credit out of the same account at once."""

import asyncio
import itertools
import os
from multiprocessing.synchronize import Barrier

from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.reselling import PurchaseRow
from store.givens import NOW_MS

_start: Barrier


def prepare(start: Barrier) -> None:
    """Remember what all processes wait for before they begin."""
    global _start
    _start = start


def move(url: str, giver_id: int, taker_id: int, amounts: list[int]) -> list[bool]:
    """Move the amounts (negative: back), all at once; which of them could be."""
    return asyncio.run(_move(url, giver_id, taker_id, amounts))


async def _move(url: str, giver_id: int, taker_id: int, amounts: list[int]) -> list[bool]:
    store = Store(Database(url))
    numbers = itertools.count(os.getpid() << 24)
    store.start()
    _start.wait()
    try:
        rows = [
            PurchaseRow(
                id=next(numbers), account_id=giver_id, subaccount_id=taker_id, amount_micros=amount, made_ms=NOW_MS
            )
            for amount in amounts
        ]
        return list(await asyncio.gather(*(store.commit(store.reselling.buy, row) for row in rows)))
    finally:
        store.stop()
