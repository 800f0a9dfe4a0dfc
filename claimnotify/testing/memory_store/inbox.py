"""The in-app inbox of the in-memory store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from claimnotify.ports import InboxItem
from claimnotify.testing.memory_store.kept import Kept, KeptItem, refuse_session

__all__ = ["MemoryInbox"]


class MemoryInbox:
    """The inboxes of one store. See `claimnotify.ports.Inbox`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

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
        with self._kept.lock:
            items = [row.item for row in self._of(tenant, recipient_id)]
        found = [
            item
            for item in items
            if (archived or item.archived_at is None)
            and (not unread_only or item.read_at is None)
            and (before is None or item.id < before)
        ]
        return sorted(found, key=lambda item: item.id, reverse=True)[:limit]

    def count(self, tenant: str, recipient_id: str, *, mark: str) -> int:
        """Return how many items, archived ones aside, lack the mark."""
        with self._kept.lock:
            items = [row.item for row in self._of(tenant, recipient_id)]
        return sum(getattr(i, mark) is None and i.archived_at is None for i in items)

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
        refuse_session(session)
        with self._kept.changing() as tables:
            now, changed = self._kept.clock.now(), 0
            for row in self._of(tenant, recipient_id):
                if ids is None or row.item.id in ids:
                    changed += getattr(row.item, mark) is None
                    tables.items[row.item.id] = replace(row, item=_marked(row.item, mark, now))
            return changed

    def _of(self, tenant: str, recipient_id: str) -> list[KeptItem]:
        rows = self._kept.tables.items.values()
        return [row for row in rows if (row.tenant, row.recipient_id) == (tenant, recipient_id)]


def _marked(item: InboxItem, mark: str, now: datetime) -> InboxItem:
    """Return the item with the mark, and seen if it was read; marks that are set stay."""
    return replace(
        item,
        seen_at=item.seen_at or (now if mark in ("seen_at", "read_at") else None),
        read_at=item.read_at or (now if mark == "read_at" else None),
        archived_at=item.archived_at or (now if mark == "archived_at" else None),
    )
