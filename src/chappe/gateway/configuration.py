"""Makes the configuration what is wanted, in one transaction, and tells what that changes: the core of `chappe apply`,
of edits in the panel, and of going back to an earlier version.

The plan is a pure comparison of what is stored with what is wanted; printing it and carrying it out are two uses of the
same list. Wanting the same twice changes nothing the second time. Passwords are compared and hashed outside the
transaction, because that takes long; should somebody else change the configuration meanwhile, the plan is made anew.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chappe.core.ledger import format_micros
from chappe.core.model import Secret, Service, SmppAccess
from chappe.gateway.directory import AccountSettings, CarrierSettings, account_settings
from chappe.gateway.gateway_file import (
    AccountWish,
    CarrierWish,
    GatewayFile,
    GatewayFileError,
    Known,
    NumberWish,
    Password,
    Problem,
    RouteWish,
    StoredSecret,
    parse,
    told,
)
from chappe.gateway.secrets import Sealer, SealError, hash_password, verify
from chappe.store.configuration import AccountRow, CarrierRow, Configuration, StoredConfiguration
from chappe.store.database import Database, StoreUnavailable
from chappe.store.money import Ledger
from chappe.store.versions import AccountPut, CarrierPut, NumberPut, Overtaken, Rewrite, RoutePut, Versions

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


class WebhookSeal(NamedTuple):
    """What is stored of an account's own secret for callbacks; empty where it has none."""

    value: str


Stored = AccountRow | CarrierRow | SmppHash | WebhookSeal
IsSame = Callable[[Stored, Password], bool]
Touched = frozenset[tuple[str, str]]  # what and name, of the entries that a wish speaks of


def plan(
    stored: StoredConfiguration, wanted: GatewayFile, is_same: IsSame, touched: Touched | None = None
) -> list[Change]:
    """What has to change. `is_same` tells whether a stored account or carrier has this password already; `touched` are
    the entries that are looked at, None for all of them."""
    ended = {one.name for one in own_accounts(stored) if not one.is_active}
    accounts = account_difference(is_same, stored, ended)
    rows: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any], Difference]] = (
        ("carrier", live(stored.carriers), by_name(wanted.carriers), carrier_difference(is_same)),
        ("route", stored_routes(stored), {route_name(one): one for one in wanted.routes}, route_difference),
        ("account", live(own_accounts(stored)), by_name(wanted.accounts), accounts),
        ("number", stored_numbers(stored), {one.number: one for one in wanted.numbers}, number_difference),
    )
    return [
        change
        for what, before, after, difference in rows
        for change in plan_of(what, only(touched, what, before), only(touched, what, after), difference)
    ]


Difference = Callable[[Any, Any], Iterator[str]]


def by_name(wishes: Iterable[Any]) -> dict[str, Any]:
    return {one.name: one for one in wishes}


def only(touched: Touched | None, what: str, entries: Mapping[str, Any]) -> Mapping[str, Any]:
    if touched is None:
        return entries
    return {name: entries[name] for kind, name in sorted(touched) if kind == what and name in entries}


def plan_of(
    what: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    difference: Difference,
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
        seal = before.webhook_secret_sealed
        after = msgspec.structs.replace(wish.settings, smpp_password_hash=smpp_hash, webhook_secret_sealed=seal)
        yield from settings_difference(before, after)
        limit_micros = row.limit_micros if row else 0
        if limit_micros != wish.limit_micros:
            yield f"limit: {format_micros(-limit_micros)} -> {format_micros(-wish.limit_micros)}"
        if row is not None and not is_same(row, wish.password):
            yield "password: changed"
        if not is_same(SmppHash(smpp_hash), wish.smpp_password):
            yield "smpp_password: changed"
        if not is_same(WebhookSeal(seal), wish.webhook_secret):
            yield "webhook_secret: changed"
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


def impossible(stored: StoredConfiguration, wanted: GatewayFile) -> Iterator[Problem]:
    """Every wish that what is there does not allow."""
    yield from other_currencies(stored, wanted)
    yield from taken_names(stored, wanted)


def taken_names(stored: StoredConfiguration, wanted: GatewayFile) -> Iterator[Problem]:
    """A subaccount is its parent's, and so is its name."""
    own = {row.name for row in own_accounts(stored)}
    taken = {row.name for row in stored.accounts} - own
    for index, wish in enumerate(wanted.accounts):
        if wish.name in taken:
            words = "is the name of a subaccount; write another, or let its owner rename it"
            yield Problem("account", index, "name", words, f"account {wish.name!r}")


def other_currencies(stored: StoredConfiguration, wanted: GatewayFile) -> Iterator[Problem]:
    """An account's money cannot become money of another kind."""
    rows = {row.name: row for row in stored.accounts}  # also the ended ones: they return with their balance
    for index, wish in enumerate(wanted.accounts):
        row = rows.get(wish.name)
        currency = account_settings(row).currency if row else wish.settings.currency
        if currency != wish.settings.currency:
            words = (
                f"is {currency} and cannot become {wish.settings.currency}, for its balance stays; make a new account "
                "under another name"
            )
            yield Problem("account", index, "currency", words, f"account {wish.name!r}")


# What is there, as wishes


def as_it_is(stored: StoredConfiguration) -> GatewayFile:
    """What a gateway file would say, its passwords left as they are."""
    return GatewayFile(
        accounts=tuple(account_wish(row) for row in own_accounts(stored) if row.is_active),
        carriers=tuple(carrier_wish(row) for row in stored.carriers if row.is_active),
        routes=tuple(stored_routes(stored).values()),
        numbers=tuple(stored_numbers(stored).values()),
    )


def account_wish(
    row: AccountRow, password: Password = None, smpp_password: Password = None, webhook_secret: Password = None
) -> AccountWish:
    return AccountWish(
        name=row.name,
        password=password,
        smpp_password=smpp_password,
        webhook_secret=webhook_secret,
        limit_micros=row.limit_micros,
        settings=account_settings(row),
    )


def carrier_wish(row: CarrierRow, password: Password = None) -> CarrierWish:
    return CarrierWish(name=row.name, kind=row.kind, password=password, settings=carrier_settings(row))


# Carrying it out


def changes_of(changes: Iterable[Change]) -> list[Change]:
    """Those that change anything."""
    return [one for one in changes if one.action is not Action.KEEP]


def sameness(sealer: Sealer) -> IsSame:
    """Whether a stored password is the one that is wanted, remembered: comparing one takes 30 ms."""

    @cache
    def is_same(row: Stored, password: Password) -> bool:
        if password is None:
            return True
        if isinstance(row, WebhookSeal):
            return is_sealed(row.value, password)
        if isinstance(password, StoredSecret):
            return password.hashed == row.value if isinstance(row, SmppHash) else is_stored(row, password)
        if isinstance(row, SmppHash):
            return bool(row.value) == bool(password) and (not row.value or verify(row.value, password.value))
        if isinstance(row, CarrierRow):
            return sealer.keeps(row.password_sealed, password.value)
        return sealer.keeps(row.token_sealed, password.value) and verify(row.password_hash, password.value)

    def is_stored(row: AccountRow | CarrierRow, password: StoredSecret) -> bool:
        if isinstance(row, AccountRow):
            return row.password_hash == password.hashed
        return is_sealed(row.password_sealed, password)

    def is_sealed(sealed: str, secret: Secret | StoredSecret) -> bool:
        if isinstance(secret, Secret):
            return bool(sealed) == bool(secret) and (not sealed or sealer.keeps(sealed, secret.value))
        if sealed == secret.sealed:
            return True
        try:
            return sealer.keeps(sealed, sealer.unseal(secret.sealed))
        except SealError:
            return False

    return is_same


def apply(
    database: Database,
    text: str,
    *,
    file_name: str,
    known: Known,
    sealer: Sealer,
    now_ms: int,
    is_dry_run: bool = False,
    author: str = "apply",
) -> list[Change]:
    """Make the configuration what the file says; the plan that was carried out (or would be).

    All or nothing. Raises GatewayFileError where the file is wrong, StoreError where the database does not take it.
    """
    wanted = parse(text, file_name=file_name, known=known)
    configuration = Configuration(database, Ledger(database))
    is_same = sameness(sealer)

    def planned(stored: StoredConfiguration) -> Planned:
        problems = list(impossible(stored, wanted))
        if problems:
            raise GatewayFileError(told(problems, text, file_name))
        changes = plan(stored, wanted, is_same)
        return Planned(stored=stored, wanted=wanted, changes=tuple(changes))

    versions = Versions(database, configuration)
    writing = Writing(is_same, sealer, author=author, now_ms=now_ms)
    return list(carried_out(database, versions, configuration, planned, writing, is_dry_run=is_dry_run))


class Planned(Struct, frozen=True, kw_only=True):
    """What shall be changed, and of what."""

    stored: StoredConfiguration
    wanted: GatewayFile
    changes: tuple[Change, ...]

    @property
    def is_idle(self) -> bool:
        return not changes_of(self.changes)


def carried_out(
    database: Database,
    versions: Versions,
    configuration: Configuration,
    planned: Callable[[StoredConfiguration], Planned],
    writing: "Writing",
    *,
    is_dry_run: bool = False,
) -> tuple[Change, ...]:
    """Plan and write, on a connection of one's own; anew, where somebody else changed the configuration meanwhile."""
    for _ in range(TRIES_MAX):
        with database.connect() as connection:
            with connection.transaction(is_reading=True) as transaction:
                stored = configuration.load(transaction, with_pool=True)
            it = planned(stored)
            if is_dry_run or it.is_idle:
                return it.changes
            rewrite = writing.rewrite(it)
            with contextlib.suppress(Overtaken), connection.transaction() as transaction:
                versions.rewrite_one(transaction, rewrite)
                return it.changes
    raise overtaken()


def overtaken() -> StoreUnavailable:
    return StoreUnavailable("the configuration keeps being changed by somebody else; try again later")


class Writing:
    """How a plan becomes what the store writes: everything slow is done here."""

    def __init__(self, is_same: IsSame, sealer: Sealer, *, author: str, now_ms: int, remark: str = "") -> None:
        self._is_same = is_same
        self._sealer = sealer
        self._author = author
        self._remark = remark
        self._now_ms = now_ms

    def rewrite(self, planned: Planned) -> Rewrite:
        wanted, stored = planned.wanted, planned.stored
        changes = changes_of(planned.changes)
        restated = {(one.what, one.name) for one in changes if one.action is not Action.REMOVE}
        removed = [(one.what, one.name) for one in changes if one.action is Action.REMOVE]
        kinds = {one.what for one in changes}
        accounts = {row.name: row for row in stored.accounts}
        carriers = {row.name: row for row in stored.carriers}
        return Rewrite(
            revision=stored.revision,
            now_ms=self._now_ms,
            author=self._author,
            remark=self._remark,
            changes=msgspec.json.encode(changes).decode(),
            accounts=tuple(
                self._account(accounts.get(one.name), one)
                for one in wanted.accounts
                if ("account", one.name) in restated
            ),
            ended_accounts=tuple(name for what, name in removed if what == "account"),
            carriers=tuple(
                self._carrier(carriers.get(one.name), one)
                for one in wanted.carriers
                if ("carrier", one.name) in restated
            ),
            ended_carriers=tuple(name for what, name in removed if what == "carrier"),
            routes=tuple(map(route_put, wanted.routes)) if "route" in kinds else None,
            numbers=tuple(map(number_put, wanted.numbers)) if "number" in kinds else None,
        )

    def _carrier(self, row: CarrierRow | None, wish: CarrierWish) -> CarrierPut:
        settings = carrier_wish_settings(row, wish)
        if not settings.callback_key:
            settings = msgspec.structs.replace(settings, callback_key=secrets.token_urlsafe(CALLBACK_KEY_BYTES))
        match wish.password:
            case None:
                sealed = row.password_sealed if row else ""
            case StoredSecret(sealed=sealed):
                pass
            case password:
                sealed = self._sealer.seal(password.value)
        return CarrierPut(
            name=wish.name,
            kind=wish.kind,
            password_sealed=sealed,
            settings=msgspec.json.encode(settings).decode(),
        )

    def _account(self, row: AccountRow | None, wish: AccountWish) -> AccountPut:
        smpp_hash = account_settings(row).smpp_password_hash if row else ""
        match wish.password:
            case None:
                hashed, sealed = (row.password_hash, row.token_sealed) if row else ("", "")
            case StoredSecret(hashed=hashed, sealed=sealed):
                pass
            case password:
                is_kept = row is not None and self._is_same(row, password)
                hashed = row.password_hash if row and is_kept else hash_password(password.value)
                sealed = self._sealer.seal(password.value)
        match wish.smpp_password:
            case StoredSecret(hashed=stored_hash):
                smpp_hash = stored_hash
            case Secret() as smpp_password if not self._is_same(SmppHash(smpp_hash), smpp_password):
                smpp_hash = hash_password(smpp_password.value) if smpp_password else ""
        settings = msgspec.structs.replace(
            wish.settings, smpp_password_hash=smpp_hash, webhook_secret_sealed=self._webhook_seal(row, wish)
        )
        return AccountPut(
            name=wish.name,
            password_hash=hashed,
            token_sealed=sealed,
            settings=msgspec.json.encode(settings).decode(),
            opening_micros=wish.balance_micros,
            limit_micros=wish.limit_micros,
        )

    def _webhook_seal(self, row: AccountRow | None, wish: AccountWish) -> str:
        sealed = account_settings(row).webhook_secret_sealed if row else ""
        match wish.webhook_secret:
            case StoredSecret(sealed=stored):
                return stored
            case Secret() as secret if not self._is_same(WebhookSeal(sealed), secret):
                return self._sealer.seal(secret.value)
        return sealed


def route_put(wish: RouteWish) -> RoutePut:
    return RoutePut(
        prefix=wish.prefix,
        service=wish.service.value if wish.service else "",
        carriers=wish.carriers,
        price_micros=wish.price_micros,
    )


def number_put(wish: NumberWish) -> NumberPut:
    return NumberPut(number=wish.number, country=wish.country, price_micros=wish.price_micros, carrier=wish.carrier)
