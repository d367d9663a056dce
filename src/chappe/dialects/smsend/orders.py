"""What became of what was sent: state, deletion and histories of orders (4.3, 4.7, 4.9).

An order is known by the id its sender gave it, else by ours in hexadecimal digits, which is read back without a table.
"""

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from chappe.core.centre import (
    Call,
    Cancel,
    CancelAll,
    Cancelled,
    FindMessages,
    ListMessages,
    ListSubmissions,
    Outcome,
    Refusal,
    Refused,
    Reports,
    SubmissionReport,
    SubmissionReports,
)
from chappe.core.model import Account, Report, Service
from chappe.dialects.base import Flow, NorthFlow, json_response
from chappe.dialects.smsend.asking import Asked, Page, page_of, paged, refuse
from chappe.dialects.smsend.dates import compact, is_zone, moment_ms
from chappe.dialects.smsend.facts import (
    HISTORY_STATES,
    MESSAGE_TYPES,
    NOW,
)
from chappe.dialects.smsend.national import international
from chappe.dialects.smsend.push import date_of, order_id_of, shown, word_of
from chappe.sms.numbers import parse_msisdn

ORDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")  # 4.4
END_OF_TIME_MS = 1 << 62
OURS = re.compile(r"[0-9A-F]{12,16}")  # what our ids look like in hexadecimal digits


def written(submission_id: str | int) -> str:
    """Our id of a submission as this dialect writes it (4.4)."""
    return f"{int(submission_id):X}"


def references(order_id: str) -> Iterator[str]:
    """What an order id may stand for: one of ours, or one of the sender's."""
    if OURS.fullmatch(order_id):
        yield str(int(order_id, 16))
    if ORDER_ID.fullmatch(order_id):
        yield order_id


# One order


def show(asked: Asked) -> NorthFlow:
    """`sms/{order_id}`: every recipient and its state (4.7)."""
    reports = yield from find(asked.account, asked.ids["order_id"])
    if not isinstance(reports, Reports):
        return refuse(reports)
    recipients = [
        {
            "status": word_of(report),
            "destination": shown(report.recipient),
            "delivery_date": date_of(report, asked.account.timezone),
        }
        for report in reports.items
    ]
    return json_response({"result": "OK", "recipient_number": reports.total, "recipients": recipients})


def find(account: Account, order_id: str) -> Flow[Call, Outcome, Outcome]:
    return first_known(order_id, lambda reference: FindMessages(account=account, reference=reference))


def first_known(order_id: str, call_of: Callable[[str], Call]) -> Flow[Call, Outcome, Outcome]:
    """What comes of a call about the first of the order's `references` that there is."""
    outcome: Outcome = Refused(Refusal.NOT_FOUND)
    for reference in references(order_id):
        outcome = yield call_of(reference)
        if not (isinstance(outcome, Refused) and outcome.reason is Refusal.NOT_FOUND):
            break
    return outcome


def delete(asked: Asked) -> NorthFlow:
    """DELETE `sms/{order_id}`: only what is still scheduled (4.3)."""
    outcome = yield from first_known(asked.ids["order_id"], lambda reference: Cancel(asked.account, reference))
    return json_response({"result": "OK"}) if isinstance(outcome, Cancelled) else refuse(outcome)


def delete_all(asked: Asked) -> NorthFlow:
    """DELETE `sms/bulk`: everything that is scheduled (4.3 [R])."""
    outcome = yield CancelAll(asked.account)
    return json_response({"result": "OK"}) if isinstance(outcome, Cancelled) else refuse(outcome)


def show_statistics(asked: Asked) -> NorthFlow:
    """`smsrich/statistics`: how many recipients an order had, by their state (4.3 [R])."""
    order_id = asked.field("order_id")
    reports = yield from find(asked.account, order_id)
    if not isinstance(reports, Reports):
        return refuse(reports)
    states = [word_of(report) for report in reports.items]
    counts = {word: states.count(word) for word in dict.fromkeys(states)}
    return json_response({"result": "OK", "order_id": order_id, "total": reports.total, "statistics": counts})


# Histories


def list_orders(asked: Asked) -> NorthFlow:
    """`smshistory` (4.9)."""
    part = part_of(asked)
    if isinstance(part, Refused):
        return refuse(part)
    listed = yield ListSubmissions(
        account=asked.account,
        from_ms=part.from_ms,
        to_ms=part.to_ms,
        offset=part.page.offset,
        count_max=part.page.size,
    )
    if not isinstance(listed, SubmissionReports):
        return refuse(listed)
    return paged(part.page, listed.total, "smshistory", [order_row(asked.account, order) for order in listed.items])


def order_row(account: Account, order: SubmissionReport) -> dict[str, object]:
    """Strings even where there is nothing to tell: a client's constructor wants them (4.9)."""
    return {
        "order_id": order.reference or written(order.id),
        "create_time": compact(order.submitted_ms, account.timezone),
        "schedule_time": compact(order.scheduled_ms or 0, account.timezone),
        "message_type": type_of(account, order.service),
        "sender": order.originator,
        "num_recipients": order.recipients_count,
    }


def list_messages(asked: Asked) -> NorthFlow:
    """`rcptHistory`: what was sent to one recipient (4.9)."""
    part, recipient = part_of(asked), recipient_of(asked)
    if isinstance(part, Refused):
        return refuse(part)
    if isinstance(recipient, Refused):
        return refuse(recipient)
    listed = yield ListMessages(
        account=asked.account,
        recipients=(recipient,),
        from_ms=part.from_ms,
        to_ms=part.to_ms,
        offset=part.page.offset,
        count_max=part.page.size,
    )
    if not isinstance(listed, Reports):
        return refuse(listed)
    return paged(
        part.page, listed.total, "rcpthistory", [message_row(asked.account, report) for report in listed.items]
    )


def message_row(account: Account, report: Report) -> dict[str, object]:
    return {
        "order_id": order_id_of(report),
        "sender": report.originator,
        "status": HISTORY_STATES[report.state],
        "send_date": compact(report.due_ms, account.timezone),
        "message_type": type_of(account, report.service),
    }


class Part(Struct, frozen=True):
    """Which part of a history is asked for: a page of a span of time."""

    page: Page
    from_ms: int
    to_ms: int


def part_of(asked: Asked) -> Part | Refused:
    """A page, `from` (needed) and `to` (now, where it is missing or says so) in the zone of `timezone` (4.3, 4.9)."""
    page = page_of(asked)
    if isinstance(page, Refused):
        return page
    timezone = asked.field("timezone") or asked.account.timezone
    if not is_zone(timezone):
        return Refused(Refusal.BAD_REQUEST, "timezone")
    from_ms, to = moment_ms(asked.field("from"), timezone), asked.field("to")
    to_ms = END_OF_TIME_MS if to.lower() in NOW else moment_ms(to, timezone)
    if from_ms is None or to_ms is None:
        return Refused(Refusal.BAD_REQUEST, "from and to are yyyyMMddHHmmss, and from is needed")
    return Part(page, from_ms, to_ms)


def recipient_of(asked: Asked) -> str | Refused:
    """The digits of `recipient`."""
    return parse_msisdn(international(asked.number("recipient"), asked.account.country)) or Refused(
        Refusal.BAD_RECIPIENT
    )


def type_of(account: Account, service: Service) -> str:
    """The account's first word for a service class (4.1)."""
    types = account.message_types or MESSAGE_TYPES
    return next((word for word, meant in types.items() if meant is service), "")
