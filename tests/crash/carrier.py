"""A carrier that writes down everything it is asked to send, speaks two dialects, and is as unreliable as a real one.

It journals a message when it has read the whole request, before any answer: what it has journalled, it has sent. Most
answers come at once; some late, so that a kill finds them under way; a few never. Some receipts come before the answer.
Receipts are repeated until the gateway has taken them. Over SMPP (`centre.py`) it is just so, in the same journal.
"""

import asyncio
import contextlib
import itertools
import random
from collections import Counter, defaultdict
from typing import NamedTuple

from crash.gateway import CARRIER_LOGIN, CARRIER_PASSWORD, Gateway
from crash.wire import Answer, Connection, CutError, Request

LATE_SHARE, EARLY_RECEIPT_SHARE, SILENT_SHARE = 0.05, 0.05, 0.0005
LATE_MAX_S = 0.3
UNDELIVERABLE_EVERY = 10  # of the recipients
RECEIPT_CONNECTIONS = 12

SMSFOX_PATH, PROOVL_PATH = "/en/api/", "/api/send.php"
WORDS = {SMSFOX_PATH: ("01", "02"), PROOVL_PATH: ("Delivered", "Undelivered")}  # delivered or not

Receipt = tuple[str, dict[str, str]]  # the carrier's API path, the fields


class Fate(NamedTuple):
    """How a submission is answered."""

    is_silent: bool  # never
    is_early: bool  # after its receipt
    wait_s: float


class Carrier:
    def __init__(self, gateway: Gateway, seed: int, silent_share: float) -> None:
        self.copies: Counter[str] = Counter()  # by recipient: how often it was sent to
        self.texts: dict[str, set[str]] = defaultdict(set)  # by recipient: what it was sent, once that was whole
        self.paths: dict[str, set[str]] = defaultdict(set)  # by recipient: over which API or as whom bound
        self.unanswered: Counter[str] = Counter()  # by recipient: how often no answer was given on purpose
        self.replies: dict[str, int] = {}  # by text: how many of its parts the gateway has not taken yet
        self.receipt_paths: dict[str, str] = {}  # at the gateway, by API path
        self._gateway = gateway
        self._silent_share = silent_share
        self._random = random.Random(seed)
        self._ids = itertools.count(1)
        self._receipts: asyncio.Queue[Receipt] = asyncio.Queue()
        self._open_receipts = 0

    async def answer(self, request: Request) -> Answer | None:
        fields = request.fields
        if request.path == SMSFOX_PATH:
            credentials, recipient, reference = (fields["login"], fields["pwd"]), fields["phones"], fields["id"]
            text, accepted = fields["msg"], "01"
        else:
            credentials, recipient, reference = (fields["user"], fields["token"]), fields["to"], f"p{next(self._ids)}"
            text, accepted = fields["text"], f"Sent;{reference};1"
        assert credentials == (CARRIER_LOGIN, CARRIER_PASSWORD)
        self.copies[recipient] += 1
        self.texts[recipient].add(text)
        self.paths[recipient].add(request.path)
        return await self._reply(request.path, recipient, reference, accepted)

    async def _reply(self, path: str, recipient: str, reference: str, accepted: str) -> Answer | None:
        fate = self.fate()
        word = WORDS[path][is_undeliverable(recipient)]
        receipt = {"id": reference, "status": word, "phone": recipient, "token": CARRIER_PASSWORD}
        if fate.is_silent:
            self.unanswered[recipient] += 1
        if fate.is_early or fate.is_silent:
            self._call_back(path, receipt)
        await asyncio.sleep(fate.wait_s)
        if not (fate.is_early or fate.is_silent):
            self._call_back(path, receipt)
        return None if fate.is_silent else (200, accepted)

    def fate(self) -> Fate:
        chance = self._random.random()
        is_silent = chance < self._silent_share
        is_early = not is_silent and chance < self._silent_share + EARLY_RECEIPT_SHARE
        is_late = chance < self._silent_share + EARLY_RECEIPT_SHARE + LATE_SHARE
        return Fate(is_silent, is_early, self._random.uniform(0, LATE_MAX_S) if is_late and not is_silent else 0)

    def _call_back(self, path: str, fields: dict[str, str]) -> None:
        self._open_receipts += 1
        self._receipts.put_nowait((path, fields))

    @property
    def is_reporting(self) -> bool:
        """Whether receipts still wait to be taken."""
        return bool(self._open_receipts)

    async def report(self) -> None:
        """Call every receipt back to the gateway, each until it is taken; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(RECEIPT_CONNECTIONS):
                group.create_task(self._report_on_one())

    async def _report_on_one(self) -> None:
        receipt: Receipt | None = None
        while True:
            await self._gateway.is_up.wait()
            try:
                with contextlib.closing(await Connection.open(self._gateway.port)) as connection:
                    while connection.is_open:
                        receipt = receipt or await self._receipts.get()
                        path, fields = receipt
                        status, _ = await connection.post(self.receipt_paths[path], fields)
                        if status == 200:
                            receipt = None
                            self._open_receipts -= 1
            except CutError:
                await asyncio.sleep(0)


def is_undeliverable(recipient: str) -> bool:
    return int(recipient) % UNDELIVERABLE_EVERY == 0
