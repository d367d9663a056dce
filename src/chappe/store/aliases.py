"""Sender names that accounts ask for, and how far each is approved.

An account has a sender once, whoever asks twice. Approved ones belong to the configuration: whatever changes which
those are raises its revision first, so that running servers follow, and so that two nodes wait for each other there.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, func, or_, select, update

from chappe.core.centre import Refusal
from chappe.core.phonebook import APPROVED, Alias, Aliases, AliasState
from chappe.store.configuration import Configuration
from chappe.store.database import Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import REVISION_RANK, Verb
from chappe.store.schema import account, alias

ALIASES_MAX = 1_000  # of one account


class AliasDraft(Struct, frozen=True, kw_only=True):
    """A sender name that an account asks for, under the id that it gets if it is new."""

    account_id: int
    alias: Alias
    now_ms: int


class AliasEnd(Struct, frozen=True):
    account_id: int
    alias_id: int


class AliasDecision(Struct, frozen=True):
    alias_id: int
    state: AliasState


class AskedAlias(Struct, frozen=True, kw_only=True):
    """An alias as the operator sees it."""

    account: str
    alias: Alias
    made_ms: int


class AliasBook:
    def __init__(self, database: Database, configuration: Configuration) -> None:
        self.put = Verb[AliasDraft, int | Refusal](4, self._put_many)
        self.end = Verb[AliasEnd, bool](REVISION_RANK, self._end_many)
        self.decision = Verb[AliasDecision, AskedAlias | None](REVISION_RANK, self._decide_many)
        self._configuration = configuration
        fields = (alias.c.id, alias.c.sender, alias.c.details, alias.c.state)
        is_theirs = alias.c.account_id == bindparam("account")
        is_it = is_theirs & (alias.c.id == bindparam("which"))
        is_approved = alias.c.state.in_([constant(state.value) for state in sorted(APPROVED)])
        is_shown = is_theirs & or_(bindparam("shows_all", type_=BigInteger) == constant(1), is_approved)
        new = database.insert(alias).values(
            id=bindparam("which"),
            account_id=bindparam("account"),
            sender=bindparam("called"),
            details=bindparam("vouched"),
            state=bindparam("standing"),
            made_ms=bindparam("now"),
        )
        self._put = Prepared(
            database,
            new.on_conflict_do_update(
                index_elements=["account_id", "sender"], set_={"sender": new.excluded.sender}
            ).returning(alias.c.id),
        )
        self._count = Prepared(database, select(func.count()).select_from(alias).where(is_theirs))
        self._find = Prepared(database, select(*fields).where(is_it))
        self._of_sender = Prepared(database, select(alias.c.id).where(is_theirs, alias.c.sender == bindparam("called")))
        self._end = Prepared(database, delete(alias).where(is_it))
        self._shown_count = Prepared(database, select(func.count()).select_from(alias).where(is_shown))
        self._list = Prepared(
            database,
            select(*fields)
            .where(is_shown)
            .order_by(alias.c.id)
            .limit(bindparam("count_max", type_=BigInteger))
            .offset(bindparam("offset", type_=BigInteger)),
        )
        asked = select(*fields, account.c.name, alias.c.made_ms).join_from(
            alias, account, account.c.id == alias.c.account_id
        )
        is_named = bindparam("named", type_=Text)
        self._asked = Prepared(
            database, asked.where(or_(is_named == "", account.c.name == is_named)).order_by(account.c.name, alias.c.id)
        )
        self._set_state = Prepared(
            database, update(alias).where(alias.c.id == bindparam("which")).values(state=bindparam("standing"))
        )
        self._asked_one = Prepared(database, asked.where(alias.c.id == bindparam("which")))

    # What accounts do

    def _put_many(self, transaction: Transaction, drafts: Sequence[AliasDraft], is_repeat: bool) -> list[int | Refusal]:
        return [self._put_one(transaction, one) for one in drafts]

    def _put_one(self, transaction: Transaction, draft: AliasDraft) -> int | Refusal:
        """The id of the alias; that of the one that is there already where the account has the sender."""
        whose, sender = draft.account_id, draft.alias.sender
        is_known = bool(transaction.rows(self._of_sender, account=whose, called=sender))
        if not is_known and transaction.rows(self._count, account=whose)[0][0] >= ALIASES_MAX:
            return Refusal.FORBIDDEN
        rows = transaction.rows(
            self._put,
            which=draft.alias.id,
            account=whose,
            called=sender,
            vouched=msgspec.json.encode(draft.alias.details).decode(),
            standing=draft.alias.state.value,
            now=draft.now_ms,
        )
        alias_id: int = rows[0][0]
        return alias_id

    def _end_many(self, transaction: Transaction, ends: Sequence[AliasEnd], is_repeat: bool) -> list[bool]:
        """Whether each was there; on a repeat, one that is not may have been a moment ago."""
        self._configuration.raise_revision(transaction)
        return [transaction.run(self._end, account=one.account_id, which=one.alias_id) > 0 or is_repeat for one in ends]

    def find(self, transaction: Transaction, account_id: int, alias_id: int) -> Alias | None:
        rows = transaction.rows(self._find, account=account_id, which=alias_id)
        return alias_of(rows[0]) if rows else None

    def page(
        self, transaction: Transaction, account_id: int, *, hides_unapproved: bool, offset: int, count_max: int
    ) -> Aliases:
        """A page of an account's aliases, by id."""
        which = {"account": account_id, "shows_all": int(not hides_unapproved)}
        rows = transaction.rows(self._list, offset=offset, count_max=count_max, **which)
        total = transaction.rows(self._shown_count, **which)[0][0]
        return Aliases(items=tuple(map(alias_of, rows)), total=total)

    # What the operator does

    def asked(self, transaction: Transaction, account_name: str = "") -> list[AskedAlias]:
        """All aliases, of one account or (empty) of all."""
        return [asked_alias(row) for row in transaction.rows(self._asked, named=account_name)]

    def _decide_many(
        self, transaction: Transaction, decisions: Sequence[AliasDecision], is_repeat: bool
    ) -> list[AskedAlias | None]:
        return [self.decide(transaction, one.alias_id, one.state) for one in decisions]

    def decide(self, transaction: Transaction, alias_id: int, state: AliasState) -> AskedAlias | None:
        """Approve or block an alias; as it is now, or None where there is none of this id."""
        self._configuration.raise_revision(transaction)
        transaction.run(self._set_state, which=alias_id, standing=state.value)
        rows = transaction.rows(self._asked_one, which=alias_id)
        return asked_alias(rows[0]) if rows else None


def alias_of(row: Row) -> Alias:
    return Alias(
        id=row[0], sender=row[1], details=msgspec.json.decode(row[2], type=dict[str, str]), state=AliasState(row[3])
    )


def asked_alias(row: Row) -> AskedAlias:
    return AskedAlias(account=row[4], alias=alias_of(row), made_ms=row[5])
