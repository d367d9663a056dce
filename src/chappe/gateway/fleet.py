"""All dispatchers, one per configured carrier; they follow the configuration while the gateway runs."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from chappe.core.model import Carrier, Message
from chappe.gateway.dispatch import Dispatcher
from chappe.store.database import StoreError

log = structlog.get_logger()


class Fleet:
    def __init__(self, make: Callable[[Carrier], Dispatcher]) -> None:
        self._make = make
        self._dispatchers: dict[int, Dispatcher] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._in_hand: dict[int, set[int]] = {}

    @property
    def dispatchers(self) -> list[Dispatcher]:
        return list(self._dispatchers.values())

    def wake(self, carrier_id: int, *, is_urgent: bool = True) -> None:
        """Something may be due at a carrier, and may be urgent unless the caller knows better."""
        dispatcher = self._dispatchers.get(carrier_id)
        if dispatcher is not None:
            dispatcher.wake(is_urgent=is_urgent)

    def reserve(self, carrier_id: int, messages: Sequence[Message]) -> Dispatcher | None:
        """Room at a carrier for messages that are about to be kept, where nothing waits that would have to go first:
        whoever gave it must `begin` or `release` them. None where they have to queue."""
        dispatcher = self._dispatchers.get(carrier_id)
        return dispatcher if dispatcher is not None and dispatcher.reserve(messages) else None

    def follow(self, carriers: Iterable[Carrier]) -> None:
        """Start what is new, replace what changed, retire what is gone. A retired one finishes what is under way, and
        shares what it has in hand with its successor, who must not take it for its own."""
        wanted = {carrier.id: carrier for carrier in carriers}
        for carrier_id, dispatcher in list(self._dispatchers.items()):
            if wanted.get(carrier_id) != dispatcher.carrier:
                self._retire(carrier_id)
        for carrier_id, carrier in wanted.items():
            if carrier_id not in self._dispatchers:
                dispatcher = self._dispatchers[carrier_id] = self._make(carrier)
                dispatcher.in_hand = self._in_hand.setdefault(carrier_id, dispatcher.in_hand)
                predecessor = self._runs.get(carrier_id)
                self._runs[carrier_id] = asyncio.create_task(self._run(dispatcher, predecessor))

    async def _run(self, dispatcher: Dispatcher, predecessor: "asyncio.Task[None] | None") -> None:
        if predecessor is not None:  # two at once would not see what the other is just claiming
            await asyncio.wait([predecessor])
        await dispatcher.run()

    def _retire(self, carrier_id: int, timeout_s: float | None = None) -> None:
        dispatcher, run = self._dispatchers.pop(carrier_id), self._runs[carrier_id]
        dispatcher.stop()
        task = asyncio.create_task(self._end(dispatcher, run, timeout_s))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end(self, dispatcher: Dispatcher, run: "asyncio.Task[None]", timeout_s: float | None) -> None:
        await run  # it ends by itself once stopped, with what it claimed last under way
        await dispatcher.drain(timeout_s)

    async def settle_doubts_once(self) -> int:
        """One round over the doubtful messages of every carrier."""
        count = 0
        for dispatcher in self.dispatchers:
            try:
                count += await dispatcher.settle_doubts_once()
            except StoreError:
                log.warning("doubts_not_settled", carrier=dispatcher.carrier.name)
        return count

    async def stop(self, timeout_s: float) -> None:
        """Claim nothing more and finish what is under way."""
        for carrier_id in list(self._dispatchers):
            self._retire(carrier_id, timeout_s)
        if self._retiring:
            done_late = (await asyncio.wait(self._retiring, timeout=timeout_s))[1]
            for task in done_late:
                task.cancel()
            await asyncio.gather(*done_late, return_exceptions=True)
