"""Pages of lists: from where, how far, and the way to the next one (RFC 8288)."""

from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from chappe.core.centre import Refusal
from chappe.core.ids import read_id
from chappe.dialects.native import FieldError, ms_of
from chappe.listeners.native.asking import Problematic
from chappe.listeners.native.shapes import Span

TIME_MAX_MS = 1 << 52


def before_id_of(cursor: str) -> int:
    """The id that a page begins before; 0 = at the newest. Raises Problematic."""
    if not cursor:
        return 0
    before_id = read_id(cursor)
    if before_id is None:
        raise bad_cursor()
    return max(1, before_id)


def cursor_of(next_before_id: int | None) -> str | None:
    """How the next page is asked for; None where there is none."""
    return None if next_before_id is None else str(next_before_id)


def bad_cursor() -> Problematic:
    return Problematic(Refusal.BAD_REQUEST, "", FieldError("cursor", "is none that a page of this list gave"))


def span_of(wanted: Span) -> tuple[int, int]:
    """From which instant on, and before which, in milliseconds."""
    from_ms = max(0, ms_of(wanted.from_)) if wanted.from_ is not None else 0
    return from_ms, max(0, ms_of(wanted.to)) if wanted.to is not None else TIME_MAX_MS


def links_of(path: str, wanted: Struct, cursor: str | None) -> tuple[tuple[str, str], ...]:
    """The way to the next page, with everything else as it was asked for."""
    if cursor is None:
        return ()
    defaults = msgspec.to_builtins(type(wanted)())
    asked = {
        name: value
        for name, value in msgspec.to_builtins(wanted).items()
        if value is not None and value != defaults[name]
    }
    query = urlencode({**asked, "cursor": cursor}, doseq=True)
    return (("link", f'<{path}?{query}>; rel="next"'),)
