"""What every dialect is made of: plain HTTP records, flows (conversations without I/O), and form coding.

A dialect is a pair of pure translators for one provider's document. Both halves are written as flows: generators that
yield what they need and return what they found. The north half yields contract calls and returns the HTTP answer; the
south half yields HTTP requests and returns a verdict. Whoever drives a flow does the I/O: the gateway (async), the
client library (sync or async), the mirror test (one half against the other).

Form values stay bytes until a charset is named, because some providers let the sender name it.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes, urlsplit

import msgspec
from msgspec import Struct

from chappe.core.centre import (
    RETRY_AFTER_MAX_S,
    Balance,
    Call,
    Cancelled,
    Done,
    Outcome,
    Refusal,
    Refused,
    Uncertain,
    Verdict,
)
from chappe.core.model import Account, Carrier, Coding, Inbound, Receipt, Report, Secret, State, Submission
from chappe.core.numbers import Numbers
from chappe.core.sessions import Authenticate, Proof
from chappe.sms.segments import SegmentTable

Headers = tuple[tuple[bytes, bytes], ...]


class HttpRequest(Struct, frozen=True, kw_only=True):
    """One HTTP request, as bytes where the wire has bytes. `path` and `query` are percent-encoded as on the wire."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    origin: str = ""  # scheme, host and port; empty in requests that reached us

    @property
    def url(self) -> str:
        query = f"?{self.query.decode('latin-1')}" if self.query else ""
        return f"{self.origin}{self.path}{query}"

    def header(self, name: bytes) -> bytes:
        """The first header of that name (given in lower case), or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), b"")


class HttpResponse(Struct, frozen=True, kw_only=True):
    """One HTTP answer. Content-Length is added by whoever writes it."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""


class Failure(Struct, frozen=True, kw_only=True):
    """No answer to an HTTP request. `is_certain`: nothing can have reached the other side, so nothing happened."""

    is_certain: bool
    detail: str

    def outcome(self) -> Refused | Uncertain:
        """What a failed call means for the message: it surely stayed here, or nobody knows."""
        return Refused(Refusal.UNREACHABLE, self.detail) if self.is_certain else Uncertain(self.detail)


Reply = HttpResponse | Failure

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Result = TypeVar("Result")
Flow = Generator[Ask, Answer, Result]
NorthFlow = Generator[Call, Outcome, HttpResponse]


def run(flow: Flow[Ask, Answer, Result], answer: Callable[[Ask], Answer]) -> Result:
    """Drive a flow to its end, answering each of its questions."""
    try:
        ask = next(flow)
        while True:
            ask = flow.send(answer(ask))
    except StopIteration as end:
        result: Result = end.value
        return result


async def run_async(flow: Flow[Ask, Answer, Result], answer: Callable[[Ask], Awaitable[Answer]]) -> Result:
    """The same, with answers that take time."""
    try:
        ask = next(flow)
        while True:
            ask = flow.send(await answer(ask))
    except StopIteration as end:
        result: Result = end.value
        return result


class Upstream(Struct, frozen=True, kw_only=True):
    """An account of ours at somebody else's message centre."""

    url: str
    login: str
    password: Secret
    options: Mapping[str, str] = {}
    session: Mapping[str, Secret] = {}  # what its log-in gave, where the dialect has one


def upstream_of(carrier: Carrier) -> Upstream:
    return Upstream(url=carrier.url, login=carrier.login, password=carrier.password, options=carrier.options)


class CallbackTarget(Struct, frozen=True, kw_only=True):
    """Where a customer wants to be called, and by what they know it is us."""

    url: str
    method: str = ""  # empty = the dialect's default
    token: Secret = Secret("")
    timezone: str = "UTC"  # of the customer, for dialects that write wall-clock times
    currency: str = ""  # of the customer
    webhook_secret: Secret = Secret("")  # what callbacks are signed with, in dialects that sign; empty = by the token
    callback_id: str = ""  # the same for each attempt
    signed_s: int = 0  # when this one is made: seconds since 1970


class SubmitHalf(Protocol):
    def __call__(self, upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]: ...


class QueryHalf(Protocol):
    def __call__(
        self, upstream: Upstream, reference: str, originator: str, recipient: str
    ) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]: ...


class CancelHalf(Protocol):
    def __call__(
        self, upstream: Upstream, reference: str, recipient: str
    ) -> Flow[HttpRequest, Reply, Cancelled | Refused | Uncertain]: ...


class LogInHalf(Protocol):
    """The upstream with its session, for the other halves; they answer `unauthorised` once that has ended."""

    def __call__(self, upstream: Upstream) -> Flow[HttpRequest, Reply, Upstream | Refused | Uncertain]: ...


class BalanceHalf(Protocol):
    def __call__(self, upstream: Upstream) -> Flow[HttpRequest, Reply, Balance | Refused | Uncertain]: ...


class NumberHalves(Struct, frozen=True, kw_only=True):
    """How we rent numbers of the provider, to lend them on: `offers` in a country (empty = all), what is `rented`,
    `rent` and `give_back` of a number, and `forward`, which names the URL that its messages are sent to."""

    offers: Callable[[Upstream, str], Flow[HttpRequest, Reply, Numbers | Refused | Uncertain]]
    rented: Callable[[Upstream], Flow[HttpRequest, Reply, Numbers | Refused | Uncertain]]
    rent: Callable[[Upstream, str], Flow[HttpRequest, Reply, Done | Refused | Uncertain]]
    give_back: Callable[[Upstream, str], Flow[HttpRequest, Reply, Done | Refused | Uncertain]]
    forward: Callable[[Upstream, str, str], Flow[HttpRequest, Reply, Done | Refused | Uncertain]]


class North(Struct, frozen=True, kw_only=True):
    """How applications talk to us."""

    paths: Mapping[str, Callable[[HttpRequest], NorthFlow]]  # exact
    roots: Mapping[str, Callable[[HttpRequest], NorthFlow]] = {}  # all below them; slashes in a row count as one
    refuse: Callable[[Refused], HttpResponse]  # for what goes wrong outside a flow: overload, a body too large
    body_max: int  # bytes
    recipients_max: int
    counting: SegmentTable
    default_originator: str = ""  # what an empty originator stands for; empty = the account's first sender or number
    reported_states: frozenset[State]  # the states a customer is called back about
    duplicate_s: int = 0  # how long the same may not be asked again; 0 = it may
    # Whether a submission with this memo asked to hear of a state; without it all do that want callbacks. What was
    # submitted in another dialect has no memo.
    is_asked: Callable[[str, State], bool] | None = None
    receipt: Callable[[CallbackTarget, Report], HttpRequest] | None = None
    inbound: Callable[[CallbackTarget, Inbound], HttpRequest] | None = None


class South(Struct, frozen=True, kw_only=True):
    """How we talk to the provider. What a provider does not offer is absent."""

    default_url: str
    submit: SubmitHalf
    log_in: LogInHalf | None = None
    query: QueryHalf | None = None
    cancel: CancelHalf | None = None
    balance: BalanceHalf | None = None
    receipt: Callable[[Upstream, HttpRequest], Receipt | None] | None = None  # None from it: no receipt of ours
    inbound: Callable[[Upstream, HttpRequest], Inbound | None] | None = None
    numbers: NumberHalves | None = None
    query_by_our_reference: bool = False  # `query` knows messages by the id we sent
    receipt_by_our_reference: bool = False  # receipts carry the id we sent instead of one the provider made
    callback_answer: HttpResponse = HttpResponse()


class Dialect(Struct, frozen=True, kw_only=True):
    """One provider's document: what it is called, and its two halves."""

    name: str
    north: North
    south: South


# Words of a provider

Meaning = TypeVar("Meaning", bound=StrEnum)


class Words(Generic[Meaning]):
    """A provider's words and what they mean, so that one table serves both halves.

    A row is a word and its meanings. A word is read as the first of them; a meaning is written as the first word that
    has it.
    """

    def __init__(self, table: Mapping[str, tuple[Meaning, ...]]) -> None:
        self.meanings: dict[str, Meaning] = {word: meanings[0] for word, meanings in table.items()}
        self.words: dict[Meaning, str] = {}
        for word, meanings in table.items():
            for meaning in meanings:
                self.words.setdefault(meaning, word)


# What most flows begin and end with


def log_in(
    name: str, secret: str, proof: Proof = Proof.PASSWORD, *, renews: bool = True
) -> Flow[Call, Outcome, Account | Refused]:
    """Who is asking; whoever leaves out a part of the login is refused without a look."""
    if not secret or not (name or proof is Proof.API_KEY):
        return Refused(Refusal.UNAUTHORISED)
    outcome = yield Authenticate(name, Secret(secret), proof, renews)
    return outcome if isinstance(outcome, Account | Refused) else Refused(Refusal.INTERNAL)


def reason_of(outcome: Outcome) -> Refusal:
    """Why the message centre did not do it; anything but a refusal, where one was due, is our own trouble."""
    return outcome.reason if isinstance(outcome, Refused) else Refusal.INTERNAL


def beyond_text(submission: Submission) -> Refused | None:
    """What providers of plain text cannot carry: octets, which they would send as digits, a text that is shown at once
    and not kept, and a text of its own for each recipient. Another carrier may."""
    if submission.coding is not Coding.TEXT:
        return Refused(Refusal.UNSUPPORTED, f"{submission.coding} messages")
    return Refused(Refusal.UNSUPPORTED, "a text for each recipient") if submission.texts else None


# Money

DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,12}))?")


def decimal_of(amount_micros: int, decimals_max: int = 4) -> str:
    """Money with a point and two to `decimals_max` (at most six) decimals, rounded down: never more than there is."""
    amount = amount_micros // 10 ** (6 - decimals_max)
    whole, fraction = divmod(abs(amount), 10**decimals_max)
    return f"{'-' if amount < 0 else ''}{whole}.{f'{fraction:0{decimals_max}}'.rstrip('0'):0<2}"


def micros_of(decimal: str) -> int | None:
    """Money as a provider writes it, in millionths; None for what is not a plain decimal number."""
    number = DECIMAL.fullmatch(decimal)
    if number is None:
        return None
    sign, whole, fraction = number.groups("")
    return int(f"{sign}{whole}{fraction[:6]:0<6}")


# Form coding

FIELDS_MAX = 200


def fields_of(request: HttpRequest) -> dict[bytes, bytes]:
    """Query and body fields merged, the body and the last of a name winning (wire 1.4), values still bytes.

    Accepts the query string, `application/x-www-form-urlencoded` and `multipart/form-data`. Fields beyond the
    first 200 are dropped.
    """
    fields = urlencoded_fields(request.query) if request.query else {}
    if request.body:
        content_type = request.header(b"content-type")
        if content_type[:19].lower() == b"multipart/form-data":
            fields |= multipart_fields(request.body, content_type)
        else:
            fields |= urlencoded_fields(request.body)
    return fields


def urlencoded_fields(encoded: bytes) -> dict[bytes, bytes]:
    """`a=1&b=2` as a dict; a plus sign is a blank, a broken percent escape stays as it is."""
    pairs = [pair.partition(b"=") for pair in encoded.replace(b"+", b" ").split(b"&", FIELDS_MAX)[:FIELDS_MAX]]
    if b"%" in encoded:
        return {unquote_to_bytes(name): unquote_to_bytes(value) for name, _, value in pairs if name}
    return {name: value for name, _, value in pairs if name}


def multipart_fields(body: bytes, content_type: bytes) -> dict[bytes, bytes]:
    """The simple fields of a `multipart/form-data` body (RFC 7578); a part without a name is dropped."""
    boundary = parameter(content_type, b"boundary")
    fields: dict[bytes, bytes] = {}
    if not boundary or len(boundary) > 200:
        return fields
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, FIELDS_MAX + 1)
    for part in parts[1 : FIELDS_MAX + 1]:
        head, blank_line, value = part.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            key, _, disposition = line.partition(b":")
            if blank_line and key.strip().lower() == b"content-disposition":
                name = parameter(disposition, b"name")
                if name:
                    fields[name] = value
    return fields


def parameter(header: bytes, name: bytes) -> bytes:
    """The value of `name=` in a header such as `form-data; name="text"`, without its quotes."""
    for piece in header.split(b";")[1:]:
        key, _, value = piece.strip().partition(b"=")
        if key.lower() == name:
            return value.strip(b'"')
    return b""


def texts_of(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Fields as text, for providers whose charset is the one of `text_of`; a missing field reads as an empty one."""
    try:
        texts = {name.decode(): value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        texts = {text_of(name): text_of(value) for name, value in fields.items()}
    return defaultdict(str, texts)


def numbers_of(field: str, separators: str) -> tuple[str, ...]:
    """A list of numbers taken apart and freed of blanks (a plus sign nobody escaped is one), empty places left out."""
    for separator in separators[1:]:
        field = field.replace(separator, separators[0])
    return tuple(filter(None, map(str.strip, field.split(separators[0]))))


def text_of(value: bytes) -> str:
    """UTF-8, or windows-1252 where it is not valid UTF-8 (wire 1.4); an undefined byte becomes U+FFFD."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def encode_form(fields: Mapping[str, str]) -> bytes:
    """`application/x-www-form-urlencoded` in UTF-8, blanks as plus signs."""
    return b"&".join([quote_value(name) + b"=" + quote_value(value) for name, value in fields.items()])


def quote_value(value: str) -> bytes:
    octets = value.encode("utf-8", "replace")
    return octets if octets.isalnum() else quote_from_bytes(octets, safe=" ").replace(" ", "+").encode()


FORM_HEADERS: Headers = ((b"content-type", b"application/x-www-form-urlencoded"),)
URL_SAFE = "%/:;,=@!$&'()*+?~"  # what may stand in a path or query as it is; all else is percent-encoded


@lru_cache(maxsize=1024)
def target_of(url: str) -> tuple[str, str, bytes]:
    """Origin, path and query of a configured URL, percent-encoded where it must be."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", URL_SAFE, errors="replace")
    return f"{parts.scheme}://{parts.netloc}", path, quote(parts.query, URL_SAFE, errors="replace").encode()


def form_request(method: str, url: str, fields: Mapping[str, str]) -> HttpRequest:
    """A form sent to a URL: in the query for GET (behind what the URL already has), in the body for POST."""
    (origin, path, query), form = target_of(url), encode_form(fields)
    if method == "GET":
        return HttpRequest(method=method, origin=origin, path=path, query=query + b"&" + form if query else form)
    return HttpRequest(method=method, origin=origin, path=path, query=query, headers=FORM_HEADERS, body=form)


def plain(body: str, status: int = 200) -> HttpResponse:
    """A short text answer, with nothing before or behind it."""
    return HttpResponse(status=status, headers=((b"content-type", b"text/plain; charset=utf-8"),), body=body.encode())


def json_response(value: object, status: int = 200, headers: Headers = ()) -> HttpResponse:
    """A record, dict or list as compact JSON in UTF-8, its members in the order they were put."""
    content_type = (b"content-type", b"application/json; charset=utf-8")
    return HttpResponse(status=status, headers=(content_type, *headers), body=msgspec.json.encode(value))


# What an answer says before its body is read

BLANKS = " \t\r\n"  # what may stand around a carrier's answer; str.strip would take more than that

ANSWER_SIZE_MAX = 65_536  # bytes; a longer answer is no answer
DETAIL_MAX = 200  # characters


def answer_text(reply: Reply) -> str | Refused | Uncertain:
    """The body of a 2xx answer as text; of everything else, what it means for the message.

    A carrier that says it will not (3xx, 4xx), or asks us to come back (503 with Retry-After, RFC 9110 15.6.4), has not
    taken the message. Any other failure may stand behind a message that was taken. Redirects are never followed.
    """
    if isinstance(reply, Failure):
        return reply.outcome()
    status, retry_after_s = reply.status, retry_after(reply)
    if 200 <= status < 300:
        is_readable = 0 < len(reply.body) <= ANSWER_SIZE_MAX
        return text_of(reply.body) if is_readable else Uncertain(f"an answer of {len(reply.body)} bytes")
    if status == 429:
        return Refused(Refusal.THROTTLED, "HTTP 429", retry_after_s)
    if status == 503 and retry_after_s is not None:
        return Refused(Refusal.OVERLOADED, "HTTP 503", retry_after_s)
    if 300 <= status < 500:
        return Refused(Refusal.INTERNAL, f"HTTP {status}")
    return Uncertain(f"HTTP {status}")


def answer_json(reply: Reply) -> Any:
    """The body of a 2xx answer as JSON brings it (dict, list, str, int, float, bool or None); else Refused or
    Uncertain, as `answer_text` says."""
    answer = answer_text(reply)
    if not isinstance(answer, str):
        return answer
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return Uncertain(f"not JSON: {detail_of(answer)}")


def unknown_answer(answer: object) -> Uncertain:
    """For JSON that nobody understands: no more than its keys, for its values may be texts and numbers of people."""
    shape = detail_of(", ".join(map(str, answer))) if isinstance(answer, dict) else type(answer).__name__
    return Uncertain(f"unknown answer: {shape}")


def retry_after(response: HttpResponse) -> float | None:
    """Seconds, at most a day; None without the header, and for a date, which only a clock could read."""
    value = next((value.strip() for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return float(min(int(value), RETRY_AFTER_MAX_S)) if value.isdigit() and len(value) < 10 else None


def detail_of(text: str) -> str:
    """A carrier's own words, fit to be kept and shown: one line, nothing unprintable, at most 200 characters."""
    words = "".join(character if character.isprintable() else " " for character in text[: DETAIL_MAX * 4])
    return " ".join(words.split())[:DETAIL_MAX]
