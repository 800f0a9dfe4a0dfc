"""Deadlines for many requests at once, over one timer of the event loop.

`asyncio.timeout` makes a timer for each block, nearly all of which are cancelled unused; that costs
as much as a fifth of a small request. Deadlines that lie equally far ahead end in the order in which
they began, so one timer, set to the earliest, serves them all.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Deadline", "Deadlines"]


class Deadlines:
    """Makes deadlines. To be used on one event loop, or on one after the other."""

    __slots__ = ("_loop", "_running", "_timer")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> Deadline:
        """Return a context manager whose block raises TimeoutError if it takes longer."""
        return Deadline(self, seconds)

    def close(self) -> None:
        """Let go of the timer, unless a block still counts on it."""
        if self._timer is not None and not self._running:
            self._timer.cancel()
            self._timer = None

    def _add(self, deadline: Deadline, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            self._running.clear()
        self._running[deadline] = None
        if self._timer is not None:
            if deadline.when >= self._timer.when():
                return
            self._timer.cancel()
        self._timer = loop.call_at(deadline.when, self._strike, loop)

    def _remove(self, deadline: Deadline) -> None:
        self._running.pop(deadline, None)

    def _strike(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is late, and wait for the next; the timer may have been for one that is over."""
        self._timer = None
        now = loop.time()
        for deadline in [each for each in self._running if each.when <= now]:
            del self._running[deadline]
            deadline.pass_()
        if self._running:
            when = min(deadline.when for deadline in self._running)
            self._timer = loop.call_at(when, self._strike, loop)


class Deadline:
    """One block's deadline. Tells its own cancellation from others as `asyncio.timeout` does."""

    __slots__ = ("_cancelling", "_deadlines", "_passed", "_seconds", "_task", "when")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task to cancel")
        self._task = task
        self._cancelling = task.cancelling()
        loop = task.get_loop()
        self.when = loop.time() + self._seconds
        self._deadlines._add(self, loop)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines._remove(self)
        if (
            self._passed
            and self._task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc

    def pass_(self) -> None:
        """Cancel the block's task: its time is over."""
        self._passed = True
        self._task.cancel()
