"""Every way in which clients write a time (4.4.1), read into one: milliseconds since 1970, UTC.

A time without a zone is the wall clock of the zone that is named. Digit strings are told apart by their length alone;
ISO and US texts by one pattern each, whatever language, library or locale wrote them.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from chappe.dialects.times import instant_ms, wall_clock

COMPACT = "%Y%m%d%H%M%S"  # as we write it everywhere: 4.7, 4.9, 4.14

DIGITS = {6: "%d%m%y", 8: "%Y%m%d", 10: "%d%m%y%H%M", 14: COMPACT}  # 4.4.1
ISO = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[T ](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?:\.(?P<fraction>\d{1,9}))?"
    r" ?(?P<zone>Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
US = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}),? (\d{1,2}):(\d\d):(\d\d) ([AP]M)", re.ASCII)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
JSON_NET = re.compile(r"\\?/Date\((-?\d{1,15})(?:[+-]\d{4})?\)\\?/", re.ASCII)
NARROW_BLANKS = str.maketrans("\u202f\u00a0", "  ")  # before AM and PM since Java 20


def moment_ms(written: object, timezone: str) -> int | None:
    """The instant, or None for what is no time. Texts and numbers alike: 4.4.1."""
    if isinstance(written, bool) or not isinstance(written, str | int):
        return None
    text = str(written).translate(NARROW_BLANKS).strip()
    try:
        if text.isascii() and text.isdigit():
            return instant_ms(datetime.strptime(text, DIGITS[len(text)]), timezone)
        if match := JSON_NET.fullmatch(text):
            return int(match[1])
        if match := ISO.fullmatch(text):
            return instant_ms(iso_time(match), timezone)
        if match := US.fullmatch(text):
            return instant_ms(us_time(match), timezone)
    except (KeyError, ValueError):
        return None
    return None


def iso_time(match: re.Match[str]) -> datetime:
    """Seconds, their fraction and the zone may each be absent; of a fraction we keep the millionths."""
    time = datetime.strptime(f"{match['day']} {match['minute']}{match['second'] or ':00'}", "%Y-%m-%d %H:%M:%S")
    micros = int(f"{match['fraction'] or '':0<6}"[:6])
    return time.replace(microsecond=micros, tzinfo=zone_of(match["zone"]))


def zone_of(written: str | None) -> timezone | None:
    if written is None:
        return None
    if written == "Z":
        return UTC
    hours, minutes = int(written[1:3]), int(written[-2:])
    return timezone((-1 if written[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def us_time(match: re.Match[str]) -> datetime:
    """What Java writes for a date, whatever its locale says of commas."""
    month, day, year, hour, minute, second, half = match.groups()
    hours = int(hour) % 12 + (12 if half == "PM" else 0)
    if not 1 <= int(hour) <= 12:
        raise ValueError("no such hour")
    return datetime(int(year), MONTHS.index(month) + 1, int(day), hours, int(minute), int(second))


def compact(instant_ms: int, timezone: str) -> str:
    """`yyyyMMddHHmmss` on the wall of that zone; 0 is no time, and empty."""
    return wall_clock(instant_ms, timezone).strftime(COMPACT) if instant_ms else ""


def is_zone(name: str) -> bool:
    """Whether it is the name of a time zone."""
    try:
        return bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # unknown, no file name at all, the name of a folder
        return False
