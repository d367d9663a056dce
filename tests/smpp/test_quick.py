"""What is read and written by hand is read and written as the table of fields says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.smpp.fields import READ_ERRORS, WRITE_ERRORS, BadField, Text, reader_of, writer_of
from chappe.smpp.pdu import FIELDS, HEADER_OCTETS, PLANS, Body, DeliverSm, SubmitSm, SubmitSmResponse, encode_body
from chappe.smpp.tlv import read_tlvs, read_tlvs_patiently, write_tlvs
from smpp.strategies import bodies

QUICK: list[type[Body]] = [SubmitSm, DeliverSm, SubmitSmResponse]
each_kind = pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.__name__)


def read_both(kind: type[Body], octets: bytes) -> list[Any]:
    """What the hand and the table find in a PDU, or what they say is wrong with it."""
    read_parameters = read_tlvs if kind is SubmitSm else read_tlvs_patiently
    found: list[Any] = []
    for read in (PLANS[kind.command_id].read, reader_of(kind, FIELDS[kind], read_parameters)):
        try:
            found.append(read(octets))
        except READ_ERRORS as error:
            found.append(str(error) if isinstance(error, BadField) else "cut short")
    return found


def write_both(kind: type[Body], body: Body) -> list[bytes | str]:
    written: list[bytes | str] = []
    for write in (PLANS[kind.command_id].write, writer_of(FIELDS[kind], write_tlvs)):
        try:
            written.append(write(body))
        except WRITE_ERRORS:
            written.append("refused")
    return written


@each_kind
@given(chance=st.data())
def test_the_hand_reads_what_the_table_reads(kind: type[Body], chance: st.DataObject) -> None:
    """Of whole, cut and altered PDUs the hand reads the same as the table, and finds the same wrong."""
    octets = encode_body(chance.draw(bodies(kind)), 1)
    start = chance.draw(st.integers(HEADER_OCTETS, len(octets)))
    end = chance.draw(st.integers(start, min(len(octets), start + 3)))
    altered = octets[:start] + chance.draw(st.binary(max_size=3)) + octets[end:]
    for one in (octets, octets[:start], altered):
        by_hand, by_table = read_both(kind, one)
        assert by_hand == by_table


@each_kind
@given(chance=st.data())
def test_the_hand_writes_what_the_table_writes(kind: type[Body], chance: st.DataObject) -> None:
    """What fits is written with the same octets, and what does not is refused by both."""
    body = chance.draw(bodies(kind))
    by_hand, by_table = write_both(kind, body)
    assert by_hand == by_table
    assert isinstance(by_hand, bytes)


@pytest.mark.parametrize(
    "kind, name, value",
    [
        (kind, name, value)
        for kind in QUICK
        for name, one in FIELDS[kind]
        for value in (
            ("x" * one.octets_max, "a\0b", "€")
            if isinstance(one, Text)
            else (bytes(255),)
            if name == "short_message"
            else (-1, 256)
        )
    ],
)
def test_the_hand_refuses_what_the_table_refuses(kind: type[Body], name: str, value: Any) -> None:
    """A value that does not fit into its field is refused by hand too, each field, each way."""
    assert write_both(kind, kind(**{name: value})) == ["refused", "refused"]
