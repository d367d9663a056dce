"""Optional parameters: the standard's table, and how they are found, made, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.smpp.fields import BadField
from chappe.smpp.tlv import (
    SIZES,
    VENDOR_TAGS,
    NetworkError,
    Tag,
    check,
    find,
    find_network_error,
    find_number,
    find_text,
    number,
    read_text,
    read_tlvs,
    read_tlvs_patiently,
    text,
    write_tlvs,
)
from smpp.strategies import parameters

# The tags of SMPP 3.4, 5.3.2, as they stand there, and how many octets each value may have.
STANDARD_3_4 = """
0005 1    0006 1    0007 1    0008 2    000d 1    000e 1    000f 1    0010 1    0017 4    0019 1    001d 1-256
001e 1-65 0030 1    0201 1    0202 2-23 0203 2-23 0204 2    0205 1    020a 2    020b 2    020c 2    020d 1
020e 1    020f 1    0210 1    0302 1    0303 0-65 0304 1    0381 4-19 0420 1    0421 1    0422 1    0423 3
0424 0-65535        0425 1    0426 1    0427 1    0501 1    1201 1    1203 2    1204 1-4  130c 0-1  1380 1    1383 2
"""
ADDED_BY_5_0 = """
0428 1    0600 1    0601 3    0602 1-255 0603 1   0604 2    0605 3    0606 1-65535        0607 4    0608 1
0609 16-17          060a 1-255 060b 1-1024 060d 7-65 060e 7-65 060f 6 0610 6 0611 1 0612 10 0613 1-5
"""


def table(written: str) -> dict[int, tuple[int, int]]:
    words = iter(written.split())
    return {int(tag, 16): span(next(words)) for tag in words}


def span(written: str) -> tuple[int, int]:
    least, _, most = written.partition("-")
    return int(least), int(most or least)


def test_every_parameter_of_the_standard_has_its_size() -> None:
    """The table has the 44 parameters of SMPP 3.4 and the 20 of SMPP 5.0, with their sizes, and no other."""
    expected = table(STANDARD_3_4) | table(ADDED_BY_5_0)
    assert {tag: tuple(size) for tag, size in SIZES.items()} == expected
    assert (len(table(STANDARD_3_4)), len(table(ADDED_BY_5_0))) == (44, 20)


def test_no_tag_of_a_vendor_is_ours() -> None:
    """The tags that belong to vendors are read with any length."""
    assert not set(SIZES) & set(VENDOR_TAGS)
    assert all(check(VENDOR_TAGS[0], bytes(size)) for size in (0, 1, 65_535))


@pytest.mark.parametrize("tag", Tag, ids=lambda tag: tag.name)
def test_a_parameter_has_its_length_or_none_of_it(tag: Tag) -> None:
    """At its least and greatest length a parameter goes both ways; an octet less or more is refused both ways."""
    for size in (tag.octets_min, tag.octets_max):
        tlvs = ((int(tag), bytes(size)),)
        assert read_tlvs(write_tlvs(tlvs), 0) == tlvs
    for size in (tag.octets_min - 1, tag.octets_max + 1):
        if 0 <= size <= 65_535:
            wrong = int(tag).to_bytes(2) + size.to_bytes(2) + bytes(size)
            with pytest.raises(BadField, match=f"0x{tag:04x}"):
                write_tlvs(((tag, bytes(size)),))
            with pytest.raises(BadField, match=f"0x{tag:04x}"):
                read_tlvs(wrong, 0)
            assert read_tlvs_patiently(wrong, 0) == ((int(tag), bytes(size)),)


@given(parameters, st.binary(max_size=20))
def test_parameters_are_read_as_they_were_written(tlvs: tuple[tuple[int, bytes], ...], before: bytes) -> None:
    """Known and unknown parameters, also twice the same, come back in their order, from whatever place."""
    octets = before + write_tlvs(tlvs)
    assert read_tlvs(octets, len(before)) == tlvs
    assert read_tlvs_patiently(octets, len(before)) == tlvs


@given(parameters.filter(bool))
def test_parameters_that_are_cut_are_refused(tlvs: tuple[tuple[int, bytes], ...]) -> None:
    """Wherever octets of parameters end too early, they are refused, unless they end between two."""
    octets = write_tlvs(tlvs)
    ends = {len(write_tlvs(tlvs[:count])) for count in range(len(tlvs) + 1)}
    for size in set(range(len(octets))) - ends:
        with pytest.raises(BadField):
            read_tlvs(octets[:size], 0)


@pytest.mark.parametrize("rest, is_read", [(b"\0", True), (b"\0\0\0", True), (b"\1", False), (b"\0\0\0\1", False)])
def test_a_few_nulls_may_follow_what_a_message_centre_says(rest: bytes, is_read: bool) -> None:
    """Up to three NULLs behind the last parameter are nothing; anything else there is refused."""
    octets = write_tlvs((number(Tag.MESSAGE_STATE, 2),))
    with pytest.raises(BadField):
        read_tlvs(octets + rest, 0)
    if is_read:
        assert read_tlvs_patiently(octets + rest, 0) == ((Tag.MESSAGE_STATE, b"\2"),)
    else:
        with pytest.raises(BadField):
            read_tlvs_patiently(octets + rest, 0)


def test_the_first_of_two_is_found() -> None:
    """A parameter is found by its tag, the first where there are two, and not where there is none."""
    tlvs = (number(Tag.SAR_TOTAL, 2), number(Tag.SAR_TOTAL, 3), (0x1400, b"ours"))
    assert find(tlvs, Tag.SAR_TOTAL) == b"\2"
    assert find(tlvs, 0x1400) == b"ours"
    assert find(tlvs, Tag.SAR_POSITION) is None


# value | as a number
NUMBERS = [(b"\2", 2), (b"\0\2", 2), (b"\1\0", 256), (b"\0\0\1\0", 256), (b"", None), (None, None)]


@pytest.mark.parametrize("value, expected", NUMBERS)
def test_a_number_is_read_in_any_width(value: bytes | None, expected: int | None) -> None:
    """An integer is understood in whatever width a peer writes it; an empty one is none."""
    tlvs = ((Tag.SAR_REFERENCE, value),) if value is not None else ()
    assert find_number(tlvs, Tag.SAR_REFERENCE) == expected


# value | as a text
TEXTS = [(b"17\0", "17"), (b"17", "17"), (b"17\0rubbish", "17"), (b"\0", ""), (b"", ""), (b"\xe9\0", "é")]


@pytest.mark.parametrize("value, expected", TEXTS)
def test_a_text_ends_at_its_null_or_with_its_parameter(value: bytes, expected: str) -> None:
    """A C-octet string is read to its NULL; peers that leave the NULL out are understood."""
    assert read_text(value) == expected
    assert find_text(((Tag.RECEIPTED_MESSAGE_ID, value),), Tag.RECEIPTED_MESSAGE_ID) == expected
    assert find_text((), Tag.RECEIPTED_MESSAGE_ID) is None


def test_what_is_made_is_as_long_as_it_must_be() -> None:
    """A number takes the width of its parameter, a text its NULL; what does not fit is not made."""
    assert number(Tag.SAR_REFERENCE, 2) == (0x020C, b"\0\2")
    assert number(Tag.SAR_TOTAL, 2) == (0x020E, b"\2")
    assert number(Tag.TIME_TO_LIVE, 86_400) == (0x0017, b"\0\1\x51\x80")
    assert text(Tag.RECEIPTED_MESSAGE_ID, "17") == (0x001E, b"17\0")
    with pytest.raises(OverflowError):
        number(Tag.SAR_TOTAL, 256)


@pytest.mark.parametrize(
    "value, expected", [(b"\3\1\2", NetworkError(3, 0x0102)), (b"\3\1", None), (b"000\0", None), (b"", None)]
)
def test_a_network_error_has_three_octets(value: bytes, expected: NetworkError | None) -> None:
    """network_error_code is a kind of network and a code; of any other length it says nothing."""
    assert find_network_error(((Tag.NETWORK_ERROR_CODE, value),)) == expected
