"""The story of one message: everything that is known of it, from the request that brought it to the last callback.

The tables keep what happened; this puts it in order and into words. All words are in two tables, so that they can be
translated: titles are whole sentences, facts are short labels. Whoever sees everything sees carriers and routes by
name; an account sees only what its carriers said. Passwords are in no table; of a callback's URL only the host is told,
because the rest may hold a secret.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from chappe.core.centre import Refusal
from chappe.core.ids import ID_MAX, made_ms
from chappe.core.ledger import TRANSFERS, format_micros
from chappe.core.ledger import Kind as Movement
from chappe.core.model import TEST_CARRIER, VIRTUAL, Account, Carrier, Coding, State
from chappe.core.people import Sight
from chappe.core.routing import RoutingTable
from chappe.core.story import Chapter, Happening, Kind, Sense, Story
from chappe.gateway.directory import route_of
from chappe.gateway.explaining import Alphabet, RouteExplained, routes_to, text_explained
from chappe.sms.numbers import country
from chappe.store.database import Transaction
from chappe.store.engine import Store
from chappe.store.requests import KeptRequest
from chappe.store.stories import CallbackSeen, EntrySeen, StoredStory

REQUESTS_MAX = 3  # that are told of: an SMPP submission has none, a resumed one several
BODY_MAX = 2_000  # characters of a request, and of its answer
SMPP = "smpp"
KEEPING = "the setting keep_requests (CHAPPE_KEEP_REQUESTS) says for how many hours requests are kept"

Facts = Sequence[tuple[str, object]]


class Title(StrEnum):
    """What chapters are called, in the order in which they follow each other within one instant."""

    REQUESTED = "The request came"
    NOT_KEPT = "The request was not kept"
    BY_BIND = "It came over an SMPP bind"
    ENCODED = "The text was encoded"
    ROUTED = "The route was chosen"
    PRICED = "The price was reckoned"
    ACCEPTED = "The message was accepted"
    RESERVED = "Money was reserved"
    SCHEDULED = "It is to be sent later"
    REPLACED = "It was given another text"
    RESCHEDULED = "It was given another time"
    PUT_OFF = "The carrier asked to come back later"
    REROUTED = "This carrier did not take it: on to the next"
    DOUBTFUL = "Nobody knows whether the carrier took it"
    SETTLED = "The doubt was settled"
    SENDING = "It is on its way to the carrier"
    EARLY = "A receipt came before the carrier's answer"
    SENT = "The carrier took it"
    POSTED = "The price was paid"
    VIRTUAL = "It was delivered without being sent: the account is a virtual one"
    DELIVERED = "The carrier reports that it was delivered"
    UNDELIVERABLE = "The carrier reports that it cannot be delivered"
    EXPIRED_THERE = "The carrier reports that its time ran out"
    REJECTED_THERE = "The carrier reports that it was rejected"
    REJECTED = "It was refused for good"
    EXPIRED = "Its time ran out before it was sent"
    CANCELLED = "It was cancelled"
    NO_FUNDS = "There was no money for it when its time came"
    GIVEN_UP = "It was given up, because nobody knows whether the carrier took it"
    SILENT = "No receipt came in time"
    VOIDED = "The reserved money was given back"
    LATE = "A receipt came after all"
    MEANWHILE = "A receipt told of a state on the way"
    AGAIN = "A receipt came again"
    AGAINST = "A receipt told another end"
    CALLED_IN_VAIN = "A callback was not taken, and is made again"
    CALLED_BACK = "A callback was delivered"
    CALL_WAITS = "A callback waits to be made"
    CALL_FAILED = "A callback was given up"
    CALL_DISABLED = "A callback was not made: its place is gone"


class Fact(StrEnum):
    """What facts are called."""

    METHOD = "Method"
    TARGET = "Target"
    BODY = "Body"
    STATUS = "Status"
    ANSWER = "Answer"
    TOOK = "Took"
    HINT = "Hint"
    ALPHABET = "Alphabet"
    OFFENDER = "First character outside GSM 7-bit"
    PLACE = "At place"
    CHARACTERS = "Characters"
    SEPTETS = "Septets"
    UNITS = "UTF-16 units"
    OCTETS = "Octets"
    SEGMENTS = "Segments"
    ON_AIR = "Segments on air"
    IN_LATIN = "Segments in Latin letters"
    FLASH = "Shown at once"
    COUNTRY = "Country"
    SERVICE = "Service class"
    ROUTE = "Route"
    CONFIGURATION = "Configuration"
    EACH = "Price of a segment"
    PRICE = "Price"
    LATE = "Charged"
    ACCOUNT = "Account"
    ORIGINATOR = "Sender"
    RECIPIENT = "Recipient"
    REFERENCE = "Reference"
    DIALECT = "Dialect"
    PRIORITY = "Priority"
    SUBMISSION = "Submission"
    DUE = "Due"
    BEFORE = "Before"
    CARRIER = "Carrier"
    ATTEMPT = "Attempt"
    GIVEN = "Its name there"
    AFTER = "After"
    WORDS = "Said"
    STATE = "State"
    SEGMENT = "Segment"
    TELLS = "Tells"
    PLACE_CALLED = "To"
    AMOUNT = "Amount"


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...

    def account(self, account_id: int) -> Account | None: ...

    def carrier(self, carrier_id: int) -> Carrier | None: ...


class StoryDesk:
    """`requests` finds the requests that led to a submission, those included that are not written yet."""

    def __init__(
        self,
        store: Store,
        directory: Callable[[], Known],
        requests: Callable[[int], Awaitable[list[KeptRequest]]] | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._requests = requests

    async def tell(self, sight: Sight, message_id: int) -> Story | None:
        """Everything that is known of a message; None for one that is not there, or not theirs to see."""
        if not 0 < message_id <= ID_MAX:
            return None
        stored = await self._store.read(lambda transaction: self._store.stories.story(transaction, message_id))
        if stored is None or not sight.sees(stored.message.account_id):
            return None
        submission_id, accepted_ms = stored.message.submission_id, made_ms(stored.message.id)
        kept = await self._kept(submission_id)
        routing = await self._store.read(lambda transaction: self._routing_at(transaction, accepted_ms))
        seen = [one for one in kept if sight.sees(one.account_id)]
        teller = Teller(self._directory(), stored, seen, routing, sees_carriers=sight.account_ids is None)
        return teller.story()

    async def _kept(self, submission_id: int) -> list[KeptRequest]:
        if self._requests is not None:
            return await self._requests(submission_id)
        return await self._store.read(
            lambda transaction: self._store.requests.of_submission(transaction, submission_id)
        )

    def _routing_at(self, transaction: Transaction, at_ms: int) -> RoutingTable | None:
        """The routes that were in force at an instant; None where no version of them reaches back so far."""
        versions = self._store.versions
        revision = versions.in_force(transaction, at_ms)
        return (
            RoutingTable(map(route_of, versions.standing(transaction, revision).routes.values())) if revision else None
        )


class Teller:
    """Puts what is known of one message into chapters."""

    def __init__(
        self,
        directory: Known,
        stored: StoredStory,
        requests: Sequence[KeptRequest],
        routing: RoutingTable | None,
        *,
        sees_carriers: bool,
    ) -> None:
        self._directory = directory
        self._stored = stored
        self._requests = requests
        self._routing = routing
        self._sees_carriers = sees_carriers
        self._message = stored.message
        self._accepted_ms = made_ms(stored.message.id)
        account = directory.account(stored.message.account_id)
        self._account = account or Account(id=stored.message.account_id, name=str(stored.message.account_id))

    def story(self) -> Story:
        parts = (
            self._requested(),
            self._decided(),
            self._accepted(),
            self._changed(),
            self._attempted(),
            self._ended(),
            self._money(),
            self._called_back(),
        )
        chapters = [chapter for part in parts for chapter in part]
        return Story(
            message_id=self._message.id,
            account_id=self._message.account_id,
            chapters=tuple(sorted(chapters, key=lambda chapter: (chapter.at_ms, PLACES[chapter.title]))),
        )

    # Before it was kept

    def _requested(self) -> Iterator[Chapter]:
        for one in self._requests[:REQUESTS_MAX]:
            facts = (
                (Fact.DIALECT, one.dialect),
                (Fact.METHOD, one.method),
                (Fact.TARGET, one.target),
                (Fact.BODY, one.body[:BODY_MAX]),
                (Fact.STATUS, one.status),
                (Fact.ANSWER, one.answer[:BODY_MAX]),
                (Fact.TOOK, duration(one.took_us / 1000)),
            )
            yield chapter(min(one.made_ms, self._accepted_ms), Kind.REQUESTED, Title.REQUESTED, facts)
        if self._message.dialect == SMPP:
            yield chapter(self._accepted_ms, Kind.REQUESTED, Title.BY_BIND)
        elif not self._requests:
            yield chapter(self._accepted_ms, Kind.REQUESTED, Title.NOT_KEPT, ((Fact.HINT, KEEPING),))

    def _decided(self) -> Iterator[Chapter]:
        one = self._message
        yield chapter(self._accepted_ms, Kind.ENCODED, Title.ENCODED, self._text_facts(*self._first_text()))
        yield chapter(self._accepted_ms, Kind.ROUTED, Title.ROUTED, tuple(self._route_facts()))
        each_micros = one.price_micros // one.segments if one.segments else 0
        facts = (
            (Fact.SEGMENTS, one.segments),
            (Fact.EACH, self._amount(each_micros)),
            (Fact.PRICE, self._amount(one.price_micros)),
            (Fact.LATE, "when it is sent" if one.is_charged_late else ""),
        )
        yield chapter(self._accepted_ms, Kind.PRICED, Title.PRICED, facts)

    def _first_text(self) -> tuple[str, Coding]:
        """What it said when it was accepted."""
        replaced = [one.words for one in self._stored.happenings if one.kind is Kind.REPLACED]
        return replaced[0] if replaced else self._message.text, self._message.coding

    def _text_facts(self, text: str, coding: Coding) -> Facts:
        told = text_explained(text, coding)
        units = {Alphabet.UCS2: Fact.UNITS, Alphabet.BINARY: Fact.OCTETS}.get(told.alphabet, Fact.SEPTETS)
        return (
            (Fact.ALPHABET, told.alphabet),
            (Fact.OFFENDER, told.offender),
            (Fact.PLACE, told.offender_place or ""),
            (Fact.CHARACTERS, told.characters),
            (units, told.units),
            (Fact.ON_AIR, told.segments or ""),
            (Fact.IN_LATIN, told.in_latin_segments or ""),
            (Fact.FLASH, "yes" if coding is Coding.FLASH else ""),
        )

    def _route_facts(self) -> Iterator[tuple[str, object]]:
        one = self._message
        yield Fact.COUNTRY, country(one.recipient) or ""
        yield Fact.SERVICE, one.service
        if not self._sees_carriers:
            return
        if one.carrier_id == TEST_CARRIER.id:
            yield Fact.CARRIER, TEST_CARRIER.name
        routes = routes_to(one.recipient, one.service, self._account, self._directory, routing=self._routing)
        for route in routes:
            yield f"{Fact.ROUTE} {name_of(route)}", self._route_words(route)
        then = "as it was when the message was accepted" if self._routing is not None else "as it is today"
        yield Fact.CONFIGURATION, then

    def _route_words(self, route: RouteExplained) -> str:
        carriers = ", ".join(one.name if one.is_active else f"{one.name} (removed)" for one in route.carriers)
        return f"{route.why}: {carriers}, {self._amount(route.price_micros)}"

    def _accepted(self) -> Iterator[Chapter]:
        one = self._message
        facts = (
            (Fact.ACCOUNT, self._account.name),
            (Fact.DIALECT, one.dialect),
            (Fact.ORIGINATOR, one.originator),
            (Fact.RECIPIENT, one.recipient),
            (Fact.REFERENCE, one.reference),
            (Fact.PRIORITY, one.priority),
            (Fact.SUBMISSION, one.submission_id),
        )
        yield chapter(self._accepted_ms, Kind.ACCEPTED, Title.ACCEPTED, facts)
        due_ms = self._first_due_ms()
        if due_ms > self._accepted_ms:
            yield chapter(self._accepted_ms, Kind.SCHEDULED, Title.SCHEDULED, ((Fact.DUE, instant(due_ms)),))

    def _first_due_ms(self) -> int:
        """When it was to be sent at first, if that was not at once."""
        earlier = [one.words for one in self._stored.happenings if one.kind is Kind.RESCHEDULED]
        if earlier:
            return int(earlier[0])
        if self._stored.scheduled_ms:
            return self._stored.scheduled_ms
        return self._message.due_ms if self._message.state is State.SCHEDULED else 0

    # On its way

    def _changed(self) -> Iterator[Chapter]:
        for one in self._stored.happenings:
            if one.kind is Kind.REPLACED:
                yield chapter(one.made_ms, one.kind, Title.REPLACED, ((Fact.BEFORE, one.words),))
            elif one.kind is Kind.RESCHEDULED:
                yield chapter(one.made_ms, one.kind, Title.RESCHEDULED, ((Fact.BEFORE, instant(int(one.words))),))

    def _attempted(self) -> Iterator[Chapter]:
        for one in self._stored.happenings:
            title = ON_ITS_WAY.get(one.kind)
            if title is not None:
                facts = (*self._carrier_facts(one.carrier_id), (Fact.ATTEMPT, one.attempt), (Fact.WORDS, one.words))
                yield chapter(one.made_ms, one.kind, title, facts)
            elif one.kind is Kind.RECEIPT:
                yield self._receipt(one)
        yield from self._sent()

    def _sent(self) -> Iterator[Chapter]:
        one, stored = self._message, self._stored
        if stored.sent_ms:
            facts = [*self._carrier_facts(one.carrier_id), (Fact.ATTEMPT, one.attempt)]
            if self._sees_carriers:
                facts.append((Fact.GIVEN, stored.given))
            facts.append((Fact.AFTER, duration(stored.sent_ms - self._accepted_ms)))
            yield chapter(stored.sent_ms, Kind.SENT, Title.SENT, facts)
        elif one.state is State.SENDING and not self._is_doubtful():
            facts = [*self._carrier_facts(one.carrier_id), (Fact.ATTEMPT, one.attempt)]
            yield chapter(max(one.due_ms, self._accepted_ms), Kind.SENT, Title.SENDING, facts)

    def _is_doubtful(self) -> bool:
        return any(
            one.kind is Kind.DOUBTFUL and one.attempt == self._message.attempt for one in self._stored.happenings
        )

    def _receipt(self, one: Happening) -> Chapter:
        sense, state, words = (*one.words.split(" ", 2), "", "")[:3]
        facts = (*self._carrier_facts(one.carrier_id), (Fact.STATE, state), (Fact.WORDS, words))
        return chapter(one.made_ms, Kind.RECEIPT, SENSES.get(sense, Title.AGAIN), facts)

    # How it ended

    def _ended(self) -> Iterator[Chapter]:
        one, stored = self._message, self._stored
        if not stored.final_ms:
            return
        if stored.sent_ms:
            yield from self._reported()
        elif one.state is State.DELIVERED and stored.detail == VIRTUAL:
            yield chapter(stored.final_ms, Kind.SENT, Title.VIRTUAL)
        elif not self._is_told(stored.final_ms):
            kind, title = self._unsent_end()
            yield chapter(stored.final_ms, kind, title, ((Fact.WORDS, stored.detail),))

    def _is_told(self, at_ms: int) -> bool:
        """Whether a happening told of the end already."""
        ends = (Kind.REJECTED, Kind.EXPIRED)
        return any(one.kind in ends and one.made_ms == at_ms for one in self._stored.happenings)

    def _unsent_end(self) -> tuple[Kind, Title]:
        state = self._message.state
        if state is State.REJECTED and self._stored.detail == Refusal.NO_FUNDS.value:
            return Kind.REJECTED, Title.NO_FUNDS
        return UNSENT_ENDS.get(state, (Kind.RECEIPT, REPORTED.get(state, Title.SILENT)))

    def _reported(self) -> Iterator[Chapter]:
        one, stored = self._message, self._stored
        if one.state is State.UNKNOWN:
            yield chapter(stored.final_ms, Kind.RECEIPT, Title.SILENT)
            return
        segments = [(f"{Fact.SEGMENT} {each.segment}", each.state) for each in stored.segments]
        facts = (
            *self._carrier_facts(one.carrier_id),
            (Fact.WORDS, stored.detail),
            (Fact.AFTER, duration(stored.final_ms - stored.sent_ms)),
            *segments,
        )
        yield chapter(stored.final_ms, Kind.RECEIPT, REPORTED.get(one.state, Title.SILENT), facts)

    # What followed

    def _money(self) -> Iterator[Chapter]:
        for one in self._stored.entries:
            yield chapter(one.made_ms, Kind.MONEY, movement_of(one), ((Fact.AMOUNT, self._amount(one.amount_micros)),))

    def _called_back(self) -> Iterator[Chapter]:
        for one in self._stored.happenings:
            if one.kind is Kind.CALLBACK:
                _, status, took_ms, words = (*one.words.split(" ", 3), "", "", "", "")[:4]
                facts: Facts = (
                    (Fact.ATTEMPT, one.attempt),
                    (Fact.STATUS, status if status != "0" else ""),
                    (Fact.WORDS, words),
                    (Fact.TOOK, duration(int(took_ms or 0))),
                )
                yield chapter(one.made_ms, Kind.CALLBACK, Title.CALLED_IN_VAIN, facts)
        for each in self._stored.callbacks:
            yield self._callback(each)

    def _callback(self, one: CallbackSeen) -> Chapter:
        is_over = one.state != "pending"
        facts = (
            (Fact.TELLS, told_state(one.payload)),
            (Fact.DIALECT, one.dialect),
            (Fact.PLACE_CALLED, self._place_of(one)),
            (Fact.ATTEMPT, one.attempt if one.ended_ms else ""),
            (Fact.STATUS, one.status or ""),
            (Fact.WORDS, one.detail),
            (Fact.TOOK, duration(one.took_ms) if one.ended_ms else ""),
            (Fact.DUE, "" if is_over else instant(one.due_ms)),
        )
        at_ms = (one.ended_ms if is_over else 0) or one.made_ms or made_ms(one.id)
        return chapter(at_ms, Kind.CALLBACK, CALLBACKS.get(one.state, Title.CALL_WAITS), facts)

    def _place_of(self, one: CallbackSeen) -> str:
        if one.dialect == SMPP:
            return "a bind of the account"
        try:
            return urlsplit(one.url or self._account.receipt_url).hostname or ""
        except ValueError:
            return ""

    def _carrier_facts(self, carrier_id: int) -> Facts:
        if not self._sees_carriers:
            return ()
        carrier = self._directory.carrier(carrier_id)
        return ((Fact.CARRIER, carrier.name if carrier is not None else carrier_id),)

    def _amount(self, amount_micros: int) -> str:
        return f"{format_micros(amount_micros)} {self._account.currency}"


PLACES: dict[str, int] = {title.value: place for place, title in enumerate(Title)}
ON_ITS_WAY = {
    Kind.PUT_OFF: Title.PUT_OFF,
    Kind.REROUTED: Title.REROUTED,
    Kind.REJECTED: Title.REJECTED,
    Kind.DOUBTFUL: Title.DOUBTFUL,
    Kind.SETTLED: Title.SETTLED,
    Kind.EXPIRED: Title.EXPIRED,
}
SENSES: dict[str, Title] = {
    Sense.EARLY: Title.EARLY,
    Sense.LATE: Title.LATE,
    Sense.MEANWHILE: Title.MEANWHILE,
    Sense.AGAIN: Title.AGAIN,
    Sense.AGAINST: Title.AGAINST,
}
REPORTED = {
    State.DELIVERED: Title.DELIVERED,
    State.UNDELIVERABLE: Title.UNDELIVERABLE,
    State.EXPIRED: Title.EXPIRED_THERE,
    State.REJECTED: Title.REJECTED_THERE,
}
UNSENT_ENDS = {
    State.CANCELLED: (Kind.CANCELLED, Title.CANCELLED),
    State.EXPIRED: (Kind.EXPIRED, Title.EXPIRED),
    State.REJECTED: (Kind.REJECTED, Title.REJECTED),
    State.UNDELIVERABLE: (Kind.REJECTED, Title.GIVEN_UP),
    State.UNKNOWN: (Kind.DOUBTFUL, Title.GIVEN_UP),
}
CALLBACKS = {
    "done": Title.CALLED_BACK,
    "pending": Title.CALL_WAITS,
    "failed": Title.CALL_FAILED,
    "disabled": Title.CALL_DISABLED,
}
MOVEMENTS = {
    (transfer.debit.value, transfer.credit.value): title
    for transfer, title in (
        (TRANSFERS[Movement.RESERVE], Title.RESERVED),
        (TRANSFERS[Movement.POST], Title.POSTED),
        (TRANSFERS[Movement.VOID], Title.VOIDED),
    )
}


def chapter(at_ms: int, kind: Kind, title: Title, facts: Facts = ()) -> Chapter:
    """Facts that say nothing are left out."""
    told = tuple((str(name), str(value)) for name, value in facts if value not in ("", None))
    return Chapter(at_ms=at_ms, kind=kind, title=title.value, facts=told)


def movement_of(one: EntrySeen) -> Title:
    return MOVEMENTS.get((one.debit, one.credit), Title.POSTED)


def name_of(route: RouteExplained) -> str:
    """Such as `+44, standard`."""
    prefix = f"+{route.prefix}" if route.prefix else "everywhere"
    return f"{prefix}, {route.service}" if route.service is not None else prefix


class Told(msgspec.Struct):
    state: str = ""


def told_state(payload: str) -> str:
    """The state that a callback tells of; empty where it tells of something else."""
    try:
        return msgspec.json.decode(payload, type=Told).state
    except msgspec.MsgspecError:
        return ""


def instant(at_ms: int) -> str:
    """In UTC, to the millisecond."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(" ", "milliseconds").replace("+00:00", " UTC")
    except (OverflowError, ValueError, OSError):
        return str(at_ms)


def duration(milliseconds: float) -> str:
    return f"{max(0.0, milliseconds) / 1000:.3f} s"
