"""How the fields of an SMPP body become values and octets again: kinds of fields, and readers and writers made of them.

Every message costs eight PDUs, so a body is not walked field by field. `reader_of` and `writer_of` put the few lines
that each kind of field needs one behind the other, as dataclasses do, and let Python compile them, once per kind of
body. That is three times as fast. Octets and characters are one to one here (Latin-1), so that a text is cut out of the
PDU, or put into it, as it is.
"""

from collections.abc import Callable
from itertools import groupby
from struct import Struct as Layout
from struct import error as LayoutError
from typing import Any, Final, NamedTuple

HEADER_OCTETS: Final = 16  # of each PDU (3.2)
ADDRESS_MAX: Final = 21  # octets of an address, its NULL included (5.2.8, 5.2.9)
DESTINATIONS_MAX: Final = 254  # of submit_multi (5.2.24)
IS_ADDRESS, IS_LIST = 1, 2  # dest_flag (5.2.25)


class BadField(ValueError):
    """A field that is not as it must be."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


# What a reader or a writer may raise; everything else is a fault of ours.
READ_ERRORS = (BadField, IndexError, LayoutError)  # the last two where the octets end too early
WRITE_ERRORS = (ValueError, OverflowError)  # BadField too; of the others `fault_of` tells what is wrong


class Address(NamedTuple):
    """Where a message goes or comes from (address_ton, address_npi and an address of up to 20 characters)."""

    ton: int
    npi: int
    value: str


class Unsuccessful(NamedTuple):
    """A destination of a submit_multi that did not get the message (4.5.2.1)."""

    address: Address
    status: int


Lines = tuple[str, ...]

# The kinds of fields. Each knows the lines that read it (from `octets`, or from `text`, the same in characters; both
# have `size`, and it begins at `place`), those that check it before it is written, what stands for it in the text that
# is written, and what is wrong with a value that does not fit.


class Number(NamedTuple):
    """An unsigned integer of one octet (3.1)."""

    def reading(self, name: str) -> Lines:
        return (f"{name} = octets[place]", "place += 1")

    def checking(self, _name: str) -> Lines:
        return ()  # one that does not fit has no character in Latin-1

    def written(self, name: str) -> str:
        return f"{{chr(body.{name})}}"

    def fault(self, value: int) -> str:
        return "" if 0 <= value <= 0xFF else f"{value} does not fit into one octet"


class Text(NamedTuple):
    """A C-octet string of at most so many octets, its final NULL included (3.1)."""

    octets_max: int

    def reading(self, name: str) -> Lines:
        return (
            "if octets[place]:",
            f"    end = text.find('\\0', place, place + {self.octets_max})",
            f"    if end < 0: raise BadField('{name}', 'no end within {self.octets_max} octets')",
            f"    {name} = text[place:end]",
            "    place = end + 1",
            "else:",
            f"    {name} = ''",
            "    place += 1",
        )

    def checking(self, name: str) -> Lines:
        return (
            f"{name} = body.{name}",
            f"if {name} and (len({name}) >= {self.octets_max} or '\\0' in {name}): raise ValueError",
        )

    def written(self, name: str) -> str:
        return f"{{{name}}}\\0"

    def fault(self, value: str) -> str:
        if len(value) >= self.octets_max:
            return f"{len(value)} octets, at most {self.octets_max - 1} fit"
        if "\0" in value:
            return "a NULL within"
        return "characters that are no octets" if value and max(value) > "\xff" else ""


class Octets(NamedTuple):
    """Octets behind one that tells how many there are (sm_length and short_message, 5.2.21 and 5.2.22)."""

    octets_max: int

    def reading(self, name: str) -> Lines:
        return (
            "length = octets[place]",
            "place += 1",
            "end = place + length",
            f"if end > size or length > {self.octets_max}: raise BadField('{name}', f'a length of {{length}}')",
            f"{name} = octets[place:end]",
            "place = end",
        )

    def checking(self, name: str) -> Lines:
        return (f"{name} = body.{name}", f"if len({name}) > {self.octets_max}: raise ValueError")

    def written(self, name: str) -> str:
        return f"{{chr(len({name}))}}{{{name}.decode('latin-1')}}"

    def fault(self, value: bytes) -> str:
        return "" if len(value) <= self.octets_max else f"{len(value)} octets, at most {self.octets_max} fit"


class Destinations(NamedTuple):
    """dest_address(es) of submit_multi behind their count (4.5.1.1)."""

    def reading(self, name: str) -> Lines:
        return (f"{name}, place = read_destinations(octets, place)",)

    def checking(self, _name: str) -> Lines:
        return ()

    def written(self, name: str) -> str:
        return f"{{write_destinations(body.{name})}}"

    def fault(self, value: tuple[Address | str, ...]) -> str:
        return fault_of_count(len(value)) or next(filter(None, map(fault_of_destination, value)), "")


class Failures(NamedTuple):
    """unsuccess_sme(s) of submit_multi_resp behind their count (4.5.2.1)."""

    def reading(self, name: str) -> Lines:
        return (f"{name}, place = read_failures(octets, place)",)

    def checking(self, _name: str) -> Lines:
        return ()

    def written(self, name: str) -> str:
        return f"{{write_failures(body.{name})}}"

    def fault(self, value: tuple[Unsuccessful, ...]) -> str:
        return fault_of_count(len(value)) or next(filter(None, map(fault_of_failure, value)), "")


Kind = Number | Text | Octets | Destinations | Failures
Field = tuple[str, Kind]
Fields = tuple[Field, ...]

NUMBER, ADDRESS = Number(), Text(ADDRESS_MAX)


def fault_of_count(count: int) -> str:
    return "" if count <= DESTINATIONS_MAX else f"{count}, at most {DESTINATIONS_MAX} fit"


def fault_of_destination(destination: Address | str) -> str:
    if isinstance(destination, str):
        return ADDRESS.fault(destination)
    return NUMBER.fault(destination.ton) or NUMBER.fault(destination.npi) or ADDRESS.fault(destination.value)


def fault_of_failure(failure: Unsuccessful) -> str:
    return fault_of_destination(failure.address) or ("" if 0 <= failure.status < 1 << 32 else "a status that is none")


def fault_of(fields: Fields, body: object) -> BadField:
    """What is wrong with a body that could not be written."""
    for name, kind in fields:
        if detail := kind.fault(getattr(body, name)):
            return BadField(name, detail)
    return BadField("tlvs", "they cannot be written")


# Readers and writers


def reader_of(kind: type, fields: Fields, read_tlvs: Callable[[bytes, int], object]) -> Callable[[bytes], Any]:
    """The function that makes a body of this kind from the octets of a whole PDU. It raises one of READ_ERRORS."""
    known: dict[str, Any] = {
        "BadField": BadField,
        "make": kind,
        "read_tlvs": read_tlvs,
        "read_destinations": read_destinations,
        "read_failures": read_failures,
    }
    lines = ["text = octets.decode('latin-1')", "size = len(octets)", f"place = {HEADER_OCTETS}"]
    for are_numbers, group in groupby(fields, lambda field: isinstance(field[1], Number)):
        row = list(group)
        if are_numbers and len(row) > 2:  # at once
            known[f"read_{len(row)}"] = Layout(f">{len(row)}B").unpack_from
            lines += [f"{', '.join(name for name, _ in row)} = read_{len(row)}(octets, place)", f"place += {len(row)}"]
        else:
            lines += [line for name, one in row for line in one.reading(name)]
    values = [*(name for name, _ in fields), "read_tlvs(octets, place) if place < size else ()"]
    return function("octets", [*lines, f"return make({', '.join(values)})"], known)


def writer_of(fields: Fields, write_tlvs: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """The function that makes the octets behind the header from a body. It raises one of WRITE_ERRORS."""
    known = {"write_tlvs": write_tlvs, "write_destinations": write_destinations, "write_failures": write_failures}
    lines = [line for name, kind in fields for line in kind.checking(name)]
    written = "".join(kind.written(name) for name, kind in fields)
    return function(
        "body",
        [
            *lines,
            f"octets = f\"{written}\".encode('latin-1')",
            "return octets + write_tlvs(body.tlvs) if body.tlvs else octets",
        ],
        known,
    )


def function(argument: str, lines: list[str], known: dict[str, Any]) -> Callable[..., Any]:
    """A function of these lines, which are all ours: nothing that arrives gets into them."""
    exec("\n    ".join((f"def made({argument}):", *lines)), known)
    made: Callable[..., Any] = known["made"]
    return made


def read_address(octets: bytes, place: int) -> tuple[str, int]:
    end = octets.find(0, place, place + ADDRESS_MAX)
    if end < 0:
        raise BadField("destination", f"no end within {ADDRESS_MAX} octets")
    return octets[place:end].decode("latin-1"), end + 1


def read_destinations(octets: bytes, place: int) -> tuple[tuple[Address | str, ...], int]:
    count, place = octets[place], place + 1
    if count > DESTINATIONS_MAX:
        raise BadField("destinations", fault_of_count(count))
    found: list[Address | str] = []
    for _ in range(count):
        flag, place = octets[place], place + 1
        if flag == IS_ADDRESS:
            value, end = read_address(octets, place + 2)
            found.append(Address(octets[place], octets[place + 1], value))
        elif flag == IS_LIST:
            value, end = read_address(octets, place)
            found.append(value)
        else:
            raise BadField("dest_flag", f"{flag} is unknown")
        place = end
    return tuple(found), place


def write_destinations(destinations: tuple[Address | str, ...]) -> str:
    if Destinations().fault(destinations):
        raise ValueError
    written = (
        f"{chr(IS_LIST)}{one}\0"
        if isinstance(one, str)
        else f"{chr(IS_ADDRESS)}{chr(one.ton)}{chr(one.npi)}{one.value}\0"
        for one in destinations
    )
    return chr(len(destinations)) + "".join(written)


STATUS: Final = Layout(">I")


def read_failures(octets: bytes, place: int) -> tuple[tuple[Unsuccessful, ...], int]:
    count, place = octets[place], place + 1
    found = []
    for _ in range(count):
        value, end = read_address(octets, place + 2)
        (status,) = STATUS.unpack_from(octets, end)
        found.append(Unsuccessful(Address(octets[place], octets[place + 1], value), status))
        place = end + STATUS.size
    return tuple(found), place


def write_failures(failures: tuple[Unsuccessful, ...]) -> str:
    if Failures().fault(failures):
        raise ValueError
    written = (
        f"{chr(one.address.ton)}{chr(one.address.npi)}{one.address.value}\0{STATUS.pack(one.status).decode('latin-1')}"
        for one in failures
    )
    return chr(len(failures)) + "".join(written)
