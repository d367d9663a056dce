"""How numbers, money and times are written in the language and time zone of whoever reads them.

In templates these are filters: `{{ ms|moment }}`, `{{ micros|money("EUR") }}`, `{{ count|number }}`. Times need the
page's `panel`; a template that uses them in macros imports those `with context`.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Final, cast

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent
from babel.units import format_unit
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from chappe.listeners.panel.words import Words

MICROS: Final = 1_000_000
NOTHING: Final = "–"
CELL: Final = re.compile(r"<(tr|td|th)\b([^>]*)>")  # data in a page never has a "<" of its own
SPAN: Final = re.compile(r'colspan="(\d+)"')
MS_MAX: Final = 253_402_300_799_000  # the last second of the year 9999


# Units of durations: how many milliseconds, and up to how many milliseconds it fits.
UNITS: Final = (
    ("duration-millisecond", 1, 1_000.0),
    ("duration-second", 1_000, 120_000.0),
    ("duration-minute", 60_000, 7_200_000.0),
    ("duration-hour", 3_600_000, float("inf")),
)


def moment_of(ms: int) -> datetime:
    """An instant as a date that can be shown."""
    return datetime.fromtimestamp(min(max(ms, 0), MS_MAX) / 1000, UTC)


def moment(ms: int, locale: Locale, zone: tzinfo) -> str:
    """Date and time to the second; a dash for never (0)."""
    if not ms:
        return NOTHING
    there = moment_of(ms).astimezone(zone)
    date = format_date(there, "medium", locale=locale)
    return f"{date}, {format_time(there, 'HH:mm:ss', locale=locale)}"


def iso(ms: int) -> str:
    """For machines: `<time datetime>`."""
    return moment_of(ms).isoformat(timespec="milliseconds")


def number(value: float, locale: Locale) -> str:
    return format_decimal(value, locale=locale)


def compact(value: float, locale: Locale) -> str:
    """A number for little room: 1.2K."""
    return format_compact_decimal(value, fraction_digits=1, locale=locale)


def percent(share: float, locale: Locale) -> str:
    return format_percent(share, "#,##0.0%", locale=locale)


def money(micros: int, currency: str, locale: Locale) -> str:
    """An amount of a currency, with as many decimals as it has, at least two."""
    amount = Decimal(micros) / MICROS
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        return f"{format_decimal(amount, '#,##0.00####', locale=locale)} {currency}".strip()
    return format_currency(amount, currency, "#,##0.00####\xa0¤¤", locale=locale, currency_digits=False)


def duration(ms: float, locale: Locale) -> str:
    """How long something took, in the unit that fits."""
    for unit, unit_ms, until_ms in UNITS:
        if ms < until_ms:
            value = round(ms / unit_ms, 1) if unit_ms > 1 else round(ms)
            return format_unit(value, unit, "short", locale=locale).replace(" ", "\xa0")
    raise AssertionError(ms)


def hour(ms: int, locale: Locale, zone: tzinfo) -> str:
    return format_time(moment_of(ms).astimezone(zone), "HH:mm", locale=locale)


def day(ms: int, locale: Locale, zone: tzinfo) -> str:
    return format_datetime(moment_of(ms).astimezone(zone), "d MMM", locale=locale)


def labelled(rows: Markup, headings: Sequence[str]) -> Markup:
    """Rows of a table, whose cells say under which heading they stand, for where headings have no room."""
    place = 0

    def label(found: re.Match[str]) -> str:
        nonlocal place
        if found[1] == "tr":
            place = 0
            return found[0]
        title = headings[place].rstrip("#") if place < len(headings) else ""
        span = SPAN.search(found[2])
        place += int(span[1]) if span else 1
        return f'<{found[1]}{found[2]} data-label="{escape(title)}">' if title else found[0]

    return Markup(CELL.sub(label, str(rows)))


def filters(words: Words) -> dict[str, Callable[..., Any]]:
    """For the templates of one language."""
    locale = words.locale

    @pass_context
    def moment_filter(context: Context, ms: int) -> str:
        return moment(ms, locale, cast(tzinfo, context["panel"].zone))

    @pass_context
    def day_filter(context: Context, ms: int) -> str:
        return day(ms, locale, cast(tzinfo, context["panel"].zone))

    return {
        "moment": moment_filter,
        "day": day_filter,
        "iso": iso,
        "number": lambda value: number(value, locale),
        "compact": lambda value: compact(value, locale),
        "percent": lambda value: percent(value, locale),
        "money": lambda micros, currency="": money(micros, currency, locale),
        "duration": lambda ms: duration(ms, locale),
        "labelled": labelled,
    }
