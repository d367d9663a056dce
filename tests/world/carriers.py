"""The carriers of the world: companies that outlive every kill of the gateway, and fail in every way carriers do.

A company keeps a journal of what it took. It answers at once, late, or never; refuses for every reason there is; and
sends receipts in any order, once, twice, contradicting, before its own answer, for segments, for nobody, or not at all.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from chappe.carriers.unlinked import Unlinked
from chappe.core.centre import (
    Accepted,
    Balance,
    Cancelled,
    Refusal,
    Refused,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.model import Carrier, Receipt, Report, State, Submission
from chappe.sms.segments import count

FATES = {  # how often each is met
    "answers": 60,
    "answers late": 14,
    "takes it, never answers": 7,
    "never hears of it": 5,
    "breaks after taking it": 3,
    "refuses": 7,
    "throttles": 3,
    "is away": 5,
}
STORIES: dict[tuple[State, ...], int] = {  # what its receipts say of one message (or segment)
    (): 15,
    (State.DELIVERED,): 40,
    (State.UNDELIVERABLE,): 8,
    (State.EXPIRED,): 4,
    (State.REJECTED,): 4,
    (State.SENT, State.DELIVERED): 6,
    (State.UNKNOWN, State.DELIVERED): 6,
    (State.DELIVERED, State.DELIVERED): 8,
    (State.DELIVERED, State.UNDELIVERABLE): 5,
    (State.UNDELIVERABLE, State.SENT): 4,
}
REFERENCE_SHARED = 0.5  # how often one reference stands for all segments
POST_MAX = 200

Result = TypeVar("Result")


class Copy(Struct, frozen=True, kw_only=True):
    """One message as a company took it."""

    carrier_id: int
    references: tuple[str, ...]


class Letter(Struct, kw_only=True):
    """A receipt on its way to us; it is sent again until somebody keeps it."""

    carrier_id: int
    receipt: Receipt


class Company:
    def __init__(self, carrier_id: int, choose: random.Random) -> None:
        self.carrier_id = carrier_id
        self.copies: dict[int, list[Copy]] = {}  # by our message id
        self.post: list[Letter] = []
        self.is_calm = False  # at the end everything is answered
        self._choose = choose
        self._late: list[tuple[asyncio.Future[Verdict], Verdict]] = []
        self._references_count = 0

    async def take(self, submission: Submission) -> Verdict:
        fate = "answers" if self.is_calm else pick(self._choose, FATES)
        verdict = self._verdict(fate, submission)
        if isinstance(verdict, Accepted) and fate != "never hears of it":
            self._keep(int(submission.reference), verdict)
        if fate == "breaks after taking it":
            raise ConnectionError("the line broke")
        if fate in ("takes it, never answers", "never hears of it"):
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        if fate == "answers late" or (fate == "refuses" and self._choose.random() < 0.5):
            answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
            self._late.append((answer, verdict))
            return await answer
        return verdict

    def _verdict(self, fate: str, submission: Submission) -> Verdict:
        if fate == "refuses":
            return Refused(self._choose.choice(list(Refusal)))
        if fate == "throttles":
            return Refused(Refusal.THROTTLED, retry_after_s=self._choose.choice([None, 0.5, 30.0, 4000.0]))
        if fate == "is away":
            return Refused(Refusal.UNREACHABLE)
        segments = count(submission.text, submission.counting) or 1
        references_count = 1 if self._choose.random() < REFERENCE_SHARED else segments
        first = self._references_count + 1
        self._references_count += references_count
        (recipient,) = submission.recipients
        return Accepted(
            tuple(
                Ticket(recipient=recipient, reference=f"{self.carrier_id}-{first + index}")
                for index in range(references_count)
            )
        )

    def _keep(self, message_id: int, verdict: Accepted) -> None:
        references = tuple(ticket.reference for ticket in verdict.tickets)
        self.copies.setdefault(message_id, []).append(Copy(carrier_id=self.carrier_id, references=references))
        for reference in references:
            for state in pick(self._choose, STORIES):
                self._write(reference, state)

    def _write(self, reference: str, state: State) -> None:
        if len(self.post) < POST_MAX:
            receipt = Receipt(reference=reference, state=state, detail="word")
            self.post.append(Letter(carrier_id=self.carrier_id, receipt=receipt))

    def write_to_nobody(self) -> None:
        self._write(f"nobody-{self._choose.randrange(100)}", State.DELIVERED)

    def answer_one(self) -> bool:
        """One of the late answers comes; False where none is owed."""
        self._late = [late for late in self._late if not late[0].done() and not late[0].get_loop().is_closed()]
        if not self._late:
            return False
        answer, verdict = self._late.pop(self._choose.randrange(len(self._late)))
        answer.set_result(verdict)
        return True

    def find(self, message_id: int) -> Report | Refused | Uncertain:
        """What it says when asked about our reference."""
        if not self.is_calm and self._choose.random() < 0.3:
            raise ConnectionError("the line broke")
        if not self.is_calm and self._choose.random() < 0.3:
            return Uncertain("no answer") if self._choose.random() < 0.5 else Refused(Refusal.UNREACHABLE)
        copies = self.copies.get(message_id)
        if not copies:
            return Refused(Refusal.NOT_FOUND)
        return Report(
            id=0,
            submission_id=0,
            reference=copies[-1].references[0],
            originator="",
            recipient="",
            state=State.SENT,
            segments=1,
            price_micros=0,
        )


class Line(Unlinked):
    """One gateway's way to a company: a message centre. `watch` sees every submission before the company does, and
    gives what is to be called with the answer."""

    finds_our_reference = True
    receipts_name_our_reference = False

    def __init__(
        self, carrier: Carrier, company: Company, watch: Callable[[Carrier, Submission], Callable[[Verdict], None]]
    ) -> None:
        self._carrier = carrier
        self._company = company
        self._watch = watch

    async def submit(self, submission: Submission) -> Verdict:
        hear = self._watch(self._carrier, submission)
        try:
            async with asyncio.timeout(self._carrier.timeout_s):
                verdict = await self._company.take(submission)
        except TimeoutError:
            verdict = Uncertain("no answer in time")
        hear(verdict)
        return verdict

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        return self._company.find(int(reference))

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain:
        return Refused(Refusal.UNSUPPORTED)

    async def balance(self) -> Balance | Refused | Uncertain:
        return Refused(Refusal.UNSUPPORTED)


def pick(choose: random.Random, weights: dict[Result, int]) -> Result:
    """One of the keys, as often as its weight says."""
    return choose.choices(list(weights), list(weights.values()))[0]
