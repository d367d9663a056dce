"""The `chappe` command as a user meets it: real processes, real sockets, its words and its exit codes."""

import fcntl
import os
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import chappe
from chappe import app
from chappe.cli.demo import EXAMPLE_NUMBER, LOOKS
from chappe.client import DIALECTS, Client, Refusal, RefusedError
from chappe.gateway.feed import Step
from parts import require

TIMEOUT_S = 30.0
HELP_MAX_S = 0.3
FOLLOWS_S = 5.0  # a second where nothing else runs on the machine
GATEWAY = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "correct horse"
currency = "EUR"
balance = "100.00"
"""

Start = Callable[..., "Running"]


class Running:
    """A `chappe` process whose lines are read as they come, on both outputs together."""

    def __init__(self, *arguments: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line from here on that the pattern is found in."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                line = self._arriving.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no line with {pattern!r} among {self.lines}"
            self.lines.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal, and the exit code."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(TIMEOUT_S)
        self._reader.join()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chappe", *arguments]


def surroundings(**settings: str) -> dict[str, str]:
    """This process's environment without settings of chappe, besides those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHAPPE_")}
    return {**kept, "COLUMNS": "200", **settings}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=surroundings(**settings),
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `chappe` with arguments and settings; whatever still runs at the end is killed."""
    started: list[Running] = []

    def start(*arguments: str, **settings: str) -> Running:
        started.append(Running(*arguments, environment=surroundings(**settings)))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A data folder that does not exist yet."""
    return str(tmp_path / "data")


@pytest.fixture(scope="session")
def applied_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("applied")
    assert run("apply", str(written(folder, GATEWAY)), "--data", str(folder / "data")).returncode == 0
    return folder / "data"


@pytest.fixture
def applied(applied_once: Path, tmp_path: Path) -> str:
    """A data folder of a gateway that matches GATEWAY."""
    return str(shutil.copytree(applied_once, tmp_path / "applied"))


def serve(start: Start, data: str, *arguments: str, **settings: str) -> tuple[Running, str]:
    """A gateway that accepts requests, and its address."""
    running = start("serve", "--data", data, "--http", "127.0.0.1:0", *arguments, **settings)
    return running, running.wait_for(r"accepts requests at (http://127\.0\.0\.1:\d+)")[1]


# What every command has


def test_help_and_version() -> None:
    """`--help` names every command and `--version` the package's version."""
    shown = run("--help").stdout
    assert [
        name
        for name in ("demo", "serve", "apply", "check", "alias", "inbound", "send", "status", "balance")
        if name not in shown
    ] == []
    assert run("--version").stdout == f"chappe, version {chappe.__version__}\n"


def test_help_is_quick() -> None:
    """The help comes in less than 0.3 seconds of CPU: nothing of a gateway is loaded for it."""
    before = os.times()
    run("--help")
    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent_s < HELP_MAX_S


WRONG_USE = [
    # arguments, settings, words of the message
    (["dance"], {}, "No such command 'dance'"),
    (["serve", "--dance"], {}, "No such option"),
    (["serve", "--http", "8080"], {}, "HOST:PORT"),
    (["serve", "--config", "absent.toml"], {}, "absent.toml"),
    (["serve"], {"CHAPPE_LOG_LEVEL": "loud"}, "the environment: log_level is 'loud'"),
    (["serve"], {"CHAPPE_TLS_KEY": "x"}, "tls_certificate and tls_key belong together"),
    (["serve"], {"CHAPPE_ALLOWED_NETWORKS": "10.0.0.0/8, x"}, "not a network: 'x'"),
    (["serve", "--data", "x", "--database", "postgresql://h/x"], {}, "give one of them"),
    (["serve", "--database", "not a url"], {}, "the database URL cannot be read: use sqlite:///FILE"),
    (["serve"], {"CHAPPE_DATABASE": "mysql://nobody@127.0.0.1:1/x"}, "use sqlite:///FILE or postgresql://"),
    (["apply", __file__, "--database", "not a url"], {}, "the database URL cannot be read: use sqlite:///FILE"),
    (["apply"], {}, "Missing argument 'FILE'"),
    (["apply", "absent.toml"], {}, "absent.toml"),
    (
        ["send", "--via", "telex", "--login", "a", "--to", "1", "--text", "x"],
        {},
        "there are chappe, proovl, smscentre, smsend, smsfox, voipcom",
    ),
    (["send", "--via", "smsfox", "--login", "a", "--to", "1", "--text", "x"], {}, "set CHAPPE_PASSWORD"),
    (["balance", "--via", "smsfox", "--login", "a", "--url", "host:80"], {"CHAPPE_PASSWORD": "x"}, "http://"),
    (["status", "--via", "smsfox", "--login", "a"], {}, "Missing argument 'REFERENCE'"),
]


@pytest.mark.parametrize("arguments, settings, words", WRONG_USE)
def test_wrong_use_is_two(arguments: list[str], settings: dict[str, str], words: str) -> None:
    """Wrong use ends with exit code 2 and a message that names what is wrong."""
    finished = run(*arguments, **settings)
    assert finished.returncode == 2
    assert words in finished.stderr


# serve


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_told(number: signal.Signals, start: Start, data: str) -> None:
    """The gateway says where it accepts requests, answers there, and ends with 0 when it is told to stop."""
    running, origin = serve(start, data)
    assert answer_of(origin, "GET /healthz HTTP/1.0").endswith("ok\n")
    assert running.stop(number) == 0


def test_the_second_signal_ends_at_once(start: Start, data: str) -> None:
    """While a slow request keeps the gateway from stopping, a second signal ends it at once, with exit code 1."""
    running, origin = serve(start, data, CHAPPE_SHUTDOWN_S="600")
    with connected(origin) as slow:
        slow.sendall(b"POST /en/api/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nlogin")
        assert answer_of(origin, "GET /healthz HTTP/1.0").endswith("ok\n")  # so the one before has begun as well
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("stopping")
        assert running.stop(signal.SIGTERM) == 1


def test_a_taken_port_is_named(start: Start, data: str, tmp_path: Path) -> None:
    """Where the port is taken, the gateway ends with 1 and says which it is and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = run("serve", "--data", data, "--http", f"127.0.0.1:{port}")
    assert finished.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in finished.stderr
    assert "--http" in finished.stderr


def test_a_folder_in_use_is_named(start: Start, data: str) -> None:
    """Two gateways on one data folder: the second ends with 1 and names the folder."""
    serve(start, data)
    finished = run("serve", "--data", data, "--http", "127.0.0.1:0")
    assert finished.returncode == 1
    assert f"another chappe serves {data}" in finished.stderr


TROUBLE = [
    # settings, words of the message
    ({"CHAPPE_DATABASE": "postgresql://nobody:CANARY@127.0.0.1:1/x"}, "is it running and reachable?"),
    ({"CHAPPE_TLS_CERTIFICATE": "absent.crt", "CHAPPE_TLS_KEY": "absent.key"}, "absent.crt"),
    ({"CHAPPE_CA_CERTIFICATES": "absent.pem"}, "absent.pem"),
    ({"CHAPPE_SECRET_KEY": "CANARY"}, "32 random bytes"),
]


@pytest.mark.parametrize("settings, words", TROUBLE)
def test_what_keeps_it_from_starting_is_named(settings: dict[str, str], words: str, tmp_path: Path) -> None:
    """A gateway that cannot start ends with 1 and one sentence that names the reason and shows no secret."""
    finished = run("serve", "--http", "127.0.0.1:0", **{"CHAPPE_DATA": str(tmp_path), **settings})
    assert finished.returncode == 1
    assert words in finished.stderr
    assert "CANARY" not in finished.stderr
    assert "Traceback" not in finished.stderr


# apply


def test_apply_makes_the_gateway_match(start: Start, data: str, tmp_path: Path) -> None:
    """A plan is printed and carried out while the gateway runs; within a second the new account can send."""
    file = written(tmp_path, GATEWAY)
    _, origin = serve(start, data)
    applied = run("apply", str(file), "--data", data)
    assert applied.returncode == 0
    assert [word for word in ("alice", "sim") if word not in applied.stdout] == []
    assert "correct horse" not in applied.stdout
    deadline = time.monotonic() + FOLLOWS_S
    with Client("proovl", origin, login="alice", password="correct horse") as alice:
        while True:
            try:
                assert alice.send("447700900123", "hi", originator="ACME").tickets[0].segments == 1
                break
            except RefusedError as error:
                if error.reason is not Refusal.UNAUTHORISED or time.monotonic() > deadline:
                    raise


def test_a_dry_run_changes_nothing(data: str, applied: str, tmp_path: Path) -> None:
    """`--dry-run` prints the plan and changes nothing: it makes no new gateway, and prints the same plan again."""
    fresh = run("apply", str(written(tmp_path, GATEWAY)), "--data", data, "--dry-run")
    assert (fresh.returncode, "alice" in fresh.stdout, Path(data).exists()) == (0, True, False)
    file = written(tmp_path, GATEWAY.replace("alice", "bob"))
    first, second = (run("apply", str(file), "--data", applied, "--dry-run") for _ in range(2))
    assert re.search(r"add +account +bob", first.stdout)
    assert re.search(r"remove +account +alice", first.stdout)
    assert first.stdout == second.stdout


def test_applying_again_changes_nothing(applied: str, tmp_path: Path) -> None:
    """A gateway that matches its file already has nothing to do."""
    again = run("apply", str(written(tmp_path, GATEWAY)), "--data", applied)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


WRONG_FILES = [
    # what is wrong in a file that also has a new account, words of the message
    ("[[carrier]", "gateway.toml"),
    ("[[carrier]]\nname = 'x'\nkind = 'telex'", "telex"),
    ("colour = 1", "colour"),
]


def test_a_wrong_file_changes_nothing(applied: str, tmp_path: Path) -> None:
    """A gateway file that is wrong anywhere is refused as a whole, and the message names what is wrong."""
    for content, words in WRONG_FILES:
        new_account = "[[account]]\nname = 'bob'\npassword = 'CANARY'\n"
        refused = run("apply", str(written(tmp_path, GATEWAY + new_account + content)), "--data", applied)
        assert refused.returncode == 1
        assert [word for word in (words, "Nothing was changed.") if word not in refused.stderr] == []
        assert "CANARY" not in refused.stderr
    assert "nothing to do" in run("apply", str(written(tmp_path, GATEWAY)), "--data", applied).stdout


# demo


def test_the_demo_shows_a_whole_trip(start: Start) -> None:
    """Pasting the demo's lines into a shell sends, fails, is answered or writes back, and each step is shown."""
    require("curl", subprocess.run(["which", "curl"], capture_output=True).returncode == 0)
    running = start("demo", "--http", "127.0.0.1:0")
    running.wait_for("trips")
    lines = [line for line in running.lines if line.startswith("curl ")]
    *_, failing, answered = lines
    for line in lines[:-2]:
        answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=TIMEOUT_S).stdout
        taken = r'01\n|Sent;\d+;1\n|\{"send_log":\[\{"code":200,' r'|\{"result":"OK",|\{\n"id":|\{"id":"\d+",'
        assert re.match(taken, answer), line
        short_id = running.wait_for(r"(\.\.\d{5})  4477\*+23 +accepted")[1]
        callback = () if '"send_log"' in answer else ("callback +customer answered 200",)  # voipcom has no receipts
        for step in ("sent ", "delivered ", *callback):
            running.wait_for(rf"{re.escape(short_id)}  4477\*+23 +{step}")
    [binding] = [line for line in running.lines if line.startswith("python3 ")]
    subprocess.run([sys.executable, *shlex.split(binding)[1:]], check=True, capture_output=True, timeout=TIMEOUT_S)
    running.wait_for(r"4477\*+23 +accepted +over smpp")
    subprocess.run(failing, shell=True, capture_output=True, timeout=TIMEOUT_S)
    running.wait_for(r"9990\*+01 +undeliverable")
    subprocess.run(answered, shell=True, capture_output=True, timeout=TIMEOUT_S)
    running.wait_for(r"inbound +message from a phone")
    [phone] = [line for line in running.lines if line.startswith("chappe inbound")]
    brought = run(*shlex.split(phone)[1:])
    assert re.search(r"goes to http://127\.0\.0\.1:\d+/demo/receipt in the words of proovl", brought.stdout)
    assert running.stop(signal.SIGINT) == 0
    pasted = ("curl ", "chappe ", "python3 ")
    assert EXAMPLE_NUMBER not in "".join(line for line in running.lines if not line.startswith(pasted))
    assert "\x1b" not in running.output


def test_every_step_has_a_look() -> None:
    """The demo has words for every step that a message's trip may have."""
    assert LOOKS.keys() == set(Step)


def test_the_demo_speaks_tls(start: Start) -> None:
    """The demo answers https on the same port, with a certificate it made itself."""
    require("curl", subprocess.run(["which", "curl"], capture_output=True).returncode == 0)
    running = start("demo", "--http", "127.0.0.1:0")
    origin = running.wait_for(r"(https://127\.0\.0\.1:\d+)")[1]
    running.wait_for("trips")
    asked = subprocess.run(["curl", "-sk", f"{origin}/healthz"], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert asked.stdout == "ok\n"


SECOND_ACCOUNT_NAME = 'name = "second"'
SECOND_ACCOUNT = f'[[account]]\n{SECOND_ACCOUNT_NAME}\npassword = "hidden"\n'


def test_the_demo_keeps_what_it_is_told_to(start: Start, data: str, tmp_path: Path) -> None:
    """With --data a second demo has the account, money and messages of the first, and what was configured since."""
    for left_micros in (999_990_000, 999_980_000):
        running = start("demo", "--data", data, "--http", "127.0.0.1:0")
        origin = running.wait_for(r"demo at (http://\S+)")[1]
        running.wait_for("trips")
        with Client("proovl", origin, login="demo", password="demo") as demo:
            demo.send("447700900123", "x", originator="Demo")
            running.wait_for(" delivered ")
            assert demo.balance().amount_micros == left_micros
        assert running.stop() == 0
        kept = run("export", "--data", data).stdout
        assert f'receipt_url = "{origin}/demo/receipt"' in kept
        changed = kept.replace("[[account]]\n", '[[account]]\npassword = "demo"\n') + SECOND_ACCOUNT
        if SECOND_ACCOUNT_NAME not in kept:
            assert run("apply", str(written(tmp_path, changed)), "--data", data).returncode == 0
    assert SECOND_ACCOUNT_NAME in kept


def test_apply_reads_the_settings_file(data: str, tmp_path: Path) -> None:
    """A data folder that stands in the settings file alone is the one that is written."""
    settings = tmp_path / "chappe.toml"
    settings.write_text(f'data = "{data}"\n')
    assert run("apply", str(written(tmp_path, GATEWAY)), "--config", str(settings)).returncode == 0
    assert (Path(data) / "chappe.db").exists()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    """Where the data folder cannot be made, it is the folder that is named, and not the file that was read."""
    (tmp_path / "taken").touch()
    finished = run("apply", str(written(tmp_path, GATEWAY)), "--data", str(tmp_path / "taken" / "data"))
    assert finished.returncode == 1
    assert f"cannot use the data folder {tmp_path / 'taken' / 'data'}: Not a directory" in finished.stderr
    assert "gateway.toml" not in finished.stderr


@pytest.mark.parametrize("name, variable", [("apply", "CHAPPE_DATABASE"), ("send", "CHAPPE_PASSWORD")])
def test_help_warns_of_secrets_in_arguments(name: str, variable: str) -> None:
    """The help of an option that may hold a secret says who sees it, and where it is better kept."""
    shown = " ".join(run(name, "--help").stdout.split())
    assert re.search(rf"Others on this machine can see it: [^.]*{variable}", shown)


REFUSED = [
    # what stands in GATEWAY, what is written instead, words of the message
    (
        'kind = "simulated"',
        'kind = "smsfox"\nlogin = "a"\npassword = "b"\nuncertain = "query"',
        "kind 'smsfox' does not",
    ),
    (
        'kind = "simulated"',
        'kind = "simulated"\nurl = "http://192.0.2.1:25/"',
        "gateway.toml:5: carrier 'sim': url cannot",
    ),
    ('currency = "EUR"', 'receipt_url = "http://192.0.2.1.9/"', "receipt_url cannot be called: not a host"),
]


@pytest.mark.parametrize("right, wrong, words", REFUSED)
def test_what_could_never_work_is_refused(right: str, wrong: str, words: str, data: str, tmp_path: Path) -> None:
    """What a carrier cannot do, and where the outbound door never goes, is told when the file is applied."""
    finished = run("apply", str(written(tmp_path, GATEWAY.replace(right, wrong))), "--data", data)
    assert finished.returncode == 1
    assert words in finished.stderr


# The client from the shell


def test_the_client_speaks_what_the_gateway_speaks() -> None:
    """The dialects of the gateway are those of the client."""
    assert {dialect.name for dialect in app.DIALECTS} == DIALECTS.keys()


def test_a_dialect_of_another_package_is_spoken(tmp_path: Path) -> None:
    """What another package offers as an entry point is spoken by gateway and client, and ours keep their names."""
    (tmp_path / "other.py").write_text(
        "from msgspec.structs import replace\n"
        "from chappe.dialects.smsfox import SMSFOX\n"
        "TELEX = replace(SMSFOX, name='telex')\n"
        "THIEF = replace(SMSFOX, name='proovl')\n"
    )
    described = tmp_path / "other-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[chappe.dialects]\ntelex = other:TELEX\nproovl = other:THIEF\n")
    script = (
        "from chappe import app, client\n"
        "print(sorted(one.name for one in app.DIALECTS), sorted(client.DIALECTS))\n"
        "from chappe.dialects.proovl import PROOVL\n"
        "print(client.DIALECTS['proovl'] is PROOVL)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=surroundings(PYTHONPATH=str(tmp_path)),
    )
    names = "['chappe', 'proovl', 'smscentre', 'smsend', 'smsfox', 'telex', 'voipcom']"
    assert told.stdout == f"{names} {names}\nTrue\n"


def test_send_status_balance(start: Start, applied: str) -> None:
    """A message is sent, asked about and paid for from the shell; its text comes from the standard input where told."""
    _, origin = serve(start, applied)
    sent = subprocess.run(
        command(*client_arguments(origin, "send"), "--to", "447700900123", "--from", "ACME", "--text", "-"),
        input="x" * 200,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=surroundings(CHAPPE_PASSWORD="correct horse"),
    )
    assert sent.returncode == 0
    found = re.fullmatch(r"accepted  4477\*+23  2 segments  reference (\d+)\n", sent.stdout)
    assert found
    asked = client(origin, "status", "--from", "ACME", found[1])
    assert re.fullmatch(r"(queued|sent|delivered)  price 0\.02\n", asked.stdout)
    assert client(origin, "balance").stdout == "99.98\n"


def test_a_refusal_is_one(start: Start, applied: str) -> None:
    """What is refused ends with exit code 1 and says why and what to do."""
    _, origin = serve(start, applied)
    for arguments, words in (
        (["send", "--to", "12", "--text", "x", "--from", "ACME"], ["bad_recipient", "country code"]),
        (["status", "--from", "ACME", "12345"], ["not_found"]),
    ):
        refused = client(origin, *arguments)
        assert refused.returncode == 1
        assert [word for word in words if word not in refused.stderr] == []
    wrong = run(*client_arguments(origin, "balance"), CHAPPE_PASSWORD="CANARY")
    assert (wrong.returncode, "unauthorised" in wrong.stderr, "CANARY" in wrong.stderr) == (1, True, False)


def test_nobody_there_is_one() -> None:
    """A server that cannot be reached has taken nothing: exit code 1, and the message says so."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        origin = f"http://127.0.0.1:{closed.getsockname()[1]}"
    refused = client(origin, "send", "--to", "447700900123", "--text", "x", "--from", "ACME")
    assert refused.returncode == 1
    assert "unreachable" in refused.stderr
    assert "Nothing was sent." in refused.stderr


def test_serve_takes_binds_where_it_is_told_to(start: Start, applied: str) -> None:
    """--smpp opens a port for binds, and its line tells which."""
    running = start("serve", "--data", applied, "--http", "127.0.0.1:0", "--smpp", "127.0.0.1:0")
    port = int(running.wait_for(r"and binds at 127\.0\.0\.1:(\d+)")[1])
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as link:
        link.sendall(bytes((0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 1)))  # enquire_link
        assert link.recv(16)[4:8] == bytes((0x80, 0, 0, 0x15))


# check


def test_check_of_nothing(data: str) -> None:
    """Where there is no gateway yet, `check` finds nothing wrong and makes nothing."""
    assert run("check", "--data", data).returncode == 0
    assert not Path(data).exists()


def test_check_of_a_healthy_gateway(start: Start, applied: str) -> None:
    """Of a gateway in order, `check` tells the promises in force and ends with 0, running or not."""
    stopped = run("check", "--data", applied)
    assert stopped.returncode == 0
    for words in ("journal wal, synchronous 2", "books", "1 accounts", "none is running on it", "secret.key"):
        assert words in stopped.stdout
    _, origin = serve(start, applied)
    running = run("check", "--data", applied, CHAPPE_HTTP=origin.removeprefix("http://"))
    assert running.returncode == 0
    assert "one is running on it" in running.stdout
    assert "a gateway runs on this database" in running.stdout


def test_check_of_postgresql(postgres_url: str) -> None:
    """Of PostgreSQL, `check` tells version, fsync and synchronous_commit, and says that secrets are stored readable."""
    checked = run("check", "--database", postgres_url)
    assert checked.returncode == 0
    for words in ("PostgreSQL", "fsync on", "full_page_writes on", "synchronous_commit on", "CHAPPE_SECRET_KEY"):
        assert words in checked.stdout


def test_check_finds_commits_that_may_be_lost(postgres_url: str) -> None:
    """A PostgreSQL that answers before the disk has it is wrong: exit code 1, and how to repair it."""
    checked = run("check", "--database", f"{postgres_url}&options=-csynchronous_commit%3Doff")
    assert checked.returncode == 1
    assert re.search(r"wrong +commits +synchronous_commit off +set synchronous_commit = on", checked.stdout)


UNSOUND = [
    # settings, what is found, the exit code
    ({"CHAPPE_ALLOWED_NETWORKS": "x"}, r"wrong +callbacks may reach +not a network", 1),
    ({"CHAPPE_TLS_CERTIFICATE": "absent.crt", "CHAPPE_TLS_KEY": "absent.key"}, r"wrong +certificate +absent\.crt", 1),
    ({"CHAPPE_CA_CERTIFICATES": "absent.pem"}, r"wrong +ca_certificates", 1),
    ({"CHAPPE_SECRET_KEY": "CANARY"}, r"wrong +stored secrets", 1),
    ({"CHAPPE_DATABASE": "postgresql://nobody:CANARY@127.0.0.1:1/x"}, r"wrong +database", 1),
    ({"CHAPPE_DATABASE": "mysql://nobody:CANARY@127.0.0.1:1/x"}, r"wrong +database +.*not supported.* correct the", 1),
    ({"CHAPPE_DATABASE": "not a url CANARY"}, r"wrong +database +the database URL cannot be read", 1),
    ({"CHAPPE_DATABSE": "CANARY"}, r"warning +environment +CHAPPE_DATABSE .* is CHAPPE_DATABASE meant\?", 0),
    ({"CHAPPE_HTTP": "0.0.0.0:0"}, r"warning +encryption", 0),
]


@pytest.mark.parametrize("settings, pattern, code", UNSOUND)
def test_check_finds_what_is_wrong(settings: dict[str, str], pattern: str, code: int, tmp_path: Path) -> None:
    """Each thing that is wrong is found beside the others, with what to do and without secrets."""
    checked = run("check", **{"CHAPPE_DATA": str(tmp_path), **settings})
    assert checked.returncode == code
    assert re.search(pattern, checked.stdout)
    assert "Python" in checked.stdout
    assert "CANARY" not in checked.stdout + checked.stderr


def test_check_finds_who_cannot_bind(tmp_path: Path) -> None:
    """Where binds are taken, a name and a password that have no room in one are found, and nobody else's."""
    file = tmp_path / "gateway.toml"
    entry = '[[account]]\nname = "{}"\npassword = "{}"\n'
    accounts = [("a-very-long-account", "short"), ("alice", "CANARY-too-long"), ("bob", "CANARY")]
    other = entry.format("carol", "CANARY-too-long") + 'smpp_password = "CANARY"\n'
    file.write_text("".join(entry.format(*one) for one in accounts) + other)
    data = str(tmp_path / "data")
    assert run("apply", str(file), "--data", data).returncode == 0
    found = run("check", "--data", data, CHAPPE_SMPP="127.0.0.1:0").stdout
    assert re.search(r"warning +binds +a-very-long-account cannot bind: a system_id", found)
    assert re.search(r"warning +binds +alice cannot bind: a password .* smpp_password", found)
    assert "CANARY" not in found
    assert "cannot bind" not in run("check", "--data", data).stdout


def test_check_finds_a_database_that_others_read(applied: str) -> None:
    """Where others may read the database file, `check` warns and says what to do; of one that we made, it need not."""
    file = Path(applied) / "chappe.db"
    assert "can be read by others" not in run("check", "--data", applied).stdout
    file.chmod(0o644)
    assert re.search(r"warning +database file .* chmod go=", run("check", "--data", applied).stdout)


def test_check_leaves_the_lock(start: Start, applied: str) -> None:
    """Looking whether a gateway runs does not keep one from starting."""
    with (Path(applied) / "chappe.lock").open("w") as file:
        assert run("check", "--data", applied).returncode == 0
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "one is running on it" in run("check", "--data", applied).stdout


# Parts of tests


def client_arguments(origin: str, name: str, *arguments: str) -> list[str]:
    return [name, "--via", "proovl", "--url", origin, "--login", "alice", *arguments]


def client(origin: str, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*client_arguments(origin, name, *arguments), CHAPPE_PASSWORD="correct horse")


def written(folder: Path, content: str) -> Path:
    file = folder / "gateway.toml"
    file.write_text(content)
    return file


def connected(origin: str) -> socket.socket:
    host, _, port = origin.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), TIMEOUT_S)


def answer_of(origin: str, request_line: str) -> str:
    """The whole answer to a request without a body."""
    with connected(origin) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        return answer.read().decode()
