"""One Idempotency-Key, one answer, and nothing sent twice: whatever is asked, whoever dies."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from chappe.core.centre import FetchBalance, Refusal, Refused
from chappe.core.ids import IdMaker
from chappe.gateway.idempotency import KEPT_MS, Answer, AnswerDesk, Conflict, Settled
from chappe.process import RandomBits
from chappe.store import schema
from chappe.store.engine import Store
from gateway.middle import Time
from native.house import PHONE, Said, house_in
from store.givens import House as Shelf
from whole import audit, rows, run

Done = TypeVar("Done")
SEED = 20_261_121
MANY = [f"44770090{n:04}" for n in range(300, 305)]


def test_the_same_is_answered_the_same(tmp_path: Path) -> None:
    """The same request again gets the same bytes and status; another body under its key is a conflict."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            first = await house.ask(
                "alice", "POST", "/messages", {"to": [*MANY, "x"], "text": "a"}, idempotency_key="k"
            )
            again = await house.ask(
                "alice", "POST", "/messages", {"to": [*MANY, "x"], "text": "a"}, idempotency_key="k"
            )
            assert (again.status, again.octets, again.headers["idempotency-replayed"]) == (202, first.octets, "true")
            assert again.headers["location"] == first.headers["location"]
            assert "idempotency-replayed" not in first.headers
            other = await house.ask("alice", "POST", "/messages", {"to": MANY, "text": "b"}, idempotency_key="k")
            assert (other.status, other.code) == (422, "idempotency_key_reused")
            assert len(rows(house.app.settings, schema.message)) == len(MANY)
            for who in ("bob", "test"):  # their keys are their own
                theirs = await house.send(who, originator="", text="c")
                named = await house.ask(who, "POST", "/messages", {"to": PHONE, "text": "c"}, idempotency_key="k")
                assert (theirs.status, named.status) == (202, 202)
                assert "idempotency-replayed" not in named.headers
            poor = {"to": [f"4477009{n:05}" for n in range(200)], "text": "x"}
            for is_again in (False, True):  # a refusal is an answer too
                said = await house.ask("bob", "POST", "/messages", poor, idempotency_key="poor")
                assert (said.status, said.code) == (402, "no_funds")
                assert ("idempotency-replayed" in said.headers) == is_again

    run(story())


def test_what_is_kept_of_a_request_gives_no_password_away(tmp_path: Path) -> None:
    """Another password under a key is a conflict, and whoever reads the table can try no passwords quickly."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            wish = {"name": "child", "password": "long enough"}
            for body, status in ((wish, 201), (wish, 201), (wish | {"password": "long enough 2"}, 422)):
                said = await house.ask("alice", "POST", "/accounts", body, idempotency_key="k")
                assert said.status == status
            [row] = rows(house.app.settings, schema.kept_answer)
            quick = sha256(b"\n".join((b"POST", b"/v1/accounts", msgspec.json.encode(wish)))).hexdigest()
            assert row["request_digest"] != quick

    run(story())


def test_credit_moves_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the answer breaks off behind what was done, asking again under the key does not do it again."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            wish = {"name": "child", "password": "long enough"}
            path = f"/accounts/{(await house.ask('alice', 'POST', '/accounts', wish)).body['id']}"

            async def away(*_: object) -> Refused:
                return Refused(Refusal.OVERLOADED)

            def give() -> Coroutine[Any, Any, Said]:
                return house.ask("alice", "PATCH", path, {"credit": "5"}, idempotency_key="k")

            with monkeypatch.context() as patched:
                answers: dict[Any, Any] = {**house.app.desks.front._answers, FetchBalance: away}
                patched.setattr(house.app.desks.front, "_answers", answers)
                assert (await give()).status == 503
            assert (await give()).code == "idempotency_unknown"
            child = (await house.ask("alice", "GET", path)).body
            assert child["balance"]["amount"] == "5.00"
            poor = {"credit": "1000"}
            said = [await house.ask("alice", "PATCH", path, poor, idempotency_key="poor") for _ in range(2)]
            assert [one.code for one in said] == ["no_funds"] * 2

    run(story())


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """A key has 1 to 255 printable ASCII characters; the quotes of a structured field are no part of it."""

    async def story() -> None:
        async with house_in(tmp_path) as house:
            for key in ("x" * 256, "é", "a\tb"):
                said = await house.ask("alice", "POST", "/messages", {"to": PHONE, "text": "a"}, idempotency_key=key)
                assert said.body["errors"][0]["pointer"] == "Idempotency-Key", key
            for key in ("x" * 255, '"8e03978e-40d5"', "8e03978e-40d5"):
                said = await house.ask("alice", "POST", "/messages", {"to": PHONE, "text": "a"}, idempotency_key=key)
                assert said.status == 202
            assert "idempotency-replayed" in said.headers

    run(story())


def test_at_once_it_is_done_once(tmp_path: Path) -> None:
    """Of many that ask the same at once one sends; the others are told to wait, or told the same."""

    async def story() -> None:
        async with house_in(tmp_path) as house:

            def ask() -> Any:
                return house.ask("alice", "POST", "/messages", {"to": MANY, "text": "a"}, idempotency_key="k")

            said: list[Said] = await asyncio.gather(*(ask() for _ in range(12)))
            told = {one.octets for one in said if one.status == 202}
            assert len(told) == 1
            assert {one.code for one in said if one.status != 202} <= {"idempotency_in_progress"}
            assert (await ask()).octets in told
            assert len(rows(house.app.settings, schema.message)) == len(MANY)

    run(story())


def test_a_key_stands_for_its_first_request(tmp_path: Path) -> None:
    """Whatever the order, each key sends once what it was first used for, and never anything else."""
    chance = random.Random(SEED)

    async def story() -> None:
        async with house_in(tmp_path) as house:
            firsts: dict[str, tuple[str, bytes]] = {}
            for _ in range(60):
                key, text = f"key {chance.randrange(12)}", chance.choice("xyz")
                said = await house.ask("alice", "POST", "/messages", {"to": PHONE, "text": text}, idempotency_key=key)
                first_text, first_octets = firsts.setdefault(key, (text, said.octets))
                assert (said.status == 202) == (text == first_text)
                assert said.status != 202 or said.octets == first_octets
            kept = sorted(row["text"] for row in rows(house.app.settings, schema.message))
            assert kept == sorted(text for text, _ in firsts.values())

    run(story())


# Whoever dies

VICTIM = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from chappe.store import schema
from native.house import House
from whole import rows, serving, settings_in

def has_come(settings):
    answers, messages = rows(settings, schema.kept_answer), rows(settings, schema.message)
    stage = "answered" if answers and answers[0]["status"] else "kept" if messages else "reserved" if answers else ""
    return stage == {stage!r}

async def die(settings):
    async with serving(settings) as app:
        house = House(app)
        house.proofs["alice"] = open({proof!r}).read()
        app._store._commits.after_commit = lambda: has_come(settings) and os.kill(os.getpid(), signal.SIGKILL)
        await house.ask("alice", "POST", "/messages", {{"to": {many!r}, "text": "a"}}, idempotency_key="k")

asyncio.run(die(settings_in(Path({folder!r}))))
"""


@pytest.mark.parametrize("stage", ["reserved", "kept", "answered"])
def test_a_kill_between_any_two_commits_sends_nothing_twice(tmp_path: Path, stage: str) -> None:
    """Killed with the ids reserved, the messages kept, or the answer kept, the same asked again sends each once."""
    folder, proof = tmp_path / "house", tmp_path / "key"

    async def prepare() -> None:
        async with house_in(folder) as house:
            proof.write_text(house.proofs["alice"])

    run(prepare())
    script = VICTIM.format(
        tests=str(Path(__file__).parents[1]), proof=str(proof), stage=stage, many=MANY, folder=str(folder)
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]

    async def ask_again() -> None:
        async with house_in(folder, world="") as house:
            house.proofs["alice"] = proof.read_text()
            body = {"to": MANY, "text": "a"}
            said = await house.ask("alice", "POST", "/messages", body, idempotency_key="k")
            assert said.status == 202, said
            assert ("idempotency-replayed" in said.headers) == (stage == "answered")
            assert [one["recipient"] for one in said.body["messages"]] == MANY
            kept = rows(house.app.settings, schema.message)
            assert [str(row["id"]) for row in kept] == [one["id"] for one in said.body["messages"]]
            again = await house.ask("alice", "POST", "/messages", body, idempotency_key="k")
            assert again.octets == said.octets
        audit(house.app.settings)

    run(ask_again())


# The desk


def finished(store: Store, coroutine: Coroutine[Any, Any, Done]) -> Done:
    """The end of something that waits for commits alone."""
    try:
        while True:
            coroutine.send(None)
            store.commit_once()
    except StopIteration as end:
        found: Done = end.value
        return found


def test_answers_are_kept_a_day(tmp_path: Path) -> None:
    """A day later the key is free again, whether or not it was swept; what was begun elsewhere is told as unknown."""
    house = Shelf(f"sqlite:///{tmp_path}/chappe.db")
    time = Time()
    desk = AnswerDesk(store=house.store, clock=time, ids=IdMaker(RandomBits()))
    done: list[int] = []

    def once(request: bytes, ids_count: int = 1, *, is_final: bool = True) -> Answer | Conflict:
        async def carry_out(first_id: int) -> Settled:
            done.append(first_id)
            return Settled(Answer(status=202, body=str(len(done))), is_final)

        return finished(house.store, desk.once(7, "live k", request, ids_count, carry_out))

    assert once(b"a") == Answer(status=202, body="1")
    assert once(b"a") == Answer(status=202, body="1", is_replayed=True)
    assert once(b"b") is Conflict.OTHER_REQUEST
    time.now_s += KEPT_MS / 1000 + 1
    assert once(b"b") == Answer(status=202, body="2")
    time.now_s += KEPT_MS / 1000 + 1
    finished(house.store, desk.sweep_once())
    assert house.rows(schema.kept_answer) == []
    assert once(b"c", is_final=False) == Answer(status=202, body="3")
    assert once(b"c") == Answer(status=202, body="4")
    assert done[2] == done[3]  # tried again under the same ids
    assert once(b"d", 0) is Conflict.OTHER_REQUEST
    other = AnswerDesk(store=house.store, clock=time, ids=IdMaker(RandomBits()))
    begun = other.once(7, "live rent", b"r", 0, lambda _: asyncio.Future(loop=house._loop))
    begun.send(None)
    house.store.commit_once()
    begun.send(None)
    assert finished(house.store, desk.once(7, "live rent", b"r", 0, never)) is Conflict.UNKNOWN
    begun.close()
    house.close()


async def never(_first_id: int) -> Settled:
    raise AssertionError("it was carried out twice")
