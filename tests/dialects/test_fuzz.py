"""Rubbish from both sides: no request, answer or callback, however broken, gets an exception or a false success.

The rubbish is made from what is right: every golden request, answer and callback is cut, doubled, swapped and sprinkled
with bytes that parsers dislike. The seed is fixed, so that a failure comes back.
"""

import json
import random
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec
import pytest

from chappe.core.centre import Accepted, Balance, Refused, Ticket, Uncertain
from chappe.core.model import Inbound, Receipt, Report
from chappe.dialects.base import Dialect, Flow, HttpRequest, HttpResponse, Reply, run
from dialects.centres import DIALECTS, ScriptedCentre, answer_north, upstream_of
from dialects.fidelity import SUBMISSION
from dialects.transcripts import cases_of

SEED = 20_240_917
REQUESTS_COUNT = 20_000  # per dialect
ANSWERS_COUNT = 5_000  # per dialect and call
CALLBACKS_COUNT = 5_000

NASTY = (
    *(b"\0", b"\r\n", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"%", b"%0", b"%00", b"%ED%A0%80", b"&a" * 300),
    *(
        b"&",
        b"=",
        b"+",
        b";",
        b",",
        b'"',
        b"_",
        b"--x",
        b"\r\n\r\n",
        b"{}",
        b"9" * 30,
        b"-1",
        b"1e9",
        b"login",
        b"Error",
    ),
)

# What stands in place of a whole value: the ends of calendars, of integers and of what is nested.
VALUE = re.compile(rb'(?<==)[^&\r\n]+|(?<=": )(?:"[^"]*"|[^",\]}]+)|(?<=":)(?:"[^"]*"|[^",\]}]+)')
ODD_VALUES = (
    *(b"@-99999999999", b"%2B999999", b"-999999+years", b"00010101000000", b"99991231235959", b'"0001-01-01 00:00"'),
    *(b"9223372036854775808", b"-9223372036854775809", b"FFFFFFFFFFFFFFFF", b"0" * 30, b"1e308", b"0.1", b"true"),
    *(b"null", b"[]", b"{}", b'[{"a": [1]}]', b'"\\ud83d"', "٣".encode(), b"*"),
)
DEPTHS = range(900, 1_000)  # about as deep as Python follows

METHODS = ("GET", "POST", "PUT", "get", "", "POST\0")
CONTENT_TYPES = (
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b'multipart/form-data; boundary="x; y"',
    b"multipart/form-data; boundary=",
    b"application/json; charset=\xff",
    b"",
)

Result = TypeVar("Result")

each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def mutate(chance: random.Random, octets: bytes) -> bytes:
    """One to four small misfortunes."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(octets))
        end = min(len(octets), start + chance.choice((0, 1, 1, 2, 8, 40)))
        middle = chance.choice((b"", chance.choice(NASTY), octets[start:end] * 2, chance.randbytes(3)))
        octets = octets[:start] + middle + octets[end:]
    return octets


def swap_value(chance: random.Random, octets: bytes) -> bytes:
    """One whole value of a form or of JSON becomes an odd one."""
    values = list(VALUE.finditer(octets))
    if not values:
        return octets
    depth = chance.choice(DEPTHS)
    odd = chance.choice((*ODD_VALUES, b"[" * depth + b"]" * depth))
    start, end = chance.choice(values).span()
    return octets[:start] + odd + octets[end:]


def misfortune(chance: random.Random, octets: bytes) -> bytes:
    return swap_value(chance, octets) if chance.random() < 0.3 else mutate(chance, octets)


def mutate_request(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """A misfortune to the query, the body, and now and then the method or the content type."""
    headers = request.headers
    if chance.random() < 0.2:
        headers = ((b"content-type", chance.choice(CONTENT_TYPES)),)
    return msgspec.structs.replace(
        request,
        method=request.method if chance.random() < 0.9 else chance.choice(METHODS),
        query=misfortune(chance, request.query) if request.query else b"",
        body=misfortune(chance, request.body) if request.body or chance.random() < 0.1 else b"",
        headers=headers,
    )


def golden_requests(dialect: Dialect, last_sign: str) -> list[HttpRequest]:
    """The requests that golden conversations begin with: to our north half (`<`), or callbacks to us (`!`)."""
    return [
        case.steps[0].content
        for case in cases_of(dialect)
        if isinstance(case.steps[0].content, HttpRequest) and case.steps[-1].sign == last_sign
    ]


@each_dialect
def test_no_request_breaks_the_north_half(dialect: Dialect) -> None:
    """20,000 broken requests get 20,000 answers, each with a status and in a form that the dialect has."""
    manners = MANNERS[dialect.name]
    chance, requests = random.Random(SEED), golden_requests(dialect, "<")
    for _ in range(REQUESTS_COUNT):
        request = mutate_request(chance, chance.choice(requests))
        tickets = (Ticket(recipient="447700900002", reference="9001"),)
        response = answer_north(dialect, request, ScriptedCentre(Accepted(tickets)))
        assert isinstance(response, HttpResponse)
        assert response.status in manners.statuses, request
        assert manners.is_answer(response.body), request


def answered(flow: Flow[HttpRequest, Reply, Result], reply: Reply) -> Result:
    """What a south flow finds when its one request is answered so."""
    return run(flow, lambda _: reply)


def is_smsfox_success(body: bytes) -> bool:
    return body.strip(b" \t\r\n") == b"01"


def is_proovl_success(body: bytes) -> bool:
    return (
        re.match(rb'[ \t\r\n"]*(Sent|Queued|Delivered)[ \t\r"]*;[ \t\r"]*[0-9A-Za-z_.:-]{1,64}[ \t\r"]*(;|\n|$)', body)
        is not None
    )


def is_voipcom_success(body: bytes) -> bool:
    try:
        answer = json.loads(body.decode("utf-8", "replace"))
    except ValueError:
        return False
    entries = {str(one.get("to")): one for one in reversed(answer["send_log"]) if isinstance(one, dict)}
    said = [entries[recipient] for recipient in SUBMISSION.recipients]
    return not answer.get("error") and any(str(one["code"]) == "200" and one["smsid"] for one in said)


def is_smsend_success(body: bytes) -> bool:
    answer = json.loads(body.decode("utf-8", "replace"))
    return bool(answer["result"] == "OK" and answer["order_id"])


def is_smscentre_success(body: bytes) -> bool:
    answer = json.loads(body.decode("utf-8", "replace"))
    return "error" not in answer and bool(answer["id"]) and int(answer["cnt"]) >= 1


def is_short_line(body: bytes) -> bool:
    return re.fullmatch(rb"[ -~]{1,100}", body) is not None


def is_json_object(body: bytes) -> bool:
    return isinstance(json.loads(body), dict)


class Manners(NamedTuple):
    """How a dialect answers, which the tests of rubbish hold it to."""

    success: bytes  # what the provider says when it has taken SUBMISSION
    is_success: Callable[[bytes], bool]  # whether an answer to SUBMISSION says so plainly
    is_answer: Callable[[bytes], bool] = is_short_line  # whether our north half may say this
    statuses: frozenset[int] = frozenset({200})  # with which of these


MANNERS: dict[str, Manners] = {
    "smsfox": Manners(b"01", is_smsfox_success),
    "proovl": Manners(b"Sent;31;1", is_proovl_success),
    "voipcom": Manners(
        b'{"send_log":[{"code":200,"to":"447700900002","smsid":"1"},{"code":200,"to":"447700900003","smsid":"2"}]}',
        is_voipcom_success,
        is_json_object,
        frozenset({200, 401, 404}),
    ),
    "smsend": Manners(
        b'{"result":"OK","order_id":"17","total_sent":2}',
        is_smsend_success,
        lambda body: len(body) <= 65_536,
        frozenset({200, 201, 400, 401, 404, 500}),
    ),
    "smscentre": Manners(b'{"id": 17,"cnt": 2}', is_smscentre_success, lambda body: 0 < len(body) <= 65_536),
}


def broken_answers(dialect: Dialect, count: int) -> list[bytes]:
    replies = [step.content for case in cases_of(dialect) for step in case.steps if step.sign == "<"]
    bodies = [reply.body for reply in replies if isinstance(reply, HttpResponse)]
    chance = random.Random(SEED)
    return [b"", b"\0" * 100_000, b";" * 70_000] + [mutate(chance, chance.choice(bodies)) for _ in range(count)]


@each_dialect
def test_no_answer_of_a_carrier_is_taken_for_a_false_success(dialect: Dialect) -> None:
    """5,000 broken answers to a submission: a verdict to each, and accepted only what says so plainly."""
    for body in broken_answers(dialect, ANSWERS_COUNT):
        flow = dialect.south.submit(upstream_of(dialect), SUBMISSION)
        verdict = answered(flow, HttpResponse(body=body))
        assert isinstance(verdict, Accepted | Refused | Uncertain)
        assert not isinstance(verdict, Accepted) or MANNERS[dialect.name].is_success(body), body


@each_dialect
def test_no_answer_of_a_carrier_breaks_a_question(dialect: Dialect) -> None:
    """5,000 broken answers to a query and to a balance: an outcome to each."""
    for body in broken_answers(dialect, ANSWERS_COUNT):
        reply = HttpResponse(body=body)
        if dialect.south.query is not None:
            flow = dialect.south.query(upstream_of(dialect), "9001", "447700900001", "447700900123")
            assert isinstance(answered(flow, reply), Report | Refused | Uncertain)
        if dialect.south.balance is not None:
            balance = dialect.south.balance(upstream_of(dialect))
            assert isinstance(answered(balance, reply), Balance | Refused | Uncertain)


@each_dialect
def test_no_status_but_2xx_is_a_success(dialect: Dialect) -> None:
    """Whatever the body says, a status other than 2xx accepts nothing, and every status has a verdict."""
    for status in range(100, 600):
        flow = dialect.south.submit(upstream_of(dialect), SUBMISSION)
        verdict = answered(flow, HttpResponse(status=status, body=MANNERS[dialect.name].success))
        assert isinstance(verdict, Accepted) == (200 <= status < 300)


@each_dialect
def test_no_callback_breaks_the_south_half(dialect: Dialect) -> None:
    """5,000 broken callbacks are receipts, inbound messages or nothing."""
    chance, requests = random.Random(SEED), golden_requests(dialect, "!")
    for _ in range(CALLBACKS_COUNT):
        request = mutate_request(chance, chance.choice(requests))
        if dialect.south.receipt is not None:
            assert isinstance(dialect.south.receipt(upstream_of(dialect), request), Receipt | None)
        if dialect.south.inbound is not None:
            assert isinstance(dialect.south.inbound(upstream_of(dialect), request), Inbound | None)
