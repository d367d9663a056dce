"""Whether the same was asked a moment ago, in dialects whose provider refuses that.

Kept in memory, as digests with an end: after a restart, and beyond the limit, a duplicate passes, as it does everywhere
else.
"""

import hashlib

from chappe.clock import Clock
from chappe.core.model import Account, Submission
from chappe.dialects.base import Dialect

REMEMBERED_MAX = 100_000


class Duplicates:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_s: dict[bytes, float] = {}  # the oldest first

    def remember(self, digest: bytes, lifetime_s: int) -> bool:
        """Whether it is new; if so, from now on it is known."""
        now_s = self._clock.monotonic_s()
        if self._ends_s.get(digest, now_s) > now_s:
            return False
        self._ends_s.pop(digest, None)
        self._ends_s[digest] = now_s + lifetime_s
        self._sweep(now_s)
        return True

    def forget(self, digest: bytes) -> None:
        """What was refused does not count."""
        self._ends_s.pop(digest, None)

    def _sweep(self, now_s: float) -> None:
        """Each new one clears away up to two that have ended, so none stays long; beyond the limit the oldest goes."""
        for _ in range(2):
            oldest = next(iter(self._ends_s))
            if self._ends_s[oldest] > now_s and len(self._ends_s) <= REMEMBERED_MAX:
                return
            del self._ends_s[oldest]


def digest_of(account: Account, submission: Submission, dialect: Dialect) -> bytes:
    """The same for the same recipients, originator and texts of one account in one dialect; a test is apart."""
    whose = (account.id, account.is_test, dialect.name)
    asked = (*whose, submission.recipients, submission.originator, submission.text, submission.texts)
    return hashlib.blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=16).digest()
