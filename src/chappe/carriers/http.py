"""A carrier reached over HTTP: drives the south half of any dialect through the outbound door."""

from collections.abc import Awaitable, Callable

from chappe.core.centre import Balance, Cancelled, Refusal, Refused, Uncertain, Verdict
from chappe.core.model import Carrier, Report, Submission
from chappe.dialects.base import HttpRequest, Reply, South, run_async, upstream_of


class HttpCarrier:
    """`send` is the outbound door: a request and a time-out in seconds in, a reply out, never an exception."""

    finds_our_reference = False  # no dialect's status query takes the reference we sent

    def __init__(self, carrier: Carrier, south: South, send: Callable[[HttpRequest, float], Awaitable[Reply]]) -> None:
        self.receipts_name_our_reference = south.receipt_by_our_reference
        self._south = south
        self._send = send
        self._timeout_s = carrier.timeout_s
        self._upstream = upstream_of(carrier)

    async def submit(self, submission: Submission) -> Verdict:
        return await run_async(self._south.submit(self._upstream, submission), self._ask)

    async def query(self, reference: str, originator: str = "") -> Report | Refused | Uncertain:
        if self._south.query is None:
            return Refused(Refusal.UNSUPPORTED)
        return await run_async(self._south.query(self._upstream, reference, originator), self._ask)

    async def cancel(self, reference: str) -> Cancelled | Refused | Uncertain:
        return Refused(Refusal.UNSUPPORTED)

    async def balance(self) -> Balance | Refused | Uncertain:
        if self._south.balance is None:
            return Refused(Refusal.UNSUPPORTED)
        return await run_async(self._south.balance(self._upstream), self._ask)

    async def _ask(self, request: HttpRequest) -> Reply:
        return await self._send(request, self._timeout_s)
