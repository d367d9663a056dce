"""Why a submission becomes what it becomes: the same as what it does become, with the reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chappe.core.centre import Refusal, Refused
from chappe.core.model import Account, Carrier, Coding, Priority, Route, Service, Submission
from chappe.core.routing import RoutingTable
from chappe.dialects.base import Dialect
from chappe.gateway.explaining import Alphabet, Explanation, Why, explain, text_explained
from chappe.gateway.submission import prepare
from gateway.middle import PROOVL, SMSFOX, START_MS

ALICE = Account(id=7, name="alice", senders=("ACME",), numbers=("447700900001",))
ACCOUNTS = (ALICE, Account(id=8, name="anyone"), replace(ALICE, is_virtual=True), replace(ALICE, is_test=True))
NUMBERS = ("447700900123", "447700900124", "390612345678", "12", "", "+447700900123", "79991234567")


class Directory:
    """Three carriers, one of them removed, and routes to Britain and Russia."""

    routing = RoutingTable(
        [
            Route(prefix="44", service=None, carrier_ids=(1, 2), price_micros=10_000),
            Route(prefix="44", service=Service.ECONOMY, carrier_ids=(2,), price_micros=4_000),
            Route(prefix="447", service=Service.PREMIUM, carrier_ids=(2, 9), price_micros=30_000),
            Route(prefix="7", service=None, carrier_ids=(3,), price_micros=50_000),
        ]
    )

    def carrier(self, carrier_id: int) -> Carrier | None:
        known = {1: "acme", 2: "fox", 3: "gone"}
        name = known.get(carrier_id)
        return Carrier(id=carrier_id, name=name, kind="smpp", is_active=name != "gone") if name else None


def is_blocked(_account_id: int, recipient: str, _originator: str) -> bool:
    return recipient == "447700900124"


def explained(account: Account = ALICE, dialect: Dialect = PROOVL, **changes: object) -> Explanation:
    plain = Submission(recipients=("447700900123",), text="Hello", originator="ACME")
    return explain(account, replace(plain, **changes), dialect, Directory(), START_MS, is_blocked, lambda one: one != 2)


TEXTS = st.sampled_from(["", "Hello", "€" * 100, "Привет" * 20, "x" * 40_000, "smile \N{GRINNING FACE}", "\ud800"])


@given(
    account=st.sampled_from(ACCOUNTS),
    dialect=st.sampled_from([PROOVL, SMSFOX]),
    recipients=st.lists(st.sampled_from(NUMBERS), max_size=6),
    text=TEXTS | st.text(max_size=200),
    texts=st.none() | st.lists(TEXTS, max_size=6),
    originator=st.sampled_from(["", "ACME", "OTHER", "447700900001", "\N{SNOWMAN}"]),
    service=st.sampled_from(Service),
    takes_part=st.booleans(),
)
def test_it_says_what_the_way_in_says(
    account: Account,
    dialect: Dialect,
    recipients: list[str],
    text: str,
    texts: list[str] | None,
    originator: str,
    service: Service,
    takes_part: bool,
) -> None:
    """Refusals, segments, prices and carriers are those of the way in, for the whole and for each recipient."""
    submission = Submission(
        recipients=tuple(recipients),
        text=text,
        texts=tuple(texts or ()),
        originator=originator,
        service=service,
        takes_part=takes_part,
        counting=dialect.north.counting,
    )
    told = explain(account, submission, dialect, Directory(), START_MS, is_blocked)
    draft = prepare(account, submission, dialect, Directory.routing, 0, START_MS, is_blocked)
    assert told.recipients_count == len(told.recipients) == len(recipients)
    if isinstance(draft, Refused):
        assert (told.refusal, told.segments, told.price_micros) == (draft.reason, 0, 0)
        return
    assert told.refusal is None
    assert told.price_micros == sum(one.price_micros for one in draft.messages)
    kept = iter(draft.messages)
    for place, one in enumerate(told.recipients):
        assert one.refusal == draft.refusals.get(place)
        if one.refusal is None:
            message = next(kept)
            assert (one.number, one.segments, one.price_micros, one.carrier_id) == (
                message.recipient,
                message.segments,
                message.price_micros,
                message.carrier_id,
            )
            assert (told.originator, told.priority) == (message.originator, message.priority)
            taken = [each for each in one.routes if each.is_taken]
            assert not taken or taken[0].carriers[0].id == message.carrier_id
            assert not taken or taken[0].price_micros == one.segment_micros


def test_every_route_says_why_it_is_not_the_one() -> None:
    """From the longest prefix down each route of a number says why it is taken or not, with its carriers in order."""
    [recipient] = explained(recipients=("447700900123",), service=Service.ECONOMY).recipients
    assert recipient.country == "GB"
    assert [(one.prefix, one.service, one.why) for one in recipient.routes] == [
        ("447", Service.PREMIUM, Why.OTHER_SERVICE),
        ("44", Service.ECONOMY, Why.TAKEN),
        ("44", None, Why.OWN_CLASS),
    ]
    [premium] = explained(service=Service.PREMIUM).recipients
    assert [one.why for one in premium.routes] == [Why.TAKEN, Why.OTHER_SERVICE, Why.LONGER_PREFIX]
    assert [(one.name, one.is_active, one.is_up) for one in premium.routes[0].carriers] == [
        ("fox", True, False),
        ("carrier 9", False, False),
    ]
    [russian] = explained(recipients=("79991234567",)).recipients
    assert [(one.name, one.is_active, one.is_up) for one in russian.routes[0].carriers] == [("gone", False, False)]


def test_a_blocked_recipient_and_a_forbidden_sender_are_told() -> None:
    """What stops a message is named beside what it would have cost nothing to know."""
    [blocked] = explained(recipients=("447700900124",)).recipients
    assert (blocked.refusal, blocked.is_blocked) == (Refusal.BLOCKED, True)
    forbidden = explained(originator="OTHER")
    assert (forbidden.refusal, forbidden.originator) == (Refusal.BAD_ORIGINATOR, None)
    assert forbidden.allowed_originators == ("ACME", "447700900001")
    default = explained(originator="", dialect=SMSFOX)
    assert (default.refusal, default.is_default_originator) == (None, True)


@pytest.mark.parametrize(
    "text, alphabet, offender, place, characters, units, segments",
    [
        ("Hello", Alphabet.GSM, "", 0, 5, 5, 1),
        ("5 €", Alphabet.EXTENDED, "", 0, 3, 4, 1),
        ("x" * 161, Alphabet.GSM, "", 0, 161, 161, 2),
        ("Ciao, è “vero”", Alphabet.UCS2, "“", 9, 14, 14, 1),
        ("ok \N{GRINNING FACE}", Alphabet.UCS2, "\N{GRINNING FACE}", 4, 4, 5, 1),
        ("Привет", Alphabet.UCS2, "П", 1, 6, 6, 1),
    ],
)
def test_a_text_tells_what_it_costs_on_air(
    text: str, alphabet: Alphabet, offender: str, place: int, characters: int, units: int, segments: int
) -> None:
    """Alphabet, the first character that forces UCS-2 with its place, length, units and segments of a text."""
    told = text_explained(text)
    assert (told.alphabet, told.offender, told.offender_place) == (alphabet, offender, place)
    assert (told.characters, told.units, told.segments) == (characters, units, segments)
    assert "".join(told.pieces) == text


def test_latin_letters_are_offered_where_they_save_segments() -> None:
    """A Russian text of two segments that fits into one in Latin letters is shown so; one that saves nothing is not."""
    told = text_explained("Здравствуйте! " * 6)
    assert (told.segments, told.in_latin_segments) == (2, 1)
    assert told.in_latin.startswith("Zdravstvujte!")
    assert text_explained("Привет").in_latin == ""
    assert text_explained("\N{GRINNING FACE}" * 80).in_latin == ""


def test_a_binary_text_is_no_text() -> None:
    """Octets have no alphabet, and are not cut."""
    told = text_explained("0605040B8423F0" * 3, Coding.BINARY)
    assert (told.alphabet, told.units, told.segments) == (Alphabet.BINARY, 21, 1)
    assert explained(text="0605", coding=Coding.BINARY, priority=Priority.URGENT).priority is Priority.URGENT
