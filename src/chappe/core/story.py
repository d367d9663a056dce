"""What can be told of a message, and what is counted: the words for both.

The ordinary course of a message is read off its own row, its money and its callbacks. Only what departs from it is
written down as a happening, so that a message that goes well costs nothing more.
"""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a chapter of a message's story is about. The same words name happenings in the store."""

    REQUESTED = "requested"  # the request as it came
    ENCODED = "encoded"  # alphabet and segments
    ROUTED = "routed"  # which carriers were considered, and why
    PRICED = "priced"
    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    RESCHEDULED = "rescheduled"
    REPLACED = "replaced"  # its text
    SENT = "sent"
    PUT_OFF = "put_off"  # the carrier asks to come back later
    REROUTED = "rerouted"  # this carrier does not take it: on to the next
    REJECTED = "rejected"
    DOUBTFUL = "doubtful"  # nobody knows whether the carrier took it
    SETTLED = "settled"  # the doubt has ended
    RECEIPT = "receipt"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CALLBACK = "callback"
    MONEY = "money"


class Chapter(Struct, frozen=True, kw_only=True):
    """One thing that happened, or is to happen, to a message. `facts` are names and values for people, in order."""

    at_ms: int
    kind: Kind
    title: str
    facts: tuple[tuple[str, str], ...] = ()


class Story(Struct, frozen=True, kw_only=True):
    """Everything that is known of one message, the oldest first."""

    message_id: int
    account_id: int
    chapters: tuple[Chapter, ...]


class Happening(Struct, frozen=True, kw_only=True):
    """Something out of the ordinary, as the store keeps it."""

    message_id: int
    made_ms: int
    kind: Kind
    carrier_id: int
    attempt: int = 0
    words: str = ""


class Sense(StrEnum):
    """How a receipt departs from the ordinary. A receipt's happening begins with one of these and the state it told."""

    EARLY = "early"  # before the carrier's answer
    LATE = "late"  # the message was given up as `unknown`
    MEANWHILE = "meanwhile"  # of a state on the way, which changes nothing
    AGAIN = "again"  # what was known already
    AGAINST = "against"  # another end than the one that was told first


class Tallied(StrEnum):
    """What is counted by the minute and by the hour, by account and carrier."""

    ACCEPTED = "accepted"
    SENT = "sent"  # with the price; the lag is from due to sent
    DELIVERED = "delivered"  # the lag of this and the next two is from sent to the receipt
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    PUT_OFF = "put_off"  # attempts that a carrier put off ...
    REROUTED = "rerouted"  # ... or left to another
    INBOUND = "inbound"
