"""The way out for mail, against somebody else's server on loopback: sealed, logged in, and never a header too many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from chappe import outbound_mail
from chappe.core.model import Secret
from chappe.listeners.tls import make_self_signed, server_context
from chappe.outbound_mail import Mailer, MailServer, Posted, written


class Letter(NamedTuple):
    to: str = "alice@example.com"
    subject: str = "SMS from +447700900123 to +447700900001"
    text: str = "Hello\n"
    id: int = 77
    sent_ms: int = 1_800_000_000_000


class Server:
    """Keeps what it is handed, and how."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.was_sealed: list[bool] = []

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, to: str, _options: Any) -> str:
        if to.startswith("nobody"):
            return "550 nobody@example.com is unknown here"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        self.was_sealed.append(session.ssl is not None)
        return "250 OK"


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    return AuthResult(success=given == LoginPassword(b"us", b"secret"), handled=False)


@asynccontextmanager
async def listening(server: Server, **how: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(server, loop=loop, **how), "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def mailer(port: int, tls: str = "none", authorities_pem: bytes = b"", **changes: Any) -> Mailer:
    server = MailServer(host="localhost", port=port, sender="sms@chappe.example", tls=tls, **changes)
    return Mailer(server, authorities_pem)


def test_a_sealed_way_with_a_login(tmp_path: Path) -> None:
    """With STARTTLS the mail and the login are sealed, and only a certificate that is trusted will do."""
    certificate, key = make_self_signed(tmp_path)

    async def story() -> None:
        server = Server()
        how = {
            "tls_context": server_context(certificate, key),
            "require_starttls": True,
            "authenticator": authenticate,
            "auth_required": True,
        }
        async with listening(server, **how) as port:
            login: dict[str, Any] = {"login": "us", "password": Secret("secret")}
            trusted = certificate.read_bytes()
            assert await mailer(port, "starttls", trusted, **login).post(Letter()) == Posted(250)
            assert server.was_sealed == [True]
            wrong: dict[str, Any] = {"login": "us", "password": Secret("wrong")}
            refused = await mailer(port, "starttls", trusted, **wrong).post(Letter())
            assert refused == Posted(0, "mail server: SMTPAuthenticationError")
            assert (await mailer(port, "starttls", **login).post(Letter())).code == 0
            assert len(server.taken) == 1

    asyncio.run(story())


def test_what_is_not_sealed_is_not_sent() -> None:
    """A server that offers no STARTTLS gets no mail, unless none was asked for."""

    async def story() -> None:
        server = Server()
        async with listening(server) as port:
            assert (await mailer(port, "starttls").post(Letter())).code == 0
            assert server.taken == []
            assert await mailer(port).post(Letter()) == Posted(250)

    asyncio.run(story())


def test_a_refused_recipient_is_told_by_its_code() -> None:
    """What the server says about the recipient comes back as its code, without its words."""

    async def story() -> None:
        async with listening(Server()) as port:
            posted = await mailer(port).post(Letter(to="nobody@example.com"))
            assert posted == Posted(550, "mail server: 550")

    asyncio.run(story())


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and is silent costs the time-out, and says nothing about the mail."""
    monkeypatch.setattr(outbound_mail, "TIMEOUT_S", 0.2)

    async def story() -> None:
        gone = asyncio.Event()

        async def stay(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await gone.wait()
            writer.close()

        server = await asyncio.start_server(stay, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert (await mailer(port).post(Letter())).code == 0
        gone.set()
        server.close()
        assert (await mailer(port).post(Letter())).code == 0

    asyncio.run(story())


@pytest.mark.parametrize("field", ["subject", "to"])
def test_a_line_break_makes_no_header(field: str) -> None:
    """A line break in what becomes a header sends nothing at all."""

    async def story() -> None:
        server = Server()
        async with listening(server) as port:
            changes: dict[str, Any] = {field: "a@b.example\r\nBcc: eve@example.com"}
            wrong = Letter()._replace(**changes)
            assert (await mailer(port).post(wrong)).code == 0
            assert server.taken == []

    asyncio.run(story())


def test_the_same_mail_has_the_same_id() -> None:
    """Written twice, a mail is the same to whoever compares ids, and carries any text."""
    text = "Grüße ☃ 😀\n.\nFrom me\n" + "x" * 2000 + "\n"
    first, second = (written(Letter(text=text), "sms@chappe.example") for _ in range(2))
    assert first["message-id"] == second["message-id"] == "<77@chappe.example>"
    assert first["date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    read = message_from_bytes(first.as_bytes(), policy=default)
    assert read.get_content().replace("\r\n", "\n") == text
