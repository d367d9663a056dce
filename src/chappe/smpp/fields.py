"""How the fields of an SMPP body become values and octets again: kinds of fields, and readers and writers of tables.

Octets and characters are one to one here (Latin-1): a PDU is read as octets and as a text of as many characters, and
written as a text, so that its texts are cut out of it, or put into it, as they are.
"""

from collections.abc import Callable
from struct import Struct as Layout
from struct import error as LayoutError
from typing import Any, Final, NamedTuple

HEADER_OCTETS: Final = 16  # of each PDU (3.2)
DESTINATIONS_MAX: Final = 254  # of submit_multi (5.2.24)
MESSAGE_OCTETS_MAX: Final = 254  # of short_message (5.2.21)
# Of texts, their NULLs included (4.1, 4.4.1, 4.7.1)
SERVICE_TYPE_MAX, ADDRESS_MAX, LONG_ADDRESS_MAX, TIME_MAX, MESSAGE_ID_MAX = 6, 21, 65, 17, 65
IS_ADDRESS, IS_LIST = 1, 2  # dest_flag (5.2.25)


class BadField(ValueError):
    """A field that is not as it must be."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


# What a reader may raise (the last two where the octets end too early), and a writer (a BadField, or one of which
# `fault_of` tells what is wrong). Everything else is a fault of ours.
READ_ERRORS = (BadField, IndexError, LayoutError)
WRITE_ERRORS = (ValueError, OverflowError)


class Address(NamedTuple):
    """Where a message goes or comes from (address_ton, address_npi and an address of up to 20 characters)."""

    ton: int
    npi: int
    value: str


class Unsuccessful(NamedTuple):
    """A destination of a submit_multi that did not get the message (4.5.2.1)."""

    address: Address
    status: int


Found = tuple[Any, int]  # a value, and where the next one begins


def read_text(name: str, text: str, place: int, octets_max: int) -> tuple[str, int]:
    """The text that begins here and ends with a NULL within so many octets, and the place behind it."""
    end = text.find("\0", place, place + octets_max)
    if end < 0:
        if place + octets_max > len(text):
            raise IndexError(name)
        raise BadField(name, f"no end within {octets_max} octets")
    return text[place:end], end + 1


# The kinds of fields. Each reads a value (from octets and the same in characters, at a place), says what is wrong with
# one that does not fit, and writes one that does as characters.


class Number(NamedTuple):
    """An unsigned integer of one octet (3.1)."""

    def read(self, _name: str, octets: bytes, _text: str, place: int) -> Found:
        return octets[place], place + 1

    def fault(self, value: int) -> str:
        return "" if 0 <= value <= 0xFF else f"{value} does not fit into one octet"

    def write(self, value: int) -> str:
        return chr(value)


class Text(NamedTuple):
    """A C-octet string of at most so many octets, its final NULL included (3.1)."""

    octets_max: int

    def read(self, name: str, _octets: bytes, text: str, place: int) -> Found:
        return read_text(name, text, place, self.octets_max)

    def fault(self, value: str) -> str:
        if len(value) >= self.octets_max:
            return f"{len(value)} octets, at most {self.octets_max - 1} fit"
        if "\0" in value:
            return "a NULL within"
        return "characters that are no octets" if value and max(value) > "\xff" else ""

    def write(self, value: str) -> str:
        return f"{value}\0"


class Octets(NamedTuple):
    """Octets behind one that tells how many there are (sm_length and short_message, 5.2.21 and 5.2.22)."""

    octets_max: int

    def read(self, name: str, octets: bytes, _text: str, place: int) -> Found:
        length = octets[place]
        end = place + 1 + length
        if end > len(octets) or length > self.octets_max:
            raise BadField(name, f"a length of {length}")
        return octets[place + 1 : end], end

    def fault(self, value: bytes) -> str:
        return "" if len(value) <= self.octets_max else f"{len(value)} octets, at most {self.octets_max} fit"

    def write(self, value: bytes) -> str:
        return chr(len(value)) + value.decode("latin-1")


class Destinations(NamedTuple):
    """dest_address(es) of submit_multi behind their count (4.5.1.1)."""

    def read(self, name: str, octets: bytes, text: str, place: int) -> Found:
        count, place = octets[place], place + 1
        if detail := fault_of_count(count):
            raise BadField(name, detail)
        found: list[Address | str] = []
        for _ in range(count):
            flag, place = octets[place], place + 1
            if flag == IS_ADDRESS:
                one, place = read_address(octets, text, place)
                found.append(one)
            elif flag == IS_LIST:
                list_name, place = read_text("destination", text, place, ADDRESS_MAX)
                found.append(list_name)
            else:
                raise BadField("dest_flag", f"{flag} is unknown")
        return tuple(found), place

    def fault(self, value: tuple[Address | str, ...]) -> str:
        return fault_of_count(len(value)) or next(filter(None, map(fault_of_destination, value)), "")

    def write(self, value: tuple[Address | str, ...]) -> str:
        written = (
            f"{chr(IS_LIST)}{one}\0" if isinstance(one, str) else chr(IS_ADDRESS) + write_address(one) for one in value
        )
        return chr(len(value)) + "".join(written)


class Failures(NamedTuple):
    """unsuccess_sme(s) of submit_multi_resp behind their count (4.5.2.1)."""

    def read(self, _name: str, octets: bytes, text: str, place: int) -> Found:
        count, place = octets[place], place + 1
        found = []
        for _ in range(count):
            one, place = read_address(octets, text, place)
            (status,) = STATUS.unpack_from(octets, place)
            found.append(Unsuccessful(one, status))
            place += STATUS.size
        return tuple(found), place

    def fault(self, value: tuple[Unsuccessful, ...]) -> str:
        return fault_of_count(len(value)) or next(filter(None, map(fault_of_failure, value)), "")

    def write(self, value: tuple[Unsuccessful, ...]) -> str:
        written = (write_address(one.address) + STATUS.pack(one.status).decode("latin-1") for one in value)
        return chr(len(value)) + "".join(written)


Kind = Number | Text | Octets | Destinations | Failures
Field = tuple[str, Kind]
Fields = tuple[Field, ...]

NUMBER, ADDRESS = Number(), Text(ADDRESS_MAX)
STATUS: Final = Layout(">I")


def read_address(octets: bytes, text: str, place: int) -> tuple[Address, int]:
    value, end = read_text("destination", text, place + 2, ADDRESS_MAX)
    return Address(octets[place], octets[place + 1], value), end


def write_address(address: Address) -> str:
    return f"{chr(address.ton)}{chr(address.npi)}{address.value}\0"


def fault_of_count(count: int) -> str:
    return "" if count <= DESTINATIONS_MAX else f"{count}, at most {DESTINATIONS_MAX} fit"


def fault_of_destination(destination: Address | str) -> str:
    if isinstance(destination, str):
        return ADDRESS.fault(destination)
    return NUMBER.fault(destination.ton) or NUMBER.fault(destination.npi) or ADDRESS.fault(destination.value)


def fault_of_failure(failure: Unsuccessful) -> str:
    return fault_of_destination(failure.address) or ("" if 0 <= failure.status < 1 << 32 else "a status that is none")


def fault_of(fields: Fields, body: object) -> BadField:
    """What is wrong with a body that could not be written by hand."""
    for name, kind in fields:
        if detail := kind.fault(getattr(body, name)):
            return BadField(name, detail)
    return BadField("tlvs", "they cannot be written")


# Readers and writers

Reader = Callable[[bytes], Any]  # of a whole PDU; raises one of READ_ERRORS
Writer = Callable[[Any], bytes]  # of what follows the header; raises one of WRITE_ERRORS
ReadTlvs = Callable[[bytes, int], object]
WriteTlvs = Callable[[Any], bytes]


def reader_of(make: Callable[..., Any], fields: Fields, read_tlvs: ReadTlvs) -> Reader:
    """The function that makes a body of the octets of a PDU, field by field."""
    steps = [(name, kind.read) for name, kind in fields]

    def read(octets: bytes) -> Any:
        text, place = octets.decode("latin-1"), HEADER_OCTETS
        values = []
        for name, step in steps:
            value, place = step(name, octets, text, place)
            values.append(value)
        return make(*values, read_tlvs(octets, place) if place < len(octets) else ())

    return read


def writer_of(fields: Fields, write_tlvs: WriteTlvs) -> Writer:
    """The function that makes octets of a body, field by field."""

    def write(body: Any) -> bytes:
        parts = []
        for name, kind in fields:
            value = getattr(body, name)
            if detail := kind.fault(value):
                raise BadField(name, detail)
            parts.append(kind.write(value))
        octets = "".join(parts).encode("latin-1")
        return octets + write_tlvs(body.tlvs) if body.tlvs else octets

    return write
