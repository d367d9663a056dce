"""The panel in a real browser: every page, light and dark, wide and narrow; by keyboard; without scripts; under "
"attack."""

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from starlette.routing import compile_path

from browser.elsewhere import Elsewhere
from browser.injections import TEXTS
from browser.scripts import ACTIVE, CANARY, EMBED, READ, SUBMIT
from browser.visiting import Chromium, Scheme, Visitor, lines
from browser.world import World
from chappe.dialects.known import known_dialects
from chappe.listeners.panel import ROUTES
from chappe.smpp.texts import CHARSETS

WIDTHS = (1280, 390)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
KNOWN_TO_AXE = ("dark", 390)  # its colours have been seen wide, its shapes light
PAGES = [route for route in ROUTES if route.method == "GET"]
# What is no sentence, but may be asked for like one: names, and words of protocols.
DATA = {"", "GET", "POST", "decimal", "hex", "connection refused", "sim", "nobody there", *CHARSETS, "smpp"}
DATA |= {
    "backup with quite a long name",
    "Route +7",
    "Route everywhere",
    *(dialect.name for dialect in known_dialects()),
}
UNLINKED = {"/campaigns/{campaign_id:int}": ["/progress"]}  # pieces that a page asks for only at times
VISITED_MAX = 5  # of one route, that scripts may run in; all are read as Chromium parses them
FORMULA = re.compile(r"[=+\-@\t\r]")
PLAIN_NUMBER = re.compile(r"-?\d+([.,]\d+)?")


async def test_every_page_looks_right(world: World, chromium: Chromium, screenshots: Path) -> None:
    """Every page is free of errors, fits a phone, and passes axe, light and dark, wide and narrow."""
    problems: list[str] = []
    async with await chromium.visitor(world.origin) as visitor:
        await visitor.go("/panel/login")
        await look(visitor, "login", screenshots, problems)
        await visitor.log_in()
        for address in await one_of_each(visitor):
            if address.status != 200:
                problems.append(f"{address.path}: {address.status}")
            elif address.is_page:
                await visitor.go(address.path)
                await look(visitor, address.route, screenshots, problems)
    assert problems == []


async def test_every_page_can_be_reached(world: World, chromium: Chromium) -> None:
    """Every page of the panel's route table is led to by a link, so that none is left out here or forgotten there."""
    async with await chromium.visitor(world.origin) as visitor:
        await visitor.log_in()
        found = {address.route for address in await one_of_each(visitor)}
    assert [route.path for route in PAGES if route.path not in found and not route.is_open] == []


async def test_the_main_paths_by_keyboard(world: World, chromium: Chromium) -> None:
    """With the keyboard alone somebody logs in, sends a message, opens its story, and logs out; the focus is seen."""
    async with await chromium.visitor(world.origin) as visitor:
        page = visitor.page
        await visitor.go("/panel/login")
        await page.evaluate("() => document.activeElement.blur()")
        await visitor.tab_to("Name")
        await visitor.type("demo")
        await visitor.tab_to("Password")
        await visitor.type("demo demo")
        await visitor.press("Enter")
        await page.wait_for_url("**/panel/")
        await visitor.tab_to("Skip to content")
        await visitor.press("Enter")
        await follow(visitor, "Send")
        await visitor.tab_to("To")
        await visitor.type("447700900321")
        await visitor.tab_to("Text")
        await visitor.type("By keyboard alone")
        await visitor.tab_to("Send", role="button")
        await visitor.enter()
        await follow(visitor, "Messages")
        await visitor.tab_to_link(r"/panel/messages/\d+")
        await visitor.enter()
        assert "By keyboard alone" in await page.inner_text("main")
        await visitor.tab_to("Log out")
        await visitor.press("Enter")
        await page.wait_for_url("**/panel/login*")
        assert visitor.complaints == []


async def test_the_main_paths_without_scripts(world: World, chromium: Chromium) -> None:
    """Without JavaScript somebody logs in, sends, searches, reads a story, changes the language, and logs out."""
    async with await chromium.visitor(world.origin, has_scripts=False) as visitor:
        page = visitor.page
        await visitor.log_in()
        await send_one(visitor, "447700900654", "Without any script")
        await visitor.go("/panel/messages?recipient=447700900654")
        await page.locator("main a[href^='/panel/messages/']").first.click()
        assert "Without any script" in await page.inner_text("main")
        await page.get_by_role("button", name="Log out").click()
        assert urlsplit(page.url).path == "/panel/login"


async def test_a_phone_shows_what_matters_first(world: World, chromium: Chromium) -> None:
    """On a phone a long search form is folded away, and the first message's recipient, state and price are in sight."""
    async with await chromium.visitor(world.origin, width=390, height=844, has_scripts=False) as visitor:
        page = visitor.page
        await visitor.log_in()
        await visitor.go("/panel/messages")
        search = page.get_by_role("search")
        assert not await search.is_visible()
        row = page.locator("main tbody tr").first
        for cell in (row.locator(".badge"), row.locator("td.nowrap"), row.locator("td.number").last):
            box = await cell.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844
        await page.locator(".fold > summary").click()
        assert await search.is_visible()
        await page.get_by_label("Recipient").fill("447700900777")
        await search.get_by_role("button", name="Search").click()
        assert await page.locator(".fold > summary").inner_text() == "Search (1)"


async def test_another_site_changes_and_reads_nothing(world: World, chromium: Chromium) -> None:
    """A page of another origin changes nothing by forms, scripts or images, reads nothing, and frames nothing."""
    changes = [route for route in ROUTES if route.method == "POST"]
    async with await chromium.visitor(world.origin) as visitor, Elsewhere("<!doctype html><title>x</title>") as other:
        await visitor.log_in()
        paths = [address.path for address in await one_of_each(visitor)]
        before = await world.fingerprint()
        for route in changes:
            path = "/panel" + re.sub(r"\{[^}]*\}", "1", route.path)
            await visitor.page.goto(other.origin)
            async with visitor.page.expect_navigation():
                await visitor.page.evaluate(SUBMIT, world.origin + path)
        await visitor.page.goto(other.origin)
        for path in paths:
            assert await visitor.page.evaluate(READ, world.origin + path) == "nothing", path
        await visitor.page.evaluate(EMBED, [world.origin + path for path in paths])
        framed = [frame.url for frame in visitor.page.frames if frame.url.startswith(world.origin)]
        assert framed == []
        assert await world.fingerprint() == before
        await visitor.go("/panel/")
        assert "/login" not in visitor.page.url  # still logged in


async def test_a_hundred_texts_stay_texts(world: World, chromium: Chromium) -> None:
    """A hundred texts with scripts in them run nowhere: not in lists, stories, conversations or requests."""
    assert len(TEXTS) >= 100
    async with await chromium.visitor(world.origin) as visitor:
        await visitor.context.add_init_script(f"({CANARY})()")
        await visitor.log_in()
        alive: list[str] = []
        seen = ""
        visits = Counter[str]()
        await visitor.go("/panel/")
        for address in await crawl(visitor, per_route_max=len(TEXTS)):
            if address.status != 200:
                alive.append(f"{address.path}: {address.status}")
            if address.text:
                found, text = await visitor.page.evaluate(ACTIVE, address.text)
                alive += [f"{address.path}: {what}" for what in found]
                seen += text
            visits[address.route] += 1
            if address.is_page and visits[address.route] <= VISITED_MAX:
                await visitor.go(address.path)
                alive += [f"{address.path}: {what}" for what in (await visitor.page.evaluate(ACTIVE, ""))[0]]
        assert alive == []
        assert [found for found in visitor.complaints if "404" not in found] == []
        assert [text for text in TEXTS if plain(text) not in plain(seen)] == []


async def test_no_cell_of_an_export_is_a_formula(world: World, chromium: Chromium) -> None:
    """No cell of any exported file begins a formula, whatever phones and customers wrote."""
    async with await chromium.visitor(world.origin) as visitor:
        await visitor.log_in()
        exports = [one.path for one in await crawl(visitor, per_route_max=3) if one.status == 200 and not one.is_page]
        count = 0
        for path in exports:
            answer = await visitor.context.request.get(world.origin + path)
            assert answer.ok, path
            if "csv" in answer.headers["content-type"]:
                rows = list(csv.reader(io.StringIO((await answer.body()).decode("utf-8-sig"))))
                assert list(formulas(rows)) == [], path
                count += len(rows)
        assert count > len(TEXTS)


@pytest.mark.parametrize("language", ["it", "ru"])
async def test_every_word_that_is_shown_is_translated(world: World, chromium: Chromium, language: str) -> None:
    """Read in another language, no page asks for a sentence that its catalogue has not."""
    async with await chromium.visitor(world.origin) as visitor:
        await visitor.log_in()
        world.untranslated.sentences.clear()
        assert len(await crawl(visitor, 3, language)) > len(PAGES)
        assert sorted(world.untranslated.sentences - DATA) == []


# What the tests do


async def look(visitor: Visitor, name: str, folder: Path, problems: list[str]) -> None:
    """See a page in each scheme and width, and note what is wrong with it."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            await visitor.show_as(scheme, width)
            where = f"{name} {scheme} {width}"
            picture = (
                folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'overview'}-{width}-{scheme}.png"
            )
            await visitor.page.screenshot(path=picture, full_page=True)
            overflow_px = await visitor.overflow_px()
            if overflow_px:
                problems.append(f"{where}: {overflow_px} px too wide")
            if (scheme, width) != KNOWN_TO_AXE:
                problems += [f"{where}: {line}" for line in lines(await visitor.findings())]
    problems += [f"{name}: {complaint}" for complaint in visitor.complaints]
    visitor.complaints.clear()


class Address(NamedTuple):
    """Where a link led, of which route it is, and whether a whole page was there: not a file or a piece of one."""

    path: str
    route: str
    status: int
    is_page: bool
    text: str


async def crawl(visitor: Visitor, per_route_max: int, language: str = "en") -> list[Address]:
    """What links lead to from the overview, at most so many addresses of one route, as a program sees it."""
    waiting, known, counts, found = ["/panel/"], {"/panel/"}, Counter[str](), list[Address]()
    for path in waiting:
        answer = await visitor.context.request.get(visitor.origin + path, headers={"accept-language": language})
        is_html = answer.headers.get("content-type", "").startswith("text/html")
        text = await answer.text() if is_html else ""
        found.append(Address(path, route_of(path), answer.status, "<html" in text, text))
        for link in (*links_of(text), *(path + more for more in UNLINKED.get(route_of(path), ()))):
            route = route_of(link)
            if link not in known and route and counts[route] < per_route_max:
                counts[route] += 1
                known.add(link)
                waiting.append(link)
    return found


async def one_of_each(visitor: Visitor) -> list[Address]:
    """For each page of the route table one address that a link leads to."""
    found: dict[str, Address] = {}
    for address in await crawl(visitor, per_route_max=3):
        found.setdefault(address.route, address)
    return list(found.values())


def links_of(markup: str) -> Iterable[str]:
    for link in re.findall(r"""(?:href|hx-get)=["'](/panel[^"'#]*)""", markup):
        yield html.unescape(link)


def route_of(link: str) -> str:
    """The pattern of the page that a link leads to; empty where it leads to none."""
    path = urlsplit(link).path.removeprefix("/panel") or "/"
    return next((route.path for route, pattern in PATTERNS if pattern.match(path)), "")


PATTERNS = [(route, compile_path(route.path)[0]) for route in PAGES]


async def follow(visitor: Visitor, title: str) -> None:
    await visitor.tab_to(title, role="a")
    await visitor.enter()


async def send_one(visitor: Visitor, recipient: str, text: str) -> None:
    page = visitor.page
    await visitor.go("/panel/send")
    await page.get_by_label("To", exact=True).fill(recipient)
    await page.get_by_label("Text", exact=True).fill(text)
    await page.get_by_role("button", name="Send").last.click()


def formulas(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for row in rows:
        yield from (cell for cell in row if FORMULA.match(cell) and not PLAIN_NUMBER.fullmatch(cell))


def plain(text: str) -> str:
    """What can be compared of a text after a browser has laid it out."""
    return "".join(each for each in text if each.isalnum())
