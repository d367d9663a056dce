"""An account's phone book at its desk: what may be in it, and who may see it."""

from pathlib import Path
from typing import Any

import pytest

from chappe.core.centre import Call, Created, Done, Outcome, Refusal, Refused
from chappe.core.phonebook import (
    Contact,
    Contacts,
    DeleteGroup,
    FetchContact,
    FetchMembers,
    Group,
    Groups,
    ListContacts,
    ListGroups,
    PutContacts,
    PutGroup,
    SetMembership,
)
from chappe.gateway import phonebook
from chappe.gateway.phonebook import CONTACTS_PER_CALL_MAX, PhonebookDesk
from chappe.store import schema
from gateway.middle import PROOVL, Middle, play

NOT_FOUND = Refused(Refusal.NOT_FOUND)
NUMBER = "447700900123"
WORLD = """
[[account]]
name = "alice"
password = "a"

[[account]]
name = "bob"
password = "b"
"""


async def ask(middle: Middle, call: Call) -> Outcome:
    desk = PhonebookDesk(middle.store, middle.time, middle.ids)
    return await middle.result(desk.answers[type(call)](call, PROOVL, ""))  # type: ignore[arg-type]


async def put(middle: Middle, *contacts: Contact, **how: bool) -> Outcome:
    return await ask(middle, PutContacts(account=middle.alice, contacts=contacts, **how))


async def made(middle: Middle, wish: Call) -> int:
    created = await ask(middle, wish)
    assert isinstance(created, Created)
    return created.ids[0]


# What is written; what is kept of it (number, e-mail address, name), or why it is refused.
WRITTEN: list[tuple[str, dict[str, Any], tuple[str, str, str] | Refusal]] = [
    ("a number as people write it", {"number": "+44 (7700) 900-123"}, (NUMBER, "", "")),
    ("a number as providers write it", {"number": "00447700900123"}, (NUMBER, "", "")),
    ("an e-mail address alone", {"email": "ada@example.com", "name": "Ada"}, ("", "ada@example.com", "Ada")),
    ("what no database keeps", {"number": NUMBER, "name": "A\0da\ud800"}, (NUMBER, "", "Ada\ufffd")),
    ("neither number nor address", {"name": "Ada"}, Refusal.BAD_REQUEST),
    ("a number that is none", {"number": "12", "email": "ada@example.com"}, Refusal.BAD_RECIPIENT),
    ("an address that is none", {"email": "ada at example.com"}, Refusal.BAD_REQUEST),
    ("an address too long", {"email": "a" * 250 + "@b.cd"}, Refusal.BAD_REQUEST),
    ("the longest name", {"number": NUMBER, "name": "x" * 40}, (NUMBER, "", "x" * 40)),
    ("a name too long", {"number": NUMBER, "name": "x" * 41}, Refusal.BAD_REQUEST),
    ("a surname too long", {"number": NUMBER, "surname": "x" * 41}, Refusal.BAD_REQUEST),
    ("a detail too long", {"number": NUMBER, "details": {"address": "x" * 257}}, Refusal.BAD_REQUEST),
    ("a detail's name too long", {"number": NUMBER, "details": {"x" * 41: ""}}, Refusal.BAD_REQUEST),
    ("too many details", {"number": NUMBER, "details": {str(n): "" for n in range(41)}}, Refusal.BAD_REQUEST),
    ("a group that is no id", {"number": NUMBER, "group_ids": (1 << 64,)}, Refusal.NOT_FOUND),
]


@pytest.mark.parametrize("name, fields, expected", WRITTEN, ids=[row[0] for row in WRITTEN])
def test_a_contact_is_kept_within_its_limits(
    tmp_path: Path, name: str, fields: dict[str, Any], expected: tuple[str, str, str] | Refusal
) -> None:
    """A contact is kept as chappe writes it, or refused with a reason; then nobody of the call is added."""

    async def script(middle: Middle) -> None:
        outcome = await put(middle, Contact(number="447700900999"), Contact(**fields))
        kept = [(row["number"], row["email"], row["name"]) for row in middle.rows(schema.contact)]
        if isinstance(expected, Refusal):
            assert isinstance(outcome, Refused)
            assert outcome.reason is expected
            assert kept == []
        else:
            assert isinstance(outcome, Created)
            assert list(outcome.ids) == [row["id"] for row in middle.rows(schema.contact)]
            assert kept == [("447700900999", "", ""), expected]

    play(tmp_path, script, WORLD)


def test_a_call_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of nobody adds nobody; one with too many contacts, or groups of contacts, is refused."""
    monkeypatch.setattr(phonebook, "MEMBERSHIPS_PER_CALL_MAX", 2)

    async def script(middle: Middle) -> None:
        assert await put(middle) == Created(())
        numbers = [str(447_700_000_000 + n) for n in range(CONTACTS_PER_CALL_MAX + 1)]
        for contacts in (
            [Contact(number=number) for number in numbers],
            [Contact(number=number, group_ids=(1,)) for number in numbers[:3]],
        ):
            outcome = await put(middle, *contacts)
            assert isinstance(outcome, Refused)
            assert outcome.reason is Refusal.BAD_REQUEST
        assert isinstance(await put(middle, *(Contact(number=number) for number in numbers[1:])), Created)

    play(tmp_path, script, WORLD)


# A group's name and description; whether it is made.
GROUPS = [("friends", "", True), ("x" * 100, "y" * 256, True), ("", "y", False), ("x" * 101, "", False)]
GROUPS += [("x", "y" * 257, False)]


@pytest.mark.parametrize("name, description, is_made", GROUPS)
def test_a_group_has_a_name(tmp_path: Path, name: str, description: str, is_made: bool) -> None:
    """A group is made and renamed with a name and a description within their limits."""

    async def script(middle: Middle) -> None:
        group_id = await made(middle, PutGroup(middle.alice, Group(name="old")))
        for wish in (Group(name=name, description=description), Group(id=group_id, name=name, description=description)):
            outcome = await ask(middle, PutGroup(middle.alice, wish))
            assert isinstance(outcome, Created) is is_made
            assert is_made or outcome.reason is Refusal.BAD_REQUEST  # type: ignore[attr-defined]
        names = [(row["name"], row["description"]) for row in middle.rows(schema.contact_group)]
        assert names == ([(name, description)] * 2 if is_made else [("old", "")])

    play(tmp_path, script, WORLD)


def test_a_phone_book_from_its_first_page_to_its_end(tmp_path: Path) -> None:
    """Groups and contacts are made, listed, joined, named as recipients, and deleted together."""

    async def script(middle: Middle) -> None:
        alice = middle.alice
        friends = await made(middle, PutGroup(alice, Group(name="friends")))
        family = await made(middle, PutGroup(alice, Group(name="family", description="mine")))
        ada = await made(middle, PutContacts(account=alice, contacts=(Contact(number=NUMBER, group_ids=(friends,)),)))
        bob = await made(middle, PutContacts(account=alice, contacts=(Contact(email="bob@example.com"),)))
        assert await ask(middle, SetMembership(alice, family, ada, True)) == Done()
        assert await ask(middle, SetMembership(alice, family, bob, True)) == Done()
        assert await ask(middle, SetMembership(alice, friends, ada, False)) == Done()
        groups = await ask(middle, ListGroups(account=alice))
        assert groups == Groups(
            items=(
                Group(id=friends, name="friends"),
                Group(id=family, name="family", description="mine", contacts_count=2),
            ),
            total=2,
        )
        contact = Contact(id=ada, number=NUMBER, group_ids=(family,))
        assert await ask(middle, FetchContact(alice, ada)) == contact
        assert await ask(middle, ListContacts(account=alice, count_max=1)) == Contacts(items=(contact,), total=2)
        members = await ask(middle, FetchMembers(alice, ("family",)))
        assert members == await ask(middle, ListContacts(account=alice, group_id=family))
        assert await ask(middle, FetchMembers(alice, ("nobody",))) == NOT_FOUND
        assert await ask(middle, DeleteGroup(alice, family, deletes_contacts=True)) == Done()
        assert await ask(middle, ListContacts(account=alice)) == Contacts(items=(), total=0)
        assert await ask(middle, ListContacts(account=alice, group_id=family)) == NOT_FOUND

    play(tmp_path, script, WORLD)


def test_what_is_another_accounts_is_not_there(tmp_path: Path) -> None:
    """Whatever bob asks by alice's ids, or anybody by numbers that are no ids, is not found, and changes nothing."""

    async def script(middle: Middle) -> None:
        alice, bob = middle.alice, middle.account("bob")
        group_id = await made(middle, PutGroup(alice, Group(name="friends")))
        contact_id = await made(middle, PutContacts(account=alice, contacts=(Contact(number=NUMBER),)))
        before = [middle.rows(table) for table in (schema.contact, schema.contact_group, schema.membership)]
        for account, group, contact in [(bob, group_id, contact_id), (alice, 1 << 64, 1 << 64), (alice, -1, -1)]:
            for call in (
                FetchContact(account, contact),
                ListContacts(account=account, group_id=group),
                PutGroup(account, Group(id=group, name="mine")),
                DeleteGroup(account, group),
                SetMembership(account, group, contact, True),
                PutContacts(account=account, contacts=(Contact(number=NUMBER, group_ids=(group,)),)),
                FetchMembers(account, (str(group),)),
            ):
                assert await ask(middle, call) == NOT_FOUND, call
        assert [middle.rows(table) for table in (schema.contact, schema.contact_group, schema.membership)] == before

    play(tmp_path, script, WORLD)


def test_more_members_than_a_submission_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contacts of groups are as many as a submission may have recipients; beyond that they are too many."""
    monkeypatch.setattr(phonebook, "RECIPIENTS_MAX", 2)

    async def script(middle: Middle) -> None:
        group_id = await made(middle, PutGroup(middle.alice, Group(name="friends")))
        contacts = [Contact(number=str(447_700_000_000 + n), group_ids=(group_id,)) for n in range(3)]
        await put(middle, *contacts[:2])
        members = await ask(middle, FetchMembers(middle.alice, ("friends",)))
        assert isinstance(members, Contacts)
        assert members.total == 2
        await put(middle, contacts[2])
        assert await ask(middle, FetchMembers(middle.alice, ("friends",))) == Refused(Refusal.TOO_MANY_RECIPIENTS)

    play(tmp_path, script, WORLD)


# The page asked for; where it begins and how many it may hold.
PAGES = [(0, 10, (0, 10)), (-5, -5, (0, 0)), (1 << 70, 1 << 70, (1_000_000, 1_000))]


@pytest.mark.parametrize("offset, count_max, page", PAGES)
def test_a_page_has_limits(offset: int, count_max: int, page: tuple[int, int]) -> None:
    """However a page is asked for, it is one that can be answered."""
    assert phonebook.page_of(offset, count_max) == page
