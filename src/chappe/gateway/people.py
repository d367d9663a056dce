"""People at the panel: who logs in, what they may do and see, and how they are invited.

Passwords are hashed off the loop, two at once, with a bounded number waiting. Whoever guesses is slowed down as at the
other doors (`accounts.py`): by name and network. The keys of one-time links are too long to be guessed. An account may
log in with its own name and password and is a customer then; a user of the same name is tried first.

A session is a random key in a cookie, kept as a digest. It is bound to the stored hash of the password that opened it:
with a new password it is void, on every node. It ends twelve hours after its last use, or seven days after log-in.
"""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from chappe.clock import Clock
from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Secret
from chappe.core.people import EVERYTHING, OPERATING, PERMISSIONS, Caller, Role, Sight, User
from chappe.gateway.accounts import Delays, network_of
from chappe.gateway.directory import Directory
from chappe.gateway.passwords import LENGTH_MAX, LENGTH_MIN
from chappe.gateway.secrets import hash_password, key_digest, verify
from chappe.gateway.sessions import Found, SessionDesk
from chappe.store import people as rows
from chappe.store.engine import Store
from chappe.store.people import FIRST_AUTHOR, Invitation, Known, PanelSession

IDLE_MS = 12 * 3_600_000
ABSOLUTE_MS = 7 * 24 * 3_600_000
WRITTEN_MS = 60_000  # how far the time of the last use may be behind
INVITED_MS = 7 * 24 * 3_600_000
FIRST_MS = 24 * 3_600_000
SWEEP_S = 600.0
KEY_BYTES = 32
NAME_MAX = 100  # characters
HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 20
RETRY_AFTER_S = 1.0
LANGUAGE_MAX = 10
WITH_ACCOUNT = frozenset({Role.CUSTOMER, Role.VIEWER})  # roles that may be tied to an account

WRONG = Refused(Refusal.UNAUTHORISED, "name or password is wrong")
BUSY = Refused(Refusal.OVERLOADED, "too many people log in at once", RETRY_AFTER_S)
NO_LINK = Refused(Refusal.NOT_FOUND, "this link has been used or has run out")
TAKEN = Refused(Refusal.DUPLICATE, "somebody has this name already")
LAST_OWNER = Refused(Refusal.FORBIDDEN, "the last owner cannot go")
TOO_MANY_LINKS = Refused(Refusal.THROTTLED, "too many invitations are open")
NO_USER = Refused(Refusal.NOT_FOUND, "there is no such user")
REFUSALS = {
    rows.Refusal.GONE: NO_LINK,
    rows.Refusal.NAME_TAKEN: TAKEN,
    rows.Refusal.LAST_OWNER: LAST_OWNER,
    rows.Refusal.TOO_MANY: TOO_MANY_LINKS,
    rows.Refusal.UNKNOWN: NO_USER,
}


class Person(Struct, frozen=True, kw_only=True):
    """Somebody who is logged in, and the session they came with."""

    caller: Caller
    session: PanelSession
    language: str = ""  # empty = the browser's


class PeopleDesk:
    """`directory` gives the current snapshot; `sessions` are those of applications."""

    def __init__(self, store: Store, directory: Callable[[], Directory], clock: Clock, sessions: SessionDesk) -> None:
        self._store = store
        self._sessions = sessions
        self._people = store.people
        self._directory = directory
        self._clock = clock
        self._delays = Delays(clock)
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "chappe-panel-password")
        self._hashing_count = 0
        self._nobody_hash = hash_password(secrets.token_hex())  # what unknown names are verified against

    # Coming and going

    async def log_in(self, name: str, password: Secret, network: str) -> tuple[Secret, Person] | Refused:
        """A new session's key, for who it says it is. `network` is the peer's address."""
        if len(name) > NAME_MAX or len(password.value) > LENGTH_MAX:
            return WRONG
        name = composed(name.strip())
        whom = ("log in", name, network_of(network))
        refused = self._charge(whom)
        if refused is not None:
            return refused
        if self._hashing_count >= HASHES_WAITING_MAX:
            self._delays.forgive(whom)
            return BUSY
        found = await self._evaluate(name, password)
        if found is None:
            return WRONG
        self._delays.forgive(whom)
        user_id, account_id, password_hash = found
        return await self._open(user_id, account_id, password_hash, network)

    def _charge(self, whom: Hashable) -> Refused | None:
        """Count an attempt before it is evaluated, so that guessing in parallel gains nothing."""
        wait_s = self._delays.wait_s(whom)
        if wait_s:
            return Refused(Refusal.THROTTLED, "too many failures from this network", wait_s)
        self._delays.charge(whom)
        return None

    async def _evaluate(self, name: str, password: Secret) -> tuple[int, int, str] | None:
        """User, account and the hash that the password is right for."""
        known = await self._store.read(lambda transaction: self._people.user_named(transaction, name))
        directory = self._directory()
        account = directory.accounts_by_name.get(name)
        candidates: list[tuple[int, int, str]] = []
        if known is not None and known.user.is_active and known.password_hash:
            candidates.append((known.user.id, 0, known.password_hash))
        if account is not None:
            candidates.append((0, account.id, directory.password_hashes[account.id]))
        for candidate in candidates:
            typed = (
                password.value if candidate[1] else composed(password.value)
            )  # other doors take an account's as it is
            if await self._hash(verify, candidate[2], typed):
                return candidate
        if not candidates:
            await self._hash(verify, self._nobody_hash, password.value)
        return None

    async def _hash(self, work: Callable[..., object], *words: str) -> object:
        self._hashing_count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *words)
        finally:
            self._hashing_count -= 1

    async def _open(
        self, user_id: int, account_id: int, password_hash: str, network: str
    ) -> tuple[Secret, Person] | Refused:
        key = Secret(secrets.token_urlsafe(KEY_BYTES))
        now_ms = self._clock.now_ms()
        session = PanelSession(
            digest=key_digest(key.value),
            user_id=user_id,
            account_id=account_id,
            mark=mark_of(password_hash),
            network=network,
            made_ms=now_ms,
            used_ms=now_ms,
        )
        await self._store.commit(self._people.open, session)
        person = await self.find(key)
        return (key, person) if person is not None else WRONG

    async def enter(self, user_key: str, key: Secret, network: str) -> tuple[Secret, Person] | None:
        """The same for an account by the session of one of its applications, which asked for a link (smsend 4.3); None
        where that session is dead or none."""
        account = self._directory().accounts_by_user_key.get(user_key)
        if account is None or await self._sessions.find(account, key, renews=False) is not Found.ALIVE:
            return None
        opened = await self._open(0, account.id, self._directory().password_hashes[account.id], network)
        return None if isinstance(opened, Refused) else opened

    async def find(self, key: Secret) -> Person | None:
        """Whose session this is, as they are at this moment. Raises StoreError."""
        digest = key_digest(key.value)
        found = await self._store.read(lambda transaction: self._people.session(transaction, digest))
        now_ms = self._clock.now_ms()
        if found is None or not is_alive(found[0], now_ms):
            return None
        session, known = found
        person = self._person(session, known)
        if person is not None and now_ms - session.used_ms >= WRITTEN_MS:
            await self._store.commit(self._people.use, rows.SessionUse(digest, now_ms))
        return person

    def _person(self, session: PanelSession, known: Known | None) -> Person | None:
        directory = self._directory()
        if session.user_id:
            if known is None or not known.user.is_active or session.mark != mark_of(known.password_hash):
                return None
            caller = caller_of(known.user, directory)
            return None if caller is None else Person(caller=caller, session=session, language=known.user.language)
        account = directory.live_account(session.account_id)
        if account is None or session.mark != mark_of(directory.password_hashes[account.id]):
            return None
        return Person(caller=account_caller(account, directory), session=session)

    async def log_out(self, person: Person) -> None:
        await self.end_session(person, person.session.digest)

    async def sessions(self, person: Person) -> list[PanelSession]:
        """Where this person is logged in, the latest use first."""
        of = person.session
        now_ms = self._clock.now_ms()
        found = await self._store.read(
            lambda transaction: self._people.sessions(transaction, of.user_id, of.account_id)
        )
        return [one for one in found if is_alive(one, now_ms) and one.mark == of.mark]

    async def end_session(self, person: Person, digest: str) -> None:
        """End one of this person's sessions."""
        of = person.session
        end = rows.SessionEnd(user_id=of.user_id, account_id=of.account_id, digest=digest)
        await self._store.commit(self._people.end, end)

    async def end_others(self, person: Person) -> int:
        """End all of this person's sessions but this one; how many those were."""
        return await self._end_others(person, "")

    async def _end_others(self, person: Person, mark: str) -> int:
        of = person.session
        end = rows.SessionEnd(user_id=of.user_id, account_id=of.account_id, kept_digest=of.digest, mark=mark)
        return await self._store.commit(self._people.end, end)

    # One's own settings

    async def set_language(self, person: Person, language: str) -> None:
        """The language a user reads; an account that logged in has only its browser's."""
        if person.session.user_id:
            change = rows.UserChange(user_id=person.session.user_id, language=language[:LANGUAGE_MAX])
            await self._store.commit(self._people.change, change)

    async def change_password(self, person: Person, old: Secret, new: Secret) -> Refused | None:
        """A new password for a user, who is to know the old one; all their other sessions end."""
        user_id = person.session.user_id
        known = await self._store.read(lambda transaction: self._people.user(transaction, user_id))
        if known is None:
            return NO_USER
        whom = ("change password", user_id)
        refused = wrong_password(new) or self._charge(whom)
        if refused is not None:
            return refused
        if not await self._hash(verify, known.password_hash, composed(old.value)):
            return Refused(Refusal.UNAUTHORISED, "the old password is wrong")
        self._delays.forgive(whom)
        hashed = str(await self._hash(hash_password, composed(new.value)))
        await self._store.commit(self._people.change, rows.UserChange(user_id=user_id, password_hash=hashed))
        await self._end_others(person, mark_of(hashed))
        return None

    # Users

    async def users(self) -> list[User]:
        """Everybody, by name."""
        return await self._store.read(self._people.users)

    async def user(self, user_id: int) -> User | None:
        known = await self._store.read(lambda transaction: self._people.user(transaction, user_id))
        return None if known is None else known.user

    async def change_user(
        self, user_id: int, *, role: Role | None = None, account_id: int | None = None, is_active: bool | None = None
    ) -> Refused | None:
        """Another role, another account, in or out. None where it was done."""
        if role is not None:
            refused = self._wrong_role(role, account_id or 0)
            if refused is not None:
                return refused
        change = rows.UserChange(user_id=user_id, role=role, account_id=account_id, is_active=is_active)
        refusal = await self._store.commit(self._people.change, change)
        if refusal is None and is_active is False:
            await self._store.commit(self._people.end, rows.SessionEnd(user_id=user_id, account_id=0))
        return None if refusal is None else REFUSALS[refusal]

    def _wrong_role(self, role: Role, account_id: int) -> Refused | None:
        if account_id and role not in WITH_ACCOUNT:
            return Refused(Refusal.BAD_REQUEST, "owners and operators see every account")
        if role is Role.CUSTOMER and not account_id:
            return Refused(Refusal.BAD_REQUEST, "a customer needs an account")
        if account_id and self._directory().live_account(account_id) is None:
            return Refused(Refusal.NOT_FOUND, "there is no such account")
        return None

    # Invitations

    async def invite(self, author: str, role: Role, account_id: int, name: str) -> Secret | Refused:
        """What a one-time link ends in, by which somebody becomes a user; good for a week."""
        name = composed(name.strip())
        refused = self._wrong_role(role, account_id) or (wrong_name(name) if name else None)
        return refused or await self._invite(author, role, account_id, name, INVITED_MS)

    async def _invite(self, author: str, role: Role, account_id: int, name: str, good_ms: int) -> Secret | Refused:
        key = Secret(secrets.token_urlsafe(KEY_BYTES))
        now_ms = self._clock.now_ms()
        row = Invitation(
            digest=key_digest(key.value),
            role=role,
            account_id=account_id,
            name=name,
            author=author,
            made_ms=now_ms,
            expires_ms=now_ms + good_ms,
        )
        refusal = await self._store.commit(self._people.invite, row)
        return key if refusal is None else REFUSALS[refusal]

    async def invite_first(self) -> Secret | None:
        """What the link of the first owner ends in, good for a day and only until somebody is there; None where
        somebody is."""
        if await self._store.read(self._people.has_users):
            return None
        key = await self._invite(FIRST_AUTHOR, Role.OWNER, 0, "", FIRST_MS)
        return key if isinstance(key, Secret) else None

    async def invitations(self) -> Sequence[Invitation]:
        """Those that are still good, the latest first."""
        now_ms = self._clock.now_ms()
        return await self._store.read(lambda transaction: self._people.invitations(transaction, now_ms))

    async def withdraw(self, digest: str) -> None:
        """Make an invitation worthless."""
        await self._store.commit(self._people.withdraw, digest)

    async def invitation(self, key: Secret) -> Invitation | None:
        """What a link invites to, while it is good."""
        digest, now_ms = key_digest(key.value), self._clock.now_ms()
        return await self._store.read(lambda transaction: self._people.invitation(transaction, digest, now_ms))

    async def join(
        self, key: Secret, name: str, password: Secret, network: str, language: str = ""
    ) -> tuple[Secret, Person] | Refused:
        """Use a link up: somebody becomes a user, and is logged in."""
        invited = await self.invitation(key)
        if invited is None:
            return NO_LINK
        name = invited.name or composed(name.strip())
        refused = wrong_name(name) or wrong_password(password)
        if refused is not None:
            return refused
        if self._hashing_count >= HASHES_WAITING_MAX:
            return BUSY
        hashed = str(await self._hash(hash_password, composed(password.value)))
        return await self._join(key, name, hashed, network, language)

    async def _join(
        self, key: Secret, name: str, hashed: str, network: str, language: str
    ) -> tuple[Secret, Person] | Refused:
        joining = rows.Joining(
            digest=key_digest(key.value),
            name=name,
            password_hash=hashed,
            language=language[:LANGUAGE_MAX],
            now_ms=self._clock.now_ms(),
        )
        joined = await self._store.commit(self._people.join, joining)
        if isinstance(joined, rows.Refusal):
            return REFUSALS[joined]
        return await self._open(joined, 0, hashed, network)

    async def make_sure(self, name: str, password: Secret) -> None:
        """See to it that an owner of this name is there where nobody is yet (the demo)."""
        key = await self.invite_first()
        if key is not None:
            hashed = str(await self._hash(hash_password, composed(password.value)))
            joining = rows.Joining(
                digest=key_digest(key.value),
                name=name,
                password_hash=hashed,
                language="",
                now_ms=self._clock.now_ms(),
            )
            await self._store.commit(self._people.join, joining)

    async def sweep_once(self) -> None:
        """Forget sessions and links that have run out."""
        now_ms = self._clock.now_ms()
        sweep = rows.PeopleSweep(used_before_ms=now_ms - IDLE_MS, made_before_ms=now_ms - ABSOLUTE_MS, now_ms=now_ms)
        await self._store.commit(self._people.sweep, sweep)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_alive(session: PanelSession, now_ms: int) -> bool:
    return now_ms < session.used_ms + IDLE_MS and now_ms < session.made_ms + ABSOLUTE_MS


def mark_of(password_hash: str) -> str:
    """What a session is bound to: tells nothing about the hash."""
    return key_digest(f"panel {password_hash}")


def caller_of(user: User, directory: Directory) -> Caller | None:
    """What a user may do and see; None where their account is gone."""
    if not user.account_id:
        if user.role is Role.CUSTOMER:
            return None
        return Caller(
            name=user.name, permissions=PERMISSIONS[user.role], sight=EVERYTHING, user_id=user.id, role=user.role
        )
    account = directory.live_account(user.account_id)
    if account is None:
        return None
    return Caller(
        name=user.name,
        permissions=PERMISSIONS[user.role] - OPERATING,
        sight=sight_of(account, directory),
        account=account,
        user_id=user.id,
        role=user.role,
    )


def account_caller(account: Account, directory: Directory) -> Caller:
    """An account that logged in itself: a customer."""
    return Caller(
        name=account.name,
        permissions=PERMISSIONS[Role.CUSTOMER],
        sight=sight_of(account, directory),
        account=account,
        role=Role.CUSTOMER,
    )


def sight_of(account: Account, directory: Directory) -> Sight:
    """What an account sees: its own things, and those of its subaccounts."""
    return Sight(frozenset((account.id, *(one.id for one in directory.children(account.id)))))


def composed(text: str) -> str:
    """The same letters as the same code points, whatever keyboard they were typed on (RFC 8265 4.2)."""
    return unicodedata.normalize("NFC", text)


def wrong_name(name: str) -> Refused | None:
    if not name or len(name) > NAME_MAX or not name.isprintable():
        return Refused(Refusal.BAD_REQUEST, f"a name has 1 to {NAME_MAX} printable characters")
    return None


def wrong_password(password: Secret) -> Refused | None:
    if not (LENGTH_MIN <= len(password.value) <= LENGTH_MAX):
        return Refused(Refusal.BAD_REQUEST, f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters")
    return None
