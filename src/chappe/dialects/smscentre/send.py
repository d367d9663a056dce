"""send.php: asks the gateway to send, or only what that would cost, and says so in all formats (2.4 to 2.7)."""

import re

from chappe.core.centre import (
    Accepted,
    Balance,
    Call,
    FetchBalance,
    Outcome,
    Quote,
    Refused,
    Submit,
    Ticket,
)
from chappe.core.model import Account
from chappe.dialects.base import Flow, HttpResponse, decimal_of
from chappe.dialects.smscentre import formats
from chappe.dialects.smscentre.facts import (
    CLIENT_ID,
    NO_ID,
    PARAMETERS,
    REJECTIONS,
    Fate,
    Fault,
    fault_of,
)
from chappe.dialects.smscentre.fields import Asked
from chappe.dialects.smscentre.shapes import COSTS, LINES, MEMBERS, PRICE, SEND_AND_BALANCE, SEND_AND_PRICE, XML_MEMBERS
from chappe.dialects.smscentre.submission import read_submission


def send(asked: Asked, account: Account) -> Flow[Call, Outcome, HttpResponse]:
    """2.1, 2.4: one id for the whole request; `cost=1` keeps and charges nothing."""
    client_id = "" if asked["id"].strip() in NO_ID else asked["id"].strip()
    cost = COSTS.get(asked["cost"].strip())
    if cost is None or (client_id and not CLIENT_ID.fullmatch(client_id)):
        return formats.refuse(asked.fmt, asked.charset, PARAMETERS)
    submission = yield from read_submission(asked, account, client_id)
    if isinstance(submission, Fault):
        return formats.refuse(asked.fmt, asked.charset, submission, client_id)
    ask = Quote if cost == PRICE else Submit
    verdict = yield ask(account, submission)
    refusal = verdict if not isinstance(verdict, Accepted) else refusal_of_all(verdict)
    if refusal is not None:
        return formats.refuse(asked.fmt, asked.charset, fault_of(refusal), client_id)
    assert isinstance(verdict, Accepted)
    left = (yield FetchBalance(account)) if cost == SEND_AND_BALANCE else None
    return accepted(asked, account, verdict, client_id, cost, left)


def refusal_of_all(verdict: Accepted) -> Refused | None:
    """Why nobody gets a message, where nobody does."""
    refusals = [ticket.refusal for ticket in verdict.tickets if ticket.refusal is not None]
    return Refused(refusals[0]) if len(refusals) == len(verdict.tickets) else None


# The answer


def accepted(
    asked: Asked, account: Account, verdict: Accepted, client_id: str, cost: int, left: Outcome | None
) -> HttpResponse:
    """2.4, 2.5. Where a balance is due and cannot be told, the answer is the one without: it was sent all the same."""
    good = [ticket for ticket in verdict.tickets if ticket.refusal is None]
    values: dict[str, object] = {
        "id": formats.id_of(client_id or verdict.reference or good[0].reference),
        "cnt": sum(ticket.segments for ticket in good),
        "cost": decimal_of(sum(ticket.price_micros for ticket in good), decimals_max=6),
    }
    if isinstance(left, Balance):
        values["balance"] = decimal_of(left.amount_micros)
    elif cost == SEND_AND_BALANCE:
        cost = SEND_AND_PRICE
    phones = [phone_of(ticket, account) for ticket in listed(asked, verdict)]
    names = (XML_MEMBERS if asked.fmt == formats.XML else MEMBERS)[cost]
    members = {name: values[name] for name in names} | ({"phones": phones} if phones else {})
    if asked.fmt == formats.JSON:
        return formats.respond(asked.fmt, asked.charset, formats.json_text(members))
    if asked.fmt == formats.XML:
        return formats.respond(asked.fmt, asked.charset, formats.xml_text("result", members))
    first = LINES[cost].format_map(values)
    if asked.fmt == formats.NUMBERS:
        first = formats.numbers_of(values[name] for name in names)
    lines = [first, *(formats.numbers_of(phone.values()) for phone in phones)]
    return formats.respond(asked.fmt, asked.charset, "\n".join(lines))


def listed(asked: Asked, verdict: Accepted) -> list[Ticket]:
    """`op` lists all numbers, `err` the wrong ones (2.5)."""
    is_all, is_wrong = asked.is_on("op"), asked.is_on("err")
    return [ticket for ticket in verdict.tickets if is_all or (is_wrong and ticket.refusal is not None)]


def phone_of(ticket: Ticket, account: Account) -> dict[str, str]:
    """2.5: all text, all five always, but no cost in test mode. The network of a number is not known to us."""
    fate = REJECTIONS.get(ticket.refusal, Fate(20, 255)) if ticket.refusal is not None else None
    phone = {
        "phone": re.sub("[^0-9]", "", ticket.recipient) or ticket.recipient,
        "mccmnc": "",
        "cost": decimal_of(ticket.price_micros, decimals_max=6) if ticket.refusal is None else "",
        "status": str(fate.status) if fate else "",
        "error": str(fate.err) if fate else "",
    }
    return {name: value for name, value in phone.items() if name != "cost" or not account.is_virtual}
