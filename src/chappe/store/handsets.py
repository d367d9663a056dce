"""Phones as seen from the simulated carriers: what was last sent to each and written by each, and whole conversations.

Only what simulated carriers took is looked at, among the newest messages of whoever looks: a gateway that sends
millions of real ones shows the tests among its latest, in constant time.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import BigInteger, Column, ColumnElement, Table, Text, bindparam, select

from chappe.core.ids import made_ms
from chappe.core.model import Coding, State
from chappe.store.database import Batch, Database, Prepared, Row, Transaction
from chappe.store.schema import inbound, message

LOOKED_THROUGH_MAX = 2_000  # the newest messages of an account, or of everybody
PHONES_MAX = 100
BUBBLES_MAX = 200
ACCOUNTS_MAX = 50


class Bubble(Struct, frozen=True, kw_only=True):
    """A message to a phone, or from it (`is_out` says which: out of the gateway)."""

    id: int
    is_out: bool
    account_id: int
    phone: str
    other: str  # the originator that the phone sees, or the number that it wrote to
    text: str
    coding: Coding = Coding.TEXT
    state: State | None = None
    segments: int = 0
    submission_id: int = 0
    detail: str = ""  # the carrier's last words

    @property
    def made_ms(self) -> int:
        """When it was submitted, or came."""
        return made_ms(self.id)


class Handsets:
    def __init__(self, database: Database) -> None:
        which = Batch(database, id=BigInteger)
        sent = (
            message.c.id,
            message.c.account_id,
            message.c.recipient,
            message.c.originator,
            message.c.text,
            message.c.coding,
            message.c.state,
            message.c.segments,
            message.c.submission_id,
            message.c.detail,
            message.c.carrier_id,
        )
        written = (
            inbound.c.id,
            inbound.c.account_id,
            inbound.c.originator,
            inbound.c.recipient,
            inbound.c.text,
            inbound.c.coding,
            inbound.c.carrier_id,
        )
        count = bindparam("count", type_=BigInteger)

        def newest(
            columns: tuple[Column[Any], ...], table: Table, *conditions: ColumnElement[bool], is_by_phone: bool = False
        ) -> Prepared:
            recent = (
                select(*columns)
                .where(*conditions)
                .order_by(table.c.id.desc())
                .limit(LOOKED_THROUGH_MAX)
                .subquery("recent")
            )
            wanted = select(*recent.c).where(recent.c.carrier_id.in_(select(which.c.id)))
            if is_by_phone:  # there is no index by the phone: it is looked for among the newest
                wanted = wanted.where(recent.c.originator == bindparam("phone", type_=Text))
            return Prepared(database, wanted.order_by(recent.c.id.desc()).limit(count), which)

        whose_sent = message.c.account_id == bindparam("account")
        whose_written = inbound.c.account_id == bindparam("account")
        to_phone = message.c.recipient == bindparam("phone", type_=Text)
        self._sent = newest(sent, message)
        self._sent_of = newest(sent, message, whose_sent)
        self._sent_to = newest(sent, message, to_phone)
        self._written = newest(written, inbound)
        self._written_of = newest(written, inbound, whose_written)
        self._written_by = newest(written, inbound, is_by_phone=True)
        self._written_by_of = newest(written, inbound, whose_written, is_by_phone=True)

    def phones(
        self, transaction: Transaction, account_ids: frozenset[int] | None, carrier_ids: Iterable[int]
    ) -> list[Bubble]:
        """The last message of each phone that these accounts (None = all) had to do with, the newest first."""
        which = [(each,) for each in carrier_ids]
        last: dict[str, Bubble] = {}
        for one in self._newest(transaction, account_ids, which):
            if one.phone not in last or last[one.phone].id < one.id:
                last[one.phone] = one
        return sorted(last.values(), key=lambda one: one.id, reverse=True)[:PHONES_MAX]

    def _newest(
        self, transaction: Transaction, account_ids: frozenset[int] | None, which: list[tuple[int]]
    ) -> Iterator[Bubble]:
        page = {"count": LOOKED_THROUGH_MAX}
        if account_ids is None:
            yield from map(sent_bubble, transaction.rows(self._sent, which, **page))
            yield from map(written_bubble, transaction.rows(self._written, which, **page))
            return
        for account_id in sorted(account_ids, reverse=True)[:ACCOUNTS_MAX]:
            yield from map(sent_bubble, transaction.rows(self._sent_of, which, **page, account=account_id))
            yield from map(written_bubble, transaction.rows(self._written_of, which, **page, account=account_id))

    def conversation(
        self,
        transaction: Transaction,
        phone: str,
        account_ids: frozenset[int] | None,
        carrier_ids: Iterable[int],
    ) -> list[Bubble]:
        """What these accounts (None = all) and a phone wrote to each other lately, the oldest first."""
        which = [(each,) for each in carrier_ids]
        page = {"count": LOOKED_THROUGH_MAX, "phone": phone}
        bubbles = [sent_bubble(row) for row in transaction.rows(self._sent_to, which, **page)]
        if account_ids is None:
            bubbles += map(written_bubble, transaction.rows(self._written_by, which, **page))
        else:
            bubbles = [one for one in bubbles if one.account_id in account_ids]
            for account_id in sorted(account_ids, reverse=True)[:ACCOUNTS_MAX]:
                rows = transaction.rows(self._written_by_of, which, **page, account=account_id)
                bubbles += map(written_bubble, rows)
        return sorted(bubbles, key=lambda one: one.id)[-BUBBLES_MAX:]


def sent_bubble(row: Row) -> Bubble:
    return Bubble(
        id=row[0],
        is_out=True,
        account_id=row[1],
        phone=row[2],
        other=row[3],
        text=row[4],
        coding=Coding(row[5]),
        state=State(row[6]),
        segments=row[7],
        submission_id=row[8],
        detail=row[9],
    )


def written_bubble(row: Row) -> Bubble:
    return Bubble(
        id=row[0],
        is_out=False,
        account_id=row[1],
        phone=row[2],
        other=row[3],
        text=row[4],
        coding=Coding(row[5]),
    )
