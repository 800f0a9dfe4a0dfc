"""A doorbell without a queue: a ring drains at once, in this process. For tests and scripts."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from typing import NoReturn

from claimnotify.errors import ConfigurationError

__all__ = ["InlineDispatcher"]

_logger = logging.getLogger(__name__)


class InlineDispatcher:
    """Drains in the thread that rings; see `claimnotify.ports.Dispatcher`.

    Under a running event loop the drain goes to a thread of its own, and `ring` does not wait for
    it. One drain runs at a time: a ring that comes during one, from inside it or from elsewhere,
    is coalesced by queue, returns at once, and is drained afterwards by whoever drains.

    Args:
        drain: Delivers what is due in the queue of that name. What it raises is logged.
    """

    def __init__(self, drain: Callable[[str], object]) -> None:
        self._drain = drain
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._draining = False
        self._idle = threading.Condition(self._lock)
        self._drainer: int | None = None

    def ring(self, queue: str) -> None:
        """Drain `queue`. Never raises."""
        with self._lock:
            self._wanted[queue] = None
            if self._draining:
                return
            self._draining = True
        if not _under_a_loop():
            self._drain_all()
            return
        try:
            threading.Thread(target=self._drain_all, name="claimnotify-inline").start()
        except RuntimeError:
            _logger.exception("No thread to drain queue %s on.", queue)
            with self._lock:
                self._draining = False

    def consumer(self, queues: Collection[str], on_ring: Callable[[str], None]) -> NoReturn:
        """There is nothing to listen to.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "queue_url",
            "inline:// delivers in the process that notifies and needs no worker",
            "Set it to a SQLite file, Redis or PostgreSQL to run workers.",
        )

    def close(self) -> None:
        """Wait for the drain that is under way, unless this is called from inside it."""
        with self._idle:
            if self._drainer != threading.get_ident():
                self._idle.wait_for(lambda: not self._draining)

    def _drain_all(self) -> None:
        with self._lock:
            self._drainer = threading.get_ident()
        try:
            while (queue := self._next()) is not None:
                try:
                    self._drain(queue)
                except Exception:
                    _logger.exception("Queue %s could not be drained.", queue)
        except BaseException:
            self._end()
            raise

    def _next(self) -> str | None:
        """Return the next queue, or None; deciding to end and ending are one step."""
        with self._idle:
            if self._wanted:
                queue = next(iter(self._wanted))
                del self._wanted[queue]
                return queue
            self._ended()
            return None

    def _end(self) -> None:
        with self._idle:
            self._ended()

    def _ended(self) -> None:
        self._draining = False
        self._drainer = None
        self._idle.notify_all()


def _under_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
