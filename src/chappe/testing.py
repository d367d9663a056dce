"""A gateway for tests: started beside them, asked what arrived, and told what is to become of it.

The gateway is a process of its own (`testing_server.py`), so that what tests do to time, sockets or the event loop does
not reach it. It is asked over its standard input and output, one JSON object a line; it ends when they close, however
the test process ended.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from chappe.core.codes import code_in

MODULE = "chappe.testing_server"
TIMEOUT_S = 5.0
STEP_S = 0.5  # how long one question waits at most: others of this process may want to ask, too
STOP_S = 10.0
SHOWN_MAX = 10
SHOWN_CHARACTERS = 200


class NotStarted(Exception):
    """The gateway for tests did not start."""


class NotAsExpected(AssertionError):
    """What a test waited for did not come; the message shows what came instead."""


class Misuse(ValueError):
    """A fate, number or message that there is not."""


class ChappeServer:
    """The gateway's process. `url` and `smpp_address` are where it listens, once it is started."""

    def __init__(self) -> None:
        self.url = ""
        self.smpp_address: tuple[str, int] = ("", 0)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Raises NotStarted, with what the gateway said."""
        self._folder = tempfile.TemporaryDirectory(prefix="chappe-test-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log").open("wb")  # noqa: SIM115 (closed in `stop`)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, str(Path(self._folder.name, "data"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
        )
        try:
            begun = self._read()
        except NotAsExpected as error:
            said = Path(self._folder.name, "log").read_text("utf-8", "replace")[-2_000:].strip()
            self.stop()
            raise NotStarted(f"the gateway for tests did not start: {said or error}") from None
        self.url, self.smpp_address = begun["url"], (begun["smpp_host"], begun["smpp_port"])

    def stop(self) -> None:
        """End the gateway and what it kept; once is enough."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
        if self._folder is not None:
            self._folder.cleanup()

    def ask(self, what: str, **facts: Any) -> Any:
        """What the gateway answers; raises Misuse where it cannot be asked that."""
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                raise NotAsExpected("the gateway for tests has ended")
            with contextlib.suppress(BrokenPipeError):  # then there is no answer either
                process.stdin.write(json.dumps({"what": what, **facts}) + "\n")
                process.stdin.flush()
            answer = self._read()
        if "error" in answer:
            raise Misuse(answer["error"])
        return answer["answer"]

    def _read(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotAsExpected("the gateway for tests has ended unexpectedly")
        return json.loads(line)

    def open_account(self) -> "Chappe":
        """A new account, with a number of its own and money to spend."""
        return Chappe(self, self.ask("open_account"))

    def close_account(self, account: "Chappe") -> None:
        """Nobody uses it any more."""
        with contextlib.suppress(NotAsExpected):
            self.ask("close_account", account_id=account.account_id)


class Chappe:
    """One account of the gateway, and everything that is sent with it. `login` and `password` are good in every
    dialect, `api_key` for the native API; phones can write to `number`."""

    def __init__(self, server: ChappeServer, facts: dict[str, Any]) -> None:
        self._server = server
        self._seen: set[str] = set()
        self.url = server.url
        self.smpp_address = server.smpp_address
        self.account_id: int = facts["account_id"]
        self.login: str = facts["login"]
        self.password: str = facts["password"]
        self.api_key: str = facts["api_key"]
        self.number: str = facts["number"]

    def messages(self, to: str | None = None) -> "list[SentMessage]":
        """All that was sent so far (to a number), the oldest first."""
        found = self._ask("messages")
        return [SentMessage(self, one) for one in found if to is None or one["recipient"] == digits(to)]

    def wait_for_message(self, to: str | None = None, timeout_s: float = TIMEOUT_S) -> "SentMessage":
        """The next message (to a number) that was not returned before. Raises NotAsExpected."""
        left_s = timeout_s
        while True:
            found = next((one for one in self.messages(to) if one.id not in self._seen), None)
            if found is not None:
                self._seen.add(found.id)
                return found
            if left_s <= 0:
                raise NotAsExpected(self._instead(f"no message{f' to {to}' if to else ''} within {timeout_s:g} s"))
            left_s -= self._wait(left_s)

    def wait_for_state(
        self, message: "SentMessage | str", state: str = "delivered", timeout_s: float = TIMEOUT_S
    ) -> "SentMessage":
        """The message (or the one with this id) as it is once it is in a state. Raises NotAsExpected."""
        message_id = message if isinstance(message, str) else message.id
        left_s = timeout_s
        while True:
            found = next((one for one in self.messages() if one.id == message_id), None)
            if found is None:
                raise Misuse(f"no message of this account has the id {message_id!r}")
            if found.state == state:
                return found
            if left_s <= 0:
                words = f"the message to {found.recipient} is {found.state}, not {state}, after {timeout_s:g} s"
                raise NotAsExpected(self._instead(words))
            left_s -= self._wait(left_s)

    def set_fate(self, number: str, fate: str, late_s: float | None = None) -> None:
        """What becomes of the next message to a number: delivered, undeliverable, refused, no_answer, expired,
        throttled, early_receipt, receipt_twice, late (by `late_s`), no_receipt, answered_by_phone."""
        self._ask("set_fate", number=digits(number), fate=fate, late_s=late_s)

    def send_inbound(self, text: str, originator: str = "447700900123", to: str | None = None) -> str:
        """A phone writes to the account's number (or another one of it); the message's id."""
        inbound_id: str = self._ask("receive", originator=originator, recipient=to or self.number, text=text)
        return inbound_id

    def call_back(self, receipt_url: str = "", inbound_url: str = "", dialect: str = "") -> None:
        """Where the gateway is to call the tested application, and in which dialect."""
        self._ask("call_back", receipt_url=receipt_url, inbound_url=inbound_url, dialect=dialect)

    def requests(self) -> list[dict[str, Any]]:
        """The latest requests with this account or without any, the newest first, their secrets hidden."""
        kept: list[dict[str, Any]] = self._ask("requests")
        return kept

    def _ask(self, what: str, **facts: Any) -> Any:
        return self._server.ask(what, account_id=self.account_id, **facts)

    def _wait(self, left_s: float) -> float:
        """Until something happens; how long that was asked to take at most."""
        step_s = min(left_s, STEP_S)
        waited_s: float = self._server.ask("wait", seconds=step_s)
        return max(waited_s, 0.001)

    def _instead(self, words: str) -> str:
        messages = self.messages()
        lines = [words, "messages that arrived:" if messages else "no message arrived at all"]
        lines += [f"  {one.describe()}" for one in messages[-SHOWN_MAX:]]
        requests = self.requests()
        if requests:
            lines.append("the latest requests, and what they were answered:")
            lines += [
                f"  {one['method']} {short(one['target'])} {short(one['body'])}"
                f"\n    -> {one['status']} {short(one['answer'])}"
                for one in requests[:SHOWN_MAX]
            ]
        else:
            lines.append(f"no request reached the gateway at {self.url}: does the application send there?")
        return "\n".join(lines)


class SentMessage:
    """A message as the gateway knew it when it was asked."""

    def __init__(self, account: Chappe, facts: dict[str, Any]) -> None:
        self._account = account
        self.id: str = facts["id"]
        self.text: str = facts["text"]
        self.originator: str = facts["originator"]
        self.recipient: str = facts["recipient"]
        self.state: str = facts["state"]
        self.segments: int = facts["segments"]
        self.reference: str = facts["reference"]

    @property
    def code(self) -> str:
        """The one-time code in the text. Raises NotAsExpected where there is none."""
        found = code_in(self.text)
        if found is None:
            raise NotAsExpected(f"there is no one-time code in the message {self.describe()}")
        return found

    def reply(self, text: str) -> str:
        """The phone answers, to the number that wrote or else to the account's; the answer's id."""
        own = self.originator if self.originator.isdigit() else None
        try:
            return self._account.send_inbound(text, originator=self.recipient, to=own)
        except Misuse:
            return self._account.send_inbound(text, originator=self.recipient)

    def wait_for_state(self, state: str = "delivered", timeout_s: float = TIMEOUT_S) -> "SentMessage":
        """The message as it is once it is in a state. Raises NotAsExpected."""
        return self._account.wait_for_state(self, state, timeout_s)

    def describe(self) -> str:
        """The message in one line."""
        return f"to {self.recipient} from {self.originator or 'nobody'} ({self.state}): {short(self.text)!r}"

    def __repr__(self) -> str:
        return f"<SentMessage {self.describe()}>"


def digits(number: str) -> str:
    """A number as the gateway writes it."""
    return "".join(filter(str.isdigit, number))


def short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
