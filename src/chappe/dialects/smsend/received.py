"""Messages that the account received, pulled: the new ones, a span of time, or what came after one of them (4.13)."""

from chappe.core.centre import InboundMessages, ListInbound, Refusal, Refused, TakeInbound
from chappe.core.model import Account, Inbound
from chappe.dialects.base import NorthFlow, json_response
from chappe.dialects.smsend.asking import Asked, number_of, paged, refuse
from chappe.dialects.smsend.dates import compact
from chappe.dialects.smsend.facts import FRENCH, INBOUND_MAX, RECEIVED_NAMES, REPLIES, REPLIES_MAX, STOP
from chappe.dialects.smsend.orders import part_of
from chappe.dialects.smsend.push import shown
from chappe.sms.numbers import parse_msisdn


def take(asked: Asked) -> NorthFlow:
    """`newsrsmsmessage`: what came since the last call; the gateway keeps the place (4.3)."""
    count_max = limit_of(asked)
    if isinstance(count_max, Refused):
        return refuse(count_max)
    taken = yield TakeInbound(account=asked.account, numbers=sims_of(asked), count_max=count_max)
    if not isinstance(taken, InboundMessages):
        return refuse(taken)
    return json_response({"result": "OK", "messages": [row(asked.account, inbound) for inbound in taken.items]})


def list_span(asked: Asked) -> NorthFlow:
    """`srsmshistory`: what came in a span of time."""
    part = part_of(asked)
    if isinstance(part, Refused):
        return refuse(part)
    listed = yield ListInbound(
        account=asked.account,
        numbers=sims_of(asked),
        from_ms=part.from_ms,
        to_ms=part.to_ms,
        offset=part.page.offset,
        count_max=part.page.size,
    )
    if not isinstance(listed, InboundMessages):
        return refuse(listed)
    return paged(part.page, listed.total, "messages", [row(asked.account, inbound) for inbound in listed.items])


def list_after(asked: Asked) -> NorthFlow:
    """`srsmshistory/{sim}/{id_message}`: what came after that message (4.3)."""
    count_max, after_id = limit_of(asked), number_of(asked.ids["id_message"])
    if after_id is None or isinstance(count_max, Refused):
        return refuse(Refused(Refusal.BAD_REQUEST, "id_message and limit are whole numbers"))
    listed = yield ListInbound(account=asked.account, numbers=sims_of(asked), after_id=after_id, count_max=count_max)
    if not isinstance(listed, InboundMessages):
        return refuse(listed)
    return json_response({"result": "OK", "messages": [row(asked.account, inbound) for inbound in listed.items]})


def list_replies(asked: Asked) -> NorthFlow:
    """`mosmshistory`: replies by what they ask for, for French accounts alone (4.3)."""
    kind, part = asked.field("type").upper(), part_of(asked)
    if asked.account.country != FRENCH:
        return refuse(Refused(Refusal.UNAUTHORISED))
    if isinstance(part, Refused):
        return refuse(part)
    if kind not in ("", *REPLIES):
        return refuse(Refused(Refusal.BAD_REQUEST, "type"))
    listed = yield ListInbound(account=asked.account, from_ms=part.from_ms, to_ms=part.to_ms, count_max=REPLIES_MAX)
    if not isinstance(listed, InboundMessages):
        return refuse(listed)
    rows = [row(asked.account, one) for one in listed.items if kind in ("", kind_of(asked.account, one))]
    return paged(part.page, len(rows), "messages", rows[part.page.offset : part.page.offset + part.page.size])


def kind_of(account: Account, inbound: Inbound) -> str:
    """What a reply asks for, by its first word."""
    word = (inbound.text.upper().split() or [""])[0]
    is_stop = word in {stop.upper() for stop in account.stop_words}
    return STOP if is_stop else next((kind for kind in REPLIES if kind == word), REPLIES[-1])


def row(account: Account, inbound: Inbound) -> dict[str, str]:
    """4.13 [R]. A SIM is known by its number here; keywords are not shared out, so there is none to name."""
    values = (
        inbound.reference,
        inbound.recipient,
        shown(inbound.originator),
        compact(inbound.received_ms, account.timezone),
        inbound.text,
        "",
    )
    return dict(zip(RECEIVED_NAMES, values, strict=True))


def sims_of(asked: Asked) -> tuple[str, ...]:
    """The numbers in the path, split by commas; none means all of the account's."""
    sims = [sim.strip() for sim in asked.ids.get("sim", "").split(",")]
    return tuple(parse_msisdn(sim) or sim for sim in sims if sim)


def limit_of(asked: Asked) -> int | Refused:
    """At most 100, which is also what nothing means (4.3); more is 100."""
    limit = number_of(asked.field("limit") or INBOUND_MAX)
    return min(limit, INBOUND_MAX) if limit else Refused(Refusal.BAD_REQUEST, "limit")
