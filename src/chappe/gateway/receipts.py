"""What carriers call us back with: delivery receipts, to their message's state, its money and its callback in one
commit; and messages from phones, which are the inbox's."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from chappe.clock import Clock
from chappe.core.model import Carrier, Inbound, Receipt
from chappe.dialects.base import DETAIL_MAX, Dialect, HttpRequest, HttpResponse, South, Upstream, plain, upstream_of
from chappe.gateway.feed import Feed, Step
from chappe.gateway.inbound import InboundDesk
from chappe.gateway.pace import Lags
from chappe.store.callbacks import DueCallback
from chappe.store.database import StoreError
from chappe.store.engine import Store
from chappe.store.receipts import ReceiptRow, Told

REFERENCE_MAX = 200


class ReceiptDesk:
    def __init__(
        self, *, store: Store, clock: Clock, feed: Feed, announce: Callable[[Iterable[DueCallback]], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._feed = feed
        self._announce = announce
        self.lags: defaultdict[int, Lags] = defaultdict(Lags)  # by carrier

    def receive(self, carrier: Carrier, receipt: Receipt) -> "asyncio.Future[Told]":
        """Keep a receipt. Answers after the commit; raises StoreError where it was not kept and the carrier should send
        it again."""
        told = self._store.receive(
            ReceiptRow(
                carrier_id=carrier.id,
                reference=receipt.reference[:REFERENCE_MAX],
                state=receipt.state,
                detail=receipt.detail[:DETAIL_MAX],
                now_ms=self._clock.now_ms(),
                recipient=receipt.recipient,
                spellings=tuple(spelling[:REFERENCE_MAX] for spelling in receipt.spellings),
            )
        )
        told.add_done_callback(partial(self._tell, carrier.id))
        return told

    def _tell(self, carrier_id: int, future: "asyncio.Future[Told]") -> None:
        if future.cancelled() or future.exception() is not None:
            return
        told = future.result()
        if told.sent_ms:
            self.lags[carrier_id].note(self._clock.now_ms() - told.sent_ms, self._clock.monotonic_s())
        if told.is_parked:
            self._feed.tell(Step.PARKED, "receipt")
        elif told.state is not None:
            self._feed.tell(Step.RECEIPT, told.state, told.message_id)
            self._announce(told.callbacks)


class Known(Protocol):
    """What is looked up: the directory's current snapshot."""

    def carrier_by_key(self, callback_key: str) -> Carrier | None: ...


class CarrierDoor:
    """Where providers that we send through call back: each carrier under a key of its own, that nobody can guess."""

    def __init__(
        self,
        *,
        directory: Callable[[], Known],
        dialects: Mapping[str, Dialect],
        receipts: ReceiptDesk,
        inbox: InboundDesk,
    ) -> None:
        self._directory = directory
        self._dialects = dialects
        self._receipts = receipts
        self._inbox = inbox

    async def answer(self, key: str, request: HttpRequest) -> HttpResponse:
        """Keep a receipt or a message, and answer as that provider expects only once it is kept."""
        carrier = self._directory().carrier_by_key(key)
        dialect = self._dialects.get(carrier.kind) if carrier else None
        if carrier is None or dialect is None:
            return plain("Not found", 404)
        brought = read(dialect.south, upstream_of(carrier), request)
        try:
            if isinstance(brought, Receipt):
                await self._receipts.receive(carrier, brought)
            elif isinstance(brought, Inbound):
                await self._inbox.receive(carrier, brought)
            else:
                return plain("Neither a receipt nor a message", 400)
        except StoreError:
            return plain("Try again later", 503)
        return dialect.south.callback_answer


def read(south: South, upstream: Upstream, request: HttpRequest) -> Receipt | Inbound | None:
    """What a provider's call brings, in its words."""
    receipt = south.receipt(upstream, request) if south.receipt is not None else None
    return receipt or (south.inbound(upstream, request) if south.inbound is not None else None)
