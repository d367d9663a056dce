"""The client library, sync and async, against a server on a real socket that answers as a provider would."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

import chappe.client
from chappe.client import AsyncClient, Client, Refusal, RefusedError, SendError, UncertainError
from chappe.core.centre import Accepted, Balance
from chappe.core.model import State

PASSWORD = "CANARY-PASSWORD"


class Provider(ThreadingHTTPServer):
    """Answers every request with `status` and `answer`, and remembers what it was asked: path and form."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProviderHandler)
        self.status, self.answer = 200, ""
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class ProviderHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        self.reply(self.path, form)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.reply(path, query)

    def reply(self, path: str, form: str) -> None:
        assert isinstance(self.server, Provider)
        self.server.asked.append((path, parse_qs(form)))
        body = self.server.answer.encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(provider: Provider, via: str) -> Client:
    return Client(via, provider.url, login="me", password=PASSWORD)


def test_one_import_and_one_call(provider: Provider) -> None:
    """`chappe.client.send` sends a text in the language it is told, and returns one ticket per number in order."""
    provider.answer = "01"
    sent = chappe.client.send(
        ["447700900123", "447700900124"],
        "grüße",
        via="smsfox",
        url=provider.url,
        login="me",
        password=PASSWORD,
        originator="ACME",
        reference="r1",
    )
    assert [(ticket.recipient, ticket.reference) for ticket in sent.tickets] == [
        ("447700900123", "r1"),
        ("447700900124", "r1"),
    ]
    form = {
        "login": ["me"],
        "pwd": [PASSWORD],
        "phones": ["447700900123,447700900124"],
        "msg": ["grüße"],
        "id": ["r1"],
        "sender": ["ACME"],
    }
    assert provider.asked == [("/en/api/", form)]


def test_the_same_with_await(provider: Provider) -> None:
    """`send_async` and `AsyncClient` do what `send` and `Client` do."""
    provider.answer = "Sent;17;2"

    async def send() -> Accepted:
        return await chappe.client.send_async(
            "447700900123", "hello", via="proovl", url=provider.url, login="me", password=PASSWORD, originator="ACME"
        )

    sent = asyncio.run(send())
    assert [(ticket.reference, ticket.segments) for ticket in sent.tickets] == [("17", 2)]

    async def ask() -> tuple[State, Balance]:
        async with AsyncClient("proovl", provider.url, login="me", password=PASSWORD) as client:
            provider.answer = "17;Delivered;0.02"
            report = await client.status("17", originator="ACME")
            provider.answer = "99.98"
            return report.state, await client.balance()

    assert asyncio.run(ask()) == (State.DELIVERED, Balance(amount_micros=99_980_000))


def test_status_and_balance(provider: Provider) -> None:
    """A client asks for the state of a message and for the money left, in the provider's own addresses."""
    with client(provider, "proovl") as proovl:
        provider.answer = "17;Undelivered;0.02"
        report = proovl.status("17", originator="ACME")
        provider.answer = "1.5"
        left = proovl.balance()
    assert (report.state, report.price_micros, left.amount_micros) == (State.UNDELIVERABLE, 20_000, 1_500_000)
    assert [path for path, _ in provider.asked] == ["/api/check.php", "/api/balance.php"]


REFUSALS = [
    # dialect, status, answer, the reason
    ("smsfox", 200, "03", Refusal.UNAUTHORISED),
    ("smsfox", 200, "05", Refusal.NO_FUNDS),
    ("smsfox", 429, "", Refusal.THROTTLED),
    ("smsfox", 404, "", Refusal.INTERNAL),
    ("proovl", 200, "Error;Authorization error", Refusal.UNAUTHORISED),
]


@pytest.mark.parametrize("via, status, answer, reason", REFUSALS)
def test_a_refusal_is_raised(provider: Provider, via: str, status: int, answer: str, reason: Refusal) -> None:
    """What the other side certainly did not take is a RefusedError with a reason from the closed list."""
    provider.status, provider.answer = status, answer
    with client(provider, via) as sender, pytest.raises(RefusedError) as caught:
        sender.send("447700900123", "hello", originator="ACME")
    assert caught.value.reason is reason


@pytest.mark.parametrize("status, answer", [(200, "what?"), (200, ""), (500, "01"), (502, "")])
def test_doubt_is_raised(provider: Provider, status: int, answer: str) -> None:
    """Where nobody knows whether it was taken, UncertainError says so; it is no refusal."""
    provider.status, provider.answer = status, answer
    with client(provider, "smsfox") as sender, pytest.raises(UncertainError):
        sender.send("447700900123", "hello")


def test_nobody_there(provider: Provider) -> None:
    """A server that cannot be reached has certainly taken nothing."""
    provider.shutdown()  # else the thread that polls keeps the port open for one more connection
    provider.server_close()
    with client(provider, "smsfox") as sender, pytest.raises(RefusedError) as caught:
        sender.send("447700900123", "hello")
    assert caught.value.reason is Refusal.UNREACHABLE


def test_an_error_text_shows_no_secret(provider: Provider) -> None:
    """A provider that repeats password and number in its answer does not bring them into an exception's text."""
    provider.answer = f"Error;{PASSWORD} may not send to 447700900123"
    with client(provider, "proovl") as sender, pytest.raises(SendError) as caught:
        sender.send("447700900123", "CANARY-TEXT", originator="ACME")
    assert str(caught.value) == "refused (bad_request): *** may not send to 4477******23"
    assert "CANARY" not in repr(caught.value)


def test_what_a_language_lacks_is_refused_without_asking(provider: Provider) -> None:
    """A state, a balance or a schedule that the provider does not offer is refused as unsupported; nothing is sent."""
    with client(provider, "smsfox") as sender:
        for ask in (
            lambda: sender.status("1"),
            sender.balance,
            lambda: sender.send("447700900123", "hello", at=datetime(2030, 1, 1, tzinfo=UTC)),
        ):
            with pytest.raises(RefusedError) as caught:
                ask()
            assert caught.value.reason is Refusal.UNSUPPORTED
    assert provider.asked == []


def test_an_unknown_language_is_named() -> None:
    """An unknown dialect is an error that lists the known ones."""
    with pytest.raises(
        ValueError, match="no dialect is called 'telex'; there are chappe, proovl, smscentre, smsend, smsfox, voipcom"
    ):
        Client("telex", login="me", password=PASSWORD)


def test_a_local_time_is_no_instant(provider: Provider) -> None:
    """A time without a zone is refused: it would mean another instant on every machine."""
    with client(provider, "smsfox") as sender, pytest.raises(ValueError, match="time zone"):
        sender.send("447700900123", "hello", at=datetime(2030, 1, 1))


def test_threads_share_a_client(provider: Provider) -> None:
    """One client sends from several threads at once, each getting its own answer."""
    provider.answer = "01"
    tickets: list[str] = []
    with client(provider, "smsfox") as sender:

        def send(number: int) -> None:
            tickets.append(sender.send("447700900123", "hello", reference=f"r{number}").tickets[0].reference)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(tickets) == [f"r{number}" for number in range(8)]
