"""Figures about the running gateway, as plain samples: who shows them decides how.

Which there are, what each means and what it is told apart by is one table, which the reference shows too.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from chappe.gateway.callbacks import CallbackDesk
from chappe.gateway.dispatch import Dispatcher
from chappe.gateway.feed import Feed
from chappe.gateway.links import LinkDesk
from chappe.store.database import StoreError
from chappe.store.engine import Store


class Family(NamedTuple):
    """What one name means, and what its values are told apart by. A counter only grows, a gauge goes up and down."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False


class Sample(NamedTuple):
    """One value. `labels` are pairs of name and value."""

    name: str
    help: str
    is_counter: bool
    labels: tuple[tuple[str, str], ...]
    value: float


FAMILIES = (
    Family(
        "chappe_steps", "Steps of messages since the start, by step and what it was about.", ("step", "subject"), True
    ),
    Family("chappe_store_waiting", "Items waiting for the next commit."),
    Family("chappe_callbacks_in_hand", "Callbacks being made or about to."),
    Family("chappe_callbacks_pending", "Callbacks that have not succeeded yet."),
    Family("chappe_receipts_parked", "Receipts whose message is not known (yet)."),
    Family("chappe_messages_open", "Messages that are not final, by carrier and state.", ("carrier", "state")),
    Family("chappe_messages_doubtful", "Messages of which nobody knows whether the carrier took them.", ("carrier",)),
    Family("chappe_binds", "Binds of customers, by account and kind.", ("account", "bind")),
    Family("chappe_carrier_in_flight", "Submissions without an answer yet.", ("carrier",)),
    Family("chappe_carrier_down", "1 while the link to a carrier is down.", ("carrier",)),
    Family("chappe_carrier_up", "1 while messages may leave to a carrier.", ("carrier",)),
    Family("chappe_carrier_binds", "Binds that stand.", ("carrier",)),
    Family("chappe_carrier_binds_wanted", "Binds that there should be.", ("carrier",)),
    Family("chappe_carrier_window_used", "Of the window, what has no answer yet.", ("carrier",)),
    Family("chappe_carrier_window", "What may be without an answer at once.", ("carrier",)),
    Family("chappe_carrier_sent_rate", "Messages a second that a carrier took lately.", ("carrier",)),
    Family(
        "chappe_carrier_receipt_seconds",
        "How long after a message was sent its receipt came, lately.",
        ("carrier", "quantile"),
    ),
    Family(
        "chappe_carrier_troubles",
        "Refusals and missing answers of a carrier since the start.",
        ("carrier", "reason"),
        True,
    ),
)
BY_NAME = {family.name: family for family in FAMILIES}


def sample(name: str, value: float, *labels: str) -> Sample:
    """A value of a family, its labels in the family's order."""
    family = BY_NAME[name]
    return Sample(name, family.help, family.is_counter, tuple(zip(family.labels, labels, strict=True)), float(value))


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
        counts = sorted(self._feed.counts.items())
        return [sample("chappe_steps", count, step, subject) for (step, subject), count in counts]

    def _live(self) -> list[Sample]:
        samples = [
            sample("chappe_store_waiting", self._store.waiting_count),
            sample("chappe_callbacks_in_hand", self._callbacks.waiting_count),
        ]
        binds = sorted(Counter(self._binds()).items())
        samples += [sample("chappe_binds", count, account, kind) for (account, kind), count in binds]
        for one in self._dispatchers():
            samples += [
                sample("chappe_carrier_in_flight", one.in_flight_count, one.carrier.name),
                sample("chappe_carrier_down", one.is_down, one.carrier.name),
            ]
        return samples

    def _carriers(self) -> list[Sample]:
        """How the ways to the carriers are, as `chappe carriers` shows it."""
        samples = []
        for carrier, now in self._links.look():
            values: list[tuple[str, float | None]] = [
                ("chappe_carrier_up", now.state == "up"),
                ("chappe_carrier_binds", now.binds if now.binds_wanted else None),
                ("chappe_carrier_binds_wanted", now.binds_wanted or None),
                ("chappe_carrier_window_used", now.window_used),
                ("chappe_carrier_window", now.window),
                ("chappe_carrier_sent_rate", now.sent_per_s),
            ]
            samples += [sample(name, value, carrier.name) for name, value in values if value is not None]
            lags = (("0.5", now.receipt_p50_ms), ("0.95", now.receipt_p95_ms))
            samples += [
                sample("chappe_carrier_receipt_seconds", lag_ms / 1000, carrier.name, quantile)
                for quantile, lag_ms in lags
                if lag_ms is not None
            ]
            troubles = sorted(now.troubles.items())
            samples += [sample("chappe_carrier_troubles", count, carrier.name, reason) for reason, count in troubles]
        return samples

    async def _stored(self) -> list[Sample]:
        try:
            figures = await self._store.read(self._store.figures.overview)
        except StoreError:  # while the database is away the others are wanted most
            return []
        names = {one.carrier.id: one.carrier.name for one in self._dispatchers()}
        return [
            *(
                sample("chappe_messages_open", count, names.get(carrier_id, str(carrier_id)), state)
                for (carrier_id, state), count in sorted(figures.open_messages.items())
            ),
            *(
                sample("chappe_messages_doubtful", count, names.get(carrier_id, str(carrier_id)))
                for carrier_id, count in sorted(figures.doubtful.items())
            ),
            sample("chappe_callbacks_pending", figures.pending_callbacks),
            sample("chappe_receipts_parked", figures.parked_receipts),
        ]
