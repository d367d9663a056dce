"""Subaccounts as their parent sees them: made, changed, given credit, and never allowed more than it is itself."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chappe.core.centre import Created, Done, Outcome, Refusal, Refused
from chappe.core.model import Account, Secret, Service
from chappe.core.reselling import (
    FetchSubaccount,
    ListPurchases,
    ListSubaccounts,
    MoveCredit,
    Purchase,
    Purchases,
    PutSubaccount,
    SetSubaccountPassword,
    Subaccount,
    Subaccounts,
    UndoPurchase,
)
from chappe.core.sessions import Authenticate, ChangePassword, OpenAccess, OpenSession, Proof
from chappe.gateway import passwords as passwords_module
from chappe.gateway import reselling as reselling_module
from chappe.gateway.accounts import Accounts
from chappe.gateway.front import Front
from chappe.gateway.gateway_file import GatewayFileError
from chappe.gateway.passwords import PasswordDesk
from chappe.gateway.reselling import ResellingDesk
from chappe.gateway.secrets import Sealer
from chappe.gateway.sessions import SessionDesk
from gateway.middle import PROOVL, WORLD, Middle, play

WORLD_OF_RESELLERS = (
    WORLD.replace(
        'balance = "100.00"',
        'balance = "100.00"\ncountry = "39"\ncurrency = "CHF"\ntimezone = "Europe/Rome"\n'
        'message_types = { GP = "premium" }',
    )
    + """
[[account]]
name = "mallory"
password = "wants it all"
balance = "100.00"
"""
)
PASSWORD = "a good password"
UNIT = 1_000_000
WHO = "192.0.2.1"


class Shop:
    """A gateway with the desks of this test before it, asked as a listener asks."""

    def __init__(self, middle: Middle) -> None:
        self.middle = middle

        async def follow() -> None:
            await middle.directory.refresh(middle.store)

        directory = lambda: middle.directory.current  # noqa: E731
        sessions = SessionDesk(middle.store, directory, middle.sealer, middle.time)
        self.accounts = Accounts(directory, middle.time, sessions)
        self.passwords = PasswordDesk(middle.store, middle.sealer, follow)
        desk = ResellingDesk(
            store=middle.store,
            directory=directory,
            follow=follow,
            passwords=self.passwords,
            clock=middle.time,
            ids=middle.ids,
        )
        self._front = Front(self.accounts.answers, sessions.answers, self.passwords.answers, desk.answers)

    async def ask(self, call: Any) -> Any:
        [outcome] = await self.ask_at_once(call)
        return outcome

    async def ask_at_once(self, *calls: Any) -> list[Any]:
        """Outcomes of calls that are made together; passwords are hashed in a real thread meanwhile."""
        tasks = [asyncio.create_task(self._front.answer(call, PROOVL, WHO)) for call in calls]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            self.middle.store.commit_once()
        return [task.result() for task in tasks]

    @property
    def alice(self) -> Account:
        return self.middle.alice

    async def made(self, name: str = "bob", **more: Any) -> int:
        """The id of a new subaccount of alice."""
        outcome = await self.ask(
            PutSubaccount(account=self.alice, subaccount=Subaccount(name=name, **more), password=Secret(PASSWORD))
        )
        assert isinstance(outcome, Created), outcome
        return outcome.ids[0]

    async def fetched(self, subaccount_id: int) -> Subaccount:
        found: Subaccount = await self.ask(FetchSubaccount(self.alice, subaccount_id))
        return found

    async def moved(self, subaccount_id: int, amount_micros: int, **more: Any) -> Any:
        return await self.ask(
            MoveCredit(account=self.alice, subaccount_id=subaccount_id, amount_micros=amount_micros, **more)
        )

    async def log_in(self, name: str, password: str = PASSWORD) -> Outcome:
        outcome: Outcome = await self.ask(Authenticate(name, Secret(password)))
        return outcome


def promise(folder: Path, script: Callable[[Shop], Coroutine[Any, Any, None]]) -> None:
    async def whole(middle: Middle) -> None:
        shop = Shop(middle)
        try:
            await script(shop)
        finally:
            shop.accounts.close()
            shop.passwords.close()
        assert middle.store.ask(middle.store.figures.audit).findings == ()

    play(folder, whole, WORLD_OF_RESELLERS)


def reason(outcome: Outcome) -> Refusal | None:
    return outcome.reason if isinstance(outcome, Refused) else None


def test_a_subaccount_is_an_account_with_its_parents_ways(tmp_path: Path) -> None:
    """It logs in at once, with its parent's currency, zone, country, senders and message types, and without money."""

    async def script(shop: Shop) -> None:
        made_id = await shop.made(details={"city": "Trieste"})
        bob = await shop.log_in("bob")
        assert isinstance(bob, Account)
        assert (bob.id, bob.parent_id, bob.token) == (made_id, shop.alice.id, Secret(PASSWORD))
        assert (bob.currency, bob.timezone, bob.country) == ("CHF", "Europe/Rome", "39")
        assert (bob.message_types, bob.senders, bob.numbers) == ({"GP": Service.PREMIUM}, ("ACME",), ())
        assert await shop.fetched(made_id) == Subaccount(
            id=made_id, name="bob", made_ms=shop.middle.time.now_ms(), details={"city": "Trieste"}
        )

    promise(tmp_path, script)


@pytest.mark.parametrize("name", ["alice", "mallory", "bob"])
def test_a_name_that_any_account_has_is_forbidden(tmp_path: Path, name: str) -> None:
    """Names are unique over all accounts, for new subaccounts and for renamed ones."""

    async def script(shop: Shop) -> None:
        await shop.made("bob")
        carol = await shop.made("carol")
        for subaccount_id in (0, carol):
            call = PutSubaccount(
                account=shop.alice, subaccount=Subaccount(id=subaccount_id, name=name), password=Secret(PASSWORD)
            )
            assert reason(await shop.ask(call)) is Refusal.FORBIDDEN
        assert (await shop.fetched(carol)).name == "carol"

    promise(tmp_path, script)


@pytest.mark.parametrize(
    "changes, password",
    [
        ({"name": ""}, PASSWORD),
        ({"name": " bob"}, PASSWORD),
        ({"name": "b" * 65}, PASSWORD),
        ({"details": {"city": "x" * 1_001}}, PASSWORD),
        ({"details": {"x" * 65: "city"}}, PASSWORD),
        ({"details": {str(number): "" for number in range(101)}}, PASSWORD),
        ({"details": {"city": "\ud800"}}, PASSWORD),
        ({"details": {"city": "\0"}}, PASSWORD),
        ({}, ""),
        ({}, "7 chars"),
        ({}, "x" * 257),
        ({}, "tab\tulator"),
        ({}, "lone \ud800 half"),
    ],
)
def test_what_cannot_be_kept_is_a_bad_request(tmp_path: Path, changes: dict[str, Any], password: str) -> None:
    """Names, details and passwords beyond their limits are refused, and nothing is made."""

    async def script(shop: Shop) -> None:
        subaccount = msgspec.structs.replace(Subaccount(name="bob"), **changes)
        call = PutSubaccount(account=shop.alice, subaccount=subaccount, password=Secret(password))
        assert reason(await shop.ask(call)) is Refusal.BAD_REQUEST
        assert await shop.ask(ListSubaccounts(account=shop.alice)) == Subaccounts(items=(), total=0)

    promise(tmp_path, script)


def test_a_change_says_what_the_subaccount_is_from_now_on(tmp_path: Path) -> None:
    """Name, details and activity are restated, the password only where one is given; an inactive one cannot log in."""

    async def script(shop: Shop) -> None:
        made_id = await shop.made(details={"city": "Trieste"})
        born_ms = shop.middle.time.now_ms()
        shop.middle.time.now_s += 60
        for is_active, expected in ((False, Refusal.UNAUTHORISED), (True, None)):
            wanted = Subaccount(id=made_id, name="robert", is_active=is_active, details={"zip": "34100"})
            assert await shop.ask(PutSubaccount(account=shop.alice, subaccount=wanted)) == Created((made_id,))
            assert await shop.fetched(made_id) == msgspec.structs.replace(wanted, made_ms=born_ms)
            assert reason(await shop.log_in("robert")) is expected
        assert reason(await shop.log_in("bob")) is Refusal.UNAUTHORISED
        named = Subaccount(id=made_id, name="robert")
        await shop.ask(PutSubaccount(account=shop.alice, subaccount=named, password=Secret("another password")))
        assert isinstance(await shop.log_in("robert", "another password"), Account)

    promise(tmp_path, script)


def test_subaccounts_are_listed_by_id(tmp_path: Path) -> None:
    """A page of them in the order they were made, with their balances, and how many there are in all."""

    async def script(shop: Shop) -> None:
        ids = [await shop.made(name) for name in ("zoe", "bob", "carol")]
        await shop.moved(ids[1], 5 * UNIT)
        page = await shop.ask(ListSubaccounts(account=shop.alice, offset=1, count_max=1))
        assert [(one.id, one.name, one.balance_micros) for one in page.items] == [(ids[1], "bob", 5 * UNIT)]
        assert page.total == 3
        whole = await shop.ask(ListSubaccounts(account=shop.alice))
        assert [one.id for one in whole.items] == ids

    promise(tmp_path, script)


def test_nobody_reaches_the_subaccounts_of_another(tmp_path: Path) -> None:
    """Whoever is not the parent finds, changes and moves nothing, and a parent reaches no account but its own."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made()
        purchase = await shop.moved(bob_id, 5 * UNIT)
        mallory, bob = shop.middle.account("mallory"), shop.middle.account("bob")
        for who, whom in ((mallory, bob_id), (bob, bob_id), (mallory, mallory.id), (shop.alice, mallory.id)):
            calls = [
                FetchSubaccount(who, whom),
                PutSubaccount(account=who, subaccount=Subaccount(id=whom, name="mine")),
                SetSubaccountPassword(who, whom, Secret("my password now")),
                MoveCredit(account=who, subaccount_id=whom, amount_micros=-UNIT),
                ListPurchases(account=who, subaccount_id=whom),
                UndoPurchase(who, whom, purchase.id),
            ]
            assert [reason(await shop.ask(call)) for call in calls] == [Refusal.NOT_FOUND] * len(calls)
        assert (await shop.ask(ListSubaccounts(account=mallory))).total == 0
        assert (await shop.fetched(bob_id)).balance_micros == 5 * UNIT
        assert isinstance(await shop.log_in("bob"), Account)

    promise(tmp_path, script)


def test_a_subaccount_has_none_of_its_own(tmp_path: Path) -> None:
    """There is one level of subaccounts, and a limited number of them."""

    async def script(shop: Shop) -> None:
        await shop.made()
        call = PutSubaccount(
            account=shop.middle.account("bob"), subaccount=Subaccount(name="carol"), password=Secret(PASSWORD)
        )
        assert reason(await shop.ask(call)) is Refusal.FORBIDDEN

    promise(tmp_path, script)


def test_an_account_has_a_limited_number_of_subaccounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One beyond the limit is forbidden."""
    monkeypatch.setattr(reselling_module, "SUBACCOUNTS_MAX", 2)

    async def script(shop: Shop) -> None:
        await shop.made("bob")
        await shop.made("carol")
        call = PutSubaccount(account=shop.alice, subaccount=Subaccount(name="dave"), password=Secret(PASSWORD))
        assert reason(await shop.ask(call)) is Refusal.FORBIDDEN

    promise(tmp_path, script)


# Credit


def test_credit_moves_and_is_remembered(tmp_path: Path) -> None:
    """A purchase says what was moved, when and what for; the newest is listed first; a purchase is undone once."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made()
        first = await shop.moved(bob_id, 5 * UNIT, details={"type": "GP"})
        assert first == Purchase(
            id=first.id,
            subaccount_id=bob_id,
            amount_micros=5 * UNIT,
            made_ms=shop.middle.time.now_ms(),
            details={"type": "GP"},
        )
        second = await shop.moved(bob_id, -2 * UNIT)
        assert (await shop.fetched(bob_id)).balance_micros == 3 * UNIT
        assert await shop.ask(UndoPurchase(shop.alice, bob_id, second.id)) == Done()
        assert await shop.ask(UndoPurchase(shop.alice, bob_id, first.id)) == Done()
        assert reason(await shop.ask(UndoPurchase(shop.alice, bob_id, first.id))) is Refusal.TOO_LATE
        for unknown in (5, 0, -1, 1 << 70):
            assert reason(await shop.ask(UndoPurchase(shop.alice, bob_id, unknown))) is Refusal.NOT_FOUND
        assert (await shop.fetched(bob_id)).balance_micros == 0
        listed = await shop.ask(ListPurchases(account=shop.alice, subaccount_id=bob_id))
        undone = [msgspec.structs.replace(one, is_undone=True) for one in (second, first)]
        assert listed == Purchases(items=tuple(undone), total=2)
        beyond = await shop.ask(ListPurchases(account=shop.alice, subaccount_id=bob_id, offset=1 << 70))
        assert beyond == Purchases(items=(), total=2)

    promise(tmp_path, script)


@pytest.mark.parametrize(
    "amount_micros, refusal",
    [
        (100 * UNIT + 1, Refusal.NO_FUNDS),
        (-1, Refusal.NO_FUNDS),
        (0, Refusal.BAD_REQUEST),
        (1 << 62, Refusal.BAD_REQUEST),
        (-(1 << 62), Refusal.BAD_REQUEST),
    ],
)
def test_a_move_that_cannot_be_moves_nothing(tmp_path: Path, amount_micros: int, refusal: Refusal) -> None:
    """Beyond what is there, on either side, or beyond all bounds, nothing moves and no purchase is kept."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made()
        assert reason(await shop.moved(bob_id, amount_micros)) is refusal
        assert (await shop.ask(ListPurchases(account=shop.alice, subaccount_id=bob_id))).total == 0

    promise(tmp_path, script)


def test_eight_moves_at_once_never_overspend(tmp_path: Path) -> None:
    """Of eight moves made at the same moment, exactly those are made that the money reaches for."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made()
        call = MoveCredit(account=shop.alice, subaccount_id=bob_id, amount_micros=30 * UNIT)
        outcomes = await shop.ask_at_once(*[call] * 8)
        assert [reason(one) for one in outcomes] == [None] * 3 + [Refusal.NO_FUNDS] * 5
        assert (await shop.fetched(bob_id)).balance_micros == 90 * UNIT

    promise(tmp_path, script)


# The gateway file


def test_apply_leaves_subaccounts_alone(tmp_path: Path) -> None:
    """Applying a file leaves subaccounts and their names alone, but they end and return with their parent."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made(details={"city": "Trieste"})
        await shop.moved(bob_id, 5 * UNIT)
        before = await shop.fetched(bob_id)
        shop.middle.configure(WORLD_OF_RESELLERS.replace("Europe/Rome", "Europe/Paris"))
        assert await shop.fetched(bob_id) == before
        assert shop.middle.account("bob").timezone == "Europe/Paris"
        with pytest.raises(GatewayFileError, match="account 'bob': name is the name of a subaccount"):
            shop.middle.configure(WORLD_OF_RESELLERS.replace('"mallory"', '"bob"'))
        shop.middle.configure("account = []")
        await shop.middle.directory.refresh(shop.middle.store)
        assert reason(await shop.log_in("bob")) is Refusal.UNAUTHORISED
        shop.middle.configure(WORLD_OF_RESELLERS)
        await shop.middle.directory.refresh(shop.middle.store)
        assert await shop.fetched(bob_id) == before
        assert isinstance(await shop.log_in("bob"), Account)

    promise(tmp_path, script)


# New passwords


def test_a_new_password_ends_the_old_and_its_sessions(tmp_path: Path) -> None:
    """From the answer on, the new password is right, and the old one, its sessions and its access token are not."""

    async def script(shop: Shop) -> None:
        session, access = await shop.ask(OpenSession(shop.alice)), await shop.ask(OpenAccess(shop.alice))
        proofs = [
            Authenticate("alice", Secret("correct horse")),
            Authenticate(session.user_key, session.key, Proof.SESSION),
            Authenticate(access.user_key, access.key, Proof.ACCESS_TOKEN),
        ]
        assert [reason(await shop.ask(one)) for one in proofs] == [None] * 3
        assert await shop.ask(ChangePassword(shop.alice, Secret("battery staple"))) == Done()
        assert [reason(await shop.ask(one)) for one in proofs] == [Refusal.UNAUTHORISED] * 3
        assert isinstance(await shop.log_in("alice", "battery staple"), Account)
        assert shop.alice.token == Secret("battery staple")
        shop.middle.configure(WORLD_OF_RESELLERS)  # the file has the last word
        await shop.middle.directory.refresh(shop.middle.store)
        assert isinstance(await shop.log_in("alice", "correct horse"), Account)

    promise(tmp_path, script)


@pytest.mark.parametrize(
    "length, refusal", [(7, Refusal.BAD_REQUEST), (8, None), (256, None), (257, Refusal.BAD_REQUEST)]
)
def test_a_password_has_a_length(tmp_path: Path, length: int, refusal: Refusal | None) -> None:
    """Passwords of 8 to 256 characters are taken, others leave the old one in force."""

    async def script(shop: Shop) -> None:
        bob_id = await shop.made()
        new = "p" * length
        for call in (ChangePassword(shop.alice, Secret(new)), SetSubaccountPassword(shop.alice, bob_id, Secret(new))):
            assert reason(await shop.ask(call)) is refusal
        assert isinstance(await shop.log_in("bob", PASSWORD if refusal else new), Account)

    promise(tmp_path, script)


def test_too_many_new_passwords_at_once_are_an_overload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many passwords wait to be hashed; who comes beyond that is asked to come again."""
    monkeypatch.setattr(passwords_module, "WAITING_MAX", 2)

    async def script(shop: Shop) -> None:
        outcomes = await shop.ask_at_once(*[ChangePassword(shop.alice, Secret("battery staple"))] * 3)
        assert [reason(one) for one in outcomes] == [None, None, Refusal.OVERLOADED]

    promise(tmp_path, script)


def test_a_new_password_is_stored_sealed(tmp_path: Path) -> None:
    """What is stored of a new password is a hash and a sealed text, neither of which shows it."""
    sealer = Sealer("GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGE=")

    async def whole(middle: Middle) -> None:
        desk = PasswordDesk(middle.store, sealer, follow=lambda: middle.directory.refresh(middle.store))
        kept = await desk.make(Secret("battery staple"))
        desk.close()
        assert "battery" not in repr(kept)
        assert not isinstance(kept, Refused)
        assert sealer.unseal(kept.token_sealed) == "battery staple"

    play(tmp_path, whole)
