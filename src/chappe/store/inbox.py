"""Messages that come in: each kept once, whole, with everything that follows from it in the same commit.

What follows (whom to tell, what to block) is asked of a plan within the commit, because only there it is known that a
message is whole: its segments come one by one, in any order, perhaps twice, and wait for each other as rows. Joined
segments stay for a while, so that a late copy is known as one. What stays incomplete is joined as it is in the end.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, delete, func, insert, or_, select, tuple_, update

from chappe.core.centre import InboundMessages
from chappe.core.ids import ID_MAX, first_id
from chappe.core.model import Coding, Inbound
from chappe.store.blocks import BlockChange, BlockList
from chappe.store.callbacks import CallbackDraft, Callbacks, DueCallback
from chappe.store.database import TRUE, Batch, Database, Prepared, Row, Transaction, constant, kinds_of
from chappe.store.group_commit import Verb
from chappe.store.schema import inbound, inbound_cursor, inbound_reference, inbound_segment
from chappe.store.tallies import note_inbound

TEXT_MAX = 10_000  # characters
PATIENCE_MS = 600_000  # how long a segment waits for the others
REFERENCES_KEPT_MS = 7 * 24 * 3_600_000
SEGMENTS_WAITING_MAX = 100_000
GAP = "\N{HORIZONTAL ELLIPSIS}"  # where a segment never came
SETTLED_MS = 2_000  # other nodes may commit what they numbered up to so long ago


class Arrival(Struct, frozen=True, kw_only=True):
    """What a carrier brought: a message, or with a concatenation a segment of one. `id` is what a message that becomes
    whole by it will be known by."""

    id: int
    carrier_id: int
    inbound: Inbound
    now_ms: int


class Consequences(Struct, frozen=True, kw_only=True):
    """What follows from a whole message: whose it is (0 = nobody's), who is told, what is blocked."""

    account_id: int = 0
    drafts: tuple[CallbackDraft, ...] = ()
    block: BlockChange | None = None


class Kept(Struct, frozen=True, kw_only=True):
    """What became of an arrival: a message under our id, or (id 0) a segment that waits, or a copy of what was here."""

    id: int = 0
    account_id: int = 0
    is_copy: bool = False
    changes_blocks: bool = False
    callbacks: tuple[DueCallback, ...] = ()


class Joining(Struct, frozen=True):
    """A wish to join up to `count_max` messages that wait no longer, under ids from `first_id` on."""

    first_id: int
    count_max: int
    now_ms: int


class Taking(Struct, frozen=True, kw_only=True):
    """A wish for what came to these numbers (empty = all) since it was last asked. `last_id` is how far that was."""

    account_id: int
    numbers: tuple[str, ...]
    count_max: int
    last_id: int
    now_ms: int

    @property
    def cursor(self) -> str:
        return ",".join(sorted(self.numbers))


class InboxQuestion(Struct, frozen=True, kw_only=True):
    """Which of an account's messages; oldest first with `after_id`, else newest first."""

    account_id: int
    numbers: tuple[str, ...]
    originators: tuple[str, ...]
    from_ms: int
    to_ms: int
    after_id: int
    offset: int
    count_max: int


Plan = Callable[[Inbound], Consequences]  # of a whole message, whose reference is our id
Read = Callable[[Sequence[str]], tuple[str, Coding]]  # of the contents of segments that follow each other
Key = tuple[int, str, str, int, int]  # of a message in segments: carrier, originator, recipient, reference, total
Whole = tuple[int, int, Inbound]  # our id, the carrier's, and the message


def follow_nothing(one: Inbound) -> Consequences:
    """The plan of a store that has no gateway around it."""
    return Consequences()


def read_nothing(contents: Sequence[str]) -> tuple[str, Coding]:
    """The reader of a store that no dialect with contents is spoken around."""
    return GAP, Coding.TEXT


COLUMNS = (
    inbound.c.id,
    inbound.c.originator,
    inbound.c.recipient,
    inbound.c.text,
    inbound.c.received_ms,
    inbound.c.coding,
)
CODINGS = {coding.value: coding for coding in Coding}
KEY = (
    inbound_segment.c.carrier_id,
    inbound_segment.c.originator,
    inbound_segment.c.recipient,
    inbound_segment.c.concatenation,
    inbound_segment.c.total,
)
KEY_KINDS = kinds_of(KEY)
SEGMENT = (inbound_segment.c.position, inbound_segment.c.text, inbound_segment.c.content)
WAITS = inbound_segment.c.inbound_id == constant(0)


class Inbox:
    def __init__(self, database: Database, callbacks: Callbacks, blocks: BlockList) -> None:
        self.keep = Verb[Arrival, Kept](3, self.keep_many)
        self.join = Verb[Joining, list[Kept]](3, self.join_many)
        self.take = Verb[Taking, InboundMessages](6, self.take_many)
        self.plan: Plan = follow_nothing
        self.read: Read = read_nothing
        self._callbacks = callbacks
        self._blocks = blocks
        self._settled_ms = 0 if database.is_sqlite else SETTLED_MS
        self._prepare_messages(database)
        self._prepare_segments(database)
        self._prepare_lists(database)

    def _prepare_messages(self, database: Database) -> None:
        references = Batch(
            database, carrier_id=BigInteger, reference=Text, inbound_id=BigInteger, received_ms=BigInteger
        )
        self._refer = Prepared(
            database,
            database.insert(inbound_reference)
            .from_select([column.name for column in references.c], select(references.table).where(TRUE))
            .on_conflict_do_nothing()
            .returning(inbound_reference.c.inbound_id),
            references,
        )
        ids = Batch(database, id=BigInteger)
        self._existing = Prepared(
            database, select(inbound.c.id, inbound.c.account_id).where(inbound.c.id.in_(select(ids.c.id))), ids
        )
        messages = Batch(
            database,
            id=BigInteger,
            account_id=BigInteger,
            recipient=Text,
            originator=Text,
            text=Text,
            carrier_id=BigInteger,
            received_ms=BigInteger,
            coding=Text,
        )
        self._insert = Prepared(
            database,
            insert(inbound).from_select([column.name for column in messages.c], select(messages.table)),
            messages,
        )
        self._forget_references = Prepared(
            database, delete(inbound_reference).where(inbound_reference.c.received_ms < bindparam("long_ago"))
        )

    def _prepare_segments(self, database: Database) -> None:
        keys = Batch(database, **KEY_KINDS)
        is_of_keys = tuple_(*KEY).in_(select(keys.table))
        self._segments = Prepared(
            database,
            select(*KEY, *SEGMENT, inbound_segment.c.inbound_id)
            .where(is_of_keys)
            .order_by(*KEY, inbound_segment.c.position)
            .with_for_update(),
            keys,
        )
        segments = Batch(database, **KEY_KINDS, position=BigInteger, text=Text, content=Text, received_ms=BigInteger)
        self._put_segments = Prepared(
            database,
            database.insert(inbound_segment)
            .from_select([column.name for column in segments.c], select(segments.table).where(TRUE))
            .on_conflict_do_nothing(),
            segments,
        )
        self._drop_segments = Prepared(database, delete(inbound_segment).where(is_of_keys), keys)
        joined = Batch(database, **KEY_KINDS, inbound_id=BigInteger)
        is_of_joined = [column == joined.c[column.name] for column in KEY]
        self._mark_joined = Prepared(
            database,
            update(inbound_segment).where(*is_of_joined, WAITS).values(inbound_id=joined.c.inbound_id),
            joined,
        )
        self._waiting_count = Prepared(
            database,
            select(func.count()).select_from(
                select(constant(1)).select_from(inbound_segment).where(WAITS).limit(SEGMENTS_WAITING_MAX).subquery()
            ),
        )
        self._overdue = Prepared(
            database,
            select(*KEY)
            .where(WAITS)
            .group_by(*KEY)
            .having(
                or_(
                    func.min(inbound_segment.c.received_ms) <= bindparam("long_ago"),
                    func.count() == inbound_segment.c.total,  # whose last two segments came to two nodes at once
                )
            )
            .limit(bindparam("count_max", type_=BigInteger)),
        )
        self._close = Prepared(
            database,
            delete(inbound_segment).where(is_of_keys, WAITS).returning(*KEY, *SEGMENT, inbound_segment.c.received_ms),
            keys,
        )
        self._forget_segments = Prepared(
            database,
            delete(inbound_segment).where(
                inbound_segment.c.inbound_id > constant(0), inbound_segment.c.received_ms <= bindparam("long_ago")
            ),
        )

    def _prepare_lists(self, database: Database) -> None:
        named = Batch(database, role=Text, number=Text)
        is_theirs = inbound.c.account_id == bindparam("account")

        def is_named(role: str, column: ColumnElement[str]) -> ColumnElement[bool]:
            numbers = select(named.c.number).where(named.c.role == constant(role))
            return or_(bindparam(f"any_{role}", type_=BigInteger) == constant(1), column.in_(numbers))

        meant = (
            is_theirs,
            inbound.c.id > bindparam("after"),
            inbound.c.received_ms >= bindparam("from"),
            inbound.c.received_ms <= bindparam("to"),
            is_named("recipient", inbound.c.recipient),
            is_named("originator", inbound.c.originator),
        )
        page = (
            select(*COLUMNS)
            .where(*meant)
            .limit(bindparam("count_max", type_=BigInteger))
            .offset(bindparam("offset", type_=BigInteger))
        )
        self._oldest_first = Prepared(database, page.order_by(inbound.c.id), named)
        self._newest_first = Prepared(database, page.order_by(inbound.c.id.desc()), named)
        self._total = Prepared(database, select(func.count()).select_from(inbound).where(*meant), named)
        is_cursor = (
            inbound_cursor.c.account_id == bindparam("account"),
            inbound_cursor.c.numbers == bindparam("numbers", type_=Text),
        )
        cursors = Batch(database, account_id=BigInteger, numbers=Text, last_id=BigInteger)
        self._open_cursor = Prepared(
            database,
            database.insert(inbound_cursor)
            .from_select([column.name for column in cursors.c], select(cursors.table).where(TRUE))
            .on_conflict_do_nothing(),
            cursors,
        )
        self._cursor = Prepared(database, select(inbound_cursor.c.last_id).where(*is_cursor).with_for_update())
        self._seen = Prepared(database, select(inbound_cursor.c.last_id).where(*is_cursor))
        of_cursor = (cursors.c.account_id == inbound_cursor.c.account_id) & (
            cursors.c.numbers == inbound_cursor.c.numbers
        )
        self._advance = Prepared(
            database, update(inbound_cursor).where(of_cursor).values(last_id=cursors.c.last_id), cursors
        )
        news = (is_theirs, inbound.c.id > bindparam("after"), inbound.c.id < bindparam("before"))
        fresh = select(*COLUMNS).where(*news, is_named("recipient", inbound.c.recipient))
        self._news = Prepared(
            database, fresh.order_by(inbound.c.id).limit(bindparam("count_max", type_=BigInteger)), named
        )
        self._news_total = Prepared(database, select(func.count()).select_from(fresh.subquery()), named)

    # Keeping

    def keep_many(self, transaction: Transaction, arrivals: Sequence[Arrival], is_repeat: bool) -> list[Kept]:
        """Keep what arrived, each once, and what is whole by it with all that follows."""
        kept = self._already_kept(transaction, arrivals) if is_repeat else {}
        fresh_ids = self._new_references(transaction, [one for one in arrivals if one.id not in kept])
        fresh = [one for one in arrivals if one.id in fresh_ids]
        parts = [one for one in fresh if one.inbound.concatenation is not None]
        whole: list[Whole] = [
            (one.id, one.carrier_id, one.inbound) for one in fresh if one.inbound.concatenation is None
        ]
        if parts:
            joined, copies = self._put_together(transaction, parts)
            whole += joined
            fresh_ids -= copies
        kept |= self._finish(transaction, whole, arrivals[0].now_ms)
        return [kept.get(one.id) or Kept(is_copy=one.id not in fresh_ids) for one in arrivals]

    def _already_kept(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> dict[int, Kept]:
        """Messages that the commit of which nobody heard has kept; their callbacks come due by themselves."""
        rows = transaction.rows(self._existing, [(one.id,) for one in arrivals])
        return {row[0]: Kept(id=row[0], account_id=row[1], changes_blocks=True) for row in rows}

    def _new_references(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> set[int]:
        """The ids of those that did not arrive before; where a carrier gives no references, all."""
        named = [one for one in arrivals if one.inbound.reference]
        fresh = {one.id for one in arrivals if not one.inbound.reference}
        if named:
            rows = [(one.carrier_id, one.inbound.reference, one.id, one.now_ms) for one in named]
            fresh |= {row[0] for row in transaction.rows(self._refer, rows)}
        return fresh

    def _put_together(self, transaction: Transaction, parts: Sequence[Arrival]) -> tuple[list[Whole], set[int]]:
        """Add segments to those that wait: the messages that are whole now, and the ids of what was only a copy."""
        if transaction.rows(self._waiting_count)[0][0] >= SEGMENTS_WAITING_MAX:  # nothing is lost, only not joined
            return [alone(one, self.read) for one in parts], set()
        puzzles = {key: Puzzle(self.read) for key in sorted(map(key_of, parts))}
        for row in transaction.rows(self._segments, list(puzzles)):
            puzzles[row[:5]].find(*row[5:])
        whole, copies = [], set()
        for one in parts:
            puzzle = puzzles[key_of(one)]
            if puzzle.has(one):
                copies.add(one.id)
            else:
                whole += puzzle.add(one)
        self._write_puzzles(transaction, puzzles)
        return whole, copies

    def _write_puzzles(self, transaction: Transaction, puzzles: Mapping[Key, "Puzzle"]) -> None:
        emptied = [key for key, puzzle in puzzles.items() if puzzle.is_emptied]
        if emptied:
            transaction.run(self._drop_segments, emptied)
        rows = [(*key, *row) for key, puzzle in puzzles.items() for row in puzzle.fresh]
        if rows:
            transaction.run(self._put_segments, rows)
        joined = [(*key, puzzle.joined_id) for key, puzzle in puzzles.items() if puzzle.joined_id]
        if joined:
            transaction.run(self._mark_joined, joined)

    def _finish(self, transaction: Transaction, whole: Sequence[Whole], now_ms: int) -> dict[int, Kept]:
        """Write whole messages with what follows from them; by id."""
        if not whole:
            return {}
        follows = {message_id: self.plan(known_as(one, message_id)) for message_id, _, one in whole}
        rows = [
            (
                message_id,
                follows[message_id].account_id,
                one.recipient,
                one.originator,
                one.text,
                carrier_id,
                one.received_ms,
                one.coding.value,
            )
            for message_id, carrier_id, one in whole
        ]
        transaction.run(self._insert, rows)
        for message_id, carrier_id, _ in whole:
            note_inbound(transaction, follows[message_id].account_id, carrier_id, now_ms)
        drafts = [draft for one in follows.values() for draft in one.drafts]
        callbacks: dict[int, tuple[DueCallback, ...]] = {}
        for due in self._callbacks.write(transaction, drafts, now_ms):
            callbacks[due.message_id] = (*callbacks.get(due.message_id, ()), due)
        self._blocks.change_many(transaction, [one.block for one in follows.values() if one.block], False)
        return {
            message_id: Kept(
                id=message_id,
                account_id=one.account_id,
                changes_blocks=one.block is not None,
                callbacks=callbacks.get(message_id, ()),
            )
            for message_id, one in follows.items()
        }

    def join_many(self, transaction: Transaction, joinings: Sequence[Joining], is_repeat: bool) -> list[list[Kept]]:
        """Join what waited too long, with what is there; and forget what only serves to know copies."""
        results = []
        for one in joinings:
            long_ago_ms = one.now_ms - PATIENCE_MS
            keys = transaction.rows(self._overdue, long_ago=long_ago_ms, count_max=one.count_max)
            rows = sorted(transaction.rows(self._close, keys)) if keys else []
            whole: list[Whole] = []
            for key, segments in groupby(rows, key=lambda row: row[:5]):
                received = {row[5]: (Segment(*row[6:8]), row[8]) for row in segments}
                whole.append((one.first_id + len(whole), key[0], joined_of(key, received, self.read)))
            results.append(list(self._finish(transaction, whole, one.now_ms).values()))
            transaction.run(self._forget_segments, long_ago=long_ago_ms)
            transaction.run(self._forget_references, long_ago=one.now_ms - REFERENCES_KEPT_MS)
        return results

    # Reading

    def messages(self, transaction: Transaction, question: InboxQuestion) -> InboundMessages:
        named = [("recipient", one) for one in question.numbers] + [("originator", one) for one in question.originators]
        which = {
            "account": question.account_id,
            "after": question.after_id,
            "from": question.from_ms,
            "to": question.to_ms,
            "any_recipient": int(not question.numbers),
            "any_originator": int(not question.originators),
        }
        page = self._oldest_first if question.after_id else self._newest_first
        rows = transaction.rows(page, named, **which, offset=question.offset, count_max=question.count_max)
        total = transaction.rows(self._total, named, **which)[0][0]
        return InboundMessages(items=tuple(map(inbound_of, rows)), total=total)

    def cursor(self, transaction: Transaction, account_id: int, cursor: str) -> int:
        """How far an account has taken what came to its numbers."""
        rows = transaction.rows(self._seen, account=account_id, numbers=cursor)
        return int(rows[0][0]) if rows else 0

    def take_many(self, transaction: Transaction, takings: Sequence[Taking], is_repeat: bool) -> list[InboundMessages]:
        """What is new, oldest first, and how much that is in all; the cursor moves in the same commit. Where the fate
        of an earlier commit is unknown, what it may have handed out is handed out again."""
        results = []
        for one in takings:
            transaction.run(self._open_cursor, [(one.account_id, one.cursor, 0)])
            last_id = transaction.rows(self._cursor, account=one.account_id, numbers=one.cursor)[0][0]
            named = [("recipient", number) for number in one.numbers]
            which = {
                "account": one.account_id,
                "after": min(last_id, one.last_id) if is_repeat else last_id,
                "before": first_id(one.now_ms + 1 - self._settled_ms) if self._settled_ms else ID_MAX,
                "any_recipient": int(not one.numbers),
            }
            rows = transaction.rows(self._news, named, **which, count_max=one.count_max)
            total = transaction.rows(self._news_total, named, **which)[0][0]
            if rows:
                transaction.run(self._advance, [(one.account_id, one.cursor, max(last_id, rows[-1][0]))])
            results.append(InboundMessages(items=tuple(map(inbound_of, rows)), total=total))
        return results


class Segment(NamedTuple):
    """What a segment brings: its text, and what is read together with the others' where that is not all of it."""

    text: str
    content: str


Segments = dict[int, Segment]  # by position


class Puzzle:
    """The segments that came under one key, within one commit."""

    def __init__(self, read: Read) -> None:
        self.waiting: Segments = {}
        self.joined: Segments = {}  # of the last message that became whole
        self.fresh: list[tuple[int, str, str, int]] = []  # rows to be written: position, segment, when it was received
        self.joined_id = 0  # the message that those which wait became in this commit
        self.is_emptied = False  # what is stored under the key goes
        self._read = read

    def find(self, position: int, text: str, content: str, inbound_id: int) -> None:
        """A stored row."""
        (self.joined if inbound_id else self.waiting)[position] = Segment(text, content)

    def has(self, one: Arrival) -> bool:
        return segment_of(one) in (known.get(place_of(one)) for known in (self.waiting, self.joined))

    def add(self, one: Arrival) -> list[Whole]:
        """What becomes a message by this segment. One at a place that is taken belongs to the next message under the
        same reference: phones count them in one octet, and begin anew (3GPP TS 23.040 9.2.3.24.1)."""
        place, whole = place_of(one), []
        if place in self.waiting or place in self.joined:
            if self.waiting:
                whole.append(whole_by(one, self.waiting, self._read))
            self.waiting, self.joined, self.fresh, self.joined_id = {}, {}, [], 0
            self.is_emptied = True
        self.waiting[place] = segment_of(one)
        self.fresh.append((place, *segment_of(one), one.now_ms))
        if len(self.waiting) == total_of(one):
            whole.append(whole_by(one, self.waiting, self._read))
            self.waiting, self.joined, self.joined_id = {}, self.waiting, one.id
        return whole


def place_of(one: Arrival) -> int:
    assert one.inbound.concatenation is not None
    return one.inbound.concatenation.position


def segment_of(one: Arrival) -> Segment:
    return Segment(one.inbound.text, one.inbound.content)


def total_of(one: Arrival) -> int:
    assert one.inbound.concatenation is not None
    return one.inbound.concatenation.total


def key_of(one: Arrival) -> Key:
    concatenation = one.inbound.concatenation
    assert concatenation is not None
    return (
        one.carrier_id,
        one.inbound.originator,
        one.inbound.recipient,
        concatenation.reference,
        concatenation.total,
    )


def known_as(one: Inbound, message_id: int) -> Inbound:
    return Inbound(
        reference=str(message_id),
        originator=one.originator,
        recipient=one.recipient,
        text=one.text,
        received_ms=one.received_ms,
        coding=one.coding,
        is_test=one.is_test,
    )


def whole_by(last: Arrival, segments: Segments, read: Read) -> Whole:
    """The message that a segment completed, under the id it brought."""
    text, coding = joined_text(segments, total_of(last), read)
    return (
        last.id,
        last.carrier_id,
        Inbound(
            reference="",
            originator=last.inbound.originator,
            recipient=last.inbound.recipient,
            text=text,
            received_ms=last.inbound.received_ms,
            coding=coding,
        ),
    )


def joined_of(key: Row, received: dict[int, tuple[Segment, int]], read: Read) -> Inbound:
    """A message of what there is: by position, the segment and when it was received."""
    _, originator, recipient, _, total = key
    text, coding = joined_text({position: segment for position, (segment, _) in received.items()}, total, read)
    return Inbound(
        reference="",
        originator=originator,
        recipient=recipient,
        text=text,
        received_ms=max(received_ms for _, received_ms in received.values()),
        coding=coding,
    )


def alone(one: Arrival, read: Read) -> Whole:
    """A segment as a message of its own."""
    return whole_by(one, {place_of(one): segment_of(one)}, read)


def joined_text(segments: Segments, total: int, read: Read) -> tuple[str, Coding]:
    """What the segments say in their order, each run of missing ones as one ellipsis, within what is kept of a text.
    With an ellipsis it is a text, whatever it was."""
    runs = groupby(range(1, total + 1), key=lambda position: position in segments)
    said = [text_of([segments[each] for each in run], read) if is_here else (GAP, Coding.TEXT) for is_here, run in runs]
    coding = said[0][1] if len(said) == 1 else Coding.TEXT
    return "".join(text for text, _ in said)[:TEXT_MAX], coding


def text_of(run: Sequence[Segment], read: Read) -> tuple[str, Coding]:
    """What segments that follow each other say."""
    contents = [each.content for each in run]
    return read(contents) if all(contents) else ("".join(each.text for each in run), Coding.TEXT)


def inbound_of(row: Row) -> Inbound:
    return Inbound(
        reference=str(row[0]),
        originator=row[1],
        recipient=row[2],
        text=row[3],
        received_ms=row[4],
        coding=CODINGS[row[5]],
    )
