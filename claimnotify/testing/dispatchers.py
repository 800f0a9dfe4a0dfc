"""A doorbell that only counts, for tests of what rings and of what hears."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection

__all__ = ["RecordingDispatcher"]


class RecordingDispatcher:
    """Counts rings by queue; see `claimnotify.ports.Dispatcher`.

    Its consumers hear a ring in the thread that rings, before `ring` returns.
    """

    def __init__(self) -> None:
        self.rings: Counter[str] = Counter()
        self.closed = False
        self._consumers: list[_RecordingConsumer] = []
        self._lock = threading.Lock()

    def ring(self, queue: str) -> None:
        """Count a ring, and let the started consumers of `queue` hear it."""
        with self._lock:
            self.rings[queue] += 1
            hearing = [each for each in self._consumers if each.started and queue in each.queues]
        for consumer in hearing:
            consumer.on_ring(queue)

    def consumer(
        self, queues: Collection[str], on_ring: Callable[[str], None]
    ) -> _RecordingConsumer:
        """Return a consumer that hears what this dispatcher rings once it is started."""
        consumer = _RecordingConsumer(frozenset(queues), on_ring)
        with self._lock:
            self._consumers.append(consumer)
        return consumer

    def close(self) -> None:
        """Note that it was called."""
        self.closed = True


class _RecordingConsumer:
    def __init__(self, queues: frozenset[str], on_ring: Callable[[str], None]) -> None:
        self.queues = queues
        self.on_ring = on_ring
        self.started = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.started = False
