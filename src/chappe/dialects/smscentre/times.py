"""When: the five ways to name a moment (2.1), life times, and the dates of lists."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from chappe.dialects.smscentre.facts import BAD_DATE, DATE, DATE_TIME, MOSCOW_OFFSET_H, VALID_MIN, ZONES_H, Fault
from chappe.dialects.times import instant_ms, wall_clock

AT_ONCE = re.compile(r"0?")
MOMENTS = (
    (re.compile(r"[0-9]{10}"), "%d%m%y%H%M"),
    (re.compile(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2} [0-9]{2}:[0-9]{2}"), "%d.%m.%y %H:%M"),
)
TIMESTAMP = re.compile(r"0([0-9]{10})")
WINDOW = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")
MINUTES = re.compile(r"[+ ]([0-9]{1,6})")  # a plus sign that nobody escaped is a blank
OFFSET = re.compile(r"[+-]?[0-9]{1,2}")
CALENDAR_DATE = re.compile(r"[0-9]{2}\.[0-9]{2}\.2[0-9]{3}")  # no message is older, none is that new
HOURS = re.compile(r"[0-9]{1,2}")
HOURS_MINUTES = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def zone_of(written: str, account_zone: str) -> tzinfo | Fault:
    """`tz` counts hours from Moscow; without one, the account's zone."""
    if not written:
        return ZoneInfo(account_zone)
    if not OFFSET.fullmatch(written) or int(written) not in ZONES_H:
        return BAD_DATE
    return timezone(timedelta(hours=MOSCOW_OFFSET_H + int(written)))


def read_moment(written: str, zone: tzinfo, now_ms: int) -> int | Fault:
    """The instant that `time` names; 0 stands for "at once". A moment that is past is left to the gateway."""
    if AT_ONCE.fullmatch(written):
        return 0
    if found := TIMESTAMP.fullmatch(written):
        return int(found[1]) * 1000
    if found := MINUTES.fullmatch(written):
        return now_ms + int(found[1]) * 60_000
    if found := WINDOW.fullmatch(written):
        return read_window(int(found[1]), int(found[2]), datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone))
    for pattern, calendar in MOMENTS:
        if pattern.fullmatch(written):
            return read_date(written, calendar, zone)
    return BAD_DATE


def read_window(first_h: int, last_h: int, now: datetime) -> int | Fault:
    """`h1-h2`: now, if a clock on the wall shows one of these hours, else when the first of them begins. That the
    second hour is outside, and that a window may reach over midnight, is ours."""
    if first_h > 23 or last_h > 24 or first_h == last_h:
        return BAD_DATE
    is_inside = first_h <= now.hour < last_h if first_h < last_h else now.hour >= first_h or now.hour < last_h
    if is_inside:
        return 0
    start = now.replace(hour=first_h, minute=0, second=0, microsecond=0)
    return instant_ms(start if start > now else start + timedelta(days=1), "UTC")


def read_date(written: str, calendar: str, zone: tzinfo) -> int | Fault:
    """The instant of a wall-clock time; BAD_DATE for a day that no calendar has."""
    try:
        return instant_ms(datetime.strptime(written, calendar).replace(tzinfo=zone), "UTC")
    except ValueError:
        return BAD_DATE


def read_day(written: str, zone: tzinfo) -> int | Fault:
    """When a day begins (`dd.mm.yyyy`: 4.7)."""
    return read_date(written, DATE, zone) if CALENDAR_DATE.fullmatch(written) else BAD_DATE


def day_of(instant: int, zone: tzinfo) -> datetime:
    """The midnight before an instant."""
    now = datetime.fromtimestamp(instant / 1000, UTC).astimezone(zone)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def read_validity_s(written: str) -> int | None:
    """`valid` in hours, or hours and minutes, at most a day (2.1); None for anything else."""
    if found := HOURS_MINUTES.fullmatch(written):
        minutes = int(found[1]) * 60 + int(found[2])
    elif HOURS.fullmatch(written):
        minutes = int(written) * 60
    else:
        return None
    return minutes * 60 if minutes in VALID_MIN else None


def written_validity(validity_s: int) -> str:
    """The same, in whole minutes, as near as the provider takes it."""
    minutes = min(max(validity_s // 60, VALID_MIN.start), VALID_MIN.stop - 1)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def written_time(instant: int, account_zone: str) -> str:
    """`DD.MM.YYYY hh:mm:ss` on the account's wall (3.2)."""
    return wall_clock(instant, account_zone).strftime(DATE_TIME)
