"""What became of a message, and what is left to spend: only for whom it concerns."""

from pathlib import Path

import pytest

from chappe.core.centre import Balance, Cancel, Cancelled, FetchBalance, Query, Refusal, Refused
from chappe.core.model import Report, State
from chappe.gateway.queries import GUESSES_FREE, message_id_of
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
    assert message_id_of(reference) == message_id


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
