"""Numbers that an account must not write to: looked up, put on, taken off."""

from starlette.responses import Response

from chappe.core.centre import Done, Refused
from chappe.core.model import Account
from chappe.core.people import Permission
from chappe.core.phonebook import BlockNumbers, BlockOrigin, Blocks, ListBlocks, UnblockNumbers
from chappe.listeners.panel.frame import PanelRequest, PanelRoute, whole_number
from chappe.listeners.panel.listing import DIALECT, accounts_in_sight, ids_ticked

PAGE_COUNT = 100
NUMBER_MAX = 100  # characters
ORIGINS = {BlockOrigin.API: "by the API", BlockOrigin.WEB: "in the panel", BlockOrigin.STOP: "answered STOP"}


def account_of(panel: PanelRequest, written: str) -> Account | None:
    """Whose list: the one asked for, else the one they act as, else the first they see."""
    if written:
        asked = whole_number(written)
        if asked is None or not panel.caller.sight.sees(asked):
            return None
        return panel.desks.directory().account(asked)
    return panel.caller.account or next(iter(accounts_in_sight(panel)), None)


async def show(panel: PanelRequest) -> Response:
    """An account's blacklist, searched by number."""
    written = panel.query.get("account", "")
    account = account_of(panel, written)
    if account is None and written:
        return panel.not_found()
    return await list_page(panel, account)


async def list_page(panel: PanelRequest, account: Account | None, status: int = 200, error: str = "") -> Response:
    offset = min(panel.number("offset"), 1 << 40)
    number = panel.query.get("number", "").strip()[:NUMBER_MAX]
    told: object = None
    if account is not None:
        call = ListBlocks(account=account, number=number, offset=offset, count_max=PAGE_COUNT)
        told = await panel.desks.front.answer(call, DIALECT, "")
    blocks = told if isinstance(told, Blocks) else Blocks(items=(), total=0)
    return panel.render(
        "blacklist_list.html",
        status,
        account=account,
        accounts=[(one.id, one.name) for one in accounts_in_sight(panel)],
        blocks=blocks.items,
        total=blocks.total,
        number=number,
        origins=ORIGINS,
        older=offset + PAGE_COUNT if blocks.total > offset + PAGE_COUNT else 0,
        is_first=not offset,
        may_change=panel.caller.may(Permission.CHANGE_ACCOUNTS),
        written=panel.text("numbers") if error else "",
        error=error,
    )


async def add(panel: PanelRequest) -> Response:
    """Put numbers on an account's blacklist."""
    account = account_of(panel, panel.text("account", "-"))
    if account is None:
        return panel.not_found()
    numbers = tuple(line.strip() for line in panel.text("numbers").replace(",", "\n").splitlines() if line.strip())
    if not numbers:
        return await list_page(panel, account, 422, panel._("Write at least one number."))
    call = BlockNumbers(account=account, numbers=numbers, origin=BlockOrigin.WEB)
    outcome = await panel.desks.front.answer(call, DIALECT, "")
    if isinstance(outcome, Refused):
        return await list_page(panel, account, 422, panel.refused(outcome))
    count = outcome.count if isinstance(outcome, Done) else 0
    return panel.redirect(
        path_of(account), panel.words.ngettext("%(n)s new number", "%(n)s new numbers", count) % {"n": count}
    )


async def take_off(panel: PanelRequest) -> Response:
    """Take numbers off an account's blacklist."""
    account = account_of(panel, panel.text("account", "-"))
    if account is None:
        return panel.not_found()
    numbers = tuple(map(str, ids_ticked(panel)))
    if not numbers:
        return await list_page(panel, account, 422, panel._("Tick at least one number."))
    outcome = await panel.desks.front.answer(UnblockNumbers(account, numbers), DIALECT, "")
    if isinstance(outcome, Refused):
        return await list_page(panel, account, 422, panel.refused(outcome))
    return panel.redirect(path_of(account), panel._("Taken off the list."))


def path_of(account: Account) -> str:
    return f"/blacklist?account={account.id}"


ROUTES = (
    PanelRoute("/blacklist", show, Permission.READ_ACCOUNTS, title="Blacklist", group="Gateway"),
    PanelRoute("/blacklist/add", add, Permission.CHANGE_ACCOUNTS, "POST"),
    PanelRoute("/blacklist/remove", take_off, Permission.CHANGE_ACCOUNTS, "POST"),
)
