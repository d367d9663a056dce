"""The wrong requests, against a small message centre that knows the accounts and the rules of their WORLD."""

import re
import tomllib

import pytest

from chappe.core.centre import (
    Accepted,
    Balance,
    Call,
    FetchBalance,
    FetchTime,
    Instant,
    Outcome,
    Refusal,
    Refused,
    Submit,
    Ticket,
)
from chappe.core.model import Account, Submission
from chappe.core.sessions import Authenticate
from chappe.sms.segments import count
from dialects.centres import DIALECTS, NOW_MS, answer_north
from dialects.wrong_requests import RIGHT_REQUESTS, WORLD, WRONG_REQUESTS, RightRequest, WrongRequest

HOUSE = tomllib.loads(WORLD)
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
ACCOUNTS = {
    row["name"]: Account(id=index, name=row["name"], senders=tuple(row["senders"]), numbers=tuple(row["numbers"]))
    for index, row in enumerate(HOUSE["account"], start=1)
}
PASSWORDS = {row["name"]: row["password"] for row in HOUSE["account"]}
BALANCES_CENTS = {row["name"]: int(row["balance"].replace(".", "")) for row in HOUSE["account"]}
PREFIX, PRICE_CENTS = HOUSE["route"][0]["prefix"], 1


def small_centre(call: Call) -> Outcome:
    """A gateway without a store: judges recipients, originator, text, route and funds in this order; keeps nothing."""
    match call:
        case Authenticate(name, secret, _, _):
            is_known = PASSWORDS.get(name) == secret.value
            return ACCOUNTS[name] if is_known else Refused(Refusal.UNAUTHORISED)
        case Submit(account, submission):
            return judge(account, submission)
        case FetchTime():
            return Instant(NOW_MS)
        case FetchBalance(account):
            return Balance(amount_micros=BALANCES_CENTS[account.name] * 10_000)
    return Refused(Refusal.NOT_FOUND)


def judge(account: Account, submission: Submission) -> Outcome:
    segments = count(submission.text, submission.counting)
    if not all(re.fullmatch(r"\+?[0-9]{7,15}", recipient) for recipient in submission.recipients):
        return Refused(Refusal.BAD_RECIPIENT)
    if submission.originator and submission.originator not in account.senders + account.numbers:
        return Refused(Refusal.BAD_ORIGINATOR)
    if segments is None:
        return Refused(Refusal.TEXT_TOO_LONG)
    if not all(recipient.removeprefix("+").startswith(PREFIX) for recipient in submission.recipients):
        return Refused(Refusal.NO_ROUTE)
    if segments * len(submission.recipients) * PRICE_CENTS > BALANCES_CENTS[account.name]:
        return Refused(Refusal.NO_FUNDS)
    return Accepted(tuple(Ticket(recipient=recipient, reference="9001") for recipient in submission.recipients))


@pytest.mark.parametrize("wrong", WRONG_REQUESTS, ids=lambda wrong: f"{wrong.dialect}: {wrong.name}")
def test_a_wrong_request_is_answered_in_the_words_of_its_dialect(wrong: WrongRequest) -> None:
    """Each wrong request gets exactly its answer: the status, and the words that tell what is wrong."""
    assert answer_north(BY_NAME[wrong.dialect], wrong.request, small_centre) == wrong.response


@pytest.mark.parametrize("right", RIGHT_REQUESTS, ids=lambda right: right.dialect)
def test_what_the_wrong_requests_are_made_from_is_right(right: RightRequest) -> None:
    """Each wrong request is wrong by its own fault alone: the fields it was made from are accepted."""
    assert answer_north(BY_NAME[right.dialect], right.request, small_centre).body.startswith(right.start)
