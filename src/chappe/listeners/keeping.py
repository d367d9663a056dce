"""Keeps what is asked of the native API with its answers, beside what dialects are asked (`gateway/requests.py`).

The requests of test keys are always kept; a key says itself whether it is one. Everything else passes untouched where
nothing is kept. Whoever answers can say more in the request's state: `account_id`, `submission_id`, and `secrets`.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from chappe.dialects.base import HttpRequest, HttpResponse, text_of
from chappe.gateway.hiding import READ_MAX
from chappe.gateway.requests import RequestBook
from chappe.listeners.http import Receive, Scope, Send, Site

API_ROOT = "/v1/"
NAME = "chappe"  # of our own dialect
TEST_KEY = b"test_"
UNKEPT = frozenset({"/v1/openapi.json", "/v1/openapi.yaml", "/v1/docs"})
NOTES = "kept"  # the name in the request's state


class Notes:
    """What the answering side knows of a request."""

    def __init__(self) -> None:
        self.account_id = 0
        self.submission_id = 0
        self.is_test = False
        self.secrets: set[str] = set()


def notes_of(scope: Scope) -> Notes:
    """Where to say whose request this is and what it led to; nobody reads it where nothing is kept."""
    notes = scope.setdefault("state", {}).get(NOTES)
    return notes if isinstance(notes, Notes) else Notes()


def keeping(site: Site, book: RequestBook) -> Site:
    """The site, whose API is listened to."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API_ROOT) or scope["path"] in UNKEPT:
            await site(scope, receive, send)
            return
        proof = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
        is_test = TEST_KEY in proof or any(TEST_KEY in one.encode() for one in secrets_of(proof))
        if not book.keeps(is_test=is_test):
            await site(scope, receive, send)
            return
        await listen(site, book, scope, receive, send, proof, is_test=is_test)

    return serve


async def listen(
    site: Site, book: RequestBook, scope: Scope, receive: Receive, send: Send, proof: bytes, *, is_test: bool
) -> None:
    notes = scope.setdefault("state", {})[NOTES] = Notes()
    asked, answered = bytearray(), bytearray()
    status, headers = 500, tuple[tuple[bytes, bytes], ...]()
    began_s = book.now_s()

    async def hear() -> Any:
        event = await receive()
        if event["type"] == "http.request" and len(asked) < READ_MAX:
            asked.extend(event.get("body", b"")[: READ_MAX - len(asked)])
        return event

    async def say(event: Any) -> None:
        nonlocal status, headers
        if event["type"] == "http.response.start":
            status = event["status"]
            headers = tuple((bytes(name), bytes(value)) for name, value in event.get("headers", ()))
        elif len(answered) < READ_MAX:
            answered.extend(event.get("body", b"")[: READ_MAX - len(answered)])
        await send(event)

    try:
        await site(scope, hear, say)
    finally:
        request = HttpRequest(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"],
            headers=tuple(scope["headers"]),
            body=bytes(asked),
        )
        response = HttpResponse(status=status, headers=headers, body=bytes(answered))
        book.note(
            request,
            response,
            dialect=NAME,
            account_id=notes.account_id,
            submission_id=notes.submission_id or submission_named(response),
            secrets=notes.secrets | set(secrets_of(proof)),
            is_test=is_test or notes.is_test,
            began_s=began_s,
        )


def secrets_of(proof: bytes) -> Iterator[str]:
    """What an Authorization header proves itself with: a key, or a password behind a name."""
    scheme, _, word = text_of(proof).strip().partition(" ")
    if scheme.lower() == "bearer":
        yield word.strip()
    elif scheme.lower() == "basic":
        yield word.strip()
        try:
            yield text_of(base64.b64decode(word.strip(), validate=True)).partition(":")[2]
        except binascii.Error:
            return


def submission_named(response: HttpResponse) -> int:
    """The submission that an answer names, where nobody said it; 0 = none."""
    if not 200 <= response.status < 300 or b'"submission_id"' not in response.body[:READ_MAX]:
        return 0
    try:
        named = json.loads(response.body)["submission_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return int(named) if isinstance(named, str) and named.isdigit() and len(named) < 20 else 0
