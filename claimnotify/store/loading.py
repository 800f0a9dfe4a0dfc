"""Loads what sending leased deliveries needs: their notifications and files."""

from __future__ import annotations

from collections import defaultdict, namedtuple
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from claimnotify.model.messages import Attachment
from claimnotify.ports import Work
from claimnotify.store.rows import attachment_of, delivery_of, notification_of
from claimnotify.store.tables import attachments, deliveries, notifications

__all__ = ["works_of"]

_Note = namedtuple("_Note", [column.name for column in notifications.c])  # type: ignore[misc]


def works_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[Work]:
    """Return the rows with their notifications and attachments, each loaded in one query.

    Rows that were read together with their notifications spare the first one.
    """
    if not rows:
        return []
    found = _notes_of(connection, rows)
    notes = {row.id: notification_of(row) for row in found}
    files = _files_of(connection, [row.id for row in found if row.attachment_count])
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


def _notes_of(connection: Connection, rows: Sequence[Row[Any]]) -> Collection[Any]:
    """Return the rows of the notifications."""
    if len(rows[0]) > len(deliveries.c):
        read = {row.notification_id: _Note._make(row[len(deliveries.c) :]) for row in rows}
        return read.values()
    ids = {row.notification_id for row in rows}
    return connection.execute(select(notifications).where(notifications.c.id.in_(ids))).all()


def _files_of(
    connection: Connection, notification_ids: Sequence[str]
) -> Mapping[str, Sequence[Attachment]]:
    files: dict[str, list[Attachment]] = defaultdict(list)
    if notification_ids:
        query = (
            select(attachments)
            .where(attachments.c.notification_id.in_(notification_ids))
            .order_by(attachments.c.notification_id, attachments.c.position)
        )
        for row in connection.execute(query):
            files[row.notification_id].append(attachment_of(row))
    return files
