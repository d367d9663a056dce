"""What a customer is told about a message: by callback, and when asked."""

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
        reason=reason_of(message, state, detail),
    )


def report_of_past(past: Past, now_ms: int) -> Report:
    message = past.message
    return report_of(
        message,
        state=message.state,
        changed_ms=past.final_ms or best_known_ms(message, now_ms),
        detail=past.detail,
        text=message.text,
    )


def best_known_ms(message: Message, now_ms: int) -> int:
    """When a message that is not at its end came into its state: when it last left, else when it was accepted."""
    return min(message.due_ms, now_ms) if message.attempt else made_ms(message.id)


def reason_of(message: Message, state: State, detail: str) -> str:
    """Why a message failed, where its detail begins with a word of the contract (see `dispatch.detail_of`); or that it
    was delivered without ever having been sent."""
    if state in FAILED:
        word = detail.partition(":")[0]
        return word if word in REASONS else ""
    return VIRTUAL if detail == VIRTUAL and not message.attempt else ""


def together(messages: list[Message]) -> Report:
    """One report on a whole submission: the least finished state, the sum of segments and prices."""
    first = messages[0]
    return Report(
        id=first.id,
        submission_id=first.submission_id,
        reference=first.reference,
        originator=first.originator,
        recipient=first.recipient,
        state=combined(message.state for message in messages),
        segments=sum(message.segments for message in messages),
        price_micros=sum(message.price_micros for message in messages),
        text=first.text,
        service=first.service,
        coding=first.coding,
        due_ms=first.due_ms,
    )
