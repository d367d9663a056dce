"""Carriers over HTTP, on real sockets through the outbound door: what each way of answering means for a message."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from chappe.app import DIALECTS
from chappe.carriers.http import HttpCarrier
from chappe.core.centre import Accepted, Balance, Refusal, Refused, Uncertain
from chappe.core.model import Carrier, Report, Secret, State, Submission
from chappe.dialects.base import HttpRequest, Reply
from chappe.networks import OPEN, Networks
from chappe.outbound import Outbound
from whole import PATIENCE_S, Call, read_call

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
MESSAGE = Submission(recipients=("447700900123",), text="Hello", originator="ACME", reference="9001")
Serve = Callable[[Call], bytes | None]


class Upstream:
    """A provider's web server: `serve` makes the bytes of each answer; None = it never answers."""

    def __init__(self, serve: Serve) -> None:
        self.calls: list[Call] = []
        self._serve = serve
        self._conversations: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await asyncio.gather(*self._conversations)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            call = await read_call(reader)
            self.calls.append(call)
            answer = self._serve(call)
            if answer is None:
                await reader.read()  # until the gateway gives up
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def page(body: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n%s\r\n" % (status, len(body), headers)
    return head + body


def answered(
    kind: str, serve: Serve, work: Callable[[HttpCarrier], Awaitable[Any]], *, networks: Networks = OPEN
) -> tuple[Any, list[Call]]:
    """What a carrier of this kind makes of an upstream that answers so, and what it was asked."""

    async def story() -> tuple[Any, list[Call]]:
        upstream = Upstream(serve)
        outbound = Outbound(networks)

        async def send(request: HttpRequest, timeout_s: float) -> Reply:
            return await outbound.send(request, timeout_s=timeout_s)

        async with asyncio.timeout(PATIENCE_S), upstream.listening() as port:
            carrier = Carrier(
                id=1,
                name="up",
                kind=kind,
                url=f"http://127.0.0.1:{port}",
                login="me",
                password=Secret("canary-secret"),
                timeout_s=0.3,
            )
            try:
                return await work(HttpCarrier(carrier, BY_NAME[kind].south, send)), upstream.calls
            finally:
                await outbound.close()

    return asyncio.run(story())


def submit(carrier: HttpCarrier) -> Awaitable[Any]:
    return carrier.submit(MESSAGE)


# The answer's bytes, the kind of verdict, and the refusal's reason
ANSWERS: list[tuple[str, bytes | None, type[Any], Refusal | None]] = [
    ("accepted", page(b"01"), Accepted, None),
    ("accepted, with a line end", page(b"01\r\n"), Accepted, None),
    ("refused", page(b"04"), Refused, Refusal.BAD_RECIPIENT),
    ("no money there", page(b"05"), Refused, Refusal.NO_FUNDS),
    ("wrong password there", page(b"03"), Refused, Refusal.UNAUTHORISED),
    ("a code nobody knows", page(b"99"), Uncertain, None),
    ("nothing", page(b""), Uncertain, None),
    ("a page of HTML", page(b"<html>01</html>"), Uncertain, None),
    ("a long one that begins like a yes", page(b"01" + b"1" * 200_000), Uncertain, None),
    ("broken", page(b"01", 500), Uncertain, None),
    ("a gateway in between", page(b"", 502), Uncertain, None),
    ("full, come back", page(b"", 503, b"retry-after: 7\r\n"), Refused, Refusal.OVERLOADED),
    ("too fast", page(b"", 429, b"retry-after: 7\r\n"), Refused, Refusal.THROTTLED),
    ("not there", page(b"", 404), Refused, Refusal.INTERNAL),
    ("a redirect", page(b"01", 302, b"location: http://127.0.0.1:9/\r\n"), Refused, Refusal.INTERNAL),
    ("no HTTP", b"SSH-2.0-OpenSSH\r\n", Uncertain, None),
    ("half an answer", page(b"01")[:-1], Uncertain, None),
    ("hangs up", b"", Uncertain, None),
    ("silence", None, Uncertain, None),
]


@pytest.mark.parametrize("name, answer, kind, reason", ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_an_answer_means(name: str, answer: bytes | None, kind: type[Any], reason: Refusal | None) -> None:
    """Only a clear yes is sent, only a clear no is refused; whatever else happens after bytes left is uncertain."""
    verdict, calls = answered("smsfox", lambda call: answer, submit)
    assert isinstance(verdict, kind)
    assert getattr(verdict, "reason", None) == reason
    assert getattr(verdict, "retry_after_s", None) == (7.0 if answer and b"retry-after" in answer else None)
    assert "canary" not in repr(verdict)
    assert len(calls) == 1


def test_the_request_is_the_providers() -> None:
    """The message leaves with login, our reference and its fields, at the provider's own path."""
    verdict, [call] = answered("smsfox", lambda call: page(b"01"), submit)
    assert isinstance(verdict, Accepted)
    assert verdict.tickets[0].reference == "9001"
    assert (call.method, call.path) == ("POST", "/en/api/")
    assert call.fields == {
        "login": "me",
        "pwd": "canary-secret",
        "phones": "447700900123",
        "msg": "Hello",
        "id": "9001",
        "sender": "ACME",
    }


def test_a_closed_port_is_certain() -> None:
    """Where nothing can have left, the message stays ours: refused as unreachable, not uncertain."""

    async def story() -> Any:
        outbound = Outbound(OPEN)
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()

        async def send(request: HttpRequest, timeout_s: float) -> Reply:
            return await outbound.send(request, timeout_s=timeout_s)

        carrier = Carrier(id=1, name="up", kind="smsfox", url=f"http://127.0.0.1:{port}", login="me")
        try:
            return await HttpCarrier(carrier, BY_NAME["smsfox"].south, send).submit(MESSAGE)
        finally:
            await outbound.close()

    verdict = asyncio.run(story())
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNREACHABLE


def test_a_forbidden_network_is_never_asked() -> None:
    """A carrier inside a network that is not allowed is unreachable, and hears nothing."""
    verdict, calls = answered("smsfox", lambda call: page(b"01"), submit, networks=Networks())
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNREACHABLE
    assert calls == []


def test_proovl_is_asked_for_status_and_balance() -> None:
    """A provider with a status query and a balance is asked for both at its own addresses."""
    answers = {"/api/check.php": b"77;Delivered;0.02", "/api/balance.php": b"12.5", "/api/send.php": b"Sent;77;1"}

    async def work(carrier: HttpCarrier) -> Any:
        return await carrier.submit(MESSAGE), await carrier.query("77", "ACME"), await carrier.balance()

    (verdict, report, balance), calls = answered("proovl", lambda call: page(answers[call.path]), work)
    assert isinstance(verdict, Accepted)
    assert verdict.tickets[0].reference == "77"
    assert isinstance(report, Report)
    assert (report.state, report.price_micros) == (State.DELIVERED, 20_000)
    assert balance == Balance(amount_micros=12_500_000)
    assert calls[1].fields == {"id": "77", "phone": "ACME"}


def test_what_a_provider_does_not_offer_is_not_asked() -> None:
    """SMSFox has no status query, balance or cancellation: all are answered without a request."""

    async def work(carrier: HttpCarrier) -> Any:
        return await carrier.query("1"), await carrier.balance(), await carrier.cancel("1")

    outcomes, calls = answered("smsfox", lambda call: page(b"01"), work)
    assert {one.reason for one in outcomes} == {Refusal.UNSUPPORTED}
    assert calls == []
