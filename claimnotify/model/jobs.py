"""Background work other than deliveries: what a job is, its states and reasons. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

__all__ = ["JOB_ENDINGS", "Job", "JobContext", "JobReason", "JobStatus"]


class JobStatus(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    """Enqueued, due later."""
    PENDING = "pending"
    """Due, or waiting for its next attempt."""
    RUNNING = "running"
    """Leased by a worker."""
    SUCCEEDED = "succeeded"
    """Its function returned."""
    FAILED = "failed"
    """Given up: out of attempts, refused for good, or poison."""
    SKIPPED = "skipped"
    """A slot of a schedule that was deliberately not run."""


JOB_ENDINGS = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SKIPPED})
"""States nothing follows."""


class JobReason(StrEnum):
    """Why a job is in its state."""

    QUEUED = "queued"
    """Waiting for a worker."""
    SCHEDULED = "scheduled"
    """The caller asked for a later time."""
    LEASED = "leased"
    """A worker has it."""
    RETRY = "retry"
    """The last attempt failed; the next is due at `due_at`."""
    RELEASED = "released"
    """A worker that was stopped gave it back; that counts as no attempt."""
    UNKNOWN_WORK = "unknown_work"
    """The worker that took it has no function of this name; another may have it."""
    RETURNED = "returned"
    """The function returned."""
    EXHAUSTED = "exhausted"
    """Every attempt of the schedule failed."""
    TIMED_OUT = "timed_out"
    """Every attempt of the schedule failed, and the last one overran its timeout."""
    INVALID_ARGUMENTS = "invalid_arguments"
    """In every attempt the stored arguments did not fit the function's parameters."""
    REJECTED = "rejected"
    """The function raised `PermanentJobError`."""
    POISON = "poison"
    """It killed its worker repeatedly while it was the only job in hand."""
    FIRST_SEEN = "first_seen"
    """Not a run: marks when a worker first knew the schedule. Earlier slots are not caught up."""
    MISSED = "missed"
    """The slot passed while no worker ran, and the schedule's policy does not catch it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of background work.

    Args:
        id: 32 hexadecimal digits; sorts by time.
        tenant: Whose it is.
        name: The name its function is registered under.
        queue: Where it waits.
        priority: 0 is leased first.
        arguments_json: The function's arguments, as a JSON object.
        unique_key: While this job is unfinished, no other of its name has this key; None for
            none. A finished job has given its key up.
        slot: The moment of the schedule that it is for, or None.
        status: Where it is in its life.
        reason: Why.
        error: What the last attempt failed with: the error's type and where it was raised, never
            its text, which may repeat arguments. Empty if it did not fail.
        attempts: How many attempts have ended.
        due_at: When it is looked at next; None when it is leased or finished.
        created_at: When it was enqueued.
        finished_at: When it came to its end, or None.
    """

    id: str
    tenant: str
    name: str
    queue: str
    priority: int
    arguments_json: str = field(repr=False)
    unique_key: str | None = None
    slot: datetime | None = None
    status: JobStatus
    reason: str
    error: str = ""
    attempts: int = 0
    due_at: datetime | None = None
    created_at: datetime
    finished_at: datetime | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments as JSON values."""
        import json

        found: Mapping[str, Any] = json.loads(self.arguments_json)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a job's function may know about its run: give it a parameter annotated `JobContext`.

    Args:
        notifier: The `Notifier` of the job's tenant.
        job: The job.
        attempt: The number of this attempt, from 1. A run that a killed worker cut short is no
            attempt, so a number can come twice.
        deadline: When the attempt has overrun its timeout.
    """

    notifier: Any = field(repr=False)
    job: Job
    attempt: int
    deadline: datetime
    ends: float = field(repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)

    def remaining(self) -> timedelta:
        """Return how long the attempt has until its deadline; negative when that has passed."""
        return timedelta(seconds=self.ends - self.monotonic())
