"""Looks at the database when no ring comes: a thread of the Celery worker's main process that rings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import timedelta

from claimnotify.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from claimnotify.worker.celery_notifiers import DrainingNotifier

__all__ = ["DueClock"]

_LONGEST_SLEEP = 1.0
"""Seconds: with every ring lost, a delivery is noticed this late at most."""
_SHORTEST_SLEEP = 0.01

_log = logging.getLogger("claimnotify.worker")


class DueClock:
    """Rings a queue in which something is due: retries, schedules, rings that were lost.

    It delivers nothing itself.

    Args:
        notifier: Returns the notifier of this process.
        queues: The queues to look at.
    """

    def __init__(
        self, notifier: Callable[[], DrainingNotifier], *, queues: Collection[str]
    ) -> None:
        self._notifier = notifier
        self._queues = tuple(queues)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="claimnotify-clock", daemon=True)
        self._trouble = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ring no more; returns at once and may be called in a signal handler."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait until it has ended."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                wait = self._look()
            except (SchemaMissing, StoreUnavailable) as error:  # mended by others
                if not self._trouble:
                    _log.warning("the database cannot be looked at: %s", error)
                self._trouble = True
                wait = _LONGEST_SLEEP
            except ConfigurationError as error:
                _log.error("claimnotify is misconfigured and delivers nothing: %s", error)
                return
            except Exception:
                _log.exception("unexpected error of the clock, going on")
                wait = _LONGEST_SLEEP
            else:
                if self._trouble:
                    _log.info("the database can be looked at again")
                self._trouble = False
            self._stopping.wait(wait)

    def _look(self) -> float:
        """Ring what is due and return the seconds until the next look."""
        notifier = self._notifier()
        wait = _LONGEST_SLEEP
        for queue in self._queues:
            due_in = notifier.due_in(queue)
            if due_in is None:
                continue
            if due_in <= timedelta(0):
                notifier.dispatcher.ring(queue)
            else:
                wait = min(wait, max(due_in.total_seconds(), _SHORTEST_SLEEP))
        return wait
