"""How many segments a text costs, where it is cut for the air, and how segments that arrive become the text again.

Counting follows a `SegmentTable`, plain data: each provider has its own. Cutting follows the standard alone: user data
headers of 3GPP TS 23.040 9.2.3.24 with references of 8 bits, or of 16 (`wide`), and national language elements. The
tables of `standard_table` agree with the cut exactly. Reading is lenient, as 9.2.3.24 asks: what is malformed in a
header is ignored, and its text still arrives.
"""

import functools
import itertools
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from chappe.sms.alphabets import (
    GSM,
    IEI_LOCKING_SHIFT,
    IEI_SINGLE_SHIFT,
    UCS2,
    Alphabet,
    SeptetAlphabet,
    choose,
    concatenation_octets,
    division,
    fill_bits_behind,
    national_alphabets,
    pack,
    pieces,
    room,
    septet_alphabet,
)

SEGMENTS_MAX: Final = 255  # the total is one octet
IEI_CONCATENATION: Final = 0x00  # TS 23.040 9.2.3.24.1
IEI_CONCATENATION_WIDE: Final = 0x08  # TS 23.040 9.2.3.24.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one kind of text is counted.

    `limits` are the greatest lengths of 1, 2, 3 ... segments; a longer text counts `each` a segment, or is too long
    where `each` is 0. Lengths are units of `alphabet`, whose two-unit characters are then never cut; or, without one,
    characters.
    """

    limits: tuple[int, ...]
    each: int = 0
    alphabet: Alphabet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTable:
    """A provider's way of counting: `classify` names the kind of a text, `rows` says how that kind is counted."""

    classify: Callable[[str], Hashable]
    rows: Mapping[Hashable, Row]
    segments_max: int = SEGMENTS_MAX


def count(text: str, table: SegmentTable) -> int | None:
    """Segments the text costs by that table, at least 1; None when it is longer than the table allows."""
    row = table.rows[table.classify(text)]
    units = len(text) if row.alphabet is None else row.alphabet.units(text)
    if units is None:
        return None
    if units <= row.limits[-1]:
        segments = bisect_left(row.limits, units) + 1
    elif not row.each:
        return None
    elif row.alphabet is None:
        segments = -(-units // row.each)
    else:
        segments = division(text, row.alphabet, units, row.each)
    return segments if segments <= table.segments_max else None


def standard_table(languages: Sequence[str] = (), *, wide: bool = False) -> SegmentTable:
    """The counting of TS 23.040: 160 then 153 septets, 70 then 67 UCS-2 units; or 152 and 66 with `wide` references."""
    each_octets = concatenation_octets(wide=wide)
    alphabets: tuple[Alphabet, ...] = (GSM, UCS2, *national_alphabets(tuple(languages)))
    return SegmentTable(
        classify=functools.partial(choose, languages=languages, wide=wide) if languages else choose,
        rows={
            alphabet: Row(limits=(room(alphabet),), each=room(alphabet, each_octets), alphabet=alphabet)
            for alphabet in alphabets
        },
    )


STANDARD: Final = standard_table()


class TextTooLong(ValueError):
    """The text needs more than 255 segments."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which segment of which message this is. `index` counts from 1; `wide` tells a 16-bit reference from one of 8."""

    reference: int
    total: int
    index: int
    wide: bool = False

    @property
    def message(self) -> tuple[bool, int, int]:
        """What the segments of one message between the same two numbers have in common."""
        return self.wide, self.reference, self.total

    @property
    def element(self) -> tuple[int, bytes]:
        """The information element: TS 23.040 9.2.3.24.1, or .8 when wide."""
        if self.wide:
            return IEI_CONCATENATION_WIDE, self.reference.to_bytes(2) + bytes((self.total, self.index))
        return IEI_CONCATENATION, bytes((self.reference, self.total, self.index))


class Segment(NamedTuple):
    """One short message on air: its header (with the length octet; empty without elements) and its encoded text."""

    concatenation: Concatenation | None
    alphabet: Alphabet
    header: bytes
    octets: bytes

    @property
    def text(self) -> str:
        return self.alphabet.decode(self.octets)

    @property
    def user_data(self) -> bytes:
        """At most 140 octets as the air carries them, septets packed behind their fill bits: TS 23.040 9.2.3.24."""
        if isinstance(self.alphabet, SeptetAlphabet):
            return self.header + pack(self.octets, fill_bits_behind(len(self.header)))
        return self.header + self.octets


def cut(text: str, alphabet: Alphabet, *, reference: int, wide: bool = False) -> tuple[Segment, ...]:
    """The text as segments, at least one. Of the reference the lowest 8 bits are used, or 16 when `wide`.

    Raises TextTooLong beyond 255 segments, and NotInAlphabet for a text that `alphabet` does not carry: ask `choose`.
    """
    octets = alphabet.encode(text)
    if len(octets) <= room(alphabet) * alphabet.unit_octets:
        return (Segment(None, alphabet, _header(alphabet.elements()), octets),)
    parts = pieces(alphabet, octets, room(alphabet, concatenation_octets(wide=wide)))
    if len(parts) > SEGMENTS_MAX:
        raise TextTooLong
    reference &= 0xFFFF if wide else 0xFF
    places = [Concatenation(reference, len(parts), index, wide) for index in range(1, len(parts) + 1)]
    return tuple(
        Segment(place, alphabet, _header((place.element, *alphabet.elements())), part)
        for place, part in zip(places, parts, strict=True)
    )


def _header(elements: tuple[tuple[int, bytes], ...]) -> bytes:
    encoded = b"".join(bytes((identifier, len(value))) + value for identifier, value in elements)
    return bytes((len(encoded),)) + encoded if encoded else b""


class Readable(Protocol):
    """An alphabet one can read: ours, or another that a link brings along."""

    @property
    def unit_octets(self) -> int: ...

    def decode(self, octets: bytes, /) -> str: ...


class Arrived(NamedTuple):
    """One received segment without its header."""

    concatenation: Concatenation | None
    alphabet: Readable
    octets: bytes


def read(user_data: bytes, alphabet: Readable, *, has_header: bool) -> Arrived:
    """The segment in unpacked user data; its header may name national tables in place of the GSM default.

    Any octets are read. A header longer than the user data is no header: all of it is text.
    """
    size = 1 + user_data[0] if has_header and user_data else 0
    if size > len(user_data):
        size = 0
    elements = _elements(user_data[1:size])
    if alphabet is GSM:
        alphabet = septet_alphabet(_language(elements, IEI_LOCKING_SHIFT), _language(elements, IEI_SINGLE_SHIFT))
    return Arrived(_concatenation(elements), alphabet, user_data[size:])


def _elements(encoded: bytes) -> dict[int, bytes]:
    """Information elements by identifier, the last of its kind; none at all if the lengths do not add up: 9.2.3.24."""
    elements: dict[int, bytes] = {}
    place = 0
    while place < len(encoded):
        end = place + 2 + encoded[place + 1] if place + 1 < len(encoded) else place + 2
        if end > len(encoded):
            return {}
        elements.pop(encoded[place], None)
        elements[encoded[place]] = encoded[place + 2 : end]
        place = end
    return elements


def _concatenation(elements: Mapping[int, bytes]) -> Concatenation | None:
    """The last valid concatenation element; one with total 0 or an index beyond it is ignored: 9.2.3.24.1."""
    found = None
    for identifier, value in elements.items():
        wide = identifier == IEI_CONCATENATION_WIDE
        if (wide and len(value) == 4) or (identifier == IEI_CONCATENATION and len(value) == 3):
            *reference, total, index = value
            if 1 <= index <= total:
                found = Concatenation(int.from_bytes(reference), total, index, wide)
    return found


def _language(elements: Mapping[int, bytes], identifier: int) -> int:
    value = elements.get(identifier, b"")
    return value[0] if len(value) == 1 else 0


def join(arrived: Iterable[Arrived]) -> str | None:
    """The whole text, or None while a segment is missing.

    Segments come in any order. The first tells which message is joined: those of another message, and second copies,
    are left out. Octets are joined before they are decoded, because some phones cut inside a character.
    """
    segments = list(arrived)
    if not segments:
        return None
    first = segments[0].concatenation
    if first is None:
        return segments[0].alphabet.decode(segments[0].octets)
    by_index: dict[int, Arrived] = {}
    for segment in segments:
        if segment.concatenation is not None and segment.concatenation.message == first.message:
            by_index.setdefault(segment.concatenation.index, segment)
    if len(by_index) < first.total:
        return None
    in_order = [by_index[index] for index in range(1, first.total + 1)]
    return "".join(
        decode_run(alphabet, [segment.octets for segment in run])
        for alphabet, run in itertools.groupby(in_order, key=lambda segment: segment.alphabet)
    )


def decode_run(alphabet: Readable, run: Sequence[bytes]) -> str:
    """The text of segments that follow each other, whose octets are joined first."""
    if any(len(octets) % alphabet.unit_octets for octets in run):
        return "".join(map(alphabet.decode, run))  # half a unit would shift everything behind it
    return alphabet.decode(b"".join(run))
