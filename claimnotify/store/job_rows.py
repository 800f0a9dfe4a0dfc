"""Rows of the jobs table: from new jobs and slots, to jobs, and what outcomes change in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, select

from claimnotify.model.jobs import JOB_ENDINGS, Job, JobReason, JobStatus
from claimnotify.ports import JobOutcome, JobsRecorded, NewJob
from claimnotify.store.lanes import lane_name
from claimnotify.store.tables import jobs

__all__ = [
    "change_held",
    "job_of",
    "newest_slot",
    "newest_slots_until",
    "row_of",
    "slot_row",
]

_SLOT = "\x1fslot "
"""How the keys of slots begin; no caller's key has a control character."""
_FIRST_SLOT = _SLOT + "first "
_LATEST = 10
"""How many of the newest slots are looked at: workers may have written them in another order."""

_CHANGE = (
    jobs.update()
    .where(jobs.c.id == bindparam("row_id"))
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "status",
                "reason",
                "error",
                "lane",
                "due_at",
                "lease_token",
                "lease_until",
                "unique_key",
                "attempts",
                "crashes",
                "finished_at",
            )
        }
    )
)


def row_of(new: NewJob, *, row_id: str, now: datetime) -> dict[str, Any]:
    """Return the row of a new job."""
    due_at = new.at if new.at is not None else now if new.delay is None else now + new.delay
    later = due_at > now
    return {
        "id": row_id,
        "tenant": new.tenant,
        "name": new.name,
        "arguments": new.arguments_json,
        "unique_key": new.unique_key,
        "slot": None,
        "status": JobStatus.SCHEDULED if later else JobStatus.PENDING,
        "reason": JobReason.SCHEDULED if later else JobReason.QUEUED,
        "error": "",
        "created_at": now,
        "finished_at": None,
        "queue": new.queue,
        "priority": new.priority,
        "lane": lane_name(new.queue, new.priority, new.name, new.tenant),
        "due_at": due_at,
        "attempts": 0,
    }


def slot_row(
    new: NewJob, slot: datetime, *, row_id: str, now: datetime, skipped: str | None
) -> dict[str, Any]:
    """Return the row of a slot: due now, or `skipped` for that reason."""
    row = row_of(new, row_id=row_id, now=now) | {"slot": slot}
    # Two workers may see a new schedule first, at different moments: only one of them did.
    first = skipped == JobReason.FIRST_SEEN
    row["unique_key"] = _first_key(new.cron) if first else _slot_key(slot)
    if skipped:
        row |= {"status": JobStatus.SKIPPED, "reason": skipped, "finished_at": now}
        row |= {"lane": None, "due_at": None}
    return row


def newest_slot(tenant: str, name: str) -> Sequence[Select[datetime]]:
    """Return the queries among whose rows is the newest slot of a schedule."""
    mine = select(jobs.c.slot).where(jobs.c.tenant == tenant, jobs.c.name == name)
    return [mine.where(jobs.c.slot.is_not(None)).order_by(jobs.c.id.desc()).limit(_LATEST)]


def newest_slots_until(tenant: str, name: str, until: datetime) -> Sequence[Select[datetime]]:
    """Return the queries among whose rows is the newest slot that is not later than `until`.

    The keys of slots sort by time, so that an index finds it among any number of later ones.
    """
    mine, key = (
        select(jobs.c.slot).where(jobs.c.tenant == tenant, jobs.c.name == name),
        jobs.c.unique_key,
    )
    return [
        mine.where(key >= _SLOT, key <= _slot_key(until)).order_by(key.desc()).limit(1),
        mine.where(key.between(_FIRST_SLOT, _FIRST_SLOT + "~"), jobs.c.slot <= until),
    ]


def _first_key(cron: str) -> str:
    """Return the key of the moment at which an expression was first seen; it sorts after all slots."""
    return _FIRST_SLOT + hashlib.sha256(cron.encode()).hexdigest()[:32]


def _slot_key(moment: datetime) -> str:
    return _SLOT + moment.astimezone(UTC).isoformat()


def job_of(row: Mapping[str, Any] | RowMapping) -> Job:
    """Return the job of a row of the jobs table."""
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        queue=row["queue"],
        priority=row["priority"],
        arguments_json=row["arguments"],
        unique_key=row["unique_key"] if row["slot"] is None else None,
        slot=row["slot"],
        status=JobStatus(row["status"]),
        reason=str(row["reason"]),
        error=row["error"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )


def change_held(
    connection: Connection, outcomes: Sequence[JobOutcome], now: datetime
) -> JobsRecorded:
    """Write outcomes to those rows that still carry their token."""
    by_id = {outcome.job_id: outcome for outcome in outcomes}
    query = (
        select(jobs)
        .where(jobs.c.id.in_(by_id), jobs.c.lease_token.in_({each.token for each in outcomes}))
        .order_by(jobs.c.id)
        .with_for_update()
    )
    changes = [
        _change(by_id[row.id], row._mapping, now)
        for row in connection.execute(query).all()
        if row.lease_token == by_id[row.id].token
    ]
    if changes:
        connection.execute(_CHANGE, changes)
    due = [each["new_due_at"] for each in changes if each["new_due_at"] is not None]
    lost = by_id.keys() - {each["row_id"] for each in changes}
    return JobsRecorded(lost, min(due, default=None))


def _change(outcome: JobOutcome, row: RowMapping, now: datetime) -> dict[str, Any]:
    ended = outcome.status in JOB_ENDINGS
    lane = lane_name(row["queue"], row["priority"], row["name"], row["tenant"])
    return {
        "row_id": row["id"],
        "new_status": outcome.status,
        "new_reason": outcome.reason,
        # What a worker gave back keeps what its last attempt failed with.
        "new_error": outcome.error if outcome.attempted or ended else row["error"],
        "new_lane": None if ended else lane,
        "new_due_at": None if ended else outcome.due_at,
        "new_lease_token": None,
        "new_lease_until": None,
        # A finished job gives its key up; a slot keeps it, so that it never comes again.
        "new_unique_key": None if ended and row["slot"] is None else row["unique_key"],
        "new_attempts": row["attempts"] + outcome.attempted,
        # A row that came back with something to tell does not kill its worker.
        "new_crashes": 0 if ended or outcome.attempted else row["crashes"],
        "new_finished_at": now if ended else None,
    }
