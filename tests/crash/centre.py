"""The carrier over SMPP: one message centre that two carriers of the gateway are bound to, each under its own name.

It has the journal and the manners of the others (`carrier.py`). No answer means here that it says no more on that link:
what it has said arrives, what it still hears is journalled, and none of it is answered. Its answers write ids in
hexadecimal digits; in its receipts one of the two carriers has them in decimal ones. Some phones reply.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NamedTuple

from crash.carrier import RECEIPT_CONNECTIONS, Carrier, Fate, is_undeliverable
from crash.gateway import BOUND_CARRIERS, BOUND_HOLDER, CARRIER_SMPP_PASSWORD, OWN_NUMBER
from crash.smpp_wire import ALPHANUMERIC, RECEIPT, Joiner, Link, Pdu, cut
from crash.wire import HOST, CutError

FIRST_ID = 0x1A000000
REPLY_EVERY = 10  # of what it hears
AGAIN_S = 0.05  # until a receipt that was not taken comes again
STATES = {"DELIVRD": 2, "UNDELIV": 5}  # message_state (5.2.28)


class Delivery(NamedTuple):
    """A deliver_sm for one of the two carriers. `reply` is the text from a phone that it is a part of."""

    number: int
    fields: dict[str, object]
    reply: str = ""


class Bound:
    """A link of the gateway, and what it waits for an answer to."""

    def __init__(self, link: Link, login: str) -> None:
        self.link = link
        self.login = login
        self.waiting: Counter[str] = Counter()  # by recipient
        self.unanswered: set[str] = set()  # since nothing more is said


class Centre:
    def __init__(self, journal: Carrier) -> None:
        self.port = 0
        self.heard = asyncio.Event()  # a submit_sm, since somebody cleared it
        self.links_count = 0  # that were bound
        self.cuts_count = 0
        self._journal = journal
        self._ids = itertools.count(FIRST_ID)
        self._bound: dict[Link, Bound] = {}
        self._is_bound = {login: asyncio.Event() for login in BOUND_CARRIERS}
        self._deliveries: dict[str, asyncio.Queue[Delivery]] = {login: asyncio.Queue() for login in BOUND_CARRIERS}
        self._open_count = 0  # of them
        self._copies: Counter[tuple[str, int]] = Counter()  # by recipient and position
        self._joiner = Joiner()
        self._tasks: set[asyncio.Task[None]] = set()
        self._mistake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, self._hear)
        self._run(link.listen()).add_done_callback(lambda _: self._leave(link))

    def _run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._mistake.done():
            self._mistake.set_exception(task.exception() or AssertionError)

    # What it hears

    def _hear(self, link: Link, pdu: Pdu) -> None:
        if pdu.command == "bind_transceiver":
            login = pdu.system_id.decode()
            assert pdu.password.decode() == CARRIER_SMPP_PASSWORD
            self.links_count += 1
            self._bound[link] = Bound(link, login)
            link.answer(pdu, system_id="centre")
            self._is_bound[login].set()
        else:
            assert pdu.command == "submit_sm", pdu.command
            self._take(self._bound[link], pdu)

    def _leave(self, link: Link) -> None:
        bound = self._bound.pop(link, None)
        if bound is not None and not any(other.login == bound.login for other in self._bound.values()):
            self._is_bound[bound.login].clear()

    def _take(self, bound: Bound, pdu: Pdu) -> None:
        """Journal it, then answer it or not."""
        assert pdu.registered_delivery == 1
        journal, recipient, heard = self._journal, pdu.destination_addr.decode(), self._joiner.hear(pdu)
        self.heard.set()
        self._copies[recipient, heard.position] += 1
        journal.copies[recipient] = max(journal.copies[recipient], self._copies[recipient, heard.position])
        journal.paths[recipient].add(bound.login)
        if heard.text is not None:
            journal.texts[recipient].add(heard.text)
        fate = journal.fate()
        bound.waiting[recipient] += 1
        if fate.is_silent and bound.link.is_open:
            self._say_no_more(bound)
        if not bound.link.is_open:
            self._note_unanswered(bound, recipient)
        self._run(self._answer(bound, pdu, fate))

    async def _answer(self, bound: Bound, pdu: Pdu, fate: Fate) -> None:
        number, recipient = next(self._ids), pdu.destination_addr.decode()
        receipt = Delivery(number, receipt_fields(bound.login, number, recipient, pdu.source_addr.decode()))
        if fate.is_early:
            self._deliver(bound.login, receipt)
        await asyncio.sleep(fate.wait_s)
        if bound.link.is_open:
            bound.link.answer(pdu, message_id=f"{number:08X}")
            bound.waiting[recipient] -= 1
        if not fate.is_early:
            self._deliver(bound.login, receipt)
        if not number % REPLY_EVERY:
            self._reply(bound.login, recipient, number)

    def _say_no_more(self, bound: Bound) -> None:
        self.cuts_count += 1
        bound.link.say_no_more()
        for recipient, count in bound.waiting.items():
            if count:
                self._note_unanswered(bound, recipient)

    def _note_unanswered(self, bound: Bound, recipient: str) -> None:
        """Once for each link, however many parts of it were lost there."""
        if recipient not in bound.unanswered:
            bound.unanswered.add(recipient)
            self._journal.unanswered[recipient] += 1

    # Receipts and replies

    def _reply(self, login: str, phone: str, number: int) -> None:
        """What the phone writes back, long or short."""
        text = f"Reply {number}" if number % 3 else f"Reply {number}: {'thank you ' * 20}"
        parts = cut(text, number)
        self._journal.replies[text] = len(parts)
        for part in parts:
            fields = {**addresses(phone, OWN_NUMBER), "esm_class": part.esm_class, "short_message": part.octets}
            self._deliver(login, Delivery(number, fields, text))

    def _deliver(self, login: str, delivery: Delivery) -> None:
        self._open_count += 1
        self._deliveries[login].put_nowait(delivery)

    @property
    def is_reporting(self) -> bool:
        """Whether anything still waits to be taken."""
        return bool(self._open_count)

    async def report(self) -> None:
        """Deliver everything, each until it is taken; runs until cancelled, or until there was a mistake."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wait_for_mistake())
            for login in BOUND_CARRIERS:
                for _ in range(RECEIPT_CONNECTIONS):
                    group.create_task(self._report_to(login))

    async def _wait_for_mistake(self) -> None:
        await self._mistake

    async def _report_to(self, login: str) -> None:
        while True:
            delivery = await self._deliveries[login].get()
            while not await self._is_taken(login, delivery):  # noqa: ASYNC110 (the gateway asked for time)
                await asyncio.sleep(AGAIN_S)
            self._open_count -= 1
            if delivery.reply:
                self._journal.replies[delivery.reply] -= 1

    async def _is_taken(self, login: str, delivery: Delivery) -> bool:
        await self._is_bound[login].wait()
        links = [bound.link for bound in self._bound.values() if bound.login == login and bound.link.is_open]
        if not links:
            return False
        try:
            answer = await links[delivery.number % len(links)].ask("deliver_sm", **delivery.fields)
        except CutError:
            return False
        return not answer.status


def receipt_fields(login: str, number: int, recipient: str, originator: str) -> dict[str, object]:
    """Of a deliver_sm; the text as appendix B has it."""
    stat = "UNDELIV" if is_undeliverable(recipient) else "DELIVRD"
    written = f"{number:08X}" if login == BOUND_HOLDER else str(number)
    text = (
        f"id:{written} sub:001 dlvrd:{stat == 'DELIVRD':03} submit date:2611210930 done date:2611210931 "
        f"stat:{stat} err:000 text:Telegram"
    )
    optional = {"receipted_message_id": written, "message_state": STATES[stat]} if login == BOUND_HOLDER else {}
    return {
        **addresses(recipient, originator),
        "dest_addr_ton": ALPHANUMERIC,
        "esm_class": RECEIPT,
        "short_message": text.encode(),
        **optional,
    }


def addresses(phone: str, other: str) -> dict[str, object]:
    return {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": phone,
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": other,
    }
