"""Loops are tickers around a round: tests call the round, the gateway lets the ticker call it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from chappe.store.database import StoreBroken, StoreError

log = structlog.get_logger()


async def tick(name: str, period_s: float, round_once: Callable[[], Awaitable[object]]) -> None:
    """Call a round again and again, `period_s` after it ended. A round that fails is logged and tried again; after a
    write that could not be made durable there is nothing left to try."""
    while True:
        try:
            await round_once()
        except StoreBroken:
            return
        except StoreError:
            log.warning("round_put_off", round=name)
        except Exception:
            log.exception("round_broke", round=name)
        await asyncio.sleep(period_s)
