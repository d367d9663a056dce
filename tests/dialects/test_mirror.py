"""The mirror test, once for all dialects: our south half talks to our north half, and what was said must arrive.

What a dialect cannot carry is declared in LOSSES and nowhere else. First everything there is to say is said once, then
hypothesis says whatever can be said.
"""

import re

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chappe.core.centre import Accepted, Balance, Refusal, Refused, Ticket
from chappe.core.model import Report, Secret, Service, State, Submission
from chappe.dialects.base import CallbackTarget, Dialect, Flow, HttpRequest, Reply
from dialects.centres import MIRRORED, ScriptedCentre, upstream_of
from dialects.fidelity import AS_SENT, PAGE, RENEW, REPORT, SUBMISSION, as_digits, converse, observe, page, printed

# What does not arrive as it was sent: dialect -> what was said -> what is heard.
LOSSES: dict[str, dict[str, str]] = {
    "chappe": {
        "receipt scheduled": "not sent",
        "receipt queued": "not sent",
        "receipt sending": "not sent",
    },
    "smsfox": {
        "texts": "refused: unsupported",
        "coding flash": "refused: unsupported",
        "coding binary": "refused: unsupported",
        "service premium": "standard",
        "service economy": "standard",
        "priority urgent": "dropped",
        "priority bulk": "dropped",
        "scheduled_ms": "refused: unsupported",
        "validity_s": "dropped",
        "wants_callbacks": "dropped",
        "ticket reference": "the sender's own",
        "ticket segments": "counted by the sender",
        "refusal bad_originator": "forbidden",
        "refusal blocked": "forbidden",
        "refusal duplicate": "no_route",
        "refusal empty_text": "bad_request",
        "refusal text_too_long": "bad_request",
        "refusal too_many_recipients": "bad_request",
        "refusal not_found": "bad_request",
        "refusal too_late": "bad_request",
        "refusal throttled": "no_route",
        "refusal overloaded": "no_route",
        "refusal unreachable": "no_route",
        "refusal unsupported": "bad_request",
        "refusal internal": "no_route",
        "uncertain": "refused: no_route",
        "receipt scheduled": "not sent",
        "receipt queued": "not sent",
        "receipt sending": "not sent",
        "receipt sent": "not sent",
        "receipt expired": "undeliverable",
        "receipt cancelled": "not sent",
        "receipt unknown": "undeliverable",
        "receipt id": "the sender's own",
        "query": "not offered",
        "balance": "not offered",
        "inbound": "not offered",
    },
    "proovl": {
        "texts": "refused: unsupported",
        "coding flash": "refused: unsupported",
        "coding binary": "refused: unsupported",
        "reference": "dropped",
        "service premium": "standard",
        "priority urgent": "dropped",
        "priority bulk": "dropped",
        "scheduled_ms": "refused: unsupported",
        "validity_s": "dropped",
        "wants_callbacks": "dropped",
        "refusal blocked": "forbidden",
        "refusal duplicate": "throttled",
        "refusal too_many_recipients": "bad_recipient",
        "refusal too_late": "bad_request",
        "refusal unreachable": "internal",
        "refusal unsupported": "bad_request",
        "uncertain": "refused: internal",
        "receipt scheduled": "not sent",
        "receipt queued": "not sent",
        "receipt sending": "not sent",
        "receipt expired": "undeliverable",
        "receipt cancelled": "rejected",
        "receipt unknown": "undeliverable",
        "receipt recipient": "dropped",
        "query scheduled": "queued",
        "query sending": "queued",
        "query expired": "undeliverable",
        "query cancelled": "rejected",
        "query unknown": "undeliverable",
        "balance currency": "dropped",
    },
    "voipcom": {
        "texts": "refused: unsupported",
        "coding flash": "refused: unsupported",
        "coding binary": "refused: unsupported",
        "economy with originator": "dropped",
        "reference": "dropped",
        "service premium": "standard",
        "priority urgent": "dropped",
        "priority bulk": "dropped",
        "validity_s": "dropped",
        "wants_callbacks": "dropped",
        "ticket reference": "in its own form",
        "ticket segments": "counted by the sender",
        "refusal unreachable": "overloaded",
        "refusal unsupported": "bad_request",
        "uncertain": "refused: internal",
        "receipt": "not offered",
        "query sending": "queued",
        "balance": "not offered",
        "inbound reference": "in its own form",
    },
    "smsend": {
        "texts": "refused: unsupported",
        "coding flash": "refused: unsupported",
        "coding binary": "refused: unsupported",
        "priority urgent": "dropped",
        "priority bulk": "dropped",
        "wants_callbacks": "dropped",
        "ticket reference": "the sender's own",
        "ticket segments": "counted by the sender",
        "refusal not_found": "unauthorised",
        "refusal unreachable": "overloaded",
        "refusal internal": "uncertain",
        "receipt scheduled": "not sent",
        "receipt queued": "not sent",
        "receipt sending": "not sent",
        "receipt sent": "not sent",
        "receipt cancelled": "undeliverable",
        "receipt id": "the sender's own",
        "query sending": "queued",
        "query cancelled": "undeliverable",
        "query price": "dropped",
        "balance currency": "dropped",
    },
    "smscentre": {
        "service premium": "standard",
        "service economy": "standard",
        "priority urgent": "dropped",
        "priority bulk": "dropped",
        "wants_callbacks": "dropped",
        "ticket reference": "the sender's own",
        "refusal bad_originator": "forbidden",
        "refusal empty_text": "bad_request",
        "refusal text_too_long": "bad_request",
        "refusal too_many_recipients": "bad_request",
        "refusal blocked": "no_route",
        "refusal not_found": "no_funds",
        "refusal too_late": "bad_request",
        "refusal overloaded": "throttled",
        "refusal unreachable": "throttled",
        "refusal unsupported": "bad_request",
        "refusal internal": "throttled",
        "uncertain": "refused: throttled",
        "receipt scheduled": "not sent",
        "receipt queued": "not sent",
        "receipt sending": "not sent",
        "receipt sent": "not sent",
        "receipt cancelled": "not sent",
        "receipt id": "the sender's own",
        "query scheduled": "queued",
        "query sending": "queued",
    },
}

# What a dialect says of every submission, whoever asks.
ALWAYS: dict[str, dict[str, object]] = {
    "voipcom": {"takes_part": True, "is_charged_late": True},
    "smsend": {"is_findable": True},
    "smscentre": {"takes_part": True, "is_findable": True},
}

# The longest text of any alphabet that every service class takes, in characters.
TEXT_MAX = {"smsend": 70}

# How our ids are written to whoever gave none of their own.
OUR_ID = {"smsend": "{:X}"}

# What cannot stand in the name of an account: HTTP Basic ends it there (RFC 7617 2).
NAME_ENDS = {"chappe": ":", "voipcom": ":"}

each_dialect = pytest.mark.parametrize("dialect", MIRRORED, ids=lambda dialect: dialect.name)


@each_dialect
def test_a_dialect_loses_what_is_declared_and_nothing_else(dialect: Dialect) -> None:
    """Every field, refusal and state arrives as it was sent, or as the table of losses says."""
    lost = {said: arrived for said, arrived in observe(dialect).items() if arrived != AS_SENT}
    assert lost == LOSSES[dialect.name]


# What arrives of anything that can be said

recipients = st.lists(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), min_size=1, max_size=20).map(tuple)
originators = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 .&+-]{0,9}[A-Za-z0-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=800)  # 800: smsfox 5.1
ids = st.integers(1, 2**63 - 1)
anything = st.builds(
    Submission,
    recipients=recipients,
    text=texts,
    originator=originators,
    service=st.sampled_from(Service),
    reference=ids.map(str),
)


def as_it_arrives(dialect: Dialect, submission: Submission) -> Submission:
    """The submission without what LOSSES says is lost."""
    losses = LOSSES[dialect.name]
    is_sender_lost = submission.service is Service.ECONOMY and losses.get("economy with originator") == "dropped"
    return msgspec.structs.replace(
        submission,
        service=Service(losses.get(f"service {submission.service}", submission.service)),
        reference="" if losses.get("reference") == "dropped" else submission.reference,
        originator="" if is_sender_lost else submission.originator,
        counting=dialect.north.counting,
        **ALWAYS.get(dialect.name, {}),
    )


@each_dialect
@given(submission=anything)
def test_a_submission_arrives(dialect: Dialect, submission: Submission) -> None:
    """Any text of Unicode, any numbers, sender and reference reach the gateway, and an acceptance comes back."""
    submission = msgspec.structs.replace(submission, text=submission.text[: TEXT_MAX.get(dialect.name)])
    given_tickets = tuple(Ticket(recipient=recipient, reference="9001") for recipient in submission.recipients)
    centre = ScriptedCentre(Accepted(given_tickets))
    verdict = converse(dialect, dialect.south.submit(upstream_of(dialect), submission), centre)
    assert centre.submission is not None
    assert as_digits(centre.submission) == as_it_arrives(dialect, submission)
    assert isinstance(verdict, Accepted)
    assert tuple(ticket.recipient for ticket in verdict.tickets) == submission.recipients


@each_dialect
@given(name=texts, password=texts)
def test_a_login_arrives(dialect: Dialect, name: str, password: str) -> None:
    """Any name and password reach the gateway as they are, and a wrong one is refused as such."""
    assume(NAME_ENDS.get(dialect.name, name + ".") not in name)
    centre = ScriptedCentre(Refused(Refusal.INTERNAL))
    upstream = upstream_of(dialect, login=name, password=Secret(password))
    log_in = dialect.south.log_in
    flow: Flow[HttpRequest, Reply, object] = log_in(upstream) if log_in else dialect.south.submit(upstream, SUBMISSION)
    verdict = converse(dialect, flow, centre)
    assert [(getattr(call, "name", None), getattr(call, "secret", None)) for call in centre.calls] == [
        (name, Secret(password))
    ]
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNAUTHORISED


@each_dialect
@given(report_id=ids, recipient=st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), token=texts)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_receipt_arrives(dialect: Dialect, method: str, report_id: int, recipient: str, token: str) -> None:
    """A receipt for any message reaches whoever sent it, by the id that they know."""
    if dialect.south.receipt is None or dialect.north.receipt is None:
        return
    report = msgspec.structs.replace(REPORT, id=report_id, submission_id=report_id, reference="", recipient=recipient)
    target = CallbackTarget(url="http://127.0.0.1:9000/a b/é?x=1", method=method, token=Secret(token))
    request = dialect.north.receipt(target, report)
    receipt = dialect.south.receipt(upstream_of(dialect, password=Secret(token)), request)
    assert receipt is not None
    assert (receipt.reference, receipt.state) == (OUR_ID.get(dialect.name, "{}").format(report_id), State.DELIVERED)
    assert re.fullmatch(r"[!-~]+", request.url)  # nothing that a request line could not carry


@each_dialect
@given(amount_micros=st.integers(-(10**15), 10**15))
def test_a_balance_arrives(dialect: Dialect, amount_micros: int) -> None:
    """Any balance arrives to four decimals, and never as more than there is."""
    if dialect.south.balance is not None:
        centre = ScriptedCentre(Balance(amount_micros=amount_micros))
        balance = converse(dialect, dialect.south.balance(upstream_of(dialect)), centre)
        assert isinstance(balance, Balance)
        assert 0 <= amount_micros - balance.amount_micros < 100


@each_dialect
@given(message_id=ids, price_micros=st.integers(0, 10**15))
def test_a_report_arrives(dialect: Dialect, message_id: int, price_micros: int) -> None:
    """Any price arrives to the millionth, under the id that was asked for."""
    if dialect.south.query is not None:
        sent = msgspec.structs.replace(REPORT, id=message_id, submission_id=message_id, price_micros=price_micros)
        reference = printed(dialect, message_id)
        flow = dialect.south.query(upstream_of(dialect), reference, REPORT.originator, REPORT.recipient)
        report = converse(dialect, flow, ScriptedCentre(sent))
        assert isinstance(report, Report)
        assert (report.reference, report.price_micros) == (
            reference,
            0 if LOSSES[dialect.name].get("query price") == "dropped" else price_micros,
        )


@each_dialect
def test_half_a_character_does_no_harm(dialect: Dialect) -> None:
    """A lone surrogate, which no charset of the wire can carry, arrives as a question mark."""
    centre = ScriptedCentre(Refused(Refusal.INTERNAL))
    submission = msgspec.structs.replace(SUBMISSION, text="a\ud800b", originator="A\udfff")
    converse(dialect, dialect.south.submit(upstream_of(dialect), submission), centre)
    assert centre.submission is not None
    assert (centre.submission.text, centre.submission.originator) == ("a?b", "A?")


def test_the_fidelity_page_tells_what_was_observed() -> None:
    """docs/dialects/fidelity.md says exactly what the mirror test saw."""
    assert PAGE.read_text("utf-8") == page(), f"{PAGE.name} is out of date: run {RENEW}"
