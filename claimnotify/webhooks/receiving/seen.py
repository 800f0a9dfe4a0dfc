"""Remembers the ids of webhooks, so that none is handled twice; in memory, for one process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from threading import Lock
from typing import Protocol
from uuid import uuid4

from claimnotify.errors import InvalidInput

__all__ = ["KEEP", "LEASE", "Claim", "MemorySeenIds", "Seen", "SeenIds", "check_spans"]

KEEP = timedelta(days=4)
"""Longer than our senders try again (76 hours)."""
LEASE = timedelta(minutes=1)
_SHORTEST = timedelta(milliseconds=1)


class Seen(StrEnum):
    """What is known of an id when it is claimed."""

    NEW = "new"
    """Nothing: the claim is ours, and its webhook is to be handled."""
    UNDER_WAY = "under_way"
    """Another claim holds it: it is being handled."""
    DONE = "done"
    """It was handled."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of claiming an id.

    Args:
        message_id: The webhook's id.
        state: What was known of it.
        token: Tells this claim from a later one on the same id.
    """

    message_id: str
    state: Seen
    token: str = ""


class SeenIds(Protocol):
    """A store of ids; its methods are called from several threads.

    A claim ends with `done` or `forget`. One that does neither, since its process died, ends by
    itself after a while, so that the webhook can be handled when it comes again.
    """

    @property
    def keep(self) -> timedelta:
        """How long ids that are done are remembered."""

    def claim(self, message_id: str) -> Claim:
        """Claim an id: of many that try at once, one finds it new."""

    def done(self, claim: Claim) -> None:
        """Remember the id as handled."""

    def forget(self, claim: Claim) -> None:
        """Leave the id free again, unless another claim has taken it over meanwhile."""


class MemorySeenIds:
    """The ids one process has seen; they are gone when it ends. Safe to use from several threads.

    Args:
        keep: How long ids that are done are remembered.
        lease: When a claim that nobody ended ends by itself; longer than a handler takes.
        size: How many ids that are done to remember at most; the oldest are dropped. Let it exceed
            what comes within twice the tolerance, else a recorded request could be played back.
        monotonic: Seconds that never go back.

    Raises:
        InvalidInput: A span is shorter than a millisecond, or the size is less than 1.
    """

    def __init__(
        self,
        *,
        keep: timedelta = KEEP,
        lease: timedelta = LEASE,
        size: int = 100_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_spans(keep=keep, lease=lease)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidInput("size", "is no number of 1 or more", "Say how many ids to remember.")
        self._keep = keep
        self._lease = lease.total_seconds()
        self._size = size
        self._monotonic = monotonic
        # Both in the order in which their entries end.
        self._under_way: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._done: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._under_way) + len(self._done)

    @property
    def keep(self) -> timedelta:
        """How long ids that are done are remembered."""
        return self._keep

    def claim(self, message_id: str) -> Claim:
        """Claim an id. See `SeenIds`."""
        with self._lock:
            now = self._monotonic()
            self._drop_ended(now)
            if message_id in self._done:
                return Claim(message_id, Seen.DONE)
            if message_id in self._under_way:
                return Claim(message_id, Seen.UNDER_WAY)
            token = uuid4().hex
            self._under_way[message_id] = token, now + self._lease
            return Claim(message_id, Seen.NEW, token)

    def done(self, claim: Claim) -> None:
        """Remember the id as handled. See `SeenIds`."""
        with self._lock:
            self._under_way.pop(claim.message_id, None)
            self._done.pop(claim.message_id, None)
            self._done[claim.message_id] = self._monotonic() + self._keep.total_seconds()
            if len(self._done) > self._size:
                self._done.popitem(last=False)

    def forget(self, claim: Claim) -> None:
        """Leave the id free again. See `SeenIds`."""
        with self._lock:
            token, _ = self._under_way.get(claim.message_id, ("", 0.0))
            if token == claim.token:
                self._under_way.pop(claim.message_id, None)

    def _drop_ended(self, now: float) -> None:
        while self._done and next(iter(self._done.values())) <= now:
            self._done.popitem(last=False)
        while self._under_way and next(iter(self._under_way.values()))[1] <= now:
            self._under_way.popitem(last=False)


def check_spans(**spans: timedelta) -> None:
    """Check that every span is a timedelta of a millisecond or more; Redis knows no shorter one.

    Raises:
        InvalidInput: One is not.
    """
    for name, span in spans.items():
        if not isinstance(span, timedelta) or span < _SHORTEST:
            raise InvalidInput(
                name, "is no timedelta of a millisecond or more", "Give one, such as one minute."
            )
