"""The reference, read off the code that it is about: settings, commands, endpoints, pages, figures, words.

Each page of the reference is a function that returns Markdown. The documentation's site asks for them when it is built,
so they cannot be older than the code. Where the code has no sentence for something a reader will look up, the sentence
stands here, and a test fails when one is missing. `python -m chappe.reference PAGE` prints a page.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import msgspec

from chappe.app import DEMO_RECEIPT_PATH
from chappe.cli import program
from chappe.cli.demo import told
from chappe.core.centre import REMEDIES, Refusal
from chappe.core.fates import FATES
from chappe.core.lifecycle import FINAL, MOVES
from chappe.core.model import Priority, Service, State, UncertainPolicy
from chappe.core.people import OPERATING, PERMISSIONS, Permission, Role
from chappe.core.story import Kind
from chappe.dialects.known import known_dialects
from chappe.dialects.smsend.routes import DOORS
from chappe.dialects.smsend.routes import ROUTES as SMSEND_ROUTES
from chappe.dialects.voipcom.north import FLOWS as VOIPCOM_FLOWS
from chappe.gateway.gateway_file import (
    KINDS,
    NUMBER_KEYS,
    ROUTE_KEYS,
    SMPP,
    Known,
    account_keys,
    carrier_keys,
)
from chappe.gateway.metrics import FAMILIES
from chappe.listeners.http import CARRIER_PATH
from chappe.listeners.native import openapi_document
from chappe.listeners.panel import ROUTES as PANEL_ROUTES
from chappe.settings import table as settings_table

ANY_METHOD = "GET, POST"
METHODS = ("get", "post", "put", "patch", "delete")


# Commands


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, such as `chappe alias list`, groups before what is in them."""
    yield from _below("chappe", program)


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, each in sorted(command.commands.items()):
            yield from _below(f"{name} {word}", each)


def command_page() -> str:
    parts = [
        "# Commands",
        "`chappe COMMAND --help` tells the same. Exit codes: 0 done, 1 failed, 2 wrong use. What begins with "
        "`CHAPPE_` in "
        "the environment is under [settings](../settings.md).",
    ]
    for name, command in commands():
        parts += [f"## `{name}`", f"```text\n{usage(name, command)}\n```", inspect.cleandoc(command.help or "")]
        rows = [option_row(option) for option in command.params if isinstance(option, click.Option)]
        if rows:
            parts.append(table(("option", "what it is for"), rows))
    return paragraphs(parts)


def usage(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    return " ".join([name, *command.collect_usage_pieces(context)])


def option_row(option: click.Option) -> tuple[str, str]:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" `{option.make_metavar(click.Context(program))}`"
    needed = "**Required.** " if option.required else ""
    return names + value, needed + (option.help or "")


# Endpoints


class Endpoint(NamedTuple):
    """A path that answers, who documents it, and what it does."""

    group: str
    method: str
    path: str
    does: str


def endpoints() -> list[Endpoint]:
    """Every path of the HTTP door, the panel's pages apart."""
    return [*own_endpoints(), *native_endpoints(), *dialect_endpoints()]


def own_endpoints() -> list[Endpoint]:
    return [
        Endpoint("chappe", "GET", "/healthz", "200 while the gateway can keep a message, 503 while it cannot."),
        Endpoint("chappe", "GET", "/metrics", "[Figures](metrics.md) in Prometheus's text format."),
        Endpoint("chappe", "GET", "/panel", "The [control panel](panel.md)."),
        Endpoint("chappe", "GET", "/v1/openapi.json", "The native API as an OpenAPI 3.1 document."),
        Endpoint(
            "chappe",
            ANY_METHOD,
            f"{CARRIER_PATH}{{key}}",
            "Where a carrier reports receipts and hands over messages from phones; `chappe apply` prints each "
            "carrier's path.",
        ),
        Endpoint(
            "chappe", ANY_METHOD, DEMO_RECEIPT_PATH, "`chappe demo` alone: its own customer, who takes every receipt."
        ),
    ]


def native_endpoints() -> Iterator[Endpoint]:
    for path, operations in openapi_document()["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                yield Endpoint("native", method.upper(), path, operation.get("summary", ""))


def dialect_endpoints() -> Iterator[Endpoint]:
    for dialect in known_dialects():
        for path in sorted({path.rstrip("/") or path for path in dialect.north.paths}):
            yield Endpoint(dialect.name, ANY_METHOD, path, "")
        for root in dialect.north.roots:
            for method, path in METHOD_TABLES.get(dialect.name, ()):
                yield Endpoint(dialect.name, method, root + path, "")


# Of the dialects that read the rest of the path themselves: method and path below the root.
METHOD_TABLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "smsend": sorted({*DOORS, *((route.method, route.path) for route in SMSEND_ROUTES)}, key=lambda row: row[::-1]),
    "voipcom": sorted(VOIPCOM_FLOWS, key=lambda row: row[::-1]),
}
DIALECT_PAGES = {
    "smsfox": ("SMSFox", ("smsfox",)),
    "proovl": ("Proovl", ("proovl",)),
    "voipcom": ("voip-communications.net", ("voipcom",)),
    "smsend": ("smsend.it", ("smsend", "smsend-belongings")),
    "smscentre": ("SMS Centre", ("smscentre",)),
    "smpp": ("SMPP", ("smpp",)),
}


def endpoint_page() -> str:
    parts = [
        "# HTTP endpoints",
        "One port takes them all. The path decides which language is spoken; a path that nobody has is 404.",
        "## chappe's own",
        table(("method", "path", "what it does"), [(row.method, code(row.path), row.does) for row in own_endpoints()]),
        "## Native API",
        "Asked with an API key, answered in JSON; see [the native API](../dialects/native.md). A running gateway "
        "serves the "
        "whole document, with every field, at `/v1/openapi.json`.",
        table(
            ("method", "path", "what it does"), [(row.method, code(row.path), row.does) for row in native_endpoints()]
        ),
    ]
    for dialect in known_dialects():
        title, pages = DIALECT_PAGES.get(dialect.name, (dialect.name, ()))
        rows = [(row.method, code(row.path)) for row in dialect_endpoints() if row.group == dialect.name]
        if not rows:  # ours: its paths are those of the native API
            continue
        links = " and ".join(f"[{page}](../dialects/{page}.md)" for page in pages)
        parts += [
            f"## {title}",
            f"Fields and answers: {links or 'its own package says'}.",
            table(("method", "path"), rows),
        ]
    return paragraphs(parts)


# The panel


def panel_page() -> str:
    parts = [
        "# Panel",
        "Every page below `/panel`, and the permission that it asks for (see [words](words.md#permissions)). A "
        "change is a POST "
        "with a token of the session. What is outside somebody's sight is not found rather than forbidden.",
        table(("method", "path", "permission", "what it is"), [panel_row(route) for route in PANEL_ROUTES]),
    ]
    return paragraphs(parts)


def panel_row(route: Any) -> tuple[str, str, str, str]:
    does = PANEL.get((route.method, route.path), "") or first_of(route.answer)
    return route.method, code("/panel" + route.path), code(route.permission) if route.permission else "", does


# What pages are, where their code has no sentence on it.
PANEL = {
    ("GET", "/"): "What goes on: messages, errors, time and money of the last hour, day or month, in pictures.",
    ("GET", "/send"): "One text to a number or a few; its alphabet, segments and price are shown while it is written.",
    ("POST", "/send"): "Send it, or show what would be.",
    ("GET", "/send/numbers"): "Many numbers, pasted: they become a campaign.",
    ("POST", "/send/numbers"): "Make a campaign of pasted numbers.",
    ("GET", "/send/file"): "A file whose columns are variables of the text: it becomes a campaign.",
    ("POST", "/send/file"): "Load a file, and make a campaign of it.",
    ("GET", "/campaigns"): "Campaigns, the newest first.",
    ("GET", "/campaigns/{campaign_id:int}"): "A campaign: its text, the dry run, how far it is, what became of it.",
    ("GET", "/campaigns/{campaign_id:int}/results"): "What became of each row, as CSV.",
    ("POST", "/campaigns/{campaign_id:int}/text"): "Say what a campaign is to send; it is checked without sending.",
    ("POST", "/campaigns/{campaign_id:int}/step"): "Start, pause, resume, cancel or remove a campaign.",
    ("GET", "/messages"): "Messages, found by number, id, state, time, account, carrier and sender.",
    ("GET", "/messages/export"): "The messages that were found, as CSV.",
    ("GET", "/messages/{message_id:int}"): "One message and its whole story.",
    ("POST", "/messages/{message_id:int}/cancel"): "Take a message back that still waits.",
    ("POST", "/messages/{message_id:int}/reschedule"): "Give a message that still waits another time.",
    ("GET", "/inbound"): "Messages from phones.",
    ("GET", "/inbound/export"): "The messages from phones that were found, as CSV.",
    ("GET", "/scheduled"): "What waits for its time.",
    ("POST", "/scheduled/cancel"): "Take scheduled messages back that are ticked.",
    ("GET", "/callbacks"): "Callbacks: when, where to, how they were answered, when they are made again.",
    ("POST", "/callbacks/replay"): "Make callbacks again that are ticked.",
    ("GET", "/ledger"): "An account's statement: every movement of its money.",
    ("GET", "/ledger/export"): "The statement as CSV.",
    ("GET", "/keys"): "Keys of the native API: never the keys themselves.",
    ("POST", "/keys"): "Make a key, which is shown this once.",
    ("POST", "/keys/{key_id:int}/end"): "End a key.",
    ("GET", "/login"): "The way in: with a user's name, or with an account's.",
    ("POST", "/login"): "Log in.",
    ("POST", "/logout"): "Log out.",
    ("GET", "/join/{key}"): "What a one-time link leads to: somebody chooses a name and a password.",
    ("POST", "/join/{key}"): "Become a user.",
    ("POST", "/theme"): "Light, dark, or as the device has it.",
    ("POST", "/language"): "Another language.",
    ("GET", "/settings"): "One's own password, and where one is logged in.",
    ("POST", "/settings/password"): "Change one's own password; all other sessions end.",
    ("POST", "/settings/sessions"): "Log out somewhere else.",
    ("GET", "/users"): "Who may log in, and open invitations.",
    ("POST", "/users/invite"): "Make a one-time link for somebody.",
    ("POST", "/users/withdraw"): "Make a link worthless.",
    ("POST", "/users/{user_id:int}"): "Change a user's role or account, or let them in no more.",
}


def first_of(function: Callable[..., Any]) -> str:
    """The first sentence of a function's docstring; empty where it has none."""
    words = " ".join((inspect.getdoc(function) or "").split())
    head, stop, _ = words.partition(". ")
    return head + "." if stop else words


# Figures


def metric_page() -> str:
    rows = [
        (
            code(one.name + "_total" * one.is_counter),
            "counter" if one.is_counter else "gauge",
            codes(one.labels),
            one.help,
        )
        for one in FAMILIES
    ]
    return paragraphs(
        [
            "# Figures of `/metrics`",
            "Prometheus's text format, without a log-in: keep the path from strangers in whatever stands in front. "
            "What to watch of them is on the page about [production](../how-to/production.md).",
            table(("name", "kind", "labels", "what it is"), rows),
        ]
    )


# The gateway file


def gateway_file_keys() -> dict[str, frozenset[str]]:
    """The keys of each kind of entry, as `chappe apply` reads them."""
    known = Known(kinds=frozenset(), dialects=frozenset())
    keys: dict[str, Iterable[str]] = {
        "account": account_keys(known),
        "carrier": {**carrier_keys(known, None), **carrier_keys(known, SMPP)},
        "route": ROUTE_KEYS,
        "number": NUMBER_KEYS,
    }
    return {kind: frozenset(keys[kind]) for kind in KINDS}


# Words

STATES = {
    State.SCHEDULED: "It waits for its time, which is in the future.",
    State.QUEUED: "It waits for room at its carrier, or for another attempt.",
    State.SENDING: "It is on its way to the carrier, or nobody knows whether the carrier took it.",
    State.SENT: "The carrier took it, and it was charged. No receipt has come yet.",
    State.DELIVERED: "The phone has it, says a receipt.",
    State.UNDELIVERABLE: "The phone will not have it.",
    State.EXPIRED: "Its validity ended first.",
    State.REJECTED: "The carrier, or the blacklist, did not let it through.",
    State.CANCELLED: "It was taken back before it left.",
    State.UNKNOWN: "No receipt came in time. A late one still counts.",
}
REFUSALS = {
    Refusal.UNAUTHORISED: "The name, password or key is wrong.",
    Refusal.BAD_REQUEST: "The request cannot be read.",
    Refusal.BAD_RECIPIENT: "The recipient is no number that a message can go to.",
    Refusal.BAD_ORIGINATOR: "The sender is none that the account may use.",
    Refusal.EMPTY_TEXT: "There is no text.",
    Refusal.TEXT_TOO_LONG: "The text needs more segments than a message may have.",
    Refusal.TOO_MANY_RECIPIENTS: "One request named more recipients than it may.",
    Refusal.FORBIDDEN: "It is not allowed.",
    Refusal.BLOCKED: "The recipient wants no messages.",
    Refusal.DUPLICATE: "The same was asked a moment ago.",
    Refusal.NO_ROUTE: "No route leads to this number.",
    Refusal.NO_FUNDS: "The account has too little money left.",
    Refusal.NOT_FOUND: "There is no such thing, or not for whoever asks.",
    Refusal.TOO_LATE: "The message has already left.",
    Refusal.THROTTLED: "Too much at once: come back later.",
    Refusal.OVERLOADED: "The other side has too much to do: come back later.",
    Refusal.UNREACHABLE: "Nobody could be reached, and certainly nothing was sent.",
    Refusal.UNSUPPORTED: "It is not offered here.",
    Refusal.INTERNAL: "Something broke that is not the sender's fault.",
}
POLICIES = {
    UncertainPolicy.HOLD: "It stays in doubt until its validity ends. Never sent twice.",
    UncertainPolicy.QUERY: "The carrier is asked whether it has it, every 30 seconds.",
    UncertainPolicy.RESEND: "It is sent again, up to three times. It may arrive twice.",
    UncertainPolicy.FAIL: "It counts as undeliverable, and is not charged.",
}
PRIORITIES = {
    Priority.URGENT: "First of all: one-time codes.",
    Priority.NORMAL: "What one person waits for.",
    Priority.BULK: "Last: more than ten recipients at once.",
}
SERVICES = {
    Service.PREMIUM: "The best route that can be paid for.",
    Service.STANDARD: "What is meant when nothing is said.",
    Service.ECONOMY: "The cheapest.",
}
ROLES = {
    Role.OWNER: "Runs the gateway and decides who else may.",
    Role.OPERATOR: "Runs the gateway: everything but the people who may.",
    Role.CUSTOMER: "Acts for one account: sends, reads, manages its keys.",
    Role.VIEWER: "Looks, and changes nothing.",
}
PERMISSION_WORDS = {
    Permission.SEND: "Send messages.",
    Permission.READ_MESSAGES: "Look at messages and their stories.",
    Permission.CHANGE_MESSAGES: "Cancel what is scheduled, or give it another time.",
    Permission.READ_INBOUND: "Look at what phones wrote.",
    Permission.READ_NUMBERS: "Look at the account's numbers and senders.",
    Permission.CHANGE_NUMBERS: "Rent numbers, give them back, say where their messages go.",
    Permission.READ_CALLBACKS: "Look at callbacks and how they were answered.",
    Permission.REPLAY_CALLBACKS: "Have callbacks made again.",
    Permission.READ_MONEY: "Look at the balance and the ledger.",
    Permission.READ_ACCOUNTS: "Look at accounts and subaccounts.",
    Permission.CHANGE_ACCOUNTS: "Make and change subaccounts, move credit.",
    Permission.READ_KEYS: "Look at API keys (never at their secrets).",
    Permission.CHANGE_KEYS: "Make and end API keys.",
    Permission.SIMULATE: "Play the phones of simulated carriers.",
    Permission.READ_CONFIGURATION: "Look at carriers, routes, prices and their versions.",
    Permission.CHANGE_CONFIGURATION: "Change carriers, routes and prices, and roll back.",
    Permission.READ_USERS: "Look at who may log in.",
    Permission.CHANGE_USERS: "Invite people, change their roles, end them.",
}
CHAPTERS = {
    Kind.REQUESTED: "The request as it came, secrets hidden.",
    Kind.ENCODED: "The alphabet, why, and how many segments.",
    Kind.ROUTED: "Every route that was considered, and why it was taken or not.",
    Kind.PRICED: "What it costs.",
    Kind.ACCEPTED: "It was kept: from now on it cannot be lost.",
    Kind.SCHEDULED: "It waits for its time.",
    Kind.RESCHEDULED: "It was given another time.",
    Kind.REPLACED: "It was given another text.",
    Kind.SENT: "A carrier took it.",
    Kind.PUT_OFF: "The carrier asked to come back later.",
    Kind.REROUTED: "This carrier does not take it: on to the next.",
    Kind.REJECTED: "No carrier takes it.",
    Kind.DOUBTFUL: "Nobody knows whether the carrier took it.",
    Kind.SETTLED: "The doubt has ended.",
    Kind.RECEIPT: "A delivery receipt came.",
    Kind.CANCELLED: "It was taken back.",
    Kind.EXPIRED: "Its validity ended.",
    Kind.CALLBACK: "The customer was called back, and how that was answered.",
    Kind.MONEY: "Money was reserved, charged or given back.",
}


def word_page() -> str:
    parts = [
        "# Words of the gateway",
        "What stands in answers, stories, figures and the panel. Each language has its own words for them; these are "
        "ours.",
        "## States",
        "Where a message is. A final state is never left again.",
        table(
            ("state", "what it means", "what may follow"),
            [(code(one), STATES[one], codes(sorted(MOVES[one])) if one not in FINAL else "final") for one in State],
        ),
        "## Refusals",
        "Why a submission, or a carrier, said no. For a carrier's refusal the last two columns say what the gateway "
        "does.",
        table(
            ("refusal", "what it means", "tried again later", "tried at the next carrier"),
            [
                (code(one), REFUSALS[one], yes(REMEDIES[one].may_retry), yes(REMEDIES[one].may_reroute))
                for one in Refusal
            ],
        ),
        "## Simulated endings",
        "The simulated carrier delivers everything, except to numbers that end in these four digits. Test keys, test "
        "accounts "
        "and `chappe demo` send through it.",
        table(("ending", "what happens"), [(code(ending), told(fate)) for ending, fate in FATES.items()]),
        "## Doubts",
        "What happens to a message when nobody knows whether the carrier took it: the carrier's `uncertain`.",
        words_table("policy", UncertainPolicy, POLICIES),
        "## Priorities",
        "Which messages leave first, within one carrier's queue.",
        words_table("priority", Priority, PRIORITIES),
        "## Service classes",
        "How good a route the sender pays for.",
        words_table("class", Service, SERVICES),
        "## Roles",
        "What a person is in the panel.",
        words_table("role", Role, ROLES),
        "## Permissions",
        "What pages and endpoints ask for. They are also the scopes of API keys, but for those of whoever runs the "
        "gateway.",
        table(
            ("permission", "what it allows", *Role),
            [(code(one), PERMISSION_WORDS[one] + remark(one), *permitted(one)) for one in Permission],
        ),
        "## Chapters of a story",
        "What the [story of a message](../how-to/test-my-app.md#see-what-became-of-a-message) is made of.",
        words_table("chapter", Kind, CHAPTERS),
    ]
    return paragraphs(parts)


def remark(permission: Permission) -> str:
    return " Not for keys of accounts." if permission in OPERATING else ""


def permitted(permission: Permission) -> tuple[str, ...]:
    return tuple(yes(permission in PERMISSIONS[role]) for role in Role)


def yes(is_so: bool) -> str:
    return "yes" if is_so else ""


# Markdown


def words_table(heading: str, words: Iterable[Any], sentences: Mapping[Any, str]) -> str:
    return table((heading, "what it means"), [(code(one), sentences[one]) for one in words])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def code(word: str) -> str:
    return f"`{word}`"


def codes(words: Iterable[str]) -> str:
    return ", ".join(map(code, words))


def paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def openapi_page() -> str:
    """The document of the native API as it is served."""
    return msgspec.json.format(msgspec.json.encode(openapi_document()), indent=2).decode()


PAGES: dict[str, Callable[[], str]] = {
    "commands": command_page,
    "http": endpoint_page,
    "panel": panel_page,
    "metrics": metric_page,
    "words": word_page,
}

if __name__ == "__main__":
    print({**PAGES, "settings": settings_table, "openapi": openapi_page}[sys.argv[1]]())
