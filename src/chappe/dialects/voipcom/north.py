"""Applications talk to us: every request begins with the login and ends in one JSON object.

What is wrong with one destination stands in its entry and keeps no other from being sent to; what is wrong with the
request as a whole is an `error` with an `error_message`, and nothing but a bad login has another status than 200.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import NamedTuple

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
)
from chappe.core.ids import read_id
from chappe.core.model import Account, Inbound, Report, Service, State, Submission
from chappe.dialects.base import (
    CallbackTarget,
    Flow,
    HttpRequest,
    HttpResponse,
    NorthFlow,
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
from chappe.dialects.voipcom.facts import (
    ACCEPTED,
    BULK,
    CALLBACK_FIELDS,
    CHALLENGE,
    CHAT,
    CHAT_PAGES_MAX,
    CODES,
    DELETE,
    DELETED_MAX,
    FAILED,
    INCOMING,
    LOG_MAX,
    METHODS,
    OUTGOING,
    PAGE_SIZE,
    PAGES_MAX,
    RECIPIENTS_MAX,
    REFUSALS,
    ROOT,
    SCHEDULED,
    SEND,
    SENT_CODE,
    SEPARATORS,
    STATES,
    SUMMARY,
    TWO_WAY,
)
from chappe.dialects.voipcom.formats import date_of, id_of, smsid_of
from chappe.sms.numbers import country, parse_msisdn


def serve(request: HttpRequest) -> NorthFlow:
    """Everything below 3.1's root; the phone app's other addresses (`cms/`, `ionic/` ...) are not ours: 3.4."""
    path = re.sub("//+", "/", request.path).removeprefix(ROOT).strip("/")
    flow = FLOWS.get((request.method, path))
    if flow is None:
        is_known = any(path == one for _, one in FLOWS)
        return error_response(Refusal.BAD_REQUEST, 200 if is_known else 404)
    asked = yield from enter(request)
    return (yield from flow(asked)) if isinstance(asked, Asked) else refuse(asked)


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


def send(asked: Asked) -> NorthFlow:
    """sms/send: one text to one or more numbers, now or later; the answer has an entry for each (3.2, 3.3)."""
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
    if len(recipients) > RECIPIENTS_MAX or len(recipients) * len(fields["msg"]) > LOG_MAX:
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


def summarise(asked: Asked) -> NorthFlow:
    """sms/summary: what was sent, newest first, a page at a time; an empty list ends it (3.4)."""
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


def list_scheduled(asked: Asked) -> NorthFlow:
    """sms/scheduled: what waits for its time, in entries as `send` gives them (3.5)."""
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


def chat(asked: Asked) -> NorthFlow:
    """sms/chat: what went to and fro between one of our numbers (any, where none is named) and one outside, newest
    first (3.4)."""
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


def delete(asked: Asked) -> NorthFlow:
    """sms/delete: take back scheduled messages by their ids; where one fails, those before it are told (3.5)."""
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


FLOWS: dict[tuple[str, str], Callable[[Asked], NorthFlow]] = {
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
    page = int(written[:9]) if written.isascii() and written.isdigit() else 0
    return page if page < pages_max and len(written) < 10 else None


def print_reference(reference: str) -> str:
    """A reference of ours as `smsid`; anything else as it is."""
    our_id = read_id(reference)
    return reference if our_id is None else smsid_of(our_id)


def country_of(recipient: str) -> str:
    """ISO 3166-1 alpha-2, or nothing (3.3)."""
    return country(parse_msisdn(recipient) or "") or ""


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
