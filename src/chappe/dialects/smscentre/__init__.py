"""SMS Centre: PHP addresses that answer in four formats and three charsets, and a handler that is called back.

Strategy: what is known of the provider stands in `facts`, and in `shapes` what its answers look like, read in one
direction by the north half (`send`, `status`, `get`) and in the other by `south`; `fields` reads a request and its
charset, `submission` what is to be sent, `formats` writes an answer, `times` knows the provider's dates, `callbacks`
goes both ways. A message is known by the client's own id and the phone (3).

Figures such as 2.4 are paragraphs of docs/dialects/smscentre.md; "ours" marks what the provider leaves open.
"""

from chappe.core.centre import Refused
from chappe.dialects.base import Dialect, HttpResponse, North, South
from chappe.dialects.smscentre import facts, formats
from chappe.dialects.smscentre.callbacks import read_inbound, read_receipt, write_inbound, write_receipt
from chappe.dialects.smscentre.fields import command, read_json
from chappe.dialects.smscentre.get import balance, get
from chappe.dialects.smscentre.send import send
from chappe.dialects.smscentre.south import cancel, fetch_balance, query, submit
from chappe.dialects.smscentre.status import status
from chappe.sms.segments import STANDARD


def refuse(refused: Refused) -> HttpResponse:
    """Where nobody has read in which format to answer."""
    return formats.refuse(formats.LINE, facts.WINDOWS_1251, facts.fault_of(refused))


SMSCENTRE = Dialect(
    name="smscentre",
    north=North(
        paths={
            facts.SEND: command(send),
            **dict.fromkeys(facts.REST_SENDS, command(send, read_json)),
            facts.STATUS: command(status),
            facts.BALANCE: command(balance),
            facts.GET: command(get),
        },
        refuse=refuse,
        body_max=facts.BODY_MAX,
        recipients_max=facts.RECIPIENTS_MAX,
        counting=STANDARD,
        default_originator=facts.DEFAULT_SENDER,
        duplicate_s=facts.DUPLICATE_S,
        reported_states=facts.REPORTED,
        receipt=write_receipt,
        inbound=write_inbound,
    ),
    south=South(
        default_url="https://smsc.ru",
        submit=submit,
        query=query,
        cancel=cancel,
        balance=fetch_balance,
        receipt=read_receipt,
        inbound=read_inbound,
        query_by_our_reference=True,
        receipt_by_our_reference=True,
        callback_answer=formats.respond(formats.LINE, facts.UTF_8, "OK"),
    ),
)
