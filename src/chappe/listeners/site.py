"""The site beside the dialects: the native API below `/v1`, the panel below `/panel`, and the way there from `/`.

One Starlette application; `HttpListener` hands it the paths that are no dialect's. Bodies are streamed both ways.
"""

import mimetypes
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from chappe.gateway.desks import Desks
from chappe.listeners.http import Receive, Scope, Send, Site
from chappe.listeners.panel import ROUTES
from chappe.listeners.panel.frame import HEADERS, ROOT, STATIC, Panel, PanelRoute
from chappe.listeners.panel.people import DASHBOARD

FOREVER = "public, max-age=31536000, immutable"  # the address changes with the file
API_ROOT = "/v1"


def make_site(
    desks: Desks, native: Iterable[BaseRoute], *, panel_routes: Iterable[PanelRoute] = ROUTES, public_url: str = ""
) -> Site:
    """The application. `native` are the routes of the native API; `public_url` is where people reach it, if that is not
    what their browser says."""
    panel = Panel(desks, panel_routes, public_url=public_url)

    async def fault(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith(ROOT):
            return await panel.fault(request, status)
        return PlainTextResponse("Not found", status) if status == 404 else PlainTextResponse(str(error), status)

    routes: list[BaseRoute] = [
        Route("/", front_door, methods=["GET"]),
        Route(ROOT, to_overview, methods=["GET"]),
        Route(ROOT + "/static/{name}", static_file, methods=["GET"]),
        *panel.routes(),
        Route(DASHBOARD.path, panel.endpoint(DASHBOARD), methods=[DASHBOARD.method]),
        *native,
    ]
    return guarded(Starlette(routes=routes, exception_handlers={HTTPException: fault}))


async def front_door(request: Request) -> Response:
    """People go to the panel; programs are told that there is nothing, as at any other path."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{ROOT}/", 303)
    return PlainTextResponse("Not found", 404)


async def to_overview(request: Request) -> Response:
    return RedirectResponse(f"{ROOT}/", 303)


async def static_file(request: Request) -> Response:
    name = request.path_params["name"]
    path = STATIC / name
    if path.parent != STATIC or not path.is_file():
        raise HTTPException(404)
    cached = FOREVER if request.query_params.get("v") else "no-cache"
    media_type = mimetypes.guess_type(name)[0]
    return FileResponse(path, media_type=media_type, headers={"cache-control": cached})


def guarded(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> Site:
    """The application, whose answers carry what keeps a browser from doing harm, unless they say otherwise."""
    everywhere = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        added = everywhere if scope["path"].startswith(API_ROOT) else HEADERS

        async def send_guarded(event: Any) -> None:
            if event["type"] == "http.response.start":
                headers = list(event.get("headers", ()))
                there = {name.lower() for name, _ in headers}
                headers += [
                    (name.encode(), value.encode()) for name, value in added.items() if name.encode() not in there
                ]
                event = {**event, "headers": headers}
            await send(event)

        await app(scope, receive, send_guarded)

    return serve
