"""How long deliveries waited, where contestants take turns in short windows of one round.

A quantile near the end needs thousands of waits, which take longer than the machine stays the same:
so a round is many windows, of each contestant in turn, and its quantiles are of all their waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from measuring.pairing import Segment, described, say
from measuring.schedule import quantile

QUANTILES = {"p50": 0.50, "p99": 0.99}
"""The quantiles that a round has as further values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one contestant did in one window.

    Args:
        waits: How long each delivery waited, in milliseconds.
        wall: Seconds by the clock.
        cpu: CPU seconds of its processes.
        missing: How many deliveries did not arrive in time; their waits are counted as that long.
    """

    waits: Sequence[float]
    wall: float
    cpu: float
    missing: int = 0


def take_turns(
    contestants: Mapping[str, Callable[[], Window]], *, windows: int, title: str
) -> Mapping[str, Segment]:
    """Run so many windows of every contestant in turn; return by name what they did together."""
    done: dict[str, list[Window]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(windows):
        # Each goes first as often as the others.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            done[name].append(contestants[name]())
    segments = {name: _together(each) for name, each in done.items()}
    for name, segment in segments.items():
        say(f"  {title}: {name}: {described(segment)}")
    return segments


def _together(windows: Sequence[Window]) -> Segment:
    waits = [wait for window in windows for wait in window.waits]
    values = {name: quantile(waits, share) for name, share in QUANTILES.items()}
    return Segment(
        work=len(waits),
        wall=sum(window.wall for window in windows),
        cpu=sum(window.cpu for window in windows),
        values={**values, "missing": float(sum(window.missing for window in windows))},
    )
