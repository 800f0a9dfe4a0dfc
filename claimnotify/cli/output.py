"""Prints lines and tables as plain text: what is in them is data, never markup or a terminal's commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claimnotify.model.texts import printable

_WIDEST = 10_000

__all__ = ["say", "say_error", "show_table"]


def say(line: str) -> None:
    """Print a line on standard output, at once: who reads it may be waiting for it."""
    print(printable(line), flush=True)


def say_error(problem: object) -> None:
    """Print a line on standard error that tells of an error."""
    print(f"error: {printable(problem)}", file=sys.stderr)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output; nothing is cut off, as ids are there to be copied."""
    table = Table()
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # What is read by a program has no width.
    width = None if sys.stdout.isatty() else _WIDEST
    Console(width=width).print(table)
