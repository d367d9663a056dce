"""A browser without eyes for the panel's tests: keeps cookies, finds a form's token, says where it comes from."""

import asyncio
import html
import re
from urllib.parse import urlsplit

from chappe.app import App
from chappe.core.model import Secret
from chappe.core.people import Role
from chappe.dialects.base import HttpRequest, encode_form
from whole import PATIENCE_S, Answer, wire

FORM = (b"content-type", b"application/x-www-form-urlencoded")
find_token = re.compile(r'name="csrf" value="([0-9a-f]+)"').search
PASSWORD = "correct horse battery"


class Browser:
    """One person's browser. `headers` go with every request."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self.headers = headers
        self.cookies: dict[str, str] = {}
        self.token = ""

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, b"", headers)

    async def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answer:
        """Send a form with the token of the last page."""
        return await self._ask("POST", path, encode_form({"csrf": self.token, **fields}), headers or {})

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        said = {**self.headers, **headers}
        if self.cookies:
            said["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        pairs = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in said.items())
        parts = urlsplit(path)
        request = HttpRequest(
            method=method,
            path=parts.path,
            query=parts.query.encode(),
            headers=(*pairs, FORM) if method == "POST" else pairs,
            body=body,
        )
        answer = await ask_keeping_cookies(self, wire(request))
        found = find_token(answer.body.decode("utf-8", "replace"))
        if found is not None:
            self.token = found[1]
        return answer

    async def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        await self.get("/panel/login")
        answer = await self.post("/panel/login", name=name, password=password)
        await self.get("/panel/settings")  # whose forms have the new session's token
        return answer


async def ask_keeping_cookies(browser: Browser, raw: bytes) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        try:
            writer.write(raw)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            for name, _, value in lines:
                if name.lower() == "set-cookie":
                    keep_cookie(browser.cookies, value)
            headers = {name.lower(): value for name, _, value in lines}
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
            else:
                body = await reader.read()
            return Answer(int(head.split()[1]), headers, body)
        finally:
            writer.close()


def keep_cookie(cookies: dict[str, str], said: str) -> None:
    name, _, rest = said.partition("=")
    value = rest.partition(";")[0].strip('"')
    if value:
        cookies[name] = value
    else:
        cookies.pop(name, None)


async def make_user(app: App, name: str, role: Role, account_id: int = 0) -> None:
    """Invite somebody and take the invitation."""
    key = await app.people.invite("the test", role, account_id, name)
    assert isinstance(key, Secret)
    joined = await app.people.join(key, name, Secret(PASSWORD), "127.0.0.1")
    assert isinstance(joined, tuple)


async def account_id_of(app: App, name: str) -> int:
    return app.desks.directory().accounts_by_name[name].id


def text_of(answer: Answer) -> str:
    return html.unescape(answer.body.decode())
