"""The alphabets of 3GPP TS 23.038: which one a text needs, and its octets there and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.sms.alphabets import (
    GSM,
    UCS2,
    Alphabet,
    NotInAlphabet,
    SeptetAlphabet,
    choose,
    fill_bits_behind,
    national_alphabets,
    pack,
    pieces,
    room,
    segments_on_air,
    septet_alphabet,
    unpack,
)

LANGUAGES = ("tr", "es", "pt")
SEPTET_ALPHABETS = (GSM, *national_alphabets(LANGUAGES))
ANY_TEXT = st.text(st.characters(), max_size=400)  # st.characters() has surrogates too

# Typed from TS 23.038 6.2.1 and 6.2.1.1 by name of script, apart from the tables of the code.
DEFAULT_CHARACTERS = set(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \n\r"
    "!\"#%&'()*+,-./:;<=>?@_$£¥¤§¡¿ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùü"
    "ΓΔΘΛΞΠΣΦΨΩ"
)
EXTENSION_CHARACTERS = set("^{}\\[~]|€\f")


def characters_of(alphabet: SeptetAlphabet) -> list[str]:
    return [character for character in map(chr, range(0x3000)) if alphabet.units(character) is not None]


def texts_of(alphabet: SeptetAlphabet) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(characters_of(alphabet)), max_size=400)


@pytest.mark.parametrize(
    "text, octets",
    [
        ("", ""),
        ("hello", "68656c6c6f"),
        ("@£$¥èéùìòÇ", "00010203040506070809"),
        ("Δ_ΦΓΛΩΠΨΣΘΞ", "101112131415161718191a"),
        ("ÄÖÑÜ§¿äöñüà", "5b5c5d5e5f607b7c7d7e7f"),
        ("¤¡", "2440"),
        ("€", "1b65"),
        ("[^]{|}~\\\f", "1b3c1b141b3e1b281b401b291b3d1b2f1b0a"),
    ],
)
def test_gsm_golden(text: str, octets: str) -> None:
    """The default alphabet codes each character as TS 23.038 6.2.1 and 6.2.1.1 draw it, and reads it back."""
    assert GSM.encode(text).hex() == octets
    assert GSM.decode(bytes.fromhex(octets)) == text
    assert GSM.units(text) == len(octets) // 2


@pytest.mark.parametrize(
    "locking, single, text, octets",
    [
        (0, 1, "ŞşĞğİıç", "1b531b731b471b671b491b691b63"),
        (1, 0, "€ıĞğŞşİç", "04070b0c1c1d4060"),
        (1, 1, "ğ[€", "0c1b3c04"),
        (0, 2, "ÁÍÓÚáíóúç", "1b411b491b4f1b551b611b691b6f1b751b09"),
        (0, 3, "ãõâêôáÃÕÀÂÊÔÁ", "1b7b1b7c1b7f1b051b0c1b0f1b5b1b5c1b411b611b1f1b0b1b0e"),
        (3, 0, "êéúíóç", "040506070809"),
        (3, 0, "ÔôÁáª", "0b0c0e0f12"),
        (3, 0, "ÇÀ∞^\\€Ó|", "131415161718191a"),
        (3, 0, "ÂâÊÉºÍÃÕ~ãõ`", "1c1d1e1f24405b5c607b7c7d"),
        (3, 3, "Σ[ã", "1b181b3c7b"),
    ],
)
def test_national_golden(locking: int, single: int, text: str, octets: str) -> None:
    """National tables code their letters as Annex A of TS 23.038 draws them, the main table first."""
    alphabet = septet_alphabet(locking, single)
    assert alphabet.encode(text).hex() == octets
    assert alphabet.decode(bytes.fromhex(octets)) == text


@pytest.mark.parametrize(
    "text, languages, expected",
    [
        ("hello", (), GSM),
        ("", (), GSM),
        ("{€}", LANGUAGES, GSM),
        ("`", (), UCS2),
        ("привет", LANGUAGES, UCS2),
        ("ı" * 70, ("tr",), UCS2),  # one segment either way: UCS-2 is understood everywhere
        ("ı" * 71, (), UCS2),
        ("ı" * 71, ("es", "xx"), UCS2),
        ("ı" * 71, ("tr",), septet_alphabet(0, 1)),
        ("ı" * 80, ("tr",), septet_alphabet(1, 0)),  # 160 septets behind escapes would be two segments
        ("á" + "a" * 100, ("es",), septet_alphabet(0, 2)),
        ("ı" * 100 + "á" * 5, ("tr", "es"), septet_alphabet(1, 2)),
        ("ã" * 71 + "Π", ("pt",), septet_alphabet(0, 3)),  # 144 septets: the small header will do
        ("ã" * 140 + "Π", ("pt",), septet_alphabet(3, 3)),
        ("\ud800", LANGUAGES, UCS2),
    ],
)
def test_choose(text: str, languages: tuple[str, ...], expected: Alphabet) -> None:
    """GSM where it suffices, a permitted national table where it saves a segment, else UCS-2."""
    assert choose(text, languages) is expected


def test_choose_every_code_point() -> None:
    """Of all code points exactly those of the two default tables go as GSM, in as many septets as their table says."""
    for code_point in range(0x110000):
        character = chr(code_point)
        expected = 1 if character in DEFAULT_CHARACTERS else 2 if character in EXTENSION_CHARACTERS else None
        if GSM.units(character) != expected or choose(character) is not (GSM if expected else UCS2):
            pytest.fail(f"U+{code_point:04X}")
    assert len(DEFAULT_CHARACTERS) == 127
    assert len(EXTENSION_CHARACTERS) == 10


@given(ANY_TEXT, st.booleans())
def test_choose_carries_any_text(text: str, wide: bool) -> None:
    """Whatever the text, the chosen alphabet carries it, in no more segments than any alphabet allowed."""
    chosen = choose(text, LANGUAGES, wide=wide)
    needed = segments_on_air(text, chosen, wide=wide)
    assert needed is not None
    alphabets: tuple[Alphabet, ...] = (*SEPTET_ALPHABETS, UCS2)
    for alphabet in alphabets:
        others = segments_on_air(text, alphabet, wide=wide)
        assert others is None or needed <= others
    assert chosen.decode(chosen.encode(text)) == re.sub("[\ud800-\udfff]", "\ufffd", text)


@pytest.mark.parametrize("alphabet", SEPTET_ALPHABETS, ids=repr)
def test_septets_round_trip(alphabet: SeptetAlphabet) -> None:
    """A text of the alphabet survives encoding and packing behind any fill bits, and its units are its septets."""

    @given(texts_of(alphabet), st.integers(0, 6))
    def check(text: str, fill_bits: int) -> None:
        septets = alphabet.encode(text)
        assert len(septets) == alphabet.units(text)
        assert max(septets, default=0) < 0x80
        packed = pack(septets, fill_bits)
        assert len(packed) == -(-(7 * len(septets) + fill_bits) // 8)
        assert unpack(packed, len(septets), fill_bits) == septets
        assert alphabet.decode(septets) == text

    check()


@pytest.mark.parametrize("alphabet", SEPTET_ALPHABETS, ids=repr)
def test_units_and_encode_agree_on_every_character(alphabet: SeptetAlphabet) -> None:
    """`units` is None exactly where encoding refuses, and otherwise the number of septets."""
    for character in map(chr, range(0x3000)):
        try:
            septets = alphabet.encode(character)
        except NotInAlphabet:
            assert alphabet.units(character) is None
            assert alphabet.units("aé" + character) is None
        else:
            assert alphabet.units(character) == len(septets)
            assert alphabet.units("aé" + character) == (alphabet.units("aé") or 0) + len(septets)


@given(st.text(max_size=400))
def test_ucs2_round_trip(text: str) -> None:
    """All of Unicode travels as UTF-16BE, and its units are code units."""
    octets = UCS2.encode(text)
    assert UCS2.decode(octets) == text
    assert UCS2.units(text) * 2 == len(octets) == 2 * len(text) + 2 * sum(character > "\uffff" for character in text)


def test_lone_surrogates() -> None:
    """Each lone surrogate becomes U+FFFD, even two that would make a pair, and counts one unit."""
    assert UCS2.decode(UCS2.encode("a\ud83d\ude00b\udc00")) == "a\ufffd\ufffdb\ufffd"
    assert UCS2.units("a\ud83d\ude00b\udc00") == 5


@pytest.mark.parametrize("alphabet", [*SEPTET_ALPHABETS, UCS2], ids=repr)
def test_decode_takes_anything(alphabet: Alphabet) -> None:
    """No octets at all make decoding fail."""

    @given(st.binary(max_size=200))
    def check(octets: bytes) -> None:
        alphabet.decode(octets).encode("utf-8")

    check()


@pytest.mark.parametrize(
    "octets, text",
    [
        (b"\x1bA", "A"),
        (b"\x1b\x00", "@"),
        (b"\x1b\x1bA", " A"),
        (b"A\x1b", "A "),
        (b"\x80\xff", "\ufffd\ufffd"),
        (b"\x1b\xffA", "\ufffdA"),
        (b"\x1be\x1be", "€€"),
        (b"\x1b\n", "\f"),
    ],
)
def test_decode_what_is_undefined(octets: bytes, text: str) -> None:
    """An undefined escape shows the main table's character, a lone one a blank; U+FFFD stands for what is no septet."""
    assert GSM.decode(octets) == text


@pytest.mark.parametrize(
    "octets, text", [(b"\x00A\xd8\x3d", "A\ufffd"), (b"\xde\x00\x00A", "\ufffdA"), (b"\x00A\x00", "A\ufffd")]
)
def test_ucs2_decode_what_is_broken(octets: bytes, text: str) -> None:
    """Half a pair and half a unit are read as U+FFFD and spoil nothing else."""
    assert UCS2.decode(octets) == text


@pytest.mark.parametrize(
    "text, fill_bits, packed",
    [
        ("hello", 0, "e8329bfd06"),
        ("hellohello", 0, "e8329bfd4697d9ec37"),
        ("A", 0, "41"),
        ("A", 1, "82"),
        ("A", 2, "0401"),
        ("", 0, ""),
        ("€", 0, "9b32"),
        ("a" * 8, 0, "e170381c0e87c3"),
    ],
)
def test_pack_golden(text: str, fill_bits: int, packed: str) -> None:
    """Septets fill octets from the lowest bit on, behind the fill bits: TS 23.038 6.1.2.1.1."""
    assert pack(GSM.encode(text), fill_bits).hex() == packed
    assert GSM.decode(unpack(bytes.fromhex(packed), len(GSM.encode(text)), fill_bits)) == text


@given(st.binary(max_size=200), st.integers(-5, 400), st.integers(0, 6))
def test_unpack_takes_anything(octets: bytes, septets_count: int, fill_bits: int) -> None:
    """Unpacking gives septets, at most as many as asked for and as the octets hold."""
    septets = unpack(octets, septets_count, fill_bits)
    assert len(septets) == max(0, min(septets_count, (8 * len(octets) - fill_bits) // 7))
    assert max(septets, default=0) < 0x80


@pytest.mark.parametrize("header_octets, fill_bits", [(0, 0), (6, 1), (7, 0), (4, 3), (12, 2)])
def test_fill_bits(header_octets: int, fill_bits: int) -> None:
    """Text begins at a septet border behind the header: TS 23.040 9.2.3.24."""
    assert fill_bits_behind(header_octets) == fill_bits


@pytest.mark.parametrize(
    "alphabet, alone, narrow, wide",
    [
        (GSM, 160, 153, 152),
        (UCS2, 70, 67, 66),
        (septet_alphabet(1, 0), 155, 149, 148),
        (septet_alphabet(0, 2), 155, 149, 148),
        (septet_alphabet(1, 1), 152, 146, 145),
    ],
)
def test_room(alphabet: Alphabet, alone: int, narrow: int, wide: int) -> None:
    """A segment has the room of 140 octets less its header: TS 23.040 9.2.3.24."""
    assert (room(alphabet), room(alphabet, 5), room(alphabet, 6)) == (alone, narrow, wide)


def test_pieces_never_end_inside_a_character() -> None:
    """A border inside an escape pair or a surrogate pair moves one unit to the left."""
    assert pieces(GSM, b"abc\x1bedef", 4) == [b"abc", b"\x1bede", b"f"]
    assert pieces(UCS2, UCS2.encode("ab😀c"), 3) == [UCS2.encode("ab"), UCS2.encode("😀c")]


def test_unknown_languages_read_as_default() -> None:
    """A language without a table here is read by the default table: TS 23.038 6.2.1.2.4."""
    assert septet_alphabet(99, 99) is GSM
    assert septet_alphabet(2, 2) is septet_alphabet(0, 2)


def test_refusal_tells_nothing_of_the_text() -> None:
    """The error of a character that does not fit carries no text."""
    with pytest.raises(NotInAlphabet) as refusal:
        GSM.encode("секрет")
    assert str(refusal.value) == "The text has a character that this alphabet cannot carry."
