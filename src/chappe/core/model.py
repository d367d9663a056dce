"""The records that travel between the rooms: small, frozen, without behaviour of their own.

Units stand at the end of a name: `_ms` is an instant (milliseconds since 1970, UTC) unless it says otherwise, `_s` a
duration in seconds, `_micros` money in millionths of the account's currency. Numbers are MSISDNs: digits only, with
the country code.
"""

from enum import StrEnum

from msgspec import Struct

from chappe.sms.segments import STANDARD, SegmentTable


class State(StrEnum):
    """Where a message is. The permitted moves are in `core/lifecycle.py`."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Service(StrEnum):
    """How good a route the sender pays for; each dialect maps its own words to these."""

    PREMIUM = "premium"
    STANDARD = "standard"
    ECONOMY = "economy"


class Priority(StrEnum):
    """Which messages go first within one carrier's queue: a one-time code never waits behind bulk."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


class Coding(StrEnum):
    """What a message's text is on air."""

    TEXT = "text"
    FLASH = "flash"  # class 0: shown at once, not kept (3GPP TS 23.038 4)
    BINARY = "binary"  # the text is hexadecimal digits: user data header and octets as they go on air


class UncertainPolicy(StrEnum):
    """What happens to a message when nobody knows whether the carrier took it."""

    HOLD = "hold"
    QUERY = "query"
    RESEND = "resend"
    FAIL = "fail"


class Secret(Struct, frozen=True):
    """A password or token that does not print itself."""

    value: str

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self.value)


class SmppAccess(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an account may use the SMPP listener."""

    networks: tuple[str, ...] = ()  # that it may bind from, such as 192.0.2.0/24; empty = any
    binds_max: int = 4  # at once
    window: int = 500  # requests without an answer, for each bind and in each direction
    throughput: float = 0.0  # messages per second, 0 = no cap
    outbind: str = ""  # HOST:PORT that we connect to when something waits and no bind is there; empty = never
    charset: str = ""  # what data_coding 0 means; empty = GSM, one septet an octet
    hex_ids: bool = False  # message ids in hexadecimal digits instead of decimal
    is_receiver: bool = False  # what comes to its numbers goes to its binds


class Account(Struct, frozen=True, kw_only=True):
    """A customer of ours: whoever logs in through a dialect, pays, and is called back."""

    id: int
    name: str
    currency: str = "EUR"
    timezone: str = "UTC"
    senders: tuple[str, ...] = ()  # originators it may use; empty = any
    numbers: tuple[str, ...] = ()  # inbound numbers it owns, also allowed as originators
    receipt_url: str = ""
    receipt_method: str = ""  # GET or POST where the dialect lets the customer choose; empty = the dialect's default
    receipt_dialect: str = ""  # empty = the dialect of the submission
    inbound_url: str = ""
    inbound_email: str = ""  # where messages to its numbers go besides or instead of the URL
    inbound_phone: str = ""
    inbound_dialect: str = ""  # in whose words inbound messages are sent; empty = receipt_dialect, else Proovl's
    country: str = ""  # calling code that its national numbers are completed with; empty = numbers have one already
    message_types: dict[str, Service] = {}  # what it calls the service classes (smsend 4.1); empty = N, L, LL
    stop_words: tuple[str, ...] = ("STOP",)  # a phone that answers with one wants no more messages
    start_words: tuple[str, ...] = ("START",)
    is_virtual: bool = False  # nothing is sent and nothing charged: every message is delivered at once
    priority: Priority = Priority.NORMAL  # of what it submits without saying more
    smpp: SmppAccess = SmppAccess()
    is_flexible: bool = False  # takes what a provider would refuse: dashes in smsend's header names, UTF-8 unasked for
    parent_id: int = 0  # the account that made this one and moves credit to it; 0 = ours
    token: Secret = Secret("")  # what callbacks carry so that the customer can verify us (proovl 2.6)
    recipients_max: int = 100_000  # per submission
    webhook_secret: Secret = Secret("")  # signs callbacks in our own dialect; empty = one made from the token
    is_test: bool = False  # asked with a test key: the simulated carrier takes what it sends, and nothing is charged


class Submission(Struct, frozen=True, kw_only=True):
    """What was asked: a text to one or more recipients, numbers and originator still as they were written."""

    recipients: tuple[str, ...]
    text: str
    texts: tuple[str, ...] = ()  # one for each recipient, where they differ; else empty
    originator: str = ""
    service: Service = Service.STANDARD
    priority: Priority | None = None  # None = not said: the account's, or bulk for many recipients
    reference: str = ""  # the sender's own id for it
    scheduled_ms: int | None = None
    validity_s: int | None = None
    wants_callbacks: bool = True
    counting: SegmentTable = STANDARD  # how the dialect counts segments for the price
    coding: Coding = Coding.TEXT
    takes_part: bool = False  # what is wrong with one recipient keeps no other from being sent to
    is_findable: bool = False  # `reference` is what the customer will ask by
    is_charged_late: bool = False  # a scheduled message costs its price when it is sent, not before
    spread_s: int = 0  # over how long the recipients are spread ...
    portion_s: int = 60  # ... and how far apart the portions are
    receipt_url: str = ""  # for this submission alone; empty = the account's
    memo: str = ""  # what the listener that takes it wants to be told again with every report on it
    account_id: int = 0  # whose it is, on its way to a simulated carrier, which tells its fates apart by it


class Message(Struct, frozen=True, kw_only=True):
    """One text to one recipient: the thing that has a state, a price and a fate."""

    id: int
    submission_id: int  # the id of the submission's first message; the others follow without a gap
    account_id: int
    dialect: str
    reference: str  # the customer's own id, may be empty
    originator: str
    recipient: str
    text: str
    segments: int
    price_micros: int
    service: Service
    priority: Priority
    carrier_id: int
    backups: tuple[int, ...]  # carriers still to be tried after this one, in order
    state: State
    attempt: int  # how often bytes left for a carrier
    failures: int  # how often in a row the current carrier asked to try later
    due_ms: int
    expires_ms: int
    wants_callbacks: bool
    coding: Coding = Coding.TEXT
    is_charged_late: bool = False
    receipt_url: str = ""
    memo: str = ""  # of the submission


class Carrier(Struct, frozen=True, kw_only=True):
    """An upstream we send through, as it is configured."""

    id: int
    name: str
    kind: str  # "simulated", or the name of a dialect
    url: str = ""
    login: str = ""
    password: Secret = Secret("")
    window: int = 32  # unanswered submissions at once
    throughput: float = 0.0  # messages per second, 0 = no cap
    uncertain: UncertainPolicy = UncertainPolicy.HOLD
    timeout_s: float = 30.0
    is_active: bool = True  # False once it was removed: what still waits for it must go elsewhere
    callback_key: str = ""  # the unguessable part of the path under which its receipts arrive
    options: dict[str, str] = {}  # what only this kind understands


# Takes what was asked in test mode: it is always there, is nowhere configured, and reaches nobody.
TEST_CARRIER = Carrier(id=-1, name="test mode", kind="simulated")


class Route(Struct, frozen=True, kw_only=True):
    """For recipients that begin with a prefix: which carriers, in what order, at what price per segment."""

    prefix: str
    service: Service | None  # None = every service class
    carrier_ids: tuple[int, ...]
    price_micros: int


class Receipt(Struct, frozen=True, kw_only=True):
    """A carrier's word about a message it took: its own reference, and the state it reports."""

    reference: str
    state: State
    recipient: str = ""
    detail: str = ""  # the carrier's own word, for the story of the message
    # Further ways in which the carrier may have written the reference when it took the message; one of them counts only
    # where the message went to `recipient`.
    spellings: tuple[str, ...] = ()


class Concatenation(Struct, frozen=True, kw_only=True):
    """Which segment of a long message this is (3GPP TS 23.040 9.2.3.24.1)."""

    reference: int
    total: int
    position: int  # from 1


class Inbound(Struct, frozen=True, kw_only=True):
    """A message from a phone to one of our numbers (MO); with a concatenation, only a segment of one."""

    reference: str  # what the carrier calls it; once kept, our id
    originator: str
    recipient: str
    text: str
    received_ms: int = 0
    concatenation: Concatenation | None = None
    coding: Coding = Coding.TEXT  # BINARY: the text is octets in hexadecimal digits, without a header
    content: str = ""  # of a segment whose octets are joined with the others' before they are read: in its dialect
    is_test: bool = False  # no phone wrote it: whatever it is sent on as must reach none either


VIRTUAL = "virtual"  # the reason of a delivery that a virtual account is told of


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What we tell a customer about one message, or about a submission as a whole, when asked or by callback."""

    id: int
    submission_id: int
    reference: str
    originator: str
    recipient: str
    state: State
    segments: int
    price_micros: int
    text: str = ""  # empty in callbacks
    service: Service = Service.STANDARD
    coding: Coding = Coding.TEXT
    due_ms: int = 0  # when it was, or will be, sent
    changed_ms: int = 0  # when it came into its state
    memo: str = ""  # of the submission
    reason: str = ""  # of a failure: a word of `core.centre.Refusal`; empty where none is known; or VIRTUAL
