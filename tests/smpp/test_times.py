"""Absolute and relative times of SMPP 3.4, 7.1.1."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.smpp.times import absolute_time, read_time, relative_time

NOW = datetime(2026, 11, 21, 16, 20, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1000  # type: ignore[misc, arg-type]


READ = [
    # written, the instant
    ("261121172000000+", ms(2026, 11, 21, 17, 20)),
    ("261121172000004+", ms(2026, 11, 21, 16, 20)),  # an hour before UTC: 7.1.1.1, nn in quarters
    ("261121172000004-", ms(2026, 11, 21, 18, 20)),
    ("261121172000022+", ms(2026, 11, 21, 11, 50)),  # India
    ("261121172000748+", ms(2026, 11, 21, 5, 20) + 700),  # tenths; the furthest zone
    ("370101000000000+", ms(2037, 1, 1)),
    ("380101000000000+", ms(1938, 1, 1)),  # appendix C
    ("990101000000000+", ms(1999, 1, 1)),
    ("240229000000000+", ms(2024, 2, 29)),
    ("000000000010000R", NOW_MS + 10_000),
    ("000000010000000R", NOW_MS + 3_600_000),
    ("000002000000000R", NOW_MS + 2 * 86_400_000),
    ("000100000000000R", ms(2026, 12, 21, 16, 20)),
    ("000300000000000R", ms(2027, 2, 21, 16, 20)),
    ("010000000000000R", ms(2027, 11, 21, 16, 20)),
    ("000000000000500R", NOW_MS + 500),
    ("020610233429000R", ms(2029, 6, 1, 15, 54, 29)),  # 7.1.1.2: the standard's own example
]


@pytest.mark.parametrize("written, instant_ms", READ)
def test_times_are_read(written: str, instant_ms: int) -> None:
    """Years, zones, tenths, and relative times by the calendar are read as 7.1.1 says."""
    assert read_time(written, NOW_MS) == instant_ms


MALFORMED = [
    "",
    "2611211720",
    "26112117200000+",
    "2611211720000000+",
    "261121172000000",
    "261121172000000 ",
    "261121172000000r",
    "261121172000049+",
    "2611211720000-1+",
    "26112117200000²+",
    "²61121172000000+",
    "261321172000000+",
    "260230172000000+",
    "261121242000000+",
    "261121176000000+",
    "261121172060000+",
    "26 121172000000+",
    "x00002000000000R",
]


@pytest.mark.parametrize("written", MALFORMED)
def test_what_is_no_time_is_none(written: str) -> None:
    """Another length, other characters, or a day that no calendar has make no instant."""
    assert read_time(written, NOW_MS) is None


def test_a_month_after_the_last_of_january_is_the_last_of_february() -> None:
    """A relative month ends where the month does."""
    assert read_time("000100000000000R", ms(2027, 1, 31)) == ms(2027, 2, 28)


@given(st.integers(ms(2000, 1, 1) // 100, ms(2037, 12, 31) // 100))
def test_an_absolute_time_is_read_as_it_was_written(tenths: int) -> None:
    """Every instant that the two digits of a year reach comes back to the tenth of a second."""
    assert read_time(absolute_time(tenths * 100), NOW_MS) == tenths * 100


@given(st.integers(1, 31 * 86_400))
def test_a_duration_is_read_as_it_was_written(duration_s: int) -> None:
    """Up to 31 days, a relative time ends exactly so long after now."""
    assert read_time(relative_time(duration_s), NOW_MS) == NOW_MS + duration_s * 1000


@pytest.mark.parametrize("duration_s, written", [(0, "000000000001000R"), (40 * 86_400, "000031000000000R")])
def test_a_duration_beyond_the_field_is_cut(duration_s: int, written: str) -> None:
    """Nothing at all and more than 31 days become the nearest that can be said."""
    assert relative_time(duration_s) == written


@given(
    st.text(max_size=18) | st.text(st.sampled_from("0123456789R+-"), min_size=16, max_size=16), st.integers(0, NOW_MS)
)
def test_reading_never_fails(written: str, now_ms: int) -> None:
    """Any text is an instant or none."""
    found = read_time(written, now_ms)
    assert found is None or isinstance(found, int)
