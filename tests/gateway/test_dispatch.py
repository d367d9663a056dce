"""Due messages to their carriers: window, throughput and pauses; and what follows each verdict, or none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from chappe.core.centre import Accepted, Refusal, Refused, Uncertain
from chappe.core.model import Message, Priority, Report, State, Submission
from chappe.dialects.base import DETAIL_MAX
from chappe.dialects.proovl import PROOVL
from chappe.gateway.dispatch import AHEAD, LINKS_PATIENCE_S
from chappe.gateway.feed import Step
from chappe.store import schema
from chappe.store.database import StoreUnavailable
from chappe.store.messages import Acceptance
from chappe.store.sending import Claim
from gateway.middle import YES, BoundCarrier, Middle, ScriptedCarrier, play

PRICE = 10_000
NUMBER = "447700900123"
SLOW = Refused(Refusal.THROTTLED)
GONE = Refused(Refusal.UNREACHABLE)


def world(*, window: int = 32, throughput: float = 0, uncertain: str = "hold", carriers: str = '"first"') -> str:
    return f"""
[[carrier]]
name = "first"
kind = "simulated"
window = {window}
throughput = {throughput}
uncertain = "{uncertain}"

[[carrier]]
name = "second"
kind = "simulated"

[[route]]
prefix = ""
carriers = [{carriers}]
price = "0.0100"

[[account]]
name = "alice"
password = "p"
balance = "100.00"
"""


BOTH = '"first", "second"'
SCRIPTS = ("first", "second")


def first_of(middle: Middle) -> ScriptedCarrier:
    return middle.scripts["first"]


def references(carrier: ScriptedCarrier) -> list[str]:
    return [submission.reference for submission in carrier.asked]


# Pace


def test_the_window_is_never_exceeded(tmp_path: Path) -> None:
    """No more submissions are unanswered at once than the window says, and each answer makes room for one."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        await middle.submit(*(str(447_700_900_000 + index) for index in range(20)))
        assert len(first.waiting) == 3
        for answered in range(1, 18):
            first.answer()
            await middle.settle()
            assert len(first.asked) == 3 + answered
        first.answer(count=3)
        await middle.settle()
        assert first.waiting_max == 3
        assert middle.states() == ["sent"] * 20
        assert middle.money() == (20 * PRICE, 0)

    play(tmp_path, script, world(window=3), SCRIPTS)


def test_throughput_is_respected(tmp_path: Path) -> None:
    """Five a second are five a second, however many wait and however fast the carrier answers."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.always = YES
        await middle.submit(*(str(447_700_900_000 + index) for index in range(30)))
        assert len(first.asked) == 1
        for second in range(1, 6):
            await middle.pass_time(1, step_s=0.05)
            assert 4 * second <= len(first.asked) <= 5 * second + 1
        await middle.pass_time(4, step_s=0.1)
        assert middle.states() == ["sent"] * 30

    play(tmp_path, script, world(throughput=5), SCRIPTS)


def test_throttling_slows_the_whole_link(tmp_path: Path) -> None:
    """A carrier that says "too fast" hears nothing, of no message, until its pause is over; then all arrive."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.verdicts = [Refused(Refusal.THROTTLED, retry_after_s=7.0)]
        first.always = YES
        await middle.submit(NUMBER)
        await middle.submit(NUMBER)
        assert len(first.asked) == 1
        await middle.pass_time(6.5)
        assert len(first.asked) == 1
        await middle.pass_time(2)
        assert middle.states() == ["sent", "sent"]
        assert middle.money() == (2 * PRICE, 0)

    play(tmp_path, script, world(), SCRIPTS)


def test_a_carrier_that_throttles_a_part_gets_less(tmp_path: Path) -> None:
    """What it throttled goes out later, at about the pace at which it took the others and not a window at once."""

    async def script(middle: Middle) -> None:
        first, dispatcher = first_of(middle), middle.dispatcher("first")
        for number in range(30):
            await middle.submit(f"4477009001{number:02}")
        assert dispatcher.room() == 2
        first.answer(count=20)
        first.answer(SLOW, count=10)
        first.always = YES
        await middle.pass_time(1.5, step_s=0.1)
        assert dispatcher.room() <= 2
        await middle.pass_time(4, step_s=0.1)
        assert middle.states() == ["sent"] * 30
        assert len(first.asked) == 40
        first.always = SLOW
        await middle.pass_time(2)
        await middle.submit(NUMBER)
        assert dispatcher.link.wait_s(middle.time.now_s) > 0  # nothing was taken lately: slower is no answer

    play(tmp_path, script, world(), SCRIPTS)


def test_an_hour_is_an_hour(tmp_path: Path) -> None:
    """A carrier that asks for an hour gets it: the message waits that long, and newer ones leave by the backup."""

    async def script(middle: Middle) -> None:
        first, second = first_of(middle), middle.scripts["second"]
        first.verdicts, first.always = [Refused(Refusal.THROTTLED, retry_after_s=3600.0)], YES
        await middle.submit(NUMBER)
        await middle.pass_time(1800, step_s=10)
        second.always = YES
        middle.configure(world(carriers=BOTH))
        await middle.open()
        await middle.submit("447700900124")
        assert [submission.recipients[0] for submission in second.asked] == ["447700900124"]
        await middle.pass_time(1790, step_s=10)
        assert (len(first.asked), middle.states()) == (1, ["queued", "sent"])
        await middle.pass_time(15)
        assert (len(first.asked), middle.states()) == (2, ["sent", "sent"])

    play(tmp_path, script, world(), SCRIPTS)


def test_urgent_ones_do_not_wait_behind_bulk(tmp_path: Path) -> None:
    """With the window full, the next to leave is the most urgent, then the oldest."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        await middle.submit("447700900000")
        for number, priority in (("1", Priority.BULK), ("2", Priority.NORMAL), ("3", Priority.URGENT)):
            await middle.submit(f"44770090000{number}", priority=priority)
        for _ in range(4):
            first.answer()
            await middle.settle()
        assert [submission.recipients[0][-1] for submission in first.asked] == ["0", "3", "2", "1"]

    play(tmp_path, script, world(window=1), SCRIPTS)


def test_a_scheduled_message_leaves_when_it_is_due(tmp_path: Path) -> None:
    """Not before its time, and within a second of it."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.always = YES
        await middle.submit(NUMBER, scheduled_ms=middle.time.now_ms() + 3600_000)
        await middle.pass_time(3599, step_s=600)
        assert (first.asked, middle.states()) == ([], ["scheduled"])
        await middle.pass_time(2)
        assert middle.states() == ["sent"]

    play(tmp_path, script, world(), SCRIPTS)


def test_sending_is_written_before_bytes_leave(tmp_path: Path) -> None:
    """When the carrier is asked, the row already says `sending`, attempt 1; it leaves with our id as reference."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        await middle.submit(NUMBER, text="Привет")
        row = middle.message()
        assert (row["state"], row["attempt"]) == ("sending", 1)
        [submission] = first.asked
        assert (submission.recipients, submission.text, submission.originator) == ((NUMBER,), "Привет", "ACME")
        assert submission.reference == str(row["id"])

    play(tmp_path, script, world(), SCRIPTS)


# Verdicts

FINAL_REFUSALS = [Refusal.BAD_RECIPIENT, Refusal.EMPTY_TEXT, Refusal.NOT_FOUND]
REROUTED = [Refusal.FORBIDDEN, Refusal.NO_ROUTE, Refusal.BAD_ORIGINATOR, Refusal.UNSUPPORTED, Refusal.BAD_REQUEST]
OUR_TROUBLE = [Refusal.UNAUTHORISED, Refusal.NO_FUNDS, Refusal.OVERLOADED, Refusal.UNREACHABLE, Refusal.INTERNAL]


@pytest.mark.parametrize("reason", FINAL_REFUSALS)
def test_a_final_refusal_gives_the_money_back(tmp_path: Path, reason: Refusal) -> None:
    """What no carrier could take is rejected at once, without asking another, and costs nothing."""

    async def script(middle: Middle) -> None:
        first_of(middle).always = Refused(reason, "their words")
        await middle.submit(NUMBER)
        assert middle.states() == ["rejected"]
        assert middle.message()["detail"] == f"{reason}: their words"
        assert middle.scripts["second"].asked == []
        assert middle.money() == (0, 0)

    play(tmp_path, script, world(carriers=BOTH), SCRIPTS)


@pytest.mark.parametrize("reason", [*REROUTED, *OUR_TROUBLE])
def test_what_another_carrier_may_take_goes_there_at_once(tmp_path: Path, reason: Refusal) -> None:
    """A refusal that is about this carrier moves the message to the backup without waiting; it is charged once."""

    async def script(middle: Middle) -> None:
        first_of(middle).always = Refused(reason)
        middle.scripts["second"].always = YES
        await middle.submit(NUMBER)
        assert middle.states() == ["sent"]
        assert (len(first_of(middle).asked), len(middle.scripts["second"].asked)) == (1, 1)
        assert middle.money() == (PRICE, 0)
        assert middle.feed.counts[Step.REROUTED, "first"] == 1
        told = await middle.told("second", f"second-{middle.message()['id']}", State.DELIVERED)
        assert told.state is State.DELIVERED

    play(tmp_path, script, world(carriers=BOTH), SCRIPTS)


@pytest.mark.parametrize("reason", REROUTED)
def test_refused_by_all_is_rejected(tmp_path: Path, reason: Refusal) -> None:
    """When the last carrier refuses a message it is rejected, and the money goes back."""

    async def script(middle: Middle) -> None:
        for carrier in middle.scripts.values():
            carrier.always = Refused(reason)
        await middle.submit(NUMBER)
        assert middle.states() == ["rejected"]
        assert middle.money() == (0, 0)

    play(tmp_path, script, world(carriers=BOTH), SCRIPTS)


def test_our_trouble_is_tried_again_until_the_validity_ends(tmp_path: Path) -> None:
    """A message waits longer and longer between tries, then expires with its money back; no storm of tries."""

    async def script(middle: Middle) -> None:
        first_of(middle).always = GONE
        await middle.submit(NUMBER, validity_s=3600)
        await middle.pass_time(3200, step_s=5)
        assert middle.states() == ["queued"]
        tries = len(first_of(middle).asked)
        assert 12 <= tries <= 25
        await middle.pass_time(400, step_s=5)
        assert middle.states() == ["expired"]
        assert middle.money() == (0, 0)
        await middle.pass_time(600, step_s=60)
        assert len(first_of(middle).asked) <= tries + 2

    play(tmp_path, script, world(), SCRIPTS)


def test_it_arrives_when_the_carrier_is_back(tmp_path: Path) -> None:
    """Twenty messages outlive ten minutes without a carrier and are all sent once."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.always = GONE
        await middle.submit(*(str(447_700_900_000 + index) for index in range(20)))
        await middle.pass_time(600, step_s=2)
        assert set(middle.states()) == {"queued"}
        first.always = YES
        await middle.pass_time(400, step_s=2)
        assert middle.states() == ["sent"] * 20
        assert middle.money() == (20 * PRICE, 0)

    play(tmp_path, script, world(), SCRIPTS)


def test_a_link_that_is_down_passes_its_messages_on(tmp_path: Path) -> None:
    """New messages for a carrier that is down leave through the backup without being offered to it."""

    async def script(middle: Middle) -> None:
        first, second = first_of(middle), middle.scripts["second"]
        first.always, second.always = GONE, YES
        for _ in range(12):
            await middle.submit(NUMBER)
            await middle.pass_time(4, step_s=1)
        assert middle.dispatcher("first").link.is_down
        asked = len(first.asked)
        await middle.submit(*(str(447_700_900_000 + index) for index in range(50)))
        assert set(middle.states()) == {"sent"}
        assert len(first.asked) - asked <= 1
        assert middle.money() == (62 * PRICE, 0)

    play(tmp_path, script, world(carriers=BOTH), SCRIPTS)


# Ways by binds

LONG = "x" * 160 * 3  # four segments


def bound(window: int = 100, binds: int = 1) -> tuple[BoundCarrier, str]:
    return BoundCarrier("first", window, binds), "second"


def bound_of(middle: Middle) -> BoundCarrier:
    first = first_of(middle)
    assert isinstance(first, BoundCarrier)
    return first


def test_nothing_leaves_while_no_bind_stands_and_all_at_once_when_one_does(tmp_path: Path) -> None:
    """Messages wait for a bind, which is not asked for before it stands; a bind wakes the dispatcher without a wait."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        first.always = YES
        first.bind(0)
        await middle.submit(*(str(447_700_900_000 + index) for index in range(30)))
        await middle.pass_time(100, step_s=0.5)
        assert (len(first.asked), set(middle.states())) == (0, {"queued"})
        first.bind(1)
        await middle.settle()
        assert set(middle.states()) == {"sent"}

    play(tmp_path, script, world(), bound())


def test_what_another_carrier_could_take_does_not_wait_for_binds(tmp_path: Path) -> None:
    """Once all binds are gone for a moment, messages with a backup take it; before that they wait, and so do others."""

    async def script(middle: Middle) -> None:
        first, second = bound_of(middle), middle.scripts["second"]
        second.always = YES
        first.bind(0)
        await middle.submit(NUMBER)
        middle.configure(world(carriers='"first"'))
        await middle.open()
        await middle.submit("447700900124")
        await middle.pass_time(LINKS_PATIENCE_S - 0.5)
        assert middle.states() == ["queued", "queued"]
        await middle.pass_time(2)
        assert middle.states() == ["sent", "queued"]
        assert references(first) == []

    play(tmp_path, script, world(carriers=BOTH), bound())


def test_while_binds_are_gone_nothing_is_looked_for_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A carrier without binds asks the store once a second, and mostly only for what came due lately."""

    async def script(middle: Middle) -> None:
        bound_of(middle).bind(0)
        await middle.pass_time(5)
        claims = counted_claims(middle, monkeypatch)
        await middle.pass_time(120, step_s=0.1)
        ours = [claim for claim in claims if claim.carrier_id == middle.carrier("first").id]
        assert 60 <= len(ours) <= 130
        assert all(claim.is_detour for claim in ours)
        assert len([claim for claim in ours if not claim.since_ms]) in (2, 3)

    play(tmp_path, script, world(throughput=500), bound())


def test_all_binds_windows_are_used_and_none_is_exceeded(tmp_path: Path) -> None:
    """The windows of all binds that stand count, in segments, and not the single window of the configuration."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        await middle.submit(*(str(447_700_900_000 + index) for index in range(40)))
        assert (len(first.waiting), first.window_used) == (20, 20)
        first.answer(count=4)
        await middle.settle()
        assert first.window_used == 20
        for _ in range(36):
            first.answer()
            await middle.settle()
        await middle.submit(*(str(447_700_900_000 + index) for index in range(20)), text=LONG)
        assert len(first.waiting) <= 20 <= first.window_used
        assert middle.dispatcher("first").room() == 0
        before = first.window_used
        first.answer()
        await middle.settle()
        assert first.window_used == before - 4  # what long messages took too much is made up for first

    play(tmp_path, script, world(window=10), bound(window=10, binds=2))


def test_throughput_counts_segments_and_starves_no_long_message(tmp_path: Path) -> None:
    """Ten a second are ten segments a second by binds; short messages that keep coming do not keep long ones back."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        first.always = YES
        await middle.submit(*(str(447_700_900_000 + index) for index in range(200)), priority=Priority.BULK)
        await middle.submit(*(str(447_700_910_000 + index) for index in range(10)), text=LONG)
        await middle.pass_time(10, step_s=0.01)
        segments = [4 if submission.text == LONG else 1 for submission in first.asked]
        assert segments.count(4) == 10
        assert 90 <= sum(segments) <= 105

    play(tmp_path, script, world(throughput=10), bound())


def test_a_lost_bind_that_is_back_costs_no_pause(tmp_path: Path) -> None:
    """However many messages come into doubt when a bind is lost, the next ones leave as soon as it stands again."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        await middle.submit(*(str(447_700_900_000 + index) for index in range(30)))
        assert len(first.waiting) == 30
        first.bind(0)
        await middle.settle()
        first.always = YES
        first.bind(1)
        await middle.submit(NUMBER)
        assert middle.states() == ["sending"] * 30 + ["sent"]

    play(tmp_path, script, world(), bound())


def test_binds_that_are_back_end_the_pause_but_not_what_the_carrier_asked_for(tmp_path: Path) -> None:
    """A bind that comes up ends the back-off of an unreachable carrier; a carrier that throttles keeps its pause."""

    async def script(middle: Middle) -> None:
        first, link = bound_of(middle), middle.dispatcher("first").link
        for refusal, is_paused in ((GONE, False), (SLOW, True)):
            for _ in range(8):
                link.hear(refusal, middle.time.now_s)
                middle.time.now_s += link.wait_s(middle.time.now_s) * 0.999 + 0.01
            link.hear(refusal, middle.time.now_s)
            assert link.wait_s(middle.time.now_s) > 1
            first.bind(1)
            assert bool(link.wait_s(middle.time.now_s)) == is_paused

    play(tmp_path, script, world(), bound())


# Doubt


def report(state: State) -> Report:
    return Report(
        id=0,
        submission_id=0,
        reference="their-1",
        originator="ACME",
        recipient=NUMBER,
        state=state,
        segments=1,
        price_micros=0,
    )


# The policy, what the carrier knows when asked, and after two minutes: the state, tries, spent, reserved.
DOUBTS: list[tuple[str, Any, str, int, int, int]] = [
    ("hold", None, "sending", 1, 0, PRICE),
    ("fail", None, "undeliverable", 1, 0, 0),
    ("resend", None, "sending", 4, 0, PRICE),
    ("query", report(State.SENT), "sent", 1, PRICE, 0),
    ("query", report(State.DELIVERED), "delivered", 1, PRICE, 0),
    ("query", report(State.QUEUED), "sent", 1, PRICE, 0),
    ("query", Uncertain("no answer"), "sending", 1, 0, PRICE),
    ("query", Refused(Refusal.UNREACHABLE), "sending", 1, 0, PRICE),
]


@pytest.mark.parametrize("is_broken", [False, True], ids=["uncertain", "broken"])
@pytest.mark.parametrize("policy, known, state, tries, spent, reserved", DOUBTS)
def test_a_doubtful_message_follows_its_carriers_policy(
    tmp_path: Path,
    policy: str,
    known: Any,
    state: str,
    tries: int,
    spent: int,
    reserved: int,
    is_broken: bool,
) -> None:
    """Hold, query, resend (three times at most) or fail, for an answer that never came and for a carrier that broke."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.verdicts = [RuntimeError("canary")] if is_broken else []
        first.always, first.known = Uncertain("time-out"), known
        await middle.submit(NUMBER)
        await middle.pass_time(120)
        assert middle.states() == [state]
        assert len(first.asked) == tries
        assert middle.money() == (spent, reserved)
        assert bool(first.queried) == (policy == "query")
        assert "canary" not in middle.message()["detail"]

    play(tmp_path, script, world(uncertain=policy), SCRIPTS)


def test_trouble_is_logged_once(tmp_path: Path) -> None:
    """The log tells when a carrier goes down and is back, how many messages are in doubt, and where a carrier broke."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.verdicts, first.always = [RuntimeError("canary"), Uncertain(), *[GONE] * 6], YES
        await middle.submit(NUMBER, "447700900124")
        await middle.submit("447700900125")
        await middle.pass_time(300, step_s=1)
        assert sorted(middle.states()) == ["sending", "sending", "sent"]

    with capture_logs() as lines:
        play(tmp_path, script, world(), SCRIPTS)
    assert [line["event"] for line in lines] == ["carrier_broke", "messages_in_doubt", "carrier_down", "carrier_back"]
    assert (lines[0]["log_level"], type(lines[0]["exc_info"]), lines[1]["count"]) == ("error", RuntimeError, 2)
    assert {line["carrier"] for line in lines} == {"first"}
    assert NUMBER not in str(lines)


def test_what_the_carrier_does_not_know_is_sent_again(tmp_path: Path) -> None:
    """Under `query` a message the carrier never saw is submitted once more, under the same reference."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.verdicts, first.always = [Uncertain()], YES
        await middle.submit(NUMBER)
        await middle.pass_time(35)
        assert middle.states() == ["sent"]
        assert references(first) == [str(middle.message()["id"])] * 2
        assert middle.money() == (PRICE, 0)

    play(tmp_path, script, world(uncertain="query"), SCRIPTS)


def test_a_doubtful_message_is_not_offered_to_another(tmp_path: Path) -> None:
    """Uncertain never means reroute: the backup might send it a second time."""

    async def script(middle: Middle) -> None:
        first_of(middle).always = Uncertain()
        await middle.submit(NUMBER)
        await middle.pass_time(300, step_s=5)
        assert middle.scripts["second"].asked == []

    play(tmp_path, script, world(carriers=BOTH), SCRIPTS)


def test_a_verdict_is_kept_while_the_database_is_away(tmp_path: Path) -> None:
    """A verdict that cannot be written is written when the database is back; the carrier is not asked again."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        await middle.submit(NUMBER)

        def lose() -> None:
            raise StoreUnavailable("away")

        middle.store._commits.before_commit = lose
        first.answer()
        for _ in range(20):
            middle.time.now_s += 1
            await middle.settle()
        assert middle.states() == ["sending"]
        middle.store._commits.before_commit = None
        await middle.pass_time(3)
        assert middle.states() == ["sent"]
        assert len(first.asked) == 1
        assert middle.money() == (PRICE, 0)

    play(tmp_path, script, world(), SCRIPTS)


def test_verdicts_that_cannot_be_written_stop_new_work(tmp_path: Path) -> None:
    """With four windows of verdicts unwritten nothing more is claimed, so that memory has a limit."""

    async def script(middle: Middle) -> None:
        dispatcher = middle.dispatcher("first")
        dispatcher._unrecorded.update(range(4 * 3))
        assert dispatcher.room() == 3
        dispatcher._unrecorded.add(99)
        assert dispatcher.room() == 0

    play(tmp_path, script, world(window=3), SCRIPTS)


def test_a_long_winded_carrier_is_cut(tmp_path: Path) -> None:
    """Of a carrier's own words no more than 200 characters are kept."""

    async def script(middle: Middle) -> None:
        first_of(middle).always = Refused(Refusal.BAD_RECIPIENT, "x" * 10_000)
        await middle.submit(NUMBER)
        assert len(middle.message()["detail"]) == DETAIL_MAX

    play(tmp_path, script, world(), SCRIPTS)


def test_a_stopped_dispatcher_finishes_and_claims_nothing(tmp_path: Path) -> None:
    """After `stop` what is under way gets its verdict, and nothing else leaves."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        await middle.submit("447700900001", "447700900002")
        dispatcher = middle.dispatcher("first")
        dispatcher.stop()
        first.answer()
        await middle.settle()
        assert sorted(middle.states()) == ["queued", "sent"]
        assert len(first.asked) == 1
        assert isinstance(await middle.submit(NUMBER), Accepted)
        assert len(first.asked) == 1

    play(tmp_path, script, world(window=1), SCRIPTS)


# Without queueing


def counted_claims(middle: Middle, monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    claims: list[Claim] = []
    claim = middle.store.claim

    def count(item: Claim) -> "asyncio.Future[list[Message]]":
        claims.append(item)
        return claim(item)

    monkeypatch.setattr(middle.store, "claim", count)
    return claims


def test_what_finds_room_is_accepted_in_sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing waits, a message leaves without a claim: its intent to send is in the commit that accepts it."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        claims = counted_claims(middle, monkeypatch)
        for index in range(5):
            await middle.submit(str(447_700_900_000 + index))
            row = middle.rows(schema.message)[index]
            assert (row["state"], row["attempt"], row["node_id"]) == ("sending", 1, middle.store.node.id)
        assert (len(claims), len(first.waiting)) == (0, 5)
        first.answer(count=5)
        await middle.settle()
        assert middle.states() == ["sent"] * 5
        assert middle.money() == (5 * PRICE, 0)

    play(tmp_path, script, world(), SCRIPTS)


def test_nobody_who_waits_is_overtaken(tmp_path: Path) -> None:
    """A message that comes while others wait for room queues behind them, and leaves at once when none does."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        numbers = [str(447_700_900_000 + index) for index in range(6)]
        for number in numbers[:5]:
            await middle.submit(number)
        assert middle.states() == ["sending"] * 2 + ["queued"] * 3
        for answered in range(5):
            first.answer()
            await middle.settle()
            assert middle.states().count("sent") == answered + 1
        assert middle.states() == ["sent"] * 5
        await middle.submit(numbers[5])
        assert [asked.recipients[0] for asked in first.asked] == numbers

    play(tmp_path, script, world(window=2), SCRIPTS)


def test_room_that_is_not_used_is_given_back(tmp_path: Path) -> None:
    """A submission that is refused for want of money after it took room leaves the whole window to others."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        many = [str(447_700_900_000 + index) for index in range(20)]
        for _ in range(3):
            assert await middle.submit(*many, text="x" * 161) == Refused(Refusal.NO_FUNDS)
        await middle.submit(*many)
        assert len(first.waiting) == 20
        assert middle.dispatcher("first").in_flight_count == 20

    play(tmp_path, script, world(window=20).replace("100.00", "0.20"), SCRIPTS)


def test_what_is_urgent_leaves_without_queueing_before_bulk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While bulk waits, a few urgent messages leave with the commit that accepts them, and those behind them queue."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.always = YES
        for start in range(0, 300, 100):
            await middle.submit(*(str(447_700_900_000 + start + at) for at in range(100)))
        await middle.pass_time(2, step_s=0.01)
        before, claims = len(first.asked), counted_claims(middle, monkeypatch)
        for number in range(AHEAD):
            await middle.submit(f"44770091000{number}", priority=Priority.URGENT)
        assert [one.recipients[0] for one in first.asked[before:]] == ["447700910000", "447700910001"]
        for number in range(2, 6):
            await middle.submit(f"44770091000{number}", priority=Priority.URGENT)
        assert len(first.asked) == before + AHEAD
        assert not [claim for claim in claims if claim.carrier_id == first_id(middle)]
        await middle.pass_time(1, step_s=0.01)
        assert [one.recipients[0] for one in first.asked[before + AHEAD :]][:4] == [
            f"44770091000{number}" for number in range(2, 6)
        ]
        assert len(first.asked) - before <= 20 + AHEAD

    play(tmp_path, script, world(throughput=20), SCRIPTS)


def first_id(middle: Middle) -> int:
    return middle.carrier("first").id


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_was_kept_without_an_answer_is_sent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """Where the answer of the accepting commit is lost, the next claim finds what it kept, and only that."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.always = YES
        accept = middle.store.accept

        def lose(item: Acceptance) -> "asyncio.Future[bool]":
            lost: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            if is_kept:
                accept(item)
            lost.set_exception(StoreUnavailable("the answer was lost"))
            return lost

        monkeypatch.setattr(middle.store, "accept", lose)
        assert await middle.submit(NUMBER) == Refused(Refusal.OVERLOADED)
        monkeypatch.setattr(middle.store, "accept", accept)
        await middle.submit("447700900124")
        await middle.pass_time(3)
        recipients = [asked.recipients[0] for asked in first.asked]
        assert sorted(recipients) == [NUMBER, "447700900124"][not is_kept :]
        assert set(middle.states()) == {"sent"}

    play(tmp_path, script, world(), SCRIPTS)


def test_a_claim_leaves_alone_what_was_accepted_meanwhile(tmp_path: Path) -> None:
    """A claim that looks for what an earlier one took does not take what was accepted straight into sending since."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        dispatcher = middle.dispatcher("first")
        dispatcher.release((), is_lost=True)  # a loss, so that the claim of this wake-up is a repeated one
        submitting = asyncio.create_task(
            middle.intake.submit(middle.alice, Submission(recipients=(NUMBER,), text="Hello"), PROOVL)
        )
        await middle.settle()
        dispatcher.release((), is_lost=True)
        await middle.settle()
        assert isinstance(submitting.result(), Accepted)
        assert len(first.asked) == 1

    play(tmp_path, script, world(), SCRIPTS)


def test_a_carrier_is_told_how_long_a_message_is_worth_sending(tmp_path: Path) -> None:
    """What is left of a validity that was asked for goes along with each attempt; the default stays our own affair."""

    async def script(middle: Middle) -> None:
        first = first_of(middle)
        first.verdicts, first.always = [SLOW], YES
        await middle.submit(NUMBER, validity_s=600)
        await middle.pass_time(100)
        await middle.submit("447700900124")
        asked = [submission.validity_s for submission in first.asked]
        assert (asked[0], len(asked)) == (600, 3)
        assert 0 < (asked[1] or 0) < 600
        assert asked[2] is None

    play(tmp_path, script, world(), SCRIPTS)
