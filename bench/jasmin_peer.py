"""Jasmin as a peer: HTTP or SMPP in, one SMPP bind out, receipts called back or told over the binds.

Only `--jasmin FOLDER` needs it: a virtual environment into which somebody has put Jasmin, on a machine with Debian's
rabbitmq-server and redis-server. All of these are one gateway here, since Jasmin needs them all: RabbitMQ, Redis,
jasmind, and the two daemons that its handbook recommends for receipts.
"""

import contextlib
import os
import socket
import time
from pathlib import Path
from urllib.parse import quote

from processes import Processes
from rig import ORIGINATOR, PASSWORD, RECIPIENT, TEXT, Carrier, free_port

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # behind the script that starts it as another user
AMQP = "lib/python3.*/site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml"  # which its own package forgot
REDIS = "/usr/bin/redis-server"
START_TIMEOUT_S = 60.0
CONSOLE_SILENCE_S = 0.3
SETTLE_S = 3.0  # for a bind to be made
POLL_S = 0.1

SECTIONS = {  # of jasmin.cfg: those that listen or connect, each with the name of its port
    "smpp-server": "smpp",
    "smpp-server-pb": "smpp_pb",
    "smpp-server-pb-client": "smpp_pb",
    "client-management": "clients",
    "http-api": "http",
    "router": "router",
    "jcli": "cli",
    "amqp-broker": "amqp",
    "redis-client": "redis",
}
QUIET = ("service-smppclient", "sm-listener", "dlr", "dlr-thrower", "deliversm-thrower")  # the others that log
SECTION = """\
[{name}]
port = {port}
bind = 127.0.0.1
log_level = ERROR
authentication = {is_safe}
spec = {amqp}
store_path = {folder}
access_log = {folder}/access.log
"""
DAEMONS = ("jasmind", "dlrlookupd", "dlrd")

CONFIGURATION = """\
smppccm -a
cid carrier
host 127.0.0.1
port {smpp_port}
username u
password p
bind transceiver
submit_throughput 0
con_fail_delay 1
ok
group -a
gid bench
ok
user -a
username bench
password {password}
uid bench
gid bench
ok
mtrouter -a
type defaultroute
connector smppc(carrier)
rate 0.0
ok
smppccm -1 carrier
"""


class Jasmin:
    """Jasmin with its servers, on a carrier of its own."""

    accepted = "Success *"
    wants_called_back = "ACK/Jasmin"  # the answer without which it calls back again
    submits_at_start = 0

    def __init__(self, folder: Path, installed: Path, carrier: Carrier) -> None:
        self.processes = Processes()
        self._folder, self._installed, self._carrier = folder, installed, carrier
        self._ports = {name: free_port() for name in {*SECTIONS.values(), "rabbitmq", "epmd"}}
        self.port, self.smpp_port = self._ports["http"], self._ports["smpp"]
        self._environment = os.environ | {
            "HOME": str(folder),  # where Erlang's processes share their key
            "ROOT_PATH": str(folder),
            "LOG_PATH": str(folder),
            "CONFIG_PATH": str(folder),
            "RABBITMQ_NODENAME": f"bench{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(self._ports["rabbitmq"]),
            "RABBITMQ_MNESIA_BASE": str(folder / "rabbitmq"),
            "RABBITMQ_LOG_BASE": str(folder / "rabbitmq-logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
        }
        told = quote(f"http://127.0.0.1:{carrier.http_port}/receipt", safe="")
        asked = f"username=bench&password={quote(PASSWORD)}&from={ORIGINATOR}&to={RECIPIENT}&content={TEXT}"
        asked += f"&dlr=yes&dlr-level=2&dlr-method=GET&dlr-url={told}"
        self.request = f"GET /send?{asked} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def start(self) -> None:
        """Start all; returns once the bind should stand."""
        values = {"amqp": next(self._installed.glob(AMQP)), "folder": self._folder}
        sections = [
            SECTION.format(name=name, port=self._ports[port], is_safe="yes" if name != "jcli" else "no", **values)
            for name, port in SECTIONS.items()
        ]
        sections += [f"[{name}]\nlog_level = ERROR\n" for name in QUIET]
        (self._folder / "jasmin.cfg").write_text("\n".join(sections))
        self._start(["epmd", "-address", "127.0.0.1", "-port", str(self._ports["epmd"])])
        self._await(self._ports["epmd"])
        self._start([RABBITMQ])
        self._start([REDIS, "--port", str(self._ports["redis"]), "--bind", "127.0.0.1", "--dir", self._folder])
        self._await(self._ports["amqp"], self._ports["redis"])
        for name in DAEMONS:
            options = ["--id", "bench"] if name != "jasmind" else []
            program = self._installed / "bin" / f"{name}.py"
            self._start([self._installed / "bin/python", program, "-c", self._folder / "jasmin.cfg", *options])
            self._await(self.port, self.smpp_port, self._ports["cli"], self._ports["smpp_pb"])
        self._configure()
        time.sleep(SETTLE_S)

    def stop(self) -> None:
        self.processes.stop()

    def _start(self, command: list[str | Path]) -> None:
        with (self._folder / "jasmin.log").open("ab") as log:
            self.processes.start(command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)

    def _await(self, *ports: int) -> None:
        """Wait until somebody listens on all these ports."""
        started_s = time.monotonic()
        while not all(map(is_open, ports)):
            if self.processes.have_ended or time.monotonic() > started_s + START_TIMEOUT_S:
                raise RuntimeError(f"Jasmin does not start:\n{(self._folder / 'jasmin.log').read_text()[-2000:]}")
            time.sleep(POLL_S)

    def _configure(self) -> None:
        """Tell its console, line by line, what the gateway is to be."""
        text = CONFIGURATION.format(smpp_port=self._carrier.smpp_port, password=PASSWORD)
        with socket.create_connection(("127.0.0.1", self._ports["cli"]), CONSOLE_SILENCE_S) as console:
            hear(console)
            for line in text.splitlines():
                console.sendall(line.encode() + b"\r\n")
                hear(console)


def is_open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), POLL_S):
            return True
    except OSError:
        return False


def hear(console: socket.socket) -> bytes:
    """What the console says until it is silent for a while."""
    said = b""
    with contextlib.suppress(TimeoutError):
        while more := console.recv(4096):
            said += more
    return said
