"""A carrier over SMPP 3.4: we bind to its message centre as an ESME, submit on any bind, and hear receipts on all.

A message is as many `submit_sm` as it has segments, and has one verdict:

- Its first segment goes ahead. What becomes of it becomes of the message, as long as nothing else has left: a refusal
  is certain, and a throttled link is found out before anything was taken. Messages of one segment end here.
- Once the first is taken the others follow together. Those that are refused for now are asked for again, `ROUNDS_MAX`
  times in all, since the others cannot be taken back. All taken: accepted, each segment under the id it was given.
- One refused for good: the message is refused, for a phone cannot put it together; another carrier may get it whole.
- One without an answer, or still refused for now at the end: uncertain. Nobody knows whether the phone has it all.

A submission whose octets have left and whose answer will not come (the link was lost, or it is overdue) is uncertain;
one that has not left is refused as unreachable, which is certain. `query` can only name a message by an id that the
carrier gave, so of doubtful messages it knows those that were taken in part, for as long as they are remembered here.
Since a part that arrived says nothing of the others, only a part that failed settles the doubt.

Receipts and messages are answered once they are kept, and else with a temporary error, so that they come again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace

from chappe.carriers.binds import BIND_KINDS, Binds, Connect
from chappe.carriers.receipt_ids import ReceiptIds
from chappe.clock import Clock
from chappe.core.centre import REMEDIES, Accepted, Balance, Cancelled, Links, Refusal, Refused, Uncertain, Verdict
from chappe.core.lifecycle import FINAL
from chappe.core.model import Carrier, Inbound, Receipt, Report, State, Submission
from chappe.dialects.smpp.ids import canonical
from chappe.dialects.smpp.south import (
    Unreadable,
    brought_by,
    cancel_of,
    cancelled_of,
    query_of,
    report_of,
    submissions_of,
    verdict_of,
)
from chappe.dialects.smpp.words import OPTIONS, Ids, LinkWords, OptionError, read_number, words_of_options
from chappe.smpp.connection import Connection, NotSent, Timers
from chappe.smpp.pdu import (
    Bind,
    Body,
    DataSm,
    DataSmResponse,
    DeliverSm,
    DeliverSmResponse,
    MessageResponse,
    Pdu,
    PduError,
    Status,
    SubmitSm,
    encode_body,
)
from chappe.smpp.session import Unfit

log = structlog.get_logger()

ROUNDS_MAX = 8  # in which the segments behind the first are asked for: for half a minute, a throttled link recovers
ROUND_FIRST_S, ROUND_LONGEST_S = 0.5, 8.0  # before the second round, doubling; and before each at most
REMEMBERED_MAX = 10_000  # doubtful messages that were taken in part
DELIVERIES_MAX = 5_000  # receipts and messages that wait to be kept


class Own(NamedTuple):
    """An option that is about the bind and not about what is said on it: its default, and the greatest it may be."""

    default: int
    greatest: int


NUMBERS = {"binds": Own(1, 16), "enquire_link_s": Own(30, 3600), "address_ton": Own(0, 6), "address_npi": Own(0, 18)}
NO_ID = Uncertain("SMPP finds a message only by the id its carrier gave, and none is known")
FAILED = FINAL - {State.DELIVERED}


class Taken(Struct, frozen=True):
    """What is known of a doubtful message that was taken in part: the ids of those parts, as the carrier wrote them."""

    ids: tuple[str, ...]
    originator: str
    recipient: str


class Told(Protocol):
    """What a receipt led to."""

    @property
    def is_parked(self) -> bool:
        """Whether it found no message."""
        ...

    @property
    def is_to_recipient(self) -> bool:
        """Whether that went to the receipt's recipient; told of a receipt with spellings."""
        ...

    @property
    def spelling(self) -> int:
        """Which of its spellings named the message; negative where its reference did."""
        ...


class SmppCarrier:
    """`connect` is the outbound door. `emit` and `emit_inbound` keep what the carrier brings: their futures end once it
    is kept, that of a receipt with what is `Told` of it, and fail where it was not."""

    finds_our_reference = True  # those that `query` is about: doubtful ones
    receipts_name_our_reference = False

    def __init__(
        self,
        carrier: Carrier,
        *,
        connect: Connect,
        emit: Callable[[Receipt], "asyncio.Future[Any]"],
        emit_inbound: Callable[[Inbound], "asyncio.Future[Any]"],
        clock: Clock,
        random_bits: Callable[[int], int],
    ) -> None:
        """Raises OptionError; a gateway file with such an option is not applied."""
        self._name = carrier.name
        self._loop = asyncio.get_running_loop()
        self._words = words_of_options(carrier.options)
        self._emit = emit
        self._emit_inbound = emit_inbound
        self._random_bits = random_bits
        self._concatenation = random_bits(16)  # the last reference that told a long message from others
        self._heard: list[tuple[Connection, Pdu]] = []
        self._deliveries_count = 0
        self._unreadable_count = 0
        self._ids = ReceiptIds(self._words.receipt_ids)
        self._taken: OrderedDict[str, Taken] = OrderedDict()  # by our reference
        self._binds = Binds(
            name=carrier.name,
            url=carrier.url,
            requests=bind_requests(carrier, self._words),
            connect=connect,
            clock=clock,
            random_bits=random_bits,
            timers=Timers(
                enquire_link_s=number_among(carrier.options, "enquire_link_s"),
                response_s=carrier.timeout_s,
            ),
            window=carrier.window,
            hear=self._hear,
        )

    def start(self, changed: Callable[[], None]) -> None:
        self._binds.start(changed)

    async def close(self) -> None:
        await self._binds.close()

    @property
    def links(self) -> Links:
        return self._binds.links

    # What the gateway asks

    def submit(self, submission: Submission) -> Awaitable[Verdict]:
        """A message of one segment, which is nearly every one, costs no task."""
        self._concatenation = self._concatenation + 1 & 0xFFFF
        bodies = submissions_of(submission, self._words, self._concatenation)
        if isinstance(bodies, Refused):
            return self._settled(bodies)
        if len(bodies) > 1:
            return self._submit_long(submission, bodies)
        waiting = self._start_asking(bodies[0])
        if isinstance(waiting, Refused):
            return self._settled(waiting)
        verdict: asyncio.Future[Verdict] = self._loop.create_future()
        waiting.add_done_callback(partial(self._settle, verdict, submission))
        return verdict

    def _settled(self, verdict: Verdict) -> "asyncio.Future[Verdict]":
        settled: asyncio.Future[Verdict] = self._loop.create_future()
        settled.set_result(verdict)
        return settled

    def _settle(
        self, verdict: "asyncio.Future[Verdict]", submission: Submission, waiting: "asyncio.Future[Pdu]"
    ) -> None:
        if not verdict.done():
            verdict.set_result(self._verdict_of(answer_of(waiting), submission))

    async def _submit_long(self, submission: Submission, bodies: Sequence[SubmitSm]) -> Verdict:
        first = await self._ask(bodies[0])
        verdict = self._verdict_of(first, submission)
        return await self._submit_others(submission, bodies, first) if isinstance(verdict, Accepted) else verdict

    async def _submit_others(self, submission: Submission, bodies: Sequence[SubmitSm], first: "Answer") -> Verdict:
        """The segments behind the first, which is taken."""
        answers = [first, *[Refused(Refusal.UNREACHABLE)] * (len(bodies) - 1)]
        verdicts: list[Verdict] = []
        missing = list(range(1, len(bodies)))
        for failures in range(ROUNDS_MAX):
            if failures:
                pause_s = min(ROUND_LONGEST_S, ROUND_FIRST_S * 2 ** (failures - 1))
                await asyncio.sleep(pause_s * (1 - self._random_bits(10) / 2048))
            heard = await asyncio.gather(*(self._ask(bodies[index]) for index in missing))
            for index, answer in zip(missing, heard, strict=True):
                answers[index] = answer
            verdicts = [self._verdict_of(answer, submission) for answer in answers]
            missing = [index for index, verdict in enumerate(verdicts) if is_refused(verdict, for_now=True)]
            if not missing or any(isinstance(one, Uncertain) or is_refused(one, for_now=False) for one in verdicts):
                break
        verdict = verdict_of_parts(verdicts)
        if isinstance(verdict, Uncertain):
            self._remember(submission, answers)
        return verdict

    def _verdict_of(self, answer: "Answer", submission: Submission) -> Verdict:
        if not isinstance(answer, Pdu):
            return answer
        verdict = verdict_of(answer, self._words, submission.recipients[0])
        if isinstance(verdict, Accepted) and self._ids.is_learning:
            early = self._ids.answer(verdict.tickets[0].reference, submission.recipients[0])
            if early is not None:
                self._bring_again(early)
        return verdict

    def _bring_again(self, receipt: Receipt) -> None:
        """Ahead of the verdict, whose message finds it parked: were it behind and we died between the two, the carrier
        would bring it no more."""
        try:
            self._emit(receipt)
        except Exception:  # the verdict is not to blame
            log.exception("delivery_broke", carrier=self._name)

    def _start_asking(self, body: Body) -> "asyncio.Future[Pdu] | Refused":
        connection = self._binds.freest()
        return connection.ask(body) if connection is not None else Refused(Refusal.UNREACHABLE, self._binds.detail)

    async def _ask(self, body: Body) -> "Answer":
        waiting = self._start_asking(body)
        if isinstance(waiting, Refused):
            return waiting
        await asyncio.wait([waiting])
        return answer_of(waiting)

    def _remember(self, submission: Submission, answers: Sequence["Answer"]) -> None:
        """What a doubtful message can be asked about by."""
        bodies = [answer.body for answer in answers if isinstance(answer, Pdu) and not answer.status]
        ids = [body.message_id for body in bodies if isinstance(body, MessageResponse) and body.message_id]
        self._taken[submission.reference] = Taken(tuple(ids), submission.originator, submission.recipients[0])
        if len(self._taken) > REMEMBERED_MAX:
            self._taken.popitem(last=False)

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        """What became of a doubtful message, by our reference."""
        taken = self._taken.get(reference)
        if taken is None:
            return NO_ID
        for message_id in taken.ids:
            answer = await self._ask(query_of(message_id, taken.originator, self._words))
            if not isinstance(answer, Pdu):
                return Uncertain(answer.detail)
            report = report_of(answer, canonical(message_id), self._words, taken.recipient)
            if isinstance(report, Report) and report.state in FAILED:
                del self._taken[reference]
                return report
        return Uncertain("a part of it was taken, of the rest nobody knows")

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain:
        """By the carrier's id."""
        answer = await self._ask(cancel_of(reference, "", recipient, self._words))
        return cancelled_of(answer, self._words) if isinstance(answer, Pdu) else answer

    async def balance(self) -> Balance | Refused | Uncertain:
        return Refused(Refusal.UNSUPPORTED, "SMPP has no word for it")

    # What the carrier brings

    def _hear(self, connection: Connection, request: Pdu) -> None:
        """Take what is brought a turn later: by then whoever waited for the answers of the same read has handed them to
        the store, and a receipt behind its answer finds its message instead of being parked."""
        if not self._heard:
            self._loop.call_soon(self._take_heard)
        self._heard.append((connection, request))

    def _take_heard(self) -> None:
        heard, self._heard = self._heard, []
        for connection, request in heard:
            try:
                self._take(connection, request)
            except Exception:  # the next ones are not to blame
                log.exception("delivery_broke", carrier=self._name)
                self._answer(connection, request, Status.TEMPORARY_ERROR)

    def _take(self, connection: Connection, request: Pdu) -> None:
        body = request.body
        if not isinstance(body, DeliverSm | DataSm):  # alert_notification and outbind want no answer
            return
        if self._deliveries_count >= DELIVERIES_MAX:
            self._answer(connection, request, Status.TEMPORARY_ERROR)
            return
        brought = brought_by(body, self._words)
        if isinstance(brought, Unreadable):
            self._unreadable_count += 1
            count = self._unreadable_count
            if not count & (count - 1):  # 1, 2, 4, 8 ...: a flood is told, and is none
                log.warning("delivery_unreadable", carrier=self._name, detail=brought.detail, count=count)
            self._answer(connection, request, Status.OK)
            return
        answer = partial(self._answer_kept, connection, request)
        if isinstance(brought, Inbound):
            keeping, heard = self._emit_inbound(brought), answer
        elif self._ids.is_learning:
            receipt = self._ids.read(brought)
            keeping, heard = self._emit(receipt), partial(self._learn, brought, receipt, answer)
        else:
            keeping, heard = self._emit(brought), answer
        self._deliveries_count += 1
        keeping.add_done_callback(heard)

    def _answer_kept(self, connection: Connection, request: Pdu, keeping: "asyncio.Future[Any]") -> None:
        self._deliveries_count -= 1
        is_kept = not keeping.cancelled() and keeping.exception() is None
        self._answer(connection, request, Status.OK if is_kept else Status.TEMPORARY_ERROR)

    def _learn(
        self,
        written: Receipt,
        receipt: Receipt,
        answer: "Callable[[asyncio.Future[Any]], None]",
        keeping: "asyncio.Future[Any]",
    ) -> None:
        """Learn from a receipt that found its message; those that found none are read again once that is known. One
        that is read again at once is answered when that is kept: the carrier will not bring it another time."""
        is_kept = not keeping.cancelled() and keeping.exception() is None
        told: Told | None = keeping.result() if is_kept else None
        if told is not None and told.is_parked and receipt is written:
            again = self._ids.park(receipt)
            (keeping if again is None else self._emit(again)).add_done_callback(answer)
            return
        answer(keeping)
        if told is None:
            return
        if receipt is written and receipt.spellings and not told.is_to_recipient:
            return  # perhaps another message's id, in other digits
        # One that is parked under an id that was given has its message: it is just being kept.
        matched = receipt.reference if told.spelling < 0 else receipt.spellings[told.spelling]
        for early in self._ids.learn(written.reference, matched):
            self._emit(early)
        if not self._ids.is_learning and self._words.receipt_ids is Ids.LEARN:
            log.info("receipt_ids_learned", carrier=self._name, rule=self._ids.rule.value)
            self._words = replace(self._words, receipt_ids=self._ids.rule)

    def _answer(self, connection: Connection, request: Pdu, status: Status) -> None:
        connection.answer(request, DELIVERED if isinstance(request.body, DeliverSm) else DATA_TAKEN, status)


Answer = Pdu | Refused | Uncertain  # to a request of ours, or why there is none
DELIVERED, DATA_TAKEN = DeliverSmResponse(), DataSmResponse()


def answer_of(waiting: "asyncio.Future[Pdu]") -> Answer:
    """What became of a request."""
    error = None if waiting.cancelled() else waiting.exception()
    if isinstance(error, NotSent):
        return Refused(Refusal.BAD_REQUEST if isinstance(error, Unfit) else Refusal.UNREACHABLE, str(error))
    if error is not None or waiting.cancelled():
        return Uncertain(str(error or ""))
    return waiting.result()


def is_refused(verdict: Verdict, *, for_now: bool) -> bool:
    return isinstance(verdict, Refused) and REMEDIES[verdict.reason].may_retry is for_now


def verdict_of_parts(verdicts: Sequence[Verdict]) -> Verdict:
    """The one verdict on a message whose first segment was taken, by those on its segments."""
    count = len(verdicts)
    for position, verdict in enumerate(verdicts, 1):
        if isinstance(verdict, Refused) and is_refused(verdict, for_now=False):
            return Refused(verdict.reason, f"segment {position} of {count}: {verdict.detail}")
    for position, verdict in enumerate(verdicts, 1):
        if not isinstance(verdict, Accepted):
            return Uncertain(f"segment {position} of {count}: {verdict.detail}")
    tickets = {ticket.reference: ticket for verdict in verdicts for ticket in verdict.tickets}  # type: ignore[union-attr]
    return Accepted(tuple(tickets.values()))


# Options


def bind_requests(carrier: Carrier, words: LinkWords) -> list[Bind]:
    """The binds that are wanted, as they are asked for (4.1)."""
    options = carrier.options
    return [
        kind(
            carrier.login,
            carrier.password.value,
            words.system_type,
            words.interface_version,
            number_among(options, "address_ton"),
            number_among(options, "address_npi"),
            options.get("address_range", ""),
        )
        for _ in range(number_among(options, "binds"))
        for kind in BIND_KINDS[options.get("bind", "transceiver")]
    ]


def number_among(options: Mapping[str, str], name: str) -> int:
    own = NUMBERS[name]
    return read_number(name, options[name], own.greatest) if name in options else own.default


def option_objection(options: Mapping[str, str]) -> str:
    """What is wrong with the options of a gateway file's carrier, in words that finish "options ..."."""
    known = OPTIONS | {*NUMBERS, "address_range"} - {"binds"}
    unknown = next((name for name in options if name not in known and not name.lower().startswith("0x")), None)
    if unknown is not None:
        return f"{unknown!r} is none of {', '.join(sorted(known))}, and no status such as 0x45"
    try:
        words = words_of_options(options)
        for name in NUMBERS:
            number_among(options, name)
        (request,) = bind_requests(Carrier(id=0, name="", kind="", options=dict(options)), words)
        encode_body(request, 1)
        encode_body(SubmitSm(words.service_type), 1)
    except OptionError as error:
        return str(error)
    except PduError as error:
        return f"{error.detail.replace(':', ' has', 1)}"
    return ""
