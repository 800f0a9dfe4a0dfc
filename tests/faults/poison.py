"""A template filter that one value breaks: it raises, or ends the process that renders."""

from __future__ import annotations

import os
from typing import Final

from jinja2.filters import FILTERS

__all__ = ["EXITS", "MODE", "POISON", "RAISES", "install"]

MODE: Final = "FAULTS_FILTER"
"""The variable that says what the filter does to `POISON`."""
RAISES: Final = "raises"
EXITS: Final = "exits"
POISON: Final = 6_666
"""The number that breaks it."""


def install() -> None:
    """Give every Jinja environment of this process the filter `fragile`."""
    FILTERS["fragile"] = _fragile


def _fragile(number: int) -> str:
    mode = os.environ.get(MODE)
    if number == POISON and mode == EXITS:
        os._exit(70)
    if number == POISON and mode == RAISES:
        raise RuntimeError("this number breaks the filter")
    return str(number)
