"""Debian's Kannel as a peer: HTTP in, one SMPP bind out, receipts called back over HTTP.

Its two processes, bearerbox and smsbox, are one gateway here. What it keeps of a message depends on its store: `memory`
keeps nothing, `file` a log that is rewritten, `spool` a file for each message, which survives a crash of the
process but no power cut.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from processes import Processes
from rig import ORIGINATOR, RECIPIENT, TEXT, Carrier, free_port

STORES = {
    "memory": "",
    "file": "store-type = file\nstore-file = {folder}/store",
    "spool": "store-type = spool\nstore-location = {folder}",
}
PATH = "/usr/sbin"  # where Debian puts what only root is expected to start
START_TIMEOUT_S = 60.0
POLL_S = 0.05

CONFIGURATION = """\
group = core
admin-port = {admin_port}
admin-interface = "127.0.0.1"
admin-password = bench
smsbox-port = {box_port}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
log-level = 3
dlr-storage = internal
{store}

group = smsc
smsc = smpp
smsc-id = carrier
host = 127.0.0.1
port = {smpp_port}
transceiver-mode = true
smsc-username = u
smsc-password = p
system-type = "VMA"
max-pending-submits = {window}
enquire-link-interval = 60

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {port}
sendsms-interface = "127.0.0.1"
global-sender = {originator}
log-level = 3
max-pending-requests = 1000
http-request-retry = 3

group = sendsms-user
username = bench
password = bench
max-messages = 3
concatenation = true

group = sms-service
keyword = default
text = "No service specified"
"""


def find(name: str) -> str | None:
    """The path of one of its programs."""
    return shutil.which(name) or shutil.which(name, path=PATH)


def is_installed() -> bool:
    return bool(find("bearerbox") and find("smsbox"))


class Kannel:
    """Kannel with one of its STORES, on a carrier of its own."""

    accepted = "0: *"
    submits_at_start = 0

    def __init__(self, folder: Path, store: str, carrier: Carrier, window: int) -> None:
        self.processes = Processes()
        self.port, self._admin_port = free_port(), free_port()
        self._folder = folder
        self._file = folder / "kannel.conf"
        (folder / "store").mkdir()
        self._file.write_text(
            CONFIGURATION.format(
                admin_port=self._admin_port,
                box_port=free_port(),
                store=STORES[store].format(folder=folder / "store"),
                smpp_port=carrier.smpp_port,
                port=self.port,
                window=window,
                originator=ORIGINATOR,
            )
        )
        told = quote(f"http://127.0.0.1:{carrier.http_port}/receipt?id=########&state=%d", safe="#")
        asked = f"username=bench&password=bench&from={ORIGINATOR}&to={RECIPIENT}&text={TEXT}&dlr-mask=3&dlr-url={told}"
        self.request = f"GET /cgi-bin/sendsms?{asked} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def start(self) -> None:
        """Start both processes; returns once the bind stands and messages can be submitted."""
        with (self._folder / "kannel.log").open("ab") as log:
            for name, is_ready in (("bearerbox", self._is_bound), ("smsbox", self._is_listening)):
                self.processes.start([find(name) or name, "-v", "3", self._file], stdout=log, stderr=log)
                self._await(is_ready)

    def stop(self) -> None:
        self.processes.stop()

    def _await(self, is_ready: Callable[[], bool]) -> None:
        started_s = time.monotonic()
        while not is_ready():
            if self.processes.have_ended or time.monotonic() > started_s + START_TIMEOUT_S:
                raise RuntimeError(f"Kannel does not start:\n{(self._folder / 'kannel.log').read_text()[-2000:]}")
            time.sleep(POLL_S)

    def _is_bound(self) -> bool:
        return "(online " in self._status()

    def _is_listening(self) -> bool:
        return "(on-line " in self._status()

    def _status(self) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self._admin_port}/status.txt?password=bench", timeout=5) as answer:
                return str(answer.read().decode("latin-1"))
        except OSError:
            return ""
