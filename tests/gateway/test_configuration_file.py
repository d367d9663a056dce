"""The gateway file: every mistake is named with its line, the plan tells no secret, applying is all or nothing."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text as sql

from chappe.core.model import Priority, Secret, Service, SmppAccess, UncertainPolicy
from chappe.core.numbers import Number
from chappe.gateway.configuration import Action, Change, apply
from chappe.gateway.directory import Directory
from chappe.gateway.gateway_file import (
    KINDS,
    NUMBER_KEYS,
    PROBLEMS_SHOWN_MAX,
    ROUTE_KEYS,
    GatewayFileError,
    Known,
    NumberWish,
    account_keys,
    carrier_keys,
    parse,
)
from chappe.gateway.secrets import Sealer, key_digest, verify
from chappe.store.configuration import Configuration, StoredConfiguration
from chappe.store.database import Database, StoreError
from chappe.store.figures import Figures, Funds
from chappe.store.migrate import migrate
from chappe.store.money import Ledger
from chappe.store.numbers import Numbers, Pool, Renewal, Rental

KNOWN = Known(
    kinds=frozenset({"simulated", "proovl", "smsfox", "smpp"}),
    dialects=frozenset({"proovl", "smsfox"}),
    unasked_kinds=frozenset({"proovl", "smsfox"}),
    objection=lambda url: "forbidden port" if ":25/" in url else "not a host" if "!" in url else "",
    option_objections={"smpp": lambda options: "'lang' is no option" if "lang" in options else ""},
)
SEALER = Sealer(Fernet.generate_key().decode())
NOW_MS = 1_800_000_000_000

FILE = """
[[carrier]]
name = "sim"
kind = "simulated"

[[carrier]]
name = "fox"
kind = "smsfox"
url = "https://sms.example/en/api/?key=hidden2"
login = "me"
password = "hidden3"
window = 5
throughput = 2.5
uncertain = "resend"
timeout_s = 10
options = { sender = "hidden4" }

[[route]]
prefix = ""
carriers = ["fox", "sim"]
price = "0.0100"

[[route]]
prefix = "+44"
service = "premium"
carriers = ["sim"]
price = "0.02"

[[account]]
name = "alice"
password = "hidden5"
currency = "EUR"
balance = "100.00"
limit = "5.00"
timezone = "Europe/Rome"
senders = ["ACME"]
numbers = ["+44 7700 900001", "12345"]
receipt_url = "http://127.0.0.1:9000/receipt"
receipt_method = "GET"
receipt_dialect = "proovl"
inbound_url = "http://127.0.0.1:9000/inbound"
"""


def test_the_whole_file_is_read() -> None:
    """Every documented key arrives in its record, in our units."""
    wanted = parse(FILE, file_name="gateway.toml", known=KNOWN)
    (alice,) = wanted.accounts
    assert (alice.name, alice.password, alice.balance_micros, alice.limit_micros) == (
        "alice",
        Secret("hidden5"),
        100_000_000,
        -5_000_000,
    )
    assert alice.settings.numbers == ("447700900001", "12345")
    assert (alice.settings.timezone, alice.settings.senders) == ("Europe/Rome", ("ACME",))
    assert (alice.settings.receipt_dialect, alice.settings.receipt_method) == ("proovl", "GET")
    sim, fox = wanted.carriers
    assert (sim.kind, sim.settings.window, sim.settings.uncertain) == ("simulated", 32, UncertainPolicy.HOLD)
    assert (fox.settings.window, fox.settings.throughput, fox.settings.timeout_s) == (5, 2.5, 10.0)
    assert (fox.settings.uncertain, fox.settings.options) == (UncertainPolicy.RESEND, {"sender": "hidden4"})
    assert [(one.prefix, one.service, one.carriers, one.price_micros) for one in wanted.routes] == [
        ("", None, ("fox", "sim"), 10_000),
        ("44", Service.PREMIUM, ("sim",), 20_000),
    ]


MISTAKES = [
    # what stands in FILE, what is written instead, the line and the words of the complaint
    ("window = 5", "windw = 5", 12, "carrier 'fox': windw is no key of a carrier; did you mean 'window'?"),
    ("window = 5", "window = 0", 12, "carrier 'fox': window must be a whole number from 1 to 1000"),
    ("window = 5", "window = 2.5", 12, "window must be a whole number"),
    ("window = 5", "window = true", 12, "window must be a whole number"),
    ("throughput = 2.5", "throughput = nan", 13, "throughput must be a number from 0 to 10000"),
    ("timeout_s = 10", "timeout_s = 0", 15, "timeout_s must be a number from 1 to 300"),
    (
        'uncertain = "resend"',
        'uncertain = "resent"',
        14,
        "fail, hold, query, resend, not 'resent'; did you mean 'resend'?",
    ),
    ('kind = "smsfox"', 'kind = "smtp"', 8, "kind 'smtp' is no kind of carrier; did you mean 'smpp'?; there are"),
    ('kind = "smsfox"', 'kind = "smsfx"', 8, "kind 'smsfx' is no kind of carrier; did you mean 'smsfox'?"),
    ('kind = "smsfox"', "", 6, "carrier 'fox': kind is missing"),
    ('url = "https://sms.example/en/api/?key=hidden2"', "", 6, "url is missing: a carrier of kind 'smsfox' needs it"),
    ('login = "me"', "", 6, "login is missing: a carrier of kind 'smsfox' needs it"),
    ('password = "hidden3"', "", 6, "password is missing"),
    ('password = "hidden5"', "password = 12345", 31, "password must be a text of 1 to 256 characters in quotes"),
    ('url = "https://sms', 'url = "ftp://sms', 9, "url must be a URL that begins with http:// or https://"),
    ('url = "https://sms', 'url = "https://[sms', 9, "url must be a URL that begins with http:// or https://"),
    ('url = "https://sms', 'url = "https://me:hidden1@sms', 9, "url must name no user and no password"),
    ("127.0.0.1:9000/receipt", "me@127.0.0.1:9000/receipt", 38, "receipt_url must name no user and no password"),
    ("sms.example/", "sms.example:25/", 9, "url cannot be called: forbidden port"),
    ("127.0.0.1:9000/receipt", "127.0.0.1:25/receipt", 38, "receipt_url cannot be called: forbidden port"),
    ("127.0.0.1:9000/inbound", "127.0.0.1:25/inbound", 41, "inbound_url cannot be called: forbidden port"),
    ('uncertain = "resend"', 'uncertain = "query"', 14, "kind 'smsfox' does not find a message by our reference"),
    ('currency = "EUR"', 'curency = "EUR"', 32, "curency is no key of an account; did you mean 'currency'?"),
    ('options = { sender = "hidden4" }', "options = { sender = 4 }", 16, "options 'sender' must be a text in quotes"),
    ('carriers = ["sim"]', 'carriers = ["simm"]', 26, "there is no carrier 'simm'; did you mean 'sim'?"),
    ('carriers = ["sim"]', 'carriers = ["other"]', 26, "there is no carrier 'other'; add it as a [[carrier]]"),
    ('carriers = ["sim"]', "carriers = []", 26, "route '+44': carriers must name at least one carrier"),
    ('carriers = ["sim"]', 'carriers = "sim"', 26, "carriers must be a list"),
    ('service = "premium"', 'service = "gold"', 25, "service must be one of economy, premium, standard, not 'gold'"),
    (
        'prefix = "+44"\nservice = "premium"',
        'prefix = ""',
        23,
        "route: prefix and service '' is taken by the route of line",
    ),
    ('prefix = "+44"', 'prefix = "UK"', 24, "prefix must be the first digits of a number"),
    ('price = "0.0100"', "price = 0.01", 21, 'price must be an amount in quotes, such as "0.0100"'),
    ('price = "0.0100"', 'price = "-1"', 21, "price must not be negative"),
    ('price = "0.0100"', 'price = "cheap"', 21, "price 'cheap' is not an amount of money"),
    ('price = "0.0100"', 'price = "0.00000001"', 21, "has more than six decimal places"),
    ('currency = "EUR"', 'currency = "euro"', 32, "currency must be three capital letters"),
    ('timezone = "Europe/Rome"', 'timezone = "Rome"', 35, "timezone 'Rome' is no time zone"),
    ('timezone = "Europe/Rome"', 'timezone = "../../etc/passwd"', 35, "is no time zone"),
    ('"12345"]', '"447700900001"]', 37, "numbers must not name the same thing twice"),
    ('"12345"]', '"no number"]', 37, "numbers 'no number' is no number with its country code, and no short code"),
    ('senders = ["ACME"]', 'senders = ["much too long a name"]', 36, "is no sender"),
    ('receipt_dialect = "proovl"', 'receipt_dialect = "prowl"', 40, "did you mean 'proovl'?"),
    ('name = "alice"', 'name = " alice"', 30, "name must be 1 to 64 printable characters"),
    ("[[account]]", "[[acount]]", 29, "unknown entry 'acount'"),
    ("[[account]]", "[account]", 29, "write each account as a table under the header [[account]]"),
    ("[[account]]", "[[account]", 29, "not TOML"),
]


@pytest.mark.parametrize("right, wrong, line, words", MISTAKES)
def test_a_mistake_is_named_with_its_line(right: str, wrong: str, line: int, words: str) -> None:
    """Each mistake is told with file, line, entry and key, and with what to write instead; never with a secret."""
    assert FILE.count(right) == 1
    with pytest.raises(GatewayFileError) as raised:
        parse(FILE.replace(right, wrong), file_name="gateway.toml", known=KNOWN)
    (complaint,) = str(raised.value).splitlines()
    assert complaint.startswith(f"gateway.toml:{line}: ")
    assert words in complaint
    assert "hidden" not in complaint


BOUND = """
[[carrier]]
name = "acme"
kind = "smpp"
host = "smpp.acme.example"
port = 2776
tls = true
system_id = "chappe"
password = "hidden6"
bind = "pair"
binds = 2
window = 100
uncertain = "query"
options = { long = "sar" }
"""
BOUND_MISTAKES = [
    # what stands in BOUND, what is written instead, the line and the words of the complaint
    ('host = "smpp.acme.example"', "", 2, "carrier 'acme': host is missing"),
    ('"smpp.acme.example"', '"smpp.acme.example:2775"', 5, "host must be without its port: that is a key of its own"),
    ('"smpp.acme.example"', '"smpp://acme.example"', 5, "host must be the name or the address of a host"),
    ('"smpp.acme.example"', '"!"', 5, "host cannot be reached: not a host"),
    ("port = 2776", "port = 65536", 6, "port must be a whole number from 1 to 65535"),
    ("tls = true", 'tls = "yes"', 7, "tls must be true or false"),
    (
        '"chappe"',
        '"sixteen-octets-x"',
        8,
        "system_id must be a text of 1 to 15 ASCII characters in quotes, as SMPP has it",
    ),
    ('system_id = "chappe"', 'login = "chappe"', 8, "login is no key of a carrier"),
    ('system_id = "chappe"', "", 2, "system_id is missing"),
    ('"hidden6"', '"hidden-78"', 9, "password must be a text of 0 to 8 ASCII characters in quotes, as SMPP has it"),
    ('"hidden6"', '"hidden\u00e9"', 9, "password must be a text of 0 to 8 ASCII characters"),
    ('bind = "pair"', 'bind = "transciever"', 10, "did you mean 'transceiver'?"),
    ("binds = 2", "binds = 17", 11, "binds must be a whole number from 1 to 16"),
    ('"sar"', '"sar", lang = "it"', 14, "carrier 'acme': options 'lang' is no option"),
]


@pytest.mark.parametrize("right, wrong, line, words", BOUND_MISTAKES)
def test_a_mistake_about_a_carrier_that_is_bound_to_is_named(right: str, wrong: str, line: int, words: str) -> None:
    """A carrier over SMPP has keys of its own, within the lengths of SMPP; a mistake in them is told with its line."""
    assert BOUND.count(right) == 1
    with pytest.raises(GatewayFileError) as raised:
        parse(BOUND.replace(right, wrong), file_name="gateway.toml", known=KNOWN)
    complaint = str(raised.value).splitlines()[-1]
    assert complaint.startswith(f"gateway.toml:{line}: ")
    assert words in complaint
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "right, other, url",
    [
        ("port = 2776", "port = 2776", "smpps://smpp.acme.example:2776"),
        ("port = 2776", "", "smpps://smpp.acme.example:3550"),
        ("port = 2776\ntls = true", "", "smpp://smpp.acme.example:2775"),
        ('"smpp.acme.example"', '"2001:db8::1"', "smpps://[2001:db8::1]:2776"),
    ],
)
def test_a_carrier_that_is_bound_to_is_kept_like_all_others(right: str, other: str, url: str) -> None:
    """Where an SMPP carrier is becomes its URL, who we are there its login, and how we bind stands in its options."""
    (acme,) = parse(BOUND.replace(right, other), file_name="g", known=KNOWN).carriers
    assert (acme.kind, acme.password, acme.settings.url, acme.settings.login) == (
        "smpp",
        Secret("hidden6"),
        url,
        "chappe",
    )
    assert acme.settings.options == {"long": "sar", "bind": "pair", "binds": "2"}
    assert (acme.settings.window, acme.settings.uncertain) == (100, UncertainPolicy.QUERY)


FURTHER = """api_key = "hidden-and-long-enough"
country = "+39"
message_types = { GP = "premium", LL = "economy" }
virtual = true
flexible = true
"""
FURTHER_MISTAKES = [
    # what stands in FURTHER, what is written instead, the words of the complaint
    ('"hidden-and-long-enough"', '"hidden"', "api_key must be a text of 16 to 256 characters in quotes"),
    ('"+39"', "39", "country must be a text in quotes, not 39"),
    ('"+39"', '"0039"', 'country must be a calling code, such as "39"'),
    ('"premium"', '"gold"', "message_types must be one of economy, premium, standard, not 'gold'"),
    ('{ GP = "premium", LL = "economy" }', '"GP"', "message_types must be a table of at most 50 words"),
    ("GP =", '"" =', "message_types must have words of 1 to 32 printable characters"),
    ("virtual = true", 'virtual = "yes"', "virtual must be true or false"),
    ("flexible = true", "flexible = 1", "flexible must be true or false"),
]


def test_what_only_some_dialects_need_is_read() -> None:
    """An API key is kept as its digest alone; country, message types and the two manners arrive as they are meant."""
    (alice,) = parse(FILE + FURTHER, file_name="g", known=KNOWN).accounts
    assert alice.settings.api_key_digest == key_digest("hidden-and-long-enough")
    assert "hidden" not in repr(alice)
    assert alice.settings.country == "39"
    assert alice.settings.message_types == {"GP": Service.PREMIUM, "LL": Service.ECONOMY}
    assert (alice.settings.is_virtual, alice.settings.is_flexible) == (True, True)


@pytest.mark.parametrize("right, wrong, words", FURTHER_MISTAKES)
def test_a_mistake_in_what_only_some_dialects_need_is_named(right: str, wrong: str, words: str) -> None:
    """Each mistake in these keys is told with what to write instead, and never with a secret."""
    assert FURTHER.count(right) == 1
    with pytest.raises(GatewayFileError) as raised:
        parse(FILE + FURTHER.replace(right, wrong), file_name="g", known=KNOWN)
    assert words in str(raised.value)
    assert "hidden" not in str(raised.value)


BINDING = """priority = "urgent"
smpp_password = "hidden7"
smpp_networks = ["192.0.2.7", "2001:db8::/32"]
smpp_binds = 8
smpp_window = 20
smpp_throughput = 2.5
smpp_outbind = "smpp.example:2775"
smpp_charset = "latin-1"
smpp_ids = "hex"
smpp_receiver = true
"""
BINDING_MISTAKES = [
    # what stands in BINDING, what is written instead, the words of the complaint
    ('"urgent"', '"high"', "priority must be one of bulk, normal, urgent, not 'high'"),
    ('"hidden7"', '"hidden789"', "smpp_password must be a text of 1 to 8 characters in quotes: SMPP has room for no"),
    ('"192.0.2.7"', '"192.0.2.700"', "smpp_networks must name networks such as"),
    ("smpp_binds = 8", "smpp_binds = 0", "smpp_binds must be a whole number from 1 to 1000"),
    ("smpp_window = 20", "smpp_window = 2.5", "smpp_window must be a whole number from 1 to 10000"),
    ("smpp_throughput = 2.5", "smpp_throughput = -1", "smpp_throughput must be a number from 0 to 10000"),
    ('"smpp.example:2775"', '"smpp.example"', "smpp_outbind must be HOST:PORT"),
    ('"latin-1"', '"latin1"', "smpp_charset must be one of gsm, latin-1, not 'latin1'; did you mean 'latin-1'?"),
    ('"hex"', '"octal"', "smpp_ids must be one of decimal, hex"),
    ("smpp_receiver = true", "smpp_reciever = true", "smpp_reciever is no key of an account; did you mean"),
]
KNOWN_BINDING = msgspec.structs.replace(KNOWN, smpp_charsets=frozenset({"gsm", "latin-1"}))


def test_how_an_account_may_bind_is_read() -> None:
    """Each key of binding arrives as it is meant, and the password is in no print."""
    (alice,) = parse(FILE + BINDING, file_name="g", known=KNOWN_BINDING).accounts
    assert alice.settings.smpp == SmppAccess(
        networks=("192.0.2.7/32", "2001:db8::/32"),
        binds_max=8,
        window=20,
        throughput=2.5,
        outbind="smpp.example:2775",
        charset="latin-1",
        hex_ids=True,
        is_receiver=True,
    )
    assert (alice.settings.priority, alice.smpp_password) == (Priority.URGENT, Secret("hidden7"))
    assert "hidden" not in repr(alice)
    assert parse(FILE, file_name="g", known=KNOWN).accounts[0].settings.smpp == SmppAccess()


@pytest.mark.parametrize("right, wrong, words", BINDING_MISTAKES)
def test_a_mistake_in_how_an_account_may_bind_is_named(right: str, wrong: str, words: str) -> None:
    """Each mistake in these keys is told with what to write instead, and never with a secret."""
    assert BINDING.count(right) == 1
    with pytest.raises(GatewayFileError) as raised:
        parse(FILE + BINDING.replace(right, wrong), file_name="g", known=KNOWN_BINDING)
    assert words in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_an_api_key_belongs_to_one_account() -> None:
    """An API key in two accounts is refused without being repeated."""
    other = '[[account]]\nname = "bob"\npassword = "x"\napi_key = "hidden-and-long-enough"\n'
    with pytest.raises(GatewayFileError, match="account: api_key is taken by the account of line 29") as raised:
        parse(FILE + FURTHER + other, file_name="g", known=KNOWN)
    assert "hidden" not in str(raised.value)


def test_a_carrier_that_can_be_asked_may_be() -> None:
    """Where the kind of a carrier finds our references, `query` is taken as it stands."""
    right = FILE.replace('kind = "simulated"', 'kind = "simulated"\nuncertain = "query"')
    assert parse(right, file_name="g", known=KNOWN).carriers[0].settings.uncertain is UncertainPolicy.QUERY


def test_every_key_is_documented() -> None:
    """The page about the gateway file names each key under the kind of entry it belongs to, and no others."""
    page = (Path(__file__).parents[2] / "docs" / "gateway-file.md").read_text()
    keys = {
        "account": account_keys(KNOWN),
        "carrier": carrier_keys(KNOWN, "proovl") | carrier_keys(KNOWN, "smpp"),
        "route": ROUTE_KEYS,
        "number": NUMBER_KEYS,
    }
    assert set(keys) == set(KINDS)
    for kind, expected in keys.items():
        section = page.partition(f"## `[[{kind}]]`")[2].partition("\n## ")[0]
        cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert {key for cell in cells for key in re.findall("`(.+?)`", cell)} == set(expected), kind


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_an_empty_file_is_no_wish(text: str) -> None:
    """A file without any entry is refused with what to write instead, for it would end every account."""
    with pytest.raises(GatewayFileError, match=r"g:1: there is nothing in this file; .* write account = \[\]"):
        parse(text, file_name="g", known=KNOWN)


def test_a_number_belongs_to_one_account() -> None:
    """A number in two accounts is refused at the second, naming the line of the first."""
    other = '[[account]]\nname = "bob"\npassword = "x"\nnumbers = ["447700900001"]\n'
    with pytest.raises(
        GatewayFileError, match=r"g:43: account: number '447700900001' is taken by the account of line 29"
    ):
        parse(FILE + "\n" + other, file_name="g", known=KNOWN)


def test_a_name_belongs_to_one_carrier() -> None:
    """A name given to two carriers is refused at the second, naming the line of the first."""
    other = '[[carrier]]\nname = "sim"\nkind = "simulated"\n'
    with pytest.raises(GatewayFileError, match="g:43: carrier: name 'sim' is taken by the carrier of line 2"):
        parse(FILE + "\n" + other, file_name="g", known=KNOWN)


def test_all_mistakes_are_told_at_once() -> None:
    """Mistakes are told together, in the order of their lines; of very many, the first and a count."""
    with pytest.raises(GatewayFileError) as raised:
        parse(FILE.replace("window", "w").replace("price", "p"), file_name="g", known=KNOWN)
    assert [line.split(":")[1] for line in str(raised.value).splitlines()] == ["12", "18", "21", "23", "27"]
    with pytest.raises(GatewayFileError) as raised:
        parse('[[account]]\nname = "a"\n' * 30, file_name="g", known=KNOWN)
    lines = str(raised.value).splitlines()
    assert (len(lines), lines[-1]) == (PROBLEMS_SHOWN_MAX + 1, "g: and 10 more")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path / 'g.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    found = Database(url)
    migrate(found)
    return found


def run(database: Database, text: str, *, is_dry_run: bool = False, sealer: Sealer = SEALER) -> dict[str, Change]:
    """Apply, and tell what changed (or would), by kind and name."""
    changes = apply(database, text, file_name="g", known=KNOWN, sealer=sealer, now_ms=NOW_MS, is_dry_run=is_dry_run)
    return {f"{one.what} {one.name}": one for one in changes if one.action is not Action.KEEP}


def load(database: Database) -> StoredConfiguration:
    with database.transaction() as transaction:
        return Configuration(database, Ledger(database)).load(transaction)


def funds(database: Database) -> Funds | None:
    with database.transaction() as transaction:
        return Figures(database).funds(transaction, 1)


def test_applying_makes_it_so(database: Database) -> None:
    """After an apply the directory holds what the file says, the password verifies, the opening balance is there."""
    changes = run(database, FILE)
    assert {name: one.action for name, one in changes.items()} == dict.fromkeys(
        ["carrier sim", "carrier fox", "route everywhere", "route 44 premium", "account alice"], Action.ADD
    )
    stored = load(database)
    directory = Directory(stored, SEALER)
    alice = directory.accounts_by_name["alice"]
    assert verify(directory.password_hashes[alice.id], "hidden5")
    assert (alice.token.value, directory.owner("12345")) == ("hidden5", alice)
    sim, fox = directory.carriers
    assert (fox.password.value, fox.login) == ("hidden3", "me")
    route = directory.routing.find("447700900009", Service.STANDARD)
    assert route is not None
    assert route.carrier_ids == (fox.id, sim.id)
    assert funds(database) == Funds(available_micros=100_000_000, reserved_micros=0, limit_micros=-5_000_000)
    assert stored.revision == 1
    assert "hidden3" not in repr(stored)
    assert "hidden5" not in repr(stored)


def test_callback_keys_are_unguessable_and_stay(database: Database) -> None:
    """Each carrier gets a key of its own, which survives every later change: its provider was told it."""
    run(database, FILE)
    keys = [one.callback_key for one in Directory(load(database), SEALER).carriers]
    assert len({key for key in keys if len(key) >= 22}) == 2
    run(database, FILE.replace("window = 5", "window = 6"))
    assert [one.callback_key for one in Directory(load(database), SEALER).carriers] == keys


def test_applying_twice_changes_nothing(database: Database) -> None:
    """The second apply of a file finds nothing to do: same rows, same revision, same money."""
    run(database, FILE)
    before = load(database)
    assert run(database, FILE) == {}
    assert load(database) == before
    with database.transaction() as transaction:
        assert Figures(database).audit(transaction).findings == ()


def test_a_dry_run_changes_nothing(database: Database) -> None:
    """A dry run tells the same plan as the run after it, and leaves the database as it was."""
    planned = run(database, FILE, is_dry_run=True)
    assert load(database) == StoredConfiguration()
    assert run(database, FILE) == planned


@pytest.mark.parametrize(
    "right, wrong, name, action, words",
    [
        ("window = 5", "window = 6", "carrier fox", Action.CHANGE, ["window: 5 -> 6"]),
        ('"hidden3"', '"hidden9"', "carrier fox", Action.CHANGE, ["password: changed"]),
        ('"hidden5"', '"hidden9"', "account alice", Action.CHANGE, ["password: changed"]),
        (
            "?key=hidden2",
            "",
            "carrier fox",
            Action.CHANGE,
            ["url: https://sms.example/en/api/?... -> https://sms.exam"],
        ),
        ('"hidden4"', '"hidden9"', "carrier fox", Action.CHANGE, ["options: changed"]),
        ('kind = "smsfox"', 'kind = "proovl"', "carrier fox", Action.CHANGE, ["kind: smsfox -> proovl"]),
        ('"0.0100"', '"0.03"', "route everywhere", Action.CHANGE, ["price: 0.0100 -> 0.0300"]),
        ('["fox", "sim"]', '["sim", "fox"]', "route everywhere", Action.CHANGE, ["carriers: fox sim -> sim fox"]),
        ('limit = "5.00"', "", "account alice", Action.CHANGE, ["limit: 5.00 -> 0.00"]),
        ('senders = ["ACME"]', "", "account alice", Action.CHANGE, ["senders: ACME -> none"]),
        ("[[account]]", '[[account]]\nsmpp_password = "hidden8"', "account alice", Action.CHANGE, ["smpp_password: c"]),
        ("[[account]]", "[[account]]\nsmpp_binds = 9", "account alice", Action.CHANGE, ["smpp binds_max: 4 -> 9"]),
    ],
)
def test_a_plan_names_what_changes(
    database: Database, right: str, wrong: str, name: str, action: Action, words: list[str]
) -> None:
    """A changed line of the file is one row of the plan, in words, without its secrets, and is done by applying it."""
    run(database, FILE)
    ((found, change),) = run(database, FILE.replace(right, wrong)).items()
    assert (found, change.action) == (name, action)
    assert all(expected in given for expected, given in zip(words, change.difference, strict=True))
    assert change.row[:3] == (change.what, change.name, "change")
    assert "hidden" not in repr(change)
    assert run(database, FILE.replace(right, wrong)) == {}
    assert load(database).revision == 2


def test_a_new_balance_in_the_file_moves_no_money(database: Database) -> None:
    """The opening balance is credited once; restating it, higher or lower, is no change."""
    run(database, FILE)
    before = funds(database)
    assert run(database, FILE.replace('balance = "100.00"', 'balance = "900.00"')) == {}
    assert funds(database) == before


def test_an_account_keeps_its_currency(database: Database) -> None:
    """Another currency for an account that was ever there is refused with its line, and nothing is changed."""
    other = FILE.replace('"EUR"', '"USD"').replace("window = 5", "window = 6")
    for earlier in (FILE, "account = []"):
        run(database, earlier)
        before = load(database)
        with pytest.raises(GatewayFileError, match=r"g:32: account 'alice': currency is EUR .* make a new account"):
            run(database, other)
        assert load(database) == before


def test_what_vanishes_from_the_file_is_ended_and_may_return(database: Database) -> None:
    """A removed account is ended, not deleted; when it returns, it has its id and its balance, and no new credit."""
    run(database, FILE)
    ended = run(database, "account = []")
    assert {one.action for one in ended.values()} == {Action.REMOVE}
    assert len(ended) == 5
    stored = load(database)
    assert [one.is_active for one in stored.accounts] + [one.is_active for one in stored.carriers] == [False] * 3
    assert stored.routes == ()
    back = run(database, FILE)
    assert "returns with its messages and its balance" in back["account alice"].difference
    again = load(database)
    assert [one.id for one in again.accounts] == [one.id for one in stored.accounts]
    assert [one.id for one in again.carriers] == [one.id for one in stored.carriers]
    assert funds(database) == Funds(available_micros=100_000_000, reserved_micros=0, limit_micros=-5_000_000)


def test_a_disabled_url_is_called_again_when_it_is_applied(database: Database) -> None:
    """Applying the file again enables an account's URLs that had answered 410 Gone, and says so; once."""
    run(database, FILE)
    with database.engine.begin() as connection:
        connection.execute(sql("INSERT INTO disabled_url VALUES (1, 'http://127.0.0.1:9000/receipt', 5)"))
    changes = run(database, FILE)
    assert changes["account alice"].difference == ("receipt_url: called again after it had answered 410 Gone",)
    assert load(database).disabled_urls == frozenset()
    assert run(database, FILE) == {}


def test_another_key_seals_everything_anew(database: Database) -> None:
    """After the key was lost or first set, applying the file makes every secret readable again."""
    run(database, FILE, sealer=Sealer())
    changes = run(database, FILE)
    assert {name: one.difference for name, one in changes.items()} == dict.fromkeys(
        ["carrier fox", "account alice"], ("password: changed",)
    )
    assert Directory(load(database), SEALER).accounts_by_name["alice"].token.value == "hidden5"


def test_a_file_is_applied_whole_or_not_at_all(database: Database) -> None:
    """If any row cannot be written, nothing of the file is."""
    with database.engine.begin() as connection:
        connection.execute(sql("INSERT INTO entry VALUES (1, 'credit', 1, 'funding', 'available', 7, 5)"))
    with pytest.raises((StoreError, database.errors)):
        run(database, FILE)
    assert load(database) == StoredConfiguration()
    assert funds(database) is None


def test_a_wrong_file_touches_nothing(database: Database) -> None:
    """A file with one mistake leaves the configuration that is in force."""
    run(database, FILE)
    before = load(database)
    with pytest.raises(GatewayFileError):
        run(database, FILE.replace("window = 5", "window = 6").replace('"ACME"', '""'))
    assert load(database) == before


def test_two_that_apply_at_once_leave_one_of_their_files(database: Database) -> None:
    """Of two files applied at the same moment, one holds in the end, whole: never a mixture of both."""
    names = ("bob", "carol")
    files = [FILE.replace('"alice"', f'"{name}"') for name in names]
    begin = threading.Barrier(len(files))

    def apply_one(file: str) -> None:
        begin.wait()
        run(Database(database.url.render_as_string(hide_password=False)), file)

    with ThreadPoolExecutor(len(files)) as threads:
        list(threads.map(apply_one, files))
    stored = load(database)
    assert sorted(one.name for one in stored.accounts) == sorted(names)
    assert [one.is_active for one in stored.accounts].count(True) == 1
    assert stored.revision == 2


# Numbers for rent

POOL = """
[[number]]
number = "+44 7700 900 002"
price = "2.00"
carrier = "fox"

[[number]]
number = "60600"
country = "de"
price = "1.5"
"""


def test_numbers_for_rent_are_read() -> None:
    """A number tells its country by its first digits, a short code does not."""
    assert parse(FILE + POOL, file_name="f", known=KNOWN).numbers == (
        NumberWish(number="447700900002", country="GB", price_micros=2_000_000, carrier="fox"),
        NumberWish(number="60600", country="DE", price_micros=1_500_000),
    )


@pytest.mark.parametrize(
    "right, wrong, words",
    [
        ('price = "1.5"\n', "", "number '60600': price is missing"),
        ('"1.5"', '"-1.5"', "number '60600': price must not be negative"),
        ('"60600"', '"6"', "number '6': number '6' is no number"),
        ('"60600"', '"447700900002"', "number '447700900002' is taken by the number of line"),
        ('"60600"', '"447700900001"', "number '447700900001' stands among the numbers of an account"),
        ('"de"', '"Germany"', "number '60600': country must be a country in two letters"),
        ('"fox"', '"fax"', "carrier must be a carrier of this gateway: there is no carrier 'fax'; did you mean 'fox'?"),
    ],
)
def test_a_mistake_in_a_number_is_named(right: str, wrong: str, words: str) -> None:
    """Each with its line in the file, and the remedy where there is one."""
    with pytest.raises(GatewayFileError, match=r"^f:\d+: ") as caught:
        parse(FILE + POOL.replace(right, wrong), file_name="f", known=KNOWN)
    assert words in str(caught.value)


def test_the_pool_follows_the_file(database: Database) -> None:
    """What the file offers is offered, its changes are told, and what it no longer offers is gone."""
    added = run(database, FILE + POOL)["number 60600"]
    assert (added.what, added.action, added.difference) == ("number", Action.ADD, ("price: 1.50", "country: DE"))
    assert run(database, FILE + POOL) == {}
    changed = run(database, FILE + POOL.replace('"1.5"', '"1.75"'))["number 60600"]
    assert (changed.action, changed.difference) == (Action.CHANGE, ("price: 1.50 -> 1.75",))
    assert run(database, FILE)["number 60600"].action is Action.REMOVE
    with database.transaction() as transaction:
        assert Pool(database).offers(transaction, "", 10) == ()


def test_a_rented_number_survives_the_file(database: Database) -> None:
    """Its owner keeps it until its month ends, may send from it, and is found by it; then the pool is empty."""
    run(database, FILE + POOL)
    configuration = Configuration(database, Ledger(database))
    numbers = Numbers(database, Ledger(database), configuration.pool, configuration.raise_revision)
    with database.transaction() as transaction:
        [rented] = numbers.rent.run_many(transaction, [Rental(1, "447700900002", 901, NOW_MS)], False)
    assert isinstance(rented, Number)
    run(database, FILE)
    directory = Directory(load(database), SEALER)
    owner = directory.owner("447700900002")
    assert owner is not None
    assert (owner.name, owner.numbers[-1]) == ("alice", "447700900002")
    with database.transaction() as transaction:
        [renewed] = numbers.renew.run_many(transaction, [Renewal(rented.expires_ms, 10)], False)
    assert [one.number for one in renewed.ended] == ["447700900002"]
    assert Directory(load(database), SEALER).owner("447700900002") is None
    with database.transaction() as transaction:
        assert Pool(database).offers(transaction, "", 10) == ()
