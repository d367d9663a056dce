"""What sending would come to, before anything is kept, sent or charged."""

from chappe.core.centre import Accepted, Quote, Refusal, Refused
from chappe.core.model import TEST_CARRIER, Account, Coding, Route, Submission
from chappe.dialects.native import NATIVE, money_of
from chappe.gateway.directory import Directory
from chappe.listeners.native.asking import Asked, Problematic, refused
from chappe.listeners.native.messages import submission_of, why_not
from chappe.listeners.native.shapes import CarrierChoice, PreviewAnswer, PreviewedMessage
from chappe.sms.alphabets import GSM, choose


async def preview(asked: Asked) -> PreviewAnswer:
    account, submission = asked.account, submission_of(asked.body)
    quoted = await asked.desks.front.answer(Quote(account, submission), NATIVE, asked.network)
    if isinstance(quoted, Refused):
        raise refused(quoted)
    if not isinstance(quoted, Accepted):
        raise Problematic(Refusal.INTERNAL)
    directory = asked.desks.directory()
    messages = []
    for place, ticket in enumerate(quoted.tickets):
        routes = routes_to(ticket.recipient, account, submission, directory)
        messages.append(
            PreviewedMessage(
                recipient=ticket.recipient or submission.recipients[place],
                segments=ticket.segments,
                price=money_of(ticket.price_micros, account.currency),
                carriers=next((one.carriers for one in routes if one.is_taken), ()) if ticket.refusal is None else (),
                routes=routes,
                refusal=why_not(ticket.refusal) if ticket.refusal is not None else None,
            )
        )
    text = submission.texts[0] if submission.texts else submission.text
    alphabet, why = alphabet_of(text, submission.coding)
    return PreviewAnswer(
        alphabet=alphabet,
        why=why,
        characters=len(text),
        segments=sum(one.segments for one in messages),
        price=money_of(sum(one.price_micros for one in quoted.tickets), account.currency),
        messages=tuple(messages),
    )


def alphabet_of(text: str, coding: Coding) -> tuple[str, str]:
    """What a text is coded in on air, and why."""
    if coding is Coding.BINARY:
        return "8-bit", "the text is octets in hexadecimal digits"
    if choose(text) is GSM:
        return "GSM", "every character is in the GSM alphabet"
    place, character = next((each for each in enumerate(text, 1) if GSM.units(each[1]) is None), (1, ""))
    return "UCS-2", f"character {place}, {character!r} (U+{ord(character or ' '):04X}), is not in the GSM alphabet"


def routes_to(
    recipient: str, account: Account, submission: Submission, directory: Directory
) -> tuple[CarrierChoice, ...]:
    """The routes that begin like the number, the longest first: the first that fits the service class is taken."""
    if account.is_test:
        why = "a test key sends through the simulated carrier, free of charge"
        return (CarrierChoice(is_taken=True, carriers=(TEST_CARRIER.name,), why=why, price_per_segment=None),)
    found = directory.routing.find(recipient, submission.service)
    return (choice(found, submission, account, directory),) if found is not None else ()


def choice(route: Route, submission: Submission, account: Account, directory: Directory) -> CarrierChoice:
    carriers = [directory.carrier(one) for one in route.carrier_ids]
    prefix = f"the longest prefix that fits is {route.prefix}" if route.prefix else "it is the route to everywhere"
    service = f", of service class {submission.service}" if route.service is not None else ""
    return CarrierChoice(
        is_taken=True,
        carriers=tuple(one.name for one in carriers if one is not None),
        why=prefix + service,
        price_per_segment=money_of(0 if account.is_virtual else route.price_micros, account.currency),
    )
