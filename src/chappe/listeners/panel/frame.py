"""What every page of the panel stands in: who may open it, what it is handed, and how its answer is made.

A page is a `PanelRoute`: a path, a function, the permission it takes. `Panel` finds the session of whoever asks, checks
the permission and, where something is to be changed, that the request comes from one of our own pages; then it hands
the function a `PanelRequest`. All headers that keep a browser from doing harm are set here, on every answer.

Pages work without JavaScript: forms and links. htmx, where it is installed, only makes them live.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from chappe.core.centre import Refused
from chappe.core.ids import ID_MAX
from chappe.core.model import Secret
from chappe.core.people import Caller, Permission
from chappe.gateway.desks import Desks, Unavailable
from chappe.gateway.people import Person
from chappe.gateway.secrets import is_same
from chappe.listeners.panel import formats
from chappe.listeners.panel.words import Languages, Words

log = structlog.get_logger()

ROOT = "/panel"
FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
FORM_BODY_MAX = 1 << 20  # bytes, of a page's form
FIELDS_MAX = 2_000
FILE_FIELDS_MAX, FILE_FIELD_MAX = 50, 1 << 16  # what stands beside a file: that many fields, of so many bytes
SESSION_COOKIE, VISIT_COOKIE, FLASH_COOKIE = "chappe_session", "chappe_visit", "chappe_flash"
THEME_COOKIE, LANGUAGE_COOKIE = "chappe_theme", "chappe_language"
THEMES = ("auto", "light", "dark")
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
FLASH_MAX = 400  # characters
BAD_NEWS = "!"  # how a flash begins that tells what was not done
YEAR_S = 365 * 86_400
FLASH_S = 60
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
NEEDS_QUOTES = re.compile('[,;"\r\n\t]|^ | $')
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
# Where a spreadsheet that parts cells by semicolons or tabs, as most of Europe's do, sees one begin inside of ours.
FORMULA_INSIDE = re.compile(r"([;\t\r\n][\s\"]*)(?=[=+\-@])")


class PanelRoute(NamedTuple):
    """One page, or one thing that can be done."""

    path: str  # below /panel, such as "/messages/{message_id:int}"
    answer: Callable[["PanelRequest"], Awaitable[Response]]
    permission: Permission | None  # None = whoever is logged in
    method: str = "GET"
    title: str = ""  # of its entry in the navigation; empty = it has none
    group: str = ""  # of the navigation
    body_max: int = FORM_BODY_MAX  # bytes; what is larger is a file, and is kept on disk while it is read
    is_open: bool = False  # also for whoever is not logged in


class NavigationEntry(NamedTuple):
    path: str
    title: str
    is_current: bool


class Invalid(Exception):
    """A form was filled in wrongly: what is wrong, by field ("" = with the whole)."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


class PanelRequest:
    """What a page is handed. `caller` is there unless the route is open; `form` is empty on GET."""

    def __init__(
        self, panel: "Panel", route: PanelRoute | None, request: Request, person: Person | None, words: Words
    ) -> None:
        self._panel = panel
        self._route = route
        self._cookies: list[dict[str, Any]] = []
        self.request = request
        self.person = person
        self.words = words
        self.is_unread = False  # who they are could not be looked up
        self.form = FormData()
        self.visit = request.cookies.get(panel.cookie_name(VISIT_COOKIE, request), "")

    @property
    def desks(self) -> Desks:
        return self._panel.desks

    @property
    def caller(self) -> Caller:
        assert self.person is not None
        return self.person.caller

    @property
    def language(self) -> str:
        return self.words.language

    @property
    def _(self) -> Callable[[str], str]:
        """Translates a sentence of ours."""
        return self.words.gettext

    @property
    def zone(self) -> ZoneInfo:
        """In which times are shown: the account's; UTC for whoever runs the gateway."""
        account = self.person.caller.account if self.person is not None else None
        try:
            return ZoneInfo(account.timezone if account is not None else "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def path(self) -> str:
        """Of the page, below /panel."""
        return self.request.url.path.removeprefix(ROOT)

    @property
    def here(self) -> str:
        """This page with its query, below /panel, to come back to; the overview after a change."""
        if self.request.method != "GET" or self._route is None:
            return "/"
        return self.path + (f"?{self.request.url.query}" if self.request.url.query else "")

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a piece of the page rather than the whole."""
        return self.request.headers.get("hx-request") == "true" and "hx-boosted" not in self.request.headers

    @property
    def origin(self) -> str:
        """Scheme and host under which people reach the panel."""
        return self._panel.public_url or f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"

    @property
    def session_cookie(self) -> str:
        return self._panel.cookie_name(SESSION_COOKIE, self.request)

    @property
    def languages(self) -> Mapping[str, str]:
        """Those there are, by their codes, in their own words."""
        return self._panel.languages.names

    @property
    def theme(self) -> str:
        theme = self.request.cookies.get(THEME_COOKIE, "auto")
        return theme if theme in THEMES else "auto"

    @property
    def csrf(self) -> str:
        """What a form must carry: only a page that we made for this browser knows it."""
        secret = self.person.session.digest if self.person is not None else self._visit()
        return token_of(secret)

    def _visit(self) -> str:
        if not self.visit:
            self.visit = secrets.token_urlsafe(32)
            self.set_cookie(self._panel.cookie_name(VISIT_COOKIE, self.request), self.visit)
        return self.visit

    # What comes in

    def text(self, name: str, default: str = "") -> str:
        """A field of the form, without blanks at its ends."""
        value = self.form.get(name, default)
        return default if isinstance(value, UploadFile) else str(value).strip()

    def raw(self, name: str) -> str:
        """A field of the form as it was typed (passwords, texts)."""
        value = self.form.get(name, "")
        return "" if isinstance(value, UploadFile) else str(value)

    def texts(self, name: str) -> list[str]:
        """Every value of a field, such as ticked boxes."""
        return [str(value) for value in self.form.getlist(name) if not isinstance(value, UploadFile)]

    def is_ticked(self, name: str) -> bool:
        return bool(self.text(name))

    def file(self, name: str) -> UploadFile | None:
        """A file that was chosen; None where none was."""
        value = self.form.get(name)
        return value if isinstance(value, UploadFile) and value.filename else None

    def number(self, name: str, default: int = 0) -> int:
        """A whole number from the query; the default where it is none or too large to be an id."""
        found = whole_number(self.request.query_params.get(name, ""))
        return default if found is None else found

    # What goes out

    def set_cookie(self, name: str, value: str, *, max_age_s: int | None = None) -> None:
        """Set a cookie on the answer that this request will get. `max_age_s` 0 takes it away."""
        self._cookies.append({"key": name, "value": value, "max_age": max_age_s})

    def render(self, template: str, status: int = 200, **context: object) -> Response:
        """A page out of a template."""
        flash_name = FLASH_COOKIE
        flash = unquote(self.request.cookies.get(flash_name, ""))[:FLASH_MAX]
        if flash:
            self.set_cookie(flash_name, "", max_age_s=0)
        values: dict[str, object] = {
            "panel": self,
            "caller": self.person.caller if self.person is not None else None,
            "csrf_token": self.csrf,
            "flash": flash.removeprefix(BAD_NEWS),
            "is_bad_news": flash.startswith(BAD_NEWS),
            "theme": self.theme,
            "language": self.language,
            "languages": self._panel.languages.names,
            "navigation": self._panel.navigation(self),
            "is_demo": self.desks.is_demo,
            "has_htmx": self._panel.has_htmx,
            "errors": {},
            **context,
        }
        page = self._panel.template(self.language, template).render(values)
        return self.finish(HTMLResponse(page, status_code=status))

    def redirect(self, path: str, flash: str = "", *, is_bad_news: bool = False) -> Response:
        """On to another page (303); `flash` is shown on it once."""
        if flash:
            said = (BAD_NEWS if is_bad_news else "") + flash
            self.set_cookie(FLASH_COOKIE, quote(said[:FLASH_MAX]), max_age_s=FLASH_S)
        return self.finish(RedirectResponse(ROOT + path, 303))

    def refused(self, refused: Refused) -> str:
        """A refusal as a sentence for people."""
        said = self._(refused.detail) if refused.detail else self._(refused.reason.value.replace("_", " "))
        return said[:1].upper() + said[1:] + "."

    def not_found(self) -> Response:
        """There is no such thing, or they may not know of it."""
        return self.fault(404)

    def fault(self, status: int, detail: str = "") -> Response:
        """A page that says what went wrong."""
        return self.render("fault.html", status, fault=status, detail=detail)

    def csv(self, filename: str, rows: AsyncIterator[Iterable[object]]) -> Response:
        """Rows as a file to download, written while they are read."""
        return self.finish(csv_response(filename, rows))

    def finish(self, response: Response) -> Response:
        """Give an answer its cookies."""
        is_secure = self._panel.is_secure(self.request)
        for cookie in self._cookies:
            response.set_cookie(**cookie, path="/", httponly=True, secure=is_secure, samesite="lax")
        self._cookies.clear()
        return response

    def url(self, **changes: object) -> str:
        """This page with some of its query changed; an empty value leaves a field out."""
        values = {**dict(self.request.query_params), **{name: str(value) for name, value in changes.items()}}
        kept = {name: value for name, value in values.items() if value not in ("", "None")}
        return ROOT + self.path + ("?" + urlencode(kept) if kept else "")


class Panel:
    """All pages together. `public_url` is where people reach them, if that is not what their browser says."""

    def __init__(self, desks: Desks, routes: Iterable[PanelRoute], *, public_url: str = "") -> None:
        self.desks = desks
        self.panel_routes = tuple(routes)
        self.languages = Languages.load(FOLDER / "locale")
        self.has_htmx = (STATIC / "htmx.min.js").is_file()
        self.public_url = public_url.rstrip("/")
        self._versions = {path.name: digest_of(path) for path in STATIC.iterdir() if path.is_file()}
        self._environments = {words.language: self._environment(words) for words in self.languages}

    def _environment(self, words: Words) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"_": words.gettext, "ngettext": words.ngettext, "static": self.static_url}
        environment.filters |= formats.filters(words)
        return environment

    def template(self, language: str, name: str) -> Any:
        return self._environments[language].get_template(name)

    def static_url(self, name: str) -> str:
        """A file of ours under an address that changes with it."""
        return f"{ROOT}/static/{name}?v={self._versions.get(name, '')}"

    def routes(self) -> list[BaseRoute]:
        """For Starlette."""
        return [Route(ROOT + route.path, self.endpoint(route), methods=[route.method]) for route in self.panel_routes]

    def endpoint(self, route: PanelRoute) -> Callable[[Request], Awaitable[Response]]:
        """What answers at a route."""

        async def endpoint(request: Request) -> Response:
            return await self._answer(route, request)

        return endpoint

    async def _answer(self, route: PanelRoute, request: Request) -> Response:
        asked = await self._asked(route, request)
        try:
            refusal = await self._refuse(route, asked)
            return asked.finish(refusal if refusal is not None else await route.answer(asked))
        except Invalid as invalid:
            return asked.fault(422, str(invalid))
        except Unavailable as error:
            log.warning("panel_store_failed", path=route.path, error=type(error).__name__)
            return asked.fault(503)
        except HTTPException as error:
            return asked.fault(error.status_code, str(error.detail))
        except Exception:
            log.exception("panel_broke", path=route.path, method=route.method)
            return asked.fault(500)
        finally:
            await asked.form.close()

    async def _asked(self, route: PanelRoute | None, request: Request) -> PanelRequest:
        key = request.cookies.get(self.cookie_name(SESSION_COOKIE, request), "")
        person, is_unread = None, False
        if key and len(key) <= 100:
            try:
                person = await self.desks.people.find(Secret(key))
            except Unavailable:
                log.warning("panel_session_unread")
                is_unread = True
        asked = PanelRequest(self, route, request, person, self._words(request, person))
        asked.is_unread = is_unread
        return asked

    def _words(self, request: Request, person: Person | None) -> Words:
        wanted = (
            person.language if person is not None else "",
            request.cookies.get(LANGUAGE_COOKIE, ""),
        )
        return self.languages.choose(wanted, request.headers.get("accept-language", ""))

    async def _refuse(self, route: PanelRoute, asked: PanelRequest) -> Response | None:
        """What stands against it: they are nobody, may not, or the form is none of ours. Reads the form."""
        if asked.is_unread and not route.is_open:
            return asked.fault(503)
        if asked.person is None and not route.is_open:
            if route.method == "GET":
                return self._to_log_in(asked)
            return asked.fault(401)
        if route.permission is not None and not asked.caller.may(route.permission):
            return asked.fault(403)
        if any(isinstance(one, int) and one > ID_MAX for one in asked.request.path_params.values()):
            return asked.not_found()
        if route.method == "GET":
            return None
        if not is_same_origin(asked.request, self.public_url):
            return asked.fault(403, asked._("The request came from another site."))
        if not await self._read_form(route, asked):
            return asked.fault(413)
        given = asked.text(CSRF_FIELD) or asked.request.headers.get(CSRF_HEADER, "")
        if not is_same(given, asked.csrf):
            return asked.fault(403, asked._("The form is too old. Load its page again, then send it once more."))
        return None

    def _to_log_in(self, asked: PanelRequest) -> Response:
        if asked.is_partial:  # htmx is to load the whole page, which then leads to log in
            return asked.finish(Response(status_code=401, headers={"hx-refresh": "true"}))
        after = asked.path + (f"?{asked.request.url.query}" if asked.request.url.query else "")
        return asked.redirect("/login" + (f"?next={quote(after)}" if after not in ("", "/") else ""))

    async def _read_form(self, route: PanelRoute, asked: PanelRequest) -> bool:
        """Read the form; False where it is too large."""
        request = asked.request
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > route.body_max:
            return False
        limited = limit(request, route.body_max)
        is_file = route.body_max > FORM_BODY_MAX  # only a file may be so large: fields are kept in memory
        fields_max, field_max = (FILE_FIELDS_MAX, FILE_FIELD_MAX) if is_file else (FIELDS_MAX, FORM_BODY_MAX)
        try:
            asked.form = await limited.form(max_files=4, max_fields=fields_max, max_part_size=field_max)
        except TooLarge:
            return False
        except (MultiPartException, HTTPException):
            return False
        return True

    def navigation(self, asked: PanelRequest) -> dict[str, list[NavigationEntry]]:
        """What they may open, by group, in the order of the routes."""
        if asked.person is None:
            return {}
        groups: dict[str, list[NavigationEntry]] = {}
        for route in self.panel_routes:
            if route.title and (route.permission is None or asked.caller.may(route.permission)):
                entry = NavigationEntry(ROOT + route.path, asked._(route.title), is_below(asked.path, route.path))
                groups.setdefault(asked._(route.group) if route.group else "", []).append(entry)
        return groups

    async def fault(self, request: Request, status: int) -> Response:
        """A fault of a path that is no page's."""
        asked = await self._asked(None, request)
        return asked.finish(asked.fault(status))

    def is_secure(self, request: Request) -> bool:
        return request.url.scheme == "https" or self.public_url.startswith("https:")

    def cookie_name(self, name: str, request: Request) -> str:
        """Over TLS with a prefix that no other site below the same domain can set."""
        return f"__Host-{name}" if self.is_secure(request) else name


class TooLarge(Exception):
    """A body is larger than its page takes."""


def limit(request: Request, body_max: int) -> Request:
    """The request, whose body ends in TooLarge where it grows too large."""
    receive, size = request.receive, 0

    async def counted() -> Any:
        nonlocal size
        event = await receive()
        size += len(event.get("body", b""))
        if size > body_max:
            raise TooLarge
        return event

    return Request(request.scope, counted)


def is_same_origin(request: Request, public_url: str) -> bool:
    """Whether a browser sent this from one of our own pages, as far as it says. Whoever says nothing still needs the
    form's token, which other sites cannot read."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc in (request.headers.get("host", ""), urlsplit(public_url).netloc or None)


def token_of(secret: str) -> str:
    """A form's token out of what only this browser's session has."""
    return hashlib.blake2b(secret.encode(), digest_size=16, person=b"chappe-csrf").hexdigest()


def is_below(path: str, entry: str) -> bool:
    return path.rstrip("/") == entry.rstrip("/") or (entry != "/" and path.startswith(entry.rstrip("/") + "/"))


def digest_of(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()


def safe_next(path: str) -> str:
    """Where to go after log-in: a path below /panel, never another site."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(each) < 32 for each in path):
        return "/"
    return path


# Files to download


def csv_response(filename: str, rows: AsyncIterator[Iterable[object]]) -> StreamingResponse:
    """Rows as CSV, in UTF-8 with its mark, for that is how spreadsheets know it; ASCII file names only."""

    async def pieces() -> AsyncIterator[bytes]:
        begin, lines, size = b"\xef\xbb\xbf", list[str](), 0
        async for row in rows:
            line = csv_line(row)
            lines.append(line)
            size += len(line)
            if size >= 1 << 16:
                yield begin + "".join(lines).encode("utf-8", "replace")
                begin, lines, size = b"", [], 0
        yield begin + "".join(lines).encode("utf-8", "replace")

    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=headers)


def csv_line(row: Iterable[object]) -> str:
    return ",".join(map(csv_cell, row)) + "\r\n"


def csv_cell(value: object) -> str:
    """A cell. What a spreadsheet would take for a formula gets an apostrophe in front, also within a text where its
    cells end elsewhere than ours; numbers stay."""
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if text.startswith(FORMULA_BEGINS):
        text = "'" + text
    text = FORMULA_INSIDE.sub(r"\1'", text)
    if NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def whole_number(written: str) -> int | None:
    """A number that may be an id; None for what is none or too large."""
    return int(written) if written.isascii() and written.isdigit() and len(written) <= 18 else None


def query_of(text: str) -> dict[str, str]:
    return dict(parse_qsl(text))
