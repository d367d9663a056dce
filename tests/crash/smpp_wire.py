"""SMPP 3.4 as small as it can be, for both sides of a gateway under test: no retries, no windows, nothing hidden.

The PDUs are smpplib's, so that no octet of a trial is written or read by the code under test on both sides. Whoever
asks gets a whole answer or a `CutError`, as over HTTP.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any, NamedTuple

from smpplib.smpp import make_pdu, parse_pdu  # type: ignore[import-untyped]

from crash.wire import CUTS, HOST, CutError

OK, BIND_FAILED = 0x00, 0x0D
HAS_HEADER, RECEIPT = 0x40, 0x04  # esm_class (5.2.12)
ALPHANUMERIC = 5  # type of number (5.2.5)
PLAIN_MAX, PART_MAX = 160, 153  # characters (3GPP TS 23.040 9.2.3.24.1)
Pdu = Any  # smpplib has no types


class Link:
    """One connection. `hear` gets every request but enquire_link and unbind, which are answered here."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Callable[["Link", Pdu], None]
    ) -> None:
        self.ended = asyncio.Event()  # set once it may not be asked on any more
        self.gone = asyncio.Event()  # set once the other side has closed
        self.sequence = 0  # the last number that smpplib took
        self._reader = reader
        self._writer = writer
        self._hear = hear
        self._asked: dict[int, asyncio.Future[Pdu]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, port: int, hear: Callable[["Link", Pdu], None]) -> AsyncIterator["Link"]:
        """Raises CutError where nobody listens."""
        try:
            link = cls(*await asyncio.open_connection(HOST, port), hear)
        except OSError:
            raise CutError from None
        listening = asyncio.create_task(link.listen())
        try:
            yield link
        finally:
            link.close()
            await listening

    @property
    def is_open(self) -> bool:
        return not (self.ended.is_set() or self._writer.is_closing())

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    async def ask(self, command: str, **fields: object) -> Pdu:
        """The answer, whatever its status. Raises CutError."""
        if not self.is_open:
            raise CutError
        pdu = make_pdu(command, client=self, **fields)
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._asked[pdu.sequence] = answer
        self._writer.write(pdu.generate())
        return await answer

    def answer(self, request: Pdu, status: int = OK, **fields: object) -> None:
        if not self._writer.is_closing():
            pdu = make_pdu(f"{request.command}_resp", client=self, status=status, **fields)
            pdu.sequence = request.sequence
            self._writer.write(pdu.generate())

    async def listen(self) -> None:
        """Hear the other side until it closes."""
        try:
            while True:
                length = await self._reader.readexactly(4)
                octets = length + await self._reader.readexactly(int.from_bytes(length) - 4)
                self._take(parse_pdu(octets, client=self, allow_unknown_opt_params=True))
        except CUTS:
            pass
        finally:
            self.close()
            self.gone.set()

    def _take(self, pdu: Pdu) -> None:
        if pdu.is_response():
            asked = self._asked.pop(pdu.sequence, None)
            if asked is not None and not asked.done():
                asked.set_result(pdu)
        elif pdu.command == "unbind":  # what was asked before is still answered
            self.ended.set()
            self.answer(pdu)
        elif pdu.command == "enquire_link":
            self.answer(pdu)
        else:
            self._hear(self, pdu)

    def close(self) -> None:
        self.ended.set()
        self._writer.close()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(CutError())
        self._asked.clear()

    def say_no_more(self) -> None:
        """Close this direction: all that was said arrives, and what the other side still says is heard."""
        self.ended.set()
        if not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()


class Part(NamedTuple):
    """What goes into one PDU."""

    esm_class: int
    octets: bytes


def cut(text: str, reference: int) -> list[Part]:
    """A text, if it is long in parts behind user data headers (3GPP TS 23.040 9.2.3.24.1)."""
    octets = text.encode()
    if len(octets) <= PLAIN_MAX:
        return [Part(0, octets)]
    starts = range(0, len(octets), PART_MAX)
    headers = [bytes((5, 0, 3, reference % 256, len(starts), position)) for position in range(1, len(starts) + 1)]
    return [
        Part(HAS_HEADER, header + octets[start : start + PART_MAX])
        for header, start in zip(headers, starts, strict=True)
    ]


class Heard(NamedTuple):
    """What one PDU brought: its place in its message, and the whole text if it was the last that was missing."""

    position: int
    text: str | None


class Joiner:
    """Puts long messages together, however often and in whichever order their parts come."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, dict[int, str]] = defaultdict(dict)

    def hear(self, pdu: Pdu) -> Heard:
        octets = pdu.short_message
        if not pdu.esm_class & HAS_HEADER:
            return Heard(1, octets.decode())
        assert octets[:3] == bytes((5, 0, 3))
        reference, total, position = octets[3:6]
        key = pdu.source_addr, pdu.destination_addr, reference, total
        parts = self._parts[key]
        parts[position] = octets[6:].decode()
        if len(parts) < total:
            return Heard(position, None)
        del self._parts[key]
        return Heard(position, "".join(text for _, text in sorted(parts.items())))
