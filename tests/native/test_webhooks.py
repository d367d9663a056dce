"""Callbacks in our own dialect: signed so that anybody's library verifies them, and read back by our south half."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from chappe.cli.applying import applied
from chappe.core.model import Inbound, Secret, State
from chappe.core.webhooks import secret_of, signature
from chappe.dialects.base import CallbackTarget, HttpRequest, Upstream
from chappe.dialects.native import read_inbound, read_receipt, write_inbound, write_receipt
from chappe.gateway.gateway_file import GatewayFileError
from chappe.store import schema
from dialects.fidelity import INBOUND, REPORT
from native.house import NEVER, PHONE, WORLD, house_in
from whole import PATIENCE_S, rows, run, settings_in

OWN = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


class Heard(msgspec.Struct):
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A customer's web server that keeps what it hears, and refuses the first call of each id."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.changed = asyncio.Condition()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                is_first = all(one.headers["webhook-id"] != headers["webhook-id"] for one in self.heard)
                async with self.changed:
                    self.heard.append(Heard(headers, body))
                    self.changed.notify_all()
                status = b"503 X\r\nretry-after: 1" if is_first else b"204 X"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()

    async def until(self, is_enough: Callable[[list[Heard]], bool]) -> list[Heard]:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: is_enough(self.heard))
        return self.heard


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


@pytest.mark.parametrize("own", ["", OWN])
def test_anybody_can_verify_a_callback(tmp_path: Path, own: str) -> None:
    """Each attempt verifies with the account's secret, has the callback's one id, and says what became of what."""

    async def story() -> None:
        async with receiving() as receiver:
            world = WORLD.replace('password = "correct horse"', f'password = "correct horse"\nwebhook_secret = "{own}"')
            async with house_in(
                tmp_path, f"http://127.0.0.1:{receiver.port}/hook", world=world if own else WORLD
            ) as house:
                told: str = (await house.ask("alice", "GET", "/webhook-secret")).body["secret"]
                assert not own or told == own
                sent = (await house.send("alice", reference="Ünïcode")).body
                phone = {"originator": PHONE, "recipient": "447700900001", "text": "да & <нет>"}
                assert (await house.ask("test", "POST", "/simulator/inbound", phone)).status == 201
                heard = await receiver.until(lambda heard: len(heard) >= 4)
                verified = [(one.headers["webhook-id"], Webhook(told).verify(one.body, one.headers)) for one in heard]
                by_type: dict[str, list[tuple[str, Any]]] = {}
                for webhook_id, event in verified:
                    by_type.setdefault(event["type"], []).append((webhook_id, event["data"]))
                for events in by_type.values():
                    assert len({webhook_id for webhook_id, _ in events}) == 1
                    assert len({repr(data) for _, data in events}) == 1
                [(_, inbound), *_] = by_type["inbound.received"]
                assert (inbound["originator"], inbound["text"]) == (PHONE, "да & <нет>")
                states = [kind for kind in by_type if kind.startswith("message.")]
                assert states
                for kind in states:
                    [(_, data), *_] = by_type[kind]
                    assert (data["id"], data["reference"], kind) == (sent["id"], "Ünïcode", f"message.{data['state']}")
                for one in heard:
                    with pytest.raises(WebhookVerificationError):
                        Webhook(told).verify(one.body + b" ", one.headers)

    run(story())


TARGET = CallbackTarget(
    url="http://127.0.0.1/x", token=Secret("correct horse"), callback_id="17", signed_s=1_800_000_000, currency="EUR"
)
UPSTREAM = Upstream(
    url="",
    login="",
    password=Secret(""),
    options={"webhook_secret": secret_of(Secret(""), Secret("correct horse")).value},
)


def test_a_carrier_believes_what_is_signed_alone() -> None:
    """With a secret configured, only callbacks signed with it are read, whole and unchanged."""
    receipt, inbound = write_receipt(TARGET, REPORT), write_inbound(TARGET, INBOUND)
    found = read_receipt(UPSTREAM, receipt)
    assert found is not None
    assert (found.reference, found.state) == ("9001", State.DELIVERED)
    heard = read_inbound(UPSTREAM, inbound)
    assert isinstance(heard, Inbound)
    assert heard.text == INBOUND.text
    assert (read_inbound(UPSTREAM, receipt), read_receipt(UPSTREAM, inbound)) == (None, None)
    for broken in (
        msgspec.structs.replace(receipt, headers=()),
        msgspec.structs.replace(receipt, body=receipt.body.replace(b"delivered", b"rejected!")),
        msgspec.structs.replace(receipt, headers=tuple((n, v.replace(b"17", b"18")) for n, v in receipt.headers)),
        HttpRequest(method="POST", path="/", body=b"{}"),
        write_receipt(msgspec.structs.replace(TARGET, token=Secret("another")), REPORT),
    ):
        assert read_receipt(UPSTREAM, broken) is None


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode(), "x" * 40])
def test_a_secret_that_is_none_signs_nothing(secret: str) -> None:
    """What is not whsec_ and 24 to 64 bytes in base64 is refused."""
    with pytest.raises(ValueError, match=r"whsec_|base64|padding|Only"):
        signature(Secret(secret), "1", 1, b"")


def test_the_gateway_file_names_the_secret(tmp_path: Path) -> None:
    """A secret of an account's own is sealed, told as changed only when it is, and wrong ones are refused."""
    settings = settings_in(tmp_path)
    own = WORLD.replace("{sink}", NEVER).replace('"battery staple"', f'"battery staple"\nwebhook_secret = "{OWN}"')
    other = own.replace(OWN, "whsec_" + base64.b64encode(b"f" * 24).decode())

    def changed(text: str) -> list[str]:
        return [words for one in applied(settings, text, "file") for words in one.difference if "webhook" in words]

    assert changed(own) == ["webhook_secret: changed"]
    assert changed(own) == []
    assert changed(other) == ["webhook_secret: changed"]
    assert OWN not in repr(rows(settings, schema.account))
    assert changed(WORLD.replace("{sink}", NEVER)) == ["webhook_secret: changed"]
    with pytest.raises(GatewayFileError, match=r"webhook_secret .*24 to 64 bytes"):
        changed(own.replace(OWN, "whsec_c2hvcnQ="))


def test_fronts_carry_it_whole(tmp_path: Path) -> None:
    """Behind front processes the same is answered, however large the request."""

    async def story() -> None:
        async with house_in(tmp_path, fronts=1) as house:
            messages = [{"to": f"44770{n:07}", "text": "x" * 1_000} for n in range(2_000)]
            said = await house.ask("alice", "POST", "/messages", {"messages": messages})
            assert (said.status, said.code) == (402, "no_funds")
            assert (await house.ask("", "GET", "/balance")).code == "unauthorised"
            huge = await house.ask("alice", "POST", "/messages", b" " * (8 << 20) + b"{}")
            assert huge.status == 413

    run(story())
