"""Users, the links by which they become users, and their sessions, on both databases."""

from typing import Any

import pytest

from chappe.core.people import Role
from chappe.store import schema
from chappe.store.people import (
    FIRST_AUTHOR,
    INVITATIONS_MAX,
    SESSIONS_MAX,
    Invitation,
    Joining,
    PanelSession,
    PeopleSweep,
    Refusal,
    SessionEnd,
    SessionUse,
    UserChange,
)
from store.givens import NOW_MS, House, lose_the_answer, result, settle

HOUR_MS = 3_600_000


def invitation(digest: str, **changes: Any) -> Invitation:
    plain = {
        "digest": digest,
        "role": Role.OPERATOR,
        "account_id": 0,
        "name": "",
        "author": "olga",
        "made_ms": NOW_MS,
        "expires_ms": NOW_MS + HOUR_MS,
    }
    return Invitation(**{**plain, **changes})


def joining(digest: str, name: str, **changes: Any) -> Joining:
    plain = {"digest": digest, "name": name, "password_hash": f"hash of {name}", "language": "it", "now_ms": NOW_MS}
    return Joining(**{**plain, **changes})


def session(digest: str, user_id: int = 1, **changes: Any) -> PanelSession:
    plain = {
        "digest": digest,
        "user_id": user_id,
        "account_id": 0,
        "mark": "mark",
        "network": "192.0.2.1",
        "made_ms": NOW_MS,
        "used_ms": NOW_MS,
    }
    return PanelSession(**{**plain, **changes})


def invite(house: House, *invitations: Invitation) -> list[Any]:
    people = house.store.people
    return settle(house.store, *(house.store.commit(people.invite, one) for one in invitations))


def join(house: House, *joinings: Joining) -> list[Any]:
    return settle(house.store, *(house.store.commit(house.store.people.join, one) for one in joinings))


def two_owners(house: House) -> list[int]:
    invite(house, invitation("d", role=Role.OWNER), invitation("e", role=Role.OWNER))
    return join(house, joining("d", "olga"), joining("e", "oleg"))


def change(house: House, **changes: Any) -> Any:
    return result(house.store, house.store.commit(house.store.people.change, UserChange(**changes)))


def open_sessions(house: House, *sessions: PanelSession) -> None:
    settle(house.store, *(house.store.commit(house.store.people.open, one) for one in sessions))


def digests(house: House) -> set[str]:
    return {row["digest"] for row in house.rows(schema.panel_session)}


def test_a_link_makes_one_user(house: House) -> None:
    """An invitation makes a user of its role, is used up, and tells everybody else that it is gone."""
    invite(house, invitation("d"))
    made, late = join(house, joining("d", "carla"), joining("d", "dario"))
    assert late is Refusal.GONE
    [user] = house.store.ask(house.store.people.users)
    assert (user.id, user.name, user.role, user.language, user.is_active) == (made, "carla", "operator", "it", True)
    assert house.rows(schema.invitation) == []


def test_a_name_is_one_persons(house: House) -> None:
    """A name that somebody has is refused, and the link stays good for another."""
    invite(house, invitation("d"), invitation("e"))
    [first] = join(house, joining("d", "carla"))
    assert isinstance(first, int)
    assert join(house, joining("e", "carla", password_hash="other")) == [Refusal.NAME_TAKEN]
    assert isinstance(join(house, joining("e", "dario"))[0], int)


@pytest.mark.parametrize("is_kept", [True, False])
def test_joining_happens_once_however_its_commit_ends(house: House, is_kept: bool) -> None:
    """Whoever joins is told so when the commit is repeated, and there is one of them."""
    invite(house, invitation("d"))
    lose_the_answer(house.store, is_kept=is_kept)
    [made] = join(house, joining("d", "carla"))
    assert isinstance(made, int)
    assert len(house.rows(schema.panel_user)) == 1


def test_a_link_runs_out(house: House) -> None:
    """A link is good until its time, and not shown or swept before."""
    invite(house, invitation("d"))
    people = house.store.people
    end_ms = NOW_MS + HOUR_MS
    assert house.store.ask(lambda transaction: people.invitation(transaction, "d", end_ms - 1)) is not None
    assert house.store.ask(lambda transaction: people.invitation(transaction, "d", end_ms)) is None
    assert house.store.ask(lambda transaction: people.invitations(transaction, end_ms)) == []
    assert join(house, joining("d", "carla", now_ms=end_ms)) == [Refusal.GONE]


def test_the_first_owners_links_end_with_the_first_owner(house: House) -> None:
    """Of the links for the first owner one works, even where two are used in the same moment."""
    first = {"role": Role.OWNER, "author": FIRST_AUTHOR}
    invite(house, invitation("d", **first), invitation("e", **first), invitation("f"))
    assert join(house, joining("d", "olga"), joining("e", "eve"))[1] is Refusal.GONE
    invite(house, invitation("g", **first))
    assert join(house, joining("g", "eve")) == [Refusal.GONE]
    assert [row["digest"] for row in house.rows(schema.invitation)] == ["f", "g"]


def test_links_are_bounded(house: House) -> None:
    """Beyond a number of open links no more are made, until some have run out."""
    answers = invite(house, *(invitation(f"{n:03}") for n in range(INVITATIONS_MAX + 1)))
    assert answers == [*[None] * INVITATIONS_MAX, Refusal.TOO_MANY]
    assert invite(house, invitation("z", made_ms=NOW_MS + HOUR_MS, expires_ms=NOW_MS + 2 * HOUR_MS)) == [None]
    assert len(house.rows(schema.invitation)) == 1


def test_the_last_owner_stays(house: House) -> None:
    """Of two owners one may go, in whatever way, and then the other may not."""
    olga, oleg = two_owners(house)
    assert change(house, user_id=olga, is_active=False) is None
    assert change(house, user_id=oleg, is_active=False) is Refusal.LAST_OWNER
    assert change(house, user_id=oleg, role=Role.VIEWER) is Refusal.LAST_OWNER
    assert change(house, user_id=oleg, language="ru", password_hash="new") is None
    assert change(house, user_id=olga + oleg, language="ru") is Refusal.UNKNOWN
    known = house.store.ask(lambda transaction: house.store.people.user(transaction, oleg))
    assert known is not None
    assert (known.user.role, known.user.language, known.password_hash) == (Role.OWNER, "ru", "new")


def test_two_owners_at_two_nodes_do_not_shut_out_each_other(house: House) -> None:
    """Where each of two nodes shuts out one of two owners, one of them is told that it cannot."""
    olga, oleg = two_owners(house)
    other = house.new_store()
    assert change(house, user_id=olga, is_active=False) is None
    wish = UserChange(user_id=oleg, is_active=False)
    assert result(other, other.commit(other.people.change, wish)) is Refusal.LAST_OWNER


def test_a_session_is_found_with_its_user(house: House) -> None:
    """A session is found by its digest, with the user as they are now; an account's has none."""
    invite(house, invitation("d"))
    [carla] = join(house, joining("d", "carla"))
    open_sessions(house, session("s", carla), session("a", 0, account_id=7))
    people = house.store.people
    found = house.store.ask(lambda transaction: people.session(transaction, "s"))
    assert found is not None
    assert found[0] == session("s", carla)
    assert found[1] is not None
    assert found[1].user.name == "carla"
    assert house.store.ask(lambda transaction: people.session(transaction, "a")) == (
        session("a", 0, account_id=7),
        None,
    )
    assert house.store.ask(lambda transaction: people.session(transaction, "nothing")) is None


def test_a_person_has_so_many_sessions(house: House) -> None:
    """Beyond a number of sessions of one person, the one that was used least recently goes; others' stay."""
    open_sessions(house, session("other", 2, used_ms=1))
    open_sessions(house, *(session(f"{n:03}", used_ms=NOW_MS + n) for n in range(SESSIONS_MAX + 2)))
    assert digests(house) == {"other", *(f"{n:03}" for n in range(2, SESSIONS_MAX + 2))}


def test_use_moves_forward_only(house: House) -> None:
    """A session's last use never goes back."""
    open_sessions(house, session("s"))
    for used_ms in (NOW_MS + 5, NOW_MS + 1):
        result(house.store, house.store.commit(house.store.people.use, SessionUse("s", used_ms)))
    assert house.rows(schema.panel_session)[0]["used_ms"] == NOW_MS + 5


def test_sessions_end(house: House) -> None:
    """One session of a person ends, or all but one, which takes the new password's mark; nobody else's does."""
    open_sessions(house, *(session(each) for each in "abc"), session("x", 2), session("y", 0, account_id=1))

    def end(**changes: Any) -> int:
        wish = SessionEnd(**{"user_id": 1, "account_id": 0, **changes})
        return result(house.store, house.store.commit(house.store.people.end, wish))

    assert end(digest="x") == 0
    assert end(digest="a") == 1
    assert end(kept_digest="b", mark="new") == 1
    assert digests(house) == {"b", "x", "y"}
    assert {row["digest"]: row["mark"] for row in house.rows(schema.panel_session)} == {
        "b": "new",
        "x": "mark",
        "y": "mark",
    }
    assert end() == 1


def test_what_has_run_out_is_swept(house: House) -> None:
    """A sweep forgets sessions that were long unused or are too old, and links that have run out."""
    open_sessions(house, session("idle", used_ms=10), session("old", made_ms=10), session("good"))
    invite(house, invitation("d", made_ms=0, expires_ms=20), invitation("e", made_ms=0))
    sweep = PeopleSweep(used_before_ms=11, made_before_ms=11, now_ms=20)
    result(house.store, house.store.commit(house.store.people.sweep, sweep))
    assert digests(house) == {"good"}
    assert [row["digest"] for row in house.rows(schema.invitation)] == ["e"]
