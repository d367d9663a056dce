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
BOUND_KILLS = KILLS * 3 // 5
ACCEPTED_PER_BOUND_KILL, BOUND_SILENT_SHARE = 200, 0.001
STOPS, ACCEPTED_PER_STOP = 10, 200
FAULTY_KILLS, ACCEPTED_PER_FAULTY_KILL = 3, 200
FAULTY_SILENT_SHARE, VERY_SILENT_SHARE = 0.005, 0.02  # so that carriers do leave something without an answer
FAULTY_DRAIN_MAX_S = 5.0  # what is lost never comes to rest
FAULTY_SEED = 1  # one under which most kills hit a gateway at work


def test_kill_loses_nothing_and_doubles_nothing_unexplained(tmp_path: Path) -> None:
    """Over 25 kills and 20,000 accepted messages none is lost, none charged twice, and every double is explained."""
    _, journals = run(tmp_path, seed=SEED, ends_count=KILLS, wanted_count=KILLS * ACCEPTED_PER_KILL)
    show(journals)
    assert comparison.contradictions(journals) == []
    assert len(journals.doubts_at_kills) == KILLS
    assert len(journals.applications.accepted) >= KILLS * ACCEPTED_PER_KILL
    assert sum(journals.doubts_at_kills) > KILLS  # else the kills hit an idle gateway


def test_kill_with_smpp_on_both_sides_loses_nothing_and_doubles_nothing_unexplained(tmp_path: Path) -> None:
    """Over 15 kills, and 3,000 accepted messages in which SMPP and HTTP meet every way, the same holds."""
    trial, journals = run(
        tmp_path,
        seed=SEED,
        ends_count=BOUND_KILLS,
        wanted_count=BOUND_KILLS * ACCEPTED_PER_BOUND_KILL,
        is_bound=True,
        silent_share=BOUND_SILENT_SHARE,
    )
    show(journals)
    print(f"binds {trial.centre.links_count}, links cut {trial.centre.cuts_count}")
    print(f"it was bound again and submitted after {max(trial.resumes_s):.2f} s at most")
    assert comparison.contradictions(journals) == []
    assert len(journals.doubts_at_kills) == BOUND_KILLS
    assert len(journals.applications.accepted) >= BOUND_KILLS * ACCEPTED_PER_BOUND_KILL
    assert sum(journals.doubts_at_kills) > BOUND_KILLS


def test_stop_keeps_every_promise_and_answers_everybody(tmp_path: Path) -> None:
    """SIGTERM under load ends the process within 10 s with nothing lost, doubled, in doubt, or left without answer."""
    trial, journals = run(
        tmp_path,
        seed=SEED,
        ends_count=STOPS,
        wanted_count=STOPS * ACCEPTED_PER_STOP,
        end=signal.SIGTERM,
        is_bound=True,
    )
    show(journals)
    print(f"stops took {min(trial.stops_s):.2f} to {max(trial.stops_s):.2f} s")
    assert comparison.contradictions(journals) == []
    assert journals.applications.unanswered == set()
    assert journals.doubts_at_kills == [0] * STOPS
    assert max(journals.carrier.copies.values()) == 1
    assert max(trial.stops_s) <= STOP_MAX_S


@pytest.mark.parametrize(
    "fault, rule, silent_share",
    [
        (faulty_gateway.answer_before_commit, comparison.accepted_is_kept, FAULTY_SILENT_SHARE),
        (faulty_gateway.forget_policy, comparison.held_never_doubles, FAULTY_SILENT_SHARE),
        (faulty_gateway.forget_copies, comparison.accepted_is_kept, VERY_SILENT_SHARE),
        (faulty_gateway.take_lost_for_refused, comparison.held_never_doubles, VERY_SILENT_SHARE),
        (faulty_gateway.answer_receipts_unkept, comparison.fate_is_final, FAULTY_SILENT_SHARE),
        (faulty_gateway.trust_binds, comparison.fate_is_told, FAULTY_SILENT_SHARE),
    ],
)
def test_harness_sees_faults(
    fault: Callable[[], None], rule: comparison.Rule, silent_share: float, tmp_path: Path
) -> None:
    """A gateway that answers too early, or forgets what it must know, is found out; each by the rule it breaks."""
    command = (sys.executable, faulty_gateway.__file__, fault.__name__)
    _, journals = run(
        tmp_path,
        seed=FAULTY_SEED,
        ends_count=FAULTY_KILLS,
        wanted_count=FAULTY_KILLS * ACCEPTED_PER_FAULTY_KILL,
        command=command,
        is_bound=True,
        silent_share=silent_share,
        drain_max_s=FAULTY_DRAIN_MAX_S,
    )
    show(journals)
    assert list(rule(journals)) != []


def show(journals: Journals) -> None:
    print(f"\nCHAPPE_CRASH_SEED={SEED}")
    for name, count in comparison.figures(journals).items():
        print(f"{name:<28}{count:>8,}")
