"""Requests to stop: the first one, the impatient second one, the echo of one, and waiting for one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TypeVar

__all__ = ["await_next", "stop_signals"]

_T = TypeVar("_T")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ECHO_SECONDS = 1.0
_LONGEST_WAIT = 0.5


@contextmanager
def stop_signals(
    first: Callable[[int], object], again: Callable[[int], object] | None
) -> Iterator[None]:
    """Handle SIGTERM and SIGINT inside the block; does nothing off the main thread.

    One request often arrives twice: service managers, terminals and wrappers signal a whole group
    and the parent passes it on as well. What follows within a second is such an echo.

    Args:
        first: Called with the first signal.
        again: Called with one that comes more than a second later. None: those are ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    begun: float | None = None

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal begun
        if begun is None:
            begun = time.monotonic()
            first(signum)
        elif again is not None and time.monotonic() - begun > _ECHO_SECONDS:
            again(signum)

    before = {signum: signal.signal(signum, handle) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def await_next(queue: SimpleQueue[_T], timeout: float = float("inf")) -> _T | None:
    """Return what comes next out of a queue that signal handlers fill; None after `timeout` seconds.

    The system may hand a signal to any thread, as it does when a stopped process is continued, and
    Python runs the handler in the main thread, which that does not wake. So it wakes by itself.
    """
    end = time.monotonic() + timeout
    while True:
        left = max(0.0, end - time.monotonic())
        try:
            return queue.get(timeout=min(left, _LONGEST_WAIT))
        except Empty:
            if time.monotonic() >= end:
                return None
