"""The threads that an event loop lends to what runs on it (`to_thread`): never waited for at exit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from claimnotify.delivery.job_threads import JobThreads

__all__ = ["LoopThreads"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_MOST = 32


class LoopThreads(ThreadPoolExecutor):
    """A pool like the one of every loop, but that its threads do not keep the interpreter.

    A standard pool is joined when the interpreter exits, so that one call that hangs would keep a
    stopped worker from ending. It is one by its type alone, which loops insist on.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._calls = JobThreads("claimnotify-loop")
        self._state = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._working = 0
        self._ended = False

    @property
    def at_work(self) -> bool:
        """Whether a thread runs something."""
        return self._working > 0

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run `fn` on a thread and return its future."""
        future: Future[_T] = Future()
        with self._state:
            if self._ended:
                raise RuntimeError("the event loop is being closed")
            self._waiting.append((future, lambda: fn(*args, **kwargs)))
            more = self._working < _MOST
            if more:
                self._working += 1
        if more:
            self._calls.run(self._work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more, and wait for what is given."""
        with self._state:
            self._ended = True
            while cancel_futures and self._waiting:
                self._waiting.popleft()[0].cancel()
            if wait:
                self._state.wait_for(lambda: not self._working)
        self._calls.close()

    def _work(self) -> None:
        while True:
            with self._state:
                if not self._waiting:
                    self._working -= 1
                    self._state.notify_all()
                    return
                future, call = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del future, call
