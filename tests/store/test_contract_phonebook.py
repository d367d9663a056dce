"""Contacts and groups: added whole or not at all, counted, and only there for the account that has them."""

import itertools
from typing import Any

import pytest
from sqlalchemy import insert

from chappe.core.centre import Refusal
from chappe.core.phonebook import Contact, Contacts, Group
from chappe.store import phonebook, schema
from chappe.store.phonebook import Change, Changed, ContactsDraft, GroupDraft, GroupEnd, MembershipChange
from store.givens import ACCOUNT, House, lose_the_answer, result, settle

OTHER = 8
ADA = Contact(id=1, number="447700900001", email="ada@example.com", name="Ada", surname="Lovelace")
BOB = Contact(id=2, number="447700900002", name="Bob")
EVE = Contact(id=3, email="eve@example.com", name="Eve")


def change(house: House, change: Change) -> Changed:
    return result(house.store, house.store.commit(house.store.phonebook.change, change))


def put(house: House, *contacts: Contact, account_id: int = ACCOUNT, **how: bool) -> Changed:
    return change(house, ContactsDraft(account_id=account_id, contacts=contacts, **how))


def group(house: House, group_id: int, name: str = "friends", account_id: int = ACCOUNT) -> int:
    assert change(house, GroupDraft(account_id=account_id, id=group_id, is_new=True, name=name)) == (group_id,)
    return group_id


def renamed(contact: Contact, **changes: Any) -> Contact:
    return Contact(**{name: getattr(contact, name) for name in contact.__struct_fields__} | changes)


def listed(house: House, account_id: int = ACCOUNT, group_id: int = 0) -> Contacts:
    book = house.store.phonebook
    found = house.store.ask(lambda transaction: book.contacts(transaction, account_id, group_id, 0, 100))
    assert found is not None
    return found


def groups(house: House, account_id: int = ACCOUNT) -> list[tuple[int, str, int]]:
    found = house.store.ask(lambda transaction: house.store.phonebook.groups(transaction, account_id, 0, 100))
    assert found.total == len(found.items)
    return [(one.id, one.name, one.contacts_count) for one in found.items]


def test_contacts_are_kept_as_they_were_given(house: House) -> None:
    """A contact comes back with every field and its groups, alone and in the list."""
    group(house, 10)
    ada = renamed(ADA, details={"city": "London", "custom1": "ünïcode"}, group_ids=(10,))
    assert put(house, ada, BOB) == (1, 2)
    assert listed(house) == Contacts(items=(ada, BOB), total=2)
    assert house.store.ask(lambda transaction: house.store.phonebook.contact(transaction, ACCOUNT, 1)) == ada


# What is put (under fresh ids 21, 22), how; which ids are new; who is there then: id, number, e-mail address, name.
KNOWN: list[tuple[str, list[Contact], dict[str, bool], tuple[int, ...], list[tuple[int, str, str, str]]]] = [
    (
        "its number is known: left alone",
        [Contact(id=21, number=ADA.number, name="New")],
        {},
        (),
        [(1, ADA.number, ADA.email, "Ada")],
    ),
    (
        "its e-mail address is known: left alone",
        [Contact(id=21, number="447700900009", email=ADA.email, name="New")],
        {},
        (),
        [(1, ADA.number, ADA.email, "Ada")],
    ),
    (
        "its number is known: changed, but not what was left empty",
        [Contact(id=21, number=ADA.number, name="New")],
        {"updates": True},
        (),
        [(1, ADA.number, ADA.email, "New")],
    ),
    (
        "its e-mail address is known: it gets another number",
        [Contact(id=21, number="447700900009", email=ADA.email)],
        {"updates": True},
        (),
        [(1, "447700900009", ADA.email, "Ada")],
    ),
    (
        "neither is known",
        [Contact(id=21, number="447700900009", email="new@example.com", name="New")],
        {"updates": True},
        (21,),
        [(1, ADA.number, ADA.email, "Ada"), (21, "447700900009", "new@example.com", "New")],
    ),
    (
        "no address is not a known address",
        [BOB, Contact(id=22, number="447700900009", name="New")],
        {},
        (2, 22),
        [(1, ADA.number, ADA.email, "Ada"), (2, BOB.number, "", "Bob"), (22, "447700900009", "", "New")],
    ),
    (
        "twice in one call: known the second time",
        [Contact(id=21, number="447700900009", name="One"), Contact(id=22, number="447700900009", name="Two")],
        {},
        (21,),
        [(1, ADA.number, ADA.email, "Ada"), (21, "447700900009", "", "One")],
    ),
    (
        "twice in one call: changed the second time",
        [Contact(id=21, number="447700900009", name="One"), Contact(id=22, number="447700900009", name="Two")],
        {"updates": True},
        (21,),
        [(1, ADA.number, ADA.email, "Ada"), (21, "447700900009", "", "Two")],
    ),
]


@pytest.mark.parametrize("name, contacts, how, new_ids, there", KNOWN, ids=[row[0] for row in KNOWN])
def test_who_is_known_is_not_added_twice(
    house: House,
    name: str,
    contacts: list[Contact],
    how: dict[str, bool],
    new_ids: tuple[int, ...],
    there: list[tuple[int, str, str, str]],
) -> None:
    """A contact is known by number or e-mail address, and is then left alone or changed."""
    put(house, ADA)
    assert put(house, *contacts, **how) == new_ids
    found = listed(house)
    assert [(one.id, one.number, one.email, one.name) for one in found.items] == there
    assert found.total == len(there)


# Whether a changed contact stays in its groups; in which it is then.
STAYING = [(False, (11,)), (True, (10, 11))]


@pytest.mark.parametrize("keeps_groups, group_ids", STAYING)
def test_a_changed_contact_moves_between_groups(house: House, keeps_groups: bool, group_ids: tuple[int, ...]) -> None:
    """A changed contact is in the groups it is given now, and in its old ones only where it keeps them."""
    group(house, 10), group(house, 11)
    put(house, renamed(ADA, group_ids=(10,)), renamed(BOB, group_ids=(10,)))
    put(house, renamed(ADA, group_ids=(11,)), updates=True, keeps_groups=keeps_groups)
    assert [one.group_ids for one in listed(house).items] == [group_ids, (10,)]


def test_one_group_that_is_not_there_keeps_all_contacts_out(house: House) -> None:
    """Contacts are added all or none; another account's group is not there."""
    group(house, 10), group(house, 11, account_id=OTHER)
    assert put(house, renamed(ADA, group_ids=(10,)), renamed(BOB, group_ids=(11,))) is Refusal.NOT_FOUND
    assert listed(house) == Contacts(items=(), total=0)
    assert groups(house) == [(10, "friends", 0)]


def test_the_same_number_may_be_known_to_two_accounts(house: House) -> None:
    """Accounts do not see each other's contacts, neither to list nor to fetch nor as already known."""
    assert put(house, ADA) == (1,)
    assert put(house, renamed(ADA, id=21), account_id=OTHER) == (21,)
    assert [one.id for one in listed(house).items] == [1]
    assert house.store.ask(lambda transaction: house.store.phonebook.contact(transaction, OTHER, 1)) is None


def test_limits_are_held_over_calls(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of an account nothing is added, by one call or by many; what is deleted makes room."""
    monkeypatch.setattr(phonebook, "CONTACTS_MAX", 2)
    monkeypatch.setattr(phonebook, "GROUPS_MAX", 1)
    group(house, 10)
    assert change(house, GroupDraft(account_id=ACCOUNT, id=11, is_new=True, name="b")) is Refusal.FORBIDDEN
    assert put(house, ADA, BOB, EVE) is Refusal.FORBIDDEN
    assert listed(house).total == 0
    assert put(house, renamed(ADA, group_ids=(10,)), BOB) == (1, 2)
    assert put(house, EVE) is Refusal.FORBIDDEN
    assert put(house, renamed(ADA, id=22), updates=True, keeps_groups=True) == ()
    assert change(house, GroupEnd(account_id=ACCOUNT, group_id=10, deletes_contacts=True)) == ()
    assert put(house, EVE) == (3,)
    assert group(house, 11) == 11


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(house: House, is_kept: bool) -> None:
    """Whether the commit happened or not, its repeat adds each contact and group once and answers the same."""
    group(house, 10)
    lose_the_answer(house.store, is_kept=is_kept)
    commit = house.store.commit
    answers = settle(
        house.store,
        commit(house.store.phonebook.change, ContactsDraft(account_id=ACCOUNT, contacts=(ADA, BOB))),
        commit(house.store.phonebook.change, GroupDraft(account_id=ACCOUNT, id=11, is_new=True, name="b")),
        commit(house.store.phonebook.change, GroupEnd(account_id=ACCOUNT, group_id=10)),
    )
    assert answers == [(1, 2), (11,), ()]
    assert listed(house) == Contacts(items=(ADA, BOB), total=2)
    assert groups(house) == [(11, "b", 0)]


def test_two_nodes_do_not_add_the_same_contact_twice(house: House) -> None:
    """What another node has just added is known."""
    other = house.new_store()
    assert put(house, ADA) == (1,)
    draft = ContactsDraft(account_id=ACCOUNT, contacts=(renamed(ADA, id=21), BOB))
    assert result(other, other.commit(other.phonebook.change, draft)) == (2,)
    assert listed(house).total == 2


def test_changes_of_one_round_see_each_other(house: House) -> None:
    """Calls that share a commit are carried out in their order, each account's for itself."""
    verb = house.store.phonebook.change
    answers = settle(
        house.store,
        house.store.commit(verb, GroupDraft(account_id=ACCOUNT, id=10, is_new=True, name="a")),
        house.store.commit(verb, ContactsDraft(account_id=OTHER, contacts=(renamed(ADA, id=20),))),
        house.store.commit(verb, ContactsDraft(account_id=ACCOUNT, contacts=(renamed(ADA, group_ids=(10,)),))),
        house.store.commit(verb, ContactsDraft(account_id=ACCOUNT, contacts=(renamed(ADA, id=21),))),
        house.store.commit(verb, ContactsDraft(account_id=OTHER, contacts=(renamed(ADA, id=22, group_ids=(10,)),))),
    )
    assert answers == [(10,), (20,), (1,), (), Refusal.NOT_FOUND]
    assert [
        (row["account_id"], row["contacts_count"], row["groups_count"]) for row in house.rows(schema.phonebook)
    ] == [
        (ACCOUNT, 1, 1),
        (OTHER, 1, 0),
    ]


# Whether the contacts go with their group; which contacts stay, and how many the other group then has.
ENDINGS = [(False, [1, 2, 3], 2), (True, [3], 1)]


@pytest.mark.parametrize("deletes_contacts, staying, left", ENDINGS)
def test_a_group_ends_with_or_without_its_contacts(
    house: House, deletes_contacts: bool, staying: list[int], left: int
) -> None:
    """A deleted group leaves no membership behind; its contacts stay, or leave every group with it."""
    group(house, 10), group(house, 11, "others")
    put(house, renamed(ADA, group_ids=(10, 11)), renamed(BOB, group_ids=(10,)), renamed(EVE, group_ids=(11,)))
    assert change(house, GroupEnd(account_id=ACCOUNT, group_id=10, deletes_contacts=deletes_contacts)) == ()
    assert groups(house) == [(11, "others", left)]
    found = listed(house)
    assert ([one.id for one in found.items], found.total) == (staying, len(staying))
    assert {row["group_id"] for row in house.rows(schema.membership)} == {11}


# Who changes what of account 7 (group 10, contact 1); whether it is there for them.
FOREIGN: list[tuple[str, Change, bool]] = [
    ("rename", GroupDraft(account_id=ACCOUNT, id=10, is_new=False, name="new"), True),
    ("rename another's", GroupDraft(account_id=OTHER, id=10, is_new=False, name="new"), False),
    ("rename none", GroupDraft(account_id=ACCOUNT, id=99, is_new=False, name="new"), False),
    ("end", GroupEnd(account_id=ACCOUNT, group_id=10), True),
    ("end another's", GroupEnd(account_id=OTHER, group_id=10, deletes_contacts=True), False),
    ("join", MembershipChange(account_id=ACCOUNT, group_id=10, contact_id=1, is_member=True), True),
    ("join another's", MembershipChange(account_id=OTHER, group_id=10, contact_id=1, is_member=True), False),
    ("join none", MembershipChange(account_id=ACCOUNT, group_id=99, contact_id=1, is_member=True), False),
    ("nobody joins", MembershipChange(account_id=ACCOUNT, group_id=10, contact_id=99, is_member=True), False),
    ("another's joins", MembershipChange(account_id=ACCOUNT, group_id=10, contact_id=20, is_member=True), False),
]


@pytest.mark.parametrize("name, wish, is_there", FOREIGN, ids=[row[0] for row in FOREIGN])
def test_what_is_another_accounts_is_not_there(house: House, name: str, wish: Change, is_there: bool) -> None:
    """An id of another account and one that nobody has are refused alike, and change nothing."""
    group(house, 10)
    put(house, ADA)
    put(house, renamed(BOB, id=20), account_id=OTHER)
    before = groups(house), house.rows(schema.contact)
    answer = change(house, wish)
    assert (answer is not Refusal.NOT_FOUND) is is_there
    assert is_there or (groups(house), house.rows(schema.contact)) == before


def test_joining_and_leaving_may_be_repeated(house: House) -> None:
    """Who is in a group already joins it again without effect, and who is out of it leaves it likewise."""
    group(house, 10)
    put(house, ADA)
    for is_member, count in [(True, 1), (True, 1), (False, 0), (False, 0)]:
        wish = MembershipChange(account_id=ACCOUNT, group_id=10, contact_id=1, is_member=is_member)
        assert change(house, wish) == ()
        assert groups(house) == [(10, "friends", count)]


def test_lists_page_by_id_with_totals(house: House) -> None:
    """A page holds what it was asked for, in the order of ids, and tells how many there are in all."""
    group(house, 10)
    people = [Contact(id=n, number=f"44770090{n:04}", group_ids=(10,) * (n % 2)) for n in range(1, 8)]
    put(house, *people)
    for n in range(11, 14):
        group(house, n, f"g{n}")
    book = house.store.phonebook

    def page(group_id: int, offset: int) -> tuple[list[int], int]:
        found = house.store.ask(lambda transaction: book.contacts(transaction, ACCOUNT, group_id, offset, 3))
        assert found is not None
        return [one.id for one in found.items], found.total

    assert [page(0, offset) for offset in (0, 3, 6, 9)] == [([1, 2, 3], 7), ([4, 5, 6], 7), ([7], 7), ([], 7)]
    assert [page(10, offset) for offset in (0, 3)] == [([1, 3, 5], 4), ([7], 4)]
    found = house.store.ask(lambda transaction: book.groups(transaction, ACCOUNT, 1, 2))
    assert (found.total, found.items[0]) == (4, Group(id=11, name="g11"))
    assert [one.id for one in found.items] == [11, 12]


# Which groups are asked for; the contacts that are in them (None = one is not there).
MEMBERS: list[tuple[str, tuple[str, ...], list[int] | None]] = [
    ("by name", ("friends",), [1, 2]),
    ("by id", ("10",), [1, 2]),
    ("several, each contact once", ("friends", "11"), [1, 2, 3]),
    ("one that is not there", ("friends", "nobody"), None),
    ("another account's", ("theirs",), None),
    ("another account's by id", ("20",), None),
    ("none at all", (), []),
]


@pytest.mark.parametrize("name, named, members", MEMBERS, ids=[row[0] for row in MEMBERS])
def test_groups_are_named_by_name_or_id(
    house: House, name: str, named: tuple[str, ...], members: list[int] | None
) -> None:
    """The contacts of several groups come together, each once, and only where every group is there."""
    group(house, 10), group(house, 11, "family"), group(house, 20, "theirs", OTHER)
    put(house, renamed(ADA, group_ids=(10, 11)), renamed(BOB, group_ids=(10,)), renamed(EVE, group_ids=(11,)))
    found = house.store.ask(lambda transaction: house.store.phonebook.members(transaction, ACCOUNT, named, 100))
    assert (found and [one.id for one in found.items]) == members or (found, members) == (None, None)


def test_ten_thousand_contacts_are_one_commit(house: House) -> None:
    """The largest call takes the statements of the smallest, and the second time finds everybody known."""
    numbers = itertools.count(447_700_000_000)
    many = tuple(Contact(id=n, number=str(next(numbers)), name="x" * 40) for n in range(1, 10_001))
    answer = put(house, *many)
    assert answer == tuple(range(1, 10_001))
    assert put(house, *many) == answer  # the ids of the first time: as after a lost answer
    again = [renamed(one, id=one.id + 20_000, name="y") for one in many]
    assert put(house, *again) == ()
    assert put(house, *again, updates=True) == ()
    assert (listed(house).total, listed(house).items[99].name) == (10_000, "y")


def test_a_count_that_was_never_written_is_none(house: House) -> None:
    """An account without a phone book has an empty one."""
    with house.database.engine.begin() as connection:
        connection.execute(insert(schema.phonebook).values(account_id=OTHER))
    for account_id in (ACCOUNT, OTHER):
        assert listed(house, account_id) == Contacts(items=(), total=0)
        assert groups(house, account_id) == []
