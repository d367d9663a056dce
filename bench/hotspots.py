"""Where the processor time of a figure goes: functions by own and by total time, for each thread of chappe.

py-spy looks at the running process a few hundred times a second, twice: at every thread that works, then only at the
one that holds the interpreter lock. It is taken from PATH, or installed into a folder that goes away.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from beside import BINDS, WINDOW, chappe_between, chappe_over_smpp
from measuring import Options
from rig import Gateway, Rig

SAMPLES_PER_S = 250
TOP = 40
BUSY_THREADS = 2  # the event loop and the writer; the others wait
SETTLE_S = 1
Stacks = Counter[tuple[str, ...]]  # functions, outermost first, and how often they were seen
MODES = (("working", ()), ("holding the interpreter lock", ("--gil",)))
Loaded = tuple[Gateway, Callable[..., object]]  # a gateway that has started, and what loads it for `seconds`


@contextlib.contextmanager
def http_alone(rig: Rig, options: Options) -> Iterator[Loaded]:
    """Figure 1"""
    with rig.gateway() as gateway:
        gateway.start()
        yield gateway, partial(rig.load, gateway.port, gateway.request, connections=options.connections)


@contextlib.contextmanager
def http_to_smpp(rig: Rig, options: Options) -> Iterator[Loaded]:
    """Figure 8"""
    with chappe_over_smpp(rig) as (gateway, _):
        gateway.start()
        yield gateway, partial(rig.load, gateway.port, gateway.request, connections=options.connections)


@contextlib.contextmanager
def smpp_to_smpp(rig: Rig, _options: Options) -> Iterator[Loaded]:
    """Figure 9"""
    with chappe_between(rig) as gateway:
        yield gateway, partial(rig.smpp_load, gateway.smpp_port, binds=BINDS, window=WINDOW // BINDS)


PROFILED: dict[int, Callable[[Rig, Options], contextlib.AbstractContextManager[Loaded]]] = {
    1: http_alone,
    8: http_to_smpp,
    9: smpp_to_smpp,
}


def print_hotspots(rig: Rig, figure: int, options: Options) -> None:
    """Load a gateway as in one of the figures and print what py-spy saw."""
    print(f"\nFigure {figure}")
    with tempfile.TemporaryDirectory() as folder, PROFILED[figure](rig, options) as (gateway, load):
        py_spy = find_py_spy(Path(folder))
        for name, modes in MODES:
            loading = threading.Thread(target=load, kwargs={"seconds": options.seconds + 2 * SETTLE_S})
            loading.start()
            threading.Event().wait(SETTLE_S)
            stacks = record(py_spy, gateway.processes.pid, options.seconds, modes, Path(folder) / "stacks")
            loading.join()
            for thread, counted in by_thread(stacks)[:BUSY_THREADS]:
                print_table(f"{thread}: {name}", counted, options.seconds * SAMPLES_PER_S)


def find_py_spy(folder: Path) -> str | Path:
    found = shutil.which("py-spy")
    if found:
        return found
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "py-spy"], check=True)
    return folder / "bin/py-spy"


def record(py_spy: str | Path, pid: int, seconds: int, options: tuple[str, ...], file: Path) -> Stacks:
    """What the process did in these seconds; each stack is headed by its thread."""
    command = [py_spy, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_PER_S)]
    command += ["--format", "raw", "--function", "--threads", "--output", file, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    stacks: Stacks = Counter()
    for line in file.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        thread, *functions = frames.split(";")
        stacks[thread, *(functions or ["?"])] += int(count)
    return stacks


def by_thread(stacks: Stacks) -> list[tuple[str, Stacks]]:
    """The stacks of each thread, the busiest first."""
    threads: dict[str, Stacks] = {}
    for stack, count in stacks.items():
        threads.setdefault(stack[0], Counter())[stack[1:]] += count
    return sorted(threads.items(), key=lambda item: -item[1].total())


def print_table(title: str, stacks: Stacks, samples: int) -> None:
    """Shares are of all samples: 100 % is one processor."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for frame in set(stack):
            total[frame] += count
    print(f"\n{title} ({stacks.total() / samples:.0%} of the time)\n      own   total")
    for frame, count in own.most_common(TOP):
        print(f"   {count / samples:6.1%}  {total[frame] / samples:6.1%}  {frame}")
