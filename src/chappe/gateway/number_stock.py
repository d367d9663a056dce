"""Carriers that lend us numbers: what they offer goes into the pool, and what they lent is held against what we have.

A number that we rent from a carrier and nobody rents from us costs money every month. That is what remains of a
breakdown between the carrier's yes and our commit, or of a number it would not take back, so each round compares and is
loud.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import structlog

from chappe.core.centre import Done, Refused, Uncertain
from chappe.core.ledger import AMOUNT_MAX_MICROS, MICROS, parse_micros
from chappe.core.model import Carrier
from chappe.core.numbers import Number, Numbers
from chappe.gateway.directory import Directory
from chappe.sms.numbers import mask
from chappe.store.engine import Store
from chappe.store.numbers import NumberRow, Origin, Restocking

log = structlog.get_logger()

OFFERS_MAX = 1_000  # of one carrier
SHOWN_MAX = 10  # numbers that one line of the log names
PERCENT = 100 * MICROS


class Wholesaler(Protocol):
    """A carrier that lends us numbers."""

    async def offers(self, country: str) -> Numbers | Refused | Uncertain: ...

    async def rented(self) -> Numbers | Refused | Uncertain: ...

    async def rent(self, number: str) -> Done | Refused | Uncertain: ...

    async def give_back(self, number: str) -> Done | Refused | Uncertain: ...

    async def forward(self, number: str, target: str) -> Done | Refused | Uncertain: ...


class NumberStock:
    """`wholesaler` tells how a carrier lends, None where it does not."""

    def __init__(
        self, store: Store, directory: Callable[[], Directory], wholesaler: Callable[[Carrier], Wholesaler | None]
    ) -> None:
        self._store = store
        self._directory = directory
        self._wholesaler = wholesaler
        self._strays: dict[int, frozenset[str]] = {}  # by carrier: what it lent to nobody, when we last looked

    async def run_once(self) -> None:
        """Make every carrier's part of the pool what it offers now, and compare what it lent with what we have."""
        for carrier in self._directory().carriers:
            wholesaler = self._wholesaler(carrier)
            if wholesaler is not None:
                await self._restock(carrier, wholesaler)
            elif any(row.origin == Origin.CARRIER and not row.account_id for row in await self._of_carrier(carrier)):
                await self._store.commit(self._store.numbers.restock, Restocking(carrier.id, ()))

    async def _restock(self, carrier: Carrier, wholesaler: Wholesaler) -> None:
        markup = markup_of(carrier)
        offers = await wholesaler.offers("")
        rented = await wholesaler.rented()
        if markup is None:
            log.error("numbers_markup_unreadable", carrier=carrier.name)
        elif isinstance(offers, Numbers):
            free = [one for one in offers.items if self._directory().owner(one.number) is None]
            await self._store.commit(
                self._store.numbers.restock, Restocking(carrier.id, rows_of(carrier, free, markup))
            )
        else:
            log.warning("offers_not_read", carrier=carrier.name, detail=offers.detail)
        if isinstance(rented, Numbers):
            await self._compare(carrier, {one.number for one in rented.items})
        else:
            log.warning("rented_numbers_not_read", carrier=carrier.name, detail=rented.detail)

    async def _compare(self, carrier: Carrier, listed: set[str]) -> None:
        """What a carrier lent to nobody is told once it was so twice: a rental may have been under way."""
        rows = await self._of_carrier(carrier)
        lent = {row.number for row in rows if row.account_id and row.origin == Origin.CARRIER}
        ours = lent | {row.number for row in rows if row.origin == Origin.FILE}
        strays = frozenset(one for one in listed - ours if self._directory().owner(one) is None)
        nobodys = strays & self._strays.get(carrier.id, frozenset())
        self._strays[carrier.id] = strays
        for event, numbers in (("numbers_paid_for_nobody", nobodys), ("numbers_lost_at_carrier", lent - listed)):
            if numbers:
                shown = [mask(one) for one in sorted(numbers)[:SHOWN_MAX]]
                log.error(event, carrier=carrier.name, count=len(numbers), numbers=shown)

    async def _of_carrier(self, carrier: Carrier) -> tuple[NumberRow, ...]:
        return await self._store.read(partial(self._store.numbers.pool.of_carrier, carrier_id=carrier.id))


def rows_of(carrier: Carrier, offers: Iterable[Number], markup: int) -> tuple[NumberRow, ...]:
    """What a carrier offers as we do; the last word on a number counts, and one beyond all price is none."""
    rows = {
        one.number: NumberRow(
            number=one.number,
            country=one.country,
            price_micros=marked_up(one.price_micros, markup),
            carrier_id=carrier.id,
            origin=Origin.CARRIER.value,
        )
        for one in offers
    }
    return tuple(row for row in rows.values() if row.price_micros <= AMOUNT_MAX_MICROS)[:OFFERS_MAX]


def markup_of(carrier: Carrier) -> int | None:
    """What is put on a carrier's prices, in millionths of a percent; None where the option is no such number."""
    try:
        markup = parse_micros(carrier.options.get("numbers_markup", "0"))
    except ValueError:
        return None
    return markup if markup >= 0 else None


def marked_up(price_micros: int, markup: int) -> int:
    """Rounded up: we never lend for less than we pay."""
    return -(-price_micros * (PERCENT + markup) // PERCENT)
