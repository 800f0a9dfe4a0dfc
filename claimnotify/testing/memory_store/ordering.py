"""Keeps deliveries under one ordering key of the in-memory store in order, also when some are called back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import PARKED_FOR_AT_MOST
from claimnotify.ports import NewNotification
from claimnotify.testing.memory_store.kept import KeptDelivery, Tables

__all__ = [
    "WHOLE_ENDPOINT",
    "call_back",
    "is_next",
    "let_next_go",
    "next_of",
    "order_of",
    "park",
    "stream_of",
]

WHOLE_ENDPOINT = ""
"""In place of a key, for endpoints that get everything one after the other; no key is empty."""


def stream_of(delivery: Delivery, ordering_key: str) -> tuple[str, ...]:
    """Return what identifies the order a delivery is in: its key at its endpoint or address."""
    where = delivery.endpoint_id or delivery.address
    return delivery.tenant, delivery.channel, where, ordering_key


def order_of(new: NewNotification, delivery: Delivery) -> tuple[tuple[str, ...] | None, bool]:
    """Return the order a new delivery is in, or None, and whether one that fails holds it up."""
    key, ordered = new.notification.ordering_key, new.ordered or {}
    if delivery.due_at is None or (key is None and delivery.id not in ordered):
        return None, False
    strict = new.ordering_strict and key is not None
    if delivery.id in ordered:
        return stream_of(delivery, WHOLE_ENDPOINT), strict or ordered[delivery.id]
    return stream_of(delivery, str(key)), strict


def next_of(tables: Tables, stream: tuple[str, ...]) -> KeptDelivery | None:
    """Return the delivery that is the next in its order, or None if nothing is left in it."""
    rows = (row for row in tables.deliveries.values() if row.stream == stream)
    return min(rows, key=lambda row: row.place, default=None)


def is_next(tables: Tables, row: KeptDelivery) -> bool:
    """Return whether `row` is the next in its order, or in none."""
    first = None if row.stream is None else next_of(tables, row.stream)
    return first is None or first.id == row.id


def park(tables: Tables, row: KeptDelivery, now: datetime) -> None:
    """Park `row` until it is its turn."""
    latest = now + PARKED_FOR_AT_MOST
    delivery = replace(
        row.delivery,
        status=DeliveryStatus.PARKED,
        reason=Reason.OUT_OF_TURN,
        due_at=min(row.delivery.expires_at or latest, latest),
    )
    tables.deliveries[row.id] = replace(row, delivery=delivery, token=None, until=None)


def let_next_go(tables: Tables, left: Collection[tuple[str, ...]], now: datetime) -> set[str]:
    """Make the next of each order due, if it was parked for its turn; return in which queues."""
    queues: set[str] = set()
    for stream in left:
        row = next_of(tables, stream)
        if row is not None and row.delivery.reason == Reason.OUT_OF_TURN:
            tables.deliveries[row.delivery.id] = row.let_go(now)
            queues.add(row.queue)
    return queues


def call_back(
    tables: Tables, notification_id: str, now: datetime, reason: Reason = Reason.CANCELLED
) -> tuple[int, set[str]]:
    """Cancel what waits of a notification; what is being sent is not tried again.

    Returns how many waited, and the queues in which others are due now that came after them.
    """
    left, cancelled = set(), 0
    for key, row in list(tables.deliveries.items()):
        if row.delivery.notification_id != notification_id:
            continue
        if row.waits:
            cancelled += 1
            if row.stream is not None:
                left.add(row.stream)
            tables.deliveries[key] = row.called_back(now, reason)
        elif row.delivery.status == DeliveryStatus.SENDING:
            why = row.delivery.reason if reason == Reason.CANCELLED else reason
            delivery = replace(row.delivery, reason=why)
            tables.deliveries[key] = replace(row, delivery=delivery, cancel_requested=True)
    return cancelled, let_next_go(tables, left, now)
