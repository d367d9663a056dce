"""One database, SQLite or PostgreSQL, reached through one kind of transaction.

Statements are written once in SQLAlchemy Core and compiled once; they run on the driver itself, because a hot verb
cannot afford to be assembled again for every batch. A batch of rows travels as ONE parameter of ONE statement
(`Batch`: JSON on SQLite, arrays on PostgreSQL), so a verb costs the same number of statements for one message as for
five hundred, and the driver lets go of the interpreter lock for the whole of it.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Table,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.base import Executable

try:
    from pysqlite3 import dbapi2 as sqlite_driver  # type: ignore[import-untyped,unused-ignore]

    HAS_CURRENT_SQLITE = True
except ImportError:  # no wheel for this machine; `chappe check` says so
    sqlite_driver = sqlite3
    HAS_CURRENT_SQLITE = False

Row = tuple[Any, ...]
Kind = type[BigInteger] | type[Text]
JSONB_EACH_SINCE = (3, 51, 0)
BUSY_TIMEOUT_S = 10
URL_REMEDY = "use sqlite:///FILE or postgresql://USER@HOST/NAME"
SQLITE_CACHE_KIB = 16 * 1024
# PostgreSQL keeps a plan that it made while a table was all but empty, and reading a table from end to end looks cheap
# then: ruinous once it has grown, until its statistics are taken anew. Our statements all have their index.
PLANNING = "SET enable_seqscan = off; SET jit = off"
FILE_MODE = 0o600
CHECKPOINT_PAGES = 16_384  # 64 MiB of log: a page that changes in every round is carried over once in many rounds


class StoreError(Exception):
    """The database did not do what was asked."""


class DatabaseUrlError(StoreError):
    """The database URL is none that can be used."""


class StoreUnavailable(StoreError):
    """The database is away, full or busy: nothing was kept, unless it went away in the very moment of the commit. The
    same call, under the same ids, may work later."""


class StoreBroken(StoreError):
    """A write could not be made durable. What the disk holds is unknown: stop, and open it again from disk."""


def constant(value: str | int) -> ColumnElement[Any]:
    """A value written into the statement itself. Partial indexes are only used for states that stand there literally.

    Only for names and numbers of our own: never for anything that came from outside.
    """
    return literal_column(f"'{value}'" if isinstance(value, str) else str(value))


# SQLite cannot tell `INSERT ... SELECT ... ON CONFLICT` from a join without a WHERE in between.
TRUE = constant(1) == constant(1)


class Batch:
    """Rows as one parameter of one statement: a table with the given columns, whose rows are supplied at run time."""

    def __init__(self, database: "Database", **columns: Kind) -> None:
        self._kinds = columns
        self._is_sqlite = database.is_sqlite
        # Reading a row's fields from the binary form saves a third of an insert; older SQLite has only the text form.
        self._each = func.jsonb_each if database.has_binary_json else func.json_each
        self.table = self._json_table() if self._is_sqlite else self._array_table()
        self.c = self.table.c

    def _json_table(self) -> FromClause:
        value = column("value", Text)
        fields = [value.op("->>")(literal_column(str(i))).label(name) for i, name in enumerate(self._kinds)]
        return select(*fields).select_from(self._each(bindparam("batch"))).subquery("batch")

    def _array_table(self) -> FromClause:
        arrays = [cast(bindparam(f"batch_{i}"), postgresql.ARRAY(kind)) for i, kind in enumerate(self._kinds.values())]
        columns: list[ColumnElement[Any]] = [column(name, kind) for name, kind in self._kinds.items()]
        unnested = func.unnest(*arrays).table_valued(*columns)
        return unnested.render_derived(name="batch")

    def parameters(self, rows: Sequence[Sequence[object]]) -> dict[str, object]:
        """The rows in the form this database takes them; each row in the order of the columns."""
        if self._is_sqlite:
            return {"batch": msgspec.json.encode(rows).decode()}
        if not rows:
            return {f"batch_{i}": [] for i in range(len(self._kinds))}
        return {f"batch_{i}": list(values) for i, values in enumerate(zip(*rows, strict=True))}


def kinds_of(columns: Iterable[Column[Any]]) -> dict[str, Kind]:
    """The columns of a batch that holds what these hold, under their names."""
    return {each.name: BigInteger if isinstance(each.type, BigInteger) else Text for each in columns}


class Prepared:
    """A statement in the database's own words, with the batch it reads, if any.

    It is put into words when it is first used: of all the statements there are, a short life uses few.
    """

    def __init__(self, database: "Database", statement: Executable, batch: Batch | None = None) -> None:
        self._compile = partial(statement.compile, dialect=database.dialect)  # type: ignore[attr-defined]
        self.batch = batch

    @cached_property
    def sql(self) -> str:
        return str(self._compiled)

    @cached_property
    def defaults(self) -> dict[str, object]:
        return {name: value for name, value in self._compiled.params.items() if value is not None}

    @cached_property
    def _compiled(self) -> Any:
        return self._compile()


class Transaction:
    """An open transaction on one connection."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()
        self.counted: dict[tuple[int, int, int, Any], list[int]] = {}  # what is added to the tallies at the end

    def rows(
        self, prepared: Prepared, batch: Sequence[Sequence[object]] | None = None, /, **parameters: object
    ) -> list[Row]:
        """Run a statement that returns rows."""
        self._execute(prepared, batch, parameters)
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def run(self, prepared: Prepared, batch: Sequence[Sequence[object]] | None = None, /, **parameters: object) -> int:
        """Run a statement and tell how many rows it touched."""
        self._execute(prepared, batch, parameters)
        count: int = self._cursor.rowcount
        return count

    def _execute(
        self, prepared: Prepared, batch: Sequence[Sequence[object]] | None, parameters: Mapping[str, object]
    ) -> None:
        values = {**prepared.defaults, **parameters} if prepared.defaults else dict(parameters)
        if prepared.batch is not None and batch is not None:
            values |= prepared.batch.parameters(batch)
        self._cursor.execute(prepared.sql, values)


def url_of(text: str) -> URL:
    """A database URL, read. Raises DatabaseUrlError, which does not repeat it: it may hold a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError("the database URL cannot be read: " + URL_REMEDY) from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise DatabaseUrlError(f"database {backend!r} is not supported: {URL_REMEDY}")
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise DatabaseUrlError("a SQLite database in memory forgets what was accepted: " + URL_REMEDY)
    return url


class Database:
    """Where the tables live. Connections are made and closed here; what is asked of them is the verbs' business."""

    def __init__(self, url: str) -> None:
        self.url = url_of(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite_engine() if self.is_sqlite else self._postgresql_engine()
        self.dialect = sqlite.dialect(paramstyle="named") if self.is_sqlite else postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]
        driver: Any = sqlite_driver if self.is_sqlite else psycopg
        self.errors: type[Exception] = driver.Error
        self._driver = driver
        self._readers = threading.local()
        self._reading: list[Connection] = []

    def _sqlite_engine(self) -> Engine:
        # NullPool: a connection belongs to whoever opened it; the writer and the readers each keep their own.
        engine = create_engine(
            self.url,
            module=sqlite_driver,
            poolclass=NullPool,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            keep_log_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}")
            connection.execute("PRAGMA temp_store=MEMORY")

        return engine

    def _postgresql_engine(self) -> Engine:
        url = self.url.set(drivername="postgresql+psycopg")
        engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": BUSY_TIMEOUT_S})

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            connection.execute(PLANNING)
            connection.commit()

        return engine

    @property
    def has_binary_json(self) -> bool:
        return self.is_sqlite and sqlite_driver.sqlite_version_info >= JSONB_EACH_SINCE

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which both databases have but the common language lacks."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    def create_file(self) -> None:
        """Make the SQLite file where there is none, for its owner alone: it holds texts and numbers. SQLite gives the
        files beside it the same mode. Raises StoreUnavailable."""
        if self.file is None:
            return
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        except FileExistsError:
            return
        except OSError as error:
            raise StoreUnavailable(f"cannot prepare the database {self.file}: {error.strerror}") from error

    @contextlib.contextmanager
    def connect(self) -> Iterator["Connection"]:
        connection = Connection(self)
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction on a connection of its own: for set-up, the command line and checks."""
        with self.connect() as connection, connection.transaction() as transaction:
            yield transaction

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent view that never waits for the writer. The connection is kept for the thread's next one."""
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = Connection(self)
            self._reading.append(connection)
        with connection.transaction(is_reading=True) as transaction:
            yield transaction

    def close_readers(self) -> None:
        """Close what `reading` keeps open, once no thread is reading any more."""
        for connection in self._reading:
            connection.close()

    def classify(self, error: Exception) -> StoreError:
        """What a driver's error means: for everybody who was waiting, or (a plain StoreError) for one guilty item."""
        words = str(error).partition("\n")[0]  # PostgreSQL's further lines quote values
        if self.is_sqlite:
            if "fsync" in str(getattr(error, "sqlite_errorname", "")).lower():
                return StoreBroken(words)
            if isinstance(error, self._driver.OperationalError):
                return StoreUnavailable(words)
            return StoreError(words)
        return StoreUnavailable(words) if isinstance(error, psycopg.OperationalError) else StoreError(words)


def keep_log_ahead(connection: Any) -> None:
    """Switch to the write-ahead log. SQLite refuses this at once while another process does the same, so wait here."""
    pause = threading.Event()
    for _ in range(BUSY_TIMEOUT_S * 100):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite_driver.OperationalError as error:
            if "locked" not in str(error):
                raise
            pause.wait(0.01)
    raise StoreUnavailable("the database is locked")


class Connection:
    """One connection that opens itself again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._raw: Any = None

    @contextlib.contextmanager
    def transaction(self, *, is_reading: bool = False) -> Iterator[Transaction]:
        """Commit at the end, roll back on any exception. Raises StoreUnavailable where the database is away.

        SQLite takes its write lock at once, so that nothing read inside can be overtaken by another process.
        """
        raw = self._open()
        try:
            if self._database.is_sqlite:
                raw.execute("BEGIN" if is_reading else "BEGIN IMMEDIATE")
            else:
                raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if is_reading else None
            yield Transaction(raw)
            raw.commit()
        except BaseException as error:
            self._roll_back()
            if isinstance(error, self._database.errors):
                raise self._database.classify(error) from error
            raise

    def _open(self) -> Any:
        if self._raw is None:
            try:
                self._raw = self._database.engine.raw_connection()
            except Exception as error:
                cause = getattr(error, "orig", None) or error
                raise StoreUnavailable(f"cannot open the database: {cause}".partition("\n")[0]) from error
        return self._raw.driver_connection

    def _roll_back(self) -> None:
        try:
            self._raw.driver_connection.rollback()
        except self._database.errors:
            self.close()
        else:
            if not self._database.is_sqlite and self._raw.driver_connection.closed:
                self.close()

    def close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(Exception):
                raw.invalidate()  # closes it without a last word to a server that may be gone
