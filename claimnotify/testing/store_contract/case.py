"""What the parts of the store's contract share: the store under test, what is accepted, what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.model.ids import IdSource
from claimnotify.model.messages import Attachment
from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Lease, NewNotification, Outcome, Store, Work

__all__ = ["LEASE", "MINUTE", "ONE", "TWO", "Accept", "Advance", "Case", "StoreCase"]

MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=5)
ONE, TWO = "tenant-one", "tenant-two"
_PATIENCE_SECONDS = 10.0
"""A store may remember for a moment what is due, so what is due need not be leased at once."""

Advance: TypeAlias = Callable[[timedelta], None]
Accept: TypeAlias = Callable[..., Notification]


class Case:
    """Accepts, leases and records on the store under test.

    Args:
        store: The store under test.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.new_id = IdSource()

    def new(
        self,
        *,
        tenant: str = ONE,
        channel: str = "post",
        addresses: Sequence[str] = ("Elm Street 1",),
        due_in: timedelta = timedelta(0),
        owner: str = "cus_7",
        queue: str = DELIVERIES,
        priority: int = 5,
        endpoint_id: str | None = None,
        fingerprint: str = "one event",
        attachments: Sequence[Attachment] = (),
        ordering_strict: bool = False,
        **about: Any,
    ) -> NewNotification:
        """Return a notification that could be accepted, with a delivery to each address."""
        note_id, now = self.new_id(), self.store.clock.now()
        later = due_in > timedelta(0)
        deliveries = tuple(
            Delivery(
                id=self.new_id(),
                notification_id=note_id,
                tenant=tenant,
                channel=channel,
                address=address,
                endpoint_id=endpoint_id,
                status=DeliveryStatus.SCHEDULED if later else DeliveryStatus.PENDING,
                reason=Reason.SCHEDULED if later else Reason.QUEUED,
                due_at=now + due_in,
                created_at=now,
            )
            for address in addresses
        )
        about = {"event_type": "claim.approved", "category": "claims", **about}
        notification = Notification(
            id=note_id,
            tenant=tenant,
            owner=owner,
            recipient=Recipient(id=owner, name="Ana"),
            payload={"claim": "CLM-1"},
            payload_json='{"claim": "CLM-1"}',
            created_at=now,
            deliveries=deliveries,
            **about,
        )
        return NewNotification(
            notification=notification,
            fingerprint=fingerprint,
            queue=queue,
            priority=priority,
            attachments=attachments,
            ordering_strict=ordering_strict,
        )

    def accept(self, **options: Any) -> Notification:
        """Accept one notification in a transaction of its own."""
        with self.store.outbox.transaction() as transaction:
            (notification,) = transaction.add([self.new(**options)])
        return notification

    def accept_many(self, count: int, **options: Any) -> list[Notification]:
        """Accept `count` notifications in one transaction."""
        with self.store.outbox.transaction() as transaction:
            return list(transaction.add([self.new(**options) for _ in range(count)]))

    def cancel(self, notification: Notification) -> int:
        """Cancel what is left of it in a transaction of its own."""
        with self.store.outbox.transaction() as transaction:
            return transaction.cancel(notification.tenant, notification.id)

    def lease(self, *, limit: int = 100, **options: Any) -> Lease:
        """Return a lease of what is due."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            lease = self.store.work.lease(DELIVERIES, limit=limit, duration=LEASE, **options)
            if lease is not None and lease.works:
                return lease
            time.sleep(0.01)
        pytest.fail("nothing was leased although something is due")

    def nothing_due(self, **options: Any) -> bool:
        """Return whether nothing is given to a worker that asks."""
        lease = self.store.work.lease(DELIVERIES, limit=100, duration=LEASE, **options)
        return lease is None or not lease.works

    def all_ended(self) -> bool:
        """Return whether nothing waits or is being sent, in whatever queue."""
        return not self.store.work.counts()

    def lapsed(self, *, alone: bool) -> Lease | None:
        """Ask for what was leased and whose lease ran out."""
        return self.store.work.lease_lapsed(DELIVERIES, limit=100, duration=LEASE, alone=alone)

    def outcome(
        self, lease: Lease, work: Work, status: DeliveryStatus, reason: str = "", **options: Any
    ) -> Outcome:
        """Return what became of `work`."""
        delivery = work.delivery
        return Outcome(
            delivery_id=delivery.id,
            tenant=delivery.tenant,
            notification_id=delivery.notification_id,
            token=lease.token,
            channel=delivery.channel,
            status=status,
            reason=reason or str(status),
            endpoint_id=delivery.endpoint_id,
            **options,
        )

    def attempt(
        self, outcome: AttemptOutcome, number: int = 1, status_code: int | None = None
    ) -> Attempt:
        """Return an attempt that began now."""
        return Attempt(
            number=number,
            started_at=self.store.clock.now(),
            duration=timedelta(milliseconds=120),
            outcome=outcome,
            status_code=status_code,
        )

    def retry(
        self, lease: Lease, work: Work, wait: timedelta = MINUTE, status_code: int | None = None
    ) -> Outcome:
        """Return the outcome of a send that failed and is to be tried again after `wait`."""
        return self.outcome(
            lease,
            work,
            DeliveryStatus.PENDING,
            Reason.RETRY,
            due_at=self.store.clock.now() + wait,
            attempt=self.attempt(AttemptOutcome.TRANSIENT, status_code=status_code),
        )

    def sent(self, lease: Lease, work: Work) -> Outcome:
        """Return the outcome of a send that the receiver confirmed."""
        attempt = self.attempt(AttemptOutcome.DELIVERED)
        return self.outcome(
            lease, work, DeliveryStatus.DELIVERED, Reason.CONFIRMED, attempt=attempt
        )

    def seen(self, notification: Notification) -> Sequence[Delivery]:
        """Return the deliveries of a notification as they are now, with their attempts."""
        (found,) = self.store.journal.history(notification.tenant, notification_id=notification.id)
        return found.deliveries

    def only(self, notification: Notification) -> Delivery:
        """Return the one delivery of a notification as it is now."""
        (delivery,) = self.seen(notification)
        return delivery

    def state(self, notification: Notification) -> tuple[str, str]:
        """Return status and reason of the one delivery of a notification."""
        delivery = self.only(notification)
        return str(delivery.status), str(delivery.reason)

    def endpoint(self, *, tenant: str = ONE, owner: str = "cus_7", **options: Any) -> Endpoint:
        """Keep a new endpoint with a key and return it."""
        now = self.store.clock.now()
        endpoint = Endpoint(
            id=self.new_id(),
            tenant=tenant,
            owner=owner,
            url="https://hooks.example.com/",
            created_at=now,
            **options,
        )
        self.store.endpoints.add_endpoint(endpoint, self.key(endpoint))
        return endpoint

    def key(self, endpoint: Endpoint) -> EndpointKey:
        """Return a new key for an endpoint; it is not kept."""
        return EndpointKey(
            id=self.new_id(),
            endpoint_id=endpoint.id,
            ciphertext="not readable",
            created_at=self.store.clock.now(),
        )


class StoreCase:
    """Gives the tests the store under test."""

    @pytest.fixture
    def rings(self) -> list[str]:
        """What the store under test is to append the name of each queue to that it rings."""
        return []

    @pytest.fixture
    def store(self, rings: list[str]) -> Iterator[Store]:
        """Override: yield an empty store, checked, that rings `rings.append`; close it after."""
        raise NotImplementedError("override store")

    @pytest.fixture
    def advance(self, store: Store) -> Advance:
        """Override: return a function that moves the store's clock on."""
        raise NotImplementedError("override advance")

    @pytest.fixture
    def case(self, store: Store) -> Case:
        """What accepts, leases and records on the store under test."""
        return Case(store)
