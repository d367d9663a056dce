"""A whole gateway that sends over SMPP: to a message centre that is not ours, and beside carriers of other kinds."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chappe.smpp.connection import Connection
from chappe.smpp.pdu import DeliverSm, Pdu, Status, SubmitSmResponse
from chappe.store import schema
from message_centres import Centre, accept, nothing, receipt
from whole import PATIENCE_S, Sink, all_are, apply, ask, eventually, post, rows, run, serving, settings_in, states

CENTRE = Path(__file__).parent / "twisted_centre.py"
WORLD = """
[[account]]
name = "alice"
password = "p"
balance = "100.00"
numbers = ["12345"]
inbound_url = "INBOUND"

[[carrier]]
name = "acme"
kind = "smpp"
host = "127.0.0.1"
port = PORT
system_id = "chappe"
password = "secret8c"
bind = "pair"
throughput = 0

[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["acme"]
price = "0.01"

[[route]]
prefix = "39"
carriers = ["acme", "sim"]
price = "0.01"
"""


def world(port: int, inbound_url: str = "http://127.0.0.1:9999/") -> str:
    return WORLD.replace("PORT", str(port)).replace("INBOUND", inbound_url)


class Stranger:
    """The message centre of twisted_centre.py, as it runs."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.process = process

    async def submitted(self, count: int) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            return [json.loads(await self.process.stdout.readline()) for _ in range(count)]


@contextlib.asynccontextmanager
async def stranger() -> AsyncIterator[Stranger]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(CENTRE), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            port = int(await process.stdout.readline())
        yield Stranger(process, port)
    finally:
        process.kill()
        await process.communicate()


def submission(*recipients: str, text: str = "Hello", sender: str = "12345", **more: str) -> bytes:
    return post("/en/api/", login="alice", pwd="p", phones=",".join(recipients), msg=text, sender=sender, **more)


def by_recipient(settings: Any) -> dict[str, str]:
    return {row["recipient"]: row["state"] for row in rows(settings, schema.message)}


def test_a_message_centre_that_is_not_ours(tmp_path: Path) -> None:
    """Through somebody else's message centre messages are sent, sent again when it is busy, refused and receipted."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with stranger() as centre, serving(settings, world(centre.port)) as app:
            answer = await ask(app.http_port, submission("447700900120", "447700900121", "447700900122"))
            assert answer.body == b"01"
            await all_are(settings, "delivered", "rejected")
            wanted = {"447700900120": "delivered", "447700900121": "delivered", "447700900122": "rejected"}
            assert by_recipient(settings) == wanted
            submitted = await centre.submitted(4)
            assert sorted(one["recipient"][-1] for one in submitted) == ["0", "1", "1", "2"]
            assert {bytes.fromhex(one["data"]) for one in submitted} == {b"Hello"}
            assert {one["registered"] for one in submitted} == {
                "RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED"
            }

    run(story())


def test_a_long_message_through_a_stranger(tmp_path: Path) -> None:
    """A long message in UCS-2 goes out as segments that belong together, and is delivered once all of them are."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with stranger() as centre, serving(settings, world(centre.port)) as app:
            text = "Привет, мир. " * 12
            assert (await ask(app.http_port, submission("447700900120", text=text))).body == b"01"
            await all_are(settings, "delivered")
            parts = [bytes.fromhex(one["data"]) for one in await centre.submitted(3)]
            assert [part[3:6] for part in parts] == [parts[0][3:4] + bytes((3, position)) for position in (1, 2, 3)]
            assert b"".join(part[6:] for part in parts).decode("utf-16-be") == text
            assert len(rows(settings, schema.carrier_reference)) == 3

    run(story())


def test_a_message_from_a_phone_reaches_its_owner(tmp_path: Path) -> None:
    """What a phone sends to a number of ours comes over SMPP and leaves by HTTP."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, stranger() as centre, serving(settings, world(centre.port, sink.url)) as app:
            await ask(app.http_port, submission("447700900123"))
            (call,) = await sink.until(lambda calls: len(calls) == 1)
            assert "Hello back" in call.fields.values()
            (message,) = rows(settings, schema.inbound)
            assert (message["originator"], message["recipient"]) == ("447700900123", "12345")

    run(story())


def test_a_character_in_two_segments_reaches_its_owner(tmp_path: Path) -> None:
    """A phone that cuts a long message inside a character is understood."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with (
            Sink() as sink,
            Centre().listening() as centre,
            serving(settings, world(centre.port, sink.url)),
        ):
            await centre.until(lambda: any(one.state.can_receive for one in centre.bound))
            octets = "привет 😀!".encode("utf-16-be")
            for position, part in enumerate((octets[:16], octets[16:]), 1):
                body = DeliverSm(
                    source="447700900123",
                    destination="12345",
                    esm_class=0x40,
                    data_coding=8,
                    short_message=bytes((5, 0, 3, 77, 2, position)) + part,
                )
                assert (await centre.deliver(body)).status == Status.OK
            (call,) = await sink.until(lambda calls: len(calls) == 1)
            assert "привет 😀!" in call.fields.values()

    run(story())


@pytest.mark.parametrize("is_listening", [True, False])
def test_a_backup_of_another_kind_takes_over(is_listening: bool, tmp_path: Path) -> None:
    """What an SMPP carrier does not want, or cannot get because it is away, goes out through the next of the route."""

    async def story() -> None:
        def script(_centre: Centre, connection: Connection, request: Pdu) -> None:
            connection.answer(request, SubmitSmResponse(), Status.REJECTED)

        settings = settings_in(tmp_path)
        centre = Centre(script)
        async with centre.listening():
            if not is_listening:
                centre.close()
            async with serving(settings, world(centre.port)) as app:
                assert (await ask(app.http_port, submission("393331234560"))).body == b"01"
                await all_are(settings, "delivered")
                assert len(centre.submitted) == is_listening

    run(story())


def test_a_doubt_is_held(tmp_path: Path) -> None:
    """A message whose answer never came stays in doubt and is not sent again, whatever else goes on."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Centre(nothing).listening() as centre, serving(settings, world(centre.port)) as app:
            await ask(app.http_port, submission("447700900120"))
            await centre.until(lambda: len(centre.requests) == 1)
            centre.drop()

            async def is_held() -> bool:
                (row,) = rows(settings, schema.message)
                return (row["state"], row["node_id"], row["attempt"]) == ("sending", 0, 1)

            await eventually(is_held)
            centre.script = accept
            await centre.until(lambda: len(centre.bound) == 2)
            await ask(app.http_port, submission("447700900124"))
            await centre.until(lambda: len(centre.requests) == 2)
            assert [body.destination for body in centre.submitted] == ["447700900120", "447700900124"]

    run(story())


def test_a_changed_carrier_is_bound_to_anew(tmp_path: Path) -> None:
    """After a change in the gateway file the old binds take their leave and new ones stand, without a restart."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Centre().listening() as centre, serving(settings, world(centre.port)) as app:
            await centre.until(lambda: len(centre.bound) == 2)
            before = set(centre.bound)
            apply(settings, world(centre.port).replace("throughput = 0", "throughput = 50"))
            await centre.until(lambda: len(centre.bound) == 2 and not before & set(centre.bound))
            await ask(app.http_port, submission("447700900120"))
            await centre.until(lambda: len(centre.requests) == 1)
            centre.deliver(receipt("1"))
            await all_are(settings, "delivered")
        assert states(settings) == ["delivered"]

    run(story())
