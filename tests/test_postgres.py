"""The PostgreSQL server of the tests is real: it keeps what it confirmed, and gives each test a database of its own."""

import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import NullPool, create_engine, text

from parts import require
from postgres import PostgresServer, find_binaries


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server apart from the shared one, because its test crashes it."""
    binaries = find_binaries()
    require("PostgreSQL server", binaries is not None)
    assert binaries is not None
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def scalar(url: str, statement: str) -> object:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_durability_is_on(setting: str, postgres_url: str) -> None:
    """Tests of durability run against a server that really syncs."""
    assert scalar(postgres_url, f"SHOW {setting}") == "on"


def test_a_database_can_be_copied_from_another(postgres_server: PostgresServer) -> None:
    """A database made from a template holds what the template held."""
    template_url = postgres_server.create_database()
    scalar(template_url, "CREATE TABLE tower AS SELECT 7 AS height")
    copy_url = postgres_server.create_database(template=template_url.rpartition("/")[2].partition("?")[0])
    assert copy_url != template_url
    assert scalar(copy_url, "SELECT height FROM tower") == 7
    for url in (copy_url, template_url):
        postgres_server.drop_database(url)


def test_a_crash_loses_nothing_that_was_committed(own_server: PostgresServer) -> None:
    """What was committed before a crash of the server is there after its restart."""
    url = own_server.create_database()
    scalar(url, "CREATE TABLE tower AS SELECT 7 AS height")
    own_server.stop(signal.SIGQUIT)
    own_server.start()
    assert scalar(url, "SELECT height FROM tower") == 7
