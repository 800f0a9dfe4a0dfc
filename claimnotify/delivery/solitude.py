"""Lets the queues of one process take turns at work that may kill it, so that the blame is right."""

from __future__ import annotations

import threading

__all__ = ["Solitude"]


class Solitude:
    """Is held by at most one of those who lease in this process.

    Work whose worker died over it twice is done with nothing else of its queue in hand. If two
    queues of one process did that at the same time, the work that kills would take the innocent
    one of the other queue with it each time, until both counted as poison.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: object | None = None

    def enter(self, who: object) -> bool:
        """Take it for `who`, unless somebody else has it; return whether `who` has it now."""
        with self._lock:
            if self._holder is None:
                self._holder = who
            return self._holder is who

    def leave(self, who: object) -> None:
        """Give it back, if `who` has it."""
        with self._lock:
            if self._holder is who:
                self._holder = None

    def is_held_by_other(self, who: object) -> bool:
        """Return whether somebody else has it."""
        with self._lock:
            return self._holder is not None and self._holder is not who
