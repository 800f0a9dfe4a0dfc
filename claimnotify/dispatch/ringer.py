"""The thread that rings, so that no caller ever waits for the queue's server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from claimnotify.dispatch.outage import OutageLog
from claimnotify.dispatch.rings import RingQueue

__all__ = ["Ringer"]

_SHARE = 10
"""Ringing takes a tenth of the time at most, however often it is asked for."""
_SPARED = 0.1
"""Seconds of rest that may be owed: rings that come one by one go out at once."""
_LONGEST_REST = 0.03

_logger = logging.getLogger(__name__)


class Ringer:
    """Rings queues on a daemon thread of its own, which starts at the first ring.

    After a failure nothing is tried for `pause`; rings meanwhile are dropped, because every worker
    looks at the database once a second anyway. The next ring after the pause is the trial.

    Args:
        open_queue: Makes the `RingQueue` of a queue's name; called on the thread.
        outage: Told of failures and recoveries.
        pause: Seconds without a try after a failure.
        monotonic: Returns seconds on a clock that is never set.
    """

    def __init__(
        self,
        open_queue: Callable[[str], RingQueue],
        *,
        outage: OutageLog,
        pause: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_queue = open_queue
        self._outage = outage
        self._pause = pause
        self._monotonic = monotonic
        self._queues: dict[str, RingQueue] = {}
        self._tried_again_at = monotonic()
        # Reentrant, as a garbage collection may call `finish` on the thread that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._wanted: set[str] = set()
        self._listening = False
        self._finishing = threading.Event()
        self._thread: threading.Thread | None = None

    def ring(self, queue: str) -> None:
        """Have `queue` rung soon. Returns at once and never raises."""
        with self._changed:
            if self._finishing.is_set():
                return
            self._wanted.add(queue)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="claimnotify-ringer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is ending
                    return
                self._thread = thread
            # At rest it looks by itself; to wake it each time would take longer than to ring.
            if self._listening:
                self._changed.notify_all()

    def finish(self, timeout: float) -> None:
        """Ring what is still wanted, close connections, and end; wait `timeout` seconds at most."""
        with self._changed:
            self._finishing.set()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        rested_at = self._monotonic()
        while True:
            with self._changed:
                self._listening = True
                self._changed.wait_for(lambda: self._wanted or self._finishing.is_set())
                self._listening = False
                if not self._wanted:
                    break
                wanted, self._wanted = self._wanted, set()
            began = self._monotonic()
            for name in sorted(wanted):
                self._ring(name)
            ended = self._monotonic()
            rested_at = max(rested_at, began) + _SHARE * (ended - began)
            rested_at = min(rested_at, ended + _SPARED + _LONGEST_REST)
            if rested_at > ended + _SPARED:
                self._finishing.wait(rested_at - ended - _SPARED)  # further rings gather meanwhile
        for queue in self._queues.values():
            _let_go(queue)

    def _ring(self, name: str) -> None:
        if self._monotonic() < self._tried_again_at:
            return
        try:
            self._ring_or_reconnect(name)
        except Exception as error:
            self._tried_again_at = self._monotonic() + self._pause
            self._outage.failed("ringer", error)
        else:
            self._outage.recovered("ringer")

    def _ring_or_reconnect(self, name: str) -> None:
        """Ring on the kept connection, or on a new one if the kept one has died meanwhile."""
        kept = self._queues.pop(name, None)
        if kept is not None:
            try:
                kept.ring()
            except Exception:
                _let_go(kept)
            else:
                self._queues[name] = kept
                return
        queue = self._open_queue(name)
        try:
            queue.ring()
        except BaseException:
            _let_go(queue)
            raise
        self._queues[name] = queue


def _let_go(queue: RingQueue) -> None:
    try:
        queue.let_go()
    except Exception:
        _logger.debug("A connection to the queue could not be closed.", exc_info=True)
