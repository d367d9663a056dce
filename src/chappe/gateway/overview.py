"""What goes through the gateway at a glance: how much, how it ends, how long it takes, what it costs, what is open.

The past is read from the tallies: minutes for an hour, hours for a day and a month. What everybody sees is the same for
all who may see it, so it is kept for a while; where renewing it takes longer than anybody likes to wait, it goes on
behind their back. An account's own is read by its keys each time.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from chappe.clock import Clock
from chappe.core.model import State
from chappe.core.people import Sight
from chappe.core.story import Tallied
from chappe.gateway.directory import Directory
from chappe.store.database import StoreError, Transaction
from chappe.store.engine import Store
from chappe.store.figures import Funds
from chappe.store.figures import Overview as OpenFigures
from chappe.store.links import CarrierRow
from chappe.store.tallies import HOUR_S, MINUTE_S, TallyRow

FAILED = (Tallied.UNDELIVERABLE, Tallied.EXPIRED, Tallied.REJECTED, Tallied.UNKNOWN)
ENDED = (Tallied.DELIVERED, *FAILED, Tallied.CANCELLED)
REPORTED = (Tallied.DELIVERED, Tallied.UNDELIVERABLE, Tallied.EXPIRED)  # their lag is from sent to the receipt
TROUBLES = (*FAILED, Tallied.PUT_OFF, Tallied.REROUTED)
CURRENCIES_MAX = 6
OPEN_FRESH_S = 3.0
PATIENCE_S = 0.15  # how long somebody waits for a newer look than the one that is there


class Period(StrEnum):
    """How far a glance reaches back."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Scale(NamedTuple):
    """How a period is cut up."""

    span_s: int  # of the tallies it is read from
    step_s: int
    steps_count: int
    fresh_s: float  # how old a shared answer may be


SCALES = {
    Period.HOUR: Scale(MINUTE_S, 60, 60, 1.0),
    Period.DAY: Scale(HOUR_S, 3_600, 24, 60.0),
    Period.MONTH: Scale(HOUR_S, 86_400, 30, 300.0),
}


class Step(Struct, frozen=True, kw_only=True):
    """One step of a period. A lag is the mean over all that are counted; None = there was nothing to measure."""

    start_ms: int
    counts: Mapping[Tallied, int]
    sending_lag_ms: int | None
    receipt_lag_ms: int | None


class CarrierGlance(Struct, frozen=True, kw_only=True):
    """One carrier over the whole period."""

    carrier_id: int
    name: str
    counts: Mapping[Tallied, int]
    receipt_lag_ms: int | None

    @property
    def troubles(self) -> int:
        return sum(self.counts.get(what, 0) for what in TROUBLES)

    @property
    def failed_share(self) -> float:
        """Of all that ended."""
        ended = sum(self.counts.get(what, 0) for what in ENDED)
        return sum(self.counts.get(what, 0) for what in FAILED) / ended if ended else 0.0


class Spend(Struct, frozen=True, kw_only=True):
    """What was paid in one currency, by the steps of the period."""

    currency: str
    amounts_micros: tuple[int, ...]

    @property
    def total_micros(self) -> int:
        return sum(self.amounts_micros)


class Glance(Struct, frozen=True, kw_only=True):
    period: Period
    told_ms: int
    steps: tuple[Step, ...]
    carriers: tuple[CarrierGlance, ...]  # told to those alone who see everything
    spends: tuple[Spend, ...]
    totals: Mapping[Tallied, int]
    segments: int  # sent


class OpenNow(Struct, frozen=True, kw_only=True):
    """What is open, and how the carriers are, as all nodes told a few seconds ago."""

    open_messages: Mapping[State, int]
    doubtful: int
    pending_callbacks: int
    oldest_callback_due_ms: int | None
    parked_receipts: int
    carriers: tuple[CarrierRow, ...]


class OverviewDesk:
    """`directory` gives the current snapshot."""

    def __init__(
        self, store: Store, directory: Callable[[], Directory], clock: Clock, patience_s: float = PATIENCE_S
    ) -> None:
        self._patience_s = patience_s
        self._store = store
        self._directory = directory
        self._clock = clock
        self._shared: dict[tuple[Period, int], tuple[Glance, float]] = {}
        self._renewing: dict[tuple[Period, int], asyncio.Task[Glance]] = {}
        self._open: tuple[OpenNow, float] | None = None

    async def glance(self, sight: Sight, period: Period, midnight_ms: int = 0) -> Glance:
        """A period up to now. `midnight_ms`: when the days of a month begin, for whoever looks (any midnight; a whole
        hour of UTC). Raises StoreError."""
        offset_ms = midnight_ms % 86_400_000 // 3_600_000 * 3_600_000
        if sight.account_ids is not None:
            return await self._look(sight, period, offset_ms)
        key = (period, offset_ms)
        shared = self._shared.get(key)
        if shared is None:
            return await self._renew(key)
        if self._clock.monotonic_s() - shared[1] < SCALES[period].fresh_s:
            return shared[0]
        renewed = asyncio.ensure_future(self._renew(key))
        renewed.add_done_callback(forget_failure)
        await asyncio.wait({renewed}, timeout=self._patience_s)
        return renewed.result() if renewed.done() and not renewed.exception() else shared[0]

    async def _renew(self, key: tuple[Period, int]) -> Glance:
        """Look once for all who wait for the same."""
        renewing = self._renewing.get(key)
        if renewing is None:
            renewing = self._renewing[key] = asyncio.ensure_future(self._look(Sight(), *key))
            renewing.add_done_callback(lambda _: self._renewing.pop(key, None))
        glance = await asyncio.shield(renewing)
        if len(self._shared) >= 3 * 24:
            self._shared.clear()
        self._shared[key] = glance, self._clock.monotonic_s()
        return glance

    async def warm_once(self) -> None:
        """Look before anybody asks: a month of a large gateway takes its time."""
        for period in Period:
            await self.glance(Sight(), period)

    async def _look(self, sight: Sight, period: Period, offset_ms: int) -> Glance:
        scale = SCALES[period]
        now_ms = self._clock.now_ms()
        step_ms = scale.step_s * 1_000
        shift_ms = offset_ms if period is Period.MONTH else 0
        from_ms = (now_ms - shift_ms) // step_ms * step_ms + shift_ms - (scale.steps_count - 1) * step_ms
        if shift_ms and from_ms + scale.steps_count * step_ms <= now_ms:
            from_ms += step_ms
        groups = self._currencies(sight)
        question = partial(self._read, scale=scale, from_ms=from_ms, sight=sight, groups=groups)
        rows, spends = await self._store.read(question)
        names = {one.id: one.name for one in self._directory().served}
        starts = tuple(from_ms + index * step_ms for index in range(scale.steps_count))
        return Glance(
            period=period,
            told_ms=now_ms,
            steps=tuple(steps_of(rows, starts)),
            carriers=tuple(carriers_of(rows, names)) if sight.account_ids is None else (),
            spends=tuple(
                Spend(currency=currency, amounts_micros=amounts_of(found, starts)) for currency, found in spends.items()
            ),
            totals=totals_of(rows),
            segments=sum(row.segments for row in rows if row.what is Tallied.SENT),
        )

    def _currencies(self, sight: Sight) -> dict[str, frozenset[int] | None]:
        """The accounts that are seen, by currency; None where they all have the same."""
        directory = self._directory()
        groups: dict[str, set[int]] = {}
        ids = sight.account_ids if sight.account_ids is not None else directory.password_hashes
        for account_id in ids:
            account = directory.account(account_id)
            if account is not None:
                groups.setdefault(account.currency, set()).add(account_id)
        if len(groups) == 1:
            return dict.fromkeys(groups)
        largest = sorted(groups, key=lambda currency: (-len(groups[currency]), currency))[:CURRENCIES_MAX]
        return {currency: frozenset(groups[currency]) for currency in largest}

    def _read(
        self,
        transaction: Transaction,
        *,
        scale: Scale,
        from_ms: int,
        sight: Sight,
        groups: Mapping[str, frozenset[int] | None],
    ) -> tuple[list[TallyRow], dict[str, list[TallyRow]]]:
        to_ms = from_ms + scale.steps_count * scale.step_s * 1_000

        def sums(account_ids: frozenset[int] | None) -> list[TallyRow]:
            return self._store.tallies.sums(transaction, scale.span_s, from_ms, to_ms, account_ids, step_s=scale.step_s)

        rows = sums(sight.account_ids)
        return rows, {currency: rows if ids is None else sums(ids) for currency, ids in groups.items()}

    async def open_now(self) -> OpenNow:
        """What is open, for whoever sees everything; a few seconds old at most. Raises StoreError."""
        now_s = self._clock.monotonic_s()
        if self._open is None or now_s - self._open[1] >= OPEN_FRESH_S:
            self._open = await self._store.read(self._read_open), now_s
        return self._open[0]

    def _read_open(self, transaction: Transaction) -> OpenNow:
        figures: OpenFigures = self._store.figures.overview(transaction)
        states: dict[State, int] = {}
        for (_, state), count in figures.open_messages.items():
            states[state] = states.get(state, 0) + count
        return OpenNow(
            open_messages=states,
            doubtful=sum(figures.doubtful.values()),
            pending_callbacks=figures.pending_callbacks,
            oldest_callback_due_ms=figures.oldest_callback_due_ms,
            parked_receipts=figures.parked_receipts,
            carriers=tuple(self._store.links.carriers(transaction)),
        )

    async def funds(self, account_id: int) -> Funds | None:
        """An account's money; None for one that has no purse. Raises StoreError."""
        return await self._store.read(partial(self._store.figures.funds, account_id=account_id))


def forget_failure(task: "asyncio.Task[Glance]") -> None:
    """Whoever asks next looks again, and is told then."""
    if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), StoreError):
        raise task.exception() from None  # type: ignore[misc]


def steps_of(rows: Iterable[TallyRow], starts: tuple[int, ...]) -> Iterable[Step]:
    by_start: dict[int, list[TallyRow]] = {}
    for row in rows:
        by_start.setdefault(row.start_ms, []).append(row)
    for start_ms in starts:
        found = by_start.get(start_ms, [])
        yield Step(
            start_ms=start_ms,
            counts=totals_of(found),
            sending_lag_ms=mean_lag(found, (Tallied.SENT,)),
            receipt_lag_ms=mean_lag(found, REPORTED),
        )


def carriers_of(rows: Iterable[TallyRow], names: Mapping[int, str]) -> list[CarrierGlance]:
    """Carriers with something to tell, the one with the most sent first."""
    by_carrier: dict[int, list[TallyRow]] = {}
    for row in rows:
        if row.carrier_id:
            by_carrier.setdefault(row.carrier_id, []).append(row)
    found = [
        CarrierGlance(
            carrier_id=carrier_id,
            name=names.get(carrier_id, str(carrier_id)),
            counts=totals_of(of_carrier),
            receipt_lag_ms=mean_lag(of_carrier, REPORTED),
        )
        for carrier_id, of_carrier in by_carrier.items()
    ]
    return sorted(found, key=lambda one: (-one.counts.get(Tallied.SENT, 0), one.name))


def totals_of(rows: Iterable[TallyRow]) -> dict[Tallied, int]:
    totals: dict[Tallied, int] = {}
    for row in rows:
        totals[row.what] = totals.get(row.what, 0) + row.count
    return totals


def mean_lag(rows: Iterable[TallyRow], whats: tuple[Tallied, ...]) -> int | None:
    counted = [row for row in rows if row.what in whats]
    count = sum(row.count for row in counted)
    return sum(row.lag_ms for row in counted) // count if count else None


def amounts_of(rows: Iterable[TallyRow], starts: tuple[int, ...]) -> tuple[int, ...]:
    amounts = dict.fromkeys(starts, 0)
    for row in rows:
        if row.what is Tallied.SENT and row.start_ms in amounts:
            amounts[row.start_ms] += row.amount_micros
    return tuple(amounts.values())
