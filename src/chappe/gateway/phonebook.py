"""An account's phone book: what it may hold is decided here, and kept by `store/phonebook.py`.

Contacts and groups are found by their own account only; to all others they are not there.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from chappe.clock import Clock
from chappe.core.centre import Created, Done, Refusal, Refused
from chappe.core.ids import ID_MAX, IdMaker
from chappe.core.phonebook import (
    Contact,
    Contacts,
    DeleteGroup,
    FetchContact,
    FetchMembers,
    Groups,
    ListContacts,
    ListGroups,
    PutContacts,
    PutGroup,
    SetMembership,
)
from chappe.gateway.front import Answers
from chappe.gateway.submission import storable
from chappe.sms.numbers import parse_msisdn
from chappe.store.database import Transaction
from chappe.store.engine import Store
from chappe.store.messages import RECIPIENTS_MAX
from chappe.store.phonebook import (
    CONTACTS_MAX,
    GROUPS_MAX,
    Change,
    ContactsDraft,
    GroupDraft,
    GroupEnd,
    MembershipChange,
)

# Limits: those of smsend 4.11 where it has one. Lengths in characters.
CONTACTS_PER_CALL_MAX = 10_000
MEMBERSHIPS_PER_CALL_MAX = 100_000  # groups of all contacts together
PAGE_MAX = 1_000
GROUPS_ASKED_MAX = 1_000
NAME_MAX = 40  # and surname
EMAIL_MAX = 254  # RFC 5321 4.5.3.1.3
DETAIL_MAX = 256
DETAIL_NAME_MAX = 40
DETAILS_MAX = 40
GROUP_NAME_MAX = 100
DESCRIPTION_MAX = 256
OFFSET_MAX = CONTACTS_MAX
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")
NOT_THERE = Refused(Refusal.NOT_FOUND)

Found = TypeVar("Found")


class PhonebookDesk:
    """`ids` are made in the loop's thread."""

    def __init__(self, store: Store, clock: Clock, ids: IdMaker) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    @property
    def answers(self) -> Answers:
        return {
            PutContacts: lambda call, _dialect, _network: self.put_contacts(call),
            FetchContact: lambda call, _dialect, _network: self.contact(call),
            ListContacts: lambda call, _dialect, _network: self.contacts(call),
            PutGroup: lambda call, _dialect, _network: self.put_group(call),
            DeleteGroup: lambda call, _dialect, _network: self.delete_group(call),
            ListGroups: lambda call, _dialect, _network: self.groups(call),
            SetMembership: lambda call, _dialect, _network: self.set_membership(call),
            FetchMembers: lambda call, _dialect, _network: self.members(call),
        }

    async def put_contacts(self, call: PutContacts) -> Created | Refused:
        if not call.contacts:
            return Created(())
        if len(call.contacts) > CONTACTS_PER_CALL_MAX:
            return Refused(Refusal.BAD_REQUEST, f"at most {CONTACTS_PER_CALL_MAX} contacts at once")
        if sum(len(one.group_ids) for one in call.contacts) > MEMBERSHIPS_PER_CALL_MAX:
            return Refused(Refusal.BAD_REQUEST, f"at most {MEMBERSHIPS_PER_CALL_MAX} groups of contacts at once")
        if not all(are_ids(*one.group_ids) for one in call.contacts):
            return NOT_THERE
        first_id = self._ids.make(self._clock.now_ms(), len(call.contacts))
        contacts = []
        for contact_id, one in enumerate(call.contacts, first_id):
            checked = checked_contact(one, contact_id)
            if isinstance(checked, Refused):
                return checked
            contacts.append(checked)
        return await self._create(
            ContactsDraft(
                account_id=call.account.id,
                contacts=tuple(contacts),
                updates=call.updates,
                keeps_groups=call.keeps_groups,
            ),
            f"at most {CONTACTS_MAX} contacts",
        )

    async def put_group(self, call: PutGroup) -> Created | Refused:
        name, description = storable(call.group.name), storable(call.group.description)
        if not name or len(name) > GROUP_NAME_MAX or len(description) > DESCRIPTION_MAX:
            words = f"a group has a name of at most {GROUP_NAME_MAX} characters and {DESCRIPTION_MAX} of description"
            return Refused(Refusal.BAD_REQUEST, words)
        if call.group.id and not are_ids(call.group.id):
            return NOT_THERE
        return await self._create(
            GroupDraft(
                account_id=call.account.id,
                id=call.group.id or self._ids.make(self._clock.now_ms()),
                is_new=not call.group.id,
                name=name,
                description=description,
            ),
            f"at most {GROUPS_MAX} groups",
        )

    async def delete_group(self, call: DeleteGroup) -> Done | Refused:
        if not are_ids(call.group_id):
            return NOT_THERE
        end = GroupEnd(account_id=call.account.id, group_id=call.group_id, deletes_contacts=call.deletes_contacts)
        return done(await self._create(end))

    async def set_membership(self, call: SetMembership) -> Done | Refused:
        if not are_ids(call.group_id, call.contact_id):
            return NOT_THERE
        change = MembershipChange(
            account_id=call.account.id, group_id=call.group_id, contact_id=call.contact_id, is_member=call.is_member
        )
        return done(await self._create(change))

    async def _create(self, change: Change, limit: str = "") -> Created | Refused:
        changed = await self._store.commit(self._store.phonebook.change, change)
        if isinstance(changed, Refusal):
            return Refused(changed, limit if changed is Refusal.FORBIDDEN else "")
        return Created(changed)

    async def contact(self, call: FetchContact) -> Contact | Refused:
        if not are_ids(call.contact_id):
            return NOT_THERE
        return await self._find(
            lambda transaction: self._store.phonebook.contact(transaction, call.account.id, call.contact_id)
        )

    async def contacts(self, call: ListContacts) -> Contacts | Refused:
        if call.group_id and not are_ids(call.group_id):
            return NOT_THERE
        offset, count_max = page_of(call.offset, call.count_max)
        return await self._find(
            lambda transaction: self._store.phonebook.contacts(
                transaction, call.account.id, call.group_id, offset, count_max
            )
        )

    async def groups(self, call: ListGroups) -> Groups | Refused:
        offset, count_max = page_of(call.offset, call.count_max)
        return await self._find(
            lambda transaction: self._store.phonebook.groups(transaction, call.account.id, offset, count_max)
        )

    async def members(self, call: FetchMembers) -> Contacts | Refused:
        """As many as a submission may have recipients; more are `too_many_recipients`."""
        if len(call.groups) > GROUPS_ASKED_MAX:
            return Refused(Refusal.BAD_REQUEST, f"at most {GROUPS_ASKED_MAX} groups at once")
        found = await self._find(
            lambda transaction: self._store.phonebook.members(
                transaction, call.account.id, call.groups, RECIPIENTS_MAX + 1
            )
        )
        if isinstance(found, Contacts) and found.total > RECIPIENTS_MAX:
            return Refused(Refusal.TOO_MANY_RECIPIENTS)
        return found

    async def _find(self, question: Callable[[Transaction], Found | None]) -> Found | Refused:
        found = await self._store.read(question)
        return NOT_THERE if found is None else found


def checked_contact(written: Contact, contact_id: int) -> Contact | Refused:
    """A contact as it is kept under an id, or what is wrong with it."""
    number = parse_msisdn(written.number) if written.number else ""
    if number is None:
        return Refused(Refusal.BAD_RECIPIENT)
    if not number and not written.email:
        return Refused(Refusal.BAD_REQUEST, "a contact has a number or an e-mail address")
    one = msgspec.structs.replace(
        written,
        id=contact_id,
        number=number,
        email=storable(written.email),
        name=storable(written.name),
        surname=storable(written.surname),
        details={storable(name): storable(value) for name, value in written.details.items()},
    )
    wrong = next((name for name, is_right in is_within(one).items() if not is_right), "")
    return Refused(Refusal.BAD_REQUEST, f"a contact's {wrong}") if wrong else one


def is_within(one: Contact) -> dict[str, bool]:
    """Which limits a contact keeps."""
    return {
        f"name has at most {NAME_MAX} characters": len(one.name) <= NAME_MAX,
        f"surname has at most {NAME_MAX} characters": len(one.surname) <= NAME_MAX,
        "e-mail address is none": not one.email or is_email(one.email),
        f"details are at most {DETAILS_MAX}": len(one.details) <= DETAILS_MAX,
        f"details have at most {DETAIL_MAX} characters each": all(
            len(name) <= DETAIL_NAME_MAX and len(value) <= DETAIL_MAX for name, value in one.details.items()
        ),
    }


def is_email(text: str) -> bool:
    """Whether this may be an e-mail address; whether it is one, only a mail can tell."""
    return len(text) <= EMAIL_MAX and EMAIL.fullmatch(text) is not None


def are_ids(*written: int) -> bool:
    """Whether these may be ids of ours: applications may write any number."""
    return all(0 < one <= ID_MAX for one in written)


def done(outcome: Created | Refused) -> Done | Refused:
    return outcome if isinstance(outcome, Refused) else Done()


def page_of(offset: int, count_max: int) -> tuple[int, int]:
    """The part of a list that is shown, within what one answer may hold."""
    return min(max(offset, 0), OFFSET_MAX), min(max(count_max, 0), PAGE_MAX)
