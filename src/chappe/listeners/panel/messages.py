"""Messages: found, exported, and the story of each one."""

from collections.abc import AsyncIterator

from starlette.responses import Response

from chappe.core.centre import Refused, Reschedule
from chappe.core.ledger import format_micros
from chappe.core.lifecycle import FINAL, WAITING
from chappe.core.model import Coding, State
from chappe.core.people import Permission
from chappe.gateway.search import CallbackFilters, FoundMessage, MessageFilters, all_pages
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.listing import (
    DIALECT,
    EXPORT_COUNT,
    PAGE_COUNT,
    account_choices,
    before_id,
    carrier_choices,
    filter_text,
    instant_ms,
    moment_cell,
    number_or,
    searched_back_to_ms,
    sees_carriers,
    span_of,
    submitted_ms,
)

COLUMNS = (
    "id",
    "submission",
    "account",
    "accepted",
    "due",
    "sent",
    "ended",
    "sender",
    "recipient",
    "text",
    "segments",
    "price",
    "currency",
    "state",
    "detail",
    "reference",
    "dialect",
)
TESTS = {"yes": True, "no": False}


def filters_of(panel: PanelRequest) -> MessageFilters:
    """Raises Invalid. What is no known state is no filter."""
    from_ms, to_ms = span_of(panel)
    asked = panel.request.query_params.getlist("state")
    return MessageFilters(
        recipient=filter_text(panel, "recipient"),
        which=filter_text(panel, "id"),
        states=tuple(state for state in State if state.value in asked),
        from_ms=from_ms,
        to_ms=to_ms,
        account_id=panel.number("account"),
        carrier_id=number_or(panel.query.get("carrier", "")) if sees_carriers(panel) else 0,
        originator=filter_text(panel, "sender"),
        is_test=TESTS.get(panel.query.get("test", "")),
    )


async def show(panel: PanelRequest) -> Response:
    filters = filters_of(panel)
    page = await panel.desks.search.messages(panel.caller.sight, filters, before_id(panel), PAGE_COUNT)
    choices = account_choices(panel)
    return panel.render(
        "messages.html",
        page=page,
        searched_back_to_ms=searched_back_to_ms(page),
        states=[(state.value, panel._(state.value)) for state in State],
        chosen=filters.states,
        account_choices=choices,
        carrier_choices=carrier_choices(panel),
        submitted_ms=submitted_ms,
        query=panel.request.url.query,
    )


async def export(panel: PanelRequest) -> Response:
    filters = filters_of(panel)
    return panel.csv("messages.csv", rows_of(panel, filters))


async def rows_of(panel: PanelRequest, filters: MessageFilters) -> AsyncIterator[tuple[object, ...]]:
    has_carriers = sees_carriers(panel)
    yield (*COLUMNS, "carrier", "carrier_reference") if has_carriers else COLUMNS
    sight, search = panel.caller.sight, panel.desks.search
    pages = all_pages(lambda before: search.messages(sight, filters, before, EXPORT_COUNT))
    async for items in pages:
        for one in items:
            yield (*cells_of(one), one.carrier, one.given) if has_carriers else cells_of(one)


def cells_of(one: FoundMessage) -> tuple[object, ...]:
    return (
        one.id,
        one.submission_id,
        one.account,
        moment_cell(submitted_ms(one)),
        moment_cell(one.due_ms),
        moment_cell(one.sent_ms),
        moment_cell(one.final_ms),
        one.originator,
        one.recipient,
        one.text,
        one.segments,
        format_micros(one.price_micros),
        one.currency,
        one.state.value,
        one.detail,
        one.reference,
        one.dialect,
    )


# One message


async def found(panel: PanelRequest) -> FoundMessage | None:
    message_id: int = panel.request.path_params["message_id"]
    return await panel.desks.search.message(panel.caller.sight, message_id)


async def show_one(panel: PanelRequest) -> Response:
    one = await found(panel)
    return panel.not_found() if one is None else await render_one(panel, one)


async def render_one(panel: PanelRequest, one: FoundMessage, error: str = "", status: int = 200) -> Response:
    sight, desks = panel.caller.sight, panel.desks
    story = await desks.story.tell(sight, one.id)
    kept = await desks.requests.of_submission(one.submission_id)
    callbacks = await desks.search.callbacks(sight, CallbackFilters(message_id=one.id), 0, PAGE_COUNT)
    return panel.render(
        "messages_one.html",
        status,
        message=one,
        story=story,
        requests=[each for each in kept if sight.sees(each.account_id)],
        callbacks=callbacks.items,
        submitted_ms=submitted_ms(one),
        is_waiting=one.state in WAITING,
        is_open=one.state not in FINAL,
        is_text=one.coding is not Coding.BINARY,
        sees_carriers=sees_carriers(panel),
        may_change=panel.caller.may(Permission.CHANGE_MESSAGES),
        may_replay=panel.caller.may(Permission.REPLAY_CALLBACKS),
        may_read_callbacks=panel.caller.may(Permission.READ_CALLBACKS),
        error=error,
    )


async def cancel(panel: PanelRequest) -> Response:
    one = await found(panel)
    if one is None:
        return panel.not_found()
    count = await panel.desks.waiting.cancel(panel.caller.sight, [one.id])
    if not count:
        return await render_one(panel, one, panel._("It does not wait any more."), 409)
    return panel.redirect(f"/messages/{one.id}", panel._("The message is cancelled."))


async def reschedule(panel: PanelRequest) -> Response:
    one = await found(panel)
    if one is None:
        return panel.not_found()
    scheduled_ms = instant_ms(panel, panel.text("at"), 0)
    account = panel.desks.directory().account(one.account_id)
    if not scheduled_ms or account is None:
        return await render_one(panel, one, panel._("Say when it is to be sent."), 422)
    call = Reschedule(account=account, reference=str(one.id), scheduled_ms=scheduled_ms)
    outcome = await panel.desks.front.answer(call, DIALECT, "")
    if isinstance(outcome, Refused):
        return await render_one(panel, one, panel.refused(outcome), 409)
    return panel.redirect(f"/messages/{one.id}", panel._("The message has another time."))


ROUTES = (
    PanelRoute("/messages", show, Permission.READ_MESSAGES, title="Messages", group="Messages"),
    PanelRoute("/messages/export", export, Permission.READ_MESSAGES),
    PanelRoute("/messages/{message_id:int}", show_one, Permission.READ_MESSAGES),
    PanelRoute("/messages/{message_id:int}/cancel", cancel, Permission.CHANGE_MESSAGES, method="POST"),
    PanelRoute("/messages/{message_id:int}/reschedule", reschedule, Permission.CHANGE_MESSAGES, method="POST"),
)
