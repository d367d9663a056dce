"""Form coding, words, money and statuses: what every dialect is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.centre import Refusal, Refused, Uncertain
from chappe.core.model import State
from chappe.dialects.base import (
    ANSWER_SIZE_MAX,
    FIELDS_MAX,
    Failure,
    Headers,
    HttpRequest,
    HttpResponse,
    Reply,
    Words,
    answer_text,
    decimal_of,
    detail_of,
    encode_form,
    fields_of,
    form_request,
    micros_of,
    multipart_fields,
    numbers_of,
    text_of,
    texts_of,
    urlencoded_fields,
)

URLENCODED = [
    # written, read
    (b"a=1&b=2", {b"a": b"1", b"b": b"2"}),
    (b"a=1+2%2B3", {b"a": b"1 2+3"}),
    (b"a=100%&b=%zz&c=%4", {b"a": b"100%", b"b": b"%zz", b"c": b"%4"}),
    (b"a=1&a=2", {b"a": b"2"}),
    (b"a", {b"a": b""}),
    (b"a=b=c", {b"a": b"b=c"}),
    (b"&&=x&a=1&", {b"a": b"1"}),
    (b"%61+b=\xe9", {b"a b": b"\xe9"}),
    (b"", {}),
]


@pytest.mark.parametrize("written, read", URLENCODED)
def test_urlencoded_fields_are_read(written: bytes, read: dict[bytes, bytes]) -> None:
    """A form is read as browsers write it; what is broken in it stays as it is."""
    assert urlencoded_fields(written) == read


NAME = b'Content-Disposition: form-data; name="a"\r\n\r\n'
MULTIPART = [
    # body, read
    (b"--x\r\n" + NAME + b"1\r\n--x--\r\n", {b"a": b"1"}),
    (b"--x\r\n" + NAME + b"1\r\n2\r\n\r\n3\r\n--x--", {b"a": b"1\r\n2\r\n\r\n3"}),
    (b"--x\r\n" + NAME + b"1\r\n--x\r\n" + NAME + b"2\r\n--x--", {b"a": b"2"}),
    (b"--x\r\n" + NAME.replace(b'"a"', b"a").lower() + b"1\r\n--x--", {b"a": b"1"}),
    (b"--x\r\nContent-Type: text/plain\r\n" + NAME + b"1\r\n--x--", {b"a": b"1"}),
    (b"a preamble\r\n--x\r\n" + NAME + b"1\r\n--x--\r\nan epilogue", {b"a": b"1"}),
    (b"--x\r\n" + NAME + b"1", {b"a": b"1"}),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--", {}),
    (b"--x\r\n" + NAME.strip() + b"\r\n--x--", {}),
    (b"--y\r\n" + NAME + b"1\r\n--y--", {}),
    (b"", {}),
]


@pytest.mark.parametrize("body, read", MULTIPART)
def test_multipart_fields_are_read(body: bytes, read: dict[bytes, bytes]) -> None:
    """The simple fields of a multipart body are read, line ends in values included; what has no name is dropped."""
    assert multipart_fields(body, b"multipart/form-data; boundary=x") == read


@pytest.mark.parametrize("boundary_size, is_read", [(0, False), (1, True), (200, True), (201, False)])
def test_a_multipart_body_needs_a_boundary_of_bearable_length(boundary_size: int, is_read: bool) -> None:
    """Without a boundary, or with one of more than 200 bytes, there are no fields."""
    boundary = b"x" * boundary_size
    body = b"--" + boundary + b"\r\n" + NAME + b"1\r\n--" + boundary + b"--"
    assert bool(multipart_fields(body, b"multipart/form-data; boundary=" + boundary)) == is_read


def test_fields_are_limited() -> None:
    """Of more than 200 fields only the first 200 are read, in a form and in a multipart body."""
    names = [str(index).encode() for index in range(FIELDS_MAX + 5)]
    body = (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n1\r\n' % name for name in names) + b"--x--"
    )
    assert list(urlencoded_fields(b"&".join(names))) == names[:FIELDS_MAX]
    assert list(multipart_fields(body, b"multipart/form-data; boundary=x")) == names[:FIELDS_MAX]


FORM: Headers = ((b"Content-Type", b"application/x-www-form-urlencoded"),)


def test_the_body_wins_over_the_query() -> None:
    """Query and body are merged; where both have a name, the body's value is taken."""
    request = HttpRequest(method="POST", path="/", query=b"a=1&b=2", headers=FORM, body=b"b=3&c=4")
    assert fields_of(request) == {b"a": b"1", b"b": b"3", b"c": b"4"}


@given(fields=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(), max_size=20))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    """Any text survives a form, in a body and in a query; half a character becomes a question mark."""
    expected = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    for method in ("GET", "POST"):
        request = form_request(method, "http://127.0.0.1/", fields)
        assert texts_of(fields_of(request)) == expected
        assert (request.query + request.body) == encode_form(fields)
        assert all(0x21 <= octet <= 0x7E for octet in request.query)


URLS = [
    # method, URL, what is asked for
    ("POST", "http://h:9000/a?x=1", "http://h:9000/a?x=1"),
    ("GET", "http://h/a?x=1", "http://h/a?x=1&n=v"),
    ("GET", "http://h", "http://h/?n=v"),
    ("GET", "http://h/a%20b", "http://h/a%20b?n=v"),
    ("POST", "http://h/a b\u00e9?q=\u20ac \ud800", "http://h/a%20b%C3%A9?q=%E2%82%AC%20?"),
    ("POST", "http://h/a\r\nx: y", "http://h/ax:%20y"),
]


@pytest.mark.parametrize("method, url, asked", URLS, ids=range(len(URLS)))
def test_a_url_is_safe_for_a_request_line(method: str, url: str, asked: str) -> None:
    """What a URL of the configuration holds beyond ASCII is percent-encoded; what is encoded already stays."""
    assert form_request(method, url, {"n": "v"}).url == asked


@pytest.mark.parametrize(
    "octets, text", [(b"a", "a"), ("é€😀".encode(), "é€😀"), (b"\xe9\x80", "é€"), (b"\x81\xe9", "\ufffdé"), (b"", "")]
)
def test_bytes_become_text(octets: bytes, text: str) -> None:
    """UTF-8 where it is valid, windows-1252 where it is not: wire 1.4."""
    assert text_of(octets) == text


@pytest.mark.parametrize(
    "field, separators, numbers",
    [
        ("1,2", ",", ("1", "2")),
        (" 1 ;\t2,", ",;", ("1", "2")),
        ("1;2", ",", ("1;2",)),
        (" , ,", ",", ()),
        ("", ",", ()),
    ],
)
def test_a_list_of_numbers_is_taken_apart(field: str, separators: str, numbers: tuple[str, ...]) -> None:
    """Numbers are split by the dialect's separators alone, freed of blanks, and nothing is made of nothing."""
    assert numbers_of(field, separators) == numbers


def test_words_are_read_and_written_by_one_table() -> None:
    """A word is read as its first meaning; a meaning is written as the first word that has it."""
    words = Words({"01": (State.DELIVERED,), "04": (State.UNDELIVERABLE, State.EXPIRED), "02": (State.UNDELIVERABLE,)})
    assert words.meanings == {"01": State.DELIVERED, "04": State.UNDELIVERABLE, "02": State.UNDELIVERABLE}
    assert words.words == {State.DELIVERED: "01", State.UNDELIVERABLE: "04", State.EXPIRED: "04"}


MONEY = [
    # millionths, decimals at most, written
    (0, 4, "0.00"),
    (12_500_000, 4, "12.50"),
    (12_345_678, 4, "12.3456"),
    (12_345_678, 6, "12.345678"),
    (99, 4, "0.00"),
    (-1, 4, "-0.0001"),
    (-12_500_000, 4, "-12.50"),
]


@pytest.mark.parametrize("amount_micros, decimals_max, written", MONEY)
def test_money_is_written(amount_micros: int, decimals_max: int, written: str) -> None:
    """Two decimals at least, rounded down, with a point and nothing else."""
    assert decimal_of(amount_micros, decimals_max) == written


@given(amount_micros=st.integers(-(10**17), 10**17))
def test_money_is_read_as_it_was_written(amount_micros: int) -> None:
    """With six decimals no millionth is lost."""
    assert micros_of(decimal_of(amount_micros, 6)) == amount_micros


@pytest.mark.parametrize("written", ["", "x", "1,5", "1.", ".5", "1e3", "nan", "٣", "1 ", "+1", "1" * 13])
def test_what_is_no_money_is_not_read(written: str) -> None:
    """Only plain decimal numbers of bearable length are money."""
    assert micros_of(written) is None


RETRY: Headers = ((b"Retry-After", b"7"),)
DATE: Headers = ((b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT"),)
STATUSES: list[tuple[Reply, str | Refused | Uncertain]] = [
    (HttpResponse(body=b"01"), "01"),
    (HttpResponse(status=202, body=b"\xe9"), "é"),
    (HttpResponse(), Uncertain("an answer of 0 bytes")),
    (HttpResponse(body=b"a" * (ANSWER_SIZE_MAX + 1)), Uncertain("an answer of 65537 bytes")),
    (HttpResponse(status=302), Refused(Refusal.INTERNAL, "HTTP 302")),
    (HttpResponse(status=401), Refused(Refusal.INTERNAL, "HTTP 401")),
    (HttpResponse(status=429), Refused(Refusal.THROTTLED, "HTTP 429")),
    (HttpResponse(status=429, headers=RETRY), Refused(Refusal.THROTTLED, "HTTP 429", 7.0)),
    (HttpResponse(status=429, headers=DATE), Refused(Refusal.THROTTLED, "HTTP 429")),
    (
        HttpResponse(status=429, headers=((b"retry-after", b"999999999"),)),
        Refused(Refusal.THROTTLED, "HTTP 429", 86_400.0),
    ),
    (HttpResponse(status=429, headers=((b"retry-after", b"9" * 5000),)), Refused(Refusal.THROTTLED, "HTTP 429")),
    (HttpResponse(status=503, headers=RETRY), Refused(Refusal.OVERLOADED, "HTTP 503", 7.0)),
    (HttpResponse(status=503), Uncertain("HTTP 503")),
    (HttpResponse(status=500, headers=RETRY), Uncertain("HTTP 500")),
    (HttpResponse(status=101), Uncertain("HTTP 101")),
    (Failure(is_certain=True, detail="no route to host"), Refused(Refusal.UNREACHABLE, "no route to host")),
    (Failure(is_certain=False, detail="no answer in 30 s"), Uncertain("no answer in 30 s")),
]


@pytest.mark.parametrize("reply, meaning", STATUSES)
def test_a_status_has_a_meaning(reply: Reply, meaning: str | Refused | Uncertain) -> None:
    """2xx is read; a plain no is a refusal; whatever may stand behind a message that was taken is uncertain."""
    assert answer_text(reply) == meaning


def test_a_carriers_words_are_fit_to_be_shown() -> None:
    """One line of printable characters, at most 200 of them."""
    assert detail_of("a\r\n\0 b\x1b[31m" + "c" * 1000) == "a b [31m" + "c" * 192
