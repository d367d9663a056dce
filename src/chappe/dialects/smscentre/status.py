"""status.php: what became of one message or many, asked by id and phone; and taking back what still waits (3)."""

import re
from collections.abc import Mapping

from chappe.core.centre import (
    Call,
    Cancel,
    Cancelled,
    FindMessages,
    Outcome,
    Refusal,
    Refused,
    Reports,
)
from chappe.core.model import Account, Report
from chappe.dialects.base import Flow, HttpResponse, decimal_of, numbers_of
from chappe.dialects.smscentre import formats
from chappe.dialects.smscentre.facts import (
    CLIENT_ID,
    NOT_DELETED,
    NOT_FOUND,
    PARAMETERS,
    SEPARATORS,
    STATUS_NAMES,
    STATUSES_MAX,
    TYPES,
    Fault,
    fate_of,
    fault_of,
)
from chappe.dialects.smscentre.fields import Asked
from chappe.dialects.smscentre.shapes import DATES, NAMES, NUMBERS, SHORT, SHORT_NUMBERS
from chappe.dialects.smscentre.submission import correct
from chappe.dialects.smscentre.times import written_time
from chappe.sms.numbers import country

Pair = tuple[str, str]  # id and phone

LEVEL = re.compile(r"[0-2]?")


def status(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """3.1 to 3.4."""
    pairs = read_pairs(asked["id"], asked["phone"])
    written = asked["all"].strip()
    if isinstance(pairs, Fault) or not LEVEL.fullmatch(written):
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    if asked.is_on("del"):
        return (yield from delete(asked, account, pairs))
    found: list[tuple[Pair, Report | None]] = []
    for pair in pairs:
        reports = yield FindMessages(account=account, reference=pair[0], recipient=pair[1])
        if isinstance(reports, Refused) and reports.reason is Refusal.NOT_FOUND:
            reports = Reports(items=(), total=0)
        if not isinstance(reports, Reports):
            return formats.refuse(asked.fmt, asked.charset, fault_of(reports))
        found.append((pair, next(iter(reports.items), None)))
    return answer(asked, account, found, int(written or "0"))


def read_pairs(ids: str, phones: str) -> list[Pair] | Fault:
    """Ids and phones, one by one; a single id may stand for all phones: ours."""
    references, numbers = numbers_of(ids, SEPARATORS), [correct(phone) for phone in numbers_of(phones, SEPARATORS)]
    if len(references) == 1:
        references *= len(numbers)
    if not numbers or len(references) != len(numbers) or len(numbers) > STATUSES_MAX:
        return PARAMETERS
    if not all(map(CLIENT_ID.fullmatch, references)):
        return PARAMETERS
    return list(zip(references, numbers, strict=True))


def delete(asked: Asked, account: Account, pairs: list[Pair]) -> Flow[Call, Outcome, HttpResponse]:
    """3.4: done if every message was taken back; what has left, or was never there, cannot be."""
    fault = None
    for reference, phone in pairs:
        outcome = yield Cancel(account, reference, phone)
        if isinstance(outcome, Refused) and outcome.reason in (Refusal.NOT_FOUND, Refusal.TOO_LATE):
            fault = NOT_DELETED
        elif not isinstance(outcome, Cancelled):
            return formats.refuse(asked.fmt, asked.charset, fault_of(outcome))
    return formats.refuse(asked.fmt, asked.charset, fault) if fault else formats.done(asked.fmt, asked.charset)


def answer(asked: Asked, account: Account, found: list[tuple[Pair, Report | None]], level: int) -> HttpResponse:
    """One message as it is, many as rows that say which they are (3.2, 3.3)."""
    is_many = len(found) > 1 or "," in asked["id"] or "," in asked["phone"]
    if asked.fmt in (formats.LINE, formats.NUMBERS):
        lines = [line(asked.fmt, account, pair, report, level, is_many=is_many) for pair, report in found]
        return formats.respond(asked.fmt, asked.charset, "\n".join(lines))
    rows = [row(account, pair, report, level, is_many=is_many) for pair, report in found]
    if is_many:
        return formats.rows(asked.fmt, asked.charset, rows)
    if asked.fmt == formats.XML:
        return formats.respond(asked.fmt, asked.charset, formats.xml_text("result", rows[0]))
    return formats.respond(asked.fmt, asked.charset, formats.json_text(rows[0]))


def row(account: Account, pair: Pair, report: Report | None, level: int, *, is_many: bool) -> dict[str, object]:
    """The members of 3.2; `err` only where there is one, id and phone where several were asked for."""
    if report is None:
        members: dict[str, object] = {"status": NOT_FOUND}
    else:
        values = values_of(report, account.timezone)
        members = {name: values[name] for name in NAMES[level] if name != "err" or values["err"]}
    return members | ({"id": formats.id_of(pair[0]), "phone": pair[1]} if is_many else {})


def line(fmt: int, account: Account, pair: Pair, report: Report | None, level: int, *, is_many: bool) -> str:
    """A line of fmt 0 or 1. Several asked for, it ends with the id, and if it is a short one with the phone too."""
    values = values_of(report, account.timezone) if report is not None else MISSING
    named = {"ID": pair[0]} if is_many else {}
    if is_many and level == SHORT:
        named["phone"] = pair[1]
    if fmt == formats.NUMBERS:
        names = NUMBERS[level] if report is not None else SHORT_NUMBERS
        return formats.numbers_of([values[name] for name in names] + list(named.values()))
    shown = {"Status": values["status"]}
    if report is not None:
        shown["check_time"] = values["last_date"]
        shown |= {"err": values["err"]} if values["err"] else {}
        shown |= {DATES.get(name, name): values[DATES.get(name, name)] for name in NUMBERS[level][len(SHORT_NUMBERS) :]}
    return formats.line_of(shown | named)


MISSING: Mapping[str, object] = {"status": NOT_FOUND, "last_timestamp": 0, "err": 0}


def values_of(report: Report, timezone: str) -> dict[str, object]:
    """Everything there is to tell about a message, by the provider's names (3.2). Of a number's network we know the
    country alone, as its two letters: ours."""
    fate = fate_of(report)
    return {
        "status": fate.status,
        "last_date": written_time(report.changed_ms, timezone),
        "last_timestamp": report.changed_ms // 1000,
        "err": fate.err,
        "send_date": written_time(report.due_ms, timezone),
        "send_timestamp": report.due_ms // 1000,
        "phone": report.recipient,
        "cost": decimal_of(report.price_micros, decimals_max=6),
        "sender_id": report.originator,
        "status_name": STATUS_NAMES[fate.status],
        "message": report.text,
        "comment": "",
        "mccmnc": "",
        "country": country(report.recipient) or "",
        "operator": "",
        "operator_orig": "",
        "region": "",
        "type": TYPES[report.coding],
        "id": formats.id_of(report.reference or str(report.submission_id)),
        "int_id": formats.id_of(str(report.id)),
        "sms_cnt": report.segments,
    }
