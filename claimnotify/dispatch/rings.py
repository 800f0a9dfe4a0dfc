"""One queue of rings: a Huey instance whose only task is to ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huey import Huey

from claimnotify.dispatch.serializer import TASK_NAME, SignedJsonSerializer
from claimnotify.dispatch.storages import RingStorage
from claimnotify.errors import InvalidInput

__all__ = ["RingQueue"]


class RingQueue(Huey):  # type: ignore[misc]  # huey ships no type information
    """Rings and hears one queue. Making one does no I/O; each method may raise what the store does.

    Args:
        queue: The queue's name as the application knows it.
        namespace: Keeps apart deployments that share a store.
        storage: Where the rings are kept.
        serializer: Signs and verifies them.
        on_ring: Called with the queue's name for each ring that is heard.
    """

    def __init__(
        self,
        queue: str,
        *,
        namespace: str,
        storage: RingStorage,
        serializer: SignedJsonSerializer,
        on_ring: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(
            f"{namespace}_{queue}",
            results=False,
            utc=True,
            serializer=serializer,
            storage_class=lambda _name: storage,
        )
        self.queue = queue
        self._on_ring = on_ring
        self._prepared = False

        def ring(_queue: str) -> None:
            """Stands for the task in Huey's registry; `execute` does the work."""

        ring.__module__, _, ring.__name__ = TASK_NAME.rpartition(".")
        self._ring = self.task()(ring)

    def prepare(self) -> None:
        """Create what the store needs, once."""
        if not self._prepared:
            self.storage.prepare()
            self._prepared = True

    def ring(self) -> None:
        """Leave a ring, unless one waits already.

        What is asked is the queue's length, never a flag: a worker that is killed leaves a flag
        behind for ever.
        """
        self.prepare()
        self.storage.ring_once(self.serialize_task(self._ring.s(self.queue)))

    def take(self) -> Any:
        """Take a message off the queue, unread; None if there is none."""
        self.prepare()
        return self.storage.dequeue()

    def put_back(self, data: Any) -> None:
        """Leave for another worker what was taken and not read."""
        self.storage.enqueue(bytes(data))

    def hear(self, data: Any) -> None:
        """Verify a message and call `on_ring`.

        Raises:
            InvalidInput: It is no ring of ours for this queue.
        """
        self.execute(self.deserialize_task(data))

    def execute(self, task: Any, timestamp: Any = None) -> None:
        """Call `on_ring`.

        Replaces what Huey does around a task: look-ups of revocations and locks in the store (four
        statements, and reading what anybody wrote there), retries and two lines in the log.
        """
        if tuple(task.args) != (self.queue,):
            raise InvalidInput("queue message", "is for another queue", "It is dropped.")
        if self._on_ring is not None:
            self._on_ring(self.queue)

    def let_go(self) -> None:
        """Close connections and forget that the store was prepared; the next use starts anew."""
        self._prepared = False
        self.storage.close()
