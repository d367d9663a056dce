"""Serves one ASGI application over HTTP on one or several sockets of an event loop that already runs.

uvicorn's own `Server` takes over signals, writes a log of its own and polls ten times a second; its `Config` and its
protocol need none of that. So the sockets are ours: `start` binds, `stop` closes them, lets requests in flight finish
for a given time, then cuts.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence

from uvicorn._types import ASGI3Application
from uvicorn.config import Config

from chappe.listeners.protocol import Door, Exchange, FrontProtocol, FrontState, Limits

BACKLOG = 2048
CUT_S = 1.0


class HttpServer:
    """An HTTP listener: either on `sockets` (bound, they become ours) or on `host` and `port`, where 0 means any.

    A `door` answers the paths it knows without ASGI. With `ssl_context` the same port also speaks TLS to those who
    begin with it. Lifespan events are not sent.
    """

    def __init__(
        self,
        app: ASGI3Application,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sockets: Sequence[socket.socket] = (),
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        door: Door | None = None,
    ) -> None:
        self._config = Config(
            app,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._host = host
        self._port = port
        self._sockets = sockets
        self._state = FrontState(limits or Limits(), ssl_context, door)
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The bound port of the first socket, known after `start`."""
        return self.addresses[0][1]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Every bound (host, port)."""
        return [bound.getsockname()[:2] for server in self._servers for bound in server.sockets]

    @property
    def connections_count(self) -> int:
        """How many connections are open now."""
        return len(self._state.connections)

    async def start(self) -> None:
        """Bind and accept. Raises OSError when an address cannot be bound; then nothing is left open."""
        loop = asyncio.get_running_loop()
        self._config.load()

        def make_protocol() -> FrontProtocol:
            return FrontProtocol(self._config, self._state, loop)

        try:
            for bound in self._sockets:
                self._servers.append(await loop.create_server(make_protocol, sock=bound, backlog=BACKLOG))
            if not self._sockets:
                self._servers.append(await loop.create_server(make_protocol, self._host, self._port, backlog=BACKLOG))
        except OSError:
            self._stop_accepting()
            raise

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Stop accepting, answer what is asked now or within a moment, up to `timeout_s` seconds, then cut."""
        self._stop_accepting()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(timeout_s):
                await self._finished()
        except TimeoutError:
            await self._cut()

    def _stop_accepting(self) -> None:
        self._state.is_stopping = True
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _finished(self) -> None:
        while self._state.tasks:
            await asyncio.wait(set(self._state.tasks))
        await self._state.is_empty.wait()

    async def _cut(self) -> None:
        for task in self._state.tasks:
            task.cancel()
        for connection in list(self._state.connections):
            cycle = getattr(connection, "cycle", None)
            if isinstance(cycle, Exchange):
                cycle.cancel()
            connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_S):
                await self._finished()
