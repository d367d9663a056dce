"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from parts import require
from postgres import PostgresServer, find_binaries

# How long an example takes is up to the machine and to who else is on it.
settings.register_profile("chappe", deadline=None)
settings.load_profile("chappe")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One private PostgreSQL server for the whole run, started by the first test that asks for it."""
    binaries = find_binaries()
    require("PostgreSQL server", binaries is not None)
    assert binaries is not None
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database that only this test uses."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)
