"""A carrier reached over HTTP: drives the south half of any dialect through the outbound door."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chappe.carriers.unlinked import Unlinked
from chappe.core.centre import Balance, Cancelled, Done, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Carrier, Report, Submission
from chappe.core.numbers import Numbers
from chappe.dialects.base import Flow, HttpRequest, Reply, South, Upstream, run_async, upstream_of

Found = TypeVar("Found")
UNSUPPORTED = Refused(Refusal.UNSUPPORTED)


class HttpCarrier(Unlinked):
    """`send` is the outbound door: a request and a time-out in seconds in, a reply out, never an exception."""

    def __init__(self, carrier: Carrier, south: South, send: Callable[[HttpRequest, float], Awaitable[Reply]]) -> None:
        self.finds_our_reference = south.query_by_our_reference
        self.receipts_name_our_reference = south.receipt_by_our_reference
        self._south = south
        self._send = send
        self._timeout_s = carrier.timeout_s
        self._upstream = upstream_of(carrier)
        self._logged_in: Upstream | None = None
        self._logging_in = asyncio.Lock()

    async def submit(self, submission: Submission) -> Verdict:
        return await self._ask(lambda upstream: self._south.submit(upstream, submission))

    async def query(self, reference: str, originator: str = "", recipient: str = "") -> Report | Refused | Uncertain:
        query = self._south.query
        if query is None:
            return UNSUPPORTED
        return await self._ask(lambda upstream: query(upstream, reference, originator, recipient))

    async def cancel(self, reference: str, recipient: str = "") -> Cancelled | Refused | Uncertain:
        cancel = self._south.cancel
        if cancel is None:
            return UNSUPPORTED
        return await self._ask(lambda upstream: cancel(upstream, reference, recipient))

    async def balance(self) -> Balance | Refused | Uncertain:
        balance = self._south.balance
        return await self._ask(balance) if balance is not None else UNSUPPORTED

    # Numbers that it lends us

    async def offers(self, country: str) -> Numbers | Refused | Uncertain:
        halves = self._south.numbers
        return await self._ask(lambda upstream: halves.offers(upstream, country)) if halves else UNSUPPORTED

    async def rented(self) -> Numbers | Refused | Uncertain:
        halves = self._south.numbers
        return await self._ask(halves.rented) if halves else UNSUPPORTED

    async def rent(self, number: str) -> Done | Refused | Uncertain:
        halves = self._south.numbers
        return await self._ask(lambda upstream: halves.rent(upstream, number)) if halves else UNSUPPORTED

    async def give_back(self, number: str) -> Done | Refused | Uncertain:
        halves = self._south.numbers
        return await self._ask(lambda upstream: halves.give_back(upstream, number)) if halves else UNSUPPORTED

    async def forward(self, number: str, target: str) -> Done | Refused | Uncertain:
        halves = self._south.numbers
        return await self._ask(lambda upstream: halves.forward(upstream, number, target)) if halves else UNSUPPORTED

    async def _ask(
        self, half: Callable[[Upstream], Flow[HttpRequest, Reply, Found | Refused | Uncertain]]
    ) -> Found | Refused | Uncertain:
        """Ask with the session that we have; a session that has ended is made anew, once."""
        upstream = self._logged_in
        if upstream is not None:
            outcome = await run_async(half(upstream), self._carry)
            if not (isinstance(outcome, Refused) and outcome.reason is Refusal.UNAUTHORISED):
                return outcome
        logged_in = await self._log_in(upstream)
        if not isinstance(logged_in, Upstream):
            return logged_in
        return await run_async(half(logged_in), self._carry)

    async def _log_in(self, ended: Upstream | None) -> Upstream | Refused | Uncertain:
        """Of many who find the session ended at once, one logs in."""
        log_in = self._south.log_in
        if log_in is None:
            return self._upstream
        async with self._logging_in:
            if self._logged_in is None or self._logged_in is ended:
                self._logged_in = None
                outcome = await run_async(log_in(self._upstream), self._carry)
                if not isinstance(outcome, Upstream):  # nothing was submitted, whatever became of the log-in
                    return outcome if isinstance(outcome, Refused) else Refused(Refusal.UNREACHABLE, outcome.detail)
                self._logged_in = outcome
            return self._logged_in

    async def _carry(self, request: HttpRequest) -> Reply:
        return await self._send(request, self._timeout_s)
