"""Golden files: conversations between a client, a dialect and a message centre, one sign for each kind of step.

    == smsfox 5.1 [S] a heading: the paragraph of the provider's facts, its evidence mark, what is shown
    >  an HTTP request: request line, headers, empty line, body
    ?  what a message centre is asked: a record's name and its fields as JSON
    !  what it answers, likewise
    <  an HTTP answer: status, headers, empty line, body; or `no answer`, or `no answer, certainly`
    =  the answer that most dialects give: 200, text/plain; charset=utf-8, and exactly this body
    :  likewise in JSON: 200, application/json; charset=utf-8, and exactly this body

A record is any of the contract or the model, by its name. What it says of an account is left out: that is alice, or
what the last `! Account` made of her, as in `! Account {"timezone": "Europe/Rome"}`; where a call may do without an
account, `"account": "alice"` gives it one. A secret is written as its text. What our south half is asked is written
in small letters (`submit`, `query`, `cancel`, `balance`, `log_in`), with the carrier's `url`, `options` and `session`
among the fields where they matter.

Who speaks first and last tells the direction: `> ... <` is our north half, `? ... !` our south half, `? >` a callback
that leaves us, `> !` one that reaches us. Bodies are bytes: line ends in the file do not count, `\\r`, `\\n`, `\\xE9`
and `\\\\` are written out. Lines that begin with `#` are remarks.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chappe.core import centre, model, numbers, phonebook, reselling, sessions
from chappe.core.centre import Quote, Submit
from chappe.core.model import Account, Inbound, Receipt, Report, Secret, Submission
from chappe.dialects.base import (
    CallbackTarget,
    Dialect,
    Failure,
    Flow,
    Headers,
    HttpRequest,
    HttpResponse,
    Reply,
    Upstream,
    plain,
    run,
)
from dialects.centres import ACCOUNT, flow_of, upstream_of

FOLDER = Path(__file__).parent / "golden"
JSON: Headers = ((b"content-type", b"application/json; charset=utf-8"),)


class Step(NamedTuple):
    sign: str  # > ? ! <
    content: object  # a record; or, of a question to the south half, its name and fields


class Case(NamedTuple):
    heading: str
    steps: list[Step]


def cases_of(dialect: Dialect) -> Iterator[Case]:
    """Every conversation in the golden files of a dialect."""
    for path in sorted((FOLDER / dialect.name).glob("*.golden")):
        for part in re.split(r"^== ", path.read_text("utf-8"), flags=re.M)[1:]:
            heading, _, lines = part.partition("\n")
            yield Case(heading, list(read_steps(dialect, lines.split("\n"))))


def read_steps(dialect: Dialect, lines: list[str]) -> Iterator[Step]:
    spoken = [(line[0], line[2:]) for line in lines if line and not line.startswith("#")]
    account = ACCOUNT
    for sign, group in itertools.groupby(spoken, key=lambda line: line[0]):
        content = [text for _, text in group]
        match sign:
            case ">":
                yield Step(">", read_request(content))
            case "<":
                yield Step("<", read_reply(content))
            case "=":
                yield Step("<", plain("\n".join(content)))
            case ":":
                yield Step("<", HttpResponse(headers=JSON, body="\n".join(content).encode()))
            case "?" | "!":
                record = read_record(dialect, account, "".join(content))
                account = record if isinstance(record, Account) else account
                yield Step(sign, record)
            case _:
                raise ValueError(f"no such sign: {sign}")


# HTTP


def read_request(lines: list[str]) -> HttpRequest:
    (method, target, *_), headers, body = read_http(lines)
    parts = urlsplit(target)
    origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
    query = parts.query.encode()
    return HttpRequest(method=method, origin=origin, path=parts.path, query=query, headers=headers, body=body)


def read_reply(lines: list[str]) -> Reply:
    if lines[0].startswith("no answer"):
        return Failure(is_certain=lines[0] == "no answer, certainly", detail="no answer")
    (status, *_), headers, body = read_http(lines)
    return HttpResponse(status=int(status), headers=headers, body=body)


def read_http(lines: list[str]) -> tuple[list[str], Headers, bytes]:
    head = list(itertools.takewhile(bool, lines))
    body = b"".join(unescape(line) for line in lines[len(head) + 1 :])
    headers = tuple(
        (name.encode(), value.strip().encode()) for name, _, value in (line.partition(":") for line in head[1:])
    )
    return head[0].split(" "), headers, body


ESCAPES = {b"\\r": b"\r", b"\\n": b"\n", b"\\\\": b"\\"}


def unescape(line: str) -> bytes:
    return re.sub(
        rb"\\x([0-9A-F]{2})|\\[rn\\]",
        lambda match: bytes.fromhex(match[1].decode()) if match[1] else ESCAPES[match[0]],
        line.encode(),
    )


# Records

Record = TypeVar("Record", bound=Struct)

RECORDS: dict[str, type[Struct]] = {
    name: kind
    for module in (model, centre, sessions, phonebook, numbers, reselling)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Struct)
}


def read_record(dialect: Dialect, account: Account, line: str) -> object:
    """A record of the contract; or, of a question to the south half, its name and fields."""
    name, _, written = line.partition(" ")
    fields: dict[str, Any] = json.loads(written or "{}")
    match name:
        case "None":
            return None
        case "Account":
            return msgspec.structs.replace(ACCOUNT, **values_of(Account, fields, ACCOUNT))
        case "Submit" | "Quote":
            submission = msgspec.structs.replace(record_of(Submission, fields), counting=dialect.north.counting)
            return (Submit if name == "Submit" else Quote)(account, submission)
        case "Upstream":
            session = {key: Secret(value) for key, value in fields.pop("session", {}).items()}
            return msgspec.structs.replace(upstream_of(dialect), session=session, **fields)
    if name not in RECORDS:
        return name, fields
    kind = RECORDS[name]
    takes_account = any(field.name == "account" and field.required for field in msgspec.structs.fields(kind))
    return record_of(kind, fields | ({"account": account.name} if takes_account else {}), account)


def record_of(kind: type[Record], written: Mapping[str, Any], account: Account = ACCOUNT) -> Record:
    """A record from its fields as JSON has them."""
    return kind(**values_of(kind, written, account))


def values_of(kind: type[Struct], written: Mapping[str, Any], account: Account) -> dict[str, object]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    assert written.keys() <= types.keys(), f"{kind.__name__} has no {written.keys() - types.keys()}"
    return {name: value_of(types[name], value, account) for name, value in written.items()}


def value_of(kind: Any, written: Any, account: Account) -> object:
    if kind is Secret:
        return Secret(written)
    return account if written == account.name and kind in (Account, Account | None) else msgspec.convert(written, kind)


# The conversation, held again


def replay(dialect: Dialect, steps: list[Step]) -> list[Step]:
    """The same conversation with our halves in their places: what they were given, and what they said."""
    match steps[0].sign, steps[-1].sign:
        case ">", "<":
            return replay_north(dialect, steps)
        case "?", "!":
            return replay_south(dialect, steps)
        case "?", ">":
            return [steps[0], Step(">", leave(dialect, *question(steps[0])))]
        case _:
            return [steps[0], Step("!", arrive(dialect, steps[0], steps[-1]))]


def replay_north(dialect: Dialect, steps: list[Step]) -> list[Step]:
    request = steps[0].content
    assert isinstance(request, HttpRequest)
    told, answers = [steps[0]], (step for step in steps if step.sign == "!")

    def answer(call: object) -> Any:
        step = next(answers)
        told.extend((Step("?", call), step))
        return step.content

    response = run(flow_of(dialect, request), answer)
    return [*told, Step("<", response)]


def replay_south(dialect: Dialect, steps: list[Step]) -> list[Step]:
    name, fields = question(steps[0])
    upstream = msgspec.structs.replace(
        upstream_of(dialect, url=fields.pop("url", "")),
        options=fields.pop("options", {}),
        session={key: Secret(value) for key, value in fields.pop("session", {}).items()},
    )
    told, answers = [steps[0]], (step for step in steps if step.sign == "<")

    def answer(request: object) -> Any:
        step = next(answers)
        told.extend((Step(">", request), step))
        return step.content

    outcome = run(south_flow(dialect, upstream, name, fields), answer)
    return [*told, Step("!", outcome)]


def south_flow(
    dialect: Dialect, upstream: Upstream, name: str, fields: dict[str, Any]
) -> Flow[HttpRequest, Reply, Any]:
    if name == "submit":
        return dialect.south.submit(upstream, record_of(Submission, fields))
    unsaid = {"query": {"originator": "", "recipient": ""}, "cancel": {"recipient": ""}}.get(name, {})
    south = dialect.south if hasattr(dialect.south, name) else dialect.south.numbers
    flow: Flow[HttpRequest, Reply, Any] = getattr(south, name)(upstream, **(unsaid | fields))
    return flow


def leave(dialect: Dialect, name: str, fields: dict[str, Any]) -> HttpRequest:
    target = record_of(CallbackTarget, fields["target"])
    if name == "receipt":
        assert dialect.north.receipt is not None
        return dialect.north.receipt(target, record_of(Report, fields["report"]))
    assert dialect.north.inbound is not None
    return dialect.north.inbound(target, record_of(Inbound, fields["inbound"]))


def arrive(dialect: Dialect, step: Step, expected: Step) -> Receipt | Inbound | None:
    request, upstream = step.content, upstream_of(dialect)
    assert isinstance(request, HttpRequest)
    receipt = dialect.south.receipt(upstream, request) if dialect.south.receipt else None
    inbound = dialect.south.inbound(upstream, request) if dialect.south.inbound else None
    return inbound if isinstance(expected.content, Inbound) else receipt or inbound


def question(step: Step) -> tuple[str, dict[str, Any]]:
    assert isinstance(step.content, tuple)
    name, fields = step.content
    return name, dict(fields)
