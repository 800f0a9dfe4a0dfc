"""Prints lines and tables as plain text: what is in them is data, never markup or a terminal's commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from claimnotify.model.texts import printable

__all__ = ["say", "say_error", "show_table"]


def say(line: str) -> None:
    """Print a line on standard output, at once: who reads it may be waiting for it."""
    print(printable(line), flush=True)


def say_error(problem: object) -> None:
    """Print a line on standard error that tells of an error."""
    print(f"error: {printable(problem)}", file=sys.stderr)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output."""
    table = Table(*heads)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)
