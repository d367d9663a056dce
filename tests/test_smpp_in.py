"""Other people's ESMEs on a whole gateway: aiosmpplib, and Debian's Kannel with applications of its own behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmpplib  # type: ignore[import-untyped]
import pytest

from chappe.core.model import Inbound
from chappe.store import schema
from kannel import kannel
from listeners.test_smpp import here, world
from whole import PATIENCE_S, Sink, ask, eventually, rows, run, serving

LONG = "A text that is longer than one segment has room for. " * 6
GREEK = "Καλημέρα κόσμε! " * 6


class Hook(aiosmpplib.AbstractHook):  # type: ignore[misc]  # the package is not typed as we type
    """Keeps what aiosmpplib tells of its messages."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.receipts: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.changed = asyncio.Condition()

    async def sending(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        """Nothing to keep."""

    async def received(self, smpp_message: Any, pdu: bytes, client_id: str) -> None:
        async with self.changed:
            if isinstance(smpp_message, aiosmpplib.SubmitSmResp):
                self.answers.append(smpp_message)
            elif isinstance(smpp_message, aiosmpplib.DeliverSm) and smpp_message.is_receipt():
                self.receipts.append(smpp_message.parse_receipt())
            self.changed.notify_all()

    async def send_error(self, smpp_message: Any, error: Exception, client_id: str) -> None:
        self.errors.append(error)

    async def until(self, receipts_count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: len(self.receipts) >= receipts_count)


@contextlib.asynccontextmanager
async def aiosmpplib_bound(port: int, hook: Hook) -> AsyncIterator[Any]:
    esme = aiosmpplib.ESME(
        smsc_host="127.0.0.1", smsc_port=port, system_id="alice", password="secret8", hook=hook, log_level="ERROR"
    )
    running = asyncio.create_task(esme.start())
    try:
        yield esme
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await esme.stop()
        running.cancel()
        await asyncio.wait([running], timeout=PATIENCE_S)


def submit_sm(text: str, log_id: str, **more: Any) -> Any:
    return aiosmpplib.SubmitSm(
        short_message=text,
        source=aiosmpplib.PhoneNumber("ACME", ton=aiosmpplib.TON.ALPHANUMERIC),
        destination=aiosmpplib.PhoneNumber("447700900123"),
        log_id=log_id,
        registered_delivery=1,
        **more,
    )


# Its streams are left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_aiosmpplib_sends_and_hears(tmp_path: Path) -> None:
    """aiosmpplib sends short and long texts, the long ones as payload, and reads its receipts."""

    async def story() -> None:
        settings = here(tmp_path)
        hook = Hook()
        async with serving(settings, world()) as app, aiosmpplib_bound(app.smpp_port, hook) as esme:
            await esme.broker.enqueue(submit_sm("Hello", "short"))
            await esme.broker.enqueue(submit_sm(LONG, "payload"))
            await esme.broker.enqueue(submit_sm(GREEK * 2, "greek"))
            await hook.until(3)
            assert {one["stat"] for one in hook.receipts} == {"DELIVRD"}
            assert hook.errors == []
            texts = [row["text"] for row in rows(settings, schema.message)]
            assert sorted(texts) == sorted(["Hello", LONG, GREEK * 2])

    run(story())


@pytest.mark.parametrize(
    "text, more, segments",
    [
        ("Hello from Kannel", {}, 1),
        (LONG, {}, 3),
        (GREEK, {"coding": "2"}, 2),
    ],
)
def test_kannel_sends_and_hears(tmp_path: Path, text: str, more: dict[str, str], segments: int) -> None:
    """What an application sends through Kannel is one message here, and the application hears what became of it."""

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, Sink() as sink:
            async with kannel(tmp_path, app.smpp_port) as one:
                dlr = {"dlr_mask": "31", "dlr_url": f"{sink.url}?type=%d&id=%F"}
                answer = await ask(one.port, one.sendsms("447700900123", text, **{"from": "ACME"}, **dlr, **more))
                assert answer.status == 202
                calls = await sink.until(lambda calls: any(call.fields["type"] == "1" for call in calls))
            types = [call.fields["type"] for call in calls]
            assert set(types) == {"8", "4", "1"}  # accepted here, on its way, delivered
            assert types[-1] == "1"
            [row] = rows(settings, schema.message)
            assert (row["text"], row["segments"], row["state"]) == (text, segments, "delivered")

    run(story())


def test_kannel_hears_of_failures(tmp_path: Path) -> None:
    """A message that cannot be delivered, and one that is refused at once, are told to the application as such."""

    async def story() -> None:
        async with (
            serving(here(tmp_path), world()) as app,
            Sink() as sink,
            kannel(tmp_path, app.smpp_port) as one,
        ):
            for to, name in (("447709009001", "undeliverable"), ("12", "refused")):
                dlr = {"dlr_mask": "31", "dlr_url": f"{sink.url}?type=%d&name={name}"}
                await ask(one.port, one.sendsms(to, "Hello", **{"from": "ACME"}, **dlr))

            def told(name: str) -> set[str]:
                return {call.fields["type"] for call in sink.calls if call.fields["name"] == name}

            await sink.until(lambda _: told("undeliverable") >= {"8", "2"} and told("refused") >= {"16"})

    run(story())


def test_messages_from_phones_reach_applications_of_kannel(tmp_path: Path) -> None:
    """A long message from a phone comes to Kannel's application whole."""

    async def story() -> None:
        async with (
            serving(here(tmp_path), world("smpp_receiver = true")) as app,
            Sink() as sink,
            kannel(tmp_path, app.smpp_port, inbound_url=sink.url),
        ):
            inbound = Inbound(reference="r", originator="447700900123", recipient="447700900001", text=LONG)
            await app._inbox.receive(app._directory.current.carriers[0], inbound)
            [call] = await sink.until(bool)
            assert (call.fields["from"], call.fields["to"]) == ("+447700900123", "+447700900001")
            assert call.fields["text"].strip() == LONG.strip()

    run(story())


def test_kannels_traffic_comes_through(tmp_path: Path) -> None:
    """A few hundred messages through Kannel are each delivered once and receipted once, over a restart of the bind."""
    count = 300

    async def story() -> None:
        settings = here(tmp_path)
        async with serving(settings, world()) as app, Sink() as sink:
            async with kannel(tmp_path, app.smpp_port, window=50) as one:
                for index in range(count):
                    dlr = {"dlr_mask": "1", "dlr_url": f"{sink.url}?name={index}"}
                    answer = await ask(one.port, one.sendsms(f"4477009{index:05d}", "Hello", **{"from": "ACME"}, **dlr))
                    assert answer.status == 202
                    if index == count // 2:
                        for connection in list(app.smpp._esmes):
                            connection.abort("a test")
                await sink.until(lambda calls: len({call.fields["name"] for call in calls}) == count)

            async def are_done() -> bool:
                return {row["state"] for row in rows(settings, schema.callback)} == {"done"}

            await eventually(are_done)

    run(story())
