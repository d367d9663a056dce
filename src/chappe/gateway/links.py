"""How the ways to the carriers are: looked at for the metrics, and written down now and then for `chappe carriers`.

How long receipts take is told by the receipts themselves: the row of a message that was sent holds the instant at which
that was written, so each receipt that finds its message says how old it is, whichever node sent it.
"""

from collections.abc import Callable
from typing import NamedTuple

from chappe.clock import Clock
from chappe.core.model import TEST_CARRIER, Carrier
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.pace import Lags
from chappe.store.engine import Store
from chappe.store.links import CarrierFigures, Tidings

SAME_S = 10.0  # how often what did not change is told again: it says that the node is alive


class CarrierNow(NamedTuple):
    """A carrier and how it is."""

    carrier: Carrier
    figures: CarrierFigures


class LinkDesk:
    """`lags` are how long receipts took, by carrier."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        dispatchers: Callable[[], list[Dispatcher]],
        lags: Callable[[int], Lags | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatchers = dispatchers
        self._lags = lags
        self._told: dict[int, tuple[CarrierFigures, float]] = {}  # what the row says, and since when

    def look(self) -> list[CarrierNow]:
        """All carriers of the configuration."""
        now_s = self._clock.monotonic_s()
        return [
            CarrierNow(one.carrier, figures_of(one, self._lags(one.carrier.id), now_s))
            for one in self._dispatchers()
            if one.carrier.is_active and one.carrier is not TEST_CARRIER
        ]

    def is_up(self, carrier_id: int) -> bool:
        """Whether this node's way to a carrier is open."""
        return any(one.figures.state == "up" for one in self.look() if one.carrier.id == carrier_id)

    async def tell_once(self) -> int:
        """Write down what changed, and now and then all: an idle gateway hardly writes. Tells how many those were."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        news = [one for one in self.look() if self._is_news(one, now_s)]
        writes = [
            self._store.commit(self._store.links.tell, Tidings(one.carrier.id, one.figures, now_ms)) for one in news
        ]
        for one, write in zip(news, writes, strict=True):
            await write
            self._told[one.carrier.id] = one.figures, now_s
        return len(news)

    def _is_news(self, one: CarrierNow, now_s: float) -> bool:
        figures, told_s = self._told.get(one.carrier.id, (None, 0.0))
        return figures != one.figures or now_s - told_s >= SAME_S


def figures_of(dispatcher: Dispatcher, lags: Lags | None, now_s: float) -> CarrierFigures:
    links = dispatcher.centre.links
    state, detail = state_of(dispatcher, now_s)
    p50_ms, p95_ms = lags.quantiles(now_s) if lags is not None else (None, None)
    return CarrierFigures(
        state=state,
        detail=detail,
        binds=links.binds,
        binds_wanted=links.binds_wanted,
        window_used=dispatcher.in_flight_count if links.room is None else links.window_used,
        window=dispatcher.carrier.window if links.room is None else links.window_used + links.room,
        sent_per_s=dispatcher.sent.per_s(now_s),
        troubles=dict(dispatcher.troubles),
        last_words=dispatcher.last_words,
        receipt_p50_ms=p50_ms,
        receipt_p95_ms=p95_ms,
    )


def state_of(dispatcher: Dispatcher, now_s: float) -> tuple[str, str]:
    """A word for how a carrier's link is, and why."""
    links, link = dispatcher.centre.links, dispatcher.link
    if not links.is_up:
        return "down", links.detail
    if not link.wait_s(now_s) and not link.is_down:
        return "up", links.detail
    if link.is_down:
        return "down", "too much went wrong in a row"
    return ("throttled", "it asked for a pause") if link.is_refused else ("paused", "it could not be reached")
