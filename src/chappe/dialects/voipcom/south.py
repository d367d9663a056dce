"""We talk to the provider: one form for each call, and what its answers mean.

What it does not document can be changed by the carrier's options (`OPTIONS`).
"""

import re
from base64 import b64encode
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfoNotFoundError

import msgspec

from chappe.core.centre import (
    Accepted,
    Cancelled,
    Refusal,
    Refused,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.model import Inbound, Report, Service, Submission
from chappe.dialects.base import (
    Flow,
    HttpRequest,
    HttpResponse,
    Reply,
    Upstream,
    answer_json,
    beyond_text,
    detail_of,
    fields_of,
    form_request,
    texts_of,
    unknown_answer,
)
from chappe.dialects.times import instant_ms
from chappe.dialects.voipcom.facts import (
    CALLBACK_FIELDS,
    DATE,
    FAILED,
    OPTIONS,
    REASONS,
    REFUSALS,
    ROOT,
    SEARCHED_PAGES_MAX,
    SEND,
    SENT_CODE,
    STATES,
    THEIR_ID,
)
from chappe.dialects.voipcom.formats import date_of
from chappe.sms.segments import STANDARD, count


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """One request, however many numbers. The bulk class has no sender: theirs is the provider's own (3.2)."""
    unsupported = beyond_text(submission)
    if unsupported is not None:
        return unsupported
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
        return answer if isinstance(answer, Refused | Uncertain) else unknown_answer(answer)
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
            return unknown_answer(answer)
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
            return unknown_answer(answer)
        if not rows:
            return Refused(Refusal.NOT_FOUND, "not in the summary")
        found = next((one for one in rows if str(one.get("sms_id")) == reference), None)
        if found is not None:
            return read_report(found, reference, originator)
    return Uncertain("not among the newest messages of the summary")


def read_report(row: dict[str, Any], reference: str, originator: str) -> Report | Uncertain:
    state, price_micros = STATES.meanings.get(str(row.get("sms_status"))), micros_of(row.get("sms_sale"))
    if state is None:
        return unknown_answer(row)
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
    return Cancelled() if isinstance(deleted, list) and reference in deleted else unknown_answer(answer)


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
    return answer if isinstance(answer, Refused | Uncertain) else unknown_answer(answer)
