"""Messages on their way south: claimed before bytes leave, closed by a verdict, freed when their owner died.

Whoever sends a message owns it by (node, attempt), and a verdict only counts while both still match: a node whose lease
was taken over changes nothing any more. A message in `sending` without an owner is doubtful.
"""

from collections.abc import Callable, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Text,
    bindparam,
    func,
    literal_column,
    select,
    update,
)

from chappe.core.centre import Refusal
from chappe.core.ledger import Entry, Kind, entry, grant
from chappe.core.lifecycle import FINAL, Money, Move
from chappe.core.model import Message, State
from chappe.core.story import Happening, Tallied
from chappe.core.story import Kind as Chapter
from chappe.store.callbacks import Callbacks, DueCallback
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction, constant
from chappe.store.happenings import Happenings
from chappe.store.messages import MESSAGE_COLUMNS, PRIORITY_INDEX, backups_text, entries, message_of
from chappe.store.money import Ledger
from chappe.store.nodes import Node
from chappe.store.receipts import Receipts
from chappe.store.schema import carrier_reference, message
from chappe.store.schema import node as running
from chappe.store.shares import Shares
from chappe.store.tallies import ENDED, note, note_ended

IS_SENDING = message.c.state == constant(State.SENDING.value)
NOBODY = constant(0)
OWNER = func.abs(message.c.node_id)  # negative: that node asks what became of a doubtful message
UNAFFORDABLE_ROUNDS_MAX = 20  # how often one claim looks further where the money reached for nothing it found
SETTLEMENTS = {Money.POST: Kind.POST, Money.VOID: Kind.VOID}


class Claim(Struct, frozen=True):
    """A wish to send up to `count_max` due messages of a carrier; they become `sending`, owned by this node."""

    carrier_id: int
    count_max: int
    now_ms: int
    in_flight: Set[int] = frozenset()  # what this node is sending already; looked into when the claim is written
    is_detour: bool = False  # only messages that another carrier could take: this one is down
    is_repeat: bool = False  # the last claim raised StoreUnavailable: it may have been kept all the same
    since_ms: int = 0  # only what came due later


class Reconsideration(Struct, frozen=True):
    """A wish to look at all doubtful messages of a carrier anew: its policy may have changed."""

    carrier_id: int
    now_ms: int


class Sending(Struct, frozen=True, kw_only=True):
    """What became of a message this node was sending: its move, and what the carrier calls it from now on."""

    message: Message
    move: Move
    now_ms: int
    references: tuple[str, ...] = ()  # one for the whole message, or one for each of its segments
    detail: str = ""
    unusual: Chapter | None = None  # what the message's story tells of it; None = the ordinary course of things
    words: str = ""  # for the story, where they are not the detail


class Recorded(Struct, frozen=True):
    """Whether a move was made (not where another node took the message over), and the callbacks it calls for."""

    is_made: bool
    callbacks: tuple[DueCallback, ...] = ()


class Outbox:
    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        callbacks: Callbacks,
        receipts: Receipts,
        happenings: Happenings,
        node: Node,
    ) -> None:
        self._happenings = happenings
        self._ledger = ledger
        self._callbacks = callbacks
        self._receipts = receipts
        self._node = node
        self._shares = Shares(database)
        self._shares_of_detours = Shares(database, message.c.backups != constant(""))
        charged, unaffordable = (Batch(database, id=BigInteger) for _ in range(2))
        self._charge = Prepared(
            database, update(message).where(message.c.id == charged.c.id).values(is_charged_late=constant(0)), charged
        )
        self._reject = Prepared(
            database,
            update(message)
            .where(message.c.id == unaffordable.c.id)
            .values(
                state=constant(State.REJECTED.value),
                detail=constant(Refusal.NO_FUNDS.value),
                final_ms=bindparam("now"),
                attempt=message.c.attempt - 1,
                node_id=NOBODY,
            ),
            unaffordable,
        )
        doubtful = (
            select(message.c.id)
            .where(
                IS_SENDING,
                message.c.node_id == NOBODY,
                message.c.carrier_id == bindparam("carrier"),
                message.c.due_ms <= bindparam("now"),
            )
            .order_by(message.c.due_ms)
            .limit(bindparam("count_max", type_=BigInteger))
            .with_for_update(skip_locked=True)
            .cte("doubtful")
        )
        self._adopt = Prepared(
            database,
            update(message)
            .where(message.c.id.in_(select(doubtful.c.id)))
            .values(node_id=bindparam("owner"))
            .returning(*MESSAGE_COLUMNS),
        )
        patient = (
            select(message.c.id)
            .where(
                IS_SENDING,
                message.c.node_id == NOBODY,
                message.c.carrier_id == bindparam("carrier"),
                message.c.due_ms > bindparam("now"),
            )
            .with_for_update(skip_locked=True)
        )
        self._reconsider = Prepared(
            database, update(message).where(message.c.id.in_(patient)).values(due_ms=bindparam("now"))
        )
        self._held = Prepared(
            database,
            select(*MESSAGE_COLUMNS).where(
                IS_SENDING,
                message.c.node_id == bindparam("owner"),
                message.c.carrier_id == bindparam("carrier"),
            ),
        )
        self._free = Prepared(
            database,
            update(message)
            .where(IS_SENDING, message.c.node_id != NOBODY, OWNER.not_in(select(running.c.id)))
            .values(node_id=NOBODY),
        )
        moves = Batch(
            database,
            id=BigInteger,
            attempt=BigInteger,
            node=BigInteger,
            state=Text,
            carrier_id=BigInteger,
            backups=Text,
            due_ms=BigInteger,
            failures=BigInteger,
            final_ms=BigInteger,
            detail=Text,
            sent_ms=BigInteger,
            given=Text,
        )
        self._move = Prepared(
            database,
            update(message)
            .where(
                message.c.id == moves.c.id,
                IS_SENDING,
                message.c.attempt == moves.c.attempt,
                moves.c.node == OWNER,
            )
            .values(
                state=moves.c.state,
                carrier_id=moves.c.carrier_id,
                backups=moves.c.backups,
                due_ms=moves.c.due_ms,
                failures=moves.c.failures,
                final_ms=moves.c.final_ms,
                detail=moves.c.detail,
                sent_ms=moves.c.sent_ms,
                given=moves.c.given,
                node_id=NOBODY,
            )
            .returning(message.c.id, message.c.attempt),
            moves,
        )
        given = Batch(database, carrier_id=BigInteger, reference=Text, message_id=BigInteger, segment=BigInteger)
        names = [column.name for column in given.c]
        self._refer = Prepared(
            database,
            database.insert(carrier_reference)
            .from_select(names, select(given.table).where(TRUE))
            .on_conflict_do_update(
                index_elements=names[:2], set_={name: literal_column(f"excluded.{name}") for name in names[2:]}
            ),
            given,
        )

    def claim_many(self, transaction: Transaction, claims: Sequence[Claim], is_repeat: bool) -> list[list[Message]]:
        """Due messages, most urgent first and in equal shares for their accounts, now `sending` with one attempt more;
        what is charged late is charged now. On a repeat, also what an earlier claim took whose answer was lost."""

        def claim(one: Claim) -> list[Message]:
            shares = self._shares_of_detours if one.is_detour else self._shares
            for _ in range(UNAFFORDABLE_ROUNDS_MAX):
                rows = shares.take(
                    transaction,
                    carrier_id=one.carrier_id,
                    owner=self._node.id,
                    count_max=one.count_max,
                    now_ms=one.now_ms,
                    since_ms=one.since_ms,
                )
                found = [message_of(row) for row in rows]
                affordable = self._charge_late(transaction, found, one.now_ms)
                if affordable or not found:
                    break
            return affordable

        return self._take(transaction, claim, self._node.id, claims, is_repeat)

    def adopt_many(self, transaction: Transaction, claims: Sequence[Claim], is_repeat: bool) -> list[list[Message]]:
        """Doubtful messages of a carrier, now owned by this node, their attempt as it was."""
        # Under the negative id: a repeated claim must never take them for messages that were not sent yet.
        owner = -self._node.id

        def adopt(one: Claim) -> list[Message]:
            wanted = {"carrier": one.carrier_id, "count_max": one.count_max, "now": one.now_ms}
            return [message_of(row) for row in transaction.rows(self._adopt, owner=owner, **wanted)]

        return self._take(transaction, adopt, owner, claims, is_repeat)

    def reconsider_many(
        self, transaction: Transaction, wishes: Sequence[Reconsideration], is_repeat: bool
    ) -> list[int]:
        """Make what is doubtful due now, whatever it was to wait for; how many messages that were."""
        return [transaction.run(self._reconsider, carrier=one.carrier_id, now=one.now_ms) for one in wishes]

    def _take(
        self,
        transaction: Transaction,
        find: Callable[[Claim], list[Message]],
        owner: int,
        claims: Sequence[Claim],
        is_repeat: bool,
    ) -> list[list[Message]]:
        taken = []
        answered: set[int] = set()
        for one in claims:
            messages: list[Message] = []
            if is_repeat or one.is_repeat:
                held = map(message_of, transaction.rows(self._held, carrier=one.carrier_id, owner=owner))
                messages = [each for each in held if each.id not in one.in_flight and each.id not in answered]
            if not messages:
                messages = find(one)
            messages.sort(key=urgency)  # RETURNING has no order
            answered.update(each.id for each in messages)
            taken.append(messages)
        return taken

    def _charge_late(self, transaction: Transaction, claimed: list[Message], now_ms: int) -> list[Message]:
        """Reserve what is charged only now, most urgent first. What the money does not reach for is rejected; those
        returned may leave."""
        late = sorted((one for one in claimed if one.is_charged_late), key=urgency)
        if not late:
            return claimed
        spendable = self._ledger.lock(transaction, (one.account_id for one in late))
        granted = grant(spendable, ((one.account_id, one.price_micros) for one in late))
        fates = list(zip(late, granted, strict=True))
        charged = [replace(one, is_charged_late=False) for one, is_granted in fates if is_granted]
        rejected = [one for one, is_granted in fates if not is_granted]
        if charged:
            transaction.run(self._charge, [(one.id,) for one in charged])
            self._ledger.write(transaction, entries(Kind.RESERVE, charged), now_ms)
        if rejected:
            transaction.run(self._reject, [(one.id,) for one in rejected], now=now_ms)
            note_ended(transaction, [replace(one, state=State.REJECTED) for one in rejected], now_ms)
            changes = [(one, State.REJECTED, Refusal.NO_FUNDS.value) for one in rejected]
            self._callbacks.leave(transaction, changes, now_ms)
        return [one for one in claimed if not one.is_charged_late] + charged

    def record_many(self, transaction: Transaction, results: Sequence[Sending], is_repeat: bool) -> list[Recorded]:
        """Write verdicts: state, reference and money together, then receipts that came before them."""
        firsts = {(one.message.id, one.message.attempt): one for one in reversed(results)}
        made = set(transaction.rows(self._move, [self._row_of(one) for one in firsts.values()]))
        # In the order asked, which RETURNING does not keep: of two that give one reference, the later has it.
        done = [one for attempt, one in reversed(firsts.items()) if attempt in made]
        if not done:
            return [Recorded(is_made=False) for _ in results]
        now_ms = done[0].now_ms
        self._ledger.write(transaction, [each for one in done for each in settlement(one)], now_ms)
        for one in done:
            tally(transaction, one)
        self._happenings.write(transaction, [happening_of(one) for one in done if one.unusual is not None])
        changes = [(one.message, one.move.state, one.detail) for one in done if one.move.state is not State.SENDING]
        announced = self._callbacks.announce(transaction, changes, now_ms)
        references = {row[:2]: row for one in done for row in references_of(one)}
        if references:
            transaction.run(self._refer, list(references.values()))
            for message_id, callbacks in self._receipts.meet_parked(transaction, list(references), now_ms).items():
                announced[message_id] = announced.get(message_id, ()) + callbacks
        done_ids = {id(one) for one in done}
        return [
            Recorded(True, announced.get(one.message.id, ())) if id(one) in done_ids else Recorded(False)
            for one in results
        ]

    def _row_of(self, one: Sending) -> tuple[object, ...]:
        move = one.move
        is_taken = move.money is Money.POST
        return (
            one.message.id,
            one.message.attempt,
            self._node.id,
            move.state.value,
            move.carrier_id,
            backups_text(move.backups),
            move.due_ms,
            move.failures,
            one.now_ms if move.state in FINAL else 0,
            one.detail,
            one.now_ms if is_taken else 0,
            " ".join(one.references) if is_taken else "",
        )

    def free(self, transaction: Transaction) -> int:
        """What nodes were sending that are no more is doubtful now; tells how many messages that are."""
        return transaction.run(self._free)


def urgency(one: Message) -> tuple[int, int, int]:
    return PRIORITY_INDEX[one.priority], one.due_ms, one.id


def settlement(one: Sending) -> list[Entry]:
    kind = SETTLEMENTS.get(one.move.money)
    return [entry(kind, one.message.id, one.message.account_id, one.message.price_micros)] if kind else []


def tally(transaction: Transaction, one: Sending) -> None:
    """Count what became of a message: where it was reported on at once, both that it was sent and how it ended."""
    asked, move = one.message, one.move
    if move.money is Money.POST:
        lag_ms = max(0, one.now_ms - asked.due_ms)
        note(transaction, Tallied.SENT, asked, one.now_ms, asked.price_micros, lag_ms)
    ended = ENDED.get(move.state)
    if ended is not None:
        note(transaction, ended, asked, one.now_ms)
    elif move.state is State.QUEUED:
        is_same = move.carrier_id == asked.carrier_id
        note(transaction, Tallied.PUT_OFF if is_same else Tallied.REROUTED, asked, one.now_ms)


def happening_of(one: Sending) -> Happening:
    assert one.unusual is not None
    return Happening(
        message_id=one.message.id,
        made_ms=one.now_ms,
        kind=one.unusual,
        carrier_id=one.message.carrier_id,
        attempt=one.message.attempt,
        words=one.words or one.detail,
    )


def references_of(one: Sending) -> list[tuple[int, str, int, int]]:
    """Rows for carrier_reference. The carrier is the one that was asked, not the one the message may move on to."""
    carrier_id, message_id = one.message.carrier_id, one.message.id
    first = 0 if len(one.references) == 1 else 1
    return [
        (carrier_id, reference, message_id, segment)
        for segment, reference in enumerate(one.references, first)
        if reference
    ]
