"""Ids grow with time, are made without asking anybody, and fit where 63 bits fit."""

from hypothesis import given
from hypothesis import strategies as st

from chappe.core.ids import EPOCH_MS, RANDOM_BITS, IdMaker

YEAR_2160_MS = EPOCH_MS + 136 * 365 * 24 * 3_600 * 1_000
INSTANTS = st.integers(EPOCH_MS + 1, YEAR_2160_MS)


@given(st.lists(st.tuples(INSTANTS, st.integers(1, 1_000)), max_size=50), st.randoms(use_true_random=False))
def test_ids_strictly_grow_and_runs_never_overlap(calls, random) -> None:  # type: ignore[no-untyped-def]
    """Whatever the clock does, every run of ids begins behind the end of the one before."""
    maker = IdMaker(random.getrandbits)
    end = 0
    for now_ms, count in calls:
        first = maker.make(now_ms, count)
        assert end < first
        end = first + count - 1
        assert end < 2**63


@given(INSTANTS, st.integers(0, 2**RANDOM_BITS - 1))
def test_an_id_tells_when_it_was_made(now_ms: int, bits: int) -> None:
    """The first id of a millisecond holds that millisecond and all of its random bits."""
    made = IdMaker(lambda _: bits).make(now_ms)
    assert (made >> RANDOM_BITS) + EPOCH_MS == now_ms
    assert made % 2**RANDOM_BITS == bits


@given(INSTANTS, INSTANTS, st.randoms(use_true_random=False))
def test_later_makers_make_greater_ids(earlier_ms: int, later_ms: int, random) -> None:  # type: ignore[no-untyped-def]
    """Ids of different makers sort by the time at which they were made."""
    if earlier_ms > later_ms:
        earlier_ms, later_ms = later_ms, earlier_ms
    first, second = (IdMaker(random.getrandbits).make(now_ms) for now_ms in (earlier_ms, later_ms))
    assert first < second or earlier_ms == later_ms


def test_a_clock_that_steps_back_is_ridden_out() -> None:
    """When the clock steps back the maker goes on from its last id by a stride that is never zero."""
    maker = IdMaker(lambda _: 0)
    first = maker.make(EPOCH_MS + 1_000, 5)
    assert maker.make(EPOCH_MS + 1, 2) == first + 5
    assert maker.make(EPOCH_MS - 1) == first + 7


def test_a_busy_millisecond_asks_for_fewer_random_bits() -> None:
    """Within a millisecond ids go on by up to 4,096, so that a busy maker hardly runs ahead of the clock."""
    asked: list[int] = []

    def bits(count: int) -> int:
        asked.append(count)
        return (1 << count) - 1

    maker = IdMaker(bits)
    first = maker.make(EPOCH_MS)
    assert maker.make(EPOCH_MS) == first + 4_096
    assert asked == [21, 21, 12]
