"""The north half of chappe's own dialect for the mirror: the real routes, before a message centre that answers from
memory. Nothing in them waits for anything then, so they need no event loop."""

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

from starlette.routing import Router

from chappe.clock import SystemClock
from chappe.core.centre import Call, Outcome, Query, Refusal
from chappe.core.model import Account, Report
from chappe.core.people import OF_ACCOUNTS, Caller, Sight
from chappe.dialects.base import HttpRequest, HttpResponse
from chappe.gateway.desks import Desks
from chappe.gateway.search import FoundMessage
from chappe.listeners.native import native_routes
from chappe.listeners.native.asking import Problematic


def answer_native(request: HttpRequest, centre: Callable[[Call], Outcome]) -> HttpResponse:
    async def answer(call: Call, _dialect: object, _network: str) -> Outcome:
        return centre(call)

    async def message(_sight: Sight, message_id: int) -> FoundMessage | None:
        outcome = centre(Query(reference=str(message_id)))
        if isinstance(outcome, Report):
            return found_of(outcome)
        raise Problematic(getattr(outcome, "reason", Refusal.INTERNAL))

    desks = SimpleNamespace(
        front=SimpleNamespace(answer=answer),
        keys=SimpleNamespace(caller_with_password=caller_of),
        search=SimpleNamespace(message=message),
        clock=SystemClock(),
        api_rate=0.0,
    )
    router = Router(native_routes(cast(Desks, desks)))
    answered: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": request.body}

    async def send(event: Any) -> None:
        answered.append(event)

    scope = {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "headers": list(request.headers),
        "root_path": "",
        "client": ("192.0.2.1", 0),
    }
    at_once(router(scope, receive, send))
    start, body = answered
    return HttpResponse(status=start["status"], headers=tuple(start["headers"]), body=body["body"])


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def caller_of(account: Account) -> Caller:
    return Caller(name=account.name, permissions=OF_ACCOUNTS, sight=Sight(frozenset({account.id})), account=account)


def found_of(report: Report) -> FoundMessage:
    return FoundMessage(
        id=report.id,
        submission_id=report.submission_id,
        account_id=1,
        dialect="chappe",
        reference=report.reference,
        originator=report.originator,
        recipient=report.recipient,
        text=report.text,
        segments=report.segments,
        price_micros=report.price_micros,
        service=report.service,
        carrier_id=1,
        state=report.state,
        attempt=1,
        due_ms=report.due_ms,
        expires_ms=0,
        final_ms=report.changed_ms,
        sent_ms=0,
        detail=report.reason,
        coding=report.coding,
        given="",
        currency="EUR",
    )
