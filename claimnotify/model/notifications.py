"""Notification, Delivery, Attempt and Receipt: what was accepted, what became of it, how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from claimnotify.model.messages import Attachment, InAppMessage, Message
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import AttemptOutcome, DeliveryStatus

__all__ = ["Attempt", "BatchResult", "Delivery", "Notification", "Receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transport's acknowledgement of one message.

    Args:
        status: `sent` if the transport took it, `delivered` if the receiver confirmed it.
        provider_id: The transport's own id for the message, or empty.
        status_code: The protocol's code (HTTP status, SMTP reply), if there was one.
        excerpt: The beginning of the peer's answer; kept with the attempt.
        inbox_item: For the in-app channel: the item that is to be written with the outcome.
        request_headers: What was sent, without secrets; kept with the attempt.
        response_headers: What came back, without secrets; kept with the attempt.
    """

    status: DeliveryStatus = DeliveryStatus.SENT
    provider_id: str = ""
    status_code: int | None = None
    excerpt: str = ""
    inbox_item: InAppMessage | None = field(default=None, repr=False)
    request_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    response_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a delivery. Append-only.

    Args:
        number: Counts the delivery's tries from 1.
        started_at: When the send began, UTC.
        duration: How long it took.
        outcome: How it ended.
        status_code: The protocol's code, if there was one.
        error: The error's class name, or empty.
        detail: What happened, without secrets; or the beginning of the peer's answer.
        request_headers: What was sent, without secrets; of webhooks only.
        response_headers: What came back, without secrets; of webhooks only.
    """

    number: int
    started_at: datetime
    duration: timedelta
    outcome: AttemptOutcome
    status_code: int | None = None
    error: str = ""
    detail: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    response_headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification over one channel to one address.

    Args:
        id: 32 hexadecimal digits.
        notification_id: The notification it belongs to; `webhook-id` and `Message-ID` come from it.
        tenant: The tenant it belongs to.
        channel: The channel's name.
        address: An e-mail address, a number, an inbox's recipient id or an endpoint's URL.
        endpoint_id: For webhooks, the endpoint.
        status: Where it is in its life.
        reason: Why it is there: a `Reason`, or one of the channel's own.
        due_at: When a worker is to look at it next, or None.
        attempts: How many sends were started.
        created_at: When it was accepted.
        finished_at: When it came to its end, or None.
        expires_at: When it becomes pointless, or None.
        provider_id: The transport's own id for the message, or empty.
        event_type: The event's type.
        recipient: The recipient, or None when it was published to an owner's endpoints.
        history: Its attempts, where they were asked for.
        attachments: Files to send along; loaded for sending only.
        replay_of: The delivery that this one repeats because someone asked for it, or None.
    """

    id: str
    notification_id: str
    tenant: str
    channel: str
    address: str = field(repr=False)
    endpoint_id: str | None = None
    status: DeliveryStatus
    reason: str
    due_at: datetime | None = None
    attempts: int = 0
    created_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    provider_id: str = ""
    event_type: str = ""
    recipient: Recipient | None = None
    history: Sequence[Attempt] = ()
    attachments: Sequence[Attachment] = field(default=(), repr=False)
    content: Message | None = field(default=None, repr=False)
    replay_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One event for one recipient, or published to an owner's endpoints with no recipient.

    Args:
        id: 32 hexadecimal digits.
        tenant: The tenant it belongs to.
        event_type: The event's type.
        event_version: The payload's version.
        category: What the recipient could opt out of.
        subject: The id of the thing the event is about, or None.
        owner: The recipient's id, or the owner it was published to.
        recipient: The recipient as they were when it was accepted, or None.
        payload: The event's fields as JSON values.
        payload_json: The same as the exact JSON text that was stored.
        webhook_json: The exact JSON text of `data` in webhooks where it is less than the payload;
            None: all of it.
        tags: What endpoints with tags of their own choose by.
        to_endpoint: The one endpoint that it was addressed to, as a ping or an example is, or None.
        expunged_at: When its payload was removed, or None.
        idempotency_key: The caller's key, or None.
        ordering_key: Its deliveries go out in order with others under this key, or None.
        created_at: When it was accepted.
        deliveries: Its deliveries, in the order of the event's channels.
        replayed: True if `notify()` returned an earlier result for this idempotency key.
    """

    id: str
    tenant: str
    event_type: str
    event_version: int = 1
    category: str
    subject: str | None = None
    owner: str
    recipient: Recipient | None = None
    payload: dict[str, Any] = field(default_factory=dict, repr=False)
    payload_json: str = field(default="{}", repr=False)
    webhook_json: str | None = field(default=None, repr=False)
    tags: Sequence[str] = ()
    to_endpoint: str | None = None
    expunged_at: datetime | None = None
    idempotency_key: str | None = None
    ordering_key: str | None = None
    created_at: datetime
    deliveries: Sequence[Delivery] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What `notify_many` did.

    Args:
        notifications: How many were written.
        replayed: How many had been written before under their idempotency key.
    """

    notifications: int
    replayed: int
