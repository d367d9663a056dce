"""SMSFox: one address, six fields, and an answer of two digits.

Strategy: each fact of the provider stands in one table (codes, states, counting), read in one direction by the north
half and in the other by the south half. A request is refused as a whole or taken as a whole (5.2), so a flow is short:
log in, look at the fields, submit. Numbers and sender stay as they were written; the gateway judges them, in the order
of 5.2.

Figures such as 5.2 are paragraphs of docs/dialects/smsfox.md; "ours" marks what the provider leaves open.
"""

from urllib.parse import urlsplit, urlunsplit

from chappe.core.centre import Accepted, Outcome, Refusal, Refused, Submit, Ticket, Uncertain, Verdict
from chappe.core.model import Account, Receipt, Report, State, Submission
from chappe.dialects.base import (
    BLANKS,
    CallbackTarget,
    Dialect,
    Flow,
    HttpRequest,
    HttpResponse,
    North,
    NorthFlow,
    Reply,
    South,
    Upstream,
    Words,
    answer_text,
    beyond_text,
    detail_of,
    fields_of,
    form_request,
    log_in,
    numbers_of,
    plain,
    reason_of,
    texts_of,
)
from chappe.sms.segments import Row, SegmentTable, count

# Facts

PATHS = ("/en/api/", "/en/api", "/ru/api/", "/ru/api", "/api/", "/api")  # 5.1
METHODS = ("GET", "POST")  # 5.1
SEPARATORS = ",;"  # between phones: 5.1
NO_REFERENCE = ("", "0")  # what the provider's library sends as `id` for "none": 5.1
ODD_KEY = b"_" + bytes(range(0x21)) + b"\x7f"  # what the provider's sample glues to its first key: 1.1, 5.1
TEXT_MAX = 800  # characters: 5.1
REFERENCE_MAX = 64  # characters: ours
RECIPIENTS_MAX = 10_000  # ours
BODY_MAX = 1 << 20  # bytes: ours

PROCESSED = "01"
REFUSALS = Words(  # 5.2; there is no code for trouble that passes, so it is "not now, not to this number"
    {
        "02": (
            Refusal.BAD_REQUEST,
            Refusal.EMPTY_TEXT,
            Refusal.TEXT_TOO_LONG,
            Refusal.TOO_MANY_RECIPIENTS,
            Refusal.UNSUPPORTED,
            Refusal.NOT_FOUND,
            Refusal.TOO_LATE,
        ),
        "03": (Refusal.UNAUTHORISED,),
        "04": (Refusal.BAD_RECIPIENT,),
        "05": (Refusal.NO_FUNDS,),
        "06": (Refusal.FORBIDDEN, Refusal.BAD_ORIGINATOR, Refusal.BLOCKED),
        "07": (
            Refusal.NO_ROUTE,
            Refusal.UNREACHABLE,
            Refusal.THROTTLED,
            Refusal.DUPLICATE,
            Refusal.OVERLOADED,
            Refusal.INTERNAL,
        ),
    }
)

STATES = Words(  # 5.4: final states only. 04 stands before 02 because we cannot tell an unknown subscriber
    {
        "01": (State.DELIVERED,),
        "03": (State.REJECTED,),
        "04": (State.UNDELIVERABLE, State.EXPIRED, State.UNKNOWN),
        "02": (State.UNDELIVERABLE,),
    }
)

COUNTING = SegmentTable(  # 5.3: not the 153 and 67 of the standard, and `é` is not Latin
    classify=str.isascii,
    rows={
        True: Row(limits=(160, 304, 456, 608, 760, 800)),
        False: Row(limits=(70, 132, 198, 264, 330, 396, 462, 528, 594, 660, 726, 792, 800)),
    },
)


# North: applications talk to us


def send(request: HttpRequest) -> NorthFlow:
    """One text to one or more phones; the answer is one code for all of them (5.2)."""
    if request.method not in METHODS:
        return refuse(Refused(Refusal.BAD_REQUEST))
    fields = read_fields(request)
    account = yield from log_in(fields["login"], fields["pwd"])
    if not isinstance(account, Account):
        return refuse(account)
    submission = read_submission(fields)
    if isinstance(submission, Refused):
        return refuse(submission)
    verdict = yield Submit(account, submission)
    return plain(PROCESSED) if isinstance(verdict, Accepted) else refuse(verdict)


def read_fields(request: HttpRequest) -> dict[str, str]:
    """The fields of 5.1, the first key freed of what the provider's own sample puts before it."""
    first, *others = fields_of(request).items() or [(b"", b"")]
    return texts_of({first[0].strip(ODD_KEY): first[1], **dict(others)})


def read_submission(fields: dict[str, str]) -> Submission | Refused:
    """What is asked, or what is wrong with the fields themselves: second place in the order of 5.2."""
    recipients = numbers_of(fields["phones"], SEPARATORS)
    reference = fields["id"].strip()
    if not recipients or len(reference) > REFERENCE_MAX:
        return Refused(Refusal.BAD_REQUEST)
    if len(recipients) > RECIPIENTS_MAX:
        return Refused(Refusal.TOO_MANY_RECIPIENTS)
    if not fields["msg"]:
        return Refused(Refusal.EMPTY_TEXT)
    if len(fields["msg"]) > TEXT_MAX:
        return Refused(Refusal.TEXT_TOO_LONG)
    return Submission(
        recipients=recipients,
        text=fields["msg"],
        originator=fields["sender"].strip(),
        reference="" if reference in NO_REFERENCE else reference,
        counting=COUNTING,
    )


def refuse(outcome: Outcome) -> HttpResponse:
    """The code of 5.2, always with HTTP 200: the provider's library sees no code behind another status."""
    return plain(REFUSALS.words[reason_of(outcome)])


def write_receipt(target: CallbackTarget, report: Report) -> HttpRequest:
    """5.4, in the method the customer chose. `id` is the customer's own, or ours where they gave none."""
    fields = {
        "id": report.reference or str(report.id),
        "phone": report.recipient,
        "status": STATES.words[report.state],
    }
    return form_request(target.method.upper() or "POST", target.url, fields)


# South: we talk to the provider


def submit(upstream: Upstream, submission: Submission) -> Flow[HttpRequest, Reply, Verdict]:
    """Our own reference goes along as `id` and comes back in the receipts: the answer holds no other (5.2, 5.4)."""
    unsupported = beyond_text(submission)
    if unsupported is not None:
        return unsupported
    if submission.scheduled_ms is not None:
        return Refused(Refusal.UNSUPPORTED, "SMSFox has no schedule")
    if len(submission.text) > TEXT_MAX:
        return Refused(Refusal.TEXT_TOO_LONG)
    fields = {
        "login": upstream.login,
        "pwd": upstream.password.value,
        "phones": ",".join(submission.recipients),
        "msg": submission.text,
        "id": submission.reference,
        "sender": submission.originator,
    }
    reply = yield form_request("POST", api_url(upstream.url), fields)
    answer = answer_text(reply)
    return read_answer(answer, submission) if isinstance(answer, str) else answer


def read_answer(answer: str, submission: Submission) -> Verdict:
    """The verdict behind two digits; whatever else arrives is no answer."""
    code = answer.strip(BLANKS)
    if code == PROCESSED:
        segments = count(submission.text, COUNTING) or 1
        return Accepted(
            tuple(
                Ticket(recipient=recipient, reference=submission.reference, segments=segments)
                for recipient in submission.recipients
            )
        )
    if code in REFUSALS.meanings:
        return Refused(REFUSALS.meanings[code], code)
    return Uncertain(f"unknown answer: {detail_of(answer)}")


def api_url(url: str) -> str:
    """A host alone stands for its English address, the one the provider documents (5.1)."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=PATHS[0])) if parts.path in ("", "/") else url


def read_receipt(upstream: Upstream, request: HttpRequest) -> Receipt | None:
    """5.4; the provider's text says "1, 2, 3 or 4" where its table and its callers say 01 to 04: both are read."""
    fields = texts_of(fields_of(request))
    reference, status = fields["id"].strip(), fields["status"].strip()
    state = STATES.meanings.get(status.zfill(2))
    if not reference or state is None:
        return None
    return Receipt(reference=reference, state=state, recipient=fields["phone"].strip(), detail=status)


SMSFOX = Dialect(
    name="smsfox",
    north=North(
        paths=dict.fromkeys(PATHS, send),
        refuse=refuse,
        body_max=BODY_MAX,
        recipients_max=RECIPIENTS_MAX,
        counting=COUNTING,
        default_originator="SMSFox",
        reported_states=frozenset(STATES.words),
        receipt=write_receipt,
    ),
    south=South(
        default_url="http://smsfox.ru/en/api/",
        submit=submit,
        receipt=read_receipt,
        receipt_by_our_reference=True,
        callback_answer=plain("OK"),
    ),
)
