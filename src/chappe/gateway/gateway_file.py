"""The gateway file: TOML in, records out, or every mistake at once with its file, line and remedy.

Which keys there are, how each is read (`file_values.py`) and which must stand there is one table per kind of entry. The
same tables read a single entry that somebody edits by hand of a form; there a mistake is told with its key instead of
its line, and what is None stays as it is. TOML's reader tells no lines once the text is parsed, so an entry's line is
found again by its header.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Struct

from chappe.core.model import Priority, Secret, Service, SmppAccess, UncertainPolicy
from chappe.gateway.directory import AccountSettings, CarrierSettings
from chappe.gateway.file_values import (
    NAME_MAX,
    list_of,
    number_in,
    octets_in,
    one_of,
    read_api_key,
    read_country,
    read_currency,
    read_email,
    read_host,
    read_land,
    read_message_types,
    read_name,
    read_network,
    read_number,
    read_options,
    read_phone,
    read_place,
    read_positive_money,
    read_prefix,
    read_secret,
    read_sender,
    read_smpp_password,
    read_text,
    read_timezone,
    read_webhook_secret,
    read_word,
    read_yes,
    suggestion,
    url_without,
)
from chappe.sms.numbers import country as country_of
from chappe.sms.numbers import parse_msisdn

SIZE_MAX = 16 * 1024 * 1024  # characters
ENTRIES_MAX = 100_000  # of each kind
PROBLEMS_SHOWN_MAX = 20
RECIPIENTS_MAX = 100_000
WINDOW_MAX = 1_000
THROUGHPUT_MAX = 10_000
SMPP_BINDS_MAX = 1_000
SMPP_WINDOW_MAX = 10_000
TIMEOUT_MIN_S, TIMEOUT_MAX_S = 1, 300
BINDS_MAX = 16
SMPP_PORT, SMPP_TLS_PORT = 2775, 3550


class GatewayFileError(Exception):
    """The gateway file is wrong; each line of the message is one mistake."""


class Known(Struct, frozen=True, kw_only=True):
    """What this chappe can do."""

    kinds: frozenset[str]  # of carriers
    dialects: frozenset[str]  # in which customers are called back
    inbound_dialects: frozenset[str] = frozenset()  # those that have words for messages that come in; empty = all
    unasked_kinds: frozenset[str] = frozenset()  # of carriers that find no message by our reference
    smpp_charsets: frozenset[str] = frozenset()  # that data_coding 0 may mean
    objection: Callable[[str], str] = lambda _url: ""  # why nobody can be reached there; empty where somebody might
    # By kind of carrier, what is wrong with its options (words that finish "options: ..."); empty where nothing is.
    option_objections: Mapping[str, Callable[[Mapping[str, str]], str]] = {}


class StoredSecret(Struct, frozen=True, kw_only=True):
    """A password in the forms it was stored in, wanted back."""

    hashed: str = ""
    sealed: str = ""


Password = Secret | StoredSecret | None  # None = as it is


class AccountWish(Struct, frozen=True, kw_only=True):
    """An account as the file wants it."""

    name: str
    password: Password
    smpp_password: Password = Secret("")  # empty = the password
    webhook_secret: Password = Secret("")  # empty = one made from the password
    balance_micros: int = 0  # credited once, when the account is made
    limit_micros: int = 0  # how far its money may go down; negative = credit
    settings: AccountSettings


class CarrierWish(Struct, frozen=True, kw_only=True):
    """A carrier as the file wants it; its callback key is not the file's business."""

    name: str
    kind: str
    password: Password = Secret("")
    settings: CarrierSettings


class RouteWish(Struct, frozen=True, kw_only=True):
    """A route as the file wants it, carriers by name."""

    prefix: str
    service: Service | None
    carriers: tuple[str, ...]
    price_micros: int


class NumberWish(Struct, frozen=True, kw_only=True):
    """A number that the file offers for rent; the carrier by name, empty where its messages may come from any."""

    number: str
    country: str = ""  # ISO 3166-1 alpha-2
    price_micros: int  # a month
    carrier: str = ""


class GatewayFile(Struct, frozen=True, kw_only=True):
    """Everything that the file wants, and nothing else shall be."""

    accounts: tuple[AccountWish, ...] = ()
    carriers: tuple[CarrierWish, ...] = ()
    routes: tuple[RouteWish, ...] = ()
    numbers: tuple[NumberWish, ...] = ()


Wish = AccountWish | CarrierWish | RouteWish | NumberWish


class Problem(NamedTuple):
    """What is wrong with an entry. The whole sentence has `title` before it; the words alone belong beside the key."""

    kind: str  # empty = with the file as a whole
    before_count: int  # entries of the same kind
    key: str
    words: str
    title: str = ""
    first: int = -1  # the entry of the same kind that was there before it, where two want the same
    is_said: bool = False  # the words name the key themselves

    def sentence(self, first: str = "") -> str:
        key = "" if self.is_said or not self.key else f"{self.key} "
        title = f"{self.title}: " if self.title else ""
        return f"{title}{key}{self.words}{first}"


def parse(text: str, *, file_name: str, known: Known) -> GatewayFile:
    """Raises GatewayFileError with all that is wrong."""
    if len(text) > SIZE_MAX:
        raise GatewayFileError(f"{file_name}: larger than {SIZE_MAX} characters")
    reading = Reading(known)
    wanted = reading.file(toml_of(text, file_name))
    if wanted is None:
        raise GatewayFileError(told(reading.problems, text, file_name))
    return wanted


def toml_of(text: str, file_name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        words, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0] or str(text.count("\n") + 1)
        raise GatewayFileError(f"{file_name}:{line}: not TOML: {words}") from None


# Which keys there are

Read = Callable[[object], Any]


class Key(NamedTuple):
    """How a key's value is read, and whether it must stand there."""

    read: Read
    is_required: bool = False
    field: str = ""  # what the record calls it; empty = the same


def account_keys(known: Known) -> dict[str, Key]:
    return {
        "name": Key(read_name, is_required=True),
        "password": Key(read_secret, is_required=True),
        "api_key": Key(read_api_key, field="api_key_digest"),
        "balance": Key(read_positive_money),
        "limit": Key(read_positive_money),
        "currency": Key(read_currency),
        "timezone": Key(read_timezone),
        "country": Key(read_country),
        "message_types": Key(read_message_types),
        "virtual": Key(read_yes, field="is_virtual"),
        "flexible": Key(read_yes, field="is_flexible"),
        "senders": Key(list_of(read_sender)),
        "numbers": Key(list_of(read_number)),
        "receipt_url": Key(url_without(known.objection)),
        "receipt_method": Key(one_of(["GET", "POST"])),
        "receipt_dialect": Key(one_of(known.dialects)),
        "inbound_url": Key(url_without(known.objection)),
        "inbound_email": Key(read_email),
        "inbound_phone": Key(read_phone),
        "inbound_dialect": Key(one_of(known.inbound_dialects or known.dialects)),
        "stop_words": Key(list_of(read_word)),
        "start_words": Key(list_of(read_word)),
        "recipients_max": Key(number_in(1, RECIPIENTS_MAX, int)),
        "priority": Key(one_of(Priority)),
        "smpp_password": Key(read_smpp_password),
        "webhook_secret": Key(read_webhook_secret),
        **smpp_access_keys(known),
    }


def smpp_access_keys(known: Known) -> dict[str, Key]:
    """How an account may use the SMPP door; the fields are those of `core.model.SmppAccess`."""
    return {
        "smpp_networks": Key(list_of(read_network), field="networks"),
        "smpp_binds": Key(number_in(1, SMPP_BINDS_MAX, int), field="binds_max"),
        "smpp_window": Key(number_in(1, SMPP_WINDOW_MAX, int), field="window"),
        "smpp_throughput": Key(number_in(0, THROUGHPUT_MAX, float), field="throughput"),
        "smpp_outbind": Key(read_place, field="outbind"),
        "smpp_charset": Key(one_of(known.smpp_charsets), field="charset"),
        "smpp_ids": Key(one_of(["decimal", "hex"]), field="hex_ids"),
        "smpp_receiver": Key(read_yes, field="is_receiver"),
    }


def carrier_keys(known: Known, kind: object) -> dict[str, Key]:
    return (SMPP_KEYS if kind == SMPP else web_keys(known)) | {
        "name": Key(read_name, is_required=True),
        "kind": Key(read_text, is_required=True),
        "window": Key(number_in(1, WINDOW_MAX, int)),
        "throughput": Key(number_in(0, THROUGHPUT_MAX, float)),
        "uncertain": Key(one_of(UncertainPolicy)),
        "timeout_s": Key(number_in(TIMEOUT_MIN_S, TIMEOUT_MAX_S, float)),
        "options": Key(read_options),
    }


def web_keys(known: Known) -> dict[str, Key]:
    """Of a carrier that is reached by a URL."""
    return {"url": Key(url_without(known.objection)), "login": Key(read_text), "password": Key(read_secret)}


# Of a carrier that is bound to. The lengths are those of SMPP 3.4, 4.1: one octet of each field is its end.
SMPP_KEYS = {
    "host": Key(read_host, is_required=True),
    "port": Key(number_in(1, 65_535, int)),
    "tls": Key(read_yes),
    "system_id": Key(octets_in(1, 15), is_required=True),
    "password": Key(octets_in(0, 8), is_required=True),
    "bind": Key(one_of(["transceiver", "transmitter", "receiver", "pair"])),
    "binds": Key(number_in(1, BINDS_MAX, int)),
}
BIND_KEYS = ("bind", "binds")
ROUTE_KEYS = {
    "prefix": Key(read_prefix, is_required=True),
    "service": Key(one_of(Service)),
    "carriers": Key(list_of(read_text), is_required=True),
    "price": Key(read_positive_money, is_required=True),
}
NUMBER_KEYS = {
    "number": Key(read_number, is_required=True),
    "country": Key(read_land),
    "price": Key(read_positive_money, is_required=True, field="price_micros"),
    "carrier": Key(read_text),
}
KINDS = ("carrier", "route", "account", "number")

SIMULATED = "simulated"  # the one kind of carrier that is nowhere and that nobody logs in to
SMPP = "smpp"  # the one kind that is bound to


class Place(NamedTuple):
    """One entry of the file: its kind, how many of that kind stand before it, and how it is called in words."""

    kind: str
    before_count: int
    title: str


NOTHING_KEPT: Mapping[str, Any] = MappingProxyType({})


class Reading:
    """One pass over entries, which collects their mistakes."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.problems: list[Problem] = []

    def file(self, tables: dict[str, Any]) -> GatewayFile | None:
        """Everything that stands in a file; None where something is wrong."""
        if not tables:  # more likely the wrong file than the wish to end every account
            words = "there is nothing in this file; to end every account, carrier and route write account = []"
            self.problems.append(Problem("", 0, "", words))
        for name in tables:
            if name not in KINDS:
                words = f"unknown entry {name!r}: a gateway file has [[carrier]], [[route]], [[account]] and [[number]]"
                self.problems.append(Problem("", 0, name, words + suggestion(name, KINDS), is_said=True))
        accounts = [self.account(place, table) for place, table in self._entries(tables, "account")]
        carriers = [self.carrier(place, table) for place, table in self._entries(tables, "carrier")]
        names = {table.get("name") for _, table in self._entries(tables, "carrier", is_quiet=True)}
        routes = [self.route(place, table) for place, table in self._entries(tables, "route")]
        offered = [self.number(place, table) for place, table in self._entries(tables, "number")]
        self.problems += clashes(accounts, carriers, routes, offered)
        self.problems += loose_ends(routes, offered, names)
        if self.problems:
            return None
        return GatewayFile(
            accounts=tuple(one for one in accounts if one),
            carriers=tuple(one for one in carriers if one),
            routes=tuple(one for one in routes if one),
            numbers=tuple(one for one in offered if one),
        )

    def entry(self, kind: str, table: dict[str, Any], kept: Mapping[str, Any]) -> Wish | None:
        """One entry by itself; `kept` is what its None stand for."""
        place = Place(kind, 0, title_of(kind, 0, table))
        match kind:
            case "account":
                return self.account(place, table, kept)
            case "carrier":
                return self.carrier(place, table, kept)
            case "route":
                return self.route(place, table)
            case _:
                return self.number(place, table)

    def account(
        self, place: Place, table: dict[str, Any], kept: Mapping[str, Any] = NOTHING_KEPT
    ) -> AccountWish | None:
        values = self._values(place, table, account_keys(self._known), kept)
        if values is None:
            return None
        access = {field: values.pop(field) for field in SmppAccess.__struct_fields__ if field in values}
        if "hex_ids" in access:
            access["hex_ids"] = access["hex_ids"] == "hex"
        return AccountWish(
            name=values.pop("name"),
            password=values.pop("password"),
            smpp_password=values.pop("smpp_password", Secret("")),
            webhook_secret=values.pop("webhook_secret", Secret("")),
            balance_micros=values.pop("balance", 0),
            limit_micros=-values.pop("limit", 0),
            settings=AccountSettings(
                smpp=SmppAccess(**access), priority=Priority(values.pop("priority", Priority.NORMAL)), **values
            ),
        )

    def carrier(
        self, place: Place, table: dict[str, Any], kept: Mapping[str, Any] = NOTHING_KEPT
    ) -> CarrierWish | None:
        kind = table.get("kind")
        if isinstance(kind, str) and kind not in self._known.kinds:
            choices = sorted(self._known.kinds)
            words = f"is no kind of carrier{suggestion(kind, choices)}"
            self._complain_of(place, "kind", f"{kind!r} {words}; there are {', '.join(choices)}")
            return None
        values = self._values(place, table, carrier_keys(self._known, kind), kept)
        if values is None or not self._is_carrier_whole(place, kind, values):
            return None
        if kind == SMPP:
            values = as_carrier(values)
            against = self._known.objection(values["url"])
            if against:
                self._complain_of(place, "host", f"cannot be reached: {against}")
                return None
        return CarrierWish(
            name=values.pop("name"),
            kind=values.pop("kind"),
            password=values.pop("password", Secret("")),
            settings=CarrierSettings(**values | {"uncertain": UncertainPolicy(values.get("uncertain", "hold"))}),
        )

    def _is_carrier_whole(self, place: Place, kind: object, values: Mapping[str, Any]) -> bool:
        """Whether what stands in a carrier's entry goes together, and nothing its kind needs is missing."""
        if values.get("uncertain") == UncertainPolicy.QUERY and kind in self._known.unasked_kinds:
            others = ", ".join(sorted(set(UncertainPolicy) - {UncertainPolicy.QUERY}))
            words = f"'query' cannot be: kind {kind!r} does not find a message by our reference; write one of {others}"
            self._complain_of(place, "uncertain", words)
            return False
        objection = self._known.option_objections.get(str(kind))
        against = objection(values.get("options", {})) if objection else ""
        if against:
            self._complain_of(place, "options", against)
            return False
        needed = () if kind in (SIMULATED, SMPP) else ("url", "login", "password")
        missing = [key for key in needed if not values.get(key, "") and values.get(key, "") is not None]
        for key in missing:
            self._complain_of(place, key, f"is missing: a carrier of kind {kind!r} needs it")
        return not missing

    def route(self, place: Place, table: dict[str, Any]) -> RouteWish | None:
        values = self._values(place, table, ROUTE_KEYS)
        if values is None:
            return None
        if not values["carriers"]:
            self._complain_of(place, "carriers", "must name at least one carrier")
        return RouteWish(
            prefix=values["prefix"],
            service=Service(values["service"]) if "service" in values else None,
            carriers=values["carriers"],
            price_micros=values["price"],
        )

    def number(self, place: Place, table: dict[str, Any]) -> NumberWish | None:
        values = self._values(place, table, NUMBER_KEYS)
        if values is None:
            return None
        msisdn = parse_msisdn(values["number"])  # a short code says nothing of its country
        return NumberWish(**{"country": (country_of(msisdn) if msisdn else "") or ""} | values)

    def _entries(
        self, tables: Mapping[str, Any], kind: str, *, is_quiet: bool = False
    ) -> list[tuple[Place, dict[str, Any]]]:
        entries = tables.get(kind, [])
        is_list = isinstance(entries, list) and len(entries) <= ENTRIES_MAX
        if not (is_list and all(isinstance(each, dict) for each in entries)):
            if not is_quiet:
                words = f"write each {kind} as a table under the header [[{kind}]], at most {ENTRIES_MAX} of them"
                self.problems.append(Problem("", 0, kind, words, is_said=True))
            return []
        return [(Place(kind, index, title_of(kind, index, table)), table) for index, table in enumerate(entries)]

    def _values(
        self,
        place: Place,
        table: dict[str, Any],
        keys: Mapping[str, Key],
        kept: Mapping[str, Any] = NOTHING_KEPT,
    ) -> dict[str, Any] | None:
        """What stands in an entry, read; None where something in it is wrong."""
        problems_count = len(self.problems)
        values = {}
        for name, value in table.items():
            if name not in keys:
                article = "an" if place.kind == "account" else "a"
                self._complain_of(place, name, f"is no key of {article} {place.kind}{suggestion(name, keys)}")
                continue
            if value is None and name in kept:
                values[keys[name].field or name] = kept[name]
                continue
            try:
                values[keys[name].field or name] = keys[name].read(value)
            except ValueError as error:
                self._complain_of(place, name, str(error))
        for name, key in keys.items():
            if key.is_required and name not in table:
                self._complain_of(place, name, "is missing")
        return values if len(self.problems) == problems_count else None

    def _complain_of(self, place: Place, key: str, words: str) -> None:
        self.problems.append(Problem(place.kind, place.before_count, key, words, place.title))


# What entries have to do with each other


def clashes(
    accounts: Sequence[AccountWish | None],
    carriers: Sequence[CarrierWish | None],
    routes: Sequence[RouteWish | None],
    offered: Sequence[NumberWish | None],
) -> Iterator[Problem]:
    """What two entries want that only one can have; entries that could not be read are None."""
    yield from doubles("account", "name", [(one.name,) if one else () for one in accounts], "name {!r}")
    yield from doubles("account", "numbers", [one.settings.numbers if one else () for one in accounts], "number {!r}")
    digests = [one.settings.api_key_digest if one else "" for one in accounts]
    yield from doubles("account", "api_key", [(digest,) if digest else () for digest in digests], "api_key")
    yield from doubles("carrier", "name", [(one.name,) if one else () for one in carriers], "name {!r}")
    keys = [(f"{one.prefix} {one.service or ''}".strip(),) if one else () for one in routes]
    yield from doubles("route", "prefix", keys, "prefix and service {!r}")
    yield from doubles("number", "number", [(one.number,) if one else () for one in offered], "number {!r}")
    given = {number for one in accounts if one for number in one.settings.numbers}
    for index, wish in enumerate(offered):
        if wish is not None and wish.number in given:
            words = f"number {wish.number!r} stands among the numbers of an account: remove it there or here"
            yield Problem("number", index, "number", words, "number", is_said=True)


def doubles(kind: str, key: str, owned: Sequence[tuple[str, ...]], words: str) -> Iterator[Problem]:
    """What may stand in one entry of a kind only; `owned` is what stands in each of them."""
    seen: dict[str, int] = {}
    for index, values in enumerate(owned):
        for value in values:
            first = seen.setdefault(value, index)
            if first != index:
                words_here = f"{words.format(value)} is taken by "
                yield Problem(kind, index, key, words_here, kind, first=first, is_said=True)


def loose_ends(
    routes: Sequence[RouteWish | None], offered: Sequence[NumberWish | None], carrier_names: Collection[Any]
) -> Iterator[Problem]:
    """Routes and numbers that name a carrier which is not there."""
    for index, route in enumerate(routes):
        for name in route.carriers if route else ():
            if name not in carrier_names:
                words = f"must be carriers of this gateway: {no_carrier(name, carrier_names)}"
                title = title_of("route", index, {"prefix": route.prefix if route else ""})
                yield Problem("route", index, "carriers", words, title)
    for index, number in enumerate(offered):
        if number is not None and number.carrier and number.carrier not in carrier_names:
            words = f"must be a carrier of this gateway: {no_carrier(number.carrier, carrier_names)}"
            title = title_of("number", index, {"number": number.number})
            yield Problem("number", index, "carrier", words, title)


def told(problems: Iterable[Problem], text: str, file_name: str) -> str:
    """The mistakes of a file, each with its line, in their order."""
    lines = Lines(text)
    sentences = sorted((line_of(one, lines), one.sentence(of_line(one, lines))) for one in problems)
    words = [f"{file_name}:{line}: {sentence}" for line, sentence in sentences]
    hidden_count = len(words) - PROBLEMS_SHOWN_MAX
    more = [f"{file_name}: and {hidden_count} more"] if hidden_count > 0 else []
    return "\n".join(words[:PROBLEMS_SHOWN_MAX] + more)


def line_of(problem: Problem, lines: "Lines") -> int:
    if not problem.kind:
        return lines.of_word(problem.key) if problem.key else 1
    return lines.of_entry(problem.kind, problem.before_count, "" if problem.first >= 0 else problem.key)


def of_line(problem: Problem, lines: "Lines") -> str:
    """The entry that was there first, in words."""
    return f"the {problem.kind} of line {lines.of_entry(problem.kind, problem.first)}" if problem.first >= 0 else ""


def as_carrier(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of an SMPP carrier in the words that all carriers have: where it is becomes a URL, who we are there a
    login, and how we bind stands among its options."""
    own = ("host", "port", "tls", "system_id", *BIND_KEYS)
    is_secure = values.get("tls", False)
    host = f"[{values['host']}]" if ":" in values["host"] else values["host"]
    port = values.get("port", SMPP_TLS_PORT if is_secure else SMPP_PORT)
    return {name: value for name, value in values.items() if name not in own} | {
        "url": f"{'smpps' if is_secure else 'smpp'}://{host}:{port}",
        "login": values["system_id"],
        "password": None if values["password"] is None else Secret(values["password"]),
        "options": values.get("options", {}) | {name: str(values[name]) for name in BIND_KEYS if name in values},
    }


def no_carrier(name: str, carrier_names: Iterable[object]) -> str:
    near = suggestion(name, [each for each in carrier_names if isinstance(each, str)])
    return f"there is no carrier {name!r}{near or '; add it as a [[carrier]]'}"


def title_of(kind: str, index: int, table: Mapping[str, Any]) -> str:
    """An entry in words: by its name or prefix, else by its place."""
    name = table.get({"route": "prefix", "number": "number"}.get(kind, "name"))
    return f"{kind} {name!r}" if isinstance(name, str) and len(name) <= NAME_MAX else f"{kind} number {index + 1}"


class Lines:
    """Where things stand in a TOML text, as far as lines tell: the first line that looks right."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._headers: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[\[\s*(\w+)\s*\]\]", line)
            if header and header[1] in self._headers:
                self._headers[header[1]].append(number)

    def of_entry(self, kind: str, index: int, key: str = "") -> int:
        """The line of a key in the `index`-th entry of a kind, else of the entry's header, else the first."""
        headers = self._headers[kind]
        if index >= len(headers):
            return self.of_word(kind)
        header = headers[index]
        if key:
            own = re.compile(rf"""\s*(?:\[\s*{kind}\s*\.\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
            for number, line in enumerate(self._lines[header:], header + 1):
                if re.match(r"\s*\[\[", line):
                    break
                if own.match(line):
                    return number
        return header

    def of_word(self, word: str) -> int:
        return next((number for number, line in enumerate(self._lines, 1) if word in line), 1)
