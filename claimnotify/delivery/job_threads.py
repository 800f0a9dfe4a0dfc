"""Threads for sync jobs: as many as run at once, kept for the next ones, never waited for at exit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["JobThreads"]


class JobThreads:
    """Runs calls on daemon threads. The caller bounds how many there are at once.

    A standard pool is joined when the interpreter exits, so that one job that hangs would keep a
    stopped worker from ending.

    Args:
        name: The beginning of the threads' names.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._idle = 0
        self._made = 0
        self._closed = False

    def run(self, call: Callable[[], object]) -> None:
        """Run `call`, which never raises, on a thread that is idle or new."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._made += 1
                name = f"{self._name}-{self._made}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        self._calls.put(call)

    def close(self) -> None:
        """Let the threads end: those that are idle now, the others after what they do."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call
            with self._lock:
                if self._closed:
                    return
                self._idle += 1
