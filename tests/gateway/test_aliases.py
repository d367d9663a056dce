"""Sender names: asked for by an account, approved by the operator, allowed from then on."""

from pathlib import Path

import pytest

from chappe.core.centre import Accepted, Created, Done, Refusal, Refused
from chappe.core.phonebook import Alias, Aliases, AliasState, DeleteAlias, FetchAlias, ListAliases, PutAlias
from chappe.gateway.aliases import AliasDesk
from chappe.gateway.submission import allowed_originator
from chappe.store import schema
from gateway.middle import Middle, play

NUMBER = "447700900123"
NOT_FOUND = Refused(Refusal.NOT_FOUND)
DETAILS = {"company-name": "Acmé Ltd"}
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "a"
balance = "1.00"
senders = ["ACME"]

[[account]]
name = "bob"
password = "b"
balance = "1.00"
"""


def desk_of(middle: Middle) -> AliasDesk:
    return AliasDesk(middle.store, middle.time, middle.ids)


async def asked(middle: Middle, sender: str, account: str = "alice") -> int:
    created = await middle.result(desk_of(middle).put(PutAlias(middle.account(account), Alias(sender=sender))))
    assert isinstance(created, Created)
    return created.ids[0]


def decide(middle: Middle, alias_id: int, state: AliasState) -> None:
    with middle.database.transaction() as transaction:
        assert middle.store.aliases.decide(transaction, alias_id, state)


# What is asked for; the sender that is kept, or None where it fits on no phone.
SENDERS: list[tuple[str, str | None]] = [
    ("Shop", "Shop"),
    ("+44 7700 900123", "447700900123"),
    ("Twelve chars", None),
    ("", None),
    ("Ω€日本", None),
    ("12", None),
]


@pytest.mark.parametrize("written, kept", SENDERS)
def test_a_sender_must_fit_on_air(tmp_path: Path, written: str, kept: str | None) -> None:
    """A sender is kept as it goes on air; one that fits on no phone is refused and leaves nothing."""

    async def script(middle: Middle) -> None:
        outcome = await middle.result(desk_of(middle).put(PutAlias(middle.alice, Alias(sender=written))))
        rows = middle.rows(schema.alias)
        assert [row["sender"] for row in rows] == ([kept] if kept else [])
        assert outcome == (Created((rows[0]["id"],)) if kept else Refused(Refusal.BAD_ORIGINATOR))

    play(tmp_path, script, WORLD)


def test_nobody_approves_his_own_alias(tmp_path: Path) -> None:
    """Whatever state an account writes, its alias is unconfirmed; what vouches for it is kept."""

    async def script(middle: Middle) -> None:
        wish = Alias(sender="Shop", details=DETAILS, state=AliasState.CONFIRMED)
        created = await middle.result(desk_of(middle).put(PutAlias(middle.alice, wish)))
        assert isinstance(created, Created)
        [alias_id] = created.ids
        found = await middle.result(desk_of(middle).alias(FetchAlias(middle.alice, alias_id)))
        assert found == Alias(id=alias_id, sender="Shop", details=DETAILS, state=AliasState.UNCONFIRMED)

    play(tmp_path, script, WORLD)


def test_too_much_vouching_is_refused(tmp_path: Path) -> None:
    """Details have a limit in count and in length."""

    async def script(middle: Middle) -> None:
        for details in [{"company-name": "x" * 257}, {f"d{n}": "x" for n in range(41)}]:
            wish = PutAlias(middle.alice, Alias(sender="Shop", details=details))
            outcome = await middle.result(desk_of(middle).put(wish))
            assert isinstance(outcome, Refused)
            assert outcome.reason is Refusal.BAD_REQUEST

    play(tmp_path, script, WORLD)


def test_an_approved_alias_may_be_used(tmp_path: Path) -> None:
    """A running gateway takes a sender once its alias is approved, and no more once it is blocked or deleted."""

    async def script(middle: Middle) -> None:
        desk = desk_of(middle)

        async def is_taken(sender: str) -> bool:
            await middle.open()
            return isinstance(await middle.submit(NUMBER, originator=sender), Accepted)

        ids = {sender: await asked(middle, sender) for sender in ("Shop", "Club")}
        assert [await is_taken(sender) for sender in ("ACME", "Shop", "Club")] == [True, False, False]
        for alias_id in ids.values():
            decide(middle, alias_id, AliasState.CONFIRMED)
        assert [await is_taken(sender) for sender in ("ACME", "Shop", "Club")] == [True, True, True]
        decide(middle, ids["Shop"], AliasState.BLOCKED)
        assert await middle.result(desk.delete(DeleteAlias(middle.alice, ids["Club"]))) == Done()
        assert [await is_taken(sender) for sender in ("ACME", "Shop", "Club")] == [True, False, False]

    play(tmp_path, script, WORLD)


def test_who_may_use_any_sender_goes_on_to(tmp_path: Path) -> None:
    """An approved alias takes nothing from an account without senders; the first sender stays the default."""

    async def script(middle: Middle) -> None:
        decide(middle, await asked(middle, "Shop", "bob"), AliasState.CONFIRMED)
        decide(middle, await asked(middle, "Shop"), AliasState.CONFIRMED)
        await middle.open()
        assert [allowed_originator(middle.account("bob"), sender, "") for sender in ("Shop", "Club")] == [
            "Shop",
            "Club",
        ]
        assert middle.alice.senders == ("ACME", "Shop")

    play(tmp_path, script, WORLD)


def test_an_alias_is_there_for_its_account_only(tmp_path: Path) -> None:
    """Another account's alias, one that nobody has and a number that is no id are not there."""

    async def script(middle: Middle) -> None:
        desk, bob = desk_of(middle), middle.account("bob")
        alias_id = await asked(middle, "Shop")
        for account, wrong_id in [(bob, alias_id), (middle.alice, alias_id + 1), (middle.alice, 1 << 64)]:
            assert await middle.result(desk.alias(FetchAlias(account, wrong_id))) == NOT_FOUND
            assert await middle.result(desk.delete(DeleteAlias(account, wrong_id))) == NOT_FOUND
        assert await middle.result(desk.aliases(ListAliases(account=bob))) == Aliases(items=(), total=0)
        listed = await middle.result(desk.aliases(ListAliases(account=middle.alice)))
        assert [one.sender for one in listed.items] == ["Shop"]

    play(tmp_path, script, WORLD)


def test_lists_page_and_hide(tmp_path: Path) -> None:
    """A list shows the page asked for, and with `hides_unapproved` what is approved."""

    async def script(middle: Middle) -> None:
        ids = [await asked(middle, f"S{n}") for n in range(3)]
        decide(middle, ids[2], AliasState.PRECONFIRMED)

        async def listed(offset: int, hides_unapproved: bool) -> tuple[list[str], int]:
            call = ListAliases(account=middle.alice, hides_unapproved=hides_unapproved, offset=offset, count_max=2)
            found = await middle.result(desk_of(middle).aliases(call))
            return [one.sender for one in found.items], found.total

        assert await listed(0, False) == (["S0", "S1"], 3)
        assert await listed(2, False) == (["S2"], 3)
        assert await listed(0, True) == (["S2"], 1)

    play(tmp_path, script, WORLD)
