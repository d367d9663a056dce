"""What phones wrote to our numbers."""

from collections.abc import AsyncIterator

from starlette.responses import Response

from chappe.core.people import Permission
from chappe.gateway.search import FoundInbound, InboundFilters, all_pages
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.listing import (
    EXPORT_COUNT,
    PAGE_COUNT,
    account_choices,
    accounts_in_sight,
    before_id,
    filter_text,
    moment_cell,
    searched_back_to_ms,
    sees_carriers,
    span_of,
)

COLUMNS = ("id", "account", "received", "sender", "number", "text", "coding")
NUMBERS_MAX = 200  # that are offered to choose from


def filters_of(panel: PanelRequest) -> InboundFilters:
    """Raises Invalid."""
    from_ms, to_ms = span_of(panel)
    return InboundFilters(
        recipient=filter_text(panel, "number"),
        originator=filter_text(panel, "sender"),
        from_ms=from_ms,
        to_ms=to_ms,
        account_id=panel.number("account"),
    )


async def show(panel: PanelRequest) -> Response:
    page = await panel.desks.search.inbound(panel.caller.sight, filters_of(panel), before_id(panel), PAGE_COUNT)
    numbers = sorted({number for one in accounts_in_sight(panel) for number in one.numbers})
    return panel.render(
        "inbound.html",
        page=page,
        searched_back_to_ms=searched_back_to_ms(page),
        numbers=numbers[:NUMBERS_MAX],
        account_choices=account_choices(panel),
        sees_carriers=sees_carriers(panel),
        may_send=panel.caller.may(Permission.SEND) and panel.caller.account is not None,
        query=panel.request.url.query,
    )


async def export(panel: PanelRequest) -> Response:
    return panel.csv("inbound.csv", rows_of(panel, filters_of(panel)))


async def rows_of(panel: PanelRequest, filters: InboundFilters) -> AsyncIterator[tuple[object, ...]]:
    has_carriers = sees_carriers(panel)
    yield (*COLUMNS, "carrier") if has_carriers else COLUMNS
    sight, search = panel.caller.sight, panel.desks.search
    async for items in all_pages(lambda before: search.inbound(sight, filters, before, EXPORT_COUNT)):
        for one in items:
            yield (*cells_of(one), one.carrier) if has_carriers else cells_of(one)


def cells_of(one: FoundInbound) -> tuple[object, ...]:
    return (
        one.id,
        one.account,
        moment_cell(one.received_ms),
        one.originator,
        one.recipient,
        one.text,
        one.coding.value,
    )


ROUTES = (
    PanelRoute("/inbound", show, Permission.READ_INBOUND, title="Inbound", group="Messages"),
    PanelRoute("/inbound/export", export, Permission.READ_INBOUND),
)
