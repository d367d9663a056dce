"""How the ways to the carriers are, looked at live and written down now and then."""

from pathlib import Path

import pytest

from chappe.core.centre import Refusal, Refused, Uncertain
from chappe.core.model import State
from chappe.gateway.links import SAME_S, LinkDesk
from chappe.store import schema
from chappe.store.links import CarrierFigures
from gateway.middle import YES, BoundCarrier, Middle, play
from gateway.test_dispatch import LONG, bound, bound_of, world


def desk_of(middle: Middle) -> LinkDesk:
    return LinkDesk(
        store=middle.store,
        clock=middle.time,
        dispatchers=lambda: middle.fleet.dispatchers,
        lags=middle.receipts.lags.get,
    )


def first_figures(middle: Middle) -> CarrierFigures:
    return next(one.figures for one in desk_of(middle).look() if one.carrier.name == "first")


def test_binds_windows_and_rates_are_told(tmp_path: Path) -> None:
    """Binds and the window's use are those of the links, the rate is that of the last ten seconds."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        await middle.submit("447700900000", text=LONG)
        assert first_figures(middle) == CarrierFigures(
            state="up", binds=2, binds_wanted=2, window_used=4, window=20, last_words=""
        )
        first.answer()
        first.always = YES
        await middle.submit(*(str(447_700_900_000 + index) for index in range(19)))
        await middle.pass_time(1)
        figures = first_figures(middle)
        assert (figures.window_used, figures.sent_per_s) == (0, 2.0)
        await middle.pass_time(11)
        assert first_figures(middle).sent_per_s == 0

    play(tmp_path, script, world(), bound(window=10, binds=2))


def test_what_goes_wrong_is_counted_by_reason_without_numbers(tmp_path: Path) -> None:
    """Refusals and missing answers are counted; of a carrier's words long rows of digits are left out."""

    async def script(middle: Middle) -> None:
        first = bound_of(middle)
        first.verdicts = [Uncertain("lost"), Refused(Refusal.BAD_RECIPIENT, "447700900123 is no number (0x0b)")]
        first.always = YES
        for _ in range(3):
            await middle.submit("447700900123")
        figures = first_figures(middle)
        assert figures.troubles == {"no_answer": 1, "bad_recipient": 1}
        assert figures.last_words == "bad_recipient: … is no number (0x0b)"

    play(tmp_path, script, world(), bound())


STATES = [
    # what the carrier did, the word for it
    ([], "up"),
    ([Refused(Refusal.BAD_RECIPIENT)], "up"),
    ([Refused(Refusal.THROTTLED)], "throttled"),
    ([Refused(Refusal.UNREACHABLE)], "paused"),
    ([Refused(Refusal.UNREACHABLE)] * 5, "down"),
]


@pytest.mark.parametrize("heard, state", STATES)
def test_there_is_a_word_for_how_a_link_is(tmp_path: Path, heard: list[Refused], state: str) -> None:
    """A link is up, throttled by the other side, paused or down; without any bind it is down and says why."""

    async def script(middle: Middle) -> None:
        link = middle.dispatcher("second").link
        for verdict in heard:
            middle.time.now_s += link.wait_s(middle.time.now_s)
            link.hear(verdict, middle.time.now_s)
        by_name = {one.carrier.name: one.figures for one in desk_of(middle).look()}
        assert by_name["second"].state == state
        bound_of(middle).bind(0)
        assert first_figures(middle).state == "down"
        assert middle.dispatcher("first").is_down

    play(tmp_path, script, world(), bound())


def test_receipts_tell_how_long_they_took(tmp_path: Path) -> None:
    """The lag of a receipt is the time since its message was sent, also for a process that did not send it."""

    async def send(middle: Middle) -> None:
        bound_of(middle).always = YES
        await middle.pass_time(30)
        await middle.submit("447700900123")
        await middle.pass_time(7)

    async def hear(middle: Middle) -> None:
        middle.time.now_s += 40
        await middle.told("first", f"first-{middle.message()['id']}", State.DELIVERED)
        assert 9_000 <= (first_figures(middle).receipt_p50_ms or 0) <= 10_500
        middle.time.now_s += 1_000
        assert first_figures(middle).receipt_p95_ms is None

    play(tmp_path, send, world(), bound())
    play(tmp_path, hear, world(), bound())


def test_an_idle_gateway_hardly_writes(tmp_path: Path) -> None:
    """What changed is written down at once, what is the same only every ten seconds."""

    async def script(middle: Middle) -> None:
        desk = desk_of(middle)
        assert await middle.result(desk.tell_once()) == 2
        assert await middle.result(desk.tell_once()) == 0
        bound_of(middle).bind(0)
        middle.time.now_s += SAME_S / 2
        assert await middle.result(desk.tell_once()) == 1
        middle.time.now_s += SAME_S / 2
        assert await middle.result(desk.tell_once()) == 1
        assert [row["node_id"] for row in middle.rows(schema.carrier_links)] == [middle.store.node.id] * 2

    play(tmp_path, script, world(), (BoundCarrier("first"), "second"))
