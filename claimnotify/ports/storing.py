"""The seams of the store: outbox, inbox, journal, and all together. Protocols and what they exchange."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import Attachment
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports.endpoints import EndpointStore, Sealing
from claimnotify.ports.jobs import JobQueue
from claimnotify.ports.replaying import Replays
from claimnotify.ports.sending import Clock
from claimnotify.ports.working import WorkQueue

__all__ = [
    "Inbox",
    "InboxItem",
    "Journal",
    "NewNotification",
    "Outbox",
    "Store",
    "StoreClock",
    "Transaction",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A notification about to be written.

    Args:
        notification: With its deliveries.
        fingerprint: Tells another event under the same idempotency key apart.
        queue: Where its deliveries wait.
        priority: Of one tenant's, 0 is leased first.
        attachments: Files to keep with it.
        ordering_strict: Whether a delivery that fails holds up those after it under its ordering
            key until it has come to its end.
        ordered: The ids of deliveries whose endpoint gets one after the other, whatever their
            key, and whether one that fails holds up those after it.
    """

    notification: Notification
    fingerprint: str
    queue: str
    priority: int
    attachments: Sequence[Attachment] = ()
    ordering_strict: bool = False
    ordered: Mapping[str, bool] | None = None


class Transaction(Protocol):
    """The transaction an accept works in: its own, or the caller's."""

    def now(self) -> datetime:
        """Return the clock's time."""

    def endpoints_of(
        self, tenant: str, owners: Collection[str]
    ) -> Mapping[str, Sequence[Endpoint]]:
        """Return the endpoints of each owner that has any."""

    def add(self, new: Sequence[NewNotification], *, last: bool = False) -> Sequence[Notification]:
        """Write notifications and deliveries, all of one tenant; return them in order.

        Where an idempotency key was used before, its earlier notification is returned with
        `replayed` set and nothing is written for it.

        Args:
            new: What to write.
            last: Whether nothing more is written in this transaction: unless it is the caller's, it
                may then be committed at once.

        Raises:
            IdempotencyConflict: The key was used for something else. Nothing was written.
        """

    def cancel(self, tenant: str, notification_id: str) -> int:
        """Cancel what has not been sent; return how many deliveries that were.

        Raises:
            NotFound: This tenant has no such notification.
        """

    def take_notice(self, notice_id: str) -> bool:
        """Delete a notice that is told in this transaction; return whether it was still there.

        Of two transactions that take the same, one gets it and the other waits for its end.
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

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        """Return a delivery with its attempts, or None if this tenant has none of that id."""

    def attempts(
        self,
        tenant: str,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None = None,
        succeeded: bool | None = None,
        event_type: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[AttemptRecord]:
        """Return attempts to reach an endpoint: of its newest delivery first, each one's newest first.

        Args:
            tenant: Whose endpoint.
            endpoint_id: The endpoint; it may have been deleted.
            status: Only those of deliveries that are in this state.
            succeeded: Only those that were answered well, or only the others.
            event_type: Only those of this type.
            limit: At most how many.
            before: Only those that follow after the attempt with this id; nothing if there is none.
        """


class StoreClock(Clock, Protocol):
    """The clock of a store, which can also be asked where nothing may block."""

    def estimate(self) -> datetime:
        """Return the time as far as it is known without I/O; for event loops."""


class Store(Protocol):
    """Everything that is kept."""

    @property
    def clock(self) -> StoreClock:
        """Its clock."""

    @property
    def outbox(self) -> Outbox:
        """Where notifications are accepted."""

    @property
    def work(self) -> WorkQueue:
        """The deliveries to send."""

    @property
    def jobs(self) -> JobQueue:
        """Other background work."""

    @property
    def inbox(self) -> Inbox:
        """The in-app inboxes."""

    @property
    def endpoints(self) -> EndpointStore:
        """The webhook endpoints."""

    @property
    def sealing(self) -> Sealing:
        """What is encrypted."""

    @property
    def journal(self) -> Journal:
        """The audit."""

    @property
    def replays(self) -> Replays:
        """What is sent again, and whose payload is removed."""

    def check(self) -> None:
        """Make sure the schema is there, creating it where that is ours to do.

        Raises:
            SchemaMissing: It is not, and the database is a server; names the remedy.
            StoreUnavailable: The database cannot be reached.
        """

    def upgrade(self) -> None:
        """Create or migrate the schema."""

    def describe(self) -> str:
        """Return where it is, without a password."""

    def close(self) -> None:
        """Let go of connections."""
