"""Turns new notifications into the rows of our tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row

from claimnotify.model.notifications import Delivery
from claimnotify.ports import NewNotification
from claimnotify.store.lanes import lane_name

__all__ = ["attachment_rows", "delivery_rows_of", "notification_row", "replay_row"]


def notification_row(new: NewNotification) -> dict[str, Any]:
    """Return its row."""
    note = new.notification
    recipient = note.recipient
    return {
        "id": note.id,
        "tenant": note.tenant,
        "event_type": note.event_type,
        "event_version": note.event_version,
        "category": note.category,
        "subject": note.subject,
        "owner": note.owner,
        "recipient": None if recipient is None else json.dumps(recipient.to_dict()),
        "payload": note.payload_json,
        "webhook_payload": note.webhook_json,
        "tags": json.dumps(list(note.tags)) if note.tags else None,
        "to_endpoint": note.to_endpoint,
        "idempotency_key": note.idempotency_key,
        "ordering_key": note.ordering_key,
        "fingerprint": new.fingerprint,
        "attachment_count": len(new.attachments),
        "created_at": note.created_at,
    }


def delivery_rows_of(new: NewNotification) -> Iterator[dict[str, Any]]:
    """Yield a row for each of its deliveries, without a place in an order."""
    for position, delivery in enumerate(new.notification.deliveries):
        yield _delivery_row(delivery, position, new.queue, new.priority)


def replay_row(delivery: Delivery, like: Row[Any], position: int) -> dict[str, Any]:
    """Return the row of a delivery that repeats the one of the row `like`, without a place in an order."""
    row = _delivery_row(delivery, position, like.queue, like.priority)
    return row | {"order_strict": like.order_strict, "content": like.content}


def _delivery_row(delivery: Delivery, position: int, queue: str, priority: int) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "tenant": delivery.tenant,
        "notification_id": delivery.notification_id,
        "position": position,
        "channel": delivery.channel,
        "address": delivery.address,
        "endpoint_id": delivery.endpoint_id,
        "status": delivery.status,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "expires_at": delivery.expires_at,
        "finished_at": delivery.finished_at,
        "queue": queue,
        "priority": priority,
        "lane": None
        if delivery.due_at is None
        else lane_name(queue, priority, delivery.channel, delivery.tenant),
        "due_at": delivery.due_at,
        "order_key": None,
        "order_seq": None,
        "order_strict": False,
        "replay_of": delivery.replay_of,
    }


def attachment_rows(new: NewNotification) -> Iterator[dict[str, Any]]:
    """Yield a row for each of its files."""
    for position, each in enumerate(new.attachments):
        yield {
            "notification_id": new.notification.id,
            "position": position,
            "tenant": new.notification.tenant,
            "filename": each.filename,
            "content_type": each.content_type,
            "content_id": each.content_id,
            "content": each.content,
        }
