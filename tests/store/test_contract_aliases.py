"""Sender names: asked for once, approved by the operator, and followed by every running server."""

import pytest
from sqlalchemy import insert

from chappe.core.centre import Refusal
from chappe.core.phonebook import APPROVED, Alias, Aliases, AliasState
from chappe.store import aliases, schema
from chappe.store.aliases import AliasDraft, AliasEnd, AskedAlias
from store.givens import ACCOUNT, NOW_MS, House, lose_the_answer, result, settle

OTHER = 8
ACME = Alias(id=1, sender="ACME", details={"company-name": "Acmé Ltd"})


def put(house: House, alias: Alias = ACME, account_id: int = ACCOUNT) -> int | Refusal:
    draft = AliasDraft(account_id=account_id, alias=alias, now_ms=NOW_MS)
    return result(house.store, house.store.commit(house.store.aliases.put, draft))


def end(house: House, alias_id: int, account_id: int = ACCOUNT) -> bool:
    return result(house.store, house.store.commit(house.store.aliases.end, AliasEnd(account_id, alias_id)))


def decide(house: House, alias_id: int, state: AliasState) -> AskedAlias | None:
    with house.database.transaction() as transaction:
        return house.store.aliases.decide(transaction, alias_id, state)


def listed(house: House, account_id: int = ACCOUNT, *, hides_unapproved: bool = False, offset: int = 0) -> Aliases:
    return house.store.ask(
        lambda transaction: house.store.aliases.page(
            transaction, account_id, hides_unapproved=hides_unapproved, offset=offset, count_max=2
        )
    )


def revision(house: House) -> int:
    return house.store.ask(house.store.configuration.revision)


def name_accounts(house: House) -> None:
    with house.database.engine.begin() as connection:
        for account_id, name in [(ACCOUNT, "alice"), (OTHER, "bob")]:
            connection.execute(insert(schema.account).values(id=account_id, name=name, password_hash="", settings="{}"))


def test_an_alias_is_kept_as_it_was_asked_for(house: House) -> None:
    """What vouches for a sender name comes back with it, and it is unconfirmed."""
    assert put(house) == 1
    assert house.store.ask(lambda transaction: house.store.aliases.find(transaction, ACCOUNT, 1)) == ACME
    assert listed(house) == Aliases(items=(ACME,), total=1)


def test_an_account_has_a_sender_once(house: House) -> None:
    """Who asks again gets the one there is, in whatever state; another account gets its own."""
    put(house)
    name_accounts(house)
    decide(house, 1, AliasState.BLOCKED)
    assert put(house, Alias(id=2, sender="ACME")) == 1
    assert put(house, Alias(id=3, sender="ACME"), OTHER) == 3
    [kept] = listed(house).items
    assert (kept.state, kept.details) == (AliasState.BLOCKED, ACME.details)


def test_too_many_aliases_are_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account has so many aliases and no more, each account for itself; one it has may still be asked for."""
    monkeypatch.setattr(aliases, "ALIASES_MAX", 1)
    assert put(house) == 1
    assert put(house, Alias(id=2, sender="OTHER")) is Refusal.FORBIDDEN
    assert put(house, Alias(id=2, sender="ACME")) == 1
    assert put(house, Alias(id=2, sender="OTHER"), OTHER) == 2


def test_what_is_another_accounts_is_not_there(house: House) -> None:
    """An alias is found, listed and deleted by its account only."""
    put(house)
    assert house.store.ask(lambda transaction: house.store.aliases.find(transaction, OTHER, 1)) is None
    assert listed(house, OTHER) == Aliases(items=(), total=0)
    assert end(house, 1, OTHER) is False
    assert listed(house).total == 1
    assert end(house, 1) is True
    assert end(house, 1) is False
    assert listed(house).total == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(house: House, is_kept: bool) -> None:
    """Whether the commit happened or not, its repeat keeps one alias, deletes one, and answers the same."""
    put(house, Alias(id=9, sender="OLD"))
    lose_the_answer(house.store, is_kept=is_kept)
    answers = settle(
        house.store,
        house.store.commit(house.store.aliases.put, AliasDraft(account_id=ACCOUNT, alias=ACME, now_ms=NOW_MS)),
    )
    assert answers == [1]
    lose_the_answer(house.store, is_kept=is_kept)
    assert end(house, 9) is True
    assert listed(house) == Aliases(items=(ACME,), total=1)


@pytest.mark.parametrize("state", AliasState)
def test_the_operators_decision_is_followed(house: House, state: AliasState) -> None:
    """A decision raises the revision in its commit; the approved senders are the configuration's from then on."""
    name_accounts(house)
    put(house)
    before = revision(house)
    assert decide(house, 1, state) == AskedAlias(
        account="alice", alias=Alias(id=1, sender="ACME", details=ACME.details, state=state), made_ms=NOW_MS
    )
    assert revision(house) > before
    stored = house.store.ask(house.store.configuration.load)
    assert stored.approved_senders == (((ACCOUNT, "ACME"),) if state in APPROVED else ())


def test_an_alias_that_is_deleted_is_taken_back(house: House) -> None:
    """With the alias its sender leaves the configuration, and running servers notice."""
    name_accounts(house)
    put(house)
    decide(house, 1, AliasState.CONFIRMED)
    before = revision(house)
    end(house, 1)
    assert revision(house) > before
    assert house.store.ask(house.store.configuration.load).approved_senders == ()


def test_nobody_is_decided_about(house: House) -> None:
    """An id that no alias has is None for the operator."""
    assert decide(house, 99, AliasState.CONFIRMED) is None


def test_lists_page_by_id_and_may_hide_what_is_not_approved(house: House) -> None:
    """A page holds what it was asked for with the total of its kind; each account sees its own."""
    name_accounts(house)
    for n in range(1, 6):
        put(house, Alias(id=n, sender=f"S{n}"))
    put(house, Alias(id=6, sender="THEIRS"), OTHER)
    for n in (2, 4, 5):
        decide(house, n, AliasState.CONFIRMED)

    def seen(offset: int, *, hides_unapproved: bool = False) -> tuple[list[str], int]:
        page = listed(house, offset=offset, hides_unapproved=hides_unapproved)
        return [one.sender for one in page.items], page.total

    assert [seen(0), seen(2), seen(4)] == [(["S1", "S2"], 5), (["S3", "S4"], 5), (["S5"], 5)]
    assert [seen(0, hides_unapproved=True), seen(2, hides_unapproved=True)] == [(["S2", "S4"], 3), (["S5"], 3)]


def test_the_operator_sees_all_or_those_of_one(house: House) -> None:
    """The operator's list is by account, and may be of one account; nobody's is empty."""
    name_accounts(house)
    put(house, Alias(id=6, sender="THEIRS"), OTHER)
    put(house)

    def asked(name: str) -> list[tuple[str, str]]:
        found = house.store.ask(lambda transaction: house.store.aliases.asked(transaction, name))
        return [(one.account, one.alias.sender) for one in found]

    assert asked("") == [("alice", "ACME"), ("bob", "THEIRS")]
    assert asked("bob") == [("bob", "THEIRS")]
    assert asked("nobody") == []
