"""Message ids: 63-bit integers that grow with time, made before anything is written.

42 bits of milliseconds since 2024 and 21 random bits. Within one maker they strictly grow; a submission to many
recipients takes a run of consecutive ids, so that the first one names the whole submission.
"""

from collections.abc import Callable

EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
RANDOM_BITS = 21

ID_MAX = (1 << 63) - 1
DIGITS_MAX = len(str(ID_MAX))


def made_ms(made_id: int) -> int:
    """When an id was made."""
    return (made_id >> RANDOM_BITS) + EPOCH_MS


def first_id(instant_ms: int) -> int:
    """The smallest id that may be made at an instant: a span of time is a span of ids."""
    return max(0, min(ID_MAX, (instant_ms - EPOCH_MS) << RANDOM_BITS))


def read_id(text: str) -> int | None:
    """The id that is written in decimal digits; None for what is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if is_number and int(text) <= ID_MAX else None


class IdMaker:
    """Makes ids that nobody else makes; `random_bits(k)` supplies k random bits as an integer."""

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._last = 0

    def make(self, now_ms: int, count: int = 1) -> int:
        """The first of `count` consecutive ids."""
        fresh = ((now_ms - EPOCH_MS) << RANDOM_BITS) | self._random_bits(RANDOM_BITS)
        # Within a busy millisecond (or when the clock steps back) go on from the last id by a random stride.
        first = fresh if fresh > self._last else self._last + 1 + self._random_bits(RANDOM_BITS - 9)
        self._last = first + count - 1
        return first
