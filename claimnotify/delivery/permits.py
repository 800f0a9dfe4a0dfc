"""Keeps account of the sends that rate limits allowed and that have not begun yet.

A limit is taken from when a delivery is made ready, and a delivery waits for a slot then. Where the
other side has stopped answering, slots are not let go; what had gathered by then would all go at once
when it answers again, and beyond the limit.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection

from claimnotify.policy.rates import RateLimit

__all__ = ["Permits"]

_PROMPT = 0.25
"""Seconds within which a delivery that is ready normally begins."""
_WINDOW = 1.0
"""Seconds of which a limit's burst is."""
_MOST = 10_000
"""How many limits are remembered; with more the account of the last second begins anew."""


class Permits:
    """What was allowed in this process and has not begun. Called from any thread.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, Collection[str]]] = {}
        self._lines: dict[str, OrderedDict[str, float]] = {}
        self._begun: dict[str, deque[float]] = defaultdict(deque)

    def give(self, delivery_id: str, line: str, limits: Collection[str]) -> None:
        """Note that a delivery may be sent.

        Args:
            delivery_id: Which.
            line: What it waits for a slot of: its endpoint, or its channel.
            limits: The names of the limits that it was taken from.
        """
        with self._lock:
            self._held[delivery_id] = line, limits
            self._lines.setdefault(line, OrderedDict())[delivery_id] = self._monotonic()

    def begin(self, delivery_id: str) -> None:
        """Note that it is being sent now."""
        self._end(delivery_id, begun=True)

    def drop(self, delivery_id: str) -> None:
        """Note that it was given back and is not sent."""
        self._end(delivery_id, begun=False)

    def stalled(self, line: str) -> bool:
        """Return whether what may be sent to `line` does not begin."""
        with self._lock:
            waiting = self._lines.get(line)
            return waiting is not None and self._since(next(iter(waiting.values()))) > _PROMPT

    def room(self, name: str, limit: RateLimit) -> int:
        """Return how many may be taken now from the limit `name`, besides what it allows.

        No second sees more than what the limit allows in one and its burst, also when some begin
        that were taken before.
        """
        with self._lock:
            return max(0, 2 * limit.burst - len(self._recent(name)))

    def _end(self, delivery_id: str, *, begun: bool) -> None:
        if not self._held:  # as it is where nothing is limited
            return
        with self._lock:
            held = self._held.pop(delivery_id, None)
            if held is None:
                return
            line, limits = held
            waiting = self._lines[line]
            del waiting[delivery_id]
            if not waiting:
                del self._lines[line]
            for name in limits if begun else ():
                self._recent(name).append(self._monotonic())

    def _recent(self, name: str) -> deque[float]:
        """Return when those under the limit `name` began that began within the last second."""
        if len(self._begun) > _MOST:
            self._begun.clear()
        times = self._begun[name]
        while times and self._since(times[0]) >= _WINDOW:
            times.popleft()
        return times

    def _since(self, moment: float) -> float:
        return self._monotonic() - moment
