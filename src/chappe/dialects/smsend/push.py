"""What is pushed to a customer's URL, receipts and received messages, written and read by one table of names (4.14)."""

import re

from chappe.core.model import Inbound, Receipt, Report, State
from chappe.dialects.base import CallbackTarget, HttpRequest, Upstream, fields_of, form_request, texts_of
from chappe.dialects.smsend.dates import compact, moment_ms
from chappe.dialects.smsend.facts import PUSH_METHOD, PUSH_TIMEZONE, REASON_WORDS, STATES, UNDATED
from chappe.sms.numbers import parse_msisdn

MSISDN = re.compile(r"[1-9][0-9]{6,14}")


def word_of(report: Report) -> str:
    """The state in the provider's words, with the reason of a rejection where there is a word for it (4.7)."""
    word = STATES.words[report.state]
    return REASON_WORDS.get(report.reason, word) if report.state is State.REJECTED else word


def date_of(report: Report, timezone: str) -> str:
    """When it was delivered; empty while it is not (4.7)."""
    return "" if report.state in UNDATED else compact(report.changed_ms, timezone)


def order_id_of(report: Report) -> str:
    """The sender's own id, else ours in hexadecimal digits (4.4)."""
    return report.reference or f"{report.submission_id:X}"


def shown(number: str) -> str:
    """A number as this dialect writes it, with its plus sign; names and short codes as they are."""
    return f"+{number}" if MSISDN.fullmatch(number) else number


def write_receipt(target: CallbackTarget, report: Report) -> HttpRequest:
    """A delivery report: a POST form, or a GET where the customer wants that."""
    fields = {"order_id": order_id_of(report), "recipient": shown(report.recipient), "status": word_of(report)}
    date = date_of(report, target.timezone)
    return form_request(
        target.method.upper() or PUSH_METHOD, target.url, fields | ({"delivery_date": date} if date else {})
    )


def write_inbound(target: CallbackTarget, inbound: Inbound) -> HttpRequest:
    """A received message; `recipient` is our number, `delivery_date` when it came."""
    fields = {
        "id": inbound.reference,
        "text": inbound.text,
        "sender": shown(inbound.originator),
        "recipient": shown(inbound.recipient),
        "delivery_date": compact(inbound.received_ms, target.timezone),
    }
    return form_request(target.method.upper() or PUSH_METHOD, target.url, fields)


def read_receipt(upstream: Upstream, request: HttpRequest) -> Receipt | None:
    """A push with an order and a known word is a report; it carries no signature, so the path must be secret."""
    fields = texts_of(fields_of(request))
    reference, word, recipient = (fields[name].strip() for name in ("order_id", "status", "recipient"))
    state = STATES.meanings.get(word.upper())
    if not reference or state is None:
        return None
    return Receipt(reference=reference, state=state, recipient=parse_msisdn(recipient) or recipient, detail=word)


def read_inbound(upstream: Upstream, request: HttpRequest) -> Inbound | None:
    """A push without both numbers is none."""
    fields = texts_of(fields_of(request))
    originator, recipient = (parse_msisdn(fields[name]) or fields[name].strip() for name in ("sender", "recipient"))
    if not originator or not recipient or fields["order_id"]:
        return None
    timezone = upstream.options.get("timezone", PUSH_TIMEZONE)
    return Inbound(
        reference=fields["id"].strip(),
        originator=originator,
        recipient=recipient,
        text=fields["text"],
        received_ms=moment_ms(fields["delivery_date"], timezone) or 0,
    )
