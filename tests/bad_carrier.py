"""The worst carrier we could think of, as a program: everything that may go wrong on SMPP does, again and again.

Run with `python bad_carrier.py SEED`; it prints its port. When its standard input ends it prints, as JSON, how often it
took each part of each message (`RECIPIENT/PART`) and how often it did what, and ends.

It cuts connections every second or two, all or one, stops listening, leaves connections open and dead, unbinds, and
sends octets that are no PDU. It answers at once, late, out of order, twice, or never, and throttles for a while. It
gives its ids in hexadecimal digits with zeros before them, and receipts them in decimal ones: before the answer, late,
twice, for ids that nobody knows, and malformed; what we do not answer it sends again. Recipients that end in 77 it
refuses. It never loses what it took, and never receipts what it did not.
"""

import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Coroutine

from chappe.smpp.connection import Connection, LinkLost, NotSent
from chappe.smpp.pdu import DeliverSm, Pdu, Status, SubmitSm, SubmitSmResponse
from message_centres import RECEIPT, Centre, receipt

REFUSED = "77"  # how recipients end that it refuses
TROUBLE_S = (0.5, 2.0)  # from one trouble to the next
LATE_S = (0.2, 1.5)
DEAD_S = 5.0  # longer than we wait for a sign of life
AGAIN_S = 0.2  # until a receipt without an answer is sent again
# What becomes of a submission, in so many of a thousand cases.
FATES = {"soon": 700, "shuffled": 150, "late": 40, "twice": 40, "early": 60, "never": 5, "lost": 5}
TROUBLES = {"cut_all": 3, "cut_one": 3, "away": 1, "dead": 2, "unbind": 1, "rubbish": 2, "throttle": 3}
RUBBISH = (
    bytes.fromhex("000000120000000500000000000000ff00ff"),  # a deliver_sm that is cut short
    bytes.fromhex("00000010800000ff0000000000000001"),  # a response that does not exist
    bytes.fromhex("0000001080000004000000000fffffff"),  # an answer to nothing
    bytes.fromhex("0000001000000abc0000000000000007"),  # a request that does not exist
    bytes.fromhex("ffffffff0000000500000000"),  # a length that cannot be
)


class BadCarrier(Centre):
    def __init__(self, seed: int) -> None:
        super().__init__(lambda _centre, connection, request: self._submitted(connection, request))
        self.numbers = itertools.count(3_000_000_000)  # nine digits in hexadecimal with their zero, ten in decimal
        self.taken: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._dead: set[Connection] = set()  # that stand, and say nothing any more
        self._throttles_until_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # What is submitted

    def _submitted(self, connection: Connection, request: Pdu) -> None:
        self.requests.clear()
        body = request.body
        if connection in self._dead or not isinstance(body, SubmitSm):
            return
        if body.destination.endswith(REFUSED):
            connection.answer(request, SubmitSmResponse(), Status.INVALID_DESTINATION)
            return
        if asyncio.get_running_loop().time() < self._throttles_until_s:
            self.done["throttled"] += 1
            status = self._random.choice((Status.THROTTLED, Status.QUEUE_FULL))
            connection.answer(request, SubmitSmResponse(), status)
            return
        (fate,) = self._random.choices(list(FATES), list(FATES.values()))
        self.done[fate] += 1
        if fate == "lost":
            return
        number = next(self.numbers)
        part = body.short_message[5] if body.esm_class & 0x40 else 1
        self.taken[f"{body.destination}/{part}"] += 1
        answer = SubmitSmResponse(f"{number:09X}")
        self._start(self._receipt(number, body.destination, 0.0 if fate == "early" else self._random.uniform(0, 0.5)))
        if fate in ("soon", "twice"):
            connection.answer(request, answer)
        if fate == "twice":
            connection.answer(request, answer)
        elif fate != "never":
            span_s = {"shuffled": (0, 0.02), "early": (0.05, 0.1), "late": LATE_S}.get(fate)
            if span_s:
                loop = asyncio.get_running_loop()
                loop.call_later(self._random.uniform(*span_s), self._answer_later, connection, request, answer)

    def _answer_later(self, connection: Connection, request: Pdu, answer: SubmitSmResponse) -> None:
        if connection not in self._dead:
            connection.answer(request, answer)

    # Receipts

    async def _receipt(self, number: int, recipient: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        rolled = self._random.random()
        times = 2 if rolled < 0.05 else 1
        if 0.05 < rolled < 0.06:
            await self._deliver(receipt(str(number + 2_000_000_000), recipient=recipient))
        elif 0.06 < rolled < 0.07:
            broken = DeliverSm(source=recipient, esm_class=RECEIPT, short_message=b"id: sub:001 stat:WHATEVER")
            await self._deliver(broken)
        for _ in range(times):
            await self._deliver(receipt(str(number), recipient=recipient))

    async def _deliver(self, body: DeliverSm) -> None:
        """Until it is answered."""
        while True:
            connections = [one for one in self.bound if one.state.can_receive and one not in self._dead]
            if connections:
                with contextlib.suppress(NotSent, LinkLost):
                    answer = await self._random.choice(connections).ask(body)
                    if not answer.status:
                        return
                self.done["receipts again"] += 1
            await asyncio.sleep(AGAIN_S)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Trouble

    async def make_trouble(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(*TROUBLE_S))
            (trouble,) = self._random.choices(list(TROUBLES), list(TROUBLES.values()))
            self.done[trouble] += 1
            alive = [one for one in self.bound if one not in self._dead]
            if trouble == "throttle":
                self._throttles_until_s = asyncio.get_running_loop().time() + self._random.uniform(0.1, 0.5)
            elif trouble == "cut_all":
                self.drop()
            elif trouble == "away":
                self.close()
                self.drop()
                await asyncio.sleep(self._random.uniform(0.2, 1.0))
                await self.open()
            elif alive:
                self._trouble_one(trouble, self._random.choice(alive))

    def _trouble_one(self, trouble: str, connection: Connection) -> None:
        if trouble == "cut_one":
            connection.abort("cut")
        elif trouble == "unbind":
            self._start(connection.unbind(1.0))
        elif trouble == "rubbish":
            transport = connection._transport
            assert transport is not None
            transport.write(self._random.choice(RUBBISH))
        elif trouble == "dead":
            transport = connection._transport
            assert transport is not None
            transport.pause_reading()
            self._dead.add(connection)
            asyncio.get_running_loop().call_later(DEAD_S, connection.abort, "its host is back")


async def main(seed: int) -> None:
    carrier = BadCarrier(seed)
    async with carrier.listening():
        print(carrier.port, flush=True)
        trouble = asyncio.create_task(carrier.make_trouble())
        await asyncio.to_thread(sys.stdin.read)
        trouble.cancel()
        print(json.dumps({"taken": carrier.taken, "done": carrier.done}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
