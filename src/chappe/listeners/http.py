"""The HTTP door of the north: the path picks the dialect, the dialect asks the gateway, the answer goes out as it is.

A small ASGI application of our own, because the dialects need raw bytes and exact answers. It also serves `/healthz`,
`/metrics`, and the paths under which carriers call us back.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog

from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, NorthFlow, plain, run_async

log = structlog.get_logger()

Scope = Any  # ASGI's own records; what we take from them is typed where it is taken
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Ask = Callable[[Call, Dialect, str], Awaitable[Outcome]]
Page = Callable[[HttpRequest], Awaitable[HttpResponse]]

SLASHES = re.compile("//+")
CARRIER_PATH = "/carrier/"  # then the carrier's unguessable key
PAGE_BODY_MAX = 1 << 20  # bytes
NO_STORE = (b"cache-control", b"no-store")
NOT_FOUND = plain("Not found", 404)
TOO_LARGE = plain("Too large", 413)
BROKEN = plain("Internal error", 500)


class HungUp(Exception):
    """The client left before its request was whole: half of a text must not be sent."""


class HttpListener:
    """`ask` answers contract calls; `pages` are ours, by exact path; `carrier_callback` takes a carrier's key."""

    def __init__(
        self,
        *,
        dialects: Iterable[Dialect],
        ask: Ask,
        pages: Mapping[str, Page],
        carrier_callback: Callable[[str, HttpRequest], Awaitable[HttpResponse]],
    ) -> None:
        self._ask = ask
        self._pages = pages
        self._carrier_callback = carrier_callback
        self._north: dict[str, tuple[Dialect, Callable[[HttpRequest], NorthFlow]]] = {
            path: (dialect, flow) for dialect in dialects for path, flow in dialect.north.paths.items()
        }
        self._roots = [(root, (dialect, flow)) for dialect in dialects for root, flow in dialect.north.roots.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            response = await self._answer(scope, receive)
        except HungUp:
            return
        await respond(send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> HttpResponse:
        path = scope["path"]
        found = self._north.get(path) or self._below_root(path)
        body_max = found[0].north.body_max if found else PAGE_BODY_MAX
        body = await read_body(receive, body_max)
        if body is None:
            return found[0].north.refuse(Refused(Refusal.BAD_REQUEST)) if found else TOO_LARGE
        request = HttpRequest(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"],
            headers=tuple(scope["headers"]),
            body=body,
        )
        try:
            if found:
                return await self._converse(*found, request, scope)
            if path in self._pages:
                return await self._pages[path](request)
            if path.startswith(CARRIER_PATH):
                return await self._carrier_callback(path.removeprefix(CARRIER_PATH), request)
        except Exception:
            log.exception("request_broke", path=path if found else "", method=request.method)
            return found[0].north.refuse(Refused(Refusal.INTERNAL)) if found else BROKEN
        return NOT_FOUND

    def _below_root(self, path: str) -> tuple[Dialect, Callable[[HttpRequest], NorthFlow]] | None:
        collapsed = SLASHES.sub("/", path)
        return next((found for root, found in self._roots if collapsed.startswith(root)), None)

    async def _converse(
        self, dialect: Dialect, flow: Callable[[HttpRequest], NorthFlow], request: HttpRequest, scope: Scope
    ) -> HttpResponse:
        client = scope["client"]
        network = client[0] if client else ""

        async def ask(call: Call) -> Outcome:
            return await self._ask(call, dialect, network)

        return await run_async(flow(request), ask)


async def read_body(receive: Receive, body_max: int) -> bytes | None:
    """The whole body, or None where it is larger than `body_max` bytes (little more than that is ever held). Raises
    HungUp."""
    event = await next_event(receive)
    body: bytes = event.get("body", b"")
    if not event.get("more_body"):
        return body if len(body) <= body_max else None
    chunks, size = [body], len(body)
    while event.get("more_body"):
        if size > body_max:
            return None
        event = await next_event(receive)
        chunks.append(event.get("body", b""))
        size += len(chunks[-1])
    return b"".join(chunks) if size <= body_max else None


async def next_event(receive: Receive) -> Any:
    event = await receive()
    if event["type"] == "http.disconnect":
        raise HungUp
    return event


async def respond(send: Send, response: HttpResponse) -> None:
    headers = [*response.headers, NO_STORE, (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
