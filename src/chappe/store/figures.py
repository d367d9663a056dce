"""What an operator asks of the tables: how much of everything there is, and whether the books are right.

The counts ask only for what is still open, through the partial indexes, so that a metrics page costs the same after a
hundred million finished messages. The audit is the opposite: it reads everything and believes nothing, least of all the
balances that are kept for speed. Its rules are a table of questions, each of which counts rows that must not exist.
"""

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Executable,
    FromClause,
    and_,
    bindparam,
    exists,
    func,
    not_,
    null,
    or_,
    select,
    union_all,
)

from chappe.core.ledger import TRANSFERS, Kind, Purse
from chappe.core.model import State
from chappe.store.database import Database, Prepared, Transaction, constant
from chappe.store.histories import flow, total
from chappe.store.messages import IS_WAITING, STATES
from chappe.store.schema import balance, callback, carrier_reference, entry, message, parked_receipt, purchase
from chappe.store.sending import IS_SENDING, NOBODY


class Funds(Struct, frozen=True, kw_only=True):
    """What an account has."""

    available_micros: int
    reserved_micros: int
    limit_micros: int

    @property
    def spendable_micros(self) -> int:
        return self.available_micros - self.limit_micros


class Overview(Struct, frozen=True, kw_only=True):
    """How much of everything is still open."""

    open_messages: dict[tuple[int, State], int]  # (carrier id, state) -> count; states that are not final
    doubtful: dict[int, int]  # carrier id -> messages that may or may not have been sent
    pending_callbacks: int
    oldest_callback_due_ms: int | None
    parked_receipts: int  # that belong to no message we know


class Audit(Struct, frozen=True, kw_only=True):
    """What the books say, and what is wrong with them: no findings means that every rule holds."""

    findings: tuple[str, ...]
    figures: dict[str, int]


class Figures:
    def __init__(self, database: Database) -> None:
        is_open = (IS_WAITING, IS_SENDING, message.c.state == constant(State.SENT.value))
        self._open = Prepared(
            database,
            union_all(
                *(
                    select(message.c.carrier_id, message.c.state, func.count())
                    .where(condition)
                    .group_by(message.c.carrier_id, message.c.state)
                    for condition in is_open
                )
            ),
        )
        self._doubtful = Prepared(
            database,
            select(message.c.carrier_id, func.count())
            .where(IS_SENDING, message.c.node_id == NOBODY)
            .group_by(message.c.carrier_id),
        )
        self._callbacks = Prepared(
            database,
            union_all(  # each part reads an index of its own; what waits for a bind is not overdue
                *(
                    select(func.count(), func.min(callback.c.due_ms) if not is_bound else null()).where(
                        callback.c.state == constant("pending"), callback.c.is_bound == constant(is_bound)
                    )
                    for is_bound in (0, 1)
                )
            ),
        )
        self._parked = Prepared(database, select(func.count()).select_from(parked_receipt))
        self._funds = Prepared(
            database,
            select(balance.c.available_micros, balance.c.reserved_micros, balance.c.limit_micros).where(
                balance.c.account_id == bindparam("whose")
            ),
        )
        self._balances = Prepared(
            database, select(balance.c.account_id, balance.c.available_micros, balance.c.reserved_micros)
        )
        self._purses = Prepared(database, purses())
        self._unsettled = Prepared(
            database,
            select(message.c.account_id, total(message.c.price_micros))
            .where(IS_UNSETTLED)
            .group_by(message.c.account_id),
        )
        self._counts = Prepared(
            database,
            select(count_of(message), count_of(entry), count_of(balance)),
        )
        self._questions = [(words, Prepared(database, question)) for words, question in QUESTIONS.items()]

    # What is open

    def overview(self, transaction: Transaction) -> Overview:
        callbacks = transaction.rows(self._callbacks)
        return Overview(
            open_messages={
                (carrier_id, STATES[state]): count for carrier_id, state, count in transaction.rows(self._open)
            },
            doubtful=dict(transaction.rows(self._doubtful)),
            pending_callbacks=sum(count for count, _ in callbacks),
            oldest_callback_due_ms=next((due_ms for _, due_ms in callbacks if due_ms is not None), None),
            parked_receipts=transaction.rows(self._parked)[0][0],
        )

    def funds(self, transaction: Transaction, account_id: int) -> Funds | None:
        """An account's money; None for an account that has no purse."""
        rows = transaction.rows(self._funds, whose=account_id)
        if not rows:
            return None
        return Funds(available_micros=rows[0][0], reserved_micros=rows[0][1], limit_micros=rows[0][2])

    def available_micros(self, transaction: Transaction, account_id: int) -> int:
        """What an account has left of its own money; 0 for one that has no purse."""
        funds = self.funds(transaction, account_id)
        return funds.available_micros if funds else 0

    # Whether the books are right

    def audit(self, transaction: Transaction) -> Audit:
        """Read all messages and entries and hold them against each other: seconds for each million of them."""
        entered = {row[0]: (row[1], row[2]) for row in transaction.rows(self._purses)}
        kept = {row[0]: (row[1], row[2]) for row in transaction.rows(self._balances)}
        unsettled: dict[int, int] = dict(transaction.rows(self._unsettled))
        funding, revenue = entered.pop(HOUSE, (0, 0))
        messages_count, entries_count, accounts_count = transaction.rows(self._counts)[0]
        figures = {
            "messages": messages_count,
            "entries": entries_count,
            "accounts": accounts_count,
            "funding_micros": funding,
            "revenue_micros": revenue,
            "available_micros": sum(available for available, _ in kept.values()),
            "reserved_micros": sum(reserved for _, reserved in kept.values()),
        }
        findings = [
            *wrong_balances(kept, entered),
            *wrong_reservations(kept, unsettled),
            *wrong_total(figures),
            *self._wrong_messages(transaction),
        ]
        return Audit(findings=tuple(findings), figures=figures)

    def _wrong_messages(self, transaction: Transaction) -> list[str]:
        findings = []
        for words, question in self._questions:
            count, example = transaction.rows(question)[0]
            if count:
                findings.append(f"{words}: {count}, the first is {example}")
        return findings


HOUSE = 0  # under which account the house's own purses stand

Purses = dict[int, tuple[int, int]]  # account -> (available, reserved)


def wrong_balances(kept: Purses, entered: Purses) -> list[str]:
    """Accounts whose balance is not the sum of their entries."""
    nothing = (0, 0)
    return [
        f"account {account_id}: available and reserved are kept as {kept.get(account_id, nothing)} micros,"
        f" but its entries make {entered.get(account_id, nothing)}"
        for account_id in sorted(kept.keys() | entered.keys())
        if kept.get(account_id, nothing) != entered.get(account_id, nothing)
    ]


def wrong_reservations(kept: Purses, unsettled: dict[int, int]) -> list[str]:
    """Accounts whose reserved money is not the price of what they still have under way."""
    reserved = {account_id: purses[1] for account_id, purses in kept.items()}
    return [
        f"account {account_id}: {reserved.get(account_id, 0)} micros are reserved,"
        f" but its unsettled messages cost {unsettled.get(account_id, 0)}"
        for account_id in sorted(reserved.keys() | unsettled.keys())
        if reserved.get(account_id, 0) != unsettled.get(account_id, 0)
    ]


def wrong_total(figures: dict[str, int]) -> list[str]:
    """Money that came from nowhere or went there: all purses together must be zero."""
    names = ("funding_micros", "revenue_micros", "available_micros", "reserved_micros")
    left_over = sum(figures[name] for name in names)
    return [f"all purses together hold {left_over} micros instead of 0"] if left_over else []


# The words of the questions below

Question = Executable


def count_of(table: FromClause) -> ColumnElement[int]:
    return select(func.count()).select_from(table).scalar_subquery()


def purses() -> Executable:
    """Rows of (account, available, reserved); the house's row has (HOUSE, funding, revenue)."""
    accounts = select(entry.c.account_id, flow(Purse.AVAILABLE), flow(Purse.RESERVED)).group_by(entry.c.account_id)
    house = select(constant(HOUSE), flow(Purse.FUNDING), flow(Purse.REVENUE))
    return union_all(accounts, house)


def is_in(*states: State) -> ColumnElement[bool]:
    return message.c.state.in_([constant(state.value) for state in states])


def has_entry(*kinds: Kind) -> ColumnElement[bool]:
    """Whether the message has an entry of one of these kinds over its whole price."""
    directions = [
        and_(
            entry.c.phase == constant(TRANSFERS[kind].phase),
            entry.c.debit == constant(TRANSFERS[kind].debit.value),
            entry.c.credit == constant(TRANSFERS[kind].credit.value),
        )
        for kind in kinds
    ]
    return exists().where(
        entry.c.source_id == message.c.id,
        entry.c.account_id == message.c.account_id,
        entry.c.amount_micros == message.c.price_micros,
        or_(*directions),
    )


IS_CHARGED = message.c.is_charged_late == constant(0)  # at acceptance, or since it left


def wrong(*conditions: ColumnElement[bool]) -> Question:
    """How many charged messages are like this, and the first of them."""
    return wrong_messages(message.c.price_micros != constant(0), IS_CHARGED, *conditions)


def wrong_messages(*conditions: ColumnElement[bool]) -> Question:
    return select(func.count(), func.min(message.c.id)).where(*conditions)


def wrong_entries(*conditions: ColumnElement[bool]) -> Question:
    return select(func.count(), func.min(entry.c.source_id)).where(*conditions)


SETTLE = constant(TRANSFERS[Kind.POST].phase)
IS_UNSETTLED = and_(is_in(State.SCHEDULED, State.QUEUED, State.SENDING), IS_CHARGED)
IS_FAILED = is_in(State.REJECTED, State.UNDELIVERABLE, State.EXPIRED, State.UNKNOWN)
IS_KNOWN_TO_CARRIER = message.c.id.in_(select(carrier_reference.c.message_id))
HAS_SETTLEMENT = exists().where(entry.c.source_id == message.c.id, entry.c.phase == SETTLE)
IS_RENT = entry.c.phase.like(constant(f"{TRANSFERS[Kind.RENT].phase}-%"))
IS_TRANSFER = or_(
    *(
        and_(
            IS_RENT if kind is Kind.RENT else entry.c.phase == constant(transfer.phase),
            entry.c.debit == constant(transfer.debit.value),
            entry.c.credit == constant(transfer.credit.value),
        )
        for kind, transfer in TRANSFERS.items()
    )
)
MOVES = (Kind.GIVE, Kind.TAKE, Kind.GIVE_BACK, Kind.TAKE_BACK)
IS_MOVE = entry.c.phase.in_([constant(TRANSFERS[kind].phase) for kind in MOVES])
IS_PAID_BACK = and_(
    entry.c.phase == constant(TRANSFERS[Kind.DEBIT].phase),
    entry.c.debit == constant(TRANSFERS[Kind.DEBIT].debit.value),
)
IS_OF_MESSAGE = ~or_(entry.c.phase == constant(TRANSFERS[Kind.CREDIT].phase), IS_RENT, IS_MOVE)


def in_transit() -> Question:
    """How many purchases left credit on its way, and the first of them."""
    halves = select(entry.c.source_id).where(IS_MOVE).group_by(entry.c.source_id)
    stuck = halves.having(flow(Purse.TRANSIT) != constant(0)).subquery()
    return select(func.count(), func.min(stuck.c.source_id)).select_from(stuck)


def unmoved() -> Question:
    """How many payments of the house have no entry, and the first of them."""
    of_house = purchase.c.account_id == constant(HOUSE)
    moved = exists().where(entry.c.source_id == purchase.c.id, entry.c.phase == constant(TRANSFERS[Kind.CREDIT].phase))
    return select(func.count(), func.min(purchase.c.id)).where(of_house, not_(moved))


# What must not exist. A failed message that a carrier had taken keeps its price (a receipt told of the failure); one
# that no carrier knows gets it back. Two settlements of one message are refused by the key of `entry`.
QUESTIONS: dict[str, Question] = {
    "messages without a reservation of their price": wrong(not_(has_entry(Kind.RESERVE))),
    "messages settled before their fate was known": wrong(IS_UNSETTLED, HAS_SETTLEMENT),
    "sent messages that were not charged their price": wrong(
        is_in(State.SENT, State.DELIVERED), not_(has_entry(Kind.POST))
    ),
    "cancelled messages whose price was not given back": wrong(is_in(State.CANCELLED), not_(has_entry(Kind.VOID))),
    "failed messages that no carrier took, whose price was not given back": wrong(
        IS_FAILED, not_(IS_KNOWN_TO_CARRIER), not_(has_entry(Kind.VOID))
    ),
    "failed messages that were neither charged nor given back": wrong(
        IS_FAILED, IS_KNOWN_TO_CARRIER, not_(has_entry(Kind.POST, Kind.VOID))
    ),
    "messages that left before they were charged": wrong_messages(
        not_(IS_CHARGED), not_(is_in(State.SCHEDULED, State.REJECTED, State.CANCELLED, State.EXPIRED))
    ),
    "messages not charged yet whose money was moved": wrong_messages(
        not_(IS_CHARGED), exists().where(entry.c.source_id == message.c.id)
    ),
    "movements of money of no known kind": wrong_entries(not_(IS_TRANSFER)),
    "movements of money of no message": wrong_entries(
        IS_OF_MESSAGE, not_(exists().where(message.c.id == entry.c.source_id))
    ),
    "movements of credit of no purchase": wrong_entries(
        IS_MOVE, not_(exists().where(purchase.c.id == entry.c.source_id))
    ),
    "credit that left one account and did not reach another": in_transit(),
    "money paid back without a payment": wrong_entries(
        IS_PAID_BACK, not_(exists().where(purchase.c.id == entry.c.source_id))
    ),
    "payments whose money was not moved": unmoved(),
}
