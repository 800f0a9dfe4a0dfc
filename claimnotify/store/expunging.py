"""Removes the payload of a notification wherever it was kept, and keeps what follows from coming back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, select

from claimnotify.errors import NotFound
from claimnotify.model.states import Reason
from claimnotify.store.cancelling import call_back
from claimnotify.store.holding import hold
from claimnotify.store.tables import attachments, attempts, deliveries, inbox_items, notifications

__all__ = ["expunge", "forget_attempts"]


def expunge(
    connection: Connection, tenant: str, notification_id: str, now: datetime
) -> Collection[str]:
    """Remove the payload, and all that was made of it; return the queues in which others are due now.

    What stays: who was told of what type of event when, at which addresses, what became of it, and
    the fingerprint, so that the idempotency key still finds it.

    Raises:
        NotFound: The tenant has no such notification.
    """
    notes = notifications.c
    mine = (notes.tenant == tenant, notes.id == notification_id)
    hold(connection, [notification_id])
    changed = connection.execute(
        notifications.update()
        .where(*mine)
        .values(
            payload="{}",
            webhook_payload=None,
            attachment_count=0,
            expunged_at=func.coalesce(notes.expunged_at, now),
        )
    )
    if not changed.rowcount:
        raise NotFound("notification_id", "there is no such notification", "Check the id.")
    connection.execute(attachments.delete().where(attachments.c.notification_id == notification_id))
    # Locks the deliveries: an outcome that is being written is there after it, the next one knows.
    called_back = call_back(connection, tenant, notification_id, now, reason=Reason.EXPUNGED)
    # Its ids come from that locking read: on MariaDB a plain one may not see the newest of them.
    ids = called_back.ids
    if ids:
        connection.execute(deliveries.update().where(deliveries.c.id.in_(ids)).values(content=None))
        connection.execute(
            attempts.update().where(attempts.c.delivery_id.in_(ids)).values(detail="", headers=None)
        )
        connection.execute(inbox_items.delete().where(inbox_items.c.delivery_id.in_(ids)))
    return called_back.queues


def forget_attempts(connection: Connection, delivery_ids: Collection[str]) -> None:
    """Keep nothing that was said in attempts of those of the deliveries whose payload was removed.

    Call it after attempts were written for deliveries that may have been expunged meanwhile.
    """
    gone = (
        select(deliveries.c.id)
        .join(notifications, notifications.c.id == deliveries.c.notification_id)
        .where(deliveries.c.id.in_(delivery_ids), notifications.c.expunged_at.is_not(None))
    )
    ids = connection.execute(gone).scalars().all()
    if ids:
        connection.execute(
            attempts.update().where(attempts.c.delivery_id.in_(ids)).values(detail="", headers=None)
        )
