"""What may become of a message: permitted moves, what follows a verdict, what follows a receipt. Pure.

    scheduled ──► queued ──► sending ──► sent ──► delivered | undeliverable | expired | rejected
        │            │       ▲  │                        ▲
        │            │       │  ├── refused for good ──► rejected
        │            │       │  └── refused for now, or another carrier may take it ──► queued
        └── cancelled, expired (never sent)          unknown (no receipt in time; a late one still counts)

A message that finds room at its carrier is accepted in `sending`, without having queued. It stays in `sending` while
nobody knows whether the carrier took it: with a live owner it is in flight, without one it is doubtful and waits for
its carrier's policy. One that is scheduled and charged late is `rejected` where the money does not reach when its
time comes.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from chappe.core.centre import REMEDIES, RETRY_AFTER_MAX_S, Accepted, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Message, Report, State, UncertainPolicy

MOVES: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.SENDING, State.CANCELLED, State.EXPIRED, State.REJECTED}),
    State.QUEUED: frozenset({State.SENDING, State.CANCELLED, State.EXPIRED}),
    State.SENDING: frozenset(
        {
            State.QUEUED,
            State.SENT,
            State.DELIVERED,
            State.UNDELIVERABLE,
            State.EXPIRED,
            State.REJECTED,
            State.UNKNOWN,
        }
    ),
    State.SENT: frozenset({State.DELIVERED, State.UNDELIVERABLE, State.EXPIRED, State.REJECTED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.DELIVERED, State.UNDELIVERABLE, State.EXPIRED, State.REJECTED}),
    State.DELIVERED: frozenset(),
    State.UNDELIVERABLE: frozenset(),
    State.EXPIRED: frozenset(),
    State.REJECTED: frozenset(),
    State.CANCELLED: frozenset(),
}
FINAL = frozenset(state for state, following in MOVES.items() if not following)
WAITING = (State.QUEUED, State.SCHEDULED)

# What a message made of several parts is in: the first of these that any part is in.
WORST_FIRST = (
    State.SCHEDULED,
    State.QUEUED,
    State.SENDING,
    State.SENT,
    State.UNKNOWN,
    State.REJECTED,
    State.UNDELIVERABLE,
    State.EXPIRED,
    State.CANCELLED,
    State.DELIVERED,
)

VALIDITY_DEFAULT_S = 48 * 3600
VALIDITY_MAX_S = 14 * 24 * 3600
SCHEDULE_AHEAD_MAX_S = 366 * 24 * 3600
RECEIPT_PATIENCE_S = 24 * 3600  # how long beyond its validity a sent message waits for a receipt before it is `unknown`
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
QUERY_AGAIN_S = 30
RESENDS_MAX = 3  # under the `resend` policy; beyond it the message is held


class Money(StrEnum):
    """What happens to the money a message has reserved."""

    KEEP = "keep"
    POST = "post"
    VOID = "void"


class Move(Struct, frozen=True, kw_only=True):
    """The next state of a message that was being sent, and what goes with it."""

    state: State
    money: Money
    carrier_id: int
    backups: tuple[int, ...]
    due_ms: int
    failures: int = 0


def retry_delay_s(failures: int, spread: int) -> float:
    """Doubling from one second to five minutes; `spread` (any integer) cuts up to a fifth, to part retries."""
    delay_s: float = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(failures, 16))
    return delay_s * (1 - (spread % 64) / 320)


def spread_delay_s(index: int, count: int, spread_s: int, portion_s: int) -> int:
    """How long after the first portion a recipient's message leaves: the recipients, in their order, are parted into as
    many equal portions, `portion_s` apart, as begin within `spread_s` (smscentre 2.1)."""
    portions_count = max(1, -(-spread_s // portion_s))
    return index * portions_count // count * portion_s


def after_verdict(message: Message, verdict: Verdict, policy: UncertainPolicy, now_ms: int) -> Move:
    """What follows a carrier's verdict on a message in `sending`."""
    if isinstance(verdict, Accepted):
        return _stay(message, State.SENT, Money.POST, now_ms)
    if isinstance(verdict, Uncertain):
        return after_doubt(message, policy, now_ms)
    return _after_refusal(message, verdict, now_ms)


def after_doubt(message: Message, policy: UncertainPolicy, now_ms: int) -> Move:
    """What follows when nobody knows whether the carrier took it (also after a crash): the carrier's policy.

    `hold` and `query` leave it in `sending` without an owner, `hold` until its validity ends, `query` until it is time
    to ask. A message still in doubt when its validity ends is `unknown`, in the customer's favour.
    """
    if now_ms >= message.expires_ms:
        return _stay(message, State.UNKNOWN, Money.VOID, now_ms)
    if policy is UncertainPolicy.FAIL:
        return _stay(message, State.UNDELIVERABLE, Money.VOID, now_ms)
    if policy is UncertainPolicy.RESEND and message.attempt <= RESENDS_MAX:
        return _again(message, message.carrier_id, message.backups, retry_delay_s(message.failures, message.id), now_ms)
    is_asked = policy is UncertainPolicy.QUERY
    due_ms = min(message.expires_ms, now_ms + QUERY_AGAIN_S * 1000) if is_asked else message.expires_ms
    return _stay(message, State.SENDING, Money.KEEP, due_ms)


def after_query(message: Message, answer: Report | Refused | Uncertain, now_ms: int) -> Move:
    """What follows when the carrier was asked about a doubtful message: it has it, it has not, or ask again later."""
    if isinstance(answer, Report):
        state = answer.state if answer.state in MOVES[State.SENT] else State.SENT
        return _stay(message, state, Money.POST, now_ms)
    if isinstance(answer, Refused) and answer.reason is Refusal.NOT_FOUND:
        return _again(message, message.carrier_id, message.backups, 0.0, now_ms)
    return after_doubt(message, UncertainPolicy.QUERY, now_ms)


def _after_refusal(message: Message, refused: Refused, now_ms: int) -> Move:
    remedy = REMEDIES[refused.reason]
    named_s = min(refused.retry_after_s or 0.0, RETRY_AFTER_MAX_S)
    if message.backups and (remedy.may_reroute or named_s > RETRY_MAX_S):
        carrier_id, *others = message.backups
        if not remedy.may_retry:
            return _again(message, carrier_id, tuple(others), 0.0, now_ms)
        # Each carrier is tried once without waiting; after the whole round, each step waits.
        is_first_round = message.failures < len(message.backups)
        delay_s = 0.0 if is_first_round else retry_delay_s(message.failures, message.id)
        return _again(message, carrier_id, (*others, message.carrier_id), delay_s, now_ms)
    if remedy.may_retry:
        delay_s = max(named_s, retry_delay_s(message.failures, message.id))
        return _again(message, message.carrier_id, message.backups, delay_s, now_ms)
    return _stay(message, State.REJECTED, Money.VOID, now_ms)


def _stay(message: Message, state: State, money: Money, due_ms: int) -> Move:
    return Move(state=state, money=money, carrier_id=message.carrier_id, backups=message.backups, due_ms=due_ms)


def _again(message: Message, carrier_id: int, backups: tuple[int, ...], delay_s: float, now_ms: int) -> Move:
    due_ms = now_ms + int(delay_s * 1000)
    if due_ms >= message.expires_ms:
        return _stay(message, State.EXPIRED, Money.VOID, now_ms)
    return Move(
        state=State.QUEUED,
        money=Money.KEEP,
        carrier_id=carrier_id,
        backups=backups,
        due_ms=due_ms,
        failures=message.failures + 1,
    )


def after_receipt(current: State, reported: State) -> State | None:
    """The state a receipt leads to, or None where it changes nothing: a final state is never overwritten."""
    return reported if reported in MOVES[current] and reported is not State.QUEUED else None


def combined(states: Iterable[State]) -> State:
    """The one state of something made of several parts (segments of a message, messages of a submission)."""
    present = set(states)
    return next((state for state in WORST_FIRST if state in present), State.UNKNOWN)
