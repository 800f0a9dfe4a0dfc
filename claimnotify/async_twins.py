"""The a-twins of the notifier's methods: the same calls for code that runs on an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from claimnotify.model.awaiting import awaited, on_thread
from claimnotify.model.events import Event
from claimnotify.model.jobs import Job
from claimnotify.model.notifications import BatchResult, Delivery, Notification

if TYPE_CHECKING:
    from claimnotify.webhooks.resealing import Resealed

__all__ = ["AsyncTwins"]


class AsyncTwins:
    """Adds an a-twin to each sync method. There is one code path: a thread, or the AsyncSession's."""

    if TYPE_CHECKING:
        notify: Callable[..., Notification]
        notify_many: Callable[..., BatchResult]
        publish: Callable[..., Notification]
        cancel: Callable[..., int]
        drain: Callable[..., Mapping[str, int]]
        history: Callable[..., Sequence[Notification]]
        delivery: Callable[..., Delivery]
        replay: Callable[..., Delivery]
        expunge: Callable[..., None]
        enqueue: Callable[..., Job]
        run_jobs: Callable[..., Mapping[str, int]]
        jobs: Callable[..., Sequence[Job]]
        reencrypt: Callable[..., Resealed]
        close: Callable[..., None]

    async def anotify(self, event: Event, *, session: Any = None, **options: Any) -> Notification:
        """Do as `notify`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(lambda joined: self.notify(event, session=joined, **options), session)

    async def anotify_many(
        self, event_for: Any, *, session: Any = None, **options: Any
    ) -> BatchResult:
        """Do as `notify_many`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(
            lambda joined: self.notify_many(event_for, session=joined, **options), session
        )

    async def apublish(self, event: Event, *, session: Any = None, **options: Any) -> Notification:
        """Do as `publish`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(lambda joined: self.publish(event, session=joined, **options), session)

    async def acancel(self, notification_id: str, *, session: Any = None) -> int:
        """Do as `cancel`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(lambda joined: self.cancel(notification_id, session=joined), session)

    async def adrain(self) -> Mapping[str, int]:
        """Do as `drain`, without blocking the event loop."""
        return await on_thread(self.drain)

    async def ahistory(self, **options: Any) -> Sequence[Notification]:
        """Do as `history`, without blocking the event loop."""
        return await on_thread(lambda: self.history(**options))

    async def adelivery(self, delivery_id: str) -> Delivery:
        """Do as `delivery`, without blocking the event loop."""
        return await on_thread(lambda: self.delivery(delivery_id))

    async def areplay(self, delivery_id: str, *, session: Any = None) -> Delivery:
        """Do as `replay`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(lambda joined: self.replay(delivery_id, session=joined), session)

    async def aexpunge(self, notification_id: str, *, session: Any = None) -> None:
        """Do as `expunge`, without blocking the event loop; `session` is an AsyncSession."""
        await awaited(lambda joined: self.expunge(notification_id, session=joined), session)

    async def aenqueue(
        self, function: Callable[..., Any], /, *, session: Any = None, **options: Any
    ) -> Job:
        """Do as `enqueue`, without blocking the event loop; `session` is an AsyncSession."""
        return await awaited(
            lambda joined: self.enqueue(function, session=joined, **options), session
        )

    async def arun_jobs(self) -> Mapping[str, int]:
        """Do as `run_jobs`, without blocking the event loop."""
        return await on_thread(self.run_jobs)

    async def ajobs(self, **options: Any) -> Sequence[Job]:
        """Do as `jobs`, without blocking the event loop."""
        return await on_thread(lambda: self.jobs(**options))

    async def areencrypt(self) -> Resealed:
        """Do as `reencrypt`, without blocking the event loop."""
        return await on_thread(self.reencrypt)

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        await on_thread(self.close)
