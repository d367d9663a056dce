"""The panel's pages about the configuration over real sockets: a change is shown first; and who may change what."""

import html
import re
from pathlib import Path

import pytest

from chappe.capabilities import KNOWN
from chappe.core.people import Role
from chappe.gateway.gateway_file import NUMBER_KEYS, ROUTE_KEYS, account_keys, carrier_keys
from chappe.listeners.panel import editing
from chappe.store import schema
from listeners.browsing import Browser, account_id_of, make_user, text_of
from whole import Answer, apply, rows, run, serving, settings_in

EVIL = "<script>alert(1)</script>"
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[carrier]]
name = "fox"
kind = "smsfox"
url = "https://sms.example/api/"
login = "me"
password = "hidden-fox"
options = { sender = "hidden-option" }

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[route]]
prefix = "39"
service = "premium"
carriers = ["fox", "sim"]
price = "0.0500"

[[account]]
name = "alice"
password = "hidden-alice"
balance = "10.00"
receipt_url = "https://alice.example/receipts"

[[account]]
name = "bob"
password = "hidden-bob-too"
balance = "10.00"

[[number]]
number = "447700900100"
price = "1.50"
"""


def raw_of(page: Answer) -> str:
    return page.body.decode()


async def send(browser: Browser, path: str, fields: dict[str, str]) -> Answer:
    return await browser.post(path, None, **fields)


def fields_of(page: Answer) -> dict[str, str]:
    """What a browser would send of the page's main form, untouched."""
    text = raw_of(page)
    form = text[text.index('class="card"', text.index("<main")) :].partition("</form>")[0]
    fields: dict[str, str] = {}
    for found in re.finditer(r"<input\b([^>]*)>", form, re.S):
        words = dict(re.findall(r'([\w-]+)="([^"]*)"', found[1]))
        if words.get("type") == "checkbox" and "checked" not in found[1]:
            continue
        fields[words["name"]] = html.unescape(words.get("value", ""))
    for found in re.finditer(r'<textarea\b[^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.S):
        fields[found[1]] = html.unescape(found[2])
    for found in re.finditer(r'<select\b[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', found[2]) or re.search(r'value="([^"]*)"', found[2])
        fields[found[1]] = html.unescape(chosen[1]) if chosen else ""
    fields.pop("csrf", None)
    return fields


async def change(browser: Browser, path: str, edit_path: str, **changes: str) -> tuple[Answer, Answer | None]:
    """Fill in a form, look at the difference, confirm it."""
    form = fields_of(await browser.get(path)) | changes
    shown = await send(browser, edit_path, form)
    if shown.status != 200 or "Nothing is changed yet" not in text_of(shown):
        return shown, None
    return shown, await send(browser, edit_path, fields_of(shown) | {"step": "do", "remark": "because"})


@pytest.mark.parametrize("what", ["account", "carrier", "route", "number"])
def test_a_form_asks_for_every_key(what: str) -> None:
    """The forms and the gateway file have the same keys, for every kind of carrier."""
    kinds = sorted(KNOWN.kinds) if what == "carrier" else [""]
    for kind in kinds:
        keys = {
            "account": account_keys(KNOWN),
            "carrier": carrier_keys(KNOWN, kind),
            "route": ROUTE_KEYS,
            "number": NUMBER_KEYS,
        }[what]
        asked = {one.key for one in editing.controls_of(what, kind, KNOWN)}
        left_out = {"kind"} | ({"url", "login", "password"} if kind == "simulated" else set())
        assert asked == set(keys) - left_out & set(keys)


def test_a_change_is_shown_then_made_and_is_a_version(tmp_path: Path) -> None:
    """Form, difference, confirmation; then it is in force, and the version tells who and why; it can be rolled back."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            path = "/panel/routes/edit?name=everywhere"
            form = fields_of(await browser.get(path))
            assert (form["price"], form["carriers"], form["service"]) == ("0.0100", "sim", "")
            shown, done = await change(browser, path, "/panel/routes/edit", price="0.0200", carriers="fox\r\nsim")
            assert "price: 0.0100 -> 0.0200" in text_of(shown)
            assert "carriers: sim -> fox sim" in text_of(shown)
            assert done is not None
            assert (done.status, done.headers["location"]) == (303, "/panel/routes")
            assert "0.02" in text_of(await browser.get("/panel/routes"))
            listed = text_of(await browser.get("/panel/versions"))
            assert "olga" in listed
            assert "because" in listed
            version = text_of(await browser.get("/panel/versions/2"))
            assert "price: 0.0100 -> 0.0200" in version
            await browser.get("/panel/versions/1")
            proposed = await browser.post("/panel/versions/1/roll-back")
            assert "price: 0.0200 -> 0.0100" in text_of(proposed)
            assert "0.02" in text_of(await browser.get("/panel/routes"))
            await browser.post("/panel/versions/1/roll-back", step="do", remark="")  # not what a page has shown
            assert fields_of(await browser.get(path))["price"] == "0.0200"
            proposed = await browser.post("/panel/versions/1/roll-back")
            seen = fields_of(proposed)["seen"]
            await change(browser, path, "/panel/routes/edit", price="0.0300", carriers="fox\r\nsim")
            late = await browser.post("/panel/versions/1/roll-back", step="do", remark="", seen=seen)
            assert late.status == 409
            assert "price: 0.0300 -> 0.0100" in text_of(late)
            assert fields_of(await browser.get(path))["price"] == "0.0300"
            await browser.post("/panel/versions/1/roll-back", step="do", remark="", seen=fields_of(late)["seen"])
            assert 'name="price"' in text_of(await browser.get(path))
            assert fields_of(await browser.get(path))["price"] == "0.0100"

    run(story())


def test_what_is_wrong_stands_beside_its_field(tmp_path: Path) -> None:
    """The form comes back with what was typed, the words of the gateway file, and no password."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            wrong = {"window": "0", "login": EVIL, "url": "ftp://x", "password": "hidden-typed"}
            path = "/panel/carriers/edit?name=fox"
            answer, _ = await change(browser, path, "/panel/carriers/edit", **wrong)
            page = text_of(answer)
            assert answer.status == 422
            assert "must be a whole number from 1 to 1000" in page
            assert "must be a URL that begins with http:// or https://" in page
            assert page.count('aria-invalid="true"') == 2
            assert 'value="0"' in page
            assert EVIL not in raw_of(answer)
            assert html.escape(EVIL) in raw_of(answer)
            assert "hidden-" not in page
            form = fields_of(answer)
            assert (form["window"], form["login"], form["password"]) == ("0", EVIL, "")
            unknown = await browser.get("/panel/carriers/edit?name=nobody")
            assert unknown.status == 404

    run(story())


def test_secrets_are_only_written(tmp_path: Path) -> None:
    """No page shows a password or an option; an empty field leaves it, and one may be set anew."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OWNER)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            account_id = await account_id_of(app, "alice")
            for path in (
                "/panel/carriers",
                "/panel/carriers/edit?name=fox",
                "/panel/accounts/edit?name=alice",
                f"/panel/accounts/{account_id}",
            ):
                assert "hidden-" not in text_of(await browser.get(path)), path
            sealed = rows(settings_in(tmp_path), schema.carrier)[1]["password_sealed"]
            await change(browser, "/panel/carriers/edit?name=fox", "/panel/carriers/edit", window="7")
            row = rows(settings_in(tmp_path), schema.carrier)[1]
            assert row["password_sealed"] == sealed
            assert '"window":7' in row["settings"]
            assert "hidden-option" in row["settings"]
            await change(browser, "/panel/carriers/edit?name=fox", "/panel/carriers/edit", options="sender = other")
            assert "hidden-option" not in rows(settings_in(tmp_path), schema.carrier)[1]["settings"]
            moved, _ = await change(
                browser, "/panel/carriers/edit?name=fox", "/panel/carriers/edit", url="https://thief.example/"
            )
            assert "must be written again" in text_of(moved)

    run(story())


def test_two_who_edit_one_thing_are_told(tmp_path: Path) -> None:
    """Who confirms a form that somebody else has overtaken sees theirs, and overwrites nothing."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browsers = []
            for name in ("olga", "oleg"):
                await make_user(app, name, Role.OPERATOR)
                browser = Browser(app.http_port)
                await browser.log_in(name)
                browsers.append(browser)
            one, two = browsers
            path = "/panel/routes/edit?name=everywhere"
            form = fields_of(await two.get(path)) | {"price": "0.09"}
            shown = await send(two, "/panel/routes/edit", form)
            await change(one, path, "/panel/routes/edit", price="0.0300")
            late = await send(two, "/panel/routes/edit", fields_of(shown) | {"step": "do"})
            assert late.status == 409
            assert "somebody else changed" in text_of(late)
            assert fields_of(late)["price"] == "0.0300"

    run(story())


def test_an_account_is_made_paid_and_ended(tmp_path: Path) -> None:
    """With a new password shown once, money once however often the form is sent, and an end that keeps everything."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            name = "Кафе «Ü» & co"
            _, done = await change(
                browser, "/panel/accounts/edit", "/panel/accounts/edit", name=name, password="a password", balance="5"
            )
            assert done is not None
            assert name in text_of(await browser.get("/panel/accounts"))
            account_id = await account_id_of(app, name)
            page = f"/panel/accounts/{account_id}"
            await browser.get(page)
            shown = await browser.post(f"{page}/money", amount="2.50", way="in")
            assert "available: 5.00 -> 7.50 EUR" in text_of(shown)
            confirmed = fields_of(shown) | {"step": "do", "remark": "invoice 7"}
            for _ in range(2):
                assert (await send(browser, f"{page}/money", confirmed)).status == 303
            told = text_of(await browser.get(page))
            assert "7.50" in told
            assert told.count("invoice 7") == 1
            too_much = await browser.post(f"{page}/money", amount="100", way="back", step="do", remark="x")
            assert too_much.status == 422
            for wrong in ("", "-5", "0", "1e9", "9" * 40):
                assert (await browser.post(f"{page}/money", amount=wrong, way="in")).status == 422
            made = await browser.post(f"{page}/password", step="do", remark="lost")
            password = re.search(r'class="mono" readonly aria-label="New password" value="([^"]+)"', text_of(made))
            assert password is not None
            assert password[1] not in text_of(await browser.get(page))
            customer = Browser(app.http_port)
            assert (await customer.log_in(name, password[1])).headers["location"] == "/panel/"
            form = re.search(r'name="was" value="([^"]*)">\s*<input type="hidden" name="seen" value="(\w+)"', told)
            assert form is not None
            ended = await browser.post("/panel/accounts/remove", was=name, seen=form[2], step="do", remark="")
            assert ended.status == 303

    run(story())


def test_customers_change_what_is_theirs(tmp_path: Path) -> None:
    """Their own URLs, their subaccounts and credit to them; not their limit, nobody else's, and no configuration."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            alice, bob = await account_id_of(app, "alice"), await account_id_of(app, "bob")
            browser = Browser(app.http_port)
            await browser.log_in("alice", "hidden-alice")
            path = "/panel/accounts/edit?name=alice"
            form = fields_of(await browser.get(path))
            assert "receipt_url" in form
            assert not {"limit", "senders", "password", "name"} & form.keys()
            _, done = await change(
                browser, path, "/panel/accounts/edit", receipt_url="https://new.example/", limit="99"
            )
            assert done is not None
            row = next(one for one in rows(settings_in(tmp_path), schema.account) if one["name"] == "alice")
            assert "https://new.example/" in row["settings"]
            assert all(one["limit_micros"] == 0 for one in rows(settings_in(tmp_path), schema.balance))
            made = await browser.post(f"/panel/accounts/{alice}/subaccounts", name="shop")
            assert "It is not shown again" in text_of(made)
            shop = await account_id_of(app, "shop")
            credit = f"/panel/accounts/{alice}/subaccounts/{shop}/credit"
            shown = await browser.post(credit, amount="4", way="to")
            assert "available: 10.00 -> 6.00 EUR" in text_of(shown)
            for _ in range(2):  # moved once, however often it is asked for
                assert (await send(browser, credit, fields_of(shown) | {"step": "do"})).status == 303
            money = sorted(one["available_micros"] for one in rows(app.settings, schema.balance))
            assert 4_000_000 in money
            assert 6_000_000 in money
            assert (await browser.post(credit, amount="7", way="to", step="do")).status == 422
            renamed = await browser.post(f"/panel/accounts/{alice}/subaccounts/{shop}", name="shöp", is_active="1")
            assert renamed.status == 303
            assert "shöp" in text_of(await browser.get(f"/panel/accounts/{alice}"))
            for path in (f"/panel/accounts/{bob}", "/panel/accounts/edit?name=bob", "/panel/accounts/edit"):
                assert (await browser.get(path)).status == 404, path
            for path in (
                f"/panel/accounts/{bob}/password",
                f"/panel/accounts/{bob}/subaccounts",
                "/panel/accounts/edit",
            ):
                assert (await browser.post(path, was="bob", name="x", step="do")).status == 404, path
            for path in ("/panel/carriers", "/panel/routes", "/panel/versions", "/panel/carriers/edit"):
                assert (await browser.get(path)).status == 403, path
            assert (await browser.post(f"/panel/accounts/{alice}/money", amount="5", way="in")).status == 403

    run(story())


READING = ("carriers", "routes", "versions", "accounts", "numbers", "blacklist", "route-simulator?number=39333123")


def test_viewers_see_no_forms(tmp_path: Path) -> None:
    """They read all of it; nothing to send stands there, and what they send anyway is refused."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "vera", Role.VIEWER)
            browser = Browser(app.http_port)
            await browser.log_in("vera")
            alice = await account_id_of(app, "alice")
            for path in (*READING, "versions/1", f"accounts/{alice}", f"numbers?account={alice}"):
                answer = await browser.get(f"/panel/{path}")
                assert answer.status == 200, path
                main = text_of(answer).partition("<main")[2]
                assert 'method="post"' not in main, path
            for path in (
                "carriers/edit",
                "carriers/remove",
                "routes/edit",
                "accounts/edit",
                "versions/1/roll-back",
                f"accounts/{alice}/money",
                f"accounts/{alice}/password",
                "blacklist/add",
                "numbers/rent",
                "numbers/edit",
            ):
                assert (await browser.post(f"/panel/{path}", was="fox", step="do", name="x")).status == 403, path

    run(story())


def test_the_simulator_says_what_would_happen(tmp_path: Path) -> None:
    """Price, route, alphabet and why; a refusal is one, a blocked number is told, and nothing is sent."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            alice = await account_id_of(app, "alice")
            ask = f"/panel/route-simulator?account={alice}&text=Ciao%20%E2%82%AC%20%D1%8F&originator=ACME"
            page = text_of(await browser.get(f"{ask}&number=%2B39%20333%201234567&service=premium"))
            for words in ("It would be sent", "0.05", "UCS-2", "я", "fox", "taken", "IT"):
                assert words in page, words
            assert "It would be refused" in text_of(await browser.get(f"{ask}&number=12&service=premium"))
            assert (await browser.get(f"{ask}&number={'9' * 400}&service=nonsense")).status == 200
            await browser.get("/panel/blacklist")
            added = await browser.post(
                "/panel/blacklist/add", account=str(alice), numbers="+39 333 1234567\n447700900001"
            )
            assert added.status == 303
            assert "blacklist of the account" in text_of(await browser.get(f"{ask}&number=393331234567"))
            assert rows(settings_in(tmp_path), schema.message) == []

    run(story())


def test_the_blacklist_is_kept_by_hand(tmp_path: Path) -> None:
    """Numbers are put on, found and taken off; wrong ones are refused and stay in the form."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = Browser(app.http_port)
            await browser.log_in("alice", "hidden-alice")
            alice, bob = await account_id_of(app, "alice"), await account_id_of(app, "bob")
            wrong = await browser.post("/panel/blacklist/add", account=str(alice), numbers=f"nobody\n{EVIL}")
            assert wrong.status == 422
            assert html.escape(EVIL) in raw_of(wrong)
            assert EVIL not in raw_of(wrong)
            assert (await browser.post("/panel/blacklist/add", account=str(bob), numbers="447700900001")).status == 404
            await browser.post("/panel/blacklist/add", account=str(alice), numbers="447700900001, 447700900002")
            assert "447700900002" in text_of(await browser.get("/panel/blacklist"))
            found = text_of(await browser.get("/panel/blacklist?number=447700900001"))
            assert ("447700900001" in found, "447700900002" in found) == (True, False)
            await browser.post("/panel/blacklist/remove", account=str(alice), id="447700900001")
            assert "447700900001" not in text_of(await browser.get("/panel/blacklist"))

    run(story())


def test_a_sender_name_is_asked_for_and_approved(tmp_path: Path) -> None:
    """A customer asks, the operator approves, and the account may use it at once; strangers decide and see nothing."""

    async def story() -> None:
        world = WORLD.replace('balance = "10.00"', 'balance = "10.00"\nsenders = ["ACME"]')
        async with serving(settings_in(tmp_path), world) as app:
            await make_user(app, "olga", Role.OPERATOR)
            operator, browser, other = (Browser(app.http_port) for _ in range(3))
            await operator.log_in("olga")
            await browser.log_in("alice", "hidden-alice")
            await other.log_in("bob", "hidden-bob-too")
            wrong = await browser.post("/panel/senders", sender=EVIL)
            assert (wrong.status, EVIL in raw_of(wrong)) == (422, False)
            assert (await browser.post("/panel/senders", sender="SHOP 24")).status == 303
            [alias] = rows(settings_in(tmp_path), schema.alias)
            assert "SHOP 24" not in text_of(await other.get("/panel/senders"))
            assert (await other.post(f"/panel/senders/{alias['id']}/end")).status == 404
            assert (await browser.post(f"/panel/senders/{alias['id']}", decision="approve")).status == 403
            assert "SHOP 24" in text_of(await operator.get("/panel/senders"))
            assert (await operator.post("/panel/senders/77", decision="approve")).status == 404
            assert (await operator.post(f"/panel/senders/{alias['id']}", decision="maybe")).status == 422
            assert (await operator.post(f"/panel/senders/{alias['id']}", decision="approve")).status == 303
            assert app.desks.directory().accounts_by_name["alice"].senders == ("ACME", "SHOP 24")
            assert (await browser.post(f"/panel/senders/{alias['id']}/end")).status == 303

    run(story())


def test_numbers_are_lent_and_rented(tmp_path: Path) -> None:
    """An operator puts one into the pool, a customer rents it, says where its messages go, and gives it back."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            operator = Browser(app.http_port)
            await operator.log_in("olga")
            _, done = await change(operator, "/panel/numbers/edit", "/panel/numbers/edit", number="60600", price="2")
            assert done is not None
            assert "60600" in text_of(await operator.get("/panel/numbers"))
            alice = await account_id_of(app, "alice")
            browser = Browser(app.http_port)
            await browser.log_in("alice", "hidden-alice")
            assert "60600" in text_of(await browser.get("/panel/numbers"))
            assert (await browser.post("/panel/numbers/rent", account=str(alice), number="60600")).status == 303
            page = text_of(await browser.get("/panel/numbers"))
            assert "Give 60600 back" in page
            wrong = await browser.post("/panel/numbers/forward", account=str(alice), number="60600", url=EVIL)
            assert wrong.status == 422
            ways = {"account": str(alice), "number": "60600", "url": "https://alice.example/in"}
            await send(browser, "/panel/numbers/forward", ways)
            assert "https://alice.example/in" in text_of(await browser.get("/panel/numbers"))
            assert "alice" in text_of(await operator.get("/panel/numbers"))
            await browser.post("/panel/numbers/return", account=str(alice), number="60600")
            assert "Give 60600 back" not in text_of(await browser.get("/panel/numbers"))

    run(story())


def test_the_file_and_the_panel_are_two_hands(tmp_path: Path) -> None:
    """What the file says after an edit in the panel is a difference, and the version before it can be gone back to."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, WORLD) as app:
            await make_user(app, "olga", Role.OPERATOR)
            browser = Browser(app.http_port)
            await browser.log_in("olga")
            await change(browser, "/panel/routes/edit?name=everywhere", "/panel/routes/edit", price="0.0200")
            apply(settings, WORLD)
            listed = text_of(await browser.get("/panel/versions"))
            assert "apply world by" in listed
            assert fields_of(await browser.get("/panel/routes/edit?name=everywhere"))["price"] == "0.0100"

    run(story())
