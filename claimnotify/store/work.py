"""The work queue: leases deliveries with what sending needs, and records what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, or_, select

from claimnotify.model.messages import Attachment
from claimnotify.model.notifications import Notification
from claimnotify.model.states import TERMINAL, DeliveryStatus, Reason
from claimnotify.ports import Lease, Outcome, Work
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.engine import reading, writing
from claimnotify.store.leasing import Leases
from claimnotify.store.rows import attachment_of, delivery_of, notification_of
from claimnotify.store.tables import (
    attachments,
    attempts,
    deliveries,
    endpoints,
    inbox_items,
    notifications,
)

__all__ = ["SqlWorkQueue"]

_DONE = TERMINAL | {DeliveryStatus.SENT}


class SqlWorkQueue:
    """Leases and outcomes of deliveries. See `claimnotify.ports.WorkQueue`."""

    def __init__(self, engine: Engine, *, clock: DatabaseClock, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._clock = clock
        self._new_id = new_id
        self._leases = Leases(deliveries)

    def lease(self, queue: str, *, limit: int, duration: timedelta) -> Lease | None:
        """Lease due deliveries in one transaction and load what sending them needs."""
        if self._nothing_due(queue):
            return None
        token = self._new_id()
        with writing(self._engine) as connection:
            now = self._clock.now(connection)
            rows = self._leases.lease(
                connection, queue=queue, token=token, now=now, limit=limit, duration=duration
            )
            works = _works(connection, rows) if rows else []
        if not works:
            return None
        return Lease(token=token, works=works, more=len(works) == limit)

    def lease_suspect(self, queue: str, *, duration: timedelta) -> Lease | None:
        """Lease one delivery whose lease ran out, by itself."""
        if self._nothing_due(queue):
            return None
        token = self._new_id()
        with writing(self._engine) as connection:
            now = self._clock.now(connection)
            suspect = self._leases.lease_suspect(
                connection, queue=queue, token=token, now=now, duration=duration
            )
            if suspect is None:
                return None
            works = _works(connection, [suspect.row])
        return Lease(token=token, works=works, poisoned=suspect.poisoned, more=True)

    def has_suspect(self, queue: str) -> bool:
        """Return whether the queue has a delivery whose lease ran out."""
        with reading(self._engine) as connection:
            return self._leases.has_suspect(connection, queue, self._clock.now(connection))

    def _nothing_due(self, queue: str) -> bool:
        """Return whether SQLite has nothing to lease; asked first, for it spares the write lock."""
        if self._engine.dialect.name != "sqlite":
            return False
        with reading(self._engine) as connection:
            due = self._leases.next_due(connection, queue)
            return due is None or due > self._clock.now(connection)

    def renew(self, token: str, delivery_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""
        with writing(self._engine) as connection:
            self._leases.renew(
                connection,
                token=token,
                ids=delivery_ids,
                now=self._clock.now(connection),
                duration=duration,
            )

    def keep_content(self, token: str, contents: Mapping[str, str]) -> None:
        """Keep rendered content by delivery id, on rows that still carry `token`."""
        statement = (
            deliveries.update()
            .where(deliveries.c.id == bindparam("row_id"), deliveries.c.lease_token == token)
            .values(content=bindparam("new_content"))
        )
        rows = [{"row_id": key, "new_content": text} for key, text in contents.items()]
        with writing(self._engine) as connection:
            connection.execute(statement, rows)

    def record(self, outcomes: Sequence[Outcome]) -> Collection[str]:
        """Write outcomes of rows still held and attempts of all, in one transaction."""
        by_id = {outcome.delivery_id: outcome for outcome in outcomes}
        with writing(self._engine) as connection:
            now = self._clock.now(connection)
            held = self._leases.still_held(
                connection, {outcome.token for outcome in outcomes}, by_id
            )
            groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
            for outcome in outcomes:
                row = held.get(outcome.delivery_id)
                if row is not None and row.lease_token == outcome.token:
                    groups[_change(outcome, row)].append(outcome.delivery_id)
            for change, ids in groups.items():
                connection.execute(_update(change, ids, now))
            kept = {key for ids in groups.values() for key in ids}
            self._append_attempts(connection, outcomes)
            self._put_in_inbox(connection, [by_id[key] for key in kept], now)
            self._disable_endpoints(connection, [by_id[key] for key in kept])
        return by_id.keys() - kept

    def next_due(self, queue: str) -> datetime | None:
        """Return when the earliest delivery of `queue` is to be looked at, or None."""
        with reading(self._engine) as connection:
            return self._leases.next_due(connection, queue)

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""
        columns = deliveries.c
        query = (
            select(columns.queue, columns.status, columns.reason, func.count())
            .where(or_(columns.due_at.is_not(None), columns.lease_until.is_not(None)))
            .group_by(columns.queue, columns.status, columns.reason)
        )
        if tenant is not None:
            query = query.where(columns.tenant == tenant)
        with reading(self._engine) as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}

    def _append_attempts(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        rows = [
            {
                "id": self._new_id(),
                "tenant": outcome.tenant,
                "delivery_id": outcome.delivery_id,
                "number": outcome.attempt.number,
                "started_at": outcome.attempt.started_at,
                "duration_us": outcome.attempt.duration // timedelta(microseconds=1),
                "outcome": outcome.attempt.outcome,
                "status_code": outcome.attempt.status_code,
                "error": outcome.attempt.error,
                "detail": outcome.attempt.detail,
            }
            for outcome in outcomes
            if outcome.attempt is not None
        ]
        if rows:
            connection.execute(attempts.insert(), rows)

    def _put_in_inbox(
        self, connection: Connection, outcomes: Sequence[Outcome], now: datetime
    ) -> None:
        rows = [
            {
                "id": self._new_id(),
                "tenant": outcome.tenant,
                "recipient_id": outcome.inbox_item[0],
                "delivery_id": outcome.delivery_id,
                "notification_id": outcome.notification_id,
                "title": outcome.inbox_item[1].title,
                "body": outcome.inbox_item[1].body,
                "url": outcome.inbox_item[1].url,
                "created_at": now,
            }
            for outcome in outcomes
            if outcome.inbox_item is not None
        ]
        if rows:
            connection.execute(inbox_items.insert(), rows)

    def _disable_endpoints(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.disable_endpoint is not None:
                connection.execute(
                    endpoints.update()
                    .where(
                        endpoints.c.id == outcome.disable_endpoint,
                        endpoints.c.tenant == outcome.tenant,
                    )
                    .values(enabled=False, disabled_reason=outcome.reason)
                )


def _change(outcome: Outcome, row: Row[Any]) -> tuple[Any, ...]:
    """Return what the row changes to; rows that change alike are written in one statement."""
    status, reason, due_at = outcome.status, str(outcome.reason), outcome.due_at
    if row.cancel_requested and status == DeliveryStatus.PENDING:
        status, reason, due_at = DeliveryStatus.CANCELLED, Reason.CANCELLED, None
    crashed = outcome.attempt is None and status == DeliveryStatus.PENDING
    return (status, reason, due_at, outcome.attempt is not None, outcome.provider_id, crashed)


def _update(change: tuple[Any, ...], ids: Sequence[str], now: datetime) -> Any:
    status, reason, due_at, attempted, provider_id, released = change
    values: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "due_at": due_at,
        "lease_token": None,
        "lease_until": None,
        "finished_at": now if status in _DONE else None,
    }
    if attempted:
        values["attempts"] = deliveries.c.attempts + 1
    if provider_id:
        values["provider_id"] = provider_id
    if not released:
        # It came back, whatever it brought: it does not kill its worker.
        values |= {"crashes": 0, "solo": False}
    return deliveries.update().where(deliveries.c.id.in_(ids)).values(values)


def _works(connection: Connection, rows: Sequence[Row[Any]]) -> list[Work]:
    """Return the rows with their notifications and attachments, each loaded in one query."""
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
