"""Messages from phones: from any carrier to whoever owns the number, and on to their URL, mailbox or phone.

What follows from a message is decided by `plan`, in the commit that keeps it; the forwards it calls for are callbacks
like any other, so they are repeated for days and survive a restart. A forward to a phone is a message of the owner,
under the id of its callback: however often it is tried, it is sent and charged once.

A message that is nothing but a stop word blocks its phone for the owner: under the number it was written to, and where
the owner has no other number, under every originator. A start word takes that back, and nothing else: what the owner
blocked itself stays blocked.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec
import structlog

from chappe.clock import Clock
from chappe.core.centre import Accepted, InboundMessages, ListInbound, Refusal, Refused, TakeInbound, Verdict
from chappe.core.ids import IdMaker
from chappe.core.model import TEST_CARRIER, Account, Carrier, Coding, Concatenation, Inbound, Submission
from chappe.core.phonebook import BlockOrigin
from chappe.dialects.base import Dialect, Failure, HttpResponse, Reply
from chappe.gateway.callbacks import INBOUND, SMPP, SMPP_INBOUND, Declined, Way
from chappe.gateway.directory import Forwarding
from chappe.gateway.feed import Feed, Step
from chappe.gateway.front import Answers
from chappe.gateway.phonebook import page_of
from chappe.gateway.submission import storable
from chappe.sms.numbers import parse_originator
from chappe.store.blocks import BlockChange
from chappe.store.callbacks import CallbackDraft, DueCallback
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.inbox import (
    PATIENCE_MS,
    TEXT_MAX,
    Arrival,
    Consequences,
    InboxQuestion,
    Joining,
    Kept,
    Read,
    Taking,
)

log = structlog.get_logger()

MAIL, PHONE = "mail", "phone"
DIALECT_DEFAULT = "proovl"
NUMBER_MAX = 32  # characters of what a carrier calls a phone
REFERENCE_MAX = 200
CONTENT_MAX = 1_000  # characters: on air a segment has 140 octets, or 160 septets
SEGMENTS_MAX = 255
JOIN_MAX = 500
ANY = ""  # originator
# A forward that these stop goes out later; what any other refusal stops never goes.
PASSING = frozenset({Refusal.OVERLOADED, Refusal.THROTTLED, Refusal.INTERNAL})

_decoder = msgspec.json.Decoder(Inbound)
_encoder = msgspec.json.Encoder()


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def carriers(self) -> Sequence[Carrier]: ...

    def owner(self, number: str) -> Account | None: ...

    def forwarding(self, number: str) -> Forwarding | None: ...


class InboundDesk:
    """`announce` takes callbacks in hand, `follow` makes a changed blacklist known to this process."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: IdMaker,
        feed: Feed,
        announce: Callable[[Iterable[DueCallback]], None],
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._feed = feed
        self._announce = announce
        self._follow = follow

    @property
    def answers(self) -> Answers:
        return {
            ListInbound: lambda call, _dialect, _network: self.messages(call),
            TakeInbound: lambda call, _dialect, _network: self.take(call),
        }

    async def receive(self, carrier: Carrier, inbound: Inbound) -> Kept:
        """Keep a message or a segment of one. Answers after the commit; raises StoreError where it was not kept and the
        carrier should send it again."""
        now_ms = self._clock.now_ms()
        arrival = Arrival(
            id=self._ids.make(now_ms),
            carrier_id=carrier.id,
            inbound=checked(inbound, now_ms, is_test=carrier.id == TEST_CARRIER.id),
            now_ms=now_ms,
        )
        kept = await self._store.commit(self._store.inbox.keep, arrival)
        await self._tell([kept])
        return kept

    async def join_once(self) -> int:
        """One round over messages whose segments wait no longer; tells how many were joined."""
        now_ms = self._clock.now_ms()
        joining = Joining(self._ids.make(now_ms, JOIN_MAX), JOIN_MAX, now_ms)
        kept = await self._store.commit(self._store.inbox.join, joining)
        if kept:
            log.warning("inbound_incomplete", count=len(kept), waited_s=PATIENCE_MS // 1000)
        await self._tell(kept)
        return len(kept)

    async def _tell(self, kept: list[Kept]) -> None:
        for one in kept:
            self._feed.tell(Step.INBOUND, subject_of(one), one.id)
            self._announce(one.callbacks)
        if any(one.changes_blocks for one in kept):
            with suppress(StoreError):  # the message is kept, and the next round follows
                await self._follow()

    async def messages(self, call: ListInbound) -> InboundMessages:
        offset, count_max = page_of(call.offset, call.count_max)
        question = InboxQuestion(
            account_id=call.account.id,
            numbers=tuple(map(number_of, call.numbers)),
            originators=tuple(map(number_of, call.originators)),
            from_ms=call.from_ms,
            to_ms=call.to_ms,
            after_id=call.after_id,
            offset=offset,
            count_max=count_max,
        )
        return await self._store.read(lambda transaction: self._store.inbox.messages(transaction, question))

    async def take(self, call: TakeInbound) -> InboundMessages:
        """What an account has no number for is not looked for: each set of numbers that is asked for has a row."""
        numbers = set(map(number_of, call.numbers)) & set(call.account.numbers)
        if call.numbers and not numbers:
            return InboundMessages(items=(), total=0)
        taking = Taking(
            account_id=call.account.id,
            numbers=tuple(sorted(numbers)),
            count_max=page_of(0, call.count_max)[1],
            last_id=0,
            now_ms=self._clock.now_ms(),
        )
        last_id = await self._store.read(
            lambda transaction: self._store.inbox.cursor(transaction, taking.account_id, taking.cursor)
        )
        return await self._store.commit(self._store.inbox.take, msgspec.structs.replace(taking, last_id=last_id))


def subject_of(kept: Kept) -> str:
    if kept.is_copy:
        return "copy"
    if not kept.id:
        return "segment"
    return "message" if kept.account_id else "unknown number"


def checked(inbound: Inbound, now_ms: int, *, is_test: bool = False) -> Inbound:
    """What a carrier brought, within what is kept; a segment that cannot be one of several is a message."""
    return Inbound(
        reference=storable(inbound.reference)[:REFERENCE_MAX],
        originator=number_of(inbound.originator),
        recipient=number_of(inbound.recipient),
        text=storable(inbound.text)[:TEXT_MAX],
        received_ms=inbound.received_ms or now_ms,
        concatenation=inbound.concatenation if is_part(inbound.concatenation) else None,
        coding=inbound.coding,
        content=inbound.content if len(inbound.content) <= CONTENT_MAX else "",
        is_test=is_test,
    )


def storable_read(read: Read) -> Read:
    """The same, of segments that are read together."""

    def read_storable(contents: Sequence[str]) -> tuple[str, Coding]:
        text, coding = read(contents)
        return storable(text), coding

    return read_storable


def is_part(concatenation: Concatenation | None) -> bool:
    return (
        concatenation is not None
        and 2 <= concatenation.total <= SEGMENTS_MAX
        and 1 <= concatenation.position <= concatenation.total
    )


def number_of(written: str) -> str:
    """Digits alone where a number was meant, however it was written; else as it was, on one line, within limits."""
    read = parse_originator(written)
    return read.value if read is not None else " ".join(storable(written).split())[:NUMBER_MAX]


# What follows from a message


class Planner:
    """Decides what follows from a whole message. Asked in the writer's thread, with `ids` of its own.

    Mail is planned without a mail server too: another process may have one, or this one before the attempts end.
    `takes` tells for which account (by id) a bind here takes a message at once.
    """

    def __init__(
        self,
        *,
        directory: Callable[[], Known],
        dialects: Mapping[str, Dialect],
        clock: Clock,
        ids: IdMaker,
        takes: Callable[[int], bool] = lambda _account_id: False,
    ) -> None:
        self._directory = directory
        self._dialects = dialects
        self._clock = clock
        self._ids = ids
        self._takes = takes

    def plan(self, inbound: Inbound) -> Consequences:
        forwarding = self._directory().forwarding(inbound.recipient)
        if forwarding is None:
            return Consequences()
        now_ms = self._clock.now_ms()
        payload = _encoder.encode(inbound).decode()
        return Consequences(
            account_id=forwarding.account.id,
            drafts=tuple(
                CallbackDraft(
                    id=self._ids.make(now_ms),
                    account_id=forwarding.account.id,
                    message_id=int(inbound.reference),
                    kind=kind,
                    dialect=dialect,
                    payload=payload,
                    url=own_place,
                    is_bound=kind == SMPP_INBOUND,
                    is_left=kind == SMPP_INBOUND and not self._takes(forwarding.account.id),
                )
                for kind, dialect, own_place in self._forwards(forwarding)
            ),
            block=None if self._is_pretended(inbound) else block_change(forwarding.account, inbound, now_ms),
        )

    def _is_pretended(self, inbound: Inbound) -> bool:
        """Whether no phone wrote it, while the phone that it names may be a real one: nobody but its owner says whether
        it is written to."""
        return inbound.is_test and any(
            one.is_active and one.kind != TEST_CARRIER.kind for one in self._directory().carriers
        )

    def _forwards(self, forwarding: Forwarding) -> list[tuple[str, str, str]]:
        """Kind, dialect, and the place where it is not the account's own: only that follows a changed configuration."""
        account = forwarding.account
        dialect = inbound_dialect(account, self._dialects)
        wanted = (
            (INBOUND, dialect, forwarding.url, account.inbound_url),
            (MAIL, "", forwarding.email, account.inbound_email),
            (PHONE, "", forwarding.phone, account.inbound_phone),
        )
        forwards = [
            (kind, words, "" if place == accounts_own else place)
            for kind, words, place, accounts_own in wanted
            if place
        ]
        is_accounts_own = all(place == accounts_own for _, _, place, accounts_own in wanted)
        if is_accounts_own and hears_by_bind(account):
            forwards.append((SMPP_INBOUND, SMPP, ""))
        return forwards


def inbound_dialect(account: Account, dialects: Mapping[str, Dialect]) -> str:
    """In whose words an account hears of messages: the first of its choices that has words for them."""
    choices = (account.inbound_dialect, account.receipt_dialect, DIALECT_DEFAULT)
    speaking = (name for name in choices if name in dialects and dialects[name].north.inbound is not None)
    return next(speaking, DIALECT_DEFAULT)


def hears_by_bind(account: Account) -> bool:
    """Whether messages go to the account's binds: only where it says so, for who only transmits never fetches them."""
    return account.smpp.is_receiver or account.inbound_dialect == SMPP


def block_change(account: Account, inbound: Inbound, now_ms: int) -> BlockChange | None:
    """What a stop or start word does to the account's list."""
    word = inbound.text.strip().casefold()
    is_stop = word in map(str.casefold, account.stop_words)
    if not is_stop and word not in map(str.casefold, account.start_words):
        return None
    is_only_number = account.numbers == (inbound.recipient,)
    return BlockChange(
        account_id=account.id,
        numbers=(inbound.originator,),
        is_blocked=is_stop,
        now_ms=now_ms,
        originators=((ANY if is_only_number else inbound.recipient),) if is_stop else (ANY, inbound.recipient),
        origin=BlockOrigin.STOP,
    )


# Where messages go besides a URL


class Submit(Protocol):
    """The one way in."""

    def __call__(
        self, account: Account, submission: Submission, dialect: Dialect, message_id: int
    ) -> Awaitable[Verdict]: ...


class Posted(Protocol):
    """What a mail server said: its reply code (RFC 5321 4.2; 0 = none), and the same in words."""

    @property
    def code(self) -> int: ...

    @property
    def detail(self) -> str: ...


class Letter(NamedTuple):
    """A mail to be written."""

    to: str
    subject: str
    text: str
    id: int
    sent_ms: int


Post = Callable[[Letter], Awaitable[Posted]]


def mail_way(post: Post) -> Way:
    async def make(due: DueCallback, _account: Account, place: str) -> Reply | Declined:
        posted = await post(letter_of(_decoder.decode(due.payload), place))
        if 200 <= posted.code < 300:
            return HttpResponse()
        if 500 <= posted.code < 600:
            return Declined(posted.detail)
        return Failure(is_certain=False, detail=posted.detail)

    return Way(lambda account: account.inbound_email, make)


def letter_of(inbound: Inbound, to: str) -> Letter:
    sender, number = shown(inbound.originator), shown(inbound.recipient)
    return Letter(
        to=to,
        subject=f"SMS from {sender} to {number}",
        text=f"From: {sender}\nTo: {number}\n\n{inbound.text}\n",
        id=int(inbound.reference),
        sent_ms=inbound.received_ms,
    )


def phone_way(directory: Callable[[], Known], submit: Submit, dialect: Dialect) -> Way:
    """The message goes on from the number it came to, counted in `dialect`."""

    async def make(due: DueCallback, account: Account, phone: str) -> Reply | Declined:
        inbound = _decoder.decode(due.payload)
        if phone == inbound.originator or directory().owner(phone) is not None:
            return Declined("a loop: the phone is the sender's, or one of the gateway's own numbers")
        submission = Submission(
            recipients=(phone,),
            text=f"{shown(inbound.originator)}: {inbound.text}",
            originator=inbound.recipient,
            wants_callbacks=False,
        )
        sender = msgspec.structs.replace(account, is_test=True) if inbound.is_test else account
        verdict = await submit(sender, submission, dialect, due.id)
        if isinstance(verdict, Accepted):
            return HttpResponse()
        if isinstance(verdict, Refused) and verdict.reason not in PASSING:
            return Declined(f"not sent on: {verdict.reason}")
        return Failure(is_certain=True, detail="could not be sent on yet")

    return Way(lambda account: account.inbound_phone, make)


def shown(number: str) -> str:
    """A number as people write it: an MSISDN with its plus sign, a short code or a name as it is."""
    return f"+{number}" if number.isdigit() and len(number) > 6 else number
