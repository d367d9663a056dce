"""Accounts that an account makes for its own customers, and the credit it moves to them (4.12).

Most of it is recollection or ours: the words stand in `facts.py`. Credit is told in messages of a type, as everywhere
here, and moved as money: so many messages at what one segment of that type costs the account.
"""

import re
from typing import Any

import msgspec

from chappe.core.centre import Balance, Call, Created, Done, FetchPrices, Outcome, Prices, Refusal, Refused
from chappe.core.model import Secret
from chappe.core.reselling import (
    FetchSubaccount,
    ListPurchases,
    ListSubaccounts,
    MoveCredit,
    Purchase,
    Purchases,
    PutSubaccount,
    SetSubaccountPassword,
    Subaccount,
    Subaccounts,
    UndoPurchase,
)
from chappe.dialects.base import Flow, NorthFlow, decimal_of, json_response, micros_of, plain
from chappe.dialects.smsend.asking import EMPTY, Asked, flag_of, id_of, located, page_of, paged, refuse, string_of
from chappe.dialects.smsend.dates import compact
from chappe.dialects.smsend.facts import (
    ACTIVATION_DATE,
    AMOUNT,
    PASSWORD_SIZES,
    SUBACCOUNT_FIELDS,
    SUBACCOUNT_RESERVED,
    TOWARDS,
    TRUE_FALSE,
    TYPE,
)
from chappe.dialects.smsend.sending import quantity, types_of
from chappe.dialects.times import wall_clock

DETAIL = re.compile(r"[a-z][a-z0-9-]{0,39}")
DETAIL_MAX = 256  # characters


# Subaccounts


def create(asked: Asked) -> NorthFlow:
    """`subaccount`: 201 and where it is, as for contacts and groups (ours)."""
    subaccount, password = read_subaccount(asked.body, Subaccount(name="")), password_of(asked.body)
    if isinstance(subaccount, Refused):
        return refuse(subaccount)
    if password is None:
        return refuse(Refused(Refusal.BAD_REQUEST, "password"))
    outcome = yield PutSubaccount(account=asked.account, subaccount=subaccount, password=password)
    if not isinstance(outcome, Created):
        return refuse(outcome)
    made_id = outcome.ids[0]
    return located(f"/subaccount/{made_id}", 201, msgspec.json.encode({"result": "OK", "id": str(made_id)}))


def change(asked: Asked) -> NorthFlow:
    """What the body does not name stays as it is."""
    before = yield FetchSubaccount(asked.account, id_of(asked, "id"))
    if not isinstance(before, Subaccount):
        return refuse(before)
    after = read_subaccount(asked.body, before)
    if isinstance(after, Refused):
        return refuse(after)
    outcome = yield PutSubaccount(account=asked.account, subaccount=after)
    return located(f"/subaccount/{before.id}") if isinstance(outcome, Created) else refuse(outcome)


def read_subaccount(written: dict[str, Any], before: Subaccount) -> Subaccount | Refused:
    """The dash-spelled fields of 4.12; others are kept as they are, where they are texts."""
    name = string_of(written.get("login", before.name))
    if not name or not name.strip():
        return Refused(Refusal.BAD_REQUEST, "login")
    details = dict(before.details)
    for field, value in written.items():
        if field in SUBACCOUNT_RESERVED or value is None or not DETAIL.fullmatch(field):
            continue
        text = TRUE_FALSE[value] if isinstance(value, bool) else string_of(value)
        if text is None or len(text) > DETAIL_MAX:
            return Refused(Refusal.BAD_REQUEST, field)
        details[field] = text
    is_active = flag_of(written["active"]) if "active" in written else before.is_active
    return msgspec.structs.replace(before, name=name.strip(), is_active=is_active, details=details)


def password_of(written: dict[str, Any]) -> Secret | None:
    """8 to 16 characters (4.12)."""
    password = string_of(written.get("password"))
    return Secret(password) if password and len(password) in PASSWORD_SIZES else None


def show(asked: Asked) -> NorthFlow:
    subaccount = yield FetchSubaccount(asked.account, id_of(asked, "id"))
    if not isinstance(subaccount, Subaccount):
        return refuse(subaccount)
    return json_response({"result": "OK", **subaccount_row(subaccount, asked.account.timezone)})


def list_all(asked: Asked) -> NorthFlow:
    page = page_of(asked)
    if isinstance(page, Refused):
        return refuse(page)
    listed = yield ListSubaccounts(account=asked.account, offset=page.offset, count_max=page.size)
    if not isinstance(listed, Subaccounts):
        return refuse(listed)
    rows = [subaccount_row(subaccount, asked.account.timezone) for subaccount in listed.items]
    return paged(page, listed.total, "subaccount", rows)


def subaccount_row(subaccount: Subaccount, timezone: str) -> dict[str, object]:
    """Credits are not told here: they would be only with a `credit-eat-mode` of 2, which is not ours (4.12)."""
    details = dict.fromkeys(SUBACCOUNT_FIELDS, "") | subaccount.details
    return {
        "id": str(subaccount.id),
        "login": subaccount.name,
        "activation-time": wall_clock(subaccount.made_ms, timezone).strftime(ACTIVATION_DATE),
        "active": subaccount.is_active,
        **details,
        "allowtpoavalidation": flag_of(details["allowtpoavalidation"]),
    }


def change_password(asked: Asked) -> NorthFlow:
    password = password_of(asked.body)
    if password is None:
        return refuse(Refused(Refusal.BAD_REQUEST, "password"))
    outcome = yield SetSubaccountPassword(asked.account, id_of(asked, "id"), password)
    return plain(TRUE_FALSE[True]) if isinstance(outcome, Done) else refuse(outcome)


# Credit


def show_credit(asked: Asked) -> NorthFlow:
    """The money, and how many messages of each of the account's types it pays for."""
    subaccount = yield FetchSubaccount(asked.account, id_of(asked, "id"))
    if not isinstance(subaccount, Subaccount):
        return refuse(subaccount)
    prices = yield FetchPrices(asked.account)
    if not isinstance(prices, Prices):
        return refuse(prices)
    balance = Balance(amount_micros=subaccount.balance_micros)
    credits = [
        {"type": word, "quantity": quantity(balance, prices.by_service.get(service))}
        for word, service in types_of(asked.account).items()
    ]
    money = msgspec.Raw(decimal_of(subaccount.balance_micros).encode())
    return json_response({"result": "OK", "money": money, "credits": credits})


def move_credit(asked: Asked) -> NorthFlow:
    """Towards the subaccount, or back with `super-to-sub` false."""
    purchase = yield from buy(asked)
    return (
        json_response({"result": "OK", "id": str(purchase.id)}) if isinstance(purchase, Purchase) else refuse(purchase)
    )


def create_purchase(asked: Asked) -> NorthFlow:
    """The same, told as something that was made."""
    purchase = yield from buy(asked)
    if not isinstance(purchase, Purchase):
        return refuse(purchase)
    path = f"/subaccount/{purchase.subaccount_id}/purchase/{purchase.id}"
    return located(path, 201, msgspec.json.encode({"result": "OK", "id": str(purchase.id)}))


def buy(asked: Asked) -> Flow[Call, Outcome, Outcome]:
    """`amount` messages of `message-type`; without a type, `amount` is money."""
    amount_micros = micros_of(str(asked.body.get(AMOUNT)))
    word = string_of(asked.body.get(TYPE))
    if amount_micros is None or amount_micros <= 0 or word is None:
        return Refused(Refusal.BAD_REQUEST, "amount or message-type")
    details = {AMOUNT: decimal_of(amount_micros, decimals_max=6)}
    if word:
        prices = yield FetchPrices(asked.account)
        service = types_of(asked.account).get(word)
        price_micros = prices.by_service.get(service) if isinstance(prices, Prices) and service else None
        if price_micros is None or amount_micros % 1_000_000:
            return Refused(Refusal.BAD_REQUEST, "amount or message-type")
        details = {AMOUNT: str(amount_micros // 1_000_000), TYPE: word}
        amount_micros = amount_micros // 1_000_000 * price_micros
    is_towards = flag_of(asked.body.get(TOWARDS, True))
    outcome = yield MoveCredit(
        account=asked.account,
        subaccount_id=id_of(asked, "id"),
        amount_micros=amount_micros if is_towards else -amount_micros,
        details=details,
    )
    return outcome


def list_purchases(asked: Asked) -> NorthFlow:
    page = page_of(asked)
    if isinstance(page, Refused):
        return refuse(page)
    listed = yield ListPurchases(
        account=asked.account, subaccount_id=id_of(asked, "id"), offset=page.offset, count_max=page.size
    )
    if not isinstance(listed, Purchases):
        return refuse(listed)
    rows = [purchase_row(purchase, asked.account.timezone) for purchase in listed.items]
    return paged(page, listed.total, "purchases", rows)


def purchase_row(purchase: Purchase, timezone: str) -> dict[str, object]:
    return {
        "id": str(purchase.id),
        TOWARDS: purchase.amount_micros > 0,
        AMOUNT: purchase.details.get(AMOUNT, ""),
        TYPE: purchase.details.get(TYPE, ""),
        "money": msgspec.Raw(decimal_of(abs(purchase.amount_micros)).encode()),
        "time": compact(purchase.made_ms, timezone),
        "deleted": purchase.is_undone,
    }


def delete_purchase(asked: Asked) -> NorthFlow:
    """One that was deleted before is not there any more."""
    outcome = yield UndoPurchase(asked.account, id_of(asked, "id"), id_of(asked, "pid"))
    is_gone = isinstance(outcome, Refused) and outcome.reason is Refusal.TOO_LATE
    return EMPTY if isinstance(outcome, Done) else refuse(Refused(Refusal.NOT_FOUND) if is_gone else outcome)
