"""SMPP 3.4 protocol data units: records, the table of their fields, and how they become octets and records again.

A body is a record whose fields stand in the order of the wire; `FIELDS` says how each is written (SMPP 3.4, clause 4).
Reading is strict: a length that does not add up, a text without its end, a number that is cut short is a `PduError`,
which knows what to answer. Where nothing is lost by it, what message centres answer and deliver is read with patience.
Optional parameters (TLVs) are kept as they came, known or not, in their order.
"""

from enum import IntEnum
from struct import Struct as Layout
from struct import error as LayoutError
from typing import ClassVar, Final

from msgspec import Struct

from chappe.smpp.fields import (
    ADDRESS_MAX,
    LONG_ADDRESS_MAX,
    MESSAGE_ID_MAX,
    READ_ERRORS,
    SERVICE_TYPE_MAX,
    TIME_MAX,
    WRITE_ERRORS,
    BadField,
    Destinations,
    Failures,
    Field,
    Fields,
    Number,
    Octets,
    Reader,
    Text,
    Writer,
    fault_of,
    reader_of,
    writer_of,
)
from chappe.smpp.fields import HEADER_OCTETS as HEADER_OCTETS
from chappe.smpp.fields import MESSAGE_OCTETS_MAX as MESSAGE_OCTETS_MAX
from chappe.smpp.fields import Address as Address
from chappe.smpp.fields import Unsuccessful as Unsuccessful
from chappe.smpp.quick import message_id_reader, short_message_reader, write_message_id, write_short_message
from chappe.smpp.tlv import Tlvs, read_tlvs, read_tlvs_patiently, write_tlvs

HEADER: Final = Layout(">IIII")  # command_length, command_id, command_status, sequence_number (3.2)
PDU_OCTETS_MAX: Final = 0x1_1000  # a message_payload of 64 K octets and everything beside it
SEQUENCE_MAX: Final = 0x7FFF_FFFF
RESPONSE: Final = 0x8000_0000  # the bit of a response's command_id


class Status(IntEnum):
    """command_status (5.1.3); those from 0x100 on were added by SMPP 5.0 (4.7.6)."""

    OK = 0x00
    INVALID_MESSAGE_LENGTH = 0x01
    INVALID_COMMAND_LENGTH = 0x02
    INVALID_COMMAND_ID = 0x03
    INCORRECT_BIND_STATE = 0x04
    ALREADY_BOUND = 0x05
    INVALID_PRIORITY = 0x06
    INVALID_REGISTERED_DELIVERY = 0x07
    SYSTEM_ERROR = 0x08
    INVALID_SOURCE = 0x0A
    INVALID_DESTINATION = 0x0B
    INVALID_MESSAGE_ID = 0x0C
    BIND_FAILED = 0x0D
    INVALID_PASSWORD = 0x0E
    INVALID_SYSTEM_ID = 0x0F
    CANCEL_FAILED = 0x11
    REPLACE_FAILED = 0x13
    QUEUE_FULL = 0x14
    INVALID_SERVICE_TYPE = 0x15
    INVALID_DESTINATION_COUNT = 0x33
    INVALID_LIST_NAME = 0x34
    INVALID_DESTINATION_FLAG = 0x40
    INVALID_SUBMIT_WITH_REPLACE = 0x42
    INVALID_ESM_CLASS = 0x43
    CANNOT_SUBMIT_TO_LIST = 0x44
    SUBMIT_FAILED = 0x45
    INVALID_SOURCE_TON = 0x48
    INVALID_SOURCE_NPI = 0x49
    INVALID_DESTINATION_TON = 0x50
    INVALID_DESTINATION_NPI = 0x51
    INVALID_SYSTEM_TYPE = 0x53
    INVALID_REPLACE_FLAG = 0x54
    INVALID_MESSAGE_COUNT = 0x55
    THROTTLED = 0x58
    INVALID_SCHEDULE = 0x61
    INVALID_VALIDITY = 0x62
    INVALID_DEFAULT_MESSAGE = 0x63
    TEMPORARY_ERROR = 0x64
    PERMANENT_ERROR = 0x65
    REJECTED = 0x66
    QUERY_FAILED = 0x67
    INVALID_OPTIONAL_PART = 0xC0
    PARAMETER_NOT_ALLOWED = 0xC1
    INVALID_PARAMETER_LENGTH = 0xC2
    MISSING_PARAMETER = 0xC3
    INVALID_PARAMETER_VALUE = 0xC4
    DELIVERY_FAILED = 0xFE
    UNKNOWN_ERROR = 0xFF
    SERVICE_NOT_AUTHORISED = 0x100
    PROHIBITED = 0x101
    SERVICE_UNAVAILABLE = 0x102
    SERVICE_DENIED = 0x103
    INVALID_DATA_CODING = 0x104
    INVALID_SOURCE_SUBUNIT = 0x105
    INVALID_DESTINATION_SUBUNIT = 0x106
    INVALID_BROADCAST_FREQUENCY = 0x107
    INVALID_BROADCAST_ALIAS = 0x108
    INVALID_BROADCAST_AREA = 0x109
    INVALID_BROADCAST_AREA_COUNT = 0x10A
    INVALID_BROADCAST_CONTENT = 0x10B
    INVALID_BROADCAST_CLASS = 0x10C
    BROADCAST_FAILED = 0x10D
    BROADCAST_QUERY_FAILED = 0x10E
    BROADCAST_CANCEL_FAILED = 0x10F
    INVALID_BROADCAST_REPETITIONS = 0x110
    INVALID_BROADCAST_SERVICE_GROUP = 0x111
    INVALID_BROADCAST_CHANNEL = 0x112


class Body(Struct, frozen=True, gc=False):
    """What follows the header; each kind is a class of its own. Texts are one character an octet (Latin-1).

    Each kind may have parameters behind its fields: SMPP 5.0 allows congestion_state in every response (4.8.4.18), and
    those of vendors are anywhere.
    """

    command_id: ClassVar[int]


class GenericNack(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0000

    tlvs: Tlvs = ()


class Bind(Body, frozen=True, gc=False):
    """What the three binds have in common (4.1)."""

    system_id: str = ""
    password: str = ""
    system_type: str = ""
    interface_version: int = 0x34
    address_ton: int = 0
    address_npi: int = 0
    address_range: str = ""
    tlvs: Tlvs = ()


class BindReceiver(Bind, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x01


class BindTransmitter(Bind, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x02


class BindTransceiver(Bind, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x09


class BindResponse(Body, frozen=True, gc=False):
    system_id: str = ""
    tlvs: Tlvs = ()


class BindReceiverResponse(BindResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0001


class BindTransmitterResponse(BindResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0002


class BindTransceiverResponse(BindResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0009


class Outbind(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x0B

    system_id: str = ""
    password: str = ""
    tlvs: Tlvs = ()


class Unbind(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x06

    tlvs: Tlvs = ()


class UnbindResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0006

    tlvs: Tlvs = ()


class EnquireLink(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x15

    tlvs: Tlvs = ()


class EnquireLinkResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0015

    tlvs: Tlvs = ()


class ShortMessage(Body, frozen=True, gc=False):
    """What submit_sm (4.4.1) and deliver_sm (4.6.1) have in common: all of it."""

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present: int = 0
    data_coding: int = 0
    default_message_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class SubmitSm(ShortMessage, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x04


class DeliverSm(ShortMessage, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x05


class MessageResponse(Body, frozen=True, gc=False):
    """The answer to whatever carries a message; its id is empty in a deliver_sm_resp (4.6.2)."""

    message_id: str = ""
    tlvs: Tlvs = ()


class SubmitSmResponse(MessageResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0004


class DeliverSmResponse(MessageResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0005


class DataSm(Body, frozen=True, gc=False):
    """4.7.1; the message stands in the TLV message_payload."""

    command_id: ClassVar[int] = 0x103

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: Tlvs = ()


class DataSmResponse(MessageResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0103


class SubmitMulti(Body, frozen=True, gc=False):
    """4.5.1; a destination is an address, or the name of a distribution list."""

    command_id: ClassVar[int] = 0x21

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destinations: tuple[Address | str, ...] = ()
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present: int = 0
    data_coding: int = 0
    default_message_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class SubmitMultiResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0021

    message_id: str = ""
    unsuccessful: tuple[Unsuccessful, ...] = ()
    tlvs: Tlvs = ()


class QuerySm(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x03

    message_id: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    tlvs: Tlvs = ()


class QuerySmResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0003

    message_id: str = ""
    final_date: str = ""
    message_state: int = 0
    error_code: int = 0
    tlvs: Tlvs = ()


class CancelSm(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x08

    service_type: str = ""
    message_id: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    tlvs: Tlvs = ()


class CancelSmResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0008

    tlvs: Tlvs = ()


class ReplaceSm(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x07

    message_id: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    default_message_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()


class ReplaceSmResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0007

    tlvs: Tlvs = ()


class AlertNotification(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x102

    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    esme_ton: int = 0
    esme_npi: int = 0
    esme: str = ""
    tlvs: Tlvs = ()


class BroadcastSm(Body, frozen=True, gc=False):
    """SMPP 5.0, 4.4.1; what is broadcast, where and how often stands in TLVs."""

    command_id: ClassVar[int] = 0x111

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    message_id: str = ""
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    replace_if_present: int = 0
    data_coding: int = 0
    default_message_id: int = 0
    tlvs: Tlvs = ()


class BroadcastSmResponse(MessageResponse, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0111


class QueryBroadcastSm(Body, frozen=True, gc=False):
    """SMPP 5.0, 4.6.1."""

    command_id: ClassVar[int] = 0x112

    message_id: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    tlvs: Tlvs = ()


class QueryBroadcastSmResponse(MessageResponse, frozen=True, gc=False):
    """SMPP 5.0, 4.6.3; what became of the broadcast stands in TLVs."""

    command_id: ClassVar[int] = 0x8000_0112


class CancelBroadcastSm(Body, frozen=True, gc=False):
    """SMPP 5.0, 4.6.5."""

    command_id: ClassVar[int] = 0x113

    service_type: str = ""
    message_id: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    tlvs: Tlvs = ()


class CancelBroadcastSmResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0113

    tlvs: Tlvs = ()


class Pdu(Struct, frozen=True, gc=False):
    """One PDU: its body and what its header says beyond length and kind."""

    body: Body
    sequence: int
    status: int = 0


class PduError(ValueError):
    """Octets that are no PDU: what is wrong, the octets themselves, and what the header said, where it was there.

    For a body that does not fit into its fields `raw` is empty.
    """

    def __init__(self, status: Status, detail: str, raw: bytes) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.raw = raw
        header = HEADER.unpack_from(raw) if len(raw) >= HEADER_OCTETS else (0, 0, 0, 0)
        self.command_id: int = header[1]
        self.command_status: int = header[2]  # what the peer said, if this is a response
        self.sequence: int = header[3]

    @property
    def answer(self) -> Pdu | None:
        """What goes back: generic_nack where the length or the command is wrong (4.3), else the response of that kind
        of request; None for a response, which nobody answers."""
        if self.command_id & RESPONSE:
            return None
        kind = GenericNack if self.status in NACKED else BODIES.get(self.command_id | RESPONSE, GenericNack)
        return Pdu(kind(), self.sequence, self.status)


NACKED: Final = (Status.INVALID_COMMAND_LENGTH, Status.INVALID_COMMAND_ID)

# The table of fields

BYTE = Number()


def address(name: str, octets_max: int = ADDRESS_MAX) -> Fields:
    return (f"{name}_ton", BYTE), (f"{name}_npi", BYTE), (name, Text(octets_max))


NOTHING: Fields = ()
BIND: Fields = (
    ("system_id", Text(16)),
    ("password", Text(9)),
    ("system_type", Text(13)),
    ("interface_version", BYTE),
    ("address_ton", BYTE),
    ("address_npi", BYTE),
    ("address_range", Text(41)),
)
BIND_RESPONSE: Fields = (("system_id", Text(16)),)
SERVICE_TYPE: Field = ("service_type", Text(SERVICE_TYPE_MAX))
MESSAGE_ID: Field = ("message_id", Text(MESSAGE_ID_MAX))
TIMES: Fields = (("schedule_delivery_time", Text(TIME_MAX)), ("validity_period", Text(TIME_MAX)))
MESSAGE: Field = ("short_message", Octets(MESSAGE_OCTETS_MAX))
DELIVERY: Fields = (
    ("esm_class", BYTE),
    ("protocol_id", BYTE),
    ("priority_flag", BYTE),
    *TIMES,
    ("registered_delivery", BYTE),
    ("replace_if_present", BYTE),
    ("data_coding", BYTE),
    ("default_message_id", BYTE),
    MESSAGE,
)
SHORT_MESSAGE: Fields = (SERVICE_TYPE, *address("source"), *address("destination"), *DELIVERY)

FIELDS: dict[type[Body], Fields] = {
    GenericNack: NOTHING,
    BindReceiver: BIND,
    BindTransmitter: BIND,
    BindTransceiver: BIND,
    BindReceiverResponse: BIND_RESPONSE,
    BindTransmitterResponse: BIND_RESPONSE,
    BindTransceiverResponse: BIND_RESPONSE,
    Outbind: (("system_id", Text(16)), ("password", Text(9))),
    Unbind: NOTHING,
    UnbindResponse: NOTHING,
    EnquireLink: NOTHING,
    EnquireLinkResponse: NOTHING,
    SubmitSm: SHORT_MESSAGE,
    DeliverSm: SHORT_MESSAGE,
    SubmitSmResponse: (MESSAGE_ID,),
    DeliverSmResponse: (MESSAGE_ID,),
    DataSm: (
        SERVICE_TYPE,
        *address("source", LONG_ADDRESS_MAX),
        *address("destination", LONG_ADDRESS_MAX),
        ("esm_class", BYTE),
        ("registered_delivery", BYTE),
        ("data_coding", BYTE),
    ),
    DataSmResponse: (MESSAGE_ID,),
    SubmitMulti: (SERVICE_TYPE, *address("source"), ("destinations", Destinations()), *DELIVERY),
    SubmitMultiResponse: (MESSAGE_ID, ("unsuccessful", Failures())),
    QuerySm: (MESSAGE_ID, *address("source")),
    QuerySmResponse: (MESSAGE_ID, ("final_date", Text(TIME_MAX)), ("message_state", BYTE), ("error_code", BYTE)),
    CancelSm: (SERVICE_TYPE, MESSAGE_ID, *address("source"), *address("destination")),
    CancelSmResponse: NOTHING,
    ReplaceSm: (
        MESSAGE_ID,
        *address("source"),
        *TIMES,
        ("registered_delivery", BYTE),
        ("default_message_id", BYTE),
        MESSAGE,
    ),
    ReplaceSmResponse: NOTHING,
    AlertNotification: (*address("source", LONG_ADDRESS_MAX), *address("esme", LONG_ADDRESS_MAX)),
    BroadcastSm: (
        SERVICE_TYPE,
        *address("source"),
        MESSAGE_ID,
        ("priority_flag", BYTE),
        *TIMES,
        ("replace_if_present", BYTE),
        ("data_coding", BYTE),
        ("default_message_id", BYTE),
    ),
    BroadcastSmResponse: (MESSAGE_ID,),
    QueryBroadcastSm: (MESSAGE_ID, *address("source")),
    QueryBroadcastSmResponse: (MESSAGE_ID,),
    CancelBroadcastSm: (SERVICE_TYPE, MESSAGE_ID, *address("source")),
    CancelBroadcastSmResponse: NOTHING,
}
BODIES: dict[int, type[Body]] = {kind.command_id: kind for kind in FIELDS}

# What is wrong with a field that is too long or without its end, where that has a status of its own.
BAD_FIELD: dict[str, Status] = {
    "source": Status.INVALID_SOURCE,
    "destination": Status.INVALID_DESTINATION,
    "system_id": Status.INVALID_SYSTEM_ID,
    "password": Status.INVALID_PASSWORD,
    "system_type": Status.INVALID_SYSTEM_TYPE,
    "address_range": Status.BIND_FAILED,
    "service_type": Status.INVALID_SERVICE_TYPE,
    "message_id": Status.INVALID_MESSAGE_ID,
    "schedule_delivery_time": Status.INVALID_SCHEDULE,
    "validity_period": Status.INVALID_VALIDITY,
    "short_message": Status.INVALID_MESSAGE_LENGTH,
    "destinations": Status.INVALID_DESTINATION_COUNT,
    "dest_flag": Status.INVALID_DESTINATION_FLAG,
    "body": Status.INVALID_COMMAND_LENGTH,
    "tlvs": Status.INVALID_OPTIONAL_PART,
    "tlv": Status.INVALID_PARAMETER_LENGTH,
}

# Reading and writing


class Plan:
    """How the bodies of one kind are read and written: by hand, or field by field."""

    def __init__(self, kind: type[Body]) -> None:
        self.empty = kind()
        self.fields = FIELDS[kind]
        # What a message centre says nobody there will repair for us; who asks us may be told what is wrong.
        is_patient = kind.command_id & RESPONSE or kind is DeliverSm
        read_parameters = read_tlvs_patiently if is_patient else read_tlvs
        self.read: Reader = reader_of(kind, self.fields, read_parameters)
        self.write: Writer = writer_of(self.fields, write_tlvs)
        if issubclass(kind, ShortMessage):
            self.read, self.write = short_message_reader(kind, read_parameters), write_short_message
        elif issubclass(kind, MessageResponse):
            self.read, self.write = message_id_reader(kind, read_parameters), write_message_id


PLANS: dict[int, Plan] = {kind.command_id: Plan(kind) for kind in FIELDS}


def decode(octets: bytes) -> Pdu:
    """One PDU, whole. Raises PduError."""
    size = len(octets)
    if size < HEADER_OCTETS:
        raise PduError(Status.INVALID_COMMAND_LENGTH, f"a header of {size} octets", octets)
    length, command_id, status, sequence = HEADER.unpack_from(octets)
    if length != size or size > PDU_OCTETS_MAX:
        raise PduError(Status.INVALID_COMMAND_LENGTH, f"command_length {length}, and {size} octets", octets)
    plan = PLANS.get(command_id)
    if plan is None:
        raise PduError(Status.INVALID_COMMAND_ID, f"command_id 0x{command_id:08x}", octets)
    if size == HEADER_OCTETS and command_id & RESPONSE:  # a response may come without its body
        return Pdu(plan.empty, sequence, status)
    try:
        return Pdu(plan.read(octets), sequence, status)
    except READ_ERRORS as error:
        if status and command_id & RESPONSE:  # refused: the body is not returned (4.1.2, 4.4.2), whatever stands there
            return Pdu(plan.empty, sequence, status)
        fault = error if isinstance(error, BadField) else BadField("body", "cut short")
        raise PduError(BAD_FIELD.get(fault.name, Status.INVALID_COMMAND_LENGTH), str(fault), octets) from None


def encode(pdu: Pdu) -> bytes:
    """The octets of a PDU. Raises PduError for what does not fit into its field."""
    return encode_body(pdu.body, pdu.sequence, pdu.status)


# Responses whose body is not returned with an error (4.1.2, 4.1.4, 4.4.2; the transceiver's is taken for one of them).
# Of the others nothing says so, and some message centres hang up where the NULL of a deliver_sm_resp is missing.
BARE_IF_REFUSED: Final = frozenset(
    {BindReceiverResponse, BindTransmitterResponse, BindTransceiverResponse, SubmitSmResponse}
)


def encode_body(body: Body, sequence: int, status: int = 0) -> bytes:
    """The same without the record around it."""
    plan = PLANS[body.command_id]
    try:
        is_bare = status and type(body) in BARE_IF_REFUSED and body == plan.empty
        octets = b"" if is_bare else plan.write(body)
        if len(octets) > PDU_OCTETS_MAX - HEADER_OCTETS:
            raise BadField("body", f"{len(octets)} octets")
        return HEADER.pack(HEADER_OCTETS + len(octets), body.command_id, status, sequence) + octets
    except WRITE_ERRORS as error:
        fault = error if isinstance(error, BadField) else fault_of(plan.fields, body)
        raise PduError(BAD_FIELD.get(fault.name, Status.SYSTEM_ERROR), str(fault), b"") from None
    except LayoutError:
        raise PduError(Status.SYSTEM_ERROR, f"status {status} or sequence {sequence} is out of range", b"") from None
