"""Our own API below `/v1`. The routes, the OpenAPI document and the reference are made of one table (`table.py`)."""

import msgspec
from starlette.routing import BaseRoute, Route

from chappe.dialects.native import JSON_TYPE, ROOT
from chappe.gateway.desks import Desks
from chappe.listeners.http import Receive, Scope, Send
from chappe.listeners.native.asking import Endpoint
from chappe.listeners.native.openapi import endpoint_rows, openapi_document
from chappe.listeners.native.serving import PathApp, Serving, Told, nowhere, put

__all__ = ["endpoint_rows", "native_routes", "openapi_document"]


def native_routes(desks: Desks) -> list[BaseRoute]:
    serving = Serving(desks)
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint, path in endpoint_rows():
        by_path.setdefault(path, []).append(endpoint)
    # The fixed path before the one with a name in it, where both fit.
    paths = sorted(by_path, key=lambda path: path.count("{"))
    return [
        Route(f"{ROOT}/openapi.json", OpenApi()),
        *(Route(path, PathApp(serving, by_path[path])) for path in paths),
        Route(f"{ROOT}/{{rest:path}}", Nowhere()),
    ]


class OpenApi:
    """The document, put into words when it is first asked for."""

    def __init__(self) -> None:
        self._octets = b""

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self._octets = self._octets or msgspec.json.encode(openapi_document())
        body = b"" if scope["method"] == "HEAD" else self._octets
        await put(send, Told(200, (("content-type", JSON_TYPE.decode()),), body))


class Nowhere:
    """What no endpoint has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await nowhere(scope, receive, send)
