"""The floor of the front: chappe's HTTP server and its reading of an SMSFox form, and nothing behind them.

Answers 01 to everything and keeps nothing. What chappe costs beyond this is the gateway. Prints its port.
"""

import asyncio
from typing import Any

import uvloop

from chappe.dialects.base import HttpRequest, plain
from chappe.dialects.smsfox import BODY_MAX, PROCESSED, read_fields
from chappe.listeners.http import read_body, respond
from chappe.listeners.server import HttpServer


async def accept(scope: Any, receive: Any, send: Any) -> None:
    request = HttpRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"],
        headers=tuple(scope["headers"]),
        body=await read_body(scope, receive, BODY_MAX) or b"",
    )
    read_fields(request)
    await respond(send, plain(PROCESSED))


async def serve() -> None:
    server = HttpServer(accept)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
