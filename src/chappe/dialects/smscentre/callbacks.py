"""What reaches a customer's handler, and what reaches ours: statuses and inbound messages, both ways (5).

The handler's address says how it wants to be called: `charset` and `fmt`, and as `md5`, `sha1` or `crc32` the secret
that its control value is made with. All its parameters are repeated in the body, the secret replaced by the value.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from hashlib import md5, sha1
from hmac import compare_digest
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec

from chappe.core.model import Inbound, Receipt, Report
from chappe.dialects.base import (
    FORM_HEADERS,
    CallbackTarget,
    HttpRequest,
    Upstream,
    decimal_of,
    fields_of,
    target_of,
    urlencoded_fields,
)
from chappe.dialects.smscentre import formats
from chappe.dialects.smscentre.facts import HASHES, TYPES, WINDOWS_1251, Charset, Fate, fate_of, state_of
from chappe.dialects.smscentre.fields import read_fields, value_of
from chappe.dialects.smscentre.shapes import OF_INBOUND, OF_STATUS
from chappe.dialects.smscentre.times import written_time

CONTROLS: dict[str, Callable[[bytes], str]] = {  # in HASHES' order; that crc32 is unsigned and decimal is ours (5.1)
    "md5": lambda octets: md5(octets, usedforsecurity=False).hexdigest(),
    "sha1": lambda octets: sha1(octets, usedforsecurity=False).hexdigest(),
    "crc32": lambda octets: str(zlib.crc32(octets)),
}
CODE = re.compile(r"-?[0-9]{1,3}")
WAITCALL = b"waitcall"  # a confirmed number, not a message: 5


def control_value(kind: str, values: Mapping[bytes, bytes], names: tuple[str, ...], secret: bytes) -> str:
    """The hash of the values and the secret, in the bytes that go over the wire (5.1)."""
    return CONTROLS[kind](b":".join([*(values.get(name.encode(), b"") for name in names), secret]))


# North: we call


def write_receipt(target: CallbackTarget, report: Report) -> HttpRequest:
    """5.2: the certain names first, then those that handlers may read."""
    fate, kind = fate_of(report), TYPES[report.coding]
    members = {
        "id": report.reference or str(report.submission_id),
        "phone": report.recipient,
        "status": fate.status,
        "time": written_time(report.changed_ms, target.timezone),
        "ts": report.changed_ms // 1000,
        "err": fate.err,
        "cnt": report.segments,
        "cost": decimal_of(report.price_micros, decimals_max=6),
        "sender": report.originator,
        "type": kind,
        "flag": kind,
    }
    return call(target, members, OF_STATUS)


def write_inbound(target: CallbackTarget, inbound: Inbound) -> HttpRequest:
    """5.2."""
    members = {
        "id": inbound.reference,
        "phone": inbound.originator,
        "mes": inbound.text,
        "to": inbound.recipient,
        "time": written_time(inbound.received_ms, target.timezone),
        "ts": inbound.received_ms // 1000,
    }
    return call(target, members, OF_INBOUND)


def call(target: CallbackTarget, members: Mapping[str, object], controlled: tuple[str, ...]) -> HttpRequest:
    """A POST with these members and those of the address; ours win where both have a name. The secret stands nowhere in
    it, not in the address either: ours."""
    origin, path, query = target_of(target.url)
    given = urlencoded_fields(query)
    wanted = read_fields(given, WINDOWS_1251)
    values = {name.encode(): str(value).encode(wanted.codec, "replace") for name, value in members.items()}
    secrets = {kind: given[kind.encode()] for kind in HASHES if given.get(kind.encode())}
    if secrets:
        given |= {
            kind.encode(): control_value(kind, values, controlled, secret).encode() for kind, secret in secrets.items()
        }
        query = form_of(given)
    passed = {name: value for name, value in given.items() if name not in values}
    headers, body = write_body(wanted.fmt, wanted.charset, members, values | passed)
    return HttpRequest(method="POST", origin=origin, path=path, query=query, headers=headers, body=body)


def write_body(
    fmt: int,
    charset: Charset,
    members: Mapping[str, object],
    values: Mapping[bytes, bytes],
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """A form; or with `fmt` 2 and 3 XML and JSON, whose shape is ours (5). Text is as it was when it was hashed."""
    if fmt not in (formats.XML, formats.JSON):
        return FORM_HEADERS, form_of(values)
    texts = {
        name.decode(charset.codec, "replace"): value.decode(charset.codec, "replace") for name, value in values.items()
    }
    typed = {name: members[name] if isinstance(members.get(name), int) else text for name, text in texts.items()}
    body = formats.xml_text("result", typed) if fmt == formats.XML else formats.json_text(typed)
    response = formats.respond(fmt, charset, body)
    return response.headers, response.body


def form_of(values: Mapping[bytes, bytes]) -> bytes:
    return b"&".join(quoted(name) + b"=" + quoted(value) for name, value in values.items())


def quoted(octets: bytes) -> bytes:
    return quote_from_bytes(octets, safe=" ").replace(" ", "+").encode()


# South: we are called


def read_receipt(upstream: Upstream, request: HttpRequest) -> Receipt | None:
    """5: a status by our id, and by nothing else: an inbound message and a confirmed number are none."""
    fields = callback_fields(request)
    texts = read_fields(fields, WINDOWS_1251)
    reference, status, err = texts["id"].strip(), texts["status"].strip(), texts["err"].strip()
    if b"mes" in fields or WAITCALL in fields or not (reference and CODE.fullmatch(status)):
        return None
    fate = Fate(int(status), int(err) if CODE.fullmatch(err) else 0)
    state = state_of(fate)
    if state is None or not is_genuine(upstream, fields, OF_STATUS):
        return None
    detail = f"{fate.status} {fate.err}" if fate.err else str(fate.status)
    return Receipt(reference=reference, state=state, recipient=texts["phone"].strip().lstrip("+"), detail=detail)


def read_inbound(upstream: Upstream, request: HttpRequest) -> Inbound | None:
    """5: `mes` tells an inbound message; one without both numbers is none."""
    fields = callback_fields(request)
    texts = read_fields(fields, WINDOWS_1251)
    originator, recipient = texts["phone"].strip().lstrip("+"), texts["to"].strip().lstrip("+")
    if b"mes" not in fields or not (originator and recipient) or not is_genuine(upstream, fields, OF_INBOUND):
        return None
    return Inbound(reference=texts["id"].strip(), originator=originator, recipient=recipient, text=texts["mes"])


def callback_fields(request: HttpRequest) -> dict[bytes, bytes]:
    """Query and body merged; a JSON body too, its text in the charset that the rest is in (5)."""
    if request.body.lstrip()[:1] != b"{":
        return fields_of(request)
    fields = urlencoded_fields(request.query)
    codec = read_fields(fields, WINDOWS_1251).codec
    try:
        members: Any = msgspec.json.decode(request.body.decode(codec, "replace"))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return fields
    return fields | {
        name.encode(codec, "replace"): value_of(value).decode().encode(codec, "replace")
        for name, value in members.items()
    }


def is_genuine(upstream: Upstream, fields: Mapping[bytes, bytes], names: tuple[str, ...]) -> bool:
    """Whether the control value is right, where the carrier has a `callback_secret`; of which kind it is,
    `callback_hash` tells (5.1). crc32 is read in decimal and in hexadecimal digits."""
    secret = upstream.options.get("callback_secret", "")
    if not secret:
        return True
    kind = upstream.options.get("callback_hash", HASHES[0]).lower()
    if kind not in CONTROLS:
        return False
    given = fields.get(kind.encode(), b"").strip().lower()
    right = control_value(kind, fields, names, secret.encode())
    if kind == "crc32" and compare_digest(given, f"{int(right):08x}".encode()):
        return True
    return compare_digest(given, right.encode())
