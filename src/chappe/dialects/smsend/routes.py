"""The method table of 4.3, and the way every request takes through it: find the row, prove who asks, read the body.

Slashes in a row are one and a slash at the end is none, because the provider's own samples send them (wire 1.1).
"""

import re

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account
from chappe.dialects.base import HttpRequest, HttpResponse, NorthFlow, text_of, urlencoded_fields
from chappe.dialects.smsend import belongings, orders, received, sending, sessions, status
from chappe.dialects.smsend.asking import Asked, Route, read_json, refuse, tell, unquoted
from chappe.dialects.smsend.facts import KEYS_HIDDEN, ROOT

DOORS = {  # before anybody is known
    ("GET", "login"): sessions.open_session,
    ("GET", "token"): sessions.open_access,
    ("GET", "checksession"): sessions.check_session,
}

ROUTES = (
    Route("GET", "dashboard", sessions.show_dashboard, hides_keys=True),
    Route("POST", "pwdreset", sessions.reset_password),
    Route("GET", "pwdreset", sessions.reset_password),
    Route("GET", "status", status.show_status),
    Route("POST", "sms", sending.send, body=dict),
    Route("POST", "paramsms", sending.send_with_variables, body=dict),
    Route("POST", "smstogroups", sending.send_to_groups, body=dict),
    Route("GET", "sms/{order_id}", orders.show),
    Route("DELETE", "sms/{order_id}", orders.delete),
    Route("DELETE", "sms/bulk", orders.delete_all),
    Route("GET", "smshistory", orders.list_orders),
    Route("GET", "rcptHistory", orders.list_messages),
    Route("GET", "smsrich/statistics", orders.show_statistics),
    Route("GET", "newsrsmsmessage", received.take),
    Route("GET", "newsrsmsmessage/{sim}", received.take),
    Route("GET", "srsmshistory", received.list_span),
    Route("GET", "srsmshistory/{sim}", received.list_span),
    Route("GET", "srsmshistory/{sim}/{id_message}", received.list_after),
    Route("GET", "mosmshistory", received.list_replies),
    *belongings.ROUTES,
)

STATIC = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}
PATTERNS = tuple((route.method, route.pattern, route) for route in ROUTES if "{" in route.path)


def serve(request: HttpRequest) -> NorthFlow:
    """Any request below the root; what has no row in the table is not found."""
    path = path_of(request)
    door = DOORS.get((request.method, path))
    if door is not None:
        return (yield from door(request))
    found = find(request.method, path)
    if found is None:
        return refuse(Refused(Refusal.NOT_FOUND))
    route, ids = found
    account = yield from sessions.authenticate(request)
    if not isinstance(account, Account):
        return refuse_keys(account, route)
    body = read_json(request.body, route.body) if route.body else None
    if isinstance(body, Refused):
        return refuse(body)
    return (yield from route.flow(Asked(request=request, account=account, ids=ids, query=query_of(request), body=body)))


def path_of(request: HttpRequest) -> str:
    """What follows the root, its parts still percent-encoded."""
    return re.sub("//+", "/", request.path).removeprefix(ROOT).strip("/")


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The row of the table, one without ids first, and the ids in the path."""
    route = STATIC.get((method, path))
    if route is not None:
        return route, {}
    for its_method, pattern, route in PATTERNS:
        match = pattern.fullmatch(path) if its_method == method else None
        if match is not None:
            return route, {name: unquoted(part) for name, part in match.groupdict().items()}
    return None


def query_of(request: HttpRequest) -> dict[str, str]:
    return {text_of(name).lower(): text_of(value) for name, value in urlencoded_fields(request.query).items()}


def refuse_keys(refused: Refused, route: Route) -> HttpResponse:
    """401 for bad keys, 404 for a user key that nobody has; some rows do not tell one from the other (4.2)."""
    is_hidden = route.hides_keys and refused.reason is Refusal.UNAUTHORISED
    return tell(KEYS_HIDDEN) if is_hidden else refuse(refused)
