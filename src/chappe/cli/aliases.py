"""`chappe alias`: the operator looks at the sender names that accounts ask for, and approves or blocks them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
import msgspec

from chappe.cli.tables import plain_table, print_table
from chappe.core.phonebook import AliasState
from chappe.settings import Settings
from chappe.store.aliases import AliasBook, AskedAlias
from chappe.store.configuration import Configuration
from chappe.store.database import Database, StoreError, Transaction
from chappe.store.migrate import migrate
from chappe.store.money import Ledger


def print_aliases(settings: Settings, account_name: str, *, is_json: bool) -> None:
    """All aliases, or those of one account. Raises click.ClickException."""
    with aliases_of(settings) as (aliases, transaction):
        asked = aliases.asked(transaction, account_name)
    if is_json:
        click.echo(msgspec.json.format(msgspec.json.encode(list(map(fields_of, asked)))).decode())
        return
    table = plain_table("id", "account", "sender", "state", "asked for")
    for one in asked:
        made = datetime.fromtimestamp(one.made_ms / 1000, UTC)
        table.add_row(
            str(one.alias.id), one.account, one.alias.sender, word_of(one.alias.state), f"{made:%Y-%m-%d %H:%M}"
        )
    print_table(table)


def decide_alias(settings: Settings, alias_id: int, state: AliasState) -> None:
    """Approve or block an alias; a running server follows within a second. Raises click.ClickException."""
    with aliases_of(settings) as (aliases, transaction):
        decided = aliases.decide(transaction, alias_id, state)
        if decided is None:
            raise click.ClickException(f"no alias has the id {alias_id}: `chappe alias list` shows all")
    click.echo(f"{decided.alias.sender} of {decided.account} is {word_of(state)}")


@contextmanager
def aliases_of(settings: Settings) -> Iterator[tuple[AliasBook, Transaction]]:
    """The aliases of a gateway, running or not, in one transaction."""
    database = Database(settings.database_url)
    if database.file is not None and not database.file.exists():
        raise click.ClickException(f"there is no gateway in {settings.data}: make one with `chappe apply`")
    try:
        migrate(database)
        with database.transaction() as transaction:
            yield AliasBook(database, Configuration(database, Ledger(database))), transaction
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def fields_of(one: AskedAlias) -> dict[str, object]:
    return {
        "id": one.alias.id,
        "account": one.account,
        "sender": one.alias.sender,
        "state": word_of(one.alias.state),
        "made_ms": one.made_ms,
        "details": one.alias.details,
    }


def word_of(state: AliasState) -> str:
    return state.name.lower().replace("_", " ")
