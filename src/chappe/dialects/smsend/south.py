"""We talk to the provider, or to any of its family: log in once for an access token, then JSON with two headers.

The HTTP status decides: 201 is accepted, 400 refused in the provider's words, 401 bad keys, 404 unknown (4.3, 4.15).
Our own id goes along as `order_id`, so that questions and receipts name it.
"""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from chappe.core.centre import Accepted, Balance, Cancelled, Refusal, Refused, Ticket, Uncertain, Verdict
from chappe.core.model import Report, Secret, Service, Submission
from chappe.dialects.base import (
    Flow,
    Headers,
    HttpRequest,
    HttpResponse,
    Reply,
    Upstream,
    answer_json,
    answer_text,
    beyond_text,
    detail_of,
    micros_of,
    target_of,
    text_of,
    unknown_answer,
)
from chappe.dialects.smsend.dates import COMPACT
from chappe.dialects.smsend.facts import (
    FAULTS,
    LOGIN_STYLE,
    LOGIN_STYLES,
    MESSAGE_TYPES,
    ROOT,
    SOUTH_TIMEZONE,
    STATES,
    TEXTS_MAX,
)
from chappe.dialects.smsend.orders import ORDER_ID
from chappe.dialects.times import wall_clock
from chappe.sms.alphabets import GSM
from chappe.sms.numbers import parse_msisdn
from chappe.sms.segments import STANDARD, count

KEYS = re.compile(r"([!-:<-~]{1,200});([!-:<-~]{1,400})")  # 4.2: two ASCII parts and one semicolon
UNKNOWN_USER = Refusal.UNAUTHORISED  # what 404 means where no order is named: 4.2
REASONS = {(fault.status, fault.code, fault.text): reason for reason, fault in FAULTS.items()}


def log_in(upstream: Upstream) -> Flow[HttpRequest, Reply, Upstream | Refused | Uncertain]:
    """GET `token`, with the login in the query or, by the carrier option `login_style`, as Basic (4.2)."""
    login, password = (value.encode("utf-8", "replace") for value in (upstream.login, upstream.password.value))
    request = call(upstream, "GET", "token")
    if upstream.options.get("login_style", LOGIN_STYLE) == LOGIN_STYLES[1]:
        basic = (b"authorization", b"Basic " + b64encode(login + b":" + password))
        request = msgspec.structs.replace(request, headers=(basic,))
    else:
        query = f"username={quote(login, safe='')}&password={quote(password, safe='')}"
        request = msgspec.structs.replace(request, query=query.encode())
    reply = yield request
    if isinstance(reply, HttpResponse) and reply.status in (401, 404):
        return Refused(Refusal.UNAUTHORISED, f"HTTP {reply.status}")
    answer = read_error(reply) or answer_text(reply)
    if not isinstance(answer, str):
        return answer
    keys = KEYS.fullmatch(answer.strip())
    if keys is None:
        return Uncertain("an answer to the log-in that is none")  # it may hold a key: never quoted
    session = {"user_key": Secret(keys[1]), "access_token": Secret(keys[2])}
    return msgspec.structs.replace(upstream, session=session)


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """`sms`, to one recipient or many (4.4)."""
    refused = unfit(submission)
    if refused is not None:
        return refused
    body: dict[str, Any] = {
        "message_type": type_of(upstream, submission.service),
        "message": sendable(submission.text),
        "recipient": [f"+{recipient}" for recipient in submission.recipients],
        "sender": sendable(submission.originator) or None,
        "encoding": "ucs2" if is_wide(submission.text) else "gsm",
        "truncate": False,
    }
    if submission.reference:
        body["order_id"] = submission.reference
    if submission.validity_s:
        body["validity_period_min"] = max(submission.validity_s // 60, 1)
    if submission.scheduled_ms is not None:
        body["scheduled_delivery_time"] = wall_clock(submission.scheduled_ms, SOUTH_TIMEZONE).strftime(COMPACT)
        body["scheduled_delivery_timezone"] = SOUTH_TIMEZONE
    reply = yield call(upstream, "POST", "sms", msgspec.json.encode(body))
    return read_verdict(reply, submission)


def unfit(submission: Submission) -> Refused | None:
    """What this provider cannot carry, told without asking it."""
    unsupported = beyond_text(submission)
    if unsupported is not None:
        return unsupported
    if submission.reference and not ORDER_ID.fullmatch(submission.reference):
        return Refused(Refusal.BAD_REQUEST, "order_id")
    if len(submission.text) > TEXTS_MAX[submission.service is Service.ECONOMY, is_wide(submission.text)]:
        return Refused(Refusal.TEXT_TOO_LONG)
    return None


def read_verdict(reply: Reply, submission: Submission) -> Verdict:
    """Exactly 201 is a yes (4.6); another 2xx may be one, but does not say so."""
    answer = read_error(reply, UNKNOWN_USER) or answer_json(reply)
    if isinstance(answer, Refused | Uncertain):
        return answer
    match answer:
        case {"result": "OK", "order_id": str(order_id)} if order_id and isinstance(reply, HttpResponse):
            segments = count(submission.text, STANDARD) or 1
            return Accepted(
                tuple(
                    Ticket(recipient=recipient, reference=order_id, segments=segments)
                    for recipient in submission.recipients
                )
            )
    return unknown_answer(answer)


def query(
    upstream: Upstream, reference: str, originator: str, recipient: str
) -> Flow[HttpRequest, Reply, Report | Refused | Uncertain]:
    """GET `sms/{order_id}`; of several recipients the one that is meant, else the first (4.7)."""
    reply = yield call(upstream, "GET", f"sms/{quote(reference, safe='')}")
    answer = read_error(reply) or answer_json(reply)
    if isinstance(answer, Refused | Uncertain):
        return answer
    match answer:
        case {"recipients": [*entries]}:
            states = {
                parse_msisdn(str(entry.get("destination"))) or "": STATES.meanings.get(str(entry.get("status")))
                for entry in reversed(entries)
                if isinstance(entry, dict)
            }
            destination = recipient or next(iter(reversed(states)), "")
            state = states.get(destination)
            if state is not None:
                return Report(
                    id=0,
                    submission_id=0,
                    reference=reference,
                    originator=originator,
                    recipient=destination,
                    state=state,
                    segments=0,
                    price_micros=0,
                )
    return unknown_answer(answer)


def cancel(
    upstream: Upstream, reference: str, recipient: str
) -> Flow[HttpRequest, Reply, Cancelled | Refused | Uncertain]:
    """DELETE `sms/{order_id}`: the whole order, whoever of its recipients is meant (4.3)."""
    reply = yield call(upstream, "DELETE", f"sms/{quote(reference, safe='')}")
    if isinstance(reply, HttpResponse) and 200 <= reply.status < 300:
        return Cancelled()
    answer = read_error(reply) or answer_text(reply)
    return answer if isinstance(answer, Refused | Uncertain) else Uncertain(detail_of(answer))


def fetch_balance(upstream: Upstream) -> Flow[HttpRequest, Reply, Balance | Refused | Uncertain]:
    """`status?getMoney=true`, in the currency of the account, which the answer does not name (4.8)."""
    request = call(upstream, "GET", "status")
    reply = yield msgspec.structs.replace(request, query=b"getMoney=true&typeAliases=true")
    answer = read_error(reply, UNKNOWN_USER) or answer_json(reply)
    if isinstance(answer, Refused | Uncertain):
        return answer
    match answer:
        case {"money": int() | float() | str() as money} if not isinstance(money, bool):
            amount_micros = micros_of(str(money))
            if amount_micros is not None:
                return Balance(amount_micros=amount_micros)
    return unknown_answer(answer)


# What every request and answer has in common


def call(upstream: Upstream, method: str, path: str, body: bytes = b"") -> HttpRequest:
    """A request to a path below the root, proved by the two headers once there is a session (4.2)."""
    origin, base, _ = target_of(api_url(upstream.url))
    headers: Headers = tuple(
        (name.encode(), upstream.session[name].value.encode("ascii", "replace"))
        for name in ("user_key", "access_token")
        if name in upstream.session
    )
    content_type: Headers = ((b"content-type", b"application/json"),) if body else ()
    return HttpRequest(method=method, origin=origin, path=base + path, headers=headers + content_type, body=body)


def api_url(url: str) -> str:
    """A host alone stands for the root that all brands share (4.1)."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=ROOT if parts.path in ("", "/") else parts.path.rstrip("/") + "/", query=""))


def read_error(reply: Reply, not_found: Refusal = Refusal.NOT_FOUND) -> Refused | None:
    """400, 401 and 404 are certain refusals, with a text in the body or none (4.15); all else is read elsewhere."""
    if not isinstance(reply, HttpResponse) or reply.status not in (400, 401, 404):
        return None
    otherwise = {400: Refusal.BAD_REQUEST, 401: Refusal.UNAUTHORISED, 404: not_found}[reply.status]
    try:
        answer = msgspec.json.decode(text_of(reply.body[:4096]))
    except (msgspec.DecodeError, RecursionError):
        answer = None
    match answer:
        case {"error_code": int(code), "error_message": str(text)}:
            pass
        case {"result": str(text)} | {"error_message": str(text)}:
            code = 0
        case _:
            return Refused(otherwise, f"HTTP {reply.status}")
    reason = REASONS.get((reply.status, code, text.partition(":")[0]), otherwise)
    return Refused(not_found if reason is Refusal.NOT_FOUND else reason, detail_of(text))


def type_of(upstream: Upstream, service: Service) -> str:
    """The carrier option `message_types`, such as `premium=GP,economy=SI`; else the provider's own words (4.1)."""
    pairs = (pair.partition("=") for pair in upstream.options.get("message_types", "").split(","))
    words = {name.strip(): word.strip() for name, _, word in pairs if word.strip()}
    return words.get(service) or next(word for word, meant in MESSAGE_TYPES.items() if meant is service)


def is_wide(text: str) -> bool:
    return GSM.units(text) is None


def sendable(text: str) -> str:
    """Half a character, which no charset of the wire can carry, as a question mark."""
    return text.encode("utf-8", "replace").decode()
