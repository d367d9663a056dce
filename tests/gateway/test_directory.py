"""The directory: one immutable snapshot of the configuration, replaced as a whole when the revision moves."""

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet

from chappe.core.model import Account, Carrier, Secret, Service, UncertainPolicy
from chappe.gateway.directory import Directory, DirectoryHolder
from chappe.gateway.secrets import Sealer, SealError
from chappe.store.configuration import AccountRow, CarrierRow, RouteRow, StoredConfiguration
from chappe.store.database import Database
from chappe.store.engine import Store
from chappe.store.migrate import migrate
from chappe.store.numbers import NumberRow

SEALER = Sealer(Fernet.generate_key().decode())


def account_row(account_id: int, name: str, settings: str = "{}", *, is_active: bool = True) -> AccountRow:
    return AccountRow(
        id=account_id,
        name=name,
        password_hash=f"hash of {name}",
        token_sealed=SEALER.seal(f"token of {name}"),
        settings=settings,
        is_active=is_active,
        limit_micros=0,
    )


def carrier_row(carrier_id: int, name: str, settings: str = "{}", *, is_active: bool = True) -> CarrierRow:
    return CarrierRow(
        id=carrier_id,
        name=name,
        kind="smsfox",
        password_sealed=SEALER.seal(f"password of {name}"),
        settings=settings,
        is_active=is_active,
    )


STORED = StoredConfiguration(
    revision=7,
    accounts=(
        account_row(1, "alice", '{"currency":"USD","numbers":["447700900001"],"receipt_url":"https://a.example/"}'),
        account_row(2, "gone", '{"numbers":["447700900002"]}', is_active=False),
    ),
    carriers=(
        carrier_row(1, "fox", '{"login":"me","window":5,"uncertain":"resend","callback_key":"k1"}'),
        carrier_row(2, "old", '{"callback_key":"k2"}', is_active=False),
        carrier_row(3, "plain"),
    ),
    routes=(
        RouteRow(prefix="", service="", carrier_ids=(1, 3), price_micros=10),
        RouteRow(prefix="44", service="premium", carrier_ids=(3,), price_micros=20),
    ),
    disabled_urls=frozenset({(1, "https://a.example/")}),
)
ALICE = Account(
    id=1,
    name="alice",
    currency="USD",
    numbers=("447700900001",),
    receipt_url="https://a.example/",
    token=Secret("token of alice"),
)
FOX = Carrier(
    id=1,
    name="fox",
    kind="smsfox",
    login="me",
    password=Secret("password of fox"),
    window=5,
    uncertain=UncertainPolicy.RESEND,
    callback_key="k1",
)


def test_accounts_are_found_by_name_id_and_number() -> None:
    """An account is found by each of its handles, with its token opened; one that ended only by its id."""
    directory = Directory(STORED, SEALER)
    assert directory.accounts_by_name == {"alice": ALICE}
    assert directory.account(1) == directory.owner("447700900001") == ALICE
    assert directory.owner("447700900002") is None
    ended = directory.account(2)
    assert ended is not None
    assert ended.name == "gone"
    assert directory.account(3) is None
    assert directory.password_hashes[1] == "hash of alice"


def test_carriers_are_found_by_id_and_callback_key() -> None:
    """Every carrier is offered, those that ended as such; they are still found by id and for their late receipts."""
    directory = Directory(STORED, SEALER)
    assert [one.name for one in directory.carriers if one.is_active] == ["fox", "plain"]
    assert [one.name for one in directory.carriers if not one.is_active] == ["old"]
    assert directory.carrier(1) == directory.carrier_by_key("k1") == FOX
    old = directory.carrier_by_key("k2")
    assert old is not None
    assert old.name == "old"
    assert directory.carrier_by_key("") is None
    assert directory.carrier_by_key("k3") is None


def test_routes_and_disabled_urls_are_known() -> None:
    """Routes are found by prefix and service, and a URL is disabled for its account only."""
    directory = Directory(STORED, SEALER)
    premium = directory.routing.find("447700900009", Service.PREMIUM)
    standard = directory.routing.find("447700900009", Service.STANDARD)
    assert premium is not None
    assert standard is not None
    assert (premium.price_micros, standard.price_micros, standard.carrier_ids) == (20, 10, (1, 3))
    assert directory.is_disabled(1, "https://a.example/")
    assert not directory.is_disabled(2, "https://a.example/")


def test_a_directory_prints_no_secret() -> None:
    """Accounts and carriers print without their secrets."""
    directory = Directory(STORED, SEALER)
    assert "of alice" not in repr(directory.account(1))
    assert "of fox" not in repr(directory.carriers)


def test_a_snapshot_needs_the_right_key() -> None:
    """Secrets sealed with another key make no snapshot."""
    with pytest.raises(SealError):
        Directory(STORED, Sealer(Fernet.generate_key().decode()))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_holder_follows_the_revision(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A refresh brings a new snapshot, and says so, where the revision moved and only there."""
    url = f"sqlite:///{tmp_path / 'd.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    database = Database(url)
    migrate(database)

    async def follow() -> None:
        store = Store(database)
        holder = DirectoryHolder(SEALER)
        first = holder.current
        assert (first.revision, await holder.refresh(store), holder.current) == (0, False, first)
        with database.transaction() as transaction:
            store.configuration.put_account(
                transaction, name="alice", password_hash="h", token_sealed="", settings="{}"
            )
            store.configuration.raise_revision(transaction)
        assert await holder.refresh(store)
        assert holder.current.revision == 1
        assert list(holder.current.accounts_by_name) == ["alice"]
        assert list(first.accounts_by_name) == []
        assert not await holder.refresh(store)
        store.stop()

    asyncio.run(follow())


class Watched(Sealer):
    """A sealer that remembers which threads opened secrets with it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def unseal(self, sealed: str) -> str:
        self.threads.add(threading.get_ident())
        return super().unseal(sealed)


def test_a_snapshot_is_not_built_in_the_loop(tmp_path: Path) -> None:
    """However many accounts there are, the thread that answers requests does not build the directory of them."""
    database = Database(f"sqlite:///{tmp_path / 'd.db'}")
    migrate(database)
    sealer = Watched()

    async def follow() -> None:
        store = Store(database)
        with database.transaction() as transaction:
            store.configuration.put_account(
                transaction, name="alice", password_hash="h", token_sealed=sealer.seal("t"), settings="{}"
            )
            store.configuration.raise_revision(transaction)
        assert await DirectoryHolder(sealer).refresh(store)
        store.stop()

    asyncio.run(follow())
    assert sealer.threads
    assert threading.get_ident() not in sealer.threads


RENTED = NumberRow(number="447700900003", account_id=1, rental_id=901)


@pytest.mark.parametrize(
    "own, ways",
    [
        ({}, ("https://alice.example", "", "")),
        ({"email": "in@alice.example"}, ("", "in@alice.example", "")),
        ({"url": "https://own.example", "phone": "447700900222"}, ("https://own.example", "", "447700900222")),
    ],
)
def test_a_number_has_ways_of_its_own_or_its_accounts(own: dict[str, str], ways: tuple[str, str, str]) -> None:
    """What is set for a rented number replaces all that its account has set; a number nobody has leads nowhere."""
    settings = '{"inbound_url":"https://alice.example","numbers":["447700900001"]}'
    rented = msgspec.structs.replace(RENTED, **own)
    stored = StoredConfiguration(accounts=(account_row(1, "alice", settings),), rented=(rented,))
    directory = Directory(stored, SEALER)
    forwarding = directory.forwarding("447700900003")
    assert forwarding is not None
    assert (forwarding.url, forwarding.email, forwarding.phone) == ways
    assert forwarding.account is directory.owner("447700900003") is directory.accounts_by_name["alice"]
    fixed = directory.forwarding("447700900001")
    assert fixed is not None
    assert fixed.url == "https://alice.example"
    assert directory.forwarding("447700900004") is None


def test_a_rented_number_is_its_renters_and_may_be_written_from() -> None:
    """Also where the file has given it to somebody else meanwhile; a renter whose account was ended has it no more."""
    given = '{"numbers":["447700900003"]}'
    accounts = (account_row(1, "alice"), account_row(2, "bob", given))
    directory = Directory(StoredConfiguration(accounts=accounts, rented=(RENTED,)), SEALER)
    owner = directory.owner("447700900003")
    assert owner is not None
    assert (owner.name, owner.numbers) == ("alice", ("447700900003",))
    ended = (account_row(1, "alice", is_active=False),)
    assert Directory(StoredConfiguration(accounts=ended, rented=(RENTED,)), SEALER).owner("447700900003") is None
