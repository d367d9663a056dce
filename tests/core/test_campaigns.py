"""Campaigns without I/O: texts with variables, numbers out of spreadsheets, the set of numbers that came already."""

import random

import pytest

from chappe.core.campaigns import (
    CELL_MAX,
    FILLED_MAX,
    STEPS,
    TEMPLATE_MAX,
    CampaignState,
    SeenNumbers,
    Step,
    Template,
    Trouble,
    Troubled,
    parse_template,
    read_number,
)
from chappe.sms.segments import STANDARD, count

COLUMNS = ("Phone", "Name", "città", "Имя клиента", "name")
VALUES = ("393471234567", "Mario", "", "Иван", "second")


@pytest.mark.parametrize(
    "text, filled",
    [
        ("Hello", "Hello"),
        ("Hello {Name}", "Hello Mario"),
        ("Hello { name }!", "Hello Mario!"),
        ("{NAME}{phone}", "Mario393471234567"),
        ("Привет, {имя клиента}", "Привет, Иван"),
        ("{città|Roma}", "Roma"),
        ("({città|})", "()"),
        ("{Name|nobody}", "Mario"),
        ("{{Name}}", "{Name}"),
        ("{{{Name}}}", "{Mario}"),
        ("100% {Name} $1 \\1", "100% Mario $1 \\1"),
        ("line\n{Name}", "line\nMario"),
        ("{città}", 2),
        ("", ""),
    ],
)
def test_variables_stand_for_cells(text: str, filled: str | int) -> None:
    """A variable is the cell of its column, an empty one what stands behind the bar, or the text is incomplete."""
    template = parse_template(text, COLUMNS)
    assert isinstance(template, Template)
    assert template.fill(VALUES) == filled


@pytest.mark.parametrize(
    "text, troubled",
    [
        ("Hello {nobody}", Troubled(reason=Trouble.UNKNOWN_COLUMN, word="nobody")),
        ("Hello {}", Troubled(reason=Trouble.UNKNOWN_COLUMN, word="")),
        ("Hello {Name", Troubled(reason=Trouble.OPEN_BRACE, word="{")),
        ("Hello Name}", Troubled(reason=Trouble.OPEN_BRACE, word="}")),
        ("x" * (TEMPLATE_MAX + 1), Troubled(reason=Trouble.TEXT_TOO_LONG, limit=TEMPLATE_MAX)),
    ],
)
def test_a_text_that_cannot_be_read_is_told(text: str, troubled: Troubled) -> None:
    """A text that names no column, or leaves a brace alone, is refused with what is wrong in it."""
    assert parse_template(text, COLUMNS) == troubled


def test_a_cell_is_no_text_with_variables() -> None:
    """What stands in a cell is sent as it stands, braces and all."""
    template = parse_template("{Name}", COLUMNS)
    assert isinstance(template, Template)
    assert template.fill(("1", "{Phone}", "", "", "")) == "{Phone}"


def test_a_filled_text_has_an_end() -> None:
    """A text that grows beyond what any message holds is cut off behind that, however often it names a long cell."""
    template = parse_template("{name}" * 3_000, ["name"])
    assert isinstance(template, Template)
    filled = template.fill(["x" * CELL_MAX])
    assert isinstance(filled, str)
    assert len(filled) == FILLED_MAX + 1
    assert count(filled, STANDARD) is None
    assert template.fill(["x" * 10]) == "x" * 30_000


def test_a_short_row_lacks_its_last_cells() -> None:
    """A row with fewer cells than columns counts as empty there."""
    template = parse_template("{Name}", COLUMNS)
    assert isinstance(template, Template)
    assert template.fill(("1",)) == 1


@pytest.mark.parametrize(
    "written, country, number",
    [
        ("393471234567", "", "393471234567"),
        ("+39 347 123 45 67", "", "393471234567"),
        ("0039-347-1234567", "", "393471234567"),
        ("(+39) 347.1234567", "", "393471234567"),
        ("3471234567", "39", "393471234567"),
        ("393471234567", "39", "393471234567"),
        ("3931234567", "39", "393931234567"),  # a mobile prefix, not the country
        ("447700900123", "39", "447700900123"),  # too long for a national one
        ("+447700900123", "39", "447700900123"),
        ("07700 900123", "44", "447700900123"),
        ("0171 1234567", "49", "491711234567"),
        ("8 (916) 123-45-67", "7", "79161234567"),
        ("9161234567", "7", "79161234567"),
        ("79161234567", "7", "79161234567"),
        ("+7 916 123 45 67", "7", "79161234567"),
        ("'+393471234567", "", "393471234567"),
        ('="393471234567"', "", "393471234567"),
        ("393471234567.0", "", "393471234567"),
        ("  393471234567  ", "", "393471234567"),
        ("3.93471E+11", "", None),
        ("07700900123", "", None),
        ("", "39", None),
        ("0", "39", None),
        ("abc", "39", None),
        ("+39", "39", None),
        ("12345", "39", None),
        ("٣٤٧١٢٣٤٥٦٧", "39", None),
        ("9" * 40, "39", None),
    ],
)
def test_numbers_are_read_as_people_write_them(written: str, country: str, number: str | None) -> None:
    """Numbers out of spreadsheets become international ones, or none."""
    assert read_number(written, country) == number


def test_seen_numbers_are_a_set() -> None:
    """The flat set answers as a set of Python's does, however often it grows."""
    chance = random.Random(5)
    numbers = [str(chance.randrange(10**6, 10**6 + 40_000)) for _ in range(60_000)] + ["9" * 15, "9" * 15, "1000000"]
    seen, known = SeenNumbers(), set[str]()
    for number in numbers:
        assert seen.add(number) == (number not in known)
        known.add(number)


def test_steps_lead_on() -> None:
    """Every step is allowed from somewhere, and none from where a campaign works towards its end."""
    assert set(STEPS) == set(Step)
    for states, _ in STEPS.values():
        assert states
        assert not {CampaignState.CANCELLING, CampaignState.REMOVING, CampaignState.LOADING} & set(states)
