"""Lets one of a process's job runners run a job with nothing else under way in any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from claimnotify.delivery.solitude import Solitude

__all__ = ["Company"]

_HOLD = 30.0
"""Seconds for which nothing is leased so that hands get empty; and then as long for all others."""
_ALONE = 60.0
"""Seconds for which a job is alone; one that runs on after that is joined by others."""


class Company:
    """Counts what the job runners of one process have in hand together.

    A job that may kill its worker is run alone, so that no other is blamed for it. Jobs can run for
    hours, so it is not waited for: for a while nothing new is leased, then for a while all goes on.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.solitude = Solitude(monotonic=monotonic)
        """Held while a job is alone; drains of the same process ask for it as well."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._in_hand = 0
        self._alone = False
        self._alone_until = float("-inf")
        self._holder = ""
        self._hold_until = self._rest_until = float("-inf")

    def enter(self) -> bool:
        """Ask to lease; where that is allowed, `settle` has to follow."""
        with self._lock:
            now = self._monotonic()
            if (self._alone and now < self._alone_until) or now < self._hold_until:
                return False
            self._in_hand += 1
            return True

    def enter_alone(self) -> bool:
        """Ask to lease a job to run alone; where that is allowed, `settle` has to follow."""
        with self._lock:
            if self._alone or self._in_hand:
                return False
            if not self.solitude.enter(self, seconds=_ALONE):
                return False
            self._alone, self._alone_until = True, self._monotonic() + _ALONE
            self._in_hand = 1
            return True

    def settle(self, count: int, *, alone: bool = False) -> None:
        """Say how many were leased, each of which has to `leave`; and whether it is one alone."""
        with self._lock:
            self._in_hand += count - 1
            self._be_alone(self._alone and alone and count > 0)

    def leave(self) -> None:
        """Note that one of them has come to its end."""
        with self._lock:
            self._in_hand -= 1
            self._be_alone(self._alone and self._in_hand > 0)

    def hold(self, queue: str) -> None:
        """Lease nothing for a while, as a job of `queue` waits to be run alone."""
        with self._lock:
            now = self._monotonic()
            if now >= self._rest_until:
                self._holder = queue
                self._hold_until, self._rest_until = now + _HOLD, now + 2 * _HOLD

    def go_on(self, queue: str) -> None:
        """End what `hold` began: no job of `queue` waits to be run alone any more."""
        with self._lock:
            if self._holder == queue:
                self._hold_until = self._rest_until = float("-inf")

    def _be_alone(self, alone: bool) -> None:
        self._alone = alone
        if not alone:
            self.solitude.leave(self)
