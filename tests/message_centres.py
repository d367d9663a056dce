"""Message centres for tests of our ESME side: carriers over SMPP that do what a test tells them.

`Centre` speaks with our own codec and session, in the other role, and is told what to say to each request. The one that
is not ours is a program of its own (`twisted_centre.py`).
"""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable

from chappe.clock import SystemClock
from chappe.smpp.connection import Connection, Role, Timers
from chappe.smpp.pdu import (
    BODIES,
    RESPONSE,
    Bind,
    CancelSm,
    DeliverSm,
    Pdu,
    PduError,
    QuerySm,
    Status,
    SubmitSm,
    SubmitSmResponse,
)
from whole import PATIENCE_S

PASSWORD = "secret8c"
RECEIPT = 0x04  # esm_class of a delivery receipt (5.2.12)
Script = Callable[["Centre", Connection, Pdu], None]


def accept(centre: "Centre", connection: Connection, request: Pdu) -> None:
    """Take everything; ids are counted."""
    connection.answer(request, SubmitSmResponse(f"{next(centre.numbers):08X}"))


def nothing(_centre: "Centre", _connection: Connection, _request: Pdu) -> None:
    """Never answer."""


class Centre:
    """What was asked of it is kept; `script` answers what is submitted, queried and cancelled."""

    def __init__(self, script: Script = accept, *, bind_status: int = 0) -> None:
        self.script = script
        self.bind_status = bind_status
        self.numbers = itertools.count(1)
        self.connections: list[Connection] = []  # that stand
        self.made_count = 0
        self.binds: list[Bind] = []
        self.requests: list[tuple[Connection, Pdu]] = []
        self.unreadable: list[PduError] = []
        self.reasons: list[str] = []  # why connections ended
        self.port = 0
        self.server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    @property
    def submitted(self) -> list[SubmitSm]:
        return [request.body for _, request in self.requests if isinstance(request.body, SubmitSm)]

    @property
    def bound(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.state.is_bound]

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Centre"]:
        await self.open(tls)
        try:
            yield self
        finally:
            self.close()
            self.drop()

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; again where it listened before."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._make, "127.0.0.1", self.port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more; connections stay."""
        assert self.server is not None
        self.server.close()

    def drop(self) -> None:
        """Cut every connection."""
        for connection in list(self.connections):
            connection.abort("dropped")

    def deliver(self, body: DeliverSm) -> "asyncio.Future[Pdu]":
        """Send on the first bind that can receive."""
        return next(one for one in self.connections if one.state.can_receive).ask(body)

    def answer(self, index: int, message_id: str = "", status: int = 0) -> None:
        """Answer what was asked as the `index`-th."""
        connection, request = self.requests[index]
        connection.answer(request, SubmitSmResponse(message_id), status)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that happens here has made it so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def _make(self) -> Connection:
        self.made_count += 1
        return Connection(
            role=Role.MESSAGE_CENTRE,
            clock=SystemClock(),
            timers=Timers(enquire_link_s=0, response_s=0),
            hear=self._hear,
            opened=self._opened,
            closed=self._closed,
            unreadable=lambda _connection, error: self.unreadable.append(error),
        )

    def _opened(self, connection: Connection) -> None:
        self.connections.append(connection)
        self._changed.set()

    def _closed(self, connection: Connection, reason: str) -> None:
        self.reasons.append(reason)
        if connection in self.connections:
            self.connections.remove(connection)
        self._changed.set()

    def _hear(self, connection: Connection, request: Pdu) -> None:
        body = request.body
        if isinstance(body, Bind):
            self.binds.append(body)
            status = self.bind_status or (Status.OK if body.password == PASSWORD else Status.INVALID_PASSWORD)
            connection.answer(request, BODIES[body.command_id | RESPONSE](), status)
        elif isinstance(body, SubmitSm | QuerySm | CancelSm):
            self.requests.append((connection, request))
            self.script(self, connection, request)
        self._changed.set()


def receipt(message_id: str, stat: str = "DELIVRD", *, recipient: str = "447700900123") -> DeliverSm:
    """A delivery receipt as appendix B of SMPP 3.4 has it."""
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:{stat} err:000 text:"
    return DeliverSm(
        source_ton=1,
        source_npi=1,
        source=recipient,
        destination="ACME",
        esm_class=RECEIPT,
        short_message=text.encode(),
    )
