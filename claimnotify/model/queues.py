"""The queues that work waits in, by name."""

from __future__ import annotations

__all__ = ["DELIVERIES", "QUEUES"]

DELIVERIES = "notifications"
"""Deliveries."""

QUEUES = (DELIVERIES, "processing", "scheduled")
"""Every queue a worker works on unless told otherwise."""
