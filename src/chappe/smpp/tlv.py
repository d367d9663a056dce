"""Optional parameters (TLVs): their tags, how long each may be, and how they are read (SMPP 3.4, 5.3)."""

from enum import IntEnum
from typing import Final, NamedTuple

Tlvs = tuple[tuple[int, bytes], ...]  # tag and value, in the order of the wire; a tag may come more than once


class Tag(IntEnum):
    """The parameters of SMPP 3.4 (5.3.2)."""

    USER_MESSAGE_REFERENCE = 0x0204
    SOURCE_PORT = 0x020A
    DESTINATION_PORT = 0x020B
    SAR_REFERENCE = 0x020C
    SAR_TOTAL = 0x020E
    SAR_POSITION = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    RECEIPTED_MESSAGE_ID = 0x001E
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MORE_MESSAGES_TO_SEND = 0x0426
    MESSAGE_STATE = 0x0427


class Size(NamedTuple):
    """How many octets a parameter may have."""

    octets_min: int
    octets_max: int


SIZES: Final[dict[int, Size]] = {
    Tag.USER_MESSAGE_REFERENCE: Size(2, 2),
    Tag.SOURCE_PORT: Size(2, 2),
    Tag.DESTINATION_PORT: Size(2, 2),
    Tag.SAR_REFERENCE: Size(2, 2),
    Tag.SAR_TOTAL: Size(1, 1),
    Tag.SAR_POSITION: Size(1, 1),
    Tag.SC_INTERFACE_VERSION: Size(1, 1),
    Tag.RECEIPTED_MESSAGE_ID: Size(1, 65),
    Tag.NETWORK_ERROR_CODE: Size(3, 3),
    Tag.MESSAGE_PAYLOAD: Size(0, 65_535),
    Tag.MORE_MESSAGES_TO_SEND: Size(1, 1),
    Tag.MESSAGE_STATE: Size(1, 1),
}


def check(tag: int, value: bytes) -> bool:
    """Whether a parameter has a length that it may have; one that nobody knows may have any."""
    size = SIZES.get(tag)
    return size is None or size.octets_min <= len(value) <= size.octets_max


def find(tlvs: Tlvs, tag: int) -> bytes | None:
    """The value of the first parameter with this tag."""
    for each, value in tlvs:
        if each == tag:
            return value
    return None


def find_number(tlvs: Tlvs, tag: int) -> int | None:
    """The same as an unsigned integer."""
    value = find(tlvs, tag)
    return int.from_bytes(value) if value is not None else None


def number(tag: int, value: int) -> tuple[int, bytes]:
    """A parameter with an integer value, as long as it must be."""
    return tag, value.to_bytes(SIZES[tag].octets_max)


def text(tag: int, value: str) -> tuple[int, bytes]:
    """A parameter with a C-octet string."""
    return tag, value.encode("latin-1", "replace") + b"\0"


def read_text(value: bytes | None) -> str:
    """The text of a C-octet string; those who leave out its end are understood."""
    return value.partition(b"\0")[0].decode("latin-1") if value else ""
