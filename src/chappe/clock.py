"""The only module that asks what time it is.

`now_ms` is the wall clock, for what people see and for due times; `monotonic_s` never steps, for time-outs and rates.
Everything else takes instants as arguments or a `Clock`, so that tests hand in their own.
"""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some instant, never stepping."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
