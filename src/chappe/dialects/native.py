"""Ours: JSON over `/v1`, with API keys, and callbacks that whoever gets them can verify.

Strategy: what both ends of the wire must agree on stands here once, as records that msgspec reads and writes: requests,
answers, problems (RFC 9457), and the events of callbacks (Standard Webhooks). The north half that answers requests is
`listeners/native`, because it speaks of more than a contract call can say; it uses these records. The south half is
here, like every other.

Instants are RFC 3339, money decimal words beside a currency, ids decimal digits in strings.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chappe.core.centre import (
    RETRY_AFTER_MAX_S,
    Accepted,
    Balance,
    Cancelled,
    Refusal,
    Refused,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.ledger import format_micros
from chappe.core.lifecycle import VALIDITY_MAX_S
from chappe.core.model import Coding, Inbound, Priority, Receipt, Report, Secret, Service, State, Submission
from chappe.core.webhooks import NAMES, is_signed, secret_of, signature
from chappe.dialects.base import (
    CallbackTarget,
    Dialect,
    Failure,
    Flow,
    HttpRequest,
    HttpResponse,
    North,
    Reply,
    South,
    Upstream,
    answer_text,
    detail_of,
    micros_of,
    retry_after,
    target_of,
    unknown_answer,
)
from chappe.sms.numbers import country, parse_msisdn
from chappe.sms.segments import STANDARD

NAME = "chappe"
ROOT = "/v1"
RECIPIENTS_MAX = 10_000  # of one request
BODY_MAX = 8 << 20  # bytes
TEXT_MAX = 40_000  # characters: more than 255 segments hold
KEY_PREFIXES = ("live_", "test_")
JSON_TYPE = b"application/json"
PROBLEM_TYPE = b"application/problem+json"

Answer = TypeVar("Answer", bound=Struct)

# Problems


class Kind(Struct, frozen=True):
    """A kind of problem: its status, and what it is called."""

    status: int
    title: str


# Why something was not done, by the word that answers and callbacks have for it. What is no word of the contract is
# about the request itself.
PROBLEMS: dict[str, Kind] = {
    Refusal.UNAUTHORISED: Kind(401, "Who is asking could not be established"),
    Refusal.BAD_REQUEST: Kind(400, "Something in the request cannot be what it is"),
    Refusal.BAD_RECIPIENT: Kind(422, "The recipient is no number"),
    Refusal.BAD_ORIGINATOR: Kind(422, "The account may not send as this originator"),
    Refusal.EMPTY_TEXT: Kind(422, "There is no text"),
    Refusal.TEXT_TOO_LONG: Kind(422, "The text is too long"),
    Refusal.TOO_MANY_RECIPIENTS: Kind(422, "There are too many recipients"),
    Refusal.FORBIDDEN: Kind(403, "This is not allowed"),
    Refusal.BLOCKED: Kind(422, "The recipient wants no messages"),
    Refusal.DUPLICATE: Kind(409, "The same was asked a moment ago"),
    Refusal.NO_ROUTE: Kind(422, "No carrier takes messages to this recipient"),
    Refusal.NO_FUNDS: Kind(402, "There is too little money"),
    Refusal.NOT_FOUND: Kind(404, "There is no such thing"),
    Refusal.TOO_LATE: Kind(409, "It has moved on: this can no longer be done"),
    Refusal.THROTTLED: Kind(429, "Too many requests: come back later"),
    Refusal.OVERLOADED: Kind(503, "Too much is waiting: come back later"),
    Refusal.UNREACHABLE: Kind(502, "Whoever is needed for this cannot be reached"),
    Refusal.UNSUPPORTED: Kind(422, "This is not offered"),
    Refusal.INTERNAL: Kind(500, "It was not done, through our own fault"),
    "uncertain": Kind(500, "Nobody knows whether it was done"),
    "missing_scope": Kind(403, "The key lacks a scope"),
    "method_not_allowed": Kind(405, "This path has no such method"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body is no JSON"),
    "idempotency_key_reused": Kind(422, "The Idempotency-Key was used with another request"),
    "idempotency_in_progress": Kind(409, "The request with this Idempotency-Key is being carried out"),
    "idempotency_unknown": Kind(409, "The request with this Idempotency-Key was begun; what became of it is unknown"),
}
UNCERTAIN = "uncertain"
SECRET_OPTION = "webhook_secret"  # of a carrier: what its callbacks must be signed with


class FieldError(Struct, frozen=True):
    """What is wrong with one field of the request: where (JSON Pointer, RFC 6901; a parameter or header by its name),
    and why."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something was not done (RFC 9457). `code` is the last part of `type`."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    errors: tuple[FieldError, ...] = ()


def problem_of(code: str, detail: str = "", errors: tuple[FieldError, ...] = ()) -> Problem:
    kind = PROBLEMS[code]
    return Problem(
        type=f"{ROOT}/problems/{code}", title=kind.title, status=kind.status, code=code, detail=detail, errors=errors
    )


def problem_response(problem: Problem, retry_after_s: float | None = None) -> HttpResponse:
    headers = [(b"content-type", PROBLEM_TYPE)]
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="chappe"'))
    if retry_after_s:
        headers.append((b"retry-after", str(max(1, round(retry_after_s))).encode()))
    return HttpResponse(status=problem.status, headers=tuple(headers), body=msgspec.json.encode(problem))


def refuse(refused: Refused) -> HttpResponse:
    return problem_response(problem_of(refused.reason, refused.detail), refused.retry_after_s)


# Values

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
INSTANT_MAX_MS = 253_402_300_799_000  # the end of the year 9999

Instant = Annotated[datetime, Meta(tz=True, description="An instant, as RFC 3339 has it.")]
Id = Annotated[str, Meta(description="Decimal digits.", examples=["234611420917932038"])]
Phone = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="A number with its country code.", examples=["+447700900123"]),
]
Text = Annotated[str, Meta(max_length=TEXT_MAX, description="What the phone shows.")]
Name = Annotated[str, Meta(max_length=200, description="Your own id, up to 200 characters.")]


def instant_of(instant_ms: int) -> datetime:
    return EPOCH + min(max(instant_ms, 0), INSTANT_MAX_MS) * MILLISECOND


def optional_instant(instant_ms: int) -> datetime | None:
    """None for an instant that there is not (0)."""
    return instant_of(instant_ms) if instant_ms else None


def ms_of(instant: datetime) -> int:
    return (instant - EPOCH) // MILLISECOND


class Money(Struct, frozen=True):
    """An amount in decimals, such as 0.0100, and its currency (ISO 4217)."""

    amount: Annotated[str, Meta(pattern=r"^-?[0-9]{1,18}\.[0-9]{2,6}$", examples=["0.0100"])]
    currency: str


def money_of(amount_micros: int, currency: str) -> Money:
    return Money(format_micros(amount_micros), currency)


def number_of(written: str) -> str:
    """The digits of a number as people write it; the gateway says what is wrong with anything else."""
    return parse_msisdn(written.strip()) or written.strip()


def country_of(number: str) -> str:
    """Of a number in digits; empty = of none."""
    return (country(number) or "") if parse_msisdn(number, strict=True) else ""


# Sending


class PersonalMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One recipient with a text of their own, or with values for the variables of the common one."""

    to: Phone
    text: Text | UnsetType = UNSET
    variables: Annotated[dict[str, str], Meta(description="Stand for {name} in the text.")] | UnsetType = UNSET


class SendRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either `to` (one number or many) and a `text`, or `messages`, each with a text of its own or with variables."""

    to: Phone | Annotated[tuple[Phone, ...], Meta(min_length=1, max_length=RECIPIENTS_MAX)] | UnsetType = UNSET
    text: Text | UnsetType = UNSET
    messages: Annotated[tuple[PersonalMessage, ...], Meta(min_length=1, max_length=RECIPIENTS_MAX)] | UnsetType = UNSET
    originator: Annotated[
        str, Meta(max_length=64, description="What the phone shows as the sender; absent = the account's first.")
    ] = ""
    service: Service = Service.STANDARD
    priority: Annotated[Priority, Meta(description="Absent = by how many recipients there are.")] | None = None
    coding: Annotated[Coding, Meta(description="binary: the text is hexadecimal digits.")] = Coding.TEXT
    scheduled_at: Instant | None = None
    validity_s: Annotated[int, Meta(ge=1, le=VALIDITY_MAX_S, description="How long it may wait.")] | None = None
    reference: Name = ""
    callback_url: Annotated[
        str, Meta(max_length=2000, description="Where reports on this go; absent = the account's.")
    ] = ""
    wants_callbacks: bool = True
    all_or_nothing: Annotated[bool, Meta(description="Whether what is wrong with one recipient refuses them all.")] = (
        False
    )


class WhyNot(Struct, frozen=True, kw_only=True):
    """Why there is no message to a recipient: a word of /v1/problems."""

    code: Refusal
    title: str


class SentMessage(Struct, frozen=True, kw_only=True):
    """What became of one recipient: a message with an id, or a refusal."""

    id: Id | None
    recipient: str
    segments: int
    price: Money
    refusal: WhyNot | None = None


class SendAnswer(Struct, frozen=True, kw_only=True):
    """A submission that is kept, whatever happens to us. One entry for each recipient, in the order asked."""

    id: Id
    reference: str
    accepted_count: int
    refused_count: int
    segments: int
    price: Money
    messages: tuple[SentMessage, ...]


class MessageAnswer(Struct, frozen=True, kw_only=True):
    """One message as it is now."""

    id: Id
    submission_id: Id
    reference: str
    originator: str
    recipient: str
    text: str
    coding: Coding
    service: Service
    state: State
    reason: Annotated[str, Meta(description="Why it failed, where that is known.")]
    segments: int
    price: Money
    created_at: Instant
    due_at: Instant
    changed_at: Annotated[Instant, Meta(description="Since when it is in its state.")]


class BalanceAnswer(Struct, frozen=True, kw_only=True):
    """Money left to spend."""

    balance: Money


class CancelAnswer(Struct, frozen=True, kw_only=True):
    """How many messages will not be sent."""

    cancelled_count: int


# Events: what callbacks say


class MessageEvent(Struct, frozen=True, kw_only=True):
    """What became of a message."""

    id: Id
    submission_id: Id
    reference: str
    originator: str
    recipient: str
    state: State
    reason: str
    segments: int
    price: Money


class InboundEvent(Struct, frozen=True, kw_only=True):
    """A message from a phone to one of the account's numbers."""

    id: Id
    originator: str
    recipient: str
    text: str
    coding: Coding


MESSAGE_PREFIX, INBOUND_TYPE = "message.", "inbound.received"


class MessageCallback(Struct, frozen=True, kw_only=True):
    """`type` is `message.` and the state."""

    type: str
    timestamp: Instant
    data: MessageEvent


class InboundCallback(Struct, frozen=True, kw_only=True):
    """`type` is `inbound.received`."""

    type: str
    timestamp: Instant
    data: InboundEvent


class AnyCallback(Struct, frozen=True):
    type: str
    data: msgspec.Raw


def write_receipt(target: CallbackTarget, report: Report) -> HttpRequest:
    data = MessageEvent(
        id=str(report.id),
        submission_id=str(report.submission_id),
        reference=report.reference,
        originator=report.originator,
        recipient=report.recipient,
        state=report.state,
        reason=report.reason,
        segments=report.segments,
        price=money_of(report.price_micros, target.currency),
    )
    kind = f"{MESSAGE_PREFIX}{report.state}"
    return call(target, MessageCallback(type=kind, timestamp=instant_of(report.changed_ms), data=data))


def write_inbound(target: CallbackTarget, inbound: Inbound) -> HttpRequest:
    data = InboundEvent(
        id=inbound.reference,
        originator=inbound.originator,
        recipient=inbound.recipient,
        text=inbound.text,
        coding=inbound.coding,
    )
    return call(target, InboundCallback(type=INBOUND_TYPE, timestamp=instant_of(inbound.received_ms), data=data))


def call(target: CallbackTarget, callback: Struct) -> HttpRequest:
    """A signed request. Its id is the callback's, so that each attempt has the same."""
    origin, path, query = target_of(target.url)
    body = msgspec.json.encode(callback)
    headers = [(b"content-type", JSON_TYPE)]
    secret = secret_of(target.webhook_secret, target.token)
    if secret and target.callback_id:
        values = target.callback_id, str(target.signed_s), signature(secret, target.callback_id, target.signed_s, body)
        headers += [(name, value.encode()) for name, value in zip(NAMES, values, strict=True)]
    return HttpRequest(method="POST", origin=origin, path=path, query=query, headers=tuple(headers), body=body)


# South: we talk to another chappe


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """Everything that a submission says is carried."""
    request = ask("POST", upstream, "/messages", written(submission))
    answer = read_answer((yield request), SendAnswer)
    if not isinstance(answer, SendAnswer):
        return answer
    if len(answer.messages) != len(submission.recipients):
        return Uncertain(f"an answer about {len(answer.messages)} of {len(submission.recipients)} recipients")
    tickets = [
        Ticket(
            recipient=recipient,
            reference=one.id or "",
            segments=one.segments,
            price_micros=micros_of(one.price.amount) or 0,
            refusal=one.refusal.code if one.refusal is not None else None,
        )
        for recipient, one in zip(submission.recipients, answer.messages, strict=True)
    ]
    return Accepted(tuple(tickets), answer.id)


def written(submission: Submission) -> SendRequest:
    """A submission as it is asked for. What no charset carries becomes a question mark."""
    texts = [sendable(text) for text in submission.texts]
    return SendRequest(
        to=UNSET if texts else submission.recipients,
        text=UNSET if texts else sendable(submission.text),
        messages=tuple(
            PersonalMessage(to=recipient, text=text)
            for recipient, text in zip(submission.recipients, texts, strict=True)
        )
        if texts
        else UNSET,
        originator=sendable(submission.originator),
        service=submission.service,
        priority=submission.priority,
        coding=submission.coding,
        scheduled_at=instant_of(submission.scheduled_ms) if submission.scheduled_ms is not None else None,
        validity_s=submission.validity_s,
        reference=sendable(submission.reference),
        callback_url=sendable(submission.receipt_url),
        wants_callbacks=submission.wants_callbacks,
        all_or_nothing=not submission.takes_part,
    )


def sendable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def query(
    upstream: Upstream, reference: str, originator: str, recipient: str
) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]:
    """By the id of a message; originator and recipient need not be named."""
    answer = read_answer((yield ask("GET", upstream, f"/messages/{quote(reference, '')}")), MessageAnswer)
    if not isinstance(answer, MessageAnswer):
        return answer
    return Report(
        id=int(answer.id),
        submission_id=int(answer.submission_id),
        reference=reference,
        originator=answer.originator,
        recipient=answer.recipient,
        state=answer.state,
        segments=answer.segments,
        price_micros=micros_of(answer.price.amount) or 0,
        text=answer.text,
        service=answer.service,
        coding=answer.coding,
        due_ms=ms_of(answer.due_at),
        changed_ms=ms_of(answer.changed_at),
        reason=answer.reason,
    )


def cancel(
    upstream: Upstream, reference: str, recipient: str
) -> Flow[HttpRequest, Reply, Cancelled | Refused | Uncertain]:
    answer = read_answer((yield ask("DELETE", upstream, f"/messages/{quote(reference, '')}")), CancelAnswer)
    return Cancelled(answer.cancelled_count) if isinstance(answer, CancelAnswer) else answer


def balance(upstream: Upstream) -> Flow[HttpRequest, Reply, Balance | Refused | Uncertain]:
    answer = read_answer((yield ask("GET", upstream, "/balance")), BalanceAnswer)
    if not isinstance(answer, BalanceAnswer):
        return answer
    amount_micros = micros_of(answer.balance.amount)
    if amount_micros is None:
        return Uncertain("an amount that is none")
    return Balance(amount_micros=amount_micros, currency=answer.balance.currency)


def ask(
    method: str,
    upstream: Upstream,
    path: str,
    body: Struct | None = None,
    parameters: Mapping[str, str] | None = None,
) -> HttpRequest:
    """A request below `/v1` of the server, wherever its address ends."""
    parts = urlsplit(upstream.url)
    root = parts.path.rstrip("/").removesuffix(ROOT)
    origin, target, _ = target_of(urlunsplit(parts._replace(path=f"{root}{ROOT}{path}", query="", fragment="")))
    headers = [(b"authorization", authorization(upstream))]
    if body is not None:
        headers.append((b"content-type", JSON_TYPE))
    return HttpRequest(
        method=method,
        origin=origin,
        path=target,
        query=urlencode(parameters or {}).encode(),
        headers=tuple(headers),
        body=msgspec.json.encode(body) if body is not None else b"",
    )


def authorization(upstream: Upstream) -> bytes:
    """A key proves itself; anything else is an account's password (RFC 7617)."""
    password = upstream.password.value
    if password.startswith(KEY_PREFIXES):
        return b"Bearer " + password.encode("utf-8", "replace")
    return b"Basic " + b64encode(f"{upstream.login}:{password}".encode("utf-8", "replace"))


def read_answer(reply: Reply, kind: type[Answer]) -> Answer | Refused | Uncertain:
    """A record of this kind; of everything else, what it means."""
    if isinstance(reply, Failure):
        return reply.outcome()
    if 200 <= reply.status < 300:
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except (msgspec.DecodeError, RecursionError):
            return unknown(reply)
    try:
        problem = msgspec.json.decode(reply.body, type=Problem)
    except (msgspec.DecodeError, RecursionError):
        answer = answer_text(reply)
        return Uncertain(f"HTTP {reply.status}") if isinstance(answer, str) else answer
    return verdict_of(problem, retry_after(reply))


def verdict_of(problem: Problem, retry_after_s: float | None) -> Refused | Uncertain:
    detail = detail_of(problem.detail or problem.title)
    if problem.code in set(Refusal):
        wait_s = min(retry_after_s, RETRY_AFTER_MAX_S) if retry_after_s is not None else None
        return Refused(Refusal(problem.code), detail, wait_s)
    if problem.code == "missing_scope":
        return Refused(Refusal.FORBIDDEN, detail)
    if problem.status >= 500 or problem.code in ("idempotency_in_progress", "idempotency_unknown"):
        return Uncertain(detail)
    return Refused(Refusal.BAD_REQUEST, detail)


def unknown(reply: HttpResponse) -> Uncertain:
    try:
        return unknown_answer(msgspec.json.decode(reply.body))
    except (msgspec.DecodeError, RecursionError):
        return Uncertain("not JSON")


def read_callback(upstream: Upstream, request: HttpRequest) -> AnyCallback | None:
    """What a callback says; where a `webhook_secret` is configured, only if it is signed with that."""
    secret = upstream.options.get(SECRET_OPTION, "")
    webhook_id, signed, signatures = (request.header(name).decode("latin-1") for name in NAMES)
    try:
        if secret and not is_signed(Secret(secret), webhook_id, signed, signatures, request.body):
            return None
        return msgspec.json.decode(request.body, type=AnyCallback)
    except (ValueError, RecursionError):
        return None


def read_receipt(upstream: Upstream, request: HttpRequest) -> Receipt | None:
    said = read_callback(upstream, request)
    if said is None or not said.type.startswith(MESSAGE_PREFIX):
        return None
    try:
        event = msgspec.json.decode(said.data, type=MessageEvent)
    except (ValueError, RecursionError):
        return None
    return Receipt(reference=event.id, state=event.state, recipient=event.recipient, detail=event.reason or event.state)


def read_inbound(upstream: Upstream, request: HttpRequest) -> Inbound | None:
    said = read_callback(upstream, request)
    if said is None or said.type != INBOUND_TYPE:
        return None
    try:
        event = msgspec.json.decode(said.data, type=InboundEvent)
    except (ValueError, RecursionError):
        return None
    return Inbound(
        reference=event.id,
        originator=event.originator,
        recipient=event.recipient,
        text=event.text,
        coding=event.coding,
    )


NATIVE = Dialect(
    name=NAME,
    north=North(
        paths={},  # `listeners/native` answers below /v1
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(State) - {State.SCHEDULED, State.QUEUED, State.SENDING},
        receipt=write_receipt,
        inbound=write_inbound,
    ),
    south=South(
        default_url="http://127.0.0.1:8080",
        submit=submit,
        query=query,
        cancel=cancel,
        balance=balance,
        receipt=read_receipt,
        inbound=read_inbound,
        callback_answer=HttpResponse(status=204),
    ),
)
