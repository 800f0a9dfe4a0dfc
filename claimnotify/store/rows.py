"""Turns rows of our tables into value types, in one place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.model.messages import Attachment, message_from_json
from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import AttemptOutcome, DeliveryStatus

__all__ = [
    "attachment_of",
    "attempt_of",
    "delivery_of",
    "endpoint_of",
    "key_of",
    "notification_of",
    "recipient_of",
]


def notification_of(row: Row[Any], deliveries: Sequence[Delivery] = ()) -> Notification:
    """Return the notification of a row of the notifications table."""
    return Notification(
        id=row.id,
        tenant=row.tenant,
        event_type=row.event_type,
        event_version=row.event_version,
        category=row.category,
        subject=row.subject,
        owner=row.owner,
        recipient=recipient_of(row),
        payload=json.loads(row.payload),
        payload_json=row.payload,
        webhook_json=row.webhook_payload,
        tags=_parsed(row.tags, ()),
        to_endpoint=row.to_endpoint,
        expunged_at=row.expunged_at,
        idempotency_key=row.idempotency_key,
        ordering_key=row.ordering_key,
        created_at=row.created_at,
        deliveries=deliveries,
    )


def recipient_of(row: Row[Any]) -> Recipient | None:
    """Return the recipient of a row with that column of the notifications table."""
    return None if row.recipient is None else Recipient.from_dict(json.loads(row.recipient))


def delivery_of(
    row: Row[Any],
    *,
    event_type: str,
    recipient: Recipient | None,
    history: Sequence[Attempt] = (),
    attachments: Sequence[Attachment] = (),
) -> Delivery:
    """Return the delivery of a row of the deliveries table."""
    return Delivery(
        id=row.id,
        notification_id=row.notification_id,
        tenant=row.tenant,
        channel=row.channel,
        address=row.address,
        endpoint_id=row.endpoint_id,
        status=DeliveryStatus(row.status),
        reason=row.reason,
        due_at=row.due_at,
        attempts=row.attempts,
        created_at=row.created_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        provider_id=row.provider_id,
        event_type=event_type,
        recipient=recipient,
        history=history,
        attachments=attachments,
        content=None if row.content is None else message_from_json(row.content),
        replay_of=row.replay_of,
    )


def attempt_of(row: Row[Any]) -> Attempt:
    """Return the attempt of a row of the attempts table."""
    headers = {} if row.headers is None else json.loads(row.headers)
    return Attempt(
        number=row.number,
        started_at=row.started_at,
        duration=timedelta(microseconds=row.duration_us),
        outcome=AttemptOutcome(row.outcome),
        status_code=row.status_code,
        error=row.error,
        detail=row.detail,
        request_headers=headers.get("request", {}),
        response_headers=headers.get("response", {}),
    )


def attachment_of(row: Row[Any]) -> Attachment:
    """Return the attachment of a row of the attachments table."""
    return Attachment(
        filename=row.filename,
        content=bytes(row.content),
        content_type=row.content_type,
        content_id=row.content_id,
    )


def endpoint_of(row: Row[Any]) -> Endpoint:
    """Return the endpoint of a row of the endpoints table."""
    headers = _parsed(row.headers, {"names": (), "sealed": ""})
    return Endpoint(
        id=row.id,
        tenant=row.tenant,
        owner=row.owner,
        url=row.url,
        event_types=tuple(json.loads(row.event_types)),
        description=row.description,
        enabled=bool(row.enabled),
        disabled_reason=row.disabled_reason,
        rate_limit=row.rate_limit,
        tags=_parsed(row.tags, ()),
        metadata=_parsed(row.metadata, {}),
        header_names=tuple(headers["names"]),
        sealed_headers=headers["sealed"],
        timeout=None if row.timeout_ms is None else timedelta(milliseconds=row.timeout_ms),
        ordering=row.ordering,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def key_of(row: Row[Any]) -> EndpointKey:
    """Return the key of a row in which an endpoint and one of its keys are joined."""
    return EndpointKey(
        id=row.key_id,
        endpoint_id=row.id,
        kind=row.kind,
        ciphertext=row.ciphertext,
        public_key=row.public_key,
        created_at=row.key_created_at,
        expires_at=row.key_expires_at,
    )


def _parsed(text: str | None, absent: Any) -> Any:
    """Return what a column of JSON holds; a list as a tuple."""
    if text is None:
        return absent
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else value
