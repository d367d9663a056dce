"""Delivery receipts: written as appendix B of SMPP 3.4 has them, read as carriers write them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.smpp.receipt import (
    KEYS,
    DeliveryReceipt,
    date_of,
    is_receipt,
    read_date,
    read_dates,
    read_receipt,
    write_text,
    write_tlvs,
)
from chappe.smpp.tlv import Tag, Tlvs

WHEN_MS = int(datetime(2026, 11, 21, 16, 20, 42, tzinfo=UTC).timestamp()) * 1000
CLASSIC = (
    "id:0123456789 sub:001 dlvrd:001 submit date:2611211620 done date:2611211621 stat:DELIVRD err:000 text:Hello world"
)


def test_a_receipt_is_written_as_the_appendix_has_it() -> None:
    """Every field stands in its place, with the first 20 characters of the message."""
    assert (
        write_text(
            id="4711",
            stat="UNDELIV",
            submitted="2611211620",
            done="2611211621",
            error=34,
            is_delivered=False,
            text="The quick brown fox jumps",
        )
        == "id:4711 sub:001 dlvrd:000 submit date:2611211620 done date:2611211621 stat:UNDELIV err:034 "
        "text:The quick brown fox "
    )


WRITTEN = [
    # what a carrier wrote, its id, state and error
    (CLASSIC, "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("id:", "id: ").replace("stat:", "stat: "), "0123456789", "DELIVRD", "000"),
    (CLASSIC.upper(), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("DELIVRD", "delivrd"), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("Hello world", "id:9 stat:UNDELIV err:9"), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("Hello world", ""), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace(" text:Hello world", ""), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("2611211620", "261121162042"), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("2611211620", "20261121162042"), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("2611211620", ""), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace(" ", "\n"), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace(" ", "  "), "0123456789", "DELIVRD", "000"),
    (CLASSIC.replace("err:000", "err:2B"), "0123456789", "DELIVRD", "2B"),
    (CLASSIC.replace("0123456789", "A1B2-c3d4_{e5}/f6"), "A1B2-c3d4_{e5}/f6", "DELIVRD", "000"),
    (CLASSIC.replace("0123456789", "a:b"), "a:b", "DELIVRD", "000"),
    (CLASSIC.replace("0123456789", "7" * 64), "7" * 64, "DELIVRD", "000"),
    ("id:4711 stat:EXPIRED", "4711", "EXPIRED", ""),
    ("id:4711,sub:001,stat:EXPIRED,err:254;", "4711", "EXPIRED", "254"),
    ("id:47,11 stat:EXPIRED", "47,11", "EXPIRED", ""),
    ("id:4711; stat:EXPIRED; err:254;", "4711", "EXPIRED", "254"),
    ("stat:REJECTD err:011 id:4711", "4711", "REJECTD", "011"),
    ("text:Hello id:4711 stat:REJECTD err:011", "4711", "REJECTD", "011"),
    ("msgid:1 id:4711 substat:X stat:REJECTD interr:1 err:011", "4711", "REJECTD", "011"),
    ("id:4711", "4711", "", ""),
    ("id: stat: err:", "", "", ""),
    ("id: sub:001 stat:DELIVRD", "", "DELIVRD", ""),
    ("id:", "", "", ""),
    ("", "", "", ""),
    ("DELIVERED", "", "", ""),
]


@pytest.mark.parametrize("text, message_id, stat, error", WRITTEN)
def test_receipts_are_read_as_carriers_write_them(text: str, message_id: str, stat: str, error: str) -> None:
    """Any case, order, blanks and odd ids are understood, and the text of the message is none of the fields."""
    assert read_receipt(text) == DeliveryReceipt(id=message_id, stat=stat, error=error)


DATES = [
    (CLASSIC, ("2611211620", "2611211621")),
    (CLASSIC.replace("2611211620", "261121162042"), ("261121162042", "2611211621")),
    ("id:1 Done Date: 2611211621 stat:DELIVRD", ("", "2611211621")),
    ("", ("", "")),
]


@pytest.mark.parametrize("text, dates", DATES)
def test_dates_are_found(text: str, dates: tuple[str, str]) -> None:
    """Both dates are found where they stand, and missing ones are empty."""
    assert read_dates(text) == dates


@pytest.mark.parametrize(
    "written, timezone, instant",
    [
        ("2611211620", "UTC", (2026, 11, 21, 16, 20)),
        ("261121162042", "UTC", (2026, 11, 21, 16, 20, 42)),
        ("20261121162042", "UTC", (2026, 11, 21, 16, 20, 42)),
        ("2611211720", "Europe/Rome", (2026, 11, 21, 16, 20)),
    ],
)
def test_a_date_is_an_instant_of_its_zone(written: str, timezone: str, instant: tuple[int, ...]) -> None:
    """With seconds, the century or neither, a date is read on the wall clock of its zone."""
    expected = datetime(*instant, tzinfo=UTC)  # type: ignore[misc, arg-type]
    assert read_date(written, timezone) == int(expected.timestamp()) * 1000


@pytest.mark.parametrize("written", ["", "26112116", "2613211620", "26112116 0", "²611211620", "261121162042000"])
def test_what_is_no_date_is_none(written: str) -> None:
    """Other lengths, other characters and days that no calendar has are no date."""
    assert read_date(written) is None


@pytest.mark.parametrize("timezone, written", [("UTC", "2611211620"), ("Asia/Kolkata", "2611212150")])
def test_a_date_is_written_on_the_wall_clock(timezone: str, written: str) -> None:
    """The date of an instant is what a clock of that zone shows."""
    assert date_of(WHEN_MS, timezone) == written


ID: Tlvs = ((Tag.RECEIPTED_MESSAGE_ID, b"4711\0"),)
DELIVERED: Tlvs = ((Tag.MESSAGE_STATE, b"\x02"),)

FLAGGED = [
    # esm_class, TLVs, whether it is one
    (0x04, (), True),
    (0x20, (), True),
    (0x44, (), True),
    (0x04, ID, True),
    (0x00, ID + DELIVERED, True),
    (0x03, ID + DELIVERED, True),
    (0x00, (), False),
    (0x00, ID, False),
    (0x00, DELIVERED, False),
    (0x40, (), False),
    (0x08, ID + DELIVERED, False),  # an acknowledgement by the phone's user
    (0x10, (), False),
]


@pytest.mark.parametrize("esm_class, tlvs, expected", FLAGGED)
def test_a_receipt_is_known_by_its_flags_or_its_parameters(esm_class: int, tlvs: Tlvs, expected: bool) -> None:
    """esm_class decides where it says something; else both TLVs of a receipt do."""
    assert is_receipt(esm_class, tlvs) is expected


def test_parameters_stand_beside_the_text() -> None:
    """Id, state and network error are read from the TLVs, also where a C-octet string has blanks and no end."""
    tlvs = ((Tag.RECEIPTED_MESSAGE_ID, b" 0A0B"), (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x22"), *DELIVERED)
    assert read_receipt("", tlvs) == DeliveryReceipt(receipted_id="0A0B", message_state=2, network_error=34)


def test_parameters_are_read_as_they_were_written() -> None:
    """What is written beside the text names the same message and state."""
    found = read_receipt("", write_tlvs("4711", 5))
    assert (found.receipted_id, found.message_state) == ("4711", 5)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64).filter(
        lambda written: not any(key in written.lower() for key in KEYS) and written[-1] not in ",;"
    ),
    st.sampled_from(["DELIVRD", "EXPIRED", "UNDELIV"]),
    st.integers(0, 999),
    st.text(max_size=40),
)
def test_what_is_written_is_read(message_id: str, stat: str, error: int, text: str) -> None:
    """Whatever the id and the message look like, our own receipt says what was put into it."""
    written = write_text(
        id=message_id,
        stat=stat,
        submitted=date_of(WHEN_MS),
        done=date_of(WHEN_MS),
        error=error,
        is_delivered=True,
        text=text,
    )
    assert read_receipt(written) == DeliveryReceipt(id=message_id, stat=stat, error=f"{error:03}")


tags = st.sampled_from([Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE, Tag.NETWORK_ERROR_CODE, Tag.SOURCE_PORT])
words = st.sampled_from(["id:", "ID :", "stat:", "err:", "text:", "submit date:", "done date:", " ", "İ", "\0", "1"])


@given(
    st.lists(words | st.text(max_size=5), max_size=12).map("".join),
    st.lists(st.tuples(tags, st.binary(max_size=70)), max_size=4).map(tuple),
)
def test_reading_never_fails(text: str, tlvs: Tlvs) -> None:
    """Any text beside any parameters is read as far as it goes."""
    found = read_receipt(text, tlvs)
    assert all(isinstance(word, str) for word in (found.id, found.receipted_id, found.stat, found.error))
    assert all(read_date(date) is None or date.isdigit() for date in read_dates(text))
