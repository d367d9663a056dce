"""Files as people save them: every oddity is read, or refused with its line."""

import io
import tracemalloc
from typing import Any

import pytest

from chappe.core.campaigns import CELL_MAX, COLUMNS_MAX, ROW_MAX, Trouble, Troubled
from chappe.gateway import campaign_file
from chappe.gateway.campaign_file import BadFile, Choices, Sheet

A, B = "393471234567", "393471234568"


def read(content: bytes | str, **choices: Any) -> Sheet:
    return Sheet(io.BytesIO(content.encode() if isinstance(content, str) else content), Choices(**choices))


def rows_of(sheet: Sheet) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(row.line, row.recipient, row.values) for row in sheet.rows()]


def trouble_of(content: bytes | str, **choices: Any) -> Troubled:
    with pytest.raises(BadFile) as caught:
        list(read(content, **choices).rows())
    return caught.value.troubled


PLAIN = f"phone,name\n{A},Mario\n"
ROWS = [(2, A, (A, "Mario"))]


@pytest.mark.parametrize(
    "content, encoding, delimiter, rows",
    [
        (PLAIN, "utf-8", ",", ROWS),
        (PLAIN.replace(",", ";"), "utf-8", ";", ROWS),
        (PLAIN.replace(",", "\t"), "utf-8", "\t", ROWS),
        (PLAIN.replace(",", "|"), "utf-8", "|", ROWS),
        (PLAIN.replace("\n", "\r\n"), "utf-8", ",", ROWS),
        (PLAIN.replace("\n", "\r"), "utf-8", ",", ROWS),
        (PLAIN.rstrip("\n"), "utf-8", ",", ROWS),
        ("\ufeff" + PLAIN, "utf-8", ",", ROWS),
        (PLAIN.replace(",", "\t").encode("utf-16"), "utf-16", "\t", ROWS),
        ("sep=;\r\n" + PLAIN.replace(",", ";"), "utf-8", ";", [(3, A, (A, "Mario"))]),
        (f"phone;name\n{A};Rossi, Mario\n{B};Bianchi, Anna\n", "utf-8", ";", None),
        (f'phone,name\n{A},"Rossi, ""Mario"""\n', "utf-8", ",", [(2, A, (A, 'Rossi, "Mario"'))]),
        (
            f'phone,name\n{A},"two\r\nlines"\n{B},x\n',
            "utf-8",
            ",",
            [(2, A, (A, "two\nlines")), (4, B, (B, "x"))],
        ),
        (f"phone,name\n\n,\n  ,\t\n{A},Mario\n\n\n", "utf-8", ",", [(5, A, (A, "Mario"))]),
        (f"phone,name\n{A}\n{B},x,y\n", "utf-8", ",", [(2, A, (A,)), (3, B, (B, "x", "y"))]),
        (f"phone,name\n {A} , Mario \n", "utf-8", ",", ROWS),
        (f"phone,name\n{A},Ma\0rio\n", "utf-8", ",", ROWS),
        (f"phone;città\n{A};Cefalù è qui\n".encode("cp1252"), "windows-1252", ";", [(2, A, (A, "Cefalù è qui"))]),
        (f"phone;prezzo\n{A};10 €\n".encode("cp1252"), "windows-1252", ";", [(2, A, (A, "10 €"))]),
        (
            f"телефон;имя\n{A};Ёлка Иван\n".encode("cp1251"),
            "windows-1251",
            ";",
            [(2, A, (A, "Ёлка Иван"))],
        ),
        (f"phone,name\n{A},Иван\n", "utf-8", ",", [(2, A, (A, "Иван"))]),
        (f"phone,name\n{A},😀\n", "utf-8", ",", [(2, A, (A, "😀"))]),
        (f"{A}\n{B}\n", "utf-8", ",", [(1, A, (A,)), (2, B, (B,))]),
        (f"{A};Mario\n{B};Anna\n", "utf-8", ";", [(1, A, (A, "Mario")), (2, B, (B, "Anna"))]),
        (f"phone,name\nnobody,Mario\n{A},x\n", "utf-8", ",", [(2, "nobody", ("nobody", "Mario")), (3, A, (A, "x"))]),
        (f"phone,name\n{A},=cmd|calc\n", "utf-8", ",", [(2, A, (A, "=cmd|calc"))]),
    ],
)
def test_files_are_read_as_people_save_them(
    content: bytes | str, encoding: str, delimiter: str, rows: list[Any] | None
) -> None:
    """Delimiter, encoding, quotes, line ends and gaps are found out, and every row has its line in the file."""
    sheet = read(content)
    assert (sheet.encoding, sheet.delimiter) == (encoding, delimiter)
    assert rows is None or rows_of(sheet) == rows


@pytest.mark.parametrize(
    "content, columns, place",
    [
        (f"name,phone\nx,{A}\n", ("name", "phone"), 1),
        (f"Nome;Cellulare;Ordine\nx;{A};123456789\n", ("Nome", "Cellulare", "Ordine"), 1),
        (f"Имя;Телефон\nx;{A}\n", ("Имя", "Телефон"), 1),
        (f"a,b\nx,{A}\n", ("a", "b"), 1),
        (f"a,a,,{{b}}\n{A},x,y,z\n", ("a", "a (2)", "3", "b"), 0),
        (f"a,b,,\n{A},x,,\n", ("a", "b"), 0),
        (f"x,{A}\n", ("1", "2"), 1),
        (f"only\n{A}\n", ("only",), 0),
    ],
)
def test_columns_are_told(content: str, columns: tuple[str, ...], place: int) -> None:
    """Columns have the names of the first line, or their places; the numbers are found by name and by looks."""
    sheet = read(content)
    assert (sheet.columns, sheet.recipient_column) == (columns, place)


@pytest.mark.parametrize(
    "content, choices, troubled",
    [
        ("", {}, Troubled(reason=Trouble.EMPTY)),
        ("\n\n \n", {}, Troubled(reason=Trouble.EMPTY)),
        (b"PK\x03\x04\x14\0\x06\0", {}, Troubled(reason=Trouble.SPREADSHEET)),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", {"encoding": "utf-8"}, Troubled(reason=Trouble.SPREADSHEET)),
        ("a,b\nx,y\n", {}, Troubled(reason=Trouble.NO_RECIPIENT_COLUMN)),
        (PLAIN, {"recipient_column": "tel"}, Troubled(reason=Trouble.NO_RECIPIENT_COLUMN, word="tel")),
        (PLAIN, {"encoding": "rot13"}, Troubled(reason=Trouble.UNKNOWN_ENCODING, word="rot13")),
        (PLAIN, {"delimiter": "ab"}, Troubled(reason=Trouble.UNKNOWN_DELIMITER, word="ab")),
        (PLAIN, {"delimiter": '"'}, Troubled(reason=Trouble.UNKNOWN_DELIMITER, word='"')),
        (
            PLAIN.encode() + b"x,\xff\n",
            {"encoding": "utf-8"},
            Troubled(reason=Trouble.NOT_ENCODED, line=3, word="utf-8"),
        ),
        (PLAIN.encode() + b"x,\x81\x98\n", {}, Troubled(reason=Trouble.NOT_ENCODED, line=3, word="utf-8")),
        (f'phone,name\n{A},"x\n{B},y\n', {}, Troubled(reason=Trouble.OPEN_QUOTE, line=2)),
        (
            f"phone,name\n{A},{'x' * (CELL_MAX + 1)}\n",
            {},
            Troubled(reason=Trouble.CELL_TOO_LONG, line=2, limit=CELL_MAX),
        ),
        (
            f"phone,name\n{A},{'x' * (ROW_MAX + 1)}\n",
            {},
            Troubled(reason=Trouble.ROW_TOO_LONG, line=2, limit=ROW_MAX),
        ),
        (
            f"phone,name\n{A},x\n{B}{',x' * COLUMNS_MAX}\n",
            {},
            Troubled(reason=Trouble.TOO_MANY_COLUMNS, line=3, limit=COLUMNS_MAX),
        ),
        (
            f"phone,name\n{A}" + ',"\n"' * ROW_MAX,
            {},
            Troubled(reason=Trouble.ROW_TOO_LONG, line=0, limit=ROW_MAX),
        ),
    ],
)
def test_what_cannot_be_taken_is_told(content: bytes | str, choices: dict[str, str], troubled: Troubled) -> None:
    """A file that cannot be taken is refused with the reason, the line and the limit."""
    found = trouble_of(content, **choices)
    assert (found.reason, found.word, found.limit) == (troubled.reason, troubled.word, troubled.limit)
    assert found.line == troubled.line or not troubled.line


def test_rows_and_octets_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with a row or an octet too many is refused, and one at the limit is not."""
    monkeypatch.setattr(campaign_file, "ROWS_MAX", 2)
    assert len(rows_of(read(f"phone\n{A}\n{B}\n"))) == 2
    assert trouble_of(f"phone\n{A}\n{B}\n{A}\n") == Troubled(reason=Trouble.TOO_MANY_ROWS, line=4, limit=2)
    monkeypatch.setattr(campaign_file, "FILE_BYTES_MAX", 20)
    assert trouble_of(f"phone\n{A}\n{B}\n").reason is Trouble.TOO_MANY_BYTES


def test_a_line_without_end_fills_no_memory() -> None:
    """A file that is one line of fifty megabytes is refused without being held."""
    content = io.BytesIO(b"phone,name\n" + b"x" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(BadFile):
            Sheet(content, Choices())
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()


def test_national_numbers_are_completed() -> None:
    """Numbers without a country code get that of the account."""
    assert rows_of(read("phone\n3471234567\n", country="39")) == [(2, A, ("3471234567",))]


def test_columns_may_be_named_from_outside() -> None:
    """A file whose columns somebody names has no line of names."""
    sheet = read(f"nobody\n{A}\n", columns=("number",))
    assert sheet.columns == ("number",)
    assert rows_of(sheet) == [(1, "nobody", ("nobody",)), (2, A, (A,))]
