"""Loads what sending leased deliveries needs: their notifications and files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from claimnotify.model.messages import Attachment
from claimnotify.model.notifications import Notification
from claimnotify.ports import Work
from claimnotify.store.rows import attachment_of, delivery_of, notification_of
from claimnotify.store.tables import attachments, notifications

__all__ = ["works_of"]


def works_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Work]:
    """Return the rows with their notifications and attachments, each loaded in one query."""
    if not rows:
        return []
    ids = {row.notification_id for row in rows}
    query = select(notifications).where(notifications.c.id.in_(ids))
    notes: dict[str, Notification] = {}
    with_files: list[str] = []
    for row in connection.execute(query):
        notes[row.id] = notification_of(row)
        if row.attachment_count:
            with_files.append(row.id)
    files: dict[str, list[Attachment]] = defaultdict(list)
    if with_files:
        file_query = (
            select(attachments)
            .where(attachments.c.notification_id.in_(with_files))
            .order_by(attachments.c.notification_id, attachments.c.position)
        )
        for row in connection.execute(file_query):
            files[row.notification_id].append(attachment_of(row))
    return [
        Work(
            delivery=delivery_of(
                row,
                event_type=notes[row.notification_id].event_type,
                recipient=notes[row.notification_id].recipient,
                attachments=tuple(files.get(row.notification_id, ())),
            ),
            notification=notes[row.notification_id],
        )
        for row in rows
    ]
