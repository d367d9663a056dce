"""Numbers that messages come in at: the pool, who rents what, and, for customers, renting."""

from starlette.responses import Response

from chappe.core.centre import Refused
from chappe.core.model import Account
from chappe.core.numbers import ListNumbers, ListOffers, Numbers, RentNumber, ReturnNumber, SetNumber
from chappe.core.people import Permission
from chappe.gateway.edits import mark_of
from chappe.listeners.panel import editing
from chappe.listeners.panel.frame import PanelRequest, PanelRoute, whole_number
from chappe.listeners.panel.listing import DIALECT, account_choices, accounts_in_sight

SHOWN_MAX = 1_000  # numbers on one page
OFFERS_COUNT = 100
FIELD_MAX = 2_000


def account_of(panel: PanelRequest, asked: int) -> Account | None:
    """Whose numbers are looked at: the one asked for, else the one they act as; None: the gateway's."""
    if asked:
        return panel.desks.directory().account(asked) if panel.caller.sight.sees(asked) else None
    return panel.caller.account


async def show(panel: PanelRequest) -> Response:
    """The pool and who rents what of it; of one account, what it has and what it could rent."""
    asked = panel.number("account")
    account = account_of(panel, asked)
    if account is None and asked:
        return panel.not_found()
    return await account_page(panel, account) if account is not None else await pool_page(panel)


async def pool_page(panel: PanelRequest) -> Response:
    """What the gateway lends, and to whom."""
    if panel.caller.sight.account_ids is not None:
        return panel.not_found()
    configured = await panel.desks.versions.configured()
    directory = panel.desks.directory()
    rented = {row.number: row.as_number for row in configured.stored.rented}
    names = {one.id: one.name for one in directory.carriers}
    pool = [(one, mark_of(one), rented.get(one.number)) for one in configured.file.numbers[:SHOWN_MAX]]
    listed = {one.number for one, _, _ in pool}
    others = [one for number, one in sorted(rented.items()) if number not in listed]
    given = [(number, one) for one in accounts_in_sight(panel) for number in directory.settings(one.id).numbers]
    return panel.render(
        "numbers_pool.html",
        pool=pool,
        others=others[:SHOWN_MAX],
        given=given[:SHOWN_MAX],
        owners={one.id: one for one in accounts_in_sight(panel)},
        carrier_names=names,
        may_change=panel.caller.may(Permission.CHANGE_CONFIGURATION),
        edit_path=editing.edit_path,
        account_choices=account_choices(panel),
    )


async def account_page(panel: PanelRequest, account: Account, status: int = 200, error: str = "") -> Response:
    """What an account has, and what it could rent."""
    answer = panel.desks.front.answer
    rented = await answer(ListNumbers(account), DIALECT, "")
    country = panel.query.get("country", "").strip().upper()[:2]
    offers = await answer(ListOffers(account, country, OFFERS_COUNT), DIALECT, "")
    return panel.render(
        "numbers_account.html",
        status,
        account=account,
        own=panel.desks.directory().settings(account.id).numbers,
        rented=rented.items if isinstance(rented, Numbers) else (),
        offers=offers.items if isinstance(offers, Numbers) else (),
        country=country,
        may_change=panel.caller.may(Permission.CHANGE_NUMBERS),
        error=error,
        is_operator=panel.caller.account is None,
    )


async def acting(panel: PanelRequest) -> Account | None:
    """Whose number it is about, in a form."""
    return account_of(panel, whole_number(panel.text("account")) or 0)


async def rent(panel: PanelRequest) -> Response:
    """Rent a number, paying its first month."""
    account = await acting(panel)
    if account is None:
        return panel.not_found()
    outcome = await panel.desks.front.answer(RentNumber(account, panel.text("number")), DIALECT, "")
    return await told(panel, account, outcome, panel._("It is yours: the first month is paid."))


async def give_back(panel: PanelRequest) -> Response:
    """Give a rented number back."""
    account = await acting(panel)
    if account is None:
        return panel.not_found()
    outcome = await panel.desks.front.answer(ReturnNumber(account, panel.text("number")), DIALECT, "")
    return await told(panel, account, outcome, panel._("The number is given back."))


async def forward(panel: PanelRequest) -> Response:
    """Say where a rented number's messages go."""
    account = await acting(panel)
    if account is None:
        return panel.not_found()
    ways = {name: panel.text(name)[:FIELD_MAX] for name in ("url", "email", "phone")}
    call = SetNumber(account=account, number=panel.text("number"), **ways)
    return await told(panel, account, await panel.desks.front.answer(call, DIALECT, ""), panel._("Saved."))


async def told(panel: PanelRequest, account: Account, outcome: object, done: str) -> Response:
    if isinstance(outcome, Refused):
        return await account_page(panel, account, 422, panel.refused(outcome))
    return panel.redirect(f"/numbers?account={account.id}", done)


async def edit(panel: PanelRequest) -> Response:
    """The form of a number for rent."""
    form = await editing.form_for(panel, "number", panel.query.get("name", ""))
    return editing.form_page(panel, form, "/numbers/edit") if form else panel.not_found()


async def put(panel: PanelRequest) -> Response:
    """Add or change a number for rent: what changes is shown first."""
    form = await editing.form_for(panel, "number", panel.text("was"))
    return await editing.put(panel, form, "/numbers/edit", "/numbers") if form else panel.not_found()


async def remove(panel: PanelRequest) -> Response:
    """Take a number out of the pool: what changes is shown first."""
    note = panel._("If somebody rents it, it stays theirs until the month ends.")
    return await editing.remove(panel, "number", panel._("Remove a number"), note)


READ, RENT, CONFIGURE = Permission.READ_NUMBERS, Permission.CHANGE_NUMBERS, Permission.CHANGE_CONFIGURATION
ROUTES = (
    PanelRoute("/numbers", show, READ, title="Numbers", group="Gateway"),
    PanelRoute("/numbers/edit", edit, CONFIGURE),
    PanelRoute("/numbers/edit", put, CONFIGURE, "POST"),
    PanelRoute("/numbers/remove", remove, CONFIGURE, "POST"),
    PanelRoute("/numbers/rent", rent, RENT, "POST"),
    PanelRoute("/numbers/return", give_back, RENT, "POST"),
    PanelRoute("/numbers/forward", forward, RENT, "POST"),
)
