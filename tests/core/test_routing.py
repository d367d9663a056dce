"""Routes: the longest prefix that serves the class, and the exact class before every class."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.model import Route, Service
from chappe.core.routing import RoutingTable

PREMIUM, STANDARD, ECONOMY = Service.PREMIUM, Service.STANDARD, Service.ECONOMY


def route(prefix: str, service: Service | None = None, carrier_id: int = 1) -> Route:
    return Route(prefix=prefix, service=service, carrier_ids=(carrier_id,), price_micros=1)


EVERYWHERE, UK, UK_MOBILE = route(""), route("44"), route("447")
UK_PREMIUM, UK_MOBILE_ECONOMY = route("44", PREMIUM), route("447", ECONOMY)
TABLE = [UK_MOBILE, EVERYWHERE, UK_PREMIUM, UK, UK_MOBILE_ECONOMY]


@pytest.mark.parametrize(
    "routes, recipient, service, found",
    [
        (TABLE, "391234567", STANDARD, EVERYWHERE),
        (TABLE, "442012345", STANDARD, UK),
        (TABLE, "442012345", PREMIUM, UK_PREMIUM),
        (TABLE, "447700900123", STANDARD, UK_MOBILE),
        (TABLE, "447700900123", PREMIUM, UK_MOBILE),
        (TABLE, "447700900123", ECONOMY, UK_MOBILE_ECONOMY),
        (TABLE, "44", PREMIUM, UK_PREMIUM),
        (TABLE, "4", PREMIUM, EVERYWHERE),
        (TABLE, "", STANDARD, EVERYWHERE),
        ([UK_PREMIUM], "442012345", STANDARD, None),
        ([UK_MOBILE_ECONOMY, UK], "447700900123", STANDARD, UK),
        ([], "447700900123", STANDARD, None),
    ],
)
def test_the_longest_prefix_wins(routes: list[Route], recipient: str, service: Service, found: Route | None) -> None:
    """The longest prefix that serves the class is taken, and under one prefix the route for exactly that class."""
    assert RoutingTable(routes).find(recipient, service) == found


DIGITS = st.text("12", max_size=6)
ROUTES = st.lists(
    st.builds(route, DIGITS, st.sampled_from([None, *Service]), st.integers(1, 9)),
    max_size=12,
    unique_by=lambda one: (one.prefix, one.service),
)


@given(ROUTES, DIGITS, st.sampled_from(Service))
def test_the_table_agrees_with_a_look_at_every_route(routes: list[Route], recipient: str, service: Service) -> None:
    """Looking at all routes one by one finds the same."""
    fitting = [one for one in routes if recipient.startswith(one.prefix) and one.service in (service, None)]
    best = max(fitting, key=lambda one: (len(one.prefix), one.service is not None), default=None)
    assert RoutingTable(routes).find(recipient, service) == best
