"""The customer's side: applications that send without pause over two dialects, and take the receipts.

An application writes down three things: what it was told is accepted, what it was told is refused, and what it never
heard of again. Every message has a recipient of its own, by which all journals are compared and which tells its text;
none is ever sent twice. Those that are bound (`esmes.py`) write into the same journal.
"""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from crash.gateway import LOGIN, PASSWORD, PREFIXES, Gateway
from crash.wire import Answer, Connection, CutError, Request

CONNECTIONS = 48
SMSFOX, PROOVL, SMPP = "smsfox", "proovl", "smpp"
LONG_EVERY = 7  # of the texts
LONG_CHARACTERS = 400  # three segments
ORIGINATOR = "Telegraph"


class Applications:
    def __init__(self, gateway: Gateway, carriers: Sequence[str], connections_count: int = CONNECTIONS) -> None:
        self.is_over = False
        self.prefixes = [PREFIXES[carrier] for carrier in carriers]
        self.accepted: dict[str, str] = {}  # recipient -> what the receipts will call the message
        self.refused: dict[str, str] = {}  # recipient -> in which words
        self.unanswered: set[str] = set()
        self.receipts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # (dialect, id) -> words
        self.replies: set[str] = set()  # texts that came from phones
        self.parts: dict[str, tuple[str, ...]] = {}  # recipient -> ids of the parts that asked for receipts
        self._gateway = gateway
        self._connections_count = connections_count
        self._numbers = itertools.count(1)
        self._awaited: list[tuple[int, asyncio.Event]] = []

    async def send(self) -> None:
        """Send until `stop`, with every connection always waiting for an answer."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections_count):
                group.create_task(self._send_on_one())

    def stop(self) -> None:
        """Send nothing more; what is under way is still answered."""
        self.is_over = True
        self._gateway.is_up.set()

    def reached(self, accepted_count: int) -> asyncio.Event:
        """Set once that many messages have been accepted."""
        event = asyncio.Event()
        self._awaited.append((accepted_count, event))
        return event

    def new_recipient(self) -> str:
        """The carriers take turns."""
        number = next(self._numbers)
        return f"{self.prefixes[number // 2 % len(self.prefixes)]}{number:09}"

    def note_accepted(self, recipient: str, reference: str) -> None:
        self.accepted[recipient] = reference
        while self._awaited and len(self.accepted) >= self._awaited[0][0]:
            self._awaited.pop(0)[1].set()

    async def _send_on_one(self) -> None:
        while not self.is_over:
            await self._gateway.is_up.wait()
            try:
                with contextlib.closing(await Connection.open(self._gateway.port)) as connection:
                    while connection.is_open and not self.is_over:
                        await self._send_one(connection, self.new_recipient())
            except CutError:  # refused: the gateway is just away
                await asyncio.sleep(0)

    async def _send_one(self, connection: Connection, recipient: str) -> None:
        dialect = (SMSFOX, PROOVL)[int(recipient) % 2]
        path, fields, read = SPEECH[dialect](recipient, text_to(recipient))
        try:
            status, answer = await connection.post(path, fields)
        except CutError:
            self.unanswered.add(recipient)
            return
        reference = read(answer) if status == 200 else None
        if reference is None:
            self.refused[recipient] = answer
        else:
            self.note_accepted(recipient, reference)

    async def take_receipt(self, request: Request) -> Answer:
        """A delivery receipt, in the dialect the message was sent in: only SMSFox names the phone."""
        fields = request.fields
        dialect = SMSFOX if "phone" in fields else PROOVL
        self.receipts[dialect, fields["id"]][fields["status"]] += 1
        return 200, "OK"


def text_to(recipient: str) -> str:
    """What a recipient is sent; a long text differs in all its segments."""
    number = int(recipient[-9:])
    text = f"Telegram {number}"
    if number % LONG_EVERY:
        return text
    return "; ".join([text, *(f"{number}.{line}" for line in range(LONG_CHARACTERS))])[:LONG_CHARACTERS]


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
