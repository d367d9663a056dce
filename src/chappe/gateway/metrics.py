"""Figures about the running gateway, as plain samples: who shows them decides how."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from chappe.gateway.callbacks import CallbackDesk
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
from chappe.gateway.links import LinkDesk
from chappe.store.database import StoreError
from chappe.store.engine import Store


class Sample(NamedTuple):
    """One value. `labels` are pairs of name and value; a counter only grows, a gauge goes up and down."""

    name: str
    help: str
    is_counter: bool
    labels: tuple[tuple[str, str], ...]
    value: float


class Metrics:
    """`binds` tells, for each bind of a customer, its account's name and how it is bound."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        dispatchers: Callable[[], list[Dispatcher]],
        callbacks: CallbackDesk,
        links: LinkDesk,
        binds: Callable[[], Iterable[tuple[str, str]]] = tuple,
    ) -> None:
        self._binds = binds
        self._links = links
        self._store = store
        self._feed = feed
        self._dispatchers = dispatchers
        self._callbacks = callbacks

    async def samples(self) -> list[Sample]:
        return [*self._counted(), *self._live(), *self._carriers(), *await self._stored()]

    def _counted(self) -> list[Sample]:
        text = "Steps of messages since the start, by step and what it was about."
        return [
            Sample("chappe_steps", text, True, (("step", step), ("subject", subject)), float(count))
            for (step, subject), count in sorted(self._feed.counts.items())
        ]

    def _live(self) -> list[Sample]:
        samples = [
            Sample("chappe_store_waiting", "Items waiting for the next commit.", False, (), self._store.waiting_count),
            Sample(
                "chappe_callbacks_in_hand",
                "Callbacks being made or about to.",
                False,
                (),
                self._callbacks.waiting_count,
            ),
        ]
        samples += [
            Sample(
                "chappe_binds",
                "Binds of customers, by account and kind.",
                False,
                (("account", account), ("bind", kind)),
                float(count),
            )
            for (account, kind), count in sorted(Counter(self._binds()).items())
        ]
        for one in self._dispatchers():
            labels = (("carrier", one.carrier.name),)
            in_flight = float(one.in_flight_count)
            samples += [
                Sample("chappe_carrier_in_flight", "Submissions without an answer yet.", False, labels, in_flight),
                Sample("chappe_carrier_down", "1 while the link to a carrier is down.", False, labels, one.is_down),
            ]
        return samples

    def _carriers(self) -> list[Sample]:
        """How the ways to the carriers are, as `chappe carriers` shows it."""
        samples = []
        for carrier, now in self._links.look():
            labels = (("carrier", carrier.name),)
            values: list[tuple[str, str, float | None]] = [
                ("chappe_carrier_up", "1 while messages may leave to a carrier.", now.state == "up"),
                ("chappe_carrier_binds", "Binds that stand.", now.binds if now.binds_wanted else None),
                ("chappe_carrier_binds_wanted", "Binds that there should be.", now.binds_wanted or None),
                ("chappe_carrier_window_used", "Of the window, what has no answer yet.", now.window_used),
                ("chappe_carrier_window", "What may be without an answer at once.", now.window),
                ("chappe_carrier_sent_rate", "Messages a second that a carrier took lately.", now.sent_per_s),
            ]
            samples += [Sample(name, text, False, labels, value) for name, text, value in values if value is not None]
            lags = (("0.5", now.receipt_p50_ms), ("0.95", now.receipt_p95_ms))
            text = "How long after a message was sent its receipt came, lately."
            samples += [
                Sample("chappe_carrier_receipt_seconds", text, False, (*labels, ("quantile", quantile)), lag_ms / 1000)
                for quantile, lag_ms in lags
                if lag_ms is not None
            ]
            text = "Refusals and missing answers of a carrier since the start."
            samples += [
                Sample("chappe_carrier_troubles", text, True, (*labels, ("reason", reason)), count)
                for reason, count in sorted(now.troubles.items())
            ]
        return samples

    async def _stored(self) -> list[Sample]:
        try:
            figures = await self._store.read(self._store.figures.overview)
        except StoreError:  # while the database is away the others are wanted most
            return []
        names = {one.carrier.id: one.carrier.name for one in self._dispatchers()}
        samples = [
            Sample(
                "chappe_messages_open",
                "Messages that are not final, by carrier and state.",
                False,
                (("carrier", names.get(carrier_id, str(carrier_id))), ("state", state)),
                float(count),
            )
            for (carrier_id, state), count in sorted(figures.open_messages.items())
        ]
        samples += [
            Sample(
                "chappe_messages_doubtful",
                "Messages of which nobody knows whether the carrier took them.",
                False,
                (("carrier", names.get(carrier_id, str(carrier_id))),),
                float(count),
            )
            for carrier_id, count in sorted(figures.doubtful.items())
        ]
        pending, parked = float(figures.pending_callbacks), float(figures.parked_receipts)
        return [
            *samples,
            Sample("chappe_callbacks_pending", "Callbacks that have not succeeded yet.", False, (), pending),
            Sample("chappe_receipts_parked", "Receipts whose message is not known (yet).", False, (), parked),
        ]
