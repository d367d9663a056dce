"""Where the processor time of figure 1 goes: functions by own and by total time, for each thread of chappe.

py-spy looks at the running process a few hundred times a second, twice: at every thread that works, then only at the
one that holds the interpreter lock. It is taken from PATH, or installed into a folder that goes away.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from rig import Rig, smsfox_request

SAMPLES_PER_S = 250
TOP = 40
BUSY_THREADS = 2  # the event loop and the writer; the others wait
SETTLE_S = 1
Stacks = Counter[tuple[str, ...]]  # functions, outermost first, and how often they were seen
MODES = (("working", ()), ("holding the interpreter lock", ("--gil",)))


def print_hotspots(rig: Rig, seconds: int, connections: int) -> None:
    """Load a gateway as in figure 1 and print what py-spy saw."""
    with tempfile.TemporaryDirectory() as folder, rig.gateway() as gateway:
        py_spy = find_py_spy(Path(folder))
        gateway.start()
        for name, options in MODES:
            load = threading.Thread(
                target=rig.load,
                args=(gateway.port, smsfox_request(1)),
                kwargs={"connections": connections, "seconds": seconds + 2 * SETTLE_S},
            )
            load.start()
            threading.Event().wait(SETTLE_S)
            stacks = record(py_spy, gateway.process.pid, seconds, options, Path(folder) / "stacks")
            load.join()
            for thread, counted in by_thread(stacks)[:BUSY_THREADS]:
                print_table(f"{thread}: {name}", counted, seconds * SAMPLES_PER_S)


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
