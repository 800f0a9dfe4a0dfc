"""Reads the audit of the in-memory store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claimnotify.model.notifications import Notification
from claimnotify.testing.memory_store.kept import Kept, KeptNotification, Tables

__all__ = ["MemoryJournal", "notification_of"]


class MemoryJournal:
    """The audit of one store. See `claimnotify.ports.Journal`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def history(
        self,
        tenant: str,
        *,
        notification_id: str | None = None,
        recipient: str | None = None,
        subject: str | None = None,
        event_type: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Notification]:
        """Return notifications, newest first, with deliveries and attempts."""

        def wanted(note: Notification) -> bool:
            return (
                note.tenant == tenant
                and notification_id in (None, note.id)
                and recipient in (None, note.owner)
                and subject in (None, note.subject)
                and event_type in (None, note.event_type)
                and (before is None or note.id < before)
            )

        with self._kept.lock:
            tables = self._kept.tables
            rows = [row for row in tables.notifications.values() if wanted(row.notification)]
            rows.sort(key=lambda row: row.notification.id, reverse=True)
            return [notification_of(tables, row, attempts_too=True) for row in rows[:limit]]


def notification_of(tables: Tables, row: KeptNotification, *, attempts_too: bool) -> Notification:
    """Return the notification of `row` with its deliveries, and their attempts if wanted."""
    mine = [
        each
        for each in tables.deliveries.values()
        if each.delivery.notification_id == row.notification.id
    ]
    deliveries = tuple(
        replace(
            each.delivery,
            history=tables.attempts.get(each.delivery.id, ()) if attempts_too else (),
        )
        for each in sorted(mine, key=lambda each: each.position)
    )
    return replace(row.notification, deliveries=deliveries)
