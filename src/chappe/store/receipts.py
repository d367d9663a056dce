"""Receipts meet their messages by the carrier's reference; those that come too early are parked until then."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, case, delete, select, tuple_, update

from chappe.core.ledger import Kind, entry
from chappe.core.lifecycle import FINAL, after_receipt, combined
from chappe.core.model import Message, State
from chappe.core.recipients import is_same_number
from chappe.core.story import Happening, Sense, Tallied
from chappe.core.story import Kind as Chapter
from chappe.store.callbacks import Callbacks, DueCallback
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant
from chappe.store.happenings import Happenings
from chappe.store.messages import MESSAGE_COLUMNS, STATES, message_of
from chappe.store.money import Ledger
from chappe.store.schema import carrier_reference, message, parked_receipt
from chappe.store.tallies import ENDED, note

NOT_A_SEGMENT = constant(0)
AS_GIVEN = -1
PARKED_KEPT_S = 7 * 24 * 3600
STATE_PLACES = {state: place for place, state in enumerate(State)}


class ReceiptRow(Struct, frozen=True, kw_only=True):
    """A receipt as it arrived: which carrier said what about which of its references."""

    carrier_id: int
    reference: str
    state: State
    detail: str
    now_ms: int
    recipient: str = ""  # whom the message went to, in the carrier's writing
    spellings: tuple[str, ...] = ()  # other readings of the reference; one counts only where the recipient agrees
    parked_ms: int = 0  # since when it waited for its message; 0 = it did not


class Told(Struct, frozen=True):
    """What a receipt led to: it was parked, or it found its message, now in `state` (None = it changed nothing)."""

    is_parked: bool
    message_id: int = 0
    state: State | None = None
    callbacks: tuple[DueCallback, ...] = ()
    spelling: int = AS_GIVEN  # place of the reading that was right
    is_to_recipient: bool = False  # whether that one is to the receipt's recipient; told of what has spellings
    sent_ms: int = 0  # when its message was sent; 0 = it was not in `sent`


Reference = tuple[int, str]  # a carrier, and what it calls a message or a segment
Matches = dict[Reference, tuple[int, Message]]  # the segment (0 = the whole message), and its message


class Receipts:
    def __init__(self, database: Database, ledger: Ledger, callbacks: Callbacks, happenings: Happenings) -> None:
        self._ledger = ledger
        self._happenings = happenings
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
            .order_by(message.c.id)  # nodes that lock the same messages do so in the same order
            .with_for_update(of=message),
            said,
        )
        changes = Batch(database, id=BigInteger, state=Text, final_ms=BigInteger, detail=Text, sent_ms=BigInteger)
        self._change = Prepared(
            database,
            update(message)
            .where(message.c.id == changes.c.id)
            .values(
                state=changes.c.state,
                final_ms=changes.c.final_ms,
                detail=changes.c.detail,
                sent_ms=case((changes.c.sent_ms == constant(0), message.c.sent_ms), else_=changes.c.sent_ms),
                node_id=0,
            ),
            changes,
        )
        parts = Batch(database, message_id=BigInteger)
        self._parts = Prepared(
            database,
            select(
                carrier_reference.c.message_id,
                carrier_reference.c.carrier_id,
                carrier_reference.c.reference,
                carrier_reference.c.state,
            )
            .join_from(parts.table, carrier_reference, carrier_reference.c.message_id == parts.c.message_id)
            .where(carrier_reference.c.segment > NOT_A_SEGMENT),
            parts,
        )
        marks = Batch(database, carrier_id=BigInteger, reference=Text, state=Text)
        self._mark = Prepared(
            database,
            update(carrier_reference)
            .where(
                carrier_reference.c.carrier_id == marks.c.carrier_id,
                carrier_reference.c.reference == marks.c.reference,
            )
            .values(state=marks.c.state),
            marks,
        )
        parked = Batch(database, carrier_id=BigInteger, reference=Text, state=Text, detail=Text, received_ms=BigInteger)
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
            database,
            select(*parked_receipt.columns)
            .join_from(sent.table, parked_receipt, is_sent)
            .order_by(parked_receipt.c.received_ms),
            sent,
        )
        is_known = (parked_receipt.c.carrier_id == carrier_reference.c.carrier_id) & (
            parked_receipt.c.reference == carrier_reference.c.reference
        )
        self._overtaken = Prepared(
            database,
            select(parked_receipt.c.carrier_id, parked_receipt.c.reference)
            .join_from(parked_receipt, carrier_reference, is_known)
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        met = Batch(database, carrier_id=BigInteger, reference=Text)
        self._unpark = Prepared(
            database,
            delete(parked_receipt).where(
                tuple_(parked_receipt.c.carrier_id, parked_receipt.c.reference).in_(select(met.table))
            ),
            met,
        )
        self._forget = Prepared(
            database, delete(parked_receipt).where(parked_receipt.c.received_ms < bindparam("long_ago"))
        )

    def record_many(self, transaction: Transaction, receipts: Sequence[ReceiptRow], is_repeat: bool) -> list[Told]:
        """Bring receipts to their messages: state, money and callbacks together; park those whose message is not
        known (yet)."""
        matches = self._matches(transaction, {(one.carrier_id, one.reference) for one in receipts})
        unsure = [one for one in receipts if one.spellings and not is_certain(one, matches)]
        if unsure:
            others = {(one.carrier_id, spelling) for one in unsure for spelling in one.spellings}
            matches |= self._matches(transaction, others - matches.keys())
        segments = self._segments_of(transaction, {matched.id for segment, matched in matches.values() if segment})
        marks: dict[Reference, State] = {}
        states = {matched.id: matched.state for _, matched in matches.values()}
        changes: dict[int, tuple[Message, State, ReceiptRow]] = {}
        told: list[tuple[ReceiptRow, Message | None, State | None, int]] = []
        befell: list[Happening] = []
        for one in receipts:
            spelling = reading_of(one, matches)
            reference = reference_of(one, spelling)
            segment, matched = matches.get(reference, (0, None))
            if matched is None:
                told.append((one, None, None, AS_GIVEN))
                continue
            reported = one.state
            part = None
            if segment:
                parts = segments[matched.id]
                part = after_receipt(parts[reference], reported)
                if part is not None:
                    parts[reference] = marks[reference] = part
                reported = combined(parts.values())
            before = states[matched.id]
            state = after_receipt(before, reported)
            is_in_vain = state is None and part is None and not is_repeat
            if is_in_vain or one.parked_ms or (state is not None and before is not State.SENT):
                befell.append(unusual(one, matched, before, state))
            if state is not None:
                states[matched.id] = state
                changes[matched.id] = (matched, state, one)
            told.append((one, matched, state, spelling))
        if marks:
            transaction.run(self._mark, [(*reference, state.value) for reference, state in marks.items()])
        self._park_all(transaction, [one for one, matched, _, _ in told if matched is None])
        announced = self._apply(transaction, list(changes.values()))
        self._happenings.write(transaction, [each for each in befell if not each.attempt])
        self._happenings.write_once(transaction, [each for each in befell if each.attempt])
        return [
            Told(is_parked=True)
            if matched is None
            else Told(
                is_parked=False,
                message_id=matched.id,
                state=state,
                callbacks=announced.pop(matched.id, ()) if state else (),
                spelling=spelling,
                is_to_recipient=bool(one.spellings) and is_same_number(one.recipient, matched.recipient),
                sent_ms=sent_ms(matched),
            )
            for one, matched, state, spelling in told
        ]

    def _matches(self, transaction: Transaction, references: Iterable[Reference]) -> Matches:
        rows = transaction.rows(self._match, sorted(references))
        return {(row[0], row[1]): (row[2], message_of(row[3:])) for row in rows}

    def _segments_of(self, transaction: Transaction, message_ids: Iterable[int]) -> dict[int, dict[Reference, State]]:
        """By message, the state of each segment that has a reference of its own: `sent` until a receipt names it."""
        segments: dict[int, dict[Reference, State]] = {message_id: {} for message_id in message_ids}
        if segments:
            for message_id, carrier_id, reference, state in transaction.rows(
                self._parts, [(each,) for each in segments]
            ):
                segments[message_id][carrier_id, reference] = STATES[state] if state else State.SENT
        return segments

    def _apply(
        self, transaction: Transaction, changes: Sequence[tuple[Message, State, ReceiptRow]]
    ) -> dict[int, tuple[DueCallback, ...]]:
        if not changes:
            return {}
        now_ms = changes[0][2].now_ms
        rows = [
            (
                matched.id,
                state.value,
                one.now_ms if state in FINAL else 0,
                one.detail,
                one.now_ms if matched.state is State.SENDING else 0,
            )
            for matched, state, one in changes
        ]
        transaction.run(self._change, rows)
        # A receipt for a message that was still in doubt proves that the carrier took it.
        posts = [
            entry(Kind.POST, matched.id, matched.account_id, matched.price_micros)
            for matched, _, _ in changes
            if matched.state is State.SENDING
        ]
        self._ledger.write(transaction, posts, now_ms)
        for matched, state, _ in changes:
            tally(transaction, matched, state, now_ms)
        return self._callbacks.announce(
            transaction, [(matched, state, one.detail) for matched, state, one in changes], now_ms
        )

    def _park_all(self, transaction: Transaction, receipts: Sequence[ReceiptRow]) -> None:
        if receipts:
            rows = [(one.carrier_id, one.reference, one.state.value, one.detail, one.now_ms) for one in receipts]
            transaction.run(self._park, rows)

    def meet_parked(
        self, transaction: Transaction, references: Sequence[Reference], now_ms: int
    ) -> dict[int, tuple[DueCallback, ...]]:
        """Bring parked receipts to messages that just got these (carrier, reference) pairs; callbacks by message."""
        rows = transaction.rows(self._parked_for, references) if references else []
        if not rows:
            return {}
        transaction.run(self._unpark, sorted({(row[0], row[1]) for row in rows}))
        receipts = [
            ReceiptRow(
                carrier_id=row[0],
                reference=row[1],
                state=STATES[row[2]],
                detail=row[3],
                now_ms=now_ms,
                parked_ms=row[4],
            )
            for row in rows
        ]
        callbacks: dict[int, tuple[DueCallback, ...]] = {}
        for told in self.record_many(transaction, receipts, False):
            callbacks[told.message_id] = callbacks.get(told.message_id, ()) + told.callbacks
        return callbacks

    def meet_overtaken(
        self, transaction: Transaction, now_ms: int, count_max: int
    ) -> dict[int, tuple[DueCallback, ...]]:
        """Bring home receipts that were parked while another node was just writing their message's reference."""
        references = transaction.rows(self._overtaken, count_max=count_max)
        return self.meet_parked(transaction, references, now_ms)

    def forget(self, transaction: Transaction, now_ms: int) -> int:
        """Drop parked receipts that nothing was sent for in a week."""
        return transaction.run(self._forget, long_ago=now_ms - PARKED_KEPT_S * 1000)


def tally(transaction: Transaction, matched: Message, state: State, now_ms: int) -> None:
    """Count what a receipt made of a message: one that came before the answer also says that it was sent."""
    sent = sent_ms(matched)
    if matched.state is State.SENDING:
        lag_ms = max(0, now_ms - matched.due_ms)
        note(transaction, Tallied.SENT, matched, now_ms, matched.price_micros, lag_ms)
    ended = ENDED.get(state)
    if ended is not None:
        note(transaction, ended, matched, now_ms, 0, max(0, now_ms - sent) if sent else 0)


def unusual(one: ReceiptRow, matched: Message, before: State, state: State | None) -> Happening:
    """What the message's story tells of a receipt. What a carrier may repeat without end says so by an `attempt`: the
    place of the state it tells."""
    if one.parked_ms or (before is State.SENDING and state is not None):
        sense = Sense.EARLY
    elif state is not None:
        sense = Sense.LATE
    elif one.state is before:
        sense = Sense.AGAIN
    else:
        sense = Sense.AGAINST if one.state in FINAL and before in FINAL else Sense.MEANWHILE
    is_repeatable = state is None and not one.parked_ms
    return Happening(
        message_id=matched.id,
        made_ms=one.parked_ms or one.now_ms,
        kind=Chapter.RECEIPT,
        carrier_id=one.carrier_id,
        attempt=1 + STATE_PLACES[one.state] if is_repeatable else 0,
        words=f"{sense.value} {one.state.value} {one.detail}".rstrip(),
    )


def sent_ms(matched: Message) -> int:
    """What a message waits for is kept as its due time; one in `sent` waits for its receipt, from when it was sent."""
    return matched.due_ms if matched.state is State.SENT else 0


def reference_of(one: ReceiptRow, spelling: int) -> Reference:
    return one.carrier_id, one.reference if spelling == AS_GIVEN else one.spellings[spelling]


def reading_of(one: ReceiptRow, matches: Matches) -> int:
    """Which reading of its reference a receipt is taken at: as given, unless that names no message to its recipient and
    another reading does. A number in decimal digits may well be another message's number in hexadecimal ones."""
    if not one.spellings or is_certain(one, matches):
        return AS_GIVEN
    fitting = (place for place in range(len(one.spellings)) if fits(one, matches.get(reference_of(one, place))))
    return next(fitting, AS_GIVEN)


def is_certain(one: ReceiptRow, matches: Matches) -> bool:
    """Whether the reference as given belongs to a message to the receipt's recipient."""
    return fits(one, matches.get((one.carrier_id, one.reference)))


def fits(one: ReceiptRow, match: tuple[int, Message] | None) -> bool:
    return match is not None and is_same_number(one.recipient, match[1].recipient)
