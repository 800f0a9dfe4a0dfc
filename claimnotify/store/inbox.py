"""The in-app inbox: reads items and sets their marks. Items are written with their outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from claimnotify.ports import InboxItem
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.tables import inbox_items
from claimnotify.store.transactions import reading

__all__ = ["SqlInbox"]


class SqlInbox:
    """The inboxes of one store. See `claimnotify.ports.Inbox`."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: DatabaseClock,
        joined: Callable[[Any], AbstractContextManager[Connection]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._joined = joined

    def list_items(
        self,
        tenant: str,
        recipient_id: str,
        *,
        limit: int,
        before: str | None,
        unread_only: bool,
        archived: bool,
    ) -> Sequence[InboxItem]:
        """Return items, newest first."""
        columns = inbox_items.c
        query = select(inbox_items).where(
            columns.tenant == tenant, columns.recipient_id == recipient_id
        )
        if not archived:
            query = query.where(columns.archived_at.is_(None))
        if unread_only:
            query = query.where(columns.read_at.is_(None))
        if before is not None:
            query = query.where(columns.id < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.id.desc()).limit(limit)).all()
        return [
            InboxItem(
                id=row.id,
                notification_id=row.notification_id,
                title=row.title,
                body=row.body,
                url=row.url,
                created_at=row.created_at,
                seen_at=row.seen_at,
                read_at=row.read_at,
                archived_at=row.archived_at,
            )
            for row in rows
        ]

    def count(self, tenant: str, recipient_id: str, *, mark: str) -> int:
        """Return how many items, archived ones aside, lack the mark."""
        columns = inbox_items.c
        query = select(func.count()).where(
            columns.tenant == tenant,
            columns.recipient_id == recipient_id,
            columns[mark].is_(None),
            columns.archived_at.is_(None),
        )
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def mark(
        self,
        tenant: str,
        recipient_id: str,
        mark: str,
        ids: Collection[str] | None,
        *,
        session: Any = None,
    ) -> int:
        """Set the mark where it is unset; return how many items that changed."""
        columns = inbox_items.c
        with self._joined(session) as connection:
            now = self._clock.now(connection)
            mine = [columns.tenant == tenant, columns.recipient_id == recipient_id]
            if ids is not None:
                mine.append(columns.id.in_(ids))
            if mark == "read_at":
                connection.execute(
                    inbox_items.update().where(*mine, columns.seen_at.is_(None)).values(seen_at=now)
                )
            changed = connection.execute(
                inbox_items.update().where(*mine, columns[mark].is_(None)).values({mark: now})
            )
            return int(changed.rowcount)
