"""Due messages go to their carrier, within its window and throughput; verdicts come back and are kept.

One dispatcher per carrier. While nothing waits and there is room, messages leave without queueing: they are accepted in
`sending`, which is one commit less. Else a round claims as many due messages as the link has room for (that commit says
"sending, attempt n" before a byte leaves) and starts each on its way. Every verdict is written down with what follows
from it; until that is written the message counts as ours. A link that is shut passes on what another carrier could
take. Whoever was blocked while a message to them waited does not get it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial

import structlog

from chappe.clock import Clock
from chappe.core.centre import Accepted, MessageCentre, Refusal, Refused, Uncertain, Verdict
from chappe.core.lifecycle import Move, after_doubt, after_query, after_verdict
from chappe.core.model import Carrier, Message, Report, State, Submission, UncertainPolicy
from chappe.dialects.base import DETAIL_MAX
from chappe.gateway.feed import Feed, Step
from chappe.gateway.pace import Change, Link, Throughput
from chappe.gateway.submission import IsBlocked, nobody_is_blocked
from chappe.store.callbacks import DueCallback
from chappe.store.database import StoreBroken, StoreError
from chappe.store.engine import Store
from chappe.store.sending import Claim, Reconsideration, Recorded, Sending

log = structlog.get_logger()

POLL_S = 1.0  # how soon a message that came due without a wake-up is noticed
CLAIM_MAX = 200
DETOUR_MAX = 200
DOUBTS_MAX = 100
UNRECORDED_FACTOR = 4  # verdicts waiting to be written, as a multiple of the window
RECORD_AGAIN_S = 1.0
IS_DOWN = Refused(Refusal.UNREACHABLE, "link is down")
OUT_OF_TIME = Refused(Refusal.UNREACHABLE, "its time ran out before it could leave")
BLOCKED = Refused(Refusal.BLOCKED)


class Dispatcher:
    """Everything about one carrier: what is under way, how its link fares, and the rounds."""

    def __init__(
        self,
        *,
        carrier: Carrier,
        centre: MessageCentre,
        store: Store,
        clock: Clock,
        feed: Feed,
        announce: Callable[[Iterable[DueCallback]], None],
        wake: Callable[[int], None],
        is_blocked: IsBlocked = nobody_is_blocked,
    ) -> None:
        self.carrier = carrier
        self.centre = centre
        self.link = Link()
        self.in_hand: set[int] = set()  # what this process has claimed for the carrier, until its fate is written
        self._lost_count = 1  # claims, and submissions with room here, of which nobody knows whether they were kept
        self._is_adoption_lost = True  # a predecessor's may have been, as its claim
        self._inherited: frozenset[int] | None = None  # what a predecessor has under way, by its own policy
        self._is_reconsidered = carrier.uncertain is UncertainPolicy.HOLD
        self._store = store
        self._clock = clock
        self._feed = feed
        self._announce = announce
        self._wake_carrier = wake
        self._is_blocked = is_blocked
        self._throughput = Throughput(carrier.throughput, clock.monotonic_s())
        self._under_way: set[int] = set()  # asked, not answered
        self._unrecorded: set[int] = set()  # answered, not written yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Future[Verdict]] = set()  # of a carrier that answers without a task
        self._doubts_count = 0  # came into doubt since this was last logged
        self._is_woken = asyncio.Event()
        self._wakes_count = 0
        self._is_short = False  # the last claim left nobody waiting ...
        self._is_drained = False  # ... and nobody came to wait since
        self._claiming_count = 0  # what a claim that is under way may bring
        self._reserved_count = 0  # messages about to be kept, which then leave at once
        self._is_settled = asyncio.Event()  # nothing is reserved, unanswered or unrecorded
        self._is_settled.set()
        self._is_stopping = False

    @property
    def in_flight_count(self) -> int:
        return len(self._under_way)

    def wake(self) -> None:
        """Look now: something may be due."""
        self._wakes_count += 1
        self._is_drained = False
        self._is_woken.set()

    # What leaves without queueing

    def reserve(self, messages: Sequence[Message]) -> bool:
        """Take room for messages that are about to be kept; not where others wait, who would be overtaken."""
        if not self._is_drained or len(messages) > self.room():
            return False
        ids = [message.id for message in messages]
        self.in_hand.update(ids)
        self._under_way.update(ids)
        self._throughput.spend(len(ids))
        self._reserved_count += len(ids)
        self._is_settled.clear()
        return True

    def begin(self, messages: Sequence[Message]) -> None:
        """They are kept, in `sending`: send them."""
        for message in messages:
            self._launch(message)
        self._unreserve(len(messages))

    def release(self, messages: Sequence[Message], *, is_lost: bool) -> None:
        """They are not sent. `is_lost`: nobody knows whether they were kept; then the next claim finds them."""
        ids = [message.id for message in messages]
        self.in_hand.difference_update(ids)
        self._under_way.difference_update(ids)
        self._unreserve(len(ids))
        self._lost_count += is_lost
        self.wake()

    def _unreserve(self, count: int) -> None:
        self._reserved_count -= count
        self._look_whether_settled()

    def _look_whether_settled(self) -> None:
        if not (self._reserved_count or self._answers or self._unrecorded):
            self._is_settled.set()

    # Rounds

    def stop(self) -> None:
        """Claim nothing more; what is under way goes on until `drain`."""
        self._is_stopping = True
        self.wake()

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait for what is under way; what takes longer is given up: doubtful, once this node leaves."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks or not self._is_settled.is_set():
                    await asyncio.gather(*self._tasks, self._is_settled.wait(), return_exceptions=True)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._give_up()
            raise
        self._give_up()
        await asyncio.gather(*self._tasks, *self._answers, return_exceptions=True)
        await self.centre.close()

    def _give_up(self) -> None:
        for one in list(self._tasks | self._answers):
            one.cancel()

    async def run(self) -> None:
        """Rounds until stopped: at once while there is room and work, else on a wake-up or when the wait is over."""
        self._inherited = frozenset(self.in_hand)
        self.centre.start(self.wake)
        while not self._is_stopping:
            self._is_woken.clear()
            try:
                claimed_count = await self.run_once()
            except StoreBroken:
                return
            except StoreError:
                claimed_count = 0
            if not claimed_count:
                await self._rest()

    async def _rest(self) -> None:
        now_s = self._clock.monotonic_s()
        wait_s = min(POLL_S, self.link.wait_s(now_s) or self._throughput.wait_s() or POLL_S)
        try:
            async with asyncio.timeout(wait_s):
                await self._is_woken.wait()
        except TimeoutError:
            pass

    async def run_once(self) -> int:
        """One round: claim what the link has room for and start it; tells how many messages that were."""
        room = self.room()
        if room:
            wakes_count, count_max = self._wakes_count, room
            if self._is_short:  # hardly anybody waits: what comes during this claim need not queue behind it
                count_max, self._is_drained = max(1, room - room // 4), True
            self._claiming_count = count_max
            try:
                claimed = await self._claim(count_max)
            finally:
                self._claiming_count = 0
            self._is_short = len(claimed) < count_max
            self._is_drained = self._is_short and wakes_count == self._wakes_count
            self._throughput.spend(len(claimed))
            for message in claimed:
                self._launch(message)
            return len(claimed)
        if self.link.is_shut(self._clock.monotonic_s()) and not self._is_stopping:
            return await self._pass_on()
        return 0

    def _launch(self, message: Message) -> None:
        """Send a message that is in `sending` and ours, if nothing speaks against it."""
        hindrance = self._hindrance(message)
        if hindrance is None:
            self._under_way.add(message.id)
            self._send(message)
        else:
            self._under_way.discard(message.id)
            self._record(message, self._after(message, hindrance), hindrance)

    def _hindrance(self, message: Message) -> Refused | None:
        """Why a claimed message must not leave after all."""
        if self._clock.now_ms() >= message.expires_ms:  # claimed long ago, and the answer was lost until now
            return OUT_OF_TIME
        is_blocked = self._is_blocked(message.account_id, message.recipient, message.originator)
        return BLOCKED if is_blocked else None

    def room(self) -> int:
        """How many messages may leave now."""
        now_s = self._clock.monotonic_s()
        if self._is_stopping or len(self._unrecorded) > UNRECORDED_FACTOR * self.carrier.window:
            return 0
        room = self.link.allowance(self.carrier.window, now_s) - len(self._under_way)
        allowance = self._throughput.allowance(now_s)
        room = min(room, CLAIM_MAX if allowance is None else allowance, CLAIM_MAX)
        return max(0, room - self._claiming_count)

    async def _claim(self, count_max: int, *, is_detour: bool = False) -> list[Message]:
        # A claim that ends in an exception may have been kept all the same: the next one asks for what it took. What is
        # in hand is looked at when the claim is written: by then more may have been accepted straight into it.
        lost_count, self._lost_count = self._lost_count, self._lost_count + 1
        claim = Claim(
            self.carrier.id, count_max, self._clock.now_ms(), self.in_hand, is_detour, is_repeat=lost_count > 0
        )
        claimed = await self._store.claim(claim)
        self._lost_count -= lost_count + 1  # what was lost meanwhile is for the next one
        self.in_hand.update(message.id for message in claimed)
        return claimed

    async def _pass_on(self) -> int:
        claimed = await self._claim(DETOUR_MAX, is_detour=True)
        for message in claimed:
            self._record(message, self._after(message, IS_DOWN), IS_DOWN)
        return len(claimed)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, message: Message) -> None:
        answer: asyncio.Future[Verdict]
        try:
            answer = asyncio.ensure_future(self.centre.submit(southward(message)))
        except Exception as error:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(error)
        self._answers.add(answer)
        self._is_settled.clear()
        answer.add_done_callback(partial(self._take_answer, message))

    def _take_answer(self, message: Message, answer: "asyncio.Future[Verdict]") -> None:
        self._answers.discard(answer)
        self._under_way.discard(message.id)
        if answer.cancelled():  # given up: doubtful, once this node leaves
            self._look_whether_settled()
            return
        error = answer.exception()
        if error is None:
            verdict = answer.result()
        else:  # a carrier that breaks must not take the gateway along; nobody knows what left
            log.error("carrier_broke", carrier=self.carrier.name, message_id=message.id, exc_info=error)
            verdict = Uncertain("carrier failed")
        self._hear(verdict)
        if not self._is_drained:  # who waits may have room now
            self._is_woken.set()
        self._record(message, self._after(message, verdict), verdict)

    def _hear(self, verdict: Verdict) -> None:
        now_s = self._clock.monotonic_s()
        self.link.hear(verdict, now_s)
        self._doubts_count += isinstance(verdict, Uncertain)
        change = self.link.change(now_s)
        if change is Change.SHUT:
            wait_s = round(self.link.wait_s(now_s), 1)
            reason = verdict.reason.value if isinstance(verdict, Refused) else "no answer"
            log.warning("carrier_down", carrier=self.carrier.name, reason=reason, wait_s=wait_s)
        elif change is Change.BACK:
            log.info("carrier_back", carrier=self.carrier.name)

    def _after(self, message: Message, verdict: Verdict) -> Move:
        return after_verdict(message, verdict, self.carrier.uncertain, self._clock.now_ms())

    async def settle_doubts_once(self) -> int:
        """One round over messages in doubt: asked about, sent again, failed or held, as the policy says."""
        if self._doubts_count:
            policy = self.carrier.uncertain.value
            log.warning("messages_in_doubt", carrier=self.carrier.name, count=self._doubts_count, policy=policy)
            self._doubts_count = 0
        await self._reconsider_once()
        is_repeat = self._is_adoption_lost
        claim = Claim(self.carrier.id, DOUBTS_MAX, self._clock.now_ms(), self.in_hand, is_repeat=is_repeat)
        self._is_adoption_lost = True
        adopted = await self._store.adopt(claim)
        self._is_adoption_lost = False
        self.in_hand.update(message.id for message in adopted)
        for message in adopted:
            self._start(self._settle_doubt(message))
        return len(adopted)

    async def _reconsider_once(self) -> None:
        """What was held under an earlier policy follows ours, once no predecessor can hold any more of it."""
        if self._is_reconsidered or self._inherited is None or self._inherited & self.in_hand:
            return
        await self._store.reconsider(Reconsideration(self.carrier.id, self._clock.now_ms()))
        self._is_reconsidered = True

    async def _settle_doubt(self, message: Message) -> None:
        self._unrecorded.add(message.id)
        now_ms = self._clock.now_ms()
        if self.carrier.uncertain is UncertainPolicy.QUERY and self.centre.finds_our_reference:
            answer = await self._ask(message)
            move = after_query(message, answer, now_ms)
            references = (answer.reference,) if isinstance(answer, Report) and answer.reference else ()
        else:
            move, references = after_doubt(message, self.carrier.uncertain, now_ms), None
        self._record(message, move, Uncertain("in doubt"), references)

    async def _ask(self, message: Message) -> Report | Refused | Uncertain:
        try:
            return await self.centre.query(str(message.id), message.originator, message.recipient)
        except Exception:
            log.exception("carrier_broke", carrier=self.carrier.name, message_id=message.id)
            return Uncertain("carrier failed")

    def _record(
        self, message: Message, move: Move, verdict: Verdict, references: tuple[str, ...] | None = None
    ) -> None:
        """Write a verdict, however long the database is away: until then the message is doubtful to everybody else."""
        self._unrecorded.add(message.id)
        self._is_settled.clear()
        sending = Sending(
            message=message,
            move=move,
            now_ms=self._clock.now_ms(),
            references=self._references(message, move, verdict) if references is None else references,
            detail=detail_of(verdict),
        )
        self._store.record(sending).add_done_callback(partial(self._take_record, sending))

    def _take_record(self, sending: Sending, record: "asyncio.Future[Recorded]") -> None:
        error = None if record.cancelled() else record.exception()
        if isinstance(error, StoreError) and not isinstance(error, StoreBroken):
            self._start(self._record_again(sending))
            return
        self._unrecorded.discard(sending.message.id)
        self.in_hand.discard(sending.message.id)
        if error is None and not record.cancelled() and record.result().is_made:
            self._follow_up(sending, record.result())
        self._look_whether_settled()

    async def _record_again(self, sending: Sending) -> None:
        await asyncio.sleep(RECORD_AGAIN_S)
        self._store.record(sending).add_done_callback(partial(self._take_record, sending))

    def _follow_up(self, sending: Sending, recorded: Recorded) -> None:
        message, move = sending.message, sending.move
        self._tell(message, move)
        self._announce(recorded.callbacks)
        if move.state is State.QUEUED:
            self._wake_carrier(move.carrier_id)

    def _references(self, message: Message, move: Move, verdict: Verdict) -> tuple[str, ...]:
        """What receipts will call the message. One in doubt may have been taken: then its receipt tells, if it can."""
        if isinstance(verdict, Accepted):
            return tuple(ticket.reference for ticket in verdict.tickets if ticket.reference)
        is_in_doubt = move.state is State.SENDING
        return (str(message.id),) if is_in_doubt and self.centre.receipts_name_our_reference else ()

    def _tell(self, message: Message, move: Move) -> None:
        step = STEPS.get(move.state, Step.RECEIPT)
        if step is Step.RETRIED and move.carrier_id != message.carrier_id:
            step = Step.REROUTED
        self._feed.tell(step, self.carrier.name, message.id, message.recipient)


STEPS = {
    State.SENT: Step.SENT,
    State.QUEUED: Step.RETRIED,
    State.SENDING: Step.DOUBTFUL,
    State.REJECTED: Step.REJECTED,
    State.EXPIRED: Step.REJECTED,
    State.UNDELIVERABLE: Step.REJECTED,
    State.UNKNOWN: Step.REJECTED,
}


def southward(message: Message) -> Submission:
    """The message as it is submitted to a carrier; our id goes along as the reference."""
    return Submission(
        recipients=(message.recipient,),
        text=message.text,
        originator=message.originator,
        service=message.service,
        priority=message.priority,
        reference=str(message.id),
        coding=message.coding,
    )


def detail_of(verdict: Verdict) -> str:
    """The carrier's own words, for the story of the message."""
    if isinstance(verdict, Refused):
        return f"{verdict.reason}: {verdict.detail}"[:DETAIL_MAX] if verdict.detail else verdict.reason.value
    return verdict.detail[:DETAIL_MAX] if isinstance(verdict, Uncertain) else ""
