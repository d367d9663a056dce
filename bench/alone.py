"""Figures 1 to 7: chappe by itself, over HTTP and with a carrier inside, so that only chappe is measured."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from chappe.dialects.known import known_dialects
from measuring import CPU, END_TO_END, Options, Row, Rows, measure, start
from rig import ACCEPTED, Rig, dialect_request, smsfox_request

TESTS = Path(__file__).parents[1] / "tests"
PER_HUNDRED = 100
PER_LOADING = 10_000  # recipients in each request that fills the queue
BULK_CONNECTIONS = 8
STUCK_PER_S = 0.001  # a carrier that takes one message in a quarter of an hour
PEER = "smsfox"  # the dialect that the others are compared with


def one_recipient(rig: Rig, options: Options) -> Rows:
    """One recipient a request, receipts called back"""
    with rig.gateway() as gateway:
        start(gateway, rig.sink)
        burst = measure(rig, gateway, rig.sink, connections=options.connections, seconds=options.seconds)
        yield Row(END_TO_END, burst.per_s, "/s", aim_min=5_000)
        yield Row("messages accepted meanwhile", burst.accepted_per_s, "/s")
        yield Row("acceptance p50", burst.load.p50_ms, "ms")
        yield Row("acceptance p99", burst.load.p99_ms, "ms")
        yield Row(CPU, burst.cpu_us, "us", aim_max=220)
        yield Row("resident memory, peak", burst.resident_peak_mb, "MB")
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
        cpu_s = gateway.processes.cpu_s
        load = rig.load(
            gateway.port, smsfox_request(PER_HUNDRED), connections=BULK_CONNECTIONS, seconds=options.seconds
        )
        kept = load.good * PER_HUNDRED
        yield Row("messages kept", kept / load.seconds, "/s", aim_min=15_000)
        yield Row(CPU, (gateway.processes.cpu_s - cpu_s) / max(1, kept) * 1e6, "us")


def many_queued(rig: Rig, options: Options) -> Rows:
    """Many messages that no carrier takes"""
    with rig.gateway(throughput=STUCK_PER_S) as gateway:
        gateway.start()
        count = max(1, options.queued // PER_LOADING)
        load = rig.load(gateway.port, smsfox_request(PER_LOADING), connections=2, seconds=600, count_max=count)
        yield Row("messages queued", load.good * PER_LOADING, "")
        yield Row("resident memory then", gateway.processes.resident_mb, "MB", aim_max=512)
        yield Row("resident memory, peak", gateway.processes.resident_peak_mb, "MB", aim_max=512)
        gateway.stop()
        yield Row("from start to first accepted message", gateway.start(), "s", aim_max=2)
        yield Row("resident memory after that", gateway.processes.resident_mb, "MB", aim_max=512)


def empty_start(rig: Rig, _options: Options) -> Rows:
    """Start with an empty database"""
    with rig.gateway() as gateway:
        yield Row("from start to first accepted message", gateway.start(), "s", aim_max=2)
        yield Row("resident memory then", gateway.processes.resident_mb, "MB")


def floor_of_the_front(rig: Rig, options: Options) -> Rows:
    """The requests of figure 1 read and answered, nothing kept (floor.py)"""
    with rig.floor() as (processes, port):
        cpu_s = processes.cpu_s
        load = rig.load(port, smsfox_request(1), connections=options.connections, seconds=options.seconds)
        yield Row("requests", load.good / load.seconds, "/s")
        yield Row(CPU, (processes.cpu_s - cpu_s) / max(1, load.good) * 1e6, "us")


def on_postgres(rig: Rig, options: Options) -> Rows:
    """Figure 1 with PostgreSQL on the same machine"""
    with postgres_database() as database:
        if database:
            with rig.gateway(database=database) as gateway:
                start(gateway, rig.sink)
                burst = measure(rig, gateway, rig.sink, connections=options.connections, seconds=options.seconds)
                yield Row(END_TO_END, burst.per_s, "/s")
                yield Row(f"{CPU}, PostgreSQL's not counted", burst.cpu_us, "us")


def each_dialect(rig: Rig, options: Options) -> Rows:
    """Figure 1 in each dialect, all called back in SMSFox's words"""
    costs: dict[str, float] = {}
    for dialect in sorted(known_dialects(), key=lambda dialect: dialect.name != PEER):
        if dialect.name in ACCEPTED:
            with rig.gateway() as gateway:
                start(gateway, rig.sink)
                burst = measure(
                    rig,
                    gateway,
                    rig.sink,
                    connections=options.connections,
                    seconds=options.seconds,
                    request=dialect_request(dialect, gateway.port),
                    accepted=ACCEPTED[dialect.name],
                )
                costs[dialect.name] = burst.cpu_us
                yield Row(f"{CPU}, {dialect.name}", burst.cpu_us, "us")
                yield Row(f"refused, {dialect.name}", burst.load.answered - burst.load.good, "", aim_max=0)
    for name, cpu_us in costs.items():
        yield Row(f"{name} to {PEER}", cpu_us / costs[PEER], "x", aim_max=1.5)


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
