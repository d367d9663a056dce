"""SMPP 3.4 protocol data units: records, the table of their fields, and how they become octets and records again.

A body is a record whose fields stand in the order of the wire; `FIELDS` says how each is written (SMPP 3.4, clause 4).
Reading is strict: a length that does not add up, a text without its end, a number that is cut short is a `PduError`,
which knows what to answer. Optional parameters (TLVs) are kept as they came, known or not, in their order.
"""

from collections.abc import Callable
from enum import IntEnum
from struct import Struct as Layout
from struct import error as LayoutError
from typing import Any, ClassVar, Final, NamedTuple

from msgspec import Struct

from chappe.smpp.tlv import Tlvs, check

HEADER: Final = Layout(">IIII")  # command_length, command_id, command_status, sequence_number (3.2)
HEADER_OCTETS: Final = 16
PDU_OCTETS_MAX: Final = 65_536
SEQUENCE_MAX: Final = 0x7FFF_FFFF
RESPONSE: Final = 0x8000_0000  # the bit of a response's command_id
MESSAGE_OCTETS_MAX: Final = 254  # of short_message
DESTINATIONS_MAX: Final = 254  # of submit_multi


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
    INVALID_BROADCAST_COUNT = 0x10A
    INVALID_BROADCAST_CONTENT = 0x10B


class Address(NamedTuple):
    """Where a message goes or comes from (4.1, address_ton, address_npi and an address of up to 20 characters)."""

    ton: int
    npi: int
    value: str


class Unsuccessful(NamedTuple):
    """A destination of a submit_multi that did not get the message (4.5.2.1)."""

    address: Address
    status: int


class Body(Struct, frozen=True, gc=False):
    """What follows the header; each kind is a class of its own. Texts are one character an octet (Latin-1)."""

    command_id: ClassVar[int]


class GenericNack(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0000


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


class UnbindResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0006


class EnquireLink(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x15


class EnquireLinkResponse(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x8000_0015


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


class AlertNotification(Body, frozen=True, gc=False):
    command_id: ClassVar[int] = 0x102

    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    esme_ton: int = 0
    esme_npi: int = 0
    esme: str = ""
    tlvs: Tlvs = ()


class Pdu(Struct, frozen=True, gc=False):
    """One PDU: its body and what its header says beyond length and kind."""

    body: Body
    sequence: int
    status: int = 0


class PduError(ValueError):
    """Octets that are no PDU: what is wrong, the octets themselves, and what the header said, where it was there."""

    def __init__(self, status: Status, detail: str, raw: bytes) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.raw = raw
        header = HEADER.unpack_from(raw) if len(raw) >= HEADER_OCTETS else (0, 0, 0, 0)
        self.command_id: int = header[1]
        self.sequence: int = header[3]

    @property
    def answer(self) -> Pdu | None:
        """What goes back: the response of that kind of request, else generic_nack (4.3); None for a response, which
        nobody answers."""
        if self.command_id & RESPONSE:
            return None
        kind = BODIES.get(self.command_id | RESPONSE) if self.command_id in BODIES else None
        return Pdu((kind or GenericNack)(), self.sequence, self.status)


# The table of fields


class Number(NamedTuple):
    """An unsigned integer of so many octets, the most significant first (3.1)."""

    octets: int


class Text(NamedTuple):
    """A C-octet string of at most so many octets, its final NULL included (3.1)."""

    octets_max: int


class Octets(NamedTuple):
    """Octets behind one that tells how many there are."""

    octets_max: int


class Destinations(NamedTuple):
    """dest_address(es) of submit_multi behind their count (4.5.1.1)."""


class Failures(NamedTuple):
    """unsuccess_sme(s) of submit_multi_resp behind their count (4.5.2.1)."""


Kind = Number | Text | Octets | Destinations | Failures
Field = tuple[str, Kind]

BYTE = Number(1)
ADDRESS_MAX, LONG_ADDRESS_MAX, MESSAGE_ID_MAX, TIME_MAX = 21, 65, 65, 17


def address(name: str, octets_max: int = ADDRESS_MAX) -> tuple[Field, ...]:
    return (f"{name}_ton", BYTE), (f"{name}_npi", BYTE), (name, Text(octets_max))


NOTHING: tuple[Field, ...] = ()
BIND: tuple[Field, ...] = (
    ("system_id", Text(16)),
    ("password", Text(9)),
    ("system_type", Text(13)),
    ("interface_version", BYTE),
    ("address_ton", BYTE),
    ("address_npi", BYTE),
    ("address_range", Text(41)),
)
BIND_RESPONSE: tuple[Field, ...] = (("system_id", Text(16)),)
SERVICE_TYPE: Field = ("service_type", Text(6))
MESSAGE_ID: Field = ("message_id", Text(MESSAGE_ID_MAX))
TIMES: tuple[Field, ...] = (("schedule_delivery_time", Text(TIME_MAX)), ("validity_period", Text(TIME_MAX)))
MESSAGE: Field = ("short_message", Octets(MESSAGE_OCTETS_MAX))
DELIVERY: tuple[Field, ...] = (
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
SHORT_MESSAGE: tuple[Field, ...] = (SERVICE_TYPE, *address("source"), *address("destination"), *DELIVERY)

FIELDS: dict[type[Body], tuple[Field, ...]] = {
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
}
BODIES: dict[int, type[Body]] = {kind.command_id: kind for kind in FIELDS}

# What is wrong with a field that is too long or without its end, where that has a status of its own.
BAD_FIELD: dict[str, Status] = {
    "source": Status.INVALID_SOURCE,
    "destination": Status.INVALID_DESTINATION,
    "system_id": Status.INVALID_SYSTEM_ID,
    "password": Status.INVALID_PASSWORD,
    "system_type": Status.INVALID_SYSTEM_TYPE,
    "service_type": Status.INVALID_SERVICE_TYPE,
    "message_id": Status.INVALID_MESSAGE_ID,
    "schedule_delivery_time": Status.INVALID_SCHEDULE,
    "validity_period": Status.INVALID_VALIDITY,
    "short_message": Status.INVALID_MESSAGE_LENGTH,
    "destinations": Status.INVALID_DESTINATION_COUNT,
}

# Reading and writing

Found = tuple[Any, int]  # a value and where the next one begins
Read = Callable[[bytes, int], Found]
Write = Callable[[Any], bytes]


class Bad(Exception):
    """What is wrong with a field; `decode` and `encode` know the rest."""


class Step(NamedTuple):
    """One field, or numbers in a row, which are read and written at once."""

    names: tuple[str, ...]
    layout: Layout | None  # of numbers; else one field by its functions
    read: Read
    write: Write


def decode(octets: bytes) -> Pdu:
    """One PDU, whole. Raises PduError."""
    size = len(octets)
    if size < HEADER_OCTETS:
        raise PduError(Status.INVALID_COMMAND_LENGTH, f"a header of {size} octets", octets)
    length, command_id, status, sequence = HEADER.unpack_from(octets)
    if length != size:
        raise PduError(Status.INVALID_COMMAND_LENGTH, f"command_length {length}, but {size} octets", octets)
    plan = PLANS.get(command_id)
    if plan is None:
        raise PduError(Status.INVALID_COMMAND_ID, f"command_id 0x{command_id:08x}", octets)
    body = plan.empty
    if size > HEADER_OCTETS or not command_id & RESPONSE:  # a response may come without its body
        body = plan.read(octets)
    return Pdu(body, sequence, status)


def encode(pdu: Pdu) -> bytes:
    """The octets of a PDU. Raises PduError for what does not fit into its field."""
    return encode_body(pdu.body, pdu.sequence, pdu.status)


def encode_body(body: Body, sequence: int, status: int = 0) -> bytes:
    """The same without the record around it."""
    plan = PLANS[body.command_id]
    # Of a response that reports an error the body is not returned (4.1.2, 4.4.2), unless there is something in it.
    octets = b"" if status and body == plan.empty else plan.write(body)
    return HEADER.pack(HEADER_OCTETS + len(octets), body.command_id, status, sequence) + octets


class Plan:
    """How the bodies of one kind are read and written: the table of fields, made ready."""

    def __init__(self, kind: type[Body]) -> None:
        self.empty = kind()
        self._kind = kind
        self._steps = tuple(steps_of(FIELDS[kind]))
        self._has_tlvs = "tlvs" in kind.__struct_fields__

    def read(self, octets: bytes) -> Body:
        values: list[Any] = []
        place, size = HEADER_OCTETS, len(octets)
        step = None
        try:
            for step in self._steps:
                layout = step.layout
                if layout is not None:
                    values += layout.unpack_from(octets, place)
                    place += layout.size
                else:
                    value, place = step.read(octets, place)
                    values.append(value)
        except (Bad, IndexError, ValueError, LayoutError) as error:
            name = step.names[0] if step is not None else ""
            status = BAD_FIELD.get(name, Status.INVALID_COMMAND_LENGTH)
            raise PduError(status, f"{name}: {str(error) or 'cut short'}", octets) from None
        if self._has_tlvs:
            values.append(read_tlvs(octets, place) if place < size else ())
        elif place < size:
            raise PduError(Status.INVALID_COMMAND_LENGTH, f"{size - place} octets too many", octets)
        return self._kind(*values)

    def write(self, body: Body) -> bytes:
        parts = []
        step = None
        try:
            for step in self._steps:
                layout = step.layout
                if layout is not None:
                    parts.append(layout.pack(*[getattr(body, name) for name in step.names]))
                else:
                    parts.append(step.write(getattr(body, step.names[0])))
        except (Bad, ValueError, LayoutError) as error:
            name = step.names[0] if step is not None else ""
            raise PduError(BAD_FIELD.get(name, Status.SYSTEM_ERROR), f"{name}: {error}", b"") from None
        if self._has_tlvs:
            parts += [TLV.pack(tag, len(value)) + value for tag, value in body.tlvs]  # type: ignore[attr-defined]
        return b"".join(parts)


TLV: Final = Layout(">HH")


def read_tlvs(octets: bytes, place: int) -> Tlvs:
    """The optional parameters from this place to the end, in their order (3.2.4.1)."""
    found = []
    size = len(octets)
    while place < size:
        end = place + 4
        if end > size:
            raise PduError(Status.INVALID_OPTIONAL_PART, "a parameter without its length", octets)
        tag, length = TLV.unpack_from(octets, place)
        place = end + length
        if place > size:
            raise PduError(Status.INVALID_OPTIONAL_PART, f"parameter 0x{tag:04x} is cut short", octets)
        value = octets[end:place]
        if not check(tag, value):
            raise PduError(Status.INVALID_PARAMETER_LENGTH, f"parameter 0x{tag:04x} of {length} octets", octets)
        found.append((tag, value))
    return tuple(found)


def steps_of(fields: tuple[Field, ...]) -> list[Step]:
    steps: list[Step] = []
    for name, kind in fields:
        if isinstance(kind, Number):
            before = steps.pop() if steps and steps[-1].layout is not None else None
            names = (*(before.names if before else ()), name)
            steps.append(Step(names, Layout(">" + "B" * len(names)), unread, unwritten))
        else:
            steps.append(Step((name,), None, *FUNCTIONS[type(kind)](kind)))
    return steps


def unread(_octets: bytes, _place: int) -> Found:
    raise AssertionError("numbers are read in rows")


def unwritten(_value: Any) -> bytes:
    raise AssertionError("numbers are written in rows")


def text_functions(kind: Text) -> tuple[Read, Write]:
    octets_max = kind.octets_max

    def read(octets: bytes, place: int) -> Found:
        end = octets.find(0, place, place + octets_max)
        if end < 0:
            raise Bad(f"no end within {octets_max} octets")
        return (str(octets[place:end], "latin-1") if end > place else ""), end + 1

    def write(value: str) -> bytes:
        if len(value) >= octets_max:
            raise Bad(f"{len(value)} octets, at most {octets_max - 1} fit")
        if "\0" in value:
            raise Bad("a NULL within")
        return value.encode("latin-1") + b"\0"

    return read, write


def octets_functions(kind: Octets) -> tuple[Read, Write]:
    octets_max = kind.octets_max

    def read(octets: bytes, place: int) -> Found:
        end = place + 1 + octets[place]
        if end > len(octets) or end - place - 1 > octets_max:
            raise Bad(f"a length of {octets[place]}")
        return octets[place + 1 : end], end

    def write(value: bytes) -> bytes:
        if len(value) > octets_max:
            raise Bad(f"{len(value)} octets, at most {octets_max} fit")
        return bytes((len(value),)) + value

    return read, write


read_address, write_address = text_functions(Text(ADDRESS_MAX))
IS_ADDRESS, IS_LIST = 1, 2  # dest_flag (5.2.25)


def destination_functions(_kind: Destinations) -> tuple[Read, Write]:
    def read(octets: bytes, place: int) -> Found:
        count, place = octets[place], place + 1
        found: list[Address | str] = []
        for _ in range(count):
            flag, place = octets[place], place + 1
            if flag == IS_ADDRESS:
                value, end = read_address(octets, place + 2)
                found.append(Address(octets[place], octets[place + 1], value))
            elif flag == IS_LIST:
                value, end = read_address(octets, place)
                found.append(value)
            else:
                raise Bad(f"dest_flag {flag}")
            place = end
        return tuple(found), place

    def write(destinations: tuple[Address | str, ...]) -> bytes:
        if len(destinations) > DESTINATIONS_MAX:
            raise Bad(f"{len(destinations)} destinations, at most {DESTINATIONS_MAX} fit")
        written = [
            bytes((IS_LIST,)) + write_address(one)
            if isinstance(one, str)
            else bytes((IS_ADDRESS, one.ton, one.npi)) + write_address(one.value)
            for one in destinations
        ]
        return bytes((len(written),)) + b"".join(written)

    return read, write


def failure_functions(_kind: Failures) -> tuple[Read, Write]:
    def read(octets: bytes, place: int) -> Found:
        count, place = octets[place], place + 1
        found = []
        for _ in range(count):
            value, end = read_address(octets, place + 2)
            (status,) = STATUS.unpack_from(octets, end)
            found.append(Unsuccessful(Address(octets[place], octets[place + 1], value), status))
            place = end + STATUS.size
        return tuple(found), place

    def write(failures: tuple[Unsuccessful, ...]) -> bytes:
        written = [
            bytes((one.address.ton, one.address.npi)) + write_address(one.address.value) + STATUS.pack(one.status)
            for one in failures
        ]
        return bytes((len(written),)) + b"".join(written)

    return read, write


STATUS: Final = Layout(">I")
FUNCTIONS: dict[type[Kind], Callable[[Any], tuple[Read, Write]]] = {
    Text: text_functions,
    Octets: octets_functions,
    Destinations: destination_functions,
    Failures: failure_functions,
}
PLANS: dict[int, Plan] = {kind.command_id: Plan(kind) for kind in FIELDS}
