"""The job queue of the in-memory store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from claimnotify.errors import IdempotencyConflict
from claimnotify.model.jobs import JOB_ENDINGS, Job, JobReason, JobStatus
from claimnotify.ports import JobLease, JobOutcome, JobsRecorded, NewJob
from claimnotify.testing.memory_store.kept import Kept, KeptJob, Tables, refuse_session
from claimnotify.testing.memory_store.turns import Turns, lapsed_in

__all__ = ["MemoryJobs"]

_FIRST_SLOT = "first slot"


class MemoryJobs:
    """Jobs in memory. See `claimnotify.ports.JobQueue`."""

    def __init__(self, kept: Kept, *, ring: Callable[[str], None]) -> None:
        self._kept = kept
        self._ring = ring
        self._turns = Turns()

    def enqueue(self, new: NewJob, *, session: Any = None) -> Job:
        """Write a job and ring, or return the unfinished one that has its key."""
        refuse_session(session)
        with self._kept.changing() as tables:
            earlier = [
                row.job
                for row in tables.jobs.values()
                if new.unique_key is not None
                and row.job.slot is None
                and (row.job.tenant, row.job.name, row.key)
                == (new.tenant, new.name, new.unique_key)
            ]
            if earlier and not new.repeats(earlier[0].arguments_json):
                raise IdempotencyConflict(
                    "unique_key",
                    f"an unfinished job {new.name!r} has this key and other arguments",
                    "Use a key that names this one thing.",
                )
            job = earlier[0] if earlier else self._new(new)
            if not earlier:
                tables.jobs[job.id] = KeptJob(job=job, key=new.unique_key)
        if job.status == JobStatus.PENDING:
            self._ring(new.queue)
        return job

    def last_slot(
        self, tenant: str, name: str, *, until: datetime | None = None
    ) -> datetime | None:
        """Return the newest slot that was decided for a schedule, or None if there is none."""
        with self._kept.lock:
            jobs = [row.job for row in self._kept.tables.jobs.values()]
        slots = [job.slot for job in jobs if (job.tenant, job.name) == (tenant, name)]
        decided = [slot for slot in slots if slot is not None and (until is None or slot <= until)]
        return max(decided, default=None)

    def add_slots(
        self, template: NewJob, run: Sequence[datetime], *, skip: datetime | None, reason: str
    ) -> int:
        """Write a due job for each slot of `run`, and a skipped one for `skip`, if not there yet."""
        with self._kept.changing() as tables:
            count = sum(self._add_slot(tables, template, slot, None) for slot in run)
            if skip is not None:
                count += self._add_slot(tables, template, skip, reason)
            return count

    def lease(
        self, queue: str, *, limit: int, duration: timedelta, room: Mapping[str, int] | None = None
    ) -> JobLease | None:
        """Lease up to `limit` due jobs for `duration`, or return None if nothing is due."""
        with self._kept.changing() as tables:
            token, now = self._kept.new_id(), self._kept.clock.now()
            jobs: list[Job] = []
            for row in self._turns.due(queue, _of(tables, queue), now, room or {}):
                if len(jobs) >= limit:
                    break
                jobs.append(_take(tables, row, token, now + duration))
            return JobLease(token=token, jobs=jobs) if jobs else None

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> JobLease | None:
        """Lease jobs whose lease ran out."""
        with self._kept.changing() as tables:
            token, now = self._kept.new_id(), self._kept.clock.now()
            lapsed = lapsed_in(_of(tables, queue), limit=limit, now=now, alone=alone)
            if lapsed is None:
                return None
            rows = [replace(row, crashes=row.crashes + 1) for row in lapsed.rows]
            return JobLease(
                token=token,
                jobs=[_take(tables, row, token, now + duration) for row in rows],
                poisoned=lapsed.poisoned,
                alone=lapsed.alone,
                alone_wait=lapsed.alone_wait,
            )

    def renew(self, token: str, job_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""
        with self._kept.changing() as tables:
            until = self._kept.clock.now() + duration
            for key in job_ids:
                row = tables.jobs.get(key)
                if row is not None and row.token == token:
                    tables.jobs[key] = replace(row, until=until)

    def record(self, outcomes: Sequence[JobOutcome]) -> JobsRecorded:
        """Write outcomes of rows still held."""
        lost: set[str] = set()
        moments: list[datetime] = []
        with self._kept.changing() as tables:
            now = self._kept.clock.now()
            for outcome in outcomes:
                row = tables.jobs.get(outcome.job_id)
                if row is None or row.token != outcome.token:
                    lost.add(outcome.job_id)
                    continue
                changed = tables.jobs[row.id] = _changed(outcome, row, now)
                if changed.due_at is not None:
                    moments.append(changed.due_at)
        return JobsRecorded(lost, min(moments, default=None))

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when the next job of `queue` is to be looked at, or None."""
        with self._kept.lock:
            rows = _of(self._kept.tables, queue)
        waiting = [row.due_at for row in rows if (room or {}).get(row.job.name, 1) > 0]
        moments = (*waiting, *(row.until for row in rows))
        return min((moment for moment in moments if moment is not None), default=None)

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished jobs there are by (queue, status, reason)."""
        with self._kept.lock:
            jobs = [row.job for row in self._kept.tables.jobs.values()]
        return Counter(
            (job.queue, str(job.status), str(job.reason))
            for job in jobs
            if job.status not in JOB_ENDINGS and tenant in (None, job.tenant)
        )

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
        """Return jobs, newest first."""
        with self._kept.lock:
            jobs = [row.job for row in self._kept.tables.jobs.values()]
        found = [
            job
            for job in jobs
            if job.tenant == tenant
            and job_id in (None, job.id)
            and name in (None, job.name)
            and status in (None, job.status)
            and (before is None or job.id < before)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    def _new(self, new: NewJob) -> Job:
        now = self._kept.clock.now()
        due_at = new.at if new.at is not None else now + (new.delay or timedelta(0))
        later = due_at > now
        return Job(
            id=self._kept.new_id(),
            tenant=new.tenant,
            name=new.name,
            queue=new.queue,
            priority=new.priority,
            arguments_json=new.arguments_json,
            unique_key=new.unique_key,
            status=JobStatus.SCHEDULED if later else JobStatus.PENDING,
            reason=JobReason.SCHEDULED if later else JobReason.QUEUED,
            due_at=due_at,
            created_at=now,
        )

    def _add_slot(
        self, tables: Tables, template: NewJob, slot: datetime, skipped: str | None
    ) -> bool:
        """Write one slot, unless it was decided; an expression is first seen once."""
        first = skipped == JobReason.FIRST_SEEN
        key = f"{_FIRST_SLOT} {template.cron}" if first else str(slot.timestamp())
        for row in tables.jobs.values():
            mine = (row.job.tenant, row.job.name) == (template.tenant, template.name)
            if mine and row.job.slot is not None and row.key == key:
                return False
        job = replace(self._new(template), slot=slot, unique_key=None)
        if skipped is not None:
            job = replace(
                job,
                status=JobStatus.SKIPPED,
                reason=skipped,
                due_at=None,
                finished_at=job.created_at,
            )
        tables.jobs[job.id] = KeptJob(job=job, key=key)
        return True


def _of(tables: Tables, queue: str) -> list[KeptJob]:
    return [row for row in tables.jobs.values() if row.job.queue == queue]


def _take(tables: Tables, row: KeptJob, token: str, until: datetime) -> Job:
    """Lease one row; return its job as it was before."""
    job = replace(row.job, status=JobStatus.RUNNING, reason=JobReason.LEASED, due_at=None)
    tables.jobs[row.id] = replace(row, job=job, token=token, until=until)
    return row.job


def _changed(outcome: JobOutcome, row: KeptJob, now: datetime) -> KeptJob:
    """Return the row as the outcome leaves it."""
    ended = outcome.status in JOB_ENDINGS
    # A finished job gives its key up; a slot keeps it, so that it never comes again.
    gives_up = ended and row.job.slot is None
    job = replace(
        row.job,
        status=outcome.status,
        reason=str(outcome.reason),
        error=outcome.error if outcome.attempted or ended else row.job.error,
        due_at=None if ended else outcome.due_at,
        attempts=row.job.attempts + outcome.attempted,
        finished_at=now if ended else None,
        unique_key=None if gives_up else row.job.unique_key,
    )
    return KeptJob(
        job=job,
        key=None if gives_up else row.key,
        crashes=0 if ended or outcome.attempted else row.crashes,
    )
