"""Tells a first request to stop from the impatient second one, and from an echo of the first."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ECHO_SECONDS = 1.0


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
