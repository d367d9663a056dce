"""Processes under test, and what the kernel says about them, all threads and descendants counted."""

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 30.0
PROC = Path("/proc")
PARENT, TIMES = (
    1,
    slice(11, 15),
)  # fields of /proc/PID/stat behind the name; times are user, system, and ended children's


class Processes:
    """One program, or several that are one gateway, each with its descendants."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str | Path], **options: Any) -> "subprocess.Popen[bytes]":
        started: subprocess.Popen[bytes] = subprocess.Popen(command, **options)
        self._started.append(started)
        return started

    @property
    def pid(self) -> int:
        """Of the first."""
        return self._started[0].pid

    @property
    def have_ended(self) -> bool:
        """Whether any of them has ended."""
        return any(one.poll() is not None for one in self._started)

    @property
    def cpu_s(self) -> float:
        """Processor time so far, user and system."""
        return sum(sum(map(int, fields[TIMES])) for fields in self._stats()) * TICK_S

    @property
    def resident_mb(self) -> float:
        return self._status_mb("VmRSS")

    @property
    def resident_peak_mb(self) -> float:
        """The peaks of all; what they share is counted for each."""
        return self._status_mb("VmHWM")

    def stop(self) -> None:
        """Ask them to end, the last one first, and make them."""
        for one in reversed(self._started):
            one.send_signal(signal.SIGTERM)
            try:
                one.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                one.kill()
            one.communicate()
        self._started.clear()

    def _stats(self) -> Iterator[list[str]]:
        for pid in self._family():
            if fields := stat_of(pid):
                yield fields

    def _status_mb(self, name: str) -> float:
        return sum(status_kb(pid, name) for pid in self._family()) / 1024

    def _family(self) -> list[int]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
            if fields := stat_of(pid):
                children[int(fields[PARENT])].append(pid)
        family = [one.pid for one in self._started]
        for pid in family:  # it grows meanwhile
            family += children[pid]
        return family


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; none once the process has gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def status_kb(pid: int, name: str) -> int:
    """A size of /proc/PID/status; 0 once the process has gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
