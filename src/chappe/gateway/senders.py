"""Sender names that accounts have asked for, as whoever runs the gateway sees and decides on them."""

import contextlib
from collections.abc import Awaitable, Callable

from chappe.core.centre import Refusal, Refused
from chappe.core.ids import ID_MAX
from chappe.core.phonebook import AliasState
from chappe.store.aliases import AliasDecision, AskedAlias
from chappe.store.database import StoreError
from chappe.store.engine import Store

SHOWN_MAX = 2_000


class SenderDesk:
    """`follow` makes this node's directory current."""

    def __init__(self, store: Store, follow: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._follow = follow

    async def asked(self, account_name: str = "") -> list[AskedAlias]:
        """Those of one account or (empty) of all, by account; the first of them."""
        asked = await self._store.read(lambda transaction: self._store.aliases.asked(transaction, account_name))
        return asked[:SHOWN_MAX]

    async def decide(self, alias_id: int, state: AliasState) -> AskedAlias | Refused:
        """Approve or block one; in force when it is answered."""
        if not 0 < alias_id <= ID_MAX:
            return Refused(Refusal.NOT_FOUND)
        decided = await self._store.commit(self._store.aliases.decision, AliasDecision(alias_id, state))
        with contextlib.suppress(StoreError):  # it is kept: the ticker follows in a moment
            await self._follow()
        return decided or Refused(Refusal.NOT_FOUND)
