"""An event loop without sockets, threads or real time: it runs when told to, and its clock is somebody else's.

Callbacks run in the order they were asked for, so one seed is one history. A killed loop ends its tasks as a power cut
would: they are closed where they wait, and whatever that asks for is never done.
"""

import asyncio
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVar

CALLBACKS_MAX = 100_000  # of one `settle`; more means that something never comes to rest

Result = TypeVar("Result")


class VirtualLoop(asyncio.AbstractEventLoop):
    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._tasks: dict[asyncio.Task[Any], None] = {}  # a dict keeps the order
        self._is_dead = False
        self.surprises: list[str] = []  # exceptions that nobody took

    def settle(self) -> None:
        """Run until everything waits: for time, for the store, or for the world."""
        with self.running():
            for _ in range(CALLBACKS_MAX):
                self._wake_sleepers()
                if not self._ready:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        raise AssertionError("the gateway never comes to rest")

    def kill(self) -> None:
        self._is_dead = True
        self._ready.clear()
        self._timers.clear()
        for task in list(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            assert isinstance(coroutine, Coroutine)
            coroutine.close()
        self._tasks.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inside, `asyncio.get_running_loop()` is this loop."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def _wake_sleepers(self) -> None:
        while self._timers and self._timers[0][0] <= self._now_s():
            self._ready.append(heapq.heappop(self._timers)[2])

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now_s()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._is_dead

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._is_dead:
            self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._is_dead:
            heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_dead:
            self.surprises.append(f"{context.get('message')}: {context.get('exception')!r}")
