"""One-time codes: sent like any message, judged once, and nowhere to be read but in the message."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from chappe.core.centre import Accepted, Outcome, Refusal, Refused
from chappe.core.model import Account
from chappe.core.phonebook import PinVerdict, RequestPin, VerifyPin
from chappe.gateway.feed import Event
from chappe.gateway.pins import REQUESTS_MAX, REQUESTS_SPAN_S, TRIES, PinDesk
from chappe.gateway.secrets import Sealer, key_of
from chappe.store import schema
from gateway.middle import SMSFOX, Middle, play

NUMBER = "447700900123"
OTHER_NUMBER = "447700900124"
NOT_FOUND = Refused(Refusal.NOT_FOUND)
RIGHT = PinVerdict(is_right=True, tries_left=0)
WORLD = """
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = "44"
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "alice"
password = "a"
balance = "1.00"
senders = ["ACME"]

[[account]]
name = "bob"
password = "b"
balance = "1.00"

[[account]]
name = "pauper"
password = "p"
"""


class Desk:
    """A desk of a gateway, as a test asks it."""

    def __init__(self, middle: Middle, key: str = "") -> None:
        self._middle = middle
        self.desk = PinDesk(
            store=middle.store,
            submit=middle.intake.submit,
            sealer=Sealer(key),
            clock=middle.time,
            ids=middle.ids,
        )

    def asked(self, account: str = "alice", **changes: Any) -> RequestPin:
        plain = {
            "account": self._account(account),
            "recipient": NUMBER,
            "originator": "ACME",
            "text": "Your code is %PIN%.",
            "mark": "%PIN%",
            "lifetime_s": 600,
        }
        return RequestPin(**{**plain, **changes})

    async def request(self, account: str = "alice", **changes: Any) -> Outcome:
        return await self._middle.result(self.desk.request(self.asked(account, **changes), SMSFOX))

    async def verify(self, pin: str, recipient: str = NUMBER, account: str = "alice") -> Outcome:
        call = VerifyPin(account=self._account(account), recipient=recipient, pin=pin)
        return await self._middle.result(self.desk.verify(call))

    async def sent(self, **changes: Any) -> str:
        """Request a code; the one that was sent."""
        assert isinstance(await self.request(**changes), Accepted)
        newest = max(self._middle.rows(schema.message), key=lambda row: row["id"])
        found = re.search(r"\b[0-9]{6}\b", newest["text"])
        assert found, newest["text"]
        return found[0]

    def _account(self, name: str) -> Account:
        return self._middle.account(name)


def other_than(pin: str) -> str:
    return f"{(int(pin) + 1) % 10**6:06}"


def test_a_code_that_was_sent_is_right_once(tmp_path: Path) -> None:
    """The code of the message is right, for however the number is written, and then it is used up."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        pin = await desk.sent(recipient="+44 7700 900123")
        assert await desk.verify(f" {pin} ", "0044 7700 900123") == RIGHT
        assert await desk.verify(pin) == NOT_FOUND

    play(tmp_path, script, WORLD)


# The text, the mark; what the message is, with * for the code.
TEXTS: list[tuple[str, str, str]] = [
    ("Your code is %PIN%.", "%PIN%", "Your code is *."),
    ("%PIN% or %PIN%", "%PIN%", "* or *"),
    ("Your code:", "%PIN%", "Your code: *"),
    ("Your code is %PIN%.", "", "Your code is %PIN%. *"),
    ("", "%PIN%", "*"),
]


@pytest.mark.parametrize("text, mark, message", TEXTS)
def test_the_code_stands_where_the_mark_was(tmp_path: Path, text: str, mark: str, message: str) -> None:
    """Every mark becomes the code; without one the code is put behind the text."""

    async def script(middle: Middle) -> None:
        pin = await Desk(middle).sent(text=text, mark=mark)
        assert middle.message()["text"] == message.replace("*", pin)

    play(tmp_path, script, WORLD)


def test_a_code_goes_first_and_not_too_late(tmp_path: Path) -> None:
    """A code is sent before anything else that waits, and not at all once it has run out."""

    async def script(middle: Middle) -> None:
        await Desk(middle).sent(lifetime_s=300)
        row = middle.message()
        assert (row["priority"], row["expires_ms"] - middle.time.now_ms()) == (0, 300_000)

    play(tmp_path, script, WORLD)


def test_the_code_is_nowhere_but_in_its_message(tmp_path: Path) -> None:
    """No table has the code besides the text of the message, and no watcher of the gateway sees it."""

    async def script(middle: Middle) -> None:
        seen: list[Event] = []
        middle.feed.watchers.append(seen.append)
        pin = await Desk(middle).sent()
        found = {
            (table.name, column)
            for table in schema.metadata.sorted_tables
            for row in middle.rows(table)
            for column, value in row.items()
            if isinstance(value, str) and pin in value
        }
        assert found == {("message", "text")}
        assert seen
        assert not any(pin in event.subject for event in seen)

    play(tmp_path, script, WORLD)


def test_a_digest_is_worth_nothing_under_another_key(tmp_path: Path) -> None:
    """Who reads the database cannot try all codes: only the gateway's own key makes the digest."""

    async def script(middle: Middle) -> None:
        one, other = (Desk(middle, key_of(tmp_path / name)) for name in ("one", "other"))
        pin = await one.sent()
        assert await other.verify(pin) == PinVerdict(is_right=False, tries_left=TRIES - 1)
        assert await one.verify(pin) == RIGHT

    play(tmp_path, script, WORLD)


def test_a_code_is_for_its_account_and_recipient(tmp_path: Path) -> None:
    """Where no code is under way there is none to be guessed; a number that is none is refused."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        pin = await desk.sent()
        assert await desk.verify(pin, OTHER_NUMBER) == NOT_FOUND
        assert await desk.verify(pin, account="bob") == NOT_FOUND
        assert await desk.verify(pin, "nobody") == Refused(Refusal.BAD_RECIPIENT)
        assert await desk.verify(pin) == RIGHT

    play(tmp_path, script, WORLD)


def test_guessing_in_parallel_gains_nothing(tmp_path: Path) -> None:
    """Of many guesses at once as many are judged as there are tries, and then the right one is wrong."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        pin = await desk.sent()
        account = middle.account("alice")
        guesses = [VerifyPin(account=account, recipient=NUMBER, pin=other_than(pin)) for _ in range(50)]

        async def guess_all() -> list[Outcome]:
            return await asyncio.gather(*map(desk.desk.verify, guesses))

        answers = await middle.result(guess_all())
        judged = [one for one in answers if isinstance(one, PinVerdict)]
        assert [one.tries_left for one in judged] == list(reversed(range(TRIES)))
        assert not any(one.is_right for one in judged)
        assert await desk.verify(pin) == NOT_FOUND

    play(tmp_path, script, WORLD)


def test_a_new_code_replaces_the_old(tmp_path: Path) -> None:
    """Only the newest code to a recipient is right, and it has all its tries."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        old = await desk.sent()
        await desk.verify(other_than(old))
        new = await desk.sent()
        if old != new:
            assert await desk.verify(old) == PinVerdict(is_right=False, tries_left=TRIES - 1)
        assert await desk.verify(new) == RIGHT

    play(tmp_path, script, WORLD)


# What is wrong with a request; why it is refused.
REFUSED: list[tuple[str, str, dict[str, Any], Refusal]] = [
    ("the number", "alice", {"recipient": "12"}, Refusal.BAD_RECIPIENT),
    ("the sender", "alice", {"originator": "BANK"}, Refusal.BAD_ORIGINATOR),
    ("the money", "pauper", {}, Refusal.NO_FUNDS),
    ("the way", "alice", {"recipient": "390000000000"}, Refusal.NO_ROUTE),
    ("too short a life", "alice", {"lifetime_s": 59}, Refusal.BAD_REQUEST),
    ("too long a life", "alice", {"lifetime_s": 86_401}, Refusal.BAD_REQUEST),
]


@pytest.mark.parametrize("name, account, changes, reason", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_refused_request_leaves_no_code(
    tmp_path: Path, name: str, account: str, changes: dict[str, Any], reason: Refusal
) -> None:
    """What the intake refuses is told, leaves neither message nor code, and does not count as a request."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        for _ in range(REQUESTS_MAX + 1):
            refused = await desk.request(account, **changes)
            assert isinstance(refused, Refused)
            assert refused.reason is reason
        assert middle.rows(schema.pin) == middle.rows(schema.message) == []

    play(tmp_path, script, WORLD)


def test_a_refused_request_leaves_the_old_code(tmp_path: Path) -> None:
    """A code that was sent stays right where no other could be sent."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        pin = await desk.sent()
        assert isinstance(await desk.request(originator="BANK"), Refused)
        assert await desk.verify(pin) == RIGHT

    play(tmp_path, script, WORLD)


def test_requests_to_one_recipient_are_throttled(tmp_path: Path) -> None:
    """So many codes go from an account to a recipient in ten minutes, also at once, and no more."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)

        async def request_all() -> list[Outcome]:
            return await asyncio.gather(*(desk.desk.request(desk.asked(), SMSFOX) for _ in range(2 * REQUESTS_MAX)))

        answers = await middle.result(request_all())
        assert [isinstance(one, Accepted) for one in answers] == [True] * REQUESTS_MAX + [False] * REQUESTS_MAX
        assert answers[-1] == Refused(Refusal.THROTTLED, retry_after_s=REQUESTS_SPAN_S)
        assert len(middle.rows(schema.message)) == REQUESTS_MAX
        assert isinstance(await desk.request(recipient=OTHER_NUMBER), Accepted)
        assert isinstance(await desk.request("bob"), Accepted)
        middle.time.now_s += REQUESTS_SPAN_S - 1
        assert await desk.request() == Refused(Refusal.THROTTLED, retry_after_s=1.0)
        middle.time.now_s += 1
        assert isinstance(await desk.request(), Accepted)

    play(tmp_path, script, WORLD)


def test_a_code_ends_with_its_time(tmp_path: Path) -> None:
    """A code that has run out is not there, and a sweep forgets it; another one stays."""

    async def script(middle: Middle) -> None:
        desk = Desk(middle)
        pin = await desk.sent(lifetime_s=60)
        await desk.sent(recipient=OTHER_NUMBER, lifetime_s=61)
        middle.time.now_s += 60
        assert await desk.verify(pin) == NOT_FOUND
        await middle.result(desk.desk.sweep_once())
        assert [row["recipient"] for row in middle.rows(schema.pin)] == [OTHER_NUMBER]

    play(tmp_path, script, WORLD)
