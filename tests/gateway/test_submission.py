"""What a submission becomes: the rules of the way in, one after the other, and that only what is whole is kept."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chappe.core.centre import Accepted, Refusal, Refused
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S, VALIDITY_DEFAULT_S, VALIDITY_MAX_S
from chappe.core.model import Account, Message, Priority, Route, Service, State, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.feed import Step
from chappe.gateway.submission import WAITING_MAX, allowed_originator, prepare, storable
from chappe.store import schema
from chappe.store.database import StoreUnavailable
from gateway.middle import PROOVL, SMSFOX, START_MS, Middle, play

DAY_S = 24 * 3600
ALICE = Account(id=7, name="alice", senders=("ACME", "Shop 24"), numbers=("447700900001", "62442"))
ANYONE = Account(id=8, name="anyone")
ROUTING = RoutingTable(
    [
        Route(prefix="44", service=None, carrier_ids=(1, 2, 3), price_micros=10_000),
        Route(prefix="44", service=Service.ECONOMY, carrier_ids=(3,), price_micros=4_000),
        Route(prefix="447", service=Service.PREMIUM, carrier_ids=(2,), price_micros=30_000),
    ]
)
PLAIN = Submission(recipients=("447700900123",), text="Hello", originator="ACME", counting=PROOVL.north.counting)
FOX = msgspec.structs.replace(PLAIN, counting=SMSFOX.north.counting)


def prepared(account: Account = ALICE, dialect: Dialect = PROOVL, base: Submission = PLAIN, **changes: Any) -> Any:
    submission = msgspec.structs.replace(base, **changes)
    draft = prepare(account, submission, dialect, ROUTING, 500, START_MS)
    return draft if isinstance(draft, Refused) else draft.messages


def one(**changes: Any) -> Message:
    messages = prepared(**changes)
    assert not isinstance(messages, Refused), messages
    [message] = messages
    assert isinstance(message, Message)
    return message


BAD_NUMBERS: dict[str, tuple[str, ...]] = {"recipients": ("12",)}
MANY = {"recipients": tuple(str(447_700_000_000 + index) for index in range(10_001))}
BAD_SENDER = {"originator": "BANK"}
NO_TEXT = {"text": ""}
LONG_TEXT = {"text": "a" * 40_000}
TOO_FAR = {"scheduled_ms": START_MS + (SCHEDULE_AHEAD_MAX_S + 1) * 1000}
ABROAD = {"recipients": ("390612345678",)}

# What is wrong, in the order in which it is looked at: each row also has every fault of the rows below it that it can.
REFUSALS: list[tuple[str, dict[str, Any], Refusal]] = [
    ("no recipient", BAD_SENDER | NO_TEXT | TOO_FAR | {"recipients": ()}, Refusal.BAD_RECIPIENT),
    ("a bad recipient", BAD_SENDER | NO_TEXT | TOO_FAR | BAD_NUMBERS, Refusal.BAD_RECIPIENT),
    ("too many, one bad", MANY | {"recipients": (*MANY["recipients"], "x")}, Refusal.BAD_RECIPIENT),
    ("too many recipients", BAD_SENDER | NO_TEXT | TOO_FAR | MANY, Refusal.TOO_MANY_RECIPIENTS),
    ("a sender of somebody else", BAD_SENDER | NO_TEXT | TOO_FAR | ABROAD, Refusal.BAD_ORIGINATOR),
    ("no text", NO_TEXT | TOO_FAR | ABROAD, Refusal.EMPTY_TEXT),
    ("a text of U+0000", {"text": "\0\0"} | TOO_FAR | ABROAD, Refusal.EMPTY_TEXT),
    ("a text too long", LONG_TEXT | TOO_FAR | ABROAD, Refusal.TEXT_TOO_LONG),
    ("a year and more ahead", TOO_FAR | ABROAD, Refusal.BAD_REQUEST),
    ("no route", ABROAD, Refusal.NO_ROUTE),
    ("one of two without a route", {"recipients": ("447700900123", "390612345678")}, Refusal.NO_ROUTE),
]


@pytest.mark.parametrize("name, changes, refusal", REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_submission_is_refused_for_its_first_fault(name: str, changes: dict[str, Any], refusal: Refusal) -> None:
    """Recipients, originator, text, time and route are judged in this order, whatever else is wrong."""
    assert prepared(**changes) == Refused(refusal)


@pytest.mark.parametrize(
    "recipient", ["+447700900123", "447700900123", pytest.param("4477009", id="the shortest"), "4" * 15]
)
def test_recipients_are_digits_after_one_plus(recipient: str) -> None:
    """A recipient is 7 to 15 digits after an optional plus sign, and is kept as digits."""
    assert one(recipients=(recipient,)).recipient == recipient.removeprefix("+")


@pytest.mark.parametrize(
    "recipient",
    ["", "+", "++447700900123", "447700 900123", "00447700900123x", "477009", "4" * 16, "٤٤٧٧٠٠٩٠٠٠٠٢", "4477\0900123"],
)
def test_what_is_no_number_is_refused(recipient: str) -> None:
    """Nothing but digits passes for a recipient: no blanks, no NUL, no digits of another script."""
    assert prepared(recipients=(recipient,)) == Refused(Refusal.BAD_RECIPIENT)


@pytest.mark.parametrize(
    "account, written, dialect, kept",
    [
        (ALICE, "ACME", PROOVL, "ACME"),
        (ALICE, "Shop 24", PROOVL, "Shop 24"),
        (ALICE, "447700900001", PROOVL, "447700900001"),
        (ALICE, "+447700900001", PROOVL, "447700900001"),
        (ALICE, "62442", PROOVL, "62442"),
        (ALICE, "acme", PROOVL, None),
        (ALICE, "447700900002", PROOVL, None),
        (ALICE, "ACME\0", PROOVL, None),
        (ALICE, "", PROOVL, "ACME"),
        (ALICE, "", SMSFOX, "SMSFox"),
        (ALICE, "SMSFox", SMSFOX, "SMSFox"),
        (ALICE, "SMSFox", PROOVL, None),
        (ANYONE, "", PROOVL, ""),
        (ANYONE, "Anything", PROOVL, "Anything"),
        (ANYONE, "+1 202 555 0123", PROOVL, "12025550123"),
        (ANYONE, "Elevenchars", PROOVL, "Elevenchars"),
        (ANYONE, "Twelve chars", PROOVL, None),
        (ANYONE, "Ten[]chars", PROOVL, None),  # 12 septets: brackets are two each (TS 23.038 6.2.1.1)
        (ANYONE, "привет", PROOVL, None),
        (ANYONE, "\x1b[31m", PROOVL, None),
        (msgspec.structs.replace(ANYONE, numbers=("447700900009",)), "", PROOVL, "447700900009"),
    ],
)
def test_an_originator_is_one_the_account_may_use(
    account: Account, written: str, dialect: Dialect, kept: str | None
) -> None:
    """A message goes out under a name or number of the account, the dialect's default, or any that fits on air."""
    assert allowed_originator(account, written, dialect.north.default_originator) == kept


@pytest.mark.parametrize(
    "text, kept",
    [
        ("Hello", "Hello"),
        ("a\0b", "ab"),
        ("\ud83d\ude00", "\U0001f600"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00\ud83db", "\ufffd\ufffdb"),
        ("\ufeffa\ufeff", "\ufeffa\ufeff"),
        ("é€ж中", "é€ж中"),
    ],
)
def test_a_text_is_kept_as_every_database_can(text: str, kept: str) -> None:
    """U+0000 vanishes, halves of surrogate pairs become one character or U+FFFD, all else stays as it is."""
    assert storable(text) == kept
    assert one(text=text).text == kept
    assert one(reference=text).reference == kept


@pytest.mark.parametrize(
    "base, text, segments",
    [
        (PLAIN, "a" * 160, 1),
        (PLAIN, "a" * 161, 2),
        (PLAIN, "a" * 306, 2),
        (PLAIN, "a" * 307, 3),
        (PLAIN, "€" * 80, 1),
        (PLAIN, "é" * 160, 1),
        (PLAIN, "ж" * 71, 2),
        (FOX, "a" * 160, 1),
        (FOX, "a" * 305, 3),
        (FOX, "é" * 71, 2),
        (FOX, "ж" * 133, 3),
        (FOX, "a" * 800, 6),
    ],
)
def test_a_message_costs_its_segments_as_its_dialect_counts_them(base: Submission, text: str, segments: int) -> None:
    """The price is the route's price times the segments, counted by the dialect's own table (smsfox 5.3)."""
    message = one(base=base, text=text)
    assert (message.segments, message.price_micros) == (segments, segments * 10_000)


@pytest.mark.parametrize(
    "service, carrier_id, backups, price_micros",
    [
        (Service.STANDARD, 1, (2, 3), 10_000),
        (Service.ECONOMY, 3, (), 4_000),
        (Service.PREMIUM, 2, (), 30_000),
    ],
)
def test_the_route_decides_carriers_and_price(
    service: Service, carrier_id: int, backups: tuple[int, ...], price_micros: int
) -> None:
    """The longest prefix that serves the class names the carrier, its backups in order, and the price."""
    message = one(service=service)
    assert (message.carrier_id, message.backups, message.price_micros) == (carrier_id, backups, price_micros)


@pytest.mark.parametrize(
    "scheduled_s, validity_s, state, due_s, lives_s",
    [
        (None, None, State.QUEUED, 0, VALIDITY_DEFAULT_S),
        (-3600, None, State.QUEUED, 0, VALIDITY_DEFAULT_S),
        (3600, None, State.SCHEDULED, 3600, VALIDITY_DEFAULT_S),
        (3600, 60, State.SCHEDULED, 3600, 60),
        (SCHEDULE_AHEAD_MAX_S, None, State.SCHEDULED, SCHEDULE_AHEAD_MAX_S, VALIDITY_DEFAULT_S),
        (None, 60, State.QUEUED, 0, 60),
        (None, 30 * DAY_S, State.QUEUED, 0, VALIDITY_MAX_S),
    ],
)
def test_schedule_and_validity(
    scheduled_s: int | None, validity_s: int | None, state: State, due_s: int, lives_s: int
) -> None:
    """A message is due at once or when it was asked for, and lives from then on for its validity, 14 days at most."""
    scheduled_ms = None if scheduled_s is None else START_MS + scheduled_s * 1000
    message = one(scheduled_ms=scheduled_ms, validity_s=validity_s)
    assert message.state is state
    assert message.due_ms - START_MS == due_s * 1000
    assert message.expires_ms - message.due_ms == lives_s * 1000


def test_messages_of_a_submission_are_numbered_in_a_row() -> None:
    """Each recipient gets a message; their ids follow each other, and the first one names them all."""
    messages = prepared(recipients=("447700900123", "+447700900124", "447700900123"), priority=Priority.URGENT)
    assert [(each.id, each.submission_id, each.recipient) for each in messages] == [
        (500, 500, "447700900123"),
        (501, 500, "447700900124"),
        (502, 500, "447700900123"),
    ]
    assert {each.priority for each in messages} == {Priority.URGENT}


def test_an_account_may_have_a_lower_limit_of_recipients() -> None:
    """The smaller limit of account and dialect counts."""
    modest = msgspec.structs.replace(ALICE, recipients_max=1)
    assert prepared(modest, recipients=("447700900123", "447700900124")) == Refused(Refusal.TOO_MANY_RECIPIENTS)
    assert len(prepared(modest)) == 1


# With a store


def test_an_accepted_submission_is_kept_with_its_reservation(tmp_path: Path) -> None:
    """The answer comes after the commit, with one ticket a recipient; the money is reserved."""

    async def script(middle: Middle) -> None:
        submission = Submission(recipients=("447700900123", "447700900124"), text="Hello", originator="ACME")
        task = asyncio.create_task(middle.intake.submit(middle.alice, submission, PROOVL))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        assert middle.rows(schema.message) == []
        middle.store.commit_once()
        assert middle.money() == (0, 20_000)
        verdict = await task
        assert isinstance(verdict, Accepted)
        ids = [str(row["id"]) for row in middle.rows(schema.message)]
        assert [ticket.reference for ticket in verdict.tickets] == ids
        assert middle.feed.counts[Step.ACCEPTED, "proovl"] == 2

    play(tmp_path, script)


@pytest.mark.parametrize(
    "name, account, changes, refusal",
    [
        ("no money", "broke", {}, Refusal.NO_FUNDS),
        ("money for one of two", "thrifty", {"recipients": ("447700900123", "447700900124")}, Refusal.NO_FUNDS),
        ("a fault", "alice", {"text": ""}, Refusal.EMPTY_TEXT),
    ],
)
def test_a_refused_submission_leaves_nothing(
    tmp_path: Path, name: str, account: str, changes: dict[str, Any], refusal: Refusal
) -> None:
    """A refusal leaves no row and no charge, also where the money reaches for some of the recipients."""
    world = (
        '[[carrier]]\nname = "sim"\nkind = "simulated"\n'
        '[[route]]\nprefix = ""\ncarriers = ["sim"]\nprice = "0.0100"\n'
        + "".join(
            f'[[account]]\nname = "{name}"\npassword = "p"\nbalance = "{balance}"\n'
            for name, balance in {"alice": "1.00", "broke": "0.00", "thrifty": "0.0199"}.items()
        )
    )

    async def script(middle: Middle) -> None:
        submission = msgspec.structs.replace(PLAIN, **changes)
        entries = len(middle.rows(schema.entry))
        verdict = await middle.result(middle.intake.submit(middle.account(account), submission, PROOVL))
        assert verdict == Refused(refusal)
        assert middle.rows(schema.message) == []
        assert len(middle.rows(schema.entry)) == entries
        assert middle.feed.counts[Step.REFUSED, refusal] == 1

    play(tmp_path, script, world)


def test_overload_is_refused_before_acceptance(tmp_path: Path) -> None:
    """When too much waits to be written, new work is refused and what was accepted is kept."""

    async def script(middle: Middle) -> None:
        tasks = [asyncio.create_task(middle.intake.submit(middle.alice, FOX, SMSFOX)) for _ in range(WAITING_MAX + 10)]
        await middle.settle()
        verdicts = [task.result() for task in tasks]
        refused = [one for one in verdicts if isinstance(one, Refused)]
        assert {one.reason for one in refused} == {Refusal.OVERLOADED}
        assert 0 < len(refused) < 10
        assert len(middle.rows(schema.message)) == len(tasks) - len(refused)

    play(tmp_path, script, WORLD_RICH)


WORLD_RICH = """
[[carrier]]
name = "silent"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["silent"]
price = "0"

[[account]]
name = "alice"
password = "p"
"""


def test_a_database_that_is_away_is_told_as_overload(tmp_path: Path) -> None:
    """While the database is away submissions are refused, and accepted again when it is back."""

    async def script(middle: Middle) -> None:
        def lose() -> None:
            raise StoreUnavailable("away")

        middle.store._commits.before_commit = lose
        assert await middle.submit("447700900123") == Refused(Refusal.OVERLOADED)
        middle.store._commits.before_commit = None
        assert isinstance(await middle.submit("447700900123"), Accepted)
        assert len(middle.rows(schema.message)) == 1

    play(tmp_path, script)


def test_an_id_that_is_taken_is_made_again(tmp_path: Path) -> None:
    """Two processes that make the same id in the same millisecond both keep their message."""

    async def script(middle: Middle) -> None:
        made: list[int] = []
        make = middle.ids.make

        def remember(now_ms: int, count: int = 1) -> int:
            made.append(make(now_ms, count))
            return made[-1]

        middle.ids.make = remember  # type: ignore[method-assign]
        middle.ids._random_bits = lambda _: 5
        middle.ids._last = 0
        await middle.submit("447700900123")
        [first] = middle.rows(schema.message)
        made.clear()
        middle.ids._last = 0  # as another process would begin
        assert isinstance(await middle.submit("447700900124"), Accepted)
        assert made[0] == first["id"]
        assert len(middle.rows(schema.message)) == 2

    play(tmp_path, script, WORLD_RICH)
