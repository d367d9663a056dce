"""ESMEs for the tests of the SMPP door: one that says exactly what a test wants, octet by octet, and smpplib's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from ssl import SSLContext
from typing import Any, TypeVar

import smpplib.client  # type: ignore[import-untyped]
from smpplib.pdu import PDU  # type: ignore[import-untyped]

from chappe.smpp.pdu import (
    RESPONSE,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    Body,
    DeliverSm,
    DeliverSmResponse,
    Pdu,
    Status,
    SubmitSm,
    decode,
    encode,
)
from whole import PATIENCE_S

KINDS = {"transmitter": BindTransmitter, "receiver": BindReceiver, "transceiver": BindTransceiver}
Result = TypeVar("Result")


class Peer:
    """An ESME that says what it is told to and remembers what came unasked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self.delivered: list[DeliverSm] = []  # deliver_sm that were answered
        self.deliver_status: int = Status.OK

    def say(self, octets: bytes) -> None:
        self._writer.write(octets)

    def send(self, body: Body) -> int:
        """A request; its sequence number."""
        self._sequence += 1
        self.say(encode(Pdu(body, self._sequence)))
        return self._sequence

    async def read(self) -> Pdu:
        """The next PDU, whatever it is. Raises IncompleteReadError at the end."""
        async with asyncio.timeout(PATIENCE_S):
            length = await self._reader.readexactly(4)
            return decode(length + await self._reader.readexactly(int.from_bytes(length) - 4))

    async def answer_to(self, sequence: int) -> Pdu:
        """The response to a request; what is delivered meanwhile is answered."""
        while True:
            pdu = await self.read()
            if pdu.body.command_id & RESPONSE and pdu.sequence == sequence:
                return pdu
            self._take(pdu)

    def _take(self, pdu: Pdu) -> None:
        if isinstance(pdu.body, DeliverSm):
            self.delivered.append(pdu.body)
            self.say(encode(Pdu(DeliverSmResponse(), pdu.sequence, self.deliver_status)))

    async def ask(self, body: Body) -> Pdu:
        return await self.answer_to(self.send(body))

    async def hear(self, count: int) -> list[DeliverSm]:
        """So many deliveries, those included that came before."""
        while len(self.delivered) < count:
            self._take(await self.read())
        return self.delivered

    async def bind(self, kind: str = "transceiver", system_id: str = "alice", password: str = "secret8") -> Pdu:
        return await self.ask(KINDS[kind](system_id=system_id, password=password))

    async def is_closed(self) -> bool:
        """Whether the other side closes, whatever it says before."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await self._reader.read(65_536):
                    pass
        return True

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def peer(port: int, tls: SSLContext | None = None, source: str = "127.0.0.1") -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, local_addr=(source, 0))
    one = Peer(reader, writer)
    try:
        yield one
    finally:
        one.close()
        with contextlib.suppress(Exception):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def bound(port: int, kind: str = "transceiver", **who: str) -> AsyncIterator[Peer]:
    async with peer(port) as one:
        answer = await one.bind(kind, **who)
        assert answer.status == Status.OK
        yield one


def a_submit(text: bytes = b"Hello", **changes: Any) -> SubmitSm:
    fields: dict[str, Any] = {
        "source_ton": 5,
        "source": "ACME",
        "destination_ton": 1,
        "destination_npi": 1,
        "destination": "447700900123",
        "short_message": text,
    }
    return SubmitSm(**fields | changes)


async def with_smpplib(port: int, story: Callable[[smpplib.client.Client, list[PDU]], Result]) -> Result:
    """Run a story of smpplib's client, bound as a transceiver, in a thread; what it receives is in the list."""
    received: list[PDU] = []

    def live() -> Result:
        client = smpplib.client.Client("127.0.0.1", port, timeout=PATIENCE_S, allow_unknown_opt_params=True)

        def keep(pdu: PDU) -> None:
            received.append(pdu)

        client.set_message_received_handler(keep)
        client.set_message_sent_handler(keep)
        client.connect()
        try:
            client.bind_transceiver(system_id="alice", password="secret8")
            told = story(client, received)
            client.unbind()
            return told
        finally:
            client.disconnect()

    return await asyncio.to_thread(live)
