"""The doorbell over Celery: rings are small tasks in the broker that an application has anyway."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from celery import Celery

from claimnotify.dispatch.celery_rings import CeleryBackend, CeleryBroker
from claimnotify.dispatch.dispatcher import QueueDispatcher
from claimnotify.errors import InvalidInput
from claimnotify.model.queues import QUEUES

__all__ = ["CeleryDispatcher"]


class CeleryDispatcher(QueueDispatcher):
    """Rings through a Celery application's broker; see `QueueDispatcher`.

    `claimnotify.worker.celery.install` makes the application's workers hear. The broker's queues
    are named `<namespace>_<queue>`, such as `claimnotify_notifications`. Where `task_always_eager`
    is set nothing is published; tests and scripts that set it call `drain()`.

    Args:
        app: The application. Its configuration is not read before the first ring.
        signing_key: The secret that applications and workers share. None: the first secret key of
            the notifier that is given this dispatcher.
        queues: The names that may be rung.
        ring_timeout: Seconds that the ringing thread waits for the broker's answer.
        namespace: Keeps apart deployments that share a broker: letters, digits and underscores.

    Raises:
        ConfigurationError: If a name is malformed.
    """

    outage_of_ringing: ClassVar[str] = (
        "Nothing is lost: Celery's workers deliver what is due once they have their broker again."
    )

    def __init__(
        self,
        app: Celery,
        *,
        signing_key: bytes | None = None,
        queues: Collection[str] = QUEUES,
        ring_timeout: float = 1.0,
        namespace: str = "claimnotify",
    ) -> None:
        super().__init__(
            place=CeleryBroker(app),
            backend=CeleryBackend(app, ring_timeout=ring_timeout),
            signing_key=signing_key,
            queues=queues,
            namespace=namespace,
        )

    def broker_queue(self, queue: str) -> str:
        """Return what `queue` is called in the broker."""
        return f"{self._namespace}_{queue}"

    def queue_of(self, ring: str) -> str:
        """Return the name of the queue that was rung: `ring` is the task's argument.

        Raises:
            InvalidInput: If it is not signed with our key, or rings no queue of ours.
        """
        (queue,) = self.serializer().deserialize(ring.encode("ascii", "replace")).args
        if queue not in self._queues:
            raise InvalidInput("queue message", "is for another queue", "It is dropped.")
        return str(queue)
