"""Delivery receipts: what a deliver_sm says of an earlier message, in its text (SMPP 3.4, appendix B) and in its TLVs.

The text is a custom rather than a standard, so it is written as the appendix has it and read as carriers write it: in
any case, in any order, with fields missing or unknown, whatever stands in the ids. Reading never fails; what it does
not find is empty.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from chappe.smpp.tlv import Tag, Tlvs, find_network_error, read_text
from chappe.smpp.tlv import text as text_tlv

MESSAGE_TYPE: Final = 0x3C  # bits of esm_class (5.2.12)
RECEIPT: Final = 0x04
INTERMEDIATE: Final = 0x20
TEXT_CHARACTERS: Final = 20  # of the message that a receipt repeats (appendix B)
VALUE_MAX: Final = 200  # characters from a key to the end of its value
KEYS: Final = ("id:", "sub:", "dlvrd:", "submit", "done", "stat:", "err:", "text:")
SEPARATORS: Final = ",;"  # of those who do not part fields by blanks alone
UTC_NAME: Final = "UTC"
RECEIPTED_MESSAGE_ID: Final = int(Tag.RECEIPTED_MESSAGE_ID)
MESSAGE_STATE: Final = int(Tag.MESSAGE_STATE)
NETWORK_ERROR_CODE: Final = int(Tag.NETWORK_ERROR_CODE)


class DeliveryReceipt(NamedTuple):
    """What was found in one; empty or None where it is not there."""

    id: str = ""  # in the text
    receipted_id: str = ""  # in the TLV receipted_message_id
    stat: str = ""  # in capitals
    message_state: int | None = None  # 5.2.28, in the TLV
    error: str = ""
    network_error: int | None = None


def is_receipt(esm_class: int, tlvs: Tlvs) -> bool:
    """Whether a deliver_sm or data_sm is one by its flags, or where these say nothing, by its TLVs."""
    kind = esm_class & MESSAGE_TYPE
    if kind or not tlvs:
        return kind in (RECEIPT, INTERMEDIATE)
    tags = [tag for tag, _ in tlvs]
    return RECEIPTED_MESSAGE_ID in tags and MESSAGE_STATE in tags


def read_receipt(text: str, tlvs: Tlvs = ()) -> DeliveryReceipt:
    """All that a receipt says of a message and its state, in its text and beside it."""
    receipted_id, message_state, network_error = "", None, None
    for tag, value in tlvs:
        if tag == RECEIPTED_MESSAGE_ID:
            receipted_id = read_text(value).strip()
        elif tag == MESSAGE_STATE:
            message_state = int.from_bytes(value) if value else None
        elif tag == NETWORK_ERROR_CODE:
            found = find_network_error(tlvs)
            network_error = found.code if found is not None else None
    message_id, stat, error = _fields(text)
    return DeliveryReceipt(message_id, receipted_id, stat, message_state, error, network_error)


def _fields(text: str) -> tuple[str, ...]:
    """id, stat and err."""
    classic = CLASSIC(text)
    if classic is not None:
        return classic.groups()
    lowered = text.lower()
    end = _head_end(lowered)
    return (
        _value(text, lowered, "id:", end),
        _value(text, lowered, "stat:", end).upper(),
        _value(text, lowered, "err:", end),
    )


# Most are exactly this, and are read at one go.
CLASSIC: Final = re.compile(
    r"id:(\w+) sub:\d* dlvrd:\d* submit date:\d* done date:\d* stat:([A-Z]+) err:(\w*)(?: [Tt]ext:|$)"
).match


def read_dates(text: str) -> tuple[str, str]:
    """When the message was submitted and when it came into its state, as `read_date` reads them; empty where the text
    does not say."""
    lowered = text.lower()
    end = _head_end(lowered)
    return _value(text, lowered, "submit date:", end), _value(text, lowered, "done date:", end)


def _head_end(lowered: str) -> int:
    """Where the fields end: what the message said stands behind them and may look like anything. Where it stands before
    the state, it is one of them."""
    end = lowered.find("text:")
    return end if end >= 0 and lowered.find("stat:", 0, end) >= 0 else len(lowered)


def _value(text: str, lowered: str, key: str, end: int) -> str:
    """The word behind a key that is not the end of another key."""
    place = lowered.find(key, 0, end)
    while place > 0 and lowered[place - 1].isalnum():
        place = lowered.find(key, place + 1, end)
    if place < 0:
        return ""
    start = place + len(key)
    word = text[start : max(start, text.find(" ", start, end))]
    if word.isalnum():
        return word
    words = text[start : min(end, start + VALUE_MAX)].split(None, 1)  # blanks before it, line breaks, the last field
    word = words[0] if words else ""
    if word.lower().startswith(KEYS):
        return ""
    for separator in SEPARATORS:
        if separator in word and word.partition(separator)[2].lower().startswith(KEYS):
            word = word.partition(separator)[0]
    return word.rstrip(SEPARATORS)


def write_text(
    *,
    id: str,
    stat: str,
    submitted: str,
    done: str,
    error: int = 0,
    is_delivered: bool,
    text: str = "",
) -> str:
    """The text of a receipt as appendix B has it; dates as `date_of` writes them."""
    return (
        f"id:{id} sub:001 dlvrd:00{is_delivered:d} submit date:{submitted} done date:{done} "
        f"stat:{stat} err:{error:03} text:{text[:TEXT_CHARACTERS]}"
    )


def write_tlvs(message_id: str, message_state: int) -> Tlvs:
    """The same for machines (5.3.2.12, 5.3.2.35)."""
    return text_tlv(RECEIPTED_MESSAGE_ID, message_id), (MESSAGE_STATE, bytes((message_state,)))


def date_of(instant_ms: int, timezone: str = UTC_NAME) -> str:
    """YYMMDDhhmm on the wall clock of a zone."""
    return _date(instant_ms // 60_000, timezone)


@lru_cache(maxsize=4096)  # many messages come into their states within the same minute
def _date(minute: int, timezone: str) -> str:
    zone = UTC if timezone == UTC_NAME else ZoneInfo(timezone)
    return f"{datetime.fromtimestamp(minute * 60, zone):%y%m%d%H%M}"


def read_date(written: str, timezone: str = UTC_NAME) -> int | None:
    """The instant (milliseconds) of a receipt's date, with or without seconds or the century; None for what is none."""
    layout = LAYOUTS.get(len(written))
    if layout is None or not (written.isascii() and written.isdigit()):
        return None
    try:
        wall_clock = datetime.strptime(written, layout)
        return int(wall_clock.replace(tzinfo=ZoneInfo(timezone)).timestamp()) * 1000
    except (ValueError, OverflowError, KeyError):
        return None


LAYOUTS: Final = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}
