"""One connected ESME: who it is, what it asks of the gateway, and what it hears of its messages.

Requests become calls of the contract, as with every dialect; `dialects.smpp` translates, here is only who may ask how
much at once. Most requests are submit_sm, so these run without a task of their own: up to the point where the gateway
waits for its commit at once, and on from there when that is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, Final, Protocol

import msgspec
import structlog

from chappe.clock import Clock
from chappe.core.centre import (
    Accepted,
    Call,
    Cancel,
    Cancelled,
    Created,
    Done,
    FindWhole,
    ListMessages,
    Outcome,
    Query,
    Refusal,
    Refused,
    Replace,
    Reports,
    Submit,
    SubmitPart,
)
from chappe.core.model import Account, Inbound, Report, Secret
from chappe.core.sessions import Authenticate, Proof
from chappe.dialects.base import Dialect
from chappe.dialects.smpp import north
from chappe.dialects.smpp.words import LinkWords, status_of, words_of_account
from chappe.eagerly import run_eagerly
from chappe.gateway.bound import LOST, TAKEN, Answer, Heard
from chappe.gateway.callbacks import SMPP_RECEIPT
from chappe.gateway.pace import Throughput
from chappe.gateway.requests import RequestBook
from chappe.listeners.smpp_parts import kept_form
from chappe.listeners.smpp_reading import keep
from chappe.smpp.connection import Connection, LinkLost, NotSent, Overdue
from chappe.smpp.pdu import (
    BODIES,
    RESPONSE,
    BindReceiver,
    BindResponse,
    BindTransceiver,
    BindTransmitter,
    Body,
    CancelSm,
    CancelSmResponse,
    DataSm,
    DataSmResponse,
    GenericNack,
    Pdu,
    QuerySm,
    QuerySmResponse,
    ReplaceSm,
    ReplaceSmResponse,
    Status,
    SubmitMulti,
    SubmitSm,
    SubmitSmResponse,
)
from chappe.smpp.session import Unfit
from chappe.smpp.tlv import Tag, number

log = structlog.get_logger()

SYSTEM_ID: Final = "chappe"
VERSION: Final = 0x34
UNBIND_S: Final = 5.0
CANCELLED_MAX: Final = 100  # messages that one cancel_sm without an id takes back

_report_decoder = msgspec.json.Decoder(Report)
_inbound_decoder = msgspec.json.Decoder(Inbound)

Ask = Callable[[Call, Dialect, str], Awaitable[Outcome]]

# What the answer to a deliver_sm means; every other status is trouble with this one, and it is tried again.
ANSWERS: Final[dict[int, Heard]] = {
    Status.OK: Heard.TAKEN,
    Status.THROTTLED: Heard.FULL,
    Status.QUEUE_FULL: Heard.FULL,
    Status.PERMANENT_ERROR: Heard.NEVER,
    Status.REJECTED: Heard.NEVER,
}


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    @property
    def revision(self) -> int: ...

    def live_account(self, account_id: int) -> Account | None: ...


class House(Protocol):
    """What an ESME is told by, and what it may use: the door it came in by."""

    ask: Ask
    dialect: Dialect
    clock: Clock
    requests: RequestBook | None  # where they are kept

    @property
    def directory(self) -> Known: ...

    def admit(self, esme: "Esme", account: Account) -> bool:
        """Whether there is room for one bind more of the account; it counts from now on."""
        ...

    def bound(self, esme: "Esme") -> None:
        """The bind stands."""
        ...

    def throughput_of(self, account: Account) -> Throughput:
        """What the account may still submit, over all its binds here."""
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time."""
        ...


class Esme:
    """What stands behind one connection."""

    def __init__(self, house: House, connection: Connection) -> None:
        self.connection = connection
        self.account: Account | None = None  # since it bound
        self._house = house
        self._words = LinkWords()
        self._revision = -1
        self._version = VERSION

    def hear(self, connection: Connection, pdu: Pdu) -> None:
        """A request of the ESME."""
        handle = HANDLERS.get(type(pdu.body))
        if handle is None:
            kind = BODIES.get(pdu.body.command_id | RESPONSE, GenericNack)
            connection.answer(pdu, kind(), Status.INVALID_COMMAND_ID)
            return
        handle(self, pdu)

    # Binding

    def hear_bind(self, pdu: Pdu) -> None:
        self._house.run(self._bind(pdu))

    async def _bind(self, pdu: Pdu) -> None:
        body = pdu.body
        assert isinstance(body, BindReceiver | BindTransmitter | BindTransceiver)
        status = await self._admit(body)
        connection = self.connection
        kind = BODIES[body.command_id | RESPONSE]
        assert issubclass(kind, BindResponse)
        if status is not Status.OK:
            log.info("bind_refused", network=connection.peer, status=status.name)
            connection.answer(pdu, kind(), status)
            return
        has_tlvs = body.interface_version >= VERSION  # older ones know no optional parameters (1.1.1)
        tlvs = (number(Tag.SC_INTERFACE_VERSION, VERSION),) if has_tlvs else ()
        connection.answer(pdu, kind(SYSTEM_ID, tlvs), Status.OK)
        if connection.state.is_bound:
            self._house.bound(self)

    async def _admit(self, body: BindReceiver | BindTransmitter | BindTransceiver) -> Status:
        """Who is it, and may it bind? A guesser is told nothing: what is right from elsewhere is wrong from here."""
        call = Authenticate(utf8_of(body.system_id), Secret(utf8_of(body.password)), Proof.SMPP_PASSWORD)
        try:
            account = await self._house.ask(call, self._house.dialect, self.connection.peer)
        except Exception:
            log.exception("bind_broke")
            return Status.SYSTEM_ERROR
        if isinstance(account, Refused):
            is_wrong = account.reason is Refusal.UNAUTHORISED and not account.retry_after_s
            return Status.INVALID_PASSWORD if is_wrong else Status.BIND_FAILED
        assert isinstance(account, Account)
        if not is_within(self.connection.peer, account.smpp.networks):
            log.warning("bind_from_elsewhere", account_id=account.id, network=self.connection.peer)
            return Status.INVALID_PASSWORD
        if not self._house.admit(self, account):
            return Status.BIND_FAILED
        self.account = account  # as it was when it was asked for; `current` looks again
        self._version = body.interface_version
        return Status.OK

    def current(self) -> Account | None:
        """The account, as the configuration has it now; None once it is ended or may not bind from here any more, which
        unbinds it."""
        directory = self._house.directory
        account = self.account
        if account is None or directory.revision == self._revision:
            return account
        account = directory.live_account(account.id)
        if account is None or not is_within(self.connection.peer, account.smpp.networks):
            if self.connection.state.is_bound:
                self._house.run(self.connection.unbind(UNBIND_S))
            return None
        self.account = account
        self._words = words_of_account(account, self._version)
        self._revision = directory.revision
        return account

    # Submitting

    def hear_submit(self, pdu: Pdu) -> None:
        """submit_sm, submit_multi, data_sm."""
        body: Any = pdu.body
        account = self.current()
        if account is None:
            self._refuse(pdu, Status.SYSTEM_ERROR)
            return
        if self.connection.heard_unanswered > account.smpp.window or not self._may_go(body):
            self._refuse(pdu, Status.THROTTLED)
            return
        submitted = north.submission_of(body, self._words, self._house.clock.now_ms())
        if submitted.__class__ is Status:
            self._refuse(pdu, submitted)
            return
        assert isinstance(submitted, north.Submitted)
        call: Call
        if submitted.part is None:
            call = Submit(account, submitted.submission)
        else:
            call = SubmitPart(
                account=account,
                submission=submitted.submission,
                concatenation=submitted.part.concatenation,
                content=kept_form(submitted.part),
            )
        run_eagerly(self._submit(pdu, call, submitted))

    async def _submit(self, pdu: Pdu, call: Call, submitted: north.Submitted) -> None:
        try:
            outcome = await self._house.ask(call, self._house.dialect, self.connection.peer)
        except Exception:
            log.exception("request_broke", command_id=pdu.body.command_id)
            outcome = Refused(Refusal.INTERNAL)
        kind = pdu.body.__class__
        if kind is SubmitMulti:
            assert isinstance(outcome, Accepted | Refused)
            response, status = north.multi_response(submitted, outcome, self._words)
            self._reply(pdu, response, status, outcome)
        elif isinstance(outcome, Accepted):
            answer = SubmitSmResponse if kind is SubmitSm else DataSmResponse
            message_id = north.message_id(int(outcome.tickets[0].reference), self._words)
            self._reply(pdu, answer(message_id), Status.OK, outcome)
        else:
            assert isinstance(outcome, Refused)
            self._refuse(pdu, status_of(outcome.reason, kind))

    def _may_go(self, body: Body) -> bool:
        """Whether the account's throughput has room; a message to many counts for each of them."""
        assert self.account is not None
        if not self.account.smpp.throughput:
            return True
        throughput = self._house.throughput_of(self.account)
        room = throughput.allowance(self._house.clock.monotonic_s())
        if room is not None and room < 1:
            return False
        throughput.spend(len(body.destinations) if isinstance(body, SubmitMulti) else 1)
        return True

    def _refuse(self, pdu: Pdu, status: int) -> None:
        self._reply(pdu, BODIES[pdu.body.command_id | RESPONSE](), status, None)

    def _reply(self, pdu: Pdu, response: Body, status: int, outcome: Outcome | None) -> None:
        self.connection.answer(pdu, response, status)
        if self._house.requests is not None:
            keep(self._house.requests, pdu, response, status, self.account, outcome)

    # Questions

    def hear_question(self, pdu: Pdu) -> None:
        """query_sm, cancel_sm, replace_sm."""
        account = self.current()
        if account is None:
            self._refuse(pdu, Status.SYSTEM_ERROR)
        elif self.connection.heard_unanswered > account.smpp.window:
            self._refuse(pdu, Status.THROTTLED)
        else:
            self._house.run(self._answer(pdu, account))

    async def _answer(self, pdu: Pdu, account: Account) -> None:
        try:
            body, status = await QUESTIONS[type(pdu.body)](self, pdu.body, account)
        except Exception:
            log.exception("request_broke", command_id=pdu.body.command_id)
            body, status = BODIES[pdu.body.command_id | RESPONSE](), Status.SYSTEM_ERROR
        self.connection.answer(pdu, body, status)

    async def _ask(self, call: Call) -> Outcome:
        return await self._house.ask(call, self._house.dialect, self.connection.peer)

    async def _ask_of(self, call: Query | Cancel | Replace, account: Account) -> Outcome:
        """The same of a message, by its id or that of any of the parts it was submitted in."""
        outcome = await self._ask(call)
        if not (isinstance(outcome, Refused) and outcome.reason is Refusal.NOT_FOUND):
            return outcome
        whole = await self._ask(FindWhole(account=account, reference=call.reference))
        if not isinstance(whole, Created) or str(whole.ids[0]) == call.reference:
            return outcome
        return await self._ask(msgspec.structs.replace(call, reference=str(whole.ids[0])))

    async def query(self, body: QuerySm, account: Account) -> tuple[Body, int]:
        call = north.query_call(body, account, self._words)
        outcome = call if isinstance(call, Status) else await self._ask_of(call, account)
        if isinstance(outcome, Report):
            return north.query_response(body, outcome), Status.OK
        return QuerySmResponse(), status_in(outcome, QuerySm)

    async def cancel(self, body: CancelSm, account: Account) -> tuple[Body, int]:
        call = north.cancel_call(body, account, self._words)
        if isinstance(call, ListMessages):
            return CancelSmResponse(), await self._cancel_listed(call, account)
        outcome = call if isinstance(call, Status) else await self._ask_of(call, account)
        is_done = isinstance(outcome, Cancelled)
        return CancelSmResponse(), Status.OK if is_done else status_in(outcome, CancelSm)

    async def _cancel_listed(self, call: ListMessages, account: Account) -> int:
        """Take back what waits between two addresses (4.9)."""
        listed = await self._ask(msgspec.structs.replace(call, count_max=CANCELLED_MAX))
        if not isinstance(listed, Reports):
            return status_in(listed, CancelSm)
        count = 0
        for report in listed.items:
            outcome = await self._ask(Cancel(account, str(report.id), report.recipient))  # of many, this one
            count += isinstance(outcome, Cancelled)
        return Status.OK if count else Status.CANCEL_FAILED

    async def replace(self, body: ReplaceSm, account: Account) -> tuple[Body, int]:
        call = north.replace_call(body, account, self._words, self._house.clock.now_ms())
        outcome = call if isinstance(call, Status) else await self._ask_of(call, account)
        return ReplaceSmResponse(), Status.OK if isinstance(outcome, Done) else status_in(outcome, ReplaceSm)

    # What it hears: a `gateway.bound.Bind`

    @property
    def window(self) -> int:
        return self.account.smpp.window if self.account is not None else 0

    @property
    def room(self) -> int:
        return self.window - self.connection.window_used if self.connection.state.can_receive else 0

    def deliver(self, kind: str, payload: str, reference: int, hear: Callable[[Answer], None]) -> None:
        """Put a callback into words and send it; all its parts must be taken."""
        self.current()
        try:
            asked = [self.connection.ask(body) for body in self._words_for(kind, payload, reference)]
        except Exception:  # one callback that breaks the dialect must not stop the others
            log.exception("callback_broke", kind=kind)
            asked = []
        if not asked:
            asyncio.get_running_loop().call_soon(hear, NO_WORDS)
        elif len(asked) == 1:
            asked[0].add_done_callback(partial(heard_one, hear))
        else:
            asyncio.gather(*asked, return_exceptions=True).add_done_callback(partial(heard_all, asked, hear))

    def _words_for(self, kind: str, payload: str, reference: int) -> tuple[Body, ...]:
        if kind == SMPP_RECEIPT:
            return north.deliveries_of_report(_report_decoder.decode(payload), self._words)
        bodies = north.deliveries_of_inbound(_inbound_decoder.decode(payload), self._words, reference)
        return () if isinstance(bodies, Refused) else bodies


NO_WORDS: Final = Answer(Heard.NEVER, "cannot be written for this bind")
NO_ANSWER: Final = Answer(Heard.LATER, "no answer")

HANDLERS: Final[dict[type[Body], Callable[[Esme, Pdu], None]]] = {
    SubmitSm: Esme.hear_submit,
    DataSm: Esme.hear_submit,
    SubmitMulti: Esme.hear_submit,
    QuerySm: Esme.hear_question,
    CancelSm: Esme.hear_question,
    ReplaceSm: Esme.hear_question,
    BindReceiver: Esme.hear_bind,
    BindTransmitter: Esme.hear_bind,
    BindTransceiver: Esme.hear_bind,
}
QUESTIONS: Final[dict[type[Body], Callable[[Esme, Any, Account], Coroutine[Any, Any, tuple[Body, int]]]]] = {
    QuerySm: Esme.query,
    CancelSm: Esme.cancel,
    ReplaceSm: Esme.replace,
}


def heard_one(hear: Callable[[Answer], None], asked: "asyncio.Future[Pdu]") -> None:
    hear(answer_of(asked))


def heard_all(asked: "list[asyncio.Future[Pdu]]", hear: Callable[[Answer], None], _: object) -> None:
    """Of several, the first that was not taken counts."""
    answers = map(answer_of, asked)
    hear(next((one for one in answers if one is not TAKEN), TAKEN))


def answer_of(asked: "asyncio.Future[Pdu]") -> Answer:
    """What became of a deliver_sm."""
    error = asked.exception() if not asked.cancelled() else LinkLost()
    if error is None:
        status = asked.result().status
        return TAKEN if not status else Answer(ANSWERS.get(status, Heard.LATER), f"0x{status:08x}")
    if isinstance(error, Overdue):
        return NO_ANSWER
    if isinstance(error, Unfit):
        return NO_WORDS
    if isinstance(error, NotSent | LinkLost):
        return LOST
    raise error


def status_in(outcome: Outcome | Status, request: type[Body]) -> int:
    """Why a request was refused."""
    if isinstance(outcome, Status):
        return outcome
    return status_of(outcome.reason if isinstance(outcome, Refused) else Refusal.INTERNAL, request)


def is_within(peer: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of these networks; without any, it is."""
    if not networks:
        return True
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ip_network(network, strict=False) for network in networks)


def utf8_of(written: str) -> str:
    """A field of the wire, one character an octet, as the text that was meant where it is UTF-8."""
    try:
        return written if written.isascii() else written.encode("latin-1").decode()
    except UnicodeDecodeError:
        return written
