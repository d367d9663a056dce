"""Chromium, and somebody who visits pages with it and notes everything that a page should not do.

Each `Visitor` has a context of its own: cookies, no cache of others. What it notes: errors in the console (among them
everything that the content security policy stops), errors of scripts, dialogs, requests to other places.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, async_playwright

from browser.scripts import AXE_RUN, FOCUS

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 15_000
GRAVE = ("serious", "critical")
# WCAG 2.2 AA, and what axe's authors think good besides.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TAB_MAX = 300

Scheme = Literal["light", "dark"]


class Finding(NamedTuple):
    """What axe has against a page."""

    impact: str
    rule: str
    places: tuple[str, ...]


class Chromium:
    """The system's browser, started once."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def start(self) -> None:
        self._playwright = await async_playwright().start()
        self._browser: Browser = await self._playwright.chromium.launch(executable_path=self._path, args=ARGUMENTS)

    async def stop(self) -> None:
        await self._browser.close()
        await self._playwright.stop()

    async def visitor(
        self, origin: str, *, width: int = 1280, height: int = 900, scheme: Scheme = "light", has_scripts: bool = True
    ) -> "Visitor":
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=has_scripts,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Rome",
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE_MS)
        return Visitor(origin, context, await context.new_page())


class Visitor:
    """Somebody at the panel. Use it with `async with`."""

    def __init__(self, origin: str, context: BrowserContext, page: Page) -> None:
        self.origin = origin
        self.context = context
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("dialog", self._dismiss)
        page.on("request", self._look)

    async def __aenter__(self) -> "Visitor":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    async def _dismiss(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _look(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.complaints.append(f"another server: {request.url}")

    async def go(self, path: str) -> int:
        """Open a path of the panel's origin; the status it was answered with."""
        answer = await self.page.goto(self.origin + path, wait_until="load")
        assert answer is not None
        return answer.status

    async def log_in(self, name: str = "demo", password: str = "demo demo") -> None:
        await self.go("/panel/login")
        await self.page.get_by_label("Name", exact=True).fill(name)
        await self.page.get_by_label("Password", exact=True).fill(password)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url)

    async def show_as(self, scheme: Scheme, width: int, height: int = 900) -> None:
        await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await self.page.set_viewport_size({"width": width, "height": height})

    async def overflow_px(self) -> int:
        """How far the page reaches beyond the right edge."""
        reach: int = await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return reach

    async def findings(self) -> list[Finding]:
        """What axe finds on the page as it looks now, if it is grave."""
        if not await self.page.evaluate("() => typeof axe !== 'undefined'"):
            await self.page.evaluate(AXE_SCRIPT)
        found = await self.page.evaluate(AXE_RUN, TAGS)
        return [Finding(impact, rule, tuple(places)) for impact, rule, places in found if impact in GRAVE]

    async def links(self) -> list[str]:
        """Every address on the page that leads into the panel."""
        found: list[str] = await self.page.evaluate(
            "() => [...document.querySelectorAll('a[href], [hx-get]')].map(one => one.getAttribute('href') || "
            "one.getAttribute('hx-get'))"
        )
        return [link for link in found if link.startswith("/panel")]

    # By keyboard

    async def tab_to(self, name: str, *, role: str = "") -> None:
        """Press Tab until what has this name has the focus."""
        await self._tab_until(name, lambda focus: focus["name"] == name and role in ("", focus["role"]))

    async def tab_to_link(self, pattern: str) -> None:
        """Press Tab until a link to such an address has the focus."""
        await self._tab_until(pattern, lambda focus: re.fullmatch(pattern, focus["href"]) is not None)

    async def _tab_until(self, wanted: str, is_there: Callable[[dict[str, Any]], bool]) -> None:
        """It must be seen to have the focus."""
        names = []
        for _ in range(TAB_MAX):
            await self.page.keyboard.press("Tab")
            focus = await self.page.evaluate(FOCUS)
            names.append(focus["name"])
            if is_there(focus):
                assert focus["is_visible"], f"the focus on {wanted!r} cannot be seen"
                return
        raise AssertionError(f"Tab never came to {wanted!r}, but to {list(dict.fromkeys(names))}")

    async def type(self, text: str) -> None:
        await self.page.keyboard.type(text)

    async def enter(self) -> None:
        """Press Enter where that leads to another page."""
        before = self.page.url
        await self.press("Enter")
        await self.page.wait_for_url(lambda url: url != before, wait_until="load")

    async def press(self, key: str) -> None:
        await self.page.keyboard.press(key)


def lines(findings: Sequence[Finding]) -> list[str]:
    return [f"{one.impact} {one.rule}: {' '.join(one.places)}" for one in findings]
