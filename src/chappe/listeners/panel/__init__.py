"""The control panel: one module per group of pages, each with its `ROUTES`; `frame.py` is what they stand in."""

from chappe.listeners.panel import (
    callbacks,
    carriers,
    inbound,
    keys,
    ledger,
    messages,
    overview,
    people,
    routes,
    scheduled,
    versions,
)
from chappe.listeners.panel.frame import PanelRoute

# In the order of the navigation; one line for each module of pages.
ROUTES: tuple[PanelRoute, ...] = (
    *overview.ROUTES,
    *messages.ROUTES,
    *inbound.ROUTES,
    *scheduled.ROUTES,
    *callbacks.ROUTES,
    *ledger.ROUTES,
    *carriers.ROUTES,
    *routes.ROUTES,
    *versions.ROUTES,
    *keys.ROUTES,
    *people.ROUTES,
)
