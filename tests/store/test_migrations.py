"""Migrations bring any database to the tables of `schema.py`, once, whoever starts first."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, String, insert, inspect, select, text

from chappe.store.database import Database, DatabaseUrlError, Prepared, StoreError, StoreUnavailable
from chappe.store.migrate import HEAD, migrate
from chappe.store.schema import metadata
from postgres import PostgresServer

TIMEOUT_S = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chappe.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


def test_head_is_the_newest_migration() -> None:
    """The version that a start compares with is the newest migration there is, and there is one line of them."""
    config = Config()
    config.set_main_option("script_location", "chappe.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_sqlite_tables_are_those_of_the_schema(tmp_path: Path) -> None:
    """On SQLite the migrated tables and indexes are word for word those of the schema."""
    migrated, wanted = (Database(f"sqlite:///{tmp_path / name}") for name in ("migrated.db", "wanted.db"))
    migrate(migrated)
    metadata.create_all(wanted.engine)
    assert sqlite_words(migrated) == sqlite_words(wanted) != set()


def sqlite_words(database: Database) -> set[tuple[str, ...]]:
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    with database.engine.connect() as connection:
        return {(name, " ".join(sql.split())) for name, sql in connection.execute(text(query))}


@pytest.fixture
def wanted_url(postgres_server: PostgresServer) -> Iterator[str]:
    found = postgres_server.create_database()
    yield found
    postgres_server.drop_database(found)


def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    """A SQLite file that is made, its log and its index are for their owner alone, whatever the umask allows."""
    database = Database(f"sqlite:///{tmp_path / 'chappe.db'}")
    before = os.umask(0)
    try:
        migrate(database)
        with database.transaction() as transaction:
            transaction.run(Prepared(database, text("CREATE TABLE novelty (id INTEGER)")))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["chappe.db", "chappe.db-wal", "chappe.db-shm"], 0o600)


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    """Migrating an existing SQLite file changes nothing about who may read it."""
    file = tmp_path / "chappe.db"
    file.touch(0o640)
    file.chmod(0o640)
    migrate(Database(f"sqlite:///{file}"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "url, words",
    [
        ("not a url CANARY", "cannot be read: use sqlite:///FILE or postgresql://"),
        ("postgresql://user:CANARY@host:port/name", "cannot be read: use sqlite:///FILE or postgresql://"),
        ("mysql://user:CANARY@host/name", "database 'mysql' is not supported: use sqlite:///FILE or postgresql://"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_wrong_url_is_told(url: str, words: str) -> None:
    """A URL of no database that we can use is refused with what to write instead, and is not repeated."""
    with pytest.raises(DatabaseUrlError) as raised:
        Database(url)
    assert words in str(raised.value)
    assert "CANARY" not in str(raised.value)


def test_postgresql_tables_are_those_of_the_schema(postgres_url: str, wanted_url: str) -> None:
    """On PostgreSQL the migrated columns, keys and indexes are those of the schema."""
    migrated, wanted = Database(postgres_url), Database(wanted_url)
    migrate(migrated)
    metadata.create_all(wanted.engine)
    assert postgresql_words(migrated) == postgresql_words(wanted) != set()


def postgresql_words(database: Database) -> set[tuple[object, ...]]:
    columns = (
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public' AND table_name != 'alembic_version'"
    )
    indexes = (
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename != 'alembic_version'"
    )
    with database.engine.connect() as connection:
        return {tuple(row) for query in (columns, indexes) for row in connection.execute(text(query))}


def test_a_second_start_loads_no_migration_tool(url: str) -> None:
    """Where the tables are up to date, a start finds it out without loading Alembic."""
    migrate(Database(url))
    program = (
        "import sys; from chappe.store.database import Database; from chappe.store.migrate import migrate;"
        "migrate(Database(sys.argv[1])); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, url], timeout=TIMEOUT_S, check=False).returncode == 0


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    """Four processes that open an empty database at the same moment all succeed."""
    program = (
        "import sys; from chappe.store.database import Database; from chappe.store.migrate import migrate;"
        "database = Database(sys.argv[1]); print('ready', flush=True); sys.stdin.readline(); migrate(database)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    finished = [(*process.communicate(timeout=TIMEOUT_S), process.returncode) for process in processes]
    assert [(errors.decode()[-2000:], code) for _, errors, code in finished] == [("", 0)] * 4
    assert set(metadata.tables) < set(inspect(Database(url).engine).get_table_names())


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    """All or nothing: a migration that meets a table it wanted to create itself leaves the others uncreated."""
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE node (id INTEGER)"))
    with pytest.raises(StoreUnavailable, match="node"):
        migrate(database)
    assert inspect(database.engine).get_table_names() == ["node"]


def test_what_an_older_version_kept_stays(url: str) -> None:
    """Rows in the tables of the version before are there after the migration as they were, with what is new empty."""
    database = Database(url)
    with database.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "chappe.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        older = MetaData()
        older.reflect(connection)
        tables = [one for one in older.sorted_tables if one.name != "alembic_version"]
        for table in tables:
            for number in (1, 2):
                connection.execute(insert(table).values({one.name: value_of(one, number) for one in table.columns}))
        before = {table.name: sorted(map(tuple, connection.execute(select(table)))) for table in tables}
    migrate(database)
    with database.engine.connect() as connection:
        after = {table.name: sorted(map(tuple, connection.execute(select(table)))) for table in tables}
        added = connection.execute(text("SELECT sent_ms, given FROM message")).all()
        added_to_callbacks = connection.execute(text("SELECT made_ms, ended_ms, took_ms FROM callback")).all()
    assert after == before
    assert [tuple(row) for row in added] == [(0, "")] * 2
    assert [tuple(row) for row in added_to_callbacks] == [(0, 0, 0)] * 2


def value_of(column: Column[Any], number: int) -> object:
    return f"{column.name} {number}" if isinstance(column.type, String) else number


def test_a_newer_database_is_left_alone(url: str) -> None:
    """A database made by a newer version is refused with words that say so, and stays as it is."""
    database = Database(url)
    migrate(database)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="version 9999, which this chappe does not know"):
        migrate(database)


def test_a_database_that_is_away_is_named_as_such(tmp_path: Path) -> None:
    """A database that cannot be opened gives one line of words, not a driver's trace."""
    with pytest.raises(StoreUnavailable, match="cannot prepare the database"):
        migrate(Database(f"sqlite:///{tmp_path / 'nowhere' / 'chappe.db'}"))
