"""What happens to messages, told live to whoever watches (the demo's terminal, later the panel), and counted.

Nothing depends on it: the tables are the truth. With nobody watching, telling costs a counter.
"""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

COUNTS_MAX = 1_000  # what is counted by itself: some of the subjects are other people's words
OTHERS = "other"  # stands for every subject beyond


class Step(StrEnum):
    """The steps of a message's trip."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SENT = "sent"
    RETRIED = "retried"
    REROUTED = "rerouted"
    REJECTED = "rejected"
    DOUBTFUL = "doubtful"
    RECEIPT = "receipt"
    PARKED = "parked"
    INBOUND = "inbound"
    CALLBACK = "callback"
    CALLBACK_RETRIED = "callback_retried"
    CALLBACK_FAILED = "callback_failed"


class Event(Struct, frozen=True, kw_only=True):
    """One step of one message. `subject` is what it is about: a dialect, a carrier, a state, an HTTP status."""

    step: Step
    message_id: int
    subject: str
    recipient: str = ""


class Feed:
    def __init__(self) -> None:
        self.counts: Counter[tuple[Step, str]] = Counter()
        self.watchers: list[Callable[[Event], None]] = []

    def tell(self, step: Step, subject: str, message_id: int = 0, recipient: str = "", count: int = 1) -> None:
        known = step, subject
        if known not in self.counts and len(self.counts) >= COUNTS_MAX:
            known = step, OTHERS
        self.counts[known] += count
        if self.watchers:
            event = Event(step=step, message_id=message_id, subject=subject, recipient=recipient)
            for watch in self.watchers:
                watch(event)
