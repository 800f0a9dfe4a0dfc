"""Accepts events: routes them, and writes notification and deliveries together; and calls them back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from claimnotify.delivery.contention import in_transaction
from claimnotify.delivery.requests import Checked, Request, check_request
from claimnotify.delivery.sizes import WebhookSizes
from claimnotify.errors import NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.events import PRIORITIES, spec_of
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.recipients import Recipient, check_identifier
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.routing import Route, by_endpoint, route
from claimnotify.ports import Channel, NewNotification, Outbox, Transaction

__all__ = ["Acceptor"]


class Acceptor:
    """Turns requests into rows, in one transaction.

    Args:
        outbox: Opens the transaction.
        channels: The installed channels by name.
        new_id: Makes ids.
        queue: The queue that deliveries wait in.
        sizes: How large what webhooks carry may be; the default limit unless given.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        new_id: Callable[[], str],
        queue: str,
        sizes: WebhookSizes | None = None,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._new_id = new_id
        self._queue = queue
        self._sizes = sizes or WebhookSizes()

    def accept(
        self,
        requests: Sequence[Request],
        *,
        tenant: str,
        session: Any = None,
        notice_id: str | None = None,
    ) -> Sequence[Notification]:
        """Write all of `requests` in one transaction and return their notifications in order.

        Args:
            requests: What to accept.
            tenant: Whose it is.
            session: The caller's session, or None.
            notice_id: A notice of which they tell: it is deleted with that. If it is there no more,
                nothing is written and nothing returned.

        Raises:
            InvalidInput: One of them is wrong; nothing was written.
            UnknownChannel: An event names a channel that is not installed.
            StoreUnavailable: The database cannot be reached. If it was lost while it was committing,
                all may have been written.
        """
        checked = [check_request(request, self._channels, self._sizes) for request in requests]

        def written(transaction: Transaction) -> Sequence[Notification]:
            if notice_id is not None and not transaction.take_notice(notice_id):
                return ()
            return self._write(transaction, checked, tenant)

        return in_transaction(self._outbox.transaction, session, written)

    def cancel(self, notification_id: str, *, tenant: str, session: Any = None) -> int:
        """Call back what has not been sent; return how many deliveries waited and were cancelled.

        Raises:
            NotFound: The tenant has no such notification.
        """

        def cancelled(transaction: Transaction) -> int:
            return transaction.cancel(tenant, notification_id)

        return in_transaction(self._outbox.transaction, session, cancelled)

    def _write(
        self, transaction: Transaction, checked: Sequence[Checked], tenant: str
    ) -> Sequence[Notification]:
        endpoints = self._endpoints(transaction, tenant, checked)
        now = transaction.now()
        new = [self._plan(each, tenant, endpoints, now) for each in checked]
        accepted = transaction.add(new, last=True)
        if any(_due(note, now) for note in accepted):
            transaction.ring(self._queue)
        return accepted

    def _endpoints(
        self, transaction: Transaction, tenant: str, checked: Sequence[Checked]
    ) -> Mapping[str, Sequence[Endpoint]]:
        owners = {
            each.request.owner for each in checked if any(by_endpoint(c) for c in each.channels)
        }
        return transaction.endpoints_of(tenant, owners) if owners else {}

    def _plan(
        self,
        checked: Checked,
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
        theirs = [
            each for each in endpoints.get(request.owner, ()) if each.id != request.but_endpoint
        ]
        if request.endpoint_id is None:
            routes = route(
                spec.type, request.recipient, checked.channels, theirs, tags=checked.tags
            )
        else:
            routes = _to_one(request.endpoint_id, checked.channels, theirs)
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
            webhook_json=checked.webhook_json,
            idempotency_key=request.idempotency_key,
            ordering_key=request.ordering_key,
            tags=checked.tags,
            created_at=now,
            deliveries=tuple(deliveries),
        )
        return NewNotification(
            notification=notification,
            fingerprint=_fingerprint(notification),
            queue=self._queue,
            priority=PRIORITIES[spec.priority],
            attachments=checked.attachments,
            ordering_strict=request.ordering_strict,
            # What goes to one endpoint alone is a trial: it takes no turn, and nothing waits for it.
            ordered=_in_order(deliveries, theirs) if request.endpoint_id is None else None,
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


def _to_one(
    endpoint_id: str, channels: Sequence[Channel], endpoints: Sequence[Endpoint]
) -> list[Route]:
    """Return the way to one endpoint, whatever it subscribes to.

    Raises:
        NotFound: It was deleted meanwhile.
    """
    for each in endpoints:
        if each.id == endpoint_id:
            return [Route(channel.name, each.url, each.id) for channel in channels]
    raise NotFound("endpoint", "there is none of that id", "Look it up with endpoints.list().")


def _in_order(
    deliveries: Sequence[Delivery], endpoints: Sequence[Endpoint]
) -> Mapping[str, bool] | None:
    """Return the ids of deliveries to endpoints that get one after the other, and if strictly."""
    modes = {each.id: each.ordering for each in endpoints if each.ordering != "none"}
    if not modes:
        return None
    found = {
        each.id: modes[each.endpoint_id] == "strict"
        for each in deliveries
        if each.endpoint_id in modes
    }
    return found or None


def _due(notification: Notification, now: datetime) -> bool:
    return not notification.replayed and any(
        delivery.due_at is not None and delivery.due_at <= now
        for delivery in notification.deliveries
    )


def _fingerprint(notification: Notification) -> str:
    parts = (
        notification.event_type,
        str(notification.event_version),
        "" if notification.recipient is None else "to",
        notification.owner,
        notification.payload_json,
    )
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
