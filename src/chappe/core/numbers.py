"""Numbers that accounts rent to receive messages at: what is offered, what is owned, and the calls about both.

They are paid by the month: until the same day of the next one, by the calendar of UTC.
"""

import calendar
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from chappe.core.centre import Call
from chappe.core.model import Account


class Number(Struct, frozen=True, kw_only=True):
    """A number in the pool: offered while it has no owner."""

    number: str  # digits
    country: str = ""  # ISO 3166-1 alpha-2
    price_micros: int = 0  # a month
    carrier_id: int = 0  # where its messages come from; 0 = any
    account_id: int = 0  # who rents it; 0 = nobody
    expires_ms: int = 0  # when the month that is paid ends
    renews: bool = True
    url: str = ""  # where its messages go; all empty = where the account's go
    email: str = ""
    phone: str = ""


class Numbers(Struct, frozen=True, kw_only=True):
    items: tuple[Number, ...]


class ListNumbers(Call, frozen=True):
    """What an account rents. -> Numbers"""

    account: Account


class ListOffers(Call, frozen=True):
    """What it could rent, cheapest first. -> Numbers"""

    account: Account
    country: str = ""  # ISO 3166-1 alpha-2, any letter case; empty = everywhere
    count_max: int = 100


class RentNumber(Call, frozen=True):
    """Rent one number, or the cheapest of a country; the first month is paid at once. -> Number"""

    account: Account
    number: str = ""
    country: str = ""


class ReturnNumber(Call, frozen=True):
    """Give it back now; nothing is refunded. -> Number"""

    account: Account
    number: str


class SetNumber(Call, frozen=True, kw_only=True):
    """Where a number's messages go; what is None stays as it is. -> Number"""

    account: Account
    number: str
    url: str | None = None
    email: str | None = None
    phone: str | None = None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def months_later(start_ms: int, count: int) -> int:
    """The same day and time `count` months on, in UTC; where that month has no such day, its last one.

    Months are counted from where they began, so that the 31st, after a February, is the 31st again.
    """
    start = EPOCH + start_ms * MILLISECOND
    years, months = divmod(start.month - 1 + count, 12)
    year, month = start.year + years, months + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return (start.replace(year=year, month=month, day=day) - EPOCH) // MILLISECOND
