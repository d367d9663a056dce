"""The story of a message tells what happened to it, in order, whatever that was; and nothing to strangers."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from chappe.core.centre import Accepted, Refusal, Refused, Replace, Ticket, Uncertain
from chappe.core.model import Report, State
from chappe.core.people import EVERYTHING, Sight
from chappe.core.story import Chapter, Kind, Story
from chappe.dialects.base import HttpResponse
from chappe.dialects.smpp import SMPP
from chappe.gateway.replacing import ReplaceDesk
from chappe.gateway.story import Fact, StoryDesk, Title
from chappe.store import schema
from chappe.store.messages import Cancellation
from gateway.middle import PROOVL, START_MS, WORLD, Middle, ScriptedCarrier, play

BACKUP = WORLD.replace(
    "[[route]]",
    """[[carrier]]
name = "second"
kind = "simulated"

[[route]]""",
).replace('carriers = ["sim"]', 'carriers = ["sim", "second"]')
ASKED = WORLD.replace('kind = "simulated"', 'kind = "simulated"\nuncertain = "query"')
SILENT = WORLD.replace('receipt_url = "http://alice.example/receipt"', "")
NUMBER = "447700900123"

Script = Callable[[Middle], Coroutine[Any, Any, None]]


async def story(middle: Middle, sight: Sight = EVERYTHING, place: int = 0) -> Story:
    found = await tell(middle, middle.rows(schema.message)[place]["id"], sight)
    assert found is not None
    assert [one.at_ms for one in found.chapters] == sorted(one.at_ms for one in found.chapters)
    assert all(len(dict(one.facts)) == len(one.facts) for one in found.chapters)
    return found


async def tell(middle: Middle, message_id: int, sight: Sight) -> Story | None:
    desk = StoryDesk(middle.store, lambda: middle.directory.current)
    return await middle.result(desk.tell(sight, message_id))


def titles(told: Story, *kinds: Kind) -> list[str]:
    return [one.title for one in told.chapters if not kinds or one.kind in kinds]


def chapter(told: Story, title: Title) -> Chapter:
    [found] = [one for one in told.chapters if one.title == title]
    return found


def fact(told: Story, title: Title, name: Fact) -> str:
    return dict(chapter(told, title).facts)[name]


def carriers(*names: str) -> list[ScriptedCarrier]:
    return [ScriptedCarrier(name) for name in names]


def test_an_ordinary_message_is_told_from_its_request_to_its_callback(tmp_path: Path) -> None:
    """A delivered message has one chapter for each step, in order, and not one row was written for its story."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, text="Costs 5 €")
        await middle.pass_time(2)
        assert middle.rows(schema.happening) == []
        told = await story(middle)
        assert titles(told) == [
            Title.NOT_KEPT,
            Title.ENCODED,
            Title.ROUTED,
            Title.PRICED,
            Title.ACCEPTED,
            Title.RESERVED,
            Title.SENT,
            Title.POSTED,
            Title.DELIVERED,
            Title.CALLED_BACK,
            Title.CALLED_BACK,
        ]
        assert fact(told, Title.ENCODED, Fact.ALPHABET) == "GSM 7-bit with extension"
        assert fact(told, Title.ENCODED, Fact.SEPTETS) == "10"
        assert fact(told, Title.PRICED, Fact.PRICE) == "0.01 EUR"
        assert fact(told, Title.POSTED, Fact.AMOUNT) == "0.01 EUR"
        assert fact(told, Title.SENT, Fact.CARRIER) == "sim"
        assert dict(chapter(told, Title.ROUTED).facts)["Route everywhere"] == "taken: sim, 0.01 EUR"
        called = [dict(one.facts) for one in told.chapters if one.title == Title.CALLED_BACK]
        assert [one["Tells"] for one in called] == ["sent", "delivered"]
        assert all((one["To"], one["Status"], one["Attempt"]) == ("alice.example", "200", "1") for one in called)

    play(tmp_path, script)


def test_a_failover_names_both_carriers_and_the_reason(tmp_path: Path) -> None:
    """A refusal that another carrier may overcome is a chapter with the words of the first; then the second took it."""
    first, second = carriers("sim", "second")
    first.always = Refused(Refusal.FORBIDDEN, "sender not registered")
    second.always = Accepted(())

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.pass_time(1)
        told = await story(middle)
        assert titles(told, Kind.REROUTED, Kind.SENT) == [Title.REROUTED, Title.SENT]
        facts = dict(chapter(told, Title.REROUTED).facts)
        assert facts == {"Carrier": "sim", "Attempt": "1", "Said": "forbidden: sender not registered"}
        assert fact(told, Title.SENT, Fact.CARRIER) == "second"
        assert fact(told, Title.SENT, Fact.ATTEMPT) == "2"
        assert fact(told, Title.SENT, Fact.GIVEN).startswith("second-")

    play(tmp_path, script, BACKUP, [first, second])


def test_a_message_that_was_throttled_twice_tells_both_times(tmp_path: Path) -> None:
    """Each time that the carrier asked to come back later is a chapter of its own before the one that says sent."""

    async def script(middle: Middle) -> None:
        await middle.submit("447700909005")
        await middle.pass_time(30)
        told = await story(middle)
        assert titles(told, Kind.PUT_OFF, Kind.SENT, Kind.RECEIPT) == [
            Title.PUT_OFF,
            Title.PUT_OFF,
            Title.SENT,
            Title.DELIVERED,
        ]
        assert fact(told, Title.SENT, Fact.ATTEMPT) == "3"

    play(tmp_path, script)


def test_a_doubt_is_told_and_how_it_was_settled(tmp_path: Path) -> None:
    """No answer is a doubt; that the carrier, asked later, says it was delivered settles it, with the money."""
    [carrier] = carriers("sim")
    carrier.always = carrier.known = Uncertain("timed out")

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.pass_time(1)
        assert titles(await story(middle), Kind.DOUBTFUL, Kind.SENT) == [Title.DOUBTFUL]
        carrier.known = report(State.DELIVERED)
        await middle.pass_time(60)
        told = await story(middle)
        assert titles(told, Kind.DOUBTFUL, Kind.SETTLED) == [Title.DOUBTFUL, Title.SETTLED]
        assert fact(told, Title.DOUBTFUL, Fact.WORDS) == "timed out"
        assert fact(told, Title.SETTLED, Fact.WORDS) == "the carrier has it: delivered"
        assert Title.POSTED in titles(told)
        assert fact(told, Title.SENT, Fact.GIVEN) == "theirs"

    play(tmp_path, script, ASKED, [carrier])


def report(state: State) -> Report:
    return Report(
        id=0,
        submission_id=0,
        reference="theirs",
        originator="",
        recipient="",
        state=state,
        segments=1,
        price_micros=0,
    )


def test_a_doubt_that_is_held_ends_in_the_customers_favour(tmp_path: Path) -> None:
    """What is held until its time runs out tells the doubt, the end, and that the money went back."""
    [carrier] = carriers("sim")
    carrier.always = Uncertain("timed out")

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, validity_s=120)
        await middle.pass_time(125, 10)
        told = await story(middle)
        assert middle.states() == ["unknown"]
        assert titles(told, Kind.DOUBTFUL, Kind.SETTLED, Kind.SENT) == [Title.DOUBTFUL, Title.SETTLED]
        assert fact(told, Title.SETTLED, Fact.WORDS) == "given up: its time ran out"
        assert Title.VOIDED in titles(told)

    play(tmp_path, script, scripts=[carrier])


def test_a_receipt_that_overtakes_the_answer_is_told_as_such(tmp_path: Path) -> None:
    """The receipt came first, and both the receipt and the carrier's answer are in the story."""

    [carrier] = carriers("sim")

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.told("sim", f"sim-{middle.message()['id']}", State.DELIVERED)
        middle.time.now_s += 1
        carrier.answer()
        await middle.settle()
        told = await story(middle)
        assert titles(told, Kind.RECEIPT, Kind.SENT) == [Title.EARLY, Title.SENT, Title.DELIVERED]
        assert fact(told, Title.EARLY, Fact.STATE) == "delivered"
        assert chapter(told, Title.EARLY).at_ms == chapter(told, Title.SENT).at_ms - 1000

    play(tmp_path, script, scripts=[carrier])


def test_receipts_that_come_again_are_told_once_an_hour(tmp_path: Path) -> None:
    """A carrier that repeats a receipt a hundred times fills no table, and another end than the first is told."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.pass_time(2)
        given = middle.message()["given"]
        for _ in range(100):
            await middle.told("sim", given, State.DELIVERED)
        await middle.told("sim", given, State.UNDELIVERABLE)
        await middle.told("sim", given, State.SENT)
        assert middle.states() == ["delivered"]
        assert len(middle.rows(schema.happening)) == 3
        told = await story(middle)
        assert sorted(titles(told, Kind.RECEIPT)) == sorted(
            [Title.DELIVERED, Title.AGAIN, Title.AGAINST, Title.MEANWHILE]
        )

    play(tmp_path, script)


def test_the_simulated_receipt_that_comes_twice_is_told_twice(tmp_path: Path) -> None:
    """Once as the end, once as what came again."""

    async def script(middle: Middle) -> None:
        await middle.submit("447700909007")
        await middle.pass_time(5)
        told = await story(middle)
        assert sorted(titles(told, Kind.RECEIPT)) == sorted([Title.DELIVERED, Title.AGAIN])

    play(tmp_path, script)


def test_a_receipt_after_the_patience_is_told_as_late(tmp_path: Path) -> None:
    """A message that was given up as unknown tells the receipt that came after all."""
    [carrier] = carriers("sim")
    carrier.always = Accepted(())

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, validity_s=60)
        await middle.pass_time(25 * 3600, 3600)
        assert middle.states() == ["unknown"]
        assert titles(await story(middle), Kind.RECEIPT) == [Title.SILENT]
        await middle.told("sim", middle.message()["given"], State.DELIVERED)
        assert sorted(titles(await story(middle), Kind.RECEIPT)) == sorted([Title.LATE, Title.DELIVERED])

    play(tmp_path, script, SILENT, [carrier])


def test_a_schedule_that_changes_and_is_cancelled_is_told(tmp_path: Path) -> None:
    """When it was to leave, the other text and time that it was given, its end, and the money back."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, scheduled_ms=START_MS + 600_000)
        one = middle.message()
        replace = ReplaceDesk(middle.store, middle.time, middle.fleet.wake)
        call = Replace(account=middle.alice, reference=str(one["id"]), text="Later", scheduled_ms=START_MS + 900_000)
        await middle.pass_time(1)
        await middle.result(replace.replace(call, PROOVL))
        await middle.pass_time(1)
        await middle.result(wait(middle.store.cancel(Cancellation(one["account_id"], one["id"], middle.time.now_ms()))))
        told = await story(middle)
        assert titles(told, Kind.SCHEDULED, Kind.REPLACED, Kind.RESCHEDULED, Kind.CANCELLED) == [
            Title.SCHEDULED,
            Title.REPLACED,
            Title.RESCHEDULED,
            Title.CANCELLED,
        ]
        assert fact(told, Title.REPLACED, Fact.BEFORE) == "Hello"
        assert fact(told, Title.SCHEDULED, Fact.DUE) == "2027-01-15 08:10:00.000 UTC"
        assert fact(told, Title.ENCODED, Fact.CHARACTERS) == "5"
        assert titles(told, Kind.MONEY) == [Title.RESERVED, Title.VOIDED]
        assert titles(told, Kind.SENT) == []

    play(tmp_path, script)


async def wait(future: Any) -> Any:
    return await future


def test_a_callback_that_fails_first_tells_each_attempt(tmp_path: Path) -> None:
    """The attempt in vain and the one that succeeded both tell their status and how long they took."""

    async def script(middle: Middle) -> None:
        middle.customers.replies["http://alice.example"] = [HttpResponse(status=503)]
        await middle.submit(NUMBER)
        await middle.pass_time(20)
        told = await story(middle)
        assert titles(told, Kind.CALLBACK) == [Title.CALLED_IN_VAIN, Title.CALLED_BACK, Title.CALLED_BACK]
        assert fact(told, Title.CALLED_IN_VAIN, Fact.STATUS) == "503"
        called = [dict(one.facts) for one in told.chapters if one.title == Title.CALLED_BACK]
        assert sorted((one["Attempt"], one["Took"]) for one in called) == [("1", "0.000 s"), ("2", "0.000 s")]

    play(tmp_path, script)


def test_a_stop_while_a_message_waits_is_told_as_ours(tmp_path: Path) -> None:
    """A message to somebody who was blocked before it left was refused here, and its story says so."""
    [carrier] = carriers("sim")

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, scheduled_ms=START_MS + 10_000)
        for dispatcher in middle.fleet.dispatchers:
            dispatcher._is_blocked = lambda _account, _recipient, _originator: True
        await middle.pass_time(15)
        told = await story(middle)
        assert fact(told, Title.REJECTED, Fact.WORDS).startswith("blocked: the recipient asked for no more")
        assert titles(told, Kind.SENT) == []
        assert not carrier.asked

    play(tmp_path, script, scripts=[carrier])


def test_a_long_message_tells_each_segment(tmp_path: Path) -> None:
    """A message whose segments the carrier names one by one tells the state of each."""
    [carrier] = carriers("sim")
    carrier.verdicts = [Accepted(tuple(Ticket(recipient=NUMBER, reference=f"part-{place}") for place in (1, 2)))]

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER, text="Добрый день! " * 8, dialect=SMPP)
        await middle.told("sim", "part-1", State.DELIVERED)
        await middle.told("sim", "part-2", State.UNDELIVERABLE)
        told = await story(middle)
        assert middle.rows(schema.happening) == []
        assert fact(told, Title.SENT, Fact.GIVEN) == "part-1 part-2"
        assert fact(told, Title.ENCODED, Fact.ON_AIR) == "2"
        assert fact(told, Title.ENCODED, Fact.OFFENDER) == "Д"
        facts = dict(chapter(told, Title.UNDELIVERABLE).facts)
        assert (facts["Segment 1"], facts["Segment 2"]) == ("delivered", "undeliverable")
        assert titles(told, Kind.REQUESTED) == [Title.BY_BIND]

    play(tmp_path, script, SILENT, [carrier])


def test_a_virtual_account_is_told_that_nothing_was_sent(tmp_path: Path) -> None:
    """What is delivered without being sent says so, and no money moved."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        told = await story(middle)
        assert titles(told, Kind.SENT, Kind.MONEY) == [Title.VIRTUAL]

    play(tmp_path, script, WORLD.replace('name = "alice"', 'name = "alice"\nvirtual = true'))


def test_an_account_sees_its_own_story_without_carriers(tmp_path: Path) -> None:
    """Its owner reads everything but through whom it went; a stranger, and whoever asks for nothing, gets nothing."""

    async def script(middle: Middle) -> None:
        await middle.submit(NUMBER)
        await middle.pass_time(2)
        own = await story(middle, Sight(frozenset({middle.alice.id})))
        assert titles(own) == titles(await story(middle))
        assert not any(name in ("Carrier", "Its name there") for one in own.chapters for name, _ in one.facts)
        assert "sim" not in [value for one in own.chapters for _, value in one.facts]
        assert not any(name.startswith("Route") for one in own.chapters for name, _ in one.facts)
        message_id = middle.message()["id"]
        assert await tell(middle, message_id, Sight(frozenset({middle.alice.id + 1}))) is None
        assert await tell(middle, message_id, Sight(frozenset())) is None
        for wrong in (0, -1, message_id + 1, 1 << 63, 1 << 100):
            assert await tell(middle, wrong, EVERYTHING) is None

    play(tmp_path, script)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_both_databases_tell_the_same(tmp_path: Path, database: str, request: pytest.FixtureRequest) -> None:
    """A story with happenings, segments, money and callbacks is read alike from either database."""
    url = str(request.getfixturevalue("postgres_url")) if database == "postgresql" else ""

    async def script(middle: Middle) -> None:
        await middle.submit("447700909005")
        await middle.pass_time(30)
        told = await story(middle)
        assert len(titles(told)) == 13
        assert titles(told, Kind.MONEY, Kind.PUT_OFF) == [Title.RESERVED, *[Title.PUT_OFF] * 2, Title.POSTED]

    play(tmp_path, script, database_url=url)
