"""What is peculiar to voip-communications.net: its ids, its money, its paths, and what a carrier's options change."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.core.centre import Accepted, Call, Cancel, FindMessages, Outcome, Refusal, Refused, Reports, Ticket
from chappe.core.ids import EPOCH_MS, RANDOM_BITS
from chappe.core.model import Inbound, Service
from chappe.core.sessions import Authenticate
from chappe.dialects.base import HttpRequest, HttpResponse, Reply, run
from chappe.dialects.voipcom import VOIPCOM
from chappe.dialects.voipcom.facts import CODES, REFUSALS, ROOT, SEND, STATES
from chappe.dialects.voipcom.formats import id_of, smsid_of
from dialects.centres import ACCOUNT, ScriptedCentre, upstream_of
from dialects.fidelity import REPORT, SUBMISSION, converse
from dialects.wrong_requests import voip, voip_method

ids = st.integers(0, 2**63 - 1)


@given(our_id=ids)
def test_an_id_has_the_providers_shape_and_is_read_back(our_id: int) -> None:
    """3.3: any id of ours becomes 4 digits, 13 hexadecimal ones and 10 digits, and is the same id again."""
    smsid = smsid_of(our_id)
    assert re.fullmatch(r"[0-9]{4}[0-9a-f]{13}[0-9]{10}", smsid)
    assert id_of(smsid) == our_id


@given(our_id=ids, place=st.integers(0, 26), digit=st.sampled_from("0123456789abcdef"))
def test_an_id_with_one_wrong_digit_is_nobodys(our_id: int, place: int, digit: str) -> None:
    """Whoever mistypes an id deletes no message of somebody's: no single wrong digit gives another id."""
    smsid = smsid_of(our_id)
    wrong = smsid[:place] + digit + smsid[place + 1 :]
    assert id_of(wrong) == (our_id if wrong == smsid else None)


def test_the_time_in_an_id_is_the_one_php_would_write() -> None:
    """3.3: the hexadecimal digits are seconds since 1970, then microseconds, as PHP's `uniqid` has them."""
    our_id = (1_795_278_000_123 - EPOCH_MS) << RANDOM_BITS
    assert smsid_of(our_id)[4:17] == f"{1_795_278_000:08x}{123_000:05x}"


@pytest.mark.parametrize("written", ["", "9001", "9" * 27, "9" * 28, "0000ffffffffffffff9999999999", "٩" * 27])
def test_what_is_no_id_of_ours_is_none(written: str) -> None:
    """An id that we cannot have printed is never taken for one."""
    assert id_of(written) is None


def test_deleting_one_message_leaves_the_others_of_its_submission() -> None:
    """3.5: an id is of one destination, so the gateway is asked for that one alone."""
    items = tuple(
        msgspec.structs.replace(REPORT, id=REPORT.id + index, recipient=f"44770090000{index}") for index in range(3)
    )
    asked: list[Call] = []

    def centre(call: Call) -> Outcome:
        asked.append(call)
        if isinstance(call, Authenticate):
            return ACCOUNT
        return Reports(items=items, total=3) if isinstance(call, FindMessages) else Refused(Refusal.TOO_LATE)

    request = voip_method("sms/delete", smsid=smsid_of(REPORT.id + 1))
    run(VOIPCOM.north.paths[ROOT + SEND](request), centre)
    assert asked[-1] == Cancel(ACCOUNT, str(REPORT.id + 1), "447700900001")


def test_a_charge_for_later_is_taken_later() -> None:
    """3.2: a scheduled message costs its price when it is sent, and a bad number keeps no other from being sent to."""
    centre = ScriptedCentre(Refused(Refusal.INTERNAL))
    run(VOIPCOM.north.paths[ROOT + SEND](voip(delivery_date="+1 day")), centre)
    assert centre.submission is not None
    assert centre.submission.is_charged_late
    assert centre.submission.takes_part
    assert centre.submission.scheduled_ms is not None


@pytest.mark.parametrize("sender, service", [("447700900001", Service.STANDARD), ("", Service.ECONOMY)])
def test_the_sender_picks_the_class(sender: str, service: Service) -> None:
    """3.2: with a sender it is a two-way message, without one it is bulk, each with its own price."""
    centre = ScriptedCentre(Refused(Refusal.INTERNAL))
    run(VOIPCOM.north.paths[ROOT + SEND](voip(from_=sender)), centre)
    assert centre.submission is not None
    assert centre.submission.service is service


@given(price_micros=st.integers(0, 10**15))
def test_a_price_is_a_number_and_arrives_to_the_millionth(price_micros: int) -> None:
    """3.3: `sale` is a JSON number, and no rounding of it changes the price."""
    tickets = tuple(Ticket(recipient=one, reference="1", price_micros=price_micros) for one in SUBMISSION.recipients)
    flow = VOIPCOM.south.submit(upstream_of(VOIPCOM), SUBMISSION)
    verdict = converse(VOIPCOM, flow, ScriptedCentre(Accepted(tickets)))
    assert isinstance(verdict, Accepted)
    assert {ticket.price_micros for ticket in verdict.tickets} == {price_micros}


def asked_urls(url: str) -> list[str]:
    asked = []

    def answer(request: HttpRequest) -> Reply:
        asked.append(request.url)
        return HttpResponse(body=b"{}")

    run(VOIPCOM.south.submit(upstream_of(VOIPCOM, url=url), SUBMISSION), answer)
    return asked


@pytest.mark.parametrize("path", ["", "/", "/api-v2", "/api-v2/", "/api-v2/index.php", "/api-v2/index.php/"])
def test_the_address_may_be_written_with_or_without_its_path(path: str) -> None:
    """3.1: whichever part of the address a carrier's URL holds, the same method is called."""
    assert asked_urls(f"https://example.com{path}") == ["https://example.com/api-v2/index.php/sms/send"]


def test_a_name_with_a_colon_is_refused_without_asking() -> None:
    """HTTP Basic would take the rest of the name for a part of the password (RFC 7617 2)."""

    def never(request: HttpRequest) -> Reply:
        raise AssertionError(f"asked {request.path}")

    verdict = run(VOIPCOM.south.submit(upstream_of(VOIPCOM, login="a:b"), SUBMISSION), never)
    assert isinstance(verdict, Refused)
    assert verdict.reason is Refusal.UNAUTHORISED


@pytest.mark.parametrize("zone", ["Atlantis", "../../etc/passwd", ""])
def test_a_zone_that_is_none_sends_nothing_at_a_wrong_time(zone: str) -> None:
    """A carrier whose zone is mistyped refuses what is scheduled; an empty one is UTC."""
    upstream = msgspec.structs.replace(upstream_of(VOIPCOM), options={"timezone": zone})
    submission = msgspec.structs.replace(SUBMISSION, scheduled_ms=1_800_000_000_000)
    verdict = run(VOIPCOM.south.submit(upstream, submission), lambda _: HttpResponse(status=401))
    assert isinstance(verdict, Refused)
    assert verdict.reason is (Refusal.BAD_REQUEST if zone else Refusal.UNAUTHORISED)


@pytest.mark.parametrize(
    "names, is_read", [("src,dst,body,when,id", True), ("src,dst", False), (" src , dst, body,when,id ", True)]
)
def test_the_fields_of_a_reply_can_be_configured(names: str, is_read: bool) -> None:
    """3.6 documents none of them: should they be others, an option of the carrier names them."""
    assert VOIPCOM.south.inbound is not None
    upstream = msgspec.structs.replace(upstream_of(VOIPCOM), options={"inbound_fields": names})
    request = HttpRequest(method="GET", path="/carrier/key", query=b"src=447700900002&dst=447700900001&body=Yes&id=5")
    expected = Inbound(reference="5", originator="447700900002", recipient="447700900001", text="Yes")
    assert VOIPCOM.south.inbound(upstream, request) == (expected if is_read else None)


def test_no_text_of_a_message_stands_in_what_nobody_understood() -> None:
    """An answer that says neither yes nor no is told by its keys alone: its values are texts and numbers of people."""
    reply = HttpResponse(body=b'{"send_log":[{"to":"447700900002","msg":"a secret"}]}')
    verdict = run(VOIPCOM.south.submit(upstream_of(VOIPCOM), SUBMISSION), lambda _: reply)
    assert not re.search("secret|4477", str(verdict))


def test_every_reason_has_its_words() -> None:
    """No refusal and no state is without a word, and each code of an entry is one of the proposed ones."""
    assert set(REFUSALS.words) == set(Refusal)
    assert len(STATES.words) == len(type(REPORT.state))
    assert set(CODES.values()) == {400, 402, 403, 406, 500}
