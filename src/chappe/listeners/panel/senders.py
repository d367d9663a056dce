"""Sender names: accounts ask for them, whoever runs the gateway approves or blocks them."""

from starlette.responses import Response

from chappe.core.centre import Refused
from chappe.core.model import Account
from chappe.core.people import Permission
from chappe.core.phonebook import APPROVED, Alias, Aliases, AliasState, DeleteAlias, ListAliases, PutAlias
from chappe.listeners.panel.frame import PanelRequest, PanelRoute
from chappe.listeners.panel.listing import DIALECT

COUNT_MAX = 1_000  # that an account may have
STATES = {
    AliasState.UNCONFIRMED: "waits to be approved",
    AliasState.CONFIRMED: "approved",
    AliasState.CONFIRMED_BY_REGULATOR: "approved by the regulator",
    AliasState.BLOCKED: "blocked",
    AliasState.BLOCKED_BY_REGULATOR: "blocked by the regulator",
    AliasState.PRECONFIRMED: "approved",
}
DECISIONS = {"approve": AliasState.CONFIRMED, "block": AliasState.BLOCKED}


async def show(panel: PanelRequest) -> Response:
    """The sender names that were asked for, and how far each is approved."""
    return await page(panel)


async def page(panel: PanelRequest, status: int = 200, error: str = "") -> Response:
    account = panel.caller.account
    rows = await own(panel, account) if account is not None else await everybodys(panel)
    return panel.render(
        "senders_list.html",
        status,
        rows=rows,
        states=STATES,
        approved=APPROVED,
        account=account,
        may_decide=account is None and panel.caller.may(Permission.CHANGE_CONFIGURATION),
        may_ask=account is not None and panel.caller.may(Permission.CHANGE_ACCOUNTS),
        written=panel.text("sender") if error else "",
        error=error,
    )


async def own(panel: PanelRequest, account: Account) -> list[tuple[str, Alias]]:
    """A customer's own, without a word on others."""
    told = await panel.desks.front.answer(ListAliases(account=account, count_max=COUNT_MAX), DIALECT, "")
    return [("", one) for one in told.items] if isinstance(told, Aliases) else []


async def everybodys(panel: PanelRequest) -> list[tuple[str, Alias]]:
    """What waits comes first."""
    asked = [(one.account, one.alias) for one in await panel.desks.senders.asked()]
    return sorted(asked, key=lambda row: row[1].state is not AliasState.UNCONFIRMED)


async def decide(panel: PanelRequest) -> Response:
    """Approve or block a sender name; in force at once."""
    state = DECISIONS.get(panel.text("decision"))
    if state is None:
        return panel.fault(422)
    outcome = await panel.desks.senders.decide(panel.request.path_params["alias_id"], state)
    if isinstance(outcome, Refused):
        return panel.not_found()
    return panel.redirect("/senders", f"{outcome.alias.sender}: {panel._(STATES[state])}")


async def ask(panel: PanelRequest) -> Response:
    """Ask for a sender name for one's own account."""
    account = panel.caller.account
    if account is None:
        return panel.not_found()
    call = PutAlias(account, Alias(sender=panel.text("sender")))
    outcome = await panel.desks.front.answer(call, DIALECT, "")
    if isinstance(outcome, Refused):
        return await page(panel, 422, panel.refused(outcome))
    return panel.redirect("/senders", panel._("Asked for: it waits to be approved."))


async def give_up(panel: PanelRequest) -> Response:
    """Give up a sender name of one's own account."""
    account = panel.caller.account
    if account is None:
        return panel.not_found()
    outcome = await panel.desks.front.answer(DeleteAlias(account, panel.request.path_params["alias_id"]), DIALECT, "")
    return panel.not_found() if isinstance(outcome, Refused) else panel.redirect("/senders", panel._("Removed."))


ROUTES = (
    PanelRoute("/senders", show, Permission.READ_ACCOUNTS, title="Senders", group="Gateway"),
    PanelRoute("/senders", ask, Permission.CHANGE_ACCOUNTS, "POST"),
    PanelRoute("/senders/{alias_id:int}", decide, Permission.CHANGE_CONFIGURATION, "POST"),
    PanelRoute("/senders/{alias_id:int}/end", give_up, Permission.CHANGE_ACCOUNTS, "POST"),
)
