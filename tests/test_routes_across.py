"""Routes across both kinds of carriers: SMPP before and after HTTP, backups of another kind, and who goes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chappe.app import App
from chappe.smpp.connection import Connection
from chappe.smpp.pdu import Pdu, Status, SubmitSmResponse
from chappe.store import schema
from listeners.esmes import a_submit, bound
from message_centres import PASSWORD, Centre, accept
from test_chains import callback_keys
from whole import Sink, all_are, apply, ask, eventually, post, rows, run, serving, settings_in

BETWEEN = "secret8c"
THROUGHPUT = 100
CLAIMED_MAX = THROUGHPUT // 10 + 1  # what may be on its way already: a tenth of a second's worth
LONG = "Привет, это длинное сообщение. " * 8  # four segments
ROUTE = """
[[route]]
prefix = ""
carriers = {carriers}
price = "0.01"
"""
SIM = """
[[carrier]]
name = "sim"
kind = "simulated"
"""
ALICE = """
[[account]]
name = "alice"
password = "p"
smpp_password = "secret8"
balance = "100.00"
"""
BOB = ALICE.replace("alice", "bob")


def to_smpp(port: int, **more: object) -> str:
    """A carrier that we bind to."""
    keys = "".join(f"{name} = {value}\n" for name, value in more.items())
    return f"""
[[carrier]]
name = "binds"
kind = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "chappe"
password = "{PASSWORD}"
{keys}"""


def to_http(port: int) -> str:
    """A carrier that we call, in the language that has receipts and long texts."""
    return f"""
[[carrier]]
name = "calls"
kind = "smscentre"
url = "http://127.0.0.1:{port}"
login = "chappe"
password = "{BETWEEN}"
"""


def customer(receipt_url: str = "") -> str:
    """The account that the gateway before has at the next one."""
    heard = f'receipt_url = "{receipt_url}"\n' if receipt_url else ""
    return f"""
[[account]]
name = "chappe"
password = "{BETWEEN}"
balance = "100.00"
{heard}"""


class Line(NamedTuple):
    """Three gateways in a row: applications > a > SMPP > b > HTTP > c, where the phones are."""

    a: App
    b: App
    c: App

    def texts(self, app: App) -> list[str]:
        return [row["text"] for row in rows(app.settings, schema.message)]


@contextlib.asynccontextmanager
async def line(folder: Path, receipt_url: str) -> AsyncIterator[Line]:
    at_a, at_b, at_c = (settings_in(folder / name, smpp="127.0.0.1:0") for name in "abc")
    world_c = SIM + ROUTE.format(carriers='["sim"]')
    async with contextlib.AsyncExitStack() as stack:
        c = await stack.enter_async_context(serving(at_c, world_c + customer()))
        world_b = to_http(c.http_port) + ROUTE.format(carriers='["calls"]') + customer() + ALICE
        b = await stack.enter_async_context(serving(at_b, world_b))
        [key] = callback_keys(at_b.database_url).values()
        await configure(c, world_c + customer(f"http://127.0.0.1:{b.http_port}/carrier/{key}"))
        alice = ALICE + f'receipt_url = "{receipt_url}"\n'
        world_a = to_smpp(b.smpp_port).replace(PASSWORD, BETWEEN) + ROUTE.format(carriers='["binds"]') + alice
        a = await stack.enter_async_context(serving(at_a, world_a))
        yield Line(a, b, c)


async def configure(app: App, world: str) -> None:
    """Change what a running gateway is configured as; it has followed at the end."""
    await asyncio.to_thread(apply, app.settings, world)
    await app._follow()


def fox(*recipients: str, text: str = "Hello", login: str = "alice") -> bytes:
    return post("/en/api/", login=login, pwd="p", phones=",".join(recipients), msg=text, sender="12345")


def numbers(count: int, first: int = 447_700_900_000) -> list[str]:
    return [str(first + place * 10) for place in range(count)]


def test_from_http_over_smpp_and_http_to_the_phone_and_back(tmp_path: Path) -> None:
    """A long message goes through three gateways and two kinds of carriers as one; its receipt comes all the way."""

    async def story() -> None:
        async with Sink() as sink, line(tmp_path, sink.url) as gateways:
            answer = await ask(gateways.a.http_port, fox("447700900120", text=LONG))
            assert answer.body == b"01"
            calls = await sink.until(lambda calls: len(calls) == 1)
            assert calls[0].fields["phone"] == "447700900120"
            for app in gateways:
                [row] = rows(app.settings, schema.message)
                assert (row["text"], row["segments"], row["state"]) == (LONG, 4, "delivered")
            assert len(rows(gateways.a.settings, schema.carrier_reference)) == 4
            assert len(rows(gateways.b.settings, schema.carrier_reference)) == 1

    run(story())


@pytest.mark.parametrize("number, word", [("447700900120", b"DELIVRD"), ("447700909001", b"UNDELIV")])
def test_from_a_bind_over_http_to_the_phone_and_back(tmp_path: Path, number: str, word: bytes) -> None:
    """What is submitted over SMPP leaves by HTTP, and what became of it there is delivered to the bind."""

    async def story() -> None:
        async with line(tmp_path, "http://127.0.0.1:9999/") as gateways, bound(gateways.b.smpp_port) as esme:
            taken = await esme.ask(a_submit(destination=number, registered_delivery=1))
            assert taken.status == Status.OK
            [heard] = await esme.hear(1)
            assert b"stat:" + word in heard.short_message
            assert str(getattr(taken.body, "message_id", "")).encode() in heard.short_message
            assert gateways.texts(gateways.c) == ["Hello"]

    run(story())


def test_a_carrier_by_smpp_goes_and_comes_back_and_one_by_http_stands_in(tmp_path: Path) -> None:
    """While the message centre is away messages leave by HTTP; once it is back they go to it again."""

    async def story() -> None:
        far, near = settings_in(tmp_path / "far"), settings_in(tmp_path / "near")
        async with (
            serving(far, SIM + ROUTE.format(carriers='["sim"]') + customer()) as backup,
            Centre().listening() as centre,
            serving(
                near,
                to_smpp(centre.port) + to_http(backup.http_port) + ROUTE.format(carriers='["binds", "calls"]') + ALICE,
            ) as app,
        ):
            await centre.until(lambda: len(centre.bound) == 1)
            await ask(app.http_port, fox(*numbers(3)))
            await centre.until(lambda: len(centre.submitted) == 3)
            await all_are(near, "sent")
            centre.close()
            centre.drop()
            await ask(app.http_port, fox(*numbers(5, 447_700_910_000)))

            async def has_left() -> bool:
                return len(rows(far, schema.message)) == 5

            await eventually(has_left)
            await centre.open()
            await centre.until(lambda: len(centre.bound) == 1)
            await ask(app.http_port, fox(*numbers(3, 447_700_920_000)))
            await centre.until(lambda: len(centre.submitted) == 6)
            await all_are(near, "sent")
            assert sorted(row["recipient"] for row in rows(far, schema.message)) == numbers(5, 447_700_910_000)

    run(story())


def test_a_long_message_stays_with_one_carrier(tmp_path: Path) -> None:
    """A message of which one carrier takes some segments and not the others goes to the next one whole."""

    async def story() -> None:
        far, near = settings_in(tmp_path / "far"), settings_in(tmp_path / "near")

        def script(centre: Centre, connection: Connection, request: Pdu) -> None:
            if len(centre.submitted) == 3:
                connection.answer(request, SubmitSmResponse(), Status.REJECTED)
            else:
                accept(centre, connection, request)

        async with (
            serving(far, SIM + ROUTE.format(carriers='["sim"]') + customer()) as backup,
            Centre(script).listening() as centre,
            serving(
                near,
                to_smpp(centre.port) + to_http(backup.http_port) + ROUTE.format(carriers='["binds", "calls"]') + ALICE,
            ) as app,
        ):
            await centre.until(lambda: len(centre.bound) == 1)
            await ask(app.http_port, fox("447700900120", text=LONG))

            async def has_arrived() -> bool:
                return [row["text"] for row in rows(far, schema.message)] == [LONG]

            await eventually(has_arrived)
            await all_are(near, "sent")
            assert len(centre.submitted) == 4
            [message] = rows(near, schema.message)
            [reference] = rows(near, schema.carrier_reference)
            assert reference["carrier_id"] == message["carrier_id"]
            assert reference["segment"] == 0

    run(story())


@contextlib.asynccontextmanager
async def slow_gateway(folder: Path, centre: Centre) -> AsyncIterator[App]:
    """A gateway with two customers, whose only carrier takes a hundred messages a second."""
    world = to_smpp(centre.port, throughput=THROUGHPUT) + ROUTE.format(carriers='["binds"]') + ALICE + BOB
    async with serving(settings_in(folder, smpp="127.0.0.1:0"), world) as app:
        await centre.until(lambda: len(centre.bound) == 1)
        yield app


def places_of(centre: Centre, recipients: list[str]) -> list[int]:
    """At which place each of them was submitted."""
    wanted = set(recipients)
    return [place for place, body in enumerate(centre.submitted) if body.destination in wanted]


@pytest.mark.parametrize("way", ["urgent over SMPP", "one by HTTP"])
def test_a_code_overtakes_bulk(tmp_path: Path, way: str) -> None:
    """A code leaves with the next few while hundreds to a list wait: urgent by its word, or a single message."""

    async def story() -> None:
        many, code = numbers(300), ["447700999999"]
        async with Centre().listening() as centre, slow_gateway(tmp_path, centre) as app:
            assert (await ask(app.http_port, fox(*many))).body == b"01"
            await centre.until(lambda: len(centre.submitted) >= 20)
            if way == "one by HTTP":
                assert (await ask(app.http_port, fox(*code))).body == b"01"
            else:
                async with bound(app.smpp_port) as esme:
                    assert (await esme.ask(a_submit(destination=code[0], priority_flag=1))).status == Status.OK
            before = len(centre.submitted)
            await centre.until(lambda: bool(places_of(centre, code)))
            [place] = places_of(centre, code)
            assert place <= before + CLAIMED_MAX
            await centre.until(lambda: len(centre.submitted) == 301)

    run(story())


def test_accounts_share_a_carrier(tmp_path: Path) -> None:
    """Ten messages of one account do not wait behind three hundred of another: each has every second place."""

    async def story() -> None:
        many, few = [numbers(10, 447_700_900_000 + 100 * each) for each in range(30)], numbers(10, 447_700_950_000)
        async with Centre().listening() as centre, slow_gateway(tmp_path, centre) as app:
            answers = await asyncio.gather(*(ask(app.http_port, fox(*each)) for each in many))
            assert {answer.body for answer in answers} == {b"01"}
            assert (await ask(app.http_port, fox(*few, login="bob", text="Hi"))).body == b"01"
            before = len(centre.submitted)
            await centre.until(lambda: len(places_of(centre, few)) == 10)
            assert places_of(centre, few)[-1] <= before + CLAIMED_MAX + 2 * 10
            await centre.until(lambda: len(centre.submitted) == 310)

    run(story())
