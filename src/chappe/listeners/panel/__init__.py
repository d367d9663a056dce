"""The control panel: one module per group of pages, each with its `ROUTES`; `frame.py` is what they stand in."""

from chappe.listeners.panel import overview, people
from chappe.listeners.panel.frame import PanelRoute

# In the order of the navigation; one line for each module of pages.
ROUTES: tuple[PanelRoute, ...] = (
    *overview.ROUTES,
    *people.ROUTES,
)
