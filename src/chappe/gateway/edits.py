"""One entry of the configuration, put or removed by hand: read by the tables of the gateway file, held against all
others, and planned as if a whole file had said it.

An entry is a mapping with the keys of the gateway file; there a secret may be None, and so may each value of `options`,
which leaves it as it is. What is wrong is told by key.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chappe.gateway.configuration import Touched, as_it_is, impossible, route_name
from chappe.gateway.gateway_file import (
    KINDS,
    AccountWish,
    CarrierWish,
    GatewayFile,
    Known,
    NumberWish,
    Problem,
    Reading,
    RouteWish,
    Wish,
    clashes,
    loose_ends,
    title_of,
)
from chappe.store.configuration import StoredConfiguration

FIELDS = {"account": "accounts", "carrier": "carriers", "route": "routes", "number": "numbers"}  # of a GatewayFile
STABLE = ("account", "carrier")  # messages and money belong to them, under their names
NAME_KEYS = {"route": "prefix", "number": "number"}


class Edit(Struct, frozen=True, kw_only=True):
    """Put an entry, or remove it (`entry` is None)."""

    what: str  # account, carrier, route or number
    name: str = ""  # which one is changed, as a `Change` calls it; empty = a new one
    entry: dict[str, Any] | None = None
    seen: str = ""  # the mark of the entry that was looked at; empty = whatever it has become


class EditError(Exception):
    """What is wrong with an edit, in words by key; "" = with the whole."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key} {words}".strip() for key, words in errors.items()))
        self.errors = dict(errors)


class Overlapped(EditError):
    """Somebody else changed the entry since it was looked at, or removed it."""


class Wanted(NamedTuple):
    """What shall be, and which entries of it that is about."""

    file: GatewayFile
    touched: Touched


def name_of(wish: Wish) -> str:
    """What a `Change` calls an entry."""
    match wish:
        case RouteWish():
            return route_name(wish)
        case NumberWish():
            return wish.number
        case _:
            return wish.name


def mark_of(wish: Wish) -> str:
    """Changes with what an entry says."""
    return hashlib.sha256(msgspec.json.encode(wish)).hexdigest()[:16]


def entries_of(wanted: GatewayFile, what: str) -> Sequence[Wish]:
    entries: Sequence[Wish] = getattr(wanted, FIELDS[what])
    return entries


def find(file: GatewayFile, what: str, name: str) -> Wish | None:
    return next((one for one in entries_of(file, what) if name_of(one) == name), None)


def wanted_of(stored: StoredConfiguration, edit: Edit, known: Known) -> Wanted:
    """What the configuration would be. Raises EditError, Overlapped."""
    if edit.what not in KINDS:
        raise EditError({"": f"there is no such thing as {edit.what!r}; there are {', '.join(KINDS)}"})
    before = as_it_is(stored)
    entries = list(entries_of(before, edit.what))
    place = next((place for place, one in enumerate(entries) if edit.name and name_of(one) == edit.name), None)
    if edit.name and place is None:
        raise Overlapped({"": f"there is no {edit.what} {edit.name!r} any more"})
    there = entries[place] if place is not None else None
    if there is not None and edit.seen and mark_of(there) != edit.seen:
        raise Overlapped({"": f"somebody else changed {edit.what} {edit.name!r} meanwhile: look at it again"})
    names = {edit.name} if edit.name else set()
    if edit.entry is None:
        if place is None:
            raise EditError({"": f"say which {edit.what} is to be removed"})
        del entries[place]
    else:
        wish = read(edit, there, known)
        names.add(name_of(wish))
        if place is None:
            place = len(entries)
            entries.append(wish)
        else:
            entries[place] = wish
    after = msgspec.structs.replace(before, **{FIELDS[edit.what]: tuple(entries)})
    errors = dict(new_problems(stored, before, after, edit, place))
    if errors:
        raise EditError(errors)
    return Wanted(after, frozenset((edit.what, name) for name in names))


def read(edit: Edit, there: Wish | None, known: Known) -> Wish:
    """The entry as it is wanted. Raises EditError."""
    table = dict(edit.entry or {})
    kept: dict[str, Any] = {}
    if isinstance(there, AccountWish):
        secrets = dict.fromkeys(("password", "smpp_password", "webhook_secret"))
        kept = {**secrets, "api_key": there.settings.api_key_digest}
    elif isinstance(there, CarrierWish):
        kept = {"password": None}
        options = table.get("options")
        if isinstance(options, dict):
            table["options"] = {
                name: there.settings.options.get(name) if value is None else value for name, value in options.items()
            }
    reading = Reading(known)
    wish = reading.entry(edit.what, table, kept)
    if wish is None:
        raise EditError({one.key: one.words for one in reversed(reading.problems)})
    if there is not None and edit.what in STABLE and name_of(wish) != edit.name:
        words = "stays what it is: messages and money belong to it; add another one, and remove this"
        raise EditError({"name": words})
    if isinstance(wish, CarrierWish) and isinstance(there, CarrierWish):
        refuse_strangers(wish, there, (edit.entry or {}).get("options"))
    return wish


def refuse_strangers(wish: CarrierWish, there: CarrierWish, options: object) -> None:
    """What one provider was told in confidence is not told to another. Raises EditError."""
    if (wish.kind, origin_of(wish)) == (there.kind, origin_of(there)):
        return
    errors = {}
    if wish.password is None:
        errors["password"] = "must be written again: this is another provider, or another address of it"
    if isinstance(options, dict) and None in options.values():
        errors["options"] = "must be written again: this is another provider, or another address of it"
    if errors:
        raise EditError(errors)


def origin_of(wish: CarrierWish) -> tuple[str, str]:
    parts = urlsplit(wish.settings.url)
    return parts.scheme, parts.netloc


def new_problems(
    stored: StoredConfiguration, before: GatewayFile, after: GatewayFile, edit: Edit, place: int
) -> Iterator[tuple[str, str]]:
    """What was not wrong before, by key of the edited entry; "" where it is another entry's."""
    known = {identity(one) for one in whole_problems(stored, before)}
    elsewhere: list[str] = []
    for problem in whole_problems(stored, after):
        if identity(problem) in known:
            continue
        others = [each for each in (problem.first, problem.before_count) if each != place and each >= 0]
        is_here = problem.kind == edit.what and (place in (problem.first, problem.before_count))
        if is_here and edit.entry is not None:
            other = title_at(after, problem.kind, others[0]) if problem.first >= 0 and others else ""
            yield problem.key, f"{problem.words}{other}"
        else:
            where = title_at(after, problem.kind, problem.before_count)
            elsewhere.append(f"{where}: {problem.key} {problem.words}".rstrip())
    if elsewhere:
        yield "", "; ".join(elsewhere[:10])


def whole_problems(stored: StoredConfiguration, file: GatewayFile) -> Iterator[Problem]:
    yield from clashes(file.accounts, file.carriers, file.routes, file.numbers)
    yield from loose_ends(file.routes, file.numbers, {one.name for one in file.carriers})
    yield from impossible(stored, file)


def identity(problem: Problem) -> tuple[str, str, str, str]:
    return problem.kind, problem.key, problem.words, problem.title


def title_at(file: GatewayFile, kind: str, place: int) -> str:
    wish = entries_of(file, kind)[place]
    return title_of(kind, place, {NAME_KEYS.get(kind, "name"): name_of(wish)})
