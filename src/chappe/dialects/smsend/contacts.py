"""Contacts and the groups they are in (4.3, 4.11).

One table says how long each field of a contact may be; what the phone book has no place for is kept under the
provider's own name, and told again as it was written.
"""

from chappe.core.centre import Created, Done, Outcome, Refusal, Refused
from chappe.core.phonebook import (
    Contact,
    Contacts,
    DeleteGroup,
    FetchContact,
    Group,
    Groups,
    ListContacts,
    ListGroups,
    PutContacts,
    PutGroup,
    SetMembership,
)
from chappe.dialects.base import HttpResponse, NorthFlow, json_response
from chappe.dialects.smsend.asking import (
    EMPTY,
    Asked,
    flag_of,
    id_of,
    list_of,
    located,
    number_of,
    page_of,
    paged,
    refuse,
    string_of,
)
from chappe.dialects.smsend.dates import moment_ms
from chappe.dialects.smsend.facts import (
    CONTACT_DATES,
    CONTACT_FIELDS,
    CONTACTS_MAX,
    EMPTY_STRING,
    GENDERS,
    GROUPS_PAGE_SIZE,
)
from chappe.dialects.smsend.national import international
from chappe.dialects.smsend.push import shown

OWN_FIELDS = ("email", "phoneNumber", "name", "surname")  # of the phone book itself; the others are details


# Contacts


def create(asked: Asked) -> NorthFlow:
    """`contact` and `contacts`: one person, or many at once; both on both paths (4.3)."""
    return (yield from create_many(asked) if "contacts" in asked.body else create_one(asked))


def create_one(asked: Asked) -> NorthFlow:
    """201 with an empty JSON string, because a client parses the body that the document says is empty (4.3)."""
    contact = read_contact(asked.body, asked.account.country)
    if isinstance(contact, Refused):
        return refuse(contact)
    outcome = yield PutContacts(account=asked.account, contacts=(contact,))
    if not isinstance(outcome, Created):
        return refuse_input(outcome, "groupIds")
    if not outcome.ids:
        return refuse(Refused(Refusal.BAD_REQUEST, "the contact is there already"))
    return located(contact_path(outcome.ids[0]), 201, EMPTY_STRING)


def create_many(asked: Asked) -> NorthFlow:
    """All or none; how many are new (4.3)."""
    people, contacts = list_of(asked.body["contacts"]) or [], []
    if len(people) > CONTACTS_MAX:
        return refuse(Refused(Refusal.BAD_REQUEST, f"at most {CONTACTS_MAX} contacts at once"))
    for written in people:
        contact = read_contact(written, asked.account.country)
        if isinstance(contact, Refused):
            return refuse(contact)
        contacts.append(contact)
    outcome = yield PutContacts(
        account=asked.account,
        contacts=tuple(contacts),
        updates=flag_of(asked.body.get("updateExistingContact")),
        keeps_groups=flag_of(asked.body.get("keepExistingGroupsAndCampaigns")),
    )
    return json_response(len(outcome.ids)) if isinstance(outcome, Created) else refuse_input(outcome, "groupIds")


def read_contact(written: object, country: str) -> Contact | Refused:
    """A person, or the name of the field that cannot be read (4.11)."""
    if not isinstance(written, dict):
        return Refused(Refusal.BAD_REQUEST, "a contact is an object")
    fields = {name: string_of(written.get(name)) for name in CONTACT_FIELDS}
    wrong = next((name for name, text in fields.items() if text is None or len(text) > CONTACT_FIELDS[name]), None)
    texts = {name: (text or "").strip() for name, text in fields.items()}
    wrong = wrong or next(
        (name for name in CONTACT_DATES if texts[name] and moment_ms(texts[name], "UTC") is None), None
    )
    group_ids = tuple(number_of(group_id) for group_id in list_of(written.get("groupIds")) or ())
    if wrong is None and texts["gender"].lower() not in GENDERS:
        wrong = "gender"
    if wrong is not None or None in group_ids:
        return Refused(Refusal.BAD_REQUEST, wrong or "groupIds")
    return Contact(
        number=international(texts["phoneNumber"], country) if texts["phoneNumber"] else "",
        email=texts["email"],
        name=texts["name"],
        surname=texts["surname"],
        details={name: text for name, text in texts.items() if text and name not in OWN_FIELDS},
        group_ids=tuple(filter(None, group_ids)),
    )


def show(asked: Asked) -> NorthFlow:
    contact = yield FetchContact(asked.account, id_of(asked, "id"))
    return json_response(contact_row(contact)) if isinstance(contact, Contact) else refuse(contact)


def list_all(asked: Asked) -> NorthFlow:
    page = page_of(asked)
    if isinstance(page, Refused):
        return refuse(page)
    contacts = yield ListContacts(account=asked.account, offset=page.offset, count_max=page.size)
    if not isinstance(contacts, Contacts):
        return refuse(contacts)
    return paged(page, contacts.total, "contacts", [contact_row(contact) for contact in contacts.items])


def contact_row(contact: Contact) -> dict[str, object]:
    """Every field, also an empty one; ids are strings, because JavaScript has no such large numbers."""
    own = (contact.email, shown(contact.number), contact.name, contact.surname)
    return {
        "id": str(contact.id),
        **dict(zip(OWN_FIELDS, own, strict=True)),
        **{name: contact.details.get(name, "") for name in CONTACT_FIELDS if name not in OWN_FIELDS},
        "groupIds": [str(group_id) for group_id in contact.group_ids],
    }


def list_fields(asked: Asked) -> NorthFlow:
    """`contacts/fields`: what a contact may have (4.3)."""
    yield from ()
    return json_response([*CONTACT_FIELDS, "groupIds"])


# Groups


def create_group(asked: Asked) -> NorthFlow:
    return (yield from put_group(asked, 0, 201))


def change_group(asked: Asked) -> NorthFlow:
    return (yield from put_group(asked, id_of(asked, "id"), 200))


def put_group(asked: Asked, group_id: int, status: int) -> NorthFlow:
    """Name and description, both needed (4.3); an id of 0 makes a new one."""
    name, description = string_of(asked.body.get("name")), string_of(asked.body.get("description"))
    if not name or description is None or "description" not in asked.body:
        return refuse(Refused(Refusal.BAD_REQUEST, "name and description are needed"))
    if asked.ids and not group_id:
        return refuse(Refused(Refusal.NOT_FOUND))
    outcome = yield PutGroup(asked.account, Group(id=group_id, name=name, description=description))
    return located(f"/group/{outcome.ids[0]}", status) if isinstance(outcome, Created) else refuse(outcome)


def delete_group(asked: Asked) -> NorthFlow:
    deletes_contacts = flag_of(asked.field("deletecontacts"))
    outcome = yield DeleteGroup(asked.account, id_of(asked, "id"), deletes_contacts)
    return EMPTY if isinstance(outcome, Done) else refuse(outcome)


def list_groups(asked: Asked) -> NorthFlow:
    page = page_of(asked, GROUPS_PAGE_SIZE)
    if isinstance(page, Refused):
        return refuse(page)
    groups = yield ListGroups(account=asked.account, offset=page.offset, count_max=page.size)
    if not isinstance(groups, Groups):
        return refuse(groups)
    rows = [{"id": str(group.id), "name": group.name, "description": group.description} for group in groups.items]
    return paged(page, groups.total, "groups", rows)


def join(asked: Asked) -> NorthFlow:
    return (yield from set_membership(asked, True))


def leave(asked: Asked) -> NorthFlow:
    return (yield from set_membership(asked, False))


def set_membership(asked: Asked, is_member: bool) -> NorthFlow:
    group_id, contact_id = id_of(asked, "gid"), id_of(asked, "cid")
    outcome = yield SetMembership(asked.account, group_id, contact_id, is_member)
    return located(contact_path(contact_id)) if isinstance(outcome, Done) else refuse(outcome)


def contact_path(contact_id: int) -> str:
    return f"/contact/{contact_id}"


def refuse_input(outcome: Outcome, name: str) -> HttpResponse:
    """What the body names and is not there is bad input: 404 is for the address (4.15)."""
    is_unknown = isinstance(outcome, Refused) and outcome.reason is Refusal.NOT_FOUND
    return refuse(Refused(Refusal.BAD_REQUEST, name) if is_unknown else outcome)
