"""Two gateways in a row: what one is asked in the north it asks of the other in the south, and receipts come back."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from chappe.store import schema
from chappe.store.database import Database
from whole import Sink, all_are, apply, ask, audit, eventually, post, rows, run, serving, settings_in

PRICE_A, PRICE_B = 20_000, 10_000
TEXTS = ["Hello", "Привет, мир & €=100% + 1;2", "a" * 161, "line\nbreak 😀"]
NUMBERS = [f"44770090012{index}" for index in range(len(TEXTS))]


def near(kind: str, url: str, receipt_url: str) -> str:
    """Gateway A: applications talk to it, it talks to B."""
    return f"""
[[carrier]]
name = "next"
kind = "{kind}"
url = "{url}"
login = "gateway-a"
password = "between us"

[[route]]
prefix = ""
carriers = ["next"]
price = "0.0200"

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"
senders = ["ACME"]
receipt_url = "{receipt_url}"
receipt_dialect = "smsfox"
"""


def far(kind: str, receipt_url: str) -> str:
    """Gateway B: A is its customer; its carrier delivers."""
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = ""
carriers = ["sim"]
price = "0.0100"

[[account]]
name = "gateway-a"
password = "between us"
balance = "10.00"
receipt_url = "{receipt_url}"
receipt_dialect = "{kind}"
"""


def callback_key(database_url: str) -> str:
    with Database(database_url).engine.connect() as connection:
        settings = connection.execute(schema.carrier.select()).one()._mapping["settings"]
    key: str = msgspec.json.decode(settings)["callback_key"]
    return key


@pytest.mark.parametrize("kind", ["smsfox", "proovl"])
def test_texts_go_through_two_gateways_and_receipts_come_back(tmp_path: Path, kind: str) -> None:
    """Texts, recipients and originators arrive intact, receipts come back through both, and both books are right."""

    async def story() -> None:
        settings_a, settings_b = settings_in(tmp_path / "a"), settings_in(tmp_path / "b")
        async with Sink() as sink, serving(settings_b, far(kind, "")) as b:
            url = f"http://127.0.0.1:{b.http_port}"
            async with serving(settings_a, near(kind, url, sink.url)) as a:
                back = f"http://127.0.0.1:{a.http_port}/carrier/{callback_key(settings_a.database_url)}"
                await asyncio.to_thread(apply, settings_b, far(kind, back))
                await b._follow()
                for index, (number, text) in enumerate(zip(NUMBERS, TEXTS, strict=True), start=1):
                    fields = {"phones": number, "msg": text, "id": str(index), "sender": "ACME"}
                    answer = await ask(a.http_port, post("/en/api/", login="alice", pwd="correct horse", **fields))
                    assert answer.body == b"01"
                calls = await sink.until(lambda calls: len(calls) == len(TEXTS))
                await all_are(settings_a, "delivered")
                told = sorted((call.fields["id"], call.fields["phone"], call.fields["status"]) for call in calls)
                assert told == [(str(index), number, "01") for index, number in enumerate(NUMBERS, start=1)]
        arrived = {row["recipient"]: (row["text"], row["originator"]) for row in rows(settings_b, schema.message)}
        assert arrived == {number: (text, "ACME") for number, text in zip(NUMBERS, TEXTS, strict=True)}
        for settings, price in ((settings_a, PRICE_A), (settings_b, PRICE_B)):
            figures = audit(settings)
            segments = sum(row["segments"] for row in rows(settings, schema.message))
            assert figures["revenue_micros"] == segments * price
            assert figures["reserved_micros"] == 0
        assert rows(settings_a, schema.parked_receipt) == []

    run(story())


@pytest.mark.parametrize("kind", ["smsfox", "proovl"])
def test_what_the_far_one_refuses_is_refused_to_the_end(tmp_path: Path, kind: str) -> None:
    """A number that B's carrier refuses ends as failed at A too; a wrong password at B keeps messages waiting at A."""

    async def story() -> None:
        settings_a, settings_b = settings_in(tmp_path / "a"), settings_in(tmp_path / "b")
        async with Sink() as sink, serving(settings_b, far(kind, "")) as b:
            url = f"http://127.0.0.1:{b.http_port}"
            async with serving(settings_a, near(kind, url, sink.url)) as a:
                back = f"http://127.0.0.1:{a.http_port}/carrier/{callback_key(settings_a.database_url)}"
                await asyncio.to_thread(apply, settings_b, far(kind, back))
                await b._follow()
                answer = await ask(
                    a.http_port,
                    post("/en/api/", login="alice", pwd="correct horse", phones="447700909002", msg="x", id="5"),
                )
                assert answer.body == b"01"
                [call] = await sink.until(lambda calls: len(calls) == 1)
                assert call.fields == {"id": "5", "phone": "447700909002", "status": "03"}
                wrong = near(kind, url, sink.url).replace("between us", "not between us")
                await asyncio.to_thread(apply, settings_a, wrong)
                await a._follow()
                await ask(a.http_port, post("/en/api/", login="alice", pwd="correct horse", phones=NUMBERS[0], msg="x"))

                async def is_put_off() -> bool:
                    return bool(rows(settings_a, schema.message)[-1]["failures"])

                await eventually(is_put_off)
                assert [row["state"] for row in rows(settings_a, schema.message)] == ["rejected", "queued"]
        audit(settings_a)
        audit(settings_b)

    run(story())
