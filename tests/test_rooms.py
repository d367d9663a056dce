"""Who may import whom: the house's import table as data, held against the source of every module.

A room is a folder or a top-level module of chappe (`chappe.core`, `chappe.clock`); the longest name that fits wins, so
`chappe.smpp.connection` is a room apart from `chappe.smpp`. Imports are read with `ast`, wherever in a file they stand.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

EVERYTHING = frozenset({"chappe"})

# Room -> which modules of ours it may import, besides itself and the bare package (`from chappe import __version__`).
MAY_IMPORT: dict[str, frozenset[str]] = {
    "chappe": frozenset(),
    "chappe.__main__": EVERYTHING,
    "chappe.app": EVERYTHING,
    "chappe.front": frozenset({"chappe.listeners", "chappe.dialects", "chappe.process"}),
    "chappe.eagerly": frozenset(),
    "chappe.cli": EVERYTHING,
    "chappe.pytest_plugin": frozenset({"chappe.testing"}),
    "chappe.testing": frozenset({"chappe.core"}),
    "chappe.testing_server": EVERYTHING,
    "chappe.capabilities": frozenset(
        {"chappe.carriers", "chappe.dialects", "chappe.gateway", "chappe.outbound", "chappe.smpp"}
    ),
    "chappe.reference": EVERYTHING,
    "chappe.settings": frozenset(),
    "chappe.logs": frozenset({"chappe.sms"}),
    "chappe.clock": frozenset(),
    "chappe.networks": frozenset(),
    "chappe.burst": frozenset(),
    "chappe.tls_layer": frozenset(),
    "chappe.process": frozenset(),
    "chappe.http_connection": frozenset({"chappe.dialects.base", "chappe.burst"}),
    "chappe.outbound": frozenset({"chappe.networks", "chappe.http_connection", "chappe.dialects.base", "chappe.clock"}),
    "chappe.outbound_mail": frozenset({"chappe.core"}),
    "chappe.client": frozenset({"chappe.dialects", "chappe.core", "chappe.sms", "chappe.outbound", "chappe.networks"}),
    "chappe.sms": frozenset(),
    "chappe.smpp": frozenset({"chappe.sms"}),
    "chappe.smpp.connection": frozenset({"chappe.smpp", "chappe.sms", "chappe.clock", "chappe.tls_layer"}),
    "chappe.dialects": frozenset({"chappe.core", "chappe.sms", "chappe.smpp"}),
    "chappe.core": frozenset({"chappe.sms"}),
    "chappe.store": frozenset({"chappe.core"}),
    "chappe.gateway": frozenset({"chappe.core", "chappe.sms", "chappe.store", "chappe.dialects.base", "chappe.clock"}),
    "chappe.carriers": frozenset({"chappe.core", "chappe.dialects", "chappe.smpp", "chappe.outbound", "chappe.clock"}),
    "chappe.listeners": frozenset(
        {
            "chappe.core",
            "chappe.dialects",
            "chappe.smpp",
            "chappe.gateway",
            "chappe.clock",
            "chappe.burst",
            "chappe.eagerly",
        }
        | {"chappe.tls_layer"}
    ),
}

# The pure rooms: which packages of others they may import. Of the standard library, all but INPUT_OUTPUT.
PURE: dict[str, frozenset[str]] = {
    "chappe.sms": frozenset(),
    "chappe.smpp": frozenset({"msgspec"}),
    "chappe.core": frozenset({"msgspec"}),
    "chappe.dialects": frozenset({"msgspec"}),
    "chappe.networks": frozenset({"msgspec"}),
}
INPUT_OUTPUT = frozenset(
    {"asyncio", "concurrent", "ftplib", "http.client", "http.server", "imaplib", "multiprocessing", "poplib", "queue"}
    | {"sched", "select", "selectors", "smtplib", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "telnetlib"}
    | {"threading", "time", "urllib.request"}
)

# What has one owner: module -> the rooms that may import it.
ONLY_IN: dict[str, frozenset[str]] = {
    "time": frozenset({"chappe.clock"}),
    **dict.fromkeys(
        ["aiohttp", "httpx", "requests", "urllib.request", "http.client"],
        frozenset({"chappe.outbound"}),
    ),
    **dict.fromkeys(["smtplib", "aiosmtplib"], frozenset({"chappe.outbound_mail"})),
    **dict.fromkeys(
        ["sqlalchemy", "alembic", "sqlite3", "pysqlite3", "psycopg"],
        frozenset({"chappe.store"}),
    ),
    "httptools": frozenset({"chappe.listeners", "chappe.http_connection"}),
    **dict.fromkeys(["jinja2", "babel", "phonenumbers"], frozenset({"chappe.listeners"})),
    **dict.fromkeys(
        ["uvicorn", "starlette"],
        frozenset({"chappe.listeners", "chappe.app", "chappe.cli"}),
    ),
}

# Words that only a statement has. In capitals, as we write SQL: English sentences do not match.
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+TABLE)\b", re.S
)


def test_the_import_table_holds() -> None:
    """No module imports what its room may not, asks the time behind the clock's back, or speaks SQL outside store."""
    modules = sorted(SOURCE.rglob("*.py"))
    assert [broken for path in modules for broken in broken_rules(module_name(path), path.read_text())] == []


def test_every_room_stands_in_the_table() -> None:
    """A new folder or top-level module must be given its place in the import table before it can be used."""
    tops = {".".join(module_name(path).split(".")[:2]) for path in SOURCE.rglob("*.py")}
    assert tops - MAY_IMPORT.keys() == set()


FORBIDDEN = [
    # module, its source, the start of what must be said
    ("chappe.sms.segments", "import msgspec", "chappe.sms may not import msgspec"),
    ("chappe.sms.segments", "from chappe.core import model", "chappe.sms may not import chappe.core.model"),
    ("chappe.smpp.session", "import asyncio", "chappe.smpp may not import asyncio"),
    ("chappe.smpp.session", "import time", "chappe.smpp may not import time"),
    ("chappe.smpp.session", "from . import connection", "chappe.smpp may not import chappe.smpp.connection"),
    ("chappe.smpp.connection", "import chappe.gateway.inbound", "chappe.smpp.connection may not import chappe.gateway"),
    ("chappe.core.ledger", "import asyncio", "chappe.core may not import asyncio"),
    ("chappe.core.ledger", "import sqlalchemy", "chappe.core may not import sqlalchemy"),
    ("chappe.core.ledger", "from chappe.clock import now", "chappe.core may not import chappe.clock"),
    ("chappe.core.ledger", "from ..store import engine", "chappe.core may not import chappe.store.engine"),
    ("chappe.core", "from .lifecycle import x\nfrom .. import gateway", "chappe.core may not import chappe.gateway"),
    ("chappe.dialects.proovl", "from uvicorn import Server", "chappe.dialects may not import uvicorn"),
    ("chappe.dialects.proovl", "import urllib.request", "chappe.dialects may not import urllib.request"),
    ("chappe.dialects.proovl", "from http import client", "chappe.dialects may not import http.client"),
    (
        "chappe.dialects.smsend.north",
        "from chappe.carriers import http",
        "chappe.dialects may not import chappe.carriers",
    ),
    ("chappe.store.engine", "from chappe.gateway import queries", "chappe.store may not import chappe.gateway.queries"),
    (
        "chappe.store.engine",
        "from chappe.dialects.base import Flow",
        "chappe.store may not import chappe.dialects.base",
    ),
    (
        "chappe.gateway.callbacks",
        "from chappe.dialects import proovl",
        "chappe.gateway may not import chappe.dialects.pro",
    ),
    (
        "chappe.gateway.callbacks",
        "def f():\n    import chappe.carriers.http",
        "chappe.gateway may not import chappe.carr",
    ),
    ("chappe.gateway.queries", "from sqlalchemy import select", "chappe.gateway may not import sqlalchemy"),
    ("chappe.gateway.queries", "from chappe.settings import Settings", "chappe.gateway may not import chappe.settings"),
    ("chappe.carriers.http", "from chappe.store import engine", "chappe.carriers may not import chappe.store"),
    ("chappe.carriers.http", "import aiohttp.client", "chappe.carriers may not import aiohttp.client"),
    ("chappe.outbound", "import httptools", "chappe.outbound may not import httptools"),
    ("chappe.networks", "import socket", "chappe.networks may not import socket"),
    ("chappe.listeners.http", "from chappe.store import engine", "chappe.listeners may not import chappe.store"),
    ("chappe.listeners.smpp", "from chappe.carriers import smpp", "chappe.listeners may not import chappe.carriers"),
    ("chappe.client", "from chappe.gateway import accounts", "chappe.client may not import chappe.gateway"),
    ("chappe.outbound", "import chappe.gateway", "chappe.outbound may not import chappe.gateway"),
    ("chappe.settings", "import chappe.core.model", "chappe.settings may not import chappe.core"),
    ("chappe.app", "import time", "chappe.app may not import time"),
    ("chappe.app", "from time import monotonic", "chappe.app may not import time"),
    ("chappe.gateway.queries", "from datetime import datetime\ndatetime.now()", "chappe.gateway may not ask the time"),
    ("chappe.gateway.queries", "import datetime\ndatetime.date.today()", "chappe.gateway may not ask the time"),
    ("chappe.gateway.queries", 'q = "SELECT id FROM message"', "chappe.gateway may not speak SQL"),
    ("chappe.app", 'q = f"UPDATE message SET state = {state}"', "chappe.app may not speak SQL"),
    ("chappe.novelty", "", "chappe.novelty has no place in the import table"),
]


@pytest.mark.parametrize("module, source, words", FORBIDDEN)
def test_what_is_forbidden_is_found(module: str, source: str, words: str) -> None:
    """Each kind of forbidden import, wherever it stands in a file, is found and named with its line."""
    found = broken_rules(module, source)
    assert len(found) == 1
    assert re.match(r"chappe[\w.]*:\d+: ", found[0])
    assert found[0].partition(": ")[2].startswith(words)


@pytest.mark.parametrize(
    "module, source",
    [
        ("chappe.sms.segments", "import math\nfrom .alphabets import GSM\nfrom chappe import __version__"),
        (
            "chappe.smpp.connection",
            "import asyncio\nfrom chappe.clock import monotonic_s\nfrom .session import Session",
        ),
        ("chappe.core.model", "import msgspec\nfrom datetime import datetime\nfrom chappe.sms.numbers import Msisdn"),
        ("chappe.dialects.proovl", "from http import HTTPStatus\nfrom urllib.parse import quote\nfrom . import base"),
        ("chappe.store.engine", 'import sqlalchemy\nimport sqlite3\nq = "SELECT id FROM message"'),
        ("chappe.gateway.callbacks", "import asyncio\nfrom chappe.dialects import base\nfrom chappe import clock"),
        ("chappe.clock", "import time\nfrom datetime import UTC, datetime\ndatetime.now(UTC)"),
        ("chappe.outbound", "import socket\nfrom chappe.dialects.base import HttpRequest"),
        ("chappe.client", "from chappe import outbound\nfrom chappe.dialects import proovl"),
        ("chappe.app", "from chappe.settings import Settings\nfrom chappe.store import engine\nclock.now()"),
        ("chappe.gateway.queries", '"""Select messages from the store; update each and set its state."""'),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    """What the table allows is not reported."""
    assert broken_rules(module, source) == []


def broken_rules(module: str, source: str) -> list[str]:
    """Every rule that a module's source breaks, as `module:line: room may not ...`."""
    room = room_of(module)
    if room == "chappe" and module != "chappe":
        return [f"{module}:1: {module} has no place in the import table"]
    tree = ast.parse(source)
    package = module if (SOURCE / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]
    broken = [
        f"{module}:{line}: {room} may not import {target}"
        for line, target in imports(tree, package)
        if not is_allowed(room, target)
    ]
    if room != "chappe.clock":
        broken += [f"{module}:{line}: {room} may not ask the time: chappe.clock does" for line in clock_readings(tree)]
    if room != "chappe.store":
        broken += [f"{module}:{line}: {room} may not speak SQL: chappe.store does" for line in sql_texts(tree)]
    return broken


def is_allowed(room: str, target: str) -> bool:
    """Whether a module of this room may import the target, a dotted name of a module or of something in it."""
    if is_within(target, "chappe"):
        owner = room_of(target)
        return owner in {room, "chappe"} or any(is_within(target, allowed) for allowed in MAY_IMPORT[room])
    owners = [rooms for name, rooms in ONLY_IN.items() if is_within(target, name)]
    if any(room not in rooms for rooms in owners):
        return False
    if room not in PURE:
        return True
    top = target.partition(".")[0]
    if top in sys.stdlib_module_names:
        return not any(is_within(target, name) for name in INPUT_OUTPUT)
    return top in PURE[room]


def room_of(name: str) -> str:
    """The longest room a dotted name lies in: chappe.core.model -> chappe.core."""
    return max((room for room in MAY_IMPORT if is_within(name, room)), key=len)


def is_within(name: str, ancestor: str) -> bool:
    return name == ancestor or name.startswith(f"{ancestor}.")


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, relative names made absolute from the package they stand in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def clock_readings(tree: ast.AST) -> Iterator[int]:
    """Lines that call datetime.now, datetime.utcnow, datetime.today or date.today."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    attr="now" | "utcnow" | "today",
                    value=ast.Name(id="datetime" | "date") | ast.Attribute(attr="datetime" | "date"),
                )
            ):
                yield node.lineno


def sql_texts(tree: ast.AST) -> Iterator[int]:
    """Lines of string constants that hold an SQL statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
            yield node.lineno


def module_name(path: Path) -> str:
    """The dotted name of a source file: src/chappe/core/model.py -> chappe.core.model."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
