"""Keeps many deliveries of one queue under way and records their outcomes, until nothing is due."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from claimnotify.delivery.crew import Crew
from claimnotify.delivery.hand import Hand
from claimnotify.delivery.intake import LONGEST_SLEEP, Intake
from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.notices import Notices
from claimnotify.delivery.outcome_writer import OutcomeWriter, plain_delivery
from claimnotify.delivery.pace import Pace
from claimnotify.delivery.preparing import Preparer
from claimnotify.delivery.ready import Ready, given_back
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.sending import Sender
from claimnotify.delivery.solitude import Solitude
from claimnotify.delivery.troubles import Troubles
from claimnotify.errors import StoreUnavailable
from claimnotify.model.notifications import Delivery
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Channel, Clock, Lease, Outcome, Work, WorkQueue

__all__ = ["Drain"]

_log = logging.getLogger("claimnotify.delivery")

_LINGER = 0.004
"""Seconds to gather further outcomes into one write while other sends are under way."""
_SHED_PAUSE = 0.05
"""Seconds between looks at whether what is in hand waits too long for slow endpoints."""


class Drain:
    """Delivers what is due in one queue. One thread calls `until_idle` or `until_stopped`.

    Sends run on the loop and are refilled as slots get free: there is no barrier between batches.

    Args:
        queue: The queue.
        work: Leases and outcomes.
        channels: The installed channels by name.
        preparer: Decides and renders.
        sender: Makes the attempts.
        keeper: Keeps leases alive.
        loop: The event loop's thread.
        clock: The one clock.
        now: The time, without any I/O.
        batch_size: How many deliveries to lease at once.
        concurrency: How many sends may be under way.
        rates: The rate limits of channels.
        on_more: Called with the queue when a lease was full, so that other workers wake too.
        solitude: Shared by all that lease in this process.
        notices: Tells of endpoints in trouble.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        queue: str,
        *,
        work: WorkQueue,
        channels: Mapping[str, Channel],
        preparer: Preparer,
        sender: Sender,
        keeper: LeaseKeeper,
        loop: LoopThread,
        clock: Clock,
        now: Callable[[], datetime],
        batch_size: int,
        concurrency: int,
        rates: Mapping[str, RateLimit],
        on_more: Callable[[str], None],
        solitude: Solitude | None = None,
        notices: Notices | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._troubles = Troubles(work)
        self._preparer, self._keeper, self._loop = preparer, keeper, loop
        self._batch_size = batch_size
        self._now, self._monotonic = now, monotonic
        events = (threading.Event() for _ in range(4))
        self._stopping, self._rung, self._news, self._resting = events
        self._resting.set()
        self._done: deque[Outcome] = deque()
        self._lost: deque[tuple[str, Work]] = deque()
        # As many again wait, since slots get free in bursts and a lease takes a few milliseconds.
        self._hand = Hand(channels, refill_at=2 * concurrency)
        self._intake = Intake(
            queue,
            work=work,
            keeper=keeper,
            hand=self._hand,
            clock=clock,
            batch_size=batch_size,
            rates=rates,
            on_more=on_more,
            solitude=solitude,
            notices=notices,
            monotonic=monotonic,
        )
        self._writer = OutcomeWriter(
            self._done,
            record=self._intake.record,
            plain=plain_delivery,
            batch_size=batch_size,
            news=self._news,
            log=_log,
        )
        self._crew = Crew(
            sender,
            concurrency=concurrency,
            done=self._came_back,
            lost=self._went_missing,
            troubles=lambda: self._troubles.known,
            may_begin=self._may_begin,
            now=now,
            recall=self._recall,
            permits=preparer.permits,
            monotonic=monotonic,
        )
        self._pace = Pace(monotonic=monotonic)
        self._look_at = self._paced_until = 0.0
        self._put_off = self._looked_twice = False
        self._ended: Counter[str] = Counter()
        self._reached: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """Lease no more, give back what was not begun, and return soon."""
        self._stopping.set()
        self.ring()

    def ring(self) -> None:
        """Look for work now. Called from any thread."""
        self._rung.set()
        self._news.set()

    def until_idle(self) -> Counter[str]:
        """Deliver until nothing is due, and return how many deliveries ended in which state.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        self._reached = lambda: None
        return self._run(forever=False)

    def until_stopped(self, reached: Callable[[], None] = lambda: None) -> None:
        """Deliver what is due and what becomes due, until `stop` is called.

        Args:
            reached: Called whenever the database was looked into.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        self._reached = reached
        self._run(forever=True)

    def rest(self, timeout: float) -> bool:
        """Wait until nothing is running; return whether so."""
        return self._resting.wait(timeout)

    def _run(self, *, forever: bool) -> Counter[str]:
        self._resting.clear()
        try:
            self._ended.clear()
            self._look_at = 0.0
            self._looked_twice = False
            self._intake.begin()
            while self._step(forever=forever):
                pass
            return self._ended
        finally:
            self._intake.close()
            self._resting.set()

    def _step(self, *, forever: bool) -> bool:
        """Look for work or wait for outcomes; return whether to go on."""
        if self._stopping.is_set():
            if not self._hand.size:
                return False
            self._loop.call_soon(self._crew.give_back)
        elif self._time_to_look():
            found = self._intake.look()
            self._reached()
            if found.lease is not None:
                self._start(found.lease)
            gather = self._pace.wait()
            self._paced_until = (now := self._monotonic()) + gather
            if found.look_again is not None:
                self._looked_twice = False
                self._look_at = now + (max(found.look_again, gather) if found.look_again else 0.0)
            elif self._hand.size or forever:
                self._look_at = self._monotonic() + self._intake.pause()
            elif self._looked_twice:
                return False
            else:
                # Once more, for what the last outcomes let go.
                self._looked_twice, self._look_at = True, 0.0
                self._intake.look_everywhere()
        self._wait()
        # A ring goes before what is to be recorded, but not twice in a row.
        self._put_off = self._rung.is_set() and not self._put_off and not self._stopping.is_set()
        if not self._put_off:
            self._record()
        if not forever and not self._hand.size:
            self._look_at = 0.0  # to end at once if there is nothing more
        return True

    def _time_to_look(self) -> bool:
        if self._rung.is_set():
            self._rung.clear()
            self._look_at = min(self._look_at, self._paced_until)
        # What was sent is recorded first, or its rows, if they have lapsed, would be sent again.
        waits = self._writer.kept_back or self._intake.waits_for_empty_hand
        if waits or self._monotonic() < self._look_at:
            return False
        has_room = self._hand.has_room(len(self._done))
        if not has_room and self._crew.may_shed:
            self._loop.call_soon(self._crew.shed)
        return has_room

    def _start(self, lease: Lease) -> None:
        self._pace.leased(len(lease.works))
        self._troubles.look()
        try:
            ready, outcomes = self._preparer.prepare(lease)
        except StoreUnavailable as error:
            _log.warning("leased deliveries are given back: %s", error)
            ready, outcomes = (), given_back(lease)
        except BaseException as error:
            # What one of them brings about, given back it would bring about again at once.
            _log.exception("a lease could not be made ready; it will run out")
            self._lost.extend((lease.token, work) for work in lease.works)
            if not isinstance(error, Exception):
                raise
            ready, outcomes = (), ()
        self._done.extend(outcomes)
        if ready:
            self._loop.call_soon(self._crew.submit, ready)

    def _may_begin(self, ready: Ready) -> bool:
        """Return whether a send may begin now; called on the loop."""
        left = self._keeper.remaining(ready.token)
        return not self._stopping.is_set() and left >= ready.channel.attempt_deadline

    def _came_back(self, outcome: Outcome) -> None:
        self._done.append(outcome)
        if not self._news.is_set():
            self._news.set()

    def _recall(self, delivery: Delivery, count: int) -> None:
        self._intake.recall(delivery, count)
        self.ring()

    def _went_missing(self, ready: Ready) -> None:
        self._lost.append((ready.token, ready.work))
        self._news.set()

    def _wait(self) -> None:
        """Wait for outcomes, a ring or the next look; gather outcomes while others are under way."""
        if not self._done:
            self._news.wait(self._patience())
        if self._done and len(self._done) < min(self._hand.size, self._batch_size):
            self._rung.wait(max(_LINGER, self._pace.wait()))
        self._news.clear()

    def _patience(self) -> float:
        if self._hand.has_room(len(self._done)) and not self._intake.waits_for_empty_hand:
            return max(0.0, min(self._look_at - self._monotonic(), LONGEST_SLEEP))
        return _SHED_PAUSE if self._crew.may_shed else LONGEST_SLEEP

    def _record(self) -> None:
        """Write a batch of outcomes, and note what follows from them."""
        while self._lost:
            token, work = self._lost.popleft()
            self._keeper.drop(token, work.delivery.id)
            self._hand.remove(work.delivery.channel)
        written = self._writer.write()
        if not written.outcomes:
            return
        for outcome in written.outcomes:
            self._keeper.drop(outcome.token, outcome.delivery_id)
            self._hand.remove(outcome.channel)
            if outcome.delivery_id not in written.lost:
                self._ended[outcome.status] += 1
        if written.lost:
            _log.warning("%d deliveries had been taken over by another worker", len(written.lost))
        if written.next_due is not None:
            wait = (written.next_due - self._now()) / timedelta(seconds=1)
            self._look_at = min(self._look_at, self._monotonic() + max(wait, 0.0))
        self._troubles.look()
        if self._hand.has_new_room():
            self._look_at = 0.0
