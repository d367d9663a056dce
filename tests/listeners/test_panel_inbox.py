"""The inbox of the panel: phones and their conversations, played by whoever may, seen by nobody else."""

import re
from pathlib import Path

import pytest

from chappe.app import App
from chappe.core.fates import NAMED
from chappe.core.people import EVERYTHING, Role
from chappe.listeners.panel.inbox import FATE_TITLES, name_of_fate
from listeners.browsing import Browser, account_id_of, make_user
from whole import Answer, ask, eventually, get, run, serving, settings_in

PHONE, NUMBER = "447700900123", "447700900100"
SCRIPT = "Your code is 4821 <script>alert(1)</script>"
WORLD = f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.01"

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"
numbers = ["{NUMBER}"]

[[account]]
name = "bob"
password = "battery staple"
balance = "10.00"
numbers = ["447700900200"]
"""


async def send(app: App, msg: str, phone: str = PHONE, login: str = "alice", pwd: str = "correct horse") -> None:
    answer = await ask(app.http_port, get("/en/api/", login=login, pwd=pwd, phones=phone, msg=msg, sender=NUMBER))
    assert answer.body == b"01"


async def person(app: App, role: Role, account: str = "") -> Browser:
    browser = Browser(app.http_port)
    name = f"{role.value} {account}".strip()
    await make_user(app, name, role, await account_id_of(app, account) if account else 0)
    await browser.log_in(name)
    return browser


def text_of(answer: Answer) -> str:
    """A page as it is written, escapes and all."""
    return answer.body.decode()


def bubbles(page: str) -> list[str]:
    """The texts of a conversation, without markup."""
    return [re.sub("<[^>]*>", "", one) for one in re.findall(r'<p class="said">(.*?)</p>', page, re.S)]


def test_phones_and_conversations_are_shown(tmp_path: Path) -> None:
    """What was sent to a phone and written by it stands in its conversation, codes marked, markup shown as text."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            browser = await person(app, Role.OWNER)
            empty = text_of(await browser.get("/panel/inbox"))
            assert "No phone has got a message yet" in empty
            assert len(re.findall("<pre[^>]*>curl ", empty)) == 6
            await send(app, SCRIPT)
            await send(app, "Hello", phone="447700909001")
            assert PHONE in text_of(await browser.get("/panel/inbox"))
            page = text_of(await browser.get(f"/panel/inbox/{PHONE}"))
            assert bubbles(page) == ["Your code is 4821 &lt;script&gt;alert(1)&lt;/script&gt;"]
            assert '<mark class="code">4821</mark>' in page
            assert 'data-copy="4821"' in page
            assert "<script>alert" not in page
            assert "pwd=***" in page
            assert "horse" not in page

            async def has_failed() -> bool:
                return "undeliverable" in text_of(await browser.get("/panel/inbox/447700909001"))

            await eventually(has_failed)

    run(story())


def test_a_phone_is_played(tmp_path: Path) -> None:
    """Whoever may answers as the phone and chooses what the next message comes to; the page shows both."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await person(app, Role.OPERATOR)
            await send(app, "First")
            await browser.get(f"/panel/inbox/{PHONE}")
            answered = await browser.post(f"/panel/inbox/{PHONE}", to=NUMBER, text="Sì, grazie\r\n<b>🙂</b>")
            assert answered.status == 303
            chosen = await browser.post(f"/panel/inbox/{PHONE}/fate", fate="expired")
            assert chosen.headers["location"] == f"/panel/inbox/{PHONE}"
            page = text_of(await browser.get(f"/panel/inbox/{PHONE}"))
            assert bubbles(page) == ["First", "Sì, grazie\n&lt;b&gt;🙂&lt;/b&gt;"]
            assert "The next message to this phone:" in page
            await send(app, "Second")

            async def has_expired() -> bool:
                page = text_of(await browser.get(f"/panel/inbox/{PHONE}"))
                return 'class="state expired"' in page and "The next message to this phone:" not in page

            await eventually(has_expired)
            new = await browser.post("/panel/inbox", phone="+447700900777", to=NUMBER, text="I am new")
            assert new.headers["location"] == "/panel/inbox/447700900777"
            for wrong in ({"fate": "lost"}, {"fate": "late", "late_s": "999999999"}, {"fate": ""}):
                await browser.post(f"/panel/inbox/{PHONE}/fate", {}, **wrong)
                assert 'class="notice' in text_of(await browser.get(f"/panel/inbox/{PHONE}"))
            assert app.desks.simulator.waiting_fates(await account_id_of(app, "alice"), PHONE) == ()
            refused = await browser.post(f"/panel/inbox/{PHONE}", to="123", text="Hello")
            assert refused.status == 303
            told = text_of(await browser.get(f"/panel/inbox/{PHONE}"))
            assert re.search(r'<p class="notice bad" role="alert">[^!<]*was not taken', told)

    run(story())


def test_others_conversations_do_not_exist(tmp_path: Path) -> None:
    """A customer sees the phones of its own messages, plays none, and finds nothing of others: not even requests."""

    async def story() -> None:
        async with serving(settings_in(tmp_path, keep_requests=1), WORLD) as app:
            await send(app, "For alice")
            await send(app, "For bob", phone="447700900456", login="bob", pwd="battery staple")
            bob = await person(app, Role.CUSTOMER, "bob")
            listed = text_of(await bob.get("/panel/inbox"))
            assert "447700900456" in listed
            assert PHONE not in listed
            assert (await bob.get(f"/panel/inbox/{PHONE}")).status == 404
            own = text_of(await bob.get("/panel/inbox/447700900456"))
            assert "Answer as the phone" not in own
            assert (await bob.post("/panel/inbox/447700900456", to="447700900200", text="x")).status in (403, 404)
            assert (await bob.post("/panel/inbox/447700900456/fate", fate="expired")).status in (403, 404)
            requests = text_of(await bob.get("/panel/requests"))
            assert "For+bob" in requests
            assert "alice" not in requests
            [alices] = [one for one in await app.desks.requests.latest(EVERYTHING) if "alice" in one.target]
            assert "alice" not in text_of(await bob.get(f"/panel/requests?submission={alices.submission_id}"))
            assert (await Browser(app.http_port).get(f"/panel/inbox/{PHONE}")).status == 303

    run(story())


def test_a_conversation_is_only_sent_anew_where_it_changed(tmp_path: Path) -> None:
    """Asked for news, the page answers with nothing until there is some, then with the conversation alone."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await person(app, Role.OWNER)
            await send(app, "First", phone="447700909009")

            async def is_sent() -> bool:
                return 'class="state sent"' in text_of(await browser.get("/panel/inbox/447700909009"))

            await eventually(is_sent)
            page = text_of(await browser.get("/panel/inbox/447700909009"))
            for path in re.findall(r'hx-get="([^"]+)"', page):
                path = path.replace("&amp;", "&")
                assert (await browser.get(path, hx_request="true")).status == 204, path
            await send(app, "Second", phone="447700909009")
            [news] = re.findall(r'hx-get="(/panel/inbox/[^"]+)"', page)
            answer = await browser.get(news, hx_request="true")
            assert bubbles(text_of(answer)) == ["First", "Second"]
            assert "<html" not in text_of(answer)

    run(story())


@pytest.mark.parametrize("phone", ["447700900999", "x" * 300, "%3Cscript%3E", "..%2f..", "%00", "requests"])
def test_a_phone_that_is_none_is_not_found(tmp_path: Path, phone: str) -> None:
    """A number that nothing was sent to, and what is no number, has no conversation."""

    async def story() -> None:
        async with serving(settings_in(tmp_path), WORLD) as app:
            browser = await person(app, Role.OWNER)
            assert (await browser.get(f"/panel/inbox/{phone}")).status == 404

    run(story())


def test_every_fate_can_be_chosen() -> None:
    """The list of fates has a title for each that there is, and a chosen one is called by it."""
    assert list(FATE_TITLES) == list(NAMED)
    assert [name_of_fate(fate) for fate in NAMED.values()] == list(NAMED)
    assert name_of_fate(NAMED["late"]._replace(delay_s=5)) == "late"
