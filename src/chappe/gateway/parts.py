"""Long messages that are submitted part by part: each part is kept when it is answered, the whole is submitted once.

The message's id is made with its first part, so it is submitted under the same one however often that is tried: by
whoever brings the last part, or by a round that finds parts of which nobody heard the end. Each part is answered under
an id of its own. Where the whole is refused, the last part gets that for its answer; those that were answered before
are told by a receipt, if they asked for one. What stays incomplete ends with a receipt too, and costs nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from chappe.clock import Clock
from chappe.core.centre import Accepted, Created, FindWhole, Refusal, Refused, SubmitPart, Ticket, Verdict
from chappe.core.ids import IdMaker, read_id
from chappe.core.model import Account, Message, Priority, Service, State, Submission
from chappe.dialects.base import Dialect
from chappe.gateway.front import Answers
from chappe.gateway.submission import WAITING_MAX
from chappe.sms.segments import SEGMENTS_MAX
from chappe.store.callbacks import CallbackDraft, DueCallback
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.parts import PATIENCE_MS, Closing, Ending, Fate, PartArrival, PartKey, PartSet

log = structlog.get_logger()

SETTLED_MS = 30_000  # whoever brought the last part has submitted the message by then, or never will
ROUND_MAX = 500
NOT_FOUND = Refused(Refusal.NOT_FOUND)
TOO_MANY = Refused(Refusal.THROTTLED, "too many parts wait for others")
PASSING = frozenset({Refusal.OVERLOADED, Refusal.THROTTLED, Refusal.INTERNAL})  # the same may be taken later


class Words(Protocol):
    """What the dialect of the parts knows of them; a part is its id and its content."""

    def whole(self, parts: Sequence[tuple[int, str]]) -> Submission | Refused:
        """The submission that all parts of a message make."""
        ...

    def is_same(self, one: str, other: str) -> bool:
        """Whether two contents are copies of one part."""
        ...

    def has_part(self, memo: str, part_id: int) -> bool:
        """Whether a part with this id is one of the message with this memo, whose own id is no greater."""
        ...

    def said(self, parts: Sequence[tuple[int, str]]) -> Submission:
        """What some of them say about the whole."""
        ...


class Intake(Protocol):
    """The one way in."""

    async def quote(self, account: Account, submission: Submission, dialect: Dialect) -> Verdict: ...

    async def submit_once(
        self, account: Account, submission: Submission, dialect: Dialect, message_id: int, *, is_new: bool = False
    ) -> Verdict: ...


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    def account(self, account_id: int) -> Account | None: ...


class PartDesk:
    """`tell` plans the callback that a message came into a state, `announce` takes callbacks in hand."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        dialect: Dialect,
        words: Words,
        intake: Intake,
        clock: Clock,
        ids: IdMaker,
        tell: Callable[[Message, State, str], CallbackDraft | None],
        announce: Callable[[Iterable[DueCallback]], None],
    ) -> None:
        self._store = store
        self._directory = directory
        self._dialect = dialect
        self._words = words
        self._intake = intake
        self._clock = clock
        self._ids = ids
        self._tell = tell
        self._announce = announce
        self._finishing: dict[int, asyncio.Task[Verdict]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def answers(self) -> Answers:
        return {
            SubmitPart: lambda call, _dialect, _network: self.submit(call),
            FindWhole: lambda call, _dialect, _network: self.find_whole(call),
        }

    async def find_whole(self, call: FindWhole) -> Created | Refused:
        part_id = read_id(call.reference)
        if part_id is None:
            return NOT_FOUND
        histories, account_id = self._store.histories, call.account.id
        found = await self._store.read(
            lambda transaction: histories.before(transaction, account_id, part_id, self._dialect.name)
        )
        return Created((found[0],)) if found and self._words.has_part(found[1], part_id) else NOT_FOUND

    async def submit(self, call: SubmitPart) -> Verdict:
        """Keep a part, and submit the message that it completes. Raises StoreError."""
        place, submission = call.concatenation, call.submission
        if not (len(submission.recipients) == 1 and 1 <= place.position <= place.total <= SEGMENTS_MAX):
            return Refused(Refusal.BAD_REQUEST)
        if self._store.waiting_count > WAITING_MAX:
            return Refused(Refusal.OVERLOADED)
        # What is wrong with the whole whatever its text is told at once.
        quoted = await self._intake.quote(call.account, readable(submission), self._dialect)
        if isinstance(quoted, Refused):
            return quoted
        now_ms = self._clock.now_ms()
        arrival = PartArrival(
            key=PartKey(call.account.id, submission.originator, submission.recipients[0], place.reference, place.total),
            position=place.position,
            content=call.content,
            message_id=self._ids.make(now_ms, place.total),
            now_ms=now_ms,
        )
        kept = await self._store.commit(self._store.parts.keep, arrival)
        self._announce(kept.callbacks)
        if not kept.part_id:
            return TOO_MANY
        if kept.whole is not None:
            verdict = await self._finish(call.account, kept.whole, place.position, is_new=not kept.is_copy)
            if not isinstance(verdict, Accepted):
                return verdict
        return Accepted((Ticket(recipient=submission.recipients[0], reference=str(kept.part_id)),))

    async def run_once(self) -> int:
        """One round: end what stays incomplete, submit what nobody did; tells how many messages that were."""
        now_ms = self._clock.now_ms()
        ended = await self._store.commit(self._store.parts.end, Ending(now_ms, ROUND_MAX))
        if ended:
            log.warning("submissions_incomplete", count=len(ended), waited_s=PATIENCE_MS // 1000)
        self._announce(ended)
        found = await self._store.read(
            lambda transaction: self._store.parts.whole(transaction, now_ms, SETTLED_MS, ROUND_MAX)
        )
        for one in found:
            account = self._directory().account(one.key.account_id)
            if account is not None:
                await self._finish(account, one, 0, is_new=False)
        return len(ended) + len(found)

    async def _finish(self, account: Account, whole: PartSet, last_position: int, *, is_new: bool) -> Verdict:
        """Submit a whole message, once at a time; who comes meanwhile gets the same verdict."""
        running = self._finishing.get(whole.message_id)
        if running is None:
            running = asyncio.create_task(self._submit_whole(account, whole, last_position, is_new=is_new))
            self._finishing[whole.message_id] = running
            running.add_done_callback(lambda _: self._finishing.pop(whole.message_id, None))
        return await asyncio.shield(running)  # the message is submitted also where nobody waits any more

    async def _submit_whole(self, account: Account, whole: PartSet, last_position: int, *, is_new: bool) -> Verdict:
        submission = self._words.whole([(part.part_id, part.content) for part in whole.parts])
        if isinstance(submission, Refused):
            verdict: Verdict = submission
        else:
            try:
                verdict = await self._intake.submit_once(
                    account, submission, self._dialect, whole.message_id, is_new=is_new
                )
            except StoreError:  # nobody knows; it is asked again under the same id
                return Refused(Refusal.OVERLOADED)
        closing = self._close(whole, verdict, last_position)
        if not isinstance(verdict, Accepted):
            await closing  # what becomes of the parts is written before anybody is told
            return verdict
        # The message is kept, and what is not written now a round writes: nobody needs to wait, lest a receipt overtake
        # the answer.
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return verdict

    async def _close(self, whole: PartSet, verdict: Verdict, last_position: int) -> None:
        if isinstance(verdict, Accepted):
            fate = Fate.SUBMITTED
        elif isinstance(verdict, Refused) and verdict.reason not in PASSING:
            fate = Fate.REFUSED
        elif last_position:
            fate = Fate.PUT_BACK
        else:
            return  # the next round tries again
        closing = Closing(whole=whole, fate=fate, last_position=last_position, now_ms=self._clock.now_ms())
        try:
            callbacks = await self._store.commit(self._store.parts.close, closing)
            self._announce(callbacks)
        except StoreError:  # the next round finds the parts again, and the message under its id
            log.warning("parts_not_closed", message_id=whole.message_id)

    def plan(self, ended: PartSet, state: State) -> Sequence[CallbackDraft]:
        """Who is told that parts became nothing. Asked in the writer's thread."""
        said = self._words.said([(part.part_id, part.content) for part in ended.parts])
        if not said.wants_callbacks:
            return ()
        message = ended_message(ended, said, self._dialect, state, self._clock.now_ms())
        draft = self._tell(message, state, "")
        return (draft,) if draft is not None else ()


def readable(submission: Submission) -> Submission:
    """The submission of a part as one that could be sent: its text is in pieces."""
    return Submission(
        recipients=submission.recipients,
        text=".",
        originator=submission.originator,
        service=submission.service,
        scheduled_ms=submission.scheduled_ms,
    )


def ended_message(ended: PartSet, said: Submission, dialect: Dialect, state: State, now_ms: int) -> Message:
    """What is told about a message that never was one."""
    return Message(
        id=ended.message_id,
        submission_id=ended.message_id,
        account_id=ended.key.account_id,
        dialect=dialect.name,
        reference=said.reference,
        originator=said.originator,
        recipient=ended.key.recipient,
        text="",
        segments=len(ended.parts),
        price_micros=0,
        service=Service.STANDARD,
        priority=said.priority or Priority.NORMAL,
        carrier_id=0,
        backups=(),
        state=state,
        attempt=0,
        failures=0,
        due_ms=now_ms,
        expires_ms=now_ms,
        wants_callbacks=True,
        memo=said.memo,
    )
