"""The customer's side: applications that send without pause over two dialects, and take the receipts.

An application writes down three things: what it was told is accepted, what it was told is refused, and what it never
heard of again. Every message has a recipient of its own, by which all journals are compared; none is ever sent twice.
"""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable

from crash.gateway import LOGIN, PASSWORD, PREFIXES, Gateway
from crash.wire import Answer, Connection, CutError, Request

CONNECTIONS = 48
SMSFOX, PROOVL = "smsfox", "proovl"
ORIGINATOR = "Telegraph"


class Applications:
    def __init__(self, gateway: Gateway) -> None:
        self.accepted: dict[str, str] = {}  # recipient -> what the receipts will call the message
        self.refused: dict[str, str] = {}  # recipient -> in which words
        self.unanswered: set[str] = set()
        self.receipts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # (dialect, id) -> words
        self._gateway = gateway
        self._numbers = itertools.count(1)
        self._is_over = False
        self._awaited: list[tuple[int, asyncio.Event]] = []

    async def send(self) -> None:
        """Send until `stop`, with every connection always waiting for an answer."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._send_on_one())

    def stop(self) -> None:
        """Send nothing more; what is under way is still answered."""
        self._is_over = True
        self._gateway.is_up.set()

    def reached(self, accepted_count: int) -> asyncio.Event:
        """Set once that many messages have been accepted."""
        event = asyncio.Event()
        self._awaited.append((accepted_count, event))
        return event

    async def _send_on_one(self) -> None:
        while not self._is_over:
            await self._gateway.is_up.wait()
            try:
                with contextlib.closing(await Connection.open(self._gateway.port)) as connection:
                    while connection.is_open and not self._is_over:
                        await self._send_one(connection, next(self._numbers))
            except CutError:  # refused: the gateway is just away
                await asyncio.sleep(0)

    async def _send_one(self, connection: Connection, number: int) -> None:
        dialect = (SMSFOX, PROOVL)[number % 2]
        prefix = list(PREFIXES.values())[number // 2 % 2]
        recipient = f"{prefix}{number:09}"
        path, fields, read = SPEECH[dialect](recipient, f"Telegram {number}")
        try:
            status, answer = await connection.post(path, fields)
        except CutError:
            self.unanswered.add(recipient)
            return
        reference = read(answer) if status == 200 else None
        if reference is None:
            self.refused[recipient] = answer
            return
        self.accepted[recipient] = reference or recipient
        while self._awaited and len(self.accepted) >= self._awaited[0][0]:
            self._awaited.pop(0)[1].set()

    async def take_receipt(self, request: Request) -> Answer:
        """A delivery receipt, in the dialect the message was sent in: only SMSFox names the phone."""
        fields = request.fields
        dialect = SMSFOX if "phone" in fields else PROOVL
        self.receipts[dialect, fields["id"]][fields["status"]] += 1
        return 200, "OK"


Speech = tuple[str, dict[str, str], Callable[[str], str | None]]  # path, fields, and what an answer names the message


def smsfox(recipient: str, text: str) -> Speech:
    fields = {"login": LOGIN, "pwd": PASSWORD, "phones": recipient, "msg": text, "id": recipient, "sender": ORIGINATOR}
    return "/en/api/", fields, lambda answer: recipient if answer == "01" else None


def proovl(recipient: str, text: str) -> Speech:
    fields = {"user": LOGIN, "token": PASSWORD, "to": recipient, "text": text, "from": ORIGINATOR, "route": "1"}

    def read(answer: str) -> str | None:
        word, _, rest = answer.partition(";")
        return rest.partition(";")[0] if word == "Sent" else None

    return "/api/send.php", fields, read


SPEECH: dict[str, Callable[[str, str], Speech]] = {SMSFOX: smsfox, PROOVL: proovl}
