"""voip-communications.net API v2: form posts behind HTTP Basic, answered by a JSON log with an entry for each number.

Strategy: each fact of the provider stands in one table (addresses, keys, codes, words), read in one direction by the
north half and in the other by the south half. A flow of the north begins with the login and ends in one JSON object:
what is wrong with one destination stands in its entry and keeps no other from being sent to, what is wrong with the
request as a whole is an `error` with an `error_message`, and nothing but a bad login has another status than 200.

Our ids are printed in the shape of the provider's (`smsid_of`), and read back from it alone.

Figures such as 3.3 are paragraphs of docs/dialects/voipcom.md; "ours" marks what the provider leaves open.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfoNotFoundError

import msgspec

from chappe.core.centre import (
    Accepted,
    Call,
    Cancel,
    Cancelled,
    FetchTime,
    FindMessages,
    InboundMessages,
    Instant,
    ListInbound,
    ListMessages,
    Outcome,
    Refusal,
    Refused,
    Reports,
    Submit,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.ids import EPOCH_MS, RANDOM_BITS
from chappe.core.model import Account, Inbound, Report, Service, State, Submission
from chappe.dialects.base import (
    CallbackTarget,
    Dialect,
    Flow,
    HttpRequest,
    HttpResponse,
    North,
    NorthFlow,
    Reply,
    South,
    Upstream,
    Words,
    answer_json,
    detail_of,
    fields_of,
    form_request,
    json_response,
    log_in,
    numbers_of,
    reason_of,
    text_of,
    texts_of,
)
from chappe.dialects.php_dates import strtotime
from chappe.dialects.times import instant_ms, wall_clock
from chappe.sms.numbers import country, parse_msisdn
from chappe.sms.segments import STANDARD, count

# Facts

ROOT = "/api-v2/index.php/"  # 3.1
SEND, SUMMARY, CHAT = "sms/send", "sms/summary", "sms/chat"  # 3.1, 3.4
SCHEDULED, DELETE = "sms/scheduled", "sms/delete"  # ours: 3.5
METHODS = ("GET", "POST")  # POST is the provider's, GET ours: 3.1
SEPARATORS = ","  # between numbers, and between ids: 3.2, 3.5
DATE = "%Y-%m-%d %H:%M:%S"  # 3.3
CHALLENGE = ((b"www-authenticate", b'Basic realm="api-v2", charset="UTF-8"'),)  # ours: 3.1

BULK, TWO_WAY = "BULKSMS", "2WAYSMS"  # the second is ours: 3.3
SENT_CODE = 200  # 3.3
ACCEPTED, FAILED = "SCHEDULED", "FAILED"  # the first is the only word known, the second ours: 3.3
OUTGOING, INCOMING = "OUT", "IN"  # the second is ours: 3.4

CODES = {  # of an entry, ours: 3.3; reasons without one here are about the request as a whole
    Refusal.BAD_RECIPIENT: 400,
    Refusal.TEXT_TOO_LONG: 400,
    Refusal.NO_ROUTE: 400,
    Refusal.NO_FUNDS: 402,
    Refusal.BAD_ORIGINATOR: 403,
    Refusal.FORBIDDEN: 403,
    Refusal.BLOCKED: 403,
    Refusal.DUPLICATE: 403,
    Refusal.EMPTY_TEXT: 406,
    Refusal.INTERNAL: 500,
}
REASONS = {code: reason for reason, code in reversed(CODES.items())}  # of a code, where its text is not known

REFUSALS = Words(  # `code_desc` and `error_message`, ours: 3.3
    {
        "Invalid API credentials": (Refusal.UNAUTHORISED,),
        "Invalid number": (Refusal.BAD_RECIPIENT,),
        "Too many numbers": (Refusal.TOO_MANY_RECIPIENTS,),
        "Sender not allowed": (Refusal.BAD_ORIGINATOR,),
        "Empty message": (Refusal.EMPTY_TEXT,),
        "Message too long": (Refusal.TEXT_TOO_LONG,),
        "Message not allowed": (Refusal.FORBIDDEN,),
        "Number opted out": (Refusal.BLOCKED,),
        "Duplicate message": (Refusal.DUPLICATE,),
        "Destination not available": (Refusal.NO_ROUTE,),
        "Insufficient balance": (Refusal.NO_FUNDS,),
        "Message not found": (Refusal.NOT_FOUND,),
        "Message already sent": (Refusal.TOO_LATE,),
        "Too many requests": (Refusal.THROTTLED,),
        "Service unavailable": (Refusal.OVERLOADED, Refusal.UNREACHABLE),
        "Invalid request": (Refusal.BAD_REQUEST, Refusal.UNSUPPORTED),
        "Internal error": (Refusal.INTERNAL,),
    }
)

STATES = Words(  # `sms_status`; all but the first word are ours: 3.3, 3.4
    {
        "SCHEDULED": (State.SCHEDULED,),
        "QUEUED": (State.QUEUED, State.SENDING),
        "SENT": (State.SENT,),
        "DELIVERED": (State.DELIVERED,),
        "UNDELIVERED": (State.UNDELIVERABLE,),
        "EXPIRED": (State.EXPIRED,),
        "FAILED": (State.REJECTED,),
        "DELETED": (State.CANCELLED,),
        "UNKNOWN": (State.UNKNOWN,),
    }
)

CALLBACK_FIELDS = ("from", "to", "msg", "date", "smsid")  # ours: 3.6

RECIPIENTS_MAX = 10_000  # ours, as all that follow
BODY_MAX = 1 << 20  # bytes
PAGE_SIZE = 20  # entries
PAGES_MAX = 10_000
CHAT_PAGES_MAX = 50  # a chat is put together from its beginning for each page
DELETED_MAX = 100  # in one request
SEARCHED_PAGES_MAX = 5  # of the summary, for one message

OPTIONS = {  # of a carrier, for what the provider does not document: 3.5, 3.6
    "summary_path": SUMMARY,
    "delete_path": DELETE,
    "inbound_fields": ",".join(CALLBACK_FIELDS),
    "timezone": "UTC",  # the provider's zone is a setting of the account: 3.2
}


# Ids


THEIR_ID = re.compile(r"[0-9A-Za-z_.:-]{1,64}")  # whatever an id may look like
SMSID = re.compile(r"([0-9]{4})([0-9a-f]{8})([0-9a-f]{5})([0-9]{10})")  # 3.3


def smsid_of(our_id: int) -> str:
    """An id of ours in the shape of 3.3: 4 digits, 13 hexadecimal ones as PHP's `uniqid` makes them of the time, 10
    digits. The first ones are a check, the time is the one in our id, the last ones its random bits."""
    since_epoch_ms, random_bits = divmod(our_id, 1 << RANDOM_BITS)
    seconds, milliseconds = divmod(since_epoch_ms + EPOCH_MS, 1000)
    era, seconds = divmod(seconds, 1 << 32)
    check = our_id % 9973  # a prime, so that one wrong digit anywhere is seen
    return f"{check:04}{seconds:08x}{milliseconds * 1000:05x}{era * 10**9 + random_bits:010}"


def id_of(smsid: str) -> int | None:
    """Our id behind an `smsid`; None for one that `smsid_of` does not print."""
    match = SMSID.fullmatch(smsid)
    if match is None:
        return None
    era, random_bits = divmod(int(match[4]), 10**9)
    seconds = (era << 32) + int(match[2], 16)
    our_id = ((seconds * 1000 + int(match[3], 16) // 1000 - EPOCH_MS) << RANDOM_BITS) + random_bits
    return our_id if 0 <= our_id < 1 << 63 and smsid_of(our_id) == smsid else None


# North: applications talk to us


def serve(request: HttpRequest) -> NorthFlow:
    """Everything below 3.1's root; the phone app's other addresses (`cms/`, `ionic/` ...) are not ours: 3.4."""
    path = "/".join(filter(None, request.path.split("/"))).removeprefix(ROOT.strip("/")).strip("/")
    method = FLOWS.get((request.method, path))
    if method is None:
        known = any(path == one for _, one in FLOWS)
        return refuse(Refused(Refusal.BAD_REQUEST)) if known else error_response(Refusal.UNSUPPORTED, 404)
    return (yield from method(request))


class Asked(NamedTuple):
    """A request of 3.1 whose login was right."""

    account: Account
    fields: dict[str, str]


def enter(request: HttpRequest) -> Flow[Call, Outcome, Asked | Refused]:
    """HTTP Basic: the account's name as API key, its password as API password (3.1)."""
    kind, _, written = request.header(b"authorization").partition(b" ")
    try:
        credentials = b64decode(written.strip(), validate=True) if kind.lower() == b"basic" else b""
    except binascii.Error:
        credentials = b""
    name, _, password = text_of(credentials).partition(":")
    account = yield from log_in(name, password)
    return Asked(account, texts_of(fields_of(request))) if isinstance(account, Account) else account


def send(request: HttpRequest) -> NorthFlow:
    """sms/send: one text to one or more numbers, now or later; the answer has an entry for each (3.2, 3.3)."""
    asked = yield from enter(request)
    if not isinstance(asked, Asked):
        return refuse(asked)
    account, fields = asked
    instant = yield FetchTime()
    now_ms = instant.now_ms if isinstance(instant, Instant) else 0
    submission = read_submission(account, fields, now_ms)
    if isinstance(submission, Refused):
        return refuse(submission)
    verdict: Outcome = Refused(Refusal.EMPTY_TEXT)
    if submission.text:
        verdict = yield Submit(account, submission)
    due_ms = max(now_ms, submission.scheduled_ms or 0)
    if isinstance(verdict, Accepted):
        return json_response({"send_log": [entry_of(account, submission, one, due_ms) for one in verdict.tickets]})
    reason = reason_of(verdict)
    if reason not in CODES or reason is Refusal.INTERNAL:
        return refuse(verdict)
    tickets = [Ticket(recipient=one, reference="", refusal=reason) for one in submission.recipients]
    return json_response({"send_log": [entry_of(account, submission, one, due_ms) for one in tickets]})


def read_submission(account: Account, fields: dict[str, str], now_ms: int) -> Submission | Refused:
    """What is asked, or what is wrong with the fields themselves (3.2). No sender means the cheaper bulk class; a date
    that is past means now."""
    recipients, originator = numbers_of(fields["to"], SEPARATORS), fields["from"].strip()
    if not recipients:
        return Refused(Refusal.BAD_RECIPIENT)
    if len(recipients) > RECIPIENTS_MAX:
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    written_date = fields["delivery_date"].strip()
    scheduled_ms = strtotime(written_date, now_ms, account.timezone) if written_date else None
    if written_date and scheduled_ms is None:
        return Refused(Refusal.BAD_REQUEST)
    return Submission(
        recipients=recipients,
        text=fields["msg"],
        originator=originator,
        service=Service.STANDARD if originator else Service.ECONOMY,
        scheduled_ms=scheduled_ms if scheduled_ms is not None and scheduled_ms > now_ms else None,
        takes_part=True,
        is_charged_late=True,
    )


def entry_of(account: Account, submission: Submission, ticket: Ticket, due_ms: int) -> dict[str, object]:
    """What became of one number (3.3)."""
    reason = ticket.refusal
    return entry(
        account,
        code=SENT_CODE if reason is None else CODES.get(reason, CODES[Refusal.INTERNAL]),
        code_desc="" if reason is None else REFUSALS.words[reason],
        originator=submission.originator or next(iter(account.senders + account.numbers), ""),
        recipient=ticket.recipient,
        text=submission.text,
        due_ms=due_ms if reason is None else None,
        price_micros=ticket.price_micros,
        service=submission.service,
        status=FAILED if reason else ACCEPTED,
        smsid="" if reason else print_reference(ticket.reference),
    )


def entry(
    account: Account,
    *,
    code: int,
    code_desc: str = "",
    originator: str,
    recipient: str,
    text: str,
    due_ms: int | None,
    price_micros: int,
    service: Service,
    status: str,
    smsid: str,
) -> dict[str, object]:
    """The keys of 3.3, in the provider's order; `sale` covers all pieces, and what failed has no date (ours)."""
    return {
        "code": code,
        "code_desc": code_desc,
        "from": originator,
        "to": recipient,
        "country": country_of(recipient),
        "msg": text,
        "delivery_date": "" if due_ms is None else date_of(due_ms, account.timezone),
        "sale": price_micros / 1_000_000,
        "type": BULK if service is Service.ECONOMY else TWO_WAY,
        "status": status,
        "smsid": smsid,
    }


def summarise(request: HttpRequest) -> NorthFlow:
    """sms/summary: what was sent, newest first, a page at a time; an empty list ends it (3.4)."""
    asked = yield from enter(request)
    if not isinstance(asked, Asked):
        return refuse(asked)
    found = yield from list_page(asked)
    if not isinstance(found, Reports):
        return refuse(found)
    return json_response({"summary": [summary_of(asked.account, report) for report in found.items]})


def summary_of(account: Account, report: Report) -> dict[str, object]:
    return {
        "sms_id": smsid_of(report.id),
        "sms_country": country_of(report.recipient),
        "sms_status": STATES.words[report.state],
        "sms_external": report.recipient,
        "sms_sale": report.price_micros / 1_000_000,
        "sms_status_date": date_of(report.changed_ms, account.timezone),
        "sms_msg": report.text,
    }


def list_scheduled(request: HttpRequest) -> NorthFlow:
    """sms/scheduled: what waits for its time, in entries as `send` gives them (3.5)."""
    asked = yield from enter(request)
    if not isinstance(asked, Asked):
        return refuse(asked)
    found = yield from list_page(asked, State.SCHEDULED)
    if not isinstance(found, Reports):
        return refuse(found)
    entries = [
        entry(
            asked.account,
            code=SENT_CODE,
            originator=report.originator,
            recipient=report.recipient,
            text=report.text,
            due_ms=report.due_ms,
            price_micros=report.price_micros,
            service=report.service,
            status=STATES.words[report.state],
            smsid=smsid_of(report.id),
        )
        for report in found.items
    ]
    return json_response({"scheduled": entries})


def list_page(asked: Asked, *states: State) -> Flow[Call, Outcome, Outcome]:
    """One page of the account's messages; a page that is no number is the first."""
    page = page_of(asked.fields, PAGES_MAX)
    if page is None:
        return Reports(items=(), total=0)
    call = ListMessages(account=asked.account, states=states, offset=page * PAGE_SIZE, count_max=PAGE_SIZE)
    return (yield call)


def chat(request: HttpRequest) -> NorthFlow:
    """sms/chat: what went to and fro between one of our numbers (any, where none is named) and one outside, newest
    first (3.4)."""
    asked = yield from enter(request)
    if not isinstance(asked, Asked):
        return refuse(asked)
    account, fields = asked
    internal, external = fields["internal"].strip().removeprefix("+"), parse_msisdn(fields["external"].strip())
    page = page_of(fields, CHAT_PAGES_MAX)
    if external is None:
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    if page is None:
        return json_response({"chat": []})
    ours, end = (internal,) if internal else (), (page + 1) * PAGE_SIZE
    sent = yield ListMessages(account=account, recipients=(external,), originators=ours, count_max=end)
    received = yield ListInbound(account=account, numbers=ours, originators=(external,), count_max=end)
    if not isinstance(sent, Reports):
        return refuse(sent)
    if not isinstance(received, InboundMessages):
        return refuse(received)
    said = [(one.due_ms, smsid_of(one.id), OUTGOING, one.text) for one in sent.items]
    said += [(one.received_ms, print_reference(one.reference), INCOMING, one.text) for one in received.items]
    lines = [
        {"sms_id": smsid, "sms_inout": way, "sms_msg": text, "sms_status_date": date_of(instant, account.timezone)}
        for instant, smsid, way, text in sorted(said, reverse=True)[page * PAGE_SIZE : end]
    ]
    return json_response({"chat": lines})


def delete(request: HttpRequest) -> NorthFlow:
    """sms/delete: take back scheduled messages by their ids; where one fails, those before it are told (3.5)."""
    asked = yield from enter(request)
    if not isinstance(asked, Asked):
        return refuse(asked)
    smsids = numbers_of(asked.fields["smsid"], SEPARATORS)
    if not smsids or len(smsids) > DELETED_MAX:
        return refuse(Refused(Refusal.BAD_REQUEST))
    deleted = []
    for smsid in smsids:
        outcome = yield from take_back(asked.account, smsid)
        if isinstance(outcome, Cancelled):
            deleted.append(smsid)
        elif deleted:
            return json_response(error_of(reason_of(outcome)) | {"deleted": deleted})
        else:
            return refuse(outcome)
    return json_response({"deleted": deleted})


def take_back(account: Account, smsid: str) -> Flow[Call, Outcome, Outcome]:
    """One message, and not the others of its submission: so its number is looked up first."""
    our_id = id_of(smsid)
    if our_id is None:
        return Refused(Refusal.NOT_FOUND)
    found = yield FindMessages(account=account, reference=str(our_id))
    if not isinstance(found, Reports):
        return found
    report = next((one for one in found.items if one.id == our_id), None)
    if report is None:
        return Refused(Refusal.NOT_FOUND)
    return (yield Cancel(account, str(our_id), report.recipient))


FLOWS: dict[tuple[str, str], Callable[[HttpRequest], NorthFlow]] = {
    ("DELETE", SCHEDULED): delete,
    **{
        (method, path): flow
        for path, flow in (
            (SEND, send),
            (SUMMARY, summarise),
            (CHAT, chat),
            (SCHEDULED, list_scheduled),
            (DELETE, delete),
        )
        for method in METHODS
    },
}


def refuse(outcome: Outcome) -> HttpResponse:
    """A bad login has status 401, everything else that is wrong with a request 200: the provider's app reads `error`
    and `error_message` (3.1)."""
    reason = reason_of(outcome)
    if reason is Refusal.UNAUTHORISED:
        return json_response(error_of(reason), 401, CHALLENGE)
    return error_response(reason)


def error_response(reason: Refusal, status: int = 200) -> HttpResponse:
    return json_response(error_of(reason), status)


def error_of(reason: Refusal) -> dict[str, object]:
    return {"error": True, "error_message": REFUSALS.words[reason]}


def page_of(fields: dict[str, str], pages_max: int) -> int | None:
    """Pages count from 0; None beyond the last one we would look for."""
    written = fields["page"].strip()
    page = int(written) if written.isascii() and written.isdigit() and len(written) < 10 else 0
    return page if page < pages_max else None


def print_reference(reference: str) -> str:
    """A reference of ours as `smsid`; anything else as it is."""
    is_ours = reference.isascii() and reference.isdigit() and len(reference) < 20 and int(reference) < 1 << 63
    return smsid_of(int(reference)) if is_ours else reference


def country_of(recipient: str) -> str:
    """ISO 3166-1 alpha-2, or nothing (3.3)."""
    return country(parse_msisdn(recipient) or "") or ""


def date_of(instant: int, timezone: str) -> str:
    """`YYYY-MM-DD HH:MM:SS` by the account's clock (3.2, 3.3)."""
    return wall_clock(instant, timezone).strftime(DATE)


def write_inbound(target: CallbackTarget, inbound: Inbound) -> HttpRequest:
    """A reply, called back to the URL of the number it was sent to (3.6)."""
    values = (
        inbound.originator,
        inbound.recipient,
        inbound.text,
        date_of(inbound.received_ms, target.timezone),
        print_reference(inbound.reference),
    )
    return form_request(target.method.upper() or "POST", target.url, dict(zip(CALLBACK_FIELDS, values, strict=True)))


# South: we talk to the provider


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """One request, however many numbers. The bulk class has no sender: theirs is the provider's own (3.2)."""
    fields = {"to": ",".join(submission.recipients), "msg": submission.text}
    if submission.service is not Service.ECONOMY and submission.originator:
        fields = {"from": submission.originator} | fields
    if submission.scheduled_ms is not None:
        zone = option(upstream, "timezone")
        try:
            fields["delivery_date"] = date_of(-(-submission.scheduled_ms // 1000) * 1000, zone)
        except (ZoneInfoNotFoundError, ValueError, OverflowError):
            return Refused(Refusal.BAD_REQUEST, "a time that cannot be written")
    answer = yield from ask(upstream, SEND, fields)
    return read_log(answer, submission) if isinstance(answer, dict) else answer


def ask(upstream: Upstream, path: str, fields: dict[str, str]) -> Flow[HttpRequest, Reply, Any]:
    """A JSON object that names no error; else the refusal, or that nobody knows (3.1)."""
    if ":" in upstream.login:
        return Refused(Refusal.UNAUTHORISED, "HTTP Basic has no place for a name with a colon")
    credentials = f"{upstream.login}:{upstream.password.value}".encode("utf-8", "replace")
    request = form_request("POST", api_url(upstream.url, path), fields)
    authorization = (b"authorization", b"Basic " + b64encode(credentials))
    reply = yield msgspec.structs.replace(request, headers=(*request.headers, authorization))
    if isinstance(reply, HttpResponse) and reply.status == 401:
        return Refused(Refusal.UNAUTHORISED, "HTTP 401")
    answer = answer_json(reply)
    if not isinstance(answer, dict):
        return answer if isinstance(answer, Refused | Uncertain) else unknown(answer)
    if answer.get("error"):
        text = detail_of(str(answer.get("error_message", "")))
        return Refused(REFUSALS.meanings.get(text, Refusal.BAD_REQUEST), text)
    return answer


def read_log(answer: dict[str, Any], submission: Submission) -> Verdict:
    """A ticket for each number, from the first of its entries: a long text may have one for each piece (3.3)."""
    entries: dict[str, dict[str, Any]] = {}
    for one in rows_of(answer, "send_log"):
        entries.setdefault(digits_of(one.get("to")), one)
    segments = count(submission.text, STANDARD) or 1
    tickets = []
    for recipient in submission.recipients:
        ticket = read_ticket(entries.get(digits_of(recipient), {}), recipient, segments)
        if ticket is None:
            return unknown(answer)
        tickets.append(ticket)
    if all(ticket.refusal for ticket in tickets):
        first = entries[digits_of(submission.recipients[0])]
        return Refused(tickets[0].refusal or Refusal.INTERNAL, detail_of(str(first.get("code_desc", ""))))
    return Accepted(tuple(tickets))


def read_ticket(one: dict[str, Any], recipient: str, segments: int) -> Ticket | None:
    """What an entry says about its number; None where it says neither yes nor no."""
    code, smsid = digits_of(one.get("code")), one.get("smsid")
    if not 0 < len(code) < 10:
        return None
    if int(code) != SENT_CODE:
        known = REFUSALS.meanings.get(str(one.get("code_desc", "")), REASONS.get(int(code), Refusal.BAD_REQUEST))
        return Ticket(recipient=recipient, reference="", refusal=known)
    if not (isinstance(smsid, str) and THEIR_ID.fullmatch(smsid)) or one.get("status") == FAILED:
        return None
    return Ticket(recipient=recipient, reference=smsid, segments=segments, price_micros=micros_of(one.get("sale")) or 0)


def query(
    upstream: Upstream, reference: str, originator: str, recipient: str
) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]:
    """There is no question about one message, so the newest pages of the summary are searched for it (3.4)."""
    for page in range(SEARCHED_PAGES_MAX):
        answer = yield from ask(upstream, option(upstream, "summary_path"), {"page": str(page)})
        if not isinstance(answer, dict):
            return refused_or_uncertain(answer)
        rows = rows_of(answer, "summary")
        if not isinstance(answer.get("summary"), list):
            return unknown(answer)
        if not rows:
            return Refused(Refusal.NOT_FOUND, "not in the summary")
        found = next((one for one in rows if str(one.get("sms_id")) == reference), None)
        if found is not None:
            return read_report(found, reference, originator)
    return Uncertain("not among the newest messages of the summary")


def read_report(row: dict[str, Any], reference: str, originator: str) -> Report | Uncertain:
    state, price_micros = STATES.meanings.get(str(row.get("sms_status"))), micros_of(row.get("sms_sale"))
    if state is None:
        return unknown(row)
    return Report(
        id=0,
        submission_id=0,
        reference=reference,
        originator=originator,
        recipient=digits_of(row.get("sms_external")),
        state=state,
        segments=0,
        price_micros=price_micros or 0,
    )


def cancel(
    upstream: Upstream, reference: str, recipient: str
) -> Flow[HttpRequest, Reply, Cancelled | Refused | Uncertain]:
    """Take back what is scheduled (3.5); the recipient is in the reference already."""
    answer = yield from ask(upstream, option(upstream, "delete_path"), {"smsid": reference})
    if not isinstance(answer, dict):
        return refused_or_uncertain(answer)
    deleted = answer.get("deleted")
    return Cancelled() if isinstance(deleted, list) and reference in deleted else unknown(answer)


def read_inbound(upstream: Upstream, request: HttpRequest) -> Inbound | None:
    """3.6, in the fields that the carrier option `inbound_fields` names; a callback without both numbers is none."""
    texts = texts_of(fields_of(request))
    names = [name.strip() for name in option(upstream, "inbound_fields").split(",")]
    if len(names) != len(CALLBACK_FIELDS):
        return None
    originator, recipient, text, date, reference = (texts[name] for name in names)
    if not (originator.strip() and recipient.strip()):
        return None
    return Inbound(
        reference=reference.strip(),
        originator=originator.strip(),
        recipient=recipient.strip(),
        text=text,
        received_ms=read_date(date.strip(), option(upstream, "timezone")),
    )


def read_date(written: str, timezone: str) -> int:
    """The instant of a date as in 3.3; 0 for what is none."""
    try:
        return max(0, instant_ms(datetime.strptime(written, DATE), timezone))
    except (ZoneInfoNotFoundError, ValueError, OverflowError):
        return 0


def option(upstream: Upstream, name: str) -> str:
    return upstream.options.get(name) or OPTIONS[name]


def api_url(url: str, path: str) -> str:
    """A method of 3.1 at a host that may be written with `/api-v2`, `/api-v2/index.php`, a last slash, or none."""
    parts = urlsplit(url)
    base = parts.path.rstrip("/").removesuffix("/index.php").removesuffix("/api-v2")
    return urlunsplit(parts._replace(path=base + ROOT + path))


def rows_of(answer: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list, whatever else is in it."""
    rows = answer.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def digits_of(value: object) -> str:
    """The digits of a number, or of what may be written as a number or as a text."""
    return re.sub(r"[^0-9]", "", str(value)[:100]) if isinstance(value, str | int) else ""


def micros_of(value: object) -> int | None:
    """Money as a JSON number or as a text, in millionths; None for what is none or more than a thousand million."""
    try:
        amount = float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None
    return round(amount * 1_000_000) if amount is not None and abs(amount) <= 1e9 else None


def refused_or_uncertain(answer: object) -> Refused | Uncertain:
    return answer if isinstance(answer, Refused | Uncertain) else unknown(answer)


def unknown(answer: object) -> Uncertain:
    """No more than the keys of the answer: its values may be texts and numbers of people."""
    shape = detail_of(", ".join(map(str, answer))) if isinstance(answer, dict) else type(answer).__name__
    return Uncertain(f"unknown answer: {shape}")


VOIPCOM = Dialect(
    name="voipcom",
    north=North(
        paths={ROOT + SEND: serve},
        roots={ROOT: serve},
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(),
        inbound=write_inbound,
    ),
    south=South(
        default_url="https://voip-communications.net",
        submit=submit,
        query=query,
        cancel=cancel,
        inbound=read_inbound,
    ),
)
