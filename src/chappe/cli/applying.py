"""`chappe apply`: shows what a gateway file changes, as a table, and changes it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from chappe.app import DIALECTS
from chappe.carriers.simulated import SimulatedCarrier
from chappe.carriers.smpp import SmppCarrier, option_objection
from chappe.cli.tables import plain_table, print_table
from chappe.clock import SystemClock
from chappe.dialects.smpp import SMPP
from chappe.gateway.configuration import Action, Change, apply, carrier_settings
from chappe.gateway.gateway_file import GatewayFileError, Known
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.simulator import SIMULATED
from chappe.listeners.http import CARRIER_PATH
from chappe.outbound import DEFAULT_LIMITS, LINK_PORTS, Unsent, destination_of, link_destination_of
from chappe.settings import Settings
from chappe.smpp.texts import CHARSETS
from chappe.store.configuration import Configuration
from chappe.store.database import Database, StoreError
from chappe.store.migrate import migrate
from chappe.store.money import Ledger

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
    )


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


def print_changes(changes: Iterable[Change]) -> None:
    table = plain_table("", "what", "name", "how")
    for change in changes:
        if change.action is not Action.KEEP:
            what, name, action, difference = change.row
            table.add_row(action, what, name, difference)
    if table.row_count:
        print_table(table)
    else:
        click.echo("The gateway matches the file: nothing to do.")
