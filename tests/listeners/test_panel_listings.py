"""The panel's lists on a whole gateway over HTTP: who sees what, what is found, taken back, made again, exported."""

import asyncio
import csv
import http.client
import io
import re
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from sqlalchemy import insert, select

from chappe.app import App
from chappe.core.ids import first_id
from chappe.core.model import Secret
from chappe.settings import Settings
from chappe.store import schema
from chappe.store.database import Database
from whole import Sink, run, serving, settings_in

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
FORMULA = '=HYPERLINK("http://evil.example")'
SCRIPT = "<script>alert(1)</script>"
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.01"

[[account]]
name = "alice"
password = "alice's"
balance = "10.00"
numbers = ["447700900100"]
receipt_url = "{url}"

[[account]]
name = "bob"
password = "bob's"
balance = "10.00"
"""


class Page(NamedTuple):
    status: int
    location: str
    text: str


class Visitor:
    """A browser without JavaScript: keeps its cookies, and sends forms with what they must carry."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.csrf = ""

    async def get(self, path: str, **query: Any) -> Page:
        return await asyncio.to_thread(self._ask, "GET", path + ("?" + urlencode(query, True) if query else ""), b"")

    async def post(self, path: str, **fields: Any) -> Page:
        body = urlencode({"csrf": self.csrf, **fields}, True).encode()
        return await asyncio.to_thread(self._ask, "POST", path, body)

    async def log_in(self, name: str, password: str) -> "Visitor":
        await self.get("/login")
        entered = await self.post("/login", name=name, password=password)
        assert entered.status == 303, entered.text
        await self.get("/settings")  # for the form's token of this session
        return self

    def _ask(self, method: str, path: str, body: bytes) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body:
            headers["content-type"] = "application/x-www-form-urlencoded"
        connection.request(method, "/panel" + path, body or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
        self.csrf = token.group(1) if token else self.csrf
        connection.close()
        return Page(answer.status, answer.headers.get("location", ""), text)


class House(NamedTuple):
    """A gateway that serves, with an owner; the customers' callbacks go to `sink`."""

    app: App
    settings: Settings
    sink: Sink

    async def visitor(self, name: str, password: str = "") -> Visitor:
        return await Visitor(self.app.http_port).log_in(name, password or f"{name}'s")

    def put(self, table: Any, *rows: dict[str, Any]) -> None:
        with Database(self.settings.database_url).engine.begin() as connection:
            connection.execute(insert(table), list(rows))

    def state_of(self, table: Any, row_id: int) -> str:
        with Database(self.settings.database_url).engine.connect() as connection:
            return str(connection.scalar(select(table.c.state).where(table.c.id == row_id)))

    def account_id(self, name: str) -> int:
        return self.app._known().accounts_by_name[name].id


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    async with Sink() as sink:
        settings = settings_in(folder)
        async with serving(settings, WORLD.format(url=sink.url)) as app:
            await app.people.make_sure("olga", Secret("olga's long one"))
            yield House(app, settings, sink)


def at(index: int) -> int:
    return first_id(NOW_MS + index * MINUTE_MS)


def a_message(index: int, account_id: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": at(index),
        "submission_id": at(index),
        "account_id": account_id,
        "dialect": "smsfox",
        "originator": "ACME",
        "recipient": "447700900001",
        "text": "hello",
        "segments": 1,
        "price_micros": 10_000,
        "service": "standard",
        "priority": 1,
        "carrier_id": 1,
        "state": "delivered",
        "due_ms": NOW_MS,
        "expires_ms": 1 << 50,
        "sent_ms": NOW_MS,
        "reference": "",
        "is_charged_late": 0,
    }
    return plain | changes


def numbers_in(page: Page) -> list[str]:
    return re.findall(r'<td class="nowrap"[^>]*>(\d+)</td>', page.text)


def test_messages_are_found_by_whoever_may_see_them(tmp_path: Path) -> None:
    """An owner finds everybody's messages by each filter, a customer their own alone, a stranger none."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice, bob = house.account_id("alice"), house.account_id("bob")
            house.put(
                schema.message,
                a_message(1, alice, recipient="447700900001", text=SCRIPT),
                a_message(2, bob, recipient="447700900002", state="rejected", reference="order 7"),
                a_message(3, alice, recipient="393331234567", carrier_id=-1),
            )
            owner = await house.visitor("olga", "olga's long one")
            everything = await owner.get("/messages")
            assert numbers_in(everything) == ["393331234567", "447700900002", "447700900001"]
            assert SCRIPT not in everything.text
            assert "&lt;script&gt;" in everything.text
            found: dict[str, dict[str, object]] = {
                "447700900002": {"recipient": "+44 7700 900002"},
                "393331234567": {"recipient": "39*"},
                "447700900001": {"id": at(1)},
            }
            for number, query in found.items():
                assert numbers_in(await owner.get("/messages", **query)) == [number]
            assert numbers_in(await owner.get("/messages", id=f"{at(2):x}")) == ["447700900002"]
            assert numbers_in(await owner.get("/messages", id="order 7")) == ["447700900002"]
            assert numbers_in(await owner.get("/messages", state=["rejected"])) == ["447700900002"]
            assert numbers_in(await owner.get("/messages", account=bob)) == ["447700900002"]
            assert numbers_in(await owner.get("/messages", test="yes")) == ["393331234567"]
            assert numbers_in(await owner.get("/messages", carrier=1, test="no", to="2026-09-21T14:15")) == [
                "447700900001"
            ]
            assert numbers_in(await owner.get("/messages", before=at(3))) == ["447700900002", "447700900001"]
            odd_ones = (("recipient", "٣٣"), ("id", "9" * 30), ("id", "\0"), ("account", "9" * 17), ("sender", "'"))
            for name, odd in odd_ones:
                assert numbers_in(await owner.get("/messages", **{name: odd})) == []
            assert (await owner.get("/messages", **{"from": "yesterday"})).status == 422

            customer = await house.visitor("bob")
            queries: list[dict[str, object]] = [{}, {"account": alice}, {"id": at(1)}, {"account": bob}]
            queries += [{"recipient": "447700900001"}]
            for query in queries:
                theirs = numbers_in(await customer.get("/messages", **query))
                assert theirs in ([], ["447700900002"]), query
            exported = await customer.get("/messages/export", account=alice)
            assert exported.text.count("\r\n") == 1
            assert ">sim<" not in (await customer.get("/messages")).text  # through whom is not their business
            assert (await Visitor(house.app.http_port).get("/messages")).status == 303

    run(story())


def test_a_message_has_its_page_and_is_taken_back_while_it_waits(tmp_path: Path) -> None:
    """The page tells the story; who may cancels or moves what waits, once, and for others it is not there."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice = house.account_id("alice")
            waiting = {"state": "scheduled", "due_ms": 1 << 48, "is_charged_late": 1, "sent_ms": 0}
            house.put(schema.message, *(a_message(index, alice, **waiting) for index in range(5)))
            customer, stranger = await house.visitor("alice"), await house.visitor("bob")
            page = await customer.get(f"/messages/{at(1)}")
            assert page.status == 200
            assert f'action="/panel/messages/{at(1)}/cancel"' in page.text
            for path in (f"/messages/{at(1)}", f"/messages/{(1 << 63) - 1}", f"/messages/{1 << 64}", "/messages/0"):
                assert (await stranger.get(path)).status == 404
            for act in ("cancel", "reschedule"):
                tried = await stranger.post(f"/messages/{at(1)}/{act}", at="2030-01-01T10:00")
                assert tried.status == 404
            moved = await customer.post(f"/messages/{at(1)}/reschedule", at="2027-09-09T10:00")
            assert moved.status == 303, moved.text
            assert "Sep 9, 2027" in (await customer.get(f"/messages/{at(1)}")).text
            assert (await customer.post(f"/messages/{at(1)}/reschedule", at="")).status == 422
            assert (await customer.post(f"/messages/{at(1)}/cancel")).status == 303
            assert house.state_of(schema.message, at(1)) == "cancelled"
            assert (await customer.post(f"/messages/{at(1)}/cancel")).status == 409

            listed = await customer.get("/scheduled")
            assert listed.text.count('name="id"') == 4
            await stranger.post("/scheduled/cancel", id=[at(2), at(3)])
            assert house.state_of(schema.message, at(2)) == "scheduled"
            await customer.post("/scheduled/cancel", id=[at(2), "x", 1 << 70], back="account=")
            assert house.state_of(schema.message, at(2)) == "cancelled"
            assert (await stranger.post("/scheduled/cancel-all", account=alice)).status == 404
            assert (await customer.post("/scheduled/cancel-all", account=alice)).status == 303
            assert [house.state_of(schema.message, at(index)) for index in range(5)] == ["cancelled"] * 5

    run(story())


def test_callbacks_are_made_again_from_the_panel(tmp_path: Path) -> None:
    """What is chosen, and what failed in a span of time, is called back once more; others' is not."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice = house.account_id("alice")
            house.put(schema.message, a_message(0, alice))
            report = (
                f'{{"id":{at(0)},"submission_id":{at(0)},"reference":"","originator":"ACME",'
                f'"recipient":"447700900001","state":"delivered","segments":1,"price_micros":0}}'
            )
            row = {"account_id": alice, "message_id": at(0), "kind": "receipt", "dialect": "smsfox", "payload": report}
            house.put(
                schema.callback,
                *({**row, "id": at(index), "state": "failed", "attempt": 13, "due_ms": 0} for index in range(3)),
            )
            customer, stranger = await house.visitor("alice"), await house.visitor("bob")
            chosen = f'name="id" value="{at(2)}"'
            assert chosen in (await customer.get("/callbacks", state="failed", message=at(0))).text
            assert chosen not in (await stranger.get("/callbacks", message=at(0))).text
            await stranger.post("/callbacks/replay", id=at(0))
            await stranger.post("/callbacks/replay-range", **{"from": "2020-01-01T00:00", "state": "failed"})
            assert house.sink.calls == []
            await customer.post("/callbacks/replay", id=at(0))
            await house.sink.until(lambda calls: len(calls) == 1)
            await customer.post("/callbacks/replay-range", **{"from": "2020-01-01T00:00", "state": "failed"})
            await house.sink.until(lambda calls: len(calls) == 3)

    run(story())


def test_what_phones_wrote_is_listed_and_exported_harmlessly(tmp_path: Path) -> None:
    """Inbound messages are shown and exported to their owner; neither page nor file runs what they say."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice = house.account_id("alice")
            texts = [FORMULA, SCRIPT, "-1+1", "@SUM(A1)", "\t=1", 'Ciao €, "bella"\n=2', "+44", "plain"]
            row = {"account_id": alice, "recipient": "447700900100", "carrier_id": 1, "received_ms": NOW_MS}
            house.put(
                schema.inbound,
                *({**row, "id": at(i), "originator": f"44770090{i}", "text": text} for i, text in enumerate(texts)),
                {**row, "id": at(99), "account_id": 0, "originator": "1", "text": "nobody's"},
            )
            customer, stranger = await house.visitor("alice"), await house.visitor("bob")
            owner = await house.visitor("olga", "olga's long one")
            page = await customer.get("/inbound")
            assert SCRIPT not in page.text
            assert "nobody&#39;s" not in page.text
            assert "nobody&#39;s" in (await owner.get("/inbound")).text
            assert "447700900100</a>" not in (await stranger.get("/inbound", number="447700900100")).text
            assert (await customer.get("/inbound", sender="*904")).text.count("<tr><td") == 1
            exported = await customer.get("/inbound/export")
            cells = [
                row["text"] for row in csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff"), newline=""))
            ]
            assert len(cells) == len(texts)
            unguarded = [re.sub(r"(^|[;,\t\n])'", r"\1", one) for one in reversed(cells)]
            assert unguarded == texts
            assert not any(
                piece.startswith(("=", "+", "-", "@")) for one in cells for piece in re.split(r"[;,\t\n]", one)
            )

    run(story())


def test_a_statement_is_shown_to_its_account_alone(tmp_path: Path) -> None:
    """An account reads its own lines and balance, as a page and as a file; nobody else's."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice, bob = house.account_id("alice"), house.account_id("bob")
            owner, customer = await house.visitor("olga", "olga's long one"), await house.visitor("alice")
            page = await customer.get("/ledger")
            assert "paid in" in page.text
            assert "10.00" in page.text
            assert (await customer.get("/ledger", account=bob)).status == 404
            assert (await customer.get("/ledger/export", account=bob)).status == 404
            assert (await owner.get("/ledger", account=bob)).status == 200
            assert (await customer.get("/ledger", cursor="nonsense")).status == 422
            exported = await customer.get("/ledger/export", account=alice)
            [line] = csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff"), newline=""))
            assert (line["what"], line["amount"], line["available_after"]) == ("paid in", "10.00", "10.00")

    run(story())


@pytest.mark.parametrize("rows_count", [15_000])
def test_an_export_takes_no_more_memory_for_more_rows(tmp_path: Path, rows_count: int) -> None:
    """A file of many megabytes goes out while the gateway holds a few pages of it."""

    async def story() -> None:
        async with open_house(tmp_path) as house:
            alice = house.account_id("alice")
            text = "x" * 600
            house.put(schema.message, *(a_message(index, alice, text=text) for index in range(rows_count)))
            customer = await house.visitor("alice")
            tracemalloc.start()
            size, lines_count = await asyncio.to_thread(read_all, customer, "/panel/messages/export")
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert lines_count == rows_count + 1
            assert size > 9_000_000
            assert peak < 5_000_000

    run(story())


def read_all(visitor: Visitor, path: str) -> tuple[int, int]:
    """How many bytes and lines an answer has, none of which is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=60)
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    connection.request("GET", path, headers={"cookie": cookies})
    answer = connection.getresponse()
    size = lines_count = 0
    while piece := answer.read(1 << 16):
        size += len(piece)
        lines_count += piece.count(b"\r\n")
    connection.close()
    return size, lines_count
