"""Waits on conditions with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["NotInTime", "pause", "until"]

_STEP = 0.01


class NotInTime(Exception):
    """What was waited for did not come about."""


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `condition()` holds.

    Raises:
        NotInTime: It did not within `seconds`; it says `what`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {seconds:g} s")
        pause(_STEP)


def pause(seconds: float) -> None:
    """Let a seeded moment pass: when a fault strikes, not a wait for something to happen."""
    threading.Event().wait(seconds)
