"""Puts the parts together that run jobs: leases kept alive, a loop of their own, and the runners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from weakref import WeakSet

from claimnotify.delivery.company import Company
from claimnotify.delivery.jobs import JobRunner
from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.slots import ScheduleMemory, SlotPlanner
from claimnotify.model.job_specs import registry
from claimnotify.ports import Store
from claimnotify.settings import Settings

__all__ = ["JobParts"]


@dataclass(kw_only=True)
class JobParts:
    """What runs the jobs of one application, whatever their tenant.

    Async jobs have a loop of their own: one that blocks it holds up no delivery.
    """

    settings: Settings
    store: Store
    random: Random
    keeper: LeaseKeeper = field(init=False)
    company: Company = field(default_factory=Company)
    loop: LoopThread = field(default_factory=LoopThread)
    runners: WeakSet[JobRunner] = field(default_factory=WeakSet)
    notifier_of: Callable[[str], Any] | None = None
    planners: dict[str, SlotPlanner] = field(default_factory=dict)
    schedules: ScheduleMemory = field(default_factory=ScheduleMemory)

    def __post_init__(self) -> None:
        duration = timedelta(seconds=self.settings.lease_seconds)
        self.keeper = LeaseKeeper(self.store.jobs, duration=duration)

    def runner(
        self,
        queue: str,
        *,
        on_more: Callable[[str], None] = lambda _queue: None,
        gives_back: bool = False,
    ) -> JobRunner:
        """Return a runner of the jobs of `queue`, and of its schedules, for the settings' tenant.

        Args:
            queue: The queue.
            on_more: Called with the queue when there was more than could be leased.
            gives_back: Whether a stop means that this process is about to end, so that what does
                not end in time is given back.

        Raises:
            ConfigurationError: The annotations of a job's function cannot be used.
        """
        for spec in registry:
            spec.arguments.check()
        jobs, clock = self.store.jobs, self.store.clock
        runner = JobRunner(
            queue,
            jobs=jobs,
            registry=registry,
            planner=self._planner(queue),
            keeper=self.keeper,
            company=self.company,
            loop=self.loop,
            clock=clock,
            now=clock.estimate,
            notifier_of=self._notifier_of,
            concurrency=self.settings.job_concurrency,
            grace=self.settings.attempt_deadline if gives_back else None,
            random=self.random,
            on_more=on_more,
        )
        self.runners.add(runner)
        return runner

    def run(self, queue: str) -> Mapping[str, int]:
        """Run the jobs of `queue` that are due; return how many attempts left one in which state."""
        runner = self.runner(queue)
        try:
            return runner.until_idle()
        finally:
            runner.close()

    def due_in(self, queue: str) -> timedelta | None:
        """Write the slots that have come; return how long until a job is due, or None for never.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        now = self.store.clock.now()
        planner = self.planners.setdefault(queue, self._planner(queue))
        if planner.plan(now):
            return timedelta(0)
        moments = [self.store.jobs.next_due(queue), planner.next_at]
        return min((each - now for each in moments if each is not None), default=None)

    def close(self) -> None:
        """Let runners end what they have in hand, or give it back."""
        runners = list(self.runners)
        for runner in runners:
            runner.stop()
        for runner in runners:
            runner.rest(self.keeper.duration.total_seconds())
            runner.close()
        self.keeper.close()
        self.loop.close()

    def _planner(self, queue: str) -> SlotPlanner:
        return SlotPlanner(
            queue,
            jobs=self.store.jobs,
            specs=registry,
            tenant=self.settings.tenant,
            memory=self.schedules,
        )

    def _notifier_of(self, tenant: str) -> Any:
        return None if self.notifier_of is None else self.notifier_of(tenant)
