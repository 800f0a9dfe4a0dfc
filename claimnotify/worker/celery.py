"""Makes the workers of a Celery application deliver: `install(app, notifier)` where its tasks are."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from celery import Celery, signals

from claimnotify.dispatch.celery_rings import broker_queue
from claimnotify.dispatch.serializer import TASK_NAME
from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.job_specs import registry
from claimnotify.model.queues import QUEUES
from claimnotify.worker.celery_clock import DueClock
from claimnotify.worker.celery_notifiers import ProcessNotifiers
from claimnotify.worker.celery_shifts import Hours, Shifts

__all__ = ["install"]

_MARK = "_claimnotify_installed"
_UNFIT_POOLS = ("gevent", "eventlet")
_FLUSH_SECONDS = 1.0
_SHORTEST_SHIFT = 1.0
_JOIN_SECONDS = 1.0
_GIVING_BACK_SECONDS = 3.0
"""What it takes to cancel jobs, and to record that they are given back."""

_log = logging.getLogger("claimnotify.worker")


def install(
    app: Celery,
    notifier: Callable[[], Any],
    *,
    queues: Collection[str] = QUEUES,
    namespace: str = "claimnotify",
    shift: timedelta = timedelta(seconds=10),
) -> None:
    """Register the task `claimnotify.ring` on `app`, and have its workers look for what is due.

    A worker that is started without `-Q` takes rings besides its other tasks; one with `-Q` takes
    them if it names their queues (`claimnotify_notifications` …). Nothing is read or opened before
    a worker starts.

    Args:
        app: The application.
        notifier: A function without arguments that returns a `Notifier` whose dispatcher is a
            `CeleryDispatcher(app)`. It is called once in each process that delivers, after the
            fork, and once in the worker's main process; each closes its notifier when it ends.
        queues: The queues to work on.
        namespace: That of the dispatcher.
        shift: How long a task delivers before it gives way to other tasks. A hard time limit that
            leaves less time shortens it.

    Raises:
        ConfigurationError: If `notifier` is no function, `shift` is shorter than a second, or this
            was called for `app` before.
    """
    if not callable(notifier):
        remedy = "Give a function without arguments that returns one."
        raise ConfigurationError("notifier", f"is a {type(notifier).__name__}", remedy)
    if shift < timedelta(seconds=_SHORTEST_SHIFT):
        raise ConfigurationError("shift", "is shorter than a second", "Lengthen it.")
    if getattr(app, _MARK, False):
        raise ConfigurationError("app", "has claimnotify installed already", "Install it once.")
    setattr(app, _MARK, True)
    worker = _CeleryWorker(
        app,
        ProcessNotifiers(notifier),
        broker_queues={f"{namespace}_{queue}": queue for queue in queues},
        shift=shift / timedelta(seconds=1),
    )
    worker.register()


class _CeleryWorker:
    """What `install` leaves on an application: a task, and handlers of its workers' signals."""

    def __init__(
        self,
        app: Celery,
        notifiers: ProcessNotifiers,
        *,
        broker_queues: Mapping[str, str],
        shift: float,
    ) -> None:
        self._app = app
        self._notifiers = notifiers
        self._broker_queues = broker_queues
        self._shift = shift
        # One byte that forked children share: only the main process is told to shut down.
        self._stopping = mmap.mmap(-1, 1)
        self._shifts = Shifts(notifiers.mine, stopping=lambda: self._stopping[0] != 0)
        self._clock: DueClock | None = None
        self._unfit = False
        self._dropped = False

    def register(self) -> None:
        """Register the task and listen to the signals."""

        def ring(task: Any, ring: str) -> Mapping[str, int]:
            """Deliver what is due in the queue that was rung."""
            return self._hear(task, ring)

        self._app.task(
            name=TASK_NAME,
            shared=False,  # on this application and no other
            bind=True,
            ignore_result=True,
            store_errors_even_if_ignored=False,
            track_started=False,
            rate_limit=0,
            # Acknowledged before it is acted on: what it leads to is safe in the database, and a
            # broker hands what stays unacknowledged for long to somebody else as well.
            acks_late=False,
            reject_on_worker_lost=False,
        )(ring)
        for signal, handler in (
            (signals.celeryd_init, self._on_begin),
            (signals.worker_ready, self._on_ready),
            (signals.worker_shutting_down, self._on_shutting_down),
            (signals.worker_shutdown, self._on_end),
            (signals.worker_process_shutdown, self._on_child_end),
        ):
            signal.connect(handler, weak=False)

    def _hear(self, task: Any, ring: str) -> Mapping[str, int]:
        if self._unfit:
            raise _unfit()
        notifier = self._notifiers.mine()
        try:
            queue = notifier.dispatcher.queue_of(ring)
        except InvalidInput as refused:
            if not self._dropped:
                self._dropped = True
                _log.warning(
                    "A ring %s and was dropped; further ones are dropped silently. Either its "
                    "secret key is another or something else sends %s.",
                    refused.problem,
                    TASK_NAME,
                )
            return {}
        return dict(self._shifts.work(queue, self._hours(queue, task, notifier.settings)))

    def _hours(self, queue: str, task: Any, settings: Any) -> Hours:
        """Return the hours of a shift: what is then under way must end before a hard limit."""
        attempt = float(settings.attempt_deadline_seconds)
        message = (task.request.timelimit or (None,))[0]
        hard = float(message or task.time_limit or self._app.conf.task_time_limit or "inf")
        job = max(_timeouts(queue).values(), default=None)
        spare = hard - (attempt + _FLUSH_SECONDS if job is None else job + _GIVING_BACK_SECONDS)
        return Hours(
            length=max(_SHORTEST_SHIFT, min(self._shift, spare)),
            grace=attempt,
            limit=max(_SHORTEST_SHIFT, hard - _GIVING_BACK_SECONDS),
        )

    def _on_begin(self, *, instance: Any, options: Mapping[str, Any], **_: Any) -> None:
        """Take rings, unless `-Q` says what this worker takes. Sent before queues are chosen."""
        if instance.app is not self._app:
            return
        # Loaded before the fork, so that children share it and are quick to begin. Opens nothing.
        import claimnotify.composition  # noqa: F401

        self._stopping[0] = 0
        self._clock = None
        pool = options.get("pool_cls") or self._app.conf.worker_pool
        self._unfit = any(name in str(pool) for name in _UNFIT_POOLS)
        if not options.get("queues") and not self._unfit:
            for name in self._broker_queues:
                self._app.amqp.queues.select_add(broker_queue(self._app, name))

    def _on_ready(self, *, sender: Any, **_: Any) -> None:
        """Start the clock of what this worker takes. Sent again after each lost connection."""
        if sender.app is not self._app or self._clock is not None:
            return
        taken = self._app.amqp.queues.consume_from
        queues = [queue for name, queue in self._broker_queues.items() if name in taken]
        if not queues:
            return
        if self._unfit:
            _log.error("%s", _unfit())
            return
        limit = self._app.tasks[TASK_NAME].time_limit or sender.controller.time_limit
        self._warn_of_long_jobs(queues, float(limit or "inf"))
        self._clock = DueClock(self._notifiers.mine, queues=queues)
        self._clock.start()

    def _warn_of_long_jobs(self, queues: Collection[str], hard: float) -> None:
        """Say which jobs may be cut off by the hard limit, however short a shift is."""
        longest = hard - _SHORTEST_SHIFT - _GIVING_BACK_SECONDS
        late = [
            f"{name} ({timeout:g} s)"
            for queue in queues
            for name, timeout in sorted(_timeouts(queue).items())
            if timeout > longest
        ]
        if late:
            _log.warning(
                "the hard time limit of %s, %g s, is too short for the timeouts of jobs: %s; an "
                "async one that takes longer is given back again and again, and one that is not "
                "async is killed and becomes poison. Lengthen the limit by task_annotations, or "
                "shorten the timeouts.",
                TASK_NAME,
                hard,
                ", ".join(late),
            )

    def _on_shutting_down(self, **_: Any) -> None:
        """Have drains lease no more. Sent inside a signal handler."""
        self._stopping[0] = 1
        if self._clock is not None:
            self._clock.stop()

    def _on_end(self, **_: Any) -> None:
        if self._clock is not None:
            self._clock.stop()
            self._clock.join(_JOIN_SECONDS)
        self._notifiers.close()

    def _on_child_end(self, **_: Any) -> None:
        self._notifiers.close()


def _timeouts(queue: str) -> Mapping[str, float]:
    """Return the timeouts of the jobs of `queue`, in seconds, by name."""
    return {spec.name: spec.timeout.total_seconds() for spec in registry if spec.queue == queue}


def _unfit() -> ConfigurationError:
    return ConfigurationError(
        "pool",
        "of this Celery worker is gevent or eventlet, beside which no event loop can run",
        "Have another worker take the queues of claimnotify, with --pool prefork, threads or solo.",
    )
