"""How values are read, as TOML or an application brings them: what we keep, or ValueError with words that finish the
sentence "price: ...".

A secret is never quoted in such words. The same rules hold wherever a value comes from, so names, URLs and addresses
that accounts set themselves are read here too.
"""

import difflib
import re
import zoneinfo
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from chappe.core.ledger import parse_micros
from chappe.core.model import Secret, Service
from chappe.core.routing import PREFIX_MAX
from chappe.core.webhooks import octets_of
from chappe.gateway.secrets import key_digest
from chappe.sms.numbers import OriginatorKind, parse_msisdn, parse_originator

NAME_MAX = 64
SECRET_MAX = 256
SMPP_PASSWORD_MAX = 8  # octets (SMPP 3.4 5.2.2)
API_KEY_MIN = 16  # characters: it is kept as a plain digest, so nobody may be able to guess it
URL_MAX = 2_000
HOST_MAX = 253
LIST_MAX = 10_000
OPTIONS_MAX = 50
MESSAGE_TYPES_MAX = 50
MESSAGE_TYPE_MAX = 32  # characters
EMAIL_MAX = 254  # characters, RFC 5321 4.5.3.1.3
EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*").fullmatch
WORD_MAX = 64


def read_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text in quotes, not {value!r}"[:200])
    return value


def read_name(value: object) -> str:
    name = read_text(value)
    if not (0 < len(name) <= NAME_MAX and name.isprintable() and name == name.strip()):
        raise ValueError(f"must be 1 to {NAME_MAX} printable characters without blanks around them")
    return name


def read_secret(value: object) -> Secret:
    if not (isinstance(value, str) and 0 < len(value) <= SECRET_MAX):
        raise ValueError(f"must be a text of 1 to {SECRET_MAX} characters in quotes")
    return Secret(value)


def octets_in(low: int, high: int) -> Callable[[object], str]:
    """What a protocol keeps in a field of so many octets (SMPP 3.4, 3.1: ASCII, and a NULL is its end)."""

    def read_octets(value: object) -> str:
        if not (isinstance(value, str) and low <= len(value) <= high and value.isascii() and value.isprintable()):
            raise ValueError(f"must be a text of {low} to {high} ASCII characters in quotes, as SMPP has it")
        return value

    return read_octets


def read_host(value: object) -> str:
    host = read_text(value).removeprefix("[").removesuffix("]")
    if not (0 < len(host) <= HOST_MAX and host.isprintable() and not set("/@?# ") & set(host)):
        raise ValueError('must be the name or the address of a host, such as "smpp.example.com"')
    if host.count(":") == 1:
        raise ValueError("must be without its port: that is a key of its own")
    return host


def read_api_key(value: object) -> str:
    """The digest that is kept of it: the key itself is not needed again."""
    if not (isinstance(value, str) and API_KEY_MIN <= len(value) <= SECRET_MAX):
        raise ValueError(f"must be a text of {API_KEY_MIN} to {SECRET_MAX} characters in quotes")
    return key_digest(value)


def read_smpp_password(value: object) -> Secret:
    if not (isinstance(value, str) and 0 < len(value.encode()) <= SMPP_PASSWORD_MAX and value.isprintable()):
        raise ValueError(f"must be a text of 1 to {SMPP_PASSWORD_MAX} characters in quotes: SMPP has room for no more")
    return Secret(value)


def read_webhook_secret(value: object) -> Secret:
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")
    try:
        octets_of(value)
    except ValueError as error:
        raise ValueError(f"{error}, such as `openssl rand -base64 32` makes them") from None
    return Secret(value)


def read_network(value: object) -> str:
    written = read_text(value)
    try:
        return str(ip_network(written, strict=False))
    except ValueError:
        raise ValueError(f'must name networks such as "192.0.2.0/24" or "192.0.2.7", not {written!r}') from None


def read_place(value: object) -> str:
    """HOST:PORT; an IPv6 host stands in brackets."""
    written = read_text(value)
    try:
        parts = urlsplit(f"//{written}")
        is_place = bool(parts.hostname) and (parts.port or 0) > 0 and parts.netloc == written and "@" not in written
    except ValueError:
        is_place = False
    if not is_place or not written.isprintable() or " " in written:
        raise ValueError('must be HOST:PORT, such as "smpp.example:2775"')
    return written


def read_yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def read_money(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('must be an amount in quotes, such as "0.0100"')
    return parse_micros(value)


def read_positive_money(value: object) -> int:
    amount_micros = read_money(value)
    if amount_micros < 0:
        raise ValueError("must not be negative")
    return amount_micros


def read_currency(value: object) -> str:
    currency = read_text(value)
    if not re.fullmatch("[A-Z]{3}", currency):
        raise ValueError('must be three capital letters, such as "EUR"')
    return currency


def read_timezone(value: object) -> str:
    name = read_text(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is no time zone: write one such as "Europe/Rome" or "UTC"') from None
    return name


def read_url(value: object) -> str:
    url = read_text(value)
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise ValueError("must be a URL that begins with http:// or https://") from None
    if "@" in parts.netloc:
        raise ValueError("must name no user and no password before its host: they would not be sent")
    if url and not (is_web and len(url) <= URL_MAX and url.isprintable() and " " not in url):
        raise ValueError("must be a URL that begins with http:// or https://")
    return url


def url_without(objection: Callable[[str], str]) -> Callable[[object], str]:
    def read_reachable_url(value: object) -> str:
        url = read_url(value)
        against = objection(url) if url else ""
        if against:
            raise ValueError(f"cannot be called: {against}")
        return url

    return read_reachable_url


def read_prefix(value: object) -> str:
    prefix = read_text(value).removeprefix("+")
    if not (re.fullmatch("[0-9]*", prefix) and len(prefix) <= PREFIX_MAX):
        raise ValueError(f'must be the first digits of a number (at most {PREFIX_MAX}), or "" for everywhere')
    return prefix


def read_country(value: object) -> str:
    country = read_text(value).removeprefix("+")
    if not re.fullmatch("[1-9][0-9]{0,2}", country):
        raise ValueError('must be a calling code, such as "39"')
    return country


def read_message_types(value: object) -> dict[str, Service]:
    if not (isinstance(value, dict) and len(value) <= MESSAGE_TYPES_MAX):
        raise ValueError(f'must be a table of at most {MESSAGE_TYPES_MAX} words, such as {{ GP = "premium" }}')
    if not all(0 < len(word) <= MESSAGE_TYPE_MAX and word.isprintable() for word in value):
        raise ValueError(f"must have words of 1 to {MESSAGE_TYPE_MAX} printable characters")
    return {word: Service(one_of(Service)(service)) for word, service in value.items()}


def read_sender(value: object) -> str:
    sender = read_text(value)
    if parse_originator(sender) is None:
        raise ValueError(f"{sender!r} is no sender: a number, a short code, or at most 11 characters with a letter")
    return sender


def read_number(value: object) -> str:
    number = read_text(value)
    originator = parse_originator(number)
    if originator is not None and originator.kind is OriginatorKind.SHORT_CODE:
        return originator.value
    msisdn = parse_msisdn(number)
    if msisdn is None:
        raise ValueError(f"{number!r} is no number with its country code, and no short code")
    return msisdn


def read_land(value: object) -> str:
    land = read_text(value).upper()
    if not re.fullmatch("[A-Z]{2}", land):
        raise ValueError('must be a country in two letters, such as "GB"')
    return land


def read_phone(value: object) -> str:
    phone = parse_msisdn(read_text(value))
    if phone is None:
        raise ValueError("must be a number with its country code")
    return phone


def read_email(value: object) -> str:
    address = read_text(value)
    if not (len(address) <= EMAIL_MAX and EMAIL(address)):
        raise ValueError('must be a plain address, such as "sms@example.com"')
    return address


def read_word(value: object) -> str:
    word = read_text(value)
    if not (0 < len(word) <= WORD_MAX and word.isprintable() and word == word.strip()):
        raise ValueError(f"must have words of 1 to {WORD_MAX} printable characters without blanks around them")
    return word


def read_options(value: object) -> dict[str, str]:
    if not (isinstance(value, dict) and len(value) <= OPTIONS_MAX):
        raise ValueError(f"must be a table of at most {OPTIONS_MAX} texts")
    wrong = next((name for name, each in value.items() if not isinstance(each, str)), None)
    if wrong is not None:  # not shown: it may be a secret
        raise ValueError(f"{wrong!r} must be a text in quotes")
    return dict(value)


def list_of(read: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    def read_list(value: object) -> tuple[str, ...]:
        if not (isinstance(value, list) and len(value) <= LIST_MAX):
            raise ValueError(f'must be a list of at most {LIST_MAX} texts, such as ["a", "b"]')
        values = tuple(read(each) for each in value)
        if len(set(values)) < len(values):
            raise ValueError("must not name the same thing twice")
        return values

    return read_list


def one_of(words: Iterable[str]) -> Callable[[object], str]:
    choices = sorted(map(str, words))  # plain texts: an enum's word prints with its class

    def read_word(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}{suggestion(value, choices)}")
        return str(value)

    return read_word


def number_in(low: float, high: float, kind: type[int] | type[float]) -> Callable[[object], Any]:
    def read_number_in(value: object) -> int | float:
        if isinstance(value, int | kind) and not isinstance(value, bool) and low <= value <= high:
            return kind(value)
        raise ValueError(f"must be a {'whole ' if kind is int else ''}number from {low} to {high}")

    return read_number_in


def suggestion(word: object, choices: Iterable[str]) -> str:
    """`; did you mean 'window'?`, where something is near."""
    near = difflib.get_close_matches(word, list(choices), 1) if isinstance(word, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""
