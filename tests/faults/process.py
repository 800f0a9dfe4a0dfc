"""A process that makes one run after another, and opens each stack once for all of them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing.util import Finalize
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.run import run
from tests.faults.stacks import Stack, open_stack
from tests.faults.verdict import Verdict
from tests.waiting import pause

__all__ = ["pool", "run_here", "run_until_met"]

_SETTINGS = ("CLAIMNOTIFY_", "SMTP_", "TWILIO_", "NOTIFICATIONS_")
_KEPT = ("CLAIMNOTIFY_TEST_", "CLAIMNOTIFY_REQUIRE_")
_TRIES = 3

_opened: dict[str, Stack] = {}
_cleanup = ExitStack()


def begin() -> None:
    """Begin a process that makes runs; what it opened is taken away when it ends."""
    for name in tuple(os.environ):
        if name.startswith(_SETTINGS) and not name.startswith(_KEPT):
            del os.environ[name]
    for each in (signal.SIGTERM, signal.SIGINT):
        # Whoever started us is told as well: it gives us nothing more, and we end our run and clean up.
        signal.signal(each, lambda *_: None)
    logging.getLogger("claimnotify").setLevel(logging.CRITICAL)  # outages are what we make
    Finalize(None, _take_away, exitpriority=10)
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _take_away() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    _cleanup.close()


def _end_with_the_parent() -> None:
    """End the main thread's run if whoever started us was killed, and then its wait for another."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    while True:
        os.kill(os.getpid(), signal.SIGUSR1)
        pause(1.0)


def run_here(stack: str, fault: str, seed: int) -> Verdict:
    """Make one run in this process.

    Raises:
        Missing: What the stack needs is not there.
    """
    if stack not in _opened:
        folder = Path(_cleanup.enter_context(TemporaryDirectory(prefix=f"faults-{stack}-")))
        _opened[stack] = _cleanup.enter_context(open_stack(stack, folder))
    return run(_opened[stack], fault, seed)


def run_until_met(stack: str, fault: str, seed: int) -> Verdict:
    """Make one run, and another one if no strike met a delivery in flight: it showed nothing.

    Raises:
        Missing: What the stack needs is not there.
    """
    for each in range(seed, seed + _TRIES):
        verdict = run_here(stack, fault, each)
        if verdict.in_flight or not verdict.passed:
            break
    return verdict


def pool(parallel: int) -> ProcessPoolExecutor:
    """Return so many processes that make runs."""
    return ProcessPoolExecutor(parallel, multiprocessing.get_context("spawn"), initializer=begin)
