"""A TCP conversation on port 2775 as a capture file, and what tshark reads in it."""

import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

PORT: Final = 2775  # of SMPP, at IANA
ESME: Final = (bytes((127, 0, 0, 2)), 40_000)
CENTRE: Final = (bytes((127, 0, 0, 1)), PORT)
SEGMENT_OCTETS_MAX: Final = 60_000
RAW_IP: Final = 101  # link type of a pcap file
SEPARATOR, AGGREGATOR = "\t", "\x1f"

End = tuple[bytes, int]
Row = dict[str, list[str]]  # a frame: the values of each field that was asked for


class Said(NamedTuple):
    """Some octets, and which end said them."""

    octets: bytes
    is_by_centre: bool


def checksum(octets: bytes) -> int:
    """RFC 1071."""
    words = struct.unpack(f">{(len(octets) + 1) // 2}H", octets + b"\0" * (len(octets) % 2))
    total: int = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: End, destination: End, sequence: int, acknowledged: int, octets: bytes) -> bytes:
    """An IPv4 packet with a TCP segment, its checksums right (RFC 791, RFC 9293)."""
    ports = struct.pack(">HH", source[1], destination[1])
    numbers = struct.pack(">IIBBH", sequence, acknowledged, 5 << 4, 0x18, 0xFFFF)  # 20 octets of header, PSH and ACK
    pseudo = source[0] + destination[0] + struct.pack(">HH", 6, 20 + len(octets))
    tcp_sum = checksum(pseudo + ports + numbers + bytes(4) + octets)
    tcp = ports + numbers + struct.pack(">HH", tcp_sum, 0) + octets
    header = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6)
    addresses = source[0] + destination[0]
    return header + struct.pack(">H", checksum(header + bytes(2) + addresses)) + addresses + tcp


def pcap(conversation: Iterable[Said]) -> bytes:
    """The capture file of a conversation, a frame for each saying, more for a long one."""
    frames = [struct.pack(">IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x4_0000, RAW_IP)]
    sent = {False: 1, True: 1}
    for said in conversation:
        source, destination = (CENTRE, ESME) if said.is_by_centre else (ESME, CENTRE)
        for start in range(0, len(said.octets), SEGMENT_OCTETS_MAX):
            octets = said.octets[start : start + SEGMENT_OCTETS_MAX]
            frame = packet(source, destination, sent[said.is_by_centre], sent[not said.is_by_centre], octets)
            sent[said.is_by_centre] = sent[said.is_by_centre] + len(octets) & 0xFFFF_FFFF
            frames.append(struct.pack(">IIII", 1_795_000_000 + len(frames), 0, len(frame), len(frame)) + frame)
    return b"".join(frames)


def dissect(file: Path, fields: Sequence[str]) -> list[Row]:
    """What tshark finds in each frame of a capture file in which a PDU ends."""
    answer = subprocess.run(
        [
            *("tshark", "-n", "-r", str(file), "-Y", "smpp", "-T", "fields"),
            *("-d", f"tcp.port=={PORT},smpp", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"),
            *("-E", f"separator={SEPARATOR}", "-E", f"aggregator={AGGREGATOR}", "-E", "occurrence=a"),
            *(part for field in fields for part in ("-e", field)),
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
    rows = answer.stdout.decode("utf-8", "surrogateescape").splitlines()
    return [
        {
            name: value.split(AGGREGATOR) if value else []
            for name, value in zip(fields, row.split(SEPARATOR), strict=True)
        }
        for row in rows
    ]
