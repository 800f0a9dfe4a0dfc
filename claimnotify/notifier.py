"""The public face: one object through which an application notifies, publishes, cancels and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from claimnotify.errors import InvalidInput, InvalidRecipient
from claimnotify.model.events import Event, catalogue, spec_of
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient, check_identifier

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.delivery.queue_worker import QueueWorker
    from claimnotify.inbox import InboxService
    from claimnotify.ports import Dispatcher
    from claimnotify.settings import Settings
    from claimnotify.webhooks.endpoints import EndpointService

__all__ = ["BatchResult", "Notifier"]

_T = TypeVar("_T")
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What `notify_many` did.

    Args:
        notifications: How many were written.
        replayed: How many had been written before under their idempotency key.
    """

    notifications: int
    replayed: int


class Notifier:
    """Tells people and systems what happened. Thread-safe; make one per process with `from_settings`.

    Every write takes `session=`, a SQLAlchemy `Session` whose transaction it joins. Every method
    has an a-twin for async code (`anotify`, `acancel` …) whose `session` is an `AsyncSession`.
    """

    def __init__(self, parts: Parts, *, tenant: str) -> None:
        self._parts = parts
        self._tenant = tenant
        self._checked: set[type[Event]] = set()
        self._check_events(catalogue)

    @classmethod
    def from_settings(cls, **options: Any) -> Notifier:
        """Return a notifier built from the environment.

        Args:
            **options: Any setting by its name (`database_url=`, `queue_url=` …), taking precedence
                over the environment; and `brand=` (a `Brand`), `retry=` (a `RetrySchedule` by
                channel), `dispatcher=`, `channels=` (factories by name instead of entry points).

        Raises:
            ConfigurationError: A setting, template or channel is wrong; it names which.
        """
        from claimnotify.composition import assemble
        from claimnotify.settings import Settings

        names = ("brand", "retry", "dispatcher", "channels", "random")
        own = {name: options.pop(name) for name in names if name in options}
        settings = Settings.load(**options)
        parts = assemble(settings, **own)
        if parts.store.url.get_backend_name() == "sqlite":
            parts.store.check()
        return cls(parts, tenant=check_identifier(settings.tenant, "tenant"))

    def notify(
        self,
        event: Event,
        *,
        to: Recipient,
        idempotency_key: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        expires: datetime | timedelta | None = None,
        attachments: Sequence[Any] = (),
        session: Any = None,
    ) -> Notification:
        """Tell one recipient what happened. When it returns, it is committed and will be delivered.

        Args:
            event: What happened.
            to: Whom to tell.
            idempotency_key: Unique in the tenant: a repeat returns the first result.
            at: When to send, aware; or
            delay: how long to wait before sending.
            expires: When sending becomes pointless, or how long after now.
            attachments: `Attachment`s for channels that carry files.
            session: The caller's session; then it is committed when that commits.

        Returns:
            The notification with its deliveries.

        Raises:
            InvalidInput: Something is malformed; nothing was written.
            IdempotencyConflict: The key was used for something else; nothing was written.
            StoreUnavailable: The database cannot be reached; nothing was written.
        """
        if not isinstance(to, Recipient):
            raise InvalidRecipient("to", f"is a {type(to).__name__}", "Give a Recipient.")
        return self._accept(
            [
                {
                    "event": event,
                    "recipient": to,
                    "owner": to.id,
                    "idempotency_key": idempotency_key,
                    "at": at,
                    "delay": delay,
                    "expires": expires,
                    "attachments": tuple(attachments),
                }
            ],
            session,
        )[0]

    def notify_many(
        self,
        event_for: Event | Callable[[Recipient], Event],
        *,
        to: Iterable[Recipient],
        idempotency_key_for: Callable[[Recipient], str] | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        session: Any = None,
    ) -> BatchResult:
        """Tell many recipients, in chunks of one transaction each and in constant memory.

        Args:
            event_for: The event, or what makes it for a recipient.
            to: The recipients; any iterable, read once.
            idempotency_key_for: Makes each one's key, so that a repeated call continues.
            at: When to send, aware; or
            delay: how long to wait before sending.
            session: The caller's session; then all chunks are in its transaction.

        Raises:
            InvalidInput: A recipient or event is wrong; earlier chunks are written, this is not.
        """
        written = replayed = 0
        for chunk in _chunks(to):
            requests = []
            for each in chunk:
                if not isinstance(each, Recipient):
                    raise InvalidRecipient("to", f"has a {type(each).__name__}", "Give Recipients.")
                key = None if idempotency_key_for is None else idempotency_key_for(each)
                event = event_for if isinstance(event_for, Event) else event_for(each)
                requests.append(
                    {
                        "event": event,
                        "recipient": each,
                        "owner": each.id,
                        "idempotency_key": key,
                        "at": at,
                        "delay": delay,
                    }
                )
            for accepted in self._accept(requests, session):
                replayed += accepted.replayed
                written += not accepted.replayed
        return BatchResult(written, replayed)

    def publish(
        self,
        event: Event,
        *,
        owner: str,
        idempotency_key: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        session: Any = None,
    ) -> Notification:
        """Tell an owner's webhook endpoints what happened; no person is told.

        Args:
            event: What happened; its channels name `webhook`.
            owner: Whose endpoints.
            idempotency_key: Unique in the tenant: a repeat returns the first result.
            at: When to send, aware; or
            delay: how long to wait before sending.
            session: The caller's session.
        """
        check_identifier(owner, "owner")
        request = {
            "event": event,
            "recipient": None,
            "owner": owner,
            "idempotency_key": idempotency_key,
            "at": at,
            "delay": delay,
        }
        return self._accept([request], session)[0]

    def cancel(self, notification_id: str, *, session: Any = None) -> int:
        """Call back what has not been sent; return how many deliveries were cancelled.

        A send that is under way is not called back, but not tried again either.

        Raises:
            NotFound: This tenant has no such notification.
        """
        check_identifier(notification_id, "notification_id")
        self._parts.store.check()
        with self._parts.store.outbox.transaction(session) as transaction:
            return transaction.cancel(self._tenant, notification_id)

    def drain(self) -> Mapping[str, int]:
        """Deliver all that is due now, in this process; return how many ended in which state."""
        self._parts.store.check()
        return dict(self._parts.drain("notifications").until_idle())

    def history(
        self,
        *,
        recipient: str | None = None,
        subject: str | None = None,
        event_type: str | None = None,
        notification_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Notification]:
        """Return notifications, newest first, with deliveries and attempts.

        Args:
            recipient: Only those for this recipient's or owner's id.
            subject: Only those about this thing.
            event_type: Only those of this type.
            notification_id: Only this one.
            limit: At most how many, 1 to 1000.
            before: Only those older than this notification's id.
        """
        if not 1 <= limit <= 1000:
            raise InvalidInput("limit", "is not between 1 and 1000", "Page with `before`.")
        self._parts.store.check()
        return self._parts.store.journal.history(
            self._tenant,
            notification_id=notification_id,
            recipient=recipient,
            subject=subject,
            event_type=event_type,
            limit=limit,
            before=before,
        )

    @property
    def endpoints(self) -> EndpointService:
        """The webhook endpoints of this tenant."""
        from claimnotify.webhooks.endpoints import EndpointService

        self._parts.store.check()
        return EndpointService(
            self._parts.store.endpoints,
            cipher=self._parts.cipher,
            policy=self._parts.policy,
            clock=self._parts.store.clock,
            new_id=self._parts.new_id,
            tenant=self._tenant,
        )

    @property
    def inbox(self) -> InboxService:
        """The in-app inboxes of this tenant."""
        from claimnotify.inbox import InboxService

        self._parts.store.check()
        return InboxService(self._parts.store.inbox, tenant=self._tenant)

    def for_tenant(self, tenant: str) -> Notifier:
        """Return a notifier bound to another tenant, sharing everything else."""
        return Notifier(self._parts, tenant=check_identifier(tenant, "tenant"))

    def upgrade(self) -> None:
        """Create or migrate the database's tables. Any number of processes may call it at once."""
        self._parts.store.upgrade()

    def status(self) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""
        self._parts.store.check()
        return self._parts.store.work.counts(self._tenant)

    def close(self) -> None:
        """Close connections; the notifier and those of other tenants from it cannot be used after."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def anotify(self, event: Event, *, session: Any = None, **options: Any) -> Notification:
        """Do as `notify`, without blocking the event loop; `session` is an AsyncSession."""
        return await _awaited(lambda joined: self.notify(event, session=joined, **options), session)

    async def anotify_many(
        self, event_for: Any, *, session: Any = None, **options: Any
    ) -> BatchResult:
        """Do as `notify_many`, without blocking the event loop; `session` is an AsyncSession."""
        return await _awaited(
            lambda joined: self.notify_many(event_for, session=joined, **options), session
        )

    async def apublish(self, event: Event, *, session: Any = None, **options: Any) -> Notification:
        """Do as `publish`, without blocking the event loop; `session` is an AsyncSession."""
        return await _awaited(
            lambda joined: self.publish(event, session=joined, **options), session
        )

    async def acancel(self, notification_id: str, *, session: Any = None) -> int:
        """Do as `cancel`, without blocking the event loop; `session` is an AsyncSession."""
        return await _awaited(lambda joined: self.cancel(notification_id, session=joined), session)

    async def adrain(self) -> Mapping[str, int]:
        """Do as `drain`, without blocking the event loop."""
        return await asyncio.to_thread(self.drain)

    async def ahistory(self, **options: Any) -> Sequence[Notification]:
        """Do as `history`, without blocking the event loop."""
        return await asyncio.to_thread(self.history, **options)

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    # What the worker and the command line use.

    @property
    def settings(self) -> Settings:
        """The settings it was built from."""
        return self._parts.settings

    @property
    def dispatcher(self) -> Dispatcher:
        """The doorbell."""
        return self._parts.dispatcher

    def describe(self) -> Mapping[str, str]:
        """Return where database and queue are, without passwords."""
        dispatcher = self._parts.dispatcher
        return {
            "database": self._parts.store.describe(),
            "queue": dispatcher.describe()
            if hasattr(dispatcher, "describe")
            else type(dispatcher).__name__,
        }

    def queue_worker(self, queue: str) -> QueueWorker:
        """Return a worker of `queue`, not yet started."""
        from claimnotify.delivery.queue_worker import QueueWorker

        self._parts.store.check()
        drain = self._parts.drain(queue, on_more=self._parts.dispatcher.ring)
        store = self._parts.store
        return QueueWorker(queue, drain=drain, work=store.work, clock=store.clock)

    def _accept(
        self, requests: Sequence[Mapping[str, Any]], session: Any
    ) -> Sequence[Notification]:
        from claimnotify.delivery.accept import Request

        self._parts.store.check()
        made = [Request(**request) for request in requests]
        self._check_events(type(each.event) for each in made if isinstance(each.event, Event))
        return self._parts.acceptor.accept(made, tenant=self._tenant, session=session)

    def _check_events(self, events: Iterable[type[Event]]) -> None:
        """Check templates and channels of event classes not seen before."""
        from claimnotify.policy.routing import channels_of

        fresh = {event for event in events if event not in self._checked}
        if fresh:
            for event in fresh:
                channels_of(spec_of(event), self._parts.channels)
            self._parts.renderer.check(fresh)
            self._checked |= fresh


def _chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk


async def _awaited(call: Callable[[Any], _T], session: Any) -> _T:
    """Run a sync call in the caller's AsyncSession, or on a thread when there is none."""
    if session is None:
        return await asyncio.to_thread(call, None)
    if not hasattr(session, "run_sync"):
        raise InvalidInput("session", "is not an AsyncSession", "Call the method without the a.")
    joined: Awaitable[_T] = session.run_sync(call)
    return await joined
