"""Authentication: right passwords are cheap after the first, wrong ones are slow for whoever guesses alone."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.core.sessions import Authenticate, Proof, Session
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
from chappe.gateway.directory import AccountSettings, Directory
from chappe.gateway.secrets import Sealer, hash_password, key_digest, md5_hex, sha1_hex
from chappe.gateway.sessions import SessionDesk
from chappe.store import schema
from chappe.store.configuration import AccountRow, StoredConfiguration
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.migrate import migrate
from chappe.store.sessions import PER_ACCOUNT_MAX

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
PASSWORD = "correct horse"
SECRET_KEY = Fernet.generate_key().decode()
API_KEY = "a key that nobody can guess"
HASH, OTHER_HASH = hash_password(PASSWORD), hash_password("battery staple")


class FakeClock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return int(self.now_s * 1000)


def directory(
    password_hash: str = HASH, *, is_active: bool = True, api_key: str = API_KEY, smpp_password: str = ""
) -> Directory:
    smpp_password_hash = hash_password(smpp_password) if smpp_password else ""
    settings = AccountSettings(api_key_digest=key_digest(api_key), smpp_password_hash=smpp_password_hash)
    alice = AccountRow(
        id=1,
        name="alice",
        password_hash=password_hash,
        token_sealed=Sealer().seal(PASSWORD),
        settings=msgspec.json.encode(settings).decode(),
        is_active=is_active,
        limit_micros=0,
    )
    return Directory(StoredConfiguration(accounts=(alice,)), Sealer())


class World:
    """Accounts over a directory that can be replaced, with a clock that can be moved and a store written to by hand."""

    def __init__(self, folder: Path) -> None:
        self.directory = directory()
        self.clock = FakeClock()
        database = Database(f"sqlite:///{folder}/chappe.db")
        migrate(database)
        self.store = Store(database, has_threads=False)
        self.sessions = self.another_node()
        self.accounts = Accounts(lambda: self.directory, self.clock, self.sessions)

    def another_node(self) -> SessionDesk:
        return SessionDesk(self.store, lambda: self.directory, Sealer(SECRET_KEY), self.clock)

    async def written(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something that has to be written down before it answers."""
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.sleep(0)
            self.store.commit_once()
        return task.result()

    async def ask(
        self, secret: str, network: str = HERE, name: str = "alice", proof: Proof = Proof.PASSWORD, **more: Any
    ) -> str:
        """What comes of a login, in a word."""
        call = Authenticate(name=name, secret=Secret(secret), proof=proof, **more)
        outcome = await self.accounts.authenticate(call, network)
        if isinstance(outcome, Account):
            return outcome.name
        if outcome.reason is Refusal.UNAUTHORISED:
            return "delayed" if outcome.retry_after_s else "wrong"
        return outcome.reason.value

    async def opened(self) -> Session:
        """A new session of the account."""
        session: Session = await self.written(self.sessions.open_session(self.directory.accounts_by_name["alice"]))
        return session

    async def with_session(self, session: Session, network: str = HERE, *, renews: bool = True) -> str:
        return await self.ask(session.key.value, network, session.user_key, Proof.SESSION, renews=renews)


def promise(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            try:
                await test(world)
            finally:
                world.accounts.close()
                world.store.stop()

    asyncio.run(whole())


@pytest.mark.parametrize(
    "name, proof, secret, outcome",
    [
        ("alice", Proof.PASSWORD, PASSWORD, "alice"),
        ("alice", Proof.PASSWORD, "wrong", "wrong"),
        ("alice", Proof.PASSWORD, "", "wrong"),
        ("alice", Proof.PASSWORD, md5_hex(PASSWORD), "wrong"),
        ("alice", Proof.PASSWORD, sha1_hex(PASSWORD), "wrong"),
        ("alice", Proof.PASSWORD, API_KEY, "wrong"),
        ("Alice", Proof.PASSWORD, PASSWORD, "wrong"),
        ("bob", Proof.PASSWORD, PASSWORD, "wrong"),
        ("", Proof.PASSWORD, "", "wrong"),
        ("a" * 100_000, Proof.PASSWORD, PASSWORD, "wrong"),
        ("alice", Proof.PASSWORD, "\ud800", "wrong"),
        ("alice", Proof.SMPP_PASSWORD, PASSWORD, "alice"),  # it has no short one
        ("alice", Proof.SMPP_PASSWORD, md5_hex(PASSWORD), "wrong"),
        ("alice", Proof.DIGEST, PASSWORD, "alice"),
        ("alice", Proof.DIGEST, md5_hex(PASSWORD), "alice"),
        ("alice", Proof.DIGEST, md5_hex(PASSWORD).upper(), "alice"),
        ("alice", Proof.DIGEST, sha1_hex(PASSWORD), "alice"),
        ("alice", Proof.DIGEST, sha1_hex(PASSWORD).upper(), "alice"),
        ("alice", Proof.DIGEST, md5_hex("wrong"), "wrong"),
        ("alice", Proof.DIGEST, sha1_hex("wrong"), "wrong"),
        ("bob", Proof.DIGEST, sha1_hex(PASSWORD), "wrong"),
        ("", Proof.API_KEY, API_KEY, "alice"),
        ("alice", Proof.API_KEY, API_KEY, "alice"),
        ("bob", Proof.API_KEY, API_KEY, "wrong"),
        ("", Proof.API_KEY, API_KEY + "s", "wrong"),
        ("", Proof.API_KEY, "", "wrong"),
        ("alice", Proof.API_KEY, PASSWORD, "wrong"),
        ("alice", Proof.API_KEY, "\ud800", "wrong"),
        ("1", Proof.SESSION, "never opened", "wrong"),
        ("1", Proof.SESSION, "\ud800", "wrong"),
        ("2", Proof.SESSION, "never opened", "not_found"),
        ("alice", Proof.SESSION, "never opened", "not_found"),
        ("1", Proof.ACCESS_TOKEN, "made up", "wrong"),
        ("1", Proof.ACCESS_TOKEN, "\ud800", "wrong"),
        ("2", Proof.ACCESS_TOKEN, "made up", "not_found"),
    ],
)
def test_only_the_right_proof_is_taken(name: str, proof: Proof, secret: str, outcome: str) -> None:
    """Each kind of proof takes its own secrets alone; an unknown name is refused like a wrong password."""

    async def test(world: World) -> None:
        assert await world.ask(secret, name=name, proof=proof) == outcome

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
        assert await world.ask(md5_hex(PASSWORD), proof=Proof.DIGEST) == "alice"
        assert await world.ask(md5_hex(PASSWORD), proof=Proof.PASSWORD) == "wrong"

    promise(test)


def test_a_password_for_binds_is_one_for_binds_alone() -> None:
    """Where an account has a short password, binds take that and no other, and nothing else takes it."""

    async def test(world: World) -> None:
        world.directory = directory(smpp_password="hidden7")
        assert await world.ask("hidden7", proof=Proof.SMPP_PASSWORD) == "alice"
        assert await world.ask(PASSWORD) == "alice"
        assert await world.ask(PASSWORD, proof=Proof.SMPP_PASSWORD) == "wrong"
        assert await world.ask("hidden7") == "wrong"
        world.directory = directory(smpp_password="hidden8")
        assert await world.ask("hidden7", ELSEWHERE, proof=Proof.SMPP_PASSWORD) == "wrong"
        assert await world.ask("hidden8", ELSEWHERE, proof=Proof.SMPP_PASSWORD) == "alice"

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
        outcome = await world.accounts.authenticate(Authenticate("alice", Secret(PASSWORD)), HERE)
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
        call = Authenticate("mallory", Secret("hunter2"))
        outcomes = [await world.accounts.authenticate(call, HERE) for _ in range(9)]
        assert outcomes[0] == UNAUTHORISED
        assert all(isinstance(one, Refused) for one in outcomes)
        assert "mallory" not in repr(outcomes)
        assert "hunter2" not in repr(outcomes)

    promise(test)


@pytest.mark.parametrize("proof", list(Proof))
def test_guessing_is_slowed_down_for_every_proof(proof: Proof) -> None:
    """Whatever is guessed at, after some failures nothing of the kind is evaluated from that network for a while."""

    async def test(world: World) -> None:
        name = "alice" if proof in (Proof.PASSWORD, Proof.DIGEST) else "1"
        answers = [await world.ask(f"guess {number}", name=name, proof=proof) for number in range(FAILURES_FREE + 2)]
        assert answers == ["wrong"] * (FAILURES_FREE + 1) + ["delayed"]
        assert await world.ask("guess", ELSEWHERE, name=name, proof=proof) == "wrong"

    promise(test)


def test_a_right_key_waits_like_a_wrong_one() -> None:
    """While a network has to wait, a right API key or session is refused like any other."""

    async def test(world: World) -> None:
        session = await world.opened()
        for number in range(FAILURES_FREE + 1):
            await world.ask(f"guess {number}", proof=Proof.API_KEY)
            await world.ask(f"guess {number}", name=session.user_key, proof=Proof.SESSION)
        assert await world.ask(API_KEY, proof=Proof.API_KEY) == "delayed"
        assert await world.with_session(session) == "delayed"
        assert await world.with_session(session, ELSEWHERE) == "alice"

    promise(test)


def test_a_wrong_key_without_a_name_keeps_nobody_out() -> None:
    """A key that nobody has waits for itself alone: others behind the same address log in with theirs."""

    async def test(world: World) -> None:
        answers = [await world.ask("an old key", name="", proof=Proof.API_KEY) for _ in range(FAILURES_FREE + 2)]
        assert answers[-1] == "delayed"
        assert await world.ask(API_KEY, name="", proof=Proof.API_KEY) == "alice"

    promise(test)


def test_a_key_costs_no_hash() -> None:
    """API keys, sessions and access tokens are recognised without the work that a password costs."""

    async def test(world: World) -> None:
        session = await world.opened()
        access = await world.sessions.open_access(world.directory.accounts_by_name["alice"])
        assert await world.ask(API_KEY, name="", proof=Proof.API_KEY) == "alice"
        assert await world.with_session(session) == "alice"
        assert await world.ask(access.key.value, name=access.user_key, proof=Proof.ACCESS_TOKEN) == "alice"
        assert world.accounts.hashes_count == 0

    promise(test)


def test_another_api_key_in_the_configuration_ends_the_old_one() -> None:
    """As soon as the configuration has another key, the old one is refused."""

    async def test(world: World) -> None:
        assert await world.ask(API_KEY, name="", proof=Proof.API_KEY) == "alice"
        world.directory = directory(api_key="another key, as long")
        assert await world.ask(API_KEY, name="", proof=Proof.API_KEY) == "wrong"
        assert await world.ask("another key, as long", name="", proof=Proof.API_KEY) == "alice"

    promise(test)


def test_a_session_lives_as_long_as_it_is_used() -> None:
    """A session ends after five minutes without a call, each call renews it, and a mere look does not (smsend 4.2)."""

    async def test(world: World) -> None:
        session = await world.opened()
        assert (session.user_key + session.key.value).isalnum()
        for _ in range(3):
            world.clock.now_s += 299
            assert await world.with_session(session) == "alice"
        world.clock.now_s += 200
        assert await world.with_session(session, renews=False) == "alice"
        world.clock.now_s += 100
        assert await world.with_session(session, renews=False) == "wrong"
        assert await world.with_session(session) == "wrong"

    promise(test)


def test_a_session_that_ended_is_no_guess() -> None:
    """Whoever comes back with sessions that have ended may log in and go on at once."""

    async def test(world: World) -> None:
        old = [await world.opened() for _ in range(FAILURES_FREE + 2)]
        world.clock.now_s += 301
        assert [await world.with_session(each) for each in old] == ["wrong"] * len(old)
        assert await world.with_session(await world.opened()) == "alice"

    promise(test)


def test_a_session_is_written_before_it_is_told_and_never_in_the_clear() -> None:
    """The row is there when the key is told, and holds nothing that could be used as one."""

    async def test(world: World) -> None:
        opening = asyncio.create_task(world.sessions.open_session(world.directory.accounts_by_name["alice"]))
        await asyncio.sleep(0)
        assert not opening.done()
        session = await world.written(asyncio.wait_for(opening, 60))
        with world.store.database.engine.connect() as connection:
            [row] = connection.execute(select(schema.session)).all()
        assert session.key.value not in repr(row)

    promise(test)


def test_another_node_finds_a_session_and_its_use() -> None:
    """A session opened on one node is known to another, which also hears, a round later, that it was used."""

    async def test(world: World) -> None:
        session, opener = await world.opened(), world.sessions
        for _ in range(3):
            other = Accounts(lambda: world.directory, world.clock, world.another_node())
            world.accounts.close()
            world.accounts = other
            world.clock.now_s += 200
            assert await world.with_session(session) == "alice"
            await world.written(other._sessions.run_once())
        world.accounts._sessions = opener  # which has heard of no use for ten minutes
        assert await world.with_session(session) == "alice"

    promise(test)


def test_using_a_session_writes_nothing() -> None:
    """However often a session is used, its row is written once a round, and not before."""

    async def test(world: World) -> None:
        session = await world.opened()
        for _ in range(100):
            world.clock.now_s += 0.1
            assert await world.with_session(session) == "alice"
        assert world.store.waiting_count == 0
        items_count = [world.store._commits.items_count]
        for _ in range(2):
            await world.written(world.sessions.run_once())
            items_count.append(world.store._commits.items_count)
        assert [after - before for before, after in pairwise(items_count)] == [2, 1]  # its use once, the sweep twice

    promise(test)


def test_an_account_has_a_limited_number_of_sessions() -> None:
    """One session too many ends the one that was used least recently, also for the node that knew it."""

    async def test(world: World) -> None:
        sessions = []
        for _ in range(PER_ACCOUNT_MAX):
            world.clock.now_s += 0.01
            sessions.append(await world.opened())
        await world.opened()
        assert await world.with_session(sessions[0]) == "wrong"
        assert await world.with_session(sessions[1]) == "alice"

    promise(test)


def test_sessions_that_have_long_been_dead_are_swept() -> None:
    """A day after a session's last use its row goes, and nothing of it stays in memory."""

    async def test(world: World) -> None:
        await world.opened()
        world.clock.now_s += 24 * 3600
        young = await world.opened()
        world.clock.now_s += 10
        await world.written(world.sessions.run_once())
        with world.store.database.engine.connect() as connection:
            assert len(connection.execute(select(schema.session)).all()) == 1
        assert len(world.sessions._used_ms) == 1
        assert await world.with_session(young) == "alice"

    promise(test)


@pytest.mark.parametrize(
    "changed, session_word", [(directory(OTHER_HASH), "wrong"), (directory(is_active=False), "not_found")]
)
def test_a_changed_password_ends_sessions_and_tokens(changed: Directory, session_word: str) -> None:
    """With another password, or an account that was ended, every session and access token is refused at once."""

    async def test(world: World) -> None:
        session = await world.opened()
        access = await world.sessions.open_access(world.directory.accounts_by_name["alice"])
        world.directory = changed
        assert await world.with_session(session) == session_word
        assert await world.ask(access.key.value, name=access.user_key, proof=Proof.ACCESS_TOKEN) == session_word

    promise(test)


def test_an_access_token_is_the_same_everywhere_and_has_no_row() -> None:
    """Every node and every start computes the same access token, which outlives ten years of silence."""

    async def test(world: World) -> None:
        alice = world.directory.accounts_by_name["alice"]
        first = await world.sessions.open_access(alice)
        assert await world.another_node().open_access(alice) == first
        other_key = SessionDesk(world.store, lambda: world.directory, Sealer(), world.clock)
        assert (await other_key.open_access(alice)).key != first.key
        world.clock.now_s += 10 * 365 * 86_400
        assert await world.ask(first.key.value, name=first.user_key, proof=Proof.ACCESS_TOKEN) == "alice"
        assert await world.ask(first.key.value, name=first.user_key, proof=Proof.SESSION) == "wrong"
        assert "***" in repr(first)

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
