"""Why a submission becomes what it becomes: for previews, for the route simulator, and for the story of a message.

Nothing is decided here. What becomes of it is what `submission.prepare` says, asked for the whole and for each
recipient; the rest tells what that looked at: the alphabet, the cuts, and every route that a number could have taken.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Carrier, Coding, Message, Priority, Route, Service, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.submission import IsBlocked, allowed_originator, nobody_is_blocked, prepare, priority_of, storable
from chappe.sms.alphabets import GSM, UCS2, choose
from chappe.sms.numbers import country, parse_msisdn
from chappe.sms.segments import TextTooLong, cut
from chappe.sms.translit import PHONETIC, transliterate

RECIPIENTS_MAX = 100  # that are explained one by one
TEXT_MAX = 50_000  # characters that are looked at


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...

    def carrier(self, carrier_id: int) -> Carrier | None: ...


class Alphabet(StrEnum):
    GSM = "GSM 7-bit"
    EXTENDED = "GSM 7-bit with extension"
    UCS2 = "UCS-2"
    BINARY = "binary"


class Why(StrEnum):
    """Why a route is, or is not, the one that is taken."""

    TAKEN = "taken"
    OTHER_SERVICE = "serves another service class"
    LONGER_PREFIX = "a longer prefix is taken"
    OWN_CLASS = "a route for exactly this service class is taken"
    NOT_NEEDED = "messages of this account need no route"


class TextExplained(Struct, frozen=True, kw_only=True):
    """How a text goes on air. `segments` is how many it is cut into there; what is charged its dialect counts."""

    alphabet: Alphabet
    characters: int
    units: int  # septets, UTF-16 units or octets, as the alphabet has it
    pieces: tuple[str, ...] = ()  # the text as it is cut; empty where it is too long for any number of segments
    offender: str = ""  # the first character that GSM 7-bit has not
    offender_place: int = 0  # counted from 1; 0 = there is none
    in_latin: str = ""  # the text in Latin letters, where that takes fewer segments ...
    in_latin_segments: int = 0  # ... namely so many

    @property
    def segments(self) -> int:
        return len(self.pieces)


class CarrierExplained(Struct, frozen=True, kw_only=True):
    """A carrier of a route, in the order in which they are tried."""

    id: int
    name: str
    kind: str = ""
    is_active: bool = False
    is_up: bool = False


class RouteExplained(Struct, frozen=True, kw_only=True):
    """A route that a number could take. `service`: None = every class."""

    prefix: str
    service: Service | None
    price_micros: int
    carriers: tuple[CarrierExplained, ...]
    why: Why

    @property
    def is_taken(self) -> bool:
        return self.why is Why.TAKEN


class RecipientExplained(Struct, frozen=True, kw_only=True):
    """What becomes of a recipient: with a refusal nothing, else a message of so many segments at so much in all."""

    written: str
    number: str  # empty = it is none
    country: str  # ISO 3166; empty = of no country
    refusal: Refusal | None
    is_blocked: bool
    text: int  # its place among the texts
    segments: int = 0
    segment_micros: int = 0
    price_micros: int = 0
    carrier_id: int = 0
    routes: tuple[RouteExplained, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True, dict=True):
    """What a submission would become now. `refusal`: why it as a whole becomes nothing."""

    refusal: Refusal | None
    originator: str | None  # as it goes on air; None = the account may not use the one it wrote
    is_default_originator: bool  # nothing was written
    allowed_originators: tuple[str, ...]  # empty = any
    service: Service
    priority: Priority
    currency: str
    recipients_count: int
    recipients: tuple[RecipientExplained, ...]  # the first of them
    texts: tuple[TextExplained, ...]
    segments: int  # in all, of all recipients
    price_micros: int  # likewise

    @cached_property
    def refused_count(self) -> int:
        """Of the recipients that are explained."""
        return sum(one.refusal is not None for one in self.recipients)


def always_up(_carrier_id: int) -> bool:
    return True


def explain(
    account: Account,
    submission: Submission,
    dialect: Dialect,
    directory: Known,
    now_ms: int,
    is_blocked: IsBlocked = nobody_is_blocked,
    is_up: Callable[[int], bool] = always_up,
) -> Explanation:
    """What would become of a submission, and why. `is_up` tells whether a carrier (by id) can be reached now."""
    routing = directory.routing
    draft = prepare(account, submission, dialect, routing, 0, now_ms, is_blocked)
    messages = () if isinstance(draft, Refused) else draft.messages
    written = submission.texts or (submission.text,)
    texts = list(dict.fromkeys(written))[:RECIPIENTS_MAX]
    originator = allowed_originator(account, submission.originator, dialect.north.default_originator)
    priority = submission.priority or priority_of(account, len(submission.recipients))
    alone = replace(submission, texts=(), priority=priority)

    def of_recipient(index: int) -> RecipientExplained:
        text = submission.texts[index] if index < len(submission.texts) else submission.text
        recipient = submission.recipients[index]
        own = prepare(
            account, replace(alone, recipients=(recipient,), text=text), dialect, routing, 0, now_ms, is_blocked
        )
        number = parse_msisdn(recipient.removeprefix("+"), strict=True) or ""
        refusal = own.reason if isinstance(own, Refused) else None
        message = None if isinstance(own, Refused) else own.messages[0]
        return RecipientExplained(
            written=recipient,
            number=number,
            country=(country(number) or "") if number else "",
            refusal=refusal,
            is_blocked=bool(number) and is_blocked(account.id, number, originator or ""),
            text=texts.index(text) if text in texts else 0,
            segments=message.segments if message else 0,
            segment_micros=message.price_micros // message.segments if message else 0,
            price_micros=message.price_micros if message else 0,
            carrier_id=message.carrier_id if message else 0,
            routes=routes_to(number, submission.service, account, directory, is_up) if number else (),
        )

    count = min(len(submission.recipients), RECIPIENTS_MAX)
    return Explanation(
        refusal=draft.reason if isinstance(draft, Refused) else None,
        originator=originator,
        is_default_originator=not submission.originator,
        allowed_originators=(*account.senders, *account.numbers) if account.senders else (),
        service=submission.service,
        priority=priority,
        currency=account.currency,
        recipients_count=len(submission.recipients),
        recipients=tuple(map(of_recipient, range(count))),
        texts=tuple(text_explained(text, submission.coding) for text in texts),
        segments=sum(one.segments for one in messages),
        price_micros=sum(one.price_micros for one in messages),
    )


# Routes


def routes_to(
    number: str,
    service: Service,
    account: Account,
    directory: Known,
    is_up: Callable[[int], bool] = always_up,
    routing: RoutingTable | None = None,
) -> tuple[RouteExplained, ...]:
    """Every route that a number could take, the longest prefix first. `routing`: others than those in force now."""
    table = routing or directory.routing
    taken = table.find(number, service)
    is_needed = not (account.is_virtual or account.is_test)
    return tuple(
        RouteExplained(
            prefix=one.prefix,
            service=one.service,
            price_micros=one.price_micros,
            carriers=tuple(carrier_explained(each, directory, is_up) for each in one.carrier_ids),
            why=why_of(one, taken, service) if is_needed else Why.NOT_NEEDED,
        )
        for one in table.of_number(number)
    )


def why_of(one: Route, taken: Route | None, service: Service) -> Why:
    if taken is None or one.service not in (None, service):
        return Why.OTHER_SERVICE
    if one == taken:
        return Why.TAKEN
    return Why.OWN_CLASS if one.prefix == taken.prefix else Why.LONGER_PREFIX


def carrier_explained(carrier_id: int, directory: Known, is_up: Callable[[int], bool]) -> CarrierExplained:
    one = directory.carrier(carrier_id)
    if one is None:
        return CarrierExplained(id=carrier_id, name=f"carrier {carrier_id}")
    return CarrierExplained(
        id=one.id, name=one.name, kind=one.kind, is_active=one.is_active, is_up=one.is_active and is_up(one.id)
    )


# Texts


def text_explained(written: str, coding: Coding = Coding.TEXT) -> TextExplained:
    """How a text goes on air, as far as it can."""
    if coding is Coding.BINARY:
        octets = len(written) // 2
        return TextExplained(alphabet=Alphabet.BINARY, characters=len(written), units=octets, pieces=(written,))
    text = storable(written)[:TEXT_MAX]
    alphabet = choose(text)
    if alphabet is GSM:
        units = GSM.units(text) or 0
        name = Alphabet.EXTENDED if units > len(text) else Alphabet.GSM
        return TextExplained(alphabet=name, characters=len(text), units=units, pieces=pieces_of(text))
    place = next(place for place, character in enumerate(text) if GSM.units(character) is None)
    pieces = pieces_of(text)
    latin = transliterate(text, PHONETIC)
    in_latin = len(pieces_of(latin)) if GSM.units(latin) is not None else 0
    is_shorter = 0 < in_latin < (len(pieces) or in_latin + 1)
    return TextExplained(
        alphabet=Alphabet.UCS2,
        characters=len(text),
        units=UCS2.units(text),
        pieces=pieces,
        offender=text[place],
        offender_place=place + 1,
        in_latin=latin if is_shorter else "",
        in_latin_segments=in_latin if is_shorter else 0,
    )


def pieces_of(text: str) -> tuple[str, ...]:
    try:
        return tuple(one.text for one in cut(text, choose(text), reference=0))
    except TextTooLong:
        return ()


def text_of(one: Message) -> TextExplained:
    return text_explained(one.text, one.coding)
