"""What the worker and the command line use of a notifier, and how an application ends with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from claimnotify.enqueuing import JobCalls
from claimnotify.model.queues import DELIVERIES, check_queue

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.delivery.drain import Drain
    from claimnotify.delivery.jobs import JobRunner
    from claimnotify.delivery.queue_worker import QueueWorker
    from claimnotify.ports import Dispatcher
    from claimnotify.settings import Settings
    from claimnotify.webhooks.resealing import Resealed

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

    def reencrypt(self) -> Resealed:
        """Encrypt what is stored encrypted anew under the first of `secret_keys`, of all tenants.

        Keys of endpoints that have expired are deleted; for a value that no key decrypts any more, see
        `endpoints.rotate` with a `grace` of zero, and `endpoints.update` with other `headers`. When
        nothing is unreadable after it, the other keys may be taken out of the settings.
        """
        from claimnotify.webhooks.resealing import reseal_all

        self._parts.store.check()
        return reseal_all(self._parts.store.sealing, self._parts.cipher)

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

    def queue_drain(self, queue: str) -> Drain | JobRunner:
        """Return what works off `queue` once; it wakes other workers when it finds much to do.

        When it is told to stop, what is under way ends, however long that takes; jobs can be
        hastened.

        Raises:
            InvalidInput: There is no such queue.
        """
        check_queue(queue)
        self._parts.store.check()
        ring = self._parts.dispatcher.ring
        if queue == DELIVERIES:
            return self._parts.drain(queue, on_more=ring)
        return self._parts.jobs.runner(queue, on_more=ring)

    def due_in(self, queue: str) -> timedelta | None:
        """Return how long until something in `queue` is due, not above zero if it is; None: never.

        Raises:
            InvalidInput: There is no such queue.
        """
        check_queue(queue)
        store = self._parts.store
        store.check()
        if queue != DELIVERIES:
            return self._parts.jobs.due_in(queue)
        store.work.release()  # what an open breaker parked has no due time until it is let go
        due = store.work.next_due(queue)
        return None if due is None else due - store.clock.now()

    def queue_worker(self, queue: str) -> QueueWorker:
        """Return a worker of the deliveries, or jobs and schedules, of `queue`, not yet started.

        Raises:
            ConfigurationError: The annotations of a job's function cannot be used.
            InvalidInput: There is no such queue.
        """
        check_queue(queue)
        from claimnotify.delivery.queue_worker import QueueWorker

        if queue == DELIVERIES:
            return QueueWorker(queue, drain=self.queue_drain(queue))
        self._parts.store.check()
        ring = self._parts.dispatcher.ring
        runner = self._parts.jobs.runner(queue, on_more=ring, gives_back=True)
        return QueueWorker(queue, drain=runner)
