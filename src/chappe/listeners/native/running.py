"""What is run rather than sent: carriers, accounts, keys, and the phones of the simulator."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from chappe.core.centre import Balance, Created, FetchBalance, Refusal, Refused
from chappe.core.ledger import parse_micros
from chappe.core.model import Account, Secret
from chappe.core.people import ApiKey, Permission
from chappe.core.reselling import FetchSubaccount, MoveCredit, PutSubaccount, Subaccount
from chappe.dialects.native import instant_of, money_of, number_of, optional_instant
from chappe.listeners.native.asking import Answered, Asked, Problematic, refused
from chappe.listeners.native.belongings import refuse_in_test_mode
from chappe.listeners.native.messages import wrong
from chappe.listeners.native.pages import before_id_of, links_of
from chappe.listeners.native.shapes import (
    AccountAnswer,
    AccountChange,
    AccountFilter,
    AccountPage,
    AccountRequest,
    CarrierAnswer,
    CarrierList,
    FateAnswer,
    FateRequest,
    KeyAnswer,
    KeyList,
    KeyRequest,
    MadeKey,
    PhoneAnswer,
    PhoneMessage,
)

# Carriers


async def carriers(asked: Asked) -> CarrierList:
    items = tuple(
        CarrierAnswer(
            id=str(one.id),
            name=one.name,
            kind=one.kind,
            is_active=one.is_active,
            window=one.window,
            throughput=one.throughput,
            uncertain=one.uncertain,
        )
        for one in asked.desks.directory().carriers
    )
    return CarrierList(items=items)


# Accounts: everybody sees their own and those that they made; those who run the gateway see all


def accounts_in_sight(asked: Asked) -> Sequence[Account]:
    directory = asked.desks.directory()
    if asked.caller.account is not None:
        own = directory.account(asked.caller.account.id)
        return [own, *directory.children(own.id)] if own is not None else []
    return sorted(directory.accounts, key=lambda one: one.id)


async def accounts(asked: Asked) -> Answered:
    wanted: AccountFilter = asked.parameters
    known = accounts_in_sight(asked)
    after = before_id_of(wanted.cursor)
    begin = min(after, len(known))
    page = known[begin : begin + wanted.limit]
    cursor = str(begin + wanted.limit) if begin + wanted.limit < len(known) else None
    items = [await account_answer(asked, one) for one in page]
    return Answered(AccountPage(items=tuple(items), next_cursor=cursor), links_of("/v1/accounts", wanted, cursor))


async def account(asked: Asked) -> AccountAnswer:
    return await account_answer(asked, found_account(asked))


def found_account(asked: Asked) -> Account:
    account_id = asked.id("account_id")
    one = asked.desks.directory().account(account_id)
    own = asked.caller.account
    if one is None or (own is not None and own.id not in (one.id, one.parent_id)):
        raise Problematic(Refusal.NOT_FOUND)
    return one


async def account_answer(asked: Asked, one: Account) -> AccountAnswer:
    left = await asked.ask(FetchBalance(one))
    return AccountAnswer(
        id=str(one.id),
        name=one.name,
        parent_id=str(one.parent_id) if one.parent_id else "",
        is_active=asked.desks.directory().live_account(one.id) is not None,
        balance=money_of(left.amount_micros if isinstance(left, Balance) else 0, one.currency),
        senders=one.senders,
        numbers=one.numbers,
    )


async def make_account(asked: Asked) -> AccountAnswer:
    refuse_in_test_mode(asked)
    wanted: AccountRequest = asked.body
    credit_micros = credit_of(wanted.credit)
    if credit_micros < 0:
        raise wrong(("/credit", "a new account has nothing to give"))
    left = await asked.ask(FetchBalance(asked.account))
    if credit_micros > left.amount_micros:  # rather no account than one without what was asked for it
        raise Problematic(Refusal.NO_FUNDS)
    made = await asked.ask(
        PutSubaccount(account=asked.account, subaccount=Subaccount(name=wanted.name), password=Secret(wanted.password))
    )
    if not isinstance(made, Created):
        raise Problematic("uncertain")
    [account_id] = made.ids
    if credit_micros:
        await asked.ask(MoveCredit(account=asked.account, subaccount_id=account_id, amount_micros=credit_micros))
    return await answer_about(asked, account_id)


async def answer_about(asked: Asked, account_id: int) -> AccountAnswer:
    one = asked.desks.directory().account(account_id)
    if one is None:  # committed, and not seen here yet
        raise Problematic(Refusal.OVERLOADED, "it was done, and cannot be shown yet", retry_after_s=1.0)
    return await account_answer(asked, one)


async def change_account(asked: Asked) -> AccountAnswer:
    """Its parent's business alone."""
    refuse_in_test_mode(asked)
    wanted: AccountChange = asked.body
    account_id = asked.id("account_id")
    credit_micros = credit_of(wanted.credit) if wanted.credit is not UNSET else 0
    before = await asked.ask(FetchSubaccount(asked.account, account_id))
    assert isinstance(before, Subaccount)
    if wanted.name is not UNSET or wanted.is_active is not UNSET or wanted.password is not UNSET:
        after = Subaccount(
            id=account_id,
            name=wanted.name if wanted.name is not UNSET else before.name,
            is_active=wanted.is_active if wanted.is_active is not UNSET else before.is_active,
            details=before.details,
        )
        password = Secret(wanted.password if wanted.password is not UNSET else "")
        await asked.ask(PutSubaccount(account=asked.account, subaccount=after, password=password))
    if credit_micros:
        await asked.ask(MoveCredit(account=asked.account, subaccount_id=account_id, amount_micros=credit_micros))
    return await answer_about(asked, account_id)


def credit_of(written: str) -> int:
    try:
        return parse_micros(written)
    except ValueError:
        raise wrong(("/credit", "is no amount of money")) from None


# Keys


async def keys(asked: Asked) -> KeyList:
    found = await asked.desks.keys.list(asked.caller.sight)
    return KeyList(items=tuple(key_answer(one) for one in found if not asked.caller.is_test or one.is_test))


def key_answer(one: ApiKey) -> KeyAnswer:
    return KeyAnswer(**key_values(one))


def key_values(one: ApiKey) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "hint": one.hint,
        "scopes": one.scopes,
        "is_test": one.is_test,
        "made_at": instant_of(one.made_ms),
        "used_at": optional_instant(one.used_ms),
        "ended_at": optional_instant(one.ended_ms),
    }


async def make_key(asked: Asked) -> MadeKey:
    """Nobody makes a key that can do more than they can themselves."""
    wanted: KeyRequest = asked.body
    caller = asked.caller
    may = caller.permissions | ({Permission.SIMULATE} if wanted.is_test else set())
    beyond = [one for one in wanted.scopes if one not in may]
    if beyond:
        raise Problematic(Refusal.FORBIDDEN, f"whoever makes a key needs its scopes: {', '.join(beyond)}")
    if caller.is_test and not wanted.is_test:
        raise Problematic(Refusal.FORBIDDEN, "a test key makes test keys only")
    account_id = caller.account.id if caller.account is not None else 0
    try:
        made, key = await asked.desks.keys.make(account_id, wanted.name, wanted.scopes, wanted.is_test)
    except ValueError as error:
        raise Problematic(Refusal.BAD_REQUEST, str(error)) from None
    return MadeKey(**key_values(made), key=key.value)


async def end_key(asked: Asked) -> None:
    key_id = asked.id("key_id")
    if asked.caller.is_test:
        known = await asked.desks.keys.list(asked.caller.sight)
        if not any(one.id == key_id and one.is_test for one in known):
            raise Problematic(Refusal.NOT_FOUND)
    if not await asked.desks.keys.end(asked.caller.sight, key_id):
        raise Problematic(Refusal.NOT_FOUND)


# The simulator


async def set_fate(asked: Asked) -> FateAnswer:
    wanted: FateRequest = asked.body
    chosen = asked.desks.simulator.set_fate(asked.caller.sight, wanted.recipient, wanted.fate, late_s=wanted.late_s)
    if isinstance(chosen, Refused):
        raise refused(chosen)
    return FateAnswer(recipient=number_of(wanted.recipient), fate=wanted.fate)


async def receive(asked: Asked) -> PhoneAnswer:
    wanted: PhoneMessage = asked.body
    kept = await asked.desks.simulator.receive(asked.caller.sight, wanted.originator, wanted.recipient, wanted.text)
    if isinstance(kept, Refused):
        raise refused(kept)
    return PhoneAnswer(id=str(kept.id))
