"""One event loop on a thread of its own, for callers that have none and for those that have one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from claimnotify.model.locks import ProcessLock

__all__ = ["LoopThread"]

_T = TypeVar("_T")


class LoopThread:
    """An event loop that runs on a daemon thread from first use until `close`."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run `coroutine` on the loop and return its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call `function` on the loop, soon."""
        self._running().call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Stop the loop and wait for its thread. What still runs on it is cancelled."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                # After a fork the thread is gone and its loop with it: begin anew.
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="claimnotify-loop", daemon=True
                )
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
