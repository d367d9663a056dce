"""`status`: the money left, and how many messages of each type it pays for (4.8)."""

import msgspec

from chappe.core.centre import Balance, FetchBalance, FetchPrices, Prices
from chappe.core.model import Account, Service
from chappe.dialects.base import NorthFlow, decimal_of, json_response
from chappe.dialects.smsend.asking import Asked, flag_of, refuse
from chappe.dialects.smsend.facts import CODES, FURTHER_TYPES, SALES_NAMES
from chappe.dialects.smsend.sending import quantity


def show_status(asked: Asked) -> NorthFlow:
    """Always every type, in the one order that clients count on; e-mail is not ours, and null (4.8)."""
    balance = yield FetchBalance(asked.account)
    if not isinstance(balance, Balance):
        return refuse(balance)
    prices = yield FetchPrices(asked.account)
    if not isinstance(prices, Prices):
        return refuse(prices)
    quantities = {service: quantity(balance, prices.by_service.get(service)) for service in SALES_NAMES}
    names = type_names(asked.account, has_aliases=flag_of(asked.field("typeAliases")))
    answer: dict[str, object] = {
        "sms": [{"type": names[service], "quantity": count} for service, count in quantities.items()]
        + [{"type": name, "quantity": 0} for name in FURTHER_TYPES],
        "email": None,
    }
    if flag_of(asked.field("getMoney")):
        answer = {"money": msgspec.Raw(decimal_of(balance.amount_micros).encode())} | answer
    return json_response(answer)


def type_names(account: Account, *, has_aliases: bool) -> dict[Service, str]:
    """The sales names, or the codes behind them: the account's own words where it has some (4.1, 4.8)."""
    if has_aliases:
        return dict(SALES_NAMES)
    own = {service: word for word, service in reversed(account.message_types.items())}
    return {service: own.get(service, CODES[name]) for service, name in SALES_NAMES.items()}
