"""Delivery receipts from carriers: to their message's state, its money and its callback, in one commit."""

import asyncio
from collections.abc import Callable, Iterable

from chappe.clock import Clock
from chappe.core.model import Carrier, Receipt
from chappe.gateway.feed import Feed, Step
from chappe.store.callbacks import DueCallback
from chappe.store.engine import Store
from chappe.store.receipts import ReceiptRow, Told

DETAIL_MAX = 200
REFERENCE_MAX = 200


class ReceiptDesk:
    def __init__(
        self, *, store: Store, clock: Clock, feed: Feed, announce: Callable[[Iterable[DueCallback]], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._feed = feed
        self._announce = announce

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
            )
        )
        told.add_done_callback(self._tell)
        return told

    def _tell(self, future: "asyncio.Future[Told]") -> None:
        if future.cancelled() or future.exception() is not None:
            return
        told = future.result()
        if told.is_parked:
            self._feed.tell(Step.PARKED, "receipt")
        elif told.state is not None:
            self._feed.tell(Step.RECEIPT, told.state, told.message_id)
            self._announce(told.callbacks)
