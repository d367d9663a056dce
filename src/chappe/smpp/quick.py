"""The bodies that make the traffic, read and written by hand: submit_sm, deliver_sm, and answers with a message_id.

Every message costs eight PDUs, nearly all of these kinds. Field by field (`fields.py`) a submit_sm takes three times as
long. What a field may hold is said there; a test holds both to the same.
"""

from collections.abc import Callable
from struct import Struct as Layout
from typing import Any, Final

from chappe.smpp.fields import (
    ADDRESS_MAX,
    HEADER_OCTETS,
    MESSAGE_ID_MAX,
    MESSAGE_OCTETS_MAX,
    SERVICE_TYPE_MAX,
    TIME_MAX,
    BadField,
    Reader,
    ReadTlvs,
    read_text,
)
from chappe.smpp.tlv import write_tlvs

# From esm_class to sm_length, without schedule_delivery_time and validity_period, which are mostly empty.
BEFORE_TIMES: Final = Layout(">3B")
BEHIND_TIMES: Final = Layout(">5B")
WITH_EMPTY_TIMES: Final = Layout(">3B2x5B")


def short_message_reader(make: Callable[..., Any], read_tlvs: ReadTlvs) -> Reader:
    """Reads submit_sm (4.4.1) or deliver_sm (4.6.1)."""

    def read(octets: bytes) -> Any:
        text = octets.decode("latin-1")
        service_type, place = "", HEADER_OCTETS + 1
        if octets[HEADER_OCTETS]:
            service_type, place = read_text("service_type", text, HEADER_OCTETS, SERVICE_TYPE_MAX)
        source_ton, source_npi = octets[place], octets[place + 1]
        source, place = read_text("source", text, place + 2, ADDRESS_MAX)
        destination_ton, destination_npi = octets[place], octets[place + 1]
        destination, place = read_text("destination", text, place + 2, ADDRESS_MAX)
        if octets[place + 3] or octets[place + 4]:
            esm_class, protocol_id, priority_flag = BEFORE_TIMES.unpack_from(octets, place)
            schedule, place = read_text("schedule_delivery_time", text, place + BEFORE_TIMES.size, TIME_MAX)
            validity, place = read_text("validity_period", text, place, TIME_MAX)
            registered, replace, coding, default, length = BEHIND_TIMES.unpack_from(octets, place)
            place += BEHIND_TIMES.size
        else:
            schedule = validity = ""
            esm_class, protocol_id, priority_flag, registered, replace, coding, default, length = (
                WITH_EMPTY_TIMES.unpack_from(octets, place)
            )
            place += WITH_EMPTY_TIMES.size
        end, size = place + length, len(octets)
        if end > size or length > MESSAGE_OCTETS_MAX:
            raise BadField("short_message", f"a length of {length}")
        return make(
            service_type,
            source_ton,
            source_npi,
            source,
            destination_ton,
            destination_npi,
            destination,
            esm_class,
            protocol_id,
            priority_flag,
            schedule,
            validity,
            registered,
            replace,
            coding,
            default,
            octets[place:end],
            read_tlvs(octets, end) if end < size else (),
        )

    return read


def write_short_message(body: Any) -> bytes:
    """Writes submit_sm or deliver_sm."""
    service_type, source, destination = body.service_type, body.source, body.destination
    schedule, validity, message = body.schedule_delivery_time, body.validity_period, body.short_message
    if (
        len(service_type) >= SERVICE_TYPE_MAX
        or len(source) >= ADDRESS_MAX
        or len(destination) >= ADDRESS_MAX
        or len(schedule) >= TIME_MAX
        or len(validity) >= TIME_MAX
        or len(message) > MESSAGE_OCTETS_MAX
        or "\0" in f"{service_type}{source}{destination}{schedule}{validity}"
    ):
        raise ValueError
    octets = (
        f"{service_type}\0"
        f"{chr(body.source_ton)}{chr(body.source_npi)}{source}\0"
        f"{chr(body.destination_ton)}{chr(body.destination_npi)}{destination}\0"
        f"{chr(body.esm_class)}{chr(body.protocol_id)}{chr(body.priority_flag)}"
        f"{schedule}\0{validity}\0"
        f"{chr(body.registered_delivery)}{chr(body.replace_if_present)}"
        f"{chr(body.data_coding)}{chr(body.default_message_id)}"
        f"{chr(len(message))}{message.decode('latin-1')}"
    ).encode("latin-1")
    return octets + write_tlvs(body.tlvs) if body.tlvs else octets


def message_id_reader(make: Callable[..., Any], read_tlvs: ReadTlvs) -> Reader:
    """Reads submit_sm_resp (4.4.2), deliver_sm_resp (4.6.2) or data_sm_resp (4.7.2)."""

    def read(octets: bytes) -> Any:
        message_id, place = read_text("message_id", octets.decode("latin-1"), HEADER_OCTETS, MESSAGE_ID_MAX)
        return make(message_id, read_tlvs(octets, place) if place < len(octets) else ())

    return read


def write_message_id(body: Any) -> bytes:
    """Writes submit_sm_resp, deliver_sm_resp or data_sm_resp."""
    message_id = body.message_id
    if len(message_id) >= MESSAGE_ID_MAX or "\0" in message_id:
        raise ValueError
    octets: bytes = f"{message_id}\0".encode("latin-1")
    return octets + write_tlvs(body.tlvs) if body.tlvs else octets
