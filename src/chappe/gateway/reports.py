"""What a customer is told about a message: by callback, and when asked."""

from collections.abc import Sequence

from msgspec.structs import replace

from chappe.core.centre import Refusal
from chappe.core.ids import made_ms
from chappe.core.lifecycle import combined
from chappe.core.model import VIRTUAL, Message, Report, State
from chappe.store.histories import Past

REASONS = frozenset(Refusal)
FAILED = frozenset({State.REJECTED, State.UNDELIVERABLE, State.EXPIRED})


def report_of(message: Message, *, state: State, changed_ms: int, detail: str, text: str = "") -> Report:
    return Report(
        id=message.id,
        submission_id=message.submission_id,
        reference=message.reference,
        originator=message.originator,
        recipient=message.recipient,
        state=state,
        segments=message.segments,
        price_micros=message.price_micros,
        text=text,
        service=message.service,
        coding=message.coding,
        due_ms=message.due_ms,
        changed_ms=changed_ms,
        memo=message.memo,
        reason=reason_of(message, state, detail),
    )


def report_of_past(past: Past, now_ms: int) -> Report:
    message = past.message
    return report_of(
        message,
        state=message.state,
        changed_ms=changed_ms_of(past, now_ms),
        detail=past.detail,
        text=message.text,
    )


def changed_ms_of(past: Past, now_ms: int) -> int:
    """When a message came into its state: if that is not its end, when it last left, else when it was accepted."""
    message = past.message
    return past.final_ms or (min(message.due_ms, now_ms) if message.attempt else made_ms(message.id))


def reason_of(message: Message, state: State, detail: str) -> str:
    """Why a message failed, where its detail begins with a word of the contract (see `dispatch.detail_of`); or that it
    was delivered without ever having been sent."""
    if state in FAILED:
        word = detail.partition(":")[0]
        return word if word in REASONS else ""
    return VIRTUAL if detail == VIRTUAL and not message.attempt else ""


def together(parts: Sequence[Past], now_ms: int) -> Report:
    """One report on a whole submission: the least finished state and its latest change, the sum of segments and
    prices, else what its first message has."""
    first = parts[0]
    state = combined(part.message.state for part in parts)
    in_it = next(part for part in parts if part.message.state is state)
    return replace(
        report_of_past(first, now_ms),
        state=state,
        segments=sum(part.message.segments for part in parts),
        price_micros=sum(part.message.price_micros for part in parts),
        changed_ms=max(changed_ms_of(part, now_ms) for part in parts),
        reason=reason_of(in_it.message, state, in_it.detail),
    )
