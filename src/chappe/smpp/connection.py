"""A socket that speaks SMPP: the shell around a session, the same at both ends.

Octets go to the session, and what it says goes to whoever owns the connection: answers into the futures of their
requests, then requests to `hear`. Within one read answers always come first, and those who wait for them have run
before the first request is heard: under a flood of receipts an answer is never late, and a receipt is never before the
answer it belongs to if it came behind it. What was said during one turn of the event loop leaves in one write.

Nothing of a PDU is ever logged.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Final, cast

import structlog

from chappe.clock import Clock
from chappe.smpp.pdu import BODIES, RESPONSE, Body, Pdu, PduError, Status
from chappe.smpp.session import BindState, Counts, LinkLost, NotSent, Overdue, Role, Session, Timers
from chappe.tls_layer import HANDSHAKE_RECORD, TlsLayer

__all__ = ["BindState", "Connection", "LinkLost", "NotSent", "Overdue", "Role", "Timers"]

WRITE_PAUSE_BYTES: Final = 1_048_576  # unread by the peer: from here on requests are held back
READ_PAUSE_BYTES: Final = 2_097_152  # from here on nothing is read, so that no further answers become due
WRITE_BYTES_MAX: Final = 4_194_304  # here the peer is given up
TLS_HANDSHAKE_S: Final = 10.0
STALL_S: Final = 1.0  # a timer that goes off so late says that the event loop stood still
LINGER_S: Final = 2.0  # how long the last octets may take to leave

Waiting = asyncio.Future[Pdu]
log = structlog.get_logger()


def nothing(*_: object) -> None:
    """For whoever does not want to know."""


class Connection(asyncio.Protocol):
    """One connection, and the session on it.

    `hear` gets every request of the peer that its state allows, binds and outbind included; all but outbind and
    alert_notification want an `answer`, and a bind that is answered with status 0 is bound from then on. enquire_link
    and unbind are answered by the session. `opened` and `closed` are told once each; `unreadable` gets what no PDU
    could be made of, after it was answered.

    At most `window` requests of ours (0 = any number) are without an answer, further ones wait. With `tls`, a peer
    that begins with a TLS hello is answered in TLS.
    """

    def __init__(
        self,
        *,
        role: Role,
        clock: Clock,
        hear: Callable[["Connection", Pdu], None],
        closed: Callable[["Connection", str], None],
        opened: Callable[["Connection"], None] = nothing,
        unreadable: Callable[["Connection", PduError], None] = nothing,
        timers: Timers = Timers(),  # noqa: B008  # frozen
        window: int = 0,
        tls: SSLContext | None = None,
    ) -> None:
        self.peer = ""
        self._clock = clock
        self._hear = hear
        self._opened = opened
        self._closed = closed
        self._unreadable = unreadable
        self._session: Session[Waiting] = Session(role, timers, clock.monotonic_s(), window)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reason = ""  # why the connection ends or ended
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._requests: deque[Pdu] = deque()  # heard, handed out when those who wait for answers have run
        self._is_flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0  # when it is to go off
        self._has_stalled = False  # it went off late the last time, and was put off once
        self._tls = tls  # until the first octets have come

    # What the owner does

    @property
    def state(self) -> BindState:
        return self._session.state

    @property
    def role(self) -> Role:
        return self._session.role

    @property
    def window_used(self) -> int:
        """How many requests of ours have no answer, those included that wait for room."""
        return self._session.window_used

    @property
    def heard_unanswered(self) -> int:
        """How many requests of the peer were handed out and have no answer yet."""
        return self._session.heard_unanswered

    @property
    def counts(self) -> Counts:
        return self._session.counts

    def ask(self, body: Body) -> Waiting:
        """A request of ours. The future is of the answer, whatever its status; it fails with NotSent, LinkLost or
        Overdue. An answer of another kind than the request is handed out as a generic_nack that has a status."""
        waiting: Waiting = self._loop.create_future()
        session = self._session
        try:
            session.ask(body, waiting, self._clock.monotonic_s())
        except NotSent as error:
            fail((waiting,), error)
            return waiting
        if not self._is_flush_due:
            self._flush_soon()
        return waiting

    def tell(self, body: Body) -> None:
        """What has no answer: outbind, alert_notification. Raises NotSent where it is not allowed."""
        self._session.tell(body, self._clock.monotonic_s())
        self._flush_soon()

    def answer(self, request: Pdu, body: Body, status: int = 0) -> None:
        """Our answer to a request heard; ignored once the connection is closed. A request is answered once."""
        try:
            self._session.answer(request, body, status)
        except PduError as error:  # ours; the peer was told of a system error
            log.error("smpp_answer_does_not_fit", command_id=body.command_id, detail=error.detail)
        if not self._is_flush_due:
            self._flush_soon()

    async def unbind(self, timeout_s: float) -> None:
        """Take leave within `timeout_s`: wait for the answers to our requests, unbind, give those still due, close.
        What is not answered then is lost."""
        if self._transport is None:
            self.abort("closed by us")
            return
        if not self._reason:
            fail(self._session.leave(self._clock.monotonic_s(), timeout_s), NotSent("the session ends"))
            self._flush_soon()
            self._watch()
        await asyncio.shield(self._ended)

    def abort(self, reason: str) -> None:
        """Cut the connection at once."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()
        else:
            self._settle_end()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        is_first = self._transport is None
        self._transport = transport = cast(asyncio.Transport, transport)
        if self._reason:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_PAUSE_BYTES)
        self._watch()
        if is_first:
            address = transport.get_extra_info("peername")
            self.peer = str(address[0]) if address else ""
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        session = self._session
        if self._tls is not None:
            context, self._tls = self._tls, None
            if data[0] == HANDSHAKE_RECORD:  # as a command_length it would be far too much
                self._upgrade_to_tls(context, data)
                return
        answers, requests, unreadable = session.receive(data, self._clock.monotonic_s())
        for waiting, pdu in answers:
            if not waiting.done():
                waiting.set_result(pdu)
        if requests:
            is_waiting = bool(self._requests)
            self._requests += requests
            if answers and not is_waiting:
                self._loop.call_soon(self._hand_out)
            elif not is_waiting:
                self._hand_out()
        for error in unreadable:
            self._unreadable(self, error)
        if (session.outbox or session.ending) and not self._is_flush_due:
            self._flush_soon()

    def _hand_out(self) -> None:
        """Give the requests to the owner, one after the other."""
        requests, hear = self._requests, self._hear
        while requests:
            pdu = requests.popleft()
            try:
                hear(self, pdu)
            except Exception:  # the next ones are not to blame
                log.exception("smpp_request_broke", command_id=pdu.body.command_id)
                kind = BODIES.get(pdu.body.command_id | RESPONSE)
                if kind is not None:
                    self.answer(pdu, kind(), Status.SYSTEM_ERROR)

    def eof_received(self) -> None:
        """The peer has said all it will say; what it was told just now, it may still read."""
        self._flush()
        if not self._reason:
            self._close("closed by the peer")

    def pause_writing(self) -> None:
        """The peer reads too slowly: our requests wait."""
        self._session.is_paused = True

    def resume_writing(self) -> None:
        session = self._session
        session.is_paused = False
        if self._reason or self._transport is None:
            return
        now_s = self._clock.monotonic_s()
        if session.is_deaf:
            session.listen(now_s)
            self._transport.resume_reading()
        session.release(now_s)
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._session.ending or ("closed by the peer" if exc is None else "connection lost"))
        self._settle_end()

    # Writing and the end

    def _flush_soon(self) -> None:
        if not self._is_flush_due and not self._reason:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what was said since the last time, and close if that was all."""
        self._is_flush_due = False
        transport, session = self._transport, self._session
        if transport is None or self._reason:
            return
        if session.outbox:
            transport.write(session.take())
            if session.is_paused:
                self._check_buffer(transport)
            elif session.held:
                session.release(self._clock.monotonic_s())
                if session.outbox:
                    self._flush_soon()
        if session.ending and not self._reason:
            self._close(session.ending)

    def _check_buffer(self, transport: asyncio.Transport) -> None:
        """Stop reading from a peer that does not read, and in the end give it up."""
        size = transport.get_write_buffer_size()
        if size > WRITE_BYTES_MAX:
            self.abort("the peer does not read")
        elif size > READ_PAUSE_BYTES and not self._session.is_deaf:
            self._session.is_deaf = True
            transport.pause_reading()

    def _close(self, reason: str) -> None:
        """Close when all is written, and cut when that takes too long."""
        self._end(reason)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._timer = self._loop.call_later(LINGER_S, self._transport.abort)

    def _end(self, reason: str) -> None:
        """From here on nothing is said or heard; whoever waits is told."""
        if self._reason:
            return
        self._reason = reason
        self._requests.clear()  # the peer asks again on its next connection: an answer could not reach it
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ended = self._session.close()
        fail(ended.not_sent, NotSent(reason))
        fail(ended.lost, LinkLost(reason))

    def _settle_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._ended.done():
            self._ended.set_result(None)
            self._closed(self, self._reason)

    # TLS on the plain port

    def _upgrade_to_tls(self, context: SSLContext, received: bytes) -> None:
        transport = self._transport
        assert transport is not None  # octets came from it
        layer = TlsLayer(
            self,
            context,
            self._loop,
            handshake_s=TLS_HANDSHAKE_S,
            linger_s=LINGER_S,
            forget=self._forget,
        )
        layer.take_over(transport, received)

    def _forget(self) -> None:
        """The socket is gone. Of a handshake that failed nothing else is heard; else `connection_lost` comes next."""
        self._loop.call_soon(self._end, "TLS handshake failed")
        self._loop.call_soon(self._settle_end)

    # Time

    def _watch(self) -> None:
        """Set the connection's one timer. It goes off no later than anything that may begin from now on is due, so that
        nobody has to look at it when something does; more often than not it goes off for nothing."""
        if self._timer is not None:
            self._timer.cancel()
        session, now_s = self._session, self._clock.monotonic_s()
        self._set_timer(now_s, max(0.0, min(session.deadline_s - now_s, session.shortest_s)))

    def _set_timer(self, now_s: float, wait_s: float) -> None:
        self._timer_s = now_s + wait_s
        self._timer = self._loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        session, now_s = self._session, self._clock.monotonic_s()
        self._has_stalled = now_s - self._timer_s >= STALL_S and not self._has_stalled
        if self._has_stalled:
            # It was us who stood still. What came meanwhile is read first, or answers that are here would be overdue.
            self._set_timer(now_s, STALL_S)
            return
        ended = session.tick(now_s)
        fail(ended.not_sent, NotSent("waited for too long"))
        fail(ended.lost, Overdue("no answer in time"))
        if session.outbox or session.ending:
            self._flush_soon()
        self._watch()


def fail(futures: Iterable[Waiting], error: Exception) -> None:
    """Tell those who wait; nobody has to listen."""
    for future in futures:
        if not future.done():
            future.set_exception(type(error)(*error.args))
            future.exception()  # marks it as seen: a request whose owner has gone is no mistake
