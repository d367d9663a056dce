"""Sends SMS through chappe, or through any provider whose language chappe speaks: one import, one call.

    import chappe.client

    sent = chappe.client.send("447700900123", "hello", url="http://127.0.0.1:8080", password="live_...")
    print(sent.tickets[0].reference)

Without `via`, the server is a chappe: `password` is one of its API keys, or `login` and `password` are an account's.
With `via="smsfox"` and so on it is any server that speaks that language.

`Client` keeps its connections between calls and may be shared by threads; `AsyncClient` and `send_async` are the same
with `await`. What went well is returned as a value, what did not is raised, because an SMS that was not sent must not
pass unnoticed:

    SendError
    ├── RefusedError      it was not taken, and certainly so: `reason` from the closed list `Refusal`, `detail` in the
    │                     provider's own words, `retry_after_s` where the provider names a time
    └── UncertainError    nobody knows: no answer came, or none that can be trusted; sending again may send it twice

Nothing here knows a provider: the south half of a dialect says what to ask and reads what is answered, `outbound`
carries it, and the calls below only bring the two together.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Self, TypeVar

from msgspec import Struct

from chappe.core.centre import Accepted, Balance, Refusal, Refused, Uncertain
from chappe.core.model import Report, Secret, Service, Submission
from chappe.dialects.base import Dialect, Flow, HttpRequest, Reply, Upstream, run, run_async
from chappe.dialects.known import known_dialects
from chappe.dialects.native import NATIVE
from chappe.networks import OPEN
from chappe.outbound import Outbound, SyncOutbound
from chappe.sms.numbers import mask

__all__ = [
    "Accepted",
    "AsyncClient",
    "Balance",
    "Client",
    "Refusal",
    "RefusedError",
    "Report",
    "SendError",
    "Service",
    "UncertainError",
    "send",
    "send_async",
]

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in known_dialects()}
TIMEOUT_S = 30.0

Found = TypeVar("Found")


def send(
    to: str | Iterable[str],
    text: str,
    *,
    via: str = NATIVE.name,
    url: str = "",
    login: str = "",
    password: str,
    originator: str = "",
    service: Service = Service.STANDARD,
    reference: str = "",
    at: datetime | None = None,
) -> Accepted:
    """Send one text to one or more numbers; see `Client` and `Client.send`."""
    with Client(via, url, login=login, password=password) as client:
        return client.send(to, text, originator=originator, service=service, reference=reference, at=at)


async def send_async(
    to: str | Iterable[str],
    text: str,
    *,
    via: str = NATIVE.name,
    url: str = "",
    login: str = "",
    password: str,
    originator: str = "",
    service: Service = Service.STANDARD,
    reference: str = "",
    at: datetime | None = None,
) -> Accepted:
    """The same with `await`."""
    async with AsyncClient(via, url, login=login, password=password) as client:
        return await client.send(to, text, originator=originator, service=service, reference=reference, at=at)


class SendError(Exception):
    """What was asked did not succeed. `detail` is the other side's own words, without secrets and whole numbers."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(f"{summary}: {detail}" if detail else summary)
        self.detail = detail


class RefusedError(SendError):
    """It was not done, and certainly so."""

    def __init__(self, reason: Refusal, detail: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"refused ({reason})", detail)
        self.reason = reason
        self.retry_after_s = retry_after_s


class UncertainError(SendError):
    """Nobody knows whether it was done."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("uncertain", detail)


class Client:
    """An account at a message centre that speaks the dialect `via`: one of `DIALECTS`, ValueError for another; ours
    unless another is named.

    `url` is the server's address as its document gives it, or scheme, host and port alone; empty means the provider
    itself, or a chappe on this machine. `login` may be absent where the password is a key. `options` are what only
    that dialect understands. `timeout_s` is for one HTTP request, in seconds.
    """

    def __init__(
        self,
        via: str = NATIVE.name,
        url: str = "",
        *,
        login: str = "",
        password: str,
        options: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._desk = desk_of(via, url, login, password, options)
        self._outbound = SyncOutbound()
        self._timeout_s = timeout_s

    def send(
        self,
        to: str | Iterable[str],
        text: str,
        *,
        originator: str = "",
        service: Service = Service.STANDARD,
        reference: str = "",
        at: datetime | None = None,
    ) -> Accepted:
        """Send one text to one or more numbers; one ticket per number, in the order asked.

        `originator` is what the phone shows as the sender, `reference` your own id where the dialect carries one, `at`
        an instant (with its time zone, ValueError without) where the dialect can schedule. Raises SendError.
        """
        return self._run(self._desk.send(submission_of(to, text, originator, service, reference, at)))

    def status(self, reference: str, *, originator: str = "", recipient: str = "") -> Report:
        """What became of a message: by the reference of its ticket, and its originator or recipient where the dialect
        asks for it. Raises SendError."""
        return self._run(self._desk.status(reference, originator, recipient))

    def balance(self) -> Balance:
        """Money left to spend, in micros (millionths) of the account's currency. Raises SendError."""
        return self._run(self._desk.balance())

    def close(self) -> None:
        self._outbound.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, flow: Flow[HttpRequest, Reply, Found]) -> Found:
        return run(flow, lambda request: self._outbound.send(request, timeout_s=self._timeout_s))


class AsyncClient:
    """The same for one event loop; see `Client`."""

    def __init__(
        self,
        via: str = NATIVE.name,
        url: str = "",
        *,
        login: str = "",
        password: str,
        options: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._desk = desk_of(via, url, login, password, options)
        self._outbound = Outbound(OPEN)
        self._timeout_s = timeout_s

    async def send(
        self,
        to: str | Iterable[str],
        text: str,
        *,
        originator: str = "",
        service: Service = Service.STANDARD,
        reference: str = "",
        at: datetime | None = None,
    ) -> Accepted:
        """See `Client.send`."""
        return await self._run(self._desk.send(submission_of(to, text, originator, service, reference, at)))

    async def status(self, reference: str, *, originator: str = "", recipient: str = "") -> Report:
        """See `Client.status`."""
        return await self._run(self._desk.status(reference, originator, recipient))

    async def balance(self) -> Balance:
        """See `Client.balance`."""
        return await self._run(self._desk.balance())

    async def close(self) -> None:
        await self._outbound.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, flow: Flow[HttpRequest, Reply, Found]) -> Found:
        return await run_async(flow, lambda request: self._outbound.send(request, timeout_s=self._timeout_s))


class Desk(Struct, frozen=True, kw_only=True):
    """What both clients do, as flows: they yield HTTP requests, return what was wanted, and raise everything else."""

    dialect: Dialect
    upstream: Upstream

    def send(self, submission: Submission) -> Flow[HttpRequest, Reply, Accepted]:
        upstream = yield from self._log_in()
        return self._wanted((yield from self.dialect.south.submit(upstream, submission)))

    def _log_in(self) -> Flow[HttpRequest, Reply, Upstream]:
        log_in = self.dialect.south.log_in
        return self.upstream if log_in is None else self._wanted((yield from log_in(self.upstream)))

    def status(self, reference: str, originator: str, recipient: str) -> Flow[HttpRequest, Reply, Report]:
        query = self.dialect.south.query
        if query is None:
            raise RefusedError(Refusal.UNSUPPORTED, f"{self.dialect.name} tells a message's state by callback only")
        upstream = yield from self._log_in()
        return self._wanted((yield from query(upstream, reference, originator, recipient)))

    def balance(self) -> Flow[HttpRequest, Reply, Balance]:
        balance = self.dialect.south.balance
        if balance is None:
            raise RefusedError(Refusal.UNSUPPORTED, f"{self.dialect.name} does not tell the balance")
        upstream = yield from self._log_in()
        return self._wanted((yield from balance(upstream)))

    def _wanted(self, outcome: Found | Refused | Uncertain) -> Found:
        if isinstance(outcome, Refused):
            raise RefusedError(outcome.reason, self._presentable(outcome.detail), outcome.retry_after_s)
        if isinstance(outcome, Uncertain):
            raise UncertainError(self._presentable(outcome.detail))
        return outcome

    def _presentable(self, detail: str) -> str:
        """The other side may repeat in its answer what was sent to it: an error text ends in logs."""
        password = self.upstream.password.value
        return WHOLE_NUMBER.sub(lambda found: mask(found[0]), detail.replace(password, "***") if password else detail)


WHOLE_NUMBER = re.compile(r"[0-9]{7,}")


def desk_of(via: str, url: str, login: str, password: str, options: Mapping[str, str] | None) -> Desk:
    dialect = DIALECTS.get(via)
    if dialect is None:
        raise ValueError(f"no dialect is called {via!r}; there are {', '.join(sorted(DIALECTS))}")
    upstream = Upstream(
        url=url or dialect.south.default_url, login=login, password=Secret(password), options=options or {}
    )
    return Desk(dialect=dialect, upstream=upstream)


def submission_of(
    to: str | Iterable[str], text: str, originator: str, service: Service, reference: str, at: datetime | None
) -> Submission:
    if at is not None and at.tzinfo is None:
        raise ValueError("`at` has no time zone: an instant is wanted")
    return Submission(
        recipients=(to,) if isinstance(to, str) else tuple(to),
        text=text,
        originator=originator,
        service=service,
        reference=reference,
        scheduled_ms=None if at is None else int(at.timestamp() * 1000),
    )
