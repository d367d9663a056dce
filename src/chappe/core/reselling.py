"""Accounts that an account makes for customers of its own, and the credit it moves to them."""

from msgspec import Struct, field

from chappe.core.centre import Call
from chappe.core.model import Account, Secret


class Subaccount(Struct, frozen=True, kw_only=True):
    """`details` is whatever else a dialect keeps about it, under its own names."""

    id: int = 0
    name: str
    is_active: bool = True
    made_ms: int = 0
    balance_micros: int = 0
    details: dict[str, str] = {}


class Subaccounts(Struct, frozen=True, kw_only=True):
    items: tuple[Subaccount, ...]
    total: int


class PutSubaccount(Call, frozen=True, kw_only=True):
    """Make one (id 0, with a password), or change one. A name that is taken is `forbidden`. -> Created"""

    account: Account
    subaccount: Subaccount
    password: Secret = Secret("")


class FetchSubaccount(Call, frozen=True):
    """-> Subaccount"""

    account: Account
    subaccount_id: int


class ListSubaccounts(Call, frozen=True, kw_only=True):
    """By id. -> Subaccounts"""

    account: Account
    offset: int = 0
    count_max: int = 10


class SetSubaccountPassword(Call, frozen=True):
    """-> Done"""

    account: Account
    subaccount_id: int
    password: Secret


class MoveCredit(Call, frozen=True, kw_only=True):
    """From the account to its subaccount, or back where the amount is negative; `no_funds` where it does not reach.
    `details` says in the dialect's words what for. With `purchase_id`, of the last day, it is moved once, however often
    it is asked for. -> Purchase"""

    account: Account
    subaccount_id: int
    amount_micros: int
    purchase_id: int = 0
    details: dict[str, str] = field(default_factory=dict)


class Purchase(Struct, frozen=True, kw_only=True):
    """Credit that was moved to (or from) a subaccount."""

    id: int
    subaccount_id: int
    amount_micros: int
    made_ms: int
    is_undone: bool = False
    details: dict[str, str] = {}


class Purchases(Struct, frozen=True, kw_only=True):
    items: tuple[Purchase, ...]
    total: int


class ListPurchases(Call, frozen=True, kw_only=True):
    """Newest first. -> Purchases"""

    account: Account
    subaccount_id: int
    offset: int = 0
    count_max: int = 10


class UndoPurchase(Call, frozen=True):
    """Move the same amount back. -> Done"""

    account: Account
    subaccount_id: int
    purchase_id: int
