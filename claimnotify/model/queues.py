"""The queues that work waits in, by name."""

from __future__ import annotations

__all__ = ["DELIVERIES", "JOB_QUEUES", "QUEUES"]

DELIVERIES = "notifications"
"""Deliveries."""

JOB_QUEUES = ("processing", "scheduled")
"""Jobs: those that are enqueued and those by the clock, unless they declare otherwise."""

QUEUES = (DELIVERIES, *JOB_QUEUES)
"""Every queue a worker works on unless told otherwise."""
