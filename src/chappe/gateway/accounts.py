"""Who is asking: a name and a secret become an account, or a refusal that tells a guesser nothing.

Each kind of proof has two steps. The first costs nothing and is tried at once: is it remembered, or quick to compute?
Only what that does not find right is evaluated, and counts as an attempt until it was right.

Most requests carry a password, and hashing one costs 30 ms. So a password that was found right is remembered until a
minute after its last use, as a keyed digest that means nothing outside this process. Only what is not remembered is
hashed: in a thread, two at once, with a bounded number waiting.

Whoever guesses is slowed down, not locked out: each failure for a name from a network doubles the time in which nothing
more from that network is evaluated for that name, right or wrong, remembered or not. Other networks notice nothing
(reliability S2 to S4). An attempt is counted before it is evaluated, so that guessing in parallel gains nothing.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple, TypeVar

from chappe.clock import Clock
from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account
from chappe.core.sessions import Authenticate, Proof
from chappe.gateway.directory import Directory
from chappe.gateway.front import Answers
from chappe.gateway.secrets import hash_password, key_digest, verify, verify_digest
from chappe.gateway.sessions import Found, SessionDesk
from chappe.store.database import StoreError

REMEMBERED_S = 60.0  # since the last use
RENEWED_S = 30.0  # with less than this left, a use renews it
REMEMBERED_MAX = 10_000
HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 40  # 0.6 s of work
RETRY_AFTER_S = 1.0
NAME_MAX = 200  # characters
SECRET_MAX = 1_000

FAILURES_FREE = 3
DELAY_FIRST_S = 1.0
DELAY_MAX_S = 300.0
FORGOTTEN_S = 900.0  # without a failure
DELAYS_MAX = 10_000

PASSWORDS = frozenset({Proof.PASSWORD, Proof.DIGEST, Proof.SMPP_PASSWORD})
UNAUTHORISED = Refused(Refusal.UNAUTHORISED)
SESSION_ENDED = Refused(Refusal.UNAUTHORISED, "the session has ended")  # it was right once: no guess
NO_USER_KEY = Refused(Refusal.NOT_FOUND)

Key = TypeVar("Key", bound=Hashable)


Recall = Callable[[Authenticate], Account | None]
Evaluate = Callable[[Authenticate], Awaitable[Account | Refused]]


class Remembered(NamedTuple):
    """A secret that was right: for whom, against which stored hash, until when."""

    account_id: int
    password_hash: str
    until_s: float


class Accounts:
    """`directory` gives the current snapshot."""

    def __init__(self, directory: Callable[[], Directory], clock: Clock, sessions: SessionDesk) -> None:
        self._directory = directory
        self._now_s = clock.monotonic_s
        self._sessions = sessions
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, Remembered] = {}
        self._delays = Delays(clock)
        self._running: dict[tuple[bytes, str], asyncio.Task[Account | Refused]] = {}
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "chappe-password")
        self.hashes_count = 0
        self._nobody_password = secrets.token_hex()  # what unknown names are verified against
        self._nobody_hash = hash_password(self._nobody_password)
        self._steps: dict[Proof, tuple[Recall, Evaluate]] = {
            Proof.PASSWORD: (self._recall_password, self._evaluate_password),
            Proof.DIGEST: (self._recall_password, self._evaluate_password),
            Proof.SMPP_PASSWORD: (self._recall_password, self._evaluate_password),
            Proof.API_KEY: (self._recall_api_key, self._refuse),
            Proof.SESSION: (self._recall_session, self._find_session),
            Proof.ACCESS_TOKEN: (self._recall_access_token, self._refuse_token),
        }

    @property
    def answers(self) -> Answers:
        return {Authenticate: lambda call, _dialect, network: self.authenticate(call, network)}

    async def authenticate(self, call: Authenticate, network: str) -> Account | Refused:
        """The account, if the proof is right. `network` is the peer's address."""
        group = network_of(network)
        if self._delays.is_empty or not self._delays.wait_s(whom(call, group)):
            account = self._steps[call.proof][0](call)
            if account is not None:
                return account
        return await self._ask(call, group)

    async def _ask(self, call: Authenticate, network: str) -> Account | Refused:
        """Evaluate, unless this network must wait; the same credentials asked for at once are evaluated once."""
        if len(call.name) > NAME_MAX or len(call.secret.value) > SECRET_MAX:
            return UNAUTHORISED
        digest = self._digest(call)
        running = self._running.get((digest, network))
        if running is None:
            wait_s = self._delays.wait_s(whom(call, network))
            if wait_s:
                return Refused(Refusal.UNAUTHORISED, "too many failures from this network", wait_s)
            if len(self._running) >= HASHES_WAITING_MAX:
                return Refused(Refusal.OVERLOADED, "too many logins at once", RETRY_AFTER_S)
            self._delays.charge(whom(call, network))
            running = asyncio.create_task(self._evaluate(call, network))
            self._running[digest, network] = running
            running.add_done_callback(lambda _: self._running.pop((digest, network), None))
        return await asyncio.shield(running)  # one caller that gives up takes the answer from nobody

    async def _evaluate(self, call: Authenticate, network: str) -> Account | Refused:
        try:
            outcome = await self._steps[call.proof][1](call)
        except StoreError:
            self._delays.forgive(whom(call, network))
            raise
        if isinstance(outcome, Account) or outcome is SESSION_ENDED:
            self._delays.forgive(whom(call, network))
        return outcome

    # Passwords and their digests

    def _recall_password(self, call: Authenticate) -> Account | None:
        digest = self._digest(call)
        remembered = self._remembered.get(digest)
        now_s = self._now_s()
        if remembered is None or remembered.until_s <= now_s:
            return None
        directory = self._directory()
        account = directory.accounts_by_name.get(call.name)
        if account is None or hash_of(account, call.proof, directory) != remembered.password_hash:
            return None
        if remembered.until_s - now_s < RENEWED_S:
            self._remembered[digest] = remembered._replace(until_s=now_s + REMEMBERED_S)
        return account

    def _digest(self, call: Authenticate) -> bytes:
        words = f"{call.proof}{call.renews:d}{len(call.name)}:{call.name}{call.secret.value}"
        return blake2b(words.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()

    async def _evaluate_password(self, call: Authenticate) -> Account | Refused:
        directory = self._directory()
        account = directory.accounts_by_name.get(call.name)
        password_hash = hash_of(account, call.proof, directory) if account else self._nobody_hash
        password = account.token.value if account else self._nobody_password
        self.hashes_count += 1

        def is_right() -> bool:
            if call.proof is Proof.DIGEST:
                return verify_digest(password_hash, password, call.secret.value)
            return verify(password_hash, call.secret.value)

        if not await asyncio.get_running_loop().run_in_executor(self._threads, is_right) or account is None:
            return UNAUTHORISED
        drop_oldest(self._remembered, REMEMBERED_MAX)
        self._remembered[self._digest(call)] = Remembered(account.id, password_hash, self._now_s() + REMEMBERED_S)
        return account

    # Keys and tokens: long and random, so that a digest is compared and nothing is remembered

    def _recall_api_key(self, call: Authenticate) -> Account | None:
        account = self._directory().accounts_by_api_key.get(key_digest(call.secret.value))
        return account if account is not None and call.name in ("", account.name) else None

    def _recall_access_token(self, call: Authenticate) -> Account | None:
        account = self._directory().accounts_by_user_key.get(call.name)
        return account if account is not None and self._sessions.is_access_token(account, call.secret) else None

    def _recall_session(self, call: Authenticate) -> Account | None:
        account = self._directory().accounts_by_user_key.get(call.name)
        if account is None or not self._sessions.is_known(account, call.secret, renews=call.renews):
            return None
        return account

    async def _find_session(self, call: Authenticate) -> Account | Refused:
        account = self._directory().accounts_by_user_key.get(call.name)
        if account is None:
            return NO_USER_KEY
        found = await self._sessions.find(account, call.secret, renews=call.renews)
        if found is Found.ALIVE:
            return account
        return SESSION_ENDED if found is Found.DEAD else UNAUTHORISED

    async def _refuse(self, _call: Authenticate) -> Refused:
        return UNAUTHORISED  # the first step was all there is

    async def _refuse_token(self, call: Authenticate) -> Refused:
        return UNAUTHORISED if call.name in self._directory().accounts_by_user_key else NO_USER_KEY

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def hash_of(account: Account, proof: Proof, directory: Directory) -> str:
    """What a password of an account is verified against."""
    own = directory.settings(account.id).smpp_password_hash if proof is Proof.SMPP_PASSWORD else ""
    return own or directory.password_hashes[account.id]


def whom(call: Authenticate, network: str) -> Hashable:
    """Whose failures count together: a password and its digests are guesses at the same thing. A key that comes without
    a name counts alone: it cannot be guessed, and a wrong one must not keep others' right ones out of their network."""
    is_password = call.proof in PASSWORDS
    return "password" if is_password else call.proof, call.name or key_digest(call.secret.value), network


class Delay(NamedTuple):
    failures: int
    until_s: float
    forgotten_s: float


class Delays:
    """Exponential delay for whoever keeps failing, by any key: the first failures are free, each further one doubles
    the wait from one second to five minutes, a quarter of an hour without any forgives all. The table is bounded."""

    def __init__(self, clock: Clock, failures_free: int = FAILURES_FREE) -> None:
        self._now_s = clock.monotonic_s
        self._failures_free = failures_free
        self._delays: dict[Hashable, Delay] = {}

    @property
    def is_empty(self) -> bool:
        return not self._delays

    def wait_s(self, key: Hashable) -> float:
        """How long this key must still wait; 0.0 where it need not."""
        delay = self._delays.get(key)
        return max(0.0, delay.until_s - self._now_s()) if delay is not None else 0.0

    def charge(self, key: Hashable) -> None:
        """Count a failure, or an attempt that may yet become one."""
        now_s = self._now_s()
        delay = self._delays.pop(key, None)
        failures = 1 + (delay.failures if delay is not None and delay.forgotten_s > now_s else 0)
        beyond = failures - self._failures_free
        delay_s = min(DELAY_MAX_S, DELAY_FIRST_S * 2 ** min(beyond - 1, 16)) if beyond > 0 else 0.0
        drop_oldest(self._delays, DELAYS_MAX)
        self._delays[key] = Delay(failures, now_s + delay_s, now_s + FORGOTTEN_S)

    def forgive(self, key: Hashable) -> None:
        """Forget the failures: it was the right one after all."""
        self._delays.pop(key, None)


def drop_oldest(table: dict[Key, Any], count_max: int) -> None:
    """Make room for one more; dictionaries keep the order in which keys came."""
    while len(table) >= count_max:
        del table[next(iter(table))]


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Whose guesses count together: an IPv4 address, or the /64 that an IPv6 customer usually has to himself.

    What is no address (a Unix socket, a test) is its own network.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((int(parsed) >> 64 << 64, 64)))
