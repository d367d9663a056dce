"""Figures about the running gateway, as plain samples: who shows them decides how."""

from collections.abc import Callable
from typing import NamedTuple

from chappe.gateway.callbacks import CallbackDesk
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
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
    def __init__(
        self, store: Store, feed: Feed, dispatchers: Callable[[], list[Dispatcher]], callbacks: CallbackDesk
    ) -> None:
        self._store = store
        self._feed = feed
        self._dispatchers = dispatchers
        self._callbacks = callbacks

    async def samples(self) -> list[Sample]:
        return [*self._counted(), *self._live(), *await self._stored()]

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
        for one in self._dispatchers():
            labels = (("carrier", one.carrier.name),)
            in_flight = float(one.in_flight_count)
            samples += [
                Sample("chappe_carrier_in_flight", "Submissions without an answer yet.", False, labels, in_flight),
                Sample(
                    "chappe_carrier_down", "1 while the link to a carrier is down.", False, labels, one.link.is_down
                ),
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
