"""Keeps many sends under way on the event loop, and none of them in the way of the others.

There are so many slots in all. Who waits for one is kept by endpoint, or by channel where there is
no endpoint, and they take turns; each has a window of its own (`claimnotify.policy.windows`), and
endpoints that are not known to answer promptly share a part of the slots (`Probation`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from claimnotify.delivery.lines import LONG_WAIT, Line
from claimnotify.delivery.permits import Permits
from claimnotify.delivery.probation import Probation
from claimnotify.delivery.ready import Ready, outcome_of, parked, released
from claimnotify.delivery.sending import Sender
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.ports import Outcome

__all__ = ["Crew"]

_log = logging.getLogger("claimnotify.delivery")
_MOST_IDLE_LINES = 10_000
_UNTIL_RECORDED = 1.0
"""Seconds for which a line is paused here; by then its breaker is known to be open."""

_FAILED = (AttemptOutcome.TRANSIENT, AttemptOutcome.UNKNOWN)


class Crew:
    """Sends what it is given. All but `free` and `may_shed` is called on the loop.

    Args:
        sender: Makes the attempts.
        concurrency: How many sends may be under way.
        done: Called with each outcome.
        lost: Called with what ended without one: its lease runs out.
        troubles: What has failed of late; does no I/O.
        may_begin: Says whether the rest of a delivery's lease is long enough for a send.
        now: The time; does no I/O.
        recall: Called with a delivery whose endpoint answers promptly now, and how many may come at
            once of those that were given back to wait for it.
        permits: Is told what becomes of what rate limits allowed.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        concurrency: int,
        done: Callable[[Outcome], None],
        lost: Callable[[Ready], None],
        troubles: Callable[[], Mapping[str, Trouble]],
        may_begin: Callable[[Ready], bool],
        now: Callable[[], datetime],
        recall: Callable[[Delivery, int], None],
        permits: Permits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._permits = permits or Permits()
        self._sender = sender
        self._concurrency = concurrency
        self._done = done
        self._lost = lost
        self._troubles = troubles
        self._may_begin = may_begin
        self._recall = recall
        self._monotonic = monotonic
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._turns: deque[Line] = deque()
        self._probation = Probation(concurrency)
        self._under_way = 0
        self._runners: set[asyncio.Task[None]] = set()
        self._now = now

    @property
    def free(self) -> int:
        """How many slots are free."""
        return self._concurrency - self._under_way

    @property
    def may_shed(self) -> bool:
        """Whether `shed` may find something."""
        return self.free > 0 or self._probation.total > 0

    def submit(self, ready: Sequence[Ready]) -> None:
        """Send these as soon as there are slots for them."""
        for each in ready:
            line = self._line(each)
            line.waiting.append(each)
            if each.work.delivery.reason == Reason.ENDPOINT_BUSY:
                line.has_deferred = True
            self._offer(line)
        self._hire()

    def shed(self) -> None:
        """Give back what would wait for long, so that there is room in hand for others.

        Where no slot is free, what waits for those who answer promptly waits for slots, and stays.
        """
        now = self._monotonic()
        busy = not self.free
        for line in self._lines.values():
            if busy and line.trusted(now):
                continue
            while line.waiting and line.wait_of(len(line.waiting), now) > LONG_WAIT:
                self._defer(line, line.waiting.pop(), now)

    def give_back(self) -> None:
        """Give back all that was not begun: the worker stops."""
        for line in self._lines.values():
            while line.waiting:
                ready = line.waiting.popleft()
                self._permits.drop(ready.work.delivery.id)
                self._done(released(ready.work, ready.token))

    def _line(self, ready: Ready) -> Line:
        name = ready.line
        line = self._lines.get(name)
        if line is None:
            # A channel that names its own limit may use it, however slow its transport is.
            limit = getattr(ready.channel, "concurrency", None)
            most = self._concurrency if limit is None else min(limit, self._concurrency)
            tenant = ready.work.delivery.tenant if ready.work.delivery.endpoint_id else None
            line = Line(name, most, fixed=limit is not None, tenant=tenant)
            self._lines[name] = line
            if len(self._lines) > _MOST_IDLE_LINES:
                self._forget_an_idle_line()
        return line

    def _forget_an_idle_line(self) -> None:
        for name, line in self._lines.items():
            if not line.waiting and not line.began and not line.in_turn:
                del self._lines[name]
                return

    def _offer(self, line: Line) -> None:
        """Let the line take its turn, if it has someone waiting and room in its window."""
        if line.waiting and not line.in_turn and len(line.began) < self._limit(line):
            line.in_turn = True
            self._turns.append(line)

    def _limit(self, line: Line) -> int:
        trouble = self._troubles().get(line.name)
        on_trial = trouble is not None and trouble.on_trial(self._now())
        return 1 if on_trial else line.window.limit

    def _hire(self) -> None:
        """Start another runner if a line waits for one; each that starts hires the next."""
        if len(self._runners) < self._concurrency and (self._turns or self._probation.has_next()):
            runner = asyncio.get_running_loop().create_task(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)

    def _next(self, now: float) -> Line | None:
        """Return a line that begins a send now, or None."""
        if (held := self._probation.next()) is not None:
            return held
        while self._turns:
            line = self._turns.popleft()
            line.in_turn = False
            if line.waiting:
                if line.trusted(now) or self._probation.admit(line):
                    return line
                self._probation.hold(line, now)
        return None

    async def _run(self) -> None:
        """Send one after the other until nobody is waiting who may begin."""
        while (line := self._next(began := self._monotonic())) is not None:
            ready = line.waiting.popleft()
            key = ready.work.delivery.id
            line.began[key] = began
            self._under_way += 1
            self._offer(line)
            self._hire()
            outcome: Outcome | None = None
            try:
                outcome = await self._send(line, ready)
            except Exception as error:
                _log.error("a send ended with %s; its lease will run out", type(error).__name__)
            finally:
                self._under_way -= 1
                line.began.pop(key, None)
                if line.counted:
                    self._probation.ended(line)
                if outcome is None:
                    self._permits.drop(key)
                    self._lost(ready)
            if outcome is not None:
                if outcome.pause_endpoint is not None:
                    line.paused_until = self._monotonic() + _UNTIL_RECORDED
                if outcome.attempt is not None:
                    self._note_answer(line, began, outcome.attempt.outcome)
                    if line.has_deferred and (count := line.recalled(self._monotonic())):
                        self._recall(ready.work.delivery, count)
                self._done(outcome)
            self._offer(line)

    def _note_answer(self, line: Line, began: float, outcome: AttemptOutcome) -> None:
        now = self._monotonic()
        line.answered(now, now - began, failed=outcome in _FAILED)
        if line.window.prompt and (line.counted or line.held_since is not None):
            self._probation.passed(line)

    async def _send(self, line: Line, ready: Ready) -> Outcome:
        trouble = self._troubles().get(ready.work.delivery.endpoint_id or "")
        paused = line.tenant is not None and self._monotonic() < line.paused_until
        if paused or (trouble is not None and trouble.blocked(self._now())):
            self._permits.drop(ready.work.delivery.id)
            return parked(ready.work, ready.token, self._now())
        # A delivery that waited so long that its lease could end under way is not begun.
        if not self._may_begin(ready):
            self._permits.drop(ready.work.delivery.id)
            return released(ready.work, ready.token)
        self._permits.begin(ready.work.delivery.id)
        return await self._sender.attempt(ready)

    def _defer(self, line: Line, ready: Ready, now: float) -> None:
        """Give a delivery back until about the time its turn would come."""
        self._permits.drop(ready.work.delivery.id)
        wait = timedelta(seconds=line.defer(now))
        self._done(
            outcome_of(
                ready.work,
                ready.token,
                DeliveryStatus.PENDING,
                Reason.ENDPOINT_BUSY,
                due_at=self._now() + wait,
            )
        )
