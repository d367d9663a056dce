"""What is peculiar to SMS Centre: its charsets and formats, its dates and control values, and what it would misread."""

import itertools
import json
import re
from datetime import UTC, datetime

import msgspec
import pytest

from chappe.core.centre import (
    Accepted,
    Balance,
    Call,
    Cancelled,
    FetchBalance,
    InboundMessages,
    ListMessages,
    Outcome,
    Quote,
    Refusal,
    Refused,
    Reports,
    Statistics,
    Submit,
    Ticket,
    Uncertain,
)
from chappe.core.model import Account, Coding, Inbound, Receipt, Report, Secret, State, Submission
from chappe.dialects.base import CallbackTarget, HttpRequest, HttpResponse, Reply, encode_form, fields_of, run
from chappe.dialects.smscentre import SMSCENTRE, facts, formats
from chappe.dialects.smscentre.callbacks import CONTROLS, control_value
from chappe.dialects.smscentre.south import api_url
from chappe.dialects.smscentre.times import read_validity_s, read_window, written_validity
from chappe.sms.segments import STANDARD, count
from chappe.sms.translit import LOOK_ALIKE, PHONETIC, transliterate
from dialects.centres import ACCOUNT, ScriptedCentre, answer_north, upstream_of
from dialects.fidelity import INBOUND, REPORT, SUBMISSION

ONE = Accepted((Ticket(recipient="447700900002", reference="9001"),), "9001")
IN_MOSCOW = msgspec.structs.replace(ACCOUNT, timezone="Europe/Moscow")
IN_ROME = msgspec.structs.replace(ACCOUNT, timezone="Europe/Rome")
LOGIN = b"login=alice&psw=correct+horse&"
SECRET = "s3cr-t_1"


def ask(path: str, query: bytes, centre: ScriptedCentre) -> bytes:
    return answer_north(SMSCENTRE, HttpRequest(method="GET", path=path, query=LOGIN + query), centre).body


def sent(query: bytes) -> Submission:
    """The submission that a request becomes."""
    centre = ScriptedCentre(ONE)
    ask(facts.SEND, query, centre)
    assert centre.submission is not None
    return centre.submission


# Charsets and formats


@pytest.mark.parametrize("spelling", [b"utf-8", b"UTF-8", b"utf8", b"Utf8"])
def test_a_charset_is_known_by_any_spelling(spelling: bytes) -> None:
    """smscentre 1.3: neither its case nor its dash matters."""
    assert sent(b"phones=447700900002&mes=%D0%94%D0%B0&charset=" + spelling).text == "Да"


@pytest.mark.parametrize("charset", [b"windows-1251", b"koi8-r", b"utf-8"])
@pytest.mark.parametrize("text", ['Да, € "5" \\ 😀\n', "é <&>"])
def test_json_is_json_in_every_charset(charset: bytes, text: str) -> None:
    """smscentre 1.3: a text is written raw, and what the charset has not is escaped, so that no character is lost."""
    report = msgspec.structs.replace(REPORT, text=text)
    body = ask(facts.STATUS, b"id=17&phone=447700900002&all=1&fmt=3&charset=" + charset, ScriptedCentre(report))
    assert json.loads(body.decode(charset.decode()))["message"] == text


@pytest.mark.parametrize(
    "members, size",
    [
        ({"id": 33, "cnt": 1}, 22),
        ({"balance": "1871.62"}, 24),
        ({"error": "invalid number", "error_code": 7, "id": 34}, 56),
    ],
)
def test_json_has_the_recorded_size(members: dict[str, object], size: int) -> None:
    """smscentre 1.4: one member a line, no indentation, no last line break: as many bytes as the provider counted."""
    assert len(formats.json_text(members)) == size


@pytest.mark.parametrize(
    "reference, written",
    [("17", 17), ("2147483647", 2_147_483_647), *((text, text) for text in ("2147483648", "017", "1e3", "a", "", "²"))],
)
def test_an_id_is_a_number_where_every_client_holds_it(reference: str, written: int | str) -> None:
    """smscentre 9: up to 31 bits, and only where the number is written as the id was."""
    assert formats.id_of(reference) == written


def test_xml_keeps_its_own_marks() -> None:
    """A text cannot end its element, and a control character, which XML has not, is left out."""
    assert formats.xml_text("message", "a<b>&\x00\x1b c") == "<message>a&lt;b&gt;&amp; c</message>"


@pytest.mark.parametrize("fmt", [b"0", b"1", b"2", b"3"])
@pytest.mark.parametrize(
    "path, query",
    [
        (facts.SEND, b"phones=447700900002&mes=Hello"),
        (facts.STATUS, b"id=1&phone=447700900002"),
        (facts.BALANCE, b""),
        (facts.GET, b"get_messages=1"),
        (facts.GET, b"get_answers=1"),
        (facts.GET, b"get_stat=1"),
        (facts.GET, b""),
    ],
)
def test_no_answer_is_empty(path: str, query: bytes, fmt: bytes) -> None:
    """smscentre 1.1: the official libraries take an empty answer for none, and send the same again."""
    assert ask(path, query + b"&fmt=" + fmt, ScriptedCentre(Refused(Refusal.NOT_FOUND)))


@pytest.mark.parametrize("cost, fields_count", [(0, 2), (1, 2), (2, 3), (3, 4)])
def test_the_official_libraries_count_the_fields(cost: int, fields_count: int) -> None:
    """smscentre 2.4: fmt=1 has a fixed number of fields with points and no blanks, the second a positive number."""

    class Rich(ScriptedCentre):
        def __call__(self, call: Call) -> Outcome:
            return Balance(amount_micros=5_000_000) if isinstance(call, FetchBalance) else super().__call__(call)

    query = b"phones=447700900002&mes=Hello&fmt=1&cost=%d" % cost
    assert re.fullmatch(rb"[0-9.]+(,[0-9.]+){%d}" % (fields_count - 1), ask(facts.SEND, query, Rich(ONE)))


def test_only_the_price_is_asked_for() -> None:
    """smscentre 2.1: cost=1 keeps nothing and charges nothing."""
    centre = ScriptedCentre(ONE)
    ask(facts.SEND, b"phones=447700900002&mes=Hello&cost=1", centre)
    assert [type(call) for call in centre.calls[1:]] == [Quote]


@pytest.mark.parametrize("cost", [b"4", b"12", b"0123", b"-1", b"x"])
def test_a_cost_that_there_is_not_is_refused(cost: bytes) -> None:
    """smscentre 2.1: whatever is not one of the four is a wrong parameter, and nothing is sent."""
    centre = ScriptedCentre(ONE)
    assert ask(facts.SEND, b"phones=447700900002&mes=Hello&fmt=1&cost=" + cost, centre) == b"0,-1"
    assert centre.submission is None


@pytest.mark.parametrize(
    "comment", [b"pid: 64, dcs: 4", b"pid: 0, dcs: 245", b"pid: " + b"9" * 5_000 + b", dcs: 4", b"x"]
)
def test_octets_are_sent_as_what_they_are_or_not_at_all(comment: bytes) -> None:
    """smscentre 2.1: a protocol id or coding that we cannot carry, or a comment that is none, is refused."""
    centre = ScriptedCentre(ONE)
    body = ask(facts.SEND, b"phones=447700900002&bin=2&fmt=1&mes=0605%0A~~~%0A" + comment, centre)
    assert body == b"0,-1"
    assert centre.submission is None


@pytest.mark.parametrize("name", facts.NOT_SERVED)
def test_another_kind_of_message_is_never_sent_as_sms(name: str) -> None:
    """smscentre 2.1: a call, an HLR query or a mail is refused before anybody is asked to send it."""
    centre = ScriptedCentre(ONE)
    body = ask(facts.SEND, b"phones=447700900002&mes=Hello&fmt=1&%s=1" % name.encode(), centre)
    assert body == b"0,-1"
    assert not any(isinstance(call, Submit | Quote) for call in centre.calls)


# Texts and numbers


@pytest.mark.parametrize("parts_max", [1, 2, 3, 5])
@pytest.mark.parametrize("text", ["a" * 900, "я" * 900, "😀" * 400, "a" * 150 + "я" * 200, "€" * 300])
def test_a_text_is_cut_to_its_parts(text: str, parts_max: int) -> None:
    """smscentre 2.1: maxsms keeps the beginning of a text, as much of it as so many parts hold."""
    octets = "".join(f"%{octet:02X}" for octet in text.encode()).encode()
    kept = sent(b"phones=447700900002&charset=utf-8&mes=" + octets + b"&maxsms=%d" % parts_max).text
    segments = count(kept, STANDARD)
    assert text.startswith(kept)
    assert segments is not None
    assert segments <= parts_max
    one_more = count(text[: len(kept) + 1], STANDARD)
    assert kept == text or (one_more is not None and one_more > parts_max)


@pytest.mark.parametrize(
    "written, digits",
    [
        (b"89260000001", "79260000001"),
        (b"8 (926) 000-00-01", "79260000001"),
        (b"%2B89260000001", "89260000001"),
        (b"79260000001", "79260000001"),
        (b"892600000011", "892600000011"),
        (b"G5", "G5"),
    ],
)
def test_a_number_is_corrected_unless_it_has_a_plus_sign(written: bytes, digits: str) -> None:
    """smscentre 2.1: a Russian 8 becomes 7; with a plus sign the number is taken as it is."""
    assert sent(b"mes=Hello&phones=" + written).recipients == (digits,)


@pytest.mark.parametrize(
    "table, text, latin",
    [
        (PHONETIC, "Съешь ещё этих мягких французских булок", "S'esh' eschyo etih myagkih francuzskih bulok"),
        (PHONETIC, "ЖУК и Їжак", "ZhUK i Yizhak"),
        (LOOK_ALIKE, "транслит", "mpaHc/Ium"),
        (LOOK_ALIKE, "ABC 12", "ABC 12"),
    ],
)
def test_letters_become_latin(table: dict[int, str], text: str, latin: str) -> None:
    """smscentre 2.1: by sound or by shape; what is Latin already stays."""
    assert transliterate(text, table) == latin


@pytest.mark.parametrize("table", [PHONETIC, LOOK_ALIKE])
def test_a_transliterated_text_needs_no_unicode(table: dict[int, str]) -> None:
    """Every Russian and Ukrainian letter, small and capital, becomes something that ASCII has."""
    letters = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґ"
    assert transliterate(letters + letters.upper(), table).isascii()


# Times


@pytest.mark.parametrize(
    "written, validity_s",
    [("1", 3600), ("24", 86_400), ("00:01", 60), ("24:00", 86_400), ("0:30", 1800)]
    + [(wrong, None) for wrong in ("25", "24:01", "00:00", "1.5", "-1", "x", "1:2:3")],
)
def test_a_life_time_is_at_most_a_day(written: str, validity_s: int | None) -> None:
    """smscentre 2.1: whole hours, or hours and minutes."""
    assert read_validity_s(written) == validity_s


@pytest.mark.parametrize("validity_s, written", [(1, "00:01"), (90, "00:01"), (5400, "01:30"), (172_800, "24:00")])
def test_a_life_time_is_written_as_near_as_can_be(validity_s: int, written: str) -> None:
    """The provider knows minutes, one at least, and a day at most."""
    assert written_validity(validity_s) == written


@pytest.mark.parametrize(
    "window, waits_h",
    [((16, 18), 0), ((15, 17), 0), ((15, 16), 23), ((17, 18), 1), ((22, 17), 0), ((22, 16), 6), ((0, 24), 0)],
)
def test_a_window_of_hours(window: tuple[int, int], waits_h: int) -> None:
    """smscentre 2.1: inside from the first minute of its first hour until the last before its second, else it waits."""
    now = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
    start_ms = read_window(*window, now)
    assert start_ms == (round(now.timestamp() * 1000) + waits_h * 3_600_000 if waits_h else 0)


@pytest.mark.parametrize("window", [(24, 5), (5, 25), (5, 5)])
def test_what_is_no_window(window: tuple[int, int]) -> None:
    """smscentre 2.1: hours that no clock shows, or none between them, are a bad date."""
    assert read_window(*window, datetime(2026, 11, 21, tzinfo=UTC)) == facts.BAD_DATE


@pytest.mark.parametrize(
    "query, scheduled_ms",
    [
        (b"", 1_798_795_800_000),
        (b"&tz=0", 1_798_795_800_000),
        (b"&tz=-1", 1_798_799_400_000),
        (b"&tz=9", 1_798_763_400_000),
    ],
)
def test_a_zone_counts_from_moscow(query: bytes, scheduled_ms: int) -> None:
    """smscentre 2.1: tz is relative to Moscow, wherever the account is."""

    class Muscovite(ScriptedCentre):
        def __call__(self, call: Call) -> Outcome:
            outcome = super().__call__(call)
            return (
                msgspec.structs.replace(outcome, timezone="Europe/Moscow") if isinstance(outcome, Account) else outcome
            )

    centre = Muscovite(ONE)
    ask(facts.SEND, b"phones=447700900002&mes=Hello&time=0101271230" + query, centre)
    assert centre.submission is not None
    assert centre.submission.scheduled_ms == scheduled_ms


def test_a_day_is_as_long_as_it_is() -> None:
    """smscentre 4.7: a list of days reaches to the midnight on the account's wall, also when the clocks change."""

    class Roman(ScriptedCentre):
        def __call__(self, call: Call) -> Outcome:
            outcome = super().__call__(call)
            return IN_ROME if isinstance(outcome, Account) else outcome

    centre = Roman(Reports(items=(), total=0))
    ask(facts.GET, b"get_messages=1&start=25.10.2026&end=25.10.2026", centre)
    (asked,) = [call for call in centre.calls if isinstance(call, ListMessages)]
    assert asked.to_ms - asked.from_ms == 25 * 3_600_000


def test_many_without_a_comma_are_many() -> None:
    """smscentre 3.1: one id for several phones, whatever splits them, gives a row for each."""
    body = ask(facts.STATUS, b"id=17&phone=447700900002;447700900003&fmt=1", ScriptedCentre(REPORT))
    assert body.count(b"\n") == 1


# Odd values

PARAMETERS = (
    *(
        "phones",
        "mes",
        "list",
        "nl",
        "id",
        "sender",
        "translit",
        "time",
        "tz",
        "period",
        "freq",
        "flash",
        "bin",
        "cost",
    ),
    *(
        "charset",
        "fmt",
        "valid",
        "maxsms",
        "err",
        "op",
        "all",
        "del",
        "phone",
        "start",
        "end",
        "cnt",
        "prev_id",
        "hour",
    ),
    *("after_id", "to_phone", "cur", "format", "email"),
)
ODD_VALUES = [
    *[
        "",
        "0",
        "1",
        "2",
        "3",
        "12",
        "-1",
        "+1",
        " 1",
        "1.5",
        "9" * 21,
        "9" * 5_000,
        "x",
        "é",
        "²",
        "٣",
        "1,2",
        ",",
        "1;2",
    ],
    *[
        "a:b",
        "10-22",
        "99-3",
        "24:00",
        "0101271230",
        "29.02.27 10:00",
        "29.02.2027",
        "01.01.0001",
        "31.12.9999",
        "utf8",
    ],
    *[
        "0" * 11,
        "09999999999",
        "+999999",
        "koi8-r",
        "\0",
        "\n~~~\npid: 1, dcs: 4",
        "447700900002",
        "DEADBEEF",
        "ю" * 500,
    ],
    *["+447700900002,12", "447700900002:hi\n447700900003;yo", "😀" * 1_200],
]
SENDING = {"phones": "447700900002", "mes": "Hello"}
REPORTS, INBOUNDS = Reports(items=(REPORT,), total=1), InboundMessages(items=(INBOUND,), total=1)


@pytest.mark.parametrize(
    "path, right, outcome",
    [
        (facts.SEND, SENDING, ONE),
        (facts.SEND, SENDING | {"bin": "1"}, ONE),
        (facts.REST_SENDS[0], SENDING, Refused(Refusal.BAD_RECIPIENT)),
        (facts.STATUS, {"id": "17", "phone": "447700900002"}, REPORTS),
        (facts.STATUS, {"id": "17", "phone": "447700900002", "del": "1"}, Cancelled()),
        (facts.BALANCE, {"cur": "1"}, Balance(amount_micros=-5)),
        (facts.GET, {"get_messages": "1"}, REPORTS),
        (facts.GET, {"get_answers": "1"}, INBOUNDS),
        (facts.GET, {"get_stat": "1"}, Statistics(segments_count=1, spent_micros=1, paid_in_micros=2)),
    ],
)
def test_no_value_of_a_parameter_breaks_it(path: str, right: dict[str, str], outcome: Outcome) -> None:
    """Whatever odd value any parameter has, there is an answer: not empty, and JSON where it says that it is."""
    for name, value in itertools.product(PARAMETERS, ODD_VALUES):
        fields = {"login": "alice", "psw": "correct horse", "fmt": "3"} | right | {name: value}
        body = json.dumps(fields).encode() if path in facts.REST_SENDS else encode_form(fields)
        response = answer_north(SMSCENTRE, HttpRequest(method="POST", path=path, body=body), ScriptedCentre(outcome))
        media_type, _, charset = dict(response.headers)[b"content-type"].decode().partition("; charset=")
        assert response.body
        assert media_type != "application/json" or json.loads(response.body.decode(charset)) is not None


LINES = 200_000


@pytest.mark.parametrize(
    "written, texts",
    [
        (b"447700900002:a%0A%0Ab%0A%0A447700900003:c", ("a\n\nb", "c")),
        (b"%0A447700900002:a%0D%0Ab%0D%0A", ("a\nb",)),
        (b"447700900002:" + b"a\n" * LINES, ()),  # too long a text, which is found out in no time
    ],
)
def test_a_text_of_several_lines_stays_whole(written: bytes, texts: tuple[str, ...]) -> None:
    """With `nl`, empty lines within a text are sent too, and only those (2.1)."""
    centre = ScriptedCentre(ONE)
    ask(facts.SEND, b"nl=1&list=" + written, centre)
    submission = centre.submission
    assert ((submission.texts or (submission.text,)) if submission else ()) == texts


def test_octets_that_a_list_cannot_carry_are_refused() -> None:
    """windows-1251 has no 0x98: where it stands in a list, nothing is sent instead of something else (1.3, 2.1)."""
    centre = ScriptedCentre(ONE)
    assert b"ERROR = 1" in ask(facts.SEND, b"bin=1&list=447700900002:%98", centre)
    assert centre.submission is None


@pytest.mark.parametrize("depth", [10, 900, *range(940, 1000)])
def test_no_depth_of_json_breaks_it(depth: int) -> None:
    """However deep lists lie in each other, the answer is JSON (2.9)."""
    body = b'{"login": "alice", "psw": "correct horse", "phones": %s}' % (b"[" * depth + b"]" * depth)
    request = HttpRequest(method="POST", path=facts.REST_SENDS[0], body=body)
    assert json.loads(answer_north(SMSCENTRE, request, ScriptedCentre(ONE)).body)["error_code"] in (1, 2)


# Callbacks

STATUS_VALUES = {b"id": b"100", b"phone": b"70000000001", b"status": b"1"}
HELLO = {b"phone": b"70000000001", b"mes": b"hello", b"to": b"70000000002"}
WAITCALL = {b"phone": b"70000000001", b"ts": b"1700000000"}
STATUS_NAMES, INBOUND_NAMES = ("id", "phone", "status"), ("phone", "mes", "to")
CYRILLIC = "привет"


@pytest.mark.parametrize(
    "values, names, md5, sha1, crc32",
    [
        (
            *(STATUS_VALUES, STATUS_NAMES, "1962407cb7159eb542452cc91e6940a8"),
            *("fd141dc5df07bcb2a06127c6e2b382fa1680e53c", "3291529170"),
        ),
        (
            *(HELLO, INBOUND_NAMES, "882c4cdbcd00db6eb6c45cdddca82960"),
            *("dc24352fe99d4cf09dbceb8406f69fb7b0edabe7", "1833559383"),
        ),
        (
            *(WAITCALL, ("phone", "ts"), "4a3c8f2b22b41d03cb1051640b914a12"),
            *("a3f22158f5ddb5685415d8d3592a684702a317e3", "3402703488"),
        ),
        (
            *(HELLO | {b"mes": CYRILLIC.encode("cp1251")}, INBOUND_NAMES, "99cc60d4b94100477efd27575ab8f9cc"),
            *("1c074ced67f7370e59a1cae0c23557ecf1f8abc8", "3724261474"),
        ),
        (
            *(HELLO | {b"mes": CYRILLIC.encode()}, INBOUND_NAMES, "2b91eb719af7728f191966f5ddcaed93"),
            *("c6ce1b2e63e5b96669d26cc11c9faaf676b03636", "2903597317"),
        ),
    ],
)
def test_control_values(values: dict[bytes, bytes], names: tuple[str, ...], md5: str, sha1: str, crc32: str) -> None:
    """smscentre 5.1: the vectors of the facts, in the bytes that go over the wire."""
    assert [control_value(kind, values, names, SECRET.encode()) for kind in CONTROLS] == [md5, sha1, crc32]


def test_a_control_value_of_another_handler() -> None:
    """smscentre 5.1: the vector that a client's own test holds."""
    values = {b"phone": b"123", b"mes": b"text", b"to": b"234"}
    assert control_value("sha1", values, INBOUND_NAMES, b"zxc") == "b6f768ce7614d7858cc4a6116f8ffd0dc236a3cd"


def callback(kind: str, secret: str = SECRET, **changed: str) -> tuple[Receipt | None, Inbound | None]:
    """What our south half reads of a status and of an inbound message that our north half sends."""
    options = {"callback_secret": SECRET, "callback_hash": kind} | changed
    upstream = msgspec.structs.replace(upstream_of(SMSCENTRE), options=options)
    target = CallbackTarget(url=f"http://127.0.0.1:9000/carrier/key?{kind}={secret}&charset=koi8-r")
    north, south = SMSCENTRE.north, SMSCENTRE.south
    assert north.receipt is not None
    assert north.inbound is not None
    assert south.receipt is not None
    assert south.inbound is not None
    message = Inbound(reference="77", originator="70000000001", recipient="70000000002", text=CYRILLIC)
    return south.receipt(upstream, north.receipt(target, REPORT)), south.inbound(
        upstream, north.inbound(target, message)
    )


@pytest.mark.parametrize("kind", facts.HASHES)
def test_who_knows_the_secret_is_believed(kind: str) -> None:
    """smscentre 5.1: with the right control value, receipts and inbound messages arrive, in any charset."""
    receipt, inbound = callback(kind)
    assert receipt is not None
    assert inbound is not None
    assert inbound.text == CYRILLIC


@pytest.mark.parametrize("kind", facts.HASHES)
def test_who_does_not_know_the_secret_is_refused(kind: str) -> None:
    """smscentre 5.1: a wrong control value, one of another kind, or none makes a callback worth nothing."""
    assert callback(kind, secret="guess") == (None, None)
    assert callback(kind, secret="") == (None, None)
    assert callback(kind, callback_hash="sha256") == (None, None)


def test_the_secret_does_not_travel() -> None:
    """smscentre 5.1: neither body nor address of a callback holds the secret, only what is made with it."""
    assert SMSCENTRE.north.receipt is not None
    for query in (f"md5={SECRET}", f"fmt=3&sha1={SECRET}", f"fmt=2&crc32={SECRET}"):
        request = SMSCENTRE.north.receipt(CallbackTarget(url=f"http://127.0.0.1:9000/?{query}"), REPORT)
        assert SECRET.encode() not in request.query + request.body


@pytest.mark.parametrize(
    "given, is_right", [("3291529170", True), ("c430bfd2", True), ("C430BFD2", True), ("1", False)]
)
def test_crc32_is_read_in_two_ways(given: str, is_right: bool) -> None:
    """smscentre 5.1: nobody knows how the provider writes it, so decimal and hexadecimal digits are both read."""
    options = {"callback_secret": SECRET, "callback_hash": "crc32"}
    upstream = msgspec.structs.replace(upstream_of(SMSCENTRE), options=options)
    request = HttpRequest(
        method="POST", path="/carrier/key", body=f"id=100&phone=70000000001&status=1&crc32={given}".encode()
    )
    assert SMSCENTRE.south.receipt is not None
    assert (SMSCENTRE.south.receipt(upstream, request) is not None) == is_right


def test_a_handler_address_cannot_lie() -> None:
    """smscentre 5: a parameter of the address that is called as one of ours does not take its place."""
    assert SMSCENTRE.north.receipt is not None
    target = CallbackTarget(url="http://127.0.0.1:9000/?status=20&shop=7")
    fields = fields_of(SMSCENTRE.north.receipt(target, REPORT))
    assert (fields[b"status"], fields[b"shop"]) == (b"1", b"7")


@pytest.mark.parametrize("state", [state for state in State if state not in facts.REPORTED])
def test_what_is_not_called_back(state: State) -> None:
    """smscentre 5: a handler hears of received statuses; what only we know is asked for."""
    assert state not in SMSCENTRE.north.reported_states


@pytest.mark.parametrize("state", list(State))
def test_a_status_means_the_same_to_both_halves(state: State) -> None:
    """smscentre 3.5: what a state is written as is read as that state, or as one that waits just as well."""
    waiting = {State.SCHEDULED: State.QUEUED, State.SENDING: State.QUEUED}
    report = msgspec.structs.replace(REPORT, state=state)
    assert facts.state_of(facts.fate_of(report)) == waiting.get(state, state)


def test_every_status_has_a_name() -> None:
    """smscentre 3.5: whatever status we can tell, status_name says it in words."""
    told = {*facts.FATES.values(), *facts.REJECTIONS.values(), facts.VIRTUAL_FATE}
    assert {fate.status for fate in told} <= facts.STATUS_NAMES.keys()


# South


def never(request: HttpRequest) -> Reply:
    raise AssertionError(f"asked {request.path}")


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "__HLR__"},
        {"text": "Hello\n~~~\nnot sent"},
        {"text": "a" * 1_001},
        {"reference": "a b"},
        {"texts": ("Hello", "__CALL__")},
        {"texts": ("Hello", "a backslash and an n: \\n")},
    ],
)
def test_what_the_provider_would_misread_is_refused_without_asking(changed: dict[str, object]) -> None:
    """smscentre 2.1, 2.2: a prefix or a comment in a text, and an id that is none, never reach it."""
    submission = msgspec.structs.replace(SUBMISSION, **changed)
    assert isinstance(run(SMSCENTRE.south.submit(upstream_of(SMSCENTRE), submission), never), Refused)


@pytest.mark.parametrize(
    "url",
    [
        "https://smsc.example",
        "https://smsc.example/",
        "https://smsc.example/sys",
        "https://smsc.example/sys/",
        "https://smsc.example/sys/send.php",
    ],
)
def test_an_address_is_found(url: str) -> None:
    """A carrier's URL may be the host alone, its folder, or a script in it."""
    assert api_url(url, facts.STATUS) == "https://smsc.example/sys/status.php"


@pytest.mark.parametrize(
    "phones, refusals",
    [
        ('[{"phone": "447700900003", "status": "22", "error": "249"}]', (None, Refusal.BAD_RECIPIENT)),
        ('[{"phone": "+447700900002", "status": 23}, {"phone": "447700900003"}]', (Refusal.FORBIDDEN, None)),
        ('[{"phone": "447700900003", "status": ""}]', (None, None)),
        ('["447700900003", null, 5]', (None, None)),
        ("null", (None, None)),
    ],
)
def test_the_wrong_numbers_of_many_are_known(phones: str, refusals: tuple[Refusal | None, ...]) -> None:
    """smscentre 2.5: the list of wrong numbers tells who gets none, and everybody else was sent to."""
    body = f'{{"id": 17, "cnt": 2, "phones": {phones}}}'.encode()
    verdict = run(SMSCENTRE.south.submit(upstream_of(SMSCENTRE), SUBMISSION), lambda _: HttpResponse(body=body))
    assert isinstance(verdict, Accepted)
    assert tuple(ticket.refusal for ticket in verdict.tickets) == refusals


@pytest.mark.parametrize("coding, field", [(Coding.TEXT, b""), (Coding.FLASH, b"flash"), (Coding.BINARY, b"bin")])
def test_a_coding_arrives(coding: Coding, field: bytes) -> None:
    """smscentre 2.1: flash and octets reach the gateway behind another chappe as what they are."""
    submission = msgspec.structs.replace(SUBMISSION, text="0605040B84FF", coding=coding)
    centre = ScriptedCentre(ONE)
    run(SMSCENTRE.south.submit(upstream_of(SMSCENTRE), submission), lambda one: answer_north(SMSCENTRE, one, centre))
    assert centre.submission is not None
    assert (centre.submission.coding, centre.submission.text) == (coding, "0605040B84FF")


def test_texts_of_their_own_arrive() -> None:
    """smscentre 2.1: a list carries each phone's own text, with its line breaks, colons and semicolons."""
    submission = msgspec.structs.replace(SUBMISSION, text="1: a\nb", texts=("1: a\nb", "2; c"))
    centre = ScriptedCentre(ONE)
    run(SMSCENTRE.south.submit(upstream_of(SMSCENTRE), submission), lambda one: answer_north(SMSCENTRE, one, centre))
    assert centre.submission is not None
    assert (centre.submission.recipients, centre.submission.texts) == (SUBMISSION.recipients, submission.texts)


@pytest.mark.parametrize("half", ["query", "cancel"])
def test_a_question_without_a_phone_is_not_asked(half: str) -> None:
    """smscentre 3.1: id and phone name a message together; without one of them there is nothing to ask."""
    south = SMSCENTRE.south
    assert south.query is not None
    assert south.cancel is not None
    upstream = upstream_of(SMSCENTRE)
    flow = south.query(upstream, "17", "", "") if half == "query" else south.cancel(upstream, "17", "")
    outcome = run(flow, never)
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize("body", [b"[]", b"OK", b"{}", b'{"id": true, "cnt": 1}', b'{"id": 1, "cnt": "1e3"}'])
def test_nothing_but_an_id_and_its_parts_is_an_acceptance(body: bytes) -> None:
    """smscentre 2.4: any other answer may stand behind a message that was taken, so nobody knows."""
    verdict = run(SMSCENTRE.south.submit(upstream_of(SMSCENTRE), SUBMISSION), lambda _: HttpResponse(body=body))
    assert isinstance(verdict, Uncertain)


def test_a_key_takes_the_place_of_the_password() -> None:
    """smscentre 1.2: with the option `api_key`, the password stays at home."""
    upstream = msgspec.structs.replace(
        upstream_of(SMSCENTRE, password=Secret("never")), options={"api_key": "key-1"}, login=""
    )
    requests: list[HttpRequest] = []

    def answer(request: HttpRequest) -> Reply:
        requests.append(request)
        return HttpResponse(body=b'{"id": 17, "cnt": 2}')

    run(SMSCENTRE.south.submit(upstream, SUBMISSION), answer)
    fields = fields_of(requests[0])
    assert fields[b"apikey"] == b"key-1"
    assert not fields.keys() & {b"login", b"psw"}


def test_the_newest_of_several_is_told() -> None:
    """smscentre 2.1: an id may be used again; the status is that of the newest message under it."""
    newer, older = msgspec.structs.replace(REPORT, state=State.SENT), REPORT
    body = ask(facts.STATUS, b"id=17&phone=447700900002&fmt=1", ScriptedCentre(Reports(items=(newer, older), total=2)))
    assert body.startswith(b"0,")


def test_an_account_is_what_is_asked_about() -> None:
    """The account that logged in is the one that pays, whatever else the request says."""
    centre = ScriptedCentre(ONE)
    ask(facts.SEND, b"phones=447700900002&mes=Hello&user=broke", centre)
    assert [call.account for call in centre.calls if isinstance(call, Submit)] == [ACCOUNT]


def test_reports_name_the_clients_own_id() -> None:
    """smscentre 5: a status carries the id that the client gave, and ours where it gave none."""
    assert SMSCENTRE.north.receipt is not None
    ids = []
    for report in (REPORT, msgspec.structs.replace(REPORT, reference="")):
        assert isinstance(report, Report)
        ids.append(fields_of(SMSCENTRE.north.receipt(CallbackTarget(url="http://127.0.0.1:9000/"), report))[b"id"])
    assert ids == [b"17", b"9001"]
