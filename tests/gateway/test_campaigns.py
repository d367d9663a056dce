"""Campaigns: the dry run counts what is there, each row is sent to once whatever happens, one can stop in between."""

import asyncio
import io
import shutil
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chappe.core.campaigns import (
    Campaign,
    CampaignState,
    Problem,
    RowResult,
    Step,
    Trouble,
    Troubled,
    read_number,
)
from chappe.core.centre import Accepted, Refusal, Refused
from chappe.core.ledger import Kind, entry
from chappe.core.model import State, Submission
from chappe.core.people import EVERYTHING, Sight
from chappe.core.phonebook import BlockOrigin
from chappe.gateway import campaigns as campaigns_module
from chappe.gateway.campaign_file import Choices
from chappe.gateway.campaign_rounds import CampaignRounds
from chappe.gateway.campaigns import CampaignDesk, Wording
from chappe.sms.segments import STANDARD, count
from chappe.store import schema
from chappe.store.blocks import BlockChange
from gateway.middle import SMSFOX, Middle, Time, TimedLoop, play

Result = TypeVar("Result")
PATIENCE_S = 60
PRICE_MICROS = 10_000
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"
throughput = 1

[[route]]
prefix = "39"
carriers = ["sim"]
price = "0.0100"

[[route]]
prefix = "44"
carriers = ["sim"]
price = "0.0300"

[[account]]
name = "alice"
password = "correct horse"
balance = "100.00"
senders = ["ACME"]
country = "39"
receipt_url = "http://alice.example/receipt"

[[account]]
name = "bob"
password = "correct horse too"
balance = "0.05"
"""


class Hall:
    """A gateway with the desk and the rounds of campaigns; its carrier never answers, so that what is sent waits."""

    def __init__(self, middle: Middle, portion_max: int = 3, ahead_max: int = 1_000_000) -> None:
        self.middle = middle
        known = lambda: middle.directory.current  # noqa: E731
        self.desk = CampaignDesk(
            store=middle.store,
            directory=known,
            clock=middle.time,
            ids=middle.ids,
            intake=middle.intake,
            dialect=SMSFOX,
            is_blocked=middle.blacklist.is_blocked,
        )
        self.rounds = CampaignRounds(
            store=middle.store,
            directory=known,
            clock=middle.time,
            ids=middle.ids,
            intake=middle.intake,
            dialect=SMSFOX,
            is_blocked=middle.blacklist.is_blocked,
            portion_max=portion_max,
            ahead_max=ahead_max,
        )

    async def done(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of something that also works in threads; the store writes meanwhile."""
        task = asyncio.ensure_future(work)
        deadline_s = time.monotonic() + PATIENCE_S
        while not task.done():
            self.middle.store.commit_once()
            await asyncio.sleep(0)
            assert time.monotonic() < deadline_s, "it never ends"
        return task.result()

    async def load(self, content: str | bytes, account: str = "alice") -> Campaign:
        file = io.BytesIO(content.encode() if isinstance(content, str) else content)
        chosen = self.middle.account(account)
        loaded = await self.done(
            self.desk.load(chosen, "anna", "Spring", file, Choices(country=chosen.country), "people.csv")
        )
        assert isinstance(loaded, Campaign), loaded
        return loaded

    async def check(self, one: Campaign, text: str = "Hello {name}", **more: Any) -> Campaign:
        described = await self.done(self.desk.describe(EVERYTHING, one.id, Wording(text=text, **more)))
        assert isinstance(described, Campaign), described
        assert described.state is CampaignState.CHECKING
        await self.run()
        return await self.now(one)

    async def ready(self, content: str, account: str = "alice", text: str = "Hello {name}", **more: Any) -> Campaign:
        return await self.check(await self.load(content, account), text, **more)

    async def run(self) -> None:
        await self.done(self.rounds.run())

    async def round(self) -> bool:
        return await self.done(self.rounds.run_once())

    async def step(self, one: Campaign, step: Step) -> Campaign:
        moved = await self.done(self.desk.step(EVERYTHING, one.id, step))
        assert isinstance(moved, Campaign), moved
        return moved

    async def now(self, one: Campaign) -> Campaign:
        found = await self.done(self.desk.find(EVERYTHING, one.id))
        assert found is not None
        return found

    async def results(self, one: Campaign) -> list[RowResult]:
        async def gather() -> list[RowResult]:
            return [row async for portion in self.desk.results(one) for row in portion]

        return await self.done(gather())


def hold(script: Callable[[Hall], Coroutine[Any, Any, None]], folder: Path, world: str = WORLD, **more: int) -> None:
    async def whole(middle: Middle) -> None:
        await script(Hall(middle, **more))

    play(folder, whole, world, ["sim"])


def people(count: int, first: int = 0) -> str:
    return "phone,name\n" + "".join(f"39347{first + each:07},Person {each}\n" for each in range(count))


MIXED = """phone,name,note
+39 347 0000001,Anna,
3470000002,Бэлла,national
393470000001,again,duplicate
nobody,Carl,invalid
393470000003,,incomplete
393470000004,Dora,blocked
4915100000000,Emil,no route
+447700900123,Fred,dear
393470000005,Gina,x,too many cells
,,
,Hans,no number
393470000003,Ida,the first one was incomplete
"""


def test_a_dry_run_counts_what_is_there(tmp_path: Path) -> None:
    """Each kind of trouble is counted with its lines, the rest is priced, and nothing is kept or charged."""

    async def script(hall: Hall) -> None:
        middle = hall.middle
        change = BlockChange(
            account_id=middle.alice.id,
            numbers=("393470000004",),
            is_blocked=True,
            now_ms=middle.time.now_ms(),
            origin=BlockOrigin.API,
        )
        blocking = middle.store.commit(middle.store.blocks.change, change)
        await middle.settle()
        assert blocking.result()
        await hall.done(middle.blacklist.follow())
        one = await hall.ready(MIXED, text="Ciao {name}")
        assert one.state is CampaignState.READY
        report = one.report
        assert report is not None
        found = {
            problem: (finding.count, [each.line for each in finding.examples])
            for problem, finding in report.findings.items()
        }
        assert found == {
            Problem.BAD_RECIPIENT: (2, [5, 12]),
            Problem.DUPLICATE: (1, [4]),
            Problem.BLOCKED: (1, [7]),
            Problem.NO_ROUTE: (1, [8]),
            Problem.INCOMPLETE: (1, [6]),
            Problem.UNEVEN: (1, [10]),
        }
        assert report.findings[Problem.INCOMPLETE].examples[0].detail == "name"
        assert report.findings[Problem.BAD_RECIPIENT].examples[0].recipient == "nobody"
        assert (report.rows_count, report.valid_count, report.segments, report.unicode_count) == (11, 4, 4, 1)
        assert report.price_micros == 3 * 10_000 + 30_000
        assert (report.currency, report.available_micros, report.is_affordable) == ("EUR", 100_000_000, True)
        assert [(each.line, each.text) for each in report.samples] == [
            (2, "Ciao Anna"),
            (3, "Ciao Бэлла"),
            (9, "Ciao Fred"),
        ]
        assert middle.rows(schema.message) == []
        assert middle.money() == (0, 0)

    hold(script, tmp_path)


def test_a_dry_run_agrees_with_an_oracle(tmp_path: Path) -> None:
    """Counts, segments and price over many rows are those of a plain loop over the file."""
    lines, seen = [], set[str]()
    bad = duplicates = segments = micros = 0
    for each in range(3_000):
        number = {0: "x", 1: "39347000000" + str(each % 10)}.get(
            each % 7, f"{'44770' if each % 3 else '39347'}{each:07}"
        )
        name = ("è€" if each % 2 else "ё") * (each % 90)
        lines.append(f"{number},n{name}")
        digits = read_number(number, "39")
        if digits is None:
            bad += 1
        elif digits in seen:
            duplicates += 1
        else:
            seen.add(digits)
            cost = count(f"Hello n{name}", STANDARD) or 0
            segments += cost
            micros += cost * (30_000 if digits.startswith("44") else 10_000)

    async def script(hall: Hall) -> None:
        report = (await hall.ready("phone,name\n" + "\n".join(lines))).report
        assert report is not None
        assert report.rows_count == 3_000
        assert {problem: finding.count for problem, finding in report.findings.items()} == {
            Problem.BAD_RECIPIENT: bad,
            Problem.DUPLICATE: duplicates,
        }
        assert (report.valid_count, report.segments, report.price_micros) == (len(seen), segments, micros)
        assert report.is_affordable == (micros <= 100_000_000)

    hold(script, tmp_path)


def test_every_row_is_sent_to(tmp_path: Path) -> None:
    """A started campaign hands over each good row once, with its own text, and knows the message of each."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(MIXED, originator="ACME")
        await hall.step(one, Step.START)
        await hall.run()
        one = await hall.now(one)
        assert one.state is CampaignState.DONE
        assert one.report is not None
        results = await hall.results(one)
        rows = {row["id"]: row for row in hall.middle.rows(schema.message)}
        assert one.accepted_count == len(rows) == one.report.valid_count
        assert one.accepted_count + one.refused_count == one.rows_count == len(results)
        assert (one.segments, one.price_micros) == (one.report.segments, one.report.price_micros)
        for each in results:
            if each.row.message_id:
                message = rows[each.row.message_id]
                assert message["recipient"] == each.row.recipient
                assert message["text"] == f"Hello {each.row.values[1]}"
                assert not message["wants_callbacks"]
                assert message["originator"] == "ACME"
            assert bool(each.row.message_id) != bool(each.row.refusal)
        assert [each.row.refusal for each in results] == [
            "",
            "",
            "duplicate",
            "bad_recipient",
            "incomplete",
            "",
            "no_route",
            "",
            "uneven",
            "bad_recipient",
            "",
        ]
        assert hall.middle.money() == (0, one.price_micros)

    hold(script, tmp_path)


@pytest.mark.parametrize("portion_max", [1, 3, 500])
def test_rows_without_any_way_are_passed_over(tmp_path: Path, portion_max: int) -> None:
    """Portions in which nobody can be reached are refused row by row, each for its own reason."""
    content = "phone,name\n" + "".join(f"4915100000{each:03},x\n" for each in range(7)) + "393470000001,y\n"
    content += "".join(f"3361200000{each:03},z\n" for each in range(4))

    async def script(hall: Hall) -> None:
        one = await hall.ready(content)
        await hall.step(one, Step.START)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.accepted_count, one.refused_count) == (CampaignState.DONE, 1, 11)
        assert Counter(each.row.refusal for each in await hall.results(one)) == {"no_route": 11, "": 1}

    hold(script, tmp_path, portion_max=portion_max)


def test_it_pauses_where_the_money_ends(tmp_path: Path) -> None:
    """As many messages are sent as the money reaches for, then it pauses and says why; with more money it goes on."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(12), account="bob")
        assert one.report is not None
        assert not one.report.is_affordable
        await hall.step(one, Step.START)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.detail) == (CampaignState.PAUSED, Refusal.NO_FUNDS)
        assert (one.accepted_count, one.position) == (5, 5)
        middle = hall.middle
        with middle.database.transaction() as transaction:
            credit = entry(Kind.CREDIT, 10**15, one.account_id, 1_000_000)
            middle.store.ledger.write(transaction, [credit], middle.time.now_ms())
        await hall.step(one, Step.RESUME)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.detail, one.accepted_count) == (CampaignState.DONE, "", 12)
        assert len({row["recipient"] for row in hall.middle.rows(schema.message)}) == 12

    hold(script, tmp_path, portion_max=4)


def test_it_can_be_paused_and_resumed(tmp_path: Path) -> None:
    """A paused campaign hands over nothing more until it is resumed, and then the rest."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(9))
        await hall.step(one, Step.START)
        await hall.round()
        await hall.step(one, Step.PAUSE)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.position) == (CampaignState.PAUSED, 3)
        assert len(hall.middle.rows(schema.message)) == 3
        await hall.step(one, Step.RESUME)
        await hall.run()
        assert (await hall.now(one)).state is CampaignState.DONE
        assert len(hall.middle.rows(schema.message)) == 9

    hold(script, tmp_path)


def test_cancelling_takes_back_what_waits(tmp_path: Path) -> None:
    """A cancelled campaign sends no further row, and what waits of it is taken back with its money."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(9), scheduled_ms=hall.middle.time.now_ms() + 3_600_000)
        await hall.step(one, Step.START)
        await hall.round()
        await hall.round()
        await hall.step(one, Step.CANCEL)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.position) == (CampaignState.CANCELLED, 6)
        assert hall.middle.states() == [State.CANCELLED.value] * 6
        assert hall.middle.money() == (0, 0)
        assert Counter(each.state for each in await hall.results(one)) == {State.CANCELLED: 6, None: 3}

    hold(script, tmp_path)


def test_it_runs_no_further_ahead_than_a_pause_can_hold(tmp_path: Path) -> None:
    """While its first messages wait for their carrier, only so many rows are handed over."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(40))
        await hall.step(one, Step.START)
        await hall.run()
        one = await hall.now(one)
        assert one.state is CampaignState.RUNNING
        assert 10 <= one.position < 20

    hold(script, tmp_path, ahead_max=10)


def test_overload_puts_it_off(tmp_path: Path) -> None:
    """A gateway that is overloaded gets the same rows later, and each message once."""

    async def script(hall: Hall) -> None:
        middle, answers = hall.middle, [Refused(Refusal.OVERLOADED), Refused(Refusal.INTERNAL)]
        whole = middle.intake.submit

        async def submit(*arguments: Any) -> Any:
            return answers.pop() if answers else await whole(*arguments)

        hall.rounds._intake.submit = submit  # type: ignore[assignment,method-assign]
        one = await hall.ready(people(4))
        await hall.step(one, Step.START)
        await hall.run()
        assert (await hall.now(one)).position == 0
        await hall.run()
        assert (await hall.now(one)).position == 0
        await hall.run()
        assert (await hall.now(one)).state is CampaignState.DONE
        assert len(middle.rows(schema.message)) == 4

    hold(script, tmp_path)


def test_a_text_can_be_changed_until_it_is_started(tmp_path: Path) -> None:
    """Another text or column means another dry run; what runs already is not changed any more."""

    async def script(hall: Hall) -> None:
        one = await hall.ready("phone,other,name\n393470000001,393470000002,Anna\n")
        again = await hall.check(one, "Bye {name}", recipient_column="other")
        assert again.report is not None
        assert again.report.samples[0].recipient == "393470000002"
        await hall.step(one, Step.START)
        late = await hall.done(hall.desk.describe(EVERYTHING, one.id, Wording(text="Never")))
        assert late == Troubled(reason=Trouble.WRONG_STATE)
        await hall.run()
        assert [(row["recipient"], row["text"]) for row in hall.middle.rows(schema.message)] == [
            ("393470000002", "Bye Anna")
        ]

    hold(script, tmp_path)


def test_a_text_that_changes_as_a_dry_run_ends_is_checked_itself(tmp_path: Path) -> None:
    """What was found of one text never stands for another that somebody gave it at the last moment."""

    async def script(hall: Hall) -> None:
        one = await hall.load(people(2))
        await hall.done(hall.desk.describe(EVERYTHING, one.id, Wording(text="Hello {name}")))
        await hall.round()
        looked_at = await hall.now(one)
        await hall.done(hall.desk.describe(EVERYTHING, one.id, Wording(text="A much longer one, {name}. " * 20)))
        await hall.done(hall.rounds._step(looked_at))
        await hall.run()
        ready = await hall.now(one)
        assert ready.state is CampaignState.READY
        assert ready.report is not None
        assert ready.report.segments > 2
        assert ready.report.samples[0].text.startswith("A much longer")

    hold(script, tmp_path)


@pytest.mark.parametrize(
    "wording, reason",
    [
        (Wording(text="  "), Trouble.NO_TEXT),
        (Wording(text="{nobody}"), Trouble.UNKNOWN_COLUMN),
        (Wording(text="x", originator="OTHER"), Trouble.BAD_ORIGINATOR),
        (Wording(text="x", scheduled_ms=1), Trouble.BAD_TIME),
        (Wording(text="x", recipient_column="none"), Trouble.NO_RECIPIENT_COLUMN),
    ],
)
def test_what_cannot_be_sent_is_told_before(tmp_path: Path, wording: Wording, reason: Trouble) -> None:
    """What is wrong with the whole is told when it is said, not when it is sent."""

    async def script(hall: Hall) -> None:
        one = await hall.load(people(2))
        troubled = await hall.done(hall.desk.describe(EVERYTHING, one.id, wording))
        assert isinstance(troubled, Troubled)
        assert troubled.reason is reason
        assert (await hall.now(one)).state is CampaignState.DRAFT

    hold(script, tmp_path)


def test_others_do_not_see_it(tmp_path: Path) -> None:
    """A campaign of another account is found by nobody, whatever they ask of it."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(2))
        strangers = Sight(frozenset({hall.middle.account("bob").id}))
        nobody = Sight(frozenset())
        own = Sight(frozenset({one.account_id}))
        for sight in (strangers, nobody):
            assert await hall.done(hall.desk.find(sight, one.id)) is None
            assert await hall.done(hall.desk.page(sight)) == []
            assert await hall.done(hall.desk.describe(sight, one.id, Wording(text="x"))) is None
            for step in Step:
                assert await hall.done(hall.desk.step(sight, one.id, step)) is None
        assert [each.id for each in await hall.done(hall.desk.page(own))] == [one.id]
        assert (await hall.now(one)).state is CampaignState.READY

    hold(script, tmp_path)


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    """A removed campaign is seen no more, its rows are forgotten, and its messages stay."""

    async def script(hall: Hall) -> None:
        one = await hall.ready(people(5))
        await hall.step(one, Step.START)
        await hall.run()
        await hall.step(one, Step.REMOVE)
        assert await hall.done(hall.desk.find(EVERYTHING, one.id)) is None
        await hall.run()
        assert hall.middle.rows(schema.campaign) == hall.middle.rows(schema.campaign_row) == []
        assert len(hall.middle.rows(schema.message)) == 5

    hold(script, tmp_path)


def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """A file that turns out bad after thousands of rows is refused with its line, and its rows are forgotten."""

    async def script(hall: Hall) -> None:
        content = people(4_500) + '39347999999,"open\n'
        file = io.BytesIO(content.encode())
        loading = hall.desk.load(hall.middle.alice, "anna", "Spring", file, Choices())
        assert await hall.done(loading) == Troubled(reason=Trouble.OPEN_QUOTE, line=4_502)
        await hall.run()
        assert hall.middle.rows(schema.campaign) == hall.middle.rows(schema.campaign_row) == []

    hold(script, tmp_path)


def test_an_account_keeps_so_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account whose campaigns keep too many rows loads no further file until it has removed some."""
    monkeypatch.setattr(campaigns_module, "ROWS_KEPT_MAX", 5)

    async def script(hall: Hall) -> None:
        one = await hall.load(people(5))
        further = hall.desk.load(hall.middle.alice, "anna", "x", io.BytesIO(people(1).encode()), Choices())
        assert await hall.done(further) == Troubled(reason=Trouble.TOO_MUCH_KEPT, limit=5)
        await hall.load(people(1), account="bob")
        await hall.step(one, Step.REMOVE)
        await hall.run()
        await hall.load(people(1))

    hold(script, tmp_path)


def test_pasted_numbers_are_a_campaign(tmp_path: Path) -> None:
    """Numbers parted by lines, commas or semicolons become rows of their own, and need no header."""

    async def script(hall: Hall) -> None:
        text = "+39 347 0000001, 3470000002;\n\n nobody\t393470000001"
        one = await hall.done(hall.desk.load_numbers(hall.middle.alice, "anna", "", text))
        assert isinstance(one, Campaign)
        one = await hall.check(one, "Hello")
        assert one.report is not None
        assert (one.rows_count, one.report.valid_count) == (4, 2)
        empty = await hall.done(hall.desk.load_numbers(hall.middle.alice, "anna", "", " ;\n"))
        assert empty == Troubled(reason=Trouble.EMPTY)

    hold(script, tmp_path)


def test_a_form_sends_once(tmp_path: Path) -> None:
    """One message is kept once however often its form is sent, and another form sends another."""

    async def script(hall: Hall) -> None:
        first, second = hall.desk.new_id(), hall.desk.new_id()
        submission = Submission(recipients=("347 0000001", "+447700900123"), text="Hello", originator="ACME")
        for first_id in (first, first, second):
            verdict = await hall.done(hall.desk.send(hall.middle.alice, submission, first_id))
            assert isinstance(verdict, Accepted)
        rows = hall.middle.rows(schema.message)
        assert Counter(row["recipient"] for row in rows) == {"393470000001": 2, "447700900123": 2}
        assert {row["wants_callbacks"] for row in rows} == {0}

    hold(script, tmp_path)


# Kills


class Killed(BaseException):
    """The process is gone."""


CONTENT = people(7) + "nobody,x\n4915100000000,y\n3470000003,again\n"


async def carry_on(hall: Hall) -> None:
    """Whoever sits before the panel does the next thing until the campaign is done."""
    while True:
        await hall.run()
        shown = [one for one in await hall.done(hall.desk.page(EVERYTHING)) if one.state is not CampaignState.LOADING]
        if not shown:
            await hall.load(CONTENT)
            continue
        match shown[0].state:
            case CampaignState.DRAFT:
                await hall.check(shown[0])
            case CampaignState.READY:
                await hall.step(shown[0], Step.START)
            case CampaignState.DONE:
                return


def live(folder: Path, kill_at: int | None, *, is_after: bool = False) -> int:
    """One life from wherever the last one ended; how many commits it made before it was done or killed. One that comes
    to its end looks through what there is."""
    clock = Time()
    clock.now_s = 100.0 * len(list(folder.glob("life-*")))  # each life later than the one before
    (folder / f"life-{clock.now_s}").touch()
    loop = TimedLoop(clock)
    made = 0

    async def whole() -> None:
        nonlocal made
        middle = Middle(folder, clock, WORLD, ["sim"])
        commits = middle.store._commits
        try:
            await middle.open()

            def strike() -> None:
                nonlocal made
                made += 1
                if made == kill_at:
                    raise Killed

            if is_after:
                commits.after_commit = strike
            else:
                commits.before_commit = strike
            await carry_on(Hall(middle))
            look_through(middle)
        except Killed:
            pass
        finally:
            commits.before_commit = commits.after_commit = None
            for dispatcher in middle.fleet.dispatchers:
                dispatcher.stop()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
            commits._waiting.clear()
            middle.store.stop()

    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
    return made


def test_a_kill_at_any_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed just before or just after any commit, a campaign goes on and every good row is sent to exactly once."""
    empty = tmp_path / "empty"
    empty.mkdir()
    play(empty, lambda _: asyncio.sleep(0), WORLD, ["sim"])
    whole = tmp_path / "whole"
    shutil.copytree(empty, whole)
    commits_count = live(whole, None)
    assert commits_count > 15
    # Just after one commit is just before the next, as far as the tables go: some of the former are enough.
    strikes = [(kill_at, False) for kill_at in range(1, commits_count + 1)]
    strikes += [(kill_at, True) for kill_at in range(commits_count, 0, -6)]
    for kill_at, is_after in strikes:
        folder = tmp_path / f"{kill_at}-{is_after}"
        shutil.copytree(empty, folder)
        assert live(folder, kill_at, is_after=is_after) == kill_at
        live(folder, None)
        shutil.rmtree(folder)


def look_through(middle: Middle) -> None:
    [one] = [row for row in middle.rows(schema.campaign) if row["state"] != "removing"]
    rows = [row for row in middle.rows(schema.campaign_row) if row["campaign_id"] == one["id"]]
    messages = {row["id"]: row for row in middle.rows(schema.message)}
    assert sorted(row["recipient"] for row in messages.values()) == [f"39347{each:07}" for each in range(7)]
    assert {row["message_id"]: row["recipient"] for row in rows if row["message_id"]} == {
        key: row["recipient"] for key, row in messages.items()
    }
    assert [row["refusal"] for row in rows] == [*[""] * 7, "bad_recipient", "no_route", "duplicate"]
    assert (one["accepted_count"], one["refused_count"], one["segments"]) == (7, 3, 7)
    assert middle.store.ask(middle.store.figures.audit).findings == ()


def test_a_cancelled_portion_is_not_forgotten(tmp_path: Path) -> None:
    """A portion that was kept when its node died, in a campaign that is then cancelled, is taken back with the rest."""

    async def begin(middle: Middle) -> None:
        hall = Hall(middle)
        one = await hall.ready(people(9), scheduled_ms=middle.time.now_ms() + 3_600_000)
        await hall.step(one, Step.START)

        async def lose(*_: Any) -> bool:
            raise Killed

        hall.rounds._advance = lose  # type: ignore[assignment,method-assign]
        with pytest.raises(Killed):
            await hall.round()
        assert len(middle.rows(schema.message)) == 3

    async def end(middle: Middle) -> None:
        middle.time.now_s = 100.0
        hall = Hall(middle)
        [one] = await hall.done(hall.desk.page(EVERYTHING))
        await hall.step(one, Step.CANCEL)
        await hall.run()
        one = await hall.now(one)
        assert (one.state, one.accepted_count) == (CampaignState.CANCELLED, 3)
        assert middle.states() == ["cancelled"] * 3

    play(tmp_path, begin, WORLD, ["sim"])
    play(tmp_path, end, WORLD, ["sim"])


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Loading and checking five times as many rows takes hardly more memory."""

    def peak(count: int) -> int:
        content = io.BytesIO(("phone,name\n" + "".join(f"39347{each:07},N\n" for each in range(count))).encode())
        folder = tmp_path / str(count)
        folder.mkdir()
        peaks: list[int] = []

        async def script(hall: Hall) -> None:
            tracemalloc.start()
            try:
                one = await hall.done(hall.desk.load(hall.middle.alice, "anna", "x", content, Choices()))
                assert isinstance(one, Campaign)
                checked = await hall.check(one)
                assert checked.report is not None
                assert checked.report.valid_count == count
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()

        hold(script, folder)
        return peaks[0]

    small, large = peak(2_500), peak(12_500)
    assert large < small + 600_000, (small, large)
    assert campaigns_module.LOADED_AT_ONCE < 2_500
