"""Other people's clients on real sockets: curl, PHP and Perl, writing requests in the style of the providers' samples.

Paragraphs such as wire 1.1 are those of the facts about each provider's samples.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chappe.app import App
from chappe.store import schema
from parts import require
from whole import PATIENCE_S, apply, rows, settings_in

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0"

[[account]]
name = "alice"
password = "correct horse"
numbers = ["447700900001"]
"""
TEXT = "Hello & Привет + 100% é"
NUMBER = "447700900123"


class House:
    """A running gateway that others ask; `last` is the message that was kept last."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_in(folder)
        apply(self.settings, WORLD)
        self._runner = asyncio.Runner()
        self._app = App(self.settings)
        self._runner.run(self._app.start())

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._app.http_port}"

    def run(self, *words: str, script: str = "") -> str:
        """What a program prints while the gateway runs; it must end well."""

        async def story() -> str:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            async with asyncio.timeout(PATIENCE_S):
                printed, _ = await process.communicate(script.encode())
            assert process.returncode == 0, printed
            return printed.decode()

        return self._runner.run(story())

    @property
    def last(self) -> dict[str, Any]:
        return rows(self.settings, schema.message)[-1]

    def close(self) -> None:
        self._runner.run(self._app.stop())
        self._runner.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway for all clients."""
    built = House(tmp_path_factory.mktemp("clients"))
    yield built
    built.close()


def check_kept(house: House, text: str = TEXT, recipient: str = NUMBER) -> None:
    assert (house.last["text"], house.last["recipient"]) == (text, recipient)


# curl: the options, after which follow the fields of a Proovl submission

FIELDS = {"user": "alice", "token": "correct horse", "from": "447700900001", "to": NUMBER, "text": TEXT}
URLENCODED = [word for name, value in FIELDS.items() for word in ("--data-urlencode", f"{name}={value}")]
MULTIPART = [word for name, value in FIELDS.items() for word in ("--form-string", f"{name}={value}")]
CURL: list[tuple[str, list[str]]] = [
    ("GET", ["--get", *URLENCODED]),
    ("POST, urlencoded", URLENCODED),
    ("POST, multipart", MULTIPART),
    ("HTTP/1.0 GET", ["--http1.0", "--get", *URLENCODED]),
    ("HTTP/1.0 POST", ["--http1.0", *URLENCODED]),
    ("POST with all fields in the query", ["--get", "-X", "POST", *URLENCODED]),
    ("chunked", ["-H", "Transfer-Encoding: chunked", *URLENCODED]),
    ("Expect: 100-continue", ["-H", "Expect: 100-continue", *URLENCODED]),
    ("a connection that closes", ["-H", "Connection: close", *URLENCODED]),
]


@pytest.mark.parametrize("name, words", CURL, ids=[row[0] for row in CURL])
def test_curl(house: House, name: str, words: list[str]) -> None:
    """Whatever way curl writes a form, the text arrives as it was."""
    require("curl", shutil.which("curl") is not None)
    printed = house.run("curl", "-sS", "-i", *words, f"{house.origin}/api/send.php")
    head, _, body = printed.rpartition("\n\n" if "\r\n" not in printed else "\r\n\r\n")
    assert body == f"Sent;{house.last['id']};1"
    assert "200 OK" in head
    assert "transfer-encoding" not in head.lower()
    check_kept(house)


def test_curl_waits_for_the_go_ahead_before_a_large_body(house: House, tmp_path: Path) -> None:
    """With Expect: 100-continue a body of 600 kB follows the interim answer, and arrives whole."""
    require("curl", shutil.which("curl") is not None)
    (tmp_path / "filling").write_text("x" * 600_000)
    words = ["-H", "Expect: 100-continue", "-F", f"ignored=<{tmp_path}/filling", *MULTIPART]
    printed = house.run("curl", "-sS", "-i", *words, f"{house.origin}/api/send.php")
    assert printed.startswith("HTTP/1.1 100 Continue")
    assert printed.endswith(f"Sent;{house.last['id']};1")
    check_kept(house)


def test_curl_keeps_one_connection(house: House) -> None:
    """Three requests of one curl go over one connection."""
    require("curl", shutil.which("curl") is not None)
    url = f"{house.origin}/api/balance.php?user=alice&token=correct+horse"
    printed = house.run("curl", "-sS", "-w", " %{num_connects}\n", url, url, url)
    assert [line.split() for line in printed.splitlines()] == [["0.00", "1"], ["0.00", "0"], ["0.00", "0"]]


# PHP: the providers' own samples are written in it

PHP_ARRAY = """<?php
$curl = curl_init($argv[1] . "/api/send.php");
curl_setopt($curl, CURLOPT_POST, true);
curl_setopt($curl, CURLOPT_POSTFIELDS, array("user" => "alice", "token" => "correct horse", "route" => "1",
    "from" => "447700900001", "to" => "+447700900123", "text" => "Hello & Привет + 100% é"));
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = explode(";", curl_exec($curl));
echo $answer[0] == "Error" ? "failed: $answer[1]" : "id $answer[1] parts $answer[2]";
"""

# A URL written over two lines: behind the question mark follow a line break and 22 blanks (wire 1.1).
PHP_URL = """<?php
$answer = file_get_contents("$argv[1]/en/api/?
                      login=alice&pwd=" . urlencode("correct horse") .
    "&phones=447700900123&msg=" . urlencode("Hello & Привет + 100% é"));
echo (int) $answer;
"""

PHP_CONTEXT = """<?php
$fields = http_build_query(array("login" => "alice", "pwd" => "correct horse", "phones" => "447700900123",
    "msg" => "Hello & Привет + 100% é", "id" => "", "sender" => ""));
$context = stream_context_create(array("http" => array("method" => "POST", "content" => $fields,
    "header" => "Content-Type: application/x-www-form-urlencoded\\r\\n", "protocol_version" => 1.0)));
echo file_get_contents("$argv[1]/ru/api/", false, $context);
"""

PHP_BALANCE = """<?php
echo (float) file_get_contents("$argv[1]/api/balance.php?user=alice&token=" . urlencode("correct horse"));
echo " ", (float) file_get_contents("$argv[1]/api/balance.php?user=alice&token=wrong");
"""

PHP: list[tuple[str, str, str]] = [
    ("Proovl: an array becomes multipart", PHP_ARRAY, "id {id} parts 1"),
    ("SMSFox: a line break and blanks in the URL", PHP_URL, "1"),
    ("SMSFox: a POST in HTTP/1.0 to the Russian address", PHP_CONTEXT, "01"),
]


def require_php() -> None:
    present = shutil.which("php") is not None
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True).stdout.split() if present else []
    require("PHP with its curl module", "curl" in modules)


@pytest.mark.parametrize("name, script, printed", PHP, ids=[row[0] for row in PHP])
def test_php(house: House, tmp_path: Path, name: str, script: str, printed: str) -> None:
    """PHP programs written like the providers' samples send their text and understand the answer."""
    require_php()
    (tmp_path / "sample.php").write_text(script)
    found = house.run("php", str(tmp_path / "sample.php"), house.origin)
    assert found == printed.format(id=house.last["id"])
    check_kept(house)


def test_php_reads_the_balance(house: House, tmp_path: Path) -> None:
    """A balance casts to a number, and a refusal to 0, as such clients wish (proovl 2.5)."""
    require_php()
    (tmp_path / "sample.php").write_text(PHP_BALANCE)
    assert house.run("php", str(tmp_path / "sample.php"), house.origin) == "0 0"


# Perl: announces that it takes trailers, and asks to close (wire 1.1)

PERL = """
use utf8;
use LWP::UserAgent;
my $agent = LWP::UserAgent->new;
my $answer = $agent->post("$ARGV[0]/api/send.php", { user => "alice", token => "correct horse",
    from => "447700900001", to => "447700900123", text => "Hello & Привет + 100% é" });
die $answer->status_line unless $answer->is_success;
print join " ", split /;/, $answer->content;
"""


def test_perl(house: House) -> None:
    """LWP's form, with its TE and Connection headers, is understood, and its answer by LWP."""
    has_perl = shutil.which("perl") is not None
    require("Perl with LWP", has_perl and subprocess.run(["perl", "-MLWP::UserAgent", "-e", "1"]).returncode == 0)
    found = house.run("perl", "-", house.origin, script=PERL)
    assert found == f"Sent {house.last['id']} 1"
    check_kept(house)


def test_python(house: House) -> None:
    """Python's own client, in a process of its own, posts a form and reads the answer."""
    script = (
        "import sys, urllib.parse, urllib.request\n"
        f"fields = urllib.parse.urlencode({FIELDS!r}).encode()\n"
        "print(urllib.request.urlopen(sys.argv[1] + '/api/send.php', fields).read().decode())\n"
    )
    assert house.run("python3", "-", house.origin, script=script) == f"Sent;{house.last['id']};1\n"
    check_kept(house)
