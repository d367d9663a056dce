"""Texts and octets as SMPP carries them: data_coding, headers, sar_*, payloads, and the pieces of long messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.smpp.pdu import Status
from chappe.smpp.texts import (
    CHARSETS,
    CODINGS,
    LONG,
    Content,
    Piece,
    charset_named,
    elements_of,
    header_of,
    octet_pieces,
    on_air,
    packed,
    pieces_of,
    read,
    unpacked,
)
from chappe.smpp.tlv import Tag, Tlvs, number
from chappe.sms.alphabets import GSM, UCS2, unpack
from chappe.sms.segments import Concatenation, TextTooLong

HEADER, PLAIN = 0x40, 0
SAR: Tlvs = (number(Tag.SAR_REFERENCE, 300), number(Tag.SAR_TOTAL, 3), number(Tag.SAR_POSITION, 2))


def content(
    octets: bytes,
    data_coding: int = 0,
    esm_class: int = PLAIN,
    tlvs: Tlvs = (),
    charset: str = "gsm",
    is_strict: bool = True,
) -> Content:
    found = read(octets, data_coding=data_coding, esm_class=esm_class, tlvs=tlvs, charset=charset, is_strict=is_strict)
    assert isinstance(found, Content), found
    return found


TEXTS = [
    # charset of the link, data_coding, octets, the text
    ("gsm", 0, b"\x00Hell\x7f \x1b\x65", "@Hellà €"),
    ("gsm-packed", 0, bytes.fromhex("C8329BFD06"), "Hello"),
    ("latin-1", 0, b"caf\xe9 @", "café @"),
    ("ascii", 0, b"Hello", "Hello"),
    ("windows-1252", 0, b"5 \x80", "5 €"),
    ("ucs-2", 0, b"\x04\x16\x00!", "Ж!"),
    ("gsm", 1, b"Hello_", "Hello_"),
    ("gsm", 3, b"caf\xe9", "café"),
    ("latin-1", 3, b"caf\xe9", "café"),
    ("gsm", 5, b"\x83\x65", "テ"),
    ("gsm", 6, b"\xb6\xd8", "Жи"),
    ("gsm", 7, b"\xf9\xec", "של"),
    ("gsm", 8, b"\xd8\x3d\xde\x00", "😀"),
    ("gsm", 10, b"\x1b$B%F\x1b(B", "テ"),
    ("gsm", 14, b"\xc7\xd1", "한"),
    ("gsm", 0x11, b"\x00", "@"),
    ("latin-1", 0xF1, b"@", "@"),
    ("gsm", 0x19, b"\x04\x16", "Ж"),
    ("gsm", 0x48, b"\x04\x16", "Ж"),
    ("gsm", 0xC8, b"\x00", "@"),
    ("gsm", 0xD0, b"\x00", "@"),
    ("gsm", 0xE0, b"\x04\x16", "Ж"),
    ("gsm", 8, b"\x04\x16\x00", "Ж\ufffd"),
]


@pytest.mark.parametrize("charset, data_coding, octets, text", TEXTS)
def test_data_coding_says_what_a_text_is_in(charset: str, data_coding: int, octets: bytes, text: str) -> None:
    """Every coding of 5.2.19 and of the GSM groups is read, 0 as the link has it."""
    found = content(octets, data_coding, charset=charset)
    assert (found.text, found.is_text) == (text, True)


FLASH = [
    (0x10, True),
    (0x11, False),
    (0x18, True),
    (0x19, False),
    (0xF0, True),
    (0xF1, False),
    (0x00, False),
    (8, False),
]


@pytest.mark.parametrize("data_coding, is_flash", FLASH)
def test_class_0_is_shown_at_once(data_coding: int, is_flash: bool) -> None:
    """Only the codings of message class 0 make a message one that is shown and not kept."""
    assert content(b"\x04\x16", data_coding).is_flash is is_flash


def test_the_display_of_a_phone_is_class_0_too() -> None:
    """dest_addr_subunit 1 says the same (5.3.2.1), and another subunit does not."""
    assert content(b"a", tlvs=(number(Tag.DESTINATION_SUBUNIT, 1),)).is_flash
    assert not content(b"a", tlvs=(number(Tag.DESTINATION_SUBUNIT, 3),)).is_flash


@pytest.mark.parametrize("data_coding", [2, 4, 0x14, 0x15, 0xF4, 0xF5])
def test_octets_are_no_text(data_coding: int) -> None:
    """Eight-bit codings carry octets, whatever these look like."""
    assert content(b"Hello", data_coding) == Content(b"Hello", "octets")


@pytest.mark.parametrize("data_coding", [11, 12, 15, 0x1C, 0x20, 0x60, 0x80, 0xBF])
def test_a_coding_that_nobody_knows_is_refused(data_coding: int) -> None:
    """Reserved and compressed codings have a status; from a carrier they are read as well as can be."""
    assert read(b"a", data_coding=data_coding, esm_class=0, tlvs=(), charset="gsm", is_strict=True) is (
        Status.INVALID_DATA_CODING
    )
    assert content(b"a", data_coding, is_strict=False).text == "a"


def test_every_data_coding_has_a_row() -> None:
    """The table answers for each octet, and names no charset that does not exist."""
    assert len(CODINGS) == 256
    assert {coded.charset for coded in CODINGS if coded} <= {"", "octets", *CHARSETS}


HEADERS = [
    # user data, what is found
    (bytes.fromhex("0500032A0201") + b"Hello", Content(b"Hello", "gsm", False, Concatenation(0x2A, 2, 1))),
    (
        bytes.fromhex("0608041F2A0202") + b"Hello",
        Content(b"Hello", "gsm", False, Concatenation(0x1F2A, 2, 2, wide=True)),
    ),
    (bytes.fromhex("06240101250101") + b"\x07", Content(b"\x07", "gsm:1:1")),
    (bytes.fromhex("03240103") + b"\x1b\x61", Content(b"\x1b\x61", "gsm:0:3")),
    (bytes.fromhex("0500032A0203") + b"Hello", Content(b"Hello", "gsm")),  # the third of two
    (bytes.fromhex("020A00") + b"Hello", Content(b"Hello", "gsm")),
]


@pytest.mark.parametrize("user_data, found", HEADERS)
def test_a_header_tells_part_and_language(user_data: bytes, found: Content) -> None:
    """Concatenations of 8 and 16 bits and national tables are read, and what cannot be is left out."""
    assert content(user_data, esm_class=HEADER) == found


def test_national_tables_are_those_of_the_header() -> None:
    """The same septets are other characters in Turkish and Portuguese."""
    assert content(bytes.fromhex("03250101") + b"\x07", esm_class=HEADER).text == "ı"
    assert content(bytes.fromhex("03240103") + b"\x1b\x61", esm_class=HEADER).text == "Â"


def test_packed_septets_stand_behind_their_fill_bits() -> None:
    """Behind a header of six octets one bit leads to the first septet."""
    header = bytes.fromhex("0500032A0201")
    found = content(packed(b"Hello", header), esm_class=HEADER, charset="gsm-packed")
    assert found == Content(b"Hello", "gsm", False, Concatenation(0x2A, 2, 1))


@given(
    st.binary(max_size=160).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.sampled_from([0, 5, 6, 9])
)
def test_packing_is_undone(septets: bytes, header_octets: int) -> None:
    """Septets come back as they were, but for an @ or a carriage return that fills the last octet alone."""
    header = bytes((header_octets,)) + b"\x70" * header_octets if header_octets else b""
    found = unpacked(packed(septets, header), bool(header))
    assert found[: len(header)] == header
    is_filled = ((len(septets) * 7) + (-len(header) * 8 % 7)) % 8 == 0
    lost = septets[-1:] if is_filled and septets[-1:] in (b"\0", b"\r") else b""
    assert found[len(header) :] + lost == septets


def test_room_for_a_septet_is_a_carriage_return() -> None:
    """Seven septets in seven octets leave seven bits, which TS 23.038 6.1.2.3.1 fills so that nobody shows an @."""
    assert unpack(packed(b"1234567"), 8) == b"1234567\r"


def test_sar_parameters_tell_the_part() -> None:
    """All three of sar_* make a part of a long message; a header counts before them, and fewer say nothing."""
    assert content(b"a", tlvs=SAR).concatenation == Concatenation(300, 3, 2, wide=True)
    assert content(b"\x05\0\x03\x2a\x02\x01a", esm_class=HEADER, tlvs=SAR).concatenation == Concatenation(0x2A, 2, 1)
    for missing in range(3):
        assert content(b"a", tlvs=SAR[:missing] + SAR[missing + 1 :]).concatenation is None


@pytest.mark.parametrize("total, position", [(0, 0), (2, 0), (2, 3), (0, 1)])
def test_a_part_that_cannot_be_is_a_message(total: int, position: int) -> None:
    """The third of two parts is no part."""
    tlvs = (SAR[0], number(Tag.SAR_TOTAL, total), number(Tag.SAR_POSITION, position))
    assert content(b"a", tlvs=tlvs).concatenation is None


PAYLOAD: Tlvs = ((Tag.MESSAGE_PAYLOAD, b"in the payload"),)


def test_a_payload_is_the_message() -> None:
    """message_payload is read in place of an empty short_message (5.3.2.32)."""
    assert content(b"", tlvs=PAYLOAD).text == "in the payload"


def test_two_messages_in_one_are_refused() -> None:
    """A message in both places is not allowed; from a carrier the payload counts."""
    assert read(b"here", data_coding=0, esm_class=0, tlvs=PAYLOAD, charset="gsm", is_strict=True) is (
        Status.PARAMETER_NOT_ALLOWED
    )
    assert content(b"here", tlvs=PAYLOAD, is_strict=False).text == "in the payload"


@pytest.mark.parametrize("user_data", [b"", b"\x05abc", b"\x01"])
def test_a_header_that_is_not_there_is_refused(user_data: bytes) -> None:
    """esm_class must not promise a header longer than the message; from a carrier all of it is text."""
    assert read(user_data, data_coding=0, esm_class=HEADER, tlvs=(), charset="gsm", is_strict=True) is (
        Status.INVALID_ESM_CLASS
    )
    assert content(user_data, esm_class=HEADER, is_strict=False).octets == user_data


PORTS: Tlvs = (number(Tag.DESTINATION_PORT, 2948), number(Tag.SOURCE_PORT, 9200))


def test_ports_of_octets_become_a_header() -> None:
    """Port parameters are what the header's element says (TS 23.040 9.2.3.24.4); one that is there already counts."""
    assert content(b"\x01\x06", 4, tlvs=PORTS).elements == bytes.fromhex("05040B8423F0")
    assert content(bytes.fromhex("0605040B8423F0") + b"\x01", 4, HEADER, PORTS).elements == bytes.fromhex(
        "05040B8423F0"
    )
    assert content(b"\x01\x06", 4, tlvs=PORTS[:1]).elements == bytes.fromhex("05040B840000")


@pytest.mark.parametrize(
    "octets, esm_class, tlvs", [(b"a", 0, PORTS), (bytes.fromhex("0605040B8423F0") + b"a", HEADER, ())]
)
def test_a_text_to_a_port_is_refused(octets: bytes, esm_class: int, tlvs: Tlvs) -> None:
    """What is for a program must not be shown as a text; only octets keep their ports."""
    assert read(octets, data_coding=0, esm_class=esm_class, tlvs=tlvs, charset="gsm", is_strict=True) is (
        Status.INVALID_DATA_CODING
    )


# Pieces


def test_a_short_text_is_one_piece() -> None:
    """160 septets, extension characters two each, need no header."""
    assert pieces_of("a" * 158 + "€") == (Piece(b"a" * 158 + b"\x1b\x65"),)


def test_a_long_text_is_cut_behind_headers() -> None:
    """153 septets to a piece, behind a concatenation of 8 bits or, wide, 152 behind one of 16."""
    first, second = pieces_of("a" * 161, reference=0x12A)
    assert first == Piece(bytes.fromhex("0500032A0201") + b"a" * 153, has_header=True)
    assert second == Piece(bytes.fromhex("0500032A0202") + b"a" * 8, has_header=True)
    assert pieces_of("a" * 161, reference=0x12A, is_wide=True)[0].octets[:8] == bytes.fromhex("060804012A020161")


def test_a_long_text_is_cut_for_sar() -> None:
    """The parts are as long as if they had headers, because they will get some, and parameters number them."""
    first, second = pieces_of("ж" * 71, long="sar", reference=300)
    assert (first.octets, first.is_ucs2, first.has_header) == (UCS2.encode("ж" * 67), True, False)
    assert second.tlvs == (number(Tag.SAR_REFERENCE, 300), number(Tag.SAR_TOTAL, 2), number(Tag.SAR_POSITION, 2))


def test_a_long_text_stays_whole_in_a_payload() -> None:
    """A payload has all of it, and a short text needs none."""
    assert pieces_of("a" * 161, long="payload") == (Piece(b"a" * 161, is_payload=True),)
    assert pieces_of("a" * 160, long="payload") == (Piece(b"a" * 160),)


LINKS = [
    # charset of the link, text, octets, whether they are UCS-2
    ("gsm", "à€", b"\x7f\x1b\x65", False),
    ("gsm-packed", "Hello", bytes.fromhex("C8329BFD06"), False),
    ("latin-1", "à@", b"\xe0@", False),
    ("latin-1", "5 €", UCS2.encode("5 €"), True),  # not in Latin-1
    ("latin-1", "ç", UCS2.encode("ç"), True),  # not in GSM, so that it would arrive as another character
    ("windows-1252", "5 €", b"5 \x80", False),
    ("ascii", "Hello_", b"Hello_", False),
    ("ascii", "à", UCS2.encode("à"), True),
    ("ucs-2", "a", b"\0a", True),
    ("gsm", "Ж", b"\x04\x16", True),
]


@pytest.mark.parametrize("charset, text, octets, is_ucs2", LINKS)
def test_a_text_goes_in_the_charset_of_the_link(charset: str, text: str, octets: bytes, is_ucs2: bool) -> None:
    """What both the link and the phone have goes as it is, everything else in UCS-2."""
    assert pieces_of(text, charset=charset) == (Piece(octets, is_ucs2),)


def test_national_tables_are_used_where_they_may_be() -> None:
    """A Turkish text fits into one piece with its tables, whose languages the header names."""
    (piece,) = pieces_of("ğ" * 75, languages=("tr",))
    assert piece.has_header
    assert content(piece.octets, esm_class=HEADER).text == "ğ" * 75


def test_a_text_beyond_255_pieces_is_too_long() -> None:
    """The total of a concatenation is one octet."""
    with pytest.raises(TextTooLong):
        pieces_of("a" * (255 * 153 + 1), long="payload")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500) | st.text(
    st.sampled_from("aeé€^ Ж😀ğ1@"), min_size=1, max_size=800
)


@given(texts, st.sampled_from(CHARSETS), st.sampled_from(LONG), st.booleans(), st.integers(0, 1 << 20))
def test_what_is_cut_is_read(text: str, charset: str, long: str, is_wide: bool, reference: int) -> None:
    """Any text over any link, cut in any way, comes back from its pieces, none of which is too long."""
    pieces = pieces_of(text, charset=charset, long=long, is_wide=is_wide, reference=reference)
    found = []
    for piece in pieces:
        tlvs = (*piece.tlvs, (Tag.MESSAGE_PAYLOAD, piece.octets)) if piece.is_payload else piece.tlvs
        octets = b"" if piece.is_payload else piece.octets
        assert len(octets) <= (140 if piece.is_ucs2 else 160)
        found.append(content(octets, 8 if piece.is_ucs2 else 0, HEADER if piece.has_header else PLAIN, tlvs, charset))
    if len(pieces) > 1:
        assert [each.concatenation.index for each in found if each.concatenation] == [*range(1, len(pieces) + 1)]
        assert {each.concatenation.total for each in found if each.concatenation} == {len(pieces)}
    joined = "".join(each.text for each in found)
    assert joined == text or (charset == "gsm-packed" and joined.rstrip("@\r") == text.rstrip("@\r"))


# Octets


def test_octets_go_as_they_are() -> None:
    """140 octets without a header are one piece."""
    assert octet_pieces(b"\xff" * 140, 7) == (Piece(b"\xff" * 140),)


def test_a_header_of_octets_is_seen() -> None:
    """User data that begins with information elements has a header, and one of no length is none."""
    user_data = bytes.fromhex("0605040B8423F0") + b"\x01"
    assert octet_pieces(user_data, 7) == (Piece(user_data, has_header=True),)
    assert octet_pieces(b"\0" + user_data, 7) == (Piece(user_data),)


def test_segments_of_octets_get_the_reference_of_the_link() -> None:
    """Each chunk of 140 octets keeps its header, with the reference of this message in its concatenation."""
    whole = on_air(b"\xaa" * 200, bytes.fromhex("05040B8423F0"))
    assert whole is not None
    first, second = octet_pieces(whole, 0x1C7)
    assert first.octets[:12] == bytes.fromhex("0B0003C7020105040B8423F0")
    assert second.octets == bytes.fromhex("0B0003C7020205040B8423F0") + b"\xaa" * (200 - 128)
    assert first.has_header
    assert len(first.octets) == 140


def test_wide_references_of_octets_are_renamed_too() -> None:
    """A concatenation of 16 bits keeps its width."""
    segments = [bytes.fromhex(f"06080400000{total}0{index}") + b"\xaa" * 133 for total, index in ((2, 1), (2, 2))]
    assert octet_pieces(b"".join(segments), 0x1C7)[1].octets[:7] == bytes.fromhex("06080401C70202")


def test_octets_beyond_255_segments_are_too_long() -> None:
    """There is no user data for what cannot be sent, nor beside elements that leave no room."""
    assert on_air(b"a" * (134 * 255), b"") is not None
    assert on_air(b"a" * (134 * 255 + 1), b"") is None
    assert on_air(b"ab" * 70, b"\x70\x84" + b"e" * 132) is None


@given(st.binary(min_size=1, max_size=1000), st.sampled_from([b"", bytes.fromhex("05040B8423F0"), b"\x70\x02ab"]))
def test_octets_are_read_as_they_were_sent(octets: bytes, elements: bytes) -> None:
    """Any octets, with or without elements of a header, come back from their segments."""
    user_data = on_air(octets, elements)
    assert user_data is not None
    found = [content(piece.octets, 4, HEADER if piece.has_header else PLAIN) for piece in octet_pieces(user_data, 1234)]
    assert b"".join(each.octets for each in found) == octets
    assert {each.elements for each in found} == {elements}


# Never


@given(
    st.binary(max_size=254),
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.tuples(st.sampled_from(sorted(map(int, Tag))), st.binary(max_size=40)), max_size=4).map(tuple),
    st.sampled_from(CHARSETS),
    st.booleans(),
)
def test_reading_never_fails(
    octets: bytes, data_coding: int, esm_class: int, tlvs: Tlvs, charset: str, is_strict: bool
) -> None:
    """Any octets with any numbers beside them are a content or a status, and whoever is not strict gets a content."""
    found = read(octets, data_coding=data_coding, esm_class=esm_class, tlvs=tlvs, charset=charset, is_strict=is_strict)
    if isinstance(found, Content):
        assert isinstance(found.text if found.is_text else "", str)
        assert elements_of(found.elements) is not None
    else:
        assert is_strict


@given(st.binary(max_size=300), st.integers(0, 1 << 17))
def test_any_octets_can_be_sent(user_data: bytes, reference: int) -> None:
    """Whatever stands in a message of octets, its pieces are no longer than a segment and none has a wrong header."""
    for piece in octet_pieces(user_data, reference):
        assert len(piece.octets) <= 140
        assert not piece.has_header or header_of(piece.octets) is not None


def test_charsets_have_names() -> None:
    """Every charset of a link can be read, and that of an unknown name is read as Latin-1."""
    assert charset_named("gsm") is GSM
    assert {charset_named(name).unit_octets for name in CHARSETS} == {1, 2}
    assert charset_named("none").decode(b"\xe9") == "é"
