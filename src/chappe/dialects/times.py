"""Wall-clock times of a zone, and instants: for providers that write times without a zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def instant_ms(wall_clock: datetime, timezone: str) -> int:
    """The instant (milliseconds since 1970, UTC) of a time; one without a zone is that zone's wall clock. An hour that
    comes twice is the first one. Raises ValueError for a time that no calendar reaches."""
    aware = wall_clock if wall_clock.tzinfo else wall_clock.replace(tzinfo=ZoneInfo(timezone))
    try:
        return round(aware.timestamp() * 1000)
    except (OverflowError, OSError):
        raise ValueError("out of range") from None


def wall_clock(instant_ms: int, timezone: str) -> datetime:
    """What a clock on the wall of that zone shows."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
