"""One worker in this process: starts the queues, waits for a signal, stops them in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, Protocol, runtime_checkable

from claimnotify.errors import ConfigurationError
from claimnotify.ports import Consumer, Dispatcher
from claimnotify.worker.signals import await_next, stop_signals

__all__ = ["QueueWorker", "WorkerNotifier", "WorkerProcess", "force_utc"]

_FLUSH_SECONDS = 4.0
_CLOSING_SECONDS = 2.0
_CLOSING_LATE_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class QueueWorker(Protocol):
    """Delivers what is due in one queue, on a thread of its own."""

    def start(self) -> None:
        """Begin; returns at once."""

    def wake(self) -> None:
        """Look for work now; called from any thread."""

    def stop(self) -> None:
        """Lease no more; returns at once."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for what is under way; return whether it has ended."""


@runtime_checkable
class WorkerNotifier(Protocol):
    """What a worker needs of a `Notifier`."""

    @property
    def settings(self) -> Any:
        """The `Settings`."""

    @property
    def dispatcher(self) -> Dispatcher:
        """The doorbell."""

    def describe(self) -> Mapping[str, str]:
        """Return where database and queue are, fit to print."""

    def queue_worker(self, queue: str) -> QueueWorker:
        """Return a new worker of `queue`, not started."""

    def close(self) -> None:
        """Let go of everything."""


class WorkerProcess:
    """Runs one worker in this process.

    The first SIGTERM or SIGINT stops it gracefully: nothing more is leased, what is under way ends.
    Another one, more than a second later, exits at once; what was under way is taken over by
    others when its lease expires.

    Args:
        notifier: Whose deliveries to make; it is closed at the end.
        queues: The queues to work on.
        grace: How long what is under way may take after the first signal. None: the longest that
            an attempt may take, and four seconds to record what became of it.
        parent: A file descriptor that is readable to its end when the supervisor has died; the
            worker then stops gracefully.
        write: Told in a line where database and queue are, once the worker is ready.

    Raises:
        ConfigurationError: If the notifier's queue cannot be shared between processes.
    """

    def __init__(
        self,
        notifier: WorkerNotifier,
        *,
        queues: Collection[str],
        grace: timedelta | None = None,
        parent: int | None = None,
        write: Callable[[str], object] | None = None,
    ) -> None:
        _check_shared(notifier.settings.queue_url.get_secret_value())
        self._notifier = notifier
        self._queues = tuple(dict.fromkeys(queues))
        if grace is None:
            longest = notifier.settings.attempt_deadline_seconds
            grace = timedelta(seconds=longest + _FLUSH_SECONDS)
        self._grace = grace
        self._parent = parent
        self._write = write if write is not None else _write_line
        # Unlike an Event, this may be used in a signal handler that interrupts its own reader.
        self._stops: SimpleQueue[str] = SimpleQueue()

    def request_stop(self, why: str) -> None:
        """Have `run` stop gracefully. May be called from any thread and from a signal handler."""
        self._stops.put(why)

    def run(self) -> int:
        """Work until a signal asks to stop; return the exit code.

        Returns:
            0 after an orderly stop, 1 if something under way did not end within the grace.

        Raises:
            ClaimnotifyError: If the worker could not start.
        """
        force_utc()

        def told(signum: int) -> None:
            self.request_stop(signal.Signals(signum).name)

        # A supervisor kills what does not stop; what it passes on may come a second time.
        with stop_signals(told, _exit_at_once if self._parent is None else None):
            patience = _CLOSING_SECONDS
            try:
                code = self._work()
                if code:
                    patience = _CLOSING_LATE_SECONDS
                return code
            finally:
                self._close(patience)

    def _close(self, patience: float) -> None:
        """Close the notifier, on a thread that is left behind if it takes too long."""

        def close() -> None:
            try:
                self._notifier.close()
            except Exception:
                _logger.exception("unexpected error on closing the notifier")

        closing = threading.Thread(target=close, name="claimnotify-close", daemon=True)
        closing.start()
        closing.join(patience)
        if closing.is_alive():
            _logger.warning("The notifier could not be closed in time.")

    def _work(self) -> int:
        workers = {queue: self._notifier.queue_worker(queue) for queue in self._queues}
        consumer = self._notifier.dispatcher.consumer(
            self._queues, lambda queue: workers[queue].wake()
        )
        started: dict[str, QueueWorker] = {}
        try:
            for queue, worker in workers.items():
                worker.start()
                started[queue] = worker
            consumer.start()
            self._watch_parent()
            self._announce()
            why = await_next(self._stops)
            _logger.info("The worker stops: %s.", why)
        finally:
            ended = self._stop(consumer, started)
        return 0 if ended else 1

    def _stop(self, consumer: Consumer, workers: Mapping[str, QueueWorker]) -> bool:
        """Stop leasing, then listening, then wait for what is under way; return whether it ended."""
        deadline = time.monotonic() + self._grace / timedelta(seconds=1)
        for worker in workers.values():
            worker.stop()
        consumer.stop()
        late = [
            queue
            for queue, worker in workers.items()
            if not worker.join(max(0.0, deadline - time.monotonic()))
        ]
        if late:
            _logger.error(
                "Deliveries of %s were still under way after %s seconds; they are tried again "
                "when their leases expire.",
                ", ".join(late),
                self._grace / timedelta(seconds=1),
            )
        return not late

    def _announce(self) -> None:
        places = self._notifier.describe()
        queues = ",".join(self._queues)
        line = " ".join(f"{name}={place}" for name, place in places.items())
        self._write(f"claimnotify worker ready: pid={os.getpid()} queues={queues} {line}")
        _logger.info("The worker is ready: queues=%s %s", queues, line)

    def _watch_parent(self) -> None:
        if self._parent is None:
            return
        descriptor = self._parent

        def watch() -> None:
            try:
                while os.read(descriptor, 1):
                    pass
            except OSError:
                pass
            self.request_stop("its supervisor has ended")

        threading.Thread(target=watch, name="claimnotify-parent", daemon=True).start()


def _exit_at_once(signum: int) -> None:
    os._exit(128 + signum)


def force_utc() -> None:
    """Make UTC this process's local time: Huey compares naive local times."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()


def _check_shared(queue_url: str) -> None:
    scheme = queue_url.partition(":")[0].lower()
    if scheme in ("memory", "inline"):
        raise ConfigurationError(
            "queue_url",
            f"{scheme}:// stays within one process, so a worker would hear nothing",
            "Use a SQLite file, Redis or PostgreSQL, or call notifier.drain() instead of a worker.",
        )


def _write_line(line: str) -> None:
    with suppress(OSError):  # nobody reads it
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
