"""What the pages with lists have in common: filters out of the query, times as people type them, choices."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from starlette.responses import Response

from chappe.core.ids import ID_MAX, made_ms
from chappe.core.model import TEST_CARRIER, Account
from chappe.dialects.native import NATIVE
from chappe.gateway.search import TIME_MAX_MS, FoundMessage, Page
from chappe.listeners.panel.formats import iso
from chappe.listeners.panel.frame import Invalid, PanelRequest, whole_number

PAGE_COUNT = 50
EXPORT_COUNT = 250  # rows that an export reads at once: others are answered in between
TEXT_MAX = 100  # characters of a filter
CHOICES_MAX = 1_000  # accounts in a list to choose from

Choices = list[tuple[int | str, str]]


def filter_text(panel: PanelRequest, name: str) -> str:
    """A filter as it was typed; what no text in the database can hold finds nothing."""
    return panel.query.get(name, "").strip().replace("\0", "\ufffd")[:TEXT_MAX]


def filter_ms(panel: PanelRequest, name: str, default_ms: int) -> int:
    """An instant typed as `2026-11-21T14:30`, in the time zone of whoever reads. Raises Invalid."""
    return instant_ms(panel, panel.query.get(name, ""), default_ms)


def instant_ms(panel: PanelRequest, written: str, default_ms: int) -> int:
    if not written.strip():
        return default_ms
    try:
        there = datetime.fromisoformat(written.strip())
        whole = there if there.tzinfo is not None else there.replace(tzinfo=panel.zone)
        return min(max(0, int(whole.timestamp() * 1000)), TIME_MAX_MS)
    except (ValueError, OverflowError):
        raise Invalid({"": panel._("That is no date and time such as 2026-11-21T14:30.")}) from None


def span_of(panel: PanelRequest) -> tuple[int, int]:
    """From when until when, of the two fields that lists have for it."""
    return filter_ms(panel, "from", 0), filter_ms(panel, "to", TIME_MAX_MS)


def before_id(panel: PanelRequest) -> int:
    return min(panel.number("before"), ID_MAX)


def accounts_in_sight(panel: PanelRequest) -> list[Account]:
    """The accounts that they see, by name."""
    directory, sight = panel.desks.directory(), panel.caller.sight
    if sight.account_ids is None:
        seen: Iterable[Account] = directory.accounts
    else:
        seen = filter(None, map(directory.account, sight.account_ids))
    return sorted(seen, key=lambda one: one.name.casefold())


def account_choices(panel: PanelRequest) -> Choices:
    """To choose an account from; empty where they see but one."""
    seen = accounts_in_sight(panel)
    if len(seen) < 2:
        return []
    return [("", panel._("all")), *((one.id, one.name) for one in seen[:CHOICES_MAX])]


def sees_carriers(panel: PanelRequest) -> bool:
    """Through whom a message goes is the business of whoever runs the gateway."""
    return panel.caller.sight.account_ids is None


def carrier_choices(panel: PanelRequest) -> Choices:
    if not sees_carriers(panel):
        return []
    carriers = sorted(panel.desks.directory().carriers, key=lambda one: one.name.casefold())
    return [("", panel._("all")), *((one.id, one.name) for one in carriers), (TEST_CARRIER.id, TEST_CARRIER.name)]


def number_or(written: str, default: int = 0) -> int:
    """A whole number, negative ones included."""
    return default if whole_number(written.removeprefix("-")) is None else int(written)


def searched_back_to_ms(page: Page[Any]) -> int:
    """How far a search came that is not at its end; 0 where it is, or where the page is full."""
    return made_ms(page.next_before_id) if page.is_more_to_search and page.next_before_id is not None else 0


def submitted_ms(one: FoundMessage) -> int:
    return made_ms(one.submission_id)


def moment_cell(ms: int) -> str:
    """An instant in a file: UTC, as ISO 8601 has it; empty for never."""
    return iso(ms) if ms else ""


def ids_ticked(panel: PanelRequest) -> list[int]:
    return [found for found in map(whole_number, panel.texts("id")) if found is not None]


def back_to(panel: PanelRequest, path: str, flash: str) -> Response:
    """Back to the list that a form stood on, with its filters."""
    query = panel.text("back")
    is_query = query.isprintable() and "#" not in query
    return panel.redirect(f"{path}?{query}" if query and is_query else path, flash)


DIALECT = NATIVE  # in which the panel asks
