"""The configuration as rows: restated, never forgotten, one revision for all of it."""

from pathlib import Path

import pytest

from chappe.store.callbacks import Callbacks, DisabledUrl
from chappe.store.configuration import Configuration, RouteRow, StoredConfiguration
from chappe.store.database import Database, StoreError, Transaction
from chappe.store.figures import Figures, Funds
from chappe.store.happenings import Happenings
from chappe.store.migrate import migrate
from chappe.store.money import Ledger
from chappe.store.nodes import Node

NOW_MS = 1_800_000_000_000
URL = "https://customer.example/receipt"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty, migrated database of each kind."""
    url = f"sqlite:///{tmp_path / 'c.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    found = Database(url)
    migrate(found)
    return found


@pytest.fixture
def configuration(database: Database) -> Configuration:
    return Configuration(database, Ledger(database))


def put_alice(configuration: Configuration, transaction: Transaction, settings: str = "{}") -> int:
    return configuration.put_account(
        transaction, name="alice", password_hash="hash", token_sealed="sealed", settings=settings
    )


def test_an_empty_database_has_an_empty_configuration(database: Database, configuration: Configuration) -> None:
    """Before the first apply there is nothing, at revision 0."""
    with database.transaction() as transaction:
        assert configuration.load(transaction) == StoredConfiguration()


def test_what_was_put_is_loaded(database: Database, configuration: Configuration) -> None:
    """Accounts, carriers and routes are loaded as they were put, carriers of a route in their order."""
    with database.transaction() as transaction:
        account_id = put_alice(configuration, transaction, '{"currency": "EUR"}')
        configuration.open_balance(transaction, account_id, opening_micros=5, limit_micros=-7, now_ms=NOW_MS)
        carrier_ids = [
            configuration.put_carrier(transaction, name=name, kind="smsfox", password_sealed="s", settings="{}")
            for name in ("one", "two")
        ]
        routes = (
            RouteRow(prefix="", service="", carrier_ids=(carrier_ids[1], carrier_ids[0]), price_micros=10_000),
            RouteRow(prefix="39", service="premium", carrier_ids=(carrier_ids[0],), price_micros=20_000),
        )
        configuration.put_routes(transaction, routes)
    with database.reading() as transaction:
        found = configuration.load(transaction)
    assert [(one.id, one.name, one.settings, one.limit_micros) for one in found.accounts] == [
        (account_id, "alice", '{"currency": "EUR"}', -7)
    ]
    assert [(one.id, one.name, one.kind) for one in found.carriers] == [
        (carrier_ids[0], "one", "smsfox"),
        (carrier_ids[1], "two", "smsfox"),
    ]
    assert found.routes == routes


def test_routes_are_replaced_as_a_whole(database: Database, configuration: Configuration) -> None:
    """Putting routes removes the others, and putting none leaves none."""
    with database.transaction() as transaction:
        configuration.put_routes(transaction, [RouteRow(prefix="39", service="", carrier_ids=(1,), price_micros=1)])
        configuration.put_routes(transaction, [RouteRow(prefix="44", service="", carrier_ids=(1,), price_micros=1)])
        assert [one.prefix for one in configuration.load(transaction).routes] == ["44"]
        configuration.put_routes(transaction, [])
        assert configuration.load(transaction).routes == ()


def test_an_account_returns_under_its_old_id(database: Database, configuration: Configuration) -> None:
    """An account that was ended and is put again has the id its messages and its money refer to."""
    with database.transaction() as transaction:
        account_id = put_alice(configuration, transaction)
        configuration.end_account(transaction, "alice")
        assert [one.is_active for one in configuration.load(transaction).accounts] == [False]
        assert put_alice(configuration, transaction, '{"a": 1}') == account_id
        (restated,) = configuration.load(transaction).accounts
        assert (restated.is_active, restated.settings) == (True, '{"a": 1}')


def test_a_carrier_returns_under_its_old_id(database: Database, configuration: Configuration) -> None:
    """A carrier that was ended and is put again has the id its messages refer to."""
    with database.transaction() as transaction:
        ids = []
        for _ in range(2):
            ids.append(
                configuration.put_carrier(transaction, name="sim", kind="simulated", password_sealed="", settings="{}")
            )
            configuration.end_carrier(transaction, "sim")
        assert ids[0] == ids[1]
        assert [one.is_active for one in configuration.load(transaction).carriers] == [False]


def test_the_opening_credit_is_given_once(database: Database, configuration: Configuration) -> None:
    """An account is credited when its purse is made; stating it again moves nothing but the limit."""
    figures = Figures(database)
    with database.transaction() as transaction:
        account_id = put_alice(configuration, transaction)
        opened = [
            configuration.open_balance(
                transaction, account_id, opening_micros=100, limit_micros=limit_micros, now_ms=NOW_MS
            )
            for limit_micros in (0, -50)
        ]
        assert opened == [True, False]
        assert figures.funds(transaction, account_id) == Funds(
            available_micros=100, reserved_micros=0, limit_micros=-50
        )
        assert figures.audit(transaction).findings == ()


def test_an_opening_credit_cannot_be_written_twice(database: Database, configuration: Configuration) -> None:
    """Should the purse be lost, the ledger's key still refuses a second opening credit."""
    with database.transaction() as transaction:
        account_id = put_alice(configuration, transaction)
        configuration.open_balance(transaction, account_id, opening_micros=100, limit_micros=0, now_ms=NOW_MS)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM balance")
    with pytest.raises((StoreError, database.errors)), database.transaction() as transaction:
        configuration.open_balance(transaction, account_id, opening_micros=100, limit_micros=0, now_ms=NOW_MS)


def test_restating_an_account_calls_its_urls_again(database: Database, configuration: Configuration) -> None:
    """URLs that answered 410 Gone are loaded with the account, and forgotten when it is put again."""
    callbacks = Callbacks(database, Happenings(database, Node()), Node())
    with database.transaction() as transaction:
        account_id = put_alice(configuration, transaction)
        callbacks.disable_many(
            transaction, [DisabledUrl(account_id, URL, NOW_MS), DisabledUrl(account_id + 1, URL, NOW_MS)], False
        )
        assert configuration.load(transaction).disabled_urls == {(account_id, URL), (account_id + 1, URL)}
        put_alice(configuration, transaction)
        assert configuration.load(transaction).disabled_urls == {(account_id + 1, URL)}


def test_the_revision_tells_whether_to_load(database: Database, configuration: Configuration) -> None:
    """Whoever knows the current revision loads nothing; whoever does not loads everything."""
    with database.transaction() as transaction:
        assert configuration.load_newer(transaction, 0) is None
        assert [configuration.raise_revision(transaction) for _ in range(3)] == [1, 2, 3]
        put_alice(configuration, transaction)
        assert configuration.load_newer(transaction, 3) is None
        found = configuration.load_newer(transaction, 2)
        assert found is not None
        assert (found.revision, len(found.accounts)) == (3, 1)
