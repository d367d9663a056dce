"""`chappe alias` as the operator meets it: real processes on a real database, also beside a running gateway."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from chappe.client import Client, Refusal, RefusedError
from chappe.store import schema
from chappe.store.database import Database
from test_cli import TIMEOUT_S, Running, run, surroundings

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
password = "a"
balance = "1000.00"
senders = ["ACME"]

[[account]]
name = "bob"
password = "b"
"""
SHOP, CLUB, NOBODY = 1001, 1002, 1003
COMPANY = {"company-name": "Acmé [bold]Ltd"}


@pytest.fixture
def data(tmp_path: Path) -> str:
    """The data folder of a gateway whose accounts have each asked for a sender name."""
    file = tmp_path / "gateway.toml"
    file.write_text(GATEWAY)
    folder = tmp_path / "data"
    assert run("apply", str(file), "--data", str(folder)).returncode == 0
    with Database(f"sqlite:///{folder}/chappe.db").engine.begin() as connection:
        ids = {
            name: account_id
            for account_id, name in connection.execute(select(schema.account.c.id, schema.account.c.name))
        }
        for alias_id, name, sender in [(SHOP, "alice", "Shop"), (CLUB, "bob", "Club")]:
            connection.execute(
                insert(schema.alias).values(
                    id=alias_id,
                    account_id=ids[name],
                    sender=sender,
                    details=json.dumps(COMPANY),
                    state=0,
                    made_ms=1_800_000_000_000,
                )
            )
    return str(folder)


@pytest.fixture
def gateway(data: str) -> Iterator[str]:
    """The address of a gateway that runs on the data folder."""
    running = Running("serve", "--data", data, "--http", "127.0.0.1:0", environment=surroundings())
    try:
        yield running.wait_for(r"accepts requests at (http://127\.0\.0\.1:\d+)")[1]
    finally:
        running.kill()


def listed(data: str, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("alias", "list", "--json", "--data", data, *arguments).stdout)
    return found


def test_aliases_are_listed_for_people(data: str) -> None:
    """The table tells id, account, sender, state and when it was asked for."""
    rows = [line.split() for line in run("alias", "list", "--data", data).stdout.splitlines()]
    assert rows == [
        ["id", "account", "sender", "state", "asked", "for"],
        ["1001", "alice", "Shop", "unconfirmed", "2027-01-15", "08:00"],
        ["1002", "bob", "Club", "unconfirmed", "2027-01-15", "08:00"],
    ]


def test_aliases_are_listed_for_scripts(data: str) -> None:
    """JSON tells all, with who vouches for it; `--account` shows those of one account."""
    assert listed(data, "--account", "bob") == [
        {
            "id": CLUB,
            "account": "bob",
            "sender": "Club",
            "state": "unconfirmed",
            "made_ms": 1_800_000_000_000,
            "details": COMPANY,
        }
    ]
    assert [one["id"] for one in listed(data)] == [SHOP, CLUB]
    assert listed(data, "--account", "nobody") == []


# What the operator says; the state that it comes to.
DECISIONS = [
    (["approve"], "confirmed"),
    (["approve", "--by-regulator"], "confirmed by regulator"),
    (["block"], "blocked"),
    (["block", "--by-regulator"], "blocked by regulator"),
]


@pytest.mark.parametrize("words, state", DECISIONS)
def test_a_decision_is_kept(data: str, words: list[str], state: str) -> None:
    """An alias is approved or blocked, by the operator or the regulator, and the others stay as they were."""
    finished = run("alias", *words, str(SHOP), "--data", data)
    assert (finished.returncode, finished.stdout) == (0, f"Shop of alice is {state}\n")
    assert [one["state"] for one in listed(data)] == [state, "unconfirmed"]


def test_a_running_gateway_follows(data: str, gateway: str) -> None:
    """A gateway that runs takes the sender within a moment of its approval, and refuses it again once it is blocked."""
    with Client("smsfox", gateway + "/en/api/", login="alice", password="a") as client:

        def refusal() -> Refusal | None:
            try:
                client.send(["447700900123"], "x", originator="Shop")
            except RefusedError as error:
                return error.reason
            return None

        assert refusal() is Refusal.FORBIDDEN
        for word, expected in [("approve", None), ("block", Refusal.FORBIDDEN)]:
            assert run("alias", word, str(SHOP), "--data", data).returncode == 0
            deadline_s = time.monotonic() + TIMEOUT_S
            while refusal() is not expected:
                assert time.monotonic() < deadline_s, "the gateway does not follow"


# What is asked of which data folder; the exit code, and words of the message.
WRONG: list[tuple[list[str], int, str]] = [
    (["approve", str(NOBODY)], 1, "no alias has the id 1003: `chappe alias list` shows all"),
    (["approve", "x"], 2, "'x' is not a valid integer range"),
    (["block", "0"], 2, "0 is not in the range"),
    (["block", str(1 << 63)], 2, "is not in the range"),
    (["approve"], 2, "Missing argument 'ID'"),
]


@pytest.mark.parametrize("arguments, code, words", WRONG)
def test_wrong_use_is_told(data: str, arguments: list[str], code: int, words: str) -> None:
    """An id that no alias has ends with 1 and one that is none with 2, and nothing is changed."""
    finished = run("alias", *arguments, "--data", data)
    assert finished.returncode == code
    assert words in finished.stderr
    assert {one["state"] for one in listed(data)} == {"unconfirmed"}


def test_no_gateway_is_made_by_looking(tmp_path: Path) -> None:
    """In a folder without a gateway there is nothing to approve, and none is made."""
    finished = run("alias", "list", "--data", str(tmp_path / "absent"))
    assert finished.returncode == 1
    assert "there is no gateway in" in finished.stderr
    assert not (tmp_path / "absent").exists()
