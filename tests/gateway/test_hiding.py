"""No password stands in what is kept of a request: every golden conversation of every dialect, and hostile writings."""

import base64
import json
import re
import time
from collections.abc import Coroutine, Iterable, Iterator
from hashlib import md5, sha1
from urllib.parse import quote, unquote, unquote_plus

import pytest

from chappe.core.centre import Call, Outcome
from chappe.core.model import Account, Secret
from chappe.core.sessions import Authenticate, Session
from chappe.dialects.base import Dialect, HttpRequest, HttpResponse
from chappe.gateway.hiding import HIDDEN, LONG, Hider, is_secret_name, secrets_in
from chappe.gateway.requests import SIZE_MAX, Heard, kept_of
from chappe.gateway.watching import Watch
from chappe.store.requests import KeptRequest
from dialects.centres import DIALECTS
from dialects.transcripts import Case, cases_of

PASSWORD = "Tr0ub4dor & <3 é"


def kept(request: HttpRequest, response: HttpResponse, secrets: set[str], public: Iterable[str] = ()) -> KeptRequest:
    return kept_of(
        Heard(
            id=1,
            request=request,
            response=response,
            dialect="",
            account_id=0,
            submission_id=0,
            secrets=frozenset(secrets),
            public=frozenset(public),
            took_us=0,
            expires_ms=0,
        )
    )


def texts_of(one: KeptRequest) -> Iterator[str]:
    """All that is kept of a request, as it stands and as those could read it who take escapes and base64 apart."""
    written = [one.method, one.target, one.body, one.answer, *(word for header in one.headers for word in header)]
    for text in written:
        yield text
        yield unquote(text)
        yield unquote_plus(text)
        yield unquote_plus(text, "cp1251")
        yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        for word in re.findall(r"[A-Za-z0-9+/]{8,}", text):
            yield base64.b64decode(word[: len(word) // 4 * 4]).decode("latin-1")


def leaks(one: KeptRequest, secret: str) -> list[str]:
    return [text for text in texts_of(one) if secret.lower() in text.lower()]


def values_of_fields(one: KeptRequest) -> set[str]:
    """The values of the fields and headers that are kept."""
    pieces = re.split(r"[?&\s]", f"{one.target}&{one.body}&{one.answer}")
    values = {unquote_plus(piece.partition("=")[2] or piece) for piece in pieces}
    return values | {value for _, value in one.headers} | set(re.findall(r':\s*"((?:[^"\\]|\\.)*)"', one.body))


def run_now(work: Coroutine[object, object, Outcome]) -> Outcome:
    """What a coroutine returns that waits for nothing."""
    with pytest.raises(StopIteration) as ended:
        work.send(None)
    outcome: Outcome = ended.value.value
    return outcome


def watched(case: Case) -> tuple[Watch, HttpRequest, HttpResponse]:
    """A golden conversation as whoever keeps requests sees it."""
    request, response = case.steps[0].content, case.steps[-1].content
    answers = iter([step.content for step in case.steps if step.sign == "!"])

    async def answer(_call: Call) -> Outcome:
        return next(answers)  # type: ignore[return-value]

    watch = Watch(answer)
    for step in case.steps:
        if step.sign == "?":
            assert isinstance(step.content, Call)
            run_now(watch.ask(step.content))
    assert isinstance(request, HttpRequest)
    assert isinstance(response, HttpResponse)
    return watch, request, response


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_secret_of_a_golden_conversation_is_kept(dialect: Dialect) -> None:
    """Of every golden conversation of a dialect, whatever proved who asks or was given away is kept in no writing."""
    seen = 0
    for case in cases_of(dialect):
        if (case.steps[0].sign, case.steps[-1].sign) != (">", "<"):
            continue
        watch, request, response = watched(case)
        one = kept(request, response, watch.secrets, watch.public)
        for secret in filter(None, map(str.strip, watch.secrets)):
            seen += 1
            if len(secret) >= LONG:
                assert leaks(one, secret) == [], case.heading
            elif secret not in watch.public:
                assert secret not in values_of_fields(one), case.heading
    assert seen > 5


def test_what_is_no_secret_is_kept_as_it_was() -> None:
    """A request without a login loses nothing: neither its numbers and texts, nor how they were written."""
    request = HttpRequest(
        method="POST",
        path="/en/api/",
        query=b"login=alice&pwd=x&phones=%2B447700900123&msg=a+b%20c%26",
        headers=((b"Host", b"sms.example"), (b"X-Keys", b"1"), (b"Accept-Language", b"it")),
        body=b'{"to": "447700900123", "text": "caff\xc3\xa8 \\ud83d\\ude42", "n": 1.50}',
    )
    one = kept(request, HttpResponse(status=201, body=b"01"), {PASSWORD})
    assert one.target == "/en/api/?login=alice&pwd=***&phones=%2B447700900123&msg=a+b%20c%26"
    assert one.headers == (("Host", "sms.example"), ("X-Keys", "1"), ("Accept-Language", "it"))
    assert one.body == '{"to": "447700900123", "text": "caffè \\ud83d\\ude42", "n": 1.50}'
    assert (one.status, one.answer) == (201, "01")


JSON_OF_PASSWORD = json.dumps({"mes": "Hello", "note": PASSWORD})
WRITINGS = [
    pytest.param(HttpRequest(method="GET", path="/a", query=f"x={quote(PASSWORD)}".encode()), id="escaped"),
    pytest.param(
        HttpRequest(method="GET", path="/a", query=f"x=say+{quote(PASSWORD)}+!".encode()), id="within a value"
    ),
    pytest.param(HttpRequest(method="GET", path="/a", query=f"{quote(PASSWORD)}=x".encode()), id="as a name"),
    pytest.param(HttpRequest(method="GET", path="/a", query=quote(PASSWORD).encode()), id="as a bare query"),
    pytest.param(
        HttpRequest(method="GET", path="/a", query=("x=" + "".join(f"%{o:02x}" for o in PASSWORD.encode())).encode()),
        id="every octet escaped",
    ),
    pytest.param(
        HttpRequest(method="GET", path="/a", query=b"x=" + quote(PASSWORD, encoding="cp1252").encode()), id="latin"
    ),
    pytest.param(HttpRequest(method="GET", path=f"/a/{quote(PASSWORD, safe='')}/b"), id="in the path"),
    pytest.param(HttpRequest(method="POST", path="/a", body=JSON_OF_PASSWORD.encode()), id="JSON with escapes"),
    pytest.param(HttpRequest(method="POST", path="/a", body=JSON_OF_PASSWORD[:-1].encode()), id="broken JSON"),
    pytest.param(
        HttpRequest(method="POST", path="/a", body=json.dumps([[{"a": [PASSWORD]}]], ensure_ascii=False).encode()),
        id="deep in JSON",
    ),
    pytest.param(
        HttpRequest(method="POST", path="/a", body=b"[" * 5_000 + PASSWORD.encode()), id="JSON without an end"
    ),
    pytest.param(
        HttpRequest(
            method="POST",
            path="/a",
            headers=((b"Content-Type", b"multipart/form-data; boundary=x"),),
            body=f'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n{PASSWORD}\r\n--x--\r\n'.encode(),
        ),
        id="multipart",
    ),
    pytest.param(
        HttpRequest(method="POST", path="/a", body=b"<a><b c='1'>Tr0ub4dor &amp; &lt;3 \xc3\xa9</b></a>"), id="XML"
    ),
    pytest.param(HttpRequest(method="POST", path="/a", body=PASSWORD.encode()), id="the body itself"),
    pytest.param(HttpRequest(method="POST", path="/a", body=b"\xff\xfe" + PASSWORD.encode()), id="in rubbish"),
    pytest.param(
        HttpRequest(method="GET", path="/a", headers=((b"X-Note", PASSWORD.encode()),)), id="in a header of any name"
    ),
    pytest.param(
        HttpRequest(
            method="GET",
            path="/a",
            headers=((b"authorization", b"Basic " + base64.b64encode(f"alice:{PASSWORD}".encode())),),
        ),
        id="Basic",
    ),
    pytest.param(
        HttpRequest(method="POST", path="/a", body=b"x=" + b"a" * (SIZE_MAX - 8) + PASSWORD.encode()), id="at the cut"
    ),
]


@pytest.mark.parametrize("request_", WRITINGS)
def test_a_known_secret_is_hidden_however_it_is_written(request_: HttpRequest) -> None:
    """A password that proved who asks is found under any name, in any escape, in query, path, header and body."""
    one = kept(request_, HttpResponse(body=b"you said " + PASSWORD.encode()), {PASSWORD})
    assert leaks(one, PASSWORD) == []
    assert leaks(one, "ub4dor") == []


@pytest.mark.parametrize("digest", [md5(PASSWORD.encode()).hexdigest(), sha1(PASSWORD.encode()).hexdigest().upper()])
def test_digests_of_a_secret_are_hidden(digest: str) -> None:
    """What some providers take in place of a password is as good as one, and is kept nowhere either."""
    request = HttpRequest(method="GET", path="/a", query=f"check={digest}".encode())
    assert leaks(kept(request, HttpResponse(body=digest.encode()), {PASSWORD}), digest) == []


NAMED = [
    ("psw", True),
    ("PASSWORD", True),
    ("old-password", True),
    ("user_token", True),
    ("Session_key", True),
    ("access_token", True),
    ("Authorization", True),
    ("X-Api-Key", True),
    ("Cookie", True),
    ("key", True),
    ("login", False),
    ("phones", False),
    ("user_key", False),
    ("Idempotency-Key", False),
    ("msg", False),
    ("passage", False),
]


@pytest.mark.parametrize(("name", "is_secret"), NAMED)
def test_names_tell_secrets(name: str, is_secret: bool) -> None:
    """What stands under the name of a secret is hidden, also where nobody asked whether it was right."""
    assert is_secret_name(name) is is_secret
    request = HttpRequest(
        method="POST",
        path="/a",
        query=f"{name}=Guess42".encode(),
        headers=((name.encode(), b"Guess42"),),
        body=json.dumps({"a": [{name: "Guess42"}]}).encode(),
    )
    one = kept(request, HttpResponse(body=f'{{"{name}":"Guess42","x":1'.encode()), set())
    assert bool(leaks(one, "guess42")) is not is_secret
    form = HttpRequest(method="POST", path="/a", body=f"a=1&{name}=Guess42".encode())
    assert bool(leaks(kept(form, HttpResponse(), set()), "guess42")) is not is_secret


def test_the_credentials_of_another_kind_keep_their_scheme() -> None:
    """Of an Authorization header its scheme is kept, so that one sees what was tried."""
    request = HttpRequest(method="GET", path="/v1/messages", headers=((b"Authorization", b"Bearer test_abcdefgh"),))
    assert kept(request, HttpResponse(), set()).headers == (("Authorization", f"Bearer {HIDDEN}"),)


def test_a_name_that_is_its_own_password_stays_readable() -> None:
    """Where the name is the password, as in the demo, the name is kept where names stand."""
    request = HttpRequest(method="GET", path="/demo/", query=b"login=demo&pwd=demo&msg=a+demo")
    assert kept(request, HttpResponse(), {"demo"}, {"demo"}).target == "/demo/?login=demo&pwd=***&msg=a+demo"


def test_secrets_are_found_in_records_at_any_depth() -> None:
    """A call or outcome gives away every secret within it."""
    account = Account(id=1, name="a", token=Secret("one"), webhook_secret=Secret("two"))
    assert set(secrets_in((account, [Session(user_key="k", key=Secret("three"))]))) == {"one", "two", "three"}
    assert set(secrets_in(Authenticate("alice", Secret("four")))) == {"four"}


def test_a_session_that_an_answer_hands_out_is_hidden() -> None:
    """A session key is hidden in the answer that gives it, though it stands there without a name."""
    hider = Hider({"SESSIONKEY01"})
    assert hider.body(b"71;SESSIONKEY01", b"text/plain") == "71;***"


def test_what_is_long_is_cut() -> None:
    """Of a long body and answer the beginning is kept, and a sign that there was more."""
    one = kept(
        HttpRequest(method="POST", path="/a", body=b"\xc3\xa9" * (SIZE_MAX + 1)), HttpResponse(body=b"x" * 10**6), set()
    )
    assert (one.body[:-1], one.answer[:-1]) == ("é" * SIZE_MAX, "x" * SIZE_MAX)
    assert one.body[-1] == one.answer[-1] == "…"


HARD = [
    (b"content-disposition: x name=a\r\n" * 4_000, b"multipart/form-data"),
    (b"content-disposition: " + b"name" * 16_000, b"multipart/form-data"),
    (b'{"' + b'\\"' * 32_000, b""),
    (b"{" + b'"a":' * 16_000, b""),
    (b"<a " * 21_000, b""),
    (b'<a a="' + b' a="' * 16_000, b""),
    (b"a=1&" * 16_000, b""),
    (b"%" * 64_000, b"application/x-www-form-urlencoded"),
    (b"correct hors" * 5_000, b""),
    (b"[" * 64_000, b""),
]


@pytest.mark.parametrize(("body", "content_type"), HARD, ids=range(len(HARD)))
def test_no_body_takes_long(body: bytes, content_type: bytes) -> None:
    """A body made to be hard to look through is looked through at once."""
    hider = Hider({PASSWORD, "correct horse"})
    began_s = time.process_time()
    hider.body(body, content_type)
    assert time.process_time() - began_s < 1.0
