"""A whole gateway on a bad carrier: whatever it does, every message finishes, and nobody gets one twice unnoticed."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from chappe.app import App
from chappe.core.centre import Links, MessageCentre, Uncertain, Verdict
from chappe.core.lifecycle import RESENDS_MAX
from chappe.core.model import Carrier, Submission
from chappe.settings import Settings
from chappe.store import schema
from whole import LOOK_AGAIN_S, apply, ask, audit, post, rows, run, settings_in

CARRIER = Path(__file__).parent / "bad_carrier.py"
COUNT = int(os.environ.get("CHAPPE_BAD_CARRIER_MESSAGES", "50000"))
REQUEST_MAX = 5_000  # recipients of one request
LONG_SHARE = 20  # one request in so many has texts of two segments
PATIENCE_S = 240.0
FINAL = ("delivered", "rejected", "undeliverable")
WORLD = """
[[account]]
name = "alice"
password = "p"
balance = "10000.00"

[[carrier]]
name = "bad"
kind = "smpp"
host = "127.0.0.1"
port = PORT
system_id = "chappe"
password = "secret8c"
binds = 4
window = 100
timeout_s = 1
uncertain = "resend"
options = { enquire_link_s = "1" }

[[route]]
prefix = ""
carriers = ["bad"]
price = "0.01"
"""


class Witness:
    """A carrier, and which of its messages were ever in doubt."""

    def __init__(self, centre: MessageCentre, doubtful: set[str]) -> None:
        self._centre = centre
        self._doubtful = doubtful
        self.finds_our_reference = centre.finds_our_reference
        self.receipts_name_our_reference = centre.receipts_name_our_reference
        self.start, self.close = centre.start, centre.close
        self.query, self.cancel, self.balance = centre.query, centre.cancel, centre.balance

    @property
    def links(self) -> Links:
        return self._centre.links

    def submit(self, submission: Submission) -> Awaitable[Verdict]:
        answer = asyncio.ensure_future(self._centre.submit(submission))
        answer.add_done_callback(lambda done: self._note(submission, done))
        return answer

    def _note(self, submission: Submission, answer: "asyncio.Future[Verdict]") -> None:
        if answer.cancelled() or isinstance(answer.result(), Uncertain):
            self._doubtful.update(submission.recipients)


class WatchedApp(App):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.doubtful: set[str] = set()

    def _make_centre(self, carrier: Carrier) -> MessageCentre:
        return Witness(super()._make_centre(carrier), self.doubtful)


@contextlib.asynccontextmanager
async def bad_carrier(seed: int) -> AsyncIterator[tuple[int, Callable[[], Awaitable[dict[str, Any]]]]]:
    """Its port, and what ends it and gives its own account."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CARRIER), str(seed), stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**25
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def end() -> dict[str, Any]:
        stdin.close()
        told: dict[str, Any] = json.loads(await stdout.readline())
        return told

    try:
        yield int(await stdout.readline()), end
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def submit_all(port: int, recipients: list[str]) -> set[str]:
    """Submit in big requests; returns those whose texts have two segments."""
    long = set()
    for place in range(0, len(recipients), REQUEST_MAX):
        some = recipients[place : place + REQUEST_MAX]
        split = len(some) - len(some) // LONG_SHARE
        long.update(some[split:])
        for part, text in ((some[:split], "Hello"), (some[split:], "Hello " * 30)):
            if part:
                form = {"login": "alice", "pwd": "p", "phones": ",".join(part), "msg": text, "sender": "ACME"}
                assert (await ask(port, post("/en/api/", **form))).body == b"01"
    return long


def is_final(row: dict[str, Any]) -> bool:
    return row["state"] in FINAL


def is_settled(row: dict[str, Any]) -> bool:
    """Final, or held: in doubt again after it was sent again three times, and left to the operator."""
    return is_final(row) or (row["state"] == "sending" and row["node_id"] == 0 and row["attempt"] > RESENDS_MAX)


async def until_all(settings: Settings, is_so: Callable[[dict[str, Any]], bool]) -> None:
    rest: Counter[str] = Counter()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await asyncio.to_thread(rows, settings, schema.message)
                rest = Counter(row["state"] for row in found if not is_so(row))
                if not rest:
                    return
                await asyncio.sleep(100 * LOOK_AGAIN_S)
    except TimeoutError:
        raise AssertionError(f"not finished: {rest}") from None


def test_a_bad_carrier(tmp_path: Path) -> None:
    """Whatever a carrier does every message finishes, none is lost, and only those in doubt were taken twice."""
    seed = int(os.environ.get("CHAPPE_BAD_CARRIER_SEED", random.randrange(1 << 32)))
    print(f"CHAPPE_BAD_CARRIER_SEED={seed}")
    recipients = [str(447_700_000_000 + number) for number in range(COUNT)]

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with bad_carrier(seed) as (port, end):
            world = WORLD.replace("PORT", str(port))
            apply(settings, world)
            app = WatchedApp(settings)
            await app.start()
            try:
                long = await submit_all(app.http_port, recipients)
                await until_all(settings, is_settled)
                apply(settings, world.replace('"resend"', '"fail"'))  # what is held is given up
                await until_all(settings, is_final)
            finally:
                await app.stop()
            account = await end()
        taken, states = account["taken"], {row["recipient"]: row["state"] for row in rows(settings, schema.message)}
        parts = {one: [f"{one}/1", f"{one}/2"] if one in long else [f"{one}/1"] for one in recipients}
        refused = {one for one in recipients if one.endswith("77")}
        given_up = {one for one, state in states.items() if state == "undeliverable"}
        lost = {one for one in recipients if not all(part in taken for part in parts[one])} - refused - given_up
        doubles = {part.partition("/")[0] for part, count in taken.items() if count > 1}
        print(f"the carrier: {account['done']}")
        print(f"{len(app.doubtful)} were in doubt: {len(doubles)} of them taken twice, {len(given_up)} given up")
        assert states.keys() == set(recipients)
        assert {one for one, state in states.items() if state == "rejected"} == refused
        assert lost == set()
        assert doubles | given_up <= app.doubtful
        assert taken.keys() <= {part for one in recipients for part in parts[one]}
        audit(settings)

    run(story())
