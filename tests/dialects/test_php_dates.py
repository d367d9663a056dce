"""Dates as PHP reads them: what people write for "later", and what is no date at all."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.dialects.php_dates import strtotime

NOW_MS = 1_795_278_000_000  # Saturday 2026-11-21 16:20:00 UTC, 17:20 in Rome

IN_ROME = [
    ("2027-01-09 10:30", "2027-01-09 10:30:00"),
    ("2027-01-09 10:30:15", "2027-01-09 10:30:15"),
    ("2010-07-09 10:30", "2010-07-09 10:30:00"),
    ("2027-01-09T10:30:00", "2027-01-09 10:30:00"),
    ("2027-01-09T10:30:00.250Z", "2027-01-09 11:30:00"),
    ("2027-01-09T10:30:00+00:00", "2027-01-09 11:30:00"),
    ("2027-01-09T10:30:00-0500", "2027-01-09 16:30:00"),
    ("20270109T103000", "2027-01-09 10:30:00"),
    ("20270109T103000Z", "2027-01-09 11:30:00"),
    ("20270109", "2027-01-09 00:00:00"),
    ("2027-1-9", "2027-01-09 00:00:00"),
    ("2027/01/09 7:05", "2027-01-09 07:05:00"),
    ("01/09/2027 10:30", "2027-01-09 10:30:00"),
    ("1/9/27 10:30 pm", "2027-01-09 22:30:00"),
    ("12/31", "2026-12-31 00:00:00"),
    ("9.1.2027 10:30", "2027-01-09 10:30:00"),
    ("9-1-2027", "2027-01-09 00:00:00"),
    ("9 January 2027 10:30", "2027-01-09 10:30:00"),
    ("9-Jan-2027", "2027-01-09 00:00:00"),
    ("January 9, 2027 10:30am", "2027-01-09 10:30:00"),
    ("Jan 9th 8pm", "2026-01-09 20:00:00"),
    ("1st of may", None),
    ("Sat, 09 Jan 2027 10:30:00 +0100", "2027-01-09 10:30:00"),
    ("2027-01-09 10:30 EST", "2027-01-09 16:30:00"),
    ("2027-01-09 10:30 GMT+2", "2027-01-09 09:30:00"),
    ("2027-01-09 10:30 America/New_York", "2027-01-09 16:30:00"),
    ("@1795278060", "2026-11-21 17:21:00"),
    ("@0", "1970-01-01 01:00:00"),
    ("now", "2026-11-21 17:20:00"),
    ("NOW", "2026-11-21 17:20:00"),
    (" today ", "2026-11-21 00:00:00"),
    ("midnight", "2026-11-21 00:00:00"),
    ("noon", "2026-11-21 12:00:00"),
    ("tomorrow", "2026-11-22 00:00:00"),
    ("tomorrow noon", "2026-11-22 12:00:00"),
    ("tomorrow 10:00", "2026-11-22 10:00:00"),
    ("10:00 tomorrow", "2026-11-22 10:00:00"),
    ("yesterday 10:00", "2026-11-20 10:00:00"),
    ("18:00", "2026-11-21 18:00:00"),
    ("6pm", "2026-11-21 18:00:00"),
    ("12 a.m.", "2026-11-21 00:00:00"),
    ("24:00", "2026-11-22 00:00:00"),
    ("+1 day", "2026-11-22 17:20:00"),
    ("1 day", "2026-11-22 17:20:00"),
    ("+2 hours", "2026-11-21 19:20:00"),
    ("+90 min", "2026-11-21 18:50:00"),
    ("+1 week 2 days 4 hours 2 seconds", "2026-11-30 21:20:02"),
    ("2 hours ago", "2026-11-21 15:20:00"),
    ("-1 hour", "2026-11-21 16:20:00"),
    ("+1 month", "2026-12-21 17:20:00"),
    ("next month", "2026-12-21 17:20:00"),
    ("this week", "2026-11-16 17:20:00"),
    ("next week", "2026-11-23 17:20:00"),
    ("last week 9:15", "2026-11-09 09:15:00"),
    ("monday next week", "2026-11-23 00:00:00"),
    ("saturday this week 10:00", "2026-11-21 10:00:00"),
    ("sunday this week", "2026-11-22 00:00:00"),
    ("next week monday", None),
    ("+2 monday", None),
    ("+2 mon 10:30", None),
    ("10:30 +2", "2026-11-21 09:30:00"),
    ("20270109103015", "2027-01-09 10:30:15"),
    ("20270109246000", None),
    ("next year", "2027-11-21 17:20:00"),
    ("2027-01-31 +1 month", "2027-03-03 00:00:00"),
    ("2027-02-30", "2027-03-02 00:00:00"),
    ("monday", "2026-11-23 00:00:00"),
    ("saturday", "2026-11-21 00:00:00"),
    ("next saturday", "2026-11-28 00:00:00"),
    ("last saturday", "2026-11-14 00:00:00"),
    ("next monday 9:15", "2026-11-23 09:15:00"),
    ("2027-03-28 02:30", "2027-03-28 03:30:00"),
    ("2027-03-28 01:30 +1 hour", "2027-03-28 03:30:00"),
    ("@-99999999999", None),
    ("9999-12-31 +999999 years", None),
    ("", None),
    (" ", None),
    ("soon", None),
    ("monkey", None),
    ("march", None),
    ("tomorrowish", None),
    ("17", None),
    ("2027", None),
    ("2027-13-01", None),
    ("2027-01-32", None),
    ("2027-00-10", None),
    ("0000-01-01", None),
    ("9999-12-31 +1 day", None),
    ("+999999 years", None),
    ("25:00", None),
    ("24:01", None),
    ("10:60", None),
    ("13pm", None),
    ("2027-01-09 2027-01-10", None),
    ("10:00 11:00", None),
    ("10:00 UTC EST", None),
    ("10:00 +99:00", None),
    ("10:00 Europe/Atlantis", None),
    ("10:00 ../../etc/passwd", None),
    ("2027-01-09 10:30 or so", None),
    ("٢٠٢٧-٠١-٠٩", None),
    ("now " * 30, None),
]


@pytest.mark.parametrize("text, shown", IN_ROME)
def test_a_date_is_what_php_reads(text: str, shown: str | None) -> None:
    """Each text names the instant that PHP finds in it, by a clock in Rome; what is no date names none."""
    instant_ms = strtotime(text, NOW_MS, "Europe/Rome")
    rome = ZoneInfo("Europe/Rome")
    read = None if instant_ms is None else datetime.fromtimestamp(instant_ms // 1000, rome).strftime("%Y-%m-%d %X")
    assert read == shown


@given(instant_s=st.integers(0, 2**35), zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]))
def test_a_date_that_was_printed_is_read_back(instant_s: int, zone: str) -> None:
    """Any instant, written with its zone, is that instant again wherever the reader is."""
    written = datetime.fromtimestamp(instant_s, UTC).isoformat()
    assert strtotime(written, NOW_MS, zone) == instant_s * 1000
    assert strtotime(f"@{instant_s}", NOW_MS, zone) == instant_s * 1000


PIECES = sorted({*"0123456789 :/-+.@tz,", "now", "tomorrow", "next", "monday", "jan", "day", "99", "ago", "am", "\0"})


@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever is written, the answer is an instant or nothing."""
    assert isinstance(strtotime(text, NOW_MS, "Europe/Rome"), int | None)
