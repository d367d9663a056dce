"""Times as SMPP writes them: absolute and relative ones of 16 characters (SMPP 3.4, 7.1.1). Told what the time is.

`YYMMDDhhmmsst` and then, of an absolute time, `nn` quarters of an hour that the writer's wall clock is before (`+`) or
behind (`-`) UTC; of a relative one, three characters that nobody reads, the last of them `R`.
"""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Final

TIME_CHARACTERS: Final = 16
QUARTERS_MAX: Final = 48  # 7.1.1.1: nn goes from 00 to 48
QUARTER_S: Final = 900
CENTURY_BORDER: Final = 38  # appendix C: 38 to 99 are of the last century, 00 to 37 of this one
DAYS_MAX: Final = 31  # of a relative time; months and years have no length of their own


def read_time(text: str, now_ms: int) -> int | None:
    """The instant (milliseconds since 1970, UTC) that a field with something in it names; None for what is no time."""
    if len(text) != TIME_CHARACTERS or not text.isascii() or not text[:13].isdigit():
        return None
    try:
        return _read_relative(text, now_ms) if text[15] == "R" else _read_absolute(text)
    except (ValueError, OverflowError):  # the 30th of February
        return None


def _read_absolute(text: str) -> int | None:
    quarters, direction = text[13:15], text[15]
    if direction not in "+-" or not quarters.isdigit() or int(quarters) > QUARTERS_MAX:
        return None
    wall_clock = datetime(
        _year(text[:2]), int(text[2:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), tzinfo=UTC
    )
    ahead_s = int(quarters) * QUARTER_S * (1 if direction == "+" else -1)
    return (int(wall_clock.timestamp()) - ahead_s) * 1000 + int(text[12]) * 100


def _year(digits: str) -> int:
    year = int(digits)
    return 2000 + year if year < CENTURY_BORDER else 1900 + year


def _read_relative(text: str, now_ms: int) -> int:
    """So long from now; a month later is the same day of that month, or its last one."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    months = now.month - 1 + int(text[2:4])
    year, month = now.year + int(text[:2]) + months // 12, months % 12 + 1
    then = now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
    then += timedelta(days=int(text[4:6]), hours=int(text[6:8]), minutes=int(text[8:10]), seconds=int(text[10:12]))
    return int(then.timestamp()) * 1000 + now_ms % 1000 + int(text[12]) * 100


def absolute_time(instant_ms: int) -> str:
    """An instant as an absolute time in UTC, to the tenth of a second."""
    return f"{datetime.fromtimestamp(instant_ms // 1000, UTC):%y%m%d%H%M%S}{instant_ms // 100 % 10}00+"


def relative_time(duration_s: int) -> str:
    """A duration as a relative time; at least a second and at most 31 days, for a longer one is not exact."""
    minutes, seconds = divmod(max(1, min(duration_s, DAYS_MAX * 86_400)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"0000{days:02}{hours:02}{minutes:02}{seconds:02}000R"
