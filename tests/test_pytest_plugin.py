"""The pytest plug-in as its users have it: suites of their own, run by a pytest of their own."""

import os
import queue
import re
import subprocess
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest

from chappe.testing import Chappe, ChappeServer, Misuse, NotAsExpected, NotStarted

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 60


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run over a folder of its own, which has the plug-in because the package is installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options, str(folder)]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    """The application and its tests that the documents show are run as they stand there, and pass."""
    page = (ROOT / "docs" / "testing.md").read_text()
    for name, code in re.findall(r'^```python title="([\w.]+)"\n(.*?)^```$', page, re.M | re.S):
        (tmp_path / name).write_text(code)
    done = run_pytest(tmp_path)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


SUITE = """
import time
from urllib.parse import urlencode
from urllib.request import Request, urlopen
import json

def send(chappe, phone, text, **more):
    fields = {"login": chappe.login, "pwd": chappe.password, "phones": phone, "msg": text, **more}
    return urlopen(chappe.url + "/en/api/", urlencode(fields).encode()).read()

def test_an_account_begins_empty(chappe):
    assert chappe.messages() == []
    assert send(chappe, "447700900123", "one") == b"01"

def test_and_the_next_one_too(chappe, chappe_server):
    assert chappe.messages() == [] and chappe.requests() == []
    other = chappe_server.open_account()
    send(other, "447700900123", "not mine")
    assert send(chappe, "447700900123", "mine", sender=chappe.number) == b"01"
    assert [one.text for one in chappe.messages()] == ["mine"]

def test_the_native_api_takes_the_key(chappe):
    body = json.dumps({"to": ["447700900123"], "text": "Your PIN: 4821"}).encode()
    headers = {"authorization": "Bearer " + chappe.api_key, "content-type": "application/json"}
    urlopen(Request(chappe.url + "/v1/messages", body, headers))
    assert chappe.wait_for_message().code == "4821"

def test_messages_come_one_after_the_other(chappe):
    for text in ("one", "two"):
        send(chappe, "447700900123", text)
    assert [chappe.wait_for_message().text, chappe.wait_for_message().text] == ["one", "two"]

def test_fails_without_a_message(chappe):
    send(chappe, "447700900123", "Hello <b>")
    send(chappe, "12", "refused")
    chappe.wait_for_message(to="+44 7700 900124", timeout_s=0.2)

def test_fails_without_a_request(chappe):
    chappe.wait_for_message(timeout_s=0.1)

def test_fails_without_a_code(chappe):
    send(chappe, "447700900123", "Hello")
    chappe.wait_for_message().code

def test_fails_in_another_state(chappe):
    chappe.set_fate("447700900123", "no_receipt")
    send(chappe, "447700900123", "Hello")
    chappe.wait_for_message().wait_for_state(timeout_s=0.2)
"""


def test_a_suite_sees_its_messages_and_why_they_are_missing(tmp_path: Path) -> None:
    """Tests do not see each other's messages, and one that fails says what arrived instead, without passwords."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = run_pytest(tmp_path)
    assert "4 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    said = done.stdout
    assert "no message to +44 7700 900124 within 0.2 s" in said
    assert "to 447700900123 from SMSFox (delivered): 'Hello <b>'" in said
    assert re.search(r"POST /en/api/ login=test\d+&pwd=\*\*\*&phones=12&msg=refused", said)
    assert "-> 200 04" in said
    assert "no request reached the gateway at http://127.0.0.1:" in said
    assert "there is no one-time code in the message" in said
    assert "the message to 447700900123 is sent, not delivered, after 0.2 s" in said


def test_a_suite_without_it_is_left_alone(tmp_path: Path) -> None:
    """A run that asks for no fixture of ours imports nothing of the gateway and starts no process."""
    (tmp_path / "test_alone.py").write_text(
        "import sys\n"
        "def test_alone():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('chappe'))\n"
        "    assert ours == ['chappe', 'chappe.pytest_plugin'], ours\n"
        "    assert not {'sqlalchemy', 'msgspec', 'uvloop', 'starlette', 'structlog'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    fixtures = run_pytest(tmp_path, "--fixtures")
    assert re.search(r"^chappe(_server)? .*\n    A fresh account", fixtures.stdout, re.M)


def test_an_application_is_called_back(chappe: Chappe) -> None:
    """Receipts and what phones write go to the tested application, in the dialect it wants."""
    with CustomerServer() as server:
        chappe.call_back(receipt_url=server.url("/receipt"), inbound_url=server.url("/inbound"), dialect="smsfox")
        submit(chappe, "447700900123", "Hello", sender=chappe.number)
        chappe.wait_for_message().reply("Ciao")
        assert {server.wait(), server.wait()} == {"/receipt", "/inbound"}


def submit(account: Chappe, phone: str, text: str, **more: str) -> bytes:
    fields = {"login": account.login, "pwd": account.password, "phones": phone, "msg": text, **more}
    connection = HTTPConnection(account.url.removeprefix("http://"))
    try:
        connection.request("GET", "/en/api/?" + urlencode(fields))
        return connection.getresponse().read()
    finally:
        connection.close()


class CustomerServer:
    """A server of the tested application."""

    def __init__(self) -> None:
        paths = self._paths = queue.Queue[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                paths.put(self.path.partition("?")[0])
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> "CustomerServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def wait(self) -> str:
        return self._paths.get(timeout=15)


def test_misuse_is_told_in_words(chappe: Chappe) -> None:
    """What there is not is refused where it is asked for, in words that say what there is."""
    for number, fate, words in (("447700900123", "lost", "no such fate"), ("12", "expired", "not a number")):
        with pytest.raises(Misuse, match=words):
            chappe.set_fate(number, fate)
    with pytest.raises(Misuse, match="no account has that number"):
        chappe.send_inbound("Hello", to="447700999999")
    with pytest.raises(Misuse, match="no dialect is called"):
        chappe.call_back(dialect="morse")
    with pytest.raises(Misuse, match="no message of this account"):
        chappe.wait_for_state("17")


def test_others_accounts_are_out_of_reach(chappe: Chappe, chappe_server: ChappeServer) -> None:
    """A phone cannot be made to write to another test's number, and a fate is chosen for one's own messages alone."""
    other = chappe_server.open_account()
    with pytest.raises(Misuse):
        chappe.send_inbound("Hello", to=other.number)
    chappe.set_fate("447700900123", "refused")
    submit(other, "447700900123", "Hello")
    other.wait_for_message().wait_for_state("delivered")
    submit(chappe, "447700900123", "Hello")
    chappe.wait_for_message().wait_for_state("rejected")


def test_a_gateway_ends_with_those_who_ask(tmp_path: Path) -> None:
    """However a test process ends, its gateway ends too; and one that is gone is told of, not waited for."""
    server = ChappeServer()
    server.start()
    process = server._process
    assert process is not None
    account = server.open_account()
    process.kill()
    with pytest.raises(NotAsExpected, match="ended"):
        account.wait_for_message()
    server.stop()
    server.stop()
    with pytest.raises(NotAsExpected, match="has ended"):
        account.messages()
    killed = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert killed.returncode == -9, killed.stderr
    number = int(killed.stdout)
    for _ in range(1_500):
        if not Path(f"/proc/{number}").exists():
            break
        threading.Event().wait(0.01)
    assert not Path(f"/proc/{number}").exists()


ORPHAN = """
import os, signal
from chappe.testing import ChappeServer
server = ChappeServer()
server.start()
print(server._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_gateway_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gateway does not start, the fixture fails with what it said."""
    monkeypatch.setattr("chappe.testing.MODULE", "chappe.no_such_module")
    with pytest.raises(NotStarted, match="No module named"):
        ChappeServer().start()
