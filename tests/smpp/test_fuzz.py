"""Rubbish: half a million octet strings, made from what is right, are PDUs or typed errors, and nothing else.

The seed is fixed, so that a failure comes back; what each took on average is printed, not asserted.
"""

import random
import time
from typing import Final

import pytest

from chappe.smpp.pdu import BODIES, HEADER_OCTETS, RESPONSE, Pdu, PduError, Status, decode, encode
from chappe.smpp.tlv import check
from smpp.golden import GOLDEN

SEED: Final = 20_261_121
COUNT: Final = 500_000
BATCH: Final = 10_000  # made first, so that only reading is measured
SEEDS: Final = tuple(bytes.fromhex(written) for written, _ in GOLDEN)
COMMANDS: Final = (*BODIES, 0, 0x0A, 0x77, RESPONSE | 0x77, 0xFFFF_FFFF)
NASTY: Final = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0",
    b"\xff\xff",
    b"\x04\x24\xff\xff",
    b"\x04\x24\0\0",
    b"\x1e",
    b"A" * 70,
)


def mutate(chance: random.Random, octets: bytes) -> bytes:
    """One to four small misfortunes behind the header."""
    body = octets[HEADER_OCTETS:]
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(body))
        end = min(len(body), start + chance.choice((0, 1, 1, 2, 8, 40)))
        middle = chance.choice((b"", chance.choice(NASTY), body[start:end] * 2, chance.randbytes(chance.randint(1, 3))))
        body = body[:start] + middle + body[end:]
    return octets[:HEADER_OCTETS] + body


def rubbish(chance: random.Random) -> bytes:
    """Mostly a PDU with misfortunes, its length put right; else random octets, another command, a wrong length."""
    octets = mutate(chance, chance.choice(SEEDS)) if chance.random() < 0.9 else chance.randbytes(chance.randint(0, 90))
    fate = chance.random()
    if fate < 0.05:
        return octets
    if fate < 0.15:
        octets = octets[:4] + chance.choice(COMMANDS).to_bytes(4) + octets[8:]
    return len(octets).to_bytes(4) + octets[4:]


def read(octets: bytes) -> Pdu | PduError:
    try:
        return decode(octets)
    except PduError as error:
        return error


def verify(octets: bytes, found: Pdu | PduError) -> None:
    """A PDU goes the same way again. An error keeps the octets, and what it answers can be written."""
    if isinstance(found, PduError):
        assert found.raw == octets
        assert found.status in Status
        if answer := found.answer:
            assert decode(encode(answer)) == answer
        return
    if all(check(tag, value) for tag, value in found.body.tlvs):  # type: ignore[attr-defined]
        assert decode(encode(found)) == found
    else:  # read with patience, from whom nobody repairs for us, but not written
        with pytest.raises(PduError):
            encode(found)


def test_rubbish_gives_typed_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    """500,000 mutated and random PDUs are read or refused with a PduError, and what was read is written again."""
    chance = random.Random(SEED)
    seconds, refused = 0.0, 0
    for _ in range(COUNT // BATCH):
        batch = [rubbish(chance) for _ in range(BATCH)]
        began = time.process_time()
        for octets in batch:
            read(octets)
        seconds += time.process_time() - began
        for octets in batch:
            found = read(octets)
            verify(octets, found)
            refused += isinstance(found, PduError)
    assert COUNT // 10 < refused < COUNT * 9 // 10  # else this would prove nothing
    with capsys.disabled():
        print(
            f"\nSMPP rubbish, seed {SEED}: {COUNT:,} PDUs, {refused:,} refused, "
            f"{seconds / COUNT * 1e6:.1f} microseconds each on average"
        )
