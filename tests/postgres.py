"""A private PostgreSQL server for the tests: real, durable (fsync on), gone when they end.

It is made with `initdb` in a temporary folder and listens on a Unix socket in that folder only, so it meets no other
server. PostgreSQL refuses to run as root: started by root, it runs as the `postgres` user of Debian's package. If the
tests are killed, the kernel tells the server to stop (parent-death signal). The fixture `postgres_url` gives each test
a database of its own.
"""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
LOG_TAIL_CHARACTERS = 2_000

DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "INT"]  # INT is a fast shutdown: roll back, write a checkpoint, stop

# Small memory and many connections: tests open several pools at once. fsync and synchronous_commit stay on.
SERVER_SETTINGS = {"listen_addresses": "", "shared_buffers": "32MB", "max_connections": "100", "timezone": "UTC"}


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: the newest that Debian installed, else the one on PATH, else None."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresServer:
    """One server process and its folder. `start` and `stop` may alternate; `remove` ends it for good."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._identity = _unprivileged_identity()
        # Not under TMPDIR: the folder must be reachable by another user and its name short enough for a socket address.
        self._folder = Path(tempfile.mkdtemp(prefix="chappe-postgres-", dir="/tmp"))
        if self._identity:
            shutil.chown(self._folder, self._identity["user"], self._identity["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"chappe_{number}" for number in itertools.count(1))
        self._initialise()

    def start(self) -> None:
        """Start the server and return once it answers. Raises RuntimeError with the end of its log when it does not."""
        options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*DIE_WITH_PARENT, self._binaries / "postgres", "-D", self._data, "-k", self._folder, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C in the terminal is for pytest, which then stops the server
                **self._identity,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_answering():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGQUIT)
                raise RuntimeError(f"PostgreSQL does not start: {self._log_path.read_text()[-LOG_TAIL_CHARACTERS:]}")
            time.sleep(POLL_S)  # a server that is not there yet has no event to wait for

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT in good order; SIGQUIT as in a crash (no checkpoint, recovery at the next start)."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def create_database(self, template: str = "template0") -> str:
        """Copy the template (a database nobody is connected to) under a new name and return the SQLAlchemy URL."""
        name = next(self._names)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        self._administer(statement)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Delete the database of this URL, together with the connections that are still open to it."""
        name = url.rpartition("/")[2].partition("?")[0]
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database on this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    @property
    def _data(self) -> Path:
        return self._folder / "cluster"

    @property
    def _log_path(self) -> Path:
        return self._folder / "server.log"

    def _initialise(self) -> None:
        # --no-sync: the empty cluster may be lost in a power cut; what tests write into it may not.
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        finished = subprocess.run(
            [self._binaries / "initdb", "--pgdata", self._data, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._identity,
        )
        if finished.returncode != 0:
            raise RuntimeError(f"initdb failed: {finished.stderr[-LOG_TAIL_CHARACTERS:]}")

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres", autocommit=True)

    def _is_answering(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _administer(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)


def _unprivileged_identity() -> Mapping[str, Any]:
    """As whom the server runs, as arguments of subprocess: nobody new, unless we are root, whom PostgreSQL refuses."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
