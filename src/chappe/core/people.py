"""Who may do what in the panel and in the native API: roles, scopes, and whose things somebody sees.

A person has a role, a program's key has scopes; both come down to a set of permissions, and every page and every
endpoint names the one it needs. Whose things those are is a `Sight`, apart from what may be done to them.
"""

from enum import StrEnum

from msgspec import Struct

from chappe.core.model import Account


class Permission(StrEnum):
    """What a page or an endpoint asks for. The names are also the scopes of API keys."""

    SEND = "messages:send"
    READ_MESSAGES = "messages:read"
    CHANGE_MESSAGES = "messages:change"  # cancel, reschedule
    READ_INBOUND = "inbound:read"
    READ_NUMBERS = "numbers:read"
    CHANGE_NUMBERS = "numbers:change"
    READ_CALLBACKS = "callbacks:read"
    REPLAY_CALLBACKS = "callbacks:replay"
    READ_MONEY = "money:read"
    READ_ACCOUNTS = "accounts:read"
    CHANGE_ACCOUNTS = "accounts:change"
    READ_KEYS = "keys:read"
    CHANGE_KEYS = "keys:change"
    SIMULATE = "simulator:use"
    # Of whoever runs the gateway: no account has these
    READ_CONFIGURATION = "configuration:read"  # carriers, routes, prices, their versions
    CHANGE_CONFIGURATION = "configuration:change"
    READ_USERS = "users:read"
    CHANGE_USERS = "users:change"


OPERATING = frozenset(
    {
        Permission.READ_CONFIGURATION,
        Permission.CHANGE_CONFIGURATION,
        Permission.READ_USERS,
        Permission.CHANGE_USERS,
    }
)
OF_ACCOUNTS = frozenset(Permission) - OPERATING
READING = frozenset(one for one in Permission if one.value.endswith(":read"))


class Role(StrEnum):
    """What a person is at this gateway."""

    OWNER = "owner"
    OPERATOR = "operator"
    CUSTOMER = "customer"
    VIEWER = "viewer"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.OPERATOR: frozenset(Permission) - {Permission.READ_USERS, Permission.CHANGE_USERS},
    Role.CUSTOMER: OF_ACCOUNTS - {Permission.SIMULATE},
    Role.VIEWER: READING - {Permission.READ_USERS, Permission.READ_KEYS},
}


class Sight(Struct, frozen=True):
    """Whose things somebody sees: these accounts' (by id), or everybody's."""

    account_ids: frozenset[int] | None = None  # None = everybody's

    def sees(self, account_id: int) -> bool:
        return self.account_ids is None or account_id in self.account_ids


EVERYTHING = Sight()


class Caller(Struct, frozen=True, kw_only=True):
    """Who is asking, a person or a program, and what they may do. `name` is what versions and campaigns call them."""

    name: str
    permissions: frozenset[Permission]
    sight: Sight
    account: Account | None = None  # the one they act as; None = nobody's, they run the gateway
    user_id: int = 0  # 0 = a program
    key_id: int = 0  # of a program's API key; 0 = it came with a password
    role: Role | None = None

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    @property
    def is_test(self) -> bool:
        return self.account is not None and self.account.is_test


class ApiKey(Struct, frozen=True, kw_only=True):
    """A program's key as its owner sees it: never the key itself."""

    id: int
    account_id: int  # 0 = an operator's
    name: str
    hint: str
    scopes: tuple[Permission, ...]
    is_test: bool
    made_ms: int
    used_ms: int = 0
    ended_ms: int = 0


class User(Struct, frozen=True, kw_only=True):
    """A person as others see them."""

    id: int
    name: str
    role: Role
    account_id: int = 0
    language: str = ""
    made_ms: int = 0
    is_active: bool = True
