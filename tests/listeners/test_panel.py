"""The panel's frame over real sockets: log-in, sessions, forms that only our pages can send, roles, one-time links."""

import asyncio
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from chappe.app import App
from chappe.cli.owner import invite_owner
from chappe.core.people import PERMISSIONS, Role
from chappe.dialects.base import HttpRequest
from chappe.gateway.people import ABSOLUTE_MS, IDLE_MS, is_alive
from chappe.listeners.panel import ROUTES
from chappe.listeners.panel.frame import POLICY, PanelRoute, csv_cell, safe_next
from chappe.store import schema
from chappe.store.database import Database
from chappe.store.people import PanelSession
from listeners.browsing import PASSWORD, Browser, account_id_of, make_user, text_of
from whole import ask, get, post, rows, run, serving, settings_in, wire

WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "alice has a password"
balance = "10.00"
timezone = "Europe/Rome"

[[account]]
name = "bob"
password = "bob has one too"
balance = "10.00"
"""


def test_whoever_logs_in_is_in(tmp_path: Path) -> None:
    """A page leads to log-in and, once somebody is in, to where they wanted to go."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            asked = await browser.get("/panel/users?x=1")
            assert (asked.status, asked.headers["location"]) == (303, "/panel/login?next=/users%3Fx%3D1")
            await browser.get("/panel/login?next=/users%3Fx%3D1")
            entered = await browser.post("/panel/login", name="olga", password=PASSWORD, next="/users?x=1")
            assert (entered.status, entered.headers["location"]) == (303, "/panel/users?x=1")
            page = await browser.get("/panel/users")
            assert page.status == 200
            assert 'aria-current="page"' in text_of(page)

    run(story())


@pytest.mark.parametrize("fronts", [0, 1])
def test_every_answer_is_guarded(tmp_path: Path, fronts: int) -> None:
    """Pages, faults and files all carry the policy that runs no script but our files, with front processes too."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, fronts=fronts), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            answers = [await browser.log_in("olga"), await browser.get("/panel/"), await browser.get("/panel/nowhere")]
            answers += [await browser.get("/panel/static/panel.css"), await browser.get("/panel/static/../frame.py")]
            answers += [await Browser(app.http_port).get("/panel/users"), await browser.post("/panel/users")]
            assert [one.status for one in answers] == [303, 200, 404, 200, 404, 303, 405]
            for one in answers:
                assert one.headers["content-security-policy"] == POLICY
                assert one.headers["x-content-type-options"] == "nosniff"
                assert one.headers["referrer-policy"] == "same-origin"
            assert "unsafe" not in POLICY
            page = text_of(answers[1])
            assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)

    run(story())


def test_people_are_led_to_the_panel(tmp_path: Path) -> None:
    """The root leads a browser to the panel, and tells a program that nothing is there."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            led = await Browser(app.http_port).get("/", accept="text/html,*/*")
            assert (led.status, led.headers["location"]) == (303, "/panel/")
            assert (await Browser(app.http_port).get("/")).status == 404
            assert (await Browser(app.http_port).get("/panel")).headers["location"] == "/panel/"

    run(story())


def test_the_cookie_is_kept_from_scripts_and_other_sites(tmp_path: Path) -> None:
    """The session's cookie is HttpOnly and SameSite, the database does not hold its key, log-in makes a new one."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            browser.cookies["chappe_session"] = "planted"
            answer = await browser.log_in("olga")
            said = answer.headers["set-cookie"]
            assert "HttpOnly" in said
            assert "samesite=lax" in said.lower()
            first = browser.cookies["chappe_session"]
            assert first not in ("planted", *(row["digest"] for row in rows(app.settings, schema.panel_session)))
            other = Browser(app.http_port)
            await other.log_in("olga")
            assert other.cookies["chappe_session"] != first

    run(story())


def test_behind_tls_the_cookie_never_travels_in_the_clear(tmp_path: Path) -> None:
    """Where people come over TLS, cookies are Secure and bear the prefix that no other site can set."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, public_url="https://sms.example"), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            answer = await browser.log_in("olga")
            assert "__Host-chappe_session" in browser.cookies
            assert "Secure" in answer.headers["set-cookie"]
            assert (await app.first_owner_link()) is None

    run(story())


def test_log_out_ends_the_session(tmp_path: Path) -> None:
    """After log-out the same cookie opens nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            kept = dict(browser.cookies)
            assert (await browser.post("/panel/logout")).status == 303
            browser.cookies = kept
            assert (await browser.get("/panel/")).headers["location"] == "/panel/login"

    run(story())


def test_a_new_password_ends_the_other_sessions(tmp_path: Path) -> None:
    """Whoever changes their password stays, is logged out everywhere else, and only the new password lets them in."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            here, there = Browser(app.http_port), Browser(app.http_port)
            await here.log_in("olga")
            await there.log_in("olga")
            wrong = await here.post("/panel/settings/password", old="wrong", password="x" * 8, again="x" * 8)
            differ = await here.post("/panel/settings/password", old=PASSWORD, password="x" * 8, again="y" * 8)
            short = await here.post("/panel/settings/password", old=PASSWORD, password="x", again="x")
            assert [one.status for one in (wrong, differ, short)] == [422, 422, 422]
            new = "пароль – caffe\u0300 密码"  # decomposed here, composed below: the same to whoever types it
            done = await here.post("/panel/settings/password", old=PASSWORD, password=new, again=new)
            assert done.status == 303
            assert (await here.get("/panel/")).status == 200
            assert (await there.get("/panel/")).status == 303
            assert (await Browser(app.http_port).log_in("olga")).status == 401
            assert (await Browser(app.http_port).log_in("olga", "пароль – caff\u00e8 密码")).status == 303

    run(story())


def test_sessions_end_by_themselves(tmp_path: Path) -> None:
    """A session is over twelve hours after its last use, and seven days after log-in however much it is used."""

    def session(made_ms: int, used_ms: int) -> PanelSession:
        return PanelSession(digest="d", user_id=1, account_id=0, mark="m", network="", made_ms=made_ms, used_ms=used_ms)

    assert is_alive(session(0, 0), IDLE_MS - 1)
    assert not is_alive(session(0, 0), IDLE_MS)
    assert is_alive(session(0, ABSOLUTE_MS - 2), ABSOLUTE_MS - 1)
    assert not is_alive(session(0, ABSOLUTE_MS - 2), ABSOLUTE_MS)


# What a request says of where it comes from, and whether it is believed.
ORIGINS: list[tuple[str, dict[str, str], bool]] = [
    ("nothing", {}, True),
    ("our own page", {"sec_fetch_site": "same-origin"}, True),
    ("our own page, by its origin", {"origin": "http://127.0.0.1"}, True),
    ("another site", {"sec_fetch_site": "cross-site"}, False),
    ("a sister site", {"sec_fetch_site": "same-site"}, False),
    ("another origin", {"origin": "https://evil.example"}, False),
    ("our host with another port", {"origin": "http://127.0.0.1:1"}, False),
    ("an origin that is hidden", {"origin": "null"}, False),
]


def test_only_our_own_pages_can_change_anything(tmp_path: Path) -> None:
    """A form that comes from elsewhere, even with the right token, changes nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            for name, headers, is_believed in ORIGINS:
                before = len(rows(app.settings, schema.invitation))
                answer = await browser.post(
                    "/panel/users/invite", headers, name="Mallory", role="owner", account_id="0"
                )
                assert (name, answer.status) == (name, 200 if is_believed else 403)
                assert len(rows(app.settings, schema.invitation)) - before == is_believed

    run(story())


def test_a_form_without_its_token_changes_nothing(tmp_path: Path) -> None:
    """Without the token of this very browser a form is refused, log-in's too."""
    paths = ("/panel/users/invite", "/panel/logout", "/panel/login", "/panel/settings/password", "/panel/theme")

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser, stranger = Browser(app.http_port), Browser(app.http_port)
            await browser.log_in("olga")
            await stranger.get("/panel/login")
            for token in ("", "0" * 32, stranger.token):
                for path in paths:
                    browser.token = token
                    fields = {"name": "olga", "password": PASSWORD, "role": "owner", "account_id": "0"}
                    assert (await browser.post(path, None, **fields)).status == 403
            stranger.cookies.clear()
            assert (await stranger.post("/panel/login", None, name="olga", password=PASSWORD)).status == 403
            assert rows(app.settings, schema.invitation) == []
            assert (await browser.get("/panel/")).status == 200

    run(story())


def test_whoever_guesses_is_slowed_down(tmp_path: Path) -> None:
    """After a few wrong passwords even the right one has to wait; other names do not."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            await make_user(app, "oleg", Role.OPERATOR)
            browser = Browser(app.http_port)
            tries = [(await browser.log_in("olga", "wrong")).status for _ in range(4)]
            assert tries == [401, 401, 401, 401]
            assert (await browser.log_in("olga")).status == 429
            assert (await browser.log_in("oleg")).status == 303
            unknown = [text_of(await browser.log_in("nobody", "wrong")) for _ in range(2)]
            assert all("Name or password is wrong." in one for one in unknown)

    run(story())


def test_an_account_logs_in_as_a_customer(tmp_path: Path) -> None:
    """An account comes in with its own name and password, is a customer, and sees nothing of the gateway's."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = Browser(app.http_port)
            assert (await browser.log_in("alice", "alice has a password")).status == 303
            page = text_of(await browser.get("/panel/"))
            assert "10.00" in page
            assert "Europe/Rome" in page
            assert "/panel/users" not in page
            assert (await browser.get("/panel/users")).status == 403
            assert (await Browser(app.http_port).log_in("alice", "bob has one too")).status == 401

    run(story())


def test_the_first_owner_comes_by_a_link_that_works_once(tmp_path: Path) -> None:
    """Each start gives a link while nobody is there; the first that is used makes an owner and all worthless."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            links = [await app.first_owner_link(), await app.first_owner_link()]
            assert all(links)
            paths = ["/panel/" + link.partition("/panel/")[2] for link in links if link]
            assert paths[0] != paths[1]
            browser = Browser(app.http_port)
            assert (await browser.get(paths[0])).status == 200
            short = await browser.post(paths[0], name="olga", password="short", again="short")
            assert short.status == 422
            made = await browser.post(paths[0], name="olga", password=PASSWORD, again=PASSWORD)
            assert (made.status, made.headers["location"]) == (303, "/panel/")
            assert (await browser.get("/panel/users")).status == 200
            for path in paths:
                late = Browser(app.http_port)
                assert (await late.get(path)).status == 404
                assert (await late.post(path, name="eve", password=PASSWORD, again=PASSWORD)).status == 404
            assert await app.first_owner_link() is None
            assert [row["name"] for row in rows(app.settings, schema.panel_user)] == ["olga"]

    run(story())


def test_whoever_runs_the_gateway_can_always_make_an_owner(tmp_path: Path) -> None:
    """`chappe owner` prints a link that works once, beside a running server and whoever is there already."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            link = await asyncio.to_thread(invite_owner, app.settings)
            browser, late = Browser(app.http_port), Browser(app.http_port)
            path = "/panel/" + link.partition("/panel/")[2]
            await browser.get(path)
            await late.get(path)
            assert (await browser.post(path, None, name="oleg", password=PASSWORD, again=PASSWORD)).status == 303
            assert (await browser.get("/panel/users")).status == 200
            assert (await late.post(path, None, name="eve", password=PASSWORD, again=PASSWORD)).status == 404

    run(story())


def test_an_owner_invites(tmp_path: Path) -> None:
    """An invitation makes a user with its role and account, once; withdrawn, it makes nobody."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            alice = str(await account_id_of(app, "alice"))
            owner = Browser(app.http_port)
            await owner.log_in("olga")
            wrong = await owner.post("/panel/users/invite", name="", role="customer", account_id="0")
            assert (wrong.status, "A customer needs an account" in text_of(wrong)) == (422, True)
            paths = []
            for name in ("<b>carla</b>", "zoe"):
                made = await owner.post("/panel/users/invite", name=name, role="customer", account_id=alice)
                found = re.search(r"http://127\.0\.0\.1(/panel/join/[\w-]+)", text_of(made))
                assert found is not None
                assert b"<b>carla" not in made.body
                paths.append(found[1])
            digest = next(one["digest"] for one in rows(app.settings, schema.invitation) if one["name"] == "zoe")
            await owner.post("/panel/users/withdraw", digest=digest)
            assert (await Browser(app.http_port).get(paths[1])).status == 404
            guest = Browser(app.http_port)
            assert (await guest.get(paths[0])).status == 200
            assert (await guest.post(paths[0], name="other", password=PASSWORD, again=PASSWORD)).status == 303
            assert (await guest.get("/panel/")).status == 200
            assert (await guest.get("/panel/users")).status == 403
            assert (await Browser(app.http_port).get(paths[0])).status == 404
            assert {row["name"] for row in rows(app.settings, schema.panel_user)} == {"olga", "<b>carla</b>"}

    run(story())


def test_the_last_owner_cannot_go(tmp_path: Path) -> None:
    """Neither another role nor being shut out is possible for the last owner; with a second one it is."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            demoted = await browser.post("/panel/users/1", role="operator", account_id="0", is_active="1")
            shut_out = await browser.post("/panel/users/1", role="owner", account_id="0")
            assert [demoted.status, shut_out.status] == [422, 422]
            assert "The last owner cannot go" in text_of(shut_out)
            await make_user(app, "oleg", Role.OWNER)
            second = Browser(app.http_port)
            await second.log_in("oleg")
            assert (await second.post("/panel/users/1", role="owner", account_id="0")).status == 303
            assert (await browser.get("/panel/")).status == 303  # out at once
            assert (await second.post("/panel/users/99", role="viewer", account_id="0")).status == 404

    run(story())


def test_a_browser_gets_a_language_that_there_is(tmp_path: Path) -> None:
    """The best of the languages that a browser accepts; English where we speak none; what was chosen goes first."""
    accepted = {
        "": "en",
        "de,fr;q=0.5": "en",
        "en-GB": "en",
        "*": "en",
        ";;q=,x;q=z": "en",
        "it-CH,ru;q=0.9": "it",
        "it;q=0.2,ru;q=0.9": "ru",
        "it;q=0": "en",
    }

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            for header, language in accepted.items():
                page = await browser.get("/panel/login", accept_language=header)
                assert (header, f'<html lang="{language}"' in text_of(page)) == (header, True)
            await browser.post("/panel/language", None, language="ru", next="/login")
            assert '<html lang="ru"' in text_of(await browser.get("/panel/login", accept_language="it"))
            await browser.post("/panel/language", None, language="xx", next="/login")
            assert '<html lang="ru"' in text_of(await browser.get("/panel/login"))
            await browser.log_in("olga")
            await browser.post("/panel/language", None, language="it", next="/")
            elsewhere = Browser(app.http_port)
            await elsewhere.log_in("olga")
            assert '<html lang="it"' in text_of(await elsewhere.get("/panel/"))

    run(story())


def test_a_theme_is_remembered(tmp_path: Path) -> None:
    """The colours that somebody chose are those of the next page; others than there are change nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = Browser(app.http_port)
            await browser.get("/panel/login")
            answer = await browser.post("/panel/theme", theme="dark", next="/login?next=/users")
            assert answer.headers["location"] == "/panel/login?next=/users"
            assert 'data-theme="dark"' in text_of(await browser.get("/panel/login"))
            away = await browser.post("/panel/theme", theme="'><script>", next="//evil.example")
            assert away.headers["location"] == "/panel/"
            assert 'data-theme="dark"' in text_of(await browser.get("/panel/login"))

    run(story())


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb", ""])
def test_log_in_leads_to_no_other_site(path: str) -> None:
    """Where to go after log-in is a path of ours."""
    assert safe_next(path) == "/"


# A cell's value, and how it is written.
CELLS = [
    ("plain", "plain"),
    ("=1+1", "'=1+1"),
    ("+39333", "'+39333"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "\"'\t'=1\""),
    ("\r=1", "\"'\r'=1\""),
    ("a;=1+1;b", '"a;\'=1+1;b"'),
    ('a; "@SUM(A1)', '"a; ""\'@SUM(A1)"'),
    ("a\n\n-1", '"a\n\n\'-1"'),
    ("1;2", '"1;2"'),
    ("a=1; b-2", '"a=1; b-2"'),
    (-5, "-5"),
    ('a "b", c', '"a ""b"", c"'),
    ("two\nlines", '"two\nlines"'),
    ("", ""),
    ("ciao 😀", "ciao 😀"),
]


@pytest.mark.parametrize("value, cell", CELLS)
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    """A text that a spreadsheet would calculate is marked as a text; numbers stay numbers."""
    assert csv_cell(value) == cell


def test_a_form_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """A page's form takes a megabyte, and says so where it is more."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = Browser(app.http_port)
            await browser.get("/panel/login")
            answer = await browser.post("/panel/login", name="x" * (1 << 20), password="x")
            assert answer.status == 413

    run(story())


def test_what_stands_beside_a_file_is_small(tmp_path: Path) -> None:
    """A page that takes a large file takes no large fields, which would be kept in memory."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            assert (await browser.post("/panel/send/file", name="x" * 70_000)).status == 413
            assert (
                await browser.post("/panel/send/file", None, **{f"x{each}": "" for each in range(60)})
            ).status == 413
            assert (await browser.post("/panel/send/file", name="x")).status == 422

    run(story())


def test_nobody_is_logged_out_by_a_database_that_is_away(tmp_path: Path) -> None:
    """While sessions cannot be read a page says so, rather than asking people to log in; then they go on."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            rename(app, "panel_session", "away")
            assert (await browser.get("/panel/messages")).status == 503
            assert (await browser.post("/panel/logout")).status == 503
            assert (await browser.get("/panel/login")).status == 200
            rename(app, "away", "panel_session")
            assert (await browser.get("/panel/messages")).status == 200

    run(story())


def rename(app: App, table: str, other: str) -> None:
    with Database(app.settings.database_url).engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {other}"))


def test_what_can_be_no_id_is_not_found(tmp_path: Path) -> None:
    """A number too large for any id in a path is a page that there is not, whatever was to be done there."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            for path in (
                "/users/{}",
                "/keys/{}/end",
                "/senders/{}/end",
                "/campaigns/{}/step",
                "/versions/{}/roll-back",
            ):
                answer = await browser.post("/panel" + path.format("9" * 40), role="owner", is_active="1")
                assert answer.status == 404, path

    run(story())


def test_an_application_of_smsend_gets_a_link_into_the_panel(tmp_path: Path) -> None:
    """The address that smsend's `dashboard` answers leads into the panel as that account; a wrong one to log-in."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            keys = await ask(
                app.http_port, get("/API/v1.0/REST/login", username="alice", password="alice has a password")
            )
            user_key, _, session_key = keys.body.decode().partition(";")
            answer = await ask(app.http_port, dashboard(user_key, session_key))
            assert answer.body.startswith(b"http://127.0.0.1/s/user/external-auth?k=")
            link = answer.body.decode().removeprefix("http://127.0.0.1")
            browser = Browser(app.http_port)
            assert (await browser.get(link)).headers["location"] == "/panel/"
            assert "alice" in text_of(await browser.get("/panel/settings"))
            stranger = Browser(app.http_port)
            assert (await stranger.get(link.replace("k=", "k=9"))).headers["location"] == "/panel/login"
            assert (await stranger.get("/panel/")).status == 303

    run(story())


def dashboard(user_key: str, session_key: str) -> bytes:
    headers = ((b"user_key", user_key.encode()), (b"Session_key", session_key.encode()))
    return wire(HttpRequest(method="GET", path="/API/v1.0/REST/dashboard", headers=headers))


# The roles


def path_of(route: PanelRoute) -> str:
    return "/panel" + re.sub(r"{\w+(:int)?}", lambda found: "987654321" if found[1] else "none", route.path)


def expected(route: PanelRoute, role: Role | None) -> str:
    if role is None:
        return "anything" if route.is_open else "log in"
    if route.permission is None or route.permission in PERMISSIONS[role]:
        return "anything"
    return "refused"


def seen(status: int, location: str) -> str:
    if status == 401 or (status == 303 and location.startswith("/panel/login")):
        return "log in"
    return "refused" if status == 403 else "broken" if status >= 500 else "anything"


@pytest.mark.parametrize("role", [*Role, None], ids=lambda role: role or "nobody")
def test_every_page_keeps_to_the_roles(tmp_path: Path, role: Role | None) -> None:
    """Each route of the panel is open to the roles whose permission it takes and to nobody else, and none breaks."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            alice = await account_id_of(app, "alice")
            if role is not None:
                await make_user(app, "somebody", role, alice if role is Role.CUSTOMER else 0)
            wrong = []
            browser = Browser(app.http_port)
            for route in ROUTES:
                if role is not None and (await browser.get("/panel/settings")).status != 200:
                    await browser.log_in("somebody")  # the last route ended the session
                elif role is None:
                    await browser.get("/panel/login")
                answer = await (browser.get if route.method == "GET" else browser.post)(path_of(route))
                found = seen(answer.status, answer.headers.get("location", ""))
                if route.path == "/login" or (route.path == "/logout" and role is not None):
                    found = "anything"  # they end where one logs in
                if found != expected(route, role):
                    wrong.append((route.method, route.path, answer.status, found))
            assert wrong == []

    run(story())


def test_no_dialect_loses_a_path_to_the_panel(tmp_path: Path) -> None:
    """What a dialect answers at stays the dialect's, and health and metrics stay where they are."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            sent = post("/en/api/", login="alice", pwd="alice has a password", phones="447700900123", msg="x")
            assert (await ask(app.http_port, sent)).body == b"01"
            assert (await ask(app.http_port, get("/healthz"))).body == b"ok\n"
            assert (await ask(app.http_port, get("/metrics"))).status == 200

    run(story())


EVERYBODYS = {"/", "/logout", "/settings", "/settings/password", "/settings/sessions"}  # of whoever is logged in
NOBODYS = {"/login", "/join/{key}", "/theme", "/language"}  # of whoever comes
THE_GATEWAYS = ("/carriers", "/routes", "/versions", "/users")


def test_what_is_the_gateways_is_not_its_customers() -> None:
    """What is the gateway's takes permissions that no customer has; few pages take none; viewers change nothing."""
    assert {route.path for route in ROUTES if route.is_open} == NOBODYS
    assert {route.path for route in ROUTES if route.permission is None} == EVERYBODYS | NOBODYS
    theirs = [route for route in ROUTES if f"/{route.path.split('/')[1]}" in THE_GATEWAYS]
    assert theirs
    assert [route.path for route in theirs if route.permission in PERMISSIONS[Role.CUSTOMER]] == []
    watched = [route for route in ROUTES if route.method == "POST" and route.permission in PERMISSIONS[Role.VIEWER]]
    assert watched == []
