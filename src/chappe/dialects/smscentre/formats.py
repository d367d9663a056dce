"""The four formats of an answer: a line, numbers split by commas, XML, and JSON in the provider's own layout (1.4).

Text is written raw in the charset that was asked for. What that charset has not is escaped where the format can (JSON,
XML) and a question mark where it cannot.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chappe.dialects.base import HttpResponse
from chappe.dialects.smscentre.facts import NUMERIC_ID_MAX, WITH_ID, Charset, Fault

LINE, NUMBERS, XML, JSON = range(4)
MEDIA_TYPES = {LINE: "text/plain", NUMBERS: "text/plain", XML: "text/xml", JSON: "application/json"}  # 9

Members = Mapping[str, Any]  # names and values: text, whole numbers, or rows of the same

NOT_ASCII = re.compile(r"[^\x00-\x7f]")
XML_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
NOT_PLAIN_XML = re.compile(r"[&<>]|[\x00-\x08\x0b\x0c\x0e-\x1f]")
WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
BREAKS = re.compile(r"[\r\n]+")


def respond(fmt: int, charset: Charset, body: str) -> HttpResponse:
    """A body in its charset, named in the header."""
    content_type = f"{MEDIA_TYPES[fmt]}; charset={charset.name}".encode()
    return HttpResponse(headers=((b"content-type", content_type),), body=encode(fmt, charset, body))


def encode(fmt: int, charset: Charset, body: str) -> bytes:
    if fmt == JSON:
        try:
            return body.encode(charset.codec)
        except UnicodeEncodeError:
            body = NOT_ASCII.sub(lambda found: escaped(found[0], charset), body)
    return body.encode(charset.codec, "xmlcharrefreplace" if fmt == XML else "replace")


def escaped(character: str, charset: Charset) -> str:
    """The character, or its JSON escape where the charset has it not."""
    try:
        character.encode(charset.codec)
    except UnicodeEncodeError:
        return json.dumps(character)[1:-1]
    return character


def json_text(value: object) -> str:
    """One member a line, no indentation, no line break behind the last brace (1.4); the layout of rows is ours."""
    if isinstance(value, Mapping):
        return "{\n" + ",\n".join(f'"{name}": {json_text(one)}' for name, one in value.items()) + "\n}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(json_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def xml_text(name: str, value: object, row: str = "sms") -> str:
    """An element: one child a line, rows as elements called `row` (9); a control character has no place in XML."""
    if isinstance(value, Mapping):
        children = [xml_text(child, one, "phone") for child, one in value.items()]
    elif isinstance(value, list | tuple):
        children = [xml_text(row, one) for one in value]
    else:
        return f"<{name}>{NOT_PLAIN_XML.sub(lambda found: XML_ESCAPES.get(found[0], ''), str(value))}</{name}>"
    return "\n".join([f"<{name}>", *children, f"</{name}>"])


def line_of(members: Members) -> str:
    """`name = value, name = value` (4.7)."""
    return ", ".join(f"{name} = {one_line(value)}" for name, value in members.items())


def numbers_of(values: Iterable[object]) -> str:
    return ",".join(map(one_line, values))


def one_line(value: object) -> str:
    """A value where a line break would end the row: ours."""
    return BREAKS.sub(" ", str(value))


def rows(fmt: int, charset: Charset, found: Sequence[Members]) -> HttpResponse:
    """A list: a line for each row, or all of them in one document."""
    if fmt == JSON:
        return respond(fmt, charset, json_text(found))
    if fmt == XML:
        return respond(fmt, charset, xml_text("result", found))
    written = map(line_of, found) if fmt == LINE else (numbers_of(row.values()) for row in found)
    return respond(fmt, charset, "\n".join(written))


def done(fmt: int, charset: Charset) -> HttpResponse:
    """Nothing to tell but that it was done (4, 9)."""
    if fmt == JSON:
        return respond(fmt, charset, json_text({"result": "OK"}))
    return respond(fmt, charset, "<result>OK</result>" if fmt == XML else "OK")


def refuse(fmt: int, charset: Charset, fault: Fault, client_id: str = "") -> HttpResponse:
    """The error of 1.5; some codes name the message that was meant, where the client named it."""
    named = client_id if fault.code in WITH_ID else ""
    if fmt == LINE:
        return respond(fmt, charset, f"ERROR = {fault.code} ({fault.text})" + (f", ID - {named}" if named else ""))
    if fmt == NUMBERS:
        return respond(fmt, charset, f"{named or 0},-{fault.code}")
    members: dict[str, object] = {"error": fault.text, "error_code": fault.code}
    if named:
        members["id"] = id_of(named)
    return respond(fmt, charset, xml_text("result", members) if fmt == XML else json_text(members))


def id_of(reference: str) -> int | str:
    """A number where the clients' own integers hold it, else text (9)."""
    number = int(reference) if WHOLE_NUMBER.fullmatch(reference) else None
    return number if number is not None and number <= NUMERIC_ID_MAX else reference
