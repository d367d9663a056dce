"""The customer's side over SMPP: applications that stay bound, submit without pause, and take the receipts.

They write into the journal of the others (`applications.py`). Long messages are submitted in parts, and a part that got
no answer is submitted again on the next bind, as ESMEs do: a message is accepted once all its parts are, and is one
message however often any of them came. They also hear what phones reply, and sometimes hang up instead of answering.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Callable

from crash.applications import ORIGINATOR, SMPP, Applications, text_to
from crash.gateway import LOGIN, SMPP_PASSWORD, Gateway
from crash.smpp_wire import ALPHANUMERIC, BIND_FAILED, OK, RECEIPT, Joiner, Link, Part, Pdu, cut
from crash.wire import CutError

BINDS = ("bind_transceiver", "bind_transceiver", "bind_transmitter", "bind_receiver")
SUBMISSIONS = 12  # without an answer, on each bind that can submit
AGAIN_S = 0.02  # until a lost bind is made again
SAID = re.compile(rb"id:(\d+) .*\bstat:(\w+) ")  # in a receipt (appendix B)


class Esmes:
    """`hang_up_share` of what they hear is answered by hanging up. `is_any`: whether there are any ESMEs at all."""

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
        self._joiner = Joiner()
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
            parts = cut(text_to(recipient), int(recipient))
            if len(parts) == 1:
                await self._send_whole(link, recipient, parts[0])
            else:
                await self._send_long(recipient, parts)

    async def _send_whole(self, link: Link, recipient: str, part: Part) -> None:
        try:
            answer = await submit(link, recipient, part)
        except CutError:
            self._journal.unanswered.add(recipient)
            return
        self._note(recipient, [answer])

    async def _send_long(self, recipient: str, parts: list[Part]) -> None:
        """All parts ask for receipts, or the first alone; they are submitted together, or one after the other."""
        kind = int(recipient) % 4
        asking = len(parts) if kind in (0, 1) else 1
        asked = [self._send_part(recipient, part, index < asking) for index, part in enumerate(parts)]
        answers = await asyncio.gather(*asked) if kind in (0, 2) else [await each for each in asked]
        self._journal.parts[recipient] = tuple(message_id(answer) for answer in answers[:asking])
        self._note(recipient, answers)

    async def _send_part(self, recipient: str, part: Part, is_asking: bool) -> Pdu:
        while True:
            link = await self._bound()
            with contextlib.suppress(CutError):
                return await submit(link, recipient, part, int(is_asking))

    def _note(self, recipient: str, answers: list[Pdu]) -> None:
        statuses = [answer.status for answer in answers if answer.status]
        if statuses:
            self._journal.refused[recipient] = f"0x{statuses[0]:08x}"
        else:
            self._journal.note_accepted(recipient, message_id(answers[0]))

    # Receipts and replies

    def _hear(self, link: Link, pdu: Pdu) -> None:
        assert pdu.command == "deliver_sm", pdu.command
        if self._hangs_up():
            link.close()
            return
        if pdu.esm_class & RECEIPT:
            said = SAID.match(pdu.short_message)
            assert said is not None
            assert said[1] == pdu.receipted_message_id
            self._journal.receipts[SMPP, said[1].decode()][said[2].decode()] += 1
        else:
            text = self._joiner.hear(pdu).text
            if text is not None:
                self._journal.replies.add(text)
        link.answer(pdu)


async def submit(link: Link, recipient: str, part: Part, registered_delivery: int = 1) -> Pdu:
    return await link.ask(
        "submit_sm",
        source_addr_ton=ALPHANUMERIC,
        source_addr=ORIGINATOR,
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=recipient,
        esm_class=part.esm_class,
        registered_delivery=registered_delivery,
        short_message=part.octets,
    )


def message_id(answer: Pdu) -> str:
    return answer.message_id.decode() if answer.status == OK else ""
