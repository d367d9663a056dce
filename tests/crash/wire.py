"""HTTP/1.1 as small as it can be, for both sides of a gateway under test: no retries, no pools, nothing hidden.

Whoever asks gets a whole answer or a `CutError`; whoever serves sees only whole requests. So "answered" means here what
it means to a customer: the last byte of the answer was read.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

HOST = "127.0.0.1"
SIZE_MAX = 65_536
CUTS = (OSError, asyncio.IncompleteReadError)


class CutError(Exception):
    """The connection ended before the answer did, or never began."""


class Request(NamedTuple):
    path: str
    fields: dict[str, str]


Answer = tuple[int, str]
Handle = Callable[[Request], Awaitable[Answer | None]]


class Server:
    """Answers with what `handle` returns; None hangs up without an answer."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._accept, HOST, 0, limit=SIZE_MAX, backlog=1024)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*CUTS), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = parse_qsl((await reader.readexactly(content_length(head))).decode())
                answer = await self._handle(Request(head.split(" ", 2)[1], dict(fields)))
                if answer is None:
                    break
                status, body = answer
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


class Connection:
    """One connection, kept between requests; to be used under `contextlib.closing`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True

    @classmethod
    async def open(cls, port: int) -> "Connection":
        try:
            return cls(*await asyncio.open_connection(HOST, port, limit=SIZE_MAX))
        except OSError:
            raise CutError from None

    async def post(self, path: str, fields: dict[str, str]) -> Answer:
        """Status and body of the answer. Raises CutError."""
        body = urlencode(fields)
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        if self._writer.is_closing():  # a connection the dead process had not taken yet is reset while nobody reads it
            self.close()
            raise CutError
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        try:
            answer_head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            answer = (await self._reader.readexactly(content_length(answer_head))).decode()
        except CUTS:
            self.close()
            raise CutError from None
        if "connection: close" in answer_head.lower():
            self.close()
        return int(answer_head.split(" ", 2)[1]), answer

    def close(self) -> None:
        self.is_open = False
        self._writer.close()


def content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0
