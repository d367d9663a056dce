"""`chappe versions` and `chappe export`: what was changed in the configuration, going back, and the whole as a file."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from chappe.capabilities import KNOWN
from chappe.cli.applying import print_changes, user_name
from chappe.cli.tables import plain_table, print_table
from chappe.clock import SystemClock
from chappe.gateway.configuration import (
    Action,
    Change,
    Planned,
    Writing,
    as_it_is,
    carried_out,
    changes_of,
    own_accounts,
    sameness,
)
from chappe.gateway.directory import account_settings
from chappe.gateway.gateway_file import GatewayFileError
from chappe.gateway.secrets import Sealer, SealError
from chappe.gateway.stating import file_of
from chappe.gateway.versions import (
    AUTHOR_MAX,
    NoVersion,
    Version,
    planned_return,
    version_at,
    version_of,
)
from chappe.settings import Settings
from chappe.store.configuration import Configuration, StoredConfiguration
from chappe.store.database import Database, StoreError
from chappe.store.migrate import migrate
from chappe.store.money import Ledger
from chappe.store.versions import Versions


class Books:
    """The tables of a gateway that exists. Raises click.ClickException where there is none."""

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings.database_url)
        if self.database.file is not None and not self.database.file.exists():
            raise click.ClickException(f"there is no gateway in {settings.data}: make one with `chappe apply`")
        migrate(self.database)
        self.configuration = Configuration(self.database, Ledger(self.database))
        self.versions = Versions(self.database, self.configuration)
        self.sealer = Sealer.open(settings.secret_key, Path(settings.data) if self.database.is_sqlite else None)


def print_versions(settings: Settings, count: int, *, is_json: bool) -> None:
    """The newest first."""
    books = open_books(settings)
    with books.database.transaction() as transaction:
        rows = books.versions.page(transaction, 1 << 62, count)
    versions = list(map(version_of, rows))
    if is_json:
        print_json([fields_of(one) for one in versions])
        return
    table = plain_table("revision", "when", "who", "what", "remark")
    for one in versions:
        table.add_row(str(one.revision), moment(one.made_ms), one.author, summary(one.changes), one.remark)
    if versions:
        print_table(table)
    else:
        click.echo("There is no version yet: the next change makes the first.")


def print_version(settings: Settings, revision: int, *, is_json: bool) -> None:
    books = open_books(settings)
    with books.database.transaction() as transaction:
        row = books.versions.find(transaction, revision)
    if row is None:
        raise click.ClickException(f"there is no version {revision}; `chappe versions` lists those that are kept")
    version = version_of(row)
    if is_json:
        print_json(fields_of(version))
        return
    remark = f": {version.remark}" if version.remark else ""
    click.echo(f"version {version.revision}, {moment(version.made_ms)}, by {version.author}{remark}")
    print_changes(version.changes, nothing="It says what was there when versions began.")


def roll_back(settings: Settings, revision: int, *, is_dry_run: bool, is_json: bool) -> None:
    """Raises click.ClickException; then nothing was changed."""
    books = open_books(settings)

    def planned(stored: StoredConfiguration) -> Planned:
        with books.database.transaction() as transaction:
            then = version_at(books.versions, transaction, revision)
            now = books.versions.standing(transaction, stored.revision)
        return planned_return(stored, then, now, books.sealer)

    writing = Writing(
        sameness(books.sealer),
        books.sealer,
        author=f"roll-back by {user_name()}"[:AUTHOR_MAX],
        remark=f"back to version {revision}",
        now_ms=SystemClock().now_ms(),
    )
    try:
        done = carried_out(books.database, books.versions, books.configuration, planned, writing, is_dry_run=is_dry_run)
    except NoVersion as error:
        raise click.ClickException(f"{error}; `chappe versions` lists those that are kept") from None
    except (GatewayFileError, SealError, StoreError) as error:
        raise click.ClickException(f"{error}\nNothing was changed.") from None
    if is_json:
        print_json([msgspec.to_builtins(one) for one in changes_of(done)])
        return
    print_changes(done, nothing=f"The gateway is as it was at version {revision}: nothing to do.")
    if is_dry_run:
        click.echo("Nothing was changed: this was a dry run.")


def print_file(settings: Settings) -> None:
    """The configuration as a gateway file."""
    books = open_books(settings)
    with books.database.transaction() as transaction:
        stored = books.configuration.load(transaction, with_pool=True)
    with_smpp_password = {row.name for row in own_accounts(stored) if account_settings(row).smpp_password_hash}
    click.echo("# The configuration of this gateway, but for its secrets: write each where a comment stands for it.")
    click.echo(file_of(as_it_is(stored), KNOWN, with_smpp_password))


def open_books(settings: Settings) -> Books:
    try:
        return Books(settings)
    except OSError as error:
        raise click.ClickException(f"cannot use the data folder {settings.data}: {error.strerror}") from None
    except (SealError, StoreError) as error:
        raise click.ClickException(str(error)) from None


def moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def summary(changes: Iterable[Change]) -> str:
    """`2 changed, 1 removed`."""
    words = {Action.ADD: "added", Action.CHANGE: "changed", Action.REMOVE: "removed"}
    counts = {action: sum(one.action is action for one in changes) for action in words}
    return ", ".join(f"{count} {words[action]}" for action, count in counts.items() if count) or "-"


def fields_of(version: Version) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(version)
    return fields


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
