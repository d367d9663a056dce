"""How a bind speaks, and what the numbers of SMPP mean: the tables that both halves read.

Figures such as 5.1.3 are clauses of SMPP 3.4; "ours" marks what it leaves open.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from chappe.core.centre import Refusal
from chappe.core.model import Account, State
from chappe.smpp.pdu import Body, CancelSm, QuerySm, ReplaceSm, Status
from chappe.smpp.texts import CHARSETS, GSM_UNPACKED, LONG

# command_status (5.1.3): how it is read; a refusal is written as the first status that has it.
MEANINGS: Final[dict[int, tuple[Refusal, ...]]] = {
    Status.THROTTLED: (Refusal.THROTTLED,),
    Status.QUEUE_FULL: (Refusal.THROTTLED, Refusal.OVERLOADED),
    Status.INVALID_MESSAGE_LENGTH: (Refusal.TEXT_TOO_LONG, Refusal.EMPTY_TEXT),
    Status.SYSTEM_ERROR: (Refusal.INTERNAL, Refusal.UNREACHABLE),
    Status.INVALID_SOURCE: (Refusal.BAD_ORIGINATOR,),
    Status.INVALID_DESTINATION: (Refusal.BAD_RECIPIENT, Refusal.NO_ROUTE),
    Status.INVALID_MESSAGE_ID: (Refusal.NOT_FOUND,),
    Status.INVALID_PASSWORD: (Refusal.UNAUTHORISED,),
    Status.INVALID_SYSTEM_ID: (Refusal.UNAUTHORISED,),
    Status.BIND_FAILED: (Refusal.UNAUTHORISED,),
    Status.INVALID_SYSTEM_TYPE: (Refusal.UNAUTHORISED,),
    Status.INVALID_DESTINATION_COUNT: (Refusal.TOO_MANY_RECIPIENTS,),
    Status.SUBMIT_FAILED: (Refusal.FORBIDDEN, Refusal.NO_FUNDS, Refusal.BAD_REQUEST, Refusal.UNSUPPORTED),
    Status.REJECTED: (Refusal.FORBIDDEN, Refusal.BLOCKED, Refusal.DUPLICATE),
    Status.CANCEL_FAILED: (Refusal.TOO_LATE,),
    Status.REPLACE_FAILED: (Refusal.TOO_LATE,),
    Status.INVALID_COMMAND_LENGTH: (Refusal.BAD_REQUEST,),
    Status.INVALID_COMMAND_ID: (Refusal.UNSUPPORTED,),
    Status.INCORRECT_BIND_STATE: (Refusal.UNREACHABLE,),
    Status.ALREADY_BOUND: (Refusal.UNREACHABLE,),
    Status.INVALID_PRIORITY: (Refusal.BAD_REQUEST,),
    Status.INVALID_REGISTERED_DELIVERY: (Refusal.BAD_REQUEST,),
    Status.INVALID_SERVICE_TYPE: (Refusal.UNSUPPORTED,),
    Status.INVALID_LIST_NAME: (Refusal.BAD_RECIPIENT,),
    Status.INVALID_DESTINATION_FLAG: (Refusal.BAD_REQUEST,),
    Status.INVALID_SUBMIT_WITH_REPLACE: (Refusal.UNSUPPORTED,),
    Status.INVALID_ESM_CLASS: (Refusal.UNSUPPORTED,),
    Status.CANNOT_SUBMIT_TO_LIST: (Refusal.BAD_RECIPIENT,),
    Status.INVALID_SOURCE_TON: (Refusal.BAD_ORIGINATOR,),
    Status.INVALID_SOURCE_NPI: (Refusal.BAD_ORIGINATOR,),
    Status.INVALID_DESTINATION_TON: (Refusal.BAD_REQUEST,),  # how we write it, not the number
    Status.INVALID_DESTINATION_NPI: (Refusal.BAD_REQUEST,),
    Status.INVALID_REPLACE_FLAG: (Refusal.BAD_REQUEST,),
    Status.INVALID_MESSAGE_COUNT: (Refusal.BAD_REQUEST,),
    Status.INVALID_SCHEDULE: (Refusal.BAD_REQUEST,),
    Status.INVALID_VALIDITY: (Refusal.BAD_REQUEST,),
    Status.INVALID_DEFAULT_MESSAGE: (Refusal.BAD_REQUEST,),
    Status.TEMPORARY_ERROR: (Refusal.INTERNAL,),
    Status.PERMANENT_ERROR: (Refusal.FORBIDDEN,),
    Status.QUERY_FAILED: (Refusal.NOT_FOUND,),
    Status.INVALID_OPTIONAL_PART: (Refusal.BAD_REQUEST,),
    Status.PARAMETER_NOT_ALLOWED: (Refusal.BAD_REQUEST,),
    Status.INVALID_PARAMETER_LENGTH: (Refusal.BAD_REQUEST,),
    Status.MISSING_PARAMETER: (Refusal.BAD_REQUEST,),
    Status.INVALID_PARAMETER_VALUE: (Refusal.BAD_REQUEST,),
    Status.DELIVERY_FAILED: (Refusal.NO_ROUTE,),
    Status.UNKNOWN_ERROR: (Refusal.INTERNAL,),
    Status.SERVICE_NOT_AUTHORISED: (Refusal.FORBIDDEN,),
    Status.PROHIBITED: (Refusal.FORBIDDEN,),
    Status.SERVICE_UNAVAILABLE: (Refusal.UNREACHABLE,),
    Status.SERVICE_DENIED: (Refusal.FORBIDDEN,),
    Status.INVALID_DATA_CODING: (Refusal.UNSUPPORTED,),
}
REFUSALS: Final[dict[int, Refusal]] = {int(status): meanings[0] for status, meanings in MEANINGS.items()}
UNKNOWN_STATUS: Final = Refusal.FORBIDDEN  # vendors' own (0x400 to 0x4FF), reserved ones: not here, perhaps elsewhere

STATUSES: Final[dict[Refusal, Status]] = {
    refusal: next(Status(status) for status, meanings in MEANINGS.items() if refusal in meanings) for refusal in Refusal
}
# What the same refusal is in the answer to another request than one with a message (4.8 to 4.10).
STATUSES_BY_REQUEST: Final[dict[tuple[type[Body], Refusal], Status]] = {
    (QuerySm, Refusal.NOT_FOUND): Status.INVALID_MESSAGE_ID,
    (QuerySm, Refusal.FORBIDDEN): Status.QUERY_FAILED,
    (CancelSm, Refusal.TOO_LATE): Status.CANCEL_FAILED,
    (CancelSm, Refusal.FORBIDDEN): Status.CANCEL_FAILED,
    (ReplaceSm, Refusal.TOO_LATE): Status.REPLACE_FAILED,
    (ReplaceSm, Refusal.FORBIDDEN): Status.REPLACE_FAILED,
    (ReplaceSm, Refusal.UNSUPPORTED): Status.REPLACE_FAILED,
    (ReplaceSm, Refusal.BAD_REQUEST): Status.REPLACE_FAILED,
}


class Told(NamedTuple):
    """How a state is told: message_state (5.2.28), and the word of a receipt's text (appendix B)."""

    message_state: int
    stat: str


STATES: Final[dict[State, Told]] = {
    State.SCHEDULED: Told(1, "ENROUTE"),
    State.QUEUED: Told(1, "ENROUTE"),
    State.SENDING: Told(1, "ENROUTE"),
    State.SENT: Told(1, "ENROUTE"),
    State.DELIVERED: Told(2, "DELIVRD"),
    State.EXPIRED: Told(3, "EXPIRED"),
    State.CANCELLED: Told(4, "DELETED"),
    State.UNDELIVERABLE: Told(5, "UNDELIV"),
    State.UNKNOWN: Told(7, "UNKNOWN"),
    State.REJECTED: Told(8, "REJECTD"),
}
MESSAGE_STATES: Final[dict[int, State]] = {  # how message_state is read; 0 and 9 are SMPP 5.0's (4.7.15)
    0: State.SENT,  # scheduled: at the other side, and not yet further
    1: State.SENT,
    2: State.DELIVERED,
    3: State.EXPIRED,
    4: State.UNDELIVERABLE,  # deleted by whoever runs the message centre
    5: State.UNDELIVERABLE,
    6: State.SENT,  # accepted: carriers say it of what they have taken, not of what was read
    7: State.UNKNOWN,
    8: State.REJECTED,
    9: State.UNDELIVERABLE,  # skipped
}
STATS: Final[dict[str, State]] = {  # how the word of a receipt's text is read, as carriers write it
    "ENROUTE": State.SENT,
    "ENROUT": State.SENT,
    "ACCEPTD": State.SENT,
    "ACCEPTED": State.SENT,
    "BUFFRED": State.SENT,
    "BUFFERED": State.SENT,
    "SCHEDULED": State.SENT,
    "PENDING": State.SENT,
    "DELIVRD": State.DELIVERED,
    "DELIVERED": State.DELIVERED,
    "DELIVERD": State.DELIVERED,
    "EXPIRED": State.EXPIRED,
    "EXPIRD": State.EXPIRED,
    "DELETED": State.UNDELIVERABLE,
    "UNDELIV": State.UNDELIVERABLE,
    "UNDELIVERED": State.UNDELIVERABLE,
    "UNDELIVERABLE": State.UNDELIVERABLE,
    "FAILED": State.UNDELIVERABLE,
    "SKIPPED": State.UNDELIVERABLE,
    "UNKNOWN": State.UNKNOWN,
    "UNKNOWND": State.UNKNOWN,
    "REJECTD": State.REJECTED,
    "REJECTED": State.REJECTED,
    "REJECTE": State.REJECTED,
}

TLVS_SINCE: Final = 0x34
PRIORITY_MAX: Final = 3  # 5.2.14
URGENT: Final = 1  # the least priority_flag that is more than normal


class Ids(StrEnum):
    """How a carrier writes in its receipts the ids that it gave in its answers."""

    LEARN = "learn"
    SAME = "same"
    HEX_TO_DECIMAL = "hex-to-decimal"  # answered in hexadecimal digits, receipted in decimal ones
    DECIMAL_TO_HEX = "decimal-to-hex"


class Flash(StrEnum):
    """How a message that is shown at once is marked."""

    CLASS = "class"  # data_coding 0x10, or 0x18 in UCS-2 (3GPP TS 23.038 4)
    GROUP = "group"  # 0xF0 instead of 0x10
    SUBUNIT = "subunit"  # dest_addr_subunit 1 (5.3.2.1)


class LinkWords(Struct, frozen=True, kw_only=True):
    """How the two sides of a bind speak: of a carrier by its options, of an account by its settings."""

    charset: str = GSM_UNPACKED  # what data_coding 0 means: a name of `smpp.texts.CHARSETS`
    long: str = "udh"  # how long messages are cut: udh, sar (TLVs), or payload (whole)
    is_wide: bool = False  # references of 16 bits in user data headers
    languages: tuple[str, ...] = ()  # whose national tables may be used: tr, es, pt
    text_coding: int = 0  # data_coding of plain texts
    octets_coding: int = 4  # of messages that are no text
    flash: Flash = Flash.CLASS
    alphanumeric_charset: str = "latin-1"  # of names in addresses: latin-1 or gsm
    service_type: str = ""
    system_type: str = ""
    source_ton: int | None = None  # None = by what the originator is
    source_npi: int | None = None
    destination_ton: int = 1
    destination_npi: int = 1
    short_code_ton: int = 3
    short_code_npi: int = 0
    registered_delivery: int = 1  # of what we submit
    urgent_flag: int = URGENT  # priority_flag of urgent messages; all others have 0
    protocol_id: int = 0
    receipt_ids: Ids = Ids.LEARN
    is_receipt_by_text: bool = False  # what reads like a receipt is one, flagged or not
    refusals: Mapping[int, Refusal] = {}  # what statuses mean, where the table says otherwise
    country: str = ""  # calling code of national numbers; empty = numbers have one already
    timezone: str = "UTC"  # of the dates in receipts that we write
    hex_ids: bool = False  # message ids that we give
    interface_version: int = 0x34

    @property
    def takes_tlvs(self) -> bool:
        """Older ones know no optional parameters (5.2.4)."""
        return self.interface_version >= TLVS_SINCE


class OptionError(ValueError):
    """An option that no link understands; its text says which and why."""


OPTIONS: Final = frozenset(
    {"charset", "long", "languages", "text_coding", "octets_coding", "flash", "alphanumeric_charset", "service_type"}
    | {"system_type", "source_ton", "source_npi", "destination_ton", "destination_npi", "short_code_ton"}
    | {"short_code_npi", "registered_delivery", "urgent_flag", "protocol_id", "receipt_ids", "country", "references"}
    | {"receipts"}
)
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "charset": CHARSETS,
    "long": LONG,
    "flash": tuple(Flash),
    "receipt_ids": tuple(Ids),
    "alphanumeric_charset": ("latin-1", "gsm"),
    "references": ("8", "16"),
    "receipts": ("flagged", "text"),
}
NUMBERS_MAX: Final[dict[str, int]] = {
    "text_coding": 255,
    "octets_coding": 255,
    "source_ton": 6,
    "source_npi": 18,
    "destination_ton": 6,
    "destination_npi": 18,
    "short_code_ton": 6,
    "short_code_npi": 18,
    "registered_delivery": 31,
    "urgent_flag": PRIORITY_MAX,
    "protocol_id": 255,
}


def words_of_options(options: Mapping[str, str]) -> LinkWords:
    """How a carrier is spoken to. Options that are not about words are left to others; raises OptionError for a value
    that one of ours cannot have. A status, such as 0x45, may be given the name of a refusal."""
    values: dict[str, object] = {}
    for key, written in options.items():
        if key in CHOICES:
            if written not in CHOICES[key]:
                raise OptionError(f"{key} = {written!r}: one of {', '.join(CHOICES[key])}")
            values[key] = written
        elif key in NUMBERS_MAX:
            values[key] = read_number(key, written, NUMBERS_MAX[key])
        elif key == "languages":
            values[key] = tuple(filter(None, map(str.strip, written.split(","))))
        elif key in OPTIONS:
            values[key] = written
    values["is_wide"] = values.pop("references", "8") == "16"
    values["is_receipt_by_text"] = values.pop("receipts", "flagged") == "text"
    values["flash"] = Flash(str(values.get("flash", Flash.CLASS)))
    values["receipt_ids"] = Ids(str(values.get("receipt_ids", Ids.LEARN)))
    return LinkWords(refusals=read_refusals(options), **values)  # type: ignore[arg-type]


def read_number(key: str, written: str, number_max: int) -> int:
    """In decimal, or in hexadecimal digits behind 0x."""
    try:
        number = int(written, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= number_max:
        raise OptionError(f"{key} = {written!r}: a number up to {number_max}")
    return number


def read_refusals(options: Mapping[str, str]) -> Mapping[int, Refusal]:
    """What the options say that statuses mean."""
    own: dict[int, Refusal] = {}
    for key, written in options.items():
        if key.lower().startswith("0x"):
            if written not in frozenset(Refusal):
                raise OptionError(f"{key} = {written!r}: one of {', '.join(Refusal)}")
            own[read_number(key, key, 0xFFFF_FFFF)] = Refusal(written)
    return own


def words_of_account(account: Account, interface_version: int = 0x34) -> LinkWords:
    """How a customer's bind is spoken to."""
    return LinkWords(
        charset=account.smpp.charset or GSM_UNPACKED,
        country=account.country,
        timezone=account.timezone,
        hex_ids=account.smpp.hex_ids,
        interface_version=interface_version,
    )


def status_of(refusal: Refusal, request: type[Body] | None = None) -> Status:
    """What a refusal is in the answer to a request of that kind."""
    if request is not None:
        special = STATUSES_BY_REQUEST.get((request, refusal))
        if special is not None:
            return special
    return STATUSES[refusal]


def refusal_of(status: int, words: LinkWords) -> Refusal:
    """What a status means on this link."""
    return words.refusals.get(status) or REFUSALS.get(status, UNKNOWN_STATUS)
