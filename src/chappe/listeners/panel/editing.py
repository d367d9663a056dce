"""Forms for the entries of the configuration, made of the gateway file's own keys: fill in, look at the difference,
confirm.

What a form asks for is one table of controls for each kind of entry; which of them an entry has, how its values are
read and what is wrong with them is the gateway file's business. Secrets are never shown: an empty field leaves them as
they are. The form carries the mark of the entry that was looked at, so that nobody overwrites what somebody else
changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from starlette.responses import Response

from chappe.core.model import Priority, Service, UncertainPolicy
from chappe.gateway.configuration import Change
from chappe.gateway.directory import AccountSettings, CarrierSettings
from chappe.gateway.edits import Edit, EditError, Overlapped, find, mark_of
from chappe.gateway.gateway_file import (
    NUMBER_KEYS,
    ROUTE_KEYS,
    SMPP,
    AccountWish,
    CarrierWish,
    Known,
    Wish,
    account_keys,
    carrier_keys,
)
from chappe.gateway.stating import table_of
from chappe.gateway.versions import Configured
from chappe.listeners.panel.frame import PanelRequest

FIXED = ("account", "carrier")
NOT_FIELDS = frozenset({"csrf", "step", "remark"})
REMARK_MAX = 500


class Control(NamedTuple):
    """How a key is asked for. `kind`: text, number, money, tick, list, lines (`name = value`), choice, secret."""

    key: str
    label: str
    kind: str = "text"
    group: str = ""
    hint: str = ""


MESSAGES_IN, OVER_SMPP, MORE = "Messages that come in", "Over SMPP", "More"
RECEIPTS, MONEY = "Receipts", "Money"

ACCOUNT_CONTROLS = (
    Control("name", "Name", hint="The login in every language. It stays."),
    Control("password", "Password", "secret"),
    Control("api_key", "API key of the languages that take one", "secret", hint="At least 16 characters."),
    Control(
        "webhook_secret",
        "Secret that signs callbacks",
        "secret",
        hint="Begins with whsec_. None: made of the password.",
    ),
    Control("senders", "Senders", "list", hint="One a line. None: any."),
    Control("numbers", "Numbers of its own", "list", hint="One a line."),
    Control("timezone", "Time zone", hint="Such as Europe/Rome."),
    Control("country", "Country", hint="Calling code that national numbers are completed with, such as 39."),
    Control("currency", "Currency", group=MONEY, hint="Three letters. It stays what it was at first."),
    Control("balance", "Opening balance", "money", MONEY),
    Control("limit", "Limit", "money", MONEY, "How far the balance may go below zero."),
    Control("receipt_url", "URL for receipts", group=RECEIPTS),
    Control("receipt_method", "Method", "choice", RECEIPTS),
    Control("receipt_dialect", "In whose words", "choice", RECEIPTS),
    Control("inbound_url", "URL for messages to its numbers", group=MESSAGES_IN),
    Control("inbound_email", "E-mail", group=MESSAGES_IN),
    Control("inbound_phone", "Phone", group=MESSAGES_IN),
    Control("inbound_dialect", "In whose words", "choice", MESSAGES_IN),
    Control("stop_words", "Words that stop", "list", MESSAGES_IN, "One a line."),
    Control("start_words", "Words that start again", "list", MESSAGES_IN, "One a line."),
    Control("smpp_password", "Password for binds", "secret", OVER_SMPP, "At most 8 characters."),
    Control("smpp_networks", "Networks it may bind from", "list", OVER_SMPP, "One a line. None: any."),
    Control("smpp_binds", "Binds at once", "number", OVER_SMPP),
    Control("smpp_window", "Window", "number", OVER_SMPP),
    Control("smpp_throughput", "Messages a second", "number", OVER_SMPP, "0: no cap."),
    Control("smpp_outbind", "Where to connect to (HOST:PORT)", group=OVER_SMPP),
    Control("smpp_charset", "What data coding 0 means", "choice", OVER_SMPP),
    Control("smpp_ids", "Message ids", "choice", OVER_SMPP),
    Control("smpp_receiver", "Messages to its numbers go to its binds too", "tick", OVER_SMPP),
    Control("message_types", "Words for service classes", "lines", MORE, "One a line: GP = premium."),
    Control("recipients_max", "Recipients of one submission", "number", MORE),
    Control("priority", "Priority", "choice", MORE),
    Control("virtual", "Virtual: nothing is sent and nothing charged", "tick", MORE),
    Control("flexible", "Takes what its provider would refuse", "tick", MORE),
)
# What an account may change of itself.
OWN_KEYS = frozenset(
    one.key for one in ACCOUNT_CONTROLS if one.group in (RECEIPTS, MESSAGES_IN) or one.key == "timezone"
)
CARRIER_CONTROLS = (
    Control("name", "Name", hint="What routes call it. It stays."),
    Control("url", "URL"),
    Control("login", "Login"),
    Control("host", "Host"),
    Control("port", "Port", "number", hint="Empty: 2775, and 3550 with TLS."),
    Control("tls", "TLS", "tick"),
    Control("system_id", "System id"),
    Control("password", "Password", "secret"),
    Control("bind", "Bind as", "choice"),
    Control("binds", "Binds at once", "number"),
    Control("window", "Window", "number", hint="Unanswered messages at once."),
    Control("throughput", "Messages a second", "number", hint="0: no cap."),
    Control("uncertain", "When nobody knows whether it was taken", "choice"),
    Control("timeout_s", "Time for an answer, in seconds", "number"),
    Control(
        "options",
        "Options of its kind",
        "lines",
        hint="One a line: name = value. A name alone keeps its value, a line that is taken away ends it.",
    ),
)
ROUTE_CONTROLS = (
    Control("prefix", "Prefix", hint="First digits of the recipient; the longest that fits wins. Empty: everywhere."),
    Control("service", "Service class", "choice"),
    Control("carriers", "Carriers, in order", "list", hint="One a line; the second is the backup."),
    Control("price", "Price for a segment", "money"),
)
NUMBER_CONTROLS = (
    Control("number", "Number", hint="With its country code; or a short code."),
    Control("country", "Country in two letters", hint="Empty: by its first digits."),
    Control("price", "Price for a month", "money"),
    Control("carrier", "Through whom its messages arrive", "choice"),
)
CONTROLS = {
    "account": ACCOUNT_CONTROLS,
    "carrier": CARRIER_CONTROLS,
    "route": ROUTE_CONTROLS,
    "number": NUMBER_CONTROLS,
}
# Which field of the settings tells whether an account has a secret.
STORED_SECRETS = {
    "api_key": "api_key_digest",
    "smpp_password": "smpp_password_hash",
    "webhook_secret": "webhook_secret_sealed",
}
Choices = Sequence[tuple[str, str]]


def choices_of(what: str, key: str, known: Known, carrier_names: Iterable[str]) -> Choices:
    """Values and their titles; an empty value is the default."""
    words: Mapping[tuple[str, str], Iterable[str]] = {
        ("account", "receipt_method"): ("GET", "POST"),
        ("account", "receipt_dialect"): sorted(known.dialects),
        ("account", "inbound_dialect"): sorted(known.inbound_dialects or known.dialects),
        ("account", "smpp_charset"): sorted(known.smpp_charsets),
        ("account", "smpp_ids"): ("decimal", "hex"),
        ("account", "priority"): [one.value for one in Priority],
        ("carrier", "bind"): ("transceiver", "transmitter", "receiver", "pair"),
        ("carrier", "uncertain"): [one.value for one in UncertainPolicy],
        ("route", "service"): [one.value for one in Service],
        ("number", "carrier"): sorted(carrier_names),
    }
    empty = {("route", "service"): "every service class", ("number", "carrier"): "any"}
    return [("", empty.get((what, key), "by default")), *((one, one) for one in words.get((what, key), ()))]


class Form(NamedTuple):
    """What a page with a form is: of which entry, and where it leads."""

    what: str
    name: str  # empty = a new one
    kind: str  # of a carrier
    controls: tuple[Control, ...]
    there: Wish | None
    seen: str
    known: Known
    carrier_names: tuple[str, ...]

    @property
    def title(self) -> str:
        return TITLES[self.what, bool(self.name)]

    def groups(self) -> dict[str, list[Control]]:
        found: dict[str, list[Control]] = {}
        for one in self.controls:
            found.setdefault(one.group, []).append(one)
        return found

    def choices(self, key: str) -> Choices:
        return choices_of(self.what, key, self.known, self.carrier_names)

    def has(self, key: str) -> bool:
        """Whether a secret is there already."""
        match self.there:
            case AccountWish(settings=settings):
                return key == "password" or bool(getattr(settings, STORED_SECRETS.get(key, ""), ""))
            case CarrierWish():
                return key == "password"
        return False

    def is_fixed(self, key: str) -> bool:
        return bool(self.name) and self.what in FIXED and key == "name"


TITLES = {
    ("account", True): "Change an account",
    ("account", False): "New account",
    ("carrier", True): "Change a carrier",
    ("carrier", False): "New carrier",
    ("route", True): "Change a route",
    ("route", False): "New route",
    ("number", True): "Change a number",
    ("number", False): "New number for rent",
}
ROOMS = {"account": "/accounts", "carrier": "/carriers", "route": "/routes", "number": "/numbers"}


def controls_of(what: str, kind: str, known: Known) -> tuple[Control, ...]:
    """Those whose keys an entry of this kind has."""
    keys = {
        "account": account_keys(known),
        "carrier": carrier_keys(known, kind),
        "route": ROUTE_KEYS,
        "number": NUMBER_KEYS,
    }[what]
    hidden = {"url", "login", "password"} if kind == "simulated" else set()
    return tuple(one for one in CONTROLS[what] if one.key in keys and one.key not in hidden)


def form_of(
    configured: Configured, known: Known, what: str, name: str, kind: str = "", only: frozenset[str] = frozenset()
) -> Form | None:
    """None where there is no such entry."""
    there = find(configured.file, what, name) if name else None
    if name and there is None:
        return None
    kind = there.kind if isinstance(there, CarrierWish) else kind
    controls = controls_of(what, kind, known)
    if there is not None:  # its money is paid in by hand
        controls = tuple(one for one in controls if one.key != "balance")
    return Form(
        what=what,
        name=name,
        kind=kind,
        controls=tuple(one for one in controls if not only or one.key in only),
        there=there,
        seen=mark_of(there) if there is not None else "",
        known=known,
        carrier_names=tuple(one.name for one in configured.file.carriers),
    )


# What stands in the fields


def shown_values(form: Form) -> dict[str, str]:
    """What the fields show at first: what is there, or what would be so by default."""
    wish = form.there or blank(form)
    table = table_of(wish, form.known, is_whole=True) if wish is not None else {}
    return {one.key: shown(one, table.get(one.key, "")) for one in form.controls if one.kind != "secret"}


def blank(form: Form) -> Wish | None:
    if form.what == "account":
        return AccountWish(name="", password=None, settings=AccountSettings())
    if form.what == "carrier" and form.kind != SMPP:
        return CarrierWish(name="", kind=form.kind, settings=CarrierSettings())
    return None


def shown(control: Control, value: object) -> str:
    if control.key == "options" and isinstance(value, dict):  # any of them may be a secret
        return "\n".join(value)
    if isinstance(value, dict):
        return "\n".join(f"{name} = {each}" for name, each in value.items())
    if isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, bool):
        return "1" if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def entry_of(panel: PanelRequest, form: Form) -> dict[str, Any]:
    """The entry that the fields say: what was not asked for stays as it is."""
    entry: dict[str, Any] = {}
    if form.there is not None:
        entry = table_of(form.there, form.known, is_whole=True)
        entry |= {key: None for key in ("password", *STORED_SECRETS) if form.has(key)}
        if isinstance(form.there, CarrierWish) and "options" in entry:
            entry["options"] = dict.fromkeys(form.there.settings.options)
        if form.what == "carrier" and form.kind == "simulated":
            entry.pop("password", None)
    elif form.what == "carrier":
        entry["kind"] = form.kind
    for control in form.controls:
        if form.is_fixed(control.key):
            continue
        entry.pop(control.key, None)
        value = READERS[control.kind](panel, control.key)
        if (
            control.kind == "secret"
            and not value
            and form.has(control.key)
            and not panel.is_ticked(f"end-{control.key}")
        ):
            value = None
        if value != "" or (form.kind == SMPP and control.key == "password"):  # some take none
            entry[control.key] = value
    return entry


def number_of(panel: PanelRequest, key: str) -> object:
    """A number where it is one; else the text, which is then refused with the right words."""
    written = panel.text(key)
    for read in (int, float):
        try:
            return read(written)
        except ValueError:
            continue
    return written


def list_of(panel: PanelRequest, key: str) -> list[str]:
    return [line.strip() for line in panel.text(key).splitlines() if line.strip()]


def lines_of(panel: PanelRequest, key: str) -> object:
    """`name = value` on each line; a name alone is None."""
    pairs = [line.partition("=") for line in panel.text(key).splitlines() if line.strip()]
    values = {name.strip(): value.strip() if equals else None for name, equals, value in pairs}
    return values or ""


READERS: Mapping[str, Callable[[PanelRequest, str], Any]] = {
    "text": lambda panel, key: panel.text(key),
    "money": lambda panel, key: panel.text(key),
    "choice": lambda panel, key: panel.text(key),
    "secret": lambda panel, key: panel.raw(key),
    "number": number_of,
    "list": list_of,
    "lines": lines_of,
    "tick": lambda panel, key: panel.is_ticked(key) or "",
}


# Pages


async def form_for(
    panel: PanelRequest, what: str, name: str, kind: str = "", only: frozenset[str] = frozenset()
) -> Form | None:
    """The form of an entry as it is configured now, of a new one without a name; None where there is no such entry."""
    versions = panel.desks.versions
    return form_of(await versions.configured(), versions.known, what, name, kind, only)


def form_page(
    panel: PanelRequest,
    form: Form,
    path: str,
    *,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    is_refilled: bool = False,
    notice: str = "",
) -> Response:
    values = shown_values(form)
    if is_refilled:
        values = {one.key: panel.raw(one.key) for one in form.controls if one.kind != "secret"} | {
            one.key: values.get(one.key, "") for one in form.controls if form.is_fixed(one.key)
        }
    told = {key: in_a_form(words) for key, words in (errors or {}).items()}
    keys = {one.key for one in form.controls}
    return panel.render(
        "editing_form.html",
        status,
        form=form,
        path=path,
        values=values,
        errors=told,
        elsewhere=[f"{key} {words}".strip() for key, words in told.items() if key not in keys],
        notice=notice,
        room=ROOMS[form.what],
    )


def in_a_form(words: str) -> str:
    """The gateway file's words, but nobody writes quotes into a field."""
    return words.replace(" in quotes", "").replace(", such as { GP =", ", such as GP =")


def confirm_page(
    panel: PanelRequest,
    title: str,
    changes: Sequence[Change],
    path: str,
    back: str,
    *,
    note: str = "",
    extra: Mapping[str, str] | None = None,
    is_remark_needed: bool = False,
) -> Response:
    """What would change, and a button that does it; it carries on what stood in the form, and `extra`."""
    left_out = NOT_FIELDS | (extra or {}).keys()
    kept = [(name, value) for name, value in panel.form.multi_items() if isinstance(value, str)]
    return panel.render(
        "editing_confirm.html",
        title=title,
        changes=changes,
        path=path,
        back=back,
        note=note,
        kept=[(name, value) for name, value in kept if name not in left_out] + list((extra or {}).items()),
        is_remark_needed=is_remark_needed,
        is_form=path.endswith("/edit"),
    )


def author_of(panel: PanelRequest) -> str:
    """What a version says of who made it."""
    account = panel.caller.account
    return panel.caller.name if account is None else f"{panel.caller.name}, of account {account.name}"


async def put(panel: PanelRequest, form: Form, path: str, back: str) -> Response:
    """A filled in form: its difference first, then, confirmed, what it says."""
    step = panel.text("step")
    if step == "back":
        return form_page(panel, form, path, is_refilled=True)
    entry = entry_of(panel, form)
    if form.what == "route":
        entry.setdefault("prefix", "")
    edit = Edit(what=form.what, name=form.name, entry=entry, seen=panel.text("seen"))
    try:
        if step != "do":
            changes = await panel.desks.versions.propose(edit)
            if not changes:
                return form_page(panel, form, path, is_refilled=True, notice=panel._("This would change nothing."))
            return confirm_page(panel, panel._(form.title), changes, path, back)
        is_own = panel.caller.account is not None
        await panel.desks.versions.carry_out(edit, author_of(panel), panel.text("remark"), is_own=is_own)
    except Overlapped as error:
        return overlapped_page(panel, form, path, error)
    except EditError as error:
        return form_page(panel, form, path, status=422, errors=error.errors, is_refilled=True)
    return panel.redirect(back, panel._("Saved."))


def overlapped_page(panel: PanelRequest, form: Form, path: str, error: Overlapped) -> Response:
    """Somebody was quicker: the form as it is now, with what they changed."""
    return form_page(panel, form, path, status=409, errors={"": str(error)})


async def remove(panel: PanelRequest, what: str, title: str, note: str = "") -> Response:
    """Remove the entry that the form names: shown first, then done."""
    name = panel.text("was") or panel.text("name")
    edit = Edit(what=what, name=name, seen=panel.text("seen"))
    back = ROOMS[what]
    try:
        if panel.text("step") != "do":
            changes = await panel.desks.versions.propose(edit)
            return confirm_page(panel, title, changes, f"{back}/remove", back, note=note)
        await panel.desks.versions.carry_out(edit, author_of(panel), panel.text("remark"))
    except EditError as error:
        status = 409 if isinstance(error, Overlapped) else 422
        return panel.fault(status, str(error))
    return panel.redirect(back, panel._("Removed."))


def edit_path(what: str, name: str) -> str:
    """Where an entry is changed, below /panel."""
    return f"{ROOMS[what]}/edit?{urlencode({'name': name}, quote_via=quote)}"
