"""Requests and their answers, kept for a while with the secrets hidden: what a developer looks at when code and gateway
disagree.

Whoever answers a request hands both over and forgets them: what is to be kept waits in a bounded queue, loses its
secrets in a thread, and is written in portions, apart from what it asked for. Nothing ever waits for this; where more
comes than can be written, requests are not kept, and that is said in the log.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

import structlog
from msgspec import Struct

from chappe.clock import Clock
from chappe.core.ids import IdMaker
from chappe.core.people import Sight
from chappe.dialects.base import HttpRequest, HttpResponse
from chappe.gateway.hiding import hider_of
from chappe.gateway.submission import storable
from chappe.gateway.watching import Watch
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.requests import KeptRequest as KeptRequest
from chappe.store.requests import RequestSweep

log = structlog.get_logger()

SIZE_MAX = 8 * 1024  # characters of a body, and of an answer
TARGET_MAX = 4 * 1024
HEADER_MAX = 1024
HEADERS_MAX = 50
COUNT_MAX = 100_000  # that are kept
WAITING_MAX = 1_000
WAITING_OCTETS_MAX = 32 << 20
PORTION = 100
SWEEP_MAX = 5_000
TEST_HOURS = 24
DEMO_HOURS = 24
HOUR_MS = 3_600_000
CUT = "…"


class Heard(Struct, frozen=True, kw_only=True):
    """A request with its answer as they were, and what is to be hidden of both."""

    id: int
    request: HttpRequest
    response: HttpResponse
    dialect: str
    account_id: int
    submission_id: int
    secrets: frozenset[str]
    public: frozenset[str]
    took_us: int
    expires_ms: int

    @property
    def size(self) -> int:
        return len(self.request.body) + len(self.request.query) + len(self.response.body)


class RequestBook:
    """`hours` is how long everybody's requests are kept, 0 = not at all; those of test keys are kept for a day."""

    def __init__(self, *, store: Store, clock: Clock, ids: IdMaker, hours: int) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._hours = hours
        self._waiting: deque[Heard] = deque()
        self._octets_waiting = 0
        self._lost_count = 0
        self._writing = asyncio.Lock()

    @property
    def keeps_all(self) -> bool:
        return self._hours > 0

    def keeps(self, *, is_test: bool) -> bool:
        """Whether a request is worth handing over."""
        return is_test or self._hours > 0

    def now_s(self) -> float:
        """For measuring how long an answer takes."""
        return self._clock.monotonic_s()

    def note(
        self,
        request: HttpRequest,
        response: HttpResponse,
        *,
        dialect: str,
        account_id: int = 0,
        submission_id: int = 0,
        secrets: Iterable[str] = (),
        public: Iterable[str] = (),
        is_test: bool = False,
        began_s: float | None = None,
    ) -> None:
        """Keep a request with its answer, if such are kept; costs the caller nothing but this call. `secrets` are the
        values that proved who asks and those that the answer gives away; names of fields are known by themselves."""
        if not self.keeps(is_test=is_test):
            return
        now_ms = self._clock.now_ms()
        took_s = 0.0 if began_s is None else self._clock.monotonic_s() - began_s
        heard = Heard(
            id=self._ids.make(now_ms),
            request=request,
            response=response,
            dialect=dialect,
            account_id=account_id,
            submission_id=submission_id,
            secrets=frozenset(secrets),
            public=frozenset(public),
            took_us=max(0, round(took_s * 1_000_000)),
            expires_ms=now_ms + max(self._hours, TEST_HOURS if is_test else 0) * HOUR_MS,
        )
        if len(self._waiting) >= WAITING_MAX or self._octets_waiting + heard.size > WAITING_OCTETS_MAX:
            self._lost_count += 1
            return
        self._waiting.append(heard)
        self._octets_waiting += heard.size

    def note_watched(
        self, request: HttpRequest, response: HttpResponse, watch: Watch, *, dialect: str, began_s: float
    ) -> None:
        """The same, of a request whose answering was watched."""
        self.note(
            request,
            response,
            dialect=dialect,
            account_id=watch.account_id,
            submission_id=watch.submission_id,
            secrets=watch.secrets,
            public=watch.public,
            is_test=watch.is_test,
            began_s=began_s,
        )

    # Rounds

    async def run_once(self) -> int:
        """Write what waits, in portions; tells how many those were. Raises StoreError: what could not be written is
        not kept."""
        count = 0
        async with self._writing:  # whoever asks for the latest waits for a round that is under way
            if self._lost_count:
                log.warning("requests_not_kept", count=self._lost_count)
                self._lost_count = 0
            while self._waiting:
                portion = [self._waiting.popleft() for _ in range(min(PORTION, len(self._waiting)))]
                self._octets_waiting -= sum(one.size for one in portion)
                try:
                    outcomes = await self._write(portion)
                except asyncio.CancelledError:  # whoever asked has gone, or it is shutdown: the next round writes them
                    self._waiting.extendleft(reversed(portion))
                    self._octets_waiting += sum(one.size for one in portion)
                    raise
                count += sum(1 for one in outcomes if one is None)
                failure = next((one for one in outcomes if isinstance(one, BaseException)), None)
                if failure is not None:
                    raise failure
        return count

    async def _write(self, portion: Sequence[Heard]) -> list[BaseException | None]:
        kept = await asyncio.to_thread(lambda heard: [kept_of(one) for one in heard], portion)
        writes = [self._store.commit(self._store.requests.keep, one) for one in kept]
        return await asyncio.gather(*writes, return_exceptions=True)

    async def sweep_once(self) -> int:
        """Forget what is old, and what is too much."""
        sweep = RequestSweep(self._clock.now_ms(), SWEEP_MAX, COUNT_MAX)
        return await self._store.commit(self._store.requests.sweep, sweep)

    # Looking

    async def of_submission(self, submission_id: int) -> list[KeptRequest]:
        """The requests that led to a submission, whoever's: who asks looks first whether it may be seen."""
        await self._write_first()
        return await self._store.read(
            lambda transaction: self._store.requests.of_submission(transaction, submission_id)
        )

    async def latest(self, sight: Sight, before_id: int = 0, count: int = 50) -> list[KeptRequest]:
        """The newest requests of accounts in sight, or those before one; who sees all sees nobody's too."""
        await self._write_first()
        return await self._store.read(
            lambda transaction: self._store.requests.latest(transaction, sight.account_ids, before_id, count)
        )

    async def _write_first(self) -> None:
        try:
            await self.run_once()
        except StoreError:  # then it is not there
            log.warning("requests_not_kept")


def kept_of(heard: Heard) -> KeptRequest:
    """A request as it is kept: without its secrets, and cut. It is cut last: half a secret is no secret any more to
    whoever looks for whole ones."""
    request, response = heard.request, heard.response
    hider = hider_of(heard.secrets, heard.public)
    return KeptRequest(
        id=heard.id,
        account_id=heard.account_id,
        submission_id=heard.submission_id,
        dialect=heard.dialect,
        method=request.method[:20],
        target=cut(hider.target(request), TARGET_MAX),
        headers=tuple(
            (cut(name, HEADER_MAX), cut(value, HEADER_MAX))
            for name, value in hider.headers(request.headers[:HEADERS_MAX])
        ),
        body=cut(hider.body(request.body, request.header(b"content-type")), SIZE_MAX),
        status=response.status,
        answer=cut(hider.body(response.body, content_type_of(response)), SIZE_MAX),
        took_us=heard.took_us,
        expires_ms=heard.expires_ms,
    )


def content_type_of(response: HttpResponse) -> bytes:
    return next((value for name, value in response.headers if name.lower() == b"content-type"), b"")


def cut(written: str, size_max: int) -> str:
    kept = storable(written)
    return kept if len(kept) <= size_max else kept[:size_max] + CUT
