"""Numbers that accounts must not write to: kept in the database, looked up in memory.

Every message asks, so the whole list of everybody is in memory, and follows the database by the ids of its changes.
"""

import asyncio

from chappe.clock import Clock
from chappe.core.centre import Done, Refusal, Refused
from chappe.core.phonebook import (
    BlockContacts,
    BlockNumbers,
    BlockOrigin,
    Blocks,
    ListBlocks,
    UnblockNumbers,
)
from chappe.gateway.front import Answers
from chappe.gateway.phonebook import page_of
from chappe.sms.numbers import parse_msisdn
from chappe.store.blocks import BEFORE_ALL, BlockChange, BlockQuestion, BlockRow
from chappe.store.database import Transaction
from chappe.store.engine import Store

FOLLOWED_MAX = 20_000  # rows of one look
NUMBERS_MAX = 10_000  # of one call
BLOCKS_MAX = 1_000_000  # of one account, by its own calls: whoever answers STOP is blocked in any case
ANY = ""  # originator
EVERYWHERE = frozenset({ANY})  # one set for almost all of a million numbers: each of its own takes 200 octets


class Blacklist:
    """The list in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._originators: dict[int, dict[str, frozenset[str]]] = {}  # by account and number; ANY = under all
        self._last = BEFORE_ALL
        self._following = asyncio.Lock()  # what an older look found must not be taken in after a newer one

    def is_blocked(self, account_id: int, recipient: str, originator: str) -> bool:
        """Whether an account must not write to a number under this originator."""
        numbers = self._originators.get(account_id)
        under = numbers.get(recipient) if numbers else None
        return under is not None and (ANY in under or originator in under)

    def count(self, account_id: int) -> int:
        return len(self._originators.get(account_id, ()))

    async def follow(self) -> None:
        """Take in what changed since the last look. Raises StoreError."""
        async with self._following:
            while True:
                rows = await self._store.read(self._newer)
                for row in rows:
                    self._take_in(row)
                    self._last = row
                if len(rows) < FOLLOWED_MAX:
                    return

    def _newer(self, transaction: Transaction) -> list[BlockRow]:
        return self._store.blocks.since(transaction, self._last, FOLLOWED_MAX)

    def _take_in(self, row: BlockRow) -> None:
        numbers = self._originators.setdefault(row.account_id, {})
        before = numbers.get(row.number, frozenset())
        after = before | {row.originator} if row.is_active else before - {row.originator}
        if after:
            numbers[row.number] = EVERYWHERE if after == EVERYWHERE else after
        else:
            numbers.pop(row.number, None)


class BlockDesk:
    """What an account does to its list."""

    def __init__(self, store: Store, clock: Clock, blacklist: Blacklist) -> None:
        self._store = store
        self._clock = clock
        self._blacklist = blacklist

    @property
    def answers(self) -> Answers:
        return {
            BlockNumbers: lambda call, _dialect, _network: self.block(call),
            BlockContacts: lambda call, _dialect, _network: self.block_contacts(call),
            UnblockNumbers: lambda call, _dialect, _network: self.unblock(call),
            ListBlocks: lambda call, _dialect, _network: self.blocks(call),
        }

    async def block(self, call: BlockNumbers) -> Done | Refused:
        """Under every originator."""
        numbers = read_numbers(call.numbers)
        if isinstance(numbers, Refused):
            return numbers
        return await self._put_on(call.account.id, numbers, call.origin)

    async def block_contacts(self, call: BlockContacts) -> Done | Refused:
        """Contacts without a number are left out."""
        if len(call.contact_ids) > NUMBERS_MAX:
            return TOO_MANY

        def find(transaction: Transaction) -> list[str] | None:
            contacts = [
                self._store.phonebook.contact(transaction, call.account.id, contact_id)
                for contact_id in dict.fromkeys(call.contact_ids)
            ]
            return [one.number for one in contacts if one and one.number] if all(contacts) else None

        numbers = await self._store.read(find)
        if numbers is None:
            return Refused(Refusal.NOT_FOUND)
        return await self._put_on(call.account.id, numbers, BlockOrigin.API)

    async def unblock(self, call: UnblockNumbers) -> Done | Refused:
        """Whoever put them there, and under whatever originator."""
        numbers = read_numbers(call.numbers)
        if isinstance(numbers, Refused):
            return numbers
        return await self._change(
            BlockChange(
                account_id=call.account.id, numbers=tuple(numbers), is_blocked=False, now_ms=self._clock.now_ms()
            )
        )

    async def blocks(self, call: ListBlocks) -> Blocks:
        offset, count_max = page_of(call.offset, call.count_max)
        question = BlockQuestion(
            account_id=call.account.id,
            number=parse_msisdn(call.number) or call.number,
            origins=tuple(origin.value for origin in call.origins),
            from_ms=call.from_ms,
            to_ms=call.to_ms,
            offset=offset,
            count_max=count_max,
        )
        return await self._store.read(lambda transaction: self._store.blocks.blocks(transaction, question))

    async def _put_on(self, account_id: int, numbers: list[str], origin: BlockOrigin) -> Done | Refused:
        if self._blacklist.count(account_id) + len(numbers) > BLOCKS_MAX:
            return Refused(Refusal.FORBIDDEN, f"more than {BLOCKS_MAX} numbers")
        return await self._change(
            BlockChange(
                account_id=account_id,
                numbers=tuple(numbers),
                is_blocked=True,
                now_ms=self._clock.now_ms(),
                origin=origin,
            )
        )

    async def _change(self, change: BlockChange) -> Done:
        """In force before it is answered."""
        count = await self._store.commit(self._store.blocks.change, change) if change.numbers else 0
        await self._blacklist.follow()
        return Done(count)


TOO_MANY = Refused(Refusal.TOO_MANY_RECIPIENTS, f"more than {NUMBERS_MAX} numbers")


def read_numbers(written: tuple[str, ...]) -> list[str] | Refused:
    """Numbers as digits, all or none."""
    if len(written) > NUMBERS_MAX:
        return TOO_MANY
    numbers = [parse_msisdn(one) for one in written]
    return [one for one in numbers if one] if all(numbers) else Refused(Refusal.BAD_RECIPIENT)
