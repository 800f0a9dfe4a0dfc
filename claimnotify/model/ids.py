"""Time-ordered ids (UUIDv7, RFC 9562 section 5.7) as 32 hexadecimal digits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from claimnotify.model.locks import ProcessLock

__all__ = ["IdSource", "first_id_at"]

_RANDOM_BITS = 74
_AT_ONCE = 32
_MASK_B = (1 << 62) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class IdSource:
    """Makes ids that sort by the moment they were made, also within a millisecond.

    Args:
        now_ns: The time since the Unix epoch in nanoseconds.
        random_bytes: Cryptographic randomness.
    """

    def __init__(
        self,
        now_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self._lock = ProcessLock()
        self._last_ms = 0
        self._last_random = 0
        self._bytes = b""
        self._pid = 0

    def __call__(self) -> str:
        """Return a new id: 32 lower-case hexadecimal digits, no dashes."""
        with self._lock:
            # Asking the system costs as much as all the rest, so it is asked for many at a time.
            # A forked child has its parent's, and must not use them too.
            if not self._bytes or self._pid != os.getpid():
                self._bytes, self._pid = self._random_bytes(10 * _AT_ONCE), os.getpid()
            fresh = int.from_bytes(self._bytes[:10], "big") >> (80 - _RANDOM_BITS)
            self._bytes = self._bytes[10:]
            ms = self._now_ns() // 1_000_000
            if ms > self._last_ms:
                self._last_ms, self._last_random = ms, fresh
            else:
                # Same millisecond, or the clock went back: count on by a random step.
                self._last_random += 1 + (fresh >> 42)
                if self._last_random >> _RANDOM_BITS:
                    self._last_ms, self._last_random = self._last_ms + 1, fresh
            ms, random = self._last_ms, self._last_random
        value = (ms << 80) | (0x7 << 76) | (random >> 62 << 64) | (0b10 << 62) | (random & _MASK_B)
        return f"{value:032x}"


def first_id_at(moment: datetime) -> str:
    """Return what sorts before every id made from `moment` on, and after every one made before.

    Args:
        moment: Aware, not before 1970; to the millisecond, by the clock of the host that made the ids.
    """
    return f"{(moment - _EPOCH) // _MILLISECOND:012x}".ljust(32, "0")
