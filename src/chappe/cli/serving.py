"""Runs an app until somebody tells the process to stop, or the app can no longer keep its promises.

The first SIGINT or SIGTERM asks: what is in flight gets `shutdown_s` seconds to finish. The second one means it: the
process ends at once, which loses nothing that was accepted, for the tables are the truth.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import structlog

from chappe.app import App

log = structlog.get_logger()

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 5.0  # beyond shutdown_s, for closing what is quick to close
FAILED = 1


class BrokenError(Exception):
    """A database write could not be made durable, so nothing more was accepted: check its disk, then start again."""

    def __str__(self) -> str:
        return str(self.__doc__)


async def serve_until_told(app: App, announce: Callable[[], Awaitable[None]]) -> None:
    """Start, announce that requests are accepted, wait, stop. Raises StartError, BrokenError."""
    told = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, hear, told)
    await app.start()
    await announce()
    await first_of(told, app.broken)
    log.info("stopping", is_broken=app.broken.is_set())
    try:
        async with asyncio.timeout(app.settings.shutdown_s + GRACE_S):
            await app.stop()
    except TimeoutError:
        log.error("stop_overdue")
        os._exit(FAILED)
    if app.broken.is_set():
        raise BrokenError


def hear(told: asyncio.Event) -> None:
    if told.is_set():
        log.warning("ended_at_once")
        os._exit(FAILED)
    told.set()


async def first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
