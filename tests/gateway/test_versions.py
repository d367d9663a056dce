"""Edits of single entries and ways back: the same as a whole file would do, told by key, versioned, one at a time."""

import asyncio
import contextlib
import functools
import random
import tomllib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from chappe.clock import SystemClock
from chappe.core.model import Service
from chappe.gateway.configuration import Action, apply, as_it_is
from chappe.gateway.directory import account_settings
from chappe.gateway.edits import Edit, EditError, find, mark_of
from chappe.gateway.gateway_file import Known
from chappe.gateway.secrets import Sealer, hash_password, verify
from chappe.gateway.stating import file_of, table_of, toml_of
from chappe.gateway.versions import OWN_CHANGES_MAX, NoVersion, VersionDesk
from chappe.store import versions as store_versions
from chappe.store.configuration import NewPassword, StoredConfiguration
from chappe.store.database import Database, Transaction
from chappe.store.engine import Store
from chappe.store.figures import Figures
from chappe.store.migrate import migrate
from chappe.store.reselling import NewSubaccount

KNOWN = Known(
    kinds=frozenset({"simulated", "smsfox", "smpp"}),
    dialects=frozenset({"proovl", "smsfox"}),
    smpp_charsets=frozenset({"gsm", "latin-1"}),
    objection=lambda url: "forbidden port" if ":25/" in url else "",
)
SEALER = Sealer(Fernet.generate_key().decode())
NOW_MS = 1_800_000_000_000

WORLD: dict[str, list[dict[str, Any]]] = {
    "carrier": [
        {"name": "sim", "kind": "simulated"},
        {
            "name": "fox",
            "kind": "smsfox",
            "url": "https://sms.example/api/",
            "login": "me",
            "password": "hidden-fox",
            "options": {"sender": "hidden-option"},
        },
        {"name": "bound", "kind": "smpp", "host": "smpp.example", "system_id": "u", "password": "hidden"},
    ],
    "route": [
        {"prefix": "", "carriers": ["fox", "sim"], "price": "0.0100"},
        {"prefix": "39", "service": "premium", "carriers": ["bound"], "price": "0.05"},
    ],
    "account": [
        {"name": "alice", "password": "hidden-alice", "balance": "100.00", "senders": ["ACME"], "smpp_password": "sm"},
        {"name": "боб «x»", "password": "hidden-bob", "api_key": "hidden-key-of-bob", "numbers": ["447700900001"]},
    ],
    "number": [{"number": "447700900100", "price": "1.50", "carrier": "fox"}],
}


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path / 'g.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    found = Database(url)
    migrate(found)
    return found


@pytest.fixture
def one_database(tmp_path: Path) -> Database:
    found = Database(f"sqlite:///{tmp_path / 'g.db'}")
    migrate(found)
    return found


def written(tables: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for kind, entries in tables.items():
        for entry in entries:
            lines += [f"[[{kind}]]", *(f"{name} = {toml_of(value)}" for name, value in entry.items())]
    return "\n".join(lines)


def put(database: Database, tables: dict[str, list[dict[str, Any]]] = WORLD) -> None:
    apply(database, written(tables), file_name="g", known=KNOWN, sealer=SEALER, now_ms=NOW_MS, author="apply g by me")


@contextlib.asynccontextmanager
async def desk_on(database: Database) -> AsyncIterator[VersionDesk]:
    store = Store(database)
    store.start()

    async def follow() -> None:
        """Nothing is served here."""

    desk = VersionDesk(store=store, sealer=SEALER, known=KNOWN, clock=SystemClock(), follow=follow)
    try:
        yield desk
    finally:
        desk.close()
        await asyncio.to_thread(store.stop)


async def stored_of(desk: VersionDesk) -> StoredConfiguration:
    return (await desk.configured()).stored


def entry_of(stored: StoredConfiguration, what: str, name: str) -> dict[str, Any]:
    """An entry as a form sends it back: everything stated, its secrets as they are."""
    wish = find(as_it_is(stored), what, name)
    assert wish is not None
    secrets = {"account": ("password", "smpp_password", "api_key"), "carrier": ("password",)}.get(what, ())
    table = table_of(wish, KNOWN, is_whole=True)
    if what == "carrier":
        secrets = () if table["kind"] == "simulated" else secrets
        if "options" in table:
            table["options"] = dict.fromkeys(table["options"])  # type: ignore[call-overload]
    return table | dict.fromkeys(secrets)


def plain(stored: StoredConfiguration) -> dict[str, Any]:
    """What is stored, its secrets laid open and what is random left out."""
    wanted = as_it_is(stored)
    accounts = {row.name: row for row in stored.accounts if row.is_active}
    return {
        "carriers": {
            one.name: (one.kind, msgspec.structs.replace(one.settings, callback_key="")) for one in wanted.carriers
        },
        "carrier passwords": {row.name: SEALER.unseal(row.password_sealed) for row in stored.carriers if row.is_active},
        "routes": wanted.routes,
        "numbers": wanted.numbers,
        "accounts": {
            one.name: (one.limit_micros, msgspec.structs.replace(one.settings, smpp_password_hash=""))
            for one in wanted.accounts
        },
        "passwords": {name: SEALER.unseal(row.token_sealed) for name, row in accounts.items()},
        "binds": {name: bool(account_settings(row).smpp_password_hash) for name, row in accounts.items()},
    }


@in_a_loop
async def test_an_edit_that_says_what_is_there_changes_nothing(database: Database) -> None:
    """Every entry, stated as it is with its secrets left alone, is a change of nothing and leaves no version."""
    put(database)
    async with desk_on(database) as desk:
        stored = await stored_of(desk)
        wanted = as_it_is(stored)
        for what, names in (
            ("carrier", [one.name for one in wanted.carriers]),
            ("route", ["everywhere", "39 premium"]),
            ("account", [one.name for one in wanted.accounts]),
            ("number", ["447700900100"]),
        ):
            for name in names:
                assert await desk.propose(Edit(what=what, name=name, entry=entry_of(stored, what, name))) == []
                assert await desk.carry_out(Edit(what=what, name=name, entry=entry_of(stored, what, name)), "me") == []
        assert [one.author for one in await desk.list()] == ["apply g by me"]


EDITS: list[tuple[str, str, dict[str, Any] | None]] = [
    # what, which, and what its entry says from now on (with its whole entry where it is new)
    ("carrier", "fox", {"window": 9, "password": "hidden-other"}),
    ("carrier", "bound", {"host": "other.example", "port": 3000, "bind": "pair", "password": "hidden2"}),
    ("carrier", "", {"name": "new", "kind": "smsfox", "url": "https://n.example/", "login": "n", "password": "hid"}),
    ("route", "everywhere", {"price": "0.0200", "carriers": ["sim"]}),
    ("route", "39 premium", {"service": "economy"}),
    ("route", "", {"prefix": "44", "carriers": ["fox"], "price": "0.03"}),
    ("route", "39 premium", None),
    ("account", "alice", {"limit": "5.00", "timezone": "Europe/Rome", "smpp_binds": 2, "stop_words": []}),
    ("account", "alice", {"password": "hidden-new", "message_types": {"GP ü": "premium"}}),
    ("account", "", {"name": "carol", "password": "hidden-carol", "balance": "3.00", "smpp_password": "x"}),
    ("account", "боб «x»", None),
    ("number", "447700900100", {"price": "2.00", "country": "GB"}),
    ("number", "", {"number": "60600", "price": "9"}),
    ("number", "447700900100", None),
]


@in_a_loop
async def test_an_edit_is_the_file_with_that_entry(one_database: Database, tmp_path: Path) -> None:
    """Whatever edits are made in whatever order, the rows are those that the file with the same entries makes."""
    chance = random.Random(5)
    for turn in range(4):
        edited, filed = (Database(f"sqlite:///{tmp_path / f'{which}{turn}.db'}") for which in "ab")
        migrate(edited)
        migrate(filed)
        tables = {kind: [dict(each) for each in entries] for kind, entries in WORLD.items()}
        put(edited)
        put(filed)
        async with desk_on(edited) as desk, desk_on(filed) as other:
            for what, name, entry in chance.sample(EDITS, 8):
                stored = await stored_of(desk)
                if name and find(as_it_is(stored), what, name) is None:
                    continue
                there = entry_of(stored, what, name) if name else {}
                whole = None if entry is None else {**there, **entry}
                try:
                    await desk.carry_out(Edit(what=what, name=name, entry=whole), "me")
                except EditError:  # a route's key that another one has by now
                    continue
                restate(tables, what, name, entry)
            put(filed, tables)
            assert plain(await stored_of(desk)) == plain(await stored_of(other))


def restate(tables: dict[str, list[dict[str, Any]]], what: str, name: str, entry: dict[str, Any] | None) -> None:
    """The same edit in the file's tables."""

    def called(each: dict[str, Any]) -> str:
        if what == "route":
            return f"{each['prefix'] or 'everywhere'} {each.get('service', '')}".strip()
        return str(each["number" if what == "number" else "name"])

    if not name:
        tables[what].append(dict(entry or {}))
        return
    place = [called(each) for each in tables[what]].index(name)
    if entry is None:
        del tables[what][place]
    else:
        tables[what][place] |= entry


MISTAKES: list[tuple[str, str, dict[str, Any] | None, dict[str, str]]] = [
    # what, which, the entry's changes, and what is told by key
    ("carrier", "fox", {"window": 0}, {"window": "must be a whole number from 1 to 1000"}),
    ("carrier", "fox", {"url": "https://sms.example:25/"}, {"url": "cannot be called: forbidden port"}),
    ("carrier", "fox", {"url": "https://thief.example/"}, {"password": "must be written again", "options": "must be"}),
    ("carrier", "fox", {"name": "wolf"}, {"name": "stays what it is"}),
    ("carrier", "", {"name": "fox", "kind": "simulated"}, {"name": "name 'fox' is taken by carrier 'fox'"}),
    ("carrier", "", {"name": "x", "kind": "smtp"}, {"kind": "'smtp' is no kind of carrier; did you mean 'smpp'?"}),
    ("carrier", "", {"name": "x", "kind": "smsfox", "url": "https://x/"}, {"login": "is missing"}),
    (
        "carrier",
        "fox",
        None,
        {"": "route 'everywhere': carriers must be carriers of this gateway: there is no carrier 'fox'"},
    ),
    ("route", "everywhere", {"carriers": ["fax"]}, {"carriers": "there is no carrier 'fax'; did you mean 'fox'?"}),
    ("route", "everywhere", {"carriers": [], "price": "x"}, {"price": "'x' is not an amount of money"}),
    ("route", "", {"prefix": "39", "service": "premium", "carriers": ["sim"], "price": "1"}, {"prefix": "is taken by"}),
    ("account", "alice", {"currency": "USD"}, {"currency": "is EUR and cannot become USD"}),
    ("account", "alice", {"numbers": ["447700900001"]}, {"numbers": "is taken by account 'боб «x»'"}),
    ("account", "alice", {"smpp_password": "too long for it"}, {"smpp_password": "1 to 8 characters"}),
    ("account", "", {"name": "carol"}, {"password": "is missing"}),
    ("account", "", {"name": "carol", "password": None}, {"password": "must be a text of 1 to 256"}),
    ("account", "alice", {"colour": "red"}, {"colour": "is no key of an account"}),
    ("number", "447700900100", {"number": "447700900001"}, {"number": "stands among the numbers of an account"}),
    ("account", "nobody", {}, {"": "there is no account 'nobody' any more"}),
    ("planet", "", {}, {"": "there is no such thing as 'planet'"}),
]


@in_a_loop
async def test_what_is_wrong_with_an_edit_is_told_by_key(one_database: Database) -> None:
    """In the words of the gateway file, beside the key that is meant; nothing is changed and no secret is told."""
    put(one_database)
    async with desk_on(one_database) as desk:
        stored = await stored_of(desk)
        for what, name, entry, expected in MISTAKES:
            there: dict[str, Any] = entry_of(stored, what, name) if name and name != "nobody" else {}
            edit = Edit(what=what, name=name, entry=None if entry is None else there | entry)
            with pytest.raises(EditError) as raised:
                await desk.carry_out(edit, "me")
            for key, words in expected.items():
                assert words in raised.value.errors.get(key, ""), (what, name, entry, raised.value.errors)
            assert "hidden" not in str(raised.value)
        assert len(await desk.list()) == 1


@in_a_loop
async def test_an_old_mistake_elsewhere_stops_no_edit(database: Database) -> None:
    """What stood wrong in another entry before is not told to whoever edits this one."""
    put(database)
    async with desk_on(database) as desk:
        with database.transaction() as transaction:
            drop_carrier(transaction, desk)
        await desk.carry_out(Edit(what="route", entry={"prefix": "7", "carriers": ["sim"], "price": "1"}), "me")


def drop_carrier(transaction: Transaction, desk: VersionDesk) -> None:
    """As no verb would: a route is left without its carrier."""
    desk._store.configuration.end_carrier(transaction, "fox")


@in_a_loop
async def test_of_two_who_edit_one_entry_the_second_is_told(database: Database) -> None:
    """Who looked at an entry that somebody else has changed since is told so, and changes nothing."""
    put(database)
    async with desk_on(database) as desk, desk_on(database) as other:
        stored = await stored_of(desk)
        seen = mark_of(find(as_it_is(stored), "route", "everywhere"))  # type: ignore[arg-type]
        entry = entry_of(stored, "route", "everywhere")
        edits = [
            Edit(what="route", name="everywhere", entry=entry | {"price": price}, seen=seen) for price in ("1", "2")
        ]
        outcomes = await asyncio.gather(
            desk.carry_out(edits[0], "one"), other.carry_out(edits[1], "two"), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["Overlapped", "list"]
        assert len(await desk.list()) == 2


@in_a_loop
async def test_two_who_edit_different_entries_both_succeed(database: Database) -> None:
    """An edit is planned anew where another one came between, and both are versions."""
    put(database)
    async with desk_on(database) as desk, desk_on(database) as other:
        entries = [{"prefix": prefix, "carriers": ["sim"], "price": "1"} for prefix in ("1", "2", "3", "4")]
        await asyncio.gather(
            *(
                one.carry_out(Edit(what="route", entry=entry), "me")
                for one, entry in zip((desk, other, desk, other), entries, strict=True)
            )
        )
        assert len((await stored_of(desk)).routes) == 6
        assert [one.changes[0].name for one in await desk.list(count=4)].count("1") == 1


@in_a_loop
async def test_a_version_tells_who_changed_what(database: Database) -> None:
    """Author, remark and difference stand in the version, without secrets; versions come newest first, by pages."""
    put(database)
    async with desk_on(database) as desk:
        stored = await stored_of(desk)
        entry = entry_of(stored, "account", "alice") | {"password": "hidden-other", "limit": "5"}
        done = await desk.carry_out(Edit(what="account", name="alice", entry=entry), "Ann", "за «договором»")
        newest, first = await desk.list()
        assert (newest.author, newest.remark, newest.changes) == ("Ann", "за «договором»", tuple(done))
        assert [(one.what, one.name, one.action) for one in done] == [("account", "alice", Action.CHANGE)]
        assert done[0].difference == ("limit: 0.00 -> 5.00", "password: changed")
        assert await desk.list(before=newest.revision) == [first]
        assert await desk.show(first.revision) == first
        assert await desk.show(99) is None
        with database.transaction() as transaction:
            rows = transaction._cursor.execute("SELECT changes, content FROM configuration_version").fetchall()
        assert "hidden" not in str(rows).replace("hidden-option", "")  # options are stored as they are


@in_a_loop
async def test_going_back_restores_rows_and_passwords(database: Database) -> None:
    """Routes, carriers, accounts, numbers and passwords are as they were; balances are not touched, nothing is lost."""
    put(database)
    async with desk_on(database) as desk:
        before = plain(await stored_of(desk))
        [first] = await desk.list()
        stored = await stored_of(desk)
        for what, name, change in (
            ("account", "alice", {"password": "hidden-2", "smpp_password": "p2", "limit": "7"}),
            ("carrier", "fox", {"password": "hidden-3", "window": 3}),
            ("route", "everywhere", {"carriers": ["sim"]}),
        ):
            entry = entry_of(stored, what, name) | change
            await desk.carry_out(Edit(what=what, name=name, entry=entry), "me")
        await desk.carry_out(Edit(what="account", name="боб «x»"), "me")
        await desk.carry_out(Edit(what="number", name="447700900100"), "me")
        await desk.carry_out(Edit(what="account", entry={"name": "new", "password": "p", "balance": "2"}), "me")
        proposed = {(one.what, one.name): one for one in await desk.propose_roll_back(first.revision)}
        assert set(proposed) == {
            ("account", "alice"),
            ("account", "боб «x»"),
            ("account", "new"),
            ("carrier", "fox"),
            ("route", "everywhere"),
            ("number", "447700900100"),
        }
        assert "password: changed" in proposed["account", "alice"].difference
        assert "password: changed" in proposed["carrier", "fox"].difference
        assert proposed["account", "new"].action is Action.REMOVE
        await desk.roll_back(first.revision, "Ann")
        after = await stored_of(desk)
        assert plain(after) == before
        alice = next(row for row in after.accounts if row.name == "alice")
        assert verify(alice.password_hash, "hidden-alice")
        assert verify(account_settings(alice).smpp_password_hash, "sm")
        assert {row.name for row in after.accounts} == {"alice", "боб «x»", "new"}
        assert await desk.propose_roll_back(first.revision) == []
        assert (await desk.list())[0].remark == f"back to version {first.revision}"
        with database.transaction() as transaction:
            funds = Figures(database).funds(transaction, alice.id)
        assert funds is not None
        assert funds.available_micros == 100_000_000
        with pytest.raises(NoVersion):
            await desk.propose_roll_back(99)


@in_a_loop
async def test_going_back_leaves_what_accounts_did_themselves(database: Database) -> None:
    """A password that an account chose itself, and subaccounts, are nobody's to take back."""
    put(database)
    async with desk_on(database) as desk:
        store = desk._store
        [first] = await desk.list()
        stored = await stored_of(desk)
        alice, bob = (row for row in stored.accounts)
        own = NewPassword(
            account_id=alice.id, password_hash=hash_password("hidden-own"), token_sealed=SEALER.seal("hidden-own")
        )
        await store.commit(store.configuration.change_password, own)
        await desk.carry_out(Edit(what="route", entry={"prefix": "1", "carriers": ["sim"], "price": "1"}), "me")
        later = NewPassword(
            account_id=bob.id, password_hash=hash_password("hidden-late"), token_sealed=SEALER.seal("hidden-late")
        )
        await store.commit(store.configuration.change_password, later)
        child = NewSubaccount(
            name="child",
            password_hash="h",
            token_sealed="",
            settings=f'{{"parent_id":{alice.id}}}',
            is_active=True,
            now_ms=NOW_MS,
        )
        await store.commit(store.reselling.make, child)
        await desk.roll_back(first.revision, "Ann")
        rows = {row.name: row for row in (await stored_of(desk)).accounts}
        assert verify(rows["alice"].password_hash, "hidden-own")
        assert verify(rows["боб «x»"].password_hash, "hidden-late")
        assert rows["child"].is_active


@in_a_loop
async def test_only_the_last_versions_are_kept(one_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and what is kept still tells the whole of what was in force."""
    monkeypatch.setattr(store_versions, "VERSIONS_MAX", 5)
    monkeypatch.setattr(store_versions, "PRUNED_TOGETHER", 3)
    put(one_database)
    async with desk_on(one_database) as desk:
        states = {}
        for price in range(1, 13):
            entry = {"prefix": "1", "carriers": ["sim"], "price": f"{price}"}
            name = "1" if price > 1 else ""
            await desk.carry_out(Edit(what="route", name=name, entry=entry), "me")
            states[(await desk.list())[0].revision] = plain(await stored_of(desk))
            kept = await desk.list()
            assert len(kept) <= 8
        assert len(kept) >= 5
        oldest = kept[-1].revision
        await desk.roll_back(oldest, "me")
        assert plain(await stored_of(desk)) == states[oldest]


@in_a_loop
async def test_the_routes_of_a_moment_are_known(one_database: Database) -> None:
    """By the version in force then; before the first one nobody knows."""
    put(one_database)
    async with desk_on(one_database) as desk:
        await desk.carry_out(Edit(what="route", entry={"prefix": "44", "carriers": ["sim"], "price": "3"}), "me")
        now_ms = SystemClock().now_ms()

        def price_at(made_ms: int) -> int | None:
            with one_database.transaction() as transaction:
                routing = desk.routing_at(transaction, made_ms)
            route = routing.find("447700900123", Service.STANDARD) if routing else None
            return route.price_micros if route else None

        [second, first] = await desk.list()
        assert first.made_ms == NOW_MS
        assert price_at(min(first.made_ms, second.made_ms) - 1) is None
        assert price_at(now_ms) in (3_000_000, 10_000)


@in_a_loop
async def test_what_is_exported_is_the_file_without_its_secrets(one_database: Database) -> None:
    """An exported file says where secrets belong; with them written there, it changes nothing but them."""
    put(one_database)
    async with desk_on(one_database) as desk:
        exported = file_of((await desk.configured()).file, KNOWN, ["alice"])
        assert "hidden" not in exported
        whole = exported.replace('# password = "write it here"', 'password = "hidden"')
        whole = whole.replace('# api_key = "write it here"', 'api_key = "hidden-key-of-bob"')
        tomllib.loads(whole)
        changes = apply(
            one_database,
            whole.replace('# smpp_password = "write it here"', 'smpp_password = "sm"'),
            file_name="g",
            known=KNOWN,
            sealer=SEALER,
            now_ms=NOW_MS,
            is_dry_run=True,
        )
        differences = {line for one in changes for line in one.difference}
        assert differences <= {"password: changed", "options: changed"}


@in_a_loop
async def test_an_account_changes_itself_now_and_then_only(one_database: Database) -> None:
    """The versions of whoever runs the gateway are not driven out by one customer."""
    put(one_database)
    async with desk_on(one_database) as desk:
        entry = entry_of(await stored_of(desk), "account", "alice")
        for count in range(OWN_CHANGES_MAX):
            edit = Edit(what="account", name="alice", entry=entry | {"inbound_url": f"https://x.example/{count}"})
            await desk.carry_out(edit, "alice", is_own=True)
        edit = Edit(what="account", name="alice", entry=entry | {"inbound_url": "https://x.example/more"})
        with pytest.raises(EditError, match="try again later"):
            await desk.carry_out(edit, "alice", is_own=True)
        await desk.carry_out(edit, "olga")
