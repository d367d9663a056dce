"""How often an account, or an operator's key, may ask: a bucket of tokens each, in memory, and the headers about it
(draft-ietf-httpapi-ratelimit-headers)."""

from math import ceil
from typing import NamedTuple

from chappe.clock import Clock

BUCKETS_MAX = 10_000


class Bucket(NamedTuple):
    tokens: float
    filled_s: float


class Limits:
    """`rate` tokens a second, as many at most; 0 = no limit."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._now_s = clock.monotonic_s
        self._rate = rate
        self._most = max(1.0, rate)
        self._buckets: dict[tuple[int, int], Bucket] = {}

    def take(self, who: tuple[int, int]) -> tuple[bool, tuple[tuple[str, str], ...]]:
        """Whether one more request may be made, and what its answer says of the limit."""
        if not self._rate:
            return True, ()
        now_s = self._now_s()
        bucket = self._buckets.pop(who, Bucket(self._most, now_s))
        tokens = min(self._most, bucket.tokens + (now_s - bucket.filled_s) * self._rate)
        is_free = tokens >= 1
        while len(self._buckets) >= BUCKETS_MAX:  # whoever asked longest ago has a full one by now
            del self._buckets[next(iter(self._buckets))]
        left = tokens - 1 if is_free else tokens
        self._buckets[who] = Bucket(left, now_s)
        until_full_s = ceil((self._most - left) / self._rate)
        headers = (
            ("ratelimit-policy", f'"requests";q={int(self._most)};w={ceil(self._most / self._rate)}'),
            ("ratelimit", f'"requests";r={int(left)};t={max(1, until_full_s)}'),
        )
        return is_free, headers if is_free else (*headers, ("retry-after", str(max(1, ceil((1 - left) / self._rate)))))
