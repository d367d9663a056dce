"""What a measurement needs around the gateway: the load, the carrier, and the customer who is called back.

Strategy: everything that is not under test is C and small, so that nearly all of the machine is left to what is. The
gateway is started as a user would start it, in a fresh folder on a real disk.
"""

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import msgspec

from chappe.core.model import Secret, Submission
from chappe.dialects.base import Dialect, Upstream, run
from chappe.outbound import SyncOutbound
from processes import Processes

HERE = Path(__file__).parent
CHAPPE = Path(sys.executable).parent / "chappe"
START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 600.0
SILENCE_MAX_S = 20.0  # without another message, before the rest of them counts as missing
PORTS = range(20_000, 32_768)  # below those of outgoing connections
POLL_S = 0.005
COUNT_POLL_S = 0.05  # rarely: asking takes processor time from what is measured
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")

PASSWORD = "my horse"  # SMPP 3.4 has room for eight octets
ORIGINATOR = "TELEGRAPH"
SIMULATED = """\
[[carrier]]
name = "carrier"
kind = "simulated"
window = 500
throughput = {throughput}
"""
SMPP = """\
[[carrier]]
name = "carrier"
kind = "smpp"
host = "127.0.0.1"
port = {smpp_port}
system_id = "u"
password = "p"
window = {window}
throughput = {throughput}
"""
ROUTE = """
[[route]]
prefix = ""
carriers = ["carrier"]
price = "0.0100"
"""
ACCOUNT = """
[[account]]
name = "{name}"
password = "{password}"
currency = "EUR"
balance = "1000000.00"
senders = ["{originator}"]
"""
CALLED_BACK = """\
receipt_url = "http://127.0.0.1:{http_port}/receipt"
receipt_dialect = "smsfox"
"""
RECIPIENT = "44########0000"
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


class SmppLoad(Load, frozen=True):
    """What esme.c tells."""

    delivered: int
    receipts_twice: int
    receipts_strange: int
    last_receipt_us: int

    @property
    def receipts_odd(self) -> int:
        return self.receipts_twice + self.receipts_strange


class Counts(msgspec.Struct, frozen=True):
    """What carrier.c tells: how many came of each, and when the first and the last did."""

    submitted: int
    submitted_first_us: int
    submitted_last_us: int
    receipts: int
    receipts_answered: int
    receipt_last_us: int
    callbacks: int
    callback_last_us: int


def account(name: str = "bench", *, more: str = "") -> str:
    """An account of the gateway file; `more` are further lines of it."""
    return ACCOUNT.format(name=name, password=PASSWORD, originator=ORIGINATOR) + more


def simulated_configuration(sink: "Carrier", throughput: float = 0.0) -> str:
    """A gateway file whose carrier lies inside the gateway; `sink` is called back."""
    called_back = CALLED_BACK.format(http_port=sink.http_port)
    return SIMULATED.format(throughput=throughput) + ROUTE + account(more=called_back)


def smpp_configuration(carrier: "Carrier", window: int, *accounts: str, throughput: float = 0.0) -> str:
    """A gateway file whose carrier is this one; with one account that it calls back, unless others are given."""
    called_back = account(more=CALLED_BACK.format(http_port=carrier.http_port))
    south = SMPP.format(smpp_port=carrier.smpp_port, window=window, throughput=throughput)
    return south + ROUTE + "".join(accounts or [called_back])


def smsfox_request(recipients_count: int, login: str = "bench") -> bytes:
    """A whole HTTP request; load.c turns each run of # into its number, so no two have a recipient in common."""
    suffixes = (number for number in range(SUFFIX_FIRST, 100_000) if number % 10_000 not in MAGIC_ENDINGS)
    phones = ",".join(f"44########{suffix}" for suffix, _ in zip(suffixes, range(recipients_count), strict=False))
    body = f"login={login}&pwd={PASSWORD.replace(' ', '+')}&phones={phones}&msg={TEXT}".encode()
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


class NotStarted(Exception):
    """A gateway does not start."""


class Gateway:
    """chappe on a database of its own. `start` and `stop` may alternate."""

    accepted = ACCEPTED["smsfox"]
    submits_at_start = 1

    def __init__(self, folder: Path, configuration: str, database: str = "", source: Path | None = None) -> None:
        """`source` is a folder with another version of the package; without it, it is the installed one."""
        self.port, self.smpp_port = free_port(), free_port()
        self.processes = Processes()
        self.request = smsfox_request(1)
        self._log = folder / "chappe.log"
        self._environment = os.environ | {
            "CHAPPE_DATA": str(folder / "data"),
            "CHAPPE_DATABASE": database,
            "CHAPPE_HTTP": f"127.0.0.1:{self.port}",
            "CHAPPE_SMPP": f"127.0.0.1:{self.smpp_port}",
            "CHAPPE_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        if source is not None:
            self._environment["PYTHONPATH"] = str(source)
        file = folder / "gateway.toml"
        file.write_text(configuration)
        applied = subprocess.run([CHAPPE, "apply", file], env=self._environment, capture_output=True, text=True)
        if applied.returncode:
            raise NotStarted(applied.stderr)

    def start(self) -> float:
        """Start it; the seconds until it has accepted a first message."""
        started_s = time.monotonic()
        with self._log.open("ab") as log:
            self.processes.start([CHAPPE, "serve"], env=self._environment, stdout=log, stderr=log)
        while not self._accepts(self.request.replace(b"#", b"9")):
            if self.processes.have_ended or time.monotonic() > started_s + START_TIMEOUT_S:
                raise NotStarted(f"chappe does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(POLL_S)
        return time.monotonic() - started_s

    def stop(self) -> None:
        self.processes.stop()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def _accepts(self, request: bytes) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(request)
                return connection.recv(4096).endswith(b"\r\n\r\n01")
        except OSError:
            return False


class Carrier:
    """carrier.c: a neutral carrier that binds may be made to, and the customer who is called back."""

    def __init__(self, program: Path, *, delay_ms: int = 0, watched: str = "", body: str = "OK") -> None:
        """It answers `delay_ms` late, notes when messages to recipients arrive that begin with `watched`, and answers
        callbacks with `body`."""
        command: list[str | Path] = [program, "-d", str(delay_ms), "-b", body, *(["-w", watched] if watched else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.smpp_port, self.http_port = map(int, self._process.stdout.readline().split())

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def counts(self) -> Counts:
        """Since it was started."""
        return msgspec.json.decode(self._tell("count"), type=Counts)

    def arrivals(self) -> dict[str, int]:
        """When messages to the watched recipients arrived, in microseconds of the monotonic clock."""
        return msgspec.json.decode(self._tell("arrivals"), type=dict[str, int])

    def await_callbacks(self, count: int) -> Counts:
        """Wait until so many callbacks have come since it was started, or until they have ceased to come."""
        return self._await(count, lambda counts: counts.callbacks)

    def await_submitted(self, count: int) -> Counts:
        """The same with messages."""
        return self._await(count, lambda counts: counts.submitted)

    def _await(self, count: int, seen: Callable[[Counts], int]) -> Counts:
        counts, heard_s = self.counts(), time.monotonic()
        while seen(counts) < count and time.monotonic() < heard_s + SILENCE_MAX_S:
            time.sleep(COUNT_POLL_S)
            before, counts = counts, self.counts()
            heard_s = time.monotonic() if seen(counts) > seen(before) else heard_s
        return counts

    def _tell(self, what: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{self.http_port}/{what}") as answer:
            return bytes(answer.read())


class Rig:
    """The compiled programs, a customer who is called back, and a folder on disk; `open_rig` makes it and cleans up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        compile_programs(folder)
        self.sink = Carrier(folder / "carrier")

    def close(self) -> None:
        self.sink.stop()

    @contextlib.contextmanager
    def carrier(self, *, delay_ms: int = 0, watched: str = "", body: str = "OK") -> Iterator[Carrier]:
        carrier = Carrier(self._folder / "carrier", delay_ms=delay_ms, watched=watched, body=body)
        try:
            yield carrier
        finally:
            carrier.stop()

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder that goes away, on the disk."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)

    @contextlib.contextmanager
    def gateway(
        self, configuration: str = "", *, throughput: float = 0.0, database: str = "", source: Path | None = None
    ) -> Iterator[Gateway]:
        """A gateway that is not started yet; without a configuration it has a carrier inside that takes `throughput`
        messages a second (0 = all)."""
        with self.folder() as folder:
            gateway = Gateway(folder, configuration or simulated_configuration(self.sink, throughput), database, source)
            try:
                yield gateway
            finally:
                gateway.stop()

    @contextlib.contextmanager
    def floor(self) -> Iterator[tuple[Processes, int]]:
        """The peer of floor.py, and its port."""
        processes = Processes()
        try:
            started = processes.start([sys.executable, HERE / "floor.py"], stdout=subprocess.PIPE)
            assert started.stdout is not None
            yield processes, int(started.stdout.readline())
        finally:
            processes.stop()

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
        return msgspec.json.decode(output_of([*command, str(port)], request), type=Load)

    def smpp_load(
        self,
        port: int,
        *,
        binds: int,
        window: int,
        seconds: int = 60,
        count_max: int | None = None,
        per_s: int | None = None,
        recipient: str = RECIPIENT,
    ) -> SmppLoad:
        """The same over SMPP, with a receipt for each message; returns after the last of them."""
        command: list[str | Path] = [self._folder / "esme", "-b", str(binds), "-w", str(window), "-s", str(seconds)]
        command += ["-n", str(count_max)] if count_max else []
        command += ["-r", str(per_s)] if per_s else []
        command += ["-t", recipient, "bench", PASSWORD, str(port)]
        return msgspec.json.decode(output_of(command), type=SmppLoad)


def compile_programs(folder: Path) -> None:
    for name in ("load", "carrier", "esme"):
        subprocess.run(["gcc", "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)


def output_of(command: list[str | Path], given: bytes = b"") -> bytes:
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, timeout=LOAD_TIMEOUT_S).stdout


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


def free_port() -> int:
    """A port on which nobody listens, and which the system gives to no outgoing connection either."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.choice(PORTS))) as listener:
            port: int = listener.getsockname()[1]
            return port
