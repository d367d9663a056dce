"""New passwords: hashed and sealed in a thread, kept in one commit that every running server follows.

Whoever changes a password is told so after the commit and after this node follows it, so that the old one, and the
sessions opened with it, are refused from then on. `chappe apply` sets the password of its file again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from chappe.core.centre import Done, Refusal, Refused
from chappe.core.model import Secret
from chappe.core.sessions import ChangePassword
from chappe.gateway.front import Answers
from chappe.gateway.secrets import Sealer, hash_password
from chappe.store.configuration import NewPassword
from chappe.store.database import StoreError
from chappe.store.engine import Store

LENGTH_MIN, LENGTH_MAX = 8, 256  # characters
WAITING_MAX = 20  # 0.6 s of work
RETRY_AFTER_S = 1.0


class Kept(Struct, frozen=True):
    """The two forms in which a password is stored."""

    password_hash: str
    token_sealed: str


class PasswordDesk:
    """`follow` makes this node's directory current."""

    def __init__(self, store: Store, sealer: Sealer, follow: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._sealer = sealer
        self._follow = follow
        self._thread = ThreadPoolExecutor(1, "chappe-new-password")
        self._waiting_count = 0

    @property
    def answers(self) -> Answers:
        return {ChangePassword: lambda call, _dialect, _network: self.change(call.account.id, call.password)}

    async def change(self, account_id: int, password: Secret) -> Done | Refused:
        kept = await self.make(password)
        if isinstance(kept, Refused):
            return kept
        wish = NewPassword(account_id=account_id, password_hash=kept.password_hash, token_sealed=kept.token_sealed)
        await self._store.commit(self._store.configuration.change_password, wish)
        with contextlib.suppress(StoreError):  # it is kept: the ticker follows in a moment
            await self._follow()
        return Done()

    async def make(self, password: Secret) -> Kept | Refused:
        """A password in the forms it is stored in; refused where it cannot be one, or too many wait for theirs."""
        if not (LENGTH_MIN <= len(password.value) <= LENGTH_MAX and password.value.isprintable()):
            detail = f"a password has {LENGTH_MIN} to {LENGTH_MAX} printable characters"
            return Refused(Refusal.BAD_REQUEST, detail)
        if self._waiting_count >= WAITING_MAX:
            return Refused(Refusal.OVERLOADED, "too many new passwords at once", RETRY_AFTER_S)
        self._waiting_count += 1
        try:
            hashed = await asyncio.get_running_loop().run_in_executor(self._thread, hash_password, password.value)
        finally:
            self._waiting_count -= 1
        return Kept(hashed, self._sealer.seal(password.value))

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)
