"""What a measurement needs around the gateway: the load, the customer who is called back, and the system's own figures.

Strategy: everything that is not under test is C and small, so that nearly all of the machine is left to what is. The
gateway is started as a user would start it, in a fresh folder on a real disk; processor time and memory are what the
kernel says about its process, all threads counted.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from chappe.core.model import Secret, Submission
from chappe.dialects.base import Dialect, Upstream, run
from chappe.outbound import SyncOutbound

HERE = Path(__file__).parent
CHAPPE = Path(sys.executable).parent / "chappe"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 600.0
SILENCE_MAX_S = 20.0  # without a callback, before the rest of them counts as missing
POLL_S = 0.005
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")

PASSWORD = "correct horse"
CONFIGURATION = """\
[[carrier]]
name = "sim"
kind = "simulated"
window = 500
throughput = {throughput}

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "bench"
password = "{password}"
currency = "EUR"
balance = "1000000.00"
receipt_url = "http://127.0.0.1:{sink_port}/receipt"
receipt_dialect = "smsfox"
senders = ["TELEGRAPH"]
"""
ORIGINATOR = "TELEGRAPH"
PLAIN_TEXT = "Your code is 123456. It is valid for ten minutes."
TEXT = PLAIN_TEXT.replace(" ", "+")
SUFFIX_FIRST = 10_000
MAGIC_ENDINGS = range(9001, 9010)  # to which the simulated carrier does not simply deliver

REQUEST = (
    b"POST /en/api/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
)


class Load(msgspec.Struct, frozen=True):
    """What load.c tells."""

    answered: int
    good: int
    seconds: float
    start_us: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Callbacks(msgspec.Struct, frozen=True):
    """What sink.c tells."""

    count: int
    last_us: int


def smsfox_request(recipients_count: int) -> bytes:
    """A whole HTTP request; load.c turns each run of # into its number, so no two have a recipient in common."""
    suffixes = (number for number in range(SUFFIX_FIRST, 100_000) if number % 10_000 not in MAGIC_ENDINGS)
    phones = ",".join(f"44########{suffix}" for suffix, _ in zip(suffixes, range(recipients_count), strict=False))
    body = f"login=bench&pwd={PASSWORD.replace(' ', '+')}&phones={phones}&msg={TEXT}".encode()
    return REQUEST + str(len(body)).encode() + b"\r\n\r\n" + body


ACCEPTED = {  # what an answer is, or (with an asterisk) begins with, where the message was accepted
    "smsfox": "01",
    "proovl": "Sent;*",
    "voipcom": '{"send_log":[{"code":200,*',
    "smsend": '{"result":"OK"*',
    "smscentre": '{\n"id": *',
}


def dialect_request(dialect: Dialect, port: int) -> bytes:
    """What our own south half asks, for one recipient, in the form of `smsfox_request`; logged in where it must be."""
    upstream = Upstream(url=f"http://127.0.0.1:{port}", login="bench", password=Secret(PASSWORD))
    submission = Submission(recipients=("44" + "0" * 8 + "0000",), text=PLAIN_TEXT, originator=ORIGINATOR)
    if dialect.south.log_in is not None:
        with contextlib.closing(SyncOutbound()) as outbound:
            logged_in = run(dialect.south.log_in(upstream), lambda request: outbound.send(request, timeout_s=10))
        if not isinstance(logged_in, Upstream):
            raise RuntimeError(f"{dialect.name}: no log-in: {logged_in}")
        upstream = logged_in
    asked = next(dialect.south.submit(upstream, submission))
    target = asked.path.encode() + (b"?" + asked.query if asked.query else b"")
    headers = b"".join(name + b": " + value + b"\r\n" for name, value in asked.headers)
    head = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s" % (asked.method.encode(), target, headers)
    request = head + b"Content-Length: %d\r\n\r\n" % len(asked.body) + asked.body
    return request.replace(b"44" + b"0" * 12, b"44########0000")


class Process:
    """A process under test and what the kernel says about it."""

    def __init__(self, command: list[str | Path], **options: Any) -> None:
        self.popen = subprocess.Popen(command, **options)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def cpu_s(self) -> float:
        """Processor time of all threads so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    @property
    def resident_mb(self) -> float:
        return self._status_mb("VmRSS")

    @property
    def resident_peak_mb(self) -> float:
        return self._status_mb("VmHWM")

    def _status_mb(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class Gateway:
    """chappe on a database of its own. `start` and `stop` may alternate."""

    def __init__(self, folder: Path, configuration: str, database: str) -> None:
        self.port = free_port()
        self._process: Process | None = None
        self._log = folder / "chappe.log"
        self._environment = os.environ | {
            "CHAPPE_DATA": str(folder / "data"),
            "CHAPPE_DATABASE": database,
            "CHAPPE_HTTP": f"127.0.0.1:{self.port}",
            "CHAPPE_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        file = folder / "gateway.toml"
        file.write_text(configuration)
        subprocess.run([CHAPPE, "apply", file], check=True, env=self._environment, stdout=subprocess.DEVNULL)

    @property
    def process(self) -> Process:
        assert self._process is not None, "start comes first"
        return self._process

    def start(self) -> float:
        """Start it; the seconds until it has accepted a first message."""
        started_s = time.monotonic()
        with self._log.open("ab") as log:
            self._process = Process([CHAPPE, "serve"], env=self._environment, stdout=log, stderr=log)
        request = smsfox_request(1).replace(b"#", b"9")
        while not self._accepts(request):
            if self.process.popen.poll() is not None or time.monotonic() > started_s + START_TIMEOUT_S:
                raise RuntimeError(f"chappe does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(POLL_S)
        return time.monotonic() - started_s

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def _accepts(self, request: bytes) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(request)
                return connection.recv(4096).endswith(b"\r\n\r\n01")
        except OSError:
            return False


class Rig:
    """The compiled programs, the sink, and a folder on disk; `open_rig` makes one and clears it away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("load", "sink"):
            subprocess.run(["gcc", "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)
        self._sink = subprocess.Popen([folder / "sink"], stdout=subprocess.PIPE)
        self._sink_port = read_port(self._sink)

    def close(self) -> None:
        self._sink.kill()
        self._sink.wait()

    @contextlib.contextmanager
    def gateway(self, *, throughput: float = 0.0, database: str = "") -> Iterator[Gateway]:
        """A gateway that is not started yet; its carrier takes `throughput` messages a second (0 = all)."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            configuration = CONFIGURATION.format(throughput=throughput, password=PASSWORD, sink_port=self._sink_port)
            gateway = Gateway(Path(folder), configuration, database)
            try:
                yield gateway
            finally:
                gateway.stop()

    @contextlib.contextmanager
    def floor(self) -> Iterator[tuple[Process, int]]:
        """The peer of floor.py, and its port."""
        process = Process([sys.executable, HERE / "floor.py"], stdout=subprocess.PIPE)
        try:
            yield process, read_port(process.popen)
        finally:
            process.stop()

    def load(
        self,
        port: int,
        request: bytes,
        *,
        connections: int,
        seconds: int = 60,
        count_max: int | None = None,
        per_s: int | None = None,
        accepted: str = ACCEPTED["smsfox"],
    ) -> Load:
        """Ask for `seconds`, or `count_max` times; closed loop, or open with `per_s` requests a second."""
        command: list[str | Path] = [self._folder / "load", "-a", accepted, "-c", str(connections), "-s", str(seconds)]
        command += ["-n", str(count_max)] if count_max else []
        command += ["-r", str(per_s)] if per_s else []
        finished = subprocess.run(
            [*command, str(port)], input=request, stdout=subprocess.PIPE, check=True, timeout=LOAD_TIMEOUT_S
        )
        return msgspec.json.decode(finished.stdout, type=Load)

    def callbacks(self) -> Callbacks:
        """How many callbacks came so far."""
        with urlopen(f"http://127.0.0.1:{self._sink_port}/count") as answer:
            return msgspec.json.decode(answer.read(), type=Callbacks)

    def await_callbacks(self, count: int) -> Callbacks:
        """Wait until so many callbacks have come since the rig was made, or until they have ceased to come."""
        callbacks, heard_s = self.callbacks(), time.monotonic()
        while callbacks.count < count and time.monotonic() < heard_s + SILENCE_MAX_S:
            time.sleep(POLL_S)
            before, callbacks = callbacks, self.callbacks()
            heard_s = time.monotonic() if callbacks.count > before.count else heard_s
        return callbacks


@contextlib.contextmanager
def open_rig(parent: Path) -> Iterator[Rig]:
    """A rig whose folder lies in `parent`, which must be on a disk: in memory an fsync costs nothing."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", parent], check=True, capture_output=True, text=True).stdout.strip()
    if kind in MEMORY_FILE_SYSTEMS:
        raise SystemExit(f"{parent} is in memory ({kind}); name a folder on a disk with --folder")
    with tempfile.TemporaryDirectory(prefix="chappe-bench-", dir=parent) as folder:
        rig = Rig(Path(folder))
        try:
            yield rig
        finally:
            rig.close()


def read_port(process: "subprocess.Popen[bytes]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
