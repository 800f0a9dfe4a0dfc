"""Lets the queues of one process take turns at work that may kill it, so that the blame is right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Solitude"]


class Solitude:
    """Is held by at most one of those who lease in this process: a drain, or the job runners.

    Work whose worker died over it twice is done with nothing else of its kind in hand. If a delivery
    and a job were that at the same time, the one that kills would take the innocent one with it
    each time, until both counted as poison.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._holder: object | None = None
        self._until = 0.0

    def enter(self, who: object, *, seconds: float = float("inf")) -> bool:
        """Take it for `who`, unless somebody else has it; return whether `who` has it now.

        Args:
            who: Who asks.
            seconds: For how long it is held at most.
        """
        with self._lock:
            if self._held_by_other(who):
                return False
            self._holder, self._until = who, self._monotonic() + seconds
            return True

    def leave(self, who: object) -> None:
        """Give it back, if `who` has it."""
        with self._lock:
            if self._holder is who:
                self._holder = None

    def is_held_by_other(self, who: object) -> bool:
        """Return whether somebody else has it."""
        with self._lock:
            return self._held_by_other(who)

    def _held_by_other(self, who: object) -> bool:
        held = self._holder is not None and self._monotonic() < self._until
        return held and self._holder is not who
