"""The demo: a whole gateway with nothing to configure, and each message's trip live in the terminal.

It is an ordinary gateway whose configuration is the gateway file below, in a folder that is thrown away unless one is
named. Its customer is itself: receipts are called back to a page of its own port. The lines to paste are made by the
south halves of the dialects, which are the ones who know how their language is written.
"""

import shlex
import socket
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

import click
import msgspec
from rich.table import Table

from chappe.app import DEMO_RECEIPT_PATH, DIALECTS, App, StartError
from chappe.cli import origin, place
from chappe.cli.applying import applied
from chappe.cli.serving import serve_until_told
from chappe.cli.tables import plain_table, print_table
from chappe.cli.versions import Books
from chappe.clock import SystemClock
from chappe.core.fates import FATES, Fate
from chappe.core.model import Secret, State
from chappe.dialects.base import Dialect, HttpRequest
from chappe.dialects.examples import TEXT, curl, first_request
from chappe.gateway.edits import Edit, find
from chappe.gateway.feed import Event, Step
from chappe.gateway.gateway_file import AccountWish
from chappe.gateway.stating import table_of
from chappe.gateway.versions import VersionDesk
from chappe.settings import Settings
from chappe.sms.numbers import mask
from chappe.store.database import Database

NAME = PASSWORD = "demo"  # nothing behind it is worth guarding, and lines of the documents can be pasted
GATEWAY_FILE = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "{name}"
password = "{password}"
currency = "EUR"
balance = "1000.00"
numbers = ["{number}"]
receipt_url = "{receipt_url}"
inbound_url = "{receipt_url}"
"""
SMPP_DEFAULT = ("127.0.0.1", 2775)
NUMBER = "447700900100"  # the account's own: phones can answer to it
EXAMPLE_NUMBER = "447700900123"
UNASSIGNED = "9990000"  # no country has 999: what ends up at a real carrier by mistake reaches nobody
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
TRIPS_MAX = 1_000  # messages whose numbers are remembered for later lines


class Demo:
    """`is_kept`: the data folder outlives the demo."""

    def __init__(self, settings: Settings, *, is_kept: bool) -> None:
        self._settings = with_smpp(settings_with_port(settings))
        self._is_kept = is_kept

    async def run(self) -> None:
        """Serve until told to stop. Raises StartError, StoreError."""
        receipt_url = self.origin + DEMO_RECEIPT_PATH
        if not is_configured(self._settings):  # what was changed since, in the panel for instance, stays
            configuration = GATEWAY_FILE.format(name=NAME, password=PASSWORD, number=NUMBER, receipt_url=receipt_url)
            applied(self._settings, configuration, "demo")
        app = App(self._settings, is_demo=True)
        app.feed.watchers.append(Trips().tell)
        await serve_until_told(app, partial(self.welcome, app))

    @property
    def origin(self) -> str:
        host, port = self._settings.http_address
        host = EVERYWHERE.get(host, host)
        return origin(host, port)

    async def welcome(self, app: App) -> None:
        """Everything that is needed to send the first message."""
        origin = self.origin
        await call_back_here(app.desks.versions, origin + DEMO_RECEIPT_PATH)
        await app.people.make_sure(NAME, Secret(PASSWORD))
        show(title(f"chappe demo at {origin}"), f"and {origin.replace('http', 'https', 1)} (self-signed: curl -k)")
        show(title(f"panel at {origin}/panel/"), f"name {NAME}, password {PASSWORD}")
        show(f"account {NAME}, password {PASSWORD}, 1000.00 EUR, 0.01 a segment; carrier: simulated")
        show(
            "data kept in " + self._settings.data
            if self._is_kept
            else "data thrown away at the end (keep it: --data DIR)"
        )
        for dialect in DIALECTS:
            show("", title(dialect.name), curl(example(dialect, origin, EXAMPLE_NUMBER)))
        host, port = self._settings.smpp_address or ("", 0)
        host = EVERYWHERE.get(host, host)
        show("", title("smpp"), f"bind to {place(host, port)} as {NAME}, password {PASSWORD}; TLS on the same port")
        show("with Python (pip install smpplib):", smpplib_line(host, port))
        first, failing = DIALECTS[0], next(iter(FATES))
        answered = next(ending for ending, fate in FATES.items() if fate.is_answered_by_phone)
        show("", title("one that fails"), curl(example(first, origin, UNASSIGNED + failing)))
        show("", title("one that is answered"), curl(example(first, origin, UNASSIGNED + answered, NUMBER)))
        show("", title("a phone that writes"), phone_line(self._settings.data))
        show("", title("numbers that end in"))
        print_table(endings())
        show("", title("trips"), "(Ctrl-C ends the demo)")


def is_configured(settings: Settings) -> bool:
    """Whether a demo, or somebody else, has configured the gateway in this folder already."""
    file = Database(settings.database_url).file
    if file is None or not file.exists():
        return False
    books = Books(settings)
    with books.database.transaction() as transaction:
        return bool(books.configuration.load(transaction).carriers)


async def call_back_here(versions: VersionDesk, receipt_url: str) -> None:
    """Where a kept account is called back by the demo itself, that is where the demo is now."""
    wish = find((await versions.configured()).file, "account", NAME)
    if not isinstance(wish, AccountWish):
        return
    written = {"receipt_url": wish.settings.receipt_url, "inbound_url": wish.settings.inbound_url}
    moved = {key: receipt_url for key, url in written.items() if url.endswith(DEMO_RECEIPT_PATH) and url != receipt_url}
    if moved:
        entry = table_of(wish, versions.known, is_whole=True) | {"password": None} | moved
        await versions.carry_out(Edit(what="account", name=NAME, entry=entry), "demo")


def settings_with_port(settings: Settings) -> Settings:
    """Port 0 becomes a free one now: the account's receipt address has to name it."""
    host, port = settings.http_address
    if port:
        return settings
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            port = free.getsockname()[1]
    except OSError as error:
        raise StartError(f"cannot listen on {settings.http}: {error.strerror}") from None
    return msgspec.structs.replace(settings, http=f"{settings.http.rpartition(':')[0]}:{port}")


def with_smpp(settings: Settings) -> Settings:
    """Where binds come in: what was asked for, else the port of SMPP, else a free one."""
    host, port = settings.smpp_address or SMPP_DEFAULT
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    candidates = (port,) if settings.smpp and port else (port, 0) if port else (0,)
    for candidate in candidates:
        with suppress(OSError), socket.create_server((host, candidate), family=family) as free:
            return msgspec.structs.replace(settings, smpp=place(host, free.getsockname()[1]))
    raise StartError(f"cannot listen on {place(host, port)}: choose another with --smpp HOST:PORT")


# Lines to paste


def smpplib_line(host: str, port: int) -> str:
    """A shell line that binds and sends a message, with a Python package that many know."""
    script = (
        f'import smpplib.client as smpp; c = smpp.Client("{host}", {port}); c.connect(); '
        f'c.bind_transceiver(system_id="{NAME}", password="{PASSWORD}"); '
        f'c.send_message(source_addr_ton=5, source_addr="Demo", dest_addr_ton=1, '
        f'destination_addr="{EXAMPLE_NUMBER}", short_message=b"{TEXT}", registered_delivery=1); '
        f"c.read_once(); c.unbind(); c.disconnect()"
    )
    return shlex.join(["python3", "-c", script])


def phone_line(data: str) -> str:
    words = ["chappe", "inbound", "--data", data, "--from", EXAMPLE_NUMBER, "--to", NUMBER, "--text", "Hello back"]
    return shlex.join(words)


def example(dialect: Dialect, origin: str, recipient: str, originator: str = "Demo") -> HttpRequest:
    return first_request(dialect, origin, NAME, PASSWORD, recipient, originator)


def endings() -> Table:
    table = plain_table("ending", "what happens")
    for ending, fate in FATES.items():
        table.add_row(ending, told(fate))
    table.add_row("other", "delivered")
    return table


def told(fate: Fate) -> str:
    """A fate in words."""
    if fate.refusal is not None:
        return "refused at submission"
    if not fate.is_answered:
        return "the carrier does not answer: uncertain"
    if fate.throttled_times:
        return f"throttled {fate.throttled_times} times, then delivered"
    if not fate.receipts:
        return "accepted, and never a receipt"
    if fate.is_early:
        return "the receipt comes before the carrier's answer"
    if len(fate.receipts) > 1:
        return "the receipt comes twice"
    if fate.is_answered_by_phone:
        return "delivered, and the phone answers (to a sender that is a number)"
    if fate.delay_s:
        return f"the receipt comes after {fate.delay_s:g} s"
    return {State.UNDELIVERABLE: "undeliverable", State.EXPIRED: "expired"}.get(fate.receipts[0], "delivered")


# Trips


class Look(NamedTuple):
    """How a step is shown; {} stands for what the step is about."""

    word: str
    remark: str
    colour: str


LOOKS = {
    Step.ACCEPTED: Look("accepted", "over {}", "cyan"),
    Step.REFUSED: Look("refused", "{}: nothing was kept or charged", "red"),
    Step.SENT: Look("sent", "to carrier {}", "blue"),
    Step.RETRIED: Look("put off", "carrier {} asks to come back later", "yellow"),
    Step.REROUTED: Look("rerouted", "from carrier {} to the next one", "yellow"),
    Step.REJECTED: Look("rejected", "by carrier {}", "red"),
    Step.DOUBTFUL: Look("doubtful", "carrier {} did not answer; held", "yellow"),
    Step.RECEIPT: Look("{}", "by receipt", "green"),
    Step.PARKED: Look("parked", "a receipt that is ahead of its message", "yellow"),
    Step.INBOUND: Look("inbound", "{} from a phone", "magenta"),
    Step.CALLBACK: Look("callback", "customer answered {}", "green"),
    Step.CALLBACK_RETRIED: Look("callback", "failed ({}), to be repeated", "yellow"),
    Step.CALLBACK_FAILED: Look("callback", "failed ({}), given up", "red"),
}


class Trips:
    """Prints one line per step, and remembers whom a message is for, because only its first steps say so."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._recipients: OrderedDict[int, str] = OrderedDict()

    def tell(self, event: Event) -> None:
        if event.recipient and event.message_id not in self._recipients:
            self._recipients[event.message_id] = event.recipient
            if len(self._recipients) > TRIPS_MAX:
                self._recipients.popitem(last=False)
        recipient = mask(event.recipient or self._recipients.get(event.message_id, ""))
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000).strftime("%H:%M:%S.%f")[:-3]
        short_id = f"..{event.message_id % 100_000:05d}" if event.message_id else ""
        look = LOOKS[event.step]
        word = click.style(f"{look.word.format(event.subject):<15}", fg=look.colour)
        with suppress(BrokenPipeError):  # whoever read along has gone; the gateway is not to suffer from it
            show(f"{moment}  {short_id:<7}  {recipient:<15}  {word}{look.remark.format(event.subject)}")


def title(text: str) -> str:
    return click.style(text, bold=True)


def show(*lines: str) -> None:
    """Print; without colours where nobody could see them, and at once where somebody reads along."""
    click.echo("\n".join(lines))
