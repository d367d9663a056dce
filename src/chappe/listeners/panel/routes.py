"""Routes and prices, and the simulator: what would happen to a message now, and what would it cost."""

from starlette.responses import Response

from chappe.core.model import Account, Service, Submission
from chappe.core.people import Permission
from chappe.dialects.native import NATIVE
from chappe.gateway.edits import mark_of, name_of
from chappe.gateway.explaining import explain
from chappe.gateway.file_values import read_phone
from chappe.listeners.panel import editing
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.listing import accounts_in_sight

TEXT_MAX = 2_000
FIELD_MAX = 100
SHOWN_MAX = 2_000  # routes on one page


async def show(panel: PanelRequest) -> Response:
    """The routes by prefix and service class, with carriers and prices."""
    configured = await panel.desks.versions.configured()
    begin = panel.query.get("prefix", "").strip().removeprefix("+")[:FIELD_MAX]
    found = [one for one in configured.file.routes if one.prefix.startswith(begin)]
    return panel.render(
        "routes_list.html",
        routes=[(one, name_of(one), mark_of(one)) for one in found[:SHOWN_MAX]],
        hidden_count=max(0, len(found) - SHOWN_MAX),
        has_any=bool(configured.file.routes),
        begin=begin,
        may_change=panel.caller.may(Permission.CHANGE_CONFIGURATION),
        edit_path=editing.edit_path,
    )


async def edit(panel: PanelRequest) -> Response:
    """The form of a route."""
    form = await editing.form_for(panel, "route", panel.query.get("name", ""))
    return editing.form_page(panel, form, "/routes/edit") if form else panel.not_found()


async def put(panel: PanelRequest) -> Response:
    """Add or change a route: what changes is shown first."""
    form = await editing.form_for(panel, "route", panel.text("was"))
    return await editing.put(panel, form, "/routes/edit", "/routes") if form else panel.not_found()


async def remove(panel: PanelRequest) -> Response:
    """Remove a route: what changes is shown first."""
    return await editing.remove(panel, "route", panel._("Remove a route"))


async def simulate(panel: PanelRequest) -> Response:
    """What would happen to a message now, and what would it cost; nothing is sent."""
    accounts = accounts_in_sight(panel)
    account = chosen_account(panel, accounts)
    number = panel.query.get("number", "").strip()[:FIELD_MAX]
    text = panel.query.get("text", panel._("Your code is 123456"))[:TEXT_MAX]
    service = panel.query.get("service", Service.STANDARD.value)
    explanation = None
    if number and account is not None:
        submission = Submission(
            recipients=(as_digits(number),),
            text=text,
            originator=panel.query.get("originator", "").strip()[:FIELD_MAX],
            service=Service(service) if service in set(Service) else Service.STANDARD,
        )
        desks = panel.desks
        explanation = explain(
            account,
            submission,
            NATIVE,
            desks.directory(),
            desks.clock.now_ms(),
            desks.is_blocked,
            desks.is_up,
        )
    return panel.render(
        "routes_simulator.html",
        accounts=[(one.id, one.name) for one in accounts],
        account=account,
        number=number,
        text=text,
        service=service,
        services=[(one.value, panel._(one.value)) for one in Service],
        explanation=explanation,
        sees_carriers=panel.caller.may(Permission.READ_CONFIGURATION),
    )


def as_digits(written: str) -> str:
    """A number as people write it; what is none stays as it is, and is refused."""
    try:
        return read_phone(written)
    except ValueError:
        return written


def chosen_account(panel: PanelRequest, accounts: list[Account]) -> Account | None:
    wanted = panel.number("account")
    own = panel.caller.account
    return next((one for one in accounts if one.id == wanted), own or (accounts[0] if accounts else None))


READ, CHANGE = Permission.READ_CONFIGURATION, Permission.CHANGE_CONFIGURATION
ROUTES = (
    PanelRoute("/routes", show, READ, title="Routes and prices", group="Gateway"),
    PanelRoute("/routes/edit", edit, CHANGE),
    PanelRoute("/routes/edit", put, CHANGE, "POST"),
    PanelRoute("/routes/remove", remove, CHANGE, "POST"),
    PanelRoute("/route-simulator", simulate, Permission.READ_ACCOUNTS, title="Route simulator", group="Gateway"),
)
