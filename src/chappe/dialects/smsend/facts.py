"""What smsend.it's document says, and what we put where it is silent: every word, code, limit and default, once.

Figures such as 4.4 are paragraphs of docs/dialects/smsend.md. Rows marked [R] are recollection, [P] are our proposals:
nobody knows better yet, so they stand here, to be changed in one place.
"""

from collections.abc import Mapping
from typing import NamedTuple

from chappe.core.centre import Refusal
from chappe.core.model import Service, State
from chappe.core.sessions import Proof
from chappe.dialects.base import Words

ROOT = "/API/v1.0/REST/"  # 4.1
BODY_MAX = 4 << 20  # bytes [P]: 10,000 recipients with variables of their own
RECIPIENTS_MAX = 10_000  # in one call: 4.4
TIMEZONE = "Europe/Rome"  # where an account has none of its own: 4.4.1 [P]
RETRY_AFTER_S = 5  # what we ask for when we cannot take more [P]

# What proves who is asking: 4.2

USER_KEY = "user_key"
KEYS = (("session_key", Proof.SESSION), ("access_token", Proof.ACCESS_TOKEN))
TRUE_FALSE = {True: "true", False: "false"}  # 4.3
DASHBOARD = "{scheme}://{host}/s/user/external-auth?k={key}&action=home&action-params="  # 4.3; the values are ours [P]


class Fault(NamedTuple):
    """How a refusal is told: 4.15. Numbers and texts are ours [P]."""

    status: int
    code: int
    text: str


FAULTS: Mapping[Refusal, Fault] = {
    Refusal.BAD_REQUEST: Fault(400, 100, "Bad request"),
    Refusal.BAD_RECIPIENT: Fault(400, 101, "Invalid recipient"),
    Refusal.BAD_ORIGINATOR: Fault(400, 102, "Invalid sender"),
    Refusal.EMPTY_TEXT: Fault(400, 103, "Empty message"),
    Refusal.TEXT_TOO_LONG: Fault(400, 104, "Message too long"),
    Refusal.TOO_MANY_RECIPIENTS: Fault(400, 105, "Too many recipients"),
    Refusal.FORBIDDEN: Fault(400, 106, "Not allowed"),
    Refusal.BLOCKED: Fault(400, 107, "Recipient blacklisted"),
    Refusal.DUPLICATE: Fault(400, 108, "Duplicate message"),
    Refusal.NO_ROUTE: Fault(400, 109, "No route to recipient"),
    Refusal.NO_FUNDS: Fault(400, 110, "Not enough credit"),
    Refusal.UNSUPPORTED: Fault(400, 111, "Not supported"),
    Refusal.UNAUTHORISED: Fault(401, 200, "Unauthorized"),
    Refusal.NOT_FOUND: Fault(404, 300, "Not found"),
    Refusal.TOO_LATE: Fault(404, 301, "Not scheduled any more"),
    Refusal.THROTTLED: Fault(429, 400, "Too many requests"),
    Refusal.OVERLOADED: Fault(503, 401, "Service unavailable"),
    Refusal.UNREACHABLE: Fault(503, 402, "Service unreachable"),
    Refusal.INTERNAL: Fault(500, 500, "Internal error"),
}
KEYS_HIDDEN = Fault(404, 200, "Unauthorized")  # bad keys at `dashboard` and `checksession`: 4.2
LOGIN_FAILED = Fault(404, 201, "Wrong credentials")  # 4.2

MESSAGE_TYPES: Mapping[str, Service] = {  # where an account has no words of its own: 4.1
    "N": Service.PREMIUM,
    "L": Service.STANDARD,
    "LL": Service.ECONOMY,
}

STATES = Words(  # 4.7
    {
        "WAITING": (State.QUEUED, State.SENDING),
        "SCHEDULED": (State.SCHEDULED,),
        "WAIT4DLVR": (State.SENT,),
        "SENT": (State.SENT,),
        "DLVRD": (State.DELIVERED,),
        "ERROR": (State.UNDELIVERABLE, State.CANCELLED),
        "TIMEOUT": (State.EXPIRED,),
        "KO": (State.REJECTED,),
        "UNKNOWN": (State.UNKNOWN,),
        "TOOM4USER": (State.REJECTED,),
        "TOOM4NUM": (State.REJECTED,),
        "UNKNRCPT": (State.REJECTED,),
        "UNKNPFX": (State.REJECTED,),
        "INVALIDDST": (State.REJECTED,),
        "BLACKLISTED": (State.REJECTED,),
        "INVALIDCONTENTS": (State.REJECTED,),
        "DEMO": (State.DELIVERED,),
    }
)
