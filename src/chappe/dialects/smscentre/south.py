"""We as a customer of the provider: always POST, UTF-8 and JSON, and our own reference as the id (2, 3, 4.1).

Phones go with a plus sign, or the provider would correct them. Some answers come as plain text whatever was asked for
(1.5, 3.4), so both are read.
"""

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from chappe.core.centre import (
    Accepted,
    Balance,
    Cancelled,
    Refusal,
    Refused,
    Ticket,
    Uncertain,
    Verdict,
)
from chappe.core.model import Coding, Report, Submission
from chappe.dialects.base import (
    BLANKS,
    Flow,
    HttpRequest,
    HttpResponse,
    Reply,
    Upstream,
    answer_text,
    detail_of,
    form_request,
    micros_of,
    unknown_answer,
)
from chappe.dialects.smscentre.facts import (
    BALANCE,
    CLIENT_ID,
    COMMENT,
    CURRENCIES,
    DELETION_REFUSALS,
    DUPLICATE,
    LINE_BREAK,
    NOT_FOUND,
    NOT_SERVED_PREFIXES,
    REFUSALS,
    SEND,
    STATUS,
    TEXT_MAX,
    WRONG_NUMBERS,
    Fate,
    state_of,
)
from chappe.dialects.smscentre.times import written_validity
from chappe.sms.segments import SEGMENTS_MAX

PLAIN_ERROR = re.compile(r"ERROR = ([0-9]{1,3}) \(([^)]*)\)")  # 1.5
NUMBERS_ERROR = re.compile(r"[0-9A-Za-z._-]{1,40},-([0-9]{1,3})")  # 1.5
OUR_CURRENCIES = {theirs: ours for ours, theirs in CURRENCIES.items()}
CODINGS = {Coding.TEXT: {}, Coding.FLASH: {"flash": "1"}, Coding.BINARY: {"bin": "2"}}  # 2.1
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")

DONE = ("OK", "<result>OK</result>")  # 9

Answer = dict[str, Any]


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """One id names all messages of the request (2.7); `err` tells which numbers are wrong (2.5)."""
    fields = message_fields(submission)
    if isinstance(fields, Refused):
        return fields
    answer = read_answer((yield ask(upstream, SEND, fields | {"err": "1"})), REFUSALS)
    return read_acceptance(answer, submission) if isinstance(answer, dict) else answer


def message_fields(submission: Submission) -> dict[str, str] | Refused:
    """2.1; what the provider would read as something else than the text it is, is not sent (2.2)."""
    texts = submission.texts or (submission.text,)
    if any(len(text) > TEXT_MAX for text in texts):
        return Refused(Refusal.TEXT_TOO_LONG)
    if any(map(is_misread, texts)) or any(LINE_BREAK in text for text in submission.texts):
        return Refused(Refusal.UNSUPPORTED, "a prefix, a comment or a line break of SMS Centre")
    if submission.reference and not CLIENT_ID.fullmatch(submission.reference):
        return Refused(Refusal.BAD_REQUEST, "not an id of SMS Centre")
    fields = {"id": submission.reference, "sender": submission.originator}
    if submission.scheduled_ms is not None:
        fields["time"] = f"0{submission.scheduled_ms // 1000}"
    if submission.validity_s is not None:
        fields["valid"] = written_validity(submission.validity_s)
    return addressed(submission) | {name: value for name, value in fields.items() if value} | CODINGS[submission.coding]


def is_misread(text: str) -> bool:
    """Whether the provider would take a text, or a part of it, for something else (2.2)."""
    return text.startswith(NOT_SERVED_PREFIXES) or COMMENT.search(text) is not None


def addressed(submission: Submission) -> dict[str, str]:
    """Phones and the text they all get, or a list of phones and texts."""
    phones = [f"+{recipient}" for recipient in submission.recipients]
    if not submission.texts:
        return {"phones": ",".join(phones), "mes": submission.text}
    texts = (text.replace("\r\n", "\n").replace("\n", LINE_BREAK) for text in submission.texts)
    return {"list": "\n".join(f"{phone}:{text}" for phone, text in zip(phones, texts, strict=True))}


def read_acceptance(answer: Answer, submission: Submission) -> Verdict:
    """2.4, 2.5: `cnt` counts the parts of all messages together."""
    reference, parts = text_of(answer.get("id")), number_of(answer.get("cnt"))
    if not CLIENT_ID.fullmatch(reference) or parts is None or parts < 1:
        return unknown_answer(answer)
    wrong = wrong_numbers(answer.get("phones"))
    good_count = max(1, len(submission.recipients) - len(wrong))
    segments = min(max(1, parts // good_count), SEGMENTS_MAX)
    return Accepted(
        tuple(
            Ticket(recipient=recipient, reference=reference, segments=segments, refusal=wrong.get(recipient))
            for recipient in submission.recipients
        ),
        reference=reference,
    )


def wrong_numbers(listed: object) -> dict[str, Refusal]:
    """Which phones are wrong, and why; a phone without a status is right (2.5)."""
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    statuses = {text_of(row.get("phone")).lstrip("+"): number_of(row.get("status")) for row in rows}
    return {
        phone: WRONG_NUMBERS.get(status, Refusal.BAD_RECIPIENT)
        for phone, status in statuses.items()
        if status is not None
    }


def query(
    upstream: Upstream, reference: str, originator: str, recipient: str
) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]:
    """A message is asked for by id and phone (3.1)."""
    if not recipient:
        return Refused(Refusal.UNSUPPORTED, "SMS Centre asks for the phone as well")
    fields = {"id": reference, "phone": f"+{recipient}", "all": "1"}
    answer = read_answer((yield ask(upstream, STATUS, fields)), REFUSALS)
    if not isinstance(answer, dict):
        return answer
    status, err = number_of(answer.get("status")), number_of(answer.get("err"))
    if status == NOT_FOUND:
        return Refused(Refusal.NOT_FOUND)
    state = state_of(Fate(status, err or 0)) if status is not None else None
    if state is None:
        return unknown_answer(answer)
    return Report(
        id=0,
        submission_id=0,
        reference=reference,
        originator=text_of(answer.get("sender_id")) or originator,
        recipient=recipient,
        state=state,
        segments=min(max(0, number_of(answer.get("sms_cnt")) or 0), SEGMENTS_MAX),
        price_micros=micros_of(text_of(answer.get("cost"))) or 0,
    )


def cancel(
    upstream: Upstream, reference: str, recipient: str
) -> Flow[HttpRequest, Reply, Cancelled | Refused | Uncertain]:
    """3.4; here an empty body stands for OK as well (9)."""
    if not recipient:
        return Refused(Refusal.UNSUPPORTED, "SMS Centre asks for the phone as well")
    reply = yield ask(upstream, STATUS, {"id": reference, "phone": f"+{recipient}", "del": "1"})
    if isinstance(reply, HttpResponse) and reply.status == 200 and not reply.body:
        return Cancelled()
    answer = read_answer(reply, DELETION_REFUSALS)
    if not isinstance(answer, dict):
        return answer
    return Cancelled() if answer.get("result") == "OK" else unknown_answer(answer)


def fetch_balance(upstream: Upstream) -> Flow[HttpRequest, Reply, Balance | Refused | Uncertain]:
    """4.1, with its currency."""
    answer = read_answer((yield ask(upstream, BALANCE, {"cur": "1"})), REFUSALS)
    if not isinstance(answer, dict):
        return answer
    amount_micros, currency = micros_of(text_of(answer.get("balance"))), text_of(answer.get("currency"))
    if amount_micros is None:
        return unknown_answer(answer)
    return Balance(amount_micros=amount_micros, currency=OUR_CURRENCIES.get(currency, currency)[:8])


# What all questions have in common


def ask(upstream: Upstream, path: str, fields: dict[str, str]) -> HttpRequest:
    """1.2: the carrier's option `api_key` takes the place of the password."""
    key = upstream.options.get("api_key", "")
    proof = {"apikey": key} if key else {"psw": upstream.password.value}
    login = {"login": upstream.login} if upstream.login or not key else {}
    return form_request("POST", api_url(upstream.url, path), login | proof | fields | {"charset": "utf-8", "fmt": "3"})


def api_url(url: str, path: str) -> str:
    """One of the addresses of 1.1 at a host that may be written with `/sys`, with a script of it, or without."""
    parts = urlsplit(url)
    base, found, _ = parts.path.partition("/sys")
    return urlunsplit(parts._replace(path=(base if found else base.rstrip("/")) + path))


def read_answer(reply: Reply, refusals: dict[int, Refusal]) -> Answer | Refused | Uncertain:
    """The members of a JSON answer, or of a bare `OK`; a refusal in JSON, in words or in numbers (1.5, 9)."""
    text = answer_text(reply)
    if not isinstance(text, str):
        return text
    body = text.strip(BLANKS)
    if body in DONE:
        return {"result": "OK"}
    error = PLAIN_ERROR.match(body) or NUMBERS_ERROR.fullmatch(body)
    if error is not None:
        return refusal_of(int(error[1]), error[2] if error.re is PLAIN_ERROR else "", refusals)
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return Uncertain(f"not JSON: {detail_of(body)}")
    if not isinstance(answer, dict):
        return unknown_answer(answer)
    if "error_code" not in answer and "error" not in answer:
        return answer
    code = number_of(answer.get("error_code"))
    return refusal_of(0 if code is None else code, text_of(answer.get("error")), refusals)


def refusal_of(code: int, text: str, refusals: dict[int, Refusal]) -> Refused:
    """Code 9 means too often, and its text whether it was the same message (1.5); an unlisted code is our fault."""
    detail = detail_of(f"{code} {text}")
    if (code, text) == DUPLICATE:
        return Refused(Refusal.DUPLICATE, detail)
    return Refused(refusals.get(code, Refusal.BAD_REQUEST), detail)


def text_of(value: object) -> str:
    """A value that may be text or a number (9)."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def number_of(value: object) -> int | None:
    written = text_of(value)
    return int(written) if WHOLE_NUMBER.fullmatch(written) else None
