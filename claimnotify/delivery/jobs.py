"""Runs the jobs of one queue, each kind within its room, and records what became of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

from claimnotify.delivery.company import Company
from claimnotify.delivery.job_crew import JobCrew
from claimnotify.delivery.job_intake import JobIntake
from claimnotify.delivery.job_outcomes import deferred, poisoned
from claimnotify.delivery.job_threads import JobThreads
from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.outcome_writer import OutcomeWriter, plain_job
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.slots import SlotPlanner
from claimnotify.model.job_specs import JobRegistry
from claimnotify.ports import Clock, JobLease, JobOutcome, JobQueue

__all__ = ["JobRunner"]

_log = logging.getLogger("claimnotify.jobs")

_LONGEST_SLEEP = 1.0
_CANCELLING = 2.0
"""Seconds that cancelled async jobs have to end in."""
_BATCH = 100


class JobRunner:
    """Runs the jobs of one queue. One thread calls `until_idle` or `until_stopped`.

    No more is leased than can run at once, so that what waits is free for other workers.

    Args:
        queue: The queue.
        jobs: Leases and outcomes.
        registry: The functions by name.
        planner: Writes the slots of schedules.
        keeper: Keeps leases alive.
        company: The runners of this process.
        loop: For async functions.
        clock: The one clock.
        now: The time, without any I/O.
        notifier_of: Returns the notifier of a tenant, for a job's context.
        concurrency: How many jobs may run at once.
        grace: How long jobs may go on after `stop` before they are given back, as this process is
            about to end. None: until they end.
        random: Randomness for jitter.
        on_more: Called with the queue when there was more than could be leased.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        queue: str,
        *,
        jobs: JobQueue,
        registry: JobRegistry,
        planner: SlotPlanner,
        keeper: LeaseKeeper,
        company: Company,
        loop: LoopThread,
        clock: Clock,
        now: Callable[[], datetime],
        notifier_of: Callable[[str], Any],
        concurrency: int,
        grace: timedelta | None,
        random: Random,
        on_more: Callable[[str], None] = lambda _queue: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._company = company
        self._now = now
        self._grace = float("inf") if grace is None else grace.total_seconds()
        self._monotonic = monotonic
        self._threads = JobThreads(f"claimnotify-job-{queue}")
        self._crew = JobCrew(
            threads=self._threads,
            loop=loop,
            keeper=keeper,
            notifier_of=notifier_of,
            done=self._came_back,
            now=now,
            random=random,
            monotonic=monotonic,
        )
        self._intake = JobIntake(
            queue,
            jobs=jobs,
            registry=registry,
            planner=planner,
            keeper=keeper,
            company=company,
            clock=clock,
            concurrency=concurrency,
            on_more=on_more,
            monotonic=monotonic,
        )
        self._stopping = threading.Event()
        self._stop_at = float("inf")
        self._leaves = True
        self._rung = threading.Event()
        self._news = threading.Event()
        self._resting = threading.Event()
        self._resting.set()
        self._done: deque[JobOutcome] = deque()
        self._writer = OutcomeWriter(
            self._done,
            record=jobs.record,
            plain=plain_job,
            batch_size=_BATCH,
            news=self._news,
            log=_log,
        )
        self._ended: Counter[str] = Counter()
        self._look_at = 0.0
        self._wake_at = float("inf")

    def stop(self) -> None:
        """Lease no more; what is under way has the grace to end."""
        if not self._stopping.is_set():
            self._stop_at = self._monotonic() + self._grace
        self._stopping.set()
        self._news.set()

    def hasten(self, grace: timedelta, *, ending: bool) -> None:
        """Lease no more, and after `grace` cancel what is async, which is then given back.

        Args:
            grace: How long what is under way may go on.
            ending: Whether this process is about to end: what cannot be cancelled is then given
                back as well. Otherwise that is waited for, lest it runs beside itself.
        """
        self._stop_at = min(self._stop_at, self._monotonic() + grace.total_seconds())
        self._leaves = ending
        self._stopping.set()
        self._news.set()

    def ring(self) -> None:
        """Look for work now. Called from any thread."""
        self._rung.set()
        self._news.set()

    def rest(self, timeout: float) -> bool:
        """Wait until neither `until_idle` nor `until_stopped` is running; return whether so."""
        return self._resting.wait(timeout)

    def until_idle(self) -> Counter[str]:
        """Run jobs until none is due, and return how many attempts left a job in which state.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        return self._run(lambda: None, forever=False)

    def until_stopped(self, reached: Callable[[], None] = lambda: None) -> None:
        """Run what is due and what becomes due, until `stop` is called.

        Args:
            reached: Called whenever the database was looked into.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        self._run(reached, forever=True)

    def close(self) -> None:
        """Let go of idle threads."""
        self._threads.close()

    def _run(self, reached: Callable[[], None], *, forever: bool) -> Counter[str]:
        self._resting.clear()
        self._ended.clear()
        self._look_at = 0.0
        self._intake.look_everywhere()
        try:
            while self._step(reached, forever=forever):
                pass
            self._intake.let_go()
            return self._ended
        except (KeyboardInterrupt, SystemExit):
            self._intake.let_go()  # whoever runs this will not come back for it
            raise
        except Exception:
            if not forever:
                self._intake.let_go()
            raise
        finally:
            self._resting.set()

    def _step(self, reached: Callable[[], None], *, forever: bool) -> bool:
        """Look for work, or wait for what is under way; return whether to go on."""
        if self._stopping.is_set():
            if not self._intake.in_hand or not self._wind_down():
                return False
        elif self._time_to_look():
            lease = self._intake.look()
            reached()
            if lease is not None:
                self._start(lease)
            elif not forever and not self._intake.in_hand and not self._rung.is_set():
                return False
            else:
                self._look_at = min(self._monotonic() + self._intake.pause(), self._wake_at)
                self._wake_at = float("inf")
        self._wait()
        self._record()
        for run in self._crew.say_what_overruns():
            self._intake.overran(run.job.id, run.token)
        return True

    def _wind_down(self) -> bool:
        """End what does not end by itself, in steps; return whether to go on waiting for it."""
        late = self._monotonic() - self._stop_at
        if late >= 0:
            self._crew.cancel()
        if not self._leaves:
            return True
        if late >= _CANCELLING:
            self._crew.give_back()
        return late < 2 * _CANCELLING

    def _time_to_look(self) -> bool:
        if self._rung.is_set():
            self._rung.clear()
            self._look_at = 0.0
        if self._writer.kept_back:
            # What was run is recorded first, or its rows, if they have lapsed, would be run again.
            return False
        return self._monotonic() >= self._look_at

    def _start(self, lease: JobLease) -> None:
        for job in lease.jobs:
            spec = self._registry.get(job.name)
            if lease.poisoned:
                self._came_back(poisoned(job, lease.token))
            elif spec is None:
                self._came_back(deferred(job, lease.token, self._now()))
            else:
                self._crew.start(job, lease.token, spec)

    def _came_back(self, outcome: JobOutcome) -> None:
        self._done.append(outcome)
        self._news.set()

    def _wait(self) -> None:
        if not self._done:
            self._news.wait(self._patience())
        self._news.clear()

    def _patience(self) -> float:
        if self._stopping.is_set():
            return min(_LONGEST_SLEEP, max(self._stop_at - self._monotonic(), 0.1))
        return min(max(self._look_at - self._monotonic(), 0.0), _LONGEST_SLEEP)

    def _record(self) -> None:
        """Write a batch of outcomes, and note what follows from them."""
        written = self._writer.write()
        if not written.outcomes:
            return
        for outcome in written.outcomes:
            self._intake.ended(outcome)
            if outcome.job_id in written.lost:
                _log.warning(
                    "job %s %s had been taken over by another worker", outcome.name, outcome.job_id
                )
            else:
                self._ended[outcome.status] += 1
        if written.next_due is not None:
            wait = (written.next_due - self._now()) / timedelta(seconds=1)
            self._wake_at = min(self._wake_at, self._monotonic() + max(wait, 0.0))
        # What ended makes room, and may have enqueued something.
        self._look_at = 0.0
