"""Dates as PHP's `strtotime` reads them, as far as people write them for a message that is to be sent later.

Strategy: a text is a row of phrases ("tomorrow", "10:00", "+2 hours", "2010-07-09"). Each is one line of a table: a
pattern, and what it says about the date, the time of day, the zone, or the way from there. What all phrases say
together is then looked up on the calendar of the zone. A text with anything else in it, or with two dates, two times or
two zones, says nothing.

One thing is ours: "10:00 tomorrow" means what "tomorrow 10:00" means, where PHP forgets the hour.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

TEXT_MAX = 100  # characters

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNITS = {  # name -> months, days, seconds
    **dict.fromkeys(("sec", "second"), (0, 0, 1)),
    **dict.fromkeys(("min", "minute"), (0, 0, 60)),
    "hour": (0, 0, 3600),
    "day": (0, 1, 0),
    "week": (0, 7, 0),
    "fortnight": (0, 14, 0),
    "month": (1, 0, 0),
    "year": (12, 0, 0),
}
IN_WEEK = 2  # of a weekday: the one of this week, which begins on Monday
ORDINALS = {"next": 1, "last": -1, "previous": -1, "this": 0}
ZONES_H = {
    "z": 0,
    "utc": 0,
    "gmt": 0,
    "wet": 0,
    "cet": 1,
    "eet": 2,
    "msk": 3,
    "bst": 1,
    "west": 1,
    "cest": 2,
    "eest": 3,
}
ZONES_H |= {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}


class Said(NamedTuple):
    """What one phrase says, or all of them together."""

    date: tuple[int | None, int, int] | None = None  # year (None: this one), month, day
    time: tuple[int, int, int] | None = None
    zone: tzinfo | None = None
    weekday: tuple[int, int] | None = None  # from Monday = 0; 1 strictly after, 0 on or after, -1 before, or IN_WEEK
    months: int = 0
    days: int = 0
    seconds: int = 0
    resets_time: bool = False  # without a time of day it is midnight


def strtotime(text: str, now_ms: int, zone_name: str) -> int | None:
    """The instant (milliseconds since 1970, UTC) that a text names, seen from `now_ms` in a zone; None where it names
    none. A date without a time of day is its midnight; days count on the calendar, hours on the clock."""
    try:
        said = read(text) if len(text) <= TEXT_MAX else None
        return None if said is None else instant_s(said, now_ms // 1000, ZoneInfo(zone_name)) * 1000
    except (ValueError, OverflowError):  # a day that no calendar has
        return None


def read(text: str) -> Said | None:
    """What the phrases of a text say together."""
    said, rest = Said(), text.strip().lower()
    if not rest:
        return None
    while rest:
        phrase = next(filter(None, (read_phrase(one, rest) for one in PHRASES)), None)
        joined = join(said, phrase[0]) if phrase else None
        if phrase is None or joined is None:
            return None
        said, rest = joined, rest[phrase[1] :].lstrip(" \t,")
    return said


def read_phrase(phrase: "Phrase", text: str) -> tuple[Said, int] | None:
    """What the text begins by saying, and how many characters that took."""
    match = phrase.pattern.match(text)
    said = phrase.read(match) if match else None
    return (said, match.end()) if match and said else None


def join(one: Said, other: Said) -> Said | None:
    """Both; None where they say two things of one kind."""
    if any(a is not None and b is not None for a, b in zip(one[:4], other[:4], strict=True)):
        return None
    return Said(
        date=one.date or other.date,
        time=one.time or other.time,
        zone=one.zone or other.zone,
        weekday=one.weekday or other.weekday,
        months=one.months + other.months,
        days=one.days + other.days,
        seconds=one.seconds + other.seconds,
        resets_time=one.resets_time or other.resets_time,
    )


def instant_s(said: Said, now_s: int, default_zone: tzinfo) -> int:
    """Seconds since 1970. Raises ValueError or OverflowError for what no calendar reaches."""
    zone = said.zone or default_zone
    now = datetime.fromtimestamp(now_s, zone)
    year, month, day = said.date or (now.year, now.month, now.day)
    years, month_index = divmod(month - 1 + said.months, 12)
    # The 31st of a month of 30 days is the 1st of the next, as in PHP.
    on = date((year or now.year) + years, month_index + 1, 1) + timedelta(day - 1 + said.days)
    if said.weekday:
        on += timedelta(days_to(on.weekday(), *said.weekday))
    is_midnight = said.date or said.resets_time
    hour, minute, second = said.time or ((0, 0, 0) if is_midnight else (now.hour, now.minute, now.second))
    wall_clock = datetime(on.year, on.month, on.day) + timedelta(hours=hour, minutes=minute, seconds=second)
    return int(wall_clock.replace(tzinfo=zone).timestamp()) + said.seconds


def days_to(today: int, weekday: int, direction: int) -> int:
    if direction == IN_WEEK:
        return weekday - today
    if direction < 0:
        return -((today - weekday - 1) % 7 + 1)
    return (weekday - today - direction) % 7 + direction


# What each phrase says


def on_date(year: str | None, month: str, day: str) -> Said | None:
    months = MONTHS.index(month[:3]) + 1 if month[:1].isalpha() else int(month)
    years = None if year is None else int(year)
    if year is not None and len(year) == 2:
        years = int(year) + (1900 if int(year) >= 70 else 2000)
    is_known = 1 <= months <= 12 and 1 <= int(day) <= 31 and years != 0
    return Said(date=(years, months, int(day))) if is_known else None


def at_time(hour: str, minute: str | None, second: str | None, half: str | None = None) -> Said | None:
    hours, minutes, seconds = int(hour), int(minute or 0), int(second or 0)
    if (
        minutes > 59
        or seconds > 59
        or (half and not 1 <= hours <= 12)
        or hours * 3600 + minutes * 60 + seconds > 86_400
    ):
        return None
    return Said(time=(hours % 12 + (12 if half == "p" else 0) if half else hours, minutes, seconds))


def at_instant(match: re.Match[str]) -> Said | None:
    """`@` and seconds since 1970."""
    on = datetime(1970, 1, 1) + timedelta(seconds=int(match[1]))
    return Said(date=(on.year, on.month, on.day), time=(on.hour, on.minute, on.second), zone=UTC)


def later(count: int, unit: str) -> Said:
    months, days, seconds = UNITS[unit]
    return Said(months=months * count, days=days * count, seconds=seconds * count)


def on_weekday(name: str, direction: int) -> Said:
    return Said(weekday=(WEEKDAYS.index(name[:3]), direction), resets_time=True)


def in_week(weekday: str | None, ordinal: str) -> Said:
    """A week alone is its Monday, at the time it is now, as in PHP."""
    monday = Said(weekday=(0, IN_WEEK))
    return (on_weekday(weekday, IN_WEEK) if weekday else monday)._replace(days=7 * ORDINALS[ordinal])


def at_digits(match: re.Match[str]) -> Said | None:
    """A date and a time in one row of digits."""
    date, time = on_date(match[1], match[2], match[3]), at_time(match[4], match[5], match[6])
    return join(date, time) if date and time else None


def in_offset(match: re.Match[str]) -> Said | None:
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 14 or minutes > 59:
        return None
    return Said(zone=timezone((1 if match[1] == "+" else -1) * timedelta(hours=hours, minutes=minutes)))


def in_place(match: re.Match[str]) -> Said | None:
    try:
        return Said(zone=ZoneInfo("/".join(part.title() for part in match[0].split("/"))))
    except (ValueError, OSError, LookupError):
        return None


class Phrase(NamedTuple):
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Said | None]


def phrase(pattern: str, read: Callable[[re.Match[str]], Said | None]) -> Phrase:
    """A phrase ends where its last word or number does; MONTH, DAY and the like stand for their names."""
    for name, names in NAMES.items():
        pattern = pattern.replace(name, names)
    return Phrase(re.compile(f"(?:{pattern})(?:(?<=[0-9])(?![0-9])|(?<![0-9])(?![0-9a-z]))", re.ASCII), read)


NAMES = {
    "MONTH": "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    "|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)",
    "DAY": "(mon(?:day)?|tue(?:s|sday)?|wed(?:s|nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)",
    "UNIT": f"({'|'.join(UNITS)})s?",
    "HALF": r"\s*([ap])\.?m\.?",
    "TH": "(?:st|nd|rd|th)?",
}

PHRASES = (  # what is more exact comes first
    phrase(r"@(-?[0-9]{1,11})", at_instant),
    phrase(r"now", lambda _: Said()),
    phrase(r"(?:today|midnight)", lambda _: Said(resets_time=True)),
    phrase(r"noon", lambda _: Said(time=(12, 0, 0))),
    phrase(r"tomorrow", lambda _: Said(days=1, resets_time=True)),
    phrase(r"yesterday", lambda _: Said(days=-1, resets_time=True)),
    phrase(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", lambda m: on_date(m[1], m[2], m[3])),
    phrase(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})", lambda m: on_date(m[1], m[2], m[3])),
    phrase(r"([0-9]{1,2})/([0-9]{1,2})(?:/([0-9]{4}|[0-9]{2}))?", lambda m: on_date(m[3], m[1], m[2])),
    phrase(r"([0-9]{1,2})[.-]([0-9]{1,2})[.-]([0-9]{4})", lambda m: on_date(m[3], m[2], m[1])),
    phrase(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})", at_digits),
    phrase(r"([0-9]{4})([0-9]{2})([0-9]{2})", lambda m: on_date(m[1], m[2], m[3])),
    phrase(r"([0-9]{1,2})TH[ .-]*MONTH(?:[ ,.-]*([0-9]{4})(?!:))?", lambda m: on_date(m[3], m[2], m[1])),
    phrase(r"MONTH[ .-]*([0-9]{1,2})TH(?!:)(?:,?[ .-]+([0-9]{4})(?!:))?", lambda m: on_date(m[3], m[1], m[2])),
    phrase(
        r"t?([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]{1,9})?)?(?:HALF)?",
        lambda m: at_time(m[1], m[2], m[3], m[4]),
    ),
    phrase(r"t([0-9]{2})([0-9]{2})([0-9]{2})?", lambda m: at_time(m[1], m[2], m[3])),
    phrase(r"([0-9]{1,2})HALF", lambda m: at_time(m[1], None, None, m[2])),
    phrase(r"([+-]?) ?([0-9]{1,6}) ?UNIT ago", lambda m: later(-int(m[1] + m[2]), m[3])),
    phrase(r"([+-]?) ?([0-9]{1,6}) ?UNIT", lambda m: later(int(m[1] + m[2]), m[3])),
    phrase(r"(?:DAY )?(next|last|previous|this) week", lambda m: in_week(m[1], m[2])),
    phrase(r"(next|last|previous|this) UNIT", lambda m: later(ORDINALS[m[1]], m[2])),
    phrase(r"(next|last|previous|this) DAY", lambda m: on_weekday(m[2], ORDINALS[m[1]])),
    phrase(r"DAY", lambda m: on_weekday(m[1], 0)),
    phrase(f"({'|'.join(ZONES_H)})(?![+-])", lambda m: Said(zone=timezone(timedelta(hours=ZONES_H[m[1]])))),
    phrase(r"(?:gmt|utc)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?(?! ?[a-z])", in_offset),  # "+2 mondays" is no zone
    phrase(r"[a-z]{1,20}(?:/[a-z_]{1,20}){1,2}", in_place),
)
