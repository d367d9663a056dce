"""What the provider's pages say, and what we put where they are silent: every word, code, limit and default, once.

Figures such as 3.3 are paragraphs of docs/dialects/voipcom.md; "ours" marks what the provider leaves open.
"""

import re

from chappe.core.centre import Refusal
from chappe.core.model import State
from chappe.dialects.base import Words

ROOT = "/api-v2/index.php/"  # 3.1
SEND, SUMMARY, CHAT = "sms/send", "sms/summary", "sms/chat"  # 3.1, 3.4
SCHEDULED, DELETE = "sms/scheduled", "sms/delete"  # ours: 3.5
METHODS = ("GET", "POST")  # POST is the provider's, GET ours: 3.1
SEPARATORS = ","  # between numbers, and between ids: 3.2, 3.5
DATE = "%Y-%m-%d %H:%M:%S"  # 3.3
CHALLENGE = ((b"www-authenticate", b'Basic realm="api-v2", charset="UTF-8"'),)  # ours: 3.1

BULK, TWO_WAY = "BULKSMS", "2WAYSMS"  # the second is ours: 3.3
SENT_CODE = 200  # 3.3
ACCEPTED, FAILED = "SCHEDULED", "FAILED"  # the first is the only word known, the second ours: 3.3
OUTGOING, INCOMING = "OUT", "IN"  # the second is ours: 3.4

CODES = {  # of an entry, ours: 3.3; reasons without one here are about the request as a whole
    Refusal.BAD_RECIPIENT: 400,
    Refusal.TEXT_TOO_LONG: 400,
    Refusal.NO_ROUTE: 400,
    Refusal.NO_FUNDS: 402,
    Refusal.BAD_ORIGINATOR: 403,
    Refusal.FORBIDDEN: 403,
    Refusal.BLOCKED: 403,
    Refusal.DUPLICATE: 403,
    Refusal.EMPTY_TEXT: 406,
    Refusal.INTERNAL: 500,
}
REASONS = {code: reason for reason, code in reversed(CODES.items())}  # of a code, where its text is not known

REFUSALS = Words(  # `code_desc` and `error_message`, ours: 3.3
    {
        "Invalid API credentials": (Refusal.UNAUTHORISED,),
        "Invalid number": (Refusal.BAD_RECIPIENT,),
        "Too many numbers": (Refusal.TOO_MANY_RECIPIENTS,),
        "Sender not allowed": (Refusal.BAD_ORIGINATOR,),
        "Empty message": (Refusal.EMPTY_TEXT,),
        "Message too long": (Refusal.TEXT_TOO_LONG,),
        "Message not allowed": (Refusal.FORBIDDEN,),
        "Number opted out": (Refusal.BLOCKED,),
        "Duplicate message": (Refusal.DUPLICATE,),
        "Destination not available": (Refusal.NO_ROUTE,),
        "Insufficient balance": (Refusal.NO_FUNDS,),
        "Message not found": (Refusal.NOT_FOUND,),
        "Message already sent": (Refusal.TOO_LATE,),
        "Too many requests": (Refusal.THROTTLED,),
        "Service unavailable": (Refusal.OVERLOADED, Refusal.UNREACHABLE),
        "Invalid request": (Refusal.BAD_REQUEST, Refusal.UNSUPPORTED),
        "Internal error": (Refusal.INTERNAL,),
    }
)

STATES = Words(  # `sms_status`; all but the first word are ours: 3.3, 3.4
    {
        "SCHEDULED": (State.SCHEDULED,),
        "QUEUED": (State.QUEUED, State.SENDING),
        "SENT": (State.SENT,),
        "DELIVERED": (State.DELIVERED,),
        "UNDELIVERED": (State.UNDELIVERABLE,),
        "EXPIRED": (State.EXPIRED,),
        "FAILED": (State.REJECTED,),
        "DELETED": (State.CANCELLED,),
        "UNKNOWN": (State.UNKNOWN,),
    }
)

CALLBACK_FIELDS = ("from", "to", "msg", "date", "smsid")  # ours: 3.6

THEIR_ID = re.compile(r"[0-9A-Za-z_.:-]{1,64}")  # whatever an id of the provider may look like

RECIPIENTS_MAX = 10_000  # ours, as all that follow
LOG_MAX = 10_000_000  # characters of text in an answer, which repeats it for each number
BODY_MAX = 1 << 20  # bytes
PAGE_SIZE = 20  # entries
PAGES_MAX = 10_000
CHAT_PAGES_MAX = 50  # a chat is put together from its beginning for each page
DELETED_MAX = 100  # in one request
SEARCHED_PAGES_MAX = 5  # of the summary, for one message

OPTIONS = {  # of a carrier, for what the provider does not document: 3.5, 3.6
    "summary_path": SUMMARY,
    "delete_path": DELETE,
    "inbound_fields": ",".join(CALLBACK_FIELDS),
    "timezone": "UTC",  # the provider's zone is a setting of the account: 3.2
}
