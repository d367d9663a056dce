"""Callbacks: how each one fared, and making it once more."""

from starlette.responses import Response

from chappe.core.ids import ID_MAX
from chappe.core.people import Permission
from chappe.gateway.replay import ENDED
from chappe.gateway.search import TIME_MAX_MS, CallbackFilters
from chappe.listeners.panel.frame import PanelRequest, PanelRoute, whole_number
from chappe.listeners.panel.listing import (
    PAGE_COUNT,
    account_choices,
    back_to,
    before_id,
    filter_text,
    ids_ticked,
    instant_ms,
    searched_back_to_ms,
    span_of,
)

STATES = ("pending", "done", "failed", "disabled")
KINDS = ("receipt", "inbound", "mail", "phone", "smpp_receipt", "smpp_inbound")
RANGE_ROUNDS_MAX = 20  # of one click: so many thousand callbacks


def filters_of(panel: PanelRequest) -> CallbackFilters:
    """Raises Invalid."""
    from_ms, to_ms = span_of(panel)
    states = panel.request.query_params.getlist("state")
    kinds = panel.request.query_params.getlist("kind")
    return CallbackFilters(
        states=tuple(one for one in STATES if one in states),
        kinds=tuple(one for one in KINDS if one in kinds),
        account_id=panel.number("account"),
        message_id=min(panel.number("message"), ID_MAX),
        from_ms=from_ms,
        to_ms=to_ms,
    )


async def show(panel: PanelRequest) -> Response:
    filters = filters_of(panel)
    page = await panel.desks.replay.list(panel.caller.sight, filters, before_id(panel), PAGE_COUNT)
    return panel.render(
        "callbacks.html",
        page=page,
        searched_back_to_ms=searched_back_to_ms(page),
        states=[(one, panel._(one)) for one in STATES],
        kinds=[("", panel._("all")), *((one, panel._(one)) for one in KINDS)],
        chosen=filters.states,
        account_choices=account_choices(panel),
        may_replay=panel.caller.may(Permission.REPLAY_CALLBACKS),
        message=filter_text(panel, "message"),
        query=panel.request.url.query,
    )


async def replay(panel: PanelRequest) -> Response:
    count = await panel.desks.replay.replay(panel.caller.sight, ids_ticked(panel))
    return back_to(panel, panel_path(panel), told(panel, count))


def panel_path(panel: PanelRequest) -> str:
    """The list, or the message whose page the form stood on."""
    message = panel.text("message")
    return f"/messages/{message}" if whole_number(message) is not None else "/callbacks"


async def replay_range(panel: PanelRequest) -> Response:
    """Those of a span of time, so many at once as one click may take."""
    from_ms = instant_ms(panel, panel.text("from"), 0)
    to_ms = instant_ms(panel, panel.text("to"), TIME_MAX_MS)
    states = tuple(one for one in panel.texts("state") if one in ENDED)
    account_id = whole_number(panel.text("account")) or 0
    count, before = 0, 0
    for _ in range(RANGE_ROUNDS_MAX):
        replayed = await panel.desks.replay.replay_range(
            panel.caller.sight, from_ms, to_ms, states, account_id=account_id, before_id=before
        )
        count += replayed.count
        if replayed.next_before_id is None:
            return back_to(panel, "/callbacks", told(panel, count))
        before = replayed.next_before_id
    more = panel._("There are more: do it again for the earlier ones.")
    return back_to(panel, "/callbacks", f"{told(panel, count)} {more}")


def told(panel: PanelRequest, count: int) -> str:
    return panel.words.ngettext(
        "%(num)s callback is made once more.", "%(num)s callbacks are made once more.", count
    ) % {"num": count}


ROUTES = (
    PanelRoute("/callbacks", show, Permission.READ_CALLBACKS, title="Callbacks", group="Messages"),
    PanelRoute("/callbacks/replay", replay, Permission.REPLAY_CALLBACKS, method="POST"),
    PanelRoute("/callbacks/replay-range", replay_range, Permission.REPLAY_CALLBACKS, method="POST"),
)
