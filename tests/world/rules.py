"""What must be true of the tables after every commit, whatever happened before: money, moves, promises, callbacks.

A trigger writes down every change of a message's state, so that no move escapes, however many share a commit. The
rules read whole tables; a world is small.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chappe.core.ledger import Entry, Purse, purses_of
from chappe.core.lifecycle import FINAL, MOVES
from chappe.core.model import Account, Inbound, Report, State
from chappe.core.story import Tallied
from chappe.dialects.base import Dialect
from chappe.gateway.callbacks import INBOUND, RECEIPT
from chappe.gateway.inbound import MAIL, PHONE, inbound_dialect
from chappe.store.database import Database
from chappe.store.tallies import ENDED, HOUR_S, MINUTE_S

OPEN = {State.SCHEDULED, State.QUEUED, State.SENDING}
BORN = {State.SCHEDULED, State.QUEUED, State.SENDING}  # the last where a message leaves as soon as it is kept

WITNESS_SQLITE = (
    "CREATE TABLE witness (number INTEGER PRIMARY KEY AUTOINCREMENT, message_id BIGINT, before TEXT, after TEXT)",
    "CREATE TRIGGER witness_birth AFTER INSERT ON message BEGIN "
    "INSERT INTO witness (message_id, before, after) VALUES (new.id, '', new.state); END",
    "CREATE TRIGGER witness_move AFTER UPDATE ON message WHEN old.state <> new.state BEGIN "
    "INSERT INTO witness (message_id, before, after) VALUES (new.id, old.state, new.state); END",
    "CREATE TABLE rental_witness (number INTEGER PRIMARY KEY AUTOINCREMENT, rented TEXT, before BIGINT, after BIGINT)",
    "CREATE TRIGGER witness_rental AFTER UPDATE ON rented_number WHEN old.rental_id <> new.rental_id BEGIN "
    "INSERT INTO rental_witness (rented, before, after) VALUES (new.number, old.rental_id, new.rental_id); END",
)
WITNESS_POSTGRESQL = (
    "CREATE TABLE witness (number BIGSERIAL PRIMARY KEY, message_id BIGINT, before TEXT, after TEXT)",
    "CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO witness (message_id, before, after) VALUES (new.id, coalesce(old.state, ''), new.state); "
    "RETURN NULL; END $$",
    "CREATE TRIGGER witness_birth AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION witness()",
    "CREATE TRIGGER witness_move AFTER UPDATE ON message FOR EACH ROW WHEN (old.state <> new.state) "
    "EXECUTE FUNCTION witness()",
    "CREATE TABLE rental_witness (number BIGSERIAL PRIMARY KEY, rented TEXT, before BIGINT, after BIGINT)",
    "CREATE FUNCTION rental_witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO rental_witness (rented, before, after) VALUES (new.number, old.rental_id, new.rental_id); "
    "RETURN NULL; END $$",
    "CREATE TRIGGER witness_rental AFTER UPDATE ON rented_number FOR EACH ROW "
    "WHEN (old.rental_id <> new.rental_id) EXECUTE FUNCTION rental_witness()",
)


class MessageRow(Struct, frozen=True, array_like=True):
    id: int
    submission_id: int
    account_id: int
    dialect: str
    reference: str
    state: State
    price_micros: int
    due_ms: int
    expires_ms: int
    node_id: int
    wants_callbacks: bool
    is_charged_late: bool  # nothing is reserved for it yet
    originator: str
    recipient: str
    text: str


class CallbackSeen(Struct, frozen=True, array_like=True):
    id: int
    account_id: int
    message_id: int
    kind: str
    dialect: str
    state: str
    due_ms: int
    about: Report | Inbound


class ArrivedSeen(Struct, frozen=True, array_like=True):
    """A message from a phone, as it is kept."""

    id: int
    account_id: int
    recipient: str
    originator: str
    text: str


class RentalSeen(Struct, frozen=True, array_like=True):
    number: str
    account_id: int
    rental_id: int
    months: int
    expires_ms: int


class Tables(Struct, frozen=True, kw_only=True):
    """All that the rules look at, read at one moment."""

    messages: Mapping[int, MessageRow]
    moves: tuple[tuple[int, str, str], ...]  # message, before (empty at birth), after; in order
    entries: tuple[Entry, ...]
    balances: Mapping[int, tuple[int, int, int]]  # account: available, reserved, limit
    callbacks: tuple[CallbackSeen, ...]
    matched: Mapping[tuple[int, str], tuple[int, int]]  # (carrier, reference): message, segment
    parked: frozenset[tuple[int, str]]
    disabled_urls: frozenset[tuple[int, str]]
    rentals: tuple[RentalSeen, ...]  # numbers that somebody rents
    rental_moves: tuple[tuple[str, int, int], ...]  # number, rental before, rental after (0 = nobody's); in order
    arrived: tuple[ArrivedSeen, ...]
    segments: tuple[str, ...]  # texts of those that wait for others
    blocks: frozenset[tuple[int, str, str]]  # account, number, originator (empty = any)
    tallies: Mapping[tuple[int, int, str], tuple[int, int]]  # span, account, what: how many, how much money


class Reader:
    """Reads the tables on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._raw = self._database.engine.raw_connection()

    def install_witness(self) -> None:
        for statement in WITNESS_SQLITE if self._database.is_sqlite else WITNESS_POSTGRESQL:
            self.run(statement)

    def run(self, statement: str) -> None:
        """One statement of the world's own, committed."""
        cursor = self._raw.cursor()
        cursor.execute(statement)
        self._raw.commit()

    def rows(self, columns: str, table: str, order: str = "1") -> list[Any]:
        cursor = self._raw.cursor()
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")
        found = list(cursor.fetchall())
        self._raw.commit()
        return found

    def tables(self) -> Tables:
        messages = self.rows(
            "id, submission_id, account_id, dialect, reference, state, price_micros, due_ms, expires_ms, node_id, "
            "wants_callbacks, is_charged_late, originator, recipient, text",
            "message",
        )
        entries = self.rows("source_id, phase, account_id, debit, credit, amount_micros", "entry", "1, 2")
        callbacks = self.rows("id, account_id, message_id, kind, dialect, state, due_ms, payload", "callback")
        return Tables(
            messages={row[0]: msgspec.convert(row, MessageRow, strict=False) for row in messages},
            moves=tuple((row[1], row[2], row[3]) for row in self.rows("number, message_id, before, after", "witness")),
            entries=tuple(
                Entry(
                    source_id=row[0],
                    phase=row[1],
                    account_id=row[2],
                    debit=Purse(row[3]),
                    credit=Purse(row[4]),
                    amount_micros=row[5],
                )
                for row in entries
            ),
            balances={
                row[0]: row[1:]
                for row in self.rows("account_id, available_micros, reserved_micros, limit_micros", "balance")
            },
            callbacks=tuple(CallbackSeen(*(*row[:7], about_of(row[3], row[7]))) for row in callbacks),
            matched={
                (row[0], row[1]): (row[2], row[3])
                for row in self.rows("carrier_id, reference, message_id, segment", "carrier_reference")
            },
            parked=frozenset((row[0], row[1]) for row in self.rows("carrier_id, reference", "parked_receipt")),
            disabled_urls=frozenset((row[0], row[1]) for row in self.rows("account_id, url", "disabled_url")),
            rentals=tuple(
                RentalSeen(*row)
                for row in self.rows("number, account_id, rental_id, months, expires_ms", "rented_number")
                if row[1]
            ),
            rental_moves=tuple(
                (row[1], row[2], row[3]) for row in self.rows("number, rented, before, after", "rental_witness")
            ),
            arrived=tuple(
                ArrivedSeen(*row) for row in self.rows("id, account_id, recipient, originator, text", "inbound")
            ),
            segments=tuple(row[0] for row in self.rows("text", "inbound_segment WHERE inbound_id = 0")),
            blocks=frozenset(
                tuple(row) for row in self.rows("account_id, number, originator", "block WHERE is_active = 1")
            ),
            tallies={
                row[:3]: (int(row[3]), int(row[4]))
                for row in self.rows(
                    "span_s, account_id, what, sum(count), sum(amount_micros)",
                    "tally GROUP BY span_s, account_id, what",
                )
            },
        )

    def close(self) -> None:
        self._raw.close()


def about_of(kind: str, payload: str) -> Report | Inbound:
    if kind == RECEIPT:
        return msgspec.json.decode(payload, type=Report)
    return msgspec.json.decode(payload, type=Inbound)


def broken_rules(tables: Tables, accounts: Mapping[int, Account], dialects: Mapping[str, Dialect]) -> Iterator[str]:
    """Every rule that does not hold, as a sentence."""
    yield from wrong_money(tables)
    yield from wrong_rents(tables)
    yield from wrong_moves(tables)
    yield from wrong_callbacks(tables, accounts, dialects)
    yield from wrong_forwards(tables, accounts, dialects)
    yield from wrong_tallies(tables)
    for carrier_id, reference in sorted(tables.parked & tables.matched.keys()):
        yield f"a receipt for {reference} of carrier {carrier_id} is parked although its message is known"


def wrong_money(tables: Tables) -> Iterator[str]:
    purses = purses_of(tables.entries)
    if sum(purses.values()):
        yield f"all purses together hold {sum(purses.values())}, not nothing"
    reserved: Counter[int] = Counter()
    for one in tables.messages.values():
        if one.state in OPEN and not one.is_charged_late:
            reserved[one.account_id] += one.price_micros
    for account_id, (available, held, limit) in tables.balances.items():
        if available != purses.get((account_id, Purse.AVAILABLE), 0):
            yield f"account {account_id} has {available} available, its entries say otherwise"
        if held != purses.get((account_id, Purse.RESERVED), 0):
            yield f"account {account_id} has {held} reserved, its entries say otherwise"
        if held != reserved[account_id]:
            yield f"account {account_id} has {held} reserved, its open messages cost {reserved[account_id]}"
        if available < limit:
            yield f"account {account_id} fell to {available}, below its limit {limit}"
    yield from wrong_settlements(tables)


# What a message may be in that is charged when it is sent, and was not: it waits, or will never be sent.
UNCHARGED = {State.SCHEDULED, State.CANCELLED, State.EXPIRED, State.REJECTED}
NO_WAY: set[tuple[Purse, ...]] = {()}
ANY_WAY: set[tuple[Purse, ...]] = {(Purse.REVENUE,), (Purse.AVAILABLE,)}
# Which way a message's money may have gone, by its state. A message in doubt to the end is `unknown` and costs nothing;
# a receipt that comes after that changes its state, not its money.
SETTLED: dict[State, set[tuple[Purse, ...]]] = {
    **dict.fromkeys(OPEN, NO_WAY),
    **dict.fromkeys(FINAL | {State.UNKNOWN}, ANY_WAY),
    State.SENT: {(Purse.REVENUE,)},
    State.CANCELLED: {(Purse.AVAILABLE,)},
}


def wrong_settlements(tables: Tables) -> Iterator[str]:
    reservations: Counter[int] = Counter()
    settlements: dict[int, tuple[Purse, ...]] = {}
    for each in tables.entries:
        if each.credit is Purse.RESERVED:
            reservations[each.source_id] += 1
        elif each.debit is Purse.RESERVED:
            settlements[each.source_id] = (*settlements.get(each.source_id, ()), each.credit)
    for one in tables.messages.values():
        if one.is_charged_late and one.state not in UNCHARGED:
            yield f"message {one.id} is {one.state}, and was never charged"
        if one.price_micros and reservations[one.id] != (0 if one.is_charged_late else 1):
            yield f"message {one.id} is reserved {reservations[one.id]} times"
        permitted = NO_WAY if one.is_charged_late else SETTLED[one.state]
        if one.price_micros and settlements.get(one.id, ()) not in permitted:
            yield f"message {one.id} is {one.state}, its money went to {settlements.get(one.id, ())}"
    for source_id in sorted((reservations.keys() | settlements.keys()) - tables.messages.keys()):
        yield f"there is money for message {source_id}, which was not kept"


def rents_of(tables: Tables) -> dict[int, list[Entry]]:
    """What was paid for each rental, month by month."""
    rents: dict[int, list[Entry]] = {}
    for each in tables.entries:
        if each.debit is Purse.AVAILABLE and each.credit is Purse.REVENUE:
            rents.setdefault(each.source_id, []).append(each)
    return rents


def wrong_rents(tables: Tables) -> Iterator[str]:
    """Whoever has a number paid for each of its months once, and nobody else for any."""
    rents = rents_of(tables)
    for rental_id, paid in rents.items():
        phases = {each.phase for each in paid}
        if phases != {f"rent-{month}" for month in range(1, len(paid) + 1)}:
            yield f"rental {rental_id} was paid for {sorted(phases)}"
        if len({each.account_id for each in paid}) > 1:
            yield f"rental {rental_id} was paid by more than one account"
    for one in tables.rentals:
        paid = rents.get(one.rental_id, [])
        if len(paid) != one.months or any(each.account_id != one.account_id for each in paid):
            yield f"number {one.number} has {one.months} months, {len(paid)} were paid"
    for number, before, after in tables.rental_moves:
        if before and after:
            yield f"number {number} went from rental {before} to {after} without being free"


def wrong_moves(tables: Tables) -> Iterator[str]:
    states: dict[int, str] = {}
    for message_id, before, after in tables.moves:
        if states.get(message_id, "") != before:
            yield f"message {message_id} moved from {before}, where it was not"
        permitted = MOVES[State(before)] if before else BORN
        if State(after) not in permitted:
            yield f"message {message_id} moved from {before or 'nothing'} to {after}"
        states[message_id] = after


def wrong_tallies(tables: Tables) -> Iterator[str]:
    """What was counted by the minute and by the hour is what the other tables say, account by account."""
    seen: Counter[tuple[int, str]] = Counter()
    money: Counter[tuple[int, str]] = Counter()
    for one in tables.messages.values():
        seen[one.account_id, Tallied.ACCEPTED] += 1
        money[one.account_id, Tallied.ACCEPTED] += one.price_micros
    for message_id, before, after in tables.moves:
        account_id = tables.messages[message_id].account_id
        if State(after) in ENDED:
            seen[account_id, ENDED[State(after)]] += 1
        elif (before, after) == (State.SENDING, State.QUEUED):
            seen[account_id, AGAIN] += 1
    for each in tables.entries:
        if (each.debit, each.credit) == (Purse.RESERVED, Purse.REVENUE):
            money[each.account_id, Tallied.SENT] += each.amount_micros
    for arrived in tables.arrived:
        seen[arrived.account_id, Tallied.INBOUND] += 1
    for span_s in (MINUTE_S, HOUR_S):
        counted: Counter[tuple[int, str]] = Counter()
        amounts: Counter[tuple[int, str]] = Counter()
        for (span, account_id, what), (count, amount) in tables.tallies.items():
            if span == span_s:
                counted[account_id, AGAIN if what in (Tallied.PUT_OFF, Tallied.REROUTED) else what] += count
                amounts[account_id, what] += amount
        for key in sorted(k for k in seen.keys() | counted.keys() if k[1] != Tallied.SENT and seen[k] != counted[k]):
            yield f"account {key[0]} has {seen[key]} {key[1]}, {counted[key]} are counted by {span_s} s"
        for key in sorted(k for k in money.keys() | amounts.keys() if money[k] != amounts[k]):
            yield f"account {key[0]} has {money[key]} micros {key[1]}, {amounts[key]} are counted by {span_s} s"


AGAIN = "again"  # put off, or left to another carrier


def wrong_callbacks(tables: Tables, accounts: Mapping[int, Account], dialects: Mapping[str, Dialect]) -> Iterator[str]:
    wanted: Counter[tuple[int, str]] = Counter()
    for message_id, _, after in tables.moves:
        one = tables.messages[message_id]
        account = accounts[one.account_id]
        dialect = dialects[account.receipt_dialect or one.dialect]
        is_news = State(after) in dialect.north.reported_states
        if is_news and account.receipt_url and one.wants_callbacks:
            wanted[message_id, after] += 1
    reports = ((each.message_id, each.about) for each in tables.callbacks if each.kind == RECEIPT)
    written = Counter((message_id, report.state.value) for message_id, report in reports if isinstance(report, Report))
    for news in sorted(wanted.keys() | written.keys()):
        if wanted[news] != written[news]:
            yield f"message {news[0]} became {news[1]} {wanted[news]} times, {written[news]} callbacks tell of it"


def wrong_forwards(tables: Tables, accounts: Mapping[int, Account], dialects: Mapping[str, Dialect]) -> Iterator[str]:
    """A message from a phone goes once each way its owner wants, in its own words; what is nobody's goes nowhere."""
    wanted: Counter[tuple[int, str, str]] = Counter()
    for one in tables.arrived:
        account = accounts.get(one.account_id)
        owner = next((each for each in accounts.values() if one.recipient in each.numbers), None)
        if account is not owner:
            yield f"message {one.id} to {one.recipient} was given to account {one.account_id}"
        elif account is not None:
            ways = {INBOUND: account.inbound_url, MAIL: account.inbound_email, PHONE: account.inbound_phone}
            words = inbound_dialect(account, dialects)
            wanted.update((one.id, kind, words if kind == INBOUND else "") for kind, place in ways.items() if place)
    written = Counter((each.message_id, each.kind, each.dialect) for each in tables.callbacks if each.kind != RECEIPT)
    for forward in sorted(wanted.keys() | written.keys()):
        if wanted[forward] != written[forward]:
            yield f"message {forward[0]} is to go on by {forward[1]} {wanted[forward]} times, not {written[forward]}"
    yield from wrong_phone_forwards(tables)
    texts = {one.id: one.text for one in tables.arrived}
    for each in tables.callbacks:
        if isinstance(each.about, Inbound) and each.about.text != texts.get(each.message_id):
            yield f"callback {each.id} has other words than message {each.message_id}"


def wrong_phone_forwards(tables: Tables) -> Iterator[str]:
    """What goes on to a phone is one message under the id of its callback, and nobody else's forward."""
    forwards = {each.id: each for each in tables.callbacks if each.kind == PHONE}
    for one in tables.messages.values():
        if not one.reference and (one.id not in forwards or forwards[one.id].account_id != one.account_id):
            yield f"message {one.id} was asked for by nobody"
    for each in forwards.values():
        sent = tables.messages.get(each.id)
        if each.state == "done" and sent is None:
            yield f"message {each.message_id} was said to have gone on to a phone, and has not"
        if sent is not None and isinstance(each.about, Inbound) and not sent.text.endswith(each.about.text):
            yield f"message {each.message_id} went on to a phone as {sent.text!r}"
