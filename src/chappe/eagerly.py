"""Coroutines that are run at once and without a task: where thousands a second begin, tasks are a cost of their own."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any


def run_eagerly(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that only waits for futures, at once and without a task."""
    try:
        awaited = work.send(None)
    except StopIteration:
        return
    if awaited is None:  # it only lets others go first
        asyncio.get_running_loop().call_soon(go_on, work, None)
        return
    awaited._asyncio_future_blocking = False  # as a task does that takes a future over
    awaited.add_done_callback(partial(go_on, work))


def go_on(work: Coroutine[Any, Any, None], _: object) -> None:
    run_eagerly(work)
