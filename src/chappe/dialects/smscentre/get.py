"""balance.php and get.php: money, what was sent, what was received, and sums (4.1, 4.7)."""

import re
from collections.abc import Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

from chappe.core.centre import (
    Balance,
    Call,
    FetchBalance,
    FetchStatistics,
    FetchTime,
    InboundMessages,
    Instant,
    ListInbound,
    ListMessages,
    Outcome,
    Reports,
    Statistics,
)
from chappe.core.model import Account, Inbound
from chappe.dialects.base import Flow, HttpResponse, decimal_of, numbers_of
from chappe.dialects.smscentre import formats
from chappe.dialects.smscentre.facts import (
    CURRENCIES,
    INBOUND_HOURS_MAX,
    INBOUND_MAX,
    MESSAGES_DEFAULT,
    MESSAGES_MAX,
    NO_RECORDS,
    PARAMETERS,
    SEPARATORS,
    WINDOW_MAX_S,
    Fault,
    fault_of,
)
from chappe.dialects.smscentre.fields import Asked, Command
from chappe.dialects.smscentre.shapes import LAST_VALUES, MESSAGE_NAMES
from chappe.dialects.smscentre.status import values_of
from chappe.dialects.smscentre.submission import correct
from chappe.dialects.smscentre.times import day_of, read_day, written_time
from chappe.dialects.times import instant_ms

HOUR_MS = 3_600_000
OUR_ID = re.compile(r"[0-9]{1,18}")
COUNT = re.compile(r"[0-9]{1,4}")
HOURS = re.compile(r"[0-9]{1,3}")
SMS_FORMATS = ("", "0")  # of get_messages: the others are no SMS


def balance(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """4.1: the amount, and with `cur` its currency. There is no credit."""
    left = yield FetchBalance(account)
    if not isinstance(left, Balance):
        return formats.refuse(asked.fmt, asked.charset, fault_of(left))
    members: dict[str, object] = {"balance": decimal_of(left.amount_micros)}
    if asked.is_on("cur"):
        currency = left.currency or account.currency
        members["currency"] = CURRENCIES.get(currency, currency)
    if asked.fmt == formats.JSON:
        return formats.respond(asked.fmt, asked.charset, formats.json_text(members))
    if asked.fmt == formats.XML:
        is_alone = len(members) == 1
        body = formats.xml_text("balance", members["balance"]) if is_alone else formats.xml_text("result", members)
        return formats.respond(asked.fmt, asked.charset, body)
    return formats.respond(asked.fmt, asked.charset, formats.numbers_of(members.values()))


def get(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """get.php: the switch that is on tells what is wanted."""
    for name, does in WANTED.items():
        if asked.is_on(name):
            return (yield from does(asked, account))
    return formats.refuse(asked.fmt, asked.charset, PARAMETERS)


def get_messages(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """What was sent, newest first; no rows are an error (4)."""
    window = yield from read_window(asked, account)
    count, before = asked["cnt"].strip() or str(MESSAGES_DEFAULT), asked["prev_id"].strip() or "0"
    if isinstance(window, Fault) or not (COUNT.fullmatch(count) and OUR_ID.fullmatch(before)):
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    if not 0 < int(count) <= MESSAGES_MAX or window[1] - window[0] > WINDOW_MAX_S * 1000:
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    if asked["format"].strip() not in SMS_FORMATS or asked["email"].strip():
        return formats.refuse(asked.fmt, asked.charset, NO_RECORDS)
    reports = yield ListMessages(
        account=account,
        from_ms=window[0],
        to_ms=window[1],
        recipients=tuple(map(correct, numbers_of(asked["phone"], SEPARATORS))),
        before_id=int(before),
        count_max=int(count),
    )
    if not isinstance(reports, Reports):
        return formats.refuse(asked.fmt, asked.charset, fault_of(reports))
    found = [values_of(report, account.timezone) for report in reports.items]
    return listed(asked, [{name: values[name] for name in MESSAGE_NAMES} | LAST_VALUES for values in found])


def get_answers(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """What was received: behind an id, of the last hours, or of today."""
    hours, after = asked["hour"].strip(), asked["after_id"].strip() or "0"
    is_right = HOURS.fullmatch(hours or "1") and 0 < int(hours or "1") <= INBOUND_HOURS_MAX
    if not (is_right and OUR_ID.fullmatch(after)):
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    from_ms = 0
    if not int(after):
        now = yield FetchTime()
        if not isinstance(now, Instant):
            return formats.refuse(asked.fmt, asked.charset, fault_of(now))
        from_ms = now.now_ms - int(hours) * HOUR_MS if hours else today_ms(now.now_ms, account)
    found = yield ListInbound(
        account=account,
        numbers=tuple(map(correct, numbers_of(asked["to_phone"], SEPARATORS))),
        from_ms=from_ms,
        after_id=int(after),
        count_max=INBOUND_MAX,
    )
    if not isinstance(found, InboundMessages):
        return formats.refuse(asked.fmt, asked.charset, fault_of(found))
    rows = [answer_of(inbound, account.timezone) for inbound in found.items]
    return listed(asked, rows, is_empty_a_list=True)


def answer_of(inbound: Inbound, timezone: str) -> dict[str, object]:
    """4.7; when the phone sent it nobody tells us, so it is when it arrived: ours."""
    received = written_time(inbound.received_ms, timezone)
    return {
        "id": formats.id_of(inbound.reference),
        "received": received,
        "phone": inbound.originator,
        "message": inbound.text,
        "to_phone": inbound.recipient,
        "sent": received,
    }


def get_stat(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """How much was sent, spent and paid in."""
    window = yield from read_window(asked, account)
    if isinstance(window, Fault):
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    sums = yield FetchStatistics(account, *window)
    if not isinstance(sums, Statistics):
        return formats.refuse(asked.fmt, asked.charset, fault_of(sums))
    row = {
        "login": account.name,
        "sms": sums.segments_count,
        "credit": decimal_of(sums.spent_micros),
        "debit": decimal_of(sums.paid_in_micros),
        "currency": CURRENCIES.get(account.currency, account.currency),
    }
    return listed(asked, [row])


WANTED: Mapping[str, Command] = {"get_messages": get_messages, "get_answers": get_answers, "get_stat": get_stat}


def listed(asked: Asked, rows: list[dict[str, object]], *, is_empty_a_list: bool = False) -> HttpResponse:
    """Rows in every format; none are an error, or where JSON and XML may say so, an empty list: no answer is ever
    empty (1.1, 9)."""
    may_be_empty = is_empty_a_list and asked.fmt in (formats.XML, formats.JSON)
    if not rows and not may_be_empty:
        return formats.refuse(asked.fmt, asked.charset, NO_RECORDS)
    return formats.rows(asked.fmt, asked.charset, rows)


def read_window(asked: Asked, account: Account) -> Flow[Call, Outcome, tuple[int, int] | Fault]:
    """From the first day to the end of the last; what is left out is today: ours."""
    zone = ZoneInfo(account.timezone)
    now = yield FetchTime()
    if not isinstance(now, Instant):
        return fault_of(now)
    today = today_ms(now.now_ms, account)
    start, end = asked["start"].strip(), asked["end"].strip()
    first_ms = read_day(start, zone) if start else today
    last_ms = read_day(end, zone) if end else today
    if isinstance(first_ms, Fault) or isinstance(last_ms, Fault) or last_ms < first_ms:
        return PARAMETERS
    next_day = day_of(last_ms, zone) + timedelta(days=1)  # on the wall: a day may have 23 or 25 hours
    return first_ms, instant_ms(next_day, account.timezone)


def today_ms(now_ms: int, account: Account) -> int:
    return instant_ms(day_of(now_ms, ZoneInfo(account.timezone)), account.timezone)
