"""What is peculiar to SMSFox: its way to count, its limits, and where it is found."""

import msgspec
import pytest

from chappe.core.centre import Refusal, Refused
from chappe.core.model import State
from chappe.dialects.base import HttpRequest, Reply, run
from chappe.dialects.smsfox import COUNTING, PATHS, REFUSALS, SMSFOX, STATES, api_url
from chappe.sms.segments import count
from dialects.centres import upstream_of
from dialects.fidelity import SUBMISSION

BOUNDARIES = [
    # character, characters, segments
    *[("a", *row) for row in ((1, 1), (160, 1), (161, 2), (304, 2), (305, 3), (456, 3), (608, 4), (760, 5), (800, 6))],
    *[("é", *row) for row in ((1, 1), (70, 1), (71, 2), (132, 2), (133, 3), (198, 3), (726, 11), (792, 12), (800, 13))],
    *[("😀", *row) for row in ((70, 1), (71, 2))],
]


@pytest.mark.parametrize("character, characters_count, segments", BOUNDARIES)
def test_segments_are_counted_as_the_provider_does(character: str, characters_count: int, segments: int) -> None:
    """The boundaries of smsfox 5.3: 152 per part for pure ASCII, 66 for all else, whatever the standard says."""
    assert count(character * characters_count, COUNTING) == segments


@pytest.mark.parametrize("character", ["a", "é"])
def test_a_text_beyond_800_characters_has_no_count(character: str) -> None:
    """smsfox 5.1: 800 characters are the end, in either alphabet."""
    assert count(character * 801, COUNTING) is None


def never(request: HttpRequest) -> Reply:
    raise AssertionError(f"asked {request.path}")


@pytest.mark.parametrize(
    "changes, reason",
    [({"text": "a" * 801}, Refusal.TEXT_TOO_LONG), ({"scheduled_ms": 1_800_000_000_000}, Refusal.UNSUPPORTED)],
)
def test_what_the_provider_cannot_do_is_refused_without_asking(changes: dict[str, object], reason: Refusal) -> None:
    """A text that is too long and a schedule never reach the provider."""
    submission = msgspec.structs.replace(SUBMISSION, **changes)
    verdict = run(SMSFOX.south.submit(upstream_of(SMSFOX), submission), never)
    assert isinstance(verdict, Refused)
    assert verdict.reason is reason


@pytest.mark.parametrize(
    "url, asked",
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/en/api/"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/en/api/"),
        ("http://127.0.0.1:8080/ru/api", "http://127.0.0.1:8080/ru/api"),
        ("http://smsfox.ru/en/api/", "http://smsfox.ru/en/api/"),
    ],
)
def test_a_host_alone_is_enough(url: str, asked: str) -> None:
    """A URL with a path is used as it is; one without stands for the documented address."""
    assert api_url(url) == asked


def test_every_address_is_served() -> None:
    """smsfox 5.1: three addresses, each with and without the last slash, so that nobody is redirected."""
    assert (
        set(SMSFOX.north.paths)
        == set(PATHS)
        == {f"{place}/api{end}" for place in ("", "/en", "/ru") for end in ("", "/")}
    )


def test_every_refusal_has_a_code() -> None:
    """There is no refusal that this dialect could not tell."""
    assert set(REFUSALS.words) == set(Refusal)


def test_final_states_alone_are_reported() -> None:
    """smsfox 5.4: there is no status for a message that is on its way, or that nobody sent."""
    assert (
        SMSFOX.north.reported_states
        == set(STATES.words)
        == {
            State.DELIVERED,
            State.UNDELIVERABLE,
            State.EXPIRED,
            State.REJECTED,
            State.UNKNOWN,
        }
    )
