"""What may become of a message at a simulated carrier: by the ending of its number, or chosen for the next one.

The endings are a contract (design: dispatch), so that applications can be tested against every fate a message may have;
the names are what the panel, the API and tests choose a fate by.
"""

from typing import NamedTuple

from chappe.core.centre import Refusal
from chappe.core.model import State

LATE_S = 60.0
LATE_MAX_S = 86_400.0
THROTTLED_TIMES = 2
MAGIC_DIGITS = 4


class Fate(NamedTuple):
    """What happens to a message: the verdict on it, and the receipts that follow."""

    refusal: Refusal | None = None
    is_answered: bool = True
    receipts: tuple[State, ...] = (State.DELIVERED,)
    is_early: bool = False  # the receipt comes before the answer
    delay_s: float = 0.0
    throttled_times: int = 0
    is_answered_by_phone: bool = False


DELIVERED = Fate()
NAMED: dict[str, Fate] = {
    "delivered": DELIVERED,
    "undeliverable": Fate(receipts=(State.UNDELIVERABLE,)),
    "refused": Fate(refusal=Refusal.BAD_RECIPIENT),
    "no_answer": Fate(is_answered=False, receipts=()),
    "expired": Fate(receipts=(State.EXPIRED,)),
    "throttled": Fate(throttled_times=THROTTLED_TIMES),
    "early_receipt": Fate(is_early=True),
    "receipt_twice": Fate(receipts=(State.DELIVERED, State.DELIVERED)),
    "late": Fate(delay_s=LATE_S),
    "no_receipt": Fate(receipts=()),
    "answered_by_phone": Fate(is_answered_by_phone=True),
}
FATES: dict[str, Fate] = {
    f"90{number:02d}": fate for number, fate in enumerate(NAMED.values()) if number
}  # by the ending of a number


def fate_of_number(recipient: str) -> Fate:
    """What the number itself asks for."""
    return FATES.get(recipient[-MAGIC_DIGITS:], DELIVERED)


def fate_named(name: str, late_s: float | None = None) -> Fate | None:
    """The fate of that name; `late_s` is how many seconds the receipt of a late one takes. None where no fate is called
    so, or none can be that late."""
    fate = NAMED.get(name)
    if fate is None or late_s is None:
        return fate
    return fate._replace(delay_s=late_s) if fate.delay_s and 0 < late_s <= LATE_MAX_S else None
