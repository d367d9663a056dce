"""The south half: we are the ESME. Submissions become submit_sm, answers verdicts, deliveries receipts or messages.

Nothing that a carrier says makes these fail."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chappe.core.centre import Accepted, Cancelled, Refusal, Refused, Ticket, Uncertain, Verdict
from chappe.core.model import Coding, Concatenation, Inbound, Priority, Receipt, Report, State, Submission
from chappe.dialects.base import detail_of
from chappe.dialects.smpp.addresses import number_of, source_of
from chappe.dialects.smpp.ids import canonical, readings
from chappe.dialects.smpp.words import MESSAGE_STATES, STATS, Flash, LinkWords, refusal_of
from chappe.smpp.pdu import (
    CancelSm,
    DataSm,
    DeliverSm,
    GenericNack,
    MessageResponse,
    Pdu,
    QuerySm,
    QuerySmResponse,
    Status,
    SubmitSm,
)
from chappe.smpp.receipt import INTERMEDIATE, MESSAGE_TYPE, is_receipt, read_receipt
from chappe.smpp.texts import (
    CHARSETS,
    DISPLAY,
    GSM_PACKED,
    HAS_HEADER,
    UCS_2,
    Content,
    Piece,
    joined,
    octet_pieces,
    pieces_of,
    read,
)
from chappe.smpp.times import absolute_time, relative_time
from chappe.smpp.tlv import Tag, Tlvs, find_text, number
from chappe.sms.segments import TextTooLong

UCS2_CODING: Final = 8
UCS2_FLASH: Final = 0x18
FLASH_CODINGS: Final = {Flash.CLASS: 0x10, Flash.GROUP: 0xF0}


# Submitting


def submissions_of(submission: Submission, words: LinkWords, reference: int) -> tuple[SubmitSm, ...] | Refused:
    """One submit_sm for each segment of a message to one recipient. `reference` tells the parts of this message from
    those of others between the same two numbers."""
    source = source_of(submission.originator, words)
    if source is None:
        return Refused(Refusal.BAD_ORIGINATOR, "a name that SMPP cannot carry")
    if len(submission.recipients) != 1:
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    pieces = pieces_for(submission.text, submission.coding, words, reference)
    if isinstance(pieces, Refusal):
        return Refused(pieces)
    schedule, validity = times_of(submission)
    flag = words.urgent_flag if submission.priority is Priority.URGENT else 0
    return tuple([
        SubmitSm(
            words.service_type,
            source.ton,
            source.npi,
            source.value,
            words.destination_ton,
            words.destination_npi,
            submission.recipients[0],
            HAS_HEADER if piece.has_header else 0,
            words.protocol_id,
            flag,
            schedule,
            validity,
            words.registered_delivery,
            0,
            coding_of(piece, submission.coding, words),
            0,
            b"" if piece.is_payload else piece.octets,
            tlvs_of(piece, submission.coding, words),
        )
        for piece in pieces
    ])  # fmt: skip


def times_of(submission: Submission) -> tuple[str, str]:
    """schedule_delivery_time and validity_period; a relative one would begin now, ours begins with the schedule."""
    scheduled_ms, validity_s = submission.scheduled_ms, submission.validity_s
    if scheduled_ms is None:
        return "", relative_time(validity_s) if validity_s is not None else ""
    expiry = absolute_time(scheduled_ms + validity_s * 1000) if validity_s is not None else ""
    return absolute_time(scheduled_ms), expiry


def pieces_for(text: str, coding: Coding, words: LinkWords, reference: int) -> tuple[Piece, ...] | Refusal:
    """What goes into each PDU of a message."""
    if coding is Coding.BINARY:
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            return Refusal.BAD_REQUEST
        return octet_pieces(octets, reference) if octets else Refusal.EMPTY_TEXT
    if not text:
        return Refusal.EMPTY_TEXT
    try:
        return pieces_of(
            text,
            charset=words.charset,
            long=words.long,
            reference=reference,
            is_wide=words.is_wide,
            languages=words.languages,
        )
    except TextTooLong:
        return Refusal.TEXT_TOO_LONG


def coding_of(piece: Piece, coding: Coding, words: LinkWords) -> int:
    """data_coding (5.2.19)."""
    if coding is Coding.BINARY:
        return words.octets_coding
    if coding is Coding.FLASH and words.flash is not Flash.SUBUNIT:
        return UCS2_FLASH if piece.is_ucs2 else FLASH_CODINGS[words.flash]
    return UCS2_CODING if piece.is_ucs2 else words.text_coding


def tlvs_of(piece: Piece, coding: Coding, words: LinkWords) -> Tlvs:
    tlvs = piece.tlvs
    if piece.is_payload:
        tlvs += ((Tag.MESSAGE_PAYLOAD, piece.octets),)
    if coding is Coding.FLASH and words.flash is Flash.SUBUNIT:
        tlvs += (number(Tag.DESTINATION_SUBUNIT, DISPLAY),)
    return tlvs


# Answers


def verdict_of(answer: Pdu, words: LinkWords, recipient: str = "") -> Verdict:
    """What the answer to one submit_sm means for that segment. One of another kind that is no refusal, which a session
    hands out as an unknown error, is neither a yes nor a no."""
    if answer.status and not (answer.status == Status.UNKNOWN_ERROR and isinstance(answer.body, GenericNack)):
        return refused_by(answer, words)
    if not isinstance(answer.body, MessageResponse):
        return Uncertain("an answer of another kind")
    return Accepted((Ticket(recipient=recipient, reference=canonical(answer.body.message_id)),))


STATUS_TEXTS: Final[dict[int, str]] = {
    int(status): f"0x{status:08x} {status.name.lower().replace('_', ' ')}" for status in Status
}


def refused_by(answer: Pdu, words: LinkWords) -> Refused:
    """A status as a refusal: as operators look it up, in words where the standard or the carrier has some."""
    status = answer.status
    detail = STATUS_TEXTS.get(status) or f"0x{status:08x}"
    own = find_text(getattr(answer.body, "tlvs", ()), Tag.STATUS_TEXT)  # additional_status_info_text (5.3.2.11)
    return Refused(refusal_of(status, words), detail_of(f"{detail}: {own}") if own else detail)


# What carriers deliver


class Unreadable(Struct, frozen=True):
    """What is neither a receipt nor a message: it is answered, so that it does not come again, and told."""

    detail: str


Brought = Receipt | Inbound | Unreadable


def brought_by(body: DeliverSm | DataSm, words: LinkWords) -> Brought:
    """What a deliver_sm or data_sm brings."""
    if is_receipt(body.esm_class, body.tlvs):
        return receipt_in(body, words) or Unreadable("a receipt without an id or a state")
    if words.is_receipt_by_text and isinstance(body, DeliverSm) and body.short_message[:3].lower() == b"id:":
        receipt = receipt_in(body, words)
        if receipt is not None:
            return receipt
    return inbound_of(body, words)


def receipt_of(body: DeliverSm | DataSm, words: LinkWords) -> Receipt | None:
    """The receipt that it brings, if it does."""
    brought = brought_by(body, words)
    return brought if isinstance(brought, Receipt) else None


def content_of(body: DeliverSm | DataSm, words: LinkWords) -> Content:
    content = read(
        body.short_message if isinstance(body, DeliverSm) else b"",
        data_coding=body.data_coding,
        esm_class=body.esm_class,
        tlvs=body.tlvs,
        charset=words.charset,
        is_strict=False,
    )
    assert isinstance(content, Content)
    return content


def receipt_in(body: DeliverSm | DataSm, words: LinkWords) -> Receipt | None:
    """The receipt, if it names a message and a state. What is told on the way is not the end, whatever it is called."""
    found = read_receipt(receipt_text(body, words), body.tlvs)
    state = STATS.get(found.stat)
    if state is None and found.message_state is not None:
        state = MESSAGE_STATES.get(found.message_state)
    if state is None or not (found.receipted_id or found.id):
        return None
    reference, spellings = readings(found.receipted_id, found.id, words.receipt_ids)
    return Receipt(
        reference=reference,
        state=State.SENT if body.esm_class & MESSAGE_TYPE == INTERMEDIATE else state,
        recipient=number_of(body.source_ton, body.source, words),
        detail=receipt_detail(found.stat, found.error, found.network_error),
        spellings=spellings,
    )


def receipt_text(body: DeliverSm | DataSm, words: LinkWords) -> str:
    """The text of a receipt, one character an octet even where data_coding 0 means GSM: message centres do not convert
    their ids, and `_` of ASCII is another character there."""
    if isinstance(body, DeliverSm) and body.short_message and body.data_coding in PLAIN and words.charset in UNPACKED:
        return body.short_message.decode("latin-1")
    content = content_of(body, words)
    return content.text if content.charset == UCS_2 else content.octets.decode("latin-1")


PLAIN: Final = frozenset({0, 1, 3, 4, 0xF1})  # data_coding of what needs no look at its header
UNPACKED: Final = frozenset(CHARSETS) - {GSM_PACKED, UCS_2}


def receipt_detail(stat: str, error: str, network_error: int | None) -> str:
    """The carrier's own words."""
    if not network_error and (error == "000" or not error.strip("0")):
        return stat if stat.isalnum() else detail_of(stat)
    return detail_of(f"{stat} {error if error.strip('0') else network_error}")


def inbound_of(body: DeliverSm | DataSm, words: LinkWords) -> Inbound:
    """The message that it brings."""
    content = content_of(body, words)
    place = content.concatenation
    is_part = place is not None and place.total > 1
    text, coding = heard_of(content)
    return Inbound(
        reference="",
        originator=number_of(body.source_ton, body.source, words),
        recipient=number_of(body.destination_ton, body.destination, words),
        text=text,
        concatenation=Concatenation(reference=place.reference, total=place.total, position=place.index)
        if place is not None and is_part
        else None,
        coding=coding,
        content=f"{content.charset} {content.octets.hex()}" if is_part else "",
    )


def heard_of(content: Content) -> tuple[str, Coding]:
    """What arrived, as our records have it."""
    return (content.text, Coding.TEXT) if content.is_text else (content.octets.hex().upper(), Coding.BINARY)


def heard_together(contents: Sequence[str]) -> tuple[str, Coding]:
    """The same of segments that follow each other, as `inbound_of` gave the content of each: they are joined before
    they are read, since phones cut inside a character."""
    read_again = [each.partition(" ") for each in contents]
    return heard_of(joined([Content(bytes.fromhex(octets), charset) for charset, _, octets in read_again]))


# Questions about what was submitted


def query_of(reference: str, originator: str, words: LinkWords) -> QuerySm:
    """4.8.1: the id as it was given, and the source of the message."""
    source = source_of(originator, words)
    return QuerySm(reference, *source) if source is not None else QuerySm(reference)


def report_of(answer: Pdu, reference: str, words: LinkWords, recipient: str = "") -> Report | Refused | Uncertain:
    """What the answer to query_sm says."""
    if answer.status:
        return refused_by(answer, words)
    body = answer.body
    if not isinstance(body, QuerySmResponse):
        return Uncertain("an answer of another kind")
    state = MESSAGE_STATES.get(body.message_state)
    if state is None:
        return Uncertain(f"message_state {body.message_state}")
    return Report(
        id=0,
        submission_id=0,
        reference=reference,
        originator="",
        recipient=recipient,
        state=state,
        segments=1,
        price_micros=0,
    )


def cancel_of(reference: str, originator: str, recipient: str, words: LinkWords) -> CancelSm:
    """4.9.1: the id as it was given, and both addresses of the message, where they are known."""
    source = source_of(originator, words) if originator else None
    destination = (words.destination_ton, words.destination_npi, recipient) if recipient else (0, 0, "")
    return CancelSm(words.service_type, reference, *(source or (0, 0, "")), *destination)


def cancelled_of(answer: Pdu, words: LinkWords) -> Cancelled | Refused:
    """What the answer to cancel_sm says."""
    if answer.status:
        return refused_by(answer, words)
    return Cancelled(1)
