"""Whether two writings of a number mean the same phone."""

import pytest

from chappe.core.recipients import is_same_number


@pytest.mark.parametrize(
    "one, other, is_same",
    [
        ("447700900123", "447700900123", True),
        ("+447700900123", "00447700900123", True),
        ("07700900123", "447700900123", True),
        ("12345", "12345", True),
        ("12345", "9912345", False),
        ("447700900123", "447700900124", False),
        ("ACME", "ACME", False),
        ("", "", False),
        ("", "447700900123", False),
    ],
)
def test_writings_of_a_number_are_compared_by_their_digits(one: str, other: str, is_same: bool) -> None:
    """A prefix, a zero or a country code more or less is no other number; names and few common digits are none."""
    assert is_same_number(one, other) is is_same
    assert is_same_number(other, one) is is_same
