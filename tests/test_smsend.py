"""smsend against the whole gateway: a log-in, orders under anybody's ids, what becomes of them, pushes, and a gateway
that sends through another in these words."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from chappe.core.model import State
from chappe.dialects.base import HttpRequest
from chappe.store import schema
from whole import Sink, all_are, ask, audit, rows, run, serving, settings_in, wire

ROOT = "/API/v1.0/REST/"
GOOD, UNDELIVERABLE = "447700900002", "447700909001"
SMS: dict[str, object] = {"message_type": "N", "message": "Hello", "recipient": [f"+{GOOD}"], "sender": "ACME"}


def world(receipt_url: str = "", carrier: str = 'kind = "simulated"') -> str:
    return f"""
[[carrier]]
name = "out"
{carrier}

[[route]]
prefix = "44"
carriers = ["out"]
price = "0.0500"

[[account]]
name = "alice"
password = "correct horse"
balance = "1.00"
senders = ["ACME"]
{f'receipt_url = "{receipt_url}"' if receipt_url else ""}
"""


class Client(NamedTuple):
    """An application of alice's that has logged in."""

    port: int
    user_key: str
    key: str

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        keys = ((b"User_key", self.user_key.encode()), (b"Session_key", self.key.encode()))
        octets = b"" if body is None else msgspec.json.encode(body)
        request = HttpRequest(method=method, path=ROOT + path, query=query.encode(), headers=keys, body=octets)
        answer = await ask(self.port, wire(request))
        return answer.status, msgspec.json.decode(answer.body)


async def log_in(port: int) -> Client:
    request = HttpRequest(method="GET", path=ROOT + "login", query=b"username=alice&password=correct%20horse")
    answer = await ask(port, wire(request))
    user_key, key = answer.body.decode().split(";")
    return Client(port, user_key, key)


def test_an_order_is_followed_to_its_end(tmp_path: Path) -> None:
    """Orders under the sender's id and under ours answer with their states, their cost and their place in history."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            client = await log_in(app.http_port)
            two = SMS | {"recipient": [f"+{GOOD}", f"00{UNDELIVERABLE}"], "order_id": "my-17", "returnRemaining": True}
            status, sent = await client.ask("POST", "sms", two)
            assert (status, sent["order_id"], sent["total_sent"], sent["remaining_credits"]) == (201, "my-17", 2, 18)
            status, other = await client.ask("POST", "sms", SMS)
            assert status == 201
            await all_are(settings, State.DELIVERED, State.UNDELIVERABLE)
            for order_id in ("my-17", sent["internal_order_id"]):
                _, order = await client.ask("GET", f"sms/{order_id}")
                states = {one["destination"]: one["status"] for one in order["recipients"]}
                assert states == {f"+{GOOD}": "DLVRD", f"+{UNDELIVERABLE}": "ERROR"}
            _, history = await client.ask("GET", "smshistory?from=20260101000000")
            listed = [(one["order_id"], one["num_recipients"]) for one in history["smshistory"]]
            assert listed == [(other["order_id"], 1), ("my-17", 2)]
            assert await client.ask("GET", "sms/another") == (404, _not_found())

    run(story())


def _not_found() -> dict[str, object]:
    return {"result": "Not found", "error_code": 300, "error_message": "Not found"}


def test_only_what_is_scheduled_is_deleted(tmp_path: Path) -> None:
    """A scheduled order is taken back with its money, once; a bad number keeps none of the others from being kept."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            client = await log_in(app.http_port)
            later = {"scheduled_delivery_time": "20270801120000", "scheduled_delivery_timezone": "Europe/Rome"}
            part = {"recipient": ["12", f"+{GOOD}"], "allowInvalidRecipients": "true", "order_id": "later"}
            assert (await client.ask("POST", "sms", SMS | later | part))[1]["total_sent"] == 1
            assert (await client.ask("GET", "status?getMoney=true"))[1]["money"] == 0.95
            assert await client.ask("DELETE", "sms/later") == (200, {"result": "OK"})
            assert (await client.ask("DELETE", "sms/later"))[0] == 404
            assert (await client.ask("GET", "status?getMoney=true"))[1]["money"] == 1.0
            assert audit(settings)["reserved_micros"] == 0

    run(story())


def test_a_report_is_pushed(tmp_path: Path) -> None:
    """Each recipient's report reaches the customer's URL, or the URL of the order, under the order's id."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(sink.url)) as app:
            client = await log_in(app.http_port)
            own = {"order_id": "other", "statusnotificationURL": sink.url.replace("receipt", "own")}
            await client.ask("POST", "sms", SMS | {"order_id": "my-17"})
            await client.ask("POST", "sms", SMS | own)
            calls = await sink.until(lambda calls: len(calls) >= 2)
            told = {(one.method, one.path): one.fields for one in calls}
        assert [fields.pop("delivery_date").isdigit() for fields in told.values()] == [True, True]
        assert told == {
            ("POST", "/receipt"): {"order_id": "my-17", "recipient": f"+{GOOD}", "status": "DLVRD"},
            ("POST", "/own"): {"order_id": "other", "recipient": f"+{GOOD}", "status": "DLVRD"},
        }

    run(story())


@pytest.mark.parametrize("options", ["", '{ login_style = "basic" }'])
def test_a_gateway_sends_through_another(tmp_path: Path, options: str) -> None:
    """A carrier logs in by itself, in either style; once its token has ended it logs in again, and nothing is lost."""

    async def story() -> None:
        near, far = settings_in(tmp_path / "near"), settings_in(tmp_path / "far")
        async with serving(far, world()) as behind:
            carrier = f"""
kind = "smsend"
url = "http://127.0.0.1:{behind.http_port}"
login = "alice"
password = "correct horse"
{f"options = {options}" if options else ""}
"""
            async with serving(near, world(carrier=carrier)) as before:
                client = await log_in(before.http_port)
                assert (await client.ask("POST", "sms", SMS | {"message": "Ciao è €"}))[0] == 201
                await all_are(near, State.SENT)
                there = await log_in(behind.http_port)
                changed = HttpRequest(
                    method="POST",
                    path=ROOT + "pwdreset",
                    query=b"password=correct%20horse",
                    headers=((b"user_key", there.user_key.encode()), (b"session_key", there.key.encode())),
                )
                assert (await ask(behind.http_port, wire(changed))).body == b"true"
                assert (await client.ask("POST", "sms", SMS | {"message": "again"}))[0] == 201
                await all_are(near, State.SENT)
        assert [row["text"] for row in rows(far, schema.message)] == ["Ciao è €", "again"]

    run(story())
