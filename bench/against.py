"""Figure 12: this chappe and those of earlier commits, on each way that they know: what the steps between them brought.

Each commit's package is taken out of git into a folder and run by the same Python with the same libraries. All are
measured in turn, as the gateways of figure 8 are. Where a version does not start, or knows no SMPP, it is left out.
"""

import contextlib
import statistics
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

from beside import BINDS, WINDOW, chappe_between, chappe_over_smpp, measure_smpp
from measuring import CPU, END_TO_END, Burst, Options, Row, Rows, SmppBurst, measure, start
from rig import NotStarted, Rig, output_of

REPOSITORY = Path(__file__).parents[1]
THIS = "this one"

Source = Path | None  # of the package; None is this one


def http_alone(rig: Rig, options: Options, source: Source) -> Burst:
    """As in figure 1"""
    with rig.gateway(source=source) as gateway:
        start(gateway, rig.sink)
        return measure(rig, gateway, rig.sink, connections=options.connections, count_max=options.messages)


def http_to_smpp(rig: Rig, options: Options, source: Source) -> Burst:
    """As in figure 8"""
    with chappe_over_smpp(rig, source=source) as (gateway, carrier):
        start(gateway, carrier)
        return measure(rig, gateway, carrier, connections=options.connections, count_max=options.messages)


def smpp_to_smpp(rig: Rig, options: Options, source: Source) -> SmppBurst:
    """As in figure 9"""
    with chappe_between(rig, source) as gateway:
        load_for = partial(rig.smpp_load, gateway.smpp_port, binds=BINDS, window=WINDOW // BINDS)
        return measure_smpp(gateway, load_for, options.messages)


WAYS: dict[str, Callable[[Rig, Options, Source], Burst | SmppBurst]] = {
    "HTTP in": http_alone,
    "HTTP in, SMPP out": http_to_smpp,
    "SMPP in, SMPP out": smpp_to_smpp,
}


def earlier_versions(rig: Rig, options: Options) -> Rows:
    """This version beside earlier ones (--against)"""
    for way, measured in WAYS.items():
        with sources(rig, options.against) as versions:
            bursts: dict[str, list[Burst | SmppBurst]] = {version: [] for version in versions}
            for _ in range(options.repetitions):
                for version, source in versions.items():
                    with contextlib.suppress(NotStarted):  # its gateway file knows no SMPP, or it was never whole
                        bursts[version].append(measured(rig, options, source))
        for version, several in bursts.items():
            if several:
                yield Row(f"{END_TO_END}, {way}, {version}", statistics.median(one.per_s for one in several), "/s")
                yield Row(f"{CPU}, {way}, {version}", statistics.median(one.cpu_us for one in several), "us")


@contextlib.contextmanager
def sources(rig: Rig, commits: list[str]) -> Iterator[dict[str, Source]]:
    """The packages of these commits, in folders that go away; and this one."""
    with rig.folder() as folder:
        versions: dict[str, Source] = {}
        for commit in commits:
            archive = output_of(["git", "-C", REPOSITORY, "archive", commit, "src"])
            with tarfile.open(fileobj=BytesIO(archive)) as files:
                files.extractall(folder / commit, filter="data")
            versions[commit] = folder / commit / "src"
        yield versions | {THIS: None}
