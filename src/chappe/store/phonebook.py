"""Contacts, and the groups they are in.

Every change of an account's phone book goes through its one row of `phonebook`: it is held for the rest of the commit,
so that two nodes never write the same contact twice, and it has the counts that the limits are held against, so that
nobody counts a million rows for one more. All changes are one verb: the rows of a round are taken at once, lowest
account first, and no two nodes wait for each other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, func, insert, select, update

from chappe.core.centre import Refusal
from chappe.core.phonebook import Contact, Contacts, Group, Groups
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, kinds_of
from chappe.store.group_commit import Verb
from chappe.store.schema import contact, contact_group, membership, phonebook

CONTACTS_MAX = 1_000_000  # of one account
GROUPS_MAX = 10_000


class ContactsDraft(Struct, frozen=True, kw_only=True):
    """Contacts to be added, each under the id that it gets if it is new. All or none."""

    account_id: int
    contacts: tuple[Contact, ...]
    updates: bool = False  # one that is known is changed instead of left alone ...
    keeps_groups: bool = False  # ... and stays in its groups besides


class GroupDraft(Struct, frozen=True, kw_only=True):
    """A new group under its new id, or another name for the one of this id."""

    account_id: int
    id: int
    is_new: bool
    name: str
    description: str = ""


class GroupEnd(Struct, frozen=True, kw_only=True):
    account_id: int
    group_id: int
    deletes_contacts: bool = False


class MembershipChange(Struct, frozen=True, kw_only=True):
    account_id: int
    group_id: int
    contact_id: int
    is_member: bool


Change = ContactsDraft | GroupDraft | GroupEnd | MembershipChange
Changed = tuple[int, ...] | Refusal  # the ids of what is new (or renamed); or why nothing was changed


@dataclass
class Tally:
    """How much an account has, as it changes within a commit."""

    contacts_count: int
    groups_count: int


class Phonebook:
    def __init__(self, database: Database) -> None:
        self.change = Verb[Change, Changed](4, self._change_many, weight_of)
        self._carry_out: dict[type, Callable[[Transaction, Any, Tally, bool], Changed]] = {
            ContactsDraft: self._put_contacts,
            GroupDraft: self._put_group,
            GroupEnd: self._end_group,
            MembershipChange: self._set_membership,
        }
        self._prepare_tallies(database)
        self._prepare_contacts(database)
        self._prepare_groups(database)
        self._prepare_lists(database)

    # The statements

    def _prepare_tallies(self, database: Database) -> None:
        accounts = Batch(database, account_id=BigInteger)
        first = database.insert(phonebook).from_select(
            ["account_id"], select(accounts.table).where(TRUE).order_by(accounts.c.account_id)
        )
        self._take = Prepared(
            database,
            first.on_conflict_do_update(
                index_elements=["account_id"], set_={"contacts_count": phonebook.c.contacts_count}
            ).returning(phonebook.c.account_id, phonebook.c.contacts_count, phonebook.c.groups_count),
            accounts,
        )
        tallies = Batch(database, account_id=BigInteger, contacts_count=BigInteger, groups_count=BigInteger)
        self._write_tallies = Prepared(
            database,
            update(phonebook)
            .where(phonebook.c.account_id == tallies.c.account_id)
            .values(contacts_count=tallies.c.contacts_count, groups_count=tallies.c.groups_count),
            tallies,
        )

    def _prepare_contacts(self, database: Database) -> None:
        is_theirs = contact.c.account_id == bindparam("account")
        self._known = []
        for name in ("number", "email"):
            asked = Batch(database, word=Text)
            known = select(*contact.columns).where(is_theirs, contact.c[name].in_(select(asked.c.word)))
            self._known.append((name, Prepared(database, known, asked)))
        names = [column.name for column in contact.columns]
        kinds = kinds_of(contact.columns)
        fresh = Batch(database, **kinds)
        self._insert = Prepared(database, insert(contact).from_select(names, select(fresh.table)), fresh)
        changes = Batch(database, **kinds)
        self._update = Prepared(
            database,
            update(contact)
            .where(contact.c.id == changes.c.id)
            .values({name: changes.c[name] for name in names if name not in ("id", "account_id")}),
            changes,
        )
        leaving = Batch(database, id=BigInteger)
        self._leave_all = Prepared(
            database, delete(membership).where(membership.c.contact_id.in_(select(leaving.c.id))), leaving
        )
        joining = Batch(database, group_id=BigInteger, contact_id=BigInteger)
        self._join = Prepared(
            database,
            database.insert(membership)
            .from_select(["group_id", "contact_id"], select(joining.table).where(TRUE))
            .on_conflict_do_nothing(),
            joining,
        )

    def _prepare_groups(self, database: Database) -> None:
        is_theirs = contact_group.c.account_id == bindparam("account")
        is_it = is_theirs & (contact_group.c.id == bindparam("which"))
        asked = Batch(database, id=BigInteger)
        self._groups_there = Prepared(
            database, select(contact_group.c.id).where(is_theirs, contact_group.c.id.in_(select(asked.c.id))), asked
        )
        self._insert_group = Prepared(
            database,
            insert(contact_group).values(
                id=bindparam("which"),
                account_id=bindparam("account"),
                name=bindparam("called"),
                description=bindparam("described"),
            ),
        )
        self._rename_group = Prepared(
            database,
            update(contact_group).where(is_it).values(name=bindparam("called"), description=bindparam("described")),
        )
        members = select(membership.c.contact_id).where(membership.c.group_id == bindparam("which"))
        self._delete_members = Prepared(
            database, delete(contact).where(contact.c.account_id == bindparam("account"), contact.c.id.in_(members))
        )
        self._leave_with_them = Prepared(database, delete(membership).where(membership.c.contact_id.in_(members)))
        self._empty_group = Prepared(database, delete(membership).where(membership.c.group_id == bindparam("which")))
        self._delete_group = Prepared(database, delete(contact_group).where(is_it))
        self._has_contact = Prepared(
            database,
            select(contact.c.id).where(contact.c.account_id == bindparam("account"), contact.c.id == bindparam("who")),
        )
        self._leave = Prepared(
            database,
            delete(membership).where(
                membership.c.group_id == bindparam("which"), membership.c.contact_id == bindparam("who")
            ),
        )

    def _prepare_lists(self, database: Database) -> None:
        count_max, offset = (bindparam(name, type_=BigInteger) for name in ("count_max", "offset"))
        are_theirs = contact.c.account_id == bindparam("account")
        in_group = membership.c.group_id == bindparam("which")
        self._tally = Prepared(database, select(phonebook).where(phonebook.c.account_id == bindparam("account")))
        self._contact = Prepared(database, select(*contact.columns).where(are_theirs, contact.c.id == bindparam("who")))
        self._contacts = Prepared(
            database, select(*contact.columns).where(are_theirs).order_by(contact.c.id).limit(count_max).offset(offset)
        )
        self._contacts_of_group = Prepared(
            database,
            select(*contact.columns)
            .join_from(membership, contact, contact.c.id == membership.c.contact_id)
            .where(in_group)
            .order_by(membership.c.contact_id)
            .limit(count_max)
            .offset(offset),
        )
        self._members_count = Prepared(database, select(func.count()).select_from(membership).where(in_group))
        counted = (
            select(func.count())
            .select_from(membership)
            .where(membership.c.group_id == contact_group.c.id)
            .scalar_subquery()
        )
        self._groups = Prepared(
            database,
            select(contact_group.c.id, contact_group.c.name, contact_group.c.description, counted)
            .where(contact_group.c.account_id == bindparam("account"))
            .order_by(contact_group.c.id)
            .limit(count_max)
            .offset(offset),
        )
        self._names = Prepared(
            database,
            select(contact_group.c.id, contact_group.c.name).where(contact_group.c.account_id == bindparam("account")),
        )
        groups = Batch(database, id=BigInteger)
        their_members = select(membership.c.contact_id).where(membership.c.group_id.in_(select(groups.c.id)))
        self._members = Prepared(
            database,
            select(*contact.columns).where(contact.c.id.in_(their_members)).order_by(contact.c.id).limit(count_max),
            groups,
        )
        shown = Batch(database, id=BigInteger)
        self._groups_of = Prepared(
            database,
            select(membership.c.contact_id, membership.c.group_id)
            .where(membership.c.contact_id.in_(select(shown.c.id)))
            .order_by(membership.c.contact_id, membership.c.group_id),
            shown,
        )

    # Changing

    def _change_many(self, transaction: Transaction, changes: Sequence[Change], is_repeat: bool) -> list[Changed]:
        accounts = sorted({one.account_id for one in changes})
        taken = transaction.rows(self._take, [(account_id,) for account_id in accounts])
        tallies = {account_id: Tally(contacts, groups) for account_id, contacts, groups in taken}
        results = [self._carry_out[type(one)](transaction, one, tallies[one.account_id], is_repeat) for one in changes]
        transaction.run(
            self._write_tallies, [(whose, one.contacts_count, one.groups_count) for whose, one in tallies.items()]
        )
        return results

    def _put_contacts(self, transaction: Transaction, draft: ContactsDraft, tally: Tally, is_repeat: bool) -> Changed:
        """On a repeat, those that an earlier commit added are found under the ids of the draft."""
        wanted = {group_id for one in draft.contacts for group_id in one.group_ids}
        if wanted - self._there(transaction, draft.account_id, wanted):
            return Refusal.NOT_FOUND
        known = self._find_known(transaction, draft)
        new, changed = sort_out(draft, known)
        if tally.contacts_count + len(new) > CONTACTS_MAX:
            return Refusal.FORBIDDEN
        tally.contacts_count += len(new)
        transaction.run(self._insert, [row_of(one, draft.account_id) for one in new.values()])
        transaction.run(self._update, [row_of(one, draft.account_id) for one in changed.values()])
        if not draft.keeps_groups:
            transaction.run(self._leave_all, [(contact_id,) for contact_id in changed])
        joining = [
            (group_id, one.id) for touched in (new, changed) for one in touched.values() for group_id in one.group_ids
        ]
        transaction.run(self._join, joining)
        return tuple(one.id for one in draft.contacts if one.id in new or one.id in known)

    def _there(self, transaction: Transaction, account_id: int, group_ids: Iterable[int]) -> set[int]:
        """Those of the groups that the account has."""
        wanted = [(group_id,) for group_id in group_ids]
        return {row[0] for row in transaction.rows(self._groups_there, wanted, account=account_id)} if wanted else set()

    def _find_known(self, transaction: Transaction, draft: ContactsDraft) -> dict[int, Contact]:
        """The contacts that have a number or an e-mail address of the draft, by id, the oldest first."""
        known: dict[int, Contact] = {}
        for name, question in self._known:
            words = {word for one in draft.contacts if (word := getattr(one, name))}
            rows = transaction.rows(question, [(word,) for word in words], account=draft.account_id) if words else []
            known |= {row[0]: contact_of(row) for row in rows}
        return dict(sorted(known.items()))

    def _put_group(self, transaction: Transaction, draft: GroupDraft, tally: Tally, is_repeat: bool) -> Changed:
        values = {"account": draft.account_id, "which": draft.id, "called": draft.name, "described": draft.description}
        if not draft.is_new:
            return (draft.id,) if transaction.run(self._rename_group, **values) else Refusal.NOT_FOUND
        if is_repeat and self._there(transaction, draft.account_id, [draft.id]):
            return (draft.id,)
        if tally.groups_count >= GROUPS_MAX:
            return Refusal.FORBIDDEN
        tally.groups_count += 1
        transaction.run(self._insert_group, **values)
        return (draft.id,)

    def _end_group(self, transaction: Transaction, end: GroupEnd, tally: Tally, is_repeat: bool) -> Changed:
        if not transaction.run(self._delete_group, account=end.account_id, which=end.group_id):
            return () if is_repeat else Refusal.NOT_FOUND
        tally.groups_count -= 1
        if end.deletes_contacts:
            tally.contacts_count -= transaction.run(self._delete_members, account=end.account_id, which=end.group_id)
            transaction.run(self._leave_with_them, which=end.group_id)
        else:
            transaction.run(self._empty_group, which=end.group_id)
        return ()

    def _set_membership(
        self, transaction: Transaction, change: MembershipChange, tally: Tally, is_repeat: bool
    ) -> Changed:
        has_contact = transaction.rows(self._has_contact, account=change.account_id, who=change.contact_id)
        if not has_contact or not self._there(transaction, change.account_id, [change.group_id]):
            return Refusal.NOT_FOUND
        if change.is_member:
            transaction.run(self._join, [(change.group_id, change.contact_id)])
        else:
            transaction.run(self._leave, which=change.group_id, who=change.contact_id)
        return ()

    # Reading

    def contact(self, transaction: Transaction, account_id: int, contact_id: int) -> Contact | None:
        found = self._with_groups(transaction, transaction.rows(self._contact, account=account_id, who=contact_id))
        return found[0] if found else None

    def contacts(
        self, transaction: Transaction, account_id: int, group_id: int, offset: int, count_max: int
    ) -> Contacts | None:
        """A page of an account's contacts by id, of one group or (0) of all; None where it has no such group."""
        page = {"offset": offset, "count_max": count_max}
        if not group_id:
            total = self._totals(transaction, account_id).contacts_count
            rows = transaction.rows(self._contacts, account=account_id, **page)
        elif self._there(transaction, account_id, [group_id]):
            total = transaction.rows(self._members_count, which=group_id)[0][0]
            rows = transaction.rows(self._contacts_of_group, which=group_id, **page)
        else:
            return None
        return Contacts(items=self._with_groups(transaction, rows), total=total)

    def groups(self, transaction: Transaction, account_id: int, offset: int, count_max: int) -> Groups:
        rows = transaction.rows(self._groups, account=account_id, offset=offset, count_max=count_max)
        items = tuple(Group(id=row[0], name=row[1], description=row[2], contacts_count=row[3]) for row in rows)
        return Groups(items=items, total=self._totals(transaction, account_id).groups_count)

    def members(
        self, transaction: Transaction, account_id: int, named: Sequence[str], count_max: int
    ) -> Contacts | None:
        """Up to `count_max` contacts of groups, named by name or id, each once; None where a group is not there."""
        group_ids: set[int] = set()
        wanted = set(named)
        missing = set(wanted)
        for group_id, name in transaction.rows(self._names, account=account_id):
            meant = wanted & {name, str(group_id)}
            if meant:
                group_ids.add(group_id)
                missing -= meant
        if missing:
            return None
        rows = transaction.rows(self._members, [(group_id,) for group_id in group_ids], count_max=count_max)
        return Contacts(items=self._with_groups(transaction, rows), total=len(rows))

    def _totals(self, transaction: Transaction, account_id: int) -> Tally:
        rows = transaction.rows(self._tally, account=account_id)
        return Tally(*rows[0][1:]) if rows else Tally(0, 0)

    def _with_groups(self, transaction: Transaction, rows: Sequence[Row]) -> tuple[Contact, ...]:
        """Rows of contacts as records that know which groups they are in."""
        group_ids: dict[int, list[int]] = {row[0]: [] for row in rows}
        for contact_id, group_id in transaction.rows(self._groups_of, [(contact_id,) for contact_id in group_ids]):
            group_ids[contact_id].append(group_id)
        return tuple(msgspec.structs.replace(contact_of(row), group_ids=tuple(group_ids[row[0]])) for row in rows)


def sort_out(draft: ContactsDraft, known: Mapping[int, Contact]) -> tuple[Mapping[int, Contact], Mapping[int, Contact]]:
    """Which contacts of a draft are new, and which of the known ones change, both by id and as they will be.

    A number tells a contact; an e-mail address does only where the number is nobody's. What stands twice in a draft is
    known the second time.
    """
    standing = dict(known)
    new: dict[int, Contact] = {}
    changed: dict[int, Contact] = {}
    by_number: dict[str, int] = {}
    by_email: dict[str, int] = {}

    def remember(one: Contact) -> None:
        standing[one.id] = one
        if one.number:
            by_number.setdefault(one.number, one.id)
        if one.email:
            by_email.setdefault(one.email, one.id)

    for one in known.values():
        remember(one)
    for one in draft.contacts:
        known_id = by_number.get(one.number) or by_email.get(one.email)
        if known_id is None:
            new[one.id] = one
            remember(one)
        elif draft.updates:
            touched = new if known_id in new else changed
            touched[known_id] = updated(standing[known_id], one, keeps_groups=draft.keeps_groups)
            remember(touched[known_id])
    return new, changed


def updated(old: Contact, given: Contact, *, keeps_groups: bool) -> Contact:
    """What is given replaces what was known; what is left empty leaves it."""
    return Contact(
        id=old.id,
        number=given.number or old.number,
        email=given.email or old.email,
        name=given.name or old.name,
        surname=given.surname or old.surname,
        details={**old.details, **given.details},
        group_ids=old.group_ids * keeps_groups + given.group_ids,
    )


def weight_of(change: Change) -> int:
    return max(1, len(change.contacts)) if isinstance(change, ContactsDraft) else 1


def row_of(one: Contact, account_id: int) -> Row:
    """A contact in the order of the table's columns."""
    details = msgspec.json.encode(one.details).decode()
    return (one.id, account_id, one.number, one.email, one.name, one.surname, details)


def contact_of(row: Row) -> Contact:
    """The reverse of `row_of`, without its groups."""
    return Contact(
        id=row[0],
        number=row[2],
        email=row[3],
        name=row[4],
        surname=row[5],
        details=msgspec.json.decode(row[6], type=dict[str, str]),
    )
