"""Brings a database's tables up to what this version of chappe needs, and does nothing where they already are.

The version a database is at stands in Alembic's own table. It is compared with HEAD first, so that an ordinary start
never loads Alembic. Where something is to be done, a lock is taken and the version read again: of two processes that
start at once, one migrates and the other finds it done. All steps are one transaction: after a crash, none happened.
"""

from sqlalchemy import Connection as EngineConnection
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from chappe.store.database import Database, StoreError, StoreUnavailable

HEAD = "0004"  # the newest file in migrations/versions
VERSION_TABLE = "alembic_version"
LOCK_KEY = 0x6368_6170_7065  # any number that nobody else locks in the same PostgreSQL database


def migrate(database: Database) -> None:
    """Bring the tables to HEAD. Raises StoreUnavailable where the database is away, StoreError where it was made by a
    newer version."""
    database.create_file()
    try:
        with database.engine.connect() as connection:
            if version(connection) == HEAD:
                return
            connection.rollback()  # the look above may have opened a transaction, which would hold an old view
            lock(connection, database)
            if version(connection) != HEAD:
                upgrade(connection)
            connection.commit()
    except DBAPIError as error:
        raise StoreUnavailable(f"cannot prepare the database: {error.orig}".partition("\n")[0]) from error


def version(connection: EngineConnection) -> str | None:
    """The version of the tables; None for an empty database."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


def lock(connection: EngineConnection, database: Database) -> None:
    """Keep every other process from migrating until the transaction ends."""
    if database.is_sqlite:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def upgrade(connection: EngineConnection) -> None:
    from alembic import command  # a tenth of a second that an ordinary start does without
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "chappe.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise StoreError(
            f"the database is at version {version(connection)}, which this chappe does not know: install a newer one"
        ) from error
