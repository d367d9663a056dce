"""All carriers together follow the configuration while the gateway runs, and nobody's message is lost on the way."""

import asyncio
from pathlib import Path

import pytest

from chappe.core.centre import Accepted, Uncertain
from chappe.core.model import TEST_CARRIER
from gateway.middle import YES, Middle, play

ONE = """
[[carrier]]
name = "first"
kind = "simulated"
window = 2

[[route]]
prefix = ""
carriers = ["first"]
price = "0.0100"

[[account]]
name = "alice"
password = "p"
balance = "100.00"
"""
TWO = ONE.replace("[[route]]", '[[carrier]]\nname = "second"\nkind = "simulated"\n\n[[route]]')
WIDER = ONE.replace("window = 2", "window = 5")
NUMBERS = [str(447_700_900_000 + index) for index in range(10)]
SCRIPTS = ["first", "second"]
PRICE = 10_000


async def follow(middle: Middle, world: str) -> None:
    middle.configure(world)
    await middle.open()


def test_a_new_carrier_works_at_once(tmp_path: Path) -> None:
    """A carrier and a route that are added take the next message; the others go on undisturbed."""

    async def script(middle: Middle) -> None:
        first = middle.dispatcher("first")
        await follow(middle, TWO.replace('["first"]', '["second"]'))
        assert middle.dispatcher("first") is first
        middle.scripts["second"].always = YES
        await middle.submit(*NUMBERS)
        assert middle.states() == ["sent"] * 10
        assert middle.scripts["first"].asked == []

    play(tmp_path, script, ONE, SCRIPTS)


def test_a_changed_carrier_is_replaced_without_a_double(tmp_path: Path) -> None:
    """With two under way the window grows: they are not sent again, the others leave, each exactly once."""

    async def script(middle: Middle) -> None:
        first = middle.scripts["first"]
        await middle.submit(*NUMBERS)
        assert len(first.waiting) == 2
        await follow(middle, WIDER)
        first.always = YES
        first.answer(count=len(first.waiting))
        await middle.pass_time(5)
        assert middle.states() == ["sent"] * 10
        assert sorted(submission.recipients[0] for submission in first.asked) == NUMBERS
        assert middle.money() == (10 * PRICE, 0)
        assert middle.dispatcher("first").carrier.window == 5

    play(tmp_path, script, ONE, SCRIPTS)


def test_an_unchanged_configuration_changes_nothing(tmp_path: Path) -> None:
    """An apply of the same file leaves every carrier's dispatcher as it is."""

    async def script(middle: Middle) -> None:
        first = middle.dispatcher("first")
        await follow(middle, ONE)
        await follow(middle, ONE.replace('balance = "100.00"', 'balance = "100.00"\nsenders = ["ACME"]'))
        assert middle.dispatcher("first") is first

    play(tmp_path, script, ONE, SCRIPTS)


def test_a_removed_carrier_finishes_and_takes_no_more(tmp_path: Path) -> None:
    """What is under way at a carrier that is removed gets its verdict; the rest waits, and goes on if it returns."""

    async def script(middle: Middle) -> None:
        first = middle.scripts["first"]
        await middle.submit(*NUMBERS[:4])
        await follow(middle, OTHER)
        first.answer(count=2)
        await middle.pass_time(5)
        assert sorted(middle.states()) == ["queued", "queued", "sent", "sent"]
        carriers = [one.carrier for one in middle.fleet.dispatchers if one.carrier is not TEST_CARRIER]
        assert [one.name for one in carriers if one.is_active] == ["second"]
        first.always = YES
        await follow(middle, ONE)
        await middle.pass_time(60)
        assert middle.states() == ["sent"] * 4
        assert len(first.asked) == 4

    play(tmp_path, script, ONE, SCRIPTS)


OTHER = """
[[carrier]]
name = "second"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["second"]
price = "0.0100"

[[account]]
name = "alice"
password = "p"
"""


def test_stopping_finishes_what_is_under_way(tmp_path: Path) -> None:
    """`stop` claims nothing more, waits for the verdicts that come in time and writes them."""

    async def script(middle: Middle) -> None:
        first = middle.scripts["first"]
        await middle.submit(*NUMBERS)
        stopped = asyncio.create_task(middle.fleet.stop(4.0))
        await middle.settle()
        first.answer(count=2)
        await middle.settle()
        assert stopped.done()
        assert sorted(middle.states()) == ["queued"] * 8 + ["sent"] * 2
        assert isinstance(await middle.submit(*NUMBERS), Accepted)
        assert len(first.asked) == 2

    play(tmp_path, script, ONE, SCRIPTS)


def test_stopping_has_an_end(tmp_path: Path) -> None:
    """A carrier that never answers does not hold up the end: what it was asked is doubtful afterwards."""

    async def script(middle: Middle) -> None:
        await middle.submit(*NUMBERS)
        stopped = asyncio.create_task(middle.fleet.stop(4.0))
        await middle.settle()
        assert not stopped.done()
        middle.time.now_s += 4
        await middle.settle()
        assert stopped.done()
        middle.store.leave(middle.time.now_ms())
        assert middle.store.ask(middle.store.figures.overview).doubtful == {1: 2}
        assert sorted(middle.states()) == ["queued"] * 8 + ["sending"] * 2

    play(tmp_path, script, ONE, SCRIPTS)


@pytest.mark.parametrize("is_answered_late", [False, True], ids=["held before", "held after"])
@pytest.mark.parametrize("policy, state, tries", [("resend", "sent", 2), ("fail", "undeliverable", 1)])
def test_what_is_held_follows_a_new_policy(
    tmp_path: Path, policy: str, state: str, tries: int, is_answered_late: bool
) -> None:
    """A carrier that no longer holds settles what it held, also what its old policy holds after the change."""

    async def script(middle: Middle) -> None:
        first = middle.scripts["first"]
        await middle.submit(NUMBERS[0])
        if not is_answered_late:
            first.answer(Uncertain())
            await middle.pass_time(60, step_s=5)
            assert middle.states() == ["sending"]
        await follow(middle, ONE.replace("window = 2", f'window = 2\nuncertain = "{policy}"'))
        await middle.pass_time(5)
        first.always = YES
        if is_answered_late:
            first.answer(Uncertain())
        await middle.pass_time(10)
        if first.waiting:
            first.answer()
            await middle.settle()
        assert middle.states() == [state]
        assert len(first.asked) == tries

    play(tmp_path, script, ONE, SCRIPTS)


def test_doubts_of_an_earlier_life_follow_the_policy(tmp_path: Path) -> None:
    """After a crash the messages that were being sent, and no others, are doubtful; here they are sent again."""
    world = ONE.replace("window = 2", 'window = 2\nuncertain = "resend"')

    async def first_life(middle: Middle) -> None:
        await middle.submit(*NUMBERS)

    async def second_life(middle: Middle) -> None:
        assert middle.doubtful_count == 2
        first = middle.scripts["first"]
        first.always = YES
        first.answer(count=len(first.waiting))
        await middle.pass_time(10)
        assert middle.states() == ["sent"] * 10
        assert sorted(submission.recipients[0] for submission in first.asked) == NUMBERS
        assert middle.money() == (10 * PRICE, 0)

    play(tmp_path, first_life, world, SCRIPTS)
    play(tmp_path, second_life, world, SCRIPTS)
