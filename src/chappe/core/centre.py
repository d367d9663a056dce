"""The one contract of the house: whoever takes messages is a message centre.

The gateway is one for its accounts, every carrier is one for the gateway, and the client library is one for whoever
imports it. What may be asked is the closed list of calls below; what comes back is an outcome, never an exception:

    Submit        -> Accepted | Refused | Uncertain   (a verdict)
    Query         -> Report | Refused | Uncertain
    Cancel        -> Cancelled | Refused | Uncertain
    FetchBalance  -> Balance | Refused | Uncertain

Applications of the north ask more of the gateway than we ask of carriers. Each of these calls names what it returns;
any of them may be `Refused`. Further ones stand in `sessions.py`, `phonebook.py`, `numbers.py` and `reselling.py`.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct

from chappe.core.model import Account, Coding, Concatenation, Inbound, Report, Service, State, Submission

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
    BLOCKED = "blocked"  # the recipient wants no messages
    DUPLICATE = "duplicate"  # the same was asked a moment ago
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
    Refusal.BLOCKED: FINAL,
    Refusal.DUPLICATE: Remedy(may_retry=True, may_reroute=False, slows_link=False),
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
    price_micros: int = 0
    refusal: Refusal | None = None  # why this recipient gets none (only of a submission that takes part)


class Accepted(Struct, frozen=True):
    """The message centre keeps it now; one ticket per recipient, in the order asked."""

    tickets: tuple[Ticket, ...]
    reference: str = ""  # what the submission as a whole is known by


class Refused(Struct, frozen=True):
    """It did not take it, and certainly so."""

    reason: Refusal
    detail: str = ""  # the message centre's own words
    retry_after_s: float | None = None


class Uncertain(Struct, frozen=True):
    """Nobody knows: bytes may have left, and no answer can be trusted."""

    detail: str = ""


class Cancelled(Struct, frozen=True):
    """Scheduled messages that will not be sent."""

    count: int = 1


class Balance(Struct, frozen=True, kw_only=True):
    """Money left to spend."""

    amount_micros: int
    currency: str = ""


class Prices(Struct, frozen=True, kw_only=True):
    """What one segment to the account's own country costs, by service class; a class without a route is absent."""

    by_service: dict[Service, int]


class Instant(Struct, frozen=True):
    """What the time is."""

    now_ms: int


class Done(Struct, frozen=True):
    """It was done, to so many."""

    count: int = 1


class Created(Struct, frozen=True):
    """What was made, by our ids, in the order asked."""

    ids: tuple[int, ...]


class Reports(Struct, frozen=True, kw_only=True):
    """Some of an account's messages, and how many there are in all."""

    items: tuple[Report, ...]
    total: int


class SubmissionReport(Struct, frozen=True, kw_only=True):
    """A submission as a history lists it."""

    id: int
    reference: str
    originator: str
    recipients_count: int
    service: Service
    submitted_ms: int
    scheduled_ms: int | None


class SubmissionReports(Struct, frozen=True, kw_only=True):
    items: tuple[SubmissionReport, ...]
    total: int


class InboundMessages(Struct, frozen=True, kw_only=True):
    """Messages that an account received; the reference of each is our id, in decimal."""

    items: tuple[Inbound, ...]
    total: int


class Statistics(Struct, frozen=True, kw_only=True):
    """What an account sent and paid in a span of time; credit moved to it is paid in, credit moved away is less so."""

    segments_count: int
    spent_micros: int
    paid_in_micros: int


class Call(Struct, frozen=True):
    """Something that a message centre may be asked; each kind is a class of its own."""


class Submit(Call, frozen=True):
    """`first_id`: the id of its first message, the others' follow it; asked again with the same, it is kept and charged
    once. 0 = the gateway makes new ones."""

    account: Account
    submission: Submission
    first_id: int = 0


class SubmitPart(Call, frozen=True, kw_only=True):
    """One part of a long message to one recipient. `submission` is what it says of the whole, without a text; `content`
    is what the listener needs to put the parts together. -> Accepted, under an id of the part's own"""

    account: Account
    submission: Submission
    concatenation: Concatenation
    content: str


class FindWhole(Call, frozen=True, kw_only=True):
    """The message that the part with this id became. -> Created, with its one id"""

    account: Account
    reference: str


class Quote(Call, frozen=True):
    """What would `Submit` answer? Nothing is kept and nothing charged. -> Accepted"""

    account: Account
    submission: Submission


class Query(Call, frozen=True, kw_only=True):
    """What became of a message: asked by its account, or by whoever knows both its id and its originator."""

    reference: str
    account: Account | None = None
    originator: str = ""


class FindMessages(Call, frozen=True, kw_only=True):
    """The messages of one submission, by our id of it or of one of its messages, or by the reference under which it was
    findable (the newest, where several were); only those to `recipient` (digits) where one is named. -> Reports"""

    account: Account
    reference: str
    recipient: str = ""


class ListMessages(Call, frozen=True, kw_only=True):
    """An account's messages, newest first. -> Reports"""

    account: Account
    from_ms: int = 0
    to_ms: int = 1 << 62
    recipients: tuple[str, ...] = ()  # digits; empty = all
    originators: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    before_id: int = 0  # only messages with a smaller id; 0 = all
    offset: int = 0
    count_max: int = 100


class ListSubmissions(Call, frozen=True, kw_only=True):
    """An account's submissions, newest first. -> SubmissionReports"""

    account: Account
    from_ms: int
    to_ms: int
    offset: int = 0
    count_max: int = 100


class ListInbound(Call, frozen=True, kw_only=True):
    """Messages an account received, newest first; oldest first with `after_id`. -> InboundMessages"""

    account: Account
    numbers: tuple[str, ...] = ()  # of the account; empty = all
    originators: tuple[str, ...] = ()
    from_ms: int = 0
    to_ms: int = 1 << 62
    after_id: int = 0
    offset: int = 0
    count_max: int = 100


class TakeInbound(Call, frozen=True, kw_only=True):
    """Messages received since this was last asked for the same numbers, oldest first. -> InboundMessages"""

    account: Account
    numbers: tuple[str, ...] = ()
    count_max: int = 100


class Cancel(Call, frozen=True):
    """Take back what still waits of a submission (named as in `FindMessages`), or its message to one recipient; with
    `is_alone`, the one message with the id that `reference` is. -> Cancelled"""

    account: Account
    reference: str
    recipient: str = ""
    is_alone: bool = False


class Replace(Call, frozen=True, kw_only=True):
    """Another text, and perhaps another time, for a message that still waits; its segments must remain as many, since
    its price does. Refused as `not_found`, `too_late`, or whatever is wrong with the new text. -> Done"""

    account: Account
    reference: str  # our id of the message
    originator: str = ""  # must be the message's own; empty = it is not compared
    text: str
    coding: Coding = Coding.TEXT
    scheduled_ms: int | None = None  # None = as it was
    validity_s: int | None = None  # from then on; None = as it was


class Reschedule(Call, frozen=True, kw_only=True):
    """Another time for a message that still waits; it keeps the time it had to be sent in, unless `validity_s` says
    another. An instant that has passed means now. Refused as `not_found`, `too_late` or `bad_request`. -> Done"""

    account: Account
    reference: str  # our id of the message
    scheduled_ms: int | None = None  # None = as it was
    validity_s: int | None = None  # from then on


class CancelAll(Call, frozen=True):
    """Take back everything of an account that is scheduled. -> Cancelled"""

    account: Account


class FetchBalance(Call, frozen=True):
    account: Account


class FetchPrices(Call, frozen=True):
    """-> Prices"""

    account: Account


class FetchStatistics(Call, frozen=True):
    """-> Statistics"""

    account: Account
    from_ms: int
    to_ms: int


class FetchTime(Call, frozen=True):
    """-> Instant"""


Verdict = Accepted | Refused | Uncertain
Outcome = Struct  # one of the records above, or of those that the further calls name


class Links(Struct, frozen=True, kw_only=True):
    """The ways to a message centre, as they are at this moment."""

    is_up: bool = True  # False: nothing can be submitted now
    room: int | None = None  # how many segments may still leave without an answer to earlier ones; None = any number
    binds: int = 0  # that stand
    binds_wanted: int = 0  # 0 where the way is not by binds
    window_used: int = 0  # segments without an answer
    detail: str = ""  # why it is not up, in words for the operator


ALWAYS_UP = Links()  # of those who are asked anew each time


class MessageCentre(Protocol):
    """Takes messages, tells what became of them, and what is left to spend."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to keep the ways up, if there are any; `changed` is called whenever `links` got better or worse."""
        ...

    async def close(self) -> None:
        """Let the ways go; nothing is submitted any more and everything asked has its answer."""
        ...

    @property
    def links(self) -> Links: ...

    @property
    def finds_our_reference(self) -> bool:
        """Whether `query` also knows a message by the reference its submission carried, as the `query` policy needs."""
        ...

    @property
    def receipts_name_our_reference(self) -> bool:
        """Whether receipts name the reference the submission carried, so that they are known without its answer."""
        ...

    def submit(self, submission: Submission) -> Awaitable[Verdict]:
        """A coroutine, or a future where the answer comes from a link: that costs less for each message."""
        ...

    async def query(
        self, reference: str, originator: str = "", recipient: str = ""
    ) -> Report | Refused | Uncertain: ...

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain: ...

    async def balance(self) -> Balance | Refused | Uncertain: ...
