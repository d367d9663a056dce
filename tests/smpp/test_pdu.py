"""PDUs: golden octets, their edges, and what becomes of octets that are none."""

import pytest
from hypothesis import given, settings

from chappe.smpp.fields import Address, Text, Unsuccessful
from chappe.smpp.pdu import (
    FIELDS,
    HEADER_OCTETS,
    PDU_OCTETS_MAX,
    RESPONSE,
    BindReceiverResponse,
    BindTransceiver,
    BindTransceiverResponse,
    Body,
    DataSmResponse,
    DeliverSm,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    Pdu,
    PduError,
    QuerySmResponse,
    Status,
    SubmitMulti,
    SubmitMultiResponse,
    SubmitSm,
    SubmitSmResponse,
    decode,
    encode,
    encode_body,
)
from chappe.smpp.tlv import Tag
from smpp.golden import GOLDEN
from smpp.strategies import pdus


def framed(command: int, body: bytes = b"", status: int = 0, sequence: int = 1) -> bytes:
    """A PDU whose length is right, whatever is in it."""
    header = (HEADER_OCTETS + len(body), command, status, sequence)
    return b"".join(one.to_bytes(4) for one in header) + body


def refused(octets: bytes) -> PduError:
    with pytest.raises(PduError) as caught:
        decode(octets)
    return caught.value


# A submit_sm from service_type to sm_length, cut where the rows below need it.
TO_SOURCE = b"\0" + b"\1\1"
TO_DESTINATION = TO_SOURCE + b"4477\0" + b"\1\1"
TO_TIMES = TO_DESTINATION + b"4478\0" + b"\0\0\0"
TO_LENGTH = TO_TIMES + b"\0\0" + b"\1\0\0\0"
COMPLETE = TO_LENGTH + b"\2Hi"


@pytest.mark.parametrize("written, pdu", GOLDEN, ids=[type(pdu.body).__name__ for _, pdu in GOLDEN])
def test_golden_octets_are_read_and_written(written: str, pdu: Pdu) -> None:
    """Each golden PDU is read as what it says and written with the same octets."""
    octets = bytes.fromhex(written)
    assert decode(octets) == pdu
    assert encode(pdu) == octets


def test_every_kind_of_pdu_has_golden_octets() -> None:
    """No kind of PDU, requests and responses of SMPP 3.4 and the broadcasts of 5.0, is without golden octets."""
    assert {type(pdu.body) for _, pdu in GOLDEN} == set(FIELDS)
    assert {kind.command_id for kind in FIELDS} == {
        *(0x8000_0000, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x15, 0x21, 0x102, 0x103),
        *(RESPONSE | one for one in (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x15, 0x21, 0x103)),
        *(0x111, 0x112, 0x113, 0x8000_0111, 0x8000_0112, 0x8000_0113),
    }


@given(pdus)
@settings(max_examples=1_000, deadline=None)
def test_encode_and_decode_are_inverse(pdu: Pdu) -> None:
    """Whatever SMPP allows is read again as it was before it was written."""
    octets = encode(pdu)
    assert decode(octets) == pdu
    assert int.from_bytes(octets[:4]) == len(octets)


@pytest.mark.parametrize(
    "kind, name, octets_max",
    [
        (kind, name, one.octets_max)
        for kind, fields in FIELDS.items()
        for name, one in fields
        if isinstance(one, Text) and not kind.command_id & RESPONSE
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else str(part),
)
def test_a_text_fills_its_field_and_no_more(kind: type[Body], name: str, octets_max: int) -> None:
    """A text of the greatest length goes both ways; one character more is refused when written and when read."""
    full = kind(**{name: "x" * (octets_max - 1)})
    octets = encode_body(full, 1)
    assert decode(octets).body == full
    with pytest.raises(PduError, match=name):
        encode_body(kind(**{name: "x" * octets_max}), 1)
    error = refused(framed(kind.command_id, octets[HEADER_OCTETS:].replace(b"xx", b"xxx", 1)))
    assert error.detail.startswith(name)


@pytest.mark.parametrize("written, pdu", GOLDEN, ids=[type(pdu.body).__name__ for _, pdu in GOLDEN])
def test_a_pdu_that_is_cut_or_continued_is_no_pdu(written: str, pdu: Pdu) -> None:
    """At every octet a PDU may be cut, and continued: command_length tells, and the answer is generic_nack or none."""
    octets = bytes.fromhex(written)
    for broken in [*(octets[:size] for size in range(len(octets))), octets + b"\0"]:
        error = refused(broken)
        assert error.status == Status.INVALID_COMMAND_LENGTH
        assert error.raw == broken
        answer = error.answer
        if len(broken) >= HEADER_OCTETS and pdu.body.command_id & RESPONSE:
            assert answer is None
        else:
            sequence = pdu.sequence if len(broken) >= HEADER_OCTETS else 0
            assert answer == Pdu(GenericNack(), sequence, Status.INVALID_COMMAND_LENGTH)


# What is wrong | octets | what is said | which PDU says it
WRONG = [
    ("nothing at all", b"", Status.INVALID_COMMAND_LENGTH, GenericNack),
    ("a command nobody knows", framed(0x77), Status.INVALID_COMMAND_ID, GenericNack),
    ("a response nobody knows", framed(RESPONSE | 0x77), Status.INVALID_COMMAND_ID, None),
    ("a submit_sm without a body", framed(0x04), Status.INVALID_COMMAND_LENGTH, GenericNack),
    ("it ends within the numbers", framed(0x04, TO_TIMES[:-1]), Status.INVALID_COMMAND_LENGTH, GenericNack),
    ("it ends before a text", framed(0x04, TO_TIMES), Status.INVALID_COMMAND_LENGTH, GenericNack),
    ("it ends within a text", framed(0x04, TO_SOURCE + b"44"), Status.INVALID_COMMAND_LENGTH, GenericNack),
    ("it ends before sm_length", framed(0x04, TO_LENGTH), Status.INVALID_COMMAND_LENGTH, GenericNack),
    (
        "more octets in sm_length than there are",
        framed(0x04, TO_LENGTH + b"\3Hi"),
        Status.INVALID_MESSAGE_LENGTH,
        SubmitSmResponse,
    ),
    (
        "sm_length 255, which is too long in 3.4",
        framed(0x05, TO_LENGTH + b"\xff" + b"x" * 255),
        Status.INVALID_MESSAGE_LENGTH,
        DeliverSmResponse,
    ),
    (
        "a destination without its end",
        framed(0x04, TO_DESTINATION + b"4" * 30),
        Status.INVALID_DESTINATION,
        SubmitSmResponse,
    ),
    ("a long service_type", framed(0x04, b"CELLULAR\0" + COMPLETE[1:]), Status.INVALID_SERVICE_TYPE, SubmitSmResponse),
    (
        "a long schedule",
        framed(0x04, TO_TIMES + b"2" * 17 + b"\0" + COMPLETE[len(TO_TIMES) + 1 :]),
        Status.INVALID_SCHEDULE,
        SubmitSmResponse,
    ),
    ("an octet behind the message", framed(0x04, COMPLETE + b"\0"), Status.INVALID_OPTIONAL_PART, SubmitSmResponse),
    ("a TLV without its value", framed(0x04, COMPLETE + b"\4\x24\0\1"), Status.INVALID_OPTIONAL_PART, SubmitSmResponse),
    (
        "a TLV that says more than is there",
        framed(0x05, COMPLETE + b"\4\x24\0\5abcd"),
        Status.INVALID_OPTIONAL_PART,
        DeliverSmResponse,
    ),
    (
        "sar_msg_ref_num of one octet",
        framed(0x04, COMPLETE + b"\2\x0c\0\1\1"),
        Status.INVALID_PARAMETER_LENGTH,
        SubmitSmResponse,
    ),
    (
        "a password of nine octets",
        framed(0x09, b"alice\0" + b"123456789\0" + b"\0\x34\0\0\0"),
        Status.INVALID_PASSWORD,
        BindTransceiverResponse,
    ),
    (
        "a system_id of sixteen octets",
        framed(0x01, b"a" * 16 + b"\0" + b"\0\0\x34\0\0\0"),
        Status.INVALID_SYSTEM_ID,
        BindReceiverResponse,
    ),
    (
        "an address_range of 41 octets",
        framed(0x01, b"alice\0\0\0\x34\0\0" + b"4" * 41 + b"\0"),
        Status.BIND_FAILED,
        BindReceiverResponse,
    ),
    (
        "dest_flag 3",
        framed(0x21, TO_SOURCE + b"4477\0" + b"\1\3list\0"),
        Status.INVALID_DESTINATION_FLAG,
        SubmitMultiResponse,
    ),
    (
        "255 destinations",
        framed(0x21, TO_SOURCE + b"4477\0" + b"\xff" + b"\2a\0" * 255),
        Status.INVALID_DESTINATION_COUNT,
        SubmitMultiResponse,
    ),
    (
        "fewer destinations than counted",
        framed(0x21, TO_SOURCE + b"4477\0" + b"\2" + b"\2a\0"),
        Status.INVALID_COMMAND_LENGTH,
        GenericNack,
    ),
    ("rubbish behind enquire_link", framed(0x15, b"\1"), Status.INVALID_OPTIONAL_PART, EnquireLinkResponse),
    ("an outbind that nobody answers", framed(0x0B, b"a" * 16), Status.INVALID_SYSTEM_ID, GenericNack),
    ("an answer without the end of its id", framed(RESPONSE | 0x04, b"17"), Status.INVALID_COMMAND_LENGTH, None),
    ("an answer with a long id", framed(RESPONSE | 0x04, b"7" * 65 + b"\0"), Status.INVALID_MESSAGE_ID, None),
    (
        "more than any PDU has",
        framed(0x04, COMPLETE + b"\x14\0\xff\xff" + bytes(65_535) + b"\x14\0\x0f\xff" + bytes(4_095)),
        Status.INVALID_COMMAND_LENGTH,
        GenericNack,
    ),
]


@pytest.mark.parametrize("what, octets, status, answered", WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_named_and_answered(
    what: str, octets: bytes, status: Status, answered: type[Body] | None
) -> None:
    """Malformed octets are refused with the status and the answer that the standard has for it, and are kept."""
    error = refused(octets)
    assert (error.status, error.raw) == (status, octets)
    answer = error.answer
    if answered is None:
        assert answer is None
    else:
        sequence = 1 if octets else 0
        assert answer == Pdu(answered(), sequence, status)
        assert decode(encode(answer)) == answer


# Who says it | octets | what we understand
ODD = [
    ("an answer without a body", framed(RESPONSE | 0x05), Pdu(DeliverSmResponse(), 1)),
    ("an accepted message without an id", framed(RESPONSE | 0x04), Pdu(SubmitSmResponse(), 1)),
    ("a refusal with a body", framed(RESPONSE | 0x04, b"17\0", 0x58), Pdu(SubmitSmResponse("17"), 1, 0x58)),
    ("a refusal with half a body", framed(RESPONSE | 0x03, b"17\0", 0x67), Pdu(QuerySmResponse(), 1, 0x67)),
    ("a refusal with rubbish", framed(RESPONSE | 0x09, b"no", 0x0E), Pdu(BindTransceiverResponse(), 1, 0x0E)),
    (
        "parameters of vendors behind bind_resp",
        framed(RESPONSE | 0x09, b"smsc\0" + b"\2\x10\0\1\x34" + b"\x14\1\0\2ab"),
        Pdu(BindTransceiverResponse("smsc", ((0x0210, b"\x34"), (0x1401, b"ab"))), 1),
    ),
    (
        "congestion_state in any answer (5.0)",
        framed(RESPONSE | 0x15, b"\4\x28\0\1\x50"),
        Pdu(EnquireLinkResponse(((0x0428, b"\x50"),)), 1),
    ),
    (
        "a delivery whose message ends with a NULL that is not counted",
        framed(0x05, COMPLETE + b"\0"),
        Pdu(decode(framed(0x05, COMPLETE)).body, 1),
    ),
    ("an answer that ends with one", framed(RESPONSE | 0x04, b"17\0\0"), Pdu(SubmitSmResponse("17"), 1)),
    (
        "a number in a wider parameter than the standard's",
        framed(RESPONSE | 0x09, b"smsc\0" + b"\2\x10\0\2\0\x34"),
        Pdu(BindTransceiverResponse("smsc", ((0x0210, b"\0\x34"),)), 1),
    ),
    ("a status that only its carrier knows", framed(RESPONSE | 0x04, b"", 0x4FF), Pdu(SubmitSmResponse(), 1, 0x4FF)),
    ("a sequence number beyond the standard's", framed(0x15, b"", 0, 0xFFFF_FFFF), Pdu(EnquireLink(), 0xFFFF_FFFF)),
]


@pytest.mark.parametrize("what, octets, pdu", ODD, ids=[row[0] for row in ODD])
def test_odd_peers_are_understood(what: str, octets: bytes, pdu: Pdu) -> None:
    """What real peers do, and what loses nothing, is read."""
    assert decode(octets) == pdu


def test_a_parameter_of_the_wrong_length_is_read_from_a_message_centre_only() -> None:
    """A receipt with an odd parameter is read, since nobody will repair it for us; a submission with one is refused."""
    odd = COMPLETE + b"\4\x23\0\2\3\0"
    body = decode(framed(0x05, odd)).body
    assert isinstance(body, DeliverSm)
    assert body.tlvs == ((Tag.NETWORK_ERROR_CODE, b"\3\0"),)
    assert refused(framed(0x04, odd)).status == Status.INVALID_PARAMETER_LENGTH


# What does not fit | body | sequence, status | what is said
UNWRITABLE: list[tuple[str, Body, int, int, Status]] = [
    ("a long source", SubmitSm(source="4" * 21), 1, 0, Status.INVALID_SOURCE),
    ("a NULL within", SubmitSm(destination="44\x0077"), 1, 0, Status.INVALID_DESTINATION),
    ("no Latin-1", SubmitSm(source="Чапп"), 1, 0, Status.INVALID_SOURCE),
    ("no Latin-1, in a list", SubmitMulti(destinations=("€",)), 1, 0, Status.INVALID_DESTINATION_COUNT),
    ("half a surrogate pair", BindTransceiver(system_id="\ud800"), 1, 0, Status.INVALID_SYSTEM_ID),
    ("a long password", BindTransceiver(password="123456789"), 1, 0, Status.INVALID_PASSWORD),
    ("a number beyond its octet", SubmitSm(esm_class=256), 1, 0, Status.SYSTEM_ERROR),
    ("a number beyond Unicode", SubmitSm(data_coding=1 << 21), 1, 0, Status.SYSTEM_ERROR),
    ("a number beyond machines", SubmitSm(protocol_id=1 << 80), 1, 0, Status.SYSTEM_ERROR),
    ("a number below 0", SubmitSm(priority_flag=-1), 1, 0, Status.SYSTEM_ERROR),
    ("a long message", SubmitSm(short_message=bytes(255)), 1, 0, Status.INVALID_MESSAGE_LENGTH),
    ("many destinations", SubmitMulti(destinations=("a",) * 255), 1, 0, Status.INVALID_DESTINATION_COUNT),
    ("a ton of 256", SubmitMulti(destinations=(Address(256, 1, "44"),)), 1, 0, Status.INVALID_DESTINATION_COUNT),
    (
        "a status of 2^32",
        SubmitMultiResponse(unsuccessful=(Unsuccessful(Address(1, 1, "44"), 1 << 32),)),
        1,
        0,
        Status.SYSTEM_ERROR,
    ),
    ("a short parameter", SubmitSm(tlvs=((Tag.SAR_REFERENCE, b"\1"),)), 1, 0, Status.INVALID_PARAMETER_LENGTH),
    ("a tag of 2^16", SubmitSm(tlvs=((1 << 16, b"\1"),)), 1, 0, Status.INVALID_PARAMETER_LENGTH),
    ("a parameter of 2^16", SubmitSm(tlvs=((0x1400, bytes(1 << 16)),)), 1, 0, Status.INVALID_PARAMETER_LENGTH),
    ("a PDU without end", SubmitSm(tlvs=((0x1400, bytes(65_535)),) * 2), 1, 0, Status.INVALID_COMMAND_LENGTH),
    ("a sequence of 2^32", EnquireLink(), 1 << 32, 0, Status.SYSTEM_ERROR),
    ("a status below 0", SubmitSmResponse("17"), 1, -1, Status.SYSTEM_ERROR),
]


@pytest.mark.parametrize("what, body, sequence, status, said", UNWRITABLE, ids=[row[0] for row in UNWRITABLE])
def test_what_does_not_fit_is_not_written(what: str, body: Body, sequence: int, status: int, said: Status) -> None:
    """A body that does not fit into its fields is refused with a status, and its values are not told."""
    with pytest.raises(PduError) as caught:
        encode_body(body, sequence, status)
    assert caught.value.status == said
    assert "44" not in caught.value.detail
    assert caught.value.raw == b""


def test_a_message_payload_may_have_64_k_octets() -> None:
    """The longest message_payload goes both ways, with everything beside it at its longest."""
    body = SubmitSm(source="x" * 20, short_message=bytes(254), tlvs=((Tag.MESSAGE_PAYLOAD, bytes(65_535)),))
    octets = encode_body(body, 1)
    assert len(octets) < PDU_OCTETS_MAX
    assert decode(octets).body == body


def test_an_error_tells_what_the_peer_said_of_an_answer() -> None:
    """Of an answer that cannot be read its command, sequence_number and command_status are known all the same."""
    error = refused(framed(RESPONSE | 0x04, b"17", 0, 99))
    assert (error.command_id, error.sequence, error.command_status) == (RESPONSE | 0x04, 99, Status.OK)


# A refusal | its octets
REFUSALS: list[tuple[Body, int]] = [
    (BindReceiverResponse(), 16),
    (BindTransceiverResponse(), 16),
    (SubmitSmResponse(), 16),
    (SubmitSmResponse("17"), 19),
    (SubmitSmResponse(tlvs=((Tag.STATUS_TEXT, b"no\0"),)), 24),
    (DeliverSmResponse(), 17),
    (DataSmResponse(), 17),
    (SubmitMultiResponse(), 18),
    (QuerySmResponse(), 20),
    (GenericNack(), 16),
]


@pytest.mark.parametrize("body, octets", REFUSALS)
def test_a_refusal_has_a_body_unless_the_standard_takes_it(body: Body, octets: int) -> None:
    """A bind and a submission are refused without an empty body, all else with it, which some peers insist on."""
    assert len(encode_body(body, 1, Status.TEMPORARY_ERROR)) == octets
