"""A whole gateway on real sockets for the tests of the whole, and the customer's side of it: a sink for callbacks.

The gateway runs in the test's own event loop; requests go out over plain connections, byte by byte as they were
written, so that nothing between a test and the gateway repairs anything.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Table, func, select

from chappe.app import App
from chappe.cli.applying import applied
from chappe.dialects.base import HttpRequest, encode_form
from chappe.settings import Settings
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.figures import Figures

PATIENCE_S = 15.0  # for anything that must happen
LOOK_AGAIN_S = 0.01
LOCAL = "127.0.0.0/8"


class Answer(NamedTuple):
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def settings_in(folder: Path, **changes: Any) -> Settings:
    """Settings for a gateway whose data live in a folder, on a port of its own."""
    return Settings(**{"data": str(folder), "http": "127.0.0.1:0", "allowed_networks": LOCAL} | changes)


@contextlib.asynccontextmanager
async def serving(settings: Settings, world: str = "") -> AsyncIterator[App]:
    """A gateway that serves inside; `world` is applied before it starts."""
    if world:
        apply(settings, world)
    app = App(settings)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def apply(settings: Settings, world: str) -> None:
    applied(settings, world, "world")


async def ask(port: int, raw: bytes, source: str = "127.0.0.1") -> Answer:
    """Send these bytes from a loopback address, and read one answer."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            writer.write(raw)
            return await read_answer(reader)
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(head[0].split()[1]), headers, body)


def wire(request: HttpRequest, port: int = 0) -> bytes:
    """A request as its bytes."""
    target = request.path.encode() + (b"?" + request.query if request.query else b"")
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers)
    length = b"content-length: %d\r\n" % len(request.body) if request.body or request.method == "POST" else b""
    first = request.method.encode() + b" " + target + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
    return first + headers + length + b"\r\n" + request.body


def get(path: str, **fields: str) -> bytes:
    return wire(HttpRequest(method="GET", path=path, query=encode_form(fields)))


def post(path: str, **fields: str) -> bytes:
    form = ((b"content-type", b"application/x-www-form-urlencoded"),)
    return wire(HttpRequest(method="POST", path=path, headers=form, body=encode_form(fields)))


class Call(NamedTuple):
    """A callback as the customer's server saw it."""

    method: str
    path: str
    fields: dict[str, str]
    headers: dict[str, str]


class Sink:
    """A customer's web server: keeps what it is called with, and answers with `status`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.status = 200
        self.changed = asyncio.Condition()
        self.gate: asyncio.Event | None = None  # answers wait for it
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/receipt"

    async def __aenter__(self) -> "Sink":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                call = await read_call(reader)
                async with self.changed:
                    self.calls.append(call)
                    self.changed.notify_all()
                if self.gate is not None:
                    await self.gate.wait()
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nOK" % self.status)
                await writer.drain()
        writer.close()

    async def until(self, is_enough: Callable[[list[Call]], bool]) -> list[Call]:
        """Wait until enough calls have come."""
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: is_enough(self.calls))
        return self.calls


async def read_call(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    fields = dict(parse_qsl(parts.query) + parse_qsl(body.decode()))
    return Call(method, parts.path, fields, headers)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, with a limit, until it is so: for what tells nobody that it happened."""
    async with asyncio.timeout(PATIENCE_S):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_S)


def rows(settings: Settings, table: Table) -> list[dict[str, Any]]:
    with Database(settings.database_url).engine.connect() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in found]


def counts(settings: Settings) -> dict[str, int]:
    """How many rows there are of what a submission may leave behind, and what all balances hold."""
    tables = (schema.message, schema.entry, schema.callback, schema.carrier_reference, schema.parked_receipt)
    with Database(settings.database_url).engine.connect() as connection:
        found = {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
        for column in (schema.balance.c.available_micros, schema.balance.c.reserved_micros):
            found[column.name] = int(connection.scalar(select(func.sum(column))) or 0)
    return found


def audit(settings: Settings) -> dict[str, int]:
    """The figures of the books, which must be right."""
    database = Database(settings.database_url)
    with database.reading() as transaction:
        found = Figures(database).audit(transaction)
    database.close_readers()
    assert found.findings == ()
    return found.figures


def states(settings: Settings) -> list[str]:
    return [row["state"] for row in rows(settings, schema.message)]


async def all_are(settings: Settings, *wanted: str) -> None:
    """Wait until every message is in one of these states."""

    async def look() -> bool:
        return set(states(settings)) <= set(wanted)

    await eventually(look)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)
