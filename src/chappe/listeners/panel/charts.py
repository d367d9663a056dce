"""Charts as SVG, drawn on the server: geometry here, strokes in `parts.html`, colours in `panel.css`.

A chart is a picture of a table, and that table comes with it: who cannot see the picture, or the difference between two
of its colours, reads the numbers. All words and numbers come in the reader's language from whoever makes the chart.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 480, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 10, 26  # around the plot
TICKS = 4
X_LABELS = 6
GAP = 0.18  # of a bar's width
BAR_MAX = 64.0


class Series(NamedTuple):
    """One row of values, one for each place on the axis; None = there is none. `look` is 1 to 6: its colour."""

    name: str
    values: Sequence[float | None]
    look: int
    total: str = ""


class Bar(NamedTuple):
    look: int
    x: str
    y: str
    width: str
    height: str


class Column(NamedTuple):
    """All bars of one place, and what is said of them."""

    title: str
    bars: tuple[Bar, ...]
    x: str
    width: str


class Line(NamedTuple):
    look: int
    path: str
    dots: tuple[tuple[str, str], ...]  # values without a neighbour, which no line would show


class Label(NamedTuple):
    place: str
    text: str


class Chart(NamedTuple):
    """What the template draws. Coordinates are texts: they are written as they are."""

    id: str
    title: str
    description: str
    names: tuple[tuple[int, str, str], ...]  # look, name, total
    heading: str  # of the table's first column
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    y_labels: tuple[Label, ...]
    x_labels: tuple[Label, ...]
    is_empty: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


class Words(NamedTuple):
    """What a chart says of itself, and how it writes values: in the table, and with little room on the axis."""

    id: str
    title: str
    description: str
    heading: str
    write: Callable[[float], str]
    write_short: Callable[[float], str]
    nothing: str = "–"


def bars(words: Words, labels: Sequence[str], series: Sequence[Series]) -> Chart:
    """Values upon each other, one column for each label."""
    sums = [sum(of(one, place) for one in series) for place in range(len(labels))]
    top = nice_top(max(sums, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels))

    def columns() -> Iterator[Column]:
        for place, label in enumerate(labels):
            said = ", ".join(
                f"{one.name} {words.write(of(one, place))}" for one in series if one.values[place] is not None
            )
            x = LEFT + step * place
            width = min(BAR_MAX, step * (1 - GAP))
            stacked = tuple(stack(series, place, top, x + (step - width) / 2, width))
            yield Column(f"{label}: {said}", stacked, coordinate(x), coordinate(step))

    return chart(words, labels, series, top, not any(sums), columns=tuple(columns()))


def stack(series: Sequence[Series], place: int, top: float, x: float, width: float) -> Iterator[Bar]:
    below = 0.0
    for one in series:
        value = of(one, place)
        if value > 0:
            upper, lower = height_of(below + value, top), height_of(below, top)
            yield Bar(one.look, *map(coordinate, (x, upper, width, lower - upper)))
            below += value


def lines(words: Words, labels: Sequence[str], series: Sequence[Series]) -> Chart:
    """One line for each series, broken where there is no value."""
    found = [value for one in series for value in one.values if value is not None]
    top = nice_top(max(found, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    drawn = tuple(Line(one.look, *traced(one.values, top, step)) for one in series)
    return chart(words, labels, series, top, not found, lines=drawn)


def traced(values: Sequence[float | None], top: float, step: float) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The path through all values that have a neighbour, and the places of those that have none."""
    pieces: list[str] = []
    dots: list[tuple[str, str]] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        x, y = coordinate(LEFT + step * (place + 0.5)), coordinate(height_of(value, top))
        follows = place > 0 and values[place - 1] is not None
        leads = place + 1 < len(values) and values[place + 1] is not None
        if follows or leads:
            pieces.append(f"{'L' if follows else 'M'}{x} {y}")
        else:
            dots.append((x, y))
    return "".join(pieces), tuple(dots)


def chart(
    words: Words,
    labels: Sequence[str],
    series: Sequence[Series],
    top: float,
    is_empty: bool,
    columns: tuple[Column, ...] = (),
    lines: tuple[Line, ...] = (),
) -> Chart:
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    every = max(1, math.ceil(len(labels) / X_LABELS))
    shown = [place for place in range(len(labels)) if place % every == 0]
    ticks = [top * tick / TICKS for tick in range(TICKS + 1)]
    rows = tuple(
        (
            label,
            *(
                words.nothing if value is None else words.write(value)
                for value in (one.values[place] for one in series)
            ),
        )
        for place, label in enumerate(labels)
        if any(one.values[place] for one in series)
    )
    return Chart(
        id=words.id,
        title=words.title,
        description=words.description,
        names=tuple((one.look, one.name, one.total) for one in series),
        heading=words.heading,
        rows=rows,
        columns=columns,
        lines=lines,
        y_labels=tuple(Label(coordinate(height_of(tick, top)), words.write_short(tick)) for tick in ticks),
        x_labels=tuple(Label(coordinate(LEFT + step * (place + 0.5)), labels[place]) for place in shown),
        is_empty=is_empty,
    )


def of(one: Series, place: int) -> float:
    return one.values[place] or 0


def height_of(value: float, top: float) -> float:
    """Where a value is on the upright axis."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def nice_top(largest: float) -> float:
    """The end of the axis: round, at least 4, and such that its quarters are round as well."""
    if largest <= TICKS:
        return float(TICKS)
    unit = 10.0 ** math.floor(math.log10(largest / TICKS))
    return next(TICKS * unit * each for each in (1, 2, 2.5, 5, 10) if TICKS * unit * each >= largest * 0.9999)


def coordinate(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
