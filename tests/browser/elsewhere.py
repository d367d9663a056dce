"""Another site that somebody who is logged in to the panel happens to visit: a server of its own, on its own port."""

import asyncio
import contextlib


class Elsewhere:
    """Serves one page, whatever is asked for. Use it with `async with`."""

    def __init__(self, page: str) -> None:
        self.page = page
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Elsewhere":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            body = self.page.encode()
            lines = ["HTTP/1.1 200 OK", "content-type: text/html", f"content-length: {len(body)}", "connection: close"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
        writer.close()
