"""The gateway under test: the real command in a process of its own, that can be killed and started at any time."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

LOGIN, PASSWORD, SMPP_PASSWORD = "alice", "correct horse", "ladybird"
CARRIER_LOGIN, CARRIER_PASSWORD = "gateway", "battery staple"
CARRIER_SMPP_PASSWORD = "battery"
HOLDER, RESENDER = "holder", "resender"  # carriers by what they do with doubtful messages
BOUND_HOLDER, BOUND_RESENDER = "bound holder", "bound resender"  # the same over SMPP
WEB_CARRIERS, BOUND_CARRIERS = (HOLDER, RESENDER), (BOUND_HOLDER, BOUND_RESENDER)
PREFIXES = {HOLDER: "447", RESENDER: "491", BOUND_HOLDER: "336", BOUND_RESENDER: "351"}
WINDOW = 64
BINDS = 2  # to each carrier over SMPP, with a part of the window each
CARRIER_TIMEOUT_S = 60  # so that a busy machine makes no doubts of its own
BALANCE = 100_000
PRICE_MICROS = 10_000
START_MAX_S = 60.0
COMMAND = (sys.executable, "-m", "chappe")

GATEWAY_FILE = f"""
[[carrier]]
name = "{HOLDER}"
kind = "smsfox"
url = "{{carrier}}/en/api/"
login = "{CARRIER_LOGIN}"
password = "{CARRIER_PASSWORD}"
window = {WINDOW}
timeout_s = {CARRIER_TIMEOUT_S}
uncertain = "hold"

[[carrier]]
name = "{RESENDER}"
kind = "proovl"
url = "{{carrier}}"
login = "{CARRIER_LOGIN}"
password = "{CARRIER_PASSWORD}"
window = {WINDOW}
timeout_s = {CARRIER_TIMEOUT_S}
uncertain = "resend"

[[route]]
prefix = "{PREFIXES[HOLDER]}"
carriers = ["{HOLDER}"]
price = "0.0100"

[[route]]
prefix = "{PREFIXES[RESENDER]}"
carriers = ["{RESENDER}"]
price = "0.0100"

{{bound}}
[[account]]
name = "{LOGIN}"
password = "{PASSWORD}"
smpp_password = "{SMPP_PASSWORD}"
{{own_number}}currency = "EUR"
balance = "{BALANCE}.00"
receipt_url = "{{customer}}/receipt"
"""
BOUND_CARRIER = f"""
[[carrier]]
name = "{{name}}"
kind = "smpp"
host = "127.0.0.1"
port = {{port}}
system_id = "{{name}}"
password = "{CARRIER_SMPP_PASSWORD}"
binds = {BINDS}
window = {WINDOW // BINDS}
timeout_s = {CARRIER_TIMEOUT_S}
uncertain = "{{uncertain}}"

[[route]]
prefix = "{{prefix}}"
carriers = ["{{name}}"]
price = "0.0100"
"""
OWN_NUMBER = "447700900900"
POLICIES = {BOUND_HOLDER: "hold", BOUND_RESENDER: "resend"}


class Gateway:
    """`command` is what runs `chappe`; another one may plant a fault. `is_up` tells when `port` accepts requests, and
    `smpp_port` binds, if it `is_bound`: if SMPP is spoken on both sides besides HTTP."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND, *, is_bound: bool = False) -> None:
        self.data = folder / "data"
        self.is_up = asyncio.Event()
        self.port = 0
        self.smpp_port = 0
        self.carriers = WEB_CARRIERS + BOUND_CARRIERS if is_bound else WEB_CARRIERS
        self._folder = folder
        self._command = command
        self._is_bound = is_bound
        self._process: asyncio.subprocess.Process | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHAPPE_")},
            "CHAPPE_ALLOWED_NETWORKS": "127.0.0.0/8",
        }

    @property
    def database(self) -> Path:
        return self.data / "chappe.db"

    async def apply(self, carrier_origin: str, customer_origin: str, centre_port: int) -> dict[str, str]:
        """Configure; the path of the receipts of each carrier over HTTP."""
        file = self._folder / "gateway.toml"
        bound = [
            BOUND_CARRIER.format(name=name, port=centre_port, uncertain=POLICIES[name], prefix=PREFIXES[name])
            for name in self.carriers
            if name in POLICIES
        ]
        file.write_text(
            GATEWAY_FILE.format(
                carrier=carrier_origin,
                customer=customer_origin,
                bound="".join(bound),
                own_number=f'numbers = ["{OWN_NUMBER}"]\nsmpp_receiver = true\n' if bound else "",
            )
        )
        process = await self._run(COMMAND, "apply", str(file))
        assert await process.wait() == 0, self.log
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("SELECT name, settings FROM carrier").fetchall()
        keys = {name: json.loads(settings).get("callback_key") for name, settings in rows}
        return {name: f"/carrier/{keys[name]}" for name in WEB_CARRIERS}

    async def start(self) -> None:
        """Start a process; `wait_until_up` waits for it."""
        doors = ("--http", "127.0.0.1:0", *(("--smpp", "127.0.0.1:0") if self._is_bound else ()))
        self._process = await self._run(self._command, "serve", *doors)

    async def wait_until_up(self) -> None:
        self.port = await self._read_port("accepts requests at http://")
        if self._is_bound:
            self.smpp_port = await self._read_port("and binds at ")
        self.is_up.set()

    async def _read_port(self, words: str) -> int:
        """The next line that it prints says where it listens."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_MAX_S):
            line = (await self._process.stdout.readline()).decode()
        found = re.search(rf"{words}[^:]+:(\d+)", line)
        assert found, f"the gateway did not start: {line!r}\n{self.log}"
        return int(found[1])

    async def kill(self) -> None:
        """`kill -9`, wherever it is just now."""
        assert await self.end(signal.SIGKILL) == -signal.SIGKILL, f"it ended by itself\n{self.log}"

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        assert self._process is not None
        self.is_up.clear()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.communicate()
        code, self._process = self._process.returncode, None
        assert code is not None
        return code

    async def discard(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            await self.end(signal.SIGKILL)

    def copy_database(self, folder: Path) -> Path:
        """The files as the dead process left them, copied so that looking at them changes nothing."""
        folder.mkdir()
        for suffix in ("", "-wal"):
            source = self.database.with_name(self.database.name + suffix)
            if source.exists():
                shutil.copy(source, folder)
        return folder / self.database.name

    @property
    def log(self) -> str:
        """The end of what the processes wrote about themselves."""
        return (self._folder / "log").read_text()[-5_000:]

    async def _run(self, command: Sequence[str], *arguments: str) -> asyncio.subprocess.Process:
        with (self._folder / "log").open("a") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                "--data",
                str(self.data),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
