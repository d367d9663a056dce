"""Another text or time for a message that still waits: the same account, originator and price, or it stays as it is."""

from collections.abc import Callable

from chappe.clock import Clock
from chappe.core.centre import Done, Refusal, Refused, Replace, Reschedule
from chappe.core.ids import read_id
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S, VALIDITY_MAX_S, WAITING
from chappe.core.model import Message, Submission
from chappe.dialects.base import Dialect
from chappe.gateway.front import Answers
from chappe.gateway.submission import body_of
from chappe.store.engine import Store
from chappe.store.messages import Replacement

NOT_FOUND = Refused(Refusal.NOT_FOUND)
TOO_LATE = Refused(Refusal.TOO_LATE)
OTHER_PRICE = Refused(Refusal.BAD_REQUEST, "the new text takes another number of segments")


class ReplaceDesk:
    """`wake` tells a carrier's dispatcher that there may be something to send."""

    def __init__(self, store: Store, clock: Clock, wake: Callable[[int], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    @property
    def answers(self) -> Answers:
        return {
            Replace: lambda call, dialect, _network: self.replace(call, dialect),
            Reschedule: lambda call, _dialect, _network: self.reschedule(call),
        }

    async def replace(self, call: Replace, dialect: Dialect) -> Done | Refused:
        """Raises StoreError."""
        message = await self._message(call)
        if message is None:
            return NOT_FOUND
        return await self._carry_out(replacement_of(call, message, dialect, self._clock.now_ms()), message)

    async def reschedule(self, call: Reschedule) -> Done | Refused:
        """Raises StoreError."""
        message = await self._message(call)
        if message is None:
            return NOT_FOUND
        return await self._carry_out(rescheduling_of(call, message, self._clock.now_ms()), message)

    async def _message(self, call: Replace | Reschedule) -> Message | None:
        message_id = read_id(call.reference)
        if message_id is None:
            return None
        past = await self._store.read(
            lambda transaction: self._store.histories.one(transaction, call.account.id, message_id)
        )
        return past.message if past is not None else None

    async def _carry_out(self, wish: Replacement | Refused, message: Message) -> Done | Refused:
        if isinstance(wish, Refused):
            return wish
        if not await self._store.replace(wish):
            return TOO_LATE
        self._wake(message.carrier_id)
        return Done()


def replacement_of(call: Replace, message: Message, dialect: Dialect, now_ms: int) -> Replacement | Refused:
    """What is to be written, or why it is not."""
    if call.originator not in ("", message.originator):
        return NOT_FOUND
    if message.state not in WAITING:
        return TOO_LATE
    body = body_of(
        call.text, Submission(recipients=(), text=call.text, coding=call.coding, counting=dialect.north.counting)
    )
    if isinstance(body, Refusal):
        return Refused(body)
    text, segments = body
    if segments != message.segments:
        return OTHER_PRICE
    due_ms = call.scheduled_ms or 0
    if due_ms > now_ms + SCHEDULE_AHEAD_MAX_S * 1000:
        return Refused(Refusal.BAD_REQUEST)
    return Replacement(
        account_id=message.account_id,
        message_id=message.id,
        text=text,
        coding=call.coding,
        segments=segments,
        due_ms=due_ms,
        expires_ms=expires_ms(call, message, now_ms),
        now_ms=now_ms,
    )


def rescheduling_of(call: Reschedule, message: Message, now_ms: int) -> Replacement | Refused:
    """The same text at another time, or why not."""
    if message.state not in WAITING:
        return TOO_LATE
    if call.scheduled_ms is not None and call.scheduled_ms > now_ms + SCHEDULE_AHEAD_MAX_S * 1000:
        return Refused(Refusal.BAD_REQUEST, "that is too far ahead")
    return Replacement(
        account_id=message.account_id,
        message_id=message.id,
        text=message.text,
        coding=message.coding,
        segments=message.segments,
        due_ms=max(now_ms, call.scheduled_ms) if call.scheduled_ms is not None else 0,
        expires_ms=expires_ms(call, message, now_ms),
        now_ms=now_ms,
    )


def expires_ms(call: Replace | Reschedule, message: Message, now_ms: int) -> int:
    """When the message ends if it was not sent; 0 = as before. Without a new validity it keeps the length it had."""
    begins_ms = max(call.scheduled_ms or message.due_ms, now_ms)
    if call.validity_s is not None:
        return begins_ms + min(call.validity_s, VALIDITY_MAX_S) * 1000
    return begins_ms + message.expires_ms - message.due_ms if call.scheduled_ms is not None else 0
