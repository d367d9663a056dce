"""Accounts that make accounts of their own and move credit to them.

A subaccount logs in like any account; what it may do is what its parent may (`directory.INHERITED`), and it ends with
it. It has no subaccounts itself. Whoever asks sees what was made on any node a moment ago: each call first asks whether
the configuration moved, at the cost of one row.
"""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from chappe.clock import Clock
from chappe.core.centre import Created, Done, Outcome, Refusal, Refused
from chappe.core.ids import ID_MAX, IdMaker, made_ms
from chappe.core.ledger import AMOUNT_MAX_MICROS
from chappe.core.model import Account
from chappe.core.reselling import (
    FetchSubaccount,
    ListPurchases,
    ListSubaccounts,
    MoveCredit,
    Purchase,
    Purchases,
    PutSubaccount,
    SetSubaccountPassword,
    Subaccount,
    Subaccounts,
    UndoPurchase,
)
from chappe.gateway.directory import AccountSettings, Directory
from chappe.gateway.file_values import read_name
from chappe.gateway.front import Answers
from chappe.gateway.passwords import Kept, PasswordDesk
from chappe.gateway.phonebook import are_ids
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.reselling import ChangedSubaccount, NewSubaccount, PurchaseRow, Undoing, Undone

PURCHASE_ID_MS = 24 * 3_600_000  # how far a purchase's id may be from now
SUBACCOUNTS_MAX = 10_000  # of one account
PAGE_MAX = 1_000
DETAILS_MAX = 100
DETAIL_NAME_MAX = 64  # characters
DETAIL_MAX = 1_000

NO_SUBACCOUNT = Refused(Refusal.NOT_FOUND)
NAME_TAKEN = Refused(Refusal.FORBIDDEN, "the name is taken")
UNDOINGS: dict[Undone, Outcome] = {
    Undone.DONE: Done(),
    Undone.NOT_FOUND: Refused(Refusal.NOT_FOUND),
    Undone.ALREADY: Refused(Refusal.TOO_LATE, "it was undone before"),
    Undone.NO_FUNDS: Refused(Refusal.NO_FUNDS),
}


class ResellingDesk:
    """`directory` gives the current snapshot, `follow` makes it current."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Directory],
        follow: Callable[[], Awaitable[object]],
        passwords: PasswordDesk,
        clock: Clock,
        ids: IdMaker,
    ) -> None:
        self._store = store
        self._directory = directory
        self._follow = follow
        self._passwords = passwords
        self._clock = clock
        self._ids = ids

    @property
    def answers(self) -> Answers:
        return {
            PutSubaccount: lambda call, _dialect, _network: self.put(call),
            FetchSubaccount: lambda call, _dialect, _network: self.fetch(call),
            ListSubaccounts: lambda call, _dialect, _network: self.list_subaccounts(call),
            SetSubaccountPassword: lambda call, _dialect, _network: self.set_password(call),
            MoveCredit: lambda call, _dialect, _network: self.move(call),
            ListPurchases: lambda call, _dialect, _network: self.list_purchases(call),
            UndoPurchase: lambda call, _dialect, _network: self.undo(call),
        }

    # Subaccounts

    async def put(self, call: PutSubaccount) -> Created | Refused:
        """Make a subaccount, or change one: its name, whether it is active, its details, and its password where one is
        given. `forbidden` for a name that any account has, and for a subaccount that asks."""
        wrong = what_is_wrong_with(call.subaccount)
        if wrong:
            return Refused(Refusal.BAD_REQUEST, wrong)
        await self._follow()
        return await (self._change(call) if call.subaccount.id else self._make(call))

    async def _make(self, call: PutSubaccount) -> Created | Refused:
        if call.account.parent_id:
            return Refused(Refusal.FORBIDDEN, "a subaccount has no subaccounts")
        if len(self._directory().children(call.account.id)) >= SUBACCOUNTS_MAX:
            return Refused(Refusal.FORBIDDEN, f"an account has at most {SUBACCOUNTS_MAX} subaccounts")
        kept = await self._passwords.make(call.password)
        if isinstance(kept, Refused):
            return kept
        now_ms = self._clock.now_ms()
        settings = AccountSettings(parent_id=call.account.id, details=call.subaccount.details, made_ms=now_ms)
        wish = NewSubaccount(
            name=call.subaccount.name,
            password_hash=kept.password_hash,
            token_sealed=kept.token_sealed,
            settings=msgspec.json.encode(settings).decode(),
            is_active=call.subaccount.is_active,
            now_ms=now_ms,
        )
        made_id = await self._store.commit(self._store.reselling.make, wish)
        await self._catch_up()
        return Created((made_id,)) if made_id else NAME_TAKEN

    async def _change(self, call: PutSubaccount) -> Created | Refused:
        wanted = call.subaccount
        if self._child(call.account, wanted.id) is None:
            return NO_SUBACCOUNT
        kept = await self._passwords.make(call.password) if call.password else Kept("", "")
        if isinstance(kept, Refused):
            return kept
        settings = msgspec.structs.replace(self._directory().settings(wanted.id), details=wanted.details)
        wish = ChangedSubaccount(
            id=wanted.id,
            name=wanted.name,
            settings=msgspec.json.encode(settings).decode(),
            is_active=wanted.is_active,
            password_hash=kept.password_hash,
            token_sealed=kept.token_sealed,
        )
        is_changed = await self._store.commit(self._store.reselling.change, wish)
        await self._catch_up()
        return Created((wanted.id,)) if is_changed else NAME_TAKEN

    async def fetch(self, call: FetchSubaccount) -> Subaccount | Refused:
        await self._follow()
        child = self._child(call.account, call.subaccount_id)
        return (await self._told([child]))[0] if child is not None else NO_SUBACCOUNT

    async def list_subaccounts(self, call: ListSubaccounts) -> Subaccounts:
        await self._follow()
        children = self._directory().children(call.account.id)
        begin = offset_of(call.offset)
        page = children[begin : begin + count_of(call.count_max)]
        return Subaccounts(items=await self._told(page), total=len(children))

    async def set_password(self, call: SetSubaccountPassword) -> Done | Refused:
        await self._follow()
        if self._child(call.account, call.subaccount_id) is None:
            return NO_SUBACCOUNT
        return await self._passwords.change(call.subaccount_id, call.password)

    async def _catch_up(self) -> None:
        """After a commit: what was made stays made, even if it cannot be seen at once."""
        with contextlib.suppress(StoreError):
            await self._follow()

    def _child(self, account: Account, subaccount_id: int) -> Account | None:
        child = self._directory().account(subaccount_id)
        return child if child is not None and child.parent_id == account.id else None

    async def _told(self, children: list[Account]) -> tuple[Subaccount, ...]:
        directory, figures = self._directory(), self._store.figures
        balances = await self._store.read(
            lambda transaction: [figures.available_micros(transaction, one.id) for one in children]
        )
        return tuple(
            Subaccount(
                id=one.id,
                name=one.name,
                is_active=one.id in directory.active_ids,
                made_ms=directory.settings(one.id).made_ms,
                balance_micros=balance_micros,
                details=directory.settings(one.id).details,
            )
            for one, balance_micros in zip(children, balances, strict=True)
        )

    # Credit

    async def move(self, call: MoveCredit) -> Purchase | Refused:
        if not 0 < abs(call.amount_micros) <= AMOUNT_MAX_MICROS:
            return Refused(Refusal.BAD_REQUEST, "an amount of credit is not zero and not out of all bounds")
        wrong = what_is_wrong_with_details(call.details)
        if wrong:
            return Refused(Refusal.BAD_REQUEST, wrong)
        await self._follow()
        if self._child(call.account, call.subaccount_id) is None:
            return NO_SUBACCOUNT
        now_ms = self._clock.now_ms()
        is_recent = call.purchase_id > 0 and abs(now_ms - made_ms(call.purchase_id)) <= PURCHASE_ID_MS
        row = PurchaseRow(
            id=call.purchase_id if is_recent else self._ids.make(now_ms),
            account_id=call.account.id,
            subaccount_id=call.subaccount_id,
            amount_micros=call.amount_micros,
            made_ms=now_ms,
            details=msgspec.json.encode(call.details).decode(),
        )
        is_made = await self._store.commit(self._store.reselling.buy, row)
        return told_purchase(row) if is_made else Refused(Refusal.NO_FUNDS)

    async def list_purchases(self, call: ListPurchases) -> Purchases | Refused:
        await self._follow()
        if self._child(call.account, call.subaccount_id) is None:
            return NO_SUBACCOUNT
        rows, total = await self._store.read(
            partial(
                self._store.reselling.purchases,
                account_id=call.account.id,
                subaccount_id=call.subaccount_id,
                offset=offset_of(call.offset),
                count_max=count_of(call.count_max),
            )
        )
        return Purchases(items=tuple(map(told_purchase, rows)), total=total)

    async def undo(self, call: UndoPurchase) -> Outcome:
        """Done once; `too_late` after that, `no_funds` where the credit was spent meanwhile."""
        await self._follow()
        if self._child(call.account, call.subaccount_id) is None or not are_ids(call.purchase_id):
            return Refused(Refusal.NOT_FOUND)
        undoing = Undoing(
            account_id=call.account.id,
            subaccount_id=call.subaccount_id,
            purchase_id=call.purchase_id,
            now_ms=self._clock.now_ms(),
        )
        return UNDOINGS[await self._store.commit(self._store.reselling.undo, undoing)]


def offset_of(offset: int) -> int:
    return min(max(0, offset), ID_MAX)


def count_of(count_max: int) -> int:
    return min(max(0, count_max), PAGE_MAX)


def what_is_wrong_with(subaccount: Subaccount) -> str:
    """In words; empty where nothing is."""
    try:
        read_name(subaccount.name)
    except ValueError as error:
        return f"a name {error}"
    return what_is_wrong_with_details(subaccount.details)


def what_is_wrong_with_details(details: dict[str, str]) -> str:
    """In words; empty where nothing is."""
    if len(details) > DETAILS_MAX:
        return f"there are at most {DETAILS_MAX} details"
    if any(len(name) > DETAIL_NAME_MAX or len(words) > DETAIL_MAX for name, words in details.items()):
        return f"a detail has at most {DETAIL_MAX} characters, its name at most {DETAIL_NAME_MAX}"
    if not all(is_storable(words) for each in details.items() for words in each):
        return "a detail is not valid text"
    return ""


def is_storable(words: str) -> bool:
    """Whether both databases can keep it: no lone surrogates, no NUL."""
    return "\0" not in words and not any("\ud800" <= character <= "\udfff" for character in words)


def told_purchase(row: PurchaseRow) -> Purchase:
    return Purchase(
        id=row.id,
        subaccount_id=row.subaccount_id,
        amount_micros=row.amount_micros,
        made_ms=row.made_ms,
        is_undone=row.is_undone,
        details=msgspec.json.decode(row.details, type=dict[str, str]),
    )
