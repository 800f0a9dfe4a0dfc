"""The seams of the store: outbox, work queue, inbox and journal. Protocols and what they exchange."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import Attachment, InAppMessage
from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.states import DeliveryStatus
from claimnotify.policy.breaker import Trouble
from claimnotify.policy.rates import RateLimit
from claimnotify.ports.sending import Clock, EndpointStore

__all__ = [
    "Inbox",
    "InboxItem",
    "Journal",
    "Lease",
    "NewNotification",
    "Outbox",
    "Outcome",
    "Recorded",
    "Store",
    "Transaction",
    "Work",
    "WorkQueue",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A notification about to be written.

    Args:
        notification: With its deliveries.
        fingerprint: Tells another event under the same idempotency key apart.
        queue: Where its deliveries wait.
        priority: 0 is leased first.
        attachments: Files to keep with it.
        ordering_strict: Whether a delivery that fails holds up those after it under its ordering
            key until it has come to its end.
    """

    notification: Notification
    fingerprint: str
    queue: str
    priority: int
    attachments: Sequence[Attachment] = ()
    ordering_strict: bool = False


class Transaction(Protocol):
    """The transaction an accept works in: its own, or the caller's."""

    def now(self) -> datetime:
        """Return the clock's time."""

    def endpoints_of(
        self, tenant: str, owners: Collection[str]
    ) -> Mapping[str, Sequence[Endpoint]]:
        """Return the endpoints of each owner that has any."""

    def add(self, new: Sequence[NewNotification]) -> Sequence[Notification]:
        """Write notifications and deliveries; return them in order.

        Where an idempotency key was used before, its earlier notification is returned with
        `replayed` set and nothing is written for it.

        Raises:
            IdempotencyConflict: The key was used for something else. Nothing was written.
        """

    def cancel(self, tenant: str, notification_id: str) -> int:
        """Cancel what has not been sent; return how many deliveries that were.

        Raises:
            NotFound: This tenant has no such notification.
        """

    def ring(self, queue: str) -> None:
        """Ring `queue` when, and only if, the transaction commits."""


class Outbox(Protocol):
    """Opens transactions to accept in."""

    def transaction(self, session: Any = None) -> AbstractContextManager[Transaction]:
        """Return the caller's transaction if `session` is given, else one that commits at exit.

        Raises:
            ConfigurationError: The session's database is not the one of this store.
            StoreUnavailable: The database cannot be reached.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One leased delivery with what is needed to send it."""

    delivery: Delivery
    notification: Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Deliveries leased together, under one fencing token.

    Args:
        token: Identifies this lease; outcomes are written only while a row still carries it.
        works: What was leased; may be empty.
        poisoned: Whether this single delivery killed its worker too often: to be failed, not sent.
        alone: Whether it is to be sent with nothing else in hand.
        alone_wait: Whether there are others that are to be sent alone.
    """

    token: str
    works: Sequence[Work]
    poisoned: bool = False
    alone: bool = False
    alone_wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one leased delivery.

    Args:
        delivery_id: The delivery.
        tenant: Its tenant.
        notification_id: Its notification.
        token: The lease's token.
        channel: Its channel.
        status: The new state; `pending` for a retry or a release, `parked` to wait for its
            endpoint's breaker.
        reason: Why.
        due_at: When to look at it next; None unless `pending` or `parked`.
        attempt: The try to append, or None if no send was started.
        provider_id: The transport's own id, or empty.
        endpoint_id: The endpoint, or None.
        inbox_item: An inbox item to write in the same transaction, with its recipient's id.
        disable_endpoint: Whether to disable the endpoint in the same transaction.
    """

    delivery_id: str
    tenant: str
    notification_id: str
    token: str
    channel: str
    status: DeliveryStatus
    reason: str
    due_at: datetime | None = None
    attempt: Attempt | None = None
    provider_id: str = ""
    endpoint_id: str | None = None
    inbox_item: tuple[str, InAppMessage] | None = field(default=None, repr=False)
    disable_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of recording outcomes.

    Args:
        lost: The ids of deliveries that had lost their lease; their state was not changed.
        next_due: When the next of what the outcomes left waiting, or let go, is due; None if
            there is nothing.
    """

    lost: Collection[str] = ()
    next_due: datetime | None = None


class WorkQueue(Protocol):
    """Leases of due deliveries and the record of what became of them.

    `room` says of how many further deliveries of a channel there is room; channels that it does not
    name have room. `rates` are the rate limits of channels, enforced across all workers.
    """

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int] | None = None,
        rates: Mapping[str, RateLimit] | None = None,
    ) -> Lease | None:
        """Lease up to `limit` due deliveries for `duration`, or return None if nothing is due.

        Of deliveries of equal priority, each channel and each tenant gets its share. A delivery
        that is not the next under its ordering key is parked and not returned; then the lease may
        be without any.
        """

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out, or return None if there are none.

        Any of them may have killed its worker. Those for which that happened once are leased
        together. One for which it happened again is leased alone, and only if `alone` says that the
        caller has nothing else in hand.
        """

    def renew(self, token: str, delivery_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""

    def keep_content(self, token: str, contents: Mapping[str, str]) -> None:
        """Keep rendered content by delivery id, on rows that still carry `token`."""

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes and attempts in one transaction.

        A row that lost its lease keeps its state but gets its attempt. What ends, or fails without
        being strict, lets the next under its ordering key go. Failures and successes move the
        breaker of the endpoint, or of a channel that has none; a delivery is parked only while its
        endpoint's breaker is open.
        """

    def troubles(self) -> Mapping[str, Trouble]:
        """Return what has failed of late, by the breaker's name; may be a second old."""

    def release(self) -> int:
        """Let parked deliveries go whose breaker has closed, or of which one is to be tried.

        Returns how many became due. Called again and again, it lets them all go.
        """

    def take(self, tenant: str, wanted: Mapping[str, tuple[RateLimit, int]]) -> Mapping[str, int]:
        """Take sends from rate limits; return by the limit's name how many are allowed now.

        Args:
            tenant: Whose limits.
            wanted: By name, the limit and how many sends are wanted.
        """

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when there is next something to lease in `queue`, or None."""

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxItem:
    """One item of a recipient's in-app inbox.

    Args:
        id: 32 hexadecimal digits; sorts by time.
        notification_id: The notification it came from.
        title: One line.
        body: Plain text.
        url: Where it leads, or None.
        created_at: When it arrived.
        seen_at: When it was shown, or None.
        read_at: When it was read, or None.
        archived_at: When it was put away, or None.
    """

    id: str
    notification_id: str
    title: str
    body: str = field(repr=False)
    url: str | None = None
    created_at: datetime
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None


class Inbox(Protocol):
    """The in-app inbox of each recipient."""

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
        """Return items, newest first, older than the item `before`."""

    def count(self, tenant: str, recipient_id: str, *, mark: str) -> int:
        """Return how many items, archived ones aside, lack the mark `seen_at` or `read_at`."""

    def mark(
        self,
        tenant: str,
        recipient_id: str,
        mark: str,
        ids: Collection[str] | None,
        *,
        session: Any = None,
    ) -> int:
        """Set a mark (`seen_at`, `read_at`, `archived_at`) where it is unset; return how many.

        `ids` None means all of the recipient's items. Reading an item also marks it seen.
        """


class Journal(Protocol):
    """The audit: what was accepted and what became of it."""

    def history(
        self,
        tenant: str,
        *,
        notification_id: str | None = None,
        recipient: str | None = None,
        subject: str | None = None,
        event_type: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Notification]:
        """Return notifications, newest first, with deliveries and attempts."""


class Store(Protocol):
    """Everything that is kept."""

    clock: Clock
    outbox: Outbox
    work: WorkQueue
    inbox: Inbox
    endpoints: EndpointStore
    journal: Journal

    def check(self) -> None:
        """Make sure the schema is there, creating it where that is ours to do.

        Raises:
            SchemaMissing: It is not, and the database is a server; names the remedy.
            StoreUnavailable: The database cannot be reached.
        """

    def close(self) -> None:
        """Let go of connections."""
