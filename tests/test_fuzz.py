"""Rubbish at the door: 50,000 broken requests of each dialect through the whole application behind its ASGI door.

The requests are golden ones after small misfortunes (`dialects.test_fuzz`), with the right name and password in them,
so that many are understood well enough to reach the store. Only the hashing of passwords is made cheap.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from chappe.app import App
from chappe.dialects.base import Dialect, HttpRequest
from chappe.gateway import secrets
from dialects.centres import ACCESS, DIALECTS
from dialects.test_fuzz import golden_requests, mutate_request
from whole import apply, ask, audit, get, run, settings_in

SEED = 20_261_121
COUNT = 50_000  # of each dialect
AT_ONCE = 32
NETWORKS = 50_000  # addresses the requests come from: who guesses from one is slowed down

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0001"

[[account]]
name = "alice"
password = "correct horse"
balance = "1000000.00"
senders = ["ACME"]
numbers = ["447700900001"]

[[account]]
name = "bob"
password = "correct horse"
"""
PASSWORD_PATH = "pwdreset"  # bob's requests: after the first that is understood, nobody knows his password


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def scope_of(request: HttpRequest, number: int) -> dict[str, Any]:
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode("latin-1", "replace"),
        "query_string": request.query,
        "headers": request.headers,
        "client": (f"10.{number % NETWORKS >> 8 & 255}.{number % NETWORKS & 255}.1", 40_000),
    }


async def access_token(app: App, name: str) -> tuple[bytes, bytes]:
    """What REST requests prove themselves with: a user key, and a token without an end (smsend 4.2)."""
    told = await ask(app.http_port, get("/API/v1.0/REST/token", username=name, password="correct horse"))
    user_key, _, token = told.body.partition(b";")
    return user_key, token


def with_access(request: HttpRequest, user_key: bytes, token: bytes) -> HttpRequest:
    """A golden request with the keys of this gateway instead of those of the golden files."""
    keys = {ACCESS.user_key.encode(): user_key, ACCESS.key.value.encode(): token}
    headers = tuple((name, keys.get(value, value)) for name, value in request.headers)
    return msgspec.structs.replace(request, headers=headers)


async def status_of(app: App, request: HttpRequest, number: int) -> int:
    """The status of the one whole answer that a request gets."""
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        told.append(event)

    await app.listener(scope_of(request, number), receive, send)
    start, body = told
    length = dict(start["headers"])[b"content-length"]
    assert int(length) == len(body["body"])
    status: int = start["status"]
    return status


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_request_breaks_the_application(dialect: Dialect, tmp_path: Path) -> None:
    """50,000 broken requests get an answer each, none an exception or 5xx; some are kept, and the books are right."""
    chance, requests = random.Random(SEED), golden_requests(dialect, "<")
    settings = settings_in(tmp_path)
    statuses: Counter[int] = Counter()

    async def work(app: App, some: Iterator[tuple[int, HttpRequest]]) -> None:
        for number, request in some:
            status = await status_of(app, request, number)
            assert status < 500, request
            statuses[status] += 1

    async def story() -> None:
        apply(settings, WORLD)
        app = App(settings)
        await app.start()
        try:
            alice, bob = await access_token(app, "alice"), await access_token(app, "bob")
            right = [with_access(request, *(bob if PASSWORD_PATH in request.path else alice)) for request in requests]
            broken = ((number, mutate_request(chance, chance.choice(right))) for number in range(COUNT))
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work(app, broken))
        finally:
            await app.stop()

    with capture_logs() as lines:
        run(story())
    assert [line for line in lines if line["event"] == "request_broke"] == []  # some dialects tell it with status 200
    assert sum(statuses.values()) == COUNT
    assert audit(settings)["messages"] > COUNT / 100
