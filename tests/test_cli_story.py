"""`chappe status ID --story` as the operator meets it: real processes, beside a running gateway and without one."""

import json
import time
from pathlib import Path

from chappe.cli.story import lines_of
from chappe.client import Client
from chappe.core.story import Chapter, Kind
from test_cli import TIMEOUT_S, Running, run, surroundings
from test_cli_carriers import GATEWAY


def test_the_story_is_read_from_the_database_of_a_running_gateway(tmp_path: Path) -> None:
    """A message just sent is told from its acceptance on, as a table and as JSON; a wrong id is told in one line."""
    file, data = tmp_path / "gateway.toml", str(tmp_path / "data")
    file.write_text(GATEWAY)
    assert run("apply", str(file), "--data", data).returncode == 0
    environment = {**surroundings(), "CHAPPE_KEEP_REQUESTS": "1"}
    running = Running("serve", "--data", data, "--http", "127.0.0.1:0", environment=environment)
    try:
        url = running.wait_for(r"accepts requests at (http://127\.0\.0\.1:\d+)")[1]
        with Client("smsfox", url, login="alice", password="a") as client:
            client.send("447700900123", "Привет")
        with Client("smscentre", url, login="alice", password="a") as client:
            reference = client.send("447700900123", "Hello").reference
        by_kind = wait_for_request(reference, data)
    finally:
        assert running.stop() == 0
    told = run("status", reference, "--story", "--data", data)
    assert told.returncode == 0, told.stderr
    for words in ("The message was accepted", "The carrier took it", "as it was when the message was accepted"):
        assert words in told.stdout
    assert by_kind["encoded"]["Alphabet"] == "GSM 7-bit"
    assert by_kind["requested"]["Dialect"] == "smscentre"
    assert '"a"' not in json.dumps(by_kind["requested"])
    assert "psw=a" not in json.dumps(by_kind["requested"])
    assert "there is no message 12" in run("status", "12", "--story", "--data", data).stderr
    assert "decimal digits" in run("status", "abc", "--story", "--data", data).stderr
    assert "belong to --story" in run("status", "12", "--data", data).stderr
    assert "there is no gateway" in run("status", "12", "--story", "--data", str(tmp_path / "none")).stderr


def wait_for_request(reference: str, data: str) -> dict[str, dict[str, str]]:
    """The facts of the story by kind, once the request is in it: that is written a moment later."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        fields = json.loads(run("status", reference, "--story", "--json", "--data", data).stdout)
        assert fields["message_id"] == reference
        by_kind = {one["kind"]: one["facts"] for one in fields["chapters"]}
        if "Dialect" in by_kind["requested"]:
            return by_kind
        assert time.monotonic() < deadline_s


def test_what_came_from_outside_commands_no_terminal() -> None:
    """Control characters of a carrier's words are shown, not obeyed, and long words go on in the next lines."""
    chapter = Chapter(at_ms=0, kind=Kind.REJECTED, title="", facts=(("Said", "\x1b[2J\rboo\nsecond " + "word " * 30),))
    lines = list(lines_of(chapter))
    assert lines[0] == ("Said", "\\x1b[2J\\rboo")
    assert [name for name, _ in lines[1:]] == [""] * (len(lines) - 1)
    assert lines[1][1].startswith("second word")
    assert len(lines) == 4
