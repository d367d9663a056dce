"""The HTTP door of the north: the path picks the dialect, the dialect asks the gateway, the answer goes out as it is.

A small ASGI application of our own, because the dialects need raw bytes and exact answers. It also serves `/healthz`,
`/metrics`, and the paths under which carriers call us back.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from chappe.core.centre import Call, Outcome, Refusal, Refused
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse, NorthFlow, plain, run_async
from chappe.gateway.watching import Watch

if TYPE_CHECKING:  # a front process needs none of what the book is written in
    from chappe.gateway.requests import RequestBook

log = structlog.get_logger()

Scope = Any  # ASGI's own records; what we take from them is typed where it is taken
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Ask = Callable[[Call, Dialect, str], Awaitable[Outcome]]
Page = Callable[[HttpRequest], Awaitable[HttpResponse]]
Site = Callable[[Scope, Receive, Send], Awaitable[None]]

SITE_PATHS = ("/panel", "/v1", "/s/user/")
SET_BY_DOOR = frozenset({b"content-length", b"cache-control"})  # whoever writes the answer sets them
SLASHES = re.compile("//+")
CARRIER_PATH = "/carrier/"  # then the carrier's unguessable key
PAGE_BODY_MAX = 1 << 20  # bytes
SITE_BODY_MAX = 10 << 20  # bytes, where a front hands over whole requests; else each page has a limit of its own
SITE_ANSWER_MAX = 64 << 20  # bytes, likewise
NO_STORE = (b"cache-control", b"no-store")
NOT_FOUND = plain("Not found", 404)
TOO_LARGE = plain("Too large", 413)
TOO_MUCH = plain("Too much for one answer behind front processes: choose less, such as a shorter span of time", 422)
BROKEN = plain("Internal error", 500)


class HungUp(Exception):
    """The client left before its request was whole: half of a text must not be sent."""


class Place(NamedTuple):
    """A path of a dialect: what answers there, and how many bytes a body may have."""

    dialect: Dialect
    flow: Callable[[HttpRequest], NorthFlow]
    body_max: int


class HttpListener:
    """The server's application, and its door: what a dialect answers needs no ASGI.

    `ask` answers contract calls; `pages` are ours, by exact path; `carrier_callback` takes a carrier's key; `site` is
    the panel and the native API, an application of its own. Where everybody's `requests` are kept, they are watched."""

    def __init__(
        self,
        *,
        dialects: Iterable[Dialect],
        ask: Ask,
        pages: Mapping[str, Page],
        carrier_callback: Callable[[str, HttpRequest], Awaitable[HttpResponse]],
        site: Site | None = None,
        requests: "RequestBook | None" = None,
    ) -> None:
        self._ask = ask
        self._requests = requests if requests is not None and requests.keeps_all else None
        self._pages = pages
        self._carrier_callback = carrier_callback
        self._site = site
        self._north = {
            path: Place(dialect, flow, dialect.north.body_max)
            for dialect in dialects
            for path, flow in dialect.north.paths.items()
        }
        self._roots = [
            (root, Place(dialect, flow, dialect.north.body_max))
            for dialect in dialects
            for root, flow in dialect.north.roots.items()
        ]

    def find(self, path: str) -> Place | None:
        """The dialect that answers at a path."""
        return self._north.get(path) or self._below_root(path)

    async def serve(self, place: Place, request: HttpRequest, network: str) -> HttpResponse:
        """A dialect's answer to a whole request."""
        dialect = place.dialect
        if self._requests is not None:
            return await self._serve_kept(self._requests, place, request, network)
        try:
            return await run_async(place.flow(request), lambda call: self._ask(call, dialect, network))
        except Exception:
            log.exception("request_broke", path=request.path, method=request.method)
            return dialect.north.refuse(Refused(Refusal.INTERNAL))

    async def _serve_kept(
        self, requests: "RequestBook", place: Place, request: HttpRequest, network: str
    ) -> HttpResponse:
        """The same, and request and answer are kept."""
        dialect, began_s = place.dialect, requests.now_s()
        watch = Watch(lambda call: self._ask(call, dialect, network))
        try:
            response = await run_async(place.flow(request), watch.ask)
        except Exception:
            log.exception("request_broke", path=request.path, method=request.method)
            response = dialect.north.refuse(Refused(Refusal.INTERNAL))
        requests.note_watched(request, response, watch, dialect=dialect.name, began_s=began_s)
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._site is not None and is_of_site(scope["path"]) and self.find(scope["path"]) is None:
            await self._site(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except HungUp:
            return
        await respond(send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> HttpResponse:
        path = scope["path"]
        found = self.find(path)
        body_max = found.body_max if found else SITE_BODY_MAX if is_of_site(path) else PAGE_BODY_MAX
        body = await read_body(receive, body_max)
        request = HttpRequest(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"],
            headers=tuple(scope["headers"]),
            body=body or b"",
        )
        if body is None:
            return self._refuse_size(found, request)
        client = scope["client"]
        is_secure = scope.get("scheme") == "https"
        return await self.reply(found, path, request, client[0] if client else "", is_secure=is_secure)

    async def reply(
        self, place: Place | None, path: str, request: HttpRequest, network: str, *, is_secure: bool = False
    ) -> HttpResponse:
        """The answer to a whole request, whosever path it is; in `path` percent escapes are read. `is_secure`: it came
        over TLS."""
        if place:
            return await self.serve(place, request, network)
        try:
            if self._site is not None and is_of_site(path):
                return await gather(self._site, path, request, network, is_secure=is_secure)
            if path in self._pages:
                return await self._pages[path](request)
            if path.startswith(CARRIER_PATH):
                return await self._carrier_callback(path.removeprefix(CARRIER_PATH), request)
        except Exception:
            log.exception("request_broke", path="", method=request.method)
            return BROKEN
        return NOT_FOUND

    def _refuse_size(self, place: Place | None, request: HttpRequest) -> HttpResponse:
        if place is None:
            return TOO_LARGE
        response = place.dialect.north.refuse(Refused(Refusal.BAD_REQUEST))
        if self._requests is not None:
            self._requests.note(request, response, dialect=place.dialect.name)
        return response

    def _below_root(self, path: str) -> Place | None:
        collapsed = SLASHES.sub("/", path)
        return next((found for root, found in self._roots if collapsed.startswith(root)), None)


def is_of_site(path: str) -> bool:
    return path == "/" or path.startswith(SITE_PATHS)


async def gather(site: Site, path: str, request: HttpRequest, network: str, *, is_secure: bool) -> HttpResponse:
    """The site's whole answer to a whole request. What it streams is held until it ends, and refused where that is too
    much."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": None,
        "client": (network, 0),
        "scheme": "https" if is_secure else "http",
        "method": request.method,
        "root_path": "",
        "path": path,
        "raw_path": request.path.encode("latin-1"),
        "query_string": request.query,
        "headers": list(request.headers),
        "state": {},
    }
    events: list[Any] = [{"type": "http.request", "body": request.body, "more_body": False}]
    status, headers, body = 500, list[tuple[bytes, bytes]](), bytearray()
    is_too_much = False

    async def receive() -> Any:
        return events.pop() if events else await asyncio.Event().wait()

    async def send(event: Any) -> None:
        nonlocal status, headers, is_too_much
        if event["type"] == "http.response.start":
            status, headers = event["status"], list(event.get("headers", ()))
            return
        body.extend(event.get("body", b""))
        if len(body) > SITE_ANSWER_MAX:
            is_too_much = True
            raise HungUp

    try:
        await asyncio.ensure_future(site(scope, receive, send))  # a task: libraries ask which one they run in
    except BaseException:
        if not is_too_much:
            raise
    if is_too_much:
        return TOO_MUCH
    kept = tuple((bytes(name), bytes(value)) for name, value in headers if bytes(name).lower() not in SET_BY_DOOR)
    return HttpResponse(status=status, headers=kept, body=bytes(body))


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
