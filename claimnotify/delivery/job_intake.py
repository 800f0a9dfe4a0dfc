"""Finds jobs for a runner: slots that have come, what is due, and what another worker left behind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from claimnotify.delivery.company import Company
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.slots import SlotPlanner
from claimnotify.errors import StoreUnavailable
from claimnotify.model.job_specs import JobRegistry
from claimnotify.ports import Clock, JobLease, JobOutcome, JobQueue

__all__ = ["JobIntake"]

_LONGEST_SLEEP = 1.0
_SHORTEST_SLEEP = 0.01
_OTHERS_FIRST = 0.25
"""Seconds until something is looked for again that is due and may not be leased yet."""
_UNKNOWN_FOR = 30.0
"""Seconds for which a name without a function is not leased again, so that others can have it."""


class JobIntake:
    """Leases for one runner, and knows what that has in hand.

    Args:
        queue: The queue.
        jobs: Where the leases are.
        registry: The functions by name.
        planner: Writes the slots of schedules.
        keeper: Keeps leases alive.
        company: The runners of this process.
        clock: The one clock.
        concurrency: How many jobs may be in hand.
        on_more: Called with the queue when there was more than could be leased.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        queue: str,
        *,
        jobs: JobQueue,
        registry: JobRegistry,
        planner: SlotPlanner,
        keeper: LeaseKeeper,
        company: Company,
        clock: Clock,
        concurrency: int,
        on_more: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._registry = registry
        self._planner = planner
        self._keeper = keeper
        self._company = company
        self._clock = clock
        self._concurrency = concurrency
        self._on_more = on_more
        self._monotonic = monotonic
        self._held: dict[tuple[str, str], str] = {}
        self._kinds: Counter[str] = Counter()
        self._overran: set[tuple[str, str]] = set()
        self._unknown: dict[str, float] = {}
        self._look_at_lapsed = 0.0

    @property
    def in_hand(self) -> int:
        """How many jobs are leased and not recorded."""
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether another job may be leased."""
        return len(self._held) < self._concurrency

    def look_everywhere(self) -> None:
        """Let the next look be for lapsed jobs as well."""
        self._look_at_lapsed = 0.0

    def look(self) -> JobLease | None:
        """Write slots that have come, and lease what there is; None if there is nothing.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        try:
            self._planner.plan(self._clock.now())
            return (self._lapsed() or self._due()) if self.has_room else None
        except StoreUnavailable:
            if not self._held:
                raise
            return None

    def pause(self) -> float:
        """Return for how long there is nothing to lease, in seconds.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        try:
            now = self._clock.now()
            if not self.has_room:  # but for slots: what has come is noted at its time
                return self._until(self._planner.next_at, now)
            due = self._jobs.next_due(self._queue, room=self._room())
        except StoreUnavailable:
            if not self._held:
                raise
            return _LONGEST_SLEEP
        moments = [moment for moment in (due, self._planner.next_at) if moment is not None]
        return self._until(min(moments, default=None), now)

    @staticmethod
    def _until(moment: datetime | None, now: datetime) -> float:
        wait = _LONGEST_SLEEP if moment is None else (moment - now) / timedelta(seconds=1)
        return min(max(wait, _SHORTEST_SLEEP) if wait > 0 else _OTHERS_FIRST, _LONGEST_SLEEP)

    def ended(self, outcome: JobOutcome) -> None:
        """Note that what became of a job is recorded."""
        self._drop(outcome.job_id, outcome.token)

    def overran(self, job_id: str, token: str) -> None:
        """Note that a job may never end: it keeps its place, but nothing waits to be without it."""
        if (job_id, token) in self._held and (job_id, token) not in self._overran:
            self._overran.add((job_id, token))
            self._company.leave()

    def let_go(self) -> None:
        """Renew nothing any longer: whatever is still in hand is left to others."""
        for job_id, token in tuple(self._held):
            self._drop(job_id, token)

    def _drop(self, job_id: str, token: str) -> None:
        name = self._held.pop((job_id, token), None)
        if name is None:
            return
        self._kinds[name] -= 1
        self._keeper.drop(token, job_id)
        if (job_id, token) in self._overran:
            self._overran.discard((job_id, token))
        else:
            self._company.leave()

    def _lapsed(self) -> JobLease | None:
        """Lease jobs whose lease ran out."""
        if self._monotonic() < self._look_at_lapsed:
            return None
        alone = self._company.enter_alone()
        if not alone and not self._company.enter():
            return None
        lease: JobLease | None = None
        began = self._keeper.began()
        try:
            lease = self._jobs.lease_lapsed(
                self._queue,
                limit=self._concurrency - len(self._held),
                duration=self._keeper.duration,
                alone=alone,
            )
        finally:
            self._company.settle(
                0 if lease is None else len(lease.jobs), alone=lease is not None and lease.alone
            )
        if lease is None or not lease.alone_wait:
            self._company.go_on(self._queue)
        elif not lease.alone:
            self._company.hold(self._queue)
        if lease is None or not lease.jobs:
            self._look_at_lapsed = self._monotonic() + _LONGEST_SLEEP
            return None
        self._keep(lease, began)
        return lease

    def _due(self) -> JobLease | None:
        free = self._concurrency - len(self._held)
        if not self._company.enter():
            return None
        lease: JobLease | None = None
        began = self._keeper.began()
        try:
            lease = self._jobs.lease(
                self._queue, limit=free, duration=self._keeper.duration, room=self._room()
            )
        finally:
            self._company.settle(0 if lease is None else len(lease.jobs))
        if lease is None:
            return None
        if len(lease.jobs) == free:
            self._on_more(self._queue)
        self._keep(lease, began)
        return lease

    def _room(self) -> dict[str, int]:
        """Return how many more may be leased of each name that has a limit."""
        now = self._monotonic()
        room = {name: 0 for name, until in self._unknown.items() if now < until}
        for spec in self._registry:
            room[spec.name] = max(spec.concurrency - self._kinds[spec.name], 0)
        return room

    def _keep(self, lease: JobLease, began: float) -> None:
        self._keeper.hold(lease.token, (job.id for job in lease.jobs), began=began)
        for job in lease.jobs:
            self._held[job.id, lease.token] = job.name
            self._kinds[job.name] += 1
            if self._registry.get(job.name) is None:
                self._unknown[job.name] = self._monotonic() + _UNKNOWN_FOR
