"""Accepts events: checks them, routes them and writes notification and deliveries together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import PydanticSerializationError

from claimnotify.errors import InvalidEvent, InvalidInput
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.events import PRIORITIES, Event, spec_of
from claimnotify.model.messages import Attachment
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.recipients import Recipient, check_identifier
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.routing import Route, by_endpoint, channels_of, route
from claimnotify.ports import Channel, NewNotification, Outbox, Transaction

__all__ = ["Acceptor", "Request"]

_MAX_PAYLOAD = 1024 * 1024
_LAST_YEAR = 9000
_LONGEST = timedelta(days=36_525)
_MAX_ATTACHMENTS = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One event to accept.

    Args:
        event: What happened.
        recipient: Whom to tell, or None to publish to `owner`'s endpoints alone.
        owner: The recipient's id, or the owner published to.
        idempotency_key: Names this one request, or None.
        at: When to send, aware; None for at once.
        delay: How long to wait before sending, instead of `at`.
        expires: When sending becomes pointless, or how long after now.
        attachments: Files for channels that carry them.
        ordering_key: Its deliveries follow earlier ones under this key to the same endpoint or
            address, in the order of the commits; None for no order.
        ordering_strict: Whether one that fails holds up those after it until it has come to its
            end; otherwise they go on while it waits for its next attempt.
    """

    event: Event
    recipient: Recipient | None
    owner: str
    idempotency_key: str | None = None
    at: datetime | None = None
    delay: timedelta | None = None
    expires: datetime | timedelta | None = None
    attachments: Sequence[Attachment] = ()
    ordering_key: str | None = None
    ordering_strict: bool = False


@dataclass(frozen=True, slots=True)
class _Checked:
    request: Request
    payload_json: str
    channels: Sequence[Channel]


class Acceptor:
    """Turns requests into rows, in one transaction.

    Args:
        outbox: Opens the transaction.
        channels: The installed channels by name.
        new_id: Makes ids.
        queue: The queue that deliveries wait in.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        new_id: Callable[[], str],
        queue: str,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._new_id = new_id
        self._queue = queue

    def accept(
        self, requests: Sequence[Request], *, tenant: str, session: Any = None
    ) -> Sequence[Notification]:
        """Write all of `requests` in one transaction and return their notifications in order.

        Raises:
            InvalidInput: One of them is wrong; nothing was written.
            UnknownChannel: An event names a channel that is not installed.
            StoreUnavailable: The database cannot be reached; nothing was written.
        """
        checked = [self._check(request) for request in requests]
        with self._outbox.transaction(session) as transaction:
            endpoints = self._endpoints(transaction, tenant, checked)
            now = transaction.now()
            new = [self._plan(each, tenant, endpoints, now) for each in checked]
            accepted = transaction.add(new)
            if any(_due(note, now) for note in accepted):
                transaction.ring(self._queue)
        return accepted

    def _check(self, request: Request) -> _Checked:
        """Check what can be checked without the database."""
        if not isinstance(request.event, Event):
            raise InvalidEvent(
                "event", f"is a {type(request.event).__name__}", "Give an instance of an Event."
            )
        spec = spec_of(request.event)
        channels = channels_of(spec, self._channels)
        if request.recipient is None:
            channels = [channel for channel in channels if by_endpoint(channel)]
            if not channels:
                raise InvalidEvent(
                    "event",
                    f"{spec.type} names no channel that delivers to endpoints",
                    'Publish events with channels=("webhook", …).',
                )
        if request.idempotency_key is not None:
            check_identifier(request.idempotency_key, "idempotency_key")
        if request.ordering_key is not None:
            check_identifier(request.ordering_key, "ordering_key")
        _check_times(request)
        if sum(len(each.content) for each in request.attachments) > _MAX_ATTACHMENTS:
            raise InvalidInput(
                "attachments", "are larger than 20 MiB together", "Send a link instead."
            )
        return _Checked(request, _payload(request.event), channels)

    def _endpoints(
        self, transaction: Transaction, tenant: str, checked: Sequence[_Checked]
    ) -> Mapping[str, Sequence[Endpoint]]:
        owners = {
            each.request.owner for each in checked if any(by_endpoint(c) for c in each.channels)
        }
        return transaction.endpoints_of(tenant, owners) if owners else {}

    def _plan(
        self,
        checked: _Checked,
        tenant: str,
        endpoints: Mapping[str, Sequence[Endpoint]],
        now: datetime,
    ) -> NewNotification:
        request, spec = checked.request, spec_of(checked.request.event)
        notification_id = self._new_id()
        due_at = request.at or now + (request.delay or timedelta(0))
        expires_at = (
            now + request.expires if isinstance(request.expires, timedelta) else request.expires
        )
        routes = route(
            spec.type, request.recipient, checked.channels, endpoints.get(request.owner, ())
        )
        deliveries = [
            self._delivery(
                each, notification_id, tenant, spec.type, request.recipient, now, due_at, expires_at
            )
            for each in routes
        ]
        subject = None if spec.subject is None else getattr(request.event, spec.subject)
        notification = Notification(
            id=notification_id,
            tenant=tenant,
            event_type=spec.type,
            event_version=spec.version,
            category=spec.category,
            subject=None if subject is None else check_identifier(str(subject), spec.subject or ""),
            owner=request.owner,
            recipient=request.recipient,
            payload=request.event.model_dump(mode="json"),
            payload_json=checked.payload_json,
            idempotency_key=request.idempotency_key,
            ordering_key=request.ordering_key,
            created_at=now,
            deliveries=tuple(deliveries),
        )
        return NewNotification(
            notification=notification,
            fingerprint=_fingerprint(notification),
            queue=self._queue,
            priority=PRIORITIES[spec.priority],
            attachments=request.attachments,
            ordering_strict=request.ordering_strict,
        )

    def _delivery(
        self,
        route: Route,
        notification_id: str,
        tenant: str,
        event_type: str,
        recipient: Recipient | None,
        now: datetime,
        due_at: datetime,
        expires_at: datetime | None,
    ) -> Delivery:
        skipped = route.skip is not None
        later = due_at > now
        if route.skip is not None:
            status, reason = DeliveryStatus.SKIPPED, route.skip
        elif later:
            status, reason = DeliveryStatus.SCHEDULED, Reason.SCHEDULED
        else:
            status, reason = DeliveryStatus.PENDING, Reason.QUEUED
        return Delivery(
            id=self._new_id(),
            notification_id=notification_id,
            tenant=tenant,
            channel=route.channel,
            address=route.address,
            endpoint_id=route.endpoint_id,
            status=status,
            reason=reason,
            due_at=None if skipped else due_at,
            created_at=now,
            finished_at=now if skipped else None,
            expires_at=expires_at,
            event_type=event_type,
            recipient=recipient,
        )


def _due(notification: Notification, now: datetime) -> bool:
    return not notification.replayed and any(
        delivery.due_at is not None and delivery.due_at <= now
        for delivery in notification.deliveries
    )


def _check_times(request: Request) -> None:
    for name, value, kinds in (
        ("at", request.at, (datetime,)),
        ("delay", request.delay, (timedelta,)),
        ("expires", request.expires, (datetime, timedelta)),
    ):
        if value is not None and not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise InvalidInput(name, f"is a {type(value).__name__}", f"Give a {wanted}.")
    if request.at is not None and request.delay is not None:
        raise InvalidInput("at", "is given together with delay", "Give one of the two.")
    for name, moment in (("at", request.at), ("expires", request.expires)):
        if isinstance(moment, datetime):
            if moment.utcoffset() is None:
                remedy = "Give an aware datetime, in UTC for one."
                raise InvalidInput(name, "has no time zone", remedy)
            if not 1970 <= moment.year <= _LAST_YEAR:
                raise InvalidInput(name, "is out of range", "Give a year from 1970 to 9000.")
    for name, span in (("delay", request.delay), ("expires", request.expires)):
        if isinstance(span, timedelta) and not timedelta(0) <= span <= _LONGEST:
            raise InvalidInput(
                name, "is negative or too long", "Give a timedelta from zero to 100 years."
            )


def _payload(event: Event) -> str:
    missing = sorted(type(event).model_fields.keys() - event.__dict__.keys())
    if missing:
        raise InvalidEvent(missing[0], "is missing from the payload", "Give the event this field.")
    try:
        text = event.model_dump_json(warnings="error")
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidEvent(
            type(event).__name__,
            "its payload does not fit its fields or is not JSON",
            "Build events by calling the class, with text that is valid Unicode.",
        ) from error
    if len(text) > _MAX_PAYLOAD:
        raise InvalidEvent(
            type(event).__name__, "its payload is larger than 1 MiB", "Send ids or a link instead."
        )
    return text


def _fingerprint(notification: Notification) -> str:
    parts = (
        notification.event_type,
        str(notification.event_version),
        "" if notification.recipient is None else "to",
        notification.owner,
        notification.payload_json,
    )
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
