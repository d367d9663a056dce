"""Figures and audit: what is open is counted without reading what is finished, and wrong books are found."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from chappe.core.ledger import Kind, entry
from chappe.core.model import Message, Priority, Service, State
from chappe.store.callbacks import CallbackDraft, CallbackResult, Callbacks
from chappe.store.configuration import Configuration
from chappe.store.database import Database
from chappe.store.figures import Figures
from chappe.store.happenings import Happenings
from chappe.store.messages import Acceptance, Messages
from chappe.store.migrate import migrate
from chappe.store.money import Ledger
from chappe.store.nodes import Node
from chappe.store.receipts import ReceiptRow, Receipts

NOW_MS = 1_800_000_000_000
PRICE_MICROS = 10_000
OPENING_MICROS = 1_000_000
CARRIER_ID = 3

# Message id -> its state, and whether its price is kept reserved (None), charged, or given back. A failed or unknown
# message that its carrier knows (17, 20) was charged, one that no carrier knows (16, 18, 21) was not.
FATES: dict[int, tuple[State, Kind | None]] = {
    11: (State.QUEUED, None),
    12: (State.SCHEDULED, None),
    13: (State.SENDING, None),
    14: (State.SENT, Kind.POST),
    15: (State.DELIVERED, Kind.POST),
    16: (State.REJECTED, Kind.VOID),
    17: (State.UNDELIVERABLE, Kind.POST),
    18: (State.EXPIRED, Kind.VOID),
    19: (State.CANCELLED, Kind.VOID),
    20: (State.UNKNOWN, Kind.POST),
    21: (State.UNKNOWN, Kind.VOID),
}
# Messages that are charged late and never left: no money was moved for them, wherever they ended.
LATE = {31: State.SCHEDULED, 32: State.REJECTED, 33: State.CANCELLED, 34: State.EXPIRED}
CHARGED_COUNT = sum(kind is Kind.POST for _, kind in FATES.values())
OPEN_COUNT = sum(kind is None for _, kind in FATES.values())


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """One account with a message of every fate, its money as it should be."""
    url = f"sqlite:///{tmp_path / 'f.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    found = Database(url)
    migrate(found)
    fill(found)
    return found


def fill(database: Database) -> None:
    ledger = Ledger(database)
    configuration = Configuration(database, ledger)
    with database.transaction() as transaction:
        account_id = configuration.put_account(
            transaction, name="alice", password_hash="", token_sealed="", settings="{}"
        )
        assert account_id == 1
        configuration.open_balance(transaction, 1, opening_micros=OPENING_MICROS, limit_micros=0, now_ms=NOW_MS)
        late = [msgspec.structs.replace(waiting(message_id), is_charged_late=True) for message_id in LATE]
        accepted = [Acceptance(1, (each,), NOW_MS) for each in (*map(waiting, FATES), *late)]
        happenings, node = Happenings(database, Node()), Node()
        messages = Messages(database, ledger, Callbacks(database, happenings, node), happenings, node)
        messages.accept_many(transaction, accepted, False)
        settled = [entry(kind, message_id, 1, PRICE_MICROS) for message_id, (_, kind) in FATES.items() if kind]
        ledger.write(transaction, settled, NOW_MS)
    states = {**{key: state for key, (state, _) in FATES.items()}, **LATE}
    tamper(database, *(f"UPDATE message SET state = '{state}' WHERE id = {key}" for key, state in states.items()))
    tamper(database, "INSERT INTO carrier_reference (carrier_id, reference, message_id) VALUES (3, 'their-17', 17)")
    tamper(database, "INSERT INTO carrier_reference (carrier_id, reference, message_id) VALUES (3, 'their-20', 20)")


def waiting(message_id: int) -> Message:
    return Message(
        id=message_id,
        submission_id=message_id,
        account_id=1,
        dialect="smsfox",
        reference="",
        originator="ACME",
        recipient="447700900001",
        text="hello",
        segments=1,
        price_micros=PRICE_MICROS,
        service=Service.STANDARD,
        priority=Priority.NORMAL,
        carrier_id=CARRIER_ID,
        backups=(),
        state=State.QUEUED,
        attempt=0,
        failures=0,
        due_ms=NOW_MS,
        expires_ms=NOW_MS + 1000,
        wants_callbacks=True,
    )


def tamper(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_right_books_have_no_findings(database: Database) -> None:
    """Books with a message of every fate are found right, and their figures add up."""
    with database.reading() as transaction:
        audit = Figures(database).audit(transaction)
    assert audit.findings == ()
    assert audit.figures == {
        "messages": len(FATES) + len(LATE),
        "entries": 1 + len(FATES) + len(FATES) - OPEN_COUNT,
        "accounts": 1,
        "funding_micros": -OPENING_MICROS,
        "revenue_micros": CHARGED_COUNT * PRICE_MICROS,
        "available_micros": OPENING_MICROS - (CHARGED_COUNT + OPEN_COUNT) * PRICE_MICROS,
        "reserved_micros": OPEN_COUNT * PRICE_MICROS,
    }


@pytest.mark.parametrize(
    "statement, words",
    [
        ("UPDATE balance SET available_micros = available_micros + 1", "but its entries make"),
        ("UPDATE balance SET available_micros = available_micros + 1", "all purses together hold 1 micros"),
        ("DELETE FROM balance", "are kept as (0, 0) micros"),
        ("UPDATE balance SET reserved_micros = reserved_micros - 1", "but its unsettled messages cost 30000"),
        ("DELETE FROM message WHERE id = 11", "but its unsettled messages cost 20000"),
        ("DELETE FROM message WHERE id = 11", "movements of money of no message: 1, the first is 11"),
        ("DELETE FROM entry WHERE source_id = 11", "messages without a reservation of their price: 1"),
        ("UPDATE message SET price_micros = 1 WHERE id = 15", "messages without a reservation of their price: 1"),
        (
            "UPDATE message SET state = 'queued' WHERE id = 14",
            "settled before their fate was known: 1, the first is 14",
        ),
        ("UPDATE message SET state = 'sent' WHERE id = 13", "sent messages that were not charged their price: 1"),
        ("UPDATE message SET state = 'delivered' WHERE id = 16", "sent messages that were not charged their price: 1"),
        ("UPDATE message SET state = 'unknown' WHERE id = 15", "failed messages that no carrier took"),
        ("UPDATE message SET state = 'cancelled' WHERE id = 14", "cancelled messages whose price was not given back"),
        ("UPDATE message SET state = 'rejected' WHERE id = 15", "failed messages that no carrier took"),
        ("UPDATE message SET state = 'expired' WHERE id = 11", "failed messages that no carrier took"),
        ("DELETE FROM carrier_reference", "failed messages that no carrier took, whose price was not given back: 2"),
        ("DELETE FROM entry WHERE source_id = 17 AND phase = 'settle'", "neither charged nor given back: 1"),
        ("UPDATE message SET is_charged_late = 0 WHERE id = 31", "messages without a reservation of their price: 1"),
        ("UPDATE message SET is_charged_late = 0 WHERE id = 31", "but its unsettled messages cost 40000"),
        ("UPDATE message SET state = 'sending' WHERE id = 31", "left before they were charged: 1, the first is 31"),
        ("UPDATE message SET state = 'delivered' WHERE id = 32", "left before they were charged: 1, the first is 32"),
        ("UPDATE message SET is_charged_late = 1 WHERE id = 12", "whose money was moved: 1, the first is 12"),
        ("UPDATE entry SET source_id = 33 WHERE source_id = 19", "not charged yet whose money was moved: 1"),
        ("UPDATE entry SET debit = 'funding' WHERE source_id = 14", "movements of money of no known kind: 2"),
        ("UPDATE entry SET phase = 'give' WHERE source_id = 11", "movements of credit of no purchase: 1"),
        (
            "UPDATE entry SET phase = 'give', credit = 'transit' WHERE source_id = 11",
            "credit that left one account and did not reach another: 1, the first is 11",
        ),
    ],
)
def test_wrong_books_are_found(database: Database, statement: str, words: str) -> None:
    """Each way in which the books can be wrong is found and told with a count and an example."""
    tamper(database, statement)
    with database.reading() as transaction:
        findings = Figures(database).audit(transaction).findings
    assert [finding for finding in findings if words in finding]


def test_messages_without_a_price_need_no_entries(database: Database) -> None:
    """A free message moves no money, whatever becomes of it."""
    tamper(
        database,
        "UPDATE balance SET available_micros = 1000000, reserved_micros = 0",
        "DELETE FROM entry WHERE phase != 'credit'",
        "UPDATE message SET price_micros = 0",
    )
    with database.reading() as transaction:
        assert Figures(database).audit(transaction).findings == ()


def test_open_messages_are_counted_by_carrier_and_state(database: Database) -> None:
    """Only states that are not final are counted, and of those in `sending` the ones that nobody owns are doubtful."""
    tamper(database, "UPDATE message SET carrier_id = 4 WHERE id = 12")
    with database.reading() as transaction:
        overview = Figures(database).overview(transaction)
    assert overview.open_messages == {
        (3, State.QUEUED): 1,
        (4, State.SCHEDULED): 1,
        (3, State.SCHEDULED): 1,
        (3, State.SENDING): 1,
        (3, State.SENT): 1,
    }
    assert overview.doubtful == {3: 1}
    tamper(database, "UPDATE message SET node_id = 9 WHERE id = 13")
    with database.reading() as transaction:
        assert Figures(database).overview(transaction).doubtful == {}


def test_pending_callbacks_and_parked_receipts_are_counted(database: Database) -> None:
    """Finished callbacks do not count; the oldest due time is told; a receipt of no message is parked."""
    node = Node()
    node.id = 9
    happenings = Happenings(database, node)
    callbacks = Callbacks(database, happenings, node)
    receipts = Receipts(database, Ledger(database), callbacks, happenings)
    callbacks.plan = lambda one, state, detail: CallbackDraft(
        id=one.id, account_id=1, message_id=one.id, kind="receipt", dialect="smsfox", payload="{}"
    )
    figures = Figures(database)
    with database.transaction() as transaction:
        callbacks.announce(transaction, [(waiting(key), State.SENT, "") for key in (11, 12)], NOW_MS)
        callbacks.announce(transaction, [(waiting(13), State.SENT, "")], NOW_MS + 5)
        before = figures.overview(transaction)
        done = CallbackResult(id=11, attempt=1, state="done", due_ms=0)
        failed = CallbackResult(id=12, attempt=1, state="failed", due_ms=0)
        callbacks.record_many(transaction, [done, failed], False)
        stray = ReceiptRow(carrier_id=3, reference="?", state=State.DELIVERED, detail="", now_ms=NOW_MS)
        receipts.record_many(transaction, [stray], False)
        after = figures.overview(transaction)
    assert (before.pending_callbacks, after.pending_callbacks) == (3, 1)
    assert before.oldest_callback_due_ms is not None
    assert after.oldest_callback_due_ms == before.oldest_callback_due_ms + 5
    assert (before.parked_receipts, after.parked_receipts) == (0, 1)


def test_counting_what_is_open_reads_no_finished_rows(tmp_path: Path) -> None:
    """Every statement of the overview goes through a partial index, so finished rows cost it nothing."""
    database = Database(f"sqlite:///{tmp_path / 'plan.db'}")
    migrate(database)
    figures = Figures(database)
    with database.engine.connect() as connection:
        for prepared in (figures._open, figures._doubtful, figures._callbacks):
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {prepared.sql}")]
            reads = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
            assert reads
            assert [step for step in reads if "INDEX" not in step] == []


def test_funds_of_an_account(database: Database) -> None:
    """An account's money is told with its limit; an account without a purse has none."""
    tamper(database, "UPDATE balance SET limit_micros = -5")
    figures = Figures(database)
    with database.reading() as transaction:
        funds = figures.funds(transaction, 1)
        assert funds is not None
        assert funds.spendable_micros == funds.available_micros + 5 == figures.available_micros(transaction, 1) + 5
        assert funds.reserved_micros == OPEN_COUNT * PRICE_MICROS
        assert figures.funds(transaction, 2) is None
        assert figures.available_micros(transaction, 2) == 0
