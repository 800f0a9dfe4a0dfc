"""Calls deliveries back: those that wait at once, those that are being sent before they are sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.store.ordering import let_next_go
from claimnotify.store.tables import deliveries

__all__ = ["cancelled", "end_called_back"]


def cancelled(now: datetime) -> dict[str, Any]:
    """Return what a delivery that was called back is set to."""
    return {
        "status": DeliveryStatus.CANCELLED,
        "reason": Reason.CANCELLED,
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
        update = deliveries.update().where(deliveries.c.id.in_(ids))
        connection.execute(update.values(cancelled(now)))
        let_next_go(connection, {row.order_key for row in back if row.order_key is not None}, now)
    return ids
