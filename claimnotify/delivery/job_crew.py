"""Runs the functions of jobs: sync ones on threads, async ones on an event loop, each to a deadline."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from claimnotify.delivery.job_outcomes import failed, released, succeeded
from claimnotify.delivery.job_threads import JobThreads
from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.errors import InvalidInput, PermanentJobError, TransientJobError
from claimnotify.model.job_specs import JobSpec
from claimnotify.model.jobs import Job, JobContext, JobReason
from claimnotify.ports import JobOutcome

__all__ = ["JobCrew", "Run"]

_log = logging.getLogger("claimnotify.jobs")


class _DoNotFit(TransientJobError):
    """The stored arguments do not fit the function: another version of it wrote them."""


@dataclass(eq=False, slots=True, kw_only=True)
class Run:
    """A job that is being run.

    Args:
        job: The job.
        token: Its lease's token.
        spec: What is declared about it.
        ends: When it has overrun its timeout, in monotonic seconds.
        task: What runs it, if it is async.
        overrun: Whether it was said that it has overrun its timeout.
        cancelled: Whether it was cancelled so that the worker can stop.
    """

    job: Job
    token: str
    spec: JobSpec
    ends: float
    task: Future[None] | None = None
    overrun: bool = False
    cancelled: bool = False


@dataclass(slots=True, kw_only=True)
class JobCrew:
    """Runs jobs and hands in what became of them.

    Args:
        threads: For sync functions.
        loop: For async functions.
        keeper: Knows how long leases last.
        notifier_of: Returns the notifier of a tenant, for a job's context.
        done: Called with the outcome of each, from any thread, once.
        now: The time, without any I/O.
        random: Randomness for jitter.
        monotonic: Seconds that never go back.
    """

    threads: JobThreads
    loop: LoopThread
    keeper: LeaseKeeper
    notifier_of: Callable[[str], Any]
    done: Callable[[JobOutcome], None]
    now: Callable[[], datetime]
    random: Random
    monotonic: Callable[[], float] = time.monotonic
    _runs: dict[tuple[str, str], Run] = field(default_factory=dict)

    @property
    def under_way(self) -> Collection[Run]:
        """What is being run."""
        return tuple(self._runs.values())

    def start(self, job: Job, token: str, spec: JobSpec) -> None:
        """Run a job that was just leased."""
        ends = self.monotonic() + spec.timeout.total_seconds()
        # By its token as well: a lease that was lost meanwhile may be this worker's again.
        run = self._runs[job.id, token] = Run(job=job, token=token, spec=spec, ends=ends)
        if inspect.iscoroutinefunction(spec.function):
            run.task = self.loop.submit(self._await(run))
        else:
            self.threads.run(lambda: self._call(run))

    def say_what_overruns(self) -> Collection[Run]:
        """Log the sync jobs that have overrun their timeout; return them, each of them once."""
        found: list[Run] = []
        for run in self.under_way:
            if not run.overrun and run.task is None and self.monotonic() >= run.ends:
                run.overrun = True
                found.append(run)
                _log.warning(
                    "job %s %s has overrun its timeout of %s; as it is not async it cannot be "
                    "stopped, and keeps its place until it returns",
                    run.job.name,
                    run.job.id,
                    run.spec.timeout,
                )
        return found

    def cancel(self) -> None:
        """Cancel what is async, so that it is given back as soon as it has ended."""
        for run in self.under_way:
            if run.task is not None and not run.cancelled:
                _log.info("job %s %s is cancelled, to be given back", run.job.name, run.job.id)
                run.cancelled = True
                run.task.cancel()

    def give_back(self) -> None:
        """Give back all that is still under way, to be run when this process is sure to have ended."""
        for run in self.under_way:
            _log.warning("job %s %s is given back unfinished", run.job.name, run.job.id)
            due_at = self.now() + self.keeper.duration
            self._hand_in(run, released(run.job, run.token, due_at))

    def _call(self, run: Run) -> None:
        """Run a sync function; on a thread of its own, whose only exit is through the end."""
        try:
            if not self._may_begin(run):
                return
            result = run.spec.function(**self._arguments(run))
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise PermanentJobError("the function is not async, but returned an awaitable")
            outcome = succeeded(run.job, run.token)
        except BaseException as error:  # SystemExit too: the thread is not the job's to end
            outcome = self._failed(run, error)
        self._hand_in(run, outcome)

    async def _await(self, run: Run) -> None:
        """Run an async function; on the loop."""
        if not self._may_begin(run):
            return
        timeout = asyncio.timeout(max(run.ends - self.monotonic(), 0.0))
        try:
            arguments = self._arguments(run)
            async with timeout:
                await run.spec.function(**arguments)
            outcome = succeeded(run.job, run.token)
        except asyncio.CancelledError as error:
            if run.cancelled:
                # A thread that was left behind (`to_thread`) goes on until this process has ended.
                lag = self.keeper.duration if self.loop.threads_at_work else timedelta(0)
                outcome = released(run.job, run.token, self.now() + lag)
            elif (run.job.id, run.token) in self._runs:
                outcome = self._failed(run, error)  # of its own doing
            else:
                raise
        except BaseException as error:  # SystemExit too: the loop is not the job's to end
            late = timeout.expired() and issubclass(type(error), TimeoutError)
            outcome = self._failed(run, error, late=late)
        self._hand_in(run, outcome)

    def _may_begin(self, run: Run) -> bool:
        if self.keeper.remaining(run.token).total_seconds() > 0:
            return True
        self._hand_in(run, released(run.job, run.token, self.now()))
        return False

    def _arguments(self, run: Run) -> dict[str, Any]:
        job, arguments = run.job, run.spec.arguments
        try:
            values = arguments.decode(job.arguments_json)
        except InvalidInput as error:
            # Of a path into the arguments, the parameter: keys further down may be somebody's data.
            parameter = error.field.partition(".")[0]
            raise _DoNotFit(f"the stored arguments do not fit: {parameter}") from None
        if arguments.context_name is not None:
            values[arguments.context_name] = JobContext(
                notifier=self.notifier_of(job.tenant),
                job=job,
                attempt=job.attempts + 1,
                deadline=self.now() + run.spec.timeout,
                ends=run.ends,
                monotonic=self.monotonic,
            )
        return values

    def _failed(self, run: Run, error: BaseException, *, late: bool = False) -> JobOutcome:
        reason = JobReason.TIMED_OUT if late else JobReason.EXHAUSTED
        if type(error) is _DoNotFit:
            reason = JobReason.INVALID_ARGUMENTS
        return failed(
            run.job,
            run.token,
            run.spec,
            error,
            now=self.now(),
            random=self.random,
            last_reason=reason,
        )

    def _hand_in(self, run: Run, outcome: JobOutcome) -> None:
        # Whoever takes it out hands it in: its own end and being given back may come together.
        if self._runs.pop((run.job.id, run.token), None) is not None:
            self.done(outcome)
