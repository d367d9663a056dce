"""The memo: what is remembered of a submission until its receipts are written, as a compact text.

    registered_delivery.source_ton.source_npi.destination_ton.destination_npi[.KEY VALUE]...

such as `1.5.0.1.1` or `17.1.1.1.1.u4711.p91023:1.p91024:0`. Keys: `s` and `d` the addresses as they were written, where
that is not how our records have them (in hexadecimal digits), `u` user_message_reference, `t` service_type (in
hexadecimal digits), `p` one part of a long message: the id that its submitter knows it by, and what it asked for. Of
the parts only those that asked stand there, and the last.
"""

from functools import lru_cache
from typing import NamedTuple

from chappe.core.lifecycle import FINAL
from chappe.core.model import State
from chappe.dialects.smpp.addresses import name_in_field
from chappe.smpp.pdu import Address

# registered_delivery (5.2.17)
OUTCOMES = 0x03  # 0 none, 1 every outcome, 2 failure, 3 success (SMPP 5.0 4.7.21)
EVERY, FAILURE, SUCCESS = 1, 2, 3
INTERMEDIATE = 0x10
WANTED = OUTCOMES | INTERMEDIATE
REGISTERED = 0x1F  # all its bits; those between ask for acknowledgements of the phone's user, which nobody brings


class Part(NamedTuple):
    """A part of a long message: the id that its submitter knows it by, and the registered_delivery it came with."""

    id: int
    registered_delivery: int


class Memo(NamedTuple):
    """What a receipt repeats of its submission, and whether it is wanted at all."""

    registered_delivery: int = EVERY
    source_ton: int = 0
    source_npi: int = 0
    destination_ton: int = 0
    destination_npi: int = 0
    source: str = ""  # as it was written; empty = as our record has it
    destination: str = ""
    user_reference: int | None = None
    service_type: str = ""
    parts: tuple[Part, ...] = ()

    def is_asked(self, state: State) -> bool:
        """Whether the submission, or any part of it, asked to hear of a state."""
        if not self.parts:
            return is_asked_by(self.registered_delivery, state)
        return any(is_asked_by(part.registered_delivery, state) for part in self.parts)

    def source_address(self, originator: str) -> Address | None:
        """The originator as the submission wrote it; None where it was not submitted over SMPP. One that stands for an
        empty one need not fit."""
        if self is OF_OTHERS:
            return None
        source = self.source or (originator if originator.isascii() else name_in_field(originator, "latin-1") or "")
        return Address(self.source_ton, self.source_npi, source)

    def destination_address(self, recipient: str) -> Address:
        return Address(self.destination_ton, self.destination_npi, self.destination or recipient)


OF_OTHERS = Memo(EVERY, 0, 0, 1, 1)  # of what was not submitted over SMPP: every outcome is told


def is_asked_by(registered_delivery: int, state: State) -> bool:
    """5.2.17; what is not known counts as a failure, since it is nobody's success."""
    if state not in FINAL and state is not State.UNKNOWN:
        return bool(registered_delivery & INTERMEDIATE)
    outcomes = registered_delivery & OUTCOMES
    return outcomes == EVERY or outcomes == (SUCCESS if state is State.DELIVERED else FAILURE)


def is_asked(memo: str, state: State) -> bool:
    """The same of a memo as it is kept."""
    return read_memo(memo).is_asked(state)


def write_memo(memo: Memo) -> str:
    written = plain_memo(*memo[:5])
    if not any(memo[5:]) and memo.user_reference is None:
        return written
    fields = [written]
    if memo.source:
        fields.append("s" + memo.source.encode().hex())
    if memo.destination:
        fields.append("d" + memo.destination.encode().hex())
    if memo.user_reference is not None:
        fields.append(f"u{memo.user_reference}")
    if memo.service_type:
        fields.append("t" + memo.service_type.encode().hex())
    fields += [f"p{part.id}:{part.registered_delivery}" for part in memo.parts]
    return ".".join(fields)


@lru_cache(maxsize=4096)
def plain_memo(*numbers: int) -> str:
    """One with nothing but the numbers that all have."""
    return ".".join(map(str, numbers))


@lru_cache(maxsize=4096)  # most memos are one of a few
def read_memo(written: str) -> Memo:
    """The memo; the one of others for a text that is none."""
    try:
        return _read(written) if written else OF_OTHERS
    except ValueError:
        return OF_OTHERS


def _read(written: str) -> Memo:
    fields = written.split(".")
    registered_delivery, source_ton, source_npi, destination_ton, destination_npi = map(int, fields[:5])
    memo, parts = Memo(registered_delivery, source_ton, source_npi, destination_ton, destination_npi), []
    for field in fields[5:]:
        key, value = field[:1], field[1:]
        if key == "p":
            part_id, _, asked = value.partition(":")
            parts.append(Part(int(part_id), int(asked)))
        elif key == "u":
            memo = memo._replace(user_reference=int(value))
        elif key == "s":
            memo = memo._replace(source=bytes.fromhex(value).decode())
        elif key == "d":
            memo = memo._replace(destination=bytes.fromhex(value).decode())
        elif key == "t":
            memo = memo._replace(service_type=bytes.fromhex(value).decode())
    return memo._replace(parts=tuple(parts)) if parts else memo
