"""Ids and dates as the provider writes them: pure functions, which both halves use.

Our ids are printed in the shape of the provider's, and read back from that shape alone (3.3).
"""

import re

from chappe.core.ids import EPOCH_MS, RANDOM_BITS
from chappe.dialects.times import wall_clock
from chappe.dialects.voipcom.facts import DATE

SMSID = re.compile(r"([0-9]{4})([0-9a-f]{8})([0-9a-f]{5})([0-9]{10})")  # 3.3


def smsid_of(our_id: int) -> str:
    """An id of ours in the shape of 3.3: 4 digits, 13 hexadecimal ones as PHP's `uniqid` makes them of the time, 10
    digits. The first ones are a check, the time is the one in our id, the last ones its random bits."""
    since_epoch_ms, random_bits = divmod(our_id, 1 << RANDOM_BITS)
    seconds, milliseconds = divmod(since_epoch_ms + EPOCH_MS, 1000)
    era, seconds = divmod(seconds, 1 << 32)
    check = our_id % 9973  # a prime, so that one wrong digit anywhere is seen
    return f"{check:04}{seconds:08x}{milliseconds * 1000:05x}{era * 10**9 + random_bits:010}"


def id_of(smsid: str) -> int | None:
    """Our id behind an `smsid`; None for one that `smsid_of` does not print."""
    match = SMSID.fullmatch(smsid)
    if match is None:
        return None
    era, random_bits = divmod(int(match[4]), 10**9)
    seconds = (era << 32) + int(match[2], 16)
    our_id = ((seconds * 1000 + int(match[3], 16) // 1000 - EPOCH_MS) << RANDOM_BITS) + random_bits
    return our_id if 0 <= our_id < 1 << 63 and smsid_of(our_id) == smsid else None


def date_of(instant: int, timezone: str) -> str:
    """`YYYY-MM-DD HH:MM:SS` by the account's clock (3.2, 3.3)."""
    return wall_clock(instant, timezone).strftime(DATE)
