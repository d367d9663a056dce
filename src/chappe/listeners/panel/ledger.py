"""An account's statement: what was paid in, reserved, spent and given back."""

from collections.abc import AsyncIterator

from starlette.responses import Response

from chappe.core.ledger import Kind, format_micros
from chappe.core.model import Account
from chappe.core.people import Permission
from chappe.gateway.statement import BadCursor, BalancedLine
from chappe.listeners.panel.frame import Invalid, PanelRequest, PanelRoute
from chappe.listeners.panel.listing import EXPORT_COUNT, account_choices, accounts_in_sight, moment_cell, span_of

PAGE_COUNT = 100
COLUMNS = (
    "time",
    "written",
    "what",
    "for",
    "amount",
    "available_after",
    "reserved_change",
    "reserved_after",
    "currency",
)
# What the kinds of entries are called.
KINDS = {
    Kind.CREDIT: "paid in",
    Kind.DEBIT: "paid back",
    Kind.RESERVE: "reserved",
    Kind.POST: "spent",
    Kind.VOID: "given back",
    Kind.RENT: "rent",
    Kind.GIVE: "moved away",
    Kind.TAKE: "moved here",
    Kind.GIVE_BACK: "moved back",
    Kind.TAKE_BACK: "came back",
}


def account_of(panel: PanelRequest) -> Account | None:
    """The one that is asked for, else the one they act as, else the first they see; None where they see none."""
    asked = panel.number("account")
    if asked:
        return panel.desks.directory().account(asked) if panel.caller.sight.sees(asked) else None
    return panel.caller.account or next(iter(accounts_in_sight(panel)), None)


async def show(panel: PanelRequest) -> Response:
    account = account_of(panel)
    if account is None:
        return panel.not_found() if panel.number("account") else panel.render("ledger.html", account=None)
    from_ms, to_ms = span_of(panel)
    try:
        page = await panel.desks.statement.page(
            account, from_ms, to_ms, panel.query.get("cursor", "")[:200], PAGE_COUNT
        )
    except BadCursor:
        raise Invalid({"": panel._("That page is none of a statement.")}) from None
    return panel.render(
        "ledger.html",
        account=account,
        page=page,
        kinds=KINDS,
        account_choices=account_choices(panel)[1:],
        query=panel.request.url.query,
        is_first=not panel.query.get("cursor"),
    )


async def export(panel: PanelRequest) -> Response:
    account = account_of(panel)
    if account is None:
        return panel.not_found()
    from_ms, to_ms = span_of(panel)
    return panel.csv("statement.csv", rows_of(panel, account, from_ms, to_ms))


async def rows_of(panel: PanelRequest, account: Account, from_ms: int, to_ms: int) -> AsyncIterator[tuple[object, ...]]:
    yield COLUMNS
    cursor: str | None = ""
    while cursor is not None:
        page = await panel.desks.statement.page(account, from_ms, to_ms, cursor, EXPORT_COUNT)
        for one in page.lines:
            yield cells_of(one, page.currency)
        cursor = page.next_cursor


def cells_of(one: BalancedLine, currency: str) -> tuple[object, ...]:
    line = one.line
    return (
        moment_cell(line.at_ms),
        moment_cell(line.made_ms),
        KINDS[line.kind],
        what_for(one),
        Amount(line.available_micros),
        Amount(one.balance.available_micros),
        Amount(line.reserved_micros),
        Amount(one.balance.reserved_micros),
        currency,
    )


class Amount(float):
    """An amount in a file, with all its decimals: being a number, it is no formula where it begins with a minus."""

    def __new__(cls, micros: int) -> "Amount":
        made = super().__new__(cls, micros / 1_000_000)
        made.micros = micros
        return made

    micros: int

    def __str__(self) -> str:
        return format_micros(self.micros)


def what_for(one: BalancedLine) -> str:
    line = one.line
    if line.recipient:
        return f"{line.source_id} {line.recipient}"
    return " ".join(each for each in (one.other, *one.words, line.number, str(line.month or "")) if each)


ROUTES = (
    PanelRoute("/ledger", show, Permission.READ_MONEY, title="Statement", group="Money"),
    PanelRoute("/ledger/export", export, Permission.READ_MONEY),
)
