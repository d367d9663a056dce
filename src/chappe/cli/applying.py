"""`chappe apply`: shows what a gateway file changes, as a table, and changes it."""

import getpass
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from chappe.capabilities import KNOWN
from chappe.cli.tables import plain_table, print_table
from chappe.clock import SystemClock
from chappe.dialects.smpp import SMPP
from chappe.gateway.configuration import Action, Change, apply, carrier_settings
from chappe.gateway.gateway_file import SIMULATED, GatewayFileError
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.versions import AUTHOR_MAX
from chappe.listeners.http import CARRIER_PATH
from chappe.settings import Settings
from chappe.store.configuration import Configuration
from chappe.store.database import Database, StoreError
from chappe.store.migrate import migrate
from chappe.store.money import Ledger


def apply_file(settings: Settings, file: Path, *, is_dry_run: bool) -> None:
    """Print what was changed, or would be. Raises click.ClickException; then nothing was changed."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    try:
        changes = planned(settings, text, str(file)) if is_dry_run else applied(settings, text, str(file))
    except OSError as error:
        raise click.ClickException(f"cannot use the data folder {settings.data}: {error.strerror}") from None
    except (GatewayFileError, SealError, StoreError) as error:
        raise click.ClickException(f"{error}\nNothing was changed.") from None
    print_changes(changes)
    if is_dry_run:
        click.echo("Nothing was changed: this was a dry run.")
    else:
        print_callback_paths(Database(settings.database_url))


def applied(settings: Settings, text: str, file_name: str, *, is_dry_run: bool = False) -> list[Change]:
    """Make the gateway match the file; the plan carried out. Raises GatewayFileError, StoreError, SealError."""
    database = Database(settings.database_url)
    if database.file is not None:
        database.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    migrate(database)
    return apply(
        database,
        text,
        file_name=file_name,
        known=KNOWN,
        sealer=Sealer.open(settings.secret_key, Path(settings.data) if database.is_sqlite else None),
        now_ms=SystemClock().now_ms(),
        is_dry_run=is_dry_run,
        author=f"apply {Path(file_name).name} by {user_name()}"[:AUTHOR_MAX],
    )


def user_name() -> str:
    """Who runs this command, as the machine knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"user {os.getuid()}"


def planned(settings: Settings, text: str, file_name: str) -> list[Change]:
    """The plan alone. For a gateway that does not exist yet it is made against an empty one, that is thrown away."""
    file = Database(settings.database_url).file
    if file is None or file.exists():
        return applied(settings, text, file_name, is_dry_run=True)
    with tempfile.TemporaryDirectory() as empty:
        imagined = msgspec.structs.replace(settings, data=empty, database="")
        return applied(imagined, text, file_name, is_dry_run=True)


def print_callback_paths(database: Database) -> None:
    """Where providers that we send through must call back: the operator enters this in his profile there."""
    with database.reading() as transaction:
        stored = Configuration(database, Ledger(database)).load(transaction)
    for row in stored.carriers:
        if row.is_active and row.kind not in (SIMULATED, SMPP.name):
            path = CARRIER_PATH + carrier_settings(row).callback_key
            click.echo(f"carrier {row.name}: enter the address of this gateway with {path} for delivery reports there")


def print_changes(changes: Iterable[Change], nothing: str = "The gateway matches the file: nothing to do.") -> None:
    table = plain_table("", "what", "name", "how")
    for change in changes:
        if change.action is not Action.KEEP:
            what, name, action, difference = change.row
            table.add_row(action, what, name, difference)
    if table.row_count:
        print_table(table)
    else:
        click.echo(nothing)
