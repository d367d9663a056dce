"""SMPP 3.4 as a dialect: pure translators between its PDUs and the contract, for both ends of a bind.

Strategy: `words` has the tables and how a link speaks, `south` makes us an ESME, `north` a message centre. `addresses`
and `ids` know numbers and references, `memo` is what is remembered of a submission until its receipts are written.
Binds carry it, not HTTP: whoever drives the halves is `carriers.smpp` and `listeners.smpp`.

Figures such as 5.2.19 are clauses of SMPP 3.4; "ours" marks what it leaves open.
"""

from chappe.core.centre import Refusal, Refused, Verdict
from chappe.core.model import State, Submission
from chappe.dialects.base import Dialect, Flow, HttpRequest, HttpResponse, North, Reply, South, Upstream, plain
from chappe.dialects.smpp.memo import is_asked
from chappe.dialects.smpp.north import RECIPIENTS_MAX
from chappe.sms.segments import STANDARD


def refuse(refused: Refused) -> HttpResponse:
    """Nobody reaches this: SMPP has no paths."""
    return plain("SMPP is not spoken over HTTP", 404)


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """Over HTTP nothing can be submitted in SMPP; no request is made."""
    yield from ()  # which makes it a flow
    return Refused(Refusal.UNSUPPORTED, "SMPP needs a bind, which the gateway has")


SMPP = Dialect(
    name="smpp",
    north=North(
        paths={},
        refuse=refuse,
        body_max=0,
        recipients_max=RECIPIENTS_MAX,
        counting=STANDARD,
        reported_states=frozenset(State) - {State.SCHEDULED, State.QUEUED, State.SENDING},
        is_asked=is_asked,
    ),
    south=South(default_url="smpp://", submit=submit),
)
