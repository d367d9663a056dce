"""Counting, cutting and joining: borders, header octets, and that all three agree."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.sms.alphabets import GSM, UCS2, Alphabet, choose, fill_bits_behind, septet_alphabet, unpack
from chappe.sms.segments import (
    STANDARD,
    Arrived,
    Concatenation,
    Row,
    Segment,
    SegmentTable,
    TextTooLong,
    count,
    cut,
    join,
    read,
    standard_table,
)

# smsfox 5.3, as its dialect would write it: pure ASCII by the first row, everything else by the second.
LISTED = SegmentTable(
    classify=str.isascii,
    rows={
        True: Row(limits=(160, 304, 456, 608, 760, 800)),
        False: Row(limits=(70, 132, 198, 264, 330, 396, 462, 528, 594, 660, 726, 792, 800)),
    },
)
LANGUAGES = ("tr", "es", "pt")
LONG_TEXTS = st.one_of(
    st.text(st.sampled_from("ab€{}"), max_size=900),
    st.text(st.sampled_from("яa😀"), max_size=400),
    st.text(st.sampled_from("aáãığç[Π"), max_size=400),
    st.text(st.characters(), max_size=400),
)


def on_air(segment: Segment) -> Arrived:
    """The segment as a receiver of its user data sees it: septets unpacked by their count, then read."""
    octets = segment.user_data[len(segment.header) :]
    if segment.alphabet is not UCS2:
        octets = unpack(octets, len(segment.octets), fill_bits_behind(len(segment.header)))
    base: Alphabet = UCS2 if segment.alphabet is UCS2 else GSM
    return read(segment.header + octets, base, has_header=bool(segment.header))


@pytest.mark.parametrize(
    "text, table, expected",
    [
        ("", STANDARD, 1),
        ("a" * 160, STANDARD, 1),
        ("a" * 161, STANDARD, 2),
        ("a" * 306, STANDARD, 2),
        ("a" * 307, STANDARD, 3),
        ("a" * 158 + "€", STANDARD, 1),
        ("a" * 159 + "€", STANDARD, 2),
        ("a" * 152 + "€" + "a" * 152, STANDARD, 3),  # 306 septets, but the pair leaves one of 153 empty
        ("a" * 151 + "€" + "a" * 153, STANDARD, 2),
        ("я" * 70, STANDARD, 1),
        ("я" * 71, STANDARD, 2),
        ("я" * 134, STANDARD, 2),
        ("я" * 135, STANDARD, 3),
        ("я" * 66 + "😀" + "я" * 66, STANDARD, 3),  # 134 units, but the pair does not fit the 67
        ("a" * 153 * 255, STANDARD, 255),
        ("a" * 153 * 255 + "a", STANDARD, None),
        ("a" * 304, standard_table(wide=True), 2),
        ("a" * 305, standard_table(wide=True), 3),
        ("ı" * 155, standard_table(["tr"]), 1),
        ("ı" * 156, standard_table(["tr"]), 2),
        ("ı" * 155, STANDARD, 3),
        ("a" * 160, LISTED, 1),
        ("a" * 161, LISTED, 2),
        ("a" * 304, LISTED, 2),
        ("a" * 305, LISTED, 3),
        ("a" * 800, LISTED, 6),
        ("a" * 801, LISTED, None),
        ("{" * 160, LISTED, 1),  # the provider does not know extension characters
        ("é" * 70, LISTED, 1),
        ("é" * 71, LISTED, 2),
        ("я" * 132, LISTED, 2),
        ("я" * 133, LISTED, 3),
        ("я" * 792, LISTED, 12),
        ("я" * 800, LISTED, 13),
        ("я" * 801, LISTED, None),
    ],
    ids=lambda value: f"{len(value)}" if isinstance(value, str) else None,
)
def test_count(text: str, table: SegmentTable, expected: int | None) -> None:
    """A text costs what its provider's table says; beyond the table it has no count."""
    assert count(text, table) == expected


def test_count_by_single_and_each_without_alphabet() -> None:
    """A rule "single, then each" needs no alphabet: it divides characters."""
    table = SegmentTable(classify=str.isascii, rows={True: Row(limits=(160,), each=153)}, segments_max=3)
    assert [count("{" * size, table) for size in (160, 161, 306, 307, 459, 460)] == [1, 2, 2, 3, 3, None]


@given(LONG_TEXTS, st.sampled_from([(), ("tr",), LANGUAGES]), st.booleans(), st.randoms(use_true_random=False))
def test_count_cut_and_join_agree(text: str, languages: tuple[str, ...], wide: bool, order: random.Random) -> None:
    """A text is cut into as many segments as counted, none above 140 octets, and joined from any order with copies."""
    segments = cut(text, choose(text, languages, wide=wide), reference=0x1234, wide=wide)
    assert count(text, standard_table(languages, wide=wide)) == len(segments)
    assert all(len(segment.user_data) <= 140 for segment in segments)
    sendable = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    assert "".join(segment.text for segment in segments) == sendable

    arrived = [on_air(segment) for segment in segments]
    arrived += order.choices(arrived, k=3)
    order.shuffle(arrived)
    assert join(arrived) == sendable


@given(LONG_TEXTS)
def test_no_character_is_cut(text: str) -> None:
    """No segment ends with an escape or a high surrogate, and no segment but the last could take one more character."""
    alphabet = choose(text, LANGUAGES)
    segments = cut(text, alphabet, reference=1)
    for segment in segments:
        if alphabet is UCS2:
            segment.octets.decode("utf-16-be")  # strict: half a pair would raise
        else:
            assert not segment.octets.endswith(b"\x1b")
    for segment, following in itertools.pairwise(segments):
        grown = len(segment.octets) + len(alphabet.encode(following.text[0]))
        limit = 140 - len(segment.header)
        assert grown > (limit if alphabet is UCS2 else limit * 8 // 7)


@pytest.mark.parametrize(
    "text, alphabet, wide, headers",
    [
        ("a" * 160, GSM, False, [""]),
        ("a" * 161, GSM, False, ["0500034d0201", "0500034d0202"]),
        ("a" * 161, GSM, True, ["060804a24d0201", "060804a24d0202"]),
        ("я" * 71, UCS2, False, ["0500034d0201", "0500034d0202"]),
        ("ı", septet_alphabet(1, 0), False, ["03250101"]),
        ("ı", septet_alphabet(0, 1), False, ["03240101"]),
        ("ı", septet_alphabet(3, 1), False, ["06240101250103"]),
        ("ı" * 156, septet_alphabet(1, 0), False, ["0800034d0201250101", "0800034d0202250101"]),
    ],
)
def test_header_golden(text: str, alphabet: Alphabet, wide: bool, headers: list[str]) -> None:
    """Headers carry the elements of TS 23.040 9.2.3.24.1, .8, .15 and .16, and the lowest bits of the reference."""
    segments = cut(text, alphabet, reference=0xFFA24D, wide=wide)
    assert [segment.header.hex() for segment in segments] == headers


def test_user_data_golden() -> None:
    """Septets are packed behind one fill bit after a header of six octets."""
    first, second = cut("a" * 153 + "hellohello", GSM, reference=1)
    assert second.user_data.hex() == "050003010202" + "d06536fb8d2eb3d96f"
    assert len(first.user_data) == 140


def test_borders_beside_pairs() -> None:
    """An extension character or an emoji that would lie on the border begins the next segment."""
    assert [s.text for s in cut("a" * 152 + "€" + "b" * 20, GSM, reference=1)] == ["a" * 152, "€" + "b" * 20]
    assert [s.text for s in cut("я" * 66 + "😀" + "я" * 20, UCS2, reference=1)] == ["я" * 66, "😀" + "я" * 20]


def test_cut_stops_at_255_segments() -> None:
    """The 256th segment has no number: such a text is refused."""
    assert len(cut("a" * 153 * 255, GSM, reference=1)) == 255
    with pytest.raises(TextTooLong):
        cut("a" * 153 * 255 + "a", GSM, reference=1)


@pytest.mark.parametrize(
    "user_data, concatenation, text",
    [
        ("0500034d020141", Concatenation(0x4D, 2, 1), "A"),
        ("060804a24d030241", Concatenation(0xA24D, 3, 2, wide=True), "A"),
        ("0b0500034d020141", None, "Øé@¥M$£A"),
        ("0a7002ffff00034d020141", None, ""),
        ("0a700901020300034d020141", None, "A"),
        ("097002010200034d020141", Concatenation(0x4D, 2, 1), "A"),
        ("0a000301020100034d020241", Concatenation(0x4D, 2, 2), "A"),
        ("0b00034d020108040001020141", Concatenation(1, 2, 1, wide=True), "A"),
        ("1000034d0201" + "080400010201" + "00034d0202" + "41", Concatenation(0x4D, 2, 2), "A"),
        ("0500034d000141", None, "A"),
        ("0500034d020041", None, "A"),
        ("0500034d020341", None, "A"),
        ("0400024d0241", None, "A"),
        ("0500044d020141", None, "A"),
        ("010041", None, "A"),
        ("0041", None, "A"),
        ("0325010107", None, "ı"),
        ("0325016341", None, "A"),
        ("042502010141", None, "A"),
        ("", None, ""),
    ],
)
def test_read_headers(user_data: str, concatenation: Concatenation | None, text: str) -> None:
    """The last valid concatenation counts; a malformed header is ignored and the text behind it still read."""
    arrived = read(bytes.fromhex(user_data), GSM, has_header=True)
    assert arrived.concatenation == concatenation
    assert arrived.alphabet.decode(arrived.octets) == text


@given(st.binary(max_size=200), st.sampled_from([GSM, UCS2]), st.booleans())
def test_read_takes_anything(user_data: bytes, alphabet: Alphabet, has_header: bool) -> None:
    """No octets at all make reading or joining fail."""
    text = join([read(user_data, alphabet, has_header=has_header)])
    assert text is None or isinstance(text, str)


def test_join_waits_for_every_segment() -> None:
    """The text is None until the last missing segment is there."""
    arrived = [on_air(segment) for segment in cut("a" * 153 + "b" * 153 + "c", GSM, reference=7)]
    assert join([]) is None
    for missing in range(3):
        assert join(arrived[:missing] + arrived[missing + 1 :]) is None
    assert join(arrived) == "a" * 153 + "b" * 153 + "c"


def test_join_leaves_other_messages_out() -> None:
    """Segments of another reference, total or width never complete a message."""

    def segment(reference: int, total: int, index: int, wide: bool, octets: bytes) -> Arrived:
        return Arrived(Concatenation(reference, total, index, wide), GSM, octets)

    first = segment(1, 2, 1, False, b"A")
    strangers = [segment(2, 2, 2, False, b"X"), segment(1, 3, 2, False, b"X"), segment(1, 2, 2, True, b"X")]
    assert join([first, *strangers, Arrived(None, GSM, b"X")]) is None
    assert join([first, *strangers, segment(1, 2, 2, False, b"B")]) == "AB"


@pytest.mark.parametrize(
    "alphabet, parts, text",
    [
        (GSM, (b"a\x1b", b"eb"), "a€b"),
        (UCS2, (b"\xd8\x3d", b"\xde\x00\x00a"), "😀a"),
        (UCS2, (b"\x00a\x00", b"\x00b"), "a\ufffdb"),
    ],
)
def test_join_mends_what_others_cut(alphabet: Alphabet, parts: tuple[bytes, bytes], text: str) -> None:
    """A character cut by another sender is whole again, and half a unit spoils only its own segment."""
    assert join([Arrived(Concatenation(1, 2, n, False), alphabet, part) for n, part in enumerate(parts, 1)]) == text


def test_join_mixes_alphabets() -> None:
    """Each segment is read by its own alphabet."""
    arrived = [
        Arrived(Concatenation(1, 2, 2), UCS2, UCS2.encode("я")),
        Arrived(Concatenation(1, 2, 1), septet_alphabet(1, 0), b"\x07"),
    ]
    assert join(arrived) == "ıя"
