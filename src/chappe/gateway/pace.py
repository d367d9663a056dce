"""How fast a link may go: its throughput, and how it backs off when the other side is slow, full or gone.

Pure: everything here is told the time.
"""

from collections import deque
from enum import StrEnum
from math import floor

from chappe.core.centre import REMEDIES, RETRY_AFTER_MAX_S, Accepted, Refusal, Refused, Uncertain, Verdict

BURST_S = 0.1  # what a rested link may send at once, in seconds of its throughput
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0  # of our own accord; the other side may ask for up to a day
FAILURES_MAX = 5  # in a row, before the link counts as down
THROTTLED_SHARE = 0.1  # of what a carrier gets, from which on we go slower ...
SLOWER = 0.9  # ... than it took lately
SLOWED_EACH_S = 1.0  # what was sent before is heard first
PEAK_FADING = 0.98
FREE_BEYOND = 20  # times what it took when it throttled: where we have no cap of our own, there is none any more
NEAR_S = 5.0  # how long its own cap is thought to be near
QUICKER_NEAR, QUICKER = 0.05, 0.5  # how much faster with each message taken: so much of itself in a second
LAGS_S = 300.0  # for how long a sample counts ...
LAG_EVERY_S = 0.1  # ... and how seldom one is taken
RATE_S = 10  # over how many whole seconds a rate is told


class Throughput:
    """A cap in messages or segments per second (0 = none), as a bucket that fills with time. What goes at once may be
    more than there was room for (a long message): then nothing goes until that is made up for.

    A carrier that throttles a good part of what it gets sets a lower cap: a little less than it took lately. Each
    message that it takes then raises that, slowly at first, since its own cap is probably near; in the end up to ours.
    """

    def __init__(self, per_s: float, now_s: float) -> None:
        self._most_per_s = self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._tokens = self._burst
        self._filled_s = now_s
        self.is_slowed = False
        self._slowed_s = -SLOWED_EACH_S
        self._peak_per_s = 0.0  # what was taken when it was slowed, at most

    def slow(self, taken_per_s: float, throttled_per_s: float, now_s: float) -> bool:
        """Something was throttled, and so much lately; tells whether going slower is the answer. Where nothing is taken
        it is none."""
        is_few = throttled_per_s < THROTTLED_SHARE * (taken_per_s + throttled_per_s)
        if not taken_per_s or is_few or now_s - self._slowed_s < SLOWED_EACH_S:
            return self.is_slowed and taken_per_s > 0
        self._peak_per_s = max(self._peak_per_s * PEAK_FADING, taken_per_s)
        slower_per_s = max(SLOWER * taken_per_s, self._peak_per_s / 2)
        if not self._per_s or slower_per_s < self._per_s:
            self._cap(slower_per_s)
        self._tokens = min(self._tokens, self._burst)
        self._filled_s = self._slowed_s = now_s
        self.is_slowed = True
        return True

    def quicken(self, taken: float, now_s: float) -> None:
        """So much was taken while it was slowed."""
        is_near = now_s - self._slowed_s < NEAR_S
        faster_per_s = self._per_s + taken * (QUICKER_NEAR if is_near else QUICKER)
        most_per_s = self._most_per_s or FREE_BEYOND * self._peak_per_s
        self.is_slowed = faster_per_s < most_per_s
        self._cap(faster_per_s if self.is_slowed else self._most_per_s)

    def _cap(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)

    def allowance(self, now_s: float) -> int | None:
        """How many may go now; None = as many as you like."""
        if not self._per_s:
            return None
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        return int(self._tokens)

    def ahead(self, now_s: float) -> int:
        """The same for what may go a little in advance: less than 0 where more has gone than there was room for."""
        return 0 if self.allowance(now_s) is None else floor(self._tokens)

    def spend(self, count: int) -> None:
        if self._per_s:
            self._tokens -= count

    def wait_s(self) -> float:
        """How long until the next one may go."""
        return max(0.0, (1 - self._tokens) / self._per_s) if self._per_s else 0.0


class Rate:
    """How many a second there were lately."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=RATE_S + 1)  # (second, count)

    def note(self, count: int, now_s: float) -> None:
        second = int(now_s)
        if self._counts and self._counts[-1][0] == second:
            count += self._counts.pop()[1]
        self._counts.append((second, count))

    def lately(self, now_s: float) -> int:
        """In the present second or in the last one, whichever had more."""
        return max((count for second, count in self._counts if second >= int(now_s) - 1), default=0)

    def per_s(self, now_s: float) -> float:
        """Over the last whole seconds; the present one does not count yet."""
        present = int(now_s)
        return sum(count for second, count in self._counts if present - RATE_S <= second < present) / RATE_S


class Lags:
    """How long something took lately: a sample, since there may be thousands a second."""

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int]] = deque(maxlen=int(LAGS_S / LAG_EVERY_S))  # (when, milliseconds)

    def note(self, lag_ms: int, now_s: float) -> None:
        if not self._heard or now_s - self._heard[-1][0] >= LAG_EVERY_S:
            self._heard.append((now_s, max(0, lag_ms)))

    def quantiles(self, now_s: float) -> tuple[int | None, int | None]:
        """What half of them took at most, and what 19 of 20; None where there were none."""
        recent = sorted(lag_ms for heard_s, lag_ms in self._heard if now_s - heard_s < LAGS_S)
        if not recent:
            return None, None
        return recent[len(recent) // 2], recent[len(recent) * 19 // 20]


class Change(StrEnum):
    """What an operator wants to know about a link, once."""

    SHUT = "shut"
    BACK = "back"


class Link:
    """The health of the way to a carrier or a customer's URL. Trouble pauses it, longer each time; after several in a
    row it is down, and one message at a time tries whether it is back."""

    def __init__(self) -> None:
        self.failures = 0
        self._resumes_s = 0.0  # when our own pause ends
        self._is_told_shut = False
        self._asked_s = 0.0  # until when the other side asked to be left alone: no success shortens that
        self.is_refused = False  # the last trouble was the other side's word, and not the way to it

    @property
    def is_down(self) -> bool:
        return self.failures >= FAILURES_MAX

    def wait_s(self, now_s: float) -> float:
        """How long nothing may go."""
        until_s = self._resumes_s if self._resumes_s > self._asked_s else self._asked_s
        return until_s - now_s if until_s > now_s else 0.0

    def is_sound(self, now_s: float) -> bool:
        """Whether nothing is or was lately the matter, so that a success is no news."""
        return not (self.failures or self._is_told_shut or self.wait_s(now_s))

    def is_shut(self, now_s: float) -> bool:
        """Whether it is no use to wait for it: down, or asked to stay away for longer than we pause ourselves."""
        return self.is_down or self.wait_s(now_s) > PAUSE_MAX_S

    def change(self, now_s: float) -> Change | None:
        """What there is to tell since the last time: a link that is shut is back when something got through."""
        if not self._is_told_shut and self.is_shut(now_s):
            self._is_told_shut = True
            return Change.SHUT
        if self._is_told_shut and not self.failures and not self.wait_s(now_s):
            self._is_told_shut = False
            return Change.BACK
        return None

    def allowance(self, window: int, now_s: float) -> int:
        """How many may be under way: none while paused, one to probe after trouble, else the window."""
        if self.wait_s(now_s):
            return 0
        return 1 if self.is_down else window

    def succeed(self) -> None:
        self.failures = 0
        self._resumes_s = 0.0

    def restore(self) -> None:
        """The way is said to be there again: trouble on it is over. What the other side has asked for is not."""
        if not self.is_refused:
            self.succeed()

    def fail(self, now_s: float, retry_after_s: float | None = None) -> None:
        """Trouble: what fails while the link is paused already (it left before) does not lengthen the pause, but a time
        that the other side names counts whenever it is heard."""
        is_paused = self.wait_s(now_s) > 0
        self._asked_s = max(self._asked_s, now_s + min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))
        if is_paused:
            return
        self.failures += 1
        self._resumes_s = now_s + min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** min(self.failures - 1, 10))

    def doubt(self, now_s: float) -> None:
        """No answer to one request: one alone may be bad luck, several in a row are trouble."""
        self.is_refused = False
        self.failures += 1
        if self.is_down:
            self.failures -= 1
            self.fail(now_s)

    def hear(self, verdict: Verdict, now_s: float) -> None:
        """Learn from a carrier's verdict: a refusal of one message says that the link works."""
        if isinstance(verdict, Accepted):
            self.succeed()
        elif isinstance(verdict, Uncertain):
            self.doubt(now_s)
        elif isinstance(verdict, Refused) and REMEDIES[verdict.reason].slows_link:
            self.is_refused = verdict.reason is not Refusal.UNREACHABLE
            self.fail(now_s, verdict.retry_after_s)
        else:
            self.succeed()
