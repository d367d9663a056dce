"""The whole gateway: from a request on a socket to the callback at the customer's, over restarts and live changes."""

import asyncio
import re
from collections import Counter
from pathlib import Path

import pytest

from chappe.app import App, StartError
from chappe.store import schema
from chappe.store.database import Database
from postgres import PostgresServer
from whole import (
    Answer,
    Call,
    Sink,
    all_are,
    apply,
    ask,
    audit,
    counts,
    eventually,
    get,
    post,
    rows,
    run,
    serving,
    settings_in,
    states,
)

PRICE = 10_000


def world(url: str = "", *, price: str = "0.0100", carrier: str = "", more: str = "") -> str:
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"
{carrier}

[[route]]
prefix = ""
carriers = ["sim"]
price = "{price}"

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"
senders = ["ACME"]
numbers = ["447700900001"]
receipt_url = "{url}"
{more}
"""


def fox(phones: str = "447700900123", **more: str) -> bytes:
    fields = {"login": "alice", "pwd": "correct horse", "phones": phones, "msg": "Hello", "sender": "ACME"}
    return post("/en/api/", **(fields | more))


def pro(to: str = "447700900123", **more: str) -> bytes:
    fields = {"user": "alice", "token": "correct horse", "from": "447700900001", "to": to, "text": "Hello"}
    return post("/api/send.php", **(fields | more))


def test_smsfox_from_end_to_end(tmp_path: Path) -> None:
    """A message submitted in SMSFox is accepted, delivered, charged and called back as SMSFox does."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(sink.url)) as app:
            answer = await ask(app.http_port, fox(id="77"))
            assert (answer.status, answer.body) == (200, b"01")
            [call] = await sink.until(lambda calls: len(calls) == 1)
            assert call.fields == {"id": "77", "phone": "447700900123", "status": "01"}
            assert (call.method, call.path) == ("POST", "/receipt")
            assert call.headers["content-type"] == "application/x-www-form-urlencoded"
            assert audit(settings)["revenue_micros"] == PRICE

    run(story())


def test_proovl_from_end_to_end(tmp_path: Path) -> None:
    """A Proovl submission, its callbacks with the account's token, its status query and the balance afterwards."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(sink.url)) as app:
            port = app.http_port
            answer = await ask(port, pro(text="a" * 161))
            found = re.fullmatch(rb"Sent;([0-9]+);2", answer.body)
            assert found
            message_id = found[1].decode()
            calls = await sink.until(lambda calls: len(calls) == 2)
            token = {"id": message_id, "token": "correct horse"}
            assert [call.fields for call in calls] == [token | {"status": word} for word in ("Sent", "Delivered")]
            state = await ask(port, get("/api/check.php", id=message_id, phone="447700900001"))
            assert state.body == f"{message_id};Delivered;0.02".encode()
            wrong = await ask(port, get("/api/check.php", id=message_id, phone="447700900002"))
            assert wrong.body == b"Error;Message not found"
            balance = await ask(port, get("/api/balance.php", user="alice", token="correct horse"))
            assert balance.body == b"9.98"

    run(story())


def test_on_postgresql_from_end_to_end(tmp_path: Path, postgres_url: str) -> None:
    """The same gateway on PostgreSQL: accepted, delivered, called back, charged, and well."""

    async def story() -> None:
        settings = settings_in(tmp_path, database=postgres_url)
        async with Sink() as sink, serving(settings, world(sink.url)) as app:
            answers = await asyncio.gather(
                *(ask(app.http_port, fox(f"44770090{index:04}", id=str(index + 1))) for index in range(50))
            )
            assert {answer.body for answer in answers} == {b"01"}
            calls = await sink.until(lambda calls: len(calls) == 50)
            assert sorted(int(call.fields["id"]) for call in calls) == list(range(1, 51))
            assert (await ask(app.http_port, get("/healthz"))).status == 200
            assert audit(settings)["revenue_micros"] == 50 * PRICE

    run(story())


def test_health_tells_when_the_database_is_gone(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """/healthz says 503 without a database, /metrics still answers, a submission is refused in its dialect."""
    url = postgres_server.create_database()

    async def story() -> None:
        async with serving(settings_in(tmp_path, database=url), world()) as app:
            port = app.http_port
            assert (await ask(port, get("/healthz"))).body == b"ok\n"
            assert (await ask(port, fox())).body == b"01"
            await asyncio.to_thread(postgres_server.drop_database, url)
            assert (await ask(port, get("/healthz"))).status == 503
            metrics = await ask(port, get("/metrics"))
            assert metrics.status == 200
            assert b"chappe_store_waiting" in metrics.body
            refused = await ask(port, fox())
            assert (refused.status, refused.body) == (200, b"07")

    run(story())


# Stopping and starting again


def test_whatever_was_answered_is_kept_when_it_stops(tmp_path: Path) -> None:
    """Stopped in the middle of a hundred submissions: every 01 is a message, every answer is whole, none is doubled."""

    async def story() -> None:
        settings = settings_in(tmp_path, shutdown_s=5.0)
        apply(settings, world())
        app = App(settings)
        await app.start()
        port = app.http_port
        assert (await ask(port, fox(id="1000"))).body == b"01"
        asking = [asyncio.create_task(ask(port, fox(id=str(index)))) for index in range(1, 101)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        started_s = asyncio.get_running_loop().time()
        await app.stop()
        assert asyncio.get_running_loop().time() - started_s < settings.shutdown_s
        answers = await asyncio.gather(*asking, return_exceptions=True)
        accepted = {str(index) for index, answer in enumerate(answers, start=1) if isinstance(answer, Answer)}
        assert {answer.body for answer in answers if isinstance(answer, Answer)} == {b"01"}
        others = [answer for answer in answers if not isinstance(answer, Answer)]
        assert all(isinstance(error, ConnectionError | asyncio.IncompleteReadError) for error in others)
        kept = Counter(row["reference"] for row in rows(settings, schema.message))
        assert accepted | {"1000"} <= set(kept)
        assert set(kept.values()) == {1}
        audit(settings)

    run(story())


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Queued messages are sent, due callbacks made and parked receipts kept by the next process on the same folder."""

    async def story() -> None:
        settings = settings_in(tmp_path, shutdown_s=1.0)
        async with Sink() as sink:
            sink.gate = asyncio.Event()
            slow = world(sink.url, carrier="throughput = 1.0")
            async with serving(settings, slow) as app:
                for index in range(5):
                    assert (await ask(app.http_port, pro(f"44770090000{index}"))).body.startswith(b"Sent;")
                await sink.until(lambda calls: len(calls) >= 1)
            assert Counter(states(settings))["queued"] >= 2
            sink.gate.set()
            sink.calls.clear()
            async with serving(settings, world(sink.url)):
                await all_are(settings, "delivered")
                ids = {str(row["id"]) for row in rows(settings, schema.message)}

                def is_complete(calls: list[Call]) -> bool:
                    return {call.fields["id"] for call in calls if call.fields["status"] == "Delivered"} == ids

                await sink.until(is_complete)
        assert audit(settings)["revenue_micros"] == 5 * PRICE

    run(story())


@pytest.mark.parametrize("policy, state", [("hold", "sending"), ("resend", "delivered"), ("fail", "undeliverable")])
def test_what_is_doubtful_after_a_restart_follows_the_policy(tmp_path: Path, policy: str, state: str) -> None:
    """A message whose carrier had not answered when the process ended is treated as that carrier's policy says."""

    async def story() -> None:
        settings = settings_in(tmp_path, shutdown_s=0.2)
        async with Sink() as upstream:
            upstream.gate = asyncio.Event()
            remote = world().replace(
                'kind = "simulated"',
                f'kind = "smsfox"\nurl = "{upstream.url}"\nlogin = "l"\npassword = "p"\nuncertain = "{policy}"',
            )
            async with serving(settings, remote) as app:
                assert (await ask(app.http_port, fox())).body == b"01"
                await upstream.until(lambda calls: len(calls) == 1)
            assert states(settings) == ["sending"]
            async with serving(settings, world(carrier=f'uncertain = "{policy}"')):
                await all_are(settings, state)
        audit(settings)

    run(story())


# Starts that fail


def start_error(settings_changes: dict[str, str], folder: Path) -> str:
    async def story() -> str:
        with pytest.raises(StartError) as caught:
            await App(settings_in(folder, **settings_changes)).start()
        return str(caught.value)

    return asyncio.run(story())


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """The data folder belongs to one process; the second is told so, and works once the first has ended."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()):
            with pytest.raises(StartError, match=r"another chappe serves .*; stop it, or choose another .* --data"):
                await App(settings).start()
        async with serving(settings) as app:
            assert (await ask(app.http_port, fox())).body == b"01"

    run(story())


def test_a_port_that_is_taken_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """A start that fails at the port says which, and leaves the folder free for the next try."""

    async def story() -> None:
        async with Sink() as somebody:
            settings = settings_in(tmp_path, http=f"127.0.0.1:{somebody.port}")
            apply(settings, world())
            before = asyncio.all_tasks()
            with pytest.raises(StartError, match=rf"cannot listen on 127.0.0.1:{somebody.port}: .*--http HOST:PORT"):
                await App(settings).start()
            assert asyncio.all_tasks() - before == set()
            assert rows(settings, schema.node) == []
        async with serving(settings_in(tmp_path)) as app:
            assert (await ask(app.http_port, fox())).body == b"01"

    run(story())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"database": "postgresql://nobody:secret@127.0.0.1:1/none"}, "is it running and reachable"),
        ({"allowed_networks": "everywhere"}, "allowed_networks: not a network: 'everywhere'"),
        ({"ca_certificates": "/nowhere.pem"}, "ca_certificates /nowhere.pem: No such file"),
        ({"tls_certificate": "/nowhere.pem", "tls_key": "/nowhere.key"}, "certificate /nowhere.pem with key"),
        ({"data": "/proc/none"}, "cannot use the data folder /proc/none"),
    ],
)
def test_a_start_that_fails_says_why(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    """Each setting that cannot work ends the start with a sentence that names it, without a secret."""
    sentence = start_error(changes, tmp_path)
    assert words in sentence
    assert "secret" not in sentence


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A database that a newer chappe made is left alone, and the sentence says what to install."""
    settings = settings_in(tmp_path)
    apply(settings, world())
    with Database(settings.database_url).engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "install a newer one" in start_error({}, tmp_path)


# Live


def test_a_changed_configuration_is_followed(tmp_path: Path) -> None:
    """A new account, a new price and a removed account take effect in the running gateway within a second."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            port = app.http_port
            loop = asyncio.get_running_loop()
            bob = {"user": "bob", "token": "bobs secret"}
            assert (await ask(port, get("/api/balance.php", **bob))).body == b"Error;Authorization error"
            changed = world(price="0.0300") + '[[account]]\nname = "bob"\npassword = "bobs secret"\nbalance = "1"\n'
            await asyncio.to_thread(apply, settings, changed)
            applied_s = loop.time()

            looks = iter(range(2, 250))  # each from another address: who guesses is slowed down

            async def is_followed() -> bool:
                source = f"127.0.0.{next(looks)}"
                return (await ask(port, get("/api/balance.php", **bob), source)).body == b"1.00"

            await eventually(is_followed)
            assert loop.time() - applied_s < 1.5
            assert (await ask(port, fox())).body == b"01"
            assert [row["price_micros"] for row in rows(settings, schema.message)] == [30_000]
            await asyncio.to_thread(apply, settings, world())

            async def is_gone() -> bool:
                source = f"127.0.0.{next(looks)}"
                return (await ask(port, get("/api/balance.php", **bob), source)).body.startswith(b"Error")

            await eventually(is_gone)

    run(story())


@pytest.mark.parametrize("backup, state", [(', "sim"', "delivered"), ("", "queued")])
def test_what_waits_for_a_removed_carrier_goes_elsewhere(tmp_path: Path, backup: str, state: str) -> None:
    """What waits for a carrier that is removed goes to its backup, or waits on."""
    slow = '[[carrier]]\nname = "slow"\nkind = "simulated"\nthroughput = 0.001\n'
    before = world().replace('carriers = ["sim"]', f'carriers = ["slow"{backup}]') + slow

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, before) as app:
            sent = [(await ask(app.http_port, fox())).body for _ in range(2)]  # the first takes all of the throughput
            assert sent == [b"01", b"01"]
            await eventually(lambda: is_settled("delivered", "queued"))
            await asyncio.to_thread(apply, settings, world())
            await eventually(lambda: is_settled(*sorted(["delivered", state])))
        audit(settings)

    async def is_settled(*wanted: str) -> bool:
        return sorted(states(settings_in(tmp_path))) == list(wanted)

    run(story())


def test_what_it_refuses_leaves_nothing(tmp_path: Path) -> None:
    """With the money at its end the next message is refused, and the figures stay as they are."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world(price="4.00")) as app:
            bodies = [(await ask(app.http_port, fox())).body for _ in range(2)]
            await all_are(settings, "delivered")
            before = counts(settings)
            bodies.append((await ask(app.http_port, fox())).body)
            assert bodies == [b"01", b"01", b"05"]
            assert counts(settings) == before

    run(story())
