"""Money: what is left, and what became of the rest."""

from chappe.core.centre import Balance, FetchBalance, Refusal
from chappe.core.model import Account
from chappe.dialects.native import BalanceAnswer, instant_of, money_of
from chappe.gateway.statement import BadCursor, BalancedLine
from chappe.listeners.native.asking import Answered, Asked, Problematic
from chappe.listeners.native.messages import account_id_of
from chappe.listeners.native.pages import bad_cursor, links_of, span_of
from chappe.listeners.native.shapes import LedgerFilter, LedgerLine, LedgerPage


async def balance(asked: Asked) -> BalanceAnswer:
    outcome = await asked.ask(FetchBalance(asked.account))
    if not isinstance(outcome, Balance):
        raise Problematic("uncertain")
    return BalanceAnswer(balance=money_of(outcome.amount_micros, outcome.currency))


def meant_account(asked: Asked, written: str) -> Account:
    """The account that is named, else the one that asks. Raises Problematic."""
    account_id = account_id_of(written)
    if not account_id:
        return asked.account
    account = asked.desks.directory().account(account_id)
    if account is None or not asked.caller.sight.sees(account_id):
        raise Problematic(Refusal.NOT_FOUND)
    return account


async def ledger(asked: Asked) -> Answered:
    wanted: LedgerFilter = asked.parameters
    account = meant_account(asked, wanted.account)
    from_ms, to_ms = span_of(wanted)
    try:
        page = await asked.desks.statement.page(account, from_ms, to_ms, wanted.cursor, wanted.limit)
    except BadCursor:
        raise bad_cursor() from None
    answer = LedgerPage(
        items=tuple(ledger_line(one, page.currency) for one in page.lines),
        opening=money_of(page.opening.available_micros, page.currency),
        closing=money_of(page.closing.available_micros, page.currency),
        next_cursor=page.next_cursor,
    )
    return Answered(answer, links_of("/v1/ledger", wanted, page.next_cursor))


def ledger_line(one: BalancedLine, currency: str) -> LedgerLine:
    line, after = one.line, one.balance
    return LedgerLine(
        at=instant_of(line.made_ms),
        kind=line.kind,
        source_id=str(line.source_id),
        available=money_of(line.available_micros, currency),
        reserved=money_of(line.reserved_micros, currency),
        available_after=money_of(after.available_micros, currency),
        reserved_after=money_of(after.reserved_micros, currency),
        recipient=line.recipient,
        segments=line.segments,
        other_account=one.other,
        number=line.number,
    )
