"""The control panel: one module per group of pages, each with its `ROUTES`; `frame.py` is what they stand in."""

from chappe.listeners.panel import (
    accounts,
    blacklist,
    callbacks,
    campaigns,
    carriers,
    inbound,
    inbox,
    keys,
    ledger,
    messages,
    numbers,
    overview,
    people,
    routes,
    scheduled,
    send,
    senders,
    versions,
)
from chappe.listeners.panel.frame import PanelRoute

# In the order of the navigation; one line for each module of pages.
ROUTES: tuple[PanelRoute, ...] = (
    *overview.ROUTES,
    *inbox.ROUTES,
    *send.ROUTES,
    *campaigns.ROUTES,
    *messages.ROUTES,
    *inbound.ROUTES,
    *scheduled.ROUTES,
    *callbacks.ROUTES,
    *ledger.ROUTES,
    *carriers.ROUTES,
    *routes.ROUTES,
    *accounts.ROUTES,
    *numbers.ROUTES,
    *senders.ROUTES,
    *blacklist.ROUTES,
    *versions.ROUTES,
    *keys.ROUTES,
    *people.ROUTES,
)
