"""The public face: one object through which an application notifies, publishes, cancels and reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from claimnotify.async_twins import AsyncTwins
from claimnotify.errors import InvalidRecipient
from claimnotify.model.checks import check_page
from claimnotify.model.events import Event, catalogue, spec_of
from claimnotify.model.notifications import BatchResult, Notification
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.recipients import Recipient, check_identifier, check_tenant
from claimnotify.operations import Operations
from claimnotify.replaying import ReplayCalls
from claimnotify.services import Services

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.delivery.requests import Request

__all__ = ["BatchResult", "Notifier"]


class Notifier(Operations, ReplayCalls, Services, AsyncTwins):
    """Tells people and systems what happened. Thread-safe; make one per process with `from_settings`.

    Every write takes `session=`, a SQLAlchemy `Session` whose transaction it joins. Every method
    has an a-twin for async code (`anotify`, `acancel` …) whose `session` is an `AsyncSession`.
    """

    def __init__(
        self, parts: Parts, *, tenant: str, events: Iterable[type[Event]] = catalogue
    ) -> None:
        super().__init__(parts, tenant=tenant)
        self._checked: set[type[Event]] = set()
        self._check_events(events)

    @classmethod
    def from_settings(cls, **options: Any) -> Notifier:
        """Return a notifier built from the environment.

        Args:
            **options: Any setting by its name (`database_url=`, `queue_url=` …), taking precedence
                over the environment; and `brand=` (a `Brand`), `retry=` (a `RetrySchedule` by
                channel), `dispatcher=`, `channels=` (factories by name instead of entry points), `store=`
                (makes a `Store` instead of the database's; called with `ring=`), and
                `recipient_for=` (returns the `Recipient` of an owner's id, or None if there is
                none; called with `tenant=` besides where it takes that). Owners are told over it
                what concerns their webhook endpoints; without it only in the inbox of their id. It
                is called by whatever delivers, and ought to answer soon.

        Raises:
            ConfigurationError: A setting, template or channel is wrong; it names which.
        """
        from claimnotify.composition import assemble
        from claimnotify.settings import Settings

        names = ("brand", "retry", "dispatcher", "channels", "random", "store", "recipient_for")
        own = {name: options.pop(name) for name in names if name in options}
        settings = Settings.load(**options)
        parts = assemble(settings, **own)
        if parts.embedded is not None:
            parts.store.check()
        return cls(parts, tenant=settings.tenant)

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
        ordering_key: str | None = None,
        ordering_strict: bool = False,
        tags: Sequence[str] = (),
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
            ordering_key: Deliveries under one key go to an address or endpoint one after the
                other, in the order in which they were committed.
            ordering_strict: Whether a delivery that fails holds up those after it under its key
                until it has come to its end; otherwise they go on while it waits to be retried.
            tags: Up to 10 words that webhook endpoints with tags of their own choose by.
            session: The caller's session; then it is committed when that commits.

        Returns:
            The notification with its deliveries.

        Raises:
            InvalidInput: Something is malformed; nothing was written.
            IdempotencyConflict: The key was used for something else; nothing was written.
            StoreUnavailable: The database cannot be reached. If it was lost while it was committing,
                the notification may have been written: call again with an `idempotency_key`.
        """
        from claimnotify.delivery.requests import Request

        if not isinstance(to, Recipient):
            raise InvalidRecipient("to", f"is a {type(to).__name__}", "Give a Recipient.")
        request = Request(
            event=event,
            recipient=to,
            owner=to.id,
            idempotency_key=idempotency_key,
            at=at,
            delay=delay,
            expires=expires,
            attachments=attachments,
            ordering_key=ordering_key,
            ordering_strict=ordering_strict,
            tags=tags,
        )
        return self._accept([request], session)[0]

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
            idempotency_key_for: Makes each one's key, so that a repeated call continues. It has to
                return one for each.
            at: When to send, aware; or
            delay: how long to wait before sending.
            session: The caller's session; then all chunks are in its transaction.

        Raises:
            InvalidInput: An argument is wrong; nothing is written. Or what came for one recipient
                is; earlier chunks are written, this is not.
        """
        from claimnotify.delivery.many import chunks_of_requests

        chunks = chunks_of_requests(
            event_for, to=to, key_for=idempotency_key_for, at=at, delay=delay
        )
        written = replayed = 0
        for requests in chunks:
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
        ordering_key: str | None = None,
        ordering_strict: bool = False,
        tags: Sequence[str] = (),
        session: Any = None,
    ) -> Notification:
        """Tell an owner's webhook endpoints what happened; no person is told.

        Args:
            event: What happened; its channels name `webhook`.
            owner: Whose endpoints.
            idempotency_key: Unique in the tenant: a repeat returns the first result.
            at: When to send, aware; or
            delay: how long to wait before sending.
            ordering_key: As for `notify`.
            ordering_strict: As for `notify`.
            tags: As for `notify`.
            session: The caller's session.
        """
        from claimnotify.delivery.requests import Request

        check_identifier(owner, "owner")
        request = Request(
            event=event,
            recipient=None,
            owner=owner,
            idempotency_key=idempotency_key,
            at=at,
            delay=delay,
            ordering_key=ordering_key,
            ordering_strict=ordering_strict,
            tags=tags,
        )
        return self._accept([request], session)[0]

    def cancel(self, notification_id: str, *, session: Any = None) -> int:
        """Call back what has not been sent; return how many deliveries waited and were cancelled.

        What a worker has in hand is not counted: a send that is under way is not called back, but
        not tried again either, and one that had not begun is cancelled then.

        Raises:
            NotFound: This tenant has no such notification.
        """
        check_identifier(notification_id, "notification_id")
        self._parts.store.check()
        return self._parts.acceptor.cancel(notification_id, tenant=self._tenant, session=session)

    def drain(self) -> Mapping[str, int]:
        """Deliver all that is due now, in this process; return how many ended in which state."""
        self._parts.store.check()
        return dict(self._parts.drain(DELIVERIES).until_idle())

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
        wanted = {
            "recipient": recipient,
            "subject": subject,
            "event_type": event_type,
            "notification_id": notification_id,
            "before": before,
        }
        check_page(limit, **wanted)
        self._parts.store.check()
        return self._parts.store.journal.history(self._tenant, limit=limit, **wanted)

    def for_tenant(self, tenant: str) -> Notifier:
        """Return a notifier bound to another tenant, sharing everything else."""
        return Notifier(self._parts, tenant=check_tenant(tenant), events=())

    def _accept(self, requests: Sequence[Request], session: Any) -> Sequence[Notification]:
        self._parts.store.check()
        self._check_events(type(each.event) for each in requests if isinstance(each.event, Event))
        return self._parts.acceptor.accept(requests, tenant=self._tenant, session=session)

    def _check_events(self, events: Iterable[type[Event]]) -> None:
        """Check templates and channels of event classes not seen before."""
        fresh = {event for event in events if event not in self._checked}
        if fresh:
            from claimnotify.policy.routing import channels_of
            from claimnotify.webhooks.events import EndpointEvent

            # Ours go over those of their channels that are installed, and their templates are
            # checked by the tests, unless the application may have put others in their place.
            ours = {event for event in fresh if issubclass(event, EndpointEvent)}
            for event in fresh - ours:
                channels_of(spec_of(event), self._parts.channels)
            overridden = self._parts.settings.template_dir is not None
            self._parts.renderer.check(fresh if overridden else fresh - ours)
            self._checked |= fresh
