"""Authentication: right passwords are cheap after the first, wrong ones are slow for whoever guesses alone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.gateway.accounts import (
    DELAY_MAX_S,
    DELAYS_MAX,
    FAILURES_FREE,
    FORGOTTEN_S,
    HASHES_WAITING_MAX,
    REMEMBERED_S,
    UNAUTHORISED,
    Accounts,
    Delays,
    network_of,
)
from chappe.gateway.directory import Directory
from chappe.gateway.secrets import Sealer, hash_password, md5_hex
from chappe.store.configuration import AccountRow, StoredConfiguration

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
PASSWORD = "correct horse"
HASH, OTHER_HASH = hash_password(PASSWORD), hash_password("battery staple")


class FakeClock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


def directory(password_hash: str = HASH, *, is_active: bool = True) -> Directory:
    alice = AccountRow(
        id=1,
        name="alice",
        password_hash=password_hash,
        token_sealed="",
        settings="{}",
        is_active=is_active,
        limit_micros=0,
    )
    return Directory(StoredConfiguration(accounts=(alice,)), Sealer())


class World:
    """Accounts over a directory that can be replaced, with a clock that can be moved."""

    def __init__(self) -> None:
        self.directory = directory()
        self.clock = FakeClock()
        self.accounts = Accounts(lambda: self.directory, self.clock)

    async def ask(self, password: str, network: str = HERE, name: str = "alice", *, md5: bool = False) -> str:
        """What comes of a login, in a word."""
        outcome = await self.accounts.authenticate(name, Secret(password), network, may_be_md5=md5)
        if isinstance(outcome, Account):
            return outcome.name
        if outcome.reason is Refusal.UNAUTHORISED:
            return "delayed" if outcome.retry_after_s else "wrong"
        return outcome.reason.value


def promise(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    world = World()
    try:
        asyncio.run(test(world))
    finally:
        world.accounts.close()


@pytest.mark.parametrize(
    "name, password, md5, outcome",
    [
        ("alice", PASSWORD, False, "alice"),
        ("alice", "wrong", False, "wrong"),
        ("alice", "", False, "wrong"),
        ("alice", md5_hex(PASSWORD), True, "alice"),
        ("alice", md5_hex(PASSWORD), False, "wrong"),
        ("Alice", PASSWORD, False, "wrong"),
        ("bob", PASSWORD, False, "wrong"),
        ("", "", False, "wrong"),
        ("a" * 100_000, PASSWORD, False, "wrong"),
        ("alice", "\ud800", False, "wrong"),
    ],
)
def test_only_the_right_password_is_taken(name: str, password: str, md5: bool, outcome: str) -> None:
    """Name and password must both be right; an unknown name is refused in the same words as a wrong password."""

    async def test(world: World) -> None:
        assert await world.ask(password, name=name, md5=md5) == outcome

    promise(test)


def test_a_right_password_is_remembered_for_a_minute() -> None:
    """Within a minute of its last use a right password costs no hash; after that, it does."""

    async def test(world: World) -> None:
        await world.ask(PASSWORD)
        hashed = world.accounts.hashes_count
        world.clock.now_s += REMEMBERED_S - 1
        assert [await world.ask(PASSWORD, ELSEWHERE) for _ in range(100)] == ["alice"] * 100
        assert world.accounts.hashes_count == hashed
        world.clock.now_s += 2
        assert await world.ask(PASSWORD) == "alice"
        assert world.accounts.hashes_count == hashed
        world.clock.now_s += REMEMBERED_S + 1
        assert await world.ask(PASSWORD) == "alice"
        assert world.accounts.hashes_count == hashed + 1

    promise(test)


def test_the_two_forms_of_a_password_are_remembered_apart() -> None:
    """An MD5 that was right where it is allowed stays wrong where it is not."""

    async def test(world: World) -> None:
        assert await world.ask(md5_hex(PASSWORD), md5=True) == "alice"
        assert await world.ask(md5_hex(PASSWORD), md5=False) == "wrong"

    promise(test)


@pytest.mark.parametrize("changed", [directory(OTHER_HASH), directory(is_active=False)])
def test_a_changed_password_ends_what_was_remembered(changed: Directory) -> None:
    """A password that was changed, or an account that was ended, is refused at once, remembered or not."""

    async def test(world: World) -> None:
        assert await world.ask(PASSWORD) == "alice"
        world.directory = changed
        assert await world.ask(PASSWORD) == "wrong"

    promise(test)


def test_a_change_of_the_account_is_seen_at_once() -> None:
    """What is remembered is that the secret was right, not what the account looked like."""

    async def test(world: World) -> None:
        await world.ask(PASSWORD)
        world.directory = directory()
        outcome = await world.accounts.authenticate("alice", Secret(PASSWORD), HERE)
        assert outcome is world.directory.account(1)

    promise(test)


def test_whoever_guesses_is_delayed_on_his_network_only() -> None:
    """After some failures nothing is taken from that network for a while; the owner elsewhere notices nothing."""

    async def test(world: World) -> None:
        assert await world.ask(PASSWORD, ELSEWHERE) == "alice"  # remembered: no way around the delay either
        answers = [await world.ask(f"guess {number}") for number in range(FAILURES_FREE + 2)]
        assert answers == ["wrong"] * (FAILURES_FREE + 1) + ["delayed"]
        assert await world.ask(PASSWORD) == "delayed"
        assert await world.ask(PASSWORD, ELSEWHERE) == "alice"
        assert await world.ask(PASSWORD, name="bob") == "wrong"
        world.clock.now_s += 1.0
        assert await world.ask(PASSWORD) == "alice"
        assert await world.ask("guess") == "wrong"

    promise(test)


def test_few_guesses_a_minute_are_evaluated() -> None:
    """Of 6,000 guesses in a minute from one network, at most 20 are evaluated (reliability S4)."""

    async def test(world: World) -> None:
        answers = []
        for number in range(6_000):
            answers.append(await world.ask(f"guess {number}"))
            world.clock.now_s += 0.01
        assert 0 < answers.count("wrong") <= 20
        assert answers.count("wrong") + answers.count("delayed") == len(answers)

    promise(test)


def test_guessing_at_once_gains_nothing() -> None:
    """Guesses that are made at the same moment are counted before they are evaluated."""

    async def test(world: World) -> None:
        answers = await asyncio.gather(*(world.ask(f"guess {number}") for number in range(30)))
        assert answers.count("wrong") == FAILURES_FREE + 1
        assert answers.count("delayed") == 30 - FAILURES_FREE - 1

    promise(test)


def test_the_same_login_at_once_is_evaluated_once() -> None:
    """A hundred connections that log in with the same right password at the same moment all get in, for one hash."""

    async def test(world: World) -> None:
        assert await asyncio.gather(*(world.ask(PASSWORD) for _ in range(100))) == ["alice"] * 100
        assert world.accounts.hashes_count == 1

    promise(test)


def test_a_caller_that_gives_up_takes_the_answer_from_nobody() -> None:
    """Of two callers that wait for the same evaluation, one may be cancelled without harm to the other."""

    async def test(world: World) -> None:
        first, second = (asyncio.create_task(world.ask(PASSWORD)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "alice"
        assert first.cancelled()

    promise(test)


def test_too_many_logins_at_once_are_refused_as_overload() -> None:
    """Beyond a bounded number of waiting evaluations, logins are refused with a time to come back, and not counted."""

    async def test(world: World) -> None:
        names = [f"name {number}" for number in range(HASHES_WAITING_MAX + 5)]
        answers = await asyncio.gather(*(world.ask("x", name=name) for name in names))
        assert answers == ["wrong"] * HASHES_WAITING_MAX + ["overloaded"] * 5
        assert await world.ask("x", name=names[-1]) == "wrong"

    promise(test)


def test_a_refusal_holds_no_secret() -> None:
    """What is told about a refusal names neither the name nor the password."""

    async def test(world: World) -> None:
        outcomes = [await world.accounts.authenticate("mallory", Secret("hunter2"), HERE) for _ in range(9)]
        assert outcomes[0] == UNAUTHORISED
        assert all(isinstance(one, Refused) for one in outcomes)
        assert "mallory" not in repr(outcomes)
        assert "hunter2" not in repr(outcomes)

    promise(test)


def test_delays_double_up_to_a_limit_and_are_forgotten() -> None:
    """The wait doubles with each failure up to its limit, and a quiet quarter of an hour forgives everything."""
    clock = FakeClock()
    delays = Delays(clock)
    waits = []
    for _ in range(FAILURES_FREE + 12):
        delays.charge("key")
        waits.append(delays.wait_s("key"))
    assert waits[: FAILURES_FREE + 4] == [0.0] * FAILURES_FREE + [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == DELAY_MAX_S
    clock.now_s += FORGOTTEN_S
    delays.charge("key")
    assert delays.wait_s("key") == 0.0


def test_forgiveness_is_complete() -> None:
    """After forgiveness, failures are counted from the start."""
    delays = Delays(FakeClock())
    for _ in range(9):
        delays.charge("key")
    delays.forgive("key")
    delays.charge("key")
    assert delays.wait_s("key") == 0.0


def test_the_table_of_delays_is_bounded() -> None:
    """However many keys fail, the table forgets the oldest and keeps the newest."""
    delays = Delays(FakeClock())
    for key in range(DELAYS_MAX + 10):
        for _ in range(FAILURES_FREE + 1):
            delays.charge(key)
    assert [key for key in range(DELAYS_MAX + 10) if delays.wait_s(key) == 0.0] == list(range(10))


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix socket", "unix socket"),
    ],
)
def test_addresses_that_belong_together_are_one_network(address: str, network: str) -> None:
    """An IPv6 customer is known by his /64, whichever of its addresses he takes; IPv4 in IPv6 is IPv4."""
    assert network_of(address) == network
