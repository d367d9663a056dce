"""Numbers and names as SMPP addresses them (SMPP 3.4, 5.2.5 to 5.2.9), and as they stand in our records."""

from functools import lru_cache
from typing import Final, NamedTuple

from chappe.dialects.smpp.words import LinkWords
from chappe.smpp.pdu import Address
from chappe.sms.alphabets import GSM, NotInAlphabet
from chappe.sms.numbers import OriginatorKind, parse_originator

UNKNOWN, INTERNATIONAL, NATIONAL, NETWORK, SUBSCRIBER, ALPHANUMERIC, ABBREVIATED = range(7)  # TON: 5.2.5
TONS: Final = frozenset(range(7))
ISDN: Final = 1
NPIS: Final = frozenset({0, 1, 3, 4, 6, 8, 9, 10, 14, 18})  # 5.2.6
TRUNK_ZERO_STAYS: Final = frozenset({"39"})  # in Italy it is a part of the number
NAME_MAX: Final = 20  # octets of an address (5.2.8)


def source_of(originator: str, words: LinkWords) -> Address | None:
    """Where a message comes from; None for a name that the field cannot hold."""
    return _source(
        originator,
        words.source_ton,
        words.source_npi,
        words.short_code_ton,
        words.short_code_npi,
        words.alphanumeric_charset,
    )


@lru_cache(maxsize=4096)  # an account sends under few names, again and again
def _source(
    originator: str, ton: int | None, npi: int | None, short_code_ton: int, short_code_npi: int, charset: str
) -> Address | None:
    found = parse_originator(originator)
    if found is None and originator:
        automatic, value = (ALPHANUMERIC, 0), originator
    elif found is None:
        automatic, value = (UNKNOWN, 0), ""
    elif found.kind is OriginatorKind.MSISDN:
        automatic, value = (INTERNATIONAL, ISDN), found.value
    elif found.kind is OriginatorKind.SHORT_CODE:
        automatic, value = (short_code_ton, short_code_npi), found.value
    else:
        automatic, value = (ALPHANUMERIC, 0), found.value
    if automatic[0] == ALPHANUMERIC:
        in_field = name_in_field(value, charset)
        if in_field is None:
            return None
        return Address(*automatic, in_field)
    return Address(automatic[0] if ton is None else ton, automatic[1] if npi is None else npi, value)


def name_in_field(name: str, charset: str) -> str | None:
    """A name as the characters of a C-octet string; None where they have no octets, where one would end it, or where
    there are too many."""
    if charset != "gsm":
        return name if len(name) <= NAME_MAX and all(0 < ord(character) < 256 for character in name) else None
    try:
        octets = GSM.encode(name)
    except NotInAlphabet:
        return None
    return None if 0 in octets or len(octets) > NAME_MAX else octets.decode("latin-1")


def number_of(ton: int, value: str, words: LinkWords) -> str:
    """A number or name as our records have it: international ones with digits alone, as far as that can be told."""
    if ton == INTERNATIONAL and value[:1] != "+" and value[:2] != "00":
        return value
    return _number(ton, value, words.alphanumeric_charset, words.country)


def _number(ton: int, value: str, charset: str, country: str) -> str:
    if ton == ALPHANUMERIC:
        return GSM.decode(value.encode("latin-1", "replace")) if charset == "gsm" else value
    if value[:1] == "+":
        return value[1:]
    if value[:2] == "00" and ton in (UNKNOWN, INTERNATIONAL):
        return value[2:]
    if country and (ton == NATIONAL or (ton == UNKNOWN and value[:1] == "0")):
        return country + (value if country in TRUNK_ZERO_STAYS else value.removeprefix("0"))
    return value


class Originator(NamedTuple):
    """A source address as a submission has it, and how it was written where our record will not show that."""

    name: str
    written: str


def originator_of(ton: int, value: str, words: LinkWords) -> Originator:
    """Who submits a message."""
    return _originator(ton, value, words.alphanumeric_charset, words.country)


@lru_cache(maxsize=4096)
def _originator(ton: int, value: str, charset: str, country: str) -> Originator:
    name = _number(ton, value, charset, country)
    return Originator(name, "" if value == as_kept(name) else value)


def as_kept(originator: str) -> str:
    """An originator as our records have it."""
    found = parse_originator(originator)
    return found.value if found is not None else originator
