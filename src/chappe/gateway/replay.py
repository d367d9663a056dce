"""Callbacks as people see them: listed, and made once more where somebody asks for it."""

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from chappe.clock import Clock
from chappe.core.people import Sight
from chappe.gateway.search import CallbackFilters, FoundCallback, Page, SearchDesk
from chappe.store.engine import Store
from chappe.store.replay import ENDED, Replay

__all__ = ["ENDED", "UNSUCCESSFUL", "ReplayDesk", "Replayed"]

REPLAY_MAX = 1_000  # callbacks that one call makes pending
UNSUCCESSFUL = ("failed", "disabled")


class Replayed(Struct, frozen=True, kw_only=True):
    """How many callbacks are made again. `next_before_id` is where to go on in the range; None = that was all."""

    count: int
    next_before_id: int | None = None


class ReplayDesk:
    """`call_back` looks for callbacks that are due, as it does by itself every second."""

    def __init__(
        self, store: Store, search: SearchDesk, clock: Clock, call_back: Callable[[], Awaitable[object]]
    ) -> None:
        self._store = store
        self._search = search
        self._clock = clock
        self._call_back = call_back

    async def list(
        self, sight: Sight, filters: CallbackFilters, before_id: int = 0, count: int = 50
    ) -> Page[FoundCallback]:
        return await self._search.callbacks(sight, filters, before_id, count)

    async def replay(self, sight: Sight, ids: Iterable[int]) -> int:
        """Make these callbacks again, at once and with all attempts before them; how many that are. Left alone are
        those that are pending anyway, that are not there, and that are not theirs to see."""
        return await self._replay(sight, tuple(dict.fromkeys(ids))[:REPLAY_MAX], ENDED)

    async def replay_range(
        self,
        sight: Sight,
        from_ms: int,
        to_ms: int,
        states: tuple[str, ...] = UNSUCCESSFUL,
        *,
        account_id: int = 0,
        before_id: int = 0,
    ) -> Replayed:
        """The same for those of a span of time in these states, the newest first, up to `REPLAY_MAX` of them."""
        wanted = tuple(one for one in states if one in ENDED)
        filters = CallbackFilters(states=wanted, account_id=account_id, from_ms=from_ms, to_ms=to_ms)
        if not wanted:
            return Replayed(count=0)
        page = await self._search.callbacks(sight, filters, before_id, REPLAY_MAX)
        count = await self._replay(sight, tuple(one.id for one in page.items), wanted)
        return Replayed(count=count, next_before_id=page.next_before_id)

    async def _replay(self, sight: Sight, ids: tuple[int, ...], states: tuple[str, ...]) -> int:
        if not ids:
            return 0
        wish = Replay(ids=ids, account_ids=sight.account_ids, now_ms=self._clock.now_ms(), states=states)
        count = await self._store.commit(self._store.replays.replay, wish)
        if count:
            await self._call_back()
        return count
