"""Every dialect in front, every dialect behind: what an application asks of one gateway arrives at the next.

Two whole gateways: A serves applications in each dialect and has one carrier per dialect, all of them accounts at B.
The recipient's prefix picks the carrier, so that each submission is of one ordered pair of dialects. SMPP is one of
them: binds in front, binds behind.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from chappe.app import DIALECTS
from chappe.carriers.smpp import SmppCarrier
from chappe.client import AsyncClient
from chappe.clock import SystemClock
from chappe.core.centre import Accepted
from chappe.core.model import Carrier, Secret, State, Submission
from chappe.dialects.smpp import SMPP
from chappe.networks import Networks
from chappe.outbound import Outbound
from chappe.store import schema
from chappe.store.database import Database
from whole import PATIENCE_S, Sink, all_are, apply, audit, eventually, rows, run, serving, settings_in

SEED = 20_261_121
COUNT = 50  # submissions of each ordered pair
AT_ONCE = 16
RECIPIENTS_MAX = 3
TEXT_MAX = 300
LATER_SHARE = 0.05  # of the submissions of dialects that can schedule
LATER_S = 8
PASSWORD = "correct horse"
BETWEEN = "between us two"
SHORT = "8 octets"  # the passwords of binds
ORIGINATORS = ("ACME", "Telegraph", "447700900001")
ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789",
    "a&=+%;,:#?/\\\"'<>{}[]()^~|_-@!$* 1\n",
    "абвгдежзиклмнопрстуфхцчшщъыьэюя ЁёЙй",
    "àèéìòù €£¥ äöüß ñ Çç ΔΦΓΛ",
    "日本語 한국어 עברית 😀👍🏽",
)
NAMES = [dialect.name for dialect in (*DIALECTS, SMPP)]
PREFIXES = {name: f"4477{index:02}" for index, name in enumerate(NAMES)}  # of the numbers that leave A through it
SCHEDULING = frozenset({"voipcom", "smsend", "smscentre"})
RECEIPTLESS = frozenset({"voipcom"})  # voipcom 3.6: no delivery report is documented


class Sent(NamedTuple):
    """One submission, and the pair of dialects that it goes through."""

    north: str
    south: str
    recipients: tuple[str, ...]
    text: str
    originator: str
    is_later: bool


def submissions(chance: random.Random) -> Iterator[Sent]:
    numbers = iter(range(10_000_000, 99_999_999))
    for north in NAMES:
        for south in NAMES:
            for _ in range(COUNT):
                recipients = tuple(
                    f"{PREFIXES[south]}{next(numbers)}0" for _ in range(chance.randint(1, RECIPIENTS_MAX))
                )
                is_later = north in SCHEDULING and chance.random() < LATER_SHARE
                yield Sent(north, south, recipients, random_text(chance), chance.choice(ORIGINATORS), is_later)


def random_text(chance: random.Random) -> str:
    alphabet = "".join(chance.sample(ALPHABETS, chance.randint(1, 3)))
    middle = "".join(chance.choice(alphabet) for _ in range(chance.randint(1, TEXT_MAX) - 1))
    return f"x{middle}x"  # what blanks at the ends become is each provider's business


def way(name: str, http_port: int, smpp_port: int) -> str:
    """How A reaches B in a language."""
    if name == SMPP.name:
        return f"""host = "127.0.0.1"
port = {smpp_port}
system_id = "from-{name}"
password = "{SHORT}"
"""
    return f"""url = "http://127.0.0.1:{http_port}"
login = "from-{name}"
password = "{BETWEEN}"
"""


def near(http_port: int, smpp_port: int, sink: str) -> str:
    """Gateway A; the ports are those of B."""
    carriers = [
        f"""
[[carrier]]
name = "to-{name}"
kind = "{name}"
{way(name, http_port, smpp_port)}
[[route]]
prefix = "{PREFIXES[name]}"
carriers = ["to-{name}"]
price = "0.0200"
"""
        for name in NAMES
    ]
    return f"""{"".join(carriers)}
[[account]]
name = "alice"
password = "{PASSWORD}"
smpp_password = "{SHORT}"
balance = "10000.00"
senders = {msgspec.json.encode(ORIGINATORS).decode()}
receipt_url = "{sink}"
receipt_dialect = "smsfox"
"""


def far(keys: dict[str, str], origin_of_a: str = "") -> str:
    """Gateway B, whose customers are A's carriers; `keys` is where A wants to hear from each of them."""
    accounts = [
        f"""
[[account]]
name = "from-{name}"
password = "{BETWEEN}"
smpp_password = "{SHORT}"
balance = "10000.00"
senders = {msgspec.json.encode(ORIGINATORS).decode()}
receipt_dialect = "{name}"
"""
        + (f'receipt_url = "{origin_of_a}/carrier/{keys[f"to-{name}"]}"\n' if keys and name != SMPP.name else "")
        for name in NAMES
    ]
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"
{"".join(accounts)}"""


def callback_keys(database_url: str) -> dict[str, str]:
    """By carrier, the unguessable part of the path of its callbacks."""
    with Database(database_url).engine.connect() as connection:
        found = [row._mapping for row in connection.execute(schema.carrier.select())]
    return {row["name"]: msgspec.json.decode(row["settings"])["callback_key"] for row in found}


@contextlib.asynccontextmanager
async def bound(port: int) -> AsyncIterator[SmppCarrier]:
    """An ESME that is bound to a gateway as alice; what it hears is nothing, since her receipts go to her URL."""

    def hear(_brought: object) -> "asyncio.Future[None]":
        raise AssertionError("nothing is for a bind")

    clock = SystemClock()
    outbound = Outbound(Networks.parse("127.0.0.0/8"))
    as_carrier = Carrier(
        id=1, name="esme", kind=SMPP.name, url=f"smpp://127.0.0.1:{port}", login="alice", password=Secret(SHORT)
    )
    esme = SmppCarrier(
        as_carrier,
        connect=outbound.connect,
        emit=hear,
        emit_inbound=hear,
        clock=clock,
        random_bits=random.Random(SEED).getrandbits,
    )
    stands = asyncio.Event()
    esme.start(stands.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await stands.wait()
        yield esme
    finally:
        await esme.close()
        await outbound.close()


async def submit_over(esme: SmppCarrier, one: Sent) -> None:
    for recipient in one.recipients:
        verdict = await esme.submit(Submission(recipients=(recipient,), text=one.text, originator=one.originator))
        assert isinstance(verdict, Accepted), verdict


async def send_all(port: int, esme: SmppCarrier, sent: list[Sent]) -> dict[str, datetime]:
    """Every submission in its dialect: through our own client, or over a bind; by recipient, when those of later are
    due."""
    clients = {
        dialect.name: AsyncClient(dialect.name, f"http://127.0.0.1:{port}", login="alice", password=PASSWORD)
        for dialect in DIALECTS
    }
    places = asyncio.Semaphore(AT_ONCE)

    later: dict[str, datetime] = {}

    async def send(one: Sent) -> None:
        async with places:
            if one.north == SMPP.name:
                await submit_over(esme, one)
                return
            at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LATER_S) if one.is_later else None
            later.update({recipient: at for recipient in one.recipients if at})
            accepted = await clients[one.north].send(one.recipients, one.text, originator=one.originator, at=at)
        assert [ticket.recipient for ticket in accepted.tickets] == list(one.recipients)

    try:
        async with asyncio.TaskGroup() as group:
            for one in sent:
                group.create_task(send(one))
    finally:
        for client in clients.values():
            await client.close()
    return later


def test_submissions_go_through_every_pair_of_dialects_and_return(tmp_path: Path) -> None:
    """For each ordered pair, 50 random submissions arrive intact, their receipts return, and both books are right."""
    sent = list(submissions(random.Random(SEED)))
    messages = {recipient: one for one in sent for recipient in one.recipients}

    async def story() -> None:
        settings_a, settings_b = (settings_in(tmp_path / name, smpp="127.0.0.1:0") for name in ("a", "b"))
        async with (
            Sink() as sink,
            serving(settings_b, far({})) as b,
            serving(settings_a, near(b.http_port, b.smpp_port, sink.url)) as a,
            bound(a.smpp_port) as esme,
        ):
            origin_of_a = f"http://127.0.0.1:{a.http_port}"
            await asyncio.to_thread(apply, settings_b, far(callback_keys(settings_a.database_url), origin_of_a))
            await b._follow()
            later = await send_all(a.http_port, esme, sent)

            async def have_come() -> bool:
                return len(rows(settings_b, schema.message)) == len(messages)

            await eventually(have_come)
            await all_are(settings_b, State.DELIVERED)
            told_count = sum(one.south not in RECEIPTLESS for one in messages.values())
            await sink.until(lambda calls: len(calls) >= told_count)
            await all_are(settings_a, State.DELIVERED, State.SENT)
        names = {row["id"]: row["name"] for row in rows(settings_b, schema.account)}
        arrived = {
            row["recipient"]: (names[row["account_id"]], row["text"], row["originator"])
            for row in rows(settings_b, schema.message)
        }
        assert arrived == {
            recipient: (f"from-{one.south}", one.text, one.originator) for recipient, one in messages.items()
        }
        for row in rows(settings_a, schema.message):
            one = messages[row["recipient"]]
            assert row["dialect"] == one.north
            assert not one.is_later or row["due_ms"] >= later[row["recipient"]].timestamp() * 1000  # not sent before
            assert row["state"] == (State.SENT if one.south in RECEIPTLESS else State.DELIVERED)
        told = sorted(call.fields["phone"] for call in sink.calls)
        assert told == sorted(recipient for recipient, one in messages.items() if one.south not in RECEIPTLESS)
        for settings, price in ((settings_a, 20_000), (settings_b, 10_000)):
            segments = sum(row["segments"] for row in rows(settings, schema.message))
            assert audit(settings)["revenue_micros"] == segments * price
            assert audit(settings)["reserved_micros"] == 0
            assert rows(settings, schema.parked_receipt) == []

    run(story())
