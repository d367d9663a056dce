"""The one contract of the house: whoever takes messages is a message centre.

The gateway is one for its accounts, every carrier is one for the gateway, and the client library is one for whoever
imports it. What may be asked is the closed list of calls below; what comes back is an outcome, never an exception:

    Submit        -> Accepted | Refused | Uncertain   (a verdict)
    Query         -> Report | Refused | Uncertain
    Cancel        -> Cancelled | Refused | Uncertain
    FetchBalance  -> Balance | Refused | Uncertain
    Authenticate  -> Account | Refused                (north only: carriers know who we are)
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct

from chappe.core.model import Account, Report, Secret, Submission

RETRY_AFTER_MAX_S = 86_400  # nobody is left alone for longer, whatever they ask for


class Refusal(StrEnum):
    """Why a message centre said no. Every dialect maps these to its own codes, and its codes to these."""

    UNAUTHORISED = "unauthorised"
    BAD_REQUEST = "bad_request"
    BAD_RECIPIENT = "bad_recipient"
    BAD_ORIGINATOR = "bad_originator"
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    FORBIDDEN = "forbidden"
    NO_ROUTE = "no_route"
    NO_FUNDS = "no_funds"
    NOT_FOUND = "not_found"
    TOO_LATE = "too_late"
    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


class Remedy(NamedTuple):
    """What the gateway may do about a carrier's refusal."""

    may_retry: bool  # the same carrier may take it later
    may_reroute: bool  # another carrier may take it
    slows_link: bool  # it is about the link, not about this message


FINAL = Remedy(may_retry=False, may_reroute=False, slows_link=False)
REROUTE = Remedy(may_retry=False, may_reroute=True, slows_link=False)
# Our own trouble with that carrier (no money there, wrong password) leaves the message whole: another, or later.
OUR_TROUBLE = Remedy(may_retry=True, may_reroute=True, slows_link=True)

REMEDIES: dict[Refusal, Remedy] = {
    Refusal.UNAUTHORISED: OUR_TROUBLE,
    Refusal.BAD_REQUEST: REROUTE,
    Refusal.BAD_RECIPIENT: FINAL,
    Refusal.BAD_ORIGINATOR: REROUTE,
    Refusal.EMPTY_TEXT: FINAL,
    Refusal.TEXT_TOO_LONG: REROUTE,
    Refusal.TOO_MANY_RECIPIENTS: FINAL,
    Refusal.FORBIDDEN: REROUTE,
    Refusal.NO_ROUTE: REROUTE,
    Refusal.NO_FUNDS: OUR_TROUBLE,
    Refusal.NOT_FOUND: FINAL,
    Refusal.TOO_LATE: FINAL,
    Refusal.THROTTLED: Remedy(may_retry=True, may_reroute=False, slows_link=True),
    Refusal.OVERLOADED: OUR_TROUBLE,
    Refusal.UNREACHABLE: OUR_TROUBLE,
    Refusal.UNSUPPORTED: REROUTE,
    Refusal.INTERNAL: OUR_TROUBLE,
}


class Ticket(Struct, frozen=True, kw_only=True):
    """What an accepted message is known by from now on."""

    recipient: str
    reference: str  # the message centre's own id; empty where it gives none
    segments: int = 1


class Accepted(Struct, frozen=True):
    """The message centre keeps it now; one ticket per recipient, in the order asked."""

    tickets: tuple[Ticket, ...]


class Refused(Struct, frozen=True):
    """It did not take it, and certainly so."""

    reason: Refusal
    detail: str = ""  # the message centre's own words
    retry_after_s: float | None = None


class Uncertain(Struct, frozen=True):
    """Nobody knows: bytes may have left, and no answer can be trusted."""

    detail: str = ""


class Cancelled(Struct, frozen=True):
    """A scheduled message that will not be sent."""


class Balance(Struct, frozen=True, kw_only=True):
    """Money left to spend."""

    amount_micros: int
    currency: str = ""


class Authenticate(Struct, frozen=True):
    """Who is asking? The network they ask from is added by the listener."""

    name: str
    secret: Secret


class Submit(Struct, frozen=True):
    account: Account
    submission: Submission


class Query(Struct, frozen=True, kw_only=True):
    """What became of a message: asked by its account, or by whoever knows both its id and its originator."""

    reference: str
    account: Account | None = None
    originator: str = ""


class Cancel(Struct, frozen=True):
    account: Account
    reference: str


class FetchBalance(Struct, frozen=True):
    account: Account


Verdict = Accepted | Refused | Uncertain
Call = Authenticate | Submit | Query | Cancel | FetchBalance
Outcome = Account | Verdict | Report | Cancelled | Balance


class MessageCentre(Protocol):
    """Takes messages, tells what became of them, and what is left to spend."""

    @property
    def finds_our_reference(self) -> bool:
        """Whether `query` also knows a message by the reference its submission carried, as the `query` policy needs."""
        ...

    @property
    def receipts_name_our_reference(self) -> bool:
        """Whether receipts name the reference the submission carried, so that they are known without its answer."""
        ...

    async def submit(self, submission: Submission) -> Verdict: ...

    async def query(self, reference: str, originator: str = "") -> Report | Refused | Uncertain: ...

    async def cancel(self, reference: str) -> Cancelled | Refused | Uncertain: ...

    async def balance(self) -> Balance | Refused | Uncertain: ...
