"""Delivery receipts find their message, early, late or twice, and change state, money and callbacks together."""

import asyncio
from pathlib import Path

import pytest

from chappe.core.centre import Uncertain
from chappe.core.model import Receipt, State
from chappe.dialects.base import DETAIL_MAX
from chappe.gateway.feed import Step
from chappe.gateway.receipts import REFERENCE_MAX
from chappe.store import schema
from chappe.store.database import StoreUnavailable
from gateway.middle import WORLD, YES, Middle, play

NUMBER = "447700900123"
PRICE = 10_000
SCRIPTS = ["sim"]


async def sent(middle: Middle) -> str:
    middle.scripts["sim"].always = YES
    await middle.submit(NUMBER)
    return f"sim-{middle.rows(schema.message)[-1]['id']}"


# What is reported one after the other, the state in the end, and what the customer hears after "Sent".
ORDERS: list[tuple[list[State], str, list[str]]] = [
    ([State.DELIVERED], "delivered", ["Delivered"]),
    ([State.UNDELIVERABLE], "undeliverable", ["Undelivered"]),
    ([State.REJECTED], "rejected", ["Failed"]),
    ([State.DELIVERED, State.DELIVERED], "delivered", ["Delivered"]),
    ([State.DELIVERED, State.EXPIRED], "delivered", ["Delivered"]),
    ([State.DELIVERED, State.SENT], "delivered", ["Delivered"]),
    ([State.SENT, State.SENT, State.DELIVERED], "delivered", ["Delivered"]),
    ([State.UNKNOWN, State.DELIVERED], "delivered", ["Undelivered", "Delivered"]),
    ([State.QUEUED], "sent", []),
]


@pytest.mark.parametrize("reported, state, told", ORDERS, ids=[" ".join(row[0]) for row in ORDERS])
def test_what_receipts_lead_to(tmp_path: Path, reported: list[State], state: str, told: list[str]) -> None:
    """A final state stays, whatever is reported after it; each change is told once and the price is paid once."""

    async def script(middle: Middle) -> None:
        reference = await sent(middle)
        for one in reported:
            await middle.told("sim", reference, one)
        assert middle.states() == [state]
        assert middle.words_called() == ["Sent", *told]
        assert middle.money() == (PRICE, 0)

    play(tmp_path, script, WORLD, SCRIPTS)


@pytest.mark.parametrize("is_early", [False, True], ids=["later", "before the doubt"])
@pytest.mark.parametrize("names_ours, state, money", [(True, "delivered", (PRICE, 0)), (False, "sending", (0, PRICE))])
def test_a_receipt_under_our_reference_settles_a_doubt(
    tmp_path: Path, names_ours: bool, state: str, money: tuple[int, int], is_early: bool
) -> None:
    """Where receipts name what we sent along, one for a doubtful message proves it was taken; else it is parked."""

    async def script(middle: Middle) -> None:
        carrier = middle.scripts["sim"]
        carrier.receipts_name_our_reference = names_ours
        await middle.submit(NUMBER)
        reference = carrier.asked[0].reference
        if is_early:
            await middle.told("sim", reference, State.DELIVERED)
        carrier.answer(Uncertain("time-out"))
        await middle.pass_time(2)
        if not is_early:
            await middle.told("sim", reference, State.DELIVERED)
        assert middle.states() == [state]
        assert middle.money() == money

    play(tmp_path, script, WORLD, SCRIPTS)


def test_an_early_receipt_is_parked_and_matched(tmp_path: Path) -> None:
    """A receipt that overtakes the carrier's answer is kept, shown, and found when the answer comes."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        reference = f"sim-{middle.message()['id']}"
        told = await middle.told("sim", reference, State.DELIVERED)
        assert told.is_parked
        assert middle.feed.counts[Step.PARKED, "receipt"] == 1
        assert middle.store.ask(middle.store.figures.overview).parked_receipts == 1
        middle.scripts["sim"].answer()
        await middle.settle()
        assert middle.states() == ["delivered"]
        assert middle.words_called() == ["Sent", "Delivered"]
        assert middle.rows(schema.parked_receipt) == []
        assert middle.money() == (PRICE, 0)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_parked_receipt_outlives_the_process(tmp_path: Path) -> None:
    """A receipt parked before a restart is matched by the answer that comes after it."""

    async def first_life(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.told("sim", f"sim-{middle.message()['id']}", State.DELIVERED)

    async def second_life(middle: Middle) -> None:
        assert middle.doubtful_count == 1
        middle.scripts["sim"].always = YES
        await middle.pass_time(3)
        assert middle.states() == ["delivered"]
        assert middle.money() == (PRICE, 0)

    world = WORLD.replace('kind = "simulated"', 'kind = "simulated"\nuncertain = "resend"')
    play(tmp_path, first_life, world, SCRIPTS)
    play(tmp_path, second_life, world, SCRIPTS)


def test_somebody_elses_receipt_is_parked_for_a_week(tmp_path: Path) -> None:
    """A receipt that belongs to no message is kept seven days and changes nothing."""

    async def script(middle: Middle) -> None:
        await sent(middle)
        assert (await middle.told("sim", "never heard of", State.DELIVERED)).is_parked
        assert middle.states() == ["sent"]
        await middle.pass_time(6 * 86_400, step_s=86_400)
        assert len(middle.rows(schema.parked_receipt)) == 1
        await middle.pass_time(2 * 86_400, step_s=86_400)
        assert middle.rows(schema.parked_receipt) == []

    play(tmp_path, script, WORLD, SCRIPTS)


def test_a_reference_belongs_to_its_carrier(tmp_path: Path) -> None:
    """Another carrier's receipt under the same reference finds nothing."""
    two = WORLD.replace("[[route]]", '[[carrier]]\nname = "other"\nkind = "simulated"\n\n[[route]]')

    async def script(middle: Middle) -> None:
        reference = await sent(middle)
        assert (await middle.told("other", reference, State.DELIVERED)).is_parked
        assert middle.states() == ["sent"]

    play(tmp_path, script, two, [*SCRIPTS, "other"])


def test_a_receipt_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    """While the database is away the carrier is told so, and what it sends again later counts."""

    async def script(middle: Middle) -> None:
        reference = await sent(middle)

        def lose() -> None:
            raise StoreUnavailable("away")

        middle.store._commits.before_commit = lose
        future = middle.receipts.receive(
            middle.carrier("sim"), Receipt(reference=reference, state=State.DELIVERED, detail="word")
        )
        await middle.settle()
        assert isinstance(future.exception(), StoreUnavailable)
        middle.store._commits.before_commit = None
        assert middle.states() == ["sent"]
        await middle.told("sim", reference, State.DELIVERED)
        assert middle.states() == ["delivered"]

    play(tmp_path, script, WORLD, SCRIPTS)


def test_what_a_carrier_writes_has_a_limit(tmp_path: Path) -> None:
    """Of a carrier's reference and words no more than 200 characters each are kept."""

    async def script(middle: Middle) -> None:
        receipt = Receipt(reference="r" * 5000, state=State.DELIVERED, detail="d" * 5000)
        future = middle.receipts.receive(middle.carrier("sim"), receipt)
        await middle.settle()
        assert future.result().is_parked
        [row] = middle.rows(schema.parked_receipt)
        assert (len(row["reference"]), len(row["detail"])) == (REFERENCE_MAX, DETAIL_MAX)

    play(tmp_path, script, WORLD, SCRIPTS)


def test_the_answer_waits_for_the_commit(tmp_path: Path) -> None:
    """A receipt is answered only after the commit that holds it."""

    async def script(middle: Middle) -> None:
        reference = await sent(middle)
        future = middle.receipts.receive(middle.carrier("sim"), Receipt(reference=reference, state=State.DELIVERED))
        await asyncio.sleep(0)
        assert not future.done()
        middle.store.commit_once()
        assert future.done()
        assert middle.states() == ["delivered"]

    play(tmp_path, script, WORLD, SCRIPTS)


def test_silence_in_the_end_is_unknown_and_a_late_receipt_still_counts(tmp_path: Path) -> None:
    """Three days without a receipt make a sent message unknown; it stays paid, and a receipt afterwards is believed."""

    async def script(middle: Middle) -> None:
        reference = await sent(middle)
        await middle.pass_time(71 * 3600, step_s=12 * 3600)
        assert middle.states() == ["sent"]
        await middle.pass_time(2 * 3600, step_s=3600)
        assert middle.states() == ["unknown"]
        assert middle.money() == (PRICE, 0)
        await middle.told("sim", reference, State.DELIVERED)
        assert middle.states() == ["delivered"]
        assert middle.words_called() == ["Sent", "Undelivered", "Delivered"]

    play(tmp_path, script, WORLD, SCRIPTS)


@pytest.mark.parametrize("is_early", [False, True])
def test_a_receipt_settles_a_doubt(tmp_path: Path, is_early: bool) -> None:
    """Where receipts carry our own id, a message without an answer is sent after all when its receipt comes."""

    async def script(middle: Middle) -> None:
        middle.scripts["sim"].receipts_name_our_reference = True
        await middle.submit(NUMBER)
        reference = str(middle.message()["id"])
        if is_early:
            await middle.told("sim", reference, State.DELIVERED)
        middle.scripts["sim"].answer(Uncertain("time-out"))
        await middle.settle()
        if not is_early:
            assert middle.states() == ["sending"]
            await middle.told("sim", reference, State.DELIVERED)
        assert middle.states() == ["delivered"]
        assert middle.money() == (PRICE, 0)
        await middle.pass_time(49 * 3600, step_s=3600)
        assert middle.states() == ["delivered"]

    play(tmp_path, script, WORLD, SCRIPTS)
