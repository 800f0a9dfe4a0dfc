"""Lets a worker process end when it is done, whatever threads its jobs have left in it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import thread as pools
from contextlib import suppress

__all__ = ["end_soon"]

_PATIENCE = 1.0
_FLUSH_SECONDS = 1.0

_logger = logging.getLogger(__name__)


def end_soon(code: int, *, patience: float = _PATIENCE) -> None:
    """See to it that this process, which is about to exit, is not kept by threads that do not end.

    The interpreter waits for threads that are no daemons before it exits, those of `to_thread` and of
    thread pools included. One that hangs would keep a stopped worker for ever.

    Args:
        code: The exit code.
        patience: How long they may take, in seconds. Then logs and streams are flushed, and the
            process exits without waiting, and without `atexit`.
    """
    own = (threading.current_thread(), threading.main_thread())
    # The threads of pools are joined as well, daemons or not; only this table knows them.
    pooled = getattr(pools, "_threads_queues", {})
    kept = [
        thread.name
        for thread in threading.enumerate()
        if thread not in own and (not thread.daemon or thread in pooled)
    ]
    if kept:
        threading.Thread(
            target=_exit_after, args=(patience, code, kept), name="claimnotify-end", daemon=True
        ).start()


def _exit_after(patience: float, code: int, names: list[str]) -> None:
    threading.Event().wait(patience)
    # On another thread, as a lock of a log or a stream may be in the hands of one that hangs.
    flushing = threading.Thread(target=_flush, args=(names,), daemon=True)
    flushing.start()
    flushing.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush(names: list[str]) -> None:
    _logger.warning("The process exits beside threads that do not end: %s.", ", ".join(names))
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
            stream.flush()
