"""Charts: true to their numbers whatever these are, and told in words and as a table as well."""

import math
import re
from xml.etree import ElementTree

import pytest
from jinja2 import Environment, FileSystemLoader

from chappe.listeners.panel.charts import BOTTOM, HEIGHT, TICKS, WIDTH, Chart, Series, Words, bars, lines, nice_top
from chappe.listeners.panel.frame import FOLDER

WORDS = Words("it", "Title <b>", "What it shows", "Time", lambda value: f"{value:,.0f}", lambda value: f"{value:.3g}")


def coordinates(chart: Chart) -> list[tuple[float, float]]:
    """Every corner that is drawn."""
    found = [
        (float(bar.x) + across * float(bar.width), float(bar.y) + down * float(bar.height))
        for column in chart.columns
        for bar in column.bars
        for across in (0, 1)
        for down in (0, 1)
    ]
    found += [(float(x), float(y)) for line in chart.lines for x, y in line.dots]
    return found + [
        (float(x), float(y)) for line in chart.lines for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", line.path)
    ]


# The values of two series over some places.
VALUES: list[tuple[str, list[float | None], list[float | None]]] = [
    ("no places", [], []),
    ("no values", [None, None, None], [0, 0, 0]),
    ("one value", [None, 5, None], [None, None, None]),
    ("one place", [7], [3]),
    ("ones", [1, 1, 1], [0, 1, 0]),
    ("huge", [10**18, 1, 10**15], [10**17, None, 3]),
    ("a gap", [1, None, 3, 4], [4, 3, None, 1]),
    ("many", [float(n % 17) for n in range(2_000)], [None] * 2_000),
]


@pytest.mark.parametrize("draw", [bars, lines])
@pytest.mark.parametrize("name, first, second", VALUES, ids=[row[0] for row in VALUES])
def test_nothing_is_drawn_outside(draw, name: str, first: list[float | None], second: list[float | None]) -> None:  # type: ignore[no-untyped-def]
    """Whatever the values are, all that is drawn lies within the picture, and each value stands in the table."""
    labels = [f"{n:02}:00" for n in range(len(first))]
    chart = draw(WORDS, labels, [Series("a", first, 1), Series("b", second, 2)])
    for x, y in coordinates(chart):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT - BOTTOM + 0.1
    values = {value for value in (*first, *second) if value}
    assert chart.is_empty is (not values and (draw is bars or all(value is None for value in (*first, *second))))
    told = {cell for row in chart.rows for cell in row[1:]}
    assert {f"{value:,.0f}" for value in values} <= told
    assert len(chart.x_labels) <= 6
    assert len(chart.y_labels) == TICKS + 1


def test_bars_are_as_high_as_their_values() -> None:
    """A bar twice as large is twice as high, and bars of one place stand upon each other."""
    chart = bars(WORDS, ["x", "y"], [Series("a", [10, 20], 1), Series("b", [30, None], 2)])
    (low, upon), (high,) = chart.columns[0].bars, chart.columns[1].bars
    assert float(high.height) == pytest.approx(2 * float(low.height), abs=0.2)
    assert float(upon.height) == pytest.approx(3 * float(low.height), abs=0.2)
    assert float(upon.y) + float(upon.height) == pytest.approx(float(low.y), abs=0.2)
    assert chart.columns[0].title == "x: a 10, b 30"


def test_a_line_breaks_where_there_is_no_value() -> None:
    """A line joins neighbours only; a value without one is a dot."""
    [line] = lines(WORDS, list("abcdef"), [Series("a", [1, 2, None, 3, None, 4], 1)]).lines
    assert (line.path.count("M"), line.path.count("L"), len(line.dots)) == (1, 1, 2)


@pytest.mark.parametrize("largest", [0, 0.5, 1, 4, 5, 7, 99, 101, 1234, 10**6, 10**18])
def test_the_axis_ends_a_little_above(largest: float) -> None:
    """The axis reaches the largest value, is not much longer, and its quarters are round."""
    top = nice_top(largest)
    assert max(largest * 0.999, 4) <= top <= max(4, 2.6 * largest)
    quarter = top / TICKS
    assert quarter / 10 ** math.floor(math.log10(quarter)) in (1, 2, 2.5, 5)


def test_a_chart_is_said_as_well() -> None:
    """The drawing has a name and a description, is well-formed, and quotes what it is given."""
    environment = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True)
    environment.globals |= {"_": str}
    chart = bars(WORDS, ["<x>"], [Series("<i>a</i>", [1], 1), Series("b", [2], 2)])
    template = environment.from_string('{% import "parts.html" as parts with context %}{{ parts.chart(one) }}')
    drawn = template.render(one=chart, errors={}, csrf_token="", panel=None)
    tree = ElementTree.fromstring(drawn.strip())
    picture = next(one for one in tree.iter("svg") if one.get("role") == "img")
    names = {one.get("id"): one.text for one in picture if one.tag in ("title", "desc")}
    assert [names[each] for each in (picture.get("aria-labelledby") or "").split()] == ["Title <b>", "What it shows"]
    assert "<i>" not in drawn
    assert [cell.text for cell in tree.iter("td")] == ["1", "2"]
