"""What send.php is to send: phones and texts, in what coding, when and from whom (2.1, 2.2).

What is wrong with a parameter itself is found here; numbers, sender and route are judged by the gateway.
"""

import re
from bisect import bisect_right
from datetime import tzinfo

from msgspec import Struct

from chappe.core.centre import Call, FetchTime, Instant, Outcome
from chappe.core.model import Account, Coding, Submission
from chappe.dialects.base import Flow, numbers_of
from chappe.dialects.smscentre.facts import (
    BAD_DATE,
    BINARY_COMMENT,
    COMMENT,
    CORRECTIONS,
    LINE_BREAK,
    LIST_LINE,
    LIST_NUMBERS,
    NO_SENDER,
    NOT_SERVED,
    NOT_SERVED_PREFIXES,
    PARAMETERS,
    PERIOD_H,
    PLAIN_BINARY,
    PORTION_MIN,
    PUNCTUATION,
    RECIPIENTS_MAX,
    SEPARATORS,
    TEXT_MAX,
    Fault,
)
from chappe.dialects.smscentre.fields import Asked
from chappe.dialects.smscentre.times import read_moment, read_validity_s, zone_of
from chappe.sms.segments import SEGMENTS_MAX, STANDARD, count
from chappe.sms.translit import LOOK_ALIKE, PHONETIC, transliterate

TABLES = {"": None, "0": None, "1": PHONETIC, "2": LOOK_ALIKE}  # translit: 2.1
HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
DECIMAL_HOURS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3})?")
WHOLE = re.compile(r"[0-9]{1,4}")

Addressed = tuple[tuple[str, ...], str]  # phones, and the text that they get


class Timing(Struct, frozen=True, kw_only=True):
    """When the messages are sent, over how long, and how long they live."""

    scheduled_ms: int | None = None
    validity_s: int | None = None
    spread_s: int = 0
    portion_s: int = 60


def read_submission(asked: Asked, account: Account, client_id: str) -> Flow[Call, Outcome, Submission | Fault]:
    """What is to be sent, or what is wrong with the parameters themselves."""
    if any(map(asked.is_on, NOT_SERVED)):
        return PARAMETERS
    coding = coding_of(asked)
    addressed = read_list(asked["list"], has_breaks=asked.is_on("nl")) if asked["list"].strip() else read_phones(asked)
    if isinstance(addressed, Fault) or coding is None:
        return PARAMETERS
    texts = [read_text(asked, text, coding) for _, text in addressed]
    recipients = tuple(correct(number) for numbers, _ in addressed for number in numbers)
    if not recipients or len(recipients) > RECIPIENTS_MAX or not all(texts):
        return PARAMETERS
    timing = yield from read_timing(asked, account)
    if isinstance(timing, Fault):
        return timing
    each = tuple(text or "" for (numbers, _), text in zip(addressed, texts, strict=True) for _ in numbers)
    return Submission(
        recipients=recipients,
        text=each[0],
        texts=each if len(set(each)) > 1 else (),
        originator=originator_of(asked, account),
        reference=client_id,
        is_findable=bool(client_id),
        takes_part=True,
        coding=coding,
        scheduled_ms=timing.scheduled_ms,
        validity_s=timing.validity_s,
        spread_s=timing.spread_s,
        portion_s=timing.portion_s,
        counting=STANDARD,
    )


def read_phones(asked: Asked) -> list[Addressed]:
    return [(numbers_of(asked["phones"], SEPARATORS), asked["mes"])]


def read_list(written: str, *, has_breaks: bool) -> list[Addressed] | Fault:
    """Lines of phones, a colon or semicolon, and a text; with `nl`, a line that does not begin with phones goes on with
    the text before it, and without, a line break in a text is written as a backslash and an n (2.1)."""
    addressed: list[Addressed] = []
    for line in entries_of(written, has_breaks=has_breaks):
        parts = LIST_LINE.fullmatch(line)
        numbers = numbers_of(parts[1], ",") if parts else ()
        if parts is None or not numbers:
            return PARAMETERS
        addressed.append((numbers, parts[2] if has_breaks else parts[2].replace(LINE_BREAK, "\n")))
    return addressed


def entries_of(written: str, *, has_breaks: bool) -> list[str]:
    """The lines of a list; with `nl`, a line that does not begin with phones belongs to the one before it."""
    lines = written.lstrip().replace("\r\n", "\n").split("\n")
    if not has_breaks:
        return [line for line in lines if line.strip()]
    starts = [index for index, line in enumerate(lines) if not index or LIST_NUMBERS.match(line)]
    return [
        "\n".join(lines[start:end]).rstrip("\n") for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]


def correct(number: str) -> str:
    """The digits of a number: as they are behind a plus sign, else with the provider's corrections (2.1)."""
    number = PUNCTUATION.sub("", number)
    if number.startswith("+"):
        return number[1:]
    for pattern, corrected in CORRECTIONS:
        if pattern.fullmatch(number):
            return pattern.sub(corrected, number)
    return number


def coding_of(asked: Asked) -> Coding | None:
    """None for a `bin` that does not exist."""
    if asked.is_on("bin"):
        return Coding.BINARY if asked["bin"].strip() in ("1", "2") else None
    return Coding.FLASH if asked.is_on("flash") else Coding.TEXT


def read_text(asked: Asked, text: str, coding: Coding) -> str | None:
    """What goes on air of a text: without its comment (2.2), transliterated, cut; None where there is nothing to send,
    too much, or a kind of message that we do not serve."""
    if coding is Coding.BINARY:
        return read_binary(asked, text)
    translit, parts_max = asked["translit"].strip(), asked["maxsms"].strip() or "0"
    if translit not in TABLES or not WHOLE.fullmatch(parts_max) or text.startswith(NOT_SERVED_PREFIXES):
        return None
    text = COMMENT.split(text, maxsplit=1)[0]
    if len(text) > TEXT_MAX:
        return None
    table = TABLES[translit]
    return shorten(transliterate(text, table) if table else text, int(parts_max))


def read_binary(asked: Asked, text: str) -> str | None:
    """Octets as hexadecimal digits: those of `mes` (or of a text in `list`), or the digits it has already. A comment
    may name the protocol id and the coding that all of ours have, and no other (2.1)."""
    if "\ufffd" in text and asked["list"].strip():  # octets that the charset has not: they are lost already
        return None
    octets = text.encode(asked.codec, "replace") if asked["list"].strip() else asked.fields.get(b"mes", b"")
    comment = BINARY_COMMENT.search(octets)
    if comment is not None:
        if (int(comment[1]), int(comment[2])) != PLAIN_BINARY:
            return None
        octets = octets[: comment.start()]
    if asked["bin"].strip() == "1":
        return octets.hex().upper()
    digits = octets.decode("ascii", "replace").strip()
    return digits.upper() if HEX.fullmatch(digits) else None


def shorten(text: str, parts_max: int) -> str:
    """As much of the text as so many parts hold; 0 stands for as many as it takes."""
    if not parts_max:
        return text

    def parts(length: int) -> int:  # never fewer for a longer beginning
        return count(text[:length], STANDARD) or SEGMENTS_MAX + 1

    return text[: bisect_right(range(len(text) + 1), parts_max, key=parts) - 1]


def originator_of(asked: Asked, account: Account) -> str:
    """A sender as it is; the account's own where none is named, and the provider's where the account's is not wanted
    (2.1)."""
    sender = asked["sender"].strip()
    if sender not in NO_SENDER:
        return sender
    return "" if "sender" in asked else next(iter(account.senders + account.numbers), "")


def read_timing(asked: Asked, account: Account) -> Flow[Call, Outcome, Timing | Fault]:
    """`time` and `tz`, `period` and `freq`, `valid` (2.1)."""
    zone = zone_of(asked["tz"].strip(), account.timezone)
    scheduled_ms = zone if isinstance(zone, Fault) else (yield from read_schedule(asked["time"].rstrip(), zone))
    if isinstance(scheduled_ms, Fault):
        return scheduled_ms
    period, portion, valid = asked["period"].strip(), asked["freq"].strip(), asked["valid"].strip()
    spread_s = read_period_s(period) if period not in ("", "0") else 0
    portion_s = int(portion) * 60 if WHOLE.fullmatch(portion) and int(portion) in PORTION_MIN else 0
    validity_s = read_validity_s(valid) if valid not in ("", "0") else 0
    if spread_s is None or validity_s is None or (portion not in ("", "0") and not portion_s):
        return PARAMETERS
    return Timing(
        scheduled_ms=scheduled_ms or None,
        validity_s=validity_s or None,
        spread_s=spread_s,
        portion_s=portion_s or Timing().portion_s,
    )


def read_schedule(written: str, zone: tzinfo) -> Flow[Call, Outcome, int | Fault]:
    """The instant, 0 for at once; the clock is asked only where it matters."""
    if written.strip() in ("", "0"):
        return 0
    now = yield FetchTime()
    return read_moment(written, zone, now.now_ms) if isinstance(now, Instant) else BAD_DATE


def read_period_s(written: str) -> int | None:
    hours = float(written) if DECIMAL_HOURS.fullmatch(written) else 0.0
    return round(hours * 3600) if PERIOD_H[0] <= hours <= PERIOD_H[1] else None
