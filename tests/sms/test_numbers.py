"""Numbers as people and programs write them, senders, log masks and countries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.sms.numbers import Originator, OriginatorKind, country, mask, parse_msisdn, parse_originator


@pytest.mark.parametrize(
    "text, expected",
    [
        ("393471234567", "393471234567"),
        ("+393471234567", "393471234567"),
        ("00393471234567", "393471234567"),
        ("+39 347 123-45-67", "393471234567"),
        (" (+39) 347.123.4567 ", "393471234567"),
        ("+1 (212) 555\u20111234", "12125551234"),
        ("\u202a+7\u00a0916\u00a01234567\u202c", "79161234567"),
        ("1234567", "1234567"),
        ("123456789012345", "123456789012345"),
        ("123456", None),
        ("1234567890123456", None),
        ("0471234567", None),
        ("+0471234567", None),
        ("000471234567", None),
        ("+00393471234567", None),
        ("++393471234567", None),
        ("39+3471234567", None),
        ("+44 (0)20 7946 0000", None),
        ("+44 (020) 7946 0000", None),
        ("39347123456a", None),
        ("39347123456\u0664", None),
        ("\uff13\uff19347123456", None),
        ("393471234567\n", None),
        ("3934712,34567", None),
        ("", None),
        ("+", None),
        ("1" + " " * 100 + "234567", None),
    ],
)
def test_msisdn(text: str, expected: str | None) -> None:
    """A number is read with its prefix and punctuation, or refused: never guessed."""
    assert parse_msisdn(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("393471234567", "393471234567"),
        ("+393471234567", None),
        ("00393471234567", None),
        ("39 3471234567", None),
        ("393471234567\n", None),
        ("123456", None),
        ("1234567890123456", None),
    ],
)
def test_strict_msisdn(text: str, expected: str | None) -> None:
    """The strict reading takes digits and nothing else."""
    assert parse_msisdn(text, strict=True) == expected


@given(st.text())
def test_msisdn_takes_anything(text: str) -> None:
    """Whatever is written, the answer is None or 7 to 15 ASCII digits that read as themselves."""
    number = parse_msisdn(text)
    if number is not None:
        assert number.isascii()
        assert number.isdigit()
        assert 7 <= len(number) <= 15
        assert parse_msisdn(number, strict=True) == number


@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), st.sampled_from(["", "+", "00"]), st.data())
def test_punctuation_changes_nothing(number: str, prefix: str, draw: st.DataObject) -> None:
    """Blanks and marks between the digits never change the number."""
    marks = st.text(st.sampled_from(" -."), max_size=2)
    written = prefix + "".join(digit + draw.draw(marks) for digit in number)
    assert parse_msisdn(written) == number


@pytest.mark.parametrize(
    "text, kind, value",
    [
        ("+39 347 1234567", OriginatorKind.MSISDN, "393471234567"),
        ("1234567", OriginatorKind.MSISDN, "1234567"),
        ("911", OriginatorKind.SHORT_CODE, "911"),
        ("030", OriginatorKind.SHORT_CODE, "030"),
        ("123456", OriginatorKind.SHORT_CODE, "123456"),
        ("ACME", OriginatorKind.ALPHANUMERIC, "ACME"),
        (" ACME ", OriginatorKind.ALPHANUMERIC, "ACME"),
        ("Your Bank 24", None, None),
        ("Your Bank24", OriginatorKind.ALPHANUMERIC, "Your Bank24"),
        ("A+B@C_ñ", OriginatorKind.ALPHANUMERIC, "A+B@C_ñ"),
        ("abcdefghi{", OriginatorKind.ALPHANUMERIC, "abcdefghi{"),
        ("abcdefghij{", None, None),
        ("4U", OriginatorKind.ALPHANUMERIC, "4U"),
        ("12", None, None),
        ("1234567890123456", None, None),
        ("***", None, None),
        ("AC\nME", None, None),
        ("Банк", None, None),
        ("", None, None),
    ],
)
def test_originator(text: str, kind: OriginatorKind | None, value: str | None) -> None:
    """A sender is a number, a short code, or a name of at most 11 septets; anything else is refused."""
    expected = None if kind is None or value is None else Originator(kind, value)
    assert parse_originator(text) == expected


@pytest.mark.parametrize(
    "number, masked",
    [
        ("393471234567", "3934******67"),
        ("123456789012345", "1234*********45"),
        ("1234567", "1****67"),
        ("123456", "******"),
        ("ACME", "****"),
        ("", ""),
    ],
)
def test_mask(number: str, masked: str) -> None:
    """A masked number shows where it belongs, not whose it is."""
    assert mask(number) == masked


@given(st.text())
def test_mask_always_hides(number: str) -> None:
    """At least four characters, or all of them, are hidden."""
    masked = mask(number)
    assert len(masked) == len(number)
    assert masked.count("*") >= min(4, len(number))


@pytest.mark.parametrize(
    "msisdn, expected",
    [
        ("12125551234", "US"),
        ("14165551234", "CA"),
        ("18675551234", "CA"),
        ("18765551234", "JM"),
        ("16585551234", "JM"),
        ("18095551234", "DO"),
        ("17875551234", "PR"),
        ("13405551234", "VI"),
        ("79161234567", "RU"),
        ("77011234567", "KZ"),
        ("76001234567", "KZ"),
        ("201001234567", "EG"),
        ("211912345678", "SS"),
        ("27821234567", "ZA"),
        ("262692123456", "RE"),
        ("262639123456", "YT"),
        ("393471234567", "IT"),
        ("390669812345", "VA"),
        ("35840123456", "FI"),
        ("358181234567", "AX"),
        ("38344123456", "XK"),
        ("420601123456", "CZ"),
        ("447700900123", "GB"),
        ("447781123456", "GB"),
        ("59995181234", "CW"),
        ("5993181234", "BQ"),
        ("590690123456", "GP"),
        ("61412345678", "AU"),
        ("61891621234", "CC"),
        ("85291234567", "HK"),
        ("8613912345678", "CN"),
        ("886912345678", "TW"),
        ("995551234567", "GE"),
        ("881612345678", None),
        ("80012345678", None),
        ("2101234567", None),
        ("9991234567", None),
        ("", None),
    ],
)
def test_country(msisdn: str, expected: str | None) -> None:
    """The longest E.164 prefix tells the country; networks of no country and unassigned codes have none."""
    assert country(msisdn) == expected


def test_every_code_of_a_country_is_known() -> None:
    """Of all codes from 200 on, only those that ITU has not assigned, or not to a country, lead nowhere."""
    unassigned = {210, 214, 215, 217, 219, 259, *range(280, 290), *range(292, 297), 384, 388, 422, *range(424, 430)}
    unassigned |= {671, 684, *range(693, 700), *range(801, 808), 809, *range(830, 840), 851, 854, 857, 858, 859}
    unassigned |= {*range(871, 878), 879, 884, 885, 887, 889, *range(890, 900), 969, 978, 990, 999}
    networks = {800, 808, 870, 878, 881, 882, 883, 888, 979, 991}
    assert {code for code in range(200, 1000) if country(f"{code}55512345") is None} == unassigned | networks
