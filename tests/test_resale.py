"""A reseller and his customer, from the wire to the table and back: asked in smsend's words of a whole gateway."""

import json
from pathlib import Path
from typing import Any

from chappe.app import App
from chappe.dialects.base import HttpRequest
from chappe.store import schema
from whole import Answer, ask, audit, get, rows, run, serving, settings_in, wire

ROOT = "/API/v1.0/REST/"
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.5000"

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"
senders = ["ACME"]
"""
ORDER = {"message_type": "N", "message": "Hello", "recipient": ["+393471234567"], "sender": "ACME"}


class Customer:
    """An application that speaks smsend's language, with the keys it was given."""

    def __init__(self, user_key: str, key: str, kind: str = "Session_key") -> None:
        self._headers = (("user_key", user_key), (kind, key), ("content-type", "application/json"))

    @classmethod
    async def log_in(cls, app: App, name: str, password: str, kind: str = "Session_key") -> "Customer":
        path = "login" if kind == "Session_key" else "token"
        answer = await ask(app.http_port, get(ROOT + path, username=name, password=password))
        assert answer.status == 200, answer
        user_key, _, key = answer.body.decode().partition(";")
        return cls(user_key, key, kind)

    async def asks(self, app: App, method: str, path: str, body: object = None) -> Answer:
        request = HttpRequest(
            method=method,
            path=ROOT + path,
            headers=tuple((name.encode(), value.encode()) for name, value in self._headers),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        return await ask(app.http_port, wire(request))

    async def reads(self, app: App, method: str, path: str, body: object = None) -> Any:
        answer = await self.asks(app, method, path, body)
        assert answer.status in (200, 201), answer
        return json.loads(answer.body)


def test_a_resellers_customer_spends_what_was_moved_to_him(tmp_path: Path) -> None:
    """A subaccount logs in at once, sends for exactly the credit it was given, and what it spent cannot be undone."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            alice = await Customer.log_in(app, "alice", "correct horse")
            made = await alice.reads(app, "POST", "subaccount", {"login": "bob", "password": "a good one"})
            path = f"subaccount/{made['id']}"
            bob = await Customer.log_in(app, "bob", "a good one")
            assert (await bob.asks(app, "POST", "sms", ORDER)).status == 400
            purchase = await alice.reads(app, "POST", f"{path}/purchase", {"amount": 2, "message-type": "N"})
            assert [(await bob.asks(app, "POST", "sms", ORDER)).status for _ in range(3)] == [201, 201, 400]
            assert (await alice.asks(app, "DELETE", f"{path}/purchase/{purchase['id']}")).status == 400
            assert (await alice.reads(app, "GET", f"{path}/credit"))["money"] == 0
            assert (await bob.asks(app, "GET", path)).status == 404
        assert len(rows(settings, schema.message)) == 2
        audit(settings)

    run(story())


def test_sessions_and_tokens_outlive_a_restart_but_no_new_password(tmp_path: Path) -> None:
    """After a restart both still open the door; after a new password neither does, nor does the old password."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            customers = [
                await Customer.log_in(app, "alice", "correct horse", kind) for kind in ("Session_key", "Access_token")
            ]
        async with serving(settings) as app:
            assert [(await one.asks(app, "GET", "status")).status for one in customers] == [200, 200]
            assert (await customers[0].asks(app, "POST", "pwdreset?password=new+and+good")).status == 200
            assert [(await one.asks(app, "GET", "status")).status for one in customers] == [401, 401]
            refused = await ask(app.http_port, get(ROOT + "login", username="alice", password="correct horse"))
            assert refused.status == 404
            await Customer.log_in(app, "alice", "new and good")

    run(story())
