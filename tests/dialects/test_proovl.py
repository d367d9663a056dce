"""What is peculiar to Proovl: its third field, its tokens, its words, and where it is found."""

import msgspec
import pytest

from chappe.core.centre import Accepted, Done, Refusal, Refused, Uncertain
from chappe.core.model import Secret, Service, State
from chappe.core.numbers import ListNumbers, ListOffers, Number, Numbers, RentNumber, ReturnNumber, SetNumber
from chappe.core.sessions import Authenticate
from chappe.dialects.base import HttpRequest, HttpResponse, Reply, run
from chappe.dialects.proovl import PROOVL, REFUSALS, ROUTES, STATES, api_url
from dialects.centres import ACCOUNT, ScriptedCentre, upstream_of
from dialects.fidelity import REPORT, SUBMISSION, TARGET, converse


@pytest.mark.parametrize(
    "body, segments",
    [
        (b"Sent;31", 1),
        (b"Sent;31;", 1),
        (b"Sent;31;2", 2),
        (b"Sent;31;255", 255),
        (b"Sent;31;999", 255),
        (b"Sent;31;0", 1),
        (b"Sent;31;-2", 1),
        (b"Sent;31;0.07", 1),
        (b"Sent;31;2;EUR", 2),
    ],
)
def test_the_third_field_is_not_counted_on(body: bytes, segments: int) -> None:
    """proovl 2.3: a number of parts is taken where it is one, and one part where it is not."""
    verdict = run(PROOVL.south.submit(upstream_of(PROOVL), SUBMISSION), lambda _: HttpResponse(body=body))
    assert isinstance(verdict, Accepted)
    assert {ticket.segments for ticket in verdict.tickets} == {segments}


@pytest.mark.parametrize("options, is_accepted", [({}, False), ({"accepted_words": "OK, Done"}, True)])
def test_the_word_of_acceptance_can_be_configured(options: dict[str, str], is_accepted: bool) -> None:
    """proovl 2.3 does not document the word: should it be another one, an option of the carrier names it."""
    upstream = msgspec.structs.replace(upstream_of(PROOVL), options=options)
    verdict = run(PROOVL.south.submit(upstream, SUBMISSION), lambda _: HttpResponse(body=b"Done;31;1"))
    assert isinstance(verdict, Accepted if is_accepted else Uncertain)


def never(request: HttpRequest) -> Reply:
    raise AssertionError(f"asked {request.path}")


def test_a_schedule_is_refused_without_asking() -> None:
    """The provider sends at once; what is meant for later never reaches it."""
    submission = msgspec.structs.replace(SUBMISSION, scheduled_ms=1_800_000_000_000)
    verdict = run(PROOVL.south.submit(upstream_of(PROOVL), submission), never)
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNSUPPORTED


def test_an_empty_token_proves_nothing() -> None:
    """A carrier without a password accepts no callbacks, rather than those without a token."""
    assert PROOVL.south.receipt is not None
    assert PROOVL.north.receipt is not None
    request = PROOVL.north.receipt(msgspec.structs.replace(TARGET, token=Secret("")), REPORT)
    assert PROOVL.south.receipt(upstream_of(PROOVL, password=Secret("")), request) is None


@pytest.mark.parametrize(
    "url", ["https://p.example", "https://p.example/", "https://p.example/api", "https://p.example/api/"]
)
def test_a_url_may_name_the_folder_or_not(url: str) -> None:
    """With or without `/api`, with or without a last slash, the same address is meant."""
    assert api_url(url, "/api/send.php") == "https://p.example/api/send.php"


def test_a_folder_before_the_addresses_is_kept() -> None:
    """A provider behind a proxy may live in a folder."""
    assert api_url("https://p.example/sms/api", "/api/send.php") == "https://p.example/sms/api/send.php"


def test_every_refusal_has_a_text_that_clients_can_split() -> None:
    """proovl 2.3: there is a text for every refusal, without a semicolon, a quote or a line break."""
    assert set(REFUSALS.words) == set(Refusal)
    assert all(set(text).isdisjoint(';"\r\n') and text == text.strip() for text in REFUSALS.meanings)


def test_every_state_and_service_has_a_word() -> None:
    """check.php can tell every state, and send.php every class of service."""
    assert set(STATES.words) == set(State)
    assert set(ROUTES.words) == set(Service)


def test_a_change_is_reported_once_it_is_one() -> None:
    """proovl 2.6: customers are called about what became of a message, not about its waiting here."""
    assert set(State) - PROOVL.north.reported_states == {State.SCHEDULED, State.QUEUED, State.SENDING}


LENT = Number(number="447700900001", country="GB", price_micros=1_234_567, expires_ms=1_797_870_000_000)


def test_what_we_lend_is_what_we_rent() -> None:
    """proovl 2.8: our south half reads from our north half the numbers that it wrote, and is heard in all it asks."""
    upstream, halves = upstream_of(PROOVL), PROOVL.south.numbers
    assert halves is not None
    one, several = ScriptedCentre(LENT), ScriptedCentre(Numbers(items=(LENT,)))
    offered = msgspec.structs.replace(LENT, expires_ms=0)
    assert converse(PROOVL, halves.offers(upstream, "GB"), several) == Numbers(items=(offered,))
    assert converse(PROOVL, halves.rented(upstream), several) == Numbers(items=(LENT,))
    assert converse(PROOVL, halves.rent(upstream, LENT.number), one) == Done()
    assert converse(PROOVL, halves.give_back(upstream, LENT.number), one) == Done()
    assert converse(PROOVL, halves.forward(upstream, LENT.number, "https://us.example/x?a=1"), one) == Done()
    assert [call for call in several.calls + one.calls if not isinstance(call, Authenticate)] == [
        ListOffers(account=ACCOUNT, country="GB", count_max=1_000),
        ListNumbers(ACCOUNT),
        RentNumber(ACCOUNT, LENT.number),
        ReturnNumber(ACCOUNT, LENT.number),
        SetNumber(account=ACCOUNT, number=LENT.number, url="https://us.example/x?a=1"),
    ]


@pytest.mark.parametrize(
    "reason, text",
    [
        (Refusal.NOT_FOUND, "Number not found"),
        (Refusal.FORBIDDEN, "Too many numbers"),
        (Refusal.NO_FUNDS, "Insufficient balance"),
        (Refusal.OVERLOADED, "Service unavailable"),
        (Refusal.UNAUTHORISED, "Authorization error"),
    ],
)
def test_a_refused_rental_tells_why(reason: Refusal, text: str) -> None:
    """proovl 2.8: a refusal about numbers has words of its own, and our south half reads from them what was meant."""
    halves = PROOVL.south.numbers
    assert halves is not None
    refused = converse(PROOVL, halves.rent(upstream_of(PROOVL), LENT.number), ScriptedCentre(Refused(reason)))
    assert refused == Refused(reason, text)
