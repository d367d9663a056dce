"""`chappe check`: which promises are in force, what is wrong, and what to do about it.

A list of looks, each at one thing and harmless: no table is made, no key is written, no lock is kept. What cannot be
looked at is itself a finding, so that one broken thing does not hide the others.
"""

import fcntl
import os
import platform
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from chappe.clock import SystemClock
from chappe.gateway.directory import account_settings
from chappe.gateway.file_values import SMPP_PASSWORD_MAX
from chappe.gateway.secrets import KEY_FILE, Sealer, SealError
from chappe.listeners.tls import server_context
from chappe.networks import Networks
from chappe.settings import DATABASE_FILE, Settings, mistyped
from chappe.store.configuration import Configuration
from chappe.store.database import Database, DatabaseUrlError, StoreError
from chappe.store.figures import Figures, Overview
from chappe.store.migrate import HEAD
from chappe.store.money import Ledger
from chappe.store.promises import durability_promises, nodes_count, tables_version, version_promise

DISK_LOW = 512 * 2**20  # bytes
EXPIRES_SOON = timedelta(days=21)
CALLBACK_LATE = timedelta(hours=1)
NAMES_SHOWN_MAX = 10
SYSTEM_ID_MAX = 15


class State(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(Struct, frozen=True):
    """What was looked at, how it is, and what to do where it should be otherwise."""

    subject: str
    state: State
    found: str
    advice: str = ""


Look = Callable[[Settings], Iterator[Finding]]


def findings(settings: Settings) -> list[Finding]:
    """Everything there is to say about this installation, in the order of `LOOKS`."""
    return [finding for look in LOOKS for finding in look(settings)]


# The machine


def look_at_python(_settings: Settings) -> Iterator[Finding]:
    yield Finding("Python", State.OK, f"{platform.python_implementation()} {platform.python_version()}")


def look_at_environment(_settings: Settings) -> Iterator[Finding]:
    for name, near in mistyped(os.environ).items():
        yield Finding("environment", State.WARNING, f"{name} is no setting and is not read", f"is {near} meant?")


def look_at_disk(settings: Settings) -> Iterator[Finding]:
    data = Path(settings.data).resolve()
    if settings.database:
        return
    existing = next(folder for folder in (data, *data.parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{data}, {free // 2**20} MiB free"
    if not os.access(existing, os.W_OK):
        yield Finding("data folder", State.WRONG, found, "this user may not write there")
    elif free < DISK_LOW:
        yield Finding("data folder", State.WARNING, found, "a full disk refuses every message: make room")
    else:
        yield Finding("data folder", State.OK, found)


# The database


def look_at_database(settings: Settings) -> Iterator[Finding]:
    try:
        database = Database(settings.database_url)
        if database.file is not None and not database.file.exists():
            yield Finding("database", State.OK, f"SQLite, none at {database.file} yet", "`chappe serve` makes it")
            return
        yield from look_at_mode(database.file)
        yield from look_inside(database)
        yield from look_at_mail(database, settings)
        yield from look_at_binds(database, settings)
    except DatabaseUrlError as error:
        yield Finding("database", State.WRONG, str(error), "correct the setting database, or --database")
    except (StoreError, OSError) as error:
        yield Finding("database", State.WRONG, str(error), "is it running, and may this user reach it?")


def look_at_mode(file: Path | None) -> Iterator[Finding]:
    if file is not None and is_open(file):
        advice = f"it holds texts and numbers: chmod go= {file}*"
        yield Finding("database file", State.WARNING, f"{file} can be read by others", advice)


def look_inside(database: Database) -> Iterator[Finding]:
    with database.connect() as connection, connection.transaction(is_reading=True) as transaction:
        for promise in (version_promise(database, transaction), *durability_promises(database, transaction)):
            state = State.OK if promise.is_kept else State.WRONG if promise.subject == "commits" else State.WARNING
            yield Finding(promise.subject, state, promise.found, promise.advice)
    at = tables_version(database)
    if at != HEAD:
        found = "no tables yet" if at is None else f"tables at version {at}, this chappe wants {HEAD}"
        yield Finding("tables", State.WARNING, found, "the next `chappe serve` or `chappe apply` brings them there")
        return
    yield Finding("tables", State.OK, f"version {at}")
    yield from look_at_servers(database)
    yield from look_at_books(database)


def look_at_mail(database: Database, settings: Settings) -> Iterator[Finding]:
    """Whether who wants mail can get it."""
    if tables_version(database) != HEAD:
        return
    with database.connect() as connection, connection.transaction(is_reading=True) as transaction:
        stored = Configuration(database, Ledger(database)).load(transaction)
    wanting = {row.id for row in stored.accounts if row.is_active and account_settings(row).inbound_email}
    wanting |= {number.account_id for number in stored.rented if number.email}
    if settings.mail_server:
        yield Finding("mail", State.OK, f"by {settings.mail_server}, {settings.mail_tls}")
    elif wanting:
        names = ", ".join(sorted(row.name for row in stored.accounts if row.id in wanting)[:NAMES_SHOWN_MAX])
        found = f"none, but messages to {names} shall go to a mailbox"
        yield Finding("mail", State.WARNING, found, "set mail_server and mail_from")


def look_at_binds(database: Database, settings: Settings) -> Iterator[Finding]:
    """Whether the accounts can bind: a name and a password have little room in SMPP (3.4 5.2.1, 5.2.2)."""
    if not settings.smpp or tables_version(database) != HEAD:
        return
    with database.connect() as connection, connection.transaction(is_reading=True) as transaction:
        stored = Configuration(database, Ledger(database)).load(transaction)
    active = [row for row in stored.accounts if row.is_active]
    long_names = [row.name for row in active if len(row.name.encode()) > SYSTEM_ID_MAX]
    if long_names:
        found = f"{shown_names(long_names)} cannot bind: a system_id has {SYSTEM_ID_MAX} characters"
        yield Finding("binds", State.WARNING, found, "give who shall bind a shorter name")
    long_passwords = [
        row.name
        for row in active
        if row.name not in long_names
        and not account_settings(row).smpp_password_hash
        and is_too_long(row.token_sealed, settings)
    ]
    if long_passwords:
        found = f"{shown_names(long_passwords)} cannot bind: a password has {SMPP_PASSWORD_MAX} characters"
        yield Finding("binds", State.WARNING, found, "give who shall bind an smpp_password in the gateway file")


def shown_names(names: list[str]) -> str:
    return ", ".join(sorted(names)[:NAMES_SHOWN_MAX]) + (" and others" if len(names) > NAMES_SHOWN_MAX else "")


def is_too_long(token_sealed: str, settings: Settings) -> bool:
    """Whether a password has no room in a bind, as far as it can be read."""
    path = Path(settings.data) / KEY_FILE
    try:
        key = settings.secret_key or (path.read_text().strip() if not settings.database and path.exists() else "")
        return len(Sealer(key).unseal(token_sealed).encode()) > SMPP_PASSWORD_MAX
    except (SealError, OSError):
        return False


def look_at_servers(database: Database) -> Iterator[Finding]:
    if database.file is not None:
        is_served = is_locked(database.file.with_suffix(".lock"))
        yield Finding("servers", State.OK, "one is running on it" if is_served else "none is running on it")
        return
    with database.connect() as connection, connection.transaction(is_reading=True) as transaction:
        yield Finding("servers", State.OK, f"{nodes_count(database, transaction)} registered")


def look_at_books(database: Database) -> Iterator[Finding]:
    """Whether money and messages agree, and what is still open."""
    figures = Figures(database)
    with database.connect() as connection, connection.transaction(is_reading=True) as transaction:
        audit, overview = figures.audit(transaction), figures.overview(transaction)
    for finding in audit.findings:
        yield Finding("books", State.WRONG, finding, "keep a copy of the database and report this")
    if not audit.findings:
        counts = ", ".join(f"{audit.figures[name]} {name}" for name in ("accounts", "messages", "entries"))
        yield Finding("books", State.OK, f"right: {counts}")
    yield from look_at_open(overview)


def look_at_open(overview: Overview) -> Iterator[Finding]:
    yield Finding("open messages", State.OK, str(sum(overview.open_messages.values())))
    doubtful_count = sum(overview.doubtful.values())
    yield Finding(
        "doubtful messages",
        State.WARNING if doubtful_count else State.OK,
        str(doubtful_count),
        "nobody knows whether the carrier took them: ask it, or set the carrier's `uncertain`"
        if doubtful_count
        else "",
    )
    yield Finding("callbacks", *judged_callbacks(overview))
    parked_count = overview.parked_receipts
    yield Finding(
        "parked receipts",
        State.WARNING if parked_count else State.OK,
        str(parked_count),
        "their messages are not known: does another gateway use the same carrier account?" if parked_count else "",
    )


def judged_callbacks(overview: Overview) -> tuple[State, str, str]:
    found, oldest_ms = f"{overview.pending_callbacks} pending", overview.oldest_callback_due_ms
    if oldest_ms is None or SystemClock().now_ms() - oldest_ms < CALLBACK_LATE / timedelta(milliseconds=1):
        return State.OK, found, ""
    return State.WARNING, f"{found}, some due for more than an hour", "is a gateway running on this database?"


# The doors


def look_at_ports(settings: Settings) -> Iterator[Finding]:
    doors = [("HTTP port", "http", settings.http, settings.http_address)]
    if settings.smpp_address is not None:
        doors.append(("SMPP port", "smpp", settings.smpp, settings.smpp_address))
    file = None if settings.database else Path(settings.data) / DATABASE_FILE
    is_served = file is not None and is_locked(file.with_suffix(".lock"))
    for subject, option, written, (host, port) in doors:
        try:
            with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
                yield Finding(subject, State.OK, f"{written} is free")
        except OSError as error:
            if is_served:
                yield Finding(subject, State.OK, f"{written} is in use, and a gateway runs on this database")
            else:
                yield Finding(subject, State.WRONG, f"{written}: {error.strerror}", f"choose another with --{option}")
    if not settings.tls_certificate and not all(is_loopback(address[0]) for *_, address in doors):
        yield Finding("encryption", State.WARNING, "none", "passwords travel readable: set tls_certificate and tls_key")


def look_at_certificate(settings: Settings) -> Iterator[Finding]:
    if not settings.tls_certificate:
        return
    path = Path(settings.tls_certificate)
    try:
        server_context(path, Path(settings.tls_key))
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        yield Finding("certificate", State.WRONG, f"{path}: {error}", "check tls_certificate and tls_key")
        return
    left = ends - datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    found = f"valid until {ends:%Y-%m-%d}"
    if left < timedelta(0):
        yield Finding("certificate", State.WRONG, f"expired on {ends:%Y-%m-%d}", "renew it, then restart")
    elif left < EXPIRES_SOON:
        yield Finding("certificate", State.WARNING, found, "renew it soon, then restart")
    else:
        yield Finding("certificate", State.OK, found)


def look_at_networks(settings: Settings) -> Iterator[Finding]:
    subject = "callbacks may reach"
    try:
        allowed = Networks.parse(settings.allowed_networks).allowed
    except ValueError as error:
        yield Finding(subject, State.WRONG, str(error), "allowed_networks is a list such as 127.0.0.0/8, 10.1.0.0/16")
        return
    besides = f", and {', '.join(map(str, allowed))}" if allowed else " only"
    yield Finding(subject, State.OK, f"public networks{besides}")
    if settings.ca_certificates and not os.access(settings.ca_certificates, os.R_OK):
        yield Finding("ca_certificates", State.WRONG, settings.ca_certificates, "this file cannot be read")


def look_at_key(settings: Settings) -> Iterator[Finding]:
    subject = "stored secrets"
    try:
        if Sealer(settings.secret_key).has_key:
            yield Finding(subject, State.OK, "sealed with secret_key")
            return
    except SealError as error:
        yield Finding(subject, State.WRONG, "secret_key", str(error))
        return
    if settings.database:
        yield Finding(subject, State.WARNING, "stored readable", "set CHAPPE_SECRET_KEY, the same on every machine")
        return
    path = Path(settings.data) / KEY_FILE
    if not path.exists():
        yield Finding(subject, State.OK, "no key yet", "the next start makes one")
    elif is_open(path):
        yield Finding(subject, State.WARNING, f"{path} can be read by others", f"chmod 600 {path}")
    else:
        yield Finding(subject, State.OK, f"sealed with {path}; keep a copy apart from the database")


LOOKS: tuple[Look, ...] = (
    look_at_python,
    look_at_environment,
    look_at_disk,
    look_at_database,
    look_at_key,
    look_at_ports,
    look_at_certificate,
    look_at_networks,
)


def is_open(file: Path) -> bool:
    """Whether anybody but its owner may do anything with a file."""
    return bool(stat.S_IMODE(file.stat().st_mode) & 0o077)


def is_locked(path: Path) -> bool:
    """Whether a running gateway holds the lock of a data folder."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
