"""Prints tables in the terminal, and the same plain text where no terminal is."""

import sys

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 160  # columns, where nobody says how wide the paper is


def print_table(table: Table) -> None:
    """Cells are taken as they are, never as markup: names and details come from outside."""
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else PLAIN_WIDTH, markup=False, highlight=False, emoji=False)
    console.print(table)


def plain_table(*columns: str) -> Table:
    """An empty table without lines, to be filled with `add_row`."""
    return Table(*columns, box=None, pad_edge=False, header_style="bold")
