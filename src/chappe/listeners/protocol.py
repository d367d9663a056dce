"""One HTTP/1 connection of an application: forgiving about the request line, strict about everything else.

uvicorn's httptools protocol parses and runs the ASGI cycle. This subclass decides *which bytes* the parser sees:

- A request head is kept back until its blank line has come, then fed as one piece, and its body is fed by its declared
  size. So the place of every request line is known, also in pipelines, and only there is the line mended (wire 1.2):
  the target is all between the first blank and the last ` HTTP/1.`; bytes that may not stand in it are
  percent-encoded.
- The next request waits until the answer before it is out. At most one request per connection exists at a time.
- A first byte of 0x16 is a TLS hello on the plain port (wire 1.2): with a certificate, the socket goes on as TLS.
- What a door answers (the dialects) does not go through ASGI: its request is handed over whole, and its answer is one
  write. That is most requests, and half the cost of each.
- One timer per connection is moved lazily. A request that comes whole and clean costs one regular expression, no timer.

```
IDLE --first bytes--> HEAD --blank line--> BODY --last byte--> ANSWERING --answer sent--> IDLE
  any --malformed, too large, too slow, last request--> CLOSING
```

Nothing of a request is ever logged, nor the text of an exception: it may quote the request.
"""

import asyncio
import logging
import math
import re
import ssl
import traceback
from collections import Counter
from collections.abc import Coroutine, MutableMapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from chappe.burst import Burst
from chappe.dialects.base import Headers, HttpRequest, HttpResponse
from chappe.tls_layer import HANDSHAKE_RECORD, TlsLayer

BLANK_LINE: Final = b"\r\n\r\n"
NEVER: Final = math.inf
KEEP_ALIVE: Final = [(b"connection", b"keep-alive")]

# A target has no fragment (RFC 9112 3.2), so a raw "#" can only be text; the parser would drop it and all behind it.
is_clean_line = re.compile(rb"[A-Z]+ [!\"$-~]+ HTTP/1\.[01]\r\n").match
rough_line = re.compile(rb"([A-Z]+) (.+) (HTTP/1\.[01])", re.DOTALL).fullmatch
find_stray_control = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\0").search
remove_upgrade = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE).sub
TARGET_BYTES: Final = tuple(
    bytes([octet]) if 0x21 <= octet <= 0x7E and octet != ord("#") else b"%%%02X" % octet for octet in range(256)
)
STRAY: Final = re.compile(rb"[\r\n\0]").search
FRAMING_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
CHUNKED: Final = -1
UPLOADS: Final = b"/panel/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one connection, and all of them together, may take (reliability S7)."""

    request_line_bytes_max: int = 65_535
    headers_bytes_max: int = 65_536
    headers_count_max: int = 100
    body_bytes_max: int = 10 * 1024 * 1024
    upload_bytes_max: int = 257 * 1024 * 1024  # of a body with a declared size, below UPLOADS
    pipeline_bytes_max: int = 131_072
    header_s: float = 10.0
    body_s: float = 30.0
    body_bytes_per_s_min: int = 500
    idle_s: float = 60.0
    tls_handshake_s: float = 10.0
    linger_s: float = 2.0
    last_request_s: float = 0.5
    connections_per_address_max: int = 1_000
    connections_max: int = 10_000


class Phase(Enum):
    """Where a connection stands; the module's docstring draws the moves."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()
    CLOSING = auto()


IDLE, HEAD, BODY, ANSWERING, CLOSING = Phase


class Refused(Exception):
    """The request is not served."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Place(Protocol):
    """What answers requests to a path: found by a door, which is given it back with the request."""

    @property
    def body_max(self) -> int: ...


class Door(Protocol):
    """Answers whole requests without ASGI."""

    def find(self, path: str) -> Any:
        """The place of a path (percent escapes read), a `Place`; None where the application is to answer."""
        ...

    def serve(self, place: Any, request: HttpRequest, network: str) -> Coroutine[Any, Any, HttpResponse]:
        """The answer; raises nothing. `network` is the peer's address."""
        ...


class FrontState(ServerState):
    """What all connections of one server share: limits, certificate, the door, and who is connected."""

    def __init__(self, limits: Limits, ssl_context: ssl.SSLContext | None, door: Door | None = None) -> None:
        super().__init__()
        self.door = door
        self.limits = limits
        self.ssl_context = ssl_context
        self.burst = Burst()
        self.connections_by_address: Counter[str] = Counter()
        self.is_stopping = False
        self.is_empty = asyncio.Event()
        self.is_empty.set()

    def admit(self, address: str) -> bool:
        """Count a connection, already among `connections`, for its address, unless a limit is reached."""
        if (
            self.is_stopping
            or len(self.connections) > self.limits.connections_max
            or self.connections_by_address[address] >= self.limits.connections_per_address_max
        ):
            return False
        self.connections_by_address[address] += 1
        self.is_empty.clear()
        return True

    def release(self, address: str) -> None:
        """Give back what `admit` counted."""
        self.connections_by_address[address] -= 1
        if self.connections_by_address[address] <= 0:
            del self.connections_by_address[address]
        if not self.connections_by_address:
            self.is_empty.set()


class FrontProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol behind our own framing, deadlines and caps."""

    server_state: FrontState
    cycle: Any  # uvicorn's, or an Exchange

    def __init__(self, config: Config, state: FrontState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, state, {}, loop)
        self.logger = DiscreetLogger(logging.getLogger("chappe.http"))  # type: ignore[assignment]
        self.access_log = False
        self._limits = state.limits
        self._easy_head_bytes = min(state.limits.request_line_bytes_max, state.limits.headers_bytes_max)
        self._address: str | None = None
        self._phase = IDLE
        self._partial_head = bytearray()
        self._held = b""
        self._framing: list[tuple[bytes, bytes]] = []
        self._body_left = 0
        self._chunked_bytes = 0
        self._deadline = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    # The connection as a whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection or answer 503; called again with the inner transport when TLS has been agreed."""
        super().connection_made(transport)
        if self._address is None:
            address = self.client[0] if self.client else ""
            if not self.server_state.admit(address):
                self.connections.discard(self)
                transport.write(plain_answer(HTTPStatus.SERVICE_UNAVAILABLE))
                transport.close()
                self._phase = CLOSING
                return
            self._address = address
        self._watch(self.loop.time() + self._limits.idle_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and forget the connection."""
        self._phase = CLOSING
        self.forget()
        super().connection_lost(exc)

    def forget(self) -> None:
        """Give back the connection's place and timer. May be called twice: a failed TLS handshake ends only here."""
        self.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._address is not None:
            self.server_state.release(self._address)
            self._address = None

    def shutdown(self) -> None:
        """Let a request in flight finish, then close. An idle connection has a moment left: its client may be asking
        just now, and would otherwise lose a request to a connection that was still good when it wrote."""
        if self._phase in (BODY, ANSWERING) and not self.cycle.response_complete:
            self._end_after_answer()
        elif self._phase in (IDLE, HEAD):
            self._watch(min(self._deadline, self.loop.time() + self._limits.last_request_s))
        else:
            self._close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer also those clients that close their sending half once they have asked."""
        if self._phase is not ANSWERING or self.scheme == "https":
            return None
        self._end_after_answer()
        return True

    # Bytes in

    def data_received(self, data: bytes) -> None:
        """Give the bytes to the phase the connection is in."""
        if self._phase is IDLE:
            self._take_head(data)
        elif self._phase is HEAD:
            self._take_more_head(data)
        elif self._phase is BODY:
            self._take_body(data)
            if self._phase is BODY:  # Postfix' rule: bytes buy time, but never more than one full period
                earned_s = len(data) / self._limits.body_bytes_per_s_min
                self._watch(min(self._deadline + earned_s, self.loop.time() + self._limits.body_s))
        elif self._phase is ANSWERING:
            self._hold(data)

    def _take_head(self, received: bytes) -> None:
        """The hot path: most requests arrive whole, with a line that needs no mending."""
        end = received.find(BLANK_LINE) + len(BLANK_LINE)
        if (
            end < len(BLANK_LINE)
            or end > self._easy_head_bytes
            or not is_clean_line(received)
            or received.find(b"pgrade", 0, end) >= 0
        ):
            self._take_rough_head(received)
        elif end == len(received):
            self._begin(received, b"")
        else:
            self._begin(received[:end], received[end:])

    def _take_more_head(self, received: bytes) -> None:
        seen = max(0, len(self._partial_head) - len(BLANK_LINE) + 1)
        self._partial_head += received
        if self._partial_head.find(BLANK_LINE, seen) < 0:
            self._keep_partial_head(seen)
        else:
            whole = bytes(self._partial_head)
            self._partial_head.clear()
            self._take_head(whole)

    def _take_rough_head(self, received: bytes) -> None:
        if received[0] == HANDSHAKE_RECORD and self.cycle is None and self.scheme == "http":
            self._upgrade_to_tls(received)
            return
        received = received.lstrip(b"\r\n")  # RFC 9112 2.2: empty lines before a request line are ignored
        end = received.find(BLANK_LINE)
        if end < 0:
            self._partial_head += received
            if received:
                self._phase = HEAD
                self._watch(self.loop.time() + self._limits.header_s)
                self._keep_partial_head(0)
            return
        try:
            head = mend_head(received[: end + len(BLANK_LINE)], self._limits)
        except Refused as refusal:
            self._refuse(refusal.status)
        else:
            self._begin(head, received[end + len(BLANK_LINE) :])

    def _keep_partial_head(self, unseen_from: int) -> None:
        line_bytes = self._partial_head.find(b"\r\n")
        if line_bytes < 0:
            line_bytes = len(self._partial_head)
        if find_stray_control(self._partial_head, unseen_from):
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif line_bytes > self._limits.request_line_bytes_max:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif len(self._partial_head) - line_bytes > self._limits.headers_bytes_max:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _begin(self, head: bytes, rest: bytes) -> None:
        self._phase = HEAD
        self._parse(head)
        if self._phase is BODY:
            if rest:
                self._take_body(rest)
            if self._phase is BODY:
                self._watch(self.loop.time() + self._limits.body_s)
        elif self._phase is ANSWERING:
            if rest:
                self._hold(rest)
        elif self._phase is HEAD:  # the parser does not agree that this was a whole head
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _take_body(self, received: bytes) -> None:
        rest = b""
        if self._body_left == CHUNKED:
            # Counted as they come, sizes and extensions included: what the cap protects is our work.
            self._chunked_bytes += len(received)
            if self._chunked_bytes > self._limits.body_bytes_max:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
        elif len(received) <= self._body_left:
            self._body_left -= len(received)
        else:
            received, rest = received[: self._body_left], received[self._body_left :]
            self._body_left = 0
        self._parse(received)
        if rest:
            self.data_received(rest)

    def _hold(self, received: bytes) -> None:
        """Keep the next requests of a pipeline, within a limit; beyond it the client has to ask again."""
        if not self.cycle.keep_alive:
            return
        if len(self._held) + len(received) > self._limits.pipeline_bytes_max:
            self._end_after_answer()
            return
        self._held += received
        self.flow.pause_reading()

    def _parse(self, received: bytes) -> None:
        try:
            self.parser.feed_data(received)
        except httptools.HttpParserUpgrade:
            self._refuse(HTTPStatus.BAD_REQUEST)
        except httptools.HttpParserError as error:
            if self._phase in (IDLE, ANSWERING):
                # The request is complete; these are bytes behind a chunked body, whose end only the parser knows.
                self._end_after_answer()
            elif isinstance(error.__context__, Refused):
                self._refuse(error.__context__.status)
            else:
                self._refuse(HTTPStatus.BAD_REQUEST)

    # What the parser reports

    def on_message_begin(self) -> None:
        """Refuse a second request out of the bytes of one."""
        if self._phase is not HEAD:
            raise Refused(HTTPStatus.BAD_REQUEST)
        if self._framing:
            self._framing = []
        self._body_left = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those behind a chunked body are dropped, they must not change what was already decided."""
        if self._phase is not HEAD:
            return
        name = name.lower()
        if name in FRAMING_HEADERS:
            self._framing.append((name, value))
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Decide how long the body is, then start the application."""
        if len(self.headers) > self._limits.headers_count_max:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self.parser.should_upgrade():  # CONNECT; the Upgrade header was removed before
            raise Refused(HTTPStatus.BAD_REQUEST)
        if self._framing:
            self._body_left = self._declared_body_bytes()
            if self._body_left > self._body_bytes_max():
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        target = self.url
        path, _, query = target.partition(b"?")
        place = self._place_of(path)
        if place is not None:
            self.cycle = Exchange(self, place, path, query)
        else:
            self._begin_application(target)
        self._phase = BODY
        if self.server_state.is_stopping:
            self.cycle.keep_alive = False
        elif self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            if self.parser.get_http_version() == "1.0":
                self.cycle.default_headers = KEEP_ALIVE

    def _body_bytes_max(self) -> int:
        """Pages take files piece by piece, each page up to a limit of its own."""
        return self._limits.upload_bytes_max if self.url.startswith(UPLOADS) else self._limits.body_bytes_max

    def _place_of(self, path: bytes) -> Any:
        """Where the door answers a request whose body has a known size that fits; None where the application does."""
        door = self.server_state.door
        if door is None or self.expect_100_continue or path[:1] != b"/":
            return None
        words = path.decode("latin-1")
        place = door.find(unquote(words) if "%" in words else words)
        return place if place is not None and 0 <= self._body_left <= place.body_max else None

    def _begin_application(self, target: bytes) -> None:
        headers = self.headers
        expects = self.expect_100_continue
        super().on_message_begin()  # makes the scope, and forgets the rest
        self.url, self.headers, self.expect_100_continue = target, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        self.cycle.transport = Cork(self.transport, self.server_state.burst)

    def _declared_body_bytes(self) -> int:
        if len(self._framing) == 1:
            ((name, value),) = self._framing
            if name == b"content-length" and value.isdigit():
                return int(value)
        is_http11 = self.parser.get_http_version() == "1.1"
        self._chunked_bytes = 0
        self.expect_100_continue = is_http11 and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._framing
        )
        return declared_body_bytes(self._framing, is_http11)

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body to the application, and stop reading when it is slow. An exchange is never slow: it
        waits for the whole body, which fits its place."""
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > HIGH_WATER_LIMIT and self.cycle.__class__ is not Exchange:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole: wait for its answer, or for the next request when it was answered early."""
        if self._body_left > 0:  # the parser sees an end where the declared size does not
            raise Refused(HTTPStatus.BAD_REQUEST)
        if self.cycle.response_complete:
            self._rest()
            return
        self._phase = ANSWERING
        self._deadline = NEVER
        if self.cycle.__class__ is Exchange:
            self.cycle.begin(self)
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """The application's answer is out."""
        self.cycle.transport.flush()
        self.answered()

    def answered(self) -> None:
        """The answer is out: go on with what was held back, or rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._close()
        elif self._phase is BODY:
            if self.expect_100_continue:
                self._close()  # nobody knows whether the body will follow (RFC 9110 10.1.1)
            else:
                self.flow.resume_reading()
        elif self._phase is ANSWERING:
            self._rest()
            self.flow.resume_reading()
            if self._held:
                held, self._held = self._held, b""
                self.data_received(held)

    # Ends and deadlines

    def _rest(self) -> None:
        self._phase = IDLE
        self._deadline = self.loop.time() + self._limits.idle_s
        if self._timer is None:
            self._watch(self._deadline)

    def _watch(self, deadline: float) -> None:
        """Move the deadline. A timer that fires too early is set again, so only an earlier one costs a new timer."""
        self._deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(deadline, self._on_timer)
            self._timer_at = deadline

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline == NEVER:
            return
        if self.loop.time() < self._deadline:
            self._watch(self._deadline)
        elif self._phase is BODY and self.flow.read_paused:  # the application is slow, not the client
            self._watch(self.loop.time() + self._limits.body_s)
        elif self._phase in (HEAD, BODY):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._phase is IDLE and not self.transport.get_write_buffer_size():
            self._close()
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer as long as one that does not send its body."""
        super().pause_writing()
        if self._phase is ANSWERING:
            self._watch(self.loop.time() + self._limits.body_s)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._phase is ANSWERING:
            self._deadline = NEVER

    def _end_after_answer(self) -> None:
        self._held = b""
        if self.cycle.response_complete:
            self._close()
        else:
            self.cycle.keep_alive = False

    def _close(self) -> None:
        """Close, and cut when the client does not let us."""
        self.server_state.burst.flush()
        self._phase = CLOSING
        self._partial_head.clear()
        self._held = b""
        if not self.transport.is_closing():  # closed twice, asyncio's TLS transport can no longer be cut
            self.transport.close()
        is_flushed = self.transport.get_write_buffer_size() == 0
        self._watch(self.loop.time() + (self._limits.linger_s if is_flushed else self._limits.body_s))

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer in plain text and close. Late bytes are dropped for a moment, or a reset would eat the answer."""
        self.logger.debug("request refused with %d", status)
        self.server_state.burst.flush()
        cycle = self.cycle
        is_cycle_open = cycle is not None and not cycle.response_complete
        if is_cycle_open:
            cycle.disconnected = True
            cycle.message_event.set()
        if is_cycle_open and cycle.response_started:
            self._close()
            return
        self.transport.write(plain_answer(status))
        if not self.transport.can_write_eof():
            self._close()
            return
        self._phase = CLOSING
        self._partial_head.clear()
        self._held = b""
        self.transport.write_eof()
        self.flow.resume_reading()
        self._watch(self.loop.time() + self._limits.linger_s)

    # TLS on the plain port

    def _upgrade_to_tls(self, received: bytes) -> None:
        context = self.server_state.ssl_context
        if context is None:
            self._close()
            return
        transport = self.transport
        self._deadline = NEVER  # the layer watches over the handshake
        layer = TlsLayer(
            self,
            context,
            self.loop,
            handshake_s=self._limits.tls_handshake_s,
            linger_s=self._limits.linger_s,
            forget=self.forget,
        )
        layer.take_over(transport, received)


class Exchange:
    """A request that the door answers, in the place of uvicorn's cycle: it is whole before anybody hears of it."""

    __slots__ = (
        "_door",
        "_network",
        "_path",
        "_place",
        "_query",
        "_task",
        "body",
        "default_headers",
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
        "response_started",
    )

    def __init__(self, front: FrontProtocol, place: Place, path: bytes, query: bytes) -> None:
        self._place = place
        self._path = path
        self._query = query
        self._network = front.client[0] if front.client else ""
        self._task: asyncio.Task[None] | None = None
        self.body = b""
        self.default_headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.message_event = NOBODY_WAITS

    def begin(self, front: FrontProtocol) -> None:
        """The request is whole: have it answered."""
        request = HttpRequest(
            method=front.parser.get_method().decode("ascii"),
            path=self._path.decode("latin-1"),
            query=self._query,
            headers=tuple(front.headers),
            body=bytes(self.body),
        )
        door = front.server_state.door
        assert door is not None
        self._task = front.loop.create_task(self._answer(front, door.serve(self._place, request, self._network)))

    async def _answer(self, front: FrontProtocol, serving: Coroutine[Any, Any, HttpResponse]) -> None:
        response = await serving
        if self.response_complete or self.disconnected:
            return
        self.response_started = self.response_complete = True
        burst = front.server_state.burst
        try:
            octets = self._octets(front, response)
        except ValueError:
            front.logger.error("an answer with a header that cannot be")
            octets, self.keep_alive = plain_answer(HTTPStatus.INTERNAL_SERVER_ERROR), False
        burst.put(front.transport, octets)
        if not self.keep_alive:
            burst.flush()
            front.transport.close()
        front.answered()

    def _octets(self, front: FrontProtocol, response: HttpResponse) -> bytes:
        extra = self.default_headers
        head = head_of(response.status, (*extra, *response.headers) if extra else response.headers)
        body = response.body
        end = b"%d\r\n\r\n" if self.keep_alive else b"%d\r\nconnection: close\r\n\r\n"
        return head + end % len(body) + (b"" if front.parser.get_method() == b"HEAD" else body)

    def cancel(self) -> None:
        """The server has no more time for it."""
        if self._task is not None:
            self._task.cancel()


class NobodyWaits:
    """In the place of the event by which an application is told that there is more."""

    def set(self) -> None:
        """Nobody waits for it."""


NOBODY_WAITS: Final = NobodyWaits()


@lru_cache(maxsize=256)
def head_of(status: int, headers: Headers) -> bytes:
    """Status line and headers up to the number of `content-length`. A dialect has few heads, and gives them often."""
    if any(STRAY(name + value) for name, value in headers):
        raise ValueError("a header with a line break")
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, phrase_of(status).encode())]
    lines += [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join(lines) + b"cache-control: no-store\r\ncontent-length: "


def phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


INTERIM = b"HTTP/1.1 100 "


class Cork:
    """A transport that holds the head of an answer back until its body comes: one write and one packet, not two.

    What is whole goes into the server's burst.
    """

    def __init__(self, transport: asyncio.Transport, burst: Burst) -> None:
        self._transport = transport
        self._burst = burst
        self._head = b""
        self._is_begun = False

    def write(self, octets: bytes) -> None:
        """The first write of an answer is its head; the interim `100 Continue` before it goes out at once."""
        if not self._is_begun and not octets.startswith(INTERIM):
            self._is_begun = True
            self._head = octets
            return
        if self._head:
            octets, self._head = self._head + octets, b""
        self._burst.put(self._transport, octets)

    def flush(self) -> None:
        """Send a head that no body followed."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._burst.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class DiscreetLogger(logging.LoggerAdapter[logging.Logger]):
    """Writes where an exception arose and of what type it is, never its text: that may quote a request."""

    level = logging.INFO  # uvicorn asks for it before it traces addresses

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Turn `exc_info` into a type and the innermost places."""
        failure = kwargs.pop("exc_info", None)
        if isinstance(failure, BaseException):
            msg = f"{msg.strip()}: {type(failure).__name__} at {places(failure.__traceback__)}"
        return msg, kwargs


def places(trace: TracebackType | None, count_max: int = 5) -> str:
    """File, line and function of the innermost frames, innermost first."""
    frames = traceback.extract_tb(trace)[-count_max:]
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def mend_head(head: bytes, limits: Limits) -> bytes:
    """The request head with a legal request line and without `Upgrade`, which is never obeyed (RFC 9110 7.8).

    `%` not followed by two hexadecimal digits passes as it is (wire 1.2). Raises `Refused` with 400, 414 or 431.
    """
    line, line_end, headers = head.partition(b"\r\n")
    if len(line) > limits.request_line_bytes_max:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(headers) > limits.headers_bytes_max:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    parts = rough_line(line)
    if parts is None or find_stray_control(head):
        raise Refused(HTTPStatus.BAD_REQUEST)
    method, target, version = parts.groups()
    mended = b"".join(map(TARGET_BYTES.__getitem__, target))
    if len(mended) > limits.request_line_bytes_max:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    return method + b" " + mended + b" " + version + remove_upgrade(b"", line_end + headers)


def declared_body_bytes(framing: list[tuple[bytes, bytes]], is_http11: bool) -> int:
    """The body's size in bytes, or `CHUNKED`. Raises `Refused` (400) for what could be read in two ways."""
    lengths = [value for name, value in framing if name == b"content-length"]
    codings = [value for name, value in framing if name == b"transfer-encoding"]
    if codings:
        if lengths or not is_http11 or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Refused(HTTPStatus.BAD_REQUEST)
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise Refused(HTTPStatus.BAD_REQUEST)
    return int(lengths[0])


def plain_answer(status: HTTPStatus) -> bytes:
    """A whole answer of the protocol itself: the status, its name as text, and the end of the connection."""
    text = f"{status.value} {status.phrase}\n"
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(text)}\r\nconnection: close\r\n\r\n{text}"
    ).encode("ascii")
