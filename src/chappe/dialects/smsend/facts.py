"""What smsend.it's document says, and what we put where it is silent: every word, code, limit and default, once.

Figures such as 4.4 are paragraphs of docs/dialects/smsend.md. Rows marked [R] are recollection, [P] are our proposals:
nobody knows better yet, so they stand here, to be changed in one place.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from chappe.core.centre import Refusal
from chappe.core.model import Service, State
from chappe.core.sessions import Proof
from chappe.dialects.base import Words

ROOT = "/API/v1.0/REST/"  # 4.1
BODY_MAX = 4 << 20  # bytes [P]: 10,000 recipients with variables of their own
RECIPIENTS_MAX = 10_000  # in one call: 4.4
PAGE_SIZE_MAX = 1_000  # of every list [P]
RETRY_AFTER_S = 5  # what we ask for when we cannot take more [P]

# What proves who is asking: 4.2

USER_KEY = "user_key"
KEYS = (("session_key", Proof.SESSION), ("access_token", Proof.ACCESS_TOKEN))
TRUE_FALSE = {True: "true", False: "false"}  # 4.3
# 4.3; the values are ours [P]. The panel takes such a link: listeners/panel/people.py.
DASHBOARD = "{scheme}://{host}/s/user/external-auth?k={user_key}.{key}&action=home&action-params="


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
REASON_WORDS: Mapping[str, str] = {  # of a rejected message: 4.7
    Refusal.BLOCKED: "BLACKLISTED",
    Refusal.BAD_RECIPIENT: "INVALIDDST",
    Refusal.NO_ROUTE: "UNKNPFX",
    Refusal.FORBIDDEN: "INVALIDCONTENTS",
    Refusal.THROTTLED: "TOOM4USER",
}
UNDATED = frozenset(State) - {State.DELIVERED}  # states without a delivery date: 4.7
UNREPORTED = frozenset({State.QUEUED, State.SENDING, State.SCHEDULED, State.SENT})  # nobody is called about them [P]
HISTORY_STATES: Mapping[State, int] = {  # `status` in `rcptHistory`: 2 waiting, 4 well, 9 failed, 10 too late: 4.9
    State.SCHEDULED: 2,
    State.QUEUED: 2,
    State.SENDING: 2,
    State.SENT: 2,
    State.DELIVERED: 4,
    State.UNDELIVERABLE: 9,
    State.REJECTED: 9,
    State.CANCELLED: 9,
    State.UNKNOWN: 9,
    State.EXPIRED: 10,
}
NOW = ("", "now")  # what `to` says for "until now": 4.3

# Sending: 4.4

NATIONAL_DIGITS_MIN = 9  # what must be left behind a country code for it to be one [P]
TRUNK_ZERO_STAYS = ("39", "378")  # Italy and San Marino dial the zero from abroad too (ITU-T E.164 national plans)
ENCODINGS = ("gsm", "ucs2")  # the first where none is named
TEXTS_MAX: Mapping[tuple[bool, bool], int] = {  # (low quality, needs ucs2) -> characters
    (False, False): 1_000,
    (False, True): 450,
    (True, False): 160,
    (True, True): 70,  # [P]
}
FRAGMENTS = 7  # where no other number is asked for
VALIDITY_MAX_MIN = 60 * 24 * 30  # [P]; the gateway keeps nothing for longer than it does
TEMPLATE_MAX = 4_000  # characters, before variables and links are put in [P]
VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]{1,64})\}")  # 4.5
SHORT_LINK = re.compile("%SHORT_LINK%")
RICH_LINK = re.compile("%RICHURL_+%")  # underscores as padding
DIRECT_URL, RECIPIENT_URL = "DIRECT_URL", "RECIPIENT"
CREDITS_MAX = (1 << 31) - 1  # what a typed client can hold: 4.6

# `status`: 4.8

SALES_NAMES: Mapping[Service, str] = {Service.PREMIUM: "N", Service.STANDARD: "L", Service.ECONOMY: "LL"}
CODES: Mapping[str, str] = {"N": "GP", "L": "GS", "LL": "SI"}  # what they are without aliases [R]
FURTHER_TYPES = ("EE", "AD")  # foreign, advertising: we sell neither apart, but a client misses them

# Received messages: 4.13

RECEIVED_NAMES = ("id_message", "id_sim", "phone_sender", "send_date", "message", "keyword")  # [R]
INBOUND_MAX = 100  # of `newsrsmsmessage` and by id
FRENCH = "33"  # whose accounts have `mosmshistory`
STOP = "STOP"
REPLIES = (STOP, "CONTACT", "OTHER")  # its types; the last is whatever is none of the others
REPLIES_MAX = 1_000  # the newest of a span, which are sorted by type [P]

# Pushes: 4.14

PUSH_METHOD = "POST"
PUSH_TIMEZONE = "Europe/Rome"  # in which a provider writes times to us [R]; the carrier option `timezone` overrides

# What an account keeps: 4.3, 4.10 to 4.12

CONTACT_FIELDS: Mapping[str, int] = {  # characters at most: 4.11; those of the first two are ours [P]
    "email": 254,
    "phoneNumber": 64,
    "name": 40,
    "surname": 40,
    "gender": 1,
    "fax": 32,
    "address": 256,
    "city": 32,
    "province": 32,
    "birthdate": 32,
    "promotiondate": 32,
    "rememberdate": 32,
    "zip": 16,
    **{f"custom{index}": 256 for index in range(1, 11)},
}
CONTACT_DATES = ("birthdate", "promotiondate", "rememberdate")
GENDERS = ("", "m", "f")
EMPTY_STRING = b'""'  # what answers a new contact [P]: 4.3
CONTACTS_MAX = 10_000  # in one call [P]
GROUPS_PAGE_SIZE = 5  # 4.3
BLACKLIST_DATE = "%Y-%m-%d %H:%M:%S"  # 4.3
BLACKLISTED_MAX = 10_000  # in one call [P]
ALIAS_FIELDS = (  # all needed: 4.10
    "alias",
    "company-name",
    "contact-name",
    "contact-surname",
    "cod-fiscale",
    "vat-number",
    "contact-address",
    "contact-city",
    "contact-pcode",
    "contact-type",
    "contact-info",
)
CONTACT_TYPES = ("SERVICE_PHONE", "MAIN_PHONE", "FAX", "EMAIL", "PEC", "WEB")
PIN_MARK = "%PIN%"  # 4.3
PIN_MINUTES = 60
PIN_MINUTES_MAX = 1_440  # [P]
TRIES_LEFT = "retriesLeft"  # [P]
SUBACCOUNT_FIELDS = ("address", "allowtpoavalidation", "cell", "city", "fiscal-code", "pa-code")  # 4.12
SUBACCOUNT_RESERVED = (
    "id",
    "login",
    "password",
    "active",
    "activation-time",
    "credits",
    "credits-sum",
    "result",
)  # [R]
TOWARDS, TYPE, AMOUNT = "super-to-sub", "message-type", "amount"  # of credit that is moved [R]
ACTIVATION_DATE = "%Y%m%d"
PASSWORD_SIZES = range(8, 17)  # 4.12

# As a carrier

HOST = "https://app.gateway.smsend.it"  # 4.1
SOUTH_TIMEZONE = "UTC"  # in which we write times to a provider, and say so
LOGIN_STYLES = ("query", "basic")  # 4.2
LOGIN_STYLE = "query"  # the documented one; the carrier option `login_style` overrides
