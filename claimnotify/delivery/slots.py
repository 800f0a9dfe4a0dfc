"""Writes the slots of schedules as jobs when they have come. Every worker does; each is written once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from claimnotify.model.job_specs import JobSpec
from claimnotify.model.jobs import JobReason
from claimnotify.policy.cron import ON_TIME, CronSchedule, plan_slots
from claimnotify.ports import JobQueue, NewJob

__all__ = ["ScheduleMemory", "SlotPlanner"]

_log = logging.getLogger("claimnotify.jobs")


@dataclass(slots=True)
class _Known:
    """A schedule, and when it has to be looked at next."""

    spec: JobSpec
    schedule: CronSchedule
    looked_at: datetime
    next_at: datetime


@dataclass(slots=True)
class ScheduleMemory:
    """What a process need not ask or say twice about schedules.

    Args:
        ahead: The schedules of which it was said that a slot lies ahead of the time.
        seen: The schedules and their expressions that are known to have been seen before.
    """

    ahead: set[str] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)


class SlotPlanner:
    """Plans the slots of the scheduled functions of one queue.

    A slot is written when it has come and not before, so that a changed schedule leaves nothing
    behind; an expression begins when it is first seen, so that it has not missed anything before. Which slots were decided is read from the database each time one has come. One that lies
    ahead of the time by more than a minute was decided by a clock that was wrong, and those before
    it are not decided with it.

    Args:
        queue: The queue.
        jobs: Where slots are written.
        specs: All functions that are declared; read anew each time.
        tenant: Whose jobs the slots are.
        memory: Shared by planners that follow one another.
    """

    def __init__(
        self,
        queue: str,
        *,
        jobs: JobQueue,
        specs: Iterable[JobSpec],
        tenant: str,
        memory: ScheduleMemory | None = None,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._specs = specs
        self._tenant = tenant
        self._known: dict[str, _Known] = {}
        self._memory = ScheduleMemory() if memory is None else memory

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
            if (
                known is not None
                and known.spec is spec
                and known.looked_at <= now < known.next_at  # a clock that was set back looks again
            ):
                continue
            written += self._decide(spec, schedule, now)
            self._known[spec.name] = _Known(spec, schedule, now, schedule.next(now))
        return written

    def _decide(self, spec: JobSpec, schedule: CronSchedule, now: datetime) -> int:
        template = NewJob(
            tenant=self._tenant,
            name=spec.name,
            queue=spec.queue,
            priority=spec.level,
            arguments_json="{}",
            cron=" ".join((spec.cron or "").split()),
        )
        last = self._jobs.last_slot(self._tenant, spec.name)
        if last is None or (spec.name, template.cron) not in self._memory.seen:
            new = self._jobs.add_slots(template, (), skip=now, reason=JobReason.FIRST_SEEN)
            self._memory.seen.add((spec.name, template.cron))
            if new or last is None:
                return 0
        if last - now > ON_TIME:
            last = self._last_before(spec, now, ahead=last)
            if last is None:
                # It was first seen ahead of the time; what came before now is decided with this.
                newest = next(schedule.back(now), None)
                self._jobs.add_slots(template, (), skip=newest, reason=JobReason.MISSED)
                return 0
        else:
            self._memory.ahead.discard(spec.name)
        plan = plan_slots(
            schedule, after=last, now=now, catch_up=spec.catch_up, limit=spec.catch_up_limit
        )
        if plan.skip is not None:
            _log.warning("schedule %s: slots up to %s were missed", spec.name, plan.skip)
        self._jobs.add_slots(template, plan.run, skip=plan.skip, reason=JobReason.MISSED)
        return len(plan.run)

    def _last_before(self, spec: JobSpec, now: datetime, *, ahead: datetime) -> datetime | None:
        """Return the newest slot decided up to now; one ahead of it is of a clock that was wrong."""
        if spec.name not in self._memory.ahead:
            self._memory.ahead.add(spec.name)
            _log.warning(
                "schedule %s: its slot of %s was decided by a clock that was ahead; it is passed "
                "over, and slots up to then are run when they come",
                spec.name,
                ahead,
            )
        return self._jobs.last_slot(self._tenant, spec.name, until=now)
