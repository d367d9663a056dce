"""What the desk makes of what people type: numbers, patterns and ids in every form that our dialects print."""

import pytest

from chappe.core.ids import ID_MAX
from chappe.core.people import EVERYTHING, Sight
from chappe.gateway.search import MessageFilters, digits_of, ids_written, pattern_of, seen, sieve_of_messages

NUMBERS = [
    ("447700900001", "447700900001"),
    (" +44 7700 900-001 ", "447700900001"),
    ("0039 (333) 123.4567", "393331234567"),
    ("*4567", "*4567"),
    ("+39*", "39*"),
    ("", ""),
    ("ACME", "ACME"),
]


@pytest.mark.parametrize("written, meant", NUMBERS)
def test_numbers_are_read_as_people_write_them(written: str, meant: str) -> None:
    """Blanks, dashes, brackets, a plus or two zeros before a number say nothing."""
    assert digits_of(written) == meant


PATTERNS = [("39*", "39%"), ("*45", "%45"), ("4_5%", "45"), ("+44 7*1", "447%1"), ("My-Shop", "My-Shop"), ("A*", "A%")]


@pytest.mark.parametrize("written, pattern", PATTERNS)
def test_only_an_asterisk_stands_for_anything(written: str, pattern: str) -> None:
    """What a database takes for a wildcard is none where a person wrote it."""
    assert pattern_of(written) == pattern


IDS = [
    ("191338704775096694", [191338704775096694, 0x191338704775096694 % (1 << 80)]),
    ("2a7c9", [0x2A7C9]),
    ("0x2a7c9", [0x2A7C9]),
    ("12", [12, 0x12]),
    ("0", [0]),
    (str(ID_MAX + 1), []),
    ("9" * 40, []),
    ("order 7", []),
    ("1_0", []),
    ("-5", []),
    ("٣", []),
]


@pytest.mark.parametrize("written, ids", IDS)
def test_ids_are_read_in_both_forms(written: str, ids: list[int]) -> None:
    """A text may be an id in decimal or in hexadecimal digits, as far as such ids can be."""
    assert ids_written(written) == [one for one in ids if one <= ID_MAX]


def test_a_whole_number_walks_its_index_and_a_pattern_does_not() -> None:
    """Only a whole number has an index; a pattern is looked for along the ids."""
    whole, path = sieve_of_messages(MessageFilters(recipient="+44 7700 900001"))
    assert (whole.is_empty, path is not None and path.value) == (True, "447700900001")
    pattern, path = sieve_of_messages(MessageFilters(recipient="4477*"))
    assert (dict(pattern.patterns), path) == ({"recipient": "4477%"}, None)


def test_an_account_out_of_sight_is_nobodys() -> None:
    """Asking for one account narrows what is seen and never widens it."""
    assert seen(EVERYTHING, 0) is None
    assert seen(EVERYTHING, 5) == (5,)
    assert seen(Sight(frozenset({1, 2})), 0) == (1, 2)
    assert seen(Sight(frozenset({1, 2})), 2) == (2,)
    assert seen(Sight(frozenset({1, 2})), 5) == ()
