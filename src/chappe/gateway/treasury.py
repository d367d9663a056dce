"""Money paid in for accounts, and paid back to them, by whoever runs the gateway."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from chappe.clock import Clock
from chappe.core.centre import Refusal, Refused
from chappe.core.ids import IdMaker
from chappe.core.ledger import AMOUNT_MAX_MICROS
from chappe.gateway.directory import Directory
from chappe.store.engine import Store
from chappe.store.figures import Funds
from chappe.store.reselling import PurchaseRow

REMARK_MAX = 500  # characters
PAYMENTS_MAX = 200  # told at once


class Payment(Struct, frozen=True, kw_only=True):
    """`amount_micros` is negative where it was paid back."""

    id: int
    amount_micros: int
    made_ms: int
    author: str
    remark: str


class Details(Struct, frozen=True, kw_only=True):
    """What is kept beside the amount, as JSON."""

    author: str = ""
    remark: str = ""


class TreasuryDesk:
    def __init__(self, *, store: Store, directory: Callable[[], Directory], clock: Clock, ids: IdMaker) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._ids = ids

    def new_id(self) -> int:
        """For a payment that shall be made once, however often it is asked for."""
        return self._ids.make(self._clock.now_ms())

    async def pay(
        self, account_id: int, amount_micros: int, author: str, remark: str, *, payment_id: int = 0
    ) -> Payment | Refused:
        """`no_funds` where less is there than is to be paid back; `forbidden` for a subaccount: its parent pays."""
        account = self._directory().account(account_id)
        if account is None:
            return Refused(Refusal.NOT_FOUND)
        if account.parent_id:
            return Refused(Refusal.FORBIDDEN, "a subaccount gets its credit from its parent")
        if not 0 < abs(amount_micros) <= AMOUNT_MAX_MICROS:
            return Refused(Refusal.BAD_REQUEST, "an amount is not zero and not out of all bounds")
        if not 0 < len(remark) <= REMARK_MAX:
            return Refused(Refusal.BAD_REQUEST, f"a payment has a remark of 1 to {REMARK_MAX} characters")
        now_ms = self._clock.now_ms()
        row = PurchaseRow(
            id=payment_id or self._ids.make(now_ms),
            account_id=0,
            subaccount_id=account_id,
            amount_micros=amount_micros,
            made_ms=now_ms,
            details=msgspec.json.encode(Details(author=author, remark=remark)).decode(),
        )
        is_made = await self._store.commit(self._store.payments.pay, row)
        return payment_of(row) if is_made else Refused(Refusal.NO_FUNDS)

    async def payments(self, account_id: int, count: int = 20) -> list[Payment]:
        """The newest first."""
        count_max = min(max(0, count), PAYMENTS_MAX)
        rows = await self._store.read(
            lambda transaction: self._store.payments.latest(transaction, account_id, count_max)
        )
        return [payment_of(row) for row in rows]

    async def funds(self, account_ids: Iterable[int]) -> dict[int, Funds]:
        """What many accounts have; one without a purse is not there."""
        wanted = list(account_ids)
        return await self._store.read(lambda transaction: self._store.payments.funds(transaction, wanted))


def payment_of(row: PurchaseRow) -> Payment:
    details = msgspec.json.decode(row.details, type=Details)
    return Payment(
        id=row.id,
        amount_micros=row.amount_micros,
        made_ms=row.made_ms,
        author=details.author,
        remark=details.remark,
    )
