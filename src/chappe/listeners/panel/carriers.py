"""Carriers: how each of them is now, and what is configured of them."""

from starlette.responses import Response

from chappe.core.people import Permission
from chappe.gateway.edits import mark_of
from chappe.listeners.panel import editing
from chappe.listeners.panel.frame import PanelRequest, PanelRoute

LINK_STALE_MS = 20_000  # a node tells of itself every ten seconds
SHORT = 80  # characters of what a carrier said


async def show(panel: PanelRequest) -> Response:
    """Every carrier: how it is now on each node, and what is configured of it."""
    configured = await panel.desks.versions.configured()
    now_ms = panel.desks.clock.now_ms()
    open_now = await panel.desks.overview.open_now()
    by_name = {one.name: one for one in open_now.carriers}
    routes: dict[str, list[str]] = {}
    for route in configured.file.routes:
        for name in route.carriers:
            routes.setdefault(name, []).append(route.prefix)
    carriers = [
        {
            "wish": wish,
            "mark": mark_of(wish),
            "now": by_name.get(wish.name),
            "links": links_of(by_name.get(wish.name), now_ms),
            "routes": routes.get(wish.name, []),
        }
        for wish in configured.file.carriers
    ]
    return panel.render(
        "carriers_list.html",
        carriers=carriers,
        may_change=panel.caller.may(Permission.CHANGE_CONFIGURATION),
        kinds=sorted(panel.desks.versions.known.kinds),
        edit_path=editing.edit_path,
        callback_paths=callback_paths(panel),
        short=SHORT,
    )


def links_of(row: object, now_ms: int) -> list[dict[str, object]]:
    """What each running node told of its ways to a carrier, and whether that is old."""
    told = getattr(row, "told", ())
    return [
        {"node": one.node, "figures": one.figures, "is_stale": now_ms - one.told_ms > LINK_STALE_MS}
        for one in told
        if one.is_running
    ]


def callback_paths(panel: PanelRequest) -> dict[str, str]:
    """Where each carrier's provider has to call back; only for who may change it, for it is a secret of a kind."""
    if not panel.caller.may(Permission.CHANGE_CONFIGURATION):
        return {}
    return {
        one.name: f"{panel.origin}/carrier/{one.callback_key}"
        for one in panel.desks.directory().carriers
        if one.is_active and one.callback_key and one.kind not in ("simulated", "smpp")
    }


async def edit(panel: PanelRequest) -> Response:
    """The form of a carrier, or, for a new one, the choice of its kind."""
    name, kind = panel.query.get("name", ""), panel.query.get("kind", "")
    known = panel.desks.versions.known
    if not name and kind not in known.kinds:
        return panel.render("carriers_kind.html", kinds=sorted(known.kinds))
    form = await editing.form_for(panel, "carrier", name, kind)
    return editing.form_page(panel, form, "/carriers/edit") if form else panel.not_found()


async def put(panel: PanelRequest) -> Response:
    """Add or change a carrier: what changes is shown first."""
    name, kind = panel.text("was"), panel.text("kind")
    known = panel.desks.versions.known
    if not name and kind not in known.kinds:
        return panel.fault(422)
    form = await editing.form_for(panel, "carrier", name, kind)
    if form is None:
        return panel.not_found()
    return await editing.put(panel, form, "/carriers/edit", "/carriers")


async def remove(panel: PanelRequest) -> Response:
    """Remove a carrier: what changes is shown first."""
    note = panel._(
        "What still waits for it goes to the other carriers of its route; receipts still find their message."
    )
    return await editing.remove(panel, "carrier", panel._("Remove a carrier"), note)


READ, CHANGE = Permission.READ_CONFIGURATION, Permission.CHANGE_CONFIGURATION
ROUTES = (
    PanelRoute("/carriers", show, READ, title="Carriers", group="Gateway"),
    PanelRoute("/carriers/edit", edit, CHANGE),
    PanelRoute("/carriers/edit", put, CHANGE, "POST"),
    PanelRoute("/carriers/remove", remove, CHANGE, "POST"),
)
