"""Sending from the panel over real sockets: one message, a file from its upload to its result, and who sees what."""

import asyncio
import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from chappe.app import App
from chappe.core.people import Role
from chappe.dialects.base import HttpRequest
from chappe.listeners import http
from chappe.store import schema
from listeners.browsing import Browser, account_id_of, ask_keeping_cookies, make_user, text_of
from whole import LOOK_AGAIN_S, PATIENCE_S, Answer, rows, run, serving, settings_in, wire

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = "39"
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "alice has a password"
balance = "10.00"
country = "39"
senders = ["ACME"]

[[account]]
name = "bob"
password = "bob has one too"
balance = "10.00"
"""
FILE = (
    "phone;name;note\n"
    "347 0000001;Ada;=1+1\n"
    "+39 347 0000002;Жанна;x\n"
    "nobody;Carl;x\n"
    "3470000001;again;x\n"
    "4915100000000;Emil;x\n"
)
BOUNDARY = "7d33a816d302b6"


async def upload(browser: Browser, path: str, content: bytes, file_name: str = "people.csv", **fields: str) -> Answer:
    """Send a file with a form, as a browser does."""
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"csrf": browser.token, **fields}.items()
    ]
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="{file_name}"\r\n'
    body = b"".join(parts) + f"{head}content-type: text/csv\r\n\r\n".encode() + content
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    request = HttpRequest(
        method="POST",
        path=path,
        headers=(
            (b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()),
            (b"cookie", cookies.encode()),
        ),
        body=body + f"\r\n--{BOUNDARY}--\r\n".encode(),
    )
    return await ask_keeping_cookies(browser, wire(request))


def whole_of(answer: Answer) -> bytes:
    """A body that came in chunks, joined."""
    if answer.headers.get("transfer-encoding") != "chunked":
        return answer.body
    left, pieces = answer.body, list[bytes]()
    while True:
        size, _, left = left.partition(b"\r\n")
        if not int(size, 16):
            return b"".join(pieces)
        pieces.append(left[: int(size, 16)])
        left = left[int(size, 16) + 2 :]


async def until(app: App, browser: Browser, path: str, state: str) -> str:
    """The page of a campaign once it is in a state."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = text_of(await browser.get(path))
            if re.search(rf'<p role="status"><span class="badge badge-[a-z]+">{state}<', page):
                return page
            await asyncio.sleep(LOOK_AGAIN_S)


async def customer(app: App, name: str) -> Browser:
    await make_user(app, f"{name}-user", Role.CUSTOMER, await account_id_of(app, name))
    browser = Browser(app.http_port)
    await browser.log_in(f"{name}-user")
    return browser


def test_one_message_is_previewed_and_sent_once(tmp_path: Path) -> None:
    """The preview tells alphabet, segments and price; a form sends once however often it is sent, changed once more."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await customer(app, "alice")
            page = text_of(await browser.get("/panel/send"))
            first_id = re.search(r'name="first_id" value="(\d+)"', page)
            assert first_id is not None
            fields: dict[str, Any] = {
                "first_id": first_id[1],
                "recipients": "347 0000001",
                "text": "Ciao Жанна",
                "originator": "ACME",
            }
            shown = await browser.post("/panel/send", preview="1", **fields)
            assert shown.status == 200
            assert "UCS-2" in text_of(shown)
            assert "“Ж”" in text_of(shown)
            piece = await browser.post("/panel/send/preview", {"hx-request": "true"}, **fields)
            assert "<html" not in text_of(piece)
            assert "393470000001" in text_of(piece)
            assert rows(app.settings, schema.message) == []
            for _ in range(2):
                sent = await browser.post("/panel/send", **fields)
                [message] = rows(app.settings, schema.message)
                assert (sent.status, sent.headers["location"]) == (303, f"/panel/messages/{message['id']}")
            assert (message["recipient"], message["text"]) == ("393470000001", "Ciao Жанна")
            assert not message["wants_callbacks"]
            for _ in range(2):  # as after the browser's way back
                await browser.post("/panel/send", **{**fields, "recipients": "347 0000002"})
            found = sorted(one["recipient"] for one in rows(app.settings, schema.message))
            assert found == ["393470000001", "393470000002"]

    run(story())


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"recipients": "", "text": "x"}, "Who is it for?"),
    ({"recipients": "347 0000001", "text": " "}, "There is no text."),
    ({"recipients": "nobody", "text": "x"}, "This is no number."),
    ({"recipients": "+4915100000000", "text": "x"}, "No carrier goes there."),
    ({"recipients": "347 0000001", "text": "x" * 50_000}, "The text is too long."),
    ({"recipients": "347 0000001", "text": "x", "originator": "OTHER"}, "may not use this sender"),
    ({"recipients": "347 0000001", "text": "x", "account": "bob"}, "There is no such account."),
    ({"recipients": "347 0000001", "text": "x", "scheduled": "2001-01-01T00:00"}, "This time has passed."),
    ({"recipients": "347 0000001", "text": "x", "scheduled": "soon"}, "no date and time"),
    ({"recipients": "347 0000001", "text": "x", "service": "none", "account": "\0"}, "There is no such account."),
)


def test_what_cannot_be_sent_is_said_in_words(tmp_path: Path) -> None:
    """A form that cannot be sent comes back with what is wrong, and sends nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send")
            for fields, said in REFUSED:
                answer = await browser.post("/panel/send", **fields)
                assert (answer.status, said in text_of(answer)) == (422, True), said
            assert rows(app.settings, schema.message) == []

    run(story())


def test_a_file_is_loaded_checked_sent_and_reported(tmp_path: Path) -> None:
    """From the upload of a file over its dry run to the result of every row, as pages tell it."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send/file")
            loaded = await upload(browser, "/panel/send/file", FILE.encode("cp1251"), name="Spring")
            assert loaded.status == 303, text_of(loaded)
            path = loaded.headers["location"]
            draft = text_of(await browser.get(path))
            assert "Жанна" in draft
            assert "{name}" in draft
            wrong = await browser.post(f"{path}/text", text="Ciao {nome}")
            assert wrong.status == 422
            assert "There is no column “nome”." in text_of(wrong)
            await browser.post(f"{path}/text", text="Ciao {name}", originator="ACME")
            ready = await until(app, browser, path, "ready")
            assert rows(app.settings, schema.message) == []
            assert "line 4: nobody" in ready
            assert "An earlier row has the same number." in ready
            assert "Ciao Жанна" in ready
            await browser.post(f"{path}/step", step="start")
            done = await until(app, browser, path, "done")
            assert "5 of 5 rows" in done
            assert (await browser.get(f"{path}/progress?state=running")).headers["hx-refresh"] == "true"
            piece = await browser.get(f"{path}/progress?state=done")
            assert "hx-refresh" not in piece.headers
            assert "<html" not in text_of(piece)
            assert sorted(row["text"] for row in rows(app.settings, schema.message)) == ["Ciao Ada", "Ciao Жанна"]
            answer = await browser.get(f"{path}/results")
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            table = list(csv.DictReader(io.StringIO(whole_of(answer).decode("utf-8-sig"))))
            assert [(row["line"], row["recipient"], row["name"], row["refusal"]) for row in table] == [
                ("2", "393470000001", "Ada", ""),
                ("3", "393470000002", "Жанна", ""),
                ("4", "nobody", "Carl", "This is no number."),
                ("5", "393470000001", "again", "An earlier row has the same number."),
                ("6", "4915100000000", "Emil", "No carrier goes there."),
            ]
            assert table[0]["note"] == "'=1+1"
            assert table[0]["state"] in ("queued", "sending", "sent", "delivered")
            assert (table[0]["segments"], table[0]["price"], table[0]["currency"]) == ("1", "0.01", "EUR")
            assert table[2]["state"] == "refused"
            ids = {str(row["id"]) for row in rows(app.settings, schema.message)}
            assert {row["message"] for row in table} == {"", *ids}

    run(story())


BAD_FILES = (
    (b"", "There are no rows."),
    (b"a;b\nx;y\n", "No column has the numbers of the recipients."),
    (b'phone;name\n393470000001;"open\n', "Line 2: A quotation mark opens a cell that never ends."),
    (b"phone\n393470000001\n" + b"x" * 70_000, "Line 3: A row has more than 60000 characters."),
    (b"phone\n393470000001\n\x81\x98\n", "Line 3: There are octets that utf-8 has not."),
)


def test_a_bad_file_is_refused_with_its_line(tmp_path: Path) -> None:
    """A file that cannot be taken is refused in words that name the line."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send/file")
            for content, said in BAD_FILES:
                answer = await upload(browser, "/panel/send/file", content)
                assert (answer.status, said in text_of(answer)) == (422, True), said
            nothing = await browser.post("/panel/send/file")
            assert "Choose a file." in text_of(nothing)

    run(story())


def test_a_file_comes_through_a_front(tmp_path: Path) -> None:
    """With front processes a file of a few megabytes is taken too, and its result goes back whole."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=1), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send/file")
            content = "phone,note\n" + "".join(f"39347{each:07},{'x' * 900}\n" for each in range(2_500))
            loaded = await upload(browser, "/panel/send/file", content.encode())
            assert loaded.status == 303
            answer = await browser.get(f"{loaded.headers['location']}/results")
            assert whole_of(answer).count(b"\r\n") == 2_501

    run(story())


def test_what_is_too_much_for_a_front_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that front processes would have to be handed whole is not held without end: who asks is told."""
    monkeypatch.setattr(http, "SITE_ANSWER_MAX", 100_000)

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=1), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send/file")
            content = "phone,note\n" + "".join(f"39347{each:07},{'x' * 900}\n" for each in range(2_500))
            loaded = await upload(browser, "/panel/send/file", content.encode())
            answer = await browser.get(f"{loaded.headers['location']}/results")
            assert (answer.status, b"choose less" in answer.body) == (422, True)
            assert (await browser.get(loaded.headers["location"])).status == 200

    run(story())


def test_pasted_numbers_are_checked_first(tmp_path: Path) -> None:
    """Many numbers become a campaign that waits to be started, in which braces are braces."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await customer(app, "alice")
            await browser.get("/panel/send/numbers")
            answer = await browser.post(
                "/panel/send/numbers", recipients="3470000001\n3470000002,nobody", text="{Hi}", originator="ACME"
            )
            path = answer.headers["location"]
            ready = await until(app, browser, path, "ready")
            assert "of 3 rows" in ready
            await browser.post(f"{path}/step", step="start")
            await until(app, browser, path, "done")
            assert [row["text"] for row in rows(app.settings, schema.message)] == ["{Hi}", "{Hi}"]

    run(story())


def test_strangers_and_viewers_change_nothing(tmp_path: Path) -> None:
    """What another account sends does not exist for a stranger; a viewer looks and may do nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            alice, bob = await customer(app, "alice"), await customer(app, "bob")
            await make_user(app, "vera", Role.VIEWER, await account_id_of(app, "alice"))
            vera = Browser(app.http_port)
            await vera.log_in("vera")
            await alice.get("/panel/send/file")
            path = (await upload(alice, "/panel/send/file", FILE.encode())).headers["location"]
            for page in (path, f"{path}/progress", f"{path}/results", "/panel/campaigns/1"):
                assert (await bob.get(page)).status == 404
            for page in ("text", "step"):
                assert (await bob.post(f"{path}/{page}", text="x", step="remove")).status == 404
                assert (await vera.post(f"{path}/{page}", text="x", step="remove")).status == 403
            assert (await vera.get(path)).status == 200
            assert (await vera.get("/panel/send")).status == 403
            assert path not in text_of(await bob.get("/panel/campaigns"))
            assert path in text_of(await alice.get("/panel/campaigns"))
            assert (await alice.get("/panel/campaigns/99999999999999999999")).status == 404
            assert (await alice.post(f"{path}/step", step="fly")).status == 404
            assert (await alice.post(f"{path}/step", step="start")).status == 409

    run(story())


def test_an_operator_chooses_whom_to_send_as(tmp_path: Path) -> None:
    """Whoever runs the gateway sends as any account, and says which."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            page = text_of(await browser.get("/panel/send"))
            assert ">alice<" in page
            assert ">bob<" in page
            fields: dict[str, Any] = {"recipients": "+393470000001", "text": "x"}
            assert (await browser.post("/panel/send", **fields)).status == 422
            bob = await account_id_of(app, "bob")
            assert (await browser.post("/panel/send", account=str(bob), **fields)).status == 303
            assert [row["account_id"] for row in rows(app.settings, schema.message)] == [bob]

    run(story())
