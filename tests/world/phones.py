"""The phones of the world, and its mail server: what people write to our customers, and how carriers bring it to us.

A carrier brings each message, or each segment of one, until it is told that it is kept, in any order, and sometimes
again after that; after some days it gives up. Every piece carries a mark, so that it is known again wherever it went.
"""

import asyncio
import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct

from chappe.core.model import Concatenation, Inbound
from chappe.gateway.inbound import MAIL, Letter
from chappe.store.inbox import GAP, PATIENCE_MS
from world.carriers import pick
from world.rules import Tables

BRINGS_AGAIN = 0.25  # how often a carrier brings once more what we kept
COPIES_MAX = 3
LOSES_ONE = 0.2  # how often a segment of a long message never gets as far as the carrier
GIVES_UP_MS = 5 * 24 * 3_600_000  # before we forget that something came already
WORDS = ("STOP", "start ")
MARK = re.compile(r"<(\d+)\.(\d+)>")
SEGMENTS = {1: 6, 2: 3, 3: 2}
MAIL_FATES = {
    "takes it": 50,
    "is busy": 14,
    "takes it, is not heard": 8,
    "is never there": 6,
    "declines": 5,
}


class Written(Struct, kw_only=True):
    """What somebody wrote, as the segments it travels in."""

    number: int
    carrier_id: int
    originator: str
    recipient: str
    texts: tuple[str, ...]
    begun_ms: int = 0  # when its first segment was first brought
    kept_ms: int = 0  # when its last segment was kept
    kept_positions: set[int] = {}  # type: ignore[assignment]
    is_disturbed: bool = False  # the clock was set meanwhile

    @property
    def is_word(self) -> bool:
        return self.texts[0] in WORDS

    @property
    def is_in_time(self) -> bool:
        """Whether its segments came within the time that they wait for each other."""
        is_kept = len(self.kept_positions) == len(self.texts)
        return is_kept and not self.is_disturbed and self.kept_ms - self.begun_ms < PATIENCE_MS


class Piece(Struct, kw_only=True):
    """One of its segments, in the hands of the carrier."""

    written: Written
    position: int
    inbound: Inbound
    brought_ms: int = 0  # for the first time
    copies_count: int = 0


class Phones:
    """`numbers` is whom people write to; the last one is nobody's."""

    def __init__(
        self, choose: random.Random, now_ms: Callable[[], int], carrier_ids: Sequence[int], numbers: Sequence[str]
    ) -> None:
        self.post: list[Piece] = []
        self._choose = choose
        self._now_ms = now_ms
        self._carrier_ids = carrier_ids
        self._numbers = numbers
        self._written: dict[int, Written] = {}
        self._named: set[tuple[int, int]] = set()  # pieces that their carrier gives a reference: number and position

    def write(self, originator: str) -> Written:
        choose, number = self._choose, len(self._written) + 1
        total = pick(choose, SEGMENTS)
        texts = tuple(f"<{number}.{position}> Здравствуйте " for position in range(1, total + 1))
        if total == 1 and choose.random() < 0.4:
            texts = (choose.choices(WORDS, [3, 1])[0],)
        written = Written(
            number=number,
            carrier_id=choose.choice(self._carrier_ids),
            originator=originator,
            recipient=choose.choices(self._numbers, [*[4] * (len(self._numbers) - 1), 1])[0],
            texts=texts,
            kept_positions=set(),
        )
        self._written[number] = written
        is_named = choose.random() < 0.8
        lost = choose.randint(1, total) if total > 1 and choose.random() < LOSES_ONE else 0
        for position, text in enumerate(texts, 1):
            if position == lost:
                continue
            if is_named:
                self._named.add((number, position))
            inbound = Inbound(
                reference=f"{number}/{position}" if is_named else "",
                originator=f"+{originator}",
                recipient=written.recipient,
                text=text,
                concatenation=Concatenation(reference=number, total=total, position=position) if total > 1 else None,
            )
            self.post.append(Piece(written=written, position=position, inbound=inbound))
        return written

    def take(self) -> Piece | None:
        """The next piece that a carrier brings."""
        now_ms = self._now_ms()
        self.post = [one for one in self.post if not one.brought_ms or now_ms - one.brought_ms < GIVES_UP_MS]
        if not self.post:
            return None
        piece = self.post.pop(self._choose.randrange(len(self.post)))
        piece.brought_ms = piece.brought_ms or now_ms
        piece.written.begun_ms = piece.written.begun_ms or now_ms
        return piece

    def hear_kept(self, piece: Piece, *, is_calm: bool) -> None:
        written = piece.written
        if piece.position not in written.kept_positions:
            written.kept_positions.add(piece.position)
            written.kept_ms = self._now_ms()
        if not is_calm and piece.copies_count < COPIES_MAX and self._choose.random() < BRINGS_AGAIN:
            piece.copies_count += 1
            self.post.append(piece)

    def notice_clock(self) -> None:
        """It was set: nobody can say any more which segments came in time."""
        for written in self._written.values():
            written.is_disturbed = written.is_disturbed or bool(written.begun_ms)

    # What must hold

    def broken(self, tables: Tables) -> Iterator[str]:
        """Every message from a phone that is not what was written, and every piece that is lost or kept twice."""
        places: dict[tuple[int, int], list[int]] = {}  # of each piece: the messages it is in
        for one in tables.arrived:
            if one.text in WORDS:
                continue
            marks = [(int(number), int(position)) for number, position in MARK.findall(one.text)]
            written = self._written[marks[0][0]] if marks else None
            if written is None or (written.originator, written.recipient) != (one.originator, one.recipient):
                yield f"message {one.id} was written by nobody"
            elif one.text != joined(written.texts, {position for _, position in marks}):
                yield f"message {one.id} is not what was written: {one.text!r}"
            for mark in marks:
                places.setdefault(mark, []).append(one.id)
        waiting = {(int(number), int(position)) for text in tables.segments for number, position in MARK.findall(text)}
        for number, written in self._written.items():
            for position in () if written.is_word else written.kept_positions:
                if (number, position) not in places and (number, position) not in waiting:
                    yield f"segment {position} of what {written.originator} wrote was said to be kept, and is lost"
        for mark in sorted(self._named & places.keys()):
            if len(places[mark]) > 1:
                yield f"segment {mark} was kept {len(places[mark])} times, in messages {places[mark]}"

    def broken_at_the_end(self, tables: Tables) -> Iterator[str]:
        """What came in time is one message, whole."""
        texts = {one.text for one in tables.arrived}
        for written in self._written.values():
            if not written.is_word and written.is_in_time and "".join(written.texts) not in texts:
                yield f"what {written.originator} wrote came in time, and was not put together"


class Said(NamedTuple):
    """A reply code of SMTP, and its text."""

    code: int
    detail: str = "words"


class MailServer:
    """The one that all mail goes to."""

    def __init__(self, choose: random.Random) -> None:
        self.is_calm = False
        self._choose = choose
        self._taken: dict[int, list[str]] = {}  # texts, by the id of the message they tell of
        self._declined: set[int] = set()

    async def post(self, letter: Letter) -> Said:
        fate = "takes it" if self.is_calm else pick(self._choose, MAIL_FATES)
        if fate in ("takes it", "takes it, is not heard"):
            self._taken.setdefault(letter.id, []).append(letter.text)
        if fate in ("takes it, is not heard", "is never there"):
            await asyncio.sleep(10.0)
            return Said(0)
        if fate == "declines":
            self._declined.add(letter.id)
        return Said({"takes it": 250, "is busy": 450, "declines": 550}[fate])

    def broken(self, tables: Tables) -> Iterator[str]:
        """Done means taken, in the right words; failed means declined; nothing is mailed that is not kept."""
        kept = {one.id: one.text for one in tables.arrived}
        for message_id, letters in self._taken.items():
            if message_id not in kept or not all(kept[message_id] in text for text in letters):
                yield f"message {message_id} was mailed, but is not kept so"
        for each in tables.callbacks:
            if each.kind == MAIL and each.state == "done" and each.message_id not in self._taken:
                yield f"mail {each.id} is done, but nobody took it"
            if each.kind == MAIL and each.state == "failed" and each.message_id not in self._declined:
                yield f"mail {each.id} is given up, but nobody declined it"


def joined(texts: Sequence[str], positions: set[int]) -> str:
    """Segments in their order, with one ellipsis for each run of missing ones."""
    places = range(1, len(texts) + 1)
    runs = groupby(places, key=lambda position: position in positions)
    return "".join("".join(texts[each - 1] for each in run) if is_here else GAP for is_here, run in runs)
