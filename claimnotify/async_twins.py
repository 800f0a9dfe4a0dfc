"""The a-twins of the notifier's methods: the same calls for code that runs on an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from claimnotify.errors import InvalidInput
from claimnotify.model.events import Event
from claimnotify.model.jobs import Job
from claimnotify.model.notifications import BatchResult, Notification

__all__ = ["AsyncTwins", "on_thread"]

_T = TypeVar("_T")


class AsyncTwins:
    """Adds an a-twin to each sync method. There is one code path: a thread, or the AsyncSession's."""

    if TYPE_CHECKING:
        notify: Callable[..., Notification]
        notify_many: Callable[..., BatchResult]
        publish: Callable[..., Notification]
        cancel: Callable[..., int]
        drain: Callable[..., Mapping[str, int]]
        history: Callable[..., Sequence[Notification]]
        enqueue: Callable[..., Job]
        run_jobs: Callable[..., Mapping[str, int]]
        jobs: Callable[..., Sequence[Job]]
        close: Callable[..., None]

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
        return await on_thread(self.drain)

    async def ahistory(self, **options: Any) -> Sequence[Notification]:
        """Do as `history`, without blocking the event loop."""
        return await on_thread(lambda: self.history(**options))

    async def aenqueue(
        self, function: Callable[..., Any], /, *, session: Any = None, **options: Any
    ) -> Job:
        """Do as `enqueue`, without blocking the event loop; `session` is an AsyncSession."""
        return await _awaited(
            lambda joined: self.enqueue(function, session=joined, **options), session
        )

    async def arun_jobs(self) -> Mapping[str, int]:
        """Do as `run_jobs`, without blocking the event loop."""
        return await on_thread(self.run_jobs)

    async def ajobs(self, **options: Any) -> Sequence[Job]:
        """Do as `jobs`, without blocking the event loop."""
        return await on_thread(lambda: self.jobs(**options))

    async def aclose(self) -> None:
        """Do as `close`, without blocking the event loop."""
        await on_thread(self.close)


async def _awaited(call: Callable[[Any], _T], session: Any) -> _T:
    """Run a sync call in the caller's AsyncSession, or on a thread when there is none."""
    if session is None:
        return await on_thread(lambda: call(None))
    if not hasattr(session, "run_sync"):
        raise InvalidInput("session", "is not an AsyncSession", "Call the method without the a.")
    joined: Awaitable[_T] = session.run_sync(call)
    return await joined


async def on_thread(call: Callable[[], _T]) -> _T:
    """Run a sync call on a thread. asyncio is loaded here: importing the notifier must stay cheap."""
    import asyncio

    return await asyncio.to_thread(call)
