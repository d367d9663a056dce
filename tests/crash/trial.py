"""One trial: a gateway under load is ended again and again, then left to finish, then every journal is compared.

Kill instants come from one seed. Most lie behind a random number of accepted messages of that life, which hits the
gateway at work; some right behind the start of the process or its first words, which hits recovery itself. Only the
moment is chosen: nothing in the gateway knows of it.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from crash.applications import CONNECTIONS, Applications
from crash.carrier import PROOVL_PATH, SILENT_SHARE, SMSFOX_PATH, Carrier
from crash.centre import Centre
from crash.comparison import Journals, has_open, read_journals, read_under_way
from crash.esmes import Esmes
from crash.gateway import COMMAND, HOLDER, RESENDER, Gateway
from crash.wire import Server

START_SHARE, FIRST_WORDS_SHARE = 0.12, 0.12  # of the kills: while it starts, just when it is up
START_S, FIRST_WORDS_S, AT_WORK_S = 0.8, 0.03, 0.03
DRAIN_MAX_S = 300.0  # a message or callback that failed a few times waits for minutes
LOOK_S = 0.1
HANG_UPS = 4  # of applications, for each silence of a carrier
STOP_MAX_S = 10.0  # R17: how long a graceful stop may take
RESUME_MAX_S = 30.0  # until a gateway that is up again submits over SMPP; seconds at most, unless the machine is busy


class Trial:
    """`wanted_count` messages are accepted over `ends_count` lives and one more in which everything comes to rest.
    If it `is_bound`, SMPP is spoken on both sides, besides HTTP and across."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        ends_count: int,
        wanted_count: int,
        command: Sequence[str],
        silent_share: float,
        is_bound: bool,
        drain_max_s: float,
    ) -> None:
        self.gateway = Gateway(folder, command, is_bound=is_bound)
        self.carrier = Carrier(self.gateway, seed, silent_share)
        self.centre = Centre(self.carrier)
        connections_count = CONNECTIONS // 2 if is_bound else CONNECTIONS
        self.applications = Applications(self.gateway, self.gateway.carriers, connections_count)
        self.esmes = Esmes(self.gateway, self.applications, seed, HANG_UPS * silent_share, is_any=is_bound)
        self.stops_s: list[float] = []
        self.resumes_s: list[float] = []
        self.configured: dict[str, bytes] = {}  # the database before the first life
        self._folder = folder
        self._is_bound = is_bound
        self._drain_max_s = drain_max_s
        self._is_at_rest = False
        self._random = random.Random(seed)
        self._ends_count = ends_count
        self._per_life = wanted_count / max(1.0, ends_count * (1 - START_SHARE - FIRST_WORDS_SHARE))
        self._wanted_count = wanted_count
        self._doubts: Counter[str] = Counter()
        self._doubts_at_kills: list[int] = []

    async def crash(self) -> Journals:
        """End each life with kill -9."""
        async with self._load():
            for _ in range(self._ends_count):
                await self._live_until_random_instant()
                await self.gateway.kill()
                await self._note_doubts()
            await self._come_to_rest()
        return self._journals()

    async def stop_gracefully(self) -> Journals:
        """End each life with SIGTERM under load."""
        async with self._load():
            for _ in range(self._ends_count):
                await self.gateway.start()
                await self.gateway.wait_until_up()
                await self._accepted(self._random.uniform(0.5, 1.5) * self._per_life)
                began_s = time.monotonic()
                assert await self.gateway.end(signal.SIGTERM) == 0, self.gateway.log
                self.stops_s.append(time.monotonic() - began_s)
                await self._note_doubts()
            await self._come_to_rest()
        return self._journals()

    @asynccontextmanager
    async def _load(self) -> AsyncIterator[None]:
        async with (
            Server(self.carrier.answer) as south,
            Server(self.applications.take_receipt) as customer,
            self.centre.listening(),
        ):
            paths = await self.gateway.apply(south.origin, customer.origin, self.centre.port)
            self.carrier.receipt_paths = {SMSFOX_PATH: paths[HOLDER], PROOVL_PATH: paths[RESENDER]}
            self.configured = {self.gateway.database.name: self.gateway.database.read_bytes()}
            self._sending: asyncio.Future[Any] = asyncio.gather(self.applications.send(), self.esmes.send())
            self._serving: asyncio.Future[Any] = asyncio.gather(
                self.carrier.report(), self.centre.report(), self.esmes.stay_bound()
            )
            try:
                yield
            finally:
                self._sending.cancel()
                self._serving.cancel()
                await asyncio.gather(self._sending, self._serving, return_exceptions=True)
                await self.gateway.discard()

    async def _live_until_random_instant(self) -> None:
        await self.gateway.start()
        kind = self._random.random()
        if kind < START_SHARE:
            await asyncio.sleep(self._random.uniform(0, START_S))
            return
        await self.gateway.wait_until_up()
        if kind < START_SHARE + FIRST_WORDS_SHARE:
            await asyncio.sleep(self._random.uniform(0, FIRST_WORDS_S))
            return
        if self._is_bound:
            await self._resumed()
        await self._accepted(self._random.uniform(0.2, 1.8) * self._per_life)
        await asyncio.sleep(self._random.uniform(0, AT_WORK_S))

    async def _accepted(self, count: float) -> None:
        """Wait until that many more are accepted."""
        await self._unless_broken(self.applications.reached(len(self.applications.accepted) + int(count)))

    async def _resumed(self) -> None:
        """Wait until the gateway is bound again and submits."""
        began_s = time.monotonic()
        self.centre.heard.clear()
        async with asyncio.timeout(RESUME_MAX_S):
            await self._unless_broken(self.centre.heard)
        self.resumes_s.append(time.monotonic() - began_s)

    async def _unless_broken(self, event: asyncio.Event) -> None:
        """Wait for it; a mistake of those who would bring it about is seen at once."""
        waiting: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait([waiting, self._sending, self._serving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for one in (self._sending, self._serving):
            if one.done():
                one.result()

    async def _note_doubts(self) -> None:
        """Who was under way, seen in a copy, so that recovery is left to the gateway alone."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            copy = await asyncio.to_thread(self.gateway.copy_database, Path(folder) / "copy")
            under_way = await asyncio.to_thread(read_under_way, copy)
        self._doubts.update(under_way)
        self._doubts_at_kills.append(len(under_way))

    async def _come_to_rest(self) -> None:
        await self.gateway.start()
        await self.gateway.wait_until_up()
        await self._accepted(max(0, self._wanted_count - len(self.applications.accepted)))
        self.applications.stop()
        await self._sending
        until_s = time.monotonic() + self._drain_max_s
        # The tables of another process send no event.
        while (is_busy := await self._is_busy()) and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self._is_at_rest = not is_busy
        assert await self.gateway.end(signal.SIGTERM) == 0, self.gateway.log

    async def _is_busy(self) -> bool:
        if self._serving.done():  # it never ends by itself: let its mistake be seen
            await self._serving
        if self.carrier.is_reporting or self.centre.is_reporting:
            return True
        return await asyncio.to_thread(has_open, self.gateway.database)

    def _journals(self) -> Journals:
        return read_journals(
            self.applications,
            self.carrier,
            self._doubts,
            self._doubts_at_kills,
            self.gateway.database,
            is_at_rest=self._is_at_rest,
        )


def run(
    folder: Path,
    *,
    seed: int,
    ends_count: int,
    wanted_count: int,
    command: Sequence[str] = COMMAND,
    end: signal.Signals = signal.SIGKILL,
    is_bound: bool = False,
    silent_share: float = SILENT_SHARE,
    drain_max_s: float = DRAIN_MAX_S,
) -> tuple[Trial, Journals]:
    """One trial in an event loop of its own. Under SIGTERM the carrier answers everybody: nothing excuses a double."""
    is_crash = end is signal.SIGKILL

    async def attempt() -> tuple[Trial, Journals]:
        trial = Trial(
            folder,
            seed=seed,
            ends_count=ends_count,
            wanted_count=wanted_count,
            command=command,
            silent_share=silent_share if is_crash else 0.0,
            is_bound=is_bound,
            drain_max_s=drain_max_s,
        )
        return trial, await (trial.crash() if is_crash else trial.stop_gracefully())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(attempt())
