"""Counts what a drain has in hand, and says of how much more of each channel there is room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from claimnotify.policy.breaker import Trouble, channel_breaker
from claimnotify.ports import Channel, Work

__all__ = ["Hand"]


class Hand:
    """What one drain has leased and not yet recorded.

    Args:
        channels: The installed channels; one with `concurrency` has room for twice that many.
        refill_at: A further batch is leased when no more than this is in hand.
    """

    def __init__(self, channels: Mapping[str, Channel], *, refill_at: int) -> None:
        self._refill_at = refill_at
        self._held: Counter[str] = Counter()
        self._limits: dict[str, int] = {}
        for name, channel in channels.items():
            limit = getattr(channel, "concurrency", None)
            if limit is not None:
                self._limits[name] = int(limit)
        self._full: set[str] = set()

    @property
    def size(self) -> int:
        """How many deliveries are in hand."""
        return self._held.total()

    def add(self, works: Sequence[Work]) -> None:
        """Note what was leased."""
        self._held.update(work.delivery.channel for work in works)

    def remove(self, channel: str) -> None:
        """Note that what became of one delivery is recorded."""
        self._held[channel] -= 1

    def has_room(self, ended: int) -> bool:
        """Return whether a further batch fits; `ended` of those in hand wait to be recorded."""
        return self.size - ended <= self._refill_at

    def has_new_room(self) -> bool:
        """Return whether a channel that had no room when `room` was asked has some now."""
        return any(self._held[name] <= self._limits[name] for name in self._full)

    def room(self, troubles: Mapping[str, Trouble], now: datetime) -> dict[str, int]:
        """Return how many more may be leased of the channels that have a limit or are in trouble."""
        # As many as its limit wait in hand besides, and are leased anew when those are under way.
        room = {
            name: 2 * limit - self._held[name] if self._held[name] <= limit else 0
            for name, limit in self._limits.items()
        }
        self._full = {name for name, left in room.items() if not left}
        for name, trouble in troubles.items():
            if name.startswith(channel_breaker("")):
                channel = name.removeprefix(channel_breaker(""))
                if trouble.blocked(now):
                    room[channel] = 0
                elif trouble.on_trial(now):
                    room[channel] = min(room.get(channel, 1), max(0, 1 - self._held[channel]))
        return room
