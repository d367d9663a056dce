"""What an account has: messages from phones, numbers, callbacks and their secret."""

from msgspec import UNSET

from chappe.core.centre import Refusal
from chappe.core.ids import read_id
from chappe.core.numbers import ListNumbers, ListOffers, Number, Numbers, RentNumber, ReturnNumber, SetNumber
from chappe.core.webhooks import secret_of
from chappe.dialects.native import instant_of, money_of, ms_of, optional_instant
from chappe.gateway.search import CallbackFilters, FoundCallback, FoundInbound, InboundFilters
from chappe.listeners.native.asking import Answered, Asked, Problematic
from chappe.listeners.native.messages import account_id_of, wrong
from chappe.listeners.native.pages import before_id_of, cursor_of, links_of, span_of
from chappe.listeners.native.shapes import (
    CallbackAnswer,
    CallbackFilter,
    CallbackPage,
    InboundFilter,
    InboundMessage,
    InboundPage,
    NumberAnswer,
    NumberChange,
    NumberList,
    OfferFilter,
    RentRequest,
    ReplayAnswer,
    ReplayRequest,
    WebhookSecret,
)

# What phones wrote


async def inbound(asked: Asked) -> Answered:
    wanted: InboundFilter = asked.parameters
    from_ms, to_ms = span_of(wanted)
    filters = InboundFilters(
        recipient=wanted.recipient,
        originator=wanted.originator,
        from_ms=from_ms,
        to_ms=to_ms,
        account_id=account_id_of(wanted.account),
    )
    page = await asked.desks.search.inbound(asked.caller.sight, filters, before_id_of(wanted.cursor), wanted.limit)
    cursor = cursor_of(page.next_before_id)
    return Answered(
        InboundPage(items=tuple(map(inbound_message, page.items)), next_cursor=cursor),
        links_of("/v1/inbound", wanted, cursor),
    )


def inbound_message(found: FoundInbound) -> InboundMessage:
    return InboundMessage(
        id=str(found.id),
        originator=found.originator,
        recipient=found.recipient,
        text=found.text,
        coding=found.coding,
        received_at=instant_of(found.received_ms),
    )


# Numbers


async def numbers(asked: Asked) -> NumberList:
    """Those it rents, then those that were given to it."""
    account = asked.account
    outcome = await asked.ask(ListNumbers(account))
    rented = outcome.items if isinstance(outcome, Numbers) else ()
    known = {one.number for one in rented}
    given = (Number(number=number) for number in account.numbers if number not in known)
    return NumberList(items=tuple(number_answer(one, account.currency) for one in (*rented, *given)))


async def offers(asked: Asked) -> NumberList:
    wanted: OfferFilter = asked.parameters
    outcome = await asked.ask(ListOffers(asked.account, wanted.country, wanted.limit))
    found = outcome.items if isinstance(outcome, Numbers) else ()
    return NumberList(items=tuple(number_answer(one, asked.account.currency) for one in found))


async def rent(asked: Asked) -> NumberAnswer:
    wanted: RentRequest = asked.body
    if bool(wanted.number) == bool(wanted.country):
        raise wrong(("/number", "name a number or a country"))
    refuse_in_test_mode(asked)
    rented = await asked.ask(RentNumber(asked.account, wanted.number, wanted.country))
    return number_answer(rented, asked.account.currency)


async def give_back(asked: Asked) -> None:
    refuse_in_test_mode(asked)
    await asked.ask(ReturnNumber(asked.account, asked.path["number"]))


async def forward(asked: Asked) -> NumberAnswer:
    refuse_in_test_mode(asked)
    wanted: NumberChange = asked.body
    wish = SetNumber(
        account=asked.account,
        number=asked.path["number"],
        url=wanted.forward_url if wanted.forward_url is not UNSET else None,
        email=wanted.forward_email if wanted.forward_email is not UNSET else None,
        phone=wanted.forward_phone if wanted.forward_phone is not UNSET else None,
    )
    return number_answer(await asked.ask(wish), asked.account.currency)


def refuse_in_test_mode(asked: Asked) -> None:
    """What costs money, or cannot be pretended, is not for test keys. Raises Problematic."""
    if asked.caller.is_test:
        raise Problematic(Refusal.FORBIDDEN, "not with a test key: this is real")


def number_answer(one: Number, currency: str) -> NumberAnswer:
    return NumberAnswer(
        number=one.number,
        country=one.country,
        price=money_of(one.price_micros, currency),
        is_rented=bool(one.account_id),
        paid_until=optional_instant(one.expires_ms),
        renews=one.renews and bool(one.account_id),
        forward_url=one.url,
        forward_email=one.email,
        forward_phone=one.phone,
    )


# Callbacks


async def callbacks(asked: Asked) -> Answered:
    wanted: CallbackFilter = asked.parameters
    message_id = read_id(wanted.message) if wanted.message else 0
    if message_id is None:
        raise wrong(("message", "is no id"))
    from_ms, to_ms = span_of(wanted)
    filters = CallbackFilters(
        states=wanted.state,
        account_id=account_id_of(wanted.account),
        message_id=message_id,
        from_ms=from_ms,
        to_ms=to_ms,
    )
    page = await asked.desks.replay.list(asked.caller.sight, filters, before_id_of(wanted.cursor), wanted.limit)
    cursor = cursor_of(page.next_before_id)
    return Answered(
        CallbackPage(items=tuple(map(callback_answer, page.items)), next_cursor=cursor),
        links_of("/v1/callbacks", wanted, cursor),
    )


def callback_answer(found: FoundCallback) -> CallbackAnswer:
    return CallbackAnswer(
        id=str(found.id),
        message_id=str(found.message_id),
        kind=found.kind,
        dialect=found.dialect,
        state=found.state,
        attempts=found.attempt,
        status=found.status,
        detail=found.detail,
        url=found.url,
        took_ms=found.took_ms,
        made_at=optional_instant(found.made_ms),
        ended_at=optional_instant(found.ended_ms),
        next_at=instant_of(found.due_ms) if found.state == "pending" else None,
    )


async def replay(asked: Asked) -> ReplayAnswer:
    count = await asked.desks.replay.replay(asked.caller.sight, [asked.id("callback_id")])
    if not count:
        raise Problematic(Refusal.NOT_FOUND, "there is no such callback that has ended")
    return ReplayAnswer(replayed_count=count)


async def replay_range(asked: Asked) -> ReplayAnswer:
    wanted: ReplayRequest = asked.body
    replayed = await asked.desks.replay.replay_range(
        asked.caller.sight,
        max(0, ms_of(wanted.from_)),
        max(0, ms_of(wanted.to)),
        wanted.states,
        before_id=before_id_of(wanted.cursor),
    )
    cursor = cursor_of(replayed.next_before_id)
    return ReplayAnswer(replayed_count=replayed.count, next_cursor=cursor)


async def webhook_secret(asked: Asked) -> WebhookSecret:
    account = asked.account
    secret = secret_of(account.webhook_secret, account.token)
    if not secret:
        raise Problematic(Refusal.NOT_FOUND, "the account has no secret and no password to make one from")
    return WebhookSecret(secret=secret.value)
