"""When an endpoint from which nothing but failure comes is told of, and when it is disabled. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from claimnotify.policy.breaker import Trouble
from claimnotify.policy.retry import RetrySchedule

__all__ = ["DISABLE_AFTER", "LONGEST_GAP", "StreakPolicy", "Verdict", "gap_for", "telling"]

DISABLE_AFTER = timedelta(days=5)
"""How long nothing but failure has to come from an endpoint before it is disabled."""

LONGEST_GAP = timedelta(hours=36)
"""Failures that lie further apart are sporadic: each begins a streak of its own.

One delivery under retry must keep a streak alive: the longest wait of our schedule, like the longest
that a `Retry-After` can ask for, is a day, and jitter, a breaker and a late worker come on top.
"""
_ON_TOP = timedelta(hours=9)

_TELL_AFTER = timedelta(days=1)
_TELL_AGAIN_AFTER = timedelta(days=1)
"""How long an owner is left in peace of an endpoint that fails, works and fails again."""


class Verdict(Enum):
    """What follows from a failure of an endpoint."""

    NOTHING = "nothing"
    TELL = "tell"
    """Its owner is to be told that it is failing, unless that was told already; see `telling`."""
    DISABLE = "disable"
    """It is to be disabled, and its owner to be told so."""


def gap_for(schedule: RetrySchedule, disable_after: timedelta = DISABLE_AFTER) -> timedelta:
    """Return the gap under which one delivery that is tried by `schedule` keeps a streak alive.

    Args:
        schedule: That of webhooks.
        disable_after: How long nothing but failure may come from an endpoint; no wait matters that
            begins later.
    """
    return max(LONGEST_GAP, schedule.longest_wait(disable_after or DISABLE_AFTER) + _ON_TOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreakPolicy:
    """How long an endpoint may fail.

    Args:
        disable_after: How long nothing but failure may come from it; zero: for ever.
        gap: How far apart failures may lie of which nothing else came between; see `gap_for`.
    """

    disable_after: timedelta = DISABLE_AFTER
    gap: timedelta = LONGEST_GAP

    @property
    def tell_after(self) -> timedelta:
        """How long a streak lasts before the owner is told: a fifth of the time to the end."""
        return self.disable_after / 5 or _TELL_AFTER

    def failed(self, before: Trouble, now: datetime) -> Trouble:
        """Return the trouble after a failure that was the endpoint's doing.

        A clock that went back lengthens no streak: what would have begun later than now begins now.
        """
        since, last = before.failing_since, before.failed_at
        if since is None or last is None or now - last > self.gap:
            return replace(before, failing_since=now, failed_at=now)
        return replace(before, failing_since=min(since, now), failed_at=now)

    def verdict(self, trouble: Trouble, now: datetime, *, exhausted: bool) -> Verdict:
        """Return what follows from a failure, once `failed` has noted it.

        Args:
            trouble: The endpoint's.
            now: The time.
            exhausted: Whether a delivery to it is out of attempts.
        """
        if trouble.failing_since is None:
            return Verdict.NOTHING
        lasted = now - trouble.failing_since
        if self.disable_after and lasted >= self.disable_after:
            return Verdict.DISABLE
        if exhausted or lasted >= self.tell_after:
            return Verdict.TELL
        return Verdict.NOTHING


def telling(since: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return when an owner must have been told last to be told now: before the one or after the other.

    It is told once in each streak and once in a day, whatever went well between. What was told later
    than a day from now was told by a clock that has gone back.

    Args:
        since: When the streak began; None if there is none.
        now: The time.
    """
    return min(since or now, now - _TELL_AGAIN_AFTER), now + _TELL_AGAIN_AFTER
