"""What each dialect carries: everything there is to say is said once from our south half to our north half and back.

The mirror test holds what is observed here against its table of losses, and docs/dialects/fidelity.md is written from
it, so that the page cannot promise what the code does not do. To renew the page, run this module.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from chappe.core.centre import Accepted, Balance, Outcome, Refusal, Refused, Ticket, Uncertain
from chappe.core.model import Coding, Inbound, Priority, Report, Service, State, Submission
from chappe.dialects.base import CallbackTarget, Dialect, Flow, HttpRequest, Reply, run
from dialects.centres import MIRRORED, PASSWORD, ScriptedCentre, answer_north, upstream_of

PAGE = Path(__file__).parents[2] / "docs" / "dialects" / "fidelity.md"
RENEW = "PYTHONPATH=tests .venv/bin/python -m dialects.fidelity"

AS_SENT = "as sent"
OWN_FORM = "in its own form"
TARGET = CallbackTarget(url="http://127.0.0.1:9000/callbacks", token=PASSWORD)
SUBMISSION = Submission(
    recipients=("447700900002", "447700900003"), text="Hello", originator="447700900001", reference="17"
)
REPORT = Report(
    id=9001,
    submission_id=9001,
    reference="17",
    originator="447700900001",
    recipient="447700900002",
    state=State.DELIVERED,
    segments=1,
    price_micros=12_345,
)
INBOUND = Inbound(reference="77", originator="447700900002", recipient="447700900001", text="Yes & no, € 5")


Result = TypeVar("Result")


def converse(dialect: Dialect, flow: Flow[HttpRequest, Reply, Result], centre: ScriptedCentre) -> Result:
    """The mirror: what the south half sends goes to the north half of the same dialect, and its answer comes back."""
    return run(flow, lambda request: answer_north(dialect, request, centre))


# What arrives of everything there is to say


class Heard(NamedTuple):
    """One thing that was said to one dialect: its row in LOSSES and on the page, and what arrived."""

    said: str
    arrived: str


def observe(dialect: Dialect) -> dict[str, str]:
    """Everything said once; what arrived unchanged is AS_SENT."""
    steps = (submissions, tickets, refusals, receipts, queries, balances, inbound_messages)
    return {heard.said: heard.arrived for step in steps for heard in step(dialect)}


def heard(said: str, sent: object, arrived: object, otherwise: str = "") -> Heard:
    return Heard(said, AS_SENT if sent == arrived else otherwise or str(arrived))


VALUES: list[tuple[str, dict[str, object]]] = [
    ("recipients", {"recipients": ("447700900002", "447700900003")}),
    ("text", {"text": "Hello & 50% +\r\n€ é 😀"}),
    ("texts", {"texts": ("Hello", "Good-bye")}),
    ("coding flash", {"coding": Coding.FLASH}),
    ("coding binary", {"coding": Coding.BINARY, "text": "48656C6C6F"}),
    ("originator", {"originator": "ACME Ltd"}),
    ("economy with originator", {"originator": "ACME", "service": Service.ECONOMY}),
    ("reference", {"reference": "18"}),
    ("service premium", {"service": Service.PREMIUM}),
    ("service standard", {"service": Service.STANDARD}),
    ("service economy", {"service": Service.ECONOMY}),
    ("priority urgent", {"priority": Priority.URGENT}),
    ("priority bulk", {"priority": Priority.BULK}),
    ("scheduled_ms", {"scheduled_ms": 1_800_000_000_000}),
    ("validity_s", {"validity_s": 600}),
    ("wants_callbacks", {"wants_callbacks": False}),
]


def submissions(dialect: Dialect) -> Iterator[Heard]:
    for said, fields in VALUES:
        centre = ScriptedCentre(Refused(Refusal.INTERNAL))
        verdict = converse(
            dialect, dialect.south.submit(upstream_of(dialect), msgspec.structs.replace(SUBMISSION, **fields)), centre
        )
        field, sent = next(iter(fields.items()))
        if centre.submission is None:
            assert isinstance(verdict, Refused)
            yield Heard(said, f"refused: {verdict.reason}")
        else:
            arrived = getattr(as_digits(centre.submission), field)
            yield heard(said, sent, arrived, str(arrived) if isinstance(arrived, Service | Priority) else "dropped")


def as_digits(submission: Submission) -> Submission:
    """With recipients freed of the plus sign that some dialects write before the country code."""
    bare = tuple(recipient.removeprefix("+") for recipient in submission.recipients)
    return msgspec.structs.replace(submission, recipients=bare)


def submit(dialect: Dialect, outcome: Outcome) -> Any:
    return converse(dialect, dialect.south.submit(upstream_of(dialect), SUBMISSION), ScriptedCentre(outcome))


def tickets(dialect: Dialect) -> Iterator[Heard]:
    sent = tuple(Ticket(recipient=recipient, reference="9001", segments=3) for recipient in SUBMISSION.recipients)
    verdict = submit(dialect, Accepted(sent))
    assert isinstance(verdict, Accepted)
    arrived = verdict.tickets
    assert [ticket.recipient for ticket in arrived] == list(SUBMISSION.recipients)
    own = {SUBMISSION.reference: "the sender's own"}.get(arrived[0].reference, OWN_FORM)
    yield heard("ticket reference", "9001", arrived[0].reference, own)
    yield heard("ticket segments", 3, arrived[0].segments, "counted by the sender" if arrived[0].segments == 1 else "")


def printed(dialect: Dialect, message_id: int) -> str:
    """An id of ours as the dialect's answers to a submission have it."""
    sent = tuple(Ticket(recipient=recipient, reference=str(message_id)) for recipient in SUBMISSION.recipients)
    verdict = submit(dialect, Accepted(sent))
    assert isinstance(verdict, Accepted)
    return verdict.tickets[0].reference


def refusals(dialect: Dialect) -> Iterator[Heard]:
    for reason in Refusal:
        verdict = submit(dialect, Refused(reason))
        yield heard(f"refusal {reason}", reason, getattr(verdict, "reason", "uncertain"))
    verdict = submit(dialect, Uncertain())
    yield heard("uncertain", Uncertain, type(verdict), f"refused: {getattr(verdict, 'reason', '')}")


def receipts(dialect: Dialect) -> Iterator[Heard]:
    south = dialect.south
    write = dialect.north.receipt
    if write is None or south.receipt is None:
        yield Heard("receipt", "not offered")
        return
    for state in State:
        if state not in dialect.north.reported_states:
            yield Heard(f"receipt {state}", "not sent")
            continue
        request = write(TARGET, msgspec.structs.replace(REPORT, state=state))
        receipt = south.receipt(upstream_of(dialect), request)
        assert receipt is not None
        yield heard(f"receipt {state}", state, receipt.state)
    receipt = south.receipt(upstream_of(dialect), write(TARGET, REPORT))
    assert receipt is not None
    own = "the sender's own" if receipt.reference == REPORT.reference else ""
    yield heard("receipt id", str(REPORT.submission_id), receipt.reference, own)
    yield heard("receipt recipient", REPORT.recipient, receipt.recipient, "dropped")
    assert bool(own) == south.receipt_by_our_reference


def queries(dialect: Dialect) -> Iterator[Heard]:
    if dialect.south.query is None:
        yield Heard("query", "not offered")
        return
    asked = printed(dialect, REPORT.id)
    for state in State:
        centre = ScriptedCentre(msgspec.structs.replace(REPORT, state=state))
        report = converse(
            dialect, dialect.south.query(upstream_of(dialect), asked, "447700900001", REPORT.recipient), centre
        )
        assert isinstance(report, Report)
        yield heard(f"query {state}", state, report.state)
    assert isinstance(report, Report)
    yield heard("query price", REPORT.price_micros, report.price_micros, "dropped")


def balances(dialect: Dialect) -> Iterator[Heard]:
    if dialect.south.balance is None:
        yield Heard("balance", "not offered")
        return
    sent = Balance(amount_micros=12_345_600, currency="EUR")
    balance = converse(dialect, dialect.south.balance(upstream_of(dialect)), ScriptedCentre(sent))
    assert isinstance(balance, Balance)
    yield heard("balance amount", sent.amount_micros, balance.amount_micros)
    yield heard("balance currency", sent.currency, balance.currency, "dropped")


def inbound_messages(dialect: Dialect) -> Iterator[Heard]:
    if dialect.north.inbound is None or dialect.south.inbound is None:
        yield Heard("inbound", "not offered")
        return
    inbound = dialect.south.inbound(upstream_of(dialect), dialect.north.inbound(TARGET, INBOUND))
    assert inbound is not None
    for field in ("reference", "originator", "recipient", "text"):
        own = OWN_FORM if field == "reference" else ""
        yield heard(f"inbound {field}", getattr(INBOUND, field), getattr(inbound, field), own)


# The page

HEAD = """# What each dialect carries

Which fields, refusals and states survive the way between the two halves of a dialect, and what becomes of those that do
not. An empty cell means: as it was sent.

This page is written from what the mirror test observed. To renew it: `{renew}`

| said | {names} |
| --- |{rules}
"""


def page() -> str:
    """The fidelity page: one row for each thing there is to say, one column for each dialect."""
    observed = {dialect.name: observe(dialect) for dialect in MIRRORED}
    said_to_any = dict.fromkeys(said for heard_by in observed.values() for said in heard_by)
    rows = [said for said in said_to_any if not any(other.startswith(f"{said} ") for other in said_to_any)]
    lines = [f"| {said} | {' | '.join(cell(heard_by, said) for heard_by in observed.values())} |" for said in rows]
    head = HEAD.format(renew=RENEW, names=" | ".join(observed), rules=" --- |" * len(observed))
    return head + "\n".join(lines) + "\n"


def cell(heard_by: dict[str, str], said: str) -> str:
    """What one dialect made of it; where it offers nothing of the kind, that."""
    arrived = heard_by.get(said) or heard_by[said.split(" ")[0]]
    return "" if arrived == AS_SENT else arrived


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
