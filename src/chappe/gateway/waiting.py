"""Taking back what waits, message by message, as people do it: what a dialect takes back is a submission."""

from collections.abc import Iterable

from chappe.clock import Clock
from chappe.core.people import Sight
from chappe.gateway.search import SearchDesk
from chappe.store.engine import Store
from chappe.store.messages import Cancellation

CANCEL_MAX = 1_000  # messages that one call takes back


class WaitingDesk:
    def __init__(self, store: Store, search: SearchDesk, clock: Clock) -> None:
        self._store = store
        self._search = search
        self._clock = clock

    async def cancel(self, sight: Sight, ids: Iterable[int]) -> int:
        """Take back these messages, as far as they still wait and are theirs to see; how many that were."""
        count = 0
        for message_id in tuple(dict.fromkeys(ids))[:CANCEL_MAX]:
            one = await self._search.message(sight, message_id)
            if one is not None:
                now_ms = self._clock.now_ms()
                count += await self._store.cancel(
                    Cancellation(one.account_id, one.submission_id, now_ms, message_id=message_id)
                )
        return count
