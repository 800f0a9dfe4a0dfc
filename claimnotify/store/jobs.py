"""The job queue: enqueues jobs and slots, leases them, and records what became of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select

from claimnotify.errors import IdempotencyConflict, StoreContention
from claimnotify.model.jobs import Job, JobStatus
from claimnotify.ports import JobLease, JobOutcome, JobsRecorded, NewJob
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.job_rows import (
    change_held,
    job_of,
    newest_slot,
    newest_slots_until,
    row_of,
    slot_row,
)
from claimnotify.store.leasing import Leases
from claimnotify.store.sessions import RingAfterCommit, sync_session
from claimnotify.store.tables import jobs
from claimnotify.store.transactions import in_transaction, reading
from claimnotify.store.writing import insert_or_ignore, insert_rows

__all__ = ["SqlJobs"]

_TRIES = 5


class SqlJobs:
    """Jobs in one SQL database. See `claimnotify.ports.JobQueue`.

    Args:
        engine: The store's own engine.
        clock: The one clock.
        new_id: Makes ids that sort by time.
        ring: Wakes a worker for a queue.
        joined: Opens the caller's transaction, checked.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: DatabaseClock,
        new_id: Callable[[], str],
        ring: Callable[[str], None],
        joined: Callable[[Any], AbstractContextManager[Connection]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id
        self._ring = ring
        self._joined = joined
        self._after_commit = RingAfterCommit(ring)
        self._leases = Leases(jobs, leased=JobStatus.RUNNING)

    def enqueue(self, new: NewJob, *, session: Any = None) -> Job:
        """Write a job, in the caller's transaction if `session` is given, and ring on commit."""
        if session is None:
            job = in_transaction(self._engine, lambda connection: self._write(connection, new))
            if job.status == JobStatus.PENDING:
                self._ring(new.queue)
            return job
        with self._joined(session) as connection:
            job = self._write(connection, new)
        if job.status == JobStatus.PENDING:
            self._after_commit.add(sync_session(session), new.queue)
        return job

    def last_slot(
        self, tenant: str, name: str, *, until: datetime | None = None
    ) -> datetime | None:
        """Return the newest slot that was decided for a schedule, or None if there is none."""
        queries = (
            newest_slot(tenant, name) if until is None else newest_slots_until(tenant, name, until)
        )
        slots: list[datetime] = []
        with reading(self._engine) as connection:
            for query in queries:
                slots += connection.execute(query).scalars()
        return max(slots, default=None)

    def add_slots(
        self, template: NewJob, run: Sequence[datetime], *, skip: datetime | None, reason: str
    ) -> int:
        """Write a due job for each slot of `run`, and a skipped one for `skip`, if not there yet."""
        slots = [(slot, False) for slot in run] + ([(skip, True)] if skip is not None else [])

        def written(connection: Connection) -> int:
            now = self._clock.now(connection)
            count = 0
            for slot, skipped in slots:
                why = reason if skipped else None
                row = slot_row(template, slot, row_id=self._new_id(), now=now, skipped=why)
                connection.execute(insert_or_ignore(jobs, connection), row)
                mine = select(jobs.c.id).where(jobs.c.id == row["id"])
                count += connection.execute(mine).first() is not None
            return count

        return in_transaction(self._engine, written) if slots else 0

    def lease(
        self, queue: str, *, limit: int, duration: timedelta, room: Mapping[str, int] | None = None
    ) -> JobLease | None:
        """Lease up to `limit` due jobs for `duration`, or return None if nothing is due."""
        room = room or {}
        if not self._something_due(queue, room):
            return None
        token = self._new_id()

        def leased(connection: Connection) -> Sequence[Row[Any]]:
            return self._leases.lease(
                connection,
                queue=queue,
                token=token,
                now=self._clock.now(connection),
                limit=limit,
                duration=duration,
                room=room,
            )

        rows = in_transaction(self._engine, leased)
        return JobLease(token=token, jobs=[job_of(row._mapping) for row in rows]) if rows else None

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> JobLease | None:
        """Lease jobs whose lease ran out."""
        with reading(self._engine) as connection:
            now = self._clock.now(connection)
            if not self._leases.has_lapsed(connection, queue, now, duration):
                return None
        token = self._new_id()

        def leased(connection: Connection) -> JobLease:
            lapsed = self._leases.lease_lapsed(
                connection,
                queue=queue,
                token=token,
                now=self._clock.now(connection),
                limit=limit,
                duration=duration,
                alone=alone,
            )
            return JobLease(
                token=token,
                jobs=[job_of(row._mapping) for row in lapsed.rows],
                poisoned=lapsed.poisoned,
                alone=lapsed.alone,
                alone_wait=lapsed.alone_wait,
            )

        return in_transaction(self._engine, leased)

    def renew(self, token: str, job_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""

        def renewed(connection: Connection) -> None:
            now = self._clock.now(connection)
            self._leases.renew(connection, token=token, ids=job_ids, now=now, duration=duration)

        in_transaction(self._engine, renewed)

    def record(self, outcomes: Sequence[JobOutcome]) -> JobsRecorded:
        """Write outcomes of rows still held, in one transaction."""
        return in_transaction(
            self._engine,
            lambda connection: change_held(connection, outcomes, self._clock.now(connection)),
        )

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when the next job of `queue` is to be looked at, or None."""
        with reading(self._engine) as connection:
            return self._leases.next_due(connection, queue, room or {})

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished jobs there are by (queue, status, reason)."""
        columns = jobs.c
        query = (
            select(columns.queue, columns.status, columns.reason, func.count())
            .where(or_(columns.lane.is_not(None), columns.lease_until.is_not(None)))
            .group_by(columns.queue, columns.status, columns.reason)
        )
        if tenant is not None:
            query = query.where(columns.tenant == tenant)
        with reading(self._engine) as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}

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
        columns = jobs.c
        query = select(jobs).where(columns.tenant == tenant).order_by(columns.id.desc())
        for column, value in ((columns.id, job_id), (columns.name, name), (columns.status, status)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(columns.id < before)
        with reading(self._engine) as connection:
            return [job_of(row._mapping) for row in connection.execute(query.limit(limit))]

    def _write(self, connection: Connection, new: NewJob) -> Job:
        row = row_of(new, row_id=self._new_id(), now=self._clock.now(connection))
        if new.unique_key is None:
            insert_rows(connection, jobs, [row])
            return job_of(row)
        columns = jobs.c
        query = select(jobs).where(
            columns.tenant == new.tenant,
            columns.name == new.name,
            columns.unique_key == new.unique_key,
        )
        if connection.dialect.name in ("mysql", "mariadb"):
            query = query.with_for_update(read=True)
        for _ in range(_TRIES):
            connection.execute(insert_or_ignore(jobs, connection), row)
            won = connection.execute(query).first()
            if won is None:
                continue  # the one that had the key has just come to its end
            if not new.repeats(won.arguments):
                raise IdempotencyConflict(
                    "unique_key",
                    f"an unfinished job {new.name!r} has this key and other arguments",
                    "Use a key that names this one thing.",
                )
            return job_of(won._mapping)
        raise StoreContention("unique_key", "was taken and freed again and again", "Try again.")

    def _something_due(self, queue: str, room: Mapping[str, int]) -> bool:
        """Return whether there is something to lease; on SQLite that spares the write lock."""
        if self._leases.knows_due(queue, self._clock.now(), room):
            return True
        with reading(self._engine) as connection:
            return self._leases.look(connection, queue, self._clock.now(connection), room)
