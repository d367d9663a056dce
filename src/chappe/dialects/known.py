"""Every dialect that this installation speaks over HTTP, as customer and as provider.

Ours stand here; other packages offer theirs under the entry point `chappe.dialects`, each a `Dialect`. A name belongs
to whoever has it first, so that nobody takes the place of ours. SMPP, which binds speak, is a dialect too, but none of
these.
"""

from importlib.metadata import entry_points

from chappe.dialects.base import Dialect
from chappe.dialects.native import NATIVE
from chappe.dialects.proovl import PROOVL
from chappe.dialects.smpp import SMPP
from chappe.dialects.smscentre import SMSCENTRE
from chappe.dialects.smsend import SMSEND
from chappe.dialects.smsfox import SMSFOX
from chappe.dialects.voipcom import VOIPCOM

GROUP = "chappe.dialects"


def known_dialects() -> tuple[Dialect, ...]:
    """Ours first, then those of other packages."""
    dialects = [NATIVE, SMSFOX, PROOVL, VOIPCOM, SMSEND, SMSCENTRE]
    for point in entry_points(group=GROUP):
        dialect = point.load()
        if all(dialect.name != one.name for one in (SMPP, *dialects)):
            dialects.append(dialect)
    return tuple(dialects)
