"""Drains a queue inside somebody else's task: one drain per queue at a time, and for a while only."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta

from celery.exceptions import SoftTimeLimitExceeded

from claimnotify.errors import StoreUnavailable
from claimnotify.model.locks import ProcessLock
from claimnotify.worker.celery_notifiers import DrainingNotifier, HastyDrain, QueueDrain

__all__ = ["Hours", "Shifts"]

_LOOK_SECONDS = 0.1

_log = logging.getLogger("claimnotify.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """How long a shift is; all in seconds from its beginning, but for the grace.

    Args:
        length: After which nothing more is leased.
        grace: How long jobs may go on after a soft time limit, or when the worker shuts down.
        limit: After which async jobs are cancelled in any case, as a hard time limit comes.
    """

    length: float
    grace: float = float("inf")
    limit: float = float("inf")


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

    def work(self, queue: str, hours: Hours) -> Counter[str]:
        """Deliver what is due in `queue`, for as long as `hours` say.

        What is left then is rung for, so that another process goes on at once; what is under way
        ends first, but for jobs that have to be given back. Returns at once if another thread of
        this process works the queue; that one looks again before it ends.

        Returns:
            How many deliveries ended in which state.
        """
        begun = time.monotonic()
        end = begun + hours.length
        with self._lock:
            if queue in self._worked:
                self._again.add(queue)
                return Counter()
            self._worked.add(queue)
            self._again.discard(queue)
        ended: Counter[str] = Counter()
        try:
            while True:
                ended += self._drain(queue, hours, begun)
                with self._lock:
                    if queue not in self._again or self._is_over(end):
                        self._worked.discard(queue)
                        return ended
                    self._again.discard(queue)
        except BaseException:
            with self._lock:
                self._worked.discard(queue)
            raise

    def _drain(self, queue: str, hours: Hours, begun: float) -> Counter[str]:
        notifier = self._notifier()
        drain = notifier.queue_drain(queue)
        under_way = _started(drain.until_idle, name=f"claimnotify-{queue}")
        stopped = limited = ending = False
        while not under_way.done():
            before = (limited, ending)
            try:
                wait([under_way], _LOOK_SECONDS)
                ending = ending or self._stopping()
            except SoftTimeLimitExceeded:
                _log.info("queue %s is left to another task: soft time limit", queue)
                limited = True
            if (limited, ending) != before:
                _hasten(drain, hours.grace, ending=ending)
            if not stopped and (limited or ending or time.monotonic() >= begun + hours.length):
                stopped = True
                drain.stop()
                _hasten(drain, begun + hours.limit - time.monotonic(), ending=ending)
                notifier.dispatcher.ring(queue)
        try:
            return under_way.result()
        except StoreUnavailable as error:
            _log.warning("queue %s waits for the database: %s", queue, error)
            return Counter()

    def _is_over(self, end: float) -> bool:
        return self._stopping() or time.monotonic() >= end


def _hasten(drain: QueueDrain, grace: float, *, ending: bool) -> None:
    """Have jobs given back after `grace` seconds; deliveries end by themselves."""
    if isinstance(drain, HastyDrain) and grace < float("inf"):
        drain.hasten(timedelta(seconds=max(grace, 0.0)), ending=ending)


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
