"""When pieces of work come in at a steady rate. Standard library only: both environments use it."""

from __future__ import annotations

import time
from random import Random


def poisson(rate: float, seconds: float, *, seed: int) -> list[float]:
    """Return moments after a start, in seconds, of arrivals that do not know of each other.

    Args:
        rate: How many a second on average.
        seconds: For how long.
        seed: The same seed gives the same moments.
    """
    random, moments, now = Random(seed), [], 0.0
    while (now := now + random.expovariate(rate)) < seconds:
        moments.append(now)
    return moments


def wait_for(moment: float) -> None:
    """Sleep until the monotonic clock shows `moment`; return at once if it is past."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def quantile(values: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
