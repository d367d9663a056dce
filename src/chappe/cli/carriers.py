"""`chappe carriers`: every carrier as the running nodes last told of it, and what is open at it in the tables."""

import sys
import threading
from collections.abc import Iterator, Sequence

import click
import msgspec
from rich.table import Table

from chappe.cli.tables import plain_table, print_table
from chappe.clock import SystemClock
from chappe.settings import Settings
from chappe.store.database import Database, StoreError
from chappe.store.links import CarrierFigures, CarrierRow, LinkBook, LinkRow
from chappe.store.migrate import migrate
from chappe.store.nodes import Node

STALE_MS = 20_000  # a node tells of itself every ten seconds
WATCH_S = 2.0
NOT_RUNNING = CarrierFigures(state="not running")
SHORT = 40  # characters of a reason


def print_carriers(settings: Settings, *, is_json: bool, is_watching: bool) -> None:
    """Once, or again and again until the operator has seen enough. Raises click.ClickException."""
    database = Database(settings.database_url)
    if database.file is not None and not database.file.exists():
        raise click.ClickException(f"there is no gateway in {settings.data}: make one with `chappe apply`")
    pause = threading.Event()
    try:
        migrate(database)
        book = LinkBook(database, Node())
        while True:
            with database.reading() as transaction:
                rows = book.carriers(transaction)
            if is_watching and sys.stdout.isatty():
                click.clear()
            show(rows, SystemClock().now_ms(), is_json=is_json, in_one_line=is_watching)
            if not is_watching:
                return
            pause.wait(WATCH_S)
    except KeyboardInterrupt:  # enough was seen
        pass
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    finally:
        database.close_readers()


def show(rows: Sequence[CarrierRow], now_ms: int, *, is_json: bool, in_one_line: bool) -> None:
    if not is_json:
        print_table(table_of(rows, now_ms))
        return
    written = msgspec.json.encode([fields_of(one, now_ms) for one in rows])
    click.echo((written if in_one_line else msgspec.json.format(written)).decode())


def table_of(rows: Sequence[CarrierRow], now_ms: int) -> Table:
    """A line for each carrier and node; what stands in the tables is told once."""
    has_nodes = any(sum(row.is_running for row in one.told) > 1 for one in rows)
    columns = ["carrier", "kind", *(["node"] if has_nodes else []), "state", "binds", "window", "sent/s"]
    table = plain_table(*columns, "waiting", "sending", "doubtful", "errors", "receipts after", "what is said")
    for one in rows:
        for place, (node, state, figures) in enumerate(lines_of(one, now_ms)):
            first = [one.name, one.kind] if not place else ["", ""]
            queue = [str(count) if not place else "" for count in (one.waiting, one.sending, one.doubtful)]
            table.add_row(*first, *([node] if has_nodes else []), state, *ways_of(figures), *queue, *past_of(figures))
    return table


def lines_of(one: CarrierRow, now_ms: int) -> Iterator[tuple[str, str, CarrierFigures]]:
    """For each node that told of a carrier: its name, the state, and its figures."""
    running = [row for row in one.told if row.is_running]
    for row in running:
        yield row.node, state_of(row, now_ms), row.figures
    if not running:
        yield "", NOT_RUNNING.state, NOT_RUNNING


def state_of(row: LinkRow, now_ms: int) -> str:
    """What was told is marked where it is old."""
    age_ms = now_ms - row.told_ms
    return f"{row.figures.state}, {age_ms // 1000} s ago" if age_ms > STALE_MS else row.figures.state


def ways_of(figures: CarrierFigures) -> list[str]:
    binds = f"{figures.binds}/{figures.binds_wanted}" if figures.binds_wanted else "-"
    return [binds, f"{figures.window_used}/{figures.window}", f"{figures.sent_per_s:.1f}"]


def past_of(figures: CarrierFigures) -> list[str]:
    troubles = sorted(figures.troubles.items(), key=lambda item: -item[1])
    errors = ", ".join(f"{reason} {count}" for reason, count in troubles) or "-"
    after = f"{seconds(figures.receipt_p50_ms)} / {seconds(figures.receipt_p95_ms)}"
    said = figures.detail or figures.last_words
    short = said if len(said) <= SHORT else f"{said[:SHORT]}…"
    return [errors, after if figures.receipt_p50_ms is not None else "-", short]


def seconds(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def fields_of(one: CarrierRow, now_ms: int) -> dict[str, object]:
    """For programs: `links` has an object for each node, with its age and whether that makes it stale."""
    return {
        "carrier": one.name,
        "kind": one.kind,
        "waiting": one.waiting,
        "sending": one.sending,
        "doubtful": one.doubtful,
        "links": [
            {
                "node": row.node,
                "age_s": (now_ms - row.told_ms) / 1000,
                "is_stale": not row.is_running or now_ms - row.told_ms > STALE_MS,
                **{name: getattr(row.figures, name) for name in row.figures.__struct_fields__},
            }
            for row in one.told
        ],
    }
