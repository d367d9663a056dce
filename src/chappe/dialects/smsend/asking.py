"""One authenticated request as the flows of this dialect see it, the answers they give, and how both are coded.

What clients send is forgiven a good deal, because clients in ten languages do send it: booleans as strings, numbers as
strings and strings as numbers, lists as objects with index keys, JSON in windows-1252 (4.4, wire 1.1).
"""

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from chappe.core.centre import Outcome, Refusal, Refused
from chappe.core.model import Account
from chappe.dialects.base import HttpRequest, HttpResponse, NorthFlow, json_response, reason_of, text_of
from chappe.dialects.smsend.facts import FAULTS, PAGE_SIZE_MAX, RETRY_AFTER_S, Fault

WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")


class Asked(Struct, frozen=True, kw_only=True):
    """Who asks what. `ids` are the named parts of the path; names of `query` are in lower case: read it by `field`."""

    request: HttpRequest
    account: Account
    ids: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None  # a dict or list, as the route wants; None where it wants no body

    def field(self, name: str) -> str:
        """A query field, its name in any letter case; empty where it is missing."""
        return self.query.get(name.lower(), "").strip()

    def number(self, name: str) -> str:
        """A number in the query; a blank before it is a plus sign that nobody escaped."""
        written = self.query.get(name.lower(), "")
        return ("+" if written.startswith(" ") else "") + written.strip()


class Route(Struct, frozen=True):
    """One row of the method table (4.3): `{name}` in a path is an id, which arrives as `Asked.ids["name"]`.

    `body` is what the JSON body must be: dict, list, or None where there is none to read. `hides_keys`: bad keys are
    answered with 404 instead of 401.
    """

    method: str
    path: str
    flow: Callable[[Asked], NorthFlow]
    body: type | None = None
    hides_keys: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


# Reading


def number_of(written: object) -> int | None:
    """A whole number of at most 63 bits, 0 or more, as JSON brings it or as a string; None for anything else."""
    if isinstance(written, str):
        written = int(written) if WHOLE_NUMBER.fullmatch(written.strip()) else None
    if isinstance(written, bool) or not isinstance(written, int):
        return None
    return written if 0 <= written < 1 << 63 else None


def string_of(written: object) -> str | None:
    """A string, a number as one, and nothing (null, or absent) as the empty one; None for anything else."""
    if written is None:
        return ""
    if isinstance(written, str):
        return written
    return str(written) if isinstance(written, int) and not isinstance(written, bool) else None


def flag_of(written: object) -> bool:
    """A boolean: true, 1, or a string that says so (4.4)."""
    return written.strip().lower() in ("true", "1") if isinstance(written, str) else written == 1


def list_of(written: object) -> list[Any] | None:
    """A list, an object with index keys as one, or one bare value (4.4); None where there is nothing."""
    if isinstance(written, list):
        return written
    if isinstance(written, dict):
        return list(written.values())
    return None if written is None or written == "" else [written]


def read_json(body: bytes, kind: type) -> Any:
    """The body as a dict or list; `Refused` where it is none. An object with index keys is a list too."""
    try:
        written = msgspec.json.decode(text_of(body).removeprefix("\ufeff"))
    except (msgspec.DecodeError, RecursionError):
        return Refused(Refusal.BAD_REQUEST, "the body is not JSON")
    if kind is list and isinstance(written, dict):
        return list(written.values())
    return written if isinstance(written, kind) else Refused(Refusal.BAD_REQUEST, "the body is of the wrong kind")


def id_of(asked: Asked, name: str) -> int:
    """An id of ours in the path; 0, which nothing has, where it is none."""
    return number_of(asked.ids[name]) or 0


def unquoted(part: str) -> str:
    return unquote(part, errors="replace")


class Page(Struct, frozen=True):
    """Which part of a list is asked for: numbers count from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def page_of(asked: Asked, size: int = 10) -> Page | Refused:
    """`pageNumber` and `pageSize`; a size beyond 1,000 is 1,000 [P]."""
    numbers = [number_of(asked.field(name) or default) for name, default in (("pageNumber", 1), ("pageSize", size))]
    match numbers:
        case [int(number), int(size)] if 0 < number < 1 << 31 and size > 0:
            return Page(number, min(size, PAGE_SIZE_MAX))
    return Refused(Refusal.BAD_REQUEST, "pageNumber and pageSize are whole numbers from 1")


# Answering


def paged(page: Page, total: int, name: str, items: list[Any]) -> HttpResponse:
    """One page of a list: 4.9, 4.10, 4.12."""
    return json_response(
        {"result": "OK", "pageNumber": page.number, "pageSize": page.size, "total": total, name: items}
    )


def located(path: str, status: int = 200, body: bytes = b"") -> HttpResponse:
    """Made or changed, and where it is now (4.3): a path below the root."""
    headers = ((b"content-type", b"application/json; charset=utf-8"), (b"location", path.encode()))
    return HttpResponse(status=status, headers=headers, body=body)


EMPTY = HttpResponse(headers=((b"content-type", b"application/json; charset=utf-8"),))


def refuse(outcome: Outcome) -> HttpResponse:
    """4.15: one object that serves every client known; the text is ours, and what is wrong in detail behind it."""
    refused = outcome if isinstance(outcome, Refused) else None
    return tell(FAULTS[reason_of(outcome)], refused)


def tell(fault: Fault, refused: Refused | None = None) -> HttpResponse:
    text = f"{fault.text}: {refused.detail}" if refused and refused.detail else fault.text
    after_s = math.ceil((refused and refused.retry_after_s) or RETRY_AFTER_S)
    headers = ((b"retry-after", str(after_s).encode()),) if fault.status in (429, 503) else ()
    return json_response({"result": text, "error_code": fault.code, "error_message": text}, fault.status, headers)
