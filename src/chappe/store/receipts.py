"""Receipts meet their messages by the carrier's reference; those that come too early are parked until their message is sent."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, select, update

from chappe.core.ledger import Kind, entry
from chappe.core.lifecycle import FINAL, after_receipt, combined
from chappe.core.model import Message, State
from chappe.store.callbacks import Callbacks, DueCallback
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction
from chappe.store.messages import MESSAGE_COLUMNS, STATES, message_of
from chappe.store.money import Ledger
from chappe.store.schema import carrier_reference, message, parked_receipt

PARKED_KEPT_S = 7 * 24 * 3600


class ReceiptRow(Struct, frozen=True, kw_only=True):
    """A receipt as it arrived: which carrier said what about which of its references."""

    carrier_id: int
    reference: str
    state: State
    detail: str
    now_ms: int


class Told(Struct, frozen=True):
    """What a receipt led to: it was parked, or it found its message, now in `state` (None = it changed nothing)."""

    is_parked: bool
    message_id: int = 0
    state: State | None = None
    callbacks: tuple[DueCallback, ...] = ()


class Receipts:
    def __init__(self, database: Database, ledger: Ledger, callbacks: Callbacks) -> None:
        self._ledger = ledger
        self._callbacks = callbacks
        said = Batch(database, carrier_id=BigInteger, reference=Text)
        is_said = (carrier_reference.c.carrier_id == said.c.carrier_id) & (
            carrier_reference.c.reference == said.c.reference
        )
        self._match = Prepared(
            database,
            select(
                carrier_reference.c.carrier_id,
                carrier_reference.c.reference,
                carrier_reference.c.segment,
                *MESSAGE_COLUMNS,
            )
            .join_from(said.table, carrier_reference, is_said)
            .join(message, message.c.id == carrier_reference.c.message_id)
            .with_for_update(of=message),
            said,
        )
        changes = Batch(database, id=BigInteger, state=Text, final_ms=BigInteger, detail=Text)
        self._change = Prepared(
            database,
            update(message)
            .where(message.c.id == changes.c.id)
            .values(state=changes.c.state, final_ms=changes.c.final_ms, detail=changes.c.detail, node_id=0),
            changes,
        )
        self._mark_segment = Prepared(
            database,
            update(carrier_reference)
            .where(
                carrier_reference.c.carrier_id == bindparam("carrier"),
                carrier_reference.c.reference == bindparam("said"),
            )
            .values(state=bindparam("now_in")),
        )
        self._segments = Prepared(
            database,
            select(carrier_reference.c.state).where(
                carrier_reference.c.message_id == bindparam("id"), carrier_reference.c.segment > 0
            ),
        )
        parked = Batch(
            database, carrier_id=BigInteger, reference=Text, state=Text, detail=Text, received_ms=BigInteger
        )
        self._park = Prepared(
            database,
            database.insert(parked_receipt)
            .from_select([column.name for column in parked.c], select(parked.table).where(TRUE))
            .on_conflict_do_nothing(),
            parked,
        )
        sent = Batch(database, carrier_id=BigInteger, reference=Text)
        is_sent = (parked_receipt.c.carrier_id == sent.c.carrier_id) & (parked_receipt.c.reference == sent.c.reference)
        self._parked_for = Prepared(
            database, select(*parked_receipt.columns).join_from(sent.table, parked_receipt, is_sent), sent
        )
        self._unpark = Prepared(
            database,
            delete(parked_receipt).where(
                parked_receipt.c.carrier_id == bindparam("carrier"), parked_receipt.c.reference == bindparam("said")
            ),
        )
        self._forget = Prepared(
            database, delete(parked_receipt).where(parked_receipt.c.received_ms < bindparam("long_ago"))
        )

    def record_many(self, transaction: Transaction, receipts: Sequence[ReceiptRow], is_repeat: bool) -> list[Told]:
        """Bring receipts to their messages: state, money and callbacks together; park those whose message is not
        known (yet)."""
        said = sorted({(one.carrier_id, one.reference) for one in receipts})
        matches = {(row[0], row[1]): (row[2], message_of(row[3:])) for row in transaction.rows(self._match, said)}
        states = {matched.id: matched.state for _, matched in matches.values()}
        changes: dict[int, tuple[Message, State, ReceiptRow]] = {}
        told: list[tuple[ReceiptRow, Message | None, State | None]] = []
        for one in receipts:
            segment, matched = matches.get((one.carrier_id, one.reference), (0, None))
            if matched is None:
                told.append((one, None, None))
                continue
            reported = self._whole(transaction, one, matched) if segment else one.state
            state = after_receipt(states[matched.id], reported)
            if state is not None:
                states[matched.id] = state
                changes[matched.id] = (matched, state, one)
            told.append((one, matched, state))
        self._park_all(transaction, [one for one, matched, _ in told if matched is None])
        announced = self._apply(transaction, list(changes.values()))
        return [
            Told(is_parked=True)
            if matched is None
            else Told(False, matched.id, state, announced.pop(matched.id, ()) if state else ())
            for _, matched, state in told
        ]

    def _whole(self, transaction: Transaction, receipt: ReceiptRow, matched: Message) -> State:
        """The state of a message whose segments have references of their own, after a receipt for one of them."""
        transaction.run(
            self._mark_segment, carrier=receipt.carrier_id, said=receipt.reference, now_in=receipt.state.value
        )
        rows = transaction.rows(self._segments, id=matched.id)
        return combined(STATES[state] if state else State.SENT for (state,) in rows)

    def _apply(
        self, transaction: Transaction, changes: Sequence[tuple[Message, State, ReceiptRow]]
    ) -> dict[int, tuple[DueCallback, ...]]:
        if not changes:
            return {}
        now_ms = changes[0][2].now_ms
        rows = [
            (matched.id, state.value, one.now_ms if state in FINAL else 0, one.detail) for matched, state, one in changes
        ]
        transaction.run(self._change, rows)
        # A receipt for a message that was still in doubt proves that the carrier took it.
        posts = [
            entry(Kind.POST, matched.id, matched.account_id, matched.price_micros)
            for matched, _, _ in changes
            if matched.state is State.SENDING
        ]
        self._ledger.write(transaction, posts, now_ms)
        return self._callbacks.announce(transaction, [(matched, state) for matched, state, _ in changes], now_ms)

    def _park_all(self, transaction: Transaction, receipts: Sequence[ReceiptRow]) -> None:
        if receipts:
            rows = [(one.carrier_id, one.reference, one.state.value, one.detail, one.now_ms) for one in receipts]
            transaction.run(self._park, rows)

    def meet_parked(
        self, transaction: Transaction, references: Sequence[tuple[int, str]], now_ms: int
    ) -> dict[int, tuple[DueCallback, ...]]:
        """Bring parked receipts to messages that just got these (carrier, reference) pairs; callbacks by message."""
        rows = transaction.rows(self._parked_for, references) if references else []
        if not rows:
            return {}
        for carrier_id, reference in {(row[0], row[1]) for row in rows}:
            transaction.run(self._unpark, carrier=carrier_id, said=reference)
        receipts = [
            ReceiptRow(carrier_id=row[0], reference=row[1], state=STATES[row[2]], detail=row[3], now_ms=now_ms)
            for row in rows
        ]
        callbacks: dict[int, tuple[DueCallback, ...]] = {}
        for told in self.record_many(transaction, receipts, False):
            callbacks[told.message_id] = callbacks.get(told.message_id, ()) + told.callbacks
        return callbacks

    def forget(self, transaction: Transaction, now_ms: int) -> int:
        """Drop parked receipts that nothing was sent for in a week."""
        return transaction.run(self._forget, long_ago=now_ms - PARKED_KEPT_S * 1000)
