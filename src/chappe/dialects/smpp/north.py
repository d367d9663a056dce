"""The north half: we are the message centre. What ESMEs submit becomes submissions, or parts of them; reports and
inbound messages become deliver_sm.

A long message comes in parts. Each is answered by itself, under an id of its own, and kept as a `Part`; once all are
there, `submission_of_parts` makes one submission of them, whose memo knows the parts that asked for receipts.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from chappe.core.centre import Accepted, Cancel, ListMessages, Query, Refusal, Refused, Replace, Verdict
from chappe.core.ids import ID_MAX, made_ms
from chappe.core.lifecycle import FINAL, SCHEDULE_AHEAD_MAX_S
from chappe.core.model import Account, Coding, Concatenation, Inbound, Priority, Report, State, Submission
from chappe.dialects.smpp.addresses import ALPHANUMERIC, NPIS, TONS, as_kept, number_of, originator_of, source_of
from chappe.dialects.smpp.memo import (
    OF_OTHERS,
    REGISTERED,
    WANTED,
    Memo,
    Part,
    is_asked_by,
    plain_memo,
    read_memo,
    write_memo,
)
from chappe.dialects.smpp.south import coding_of, pieces_for, tlvs_of
from chappe.dialects.smpp.words import PRIORITY_MAX, STATES, STATUSES, LinkWords, status_of
from chappe.smpp.pdu import (
    Address,
    CancelSm,
    DataSm,
    DeliverSm,
    QuerySm,
    QuerySmResponse,
    ReplaceSm,
    Status,
    SubmitMulti,
    SubmitMultiResponse,
    SubmitSm,
    Unsuccessful,
)
from chappe.smpp.receipt import INTERMEDIATE, RECEIPT, date_of, write_text, write_tlvs
from chappe.smpp.texts import GSM_PACKED, HAS_HEADER, UCS_2, Content, joined, on_air, packed, read
from chappe.smpp.times import absolute_time, read_time
from chappe.smpp.tlv import Tag, find_number, number
from chappe.sms.alphabets import UCS2
from chappe.sms.numbers import parse_msisdn

Carrying = SubmitSm | SubmitMulti | DataSm

RECIPIENTS_MAX: Final = 254  # 5.2.24
FORWARD: Final = 2  # messaging mode: whoever asks waits for the delivery itself (5.2.12), which is not ours to promise
MODE: Final = 0x03
TYPE: Final = 0x3C  # acknowledgements between ESMEs and phones, which none of our carriers takes
# protocol_id (3GPP TS 23.040 9.2.3.9): what would be shown to somebody who must not see it. Type 0, ANSI-136 R-DATA and
# the data downloads.
NOT_CARRIED: Final = frozenset({0x40, 0x7C, 0x7D, 0x7E, 0x7F})


class PartOfMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a long message and what it says of the whole; as JSON it is kept until all parts are there."""

    concatenation: Concatenation
    originator: str
    recipient: str
    octets: str  # in hexadecimal digits, without the header
    charset: str  # a name for `smpp.texts.charset_named`, or that of octets
    is_flash: bool = False
    elements: str = ""  # further elements of the header, in hexadecimal digits
    memo: str = ""
    priority: Priority | None = None
    scheduled_ms: int | None = None
    validity_s: int | None = None


class Submitted(Struct, frozen=True, kw_only=True):
    """What a submit_sm, submit_multi or data_sm asks; of a part, the submission is what the part is by itself."""

    submission: Submission
    part: PartOfMessage | None = None
    addresses: tuple[Address, ...] = ()  # of a submit_multi: the recipients as they were written ...
    unsuccessful: tuple[Unsuccessful, ...] = ()  # ... and the destinations that are none


def submission_of(body: Carrying, words: LinkWords, now_ms: int) -> Submitted | Status:
    """What is asked, or what is wrong with it."""
    fault = fault_of(body)
    if fault:
        return fault
    content = read(
        b"" if isinstance(body, DataSm) else body.short_message,
        data_coding=body.data_coding,
        esm_class=body.esm_class,
        tlvs=body.tlvs,
        charset=words.charset,
        is_strict=True,
    )
    if isinstance(content, Status):
        return content
    if isinstance(body, SubmitMulti) and content.concatenation is not None and content.concatenation.total > 1:
        return Status.INVALID_ESM_CLASS  # ours: parts are put together for one recipient
    written = written_of(content) if content.octets or content.elements else None
    if written is None:
        return Status.INVALID_MESSAGE_LENGTH
    timing = timing_of(body, now_ms)
    if isinstance(timing, Status):
        return timing
    many = many_of(body, words)
    if not many.recipients:
        return Status.INVALID_DESTINATION
    originator = originator_of(body.source_ton, body.source, words)
    text, coding = written
    submission = Submission(
        recipients=many.recipients,
        text=text,
        originator=originator.name,
        priority=Priority.URGENT if not isinstance(body, DataSm) and body.priority_flag else None,
        scheduled_ms=timing[0],
        validity_s=timing[1],
        wants_callbacks=bool(body.registered_delivery & WANTED),
        coding=coding,
        takes_part=isinstance(body, SubmitMulti),
        memo=memo_of(body, many.recipients[0], originator.written),
    )
    if isinstance(body, SubmitMulti):
        return Submitted(submission=submission, addresses=many.addresses, unsuccessful=many.unsuccessful)
    return Submitted(submission=submission, part=part_of(content, submission) if content.concatenation else None)


def fault_of(body: Carrying) -> Status:
    """What is wrong with the numbers of a request, the first in their order; OK where nothing is."""
    if isinstance(body, DataSm):
        addressing = body.source_ton, body.source_npi, body.destination_ton, body.destination_npi
        return numbers_fault(*addressing, body.esm_class, body.registered_delivery, 0, 0, 0, 0)
    destination = (0, 0) if isinstance(body, SubmitMulti) else (body.destination_ton, body.destination_npi)
    return numbers_fault(
        body.source_ton,
        body.source_npi,
        *destination,
        body.esm_class,
        body.registered_delivery,
        body.priority_flag,
        body.replace_if_present,
        body.default_message_id,
        body.protocol_id,
    )


@lru_cache(maxsize=1024)  # an ESME sends the same numbers again and again
def numbers_fault(
    source_ton: int,
    source_npi: int,
    destination_ton: int,
    destination_npi: int,
    esm_class: int,
    registered_delivery: int,
    priority_flag: int,
    replace_if_present: int,
    default_message_id: int,
    protocol_id: int,
) -> Status:
    faults = (
        (source_ton not in TONS, Status.INVALID_SOURCE_TON),
        (source_npi not in NPIS, Status.INVALID_SOURCE_NPI),
        (destination_ton not in TONS or destination_ton == ALPHANUMERIC, Status.INVALID_DESTINATION_TON),
        (destination_npi not in NPIS, Status.INVALID_DESTINATION_NPI),
        (esm_class & TYPE or esm_class & MODE == FORWARD, Status.INVALID_ESM_CLASS),
        (protocol_id in NOT_CARRIED, Status.SUBMIT_FAILED),
        (priority_flag > PRIORITY_MAX, Status.INVALID_PRIORITY),
        (registered_delivery & ~REGISTERED, Status.INVALID_REGISTERED_DELIVERY),
        (replace_if_present > 1, Status.INVALID_REPLACE_FLAG),
        (replace_if_present, Status.INVALID_SUBMIT_WITH_REPLACE),
        (default_message_id, Status.INVALID_DEFAULT_MESSAGE),
    )
    return next((status for is_wrong, status in faults if is_wrong), Status.OK)


Timing = tuple[int | None, int | None]  # scheduled_ms, validity_s


def timing_of(body: Carrying | ReplaceSm, now_ms: int) -> Timing | Status:
    """When it shall leave, and for how long from then on it may be tried; both as 7.1.1 has them."""
    if isinstance(body, DataSm):
        return None, find_number(body.tlvs, Tag.TIME_TO_LIVE)
    if not body.schedule_delivery_time and not body.validity_period:
        return None, None
    scheduled_ms = None
    if body.schedule_delivery_time:
        scheduled_ms = read_time(body.schedule_delivery_time, now_ms)
        if scheduled_ms is None or scheduled_ms > now_ms + SCHEDULE_AHEAD_MAX_S * 1000:
            return Status.INVALID_SCHEDULE
        scheduled_ms = scheduled_ms if scheduled_ms > now_ms else None
    if not body.validity_period:
        return scheduled_ms, None
    expires_ms = read_time(body.validity_period, now_ms)
    if expires_ms is None:
        return Status.INVALID_VALIDITY
    validity_s = (expires_ms - (scheduled_ms or now_ms)) // 1000
    return (scheduled_ms, validity_s) if validity_s > 0 else Status.INVALID_VALIDITY


class Many(NamedTuple):
    """Where a message goes: recipients as digits, and as they were written; and destinations that are none."""

    recipients: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    unsuccessful: tuple[Unsuccessful, ...] = ()


def many_of(body: Carrying, words: LinkWords) -> Many:
    if not isinstance(body, SubmitMulti):
        number = recipient_of(body.destination_ton, body.destination, words)
        return Many((number,) if number else ())
    found: list[tuple[str, Address]] = []
    unsuccessful = []
    for destination in body.destinations:
        if isinstance(destination, str):  # distribution lists live in message centres that have some
            unsuccessful.append(Unsuccessful(Address(0, 0, destination), Status.INVALID_LIST_NAME))
            continue
        is_number = destination.ton in TONS and destination.ton != ALPHANUMERIC
        number = recipient_of(destination.ton, destination.value, words) if is_number else None
        if number is None:
            unsuccessful.append(Unsuccessful(destination, Status.INVALID_DESTINATION))
        else:
            found.append((number, destination))
    recipients, addresses = zip(*found, strict=True) if found else ((), ())
    return Many(recipients, addresses, tuple(unsuccessful))


def recipient_of(ton: int, value: str, words: LinkWords) -> str | None:
    return parse_msisdn(number_of(ton, value, words))


def written_of(content: Content) -> tuple[str, Coding] | None:
    """What is sent, as a submission has it; None where it takes too many segments."""
    if content.is_text:
        return content.text, Coding.FLASH if content.is_flash else Coding.TEXT
    octets = on_air(content.octets, content.elements)
    return (octets.hex().upper(), Coding.BINARY) if octets is not None else None


def part_of(content: Content, submission: Submission) -> PartOfMessage | None:
    place = content.concatenation
    if place is None or place.total < 2:
        return None
    return PartOfMessage(
        concatenation=Concatenation(reference=place.reference, total=place.total, position=place.index),
        originator=submission.originator,
        recipient=submission.recipients[0],
        octets=content.octets.hex(),
        charset=content.charset,
        is_flash=content.is_flash,
        elements=content.elements.hex(),
        memo=submission.memo,
        priority=submission.priority,
        scheduled_ms=submission.scheduled_ms,
        validity_s=submission.validity_s,
    )


def memo_of(body: Carrying, recipient: str, source: str) -> str:
    """What its receipts will repeat of it. `source` is as it was written, where that will not be known."""
    user_reference = find_number(body.tlvs, Tag.USER_MESSAGE_REFERENCE) if body.tlvs else None
    if isinstance(body, SubmitMulti):
        first = next((one for one in body.destinations if isinstance(one, Address)), Address(0, 0, ""))
        ton, npi, destination = first.ton, first.npi, ""
    else:
        ton, npi, destination = body.destination_ton, body.destination_npi, body.destination
        destination = "" if destination == recipient else destination
    numbers = body.registered_delivery, body.source_ton, body.source_npi, ton, npi
    if not source and not destination and user_reference is None and not body.service_type:
        return plain_memo(*numbers)
    return write_memo(Memo(*numbers, source, destination, user_reference, body.service_type))


# Long messages in parts


def submission_of_parts(parts: Mapping[int, PartOfMessage]) -> Submission | Status:
    """The whole message, of all its parts by the ids that their submitter knows them by. What they say of the whole is
    taken from the first; receipts go under each part that asked for them."""
    in_order = sorted(parts.items(), key=lambda item: item[1].concatenation.position)
    first = in_order[0][1]
    written = written_of(joined([content_of_part(part) for _, part in in_order]))
    if written is None:
        return Status.INVALID_MESSAGE_LENGTH
    text, coding = written
    memos = [(part_id, read_memo(part.memo)) for part_id, part in in_order]
    asked = [Part(part_id, memo.registered_delivery) for part_id, memo in memos]
    # The last one stands there whatever it asked for: it tells how far the ids go.
    known = tuple(part for part in asked if part.registered_delivery & WANTED or part is asked[-1])
    return Submission(
        recipients=(first.recipient,),
        text=text,
        originator=first.originator,
        priority=first.priority,
        scheduled_ms=first.scheduled_ms,
        validity_s=first.validity_s,
        wants_callbacks=any(part.registered_delivery & WANTED for part in asked),
        coding=coding,
        memo=write_memo(memos[0][1]._replace(parts=known)),
    )


def has_part(memo: str, part_id: int) -> bool:
    """Whether a message that begins with an id no greater than this one has a part of this id."""
    parts = read_memo(memo).parts
    return bool(parts) and part_id <= parts[-1].id


def content_of_part(part: PartOfMessage) -> Content:
    return Content(bytes.fromhex(part.octets), part.charset, part.is_flash, elements=bytes.fromhex(part.elements))


# Answers


def message_id(our_id: int, words: LinkWords) -> str:
    """What a customer knows a message by."""
    return f"{our_id:x}" if words.hex_ids else str(our_id)


def read_message_id(written: str, words: LinkWords) -> int | None:
    """Our id; None for what is none."""
    try:
        our_id = int(written, 16 if words.hex_ids else 10) if written.isalnum() and written.isascii() else -1
    except ValueError:
        return None
    return our_id if 0 < our_id <= ID_MAX else None


def multi_response(submitted: Submitted, verdict: Verdict, words: LinkWords) -> tuple[SubmitMultiResponse, Status]:
    """The answer to submit_multi: who did not get it, and why (4.5.2)."""
    if not isinstance(verdict, Accepted):
        reason = verdict.reason if isinstance(verdict, Refused) else Refusal.INTERNAL
        return SubmitMultiResponse(), status_of(reason)
    refused = tuple(
        Unsuccessful(address, status_of(ticket.refusal))
        for address, ticket in zip(submitted.addresses, verdict.tickets, strict=True)
        if ticket.refusal is not None
    )
    return SubmitMultiResponse(message_id(int(verdict.reference), words), submitted.unsuccessful + refused), Status.OK


# Questions about what was submitted


def query_call(body: QuerySm, account: Account, words: LinkWords) -> Query | Status:
    our_id = read_message_id(body.message_id, words)
    return Query(account=account, reference=str(our_id)) if our_id is not None else Status.INVALID_MESSAGE_ID


def query_response(body: QuerySm, report: Report) -> QuerySmResponse:
    """4.8.2; a state has a date once it is the last one."""
    return QuerySmResponse(
        body.message_id,
        absolute_time(report.changed_ms) if is_over(report.state) else "",
        STATES[report.state].message_state,
        min(error_of(report), 0xFF),
    )


def cancel_call(body: CancelSm, account: Account, words: LinkWords) -> Cancel | ListMessages | Status:
    """What takes a message back. Without an id, which messages of the account wait between the two addresses: each of
    these is to be taken back (4.9)."""
    recipient = recipient_of(body.destination_ton, body.destination, words) or ""
    if body.message_id:
        our_id = read_message_id(body.message_id, words)
        return Cancel(account, str(our_id), recipient) if our_id is not None else Status.INVALID_MESSAGE_ID
    if not recipient or not body.source:
        return Status.INVALID_DESTINATION if body.source else Status.INVALID_SOURCE
    return ListMessages(
        account=account,
        recipients=(recipient,),
        originators=(as_kept(number_of(body.source_ton, body.source, words)),),
        states=(State.SCHEDULED, State.QUEUED),
    )


def replace_call(body: ReplaceSm, account: Account, words: LinkWords, now_ms: int) -> Replace | Status:
    """The other text is in the default alphabet: 4.10 has no data_coding."""
    our_id = read_message_id(body.message_id, words)
    if our_id is None:
        return Status.INVALID_MESSAGE_ID
    timing = timing_of(body, now_ms)
    if isinstance(timing, Status):
        return timing
    if body.default_message_id:
        return Status.INVALID_DEFAULT_MESSAGE
    content = read(
        body.short_message, data_coding=0, esm_class=0, tlvs=body.tlvs, charset=words.charset, is_strict=True
    )
    if isinstance(content, Status):
        return content
    if not content.octets:
        return Status.INVALID_MESSAGE_LENGTH
    return Replace(
        account=account,
        reference=str(our_id),
        originator=as_kept(number_of(body.source_ton, body.source, words)),
        text=content.text,
        scheduled_ms=timing[0],
        validity_s=timing[1],
    )


# What we deliver


def deliveries_of_report(report: Report, words: LinkWords) -> tuple[DeliverSm, ...]:
    """The receipts for a message that came into a state: one, or one for each part that asked for it."""
    memo = read_memo(report.memo)
    if not memo.parts:  # submit_multi has one id for all; elsewhere each message has its own
        our_id = report.id if memo is OF_OTHERS else report.submission_id
        return (receipt_for(report, memo, our_id, words),)
    ids = [part.id for part in memo.parts if is_asked_by(part.registered_delivery, report.state)]
    return tuple([receipt_for(report, memo, part_id, words) for part_id in ids])


def receipt_for(report: Report, memo: Memo, our_id: int, words: LinkWords) -> DeliverSm:
    """The receipt under an id that the submitter knows: the addresses of the submission, the other way round."""
    known_id = message_id(our_id, words)
    message_state, stat = STATES[report.state]
    source_ton, source_npi, source = memo.destination_address(report.recipient)
    destination_ton, destination_npi, destination = (
        memo.source_address(report.originator) or source_of(report.originator, words) or NOWHERE
    )
    text = write_text(
        id=known_id,
        stat=stat,
        submitted=date_of(made_ms(report.id), words.timezone),
        done=date_of(report.changed_ms, words.timezone),
        error=error_of(report) if report.reason else 0,
        is_delivered=report.state is State.DELIVERED,
    )
    tlvs = write_tlvs(known_id, message_state) if words.takes_tlvs else ()
    if memo.user_reference is not None and words.takes_tlvs:
        tlvs += (number(Tag.USER_MESSAGE_REFERENCE, memo.user_reference & 0xFFFF),)
    return DeliverSm(
        memo.service_type,
        source_ton,
        source_npi,
        source,
        destination_ton,
        destination_npi,
        destination,
        RECEIPT if is_over(report.state) else INTERMEDIATE,
        short_message=in_charset(text, words),
        tlvs=tlvs,
    )


def is_over(state: State) -> bool:
    """Whether it is told as an end: what nobody knows will hardly be known any more."""
    return state in FINAL or state is State.UNKNOWN


def in_charset(text: str, words: LinkWords) -> bytes:
    """The text of a receipt, in what data_coding 0 means; its characters are the same octets in most charsets."""
    if words.charset in (GSM_PACKED, UCS_2):
        return UCS2.encode(text) if words.charset == UCS_2 else packed(text.encode("latin-1", "replace"))
    return text.encode("latin-1", "replace")


def error_of(report: Report) -> int:
    """Our own error code (appendix B): the status that a refusal for this reason would have had."""
    return int(STATUSES[Refusal(report.reason)]) if report.reason in REASONS else 0


def deliveries_of_inbound(inbound: Inbound, words: LinkWords, reference: int) -> tuple[DeliverSm, ...] | Refused:
    """A message from a phone, cut as the link wants it."""
    text = inbound.text
    if inbound.coding is Coding.BINARY:
        octets = on_air(bytes.fromhex(text), b"")
        if octets is None:
            return Refused(Refusal.TEXT_TOO_LONG)
        text = octets.hex()
    pieces = pieces_for(text, inbound.coding, words, reference)
    if isinstance(pieces, Refusal):
        return Refused(pieces)
    source = source_of(inbound.originator, words) or NOWHERE
    destination = source_of(inbound.recipient, words) or NOWHERE
    return tuple(
        DeliverSm(
            words.service_type,
            *source,
            *destination,
            HAS_HEADER if piece.has_header else 0,
            data_coding=coding_of(piece, inbound.coding, words),
            short_message=b"" if piece.is_payload else piece.octets,
            tlvs=tlvs_of(piece, inbound.coding, words),
        )
        for piece in pieces
    )


REASONS: Final = frozenset(Refusal)
NOWHERE: Final = Address(0, 0, "")
