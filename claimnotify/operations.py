"""What the worker and the command line use of a notifier, and how an application ends with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from claimnotify.enqueuing import JobCalls
from claimnotify.model.job_specs import registry
from claimnotify.model.queues import DELIVERIES

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.delivery.queue_worker import QueueWorkers
    from claimnotify.ports import Dispatcher
    from claimnotify.settings import Settings

__all__ = ["Operations"]


class Operations(JobCalls):
    """The part of `Notifier` that runs it.

    Args:
        parts: What every notifier of one application shares.
        tenant: The tenant it is bound to.
    """

    if TYPE_CHECKING:

        def for_tenant(self, tenant: str) -> Any:
            """Return a notifier bound to another tenant."""

    def __init__(self, parts: Parts, *, tenant: str) -> None:
        self._parts = parts
        self._tenant = tenant
        if parts.jobs.notifier_of is None:
            parts.jobs.notifier_of = self.for_tenant

    def upgrade(self) -> None:
        """Create or migrate the database's tables. Any number of processes may call it at once."""
        self._parts.store.upgrade()

    def status(self) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries and jobs there are by (queue, status, reason)."""
        self._parts.store.check()
        counts = Counter(self._parts.store.work.counts(self._tenant))
        counts.update(self._parts.store.jobs.counts(self._tenant))
        return dict(counts)

    def close(self) -> None:
        """Close connections; the notifier and those of other tenants from it cannot be used after."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def settings(self) -> Settings:
        """The settings it was built from."""
        return self._parts.settings

    @property
    def dispatcher(self) -> Dispatcher:
        """The doorbell."""
        return self._parts.dispatcher

    def describe(self) -> Mapping[str, str]:
        """Return where database and queue are, without passwords."""
        dispatcher = self._parts.dispatcher
        told = getattr(dispatcher, "location", None) or type(dispatcher).__name__
        return {"database": self._parts.store.describe(), "queue": str(told)}

    def queue_worker(self, queue: str) -> QueueWorkers:
        """Return a worker of the deliveries, jobs and schedules of `queue`, not yet started.

        Raises:
            ConfigurationError: The annotations of a job's function cannot be used.
        """
        from claimnotify.delivery.queue_worker import QueueWorker, QueueWorkers

        self._parts.store.check()
        for spec in registry:
            spec.arguments.check()
        ring = self._parts.dispatcher.ring
        workers = [QueueWorker(queue, drain=self._parts.jobs.runner(queue, on_more=ring))]
        if queue == DELIVERIES:
            workers.append(QueueWorker(queue, drain=self._parts.drain(queue, on_more=ring)))
        return QueueWorkers(workers)
