"""The configuration as entries of a gateway file, the reverse of `gateway_file.py`: for forms, and for `chappe export`.

Secrets are not stated: an entry says only which of them there are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from urllib.parse import urlsplit

import msgspec

from chappe.core.ledger import format_micros
from chappe.core.model import SmppAccess
from chappe.gateway.directory import AccountSettings, CarrierSettings
from chappe.gateway.gateway_file import (
    BIND_KEYS,
    KINDS,
    SMPP,
    AccountWish,
    CarrierWish,
    GatewayFile,
    Known,
    NumberWish,
    RouteWish,
    Wish,
    account_keys,
    carrier_keys,
    smpp_access_keys,
)

PLACES = 4  # of prices
SECRETS = ("password", "api_key", "smpp_password", "webhook_secret")
PLACEHOLDER = "write it here"
BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

Table = dict[str, object]


def table_of(wish: Wish, known: Known, *, is_whole: bool = False) -> Table:
    """An entry without its secrets and without what would be so anyway; `is_whole` leaves only what is empty out."""
    match wish:
        case AccountWish():
            return account_table(wish, known, is_whole=is_whole)
        case CarrierWish():
            return carrier_table(wish, known, is_whole=is_whole)
        case RouteWish():
            return route_table(wish)
        case NumberWish():
            return number_table(wish)


def account_table(wish: AccountWish, known: Known, *, is_whole: bool) -> Table:
    defaults = fields_of(AccountWish(name="", password=None, settings=AccountSettings()))
    values = fields_of(wish)
    names = {name: key.field or name for name, key in account_keys(known).items() if name not in SECRETS}
    names |= {name: f"smpp.{key.field}" for name, key in smpp_access_keys(known).items()}
    stated = {name: values[field] for name, field in names.items() if is_whole or values[field] != defaults[field]}
    return {name: value for name, value in stated.items() if value not in ("", None)}


def fields_of(wish: AccountWish) -> dict[str, object]:
    """Everything in an account's entry, by the name of its field, as the file would write it."""
    settings = msgspec.structs.asdict(wish.settings)
    access: SmppAccess = settings.pop("smpp")
    smpp = msgspec.structs.asdict(access) | {"hex_ids": "hex" if access.hex_ids else "decimal"}
    return {
        "name": wish.name,
        "balance": format_micros(wish.balance_micros),
        "limit": format_micros(-wish.limit_micros),
        **{name: written(value) for name, value in settings.items()},
        **{f"smpp.{name}": written(value) for name, value in smpp.items()},
    }


def carrier_table(wish: CarrierWish, known: Known, *, is_whole: bool) -> Table:
    defaults = {name: written(value) for name, value in msgspec.structs.asdict(CarrierSettings()).items()}
    settings = {name: written(value) for name, value in msgspec.structs.asdict(wish.settings).items()}
    values: Table = {"name": wish.name, "kind": wish.kind}
    values |= {name: value for name, value in settings.items() if is_whole or value != defaults[name]}
    if wish.kind == SMPP:
        values = bound_table(values, wish)
    keys = carrier_keys(known, wish.kind)
    return {name: value for name, value in values.items() if name in keys and value not in ("", {})}


def bound_table(values: Table, wish: CarrierWish) -> Table:
    """The reverse of `as_carrier`: where an SMPP carrier is, who we are there, and how we bind."""
    parts = urlsplit(wish.settings.url)
    options = {name: value for name, value in wish.settings.options.items() if name not in BIND_KEYS}
    own: Table = {"host": parts.hostname or "", "port": parts.port or 0, "system_id": wish.settings.login}
    own |= {"tls": True} if parts.scheme == "smpps" else {}
    own |= {"bind": wish.settings.options["bind"]} if "bind" in wish.settings.options else {}
    own |= {"binds": int(wish.settings.options["binds"])} if "binds" in wish.settings.options else {}
    return {"name": wish.name, "kind": wish.kind} | own | values | {"options": options}


def route_table(wish: RouteWish) -> Table:
    service: Table = {"service": wish.service.value} if wish.service else {}
    price = format_micros(wish.price_micros, PLACES)
    return {"prefix": wish.prefix, **service, "carriers": list(wish.carriers), "price": price}


def number_table(wish: NumberWish) -> Table:
    values: Table = {"number": wish.number, "country": wish.country, "price": format_micros(wish.price_micros)}
    values |= {"carrier": wish.carrier}
    return {name: value for name, value in values.items() if value != ""}


def written(value: object) -> object:
    """A value as TOML has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {name: written(each) for name, each in value.items()}
    return value


# As a file


def file_of(wanted: GatewayFile, known: Known, with_smpp_password: Iterable[str] = ()) -> str:
    """The gateway file without its secrets: a comment stands where each of them belongs, so that the file cannot be
    applied before they are written there. `with_smpp_password` are the accounts that have one of their own."""
    sections: Sequence[Sequence[Wish]] = (wanted.carriers, wanted.routes, wanted.accounts, wanted.numbers)
    lines: list[str] = []
    for kind, wishes in zip(KINDS, sections, strict=True):
        for wish in wishes:
            lines += [f"[[{kind}]]", *entry_lines(wish, known, with_smpp_password), ""]
        if not wishes and kind != "number":
            lines = [f"{kind} = []", *lines]
    return "\n".join(lines)


def entry_lines(wish: Wish, known: Known, with_smpp_password: Iterable[str]) -> Iterator[str]:
    for name, value in table_of(wish, known).items():
        if name == "options" and isinstance(value, dict):  # any of them may be a secret
            yield f"# options = {toml_of(dict.fromkeys(value, PLACEHOLDER))}"
            continue
        yield f"{name} = {toml_of(value)}"
    if isinstance(wish, AccountWish):
        yield f'# password = "{PLACEHOLDER}"'
        if wish.settings.api_key_digest:
            yield f'# api_key = "{PLACEHOLDER}"'
        if wish.name in with_smpp_password:
            yield f'# smpp_password = "{PLACEHOLDER}"'
        if wish.settings.webhook_secret_sealed:
            yield f'# webhook_secret = "{PLACEHOLDER}"'
    elif isinstance(wish, CarrierWish) and wish.settings.login:
        yield f'# password = "{PLACEHOLDER}"'


def toml_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_of, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key_of(name)} = {toml_of(each)}" for name, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


def key_of(name: str) -> str:
    return name if name and set(name) <= BARE else text_of(name)


def text_of(value: str) -> str:
    """A basic string of TOML: what JSON writes is one, but for DEL, which TOML wants escaped."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
