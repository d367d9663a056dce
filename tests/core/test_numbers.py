"""The calendar of rented numbers: months by the calendar of UTC, counted from where they began."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.numbers import months_later

DAY_MS = 86_400_000
YEAR_2000_MS, YEAR_2200_MS = 946_684_800_000, 7_258_118_400_000


def instant_ms(written: str) -> int:
    return round(datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    "start, count, end",
    [
        ("2026-11-21T16:20:00", 1, "2026-12-21T16:20:00"),
        ("2026-12-21T16:20:00.250", 1, "2027-01-21T16:20:00.250"),
        ("2027-01-31T00:00:00", 1, "2027-02-28T00:00:00"),
        ("2027-01-31T00:00:00", 2, "2027-03-31T00:00:00"),
        ("2027-01-31T00:00:00", 3, "2027-04-30T00:00:00"),
        ("2028-01-30T23:59:59", 1, "2028-02-29T23:59:59"),
        ("2028-02-29T12:00:00", 12, "2029-02-28T12:00:00"),
        ("2100-01-29T12:00:00", 1, "2100-02-28T12:00:00"),
    ],
)
def test_a_month_ends_on_the_same_day_of_the_next(start: str, count: int, end: str) -> None:
    """The same day and time, or the last day of a month that has none such."""
    assert months_later(instant_ms(start), count) == instant_ms(end)


@given(start_ms=st.integers(YEAR_2000_MS, YEAR_2200_MS), count=st.integers(0, 600))
def test_months_never_drift(start_ms: int, count: int) -> None:
    """After any number of months the time and the day are the same, unless that month is shorter; each has its days."""
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start_ms)
    end_ms = months_later(start_ms, count)
    end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=end_ms)
    assert end.time() == start.time()
    assert (end.year - start.year) * 12 + end.month - start.month == count
    assert end.day == start.day or (end.day < start.day and (end + timedelta(days=1)).day == 1)
    assert 28 * DAY_MS <= months_later(start_ms, count + 1) - end_ms <= 31 * DAY_MS
