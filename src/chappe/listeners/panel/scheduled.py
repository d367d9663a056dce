"""What is to be sent later, and taking it back."""

from starlette.responses import Response

from chappe.core.centre import CancelAll, Cancelled
from chappe.core.people import Permission
from chappe.listeners.panel.frame import PanelRequest, PanelRoute, whole_number
from chappe.listeners.panel.listing import (
    DIALECT,
    PAGE_COUNT,
    account_choices,
    accounts_in_sight,
    back_to,
    before_id,
    ids_ticked,
    searched_back_to_ms,
    submitted_ms,
)


async def show(panel: PanelRequest) -> Response:
    account_id = panel.number("account")
    page = await panel.desks.search.scheduled(panel.caller.sight, account_id, before_id(panel), PAGE_COUNT)
    choices = account_choices(panel)
    seen = accounts_in_sight(panel)
    whole_id = account_id or (seen[0].id if len(seen) == 1 else 0)
    whole = panel.desks.directory().account(whole_id) if panel.caller.sight.sees(whole_id) else None
    return panel.render(
        "scheduled.html",
        page=page,
        searched_back_to_ms=searched_back_to_ms(page),
        account_choices=choices,
        whole=whole,
        submitted_ms=submitted_ms,
        may_change=panel.caller.may(Permission.CHANGE_MESSAGES),
        query=panel.request.url.query,
    )


async def cancel(panel: PanelRequest) -> Response:
    count = await panel.desks.waiting.cancel(panel.caller.sight, ids_ticked(panel))
    return back_to(panel, "/scheduled", told(panel, count))


async def cancel_all(panel: PanelRequest) -> Response:
    """Everything that one account has scheduled."""
    account_id = whole_number(panel.text("account")) or 0
    account = panel.desks.directory().account(account_id) if panel.caller.sight.sees(account_id) else None
    if account is None:
        return panel.not_found()
    outcome = await panel.desks.front.answer(CancelAll(account), DIALECT, "")
    if not isinstance(outcome, Cancelled):
        return panel.fault(503)
    return back_to(panel, "/scheduled", told(panel, outcome.count))


def told(panel: PanelRequest, count: int) -> str:
    return panel.words.ngettext("%(num)s message is cancelled.", "%(num)s messages are cancelled.", count) % {
        "num": count
    }


ROUTES = (
    PanelRoute("/scheduled", show, Permission.READ_MESSAGES, title="Scheduled", group="Messages"),
    PanelRoute("/scheduled/cancel", cancel, Permission.CHANGE_MESSAGES, method="POST"),
    PanelRoute("/scheduled/cancel-all", cancel_all, Permission.CHANGE_MESSAGES, method="POST"),
)
