"""Numbers that accounts rent to receive messages at: what is offered, what is owned, and the calls about both."""

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
