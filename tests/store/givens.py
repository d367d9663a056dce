"""What the store's tests start from: a database with tables, stores driven by hand, messages, and the books to check.

A store without threads writes in the calling thread, so a test decides which items share a round: put them, then ask
for their answers.
"""

import asyncio
import itertools
from collections import Counter
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, insert, select

from chappe.core.centre import Accepted, Verdict
from chappe.core.ledger import Entry, Kind, Purse, entry, purses_of
from chappe.core.lifecycle import after_verdict
from chappe.core.model import Message, Priority, Service, State, UncertainPolicy
from chappe.store import schema
from chappe.store.callbacks import CallbackDraft
from chappe.store.database import Database, StoreUnavailable
from chappe.store.engine import Store
from chappe.store.messages import Acceptance
from chappe.store.receipts import ReceiptRow
from chappe.store.sending import Claim, Sending

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
PRICE_MICROS = 10_000
ACCOUNT = 7
CARRIER = 3

Result = TypeVar("Result")


def a_message(message_id: int, **changes: Any) -> Message:
    """A message that is due now, with whatever a test cares about changed."""
    plain = Message(
        id=message_id,
        submission_id=message_id,
        account_id=ACCOUNT,
        dialect="smsfox",
        reference="",
        originator="ACME",
        recipient="447700900123",
        text="Your code is 123456",
        segments=1,
        price_micros=PRICE_MICROS,
        service=Service.STANDARD,
        priority=Priority.NORMAL,
        carrier_id=CARRIER,
        backups=(),
        state=State.QUEUED,
        attempt=0,
        failures=0,
        due_ms=NOW_MS,
        expires_ms=NOW_MS + HOUR_MS,
        wants_callbacks=True,
    )
    return msgspec.structs.replace(plain, **changes)


def an_acceptance(*messages: Message) -> Acceptance:
    return Acceptance(messages[0].account_id, messages, NOW_MS)


def after(message: Message, verdict: Verdict, *references: str, now_ms: int = NOW_MS, detail: str = "") -> Sending:
    """What a carrier's verdict makes of a message, under the `hold` policy."""
    move = after_verdict(message, verdict, UncertainPolicy.HOLD, now_ms)
    return Sending(message=message, move=move, now_ms=now_ms, references=references, detail=detail)


def sent(message: Message, *references: str) -> Sending:
    return after(message, Accepted(()), *(references or (f"ref-{message.id}",)))


def a_receipt(reference: str, state: State = State.DELIVERED, now_ms: int = NOW_MS) -> ReceiptRow:
    return ReceiptRow(carrier_id=CARRIER, reference=reference, state=state, detail="word", now_ms=now_ms)


def tell_everything(one: Message, state: State, detail: str) -> CallbackDraft:
    """A plan that announces every change; ids are made so that a second announcement of the same change is refused."""
    callback_id = one.id * 16 + list(State).index(state)
    return CallbackDraft(
        id=callback_id,
        account_id=one.account_id,
        message_id=one.id,
        kind="receipt",
        dialect=one.dialect,
        payload=state.value,
    )


def settle(store: Store, *futures: "asyncio.Future[Result]") -> list[Result | BaseException]:
    """Let the store write all that waits; each future's result or exception."""
    while store.waiting_count:
        store.commit_once()
    return [future.exception() or future.result() for future in futures]


def result(store: Store, future: "asyncio.Future[Result]") -> Result:
    """Let the store write all that waits; this future's result."""
    while store.waiting_count:
        store.commit_once()
    return future.result()


def lose_the_answer(store: Store, *, is_kept: bool = True) -> None:
    """Let the connection die in the moment of the next commit: after it took effect, or just before."""
    commits = store._commits

    def lose() -> None:
        commits.before_commit = None
        if is_kept:
            commits._connection._raw.driver_connection.commit()
        raise StoreUnavailable("the connection was lost")

    commits.before_commit = lose


class House:
    """A database with its tables and one funded account, and stores upon it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url)
        schema.metadata.create_all(self.database.engine)
        self._loop = asyncio.new_event_loop()
        self._node_ids = itertools.count(101)
        self._payment_ids = itertools.count(10**15)  # apart from the ids of messages
        self._stores: list[Store] = []
        self.store = self.new_store()
        self.fund(ACCOUNT, 1_000 * PRICE_MICROS)

    def new_store(self, url: str | None = None) -> Store:
        """One more node on the same database, reached by another way if need be."""

        async def build() -> Store:
            return Store(Database(url or self.url), has_threads=False)

        store = self._loop.run_until_complete(build())
        store.register(next(self._node_ids), "", NOW_MS, is_alone=False)
        store.set_plan(tell_everything)
        self._stores.append(store)
        return store

    def fund(self, account_id: int, amount_micros: int, limit_micros: int = 0) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(insert(schema.balance).values(account_id=account_id, limit_micros=limit_micros))
        credit = entry(Kind.CREDIT, next(self._payment_ids), account_id, amount_micros)
        with self.store.database.transaction() as transaction:
            self.store.ledger.write(transaction, [credit], NOW_MS)

    def accept(self, *messages: Message) -> None:
        """Each message as a submission of its own."""
        answers = settle(self.store, *(self.store.accept(an_acceptance(each)) for each in messages))
        assert answers == [True] * len(messages)

    def claim(self, store: Store | None = None, count_max: int = 100, now_ms: int = NOW_MS) -> list[Message]:
        chosen = store or self.store
        return result(chosen, chosen.claim(Claim(CARRIER, count_max, now_ms)))

    def sending(self, message_id: int, **changes: Any) -> Message:
        """A message that is accepted and claimed."""
        self.accept(a_message(message_id, **changes))
        [claimed] = self.claim()
        return claimed

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.database.engine.connect() as connection:
            found = connection.execute(select(table).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in found]

    def states(self) -> dict[int, str]:
        return {row["id"]: row["state"] for row in self.rows(schema.message)}

    def entries(self) -> list[Entry]:
        return [
            Entry(
                source_id=row["source_id"],
                phase=row["phase"],
                account_id=row["account_id"],
                debit=Purse(row["debit"]),
                credit=Purse(row["credit"]),
                amount_micros=row["amount_micros"],
            )
            for row in self.rows(schema.entry)
        ]

    def kinds(self, message_id: int) -> list[str]:
        """What happened to a message's money, as `debit>credit`."""
        return [f"{one.debit}>{one.credit}" for one in self.entries() if one.source_id == message_id]

    def balance(self, account_id: int = ACCOUNT) -> tuple[int, int]:
        """Available and reserved."""
        [row] = [row for row in self.rows(schema.balance) if row["account_id"] == account_id]
        return row["available_micros"], row["reserved_micros"]

    def check_books(self) -> None:
        """Every balance is the sum of its entries, all purses together are zero, and money follows the states."""
        entries = self.entries()
        purses = purses_of(entries)
        assert sum(purses.values()) == 0
        messages = self.rows(schema.message)
        in_hand = {State.QUEUED, State.SCHEDULED, State.SENDING}
        reserved: Counter[int] = Counter()
        for row in messages:
            if row["state"] in in_hand and not row["is_charged_late"]:
                reserved[row["account_id"]] += row["price_micros"]
        for row in self.rows(schema.balance):
            account_id, available, held = row["account_id"], row["available_micros"], row["reserved_micros"]
            assert available == purses.get((account_id, Purse.AVAILABLE), 0)
            assert held == purses.get((account_id, Purse.RESERVED), 0) == reserved[account_id]
            assert available >= row["limit_micros"]
        settled = Counter(one.source_id for one in entries if one.phase == "settle")
        assert set(settled.values()) <= {1}

    def close(self) -> None:
        for store in self._stores:
            store.stop()
        self.database.close_readers()
        self._loop.close()


def ids_of(messages: list[Message]) -> list[int]:
    return [one.id for one in messages]
