"""What an HTTP connection forgives, what it refuses, and how long it waits: raw bytes against a server on loopback."""

import asyncio
import contextlib
import http.client
import io
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from chappe.listeners.protocol import Limits, Refused, mend_head
from chappe.listeners.server import HttpServer
from chappe.listeners.tls import make_self_signed, server_context

T = TypeVar("T")
PATIENCE_S = 10.0
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
SMSFOX_LINE = (
    b"GET /en/api/?_" + b" " * 22 + b"login=username&pwd=secret&phones=447700900123&msg=hello HTTP/1.1\r\n"
    b"Host: gateway.example\r\nConnection: close\r\n\r\n"
)


@dataclass
class EchoApp:
    """Answers with what it was asked, as JSON; some paths behave in other ways."""

    seen: list[str] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    disconnected: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["raw_path"].decode("ascii")
        self.seen.append(path)
        self.entered.set()
        if path == "/fails":
            raise RuntimeError("canary " + scope["query_string"].decode())
        if path == "/waits":
            await asyncio.get_running_loop().run_in_executor(None, self.leave.wait, PATIENCE_S)
        body = b""
        while path != "/hasty":
            event = await receive()
            if event["type"] == "http.disconnect":
                self.disconnects.append(path)
                self.disconnected.set()
                return
            body += event["body"]
            if not event["more_body"]:
                break
        echo = json.dumps(
            {
                "method": scope["method"],
                "scheme": scope["scheme"],
                "version": scope["http_version"],
                "raw_path": path,
                "query": scope["query_string"].decode("ascii"),
                "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
                "body": body.decode("latin-1"),
            }
        ).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(echo)), (b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": echo})


class Front:
    """A server in a thread of its own, on one kind of event loop."""

    def __init__(self, kind: str, limits: Limits, context: ssl.SSLContext | None) -> None:
        self.app = EchoApp()
        self.loop = LOOPS[kind]()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.run(self._start(limits, context))

    async def _start(self, limits: Limits, context: ssl.SSLContext | None) -> HttpServer:
        server = HttpServer(self.app, limits=limits, ssl_context=context)
        await server.start()
        return server

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE_S)

    def talk(self, sent: bytes) -> list["Answer"]:
        """Send bytes, keep the sending half open, and read every answer until the server closes."""
        with self.connect() as connection:
            connection.sendall(sent)
            return answers(read_to_end(connection))

    async def emptied(self) -> int:
        """Wait until the server has no connection left; returns how many it has."""
        await self.server._state.is_empty.wait()
        return self.server.connections_count

    def close(self) -> None:
        self.app.leave.set()
        self.run(self.server.stop(timeout_s=5))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def echo(self) -> dict[str, Any]:
        echoed: dict[str, Any] = json.loads(self.body)
        return echoed


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes; a reset after the answer counts as a close."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def answers(received: bytes) -> list[Answer]:
    """All answers in a row; interim ones (100) have no body."""
    found = []
    while received:
        head, blank_line, received = received.partition(b"\r\n\r\n")
        assert blank_line, head
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        found.append(Answer(status=int(status_line.split()[1]), headers=headers, body=received[:size]))
        received = received[size:]
    return found


def read_answer(stream: io.BufferedReader) -> Answer:
    """Exactly one answer of a connection that stays open."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, head
        head += line
    (answer,) = answers(head)
    return Answer(
        status=answer.status,
        headers=answer.headers,
        body=stream.read(int(answer.headers.get("content-length", "0"))),
    )


OpenFront = Callable[..., Front]


@pytest.fixture(params=LOOPS)
def open_front(request: pytest.FixtureRequest) -> Iterator[OpenFront]:
    """Opens servers on each kind of loop and closes them afterwards."""
    fronts: list[Front] = []

    def open_one(context: ssl.SSLContext | None = None, **limits: Any) -> Front:
        fronts.append(Front(request.param, Limits(**limits), context))
        return fronts[-1]

    yield open_one
    for front in fronts:
        front.close()


@pytest.fixture(scope="module")
def uv_front() -> Iterator[Front]:
    """One server for all rows of a table that leave no trace, with a short linger so that refusals end at once."""
    front = Front("uvloop", Limits(headers_count_max=20, body_bytes_max=1_000, linger_s=0.2), None)
    yield front
    front.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    return make_self_signed(tmp_path_factory.mktemp("tls"))


def get(target: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/" + version, b"Host: h", *lines, b"", b""])


def post(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"POST " + target + b" HTTP/1.1", b"Host: h", *lines, b"", body])


CLOSE = b"Connection: close"

# Wire 1.2 and the samples of wire 1.1: target as sent -> path and query as the application sees them.
TARGETS = [
    (b"/en/api/?_                      login=u", "/en/api/", "_" + "%20" * 22 + "login=u"),
    (b"/sms?pwd=a b&msg=c d", "/sms", "pwd=a%20b&msg=c%20d"),
    ("/sms?msg=é€".encode(), "/sms", "msg=%C3%A9%E2%82%AC"),
    (b"/sms?msg=\xe9\x80", "/sms", "msg=%E9%80"),
    (b"/caf\xe9", "/caf%E9", ""),
    (b"/sms?msg=100%&x=%zz%4", "/sms", "msg=100%&x=%zz%4"),
    (b"/sms?msg=%20+%C3%A9", "/sms", "msg=%20+%C3%A9"),
    (b"//REST//login", "//REST//login", ""),
    (b"/sms?msg=a\tb\x01\x7f", "/sms", "msg=a%09b%01%7F"),
    (b"/sms?msg=a HTTP/1.1 b", "/sms", "msg=a%20HTTP/1.1%20b"),
    (b"/sms?msg=room #5&to=1", "/sms", "msg=room%20%235&to=1"),
    (b"/sms?msg=room#5&to=1", "/sms", "msg=room%235&to=1"),
    (b"/sms?a=\"<>[]{}|\\^`'", "/sms", "a=\"<>[]{}|\\^`'"),
    (b"http://gateway.example/sms?a=1", "/sms", "a=1"),
    (b"/plain", "/plain", ""),
]


@pytest.mark.parametrize("target, path, query", TARGETS)
def test_targets_that_real_clients_send_reach_the_application(
    uv_front: Front, target: bytes, path: str, query: str
) -> None:
    """Every byte a client puts into its request line arrives, percent-encoded where a URL cannot hold it."""
    (answer,) = uv_front.talk(get(target, CLOSE))
    assert (answer.status, answer.echo["raw_path"], answer.echo["query"]) == (200, path, query)


def test_the_smsfox_sample_is_served(open_front: OpenFront) -> None:
    """The request line of SMSFox's own PHP sample (wire 1.1) reaches the application with its blanks encoded."""
    (answer,) = open_front().talk(SMSFOX_LINE)
    assert answer.echo["query"] == "_" + "%20" * 22 + "login=username&pwd=secret&phones=447700900123&msg=hello"


def test_byte_by_byte_delivery_changes_nothing(open_front: OpenFront) -> None:
    """A dirty line and a body arriving one byte at a time are understood as if they came whole."""
    front = open_front()
    with front.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in post(b"GET /no HTTP/1.1\r\n\r\n", b"Content-Length: 20", CLOSE, target=b"/a b"):
            connection.sendall(bytes([octet]))
        (answer,) = answers(read_to_end(connection))
    assert (answer.echo["raw_path"], answer.echo["body"]) == ("/a%20b", "GET /no HTTP/1.1\r\n\r\n")
    assert front.app.seen == ["/a%20b"]


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_the_cuts_between_reads_change_nothing(uv_front: Front, cuts: list[int]) -> None:
    """However the network cuts a pipeline of dirty lines and bodies, the same requests come out in order."""
    stream = (
        get(b"/1 a")
        + post(b"GET /x y HTTP/1.1\r\n\r\n", b"Content-Length: 21", target=b"/2")
        + b"\r\n"
        + post(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", CLOSE, target=b"/3\xe9")
    )
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    with uv_front.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(edges):
            connection.sendall(stream[start:end])
        echoes = [answer.echo for answer in answers(read_to_end(connection))]
    assert [(echo["raw_path"], echo["body"]) for echo in echoes] == [
        ("/1%20a", ""),
        ("/2", "GET /x y HTTP/1.1\r\n\r\n"),
        ("/3%E9", "hello"),
    ]


def test_a_pipeline_is_answered_in_order(open_front: OpenFront) -> None:
    """Many requests in one write, clean and dirty, are answered one by one, in order."""
    targets = [b"/%d a" % index if index % 2 else b"/%d" % index for index in range(50)]
    found = open_front().talk(b"".join(get(target) for target in targets) + get(b"/end", CLOSE))
    assert [answer.echo["raw_path"] for answer in found] == [
        *(target.decode().replace(" ", "%20") for target in targets),
        "/end",
    ]


def test_a_pipeline_beyond_its_limit_is_cut(open_front: OpenFront) -> None:
    """A client that piles up more requests than allowed gets the first answer, told that it is the last."""
    front = open_front(pipeline_bytes_max=200)
    found = front.talk(get(b"/first") + get(b"/more") * 20)
    assert [(answer.echo["raw_path"], answer.headers["connection"]) for answer in found] == [("/first", "close")]


def test_every_line_of_a_kept_connection_is_mended(open_front: OpenFront) -> None:
    """Keep-alive connections accept dirty lines again and again, bodies in between."""
    front = open_front()
    with front.connect() as connection, connection.makefile("rb") as stream:
        for index in range(5):
            connection.sendall(post(b"body %d" % index, b"Content-Length: 6", target=b"/a %d" % index))
            answer = read_answer(stream)
            assert (answer.echo["raw_path"], answer.echo["body"]) == (f"/a%20{index}", f"body {index}")
            connection.sendall(SMSFOX_LINE.replace(CLOSE, b"X: y"))
            assert "login=username" in read_answer(stream).echo["query"]


def test_chunked_bodies_keep_the_connection(open_front: OpenFront) -> None:
    """A chunked request may be followed by another once it is answered; its trailers change nothing."""
    chunked = post(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nExpect: x\r\n\r\n", b"Transfer-Encoding: Chunked")
    front = open_front()
    with front.connect() as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            connection.sendall(chunked)
            echo = read_answer(stream).echo
            assert (echo["body"], [name for name, _ in echo["headers"]]) == ("abcde", ["host", "transfer-encoding"])


# Shapes that other parsers read in two ways (reliability S8) -> every status the one connection may give.
CHUNKED = b"Transfer-Encoding: chunked"
NEXT = get(b"/smuggled")
SMUGGLING = [
    ("both lengths", post(b"0\r\n\r\n" + NEXT, b"Content-Length: 5", CHUNKED), [400]),
    ("both lengths, other order", post(b"0\r\n\r\n" + NEXT, CHUNKED, b"Content-Length: 5"), [400]),
    ("two lengths", post(b"abc" + NEXT, b"Content-Length: 3", b"Content-Length: 90"), [400]),
    ("equal lengths twice", post(b"abc" + NEXT, b"Content-Length: 3", b"Content-Length: 3"), [400]),
    ("list of lengths", post(b"abc" + NEXT, b"Content-Length: 3, 3"), [400]),
    ("signed length", post(b"abc" + NEXT, b"Content-Length: +3"), [400]),
    ("negative length", post(b"abc" + NEXT, b"Content-Length: -3"), [400]),
    ("hexadecimal length", post(b"abc" + NEXT, b"Content-Length: 0x3"), [400]),
    ("empty length", post(b"abc" + NEXT, b"Content-Length:"), [400]),
    ("length beyond 64 bit", post(b"abc" + NEXT, b"Content-Length: 18446744073709551619"), [400]),
    ("length with blank inside", post(b"abc" + NEXT, b"Content-Length: 1 0"), [400]),
    ("unknown coding", post(b"abc" + NEXT, b"Transfer-Encoding: gzip"), [400]),
    ("identity", post(b"abc" + NEXT, b"Transfer-Encoding: identity"), [400]),
    ("coding before chunked", post(b"0\r\n\r\n" + NEXT, b"Transfer-Encoding: gzip, chunked"), [400]),
    ("chunked not last", post(b"0\r\n\r\n" + NEXT, b"Transfer-Encoding: chunked, identity"), [400]),
    ("chunked twice", post(b"0\r\n\r\n" + NEXT, CHUNKED, CHUNKED), [400]),
    ("vertical tab before chunked", post(b"0\r\n\r\n" + NEXT, b"Transfer-Encoding: \x0bchunked"), [400]),
    ("chunked in 1.0", post(b"0\r\n\r\n" + NEXT, CHUNKED).replace(b"1.1", b"1.0", 1), [400]),
    ("space before colon", post(b"abc" + NEXT, b"Content-Length : 3"), [400]),
    ("tab before colon", post(b"0\r\n\r\n" + NEXT, b"Transfer-Encoding\t: chunked"), [400]),
    ("folded line", post(b"abc" + NEXT, b"X: y", b" Content-Length: 3"), [400]),
    ("folded coding", post(b"0\r\n\r\n" + NEXT, b"Transfer-Encoding:", b" chunked"), [400]),
    ("first header begins with blank", get(b"/").replace(b"Host", b" Host") + NEXT, [400]),
    ("bare LF ends the line", b"GET / HTTP/1.1\nHost: h\r\n\r\n" + NEXT, [400]),
    ("bare LF ends a header", get(b"/", b"X: y\nContent-Length: 90") + NEXT, [400]),
    ("only LF", b"GET / HTTP/1.1\nHost: h\n\n" + NEXT, [400]),
    ("only LF, nothing behind", b"GET / HTTP/1.1\nHost: h\n\n", [400]),
    ("bare CR in the line", b"GET /a\rb HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("bare CR in a header", get(b"/", b"X: y\rContent-Length: 90") + NEXT, [400]),
    ("LF in the target", b"GET /a HTTP/1.1\nX: y HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("NUL in the target", get(b"/a\0b") + NEXT, [400]),
    ("NUL in a name", get(b"/", b"X\0: y") + NEXT, [400]),
    ("NUL in a value", get(b"/", b"X: \0y") + NEXT, [400]),
    ("header without colon", get(b"/", b"Content-Length") + NEXT, [400]),
    ("chunk size with sign", post(b"+3\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("chunk size with 0x", post(b"0x3\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("chunk size with underscore", post(b"1_0\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("chunk size too long", post(b"f" * 17 + b"\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("empty chunk size", post(b"\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("chunk ends with LF", post(b"3\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("chunk longer than its size", post(b"2\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("LF in a chunk extension", post(b"3;x\ny\r\nabc\r\n0\r\n\r\n" + NEXT, CHUNKED), [400]),
    ("bytes behind a chunked body", post(b"0\r\n\r\n" + NEXT, CHUNKED), [200]),
    ("rubbish behind a chunked body", post(b"0\r\n\r\n\0\0\0", CHUNKED), [200]),
    ("rubbish behind a sized body", post(b"abc\0\0\r\n\r\n", b"Content-Length: 3"), [200, 400]),
    ("no version", b"GET /\r\n\r\n" + NEXT, [400]),
    ("later version", b"GET / HTTP/2.0\r\n\r\n" + NEXT, [400]),
    ("small letters", b"get / http/1.1\r\n\r\n" + NEXT, [400]),
    ("unknown method", b"STEAL / HTTP/1.1\r\n\r\n" + NEXT, [400]),
    ("a tunnel", b"CONNECT h:25 HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("a tunnel to a path", b"CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("two blanks before the path", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("blank behind the version", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n" + NEXT, [400]),
    ("a body that looks like a request", post(NEXT, b"Content-Length: %d" % len(NEXT), CLOSE), [200]),
    (
        "an upgrade with a body",
        post(NEXT, b"Connection: upgrade, close", b"Upgrade: h2c", b"Content-Length: %d" % len(NEXT)),
        [200],
    ),
]


@pytest.mark.parametrize("sent, statuses", [row[1:] for row in SMUGGLING], ids=[row[0] for row in SMUGGLING])
def test_no_second_request_comes_out_of_one(uv_front: Front, sent: bytes, statuses: list[int]) -> None:
    """What could be read in two ways is refused, and the bytes behind it never become a request."""
    uv_front.app.seen.clear()
    assert [answer.status for answer in uv_front.talk(sent)] == statuses
    assert "/smuggled" not in uv_front.app.seen


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 90), rubbish=st.binary(max_size=4), removed=st.integers(0, 3))
def test_no_damage_to_a_request_hangs_or_breaks_the_server(
    uv_front: Front, place: int, rubbish: bytes, removed: int
) -> None:
    """Whatever bytes are put into or taken out of a request, the server closes without an error of its own."""
    request = post(b"abc", b"Content-Length: 3", CLOSE)
    with uv_front.connect() as connection:
        connection.sendall(request[:place] + rubbish + request[place + removed :])
        connection.shutdown(socket.SHUT_WR)
        assert {answer.status for answer in answers(read_to_end(connection))} <= {200, 400, 413}


TOO_LARGE = [
    ("long line", get(b"/" + b"a" * 70_000), 414),
    ("long line, unfinished", b"GET /" + b"a" * 70_000, 414),
    ("line that grows when encoded", get(b"/" + b"\xe9" * 30_000), 414),
    ("many headers", get(b"/", *[b"X: y"] * 20), 431),
    ("long header", get(b"/", b"X: " + b"y" * 70_000), 431),
    ("long header, unfinished", b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000, 431),
    ("declared body", post(b"", b"Content-Length: 1001"), 413),
    ("sent body", post(b"a" * 1_001, b"Content-Length: 1001"), 413),
    ("body that waits to be asked for", post(b"", b"Content-Length: 1001", b"Expect: 100-continue"), 413),
    ("chunked body", post(b"3e9\r\n" + b"a" * 1_001, CHUNKED), 413),
    ("endless chunk extension", post(b"1;" + b"x" * 1_001, CHUNKED), 413),
    ("endless trailers", post(b"0\r\nX: " + b"y" * 1_001, CHUNKED), 413),
]


@pytest.mark.parametrize("sent, status", [row[1:] for row in TOO_LARGE], ids=[row[0] for row in TOO_LARGE])
def test_what_is_too_large_is_refused_in_plain_words(uv_front: Front, sent: bytes, status: int) -> None:
    """Each cap has its own status, a short text, and ends the connection without waiting for the rest."""
    (answer,) = uv_front.talk(sent)
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.body) < 100


def test_what_is_just_small_enough_is_served(uv_front: Front) -> None:
    """Requests at the caps pass: nothing is lost by an off-by-one."""
    assert uv_front.talk(get(b"/" + b"a" * 65_000, CLOSE))[0].status == 200
    assert uv_front.talk(get(b"/", *[b"X: y"] * 18, CLOSE))[0].status == 200
    assert uv_front.talk(post(b"a" * 1_000, b"Content-Length: 1000", CLOSE))[0].status == 200


def test_a_refused_upload_reads_its_refusal(open_front: OpenFront) -> None:
    """A client busy sending far too much still gets the 413, not a reset."""
    front = open_front(body_bytes_max=1_000)
    with front.connect() as connection:
        connection.sendall(post(b"a" * 5_000_000, b"Content-Length: 5000000"))
        (answer,) = answers(read_to_end(connection))
    assert answer.status == 413


def test_pages_take_larger_bodies(open_front: OpenFront) -> None:
    """A file for a page may be larger than any other body, up to a limit of its own; its size has to be declared."""
    front = open_front(body_bytes_max=1_000, upload_bytes_max=2_000)
    for target, size, status in ((b"/panel/x", 2_000, 200), (b"/panel/x", 2_001, 413), (b"/panels", 1_001, 413)):
        with front.connect() as connection:
            connection.sendall(post(b"a" * size, b"Content-Length: %d" % size, CLOSE, target=target))
            [answer] = answers(read_to_end(connection))
        assert (target, size, answer.status) == (target, size, status)
    with front.connect() as connection:
        connection.sendall(post(b"3e9\r\n" + b"a" * 1_001, CHUNKED, target=b"/panel/x"))
        [answer] = answers(read_to_end(connection))
    assert answer.status == 413


SLOW = [
    ("head", b"GET / HT", [408]),
    ("headers", b"GET / HTTP/1.1\r\nHost:", [408]),
    ("second head", get(b"/") + b"GET", [200, 408]),
    ("body", post(b"ab", b"Content-Length: 3"), [408]),
    ("chunked body", post(b"2\r\na", CHUNKED), [408]),
    ("nothing at all", b"", []),
    ("nothing after the first", get(b"/"), [200]),
    ("only line ends", b"\r\n\r\n", []),
]


@pytest.mark.parametrize("sent, statuses", [row[1:] for row in SLOW], ids=[row[0] for row in SLOW])
def test_a_client_that_stops_is_closed(open_front: OpenFront, sent: bytes, statuses: list[int]) -> None:
    """Half a request gets 408, an idle connection nothing; both are closed in their time."""
    front = open_front(header_s=0.2, body_s=0.2, idle_s=0.2, linger_s=0.1)
    assert [answer.status for answer in front.talk(sent)] == statuses


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", post(b"", b"Content-Length: 500")], ids=["header", "body"])
def test_trickling_does_not_keep_a_connection(open_front: OpenFront, start: bytes) -> None:
    """A byte now and then buys no time beyond the deadline: the server answers 408 while bytes still come."""
    front = open_front(header_s=0.3, body_s=0.3, linger_s=0.1)
    with front.connect() as connection:
        connection.sendall(start)
        connection.settimeout(0.02)
        received = None
        for _ in range(400):
            try:
                received = connection.recv(65_536)
                break
            except TimeoutError:
                connection.sendall(b"a")
    assert received is not None
    assert received.startswith(b"HTTP/1.1 408 ")


def test_a_steady_body_may_take_longer_than_one_period(open_front: OpenFront) -> None:
    """Bytes above the least rate buy time, so a long upload on a slow line is not cut."""
    front = open_front(body_s=0.3, body_bytes_per_s_min=100)
    with front.connect() as connection:
        connection.sendall(post(b"", b"Content-Length: 500", CLOSE))
        connection.settimeout(0.05)
        for _ in range(10):  # 0.5 s at 1,000 bytes a second
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.sendall(b"a" * 50)
        connection.settimeout(PATIENCE_S)
        (answer,) = answers(read_to_end(connection))
    assert answer.echo["body"] == "a" * 500


def test_the_application_learns_that_a_body_will_not_come(open_front: OpenFront) -> None:
    """A request cut in its body is told to the application as a disconnect, while the client is still there."""
    front = open_front(body_s=0.2, linger_s=2 * PATIENCE_S)
    with front.connect() as connection:
        connection.sendall(post(b"a", b"Content-Length: 9"))
        assert [answer.status for answer in answers(read_to_end(connection))] == [408]
        assert front.app.disconnected.wait(PATIENCE_S)
    assert front.app.disconnects == ["/"]


def test_a_client_that_does_not_read_its_answer_is_cut(open_front: OpenFront) -> None:
    """An answer that nobody fetches holds its connection for one period only."""
    front = open_front(body_s=0.2, idle_s=60)
    with front.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        size = 8_000_000
        connection.sendall(post(b"a" * size, b"Content-Length: %d" % size, CLOSE))
        assert front.app.entered.wait(PATIENCE_S)
        assert front.run(front.emptied()) == 0


def test_the_application_sets_the_pace_of_a_large_body(open_front: OpenFront) -> None:
    """While the application does not read, the socket is not read either, and the client is not blamed."""
    front = open_front(body_s=0.2)
    size = 8_000_000
    with front.connect() as connection:
        connection.sendall(post(b"", b"Content-Length: %d" % size, CLOSE, target=b"/waits"))
        assert front.app.entered.wait(PATIENCE_S)
        connection.settimeout(0.7)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += connection.send(b"a" * 65_536)
        assert sent < size
        connection.settimeout(PATIENCE_S)
        front.app.leave.set()
        connection.sendall(b"a" * (size - sent))
        (answer,) = answers(read_to_end(connection))
    assert len(answer.echo["body"]) == size


def test_too_many_connections_from_one_address_are_turned_away(open_front: OpenFront) -> None:
    """Over the limit the answer is 503 at once; a place given back can be taken again."""
    front = open_front(connections_per_address_max=2)
    with front.connect() as first, front.connect() as second:
        for connection in (first, second):
            connection.sendall(get(b"/"))
            assert connection.recv(12) == b"HTTP/1.1 200"
        with front.connect() as third:
            assert [answer.status for answer in answers(read_to_end(third))] == [503]
        first.sendall(get(b"/", CLOSE))
        read_to_end(first)
        assert front.talk(get(b"/", CLOSE))[0].status == 200


def test_too_many_connections_in_all_are_turned_away(open_front: OpenFront) -> None:
    """The limit over all addresses holds as well."""
    front = open_front(connections_max=1)
    with front.connect() as first:
        first.sendall(get(b"/"))
        assert first.recv(12) == b"HTTP/1.1 200"
        with front.connect() as second:
            assert [answer.status for answer in answers(read_to_end(second))] == [503]


def test_http_1_0_closes_unless_asked_to_stay(open_front: OpenFront) -> None:
    """HTTP/1.0 is answered unchunked and closed; with keep-alive it is told that it may go on."""
    front = open_front()
    (closed,) = front.talk(get(b"/", version=b"1.0"))
    assert (closed.echo["version"], closed.headers["connection"]) == ("1.0", "close")
    assert "transfer-encoding" not in closed.headers
    kept, last = front.talk(get(b"/", b"Connection: keep-alive", version=b"1.0") + get(b"/", version=b"1.0"))
    assert (kept.headers["connection"], last.headers["connection"]) == ("keep-alive", "close")


def test_expect_is_answered_before_the_body_is_sent(open_front: OpenFront) -> None:
    """`Expect: 100-continue` gets its 100 (smsend's C# sample), and then the body is read."""
    front = open_front()
    with front.connect() as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            connection.sendall(post(b"", b"Content-Length: 5", b"Expect: 100-Continue"))
            assert read_answer(stream).status == 100
            connection.sendall(b"hello")
            assert read_answer(stream).echo["body"] == "hello"


def test_an_answer_before_the_expected_body_ends_the_connection(open_front: OpenFront) -> None:
    """Answered without asking for the body, nobody knows whether it follows: the next bytes must not be guessed at."""
    front = open_front()
    found = front.talk(post(b"", b"Content-Length: 5", b"Expect: 100-continue", target=b"/hasty"))
    assert [answer.status for answer in found] == [200]


def test_an_early_answer_lets_the_body_pass(open_front: OpenFront) -> None:
    """A body that comes after its answer is dropped and the next request is served."""
    front = open_front()
    with front.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(post(b"", b"Content-Length: 21", target=b"/hasty"))
        assert read_answer(stream).echo["raw_path"] == "/hasty"
        connection.sendall(b"GET /no HTTP/1.1\r\n\r\nx" + get(b"/next one"))
        assert read_answer(stream).echo["raw_path"] == "/next%20one"
    assert front.app.seen == ["/hasty", "/next%20one"]


ORDINARY = [
    ("perl", get(b"/", b"TE: deflate,gzip;q=0.3", b"Connection: TE, close"), ["TE", "Connection"]),
    (
        "websocket",
        get(b"/", b"Connection: close, Upgrade", b"UPGRADE: websocket", b"Sec-WebSocket-Version: 13"),
        ["Sec-WebSocket-Version"],
    ),
    ("browser", get(b"/", b"Upgrade-Insecure-Requests: 1", CLOSE), ["Upgrade-Insecure-Requests"]),
    ("smsend", get(b"/", b"User_key: 1", b"Session_key: 2", CLOSE), ["User_key", "Session_key"]),
]


@pytest.mark.parametrize("sent, names", [row[1:] for row in ORDINARY], ids=[row[0] for row in ORDINARY])
def test_unusual_headers_are_ordinary_requests(uv_front: Front, sent: bytes, names: list[str]) -> None:
    """Clients that offer more than HTTP/1.1 are served as if they had not, and odd names are kept."""
    (answer,) = uv_front.talk(sent)
    kept = {name for name, _ in answer.echo["headers"]}
    assert {name.lower() for name in names} <= kept
    assert "upgrade" not in kept


def test_a_client_that_half_closes_gets_its_answer(open_front: OpenFront) -> None:
    """Closing the sending half after asking is no reason to lose the answer."""
    front = open_front()
    with front.connect() as connection:
        connection.sendall(get(b"/waits"))
        assert front.app.entered.wait(PATIENCE_S)
        connection.shutdown(socket.SHUT_WR)
        front.app.leave.set()
        assert [answer.status for answer in answers(read_to_end(connection))] == [200]


def test_answers_carry_no_header_of_the_server(uv_front: Front) -> None:
    """Only what the application sends goes out: no server name, no date."""
    (answer,) = uv_front.talk(get(b"/", CLOSE))
    assert sorted(answer.headers) == ["connection", "content-length", "content-type"]


def test_a_broken_application_answers_500_and_the_log_tells_nothing_of_the_request(
    open_front: OpenFront, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the place and type of the failure; neither the target nor the exception's text appear."""
    caplog.set_level(logging.DEBUG)
    front = open_front()
    (answer,) = front.talk(get(b"/fails?msg=secret"))
    front.talk(b"secret / HTTP/1.1\r\n\r\n")
    front.talk(get(b"/ok?secret", b"X: secret", CLOSE))
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert "RuntimeError at " in caplog.text
    assert "refused with 400" in caplog.text
    assert "secret" not in caplog.text
    assert "canary" not in caplog.text


def test_a_tls_hello_on_the_plain_port_is_upgraded(open_front: OpenFront, certificate: tuple[Path, Path]) -> None:
    """One port speaks both: TLS to those who begin with it, dirty lines and keep-alive included, plain to the rest."""
    front = open_front(server_context(*certificate))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    with trust.wrap_socket(front.connect(), server_hostname="127.0.0.1") as connection:
        with connection.makefile("rb") as stream:
            for _ in range(2):
                connection.sendall(post(b"x" * 100_000, b"Content-Length: 100000", target=b"/a b"))
                echo = read_answer(stream).echo
                assert (echo["scheme"], echo["raw_path"], len(echo["body"])) == ("https", "/a%20b", 100_000)
        connection.sendall(get(b"/", CLOSE))
        assert answers(read_to_end(connection))[0].status == 200
    assert front.talk(get(b"/", CLOSE))[0].echo["scheme"] == "http"


def test_a_tls_hello_in_pieces_is_upgraded(open_front: OpenFront, certificate: tuple[Path, Path]) -> None:
    """The handshake may arrive byte by byte."""
    front = open_front(server_context(*certificate))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    session = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with front.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                for octet in outgoing.read():
                    connection.sendall(bytes([octet]))
                incoming.write(connection.recv(65_536))
        session.write(get(b"/", CLOSE))
        connection.sendall(outgoing.read())
        incoming.write(connection.recv(65_536))
        while True:
            try:
                assert session.read(12) == b"HTTP/1.1 200"
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65_536))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_speaks_tls_on_the_plain_port(open_front: OpenFront, certificate: tuple[Path, Path]) -> None:
    """Somebody else's TLS client is served, too."""
    front = open_front(server_context(*certificate))
    url = f"https://127.0.0.1:{front.server.port}/sms?a=1"
    done = subprocess.run(["curl", "-sk", "--max-time", "10", url, url], capture_output=True, check=True)
    assert done.stdout.count(b'"scheme": "https"') == 2


def test_a_tls_hello_without_certificate_is_closed(open_front: OpenFront) -> None:
    """Without a certificate the connection just ends; no plain text is thrown at a TLS client."""
    assert open_front().talk(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == []


def test_a_failed_or_silent_handshake_gives_its_place_back(
    open_front: OpenFront, certificate: tuple[Path, Path]
) -> None:
    """Rubbish and silence in a handshake are closed in their time and are not counted as connections afterwards."""
    front = open_front(server_context(*certificate), tls_handshake_s=0.2, connections_per_address_max=1)
    for sent in (b"\x16\x03\x01\x02\x00\x01", b"\x16" + b"rubbish" * 50):
        with front.connect() as connection:
            connection.sendall(sent)
            assert not read_to_end(connection).startswith(b"HTTP")
    assert front.talk(get(b"/", CLOSE))[0].status == 200


def test_stopping_lets_requests_in_flight_finish(open_front: OpenFront) -> None:
    """Stop refuses new connections, ends idle ones soon, and waits for answers under way."""
    front = open_front()
    port = front.server.port
    with front.connect() as idle, front.connect() as busy:
        idle.sendall(get(b"/"))
        assert idle.recv(12) == b"HTTP/1.1 200"
        front.app.entered.clear()
        busy.sendall(get(b"/waits"))
        assert front.app.entered.wait(PATIENCE_S)
        stopping = asyncio.run_coroutine_threadsafe(front.server.stop(timeout_s=PATIENCE_S), front.loop)
        read_to_end(idle)
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        assert not stopping.done()
        front.app.leave.set()
        (answer,) = answers(read_to_end(busy))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        stopping.result(PATIENCE_S)
    assert front.server.connections_count == 0


def test_stopping_answers_what_was_just_being_asked(open_front: OpenFront) -> None:
    """A request on a kept connection that crosses with a stop is answered, as the last one there."""
    front = open_front()
    with front.connect() as kept, front.connect() as other:
        for connection in (kept, other):
            connection.sendall(get(b"/"))
            assert connection.recv(12) == b"HTTP/1.1 200"
        stopping = asyncio.run_coroutine_threadsafe(front.server.stop(timeout_s=PATIENCE_S), front.loop)
        while front.run(is_accepting(front.server)):
            pass
        kept.sendall(get(b"/"))
        last = answers(b"HTTP/1.1 200" + read_to_end(kept))[-1]
        assert (last.status, last.headers["connection"]) == (200, "close")
        read_to_end(other)
        stopping.result(PATIENCE_S)


async def is_accepting(server: HttpServer) -> bool:
    return bool(server.addresses)


def test_stopping_cuts_what_does_not_finish(open_front: OpenFront) -> None:
    """After its time, stop ends what is still open."""
    front = open_front()
    with front.connect() as stuck:
        stuck.sendall(post(b"a", b"Content-Length: 9"))
        assert front.app.entered.wait(PATIENCE_S)
        front.run(front.server.stop(timeout_s=0.1))
        assert all(answer.status == 500 for answer in answers(read_to_end(stuck)))
    assert front.server.connections_count == 0


def test_several_sockets_are_served(open_front: OpenFront) -> None:
    """One server answers on every socket it was given, and names their ports."""
    front = open_front()
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in bound]
    server = HttpServer(front.app, sockets=bound)
    front.run(server.start())
    assert [port for _, port in server.addresses] == ports
    for port in ports:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        client.request("GET", "/")
        assert client.getresponse().status == 200
        client.close()
    front.run(server.stop())


@given(target=st.binary(min_size=1, max_size=60).filter(lambda target: not set(target) & {0, 10, 13}))
def test_mending_leaves_one_legal_line(target: bytes) -> None:
    """A mended line holds two blanks and no byte outside 0x21 to 0x7E, and decodes to what was sent."""
    head = mend_head(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n", Limits())
    line, rest = head.split(b"\r\n", 1)
    method, mended, version = line.split(b" ")
    assert (method, version, rest) == (b"GET", b"HTTP/1.1", b"Host: h\r\n\r\n")
    assert all(0x21 <= octet <= 0x7E for octet in mended)
    if b"%" not in target:
        assert bytes.fromhex("".join(f"{octet:02x}" for octet in target)) == unquote(mended)


def unquote(quoted: bytes) -> bytes:
    first, *pieces = quoted.split(b"%")
    return first + b"".join(bytes.fromhex(piece[:2].decode()) + piece[2:] for piece in pieces)


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"])
def test_mending_refuses_what_ends_lines_elsewhere(octet: bytes) -> None:
    """CR, LF and NUL inside the line are refused, never encoded."""
    with pytest.raises(Refused, match="Bad Request"):
        mend_head(b"GET /a" + octet + b"b HTTP/1.1\r\n\r\n", Limits())
