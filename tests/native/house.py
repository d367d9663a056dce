"""A gateway with a small family of accounts, and requests to its native API over real sockets."""

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from chappe.app import App
from chappe.core.people import OF_ACCOUNTS, Permission
from chappe.dialects.base import HttpRequest
from whole import ask, serving, settings_in, wire

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
balance = "100.00"
senders = ["ACME"]
numbers = ["447700900001"]
receipt_url = "{sink}"
inbound_url = "{sink}"
inbound_dialect = "chappe"

[[account]]
name = "bob"
password = "battery staple"
balance = "1.00"

[[number]]
number = "447700900077"
country = "GB"
price = "1.00"
"""
PHONE = "447700900123"
NEVER = "http://127.0.0.1:47999/never"


class Said(NamedTuple):
    """An answer of the native API."""

    status: int
    headers: dict[str, str]
    octets: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.octets) if self.octets else None

    @property
    def code(self) -> str:
        """The word of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        code: str = self.body["code"]
        return code


class House:
    """Asks as whoever is named: alice and bob have keys for everything an account may."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.proofs: dict[str, str] = {
            "": "",
            "alice's password": basic("alice", "correct horse"),
            "bob's password": basic("bob", "battery staple"),
        }

    @property
    def ids(self) -> dict[str, int]:
        return {name: one.id for name, one in self.app.desks.directory().accounts_by_name.items()}

    async def key(
        self, name: str, account: str = "", scopes: Collection[Permission] = OF_ACCOUNTS, *, is_test: bool = False
    ) -> str:
        """A key under this name; without an account, one of whoever runs the gateway."""
        account_id = self.ids[account] if account else 0
        _, key = await self.app.desks.keys.make(account_id, name, tuple(scopes), is_test)
        self.proofs[name] = f"Bearer {key.value}"
        return key.value

    async def ask(self, who: str, method: str, path: str, body: object = None, **headers: str) -> Said:
        """`body` may be bytes that are sent as they are; `headers` have their dashes as underscores."""
        octets = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        sent = {"authorization": self.proofs[who]} if self.proofs[who] else {}
        if octets:
            sent["content-type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        target, _, query = path.partition("?")
        request = HttpRequest(
            method=method,
            path=f"/v1{target}",
            query=query.encode(),
            headers=tuple((name.encode(), value.encode()) for name, value in sent.items()),
            body=octets,
        )
        answer = await ask(self.app.http_port, wire(request))
        return Said(answer.status, answer.headers, answer.body)

    async def send(self, who: str, **fields: object) -> Said:
        return await self.ask(who, "POST", "/messages", {"to": PHONE, "text": "Hello", **fields})


def basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


@contextlib.asynccontextmanager
async def house_in(folder: Path, sink: str = NEVER, world: str = WORLD, **settings: Any) -> AsyncIterator[House]:
    async with serving(settings_in(folder, **settings), world.replace("{sink}", sink)) as app:
        house = House(app)
        await house.key("alice", "alice")
        await house.key("bob", "bob")
        await house.key("test", "alice", is_test=True)
        await house.key("operator", scopes=frozenset(Permission))
        yield house
