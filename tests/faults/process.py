"""A process that makes one run after another, and opens each stack once for all of them."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from multiprocessing.util import Finalize
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.run import run
from tests.faults.stacks import Stack, open_stack
from tests.faults.verdict import Verdict

__all__ = ["begin", "run_here"]

_opened: dict[str, Stack] = {}
_cleanup = ExitStack()


def begin() -> None:
    """Begin a process that makes runs; what it opened is taken away when it ends."""
    Finalize(None, _cleanup.close, exitpriority=10)
    logging.getLogger("claimnotify").setLevel(logging.CRITICAL)  # outages are what we make


def run_here(stack: str, fault: str, seed: int) -> Verdict:
    """Make one run in this process."""
    if stack not in _opened:
        folder = Path(_cleanup.enter_context(TemporaryDirectory(prefix=f"faults-{stack}-")))
        _opened[stack] = _cleanup.enter_context(open_stack(stack, folder))
    return run(_opened[stack], fault, seed)
