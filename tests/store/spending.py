"""One of several processes that spend the same balance at once."""

import asyncio
import itertools
import os
from multiprocessing.synchronize import Barrier

from chappe.store.database import Database
from chappe.store.engine import Store
from store.givens import a_message, an_acceptance

_start: Barrier


def prepare(start: Barrier) -> None:
    """Remember what all processes wait for before they spend."""
    global _start
    _start = start


def spend(url: str, account_id: int, senders_count: int) -> int:
    """Send messages, one by one per sender, until the balance refuses; how many were accepted."""
    return asyncio.run(_spend(url, account_id, senders_count))


async def _spend(url: str, account_id: int, senders_count: int) -> int:
    store = Store(Database(url))
    numbers = itertools.count(os.getpid() << 24 | account_id << 16)
    store.start()
    _start.wait()

    async def sender() -> int:
        accepted_count = 0
        while await store.accept(an_acceptance(a_message(next(numbers), account_id=account_id))):
            accepted_count += 1
        return accepted_count

    try:
        return sum(await asyncio.gather(*(sender() for _ in range(senders_count))))
    finally:
        store.stop()
