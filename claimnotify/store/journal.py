"""Reads the audit: notifications with their deliveries and attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import DeliveryStatus
from claimnotify.store.attempt_log import attempts_to
from claimnotify.store.rows import attempt_of, delivery_of, notification_of, recipient_of
from claimnotify.store.tables import attempts, deliveries, notifications
from claimnotify.store.transactions import reading

__all__ = ["SqlJournal", "notifications_by_id"]


class SqlJournal:
    """The audit of one store. See `claimnotify.ports.Journal`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        """Return notifications, newest first, with deliveries and attempts.

        `recipient` is the id of a recipient or of the owner it was published to.
        """
        query = select(notifications).where(notifications.c.tenant == tenant)
        if notification_id is not None:
            query = query.where(notifications.c.id == notification_id)
        if recipient is not None:
            query = query.where(notifications.c.owner == recipient)
        if subject is not None:
            query = query.where(notifications.c.subject == subject)
        if event_type is not None:
            query = query.where(notifications.c.event_type == event_type)
        if before is not None:
            query = query.where(notifications.c.id < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(notifications.c.id.desc()).limit(limit)).all()
            return list(_with_deliveries(connection, rows, attempts_too=True).values())

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        """Return a delivery with its attempts, or None if this tenant has none of that id."""
        notes = notifications.c
        query = (
            select(deliveries, notes.event_type, notes.recipient)
            .join(notifications, notes.id == deliveries.c.notification_id)
            .where(deliveries.c.tenant == tenant, deliveries.c.id == delivery_id)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            return delivery_of(
                row,
                event_type=row.event_type,
                recipient=recipient_of(row),
                history=tuple(_attempts(connection, [delivery_id]).get(delivery_id, ())),
            )

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
        with reading(self._engine) as connection:
            return attempts_to(
                connection,
                tenant,
                endpoint_id,
                status=status,
                succeeded=succeeded,
                event_type=event_type,
                limit=limit,
                before=before,
            )


def notifications_by_id(connection: Connection, ids: Collection[str]) -> Mapping[str, Notification]:
    """Return notifications with their deliveries, without attempts, by id.

    They may be newer than the transaction: MariaDB shows those to locking reads only.
    """
    if not ids:
        return {}
    query = select(notifications).where(notifications.c.id.in_(set(ids)))
    locking = connection.dialect.name in ("mysql", "mariadb")
    rows = connection.execute(query.with_for_update(read=True) if locking else query).all()
    return _with_deliveries(connection, rows, attempts_too=False, locking=locking)


def _with_deliveries(
    connection: Connection,
    rows: Sequence[Row[Any]],
    *,
    attempts_too: bool,
    locking: bool = False,
) -> dict[str, Notification]:
    plain = {row.id: notification_of(row) for row in rows}
    if not plain:
        return {}
    query = (
        select(deliveries)
        .where(deliveries.c.notification_id.in_(plain))
        .order_by(deliveries.c.notification_id, deliveries.c.position)
    )
    if locking:
        query = query.with_for_update(read=True)
    delivery_rows = connection.execute(query).all()
    tries = _attempts(connection, [row.id for row in delivery_rows]) if attempts_too else {}
    of: dict[str, list[Delivery]] = {}
    for row in delivery_rows:
        note = plain[row.notification_id]
        delivery = delivery_of(
            row,
            event_type=note.event_type,
            recipient=note.recipient,
            history=tuple(tries.get(row.id, ())),
        )
        of.setdefault(note.id, []).append(delivery)
    return {row.id: notification_of(row, tuple(of.get(row.id, ()))) for row in rows}


def _attempts(connection: Connection, ids: Collection[str]) -> Mapping[str, Sequence[Attempt]]:
    query = (
        select(attempts)
        .where(attempts.c.delivery_id.in_(ids))
        .order_by(attempts.c.started_at, attempts.c.id)
    )
    found: dict[str, list[Attempt]] = {}
    for row in connection.execute(query):
        found.setdefault(row.delivery_id, []).append(attempt_of(row))
    return found
