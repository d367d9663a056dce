"""Every setting of the process, once: its name, type, default and what it is for.

Values come from the defaults below, then a file (`chappe.toml`), then the environment (`CHAPPE_` and the name in
capitals), then the command line; the last one wins. Accounts, carriers, routes and prices are no settings: they live in
the database. `python -m chappe.settings` prints the table of docs/settings.md.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

ENVIRONMENT_PREFIX = "CHAPPE_"
DATABASE_FILE = "chappe.db"
PORT_MAX = 65_535
CLOSENESS_MIN = 0.87  # how like a setting another name must be to be taken for a slip; 1 = the same


class SettingsError(Exception):
    """A setting is unknown or cannot be what it is; the message names it, where it stands, and what to do."""


class Settings(Struct, frozen=True, kw_only=True):
    """How this process runs."""

    data: Annotated[str, Meta(description="Folder for the SQLite database, the key file and the lock.")] = "chappe-data"
    database: Annotated[
        str, Meta(description="Database URL, such as postgresql://user@host/name; empty = SQLite in the data folder.")
    ] = ""
    http: Annotated[str, Meta(description="HOST:PORT of the HTTP door; port 0 takes a free one.")] = "127.0.0.1:8080"
    public_url: Annotated[
        str,
        Meta(
            description="Where people reach the HTTP door from outside, such as https://sms.example.net: the panel's "
            "links begin with it; empty = what their browser says."
        ),
    ] = ""
    smpp: Annotated[str, Meta(description="HOST:PORT of the SMPP door; empty = none.")] = ""
    fronts: Annotated[
        int,
        Meta(
            description="Processes that take HTTP connections for the gateway where there are processors to spare; 0 = "
            "it takes them itself.",
            ge=0,
            le=64,
        ),
    ] = 0
    api_rate: Annotated[
        float,
        Meta(description="Requests a second of the native API that each account may make; 0 = any number.", ge=0),
    ] = 500.0
    allowed_networks: Annotated[
        str,
        Meta(
            description="Networks that callbacks and carriers may reach besides public ones, separated by commas, such "
            "as 127.0.0.0/8."
        ),
    ] = ""
    tls_certificate: Annotated[
        str, Meta(description="Path of a PEM certificate with its chain: the ports then take TLS too.")
    ] = ""
    tls_key: Annotated[str, Meta(description="Path of the certificate's private key, without a passphrase.")] = ""
    ca_certificates: Annotated[
        str, Meta(description="Path of further PEM certificates that outgoing HTTPS trusts.")
    ] = ""
    mail_server: Annotated[
        str, Meta(description="HOST:PORT of the server that takes mail for inbound_email; empty = no mail.")
    ] = ""
    mail_from: Annotated[str, Meta(description="Address that such mail comes from.")] = ""
    mail_login: Annotated[str, Meta(description="Login at the mail server; empty = none.")] = ""
    mail_password: Annotated[str, Meta(description="Its password.")] = ""
    mail_tls: Annotated[
        str, Meta(description="starttls, tls (from the first byte) or none: how the way to the mail server is sealed.")
    ] = "starttls"
    secret_key: Annotated[
        str,
        Meta(
            description="Key that seals stored secrets; empty = a key file in the data folder (SQLite), or no sealing."
        ),
    ] = ""
    log_format: Annotated[str, Meta(description="console or json.")] = "console"
    log_level: Annotated[str, Meta(description="debug, info, warning or error.")] = "info"
    keep_requests: Annotated[
        int,
        Meta(
            description="Hours that requests and their answers are kept for whoever looks for mistakes, without their "
            "secrets but with their texts; 0 = only those of test keys, for a day; the demo keeps all for a day.",
            ge=0,
            le=24 * 90,
        ),
    ] = 0
    shutdown_s: Annotated[
        float, Meta(description="Seconds that what is in flight gets to finish at shutdown.", gt=0, le=3600)
    ] = 10.0

    def __repr__(self) -> str:
        """Only what is no secret: a database URL may hold a password."""
        return f"Settings(data={self.data!r}, http={self.http!r})"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{Path(self.data).resolve() / DATABASE_FILE}"

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port. Raises SettingsError where the setting is no HOST:PORT."""
        return parse_address("http", self.http)

    @property
    def smpp_address(self) -> tuple[str, int] | None:
        """Host and port; None where nobody is to bind. Raises SettingsError where the setting is no HOST:PORT."""
        return parse_address("smpp", self.smpp) if self.smpp else None


CHOICES = {
    "log_format": ("console", "json"),
    "log_level": ("debug", "info", "warning", "error"),
    "mail_tls": ("starttls", "tls", "none"),
}
TYPES = get_type_hints(Settings, include_extras=True)


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str | None] | None = None,
) -> Settings:
    """The settings of this process; `environment` is the process's own unless given. Options that are None were not
    given. Raises SettingsError."""
    values: dict[str, Any] = {}
    for where, given in (
        (str(file), read_file(file) if file else {}),
        ("the environment", from_environment(os.environ if environment is None else environment)),
        ("the command line", {name: value for name, value in (options or {}).items() if value is not None}),
    ):
        for name, value in given.items():
            values[name] = checked(where, name, value)
    settings = Settings(**values)
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise SettingsError("tls_certificate and tls_key belong together: set both or neither")
    if settings.mail_server and "@" not in settings.mail_from.strip("@"):
        raise SettingsError("mail_server needs mail_from: the address that mail comes from")
    return settings


def checked(where: str, name: str, value: object) -> Any:
    """A value in its setting's type, or SettingsError. A value that cannot be is not repeated: it may be a secret."""
    if name not in TYPES:
        raise SettingsError(f"{where}: no setting is called {name!r}; there are {', '.join(sorted(TYPES))}")
    if name in CHOICES and value not in CHOICES[name]:
        raise SettingsError(f"{where}: {name} is {value!r}, but must be {' or '.join(CHOICES[name])}")
    try:
        converted = msgspec.convert(value, TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {name}: {error}") from None
    if name == "http" or (name in ("mail_server", "smpp") and converted):
        try:
            parse_address(name, converted)
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from None
    if name == "public_url" and converted and not is_origin(converted):
        raise SettingsError(f"{where}: public_url must be the address alone, such as https://sms.example.net")
    return converted


def read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings among the environment's names; other `CHAPPE_` names belong to somebody else (tests, scripts)."""
    given = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name.isupper()
    }
    return {name: value for name, value in given.items() if name in TYPES}


def mistyped(environment: Mapping[str, str]) -> dict[str, str]:
    """Names in the environment that are no setting but look like one, and the name each of them looks like."""
    names = [ENVIRONMENT_PREFIX + name.upper() for name in TYPES]
    near = {
        name: difflib.get_close_matches(name.upper(), names, 1, CLOSENESS_MIN)
        for name in environment
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name not in names
    }
    return {name: found[0] for name, found in near.items() if found}


def parse_address(name: str, text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 host stands in brackets. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    is_port = port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX)) and int(port) <= PORT_MAX
    if not (colon and host.strip("[]") and is_port) or (":" in host and not is_bracketed):
        raise SettingsError(f"{name} is {text!r}, but must be HOST:PORT such as 127.0.0.1:8080 or [::1]:8080")
    return host.strip("[]"), int(port)


def is_origin(text: str) -> bool:
    """Whether this is scheme and host, with nothing behind them that a path of ours could not follow."""
    try:
        parts = urlsplit(text)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_port and is_bare


def table() -> str:
    """The settings as a Markdown table: the file's name, the environment's, the default, the sentence."""
    rows = ["| in `chappe.toml` | in the environment | default | what it is for |", "| --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(Settings):
        (meta,) = field.type.__metadata__
        default = f"`{field.default}`" if field.default != "" else ""
        rows.append(f"| `{field.name}` | `{ENVIRONMENT_PREFIX}{field.name.upper()}` | {default} | {meta.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
