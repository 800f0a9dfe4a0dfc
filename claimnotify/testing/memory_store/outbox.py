"""Accepts and cancels in the in-memory store, in transactions that undo what they did on an error."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from claimnotify.errors import IdempotencyConflict, NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Notification
from claimnotify.ports import NewNotification
from claimnotify.testing.memory_store.journal import notification_of
from claimnotify.testing.memory_store.kept import (
    Kept,
    KeptDelivery,
    KeptNotification,
    Tables,
    refuse_session,
)
from claimnotify.testing.memory_store.ordering import call_back, order_of

__all__ = ["MemoryOutbox", "MemoryTransaction"]


class MemoryOutbox:
    """Opens transactions, one at a time. See `claimnotify.ports.Outbox`."""

    def __init__(self, kept: Kept, *, ring: Callable[[str], None]) -> None:
        self._kept = kept
        self._ring = ring

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[MemoryTransaction]:
        """Yield a transaction that is undone if the block raises."""
        refuse_session(session)
        with self._kept.changing() as tables:
            transaction = MemoryTransaction(self._kept, tables)
            yield transaction
        for queue in transaction.to_ring:
            self._ring(queue)


class MemoryTransaction:
    """One open transaction. See `claimnotify.ports.Transaction`."""

    def __init__(self, kept: Kept, tables: Tables) -> None:
        self._kept = kept
        self._tables = tables
        self.to_ring: dict[str, None] = {}

    def now(self) -> datetime:
        """Return the clock's time."""
        return self._kept.clock.now()

    def take_notice(self, notice_id: str) -> bool:
        """Delete a notice that is told in this transaction; return whether it was still there."""
        return self._tables.notices.pop(notice_id, None) is not None

    def ring(self, queue: str) -> None:
        """Ring `queue` when the transaction has ended well."""
        self.to_ring[queue] = None

    def endpoints_of(
        self, tenant: str, owners: Collection[str]
    ) -> Mapping[str, Sequence[Endpoint]]:
        """Return the endpoints of each owner that has any, oldest first."""
        found: dict[str, list[Endpoint]] = {}
        for endpoint in sorted(self._tables.endpoints.values(), key=lambda each: each.id):
            if endpoint.tenant == tenant and endpoint.owner in owners:
                found.setdefault(endpoint.owner, []).append(endpoint)
        return found

    def add(self, new: Sequence[NewNotification], *, last: bool = False) -> Sequence[Notification]:
        """Write them; return them, or for keys used before the earlier notifications."""
        self._check_keys(new)
        return [self._add(each) for each in new]

    def cancel(self, tenant: str, notification_id: str) -> int:
        """Cancel what has not been sent; a send under way is not retried after it."""
        tables, now = self._tables, self.now()
        found = tables.notifications.get(notification_id)
        if found is None or found.notification.tenant != tenant:
            raise NotFound("notification_id", "there is no such notification", "Check the id.")
        cancelled, queues = call_back(tables, notification_id, now)
        for queue in queues:
            self.ring(queue)
        return cancelled

    def _check_keys(self, new: Sequence[NewNotification]) -> None:
        """Refuse the whole batch before any of it is written, if a key means something else."""
        fingerprints: dict[tuple[str, str], str] = {}
        for each in new:
            note = each.notification
            if not note.idempotency_key:
                continue
            key = (note.tenant, note.idempotency_key)
            earlier = self._tables.keys.get(key)
            if earlier is not None:
                fingerprints[key] = self._tables.notifications[earlier].fingerprint
            if fingerprints.setdefault(key, each.fingerprint) != each.fingerprint:
                raise IdempotencyConflict(
                    "idempotency_key",
                    f"{note.idempotency_key!r} was used for another event, payload or recipient",
                    "Use a key that names this one thing.",
                )

    def _add(self, new: NewNotification) -> Notification:
        tables, note = self._tables, new.notification
        if note.idempotency_key:
            winner = tables.keys.setdefault((note.tenant, note.idempotency_key), note.id)
            if winner != note.id:
                found = notification_of(tables, tables.notifications[winner], attempts_too=False)
                return replace(found, replayed=True)
        tables.notifications[note.id] = KeptNotification(
            notification=replace(note, deliveries=()),
            fingerprint=new.fingerprint,
            attachments=tuple(new.attachments),
        )
        for position, delivery in enumerate(note.deliveries):
            stream, strict = order_of(new, delivery)
            tables.deliveries[delivery.id] = KeptDelivery(
                delivery=replace(
                    delivery, event_type=note.event_type, recipient=note.recipient, attachments=()
                ),
                position=position,
                queue=new.queue,
                priority=new.priority,
                stream=stream,
                place=self._kept.next_place(),
                strict=strict,
            )
        return note
