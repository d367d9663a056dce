"""Numbers for rent through whole gateways: bought over HTTP, and lent by one gateway to the customers of another."""

import asyncio
from pathlib import Path

import msgspec

from chappe.store import schema
from whole import apply, ask, audit, eventually, post, rows, run, serving, settings_in

ALICE = {"user": "alice", "token": "correct horse"}

LENDER = """
[[account]]
name = "gateway-a"
password = "between us"
balance = "10.00"

[[number]]
number = "447700900002"
price = "1.00"
"""

BORROWER = """
[[carrier]]
name = "next"
kind = "proovl"
url = "{url}"
login = "gateway-a"
password = "between us"
options = {{ numbers = "on", numbers_markup = "25", public_url = "https://a.example" }}

[[account]]
name = "alice"
password = "correct horse"
balance = "10.00"

[[number]]
number = "390612345678"
price = "0.50"
"""


async def say(port: int, path: str, **fields: str) -> list[str]:
    answer = await ask(port, post(path, **ALICE, **fields))
    assert answer.status == 200
    return answer.body.decode().split("\n")


def test_a_number_travels_from_one_gateway_to_the_customer_of_another(tmp_path: Path) -> None:
    """Lent by B, offered by A with its markup, rented by Alice, forwarded to A, given back; both books are right."""

    async def story() -> None:
        settings_a, settings_b = settings_in(tmp_path / "a"), settings_in(tmp_path / "b")
        async with serving(settings_b, LENDER) as b:
            await asyncio.to_thread(apply, settings_a, BORROWER.format(url=f"http://127.0.0.1:{b.http_port}"))
            async with serving(settings_a) as a:

                async def is_offered() -> bool:
                    return len(await say(a.http_port, "/api/available.php")) == 2

                await eventually(is_offered)
                offers = await say(a.http_port, "/api/available.php")
                assert offers == ["390612345678;IT;0.50", "447700900002;GB;1.25"]
                assert await say(a.http_port, "/api/buy.php", country="GB") == ["OK;447700900002;1.25"]
                assert await say(a.http_port, "/api/buy.php", number="447700900002") == ["Error;Number not found"]
                [line] = await say(a.http_port, "/api/numbers.php")
                assert line.startswith("447700900002;GB;1.25;20")
                settings = {"number": "447700900002", "url": "https://alice.example/in"}
                assert await say(a.http_port, "/api/settings.php", **settings) == ["OK;447700900002"]
                [carrier] = rows(settings_a, schema.carrier)
                key = msgspec.json.decode(carrier["settings"])["callback_key"]
                [lent] = rows(settings_b, schema.rented_number)
                assert (lent["account_id"], lent["url"]) == (1, f"https://a.example/carrier/{key}")
                assert await say(a.http_port, "/api/cancel.php", number="447700900002") == ["OK;447700900002"]
                assert await say(a.http_port, "/api/numbers.php") == ["OK;0"]
                assert rows(settings_b, schema.rented_number)[0]["account_id"] == 0
        assert audit(settings_a)["revenue_micros"] == 1_250_000
        assert audit(settings_b)["revenue_micros"] == 1_000_000

    run(story())
