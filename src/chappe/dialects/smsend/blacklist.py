"""Numbers that an account must not write to: put on the list by number or by contact, and listed (4.3)."""

from chappe.core.centre import Done, Outcome, Refusal, Refused
from chappe.core.phonebook import Block, BlockContacts, BlockNumbers, BlockOrigin, Blocks, ListBlocks
from chappe.dialects.base import HttpResponse, NorthFlow, json_response, plain
from chappe.dialects.smsend.asking import Asked, id_of, number_of, page_of, paged, refuse, string_of
from chappe.dialects.smsend.contacts import refuse_input
from chappe.dialects.smsend.dates import is_zone, moment_ms
from chappe.dialects.smsend.facts import BLACKLIST_DATE, BLACKLISTED_MAX, NOW, TRUE_FALSE
from chappe.dialects.smsend.national import international
from chappe.dialects.smsend.orders import END_OF_TIME_MS
from chappe.dialects.smsend.push import shown
from chappe.dialects.times import wall_clock

ORIGINS = {origin.value: origin for origin in BlockOrigin}


def add_number(asked: Asked) -> NorthFlow:
    """`blacklist/sms` and `contacts/add_to_blacklist`: one number of the query."""
    number = international(asked.number("phoneNumber"), asked.account.country)
    if not number:
        return refuse(Refused(Refusal.BAD_RECIPIENT, "phoneNumber is missing"))
    outcome = yield BlockNumbers(account=asked.account, numbers=(number,))
    return done(outcome)


def add_numbers(asked: Asked) -> NorthFlow:
    """`blacklist/smsbatch`: all or none (4.3)."""
    numbers = [string_of(number) for number in asked.body[: BLACKLISTED_MAX + 1]]
    country = asked.account.country
    if not all(numbers) or len(numbers) > BLACKLISTED_MAX:
        return refuse(Refused(Refusal.BAD_RECIPIENT))
    outcome = yield BlockNumbers(
        account=asked.account, numbers=tuple(international(str(number), country) for number in numbers)
    )
    return json_response(outcome.count) if isinstance(outcome, Done) else refuse(outcome)


def add_contact(asked: Asked) -> NorthFlow:
    """`contact/add_to_blacklist/{id}`: the number of a contact."""
    outcome = yield BlockContacts(asked.account, (id_of(asked, "id"),))
    return done(outcome)


def add_contacts(asked: Asked) -> NorthFlow:
    """`contact/add_to_blacklist_batch`: any unknown id is bad input, and none is added (4.3)."""
    ids = [number_of(contact_id) for contact_id in asked.body[: BLACKLISTED_MAX + 1]]
    if not all(ids) or len(ids) > BLACKLISTED_MAX:
        return refuse(Refused(Refusal.BAD_REQUEST, "a list of ids"))
    outcome = yield BlockContacts(asked.account, tuple(filter(None, ids)))
    return json_response(outcome.count) if isinstance(outcome, Done) else refuse_input(outcome, "an unknown id")


def done(outcome: Outcome) -> HttpResponse:
    return plain(TRUE_FALSE[True]) if isinstance(outcome, Done) else refuse(outcome)


def list_blocked(asked: Asked) -> NorthFlow:
    """GET `blacklist/sms`: newest first; each part of the question may be absent."""
    page, timezone = page_of(asked), asked.field("timezone") or asked.account.timezone
    if isinstance(page, Refused):
        return refuse(page)
    if not is_zone(timezone):
        return refuse(Refused(Refusal.BAD_REQUEST, "timezone"))
    begin, end = asked.field("from"), asked.field("to")
    from_ms = moment_ms(begin, timezone) if begin else 0
    to_ms = END_OF_TIME_MS if end.lower() in NOW else moment_ms(end, timezone)
    origins = [ORIGINS.get(word.strip().upper()) for word in asked.field("origins").split(",") if word.strip()]
    if from_ms is None or to_ms is None or None in origins:
        return refuse(Refused(Refusal.BAD_REQUEST, "from, to or origins"))
    blocks = yield ListBlocks(
        account=asked.account,
        number=international(asked.number("number"), asked.account.country),
        origins=tuple(filter(None, origins)),
        from_ms=from_ms,
        to_ms=to_ms,
        offset=page.offset,
        count_max=page.size,
    )
    if not isinstance(blocks, Blocks):
        return refuse(blocks)
    return paged(page, blocks.total, "blacklist", [block_row(block, timezone) for block in blocks.items])


def block_row(block: Block, timezone: str) -> dict[str, object]:
    """Ours: the provider's keys are not known (4.3)."""
    return {
        "number": shown(block.number),
        "origin": block.origin.value,
        "date": wall_clock(block.made_ms, timezone).strftime(BLACKLIST_DATE),
    }
