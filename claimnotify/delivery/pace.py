"""How long to wait for more before the next lease, when deliveries come one by one in quick succession."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Pace"]

_WINDOW = 0.25
"""Seconds over which the rate is taken."""
_FEW = 300.0
"""Up to how many a second each is leased at once."""
_TOGETHER = 30
"""How many are to come together above that."""
_LONGEST = 0.03


class Pace:
    """Gathers what comes so quickly that a lease and a record for each would keep the database busy.

    At a thousand a second that is thirty together, and each comes thirty milliseconds later at most.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._leases: deque[tuple[float, int]] = deque()
        self._count = 0

    def leased(self, count: int) -> None:
        """Note that so many were leased just now."""
        self._leases.append((self._monotonic(), count))
        self._count += count

    def wait(self) -> float:
        """Return for how many seconds to gather; 0 where they come slowly."""
        since = self._monotonic() - _WINDOW
        while self._leases and self._leases[0][0] <= since:
            self._count -= self._leases.popleft()[1]
        rate = self._count / _WINDOW
        return 0.0 if rate <= _FEW else min(_TOGETHER / rate, _LONGEST)
