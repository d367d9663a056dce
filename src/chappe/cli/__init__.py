"""The `chappe` command: a gateway to try, a gateway to run, and the client library from the shell.

    demo, serve             run the gateway in this process until SIGINT or SIGTERM; a second signal ends it at once
    apply, check, carriers,
    alias, inbound, owner   look at or change a gateway's database, whether it runs or not
    send, status, balance   speak to any server that speaks one of our dialects: chappe or the provider itself

Exit codes: 0 done, 1 failed, 2 wrong use. Commands import what they need when they run, so that `--help` is quick and a
message can be sent without loading a gateway.
"""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import chappe

if TYPE_CHECKING:
    from chappe.client import Client, SendError
    from chappe.settings import Settings

PASSWORD_VARIABLE = "CHAPPE_PASSWORD"
DATABASE_VARIABLE = "CHAPPE_DATABASE"

Decorated = Callable[..., Any]


def main() -> None:
    program(prog_name="chappe")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(chappe.__version__, prog_name="chappe")
def program() -> None:
    """A self-hosted SMS gateway that speaks other providers' APIs."""


# Options that several commands share


def options(*added: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """Several click options as one decorator, in the order they are shown."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(added):
            command = option(command)
        return command

    return decorate


data = click.option("--data", metavar="DIR", help="Folder of the gateway's SQLite database [chappe-data].")
database = click.option(
    "--database",
    metavar="URL",
    help=f"PostgreSQL instead: postgresql://user@host/name. Others on this machine can see it: with a password, put it "
    f"into {DATABASE_VARIABLE}.",
)
http = click.option("--http", metavar="HOST:PORT", help="Where to listen [127.0.0.1:8080]; port 0 takes a free one.")
smpp = click.option("--smpp", metavar="HOST:PORT", help="Where ESMEs bind [nowhere]; port 0 takes a free one.")
demo_smpp = click.option(
    "--smpp", metavar="HOST:PORT", help="Where ESMEs bind [127.0.0.1:2775, or a free port where that is taken]."
)
config = click.option(
    "--config",
    "config",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file (chappe.toml).",
)
account = options(
    click.option(
        "--via",
        default="chappe",
        show_default=True,
        metavar="DIALECT",
        help="Whose language the server speaks, such as smsfox.",
    ),
    click.option(
        "--url",
        default="",
        metavar="URL",
        help="The server; absent = the provider of that language, or 127.0.0.1:8080.",
    ),
    click.option("--login", default="", metavar="NAME", help="The account there; absent = the password is an API key."),
    click.option(
        "--password",
        metavar="SECRET",
        envvar=PASSWORD_VARIABLE,
        help=f"Its password. Others on this machine can see it: better in {PASSWORD_VARIABLE}, or asked for if absent.",
    ),
)


# The gateway


@program.command()
@options(data, http, demo_smpp)
def demo(data: str | None, http: str | None, smpp: str | None) -> None:
    """Run a gateway to try, with nothing to set up.

    Prints an account, lines to paste, and then every message's trip. Without --data it forgets everything at its end.
    """
    import tempfile

    from chappe.cli.demo import Demo

    with tempfile.TemporaryDirectory(prefix="chappe-demo-") as temporary:
        given = {"data": data or temporary, "http": http, "smpp": smpp, "database": ""}
        settings = settings_of(None, given, is_quiet=True)
        run_gateway(Demo(settings, is_kept=bool(data)).run())


@program.command()
@options(config, data, database, http, smpp)
def serve(config: Path | None, data: str | None, database: str | None, http: str | None, smpp: str | None) -> None:
    """Run the gateway.

    Until SIGTERM or Ctrl-C: then what is in flight is finished. A second one ends it at once.
    """
    from chappe.networks import Networks

    settings = settings_of(config, {**store_options(data, database), "http": http, "smpp": smpp})
    refuse_wrong_url(settings)
    try:
        Networks.parse(settings.allowed_networks)
    except ValueError as error:
        raise click.UsageError(f"allowed_networks: {error}") from None
    run_gateway(serve_app(settings))


async def serve_app(settings: "Settings") -> None:
    from chappe.app import App
    from chappe.cli.serving import serve_until_told

    app = App(settings)

    async def announce() -> None:
        host, _ = settings.http_address
        secure = ", and https on the same port" if settings.tls_certificate else ""
        click.echo(f"chappe {chappe.__version__} accepts requests at {origin(host, app.http_port)}{secure}")
        if settings.smpp_address is not None:
            sealed = ", and TLS on the same port" if settings.tls_certificate else ""
            click.echo(f"and binds at {place(settings.smpp_address[0], app.smpp_port)}{sealed}")
        url = app.panel_url
        first = await app.first_owner_link()
        # On the standard output alone, never in the log: a log travels further and is kept for longer than the link.
        click.echo(f"panel at {url}" if first is None else f"panel: become its first owner within 24 hours at {first}")

    await serve_until_told(app, announce)


def run_gateway(gateway: Any) -> None:
    """Run a coroutine on uvloop; what keeps it from starting becomes one line and exit code 1."""
    import asyncio

    import uvloop

    from chappe.app import StartError
    from chappe.cli.serving import BrokenError
    from chappe.gateway.gateway_file import GatewayFileError
    from chappe.gateway.secrets import SealError
    from chappe.store.database import StoreError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(gateway)
    except (StartError, StoreError, SealError, GatewayFileError, BrokenError) as error:
        fail(str(error))


def origin(host: str, port: int) -> str:
    return f"http://{place(host, port)}"


def place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@program.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@options(config, data, database)
def apply(file: Path, dry_run: bool, config: Path | None, data: str | None, database: str | None) -> None:
    """Make the gateway match FILE.

    FILE holds accounts, carriers and routes. Prints the plan, then makes all of it true, or nothing. A running server
    follows within a second.
    """
    from chappe.cli.applying import apply_file

    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    apply_file(settings, file, is_dry_run=dry_run)


@program.command()
@options(config, data, database)
def check(config: Path | None, data: str | None, database: str | None) -> None:
    """Tell what holds and what is wrong.

    Which promises are in force, what stands against them, and what to do. Exit code 1 where something is wrong.
    """
    from chappe.cli.check import State, findings
    from chappe.cli.tables import plain_table, print_table

    found = findings(settings_of(config, store_options(data, database)))
    table = plain_table("", "what", "how it is", "what to do")
    for finding in found:
        table.add_row(finding.state, finding.subject, finding.found, finding.advice)
    print_table(table)
    wrong_count = sum(finding.state is State.WRONG for finding in found)
    if wrong_count:
        fail(f"{counted(wrong_count, 'thing')} wrong, marked `{State.WRONG}` above")


@program.command()
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@click.option("--json", "is_json", is_flag=True, help="As JSON, with all that is known.")
@options(config, data, database)
def carriers(watch: bool, is_json: bool, config: Path | None, data: str | None, database: str | None) -> None:
    """Show how the carriers are.

    Their binds, windows, rates and errors as the running server told last, a few seconds ago; what waits for them; and
    how long after sending half of the receipts came, and 19 of 20.
    """
    from chappe.cli.carriers import print_carriers

    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    print_carriers(settings, is_json=is_json, is_watching=watch)


revision = click.IntRange(1, (1 << 62) - 1)


@program.command()
@click.argument("which", metavar="[REVISION]", required=False, type=revision)
@click.option("--roll-back", "back_to", type=revision, metavar="REVISION", help="Go back to what this version was.")
@click.option("--dry-run", is_flag=True, help="With --roll-back: only print what it would do.")
@click.option("--count", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many to list.")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@options(config, data, database)
def versions(
    which: int | None,
    back_to: int | None,
    dry_run: bool,
    count: int,
    is_json: bool,
    config: Path | None,
    data: str | None,
    database: str | None,
) -> None:
    """List who changed what in the configuration.

    The newest first; REVISION shows one of them. Going back makes a new version whose accounts, carriers, routes and
    numbers are those of the old one. Balances, subaccounts and passwords that accounts chose themselves stay.
    """
    from chappe.cli.versions import print_version, print_versions, roll_back

    if which is not None and back_to is not None:
        raise click.UsageError("REVISION shows a version and --roll-back goes back to one: give one of them")
    if dry_run and back_to is None:
        raise click.UsageError("--dry-run belongs to --roll-back")
    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    if back_to is not None:
        roll_back(settings, back_to, is_dry_run=dry_run, is_json=is_json)
    elif which is not None:
        print_version(settings, which, is_json=is_json)
    else:
        print_versions(settings, count, is_json=is_json)


@program.command()
@options(config, data, database)
def export(config: Path | None, data: str | None, database: str | None) -> None:
    """Print the configuration as a gateway file.

    Without its secrets: a comment stands where each of them belongs, so that the file is not applied without them.
    """
    from chappe.cli.versions import print_file

    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    print_file(settings)


@program.command()
@options(config, data, database)
def owner(config: Path | None, data: str | None, database: str | None) -> None:
    """Print a link that makes somebody an owner of the panel.

    It works once, within a day: for when everybody who could invite has forgotten their password.
    """
    from chappe.cli.owner import invite_owner

    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    click.echo(invite_owner(settings))


@program.group()
def alias() -> None:
    """Approve the sender names that accounts ask for.

    An account that may use certain senders only may use an approved one too. A running server follows within a second.
    """


by_regulator = click.option("--by-regulator", is_flag=True, help="It is the regulator's decision.")
alias_id = click.argument("alias_id", metavar="ID", type=click.IntRange(1, (1 << 63) - 1))


@alias.command("list")
@click.option("--account", "account_name", default="", metavar="NAME", help="Only those of this account.")
@click.option("--json", "is_json", is_flag=True, help="As JSON, with who vouches for each.")
@options(config, data, database)
def list_aliases(account_name: str, is_json: bool, config: Path | None, data: str | None, database: str | None) -> None:
    """List the sender names and how far each is approved."""
    from chappe.cli.aliases import print_aliases

    print_aliases(alias_settings(config, data, database), account_name, is_json=is_json)


@alias.command("approve")
@alias_id
@options(by_regulator, config, data, database)
def approve_alias(
    alias_id: int, by_regulator: bool, config: Path | None, data: str | None, database: str | None
) -> None:
    """Let the account use a sender name."""
    from chappe.cli.aliases import decide_alias
    from chappe.core.phonebook import AliasState

    state = AliasState.CONFIRMED_BY_REGULATOR if by_regulator else AliasState.CONFIRMED
    decide_alias(alias_settings(config, data, database), alias_id, state)


@alias.command("block")
@alias_id
@options(by_regulator, config, data, database)
def block_alias(alias_id: int, by_regulator: bool, config: Path | None, data: str | None, database: str | None) -> None:
    """Refuse a sender name, or take it back."""
    from chappe.cli.aliases import decide_alias
    from chappe.core.phonebook import AliasState

    state = AliasState.BLOCKED_BY_REGULATOR if by_regulator else AliasState.BLOCKED
    decide_alias(alias_settings(config, data, database), alias_id, state)


def alias_settings(config: Path | None, data: str | None, database: str | None) -> "Settings":
    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    return settings


@program.command()
@options(
    click.option("--from", "originator", required=True, metavar="NUMBER", help="The phone that writes."),
    click.option("--to", "recipient", required=True, metavar="NUMBER", help="The account's number that it writes to."),
    click.option("--text", required=True, help="What; - reads it from the standard input."),
    click.option("--parts", is_flag=True, help="As the segments that a phone would cut it into, the last one first."),
    click.option("--carrier", metavar="NAME", help="The carrier that brings it [the first simulated one]."),
    config,
    data,
    database,
)
def inbound(
    originator: str,
    recipient: str,
    text: str,
    parts: bool,
    carrier: str | None,
    config: Path | None,
    data: str | None,
    database: str | None,
) -> None:
    """Bring a message from a phone.

    It is kept as if a carrier had brought it, and goes where messages to that number go: at once where a server is
    running, else when one starts.
    """
    from chappe.cli.inbound import bring

    settings = settings_of(config, store_options(data, database), is_quiet=True)
    refuse_wrong_url(settings)
    written = sys.stdin.read() if text == "-" else text
    for line in bring(settings, originator, recipient, written, carrier_name=carrier, in_parts=parts):
        click.echo(line)


# The client library from the shell


@program.command()
@account
@options(
    click.option("--to", "recipients", required=True, multiple=True, metavar="NUMBER", help="Whom; may be repeated."),
    click.option("--text", required=True, help="What; - reads it from the standard input."),
    click.option("--from", "originator", default="", metavar="SENDER", help="What the phone shows as the sender."),
    click.option(
        "--service",
        type=click.Choice(["premium", "standard", "economy"]),
        default="standard",
        show_default=True,
        help="How good a route to pay for, where the language can say it.",
    ),
    click.option("--reference", default="", metavar="ID", help="Your own id for it, where the language carries one."),
    click.option("--at", type=click.DateTime(), help="When, in local time, where the language can schedule."),
)
def send(
    via: str,
    url: str,
    login: str,
    password: str | None,
    recipients: Sequence[str],
    text: str,
    originator: str,
    service: str,
    reference: str,
    at: datetime | None,
) -> None:
    """Send a text to one or more numbers.

    Through chappe, or through the provider itself.
    """
    from chappe.client import SendError, Service
    from chappe.sms.numbers import mask

    written = sys.stdin.read() if text == "-" else text
    with client_of(via, url, login, password) as client:
        try:
            accepted = client.send(
                recipients,
                written,
                originator=originator,
                service=Service(service),
                reference=reference,
                at=at and at.astimezone(),
            )
        except SendError as error:
            fail(advice(error))
    for ticket in accepted.tickets:
        known_as = f"  reference {ticket.reference}" if ticket.reference else ""
        click.echo(f"accepted  {mask(ticket.recipient)}  {counted(ticket.segments, 'segment')}{known_as}")


@program.command()
@account
@click.option("--from", "originator", default="", metavar="SENDER", help="Its sender, where the language asks for it.")
@click.option("--story", "is_story", is_flag=True, help="All that a gateway's database knows of it, step by step.")
@click.option("--json", "is_json", is_flag=True, help="The story as JSON.")
@options(config, data, database)
@click.argument("reference")
def status(
    via: str,
    url: str,
    login: str,
    password: str | None,
    originator: str,
    is_story: bool,
    is_json: bool,
    config: Path | None,
    data: str | None,
    database: str | None,
    reference: str,
) -> None:
    """Tell what became of a message.

    REFERENCE is what `chappe send` printed. With --story it is the gateway's own id of the message in decimal digits,
    and the gateway's database (--data or --database) is read, whether it runs or not.
    """
    if is_story:
        from chappe.cli.story import print_story

        settings = settings_of(config, store_options(data, database), is_quiet=True)
        refuse_wrong_url(settings)
        print_story(settings, reference, is_json=is_json)
        return
    if is_json or config or data or database:
        raise click.UsageError("--json, --config, --data and --database belong to --story")
    from chappe.client import SendError
    from chappe.dialects.base import decimal_of

    with client_of(via, url, login, password) as client:
        try:
            report = client.status(reference, originator=originator)
        except SendError as error:
            fail(advice(error))
    click.echo(f"{report.state}  price {decimal_of(report.price_micros)}")


@program.command()
@account
def balance(via: str, url: str, login: str, password: str | None) -> None:
    """Tell how much money is left."""
    from chappe.client import SendError
    from chappe.dialects.base import decimal_of

    with client_of(via, url, login, password) as client:
        try:
            left = client.balance()
        except SendError as error:
            fail(advice(error))
    click.echo(f"{decimal_of(left.amount_micros)} {left.currency}".rstrip())


def client_of(via: str, url: str, login: str, password: str | None) -> "Client":
    from chappe.client import DIALECTS, Client
    from chappe.dialects.native import KEY_PREFIXES, NATIVE

    if via not in DIALECTS:
        raise click.BadParameter(
            f"no dialect is called {via!r}; there are {', '.join(sorted(DIALECTS))}", param_hint="--via"
        )
    if url and "://" not in url:
        raise click.BadParameter("an address begins with http:// or https://", param_hint="--url")
    if password is None:
        if not sys.stdin.isatty():
            raise click.UsageError(f"no password: set {PASSWORD_VARIABLE}, or give --password")
        password = str(click.prompt("Password", hide_input=True))
    if not login and not (via == NATIVE.name and password.startswith(KEY_PREFIXES)):
        raise click.UsageError("no account: give --login, or to a chappe an API key as the password")
    return Client(via, url, login=login, password=password)


def advice(error: "SendError") -> str:
    """What went wrong, and what to do about it."""
    from chappe.client import Refusal, RefusedError

    if not isinstance(error, RefusedError):
        return f"{error}\nThe message may or may not have been taken: ask the provider before sending it again."
    advised = {
        Refusal.UNAUTHORISED: "Check --login and the password.",
        Refusal.UNREACHABLE: "Nothing was sent. Is the server running, and is --url its address?",
        Refusal.NO_FUNDS: "The account has too little money left.",
        Refusal.BAD_RECIPIENT: "Write --to as digits with the country code, such as 447700900123.",
        Refusal.BAD_ORIGINATOR: "Give the sender with --from: a number, or a name that the account may use.",
        Refusal.NOT_FOUND: "Check the reference, and give the message's sender with --from.",
    }.get(error.reason)
    wait = f"Try again in {error.retry_after_s:g} s." if error.retry_after_s else None
    return "\n".join(filter(None, [str(error), advised, wait]))


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# What commands have in common


def store_options(data: str | None, database: str | None) -> dict[str, str | None]:
    """--data alone means the database in that folder, whatever file and environment say."""
    if data and database:
        raise click.UsageError("--data names a folder with a SQLite database, --database another one: give one of them")
    return {"data": data, "database": "" if data and database is None else database}


def settings_of(file: Path | None, given: dict[str, str | None], *, is_quiet: bool = False) -> "Settings":
    """The settings of this process, with its log set up; wrong ones are wrong use."""
    from chappe import logs
    from chappe.settings import SettingsError, load

    try:
        settings = load(file, os.environ, given)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    logs.set_up(settings.log_format, "warning" if is_quiet else settings.log_level)
    return settings


def refuse_wrong_url(settings: "Settings") -> None:
    """A database URL that cannot be is wrong use."""
    from chappe.store.database import DatabaseUrlError, url_of

    try:
        url_of(settings.database_url)
    except DatabaseUrlError as error:
        raise click.UsageError(str(error)) from None


def fail(sentence: str) -> NoReturn:
    raise click.ClickException(sentence)
