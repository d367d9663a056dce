"""A power cut at any moment: every write, sync and word of the real process is recorded, then the files are rebuilt as
a disk may have left them (reliability R2). `CHAPPE_CRASH_SEED=123` replays a seed, `CHAPPE_CUTS` asks for more cuts."""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from chappe.store.database import Database
from chappe.store.figures import Figures
from crash import faulty_gateway
from crash.gateway import COMMAND
from crash.recording import STRACE, Disk, Event, Say, read_events
from crash.trial import run
from parts import require

SEED = int(os.environ.get("CHAPPE_CRASH_SEED") or random.SystemRandom().randrange(1_000_000))
CUTS = int(os.environ.get("CHAPPE_CUTS", "300"))
ACCEPTED = 300

ANSWERED = re.compile(rb"^HTTP/1\.1 200 .*\r\n\r\nSent;(\d+);1", re.DOTALL)  # to an application: proovl 2.3
SUBMITTED = re.compile(rb"\r\n\r\nlogin=.*&id=(\d+)&", re.DOTALL)  # to a carrier: smsfox 5.1
TOLD = re.compile(rb"\r\n\r\nid=(\d+)&token=.*&status=(Delivered|Undelivered)", re.DOTALL)  # to a customer: proovl 2.6


def test_power_cut_takes_nothing_back(tmp_path: Path) -> None:
    """After a cut at any of 300 moments the file is whole and holds all that was answered, submitted and told."""
    words, broken = cut_everywhere(tmp_path, COMMAND, CUTS)
    print(f"CHAPPE_CRASH_SEED={SEED}, {CUTS} cuts, said by the end: {words}")
    assert min(words.values()) > ACCEPTED / 10
    assert broken == []


def test_recording_sees_a_missing_sync(tmp_path: Path) -> None:
    """A gateway whose commits are not synced is found out by the same cuts."""
    fault = faulty_gateway.commit_without_sync.__name__
    _, broken = cut_everywhere(tmp_path, (sys.executable, faulty_gateway.__file__, fault), CUTS // 10)
    seen = {rule for rule in ("answered", "submitted", "told") if any(f" {rule}, not " in words for words in broken)}
    assert seen == {"answered", "submitted", "told"}


def cut_everywhere(folder: Path, command: Sequence[str], cuts_count: int) -> tuple[dict[str, int], list[str]]:
    """Record one life, cut it at random moments; how much was said by its end, and what each cut broke."""
    require("strace that may trace", can_trace())
    trace = folder / "trace"
    trial, _ = run(folder, seed=SEED, ends_count=0, wanted_count=ACCEPTED, command=(*STRACE, str(trace), *command))
    events = list(read_events(trace, trial.gateway.data.resolve()))
    chance = random.Random(SEED)
    moments = set(chance.sample(moments_of_interest(events), cuts_count // 2))
    moments |= set(chance.sample(range(len(events)), cuts_count - len(moments)))
    disk, said, broken = Disk(trial.configured), Said(), []
    for index, event in enumerate(events):
        disk.apply(event)
        said.hear(event)
        if index in moments:
            broken += [f"event {index}: {words}" for words in contradictions(folder / "cut", disk.cut(chance), said)]
    return said.counts, broken


def moments_of_interest(events: Sequence[Event]) -> list[int]:
    """Right after words: what was said just now must already be safe."""
    return [index for index, event in enumerate(events) if isinstance(event, Say)]


class Said:
    """By id: what was answered to applications, submitted to carriers, and told to customers."""

    def __init__(self) -> None:
        self.answered: set[int] = set()
        self.submitted: set[int] = set()
        self.told: set[int] = set()

    def hear(self, event: Event) -> None:
        if isinstance(event, Say):
            for pattern, ids in ((ANSWERED, self.answered), (SUBMITTED, self.submitted), (TOLD, self.told)):
                ids.update(int(found[1]) for found in pattern.finditer(event.octets))

    @property
    def counts(self) -> dict[str, int]:
        return {"answered": len(self.answered), "submitted": len(self.submitted), "told": len(self.told)}


def contradictions(folder: Path, files: dict[str, bytes], said: Said) -> Iterator[str]:
    """What the files of a cut do not hold, though it was said."""
    folder.mkdir()
    try:
        for name, octets in files.items():
            (folder / name).write_bytes(octets)
        with contextlib.closing(sqlite3.connect(folder / "chappe.db")) as connection:
            yield from (found for (found,) in connection.execute("PRAGMA integrity_check") if found != "ok")
            states = dict(connection.execute("SELECT id, state FROM message"))
        if lost := said.answered - states.keys():
            yield f"{len(lost)} answered, not kept"
        if early := [one for one in said.submitted if states.get(one, "queued") == "queued"]:
            yield f"{len(early)} submitted, not known to be under way"
        if forgotten := [one for one in said.told if states.get(one) not in ("delivered", "undeliverable")]:
            yield f"{len(forgotten)} told, not final"
        database = Database(f"sqlite:///{folder / 'chappe.db'}")
        with database.connect() as audited, audited.transaction(is_reading=True) as transaction:
            yield from Figures(database).audit(transaction).findings
    finally:
        shutil.rmtree(folder)


def can_trace() -> bool:
    """Whether strace is there and the machine lets it look at processes."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0
