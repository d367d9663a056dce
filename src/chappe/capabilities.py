"""What this chappe can do, as far as whoever configures it may ask for it: kinds of carriers, languages, charsets."""

from urllib.parse import urlsplit

from chappe.carriers.simulated import SimulatedCarrier
from chappe.carriers.smpp import SmppCarrier, option_objection
from chappe.dialects.known import known_dialects
from chappe.dialects.smpp import SMPP
from chappe.gateway.gateway_file import SIMULATED, Known
from chappe.outbound import DEFAULT_LIMITS, LINK_PORTS, Unsent, destination_of, link_destination_of
from chappe.smpp.texts import CHARSETS

DIALECTS = known_dialects()
DIALECT_NAMES = frozenset(dialect.name for dialect in DIALECTS)
IS_ASKED = {
    SIMULATED: SimulatedCarrier.finds_our_reference,
    SMPP.name: SmppCarrier.finds_our_reference,
    **{dialect.name: dialect.south.query_by_our_reference for dialect in DIALECTS},
}


def objection_to(url: str) -> str:
    """What the outbound door has against a URL before any name is resolved: its host as written, or its port."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    try:
        if parts.scheme in LINK_PORTS:
            link_destination_of(origin)
        else:
            destination_of(origin, DEFAULT_LIMITS)
    except Unsent as unsent:
        return str(unsent)
    return ""


KNOWN = Known(
    kinds=frozenset(IS_ASKED),
    dialects=DIALECT_NAMES | {SMPP.name},
    inbound_dialects=frozenset(dialect.name for dialect in DIALECTS if dialect.north.inbound is not None) | {SMPP.name},
    smpp_charsets=frozenset(CHARSETS),
    unasked_kinds=frozenset(kind for kind, is_asked in IS_ASKED.items() if not is_asked),
    objection=objection_to,
    option_objections={SMPP.name: option_objection},
)
