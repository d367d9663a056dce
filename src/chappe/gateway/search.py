"""What people look for: messages, what came in, what is scheduled and callbacks, within what they may see.

A page is bounded (see `store/search.py`): where a filter finds too little in what one page looks at, the page says so
and tells where to search on. Who asks for everything gets one page after the other.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from chappe.core.ids import ID_MAX, first_id, read_id
from chappe.core.model import Account, Carrier, State
from chappe.core.people import Sight
from chappe.store.database import Row, Transaction
from chappe.store.engine import Store
from chappe.store.search import (
    FoundCallback,
    FoundInbound,
    FoundMessage,
    Page,
    Path,
    Sieve,
    Stretch,
    found_callback,
    found_inbound,
    found_message,
    of_submission,
    page_of,
)

__all__ = [
    "CallbackFilters",
    "FoundCallback",
    "FoundInbound",
    "FoundMessage",
    "InboundFilters",
    "MessageFilters",
    "Page",
    "SearchDesk",
    "all_pages",
]

Item = TypeVar("Item")
TIME_MAX_MS = 1 << 52
WRITTEN_BETWEEN = " -()./"  # what people write between the digits of a number
HEXADECIMAL = re.compile(r"(0x)?[0-9a-fA-F]{1,16}")
SMPP = "smpp"  # the dialect whose parts have ids of their own, behind their message's
PARTS_MAX = 255


class MessageFilters(Struct, frozen=True, kw_only=True):
    """Which messages; empty = all. `recipient` is a whole number, which has an index, or one with `*` for any digits.
    `which` is an id in any form: ours, in decimal or hexadecimal digits, the submission's, a carrier's, or the
    customer's own."""

    recipient: str = ""
    which: str = ""
    states: tuple[State, ...] = ()
    from_ms: int = 0
    to_ms: int = TIME_MAX_MS
    account_id: int = 0
    carrier_id: int = 0
    originator: str = ""
    is_test: bool | None = None  # sent with a test key, or not; None = either


class InboundFilters(Struct, frozen=True, kw_only=True):
    """Which messages from phones; empty = all. Both numbers may have `*` for any digits."""

    recipient: str = ""  # our number
    originator: str = ""
    from_ms: int = 0
    to_ms: int = TIME_MAX_MS
    account_id: int = 0


class CallbackFilters(Struct, frozen=True, kw_only=True):
    """Which callbacks; empty = all."""

    states: tuple[str, ...] = ()  # pending, done, failed, disabled
    kinds: tuple[str, ...] = ()
    account_id: int = 0
    message_id: int = 0
    from_ms: int = 0
    to_ms: int = TIME_MAX_MS


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def accounts(self) -> Collection[Account]: ...

    @property
    def carriers(self) -> Collection[Carrier]: ...

    def account(self, account_id: int) -> Account | None: ...

    def carrier(self, carrier_id: int) -> Carrier | None: ...


class SearchDesk:
    def __init__(self, store: Store, directory: Callable[[], Known]) -> None:
        self._store = store
        self._directory = directory

    async def messages(
        self, sight: Sight, filters: MessageFilters, before_id: int = 0, count: int = 50
    ) -> Page[FoundMessage]:
        account_ids = seen(sight, filters.account_id)
        sieve, path = sieve_of_messages(filters)
        stretch = stretch_of(filters.from_ms, filters.to_ms, before_id)
        walk = self._store.search.messages
        if not filters.which.strip():
            found = await self._store.read(
                lambda transaction: walk.page(transaction, stretch, account_ids, sieve, count, path)
            )
        else:
            found = await self._store.read(
                lambda transaction: self._of_reference(
                    transaction, filters.which.strip(), stretch, account_ids, sieve, count
                )
            )
        return self._named(page_of(found, found_message))

    async def message(self, sight: Sight, message_id: int) -> FoundMessage | None:
        """One message; None for one that is not theirs to see."""
        stretch = Stretch(first_id=message_id, before_id=min(ID_MAX, message_id + 1))
        account_ids = seen(sight, 0)
        walk = self._store.search.messages
        found = await self._store.read(
            lambda transaction: walk.page(transaction, stretch, account_ids, Sieve(), 1, Path())
        )
        return next(iter(self._named(page_of(found, found_message)).items), None)

    async def scheduled(
        self, sight: Sight, account_id: int = 0, before_id: int = 0, count: int = 50
    ) -> Page[FoundMessage]:
        """What is to be sent later. Each account has an index of it: everybody's is all of theirs together."""
        account_ids = seen(sight, account_id)
        every_id = [one.id for one in self._directory().accounts] if account_ids is None else account_ids
        stretch = stretch_of(0, TIME_MAX_MS, before_id)
        walk = self._store.search.scheduled
        found = await self._store.read(lambda transaction: walk.page(transaction, stretch, every_id, Sieve(), count))
        return self._named(page_of(found, found_message))

    async def inbound(
        self, sight: Sight, filters: InboundFilters, before_id: int = 0, count: int = 50
    ) -> Page[FoundInbound]:
        account_ids = seen(sight, filters.account_id)
        patterns = {
            name: pattern_of(value)
            for name, value in (("recipient", filters.recipient), ("originator", filters.originator))
            if value.strip()
        }
        stretch = stretch_of(filters.from_ms, filters.to_ms, before_id)
        walk = self._store.search.inbound
        found = await self._store.read(
            lambda transaction: walk.page(transaction, stretch, account_ids, Sieve(patterns=patterns), count)
        )
        directory = self._directory()
        page = page_of(found, found_inbound)
        items = (
            msgspec.structs.replace(
                one, account=account_name(directory, one.account_id), carrier=carrier_name(directory, one.carrier_id)
            )
            for one in page.items
        )
        return Page(tuple(items), page.next_before_id, page.is_more_to_search)

    async def callbacks(
        self, sight: Sight, filters: CallbackFilters, before_id: int = 0, count: int = 50
    ) -> Page[FoundCallback]:
        account_ids = seen(sight, filters.account_id)
        sieve = Sieve(words=chosen(state=filters.states, kind=filters.kinds))
        path = Path("message", filters.message_id) if filters.message_id else None
        stretch = stretch_of(filters.from_ms, filters.to_ms, before_id)
        walk = self._store.search.callbacks
        found = await self._store.read(
            lambda transaction: walk.page(transaction, stretch, account_ids, sieve, count, path)
        )
        directory = self._directory()
        page = page_of(found, found_callback)
        items = (msgspec.structs.replace(one, account=account_name(directory, one.account_id)) for one in page.items)
        return Page(tuple(items), page.next_before_id, page.is_more_to_search)

    def _named(self, page: Page[FoundMessage]) -> Page[FoundMessage]:
        """With the names and the currency that the directory knows."""
        directory = self._directory()
        items = []
        for one in page.items:
            account = directory.account(one.account_id)
            items.append(
                msgspec.structs.replace(
                    one,
                    account=account.name if account is not None else "",
                    currency=account.currency if account is not None else "",
                    carrier=carrier_name(directory, one.carrier_id),
                )
            )
        return Page(tuple(items), page.next_before_id, page.is_more_to_search)

    def _of_reference(
        self,
        transaction: Transaction,
        written: str,
        stretch: Stretch,
        account_ids: tuple[int, ...] | None,
        sieve: Sieve,
        count: int,
    ) -> Page[Row]:
        """The messages that an id names. What is no id and was made findable by nobody is a customer's own reference,
        which has no index: it is searched for."""
        directory = self._directory()
        search = self._store.search
        every_id = account_ids if account_ids is not None else tuple(one.id for one in directory.accounts)
        named, referenced = search.named(transaction, every_id, [one.id for one in directory.carriers], written)
        asked = [*ids_written(written), *named, *referenced]
        known = {each: row for each in asked if (row := self._known(transaction, each, account_ids)) is not None}
        if not known:
            words = {**sieve.words, "reference": [written]}
            narrower = Sieve(words=words, numbers=sieve.numbers, patterns=sieve.patterns)
            return search.messages.page(transaction, stretch, account_ids, narrower, count)
        rows: dict[int, Row] = {}
        for each, row in known.items():
            whole = of_submission(each) if row[1] == each else Stretch(first_id=row[0], before_id=row[0] + 1)
            within = Stretch(
                first_id=max(whole.first_id, stretch.first_id), before_id=min(whole.before_id, stretch.before_id)
            )
            numbers = {**sieve.numbers, "submission": [row[1]]}
            narrower = Sieve(words=sieve.words, numbers=numbers, patterns=sieve.patterns)
            found = search.messages.page(transaction, within, account_ids, narrower, count + 1, Path())
            rows |= {one[0]: one for one in found.items}
        newest = sorted(rows.values(), key=lambda row: -row[0])
        return Page(tuple(newest[:count]), newest[count - 1][0] if len(newest) > count else None)

    def _known(self, transaction: Transaction, asked: int, account_ids: tuple[int, ...] | None) -> Row | None:
        """The message with an id, or the one that an SMPP customer submitted a part of under it."""
        walk = self._store.search.messages
        stretch = Stretch(first_id=max(0, asked - PARTS_MAX), before_id=min(ID_MAX, asked + 1))
        for row in walk.page(transaction, stretch, account_ids, Sieve(), PARTS_MAX + 1, Path()).items:
            if row[0] == asked or row[3] == SMPP:
                return row
        return None


def seen(sight: Sight, account_id: int) -> tuple[int, ...] | None:
    """The accounts to look at: of those in sight the one that is asked for, if any; None = everybody's."""
    if account_id:
        return (account_id,) if sight.sees(account_id) else ()
    return None if sight.account_ids is None else tuple(sorted(sight.account_ids))


def stretch_of(from_ms: int, to_ms: int, before_id: int) -> Stretch:
    behind = ID_MAX if to_ms >= TIME_MAX_MS else first_id(to_ms)
    return Stretch(first_id=first_id(from_ms), before_id=min(behind, before_id) if before_id > 0 else behind)


def chosen(**fields: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in fields.items() if values}


def sieve_of_messages(filters: MessageFilters) -> tuple[Sieve, Path | None]:
    """What is sieved, and whether the numbers' index is walked."""
    words = chosen(
        state=tuple(filters.states), sender=(filters.originator.strip(),) if filters.originator.strip() else ()
    )
    numbers = {"carrier": (filters.carrier_id,)} if filters.carrier_id else {}
    if filters.is_test is not None:
        numbers["is_test"] = (int(filters.is_test),)
    number = digits_of(filters.recipient)
    if number and "*" not in number:
        return Sieve(words=words, numbers=numbers), Path("recipient", number)
    patterns = {"recipient": number.replace("*", "%")} if number else {}
    return Sieve(words=words, numbers=numbers, patterns=patterns), None


def digits_of(written: str) -> str:
    """A number as it is stored, from what people write: `+39 333 (123)` is `39333123`. Other characters stay, and find
    nothing."""
    bare = written.strip().removeprefix("+").translate({ord(one): None for one in WRITTEN_BETWEEN})
    return bare[2:] if bare.startswith("00") else bare


def pattern_of(written: str) -> str:
    """The same as a pattern. Senders with letters stay as they are."""
    bare = written.strip()
    is_name = any(one.isalpha() for one in bare)
    plain = bare if is_name else digits_of(bare)
    return plain.replace("%", "").replace("_", "").replace("*", "%")


def ids_written(written: str) -> list[int]:
    """What ids somebody may mean by a text: in decimal digits, in hexadecimal ones, or either."""
    decimal = read_id(written)
    found = [decimal] if decimal is not None else []
    hexadecimal = int(written, 16) if HEXADECIMAL.fullmatch(written) else 0
    return [*found, hexadecimal] if 0 < hexadecimal <= ID_MAX and hexadecimal != decimal else found


def account_name(directory: Known, account_id: int) -> str:
    account = directory.account(account_id)
    return account.name if account is not None else ""


def carrier_name(directory: Known, carrier_id: int) -> str:
    carrier = directory.carrier(carrier_id)
    return carrier.name if carrier is not None else ""


async def all_pages(fetch: Callable[[int], Awaitable[Page[Item]]]) -> AsyncIterator[tuple[Item, ...]]:
    """The items of one page after the other; `fetch` is told the id that the page begins before, 0 = the newest."""
    before_id = 0
    while True:
        page = await fetch(before_id)
        yield page.items
        if page.next_before_id is None:
            return
        before_id = page.next_before_id
