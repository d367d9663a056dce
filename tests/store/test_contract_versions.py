"""A change of the configuration and its version are one: both are written, or neither; once, and by one of two."""

import pytest
from sqlalchemy import delete

from chappe.store import schema
from chappe.store.configuration import NewPassword
from chappe.store.versions import AccountPut, CarrierPut, Overtaken, Rewrite, RoutePut
from store.givens import NOW_MS, House, lose_the_answer, result, settle

CARRIER = CarrierPut(name="sim", kind="simulated", password_sealed="", settings='{"callback_key":"k"}')
ROUTE = RoutePut(prefix="", service="", carriers=("sim",), price_micros=10_000)
ALICE = AccountPut(name="alice", password_hash="first", token_sealed="", settings="{}")
FIRST = Rewrite(revision=0, now_ms=NOW_MS, author="me", carriers=(CARRIER,), routes=(ROUTE,), accounts=(ALICE,))


def second(revision: int = 1, price_micros: int = 20_000, author: str = "me") -> Rewrite:
    route = RoutePut(prefix="39", service="", carriers=("sim",), price_micros=price_micros)
    return Rewrite(revision=revision, now_ms=NOW_MS + 1, author=author, remark="why", routes=(ROUTE, route))


def test_a_change_and_its_version_are_written_together(house: House) -> None:
    """The version has the number of the revision, and tells what was in force; the one before it still does."""
    store = house.store
    assert settle(store, store.commit(store.versions.rewrite, FIRST)) == [1]
    assert settle(store, store.commit(store.versions.rewrite, second())) == [2]
    page = store.ask(lambda transaction: store.versions.page(transaction, 9, 9))
    assert [(one.revision, one.author, one.remark) for one in page] == [(2, "me", "why"), (1, "me", "")]
    assert set(store.ask(lambda transaction: store.versions.standing(transaction, 1)).routes) == {""}
    assert set(store.ask(lambda transaction: store.versions.standing(transaction, 2)).routes) == {"", "39"}
    assert store.ask(lambda transaction: store.versions.in_force(transaction, NOW_MS)) == 1
    assert store.ask(lambda transaction: store.versions.in_force(transaction, NOW_MS - 1)) == 0


def test_of_two_planned_on_one_revision_one_is_written(house: House) -> None:
    """The other is told, in the same round too, and leaves no version; others of the round are written."""
    store = house.store
    settle(store, store.commit(store.versions.rewrite, FIRST))
    one = store.commit(store.versions.rewrite, second(author="one"))
    two = store.commit(store.versions.rewrite, second(author="two", price_micros=7))
    assert result(store, one) == 2
    with pytest.raises(Overtaken):
        result(store, two)
    assert [each["author"] for each in house.rows(schema.configuration_version)] == ["me", "one"]


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_change_whose_answer_is_lost_is_made_once(house: House, is_kept: bool) -> None:
    """Whether or not the commit took effect before the connection died, there is one version, and it is told."""
    store = house.store
    settle(store, store.commit(store.versions.rewrite, FIRST))
    lose_the_answer(store, is_kept=is_kept)
    assert settle(store, store.commit(store.versions.rewrite, second())) == [2]
    assert [each["revision"] for each in house.rows(schema.configuration_version)] == [1, 2]


def test_what_was_there_before_versions_is_the_first(house: House) -> None:
    """A gateway that has no version yet gets one of what stands there, before the change that is made."""
    store = house.store
    settle(store, store.commit(store.versions.rewrite, FIRST))
    settle(store, store.commit(store.versions.rewrite, second()))
    with house.database.engine.begin() as connection:
        connection.execute(delete(schema.configuration_version))
    change = second(revision=2, price_micros=30_000)
    assert settle(store, store.commit(store.versions.rewrite, change)) == [3]
    assert [(each["revision"], each["author"]) for each in house.rows(schema.configuration_version)] == [
        (2, "chappe"),
        (3, "me"),
    ]
    before = store.ask(lambda transaction: store.versions.standing(transaction, 2))
    assert (before.routes["39"].price_micros, set(before.accounts)) == (20_000, {"alice"})


def test_a_password_that_an_account_chose_is_known_as_its_own(house: House) -> None:
    """Until a version sets another one."""
    store = house.store
    settle(store, store.commit(store.versions.rewrite, FIRST))
    [alice] = store.ask(store.configuration.load).accounts
    own = NewPassword(account_id=alice.id, password_hash="own", token_sealed="")
    settle(store, store.commit(store.configuration.change_password, own))
    assert settle(store, store.commit(store.versions.rewrite, second(revision=2))) == [3]
    standing = store.ask(lambda transaction: store.versions.standing(transaction, 3))
    assert (standing.accounts["alice"].password_hash, standing.own_passwords) == ("own", {"alice"})
    put = AccountPut(name="alice", password_hash="given", token_sealed="", settings="{}")
    given = Rewrite(revision=3, now_ms=NOW_MS + 2, author="me", accounts=(put,))
    assert settle(store, store.commit(store.versions.rewrite, given)) == [4]
    standing = store.ask(lambda transaction: store.versions.standing(transaction, 4))
    assert (standing.accounts["alice"].password_hash, standing.own_passwords) == ("given", set())
