"""Tables as people save them: delimiter and encoding are found out, rows are read one by one, whatever is too much of
anything is refused with its line.

Nothing here holds more than a row and a piece of the file. It reads from a file that can be rewound, in the calling
thread: a first pass tells the encoding, the second one reads.
"""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from msgspec import Struct

from chappe.core.campaigns import (
    CELL_MAX,
    COLUMN_NAME_MAX,
    COLUMNS_MAX,
    FILE_BYTES_MAX,
    RECIPIENT_MAX,
    ROW_MAX,
    ROWS_MAX,
    CampaignRow,
    Trouble,
    Troubled,
    read_number,
)

PIECE_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18  # by which delimiter and columns are told
SAMPLE_ROWS = 50
DELIMITERS = "\t;|,"  # where two fit equally well, the one that is rarer in texts
CYRILLIC, WESTERN = "windows-1251", "windows-1252"
ENCODINGS = ("utf-8", WESTERN, CYRILLIC, "utf-16", "iso-8859-1", "iso-8859-15", "koi8-r")
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how the files of Excel and LibreOffice begin
# Letters beyond ASCII: in a Cyrillic text they stand side by side, in an Italian or French one nearly always alone.
HIGH_LETTERS = re.compile(rb"[\xc0-\xff\xa8\xb8]+")
SEPARATOR_HINT = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # what Excel writes above a table
UNNAMEABLE = str.maketrans("{}|", "   ")
RECIPIENT_NAMES = re.compile(
    r"phone|mobile|msisdn|recipient|cell|\btel|^to$|number|numero|numeri|telefono|destinatari|rufnummer|handy|móvil|"
    r"телефон|номер|мобил|получател|\bтел\b",
    re.IGNORECASE,
)


class Choices(Struct, frozen=True, kw_only=True):
    """What whoever brings a file says about it; empty = find it out."""

    delimiter: str = ""
    encoding: str = ""
    recipient_column: str = ""  # its name
    country: str = ""  # calling code that national numbers are completed with
    columns: tuple[str, ...] = ()  # names, where the file has no line of them


class BadFile(Exception):
    """The file cannot be taken; `troubled` says why and where."""

    def __init__(self, troubled: Troubled) -> None:
        super().__init__(troubled.reason.value)
        self.troubled = troubled


def bad(reason: Trouble, line: int = 0, word: str = "", limit: int = 0) -> BadFile:
    return BadFile(Troubled(reason=reason, line=line, word=word, limit=limit))


class Sheet:
    """A table in a file: how it is read, what its columns are called, where the numbers stand. Raises BadFile."""

    def __init__(self, file: BinaryIO, choices: Choices) -> None:
        self._file = file
        self._country = choices.country
        self.encoding = tell_encoding(file, choices.encoding)
        sample = sample_of(file, self.encoding)
        hint = SEPARATOR_HINT.match(sample)
        self.delimiter = choices.delimiter or (hint[1] if hint else tell_delimiter(sample))
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise bad(Trouble.UNKNOWN_DELIMITER, word=choices.delimiter[:10])
        with contextlib.closing(self._cells()) as cells:
            beginning = list(islice(cells, SAMPLE_ROWS))
        if not beginning:
            raise bad(Trouble.EMPTY)
        first = beginning[0][1]
        self._has_header = not choices.columns and not any(read_number(cell, self._country) for cell in first)
        self.columns = named(choices.columns or (trimmed(first) if self._has_header else [""] * len(first)))
        rows = [cells for _, cells in beginning[self._has_header :]]
        self.recipient_column = self._find_recipients(choices.recipient_column, rows)

    def rows(self) -> Iterator[CampaignRow]:
        """Every row that is not empty, in order. Raises BadFile."""
        numbered = enumerate(self._cells(), 0 if self._has_header else 1)
        column, country = self.recipient_column, self._country
        for position, (line, cells) in numbered:
            if not position:
                continue
            if position > ROWS_MAX:
                raise bad(Trouble.TOO_MANY_ROWS, line, limit=ROWS_MAX)
            written = cells[column] if column < len(cells) else ""
            yield CampaignRow(position, line, recipient_of(written, country), tuple(cells))

    def _find_recipients(self, wanted: str, rows: Sequence[Sequence[str]]) -> int:
        if wanted:
            names = [name.casefold() for name in self.columns]
            if wanted.strip().casefold() not in names:
                raise bad(Trouble.NO_RECIPIENT_COLUMN, word=wanted[:COLUMN_NAME_MAX])
            return names.index(wanted.strip().casefold())
        if len(self.columns) == 1:
            return 0
        shares = [self._share_of_numbers(place, rows) for place in range(len(self.columns))]
        scores = [
            share + (1 if RECIPIENT_NAMES.search(name) else 0) for share, name in zip(shares, self.columns, strict=True)
        ]
        best = max(range(len(scores)), key=lambda place: (scores[place], -place))
        if scores[best] < 0.5:
            raise bad(Trouble.NO_RECIPIENT_COLUMN)
        return best

    def _share_of_numbers(self, place: int, rows: Sequence[Sequence[str]]) -> float:
        found = sum(place < len(cells) and read_number(cells[place], self._country) is not None for cells in rows)
        return found / len(rows) if rows else 0.0

    def _cells(self) -> Generator[tuple[int, list[str]], None, None]:
        """The cells of each row that has any, with the line it begins at."""
        source = Lines(self._file, self.encoding)
        reader = csv.reader(source, delimiter=self.delimiter)
        line = 1
        try:
            for cells in reader:
                if source.is_over:
                    raise bad(Trouble.OPEN_QUOTE, line)
                source.begin_row()
                if any(cells) and not is_blank(cells) and not (line == 1 and self._is_hint(cells)):
                    yield line, checked(cells, line)
                line = reader.line_num + 1
        except csv.Error:  # its own limit, far above ours
            raise bad(Trouble.CELL_TOO_LONG, line, limit=CELL_MAX) from None
        finally:
            source.close()

    def _is_hint(self, cells: list[str]) -> bool:
        return SEPARATOR_HINT.fullmatch(self.delimiter.join(cells)) is not None


class Lines:
    """The lines of a file from its beginning, each with its end; the file stays open. Raises BadFile."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        self._count = 0
        self._row_size = 0
        self.is_over = False

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(ROW_MAX + 1)
        if not line:
            self.is_over = self._row_size > 0
            raise StopIteration
        self._count += 1
        self._row_size += len(line)
        if self._row_size > ROW_MAX:
            raise bad(Trouble.ROW_TOO_LONG, self._count, limit=ROW_MAX)
        return line.replace("\0", "") if "\0" in line else line

    def begin_row(self) -> None:
        self._row_size = 0

    def close(self) -> None:
        with contextlib.suppress(ValueError):  # somebody closed the file
            self._text.detach()


def is_blank(cells: list[str]) -> bool:
    return not any(cell and not cell.isspace() for cell in cells)


def checked(cells: list[str], line: int) -> list[str]:
    if len(cells) > COLUMNS_MAX:
        cells = trimmed(cells)
        if len(cells) > COLUMNS_MAX:
            raise bad(Trouble.TOO_MANY_COLUMNS, line, limit=COLUMNS_MAX)
    for cell in cells:
        if len(cell) > CELL_MAX:
            raise bad(Trouble.CELL_TOO_LONG, line, limit=CELL_MAX)
    return [cell.strip().replace("\r\n", "\n") for cell in cells]


def trimmed(cells: list[str]) -> list[str]:
    """Without the empty cells at the end, of which spreadsheets write any number."""
    count = len(cells)
    while count and not cells[count - 1].strip():
        count -= 1
    return cells[:count]


def recipient_of(written: str, country: str) -> str:
    """The number, or the beginning of what stands in its place."""
    return read_number(written, country) or written[:RECIPIENT_MAX]


def named(names: Sequence[str]) -> tuple[str, ...]:
    """Columns by their names: one without is called by its place, of two with the same the second is told apart."""
    taken: dict[str, int] = {}
    result = []
    for place, written in enumerate(names, 1):
        name = " ".join(written.translate(UNNAMEABLE).split())[:COLUMN_NAME_MAX] or str(place)
        count = taken[name.casefold()] = taken.get(name.casefold(), 0) + 1
        result.append(name if count == 1 else f"{name} ({count})")
    return tuple(result)


# How it is written


def tell_encoding(file: BinaryIO, wanted: str) -> str:
    """The encoding that somebody names, or the first likely one that has all octets of the file. Raises BadFile."""
    file.seek(0)
    head = file.read(4)
    if not head:
        raise bad(Trouble.EMPTY)
    if head in SPREADSHEETS:
        raise bad(Trouble.SPREADSHEET)
    marked = next((encoding for mark, encoding in MARKS if head.startswith(mark)), "")
    if wanted and wanted not in ENCODINGS:
        raise bad(Trouble.UNKNOWN_ENCODING, word=wanted[:COLUMN_NAME_MAX])
    if wanted or marked:
        chosen = wanted or marked
        line = first_bad_line(file, chosen)
        if line:
            raise bad(Trouble.NOT_ENCODED, line, word=chosen)
        return chosen
    line = first_bad_line(file, "utf-8")
    if not line:
        return "utf-8"
    first, second = (CYRILLIC, WESTERN) if is_cyrillic(file) else (WESTERN, CYRILLIC)
    if not first_bad_line(file, first):
        return first
    if not first_bad_line(file, second):
        return second
    raise bad(Trouble.NOT_ENCODED, line, word="utf-8")


def first_bad_line(file: BinaryIO, encoding: str) -> int:
    """The first line with octets that an encoding does not have; 0 = there is none."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    size, lines = 0, 0
    while True:
        piece = file.read(PIECE_BYTES)
        size += len(piece)
        if size > FILE_BYTES_MAX:
            raise bad(Trouble.TOO_MANY_BYTES, limit=FILE_BYTES_MAX)
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            return lines + error.object.count(b"\n", 0, error.start) + 1
        if not piece:
            return 0
        lines += piece.count(b"\n")


def is_cyrillic(file: BinaryIO) -> bool:
    """Whether octets beyond ASCII look like Cyrillic letters rather than accented ones."""
    file.seek(0)
    runs = HIGH_LETTERS.findall(file.read(PIECE_BYTES * 4))
    alone = sum(len(run) == 1 for run in runs)
    return sum(map(len, runs)) - alone > alone


def sample_of(file: BinaryIO, encoding: str) -> str:
    """The first lines of a file."""
    file.seek(0)
    octets = file.read(SAMPLE_BYTES)
    text = octets.decode("utf-8-sig" if encoding == "utf-8" else encoding, "ignore")
    if len(octets) < SAMPLE_BYTES:
        return text
    return text[: text.rfind("\n") + 1] or text


def tell_delimiter(sample: str) -> str:
    """What parts the cells: the one by which most rows have as many as the first, and more than one."""
    fits = {delimiter: fit_of(sample, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: fits[delimiter])
    return best if fits[best] > (0.0, 1) else ","


def fit_of(sample: str, delimiter: str) -> tuple[float, int]:
    try:
        rows = [cells for cells in islice(csv.reader(io.StringIO(sample), delimiter=delimiter), SAMPLE_ROWS) if cells]
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, 0
    return sum(len(cells) == width for cells in rows) / len(rows), width
