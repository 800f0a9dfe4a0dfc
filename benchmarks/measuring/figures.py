"""Figures: a ratio, beside what the project asks of it; as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the project asks of a figure: to be `>=` or `<=` a number."""

    sign: str
    number: float

    def met(self, measured: float) -> bool:
        """Return whether `measured` is good enough."""
        return measured >= self.number if self.sign == ">=" else measured <= self.number


def at_least(number: float) -> Target:
    """Ask for `number` or more."""
    return Target(sign=">=", number=number)


def at_most(number: float) -> Target:
    """Ask for `number` or less."""
    return Target(sign="<=", number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Args:
        what: What of ours was measured, and where.
        over: What it is compared with.
        measure: In what: `wall`, `cpu`, `p99` …
        ratios: One for each pair of segments; the figure is their median.
        target: What the project asks, if it asks something.
        unit: `x` for a multiple, `%` for a share (1.0 is 100 %), or a unit of its own.
    """

    what: str
    over: str
    measure: str
    ratios: Sequence[float]
    target: Target | None = None
    unit: str = "x"

    @property
    def measured(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        """`ok`, `short`, or nothing where nothing is asked."""
        if self.target is None:
            return ""
        return "ok" if self.target.met(self.measured) else "short"

    def shown(self, number: float) -> str:
        """Return `number` in the figure's unit."""
        if self.unit == "%":
            return f"{number * 100:.0f} %"
        if self.unit == "x":
            return f"{number:.0f}×" if number >= 100 else f"{number:.3g}×"
        return f"{number:.3g} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "what": self.what,
            "over": self.over,
            "measure": self.measure,
            "unit": self.unit,
            "ratios": list(self.ratios),
            "measured": self.measured,
            "target": None if self.target is None else [self.target.sign, self.target.number],
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Figure:
        """Return the figure that `to_dict` described."""
        asked = values["target"]
        return cls(
            what=values["what"],
            over=values["over"],
            measure=values["measure"],
            unit=values["unit"],
            ratios=values["ratios"],
            target=None if asked is None else Target(sign=asked[0], number=asked[1]),
        )


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as lines of text under a heading."""
    head = ("what", "over", "in", "asked", "measured", "pairs from–to", "")
    rows = [head, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(figure: Figure) -> tuple[str, ...]:
    asked = ""
    if figure.target is not None:
        sign = {">=": "≥", "<=": "≤"}[figure.target.sign]
        asked = f"{sign} {figure.shown(figure.target.number)}"
    low, high = min(figure.ratios), max(figure.ratios)
    return (
        figure.what,
        figure.over,
        figure.measure,
        asked,
        figure.shown(figure.measured),
        f"{figure.shown(low)}–{figure.shown(high)} ({len(figure.ratios)})",
        figure.verdict,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
