"""What befell messages out of the ordinary, kept as rows. One that goes well has none.

Carriers may repeat themselves without end, so of what they repeat one row an hour is kept.
"""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Text, select

from chappe.core.ids import RANDOM_BITS, first_id
from chappe.core.story import Happening
from chappe.store.database import TRUE, Batch, Database, Prepared, Transaction
from chappe.store.nodes import Node
from chappe.store.schema import happening

WORDS_MAX = 500  # characters
HOUR_MS = 3_600_000


class Happenings:
    def __init__(self, database: Database, node: Node) -> None:
        self._node = node
        self._count = 0
        rows = Batch(
            database,
            message_id=BigInteger,
            id=BigInteger,
            made_ms=BigInteger,
            kind=Text,
            carrier_id=BigInteger,
            attempt=BigInteger,
            words=Text,
        )
        self._insert = Prepared(
            database,
            database.insert(happening)
            .from_select([each.name for each in rows.c], select(rows.table).where(TRUE))
            .on_conflict_do_nothing(),
            rows,
        )

    def write(self, transaction: Transaction, happenings: Sequence[Happening]) -> None:
        """Keep them in their order."""
        if not happenings:
            return
        rows = []
        for one in happenings:
            self._count += 1
            rows.append((one.message_id, self._id_of(one), *fields_of(one)))
        transaction.run(self._insert, rows)

    def write_once(self, transaction: Transaction, happenings: Sequence[Happening]) -> None:
        """The same of what others may repeat without end: in each hour the first of a kind and place counts. `attempt`
        says which place that is."""
        if happenings:
            rows = [
                (one.message_id, first_id(one.made_ms // HOUR_MS * HOUR_MS) + one.attempt, *fields_of(one))
                for one in happenings
            ]
            transaction.run(self._insert, rows)

    def _id_of(self, one: Happening) -> int:
        """It grows with time, and two nodes hardly ever make the same."""
        return first_id(one.made_ms) + (self._node.id + self._count) % (1 << RANDOM_BITS)


def fields_of(one: Happening) -> tuple[object, ...]:
    return one.made_ms, one.kind.value, one.carrier_id, one.attempt, one.words[:WORDS_MAX]
