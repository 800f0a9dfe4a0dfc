"""Reads the audit of the in-memory store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.testing.memory_store.kept import Kept, KeptNotification, Tables

__all__ = ["MemoryJournal", "notification_of"]

_GOOD = (AttemptOutcome.SENT, AttemptOutcome.DELIVERED)


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

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        """Return a delivery with its attempts, or None if this tenant has none of that id."""
        with self._kept.lock:
            tables = self._kept.tables
            row = tables.deliveries.get(delivery_id)
            if row is None or row.delivery.tenant != tenant:
                return None
            return replace(row.delivery, history=_history(tables, delivery_id))

    def attempts(
        self,
        tenant: str,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None = None,
        succeeded: bool | None = None,
        event_type: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[AttemptRecord]:
        """Return attempts to reach an endpoint: of its newest delivery first, each one's newest first."""
        with self._kept.lock:
            records = _records(self._kept.tables, tenant, endpoint_id)
        records.sort(
            key=lambda each: (each.delivery_id, each.attempt.number, each.id), reverse=True
        )
        if before is not None:
            places = [place for place, each in enumerate(records) if each.id == before]
            records = records[places[0] + 1 :] if places else []
        found = [
            each
            for each in records
            if status in (None, each.status)
            and succeeded in (None, each.attempt.outcome in _GOOD)
            and event_type in (None, each.event_type)
        ]
        return found[:limit]


def _records(tables: Tables, tenant: str, endpoint_id: str) -> list[AttemptRecord]:
    return [
        AttemptRecord(
            id=kept.id,
            delivery_id=row.id,
            notification_id=row.delivery.notification_id,
            event_type=row.delivery.event_type,
            status=row.delivery.status,
            reason=row.delivery.reason,
            replay_of=row.delivery.replay_of,
            attempt=kept.attempt,
        )
        for row in tables.deliveries.values()
        if (row.delivery.tenant, row.delivery.endpoint_id) == (tenant, endpoint_id)
        for kept in tables.attempts.get(row.id, ())
    ]


def _history(tables: Tables, delivery_id: str) -> tuple[Attempt, ...]:
    return tuple(each.attempt for each in tables.attempts.get(delivery_id, ()))


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
            history=_history(tables, each.id) if attempts_too else (),
        )
        for each in sorted(mine, key=lambda each: each.position)
    )
    return replace(row.notification, deliveries=deliveries)
