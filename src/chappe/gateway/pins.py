"""One-time codes: made here, sent like any other message, and asked for again.

The code itself stands in the message and nowhere else; what is kept to compare with is a digest under the gateway's
key. A guess counts in the commit that judges it, so that guessing in parallel gains nothing. A code is kept after its
message was accepted: a refusal leaves what was there before. Where it then cannot be kept, the application is refused
all the same and asks again, which makes the code of that message worthless.
"""

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

from chappe.clock import Clock
from chappe.core.centre import Accepted, Refusal, Refused, Verdict
from chappe.core.ids import IdMaker
from chappe.core.model import Account, Priority, Submission
from chappe.core.phonebook import PinVerdict, RequestPin, VerifyPin
from chappe.dialects.base import Dialect
from chappe.gateway.accounts import drop_oldest
from chappe.gateway.front import Answers
from chappe.gateway.secrets import Sealer
from chappe.sms.numbers import parse_msisdn
from chappe.store.engine import Store
from chappe.store.pins import PinDraft, PinGuess, PinSweep

DIGITS = 6
TRIES = 5
LIFETIME_MIN_S, LIFETIME_MAX_S = 60, 86_400
REQUESTS_MAX = 5  # per account and recipient ...
REQUESTS_SPAN_S = 600.0  # ... in this time, as far as this process knows
RECIPIENTS_REMEMBERED_MAX = 10_000
SWEEP_MAX = 5_000

Submit = Callable[[Account, Submission, Dialect], Awaitable[Verdict]]


class PinDesk:
    """`submit` is the intake; `ids` are made in the loop's thread."""

    def __init__(self, *, store: Store, submit: Submit, sealer: Sealer, clock: Clock, ids: IdMaker) -> None:
        self._store = store
        self._submit = submit
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._requests = Requests(clock)

    @property
    def answers(self) -> Answers:
        return {
            RequestPin: lambda call, dialect, _network: self.request(call, dialect),
            VerifyPin: lambda call, _dialect, _network: self.verify(call),
        }

    async def request(self, call: RequestPin, dialect: Dialect) -> Verdict:
        """Send a code. `bad_request` for a lifetime under a minute or over a day; whatever the intake refuses."""
        recipient = parse_msisdn(call.recipient)
        if recipient is None:
            return Refused(Refusal.BAD_RECIPIENT)
        if not LIFETIME_MIN_S <= call.lifetime_s <= LIFETIME_MAX_S:
            return Refused(Refusal.BAD_REQUEST, f"a code lives {LIFETIME_MIN_S} to {LIFETIME_MAX_S} s")
        asked_s = self._requests.count((call.account.id, recipient))
        if isinstance(asked_s, Refused):
            return asked_s
        pin = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
        verdict = await self._submit(call.account, submission_of(call, recipient, pin, dialect), dialect)
        if not isinstance(verdict, Accepted):
            self._requests.give_back((call.account.id, recipient), asked_s)
            return verdict
        draft = PinDraft(
            account_id=call.account.id,
            recipient=recipient,
            digest=self._digest(call.account, recipient, pin),
            expires_ms=self._clock.now_ms() + call.lifetime_s * 1000,
            tries=TRIES,
        )
        await self._store.commit(self._store.pins.put, draft)
        return verdict

    async def verify(self, call: VerifyPin) -> PinVerdict | Refused:
        recipient = parse_msisdn(call.recipient)
        if recipient is None:
            return Refused(Refusal.BAD_RECIPIENT)
        now_ms = self._clock.now_ms()
        guess = PinGuess(
            id=self._ids.make(now_ms),
            account_id=call.account.id,
            recipient=recipient,
            digest=self._digest(call.account, recipient, call.pin.strip()),
            now_ms=now_ms,
        )
        return await self._store.commit(self._store.pins.guess, guess) or Refused(Refusal.NOT_FOUND)

    async def sweep_once(self) -> None:
        """Forget codes that have run out."""
        while await self._store.commit(self._store.pins.sweep, PinSweep(self._clock.now_ms(), SWEEP_MAX)) == SWEEP_MAX:
            pass

    def _digest(self, account: Account, recipient: str, pin: str) -> str:
        return self._sealer.sign(f"pin {account.id} {recipient} {pin}")


def submission_of(call: RequestPin, recipient: str, pin: str, dialect: Dialect) -> Submission:
    """The message that carries a code; one that is late for its code is not sent."""
    has_mark = bool(call.mark) and call.mark in call.text
    return Submission(
        recipients=(recipient,),
        text=call.text.replace(call.mark, pin) if has_mark else f"{call.text} {pin}".lstrip(),
        originator=call.originator,
        service=call.service,
        priority=Priority.URGENT,
        validity_s=call.lifetime_s,
        counting=dialect.north.counting,
    )


class Requests:
    """How often something was asked for in the last while, by any key. The table is bounded."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic_s
        self._asked_s: dict[Hashable, deque[float]] = {}

    def count(self, key: Hashable) -> float | Refused:
        """Count one more, and tell its instant; or refuse it. It counts before it is answered, so that asking in
        parallel gains nothing."""
        now_s = self._now_s()
        asked_s = self._asked_s.pop(key, deque())
        while asked_s and asked_s[0] <= now_s - REQUESTS_SPAN_S:
            asked_s.popleft()
        drop_oldest(self._asked_s, RECIPIENTS_REMEMBERED_MAX)
        self._asked_s[key] = asked_s
        if len(asked_s) >= REQUESTS_MAX:
            return Refused(Refusal.THROTTLED, retry_after_s=asked_s[0] + REQUESTS_SPAN_S - now_s)
        asked_s.append(now_s)
        return now_s

    def give_back(self, key: Hashable, asked_s: float) -> None:
        """It came to nothing: it does not count."""
        if asked_s in self._asked_s.get(key, ()):
            self._asked_s[key].remove(asked_s)
