"""Optional parameters (TLVs): their tags, how long each may be, and how they are read and written (SMPP 3.4, 5.3)."""

from enum import Enum, IntEnum
from struct import Struct as Layout
from struct import error as LayoutError
from typing import Final, NamedTuple

from chappe.smpp.fields import BadField

Tlvs = tuple[tuple[int, bytes], ...]  # tag and value, in the order of the wire; a tag may come more than once

HEAD: Final = Layout(">HH")  # tag and length (3.2.4.1)
HEAD_OCTETS: Final = 4
OCTETS_MAX: Final = 65_535
VENDOR_TAGS: Final = range(0x1400, 0x4000)  # of message centres' vendors (5.3.2)


class Kind(Enum):
    """How a value is written (3.1)."""

    INTEGER = "integer"
    TEXT = "C-octet string"
    OCTETS = "octets"


INTEGER, TEXT, OCTETS = Kind


class Tag(IntEnum):
    """The parameters of SMPP 3.4 (5.3.2) and, in the second half, those that SMPP 5.0 added (4.8.4): the tag, how its
    value is written, and how many octets that has, at least and at most. A remark gives a name that is not the
    standard's."""

    kind: Kind
    octets_min: int
    octets_max: int

    def __new__(cls, tag: int, kind: Kind = OCTETS, octets_min: int = 0, octets_max: int | None = None) -> "Tag":
        self = int.__new__(cls, tag)
        self._value_ = tag
        self.kind, self.octets_min = kind, octets_min
        self.octets_max = octets_min if octets_max is None else octets_max
        return self

    DESTINATION_SUBUNIT = 0x0005, INTEGER, 1  # dest_addr_subunit
    DESTINATION_NETWORK_TYPE = 0x0006, INTEGER, 1
    DESTINATION_BEARER_TYPE = 0x0007, INTEGER, 1
    DESTINATION_TELEMATICS_ID = 0x0008, INTEGER, 2
    SOURCE_SUBUNIT = 0x000D, INTEGER, 1  # source_addr_subunit
    SOURCE_NETWORK_TYPE = 0x000E, INTEGER, 1
    SOURCE_BEARER_TYPE = 0x000F, INTEGER, 1
    SOURCE_TELEMATICS_ID = 0x0010, INTEGER, 1
    TIME_TO_LIVE = 0x0017, INTEGER, 4  # qos_time_to_live, seconds
    PAYLOAD_TYPE = 0x0019, INTEGER, 1
    STATUS_TEXT = 0x001D, TEXT, 1, 256  # additional_status_info_text
    RECEIPTED_MESSAGE_ID = 0x001E, TEXT, 1, 65
    MESSAGE_WAITING = 0x0030, OCTETS, 1  # ms_msg_wait_facilities
    PRIVACY_INDICATOR = 0x0201, INTEGER, 1
    SOURCE_SUBADDRESS = 0x0202, OCTETS, 2, 23
    DESTINATION_SUBADDRESS = 0x0203, OCTETS, 2, 23
    USER_MESSAGE_REFERENCE = 0x0204, INTEGER, 2
    USER_RESPONSE_CODE = 0x0205, INTEGER, 1
    SOURCE_PORT = 0x020A, INTEGER, 2
    DESTINATION_PORT = 0x020B, INTEGER, 2
    SAR_REFERENCE = 0x020C, INTEGER, 2  # sar_msg_ref_num
    LANGUAGE_INDICATOR = 0x020D, INTEGER, 1
    SAR_TOTAL = 0x020E, INTEGER, 1  # sar_total_segments
    SAR_POSITION = 0x020F, INTEGER, 1  # sar_segment_seqnum
    SC_INTERFACE_VERSION = 0x0210, INTEGER, 1
    CALLBACK_PRESENTATION = 0x0302, OCTETS, 1  # callback_num_pres_ind
    CALLBACK_TAG = 0x0303, OCTETS, 0, 65  # callback_num_atag
    NUMBER_OF_MESSAGES = 0x0304, INTEGER, 1
    CALLBACK_NUMBER = 0x0381, OCTETS, 4, 19  # callback_num
    DPF_RESULT = 0x0420, INTEGER, 1
    SET_DPF = 0x0421, INTEGER, 1
    MS_AVAILABILITY_STATUS = 0x0422, INTEGER, 1
    NETWORK_ERROR_CODE = 0x0423, OCTETS, 3
    MESSAGE_PAYLOAD = 0x0424, OCTETS, 0, OCTETS_MAX
    DELIVERY_FAILURE_REASON = 0x0425, INTEGER, 1
    MORE_MESSAGES_TO_SEND = 0x0426, INTEGER, 1
    MESSAGE_STATE = 0x0427, INTEGER, 1
    USSD_SERVICE_OP = 0x0501, INTEGER, 1
    DISPLAY_TIME = 0x1201, INTEGER, 1
    SMS_SIGNAL = 0x1203, INTEGER, 2
    MS_VALIDITY = 0x1204, OCTETS, 1, 4  # one octet in 3.4; 5.0 may add a unit and a count
    ALERT_ON_MESSAGE_DELIVERY = 0x130C, OCTETS, 0, 1  # empty in 3.4; 5.0 may name a kind of alert
    ITS_REPLY_TYPE = 0x1380, INTEGER, 1
    ITS_SESSION_INFO = 0x1383, OCTETS, 2

    CONGESTION_STATE = 0x0428, INTEGER, 1
    BROADCAST_CHANNEL_INDICATOR = 0x0600, INTEGER, 1
    BROADCAST_CONTENT_TYPE = 0x0601, OCTETS, 3
    BROADCAST_CONTENT_TYPE_INFO = 0x0602, OCTETS, 1, 255
    BROADCAST_MESSAGE_CLASS = 0x0603, INTEGER, 1
    BROADCAST_REP_NUM = 0x0604, INTEGER, 2
    BROADCAST_FREQUENCY_INTERVAL = 0x0605, OCTETS, 3
    BROADCAST_AREA_IDENTIFIER = 0x0606, OCTETS, 1, OCTETS_MAX
    BROADCAST_ERROR_STATUS = 0x0607, INTEGER, 4
    BROADCAST_AREA_SUCCESS = 0x0608, INTEGER, 1
    BROADCAST_END_TIME = 0x0609, TEXT, 16, 17  # the table says 16, an absolute time with its NULL has 17
    BROADCAST_SERVICE_GROUP = 0x060A, OCTETS, 1, 255
    BILLING_IDENTIFICATION = 0x060B, OCTETS, 1, 1024
    SOURCE_NETWORK_ID = 0x060D, TEXT, 7, 65
    DESTINATION_NETWORK_ID = 0x060E, TEXT, 7, 65
    SOURCE_NODE_ID = 0x060F, OCTETS, 6
    DESTINATION_NODE_ID = 0x0610, OCTETS, 6
    PORTING_RESOLUTION = 0x0611, INTEGER, 1  # dest_addr_np_resolution
    PORTING_INFORMATION = 0x0612, OCTETS, 10  # dest_addr_np_information
    PORTING_COUNTRY = 0x0613, INTEGER, 1, 5  # dest_addr_np_country


class Size(NamedTuple):
    """How many octets a parameter may have."""

    octets_min: int
    octets_max: int


ANY: Final = Size(0, OCTETS_MAX)  # of a parameter that nobody knows
SIZES: Final[dict[int, Size]] = {int(tag): Size(tag.octets_min, tag.octets_max) for tag in Tag}


class NetworkError(NamedTuple):
    """network_error_code (5.3.2.31): the kind of network (3 = GSM) and what it said."""

    network: int
    code: int


# What stands in the parameters of a PDU


def find(tlvs: Tlvs, tag: int) -> bytes | None:
    """The value of the first parameter with this tag."""
    for each, value in tlvs:
        if each == tag:
            return value
    return None


def find_number(tlvs: Tlvs, tag: int) -> int | None:
    """The same as an unsigned integer, of whatever width it came in; None for an empty one too."""
    value = find(tlvs, tag)
    return int.from_bytes(value) if value else None


def find_text(tlvs: Tlvs, tag: int) -> str | None:
    """The same as a text."""
    value = find(tlvs, tag)
    return read_text(value) if value is not None else None


def find_network_error(tlvs: Tlvs) -> NetworkError | None:
    """What network_error_code says; None too where it has not its three octets."""
    value = find(tlvs, Tag.NETWORK_ERROR_CODE)
    return NetworkError(value[0], int.from_bytes(value[1:])) if value and len(value) == 3 else None


def read_text(value: bytes | None) -> str:
    """The text of a C-octet string; those who leave out its end are understood."""
    return value.partition(b"\0")[0].decode("latin-1") if value else ""


# Parameters to send


def number(tag: int, value: int) -> tuple[int, bytes]:
    """A parameter with an integer value, as long as it must be."""
    return tag, value.to_bytes(SIZES[tag].octets_max)


def text(tag: int, value: str) -> tuple[int, bytes]:
    """A parameter with a C-octet string."""
    return tag, value.encode("latin-1", "replace") + b"\0"


# Octets


def check(tag: int, value: bytes) -> bool:
    """Whether a parameter has a length that it may have; one that nobody knows may have any."""
    octets_min, octets_max = SIZES.get(tag, ANY)
    return octets_min <= len(value) <= octets_max


def read_tlvs(octets: bytes, place: int) -> Tlvs:
    """The optional parameters from this place to the end, in their order (3.2.4.1). Raises BadField: `tlvs` where they
    do not add up, `tlv` where one has a length that it may not have."""
    found = []
    size = len(octets)
    try:
        while place < size:
            tag, length = HEAD.unpack_from(octets, place)
            place += HEAD_OCTETS
            octets_min, octets_max = SIZES.get(tag, ANY)
            if not octets_min <= length <= octets_max:
                raise BadField("tlv", f"parameter 0x{tag:04x} of {length} octets")
            found.append((tag, octets[place : place + length]))
            place += length
    except LayoutError:
        raise BadField("tlvs", f"{size - place} octets are no parameter") from None
    if place > size:
        raise BadField("tlvs", f"parameter 0x{tag:04x} is cut short")
    return tuple(found)


def read_tlvs_patiently(octets: bytes, place: int) -> Tlvs:
    """The same, for what message centres say in answers and deliveries: a known parameter may have any length, and less
    than a parameter of NULLs may follow the last (some end the message with one that sm_length does not count)."""
    found = []
    size = len(octets)
    while place + HEAD_OCTETS <= size:
        tag, length = HEAD.unpack_from(octets, place)
        place += HEAD_OCTETS + length
        found.append((tag, octets[place - length : place]))
    if place > size:
        raise BadField("tlvs", f"parameter 0x{tag:04x} is cut short")
    if any(octets[place:]):
        raise BadField("tlvs", f"{size - place} octets are no parameter")
    return tuple(found)


def write_tlvs(tlvs: Tlvs) -> bytes:
    """The octets of parameters. Raises BadField for a tag that is none, or a length that the parameter may not have."""
    written = []
    for tag, value in tlvs:
        length = len(value)
        octets_min, octets_max = SIZES.get(tag, ANY)
        if not octets_min <= length <= octets_max or not 0 <= tag <= 0xFFFF:
            raise BadField("tlv", f"parameter 0x{tag:04x} of {length} octets")
        written.append(HEAD.pack(tag, length) + value)
    return b"".join(written)
