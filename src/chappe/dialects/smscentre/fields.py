"""What a request asks for: its fields, the charset they are in, and who asks.

Values stay bytes until the charset is known, because the request itself names it (1.3), and because binary messages
are no text at all.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chappe.core.centre import Call, Outcome
from chappe.core.model import Account
from chappe.core.sessions import Proof
from chappe.dialects.base import Flow, HttpRequest, HttpResponse, NorthFlow, fields_of, log_in
from chappe.dialects.smscentre import formats
from chappe.dialects.smscentre.facts import CHARSETS, METHODS, PARAMETERS, UTF_8, WINDOWS_1251, Charset, fault_of

Command = Callable[["Asked", Account], Flow[Call, Outcome, HttpResponse]]


class Asked(Struct, frozen=True, kw_only=True):
    """A request: its fields as bytes, what decodes them, and the charset and the format of the answer (1.3, 1.4)."""

    fields: Mapping[bytes, bytes]
    codec: str
    charset: Charset
    fmt: int = 0
    has_known_charset: bool = True

    def __getitem__(self, name: str) -> str:
        """A field as text; a missing one reads as an empty one, a byte that the charset has not as U+FFFD."""
        return self.fields.get(name.encode(), b"").decode(self.codec, "replace")

    def __contains__(self, name: str) -> bool:
        return name.encode() in self.fields

    def is_on(self, name: str) -> bool:
        """Whether a switch is set; clients send 0 and nothing for "no" (1.1)."""
        return self[name].strip() not in ("", "0")


def command(does: Command, read: Callable[[HttpRequest], Asked] | None = None) -> Callable[[HttpRequest], NorthFlow]:
    """A flow that reads the request, finds out who asks, and does what they ask."""

    def begin(request: HttpRequest) -> NorthFlow:
        asked = (read or read_form)(request)
        if not asked.has_known_charset:
            return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
        account = yield from log_in(*credentials(asked))
        if not isinstance(account, Account):
            return formats.refuse(asked.fmt, asked.charset, fault_of(account))
        return (yield from does(tolerant(asked) if account.is_flexible else asked, account))

    return begin


def read_form(request: HttpRequest) -> Asked:
    """Query and body, merged; another method says nothing."""
    return read_fields(fields_of(request) if request.method in METHODS else {}, WINDOWS_1251)


def read_json(request: HttpRequest) -> Asked:
    """A JSON object of the same names, answered in JSON, in UTF-8 unless another charset is named (2.9)."""
    try:
        members = msgspec.json.decode(request.body) if request.method in METHODS else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        members = {}
    named = members.items() if isinstance(members, dict) else ()
    fields = {name.encode("utf-8", "replace"): value_of(value) for name, value in named}
    return msgspec.structs.replace(read_fields(fields, UTF_8), codec=UTF_8.codec, fmt=formats.JSON)


def value_of(value: Any) -> bytes:
    """A member as a form would bring it: true is 1, a list is joined by commas, without the lists in it."""
    if isinstance(value, list):
        return b",".join(value_of(one) for one in value if not isinstance(one, list))
    if value is None or isinstance(value, bool | dict):
        return b"1" if value is True else b""
    return str(value).encode("utf-8", "replace")


def read_fields(fields: Mapping[bytes, bytes], default: Charset) -> Asked:
    written = fields.get(b"charset", b"").decode("ascii", "replace").strip().lower().replace("-", "")
    charset = CHARSETS.get(written) if written else default
    fmt = fields.get(b"fmt", b"").strip()
    return Asked(
        fields=fields,
        codec=(charset or default).codec,
        charset=charset or default,
        fmt=int(fmt) if fmt in (b"1", b"2", b"3") else 0,
        has_known_charset=charset is not None,
    )


def tolerant(asked: Asked) -> Asked:
    """For accounts that ask for it: UTF-8 where no charset is named and every value is valid UTF-8 (1.3)."""
    if "charset" in asked:
        return asked
    try:
        b"\0".join(asked.fields.values()).decode()
    except UnicodeDecodeError:
        return asked
    return msgspec.structs.replace(asked, codec=UTF_8.codec, charset=UTF_8)


def credentials(asked: Asked) -> tuple[str, str, Proof]:
    """The key where there is one; a password without a login is a key as well (1.2)."""
    name, password, key = asked["login"], asked["psw"], asked["apikey"].strip()
    if key:
        return name, key, Proof.API_KEY
    return (name, password, Proof.DIGEST) if name else ("", password, Proof.API_KEY)
