"""The overview: periods cut into steps, each account's own, currencies apart, and what is shared renewed in time."""

import asyncio
from pathlib import Path

from sqlalchemy import delete, insert

from chappe.core.model import TEST_CARRIER
from chappe.core.people import EVERYTHING, Sight
from chappe.core.story import Tallied
from chappe.gateway.configuration import apply
from chappe.gateway.directory import DirectoryHolder
from chappe.gateway.gateway_file import Known
from chappe.gateway.overview import Glance, OverviewDesk, Period
from chappe.gateway.secrets import Sealer
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.migrate import migrate

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = 20_000 * DAY_MS + 12 * HOUR_MS  # a noon of UTC
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[account]]
name = "alice"
password = "p"
currency = "EUR"

[[account]]
name = "bob"
password = "p"
currency = "{currency}"
"""


class Hands:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at_ms = NOON_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


class Room:
    """A desk over a store in which tests count."""

    def __init__(self, folder: Path, currency: str = "EUR") -> None:
        self.database = Database(f"sqlite:///{folder / 'chappe.db'}")
        migrate(self.database)
        sealer = Sealer("")
        file = WORLD.format(currency=currency)
        known = Known(kinds=frozenset({"simulated"}), dialects=frozenset())
        apply(self.database, file, file_name="world", known=known, sealer=sealer, now_ms=NOON_MS)
        self.store = Store(self.database, has_threads=False)
        self.holder = DirectoryHolder(sealer)
        self.clock = Hands()
        self.desk = OverviewDesk(self.store, lambda: self.holder.current, self.clock)

    def clear(self) -> None:
        """Nothing was counted, and nobody was told anything."""
        with self.database.engine.begin() as connection:
            connection.execute(delete(schema.tally))
        self.desk = OverviewDesk(self.store, lambda: self.holder.current, self.clock)

    def count(self, what: Tallied, at_ms: int, account: str = "alice", **sums: int) -> None:
        account_id = self.holder.current.accounts_by_name[account].id
        for span_s in (60, 3600):
            row = {"span_s": span_s, "start_ms": at_ms // (span_s * 1000) * span_s * 1000, "account_id": account_id}
            values = {"count": 1, "segments": 1, "amount_micros": 0, "lag_ms": 0, **sums}
            with self.database.engine.begin() as connection:
                connection.execute(insert(schema.tally).values(what=what.value, **row, **{"carrier_id": 1, **values}))

    async def __aenter__(self) -> "Room":
        await self.holder.refresh(self.store)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.store.stop()

    def sight(self, account: str) -> Sight:
        return Sight(frozenset({self.holder.current.accounts_by_name[account].id}))


def counts(glance: Glance, what: Tallied) -> dict[int, int]:
    """How many, by the place of the step, counted back from the last one; only where there were any."""
    steps = glance.steps
    return {place - len(steps) + 1: step.counts[what] for place, step in enumerate(steps) if step.counts.get(what)}


# The period, how long ago something was counted, and in which step it then is (0 = the one that is under way).
PERIODS: list[tuple[Period, int, int | None]] = [
    (Period.HOUR, 0, 0),
    (Period.HOUR, 59_999, -1),
    (Period.HOUR, 59 * 60_000, -59),
    (Period.HOUR, 60 * 60_000, None),
    (Period.DAY, HOUR_MS, -1),
    (Period.DAY, 23 * HOUR_MS, -23),
    (Period.DAY, 24 * HOUR_MS, None),
    (Period.MONTH, 12 * HOUR_MS, 0),
    (Period.MONTH, 13 * HOUR_MS, -1),
    (Period.MONTH, 29 * DAY_MS, -29),
    (Period.MONTH, 30 * DAY_MS, None),
]


def test_a_period_is_cut_into_steps(tmp_path: Path) -> None:
    """What was counted stands in the step in which it happened, and what is older than the period in none."""

    async def story() -> None:
        async with Room(tmp_path) as room:
            for period, ago_ms, place in PERIODS:
                room.clear()
                room.count(Tallied.SENT, NOON_MS - ago_ms, amount_micros=5)
                glance = await room.desk.glance(EVERYTHING, period)
                expected = ({}, 0) if place is None else ({place: 1}, 5)
                found = counts(glance, Tallied.SENT), sum(one.total_micros for one in glance.spends)
                assert (period, ago_ms, found) == (period, ago_ms, expected)

    asyncio.run(story())


# Where midnight is (hours of UTC), when something was counted (hours before a noon of UTC), in which day it then is.
MIDNIGHTS = [(0, 13, -1), (22, 13, 0), (22, 15, -1), (6, 5, 0), (6, 7, -1), (13, 0, 0), (13, 22, 0), (13, 24, -1)]


def test_days_begin_at_the_readers_midnight(tmp_path: Path) -> None:
    """A month's days are those of whoever reads, and the last one is always the one under way."""

    async def story() -> None:
        async with Room(tmp_path) as room:
            for midnight, ago, place in MIDNIGHTS:
                room.clear()
                room.count(Tallied.SENT, NOON_MS - ago * HOUR_MS)
                glance = await room.desk.glance(EVERYTHING, Period.MONTH, midnight * HOUR_MS)
                assert len(glance.steps) == 30
                assert glance.steps[-1].start_ms <= NOON_MS < glance.steps[-1].start_ms + DAY_MS
                assert (midnight, ago, counts(glance, Tallied.SENT)) == (midnight, ago, {place: 1})

    asyncio.run(story())


def test_everybody_sees_their_own(tmp_path: Path) -> None:
    """An account's overview holds nothing of another's, the operator's holds both, each currency for itself."""

    async def story() -> None:
        async with Room(tmp_path, currency="RUB") as room:
            room.count(Tallied.SENT, NOON_MS, "alice", count=3, amount_micros=30, lag_ms=600)
            room.count(Tallied.SENT, NOON_MS, "bob", count=1, amount_micros=700, lag_ms=200)
            room.count(Tallied.DELIVERED, NOON_MS, "alice", lag_ms=5_000)
            room.count(Tallied.REJECTED, NOON_MS, "bob")
            own = await room.desk.glance(room.sight("alice"), Period.HOUR)
            assert (own.totals, own.spends[0].currency) == ({Tallied.SENT: 3, Tallied.DELIVERED: 1}, "EUR")
            assert [one.total_micros for one in own.spends] == [30]
            assert (own.steps[-1].sending_lag_ms, own.steps[-1].receipt_lag_ms) == (200, 5_000)
            whole = await room.desk.glance(EVERYTHING, Period.HOUR)
            assert {one.currency: one.total_micros for one in whole.spends} == {"EUR": 30, "RUB": 700}
            assert (whole.totals[Tallied.SENT], whole.steps[-1].sending_lag_ms) == (4, 200)
            assert (whole.carriers[0].troubles, whole.carriers[0].failed_share) == (1, 0.5)
            assert own.carriers == ()  # who carries for the gateway is its own business
            nobody = await room.desk.glance(Sight(frozenset()), Period.HOUR)
            assert (nobody.totals, nobody.spends) == ({}, ())

    asyncio.run(story())


def test_what_test_keys_send_is_told_by_name(tmp_path: Path) -> None:
    """What is sent in test mode has no carrier of the configuration, and a name all the same."""

    async def story() -> None:
        async with Room(tmp_path, currency="EUR") as room:
            room.count(Tallied.SENT, NOON_MS, carrier_id=TEST_CARRIER.id)
            whole = await room.desk.glance(EVERYTHING, Period.HOUR)
            assert [one.name for one in whole.carriers] == [TEST_CARRIER.name]

    asyncio.run(story())


def test_what_is_shared_is_renewed(tmp_path: Path) -> None:
    """Whoever sees everything gets what another was just told, and soon after that something newer."""

    async def story() -> None:
        async with Room(tmp_path) as room:
            first, same = await asyncio.gather(*(room.desk.glance(EVERYTHING, Period.HOUR) for _ in range(2)))
            assert first is same
            room.count(Tallied.SENT, NOON_MS)
            assert await room.desk.glance(EVERYTHING, Period.HOUR) is first
            room.clock.at_ms += 10_000
            assert (await room.desk.glance(EVERYTHING, Period.HOUR)).totals == {Tallied.SENT: 1}

    asyncio.run(story())


def test_nobody_waits_long_for_what_is_newer(tmp_path: Path) -> None:
    """Where looking anew takes longer than the patience, the last look is told; the new one to whoever asks next."""

    async def story() -> None:
        async with Room(tmp_path) as room:
            hasty = OverviewDesk(room.store, lambda: room.holder.current, room.clock, patience_s=0)
            first = await hasty.glance(EVERYTHING, Period.HOUR)
            room.count(Tallied.SENT, NOON_MS)
            room.clock.at_ms += 10_000
            assert await hasty.glance(EVERYTHING, Period.HOUR) is first
            for _ in range(5):  # turns of the loop: nothing here waits for anything
                await asyncio.sleep(0)
            assert (await hasty.glance(EVERYTHING, Period.HOUR)).totals == {Tallied.SENT: 1}

    asyncio.run(story())
