"""Who and what is configured, ready for the hot path: an immutable snapshot, replaced as a whole when it changes.

A request looks at one snapshot from its first step to its last. The holder asks the store for its revision every now
and then (whoever owns the ticker decides how often) and builds a new snapshot only where that moved.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from chappe.core.model import (
    TEST_CARRIER,
    Account,
    Carrier,
    Priority,
    Route,
    Secret,
    Service,
    SmppAccess,
    UncertainPolicy,
)
from chappe.core.routing import RoutingTable
from chappe.gateway.secrets import Sealer
from chappe.store.configuration import AccountRow, CarrierRow, RouteRow, StoredConfiguration
from chappe.store.database import Transaction
from chappe.store.engine import Store
from chappe.store.numbers import NumberRow


class AccountSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of an account as JSON. The names are those of core.model.Account."""

    currency: str = "EUR"
    timezone: str = "UTC"
    senders: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    receipt_url: str = ""
    receipt_method: str = ""
    receipt_dialect: str = ""
    inbound_url: str = ""
    inbound_email: str = ""
    inbound_phone: str = ""
    inbound_dialect: str = ""
    stop_words: tuple[str, ...] = ("STOP",)
    start_words: tuple[str, ...] = ("START",)
    country: str = ""
    message_types: dict[str, Service] = {}
    is_virtual: bool = False
    is_flexible: bool = False
    priority: Priority = Priority.NORMAL
    smpp: SmppAccess = SmppAccess()
    recipients_max: int = 100_000
    parent_id: int = 0
    # What the record does not carry
    api_key_digest: str = ""
    smpp_password_hash: str = ""
    webhook_secret_sealed: str = ""
    details: dict[str, str] = {}  # of a subaccount, in the words of whoever made it
    made_ms: int = 0  # likewise


KEPT_APART = frozenset({"api_key_digest", "smpp_password_hash", "webhook_secret_sealed", "details", "made_ms"})
# A subaccount has these of its parent, whatever becomes of them: it may do nothing that its parent may not.
INHERITED = (
    "currency",
    "timezone",
    "senders",
    "country",
    "message_types",
    "is_virtual",
    "is_flexible",
    "priority",
    "smpp",
    "stop_words",
    "start_words",
    "recipients_max",
)


class CarrierSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of a carrier as JSON. The names are those of core.model.Carrier."""

    url: str = ""
    login: str = ""
    window: int = 32
    throughput: float = 0.0
    uncertain: UncertainPolicy = UncertainPolicy.HOLD
    timeout_s: float = 30.0
    callback_key: str = ""
    options: dict[str, str] = {}


class Forwarding(Struct, frozen=True, kw_only=True):
    """Whose number it is, and where its messages go; what is empty leads nowhere."""

    account: Account
    url: str
    email: str
    phone: str


class Directory:
    """One revision of the configuration. What is inactive is still found by id: messages may refer to it."""

    def __init__(self, stored: StoredConfiguration, sealer: Sealer) -> None:
        """Raises SealError where a secret was sealed with another key."""
        self.revision = stored.revision
        self._settings = {row.id: account_settings(row) for row in stored.accounts}
        rented: dict[int, list[str]] = {}
        for number in stored.rented:
            rented.setdefault(number.account_id, []).append(number.number)
        approved: dict[int, list[str]] = {}
        for account_id, sender in stored.approved_senders:
            approved.setdefault(account_id, []).append(sender)
        self._accounts: dict[int, Account] = {}
        for row in stored.accounts:  # by id, so parents come first
            settings = self._settings[row.id]
            one = account_of(row, settings, sealer, self._accounts.get(settings.parent_id))
            one = with_senders(one, approved.get(one.id, ()))
            self._accounts[row.id] = with_numbers(one, rented.get(one.id, ()))
        self._carriers = {row.id: carrier_of(row, sealer) for row in stored.carriers}
        self.password_hashes: Mapping[int, str] = {row.id: row.password_hash for row in stored.accounts}
        self.active_ids = frozenset(row.id for row in stored.accounts if row.is_active)
        live = [one for one in self._accounts.values() if self._is_live(one)]
        self.accounts_by_name = {one.name: one for one in live}
        self.accounts_by_user_key = {user_key_of(one): one for one in live}
        digests = {one.id: self._settings[one.id].api_key_digest for one in live}
        self.accounts_by_api_key = {digests[one.id]: one for one in live if digests[one.id]}  # by its digest
        self._children: dict[int, list[Account]] = {}
        for one in self._accounts.values():
            if one.parent_id:
                self._children.setdefault(one.parent_id, []).append(one)
        self._owners = {number: one for one in live for number in one.numbers}
        # One that was given to another account while its renter's month goes on is the renter's.
        self._owners |= {one.number: self._accounts[one.account_id] for one in stored.rented if self._is_rented(one)}
        self.outbinds = {one.id: one.smpp.outbind for one in live if one.smpp.outbind}
        self._own_ways = {one.number: one for one in stored.rented if one.url or one.email or one.phone}
        self.carriers = tuple(self._carriers.values())
        self._carriers_by_key = {one.callback_key: one for one in self._carriers.values() if one.callback_key}
        self.routing = RoutingTable(map(route_of, stored.routes))
        self._disabled_urls = stored.disabled_urls

    def _is_live(self, account: Account) -> bool:
        """An account that was ended takes its subaccounts with it."""
        return account.id in self.active_ids and (not account.parent_id or account.parent_id in self.active_ids)

    def _is_rented(self, number: NumberRow) -> bool:
        renter = self._accounts.get(number.account_id)
        return renter is not None and self._is_live(renter)

    def account(self, account_id: int) -> Account | None:
        return self._accounts.get(account_id)

    def live_account(self, account_id: int) -> Account | None:
        """An account that may do something."""
        one = self._accounts.get(account_id)
        return one if one is not None and self._is_live(one) else None

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All accounts by id, inactive ones included."""
        return tuple(self._accounts.values())

    def settings(self, account_id: int) -> AccountSettings:
        """What is stored of an account that is there."""
        return self._settings[account_id]

    def children(self, account_id: int) -> list[Account]:
        """The subaccounts of an account, by id, inactive ones included."""
        return self._children.get(account_id, [])

    def carrier(self, carrier_id: int) -> Carrier | None:
        return TEST_CARRIER if carrier_id == TEST_CARRIER.id else self._carriers.get(carrier_id)

    @property
    def served(self) -> tuple[Carrier, ...]:
        """The carriers that something may wait for: all that are or were configured, and the one of test mode."""
        return (*self.carriers, TEST_CARRIER)

    def carrier_by_key(self, callback_key: str) -> Carrier | None:
        """Whose receipts arrive under this unguessable part of a path."""
        return self._carriers_by_key.get(callback_key)

    def owner(self, number: str) -> Account | None:
        """The account that an inbound number (digits only) belongs to."""
        return self._owners.get(number)

    def forwarding(self, number: str) -> Forwarding | None:
        """Where the messages to an inbound number (digits only) go: where the number itself says, else where its
        account's do; None for a number that nobody has."""
        owner = self._owners.get(number)
        if owner is None:
            return None
        own = self._own_ways.get(number)
        if own is not None:
            return Forwarding(account=owner, url=own.url, email=own.email, phone=own.phone)
        return Forwarding(account=owner, url=owner.inbound_url, email=owner.inbound_email, phone=owner.inbound_phone)

    def is_disabled(self, account_id: int, url: str) -> bool:
        """Whether this URL of the account answered 410 Gone, as far as this snapshot knows."""
        return (account_id, url) in self._disabled_urls


def account_settings(row: AccountRow) -> AccountSettings:
    return msgspec.json.decode(row.settings, type=AccountSettings)


def account_of(row: AccountRow, settings: AccountSettings, sealer: Sealer, parent: Account | None) -> Account:
    token = Secret(sealer.unseal(row.token_sealed))
    values = {name: value for name, value in msgspec.structs.asdict(settings).items() if name not in KEPT_APART}
    if parent is not None:
        values |= {name: getattr(parent, name) for name in INHERITED}
    webhook_secret = Secret(sealer.unseal(settings.webhook_secret_sealed))
    return Account(id=row.id, name=row.name, token=token, webhook_secret=webhook_secret, **values)


def with_senders(one: Account, approved: Iterable[str]) -> Account:
    """The account with its approved aliases. One without senders may use any already, and goes on to."""
    senders = tuple(dict.fromkeys((*one.senders, *approved))) if one.senders else ()
    return one if senders == one.senders else msgspec.structs.replace(one, senders=senders)


def with_numbers(one: Account, rented: Iterable[str]) -> Account:
    """The account with the numbers it rents beside those that the file gives it."""
    numbers = tuple(dict.fromkeys((*one.numbers, *rented)))
    return one if numbers == one.numbers else msgspec.structs.replace(one, numbers=numbers)


def user_key_of(account: Account) -> str:
    """What an account is called beside a session key: never changes, and is not its name."""
    return str(account.id)


def carrier_of(row: CarrierRow, sealer: Sealer) -> Carrier:
    settings = msgspec.json.decode(row.settings, type=CarrierSettings)
    password = Secret(sealer.unseal(row.password_sealed))
    return Carrier(
        id=row.id,
        name=row.name,
        kind=row.kind,
        password=password,
        is_active=bool(row.is_active),
        **msgspec.structs.asdict(settings),
    )


def route_of(row: RouteRow) -> Route:
    return Route(
        prefix=row.prefix,
        service=Service(row.service) if row.service else None,
        carrier_ids=row.carrier_ids,
        price_micros=row.price_micros,
    )


class DirectoryHolder:
    """The current snapshot, and how it is kept current."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self.current = Directory(StoredConfiguration(), sealer)

    async def refresh(self, store: Store) -> bool:
        """Look once; whether there is a new snapshot. Raises StoreError or SealError, and keeps the one it has.

        It is built where it is read, in a thread: ten thousand accounts take a tenth of a second.
        """

        def look(transaction: Transaction) -> Directory | None:
            stored = store.configuration.load_newer(transaction, than=self.current.revision)
            return Directory(stored, self._sealer) if stored is not None else None

        newer = await store.read(look)
        if newer is None or newer.revision <= self.current.revision:  # somebody else looked meanwhile
            return False
        self.current = newer
        return True
