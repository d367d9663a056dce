"""What became of a message, and what is left to spend."""

from chappe.clock import Clock
from chappe.core.centre import Balance, Cancel, Cancelled, FetchBalance, FetchTime, Instant, Query, Refusal, Refused
from chappe.core.lifecycle import combined
from chappe.core.model import Message, Report
from chappe.gateway.accounts import Delays, network_of
from chappe.gateway.front import Answers
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.messages import RECIPIENTS_MAX, Cancellation

ID_DIGITS_MAX = 19
GUESSES_FREE = 100  # ids that an application may have wrong in a quarter of an hour; a guesser needs millions


class QueryDesk:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._guesses = Delays(clock, GUESSES_FREE)

    @property
    def answers(self) -> Answers:
        return {
            Query: lambda call, _dialect, network: self.query(call, network),
            Cancel: lambda call, _dialect, _network: self.cancel(call),
            FetchBalance: lambda call, _dialect, _network: self.balance(call),
            FetchTime: lambda _call, _dialect, _network: self.time(),
        }

    async def time(self) -> Instant:
        return Instant(self._clock.now_ms())

    async def query(self, query: Query, network: str = "") -> Report | Refused:
        """The report on a submission: of its one message, or of all of them together (the least finished state, the
        sum of prices). A wrong id and somebody else's message look the same; who asks without an account, and misses
        again and again, is slowed down (proovl 2.4)."""
        if query.account is not None:
            return await self._find(query)
        guesser = network_of(network)
        wait_s = self._guesses.wait_s(guesser)
        if wait_s:
            return Refused(Refusal.THROTTLED, retry_after_s=wait_s)
        found = await self._find(query)
        if isinstance(found, Refused) and found.reason is Refusal.NOT_FOUND:
            self._guesses.charge(guesser)
        return found

    async def _find(self, query: Query) -> Report | Refused:
        submission_id = message_id_of(query.reference)
        if submission_id is None:
            return Refused(Refusal.NOT_FOUND)
        try:
            messages = await self._store.read(self._store.of_submission(submission_id, RECIPIENTS_MAX))
        except StoreError:
            return Refused(Refusal.OVERLOADED)
        if not messages or not may_see(query, messages[0]):
            return Refused(Refusal.NOT_FOUND)
        return together(messages)

    async def cancel(self, cancel: Cancel) -> Cancelled | Refused:
        """Take back what still waits. Money reserved for it is given back in the same commit."""
        submission_id = message_id_of(cancel.reference)
        found = await self.query(Query(reference=cancel.reference, account=cancel.account))
        if submission_id is None or isinstance(found, Refused):
            return found if isinstance(found, Refused) else Refused(Refusal.NOT_FOUND)
        cancellation = Cancellation(cancel.account.id, submission_id, self._clock.now_ms())
        try:
            count = await self._store.cancel(cancellation)
        except StoreError:
            return Refused(Refusal.OVERLOADED)
        return Cancelled() if count else Refused(Refusal.TOO_LATE)

    async def balance(self, call: FetchBalance) -> Balance | Refused:
        try:
            available_micros = await self._store.read(
                lambda transaction: self._store.figures.available_micros(transaction, call.account.id)
            )
        except StoreError:
            return Refused(Refusal.OVERLOADED)
        return Balance(amount_micros=available_micros, currency=call.account.currency)


def message_id_of(reference: str) -> int | None:
    is_id = reference.isascii() and reference.isdigit() and len(reference) <= ID_DIGITS_MAX
    return int(reference) if is_id and int(reference) < 1 << 63 else None


def may_see(query: Query, message: Message) -> bool:
    """Its account may; so may whoever names its originator beside the id, where the dialect has it so (proovl 2.4)."""
    if query.account is not None:
        return message.account_id == query.account.id
    return bool(query.originator) and query.originator.removeprefix("+") == message.originator


def together(messages: list[Message]) -> Report:
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
    )
