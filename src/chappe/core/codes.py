"""One-time codes in texts, found as phones find them: to be copied, or read by a test. Pure."""

import re

# Bound to a site (its own last line): `@example.com #123456`.
BOUND = re.compile(r"(?m)^@[\w.-]+ #(\S{3,16})\s*(?:@\S*)?$")
DIGITS = r"\d{3}[ -]\d{3}|\d{4,8}"
# Alone: not within a longer number, an amount, a date, a time, an address or an id.
BEFORE = r"(?<![\w@#/.,:+€$£%-])(?<![€$£+] )(?:[A-Z]{1,3}-)?"
BEHIND = r"(?![\w@/%€$£-]|[.,:]\d| ?(?:EUR|USD|GBP|RUB|€|\$|£|%))"
NUMBER = re.compile(f"{BEFORE}({DIGITS}){BEHIND}")
MIXED = re.compile(
    r"(?<![\w@#/.-])(?=[A-Z0-9-]*\d)(?=[A-Z0-9-]*[A-Z])([A-Z0-9]{4,10}|[A-Z0-9]{3,5}-[A-Z0-9]{3,5})(?![\w/-])"
)
WORD = re.compile(
    r"\b(?:one[- ]time|verification|security|confirmation|login|access|auth\w*)\b|"
    r"code|codice|c[óo]digo|passcode|password|\botp\b|\bpin\b|\btoken\b|код|парол|\bkod\b|\bcod\b",
    re.IGNORECASE,
)
FAR = 10_000
TEXT_MAX = 4_000  # characters that are looked through


def span_of_code(text: str) -> tuple[int, int] | None:
    """Where in a text its one-time code stands; of several candidates the one nearest to a word that announces codes.
    None where there is none."""
    text = text[:TEXT_MAX]
    bound = list(BOUND.finditer(text))
    if bound:
        code = bound[-1][1]
        written = text.find(code)
        return written, written + len(code)
    words = [match.span() for match in WORD.finditer(text)]
    candidates = [match.span(1) for match in NUMBER.finditer(text)]
    if words:
        candidates += [match.span(1) for match in MIXED.finditer(text)]
    else:
        candidates = [one for one in candidates if not is_year(text[slice(*one)])]
    return min(candidates, key=lambda span: (distance(span, words), span), default=None)


def code_in(text: str) -> str | None:
    """The one-time code of a text, without the blank or dash in its middle; None where there is none."""
    span = span_of_code(text)
    if span is None:
        return None
    written = text[slice(*span)]
    return re.sub("[ -]", "", written) if re.fullmatch(DIGITS, written) else written


def distance(span: tuple[int, int], words: list[tuple[int, int]]) -> int:
    """How far a candidate is from the nearest word; one that follows is nearer than one that leads."""
    return min(
        (span[0] - end if span[0] >= end else (begin - span[1]) * 2 for begin, end in words if span != (begin, end)),
        default=FAR,
    )


def is_year(digits: str) -> bool:
    return len(digits) == 4 and digits[:2] in ("19", "20")
