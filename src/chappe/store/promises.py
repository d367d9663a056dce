"""What the database itself promises, asked of the running one: its version, and whether a commit survives a power cut.

Nothing here writes or prepares anything, so that `chappe check` may look at any database, also a foreign or a new one.
"""

from msgspec import Struct
from sqlalchemy import func, select, text

from chappe.store.database import HAS_CURRENT_SQLITE, Database, Prepared, Transaction
from chappe.store.migrate import version
from chappe.store.schema import node

# Older ones may lose the newest commits when the log is reset while another connection writes (WAL-reset bug).
SQLITE_SAFE = (3, 51, 3)
FULL = 2  # of PRAGMA synchronous: the log is synced at every commit
DURABLE_COMMITS = ("on", "remote_write", "remote_apply")  # of PostgreSQL's synchronous_commit


class Promise(Struct, frozen=True, kw_only=True):
    """One property of the database that acceptance rests on. `advice` is empty where it holds."""

    subject: str
    found: str
    is_kept: bool
    advice: str = ""


def version_promise(database: Database, transaction: Transaction) -> Promise:
    if not database.is_sqlite:
        found = show(database, transaction, "SHOW server_version")
        return Promise(subject="database", found=f"PostgreSQL {found}", is_kept=True)
    found = show(database, transaction, "SELECT sqlite_version()")
    is_safe = tuple(map(int, found.split("."))) >= SQLITE_SAFE
    wheel = "" if HAS_CURRENT_SQLITE else "; no pysqlite3 wheel is installed, so this is Python's own"
    return Promise(
        subject="database",
        found=f"SQLite {found}",
        is_kept=is_safe,
        advice="" if is_safe else f"{'.'.join(map(str, SQLITE_SAFE))} or newer repairs a rare loss of commits{wheel}",
    )


def durability_promises(database: Database, transaction: Transaction) -> list[Promise]:
    """Whether an accepted message survives a crash of the machine."""
    if database.is_sqlite:
        level = int(show(database, transaction, "PRAGMA synchronous"))
        journal = show(database, transaction, "PRAGMA journal_mode")
        return [
            Promise(
                subject="commits",
                found=f"journal {journal}, synchronous {level}",
                is_kept=level >= FULL and journal == "wal",
                advice="" if level >= FULL else "commits may be lost in a power cut",
            )
        ]
    return [
        setting_promise(database, transaction, "fsync", ("on",), "postgresql.conf: fsync = on"),
        setting_promise(database, transaction, "full_page_writes", ("on",), "postgresql.conf: full_page_writes = on"),
        setting_promise(
            database,
            transaction,
            "synchronous_commit",
            DURABLE_COMMITS,
            "set synchronous_commit = on for this database or role",
        ),
    ]


def setting_promise(
    database: Database, transaction: Transaction, name: str, kept: tuple[str, ...], repair: str
) -> Promise:
    found = show(database, transaction, f"SHOW {name}")
    is_kept = found in kept
    return Promise(
        subject="commits",
        found=f"{name} {found}",
        is_kept=is_kept,
        advice="" if is_kept else f"{repair}; until then accepted messages may be lost in a crash",
    )


def tables_version(database: Database) -> str | None:
    """The version of the tables, None where there are none; `migrate.HEAD` is what this chappe wants."""
    with database.engine.connect() as connection:
        return version(connection)


def nodes_count(database: Database, transaction: Transaction) -> int:
    """How many processes are registered, lapsed ones included."""
    rows = transaction.rows(Prepared(database, select(func.count()).select_from(node)))
    return int(rows[0][0])


def show(database: Database, transaction: Transaction, question: str) -> str:
    """One value that the database tells about itself."""
    return str(transaction.rows(Prepared(database, text(question)))[0][0])
