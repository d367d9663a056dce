"""Somebody else's eyes: tshark finds in PDUs of every kind what we meant, and in those of others what we find there."""

import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from chappe.smpp.fields import Address, Destinations, Failures, Kind, Number, Octets, Text, Unsuccessful
from chappe.smpp.pdu import (
    FIELDS,
    RESPONSE,
    Bind,
    Body,
    CancelSm,
    DataSm,
    DeliverSm,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResponse,
    Status,
    SubmitSmResponse,
    decode,
    encode,
)
from chappe.smpp.tlv import TEXT, Tag, Tlvs, number, read_text, text
from chappe.smpp.tlv import Kind as TlvKind
from parts import require
from smpp.capture import Row, Said, dissect, pcap
from smpp.golden import GOLDEN

SEED: Final = 20_261_121
PDUS_PER_KIND: Final = 40
CHARACTERS: Final = "0123456789+ABCXYZabcxyz-._/@"
TIMES: Final = ("", "261201120000000+", "000007000000000R")
EMPTY: Final = ("", "(Default)", "0.000000000")  # what it shows of an empty text, service_type and time
CAPTURES: Final = Path(__file__).parent / "captures.txt"
UDH_INDICATOR: Final = 0x40

# Our fields in tshark's words. Those with a mask show some bits of a number.
PLAIN: Final = {
    "system_id": "system_id",
    "password": "password",
    "system_type": "system_type",
    "interface_version": "interface_version",
    "address_ton": "addr_ton",
    "address_npi": "addr_npi",
    "address_range": "address_range",
    "service_type": "service_type",
    "source_ton": "source_addr_ton",
    "source_npi": "source_addr_npi",
    "source": "source_addr",
    "destination_ton": "dest_addr_ton",
    "destination_npi": "dest_addr_npi",
    "destination": "destination_addr",
    "esme_ton": "esme_addr_ton",
    "esme_npi": "esme_addr_npi",
    "esme": "esme_addr",
    "protocol_id": "protocol_id",
    "priority_flag": "priority_flag",
    "data_coding": "data_coding",
    "default_message_id": "sm_default_msg_id",
    "message_id": "message_id",
    "message_state": "message_state",
    "error_code": "error_code",
}
MASKED: Final = {
    "esm_class": (("esm.submit.msg_mode", 0x03), ("esm.submit.msg_type", 0x3C), ("esm.submit.features", 0xC0)),
    "registered_delivery": (("regdel.receipt", 0x03), ("regdel.acks", 0x0C), ("regdel.notif", 0x10)),
    "replace_if_present": (("replace_if_present_flag", 0x01),),
}
TIME_FIELDS: Final = ("schedule_delivery_time", "validity_period", "final_date")

# Parameters in tshark's words; of the others it shows the tag and the length only, or parts of them.
PARAMETERS: Final = {
    Tag.DESTINATION_SUBUNIT: "dest_addr_subunit",
    Tag.DESTINATION_NETWORK_TYPE: "dest_network_type",
    Tag.DESTINATION_BEARER_TYPE: "dest_bearer_type",
    Tag.DESTINATION_TELEMATICS_ID: "dest_telematics_id",
    Tag.SOURCE_SUBUNIT: "source_addr_subunit",
    Tag.SOURCE_NETWORK_TYPE: "source_network_type",
    Tag.SOURCE_BEARER_TYPE: "source_bearer_type",
    Tag.SOURCE_TELEMATICS_ID: "source_telematics_id",
    Tag.TIME_TO_LIVE: "qos_time_to_live",
    Tag.PAYLOAD_TYPE: "payload_type",
    Tag.STATUS_TEXT: "additional_status_info_text",
    Tag.RECEIPTED_MESSAGE_ID: "receipted_message_id",
    Tag.PRIVACY_INDICATOR: "privacy_indicator",
    Tag.SOURCE_SUBADDRESS: "source_subaddress",
    Tag.DESTINATION_SUBADDRESS: "dest_subaddress",
    Tag.USER_MESSAGE_REFERENCE: "user_message_reference",
    Tag.USER_RESPONSE_CODE: "user_response_code",
    Tag.SOURCE_PORT: "source_port",
    Tag.DESTINATION_PORT: "destination_port",
    Tag.SAR_REFERENCE: "sar_msg_ref_num",
    Tag.LANGUAGE_INDICATOR: "language_indicator",
    Tag.SAR_TOTAL: "sar_total_segments",
    Tag.SAR_POSITION: "sar_segment_seqnum",
    Tag.SC_INTERFACE_VERSION: "SC_interface_version",
    Tag.NUMBER_OF_MESSAGES: "number_of_messages",
    Tag.DPF_RESULT: "dpf_result",
    Tag.SET_DPF: "set_dpf",
    Tag.MS_AVAILABILITY_STATUS: "ms_availability_status",
    Tag.MESSAGE_PAYLOAD: "message_payload",
    Tag.DELIVERY_FAILURE_REASON: "delivery_failure_reason",
    Tag.MORE_MESSAGES_TO_SEND: "more_messages_to_send",
    Tag.MESSAGE_STATE: "message_state",
    Tag.USSD_SERVICE_OP: "ussd_service_op",
    Tag.DISPLAY_TIME: "display_time",
    Tag.SMS_SIGNAL: "sms_signal",
    Tag.ITS_REPLY_TYPE: "its_reply_type",
    Tag.CONGESTION_STATE: "congestion_state",
    Tag.BROADCAST_CHANNEL_INDICATOR: "broadcast_channel_indicator",
    Tag.BROADCAST_CONTENT_TYPE_INFO: "broadcast_content_type.info",
    Tag.BROADCAST_MESSAGE_CLASS: "broadcast_message_class",
    Tag.BROADCAST_ERROR_STATUS: "broadcast_error_status",
    Tag.BROADCAST_AREA_SUCCESS: "broadcast_area_success",
    Tag.BROADCAST_SERVICE_GROUP: "broadcast_service_group",
    Tag.BILLING_IDENTIFICATION: "billing_id",
    Tag.SOURCE_NETWORK_ID: "source_network_id",
    Tag.DESTINATION_NETWORK_ID: "dest_network_id",
    Tag.SOURCE_NODE_ID: "source_node_id",
    Tag.DESTINATION_NODE_ID: "dest_node_id",
    Tag.PORTING_RESOLUTION: "dest_addr_np_resolution",
    Tag.PORTING_INFORMATION: "dest_addr_np_info",
    Tag.PORTING_COUNTRY: "dest_addr_np_country",
}

# tshark 4.0 is wrong about these: it goes on an octet too early behind broadcast_rep_num, three behind an ms_validity
# of four octets (SMPP 5.0), and does not find the end of broadcast_end_time.
MISREAD: Final = {
    (Tag.BROADCAST_REP_NUM, 2),
    (Tag.MS_VALIDITY, 4),
    (Tag.BROADCAST_END_TIME, 16),
    (Tag.BROADCAST_END_TIME, 17),
}

# Where SMPP 3.4 has no parameters tshark does not look for any, and does not complain of them.
WITHOUT_PARAMETERS: Final = (Bind, Outbind, QuerySm, QuerySmResponse, CancelSm)

COMPLAINTS: Final = ("_ws.expert.message", "_ws.malformed")
SUMS: Final = ("ip.checksum.status", "tcp.checksum.status")
OTHERS: Final = ("command_length", "command_id", "command_status", "sequence_number", "opt_param_tag", "opt_param_len")
MORE: Final = ("message", "sm_length", "dl_name", "error_status_code", "network_error.type", "network_error.code")
SMPP_FIELDS: Final = tuple(
    dict.fromkeys(
        (
            *(*OTHERS, *MORE, *PLAIN.values(), *PARAMETERS.values()),
            *(name for fields in MASKED.values() for name, _ in fields),
            *(f"{name}{suffix}" for name in TIME_FIELDS for suffix in ("", "_r")),
        )
    )
)
ASKED: Final = (*COMPLAINTS, *SUMS, "_ws.col.Info", *(f"smpp.{name}" for name in SMPP_FIELDS))

Meant = dict[str, list[Any]]  # tshark's field and what it must find there, once or more often


@pytest.fixture(scope="module")
def tshark() -> None:
    require("tshark", shutil.which("tshark") is not None)


# What we mean


def meaning(pdu: Pdu) -> Meant:
    """What tshark must find in a PDU."""
    meant: Meant = defaultdict(list)
    meant["command_id"] = [pdu.body.command_id]
    meant["command_status"] = [int(pdu.status)] if pdu.body.command_id & RESPONSE else []
    meant["sequence_number"] = [pdu.sequence]
    meant["command_length"] = [len(encode(pdu))]
    if pdu.status and pdu.body.command_id & RESPONSE:
        return meant  # tshark knows that the body of a refusal is not returned, and does not look
    for name, _ in FIELDS[type(pdu.body)]:
        for field, value in meanings(name, getattr(pdu.body, name)):
            meant[field].append(value)
    if not isinstance(pdu.body, WITHOUT_PARAMETERS) and FIELDS[type(pdu.body)]:
        for field, value in meanings_of_parameters(pdu.body.tlvs):  # type: ignore[attr-defined]
            meant[field].append(value)
    return meant


def meanings(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if name in MASKED:
        return [(field, (value & mask) // (mask & -mask)) for field, mask in MASKED[name]]
    if name in TIME_FIELDS:
        return [(f"{name}_r" if value.endswith("R") else name, shown_time(value))]
    if name == "short_message":
        return [("sm_length", len(value)), *([("message", value)] if value else [])]
    if name == "destinations":
        return [one for destination in value for one in meanings_of_destination(destination)]
    if name == "unsuccessful":
        return [
            one
            for failure in value
            for one in (*meanings_of_destination(failure.address), ("error_status_code", failure.status))
        ]
    return [(PLAIN[name], value)]


def shown_time(written: str) -> str:
    """How tshark shows an absolute time in UTC, and a relative one of less than a month (7.1.1)."""
    if not written:
        return ""
    if written.endswith("R"):
        days, hours, minutes, seconds = (int(written[start : start + 2]) for start in (4, 6, 8, 10))
        return f"{((days * 24 + hours) * 60 + minutes) * 60 + seconds}.000000000"
    instant = datetime.strptime(written[:12], "%y%m%d%H%M%S")
    return f"{instant:%b %e, %Y %H:%M:%S}.{written[12]}00000000 UTC"


def meanings_of_destination(destination: Address | str) -> Iterable[tuple[str, Any]]:
    if isinstance(destination, str):
        return [("dl_name", destination)]
    return zip(("dest_addr_ton", "dest_addr_npi", "destination_addr"), destination, strict=True)


def meanings_of_parameters(tlvs: Tlvs) -> Iterable[tuple[str, Any]]:
    for tag, value in tlvs:
        yield "opt_param_tag", int(tag)
        yield "opt_param_len", len(value)
        if tag == Tag.NETWORK_ERROR_CODE:
            yield from (("network_error.type", value[0]), ("network_error.code", int.from_bytes(value[1:])))
        elif tag in PARAMETERS:
            kind = TlvKind.OCTETS if tag == Tag.PORTING_COUNTRY else Tag(tag).kind  # so tshark takes it
            yield PARAMETERS[Tag(tag)], MEANINGS[kind](value)


MEANINGS: Final[dict[TlvKind, Callable[[bytes], Any]]] = {
    TlvKind.INTEGER: int.from_bytes,
    TlvKind.TEXT: read_text,
    TlvKind.OCTETS: bytes,
}


def is_same(meant: Any, shown: str) -> bool:
    """Whether tshark shows what we meant."""
    if isinstance(meant, int):
        return int(shown, 0) == meant
    return shown == (meant.hex() if isinstance(meant, bytes) else meant)


def verify(pdu: Pdu, row: Row) -> None:
    """tshark complains of nothing and shows every value that we meant, and none beside them."""
    assert not any(row[field] for field in COMPLAINTS), (pdu, row["_ws.expert.message"])
    assert all(row[field] == ["1"] for field in SUMS)  # the capture itself is right
    meant = meaning(pdu)
    for field in SMPP_FIELDS:
        values = [value for value in meant.get(field, ()) if value not in ("", b"")]
        shown = [value for value in row[f"smpp.{field}"] if value not in EMPTY]
        assert len(shown) == len(values), (pdu, field, values, shown)
        assert all(map(is_same, values, shown)), (pdu, field, values, shown)


def read_by_tshark(folder: Path, pdus: Sequence[Pdu]) -> list[Row]:
    file = folder / "smpp.pcap"
    file.write_bytes(pcap(Said(encode(pdu), is_by_centre=bool(pdu.body.command_id & RESPONSE)) for pdu in pdus))
    rows = dissect(file, ASKED)
    assert len(rows) == len(pdus)
    return rows


# PDUs with values by chance


def any_text(chance: random.Random, octets_max: int) -> str:
    return "".join(chance.choices(CHARACTERS, k=chance.choice((0, 1, octets_max - 1, chance.randrange(octets_max)))))


def any_address(chance: random.Random) -> Address:
    return Address(chance.randrange(256), chance.randrange(256), any_text(chance, 21))


def any_value(chance: random.Random, name: str, kind: Kind) -> Any:
    if name in TIME_FIELDS:
        return chance.choice([one for one in TIMES if name != "final_date" or one[-1:] != "R"])
    match kind:
        case Number():  # octets by chance are no user data header
            return chance.randrange(256) & ~(UDH_INDICATOR if name == "esm_class" else 0)
        case Text(octets_max):
            return any_text(chance, octets_max)
        case Octets(octets_max):
            return chance.randbytes(chance.choice((0, 1, octets_max)))
        case Destinations():
            count = chance.choice((1, 2, 254))
            return tuple(chance.choice((any_address(chance), any_text(chance, 21))) for _ in range(count))
        case Failures():
            count = chance.choice((0, 1, 254))
            return tuple(Unsuccessful(any_address(chance), chance.choice(list(Status))) for _ in range(count))


def any_parameters(chance: random.Random) -> Tlvs:
    few = (
        number(Tag.USER_MESSAGE_REFERENCE, chance.randrange(1 << 16)),
        number(Tag.SOURCE_PORT, chance.randrange(1 << 16)),
        number(Tag.MORE_MESSAGES_TO_SEND, chance.randrange(2)),
        number(Tag.CONGESTION_STATE, chance.randrange(101)),
        number(Tag.TIME_TO_LIVE, chance.randrange(1 << 32)),
        text(Tag.RECEIPTED_MESSAGE_ID, any_text(chance, 65) or "1"),
        text(Tag.STATUS_TEXT, any_text(chance, 256) or "no"),
        (int(Tag.NETWORK_ERROR_CODE), chance.randbytes(3)),
        (chance.randrange(0x1400, 0x4000), chance.randbytes(chance.randrange(40))),
    )
    return tuple(chance.sample(few, chance.randrange(5)))


def any_pdu(chance: random.Random, kind: type[Body]) -> Pdu:
    values = {name: any_value(chance, name, one) for name, one in FIELDS[kind]}
    return Pdu(kind(**values, tlvs=any_parameters(chance)), chance.randrange(1 << 31))


def test_tshark_reads_the_golden_pdus(tshark: None, tmp_path: Path) -> None:
    """Of the golden PDUs tshark says what stands beside their octets, and complains of none."""
    pdus = [pdu for _, pdu in GOLDEN if Tag.BROADCAST_REP_NUM not in dict(pdu.body.tlvs)]  # type: ignore[attr-defined]
    for pdu, row in zip(pdus, read_by_tshark(tmp_path, pdus), strict=True):
        verify(pdu, row)


def captured() -> list[bytes]:
    """What others wrote."""
    lines = CAPTURES.read_text().splitlines()
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def test_what_others_write_we_would_write_too() -> None:
    """PDUs of four other programs are read, and written again with the same octets."""
    for octets in captured():
        assert encode(decode(octets)) == octets


def test_what_others_write_we_read_as_tshark_does(tshark: None, tmp_path: Path) -> None:
    """In PDUs of four other programs we find the values that tshark finds there."""
    pdus = [decode(octets) for octets in captured()]
    for pdu, row in zip(pdus, read_by_tshark(tmp_path, pdus), strict=True):
        verify(pdu, row)


def test_tshark_reads_every_kind_of_pdu_with_many_values(tshark: None, tmp_path: Path) -> None:
    """Forty PDUs of each kind, with values and parameters by chance, are read by tshark as we meant them."""
    chance = random.Random(SEED)
    pdus = [any_pdu(chance, kind) for kind in FIELDS for _ in range(PDUS_PER_KIND)]
    for pdu, row in zip(pdus, read_by_tshark(tmp_path, pdus), strict=True):
        verify(pdu, row)


def filled(tag: Tag, size: int) -> bytes:
    return b"7" * (size - 1) + b"\0" if tag.kind is TEXT else b"7" * size


def test_tshark_knows_every_parameter(tshark: None, tmp_path: Path) -> None:
    """Each parameter of the standard, at its least and greatest length, has for tshark the value that we gave it."""
    tlvs = [
        (int(tag), (b"7" * size)[: size - 1] + (b"\0" if tag.kind.name == "TEXT" and size else b"7"[:size]))
        for tag in Tag
        for size in sorted({tag.octets_min, min(tag.octets_max, 1_000)})
        if (tag, size) not in MISREAD
    ]
    pdus = [Pdu(DataSm(source="1", tlvs=(one,)), sequence) for sequence, one in enumerate(tlvs, 1)]
    for pdu, row in zip(pdus, read_by_tshark(tmp_path, pdus), strict=True):
        verify(pdu, row)


def test_tshark_knows_every_status(tshark: None, tmp_path: Path) -> None:
    """tshark has a sentence for each of our statuses, and each has its own."""
    pdus = [Pdu(SubmitSmResponse(), sequence, status) for sequence, status in enumerate(Status, 1)]
    said = [" ".join(row["_ws.col.Info"]) for row in read_by_tshark(tmp_path, pdus)]
    assert not [one for one in said if "Unknown error:" in one or "eserved" in one]
    assert len(set(said)) == len(Status)


def test_tshark_joins_pdus_that_come_in_pieces(tshark: None, tmp_path: Path) -> None:
    """A PDU with a payload of 65,000 octets, cut into several segments, is read by tshark, and the next one too."""
    long = Pdu(DeliverSm(tlvs=((int(Tag.MESSAGE_PAYLOAD), bytes(range(250)) * 260),)), 1)
    short = Pdu(DeliverSm(short_message=b"Hi"), 2)
    for pdu, row in zip((long, short), read_by_tshark(tmp_path, (long, short)), strict=True):
        verify(pdu, row)
