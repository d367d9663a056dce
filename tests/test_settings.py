"""Settings: where they come from, which one wins, and what is said about a wrong one."""

from pathlib import Path

import pytest

from chappe.settings import Settings, SettingsError, load, mistyped, table

ROOT = Path(__file__).parents[1]


def test_defaults_need_nothing() -> None:
    """Without file, environment and options there are settings to run with."""
    settings = load(environment={})
    assert settings == Settings()
    assert settings.http_address == ("127.0.0.1", 8080)
    assert settings.database_url == f"sqlite:///{Path('chappe-data').resolve()}/chappe.db"


def test_the_last_one_wins(tmp_path: Path) -> None:
    """The environment overrides the file, the command line both, and an option that was not given nothing."""
    file = tmp_path / "chappe.toml"
    file.write_text('data = "file"\nlog_level = "debug"\nlog_format = "json"\nshutdown_s = 3\n')
    settings = load(
        file, {"CHAPPE_DATA": "environment", "CHAPPE_LOG_FORMAT": "console"}, {"data": "option", "log_format": None}
    )
    assert (settings.data, settings.log_format, settings.log_level) == ("option", "console", "debug")
    assert settings.shutdown_s == 3.0


def test_numbers_are_read_from_the_environment() -> None:
    """An environment variable is text; a setting that is a number is read from it."""
    assert load(environment={"CHAPPE_SHUTDOWN_S": "2.5"}).shutdown_s == 2.5


def test_other_variables_are_left_alone() -> None:
    """CHAPPE_ variables that name no setting belong to somebody else and are no error."""
    assert load(environment={"CHAPPE_TEST_ALL": "1", "chappe_data": "x", "PATH": "/bin"}) == Settings()


@pytest.mark.parametrize(
    "name, near",
    [
        ("CHAPPE_ALLOWED_NETWORK", "CHAPPE_ALLOWED_NETWORKS"),
        ("CHAPPE_DATABSE", "CHAPPE_DATABASE"),
        ("CHAPPE_SECRETKEY", "CHAPPE_SECRET_KEY"),
        ("chappe_log_level", "CHAPPE_LOG_LEVEL"),
        ("CHAPPE_HTTP", None),
        ("CHAPPE_PASSWORD", None),
        ("CHAPPE_TEST_ALL", None),
        ("CHAPPE_PYTHON", None),
        ("CHAPPE_CRASH_SEED", None),
        ("DATABASE", None),
    ],
)
def test_a_slip_is_told_from_a_stranger(name: str, near: str | None) -> None:
    """A name in the environment that is almost a setting's is taken for a slip; settings and others' names are not."""
    assert mistyped({name: "x"}) == ({name: near} if near else {})


WRONG = [
    # what stands in the file, what the message must name
    ("colour = 1", ["chappe.toml", "'colour'", "log_level"]),
    ("[[carrier]]\nname = 'x'", ["chappe.toml", "'carrier'"]),
    ("log_level = 'loud'", ["chappe.toml", "log_level", "'loud'", "debug or info or warning or error"]),
    ("shutdown_s = 'soon'", ["chappe.toml", "shutdown_s"]),
    ("shutdown_s = 0", ["chappe.toml", "shutdown_s", "> 0"]),
    ("data = 5", ["chappe.toml", "data"]),
    ("http = '8080'", ["chappe.toml", "http", "HOST:PORT"]),
    ("http = 'localhost:http'", ["http", "HOST:PORT"]),
    ("http = '127.0.0.1:65536'", ["http", "HOST:PORT"]),
    ("http = '::1:8080'", ["http", "[::1]:8080"]),
    ("mail_server = 'mail'", ["chappe.toml", "mail_server", "HOST:PORT"]),
    ("mail_server = 'mail:25'", ["mail_server needs mail_from"]),
    ("mail_tls = 'yes'", ["chappe.toml", "mail_tls", "starttls or tls or none"]),
    ("http = ''", ["http", "HOST:PORT"]),
    ("tls_key = 'x.key'", ["tls_certificate", "both or neither"]),
    ("public_url = 'sms.example'", ["chappe.toml", "public_url", "https://sms.example.net"]),
    ("public_url = 'https://sms.example/gateway'", ["public_url", "address alone"]),
    ("public_url = 'https://user@sms.example'", ["public_url"]),
    ("public_url = 'https://[sms'", ["public_url"]),
    ("data = ]", ["chappe.toml", "line 1"]),
]


@pytest.mark.parametrize("content, words", WRONG)
def test_a_wrong_setting_is_named(content: str, words: list[str], tmp_path: Path) -> None:
    """The message names the setting that is wrong, where it stands and what it should be."""
    file = tmp_path / "chappe.toml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A settings file that cannot be read is named with the reason."""
    with pytest.raises(SettingsError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml", {})


@pytest.mark.parametrize(
    "text, address",
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    """Host and port are read from names, IPv4 addresses and bracketed IPv6 addresses."""
    assert Settings(http=text).http_address == address


def test_settings_print_no_secret() -> None:
    """Settings that end in a log show neither the key nor the password of a database URL."""
    settings = Settings(secret_key="CANARY-KEY", database="postgresql://user:CANARY-PASSWORD@host/name")
    assert "CANARY" not in f"{settings} {settings!r}"


def test_the_document_is_current() -> None:
    """docs/settings.md holds the table that `python -m chappe.settings` prints."""
    assert table() in (ROOT / "docs/settings.md").read_text()
