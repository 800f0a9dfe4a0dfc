"""What is asked of the place where rings are kept: its storages, and the backend that makes them."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["READ_SECONDS", "Backend", "CountedRings", "RingStorage"]

READ_SECONDS = 1  # an integer, as Redis before 6 knows no other
"""How long a listener waits for a ring, or for the store."""


class RingStorage(Protocol):
    """What we use of a Huey storage. Making one does no I/O; any other call may raise anything."""

    blocking: bool
    """Whether `dequeue` waits for up to a second; otherwise it must be polled."""

    def prepare(self) -> None:
        """Create what the store needs before its first use."""

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Add a message."""

    def dequeue(self) -> Any:
        """Take the oldest message, or None."""

    def ring_once(self, data: bytes) -> None:
        """Add a message unless one waits already."""

    def close(self) -> Any:
        """Let go of connections. The storage opens new ones if it is used again."""


class CountedRings:
    """Puts a ring where none waits, in a storage that has no single step for that."""

    def ring_once(self, data: bytes) -> None:
        """Add a message unless one waits already; of two at the same moment both may be added."""
        if self.queue_size() == 0:
            self.enqueue(data)

    def queue_size(self) -> int:
        """Return how many messages wait."""
        raise NotImplementedError

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Add a message."""
        raise NotImplementedError


class Backend(Protocol):
    """Makes the storages of one place."""

    def ringing(self, name: str) -> RingStorage:
        """Return a storage to ring with: what it does ends, or fails, soon."""

    def listening(self, name: str) -> RingStorage:
        """Return a storage to listen with, on connections of its own."""
