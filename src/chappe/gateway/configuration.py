"""`chappe apply`: makes the configuration what the gateway file says, in one transaction, and tells what that changes.

The plan is a pure comparison of what is stored with what is wanted; printing it and carrying it out are two uses of the
same list. Applying a file twice changes nothing the second time. Passwords are compared and hashed outside the
transaction, because that takes long; should somebody else change the configuration meanwhile, the plan is made anew.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chappe.core.ledger import format_micros
from chappe.core.model import Secret, Service, SmppAccess
from chappe.gateway.directory import AccountSettings, CarrierSettings, account_settings
from chappe.gateway.gateway_file import (
    PROBLEMS_SHOWN_MAX,
    AccountWish,
    CarrierWish,
    GatewayFile,
    GatewayFileError,
    Known,
    Lines,
    NumberWish,
    RouteWish,
    parse,
)
from chappe.gateway.secrets import Sealer, hash_password, verify
from chappe.store.configuration import AccountRow, CarrierRow, Configuration, RouteRow, StoredConfiguration
from chappe.store.database import Connection, Database, StoreUnavailable, Transaction
from chappe.store.money import Ledger
from chappe.store.numbers import NumberRow

TRIES_MAX = 5
CALLBACK_KEY_BYTES = 20


class Action(StrEnum):
    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"


class Change(Struct, frozen=True, kw_only=True):
    """One row of the plan. `difference` is for people: what becomes of what, without secrets."""

    what: str  # carrier, route, account or number
    name: str
    action: Action
    difference: tuple[str, ...] = ()

    @property
    def row(self) -> tuple[str, str, str, str]:
        return self.what, self.name, self.action.value, ", ".join(self.difference)


class SmppHash(NamedTuple):
    """What is stored of an account's password for binds; empty where it has none."""

    value: str


Stored = AccountRow | CarrierRow | SmppHash
IsSame = Callable[[Stored, Secret], bool]


def plan(stored: StoredConfiguration, wanted: GatewayFile, is_same: IsSame) -> list[Change]:
    """What has to change. `is_same` tells whether a stored account or carrier has this password already."""
    return [
        *plan_of(
            "carrier", live(stored.carriers), {one.name: one for one in wanted.carriers}, carrier_difference(is_same)
        ),
        *plan_of("route", stored_routes(stored), {route_name(one): one for one in wanted.routes}, route_difference),
        *plan_of(
            "account",
            live(own_accounts(stored)),
            {one.name: one for one in wanted.accounts},
            account_difference(is_same, stored, {one.name for one in own_accounts(stored) if not one.is_active}),
        ),
        *plan_of("number", stored_numbers(stored), {one.number: one for one in wanted.numbers}, number_difference),
    ]


def plan_of(
    what: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    difference: Callable[[Any, Any], Iterator[str]],
) -> Iterator[Change]:
    for name, wish in after.items():
        lines = tuple(difference(before.get(name), wish))
        action = Action.ADD if name not in before else Action.CHANGE if lines else Action.KEEP
        yield Change(what=what, name=name, action=action, difference=lines)
    for name in before:
        if name not in after:
            yield Change(what=what, name=name, action=Action.REMOVE)


def own_accounts(stored: StoredConfiguration) -> list[AccountRow]:
    """Those that the file speaks of: subaccounts are their parents' business."""
    return [row for row in stored.accounts if not account_settings(row).parent_id]


def live(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.name: row for row in rows if row.is_active}


def stored_routes(stored: StoredConfiguration) -> dict[str, RouteWish]:
    """The stored routes as a file would state them."""
    names = {row.id: row.name for row in stored.carriers}
    routes = [
        RouteWish(
            prefix=row.prefix,
            service=Service(row.service) if row.service else None,
            carriers=tuple(names[carrier_id] for carrier_id in row.carrier_ids),
            price_micros=row.price_micros,
        )
        for row in stored.routes
    ]
    return {route_name(one): one for one in routes}


def stored_numbers(stored: StoredConfiguration) -> dict[str, NumberWish]:
    """The file's part of the pool, as a file would state it."""
    names = {row.id: row.name for row in stored.carriers}
    return {
        row.number: NumberWish(
            number=row.number,
            country=row.country,
            price_micros=row.price_micros,
            carrier=names.get(row.carrier_id, ""),
        )
        for row in stored.pool
    }


def route_name(route: RouteWish) -> str:
    prefix = route.prefix or "everywhere"
    return f"{prefix} {route.service}" if route.service else prefix


# What becomes of what


def carrier_difference(is_same: IsSame) -> Callable[[CarrierRow | None, CarrierWish], Iterator[str]]:
    def lines(row: CarrierRow | None, wish: CarrierWish) -> Iterator[str]:
        before = carrier_settings(row) if row else CarrierSettings()
        if row is None or row.kind != wish.kind:
            yield f"kind: {row.kind} -> {wish.kind}" if row else f"kind: {wish.kind}"
        yield from settings_difference(before, carrier_wish_settings(row, wish))
        if row is not None and not is_same(row, wish.password):
            yield "password: changed"

    return lines


def account_difference(
    is_same: IsSame, stored: StoredConfiguration, ended: set[str]
) -> Callable[[AccountRow | None, AccountWish], Iterator[str]]:
    def lines(row: AccountRow | None, wish: AccountWish) -> Iterator[str]:
        if row is None:
            if wish.name in ended:
                yield "returns with its messages and its balance"
            elif wish.balance_micros:
                yield f"balance: {format_micros(wish.balance_micros)}"
        before = account_settings(row) if row else AccountSettings()
        smpp_hash = before.smpp_password_hash
        yield from settings_difference(before, msgspec.structs.replace(wish.settings, smpp_password_hash=smpp_hash))
        limit_micros = row.limit_micros if row else 0
        if limit_micros != wish.limit_micros:
            yield f"limit: {format_micros(-limit_micros)} -> {format_micros(-wish.limit_micros)}"
        if row is not None and not is_same(row, wish.password):
            yield "password: changed"
        if (smpp_hash or wish.smpp_password) and not is_same(SmppHash(smpp_hash), wish.smpp_password):
            yield "smpp_password: changed"
        for key in ("receipt_url", "inbound_url"):
            url = getattr(wish.settings, key)
            if row is not None and (row.id, url) in stored.disabled_urls:
                yield f"{key}: called again after it had answered 410 Gone"

    return lines


def route_difference(before: RouteWish | None, wish: RouteWish) -> Iterator[str]:
    price = format_micros(wish.price_micros, 4)
    if before is None:
        yield f"carriers: {' '.join(wish.carriers)}"
        yield f"price: {price}"
        return
    if before.carriers != wish.carriers:
        yield f"carriers: {' '.join(before.carriers)} -> {' '.join(wish.carriers)}"
    if before.price_micros != wish.price_micros:
        yield f"price: {format_micros(before.price_micros, 4)} -> {price}"


def number_difference(before: NumberWish | None, wish: NumberWish) -> Iterator[str]:
    price = format_micros(wish.price_micros)
    if before is None:
        yield f"price: {price}"
    elif before.price_micros != wish.price_micros:
        yield f"price: {format_micros(before.price_micros)} -> {price}"
    for name in ("country", "carrier"):
        old, new = getattr(before, name, ""), getattr(wish, name)
        if old != new:
            yield f"{name}: {shown(old)} -> {shown(new)}" if before else f"{name}: {new}"


def settings_difference(
    before: AccountSettings | CarrierSettings, after: AccountSettings | CarrierSettings
) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(after).items():
        old = getattr(before, name)
        if isinstance(value, SmppAccess):
            yield from access_difference(old, value)
        elif old != value:
            yield f"{name}: changed" if name in HIDDEN else f"{name}: {shown(old)} -> {shown(value)}"


def access_difference(before: SmppAccess, after: SmppAccess) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(after).items():
        old = getattr(before, name)
        if old != value:
            yield f"smpp {name}: {shown(old)} -> {shown(value)}"


HIDDEN = frozenset({"callback_key", "options", "api_key_digest"})


def shown(value: object) -> str:
    """A setting for people. Of a URL only what cannot hold a secret: no user, no query."""
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{word}={each}" for word, each in value.items()) or "none"
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?...' if parts.query else ''}"
    return "none" if value == "" else str(value)


def carrier_settings(row: CarrierRow) -> CarrierSettings:
    return msgspec.json.decode(row.settings, type=CarrierSettings)


def carrier_wish_settings(row: CarrierRow | None, wish: CarrierWish) -> CarrierSettings:
    """What the file says, with the callback key that is there: providers were told it."""
    callback_key = carrier_settings(row).callback_key if row else ""
    return msgspec.structs.replace(wish.settings, callback_key=callback_key)


def refuse_impossible(stored: StoredConfiguration, wanted: GatewayFile, text: str, file_name: str) -> None:
    """Raises GatewayFileError with every wish that what is there does not allow."""
    problems = [
        f"{file_name}:{line}: {words}"
        for refusals in (other_currencies, taken_names)
        for line, words in refusals(stored, wanted, Lines(text))
    ]
    if problems:
        raise GatewayFileError("\n".join(problems[:PROBLEMS_SHOWN_MAX]))


def taken_names(stored: StoredConfiguration, wanted: GatewayFile, lines: Lines) -> Iterator[tuple[int, str]]:
    """A subaccount is its parent's, and so is its name."""
    own = {row.name for row in own_accounts(stored)}
    taken = {row.name for row in stored.accounts} - own
    for index, wish in enumerate(wanted.accounts):
        if wish.name in taken:
            words = "is the name of a subaccount; write another, or let its owner rename it"
            yield lines.of_entry("account", index, "name"), f"account {wish.name!r}: name {words}"


def other_currencies(stored: StoredConfiguration, wanted: GatewayFile, lines: Lines) -> Iterator[tuple[int, str]]:
    """An account's money cannot become money of another kind."""
    rows = {row.name: row for row in stored.accounts}  # also the ended ones: they return with their balance
    for index, wish in enumerate(wanted.accounts):
        row = rows.get(wish.name)
        currency = account_settings(row).currency if row else wish.settings.currency
        if currency != wish.settings.currency:
            yield (
                lines.of_entry("account", index, "currency"),
                f"account {wish.name!r}: currency is {currency} and cannot become {wish.settings.currency}, "
                f"for its balance stays; make a new account under another name",
            )


# Carrying it out


class Overtaken(Exception):
    """Somebody else changed the configuration between the look and the write."""


def apply(
    database: Database,
    text: str,
    *,
    file_name: str,
    known: Known,
    sealer: Sealer,
    now_ms: int,
    is_dry_run: bool = False,
) -> list[Change]:
    """Make the configuration what the file says; the plan that was carried out (or would be).

    All or nothing. Raises GatewayFileError where the file is wrong, StoreError where the database does not take it.
    """
    wanted = parse(text, file_name=file_name, known=known)
    check = partial(refuse_impossible, wanted=wanted, text=text, file_name=file_name)
    configuration = Configuration(database, Ledger(database))

    @cache  # comparing a password takes 30 ms
    def is_same(row: Stored, password: Secret) -> bool:
        if isinstance(row, SmppHash):
            return bool(row.value) == bool(password) and (not row.value or verify(row.value, password.value))
        if isinstance(row, CarrierRow):
            return sealer.keeps(row.password_sealed, password.value)
        return sealer.keeps(row.token_sealed, password.value) and verify(row.password_hash, password.value)

    for _ in range(TRIES_MAX):
        with database.connect() as connection:
            try:
                return attempt(connection, configuration, wanted, check, is_same, sealer, now_ms, is_dry_run)
            except Overtaken:
                continue
    raise StoreUnavailable("the configuration keeps being changed by somebody else; try again later")


def attempt(
    connection: Connection,
    configuration: Configuration,
    wanted: GatewayFile,
    check: Callable[[StoredConfiguration], None],
    is_same: IsSame,
    sealer: Sealer,
    now_ms: int,
    is_dry_run: bool,
) -> list[Change]:
    with connection.transaction(is_reading=True) as transaction:
        stored = configuration.load(transaction, with_pool=True)
    check(stored)
    changes = plan(stored, wanted, is_same)
    if is_dry_run or all(one.action is Action.KEEP for one in changes):
        return changes
    writing = Writing(configuration, stored, wanted, is_same, sealer, now_ms)
    with connection.transaction() as transaction:
        # Raising it first locks it: a second apply waits here, and then sees that it was overtaken.
        if configuration.raise_revision(transaction) != stored.revision + 1:
            raise Overtaken
        writing.write(transaction, changes)
    return changes


class Writing:
    """What is needed to carry a plan out, everything slow done before the transaction."""

    def __init__(
        self,
        configuration: Configuration,
        stored: StoredConfiguration,
        wanted: GatewayFile,
        is_same: IsSame,
        sealer: Sealer,
        now_ms: int,
    ) -> None:
        self._configuration = configuration
        self._wanted = wanted
        self._sealer = sealer
        self._now_ms = now_ms
        self._accounts = {row.name: row for row in stored.accounts}
        self._carriers = {row.name: row for row in stored.carriers}
        self._hashes: dict[str, str] = {}
        self._smpp_hashes: dict[str, str] = {}
        for wish in wanted.accounts:
            row = self._accounts.get(wish.name)
            is_kept = row is not None and is_same(row, wish.password)
            self._hashes[wish.name] = row.password_hash if row and is_kept else hash_password(wish.password.value)
            smpp_hash = account_settings(row).smpp_password_hash if row else ""
            if not is_same(SmppHash(smpp_hash), wish.smpp_password):
                smpp_hash = hash_password(wish.smpp_password.value) if wish.smpp_password else ""
            self._smpp_hashes[wish.name] = smpp_hash

    def write(self, transaction: Transaction, changes: Iterable[Change]) -> None:
        actions = {(one.what, one.name): one.action for one in changes}
        restated = (Action.ADD, Action.CHANGE)
        for carrier in self._wanted.carriers:
            if actions["carrier", carrier.name] in restated:
                self._put_carrier(transaction, carrier)
        for account in self._wanted.accounts:
            if actions["account", account.name] in restated:
                self._put_account(transaction, account)
        for (what, name), action in actions.items():
            if action is Action.REMOVE and what == "account":
                self._configuration.end_account(transaction, name)
            elif action is Action.REMOVE and what == "carrier":
                self._configuration.end_carrier(transaction, name)
        ids = {row.name: row.id for row in self._configuration.load(transaction).carriers}
        self._configuration.put_routes(transaction, [route_row(one, ids) for one in self._wanted.routes])
        if any(what == "number" and action is not Action.KEEP for (what, _), action in actions.items()):
            self._configuration.pool.put_file(transaction, [number_row(one, ids) for one in self._wanted.numbers])

    def _put_carrier(self, transaction: Transaction, wish: CarrierWish) -> None:
        settings = carrier_wish_settings(self._carriers.get(wish.name), wish)
        if not settings.callback_key:
            settings = msgspec.structs.replace(settings, callback_key=secrets.token_urlsafe(CALLBACK_KEY_BYTES))
        self._configuration.put_carrier(
            transaction,
            name=wish.name,
            kind=wish.kind,
            password_sealed=self._sealer.seal(wish.password.value),
            settings=msgspec.json.encode(settings).decode(),
        )

    def _put_account(self, transaction: Transaction, wish: AccountWish) -> None:
        account_id = self._configuration.put_account(
            transaction,
            name=wish.name,
            password_hash=self._hashes[wish.name],
            token_sealed=self._sealer.seal(wish.password.value),
            settings=msgspec.json.encode(
                msgspec.structs.replace(wish.settings, smpp_password_hash=self._smpp_hashes[wish.name])
            ).decode(),
        )
        self._configuration.open_balance(
            transaction,
            account_id,
            opening_micros=wish.balance_micros,
            limit_micros=wish.limit_micros,
            now_ms=self._now_ms,
        )


def route_row(wish: RouteWish, carrier_ids: Mapping[str, int]) -> RouteRow:
    return RouteRow(
        prefix=wish.prefix,
        service=wish.service.value if wish.service else "",
        carrier_ids=tuple(carrier_ids[name] for name in wish.carriers),
        price_micros=wish.price_micros,
    )


def number_row(wish: NumberWish, carrier_ids: Mapping[str, int]) -> NumberRow:
    return NumberRow(
        number=wish.number,
        country=wish.country,
        price_micros=wish.price_micros,
        carrier_id=carrier_ids[wish.carrier] if wish.carrier else 0,
    )
