"""Leases due deliveries, keeps many of them under way, and records outcomes, until nothing is due."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from claimnotify.delivery.loop import LoopThread
from claimnotify.delivery.preparing import Preparer, Ready, outcome_of
from claimnotify.delivery.renewal import LeaseKeeper
from claimnotify.delivery.sending import Sender
from claimnotify.errors import StoreUnavailable
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Channel, Clock, Lease, Outcome, WorkQueue

__all__ = ["Drain"]

_log = logging.getLogger("claimnotify.delivery")

_LINGER = 0.004
"""Seconds to gather further outcomes into one write while other sends are under way."""
_SUSPECT_INTERVAL = 1.0
"""Seconds between looks for rows whose lease ran out, while there is other work."""
_STORE_PAUSE = 0.25
"""Seconds before outcomes that could not be written are tried again."""


class Drain:
    """Delivers what is due in one queue. One thread calls `until_idle`; sends run on the loop.

    Sends are refilled as slots get free: there is no barrier between batches.

    Args:
        queue: The queue.
        work: Leases and outcomes.
        preparer: Decides and renders.
        sender: Makes the attempts.
        keeper: Keeps leases alive.
        loop: The event loop's thread.
        clock: The one clock.
        batch_size: How many deliveries to lease at once.
        concurrency: How many sends may be under way.
        on_more: Called with the queue when a lease was full, so that other workers wake too.
    """

    def __init__(
        self,
        queue: str,
        *,
        work: WorkQueue,
        preparer: Preparer,
        sender: Sender,
        keeper: LeaseKeeper,
        loop: LoopThread,
        clock: Clock,
        batch_size: int,
        concurrency: int,
        on_more: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._work = work
        self._preparer = preparer
        self._sender = sender
        self._keeper = keeper
        self._loop = loop
        self._clock = clock
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._on_more = on_more
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._slots = asyncio.Semaphore(concurrency)
        self._channel_slots: dict[str, asyncio.Semaphore] = {}
        self._done: deque[Outcome] = deque()
        self._news = threading.Event()
        self._in_hand = 0
        self._abandoned: deque[Ready] = deque()
        self._resting = threading.Event()
        self._resting.set()
        self._next_look = 0.0
        self._ended: Counter[str] = Counter()

    def stop(self) -> None:
        """Make `until_idle` lease no more, give back what was not begun, and return soon."""
        self._stopping.set()
        self._news.set()

    def until_idle(self) -> Counter[str]:
        """Deliver until nothing is due, and return how many deliveries ended in which state.

        Raises:
            StoreUnavailable: The database cannot be reached, and nothing is in hand.
        """
        self._resting.clear()
        try:
            return self._until_idle()
        finally:
            self._resting.set()

    def rest(self, timeout: float) -> bool:
        """Wait until `until_idle` is not running; return whether it is not."""
        return self._resting.wait(timeout)

    def _until_idle(self) -> Counter[str]:
        self._ended.clear()
        self._next_look = self._monotonic() + _SUSPECT_INTERVAL
        due = True
        while True:
            if due and not self._stopping.is_set() and self._has_room():
                due = self._refill()
            if self._in_hand:
                self._record_some()
            elif not due or self._stopping.is_set():
                if self._stopping.is_set() or not self._take_suspect():
                    return self._ended
                due = True
            elif self._monotonic() >= self._next_look:
                self._take_suspect()

    def _has_room(self) -> bool:
        if self._monotonic() >= self._next_look and self._in_hand:
            # Let what is in hand come back, so that a suspect can be tried alone.
            if self._suspects_wait():
                return False
            self._next_look = self._monotonic() + _SUSPECT_INTERVAL
        return self._in_hand - len(self._done) <= self._concurrency

    def _suspects_wait(self) -> bool:
        try:
            return self._work.has_suspect(self._queue)
        except StoreUnavailable:
            return False

    def _refill(self) -> bool:
        """Lease a batch and start it; return whether more is probably due."""
        began = self._keeper.began()
        try:
            lease = self._work.lease(
                self._queue, limit=self._batch_size, duration=self._keeper.duration
            )
        except StoreUnavailable:
            if not self._in_hand:
                raise
            return False
        if lease is None:
            return False
        if lease.more:
            self._on_more(self._queue)
        self._start(lease, began)
        return True

    def _take_suspect(self) -> bool:
        """Try one row whose lease ran out, alone in hand; return whether there was one."""
        began = self._keeper.began()
        lease = self._work.lease_suspect(self._queue, duration=self._keeper.duration)
        if lease is None:
            self._next_look = self._monotonic() + _SUSPECT_INTERVAL
            return False
        self._start(lease, began)
        while self._in_hand:
            self._record_some()
        return True

    def _start(self, lease: Lease, began: float) -> None:
        self._keeper.hold(lease.token, (work.delivery.id for work in lease.works), began=began)
        self._in_hand += len(lease.works)
        try:
            ready, outcomes = self._preparer.prepare(lease)
        except StoreUnavailable as error:
            _log.warning("leased deliveries are given back: %s", error)
            ready, outcomes = (), self._given_back(lease)
        self._done.extend(outcomes)
        if ready:
            self._loop.call_soon(self._launch, ready)
        else:
            self._news.set()

    def _given_back(self, lease: Lease) -> Sequence[Outcome]:
        now = self._clock.now() if not lease.works else lease.works[0].delivery.created_at
        return [
            outcome_of(work, lease.token, DeliveryStatus.PENDING, Reason.RELEASED, due_at=now)
            for work in lease.works
        ]

    def _launch(self, ready: Sequence[Ready]) -> None:
        """Start a task per delivery; runs on the loop."""
        for each in ready:
            task = asyncio.get_running_loop().create_task(self._send(each))
            task.add_done_callback(partial(self._came_back, each))

    async def _send(self, ready: Ready) -> Outcome:
        async with self._slots_of(ready.channel), self._slots:
            # A row that waited so long that its lease could end under way is not begun.
            late = self._keeper.remaining(ready.token) < ready.channel.attempt_deadline
            if self._stopping.is_set() or late:
                return outcome_of(
                    ready.work,
                    ready.token,
                    DeliveryStatus.PENDING,
                    Reason.RELEASED,
                    due_at=ready.work.delivery.created_at,
                )
            return await self._sender.attempt(ready)

    def _slots_of(self, channel: Channel) -> asyncio.Semaphore:
        """Return the slots of a channel that limits itself, so that its sends wait before they begin."""
        slots = self._channel_slots.get(channel.name)
        if slots is None:
            limit = getattr(channel, "concurrency", self._concurrency)
            slots = self._channel_slots[channel.name] = asyncio.Semaphore(limit)
        return slots

    def _came_back(self, ready: Ready, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            # The loop was closed under it: its lease runs out and it is taken up again.
            _log.warning("a send was cancelled; its lease will run out")
            self._abandoned.append(ready)
        elif (error := task.exception()) is not None:
            _log.error("a send ended with %s; its lease will run out", type(error).__name__)
            self._abandoned.append(ready)
        else:
            self._done.append(task.result())
        self._news.set()

    def _record_some(self) -> None:
        """Wait for outcomes and write them; gather a few more while others are under way."""
        self._news.wait(timeout=0.5)
        if self._done and len(self._done) < min(self._in_hand, self._batch_size):
            self._stopping.wait(_LINGER)
        self._news.clear()
        while self._abandoned:
            gone = self._abandoned.popleft()
            self._keeper.drop(gone.token, gone.work.delivery.id)
            self._in_hand -= 1
        batch = [self._done.popleft() for _ in range(min(len(self._done), self._batch_size))]
        if self._done:
            self._news.set()
        if not batch:
            return
        try:
            lost = self._work.record(batch)
        except StoreUnavailable as error:
            # Kept and tried again: a send that happened must not be forgotten for a lock.
            _log.warning("outcomes could not be written yet: %s", error)
            self._done.extendleft(reversed(batch))
            self._stopping.wait(_STORE_PAUSE)
            self._news.set()
            return
        for outcome in batch:
            self._keeper.drop(outcome.token, outcome.delivery_id)
            if outcome.delivery_id not in lost:
                self._ended[outcome.status] += 1
        if lost:
            _log.warning("%d deliveries had been taken over by another worker", len(lost))
        self._in_hand -= len(batch)
