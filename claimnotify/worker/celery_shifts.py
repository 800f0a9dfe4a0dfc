"""Drains a queue inside somebody else's task: one drain per queue at a time, and for a while only."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait

from celery.exceptions import SoftTimeLimitExceeded

from claimnotify.errors import StoreUnavailable
from claimnotify.model.locks import ProcessLock
from claimnotify.worker.celery_notifiers import DrainingNotifier

__all__ = ["Shifts"]

_LOOK_SECONDS = 0.1

_log = logging.getLogger("claimnotify.worker")


class Shifts:
    """Works queues for as long as one task may take.

    The drain runs on a thread of its own, and the task's thread waits for it. So a soft time limit,
    which Celery raises as an exception wherever the task's thread is, never strikes between a send
    and its record.

    Args:
        notifier: Returns the notifier of this process.
        stopping: Whether this worker is shutting down; asked ten times a second.
    """

    def __init__(
        self, notifier: Callable[[], DrainingNotifier], *, stopping: Callable[[], bool]
    ) -> None:
        self._notifier = notifier
        self._stopping = stopping
        self._lock = ProcessLock()
        self._worked: set[str] = set()
        self._again: set[str] = set()

    def work(self, queue: str, *, length: float) -> Counter[str]:
        """Deliver what is due in `queue`, for about `length` seconds at most.

        What is left then is rung for, so that another process goes on at once; what is under way
        ends first. Returns at once if another thread of this process works the queue; that one
        looks again before it ends.

        Returns:
            How many deliveries ended in which state.
        """
        end = time.monotonic() + length
        with self._lock:
            if queue in self._worked:
                self._again.add(queue)
                return Counter()
            self._worked.add(queue)
            self._again.discard(queue)
        ended: Counter[str] = Counter()
        try:
            while True:
                ended += self._drain(queue, end)
                with self._lock:
                    if queue not in self._again or self._is_over(end):
                        self._worked.discard(queue)
                        return ended
                    self._again.discard(queue)
        except BaseException:
            with self._lock:
                self._worked.discard(queue)
            raise

    def _drain(self, queue: str, end: float) -> Counter[str]:
        notifier = self._notifier()
        drain = notifier.queue_drain(queue)
        under_way = _started(drain.until_idle, name=f"claimnotify-{queue}")
        stopped = False
        while not under_way.done():
            try:
                wait([under_way], _LOOK_SECONDS)
                over = self._is_over(end)
            except SoftTimeLimitExceeded:
                _log.info("queue %s is left to another task: soft time limit", queue)
                over = True
            if over and not stopped:
                stopped = True
                drain.stop()
                notifier.dispatcher.ring(queue)
        try:
            return under_way.result()
        except StoreUnavailable as error:
            _log.warning("queue %s waits for the database: %s", queue, error)
            return Counter()

    def _is_over(self, end: float) -> bool:
        return self._stopping() or time.monotonic() >= end


def _started(work: Callable[[], Counter[str]], *, name: str) -> Future[Counter[str]]:
    """Run `work` on a thread of that name and return its future."""
    future: Future[Counter[str]] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
