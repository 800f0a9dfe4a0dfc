"""Replays and expunging in the in-memory store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from claimnotify.errors import NotFound
from claimnotify.model.endpoints import Endpoint, Ordering
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.replays import Window
from claimnotify.model.states import Reason
from claimnotify.policy.replays import WEBHOOK, is_lost, is_meant_for, last_of_chain, missed
from claimnotify.ports import Page
from claimnotify.testing.memory_store.journal import notification_of
from claimnotify.testing.memory_store.kept import Kept, KeptDelivery, Tables, refuse_session
from claimnotify.testing.memory_store.ordering import WHOLE_ENDPOINT, call_back, stream_of
from claimnotify.testing.memory_store.recording import without_words

__all__ = ["MemoryReplayTransaction", "MemoryReplays"]


class MemoryReplays:
    """What is sent again of one store. See `claimnotify.ports.Replays`."""

    def __init__(self, kept: Kept, *, ring: Callable[[str], None]) -> None:
        self._kept = kept
        self._ring = ring

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[MemoryReplayTransaction]:
        """Yield a transaction that is undone if the block raises."""
        refuse_session(session)
        with self._kept.changing() as tables:
            transaction = MemoryReplayTransaction(self._kept, tables)
            yield transaction
        for queue in transaction.to_ring:
            self._ring(queue)

    def lost(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for deliveries that were lost and have no replay; all on one page."""
        with self._kept.lock:
            rows = list(self._kept.tables.deliveries.values())
            made = [
                row.id
                for row in rows
                if (row.delivery.tenant, row.delivery.endpoint_id) == (endpoint.tenant, endpoint.id)
                and window.covers(row.delivery.created_at)
            ]
            return Page([each.id for each in _lost(self._kept.tables, made)], None)

    def missed(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for notifications that were meant for the endpoint too, and missed; all on one page."""
        with self._kept.lock:
            tables = self._kept.tables
            notes = [row.notification for row in tables.notifications.values()]
            wanted = [
                note.id
                for note in notes
                if (note.tenant, note.owner) == (endpoint.tenant, endpoint.owner)
                and window.covers(note.created_at)
                and is_meant_for(
                    endpoint,
                    note.event_type,
                    note.tags,
                    subject=note.subject,
                    to_endpoint=note.to_endpoint,
                )
            ]
            found = _missed(tables, endpoint.id, wanted)
            return Page([each.notification_id for each in found], None)


class MemoryReplayTransaction:
    """One open transaction, which holds everything. See `claimnotify.ports.ReplayTransaction`."""

    def __init__(self, kept: Kept, tables: Tables) -> None:
        self._kept = kept
        self._tables = tables
        self.to_ring: dict[str, None] = {}

    def now(self) -> datetime:
        """Return the clock's time."""
        return self._kept.clock.now()

    def hold_of(self, tenant: str, delivery_id: str) -> Notification | None:
        """Return the notification that a delivery belongs to, with its deliveries."""
        row = self._tables.deliveries.get(delivery_id)
        if row is None or row.delivery.tenant != tenant:
            return None
        note = self._tables.notifications[row.delivery.notification_id]
        return notification_of(self._tables, note, attempts_too=False)

    def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        found = self._tables.endpoints.get(endpoint_id)
        return found if found is not None and found.tenant == tenant else None

    def hold_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Do as `endpoint`."""
        return self.endpoint(tenant, endpoint_id)

    def still_lost(self, tenant: str, delivery_ids: Collection[str]) -> Sequence[Delivery]:
        """Return those that were lost and have no replay."""
        found = _lost(self._tables, delivery_ids)
        return [each for each in found if each.tenant == tenant]

    def still_missed(
        self, endpoint: Endpoint, notification_ids: Collection[str]
    ) -> Sequence[Delivery]:
        """Return of each that the endpoint missed what is to be repeated."""
        found = _missed(self._tables, endpoint.id, notification_ids)
        return [each for each in found if each.tenant == endpoint.tenant]

    def add(self, replays: Sequence[Delivery], *, ordering: Ordering = "none") -> None:
        """Write new deliveries like those that they repeat."""
        tables = self._tables
        for each in replays:
            like = tables.deliveries[str(each.replay_of)]
            key = tables.notifications[each.notification_id].notification.ordering_key
            if ordering != "none":
                key = WHOLE_ENDPOINT
            last = max(row.position for row in _of(tables, each.notification_id))
            tables.deliveries[each.id] = KeptDelivery(
                delivery=replace(each, content=like.delivery.content),
                position=last + 1,
                queue=like.queue,
                priority=like.priority,
                stream=None if key is None else stream_of(each, key),
                place=self._kept.next_place(),
                strict=like.strict or ordering == "strict",
            )
            self.to_ring[like.queue] = None

    def expunge(self, tenant: str, notification_id: str) -> None:
        """Remove the payload wherever it was kept."""
        tables, now = self._tables, self.now()
        kept = tables.notifications.get(notification_id)
        if kept is None or kept.notification.tenant != tenant:
            raise NotFound("notification_id", "there is no such notification", "Check the id.")
        bare = replace(
            kept.notification,
            payload={},
            payload_json="{}",
            webhook_json=None,
            expunged_at=kept.notification.expunged_at or now,
        )
        tables.notifications[notification_id] = replace(kept, notification=bare, attachments=())
        _, queues = call_back(tables, notification_id, now, Reason.EXPUNGED)
        self.to_ring.update(dict.fromkeys(queues))
        for row in _of(tables, notification_id):
            tables.deliveries[row.id] = replace(row, delivery=replace(row.delivery, content=None))
            if row.id in tables.attempts:
                tables.attempts[row.id] = tuple(map(without_words, tables.attempts[row.id]))
        for key, item in list(tables.items.items()):
            if item.item.notification_id == notification_id:
                del tables.items[key]


def _of(tables: Tables, notification_id: str) -> list[KeptDelivery]:
    """Return the deliveries of a notification in their order."""
    rows = tables.deliveries.values()
    mine = [row for row in rows if row.delivery.notification_id == notification_id]
    return sorted(mine, key=attrgetter("position"))


def _lost(tables: Tables, delivery_ids: Collection[str]) -> list[Delivery]:
    """Return those that were lost, have no replay and still have their payload, in order."""
    found = []
    for key in sorted(delivery_ids):
        delivery = tables.deliveries[key].delivery
        note = tables.notifications[delivery.notification_id].notification
        if is_lost(delivery) and note.expunged_at is None:
            among = [row.delivery for row in _of(tables, note.id)]
            if last_of_chain(delivery, among).id == key:
                found.append(delivery)
    return found


def _missed(tables: Tables, endpoint_id: str, notification_ids: Collection[str]) -> list[Delivery]:
    """Return of each that the endpoint missed what is to be repeated, in order."""
    found = []
    for key in sorted(notification_ids):
        mine = [row.delivery for row in _of(tables, key) if row.delivery.channel == WEBHOOK]
        repeated = missed(endpoint_id, mine)
        if repeated is not None and tables.notifications[key].notification.expunged_at is None:
            found.append(repeated)
    return found
