"""`chappe status ID --story`: everything that a gateway's database knows of one message, whether it runs or not."""

import asyncio
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.table import Table

from chappe.cli.tables import plain_table, print_table
from chappe.core.ids import read_id
from chappe.core.people import EVERYTHING
from chappe.core.story import Chapter, Story
from chappe.gateway.directory import Directory
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.story import StoryDesk, instant
from chappe.settings import Settings
from chappe.store.database import Database, StoreError
from chappe.store.engine import Store
from chappe.store.migrate import migrate

WIDTH = 60  # characters of what was said, before it goes on in the next line


def print_story(settings: Settings, reference: str, *, is_json: bool) -> None:
    """Raises click.ClickException where there is no such message, or no gateway."""
    message_id = read_id(reference)
    if message_id is None:
        raise click.ClickException(f"{reference!r} is no id of a message: with --story it is decimal digits")
    database = Database(settings.database_url)
    if database.file is not None and not database.file.exists():
        raise click.ClickException(f"there is no gateway in {settings.data}: name its --data or --database")
    try:
        story = asyncio.run(tell(database, settings, message_id))
    except (StoreError, SealError) as error:
        raise click.ClickException(str(error)) from None
    if story is None:
        raise click.ClickException(f"there is no message {reference} in this gateway")
    if is_json:
        click.echo(msgspec.json.format(msgspec.json.encode(fields_of(story))).decode())
    else:
        print_table(table_of(story))


async def tell(database: Database, settings: Settings, message_id: int) -> Story | None:
    migrate(database)
    store = Store(database, has_threads=False)
    try:
        sealer = Sealer.open(settings.secret_key, Path(settings.data) if database.is_sqlite else None)
        directory = Directory(store.ask(store.configuration.load), sealer)
        return await StoryDesk(store, lambda: directory).tell(EVERYTHING, message_id)
    finally:
        store.stop()


def table_of(story: Story) -> Table:
    """A line for each chapter, and one for each of its facts."""
    table = plain_table("when", "what", "", "")
    for column in table.columns:
        column.overflow = "fold"  # a long word without a blank, as answers have, is shown to its end
    for chapter in story.chapters:
        lines = list(lines_of(chapter)) or [("", "")]
        for place, (name, value) in enumerate(lines):
            first = (instant(chapter.at_ms), chapter.title) if not place else ("", "")
            table.add_row(*first, name, value)
    return table


def lines_of(chapter: Chapter) -> Iterator[tuple[str, str]]:
    """Long and many-lined values go on below each other; what a terminal would take for a command is shown as it is."""
    for name, value in chapter.facts:
        shown = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in value)
        pieces = [piece for line in shown.split("\n") for piece in (textwrap.wrap(line, WIDTH) or [""])]
        for place, piece in enumerate(pieces):
            yield name if not place else "", piece


def fields_of(story: Story) -> dict[str, object]:
    """For programs: instants in milliseconds since 1970, facts as they stand."""
    return {
        "message_id": str(story.message_id),
        "account_id": story.account_id,
        "chapters": [
            {"at_ms": one.at_ms, "kind": one.kind, "title": one.title, "facts": dict(one.facts)}
            for one in story.chapters
        ],
    }
