"""How many sends one endpoint or channel may have under way: more while it answers soon. No I/O."""

from __future__ import annotations

import math

__all__ = ["LONGEST_DEFERRAL", "SLOW", "Window"]

_START = 8.0
_LEAST = 4.0
SLOW = 1.0
"""Seconds: an answer that takes longer makes the window smaller, as a failure does."""
LONGEST_DEFERRAL = 60.0
"""Seconds: what is given back to wait for an endpoint comes back by itself within that time."""
_WEIGHT = 0.2
_INSTANT = 0.001
"""Seconds: what is answered sooner is taken to be answered in that time."""


class Window:
    """The window of one endpoint, as far as this worker knows it.

    It grows by one with each prompt answer, so it doubles in the time of one, and is halved by each
    that is slow or fails. So what is quick may use every slot there is, and what is not keeps few.

    Args:
        most: The most it may grow to.
        fixed: Whether it is always that wide.
    """

    def __init__(self, most: int, *, fixed: bool = False) -> None:
        self._most = float(most)
        self._fixed = fixed
        self._limit = self._most if fixed else min(_START, self._most)
        self._seconds: float | None = None
        self._last = math.inf

    @property
    def limit(self) -> int:
        """How many sends may be under way."""
        return int(self._limit)

    @property
    def known(self) -> bool:
        """Whether anything was answered yet."""
        return self._seconds is not None

    @property
    def prompt(self) -> bool:
        """Whether the last answer, be it a failure, was prompt; not so before the first."""
        return self._last <= SLOW

    def answered(self, seconds: float, *, failed: bool) -> None:
        """Note that a send took `seconds`, and whether it failed for a reason that may pass."""
        known, self._last = self._seconds, seconds
        self._seconds = seconds if known is None else known + _WEIGHT * (seconds - known)
        if self._fixed:
            return
        if failed or seconds > SLOW:
            self._limit = max(min(_LEAST, self._most), self._limit / 2)
        else:
            self._limit = min(self._most, self._limit + 1)

    def begun_within(self, seconds: float) -> int:
        """Return about how many sends would begin in so many seconds, if all goes on as of late."""
        each = max(self._seconds or 0.0, _INSTANT)
        return max(1, int(seconds * self._limit / each))

    def wait_of(self, position: int, oldest: float) -> float:
        """Return in about how many seconds the send at `position` in the line would begin.

        Args:
            position: How many are before it.
            oldest: For how many seconds the oldest of those under way has been.
        """
        return position * max(self._seconds or 0.0, oldest) / max(self._limit, 1.0)
