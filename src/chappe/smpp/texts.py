"""Texts and octets as SMPP carries them: what a data_coding means, user data headers, and how a long message is cut.

Reading goes from octets to a `Content`: the octets without their header, and the charset they are in. Octets stay
octets until somebody asks for the text, because the parts of a long message are joined before they are decoded: phones
cut inside a character. Writing goes from a text, or from octets as they go on air, to the `Piece`s that are sent.

data_coding is read as SMPP 3.4 5.2.19 has it; the groups that it leaves to GSM as 3GPP TS 23.038 4 does. What 0 means
depends on the link and is a charset by its name:

    gsm          GSM default alphabet, one septet in each octet
    gsm-packed   the same, eight septets in seven octets, behind a header with its fill bits (TS 23.040 9.2.3.24)
    latin-1, ascii, windows-1252, ucs-2 and the further names of CODECS
"""

import codecs
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from chappe.smpp.pdu import Status
from chappe.smpp.tlv import Tag, Tlvs, find, find_number, number
from chappe.sms.alphabets import (
    GSM,
    UCS2,
    USER_DATA_OCTETS,
    Alphabet,
    SeptetAlphabet,
    choose,
    fill_bits_behind,
    pack,
    septet_alphabet,
    unpack,
)
from chappe.sms.segments import (
    IEI_CONCATENATION,
    IEI_CONCATENATION_WIDE,
    SEGMENTS_MAX,
    Concatenation,
    Readable,
    cut,
    decode_run,
)
from chappe.sms.segments import read as read_segment

GSM_UNPACKED: Final = "gsm"
GSM_PACKED: Final = "gsm-packed"
UCS_2: Final = "ucs-2"
OCTETS: Final = "octets"  # no text at all
DEFAULT: Final = ""  # whatever data_coding 0 means on the link

HAS_HEADER: Final = 0x40  # esm_class: the message begins with a user data header (5.2.12)
IEI_PORTS: Final = frozenset({0x04, 0x05})  # application port addressing, 8 and 16 bits: TS 23.040 9.2.3.24.3 and .4
IEI_PORTS_WIDE: Final = 0x05
CONCATENATIONS: Final = frozenset({IEI_CONCATENATION, IEI_CONCATENATION_WIDE})
ELEMENT_OCTETS: Final = 5  # of a concatenation with a reference of 8 bits


class Codec:
    """A charset that the interpreter knows; what it cannot read becomes U+FFFD."""

    unit_octets: Final = 1  # as far as a header can cut

    def __init__(self, name: str, *, strict: str = "") -> None:
        self._codec: Final = codecs.lookup(name)
        self._strict: Final = codecs.lookup(strict or name)  # in which we write

    def __repr__(self) -> str:
        return f"Codec({self._codec.name})"

    def decode(self, octets: bytes, /) -> str:
        return self._codec.decode(octets, "replace")[0]

    def encode(self, text: str) -> bytes | None:
        """None where a character is missing."""
        try:
            return self._strict.encode(text)[0]
        except UnicodeEncodeError:
            return None


CODECS: Final[dict[str, Codec]] = {
    "ascii": Codec("latin-1", strict="ascii"),  # IA5 has seven bits; those who put Latin-1 into eight are understood
    "latin-1": Codec("latin-1"),
    "latin-9": Codec("iso8859-15"),
    "windows-1252": Codec("cp1252"),
    "cyrillic": Codec("iso8859-5"),
    "hebrew": Codec("iso8859-8"),
    "shift-jis": Codec("shift_jis"),
    "iso-2022-jp": Codec("iso2022_jp_1"),
    "korean": Codec("euc_kr"),
    "utf-8": Codec("utf-8"),
}
CHARSETS: Final = (GSM_UNPACKED, GSM_PACKED, UCS_2, *CODECS)  # that data_coding 0 may mean


class Coded(NamedTuple):
    """What a data_coding says."""

    charset: str
    is_flash: bool = False


def _coded(data_coding: int) -> Coded | None:
    simple = {
        0x00: DEFAULT,
        0x01: "ascii",
        0x02: OCTETS,
        0x03: "latin-1",
        0x04: OCTETS,
        0x05: "shift-jis",
        0x06: "cyrillic",
        0x07: "hebrew",
        0x08: UCS_2,
        0x09: "shift-jis",  # pictograms stand beyond it
        0x0A: "iso-2022-jp",
        0x0D: "iso-2022-jp",
        0x0E: "korean",
    }
    group = data_coding >> 4
    if group == 0x0:
        charset = simple.get(data_coding)
        return Coded(charset) if charset is not None else None
    if group in (0x1, 0x4, 0x5):  # general, not compressed; 1 and 5 with a message class
        kind = (DEFAULT, OCTETS, UCS_2, None)[data_coding >> 2 & 3]
        is_class_0 = data_coding & 0x13 == 0x10
        return Coded(kind, is_class_0 and kind != OCTETS) if kind is not None else None
    if group in (0xC, 0xD):  # message waiting, in the default alphabet
        return Coded(DEFAULT)
    if group == 0xE:  # the same in UCS-2
        return Coded(UCS_2)
    if group == 0xF:  # default alphabet or octets, with a class
        return Coded(OCTETS) if data_coding & 4 else Coded(DEFAULT, not data_coding & 3)
    return None


CODINGS: Final[tuple[Coded | None, ...]] = tuple(map(_coded, range(256)))


@lru_cache(maxsize=256)
def charset_named(name: str) -> Readable:
    """The charset a `Content` names; national language tables of GSM are called gsm:LOCKING:SINGLE."""
    if name.startswith("gsm:"):
        locking, _, single = name[4:].partition(":")
        return septet_alphabet(int(locking), int(single))
    if name in (GSM_UNPACKED, GSM_PACKED):
        return GSM
    return UCS2 if name == UCS_2 else CODECS.get(name) or CODECS["latin-1"]


# Reading


class Content(NamedTuple):
    """What one PDU carries: of a long message, one part of it."""

    octets: bytes  # without the header, septets unpacked
    charset: str  # a name for `charset_named`, or OCTETS
    is_flash: bool = False
    concatenation: Concatenation | None = None
    elements: bytes = b""  # of octets: the information elements of the header besides the concatenation

    @property
    def is_text(self) -> bool:
        return self.charset != OCTETS

    @property
    def text(self) -> str:
        return charset_named(self.charset).decode(self.octets)


def read(
    short_message: bytes, *, data_coding: int, esm_class: int, tlvs: Tlvs, charset: str, is_strict: bool
) -> Content | Status:
    """What a submit_sm, deliver_sm or data_sm carries, or what is wrong with it. `charset` is what data_coding 0 means.

    Who is not strict understands what can be understood: an unknown coding is read as the default alphabet, and of a
    message in two places the payload counts.
    """
    coded = CODINGS[data_coding]
    if coded is None:
        if is_strict:
            return Status.INVALID_DATA_CODING
        coded = Coded(DEFAULT)
    named = coded.charset or charset
    if not tlvs and not esm_class & HAS_HEADER and named != GSM_PACKED:
        return Content(short_message, named, coded.is_flash)
    payload = find(tlvs, Tag.MESSAGE_PAYLOAD)
    if payload is not None:
        if short_message and payload and is_strict:
            return Status.PARAMETER_NOT_ALLOWED
        short_message = payload or short_message
    has_header = bool(esm_class & HAS_HEADER)
    if has_header and (not short_message or short_message[0] >= len(short_message)):
        if is_strict:
            return Status.INVALID_ESM_CLASS
        has_header = False
    is_flash = coded.is_flash or find_number(tlvs, Tag.DESTINATION_SUBUNIT) == DISPLAY
    if named == OCTETS:
        return _read_octets(short_message, has_header, tlvs)
    return _read_text(short_message, named, has_header, tlvs, is_flash, is_strict)


DISPLAY: Final = 1  # dest_addr_subunit: the phone's display, which is what class 0 is (5.3.2.1)


def _read_text(
    user_data: bytes, charset: str, has_header: bool, tlvs: Tlvs, is_flash: bool, is_strict: bool
) -> Content | Status:
    if charset == GSM_PACKED:
        user_data, charset = unpacked(user_data, has_header), GSM_UNPACKED
    arrived = read_segment(user_data, charset_named(charset), has_header=has_header)
    if is_strict and (find(tlvs, Tag.DESTINATION_PORT) is not None or (has_header and _names_ports(user_data))):
        return Status.INVALID_DATA_CODING  # for a program on the phone: a text would be shown to its owner instead
    alphabet = arrived.alphabet
    if isinstance(alphabet, SeptetAlphabet) and alphabet is not GSM:
        charset = f"gsm:{alphabet.locking}:{alphabet.single}"
    return Content(arrived.octets, charset, is_flash, arrived.concatenation or sar_of(tlvs))


def _read_octets(user_data: bytes, has_header: bool, tlvs: Tlvs) -> Content:
    arrived = read_segment(user_data, CODECS["latin-1"], has_header=has_header)
    elements = elements_of(user_data[1 : len(user_data) - len(arrived.octets)]) or ()
    written = b"".join(
        bytes((identifier, len(value))) + value for identifier, value in elements if identifier not in CONCATENATIONS
    )
    destination, source = find(tlvs, Tag.DESTINATION_PORT), find(tlvs, Tag.SOURCE_PORT)
    if destination is not None and not any(identifier in IEI_PORTS for identifier, _ in elements):
        written += bytes((IEI_PORTS_WIDE, 4)) + destination.rjust(2, b"\0")[-2:] + (source or b"").rjust(2, b"\0")[-2:]
    return Content(arrived.octets, OCTETS, False, arrived.concatenation or sar_of(tlvs), written)


def _names_ports(user_data: bytes) -> bool:
    return any(identifier in IEI_PORTS for identifier, _ in elements_of(user_data[1 : 1 + user_data[0]]) or ())


def sar_of(tlvs: Tlvs) -> Concatenation | None:
    """Which part of a long message sar_* say that this is; without all three there is none (5.3.2.22 to .24)."""
    if not tlvs:
        return None
    reference, total, index = (find_number(tlvs, tag) for tag in (Tag.SAR_REFERENCE, Tag.SAR_TOTAL, Tag.SAR_POSITION))
    if reference is None or total is None or index is None or not 1 <= index <= total <= SEGMENTS_MAX:
        return None
    return Concatenation(reference & 0xFFFF, total, index, wide=True)


def elements_of(encoded: bytes) -> list[tuple[int, bytes]] | None:
    """The information elements of a header without its length; None where their lengths do not add up."""
    elements, place = [], 0
    while place < len(encoded):
        end = place + 2 + encoded[place + 1] if place + 1 < len(encoded) else len(encoded) + 1
        if end > len(encoded):
            return None
        elements.append((encoded[place], encoded[place + 2 : end]))
        place = end
    return elements


def unpacked(user_data: bytes, has_header: bool) -> bytes:
    """Packed septets, one in each octet behind their header. Octets alone do not tell whether the last seven bits are a
    septet or were left over: nothing (@) and a carriage return (TS 23.038 6.1.2.3.1) are taken for the latter."""
    size = 1 + user_data[0] if has_header else 0
    fill_bits = fill_bits_behind(size)
    septets = unpack(user_data[size:], 8 * len(user_data), fill_bits)
    if septets and (8 * (len(user_data) - size) - fill_bits) % 7 == 0 and septets[-1] in (0x00, 0x0D):
        septets = septets[:-1]
    return user_data[:size] + septets


def packed(septets: bytes, header: bytes = b"") -> bytes:
    """Septets packed behind a header; a whole septet of room that is left is a carriage return."""
    fill_bits = fill_bits_behind(len(header))
    if (len(septets) * 7 + fill_bits) % 8 == 1:
        septets += b"\r"
    return header + pack(septets, fill_bits)


def joined(parts: Sequence[Content]) -> Content:
    """Parts that follow each other as one. Those in the same charset are joined before they are decoded; where they
    differ, the whole is UCS-2, which every text is in."""
    first = parts[0]
    unit_octets = charset_named(first.charset).unit_octets
    if all(part.charset == first.charset and not len(part.octets) % unit_octets for part in parts):
        return first._replace(octets=b"".join(part.octets for part in parts), concatenation=None)
    runs = [
        decode_run(charset_named(charset), [part.octets for part in run])
        for charset, run in groupby(parts, key=lambda part: part.charset)
    ]
    return Content(UCS2.encode("".join(runs)), UCS_2, first.is_flash)


# Writing


class Piece(NamedTuple):
    """What one PDU shall carry."""

    octets: bytes
    is_ucs2: bool = False
    has_header: bool = False
    tlvs: Tlvs = ()
    is_payload: bool = False  # it goes into message_payload, short_message stays empty


SEPTETS_MAX: Final = 160  # of one segment without a header
LONG: Final = ("udh", "sar", "payload")  # how a long message may be cut, or not


def pieces_of(
    text: str,
    *,
    charset: str = GSM_UNPACKED,
    long: str = "udh",
    reference: int = 0,
    is_wide: bool = False,
    languages: tuple[str, ...] = (),
) -> tuple[Piece, ...]:
    """A text as it is sent over a link whose plain texts are in `charset`; what that has not goes in UCS-2. Of the
    reference the lowest 8 bits are used, or 16 when wide or in sar_*.

    Raises TextTooLong beyond 255 parts.
    """
    if charset == GSM_UNPACKED and (GSM.units(text) or SEPTETS_MAX + 1) <= SEPTETS_MAX:
        return (Piece(GSM.encode(text)),)  # as most are
    alphabet = alphabet_for(text, charset, languages if long == "udh" else (), is_wide)
    segments = cut(text, alphabet, reference=reference, wide=is_wide)
    if long == "payload" and len(segments) > 1:
        return (Piece(_on_link(b"", alphabet.encode(text), alphabet, charset), alphabet is UCS2, is_payload=True),)
    if long == "sar" and len(segments) > 1:
        return tuple(
            Piece(_on_link(b"", octets, alphabet, charset), alphabet is UCS2, tlvs=_sar(place, reference))
            for place, _, _, octets in segments
        )
    return tuple(
        Piece(_on_link(header, octets, alphabet, charset), alphabet is UCS2, bool(header))
        for _, _, header, octets in segments
    )


def alphabet_for(text: str, charset: str, languages: tuple[str, ...] = (), is_wide: bool = False) -> Alphabet:
    """In what a text is cut: as it will go on air, so long as the link can say it so."""
    if charset in (GSM_UNPACKED, GSM_PACKED):
        return choose(text, languages, wide=is_wide)
    codec = CODECS.get(charset)
    is_plain = codec is not None and GSM.units(text) is not None and codec.encode(text) is not None
    return GSM if is_plain else UCS2


def _on_link(header: bytes, octets: bytes, alphabet: Alphabet, charset: str) -> bytes:
    if charset == GSM_UNPACKED or alphabet is UCS2:
        return header + octets
    if charset == GSM_PACKED:
        return packed(octets, header)
    return header + (CODECS[charset].encode(alphabet.decode(octets)) or b"")


def _sar(place: Concatenation | None, reference: int) -> Tlvs:
    if place is None:
        return ()
    return (
        number(Tag.SAR_REFERENCE, reference & 0xFFFF),
        number(Tag.SAR_TOTAL, place.total),
        number(Tag.SAR_POSITION, place.index),
    )


def octet_pieces(user_data: bytes, reference: int) -> tuple[Piece, ...]:
    """Octets as they go on air, 140 to a segment: those that begin with a header that adds up have one, unless `on_air`
    has put an empty one before them. Segments of one message get this reference."""
    chunks = [user_data[place : place + USER_DATA_OCTETS] for place in range(0, len(user_data), USER_DATA_OCTETS)]
    if len(chunks) > 1:
        chunks = [_with_reference(chunk, reference) for chunk in chunks]
    return tuple(
        Piece(chunk[1:])
        if chunk[0] == 0 and is_ambiguous(chunk[1:])
        else Piece(chunk, has_header=header_of(chunk) is not None)
        for chunk in chunks
    )


def is_ambiguous(octets: bytes) -> bool:
    """Whether octets without a header would be taken for some with one, or with an empty one."""
    return header_of(octets.lstrip(b"\0")) is not None


def header_of(user_data: bytes) -> list[tuple[int, bytes]] | None:
    """The information elements that octets begin with; None where they do not look like a header."""
    size = user_data[0] if user_data else 0
    return elements_of(user_data[1 : 1 + size]) if 2 <= size < len(user_data) else None


def _with_reference(user_data: bytes, reference: int) -> bytes:
    elements = header_of(user_data)
    if elements is None:
        return user_data
    size = 1 + user_data[0]
    renamed = [
        (
            identifier,
            (reference & 0xFFFF).to_bytes(2) + value[2:]
            if identifier == IEI_CONCATENATION_WIDE
            else bytes((reference & 0xFF,)) + value[1:]
            if identifier == IEI_CONCATENATION
            else value,
        )
        for identifier, value in elements
    ]
    return _header(renamed) + user_data[size:]


def on_air(octets: bytes, elements: bytes) -> bytes | None:
    """Octets, and the information elements that all their segments shall carry, as they go on air: user data of 140
    octets, one behind the other, with a concatenation (of reference 0) where there are several. Octets that only look
    as if they began with a header get one of no length. None where they take more than 255 segments."""
    alone = bytes((len(elements),)) + elements if elements else b""
    if not elements and is_ambiguous(octets):
        alone = b"\0"
    if len(alone) + len(octets) <= USER_DATA_OCTETS:
        return alone + octets
    room = USER_DATA_OCTETS - 1 - ELEMENT_OCTETS - len(elements)
    total = -(-len(octets) // room) if room > 0 else SEGMENTS_MAX + 1
    if total > SEGMENTS_MAX:
        return None
    length = bytes((ELEMENT_OCTETS + len(elements),))
    return b"".join(
        length
        + bytes((IEI_CONCATENATION, 3, 0, total, index + 1))
        + elements
        + octets[index * room : (index + 1) * room]
        for index in range(total)
    )


def _header(elements: list[tuple[int, bytes]]) -> bytes:
    encoded = b"".join(bytes((identifier, len(value))) + value for identifier, value in elements)
    return bytes((len(encoded),)) + encoded
