"""Who waits for one endpoint or channel, who is on the way to it, and how it has answered of late."""

from __future__ import annotations

from collections import OrderedDict, deque

from claimnotify.delivery.ready import Ready
from claimnotify.policy.windows import SLOW, Window

__all__ = ["Line"]


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
        self.deferred_until = 0.0
        self.counted = 0
        """How many of those under way count as on probation."""
        self.held_since: float | None = None
        """Since when it has waited for others on probation, in seconds."""
        self._heard_at = 0.0

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

    def wait_of(self, position: int, now: float) -> float:
        """Return in about how many seconds the one at `position` of those that wait would begin."""
        oldest = now - next(iter(self.began.values())) if self.began else 0.0
        held = 0.0 if self.held_since is None else now - self.held_since
        return max(self.window.wait_of(position, oldest), held)
