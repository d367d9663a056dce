"""What moves campaigns: dry runs, portions handed to the one way in, what is taken back, what is forgotten.

Each call of `run_once` takes one step of every campaign that this node works at, so that a large one holds up no small
one. Every step is short, ends with a commit, and begins with what the tables say: whoever pauses or cancels is heard
between two portions, and a process that was killed goes on where the last commit left it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from msgspec.structs import replace

from chappe.clock import Clock
from chappe.core.campaigns import (
    EXAMPLES_MAX,
    RECIPIENT_MAX,
    Campaign,
    CampaignReport,
    CampaignRow,
    CampaignState,
    Example,
    Finding,
    Problem,
    Sample,
    SeenNumbers,
    Stop,
    Template,
    Troubled,
    parse_template,
    read_number,
)
from chappe.core.centre import Accepted, Refusal, Refused, Ticket, Verdict
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Priority, State, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.submission import Draft, IsBlocked, prepare, tickets_of
from chappe.sms.alphabets import UCS2, choose
from chappe.store.campaigns import (
    CampaignChange,
    CampaignTake,
    Marking,
    Outcome,
    PortionResult,
    Reservation,
    RowsRemoval,
)
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.messages import Cancellation

log = structlog.get_logger()

PORTION_MAX = 500  # rows handed over at once
AHEAD_MAX = 20_000  # rows that may be handed over before the first of them has left: what a pause cannot hold back
KEPT_MAX = 10_000  # rows among which those of a portion that was kept in an earlier life are found
CHECKED_AT_ONCE = 1_000  # rows
CANCELLED_AT_ONCE = 5_000  # rows
REMOVED_AT_ONCE = 2_000  # rows
SAMPLES_MAX = 3
LOADING_PATIENCE_MS = 600_000  # since the last rows came: whoever reads the file has given up
# What is wrong with a row, not with the whole portion.
OF_ROWS = frozenset(
    {
        Refusal.BAD_RECIPIENT,
        Refusal.BLOCKED,
        Refusal.NO_ROUTE,
        Refusal.EMPTY_TEXT,
        Refusal.TEXT_TOO_LONG,
    }
)
PASSING = frozenset({Refusal.OVERLOADED, Refusal.THROTTLED, Refusal.INTERNAL})  # the same may be taken later
PROBLEMS = {one.value: one for one in Problem}


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def routing(self) -> RoutingTable: ...

    def live_account(self, account_id: int) -> Account | None: ...


class Intake(Protocol):
    """The one way in."""

    async def submit(
        self, account: Account, submission: Submission, dialect: Dialect, first_id: int = 0
    ) -> Verdict: ...


class CampaignRounds:
    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Known],
        clock: Clock,
        ids: IdMaker,
        intake: Intake,
        dialect: Dialect,
        is_blocked: IsBlocked,
        portion_max: int = PORTION_MAX,
        ahead_max: int = AHEAD_MAX,
    ) -> None:
        self._store = store
        self._campaigns = store.campaigns
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._intake = intake
        self._dialect = dialect
        self._is_blocked = is_blocked
        self._portion_max = portion_max
        self._ahead_max = ahead_max
        self._checks: dict[int, Check] = {}
        self._cancelled: dict[int, int] = {}  # how far what waits was taken back already

    async def run_once(self) -> bool:
        """Whether a further round has something to do at once. Raises StoreError."""
        found = await self._store.read(self._campaigns.unfinished)
        if any(is_free for _, is_free in found):
            await self._give_up_loading([one for one, is_free in found if is_free])
            campaigns = await self._store.commit(self._campaigns.take, CampaignTake(self._clock.now_ms()))
        else:
            campaigns = [one for one, _ in found]
        self._forget_others({one.id for one in campaigns})
        return any([await self._step_safely(one) for one in campaigns])

    async def run(self) -> None:
        """Rounds until there is nothing that can be done at once."""
        while await self.run_once():
            pass

    async def _give_up_loading(self, orphans: Sequence[Campaign]) -> None:
        """Nobody brings the rest of a file whose upload died with its node."""
        for one in orphans:
            if one.state is CampaignState.LOADING:
                await self._move(one, CampaignState.REMOVING, is_ours=False)

    def _forget_others(self, ids: set[int]) -> None:
        self._checks = {each: check for each, check in self._checks.items() if each in ids}
        self._cancelled = {each: position for each, position in self._cancelled.items() if each in ids}

    async def _step_safely(self, one: Campaign) -> bool:
        """What goes wrong with one campaign holds up no other."""
        try:
            return await self._step(one)
        except StoreError:
            raise
        except Exception:
            log.exception("campaign_broke", campaign=one.id)
            return False

    async def _step(self, one: Campaign) -> bool:
        match one.state:
            case CampaignState.LOADING:
                is_forlorn = one.changed_ms < self._clock.now_ms() - LOADING_PATIENCE_MS
                return is_forlorn and await self._move(one, CampaignState.REMOVING)
            case CampaignState.CHECKING:
                return await self._check(one)
            case CampaignState.RUNNING:
                return await self._hand_over(one)
            case CampaignState.CANCELLING:
                return await self._take_back(one)
            case CampaignState.REMOVING:
                return await self._forget(one)
            case _:
                return False

    async def _move(
        self,
        one: Campaign,
        to_state: CampaignState,
        detail: str = "",
        *,
        report: CampaignReport | None = None,
        restarts: bool = False,
        is_ours: bool = True,
    ) -> bool:
        change = CampaignChange(
            campaign_id=one.id,
            from_states=(one.state,),
            to_state=to_state,
            now_ms=self._clock.now_ms(),
            detail=detail,
            report=report,
            restarts=restarts,
            is_ours=is_ours,
            judged=one.settings if one.state is CampaignState.CHECKING else None,  # it may be described anew meanwhile
        )
        return await self._store.commit(self._campaigns.change, change)

    # The dry run

    async def _check(self, one: Campaign) -> bool:
        account = self._directory().live_account(one.account_id)
        if account is None:
            await self._move(one, CampaignState.DRAFT, Stop.NO_ACCOUNT, restarts=True)
            return False
        check = self._checks.get(one.id)
        if check is None or check.campaign.settings != one.settings or check.position != one.position:
            if one.position:
                return await self._move(one, CampaignState.CHECKING, restarts=True)
            check = self._checks[one.id] = Check(one, account, self._dialect, self._is_blocked)
        rows = await self._store.read(
            lambda transaction: self._campaigns.rows(transaction, one.id, check.position, CHECKED_AT_ONCE)
        )
        if not rows:
            return await self._end_check(one, check)
        routing, now_ms = self._directory().routing, self._clock.now_ms()
        changes = await asyncio.to_thread(check.take, rows, routing, now_ms)
        if check.refusal is not None:
            await self._move(one, CampaignState.DRAFT, check.refusal.value, restarts=True)
            return False
        marking = Marking(one.id, check.position, rows[-1].position, changes, now_ms)
        check.position = rows[-1].position
        return await self._store.commit(self._campaigns.mark, marking)

    async def _end_check(self, one: Campaign, check: "Check") -> bool:
        funds = await self._store.read(lambda transaction: self._store.figures.funds(transaction, one.account_id))
        report = check.report(funds.spendable_micros if funds else 0, self._clock.now_ms())
        await self._move(one, CampaignState.READY, report=report, restarts=True)
        return False

    # Handing over

    async def _hand_over(self, one: Campaign) -> bool:
        account = self._directory().live_account(one.account_id)
        if account is None:
            return await self._pause(one, Stop.NO_ACCOUNT)
        if await self._is_far_ahead(one):
            return False
        count_max = min(self._portion_max, account.recipients_max, self._dialect.north.recipients_max)
        rows = await self._store.read(
            lambda transaction: self._campaigns.rows(transaction, one.id, one.position, count_max)
        )
        if not rows:
            await self._move(one, CampaignState.DONE)
            return False
        template = parse_template(one.settings.text, one.settings.columns)
        if isinstance(template, Troubled):  # it was checked when it was set
            return await self._pause(one, template.reason)
        portion = [
            (row, text) for row in rows if not row.refusal and isinstance(text := template.fill(row.values), str)
        ]
        if not portion:
            return await self._advance(one, rows, [], rows[-1].position)
        now_ms = self._clock.now_ms()
        fresh_id = self._ids.make(now_ms, len(portion))
        first_id = await self._store.commit(
            self._campaigns.reserve, Reservation(one.id, one.position, fresh_id, now_ms)
        )
        if not first_id:  # it was paused, or another node took it over
            return False
        if first_id != fresh_id and await self._settle_last(one, first_id):
            return True
        return await self._submit(one, account, rows, portion, first_id)

    async def _submit(
        self,
        one: Campaign,
        account: Account,
        rows: Sequence[CampaignRow],
        portion: Sequence[tuple[CampaignRow, str]],
        first_id: int,
    ) -> bool:
        while True:
            submission = submission_of(one, portion)
            verdict = await self._intake.submit(account, submission, self._dialect, first_id)
            is_too_dear = isinstance(verdict, Refused) and verdict.reason is Refusal.NO_FUNDS
            if not is_too_dear or len(portion) == 1:
                break
            portion = portion[: (len(portion) + 1) // 2]  # as many as the money reaches for
        if isinstance(verdict, Accepted):
            # What is refused behind the last message is looked at anew: of a portion that was kept in an earlier life
            # nobody knows how far it went.
            last = max(place for place, ticket in enumerate(verdict.tickets) if ticket.refusal is None)
            return await self._advance(one, rows, verdict.tickets[: last + 1], portion[last][0].position)
        if not isinstance(verdict, Refused) or verdict.reason in PASSING:
            return False
        if verdict.reason not in OF_ROWS:
            return await self._pause(one, verdict.reason.value)
        tickets = self._judge_each(account, submission)
        return tickets is None or await self._advance(one, rows, tickets, portion[-1][0].position)

    def _judge_each(self, account: Account, submission: Submission) -> tuple[Ticket, ...] | None:
        """Why each recipient is refused, where all are; None where that is no longer so."""
        judged = judge(
            account, submission, self._dialect, self._directory().routing, self._clock.now_ms(), self._is_blocked
        )
        if isinstance(judged, Refused) or any(ticket.refusal is None for ticket in judged):
            return None
        return judged

    async def _advance(
        self, one: Campaign, rows: Sequence[CampaignRow], tickets: Sequence[Ticket], position: int
    ) -> bool:
        """Record what became of the rows up to a position, those that were never submitted included."""
        left = list(reversed(tickets))
        outcomes = []
        for row in rows:
            if row.position > position:
                break
            if row.refusal:
                outcomes.append(Outcome(row.position, 0, row.refusal))
                continue
            ticket = left.pop()
            outcomes.append(
                Outcome(row.position, 0, ticket.refusal.value)
                if ticket.refusal is not None
                else Outcome(row.position, int(ticket.reference))
            )
        result = PortionResult(
            campaign_id=one.id,
            before=one.position,
            position=position,
            outcomes=tuple(outcomes),
            segments=sum(ticket.segments for ticket in tickets if ticket.refusal is None),
            price_micros=sum(ticket.price_micros for ticket in tickets if ticket.refusal is None),
            now_ms=self._clock.now_ms(),
        )
        return await self._store.commit(self._campaigns.advance, result)

    async def _is_far_ahead(self, one: Campaign) -> bool:
        """Whether enough of it waits for its carriers. What is scheduled waits for its time, however much it is."""
        until = one.position - self._ahead_max
        if until <= 0 or one.settings.scheduled_ms:
            return False
        state = await self._store.read(lambda transaction: self._campaigns.state_before(transaction, one.id, until))
        return state is State.QUEUED

    async def _pause(self, one: Campaign, reason: str) -> bool:
        await self._move(one, CampaignState.PAUSED, reason)
        log.info("campaign_paused", campaign=one.id, reason=reason)
        return False

    # Taking back, and forgetting

    async def _take_back(self, one: Campaign) -> bool:
        if one.first_id and await self._settle_last(one, one.first_id):
            return True
        after = self._cancelled.get(one.id, 0)
        until = min(after + CANCELLED_AT_ONCE, one.position)
        waiting = await self._store.read(
            lambda transaction: self._campaigns.waiting_submissions(transaction, one.id, after, until)
        )
        now_ms = self._clock.now_ms()
        for submission_id in waiting:
            await self._store.cancel(Cancellation(one.account_id, submission_id, now_ms))
        if until < one.position:
            self._cancelled[one.id] = until
            return True
        await self._move(one, CampaignState.CANCELLED)
        return False

    async def _settle_last(self, one: Campaign, first_id: int) -> bool:
        """A portion was under way when the campaign was stopped or its node died: where it was kept, record that. How
        far it went is told by its messages."""
        messages, rows = await self._store.read(
            lambda transaction: (
                self._store.of_submission(first_id, KEPT_MAX)(transaction),
                self._campaigns.rows(transaction, one.id, one.position, KEPT_MAX),
            )
        )
        if not messages:
            return False
        left = list(reversed(messages))
        tickets, position = [], one.position
        for row in rows:
            if not left:
                break
            if row.refusal:
                continue
            is_kept = left[-1].recipient == row.recipient
            ticket = Ticket(recipient=row.recipient, reference="", refusal=Refusal.INTERNAL)
            if is_kept:
                message, position = left.pop(), row.position
                ticket = Ticket(
                    recipient=row.recipient,
                    reference=str(message.id),
                    segments=message.segments,
                    price_micros=message.price_micros,
                )
            tickets.append(ticket)
        return await self._advance(one, rows, tickets, position)

    async def _forget(self, one: Campaign) -> bool:
        count = await self._store.commit(self._campaigns.remove, RowsRemoval(one.id, REMOVED_AT_ONCE))
        return count == REMOVED_AT_ONCE


def text_of(template: Template, row: CampaignRow) -> str:
    """A row's text. One that lacks something was refused when it was checked, and an empty text is by the intake."""
    text = template.fill(row.values)
    return text if isinstance(text, str) else ""


def submission_of(one: Campaign, portion: Sequence[tuple[CampaignRow, str]]) -> Submission:
    """A portion as it is submitted. What is sent from the panel is called back about nowhere (smsfox 5.2)."""
    return Submission(
        recipients=tuple(row.recipient for row, _ in portion),
        text="",
        texts=tuple(text for _, text in portion),
        originator=one.settings.originator,
        service=one.settings.service,
        priority=Priority.BULK,
        reference=one.name,
        scheduled_ms=one.settings.scheduled_ms or None,
        wants_callbacks=False,
        takes_part=True,
    )


def judge(
    account: Account,
    submission: Submission,
    dialect: Dialect,
    routing: RoutingTable,
    now_ms: int,
    is_blocked: IsBlocked,
) -> tuple[Ticket, ...] | Refused:
    """A ticket for each recipient, as the intake would answer; refused where something is wrong with all of it."""
    draft = prepare(account, submission, dialect, routing, 0, now_ms, is_blocked)
    if isinstance(draft, Draft):
        return tickets_of(submission, draft, is_kept=False)
    if draft.reason not in OF_ROWS:
        return draft
    if len(submission.recipients) == 1:
        return (Ticket(recipient=submission.recipients[0], reference="", segments=0, refusal=draft.reason),)
    # It tells why the first one is refused; the others have reasons of their own.
    tickets: list[Ticket] = []
    for recipient, text in zip(submission.recipients, submission.texts, strict=True):
        single = replace(submission, recipients=(recipient,), texts=(text,))
        judged = judge(account, single, dialect, routing, now_ms, is_blocked)
        if isinstance(judged, Refused):
            return judged
        tickets += judged
    return tuple(tickets)


class Check:
    """A dry run under way: what is known of the rows so far. What it keeps of them is their numbers alone."""

    def __init__(self, one: Campaign, account: Account, dialect: Dialect, is_blocked: IsBlocked) -> None:
        self.campaign = one
        self.position = 0
        self.refusal: Refusal | None = None  # of all of it
        self._account = account
        self._dialect = dialect
        self._is_blocked = is_blocked
        self._template = parse_template(one.settings.text, one.settings.columns)
        self._seen = SeenNumbers()
        self._counts: dict[Problem, int] = {}
        self._examples: dict[Problem, list[Example]] = {}
        self._samples: list[Sample] = []
        self._valid_count = self._segments = self._price_micros = self._unicode_count = self._segments_max = 0

    def take(self, rows: Sequence[CampaignRow], routing: RoutingTable, now_ms: int) -> tuple[tuple[int, str, str], ...]:
        """Look at the next rows; what is to be written on them: (position, recipient, refusal)."""
        changes: list[tuple[int, str, str]] = []
        good: list[tuple[CampaignRow, str]] = []
        for row in rows:
            number, text, problem, detail = self._read(row)
            if problem is not None:
                self._find(problem, row, detail)
            else:
                good.append((replace(row, recipient=number), text))
            refusal = problem.value if problem is not None else ""
            if (number, refusal) != (row.recipient, row.refusal):
                changes.append((row.position, number, refusal))
        for start in range(0, len(good), PORTION_MAX):
            self._judge(good[start : start + PORTION_MAX], routing, now_ms)
        return tuple(changes)

    def _read(self, row: CampaignRow) -> tuple[str, str, Problem | None, str]:
        """A row's number (or what stands in its place), its text, and what is wrong with it by itself."""
        settings = self.campaign.settings
        written = row.values[settings.recipient_column] if settings.recipient_column < len(row.values) else ""
        number = read_number(written, self._account.country)
        if number is None:
            return written[:RECIPIENT_MAX], "", Problem.BAD_RECIPIENT, ""
        if any(row.values[len(settings.columns) :]):
            return number, "", Problem.UNEVEN, ""
        text = self._template.fill(row.values) if isinstance(self._template, Template) else ""
        if isinstance(text, int):
            return number, "", Problem.INCOMPLETE, settings.columns[text]
        if not self._seen.add(number):
            return number, "", Problem.DUPLICATE, ""
        return number, text, None, ""

    def _judge(self, good: Sequence[tuple[CampaignRow, str]], routing: RoutingTable, now_ms: int) -> None:
        submission = submission_of(self.campaign, good)
        judged = judge(self._account, submission, self._dialect, routing, now_ms, self._is_blocked)
        if isinstance(judged, Refused):
            self.refusal = judged.reason
            return
        for (row, text), ticket in zip(good, judged, strict=True):
            if ticket.refusal is not None:
                self._find(PROBLEMS.get(ticket.refusal.value, Problem.OTHER), row, "")
                continue
            self._valid_count += 1
            self._segments += ticket.segments
            self._price_micros += ticket.price_micros
            self._segments_max = max(self._segments_max, ticket.segments)
            self._unicode_count += choose(text) is UCS2
            if len(self._samples) < SAMPLES_MAX:
                self._samples.append(Sample(row.line, row.recipient, text, ticket.segments, ticket.price_micros))

    def _find(self, problem: Problem, row: CampaignRow, detail: str) -> None:
        self._counts[problem] = self._counts.get(problem, 0) + 1
        examples = self._examples.setdefault(problem, [])
        if len(examples) < EXAMPLES_MAX:
            column = self.campaign.settings.recipient_column
            written = row.values[column] if column < len(row.values) else ""
            examples.append(Example(row.line, written[:RECIPIENT_MAX], detail))

    def report(self, available_micros: int, now_ms: int) -> CampaignReport:
        return CampaignReport(
            rows_count=self.campaign.rows_count,
            valid_count=self._valid_count,
            segments=self._segments,
            price_micros=self._price_micros,
            currency=self._account.currency,
            available_micros=available_micros,
            unicode_count=self._unicode_count,
            segments_max=self._segments_max,
            findings={
                problem: Finding(self._counts[problem], tuple(self._examples[problem]))
                for problem in Problem
                if problem in self._counts
            },
            samples=tuple(self._samples),
            made_ms=now_ms,
        )
