"""Sender names: an account asks for them, the operator approves them (`chappe alias`), the directory hands them out."""

from chappe.clock import Clock
from chappe.core.centre import Created, Done, Refusal, Refused
from chappe.core.ids import IdMaker
from chappe.core.phonebook import Alias, Aliases, AliasState, DeleteAlias, FetchAlias, ListAliases, PutAlias
from chappe.gateway.front import Answers
from chappe.gateway.phonebook import NOT_THERE, are_ids, page_of
from chappe.gateway.submission import storable
from chappe.sms.numbers import parse_originator
from chappe.store.aliases import ALIASES_MAX, AliasDraft, AliasEnd
from chappe.store.engine import Store

DETAIL_MAX = 256  # characters
DETAILS_MAX = 40


class AliasDesk:
    """`ids` are made in the loop's thread."""

    def __init__(self, store: Store, clock: Clock, ids: IdMaker) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    @property
    def answers(self) -> Answers:
        return {
            PutAlias: lambda call, _dialect, _network: self.put(call),
            FetchAlias: lambda call, _dialect, _network: self.alias(call),
            ListAliases: lambda call, _dialect, _network: self.aliases(call),
            DeleteAlias: lambda call, _dialect, _network: self.delete(call),
        }

    async def put(self, call: PutAlias) -> Created | Refused:
        """Ask for a sender name. It is unconfirmed, whatever is written; one that the account has stays as it is."""
        originator = parse_originator(call.alias.sender)
        if originator is None:
            return Refused(Refusal.BAD_ORIGINATOR)
        details = {storable(name): storable(value) for name, value in call.alias.details.items()}
        if len(details) > DETAILS_MAX or any(len(word) > DETAIL_MAX for word in (*details, *details.values())):
            words = f"at most {DETAILS_MAX} details of an alias with at most {DETAIL_MAX} characters each"
            return Refused(Refusal.BAD_REQUEST, words)
        now_ms = self._clock.now_ms()
        alias = Alias(id=self._ids.make(now_ms), sender=originator.value, details=details, state=AliasState.UNCONFIRMED)
        draft = AliasDraft(account_id=call.account.id, alias=alias, now_ms=now_ms)
        kept = await self._store.commit(self._store.aliases.put, draft)
        if isinstance(kept, Refusal):
            return Refused(kept, f"at most {ALIASES_MAX} aliases")
        return Created((kept,))

    async def alias(self, call: FetchAlias) -> Alias | Refused:
        if not are_ids(call.alias_id):
            return NOT_THERE
        found = await self._store.read(
            lambda transaction: self._store.aliases.find(transaction, call.account.id, call.alias_id)
        )
        return found or NOT_THERE

    async def aliases(self, call: ListAliases) -> Aliases:
        offset, count_max = page_of(call.offset, call.count_max)
        return await self._store.read(
            lambda transaction: self._store.aliases.page(
                transaction,
                call.account.id,
                hides_unapproved=call.hides_unapproved,
                offset=offset,
                count_max=count_max,
            )
        )

    async def delete(self, call: DeleteAlias) -> Done | Refused:
        if not are_ids(call.alias_id):
            return NOT_THERE
        was_there = await self._store.commit(self._store.aliases.end, AliasEnd(call.account.id, call.alias_id))
        return Done() if was_there else NOT_THERE
