"""The seam of the job queue: leases of jobs and the record of what became of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from claimnotify.model.jobs import Job, JobStatus

__all__ = ["JobLease", "JobOutcome", "JobQueue", "JobsRecorded", "NewJob"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job about to be written.

    Args:
        tenant: Whose it is.
        name: The name its function is registered under.
        queue: Where it waits.
        priority: Of one tenant's, 0 is leased first.
        arguments_json: The function's arguments, as a JSON object.
        unique_key: The key that no other unfinished job of its name may have, or None.
        at: When to run it; or
        delay: how long to wait before that.
        cron: The expression that a slot is of; empty for other jobs.
        same: Says whether two texts of arguments stand for equal ones.
    """

    tenant: str
    name: str
    queue: str
    priority: int
    arguments_json: str
    unique_key: str | None = None
    at: datetime | None = None
    delay: timedelta | None = None
    cron: str = ""
    same: Callable[[str, str], bool] = field(default=operator.eq, repr=False, compare=False)

    def repeats(self, arguments_json: str) -> bool:
        """Return whether a job with these arguments is the same work."""
        return self.arguments_json == arguments_json or self.same(
            self.arguments_json, arguments_json
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLease:
    """Jobs leased together, under one fencing token.

    Args:
        token: Identifies this lease; outcomes are written only while a row still carries it.
        jobs: What was leased, as it was before; may be empty.
        poisoned: Whether this single job killed its worker too often: to be failed, not run.
        alone: Whether it is to be run with nothing else in hand.
        alone_wait: Whether there are others that are to be run alone.
    """

    token: str
    jobs: Sequence[Job]
    poisoned: bool = False
    alone: bool = False
    alone_wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """What became of one leased job.

    Args:
        job_id: The job.
        name: Its name.
        token: The lease's token.
        status: The new state; `pending` for a retry or a release.
        reason: Why.
        due_at: When to look at it next; None unless `pending`.
        attempted: Whether its function ran to an end; else this counts as no attempt.
        error: What it failed with, without values of arguments; empty if it did not fail.
    """

    job_id: str
    name: str
    token: str
    status: JobStatus
    reason: str
    due_at: datetime | None = None
    attempted: bool = True
    error: str = ""


@dataclass(frozen=True, slots=True)
class JobsRecorded:
    """What came of recording outcomes.

    Args:
        lost: The ids of jobs that had lost their lease; nothing was written for them.
        next_due: When the next of what the outcomes left waiting is due; None if there is nothing.
    """

    lost: Collection[str] = ()
    next_due: datetime | None = None


class JobQueue(Protocol):
    """Background work other than deliveries, kept in the database.

    `room` says of how many further jobs of a name there is room; names that it does not have have
    room.
    """

    def enqueue(self, new: NewJob, *, session: Any = None) -> Job:
        """Write a job, in the caller's transaction if `session` is given, and ring on commit.

        While a job of this tenant and name with the same `unique_key` is unfinished, that one is
        returned and nothing is written, if the new one repeats its arguments. A finished job has
        given its key up.

        Raises:
            IdempotencyConflict: That one has other arguments; nothing was written.
            ConfigurationError: The session's database is not the one of this store.
            StoreUnavailable: The database cannot be reached.
        """

    def last_slot(
        self, tenant: str, name: str, *, until: datetime | None = None
    ) -> datetime | None:
        """Return the newest slot that was decided for a schedule, or None if there is none.

        Moments at which an expression of it was first seen count. With `until`, slots later than that
        are passed over.
        """

    def add_slots(
        self, template: NewJob, run: Sequence[datetime], *, skip: datetime | None, reason: str
    ) -> int:
        """Write a due job for each slot of `run`, and one that is skipped for the slot `skip`.

        A slot that was written before, by whichever worker, is left alone. A new schedule, or an
        expression that is new to it, is begun by skipping the moment it is first seen at, with the
        reason `first_seen`: once for each `cron`.

        Returns how many were written.
        """

    def lease(
        self, queue: str, *, limit: int, duration: timedelta, room: Mapping[str, int] | None = None
    ) -> JobLease | None:
        """Lease up to `limit` due jobs for `duration`, or return None if nothing is due."""

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> JobLease | None:
        """Lease jobs whose lease ran out, or return None if there are none.

        Any of them may have killed its worker. Those for which that happened once are leased
        together. One for which it happened again is leased alone, and only if `alone` says that the
        caller has nothing else in hand.
        """

    def renew(self, token: str, job_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""

    def record(self, outcomes: Sequence[JobOutcome]) -> JobsRecorded:
        """Write outcomes in one transaction; a row that lost its lease is left alone."""

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when there is next something to lease in `queue`, or None."""

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished jobs there are by (queue, status, reason)."""

    def list_jobs(
        self,
        tenant: str,
        *,
        job_id: str | None = None,
        name: str | None = None,
        status: JobStatus | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Job]:
        """Return jobs, newest first, older than the job `before`."""
