"""What an account keeps, from the wire to the table and back: asked in smsend's words of a whole gateway."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from chappe.app import App
from chappe.cli.aliases import decide_alias
from chappe.core.phonebook import AliasState
from chappe.dialects.base import HttpRequest
from chappe.store import schema
from whole import Answer, ask, eventually, get, rows, run, serving, settings_in, wire

ROOT = "/API/v1.0/REST/"
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"
senders = ["ACME"]
"""
NUMBERS = ["+393471234567", "+393471234568"]
VOUCHING = {
    "company-name": "Shop",
    "contact-name": "Ada",
    "contact-surname": "Lovelace",
    "cod-fiscale": "1",
    "vat-number": "2",
    "contact-address": "3",
    "contact-city": "Rome",
    "contact-pcode": "00100",
    "contact-type": "WEB",
    "contact-info": "https://shop.example",
}


class Customer:
    """An application that speaks smsend's language, logged in."""

    def __init__(self, port: int, keys: tuple[str, str]) -> None:
        self._port = port
        self._headers = ((b"user_key", keys[0].encode()), (b"Session_key", keys[1].encode()))

    @classmethod
    async def log_in(cls, app: App) -> "Customer":
        answer = await ask(app.http_port, get(ROOT + "login", username="alice", password="correct horse"))
        user_key, _, session_key = answer.body.decode().partition(";")
        return cls(app.http_port, (user_key, session_key))

    async def asks(self, method: str, path: str, body: object = None) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        headers = (*self._headers, (b"content-type", b"application/json"))
        request = HttpRequest(method=method, path=ROOT + path, headers=headers, body=content)
        return await ask(self._port, wire(request))

    async def reads(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.asks(method, path, body)
        assert answer.status in (200, 201), answer
        return json.loads(answer.body)


def test_a_group_is_written_to(tmp_path: Path) -> None:
    """Contacts are put into a group, and a message to the group by its name reaches each of them once."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            alice = await Customer.log_in(app)
            made = await alice.asks("POST", "group", {"name": "friends", "description": "of mine"})
            group_id = made.headers["location"].rpartition("/")[2]
            people = [{"phoneNumber": number, "groupIds": [group_id]} for number in [*NUMBERS, NUMBERS[0]]]
            assert await alice.reads("POST", "contacts", {"contacts": people}) == 2
            order = {"message_type": "N", "message": "Hello", "recipient": ["friends"], "sender": "ACME"}
            assert (await alice.reads("POST", "smstogroups", order))["total_sent"] == 2
        assert sorted(f"+{row['recipient']}" for row in rows(settings, schema.message)) == NUMBERS

    run(story())


def test_an_alias_is_asked_for_approved_and_used(tmp_path: Path) -> None:
    """A sender name is refused until the operator approves it, and taken by the running gateway from then on."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        order = {"message_type": "N", "message": "Hello", "recipient": NUMBERS[:1], "sender": "Shop"}
        async with serving(settings, WORLD) as app:
            alice = await Customer.log_in(app)
            asked = await alice.reads("POST", "alias", {"alias": {"alias": "Shop"} | VOUCHING})
            assert asked["alias-state"] == AliasState.UNCONFIRMED
            assert (await alice.asks("POST", "sms", order)).status == 400
            await asyncio.to_thread(decide_alias, settings, int(asked["id"]), AliasState.CONFIRMED)

            async def is_taken() -> bool:
                return (await alice.asks("POST", "sms", order)).status == 201

            await eventually(is_taken)
            shown = await alice.reads("GET", f"alias/{asked['id']}")
            assert shown["alias-state"] == AliasState.CONFIRMED

    run(story())


def test_a_code_is_sent_and_verified(tmp_path: Path) -> None:
    """The code in the message is right, once; a wrong one costs a try."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            alice = await Customer.log_in(app)
            wish = {"recipient": NUMBERS[0], "senderName": "ACME", "expiry": 5, "messageBody": "Code: %PIN%"}
            assert (await alice.asks("POST", "2fa/request", wish)).status == 200
            [message] = rows(settings, schema.message)
            found = re.fullmatch("Code: ([0-9]{6})", message["text"])
            assert found, message["text"]
            right = found[1]
            wrong = f"{(int(right) + 1) % 10**6:06}"
            verified = [
                (await alice.reads("POST", "2fa/verify", {"recipient": NUMBERS[0], "pin": pin}))["status"]
                for pin in (wrong, right, right)
            ]
            assert verified == ["ERROR", "OK", "ERROR"]

    run(story())
