"""The queues that work waits in, by name."""

from __future__ import annotations

from claimnotify.errors import InvalidInput

__all__ = ["DELIVERIES", "JOB_QUEUES", "QUEUES", "check_queue"]

DELIVERIES = "notifications"
"""Deliveries."""

JOB_QUEUES = ("processing", "scheduled")
"""Jobs: those that are enqueued and those by the clock, unless they declare otherwise."""

QUEUES = (DELIVERIES, *JOB_QUEUES)
"""Every queue a worker works on unless told otherwise."""


def check_queue(queue: object) -> None:
    """Check the name of a queue.

    Raises:
        InvalidInput: There is no such queue.
    """
    if queue not in QUEUES:
        raise InvalidInput(
            "queue", f"there is no queue {queue!r:.80}", f"Choose from {', '.join(QUEUES)}."
        )
