"""Processes that take HTTP connections for one engine, so that sockets, TLS and parsing have processors of their own.

A front knows the paths and sizes of the dialects and no more: it hands each request to the engine whole, and writes
what comes back. Both speak over a socket pair, in frames of a length and a MessagePack list: as many requests or
answers as came up in one turn of the loop. A front remembers nothing that anybody would miss. One that ends is
replaced, and one whose engine ends, ends: nothing was answered that the engine did not say.
"""

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterable
from struct import Struct as Layout
from typing import Any, NoReturn, cast
from urllib.parse import unquote

import msgspec
import structlog
from msgspec import Struct

from chappe.dialects.base import Dialect, HttpRequest, HttpResponse
from chappe.eagerly import run_eagerly
from chappe.listeners.http import HttpListener, Place
from chappe.listeners.server import BACKLOG

log = structlog.get_logger()

MODULE = "chappe.front"
LENGTH = Layout(">I")
FRAME_MAX = 1 << 30  # octets; a request has ten million at most, but many may come at once
RESTART_S = 1.0  # how long after a front ended another takes its place


class Asked(Struct, frozen=True, array_like=True, gc=False):
    """A request that a front heard, and from where."""

    number: int
    network: str
    request: HttpRequest
    is_secure: bool = False  # it came over TLS


class Answered(Struct, frozen=True, array_like=True, gc=False):
    """What the engine says to it."""

    number: int
    response: HttpResponse


class Link(asyncio.Protocol):
    """One end of the way between a front and its engine. `heard` is what comes from the other end."""

    def __init__(self, heard: type[Struct]) -> None:
        self.ended = asyncio.Event()
        self._decoder = msgspec.msgpack.Decoder(list[heard])  # type: ignore[valid-type]
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport | None = None
        self._partial = bytearray()  # of a frame
        self._said: list[Struct] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def say(self, one: Struct) -> None:
        """Say it at the end of this turn of the loop, with whatever else there is to say."""
        if not self._said:
            asyncio.get_running_loop().call_soon(self._flush)
        self._said.append(one)

    def _flush(self) -> None:
        said, self._said = self._said, []
        if self._transport is not None and not self._transport.is_closing():
            octets = self._encoder.encode(said)
            self._transport.write(LENGTH.pack(len(octets)) + octets)

    def data_received(self, data: bytes) -> None:
        if self._partial:
            self._partial += data
            data = bytes(self._partial) if self._is_whole() else b""
            if not data:
                return
            self._partial.clear()
        place, size = 0, len(data)
        while size - place >= LENGTH.size:
            begin = place + LENGTH.size
            end = begin + LENGTH.unpack_from(data, place)[0]
            if end > size:
                break
            self.hear(self._decoder.decode(data[begin:end]))
            place = end
        self._partial += data[place:]

    def _is_whole(self) -> bool:
        partial = self._partial
        return len(partial) >= LENGTH.size and len(partial) >= LENGTH.size + LENGTH.unpack_from(partial)[0]

    def hear(self, heard: Iterable[Any]) -> None:
        """Take what came in one frame."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def close(self) -> None:
        """Let the other end go."""
        if self._transport is not None:
            self._transport.close()


class EngineEnd(Link):
    """The engine's end: has the listener answer."""

    def __init__(self, listener: HttpListener) -> None:
        super().__init__(Asked)
        self._listener = listener

    def hear(self, heard: Iterable[Asked]) -> None:
        for asked in heard:
            run_eagerly(self._answer(asked))

    async def _answer(self, asked: Asked) -> None:
        request = asked.request
        path = unquote(request.path) if "%" in request.path else request.path
        place = self._listener.find(path)
        response = await self._listener.reply(place, path, request, asked.network, is_secure=asked.is_secure)
        self.say(Answered(asked.number, response))


class FrontEnd(Link):
    """A front's end: asks, and knows who waits."""

    def __init__(self) -> None:
        super().__init__(Answered)
        self._waiting: dict[int, asyncio.Future[HttpResponse]] = {}
        self._numbers_count = 0

    def ask(self, request: HttpRequest, network: str, *, is_secure: bool = False) -> "asyncio.Future[HttpResponse]":
        """The engine's answer. It never comes where the engine is gone; then this process ends, too."""
        self._numbers_count += 1
        waiting: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._waiting[self._numbers_count] = waiting
        self.say(Asked(self._numbers_count, network, request, is_secure))
        return waiting

    def hear(self, heard: Iterable[Answered]) -> None:
        for answered in heard:
            waiting = self._waiting.pop(answered.number)
            if not waiting.done():
                waiting.set_result(answered.response)


async def never(*_: object) -> NoReturn:
    raise AssertionError("a front answers nothing itself")


class FrontListener(HttpListener):
    """A listener that knows paths and sizes, and leaves every answer to the engine."""

    def __init__(self, dialects: Iterable[Dialect], engine: FrontEnd) -> None:
        super().__init__(dialects=dialects, ask=never, pages={}, carrier_callback=never)
        self._engine = engine

    async def serve(self, place: Place, request: HttpRequest, network: str) -> HttpResponse:
        return await self._engine.ask(request, network)

    async def reply(
        self, place: Place | None, path: str, request: HttpRequest, network: str, *, is_secure: bool = False
    ) -> HttpResponse:
        return await self._engine.ask(request, network, is_secure=is_secure)


class Fronts:
    """The front processes of an engine, and the socket that they all accept on. Serves like an `HttpServer`.

    `tls` are the paths of a certificate and its key; empty where there are none."""

    def __init__(
        self, listener: HttpListener, *, count: int, host: str, port: int, tls: tuple[str, str] = ("", "")
    ) -> None:
        self._listener = listener
        self._count = count
        self._address = (host, port)
        self._tls = tls
        self._socket: socket.socket | None = None
        self._processes: set[Process] = set()
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The bound port, known after `start`."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def process_ids(self) -> list[int]:
        return sorted(process.pid for process in self._processes)

    async def start(self) -> None:
        """Bind and begin; who connects before a front is there waits. Raises OSError: the address cannot be bound."""
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        links = [await self._start_one() for _ in range(self._count)]
        self._keepers = [asyncio.create_task(self._keep(*one)) for one in links]

    async def _start_one(self) -> tuple[Process, EngineEnd]:
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        passed = (self._socket.fileno(), theirs.fileno())
        with theirs:
            command = [sys.executable, "-P", "-m", MODULE, *map(str, passed), *self._tls]
            process = await asyncio.create_subprocess_exec(*command, pass_fds=passed, stdin=DEVNULL)
        self._processes.add(process)
        ours.setblocking(False)
        _, link = await asyncio.get_running_loop().create_connection(lambda: EngineEnd(self._listener), sock=ours)
        return process, link

    async def _keep(self, process: Process, link: EngineEnd) -> None:
        """See to it that one front is there."""
        try:
            while True:
                await link.ended.wait()
                await self._reap(process, RESTART_S)
                log.warning("front_ended", pid=process.pid, code=process.returncode)
                await asyncio.sleep(RESTART_S)
                process, link = await self._start_one()
        finally:
            link.close()

    async def _reap(self, process: Process, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        self._processes.discard(process)

    async def stop(self, timeout_s: float) -> None:
        """Stop accepting, answer what is asked, up to `timeout_s` seconds, then cut."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(self._reap(process, timeout_s) for process in list(self._processes)))
        for keeper in self._keepers:
            keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._keepers, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
