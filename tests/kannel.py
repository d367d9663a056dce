"""Debian's Kannel as an ESME: a bearerbox that binds, and a smsbox that takes and makes HTTP requests."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from parts import require
from whole import get

BEARERBOX, SMSBOX = Path("/usr/sbin/bearerbox"), Path("/usr/sbin/smsbox")
IS_PRESENT = BEARERBOX.exists() and SMSBOX.exists()
CONFIGURATION = """
group = core
admin-port = {admin}
admin-password = x
smsbox-port = {box}
box-allow-ip = 127.0.0.1
dlr-storage = internal
log-file = "{folder}/bearerbox.log"
log-level = 0

group = smsc
smsc = smpp
smsc-id = chappe
host = 127.0.0.1
port = {port}
transceiver-mode = true
smsc-username = {system_id}
smsc-password = {password}
system-type = ""
interface-version = 34
reconnect-delay = 1
enquire-link-interval = 5
max-pending-submits = {window}
source-addr-autodetect = true
dest-addr-ton = 1
dest-addr-npi = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
log-file = "{folder}/smsbox.log"
log-level = 0

group = sendsms-user
username = t
password = t
concatenation = true
max-messages = 10

group = sms-service
keyword = default
max-messages = 0
get-url = "{inbound_url}?from=%p&to=%P&text=%a&charset=%C&coding=%c"
"""
START_S = 20.0


class Kannel(NamedTuple):
    """A running Kannel: the port that takes messages."""

    port: int

    def sendsms(self, to: str, text: str, **more: str) -> bytes:
        """The request that sends a message; `more` are Kannel's own fields (dlr-mask as dlr_mask)."""
        fields = {name.replace("_", "-"): value for name, value in more.items()}
        return get("/cgi-bin/sendsms", username="t", password="t", to=to, text=text, charset="UTF-8", **fields)


@contextlib.asynccontextmanager
async def kannel(
    folder: Path,
    port: int,
    *,
    system_id: str = "alice",
    password: str = "secret8",
    window: int = 10,
    inbound_url: str = "http://127.0.0.1:9/",
) -> AsyncIterator[Kannel]:
    """Kannel, bound to the message centre at a port of this machine."""
    require("Kannel", IS_PRESENT)
    admin, box, http = free_ports(3)
    configuration = folder / "kannel.conf"
    configuration.write_text(
        CONFIGURATION.format(
            admin=admin,
            box=box,
            http=http,
            port=port,
            folder=folder,
            system_id=system_id,
            password=password,
            window=window,
            inbound_url=inbound_url,
        )
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(running(BEARERBOX, configuration, folder, box))
        await stack.enter_async_context(running(SMSBOX, configuration, folder, http))
        yield Kannel(http)


@contextlib.asynccontextmanager
async def running(program: Path, configuration: Path, folder: Path, port: int) -> AsyncIterator[None]:
    """A program of Kannel's, once it listens."""
    with (folder / f"{program.name}.out").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            program, "-v", "4", configuration, stdout=out, stderr=out, cwd=folder
        )
        try:
            await listening(port)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(START_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def listening(port: int) -> None:
    """Wait until somebody accepts connections."""
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in bound]
