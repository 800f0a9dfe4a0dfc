"""The threads that an event loop lends to what runs on it (`to_thread`), and which are at work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from claimnotify.model.locks import ProcessLock

__all__ = ["LoopThreads"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class LoopThreads(ThreadPoolExecutor):
    """A standard pool that knows whether it is at work."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="claimnotify-loop")
        self._given_lock = ProcessLock()
        self._given: set[Future[Any]] = set()

    @property
    def at_work(self) -> bool:
        """Whether a thread runs something."""
        with self._given_lock:
            return any(not future.done() for future in self._given)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run `fn` on a thread and return its future."""
        future = super().submit(fn, *args, **kwargs)
        with self._given_lock:
            self._given.add(future)
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, future: Future[Any]) -> None:
        with self._given_lock:
            self._given.discard(future)
