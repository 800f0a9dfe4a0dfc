"""Works off one queue again and again on a thread of its own, whatever becomes of the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from claimnotify.errors import StoreUnavailable

__all__ = ["QueueWorker", "Worked"]

_log = logging.getLogger("claimnotify.worker")
_PAUSE = 1.0
"""Seconds before a database that could not be reached is tried again."""


class Worked(Protocol):
    """What works off a queue: a `Drain` or a `JobRunner`."""

    def ring(self) -> None:
        """Look for work now. Called from any thread."""

    def stop(self) -> None:
        """Lease no more; return at once."""

    def until_stopped(self, reached: Callable[[], None], /) -> None:
        """Work until `stop` is called; `reached` is called when the database was looked into."""


class QueueWorker:
    """The worker of one queue.

    Args:
        queue: The queue.
        drain: Does what is due.
    """

    def __init__(self, queue: str, *, drain: Worked) -> None:
        self._queue = queue
        self._drain = drain
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"claimnotify-{queue}", daemon=True)
        self._trouble = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now. Called when the queue was rung, from any thread."""
        self._drain.ring()

    def stop(self) -> None:
        """Lease no more; return at once. `join` waits for what is under way."""
        self._stopping.set()
        self._drain.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended; return whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Drain; a fault is logged, once per outage, and never ends the thread."""
        while not self._stopping.is_set():
            try:
                self._drain.until_stopped(self._reached)
            except StoreUnavailable as error:
                if not self._trouble:
                    _log.warning("queue %s waits for the database: %s", self._queue, error)
                self._trouble = True
            except BaseException:  # SystemExit of a template too: the thread is not its to end
                _log.exception("queue %s: unexpected error, going on", self._queue)
            self._stopping.wait(_PAUSE)

    def _reached(self) -> None:
        """Note that the database was reached."""
        if self._trouble:
            _log.info("queue %s has its database again", self._queue)
        self._trouble = False
