"""Runs sync calls for async code: on a thread, or in the caller's AsyncSession."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from claimnotify.errors import InvalidInput

__all__ = ["awaited", "on_thread"]

_T = TypeVar("_T")


async def awaited(call: Callable[[Any], _T], session: Any) -> _T:
    """Run `call(session)` where it may block: on a thread, or inside the AsyncSession's greenlet.

    Raises:
        InvalidInput: `session` is neither an AsyncSession nor None; `call` was not made.
    """
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
