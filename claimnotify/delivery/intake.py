"""Finds work for a drain: what is due, parked and may go, left behind by another worker, or to be told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from claimnotify.delivery.hand import Hand
from claimnotify.delivery.notices import Notices
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.solitude import Solitude
from claimnotify.errors import StoreUnavailable
from claimnotify.model.notifications import Delivery
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Clock, Lease, Outcome, Recorded, WorkQueue

__all__ = ["LONGEST_SLEEP", "Found", "Intake"]

LONGEST_SLEEP = 1.0
"""Seconds between looks into the database: with every ring lost, a delivery is this late at most."""
_SHORTEST_SLEEP = 0.01
_AFTER_THE_LAST = 0.05
"""Seconds from leasing the last that was due to the next look, which finds out what is due later."""
_AFTER_A_START = 0.002
"""Seconds from leasing without having looked for more to that look: the sends begin meanwhile."""
_SLEEP_OF_SECOND = 0.25
"""Seconds between looks while what has to be sent alone waits for another queue's."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into the database found.

    Args:
        lease: A new lease, or None.
        look_again: After how many seconds to look again; None if nothing is known to be due.
    """

    lease: Lease | None = None
    look_again: float | None = None


class Intake:
    """Leases for one drain, into one hand.

    Args:
        queue: The queue.
        work: Where the leases are.
        keeper: Keeps leases alive.
        hand: What the drain has.
        clock: The one clock.
        batch_size: How many deliveries to lease at once.
        rates: The rate limits of channels.
        on_more: Called with the queue when a lease was full, so that other workers wake too.
        solitude: Held while something has to be sent alone.
        notices: Tells of endpoints, from which deliveries come; None: nobody is told.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        queue: str,
        *,
        work: WorkQueue,
        keeper: LeaseKeeper,
        hand: Hand,
        clock: Clock,
        batch_size: int,
        rates: Mapping[str, RateLimit],
        on_more: Callable[[str], None],
        solitude: Solitude | None = None,
        notices: Notices | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._work = work
        self._keeper = keeper
        self._hand = hand
        self._clock = clock
        self._batch_size = batch_size
        self._rates = rates
        self._on_more = on_more
        self._solitude = solitude or Solitude()
        self._notices = notices
        self._monotonic = monotonic
        self._look_at_lapsed = 0.0
        self._empty_hand_wanted = False
        self._comes_second = False
        self._recalls: deque[tuple[Delivery, int]] = deque()

    @property
    def waits_for_empty_hand(self) -> bool:
        """Whether nothing is leased until the hand is empty, as something has to be sent alone."""
        return self._empty_hand_wanted and bool(self._hand.size)

    def begin(self) -> None:
        """Look everywhere at first: a drain begins."""
        self.look_everywhere()
        if self._notices is not None:
            self._notices.begin()

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes; if there is then something to tell, the next look does."""
        recorded = self._work.record(outcomes)
        if recorded.notices and self._notices is not None:
            self._notices.want()
        return recorded

    def look_everywhere(self) -> None:
        """Let the next look be for lapsed and parked deliveries as well."""
        self._look_at_lapsed = 0.0

    def recall(self, delivery: Delivery, count: int) -> None:
        """Let the next look make others due that wait for the same endpoint. Called from any thread."""
        self._recalls.append((delivery, count))

    def look(self) -> Found:
        """Lease what there is.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        try:
            while self._recalls:
                delivery, count = self._recalls.popleft()
                self._work.recall(self._queue, delivery, limit=count)
            if self._notices is not None and self._notices.look():
                return Found(look_again=0.0)
            found = self._lapsed() if self._monotonic() >= self._look_at_lapsed else Found()
            if found.look_again is not None or self._empty_hand_wanted:
                return found
            return self._due()
        except StoreUnavailable:
            if not self._hand.size:
                raise
            return Found()

    def pause(self) -> float:
        """Return for how long there is nothing to lease, in seconds.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        try:
            now = self._clock.now()
            due = self._work.next_due(self._queue, room=self._room(now))
        except StoreUnavailable:
            if not self._hand.size:
                raise
            return LONGEST_SLEEP
        if due is None:
            return LONGEST_SLEEP
        wait = (due - now) / timedelta(seconds=1)
        shortest = _SLEEP_OF_SECOND if self._comes_second else _SHORTEST_SLEEP
        return min(max(wait, shortest), LONGEST_SLEEP)

    def close(self) -> None:
        """Let others send alone: this drain ends."""
        self._solitude.leave(self)

    def _lapsed(self) -> Found:
        """Let parked deliveries go whose time has come; lease those whose lease ran out."""
        released = self._work.release()
        began = self._keeper.began()
        lease = None
        try:
            lease = self._work.lease_lapsed(
                self._queue,
                limit=self._batch_size,
                duration=self._keeper.duration,
                alone=not self._hand.size and self._solitude.enter(self),
            )
        finally:
            if lease is None or not lease.alone:
                self._solitude.leave(self)
        # What has to be sent alone waits until the hand is empty, and nothing is leased meanwhile;
        # but where another queue of this process goes first, that can take long.
        waits = lease is not None and lease.alone_wait
        self._comes_second = waits and self._solitude.is_held_by_other(self)
        alone = lease is not None and lease.alone
        self._empty_hand_wanted = alone or (waits and not self._comes_second)
        if lease is not None and lease.works:
            self._keep(lease, began)
            return Found(lease, look_again=0.0)
        if not self.waits_for_empty_hand:
            self._look_at_lapsed = self._monotonic() + LONGEST_SLEEP
        return Found(look_again=0.0 if released else None)

    def _due(self) -> Found:
        began = self._keeper.began()
        lease = self._work.lease(
            self._queue,
            limit=self._batch_size,
            duration=self._keeper.duration,
            room=self._room(self._clock.now()),
            rates=self._rates,
        )
        if lease is None:
            return Found()
        self._keep(lease, began)
        if lease.more is False:
            # Nothing more was due; a ring tells of what comes, so that a look may wait a little.
            return Found(lease, look_again=_AFTER_THE_LAST)
        if lease.more is None:
            return Found(lease, look_again=_AFTER_A_START)
        self._on_more(self._queue)
        return Found(lease, look_again=0.0)

    def _room(self, now: datetime) -> Mapping[str, int]:
        return self._hand.room(self._work.troubles(), now)

    def _keep(self, lease: Lease, began: float) -> None:
        self._keeper.hold(lease.token, (work.delivery.id for work in lease.works), began=began)
        self._hand.add(lease.works)
