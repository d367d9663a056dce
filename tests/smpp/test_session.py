"""The session as a table, its timers told the time, and two of them wired together through every kind of trouble."""

from collections.abc import Iterable
from itertools import count, pairwise, product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.smpp.pdu import (
    BODIES,
    FIELDS,
    HEADER,
    PDU_OCTETS_MAX,
    RESPONSE,
    SEQUENCE_MAX,
    AlertNotification,
    BindReceiver,
    BindReceiverResponse,
    BindTransceiver,
    BindTransceiverResponse,
    BindTransmitter,
    BindTransmitterResponse,
    Body,
    BroadcastSm,
    CancelBroadcastSm,
    CancelSm,
    DataSm,
    DataSmResponse,
    DeliverSm,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Outbind,
    Pdu,
    QueryBroadcastSm,
    QuerySm,
    ReplaceSm,
    Status,
    SubmitMulti,
    SubmitSm,
    SubmitSmResponse,
    Unbind,
    UnbindResponse,
    decode,
    encode,
)
from chappe.smpp.session import (
    HELD_OCTETS_MAX,
    OUTBOX_OCTETS_MAX,
    PARTIAL_S,
    UNBIND_S,
    BindState,
    Ended,
    Heard,
    NotSent,
    Role,
    Session,
    Timers,
)

OPEN, OUTBOUND, TRANSMITTER, RECEIVER, TRANSCEIVER, UNBOUND, CLOSED = BindState
ESME, CENTRE = Role.ESME, Role.MESSAGE_CENTRE
BINDS = {TRANSMITTER: BindTransmitter, RECEIVER: BindReceiver, TRANSCEIVER: BindTransceiver}
TIMERS = Timers(session_init_s=10, enquire_link_s=30, response_s=60, inactivity_s=600)

# SMPP 3.4, table 2-1: which requests an ESME and a message centre may send when. O = open, B = outbound, T = bound as
# transmitter, R = as receiver, X = as transceiver, U = unbound.
LETTERS = dict(zip("OBTRXU", BindState, strict=False))
TABLE: list[tuple[type[Body], str, str]] = [
    # kind, by the ESME, by the message centre
    (BindTransmitter, "OB", ""),
    (BindReceiver, "OB", ""),
    (BindTransceiver, "OB", ""),
    (Outbind, "", "O"),
    (SubmitSm, "TX", ""),
    (SubmitMulti, "TX", ""),
    (DataSm, "TX", "RX"),
    (QuerySm, "TX", ""),
    (CancelSm, "TX", ""),
    (ReplaceSm, "TX", ""),
    (DeliverSm, "", "RX"),
    (AlertNotification, "", "RX"),
    (EnquireLink, "OBTRXU", "OBTRXU"),
    (Unbind, "OBTRXU", "OBTRXU"),
]
BROADCASTS = (BroadcastSm, QueryBroadcastSm, CancelBroadcastSm)  # SMPP 5.0
UNANSWERED = (Outbind, AlertNotification)
ROWS = [
    (kind, sender, state, state in {LETTERS[letter] for letter in (by_esme if sender is ESME else by_centre)})
    for kind, by_esme, by_centre in TABLE
    for sender in Role
    for state in LETTERS.values()
]


class Ends(NamedTuple):
    """Both ends of one link."""

    esme: Session[object]
    centre: Session[object]

    def of(self, role: Role) -> Session[object]:
        return self.esme if role is ESME else self.centre


def new(role: Role, timers: Timers = TIMERS, window: int = 0) -> Session[object]:
    return Session(role, timers, 0.0, window)


def ends(state: BindState = TRANSCEIVER, timers: Timers = TIMERS, window: int = 0) -> Ends:
    """Two ends that have come to a state in the way they would."""
    both = Ends(new(ESME, timers, window), new(CENTRE, timers, window))
    if state is OUTBOUND:
        both.centre.tell(Outbind(), 0.0)
        carry(both.centre, both.esme)
    elif state is UNBOUND:
        bind(both, TRANSCEIVER)
        both.esme.ask(SubmitSm(), "kept", 0.0)  # so that the peer has something to wait for
        (request,) = carry(both.esme, both.centre).requests
        both.centre.ask(DeliverSm(), "kept", 0.0)
        carry(both.centre, both.esme)
        both.esme.receive(encode(Pdu(Unbind(), 90)), 0.0)
        both.centre.receive(encode(Pdu(Unbind(), 90)), 0.0)
        assert request.body == SubmitSm()
    elif state in BINDS:
        bind(both, state)
    assert (both.esme.state, both.centre.state) == (state, state)
    return both


def bind(both: Ends, state: BindState) -> None:
    both.esme.ask(BINDS[state](system_id="me"), "bind", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    both.centre.answer(request, response_to(request))
    carry(both.centre, both.esme)


def carry(sender: Session[object], hearer: Session[object], now_s: float = 0.0) -> Heard[object]:
    return hearer.receive(sender.take(), now_s)


def response_to(request: Pdu) -> Body:
    return BODIES[request.body.command_id | RESPONSE]()


def said(session: Session[object]) -> list[Pdu]:
    """What it wants to be written, as PDUs."""
    octets, found = session.take(), []
    while octets:
        (length, *_) = HEADER.unpack_from(octets)
        found.append(decode(octets[:length]))
        octets = octets[length:]
    return found


# Who may say what


@pytest.mark.parametrize("kind, sender, state, is_allowed", ROWS)
def test_what_is_heard_in_which_state(kind: type[Body], sender: Role, state: BindState, is_allowed: bool) -> None:
    """Requests that table 2-1 allows are handed out, links and leave are the session's own, others get their error."""
    hearer = ends(state).of(CENTRE if sender is ESME else ESME)
    before = hearer.heard_unanswered
    heard = hearer.receive(encode(Pdu(kind(), 77)), 0.0)
    answers = said(hearer)
    if kind is EnquireLink:
        assert (heard.requests, answers) == ([], [Pdu(EnquireLinkResponse(), 77)])
    elif kind is Unbind:
        is_owed = state is UNBOUND  # there the leave has begun already, and an answer is still due
        assert (heard.requests, answers) == ([], [] if is_owed else [Pdu(UnbindResponse(), 77)])
        assert hearer.state is UNBOUND
    elif is_allowed:
        assert (heard.requests, answers) == ([Pdu(kind(), 77)], [])
        assert hearer.heard_unanswered - before == (kind not in UNANSWERED)
    else:
        is_bind_again = issubclass(kind, tuple(BINDS.values())) and sender is ESME and state is not UNBOUND
        status = Status.ALREADY_BOUND if is_bind_again else Status.INCORRECT_BIND_STATE
        answer = BODIES.get(kind.command_id | RESPONSE, GenericNack)
        assert (heard.requests, answers) == ([], [Pdu(answer(), 77, status)])
        assert (hearer.counts.misplaced, hearer.heard_unanswered) == (1, before)


@pytest.mark.parametrize("kind, sender, state, is_allowed", [row for row in ROWS if row[0] is not Unbind])
def test_what_is_said_in_which_state(kind: type[Body], sender: Role, state: BindState, is_allowed: bool) -> None:
    """What the table forbids us leaves no octet, and the owner is told so; after a leave nothing is asked any more."""
    session = ends(state).of(sender)
    session.take()
    if is_allowed and state is not UNBOUND:
        session.tell(kind(), 0.0) if kind in UNANSWERED else session.ask(kind(), "token", 0.0)
        assert [type(pdu.body) for pdu in said(session)] == [kind]
    else:
        with pytest.raises(NotSent):
            session.tell(kind(), 0.0) if kind in UNANSWERED else session.ask(kind(), "token", 0.0)
        assert said(session) == []


def test_every_request_stands_in_the_table() -> None:
    """No PDU of SMPP 3.4 was forgotten in the table above."""
    requests = {kind for kind in FIELDS if not kind.command_id & RESPONSE}
    assert {kind for kind, *_ in TABLE} == requests - set(BROADCASTS)


@pytest.mark.parametrize("kind, role", list(product(BROADCASTS, Role)))
def test_broadcasts_are_no_command(kind: type[Body], role: Role) -> None:
    """Nobody broadcasts here: to us these kinds of SMPP 5.0 are unknown, as SMPP 3.4 says (4.3)."""
    session = ends().of(role)
    assert session.receive(encode(Pdu(kind(), 5)), 0.0).requests == []
    assert said(session) == [Pdu(GenericNack(), 5, Status.INVALID_COMMAND_ID)]
    with pytest.raises(NotSent):
        session.ask(kind(), "token", 0.0)


@pytest.mark.parametrize("role, state", list(product(Role, BindState)))
def test_nothing_happens_on_a_closed_session(role: Role, state: BindState) -> None:
    """Once the link is gone nothing is heard, said, answered or due, whatever the state was."""
    if state is CLOSED:
        return
    session = ends(state).of(role)
    session.close()
    assert session.state is CLOSED
    assert session.receive(encode(Pdu(EnquireLink(), 1)), 0.0) == ([], [], [])
    session.answer(Pdu(SubmitSm(), 5), SubmitSmResponse())
    with pytest.raises(NotSent):
        session.ask(SubmitSm(), "token", 0.0)
    assert (session.tick(9e9), session.take(), session.close()) == (([], []), b"", ([], []))


@pytest.mark.parametrize("state", list(BINDS))
def test_a_bind_binds_both_ends(state: BindState) -> None:
    """The answer with status 0 binds the message centre when it is given and the ESME when it is heard."""
    both = ends(OPEN)
    both.esme.ask(BINDS[state](), "bind", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    assert both.centre.state is OPEN
    both.centre.answer(request, response_to(request))
    assert (both.centre.state, both.esme.state) == (state, OPEN)
    assert carry(both.centre, both.esme).answers == [("bind", Pdu(response_to(request), 1))]
    assert both.esme.state is state


def test_a_refused_bind_ends_at_the_centre_and_may_be_repeated_by_the_esme() -> None:
    """The message centre closes once its no is out; the ESME, whose peer may know other binds, may try another."""
    both = ends(OPEN)
    both.esme.ask(BindTransceiver(), "first", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    both.centre.answer(request, BindTransceiverResponse(), Status.INVALID_PASSWORD)
    assert both.centre.ending == "bind refused"
    ((token, answer),) = carry(both.centre, both.esme).answers
    assert (token, answer.status, both.esme.state) == ("first", Status.INVALID_PASSWORD, OPEN)
    both.esme.ask(BindTransmitter(), "second", 0.0)
    assert both.esme.receive(encode(Pdu(BindTransmitterResponse(), 2)), 0.0).answers[0][0] == "second"
    assert both.esme.state is TRANSMITTER


def test_while_a_bind_has_no_answer_nothing_else_is_asked() -> None:
    """A second bind is neither sent nor accepted, and submitting has to wait for the answer to the first."""
    both = ends(OPEN)
    both.esme.ask(BindTransceiver(), "bind", 0.0)
    for body in (BindReceiver(), SubmitSm(), EnquireLink()):
        with pytest.raises(NotSent):
            both.esme.ask(body, "early", 0.0)
    carry(both.esme, both.centre)
    both.centre.receive(encode(Pdu(BindReceiver(), 8)) + encode(Pdu(SubmitSm(), 9)), 0.0)
    assert said(both.centre) == [
        Pdu(BindReceiverResponse(), 8, Status.ALREADY_BOUND),
        Pdu(SubmitSmResponse(), 9, Status.INCORRECT_BIND_STATE),
    ]


def test_what_comes_right_behind_the_answer_to_a_bind_is_heard() -> None:
    """A receipt in the same octets as the bind's answer meets a bound session."""
    both = ends(OPEN)
    both.esme.ask(BindReceiver(), "bind", 0.0)
    heard = both.esme.receive(encode(Pdu(BindReceiverResponse(), 1)) + encode(Pdu(DeliverSm(), 7)), 0.0)
    assert (len(heard.answers), heard.requests) == (1, [Pdu(DeliverSm(), 7)])


def test_an_outbound_session_is_bound_by_the_esme() -> None:
    """After an outbind the ESME binds as ever, and the session-init timer goes on."""
    both = ends(OUTBOUND)
    bind(both, RECEIVER)
    assert both.centre.state is RECEIVER


# Answers


@pytest.mark.parametrize(
    "answer, expected",
    [
        (Pdu(SubmitSmResponse("id"), 2), Pdu(SubmitSmResponse("id"), 2)),
        (Pdu(SubmitSmResponse(), 2, Status.THROTTLED), Pdu(SubmitSmResponse(), 2, Status.THROTTLED)),
        (Pdu(GenericNack(), 2, Status.INVALID_COMMAND_ID), Pdu(GenericNack(), 2, Status.INVALID_COMMAND_ID)),
        (Pdu(GenericNack(), 2, Status.OK), Pdu(GenericNack(), 2, Status.UNKNOWN_ERROR)),
        (Pdu(DataSmResponse("id"), 2), Pdu(GenericNack(), 2, Status.UNKNOWN_ERROR)),
        (Pdu(DataSmResponse(), 2, Status.QUEUE_FULL), Pdu(GenericNack(), 2, Status.QUEUE_FULL)),
    ],
)
def test_an_answer_belongs_to_its_number(answer: Pdu, expected: Pdu) -> None:
    """Whatever carries a request's number answers it; what is of another kind is never taken for a yes."""
    esme = ends().esme
    esme.ask(SubmitSm(), "token", 0.0)
    assert esme.receive(encode(answer), 0.0).answers == [("token", expected)]
    assert esme.window_used == 0
    assert esme.counts.mismatched == isinstance(answer.body, DataSmResponse)


@pytest.mark.parametrize("status", [Status.OK, Status.INVALID_DESTINATION])
def test_an_answer_with_an_unreadable_body_is_an_answer(status: Status) -> None:
    """Yes or no stands in the header; an id without its end is lost, the answer is not."""
    esme = ends().esme
    esme.ask(SubmitSm(), "token", 0.0)
    esme.take()
    octets = HEADER.pack(18, SubmitSmResponse.command_id, status, 2) + b"id"
    heard = esme.receive(octets, 0.0)
    assert heard.answers == [("token", Pdu(SubmitSmResponse(), 2, status))]
    assert (esme.counts.unreadable, said(esme)) == (len(heard.unreadable), [])


@pytest.mark.parametrize("command_id", [0x8000_0777, BindReceiverResponse.command_id])
def test_an_answer_of_an_unknown_kind_is_no_yes(command_id: int) -> None:
    """A response that no request of ours can have had still answers by its number, with an error."""
    esme = ends().esme
    esme.ask(SubmitSm(), "token", 0.0)
    heard = esme.receive(HEADER.pack(16, command_id, 0, 2), 0.0)
    assert heard.answers == [("token", Pdu(GenericNack(), 2, Status.UNKNOWN_ERROR))]


def test_an_answer_to_nothing_is_counted_and_dropped() -> None:
    """Unknown numbers, second answers and generic_nacks to nothing reach nobody and are not answered."""
    esme = ends().esme
    esme.ask(SubmitSm(), "token", 0.0)
    esme.take()
    answer = encode(Pdu(SubmitSmResponse("id"), 2))
    assert len(esme.receive(answer + answer, 0.0).answers) == 1
    strays = [Pdu(SubmitSmResponse(), 99), Pdu(GenericNack(), 0, 3), Pdu(EnquireLinkResponse(), 5)]
    assert esme.receive(b"".join(map(encode, strays)), 0.0) == ([], [], [])
    assert (esme.counts.stray, said(esme)) == (4, [])


def test_answers_are_matched_out_of_order() -> None:
    """Message centres answer in any order."""
    esme = ends().esme
    for token in "abc":
        esme.ask(SubmitSm(), token, 0.0)
    answers = b"".join(encode(Pdu(SubmitSmResponse(), number)) for number in (4, 2, 3))
    assert [token for token, _ in esme.receive(answers, 0.0).answers] == ["c", "a", "b"]


def test_an_answer_of_ours_that_does_not_fit_becomes_a_system_error() -> None:
    """The peer is never left without an answer because of our mistake."""
    both = ends()
    both.esme.ask(SubmitSm(), "token", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    with pytest.raises(ValueError):
        both.centre.answer(request, SubmitSmResponse("x" * 65))
    assert said(both.centre) == [Pdu(SubmitSmResponse(), request.sequence, Status.SYSTEM_ERROR)]
    assert both.centre.heard_unanswered == 0


def test_a_request_of_ours_that_does_not_fit_is_not_sent() -> None:
    """What cannot be written leaves no octet, no number in the window, and the session as it was."""
    esme = ends().esme
    with pytest.raises(NotSent, match="destination"):
        esme.ask(SubmitSm(destination="1" * 21), "token", 0.0)
    assert (esme.window_used, esme.take()) == (0, b"")


# Numbers and windows


def test_numbers_begin_at_one_and_begin_again() -> None:
    """Behind 0x7FFFFFFF comes 1, and a number whose request has no answer yet is left out (3.2)."""
    esme = ends().esme
    esme.ask(SubmitSm(), "two", 0.0)
    esme._sequence = SEQUENCE_MAX - 1
    for token in ("last", "first", "third"):
        esme.ask(SubmitSm(), token, 0.0)
    assert [pdu.sequence for pdu in said(esme)] == [2, SEQUENCE_MAX, 1, 3]


def test_the_window_holds_requests_back() -> None:
    """No more than the window are without an answer; what waits leaves in its order as answers come."""
    both = ends(window=2)
    for token in range(5):
        both.esme.ask(SubmitSm(source=str(token)), token, 0.0)
    assert both.esme.window_used == 5
    seen: list[Pdu] = []
    while len(seen) < 5:
        requests = carry(both.esme, both.centre).requests
        assert 1 <= len(requests) <= 2
        seen += requests
        both.centre.answer(requests[0], SubmitSmResponse())
        for request in requests[1:]:
            both.centre.answer(request, SubmitSmResponse())
        carry(both.centre, both.esme)
    assert [request.body for request in seen] == [SubmitSm(source=str(token)) for token in range(5)]
    assert both.esme.window_used == 0


def test_too_many_waiting_requests_are_not_sent() -> None:
    """The queue in front of the window has an end, and has room again when it moves."""
    esme = ends(window=1).esme
    long = DataSm(tlvs=((0x0424, bytes(60_000)),))
    waiting = 1 + HELD_OCTETS_MAX // 60_000
    for token in range(1 + waiting):
        esme.ask(long, token, 0.0)
    with pytest.raises(NotSent, match="too many"):
        esme.ask(SubmitSm(), "one more", 0.0)
    esme.take()
    esme.receive(encode(Pdu(DataSmResponse(), 2)), 0.0)
    esme.ask(long, "one more", 0.0)
    assert esme.window_used == 1 + waiting


def test_requests_leave_in_pieces() -> None:
    """However much is asked within a turn, what is written at once has a measure; the rest follows in its order."""
    esme = ends().esme
    for token in range(20):
        esme.ask(DataSm(source=str(token), tlvs=((0x0424, bytes(60_000)),)), token, 0.0)
    sizes, sources = [], []
    while esme.outbox:
        sizes.append(sum(map(len, esme.outbox)))
        sources += [pdu.body.source for pdu in said(esme)]  # type: ignore[attr-defined]
        esme.release(0.0)
    assert max(sizes) < OUTBOX_OCTETS_MAX + PDU_OCTETS_MAX
    assert sources == [str(token) for token in range(20)]


def test_a_peer_that_does_not_read_gets_no_requests() -> None:
    """While writing is paused requests wait and answers do not."""
    both = ends()
    both.centre.is_paused = True
    both.centre.ask(DeliverSm(), "token", 0.0)
    both.esme.ask(SubmitSm(), "submit", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    both.centre.answer(request, SubmitSmResponse())
    assert [type(pdu.body) for pdu in said(both.centre)] == [SubmitSmResponse]
    both.centre.is_paused = False
    both.centre.release(0.0)
    assert [type(pdu.body) for pdu in said(both.centre)] == [DeliverSm]


def test_who_waits_is_not_overtaken() -> None:
    """A request that is made when there is room again leaves behind those that waited for it."""
    esme = ends().esme
    esme.is_paused = True
    esme.ask(SubmitSm(source="1"), "first", 0.0)
    esme.is_paused = False
    esme.ask(SubmitSm(source="2"), "second", 0.0)
    esme.release(0.0)
    assert [pdu.body for pdu in said(esme)] == [SubmitSm(source="1"), SubmitSm(source="2")]


def test_requests_of_the_peer_are_counted_until_answered() -> None:
    """Whoever limits the peer's window can ask how full it is."""
    both = ends()
    for token in range(3):
        both.esme.ask(SubmitSm(), token, 0.0)
    requests = carry(both.esme, both.centre).requests
    assert both.centre.heard_unanswered == 3
    both.centre.answer(requests[1], SubmitSmResponse())
    assert both.centre.heard_unanswered == 2


# Octets that are no PDU


@pytest.mark.parametrize("length", [0, 15, PDU_OCTETS_MAX + 1, 0x4745_5420, 0xFFFF_FFFF])
def test_a_length_that_cannot_be_ends_the_session(length: int) -> None:
    """Nobody knows where the next PDU begins: generic_nack without a number, and the end, before anything is read."""
    centre = ends().centre
    heard = centre.receive(encode(Pdu(SubmitSm(), 5)) + length.to_bytes(4), 0.0)
    assert [pdu.sequence for pdu in heard.requests] == [5]
    assert said(centre) == [Pdu(GenericNack(), 0, Status.INVALID_COMMAND_LENGTH)]
    assert (centre.ending, centre.counts.unreadable) == ("no such command_length", 1)
    assert centre.receive(encode(Pdu(SubmitSm(), 6)), 0.0) == ([], [], [])


@pytest.mark.parametrize("state", list(LETTERS.values()))
def test_a_body_that_cannot_be_read_gets_its_error_and_the_link_lives(state: BindState) -> None:
    """Whatever the state, a malformed request is answered with its number and an error, and the next PDU is heard."""
    both = ends(state)
    bad = HEADER.pack(24, SubmitSm.command_id, 0, 5) + b"\xff" * 8  # a service_type has five at most
    heard = both.centre.receive(bad + encode(Pdu(EnquireLink(), 6)), 0.0)
    assert [error.sequence for error in heard.unreadable] == [5]
    refusal, alive = said(both.centre)
    assert (refusal, refusal.sequence, refusal.status > 0) == (heard.unreadable[0].answer, 5, True)
    assert alive == Pdu(EnquireLinkResponse(), 6)


def test_an_unknown_command_is_refused() -> None:
    """An unknown command_id gets generic_nack with its number, and the link lives."""
    centre = ends().centre
    centre.receive(HEADER.pack(16, 0x0777, 0, 5), 0.0)
    assert said(centre) == [Pdu(GenericNack(), 5, Status.INVALID_COMMAND_ID)]
    assert centre.ending == ""


STREAM = [
    Pdu(SubmitSm(short_message=b"x" * 200), 10),
    Pdu(EnquireLink(), 11),
    Pdu(DeliverSmResponse(), 1),
    Pdu(DeliverSm(), 12),
    Pdu(DataSm(tlvs=((0x0424, b"y" * 3000),)), 13),
    Pdu(DeliverSmResponse(), 2, Status.QUEUE_FULL),
    Pdu(SubmitSmResponse(), 3),
]
BAD_BODY = HEADER.pack(17, SubmitSm.command_id, 0, 14) + b"\xff"
BAD_LENGTH = b"\0\0\0\x0f" + b"z" * 40
OCTETS = b"".join(map(encode, STREAM)) + BAD_BODY + BAD_LENGTH


def hear_in_pieces(cuts: Iterable[int]) -> tuple[object, ...]:
    centre = ends().centre
    for token in "abc":
        centre.ask(DeliverSm(), token, 0.0)
    centre.take()
    answers: list[object] = []
    requests: list[Pdu] = []
    unreadable: list[object] = []
    for start, end in pairwise([0, *sorted(cuts), len(OCTETS)]):
        heard = centre.receive(OCTETS[start:end], 0.0)
        answers += heard.answers
        requests += heard.requests
        unreadable += [(error.status, error.command_id) for error in heard.unreadable[: 1 - len(unreadable)]]
    return answers, requests, unreadable, said(centre), centre.ending, centre.counts


WHOLE = hear_in_pieces(())


def test_octets_may_come_one_by_one() -> None:
    """The same stream octet by octet is the same conversation."""
    assert hear_in_pieces(range(1, len(OCTETS))) == WHOLE
    assert [len(part) for part in WHOLE[:4]] == [3, 2, 1, 4]  # type: ignore[arg-type]


@given(st.sets(st.integers(0, len(OCTETS)), max_size=40))
def test_octets_may_come_in_any_pieces(cuts: set[int]) -> None:
    """However the stream is cut, the same is heard and answered."""
    assert hear_in_pieces(cuts) == WHOLE


# Time


def run(session: Session[object], until_s: float) -> list[tuple[float, str]]:
    """What happens by itself until then: when, and what is said, given up or ended."""
    happened: list[tuple[float, str]] = []
    for _ in range(1000):
        now_s = session.deadline_s
        if now_s > until_s:
            return happened
        before = session.ending
        ended = session.tick(now_s)
        happened += [(now_s, type(pdu.body).__name__) for pdu in said(session)]
        happened += [(now_s, f"not sent: {token}") for token in ended.not_sent]
        happened += [(now_s, f"lost: {token}") for token in ended.lost]
        if session.ending != before:
            happened.append((now_s, session.ending))
        assert session.deadline_s > now_s  # or the timer would go off for ever
    raise AssertionError("no end of it")


@pytest.mark.parametrize("role, state", list(product(Role, (OPEN, OUTBOUND))))
def test_who_does_not_bind_in_time_is_let_go(role: Role, state: BindState) -> None:
    """Session-init timer: ten seconds from the connection, enquire_links notwithstanding."""
    session = ends(state).of(role)
    session.receive(encode(Pdu(EnquireLink(), 5)), 9.0)
    session.take()
    assert run(session, 100.0) == [(10.0, "not bound in time")]


def test_who_waits_for_our_answer_to_its_bind_is_not_late() -> None:
    """A message centre that takes long over passwords does not hang up on those who wait for it."""
    both = ends(OPEN)
    both.esme.ask(BindTransceiver(), "bind", 9.0)
    (request,) = carry(both.esme, both.centre, 9.0).requests
    assert run(both.centre, 100.0) == []
    both.centre.answer(request, BindTransceiverResponse())
    assert both.centre.state is TRANSCEIVER


def test_a_silent_link_is_asked_and_closed() -> None:
    """Half-open: after 30 s of silence comes enquire_link, and 30 s later the end."""
    assert run(ends().esme, 200.0) == [(30.0, "EnquireLink"), (60.0, "no answer to enquire_link")]


def test_the_shorter_wait_closes_a_silent_link() -> None:
    """A response timer below the enquire_link timer closes sooner."""
    timers = Timers(enquire_link_s=30, response_s=5)
    assert run(ends(timers=timers).esme, 200.0) == [(30.0, "EnquireLink"), (35.0, "no answer to enquire_link")]


@pytest.mark.parametrize("octets", [encode(Pdu(EnquireLinkResponse(), 2)), encode(Pdu(DeliverSm(), 9)), b"\0"])
def test_whatever_is_heard_shows_life(octets: bytes) -> None:
    """Any octet after the question counts as being there, in the same instant too."""
    esme = ends().esme
    assert run(esme, 30.0) == [(30.0, "EnquireLink")]
    esme.receive(octets, 30.0)
    esme.answer(Pdu(DeliverSm(), 9), DeliverSmResponse())
    esme.take()
    assert [what for when, what in run(esme, 65.0) if when > 50] in (["EnquireLink"], [])
    assert esme.ending in ("", "the rest of a PDU did not come")


def test_nobody_is_asked_before_the_bind() -> None:
    """The enquire_link timer begins with the bind; until then only the session-init timer runs."""
    timers = Timers(session_init_s=100, enquire_link_s=30)
    esme = ends(OPEN, timers).esme
    assert (esme.tick(50.0), said(esme)) == (([], []), [])
    assert run(esme, 200.0) == [(100.0, "not bound in time")]


@pytest.mark.parametrize("has_asked, has_heard, until_s", [(True, False, 190), (False, True, 190), (False, False, 100)])
def test_operations_of_both_ends_are_activity(has_asked: bool, has_heard: bool, until_s: float) -> None:
    """Inactivity is counted from the last request or answer of either end; enquire_link is none."""
    esme = ends(timers=Timers(enquire_link_s=0, response_s=0, inactivity_s=100)).esme
    if has_asked:
        esme.ask(SubmitSm(), "token", 90.0)
    if has_heard:
        esme.receive(encode(Pdu(DeliverSm(), 5)), 90.0)
    esme.receive(encode(Pdu(EnquireLink(), 6)), 95.0)
    assert esme.deadline_s == until_s


def test_an_alive_peer_is_asked_every_time_anew() -> None:
    """Question and answer go on for as long as nothing else does; then inactivity ends the session."""
    both, now_s = ends(timers=Timers(inactivity_s=100)), 0.0
    for number in range(1, 4):
        now_s = both.esme.deadline_s
        assert (both.esme.tick(now_s), now_s) == (([], []), 30.0 * number)
        carry(both.esme, both.centre, now_s)
        carry(both.centre, both.esme, now_s)
    assert both.esme.counts.stray == 0
    assert run(both.esme, 100.0) == [(100.0, "Unbind")]
    assert run(both.esme, 200.0) == [(100.0 + UNBIND_S, "unbound by us")]


def test_a_late_answer_is_waited_for_twice_as_long() -> None:
    """After response_s the peer is asked whether it is there; while it is, the answer may come for twice that."""
    esme = ends().esme
    log: list[tuple[int, object]] = []
    esme.ask(SubmitSm(), "slow", 0.0)
    esme.take()
    for second in range(1, 130):
        esme.receive(encode(Pdu(DeliverSm(), second)), float(second))
        esme.answer(Pdu(DeliverSm(), second), DeliverSmResponse())
        ended = esme.tick(float(second))
        log += [(second, type(pdu.body)) for pdu in said(esme) if type(pdu.body) is not DeliverSmResponse]
        log += [(second, token) for token in ended.lost]
    assert log == [(60, EnquireLink), (90, EnquireLink), (120, "slow")]
    assert (esme.counts.overdue, esme.window_used) == (1, 0)
    assert esme.receive(encode(Pdu(SubmitSmResponse("id"), 2)), 130.0).answers == []
    assert esme.counts.stray == 1


def test_an_answer_in_the_last_moment_is_one() -> None:
    """Answers under a flood of receipts, heard in the turn in which they would be overdue, are in time."""
    esme = ends().esme
    esme.ask(SubmitSm(), "slow", 0.0)
    flood = b"".join(encode(Pdu(DeliverSm(), number)) for number in range(500))
    heard = esme.receive(flood + encode(Pdu(SubmitSmResponse("id"), 2)), 120.0)
    assert [token for token, _ in heard.answers] == ["slow"]
    assert esme.tick(120.0).lost == []


def test_an_overdue_request_makes_room() -> None:
    """What waits for the window leaves when a request before it is given up; what waits too long is not sent."""
    esme = ends(window=1, timers=Timers(enquire_link_s=0, response_s=60)).esme
    esme.ask(SubmitSm(), "first", 0.0)
    esme.ask(SubmitSm(), "old", 1.0)
    esme.ask(SubmitSm(), "young", 100.0)
    esme.take()
    happened: list[tuple[object, ...]] = []
    for second in (61.0, 110.0, 119.0, 120.0):
        esme.receive(encode(Pdu(EnquireLink(), 1)), second)
        ended = esme.tick(second)
        happened += [(second, *ended.not_sent, *ended.lost)]
        happened += [(second, type(pdu.body)) for pdu in said(esme) if type(pdu.body) is SubmitSm]
    assert happened == [(61.0, "old"), (110.0,), (119.0,), (120.0, "first"), (120.0, SubmitSm)]


def test_half_a_pdu_is_not_waited_for_for_ever() -> None:
    """The rest of a PDU has its time from its first octet on, however many octets drip in."""
    centre = ends().centre
    octets = encode(Pdu(SubmitSm(), 5))
    for second in range(int(PARTIAL_S)):
        centre.receive(octets[second : second + 1], float(second))
    assert centre.deadline_s == PARTIAL_S
    assert run(centre, 100.0) == [(PARTIAL_S, "the rest of a PDU did not come")]


def test_the_next_half_pdu_has_its_own_time() -> None:
    """A steady stream that always ends within a PDU is no slow peer."""
    centre = ends().centre
    octets = encode(Pdu(SubmitSm(), 5))
    centre.receive(octets[:20], 0.0)
    centre.receive(octets[20:] + octets[:7], PARTIAL_S - 1)
    centre.receive(octets[7:], 2 * PARTIAL_S - 2)
    assert centre.counts.unreadable == 0
    assert not any("rest of a PDU" in what for _, what in run(centre, 45.0))


def test_who_does_not_listen_waits() -> None:
    """While we do not read, the rest of a PDU is not late; once we read again it has its whole time."""
    centre = ends(timers=Timers(enquire_link_s=0, response_s=0)).centre
    centre.receive(encode(Pdu(SubmitSm(), 5))[:20], 0.0)
    centre.is_deaf = True
    assert run(centre, 100.0) == []
    centre.listen(100.0)
    assert run(centre, 200.0) == [(100.0 + PARTIAL_S, "the rest of a PDU did not come")]


def test_zero_means_for_ever() -> None:
    """Timers of 0 never go off, bound or not."""
    timers = Timers(session_init_s=0, enquire_link_s=0, response_s=0, inactivity_s=0)
    for state in (OPEN, TRANSCEIVER):
        esme = ends(state, timers).esme
        esme.ask(SubmitSm() if state is TRANSCEIVER else BindReceiver(), "token", 0.0)
        esme.take()
        assert run(esme, 1e9) == []


# The end


def test_leave_waits_for_what_is_due_on_both_sides() -> None:
    """Unbinding waits for the answers to our requests, then says unbind, then waits for the answers we owe."""
    both = ends(window=1)
    both.esme.ask(SubmitSm(), "sent", 0.0)
    both.esme.ask(SubmitSm(), "held", 0.0)
    (submit,) = carry(both.esme, both.centre).requests
    assert both.esme.leave(0.0, 9.0) == ["held"]
    assert (said(both.esme), both.esme.state) == ([], UNBOUND)
    both.centre.ask(DeliverSm(), "deliver", 0.0)
    (deliver,) = carry(both.centre, both.esme).requests  # still heard: the peer does not know yet
    both.centre.answer(submit, SubmitSmResponse())
    assert [token for token, _ in carry(both.centre, both.esme).answers] == ["sent"]
    assert carry(both.esme, both.centre).requests == []  # the unbind
    assert (both.centre.state, both.centre.take(), both.esme.ending) == (UNBOUND, b"", "")
    both.esme.answer(deliver, DeliverSmResponse())
    assert len(carry(both.esme, both.centre).answers) == 1
    assert both.centre.ending == "unbound by the peer"
    carry(both.centre, both.esme)
    assert both.esme.ending == "unbound by us"


def test_leave_has_an_end() -> None:
    """Without answers the leave ends in time, with an unbind as the last word."""
    esme = ends().esme
    esme.ask(SubmitSm(), "sent", 0.0)
    esme.take()
    esme.leave(0.0, 9.0)
    assert run(esme, 100.0) == [(9.0, "Unbind"), (9.0, "unbound by us")]
    assert esme.close() == Ended([], ["sent"])


def test_a_peer_that_leaves_is_answered_when_nothing_is_due_any_more_or_in_time() -> None:
    """unbind_resp is the last word, at the latest after a while."""
    both = ends()
    both.esme.ask(SubmitSm(), "sent", 0.0)
    both.centre.receive(both.esme.take() + encode(Pdu(Unbind(), 5)), 0.0)
    assert said(both.centre) == []
    assert run(both.centre, 100.0) == [(UNBIND_S, "UnbindResponse"), (UNBIND_S, "unbound by the peer")]


def test_a_peer_that_leaves_gets_no_further_requests() -> None:
    """What waits for room when the peer takes its leave is not sent, though there is room again."""
    both = ends(window=1)
    both.centre.ask(DeliverSm(), "sent", 0.0)
    both.centre.ask(DeliverSm(), "held", 0.0)
    (deliver,) = carry(both.centre, both.esme).requests
    both.centre.receive(encode(Pdu(Unbind(), 5)) + encode(Pdu(DeliverSmResponse(), deliver.sequence)), 0.0)
    assert said(both.centre) == [Pdu(UnbindResponse(), 5)]
    assert both.centre.close() == Ended(["held"], [])


def test_a_peer_that_unbinds_at_once_still_gets_its_answers() -> None:
    """Also after unbind_resp the answers that we owe are given before the end."""
    both = ends()
    both.esme.ask(SubmitSm(), "token", 0.0)
    (request,) = carry(both.esme, both.centre).requests
    both.centre.leave(0.0, 9.0)
    (unbind,) = said(both.centre)
    both.centre.receive(encode(Pdu(UnbindResponse(), unbind.sequence)), 0.0)
    assert both.centre.ending == ""
    both.centre.answer(request, SubmitSmResponse())
    assert both.centre.ending == "unbound by us"


def test_a_peer_that_leaves_too_wins_no_time() -> None:
    """The end that we set ourselves stands, whatever the peer says meanwhile."""
    both = ends()
    both.esme.ask(SubmitSm(), "sent", 0.0)
    both.esme.leave(0.0, 2.0)
    both.esme.receive(encode(Pdu(Unbind(), 5)), 1.0)
    assert both.esme.deadline_s == 2.0


def test_both_may_leave_at_once() -> None:
    """Two unbinds that cross end both sessions."""
    both = ends()
    both.esme.leave(0.0, 9.0)
    both.centre.leave(0.0, 9.0)
    towards_esme, towards_centre = both.centre.take(), both.esme.take()
    both.esme.receive(towards_esme, 0.0)
    both.centre.receive(towards_centre, 0.0)
    assert (both.esme.ending != "", both.centre.ending != "") == (True, True)


def test_leaving_before_the_bind_just_ends() -> None:
    """There is nothing to unbind."""
    esme = ends(OPEN).esme
    esme.leave(0.0, 9.0)
    assert (esme.ending, esme.take()) == ("closed by us", b"")


def test_what_never_left_is_not_lost() -> None:
    """When the link breaks, requests that were not written yet are known not to have been sent."""
    esme = ends(window=3).esme
    esme.ask(SubmitSm(), "written", 0.0)
    esme.take()
    for token in ("unwritten", "unwritten too", "held"):
        esme.ask(SubmitSm(), token, 0.0)
    assert esme.close() == Ended(not_sent=["unwritten", "unwritten too", "held"], lost=["written"])


def test_an_answer_ahead_of_its_request_makes_no_other_certain() -> None:
    """A peer that answers what was not written yet does not make what was written look as if it had not left."""
    esme = ends(window=3).esme
    esme.ask(SubmitSm(), "written", 0.0)
    esme.take()
    esme.ask(SubmitSm(), "unwritten", 0.0)
    guessed = next(reversed(esme.pending))
    heard = esme.receive(encode(Pdu(SubmitSmResponse("1"), guessed)), 0.0)
    assert [token for token, _ in heard.answers] == ["unwritten"]
    assert esme.close() == Ended(not_sent=[], lost=["written"])


# Random histories

DEEDS = ("ask", "answer", "carry") * 3 + ("tick", "pause", "release", "leave", "cut")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(DEEDS),
        st.sampled_from(Role),
        st.integers(0, 2**16),
    ),
    max_size=120,
)


class History:
    """Two sessions on a link that carries octets in any pieces, and a book of what was asked, heard and told."""

    def __init__(self, window: int) -> None:
        self.both = ends(window=window)
        self.now_s = 0.0
        self.wires: dict[Role, bytes] = {ESME: b"", CENTRE: b""}  # towards whom
        self.owed: dict[Role, list[Pdu]] = {ESME: [], CENTRE: []}
        self.heard: dict[Role, list[str]] = {ESME: [], CENTRE: []}
        self.asked: set[str] = set()
        self.told: dict[str, str] = {}
        self.tokens = count()

    def step(self, what: str, role: Role, number: int) -> None:
        session = self.both.of(role)
        other = CENTRE if role is ESME else ESME
        if what == "ask":
            self.ask(session)
        elif what == "answer" and self.owed[role]:
            request = self.owed[role].pop(number % len(self.owed[role]))
            name = request.body.source  # type: ignore[attr-defined]
            kind = SubmitSmResponse if role is CENTRE else DeliverSmResponse
            session.answer(request, kind(name), number % 3)
        elif what == "carry":
            self.wires[other] += session.take()
            piece, self.wires[other] = self.wires[other][: number % 700], self.wires[other][number % 700 :]
            self.hear(other, self.both.of(other).receive(piece, self.now_s))
        elif what == "tick":
            self.now_s += number % 20
            ended = session.tick(self.now_s)
            self.tell(ended.not_sent, "not sent")
            self.tell(ended.lost, "lost")
        elif what in ("pause", "release"):
            session.is_paused = what == "pause"
            session.release(self.now_s)
        elif what == "leave" and number % 8 == 0:
            self.tell(session.leave(self.now_s, number % 30), "not sent")
        elif what == "cut" and number % 16 == 0:
            self.cut()

    def ask(self, session: Session[object]) -> None:
        token = str(next(self.tokens))
        body = SubmitSm(source=token) if session.role is ESME else DeliverSm(source=token)
        self.asked.add(token)
        try:
            session.ask(body, token, self.now_s)
        except NotSent:
            self.tell([token], "not sent")

    def hear(self, role: Role, heard: Heard[object]) -> None:
        for token, pdu in heard.answers:
            self.tell([token], "answered")
            assert pdu.status or pdu.body.message_id == token  # type: ignore[attr-defined]
        for request in heard.requests:
            self.heard[role].append(request.body.source)  # type: ignore[attr-defined]
            self.owed[role].append(request)

    def tell(self, tokens: Iterable[object], what: str) -> None:
        for token in tokens:
            assert isinstance(token, str)
            assert token not in self.told, "told twice"
            self.told[token] = what

    def cut(self) -> None:
        for session in self.both:
            ended = session.close()
            self.tell(ended.not_sent, "not sent")
            self.tell(ended.lost, "lost")


@settings(max_examples=300)
@given(STEPS, st.sampled_from([0, 1, 4]))
def test_no_answer_is_lost_or_doubled(steps: list[tuple[str, Role, int]], window: int) -> None:
    """Through any history each request is told of exactly once, and what was not sent was never heard."""
    history = History(window)
    for step in steps:
        history.step(*step)
        for session in history.both:
            assert len(session.pending) <= (window or 1000)
            assert session.heard_unanswered == len(history.owed[session.role]) or session.state is CLOSED
    history.cut()
    assert history.told.keys() == history.asked
    for heard in history.heard.values():
        assert len(heard) == len(set(heard))
        assert heard == sorted(heard, key=int)  # in the order asked
        assert not [token for token in heard if history.told[token] == "not sent"]


@settings(max_examples=100)
@given(STEPS, st.sampled_from([0, 1, 4]))
def test_an_unbroken_link_answers_everything(steps: list[tuple[str, Role, int]], window: int) -> None:
    """While the link stands and nobody leaves, every request gets its own answer in the end."""
    history = History(window)
    for what, role, number in steps:
        if what not in ("leave", "cut", "tick"):
            history.step(what, role, number)
    for _ in range(400):
        for role in Role:
            for what, number in (("release", 0), ("carry", 699), ("answer", 0)):
                history.step(what, role, number)
    assert set(history.told.values()) <= {"answered"}
    assert history.told.keys() == history.asked
