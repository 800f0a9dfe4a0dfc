"""Waits on conditions with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["NotInTime", "pause", "until"]

_Found = TypeVar("_Found")
_STEP = 0.01


class NotInTime(AssertionError):
    """What was waited for did not come about."""


def until(
    condition: Callable[[], _Found], what: str = "the condition", *, seconds: float = 60.0
) -> _Found:
    """Wait until `condition()` holds, and return what it returned then.

    Raises:
        NotInTime: It did not within `seconds`; it says `what`.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {seconds:g} s")
        pause(_STEP)
    return found


def pause(seconds: float) -> None:
    """Let a moment pass: how long it is counts, not what happens meanwhile."""
    threading.Event().wait(seconds)
