"""The promises of acceptance, kept by the real process under load and signals.

Each run prints its seed; `CHAPPE_CRASH_SEED=123` chooses the same instants again. `CHAPPE_CRASH_KILLS` asks for more.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crash import comparison, faulty_gateway
from crash.comparison import Journals
from crash.trial import STOP_MAX_S, run

SEED = int(os.environ.get("CHAPPE_CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
KILLS = int(os.environ.get("CHAPPE_CRASH_KILLS", "25"))
ACCEPTED_PER_KILL = 800
STOPS, ACCEPTED_PER_STOP = 10, 200
FAULTY_KILLS, ACCEPTED_PER_FAULTY_KILL = 4, 250
FAULTY_SEED = 1  # one under which most kills hit a gateway at work


def test_kill_loses_nothing_and_doubles_nothing_unexplained(tmp_path: Path) -> None:
    """Over 25 kills and 20,000 accepted messages none is lost, none charged twice, and every double is explained."""
    _, journals = run(tmp_path, seed=SEED, ends_count=KILLS, wanted_count=KILLS * ACCEPTED_PER_KILL)
    show(journals)
    assert comparison.contradictions(journals) == []
    assert len(journals.doubts_at_kills) == KILLS
    assert len(journals.applications.accepted) >= KILLS * ACCEPTED_PER_KILL
    assert sum(journals.doubts_at_kills) > KILLS  # else the kills hit an idle gateway


def test_stop_keeps_every_promise_and_answers_everybody(tmp_path: Path) -> None:
    """SIGTERM under load ends the process within 10 s with nothing lost, doubled, in doubt, or left without answer."""
    trial, journals = run(
        tmp_path, seed=SEED, ends_count=STOPS, wanted_count=STOPS * ACCEPTED_PER_STOP, end=signal.SIGTERM
    )
    show(journals)
    print(f"stops took {min(trial.stops_s):.2f} to {max(trial.stops_s):.2f} s")
    assert comparison.contradictions(journals) == []
    assert journals.applications.unanswered == set()
    assert journals.doubts_at_kills == [0] * STOPS
    assert max(journals.carrier.copies.values()) == 1
    assert max(trial.stops_s) <= STOP_MAX_S


@pytest.mark.parametrize(
    "fault, rule",
    [
        (faulty_gateway.answer_before_commit, comparison.accepted_is_kept),
        (faulty_gateway.forget_policy, comparison.held_never_doubles),
    ],
)
def test_harness_sees_faults(fault: Callable[[], None], rule: comparison.Rule, tmp_path: Path) -> None:
    """A gateway that answers before its commit, or sends again what it should hold, is found out."""
    command = (sys.executable, faulty_gateway.__file__, fault.__name__)
    _, journals = run(
        tmp_path,
        seed=FAULTY_SEED,
        ends_count=FAULTY_KILLS,
        wanted_count=FAULTY_KILLS * ACCEPTED_PER_FAULTY_KILL,
        command=command,
    )
    show(journals)
    assert list(rule(journals)) != []


def show(journals: Journals) -> None:
    print(f"\nCHAPPE_CRASH_SEED={SEED}")
    for name, count in comparison.figures(journals).items():
        print(f"{name:<28}{count:>8,}")
