"""What the in-memory store keeps: immutable rows in tables, under one lock, and the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from claimnotify.errors import ConfigurationError
from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.model.ids import IdSource
from claimnotify.model.jobs import Job
from claimnotify.model.messages import Attachment
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.ports import InboxItem

__all__ = [
    "WAITING",
    "Breaker",
    "Kept",
    "KeptAttempt",
    "KeptDelivery",
    "KeptItem",
    "KeptJob",
    "KeptKey",
    "KeptNotification",
    "MemoryClock",
    "Tables",
    "refuse_session",
]

WAITING = (DeliveryStatus.PENDING, DeliveryStatus.SCHEDULED, DeliveryStatus.PARKED)
"""The states in which a delivery can be leased or cancelled."""


class MemoryClock:
    """The host's time, and what a test has moved it on by."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def estimate(self) -> datetime:
        """Return the time; asking costs nothing here."""
        return self.now()

    def advance(self, by: timedelta) -> None:
        """Move the clock on."""
        self._offset += by


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptNotification:
    """A notification without its deliveries, and what only the store needs to know of it."""

    notification: Notification
    fingerprint: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDelivery:
    """A delivery, where it waits, who has it, and its place under its ordering key.

    A waiting row has `delivery.due_at`, a leased one `token` and `until`, one at its end neither.
    """

    delivery: Delivery
    position: int
    queue: str
    priority: int
    token: str | None = None
    until: datetime | None = None
    crashes: int = 0
    cancel_requested: bool = False
    parked_for: str | None = None
    stream: tuple[str, ...] | None = None
    place: int = 0
    strict: bool = False

    @property
    def id(self) -> str:
        """The delivery's id."""
        return self.delivery.id

    @property
    def lane(self) -> tuple[int, str, str]:
        """Its priority, channel and tenant."""
        return self.priority, self.delivery.channel, self.delivery.tenant

    @property
    def due_at(self) -> datetime | None:
        """When it is due, or None if it does not wait."""
        return self.delivery.due_at

    @property
    def waits(self) -> bool:
        """Whether it can be leased or cancelled."""
        return self.delivery.status in WAITING

    def let_go(self, now: datetime) -> KeptDelivery:
        """Return it as due, where it was parked."""
        delivery = replace(
            self.delivery, status=DeliveryStatus.PENDING, reason=Reason.RELEASED, due_at=now
        )
        return replace(self, delivery=delivery, parked_for=None)

    def called_back(self, now: datetime, reason: Reason = Reason.CANCELLED) -> KeptDelivery:
        """Return it as cancelled, for that reason unless its payload was removed."""
        expunged = self.delivery.reason == Reason.EXPUNGED
        delivery = replace(
            self.delivery,
            status=DeliveryStatus.CANCELLED,
            reason=Reason.EXPUNGED if expunged else reason,
            due_at=None,
            finished_at=now,
        )
        return replace(
            self, delivery=delivery, token=None, until=None, parked_for=None, stream=None
        )


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """An attempt and its id."""

    id: str
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptJob:
    """A job, who has it, and the key that no other of its name may have."""

    job: Job
    key: str | None
    token: str | None = None
    until: datetime | None = None
    crashes: int = 0

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def lane(self) -> tuple[int, str, str]:
        """Its priority, name and tenant."""
        return self.job.priority, self.job.name, self.job.tenant

    @property
    def due_at(self) -> datetime | None:
        """When it is due, or None if it does not wait."""
        return self.job.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptItem:
    """An inbox item and whose it is."""

    tenant: str
    recipient_id: str
    item: InboxItem


@dataclass(frozen=True, slots=True)
class KeptKey:
    """An endpoint's key and whose it is."""

    tenant: str
    key: EndpointKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of an endpoint or channel that fails, and when the next waiting is let go."""

    trouble: Trouble = field(default_factory=Trouble)
    release_at: datetime | None = None


@dataclass(slots=True)
class Tables:
    """Every table, by id. Rows are never changed but replaced, so a copy of the tables is a copy."""

    notifications: dict[str, KeptNotification] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    deliveries: dict[str, KeptDelivery] = field(default_factory=dict)
    attempts: dict[str, tuple[KeptAttempt, ...]] = field(default_factory=dict)
    attempted: dict[tuple[str, str], None] = field(default_factory=dict)
    jobs: dict[str, KeptJob] = field(default_factory=dict)
    items: dict[str, KeptItem] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    told: dict[str, datetime] = field(default_factory=dict)
    endpoint_keys: dict[str, KeptKey] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    notices: dict[str, EndpointNotice] = field(default_factory=dict)
    rates: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def copy(self) -> Tables:
        """Return the tables as they are now."""
        return Tables(**{each.name: dict(getattr(self, each.name)) for each in fields(self)})

    def restore(self, earlier: Tables) -> None:
        """Become what `earlier` was; whoever holds these tables goes on with that."""
        for each in fields(self):
            setattr(self, each.name, getattr(earlier, each.name))


class Kept:
    """The tables and the lock that every use of them holds.

    Args:
        new_id: Makes ids that sort by time.
    """

    def __init__(self, new_id: Callable[[], str] | None = None) -> None:
        self.tables = Tables()
        self.clock = MemoryClock()
        self.new_id = new_id or IdSource()
        self.lock = threading.RLock()
        self._places = 0

    @contextmanager
    def changing(self) -> Iterator[Tables]:
        """Hold the lock; if the block raises, all is as it was."""
        with self.lock:
            before = self.tables.copy()
            try:
                yield self.tables
            except BaseException:
                self.tables.restore(before)
                raise

    def next_place(self) -> int:
        """Return a number greater than any before; call it with the lock held."""
        self._places += 1
        return self._places


def refuse_session(session: object) -> None:
    """Do nothing if no session was given.

    Raises:
        ConfigurationError: One was; this store is in no database.
    """
    if session is not None:
        raise ConfigurationError(
            "session", "cannot be joined by a store in memory", "Leave session out."
        )
