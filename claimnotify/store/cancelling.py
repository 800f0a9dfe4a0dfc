"""Calls deliveries back: those that wait at once, those that are being sent before they are sent again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.store.ordering import let_next_go
from claimnotify.store.tables import deliveries

__all__ = ["CalledBack", "call_back", "end_called_back"]

_LEASABLE = (DeliveryStatus.PENDING, DeliveryStatus.SCHEDULED, DeliveryStatus.PARKED)


@dataclass(frozen=True, slots=True)
class CalledBack:
    """What came of calling the deliveries of a notification back.

    Args:
        ids: Its deliveries, also those that are newer than the transaction's snapshot.
        waited: How many of them waited, and were cancelled.
        queues: The queues in which others are due now that came after them in an order.
    """

    ids: Collection[str]
    waited: int
    queues: Collection[str]


def call_back(
    connection: Connection,
    tenant: str,
    notification_id: str,
    now: datetime,
    *,
    reason: Reason = Reason.CANCELLED,
) -> CalledBack:
    """Cancel what waits; what is being sent is not tried again. Locks all deliveries of it."""
    columns = deliveries.c
    mine = (columns.tenant == tenant, columns.notification_id == notification_id)
    query = select(columns.id, columns.status, columns.order_key).where(*mine).with_for_update()
    rows = connection.execute(query).all()
    connection.execute(
        deliveries.update()
        .where(*mine, columns.status.in_(_LEASABLE))
        .values(_cancelled(now, reason))
    )
    under_way: dict[str, Any] = {"cancel_requested": True}
    if reason != Reason.CANCELLED:
        # Where whoever writes what became of it reads why; it is also what it will end with.
        under_way["reason"] = reason
    connection.execute(
        deliveries.update().where(*mine, columns.status == DeliveryStatus.SENDING).values(under_way)
    )
    waited = [row for row in rows if row.status in _LEASABLE]
    left = {row.order_key for row in waited if row.order_key is not None}
    return CalledBack([row.id for row in rows], len(waited), let_next_go(connection, left, now))


def _cancelled(now: datetime, reason: str) -> dict[str, Any]:
    """Return what a delivery that was called back is set to."""
    return {
        "status": DeliveryStatus.CANCELLED,
        "reason": reason,
        "lane": None,
        "due_at": None,
        "lease_token": None,
        "lease_until": None,
        "parked_for": None,
        "order_key": None,
        "finished_at": now,
    }


def end_called_back(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> set[str]:
    """End those of the rows just leased that were called back while another had them.

    A send that was under way may have been made; it is not made again. Returns their ids.
    """
    back = [row for row in rows if row.cancel_requested]
    ids = {row.id for row in back}
    if ids:
        expunged = {row.id for row in back if row.reason == Reason.EXPUNGED}
        for reason, mine in ((Reason.EXPUNGED, expunged), (Reason.CANCELLED, ids - expunged)):
            if mine:
                update = deliveries.update().where(deliveries.c.id.in_(mine))
                connection.execute(update.values(_cancelled(now, reason)))
        let_next_go(connection, {row.order_key for row in back if row.order_key is not None}, now)
    return ids
