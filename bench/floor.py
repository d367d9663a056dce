"""The floor of the front: chappe's HTTP server and its reading of an SMSFox form, and nothing behind them.

Answers 01 to everything and keeps nothing. What chappe costs beyond this is the gateway. Prints its port.
"""

import asyncio
from typing import Any

import uvloop

from chappe.dialects.base import HttpRequest
from chappe.dialects.smsfox import PROCESSED, read_fields
from chappe.listeners.server import HttpServer

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", str(len(PROCESSED)).encode())]


async def accept(scope: Any, receive: Any, send: Any) -> None:
    body, is_whole = b"", False
    while not is_whole:
        event = await receive()
        body += event.get("body", b"")
        is_whole = not event.get("more_body", False)
    request = HttpRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"],
        headers=tuple(scope["headers"]),
        body=body,
    )
    read_fields(request)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": PROCESSED.encode()})


async def serve() -> None:
    server = HttpServer(accept)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
