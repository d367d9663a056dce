"""The only door mail leaves by: to one server that the operator names, one mail at a time on a connection of its own.

It tells what the server said about the mail itself. What goes wrong before that (no connection, no TLS, a wrong
login) is no word about the mail: it may be tried again.
"""

import ssl
from asyncio import Semaphore, timeout
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from typing import NamedTuple, Protocol

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)
from msgspec import Struct

from chappe.core.model import Secret

CONNECTIONS_MAX = 8
TIMEOUT_S = 9.0  # for the whole of it: within that of a callback, whose way this is
NO_WORD, TAKEN = 0, 250


class MailServer(Struct, frozen=True, kw_only=True):
    """Whom to hand mail to, and as whom."""

    host: str
    port: int
    sender: str
    login: str = ""
    password: Secret = Secret("")
    tls: str = "starttls"  # or tls, from the first byte; or none


class Letter(Protocol):
    """What is to be written: `id` makes it known as the same if it comes twice."""

    @property
    def to(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def id(self) -> int: ...

    @property
    def sent_ms(self) -> int: ...


class Posted(NamedTuple):
    """What the server said about a mail: its reply code (RFC 5321 4.2), 0 where it said nothing; and why."""

    code: int
    detail: str = ""


async def post_nowhere(_letter: Letter) -> Posted:
    """Where no server is set: another of the gateway's processes may have one, or this one after its next start."""
    return Posted(NO_WORD, "mail server: none is set")


class Mailer:
    """`authorities_pem` holds certificates to trust besides the system's."""

    def __init__(self, server: MailServer, authorities_pem: bytes = b"") -> None:
        self._server = server
        self._room = Semaphore(CONNECTIONS_MAX)
        self._trust = trust(authorities_pem) if server.tls != "none" else None

    async def post(self, letter: Letter) -> Posted:
        """Hand one mail over. Never raises for what a network or a server does."""
        try:
            async with timeout(TIMEOUT_S), self._room:
                return await self._converse(written(letter, self._server.sender))
        except SMTPRecipientsRefused as refused:
            return said(refused.recipients[0])
        except (SMTPSenderRefused, SMTPRecipientRefused, SMTPDataError) as refused:
            return said(refused)
        except (SMTPException, OSError, ValueError) as error:  # TimeoutError is an OSError, SSLError too
            return Posted(NO_WORD, f"mail server: {type(error).__name__}")

    async def _converse(self, mail: EmailMessage) -> Posted:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.login or None,
            password=server.password.value if server.login else None,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=self._trust,
            timeout=TIMEOUT_S,
        )
        try:
            await client.connect()
            await client.send_message(mail)
            with suppress(SMTPException):  # it has the mail, however it takes leave
                await client.quit()
        finally:
            client.close()
        return Posted(TAKEN)


def said(refused: SMTPRecipientRefused | SMTPSenderRefused | SMTPDataError) -> Posted:
    """The code alone: a server's words may quote addresses and texts."""
    return Posted(refused.code, f"mail server: {refused.code}")


def written(letter: Letter, sender: str) -> EmailMessage:
    """A mail that says it was sent by a machine (RFC 3834), so that no machine answers it."""
    mail = EmailMessage(policy=WIRE)
    mail["From"] = sender
    mail["To"] = letter.to
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter.sent_ms / 1000, UTC))
    mail["Message-ID"] = f"<{letter.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    return mail


def trust(authorities_pem: bytes) -> ssl.SSLContext:
    """The system's authorities, and ours besides. Raises ValueError for certificates that cannot be read."""
    context = ssl.create_default_context()
    if authorities_pem:
        try:
            context.load_verify_locations(cadata=authorities_pem.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError):
            raise ValueError("a broken certificate in the CA file") from None
    return context
