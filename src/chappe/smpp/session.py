"""One SMPP session as its own end sees it, without a socket: what may be said when, what was asked, what is due.

The session is told octets and the time; it keeps what has to be written in `outbox` and hands out what was heard. It
never waits and never calls anybody, so that two of them can be wired together in a test and every instant be tried.

```
OPEN --outbind--> OUTBOUND --bind_receiver--+
OPEN --bind_transmitter / _receiver / _transceiver, answered with status 0--> TRANSMITTER | RECEIVER | TRANSCEIVER
bound --unbind, of either end--> UNBOUND --answers given--> CLOSED         any --link lost--> CLOSED
```

Requests of ours are numbered (3.2), at most `window` of them are without an answer, the next are held back. What
became of each is told exactly once: an answer; `NotSent`, when not an octet of it left; `Overdue`, when the peer is
there but has not answered in time; `LinkLost`, when it is not there any more. After the last two nobody knows.

    Exception
    ├── NotSent
    │   └── Unfit
    └── LinkLost
        └── Overdue
"""

import math
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from struct import Struct as Layout
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from chappe.smpp.pdu import (
    BODIES,
    HEADER_OCTETS,
    PDU_OCTETS_MAX,
    RESPONSE,
    SEQUENCE_MAX,
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    Body,
    CancelSm,
    DataSm,
    DeliverSm,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Outbind,
    Pdu,
    PduError,
    QuerySm,
    ReplaceSm,
    Status,
    SubmitMulti,
    SubmitSm,
    Unbind,
    UnbindResponse,
    decode,
    encode_body,
)

NEVER: Final = math.inf
LENGTH: Final = Layout(">I")
OUTBOX_OCTETS_MAX: Final = 262_144  # of requests that are written at once; further ones wait
HELD_OCTETS_MAX: Final = 4_194_304  # of requests that wait for room: in the window, in the outbox, at the peer
PARTIAL_S: Final = 15.0  # how long the rest of a PDU may take
UNBIND_S: Final = 5.0  # how long a peer that takes its leave waits for what is still due


class Role(StrEnum):
    """Which end of the session this is."""

    ESME = "esme"
    MESSAGE_CENTRE = "message_centre"


class BindState(StrEnum):
    """Where a session stands (2.2; UNBOUND and OUTBOUND as SMPP 5.0 names them)."""

    OPEN = "open"
    OUTBOUND = "outbound"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"
    TRANSCEIVER = "transceiver"
    UNBOUND = "unbound"
    CLOSED = "closed"

    @property
    def can_transmit(self) -> bool:
        """Whether the ESME may submit."""
        return self in (BindState.TRANSMITTER, BindState.TRANSCEIVER)

    @property
    def can_receive(self) -> bool:
        """Whether the message centre may deliver."""
        return self in (BindState.RECEIVER, BindState.TRANSCEIVER)

    @property
    def is_bound(self) -> bool:
        return self.can_transmit or self.can_receive


class Timers(Struct, frozen=True, kw_only=True):
    """How long is waited for what, in seconds (7.2); 0 = for ever."""

    session_init_s: float = 10  # from the connection to the bind
    enquire_link_s: float = 30  # of silence, until the peer is asked whether it is there
    response_s: float = 60  # until the peer is asked; after twice as long a request is overdue
    inactivity_s: float = 0  # without an operation, until the session is ended


class NotSent(Exception):
    """Not an octet of the request left."""


class Unfit(NotSent):
    """The request does not fit into its fields, now as later."""


class LinkLost(Exception):
    """The request left, and its answer will not come."""


class Overdue(LinkLost):
    """The request left, the link stands, and there was no answer in time."""


# Who may send what in which state (2.3, table 2-1). enquire_link is let pass in every state, as SMPP 5.0 has it.

OPEN, OUTBOUND, TRANSMITTER, RECEIVER, TRANSCEIVER, UNBOUND, CLOSED = BindState
TRANSMITTING, RECEIVING = (TRANSMITTER, TRANSCEIVER), (RECEIVER, TRANSCEIVER)
ALL_BOUND = (TRANSMITTER, RECEIVER, TRANSCEIVER)

REQUESTS: Final[dict[type[Body], dict[Role, tuple[BindState, ...]]]] = {
    BindTransmitter: {Role.ESME: (OPEN, OUTBOUND)},
    BindReceiver: {Role.ESME: (OPEN, OUTBOUND)},
    BindTransceiver: {Role.ESME: (OPEN, OUTBOUND)},
    Outbind: {Role.MESSAGE_CENTRE: (OPEN,)},
    Unbind: dict.fromkeys(Role, (OPEN, OUTBOUND, *ALL_BOUND, UNBOUND)),
    EnquireLink: dict.fromkeys(Role, (OPEN, OUTBOUND, *ALL_BOUND, UNBOUND)),
    SubmitSm: {Role.ESME: TRANSMITTING},
    SubmitMulti: {Role.ESME: TRANSMITTING},
    DataSm: {Role.ESME: TRANSMITTING, Role.MESSAGE_CENTRE: RECEIVING},
    QuerySm: {Role.ESME: TRANSMITTING},
    CancelSm: {Role.ESME: TRANSMITTING},
    ReplaceSm: {Role.ESME: TRANSMITTING},
    DeliverSm: {Role.MESSAGE_CENTRE: RECEIVING},
    AlertNotification: {Role.MESSAGE_CENTRE: RECEIVING},
}
MAY_SEND: Final[Mapping[tuple[Role, BindState], frozenset[int]]] = {
    (role, state): frozenset(kind.command_id for kind, by_role in REQUESTS.items() if state in by_role.get(role, ()))
    for role in Role
    for state in BindState
}
BOUND_BY: Final[dict[int, BindState]] = {
    BindTransmitter.command_id: TRANSMITTER,
    BindReceiver.command_id: RECEIVER,
    BindTransceiver.command_id: TRANSCEIVER,
}
OTHER_END: Final = {Role.ESME: Role.MESSAGE_CENTRE, Role.MESSAGE_CENTRE: Role.ESME}
OWN = frozenset({Unbind.command_id, EnquireLink.command_id})  # answered by the session itself
UNANSWERED = frozenset({Outbind.command_id, AlertNotification.command_id})  # have no response (4.1.7, 4.12)

Token = TypeVar("Token")


class Asked(Struct, Generic[Token], frozen=True, gc=False):
    """A request of ours without an answer yet."""

    at_s: float
    answer_id: int  # command_id of the response that belongs to it
    token: Token


class Held(Struct, Generic[Token], frozen=True, gc=False):
    """A request of ours that has not left yet."""

    at_s: float
    sequence: int
    answer_id: int
    octets: bytes
    token: Token


class Heard(NamedTuple, Generic[Token]):
    """What came of some octets; each list in the order of the wire, and the answers are to be handed out first."""

    answers: list[tuple[Token, Pdu]]
    requests: list[Pdu]
    unreadable: list[PduError]


class Ended(NamedTuple, Generic[Token]):
    """Requests that will not be answered."""

    not_sent: list[Token]
    lost: list[Token]


class Counts(Struct):
    """What went wrong on a session so far."""

    unreadable: int = 0  # PDUs that could not be read
    stray: int = 0  # answers to nothing that was asked, or too late
    mismatched: int = 0  # answers of another kind than their request
    misplaced: int = 0  # requests that the state does not allow
    overdue: int = 0


class Session(Generic[Token]):
    """One end of a session. `Token` is whatever the owner wants to get back with the answer to a request.

    After each call the owner writes what `take` gives, and closes the connection once `ending` says why.
    """

    def __init__(self, role: Role, timers: Timers, now_s: float, window: int = 0) -> None:
        self.role = role
        self.timers = timers
        self.window = window or SEQUENCE_MAX
        self.outbox: list[bytes] = []
        self.ending = ""  # why the connection is to be closed, once everything is written
        self.heard_unanswered = 0  # requests of the peer that were handed out and have no answer yet
        self.counts = Counts()
        self.is_paused = False  # the peer reads too slowly: requests are held back
        self.is_deaf = False  # and so slowly that we stopped reading: nobody is blamed for what does not come
        self.pending: dict[int, Asked[Token]] = {}  # by sequence number, the oldest first
        self.held: deque[Held[Token]] = deque()
        self._held_octets = 0
        self._unwritten: list[int] = []  # which of `pending` are still in the outbox
        self._unwritten_octets = 0  # and they are so long
        self._sequence = 0
        self._partial = bytearray()
        self._partial_need = 0
        self._partial_s = NEVER  # when the PDU that is not complete began
        self._opened_s = self._heard_s = self._operated_s = now_s
        self._probe_s = -NEVER  # when the peer was last asked whether it is there
        self._is_silent = False  # and whether nothing was heard since
        self._probe_sequence = 0
        self._bind_asked = 0  # sequence number of our bind, while it has no answer
        self._bind_heard: Pdu | None = None  # the peer's, while it has none
        self._leave_s = NEVER  # when the session ends, whatever is still due
        self._unbind_sequence = 0  # of our unbind
        self._unbind_heard: Pdu | None = None
        self.shortest_s = min(filter(None, (PARTIAL_S, UNBIND_S, *astuple(timers))))  # no wait here is shorter
        self.state: BindState  # as the owner sees it
        self._stands: BindState
        self._may_ask: frozenset[int]
        self._may_hear: frozenset[int]
        self._move(OPEN)

    # What was asked and heard

    @property
    def _is_leaving(self) -> bool:
        return self._leave_s != NEVER

    @property
    def window_used(self) -> int:
        """How many requests of ours have no answer."""
        return len(self.pending) + len(self.held)

    def ask(self, body: Body, token: Token, now_s: float) -> None:
        """A request of ours. Raises NotSent when it cannot be sent in this state, does not fit, or too many wait."""
        command_id = body.command_id
        if command_id not in self._may_ask:
            raise NotSent(f"not in state {self.state}")
        if self._held_octets >= HELD_OCTETS_MAX:
            raise NotSent("too many requests wait")
        sequence = self._next_sequence()
        try:
            octets = encode_body(body, sequence)
        except PduError as error:
            raise Unfit(error.detail) from None
        if self.held or not self._has_room:
            self.held.append(Held(now_s, sequence, command_id | RESPONSE, octets, token))
            self._held_octets += len(octets)
            return
        self._send(sequence, command_id | RESPONSE, octets, token, now_s)
        if command_id in BOUND_BY:
            self._bind_asked = sequence
            self._move(self._stands)

    @property
    def _has_room(self) -> bool:
        """Whether a request of ours may leave now."""
        return len(self.pending) < self.window and self._unwritten_octets < OUTBOX_OCTETS_MAX and not self.is_paused

    def _send(self, sequence: int, answer_id: int, octets: bytes, token: Token, now_s: float) -> None:
        self.outbox.append(octets)
        self._unwritten.append(sequence)
        self._unwritten_octets += len(octets)
        self.pending[sequence] = Asked(now_s, answer_id, token)
        self._operated_s = now_s

    def tell(self, body: Body, now_s: float) -> None:
        """What has no answer: outbind, alert_notification. Raises NotSent."""
        if body.command_id not in MAY_SEND[self.role, self.state] & UNANSWERED or self._is_leaving:
            raise NotSent(f"not in state {self.state}")
        self._write(body, self._next_sequence())
        self._operated_s = now_s
        if body.command_id == Outbind.command_id:
            self._move(OUTBOUND)

    def answer(self, request: Pdu, body: Body, status: int = 0) -> None:
        """Our answer to a request that was handed out. Raises PduError for a body that does not fit; then the peer
        was told of a system error."""
        if self.state is CLOSED:
            return
        self.heard_unanswered -= 1
        try:
            self.outbox.append(encode_body(body, request.sequence, status))
        except PduError:
            status = Status.SYSTEM_ERROR
            self._write(type(body)(), request.sequence, status)
            raise
        finally:
            if request is self._bind_heard:
                self._bind_answered(request, status)
            if self._is_leaving:
                self._leave_further()

    def receive(self, octets: bytes, now_s: float) -> Heard[Token]:
        """Octets as they came. What the session answers by itself is in the outbox afterwards."""
        heard: Heard[Token] = Heard([], [], [])
        if self.ending or self.state is CLOSED:
            return heard
        self._heard_s = now_s
        self._is_silent = False
        if self._partial:
            self._partial += octets
            if len(self._partial) < self._partial_need:
                return heard
            octets = bytes(self._partial)
            self._partial.clear()
        place = self._read(octets, heard)
        if place < len(octets) and not self.ending:
            self._keep_partial(octets, place, now_s)
        else:
            self._partial_s = NEVER
        if heard.answers or heard.requests:
            self._operated_s = now_s
        if self.held:
            self.release(now_s)
        if self._is_leaving:
            self._leave_further()
        return heard

    def take(self) -> bytes:
        """All that is to be written now."""
        octets = b"".join(self.outbox)
        self.outbox.clear()
        self._unwritten.clear()
        self._unwritten_octets = 0
        return octets

    def release(self, now_s: float) -> None:
        """Send what was held back and has room now."""
        while self.held and self._has_room and not self._is_leaving:
            held = self._unhold()
            self._send(held.sequence, held.answer_id, held.octets, held.token, now_s)

    def _unhold(self) -> Held[Token]:
        held = self.held.popleft()
        self._held_octets -= len(held.octets)
        return held

    def listen(self, now_s: float) -> None:
        """Reading goes on: what is to come has its whole time again."""
        self.is_deaf = False
        if self._partial:
            self._partial_s = now_s

    # The end

    def leave(self, now_s: float, timeout_s: float) -> list[Token]:
        """Begin to unbind: wait for the answers to our requests, unbind, give the answers still due, end; all within
        `timeout_s`. Returns the requests that did not leave."""
        self._leave_s = min(self._leave_s, now_s + timeout_s)
        self._move(self._stands)
        not_sent = [held.token for held in self.held]
        self.held.clear()
        self._leave_further()
        return not_sent

    def close(self) -> Ended[Token]:
        """The link is no more. Returns all requests without an answer."""
        unwritten = [self.pending.pop(sequence).token for sequence in self._unwritten if sequence in self.pending]
        ended = Ended(
            unwritten + [held.token for held in self.held],
            [asked.token for asked in self.pending.values()],
        )
        self.pending.clear()
        self.held.clear()
        self.outbox.clear()
        self._move(CLOSED)
        return ended

    # Time

    @property
    def deadline_s(self) -> float:
        """When `tick` has to be called next, unless something happens before."""
        if self.ending or self.state is CLOSED:
            return NEVER
        due_s = min(self._partial_until_s, self._leave_s)
        timers = self.timers
        oldest_s = next(iter(self.pending.values())).at_s if self.pending else NEVER
        due_s = min(due_s, after(oldest_s, 2 * timers.response_s))
        if self._stands in (OPEN, OUTBOUND):
            return min(due_s, self._init_until_s)
        return min(
            due_s,
            self._silent_at_s,
            self._probe_at_s(oldest_s),
            after(self.held[0].at_s, timers.response_s) if self.held else NEVER,
            NEVER if self._is_leaving else after(self._operated_s, timers.inactivity_s),
        )

    def tick(self, now_s: float) -> Ended[Token]:
        """Do what is due. Returns the requests that are given up: held for too long, or overdue."""
        ended: Ended[Token] = Ended([], [])
        if self.ending or self.state is CLOSED:
            return ended
        is_opening = self._stands in (OPEN, OUTBOUND)
        if self._leave_s <= now_s:
            self._leave_at_once()
        elif self._partial_until_s <= now_s:
            self.ending = "the rest of a PDU did not come"
        elif is_opening and self._init_until_s <= now_s:
            self.ending = "not bound in time"
        elif self._silent_at_s <= now_s:
            self.ending = "no answer to enquire_link"
        else:
            self._give_up(now_s, ended)
            if not is_opening:
                self._probe(now_s)
                self._end_idleness(now_s, ended)
        return ended

    @property
    def _init_until_s(self) -> float:
        """A peer that has asked to be bound has done its part, however long the answer takes us."""
        return NEVER if self._bind_heard is not None else after(self._opened_s, self.timers.session_init_s)

    @property
    def _partial_until_s(self) -> float:
        return NEVER if self.is_deaf else self._partial_s + PARTIAL_S

    @property
    def _silent_at_s(self) -> float:
        """When a peer that was asked whether it is there, and has said nothing since, counts as gone."""
        if not self._is_silent:
            return NEVER
        timers = self.timers
        return self._probe_s + min(timers.response_s or NEVER, timers.enquire_link_s or NEVER)

    def _probe_at_s(self, oldest_s: float) -> float:
        timers = self.timers
        wanted_s = min(after(self._heard_s, timers.enquire_link_s), after(oldest_s, timers.response_s))
        return max(wanted_s, self._probe_s + (timers.enquire_link_s or timers.response_s))

    def _probe(self, now_s: float) -> None:
        """Ask the peer whether it is there: it was silent for long, or an answer is late."""
        oldest_s = next(iter(self.pending.values())).at_s if self.pending else NEVER
        if self._probe_at_s(oldest_s) <= now_s:
            self._probe_s = now_s
            self._is_silent = True
            self._probe_sequence = self._next_sequence()
            self._write(EnquireLink(), self._probe_sequence)

    def _end_idleness(self, now_s: float, ended: Ended[Token]) -> None:
        if after(self._operated_s, self.timers.inactivity_s) <= now_s and not self._is_leaving:
            ended.not_sent.extend(self.leave(now_s, UNBIND_S))

    def _give_up(self, now_s: float, ended: Ended[Token]) -> None:
        response_s = self.timers.response_s
        if not response_s:
            return
        for sequence, asked in tuple(self.pending.items()):
            if asked.at_s + 2 * response_s > now_s:
                break
            del self.pending[sequence]
            ended.lost.append(asked.token)
        self.counts.overdue += len(ended.lost)
        while self.held and self.held[0].at_s + response_s <= now_s:
            ended.not_sent.append(self._unhold().token)
        if ended.lost:
            self.release(now_s)
            self._leave_further()

    # Reading

    def _read(self, octets: bytes, heard: Heard[Token]) -> int:
        """Read all PDUs that are complete; returns where the first that is not begins."""
        answers, requests, _ = heard
        pending = self.pending
        place, size = 0, len(octets)
        while size - place >= LENGTH.size:
            (length,) = LENGTH.unpack_from(octets, place)
            end = place + length
            if not HEADER_OCTETS <= length <= PDU_OCTETS_MAX:
                self._lose_track(octets[place:], heard)
                return size
            if end > size:
                return place
            try:
                pdu = decode(octets[place:end])
            except PduError as error:
                self._hear_unreadable(error, heard)
                place = end
                continue
            place = end
            command_id = pdu.body.command_id
            if command_id & RESPONSE:
                asked = pending.pop(pdu.sequence, None)
                if asked is None:
                    self._hear_own_answer(pdu)
                elif asked.answer_id == command_id and pdu.sequence != self._bind_asked:
                    answers.append((asked.token, pdu))
                else:
                    answers.append((asked.token, self._check_answer(asked, pdu)))
            elif command_id in self._may_hear:
                self.heard_unanswered += 1
                requests.append(pdu)
            else:
                self._hear_other(pdu, heard)
        return place

    def _keep_partial(self, octets: bytes, place: int, now_s: float) -> None:
        """Keep the beginning of a PDU until the rest is there; its length has been looked at where it is known."""
        rest = octets[place:]
        self._partial += rest
        self._partial_need = LENGTH.unpack_from(rest)[0] if len(rest) >= LENGTH.size else LENGTH.size
        if place or self._partial_s == NEVER:
            self._partial_s = now_s

    def _lose_track(self, rest: bytes, heard: Heard[Token]) -> None:
        """A length that cannot be: nobody knows where the next PDU begins, nor what this one's number is (4.3.1)."""
        error = PduError(Status.INVALID_COMMAND_LENGTH, "no such command_length", rest[:HEADER_OCTETS])
        self.counts.unreadable += 1
        heard.unreadable.append(error)
        self._write(GenericNack(), 0, error.status)
        self.ending = "no such command_length"

    def _hear_unreadable(self, error: PduError, heard: Heard[Token]) -> None:
        self.counts.unreadable += 1
        heard.unreadable.append(error)
        answer = error.answer
        if answer is not None:
            self._write(answer.body, answer.sequence, answer.status)
            return
        asked = self.pending.pop(error.sequence, None)
        if asked is None:
            return
        # An answer whose body cannot be read is an answer: whether it was yes or no stands in the header.
        kind = BODIES.get(error.command_id, GenericNack)
        pdu = Pdu(kind(), error.sequence, error.command_status)
        heard.answers.append((asked.token, self._check_answer(asked, pdu)))

    def _check_answer(self, asked: Asked[Token], pdu: Pdu) -> Pdu:
        """The answer as the owner shall see it: of its request's kind, or a generic_nack that says what is wrong."""
        command_id = pdu.body.command_id
        is_matching = asked.answer_id == command_id
        if not is_matching and command_id != GenericNack.command_id:
            self.counts.mismatched += 1
        if pdu.sequence == self._bind_asked:
            self._bind_asked = 0
            self._stand(asked.answer_id & ~RESPONSE if is_matching and pdu.status == Status.OK else 0)
        return pdu if is_matching else Pdu(GenericNack(), pdu.sequence, pdu.status or Status.UNKNOWN_ERROR)

    def _hear_own_answer(self, pdu: Pdu) -> None:
        """The answer to a request of the session itself, or to none."""
        if pdu.sequence == self._unbind_sequence and self._unbind_sequence:
            self._unbind_sequence = 0
            self._move(UNBOUND)
        elif pdu.sequence == self._probe_sequence and self._probe_sequence:
            self._probe_sequence = 0
        else:
            self.counts.stray += 1

    def _hear_other(self, pdu: Pdu, heard: Heard[Token]) -> None:
        """A request that is not simply handed out."""
        command_id = pdu.body.command_id
        if command_id == EnquireLink.command_id:
            self._write(EnquireLinkResponse(), pdu.sequence)
        elif command_id == Unbind.command_id:
            self._hear_unbind(pdu)
        elif command_id not in MAY_SEND[OTHER_END[self.role], self._stands] or self._bind_heard is not None:
            self._refuse(pdu)
        elif command_id in BOUND_BY:
            self._bind_heard = pdu
            self.heard_unanswered += 1
            heard.requests.append(pdu)
        else:
            heard.requests.append(pdu)
            if command_id == Outbind.command_id:
                self._move(OUTBOUND)

    def _refuse(self, pdu: Pdu) -> None:
        """Answer a request that the state does not allow, or that nobody serves: SMPP 5.0 broadcasts."""
        self.counts.misplaced += 1
        command_id = pdu.body.command_id
        if type(pdu.body) not in REQUESTS:
            self._write(GenericNack(), pdu.sequence, Status.INVALID_COMMAND_ID)
            return
        is_second_bind = command_id in BOUND_BY and self.role is Role.MESSAGE_CENTRE and self._stands is not UNBOUND
        status = Status.ALREADY_BOUND if is_second_bind else Status.INCORRECT_BIND_STATE
        self._write(BODIES.get(command_id | RESPONSE, GenericNack)(), pdu.sequence, status)

    # Moves

    def _move(self, stands: BindState) -> None:
        """What the peer may ask goes by where the session stands; for the owner it is over as soon as it is leaving."""
        self._stands = stands
        self.state = UNBOUND if self._is_leaving and stands.is_bound else stands
        is_mute = self._is_leaving or self._bind_asked
        self._may_ask = frozenset() if is_mute else MAY_SEND[self.role, stands] - UNANSWERED - {Unbind.command_id}
        self._may_hear = MAY_SEND[OTHER_END[self.role], stands] - OWN - UNANSWERED - BOUND_BY.keys()

    def _stand(self, bind_id: int) -> None:
        """Our bind has its answer. A failed one may be tried in another way: not every peer knows transceivers."""
        self._move(BOUND_BY[bind_id] if bind_id and self._stands in (OPEN, OUTBOUND) else self._stands)

    def _bind_answered(self, request: Pdu, status: int) -> None:
        """The peer's bind has its answer."""
        self._bind_heard = None
        if status == Status.OK and self._stands in (OPEN, OUTBOUND):
            self._move(BOUND_BY[request.body.command_id])
        elif not self.ending:
            self.ending = "bind refused"

    def _hear_unbind(self, pdu: Pdu) -> None:
        """The peer takes its leave: it is answered when all that is due has been said, or after a while."""
        if self._unbind_heard is None:
            self._unbind_heard = pdu
            self._leave_s = min(self._leave_s, self._heard_s + UNBIND_S)
            self._move(UNBOUND)

    def _leave_further(self) -> None:
        """The next step towards the end, if it is time for it."""
        if not self._is_leaving or self.ending:
            return
        if self._unbind_heard is not None:
            if not self.pending and self.heard_unanswered <= 0:
                self._leave_at_once()
        elif self._stands is UNBOUND:
            if self.heard_unanswered <= 0:
                self.ending = "unbound by us"
        elif not self._stands.is_bound:
            self.ending = "closed by us"
        elif not self.pending and not self._unbind_sequence:
            self._unbind_sequence = self._next_sequence()
            self._write(Unbind(), self._unbind_sequence)

    def _leave_at_once(self) -> None:
        """Say goodbye and end."""
        if self._unbind_heard is not None:
            self._write(UnbindResponse(), self._unbind_heard.sequence)
            self.ending = "unbound by the peer"
            return
        if self._stands.is_bound and not self._unbind_sequence:
            self._write(Unbind(), self._next_sequence())
        self.ending = "unbound by us"

    # Writing

    def _next_sequence(self) -> int:
        """From 1 on, and from 1 again behind the last (3.2); one that is in use is left out."""
        sequence = self._sequence % SEQUENCE_MAX + 1
        while sequence in self.pending:
            sequence = sequence % SEQUENCE_MAX + 1
        self._sequence = sequence
        return sequence

    def _write(self, body: Body, sequence: int, status: int = 0) -> None:
        self.outbox.append(encode_body(body, sequence, status))


def after(start_s: float, wait_s: float) -> float:
    """The instant so long after another; never, where nothing is waited for."""
    return start_s + wait_s if wait_s else NEVER
