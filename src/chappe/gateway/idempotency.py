"""One answer for one Idempotency-Key, however often it is asked for within a day.

Before a request is carried out, the ids of the messages it makes are committed with its key. If nobody hears the answer
any more, because the connection or the whole process died, the same request asked again makes the same messages or
finds them made: it sends nothing twice. The answer itself is committed before it is told, and told again byte for byte.

What may go well another time (overload, throttling) keeps no answer: asked again, it is tried again under its ids; what
has no ids is tried again only where it is certain that nothing was done.
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from hashlib import sha256

from msgspec import Struct

from chappe.clock import Clock
from chappe.core.ids import IdMaker
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.kept_answers import AnswerSweep, GivenAnswer, Intent, KeptAnswer, Withdrawal

KEPT_MS = 24 * 3_600_000
KEY_MAX = 255  # characters
SWEEP_MAX = 1_000
SWEEPS_MAX = 50


class Answer(Struct, frozen=True, kw_only=True):
    """What was, or is to be, told: headers and body are kept as they are."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    is_replayed: bool = False


class Conflict(Enum):
    """Why a request cannot be answered under its key."""

    OTHER_REQUEST = "other_request"  # the key was used with another one
    IN_PROGRESS = "in_progress"  # the same is being carried out at this moment
    UNKNOWN = "unknown"  # it was begun, and nobody knows what became of it


class Settled(Struct, frozen=True):
    """What carrying out a request came to. `is_final`: asked again, it is to be answered the same. If not, `is_undone`
    says whether it is certain that nothing was done."""

    answer: Answer
    is_final: bool = True
    is_undone: bool = False


class AnswerDesk:
    def __init__(self, *, store: Store, clock: Clock, ids: IdMaker) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._running: set[tuple[int, str]] = set()

    async def once(
        self,
        account_id: int,
        key: str,
        request: bytes,
        ids_count: int,
        carry_out: Callable[[int], Awaitable[Settled]],
    ) -> Answer | Conflict:
        """The answer to a request under its key: carried out if it is the first, else what was told before.

        `carry_out` gets the first of `ids_count` ids that are its own; with `ids_count` 0, what it does cannot be done
        again under the same ids, so that what was begun and not finished is `UNKNOWN`. Raises StoreError.
        """
        whose = account_id, key
        if whose in self._running:
            return Conflict.IN_PROGRESS
        self._running.add(whose)
        try:
            return await self._once(account_id, key, sha256(request).hexdigest(), ids_count, carry_out)
        finally:
            self._running.discard(whose)

    async def _once(
        self,
        account_id: int,
        key: str,
        digest: str,
        ids_count: int,
        carry_out: Callable[[int], Awaitable[Settled]],
    ) -> Answer | Conflict:
        now_ms = self._clock.now_ms()
        intent = Intent(
            account_id=account_id,
            key=key,
            request_digest=digest,
            first_id=self._ids.make(now_ms, max(1, ids_count)),
            now_ms=now_ms,
            oldest_ms=now_ms - KEPT_MS,
        )
        kept = await self._store.commit(self._store.kept_answers.begin, intent)
        if kept.request_digest != digest:
            return Conflict.OTHER_REQUEST
        if kept.status:
            return told_again(kept)
        if kept.first_id != intent.first_id and not ids_count:
            return Conflict.UNKNOWN
        settled = await carry_out(kept.first_id)
        if settled.is_final:
            return await self._keep(account_id, key, kept.first_id, settled.answer)
        if not ids_count and settled.is_undone:
            withdrawal = Withdrawal(account_id=account_id, key=key, first_id=kept.first_id)
            await self._store.commit(self._store.kept_answers.withdraw, withdrawal)
        return settled.answer

    async def _keep(self, account_id: int, key: str, first_id: int, answer: Answer) -> Answer:
        given = GivenAnswer(
            account_id=account_id,
            key=key,
            first_id=first_id,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )
        kept = await self._store.commit(self._store.kept_answers.finish, given)
        if kept is None or kept.first_id != first_id or (kept.status, kept.body) == (answer.status, answer.body):
            return answer
        return told_again(kept)  # another node was asked the same and was quicker

    async def sweep_once(self) -> None:
        """Forget answers that are a day old."""
        sweep = AnswerSweep(self._clock.now_ms() - KEPT_MS, SWEEP_MAX)
        for _ in range(SWEEPS_MAX):
            try:
                if await self._store.commit(self._store.kept_answers.sweep, sweep) < SWEEP_MAX:
                    return
            except StoreError:
                return


def told_again(kept: KeptAnswer) -> Answer:
    return Answer(status=kept.status, headers=kept.headers, body=kept.body, is_replayed=True)


def is_key(key: str) -> bool:
    """Whether it can be one: 1 to 255 printable ASCII characters."""
    return 0 < len(key) <= KEY_MAX and key.isascii() and key.isprintable()
