"""Messages: sent, previewed, looked at, taken back, given another time or text."""

from collections.abc import Sequence

from msgspec import UNSET

from chappe.core.campaigns import Template, Trouble, parse_template
from chappe.core.centre import Accepted, Cancel, Cancelled, Refusal, Replace, Reschedule, Submit, Ticket
from chappe.core.ids import made_ms, read_id
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S
from chappe.core.model import TEST_CARRIER, Account, Submission
from chappe.dialects.native import (
    BODY_MAX,
    PROBLEMS,
    CancelAnswer,
    FieldError,
    MessageAnswer,
    PersonalMessage,
    SendAnswer,
    SendRequest,
    SentMessage,
    WhyNot,
    instant_of,
    money_of,
    ms_of,
    number_of,
    optional_instant,
)
from chappe.gateway.search import FoundMessage, MessageFilters
from chappe.gateway.submission import is_web_url
from chappe.listeners.native.asking import Answered, Asked, Problematic
from chappe.listeners.native.pages import before_id_of, cursor_of, links_of, span_of
from chappe.listeners.native.shapes import (
    Chapter,
    Fact,
    ListedMessage,
    MessageChange,
    MessageFilter,
    MessagePage,
    StoryAnswer,
)

ERRORS_MAX = 20  # told of one request
FILLED_MAX = BODY_MAX  # characters of all texts of one request: filled in they are no more than written out

# Sending


async def send(asked: Asked) -> Answered:
    account = asked.account
    submission = submission_of(asked.body, asked.desks.clock.now_ms())
    verdict = await asked.ask(Submit(account, submission, asked.first_id))
    if not isinstance(verdict, Accepted):
        raise Problematic("uncertain")
    answer = send_answer(verdict, account, submission)
    return Answered(answer, (("location", f"/v1/messages?submission={answer.id}"),))


def recipients_count(request: SendRequest) -> int:
    """How many messages a request makes at most."""
    if request.messages is not UNSET:
        return len(request.messages)
    return 0 if request.to is UNSET else 1 if isinstance(request.to, str) else len(request.to)


def send_answer(verdict: Accepted, account: Account, submission: Submission) -> SendAnswer:
    accepted = [one for one in verdict.tickets if one.refusal is None]
    return SendAnswer(
        id=verdict.reference,
        reference=submission.reference,
        accepted_count=len(accepted),
        refused_count=len(verdict.tickets) - len(accepted),
        segments=sum(one.segments for one in accepted),
        price=money_of(sum(one.price_micros for one in accepted), account.currency),
        messages=tuple(sent_message(one, account.currency) for one in verdict.tickets),
    )


def sent_message(ticket: Ticket, currency: str) -> SentMessage:
    return SentMessage(
        id=ticket.reference or None,
        recipient=ticket.recipient,
        segments=ticket.segments,
        price=money_of(ticket.price_micros, currency),
        refusal=why_not(ticket.refusal) if ticket.refusal is not None else None,
    )


def why_not(refusal: Refusal) -> WhyNot:
    return WhyNot(code=refusal, title=PROBLEMS[refusal].title)


def submission_of(request: SendRequest, now_ms: int) -> Submission:
    """What is asked. Raises Problematic, with what is wrong where."""
    scheduled_ms = ms_of(request.scheduled_at) if request.scheduled_at is not None else None
    if scheduled_ms is not None and scheduled_ms > now_ms + SCHEDULE_AHEAD_MAX_S * 1000:
        raise wrong(("/scheduled_at", f"is more than {SCHEDULE_AHEAD_MAX_S // 86_400} days ahead"))
    if request.callback_url and not is_web_url(request.callback_url):
        raise wrong(("/callback_url", "is no address that begins with http:// or https://"))
    recipients, texts = addressed(request)
    return Submission(
        recipients=recipients,
        text="" if texts else request.text or "",
        texts=texts,
        originator=request.originator,
        service=request.service,
        priority=request.priority,
        reference=request.reference,
        scheduled_ms=scheduled_ms,
        validity_s=request.validity_s,
        wants_callbacks=request.wants_callbacks,
        coding=request.coding,
        takes_part=not request.all_or_nothing,
        receipt_url=request.callback_url,
    )


def addressed(request: SendRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The recipients, and their texts where they have their own."""
    if (request.to is UNSET) == (request.messages is UNSET):
        raise wrong(("/to", "give either `to` and `text`, or `messages`"))
    if request.messages is not UNSET:
        return personal(request, request.messages)
    if request.text is UNSET:
        raise wrong(("/text", "is missing"))
    assert request.to is not UNSET
    written = (request.to,) if isinstance(request.to, str) else request.to
    return tuple(map(number_of, written)), ()


def personal(request: SendRequest, messages: Sequence[PersonalMessage]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Each recipient with the text of their own, or the common one with their variables filled in."""
    template = request.text if request.text is not UNSET else None
    texts: list[str] = []
    errors: list[tuple[str, str]] = []
    parsed: dict[tuple[str, ...], Template | str] = {}
    length = 0
    for place, one in enumerate(messages):
        filled = text_of(one, template, parsed)
        read_length = len(template or "") if one.text is UNSET else 0  # it was read, however little came of it
        length += max(read_length, len(filled) if isinstance(filled, str) else 0)
        if length + len(parsed) * read_length > FILLED_MAX:
            raise Problematic("too_large", f"the texts filled in have more than {FILLED_MAX} characters together")
        texts.append(filled if isinstance(filled, str) else "")
        if not isinstance(filled, str) and len(errors) < ERRORS_MAX:
            errors.append((f"/messages/{place}/{filled[0]}", filled[1]))
    if errors:
        raise wrong(*errors)
    return tuple(number_of(one.to) for one in messages), tuple(texts)


def text_of(
    one: PersonalMessage, template: str | None, parsed: dict[tuple[str, ...], Template | str]
) -> str | tuple[str, str]:
    """The text, or which field is wrong and why. Templates that were read are kept in `parsed` by their variables."""
    if one.text is not UNSET:
        return one.text if one.variables is UNSET else ("variables", "stand for names in the common text only")
    if template is None:
        return "text", "is missing: neither this message nor the request has one"
    if one.variables is UNSET:
        return template
    names = tuple(one.variables)
    found = parsed.get(names)
    if found is None:
        found = parsed[names] = read_template(template, names)
    if isinstance(found, str):
        return "variables", found
    filled = found.fill(tuple(one.variables.values()))
    return filled if isinstance(filled, str) else ("variables", f"{names[filled]!r} is empty")


def read_template(template: str, names: Sequence[str]) -> Template | str:
    """The text with its variables found, or what is wrong."""
    found = parse_template(template, names)
    if isinstance(found, Template):
        return found
    if found.reason is Trouble.UNKNOWN_COLUMN:
        return f"there is no value for {found.word!r}, which the text names"
    if found.reason is Trouble.OPEN_BRACE:
        return f"the text has a single {found.word}: write it twice for the brace itself"
    return "the text cannot be filled in"


def wrong(*errors: tuple[str, str]) -> Problematic:
    return Problematic(Refusal.BAD_REQUEST, "", *(FieldError(pointer, detail) for pointer, detail in errors))


# Looking


async def visible(asked: Asked) -> FoundMessage:
    """The message of the path. Raises Problematic where it is not theirs to see."""
    found = await asked.desks.search.message(asked.caller.sight, asked.id("message_id"))
    if found is None or not is_of_mode(asked, found):
        raise Problematic(Refusal.NOT_FOUND)
    return found


def is_of_mode(asked: Asked, found: FoundMessage) -> bool:
    """Test keys see what was sent with test keys, live ones everything else; whoever logs in sees both."""
    is_test = test_mode(asked)
    return is_test is None or is_test == (found.carrier_id == TEST_CARRIER.id)


def test_mode(asked: Asked) -> bool | None:
    caller = asked.caller
    return caller.is_test if caller.key_id and caller.account is not None else None


async def get(asked: Asked) -> MessageAnswer:
    return message_answer(await visible(asked), asked.desks.clock.now_ms())


def message_answer(found: FoundMessage, now_ms: int) -> MessageAnswer:
    return MessageAnswer(
        id=str(found.id),
        submission_id=str(found.submission_id),
        reference=found.reference,
        originator=found.originator,
        recipient=found.recipient,
        text=found.text,
        coding=found.coding,
        service=found.service,
        state=found.state,
        reason=reason_of(found),
        segments=found.segments,
        price=money_of(found.price_micros, found.currency),
        created_at=instant_of(made_ms(found.submission_id)),
        due_at=instant_of(found.due_ms),
        changed_at=instant_of(changed_ms(found, now_ms)),
    )


def changed_ms(found: FoundMessage, now_ms: int) -> int:
    """When it came into its state, as far as that is kept."""
    if found.final_ms or found.sent_ms:
        return found.final_ms or found.sent_ms
    return min(found.due_ms, now_ms) if found.attempt else made_ms(found.submission_id)


def reason_of(found: FoundMessage) -> str:
    word = found.detail.partition(":")[0]
    return word if word in set(Refusal) else ""


async def story(asked: Asked) -> StoryAnswer:
    found = await visible(asked)
    told = await asked.desks.story.tell(asked.caller.sight, found.id)
    if told is None:
        raise Problematic(Refusal.NOT_FOUND)
    chapters = tuple(
        Chapter(
            at=instant_of(one.at_ms), kind=one.kind, title=one.title, facts=tuple(Fact(*fact) for fact in one.facts)
        )
        for one in told.chapters
    )
    return StoryAnswer(message_id=str(found.id), chapters=chapters)


async def list_messages(asked: Asked) -> Answered:
    wanted: MessageFilter = asked.parameters
    if wanted.submission and wanted.reference:
        raise wrong(("reference", "name the submission or the reference, not both"))
    if wanted.submission and not read_id(wanted.submission):
        return Answered(MessagePage(items=(), next_cursor=None))
    from_ms, to_ms = span_of(wanted)
    filters = MessageFilters(
        recipient=wanted.recipient,
        originator=wanted.originator,
        states=wanted.state,
        which=wanted.submission or wanted.reference,
        from_ms=from_ms,
        to_ms=to_ms,
        account_id=account_id_of(wanted.account),
        is_test=test_mode(asked),
    )
    page = await asked.desks.search.messages(asked.caller.sight, filters, before_id_of(wanted.cursor), wanted.limit)
    cursor = cursor_of(page.next_before_id)
    return Answered(
        MessagePage(items=tuple(map(listed_message, page.items)), next_cursor=cursor),
        links_of("/v1/messages", wanted, cursor),
    )


def account_id_of(written: str) -> int:
    """Of the account that is asked for, 0 = all in sight. Raises Problematic."""
    if not written:
        return 0
    found = read_id(written)
    if not found:
        raise wrong(("account", "is no id"))
    return found


def listed_message(found: FoundMessage) -> ListedMessage:
    return ListedMessage(
        id=str(found.id),
        submission_id=str(found.submission_id),
        account=found.account,
        reference=found.reference,
        originator=found.originator,
        recipient=found.recipient,
        text=found.text,
        state=found.state,
        segments=found.segments,
        price=money_of(found.price_micros, found.currency),
        is_test=found.carrier_id == TEST_CARRIER.id,
        created_at=instant_of(made_ms(found.submission_id)),
        due_at=instant_of(found.due_ms),
        sent_at=optional_instant(found.sent_ms),
        final_at=optional_instant(found.final_ms),
    )


# Changing


def owner_of(asked: Asked, found: FoundMessage) -> Account:
    """Whose message it is: those who run the gateway act for them."""
    account = asked.caller.account or asked.desks.directory().account(found.account_id)
    if account is None:
        raise Problematic(Refusal.NOT_FOUND)
    return account


async def cancel(asked: Asked) -> CancelAnswer:
    found = await visible(asked)
    account = owner_of(asked, found)
    is_whole = asked.parameters.submission
    reference = str(found.submission_id if is_whole else found.id)
    outcome = await asked.ask(Cancel(account, reference, is_alone=not is_whole))
    if not isinstance(outcome, Cancelled):
        raise Problematic("uncertain")
    return CancelAnswer(cancelled_count=outcome.count)


async def change(asked: Asked) -> MessageAnswer:
    found = await visible(asked)
    account = owner_of(asked, found)
    wanted: MessageChange = asked.body
    validity_s = wanted.validity_s if wanted.validity_s is not UNSET else None
    scheduled_ms = ms_of(wanted.scheduled_at) if wanted.scheduled_at is not UNSET else None
    if wanted.text is not UNSET:
        await asked.ask(
            Replace(
                account=account,
                reference=str(found.id),
                text=wanted.text,
                coding=found.coding,
                scheduled_ms=max(1, scheduled_ms) if scheduled_ms is not None else None,
                validity_s=validity_s,
            )
        )
    elif scheduled_ms is not None or validity_s is not None:
        await asked.ask(
            Reschedule(account=account, reference=str(found.id), scheduled_ms=scheduled_ms, validity_s=validity_s)
        )
    else:
        raise wrong(("/scheduled_at", "name what is to change: scheduled_at, validity_s or text"))
    return await get(asked)
