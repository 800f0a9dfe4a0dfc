"""When to stop sending to what keeps failing, and when to try it again: a circuit breaker. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from claimnotify.policy.answers import Answers

__all__ = [
    "BLOCKED_FOR_AT_MOST",
    "PARKED_FOR_AT_MOST",
    "BreakerPolicy",
    "Trouble",
    "channel_breaker",
]

BLOCKED_FOR_AT_MOST = timedelta(minutes=10)
"""The longest that nothing is sent to what keeps failing, before it is tried again."""

PARKED_FOR_AT_MOST = timedelta(hours=6)
"""When a worker looks at a parked delivery in any case, whatever became of what it waits for."""


def channel_breaker(channel: str) -> str:
    """Return the name of a channel's breaker; an endpoint's breaker has the endpoint's id."""
    return f"channel:{channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is known of an endpoint or channel that has failed of late.

    Args:
        failures: How many attempts failed since the last one that did not.
        openings: How many times in a row the breaker opened.
        opened_at: When it first did, or None if it has not.
        retry_at: When to try again, or None if the breaker is closed.
        failing_since: Of an endpoint: since when nothing but failure has come from it, or None.
        failed_at: Of an endpoint: when the last of that came.
    """

    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    failing_since: datetime | None = None
    failed_at: datetime | None = None

    def blocked(self, now: datetime) -> bool:
        """Return whether nothing is sent now.

        What would be tried later than any breaker waits was written by a clock that has gone back.
        """
        return self.retry_at is not None and now < self.retry_at <= now + 2 * BLOCKED_FOR_AT_MOST

    def on_trial(self, now: datetime) -> bool:
        """Return whether one send at a time is made, to see whether it works again."""
        return self.retry_at is not None and not self.blocked(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """After how many failures in a row to stop, and for how long.

    Args:
        threshold: How many attempts must fail, with none that succeeds between.
        first_wait: How long nothing is sent the first time; doubled each time in a row.
        first_pause: The same for one that says that it has too much to do, for which one such
            answer is enough.
        longest_wait: The most it is doubled to, and the longest pause; `BLOCKED_FOR_AT_MOST` or less.
    """

    threshold: int = 8
    first_wait: timedelta = timedelta(seconds=10)
    first_pause: timedelta = timedelta(seconds=2)
    longest_wait: timedelta = BLOCKED_FOR_AT_MOST

    def noted(self, before: Trouble, answers: Answers, now: datetime) -> Trouble:
        """Return the trouble after `answers` that were recorded together.

        Of what both failed and did not, success counts; but a pause that was asked for is kept
        whatever else came: who is sent too much takes some of it and puts off the rest.
        """
        trouble = before
        if answers.successes:
            trouble = Trouble()
        elif answers.failures:
            trouble = self.failed(before, answers.failures, now)
        elif answers.refusals:
            # It answers, so that nothing has to wait for it; what it takes is another matter.
            trouble = replace(before, failures=0, openings=0, opened_at=None, retry_at=None)
        return trouble if answers.pause is None else self.paused(trouble, answers.pause, now)

    def failed(self, before: Trouble | None, count: int, now: datetime) -> Trouble:
        """Return the trouble after `count` further failures."""
        trouble = before or Trouble()
        trouble = replace(trouble, failures=trouble.failures + count)
        if trouble.failures < self.threshold or trouble.blocked(now):
            return trouble
        return self._opened(trouble, now + self._wait(self.first_wait, trouble.openings), now)

    def paused(self, before: Trouble, asked: timedelta, now: datetime) -> Trouble:
        """Return the trouble after an answer that there is too much to do.

        Args:
            before: The trouble so far.
            asked: For how long at least nothing is to be sent; zero if that was not said.
            now: The time.
        """
        asked_until = now + min(asked, self.longest_wait)
        if not before.blocked(now):
            wait = self._wait(self.first_pause, before.openings)
            return self._opened(before, max(asked_until, now + wait), now)
        if before.retry_at is not None and asked_until > before.retry_at:
            return replace(before, retry_at=asked_until)
        return before

    def _wait(self, first: timedelta, openings: int) -> timedelta:
        # 2**20 is beyond any sensible bound, and keeps the product within what a timedelta holds.
        return min(first * (1 << min(openings, 20)), self.longest_wait)

    def _opened(self, trouble: Trouble, retry_at: datetime, now: datetime) -> Trouble:
        return replace(
            trouble,
            openings=trouble.openings + 1,
            opened_at=trouble.opened_at or now,
            retry_at=retry_at,
        )
