"""Message ids of carriers: the one spelling that is kept, and those in which a receipt may mean the same.

A carrier may pad an id with zeros, change its case, or answer in hexadecimal and receipt in decimal digits. What is
kept is `canonical`; under a rule that is known, a receipt's id is turned into that; else both readings go along as
spellings, and the one that was right tells the rule (`rule_of`).
"""

from typing import Final

from chappe.dialects.smpp.words import Ids

HEXADECIMAL: Final = frozenset("0123456789abcdef")


def canonical(written: str) -> str:
    """Hexadecimal ids in lower case without leading zeros; another in lower case too, unless it has both cases."""
    written = written.strip()
    if written.isdigit() and written.isascii():
        return written.lstrip("0") or written[:1]
    lowered = written.lower()
    if HEXADECIMAL.issuperset(lowered):
        return lowered.lstrip("0")
    return lowered if written in (lowered, written.upper()) else written


def to_hex(reference: str) -> str:
    """What a canonical decimal id is in hexadecimal digits; empty where it is none."""
    return f"{int(reference):x}" if reference.isdigit() and reference.isascii() else ""


def to_decimal(reference: str) -> str:
    """What a canonical hexadecimal id is in decimal digits; empty where it is none."""
    return str(int(reference, 16)) if reference and HEXADECIMAL.issuperset(reference) else ""


def readings(written: str, also: str, rule: Ids) -> tuple[str, tuple[str, ...]]:
    """The reference that a receipt's id stands for under a rule, and its further spellings. `also` is another id that
    the receipt gives, or empty."""
    reference = canonical(written or also)
    found = spellings_of(reference, rule)
    if also and also != written and written:
        other = canonical(also)
        found += (other, to_hex(other), to_decimal(other))
    if len(found) == 1:
        return reference, ()
    first, *others = dict.fromkeys([one for one in found if one])
    return first, tuple(others)


def spellings_of(reference: str, rule: Ids) -> tuple[str, ...]:
    """What a canonical id may stand for, the likeliest first; some may be empty."""
    if rule is Ids.SAME:
        return (reference,)
    if rule is Ids.HEX_TO_DECIMAL:
        return to_hex(reference), reference
    if rule is Ids.DECIMAL_TO_HEX:
        return to_decimal(reference), reference
    return reference, to_hex(reference), to_decimal(reference)


def rule_of(written: str, matched: str) -> Ids | None:
    """Which rule makes the reference that matched out of a receipt's; None where the two do not show one, because they
    are the same in either, such as 7."""
    written = canonical(written)
    rules = {to_hex(written): Ids.HEX_TO_DECIMAL, to_decimal(written): Ids.DECIMAL_TO_HEX}
    if to_hex(written) == written:
        return None
    return Ids.SAME if matched == written else rules.get(matched)
