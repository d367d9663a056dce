"""Proovl: small PHP addresses that answer lines of fields split by semicolons.

Strategy: each fact of the provider stands in one table (routes, error texts, status words), read in one direction by
the north half and in the other by the south half. The north half is exact, because clients compare literally; the south
half is lenient, because quoted fields and missing third fields occur (2.3). One submission has one id, however many
receivers: the one line of the answer, every callback and the status query name it.

Figures such as 2.3 are paragraphs of docs/dialects/proovl.md; "ours" marks what the provider leaves open.
"""

import re
from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest
from urllib.parse import urlsplit, urlunsplit

from chappe.core.centre import (
    Accepted,
    Balance,
    Call,
    Done,
    FetchBalance,
    Outcome,
    Query,
    Refusal,
    Refused,
    Submit,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.model import Account, Inbound, Receipt, Report, Service, State, Submission
from chappe.core.numbers import ListNumbers, ListOffers, Number, Numbers, RentNumber, ReturnNumber, SetNumber
from chappe.dialects.base import (
    BLANKS,
    CallbackTarget,
    Dialect,
    Flow,
    HttpRequest,
    HttpResponse,
    North,
    NorthFlow,
    NumberHalves,
    Reply,
    South,
    Upstream,
    Words,
    answer_text,
    beyond_text,
    decimal_of,
    detail_of,
    fields_of,
    form_request,
    log_in,
    micros_of,
    numbers_of,
    plain,
    reason_of,
    texts_of,
)
from chappe.dialects.times import instant_ms, wall_clock
from chappe.sms.segments import SEGMENTS_MAX, STANDARD

# Facts

SEND, CHECK, BALANCE = "/api/send.php", "/api/check.php", "/api/balance.php"  # 2.1
NUMBERS, AVAILABLE, BUY = "/api/numbers.php", "/api/available.php", "/api/buy.php"  # ours, with all of 2.8
CANCEL, SETTINGS = "/api/cancel.php", "/api/settings.php"
METHODS = ("GET", "POST")  # 2.1
SEPARATORS = ","  # between receivers: 2.2
OUR_ID = re.compile(r"[0-9]{1,19}")  # ours: 2.4
THEIR_ID = re.compile(r"[0-9A-Za-z_.:-]{1,64}")  # no example is known, so whatever an id may look like
PARTS = re.compile(r"[0-9]{1,3}")
RECIPIENTS_MAX = 10_000  # ours
BODY_MAX = 1 << 20  # bytes: ours

ERROR = "Error"  # the first field of every refusal: 2.3
REFUSALS = Words(  # 2.3; only the first text is known, the others are ours
    {
        "Authorization error": (Refusal.UNAUTHORISED,),
        "Invalid number": (Refusal.BAD_RECIPIENT, Refusal.TOO_MANY_RECIPIENTS),
        "Invalid sender": (Refusal.BAD_ORIGINATOR,),
        "Empty text": (Refusal.EMPTY_TEXT,),
        "Insufficient balance": (Refusal.NO_FUNDS,),
        "Invalid route": (Refusal.NO_ROUTE,),
        "Message not found": (Refusal.NOT_FOUND,),
        "Internal error": (Refusal.INTERNAL, Refusal.UNREACHABLE),
        "Invalid request": (Refusal.BAD_REQUEST, Refusal.UNSUPPORTED, Refusal.TOO_LATE),
        "Text too long": (Refusal.TEXT_TOO_LONG,),
        "Message forbidden": (Refusal.FORBIDDEN, Refusal.BLOCKED),
        "Too many requests": (Refusal.THROTTLED, Refusal.DUPLICATE),
        "Service unavailable": (Refusal.OVERLOADED,),
        "Number not found": (Refusal.NOT_FOUND,),
        "Too many numbers": (Refusal.FORBIDDEN,),
    }
)
NUMBER_REFUSALS = {  # what 2.8 says instead of a word about messages
    Refusal.NOT_FOUND: "Number not found",
    Refusal.FORBIDDEN: "Too many numbers",
}

ROUTES = Words(  # 2.2
    {
        "1": (Service.STANDARD, Service.PREMIUM),
        "2": (Service.ECONOMY,),
    }
)
DEFAULT_ROUTE = "1"  # ours: 2.2

STATES = Words(  # 2.6; Queued is ours and only ever an answer: nobody is called about it
    {
        "Sent": (State.SENT,),
        "Delivered": (State.DELIVERED,),
        "Failed": (State.REJECTED, State.CANCELLED),
        "Undelivered": (State.UNDELIVERABLE, State.EXPIRED, State.UNKNOWN),
        "Queued": (State.QUEUED, State.SCHEDULED, State.SENDING),
    }
)
UNREPORTED = frozenset({State.QUEUED, State.SCHEDULED, State.SENDING})
ACCEPTED = "Sent"  # ours: 2.3
DONE = "OK"  # the first field of every act of 2.8 that was done
NONE = f"{DONE};0"  # a list without a line: clients index the second field unguarded (2.3)
TIME = "%Y-%m-%d %H:%M:%S"  # until when a number is paid, in UTC
OFFERS_MAX = 1_000  # lines of available.php
A_NUMBER = re.compile(r"[0-9]{3,15}")
A_COUNTRY = re.compile(r"[A-Z]{2}|")
ACCEPTED_WORDS = "Sent,Queued,Delivered"  # ours: what it may say; the carrier option `accepted_words` overrides


# North: applications talk to us


def send(request: HttpRequest) -> NorthFlow:
    """send.php: one text to one or more receivers; `Sent;id;parts` (2.2, 2.3)."""
    fields = read_fields(request)
    account = yield from log_in(fields["user"], fields["token"])
    if not isinstance(account, Account):
        return refuse(account)
    submission = read_submission(fields)
    if isinstance(submission, Refused):
        return refuse(submission)
    verdict = yield Submit(account, submission)
    if not isinstance(verdict, Accepted):
        return refuse(verdict)
    first = verdict.tickets[0]
    return plain(f"{ACCEPTED};{first.reference};{first.segments}")


def check(request: HttpRequest) -> NorthFlow:
    """check.php: `id;status;price` of a whole submission, for whoever knows its id and its originator (2.4)."""
    fields = read_fields(request)
    reference, originator = fields["id"].strip(), fields["phone"].strip()
    if not (OUR_ID.fullmatch(reference) and originator):
        return refuse(Refused(Refusal.NOT_FOUND))
    report = yield Query(reference=reference, originator=originator)
    if not isinstance(report, Report):
        return refuse(report)
    price = decimal_of(report.price_micros, decimals_max=6)
    return plain(f"{report.submission_id};{STATES.words[report.state]};{price}")


def balance(request: HttpRequest) -> NorthFlow:
    """balance.php: a bare decimal number (2.5)."""
    fields = read_fields(request)
    account = yield from log_in(fields["user"], fields["token"])
    if not isinstance(account, Account):
        return refuse(account)
    left = yield FetchBalance(account)
    return plain(decimal_of(left.amount_micros)) if isinstance(left, Balance) else refuse(left)


def about_numbers(
    ask: Callable[[Account, dict[str, str]], Call], write: Callable[[Number], str]
) -> Callable[[HttpRequest], NorthFlow]:
    """An address of 2.8: a list is one line for each number, an act is `OK` and its number's line."""

    def flow(request: HttpRequest) -> NorthFlow:
        fields = read_fields(request)
        account = yield from log_in(fields["user"], fields["token"])
        if not isinstance(account, Account):
            return refuse(account)
        outcome = yield ask(account, fields)
        match outcome:
            case Numbers(items=items):
                return plain("\n".join(map(write, items)) or NONE)
            case Number():
                return plain(f"{DONE};{write(outcome)}")
        text = NUMBER_REFUSALS.get(reason_of(outcome))
        return plain(f"{ERROR};{text}") if text else refuse(outcome)

    return flow


def set_number(account: Account, fields: dict[str, str]) -> Call:
    """A field that is absent stays as it is; an empty one is emptied."""
    stated = {name: fields[name].strip() for name in ("url", "email", "phone") if name in fields}
    return SetNumber(account=account, number=fields["number"].strip(), **stated)


def write_offer(number: Number) -> str:
    return f"{number.number};{number.country};{write_price(number)}"


def write_rented(number: Number) -> str:
    return f"{write_offer(number)};{wall_clock(number.expires_ms, 'UTC').strftime(TIME)}"


def write_price(number: Number) -> str:
    return decimal_of(number.price_micros, decimals_max=6)


ABOUT_NUMBERS: dict[str, Callable[[HttpRequest], NorthFlow]] = {
    NUMBERS: about_numbers(lambda account, _: ListNumbers(account), write_rented),
    AVAILABLE: about_numbers(
        lambda account, fields: ListOffers(account=account, country=fields["country"].strip(), count_max=OFFERS_MAX),
        write_offer,
    ),
    BUY: about_numbers(
        lambda account, fields: RentNumber(account, fields["number"].strip(), fields["country"].strip()),
        lambda number: f"{number.number};{write_price(number)}",
    ),
    CANCEL: about_numbers(
        lambda account, fields: ReturnNumber(account, fields["number"].strip()), lambda number: number.number
    ),
    SETTINGS: about_numbers(set_number, lambda number: number.number),
}


def read_fields(request: HttpRequest) -> dict[str, str]:
    """The fields of a GET or POST; another method says nothing, and is refused as whoever says nothing is."""
    return texts_of(fields_of(request) if request.method in METHODS else {})


def read_submission(fields: dict[str, str]) -> Submission | Refused:
    """What is asked, or what is wrong with the fields themselves (2.2)."""
    recipients = numbers_of(fields["to"], SEPARATORS)
    originator = fields["from"].strip()
    service = ROUTES.meanings.get(fields["route"].strip() or DEFAULT_ROUTE)
    if not recipients:
        return Refused(Refusal.BAD_RECIPIENT)
    if len(recipients) > RECIPIENTS_MAX:
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    if not originator:
        return Refused(Refusal.BAD_ORIGINATOR)
    if not fields["text"]:
        return Refused(Refusal.EMPTY_TEXT)
    if service is None:
        return Refused(Refusal.NO_ROUTE)
    return Submission(recipients=recipients, text=fields["text"], originator=originator, service=service)


def refuse(outcome: Outcome) -> HttpResponse:
    """`Error;text` without quotes or blanks around it, always with HTTP 200: clients compare literally (2.3)."""
    return plain(f"{ERROR};{REFUSALS.words[reason_of(outcome)]}")


def write_receipt(target: CallbackTarget, report: Report) -> HttpRequest:
    """2.6: the id of the whole submission, and the token by which the customer knows us."""
    fields = {
        "id": str(report.submission_id),
        "token": target.token.value,
        "status": STATES.words[report.state],
    }
    return form_request("POST", target.url, fields)


def write_inbound(target: CallbackTarget, inbound: Inbound) -> HttpRequest:
    """2.7: always a POST form, the only shape that every known handler reads."""
    fields = {
        "token": target.token.value,
        "id": inbound.reference,
        "from": inbound.originator,
        "to": inbound.recipient,
        "text": inbound.text,
    }
    return form_request("POST", target.url, fields)


# South: we talk to the provider


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """One id comes back, also for several receivers (2.3)."""
    unsupported = beyond_text(submission)
    if unsupported is not None:
        return unsupported
    if submission.scheduled_ms is not None:
        return Refused(Refusal.UNSUPPORTED, "Proovl has no schedule")
    fields = {
        **login_fields(upstream),
        "route": ROUTES.words[submission.service],
        "from": submission.originator,
        "to": ",".join(submission.recipients),
        "text": submission.text,
    }
    answer = read_answer((yield form_request("POST", api_url(upstream.url, SEND), fields)))
    if not isinstance(answer, list):
        return answer
    match answer:
        case [word, reference, *rest] if word in accepted_words(upstream) and THEIR_ID.fullmatch(reference):
            segments = read_segments(rest)
            return Accepted(
                tuple(
                    Ticket(recipient=recipient, reference=reference, segments=segments)
                    for recipient in submission.recipients
                )
            )
    return unknown(answer)


def query(
    upstream: Upstream, reference: str, originator: str, recipient: str
) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]:
    """State and price of what was sent from `originator`; what the answer does not tell stays empty (2.4)."""
    fields = {"id": reference, "phone": originator}
    answer = read_answer((yield form_request("POST", api_url(upstream.url, CHECK), fields)))
    if not isinstance(answer, list):
        return answer
    match answer:
        case [answered, word, price] if answered == reference and word in STATES.meanings:
            price_micros = micros_of(price)
            if price_micros is not None:
                return Report(
                    id=0,
                    submission_id=0,
                    reference=reference,
                    originator=originator,
                    recipient="",
                    state=STATES.meanings[word],
                    segments=0,
                    price_micros=price_micros,
                )
    return unknown(answer)


def fetch_balance(upstream: Upstream) -> Flow[HttpRequest, Reply, Balance | Refused | Uncertain]:
    """What is left, in the currency of the account, which the answer does not name (2.5)."""
    answer = read_answer((yield form_request("GET", api_url(upstream.url, BALANCE), login_fields(upstream))))
    if not isinstance(answer, list):
        return answer
    amount_micros = micros_of(answer[0]) if len(answer) == 1 else None
    return unknown(answer) if amount_micros is None else Balance(amount_micros=amount_micros)


def list_numbers(upstream: Upstream, path: str, **more: str) -> Flow[HttpRequest, Reply, Numbers | Refused | Uncertain]:
    """A list of 2.8, whole or not at all."""
    answer = read_lines((yield form_request("POST", api_url(upstream.url, path), login_fields(upstream) | more)))
    if not isinstance(answer, list):
        return answer
    if answer == [NONE.split(";")]:
        return Numbers(items=())
    numbers = []
    for fields in answer:
        number = read_number(fields, has_end=path == NUMBERS)
        if number is None:
            return unknown(fields)
        numbers.append(number)
    return Numbers(items=tuple(numbers))


def act_on_number(
    upstream: Upstream, path: str, number: str, **more: str
) -> Flow[HttpRequest, Reply, Done | Refused | Uncertain]:
    """An act of 2.8: done only where the answer names the number."""
    fields = login_fields(upstream) | {"number": number} | more
    answer = read_answer((yield form_request("POST", api_url(upstream.url, path), fields)))
    if not isinstance(answer, list):
        return answer
    return Done() if answer[:2] == [DONE, number] else unknown(answer)


def read_number(fields: list[str], *, has_end: bool) -> Number | None:
    """A line of numbers.php (`has_end`) or of available.php; None where it is none."""
    match fields:
        case [number, country, price, *ends] if A_NUMBER.fullmatch(number) and A_COUNTRY.fullmatch(country):
            price_micros, expires_ms = micros_of(price), read_end(ends) if has_end else 0
            if price_micros is not None and price_micros >= 0 and expires_ms is not None:
                return Number(number=number, country=country, price_micros=price_micros, expires_ms=expires_ms)
    return None


def read_end(fields: list[str]) -> int | None:
    """Until when a number is paid, if the first field tells."""
    try:
        return instant_ms(datetime.strptime(fields[0], TIME), "UTC")
    except (IndexError, ValueError):
        return None


def login_fields(upstream: Upstream) -> dict[str, str]:
    return {"user": upstream.login, "token": upstream.password.value}


def api_url(url: str, path: str) -> str:
    """One of the addresses of 2.1 at a host that may be written with `/api`, a last slash, both or neither."""
    parts = urlsplit(url)
    base = parts.path.rstrip("/").removesuffix("/api")
    return urlunsplit(parts._replace(path=base + path))


def read_answer(reply: Reply) -> list[str] | Refused | Uncertain:
    """The fields of the first line, freed of quotes and blanks; a refusal where the first one says `Error` (2.3)."""
    lines = read_lines(reply)
    return lines[0] if isinstance(lines, list) else lines


def read_lines(reply: Reply) -> list[list[str]] | Refused | Uncertain:
    """The same of every line."""
    answer = answer_text(reply)
    if not isinstance(answer, str):
        return answer
    lines = [
        [field.strip(BLANKS).strip('"').strip(BLANKS) for field in line.split(";")]
        for line in answer.strip(BLANKS).split("\n")
    ]
    if lines[0][0] != ERROR:
        return lines
    text = detail_of(";".join(lines[0][1:]))
    return Refused(REFUSALS.meanings.get(text, Refusal.BAD_REQUEST), text)


def unknown(fields: list[str]) -> Uncertain:
    return Uncertain(f"unknown answer: {detail_of(';'.join(fields))}")


def accepted_words(upstream: Upstream) -> list[str]:
    """The first field of a yes, which the provider does not document (2.3)."""
    return [word.strip() for word in upstream.options.get("accepted_words", ACCEPTED_WORDS).split(",")]


def read_segments(fields: list[str]) -> int:
    """The third field, which is not to be counted on (2.3)."""
    parts = int(fields[0]) if fields and PARTS.fullmatch(fields[0]) else 1
    return min(max(parts, 1), SEGMENTS_MAX)


def is_genuine(upstream: Upstream, fields: dict[bytes, bytes]) -> bool:
    """Whether a callback carries our token, which only the provider and we know (2.6)."""
    token = upstream.password.value.encode("utf-8", "replace")
    return bool(token) and compare_digest(fields.get(b"token", b""), token)


def read_receipt(upstream: Upstream, request: HttpRequest) -> Receipt | None:
    """2.6."""
    fields = fields_of(request)
    texts = texts_of(fields)
    reference, word = texts["id"].strip(), texts["status"].strip()
    if not (is_genuine(upstream, fields) and THEIR_ID.fullmatch(reference) and word in STATES.meanings):
        return None
    return Receipt(reference=reference, state=STATES.meanings[word], detail=word)


def read_inbound(upstream: Upstream, request: HttpRequest) -> Inbound | None:
    """2.7; a callback without both numbers is none."""
    fields = fields_of(request)
    texts = texts_of(fields)
    originator, recipient = texts["from"].strip(), texts["to"].strip()
    if not (is_genuine(upstream, fields) and originator and recipient):
        return None
    return Inbound(reference=texts["id"].strip(), originator=originator, recipient=recipient, text=texts["text"])


PROOVL = Dialect(
    name="proovl",
    north=North(
        paths={SEND: send, CHECK: check, BALANCE: balance, **ABOUT_NUMBERS},
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(STATES.words) - UNREPORTED,
        receipt=write_receipt,
        inbound=write_inbound,
    ),
    south=South(
        default_url="https://www.proovl.com",
        submit=submit,
        query=query,
        balance=fetch_balance,
        receipt=read_receipt,
        inbound=read_inbound,
        numbers=NumberHalves(
            offers=lambda upstream, country: list_numbers(upstream, AVAILABLE, country=country),
            rented=lambda upstream: list_numbers(upstream, NUMBERS),
            rent=lambda upstream, number: act_on_number(upstream, BUY, number),
            give_back=lambda upstream, number: act_on_number(upstream, CANCEL, number),
            forward=lambda upstream, number, target: act_on_number(upstream, SETTINGS, number, url=target),
        ),
    ),
)
