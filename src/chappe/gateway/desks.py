"""The desks that the panel and the native API ask, in one record: what `app.py` makes is what their pages are handed."""

from collections.abc import Callable

from msgspec import Struct

from chappe.clock import Clock
from chappe.gateway.directory import Directory
from chappe.gateway.front import Front


class Desks(Struct, frozen=True, kw_only=True):
    """`front` answers contract calls as for every dialect; the others answer what only our own pages ask."""

    front: Front
    directory: Callable[[], Directory]
    clock: Clock
    is_demo: bool = False
