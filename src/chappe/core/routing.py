"""Which carriers a recipient can be reached through, in what order, and at what price per segment. Pure."""

from collections.abc import Iterable

from chappe.core.model import Route, Service

PREFIX_MAX = 15  # an MSISDN has at most 15 digits (E.164)


class RoutingTable:
    """Routes by prefix and service class: the longest prefix that serves the class wins; a route for exactly that class
    beats one for every class under the same prefix."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {(route.prefix, route.service): route for route in routes}
        self._lengths = sorted({len(prefix) for prefix, _ in self._routes}, reverse=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is no route at all (yet)."""
        return not self._routes

    def find(self, recipient: str, service: Service) -> Route | None:
        for length in self._lengths:
            prefix = recipient[:length]
            route = self._routes.get((prefix, service)) or self._routes.get((prefix, None))
            if route is not None:
                return route
        return None

    def of_number(self, recipient: str) -> list[Route]:
        """Every route whose prefix the recipient has, the longest first; those of one class before those of all."""
        classes = (*Service, None)
        found = (self._routes.get((recipient[:length], each)) for length in self._lengths for each in classes)
        return list(dict.fromkeys(one for one in found if one is not None))
