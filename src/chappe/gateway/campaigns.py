"""Sending from the panel: one message, or a campaign of a million from a file.

A campaign is loaded while its file is read, described, checked, started, paused, resumed, cancelled and removed here;
what moves it between these is in `campaign_rounds.py`. Who may see which campaign is a `Sight`: what is outside it does
not exist.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import BinaryIO, Protocol

from msgspec import Struct
from msgspec.structs import replace

from chappe.clock import Clock
from chappe.core.campaigns import (
    EDITABLE,
    FILE_BYTES_MAX,
    NAME_MAX,
    ROWS_KEPT_MAX,
    STEPS,
    Campaign,
    CampaignRow,
    CampaignSettings,
    CampaignState,
    RowResult,
    Step,
    Trouble,
    Troubled,
    parse_template,
    read_number,
)
from chappe.core.centre import Verdict
from chappe.core.ids import IdMaker, made_ms
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S
from chappe.core.model import Account, Service, State, Submission
from chappe.core.people import Sight
from chappe.dialects.base import Dialect
from chappe.gateway.campaign_file import BadFile, Choices, Sheet
from chappe.gateway.campaign_rounds import Intake
from chappe.gateway.explaining import Explanation, explain
from chappe.gateway.explaining import Known as Explained
from chappe.gateway.submission import IsBlocked, allowed_originator
from chappe.store.campaigns import CampaignChange, RowsDraft
from chappe.store.engine import Store

LOADED_AT_ONCE = 2_000  # rows of one commit
LOADING_MAX = 2  # files that are read at the same time; others wait
READ_AT_ONCE = 1_000  # rows of a result
PAGE_MAX = 200
COUNTED_AT_ONCE = 5_000  # rows
COUNTED_NOW_MAX = 10_000  # rows whose messages are counted while somebody waits
COUNTS_KEPT_MS = 30_000
ID_AGE_MAX_MS = 24 * 3600 * 1000  # how long a form may lie before it is sent
PASTED_SEPARATORS = re.compile(r"[\r\n,;\t]+")


class Known(Explained, Protocol):
    """What is looked up: the directory's current snapshot."""

    def live_account(self, account_id: int) -> Account | None: ...


class Wording(Struct, frozen=True, kw_only=True):
    """What somebody says a campaign is to send. `recipient_column` is a column's name; empty = as it is."""

    text: str
    originator: str = ""
    service: Service = Service.STANDARD
    scheduled_ms: int = 0
    recipient_column: str = ""


class StateCounts(Struct, frozen=True):
    """How many of a campaign's messages were in each state, and when that was looked up; 0 = never yet."""

    counts: dict[State, int]
    at_ms: int


class CampaignDesk:
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
    ) -> None:
        self._is_blocked = is_blocked
        self._store = store
        self._campaigns = store.campaigns
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._intake = intake
        self._dialect = dialect
        self._loading = asyncio.Semaphore(LOADING_MAX)
        self._counts: dict[int, StateCounts] = {}
        self._counting: dict[int, asyncio.Task[StateCounts]] = {}

    # One message

    def new_id(self) -> int:
        """What a form carries, so that what it asks for is sent once however often it is sent."""
        return self._ids.make(self._clock.now_ms(), READ_AT_ONCE)

    async def send(self, account: Account, submission: Submission, first_id: int) -> Verdict:
        """Keep a submission to a few recipients, numbers as people write them, under the id of a form. Raises
        StoreError."""
        age_ms = self._clock.now_ms() - made_ms(first_id)
        if not 0 <= age_ms + 60_000 <= ID_AGE_MAX_MS:
            first_id = self.new_id()
        return await self._intake.submit(account, written_for(account, submission), self._dialect, first_id)

    def explain(self, account: Account, submission: Submission) -> Explanation:
        """What would become of it, and why; nothing is kept."""
        return explain(
            account,
            written_for(account, submission),
            self._dialect,
            self._directory(),
            self._clock.now_ms(),
            self._is_blocked,
        )

    # Loading

    async def load(
        self, account: Account, author: str, name: str, file: BinaryIO, choices: Choices, file_name: str = ""
    ) -> Campaign | Troubled:
        """A draft of all rows of a file, which is read to its end; or why there is none. Raises StoreError."""
        async with self._loading:
            kept_count = await self._store.read(lambda transaction: self._campaigns.rows_kept(transaction, account.id))
            if kept_count >= ROWS_KEPT_MAX:
                return Troubled(reason=Trouble.TOO_MUCH_KEPT, limit=ROWS_KEPT_MAX)
            try:
                return await self._load(account, author, name, file, choices, file_name)
            except BadFile as error:
                return error.troubled

    async def load_numbers(self, account: Account, author: str, name: str, text: str) -> Campaign | Troubled:
        """The same of numbers that were pasted, parted by line ends, commas, semicolons or tabs."""
        if len(text) > FILE_BYTES_MAX // 4:
            return Troubled(reason=Trouble.TOO_MANY_BYTES, limit=FILE_BYTES_MAX // 4)
        written = io.StringIO(newline="")
        csv.writer(written).writerows([one] for part in PASTED_SEPARATORS.split(text) if (one := part.strip()))
        choices = Choices(delimiter=",", encoding="utf-8", columns=("number",), country=account.country)
        return await self.load(account, author, name, io.BytesIO(written.getvalue().encode()), choices)

    async def _load(
        self, account: Account, author: str, name: str, file: BinaryIO, choices: Choices, file_name: str
    ) -> Campaign | Troubled:
        sheet = await asyncio.to_thread(Sheet, file, choices)
        now_ms = self._clock.now_ms()
        one = Campaign(
            id=self._ids.make(now_ms),
            account_id=account.id,
            author=author,
            name=" ".join(name.split())[:NAME_MAX] or file_name[:NAME_MAX],
            state=CampaignState.LOADING,
            settings=CampaignSettings(
                columns=sheet.columns,
                recipient_column=sheet.recipient_column,
                delimiter=sheet.delimiter,
                encoding=sheet.encoding,
                file_name=file_name[:NAME_MAX],
            ),
            made_ms=now_ms,
            changed_ms=now_ms,
        )
        await self._store.commit(self._campaigns.put, one)
        try:
            count = await self._load_rows(one, sheet.rows())
        except BaseException:
            await self._change(one, CampaignState.REMOVING)
            raise
        if not count:
            await self._change(one, CampaignState.REMOVING)
            return Troubled(reason=Trouble.EMPTY)
        if not await self._change(one, CampaignState.DRAFT):
            return Troubled(reason=Trouble.AWAY)
        return replace(one, state=CampaignState.DRAFT, rows_count=count)

    async def _load_rows(self, one: Campaign, rows: Iterator[CampaignRow]) -> int:
        count = 0
        while batch := await asyncio.to_thread(take, rows, LOADED_AT_ONCE):
            draft = RowsDraft(one.id, batch, self._clock.now_ms())
            if not await self._store.commit(self._campaigns.load, draft):
                raise BadFile(Troubled(reason=Trouble.AWAY))
            count = batch[-1].position
        return count

    async def _change(self, one: Campaign, to_state: CampaignState) -> bool:
        change = CampaignChange(
            campaign_id=one.id,
            from_states=(CampaignState.LOADING,),
            to_state=to_state,
            now_ms=self._clock.now_ms(),
        )
        return await self._store.commit(self._campaigns.change, change)

    # What becomes of it

    async def describe(self, sight: Sight, campaign_id: int, wording: Wording) -> Campaign | Troubled | None:
        """Say what a campaign is to send, and have it checked; None where there is no such campaign."""
        one = await self.find(sight, campaign_id)
        if one is None:
            return None
        settings = self._settings(one, wording)
        if isinstance(settings, Troubled):
            return settings
        change = CampaignChange(
            campaign_id=one.id,
            from_states=EDITABLE,
            to_state=CampaignState.CHECKING,
            now_ms=self._clock.now_ms(),
            settings=settings,
            forgets_report=True,
            restarts=True,
        )
        is_done = await self._store.commit(self._campaigns.change, change)
        return await self.find(sight, campaign_id) if is_done else Troubled(reason=Trouble.WRONG_STATE)

    def _settings(self, one: Campaign, wording: Wording) -> CampaignSettings | Troubled:
        columns = one.settings.columns
        column = one.settings.recipient_column
        if wording.recipient_column:
            if wording.recipient_column not in columns:
                return Troubled(reason=Trouble.NO_RECIPIENT_COLUMN, word=wording.recipient_column[:NAME_MAX])
            column = columns.index(wording.recipient_column)
        text = wording.text.replace("\r\n", "\n")
        if not text.strip():
            return Troubled(reason=Trouble.NO_TEXT)
        template = parse_template(text, columns)
        if isinstance(template, Troubled):
            return template
        account = self._directory().live_account(one.account_id)
        default = self._dialect.north.default_originator
        if account is None or allowed_originator(account, wording.originator.strip(), default) is None:
            return Troubled(reason=Trouble.BAD_ORIGINATOR, word=wording.originator[:NAME_MAX])
        if not self._is_possible(wording.scheduled_ms):
            return Troubled(reason=Trouble.BAD_TIME)
        return replace(
            one.settings,
            text=text,
            recipient_column=column,
            originator=wording.originator.strip(),
            service=wording.service,
            scheduled_ms=wording.scheduled_ms,
        )

    def _is_possible(self, scheduled_ms: int) -> bool:
        now_ms = self._clock.now_ms()
        return not scheduled_ms or now_ms < scheduled_ms <= now_ms + SCHEDULE_AHEAD_MAX_S * 1000

    async def discard(self, sight: Sight, campaign_id: int) -> None:
        """Remove a draft that came to nothing."""
        await self.step(sight, campaign_id, Step.REMOVE)

    async def step(self, sight: Sight, campaign_id: int, step: Step) -> Campaign | Troubled | None:
        """Start, pause, resume, cancel or remove; None where there is no such campaign."""
        one = await self.find(sight, campaign_id)
        if one is None:
            return None
        if step is Step.START and not self._is_possible(one.settings.scheduled_ms):
            return Troubled(reason=Trouble.BAD_TIME)
        from_states, to_state = STEPS[step]
        change = CampaignChange(
            campaign_id=one.id, from_states=from_states, to_state=to_state, now_ms=self._clock.now_ms()
        )
        if not await self._store.commit(self._campaigns.change, change):
            return Troubled(reason=Trouble.WRONG_STATE)
        return await self.find(sight, campaign_id) or one

    # Looking

    async def find(self, sight: Sight, campaign_id: int) -> Campaign | None:
        return await self._store.read(
            lambda transaction: self._campaigns.one(transaction, sight.account_ids, campaign_id)
        )

    async def page(self, sight: Sight, before_id: int = 0, count_max: int = PAGE_MAX) -> list[Campaign]:
        """The newest first."""
        count_max = max(1, min(count_max, PAGE_MAX))
        return await self._store.read(
            lambda transaction: self._campaigns.page(transaction, sight.account_ids, before_id, count_max)
        )

    async def first_rows(self, one: Campaign, count_max: int) -> list[CampaignRow]:
        return await self._store.read(lambda transaction: self._campaigns.rows(transaction, one.id, 0, count_max))

    async def results(self, one: Campaign) -> AsyncIterator[list[RowResult]]:
        """All rows in portions, each as it is when its portion is read."""
        after = 0
        while True:
            portion = await self._store.read(
                lambda transaction: self._campaigns.results(transaction, one.id, after, READ_AT_ONCE)  # noqa: B023
            )
            if not portion:
                return
            yield portion
            after = portion[-1].row.position

    async def state_counts(self, one: Campaign) -> StateCounts:
        """How many of its messages are in each state: looked up at once where they are few, else beside the question,
        which is answered with what was found some time ago."""
        if one.position <= COUNTED_NOW_MAX:
            return await self._count(one)
        known = self._counts.get(one.id, StateCounts({}, 0))
        if known.at_ms < self._clock.now_ms() - COUNTS_KEPT_MS and not self._counting:
            counting = self._counting[one.id] = asyncio.create_task(self._count(one))
            counting.add_done_callback(lambda task: self._keep_counts(one.id, task))
        return known

    def _keep_counts(self, campaign_id: int, task: "asyncio.Task[StateCounts]") -> None:
        self._counting.pop(campaign_id, None)
        if not task.cancelled() and task.exception() is None:
            while len(self._counts) >= PAGE_MAX:
                self._counts.pop(next(iter(self._counts)))
            self._counts[campaign_id] = task.result()

    async def _count(self, one: Campaign) -> StateCounts:
        counts: dict[State, int] = {}
        for after in range(0, one.position, COUNTED_AT_ONCE):
            found = await self._store.read(
                lambda transaction: self._campaigns.states(transaction, one.id, after, after + COUNTED_AT_ONCE)  # noqa: B023
            )
            for state, count in found.items():
                counts[state] = counts.get(state, 0) + count
        return StateCounts(counts, self._clock.now_ms())


def take(rows: Iterator[CampaignRow], count: int) -> tuple[CampaignRow, ...]:
    return tuple(islice(rows, count))


def written_for(account: Account, submission: Submission) -> Submission:
    """Numbers as the intake takes them, as far as they can be read; the others are refused there. What is sent from the
    panel is called back about nowhere (smsfox 5.2)."""
    recipients = tuple(read_number(one, account.country) or one for one in submission.recipients)
    return replace(submission, recipients=recipients, wants_callbacks=False)
