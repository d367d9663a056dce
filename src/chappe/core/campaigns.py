"""Many messages from one file: the records of a campaign, the texts with variables it sends, and what a dry run finds.

A campaign is a table of rows (one recipient each) and a text in which `{column}` stands for what a row says there. It
is checked whole before a single message is sent, then handed over in portions.
"""

import re
from array import array
from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from chappe.core.model import Service, State
from chappe.sms.numbers import parse_msisdn

ROWS_MAX = 1_000_000
ROWS_KEPT_MAX = 20_000_000  # of all campaigns of an account
FILE_BYTES_MAX = 256 * 1024 * 1024
COLUMNS_MAX = 100
CELL_MAX = 10_000  # characters
ROW_MAX = 60_000  # characters of all cells of a row, as they stand in the file
COLUMN_NAME_MAX = 100  # characters
TEMPLATE_MAX = 20_000  # characters
FILLED_MAX = 40_000  # characters of a text that is filled in: more than 255 segments hold
NAME_MAX = 100  # characters of a campaign's name
RECIPIENT_MAX = 64  # characters kept of what should have been a number
EXAMPLES_MAX = 5  # of each kind of trouble


class CampaignState(StrEnum):
    """Where a campaign is.

    loading ──► draft ──► checking ──► ready ──► running ──────► done
                  ▲           │          │        ▲  ▼  │          │
                  └───────────┴──────────┘       paused └──────► cancelling ──► cancelled

    Whatever does not move by itself can be removed; a loading one that ended half way removes itself.
    """

    LOADING = "loading"  # its rows are being written
    DRAFT = "draft"  # nobody has said yet what is to be sent
    CHECKING = "checking"  # the dry run
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"  # what still waits is being taken back
    CANCELLED = "cancelled"
    DONE = "done"  # every row was handed over or refused
    REMOVING = "removing"  # shown nowhere any more


AT_REST = (
    CampaignState.DRAFT,
    CampaignState.READY,
    CampaignState.PAUSED,
    CampaignState.CANCELLED,
    CampaignState.DONE,
)
EDITABLE = (CampaignState.DRAFT, CampaignState.CHECKING, CampaignState.READY)


class Step(StrEnum):
    """What somebody may do to a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    REMOVE = "remove"


# From which states each step leads where.
STEPS: Mapping[Step, tuple[tuple[CampaignState, ...], CampaignState]] = {
    Step.START: ((CampaignState.READY,), CampaignState.RUNNING),
    Step.PAUSE: ((CampaignState.RUNNING,), CampaignState.PAUSED),
    Step.RESUME: ((CampaignState.PAUSED,), CampaignState.RUNNING),
    # Of one that is done, messages may still wait: for their time, or for their carrier.
    Step.CANCEL: ((CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.DONE), CampaignState.CANCELLING),
    Step.REMOVE: (
        (CampaignState.DRAFT, CampaignState.READY, CampaignState.CANCELLED, CampaignState.DONE),
        CampaignState.REMOVING,
    ),
}


class CampaignSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a campaign sends, and how its file was read. Columns are counted from 0."""

    text: str = ""  # with {column} in it
    columns: tuple[str, ...] = ()
    recipient_column: int = 0
    originator: str = ""  # empty = the account's first
    service: Service = Service.STANDARD
    scheduled_ms: int = 0  # 0 = as soon as it is started
    delimiter: str = ","
    encoding: str = "utf-8"
    file_name: str = ""


class Problem(StrEnum):
    """Why a row gets no message. The words of the gateway's own refusals are the same as in `core.centre.Refusal`."""

    BAD_RECIPIENT = "bad_recipient"
    DUPLICATE = "duplicate"  # an earlier row has the same number
    BLOCKED = "blocked"
    NO_ROUTE = "no_route"
    INCOMPLETE = "incomplete"  # a column that the text names is empty
    UNEVEN = "uneven"  # more cells than the file has columns
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    OTHER = "other"


class Example(Struct, frozen=True):
    """One row with a problem: its line in the file, its recipient as it was written (or read), and what it is about."""

    line: int
    recipient: str
    detail: str = ""


class Finding(Struct, frozen=True):
    """How many rows have a problem, and the first of them."""

    count: int
    examples: tuple[Example, ...]


class Sample(Struct, frozen=True):
    """A message as it would be sent."""

    line: int
    recipient: str
    text: str
    segments: int
    price_micros: int


class CampaignReport(Struct, frozen=True, kw_only=True):
    """What a dry run found: nothing was kept or charged."""

    rows_count: int
    valid_count: int
    segments: int
    price_micros: int
    currency: str
    available_micros: int  # what its account may spend
    unicode_count: int = 0  # messages that need UCS-2, of which fewer characters fit a segment
    segments_max: int = 0  # of one message
    findings: dict[Problem, Finding] = {}
    samples: tuple[Sample, ...] = ()
    made_ms: int = 0

    @property
    def is_affordable(self) -> bool:
        return self.price_micros <= self.available_micros


class Campaign(Struct, frozen=True, kw_only=True):
    """A campaign as it is now."""

    id: int
    account_id: int
    author: str
    name: str
    state: CampaignState
    settings: CampaignSettings
    rows_count: int = 0
    position: int = 0  # how many rows were handed over or refused; while it is checked, how many were checked
    accepted_count: int = 0
    refused_count: int = 0
    segments: int = 0
    price_micros: int = 0
    first_id: int = 0  # of the messages of the portion that is being handed over
    detail: str = ""  # why it stopped, a word of `core.centre.Refusal` or `Stop`
    report: CampaignReport | None = None
    node_id: int = 0
    made_ms: int = 0
    changed_ms: int = 0


class Stop(StrEnum):
    """Why a campaign stands still, beside the refusals."""

    ASKED = ""
    NO_ACCOUNT = "no_account"  # it was ended


class CampaignRow(Struct, frozen=True):
    """One row. `recipient` is its number where it is one, else what stands there; `values` are its cells."""

    position: int  # from 1
    line: int  # of the file, from 1
    recipient: str
    values: tuple[str, ...]
    message_id: int = 0
    refusal: str = ""


class RowResult(Struct, frozen=True, kw_only=True):
    """A row and its message, as it is now."""

    row: CampaignRow
    state: State | None
    segments: int
    price_micros: int
    sent_ms: int
    final_ms: int
    detail: str


class Trouble(StrEnum):
    """Why a file or a text cannot be taken. Where it is about a line, that is told beside it."""

    EMPTY = "empty"
    SPREADSHEET = "spreadsheet"  # the file of a spreadsheet program itself
    TOO_MANY_ROWS = "too_many_rows"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_COLUMNS = "too_many_columns"
    CELL_TOO_LONG = "cell_too_long"
    ROW_TOO_LONG = "row_too_long"
    OPEN_QUOTE = "open_quote"  # a quoted cell never ends
    NOT_ENCODED = "not_encoded"  # bytes that the encoding does not have
    UNKNOWN_ENCODING = "unknown_encoding"
    UNKNOWN_DELIMITER = "unknown_delimiter"
    NO_RECIPIENT_COLUMN = "no_recipient_column"
    NO_TEXT = "no_text"
    TEXT_TOO_LONG = "text_too_long"
    UNKNOWN_COLUMN = "unknown_column"
    OPEN_BRACE = "open_brace"
    BAD_ORIGINATOR = "bad_originator"
    BAD_TIME = "bad_time"
    TOO_MUCH_KEPT = "too_much_kept"  # the account has to remove campaigns first
    WRONG_STATE = "wrong_state"  # it has moved on meanwhile
    AWAY = "away"  # the store is; the same may work later


class Troubled(Struct, frozen=True, kw_only=True):
    """A trouble, and where: `line` of the file, `word` that it is about, `limit` that was passed."""

    reason: Trouble
    line: int = 0
    word: str = ""
    limit: int = 0


# Texts with variables


class Variable(Struct, frozen=True):
    """The cell of a row that stands in a text; where it is empty, `otherwise` does, and None leaves a hole."""

    column: int
    otherwise: str | None = None


class Template(Struct, frozen=True):
    """A text in pieces."""

    pieces: tuple[str | Variable, ...]

    def fill(self, values: Sequence[str]) -> str | int:
        """The text for a row; or the column (from 0) that is empty and must not be. One that no message can be sent
        with is cut off where that is certain: a short row must not grow into megabytes."""
        filled: list[str] = []
        length = 0
        for piece in self.pieces:
            if isinstance(piece, str):
                word = piece
            else:
                word = values[piece.column] if piece.column < len(values) else ""
                if not word and piece.otherwise is None:
                    return piece.column
                word = word or piece.otherwise or ""
            filled.append(word)
            length += len(word)
            if length > FILLED_MAX:
                return "".join(filled)[: FILLED_MAX + 1]
        return "".join(filled)


PIECES = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")
LITERAL = {"{{": "{", "}}": "}"}


def parse_template(text: str, columns: Sequence[str]) -> Template | Troubled:
    """`{name}` is the column of that name, however it is capitalised; `{name|there}` says what stands for an empty one;
    `{{` and `}}` are the braces themselves."""
    if len(text) > TEMPLATE_MAX:
        return Troubled(reason=Trouble.TEXT_TOO_LONG, limit=TEMPLATE_MAX)
    places = {name.casefold(): place for place, name in reversed(list(enumerate(columns)))}
    pieces: list[str | Variable] = []
    for piece in PIECES.split(text):
        if piece in LITERAL:
            pieces.append(LITERAL[piece])
        elif piece in ("{", "}"):
            return Troubled(reason=Trouble.OPEN_BRACE, word=piece)
        elif piece.startswith("{"):
            name, bar, otherwise = piece[1:-1].partition("|")
            place = places.get(name.strip().casefold())
            if place is None:
                return Troubled(reason=Trouble.UNKNOWN_COLUMN, word=name.strip()[:COLUMN_NAME_MAX])
            pieces.append(Variable(place, otherwise if bar else None))
        elif piece:
            pieces.append(piece)
    return Template(tuple(pieces))


# Numbers as they stand in spreadsheets

NATIONAL_DIGITS_MIN = 9  # what must be left behind a country code for it to be one
INTERNATIONAL_DIGITS_MIN = 12  # national numbers are shorter, so one that begins with another country's code is no such
TRUNK = {"7": "8", "39": "", "378": ""}  # what is dialled before a national number; elsewhere a zero
FLOAT = re.compile(r"[0-9]+\.0+").fullmatch  # a number that a spreadsheet took for an amount


def read_number(written: str, country: str) -> str | None:
    """The digits of a number as people write it, or None. `country` is the calling code of whoever wrote it, by which
    national numbers are completed; empty: every number has one already."""
    written = written.strip().lstrip("'=").strip('"').strip()
    if FLOAT(written):
        written = written.partition(".")[0]
    number = parse_msisdn(written)
    if not country or written.startswith(("+", "00")):
        return number
    digits = number or (parse_msisdn(f"1{written}") or "")[1:]  # one that begins with a zero is read behind a digit
    return parse_msisdn(completed(digits, country), strict=True) if digits else None


def completed(digits: str, country: str) -> str:
    """A number without a prefix, with its country's code: the one it has already, or the one of whoever wrote it."""
    if digits.startswith(country) and len(digits) - len(country) >= NATIONAL_DIGITS_MIN:
        return digits
    trunk = TRUNK.get(country, "0")
    if not digits.startswith(trunk or "0") and len(digits) >= INTERNATIONAL_DIGITS_MIN:
        return digits
    is_with_trunk = trunk and digits.startswith(trunk) and (trunk == "0" or len(digits) == 11)
    return country + (digits[len(trunk) :] if is_with_trunk else digits)


class SeenNumbers:
    """Which numbers came already: a hash table in one flat array, because a million in a set take ten times as much."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 12))
        self._bits = 12
        self._count = 0

    def add(self, number: str) -> bool:
        """Whether a number of at most 15 digits is new."""
        if self._count * 2 >= len(self._slots):
            self._grow()
        is_new = put(self._slots, self._bits, int(number) + 1)
        self._count += is_new
        return is_new

    def _grow(self) -> None:
        self._bits += 1
        larger = array("Q", bytes(8 << self._bits))
        for value in self._slots:
            if value:
                put(larger, self._bits, value)
        self._slots = larger


def put(slots: "array[int]", bits: int, value: int) -> bool:
    place = (value * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> (64 - bits)
    mask = (1 << bits) - 1
    while slots[place]:
        if slots[place] == value:
            return False
        place = place + 1 & mask
    slots[place] = value
    return True
