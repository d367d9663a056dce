"""smsend.it and its family (Skebby, Aruba, Mobyt, Trendoo, TextAnywhere): a REST API of JSON behind two header keys.

Start reading at `routes.py`, the method table. `facts.py` holds every word and code once; both halves read it.
"""

from chappe.core.model import State
from chappe.dialects.base import Dialect, North, South, plain
from chappe.dialects.smsend import push, south
from chappe.dialects.smsend.asking import refuse
from chappe.dialects.smsend.facts import BODY_MAX, HOST, RECIPIENTS_MAX, ROOT, UNREPORTED
from chappe.dialects.smsend.routes import serve
from chappe.sms.segments import STANDARD

SMSEND = Dialect(
    name="smsend",
    north=North(
        paths={},
        roots={ROOT: serve},
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(State) - UNREPORTED,
        receipt=push.write_receipt,
        inbound=push.write_inbound,
    ),
    south=South(
        default_url=HOST,
        log_in=south.log_in,
        submit=south.submit,
        query=south.query,
        cancel=south.cancel,
        balance=south.fetch_balance,
        receipt=push.read_receipt,
        inbound=push.read_inbound,
        query_by_our_reference=True,
        receipt_by_our_reference=True,
        callback_answer=plain("OK"),
    ),
)
