"""One measurement: a load as fast as it goes, from its first request to the last callback, and what it cost."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

import msgspec

from processes import Processes
from rig import Carrier, Load, Rig, SmppLoad

WARM_UP_S = 1
FOREVER_S = 600
END_TO_END = "messages end to end"
CPU = "processor time a message"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    seconds: int
    connections: int
    queued: int
    messages: int
    pages: int  # messages of figure 13
    repetitions: int
    against: list[str]  # commits
    jasmin: str  # a virtual environment that has it; empty = it is not measured


class Row(msgspec.Struct, frozen=True):
    """One measured value. `aim_min` and `aim_max` are what we want it to be."""

    what: str
    value: float
    unit: str
    aim_min: float | None = None
    aim_max: float | None = None


Rows = Iterator[Row]


class Measured(Protocol):
    """A gateway that is loaded over HTTP: chappe, or a peer."""

    port: int
    processes: Processes
    request: bytes  # a whole one, with each run of # a number
    accepted: str  # what an answer is, or (with an asterisk) begins with, where the message was accepted
    submits_at_start: int  # messages, to see whether it has started

    def start(self) -> object: ...


class Burst(msgspec.Struct, frozen=True):
    """A load as fast as it went, until its last callback."""

    load: Load
    called_back: int
    seconds: float  # from the first request to the last callback
    cpu_s: float
    resident_peak_mb: float

    @property
    def per_s(self) -> float:
        return self.called_back / self.seconds

    @property
    def accepted_per_s(self) -> float:
        return self.load.good / self.load.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / max(1, self.called_back) * 1e6

    @property
    def missing(self) -> int:
        """Messages that were refused, or whose callback did not come."""
        return self.load.answered - self.called_back


class SmppBurst(msgspec.Struct, frozen=True):
    """A load over SMPP as fast as it went, until its last receipt."""

    load: SmppLoad
    cpu_s: float
    resident_peak_mb: float

    @property
    def per_s(self) -> float:
        return self.load.delivered / max(1, self.load.last_receipt_us - self.load.start_us) * 1e6

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / max(1, self.load.delivered) * 1e6


def start(gateway: Measured, sink: Carrier) -> None:
    """Start a gateway; returns when nothing of its start is on its way any more."""
    count = sink.counts().callbacks
    gateway.start()
    sink.await_callbacks(count + gateway.submits_at_start)


def measure(
    rig: Rig,
    gateway: Measured,
    sink: Carrier,
    *,
    connections: int,
    warm_up: int | None = None,
    seconds: int = FOREVER_S,
    count_max: int | None = None,
    request: bytes = b"",
    accepted: str = "",
) -> Burst:
    """Warm up a gateway that has started (for a second, or with `warm_up` requests), and load it for `seconds` or with
    `count_max` requests. `request` is another one than its own, and `accepted` the answer to it."""
    request = request or gateway.request
    load_for = partial(rig.load, gateway.port, connections=connections, accepted=accepted or gateway.accepted)
    count = sink.counts().callbacks
    # To other recipients than those of the load: some dialects refuse to hear the same twice.
    warmed_up = load_for(request.replace(b"44########", b"45########"), seconds=WARM_UP_S, count_max=warm_up)
    before = sink.await_callbacks(count + warmed_up.good).callbacks
    cpu_s = gateway.processes.cpu_s
    load = load_for(request, seconds=seconds, count_max=count_max)
    after = sink.await_callbacks(before + load.good)
    return Burst(
        load,
        called_back=after.callbacks - before,
        seconds=(after.callback_last_us - load.start_us) / 1e6,
        cpu_s=gateway.processes.cpu_s - cpu_s,
        resident_peak_mb=gateway.processes.resident_peak_mb,
    )
