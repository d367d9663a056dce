"""Which alphabet a text needs on air, how many units it takes there, and how it becomes octets and text again.

Two kinds of alphabet exist (3GPP TS 23.038): tables of septets (the GSM default alphabet, or national language tables
in its place) and UCS-2, which is sent as UTF-16BE so that every character can travel. `choose` finds the cheapest.

Octets are *unpacked* here, one septet in each, as SMPP carries them; `pack` and `unpack` make the seven-bit stream of
the air interface. Encoding is strict, since `choose` has found an alphabet that fits; decoding takes any octets at all.
Whole-string operations of the interpreter do the work: a plain text is chosen and counted in about a microsecond.
"""

import codecs
import functools
import operator
import re
from collections.abc import Sequence
from typing import Final

USER_DATA_OCTETS: Final = 140  # 3GPP TS 23.040 9.2.3.24: all that one short message carries, header included

IEI_SINGLE_SHIFT: Final = 0x24  # TS 23.040 9.2.3.24.15
IEI_LOCKING_SHIFT: Final = 0x25  # TS 23.040 9.2.3.24.16

_ESCAPE: Final = 0x1B
_ESCAPED_CODE: Final = re.compile(rb"\x1b(?s:(.?))")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SEVEN_BITS: Final = [f"{octet & 0x7F:07b}" for octet in range(256)]

# Rows of sixteen codes, 0x00 first: TS 23.038 6.2.1. The escape stands in its own place, 0x1B.
_DEFAULT_TABLE: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_TURKISH_TABLE: Final = (  # TS 23.038 A.3.1
    "@£$¥€éùıòÇ\nĞğ\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "İABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "çabcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_PORTUGUESE_TABLE: Final = (  # TS 23.038 A.3.3
    "@£$¥êéúíóç\nÔô\rÁá"
    "Δ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ"
    " !\"#º%&'()*+,-./"
    "0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÃÕÚÜ§"
    "~abcdefghijklmno"
    "pqrstuvwxyzãõ`üà"
)

# Codes behind the escape: TS 23.038 6.2.1.1 (the default extension) and A.2.1 to A.2.3, which all contain it.
_DEFAULT_EXTENSION: Final = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€",
}  # fmt: skip
_TURKISH_EXTENSION: Final = _DEFAULT_EXTENSION | {
    0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş",
}  # fmt: skip
_SPANISH_EXTENSION: Final = _DEFAULT_EXTENSION | {
    0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú",
}  # fmt: skip
_PORTUGUESE_EXTENSION: Final = _DEFAULT_EXTENSION | {
    0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x12: "Φ", 0x13: "Γ", 0x15: "Ω", 0x16: "Π",
    0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x5B: "Ã", 0x5C: "Õ",
    0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â",
}  # fmt: skip

# National language identifiers, TS 23.038 6.2.1.2.4; 0 is the default table. Spanish has no locking table.
_LANGUAGE_IDS: Final = {"tr": 1, "es": 2, "pt": 3}
_LOCKING_TABLES: Final = {0: _DEFAULT_TABLE, 1: _TURKISH_TABLE, 3: _PORTUGUESE_TABLE}
_EXTENSIONS: Final = {
    0: _DEFAULT_EXTENSION,
    1: _TURKISH_EXTENSION,
    2: _SPANISH_EXTENSION,
    3: _PORTUGUESE_EXTENSION,
}


def choose(text: str, languages: Sequence[str] = (), *, wide: bool = False) -> "Alphabet":
    """The alphabet that carries the whole text in the fewest segments.

    GSM default where it suffices. `languages` ("tr", "es", "pt"; others are ignored) are those whose national tables
    the carrier lets through: one is taken only if it needs fewer segments than UCS-2. `wide` says that segments carry
    16-bit references. A text with lone surrogates gets UCS-2, where they become U+FFFD.
    """
    if GSM.units(text) is not None:
        return GSM
    if not languages:
        return UCS2
    candidates: tuple[Alphabet, ...] = (UCS2, *national_alphabets(tuple(languages)))
    counted = [(segments_on_air(text, alphabet, wide=wide), alphabet) for alphabet in candidates]
    return min(((segments, alphabet) for segments, alphabet in counted if segments), key=operator.itemgetter(0))[1]


def segments_on_air(text: str, alphabet: "Alphabet", *, wide: bool = False) -> int | None:
    """How many segments the text takes in that alphabet; None when a character is missing there."""
    units = alphabet.units(text)
    if units is None:
        return None
    if units <= room(alphabet):
        return 1
    return division(text, alphabet, units, room(alphabet, concatenation_octets(wide=wide)))


def division(text: str, alphabet: "Alphabet", units: int, each: int) -> int:
    """How many parts of at most `each` units hold the text of that many units when no character is cut."""
    if units == len(text):  # every character is one unit, so no border can fall into one
        return -(-units // each)
    return len(pieces(alphabet, alphabet.encode(text), each))


class NotInAlphabet(ValueError):
    """The text has a character that this alphabet cannot carry."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class _Codes(dict[int, str]):
    """Code point -> one septet, or escape and septet; the main table wins where both have a character."""

    def __init__(self, main: str, extension: dict[int, str]) -> None:
        super().__init__({ord(character): "\x1b" + chr(code) for code, character in extension.items()})
        self.update({ord(character): chr(code) for code, character in enumerate(main) if code != _ESCAPE})

    def __missing__(self, code_point: int) -> str:
        raise NotInAlphabet


class SeptetAlphabet:
    """A table of 128 septets and the table behind its escape, each with its language identifier (0: the default)."""

    bits: Final = 7  # of one unit on air
    unit_octets: Final = 1  # of one unit encoded

    def __init__(self, *, locking: int = 0, single: int = 0) -> None:
        self.locking: Final = locking
        self.single: Final = single
        self._main: Final = _LOCKING_TABLES[locking]
        self._extension: Final = _EXTENSIONS[single]
        self._codes: Final = _Codes(self._main, self._extension)
        simple = "".join(chr(point) for point, code in self._codes.items() if len(code) == 1)
        shifted = "".join(chr(point) for point, code in self._codes.items() if len(code) == 2)
        self._simple_ascii: Final = simple.encode("ascii", "ignore")
        self._shifted_ascii: Final = shifted.encode("ascii", "ignore")
        self._from_ascii: Final = bytes(ord(self._codes.get(point, "\0")[-1]) for point in range(256))
        self._carries: Final = re.compile(f"[{re.escape(simple + shifted)}]*+").fullmatch
        self._shifted: Final = re.compile(f"[{re.escape(shifted)}]").findall

    def __repr__(self) -> str:
        return f"SeptetAlphabet(locking={self.locking}, single={self.single})"

    def units(self, text: str) -> int | None:
        """Septets the text takes, two for a character behind the escape; None when a character is missing."""
        if text.isascii():
            unusual = text.encode("ascii").translate(None, self._simple_ascii)
            if unusual and unusual.translate(None, self._shifted_ascii):
                return None
            return len(text) + len(unusual)
        return len(text) + len(self._shifted(text)) if self._carries(text) else None

    def elements(self) -> tuple[tuple[int, bytes], ...]:
        """The information elements every segment carries: the languages of its tables."""
        shifts = ((IEI_SINGLE_SHIFT, self.single), (IEI_LOCKING_SHIFT, self.locking))
        return tuple((identifier, bytes((language,))) for identifier, language in shifts if language)

    def encode(self, text: str) -> bytes:
        """One septet in each octet; raises NotInAlphabet for a text whose `units` are None."""
        if text.isascii():
            octets = text.encode("ascii")
            if not octets.translate(None, self._simple_ascii):
                return octets.translate(self._from_ascii)
        return text.translate(self._codes).encode("latin-1")

    def decode(self, octets: bytes) -> str:
        """The text of any octets: above 0x7F stands U+FFFD; an undefined escape is read as TS 23.038 says."""
        if _ESCAPE not in octets:
            return self._decode_main(octets)
        parts = _ESCAPED_CODE.split(octets)  # main, code, main, code, ... main
        parts_text = [
            self._decode_escaped(part) if place % 2 else self._decode_main(part) for place, part in enumerate(parts)
        ]
        return "".join(parts_text)

    def ends_inside_character(self, octets: bytes) -> bool:
        """Whether these septets end between an escape and its code. No code is itself an escape, so one look tells."""
        return octets[-1] == _ESCAPE

    def _decode_main(self, octets: bytes) -> str:
        return codecs.charmap_decode(octets, "replace", self._main)[0]

    def _decode_escaped(self, code: bytes) -> str:
        # 6.2.1.1: an undefined code shows the character of the main table; a second escape, or none, shows a blank.
        if code in (b"", b"\x1b"):
            return " "
        return self._extension.get(code[0]) or self._decode_main(code)


class Ucs2Alphabet:
    """All of Unicode as UTF-16BE: a superset of UCS-2 that handsets display. A lone surrogate becomes U+FFFD."""

    bits: Final = 16
    unit_octets: Final = 2

    def __repr__(self) -> str:
        return "Ucs2Alphabet()"

    def units(self, text: str) -> int:
        """UTF-16 code units the text takes, two for a character beyond U+FFFF."""
        return len(text.encode("utf-16-be", "surrogatepass")) // 2

    def elements(self) -> tuple[tuple[int, bytes], ...]:
        """The information elements every segment carries: none."""
        return ()

    def encode(self, text: str) -> bytes:
        """Two octets for each unit; never fails."""
        try:
            return text.encode("utf-16-be")
        except UnicodeEncodeError:
            return _LONE_SURROGATE.sub("\ufffd", text).encode("utf-16-be")

    def decode(self, octets: bytes) -> str:
        """The text of any octets: U+FFFD stands for half a surrogate pair and for an odd last octet."""
        return octets.decode("utf-16-be", "replace")

    def ends_inside_character(self, octets: bytes) -> bool:
        """Whether these units end between the halves of a surrogate pair."""
        return 0xD8 <= octets[-2] <= 0xDB


Alphabet = SeptetAlphabet | Ucs2Alphabet


@functools.cache
def room(alphabet: Alphabet, concatenation_octets: int = 0) -> int:
    """Units that fit into one segment behind its header, whose concatenation element takes that many octets.

    160 septets or 70 UCS-2 units alone; 153 or 67 with an 8-bit reference, 152 or 66 with 16 bits.
    """
    elements_octets = concatenation_octets + sum(2 + len(value) for _, value in alphabet.elements())
    header_octets = 1 + elements_octets if elements_octets else 0  # one tells the length: TS 23.040 9.2.3.24
    return (USER_DATA_OCTETS - header_octets) * 8 // alphabet.bits


def concatenation_octets(*, wide: bool) -> int:
    """Octets of the concatenation element: identifier, length, reference of 8 or 16 (`wide`) bits, total, index."""
    return 6 if wide else 5


def pieces(alphabet: Alphabet, octets: bytes, room_units: int) -> list[bytes]:
    """The encoded text in pieces of at most `room_units` (two or more), none of which ends inside a character."""
    room_octets = room_units * alphabet.unit_octets
    found, start = [], 0
    while len(octets) - start > room_octets:
        end = start + room_octets
        if alphabet.ends_inside_character(octets[start:end]):
            end -= alphabet.unit_octets
        found.append(octets[start:end])
        start = end
    return [*found, octets[start:]]


def pack(septets: bytes, fill_bits: int = 0) -> bytes:
    """Septets as the seven-bit stream of TS 23.038 6.1.2.1, behind `fill_bits` zero bits (TS 23.040 9.2.3.24)."""
    bits = "".join(map(_SEVEN_BITS.__getitem__, reversed(septets)))
    octets_count = (len(bits) + fill_bits + 7) // 8
    return (int(bits or "0", 2) << fill_bits).to_bytes(octets_count, "little")


def unpack(octets: bytes, septets_count: int, fill_bits: int = 0) -> bytes:
    """The septets of a packed stream, at most `septets_count`, and fewer when the octets do not hold as many."""
    septets_count = max(0, min(septets_count, (len(octets) * 8 - fill_bits) // 7))
    stream = int.from_bytes(octets, "little") >> fill_bits & (1 << 7 * septets_count) - 1
    bits = f"{stream:0{7 * septets_count}b}"
    return bytes(int(bits[end - 7 : end], 2) for end in range(7 * septets_count, 0, -7))


def fill_bits_behind(header_octets: int) -> int:
    """Zero bits that lead from a header to the next septet boundary: TS 23.040 9.2.3.24."""
    return -header_octets * 8 % 7


def septet_alphabet(locking: int = 0, single: int = 0) -> SeptetAlphabet:
    """The alphabet a segment's national language elements name; an unknown language reads as the default table."""
    return _built(locking if locking in _LOCKING_TABLES else 0, single if single in _EXTENSIONS else 0)


@functools.cache
def _built(locking: int, single: int) -> SeptetAlphabet:
    return SeptetAlphabet(locking=locking, single=single)


@functools.lru_cache(maxsize=64)
def national_alphabets(languages: tuple[str, ...]) -> tuple[SeptetAlphabet, ...]:
    """Every pairing of the allowed tables, smallest header first, so that the smallest wins among equals."""
    allowed = [_LANGUAGE_IDS[language] for language in languages if language in _LANGUAGE_IDS]
    lockings = [language for language in allowed if language in _LOCKING_TABLES]
    pairings = {(locking, single) for locking in (0, *lockings) for single in (0, *allowed)} - {(0, 0)}
    return tuple(_built(*pairing) for pairing in sorted(pairings, key=lambda pairing: (all(pairing), pairing)))


GSM: Final = septet_alphabet()
UCS2: Final = Ucs2Alphabet()
