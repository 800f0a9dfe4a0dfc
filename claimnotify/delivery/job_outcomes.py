"""What becomes of a job: outcomes of attempts, and errors told without the values of arguments."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from datetime import datetime, timedelta
from random import Random
from types import FrameType

from claimnotify.errors import JobError, PermanentJobError, TransientJobError
from claimnotify.model.job_specs import JobSpec
from claimnotify.model.jobs import Job, JobReason, JobStatus
from claimnotify.model.texts import storable
from claimnotify.policy.retry import JOB_SCHEDULE, later
from claimnotify.ports import JobOutcome

__all__ = ["deferred", "error_text", "failed", "poisoned", "released", "succeeded"]

_log = logging.getLogger("claimnotify.jobs")

DEFERRAL = timedelta(seconds=5)
"""When a job whose function this worker lacks is due again, for one that has it."""
_FRAMES = 4
_LONGEST = 1000


def succeeded(job: Job, token: str) -> JobOutcome:
    """Return the outcome of a function that returned."""
    status, reason = JobStatus.SUCCEEDED, JobReason.RETURNED
    return JobOutcome(job_id=job.id, name=job.name, token=token, status=status, reason=reason)


def failed(
    job: Job,
    token: str,
    spec: JobSpec,
    error: BaseException,
    *,
    now: datetime,
    random: Random,
    last_reason: JobReason = JobReason.EXHAUSTED,
) -> JobOutcome:
    """Return the outcome of an attempt that failed with `error`; raises nothing, whatever that is.

    Args:
        job: The job, as it was before the attempt.
        token: Its lease's token.
        spec: What is declared about it.
        error: What it failed with.
        now: The time.
        random: Randomness for the jitter.
        last_reason: Why it failed, if this was the last attempt.
    """
    text, due_at = error_text(error), None
    if issubclass(type(error), PermanentJobError):
        last_reason = JobReason.REJECTED
    else:
        due_at = _due_at(job, spec, error, now=now, random=random)
    _log.warning("job %s %s: attempt %d failed: %s", job.name, job.id, job.attempts + 1, text)
    return JobOutcome(
        job_id=job.id,
        name=job.name,
        token=token,
        status=JobStatus.FAILED if due_at is None else JobStatus.PENDING,
        reason=last_reason if due_at is None else JobReason.RETRY,
        due_at=due_at,
        error=text,
    )


def poisoned(job: Job, token: str) -> JobOutcome:
    """Return the outcome of a job that killed its worker too often."""
    _log.error("job %s %s is poison: it killed its worker repeatedly", job.name, job.id)
    return JobOutcome(
        job_id=job.id,
        name=job.name,
        token=token,
        status=JobStatus.FAILED,
        reason=JobReason.POISON,
        attempted=False,
        error=job.error,
    )


def released(job: Job, token: str, due_at: datetime) -> JobOutcome:
    """Return the outcome of a job that is given back."""
    return _waits(job, token, JobReason.RELEASED, due_at)


def deferred(job: Job, token: str, now: datetime) -> JobOutcome:
    """Return the outcome of a job whose function this worker has not loaded."""
    return _waits(job, token, JobReason.UNKNOWN_WORK, now + DEFERRAL)


def error_text(error: BaseException) -> str:
    """Return an error's type and where it was raised, as text that every database takes.

    Its own text may repeat arguments, so it is kept for `JobError`s alone, which are made for it.
    """
    try:
        return storable(_told(error), _LONGEST)
    except BaseException:  # the class of an error is code of the application's too
        return "an error that cannot be told"


def _told(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "claimnotify.errors"):
        name = f"{kind.__module__}.{name}"
    if isinstance(error, JobError):
        return f"{name}: {error.problem}"
    # The frames themselves: a summary of them reads the files, whose names may be none.
    frames = deque(traceback.walk_tb(error.__traceback__), maxlen=_FRAMES)
    places = [
        f"{file.rpartition('/')[2]}:{line} in {function}"
        for file, line, function in map(_place, reversed(frames))
        if not file.endswith("delivery/job_crew.py")
    ]
    return " < ".join([f"{name} at {places[0]}", *places[1:]] if places else [name])


def _place(entry: tuple[FrameType, int]) -> tuple[str, int, str]:
    frame, line = entry
    return frame.f_code.co_filename.replace("\\", "/"), line, frame.f_code.co_name


def _due_at(
    job: Job, spec: JobSpec, error: BaseException, *, now: datetime, random: Random
) -> datetime | None:
    """Return when the next attempt is due by the job's schedule, or None to give up."""
    retry_after: timedelta | None = None
    try:
        if isinstance(error, TransientJobError) and isinstance(error.retry_after, timedelta):
            retry_after = error.retry_after
        wait = (spec.retry or JOB_SCHEDULE).next_wait(
            job.attempts + 1,
            random=random,
            elapsed=max(now - job.created_at, timedelta(0)),
            retry_after=retry_after,
        )
        return None if wait is None else later(now, wait)
    except BaseException as fault:  # a schedule, or an error, of the application's own
        _log.error("the retry schedule of job %s fails: %s", job.name, error_text(fault))
        wait = JOB_SCHEDULE.next_wait(job.attempts + 1, random=random, retry_after=retry_after)
        return None if wait is None else later(now, wait)


def _waits(job: Job, token: str, reason: JobReason, due_at: datetime) -> JobOutcome:
    return JobOutcome(
        job_id=job.id,
        name=job.name,
        token=token,
        status=JobStatus.PENDING,
        reason=reason,
        due_at=due_at,
        attempted=False,
    )
