"""Other people's clients on real sockets: curl, PHP and Perl, writing requests in the style of the providers' samples.

Paragraphs such as wire 1.1 are those of the facts about each provider's samples.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
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

# voip-communications.net: an array of fields, key and password by HTTP Basic (voipcom 3.1, 3.2)
PHP_BASIC = """<?php
$curl = curl_init($argv[1] . "/api-v2/index.php/sms/send");
curl_setopt($curl, CURLOPT_USERPWD, "alice:correct horse");
curl_setopt($curl, CURLOPT_POSTFIELDS, array("from" => "447700900001", "to" => "447700900123",
    "msg" => "Hello & Привет + 100% é", "delivery_date" => "2010-10-10 10:10"));
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = json_decode(curl_exec($curl), true);
foreach ($answer["send_log"] as $entry) { echo "$entry[code] $entry[to] $entry[country] ", strlen($entry["smsid"]); }
"""

# smsend.it: log in, then a JSON body under two headers; what the log-in says is used as it comes (smsend 4.2, 4.6)
PHP_REST = """<?php
$base = $argv[1] . "/API/v1.0/REST/";
$curl = curl_init($base . "login?username=alice&password=" . urlencode("correct horse"));
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$keys = explode(";", curl_exec($curl));
$curl = curl_init($base . "sms");
curl_setopt($curl, CURLOPT_HTTPHEADER, array("Content-type: application/json", "user_key: " . $keys[0],
    "Session_key: " . $keys[1]));
curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode(array("message" => "Hello & Привет + 100% é", "message_type" => "N",
    "returnCredits" => true, "recipient" => array("+447700900123"), "sender" => null,
    "scheduled_delivery_time" => date("YmdHis", time() - 60))));
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
$answer = json_decode(curl_exec($curl));
echo curl_getinfo($curl, CURLINFO_HTTP_CODE), " $answer->result $answer->total_sent";
"""

# SMS Centre: the numbers of fmt=1 and cost=3, as libraries that are older than JSON read them (smscentre 2.4)
PHP_NUMBERS = """<?php
$curl = curl_init($argv[1] . "/sys/send.php");
curl_setopt($curl, CURLOPT_POSTFIELDS, http_build_query(array("login" => "alice", "psw" => md5("correct horse"),
    "fmt" => "1", "phones" => "447700900123", "mes" => "Hello & Привет + 100% é", "translit" => "0", "id" => "0",
    "sender" => "", "time" => "0", "cost" => "3", "charset" => "utf-8")));
curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
list($id, $count, $cost, $balance) = explode(",", curl_exec($curl));
echo $count > 0 ? "id $id, $count SMS, $cost, $balance left" : "error " . -$count;
"""

PHP: list[tuple[str, str, str]] = [
    ("Proovl: an array becomes multipart", PHP_ARRAY, "id {id} parts 1"),
    ("SMSFox: a line break and blanks in the URL", PHP_URL, "1"),
    ("SMSFox: a POST in HTTP/1.0 to the Russian address", PHP_CONTEXT, "01"),
    ("voip-communications.net: an array under HTTP Basic", PHP_BASIC, "200 447700900123 GB 27"),
    ("smsend.it: log in, then JSON", PHP_REST, "201 OK 1"),
    ("SMS Centre: four numbers", PHP_NUMBERS, "id {id}, 1 SMS, 0.00, 0.00 left"),
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


# smsend.it in the manner of the Perl sample: a content type on the GET, and a header that is literally user_key.
PERL_REST = """
use utf8;
use LWP::UserAgent;
my $base = "$ARGV[0]/API/v1.0/REST/";
my $agent = LWP::UserAgent->new;
my $login = $agent->get($base . "login?username=alice&password=correct+horse", "Content-Type" => "application/json");
my ($user_key, $session_key) = split /;/, $login->content;
my $body = '{"message_type":"N","message":"Hello & Привет + 100% é","recipient":["+447700900123"]}';
utf8::encode($body);
my $answer = $agent->post($base . "sms", "Content-Type" => "application/json", ":user_key" => $user_key,
    ":Session_key" => $session_key, Content => $body);
print $answer->code;
"""


def test_perl_in_rest(house: House) -> None:
    """LWP sends `user_key` as it is written, and is understood (smsend 4.17)."""
    has_perl = shutil.which("perl") is not None
    require("Perl with LWP", has_perl and subprocess.run(["perl", "-MLWP::UserAgent", "-e", "1"]).returncode == 0)
    assert house.run("perl", "-", house.origin, script=PERL_REST) == "201"
    check_kept(house)


def test_curl_with_doubled_slashes_and_the_go_ahead(house: House) -> None:
    """Java's doubled slash and C#'s Expect both reach the REST dialect; curl's own clock sees 201 (smsend 4.17)."""
    require("curl", shutil.which("curl") is not None)
    base = f"{house.origin}/API/v1.0/REST/"
    user_key, session_key = house.run("curl", "-sS", f"{base}/login?username=alice&password=correct%20horse").split(";")
    headers = ["-H", f"User_key: {user_key}", "-H", f"session_key: {session_key}", "-H", "Expect: 100-continue"]
    body = msgspec.json.encode({"message_type": "L", "message": TEXT, "recipient": [f"+{NUMBER}"]}).decode()
    words = [*headers, "-H", "Content-Type: application/json; charset=utf-8", "-d", body, "-w", "%{http_code}"]
    assert house.run("curl", "-sS", "-o", "/dev/null", *words, f"{base}//sms").endswith("201")
    check_kept(house)


APPRISE = """
import sys
from apprise import Apprise
from apprise.plugins.smsc import NotifySMSC
NotifySMSC.notify_url = sys.argv[1] + "/sys/send.php"
told = Apprise()
told.add("smsc://alice:correct%20horse@447700900123/")
print(bool(told.notify("Hello & 100% of it")))
"""


def test_apprise(house: House) -> None:
    """Apprise sends through SMS Centre's door and takes the answer for a success."""
    assert house.run(sys.executable, "-", house.origin, script=APPRISE).endswith("True\n")
    check_kept(house, "Hello & 100% of it")


APPRISE_WRONG = APPRISE.replace("correct%20horse", "wrong")


def test_apprise_hears_a_refusal(house: House) -> None:
    """With a wrong password Apprise reports a failure, as it would with the provider."""
    assert house.run(sys.executable, "-", house.origin, script=APPRISE_WRONG).endswith("False\n")


def test_python(house: House) -> None:
    """Python's own client, in a process of its own, posts a form and reads the answer."""
    script = (
        "import sys, urllib.parse, urllib.request\n"
        f"fields = urllib.parse.urlencode({FIELDS!r}).encode()\n"
        "print(urllib.request.urlopen(sys.argv[1] + '/api/send.php', fields).read().decode())\n"
    )
    assert house.run("python3", "-", house.origin, script=script) == f"Sent;{house.last['id']};1\n"
    check_kept(house)
