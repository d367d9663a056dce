"""API keys: made, shown once, listed, ended; and who it is that comes with one.

A key is `live_` or `test_` and 43 characters of 256 random bits, so a plain digest of it is kept, by which it is found.
What this node knows of a key it looks up anew when that is half a second old: a key that was ended anywhere is good
nowhere a moment later. A test key asks as its account in test mode. A key of account 0 is of whoever runs the gateway.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from chappe.clock import Clock
from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.core.people import EVERYTHING, OF_ACCOUNTS, ApiKey, Caller, Permission, Sight
from chappe.gateway.accounts import drop_oldest
from chappe.gateway.directory import Directory
from chappe.gateway.secrets import key_digest
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.keys import KeyDraft, KeyEnd, KeyUse

LIVE, TEST = "live_", "test_"
RANDOM_BYTES = 32
HINT_CHARACTERS = len(LIVE) + 5
A_KEY = re.compile(r"(?:live|test)_[A-Za-z0-9_-]{43}").fullmatch
KEYS_MAX = 1_000  # of one owner, that are good
NAME_MAX = 100  # characters
FRESH_S = 0.5  # how long what is known of a key counts
USED_EVERY_MS = 60_000
KNOWN_MAX = 10_000
UNAUTHORISED = Refused(Refusal.UNAUTHORISED, "the key is unknown, or was ended")


class Known(Struct, frozen=True):
    """What the store said of a key, and until when that counts; None = there is none."""

    key: ApiKey | None
    until_s: float


class KeyDesk:
    """`directory` gives the current snapshot. With `is_demo`, live keys may use the simulator too."""

    def __init__(
        self, *, store: Store, directory: Callable[[], Directory], clock: Clock, is_demo: bool = False
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._is_demo = is_demo
        self._known: dict[str, Known] = {}  # by digest
        self._looking: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._writing: set[asyncio.Future[None]] = set()

    async def make(
        self, account_id: int, name: str, scopes: Sequence[Permission], is_test: bool
    ) -> tuple[ApiKey, Secret]:
        """A new key, which is told this once. Raises ValueError, in words for whoever asked, and StoreError."""
        self._check(account_id, name, scopes, is_test=is_test)
        key = (TEST if is_test else LIVE) + secrets.token_urlsafe(RANDOM_BYTES)
        draft = KeyDraft(
            account_id=account_id,
            name=name,
            digest=key_digest(key),
            hint=key[:HINT_CHARACTERS],
            scopes=tuple(one for one in Permission if one in scopes),
            is_test=is_test,
            now_ms=self._clock.now_ms(),
            count_max=KEYS_MAX,
        )
        key_id = await self._store.commit(self._store.keys.make, draft)
        if not key_id:
            raise ValueError(f"there are at most {KEYS_MAX} keys at a time: end one first")
        made = ApiKey(
            id=key_id,
            account_id=account_id,
            name=name,
            hint=draft.hint,
            scopes=draft.scopes,
            is_test=is_test,
            made_ms=draft.now_ms,
        )
        self._known.pop(draft.digest, None)
        return made, Secret(key)

    def _check(self, account_id: int, name: str, scopes: Sequence[Permission], *, is_test: bool) -> None:
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise ValueError(f"a key has a name of 1 to {NAME_MAX} printable characters")
        if not scopes:
            raise ValueError("a key without a scope could do nothing")
        if not account_id and is_test:
            raise ValueError("a key in test mode belongs to an account")
        beyond = sorted(set(scopes) - OF_ACCOUNTS) if account_id else []
        if beyond:
            raise ValueError(f"no account has the scope {', '.join(beyond)}")
        if account_id and self._directory().live_account(account_id) is None:
            raise ValueError("there is no such account")

    async def list(self, sight: Sight) -> list[ApiKey]:
        """The keys that may be seen, ended ones too, the newest first. Raises StoreError."""
        account_ids = None if sight.account_ids is None else sorted(sight.account_ids)
        return await self._store.read(partial(self._store.keys.of_accounts, account_ids=account_ids))

    async def end(self, sight: Sight, key_id: int) -> bool:
        """Whether there was such a key to end. Raises StoreError."""
        key = await self._store.read(partial(self._store.keys.one, key_id=key_id))
        if key is None or not sight.sees(key.account_id):
            return False
        is_ended = await self._store.commit(self._store.keys.end, KeyEnd(key_id, self._clock.now_ms()))
        for digest in [digest for digest, known in self._known.items() if known.key and known.key.id == key_id]:
            del self._known[digest]
        return is_ended

    async def authenticate(self, secret: Secret, network: str) -> Caller | Refused:
        """Who comes with a key. Nobody guesses one, so nobody is slowed down: a wrong one costs one look. Raises
        StoreError."""
        if not A_KEY(secret.value):
            return UNAUTHORISED
        key = await self._find(key_digest(secret.value))
        if key is None or key.ended_ms:
            return UNAUTHORISED
        caller = self.caller_of(key)
        if caller is None:
            return UNAUTHORISED
        self._note_use(key)
        return caller

    def caller_of(self, key: ApiKey) -> Caller | None:
        """Who a key stands for; None where its account is no more."""
        if not key.account_id:
            return Caller(name=f"key {key.name}", permissions=frozenset(key.scopes), sight=EVERYTHING, key_id=key.id)
        account = self._directory().live_account(key.account_id)
        if account is None:
            return None
        return Caller(
            name=f"{account.name}, key {key.name}",
            permissions=frozenset(key.scopes) & self._allowed(is_test=key.is_test),
            sight=sight_of(account),
            account=replace(account, is_test=True) if key.is_test else account,
            key_id=key.id,
        )

    def caller_with_password(self, account: Account) -> Caller:
        """Who an account's own password stands for."""
        return Caller(
            name=account.name, permissions=self._allowed(is_test=False), sight=sight_of(account), account=account
        )

    def _allowed(self, *, is_test: bool) -> frozenset[Permission]:
        return OF_ACCOUNTS if is_test or self._is_demo else OF_ACCOUNTS - {Permission.SIMULATE}

    async def _find(self, digest: str) -> ApiKey | None:
        now_s = self._clock.monotonic_s()
        known = self._known.get(digest)
        if known is not None and known.until_s > now_s:
            return known.key
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.create_task(self._look(digest))
            looking.add_done_callback(lambda _: self._looking.pop(digest, None))
        return await asyncio.shield(looking)  # one caller that gives up takes the answer from nobody

    async def _look(self, digest: str) -> ApiKey | None:
        asked_s = self._clock.monotonic_s()
        key = await self._store.read(partial(self._store.keys.find, digest=digest))
        drop_oldest(self._known, KNOWN_MAX)
        self._known[digest] = Known(key, asked_s + FRESH_S)
        return key

    def _note_use(self, key: ApiKey) -> None:
        """Write down that it was used, once a minute; no answer waits for it."""
        now_ms = self._clock.now_ms()
        if now_ms - key.used_ms < USED_EVERY_MS:
            return
        for digest, known in self._known.items():
            if known.key is key:
                self._known[digest] = Known(replace(key, used_ms=now_ms), known.until_s)
                break
        future = self._store.commit(self._store.keys.use, KeyUse(key.id, now_ms))
        self._writing.add(future)
        future.add_done_callback(self._written)

    def _written(self, future: "asyncio.Future[None]") -> None:
        self._writing.discard(future)
        if not future.cancelled():
            error = future.exception()
            if error is not None and not isinstance(error, StoreError):
                raise error


def sight_of(account: Account) -> Sight:
    """What an account sees is its own; what its subaccounts do is theirs."""
    return Sight(frozenset({account.id}))
