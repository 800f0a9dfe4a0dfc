"""Makes deliveries due at once that wait for an endpoint which was busy and answers promptly now."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from claimnotify.model.events import PRIORITIES
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import Reason
from claimnotify.policy.windows import LONGEST_DEFERRAL
from claimnotify.store.lanes import lane_name
from claimnotify.store.tables import deliveries

__all__ = ["recall"]

_LONGEST = timedelta(seconds=LONGEST_DEFERRAL)


def recall(
    connection: Connection, queue: str, delivery: Delivery, *, limit: int, now: datetime
) -> int:
    """Make up to `limit` due that wait as the endpoint of `delivery` was busy; return how many."""
    columns = deliveries.c
    lanes = [
        lane_name(queue, priority, delivery.channel, delivery.tenant)
        for priority in PRIORITIES.values()
    ]
    query = (
        select(columns.id)
        .where(
            columns.lane.in_(lanes),
            # No further: it is what the index of lanes and times finds.
            columns.due_at > now,
            columns.due_at <= now + _LONGEST,
            columns.reason == Reason.ENDPOINT_BUSY,
            columns.endpoint_id == delivery.endpoint_id,
        )
        .order_by(columns.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row.id for row in connection.execute(query)]
    if ids:
        connection.execute(deliveries.update().where(columns.id.in_(ids)).values(due_at=now))
    return len(ids)
