"""How much of what there was, counted by the minute and by the hour in the commit that made it so.

Verbs only note what they did, in memory; the round's last statement adds all of it to the table at once. It is the last
so that nobody who holds a row of this table ever waits for another one, and its rows are in the order of their keys, so
that two nodes never wait for each other. Minutes are forgotten after two days, hours stay.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, cast, delete, func, literal_column, select, tuple_

from chappe.core.lifecycle import FINAL
from chappe.core.model import Message, State
from chappe.core.story import Tallied
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant
from chappe.store.group_commit import Verb
from chappe.store.schema import tally

MINUTE_S, HOUR_S = 60, 3600
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MINUTES_KEPT_MS = 48 * HOUR_MS
SWEEP_MAX = 5_000  # rows that one commit forgets
PLACES_MAX = 20_000  # pairs of an instant and an account that are looked up one by one
ALL = 0  # account or carrier of a sum over all of them

ENDED = {state: Tallied(state.value) for state in (*FINAL, State.UNKNOWN)}


class TallyRow(Struct, frozen=True, kw_only=True):
    """What was counted in one span of time. `lag_ms` is the sum over all that are counted; an account or carrier of 0
    stands for all of them."""

    start_ms: int
    account_id: int
    carrier_id: int
    what: Tallied
    count: int
    segments: int
    amount_micros: int
    lag_ms: int


class TallySweep(Struct, frozen=True):
    """A wish to forget minutes that are long over, at most `count_max` rows of them."""

    now_ms: int
    count_max: int = SWEEP_MAX


def note(
    transaction: Transaction,
    what: Tallied,
    one: Message,
    now_ms: int,
    amount_micros: int = 0,
    lag_ms: int = 0,
) -> None:
    """Count a message in this transaction: under its account, and the carrier that it is or was with."""
    key = (now_ms // MINUTE_MS, one.account_id, one.carrier_id, what)
    counted = transaction.counted.get(key)
    if counted is None:
        transaction.counted[key] = [1, one.segments, amount_micros, lag_ms]
    else:
        counted[0] += 1
        counted[1] += one.segments
        counted[2] += amount_micros
        counted[3] += lag_ms


def note_ended(transaction: Transaction, messages: Iterable[Message], now_ms: int) -> None:
    """Count messages that came into the state they are in without having been reported on."""
    for one in messages:
        note(transaction, ENDED[one.state], one, now_ms)


def note_inbound(transaction: Transaction, account_id: int, carrier_id: int, now_ms: int) -> None:
    key = (now_ms // MINUTE_MS, account_id, carrier_id, Tallied.INBOUND)
    counted = transaction.counted.setdefault(key, [0, 0, 0, 0])
    counted[0] += 1
    counted[1] += 1


class Tallies:
    """Verb: `sweep`."""

    def __init__(self, database: Database) -> None:
        self.sweep = Verb[TallySweep, int](3, self._sweep_many)
        keys = ("span_s", "start_ms", "account_id", "carrier_id", "what")
        sums = ("count", "segments", "amount_micros", "lag_ms")
        counted = Batch(database, **{name: Text if name == "what" else BigInteger for name in (*keys, *sums)})
        added = {name: tally.c[name] + literal_column(f"excluded.{name}") for name in sums}
        self._add = Prepared(
            database,
            database.insert(tally)
            .from_select([*keys, *sums], select(counted.table).where(TRUE))
            .on_conflict_do_update(index_elements=list(keys), set_=added),
            counted,
        )
        key = tuple(tally.c[name] for name in keys)
        old = (
            select(*key)
            .where(tally.c.span_s == constant(MINUTE_S), tally.c.start_ms < bindparam("long_ago"))
            .limit(bindparam("count_max", type_=BigInteger))
        )
        self._forget = Prepared(database, delete(tally).where(tuple_(*key).in_(old)))
        is_in_span = (
            tally.c.span_s == bindparam("span"),
            tally.c.start_ms >= bindparam("from"),
            tally.c.start_ms < bindparam("to"),
        )
        rows = select(*key[1:], *(tally.c[name] for name in sums))
        in_order = (tally.c.start_ms, tally.c.account_id, tally.c.carrier_id, tally.c.what)
        self._series = Prepared(database, rows.where(*is_in_span).order_by(*in_order))
        ids = Batch(database, account_id=BigInteger)
        is_theirs = tally.c.account_id.in_(select(ids.c.account_id))
        self._series_of = Prepared(database, rows.where(*is_in_span, is_theirs).order_by(*in_order), ids)
        places = Batch(database, start_ms=BigInteger, account_id=BigInteger)
        is_there = (
            (tally.c.span_s == bindparam("span"))
            & (tally.c.start_ms == places.c.start_ms)
            & (tally.c.account_id == places.c.account_id)
        )
        self._series_at = Prepared(database, rows.join_from(places.table, tally, is_there).order_by(*in_order), places)
        step = bindparam("step_ms", type_=BigInteger)
        start = (tally.c.start_ms - (tally.c.start_ms - bindparam("from", type_=BigInteger)) % step).label("step_start")
        totals = (cast(func.sum(tally.c[name]), BigInteger) for name in sums)
        grouped = select(start, constant(ALL), tally.c.carrier_id, tally.c.what, *totals)
        groups = (start, tally.c.carrier_id, tally.c.what)
        self._sums = Prepared(database, grouped.where(*is_in_span).group_by(*groups))
        self._sums_of = Prepared(database, grouped.where(*is_in_span, is_theirs).group_by(*groups), ids)
        self._sums_at = Prepared(database, grouped.join_from(places.table, tally, is_there).group_by(*groups), places)

    def write(self, transaction: Transaction) -> None:
        """Add what was noted in this transaction. Nothing may be asked of the transaction afterwards."""
        if not transaction.counted:
            return
        rows: dict[tuple[int, int, int, int, str], list[int]] = {}
        for (minute, account_id, carrier_id, what), counted in transaction.counted.items():
            rows[MINUTE_S, minute * MINUTE_MS, account_id, carrier_id, what.value] = counted
            hour = (HOUR_S, minute // 60 * HOUR_MS, account_id, carrier_id, what.value)
            known = rows.get(hour)
            rows[hour] = list(map(int.__add__, known, counted)) if known is not None else counted
        transaction.run(self._add, [(*key, *counted) for key, counted in sorted(rows.items())])
        transaction.counted = {}

    def series(
        self, transaction: Transaction, span_s: int, from_ms: int, to_ms: int, account_ids: Collection[int] | None
    ) -> list[TallyRow]:
        """What was counted in the minutes (span 60) or hours (span 3600) that begin from `from_ms` on and before
        `to_ms`, of these accounts or (None) of all: a row for each of them, and each carrier."""
        return self._ask(
            transaction, (self._series, self._series_of, self._series_at), span_s, from_ms, to_ms, account_ids
        )

    def sums(
        self,
        transaction: Transaction,
        span_s: int,
        from_ms: int,
        to_ms: int,
        account_ids: Collection[int] | None,
        step_s: int = 0,
    ) -> list[TallyRow]:
        """The same added up over all the accounts, by carrier; with `step_s` also over so many seconds at a time, from
        `from_ms` on."""
        questions = (self._sums, self._sums_of, self._sums_at)
        step_ms = 1000 * (step_s or span_s)
        return self._ask(transaction, questions, span_s, from_ms, to_ms, account_ids, step_ms=step_ms)

    def _ask(
        self,
        transaction: Transaction,
        questions: tuple[Prepared, Prepared, Prepared],
        span_s: int,
        from_ms: int,
        to_ms: int,
        account_ids: Collection[int] | None,
        **more: int,
    ) -> list[TallyRow]:
        of_all, of_some, at_places = questions
        first_ms = -(-from_ms // (span_s * 1000)) * span_s * 1000
        span = {"span": span_s, "from": first_ms, "to": to_ms, **more}
        if account_ids is None:
            rows = transaction.rows(of_all, **span)
        else:
            starts = range(first_ms, to_ms, span_s * 1000)
            if len(starts) * len(account_ids) <= PLACES_MAX:  # each by its key: others may have any number of rows
                places = [(start_ms, account_id) for start_ms in starts for account_id in sorted(account_ids)]
                rows = transaction.rows(at_places, places, **{name: span[name] for name in span if name != "to"})
            else:
                rows = transaction.rows(of_some, [(each,) for each in account_ids], **span)
        return sorted(map(tally_row_of, rows), key=order_of)

    def _sweep_many(self, transaction: Transaction, sweeps: Sequence[TallySweep], _is_repeat: bool) -> list[int]:
        """Forget minutes that are long over; how many rows those were."""
        return [
            transaction.run(self._forget, long_ago=one.now_ms - MINUTES_KEPT_MS, count_max=one.count_max)
            for one in sweeps
        ]


def tally_row_of(row: Row) -> TallyRow:
    return TallyRow(
        start_ms=row[0],
        account_id=row[1],
        carrier_id=row[2],
        what=Tallied(row[3]),
        count=row[4],
        segments=row[5],
        amount_micros=row[6],
        lag_ms=row[7],
    )


def order_of(one: TallyRow) -> tuple[int, int, int, str]:
    return one.start_ms, one.account_id, one.carrier_id, one.what
