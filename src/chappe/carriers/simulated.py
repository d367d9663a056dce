"""A carrier that lives in memory: delivers everything, except to numbers whose last four digits ask for trouble, and
messages that another fate was chosen for.

It answers like a real one: references of its own, receipts that come by themselves. The fates are in `core/fates.py`.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable

from chappe.carriers.unlinked import Unlinked
from chappe.core.centre import Accepted, Balance, Cancelled, Refusal, Refused, Ticket, Uncertain, Verdict
from chappe.core.fates import FATES, Fate, fate_of_number
from chappe.core.model import Inbound, Receipt, Report, State, Submission

__all__ = ["ANSWER_MAX", "FATES", "REMEMBERED_MAX", "Fate", "SimulatedCarrier"]

REMEMBERED_MAX = 10_000  # submissions it can be asked about
ANSWER_MAX = 160  # characters

Chosen = Callable[[int, str], Fate | None]  # what the next message of an account (by id) to a number comes to


def nothing_chosen(_account_id: int, _recipient: str) -> None:
    return None


class SimulatedCarrier(Unlinked):
    """`emit` takes its receipts, `emit_inbound` what phones answer; `random_bits` makes its references different from
    those of an earlier life; `chosen` gives the fate that somebody chose for this message, and forgets it."""

    finds_our_reference = True
    receipts_name_our_reference = False

    def __init__(
        self,
        emit: Callable[[Receipt], object],
        random_bits: Callable[[int], int],
        emit_inbound: Callable[[Inbound], object] = lambda _inbound: None,
        chosen: Chosen = nothing_chosen,
    ) -> None:
        self._emit = emit
        self._emit_inbound = emit_inbound
        self._chosen = chosen
        self._throttled_fates: OrderedDict[str, Fate] = OrderedDict()  # of messages that will come again
        self._life = f"{random_bits(32):08x}"
        self._numbers = itertools.count(1)
        self._known: OrderedDict[str, Report] = OrderedDict()
        self._throttled: OrderedDict[str, int] = OrderedDict()

    async def submit(self, submission: Submission) -> Verdict:
        (recipient,) = submission.recipients
        fate = self._fate_of(submission, recipient)
        if fate.refusal is not None:
            return Refused(fate.refusal, "simulated")
        if fate.throttled_times and self._is_throttled(submission.reference, fate.throttled_times):
            self._throttled_fates[submission.reference] = fate
            if len(self._throttled_fates) > REMEMBERED_MAX:
                self._throttled_fates.popitem(last=False)
            return Refused(Refusal.THROTTLED, "simulated", retry_after_s=1.0)
        reference = f"{self._life}-{next(self._numbers)}"
        self._remember(submission, reference)
        if fate.is_early:
            self._send_receipts(reference, fate)
            await asyncio.sleep(0)
        elif fate.delay_s:
            asyncio.get_running_loop().call_later(fate.delay_s, self._send_receipts, reference, fate)
        else:
            asyncio.get_running_loop().call_soon(self._send_receipts, reference, fate)
        if fate.is_answered_by_phone and submission.originator.isdigit():  # nobody can answer a name
            asyncio.get_running_loop().call_soon(self._answer, reference, submission)
        if not fate.is_answered:
            return Uncertain("simulated: no answer")
        return Accepted((Ticket(recipient=recipient, reference=reference),))

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        """Knows messages by the reference they were submitted with."""
        return self._known.get(reference) or Refused(Refusal.NOT_FOUND)

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain:
        return Refused(Refusal.TOO_LATE)

    async def balance(self) -> Balance | Refused | Uncertain:
        return Refused(Refusal.UNSUPPORTED, "the simulated carrier costs nothing")

    def _fate_of(self, submission: Submission, recipient: str) -> Fate:
        """A message that comes again keeps its fate; else the chosen one counts, else what the number asks for."""
        return (
            self._throttled_fates.pop(submission.reference, None)
            or self._chosen(submission.account_id, recipient)
            or fate_of_number(recipient)
        )

    def _is_throttled(self, reference: str, times: int) -> bool:
        seen_count = self._throttled.pop(reference, 0)
        if seen_count >= times:
            return False
        self._throttled[reference] = seen_count + 1
        if len(self._throttled) > REMEMBERED_MAX:
            self._throttled.popitem(last=False)
        return True

    def _remember(self, submission: Submission, reference: str) -> None:
        self._known[submission.reference] = Report(
            id=0,
            submission_id=0,
            reference=reference,
            originator=submission.originator,
            recipient=submission.recipients[0],
            state=State.SENT,
            segments=1,
            price_micros=0,
        )
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def _answer(self, reference: str, submission: Submission) -> None:
        self._emit_inbound(
            Inbound(
                reference=f"{reference}-answer",
                originator=submission.recipients[0],
                recipient=submission.originator,
                text=f"You wrote: {submission.text}"[:ANSWER_MAX],
            )
        )

    def _send_receipts(self, reference: str, fate: Fate) -> None:
        for state in fate.receipts:
            self._emit(Receipt(reference=reference, state=state, detail="simulated"))
