"""Alternating rounds: every contestant in turn, again and again, and the ratio within each round.

What else the machine does changes from minute to minute; two segments beside each other meet the
same. So a figure is the median of ratios, never the ratio of two medians.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one contestant did in one round.

    Args:
        work: How many pieces of work it did.
        wall: Seconds by the clock.
        cpu: CPU seconds of its processes; those of sinks and database servers are not in it.
        values: Further measurements by name.
    """

    work: int
    wall: float
    cpu: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    def cost(self, measure: str) -> float:
        """Return what one piece of work cost in `wall` or `cpu` seconds, or a further value."""
        if measure in self.values:
            return self.values[measure]
        spent = {"wall": self.wall, "cpu": self.cpu}[measure]
        return spent / self.work


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One of the things compared: a name, and what does one segment of its work."""

    name: str
    run: Callable[[], Segment]


Rounds = Mapping[str, Sequence[Segment]]


def sized(work: Callable[[int], Segment], *, seconds: float, trial: int, name: str) -> Contestant:
    """Return a contestant whose segments take about `seconds`, as two trials show.

    A slow one does little and a fast one much, so that both are measured for as long; what is
    compared is the cost of one piece of work. The first trial warms up, the second is timed.
    """
    work(trial)
    rate = trial / work(trial).wall
    count = max(trial, int(rate * seconds))
    return Contestant(name=name, run=lambda: work(count))


def alternate(contestants: Sequence[Contestant], *, rounds: int) -> Rounds:
    """Run every contestant once in each round, in the same order; return the segments by name."""
    segments: dict[str, list[Segment]] = {each.name: [] for each in contestants}
    for number in range(1, rounds + 1):
        for each in contestants:
            segment = each.run()
            segments[each.name].append(segment)
            say(f"  round {number} of {rounds}: {each.name}: {described(segment)}")
    return segments


def ratios(rounds: Rounds, ours: str, other: str, measure: str) -> list[float]:
    """Return by round how many times cheaper `ours` was than `other`: above 1, ours is ahead."""
    pairs = zip(rounds[ours], rounds[other], strict=True)
    return [theirs.cost(measure) / mine.cost(measure) for mine, theirs in pairs]


def say(line: str) -> None:
    """Tell the person who waits how far it is."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def described(segment: Segment) -> str:
    """Return what a segment did as one line for the person who waits."""
    text = f"{segment.work} in {segment.wall:.2f} s, {segment.work / segment.wall:,.0f} a second"
    if segment.cpu:
        text += f", {segment.cost('cpu') * 1e6:,.0f} µs CPU each"
    values = "".join(f", {name} {value:.4g}" for name, value in segment.values.items())
    return text + values
