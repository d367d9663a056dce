"""SMS Centre against the whole gateway: what is sent is found by its id and phone, listed, summed, taken back, and
called back with a control value."""

from hashlib import md5
from pathlib import Path
from typing import Any

import msgspec

from chappe.core.model import State
from whole import Sink, all_are, ask, audit, get, post, run, serving, settings_in

SECRET = "s3cr-t_1"


def world(receipt_url: str = "", virtual: str = "false") -> str:
    return f"""
[[carrier]]
name = "sim"
kind = "simulated"

[[route]]
prefix = "44"
carriers = ["sim"]
price = "0.0125"

[[account]]
name = "alice"
password = "correct horse"
balance = "1.00"
senders = ["ACME"]
timezone = "Europe/Moscow"
virtual = {virtual}
{f'receipt_url = "{receipt_url}"' if receipt_url else ""}
"""


async def call(port: int, path: str, **fields: str) -> Any:
    """One call of alice's in JSON; what answers it."""
    login = {"login": "alice", "psw": md5(b"correct horse").hexdigest(), "charset": "utf-8", "fmt": "3"}
    answer = await ask(port, post(f"/sys/{path}.php", **login, **fields))
    assert answer.status == 200
    return msgspec.json.decode(answer.body)


def test_what_was_sent_is_found_by_its_id_and_phone(tmp_path: Path) -> None:
    """A wrong number keeps no other from being sent to; each status, the history and the sums agree with the answer."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            request = {"phones": "447700900002;447700900003,12", "mes": "Привет", "id": "17", "cost": "3", "err": "1"}
            sent = await call(app.http_port, "send", **request)
            assert [sent[name] for name in ("id", "cnt", "cost", "balance")] == [17, 2, "0.025", "0.975"]
            assert [(one["phone"], one["status"], one["error"]) for one in sent["phones"]] == [("12", "22", "249")]
            await all_are(settings, State.DELIVERED)
            pair = {"id": "17,17", "phone": "447700900002,447700900003", "all": "1"}
            found = await call(app.http_port, "status", **pair)
            assert [(one["status"], one["phone"], one["message"], one["cost"]) for one in found] == [
                (1, "447700900002", "Привет", "0.0125"),
                (1, "447700900003", "Привет", "0.0125"),
            ]
            assert await call(app.http_port, "status", id="17", phone="12") == {"status": -3}
            listed = await call(app.http_port, "get", get_messages="1")
            assert sorted(one["phone"] for one in listed) == ["447700900002", "447700900003"]
            (sums,) = await call(app.http_port, "get", get_stat="1")
            assert (sums["login"], sums["sms"], sums["credit"]) == ("alice", 2, "0.025")
            assert await call(app.http_port, "get", get_answers="1") == []

    run(story())


def test_what_waits_is_taken_back(tmp_path: Path) -> None:
    """A message for tomorrow waits, is taken back with its money, and cannot be taken back again."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            pair = {"id": "order-17", "phone": "447700900002"}
            await call(app.http_port, "send", phones="447700900002", mes="Hello", id="order-17", time="+1440")
            assert (await call(app.http_port, "status", **pair))["status"] == -1
            assert (await call(app.http_port, "balance"))["balance"] == "0.9875"
            assert await call(app.http_port, "status", **pair, **{"del": "1"}) == {"result": "OK"}
            assert (await call(app.http_port, "balance"))["balance"] == "1.00"
            assert (await call(app.http_port, "status", **pair, **{"del": "1"}))["error_code"] == 5
            assert (await call(app.http_port, "status", **pair))["status"] == -2
            assert audit(settings)["reserved_micros"] == 0

    run(story())


def test_the_same_again_is_refused_for_a_minute(tmp_path: Path) -> None:
    """The second of two equal requests is error 9; asking for the price of it is not, and keeps nothing."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            same = {"phones": "447700900002", "mes": "Hello"}
            assert await call(app.http_port, "send", **same, cost="1") == {"cost": "0.0125", "cnt": 1}
            assert (await call(app.http_port, "send", **same))["cnt"] == 1
            assert (await call(app.http_port, "send", **same))["error_code"] == 9
            assert await call(app.http_port, "send", **same, cost="1") == {"cost": "0.0125", "cnt": 1}
            assert audit(settings)["messages"] == 1

    run(story())


def test_a_handler_is_called_with_a_control_value(tmp_path: Path) -> None:
    """The status reaches the handler under the client's own id, its parameters repeated and the secret replaced."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with Sink() as sink, serving(settings, world(f"{sink.url}?shop=7&md5={SECRET}")) as app:
            await call(app.http_port, "send", phones="447700900002", mes="Hello", id="17")
            (told,) = await sink.until(lambda calls: len(calls) >= 1)
        names = ("id", "phone", "status", "err", "sender", "shop")
        assert [told.fields[name] for name in names] == ["17", "447700900002", "1", "0", "ACME", "7"]
        assert told.fields["md5"] == md5(f"17:447700900002:1:{SECRET}".encode()).hexdigest()

    run(story())


def test_in_test_mode_nothing_is_sent_and_nothing_charged(tmp_path: Path) -> None:
    """A virtual account's message costs nothing and is delivered at once, with error code 200."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world(virtual="true")) as app:
            sent = await call(app.http_port, "send", phones="447700900002", mes="Hello", id="17", cost="3", op="1")
            assert (sent["cost"], sent["balance"]) == ("0.00", "1.00")
            assert "cost" not in sent["phones"][0]
            found = await call(app.http_port, "status", id="17", phone="447700900002")
            assert (found["status"], found["err"]) == (1, 200)
            assert audit(settings)["revenue_micros"] == 0

    run(story())


def test_the_line_of_the_documentation_works(tmp_path: Path) -> None:
    """What any browser can send is answered in the provider's own words."""

    async def story() -> None:
        settings = settings_in(tmp_path)
        async with serving(settings, world()) as app:
            fields = {"login": "alice", "psw": "correct horse", "phones": "447700900002", "mes": "Hello", "id": "17"}
            answer = await ask(app.http_port, get("/sys/send.php", **fields))
            assert answer.body == b"OK - 1 SMS, ID - 17"
            assert answer.headers["content-type"] == "text/plain; charset=windows-1251"

    run(story())
