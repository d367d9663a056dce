"""What must agree after crashes: the applications' journal, the tables, the carrier's journal, the receipts.

The tables are read with plain SQL, apart from the code under test; only the audit is the gateway's own, as one witness
among others. Every rule below is a function that yields what contradicts it, so an empty list is the proof.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chappe.store.database import Database
from chappe.store.figures import Figures
from crash.applications import PROOVL, SMPP, SMSFOX, Applications, text_to
from crash.carrier import Carrier, is_undeliverable
from crash.gateway import BALANCE, BOUND_HOLDER, HOLDER, PREFIXES, PRICE_MICROS, WINDOW

FINAL_WORDS = {  # smsfox 5.4, proovl 2.6, SMPP 3.4 appendix B
    "delivered": {SMSFOX: "01", PROOVL: "Delivered", SMPP: "DELIVRD"},
    "undeliverable": {SMSFOX: "04", PROOVL: "Undelivered", SMPP: "UNDELIV"},
}
HOLDERS = (PREFIXES[HOLDER], PREFIXES[BOUND_HOLDER])
EXAMPLES_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """A message in the tables."""

    recipient: str
    dialect: str
    reference: str  # what the customer's receipts call it
    state: str
    segments: int
    attempt: int
    is_owned: bool  # somebody is sending it
    settlements: tuple[str, ...]  # the purses that its price went to

    @property
    def is_held(self) -> bool:
        """In doubt, kept for the operator: nobody knows whether the carrier took it."""
        return self.state == "sending" and not self.is_owned


@dataclass(frozen=True, kw_only=True)
class Journals:
    """Everything that anybody wrote down."""

    applications: Applications
    carrier: Carrier
    doubts: Counter[str]  # by recipient: at how many kills its message was under way
    doubts_at_kills: list[int]  # how many messages were under way, kill by kill
    database: Path
    rows: dict[str, Row]
    repeated: list[str]  # recipients with more than one message
    is_at_rest: bool


def read_journals(
    applications: Applications,
    carrier: Carrier,
    doubts: Counter[str],
    doubts_at_kills: list[int],
    database: Path,
    *,
    is_at_rest: bool,
) -> Journals:
    rows = read_rows(database)
    recipients = Counter(row.recipient for row in rows)
    return Journals(
        applications=applications,
        carrier=carrier,
        doubts=doubts,
        doubts_at_kills=doubts_at_kills,
        database=database,
        rows={row.recipient: row for row in rows},
        repeated=[recipient for recipient, count in recipients.items() if count > 1],
        is_at_rest=is_at_rest,
    )


def contradictions(journals: Journals) -> list[str]:
    """Every rule that does not hold, with its count and some examples."""
    found = {rule.__doc__ or "": list(rule(journals)) for rule in RULES}
    return [f"{words} Not so: {len(cases)}, such as {cases[:EXAMPLES_MAX]}" for words, cases in found.items() if cases]


def figures(journals: Journals) -> dict[str, int]:
    """The sums that are shown, also when all is well."""
    applications, copies, rows = journals.applications, journals.carrier.copies, journals.rows
    return {
        "ends": len(journals.doubts_at_kills),
        "accepted": len(applications.accepted),
        "refused": len(applications.refused),
        "never answered": len(applications.unanswered),
        "of these kept": len(applications.unanswered & rows.keys()),
        "lost": len(list(accepted_is_kept(journals))) + len(list(accepted_is_sent(journals))),
        "under way at ends": sum(journals.doubts_at_kills),
        "under way at the worst end": max(journals.doubts_at_kills, default=0),
        "doubles, resend": sum(count - 1 for recipient, count in copies.items() if not is_of_holder(recipient)),
        "doubles, hold": sum(count - 1 for recipient, count in copies.items() if is_of_holder(recipient)),
        "held": sum(row.is_held for row in rows.values()),
        "held that were sent": sum(row.is_held and row.recipient in copies for row in rows.values()),
        "replies from phones": len(journals.applications.replies),
        "receipts to customers": sum(words.total() for words in applications.receipts.values()),
    }


# The rules


def rest_was_reached(journals: Journals) -> Iterator[str]:
    """In the end nothing had a next step, and the carrier got rid of all its receipts."""
    if not journals.is_at_rest:
        yield "still busy"


def accepted_is_kept(journals: Journals) -> Iterator[str]:
    """What was answered as accepted is in the tables."""
    yield from journals.applications.accepted.keys() - journals.rows.keys()


def accepted_is_sent(journals: Journals) -> Iterator[str]:
    """What was kept is at the carrier, or in the known set of doubtful messages."""
    for row in journals.rows.values():
        if not (row.recipient in journals.carrier.texts or row.is_held):
            yield f"{row.recipient} is {row.state}"


def sent_is_whole(journals: Journals) -> Iterator[str]:
    """What was sent is the text that was submitted, however it was cut on either side."""
    for recipient, texts in journals.carrier.texts.items():
        if texts != {text_to(recipient)}:
            yield f"{recipient}: {texts}"


def answered_is_named(journals: Journals) -> Iterator[str]:
    """What the answer called the message is what its receipts call it."""
    for recipient, reference in journals.applications.accepted.items():
        if recipient in journals.rows and journals.rows[recipient].reference != reference:
            yield f"{recipient} is {journals.rows[recipient].reference}, answered {reference}"


def refused_is_nothing(journals: Journals) -> Iterator[str]:
    """What was refused left nothing behind."""
    yield from journals.applications.refused.keys() & journals.rows.keys()


def sent_was_kept(journals: Journals) -> Iterator[str]:
    """The carrier was given only what the tables know, over the API of that message's carrier."""
    yield from journals.carrier.copies.keys() - journals.rows.keys()
    for recipient, paths in journals.carrier.paths.items():
        if len(paths) > 1:
            yield f"{recipient} over {sorted(paths)}"


def kept_once(journals: Journals) -> Iterator[str]:
    """One request makes one message."""
    yield from journals.repeated


def doubles_are_explained(journals: Journals) -> Iterator[str]:
    """A message leaves again only for each time it was under way at a kill, or the carrier gave no answer."""
    for recipient, count in journals.carrier.copies.items():
        explained = 1 + journals.doubts[recipient] + journals.carrier.unanswered[recipient]
        attempt = journals.rows[recipient].attempt if recipient in journals.rows else 0
        if count > min(explained, attempt):
            yield f"{count} copies to {recipient}, explained {explained}, attempts {attempt}"


def held_never_doubles(journals: Journals) -> Iterator[str]:
    """What the policy `hold` governs leaves at most once."""
    for recipient, count in journals.carrier.copies.items():
        if count > 1 and is_of_holder(recipient):
            yield f"{count} copies to {recipient}"


def held_was_in_doubt(journals: Journals) -> Iterator[str]:
    """What is held was under way at a kill, or the carrier gave no answer."""
    for row in journals.rows.values():
        if row.is_held and not journals.doubts[row.recipient] + journals.carrier.unanswered[row.recipient]:
            yield row.recipient


def held_has_no_receipt(journals: Journals) -> Iterator[str]:
    """What is held was never sent, where the carrier's receipts would have told: they name our own reference."""
    for row in journals.rows.values():
        if row.is_held and row.recipient.startswith(PREFIXES[HOLDER]) and row.recipient in journals.carrier.copies:
            yield row.recipient


def doubts_are_few(journals: Journals) -> Iterator[str]:
    """No kill leaves more in doubt than the windows of the carriers hold."""
    for number, count in enumerate(journals.doubts_at_kills, 1):
        if count > WINDOW * len(journals.applications.prefixes):
            yield f"{count} at kill {number}"


def fate_is_final(journals: Journals) -> Iterator[str]:
    """What is not held ended as the carrier's receipt says."""
    for row in journals.rows.values():
        if row.state != expected_state(row.recipient) and not row.is_held:
            yield f"{row.recipient} is {row.state}"


def fate_is_told(journals: Journals) -> Iterator[str]:
    """Every final state reached the customer at least once, and no other final state did."""
    for row in journals.rows.values():
        if row.state in FINAL_WORDS:
            for reference in told_as(row, journals):
                said = journals.applications.receipts[row.dialect, reference].keys() - {"Sent"}
                if said != {FINAL_WORDS[row.state][row.dialect]}:
                    yield f"{row.recipient} is {row.state}, told {sorted(said)}"


def told_is_known(journals: Journals) -> Iterator[str]:
    """No receipt names anything else."""
    known = {(row.dialect, reference) for row in journals.rows.values() for reference in told_as(row, journals)}
    yield from map(str, journals.applications.receipts.keys() - known)


def replies_arrive(journals: Journals) -> Iterator[str]:
    """What the gateway took from phones reached the customer whole, and nothing else did."""
    taken = {text for text, missing in journals.carrier.replies.items() if not missing}
    yield from taken - journals.applications.replies
    yield from journals.applications.replies - journals.carrier.replies.keys()


def charged_once(journals: Journals) -> Iterator[str]:
    """What was sent is charged exactly once, what is held is reserved, and no other money moved."""
    for row in journals.rows.values():
        expected = () if row.is_held else ("revenue",)
        if row.settlements != expected:
            yield f"{row.recipient} is {row.state}, its price went to {row.settlements}"
    price_micros = sum(PRICE_MICROS * row.segments for row in journals.rows.values())
    held_micros = sum(PRICE_MICROS * row.segments for row in journals.rows.values() if row.is_held)
    expected_micros = (BALANCE * 1_000_000 - price_micros, held_micros)
    with contextlib.closing(sqlite3.connect(journals.database)) as connection:
        balances = connection.execute("SELECT available_micros, reserved_micros FROM balance").fetchall()
    if balances != [expected_micros]:
        yield f"balances are {balances} instead of {expected_micros}"


def books_are_right(journals: Journals) -> Iterator[str]:
    """The audit and SQLite's own check of its file find nothing."""
    with contextlib.closing(sqlite3.connect(journals.database)) as connection:
        yield from (said for (said,) in connection.execute("PRAGMA integrity_check") if said != "ok")
    database = Database(f"sqlite:///{journals.database}")
    with database.connect() as audited, audited.transaction(is_reading=True) as transaction:
        yield from Figures(database).audit(transaction).findings


Rule = Callable[[Journals], Iterator[str]]
RULES: tuple[Rule, ...] = (
    rest_was_reached,
    accepted_is_kept,
    accepted_is_sent,
    sent_is_whole,
    answered_is_named,
    refused_is_nothing,
    sent_was_kept,
    kept_once,
    doubles_are_explained,
    held_never_doubles,
    held_was_in_doubt,
    held_has_no_receipt,
    doubts_are_few,
    fate_is_final,
    fate_is_told,
    told_is_known,
    replies_arrive,
    charged_once,
    books_are_right,
)


def is_of_holder(recipient: str) -> bool:
    return recipient.startswith(HOLDERS)


def told_as(row: Row, journals: Journals) -> tuple[str, ...]:
    """What receipts call a message: those of a long one each part that asked for one."""
    return journals.applications.parts.get(row.recipient, (row.reference,))


def expected_state(recipient: str) -> str:
    return "undeliverable" if is_undeliverable(recipient) else "delivered"


# The tables

ROWS = """
    SELECT recipient, dialect, reference, submission_id, state, segments, attempt, node_id <> 0,
           (SELECT group_concat(credit) FROM entry
            WHERE source_id = message.id AND account_id = message.account_id AND phase <> 'reserve')
    FROM message
"""
UNDER_WAY = "SELECT recipient FROM message WHERE state = 'sending' AND node_id > 0"
OPEN = """
    SELECT (SELECT count(*) FROM message WHERE state IN ('queued', 'scheduled'))
         + (SELECT count(*) FROM message WHERE state = 'sent')
         + (SELECT count(*) FROM message WHERE state = 'sending' AND node_id <> 0)
         + (SELECT count(*) FROM callback WHERE state = 'pending')
"""


def read_rows(database: Path) -> list[Row]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [
            Row(
                recipient=recipient,
                dialect=dialect,
                reference=reference if dialect == SMSFOX else str(submission_id),
                state=state,
                segments=segments,
                attempt=attempt,
                is_owned=bool(is_owned),
                settlements=tuple(settled.split(",")) if settled else (),
            )
            for (
                recipient,
                dialect,
                reference,
                submission_id,
                state,
                segments,
                attempt,
                is_owned,
                settled,
            ) in connection.execute(ROWS)
        ]


def read_under_way(database: Path) -> list[str]:
    """The recipients of the messages that were being sent when the process died."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [recipient for (recipient,) in connection.execute(UNDER_WAY)]


def has_open(database: Path) -> bool:
    """Whether anything still has a next step that needs no operator; the gateway may be running."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return bool(connection.execute(OPEN).fetchone()[0])
