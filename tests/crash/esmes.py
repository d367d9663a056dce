"""The customer's side over SMPP: applications that stay bound, submit without pause, and take the receipts.

They write into the journal of the others (`applications.py`). Long messages are submitted in parts, and a part that got
no answer is submitted again on the next bind, as ESMEs do: a message is accepted once all its parts are, and is one
message however often any of them came. Now and then a receipt is answered by hanging up.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Callable

from crash.applications import ORIGINATOR, SMPP, Applications, text_to
from crash.gateway import LOGIN, SMPP_PASSWORD, Gateway
from crash.smpp_wire import BIND_FAILED, HAS_HEADER, OK, RECEIPT, Link, Pdu
from crash.wire import CutError

BINDS = ("bind_transceiver", "bind_transceiver", "bind_transmitter", "bind_receiver")
SUBMISSIONS = 12  # without an answer, on each bind that can submit
AGAIN_S = 0.02  # until a lost bind is made again
PLAIN_MAX, PART_MAX = 160, 153  # characters (3GPP TS 23.040 9.2.3.24.1)
ALPHANUMERIC = 5  # type of number (5.2.5)
SAID = re.compile(rb"id:(\d+) .*\bstat:(\w+) ")  # in a receipt (appendix B)


class Esmes:
    """`hang_up_share` of the receipts is answered by hanging up. `is_any`: whether there are any ESMEs at all."""

    def __init__(
        self, gateway: Gateway, applications: Applications, seed: int, hang_up_share: float, *, is_any: bool
    ) -> None:
        chance = random.Random(seed)

        def hangs_up() -> bool:
            return chance.random() < hang_up_share

        self._esmes = [Esme(kind, gateway, applications, hangs_up) for kind in BINDS] if is_any else []

    async def stay_bound(self) -> None:
        """Keep every bind up; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for esme in self._esmes:
                group.create_task(esme.stay_bound())

    async def send(self) -> None:
        """Submit until the applications stop."""
        async with asyncio.TaskGroup() as group:
            for esme in self._esmes:
                for _ in range(SUBMISSIONS if esme.can_submit else 0):
                    group.create_task(esme.send())


class Esme:
    """One bind, made again whenever it is lost."""

    def __init__(self, kind: str, gateway: Gateway, applications: Applications, hangs_up: Callable[[], bool]) -> None:
        self._kind = kind
        self._gateway = gateway
        self._journal = applications
        self._hangs_up = hangs_up
        self._link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    @property
    def can_submit(self) -> bool:
        return self._kind != "bind_receiver"

    async def stay_bound(self) -> None:
        while True:
            await self._gateway.is_up.wait()
            with contextlib.suppress(CutError):
                async with Link.open(self._gateway.smpp_port, self._hear) as link:
                    await self._bind(link)
            await asyncio.sleep(AGAIN_S)

    async def _bind(self, link: Link) -> None:
        """Bind, and let submit until the link ends."""
        answer = await link.ask(self._kind, system_id=LOGIN, password=SMPP_PASSWORD)
        if answer.status:
            assert answer.status == BIND_FAILED, answer.status  # it is stopping, or has not heard of a cut yet
            return
        self._link.set_result(link)
        await link.ended.wait()
        self._link = asyncio.get_running_loop().create_future()
        await link.gone.wait()

    async def _bound(self) -> Link:
        """The link, as soon as there is one that may be asked on."""
        while not (link := await asyncio.shield(self._link)).is_open:  # noqa: ASYNC110 (its end is heard of next)
            await asyncio.sleep(0)
        return link

    # Submitting

    async def send(self) -> None:
        while not self._journal.is_over:
            link = await self._bound()
            if self._journal.is_over:
                break
            recipient = self._journal.new_recipient()
            text = text_to(recipient)
            await (self._send_whole(link, recipient, text) if len(text) <= PLAIN_MAX else self._send_long(recipient))

    async def _send_whole(self, link: Link, recipient: str, text: str) -> None:
        try:
            answer = await submit(link, recipient, text.encode())
        except CutError:
            self._journal.unanswered.add(recipient)
            return
        self._note(recipient, [answer])

    async def _send_long(self, recipient: str) -> None:
        """All parts ask for receipts, or the first alone; they are submitted together, or one after the other."""
        parts, kind = parts_to(recipient), int(recipient) % 4
        asking = len(parts) if kind in (0, 1) else 1
        asked = [self._send_part(recipient, part, index < asking) for index, part in enumerate(parts)]
        answers = await asyncio.gather(*asked) if kind in (0, 2) else [await each for each in asked]
        self._journal.parts[recipient] = tuple(message_id(answer) for answer in answers[:asking])
        self._note(recipient, answers)

    async def _send_part(self, recipient: str, part: bytes, is_asking: bool) -> Pdu:
        while True:
            link = await self._bound()
            with contextlib.suppress(CutError):
                return await submit(link, recipient, part, esm_class=HAS_HEADER, registered_delivery=int(is_asking))

    def _note(self, recipient: str, answers: list[Pdu]) -> None:
        statuses = [answer.status for answer in answers if answer.status]
        if statuses:
            self._journal.refused[recipient] = f"0x{statuses[0]:08x}"
        else:
            self._journal.note_accepted(recipient, message_id(answers[0]))

    # Receipts

    def _hear(self, link: Link, pdu: Pdu) -> None:
        said = SAID.match(pdu.short_message or b"")
        assert pdu.command == "deliver_sm", pdu.command
        assert pdu.esm_class == RECEIPT
        assert said is not None
        assert said[1] == pdu.receipted_message_id
        if self._hangs_up():
            link.close()
            return
        self._journal.receipts[SMPP, said[1].decode()][said[2].decode()] += 1
        link.answer(pdu)


async def submit(link: Link, recipient: str, octets: bytes, *, esm_class: int = 0, registered_delivery: int = 1) -> Pdu:
    return await link.ask(
        "submit_sm",
        source_addr_ton=ALPHANUMERIC,
        source_addr=ORIGINATOR,
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=recipient,
        esm_class=esm_class,
        registered_delivery=registered_delivery,
        short_message=octets,
    )


def parts_to(recipient: str) -> list[bytes]:
    """Its text, each part behind a user data header (3GPP TS 23.040 9.2.3.24.1)."""
    octets = text_to(recipient).encode()
    starts = range(0, len(octets), PART_MAX)
    reference = int(recipient) % 256
    return [
        bytes((5, 0, 3, reference, len(starts), index)) + octets[start : start + PART_MAX]
        for index, start in enumerate(starts, 1)
    ]


def message_id(answer: Pdu) -> str:
    return answer.message_id.decode() if answer.status == OK else ""
