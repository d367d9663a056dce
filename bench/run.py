"""Measures what the documents say about chappe's speed, and prints it: a table, then one line of JSON.

    ./dev bench [--only 1,2] [--seconds 10] [--messages 30000] [--folder /var/tmp] [--profile] ...

Strategy: each figure is a function that yields rows; it starts gateways of its own on fresh databases. Where another
program is measured in the same run, the ratio counts, not the number: the machine makes the number. Rows name an aim
where there is one, and nothing here fails because of it.
"""

import argparse
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import against
import alone
import beside
import chappe
import pages
from hotspots import PROFILED, print_hotspots
from measuring import CPU, END_TO_END, Options, Row, Rows
from rig import Rig, open_rig


class Figure(msgspec.Struct, frozen=True):
    """A row that has been measured, as it stands in the JSON."""

    figure: int
    load_average: float  # of the machine, before the figure was measured
    row: Row


FIGURES: dict[int, Callable[[Rig, Options], Rows]] = {
    1: alone.one_recipient,
    2: alone.hundred_recipients,
    3: alone.many_queued,
    4: alone.empty_start,
    5: alone.floor_of_the_front,
    6: alone.on_postgres,
    7: alone.each_dialect,
    8: beside.http_to_smpp,
    9: beside.smpp_to_smpp,
    10: beside.slow_answers,
    11: beside.code_behind_bulk,
    12: against.earlier_versions,
    13: pages.pages,
}
OF_COMMITS = 12  # which says nothing without --against
LONG = 13  # which is only measured where it is chosen
RATIOS = (  # what, then the figure and row above the line, then those below it
    ("processor time of a message, in floors of the front", (1, CPU), (5, CPU)),
    ("end to end, PostgreSQL to SQLite", (6, END_TO_END), (1, END_TO_END)),
)


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
    parser.add_argument("--only", help="figures to measure, such as 1,2 [all]")
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts [10]")
    parser.add_argument("--connections", type=int, default=64, help="kept-alive connections of the load [64]")
    parser.add_argument("--queued", type=int, default=1_000_000, help="messages of figure 3 [1000000]")
    parser.add_argument("--messages", type=int, default=30_000, help="of each measurement of figures 8, 9, 12 [30000]")
    parser.add_argument("--pages", type=int, default=10_000_000, help="messages of figure 13 [10000000]")
    parser.add_argument("--repetitions", type=int, default=3, help="of each measurement of figures 8, 9, 12 [3]")
    parser.add_argument("--against", default="", help="commits to measure beside this version, in figure 12")
    parser.add_argument("--jasmin", default="", help="a virtual environment with Jasmin, for figures 8 and 9")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="a disk for the databases [/var/tmp]")
    parser.add_argument("--profile", action="store_true", help="only tell where the time of figures 1, 8 and 9 goes")
    given = parser.parse_args()
    options = Options(
        seconds=given.seconds,
        connections=given.connections,
        queued=given.queued,
        messages=given.messages,
        pages=given.pages,
        repetitions=given.repetitions,
        against=[commit for commit in given.against.split(",") if commit],
        jasmin=given.jasmin,
    )
    known = PROFILED if given.profile else FIGURES
    all_of_them = [number for number in known if number != LONG and (number != OF_COMMITS or options.against)]
    chosen = [int(number) for number in given.only.split(",")] if given.only else all_of_them
    if unknown := set(chosen) - set(known):
        parser.error(f"there is no figure {min(unknown)}; there are {', '.join(map(str, known))}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us early leaves nothing behind
    with open_rig(given.folder) as rig:
        if given.profile:
            for number in chosen:
                print_hotspots(rig, number, options)
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
