"""Parts of long messages that are submitted one by one: each kept when it is answered, until all of them are there.

A part that came is kept in one commit, known by an id made with its message's: those of one message follow each other,
the first being the message's own. Whoever brings the last part gets all of them, submits the message under its id, and
closes the parts. They stay for a while then, so that a copy of one is known and gets the id that it had. What stays
incomplete ends, and with it, in the same commit, whoever asked is told (by a plan, as for messages that come in).
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import groupby
from operator import eq
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import BigInteger, Text, bindparam, delete, func, select, tuple_, update

from chappe.core.model import State
from chappe.store.callbacks import CallbackDraft, Callbacks, DueCallback
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant, kinds_of
from chappe.store.group_commit import Verb
from chappe.store.schema import submission_part

PATIENCE_MS = 600_000  # how long a part waits for the others
COPIES_KEPT_MS = 120_000  # how long a copy of a part is known as one after its message was submitted
WAITING_MAX = 10_000  # parts of one account


class PartKey(NamedTuple):
    """What the parts of one message have in common."""

    account_id: int
    originator: str
    recipient: str
    concatenation: int  # its reference
    total: int


class PartArrival(Struct, frozen=True, kw_only=True):
    """A part that was submitted. `message_id` is what the message will be known by if this is the first part of it to
    come: as many ids as it has parts are free from there on."""

    key: PartKey
    position: int  # from 1
    content: str
    message_id: int
    now_ms: int


class Part(NamedTuple):
    """One part as it is kept."""

    position: int
    part_id: int
    content: str

    @property
    def message_id(self) -> int:
        """The id of the message that it is a part of."""
        return self.part_id - self.position + 1


class PartSet(Struct, frozen=True):
    """The parts of one message that are there, in their order."""

    key: PartKey
    parts: tuple[Part, ...]

    @property
    def message_id(self) -> int:
        # Of two nodes that each thought to have the first part, the smaller id counts.
        return min(part.message_id for part in self.parts)

    @property
    def is_whole(self) -> bool:
        return len(self.parts) == self.key.total


class KeptPart(Struct, frozen=True, kw_only=True):
    """What became of an arrival: kept under `part_id` (0 = not: too many wait). `whole` is there once all parts are,
    as long as the message is not submitted."""

    part_id: int
    is_copy: bool = False
    whole: PartSet | None = None
    callbacks: tuple[DueCallback, ...] = ()


class Fate(StrEnum):
    """What becomes of parts whose message was submitted, or was not."""

    SUBMITTED = "submitted"
    REFUSED = "refused"  # for good: whoever asked is told, but of the last part, which has its answer
    PUT_BACK = "put_back"  # for now: the last part was not taken, and is expected again


class Closing(Struct, frozen=True, kw_only=True):
    """How the submission of a whole message went. `last_position` is that of the part that gets its answer now, 0 where
    all parts have theirs."""

    whole: PartSet
    fate: Fate
    last_position: int
    now_ms: int


class Ending(Struct, frozen=True):
    """A wish to end up to `count_max` messages whose parts wait no longer, and to forget what copies are known by."""

    now_ms: int
    count_max: int


# Who is to be told that these parts became nothing, and in which state: asked within the commit that drops them.
Plan = Callable[[PartSet, State], Sequence[CallbackDraft]]


def tell_nobody(ended: PartSet, state: State) -> Sequence[CallbackDraft]:
    """The plan of a store that has no gateway around it."""
    return ()


KEY = tuple(submission_part.c[name] for name in PartKey._fields)
KEY_KINDS = kinds_of(KEY)
PART = (submission_part.c.position, submission_part.c.part_id, submission_part.c.content)
WAITS = submission_part.c.message_id == constant(0)


class Parts:
    def __init__(self, database: Database, callbacks: Callbacks) -> None:
        self.keep = Verb[PartArrival, KeptPart](3, self.keep_many)
        self.close = Verb[Closing, tuple[DueCallback, ...]](5, self.close_many)
        self.end = Verb[Ending, list[DueCallback]](3, self.end_many)
        self.plan: Plan = tell_nobody
        self.is_same: Callable[[str, str], bool] = eq  # whether two contents are copies of one part
        self._callbacks = callbacks
        keys = Batch(database, **KEY_KINDS)
        is_of_keys = tuple_(*KEY).in_(select(keys.table))
        self._find = Prepared(
            database,
            select(*KEY, *PART, submission_part.c.message_id)
            .where(is_of_keys)
            .order_by(*KEY, submission_part.c.position)
            .with_for_update(),
            keys,
        )
        accounts = Batch(database, account_id=BigInteger)
        self._count = Prepared(
            database,
            select(submission_part.c.account_id, func.count())
            .where(WAITS, submission_part.c.account_id.in_(select(accounts.c.account_id)))
            .group_by(submission_part.c.account_id),
            accounts,
        )
        fresh = Batch(
            database,
            **KEY_KINDS,
            position=BigInteger,
            part_id=BigInteger,
            content=Text,
            received_ms=BigInteger,
        )
        names = [*(column.name for column in fresh.c), "message_id"]
        self._put = Prepared(
            database,
            database.insert(submission_part)
            .from_select(names, select(*fresh.c, constant(0)).where(TRUE))
            .on_conflict_do_nothing(),
            fresh,
        )
        self._drop = Prepared(database, delete(submission_part).where(is_of_keys), keys)
        places = Batch(database, **KEY_KINDS, position=BigInteger)
        self._drop_places = Prepared(
            database,
            delete(submission_part).where(tuple_(*KEY, submission_part.c.position).in_(select(places.table)), WAITS),
            places,
        )
        submitted = Batch(database, **KEY_KINDS, message_id=BigInteger)
        is_of_submitted = [column == submitted.c[column.name] for column in KEY]
        self._mark = Prepared(
            database,
            update(submission_part).where(*is_of_submitted, WAITS).values(message_id=submitted.c.message_id),
            submitted,
        )
        self._overdue = Prepared(
            database,
            select(*KEY)
            .where(WAITS)
            .group_by(*KEY)
            .having(
                func.min(submission_part.c.received_ms) <= bindparam("long_ago"),
                func.count() < submission_part.c.total,
            )
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._take = Prepared(database, delete(submission_part).where(is_of_keys, WAITS).returning(*KEY, *PART), keys)
        self._forget = Prepared(
            database,
            delete(submission_part).where(
                submission_part.c.message_id > constant(0), submission_part.c.received_ms <= bindparam("long_ago")
            ),
        )
        whole = (
            select(*KEY)
            .where(WAITS)
            .group_by(*KEY)
            .having(
                func.max(submission_part.c.received_ms) <= bindparam("settled"),
                func.count() == submission_part.c.total,
            )
            .limit(bindparam("count_max", type_=BigInteger))
        )
        self._whole = Prepared(
            database,
            select(*KEY, *PART).where(tuple_(*KEY).in_(whole), WAITS).order_by(*KEY, submission_part.c.position),
        )

    # Keeping

    def keep_many(self, transaction: Transaction, arrivals: Sequence[PartArrival], is_repeat: bool) -> list[KeptPart]:
        """Keep parts, each once; of a repeat, what is there already is a copy of itself."""
        puzzles = {key: Puzzle(key, self.is_same) for key in sorted({one.key for one in arrivals})}
        for row in transaction.rows(self._find, list(puzzles)):
            puzzles[PartKey(*row[:5])].find(Part(*row[5:8]), row[8])
        counts: dict[int, int] = dict(
            transaction.rows(self._count, [(each,) for each in {one.key.account_id for one in arrivals}])
        )
        kept = []
        for one in arrivals:
            puzzle = puzzles[one.key]
            known = puzzle.copy_of(one)
            account_id = one.key.account_id
            if known is not None:
                kept.append(KeptPart(part_id=known.part_id, is_copy=True, whole=puzzle.whole))
            elif counts.get(account_id, 0) >= WAITING_MAX:
                kept.append(KeptPart(part_id=0))
            else:
                counts[account_id] = counts.get(account_id, 0) + 1
                part = puzzle.add(one)
                kept.append(KeptPart(part_id=part.part_id, whole=puzzle.whole))
        callbacks = self._write(transaction, puzzles.values(), arrivals[0].now_ms)
        if callbacks:  # of messages that ended because others took their places: whoever comes first hands them on
            kept[0] = KeptPart(
                part_id=kept[0].part_id, is_copy=kept[0].is_copy, whole=kept[0].whole, callbacks=tuple(callbacks)
            )
        return kept

    def _write(self, transaction: Transaction, puzzles: Iterable["Puzzle"], now_ms: int) -> list[DueCallback]:
        changed = list(puzzles)
        emptied = [puzzle.key for puzzle in changed if puzzle.is_emptied]
        if emptied:
            transaction.run(self._drop, emptied)
        rows = [(*puzzle.key, *part, now_ms) for puzzle in changed for part in puzzle.fresh]
        if rows:
            transaction.run(self._put, rows)
        ended = [one for puzzle in changed for one in puzzle.ended]
        return self._tell(transaction, ended, State.EXPIRED, now_ms)

    def _tell(self, transaction: Transaction, ended: Iterable[PartSet], state: State, now_ms: int) -> list[DueCallback]:
        drafts = [draft for one in ended for draft in self.plan(one, state)]
        return self._callbacks.write(transaction, drafts, now_ms)

    # What became of the whole

    def close_many(
        self, transaction: Transaction, closings: Sequence[Closing], is_repeat: bool
    ) -> list[tuple[DueCallback, ...]]:
        """Parts of messages that were submitted, or were not."""
        by_fate: dict[Fate, list[Closing]] = {fate: [] for fate in Fate}
        for one in closings:
            by_fate[one.fate].append(one)
        submitted, put_back = by_fate[Fate.SUBMITTED], by_fate[Fate.PUT_BACK]
        if submitted:
            transaction.run(self._mark, [(*one.whole.key, one.whole.message_id) for one in submitted])
        if put_back:
            transaction.run(self._drop_places, [(*one.whole.key, one.last_position) for one in put_back])
        return [self._refuse(transaction, one) if one.fate is Fate.REFUSED else () for one in closings]

    def _refuse(self, transaction: Transaction, one: Closing) -> tuple[DueCallback, ...]:
        rows = transaction.rows(self._take, [one.whole.key])
        parts = tuple(sorted(Part(*row[5:8]) for row in rows if row[5] != one.last_position))
        ended = [PartSet(one.whole.key, parts)] if parts else []
        return tuple(self._tell(transaction, ended, State.REJECTED, one.now_ms))

    def end_many(self, transaction: Transaction, endings: Sequence[Ending], is_repeat: bool) -> list[list[DueCallback]]:
        """End what stayed incomplete."""
        results = []
        for one in endings:
            long_ago_ms = one.now_ms - PATIENCE_MS
            keys = transaction.rows(self._overdue, long_ago=long_ago_ms, count_max=one.count_max)
            rows = transaction.rows(self._take, keys) if keys else []
            results.append(self._tell(transaction, sets_of(rows), State.EXPIRED, one.now_ms))
            transaction.run(self._forget, long_ago=one.now_ms - COPIES_KEPT_MS)
        return results

    def whole(self, transaction: Transaction, now_ms: int, settled_ms: int, count_max: int) -> list[PartSet]:
        """Messages whose parts are all there, the last since `settled_ms`, and which are not submitted."""
        return sets_of(transaction.rows(self._whole, settled=now_ms - settled_ms, count_max=count_max))


class Puzzle:
    """The parts that came under one key, within one commit."""

    def __init__(self, key: PartKey, is_same: Callable[[str, str], bool]) -> None:
        self.key = key
        self._is_same = is_same
        self.parts: dict[int, Part] = {}  # by position
        self.fresh: list[Part] = []  # to be written
        self.ended: list[PartSet] = []  # what others took the places of
        self.is_submitted = False
        self.is_emptied = False  # what is stored under the key goes

    def find(self, part: Part, message_id: int) -> None:
        """A stored row."""
        self.parts[part.position] = part
        self.is_submitted = message_id != 0

    def copy_of(self, one: PartArrival) -> Part | None:
        known = self.parts.get(one.position)
        is_copy = known is not None and (known.content == one.content or self._is_same(known.content, one.content))
        return known if is_copy else None

    def add(self, one: PartArrival) -> Part:
        """One at a place that is taken belongs to the next message under the same reference: it is counted in one octet
        by many, and begins anew (3GPP TS 23.040 9.2.3.24.1)."""
        if self.is_submitted or one.position in self.parts:
            if not self.is_submitted:
                self.ended.append(self._set())
            self.parts, self.fresh = {}, []
            self.is_submitted, self.is_emptied = False, True
        message_id = self._set().message_id if self.parts else one.message_id
        part = Part(one.position, message_id + one.position - 1, one.content)
        self.parts[one.position] = part
        self.fresh.append(part)
        return part

    @property
    def whole(self) -> PartSet | None:
        found = self._set()
        return found if found.is_whole and not self.is_submitted else None

    def _set(self) -> PartSet:
        return PartSet(self.key, tuple(sorted(self.parts.values())))


def sets_of(rows: Iterable[Row]) -> list[PartSet]:
    """Rows of a key and a part, in any order."""
    return [
        PartSet(PartKey(*key), tuple(Part(*row[5:8]) for row in of_key))
        for key, of_key in groupby(sorted(rows), key=lambda row: row[:5])
    ]
