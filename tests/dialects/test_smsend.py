"""smsend's rules that are easier to read as rows than as conversations: times, numbers, lengths, log-ins, the table."""

import re
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import pytest

from chappe.core.centre import Accepted, Balance, Call, FindMessages, Outcome, Refusal, Refused, Reports, Ticket
from chappe.core.ids import EPOCH_MS, RANDOM_BITS
from chappe.core.model import Account, Secret, Service, State
from chappe.core.sessions import Authenticate
from chappe.dialects.base import HttpRequest, HttpResponse
from chappe.dialects.smsend import SMSEND
from chappe.dialects.smsend.asking import Route, number_of
from chappe.dialects.smsend.dates import compact, moment_ms
from chappe.dialects.smsend.facts import CREDITS_MAX, FAULTS, ROOT, STATES
from chappe.dialects.smsend.national import international
from chappe.dialects.smsend.orders import type_of, written
from chappe.dialects.smsend.routes import ROUTES, find
from chappe.dialects.smsend.sending import quantity
from chappe.dialects.smsend.status import type_names
from dialects.centres import ACCESS, ACCOUNT, ScriptedCentre, answer_north

KEYS = ((b"user_key", ACCESS.user_key.encode()), (b"access_token", ACCESS.key.value.encode()))
ID = ((1_795_278_000_000 - EPOCH_MS) << RANDOM_BITS) + 7
ACCEPTED = Accepted((Ticket(recipient="393471234567", reference=str(ID)),), reference=str(ID))


def ask(
    method: str, path: str, body: object = None, outcome: Outcome = ACCEPTED
) -> tuple[HttpResponse, ScriptedCentre]:
    """What an account that has logged in is answered, and the centre that was asked."""
    path, _, query = path.partition("?")
    request = HttpRequest(
        method=method,
        path=ROOT + path,
        query=query.encode(),
        headers=KEYS,
        body=b"" if body is None else msgspec.json.encode(body),
    )
    centre = ScriptedCentre(outcome)
    return answer_north(SMSEND, request, centre), centre


def sms(**fields: object) -> dict[str, object]:
    return {"message_type": "N", "message": "Hello", "recipient": ["+393471234567"]} | fields


# Times


def at(*parts: int) -> int:
    """Milliseconds of an instant in UTC."""
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


TIMES = [  # what is written, in Rome, and the instant
    ("181217", at(2017, 12, 17, 23)),
    ("20171218", at(2017, 12, 17, 23)),
    ("1812171331", at(2017, 12, 18, 12, 31)),
    ("20171223101010", at(2017, 12, 23, 9, 10, 10)),
    (20201219102310, at(2020, 12, 19, 9, 23, 10)),
    (20171218, at(2017, 12, 17, 23)),
    ("2017-12-18 13:31", at(2017, 12, 18, 12, 31)),
    ("2017-12-18 13:31:00", at(2017, 12, 18, 12, 31)),
    ("2017-12-18 13:31:00.0", at(2017, 12, 18, 12, 31)),
    ("2017-12-18 13:31.0", at(2017, 12, 18, 12, 31)),
    ("2026-11-21T08:27:07.071308", at(2026, 11, 21, 7, 27, 7) + 71),
    ("2026-11-21T08:27:07", at(2026, 11, 21, 7, 27, 7)),
    ("2017-08-18T13:31:00", at(2017, 8, 18, 11, 31)),
    ("2017-08-18T13:31:00Z", at(2017, 8, 18, 13, 31)),
    ("2017-08-18T13:31:00.123+00:00", at(2017, 8, 18, 13, 31) + 123),
    ("2017-08-18T13:31:00.1234567+02:00", at(2017, 8, 18, 11, 31) + 123),
    ("2017-08-18T13:31:00-0430", at(2017, 8, 18, 18, 1)),
    ("Nov 21, 2026, 8:27:05 AM", at(2026, 11, 21, 7, 27, 5)),
    ("Nov 21, 2026 8:36:50 PM", at(2026, 11, 21, 19, 36, 50)),
    ("Nov 21, 2026, 12:00:00\u202fAM", at(2026, 11, 20, 23)),
    ("Nov 1, 2026, 12:00:00 PM", at(2026, 11, 1, 11)),
    ("\\/Date(1795246025000)\\/", 1_795_246_025_000),
    ("/Date(1795246025000+0100)/", 1_795_246_025_000),
    (" 20171223101010 ", at(2017, 12, 23, 9, 10, 10)),
    ("20251026023000", at(2025, 10, 26, 0, 30)),  # the hour that comes twice: its first time
]


@pytest.mark.parametrize("written, instant_ms", TIMES)
def test_every_form_of_a_time_is_read(written: object, instant_ms: int) -> None:
    """Each form of 4.4.1 is the instant it means on a wall in Rome, or in the zone that it names."""
    assert moment_ms(written, "Europe/Rome") == instant_ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "2017",
        "2017122310101",
        "20171323101010",
        "310217",
        "2017-12-18",
        "2017-12-18T25:00:00",
        "2017-12-18T10:00:00+9900",
        "Foo 21, 2026, 8:27:05 AM",
        "Nov 21, 2026, 13:27:05 AM",
        "Nov 21, 2026, 0:27:05 AM",
        "Feb 30, 2026, 8:27:05 AM",
        "٢٠١٧١٢٢٣١٠١٠١٠",
        "tomorrow",
        "9" * 1000,
        -20171223101010,
        20171223101010.0,
        True,
        None,
        ["20171223101010"],
    ],
)
def test_what_is_no_time_is_none(written: object) -> None:
    """No other length, form or type is taken for a time."""
    assert moment_ms(written, "Europe/Rome") is None


def test_a_time_written_is_the_time_read() -> None:
    """What we write in answers and pushes reads back as the same second, in summer and in winter."""
    for instant_ms in (at(2026, 1, 15, 12, 0, 1), at(2026, 7, 15, 12, 0, 1)):
        assert moment_ms(compact(instant_ms, "Europe/Rome"), "Europe/Rome") == instant_ms


# Numbers


@pytest.mark.parametrize(
    "country, number, arrived",
    [
        ("", "393471234567", "393471234567"),
        ("", "+393471234567", "+393471234567"),
        ("", "00393471234567", "+393471234567"),
        ("", "+39 347 123-4567", "+393471234567"),
        ("39", "3471234567", "+393471234567"),
        ("39", "347 1234567", "+393471234567"),
        ("39", "3931234567", "+393931234567"),
        ("39", "393931234567", "+393931234567"),
        ("39", "0612345678", "+390612345678"),
        ("39", "+447700900002", "+447700900002"),
        ("39", "00447700900002", "+447700900002"),
        ("33", "0612345678", "+33612345678"),
        ("33", "33612345678", "+33612345678"),
        ("39", "nobody", "nobody"),
        ("39", "", ""),
        ("39", "+12", "+12"),
        ("39", "٣٤٧١٢٣٤٥٦٧", "٣٤٧١٢٣٤٥٦٧"),
    ],
)
def test_a_number_is_completed_by_the_country(country: str, number: str, arrived: str) -> None:
    """National numbers get the account's country, others keep theirs, and what is no number is left to the gateway."""
    assert international(number, country) == arrived


# The table


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_row_of_the_table_is_reached(route: Route) -> None:
    """A path made from a row finds that row and no other, with its ids."""
    names = re.findall(r"\{(\w+)\}", route.path)
    path = re.sub(r"\{(\w+)\}", "17", route.path)
    assert find(route.method, path) == (route, dict.fromkeys(names, "17"))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_row_opens_without_keys(route: Route) -> None:
    """Without keys every row answers 401, or 404 where the provider says so, and asks the gateway nothing."""
    centre = ScriptedCentre(ACCEPTED)
    response = answer_north(SMSEND, HttpRequest(method=route.method, path=ROOT + route.path, body=b"{}"), centre)
    assert (response.status, centre.calls) == (404 if route.hides_keys else 401, [])


@pytest.mark.parametrize("path", ["sms/17", "/sms/17", "sms//17", "sms/17/", "//sms///17//"])
@pytest.mark.parametrize("root", [ROOT, "/API//v1.0/REST/", "//API/v1.0///REST//"])
def test_slashes_do_not_matter(root: str, path: str) -> None:
    """Slashes in a row, anywhere, and one at the end reach the same row."""
    request = HttpRequest(method="GET", path=root + path, headers=KEYS)
    assert answer_north(SMSEND, request, ScriptedCentre(Reports(items=(), total=0))).status == 200


def test_the_first_word_for_a_class_is_its_name() -> None:
    """An account with two words for a service class is told the first of them."""
    types = {"GP": Service.PREMIUM, "GX": Service.PREMIUM, "TI": Service.STANDARD}
    account = msgspec.structs.replace(ACCOUNT, message_types=types)
    assert type_names(account, has_aliases=False)[Service.PREMIUM] == "GP"
    assert type_of(account, Service.PREMIUM) == "GP"


# Sending


@pytest.mark.parametrize("value", [True, "true", "True", "1", 1])
def test_a_boolean_may_be_a_string(value: object) -> None:
    """Whatever means yes means yes."""
    _, centre = ask("POST", "sms", sms(allowInvalidRecipients=value))
    assert centre.submission is not None
    assert centre.submission.takes_part


@pytest.mark.parametrize("value", [False, "false", "0", 0, "", None, "no"])
def test_anything_else_means_no(value: object) -> None:
    """What does not mean yes means no."""
    _, centre = ask("POST", "sms", sms(allowInvalidRecipients=value))
    assert centre.submission is not None
    assert not centre.submission.takes_part


LENGTHS: list[tuple[str, int, Mapping[str, object]]] = [  # of what, how many at most, and of which kind
    ("a", 1000, {}),
    ("é", 1000, {}),
    ("й", 450, {}),
    ("a", 450, {"encoding": "ucs2"}),
    ("a", 160, {"message_type": "LL"}),
    ("й", 70, {"message_type": "LL"}),
]


@pytest.mark.parametrize("letter, count_max, fields", LENGTHS)
def test_a_text_has_its_greatest_length(letter: str, count_max: int, fields: Mapping[str, object]) -> None:
    """Exactly as many characters as 4.4 allows are taken, and one more is refused."""
    taken = ask("POST", "sms", sms(message=letter * count_max, **fields))[0]
    refused = ask("POST", "sms", sms(message=letter * (count_max + 1), **fields))[0]
    assert (taken.status, refused.status) == (201, 400)


@pytest.mark.parametrize(
    "message, fragments, sent",
    [
        ("a" * 161, 1, "a" * 160),
        ("a" * 400, 2, "a" * 306),
        ("€" * 81, 1, "€" * 80),
        ("й" * 71, 1, "й" * 70),
        ("й" * 200, 2, "й" * 134),
        ("a" * 160 + "й", 1, "a" * 160),
        ("a" * 160, 1, "a" * 160),
        ("a" * 306, "2", "a" * 306),
    ],
)
def test_a_text_is_cut_to_its_fragments(message: str, fragments: object, sent: str) -> None:
    """What is cut is the longest beginning that fits into the fragments asked for."""
    _, centre = ask("POST", "sms", sms(message=message, max_fragments=fragments))
    assert centre.submission is not None
    assert centre.submission.text == sent


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"sms"',
        b"{",
        b"[" * 100_000,
        b'{"message_type": "N", "message": ["Hello"], "recipient": ["+393471234567"]}',
        b'{"message_type": ["N"], "message": "Hello", "recipient": ["+393471234567"]}',
        b'{"message_type": "N", "message": "Hello", "recipient": [["+393471234567"]]}',
        b'{"message_type": "N", "message": "Hello", "recipient": [true]}',
        b'{"message_type": "N", "message": "Hello", "recipient": [1e400]}',
        b'{"message_type": "N", "message": "Hello", "recipient": ["1"], "order_id": {}}',
        b'{"message_type": "N", "message": "Hello", "recipient": ["1"], "order_id": "a b"}',
        b'{"message_type": "N", "message": "Hello", "recipient": ["1"], "max_fragments": 0}',
        b'{"message_type": "N", "message": "Hello", "recipient": ["1"], "validity_period_min": -1}',
        b'{"message_type": "N", "message": "Hello", "recipient": ["1"], "statusnotificationURL": "http://["}',
    ],
)
def test_a_body_of_the_wrong_kind_is_refused(body: bytes) -> None:
    """Whatever JSON brings in the wrong place is refused with 400, and nothing is submitted."""
    centre = ScriptedCentre(ACCEPTED)
    response = answer_north(SMSEND, HttpRequest(method="POST", path=ROOT + "sms", headers=KEYS, body=body), centre)
    assert (response.status, centre.submission) == (400, None)


@pytest.mark.parametrize("depth", [10, 900, *range(940, 1000)])
def test_no_depth_of_json_breaks_it(depth: int) -> None:
    """However deep lists lie in each other, there is an answer (4.4)."""
    nested = b"[" * depth + b"]" * depth
    body = msgspec.json.encode(sms()).removesuffix(b"}") + b',"returnCredits":%s,"sender":null}' % nested
    request = HttpRequest(method="POST", path=ROOT + "sms", headers=KEYS, body=body)
    assert answer_north(SMSEND, request, ScriptedCentre(ACCEPTED)).status in (201, 400)


HUGE = [  # what would take minutes or gigabytes to put together, and what is wrong with it
    ("paramsms", {"message": "${a}" * 1_001, "recipients": [{"recipient": "+393471234567", "a": ""}]}, 104),
    (
        "paramsms",
        {"message": "${a}" * 1_000, "recipients": [{"recipient": "+393471234567", "a": "y" * 2_000_000}]},
        104,
    ),
    ("sms", {"message": "%SHORT_LINK%" * 1_000, "short_link_url": "https://example.org/" + "y" * 2_000}, 104),
    ("contacts", {"contacts": [{"email": "ada@example.org"}] * 10_001}, 100),
]


@pytest.mark.parametrize("path, fields, code", HUGE, ids=[f"{row[0]} {index}" for index, row in enumerate(HUGE)])
def test_what_is_huge_is_refused_before_it_is_put_together(path: str, fields: dict[str, object], code: int) -> None:
    """Beyond what is sent, texts and lists are refused with little memory, and nobody is asked (4.3, 4.5)."""
    tracemalloc.start()
    response, centre = ask("POST", path, sms(**fields))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (response.status, msgspec.json.decode(response.body)["error_code"]) == (400, code)
    assert [type(call) for call in centre.calls] == [Authenticate]
    assert peak < 50_000_000


def test_ten_thousand_recipients_and_no_more() -> None:
    """A call may have 10,000 recipients; one more is refused."""
    numbers = [f"+39347{index:07}" for index in range(10_001)]
    assert ask("POST", "sms", sms(recipient=numbers[1:]))[0].status == 201
    assert ask("POST", "sms", sms(recipient=numbers))[0].status == 400


def test_only_integers_stand_where_clients_need_integers() -> None:
    """`total_sent` and `remaining_credits` are integers of 32 bits, and no member of the answer is null."""
    assert quantity(Balance(amount_micros=10**18), 1) == CREDITS_MAX
    assert quantity(Balance(amount_micros=99_999), 50_000) == 1
    assert quantity(Balance(amount_micros=-1), 50_000) == 0
    assert quantity(Balance(amount_micros=10**6), None) == 0
    answer = msgspec.json.decode(ask("POST", "sms", sms(returnCredits=True))[0].body)
    assert {name: type(value) for name, value in answer.items()} == {
        "result": str,
        "order_id": str,
        "internal_order_id": str,
        "total_sent": int,
    }


def test_a_generated_order_id_is_read_back() -> None:
    """What an answer calls an order is what the gateway is asked by, without a table."""
    order_id = msgspec.json.decode(ask("POST", "sms", sms())[0].body)["order_id"]
    _, centre = ask("GET", f"sms/{order_id}", outcome=Reports(items=(), total=0))
    asked = [call.reference for call in centre.calls if isinstance(call, FindMessages)]
    assert (order_id, asked) == (written(ID), [str(ID)])


def test_every_state_has_a_word_and_every_refusal_an_answer() -> None:
    """No state and no reason is without its words in this dialect."""
    assert set(STATES.words) == set(State)
    assert set(FAULTS) == set(Refusal)


# Logging in


class Door:
    """A gateway at which one password is right; it remembers which were tried."""

    def __init__(self, password: str) -> None:
        self.password = Secret(password)
        self.tried: list[str] = []

    def __call__(self, call: Call) -> Outcome:
        if isinstance(call, Authenticate):
            self.tried.append(call.secret.value)
            return ACCOUNT if call.secret == self.password else Refused(Refusal.UNAUTHORISED)
        return ACCESS


@pytest.mark.parametrize(
    "sent, password",
    [
        (b"secret", "secret"),
        (b"a%20b", "a b"),
        (b"a+b", "a b"),
        (b"a+b", "a+b"),
        (b"%C3%A9", "é"),
        (b"%E9", "é"),
        (b"100%", "100%"),
        (b"%41", "A"),
        (b"a;b", "a;b"),
        (b"a=b", "a=b"),
        (b"%2B", "+"),
        (b"%80", "€"),
    ],
)
def test_a_password_is_read_as_it_was_meant(sent: bytes, password: str) -> None:
    """However a client coded a password, it opens the door (4.17)."""
    door = Door(password)
    request = HttpRequest(method="GET", path=ROOT + "login", query=b"username=alice&password=" + sent)
    response = answer_north(SMSEND, request, door)
    assert response.body == b"1;0123456789abcdef"


def test_a_wrong_password_is_tried_twice_at_most() -> None:
    """A plus sign is worth one more try, and no password gets a third."""
    door = Door("right")
    request = HttpRequest(method="GET", path=ROOT + "login", query=b"username=a+b&password=c+d+e")
    assert answer_north(SMSEND, request, door).status == 404
    assert door.tried == ["c d e", "c+d+e"]


def test_one_account_may_write_dashes_and_no_other() -> None:
    """Header names with dashes are for accounts that are flexible (4.2)."""
    dashed = ((b"User-Key", b"1"), (b"Session-Key", b"s"))
    request = HttpRequest(method="DELETE", path=ROOT + "sms/bulk", headers=dashed)
    for is_flexible, status in ((False, 401), (True, 404)):
        account = msgspec.structs.replace(ACCOUNT, is_flexible=is_flexible)

        def centre(call: Call, account: Account = account) -> Outcome:
            return account if isinstance(call, Authenticate) else Refused(Refusal.NOT_FOUND)

        assert answer_north(SMSEND, request, centre).status == status


@pytest.mark.parametrize(
    "written, number",
    [
        ("0", 0),
        (" 17 ", 17),
        (17, 17),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        (-1, None),
        ("-1", None),
        ("1.0", None),
        (1.0, None),
        (True, None),
        ("١٧", None),
        ("", None),
        (None, None),
    ],
)
def test_a_whole_number_is_one_of_63_bits(written: object, number: int | None) -> None:
    """What the database could not hold, or nobody could mean, is no number."""
    assert number_of(written) == number
