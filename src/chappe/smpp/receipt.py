"""Delivery receipts: what a deliver_sm says of an earlier message, in its text (SMPP 3.4, appendix B) and in its TLVs.

The text is a custom rather than a standard, so it is written as the appendix has it and read as carriers write it: in
any case, in any order, with fields missing or unknown, whatever stands in the ids. Reading never fails; what it does
not find is empty.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from chappe.smpp.tlv import Tag, Tlvs, find_network_error, find_number, number, read_text
from chappe.smpp.tlv import find as find_tlv
from chappe.smpp.tlv import text as text_tlv

MESSAGE_TYPE: Final = 0x3C  # bits of esm_class (5.2.12)
RECEIPT: Final = 0x04
INTERMEDIATE: Final = 0x20
TEXT_CHARACTERS: Final = 20  # of the message that a receipt repeats (appendix B)
UTC_NAME: Final = "UTC"


class DeliveryReceipt(NamedTuple):
    """What was found in one; empty or None where it is not there."""

    id: str = ""  # in the text
    receipted_id: str = ""  # in the TLV receipted_message_id
    stat: str = ""  # in capitals
    message_state: int | None = None  # 5.2.28, in the TLV
    error: str = ""
    network_error: int | None = None
    submitted: str = ""  # YYMMDDhhmm, or with seconds, of a zone that nobody tells
    done: str = ""
    is_intermediate: bool = False


def is_receipt(esm_class: int, tlvs: Tlvs) -> bool:
    """Whether a deliver_sm or data_sm is one by its flags, or where these say nothing, by its TLVs."""
    kind = esm_class & MESSAGE_TYPE
    return kind in (RECEIPT, INTERMEDIATE) or (
        not kind
        and bool(tlvs)
        and find_tlv(tlvs, Tag.RECEIPTED_MESSAGE_ID) is not None
        and find_tlv(tlvs, Tag.MESSAGE_STATE) is not None
    )


def read_receipt(text: str, tlvs: Tlvs = (), esm_class: int = RECEIPT) -> DeliveryReceipt:
    """All that a receipt says, in its text and beside it."""
    head = text.lower()
    end = head.find("text:")
    if end > 0 and "stat:" in head[:end]:  # what the message said may look like anything
        head = head[:end]
    message_state = find_number(tlvs, Tag.MESSAGE_STATE) if tlvs else None
    network_error = find_network_error(tlvs) if tlvs else None
    return DeliveryReceipt(
        id=_value(text, head, "id:"),
        receipted_id=read_text(find_tlv(tlvs, Tag.RECEIPTED_MESSAGE_ID)).strip() if tlvs else "",
        stat=_value(text, head, "stat:").upper(),
        message_state=message_state,
        error=_value(text, head, "err:"),
        network_error=network_error.code if network_error is not None else None,
        submitted=_value(text, head, "submit date:"),
        done=_value(text, head, "done date:"),
        is_intermediate=esm_class & MESSAGE_TYPE == INTERMEDIATE,
    )


def _value(text: str, lowered: str, key: str) -> str:
    """The word behind a key that is not the end of another one; lower case may be longer than the text it is of."""
    place = lowered.find(key)
    while place > 0 and lowered[place - 1].isalnum():
        place = lowered.find(key, place + 1)
    if place < 0:
        return ""
    words = text[place + len(key) : place + len(key) + VALUE_MAX].lstrip(" ").split(" ", 1)[0].split(None, 1)
    return words[0].rstrip(",;") if words else ""


VALUE_MAX: Final = 200  # characters that a value may take, blanks before it included


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


def tlvs_of(message_id: str, message_state: int) -> Tlvs:
    """The same for machines (5.3.2.12, 5.3.2.35)."""
    return text_tlv(Tag.RECEIPTED_MESSAGE_ID, message_id), number(Tag.MESSAGE_STATE, message_state)


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
