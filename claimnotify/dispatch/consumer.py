"""Hears rings: Huey's consumer, one thread per queue, made to outlive its server and to stop soon."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from huey.consumer import Consumer, Scheduler, Worker

from claimnotify.dispatch.outage import OutageLog
from claimnotify.dispatch.rings import RingQueue
from claimnotify.errors import InvalidInput

__all__ = ["HueyConsumer"]

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_HEALTH_SECONDS = 1.0
_STOP_SECONDS = 1.5

_logger = logging.getLogger(__name__)


class _QuietLog(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic only in the stubs
    """Huey's greetings and farewells go to DEBUG; its warnings stay."""

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


class _Listener(Worker):  # type: ignore[misc]  # huey ships no type information
    """Takes rings off one queue."""

    process_name = "listener"
    outage: OutageLog

    def create_logger(self) -> Any:
        return _QuietLog(_logger, {})

    def loop(self, now: Any = None) -> None:
        queue: RingQueue = self.huey
        try:
            data = queue.take()
        except Exception as error:
            self.outage.failed(queue.queue, error)
            self._let_go()
            self.stop_flag.wait(_RETRY_SECONDS)
            return
        self.outage.recovered(queue.queue)
        if data is not None:
            self._hear(queue, data)
        elif not queue.storage.blocking:
            self.stop_flag.wait(_POLL_SECONDS)

    def _hear(self, queue: RingQueue, data: Any) -> None:
        try:
            if self.stop_flag.is_set():  # it came while we waited, and we would not act on it
                queue.put_back(data)
            else:
                queue.hear(data)
        except InvalidInput as refused:
            self.dropped.add(queue.queue, refused)
        except Exception:
            _logger.exception("A ring of queue %s could not be acted on.", queue.queue)

    def shutdown(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        try:
            self.huey.let_go()
        except Exception:
            _logger.debug("A connection to the queue could not be closed.", exc_info=True)


class _Dropped:
    """Counts the messages that were no rings of ours, and says so once."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, queue: str, refused: InvalidInput) -> None:
        with self._lock:
            self.count += 1
            first = self.count == 1
        if first:
            _logger.warning(
                "A message in queue %s %s and was dropped; further ones are dropped silently. "
                "Either something else writes to this queue or its secret key is another.",
                queue,
                refused.problem,
            )


class _NoScheduler(Scheduler):  # type: ignore[misc]  # huey ships no type information
    """Huey's schedule is not used, so nobody takes a write lock every second to read it."""

    def create_logger(self) -> Any:
        return _QuietLog(_logger, {})

    def loop(self, now: Any = None) -> None:
        self.stop_flag.wait()


class _QueueConsumer(Consumer):  # type: ignore[misc]  # huey ships no type information
    """Huey's consumer of one queue, which leaves the process's signals alone."""

    worker_class = _Listener
    scheduler_class = _NoScheduler

    def __init__(self, queue: RingQueue, outage: OutageLog, dropped: _Dropped) -> None:
        self._outage = outage
        self._dropped = dropped
        super().__init__(queue, workers=1, periodic=False)
        self._logger = _QuietLog(_logger, {})

    def _create_worker(self) -> _Listener:
        listener: _Listener = super()._create_worker()
        listener.outage = self._outage
        listener.dropped = self._dropped
        return listener

    def _create_process(self, process: Any, name: str) -> Any:
        return super()._create_process(process, f"claimnotify-{self.huey.queue}-{name.lower()}")

    def _set_signal_handlers(self) -> None:
        """The worker process has its own."""

    def join(self, deadline: float) -> None:
        """Wait for the threads until `deadline` on the monotonic clock."""
        for thread in [thread for _, thread in self.worker_threads] + [self.scheduler]:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))


class HueyConsumer:
    """Listens for rings on several queues; see `claimnotify.ports.Consumer`.

    A dead server is tried again every second. A thread that dies is replaced. All threads are
    daemons: one that waits for a frozen server at `stop` ends by itself later.

    Args:
        queues: What to listen to; each calls its own `on_ring`.
        outage: Told of failures and recoveries.
    """

    def __init__(self, queues: Sequence[RingQueue], *, outage: OutageLog) -> None:
        self._dropped = _Dropped()
        self._consumers = [_QueueConsumer(queue, outage, self._dropped) for queue in queues]
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="claimnotify-keeper", daemon=True)

    @property
    def dropped(self) -> int:
        """How many messages were not rings of ours."""
        return self._dropped.count

    def start(self) -> None:
        """Begin; returns at once, on whatever thread it is called. A second call does nothing."""
        if self._keeper.ident is not None or self._stopping.is_set():
            return
        for consumer in self._consumers:
            consumer.start()
        self._keeper.start()

    def stop(self) -> None:
        """Stop; no ring is acted on after this returns. Takes less than two seconds."""
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        if self._keeper.ident is None:
            return
        for consumer in self._consumers:
            consumer.stop()
        self._keeper.join(max(0.0, deadline - time.monotonic()))
        for consumer in self._consumers:
            consumer.join(deadline)

    def _keep(self) -> None:
        while not self._stopping.wait(_HEALTH_SECONDS):
            for consumer in self._consumers:
                consumer.check_worker_health()
