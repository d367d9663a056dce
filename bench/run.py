"""Measures what the documents say about chappe's speed, and prints it: a table, then one line of JSON.

    ./dev bench [--only 1,2] [--seconds 10] [--connections 64] [--queued 1000000] [--folder /var/tmp] [--profile]

Strategy: each figure is a function that yields rows; it starts a gateway of its own on a fresh database. Where another
program is measured in the same run, the ratio counts, not the number: the machine makes the number. Rows name an aim
where there is one, and nothing here fails because of it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

import chappe
from chappe.dialects.base import Dialect
from chappe.dialects.known import known_dialects
from hotspots import print_hotspots
from rig import ACCEPTED, Gateway, Load, Rig, dialect_request, open_rig, smsfox_request

TESTS = Path(__file__).parents[1] / "tests"
WARM_UP_S = 1
PER_HUNDRED = 100
PER_LOADING = 10_000  # recipients in each request that fills the queue
BULK_CONNECTIONS = 8
STUCK_PER_S = 0.001  # a carrier that takes one message in a quarter of an hour


class Options(msgspec.Struct, frozen=True):
    seconds: int
    connections: int
    queued: int


class Row(msgspec.Struct, frozen=True):
    """One measured value. `aim_min` and `aim_max` are what we want it to be."""

    what: str
    value: float
    unit: str
    aim_min: float | None = None
    aim_max: float | None = None


class Figure(msgspec.Struct, frozen=True):
    """A row that has been measured, as it stands in the JSON."""

    figure: int
    load_average: float  # of the machine, before the figure was measured
    row: Row


Rows = Iterator[Row]

PEER = "smsfox"  # the dialect that the others are compared with
END_TO_END = "messages end to end"
CPU = "processor time a message"


# The figures


def one_recipient(rig: Rig, options: Options) -> Rows:
    """One recipient a request, receipts called back"""
    with rig.gateway() as gateway:
        burst = measure(rig, gateway, options)
        yield Row(END_TO_END, burst.per_s, "/s", aim_min=5_000)
        yield Row("messages accepted meanwhile", burst.load.good / burst.load.seconds, "/s")
        yield Row("acceptance p50", burst.load.p50_ms, "ms")
        yield Row("acceptance p99", burst.load.p99_ms, "ms")
        yield Row(CPU, burst.cpu_us, "us", aim_max=220)
        yield Row("resident memory, peak", gateway.process.resident_peak_mb, "MB")
        yield Row("refused", burst.load.answered - burst.load.good, "", aim_max=0)
        yield Row("callbacks that did not come", burst.load.good - burst.called_back, "", aim_max=0)
        calm = rig.load(
            gateway.port,
            smsfox_request(1),
            connections=options.connections,
            seconds=options.seconds,
            per_s=max(1, int(burst.per_s / 2)),
        )
        yield Row("acceptance p50 at half that load", calm.p50_ms, "ms")
        yield Row("acceptance p99 at half that load", calm.p99_ms, "ms", aim_max=15)


def hundred_recipients(rig: Rig, options: Options) -> Rows:
    """A hundred recipients a request, into the store"""
    with rig.gateway(throughput=STUCK_PER_S) as gateway:
        gateway.start()
        cpu_s = gateway.process.cpu_s
        load = rig.load(
            gateway.port, smsfox_request(PER_HUNDRED), connections=BULK_CONNECTIONS, seconds=options.seconds
        )
        kept = load.good * PER_HUNDRED
        yield Row("messages kept", kept / load.seconds, "/s", aim_min=15_000)
        yield Row(CPU, (gateway.process.cpu_s - cpu_s) / max(1, kept) * 1e6, "us")


def many_queued(rig: Rig, options: Options) -> Rows:
    """Many messages that no carrier takes"""
    with rig.gateway(throughput=STUCK_PER_S) as gateway:
        gateway.start()
        count = max(1, options.queued // PER_LOADING)
        load = rig.load(gateway.port, smsfox_request(PER_LOADING), connections=2, seconds=600, count_max=count)
        yield Row("messages queued", load.good * PER_LOADING, "")
        yield Row("resident memory then", gateway.process.resident_mb, "MB", aim_max=512)
        yield Row("resident memory, peak", gateway.process.resident_peak_mb, "MB", aim_max=512)
        gateway.stop()
        yield Row("from start to first accepted message", gateway.start(), "s", aim_max=2)
        yield Row("resident memory after that", gateway.process.resident_mb, "MB", aim_max=512)


def empty_start(rig: Rig, _options: Options) -> Rows:
    """Start with an empty database"""
    with rig.gateway() as gateway:
        yield Row("from start to first accepted message", gateway.start(), "s", aim_max=2)
        yield Row("resident memory then", gateway.process.resident_mb, "MB")


def floor_of_the_front(rig: Rig, options: Options) -> Rows:
    """The requests of figure 1 read and answered, nothing kept (floor.py)"""
    with rig.floor() as (process, port):
        cpu_s = process.cpu_s
        load = rig.load(port, smsfox_request(1), connections=options.connections, seconds=options.seconds)
        yield Row("requests", load.good / load.seconds, "/s")
        yield Row(CPU, (process.cpu_s - cpu_s) / max(1, load.good) * 1e6, "us")


def on_postgres(rig: Rig, options: Options) -> Rows:
    """Figure 1 with PostgreSQL on the same machine"""
    with postgres_database() as database:
        if database:
            with rig.gateway(database=database) as gateway:
                burst = measure(rig, gateway, options)
                yield Row(END_TO_END, burst.per_s, "/s")
                yield Row(f"{CPU}, PostgreSQL's not counted", burst.cpu_us, "us")


def each_dialect(rig: Rig, options: Options) -> Rows:
    """Figure 1 in each dialect, all called back in SMSFox's words"""
    costs: dict[str, float] = {}
    for dialect in sorted(known_dialects(), key=lambda dialect: dialect.name != PEER):
        if dialect.name in ACCEPTED:
            with rig.gateway() as gateway:
                burst = measure(rig, gateway, options, dialect)
                costs[dialect.name] = burst.cpu_us
                yield Row(f"{CPU}, {dialect.name}", burst.cpu_us, "us")
                yield Row(f"refused, {dialect.name}", burst.load.answered - burst.load.good, "", aim_max=0)
    for name, cpu_us in costs.items():
        yield Row(f"{name} to {PEER}", cpu_us / costs[PEER], "x", aim_max=1.5)


FIGURES: dict[int, Callable[[Rig, Options], Rows]] = {
    1: one_recipient,
    2: hundred_recipients,
    3: many_queued,
    4: empty_start,
    5: floor_of_the_front,
    6: on_postgres,
    7: each_dialect,
}
RATIOS = (  # what, then the figure and row above the line, then those below it
    ("processor time of a message, in floors of the front", (1, CPU), (5, CPU)),
    ("end to end, PostgreSQL to SQLite", (6, END_TO_END), (1, END_TO_END)),
)


# Measuring


class Burst(msgspec.Struct, frozen=True):
    """A load as fast as it went, until its last callback."""

    load: Load
    called_back: int
    seconds: float  # from the first request to the last callback
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.called_back / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / max(1, self.called_back) * 1e6


def measure(rig: Rig, gateway: Gateway, options: Options, dialect: Dialect | None = None) -> Burst:
    """Start a gateway, warm it up, load it, in SMSFox or another dialect."""
    count = rig.callbacks().count
    gateway.start()
    request = dialect_request(dialect, gateway.port) if dialect else smsfox_request(1)
    accepted = ACCEPTED[dialect.name if dialect else PEER]
    load_for = partial(rig.load, gateway.port, connections=options.connections, accepted=accepted)
    # To other recipients than those of the load: some dialects refuse to hear the same twice.
    warm_up = load_for(request.replace(b"44########", b"45########"), seconds=WARM_UP_S)
    before = rig.await_callbacks(count + 1 + warm_up.good)  # one was sent to see whether it had started
    cpu_s = gateway.process.cpu_s
    load = load_for(request, seconds=options.seconds)
    after = rig.await_callbacks(before.count + load.good)
    return Burst(load, after.count - before.count, (after.last_us - load.start_us) / 1e6, gateway.process.cpu_s - cpu_s)


@contextlib.contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of a new database on a private server, or nothing where PostgreSQL is not installed."""
    sys.path.append(str(TESTS))
    import postgres

    binaries = postgres.find_binaries()
    if binaries is None:
        yield ""
        return
    server = postgres.PostgresServer(binaries)
    try:
        server.start()
        yield server.create_database()
    finally:
        server.remove()


# Telling


def measure_figures(rig: Rig, options: Options, chosen: list[int]) -> Iterator[Figure]:
    """Measure the chosen figures and print each row as soon as it is known."""
    for number in chosen:
        load_average = os.getloadavg()[0]
        print(f"\n{number}  {FIGURES[number].__doc__} (load average before: {load_average:.1f})")
        for row in FIGURES[number](rig, options):
            print_row(row)
            yield Figure(number, load_average, row)


def ratios(figures: list[Figure]) -> Rows:
    values = {(each.figure, each.row.what): each.row.value for each in figures}
    for what, above, below in RATIOS:
        if above in values and values.get(below):
            yield Row(what, values[above] / values[below], "x")


def print_row(row: Row) -> None:
    digits = 0 if abs(row.value) >= 100 or row.value == int(row.value) else 2
    line = f"   {row.what:<52}{row.value:>12,.{digits}f} {row.unit:<4}{aim_of(row)}"
    print(line.rstrip(), flush=True)


def aim_of(row: Row) -> str:
    if row.aim_min is not None:
        return f"aim: at least {row.aim_min:,g}"
    return "" if row.aim_max is None else f"aim: at most {row.aim_max:,g}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure chappe; see bench/README.md.")
    parser.add_argument("--only", default="1,2,3,4,5,6,7", help="figures to measure, such as 1,2")
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts [10]")
    parser.add_argument("--connections", type=int, default=64, help="kept-alive connections of the load [64]")
    parser.add_argument("--queued", type=int, default=1_000_000, help="messages of figure 3 [1000000]")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="a disk for the databases [/var/tmp]")
    parser.add_argument("--profile", action="store_true", help="only tell where the time of figure 1 goes (py-spy)")
    given = parser.parse_args()
    options = Options(given.seconds, given.connections, given.queued)
    chosen = [int(number) for number in given.only.split(",")]
    if unknown := set(chosen) - set(FIGURES):
        parser.error(f"there is no figure {min(unknown)}; there are {', '.join(map(str, FIGURES))}")
    with open_rig(given.folder) as rig:
        if given.profile:
            print_hotspots(rig, options.seconds, options.connections)
            return
        figures = list(measure_figures(rig, options, chosen))
    compared = list(ratios(figures))
    if compared:
        print("\nRatios")
    for row in compared:
        print_row(row)
    told = {"chappe": chappe.__version__, "cpus": os.cpu_count(), "options": options, "figures": figures}
    print(f"\n{msgspec.json.encode(told | {'ratios': compared}).decode()}")


if __name__ == "__main__":
    main()
