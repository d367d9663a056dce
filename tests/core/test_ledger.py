"""Money is moved, never made: what one purse gives another gets, in integers, and amounts are read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.ledger import (
    AMOUNT_MAX_MICROS,
    TRANSFERS,
    Kind,
    Move,
    Purse,
    entry,
    format_micros,
    grant,
    grant_moves,
    move_entries,
    parse_micros,
    purses_of,
)

AMOUNTS = st.integers(0, 10**9)
ACCOUNTS = st.integers(1, 3)


@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(1, 99), ACCOUNTS, AMOUNTS)))
def test_all_purses_together_are_zero(moves: list[tuple[Kind, int, int, int]]) -> None:
    """Whatever is entered, in whatever order, all purses together hold nothing."""
    purses = purses_of(entry(*move) for move in moves)
    assert sum(purses.values()) == 0
    assert {owner for owner, purse in purses if purse in (Purse.REVENUE, Purse.FUNDING)} <= {0}
    assert {owner for owner, purse in purses if purse in (Purse.AVAILABLE, Purse.RESERVED)} <= {1, 2, 3}


@pytest.mark.parametrize(
    "kinds, available, reserved, revenue",
    [
        (["credit"], 5, 0, 0),
        (["credit", "reserve"], 0, 5, 0),
        (["credit", "reserve", "post"], 0, 0, 5),
        (["credit", "reserve", "void"], 5, 0, 0),
        (["credit", "credit", "reserve", "void", "reserve", "post"], 5, 0, 5),
    ],
)
def test_where_money_is(kinds: list[str], available: int, reserved: int, revenue: int) -> None:
    """Credit pays in, reserve holds, post spends and void gives back."""
    purses = purses_of(entry(Kind(kind), 1, 7, 5) for kind in kinds)
    paid_in = 5 * kinds.count("credit")
    found = {
        Purse.AVAILABLE: purses.get((7, Purse.AVAILABLE), 0),
        Purse.RESERVED: purses.get((7, Purse.RESERVED), 0),
        Purse.REVENUE: purses.get((0, Purse.REVENUE), 0),
        Purse.FUNDING: purses.get((0, Purse.FUNDING), 0),
    }
    assert list(found.values()) == [available, reserved, revenue, -paid_in]


def test_post_and_void_share_a_phase() -> None:
    """Only one of the two can ever be entered for a message; every other kind has a phase of its own."""
    phases = {kind: transfer.phase for kind, transfer in TRANSFERS.items()}
    assert phases[Kind.POST] == phases[Kind.VOID]
    assert phases[Kind.CREDIT] == phases[Kind.DEBIT]
    assert len(set(phases.values())) == len(Kind) - 2
    assert set(phases) == set(Kind)


@given(
    st.dictionaries(ACCOUNTS, st.integers(-50, 200)),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60))),
)
def test_grants_never_overspend(spendable: dict[int, int], wishes: list[tuple[int, int]]) -> None:
    """In the order asked, each wish is granted exactly where what is left reaches for it; one refused takes nothing."""
    before = dict(spendable)
    left = dict(spendable)
    for (account_id, amount), is_granted in zip(wishes, grant(spendable, wishes), strict=True):
        assert is_granted == (amount == 0 or amount <= left.get(account_id, 0))
        if is_granted:
            left[account_id] = left.get(account_id, 0) - amount
    assert spendable == before
    assert all(left[account_id] >= min(0, spendable.get(account_id, 0)) for account_id in left)


@given(
    st.dictionaries(ACCOUNTS, st.integers(-50, 200)),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(-5, 60))),
)
def test_moves_make_no_money(spendable: dict[int, int], wishes: list[tuple[int, int, int]]) -> None:
    """In the order asked, credit moves exactly where it reaches and both have a purse; their sum stays what it was."""
    moves = [
        Move(source_id=index, giver_id=giver, taker_id=taker, amount_micros=amount)
        for index, (giver, taker, amount) in enumerate(wishes)
    ]
    left = dict(spendable)
    for move, is_granted in zip(moves, grant_moves(spendable, moves), strict=True):
        both_are_there = {move.giver_id, move.taker_id} <= left.keys()
        assert is_granted == (both_are_there and 0 < move.amount_micros <= left[move.giver_id])
        if is_granted:
            left[move.giver_id] -= move.amount_micros
            left[move.taker_id] += move.amount_micros
    assert sum(left.values()) == sum(spendable.values())
    assert all(left[account_id] >= min(0, spendable[account_id]) for account_id in left)


@pytest.mark.parametrize("is_back", [False, True])
def test_a_move_leaves_nothing_in_transit(is_back: bool) -> None:
    """Both halves of a move together take from one account what they give to the other, there as well as back."""
    purses = purses_of(move_entries(Move(source_id=9, giver_id=1, taker_id=2, amount_micros=5, is_back=is_back)))
    assert purses == {(1, Purse.AVAILABLE): -5, (2, Purse.AVAILABLE): 5, (0, Purse.TRANSIT): 0}


def test_a_negative_wish_is_refused() -> None:
    """Nobody makes money by asking for less than nothing."""
    assert grant({1: 10}, [(1, -5), (1, 11)]) == [False, False]


AMOUNT_TEXTS = [
    ("0", 0),
    ("1", 1_000_000),
    ("0.0100", 10_000),
    ("0.000001", 1),
    ("1.10000000", 1_100_000),
    ("-2.5", -2_500_000),
    ("+3", 3_000_000),
    (" 100.00\n", 100_000_000),
    ("000.5", 500_000),
    ("1000000000", AMOUNT_MAX_MICROS),
]


@pytest.mark.parametrize("text, micros", AMOUNT_TEXTS)
def test_amounts_are_read(text: str, micros: int) -> None:
    """A plain decimal with up to six places that matter is that many millionths."""
    assert parse_micros(text) == micros


NO_PLAIN_DECIMAL = ["", " ", ".", "-", "1,5", "1_000", "0x1", "٣", "½", "1.2.3", "--1"]
EXPONENTS_AND_NAMES = ["1e3", "1e-7", "1e999999999", "1e-999999999", "nan", "sNaN", "inf"]
OUT_OF_RANGE = ["0.0000001", "0." + "0" * 50 + "1", "1000000000.000001", "-1000000000.1", "9" * 5_000]


@pytest.mark.parametrize("text", [*NO_PLAIN_DECIMAL, *EXPONENTS_AND_NAMES, *OUT_OF_RANGE])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Exponents, groupings, foreign digits, infinities, too many places or too much money are a ValueError."""
    with pytest.raises(ValueError):
        parse_micros(text)


@pytest.mark.parametrize(
    "micros, places, text",
    [
        (10_000, 2, "0.01"),
        (0, 2, "0.00"),
        (0, 0, "0"),
        (12_340_000, 2, "12.34"),
        (12_300_000, 2, "12.30"),
        (1, 2, "0.000001"),
        (-1_500_000, 2, "-1.50"),
        (-1, 0, "-0.000001"),
        (5_000_000, 0, "5"),
        (5_000_000, 4, "5.0000"),
    ],
)
def test_amounts_are_written(micros: int, places: int, text: str) -> None:
    """At least so many decimals, and further ones only where they are not zero."""
    assert format_micros(micros, places) == text


@given(st.integers(-AMOUNT_MAX_MICROS, AMOUNT_MAX_MICROS), st.integers(0, 6))
def test_what_is_written_is_read_again(micros: int, places: int) -> None:
    """Writing and reading an amount loses nothing."""
    assert parse_micros(format_micros(micros, places)) == micros
