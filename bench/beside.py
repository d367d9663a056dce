"""Figures 8 to 11: chappe on a carrier that speaks SMPP, beside other gateways on the same carrier.

Gateways that are compared are measured in turn, again and again, and the median of each counts: the machine drifts, and
then it drifts for all of them. Ratios are made of measurements that followed each other.
"""

import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

import kannel_peer
from jasmin_peer import Jasmin
from kannel_peer import Kannel
from measuring import CPU, END_TO_END, FOREVER_S, Burst, Measured, Options, Row, Rows, SmppBurst, measure, start
from rig import SUFFIX_FIRST, Carrier, Gateway, Rig, SmppLoad, account, smpp_configuration, smsfox_request

WARM_UP_MESSAGES = 2_000
WINDOW = 200  # of the bind to the carrier, for every gateway
CHAPPE = "chappe"
KANNEL_STORES = ("memory", "spool")
RATIO_AIMS = {"memory": 2.0, "spool": 1.5}
JASMIN_MESSAGES, JASMIN_WARM_UP = 500, 20
BINDS = 4  # of the application that speaks SMPP, whose windows together are that of the carrier

SLOW_WINDOW, SLOW_MS = 50, 40
SLOW_MESSAGES = 12_000

BULK_COUNT, BULK_PER_REQUEST = 100_000, 10_000
CODES_COUNT, CODES_EVERY_S = 50, 0.2
SETTLE_S = 2  # for the last code
CODES_BEGIN = "46"  # what the recipients of codes begin with, and no others
THROUGHPUT = 500  # of the carrier that has the bulk before it


# HTTP in, SMPP out


def http_to_smpp(rig: Rig, options: Options) -> Rows:
    """HTTP in, SMPP out, receipts called back: chappe beside Kannel"""
    gateways: dict[str, Callable[[Rig], contextlib.AbstractContextManager[tuple[Measured, Carrier]]]] = {
        CHAPPE: chappe_over_smpp
    }
    if kannel_peer.is_installed():
        gateways |= {f"Kannel {store}": partial(kannel_over_smpp, store=store) for store in KANNEL_STORES}
    else:
        print("   !!! Kannel is not installed: apt-get install kannel")
    bursts: dict[str, list[Burst]] = {name: [] for name in gateways}
    for number in range(options.repetitions):
        for name, opened in gateways.items():
            with opened(rig) as (gateway, carrier):
                start(gateway, carrier)
                burst = measure(rig, gateway, carrier, connections=options.connections, count_max=options.messages)
            bursts[name].append(burst)
            print(f"   {number + 1}. {name:<16}{burst.per_s:>8,.0f} /s {burst.cpu_us:>6.0f} us", flush=True)
    if options.jasmin:
        bursts["Jasmin"] = [jasmin_burst(rig, options)]
    yield from rows_of(bursts)


def rows_of(bursts: dict[str, list[Burst]]) -> Rows:
    """The medians of each gateway, then what chappe is beside the others."""
    for name, measured in bursts.items():
        is_chappe = name == CHAPPE
        yield Row(f"{END_TO_END}, {name}", statistics.median(one.per_s for one in measured), "/s")
        yield Row(f"accepted meanwhile, {name}", statistics.median(one.accepted_per_s for one in measured), "/s")
        cpu_us = statistics.median(one.cpu_us for one in measured)
        yield Row(f"{CPU}, {name}", cpu_us, "us", aim_max=200 if is_chappe else None)
        yield Row(f"resident memory, peak, {name}", max(one.resident_peak_mb for one in measured), "MB")
        yield Row(
            f"refused or lost, {name}", sum(one.missing for one in measured), "", aim_max=0 if is_chappe else None
        )
    for store in KANNEL_STORES:
        if beside := bursts.get(f"Kannel {store}"):
            pairs = list(zip(bursts[CHAPPE], beside, strict=True))
            rate = statistics.median(ours.per_s / theirs.per_s for ours, theirs in pairs)
            yield Row(f"end to end, chappe / Kannel {store}", rate, "x", aim_min=RATIO_AIMS[store])
            cost = statistics.median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)
            yield Row(f"processor time, chappe / Kannel {store}", cost, "x")


@contextlib.contextmanager
def chappe_over_smpp(
    rig: Rig, window: int = WINDOW, delay_ms: int = 0, source: Path | None = None
) -> Iterator[tuple[Gateway, Carrier]]:
    """chappe with one bind to a carrier of its own, which it does not share with others and which is called back."""
    with (
        rig.carrier(delay_ms=delay_ms) as carrier,
        rig.gateway(smpp_configuration(carrier, window), source=source) as gateway,
    ):
        yield gateway, carrier


@contextlib.contextmanager
def kannel_over_smpp(rig: Rig, store: str) -> Iterator[tuple[Kannel, Carrier]]:
    """The same with Kannel and one of its stores."""
    with rig.carrier() as carrier, rig.folder() as folder:
        gateway = Kannel(folder, store, carrier, WINDOW)
        try:
            yield gateway, carrier
        finally:
            gateway.stop()


@contextlib.contextmanager
def jasmin_over_smpp(rig: Rig, options: Options) -> Iterator[tuple[Jasmin, Carrier]]:
    """The same with Jasmin, started."""
    with rig.carrier(body=Jasmin.wants_called_back) as carrier, rig.folder() as folder:
        gateway = Jasmin(folder, Path(options.jasmin), carrier)
        try:
            gateway.start()
            yield gateway, carrier
        finally:
            gateway.stop()


def jasmin_burst(rig: Rig, options: Options) -> Burst:
    """Once, and with fewer messages: it is slower by far, and others would wait for it."""
    with jasmin_over_smpp(rig, options) as (gateway, carrier):
        connections = options.connections
        return measure(
            rig, gateway, carrier, connections=connections, warm_up=JASMIN_WARM_UP, count_max=JASMIN_MESSAGES
        )


# SMPP in, SMPP out


@contextlib.contextmanager
def chappe_between(rig: Rig, source: Path | None = None) -> Iterator[Gateway]:
    """chappe with one bind to a carrier, for an application that binds to it; started."""
    with (
        rig.carrier() as carrier,
        rig.gateway(smpp_configuration(carrier, WINDOW, account()), source=source) as gateway,
    ):
        gateway.start()
        yield gateway


def smpp_to_smpp(rig: Rig, options: Options) -> Rows:
    """SMPP in, SMPP out, receipts both ways (Kannel is not beside it: as Debian has it, it takes no binds)"""
    bursts: list[SmppBurst] = []
    for number in range(options.repetitions):
        with chappe_between(rig) as gateway:
            load_for = partial(rig.smpp_load, gateway.smpp_port, binds=BINDS, window=WINDOW // BINDS)
            bursts.append(measure_smpp(gateway, load_for, options.messages))
            print(f"   {number + 1}. {bursts[-1].per_s:>8,.0f} /s {bursts[-1].cpu_us:>6.0f} us", flush=True)
            if number + 1 == options.repetitions:
                per_s = max(1, int(bursts[-1].per_s / 2))
                calm = load_for(recipient="43########0000", seconds=options.seconds, per_s=per_s)
    loads = [one.load for one in bursts]
    yield Row(END_TO_END, statistics.median(one.per_s for one in bursts), "/s", aim_min=6_000)
    yield Row("accepted meanwhile", statistics.median(one.good / one.seconds for one in loads), "/s")
    yield Row(CPU, statistics.median(one.cpu_us for one in bursts), "us", aim_max=150)
    yield Row("resident memory, peak", max(one.resident_peak_mb for one in bursts), "MB")
    yield Row("refused", sum(one.answered - one.good for one in loads), "", aim_max=0)
    yield Row("receipts that did not come", sum(one.good - one.delivered for one in loads), "", aim_max=0)
    yield Row("receipts that came twice, or to nothing", sum(one.receipts_odd for one in loads), "", aim_max=0)
    if options.jasmin:
        with jasmin_over_smpp(rig, options) as (jasmin, _):
            load_for = partial(rig.smpp_load, jasmin.smpp_port, binds=BINDS, window=WINDOW // BINDS)
            beside = measure_smpp(jasmin, load_for, JASMIN_MESSAGES, warm_up=JASMIN_WARM_UP)
        yield Row(f"{END_TO_END}, Jasmin", beside.per_s, "/s")
        yield Row(f"{CPU}, Jasmin", beside.cpu_us, "us")
        yield Row("receipts that did not come, Jasmin", beside.load.good - beside.load.delivered, "")
    yield Row("acceptance p50 at half that load", calm.p50_ms, "ms")
    yield Row("acceptance p99 at half that load", calm.p99_ms, "ms", aim_max=15)


def measure_smpp(
    gateway: Gateway | Jasmin, load_for: Callable[..., SmppLoad], count: int, warm_up: int = WARM_UP_MESSAGES
) -> SmppBurst:
    """Warm up a gateway that has started, and load it with so many messages."""
    load_for(recipient="45########0000", count_max=warm_up)
    cpu_s = gateway.processes.cpu_s
    load = load_for(count_max=count, seconds=FOREVER_S)
    return SmppBurst(load, gateway.processes.cpu_s - cpu_s, gateway.processes.resident_peak_mb)


# A carrier that takes its time


def slow_answers(rig: Rig, options: Options) -> Rows:
    """One bind, window 50, a carrier that answers after 40 ms: the window allows 1,250 a second"""
    with chappe_over_smpp(rig, SLOW_WINDOW, SLOW_MS) as (gateway, carrier):
        start(gateway, carrier)
        before = carrier.counts()
        load = rig.load(
            gateway.port, gateway.request, connections=options.connections, count_max=SLOW_MESSAGES, seconds=FOREVER_S
        )
        after = carrier.await_submitted(before.submitted + load.good)
        seconds = (after.submitted_last_us - load.start_us) / 1e6
        yield Row("messages at the carrier", (after.submitted - before.submitted) / seconds, "/s", aim_min=1_000)


def code_behind_bulk(rig: Rig, _options: Options) -> Rows:
    """One-time codes, while 100,000 messages wait for the same carrier with throughput 500"""
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(rig.carrier(watched=CODES_BEGIN))
        accounts = (account("bench"), account("codes", more='priority = "urgent"\n'))
        configuration = smpp_configuration(carrier, WINDOW, *accounts, throughput=THROUGHPUT)
        gateway = stack.enter_context(rig.gateway(configuration))
        gateway.start()
        bulk = smsfox_request(BULK_PER_REQUEST)
        rig.load(gateway.port, bulk, connections=1, count_max=BULK_COUNT // BULK_PER_REQUEST, seconds=FOREVER_S)
        times = [submit_code(gateway.port, number) for number in range(CODES_COUNT)]
        time.sleep(SETTLE_S)
        waiting = BULK_COUNT - carrier.counts().submitted
        arrivals = carrier.arrivals()
    behind = [(arrivals[one.recipient] - one.accepted_us) / 1e3 for one in times if one.recipient in arrivals]
    whole = [(arrivals[one.recipient] - one.asked_us) / 1e3 for one in times if one.recipient in arrivals]
    yield Row("bulk that still waited at the end", waiting, "")
    yield Row("codes that did not leave", CODES_COUNT - len(behind), "", aim_max=0)
    if behind:
        yield Row("from acceptance to the carrier, p50", statistics.median(behind), "ms")
        yield Row("from acceptance to the carrier, worst", max(behind), "ms", aim_max=20 + 1000 / THROUGHPUT)
        yield Row("from the request to the carrier, p50", statistics.median(whole), "ms")
        yield Row("from the request to the carrier, worst", max(whole), "ms")


class Code(msgspec.Struct, frozen=True):
    """A code, and when it was asked for and accepted, in microseconds of the monotonic clock."""

    recipient: str
    asked_us: int
    accepted_us: int


def submit_code(port: int, number: int) -> Code:
    """Submit one code, a while after the one before."""
    time.sleep(CODES_EVERY_S)
    recipient = f"{CODES_BEGIN}{number:08}"
    request = smsfox_request(1, "codes").replace(b"44########", recipient.encode())
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        asked_us = now_us()
        connection.sendall(request)
        answer = connection.recv(4096)
        accepted_us = now_us()
    if not answer.endswith(b"\r\n\r\n01"):
        raise RuntimeError(f"a code was refused: {answer!r}")
    return Code(recipient + str(SUFFIX_FIRST), asked_us, accepted_us)


def now_us() -> int:
    return time.monotonic_ns() // 1000
