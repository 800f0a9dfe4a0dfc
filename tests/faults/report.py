"""Says what the runs came to: a line for each, a table of all, and what makes the whole fail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.faults.verdict import Verdict

__all__ = ["failures", "line", "table"]

_NUMBERS = ("runs", "strikes", "in flight", "accepted", "lost", "duplicates", "seconds", "wrong")


def line(verdict: Verdict) -> str:
    """Return one run's line, and what is wrong below it; its first three words are what it is repeated with."""
    return "\n    ".join([head(verdict), *verdict.problems])


def head(verdict: Verdict) -> str:
    """Return the line without what is wrong."""
    return (
        f"STACK={verdict.stack} FAULT={verdict.fault} SEED={verdict.seed}"
        f" strikes={verdict.strikes} in-flight={verdict.in_flight} accepted={verdict.accepted}"
        f" lost={verdict.lost} duplicates={verdict.duplicates} seconds={verdict.seconds:.1f}"
    )


def table(verdicts: Sequence[Verdict]) -> str:
    """Return a table with a row for each stack and fault."""
    rows: list[tuple[str, ...]] = [("stack", "fault", *_NUMBERS)]
    for (stack, fault), group in _grouped(verdicts).items():
        numbers = (
            len(group),
            sum(each.strikes for each in group),
            sum(each.in_flight for each in group),
            sum(each.accepted for each in group),
            sum(each.lost for each in group),
            sum(each.duplicates for each in group),
            round(sum(each.seconds for each in group)),
            sum(not each.passed for each in group),
        )
        rows.append((stack, fault, *map(str, numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def failures(verdicts: Sequence[Verdict]) -> list[str]:
    """Return why the whole failed: each run that lost something, each fault that met nothing."""
    wrong = [f"FAILED {head(each)}" for each in verdicts if not each.passed]
    for (stack, fault), group in _grouped(verdicts).items():
        if not sum(each.in_flight for each in group):
            wrong.append(f"FAILED STACK={stack} FAULT={fault}: no strike met a delivery in flight")
    return wrong


def _grouped(verdicts: Sequence[Verdict]) -> dict[tuple[str, str], list[Verdict]]:
    groups: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for each in sorted(verdicts, key=lambda each: (each.stack, each.fault, each.seed)):
        groups[each.stack, each.fault].append(each)
    return groups
