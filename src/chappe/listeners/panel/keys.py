"""API keys: what there are, new ones (each shown once), and their end."""

from starlette.responses import Response

from chappe.core.people import OF_ACCOUNTS, ApiKey, Permission
from chappe.listeners.panel.frame import PanelRequest, PanelRoute

# What most programs need, ticked at first.
USUAL = frozenset(
    {
        Permission.SEND,
        Permission.READ_MESSAGES,
        Permission.CHANGE_MESSAGES,
        Permission.READ_INBOUND,
        Permission.READ_CALLBACKS,
        Permission.READ_MONEY,
    }
)


async def show(panel: PanelRequest) -> Response:
    return await keys_page(panel)


async def keys_page(panel: PanelRequest, status: int = 200, error: str = "", made: str = "") -> Response:
    directory = panel.desks.directory()
    keys = await panel.desks.keys.list(panel.caller.sight)
    chosen = panel.texts("scopes")
    return panel.render(
        "keys.html",
        status,
        keys=[one for one in keys if not one.ended_ms],
        ended=[one for one in keys if one.ended_ms],
        owners={one.account_id: name_of(panel, one) for one in keys},
        accounts=sorted((one.name, one.id) for one in directory.accounts_by_name.values())
        if panel.caller.account is None
        else [],
        scopes=[(one.value, one.value in chosen if panel.form else one in USUAL) for one in offered(panel)],
        may_change=panel.caller.may(Permission.CHANGE_KEYS),
        form=panel.form,
        error=error,
        made=made,
    )


def name_of(panel: PanelRequest, key: ApiKey) -> str:
    account = panel.desks.directory().account(key.account_id)
    return account.name if account is not None else panel._("the gateway")


def offered(panel: PanelRequest) -> list[Permission]:
    """The scopes that a new key may have: what its maker may do, and no more."""
    mine = panel.caller.permissions
    return [one for one in Permission if one in mine and (panel.caller.account is None or one in OF_ACCOUNTS)]


async def make(panel: PanelRequest) -> Response:
    account_id = account_of(panel)
    if account_id is None:
        return panel.not_found()
    allowed = offered(panel)
    scopes = [one for one in allowed if one.value in panel.texts("scopes")]
    if account_id:
        scopes = [one for one in scopes if one in OF_ACCOUNTS]
    try:
        _, secret = await panel.desks.keys.make(account_id, panel.text("name"), scopes, panel.text("mode") == "test")
    except ValueError as error:
        said = panel._(str(error))
        return await keys_page(panel, 422, said[:1].upper() + said[1:] + ".")
    return await keys_page(panel, made=secret.value)


def account_of(panel: PanelRequest) -> int | None:
    """Whose key it is to be: one's own account's, or any where one runs the gateway (0 = the gateway's own)."""
    if panel.caller.account is not None:
        return panel.caller.account.id
    given = panel.text("account_id", "0")
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        return None
    account_id = int(given)
    return account_id if not account_id or panel.desks.directory().live_account(account_id) is not None else None


async def end(panel: PanelRequest) -> Response:
    if not await panel.desks.keys.end(panel.caller.sight, panel.request.path_params["key_id"]):
        return panel.not_found()
    return panel.redirect("/keys", panel._("The key is good no more."))


ROUTES = (
    PanelRoute("/keys", show, Permission.READ_KEYS, title="API keys", group="Administration"),
    PanelRoute("/keys", make, Permission.CHANGE_KEYS, "POST"),
    PanelRoute("/keys/{key_id:int}/end", end, Permission.CHANGE_KEYS, "POST"),
)
