"""The overview: what goes through, how it ends, and what it costs."""

from starlette.responses import Response

from chappe.listeners.panel.frame import PanelRequest, PanelRoute


async def show(panel: PanelRequest) -> Response:
    return panel.render("overview.html")


ROUTES = (PanelRoute("/", show, None, title="Overview"),)
