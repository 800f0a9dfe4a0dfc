"""One event loop on a thread of its own, for callers that have none and for those that have one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

from claimnotify.delivery.loop_threads import LoopThreads
from claimnotify.model.locks import ProcessLock

__all__ = ["LoopThread"]

_T = TypeVar("_T")
_CLOSING = 1.5
"""Seconds that `close` waits."""

_log = logging.getLogger("claimnotify.loop")


class LoopThread:
    """An event loop that runs on a daemon thread from first use until `close`."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._threads: LoopThreads | None = None

    @property
    def threads_at_work(self) -> bool:
        """Whether a thread is at work that something on the loop has started (`to_thread`).

        It goes on when whoever awaits it is cancelled: Python cannot stop a thread.
        """
        threads = self._threads
        return threads is not None and threads.at_work

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run `coroutine` on the loop and return its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Call `function` on the loop, soon."""
        self._running().call_soon_threadsafe(function, *arguments)

    def complete(self, coroutine: Coroutine[Any, Any, object], *, timeout: float) -> bool:
        """Run `coroutine` to its end; return whether that came within `timeout` seconds."""
        future = self.submit(coroutine)
        if wait((future,), timeout).not_done:
            future.cancel()
            return False
        future.result()
        return True

    def close(self) -> bool:
        """Stop the loop, cancel what still runs on it, and wait, two seconds at most.

        Returns:
            Whether all has ended. What blocks the loop, swallows its cancellation or has a thread
            at work is left behind.
        """
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return True
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSING)
        if thread.is_alive():
            _log.warning("something on the event loop does not end, and is left behind")
            return False
        return True

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                # After a fork the thread is gone and its loop with it: begin anew.
                loop = self._loop = asyncio.new_event_loop()
                threads = self._threads = LoopThreads()
                loop.set_default_executor(threads)
                self._thread = threading.Thread(
                    target=self._run, args=(loop, threads), name="claimnotify-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop, threads: LoopThreads) -> None:
        asyncio.set_event_loop(loop)
        try:
            while self._loop is loop:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    # Out of a task that nobody awaits. The loop is not that task's to end.
                    _log.error("%s in a task on the event loop is ignored", type(error).__name__)
        finally:
            with self._lock:
                if self._loop is loop:  # broken: whoever comes next gets another
                    self._loop = self._thread = None
            _wind_down(loop, threads)


def _wind_down(loop: asyncio.AbstractEventLoop, threads: LoopThreads) -> None:
    """Cancel what runs, and close the loop once all has ended, however long that takes."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    tasks.add(loop.create_task(_ended(tuple(tasks), loop)))
    while not all(task.done() for task in tasks):
        with suppress(SystemExit, KeyboardInterrupt):  # of one that answers its cancellation so
            loop.run_until_complete(asyncio.wait(tasks))
    threads.shutdown(wait=True, cancel_futures=True)
    loop.close()


async def _ended(tasks: tuple[asyncio.Task[Any], ...], loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
