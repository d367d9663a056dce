"""What is kept of requests by a whole gateway: by every door, refused ones too, and nothing that nobody wants."""

import asyncio
import base64
from pathlib import Path

import pytest

from chappe.app import App
from chappe.core.ids import IdMaker
from chappe.core.model import TEST_CARRIER
from chappe.core.people import EVERYTHING, OF_ACCOUNTS, Sight
from chappe.dialects.base import HttpRequest, HttpResponse
from chappe.gateway.requests import HOUR_MS, WAITING_MAX, WAITING_OCTETS_MAX, RequestBook
from chappe.listeners.keeping import notes_of, secrets_of, submission_named
from chappe.smpp.pdu import SubmitSmResponse
from chappe.store import schema
from chappe.store.requests import KeptRequest
from listeners.esmes import a_submit, bound
from whole import all_are, ask, get, post, rows, run, serving, settings_in, wire

PASSWORD = "correct horse"
WORLD = f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "{PASSWORD}"
balance = "100.00"

[[account]]
name = "bob"
password = "battery staple"
balance = "100.00"
"""
BASIC = base64.b64encode(f"alice:{PASSWORD}".encode())


async def everything(app: App) -> list[KeptRequest]:
    return await app.desks.requests.latest(EVERYTHING)


@pytest.mark.parametrize("fronts", [0, 1])
def test_requests_are_kept_with_their_answers(tmp_path: Path, fronts: int) -> None:
    """What was accepted and what was refused is kept, by whichever door it came, without secrets."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1, fronts=fronts), WORLD) as app:
            port = app.http_port
            sent = await ask(port, get("/en/api/", login="alice", pwd=PASSWORD, phones="447700900123", msg="Hello"))
            await ask(port, post("/en/api/", login="alice", pwd="wrong horse", phones="447700900123", msg="Hello"))
            await ask(port, get("/en/api/", login="bob", pwd="battery staple", phones="1", msg="Hello"))
            kept = list(reversed(await everything(app)))
            assert sent.body == b"01"
            first = kept[0]
            assert (first.method, first.dialect, first.status, first.answer) == ("GET", "smsfox", 200, "01")
            assert [bool(one.submission_id) for one in kept] == [True, False, False]
            alice, nobody, bob = (one.account_id for one in kept)
            assert nobody == 0 != alice != bob
            assert kept[0].target == "/en/api/?login=alice&pwd=***&phones=447700900123&msg=Hello"
            assert "pwd=***&" in kept[1].body
            assert "horse" not in repr(kept)
            assert "staple" not in repr(kept)
            assert await app.desks.requests.of_submission(kept[0].submission_id) == [kept[0]]
            assert [one.account_id for one in await app.desks.requests.latest(Sight(frozenset({bob})))] == [bob]

    run(story())


def test_nothing_is_kept_unasked(tmp_path: Path) -> None:
    """Without the setting no request is kept, nor looked at."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            answer = await ask(
                app.http_port, get("/en/api/", login="alice", pwd=PASSWORD, phones="447700900123", msg="Hello")
            )
            assert answer.body == b"01"
            assert await everything(app) == []
            assert app.listener._requests is None

    run(story())


def test_a_body_that_is_too_large_is_told_of(tmp_path: Path) -> None:
    """Of a request whose body no dialect takes, what came before it is kept with the refusal."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            request = HttpRequest(method="POST", path="/en/api/", query=b"pwd=Guess42", body=b"x" * 9_000_000)
            answer = await ask(app.http_port, wire(request))
            [one] = await everything(app)
            assert (one.target, one.body, one.answer) == ("/en/api/?pwd=***", "", answer.body.decode())

    run(story())


def test_the_native_api_is_listened_to(tmp_path: Path) -> None:
    """Requests to the native API are kept with account and submission, and without the password or key."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            request = HttpRequest(
                method="POST",
                path="/v1/messages",
                headers=((b"authorization", b"Basic " + BASIC), (b"content-type", b"application/json")),
                body=b'{"to": ["447700900123"], "text": "Hello"}',
            )
            answer = await ask(app.http_port, wire(request))
            assert answer.status in (200, 201, 202)
            [one] = await everything(app)
            assert (one.dialect, one.target, one.status) == ("chappe", "/v1/messages", answer.status)
            assert one.submission_id
            assert one.account_id
            assert "Hello" in one.body
            assert BASIC.decode() not in repr(one)
            assert "horse" not in repr(one)

    run(story())


@pytest.mark.parametrize("fronts", [0, 1])
def test_a_test_key_leaves_its_requests_and_nothing_else(tmp_path: Path, fronts: int) -> None:
    """What a test key sends is delivered for nothing, by no real carrier, and its requests alone are kept."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=fronts), WORLD) as app:
            alice = app.desks.directory().accounts_by_name["alice"]
            key = await app.desks.keys.make(alice.id, "ci", sorted(OF_ACCOUNTS), True)
            secret = key[1].value
            request = HttpRequest(
                method="POST",
                path="/v1/messages",
                headers=((b"authorization", f"Bearer {secret}".encode()), (b"content-type", b"application/json")),
                body=b'{"to": ["447700900123"], "text": "Your code is 4821"}',
            )
            answer = await ask(app.http_port, wire(request))
            assert answer.status in (200, 201, 202), answer.body
            live = get("/en/api/", login="alice", pwd=PASSWORD, phones="447700900123", msg="Hello")
            assert (await ask(app.http_port, live)).body == b"01"
            await all_are(app.settings, "delivered", "delivered")
            tested, sent = rows(app.settings, schema.message)
            assert (tested["carrier_id"], tested["price_micros"]) == (TEST_CARRIER.id, 0)
            assert (sent["carrier_id"] > 0, sent["price_micros"]) == (True, 10_000)
            phases = [row["phase"] for row in rows(app.settings, schema.entry) if row["source_id"] == tested["id"]]
            assert phases == []
            [one] = await everything(app)
            assert (one.account_id, one.submission_id) == (alice.id, tested["id"])
            assert secret not in repr(one)
            assert ("authorization", "Bearer ***") in [(name.lower(), value) for name, value in one.headers]

    run(story())


def test_what_binds_submit_is_kept_in_words(tmp_path: Path) -> None:
    """A submit_sm and its answer are kept with their fields by name, refused ones too, and no password with them."""

    async def story() -> None:
        settings = settings_in(tmp_path, keep_requests=1, smpp="127.0.0.1:0")
        async with (
            serving(settings, WORLD.replace(PASSWORD, "secret8")) as app,
            bound(app.smpp_port, password="secret8") as one,
        ):
            taken = await one.ask(a_submit(b"Hello"))
            await one.ask(a_submit(b"secret8 \xff", destination="12"))
            kept = list(reversed(await everything(app)))
            assert [(each.method, each.dialect, bool(each.submission_id)) for each in kept] == [
                ("submit_sm", "smpp", True),
                ("submit_sm", "smpp", False),
            ]
            assert "destination: 447700900123\n" in kept[0].body
            assert "short_message: Hello" in kept[0].body
            assert kept[0].answer.startswith("OK\nmessage_id: ")
            assert isinstance(taken.body, SubmitSmResponse)
            assert str(kept[0].submission_id) in kept[0].answer
            assert "hex " in kept[1].body
            assert kept[1].status != 0
            assert "secret8" not in repr(kept)
            assert b"secret8".hex() not in repr(kept)

    run(story())


def test_what_proves_who_asks_is_read_off_its_header() -> None:
    """A key, and a password behind a name, are known as secrets, however broken the header is."""
    assert list(secrets_of(b"Bearer test_abc ")) == ["test_abc"]
    assert list(secrets_of(b"basic " + BASIC)) == [BASIC.decode(), PASSWORD]
    assert list(secrets_of(b"Basic ***")) == ["***"]
    assert list(secrets_of(b"")) == []
    assert list(secrets_of(b"Digest x")) == []


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (201, b'{"submission_id": "17"}', 17),
        (400, b'{"submission_id": "17"}', 0),
        (200, b'{"submission_id": 17}', 0),
        (200, b'{"submission_id": "-1"}', 0),
        (200, b'["submission_id"]', 0),
        (200, b'{"submission_id"', 0),
        (200, b"", 0),
    ],
)
def test_an_answer_names_its_submission(status: int, body: bytes, found: int) -> None:
    """Where nobody said which submission a request led to, its answer does, if it can be read."""
    assert submission_named(HttpResponse(status=status, body=body)) == found


def test_notes_go_nowhere_where_nobody_listens() -> None:
    """Whoever answers may always say whose request it is."""
    notes_of({}).account_id = 1
    notes_of({"state": {"kept": "rubbish"}}).secrets.add("x")


# The book


REQUEST = HttpRequest(method="GET", path="/a", query=b"x=\0&pwd=secret99")


@pytest.mark.parametrize(
    ("hours", "is_test", "kept_hours"), [(0, False, 0), (0, True, 24), (1, True, 24), (48, True, 48)]
)
def test_requests_of_test_keys_are_always_kept(tmp_path: Path, hours: int, is_test: bool, kept_hours: int) -> None:
    """Where requests are not kept, those of test keys are, for a day; where they are kept for longer, so are those."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=hours), WORLD) as app:
            book = app.desks.requests
            assert book.keeps(is_test=is_test) is bool(kept_hours)
            book.note(REQUEST, HttpResponse(), dialect="a", is_test=is_test)
            kept = await everything(app)
            assert [round((one.expires_ms - one.made_ms) / HOUR_MS) for one in kept] == [kept_hours] * bool(kept_hours)
            assert all(one.target == "/a?x=&pwd=***" for one in kept)

    run(story())


def test_what_cannot_be_written_is_not_kept(tmp_path: Path) -> None:
    """More requests than can wait, or larger ones, are let go: neither memory nor callers pay for them."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            book = RequestBook(store=app._store, clock=app._clock, ids=IdMaker(lambda _bits: 7), hours=1)
            for _ in range(WAITING_MAX + 50):
                book.note(REQUEST, HttpResponse(), dialect="a")
            assert await book.run_once() == WAITING_MAX
            large = HttpRequest(method="POST", path="/a", body=b"x" * (WAITING_OCTETS_MAX - 100))
            book.note(large, HttpResponse(), dialect="a")
            book.note(large, HttpResponse(), dialect="a")
            assert await book.run_once() == 1
            assert await book.run_once() == 0
            assert await book.sweep_once() == 0

    run(story())


def test_a_round_that_is_broken_off_loses_nothing(tmp_path: Path) -> None:
    """Requests whose writing is cancelled, by whoever asked or by the gateway's end, are written by the next round."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            book = RequestBook(store=app._store, clock=app._clock, ids=app._ids, hours=1)
            for _ in range(3):
                book.note(REQUEST, HttpResponse(), dialect="a")
            broken_off = asyncio.create_task(book.run_once())
            await asyncio.sleep(0)
            broken_off.cancel()
            with pytest.raises(asyncio.CancelledError):
                await broken_off
            assert await book.run_once() == 3
            assert await book.run_once() == 0

    run(story())


def test_a_gateway_that_ends_keeps_what_it_heard_last(tmp_path: Path) -> None:
    """Requests of the last moment are written before the gateway ends."""

    async def story() -> None:
        settings = settings_in(tmp_path, keep_requests=1)
        async with serving(settings, WORLD) as app:
            app.desks.requests.note(REQUEST, HttpResponse(), dialect="a")
        assert [row["target"] for row in rows(settings, schema.kept_request)] == ["/a?x=&pwd=***"]

    run(story())
