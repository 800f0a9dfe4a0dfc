"""Drains one queue again and again on a thread of its own: when rung, when due, and every second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from claimnotify.delivery.drain import Drain
from claimnotify.errors import StoreUnavailable
from claimnotify.ports import Clock, WorkQueue

__all__ = ["QueueWorker"]

_log = logging.getLogger("claimnotify.worker")
_LONGEST_SLEEP = 1.0
"""Seconds: with every ring lost, a delivery is this late at most."""


class QueueWorker:
    """The worker of one queue.

    Args:
        queue: The queue.
        drain: Delivers what is due.
        work: Says when something is due next.
        clock: The one clock.
    """

    def __init__(self, queue: str, *, drain: Drain, work: WorkQueue, clock: Clock) -> None:
        self._queue = queue
        self._drain = drain
        self._work = work
        self._clock = clock
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"claimnotify-{queue}", daemon=True)
        self._trouble = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now. Called when the queue was rung, from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Lease no more; return at once. `join` waits for what is under way."""
        self._stopping.set()
        self._drain.stop()
        self._wake.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended; return whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # Cleared before the first lease: a ring that comes later is not lost.
            self._wake.clear()
            self._guarded(self._drain.until_idle)
            if self._stopping.is_set():
                return
            self._wake.wait(self._guarded(self._sleep) or _LONGEST_SLEEP)

    def _sleep(self) -> float:
        due = self._work.next_due(self._queue)
        if due is None:
            return _LONGEST_SLEEP
        wait = (due - self._clock.now()) / timedelta(seconds=1)
        return min(max(wait, 0.01), _LONGEST_SLEEP)

    def _guarded(self, step: Callable[[], object]) -> float | None:
        """Run `step`; a fault is logged once per outage and never ends the thread."""
        try:
            result = step()
        except StoreUnavailable as error:
            if not self._trouble:
                _log.warning("queue %s waits for the database: %s", self._queue, error)
            self._trouble = True
        except Exception:
            _log.exception("queue %s: unexpected error, going on", self._queue)
        else:
            if self._trouble:
                _log.info("queue %s has its database again", self._queue)
            self._trouble = False
            return result if isinstance(result, float) else None
        return None
