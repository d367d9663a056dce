"""How fast a link may go, told the time: the throughput bucket, and the link that backs off and comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.centre import RETRY_AFTER_MAX_S, Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.gateway.pace import (
    BURST_S,
    FAILURES_MAX,
    LAG_EVERY_S,
    LAGS_S,
    PAUSE_MAX_S,
    Change,
    Lags,
    Link,
    Rate,
    Throughput,
)

WINDOW = 10
YES = Accepted(())
NO = Refused(Refusal.BAD_RECIPIENT)
SLOW = Refused(Refusal.THROTTLED)
LATER = Refused(Refusal.THROTTLED, retry_after_s=3600)
GONE = Refused(Refusal.UNREACHABLE)
SILENCE = Uncertain()


def test_without_a_cap_everything_may_go() -> None:
    """A throughput of 0 limits nothing."""
    free = Throughput(0, 0.0)
    free.spend(1_000_000)
    assert free.allowance(0.0) is None
    assert free.wait_s() == 0.0


def test_a_slow_link_sends_one_at_a_time() -> None:
    """Two a second means one now, the next half a second later, also after a long rest."""
    slow = Throughput(2, 100.0)
    assert slow.allowance(100.0) == 1
    slow.spend(1)
    assert slow.allowance(100.4) == 0
    assert slow.wait_s() == pytest.approx(0.1)
    assert slow.allowance(100.5) == 1
    assert slow.allowance(999.0) == 1


@given(
    per_s=st.floats(0.1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 500)), max_size=60),
)
def test_no_more_leaves_than_the_cap_allows(per_s: float, steps: list[tuple[float, int]]) -> None:
    """Whatever is asked for and when, over any time no more goes than its share and one burst."""
    cap, now_s, sent_count = Throughput(per_s, 0.0), 0.0, 0
    for passed_s, wanted in steps:
        now_s += passed_s
        allowed = cap.allowance(now_s)
        assert allowed is not None
        taken = min(wanted, max(0, allowed))
        cap.spend(taken)
        sent_count += taken
        assert sent_count <= now_s * per_s + max(1.0, per_s * BURST_S) + 1e-6


def per_s_of(cap: Throughput, now_s: float) -> float:
    """What a cap lets go within the next second, at short intervals, besides what it has ready."""
    cap.spend(cap.allowance(now_s) or 0)
    gone = 0
    for place in range(1, 41):
        allowed = cap.allowance(now_s + place / 40)
        assert allowed is not None
        gone += allowed
        cap.spend(allowed)
    return gone


@pytest.mark.parametrize(
    "cap_per_s, taken, throttled, left_per_s",
    [
        (0, 100, 50, 90),
        (200, 100, 50, 90),
        (50, 100, 50, 50),
        (200, 95, 5, 200),
        (200, 0, 50, 200),
    ],
)
def test_a_carrier_that_throttles_gets_less(
    cap_per_s: float, taken: float, throttled: float, left_per_s: float
) -> None:
    """A little less than it took where it throttles a good part; as before where it throttles all, or hardly any."""
    cap = Throughput(cap_per_s, 0.0)
    told = {cap.slow(taken, throttled, 0.0) for _ in range(40)}  # a volley counts once
    assert told == {left_per_s != 200}
    assert per_s_of(cap, 0.0) == pytest.approx(left_per_s, abs=2)


def test_what_is_taken_makes_it_faster_again() -> None:
    """Slowly while the carrier's own cap is near, then quickly, up to ours; or until there is none any more."""
    capped, free = Throughput(200, 0.0), Throughput(0, 0.0)
    for cap in (capped, free):
        cap.slow(100, 50, 0.0)
        for _ in range(90):
            cap.quicken(1, 1.0)
        assert per_s_of(cap, 10.0) == pytest.approx(94.5, abs=3)
        for _ in range(150):
            cap.quicken(1, 12.0)
        assert per_s_of(cap, 20.0) == pytest.approx(169.5, abs=3)
        for _ in range(4_000):
            if cap.is_slowed:
                cap.quicken(1, 30.0)
    assert per_s_of(capped, 40.0) == pytest.approx(200, abs=2)
    assert free.allowance(40.0) is None


@pytest.mark.parametrize("burst", [5, 10, 100])
def test_a_carrier_with_a_cap_of_its_own_is_used_well(burst: float) -> None:
    """A carrier that takes a hundred a second, however many at once, soon gets nearly that, and not much more."""
    cap, link = Throughput(0, 0.0), Link()
    taken_rate, throttled_rate = Rate(), Rate()
    tokens, taken, throttled = burst, 0, 0
    for hundredth in range(6_000):
        now_s = hundredth / 100
        tokens = min(burst, tokens + 1)
        allowance = cap.allowance(now_s)
        leaving = max(0, min(WINDOW, link.allowance(WINDOW, now_s), WINDOW if allowance is None else allowance))
        cap.spend(leaving)
        for _ in range(leaving):
            is_taken = tokens >= 1
            tokens -= is_taken
            (taken_rate if is_taken else throttled_rate).note(1, now_s)
            if is_taken and cap.is_slowed:
                cap.quicken(1, now_s)
            if is_taken or not cap.slow(taken_rate.lately(now_s), throttled_rate.lately(now_s), now_s):
                link.hear(YES if is_taken else SLOW, now_s)
            if hundredth >= 3_000:
                taken, throttled = taken + is_taken, throttled + (not is_taken)
    assert taken >= 30 * 75
    assert throttled <= taken / 10


# A link hears verdicts at certain seconds; then, at the last second, this many may be under way.
STORIES: list[tuple[str, list[tuple[float, Verdict]], float, int]] = [
    ("a fresh link has its window", [], 0, WINDOW),
    ("a refusal of one message says that the link works", [(0, NO)] * 20, 0, WINDOW),
    ("trouble pauses it", [(0, SLOW)], 0.9, 0),
    ("one second the first time", [(0, SLOW)], 1, WINDOW),
    ("two the second time", [(0, SLOW), (1, SLOW)], 2.9, 0),
    ("and no longer", [(0, SLOW), (1, SLOW)], 3, WINDOW),
    ("as long as the carrier asks", [(0, Refused(Refusal.THROTTLED, retry_after_s=30))], 29.9, 0),
    ("an hour too", [(0, LATER)], 3599, 0),
    ("and no longer than that", [(0, LATER)], 3600, WINDOW),
    ("but a day at most", [(0, Refused(Refusal.THROTTLED, retry_after_s=1e9))], RETRY_AFTER_MAX_S, WINDOW),
    ("what it asks counts during a pause too", [(0, SLOW), (0.5, LATER)], 3600, 0),
    ("and no success of what left before shortens it", [(0, LATER), (0.5, YES)], 3599, 0),
    ("what left before the pause does not lengthen it", [(0, SLOW)] * 30, 1, WINDOW),
    ("success forgets all trouble", [(0, SLOW), (1, SLOW), (3, YES), (3, SLOW)], 4, WINDOW),
    ("success ends the pause", [(0, SLOW), (0.5, YES)], 0.5, WINDOW),
    ("no answer to one may be bad luck", [(0, SILENCE)], 0, WINDOW),
    ("nor to four", [(0, SILENCE)] * 4, 0, WINDOW),
    ("five without an answer are trouble", [(0, SILENCE)] * 5, 0, 0),
    ("then one may try", [(0, SILENCE)] * 5, 16, 1),
    ("five times trouble: down", [(second, GONE) for second in (0, 1, 3, 7, 15)], 30.9, 0),
    ("down: one may try", [(second, GONE) for second in (0, 1, 3, 7, 15)], 31, 1),
    ("and brings it back", [*((second, GONE) for second in (0, 1, 3, 7, 15)), (31, YES)], 31, WINDOW),
]


@pytest.mark.parametrize("name, heard, now_s, allowed", STORIES, ids=[story[0] for story in STORIES])
def test_a_link_backs_off_and_comes_back(
    name: str, heard: list[tuple[float, Verdict]], now_s: float, allowed: int
) -> None:
    """Trouble pauses a link, longer each time; after five times it is down until one message gets through."""
    link = Link()
    for second, verdict in heard:
        link.hear(verdict, second)
    assert link.allowance(WINDOW, now_s) == allowed
    assert (link.wait_s(now_s) > 0) == (allowed == 0)


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from([YES, NO, SLOW, GONE, SILENCE])), max_size=80))
def test_a_pause_always_ends(heard: list[tuple[float, Verdict]]) -> None:
    """Whatever a link hears, a minute later at least one message may try."""
    link, now_s = Link(), 0.0
    for passed_s, verdict in heard:
        now_s += passed_s
        link.hear(verdict, now_s)
    assert link.wait_s(now_s) <= PAUSE_MAX_S
    assert link.allowance(WINDOW, now_s + PAUSE_MAX_S) == (1 if link.failures >= FAILURES_MAX else WINDOW)


def test_what_happens_to_a_link_is_told_once() -> None:
    """Down is told once however often it fails, and back once; an hour that was asked for is told like being down."""
    link = Link()
    heard: list[tuple[float, Verdict]] = [
        *((second, GONE) for second in (0, 1, 3, 7, 15, 31, 63)),
        (127, YES),
        (128, YES),
        (129, LATER),
        (3729, YES),
    ]
    told = []
    for second, verdict in heard:
        link.hear(verdict, second)
        told.append((second, link.change(second)))
    assert [one for one in told if one[1]] == [
        (15, Change.SHUT),
        (127, Change.BACK),
        (129, Change.SHUT),
        (3729, Change.BACK),
    ]


def test_a_rate_is_that_of_the_last_seconds() -> None:
    """What happened in the last ten whole seconds counts, what happened before no more."""
    rate = Rate()
    for tenth in range(300):
        rate.note(2, tenth / 10)
    assert rate.per_s(30.0) == 20.0
    assert rate.per_s(35.0) == 10.0
    assert rate.per_s(40.0) == 0.0


def test_lags_are_sampled_and_forgotten() -> None:
    """Of many lags a few are kept, half and 19 of 20 are told, and old ones do not count."""
    lags = Lags()
    assert lags.quantiles(0.0) == (None, None)
    for number in range(100_000):
        lags.note(number % 100, number / 1000)
    assert len(lags._heard) <= 100 / LAG_EVERY_S
    lags = Lags()
    for number in range(100):
        lags.note(number, number / 5)
    assert lags.quantiles(20.0) == (50, 95)
    assert lags.quantiles(20.0 + LAGS_S) == (None, None)


def test_a_link_that_is_restored_forgets_trouble_on_the_way_only() -> None:
    """A way that stands again ends the pause it caused, and none that the other side asked for."""
    for verdict, is_paused in ((GONE, False), (SLOW, True), (LATER, True)):
        link = Link()
        link.hear(verdict, 0.0)
        link.restore()
        assert bool(link.wait_s(0.0)) == is_paused
    link = Link()
    for _ in range(FAILURES_MAX):
        link.hear(SILENCE, 0.0)
    link.restore()
    assert link.allowance(WINDOW, 0.0) == WINDOW
