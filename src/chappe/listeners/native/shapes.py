"""What is asked and answered besides what both ends of the wire share (`dialects/native.py`). Instants are RFC 3339,
ids decimal digits in strings, money decimal words beside a currency."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from chappe.core.fates import NAMED
from chappe.core.ledger import Kind as MoneyKind
from chappe.core.model import Coding, Service, State
from chappe.core.people import Permission
from chappe.core.story import Kind
from chappe.dialects.native import (
    Id,
    Instant,
    Money,
    Phone,
    WhyNot,
)

PAGE_MAX = 500
Cursor = Annotated[str, Meta(max_length=200, description="The `next_cursor` of the page before; absent = the first.")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="How many items the page has at most.")]
NextCursor = Annotated[str | None, Meta(description="null = there are no more.")]
Query = Annotated[str, Meta(max_length=200)]
Words = Annotated[str, Meta(min_length=1, max_length=100)]
Url = Annotated[str, Meta(max_length=2000, description="Where to; empty = nowhere.")]
Amount = Annotated[
    str, Meta(pattern=r"^-?[0-9]{1,9}(\.[0-9]{1,6})?$", description="In the account's currency.", examples=["10.00"])
]

# What is shown of the whole


class Link(Struct, frozen=True, kw_only=True):
    """An endpoint, in a word."""

    method: str
    path: str
    summary: str


class Index(Struct, frozen=True, kw_only=True):
    """What there is."""

    name: str
    version: str
    openapi: str
    endpoints: tuple[Link, ...]


class ProblemKind(Struct, frozen=True, kw_only=True):
    """What a problem's `type` leads to."""

    code: str
    title: str
    status: int


# Messages


class Span(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of something, and which."""

    limit: Limit = 50
    cursor: Cursor = ""
    from_: Annotated[Instant, Meta(description="From this instant on.")] | None = field(name="from", default=None)
    to: Annotated[Instant, Meta(description="Before this instant.")] | None = None


class MessageFilter(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    recipient: Annotated[str, Meta(max_length=64, description="A number; * stands for any digits.")] = ""
    originator: Query = ""
    state: Annotated[tuple[State, ...], Meta(description="May be given several times.")] = ()
    reference: Annotated[str, Meta(max_length=200, description="Your own id.")] = ""
    submission: Annotated[str, Meta(max_length=20, description="The id of a submission.")] = ""
    account: Annotated[str, Meta(max_length=20, description="Its id, where several are in sight.")] = ""


class ListedMessage(Struct, frozen=True, kw_only=True):
    """A message in a list."""

    id: Id
    submission_id: Id
    account: str
    reference: str
    originator: str
    recipient: str
    text: str
    state: State
    segments: int
    price: Money
    is_test: bool
    created_at: Instant
    due_at: Instant
    sent_at: Instant | None
    final_at: Instant | None


class MessagePage(Struct, frozen=True, kw_only=True):
    """Messages, the newest first."""

    items: tuple[ListedMessage, ...]
    next_cursor: NextCursor


class WhichOf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    submission: Annotated[bool, Meta(description="Whether its whole submission is meant.")] = False


class MessageChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a message that still waits. The text must take as many segments as before."""

    scheduled_at: Annotated[Instant, Meta(description="An instant that has passed means now.")] | UnsetType = UNSET
    validity_s: Annotated[int, Meta(ge=1, le=14 * 24 * 3600)] | UnsetType = UNSET
    text: Annotated[str, Meta(min_length=1, max_length=40_000)] | UnsetType = UNSET


class Fact(Struct, frozen=True):
    """Something that is known, in words for people."""

    name: str
    value: str


class Chapter(Struct, frozen=True, kw_only=True):
    """One thing that happened to a message, or is to happen."""

    at: Instant
    kind: Kind
    title: str
    facts: Annotated[tuple[Fact, ...], Meta(description="In order; a name may come several times.")]


class StoryAnswer(Struct, frozen=True, kw_only=True):
    """Everything that is known of one message, the oldest first."""

    message_id: Id
    chapters: tuple[Chapter, ...]


# Preview


class RouteChoice(Struct, frozen=True, kw_only=True):
    """A route that the number could take, and why it does or does not."""

    prefix: Annotated[str, Meta(description="Empty = everywhere.")]
    service: Annotated[Service | None, Meta(description="null = every class.")]
    carriers: Annotated[tuple[str, ...], Meta(description="In the order they are tried.")]
    price_per_segment: Money
    is_taken: bool
    why: str


class PreviewedMessage(Struct, frozen=True, kw_only=True):
    """What one recipient would get."""

    recipient: str
    country: Annotated[str, Meta(description="ISO 3166-1 alpha-2; empty = of none.")]
    segments: int
    price: Money
    carriers: Annotated[tuple[str, ...], Meta(description="In the order they would be tried.")]
    routes: Annotated[tuple[RouteChoice, ...], Meta(description="Of the first hundred recipients.")]
    refusal: WhyNot | None = None


class PreviewedText(Struct, frozen=True, kw_only=True):
    """How a text goes on air."""

    alphabet: str
    why: Annotated[str, Meta(description="Why this alphabet.")]
    characters: int
    units: Annotated[int, Meta(description="Septets, UTF-16 units or octets, as the alphabet has it.")]
    pieces: Annotated[tuple[str, ...], Meta(description="The text as it is cut; empty where it is too long.")]
    segments_in_latin: Annotated[
        int | None, Meta(description="How few it would take in Latin letters, where that is fewer.")
    ] = None


class PreviewAnswer(Struct, frozen=True, kw_only=True):
    """What sending would come to. Nothing was kept, sent or charged."""

    segments: int
    price: Money
    texts: Annotated[tuple[PreviewedText, ...], Meta(description="Each text once, the first hundred.")]
    messages: tuple[PreviewedMessage, ...]


# Money


class LedgerFilter(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: Annotated[str, Meta(max_length=20, description="Its id, where several are in sight.")] = ""


class LedgerLine(Struct, frozen=True, kw_only=True):
    """One movement: what it did to the money that is there and to what is reserved, and what there was after it."""

    at: Instant
    kind: MoneyKind
    source_id: Annotated[str, Meta(description="Of the message, the rent or the payment.")]
    available: Money
    reserved: Money
    available_after: Money
    reserved_after: Money
    recipient: str
    segments: int
    other_account: str
    number: str


class LedgerPage(Struct, frozen=True, kw_only=True):
    """A statement, the newest line first."""

    items: tuple[LedgerLine, ...]
    opening: Annotated[Money, Meta(description="Before the oldest line.")]
    closing: Annotated[Money, Meta(description="After the newest line.")]
    next_cursor: NextCursor


# What comes in


class InboundFilter(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    recipient: Annotated[str, Meta(max_length=64, description="Your number; * stands for any digits.")] = ""
    originator: Query = ""
    account: Annotated[str, Meta(max_length=20, description="Its id, where several are in sight.")] = ""


class InboundMessage(Struct, frozen=True, kw_only=True):
    """A message from a phone."""

    id: Id
    originator: str
    recipient: str
    text: str
    coding: Coding
    received_at: Instant


class InboundPage(Struct, frozen=True, kw_only=True):
    """Messages from phones, the newest first."""

    items: tuple[InboundMessage, ...]
    next_cursor: NextCursor


# Numbers


class NumberAnswer(Struct, frozen=True, kw_only=True):
    """A number to receive messages at: rented by the month, or given with the account."""

    number: str
    country: str
    price: Annotated[Money, Meta(description="A month.")]
    is_rented: bool
    paid_until: Instant | None
    renews: bool
    forward_url: str
    forward_email: str
    forward_phone: str


class NumberList(Struct, frozen=True, kw_only=True):
    """Numbers."""

    items: tuple[NumberAnswer, ...]


class OfferFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    country: Annotated[str, Meta(max_length=2, description="ISO 3166-1 alpha-2; absent = everywhere.")] = ""
    limit: Limit = 50


class RentRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number, or the cheapest of a country. The first month is paid at once."""

    number: Annotated[str, Meta(max_length=20)] = ""
    country: Annotated[str, Meta(max_length=2)] = ""


class NumberChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where its messages go. What is absent stays as it is."""

    forward_url: Url | UnsetType = UNSET
    forward_email: Annotated[str, Meta(max_length=320)] | UnsetType = UNSET
    forward_phone: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET


# Callbacks


class CallbackFilter(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: Annotated[tuple[str, ...], Meta(description="pending, done, failed or disabled.")] = ()
    message: Annotated[str, Meta(max_length=20, description="The id of a message.")] = ""
    account: Annotated[str, Meta(max_length=20, description="Its id, where several are in sight.")] = ""


class CallbackAnswer(Struct, frozen=True, kw_only=True):
    """A callback and its last attempt."""

    id: Id
    message_id: Id
    kind: str
    dialect: str
    state: str
    attempts: int
    status: Annotated[int, Meta(description="Of the last answer; 0 = there was none.")]
    detail: str
    url: Annotated[str, Meta(description="Empty = where the account's go.")]
    took_ms: int
    made_at: Instant | None
    ended_at: Instant | None
    next_at: Instant | None


class CallbackPage(Struct, frozen=True, kw_only=True):
    """Callbacks, the newest first."""

    items: tuple[CallbackAnswer, ...]
    next_cursor: NextCursor


class ReplayRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Callbacks of a span of time that are to be made again."""

    from_: Instant = field(name="from")
    to: Instant
    states: Annotated[tuple[str, ...], Meta(max_length=4, description="done, failed or disabled.")] = (
        "failed",
        "disabled",
    )
    cursor: Cursor = ""


class ReplayAnswer(Struct, frozen=True, kw_only=True):
    """How many are made again. With a `next_cursor`, there are more in the span."""

    replayed_count: int
    next_cursor: NextCursor = None


class WebhookSecret(Struct, frozen=True, kw_only=True):
    """What callbacks in chappe's own dialect are signed with (Standard Webhooks)."""

    secret: Annotated[str, Meta(description="whsec_ and base64.")]


# Carriers


class CarrierAnswer(Struct, frozen=True, kw_only=True):
    """A carrier as it is configured."""

    id: Id
    name: str
    kind: str
    is_active: bool
    window: int
    throughput: Annotated[float, Meta(description="Messages a second; 0 = no cap.")]
    uncertain: str


class CarrierList(Struct, frozen=True, kw_only=True):
    """The carriers, removed ones too."""

    items: tuple[CarrierAnswer, ...]


# Accounts


class AccountAnswer(Struct, frozen=True, kw_only=True):
    """An account: one's own, or one that it made."""

    id: Id
    name: str
    parent_id: Annotated[str, Meta(description="The account that made it; empty = none.")]
    is_active: bool
    balance: Money
    senders: tuple[str, ...]
    numbers: tuple[str, ...]


class AccountPage(Struct, frozen=True, kw_only=True):
    """Accounts, one's own first."""

    items: tuple[AccountAnswer, ...]
    next_cursor: NextCursor


class AccountFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 50
    cursor: Cursor = ""


class AccountRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subaccount. It may do what its parent may, and ends with it."""

    name: Words
    password: Annotated[str, Meta(min_length=8, max_length=500)]
    credit: Annotated[Amount, Meta(description="Moved to it from its parent.")] = "0"


class AccountChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a subaccount. What is absent stays as it is."""

    name: Words | UnsetType = UNSET
    password: Annotated[str, Meta(min_length=8, max_length=500)] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    credit: Annotated[Amount, Meta(description="Moved to it; less than nothing: moved back.")] | UnsetType = UNSET


# Keys


class KeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. It can do nothing that whoever makes it cannot."""

    name: Words
    scopes: Annotated[tuple[Permission, ...], Meta(min_length=1, max_length=len(Permission))]
    is_test: Annotated[bool, Meta(description="Whether it sends through the simulated carrier, free of charge.")] = (
        False
    )


class KeyAnswer(Struct, frozen=True, kw_only=True):
    """A key as its owner sees it."""

    id: Id
    name: str
    hint: Annotated[str, Meta(description="How it begins.")]
    scopes: tuple[Permission, ...]
    is_test: bool
    made_at: Instant
    used_at: Annotated[Instant | None, Meta(description="To the minute.")]
    ended_at: Instant | None


class MadeKey(KeyAnswer, frozen=True, kw_only=True):
    """A new key, which is told this once."""

    key: str


class KeyList(Struct, frozen=True, kw_only=True):
    """Keys, the newest first."""

    items: tuple[KeyAnswer, ...]


# The simulator


class FateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the next message to a number comes to, where a simulated carrier takes it."""

    recipient: Phone
    fate: Annotated[str, Meta(max_length=40, examples=list(NAMED)[:1])]
    late_s: (
        Annotated[float, Meta(gt=0, le=86_400, description="How long after it was sent, for a late one.")] | None
    ) = None


class FateAnswer(Struct, frozen=True, kw_only=True):
    """It is chosen."""

    recipient: str
    fate: str


class PhoneMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a phone writes to one of the account's numbers."""

    originator: Phone
    recipient: Phone
    text: Annotated[str, Meta(min_length=1, max_length=40_000)]


class PhoneAnswer(Struct, frozen=True, kw_only=True):
    """It was received."""

    id: Id
