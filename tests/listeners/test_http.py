"""The HTTP door of the north: paths, caps, pages and carriers' callbacks, over real sockets; and what never shows."""

import asyncio
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chappe import logs
from chappe.app import DIALECTS, App
from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.dialects.base import Dialect, HttpRequest
from chappe.listeners.fronts import Fronts
from chappe.listeners.http import HttpListener
from chappe.listeners.server import HttpServer
from chappe.store import schema
from chappe.store.database import StoreUnavailable
from whole import PATIENCE_S, Sink, ask, counts, eventually, get, post, rows, run, serving, settings_in, wire

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[carrier]]
name = "fox"
kind = "smsfox"
url = "{url}"
login = "canary-login"
password = "canary-upstream"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[route]]
prefix = "33"
carriers = ["fox"]
price = "0.0100"

[[account]]
name = "alice"
password = "canary-password"
balance = "10.00"
senders = ["ACME"]
numbers = ["447700900001"]
receipt_url = "{url}?key=canary-key"
"""


def fox(phones: str = "447700900123", **more: str) -> bytes:
    fields = {"login": "alice", "pwd": "canary-password", "phones": phones, "msg": "canary-text", "sender": "ACME"}
    return post("/en/api/", **(fields | more))


# A listener alone, whose gateway answers as the test says


class Broken(Exception):
    """canary"""


def listening(answer: Callable[[Call], Outcome]) -> HttpListener:
    async def gateway(call: Call, dialect: Dialect, network: str) -> Outcome:
        return answer(call)

    async def page(request: HttpRequest) -> object:
        raise Broken

    return HttpListener(
        dialects=DIALECTS,
        ask=gateway,
        pages={"/broken": page},  # type: ignore[dict-item]
        carrier_callback=lambda key, request: page(request),  # type: ignore[arg-type, return-value]
    )


def answered(raw: bytes, answer: Callable[[Call], Outcome], *, has_door: bool) -> tuple[int, bytes]:
    async def story() -> tuple[int, bytes]:
        listener = listening(answer)
        server = HttpServer(listener, door=listener if has_door else None)
        await server.start()
        try:
            found = await ask(server.port, raw)
            assert found.headers["cache-control"] == "no-store"
            return found.status, found.body
        finally:
            await server.stop(1.0)

    return asyncio.run(story())


def refuse(call: Call) -> Outcome:
    return Refused(Refusal.UNAUTHORISED)


def crash(call: Call) -> Outcome:
    raise Broken


SEND = {"user": "u", "token": "t", "to": "447700900123", "from": "447700900001", "text": "x"}
PATHS: list[tuple[str, bytes, Callable[[Call], Outcome], int, bytes]] = [
    ("a path of SMSFox", get("/en/api/", login="a", pwd="b"), refuse, 200, b"03"),
    ("the same without its slash", get("/api", login="a", pwd="b"), refuse, 200, b"03"),
    ("a path of Proovl", get("/api/balance.php", user="a", token="b"), refuse, 200, b"Error;Authorization error"),
    ("no dialect's path", get("/en/api/nothing"), refuse, 404, b"Not found"),
    ("the root", get("/"), refuse, 404, b"Not found"),
    ("a path in other letters", get("/EN/API/"), refuse, 404, b"Not found"),
    ("a path written with escapes", get("/en/%61pi/"), refuse, 200, b"03"),
    ("a long body within SMSFox's cap", fox(msg="x" * (1 << 19)), refuse, 200, b"03"),
    ("a body over SMSFox's cap", fox(msg="x" * (1 << 20)), refuse, 200, b"02"),
    ("a body over Proovl's cap", post("/api/send.php", text="x" * (1 << 20)), refuse, 200, b"Error;Invalid request"),
    ("a body over a page's cap", post("/nowhere", text="x" * (1 << 20)), refuse, 413, b"Too large"),
    ("a gateway that breaks under SMSFox", fox(), crash, 200, b"07"),
    ("a gateway that breaks under Proovl", post("/api/send.php", **SEND), crash, 200, b"Error;Internal error"),
    ("a page that breaks", get("/broken"), refuse, 500, b"Internal error"),
    ("a carrier's callback that breaks", post("/carrier/key"), refuse, 500, b"Internal error"),
]


@pytest.mark.parametrize("has_door", [False, True], ids=["by ASGI", "by the door"])
@pytest.mark.parametrize("name, raw, answer, status, body", PATHS, ids=[row[0] for row in PATHS])
def test_what_is_answered(
    name: str, raw: bytes, answer: Callable[[Call], Outcome], status: int, body: bytes, has_door: bool
) -> None:
    """The path picks the dialect, and whatever goes wrong is told in that dialect's words, with its status."""
    assert answered(raw, answer, has_door=has_door) == (status, body)


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: h", *headers, "", ""]).encode() + body


FORM = "Content-Type: application/x-www-form-urlencoded"
MANNERS: list[tuple[str, bytes]] = [
    ("plain", request("GET /en/api/?login=a&pwd=b HTTP/1.1", "Connection: close")),
    ("escaped path, no query", request("GET /en/%61pi/ HTTP/1.1", "Connection: close")),
    ("whole URL", request("GET http://h/en/api/?login=a HTTP/1.1", "Connection: close")),
    ("HEAD", request("HEAD /api/balance.php?user=a HTTP/1.1", "Connection: close")),
    ("HTTP/1.0", request("GET /en/api/ HTTP/1.0")),
    ("HTTP/1.0 kept alive, then closed", request("GET /en/api/ HTTP/1.0", "Connection: keep-alive") * 2 + b"\0"),
    ("a body", request("POST /en/api/ HTTP/1.1", FORM, "Connection: close", "Content-Length: 7", body=b"login=a")),
    (
        "a chunked body",
        request("POST /en/api/ HTTP/1.1", FORM, "Connection: close", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ),
    (
        "a pipeline",
        request("GET /en/api/ HTTP/1.1") * 3
        + request("GET /api/balance.php HTTP/1.1")
        + request("GET /en/api/ HTTP/1.1", "Connection: close"),
    ),
    ("a body that is too long", request("POST /en/api/ HTTP/1.1", "Content-Length: 99999999")),
    ("two lengths", request("POST /en/api/ HTTP/1.1", "Content-Length: 1", "Content-Length: 2")),
]


@pytest.mark.parametrize("name, raw", MANNERS, ids=[row[0] for row in MANNERS])
def test_the_door_answers_as_asgi_does(name: str, raw: bytes) -> None:
    """Whichever way a request goes, by ASGI, the door or another process, the octets of its answer are the same."""

    async def octets(make: Callable[[HttpListener], HttpServer | Fronts]) -> bytes:
        server = make(listening(refuse))
        await server.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw)
            async with asyncio.timeout(PATIENCE_S):
                found = await reader.read(-1)
            writer.close()
            return found
        finally:
            await server.stop(1.0)

    by_asgi = asyncio.run(octets(HttpServer))
    assert by_asgi.startswith(b"HTTP/1.")
    assert asyncio.run(octets(lambda listener: HttpServer(listener, door=listener))) == by_asgi
    assert asyncio.run(octets(lambda listener: Fronts(listener, count=1, host="127.0.0.1", port=0))) == by_asgi


# The whole gateway


def test_half_a_request_is_none(tmp_path: Path) -> None:
    """A body that breaks off is not sent, cut as it is; a whole one is, also where nobody waits for the answer."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, WORLD.format(url=sink.url)) as app:
            for cut in (1, 5, 30):
                _, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
                writer.write(fox(msg="Transfer 1000 to account 12345")[:-cut])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            assert (await ask(app.http_port, fox(id="1"))).body == b"01"
            _, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
            writer.write(fox(id="2"))
            await writer.drain()
            writer.close()

            async def are_both_kept() -> bool:
                return [row["reference"] for row in rows(settings, schema.message)] == ["1", "2"]

            await eventually(are_both_kept)

    run(story())


def test_metrics_can_be_parsed_and_count(tmp_path: Path) -> None:
    """/metrics is Prometheus text with each carrier by name, and its figures follow what happens."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, WORLD.format(url=sink.url)) as app:
            for number in ("447700900123", "447700909003", "447700909009", "12"):
                await ask(app.http_port, fox(number))
            await sink.until(lambda calls: len(calls) == 1)

            async def is_quiet() -> bool:
                found = rows(settings, schema.message)
                return sorted(row["state"] for row in found) == ["delivered", "sending", "sent"] and not any(
                    row["node_id"] for row in found
                )

            await eventually(is_quiet)
            answer = await ask(app.http_port, get("/metrics"))
            assert answer.headers["content-type"].startswith("text/plain; version=")
            found = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(answer.body.decode())
                for sample in family.samples
            }
            assert found["chappe_steps_total", ("step", "accepted"), ("subject", "smsfox")] == 3
            assert found["chappe_steps_total", ("step", "refused"), ("subject", "bad_recipient")] == 1
            assert found["chappe_messages_open", ("carrier", "sim"), ("state", "sent")] == 1
            assert found["chappe_messages_doubtful", ("carrier", "sim")] == 1
            for carrier in ("sim", "fox"):
                assert found["chappe_carrier_in_flight", ("carrier", carrier)] == 0
                assert found["chappe_carrier_down", ("carrier", carrier)] == 0
                assert found["chappe_carrier_up", ("carrier", carrier)] == 1
            assert found["chappe_carrier_troubles_total", ("carrier", "sim"), ("reason", "no_answer")] == 1
            assert 0 <= found["chappe_carrier_receipt_seconds", ("carrier", "sim"), ("quantile", "0.5")] < 60
            assert found["chappe_receipts_parked",] == 0

    run(story())


def callback_path(app: App, name: str) -> str:
    directory = app._directory.current
    [carrier] = [one for one in directory.carriers if one.name == name]
    assert len(carrier.callback_key) >= 26
    return f"/carrier/{carrier.callback_key}"


def test_a_carriers_callback_is_answered_once_it_is_kept(tmp_path: Path) -> None:
    """Under its key a carrier's receipt is kept and answered as it expects; without a database it must come again."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, WORLD.format(url=sink.url)) as app:
            port, path = app.http_port, callback_path(app, "fox")
            fields = {"id": "5", "phone": "447700900123", "status": "01"}
            cases = [
                ("unknown key", post("/carrier/wrong", **fields), 404),
                ("no key", post("/carrier/", **fields), 404),
                ("a carrier that is never called back", post(callback_path(app, "sim"), **fields), 404),
                ("no status", post(path, id="5"), 400),
                ("a status of its own", post(path, id="5", status="09"), 400),
                ("nothing", post(path), 400),
                ("rubbish", wire(HttpRequest(method="POST", path=path, body=b"\xff\0\xfe" * 100)), 400),
            ]
            for name, raw, status in cases:
                assert (name, (await ask(port, raw)).status) == (name, status)
            assert rows(settings, schema.parked_receipt) == []
            before = counts(settings)
            for raw in (post(path, **fields), get(path, **(fields | {"id": "6"}))):
                answer = await ask(port, raw)
                assert (answer.status, answer.body) == (200, b"OK")
            parked = [(row["reference"], row["state"]) for row in rows(settings, schema.parked_receipt)]
            assert parked == [("5", "delivered"), ("6", "delivered")]

            def lose() -> None:
                raise StoreUnavailable("away")

            app._store._commits.before_commit = lose
            assert (await ask(port, post(path, **(fields | {"id": "7"})))).status == 503
            app._store._commits.before_commit = None
            assert counts(settings) == before | {"parked_receipt": 2}

    run(story())


# What must never show

CANARIES = ("canary", "correct", "447700900123", "447700909002", "33612345678")


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """The log of the process while inside, at its most talkative."""
    stream = io.StringIO()
    logs.set_up("json", "debug", stream)
    try:
        yield stream
    finally:
        logs.set_up("console", "info")


def test_nothing_secret_is_logged_or_measured(tmp_path: Path) -> None:
    """Passwords, tokens, texts, whole numbers and URLs stay out of log and metrics, through every error there is."""

    async def story(stream: io.StringIO) -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, WORLD.format(url=sink.url)) as app:
            port = app.http_port
            sink.status = 500
            token = {"user": "alice", "token": "canary-password"}
            message = {"from": "447700900001", "to": "447700900123", "text": "canary-text"}
            requests = [
                fox(),
                fox(pwd="canary-wrong"),
                fox("447700909002"),
                fox("447700909003"),
                fox("33612345678"),
                fox(sender="canary-sender"),
                fox(msg="canary " * 200),
                post("/api/send.php", **token, **message),
                post("/api/send.php", **(token | {"token": "canary-wrong"}), **message),
                get("/api/balance.php", **token),
                get("/api/check.php", id="1", phone="447700900123"),
                get("/canary-path", key="canary"),
                post("/carrier/canary-key", id="canary"),
                post(callback_path(app, "fox"), id="canary", status="canary"),
                b"GET /en/api/?pwd=canary HTTP/9.9\r\n\r\n",
                b"canary\r\n\r\n",
            ]
            sources = (f"127.2.0.{last}" for last in itertools.count(1))
            for raw in requests:
                await ask(port, raw, next(sources))
            await sink.until(lambda calls: len(calls) >= 3)

            def lose() -> None:
                raise StoreUnavailable("away")

            app._store._commits.before_commit = lose
            await ask(port, fox(), next(sources))
            app._store._commits.before_commit = None

            async def break_it(call: Call, dialect: Dialect, network: str) -> Outcome:
                raise Broken("canary", call, msgspec.json.encode("canary"))

            app.listener._ask = break_it
            assert (await ask(port, fox(), next(sources))).body == b"07"
            metrics = (await ask(port, get("/metrics"))).body.decode()
        everything = stream.getvalue() + metrics
        assert "request_broke" in everything
        for canary in CANARIES:
            assert canary not in everything

    with logged() as stream:
        run(story(stream))


def test_a_page_answers_in_time(tmp_path: Path) -> None:
    """/healthz answers while the gateway is well, and is never kept by a cache."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD.format(url="http://nobody.invalid/")) as app:
            async with asyncio.timeout(PATIENCE_S):
                answer = await ask(app.http_port, get("/healthz"))
            assert (answer.status, answer.body) == (200, b"ok\n")
            assert answer.headers["cache-control"] == "no-store"

    run(story())
