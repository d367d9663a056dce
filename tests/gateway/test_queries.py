"""What became of a message, and what is left to spend: only for whom it concerns."""

from pathlib import Path
from typing import Any

import pytest

from chappe.core.centre import (
    Accepted,
    Balance,
    Cancel,
    CancelAll,
    Cancelled,
    FetchBalance,
    FetchPrices,
    FetchStatistics,
    FindMessages,
    ListMessages,
    ListSubmissions,
    Prices,
    Query,
    Refusal,
    Refused,
    Reports,
    Statistics,
    SubmissionReports,
)
from chappe.core.ids import read_id
from chappe.core.model import Account, Coding, Report, Route, Service, State
from chappe.core.routing import RoutingTable
from chappe.gateway import queries
from chappe.gateway.queries import GUESSES_FREE, prices_of
from chappe.store import schema
from chappe.store.database import StoreUnavailable
from gateway.middle import YES, Middle, play

NUMBER = "447700900123"
NOBODY = Refused(Refusal.NOT_FOUND)
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "a"
balance = "1.00"
currency = "GBP"

[[account]]
name = "mallory"
password = "m"
"""
SCRIPTS = ["sim"]


async def submitted(middle: Middle, *numbers: str, originator: str = "ACME", scheduled_s: int = 0) -> str:
    """Submit and tell the id of the submission."""
    before = {row["submission_id"] for row in middle.rows(schema.message)}
    scheduled_ms = middle.time.now_ms() + scheduled_s * 1000 if scheduled_s else None
    await middle.submit(*numbers, originator=originator, scheduled_ms=scheduled_ms)
    [made] = {row["submission_id"] for row in middle.rows(schema.message)} - before
    return str(made)


async def ask(middle: Middle, reference: str, account: str = "", originator: str = "", network: str = "n1") -> object:
    query = Query(reference=reference, account=middle.account(account) if account else None, originator=originator)
    return await middle.ask(query, network=network)


def test_the_whole_submission_is_reported_under_its_id(tmp_path: Path) -> None:
    """Several messages have one state, the least finished, and the sum of their prices and segments."""

    async def script(middle: Middle) -> None:
        middle.scripts["sim"].always = YES
        reference = await submitted(middle, NUMBER, "447700900124", "447700900125")
        await middle.told("sim", f"sim-{int(reference) + 1}", State.DELIVERED)
        report = await ask(middle, reference, "alice")
        assert isinstance(report, Report)
        assert (report.id, report.submission_id, report.recipient) == (int(reference), int(reference), NUMBER)
        assert (report.state, report.segments, report.price_micros) == (State.SENT, 3, 30_000)
        assert (report.text, report.changed_ms, report.reason) == ("Hello", middle.time.now_ms(), "")
        for index in (0, 2):
            await middle.told("sim", f"sim-{int(reference) + index}", State.UNDELIVERABLE)
        report = await ask(middle, reference, "alice")
        assert isinstance(report, Report)
        assert report.state is State.UNDELIVERABLE

    play(tmp_path, script, WORLD, SCRIPTS)


# Who asks for alice's message from ACME, and how; whether it is shown.
ASKING: list[tuple[str, str, str, bool]] = [
    ("its account", "alice", "", True),
    ("its account, from another number", "alice", "OTHER", True),
    ("another account", "mallory", "", False),
    ("another account that knows the originator", "mallory", "ACME", False),
    ("whoever knows its originator", "", "ACME", True),
    ("whoever guesses the originator", "", "BANK", False),
    ("nobody", "", "", False),
]


@pytest.mark.parametrize("name, account, originator, is_shown", ASKING, ids=[row[0] for row in ASKING])
def test_only_those_concerned_are_told(
    tmp_path: Path, name: str, account: str, originator: str, is_shown: bool
) -> None:
    """A message is shown to its account, and to whoever knows both id and originator; to all others it is not there."""

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER)
        answer = await ask(middle, reference, account, originator)
        assert isinstance(answer, Report) if is_shown else answer == NOBODY

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_number_may_be_asked_with_a_plus(tmp_path: Path) -> None:
    """The originator of a query may be written with the plus sign that a message does not keep."""

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER, originator="+447700900001")
        assert isinstance(await ask(middle, reference, originator="+447700900001"), Report)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_only_a_submissions_own_id_is_one(tmp_path: Path) -> None:
    """The id of a submission's second message names nothing, and an empty originator opens no message without one."""

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER, "447700900124", originator="")
        assert await ask(middle, str(int(reference) + 1), "alice") == NOBODY
        assert await ask(middle, reference) == NOBODY

    play(tmp_path, script, WORLD, SCRIPTS)


@pytest.mark.parametrize(
    "reference, message_id",
    [
        ("0", 0),
        ("9001", 9001),
        ("009001", 9001),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 19, None),
        ("1" * 20, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("0x10", None),
        (" 1", None),
        ("٩٠٠١", None),
        ("²", None),
        ("1\0", None),
    ],
)
def test_what_is_an_id(reference: str, message_id: int | None) -> None:
    """An id is up to nineteen plain digits within 63 bits; all else names no message."""
    assert read_id(reference) == message_id


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    """Who misses again and again without an account must wait; others, and accounts, need not."""

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER)
        for _ in range(GUESSES_FREE + 1):
            assert await ask(middle, "5", originator="ACME") == NOBODY
        refused = await ask(middle, reference, originator="ACME")
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.retry_after_s) == (Refusal.THROTTLED, 1.0)
        assert isinstance(await ask(middle, reference, originator="ACME", network="n2"), Report)
        assert isinstance(await ask(middle, reference, "alice"), Report)
        middle.time.now_s += 1.5
        assert isinstance(await ask(middle, reference, originator="ACME"), Report)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_what_was_given_back_has_no_price(tmp_path: Path) -> None:
    """A message that was refused costs nothing, alone and as part of a submission."""

    async def script(middle: Middle) -> None:
        middle.scripts["sim"].verdicts = [Refused(Refusal.BAD_RECIPIENT)]
        middle.scripts["sim"].always = YES
        reference = await submitted(middle, NUMBER, "447700900124", "447700900125")
        assert sorted(middle.states()) == ["rejected", "sent", "sent"]
        report = await ask(middle, reference, "alice")
        assert isinstance(report, Report)
        assert report.price_micros == 20_000
        assert report.reason == ""
        middle.scripts["sim"].verdicts = [Refused(Refusal.BLOCKED, "their words"), Refused(Refusal.BAD_RECIPIENT)]
        report = await ask(middle, await submitted(middle, NUMBER, "447700900124"), "alice")
        assert isinstance(report, Report)
        assert (report.state, report.reason) == (State.REJECTED, "blocked")

    play(tmp_path, script, WORLD, SCRIPTS)


def test_what_is_taken_back_is_called_back(tmp_path: Path) -> None:
    """The customer is told of a cancelled message where his dialect has a word for it."""
    receipts = 'receipt_url = "http://app.example/r"\nreceipt_dialect = "proovl"'
    told = WORLD.replace('name = "alice"', f'name = "alice"\n{receipts}')

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER, scheduled_s=3600)
        cancel = Cancel(middle.account("alice"), reference)
        assert await middle.ask(cancel) == Cancelled()
        assert [row["state"] for row in middle.rows(schema.callback)] == ["pending"]

    play(tmp_path, script, told, SCRIPTS)


def test_what_waits_can_be_taken_back(tmp_path: Path) -> None:
    """Cancelling gives the money back, once, to its account only, and only before it is sent."""

    async def cancel(middle: Middle, reference: str, account: str) -> object:
        return await middle.ask(Cancel(middle.account(account), reference))

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER, "447700900124", scheduled_s=3600)
        assert middle.money() == (0, 20_000)
        assert await cancel(middle, reference, "mallory") == NOBODY
        assert await cancel(middle, "nonsense", "alice") == NOBODY
        assert middle.money() == (0, 20_000)
        assert await cancel(middle, reference, "alice") == Cancelled(2)
        assert middle.states() == ["cancelled", "cancelled"]
        assert middle.money() == (0, 0)
        assert await cancel(middle, reference, "alice") == Refused(Refusal.TOO_LATE)
        under_way = await submitted(middle, NUMBER)
        assert await cancel(middle, under_way, "alice") == Refused(Refusal.TOO_LATE)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_balance_is_what_can_still_be_spent(tmp_path: Path) -> None:
    """What is reserved is not there any more; each account sees its own, in its currency."""

    async def script(middle: Middle) -> None:
        await submitted(middle, NUMBER)
        for account, amount_micros, currency in (("alice", 990_000, "GBP"), ("mallory", 0, "EUR")):
            balance = await middle.ask(FetchBalance(middle.account(account)))
            assert balance == Balance(amount_micros=amount_micros, currency=currency)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_without_the_database_questions_are_refused(tmp_path: Path) -> None:
    """While the database is away every question is answered as overload, none with a wrong answer."""

    async def script(middle: Middle) -> None:
        reference = await submitted(middle, NUMBER, scheduled_s=60)

        async def read(_: object) -> None:
            raise StoreUnavailable("away")

        middle.store.read = read  # type: ignore[method-assign, assignment]
        busy = Refused(Refusal.OVERLOADED)
        alice = middle.alice
        assert await ask(middle, reference, "alice") == busy
        assert await ask(middle, reference, originator="ACME") == busy
        assert await middle.ask(Cancel(alice, reference)) == busy
        assert await middle.ask(FetchBalance(alice)) == busy

    play(tmp_path, script, WORLD, SCRIPTS)


# Finding, listing, taking back

THREE = (NUMBER, "447700900124", NUMBER)


async def named(middle: Middle, *numbers: str, name: str, **more: Any) -> int:
    """Submit under a name; our id of the submission."""
    verdict = await middle.submit(*numbers, reference=name, is_findable=True, **more)
    assert isinstance(verdict, Accepted)
    return int(verdict.tickets[0].reference)


async def found(middle: Middle, reference: object, account: str = "alice", recipient: str = "") -> object:
    """The places of the messages that are found, within their submission."""
    answer = await middle.ask(
        FindMessages(account=middle.account(account), reference=str(reference), recipient=recipient)
    )
    if not isinstance(answer, Reports):
        return answer
    assert answer.total == len(answer.items)
    return [report.id - report.submission_id for report in answer.items]


def test_messages_are_found_by_any_of_their_names(tmp_path: Path) -> None:
    """By our id of the submission or its own name all of it is found, by a message's id that message alone."""

    async def script(middle: Middle) -> None:
        first = await named(middle, *THREE, name="order 7", text="Hello")
        for reference in (first, "order 7"):
            assert await found(middle, reference) == [0, 1, 2]
            assert await found(middle, reference, recipient=NUMBER) == [0, 2]
            assert await found(middle, reference, recipient="447700900199") == NOBODY
            assert await found(middle, reference, "mallory") == NOBODY
        assert await found(middle, first + 1) == [1]
        assert await found(middle, first + 1, recipient="447700900124") == [1]
        assert await found(middle, first + 1, recipient=NUMBER) == NOBODY
        assert await found(middle, first + 1, "mallory") == NOBODY
        for reference in (first + 3, "order", "", "0"):
            assert await found(middle, reference) == NOBODY
        await named(middle, NUMBER, name="order 7")
        assert await found(middle, "order 7") == [0]

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_name_may_look_like_an_id(tmp_path: Path) -> None:
    """A customer's own name of digits is looked up before our ids."""

    async def script(middle: Middle) -> None:
        first = await named(middle, *THREE, name="1")
        await named(middle, NUMBER, name=str(first + 1))
        assert await found(middle, first + 1) == [0]
        assert await found(middle, first) == [0, 1, 2]

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_report_tells_a_messages_story(tmp_path: Path) -> None:
    """Text, service, coding, when it was sent, when it came into its state, and why it failed."""

    async def script(middle: Middle) -> None:
        sim = middle.scripts["sim"]
        sim.verdicts = [YES, Refused(Refusal.BLOCKED, "no adverts please")]
        start_ms = middle.time.now_ms()
        reference = await named(
            middle, NUMBER, "447700900124", name="n", text="Hi", service=Service.ECONOMY, coding=Coding.FLASH
        )
        middle.time.now_s += 5
        await middle.told("sim", f"sim-{reference}", State.DELIVERED)
        await submitted(middle, NUMBER, scheduled_s=60)
        answer = await middle.ask(ListMessages(account=middle.alice))
        assert isinstance(answer, Reports)
        waiting, refused, delivered = answer.items
        assert (delivered.text, delivered.service, delivered.coding) == ("Hi", Service.ECONOMY, Coding.FLASH)
        assert (delivered.due_ms, delivered.changed_ms, delivered.reason) == (start_ms, start_ms + 5_000, "")
        assert (refused.state, refused.reason, refused.price_micros) == (State.REJECTED, "blocked", 0)
        assert refused.changed_ms == start_ms
        assert (waiting.due_ms, waiting.changed_ms) == (start_ms + 65_000, start_ms + 5_000)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_lists_are_of_the_account_alone(tmp_path: Path) -> None:
    """Messages and submissions are listed with their totals; another account sees none of them."""

    async def script(middle: Middle) -> None:
        start_ms = middle.time.now_ms()
        first = await named(middle, *THREE, name="order 7")
        middle.time.now_s += 1
        second = await named(middle, NUMBER, name="order 8", scheduled_ms=start_ms + 60_000)
        span = {"from_ms": start_ms, "to_ms": start_ms + 10_000}
        answer = await middle.ask(ListSubmissions(account=middle.alice, **span))
        assert isinstance(answer, SubmissionReports)
        assert answer.total == 2
        assert [(one.id, one.reference, one.recipients_count, one.scheduled_ms) for one in answer.items] == [
            (second, "order 8", 1, start_ms + 60_000),
            (first, "order 7", 3, None),
        ]
        assert [one.submitted_ms for one in answer.items] == [start_ms + 1_000, start_ms]
        page = await middle.ask(ListMessages(account=middle.alice, recipients=(NUMBER,), offset=1, count_max=1))
        assert (page.items[0].id, page.total) == (first + 2, 3)
        for call in (
            ListMessages(account=middle.account("mallory")),
            ListSubmissions(account=middle.account("mallory"), **span),
        ):
            nothing = await middle.ask(call)
            assert (nothing.items, nothing.total) == ((), 0)

    play(tmp_path, script, WORLD, SCRIPTS)


TAKEN_BACK: list[tuple[str, str, int]] = [  # what is named, to whom, how many messages that takes back
    ("order 7", "", 3),
    ("order 7", NUMBER, 2),
    ("+0", "", 3),
    ("+0", "447700900124", 1),
    ("+1", "", 1),
    ("+2", NUMBER, 1),
]


@pytest.mark.parametrize("reference, recipient, count", TAKEN_BACK)
def test_what_is_named_is_taken_back(tmp_path: Path, reference: str, recipient: str, count: int) -> None:
    """A submission, one message, or the messages to one recipient; their money comes back, and only theirs."""

    async def script(middle: Middle) -> None:
        first = await named(middle, *THREE, name="order 7", scheduled_ms=middle.time.now_ms() + 60_000)
        wanted = str(first + int(reference)) if reference[0] == "+" else reference
        assert await middle.ask(Cancel(middle.account("mallory"), wanted, recipient)) == NOBODY
        assert await middle.ask(Cancel(middle.alice, wanted, recipient)) == Cancelled(count)
        assert sorted(middle.states()) == ["cancelled"] * count + ["scheduled"] * (3 - count)
        assert middle.money() == (0, (3 - count) * 10_000)
        assert await middle.ask(Cancel(middle.alice, wanted, recipient)) == Refused(Refusal.TOO_LATE)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_everything_scheduled_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of an account's scheduled messages, in as many commits as it takes; what is under way goes on."""
    monkeypatch.setattr(queries, "RECALL_MAX", 2)

    async def script(middle: Middle) -> None:
        await submitted(middle, NUMBER)
        for _ in range(5):
            await submitted(middle, NUMBER, scheduled_s=60)
        assert await middle.ask(CancelAll(middle.account("mallory"))) == Cancelled(0)
        assert await middle.ask(CancelAll(middle.alice)) == Cancelled(5)
        assert sorted(middle.states()) == ["cancelled"] * 5 + ["sending"]
        assert await middle.ask(CancelAll(middle.alice)) == Cancelled(0)

    play(tmp_path, script, WORLD, SCRIPTS)


PRICED = RoutingTable(
    [
        Route(prefix="", service=Service.PREMIUM, carrier_ids=(1,), price_micros=90_000),
        Route(prefix="39", service=None, carrier_ids=(1,), price_micros=50_000),
        Route(prefix="39", service=Service.ECONOMY, carrier_ids=(1,), price_micros=20_000),
    ]
)
HOME: list[tuple[str, bool, dict[Service, int]]] = [
    ("39", False, {Service.PREMIUM: 50_000, Service.STANDARD: 50_000, Service.ECONOMY: 20_000}),
    ("44", False, {Service.PREMIUM: 90_000}),
    ("", False, {Service.PREMIUM: 90_000}),
    ("44", True, {Service.PREMIUM: 0}),
]


@pytest.mark.parametrize("country, is_virtual, by_service", HOME)
def test_prices_are_those_at_home(country: str, is_virtual: bool, by_service: dict[Service, int]) -> None:
    """One segment to the account's own country, for each class that has a route there."""
    account = Account(id=1, name="alice", country=country, is_virtual=is_virtual)
    assert prices_of(account, PRICED) == by_service


def test_prices_and_statistics_are_asked_for(tmp_path: Path) -> None:
    """What is charged and what was paid in, within the span."""

    async def script(middle: Middle) -> None:
        assert await middle.ask(FetchPrices(middle.alice)) == Prices(by_service=dict.fromkeys(Service, 10_000))
        start_ms = middle.time.now_ms()
        await submitted(middle, NUMBER, "447700900124")
        span = (start_ms, start_ms + 1)
        asked = await middle.ask(FetchStatistics(middle.alice, *span))
        assert asked == Statistics(segments_count=2, spent_micros=20_000, paid_in_micros=1_000_000)
        nothing = Statistics(segments_count=0, spent_micros=0, paid_in_micros=0)
        assert await middle.ask(FetchStatistics(middle.alice, start_ms + 1, start_ms + 2)) == nothing
        assert await middle.ask(FetchStatistics(middle.account("mallory"), *span)) == nothing

    play(tmp_path, script, WORLD, SCRIPTS)
