"""Several worker processes: starts them fresh, passes signals on, replaces those that crash."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue

from claimnotify.worker.signals import await_next, stop_signals

__all__ = ["CHILD_MISCONFIGURED", "MISCONFIGURED", "MOST_WORKERS", "Supervisor"]

MOST_WORKERS = 256
"""How many workers one supervisor looks after at most."""

MISCONFIGURED = 2
"""The exit code when the configuration is wrong."""

CHILD_MISCONFIGURED = 78
"""The same of a supervised worker, which is not started again: no code that a job may exit with."""

_MOST_DOUBLINGS = 30

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A child has ended."""

    child: _Child


@dataclass(frozen=True, slots=True)
class _Signalled:
    """The supervisor was told to stop."""

    signum: int


@dataclass(eq=False, slots=True)
class _Child:
    """One place among the workers, and the process that holds it."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    crashes: int = 0
    restart_at: float | None = None


class Supervisor:
    """Keeps `count` worker processes running until it is told to stop.

    A worker that ends before that is replaced, whatever its exit code: a job may have ended it.

    Children are fresh interpreters, never forks: an engine, an event loop or a TLS context does not
    survive a fork. Each holds the end of a pipe on its standard input, and stops gracefully when
    the pipe breaks because the supervisor was killed.

    Args:
        count: How many workers.
        arguments: What each is given on its command line.
        command: What each is: by default this interpreter with `-m claimnotify.worker`.
        first_wait: Before a crashed worker is replaced; doubled with each crash in a row.
        longest_wait: The most it is doubled to.
        steady: A worker that lived this long begins a new row of crashes.
        grace: How long workers may take to stop before they are killed.
    """

    def __init__(
        self,
        count: int,
        arguments: Sequence[str],
        *,
        command: Sequence[str] = (sys.executable, "-m", "claimnotify.worker"),
        first_wait: timedelta = timedelta(seconds=0.5),
        longest_wait: timedelta = timedelta(seconds=30),
        steady: timedelta = timedelta(seconds=60),
        grace: timedelta = timedelta(seconds=330),
    ) -> None:
        self._argv = [*command, *arguments]
        self._first_wait = first_wait / timedelta(seconds=1)
        self._longest_wait = longest_wait / timedelta(seconds=1)
        self._steady = steady / timedelta(seconds=1)
        self._grace = grace / timedelta(seconds=1)
        self._children = [_Child() for _ in range(count)]
        self._events: SimpleQueue[_Ended | _Signalled] = SimpleQueue()
        self._stopping = False
        self._kill_at: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """Run the workers; return the exit code once all have ended.

        Returns:
            0 after an orderly stop; `MISCONFIGURED` if the workers' configuration is wrong; 1 if a
            worker failed or had to be killed while stopping.
        """
        for child in self._children:
            child.restart_at = time.monotonic()
        with stop_signals(self._told, self._told_again):
            try:
                while any(self._is_needed(child) for child in self._children):
                    self._handle(self._next_event())
                    self._start_one()
            finally:
                self._terminate()  # none is left, unless something unexpected happened
        return self._exit_code

    @staticmethod
    def _is_needed(child: _Child) -> bool:
        return child.process is not None or child.restart_at is not None

    def _next_event(self) -> _Ended | _Signalled | None:
        moments = [child.restart_at for child in self._children if child.restart_at is not None]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return await_next(self._events, min(moments, default=float("inf")) - time.monotonic())

    def _handle(self, event: _Ended | _Signalled | None) -> None:
        match event:
            case _Signalled(signum):
                _logger.info("The workers stop: %s.", signal.Signals(signum).name)
                self._stop()
            case _Ended(child):
                self._ended(child)
            case None:
                if self._kill_at is not None and time.monotonic() >= self._kill_at:
                    _logger.error("Workers that did not stop in time are killed.")
                    self._kill_at = None
                    self._kill()

    def _ended(self, child: _Child) -> None:
        if child.process is None:
            return
        code = child.process.wait()
        with suppress(OSError):
            if child.process.stdin is not None:
                child.process.stdin.close()
        pid, child.process = child.process.pid, None
        if self._stopping and code in (0, -signal.SIGTERM):  # the latter had not begun to listen
            return
        if code == CHILD_MISCONFIGURED:
            self._exit_code = MISCONFIGURED
            self._stop()
        elif self._stopping:
            _logger.error("Worker %s ended with code %s while stopping.", pid, code)
            self._exit_code = self._exit_code or 1
        else:
            self._try_again(child, f"Worker {pid} ended with code {code}")

    def _try_again(self, child: _Child, why: str) -> None:
        steady = time.monotonic() - child.started >= self._steady
        child.crashes = 1 if steady else child.crashes + 1
        doubled = self._first_wait * 2 ** min(child.crashes - 1, _MOST_DOUBLINGS)
        wait = min(doubled, self._longest_wait)
        child.restart_at = time.monotonic() + wait
        _logger.warning("%s; another starts in %.1f seconds.", why, wait)

    def _start_one(self) -> None:
        """Start one worker that is due; events are looked at before the next."""
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and now >= child.restart_at:
                try:
                    self._start(child)
                except (OSError, RuntimeError) as error:  # of processes, memory, files, threads
                    self._try_again(child, f"A worker cannot be started ({error})")
                return

    def _start(self, child: _Child) -> None:
        child.restart_at = None
        child.started = time.monotonic()
        process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            env={**os.environ, "TZ": "UTC"},
            # A group of its own: a Ctrl-C reaches the supervisor, which passes it on once.
            process_group=0 if os.name == "posix" else None,
        )

        def wait() -> None:
            process.wait()
            self._events.put(_Ended(child))

        child.process = process
        name = f"claimnotify-child-{process.pid}"
        try:
            threading.Thread(target=wait, name=name, daemon=True).start()
        except RuntimeError:
            process.kill()  # nobody would notice its end
            process.wait()
            child.process = None
            raise

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._kill_at = time.monotonic() + self._grace
        for child in self._children:
            child.restart_at = None
        self._terminate()

    def _terminate(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.terminate()

    def _kill(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.kill()

    def _told(self, signum: int) -> None:
        self._events.put(_Signalled(signum))

    def _told_again(self, signum: int) -> None:
        self._kill()
        os._exit(128 + signum)
