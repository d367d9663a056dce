"""Which callbacks must be made first: those of one message keep their order, also where one of them is tried again."""

import msgspec

from chappe.store.callbacks import DueCallback

IN_HAND_S = 60  # how long a claimed callback is ours before it comes due again
EARLIER_MAX = 10_000  # callbacks to one place, failed or put off, that later ones wait for
FOLLOW_S = 1.0  # how long after a failed callback's next attempt a later one is looked at again


class Earlier:
    """By message, the first callback that has to be tried (again), of those to one place. The table is bounded."""

    def __init__(self) -> None:
        self._first: dict[int, DueCallback] = {}

    def wait_s(self, due: DueCallback, now_ms: int) -> float:
        """How long a callback must wait for an earlier one of its message."""
        earlier = self._first.get(due.message_id)
        if earlier is None or earlier.id >= due.id or is_overdue(earlier, now_ms):
            return 0.0
        return max((earlier.due_ms - now_ms) / 1000 + FOLLOW_S, FOLLOW_S)

    def remember(self, due: DueCallback, due_ms: int, now_ms: int) -> None:
        """A callback is made later: those of its message that come after it wait for it."""
        earlier = self._first.get(due.message_id)
        if earlier is not None and earlier.id < due.id and not is_overdue(earlier, now_ms):
            return
        if len(self._first) >= EARLIER_MAX:
            oldest = next(iter(self._first))
            if not is_overdue(self._first[oldest], now_ms):
                return
            del self._first[oldest]
        self._first[due.message_id] = msgspec.structs.replace(due, due_ms=due_ms)

    def forget(self, due: DueCallback) -> None:
        """It was made, or never will be."""
        self._first.pop(due.message_id, None)


def is_overdue(due: DueCallback, now_ms: int) -> bool:
    """What was not tried when it was due, another node has taken up."""
    return now_ms > due.due_ms + IN_HAND_S * 1000
