"""Writes the slots of schedules as jobs when they have come. Every worker does; each is written once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from claimnotify.model.job_specs import JobSpec
from claimnotify.model.jobs import JobReason
from claimnotify.policy.cron import CronSchedule, plan_slots
from claimnotify.ports import JobQueue, NewJob

__all__ = ["SlotPlanner"]

_log = logging.getLogger("claimnotify.jobs")


@dataclass(slots=True)
class _Known:
    """A schedule, and when it has to be looked at next."""

    spec: JobSpec
    schedule: CronSchedule
    next_at: datetime


class SlotPlanner:
    """Plans the slots of the scheduled functions of one queue.

    A slot is written when it has come and not before, so that a changed schedule leaves nothing
    behind. Which slots were decided is read from the database each time one has come.

    Args:
        queue: The queue.
        jobs: Where slots are written.
        specs: All functions that are declared; read anew each time.
        tenant: Whose jobs the slots are.
    """

    def __init__(
        self, queue: str, *, jobs: JobQueue, specs: Iterable[JobSpec], tenant: str
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._specs = specs
        self._tenant = tenant
        self._known: dict[str, _Known] = {}

    @property
    def next_at(self) -> datetime | None:
        """When the next slot comes, or None."""
        return min((known.next_at for known in self._known.values()), default=None)

    def plan(self, now: datetime) -> int:
        """Write the slots that have come; return how many are to be run.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        written = 0
        for spec in self._specs:
            if spec.cron is None or spec.queue != self._queue:
                continue
            known = self._known.get(spec.name)
            schedule = (
                known.schedule
                if known is not None and known.spec is spec
                else CronSchedule(spec.cron)
            )
            if known is not None and known.spec is spec and now < known.next_at:
                continue
            written += self._decide(spec, schedule, now)
            self._known[spec.name] = _Known(spec, schedule, schedule.next(now))
        return written

    def _decide(self, spec: JobSpec, schedule: CronSchedule, now: datetime) -> int:
        template = NewJob(
            tenant=self._tenant,
            name=spec.name,
            queue=spec.queue,
            priority=spec.level,
            arguments_json="{}",
        )
        last = self._jobs.last_slot(self._tenant, spec.name)
        if last is None:
            self._jobs.add_slots(template, (), skip=now, reason=JobReason.FIRST_SEEN)
            return 0
        plan = plan_slots(
            schedule, after=last, now=now, catch_up=spec.catch_up, limit=spec.catch_up_limit
        )
        if plan.skip is not None:
            _log.warning("schedule %s: slots up to %s were missed", spec.name, plan.skip)
        self._jobs.add_slots(template, plan.run, skip=plan.skip, reason=JobReason.MISSED)
        return len(plan.run)
