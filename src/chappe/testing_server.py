"""The gateway that tests run beside themselves: a demo without words, asked over standard input and output.

One JSON object a line comes in, with `what` is asked and its facts; one goes out, with `answer` or `error`. It ends
when its input does. Each test gets an account of its own.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import IO, Any

import msgspec
import uvloop

from chappe.app import App
from chappe.cli.applying import applied
from chappe.core.centre import ListMessages, Refused, Reports
from chappe.core.model import Report
from chappe.core.people import OF_ACCOUNTS, Sight
from chappe.dialects.known import known_dialects
from chappe.gateway.directory import AccountSettings
from chappe.gateway.feed import Event
from chappe.gateway.secrets import hash_password
from chappe.settings import Settings

GATEWAY_FILE = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"
"""
HOST = "127.0.0.1"
FIRST_NUMBER = 447_700_000_000  # of the accounts; what apps write to has other ones in examples
BALANCE_MICROS = 1_000_000_000
MESSAGES_MAX = 1_000
REQUESTS_MAX = 20
LINE_MAX = 1 << 20
WAIT_MAX_S = 1.0


class Impossible(Exception):
    """What was asked cannot be done, in words for the test."""


class TestingApp(App):
    """A gateway whose accounts come and go with tests, without a file that lists them."""

    def prepare(self) -> None:
        """Make the one password that all accounts share: hashing it takes longer than a test may."""
        self._password = secrets.token_urlsafe(12)
        self._password_hash = hash_password(self._password)
        self._opened_count = 0
        self._sealed = self._sealer.seal(self._password)

    async def open_account(self) -> dict[str, Any]:
        self._opened_count += 1
        name, number = f"test{self._opened_count}", str(FIRST_NUMBER + self._opened_count)
        account_id = await self._put_account(name, AccountSettings(numbers=(number,)), opens=True)
        _, key = await self.desks.keys.make(account_id, "tests", sorted(OF_ACCOUNTS), False)
        return {
            "account_id": account_id,
            "login": name,
            "password": self._password,
            "api_key": key.value,
            "number": number,
        }

    async def close_account(self, account_id: int) -> None:
        account = self._known().account(account_id)
        if account is not None:
            configuration = self._store.configuration
            with self._database.transaction() as transaction:
                configuration.raise_revision(transaction)
                configuration.end_account(transaction, account.name)

    async def call_back(self, account_id: int, receipt_url: str, inbound_url: str, dialect: str) -> None:
        if dialect and dialect not in self._dialects:
            raise Impossible(f"no dialect is called {dialect!r}; there are {', '.join(self._dialects)}")
        account = self._known().account(account_id)
        assert account is not None
        changed = msgspec.structs.replace(
            self._known().settings(account_id),
            receipt_url=receipt_url,
            inbound_url=inbound_url,
            receipt_dialect=dialect,
            inbound_dialect=dialect,
        )
        await self._put_account(account.name, changed)

    async def _put_account(self, name: str, settings: AccountSettings, *, opens: bool = False) -> int:
        configuration = self._store.configuration
        with self._database.transaction() as transaction:
            configuration.raise_revision(transaction)
            account_id = configuration.put_account(
                transaction,
                name=name,
                password_hash=self._password_hash,
                token_sealed=self._sealed,
                settings=msgspec.json.encode(settings).decode(),
            )
            if opens:
                configuration.open_balance(
                    transaction,
                    account_id,
                    opening_micros=BALANCE_MICROS,
                    limit_micros=0,
                    now_ms=self._clock.now_ms(),
                )
        await self._follow()
        return account_id

    async def seconds_until(self, happened: asyncio.Event, seconds: float) -> float:
        """How long it took until something happened, at most so long."""
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(min(max(seconds, 0.0), WAIT_MAX_S)):
                await happened.wait()
        except TimeoutError:
            pass
        return self._clock.monotonic_s() - began_s


class Conversation:
    """What the tests ask, one after the other."""

    def __init__(self, app: TestingApp) -> None:
        self._app = app
        self._happened = asyncio.Event()
        self._dialect = known_dialects()[0]
        app.feed.watchers.append(self._hear)
        self._answers: dict[str, Callable[..., Awaitable[Any]]] = {
            "open_account": app.open_account,
            "close_account": app.close_account,
            "call_back": app.call_back,
            "messages": self.messages,
            "set_fate": self.set_fate,
            "receive": self.receive,
            "requests": self.requests,
            "wait": self.wait,
        }

    def _hear(self, _event: Event) -> None:
        self._happened.set()

    async def answer(self, line: str) -> dict[str, Any]:
        asked = json.loads(line)
        try:
            return {"answer": await self._answers[asked.pop("what")](**asked)}
        except Impossible as error:
            return {"error": str(error)}

    async def wait(self, seconds: float) -> float:
        """Until something happens to any message, or has happened since this was last asked."""
        waited_s = await self._app.seconds_until(self._happened, seconds)
        self._happened.clear()
        return waited_s

    async def messages(self, account_id: int) -> list[dict[str, Any]]:
        account = self._app.desks.directory().account(account_id)
        assert account is not None
        call = ListMessages(account=account, count_max=MESSAGES_MAX)
        found = await self._app.desks.front.answer(call, self._dialect, "")
        if not isinstance(found, Reports):
            raise Impossible(f"the messages cannot be read: {found}")
        return [facts_of(one) for one in reversed(found.items)]

    async def set_fate(self, account_id: int, number: str, fate: str, late_s: float | None) -> None:
        chosen = self._app.desks.simulator.set_fate(sight_of(account_id), number, fate, late_s=late_s)
        if isinstance(chosen, Refused):
            raise Impossible(chosen.detail or f"{number!r} is not a number that a message can go to")

    async def receive(self, account_id: int, originator: str, recipient: str, text: str) -> str:
        kept = await self._app.desks.simulator.receive(sight_of(account_id), originator, recipient, text)
        if isinstance(kept, Refused):
            raise Impossible(kept.detail or f"the message cannot be: {kept.reason}")
        return str(kept.id)

    async def requests(self, account_id: int) -> list[dict[str, Any]]:
        sight = Sight(frozenset({account_id, 0}))
        kept = await self._app.desks.requests.latest(sight, count=REQUESTS_MAX)
        return [{name: getattr(one, name) for name in ("method", "target", "body", "status", "answer")} for one in kept]


def sight_of(account_id: int) -> Sight:
    return Sight(frozenset({account_id}))


def facts_of(report: Report) -> dict[str, Any]:
    return {
        "id": str(report.id),
        "text": report.text,
        "originator": report.originator,
        "recipient": report.recipient,
        "state": report.state.value,
        "segments": report.segments,
        "reference": report.reference,
    }


async def serve(folder: str, out: IO[str]) -> None:
    """Until the input ends."""
    settings = Settings(data=folder, http=f"{HOST}:0", smpp=f"{HOST}:0", log_level="warning", shutdown_s=2.0)
    applied(settings, GATEWAY_FILE, "tests")
    app = TestingApp(settings, is_demo=True)
    await app.start()
    app.prepare()
    conversation = Conversation(app)
    lines = asyncio.StreamReader(LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    def say(words: dict[str, Any]) -> None:
        out.write(json.dumps(words) + "\n")
        out.flush()

    try:
        say({"url": f"http://{HOST}:{app.http_port}", "smpp_host": HOST, "smpp_port": app.smpp_port})
        while line := await lines.readline():
            say(await conversation.answer(line.decode()))
    except BrokenPipeError:  # whoever asked has gone
        pass
    finally:
        await app.stop()


def main() -> None:
    """What anybody else prints must not be taken for an answer."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the tests': they close our input
    uvloop.run(serve(sys.argv[1], out))


if __name__ == "__main__":
    main()
