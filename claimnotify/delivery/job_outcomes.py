"""What becomes of a job: outcomes of attempts, and errors told without the values of arguments."""

from __future__ import annotations

import logging
import traceback
from datetime import datetime, timedelta
from random import Random

from claimnotify.errors import JobError, PermanentJobError, TransientJobError
from claimnotify.model.job_specs import JobSpec
from claimnotify.model.jobs import Job, JobReason, JobStatus
from claimnotify.policy.retry import JOB_SCHEDULE
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
    """Return the outcome of an attempt that failed with `error`.

    Args:
        job: The job, as it was before the attempt.
        token: Its lease's token.
        spec: What is declared about it.
        error: What it failed with.
        now: The time.
        random: Randomness for the jitter.
        last_reason: Why it failed, if this was the last attempt.
    """
    text, number = error_text(error), job.attempts + 1
    due_at = None
    if isinstance(error, PermanentJobError):
        last_reason = JobReason.REJECTED
    else:
        wait = _wait(job, spec, error, now=now, random=random)
        due_at = None if wait is None else now + wait
    _log.warning("job %s %s: attempt %d failed: %s", job.name, job.id, number, text)
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
    """Return an error's type and where it was raised.

    Its own text may repeat arguments, so it is kept for `JobError`s alone, which are made for it.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "claimnotify.errors"):
        name = f"{kind.__module__}.{name}"
    if isinstance(error, JobError):
        return f"{name}: {error.problem}"[:_LONGEST]
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
    places = [
        f"{frame.filename.replace(chr(92), '/').rpartition('/')[2]}:{frame.lineno} in {frame.name}"
        for frame in reversed(frames)
        if not frame.filename.endswith(("delivery/job_crew.py", "delivery\\job_crew.py"))
    ]
    return " < ".join([f"{name} at {places[0]}", *places[1:]] if places else [name])[:_LONGEST]


def _wait(
    job: Job, spec: JobSpec, error: BaseException, *, now: datetime, random: Random
) -> timedelta | None:
    retry_after = error.retry_after if isinstance(error, TransientJobError) else None
    schedule = spec.retry or JOB_SCHEDULE
    elapsed = max(now - job.created_at, timedelta(0))
    try:
        return schedule.next_wait(
            job.attempts + 1, random=random, elapsed=elapsed, retry_after=retry_after
        )
    except Exception as fault:
        _log.error("the retry schedule of job %s fails: %s", job.name, error_text(fault))
        return JOB_SCHEDULE.next_wait(job.attempts + 1, random=random, retry_after=retry_after)


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
