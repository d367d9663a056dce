"""What a submission becomes: the rules of the way in, one after the other, and that only what is whole is kept."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chappe.core.centre import Accepted, Quote, Refusal, Refused, Ticket
from chappe.core.lifecycle import SCHEDULE_AHEAD_MAX_S, VALIDITY_DEFAULT_S, VALIDITY_MAX_S
from chappe.core.model import Account, Coding, Message, Priority, Route, Service, State, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.duplicates import REMEMBERED_MAX, Duplicates
from chappe.gateway.feed import Step
from chappe.gateway.submission import (
    FEW,
    NAME_MAX,
    WAITING_MAX,
    Draft,
    allowed_originator,
    prepare,
    storable,
    tickets_of,
)
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


@pytest.mark.parametrize(
    "recipients_count, account, said, priority",
    [
        (1, Priority.NORMAL, None, Priority.NORMAL),
        (FEW, Priority.NORMAL, None, Priority.NORMAL),
        (FEW + 1, Priority.NORMAL, None, Priority.BULK),
        (FEW + 1, Priority.NORMAL, Priority.NORMAL, Priority.NORMAL),
        (FEW + 1, Priority.NORMAL, Priority.URGENT, Priority.URGENT),
        (1, Priority.BULK, None, Priority.BULK),
        (1, Priority.BULK, Priority.URGENT, Priority.URGENT),
        (FEW + 1, Priority.URGENT, None, Priority.URGENT),
    ],
)
def test_what_goes_first(recipients_count: int, account: Priority, said: Priority | None, priority: Priority) -> None:
    """What a submission says counts, then what its account has been given; else many messages let a few go first."""
    owner = msgspec.structs.replace(ALICE, priority=account)
    recipients = tuple(str(447_700_900_000 + place) for place in range(recipients_count))
    assert {each.priority for each in prepared(owner, recipients=recipients, priority=said)} == {priority}


def test_an_account_may_have_a_lower_limit_of_recipients() -> None:
    """The smaller limit of account and dialect counts."""
    modest = msgspec.structs.replace(ALICE, recipients_max=1)
    assert prepared(modest, recipients=("447700900123", "447700900124")) == Refused(Refusal.TOO_MANY_RECIPIENTS)
    assert len(prepared(modest)) == 1


# What only some submissions ask for

TWO = ("447700900123", "447700900124")
THREE = (*TWO, "447700900125")


def test_each_recipient_may_have_a_text(tmp_path: Path) -> None:
    """Texts stand for the recipients in their order; segments and price go by each text."""
    first, second = prepared(recipients=TWO, text="", texts=("short", "a" * 200))
    assert (first.text, first.segments, first.price_micros) == ("short", 1, 10_000)
    assert (second.text, second.segments, second.price_micros) == ("a" * 200, 2, 20_000)


@pytest.mark.parametrize(
    "coding, text, segments",
    [
        (Coding.FLASH, "Hello", 1),
        (Coding.FLASH, "a" * 161, 2),
        (Coding.BINARY, "00", 1),
        (Coding.BINARY, "0605040B8423F0aB", 1),
        (Coding.BINARY, "fF" * 140, 1),
        (Coding.BINARY, "fF" * 141, 2),
        (Coding.BINARY, "00" * 140 * 255, 255),
        (Coding.BINARY, "", Refusal.EMPTY_TEXT),
        (Coding.BINARY, "0", Refusal.BAD_REQUEST),
        (Coding.BINARY, "0g", Refusal.BAD_REQUEST),
        (Coding.BINARY, "00 11", Refusal.BAD_REQUEST),
        (Coding.BINARY, "00\n", Refusal.BAD_REQUEST),
        (Coding.BINARY, "00" * 140 * 255 + "00", Refusal.TEXT_TOO_LONG),
    ],
)
def test_a_coding_decides_what_a_text_is(coding: Coding, text: str, segments: int | Refusal) -> None:
    """Flash is counted as text; binary is pairs of hexadecimal digits, 140 octets a segment."""
    if isinstance(segments, Refusal):
        assert prepared(coding=coding, text=text) == Refused(segments)
    else:
        message = one(coding=coding, text=text)
        assert (message.coding, message.text, message.segments) == (coding, text, segments)


IMPOSSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("a text too few", {"recipients": TWO, "texts": ("a",)}),
    ("a text too many", {"texts": ("a", "b")}),
    ("a spread beyond a year", {"spread_s": SCHEDULE_AHEAD_MAX_S + 1}),
    ("a spread back in time", {"spread_s": -1}),
    ("portions that never pass", {"spread_s": 60, "portion_s": 0}),
    ("a name too long", {"is_findable": True, "reference": "x" * (NAME_MAX + 1)}),
    ("a receipt URL of another kind", {"receipt_url": "ftp://app.example/r"}),
    ("a receipt URL without a host", {"receipt_url": "http:///r"}),
    ("a receipt URL with a blank", {"receipt_url": "http://app.example/a b"}),
    ("a receipt URL far too long", {"receipt_url": "http://app.example/" + "a" * 2_000}),
]


@pytest.mark.parametrize("name, changes", IMPOSSIBLE, ids=[row[0] for row in IMPOSSIBLE])
def test_what_cannot_be_done_is_a_bad_request(name: str, changes: dict[str, Any]) -> None:
    """What a submission asks for beyond its text is looked at before anything is kept."""
    assert prepared(**changes) == Refused(Refusal.BAD_REQUEST)


def test_a_submission_may_be_spread(tmp_path: Path) -> None:
    """Portions leave one after the other from the start on, and each lives for its validity from its own time."""
    messages = prepared(recipients=THREE, spread_s=180, portion_s=60, validity_s=600)
    assert [(each.due_ms - START_MS) // 1000 for each in messages] == [0, 60, 120]
    assert [each.state for each in messages] == [State.QUEUED, State.SCHEDULED, State.SCHEDULED]
    assert {each.expires_ms - each.due_ms for each in messages} == {600_000}
    later = prepared(recipients=THREE, spread_s=180, portion_s=60, scheduled_ms=START_MS + 5_000)
    assert [(each.due_ms - START_MS) // 1000 for each in later] == [5, 65, 125]


@pytest.mark.parametrize("scheduled_s, is_late", [(None, False), (-5, False), (60, True)])
def test_only_what_is_scheduled_is_charged_late(scheduled_s: int | None, is_late: bool) -> None:
    """What leaves at once is charged at once, whatever was asked."""
    scheduled_ms = None if scheduled_s is None else START_MS + scheduled_s * 1000
    assert one(is_charged_late=True, scheduled_ms=scheduled_ms).is_charged_late is is_late


def drafted(account: Account = ALICE, **changes: Any) -> Draft | Refused:
    def is_blocked(_account_id: int, recipient: str, originator: str) -> bool:
        return (recipient, originator) == ("447700900666", "ACME")

    submission = msgspec.structs.replace(PLAIN, **changes)
    return prepare(account, submission, PROOVL, ROUTING, 500, START_MS, is_blocked)


def test_a_submission_may_take_part() -> None:
    """Recipients that something is wrong with get a ticket that says what; the others are numbered without a gap."""
    recipients = ("12", "447700900123", "390612345678", "447700900666", "447700900124", "447700900125", "447700900126")
    texts = ("Hello", "Hello", "Hello", "Hello", "", "a" * 200, "a" * 40_000)
    draft = drafted(recipients=recipients, texts=texts, takes_part=True)
    assert isinstance(draft, Draft)
    assert [(each.id, each.submission_id, each.recipient) for each in draft.messages] == [
        (500, 500, "447700900123"),
        (501, 500, "447700900125"),
    ]
    submission = msgspec.structs.replace(PLAIN, recipients=recipients)

    def refused(recipient: str, refusal: Refusal) -> Ticket:
        return Ticket(recipient=recipient, reference="", segments=0, refusal=refusal)

    assert tickets_of(submission, draft) == (
        refused("12", Refusal.BAD_RECIPIENT),
        Ticket(recipient="447700900123", reference="500", segments=1, price_micros=10_000),
        refused("390612345678", Refusal.NO_ROUTE),
        refused("447700900666", Refusal.BLOCKED),
        refused("447700900124", Refusal.EMPTY_TEXT),
        Ticket(recipient="447700900125", reference="501", segments=2, price_micros=20_000),
        refused("447700900126", Refusal.TEXT_TOO_LONG),
    )


@pytest.mark.parametrize(
    "recipients, takes_part, refusal",
    [
        (("447700900666",), False, Refusal.BLOCKED),
        (("447700900123", "447700900666"), False, Refusal.BLOCKED),
        (("447700900666",), True, Refusal.BLOCKED),
        (("12", "447700900666"), True, Refusal.BAD_RECIPIENT),
        (("390612345678", "12"), True, Refusal.NO_ROUTE),
        ((), True, Refusal.BAD_RECIPIENT),
    ],
)
def test_nobody_to_send_to_is_a_refusal(recipients: tuple[str, ...], takes_part: bool, refusal: Refusal) -> None:
    """A submission without one good recipient is refused for what is wrong with the first; whole ones for any."""
    assert drafted(recipients=recipients, takes_part=takes_part) == Refused(refusal)


def test_a_virtual_account_needs_no_route_and_pays_nothing() -> None:
    """Its messages are delivered as they are accepted, for nothing, scheduled ones too."""
    virtual = msgspec.structs.replace(ALICE, is_virtual=True)
    near, far = prepared(virtual, recipients=("447700900123", "390612345678"), scheduled_ms=START_MS + 1)
    assert [(each.state, each.price_micros) for each in (near, far)] == [(State.DELIVERED, 0)] * 2
    assert (near.carrier_id, far.carrier_id) == (1, 0)


class Tick:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.now_s


def test_duplicates_are_remembered_for_their_time() -> None:
    """The same is no news until its time is over or it was forgotten, and asking again does not make it longer."""
    clock = Tick()
    duplicates = Duplicates(clock)
    assert duplicates.remember(b"a", 10)
    clock.now_s = 9.0
    assert not duplicates.remember(b"a", 10)
    assert duplicates.remember(b"b", 10)
    clock.now_s = 10.0
    assert duplicates.remember(b"a", 10)
    duplicates.forget(b"a")
    assert duplicates.remember(b"a", 10)


def test_memory_of_duplicates_has_a_limit() -> None:
    """Beyond the limit the oldest is forgotten; what has ended is cleared away by what comes."""
    clock = Tick()
    duplicates = Duplicates(clock)
    for number in range(REMEMBERED_MAX + 10):
        assert duplicates.remember(number.to_bytes(4), 60)
    assert len(duplicates._ends_s) == REMEMBERED_MAX
    assert duplicates.remember((0).to_bytes(4), 60)
    assert not duplicates.remember((REMEMBERED_MAX).to_bytes(4), 60)
    clock.now_s = 61.0
    for number in range(REMEMBERED_MAX):
        duplicates.remember(number.to_bytes(5), 60)
    assert len(duplicates._ends_s) == REMEMBERED_MAX


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


ONCE = msgspec.structs.replace(PROOVL, north=msgspec.structs.replace(PROOVL.north, duplicate_s=60))


def test_the_same_again_is_refused_for_a_while(tmp_path: Path) -> None:
    """What was accepted is refused as a duplicate until its time is over; another text, account or dialect is not."""

    async def script(middle: Middle) -> None:
        async def ask(**changes: Any) -> object:
            return await middle.submit("447700900123", **({"dialect": ONCE} | changes))

        assert isinstance(await ask(), Accepted)
        assert await ask() == Refused(Refusal.DUPLICATE)
        assert isinstance(await ask(text="Hello!"), Accepted)
        assert isinstance(await ask(originator="Other"), Accepted)
        assert isinstance(await ask(dialect=PROOVL), Accepted)
        middle.time.now_s += 60
        assert isinstance(await ask(), Accepted)
        assert len(middle.rows(schema.message)) == 5

    play(tmp_path, script, WORLD_RICH)


def test_what_was_refused_is_no_duplicate(tmp_path: Path) -> None:
    """After a refusal the same may be asked again at once, and is accepted when its fault is gone."""

    async def script(middle: Middle) -> None:
        def lose() -> None:
            raise StoreUnavailable("away")

        middle.store._commits.before_commit = lose
        assert await middle.submit("447700900123", dialect=ONCE) == Refused(Refusal.OVERLOADED)
        middle.store._commits.before_commit = None
        assert isinstance(await middle.submit("447700900123", dialect=ONCE), Accepted)

    play(tmp_path, script, WORLD_RICH)


def test_a_quote_is_what_would_be_accepted(tmp_path: Path) -> None:
    """A quote tells segments and prices, or the same refusal; nothing is kept and money is not looked at."""

    async def script(middle: Middle) -> None:
        async def quoted(**changes: Any) -> object:
            submission = msgspec.structs.replace(PLAIN, **changes)
            return await middle.ask(Quote(middle.account("broke"), submission), ONCE)

        recipients = ("447700900123", "12")
        for _ in range(2):
            assert await quoted(recipients=recipients, text="a" * 161, takes_part=True) == Accepted(
                (
                    Ticket(recipient="447700900123", reference="", segments=2, price_micros=20_000),
                    Ticket(recipient="12", reference="", segments=0, refusal=Refusal.BAD_RECIPIENT),
                )
            )
        assert await quoted(recipients=recipients) == Refused(Refusal.BAD_RECIPIENT)
        assert middle.rows(schema.message) == []

    world = (
        '[[carrier]]\nname = "sim"\nkind = "simulated"\n'
        '[[route]]\nprefix = ""\ncarriers = ["sim"]\nprice = "0.0100"\n'
        '[[account]]\nname = "broke"\npassword = "p"\n'
    )
    play(tmp_path, script, world)


def test_a_findable_submission_is_known_by_its_own_name(tmp_path: Path) -> None:
    """The answer names the customer's own reference, else our id; a name is only kept where it was asked for."""

    async def script(middle: Middle) -> None:
        for reference, is_findable, named in (("order 7", True, True), ("order 8", False, False), ("", True, False)):
            verdict = await middle.submit("447700900123", reference=reference, is_findable=is_findable)
            assert isinstance(verdict, Accepted)
            assert verdict.reference == (reference if named else verdict.tickets[0].reference)
        assert [row["name"] for row in middle.rows(schema.named_submission)] == ["order 7"]

    play(tmp_path, script, WORLD_RICH)


def test_a_part_is_kept_and_the_rest_is_told(tmp_path: Path) -> None:
    """Only good recipients have rows and are charged; where the money does not reach for all of them none has."""

    async def script(middle: Middle) -> None:
        verdict = await middle.submit("447700900123", "12", "447700900124", takes_part=True)
        assert isinstance(verdict, Accepted)
        assert [ticket.refusal for ticket in verdict.tickets] == [None, Refusal.BAD_RECIPIENT, None]
        assert [row["recipient"] for row in middle.rows(schema.message)] == ["447700900123", "447700900124"]
        assert middle.feed.counts[Step.REFUSED, Refusal.BAD_RECIPIENT] == 1
        many = [str(447_700_900_000 + index) for index in range(9_999)]  # worth 99.99 of 99.98
        assert await middle.submit(*many, "12", takes_part=True) == Refused(Refusal.NO_FUNDS)
        assert len(middle.rows(schema.message)) == 2

    play(tmp_path, script)


def test_what_a_virtual_account_sends_goes_nowhere(tmp_path: Path) -> None:
    """It is delivered at once, nothing is charged, no carrier hears of it, and its customer is called soon."""
    world = WORLD_RICH.replace(
        'name = "alice"', 'name = "alice"\nvirtual = true\nreceipt_url = "http://alice.example/r"'
    ).replace('price = "0"', 'price = "1"')

    async def script(middle: Middle) -> None:
        assert isinstance(await middle.submit("447700900123"), Accepted)
        assert middle.states() == ["delivered"]
        assert middle.money() == (0, 0)
        await middle.pass_time(1)
        assert middle.words_called() == ["Delivered"]
        assert middle.scripts["silent"].asked == []

    play(tmp_path, script, world, ["silent"])


def test_money_that_does_not_reach_when_it_is_time(tmp_path: Path) -> None:
    """What is charged late is paid when it leaves; what cannot be paid then never leaves, and its customer is told."""
    world = (
        '[[carrier]]\nname = "sim"\nkind = "simulated"\n'
        '[[route]]\nprefix = ""\ncarriers = ["sim"]\nprice = "0.0100"\n'
        '[[account]]\nname = "alice"\npassword = "p"\nbalance = "0.0100"\nreceipt_url = "http://alice.example/r"\n'
    )

    async def script(middle: Middle) -> None:
        later_ms = middle.time.now_ms() + 60_000
        verdict = await middle.submit(*TWO, scheduled_ms=later_ms, is_charged_late=True)
        assert isinstance(verdict, Accepted)
        assert middle.money() == (0, 0)
        await middle.pass_time(65)
        assert sorted(middle.states()) == ["delivered", "rejected"]
        assert middle.money() == (10_000, 0)
        assert len(middle.words_called()) == 3
        [rejected] = [row for row in middle.rows(schema.callback) if "no_funds" in row["payload"]]
        assert rejected["state"] == "done"

    play(tmp_path, script, world)
