"""`chappe carriers` as the operator meets it: real processes, beside a running gateway and without one."""

import json
import signal
import time
from pathlib import Path
from typing import Any

from chappe.client import Client
from test_cli import TIMEOUT_S, Running, run, surroundings

GATEWAY = """
[[carrier]]
name = "sim"
kind = "simulated"

[[carrier]]
name = "acme"
kind = "smpp"
host = "127.0.0.1"
port = 1
system_id = "u"
password = "p"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "a"
balance = "1000.00"
"""


def test_every_carrier_is_shown_live_and_marked_when_nothing_runs(tmp_path: Path) -> None:
    """Beside a server its binds, rates and errors are shown, after it only that it is not running."""
    file, data = tmp_path / "gateway.toml", str(tmp_path / "data")
    file.write_text(GATEWAY)
    assert run("apply", str(file), "--data", data).returncode == 0
    environment = {**surroundings(), "CHAPPE_ALLOWED_NETWORKS": "127.0.0.0/8"}
    running = Running("serve", "--data", data, "--http", "127.0.0.1:0", environment=environment)
    try:
        url = running.wait_for(r"accepts requests at (http://127\.0\.0\.1:\d+)")[1]
        with Client("smsfox", url, login="alice", password="a") as client:
            client.send("447700900123", "Hello")
        sim, acme = wait_for_receipts(data)
        assert (sim["carrier"], sim["kind"], sim["waiting"]) == ("sim", "simulated", 0)
        assert (sim["links"][0]["state"], sim["links"][0]["is_stale"]) == ("up", False)
        assert (acme["links"][0]["state"], acme["links"][0]["binds_wanted"]) == ("down", 1)
        lines = run("carriers", "--data", data).stdout.splitlines()
        shown = [line.split()[:4] for line in lines[1:]]
        assert shown == [["sim", "simulated", "up", "-"], ["acme", "smpp", "down", "0/1"]]
        assert "connection refused" in lines[2]
        watching = Running("carriers", "--watch", "--data", data, environment=environment)
        for _ in range(2):
            watching.wait_for("^sim ")
        assert watching.stop(signal.SIGINT) == 0
        assert running.stop() == 0
    finally:
        running.kill()
    after = run("carriers", "--data", data).stdout.splitlines()[1:]
    assert [line.split()[2:4] for line in after] == [["not", "running"]] * 2


def wait_for_receipts(data: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found: list[dict[str, Any]] = json.loads(run("carriers", "--json", "--data", data).stdout)
        if all(one["links"] for one in found) and found[0]["links"][0]["receipt_p50_ms"] is not None:
            return found
    raise AssertionError("no receipt's lag was ever told")


def test_there_has_to_be_a_gateway(tmp_path: Path) -> None:
    """Without a database the command fails and says how to make one."""
    done = run("carriers", "--data", str(tmp_path / "nothing"))
    assert (done.returncode, "chappe apply" in done.stderr) == (1, True)
