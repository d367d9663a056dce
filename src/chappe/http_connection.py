"""HTTP/1.1 as its client speaks it: connections to one address, one request at a time on each, kept for the next.

Strategy: a connection is an asyncio protocol that writes a request in one piece, feeds what comes back to httptools and
resolves one future with the reply; nothing else happens per request, no task, no thread, no stream. A connection is
kept only if nothing was left over: whoever sends more than the answer, too much of it, or half of it, is hung up on.

A `Failure` is certain until the first byte of the request is written, and uncertain from then on. An answer ends where
RFC 9112 6.3 says; one that breaks off before that is no answer, because half of a short answer may read as another.
"""

import errno
import ssl
from asyncio import (
    AbstractEventLoop,
    BaseTransport,
    CancelledError,
    Future,
    Protocol,
    TimerHandle,
    Transport,
    get_running_loop,
    timeout_at,
    wait,
)
from collections import deque
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from chappe.burst import Burst
from chappe.dialects.base import Failure, HttpResponse, Reply

HEADERS_MAX = 100  # headers of one answer
SHUTDOWN_TIMEOUT_S = 1.0  # how long a TLS connection may take to say goodbye


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """What connections may cost. Sizes in bytes."""

    answer_max: int = 65_536  # of a body; what is longer is cut
    answer_head_max: int = 65_536
    answer_wire_max: int = 1_048_576  # all that comes, with the sizes of chunks: one byte a chunk costs six
    connect_timeout_s: float = 5.0
    idle_connection_s: float = 4.0  # below the 5 s after which common servers close: a request seldom meets a dead one
    connections_per_address_max: int = 256


class Place(Struct, frozen=True, kw_only=True):
    """Where connections go: a checked address, and for TLS the name that must stand in the certificate."""

    address: str
    port: int
    trust: ssl.SSLContext | None = None
    host: str = ""


class Pool:
    """The connections to one place."""

    def __init__(self, place: Place, limits: ConnectionLimits, register: "Register") -> None:
        self.place = place
        self.limits = limits
        self.register = register
        self.idle: deque[Connection] = deque()  # the longest idle first
        self.busy_count = 0  # requests that have a connection or are getting one
        self.queue: deque[Future[None]] = deque()  # those that wait for a place
        self.sweep: TimerHandle | None = None

    async def exchange(self, message: bytes, left_s: float, *, is_head: bool = False) -> Reply:
        """One request, whole as on the wire, and its answer within `left_s` seconds. `is_head`: the method is HEAD."""
        loop = get_running_loop()
        now_s = loop.time()
        deadline_s = now_s + left_s
        if self.busy_count < self.limits.connections_per_address_max:
            self.busy_count += 1
        elif not await self.turn(loop, deadline_s):
            return Failure(is_certain=True, detail="timed out")
        try:
            connection = self.kept(now_s) or await self.connect(loop, deadline_s)
            if isinstance(connection, Failure):
                return connection
            try:
                return await connection.ask(message, deadline_s, is_head)
            except CancelledError:
                connection.close()
                raise
        finally:
            self.pass_on()

    async def turn(self, loop: AbstractEventLoop, deadline_s: float) -> bool:
        """Wait until another request hands over its place; false when none does in time."""
        turn: Future[None] = loop.create_future()
        self.queue.append(turn)
        try:
            async with timeout_at(deadline_s):
                await turn
        except (TimeoutError, CancelledError) as error:
            if turn.cancelled():
                self.queue.remove(turn)
            else:  # the place came too late for this one
                self.pass_on()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def pass_on(self) -> None:
        """Hand a place over to whoever waits longest, or leave it free."""
        while self.queue:
            turn = self.queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.busy_count -= 1

    def kept(self, now_s: float) -> "Connection | None":
        """The connection used last, if it is not known to be closed."""
        while self.idle:
            connection = self.idle.pop()
            if (
                now_s - connection.idle_since_s < self.limits.idle_connection_s
                and not connection.transport.is_closing()
            ):
                return connection
            connection.transport.close()
        return None

    async def connect(self, loop: AbstractEventLoop, deadline_s: float) -> "Connection | Failure":
        place, limits = self.place, self.limits
        try:
            async with timeout_at(min(deadline_s, loop.time() + limits.connect_timeout_s)):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop),
                    place.address,
                    place.port,
                    ssl=place.trust,
                    server_hostname=place.host if place.trust else None,
                    ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S if place.trust else None,
                )
        except (OSError, ValueError) as error:  # ValueError: a name that TLS cannot ask for
            return Failure(is_certain=True, detail=words_for(error) or "no connection")
        if connection.transport.is_closing():
            return Failure(is_certain=True, detail="no connection")
        return connection

    def keep(self, connection: "Connection", now_s: float) -> None:
        connection.idle_since_s = now_s
        self.idle.append(connection)
        if self.sweep is None:
            self.sweep = connection.loop.call_at(
                now_s + self.limits.idle_connection_s, self.close_idle, connection.loop
            )

    def close_idle(self, loop: AbstractEventLoop) -> None:
        """Close what has been idle for long enough, and come back when the next will have been."""
        last_s = loop.time() - self.limits.idle_connection_s
        while self.idle and self.idle[0].idle_since_s <= last_s:
            self.idle.popleft().transport.close()
        next_s = self.idle[0].idle_since_s + self.limits.idle_connection_s if self.idle else None
        self.sweep = loop.call_at(next_s, self.close_idle, loop) if next_s else None

    def forget(self, connection: "Connection") -> None:
        if connection in self.idle:
            self.idle.remove(connection)


class Register:
    """All open connections of one owner, whichever pool's, so that they can be closed."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.burst = Burst()
        self.is_closed = False

    def add(self, connection: "Connection") -> None:
        self.connections.add(connection)
        if self.is_closed:
            connection.close()

    def discard(self, connection: "Connection") -> None:
        self.connections.discard(connection)

    async def close(self) -> None:
        """Close every connection, and those that are just being made as soon as they are. Requests under way fail."""
        self.is_closed = True
        ending = [connection.lost for connection in self.connections]
        for connection in tuple(self.connections):
            connection.close()
        if ending:
            await wait(ending, timeout=SHUTDOWN_TIMEOUT_S)


class Connection(Protocol):
    """One connection: idle, or with one request under way, and `waiting` is the future of its reply."""

    transport: Transport
    timer: TimerHandle | None = None
    timer_s = 0.0  # when it goes off
    deadline_s = 0.0
    waiting: Future[Reply] | None = None
    idle_since_s = 0.0
    # Of the answer under way:
    is_head = False
    is_head_complete = False
    is_keepable = False
    status = 0
    received_size = 0
    body_size = 0
    reply: Reply | None = None

    def __init__(self, pool: Pool, loop: AbstractEventLoop) -> None:
        self.pool = pool
        self.limits = pool.limits
        self.loop = loop
        self.lost: Future[None] = loop.create_future()
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.parser = HttpResponseParser(self)
        # Lines of old scripts end without a CR (RFC 9112 2.2). Nothing hides behind that: nobody shares a connection.
        self.parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    def ask(self, message: bytes, deadline_s: float, is_head: bool) -> Future[Reply]:
        self.is_head = is_head
        self.received_size = self.body_size = 0
        self.is_head_complete = self.is_keepable = False
        self.headers, self.body, self.reply = [], [], None
        self.waiting = self.loop.create_future()
        self.deadline_s = deadline_s
        if self.timer is None or self.timer_s > deadline_s:
            self.set_timer()
        self.pool.register.burst.put(self.transport, message)
        return self.waiting

    # The timer of an answered request is left alone: it wakes up once, finds a later deadline, and is set to that. So
    # a request costs no timer of its own.

    def set_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer_s = self.deadline_s
        self.timer = self.loop.call_at(self.deadline_s, self.time_out)

    def time_out(self) -> None:
        self.timer = None
        if self.waiting is None:
            return
        if self.deadline_s <= self.timer_s:
            self.settle(TIMED_OUT)
        else:
            self.set_timer()

    def settle(self, reply: Reply) -> None:
        """Hand over the reply. The connection is kept if nothing speaks against it."""
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            return
        if self.is_keepable and not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self.pool.keep(self, self.loop.time())
        else:
            self.hang_up()
        if not waiting.done():
            waiting.set_result(reply)

    def close(self) -> None:
        self.is_keepable = False
        self.settle(CLOSED)
        self.hang_up()

    def hang_up(self) -> None:
        self.pool.forget(self)
        self.transport.abort()

    # What the event loop calls

    def connection_made(self, transport: BaseTransport) -> None:
        self.transport = cast(Transport, transport)
        self.pool.register.add(self)

    def data_received(self, data: bytes) -> None:
        if self.waiting is None:  # nobody asked
            self.hang_up()
            return
        self.received_size += len(data)
        try:
            self.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.is_keepable = False
            self.reply = self.reply or NOT_VALID
        if self.reply is None and self.received_size > self.limits.answer_head_max:
            self.reply = self.overdrawn()
        if self.reply is not None:
            self.settle(self.reply)

    def overdrawn(self) -> Failure | None:
        if not self.is_head_complete:
            return HEAD_TOO_LARGE
        return NOT_VALID if self.received_size > self.limits.answer_wire_max else None

    def eof_received(self) -> None:
        """The other side has said all it will say."""
        self.is_keepable = False
        if self.waiting is None:
            self.hang_up()
        elif self.is_head_complete and self.ends_with_connection() and self.ends_properly():
            self.settle(self.response())
        else:
            self.settle(BROKEN_OFF if self.received_size else NO_ANSWER)

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.register.discard(self)
        if self.timer:
            self.timer.cancel()
        self.lost.set_result(None)
        self.is_keepable = False
        self.pool.forget(self)
        spoken = words_for(error) if error else ""
        self.settle(uncertain(spoken) if spoken else BROKEN_OFF if self.received_size else NO_ANSWER)

    # What the parser calls

    def on_message_begin(self) -> None:
        self.is_keepable = False  # until this one is complete; so one more message behind the answer ends it

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_head_complete:  # else a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status < 200 or self.reply is not None:  # an interim answer: the real one follows
            self.headers = []
            return
        self.is_head_complete = True
        if len(self.headers) > HEADERS_MAX or self.head_size() > self.limits.answer_head_max:
            self.reply = HEAD_TOO_LARGE
        elif self.is_head:
            self.reply = self.response()  # whatever length it promises, nothing follows; the parser cannot know that

    def head_size(self) -> int:
        if self.received_size <= self.limits.answer_head_max:
            return self.received_size
        return sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        if self.reply is None:
            self.body.append(body)
            self.body_size += len(body)
            if self.body_size >= self.limits.answer_max:
                self.reply = self.response()

    def on_message_complete(self) -> None:
        if self.reply is None and self.status >= 200:
            self.reply = self.response()
            self.is_keepable = self.parser.should_keep_alive()

    def response(self) -> HttpResponse:
        """What has come so far, names in lower case. A header that is not ASCII is left out: nobody could read it."""
        return HttpResponse(
            status=self.status,
            headers=tuple([(name.lower(), value.rstrip()) for name, value in self.headers if value.isascii()]),
            body=b"".join(self.body)[: self.limits.answer_max],
        )

    def ends_with_connection(self) -> bool:
        """Whether the body goes on to the end of the connection (RFC 9112 6.3, items 4 and 8)."""
        lengths = {name.lower(): value for name, value in self.headers}
        coding = lengths.get(b"transfer-encoding")
        if coding is None:
            return b"content-length" not in lengths
        return coding.rpartition(b",")[2].strip().lower() != b"chunked"

    def ends_properly(self) -> bool:
        """Over TLS the other side takes leave (RFC 8446 6.1); without that anybody may have cut the line."""
        secured: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        if secured is None:
            return True
        try:
            return not secured.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except (OSError, ValueError):
            return False


# What is said about trouble


def uncertain(detail: str) -> Failure:
    return Failure(is_certain=False, detail=detail)


TIMED_OUT = uncertain("timed out")
CLOSED = uncertain("given up")
NOT_VALID = uncertain("no valid answer")
NO_ANSWER = uncertain("connection closed without an answer")
BROKEN_OFF = uncertain("answer broken off")
HEAD_TOO_LARGE = uncertain("answer headers too large")

# The first that fits wins.
WORDS: tuple[tuple[type[Exception], str], ...] = (
    (ssl.SSLCertVerificationError, "certificate not trusted"),
    (ssl.SSLError, "TLS handshake failed"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "connection reset"),
    (TimeoutError, "timed out"),
)
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def words_for(error: Exception) -> str:
    """An error in our words, for its own may quote addresses; empty where we have none."""
    if isinstance(error, OSError) and error.errno in UNREACHABLE and not isinstance(error, ssl.SSLError):
        return "network unreachable"
    return next((words for kind, words in WORDS if isinstance(error, kind)), "")
