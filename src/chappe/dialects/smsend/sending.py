"""The three ways to send: `sms` (one text), `paramsms` (one text with variables) and `smstogroups` (4.4 to 4.6).

One table says how each field is read; what it cannot read is named in the answer. Keys it does not know are ignored,
because clients misspell them (4.4).
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from chappe.core.centre import (
    Accepted,
    Balance,
    Call,
    FetchBalance,
    FetchPrices,
    Outcome,
    Prices,
    Refusal,
    Refused,
    Submit,
    Ticket,
)
from chappe.core.model import Account, Service, Submission
from chappe.core.phonebook import Contacts, FetchMembers
from chappe.dialects.base import Flow, HttpResponse, NorthFlow, json_response
from chappe.dialects.smsend import orders
from chappe.dialects.smsend.asking import Asked, flag_of, list_of, number_of, refuse, string_of
from chappe.dialects.smsend.dates import is_zone, moment_ms
from chappe.dialects.smsend.facts import (
    CREDITS_MAX,
    DIRECT_URL,
    ENCODINGS,
    FRAGMENTS,
    MESSAGE_TYPES,
    RECIPIENT_URL,
    RECIPIENTS_MAX,
    RICH_LINK,
    SHORT_LINK,
    TEMPLATE_MAX,
    TEXTS_MAX,
    VALIDITY_MAX_MIN,
    VARIABLE,
)
from chappe.dialects.smsend.national import international
from chappe.sms.alphabets import GSM
from chappe.sms.segments import SEGMENTS_MAX, STANDARD, count

Fields = dict[str, Any]  # of the body, under the provider's names, as READERS leave them


# The flows


def send(asked: Asked) -> NorthFlow:
    """`sms`: one text to every recipient (4.4)."""
    return (yield from submit(asked, recipients_of(asked.account, list_of(asked.body.get("recipient")))))


def send_to_groups(asked: Asked) -> NorthFlow:
    """`smstogroups`: the recipients are groups, by name or id (4.3)."""
    groups = [string_of(group) for group in list_of(asked.body.get("recipient")) or ()]
    if not groups or not all(groups):
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    members = yield FetchMembers(asked.account, tuple(str(group).strip() for group in groups))
    if not isinstance(members, Contacts):
        is_unknown = isinstance(members, Refused) and members.reason is Refusal.NOT_FOUND
        return refuse(Refused(Refusal.BAD_RECIPIENT, "no such group") if is_unknown else members)
    numbers = [f"+{contact.number}" for contact in members.items if contact.number]
    return (yield from submit(asked, recipients_of(asked.account, numbers)))


def send_with_variables(asked: Asked) -> NorthFlow:
    """`paramsms`: each recipient is an object with a number and what its text needs (4.5)."""
    people = list_of(asked.body.get("recipients")) or []
    if not all(isinstance(person, dict) and is_written(person.get("recipient")) for person in people):
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    recipients = recipients_of(asked.account, [person["recipient"] for person in people])
    return (yield from submit(asked, recipients, people))


def submit(asked: Asked, recipients: tuple[str, ...] | Refused, people: list[Fields] | None = None) -> NorthFlow:
    """What all three have in common; `people` are the recipients' variables, where they have some."""
    order = recipients if isinstance(recipients, Refused) else read_order(asked, recipients, people)
    if isinstance(order, Refused):
        return refuse(order)
    verdict = yield Submit(asked.account, order.submission)
    if not isinstance(verdict, Accepted):
        return refuse(verdict)
    sent = [ticket for ticket in verdict.tickets if ticket.refusal is None]
    if not sent:
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    left = (yield from credits_left(asked.account, order.submission.service, sent[0])) if order.tells_left else None
    return accept(order, sent, left)


class Order(Struct, frozen=True):
    """What is asked, and what the answer shall tell."""

    submission: Submission
    counts_credits: bool  # `total_sent` is in segments instead of messages
    tells_left: bool


def read_order(asked: Asked, recipients: tuple[str, ...], people: list[Fields] | None) -> Order | Refused:
    """The body as a submission, or what is wrong with it."""
    fields = read_fields(asked.body)
    if isinstance(fields, Refused):
        return fields
    service = types_of(asked.account).get(fields["message_type"])
    if service is None:
        return Refused(Refusal.BAD_REQUEST, "message_type")
    scheduled_ms = schedule_of(asked, fields)
    if isinstance(scheduled_ms, Refused):
        return scheduled_ms
    texts = texts_of(fields, service, people)
    if isinstance(texts, Refused):
        return texts
    submission = Submission(
        recipients=recipients,
        text=texts[0],
        texts=texts if people else (),
        originator=fields["sender"].strip(),
        service=service,
        reference=fields["order_id"],
        is_findable=bool(fields["order_id"]),
        scheduled_ms=scheduled_ms,
        validity_s=fields["validity_period_min"] * 60 or None,
        takes_part=fields["allowInvalidRecipients"],
        receipt_url=fields["statusnotificationURL"],
    )
    return Order(submission, fields["returnCredits"], fields["returnRemaining"])


def accept(order: Order, sent: list[Ticket], left: int | None) -> HttpResponse:
    """4.6: 201, and nothing but integers where numbers are, because typed clients die on anything else."""
    order_id = orders.written(sent[0].reference)  # the first message's id is the submission's
    answer = {
        "result": "OK",
        "order_id": order.submission.reference or order_id,
        "internal_order_id": order_id,
        "total_sent": sum(ticket.segments for ticket in sent) if order.counts_credits else len(sent),
    }
    return json_response(answer if left is None else answer | {"remaining_credits": left}, 201)


def credits_left(account: Account, service: Service, first: Ticket) -> Flow[Call, Outcome, int | None]:
    """Whole messages of one segment that the balance pays for in the account's country, or else where the first
    recipient is (ours); None where nobody can say."""
    balance = yield FetchBalance(account)
    prices = yield FetchPrices(account)
    if not (isinstance(balance, Balance) and isinstance(prices, Prices)):
        return None
    return quantity(balance, prices.by_service.get(service, first.price_micros // first.segments))


def quantity(balance: Balance, price_micros: int | None) -> int:
    """How many messages that is: none without a price; and never more than a 32-bit integer holds (4.6)."""
    if price_micros is None:
        return 0
    return min(max(balance.amount_micros, 0) // price_micros, CREDITS_MAX) if price_micros else CREDITS_MAX


# Reading


def types_of(account: Account) -> dict[str, Service]:
    """What the account calls the service classes (4.1)."""
    return account.message_types or dict(MESSAGE_TYPES)


def recipients_of(account: Account, written: list[Any] | None) -> tuple[str, ...] | Refused:
    """Numbers as strings or numbers; empty places are left out (4.4)."""
    if len(written or ()) > RECIPIENTS_MAX:
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    numbers = [string_of(number) for number in written or ()]
    if None in numbers:
        return Refused(Refusal.BAD_RECIPIENT)
    found = tuple(international(str(number), account.country) for number in filter(is_written, numbers))
    return found or Refused(Refusal.BAD_RECIPIENT)


def is_written(number: object) -> bool:
    """Whether there is anything to read: each of `people` must have a number, or texts and numbers would not match."""
    return bool((string_of(number) or "").strip())


def read_order_id(written: object) -> str | None:
    order_id = string_of(written)
    return order_id if order_id == "" or (order_id and orders.ORDER_ID.fullmatch(order_id)) else None


def read_zone(written: object) -> str | None:
    name = string_of(written)
    return name if name is not None and (not name or is_zone(name)) else None


def read_url(written: object) -> str | None:
    url = string_of(written)
    if not url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc and len(url) <= 2048 else None


def read_encoding(written: object) -> str | None:
    return {"": ENCODINGS[0], **dict(zip(ENCODINGS, ENCODINGS, strict=True))}.get((string_of(written) or "").lower())


def read_mode(written: object) -> str | None:
    mode = string_of(written)
    return mode if mode in ("", DIRECT_URL, RECIPIENT_URL) else None


def read_validity(written: object) -> int | None:
    minutes = 0 if written in (None, "") else number_of(written)
    return None if minutes is None or minutes > VALIDITY_MAX_MIN else minutes


def read_fragments(written: object) -> int | None:
    fragments = FRAGMENTS if written in (None, "") else number_of(written)
    return None if not fragments else min(fragments, SEGMENTS_MAX)


def read_truncate(written: object) -> bool:
    return True if written in (None, "") else flag_of(written)


def read_landing(written: object) -> str | None:
    """There are no landing pages here, so no id is one."""
    return None if written else ""


READERS: dict[str, Callable[[object], Any]] = {  # 4.4; None from one: it cannot be read
    "message_type": string_of,
    "message": string_of,
    "sender": string_of,
    "encoding": read_encoding,
    "order_id": read_order_id,
    "scheduled_delivery_timezone": read_zone,
    "returnCredits": flag_of,
    "returnRemaining": flag_of,
    "allowInvalidRecipients": flag_of,
    "truncate": read_truncate,
    "max_fragments": read_fragments,
    "validity_period_min": read_validity,
    "statusnotificationURL": read_url,
    "short_link_url": read_url,
    "richsms_url": read_url,
    "richsms_mode": read_mode,
    "campaign_name": string_of,
    "id_landing": read_landing,
}


def read_fields(body: Fields) -> Fields | Refused:
    """Every field of 4.4 that is read without knowing the account; what cannot be read is named."""
    fields = {name: read(body.get(name)) for name, read in READERS.items()}
    wrong = next((name for name, value in fields.items() if value is None), None)
    if wrong is not None:
        return Refused(Refusal.BAD_REQUEST, wrong)
    return fields | {"scheduled_delivery_time": body.get("scheduled_delivery_time")}


def schedule_of(asked: Asked, fields: Fields) -> int | Refused | None:
    """4.4.1. A time that has passed means now, which is the gateway's own rule."""
    written = fields["scheduled_delivery_time"]
    if written is None or written == "":
        return None
    scheduled_ms = moment_ms(written, fields["scheduled_delivery_timezone"] or asked.account.timezone)
    return Refused(Refusal.BAD_REQUEST, "scheduled_delivery_time") if scheduled_ms is None else max(scheduled_ms, 0)


# Texts


def texts_of(fields: Fields, service: Service, people: list[Fields] | None) -> tuple[str, ...] | Refused:
    """The text, or one for each of `people`: variables and links put in, then measured (4.4, 4.5)."""
    if len(fields["message"]) > TEMPLATE_MAX:
        return Refused(Refusal.TEXT_TOO_LONG)
    template, texts = VARIABLE.split(fields["message"]), []
    for person in [{}] if people is None else people:
        is_own = fields["richsms_mode"] == RECIPIENT_URL
        link = read_url(person.get("url")) if is_own else fields["richsms_url"]
        text = filled(template, person) if people is not None else fields["message"]
        if text is None or link is None or (is_own and not link and RICH_LINK.search(text)):
            return Refused(Refusal.BAD_REQUEST, "a recipient lacks what the text needs")
        fitting = fit(with_links(text, fields["short_link_url"], link), fields, service)
        if isinstance(fitting, Refused):
            return fitting
        texts.append(fitting)
    return tuple(texts)


def filled(template: list[str], person: Fields) -> str | None:
    """Every name, each second piece of the template, replaced by its value; None where one is missing (4.5)."""
    values = {name: None if person.get(name) is None else string_of(person[name]) for name in template[1::2]}
    # What alone is longer than any text may be is refused as well when it is cut: nothing huge is put together here.
    known = {name: value[: TEMPLATE_MAX + 1] for name, value in values.items() if value is not None}
    if len(known) < len(values):
        return None
    return "".join([known[piece] if index % 2 else piece for index, piece in enumerate(template)])


def with_links(text: str, short_link: str, rich_link: str) -> str:
    """Links in the places kept for them, whole: we shorten nothing (ours)."""
    for place, link in ((SHORT_LINK, short_link), (RICH_LINK, rich_link)):
        if link:
            text = place.sub(link.replace("\\", r"\\"), text)
    return text


def fit(text: str, fields: Fields, service: Service) -> str | Refused:
    """The text, at most as long as 4.4 allows, cut to the fragments asked for or refused for having more."""
    if not text:
        return Refused(Refusal.EMPTY_TEXT)
    is_wide = fields["encoding"] != ENCODINGS[0] or GSM.units(text) is None
    if len(text) > TEXTS_MAX[service is Service.ECONOMY, is_wide]:
        return Refused(Refusal.TEXT_TOO_LONG)
    fragments_max = fields["max_fragments"]
    if is_within(text, fragments_max):
        return text
    if not fields["truncate"]:
        return Refused(Refusal.TEXT_TOO_LONG)
    return text[: bisect_right(range(1, len(text)), False, key=lambda size: not is_within(text[:size], fragments_max))]


def is_within(text: str, fragments_max: int) -> bool:
    segments = count(text, STANDARD)
    return segments is not None and segments <= fragments_max
