"""What applications that logged in once prove themselves with: sessions, which end, and access tokens, which do not.

A session's key is random and stored as a digest only. Its row is committed before the key is told; after that the node
that hears of it keeps the time of its last use in memory, and writes it down in a round of its own, so that no answer
waits for it. A session that this node does not know, or thinks dead, may live on another: then the row decides.

Both kinds are bound to the stored hash of the account's password: with a new password all of them are void, on every
node, without anything being deleted. An access token has no row at all: it can be computed again (smsend 4.2).
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

from chappe.clock import Clock
from chappe.core.model import Account, Secret
from chappe.core.sessions import OpenAccess, OpenSession, Session
from chappe.gateway.directory import Directory, user_key_of
from chappe.gateway.front import Answers
from chappe.gateway.secrets import Sealer, is_same
from chappe.store.engine import Store
from chappe.store.sessions import Opening, Use

SESSION_MS = 5 * 60_000  # without a call (smsend 4.2)
WRITTEN_S = 30.0  # how far the rows may be behind
DEAD_KEPT_MS = 24 * 3_600_000  # so that whoever comes back with one is no guesser
KNOWN_MAX = 100_000
WRITTEN_AT_ONCE = 500  # so that messages find room beside them
KEY_BYTES = 24


class Found(Enum):
    """What a session key turned out to be."""

    ALIVE = "alive"
    DEAD = "dead"  # but it was right once
    WRONG = "wrong"


class SessionDesk:
    """`directory` gives the current snapshot. Further instances on the same store are other nodes."""

    def __init__(self, store: Store, directory: Callable[[], Directory], sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._sealer = sealer
        self._clock = clock
        self._used_ms: dict[str, int] = {}  # by digest, as far as this node knows
        self._unwritten: set[str] = set()  # of these, those whose rows are behind

    @property
    def answers(self) -> Answers:
        return {
            OpenSession: lambda call, _dialect, _network: self.open_session(call.account),
            OpenAccess: lambda call, _dialect, _network: self.open_access(call.account),
        }

    async def open_session(self, account: Account) -> Session:
        """A new session. Beyond a thousand of an account, the one that was used least recently goes."""
        key = Secret(secrets.token_hex(KEY_BYTES))
        opening = Opening(self._digest(account, key), account.id, self._clock.now_ms())
        for digest in await self._store.commit(self._store.sessions.open, opening):
            self._forget(digest)
        self._remember(opening.digest, opening.now_ms)
        return Session(user_key=user_key_of(account), key=key)

    async def open_access(self, account: Account) -> Session:
        """The access token of an account: the same each time."""
        return Session(user_key=user_key_of(account), key=Secret(self._access_token(account)))

    def is_access_token(self, account: Account, token: Secret) -> bool:
        return is_same(token.value, self._access_token(account))

    def is_known(self, account: Account, key: Secret, *, renews: bool) -> bool:
        """Whether this node knows the session to be alive; renews it, if that is wanted."""
        digest = self._digest(account, key)
        used_ms = self._used_ms.get(digest)
        now_ms = self._clock.now_ms()
        if used_ms is None or now_ms >= used_ms + SESSION_MS:
            return False
        if renews:
            self._used_ms[digest] = now_ms
            self._unwritten.add(digest)
        return True

    async def find(self, account: Account, key: Secret, *, renews: bool) -> Found:
        """What the table says of a session. Raises StoreError."""
        digest = self._digest(account, key)
        row = await self._store.read(partial(self._store.sessions.find, digest=digest))
        if row is None:
            return Found.WRONG
        self._remember(digest, max(row.used_ms, self._used_ms.get(digest, 0)))
        return Found.ALIVE if self.is_known(account, key, renews=renews) else Found.DEAD

    async def run_once(self) -> None:
        """Write down which sessions were used, forget the dead, sweep those that have long been so."""
        used = [Use(digest, self._used_ms[digest]) for digest in self._unwritten]
        for begin in range(0, len(used), WRITTEN_AT_ONCE):
            await self._write(used[begin : begin + WRITTEN_AT_ONCE])
        now_ms = self._clock.now_ms()
        for digest, used_ms in list(self._used_ms.items()):
            if now_ms >= used_ms + SESSION_MS and digest not in self._unwritten:
                self._forget(digest)
        await self._store.commit(self._store.sessions.sweep, now_ms - DEAD_KEPT_MS)

    async def _write(self, used: Sequence[Use]) -> None:
        are_there = await asyncio.gather(*(self._store.commit(self._store.sessions.renew, one) for one in used))
        for one, is_there in zip(used, are_there, strict=True):
            if not is_there:
                self._forget(one.digest)
            elif self._used_ms.get(one.digest) == one.used_ms:  # else it was used again meanwhile
                self._unwritten.discard(one.digest)

    def _remember(self, digest: str, used_ms: int) -> None:
        while len(self._used_ms) >= KNOWN_MAX:
            self._forget(next(iter(self._used_ms)))
        self._used_ms[digest] = used_ms

    def _forget(self, digest: str) -> None:
        self._used_ms.pop(digest, None)
        self._unwritten.discard(digest)

    def _digest(self, account: Account, key: Secret) -> str:
        bound_to = self._directory().password_hashes[account.id].encode()
        return hmac.digest(bound_to, key.value.encode("utf-8", "surrogatepass"), "sha256").hex()

    def _access_token(self, account: Account) -> str:
        return self._sealer.sign(f"access token {account.id} {self._directory().password_hashes[account.id]}")
