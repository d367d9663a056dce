"""What sending would come to, before anything is kept, sent or charged."""

from chappe.core.centre import Accepted, Quote, Refusal, Ticket
from chappe.core.model import TEST_CARRIER, Account, Submission
from chappe.dialects.native import country_of, money_of
from chappe.gateway.explaining import (
    RECIPIENTS_MAX,
    Alphabet,
    RouteExplained,
    TextExplained,
    routes_to,
    text_explained,
)
from chappe.listeners.native.asking import Asked, Problematic
from chappe.listeners.native.messages import submission_of, why_not
from chappe.listeners.native.shapes import PreviewAnswer, PreviewedMessage, PreviewedText, RouteChoice


async def preview(asked: Asked) -> PreviewAnswer:
    """Recipients and texts beyond the first hundred have no routes and no cuts told of them."""
    account, submission = asked.account, submission_of(asked.body, asked.desks.clock.now_ms())
    quoted = await asked.ask(Quote(account, submission))
    if not isinstance(quoted, Accepted):
        raise Problematic(Refusal.INTERNAL)
    texts = list(dict.fromkeys(submission.texts or (submission.text,)))[:RECIPIENTS_MAX]
    return PreviewAnswer(
        segments=sum(one.segments for one in quoted.tickets),
        price=money_of(sum(one.price_micros for one in quoted.tickets), account.currency),
        texts=tuple(previewed_text(text_explained(one, submission.coding)) for one in texts),
        messages=tuple(
            previewed(asked, account, submission, place, ticket) for place, ticket in enumerate(quoted.tickets)
        ),
    )


def previewed_text(text: TextExplained) -> PreviewedText:
    return PreviewedText(
        alphabet=text.alphabet,
        why=why_alphabet(text),
        characters=text.characters,
        units=text.units,
        pieces=text.pieces,
        segments_in_latin=text.in_latin_segments or None,
    )


def why_alphabet(text: TextExplained) -> str:
    if text.alphabet is Alphabet.BINARY:
        return "the text is octets in hexadecimal digits"
    if not text.offender:
        return "every character is in the GSM alphabet"
    code = f"U+{ord(text.offender):04X}"
    return f"character {text.offender_place}, {text.offender} ({code}), is not in the GSM alphabet"


def previewed(asked: Asked, account: Account, submission: Submission, place: int, ticket: Ticket) -> PreviewedMessage:
    number = ticket.recipient if ticket.recipient.isdigit() else ""
    is_told = bool(number) and place < RECIPIENTS_MAX
    routes = routes_to(number, submission.service, account, asked.desks.directory()) if is_told else ()
    taken = next((one for one in routes if one.is_taken), None)
    carriers = tuple(one.name for one in taken.carriers) if taken is not None else ()
    if account.is_test:
        carriers = (TEST_CARRIER.name,)
    return PreviewedMessage(
        recipient=ticket.recipient,
        country=country_of(number),
        segments=ticket.segments,
        price=money_of(ticket.price_micros, account.currency),
        carriers=carriers if ticket.refusal is None else (),
        routes=tuple(route_choice(one, account) for one in routes),
        refusal=why_not(ticket.refusal) if ticket.refusal is not None else None,
    )


def route_choice(route: RouteExplained, account: Account) -> RouteChoice:
    return RouteChoice(
        prefix=route.prefix,
        service=route.service,
        carriers=tuple(one.name for one in route.carriers),
        price_per_segment=money_of(route.price_micros, account.currency),
        is_taken=route.is_taken,
        why=route.why,
    )
