"""What the benchmark puts around a gateway does its part: the carrier, the application that binds, and the counts."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

import pytest

from chappe.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResponse,
    DeliverSm,
    Pdu,
    SubmitSm,
    SubmitSmResponse,
    decode,
    encode_body,
)
from parts import require
from processes import Processes
from rig import Rig

PROGRAMS = sorted((Path(__file__).parents[1] / "bench").glob("*.c"))
MESSAGES = 1_000
TIMEOUT_S = 20


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The benchmark's own, with the C programs compiled."""
    require("C compiler", shutil.which("gcc") is not None)
    rig = Rig(tmp_path_factory.mktemp("rig"))
    try:
        yield rig
    finally:
        rig.close()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_compiler_has_nothing_to_say(program: Path, tmp_path: Path) -> None:
    """Each C program compiles without a warning."""
    require("C compiler", shutil.which("gcc") is not None)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "program", program], check=True)


@pytest.mark.parametrize("delay_ms", [0, 1])
def test_the_application_and_the_carrier_lose_nothing(rig: Rig, delay_ms: int) -> None:
    """Every message of the load is answered and receipted once, whether the carrier answers at once or later."""
    with rig.carrier(delay_ms=delay_ms) as carrier:
        load = rig.smpp_load(carrier.smpp_port, binds=3, window=20, count_max=MESSAGES)
        counts = carrier.counts()
    assert (load.answered, load.good, load.delivered, load.receipts_odd) == (MESSAGES, MESSAGES, MESSAGES, 0)
    assert (counts.submitted, counts.receipts, counts.receipts_answered) == (MESSAGES, MESSAGES, MESSAGES)


def test_an_open_loop_sends_what_is_due(rig: Rig) -> None:
    """With a rate the application sends as many messages as come due, not as many as the window allows."""
    with rig.carrier() as carrier:
        load = rig.smpp_load(carrier.smpp_port, binds=1, window=20, seconds=1, per_s=300)
    assert (load.answered, load.delivered) == (300, 300)


def test_arrivals_are_those_that_are_watched(rig: Rig) -> None:
    """The carrier tells when messages to watched recipients came, in their order, and of no others."""
    with rig.carrier(watched="46") as carrier:
        rig.smpp_load(carrier.smpp_port, binds=1, window=1, count_max=3, recipient="46####")
        rig.smpp_load(carrier.smpp_port, binds=1, window=1, count_max=3, recipient="47####")
        arrivals = carrier.arrivals()
    assert list(arrivals) == ["460000", "460001", "460002"]
    assert sorted(arrivals.values()) == list(arrivals.values())


def test_callbacks_are_counted(rig: Rig) -> None:
    """The carrier's other port answers any request and counts it, but not the questions after the counts."""
    with rig.carrier() as carrier:
        for _ in range(3):
            with urlopen(f"http://127.0.0.1:{carrier.http_port}/receipt", data=b"state=1", timeout=TIMEOUT_S) as answer:
                assert answer.read() == b"OK"
        assert carrier.await_callbacks(3).callbacks == 3


def test_the_carrier_speaks_smpp(rig: Rig) -> None:
    """Our codec reads what the carrier writes: the answers to a bind and a submission, and the receipt with its id."""
    submission = SubmitSm(
        source_ton=5,
        source="TELEGRAPH",
        destination_ton=1,
        destination_npi=1,
        destination="447700900123",
        registered_delivery=1,
        short_message=b"Hello",
    )
    with rig.carrier() as carrier, socket.create_connection(("127.0.0.1", carrier.smpp_port), TIMEOUT_S) as connection:
        connection.sendall(encode_body(BindTransceiver(system_id="u", password="p"), 1) + encode_body(submission, 2))
        stream = connection.makefile("rb")
        bound, answered, told = (read_pdu(stream) for _ in range(3))
    assert (type(bound.body), bound.sequence, bound.status) == (BindTransceiverResponse, 1, 0)
    assert isinstance(answered.body, SubmitSmResponse)
    assert (answered.sequence, answered.status) == (2, 0)
    receipt = told.body
    assert isinstance(receipt, DeliverSm)
    assert (receipt.source_ton, receipt.source_npi, receipt.source) == (1, 1, "447700900123")
    assert (receipt.destination_ton, receipt.destination) == (5, "TELEGRAPH")
    assert (receipt.esm_class, receipt.data_coding) == (4, 0)
    assert receipt.short_message.startswith(f"id:{answered.body.message_id} sub:001 dlvrd:001 ".encode())
    assert b" stat:DELIVRD err:000 " in receipt.short_message


def test_descendants_are_counted() -> None:
    """The memory of a gateway is that of its processes and of all that these have started."""
    hog = f"{sys.executable} -c 'hog = bytes(range(256)) * (1 << 18); print(1, flush=True); input()'"
    processes = Processes()
    started = processes.start(["sh", "-c", f"{hog}; true"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert started.stdout is not None
        started.stdout.readline()
        assert processes.resident_mb > 64
        assert processes.resident_peak_mb > 64
        assert processes.cpu_s > 0
    finally:
        started.communicate(b"\n", TIMEOUT_S)
        processes.stop()


def read_pdu(stream: BinaryIO) -> Pdu:
    """The next whole PDU."""
    head = stream.read(4)
    return decode(head + stream.read(int.from_bytes(head, "big") - 4))
