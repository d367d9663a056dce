"""A front process: takes HTTP connections for the engine that started it (see `listeners/fronts.py`).

Its arguments are the descriptors of the listening socket and of the way to the engine, and the paths of a certificate
and its key, empty where there are none.
"""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import uvloop

from chappe.dialects.known import known_dialects
from chappe.listeners.fronts import FrontEnd, FrontListener
from chappe.listeners.server import HttpServer
from chappe.listeners.tls import server_context
from chappe.process import tune_interpreter

STOP_S = 3_600.0  # to answer what is asked; whoever tells us to stop knows better


async def serve(listening: int, way: int, certificate: str, key: str) -> None:
    """Until the engine is gone, or tells us to stop."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    _, engine = await loop.create_connection(FrontEnd, sock=socket.socket(fileno=way))
    listener = FrontListener(known_dialects(), engine)
    context = server_context(Path(certificate), Path(key)) if certificate else None
    server = HttpServer(listener, sockets=[socket.socket(fileno=listening)], ssl_context=context, door=listener)
    await server.start()
    ends = [asyncio.create_task(event.wait()) for event in (told, engine.ended)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not engine.ended.is_set():
        stopping = asyncio.create_task(server.stop(STOP_S))
        await asyncio.wait([stopping, ends[1]], return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    tune_interpreter()
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]))
