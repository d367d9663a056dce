"""Accounts: what they have, who they are, their subaccounts, and money paid in for them.

Whoever runs the gateway sees and changes all of it. A customer sees the account they act as and its subaccounts, may
say where its receipts and messages go, and moves credit to its subaccounts.
"""

import secrets
from collections.abc import Sequence

from starlette.responses import Response

from chappe.core.centre import Outcome, Refused
from chappe.core.ledger import format_micros, parse_micros
from chappe.core.model import Account, Secret
from chappe.core.people import Permission
from chappe.core.reselling import (
    ListSubaccounts,
    MoveCredit,
    PutSubaccount,
    SetSubaccountPassword,
    Subaccount,
    Subaccounts,
)
from chappe.core.sessions import ChangePassword
from chappe.gateway.configuration import Action, Change
from chappe.gateway.edits import Edit, EditError, find, mark_of
from chappe.gateway.gateway_file import AccountWish
from chappe.gateway.stating import table_of
from chappe.listeners.panel import editing
from chappe.listeners.panel.frame import Invalid, PanelRequest, PanelRoute
from chappe.listeners.panel.listing import DIALECT, accounts_in_sight, number_or

SHOWN_MAX = 500  # accounts on one page
SUBACCOUNTS_COUNT = 100
PAYMENTS_COUNT = 20
PASSWORD_BYTES = 15  # of 120 random bits, in 20 characters
REMARK_MAX = 500


def runs_the_gateway(panel: PanelRequest) -> bool:
    return panel.caller.may(Permission.CHANGE_CONFIGURATION)


def account_of(panel: PanelRequest) -> Account | None:
    """The one in the path, if they see it."""
    account_id = panel.request.path_params["account_id"]
    return panel.desks.directory().account(account_id) if panel.caller.sight.sees(account_id) else None


# Looking


async def show(panel: PanelRequest) -> Response:
    """The accounts in sight, with what they have."""
    directory = panel.desks.directory()
    wanted = panel.query.get("name", "").strip()[:64]
    seen = [one for one in accounts_in_sight(panel) if not one.parent_id or not panel.caller.sight.sees(one.parent_id)]
    found = [one for one in seen if wanted.casefold() in one.name.casefold()]
    page = found[:SHOWN_MAX]
    return panel.render(
        "accounts_list.html",
        accounts=page,
        hidden_count=len(found) - len(page),
        has_any=bool(seen),
        wanted=wanted,
        funds=await panel.desks.treasury.funds(one.id for one in page),
        active_ids=directory.active_ids,
        children={one.id: len(directory.children(one.id)) for one in page},
        may_change=runs_the_gateway(panel),
    )


async def show_one(panel: PanelRequest) -> Response:
    """One account: its money, who it is, where its things go, its subaccounts."""
    account = account_of(panel)
    return await account_page(panel, account) if account is not None else panel.not_found()


async def account_page(
    panel: PanelRequest, account: Account, status: int = 200, *, error: str = "", made: str = "", made_for: str = ""
) -> Response:
    directory = panel.desks.directory()
    settings = directory.settings(account.id)
    children: Sequence[Subaccount] = ()
    total = 0
    offset = min(panel.number("offset"), 1 << 40)
    if not account.parent_id:
        call = ListSubaccounts(account=account, offset=offset, count_max=SUBACCOUNTS_COUNT)
        told = await panel.desks.front.answer(call, DIALECT, "")
        if isinstance(told, Subaccounts):
            children, total = told.items, told.total
    is_own = panel.caller.account is not None and panel.caller.account.id == account.id
    return panel.render(
        "accounts_one.html",
        status,
        account=account,
        funds=(await panel.desks.treasury.funds([account.id])).get(account.id),
        is_active=account.id in directory.active_ids,
        parent=directory.account(account.parent_id) if account.parent_id else None,
        subaccounts=children,
        subaccounts_total=total,
        older=offset + SUBACCOUNTS_COUNT if total > offset + SUBACCOUNTS_COUNT else 0,
        is_first=not offset,
        has_api_key=bool(settings.api_key_digest),
        has_smpp_password=bool(settings.smpp_password_hash),
        payments=await panel.desks.treasury.payments(account.id, PAYMENTS_COUNT) if is_all_seen(panel) else [],
        sees_payments=is_all_seen(panel) and not account.parent_id,
        may_change=runs_the_gateway(panel) and not account.parent_id,
        may_change_own=panel.caller.may(Permission.CHANGE_ACCOUNTS) and is_own and not account.parent_id,
        may_resell=panel.caller.may(Permission.CHANGE_ACCOUNTS) and not account.parent_id,
        may_set_password=panel.caller.may(Permission.CHANGE_ACCOUNTS),
        edit_path=editing.edit_path("account", account.name),
        mark=await mark_of_account(panel, account),
        error=error,
        made=made,
        made_for=made_for or account.name,
        form=panel.form,
    )


def is_all_seen(panel: PanelRequest) -> bool:
    return panel.caller.sight.account_ids is None


async def mark_of_account(panel: PanelRequest, account: Account) -> str:
    if not runs_the_gateway(panel) or account.parent_id:
        return ""
    there = find((await panel.desks.versions.configured()).file, "account", account.name)
    return mark_of(there) if there is not None else ""


# Changing what is configured


async def form_for(panel: PanelRequest, name: str) -> editing.Form | None:
    """The form they may fill in: all of it, or what a customer may say of their own account."""
    own = panel.caller.account
    if own is None and not runs_the_gateway(panel):
        return None
    if own is not None and name != own.name:
        return None
    only = editing.OWN_KEYS if own is not None else frozenset()
    return await editing.form_for(panel, "account", name, only=only)


async def edit(panel: PanelRequest) -> Response:
    """The form of an account; a customer's has only what they may say themselves."""
    form = await form_for(panel, panel.query.get("name", ""))
    return editing.form_page(panel, form, "/accounts/edit") if form else panel.not_found()


async def put(panel: PanelRequest) -> Response:
    """Add or change an account: what changes is shown first."""
    form = await form_for(panel, panel.text("was"))
    return await editing.put(panel, form, "/accounts/edit", "/accounts") if form else panel.not_found()


async def remove(panel: PanelRequest) -> Response:
    """Remove an account: what changes is shown first."""
    note = panel._(
        "Nobody logs in under this name any more, and its subaccounts end with it. Messages and money stay, and return "
        "with it."
    )
    return await editing.remove(panel, "account", panel._("Remove an account"), note)


# Passwords: made by us, shown once


async def reset_password(panel: PanelRequest) -> Response:
    """Make a new password for an account, and show it once."""
    account = account_of(panel)
    if account is None:
        return panel.not_found()
    if panel.text("step") != "do":
        changed = Change(what="account", name=account.name, action=Action.CHANGE, difference=("password: changed",))
        note = panel._("Its sessions end, and every program of it needs the new password.")
        path = f"/accounts/{account.id}/password"
        return editing.confirm_page(
            panel, panel._("New password"), [changed], path, f"/accounts/{account.id}", note=note
        )
    password = Secret(secrets.token_urlsafe(PASSWORD_BYTES))
    error = await set_password(panel, account, password)
    if error:
        return await account_page(panel, account, 422, error=error)
    return await account_page(panel, account, made=password.value)


async def set_password(panel: PanelRequest, account: Account, password: Secret) -> str:
    """What keeps it from being done; empty where it is."""
    parent = panel.desks.directory().account(account.parent_id) if account.parent_id else None
    if parent is not None:
        outcome = await panel.desks.front.answer(SetSubaccountPassword(parent, account.id, password), DIALECT, "")
    elif panel.caller.account is not None:
        outcome = await panel.desks.front.answer(ChangePassword(account, password), DIALECT, "")
    else:
        return await state_password(panel, account, password)
    return panel.refused(outcome) if isinstance(outcome, Refused) else ""


async def state_password(panel: PanelRequest, account: Account, password: Secret) -> str:
    """As the gateway file would: it is a version, which one can go back before."""
    known = panel.desks.versions.known
    wish = find((await panel.desks.versions.configured()).file, "account", account.name)
    if not isinstance(wish, AccountWish):
        return panel._("The account is not active.")
    entry = table_of(wish, known, is_whole=True) | {"password": password.value, **kept(wish)}
    edit = Edit(what="account", name=account.name, entry=entry, seen=mark_of(wish))
    try:
        await panel.desks.versions.carry_out(edit, panel.caller.name, panel.text("remark"))
    except EditError as error:
        return str(error)
    return ""


def kept(wish: AccountWish) -> dict[str, None]:
    """The other secrets that the account has, as they are."""
    return {key: None for key, field in editing.STORED_SECRETS.items() if getattr(wish.settings, field)}


# Money


def amount_of(panel: PanelRequest) -> int:
    """What was typed, negative where it goes back. Raises Invalid."""
    try:
        amount_micros = parse_micros(panel.text("amount"))
    except ValueError as error:
        raise Invalid({"amount": str(error)}) from None
    if amount_micros <= 0:
        raise Invalid({"amount": panel._("An amount is more than nothing.")})
    return -amount_micros if panel.text("way") == "back" else amount_micros


def money_change(account: Account, available_micros: int, amount_micros: int) -> Change:
    words = f"available: {format_micros(available_micros)} -> {format_micros(available_micros + amount_micros)}"
    return Change(what="account", name=account.name, action=Action.CHANGE, difference=(f"{words} {account.currency}",))


async def pay(panel: PanelRequest) -> Response:
    """Pay in for an account, or pay back. The form that confirms names the payment, so that it is made once."""
    account = account_of(panel)
    if account is None or account.parent_id:
        return panel.not_found()
    back = f"/accounts/{account.id}"
    try:
        amount_micros = amount_of(panel)
    except Invalid as invalid:
        return await account_page(panel, account, 422, error=next(iter(invalid.errors.values())))
    if panel.text("step") != "do":
        funds = (await panel.desks.treasury.funds([account.id])).get(account.id)
        change = money_change(account, funds.available_micros if funds else 0, amount_micros)
        title = panel._("Pay in") if amount_micros > 0 else panel._("Pay back")
        extra = {"payment": str(panel.desks.treasury.new_id())}
        return editing.confirm_page(panel, title, [change], f"{back}/money", back, extra=extra, is_remark_needed=True)
    outcome = await panel.desks.treasury.pay(
        account.id, amount_micros, panel.caller.name, panel.text("remark"), payment_id=payment_of(panel)
    )
    if isinstance(outcome, Refused):
        return await account_page(panel, account, 422, error=panel.refused(outcome))
    return panel.redirect(back, panel._("Booked."))


def payment_of(panel: PanelRequest) -> int:
    """The id that the form which confirms has for what is booked, so that it is booked once; 0 where it has none."""
    return max(0, number_or(panel.text("payment")))


# Subaccounts


async def parent_of(panel: PanelRequest) -> Account | None:
    """The account in the path, if it may have subaccounts and they may change it."""
    account = account_of(panel)
    return account if account is not None and not account.parent_id else None


async def add_subaccount(panel: PanelRequest) -> Response:
    """Make a subaccount, and show its password once."""
    parent = await parent_of(panel)
    if parent is None:
        return panel.not_found()
    password = Secret(secrets.token_urlsafe(PASSWORD_BYTES))
    name = panel.text("name")
    call = PutSubaccount(account=parent, subaccount=Subaccount(name=name), password=password)
    outcome = await panel.desks.front.answer(call, DIALECT, "")
    if isinstance(outcome, Refused):
        return await account_page(panel, parent, 422, error=panel.refused(outcome))
    return await account_page(panel, parent, made=password.value, made_for=name)


async def change_subaccount(panel: PanelRequest) -> Response:
    """Rename a subaccount, or let it log in or not."""
    parent = await parent_of(panel)
    child = child_of(panel, parent)
    if parent is None or child is None:
        return panel.not_found()
    wanted = Subaccount(
        id=child.id,
        name=panel.text("name") or child.name,
        is_active=panel.is_ticked("is_active"),
        details=panel.desks.directory().settings(child.id).details,
    )
    outcome = await panel.desks.front.answer(PutSubaccount(account=parent, subaccount=wanted), DIALECT, "")
    return await told(panel, parent, outcome, panel._("Saved."))


async def move_credit(panel: PanelRequest) -> Response:
    """To a subaccount, or back from it: shown first."""
    parent = await parent_of(panel)
    child = child_of(panel, parent)
    if parent is None or child is None:
        return panel.not_found()
    back = f"/accounts/{parent.id}"
    try:
        amount_micros = amount_of(panel)
    except Invalid as invalid:
        return await account_page(panel, parent, 422, error=next(iter(invalid.errors.values())))
    if panel.text("step") != "do":
        funds = await panel.desks.treasury.funds([parent.id, child.id])
        changes = [
            money_change(one, funds[one.id].available_micros if one.id in funds else 0, amount)
            for one, amount in ((parent, -amount_micros), (child, amount_micros))
        ]
        path = f"/accounts/{parent.id}/subaccounts/{child.id}/credit"
        extra = {"payment": str(panel.desks.treasury.new_id())}
        return editing.confirm_page(panel, panel._("Move credit"), changes, path, back, extra=extra)
    details = {"author": panel.caller.name, "remark": panel.text("remark")[:REMARK_MAX]}
    call = MoveCredit(
        account=parent,
        subaccount_id=child.id,
        amount_micros=amount_micros,
        purchase_id=payment_of(panel),
        details=details,
    )
    return await told(panel, parent, await panel.desks.front.answer(call, DIALECT, ""), panel._("Booked."))


def child_of(panel: PanelRequest, parent: Account | None) -> Account | None:
    child = panel.desks.directory().account(panel.request.path_params["subaccount_id"])
    return child if parent is not None and child is not None and child.parent_id == parent.id else None


async def told(panel: PanelRequest, account: Account, outcome: Outcome, done: str) -> Response:
    if isinstance(outcome, Refused):
        return await account_page(panel, account, 422, error=panel.refused(outcome))
    return panel.redirect(f"/accounts/{account.id}", done)


CHANGE, CONFIGURE = Permission.CHANGE_ACCOUNTS, Permission.CHANGE_CONFIGURATION
ROUTES = (
    PanelRoute("/accounts", show, Permission.READ_ACCOUNTS, title="Accounts", group="Gateway"),
    PanelRoute("/accounts/edit", edit, CHANGE),
    PanelRoute("/accounts/edit", put, CHANGE, "POST"),
    PanelRoute("/accounts/remove", remove, CONFIGURE, "POST"),
    PanelRoute("/accounts/{account_id:int}", show_one, Permission.READ_ACCOUNTS),
    PanelRoute("/accounts/{account_id:int}/password", reset_password, CHANGE, "POST"),
    PanelRoute("/accounts/{account_id:int}/money", pay, CONFIGURE, "POST"),
    PanelRoute("/accounts/{account_id:int}/subaccounts", add_subaccount, CHANGE, "POST"),
    PanelRoute("/accounts/{account_id:int}/subaccounts/{subaccount_id:int}", change_subaccount, CHANGE, "POST"),
    PanelRoute("/accounts/{account_id:int}/subaccounts/{subaccount_id:int}/credit", move_credit, CHANGE, "POST"),
)
