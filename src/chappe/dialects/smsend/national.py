"""Numbers as customers write them, made international: `+...`, `00...`, or the national form of their country (4.4).

A number without a prefix is ambiguous where the account has a country. It is taken for an international one if it
begins with the country's code and enough is left behind that; 393471234567 is one, 3931234567 is not.
"""

import re

from chappe.dialects.smsend.facts import NATIONAL_DIGITS_MIN, TRUNK_ZERO_STAYS
from chappe.sms.numbers import parse_msisdn

PUNCTUATION = re.compile(r"[ ().-]")


def international(written: str, country: str) -> str:
    """With its plus sign, where it can be told; else as it was written, for the gateway to judge. `country` is a
    calling code, or empty: then every number has one already."""
    written = written.strip()
    if written.startswith(("+", "00")):
        number = parse_msisdn(written)
        return f"+{number}" if number else written
    digits = PUNCTUATION.sub("", written)
    if not country or not (digits.isascii() and digits.isdigit()):
        return written
    if digits.startswith(country) and len(digits) - len(country) >= NATIONAL_DIGITS_MIN:
        return f"+{digits}"
    return f"+{country}{digits if country in TRUNK_ZERO_STAYS else digits.removeprefix('0')}"
