"""Connections as an HTTP client keeps them: what raw answers become, and which connections are used again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.dialects.base import Failure, Headers, HttpResponse, Reply
from chappe.http_connection import ConnectionLimits, Place, Pool, Register

MESSAGE = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LENGTH = (b"content-length", b"2")
Answer = TypeVar("Answer")
Behave = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Listens on loopback in the loop of the test; every connection behaves as told."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.connection_count = 0
        self.hung_up = asyncio.Event()  # the client closed a connection
        self.arrived = asyncio.Event()  # a whole request came
        self.release = asyncio.Event()

    async def __aenter__(self) -> "Server":
        self.listening = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.register = Register()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        await self.register.close()
        self.listening.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        try:
            await self.behave(self, reader, writer)
            if await reader.read() == b"":
                self.hung_up.set()
        except (OSError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> None:
        await reader.readexactly(len(MESSAGE))
        self.arrived.set()

    def pool(self, limits: ConnectionLimits | None = None) -> Pool:
        port = self.listening.sockets[0].getsockname()[1]
        return Pool(Place(address="127.0.0.1", port=port), limits or ConnectionLimits(), self.register)


def answering(pieces: Sequence[bytes], *, is_ending: bool = False) -> Behave:
    """Every request is answered with these pieces, written one by one; then, if told so, the server hangs up."""

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            if is_ending:
                writer.write_eof()
                return

    return behave


async def silent(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.request(reader)
    await reader.read()
    server.hung_up.set()


async def released(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await server.request(reader)
        await server.release.wait()
        writer.write(OK)


def answered(pieces: Sequence[bytes], *, is_ending: bool = False, is_head: bool = False) -> tuple[Reply, bool]:
    """What a raw answer becomes, and whether its connection is kept."""

    async def ask() -> tuple[Reply, bool]:
        async with Server(answering(pieces, is_ending=is_ending)) as server, asyncio.timeout(10):
            pool = server.pool()
            reply = await pool.exchange(MESSAGE, 5, is_head=is_head)
            return reply, bool(pool.idle)

    return asyncio.run(ask())


def good(body: bytes = b"ok", status: int = 200, headers: Headers = (LENGTH,)) -> HttpResponse:
    return HttpResponse(status=status, headers=headers, body=body)


def bad(detail: str) -> Failure:
    return Failure(is_certain=False, detail=detail)


CHUNKED = (b"transfer-encoding", b"chunked")
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = (b"connection", b"close")

ANSWERS: list[tuple[str, bytes, Reply, bool]] = [
    # what it is, the raw answer, what it becomes, whether the connection is kept
    ("plain", OK, good(), True),
    (
        "empty body",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        good(b"", headers=((b"content-length", b"0"),)),
        True,
    ),
    ("no reason", b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", good(), True),
    ("lines without CR", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", good(), True),
    ("blank lines before", b"\r\n\r\n" + OK, good(), True),
    ("blanks around a value", b"HTTP/1.1 200 OK\r\ncontent-length:  2 \t\r\n\r\nok", good(), True),
    ("interim", b"HTTP/1.1 100 Continue\r\nx-a: 1\r\n\r\n" + OK, good(), True),
    ("interims", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + OK, good(), True),
    ("chunked", CHUNKED_HEAD + b"1\r\no\r\n1;a=b\r\nk\r\n0\r\n\r\n", good(headers=(CHUNKED,)), True),
    ("trailers", CHUNKED_HEAD + b"2\r\nok\r\n0\r\nx-a: 1\r\n\r\n", good(headers=(CHUNKED,)), True),
    ("no content", b"HTTP/1.1 204 No Content\r\n\r\n", good(b"", 204, ()), True),
    ("not modified", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n", good(b"", 304), True),
    ("server error", b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", good(b"no", 503), True),
    (
        "asked to close",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok",
        good(headers=(CLOSE, LENGTH)),
        False,
    ),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", good(), False),
    (
        "HTTP/1.0 kept",
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        good(headers=((b"connection", b"keep-alive"), LENGTH)),
        True,
    ),
    (
        "switching",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        bad("no valid answer"),
        False,
    ),
    ("another protocol", b"SSH-2.0-server\r\n", bad("no valid answer"), False),
    (
        "two lengths",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        bad("no valid answer"),
        False,
    ),
    (
        "length and chunks",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        bad("no valid answer"),
        False,
    ),
    ("folded header", b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\n\r\n", bad("no valid answer"), False),
    ("bad chunk", CHUNKED_HEAD + b"zz\r\n", bad("no valid answer"), False),
    ("many headers", b"HTTP/1.1 200 OK\r\n" + b"x-a: 1\r\n" * 101 + b"\r\n", bad("answer headers too large"), False),
    ("large header", b"HTTP/1.1 200 OK\r\nx-a: " + b"1" * 70_000 + b"\r\n\r\n", bad("answer headers too large"), False),
    ("endless interims", b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000, bad("answer headers too large"), False),
    ("endless trailer", CHUNKED_HEAD + b"0\r\nx-a: " + b"1" * 1_100_000, bad("no valid answer"), False),
]
ANSWER_IDS = [name for name, *_ in ANSWERS]


@pytest.mark.parametrize("raw, reply, is_kept", [row[1:] for row in ANSWERS], ids=ANSWER_IDS)
def test_raw_answers(raw: bytes, reply: Reply, is_kept: bool) -> None:
    """Each shape of answer becomes this reply, and its connection is kept or hung up."""
    assert answered([raw]) == (reply, is_kept)


SMALL = [(raw, reply, is_kept) for _, raw, reply, is_kept in ANSWERS if len(raw) < 1_000]


@pytest.mark.parametrize("raw, reply, is_kept", SMALL, ids=[name for name, raw, *_ in ANSWERS if len(raw) < 1_000])
def test_raw_answers_byte_by_byte(raw: bytes, reply: Reply, is_kept: bool) -> None:
    """However an answer is cut into pieces, it becomes the same reply."""
    assert answered([raw[index : index + 1] for index in range(len(raw))]) == (reply, is_kept)


KEPT = [(name, raw, reply) for name, raw, reply, is_kept in ANSWERS if is_kept]


@pytest.mark.parametrize("raw, reply", [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
@pytest.mark.parametrize("rubbish", [b"x", b"\x00", OK, b"HTTP/1.1 500 Oh"], ids=["letter", "NUL", "answer", "half"])
def test_rubbish_behind_an_answer(raw: bytes, reply: Reply, rubbish: bytes) -> None:
    """What stands behind an answer does not change it, and costs the connection."""
    assert answered([raw + rubbish]) == (reply, False)


ENDINGS: list[tuple[str, bytes, Reply]] = [
    # what it is, what comes before the server hangs up, what it becomes
    ("nothing", b"", bad("connection closed without an answer")),
    ("blank lines", b"\r\n\r\n", bad("answer broken off")),
    ("half a status line", b"HTTP/1.1 20", bad("answer broken off")),
    ("half a head", b"HTTP/1.1 200 OK\r\nx-a: 1\r\n", bad("answer broken off")),
    ("half a body", OK[:-1], bad("answer broken off")),
    ("half a chunk", CHUNKED_HEAD + b"2\r\no", bad("answer broken off")),
    ("no last chunk", CHUNKED_HEAD + b"2\r\nok\r\n", bad("answer broken off")),
    ("an interim answer", b"HTTP/1.1 100 Continue\r\n\r\n", bad("answer broken off")),
    ("a status that does not exist", b"HTTP/1.1 099 OK\r\n\r\nok", bad("answer broken off")),
    ("no length", b"HTTP/1.1 200 OK\r\n\r\nok", good(headers=())),
    ("no length, no body", b"HTTP/1.1 200 OK\r\n\r\n", good(b"", headers=())),
    ("HTTP/1.0, no length", b"HTTP/1.0 404 No\r\n\r\nok", good(status=404, headers=())),
    (
        "a coding without chunks",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: x\r\n\r\nok",
        good(headers=((b"transfer-encoding", b"x"),)),
    ),
    ("a whole answer", OK, good()),
]


@pytest.mark.parametrize("raw, reply", [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS])
def test_answers_that_end_with_their_connection(raw: bytes, reply: Reply) -> None:
    """The end of a connection ends a body without a length, and breaks off every other answer."""
    assert answered([raw], is_ending=True)[0] == reply


@pytest.mark.parametrize(
    "raw", [OK[:-2], CHUNKED_HEAD, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["length", "chunks", "neither"]
)
def test_the_answer_to_head_ends_with_its_head(raw: bytes) -> None:
    """Whatever body an answer to HEAD announces, nobody waits for it."""
    reply, is_kept = answered([raw], is_head=True)
    assert isinstance(reply, HttpResponse)
    assert (reply.status, reply.body, is_kept) == (200, b"", False)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_reply(raw: bytes) -> None:
    """Whatever a server sends before it hangs up, one reply comes of it and no exception."""
    for start in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED_HEAD):
        reply, _ = answered([start + raw], is_ending=True)
        assert isinstance(reply, HttpResponse) or not reply.is_certain


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_cut(size: int, is_chunked: bool) -> None:
    """Of a body the first 64 KiB are handed over, and what has more costs its connection."""
    body = bytes(index % 251 for index in range(size))
    head = CHUNKED_HEAD + b"%x\r\n" % size if is_chunked else b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
    reply, is_kept = answered([head + body + (b"\r\n0\r\n\r\n" if is_chunked else b"")])
    assert isinstance(reply, HttpResponse)
    assert reply.body == body[:65_536]
    assert is_kept is (size < 65_536)


# Connections


def test_a_connection_is_kept_for_the_next_request() -> None:
    """Requests one after the other share a connection, and requests at the same time do not."""

    async def ask() -> None:
        async with Server(answering([OK])) as server:
            pool = server.pool()
            assert [await pool.exchange(MESSAGE, 5) for _ in range(5)] == [good()] * 5
            assert server.connection_count == 1
            assert await asyncio.gather(*(pool.exchange(MESSAGE, 5) for _ in range(3))) == [good()] * 3
            assert server.connection_count == 3

    asyncio.run(ask())


@pytest.mark.parametrize("rubbish", [b"HTTP/1.1 408 Timeout\r\n\r\n", b"", b"x"], ids=["farewell", "end", "rubbish"])
def test_a_connection_that_says_something_unasked_is_not_used(rubbish: bytes) -> None:
    """A kept connection that is closed, or talks, before it is needed gets no request: that goes on a new one."""

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await server.release.wait()
        writer.write(rubbish) if rubbish else writer.write_eof()

    async def ask() -> None:
        async with Server(behave) as server, asyncio.timeout(10):
            pool = server.pool()
            assert await pool.exchange(MESSAGE, 5) == good()
            server.release.set()
            await server.hung_up.wait()
            assert not pool.idle
            assert await pool.exchange(MESSAGE, 5) == good()
            assert server.connection_count == 2

    asyncio.run(ask())


def test_idle_connections_are_closed() -> None:
    """A connection that nobody needs is closed after its time, without a further request."""

    async def ask() -> None:
        async with Server(answering([OK])) as server, asyncio.timeout(10):
            pool = server.pool(ConnectionLimits(idle_connection_s=0.05))
            assert await asyncio.gather(*(pool.exchange(MESSAGE, 5) for _ in range(3))) == [good()] * 3
            await asyncio.wait([connection.lost for connection in server.register.connections])
            await server.hung_up.wait()
            assert (len(pool.idle), len(server.register.connections)) == (0, 0)

    asyncio.run(ask())


def test_connections_are_bounded_and_the_others_wait() -> None:
    """Beyond the limit requests wait for a connection: each is answered, or surely fails when its time is up."""

    async def ask() -> None:
        async with Server(released) as server, asyncio.timeout(10):
            pool = server.pool(ConnectionLimits(connections_per_address_max=2))
            waiting = [asyncio.create_task(pool.exchange(MESSAGE, 5)) for _ in range(6)]
            await server.arrived.wait()
            assert await pool.exchange(MESSAGE, 0.02) == Failure(is_certain=True, detail="timed out")
            waiting[3].cancel()
            server.release.set()
            replies = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(replies.pop(3), asyncio.CancelledError)
            assert replies == [good()] * 5
            assert server.connection_count == 2
            assert (pool.busy_count, len(pool.queue)) == (0, 0)

    asyncio.run(ask())


def test_a_place_given_to_a_cancelled_request_is_passed_on() -> None:
    """A request that is cancelled in the very moment it gets its place hands that to the next."""

    async def ask() -> None:
        async with Server(answering([OK])) as server, asyncio.timeout(10):
            pool = server.pool(ConnectionLimits(connections_per_address_max=1))
            pool.busy_count = 1  # a request is under way
            cancelled, last = (asyncio.create_task(pool.exchange(MESSAGE, 60)) for _ in range(2))
            await asyncio.sleep(0)
            assert len(pool.queue) == 2
            pool.pass_on()  # it ends
            cancelled.cancel()
            assert await last == good()
            assert cancelled.cancelled()
            assert pool.busy_count == 0

    asyncio.run(ask())


def test_a_cancelled_request_closes_its_connection() -> None:
    """Whoever stops waiting for an answer leaves no connection on which it could still arrive."""

    async def ask() -> None:
        async with Server(silent) as server, asyncio.timeout(10):
            pool = server.pool()
            asking = asyncio.create_task(pool.exchange(MESSAGE, 60))
            await server.arrived.wait()
            asking.cancel()
            await asyncio.wait([asking])
            await server.hung_up.wait()
            assert asking.cancelled()
            assert (pool.busy_count, len(pool.idle), len(server.register.connections)) == (0, 0, 0)

    asyncio.run(ask())


def test_closing_ends_requests_under_way() -> None:
    """When everything is closed, a request under way is uncertain, and a new one gets no connection."""

    async def ask() -> None:
        async with Server(silent) as server, asyncio.timeout(10):
            pool = server.pool()
            asking = asyncio.create_task(pool.exchange(MESSAGE, 5))
            await server.arrived.wait()
            await server.register.close()
            assert await asking == bad("given up")
            assert await pool.exchange(MESSAGE, 5) == Failure(is_certain=True, detail="no connection")
            assert not server.register.connections

    asyncio.run(ask())


@pytest.mark.parametrize("first_s", [0.1, 5])
def test_each_request_has_its_own_time_out(first_s: float) -> None:
    """A kept connection times out by its present request, whether the one before had more or less time."""

    async def behave(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await silent(server, reader, writer)

    async def ask() -> float:
        async with Server(behave) as server, asyncio.timeout(10):
            pool, loop = server.pool(), asyncio.get_running_loop()
            assert await pool.exchange(MESSAGE, first_s) == good()
            started_s = loop.time()
            assert await pool.exchange(MESSAGE, 0.3) == bad("timed out")
            assert server.connection_count == 1
            return loop.time() - started_s

    assert 0.29 < asyncio.run(ask()) < 2


def test_a_request_half_sent_costs_its_connection() -> None:
    """A server that answers before it has read the request gets no second one behind the rest of the first."""

    async def hasty(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        await server.release.wait()

    async def ask() -> None:
        async with Server(hasty) as server, asyncio.timeout(10):
            pool = server.pool()
            assert await pool.exchange(MESSAGE + b"x" * 8_000_000, 5) == good()
            assert not pool.idle

    asyncio.run(ask())
