"""Who waits for one endpoint or channel, who is on the way to it, and how it has answered of late."""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf

from claimnotify.delivery.ready import Ready
from claimnotify.policy.windows import LONGEST_DEFERRAL, SLOW, Window

__all__ = ["LONG_WAIT", "Line"]

LONG_WAIT = 1.0
"""Seconds that a delivery may wait in hand for its endpoint, while others have use for its place."""
_RECALL_PAUSE = 0.1
"""Seconds between two recalls: those of the first have to be leased meanwhile."""
_MOST_RECALLED = 500


class Line:
    """The line for one endpoint, or for one channel where there is no endpoint.

    Args:
        name: The endpoint's id or the channel's name.
        most: How many slots it may have at most.
        fixed: Whether it may always have as many.
        tenant: Whose endpoint it is; None for a channel.
    """

    def __init__(self, name: str, most: int, *, fixed: bool, tenant: str | None) -> None:
        self.name = name
        self.tenant = tenant
        self.window = Window(most, fixed=fixed)
        self.waiting: deque[Ready] = deque()
        self.began: OrderedDict[str, float] = OrderedDict()
        self.in_turn = False
        """Whether it has a place among those that take turns, or is held."""
        self.has_deferred = False
        """Whether some were given back to wait, by this worker or another, as far as is known."""
        self.counted = 0
        """How many of those under way count as on probation."""
        self.paused_until = -inf
        """Until when nothing is begun, as it said that it has too much to do, in seconds."""
        self.held_since: float | None = None
        """Since when it has waited for others on probation, in seconds."""
        self._heard_at = 0.0
        self._deferred_until = 0.0
        self._recalled_at = -inf

    @property
    def first(self) -> bool:
        """Whether the next send is the first that shows how it answers."""
        return not self.began and not self.window.known

    def trusted(self, now: float) -> bool:
        """Return whether another send is likely to be answered promptly.

        A channel's slots are bounded by its own line. An endpoint's last answer was prompt, and if
        sends are under way, that was a moment ago: nothing is begun on the word of long ago but one.
        """
        if self.tenant is None:
            return True
        return self.window.prompt and (not self.began or now - self._heard_at <= SLOW)

    def answered(self, now: float, seconds: float, *, failed: bool) -> None:
        """Note that a send took `seconds`, and whether it failed for a reason that may pass."""
        self._heard_at = now
        self.window.answered(seconds, failed=failed)

    def defer(self, now: float) -> float:
        """Return in how many seconds the turn would come of a delivery that is given back."""
        self.has_deferred = True
        begin = max(self._deferred_until, now + LONG_WAIT)
        self._deferred_until = begin + self.wait_of(1, now)
        return min(self._deferred_until - now, LONGEST_DEFERRAL)

    def recalled(self, now: float) -> int:
        """Return how many to call back: it answers promptly, and nobody is left waiting.

        They are as many as begin soon at the pace of late, so that not all come back to wait again.
        """
        ready = self.window.prompt and not self.waiting
        if not ready or now - self._recalled_at < _RECALL_PAUSE:
            return 0
        # Those that come will tell that there were some, and that there may be more.
        self.has_deferred = False
        self._deferred_until, self._recalled_at = 0.0, now
        return min(self.window.begun_within(LONG_WAIT), _MOST_RECALLED)

    def wait_of(self, position: int, now: float) -> float:
        """Return in about how many seconds the one at `position` of those that wait would begin."""
        oldest = now - next(iter(self.began.values())) if self.began else 0.0
        held = 0.0 if self.held_since is None else now - self.held_since
        return max(self.window.wait_of(position, oldest), held)
