"""SMPP as a dialect: what PDUs mean as records, and records as PDUs; then both halves against each other."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.centre import (
    REMEDIES,
    Accepted,
    Cancel,
    Cancelled,
    ListMessages,
    Query,
    Refusal,
    Refused,
    Replace,
    Ticket,
    Uncertain,
)
from chappe.core.ids import ID_MAX, first_id
from chappe.core.lifecycle import FINAL
from chappe.core.model import (
    Account,
    Coding,
    Concatenation,
    Inbound,
    Priority,
    Receipt,
    Report,
    Service,
    SmppAccess,
    State,
    Submission,
)
from chappe.dialects.base import run
from chappe.dialects.smpp import SMPP
from chappe.dialects.smpp.ids import canonical, readings, rule_of
from chappe.dialects.smpp.memo import Memo, Part, is_asked, read_memo, write_memo
from chappe.dialects.smpp.north import (
    PartOfMessage,
    Submitted,
    cancel_call,
    deliveries_of_inbound,
    deliveries_of_report,
    message_id,
    multi_response,
    query_call,
    query_response,
    read_message_id,
    replace_call,
    submission_of,
    submission_of_parts,
)
from chappe.dialects.smpp.south import (
    Unreadable,
    brought_by,
    cancel_of,
    cancelled_of,
    heard_together,
    inbound_of,
    query_of,
    receipt_of,
    report_of,
    submissions_of,
    verdict_of,
)
from chappe.dialects.smpp.words import (
    MESSAGE_STATES,
    OPTIONS,
    REFUSALS,
    STATES,
    STATS,
    STATUSES,
    Flash,
    Ids,
    LinkWords,
    OptionError,
    status_of,
    words_of_account,
    words_of_options,
)
from chappe.smpp.pdu import (
    Address,
    CancelSm,
    CancelSmResponse,
    DataSm,
    DeliverSm,
    GenericNack,
    Pdu,
    QuerySm,
    QuerySmResponse,
    ReplaceSm,
    Status,
    SubmitMulti,
    SubmitMultiResponse,
    SubmitSm,
    SubmitSmResponse,
    Unsuccessful,
    encode_body,
)
from chappe.smpp.texts import CHARSETS, LONG, is_ambiguous
from chappe.smpp.tlv import Tag, number, text
from dialects.centres import NOW_MS, upstream_of
from dialects.fidelity import SUBMISSION
from smpp.strategies import bodies

FROM, TO = "447700900001", "447700900002"
WORDS = LinkWords()
ACCOUNT = Account(id=1, name="alice")
OUR_ID = first_id(NOW_MS)
REPORT = Report(
    id=OUR_ID,
    submission_id=OUR_ID,
    reference="",
    originator=FROM,
    recipient=TO,
    state=State.DELIVERED,
    segments=1,
    price_micros=0,
    changed_ms=NOW_MS + 60_000,
)


def asked(written: str = "Hello", **changes: Any) -> Submission:
    return msgspec.structs.replace(Submission(recipients=(TO,), text=written, originator=FROM), **changes)


def submitted(**changes: Any) -> SubmitSm:
    body = SubmitSm(
        source_ton=1,
        source_npi=1,
        source=FROM,
        destination_ton=1,
        destination_npi=1,
        destination=TO,
        short_message=b"a",
    )
    return msgspec.structs.replace(body, **changes)


def read(body: SubmitSm | SubmitMulti | DataSm, words: LinkWords = WORDS) -> Submission:
    found = submission_of(body, words, NOW_MS)
    assert isinstance(found, Submitted), found
    return found.submission


def sent(submission: Submission, words: LinkWords = WORDS, reference: int = 0) -> SubmitSm:
    found = submissions_of(submission, words, reference)
    assert isinstance(found, tuple), found
    (body,) = found
    return body


# The tables


def test_every_refusal_has_a_status() -> None:
    """The closed list of refusals is told in statuses, each of which is read as something that remedies the same."""
    assert STATUSES.keys() == set(Refusal)
    assert {refusal: REFUSALS[status] for refusal, status in STATUSES.items() if REFUSALS[status] is not refusal} == {
        Refusal.EMPTY_TEXT: Refusal.TEXT_TOO_LONG,
        Refusal.OVERLOADED: Refusal.THROTTLED,
        Refusal.UNREACHABLE: Refusal.INTERNAL,
        Refusal.NO_ROUTE: Refusal.BAD_RECIPIENT,
        Refusal.NO_FUNDS: Refusal.FORBIDDEN,
        Refusal.BAD_REQUEST: Refusal.FORBIDDEN,
        Refusal.UNSUPPORTED: Refusal.FORBIDDEN,
        Refusal.BLOCKED: Refusal.FORBIDDEN,
        Refusal.DUPLICATE: Refusal.FORBIDDEN,
    }


def test_every_status_is_read() -> None:
    """No status of the standard is left to the row for unknown ones, but those of broadcasts, which we never send."""
    unread = {status.name for status in Status if status not in REFUSALS}
    assert unread == {"OK"} | {name for name in unread if "BROADCAST" in name or "SUBUNIT" in name}


@pytest.mark.parametrize("status", [Status.THROTTLED, Status.QUEUE_FULL])
def test_a_throttled_link_slows_down_and_sends_again(status: Status) -> None:
    """0x58 and 0x14 are about the link, and the message is tried again there."""
    remedy = REMEDIES[REFUSALS[status]]
    assert (remedy.may_retry, remedy.slows_link) == (True, True)


def test_every_state_is_told_and_read() -> None:
    """Each state has a message_state and a word; what is final comes back as it was, but for what somebody deleted."""
    assert STATES.keys() == set(State)
    for state, (message_state, stat) in STATES.items():
        expected = state if state in FINAL or state is State.UNKNOWN else State.SENT
        expected = State.UNDELIVERABLE if state is State.CANCELLED else expected
        assert MESSAGE_STATES[message_state] is STATS[stat] is expected


@pytest.mark.parametrize(
    "refusal, request_kind, status",
    [
        (Refusal.TOO_LATE, CancelSm, Status.CANCEL_FAILED),
        (Refusal.TOO_LATE, ReplaceSm, Status.REPLACE_FAILED),
        (Refusal.NOT_FOUND, QuerySm, Status.INVALID_MESSAGE_ID),
        (Refusal.NOT_FOUND, CancelSm, Status.INVALID_MESSAGE_ID),
        (Refusal.THROTTLED, ReplaceSm, Status.THROTTLED),
        (Refusal.NO_FUNDS, SubmitSm, Status.SUBMIT_FAILED),
        (Refusal.TOO_MANY_RECIPIENTS, SubmitMulti, Status.INVALID_DESTINATION_COUNT),
    ],
)
def test_a_refusal_is_told_as_its_request_has_it(refusal: Refusal, request_kind: Any, status: Status) -> None:
    """Requests about messages have statuses of their own."""
    assert status_of(refusal, request_kind) is status


# How a link speaks


def test_options_say_how_a_carrier_speaks() -> None:
    """Each option reaches the words of the link, statuses included; what is about binds is left to others."""
    options = {
        "charset": "latin-1",
        "long": "sar",
        "references": "16",
        "languages": "tr, es",
        "text_coding": "0x03",
        "flash": "group",
        "receipt_ids": "hex-to-decimal",
        "receipts": "text",
        "source_ton": "5",
        "service_type": "CMT",
        "0x45": "bad_recipient",
        "binds": "3",
    }
    assert words_of_options(options) == LinkWords(
        charset="latin-1",
        long="sar",
        is_wide=True,
        languages=("tr", "es"),
        text_coding=3,
        flash=Flash.GROUP,
        receipt_ids=Ids.HEX_TO_DECIMAL,
        is_receipt_by_text=True,
        source_ton=5,
        service_type="CMT",
        refusals={0x45: Refusal.BAD_RECIPIENT},
    )
    assert words_of_options({}) == LinkWords()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"charset": "ebcdic"}, "charset = 'ebcdic': one of gsm, "),
        ({"long": "yes"}, "long = 'yes': one of udh, sar, payload"),
        ({"source_ton": "7"}, "source_ton = '7': a number up to 6"),
        ({"text_coding": "x"}, "text_coding = 'x': a number up to 255"),
        ({"0x45": "no"}, "0x45 = 'no': one of unauthorised, "),
        ({"0xzz": "blocked"}, "0xzz = '0xzz': a number up to 4294967295"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, str], words: str) -> None:
    """A value that an option cannot have is refused with what it may be."""
    with pytest.raises(OptionError) as caught:
        words_of_options(options)
    assert str(caught.value).startswith(words)


def test_settings_say_how_a_customer_speaks() -> None:
    """Charset, ids, zone and country are the account's."""
    account = Account(
        id=1,
        name="alice",
        country="44",
        timezone="Europe/Rome",
        smpp=SmppAccess(charset="latin-1", hex_ids=True),
    )
    assert words_of_account(account, 0x33) == LinkWords(
        charset="latin-1",
        country="44",
        timezone="Europe/Rome",
        hex_ids=True,
        interface_version=0x33,
    )
    assert words_of_account(ACCOUNT) == LinkWords()


# South: submitting

SENT: list[tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = [
    # options, what is asked, what the submit_sm says
    ({}, {}, {"source_ton": 1, "source_npi": 1, "source": FROM, "destination": TO, "short_message": b"Hello"}),
    ({}, {}, {"esm_class": 0, "registered_delivery": 1, "priority_flag": 0, "data_coding": 0, "tlvs": ()}),
    ({}, {"originator": "ACME"}, {"source_ton": 5, "source_npi": 0, "source": "ACME"}),
    ({}, {"originator": "Café"}, {"source_ton": 5, "source": "Café"}),
    ({"alphanumeric_charset": "gsm"}, {"originator": "Café"}, {"source_ton": 5, "source": "Caf\x05"}),
    ({}, {"originator": "12345"}, {"source_ton": 3, "source_npi": 0, "source": "12345"}),
    ({"short_code_ton": "6", "short_code_npi": "9"}, {"originator": "12345"}, {"source_ton": 6, "source_npi": 9}),
    ({"source_ton": "0", "source_npi": "0"}, {}, {"source_ton": 0, "source_npi": 0}),
    ({"destination_ton": "2", "destination_npi": "8"}, {}, {"destination_ton": 2, "destination_npi": 8}),
    ({}, {"originator": ""}, {"source_ton": 0, "source_npi": 0, "source": ""}),
    ({}, {"text": "Ж"}, {"data_coding": 8, "short_message": b"\x04\x16"}),
    ({}, {"coding": Coding.FLASH}, {"data_coding": 0x10}),
    ({"flash": "group"}, {"coding": Coding.FLASH}, {"data_coding": 0xF0}),
    ({"flash": "group"}, {"coding": Coding.FLASH, "text": "Ж"}, {"data_coding": 0x18}),
    (
        {"flash": "subunit"},
        {"coding": Coding.FLASH},
        {"data_coding": 0, "tlvs": (number(Tag.DESTINATION_SUBUNIT, 1),)},
    ),
    ({}, {"coding": Coding.BINARY, "text": "FF00"}, {"data_coding": 4, "esm_class": 0, "short_message": b"\xff\0"}),
    (
        {"octets_coding": "0xF5"},
        {"coding": Coding.BINARY, "text": "0605040B8423F001"},
        {"data_coding": 0xF5, "esm_class": 0x40, "short_message": bytes.fromhex("0605040B8423F001")},
    ),
    ({"charset": "latin-1", "text_coding": "3"}, {"text": "à"}, {"data_coding": 3, "short_message": b"\xe0"}),
    ({}, {"priority": Priority.URGENT}, {"priority_flag": 1}),
    ({"urgent_flag": "3"}, {"priority": Priority.URGENT}, {"priority_flag": 3}),
    ({"urgent_flag": "3"}, {"priority": Priority.BULK}, {"priority_flag": 0}),
    ({}, {"validity_s": 3600}, {"validity_period": "000000010000000R"}),
    ({}, {"scheduled_ms": NOW_MS}, {"schedule_delivery_time": "261121162000000+", "validity_period": ""}),
    ({}, {"scheduled_ms": NOW_MS, "validity_s": 3600}, {"validity_period": "261121172000000+"}),
    ({"registered_delivery": "17", "service_type": "CMT"}, {}, {"registered_delivery": 17, "service_type": "CMT"}),
    ({"protocol_id": "0x41"}, {}, {"protocol_id": 0x41}),
    ({"long": "payload"}, {"text": "a" * 161}, {"short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b"a" * 161),)}),
]


@pytest.mark.parametrize("options, changes, fields", SENT)
def test_a_submission_becomes_a_submit_sm(
    options: dict[str, str], changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Originators, codings, times and options stand in the fields that the standard has for them."""
    body = sent(asked(**changes), words_of_options(options))
    assert {name: getattr(body, name) for name in fields} == fields


def test_a_long_message_becomes_one_submit_sm_for_each_segment() -> None:
    """Every segment has its header, its place, and asks for a receipt of its own."""
    found = submissions_of(asked("a" * 161), WORDS, 0x2A)
    assert isinstance(found, tuple)
    assert [body.short_message[:6].hex() for body in found] == ["0500032a0201", "0500032a0202"]
    assert [(body.esm_class, body.registered_delivery) for body in found] == [(0x40, 1)] * 2


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"originator": "Ω"}, Refusal.BAD_ORIGINATOR),
        ({"text": "a" * 153 * 256}, Refusal.TEXT_TOO_LONG),
        ({"text": ""}, Refusal.EMPTY_TEXT),
        ({"text": "", "coding": Coding.BINARY}, Refusal.EMPTY_TEXT),
        ({"text": "no", "coding": Coding.BINARY}, Refusal.BAD_REQUEST),
        ({"recipients": (TO, FROM)}, Refusal.TOO_MANY_RECIPIENTS),
    ],
)
def test_what_cannot_be_sent_is_refused(changes: dict[str, Any], reason: Refusal) -> None:
    """What no submit_sm can say never leaves."""
    refused = submissions_of(asked(**changes), WORDS, 0)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


ANSWERS = [
    # the answer, what it means
    (Pdu(SubmitSmResponse("0A1b"), 1), Accepted((Ticket(recipient=TO, reference="a1b"),))),
    (Pdu(SubmitSmResponse(""), 1), Accepted((Ticket(recipient=TO, reference=""),))),
    (Pdu(SubmitSmResponse(), 1, 0x0B), Refused(Refusal.BAD_RECIPIENT, "0x0000000b invalid destination")),
    (Pdu(SubmitSmResponse(), 1, 0x45), Refused(Refusal.NO_FUNDS, "0x00000045 submit failed")),
    (Pdu(SubmitSmResponse(), 1, 0x58), Refused(Refusal.THROTTLED, "0x00000058 throttled")),
    (Pdu(SubmitSmResponse(), 1, 0x410), Refused(Refusal.FORBIDDEN, "0x00000410")),
    (
        Pdu(SubmitSmResponse("", (text(Tag.STATUS_TEXT, "no\ncredit"),)), 1, 0x45),
        Refused(Refusal.NO_FUNDS, "0x00000045 submit failed: no credit"),
    ),
    (Pdu(GenericNack(), 1, 0x03), Refused(Refusal.UNSUPPORTED, "0x00000003 invalid command id")),
    (Pdu(GenericNack(), 1), Uncertain("an answer of another kind")),
]


@pytest.mark.parametrize("answer, verdict", ANSWERS)
def test_an_answer_is_a_verdict(answer: Pdu, verdict: object) -> None:
    """A status is a refusal, by the carrier's own table where it has a row; an id is kept in its one spelling."""
    assert verdict_of(answer, LinkWords(refusals={0x45: Refusal.NO_FUNDS}), TO) == verdict


# South: what carriers deliver

IDS = [
    # as it is written, as it is kept
    ("0000", "0"),
    ("00123", "123"),
    ("0A1B", "a1b"),
    ("a1B", "a1b"),
    (" 7 ", "7"),
    ("4F1C-AA", "4f1c-aa"),
    ("xYz", "xYz"),
    ("", ""),
    ("²", "²"),
]


@pytest.mark.parametrize("written, kept", IDS)
def test_an_id_has_one_spelling(written: str, kept: str) -> None:
    """Zeros before it and its case do not make another id, unless it has both cases."""
    assert canonical(written) == kept


READINGS = [
    # ids of a receipt, rule, reference, spellings
    (("26", ""), Ids.LEARN, "26", ("1a", "38")),
    (("1A", ""), Ids.LEARN, "1a", ("26",)),
    (("x-1", ""), Ids.LEARN, "x-1", ()),
    (("7", ""), Ids.LEARN, "7", ()),
    (("26", ""), Ids.SAME, "26", ()),
    (("26", ""), Ids.HEX_TO_DECIMAL, "1a", ("26",)),
    (("1a", ""), Ids.HEX_TO_DECIMAL, "1a", ()),
    (("1a", ""), Ids.DECIMAL_TO_HEX, "26", ("1a",)),
    (("x-1", ""), Ids.DECIMAL_TO_HEX, "x-1", ()),
    (("", "26"), Ids.SAME, "26", ()),
    (("1A", "26"), Ids.SAME, "1a", ("26", "38")),
    (("26", "026"), Ids.SAME, "26", ("1a", "38")),
]


@pytest.mark.parametrize("written, rule, reference, spellings", READINGS)
def test_a_receipts_id_is_read_under_a_rule(
    written: tuple[str, str], rule: Ids, reference: str, spellings: tuple[str, ...]
) -> None:
    """A declared rule turns an id into what was kept; without one, the other readings go along."""
    assert readings(*written, rule) == (reference, spellings)


@pytest.mark.parametrize(
    "written, matched, rule",
    [
        ("26", "26", Ids.SAME),
        ("26", "1a", Ids.HEX_TO_DECIMAL),
        ("1A", "26", Ids.DECIMAL_TO_HEX),
        ("7", "7", None),  # either way
        ("x-1", "y", None),
    ],
)
def test_what_matched_shows_the_rule(written: str, matched: str, rule: Ids | None) -> None:
    """The spelling that found the message tells how the carrier writes ids, unless all of them look alike."""
    assert rule_of(written, matched) is rule


def told(**changes: Any) -> DeliverSm:
    body = DeliverSm(
        source_ton=1,
        source_npi=1,
        source=TO,
        destination_ton=1,
        destination_npi=1,
        destination=FROM,
        esm_class=0x04,
        short_message=b"id:x-1 sub:001 dlvrd:001 submit date:2611211620 done date:2611211621 stat:DELIVRD err:000",
    )
    return msgspec.structs.replace(body, **changes)


ID_AND_STATE = (text(Tag.RECEIPTED_MESSAGE_ID, "x-1"), number(Tag.MESSAGE_STATE, 2))
BROUGHT = [
    # what the deliver_sm says, the receipt's state and the carrier's own words
    ({}, State.DELIVERED, "DELIVRD"),
    ({"short_message": b"id:x-1 stat:UNDELIV err:034"}, State.UNDELIVERABLE, "UNDELIV 034"),
    ({"short_message": b"ID:x-1 STAT:Rejected"}, State.REJECTED, "REJECTED"),
    ({"short_message": b"id:x-1 stat:ACCEPTD"}, State.SENT, "ACCEPTD"),
    ({"short_message": b"id:x-1 stat:DELETED"}, State.UNDELIVERABLE, "DELETED"),
    ({"esm_class": 0x20, "short_message": b"id:x-1 stat:UNDELIV err:254"}, State.SENT, "UNDELIV 254"),
    ({"esm_class": 0x00, "short_message": b"", "tlvs": ID_AND_STATE}, State.DELIVERED, ""),
    ({"short_message": b"stat:ODD", "tlvs": ID_AND_STATE}, State.DELIVERED, "ODD"),
    (
        {
            "short_message": b"",
            "tlvs": (
                text(Tag.RECEIPTED_MESSAGE_ID, "x-1"),
                number(Tag.MESSAGE_STATE, 5),
                (Tag.NETWORK_ERROR_CODE, b"\3\0\x22"),
            ),
        },
        State.UNDELIVERABLE,
        " 34",
    ),
    (
        {"short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b"id:x-1 stat:EXPIRED"),)},
        State.EXPIRED,
        "EXPIRED",
    ),
    ({"data_coding": 8, "short_message": "id:x-1 stat:EXPIRED".encode("utf-16-be")}, State.EXPIRED, "EXPIRED"),
    ({"data_coding": 4}, State.DELIVERED, "DELIVRD"),
]


@pytest.mark.parametrize("changes, state, detail", BROUGHT)
def test_a_delivery_is_a_receipt(changes: dict[str, Any], state: State, detail: str) -> None:
    """Flags, text and TLVs in any mixture name the message and its state; on the way is never the end."""
    assert brought_by(told(**changes), WORDS) == Receipt(
        reference="x-1", state=state, recipient=TO, detail=detail.strip()
    )


def test_an_id_of_gsm_is_read_as_it_was_written() -> None:
    """Carriers do not convert their ids, though `_` of ASCII is another character of GSM."""
    receipt = receipt_of(told(short_message=b"id:a_1 stat:DELIVRD"), WORDS)
    assert receipt is not None
    assert receipt.reference == "a_1"


@pytest.mark.parametrize("short_message", [b"", b"id:x-1", b"stat:DELIVRD", b"id:x-1 stat:ODD", b"Hello"])
def test_a_receipt_that_says_nothing_is_unreadable(short_message: bytes) -> None:
    """What is flagged as a receipt never becomes a message, though it names none."""
    assert brought_by(told(short_message=short_message), WORDS) == Unreadable("a receipt without an id or a state")


def test_an_unflagged_text_is_a_receipt_only_where_the_option_says_so() -> None:
    """A phone may write what looks like a receipt."""
    body = told(esm_class=0)
    assert isinstance(brought_by(body, WORDS), Inbound)
    assert isinstance(brought_by(body, LinkWords(is_receipt_by_text=True)), Receipt)
    assert isinstance(brought_by(told(esm_class=0, short_message=b"id:"), LinkWords(is_receipt_by_text=True)), Inbound)


INBOUND: list[tuple[LinkWords, dict[str, Any], dict[str, Any]]] = [
    # words, what the deliver_sm says, what is in the message
    (WORDS, {"short_message": b"Hi\x00"}, {"originator": TO, "recipient": FROM, "text": "Hi@"}),
    (WORDS, {"source": "+447700900002"}, {"originator": TO}),
    (WORDS, {"source": "00447700900002", "source_ton": 0}, {"originator": TO}),
    (LinkWords(country="44"), {"source": "07700900002", "source_ton": 2}, {"originator": TO}),
    (LinkWords(country="39"), {"source": "0612345678", "source_ton": 2}, {"originator": "390612345678"}),
    (LinkWords(country="44"), {"source": TO, "source_ton": 0}, {"originator": TO}),
    (WORDS, {"source": "ACME", "source_ton": 5}, {"originator": "ACME"}),
    (LinkWords(alphanumeric_charset="gsm"), {"source": "Caf\x05", "source_ton": 5}, {"originator": "Café"}),
    (WORDS, {"destination": "12345", "destination_ton": 3}, {"recipient": "12345"}),
    (WORDS, {"data_coding": 8, "short_message": b"\x04\x16"}, {"text": "Ж"}),
    (WORDS, {"data_coding": 4, "short_message": b"\x01\xff"}, {"text": "01FF", "coding": Coding.BINARY}),
    (
        WORDS,
        {"esm_class": 0x40, "short_message": bytes.fromhex("0500032A0201") + b"Hi"},
        {"text": "Hi", "concatenation": Concatenation(reference=0x2A, total=2, position=1)},
    ),
    (
        WORDS,
        {"tlvs": (number(Tag.SAR_REFERENCE, 300), number(Tag.SAR_TOTAL, 2), number(Tag.SAR_POSITION, 2))},
        {"concatenation": Concatenation(reference=300, total=2, position=2)},
    ),
    (
        WORDS,
        {"tlvs": (number(Tag.SAR_REFERENCE, 300), number(Tag.SAR_TOTAL, 1), number(Tag.SAR_POSITION, 1))},
        {"concatenation": None},
    ),
    (WORDS, {"short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b"Hi"),)}, {"text": "Hi"}),
]


@pytest.mark.parametrize("words, changes, fields", INBOUND)
def test_a_delivery_is_a_message(words: LinkWords, changes: dict[str, Any], fields: dict[str, Any]) -> None:
    """Numbers, texts, octets and places of long messages are read as the link has them."""
    inbound = brought_by(told(**{"esm_class": 0, "short_message": b"Hi"} | changes), words)
    assert isinstance(inbound, Inbound)
    assert {name: getattr(inbound, name) for name in fields} == fields


def test_a_data_sm_brings_the_same() -> None:
    """A receipt or message in a data_sm is read from its parameters."""
    body = DataSm(source_ton=1, source=TO, esm_class=0x04, tlvs=ID_AND_STATE)
    assert receipt_of(body, WORDS) == Receipt(reference="x-1", state=State.DELIVERED, recipient=TO)
    assert inbound_of(DataSm(source=TO, tlvs=((Tag.MESSAGE_PAYLOAD, b"Hi"),)), WORDS).text == "Hi"


# South: questions


def test_a_message_is_asked_about() -> None:
    """query_sm names the id and the source; its answer is a report, a refusal, or nothing to trust."""
    assert query_of("x-1", FROM, WORDS) == QuerySm("x-1", 1, 1, FROM)
    report = report_of(Pdu(QuerySmResponse("x-1", "", 2), 1), "x-1", WORDS, TO)
    assert isinstance(report, Report)
    assert (report.reference, report.state, report.recipient) == ("x-1", State.DELIVERED, TO)
    assert report_of(Pdu(QuerySmResponse(), 1, 0x67), "x-1", WORDS) == Refused(
        Refusal.NOT_FOUND, "0x00000067 query failed"
    )
    assert report_of(Pdu(QuerySmResponse("x-1", "", 77), 1), "x-1", WORDS) == Uncertain("message_state 77")
    assert isinstance(report_of(Pdu(GenericNack(), 1), "x-1", WORDS), Uncertain)


def test_a_message_is_taken_back() -> None:
    """cancel_sm names the id and the addresses; its answer is yes or a refusal."""
    assert cancel_of("x-1", FROM, TO, WORDS) == CancelSm("", "x-1", 1, 1, FROM, 1, 1, TO)
    assert cancel_of("x-1", "", "", WORDS) == CancelSm("", "x-1")
    assert cancelled_of(Pdu(CancelSmResponse(), 1), WORDS) == Cancelled(1)
    assert cancelled_of(Pdu(CancelSmResponse(), 1, 0x11), WORDS) == Refused(
        Refusal.TOO_LATE, "0x00000011 cancel failed"
    )


# North: submitting

READ: list[tuple[LinkWords, dict[str, Any], dict[str, Any]]] = [
    # words, what the submit_sm says, what is in the submission
    (WORDS, {"short_message": b"\x00Hi"}, {"recipients": (TO,), "originator": FROM, "text": "@Hi"}),
    (LinkWords(charset="latin-1"), {"short_message": b"\xe9@"}, {"text": "é@"}),
    (WORDS, {"data_coding": 8, "short_message": b"\x04\x16"}, {"text": "Ж", "coding": Coding.TEXT}),
    (WORDS, {"data_coding": 0x10}, {"coding": Coding.FLASH}),
    (WORDS, {"data_coding": 4, "short_message": b"\xff\x01"}, {"text": "FF01", "coding": Coding.BINARY}),
    (WORDS, {"data_coding": 4, "short_message": b"\0a"}, {"text": "0061"}),
    (
        WORDS,
        {"data_coding": 4, "short_message": b"\2\x70\0a"},
        {"text": "0002700061"},
    ),  # no header: it has an empty one
    (
        WORDS,
        {"data_coding": 4, "esm_class": 0x40, "short_message": bytes.fromhex("0605040B8423F001")},
        {"text": "0605040B8423F001", "coding": Coding.BINARY},
    ),
    (WORDS, {"destination": "+447700900002"}, {"recipients": (TO,)}),
    (WORDS, {"destination": "00447700900002", "destination_ton": 0}, {"recipients": (TO,)}),
    (LinkWords(country="44"), {"destination": "07700900002", "destination_ton": 2}, {"recipients": (TO,)}),
    (LinkWords(country="44"), {"destination": "07700900002", "destination_ton": 0}, {"recipients": (TO,)}),
    (WORDS, {"source": "ACME", "source_ton": 5, "source_npi": 0}, {"originator": "ACME"}),
    (WORDS, {"source": "", "source_ton": 0, "source_npi": 0}, {"originator": ""}),
    (WORDS, {"priority_flag": 0}, {"priority": None}),
    (WORDS, {"priority_flag": 1}, {"priority": Priority.URGENT}),
    (WORDS, {"priority_flag": 3}, {"priority": Priority.URGENT}),
    (WORDS, {"registered_delivery": 0}, {"wants_callbacks": False, "memo": "0.1.1.1.1"}),
    (WORDS, {"registered_delivery": 1}, {"wants_callbacks": True, "memo": "1.1.1.1.1"}),
    (WORDS, {"registered_delivery": 2}, {"wants_callbacks": True}),
    (WORDS, {"registered_delivery": 0x10}, {"wants_callbacks": True}),
    (WORDS, {"registered_delivery": 0x04}, {"wants_callbacks": False}),
    (WORDS, {"validity_period": "000000010000000R"}, {"validity_s": 3600, "scheduled_ms": None}),
    (WORDS, {"validity_period": "261121172000000+"}, {"validity_s": 3600}),
    (WORDS, {"schedule_delivery_time": "261121172000000+"}, {"scheduled_ms": NOW_MS + 3_600_000}),
    (WORDS, {"schedule_delivery_time": "000000010000000R"}, {"scheduled_ms": NOW_MS + 3_600_000}),
    (WORDS, {"schedule_delivery_time": "201121172000000+"}, {"scheduled_ms": None}),  # the past is now
    (
        WORDS,
        {"schedule_delivery_time": "000000010000000R", "validity_period": "000000030000000R"},
        {"scheduled_ms": NOW_MS + 3_600_000, "validity_s": 7200},
    ),
    (WORDS, {"esm_class": 0x03}, {"text": "a"}),
    (WORDS, {"esm_class": 0x80}, {"text": "a"}),
    (WORDS, {"short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b"a" * 1000),)}, {"text": "a" * 1000}),
]


@pytest.mark.parametrize("words, changes, fields", READ)
def test_a_submit_sm_is_a_submission(words: LinkWords, changes: dict[str, Any], fields: dict[str, Any]) -> None:
    """Each field of 4.4.1 reaches the submission as the standard and the account have it."""
    submission = read(submitted(**changes), words)
    assert {name: getattr(submission, name) for name in fields} == fields


SAR = (number(Tag.SAR_REFERENCE, 1), number(Tag.SAR_TOTAL, 2), number(Tag.SAR_POSITION, 1))
FAULTS: list[tuple[dict[str, Any], Status]] = [
    ({"source_ton": 7}, Status.INVALID_SOURCE_TON),
    ({"source_npi": 2}, Status.INVALID_SOURCE_NPI),
    ({"destination_ton": 7}, Status.INVALID_DESTINATION_TON),
    ({"destination_ton": 5}, Status.INVALID_DESTINATION_TON),
    ({"destination_npi": 7}, Status.INVALID_DESTINATION_NPI),
    ({"destination": ""}, Status.INVALID_DESTINATION),
    ({"destination": "ACME"}, Status.INVALID_DESTINATION),
    ({"destination": "123"}, Status.INVALID_DESTINATION),
    ({"esm_class": 0x02}, Status.INVALID_ESM_CLASS),
    ({"esm_class": 0x04}, Status.INVALID_ESM_CLASS),
    ({"esm_class": 0x08}, Status.INVALID_ESM_CLASS),
    ({"esm_class": 0x40, "short_message": b"\x05\x00"}, Status.INVALID_ESM_CLASS),
    ({"priority_flag": 4}, Status.INVALID_PRIORITY),
    ({"registered_delivery": 0x20}, Status.INVALID_REGISTERED_DELIVERY),
    ({"replace_if_present": 1}, Status.INVALID_SUBMIT_WITH_REPLACE),
    ({"replace_if_present": 2}, Status.INVALID_REPLACE_FLAG),
    ({"default_message_id": 1}, Status.INVALID_DEFAULT_MESSAGE),
    ({"protocol_id": 0x40}, Status.SUBMIT_FAILED),
    ({"data_coding": 0x0B}, Status.INVALID_DATA_CODING),
    ({"short_message": b""}, Status.INVALID_MESSAGE_LENGTH),
    ({"short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b""),)}, Status.INVALID_MESSAGE_LENGTH),
    ({"tlvs": ((Tag.MESSAGE_PAYLOAD, b"a"),)}, Status.PARAMETER_NOT_ALLOWED),
    (
        {"data_coding": 4, "short_message": b"", "tlvs": ((Tag.MESSAGE_PAYLOAD, b"a" * 65_000),)},
        Status.INVALID_MESSAGE_LENGTH,
    ),
    ({"schedule_delivery_time": "soon"}, Status.INVALID_SCHEDULE),
    ({"schedule_delivery_time": "020000000000000R"}, Status.INVALID_SCHEDULE),
    ({"validity_period": "261121162000000"}, Status.INVALID_VALIDITY),
    ({"validity_period": "201121172000000+"}, Status.INVALID_VALIDITY),
    (
        {"schedule_delivery_time": "000000030000000R", "validity_period": "000000010000000R"},
        Status.INVALID_VALIDITY,
    ),
]


@pytest.mark.parametrize("changes, status", FAULTS)
def test_what_is_wrong_has_its_status(changes: dict[str, Any], status: Status) -> None:
    """Each field that cannot be served is refused with the status that names it."""
    assert submission_of(submitted(**changes), WORDS, NOW_MS) is status


def test_a_data_sm_is_a_submission() -> None:
    """4.7.1: the message stands in its payload, and it may live for so many seconds."""
    body = DataSm(
        source_ton=1,
        source=FROM,
        destination_ton=1,
        destination=TO,
        registered_delivery=1,
        tlvs=((Tag.MESSAGE_PAYLOAD, b"Hi"), number(Tag.TIME_TO_LIVE, 600)),
    )
    submission = read(body)
    assert (submission.text, submission.recipients, submission.validity_s) == ("Hi", (TO,), 600)


MANY = SubmitMulti(
    source=FROM,
    destinations=(Address(1, 1, TO), "friends", Address(5, 0, "ACME"), Address(0, 0, "+447700900003")),
    short_message=b"Hi",
)


def test_a_submit_multi_takes_part() -> None:
    """Its numbers are recipients; lists and names are told in the answer, and so is whom the gateway refuses."""
    found = submission_of(MANY, WORDS, NOW_MS)
    assert isinstance(found, Submitted)
    assert (found.submission.recipients, found.submission.takes_part) == ((TO, "447700900003"), True)
    tickets = (
        Ticket(recipient=TO, reference="9001"),
        Ticket(recipient="447700900003", reference="", refusal=Refusal.BLOCKED),
    )
    assert multi_response(found, Accepted(tickets, "9001"), LinkWords(hex_ids=True)) == (
        SubmitMultiResponse(
            "2329",
            (
                Unsuccessful(Address(0, 0, "friends"), Status.INVALID_LIST_NAME),
                Unsuccessful(Address(5, 0, "ACME"), Status.INVALID_DESTINATION),
                Unsuccessful(Address(0, 0, "+447700900003"), Status.REJECTED),
            ),
        ),
        Status.OK,
    )
    assert multi_response(found, Refused(Refusal.NO_FUNDS), WORDS) == (SubmitMultiResponse(), Status.SUBMIT_FAILED)
    assert multi_response(found, Uncertain(), WORDS) == (SubmitMultiResponse(), Status.SYSTEM_ERROR)


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"destinations": ("friends",)}, Status.INVALID_DESTINATION),
        ({"destinations": ()}, Status.INVALID_DESTINATION),
        ({"tlvs": SAR}, Status.INVALID_ESM_CLASS),
    ],
)
def test_a_submit_multi_to_nobody_is_refused(changes: dict[str, Any], status: Status) -> None:
    """Nobody to write to, and parts of long messages to many, have a status."""
    assert submission_of(msgspec.structs.replace(MANY, **changes), WORDS, NOW_MS) is status


# North: long messages in parts


def part_in(body: SubmitSm, words: LinkWords = WORDS) -> PartOfMessage:
    found = submission_of(body, words, NOW_MS)
    assert isinstance(found, Submitted)
    assert found.part is not None
    return msgspec.json.decode(msgspec.json.encode(found.part), type=PartOfMessage)


def test_parts_become_one_submission() -> None:
    """In whatever order they came, through JSON and back; the first speaks for all, receipts go to those who asked."""
    first, second, third = (
        submitted(
            esm_class=0x40,
            short_message=bytes.fromhex(f"0500032A030{place}") + written,
            registered_delivery=place % 2,
            validity_period="000000010000000R",
        )
        for place, written in enumerate((b"Hello \x1b", b"\x65, good", b"-bye"), 1)
    )
    parts = {73: part_in(third), 71: part_in(first), 72: part_in(second)}
    assert parts[71].concatenation == Concatenation(reference=0x2A, total=3, position=1)
    assert submission_of_parts(parts) == Submission(
        recipients=(TO,),
        text="Hello €, good-bye",
        originator=FROM,
        validity_s=3600,
        wants_callbacks=True,
        memo="1.1.1.1.1.p71:1.p73:1",
    )


def test_parts_that_nobody_asked_about_are_not_receipted() -> None:
    """No part asked, so no callback is wanted."""
    parts = {
        place: part_in(submitted(esm_class=0x40, short_message=bytes.fromhex(f"0500032A020{place}") + b"a"))
        for place in (1, 2)
    }
    submission = submission_of_parts(parts)
    assert isinstance(submission, Submission)
    assert (submission.text, submission.wants_callbacks) == ("aa", False)


def test_parts_in_several_alphabets_are_joined() -> None:
    """A cut pair of surrogates is whole again, and what is in GSM beside it stays a text."""
    bodies_of_parts = [
        submitted(esm_class=0x40, data_coding=coding, short_message=bytes.fromhex(f"0500032A030{place}") + octets)
        for place, (coding, octets) in enumerate([(0, b"\x00"), (8, b"\xd8\x3d"), (8, b"\xde\x00")], 1)
    ]
    parts = {place: part_in(body) for place, body in enumerate(bodies_of_parts)}
    submission = submission_of_parts(parts)
    assert isinstance(submission, Submission)
    assert submission.text == "@😀"


def test_parts_of_octets_are_cut_anew() -> None:
    """Ports stay in each segment, and the octets stand as they go on air."""
    parts = {
        place: part_in(
            submitted(
                esm_class=0x40,
                data_coding=4,
                short_message=bytes.fromhex(f"0B05040B8423F00003{place:02x}020{place}") + b"\xaa" * 60,
            )
        )
        for place in (1, 2)
    }
    parts = {place: msgspec.structs.replace(part) for place, part in parts.items()}
    submission = submission_of_parts(parts)
    assert isinstance(submission, Submission)
    assert submission.coding is Coding.BINARY
    assert submission.text == ("0605040B8423F0" + "AA" * 120)


# North: memos

MEMOS = [
    (Memo(1, 5, 0, 1, 1), "1.5.0.1.1"),
    (Memo(17, 1, 1, 1, 1, user_reference=0), "17.1.1.1.1.u0"),
    (
        Memo(2, 1, 1, 2, 1, "+1", "07", 4711, "CMT", (Part(91023, 1), Part(91024, 0))),
        "2.1.1.2.1.s2b31.d3037.u4711.t434d54.p91023:1.p91024:0",
    ),
]


@pytest.mark.parametrize("memo, written", MEMOS)
def test_a_memo_is_a_compact_text(memo: Memo, written: str) -> None:
    """What is remembered stands in a few characters, and comes back."""
    assert (write_memo(memo), read_memo(written)) == (written, memo)


@given(
    st.builds(
        Memo,
        *[st.integers(0, 255)] * 5,
        st.text(max_size=30),
        st.text(max_size=30),
        st.none() | st.integers(0, 65535),
        st.text(max_size=5),
        st.lists(st.builds(Part, st.integers(1, ID_MAX), st.integers(0, 31)), max_size=4).map(tuple),
    )
)
def test_every_memo_comes_back(memo: Memo) -> None:
    """Any addresses, references and parts survive the text."""
    assert read_memo(write_memo(memo)) == memo


@given(st.text(max_size=40) | st.text(st.sampled_from("0123456789.usdtp:"), max_size=40))
def test_what_is_no_memo_is_of_others(written: str) -> None:
    """A text that this code never wrote asks for every outcome, or is read as far as it goes."""
    assert isinstance(read_memo(written), Memo)


ASKED = [
    # registered_delivery, states that are told
    (0x00, set()),
    (0x01, {State.DELIVERED, State.UNDELIVERABLE, State.EXPIRED, State.REJECTED, State.CANCELLED, State.UNKNOWN}),
    (0x02, {State.UNDELIVERABLE, State.EXPIRED, State.REJECTED, State.CANCELLED, State.UNKNOWN}),
    (0x03, {State.DELIVERED}),
    (0x10, {State.SENT}),
    (0x13, {State.SENT, State.DELIVERED}),
]


@pytest.mark.parametrize("registered_delivery, states", ASKED)
def test_only_what_was_asked_for_is_told(registered_delivery: int, states: set[State]) -> None:
    """registered_delivery chooses among the states that are reported at all (5.2.17)."""
    north = SMPP.north
    assert north.is_asked is not None
    memo = f"{registered_delivery}.1.1.1.1"
    assert {state for state in north.reported_states if north.is_asked(memo, state)} == states


def test_any_part_may_ask() -> None:
    """A long message is told of where one of its parts asked; what came over HTTP is told once it is over."""
    assert is_asked("0.1.1.1.1.p1:0.p2:2", State.EXPIRED)
    assert not is_asked("0.1.1.1.1.p1:0.p2:2", State.DELIVERED)
    assert is_asked("", State.DELIVERED)
    assert not is_asked("", State.SENT)


# North: what we deliver


def test_a_report_becomes_a_receipt() -> None:
    """Appendix B in the text, the same in parameters, the addresses of the submission the other way round."""
    report = msgspec.structs.replace(REPORT, originator="ACME", memo="1.5.0.1.1")
    (body,) = deliveries_of_report(report, WORDS)
    assert body == DeliverSm(
        source_ton=1,
        source_npi=1,
        source=TO,
        destination_ton=5,
        destination_npi=0,
        destination="ACME",
        esm_class=0x04,
        short_message=f"id:{OUR_ID} sub:001 dlvrd:001 submit date:2611211620 done date:2611211621 "
        "stat:DELIVRD err:000 text:".encode(),
        tlvs=(text(Tag.RECEIPTED_MESSAGE_ID, str(OUR_ID)), number(Tag.MESSAGE_STATE, 2)),
    )


DELIVERED: list[tuple[LinkWords, dict[str, Any], dict[str, Any], str]] = [
    # words, the report, fields of the deliver_sm, what its text has
    (WORDS, {"state": State.EXPIRED}, {"esm_class": 0x04}, "dlvrd:000"),
    (WORDS, {"state": State.SENT}, {"esm_class": 0x20}, "stat:ENROUTE"),
    (WORDS, {"state": State.UNKNOWN}, {"esm_class": 0x04}, "stat:UNKNOWN"),
    (WORDS, {"state": State.REJECTED, "reason": "blocked"}, {}, "stat:REJECTD err:102"),
    (WORDS, {"state": State.DELIVERED, "reason": "virtual"}, {}, "stat:DELIVRD err:000"),
    (LinkWords(hex_ids=True), {}, {}, f"id:{OUR_ID:x} "),
    (LinkWords(timezone="Europe/Rome"), {}, {}, "submit date:2611211720"),
    (WORDS, {"submission_id": 4711}, {}, "id:4711 "),
    (WORDS, {"submission_id": 4711, "memo": ""}, {}, f"id:{OUR_ID} "),
    (
        WORDS,
        {"memo": write_memo(Memo(1, 0, 0, 2, 1, "+447700900001", "07700900002", None, "CMT"))},
        {"source": "07700900002", "source_ton": 2, "destination": "+447700900001", "service_type": "CMT"},
        "",
    ),
    (WORDS, {"memo": "1.0.0.1.1", "originator": "ΓΔ"}, {"destination": ""}, "stat:DELIVRD"),
    (WORDS, {"memo": "", "originator": "12345"}, {"destination": "12345", "destination_ton": 3}, ""),
    (LinkWords(interface_version=0x33), {}, {"tlvs": ()}, "stat:DELIVRD"),
]


@pytest.mark.parametrize("words, changes, fields, words_in_text", DELIVERED)
def test_a_receipt_says_what_the_report_says(
    words: LinkWords, changes: dict[str, Any], fields: dict[str, Any], words_in_text: str
) -> None:
    """States, reasons, ids, zones and addresses are told as the customer's link has them."""
    (body,) = deliveries_of_report(msgspec.structs.replace(REPORT, **{"memo": "1.1.1.1.1"} | changes), words)
    assert {name: getattr(body, name) for name in fields} == fields
    assert words_in_text in body.short_message.decode()


def test_a_reference_of_the_submitter_comes_back() -> None:
    """user_message_reference stands beside the receipt."""
    (body,) = deliveries_of_report(msgspec.structs.replace(REPORT, memo="1.1.1.1.1.u4711"), WORDS)
    assert number(Tag.USER_MESSAGE_REFERENCE, 4711) in body.tlvs


def test_each_part_that_asked_gets_its_receipt() -> None:
    """Receipts of a long message go under the ids of the parts that asked for this outcome."""
    report = msgspec.structs.replace(REPORT, memo="1.1.1.1.1.p71:1.p72:0.p73:2.p74:3")
    ids = [body.short_message.split()[0] for body in deliveries_of_report(report, WORDS)]
    assert ids == [b"id:71", b"id:74"]


@pytest.mark.parametrize("charset", CHARSETS)
def test_a_receipt_is_read_over_any_link(charset: str) -> None:
    """Whatever data_coding 0 means, the receipt of one half is read by the other."""
    words = LinkWords(charset=charset)
    (body,) = deliveries_of_report(REPORT, words)
    receipt = receipt_of(msgspec.structs.replace(body, tlvs=()), words)
    assert receipt is not None
    assert (receipt.reference, receipt.state) == (str(OUR_ID), State.DELIVERED)


MESSAGE = Inbound(reference="9001", originator=TO, recipient=FROM, text="Hi")


def test_an_inbound_message_is_delivered() -> None:
    """The phone is the source, our number the destination."""
    assert deliveries_of_inbound(MESSAGE, WORDS, 1) == (
        DeliverSm(
            source_ton=1,
            source_npi=1,
            source=TO,
            destination_ton=1,
            destination_npi=1,
            destination=FROM,
            short_message=b"Hi",
        ),
    )


@pytest.mark.parametrize("long, count", [("udh", 2), ("sar", 2), ("payload", 1)])
def test_a_long_inbound_message_is_cut_as_the_link_wants_it(long: str, count: int) -> None:
    """By headers, by parameters, or not at all."""
    found = deliveries_of_inbound(msgspec.structs.replace(MESSAGE, text="ж" * 100), LinkWords(long=long), 7)
    assert isinstance(found, tuple)
    assert len(found) == count
    assert "".join(inbound_of(body, WORDS).text for body in found) == "ж" * 100


def test_inbound_octets_are_delivered_as_octets() -> None:
    """Octets that look like a header are not taken for one."""
    octets = "0605040B8423F001"
    found = deliveries_of_inbound(msgspec.structs.replace(MESSAGE, text=octets, coding=Coding.BINARY), WORDS, 7)
    assert isinstance(found, tuple)
    assert [(body.esm_class, body.data_coding, body.short_message.hex().upper()) for body in found] == [(0, 4, octets)]


# North: questions


@pytest.mark.parametrize("hex_ids", [False, True])
def test_a_message_id_comes_back(hex_ids: bool) -> None:
    """In decimal or hexadecimal digits, our id is known by what the customer was told."""
    words = LinkWords(hex_ids=hex_ids)
    assert read_message_id(message_id(OUR_ID, words), words) == OUR_ID
    assert read_message_id(message_id(OUR_ID, words).upper(), words) == OUR_ID


@pytest.mark.parametrize("written", ["", "x", "-1", "0", "1_0", " 1", "²", "1" * 64])
def test_what_is_no_message_id_is_none(written: str) -> None:
    """An id that we cannot have given is not looked up."""
    assert read_message_id(written, WORDS) is None


def test_query_sm_asks_the_account() -> None:
    """A message is asked about by its id; the answer has its state, and its date once it is over."""
    assert query_call(QuerySm("9001"), ACCOUNT, WORDS) == Query(account=ACCOUNT, reference="9001")
    assert query_call(QuerySm("x"), ACCOUNT, WORDS) is Status.INVALID_MESSAGE_ID
    report = msgspec.structs.replace(REPORT, state=State.REJECTED, reason="blocked")
    assert query_response(QuerySm("9001"), report) == QuerySmResponse("9001", "261121162100000+", 8, 0x66)
    assert query_response(QuerySm("9001"), msgspec.structs.replace(REPORT, state=State.SENT)) == QuerySmResponse(
        "9001", "", 1, 0
    )


def test_cancel_sm_takes_back() -> None:
    """By the id, or all that waits between two addresses; without either there is nothing to take back."""
    assert cancel_call(CancelSm(message_id="9001"), ACCOUNT, WORDS) == Cancel(ACCOUNT, "9001")
    assert cancel_call(CancelSm(message_id="9001", destination=TO), ACCOUNT, WORDS) == Cancel(ACCOUNT, "9001", TO)
    assert cancel_call(CancelSm(message_id="x"), ACCOUNT, WORDS) is Status.INVALID_MESSAGE_ID
    assert cancel_call(CancelSm(source="+" + FROM, destination=TO), ACCOUNT, WORDS) == ListMessages(
        account=ACCOUNT, recipients=(TO,), originators=(FROM,), states=(State.SCHEDULED, State.QUEUED)
    )
    assert cancel_call(CancelSm(source=FROM), ACCOUNT, WORDS) is Status.INVALID_DESTINATION
    assert cancel_call(CancelSm(destination=TO), ACCOUNT, WORDS) is Status.INVALID_SOURCE


def test_replace_sm_replaces() -> None:
    """Text, time and validity change; what is wrong with them has its status."""
    body = ReplaceSm("9001", 1, 1, FROM, "000000010000000R", "000000030000000R", short_message=b"\x00")
    assert replace_call(body, ACCOUNT, WORDS, NOW_MS) == Replace(
        account=ACCOUNT,
        reference="9001",
        originator=FROM,
        text="@",
        scheduled_ms=NOW_MS + 3_600_000,
        validity_s=7200,
    )
    faults: list[tuple[dict[str, Any], Status]] = [
        ({"message_id": "x"}, Status.INVALID_MESSAGE_ID),
        ({"schedule_delivery_time": "x"}, Status.INVALID_SCHEDULE),
        ({"validity_period": "x"}, Status.INVALID_VALIDITY),
        ({"default_message_id": 1}, Status.INVALID_DEFAULT_MESSAGE),
        ({"short_message": b""}, Status.INVALID_MESSAGE_LENGTH),
    ]
    for changes, status in faults:
        assert replace_call(msgspec.structs.replace(body, **changes), ACCOUNT, WORDS, NOW_MS) is status


# The mirror: one half against the other

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=400)
originators = st.from_regex(r"[A-Za-z][A-Za-z0-9 .&+-]{0,9}[A-Za-z0-9]|[1-9][0-9]{6,14}|[0-9]{3,6}", fullmatch=True)
numbers = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
anything = st.builds(
    Submission,
    recipients=numbers.map(lambda number: (number,)),
    text=texts,
    originator=originators,
    priority=st.sampled_from([Priority.URGENT, None]),
    coding=st.sampled_from([Coding.TEXT, Coding.FLASH]),
    validity_s=st.none() | st.integers(1, 14 * 86_400),
    scheduled_ms=st.none()
    | st.integers(NOW_MS // 100 + 1, NOW_MS // 100 + 86_400_000).map(lambda tenths: tenths * 100),
) | st.builds(
    Submission,
    recipients=numbers.map(lambda number: (number,)),
    text=st.binary(min_size=1, max_size=140)
    .filter(lambda octets: not is_ambiguous(octets))
    .map(lambda octets: octets.hex().upper()),
    originator=originators,
    coding=st.just(Coding.BINARY),
)
links = st.builds(
    LinkWords,
    charset=st.sampled_from(CHARSETS),
    long=st.sampled_from(LONG),
    is_wide=st.booleans(),
    flash=st.sampled_from(Flash),
    alphanumeric_charset=st.sampled_from(["latin-1", "gsm"]),
)


def arrived(submission: Submission, words: LinkWords, reference: int) -> Submission:
    """What the north half makes of what the south half sends, through octets and back."""
    found = submissions_of(submission, words, reference)
    assert isinstance(found, tuple)
    made = [submission_of(body, words, NOW_MS) for body in found]
    for body in found:
        assert encode_body(body, 1)
    if len(made) == 1:
        (whole,) = made
        assert isinstance(whole, Submitted)
        return whole.submission
    joined = submission_of_parts(
        {place: one.part for place, one in enumerate(made) if isinstance(one, Submitted) and one.part}
    )
    assert isinstance(joined, Submission)
    return joined


@given(anything, links, st.integers(0, 65_535))
def test_a_submission_arrives(submission: Submission, words: LinkWords, reference: int) -> None:
    """Whatever is said over whatever link is heard as it was said."""
    heard = arrived(submission, words, reference)
    if words.charset == "gsm-packed":  # the last character of a full octet may have been room
        submission = msgspec.structs.replace(submission, text=submission.text.rstrip("@\r"))
        heard = msgspec.structs.replace(heard, text=heard.text.rstrip("@\r"))
    assert msgspec.structs.replace(heard, memo="") == submission


def test_what_is_lost_is_declared() -> None:
    """docs/dialects/smpp.md, what is lost on the way: these fields and no others."""
    said = asked(reference="17", service=Service.PREMIUM, priority=Priority.BULK, wants_callbacks=False)
    assert msgspec.structs.replace(arrived(said, WORDS, 0), memo="") == asked()


@given(
    st.integers(1, ID_MAX),
    st.sampled_from(sorted(SMPP.north.reported_states)),
    numbers,
    originators,
    links,
    st.booleans(),
    st.sampled_from(["", "1.1.1.1.1", "17.0.0.2.1.u9"]),
)
def test_a_receipt_arrives(
    our_id: int, state: State, recipient: str, originator: str, words: LinkWords, hex_ids: bool, memo: str
) -> None:
    """A receipt for any message reaches whoever submitted it, under the id they were answered with."""
    words = msgspec.structs.replace(words, hex_ids=hex_ids)
    report = msgspec.structs.replace(
        REPORT,
        id=our_id,
        submission_id=our_id,
        state=state,
        recipient=recipient,
        originator=originator,
        memo=memo,
    )
    (body,) = deliveries_of_report(report, words)
    assert encode_body(body, 1)
    receipt = receipt_of(body, words)
    assert receipt is not None
    verdict = verdict_of(Pdu(SubmitSmResponse(message_id(our_id, words)), 1), words)
    assert isinstance(verdict, Accepted)
    assert receipt.reference == verdict.tickets[0].reference
    assert receipt.recipient == recipient
    assert receipt.state is (State.UNDELIVERABLE if state is State.CANCELLED else state)


@given(numbers, originators, texts, links, st.integers(0, 65_535))
def test_an_inbound_message_arrives(
    recipient: str, originator: str, written: str, words: LinkWords, reference: int
) -> None:
    """Any message from a phone reaches its owner's ESME."""
    inbound = Inbound(reference="1", originator=originator, recipient=recipient, text=written)
    found = deliveries_of_inbound(inbound, words, reference)
    assert isinstance(found, tuple)
    heard = [inbound_of(body, words) for body in found]
    assert {(one.originator, one.recipient) for one in heard} == {(originator, recipient)}
    joined = "".join(one.text for one in heard)
    assert joined == written or (words.charset == "gsm-packed" and joined.rstrip("@\r") == written.rstrip("@\r"))


@pytest.mark.parametrize(
    "data_coding, parts, text, coding",
    [
        (8, ["😀".encode("utf-16-be")[:2], "😀".encode("utf-16-be")[2:]], "😀", Coding.TEXT),
        (0, [b"5 \x1b", b"e"], "5 €", Coding.TEXT),
        (8, [b"\0a\0", b"\0b"], "a\ufffdb", Coding.TEXT),
        (4, [b"\x00\xff", b"\x1b"], "00FF1B", Coding.BINARY),
    ],
)
def test_segments_are_read_together(data_coding: int, parts: list[bytes], text: str, coding: Coding) -> None:
    """A character that is cut in two arrives; half a character shifts nothing behind it; octets stay octets."""
    heard = [
        inbound_of(
            DeliverSm(
                esm_class=0x40, data_coding=data_coding, short_message=bytes((5, 0, 3, 7, len(parts), position)) + part
            ),
            WORDS,
        )
        for position, part in enumerate(parts, 1)
    ]
    assert heard_together([one.content for one in heard]) == (text, coding)
    assert {one.coding for one in heard} == {coding}


# Never an exception

any_words = st.sampled_from(
    [WORDS, LinkWords(charset="gsm-packed", receipt_ids=Ids.SAME), LinkWords(charset="ucs-2", country="44")]
)


@given(bodies(SubmitSm) | bodies(SubmitMulti) | bodies(DataSm), any_words)
def test_whatever_is_submitted_has_an_answer(body: Any, words: LinkWords) -> None:
    """Any submit_sm, submit_multi or data_sm is a submission or has a status."""
    found = submission_of(body, words, NOW_MS)
    assert isinstance(found, Submitted | Status)
    if isinstance(found, Submitted) and found.part is not None:
        assert isinstance(submission_of_parts({1: found.part}), Submission | Status)


@given(bodies(DeliverSm) | bodies(DataSm), any_words)
def test_whatever_is_delivered_is_something(body: Any, words: LinkWords) -> None:
    """Any deliver_sm or data_sm is a receipt, a message, or unreadable."""
    assert isinstance(brought_by(body, words), Receipt | Inbound | Unreadable)


@given(bodies(QuerySm) | bodies(CancelSm) | bodies(ReplaceSm), any_words)
def test_whatever_is_asked_has_an_answer(body: Any, words: LinkWords) -> None:
    """Any question is a call or has a status."""
    if isinstance(body, QuerySm):
        assert isinstance(query_call(body, ACCOUNT, words), Query | Status)
    elif isinstance(body, CancelSm):
        assert isinstance(cancel_call(body, ACCOUNT, words), Cancel | ListMessages | Status)
    else:
        assert isinstance(replace_call(body, ACCOUNT, words, NOW_MS), Replace | Status)


def test_smpp_is_no_dialect_of_http() -> None:
    """Nothing is submitted over HTTP, and nothing is served there."""

    def never(_request: object) -> Any:
        raise AssertionError("asked")

    verdict = run(SMPP.south.submit(upstream_of(SMPP), SUBMISSION), never)
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNSUPPORTED
    assert not SMPP.north.paths
    assert SMPP.north.refuse(Refused(Refusal.OVERLOADED)).status == 404


# What users are told

PAGE = Path(__file__).parents[2] / "docs" / "dialects" / "smpp.md"
STATUS_ROW = re.compile(r"^\| `0x([0-9A-F]+)` [a-z ]+ \| (\w+) \| ([\w, ]*) \|$", re.MULTILINE)
OPTION_ROW = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)


def test_the_page_has_the_table_of_statuses() -> None:
    """docs/dialects/smpp.md says how each status is read, and for what each is said."""
    found = STATUS_ROW.finditer(PAGE.read_text())
    rows = {int(row[1], 16): (row[2], set(filter(None, row[3].split(", ")))) for row in found}
    said: dict[int, set[str]] = {status: set() for status in REFUSALS}
    for refusal, status in STATUSES.items():
        said[status].add(refusal)
    assert rows == {status: (refusal, said[status]) for status, refusal in REFUSALS.items()}


def test_the_page_has_every_option() -> None:
    """docs/dialects/smpp.md names each option that a carrier's words have, and no other."""
    options = PAGE.read_text().partition("## How a carrier is spoken to")[2]
    named = {name for row in OPTION_ROW.finditer(options) for name in re.findall("[a-z_]+", row[1])}
    assert named == OPTIONS
