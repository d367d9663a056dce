"""Due messages go to their carrier, within its window and throughput; verdicts come back and are kept.

One dispatcher per carrier. While nothing waits and there is room, messages leave without queueing: they are accepted in
`sending`, which is one commit less. Else a round claims as many due messages as the link has room for (that commit says
"sending, attempt n" before a byte leaves) and starts each on its way. Every verdict is written down with what follows
from it; until that is written the message counts as ours. A link that is shut passes on what another carrier could
take. Whoever was blocked while a message to them waited does not get it.

`room` says how much may leave now and `spend` takes from it: messages, or segments where the way is by binds, whose
windows and caps are about single `submit_sm`. A long message leaves whole as soon as there is room for one segment, so
that it never waits behind short ones for more room; what it took too much is made up for before anything else leaves.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial

import structlog

from chappe.clock import Clock
from chappe.core.centre import Accepted, MessageCentre, Refusal, Refused, Uncertain, Verdict
from chappe.core.lifecycle import VALIDITY_DEFAULT_S, Move, after_doubt, after_query, after_verdict
from chappe.core.model import Carrier, Message, Priority, Report, State, Submission, UncertainPolicy
from chappe.core.story import Kind
from chappe.dialects.base import DETAIL_MAX
from chappe.gateway.feed import Feed, Step
from chappe.gateway.pace import Change, Link, Rate, Throughput
from chappe.gateway.submission import IsBlocked, nobody_is_blocked
from chappe.store.callbacks import DueCallback
from chappe.store.database import StoreBroken, StoreError
from chappe.store.engine import Store
from chappe.store.sending import Claim, Reconsideration, Recorded, Sending

log = structlog.get_logger()

POLL_S = 1.0  # how soon a message that came due without a wake-up is noticed
CLAIM_MAX = 200
DETOUR_MAX = 200
DETOUR_OVERLAP_MS = 10_000  # how late a message may be kept after it came due, and still be passed on at once
DETOUR_WHOLE_MS = 60_000  # how often all that waits is looked through for what another carrier could take
AHEAD = 2  # places that urgent messages may take in advance of a carrier's throughput
LINKS_PATIENCE_S = 2.0  # how long all binds may be gone before another carrier is asked
SEGMENTS_WEIGHT = 0.1  # of the last message, in the average of what one takes
WORDS_MAX = 100  # characters of what a carrier said last
DOUBTS_MAX = 100
UNRECORDED_FACTOR = 4  # verdicts waiting to be written, as a multiple of the window
RECORD_AGAIN_S = 1.0
VALIDITY_NEARLY_S = 60  # what differs from the default by no more than this is the default
IS_DOWN = Refused(Refusal.UNREACHABLE, "link is down")
OUT_OF_TIME = Refused(Refusal.UNREACHABLE, "its time ran out before it could leave")
BLOCKED = Refused(Refusal.BLOCKED)
BLOCKED_HERE = "blocked: the recipient asked for no more messages while it waited"


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
        self.sent = Rate()
        self._throttled = Rate()
        self.troubles: Counter[str] = Counter()  # refusals by reason and missing answers, since the start
        self.last_words = ""  # of the carrier, when it last refused
        self._throughput = Throughput(carrier.throughput, clock.monotonic_s())
        self._is_by_segments = centre.links.binds_wanted > 0
        self._links_changed_s = clock.monotonic_s()
        self._down_since_s: float | None = None  # since when no bind stands
        self._passed_on_ms = self._looked_whole_ms = 0  # what came due before is passed on; and when all was looked at
        self._under_way: dict[int, int] = {}  # asked, not answered, and what each takes of the room
        self._taken = 0  # by all of them
        self._taken_each = 1.0  # on average
        self._unrecorded: set[int] = set()  # answered, not written yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Future[Verdict]] = set()  # of a carrier that answers without a task
        self._doubts_count = 0  # came into doubt since this was last logged
        self._is_woken = asyncio.Event()
        self._wakes_count = self._urgent_wakes_count = 0
        self._is_urgent_gone = False  # the last claim left nobody waiting who is urgent, and nobody urgent came since
        self._is_short = False  # the last claim left nobody waiting ...
        self._is_drained = False  # ... and nobody came to wait since
        self._is_up = centre.links.is_up  # these two follow the links
        self._window = carrier.window
        self._claiming_count = 0  # what a claim that is under way may bring
        self._reserved_count = 0  # messages about to be kept, which then leave at once
        self._is_settled = asyncio.Event()  # nothing is reserved, unanswered or unrecorded
        self._is_settled.set()
        self._is_stopping = False

    @property
    def in_flight_count(self) -> int:
        return len(self._under_way)

    def wake(self, *, is_urgent: bool = True) -> None:
        """Look now: something may be due."""
        self._wakes_count += 1
        self._is_drained = False
        if is_urgent:
            self._urgent_wakes_count += 1
            self._is_urgent_gone = False
        self._is_woken.set()

    def _follow_links(self) -> None:
        """The ways to the carrier got better or worse."""
        now_s = self._clock.monotonic_s()
        self._links_changed_s = now_s
        links = self.centre.links
        self._is_up = links.is_up
        self._window = self.carrier.window if links.room is None else links.room + links.window_used
        if links.is_up:
            self._down_since_s = None
            self.link.restore()
        elif self._down_since_s is None:
            self._down_since_s = now_s
        self.wake()

    @property
    def is_down(self) -> bool:
        return self.link.is_down or not self.centre.links.is_up

    def is_shut(self, now_s: float) -> bool:
        """Whether it is no use to wait for this carrier."""
        is_lost = self._down_since_s is not None and now_s - self._down_since_s >= LINKS_PATIENCE_S
        return is_lost or self.link.is_shut(now_s)

    # Room

    def room(self) -> int:
        """How much may leave now: messages, or segments where the way is by binds."""
        now_s = self._clock.monotonic_s()
        allowance = self._throughput.allowance(now_s)
        room = min(self._window_left(now_s), CLAIM_MAX if allowance is None else allowance, CLAIM_MAX)
        return max(0, room - self._claiming_count)

    def _window_left(self, now_s: float) -> int:
        window = self._window
        if self._is_stopping or not self._is_up or len(self._unrecorded) > UNRECORDED_FACTOR * window:
            return 0
        return self.link.allowance(window, now_s) - self._taken

    def _room_ahead(self) -> int:
        """How much may leave now that is urgent: of the window what there is, of the throughput a little in advance."""
        now_s = self._clock.monotonic_s()
        return max(0, min(self._window_left(now_s) - self._claiming_count, self._throughput.ahead(now_s) + AHEAD))

    def spend(self, messages: Iterable[Message]) -> None:
        """These leave: take what they need of the room. The window has it back with each answer."""
        taken = 0
        for message in messages:
            takes = self._under_way[message.id] = self._takes(message)
            self._taken_each += SEGMENTS_WEIGHT * (takes - self._taken_each)
            taken += takes
        self._taken += taken
        self._throughput.spend(taken)

    def _takes(self, message: Message) -> int:
        return message.segments if self._is_by_segments else 1

    def _give_back(self, message: Message) -> None:
        self._taken -= self._under_way.pop(message.id, 0)

    # What leaves without queueing

    def reserve(self, messages: Sequence[Message]) -> bool:
        """Take room for messages that are about to be kept; not where others wait who must not be overtaken. What is
        urgent overtakes what is not, a little ahead of its time: bulk takes each place as soon as there is one."""
        if self._is_drained:
            room = self.room()
        else:
            room = self._room_ahead() if self._is_urgent_gone and are_urgent(messages) else 0
        if sum(map(self._takes, messages)) > room:
            return False
        self.in_hand.update(message.id for message in messages)
        self.spend(messages)
        self._reserved_count += len(messages)
        self._is_settled.clear()
        return True

    def begin(self, messages: Sequence[Message]) -> None:
        """They are kept, in `sending`: send them."""
        for message in messages:
            self._launch(message)
        self._unreserve(len(messages))

    def release(self, messages: Sequence[Message], *, is_lost: bool) -> None:
        """They are not sent. `is_lost`: nobody knows whether they were kept; then the next claim finds them."""
        self.in_hand.difference_update(message.id for message in messages)
        for message in messages:
            self._give_back(message)
        self._unreserve(len(messages))
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
            await self._give_up()
            raise
        await self._give_up()

    async def _give_up(self) -> None:
        """End what is under way, then the ways it uses."""
        for one in list(self._tasks | self._answers):
            one.cancel()
        await asyncio.gather(*self._tasks, *self._answers, return_exceptions=True)
        await self.centre.close()

    async def run(self) -> None:
        """Rounds until stopped: at once while there is room and work, else on a wake-up or when the wait is over."""
        self._inherited = frozenset(self.in_hand)
        self.centre.start(self._follow_links)
        self._follow_links()
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
        is_up = self._down_since_s is None  # else a link that comes up wakes us
        wait_s = min(POLL_S, (self.link.wait_s(now_s) or self._throughput.wait_s() if is_up else 0.0) or POLL_S)
        try:
            async with asyncio.timeout(wait_s):
                await self._is_woken.wait()
        except TimeoutError:
            pass

    async def run_once(self) -> int:
        """One round: claim what the link has room for and start it; tells how many messages that were."""
        room = self.room()
        if room:
            self._passed_on_ms = 0
            wakes_count, urgent_wakes_count = self._wakes_count, self._urgent_wakes_count
            if self._is_short:  # hardly anybody waits: what comes during this claim need not queue behind it
                room, self._is_drained = max(1, room - room // 4), True
            count_max = max(1, int(room / self._taken_each))
            is_repeat = self._lost_count > 0
            self._claiming_count = room
            try:
                claimed = await self._claim(count_max)
            finally:
                self._claiming_count = 0
            is_found_again = is_repeat and bool(claimed)  # what an earlier claim took, which says nothing of who waits
            self._is_short = len(claimed) < count_max and not is_found_again
            self._is_drained = self._is_short and wakes_count == self._wakes_count
            # A claim takes what is urgent first: where it brings anything else, or little, nothing urgent is left.
            is_all = self._is_short or not are_urgent(claimed)
            self._is_urgent_gone = is_all and not is_found_again and urgent_wakes_count == self._urgent_wakes_count
            self.spend(claimed)
            for message in claimed:
                self._launch(message)
            return len(claimed)
        if self.is_shut(self._clock.monotonic_s()) and not self._is_stopping:
            return await self._pass_on()
        return 0

    def _launch(self, message: Message) -> None:
        """Send a message that is in `sending` and ours, if nothing speaks against it."""
        hindrance = self._hindrance(message)
        if hindrance is None:
            self._send(message)
        else:
            self._give_back(message)
            self._record(message, self._after(message, hindrance), hindrance)

    def _hindrance(self, message: Message) -> Refused | None:
        """Why a claimed message must not leave after all."""
        if self._clock.now_ms() >= message.expires_ms:  # claimed long ago, and the answer was lost until now
            return OUT_OF_TIME
        is_blocked = self._is_blocked(message.account_id, message.recipient, message.originator)
        return BLOCKED if is_blocked else None

    async def _claim(self, count_max: int, *, is_detour: bool = False, since_ms: int = 0) -> list[Message]:
        # A claim that ends in an exception may have been kept all the same: the next one asks for what it took. What is
        # in hand is looked at when the claim is written: by then more may have been accepted straight into it.
        lost_count, self._lost_count = self._lost_count, self._lost_count + 1
        claim = Claim(
            self.carrier.id, count_max, self._clock.now_ms(), self.in_hand, is_detour, lost_count > 0, since_ms
        )
        claimed = await self._store.claim(claim)
        self._lost_count -= lost_count + 1  # what was lost meanwhile is for the next one
        self.in_hand.update(message.id for message in claimed)
        return claimed

    async def _pass_on(self) -> int:
        # A million messages that no other carrier could take are looked through once in a while, not in every round.
        now_ms = self._clock.now_ms()
        if not self._passed_on_ms or now_ms - self._looked_whole_ms >= DETOUR_WHOLE_MS:
            self._passed_on_ms, self._looked_whole_ms = 0, now_ms
        claimed = await self._claim(DETOUR_MAX, is_detour=True, since_ms=self._passed_on_ms)
        if len(claimed) < DETOUR_MAX:
            self._passed_on_ms = now_ms - DETOUR_OVERLAP_MS
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
            answer = asyncio.ensure_future(self.centre.submit(southward(message, self._clock.now_ms())))
        except Exception as error:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(error)
        self._answers.add(answer)
        self._is_settled.clear()
        answer.add_done_callback(partial(self._take_answer, message))

    def _take_answer(self, message: Message, answer: "asyncio.Future[Verdict]") -> None:
        self._answers.discard(answer)
        self._give_back(message)
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
        if isinstance(verdict, Accepted):
            self.sent.note(1, now_s)
            if self._throughput.is_slowed:
                self._throughput.quicken(self._taken_each, now_s)
            if self.link.is_sound(now_s):
                return
        else:
            self.troubles[verdict.reason.value if isinstance(verdict, Refused) else "no_answer"] += 1
            self.last_words = masked(detail_of(verdict)) or self.last_words
        if not self._is_of_links(verdict, now_s) and not self._is_of_pace(verdict, now_s):
            self.link.hear(verdict, now_s)
        self._doubts_count += isinstance(verdict, Uncertain)
        change = self.link.change(now_s)
        if change is Change.SHUT:
            wait_s = round(self.link.wait_s(now_s), 1)
            reason = verdict.reason.value if isinstance(verdict, Refused) else "no answer"
            log.warning("carrier_down", carrier=self.carrier.name, reason=reason, wait_s=wait_s)
        elif change is Change.BACK:
            log.info("carrier_back", carrier=self.carrier.name)

    def _is_of_links(self, verdict: Verdict, now_s: float) -> bool:
        """Whether a verdict says no more than what the links say themselves: binds were lost with what was under way.
        Others may stand, or stand again at once, and need no pause."""
        if not self._is_by_segments or isinstance(verdict, Accepted):
            return False
        if isinstance(verdict, Refused) and verdict.reason is not Refusal.UNREACHABLE:
            return False
        return not self.centre.links.is_up or now_s - self._links_changed_s < LINKS_PATIENCE_S

    def _is_of_pace(self, verdict: Verdict, now_s: float) -> bool:
        """Whether a carrier wants less, and gets it from now on: then the link needs no pause."""
        if not isinstance(verdict, Refused) or verdict.reason is not Refusal.THROTTLED or verdict.retry_after_s:
            return False
        self._throttled.note(1, now_s)
        each = self._taken_each
        return self._throughput.slow(self.sent.lately(now_s) * each, self._throttled.lately(now_s) * each, now_s)

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
            words = words_of_answer(answer)
        else:
            move, references = after_doubt(message, self.carrier.uncertain, now_ms), None
            words = f"policy {self.carrier.uncertain}"
        if move.state is State.UNKNOWN:
            words = "given up: its time ran out"
        self._record(message, move, Uncertain("in doubt"), references, settled_by=words)

    async def _ask(self, message: Message) -> Report | Refused | Uncertain:
        try:
            return await self.centre.query(str(message.id), message.originator, message.recipient)
        except Exception:
            log.exception("carrier_broke", carrier=self.carrier.name, message_id=message.id)
            return Uncertain("carrier failed")

    def _record(
        self,
        message: Message,
        move: Move,
        verdict: Verdict,
        references: tuple[str, ...] | None = None,
        *,
        settled_by: str = "",
    ) -> None:
        """Write a verdict, however long the database is away: until then the message is doubtful to everybody else.
        `settled_by` tells how an earlier doubt about it was looked into."""
        self._unrecorded.add(message.id)
        self._is_settled.clear()
        sending = Sending(
            message=message,
            move=move,
            now_ms=self._clock.now_ms(),
            references=self._references(message, move, verdict) if references is None else references,
            detail=detail_of(verdict),
            unusual=unusual_of(message, move, verdict, bool(settled_by)),
            words=settled_by or (BLOCKED_HERE if verdict is BLOCKED else ""),
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


def unusual_of(message: Message, move: Move, verdict: Verdict, is_settling: bool) -> Kind | None:
    """What the story of the message tells of a verdict that is not the ordinary course of things."""
    if isinstance(verdict, Accepted):
        return None
    if is_settling:
        return None if move.state is State.SENDING else Kind.SETTLED
    if isinstance(verdict, Uncertain):
        return Kind.DOUBTFUL
    if move.state is State.QUEUED:
        return Kind.PUT_OFF if move.carrier_id == message.carrier_id else Kind.REROUTED
    return Kind.EXPIRED if move.state is State.EXPIRED else Kind.REJECTED


def words_of_answer(answer: Report | Refused | Uncertain) -> str:
    """What a carrier said when it was asked about a message in doubt."""
    if isinstance(answer, Report):
        return f"the carrier has it: {answer.state}"
    if isinstance(answer, Refused) and answer.reason is Refusal.NOT_FOUND:
        return "the carrier does not know it"
    return detail_of(answer) or "no answer"


def southward(message: Message, now_ms: int) -> Submission:
    """The message as it is submitted to a carrier; our id goes along as the reference, and what is left of its time
    where that is not everybody's."""
    left_s = (message.expires_ms - now_ms) // 1000
    return Submission(
        recipients=(message.recipient,),
        text=message.text,
        originator=message.originator,
        service=message.service,
        priority=message.priority,
        reference=str(message.id),
        coding=message.coding,
        account_id=message.account_id,
        validity_s=max(1, left_s) if abs(left_s - VALIDITY_DEFAULT_S) > VALIDITY_NEARLY_S else None,
    )


def detail_of(verdict: Verdict) -> str:
    """The carrier's own words, for the story of the message."""
    if isinstance(verdict, Refused):
        return f"{verdict.reason}: {verdict.detail}"[:DETAIL_MAX] if verdict.detail else verdict.reason.value
    return verdict.detail[:DETAIL_MAX] if isinstance(verdict, Uncertain) else ""


def are_urgent(messages: Iterable[Message]) -> bool:
    return all(message.priority is Priority.URGENT for message in messages)


MANY_DIGITS = re.compile(r"\d{4,}").sub


def masked(words: str) -> str:
    """A carrier's words for those who watch it from outside: without the numbers it may repeat, and not at length."""
    return MANY_DIGITS("…", words)[:WORDS_MAX]
